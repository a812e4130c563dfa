//! Between the values of a call and the types that its operation declares for them.

use serde::{Deserialize, Serialize};

use super::Call;
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::host::Probe;
use crate::ops::spec::{Found, Operation};

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
