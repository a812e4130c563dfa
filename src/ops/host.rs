//! The two traits through which the engine meets the world: one that reads, one that writes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::spec::OpEntry;
use crate::model::fault::{OpError, Target};
use crate::model::secret::Sighting;
use crate::model::{RunId, Timestamp, Value};

/// One use of an operation, as the host sees it.
#[derive(Clone, Debug)]
pub struct Request {
    /// The run that asks.
    pub run: RunId,
    /// The entry of the table.
    pub op: &'static OpEntry,
    /// The arguments, checked against the entry's schema. Secrets are still handles.
    pub args: Value,
    /// Names this effect to the world: the same for every try until the call is known to have failed.
    pub key: String,
    /// What [`ReadHost::before`] answered before the intent was written; `Null` for calls without an effect.
    pub before: Value,
    /// When the call must have ended.
    pub deadline: Option<Timestamp>,
}

/// What the world says about a call whose outcome is not recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "state", rename_all = "snake_case")]
pub enum Probe {
    /// It was done; this is its result.
    Done { result: Value },
    /// It was not done, and is not being done.
    NotDone,
    /// It is being done.
    Running { progress: Option<String> },
    /// It was done in part: its undo has to run before it is sent anew.
    Partial { what: String },
    /// It was done to its end, and failed.
    Failed { error: OpError },
    /// The world cannot tell.
    CannotTell { why: String },
}

/// What sending a call came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Sent {
    /// It is done.
    Done(Value),
    /// It goes on without us; [`ReadHost::probe`] follows it.
    Running,
}

/// What a wait came to.
#[derive(Clone, Debug, PartialEq)]
pub enum Polled {
    /// What was waited for is there.
    Ready(Value),
    /// Not yet; ask again after `again`.
    Pending { progress: Option<String>, again: Duration },
}

/// The reading half of the world. Nothing behind it changes anything.
pub trait ReadHost: Send + Sync {
    /// Performs an operation that only reads.
    ///
    /// # Errors
    /// As the operation says.
    fn read(&self, request: &Request) -> Result<Value, OpError>;

    /// Asks once whether what a waiting operation waits for is there.
    ///
    /// # Errors
    /// When it can never come.
    fn poll(&self, request: &Request) -> Result<Polled, OpError>;

    /// Checks the preconditions of an effect and takes the image of what it is about to change.
    ///
    /// # Errors
    /// [`crate::model::fault::ErrorClass::Refused`] when a precondition does not hold.
    fn before(&self, request: &Request) -> Result<Value, OpError>;

    /// Asks the world what became of an effect.
    ///
    /// # Errors
    /// When the world cannot be asked now.
    fn probe(&self, request: &Request) -> Result<Probe, OpError>;

    /// The fields that a done effect set, as they are now: compared before the effect is undone.
    ///
    /// # Errors
    /// When the world cannot be asked now.
    fn fingerprint(&self, request: &Request, result: &Value) -> Result<Value, OpError>;

    /// The secrets that a call would resolve, each as it is now; without those that cannot be read, which the call itself will
    /// say, and without sealed ones, whose handle is their contents. A host that resolves none has none.
    fn secrets(&self, request: &Request) -> Vec<Sighting> {
        let _ = request;
        Vec::new()
    }

    /// The identity of what an operation with these arguments works on, if it has one.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn target(&self, request: &Request) -> Result<Option<Target>, OpError>;
}

/// The writing half.
pub trait WriteHost: ReadHost {
    /// Sends an effect.
    ///
    /// # Assumptions
    /// The intent is durable, and [`ReadHost::before`] has been asked.
    ///
    /// # Errors
    /// As the operation says; the class tells what is known about the world.
    fn send(&self, request: &Request) -> Result<Sent, OpError>;

    /// Forgets what was kept to answer [`ReadHost::probe`] for a call whose outcome is durable. Must tolerate being
    /// called twice, or never.
    fn release(&self, request: &Request);

    /// Forgets what was kept for the undos of a run that has reached a terminal status. Must tolerate being called twice, or
    /// never. A host that keeps nothing has nothing to do.
    fn finish_run(&self, run: &RunId) {
        let _ = run;
    }
}
