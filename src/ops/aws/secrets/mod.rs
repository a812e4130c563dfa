//! Secrets of AWS Secrets Manager: looked at and read as handles, given new values that no script sees, and put back.

mod describe;
pub mod document;
mod look;
mod put;
mod read;
mod stage;

pub(super) use look::time;

pub use describe::Describe;
pub use look::{Described, Look, Version, contents, plain_name};
pub use put::{Put, PutArgs, Stored, token};
pub use read::{Contents, ReadSecret, ReadSecretArgs, handles};
pub use stage::{InUse, UseVersion, UseVersionArgs};

use crate::ops::spec::{OpEntry, read, write};

/// The entries of the family.
pub(super) fn entries() -> Vec<OpEntry> {
    vec![read::<Describe>(), read::<ReadSecret>(), write::<Put>(), write::<UseVersion>()]
}
