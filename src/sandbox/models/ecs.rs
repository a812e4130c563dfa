//! Services of ECS in the sandbox: what operations decide is the same as on AWS, since it is the same code.

use std::time::Duration;

use serde_json::json;

use super::typed::{args, encode, found};
use super::{Call, Effect, Model};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::aws::ecs::{
    DescribeService, DescribeTaskDefinition, ListTasks, Look, Redeploy, Scale, WaitStable, count,
};
use crate::ops::host::{Polled, Probe};
use crate::ops::spec::{Operation, Poll};
use crate::sandbox::content::sha256_hex;
use crate::sandbox::ecs::{EcsView, Running, service_key};
use crate::sandbox::{World, veil};

/// How long it is until tasks run.
const START: Duration = Duration::from_secs(60);
/// How long it is until tasks are gone.
const STOP: Duration = Duration::from_secs(30);
/// How long all tasks of a service are being replaced.
const ROLL_OUT: Duration = Duration::from_secs(120);

pub(super) fn models() -> Vec<(&'static str, Model)> {
    vec![
        (DescribeService::NAME, Model::Read(service)),
        (DescribeTaskDefinition::NAME, Model::Read(task_definition)),
        (ListTasks::NAME, Model::Read(tasks)),
        (WaitStable::NAME, Model::Wait(wait_stable)),
        (Scale::NAME, Model::Write(Effect::new(before_scale, scale, probe_scale).fingerprint(print_scale))),
        (
            Redeploy::NAME,
            Model::Write(Effect::new(before_redeploy, redeploy, probe_redeploy).fingerprint(print_redeploy)),
        ),
    ]
}

fn service(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<DescribeService>(call)?;
    encode(&EcsView::at(world, call.now).service(&args.cluster, &args.service)?.unwrap_or_default())
}

fn task_definition(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<DescribeTaskDefinition>(call)?;
    encode(&EcsView::at(world, call.now).task_definition(&args.task_definition)?.unwrap_or_default())
}

fn tasks(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<ListTasks>(call)?;
    encode(&count(EcsView::at(world, call.now).tasks(&args.cluster, &args.service)?))
}

fn wait_stable(world: &World, call: &Call<'_>) -> Result<Polled, OpError> {
    Ok(match args::<WaitStable>(call)?.ask(&EcsView::at(world, call.now))? {
        Poll::Ready(output) => Polled::Ready(encode(&output)?),
        Poll::Pending(progress, again) => Polled::Pending { progress, again },
    })
}

fn running<'w>(world: &'w mut World, call: &Call<'_>) -> Result<&'w mut Running, OpError> {
    let key = service_key(call.text("cluster")?, call.text("service")?);
    let missing = || OpError::refused(format!("cannot change service {key}: there is none"));
    world.aws.ecs.services.get_mut(&key).ok_or_else(missing)
}

fn before_scale(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    args::<Scale>(call)?.image(&EcsView::at(world, call.now))
}

fn probe_scale(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    found(args::<Scale>(call)?.became(&EcsView::at(world, call.now), call.before)?)
}

fn scale(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<Scale>(call)?;
    let desired = i32::from(args.desired);
    let found = running(world, call)?;
    if found.desired != desired {
        found.begin(call.now, if desired < found.desired { STOP } else { START }, false);
        found.desired = desired;
    }
    encode(&args.done(call.before))
}

fn print_scale(world: &World, call: &Call<'_>, _: &Value) -> Result<Value, OpError> {
    let found = EcsView::at(world, call.now).service(call.text("cluster")?, call.text("service")?)?;
    Ok(json!({ "desired": found.map(|found| found.desired) }))
}

fn before_redeploy(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    args::<Redeploy>(call)?.image(&EcsView::at(world, call.now))
}

fn probe_redeploy(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    found(args::<Redeploy>(call)?.became(&EcsView::at(world, call.now), call.before)?)
}

fn redeploy(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<Redeploy>(call)?;
    let id = match world.planned {
        true => veil::mark("ECS gives it an id"),
        false => {
            let mut digits = sha256_hex(format!("deployment {} {}", call.run, call.key).as_bytes());
            digits.truncate(19);
            format!("ecs-svc/{digits}")
        }
    };
    let found = running(world, call)?;
    found.begin(call.now, ROLL_OUT, true);
    found.id.clone_from(&id);
    encode(&args.done(call.before, id))
}

fn print_redeploy(world: &World, call: &Call<'_>, _: &Value) -> Result<Value, OpError> {
    let found = EcsView::at(world, call.now).service(call.text("cluster")?, call.text("service")?)?;
    Ok(json!({ "deployment": found.map(|found| found.primary_id()) }))
}
