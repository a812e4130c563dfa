//! Why a command did not do what it was asked, by whose fault.

use crate::engine::EngineError;
use crate::journal::{Holder, StoreError};
use crate::model::RunId;
use crate::model::fault::OpError;
use crate::playbook::diagnostic::Diagnostic;
use crate::script::ScriptError;

/// Why a command did not do what it was asked.
#[derive(Debug, thiserror::Error)]
pub enum AppError {
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
    /// The engine.
    #[error(transparent)]
    Engine(#[from] EngineError),
    /// The playbook or its parameters do not stand up to the checks.
    #[error("the playbook or its parameters are not valid")]
    Invalid { diagnostics: Vec<Diagnostic>, sources: Vec<crate::model::span::Source> },
    /// There is no such playbook, or it cannot be read.
    #[error(transparent)]
    Playbook(crate::playbook::bundle::BundleError),
    /// A script of the playbook.
    #[error(transparent)]
    Script(#[from] ScriptError),
    /// A secret, or another thing outside, before the run began.
    #[error(transparent)]
    Precondition(#[from] OpError),
    /// Somebody alive holds the run.
    #[error("run {run} is held by {} (process {} since it took it)", .holder.who, .holder.pid)]
    Held { run: RunId, holder: Box<Holder> },
    /// The run has ended.
    #[error("run {run} has ended ({status})")]
    Over { run: RunId, status: &'static str },
    /// The bundle of a run cannot be read.
    #[error("bundle {digest} of run {run} cannot be read: {what}")]
    Bundle { run: RunId, digest: String, what: String },
    /// A plan is not run.
    #[error(transparent)]
    Stale(#[from] super::bind::Stale),
    /// A plan file.
    #[error(transparent)]
    PlanFile(#[from] crate::plan::file::PlanFileError),
    /// A run on its way from one store to another.
    #[error(transparent)]
    Handover(#[from] super::handover::HandoverError),
    /// The world of the sandbox.
    #[error("cannot use the sandbox's world {path}: {what}")]
    World { path: String, what: String },
    /// The system.
    #[error("cannot {act}: {source}")]
    System { act: &'static str, source: std::io::Error },
}
