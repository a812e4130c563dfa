//! Services of ECS in the sandbox: what operations decide is the same as on AWS, since it is the same code.

use std::time::Duration;

use super::typed::{args, asks, awaits, effect, encode};
use super::{Call, Model};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::aws::ecs::{DescribeService, DescribeTaskDefinition, ListTasks, Redeploy, Scale, WaitStable};
use crate::ops::spec::Operation;
use crate::sandbox::content::sha256_hex;
use crate::sandbox::ecs::{Running, service_key};
use crate::sandbox::{World, veil};

/// How long it is until tasks run.
const START: Duration = Duration::from_secs(60);
/// How long it is until tasks are gone.
const STOP: Duration = Duration::from_secs(30);
/// How long all tasks of a service are being replaced.
const ROLL_OUT: Duration = Duration::from_secs(120);

pub(super) fn models() -> Vec<(&'static str, Model)> {
    vec![
        asks::<DescribeService>(),
        asks::<DescribeTaskDefinition>(),
        asks::<ListTasks>(),
        awaits::<WaitStable>(),
        (Scale::NAME, Model::Write(effect::<Scale>(scale))),
        (Redeploy::NAME, Model::Write(effect::<Redeploy>(redeploy))),
    ]
}

fn running<'w>(world: &'w mut World, call: &Call<'_>) -> Result<&'w mut Running, OpError> {
    let key = service_key(call.text("cluster")?, call.text("service")?);
    let missing = || OpError::refused(format!("cannot change service {key}: there is none"));
    world.aws.ecs.services.get_mut(&key).ok_or_else(missing)
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
