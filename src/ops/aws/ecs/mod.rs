//! Services of Amazon ECS: looked at, quiesced and started again, deployed anew, and waited for.

mod look;
mod read;
mod redeploy;
mod scale;
mod service;
mod wait;

pub use look::Look;
pub use read::{Counted, DescribeService, DescribeTaskDefinition, ListTasks, ServiceArgs, Task};
pub use redeploy::{Redeploy, RedeployArgs, Redeployed};
pub use scale::{Scale, ScaleArgs, Scaled};
pub use service::{Container, Deployment, Service, TaskDefinition, plain_name};
pub use wait::{WaitStable, WaitStableArgs};

use crate::ops::spec::{OpEntry, read, wait, write};

/// The entries of the family.
pub(super) fn entries() -> Vec<OpEntry> {
    vec![
        read::<DescribeService>(),
        read::<DescribeTaskDefinition>(),
        read::<ListTasks>(),
        wait::<WaitStable>(),
        write::<Scale>(),
        write::<Redeploy>(),
    ]
}
