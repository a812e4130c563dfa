//! Why the engine stopped driving a run. The run itself is as its journal says; it can be taken up again.

use crate::journal::StoreError;
use crate::model::RunId;
use crate::script::ScriptError;

use super::state::Illegal;

/// Why the engine stopped driving a run, or did not begin.
#[derive(Debug, thiserror::Error)]
pub enum EngineError {
    /// The store did not take a record: nothing more may be sent.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The journal holds what this engine cannot have written.
    #[error("journal of run {run} cannot be continued: {source}")]
    Journal { run: RunId, source: Illegal },
    /// A script asked for something else than it did before.
    #[error("script diverged from its journal: call {call} asked for {asked}, the journal holds {recorded}")]
    Diverged { call: String, asked: String, recorded: String },
    /// The playbook of the bundle cannot be compiled.
    #[error("playbook does not compile: {0}")]
    Program(#[from] ScriptError),
    /// The run was recorded by an operation revision that this program does not have.
    #[error(
        "run {run} was written with revision {recorded} of {op}, this program has {known}: resume it with the version that wrote it"
    )]
    Revision { run: RunId, op: String, recorded: u32, known: u32 },
    /// The plan that a run is bound to cannot be read.
    #[error("run {run} is bound to a plan that cannot be read: {what}")]
    Plan { run: RunId, what: String },
    /// There is nothing left of a run that could be planned.
    #[error("run {run} has no rest to plan: {why}")]
    NoRest { run: RunId, why: String },
}
