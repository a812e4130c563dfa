//! Family `helm`: releases of charts, through the `helm` and `kubectl` binaries.

pub mod client;
mod objects;
mod preview;
mod read;
mod release;
mod revisions;
mod rollback;
mod rollout;
mod uninstall;
mod upgrade;
mod values;

use super::spec::{self, OpEntry};

pub use objects::{changes, learn_object, rolled_out, shown as shown_object, workload_names};
pub use values::{hidden as shown_values, merged, nested};

/// The entries of the family.
#[must_use]
pub fn entries() -> Vec<OpEntry> {
    vec![
        spec::read::<read::Release>(),
        spec::read::<read::Values>(),
        spec::read::<read::History>(),
        spec::read::<read::Manifest>(),
        spec::read::<preview::Template>(),
        spec::wait::<rollout::WaitRolledOut>(),
        spec::write::<upgrade::Upgrade>(),
        spec::write::<rollback::Rollback>(),
        spec::write::<uninstall::Uninstall>(),
    ]
}
