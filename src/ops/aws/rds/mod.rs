//! Databases of Amazon RDS: instances and Aurora clusters, their snapshots and automated backups.

mod checks;
mod create_snapshot;
mod database;
mod delete;
mod delete_snapshot;
mod look;
mod member;
mod modify;
mod read;
mod rename;
mod restore;
mod settings;
mod snapshot;
mod state;
mod wait;

pub use create_snapshot::{CreateSnapshot, CreateSnapshotArgs, SnapshotMade};
pub use database::{Database, KEY_TAG, Kind, Member, RUN_TAG};
pub use delete::{Delete, DeleteArgs};
pub use delete_snapshot::{DeleteSnapshot, DeleteSnapshotArgs, Deleted};
pub use look::{Look, Which};
pub use member::{CreateClusterInstance, MemberBefore, MemberMade};
pub use modify::{Modified, Modify};
pub use read::{DescribeBackups, DescribeCluster, DescribeInstance, DescribeSnapshot, ListDatabases, ListSnapshots};
pub use rename::{Rename, Renamed};
pub use restore::{Before, RestoreFromSnapshot, RestoreToPointInTime, Restored};
pub use settings::{Carried, From, Settings, carry_over};
pub use snapshot::{Backups, Snapshot};
pub use state::{Stand, snapshot_stand, stand};
pub use wait::{WaitAvailable, WaitSnapshot};

pub(super) use checks::check_tags;
pub(super) use database::{text, time};
pub(crate) use look::newest_first;

use crate::ops::spec::{OpEntry, read, wait, write};

/// The entries of the family.
pub(super) fn entries() -> Vec<OpEntry> {
    vec![
        read::<DescribeInstance>(),
        read::<DescribeCluster>(),
        read::<ListDatabases>(),
        read::<DescribeSnapshot>(),
        read::<ListSnapshots>(),
        read::<DescribeBackups>(),
        wait::<WaitAvailable>(),
        wait::<WaitSnapshot>(),
        write::<CreateSnapshot>(),
        write::<DeleteSnapshot>(),
        write::<RestoreFromSnapshot>(),
        write::<RestoreToPointInTime>(),
        write::<CreateClusterInstance>(),
        write::<Modify>(),
        write::<Rename>(),
        write::<Delete>(),
    ]
}
