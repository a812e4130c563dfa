//! A step of a run as people see it.

use serde::Serialize;

use crate::model::fault::OpError;
use crate::model::forecast::Tree;
use crate::model::{StepPath, Timestamp, Value};

/// Where a step stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum StepState {
    /// Not begun.
    Pending,
    /// Its body is at work.
    Running,
    /// Its proof is asked for, until this instant at the latest.
    Verifying(Timestamp),
    /// To be tried again, not before this instant.
    Retrying(Timestamp),
    /// Waits for so many approvals of so many, by any of these.
    Approval {
        given: Vec<Approval>,
        needed: u32,
        by: Vec<String>,
        /// What an approval is of.
        digest: String,
        /// What it would let the run do.
        tree: Option<Tree>,
        /// Why that is not known.
        unforeseen: Option<String>,
    },
    /// A person does it.
    Manual(String),
    /// Ended well.
    Succeeded,
    /// Failed; `handled` if the playbook says to go on.
    Failed { error: OpError, handled: bool },
    /// Left out.
    Skipped { reason: String },
    /// Done by hand.
    Done { evidence: String, by: String },
}

/// An approval given to a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Approval {
    /// By whom.
    pub by: String,
    /// After this it counts for nothing.
    pub valid_until: Option<Timestamp>,
}

/// One instance of a step.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct StepView {
    /// Which.
    pub path: StepPath,
    /// What the playbook calls it; empty if unknown.
    pub title: String,
    /// Where it stands.
    pub state: StepState,
    /// How often it was begun.
    pub attempt: u32,
    /// When it was first begun.
    pub begun: Option<Timestamp>,
    /// When it ended.
    pub ended: Option<Timestamp>,
    /// What it gave.
    pub output: Value,
    /// Its calls, as indexes into [`View::calls`].
    pub calls: Vec<usize>,
}
