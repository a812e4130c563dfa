//! AWS Backup: vaults, the recovery points in them, the jobs that make and restore them, and the plans by which that is done
//! daily.

mod create_plan;
mod create_selection;
mod delete_plan;
mod delete_point;
mod discard_restore;
mod job;
mod look;
mod metadata;
mod plan;
mod point;
mod read;
mod start_job;
mod start_restore;
mod state;
mod vault_policy;
mod wait;

pub use create_plan::{CreatePlan, PlanMade};
pub use create_selection::{CreateSelection, SelectionMade};
pub use delete_plan::{DeletePlan, DeleteSelection, Deleted};
pub use delete_point::DeletePoint;
pub use discard_restore::{DiscardRestore, Discarded};
pub use job::{Job, RestoreJob};
pub use look::Look;
pub use metadata::{EFS, Prepared};
pub use plan::{Plan, Selection};
pub use point::{RecoveryPoint, Vault};
pub use read::{DescribePlan, DescribePoint, DescribeVault, ListPlans, ListPoints, ListVaults};
pub use start_job::{JobStarted, StartJob};
pub use start_restore::{Before, RestoreStarted, StartRestore};
pub use wait::{WaitJob, WaitRestore};

pub(crate) use look::newest_first;

use crate::ops::spec::{OpEntry, read, wait, write};

/// The entries of the family.
pub(super) fn entries() -> Vec<OpEntry> {
    vec![
        read::<DescribeVault>(),
        read::<ListVaults>(),
        read::<DescribePoint>(),
        read::<ListPoints>(),
        read::<DescribePlan>(),
        read::<ListPlans>(),
        wait::<WaitJob>(),
        wait::<WaitRestore>(),
        write::<StartJob>(),
        write::<DeletePoint>(),
        write::<StartRestore>(),
        write::<DiscardRestore>(),
        write::<CreatePlan>(),
        write::<CreateSelection>(),
        write::<DeletePlan>(),
        write::<DeleteSelection>(),
    ]
}
