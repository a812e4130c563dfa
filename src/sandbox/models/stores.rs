//! File systems and their backups in the sandbox: what operations decide is the same as on AWS, since it is the same code; what they
//! do to the world stands here and in [`super::stores_write`].

use super::typed::{asks, awaits};
use super::{Model, stores_write};
use crate::ops::aws::backup::{
    DescribePlan, DescribePoint, DescribeVault, ListPlans, ListPoints, ListVaults, WaitJob, WaitRestore,
};
use crate::ops::aws::efs::{DescribeFileSystem, ListFileSystems, WaitAvailable};

pub(super) fn models() -> Vec<(&'static str, Model)> {
    let mut all = vec![
        asks::<DescribeVault>(),
        asks::<ListVaults>(),
        asks::<DescribePoint>(),
        asks::<ListPoints>(),
        asks::<DescribePlan>(),
        asks::<ListPlans>(),
        awaits::<WaitJob>(),
        awaits::<WaitRestore>(),
        asks::<DescribeFileSystem>(),
        asks::<ListFileSystems>(),
        awaits::<WaitAvailable>(),
    ];
    all.extend(stores_write::models());
    all
}
