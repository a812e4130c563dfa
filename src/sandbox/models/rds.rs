//! Databases of RDS in the sandbox: what operations decide is the same as on AWS, since it is the same code; what they do to the
//! world stands here and in [`super::rds_write`].

use super::typed::{asks, awaits};
use super::{Model, rds_write};
use crate::ops::aws::rds::{
    DescribeBackups, DescribeCluster, DescribeInstance, DescribeSnapshot, ListDatabases, ListSnapshots, WaitAvailable,
    WaitSnapshot,
};

pub(super) fn models() -> Vec<(&'static str, Model)> {
    let mut all = vec![
        asks::<DescribeInstance>(),
        asks::<DescribeCluster>(),
        asks::<ListDatabases>(),
        asks::<DescribeSnapshot>(),
        asks::<ListSnapshots>(),
        asks::<DescribeBackups>(),
        awaits::<WaitAvailable>(),
        awaits::<WaitSnapshot>(),
    ];
    all.extend(rds_write::models());
    all
}
