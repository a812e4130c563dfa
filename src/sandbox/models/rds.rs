//! Databases of RDS in the sandbox: what operations decide is the same as on AWS, since it is the same code; what they do to the
//! world stands here and in [`super::rds_write`].

use super::typed::{args, encode, found, recorded};
use super::{Call, Model, rds_write};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::aws::entry::Of;
use crate::ops::aws::rds::{
    Asks, Awaits, DescribeBackups, DescribeCluster, DescribeInstance, DescribeSnapshot, Effects, ListSnapshots,
    WaitAvailable, WaitSnapshot,
};
use crate::ops::host::{Polled, Probe};
use crate::ops::spec::{Operation, Poll};
use crate::sandbox::World;
use crate::sandbox::rds::View;

pub(super) fn models() -> Vec<(&'static str, Model)> {
    let mut all = vec![
        (DescribeInstance::NAME, Model::Read(read::<DescribeInstance>)),
        (DescribeCluster::NAME, Model::Read(read::<DescribeCluster>)),
        (DescribeSnapshot::NAME, Model::Read(read::<DescribeSnapshot>)),
        (ListSnapshots::NAME, Model::Read(read::<ListSnapshots>)),
        (DescribeBackups::NAME, Model::Read(read::<DescribeBackups>)),
        (WaitAvailable::NAME, Model::Wait(wait::<WaitAvailable>)),
        (WaitSnapshot::NAME, Model::Wait(wait::<WaitSnapshot>)),
    ];
    all.extend(rds_write::models());
    all
}

fn read<O: Asks>(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    encode(&O::ask(&View::at(world, call.now), &args::<O>(call)?)?)
}

fn wait<O: Awaits>(world: &World, call: &Call<'_>) -> Result<Polled, OpError> {
    Ok(match O::ask(&View::at(world, call.now), &args::<O>(call)?)? {
        Poll::Ready(output) => Polled::Ready(encode(&output)?),
        Poll::Pending(progress, again) => Polled::Pending { progress, again },
    })
}

pub(super) fn before<O: Effects>(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    O::image(&View::at(world, call.now), &args::<O>(call)?, call.run.as_str())
}

pub(super) fn probe<O: Effects>(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let of = Of { run: call.run.as_str(), key: call.key, before: call.before };
    found(O::became(&View::at(world, call.now), &args::<O>(call)?, of)?)
}

pub(super) fn fingerprint<O: Effects>(world: &World, call: &Call<'_>, result: &Value) -> Result<Value, OpError> {
    O::print(&View::at(world, call.now), &args::<O>(call)?, &recorded::<O>(call, result)?)
}
