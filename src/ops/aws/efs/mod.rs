//! File systems of Amazon EFS: what they are, and the mount targets and access points by which they are reached.

mod create_mount_target;
mod delete;
mod file_system;
mod look;
mod read;

pub use create_mount_target::{CreateMountTarget, TargetMade};
pub use delete::{Delete, DeleteMountTarget, Removed};
pub use file_system::{AccessPoint, FileSystem, MountTarget};
pub use look::Look;
pub use read::{DescribeFileSystem, ListFileSystems, WaitAvailable};

use crate::ops::spec::{OpEntry, read, wait, write};

/// The entries of the family.
pub(super) fn entries() -> Vec<OpEntry> {
    vec![
        read::<DescribeFileSystem>(),
        read::<ListFileSystems>(),
        wait::<WaitAvailable>(),
        write::<CreateMountTarget>(),
        write::<DeleteMountTarget>(),
        write::<Delete>(),
    ]
}
