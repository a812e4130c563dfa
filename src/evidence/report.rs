//! What came of a run, for those who were not there: a fold over its records, and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::wait::Wait;
use crate::model::fault::Target;
use crate::model::status::{Mode, RunStatus};
use crate::model::{CallId, RunId, StepPath, Timestamp, Value};
use crate::plan::drill::DrillReport;
use crate::plan::report::Report as PlanReport;

/// The version of the report's written form.
pub const FORMAT: u32 = 2;

/// What came of a run.
#[derive(Clone, Debug, Serialize)]
pub struct RunReport {
    /// [`FORMAT`].
    pub format: u32,
    /// The run.
    pub run: RunId,
    /// Its playbook.
    pub playbook: String,
    /// What the playbook is for; empty when its bundle cannot be read.
    pub title: String,
    /// The playbook's version.
    pub version: String,
    /// The digest of its bundle.
    pub bundle: String,
    /// The muster that started it.
    pub engine: String,
    /// Live, or in the sandbox.
    pub mode: Mode,
    /// Where it stands.
    pub status: RunStatus,
    /// Who started it; asserted, unless the way it came in proves more.
    pub by: String,
    /// When.
    pub started: Timestamp,
    /// When it ended; `None` when it has not.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// The instant of its last record, up to which everything here speaks.
    pub as_of: Timestamp,
    /// Its parameters; secrets are handles.
    pub params: Value,
    /// The run it continues with another bundle.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub forked_from: Option<RunId>,
    /// Its times.
    pub times: Times,
    /// What it works on.
    pub targets: Vec<Target>,
    /// The secrets it used, by where they come from.
    pub secrets: Vec<String>,
    /// Who carried it on, in order.
    pub holders: Vec<Held>,
    /// Its steps, in the playbook's order.
    pub steps: Vec<StepReport>,
    /// What failed, in order, and what was done about it.
    pub failures: Vec<Failure>,
    /// Who approved what.
    pub approvals: Vec<Approval>,
    /// Steps beyond whose effect there was no way back, and when the run came to it.
    pub no_return: Vec<NoReturn>,
    /// Its rollbacks.
    pub rollbacks: Vec<Rollback>,
    /// When it waited for people.
    pub waits: Vec<Wait>,
    /// What people told it.
    pub orders: Vec<Ordered>,
    /// What people wrote down.
    pub notes: Vec<Note>,
    /// What it did to the world.
    pub effects: Effects,
    /// What a person should know.
    pub remarks: Vec<String>,
    /// What it gave.
    pub outputs: BTreeMap<String, Value>,
    /// Planned and made, call by call, when it was bound to a plan.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub plan: Option<PlanReport>,
    /// What was measured, torn down and left, when it was a drill.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub drill: Option<Box<DrillReport>>,
    /// The journal that all this follows from.
    pub journal: Journal,
}

/// Durations in milliseconds. `people`, `verify` and `machine` add up to `total`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// From its start to its end, or to its last record.
    pub total_ms: u64,
    /// How much of that somebody was waited for.
    pub people_ms: u64,
    /// How much of the rest only proofs (`verify`) were asked.
    pub verify_ms: u64,
    /// All else.
    pub machine_ms: u64,
    /// The playbook's objective for the time to recovery.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_ms: Option<u64>,
    /// Whether it was kept; of a drill, from the declared start to the proof. `None` without an objective, and of a run that did not recover anything: it failed, was cancelled or
    /// rolled back, or has not ended and is still in time.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_kept: Option<bool>,
    /// The playbook's objective for the data that may be lost.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_ms: Option<u64>,
}

/// Somebody carried a run on from here.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Held {
    /// Since when.
    pub at: Timestamp,
    /// Who.
    pub holder: String,
}

/// A step of a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct StepReport {
    /// Its path.
    pub step: StepPath,
    /// Its title; empty when the bundle cannot be read.
    pub title: String,
    /// What became of it.
    pub end: StepEnd,
    /// Why, in words: the error, the reason, the evidence.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub why: String,
    /// How often it was begun.
    pub attempts: u32,
    /// When it first began.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started: Option<Timestamp>,
    /// When it settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// How long it took, all tries together; absent until it has settled.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub took_ms: Option<u64>,
    /// The effects it sent.
    pub effects: usize,
    /// How many of them were undone.
    pub undone: usize,
    /// What its `verify` said.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verified: Option<Verified>,
    /// What it did was undone.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub rolled_back: bool,
}

/// What became of a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum StepEnd {
    /// Did what it should.
    Succeeded,
    /// Done by hand.
    ByHand,
    /// Left out.
    Skipped,
    /// Failed, and the run goes on all the same.
    FailedHandled,
    /// Failed.
    Failed,
    /// At work, or waiting.
    Open,
    /// The run has not come to it.
    NotReached,
}

impl StepEnd {
    /// As printed.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Succeeded => "succeeded",
            Self::ByHand => "done by hand",
            Self::Skipped => "skipped",
            Self::FailedHandled => "failed, handled",
            Self::Failed => "failed",
            Self::Open => "not ended",
            Self::NotReached => "not reached",
        }
    }
}

/// What the proof of a step said.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Verified {
    /// Whether it held; `None` when that is not known yet.
    pub held: Option<bool>,
    /// Since when it was asked.
    pub from: Timestamp,
    /// How long it was asked, up to the last record.
    pub ms: u64,
}

/// A step that failed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Failure {
    /// When.
    pub at: Timestamp,
    /// Which.
    pub step: StepPath,
    /// In which attempt.
    pub attempt: u32,
    /// Why.
    pub error: String,
    /// What was done about it: `tried again by the playbook`, `skipped by alice@ops: …`. Empty when nothing yet.
    pub then: String,
}

/// An approval.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Approval {
    /// When it was given.
    pub at: Timestamp,
    /// For which step; absent for one of a whole plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepPath>,
    /// By whom.
    pub by: String,
    /// In which role; asserted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// By somebody who may not approve it in peace.
    pub break_glass: bool,
    /// What it is of.
    pub digest: String,
    /// After this it counts for nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub valid_until: Option<Timestamp>,
    /// How long it had been asked for.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waited_ms: Option<u64>,
}

/// A point of no return that a run has come to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct NoReturn {
    /// When.
    pub at: Timestamp,
    /// In which step.
    pub step: StepPath,
    /// Why there is no way back; empty when the bundle cannot be read.
    pub why: String,
}

/// A rollback.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rollback {
    /// When it began.
    pub at: Timestamp,
    /// Who began it.
    pub by: String,
    /// Why.
    pub reason: String,
    /// How far: the step that stayed as it was.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<StepPath>,
    /// Only this step.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub only: Option<StepPath>,
    /// What somebody else had changed since was undone too.
    pub force: bool,
    /// When it was over.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Timestamp>,
    /// Undos that were done in it.
    pub undone: usize,
}

/// What somebody told a run.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Ordered {
    /// When it was heard.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What: `retry restore`, `cancel`.
    pub order: String,
    /// Why it was not carried out.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
}

/// What somebody wrote down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Note {
    /// When.
    pub at: Timestamp,
    /// Who.
    pub by: String,
    /// What.
    pub text: String,
}

/// What a run did to the world: undos are not counted.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Effects {
    /// Sent.
    pub sent: usize,
    /// Done.
    pub done: usize,
    /// Failed.
    pub failed: usize,
    /// Sent, and not known what became of them.
    pub open: usize,
    /// Done, and undone later.
    pub undone: usize,
    /// Done, and left out when the run was rolled back.
    pub standing: Vec<Standing>,
}

/// An effect that a rollback left where it is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The call.
    pub call: CallId,
    /// Its operation.
    pub op: String,
    /// What it touched.
    pub resource: String,
    /// Why it was left.
    pub why: String,
}

/// The journal that a report follows from.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Journal {
    /// How many records.
    pub records: u64,
    /// The hash after the last, in hex: `sha256(hash before ‖ line)`, from 32 zero bytes on.
    pub hash: String,
}

impl RunReport {
    /// Whether the run reached what it was for.
    #[must_use]
    pub fn is_success(&self) -> bool {
        matches!(self.status, RunStatus::Succeeded | RunStatus::SucceededWithExceptions)
    }

    /// Approvals by somebody who may not give them in peace.
    pub fn break_glass(&self) -> impl Iterator<Item = &Approval> {
        self.approvals.iter().filter(|approval| approval.break_glass)
    }

    /// As JSON, indented, with a line end.
    #[must_use]
    pub fn json(&self) -> String {
        // Every map in it has text keys, and no field serialises by code that can fail.
        serde_json::to_string_pretty(self).expect("a report is plain data with text keys") + "\n"
    }
}
