//! What all operations on AWS share: which account they work in, how it is reached, and what its complaints mean.

mod access;
pub mod backup;
mod client;
pub mod ecs;
pub mod efs;
pub mod entry;
mod fault;
mod hand;
pub mod iam;
mod identity;
pub mod rds;
mod s3;
pub mod secrets;

pub use access::Access;
pub use client::{Aws, Line, Service};
pub use fault::{Complaint, Fault, found};
pub use hand::Hand;
pub use identity::{Identity, target};

use super::spec::OpEntry;

/// The entries of the families.
#[must_use]
pub fn entries() -> Vec<OpEntry> {
    let families = [
        backup::entries(),
        ecs::entries(),
        efs::entries(),
        iam::entries(),
        identity::entries(),
        rds::entries(),
        s3::entries(),
        secrets::entries(),
    ];
    families.into_iter().flatten().collect()
}
