//! File systems and their backups in the sandbox: what operations decide is the same as on AWS, since it is the same code; what they
//! do to the world stands here and in [`super::stores_write`].

use super::typed::{args, encode, found, recorded};
use super::{Call, Model, stores_write};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::aws::backup::{
    DescribePlan, DescribePoint, DescribeVault, ListPlans, ListPoints, ListVaults, WaitJob, WaitRestore,
};
use crate::ops::aws::efs::{DescribeFileSystem, ListFileSystems, WaitAvailable};
use crate::ops::aws::entry::{Asks, Awaits, Effects, Of};
use crate::ops::host::{Polled, Probe};
use crate::ops::spec::{Operation, Poll};
use crate::sandbox::World;
use crate::sandbox::stores::View;

pub(super) fn models() -> Vec<(&'static str, Model)> {
    let mut all = vec![
        (DescribeVault::NAME, Model::Read(read::<DescribeVault>)),
        (ListVaults::NAME, Model::Read(read::<ListVaults>)),
        (DescribePoint::NAME, Model::Read(read::<DescribePoint>)),
        (ListPoints::NAME, Model::Read(read::<ListPoints>)),
        (DescribePlan::NAME, Model::Read(read::<DescribePlan>)),
        (ListPlans::NAME, Model::Read(read::<ListPlans>)),
        (WaitJob::NAME, Model::Wait(wait::<WaitJob>)),
        (WaitRestore::NAME, Model::Wait(wait::<WaitRestore>)),
        (DescribeFileSystem::NAME, Model::Read(read::<DescribeFileSystem>)),
        (ListFileSystems::NAME, Model::Read(read::<ListFileSystems>)),
        (WaitAvailable::NAME, Model::Wait(wait::<WaitAvailable>)),
    ];
    all.extend(stores_write::models());
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
    O::image(&View::at(world, call.now), &args::<O>(call)?)
}

pub(super) fn probe<O: Effects>(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let of = Of { run: call.run.as_str(), key: call.key, before: call.before };
    found(O::became(&View::at(world, call.now), &args::<O>(call)?, of)?)
}

pub(super) fn fingerprint<O: Effects>(world: &World, call: &Call<'_>, result: &Value) -> Result<Value, OpError> {
    O::print(&View::at(world, call.now), &args::<O>(call)?, &recorded::<O>(call, result)?)
}
