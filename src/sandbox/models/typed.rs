//! Between the values of a call and the types that its operation declares for them; and the models of operations on AWS, which
//! decide the same as there, since it is the same code.

use serde::{Deserialize, Serialize};

use super::{Call, Effect, Model};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::aws::entry::{Asks, Awaits, Effects, Of};
use crate::ops::host::{Polled, Probe};
use crate::ops::spec::{Found, Operation, Poll};
use crate::sandbox::World;
use crate::sandbox::aws::View;

/// The arguments of a call, as its operation declares them.
pub(super) fn args<O: Operation>(call: &Call<'_>) -> Result<O::Args, OpError> {
    O::Args::deserialize(call.args).map_err(|e| OpError::refused(format!("arguments of {} do not fit: {e}", call.op)))
}

/// The result that was recorded of a call, as its operation declares it.
pub(super) fn recorded<O: Operation>(call: &Call<'_>, result: &Value) -> Result<O::Output, OpError> {
    O::Output::deserialize(result)
        .map_err(|e| OpError::refused(format!("recorded result of {} cannot be read: {e}", call.op)))
}

/// A result, as it is recorded.
pub(super) fn encode<T: Serialize>(value: &T) -> Result<Value, OpError> {
    serde_json::to_value(value).map_err(|e| OpError::unknown(format!("a result cannot be written down: {e}")))
}

/// What an operation has found out, as the host is told it.
pub(super) fn found<T: Serialize>(found: Found<T>) -> Result<Probe, OpError> {
    Ok(match found {
        Found::Done(output) => Probe::Done { result: encode(&output)? },
        Found::NotDone => Probe::NotDone,
        Found::Running(progress) => Probe::Running { progress },
        Found::Partial(what) => Probe::Partial { what },
        Found::Failed(error) => Probe::Failed { error },
        Found::CannotTell(why) => Probe::CannotTell { why },
    })
}

/// The model of a question to AWS.
pub(super) fn asks<O: Asks>() -> (&'static str, Model) {
    (O::NAME, Model::Read(read::<O>))
}

/// The model of a wait for something in AWS.
pub(super) fn awaits<O: Awaits>() -> (&'static str, Model) {
    (O::NAME, Model::Wait(wait::<O>))
}

/// The model of an effect on AWS, of which `act` is what it does to the world.
pub(super) fn effect<O: Effects>(act: fn(&mut World, &Call<'_>) -> Result<Value, OpError>) -> Effect {
    Effect::new(before::<O>, act, probe::<O>).fingerprint(fingerprint::<O>)
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

fn before<O: Effects>(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    O::image(&View::at(world, call.now), &args::<O>(call)?, call.run.as_str())
}

fn probe<O: Effects>(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let of = Of { run: call.run.as_str(), key: call.key, before: call.before };
    found(O::became(&View::at(world, call.now), &args::<O>(call)?, of)?)
}

fn fingerprint<O: Effects>(world: &World, call: &Call<'_>, result: &Value) -> Result<Value, OpError> {
    O::print(&View::at(world, call.now), &args::<O>(call)?, &recorded::<O>(call, result)?)
}
