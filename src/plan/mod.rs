//! What a run would do: the records of a plan, folded into steps and calls of which each says how far it can be believed.

mod digest;
pub mod file;
mod fold;
mod given;
mod order;
pub mod preflight;
pub mod report;
mod rollback;
#[cfg(test)]
mod tests;
mod timeline;
mod unseen;
mod warnings;

pub use crate::engine::drill_report as drill;

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

pub use timeline::Timeline;
pub use warnings::Warning;

use crate::model::check::Check;
use crate::model::forecast::{Basis, Change, Decision};
use crate::model::paths::Paths;
use crate::model::{StepPath, Value};

/// The version of the plan's written form.
pub const FORMAT: u32 = 1;

/// What a run would do.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Plan {
    /// [`FORMAT`].
    pub format: u32,
    /// Name of the playbook.
    pub playbook: String,
    /// Its version.
    pub version: String,
    /// Its title.
    pub title: String,
    /// The bundle's digest.
    pub bundle: String,
    /// The parameters; secrets are handles.
    pub params: Value,
    /// The parameters whose value is not the default, as people write them; secrets are handles.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub given: BTreeMap<String, Value>,
    /// What it would work on: name → identity.
    pub targets: BTreeMap<String, String>,
    /// The playbook's objectives.
    pub objectives: Objectives,
    /// The run whose rest this is; absent in a plan of a whole run.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rest: Option<Rest>,
    /// What was found of its preconditions before the first step: those of the playbook, then those of the machine.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub checks: Vec<Check>,
    /// Its steps, in the playbook's order.
    pub steps: Vec<PlannedStep>,
    /// Effects, all told.
    pub effects: usize,
    /// How many calls there are of each basis, and what that amounts to.
    pub coverage: Coverage,
    /// When what would happen.
    pub timeline: Timeline,
    /// What a reviewer should look at.
    pub warnings: Vec<Warning>,
    /// SHA-256 over bundle, parameters, targets and the tree of effects: what an approval of this plan binds.
    pub digest: String,
}

/// The run of which a plan has only what is left to do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Rest {
    /// The run.
    pub run: crate::model::RunId,
    /// How far it had moved when the plan was made: such a plan is of no use once it has moved on.
    pub moves: u64,
    /// When that was.
    pub since: crate::model::Timestamp,
}

/// An effect that the run had made when the rest of it was planned.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct MadeEffect {
    /// Its operation.
    pub op: String,
    /// What it touches.
    pub resource: String,
    /// Its arguments; secrets are handles.
    pub args: Value,
    /// Why nobody knows yet how it ends; absent when it has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub open: Option<String>,
}

/// The playbook's objectives.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Objectives {
    /// Recovery time, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_ms: Option<u64>,
    /// Recovery point, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_ms: Option<u64>,
}

/// How much of a plan is known.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Coverage {
    /// Calls that the live system answered or validated.
    pub exact: usize,
    /// Calls whose outcome a model worked out.
    pub predicted: usize,
    /// Calls that depend on what only the run will know, and steps that could not be followed to their end.
    pub unknown: usize,
    /// Calls of which nobody can say what they do.
    pub opaque: usize,
    /// Exact and predicted ones of all, in percent, rounded down. 100 when there are no calls.
    pub percent: u32,
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedStep {
    /// Its path.
    pub step: StepPath,
    /// Its title.
    pub title: String,
    /// The steps it needs.
    pub needs: Vec<String>,
    /// What the plan says of it.
    pub outcome: StepOutcome,
    /// Who has to approve it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub approval: Option<PlannedApproval>,
    /// Why there is no way back after it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub point_of_no_return: Option<String>,
    /// It is done by hand.
    pub manual: bool,
    /// It has a rollback of its own, which replaces the undos of its calls.
    pub own_rollback: bool,
    /// What proves that it did what it should.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub verify: Option<String>,
    /// It runs only if only the run will know what.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub runs_if: Vec<Decision>,
    /// Ways on which it would stop, depending on what only the run will know.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub stops_if: Vec<PlannedEnd>,
    /// Ways that could not be followed to their end.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub not_followed: Vec<PlannedEnd>,
    /// In the plan of a rest: the effects that it has made already, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub made: Vec<MadeEffect>,
    /// In the plan of a rest: how many of its calls stand in the run's journal.
    #[serde(default, skip_serializing_if = "is_zero")]
    pub recorded: usize,
    /// Its calls, in order.
    pub calls: Vec<PlannedCall>,
    /// Which of its effects may follow which, where they do not simply follow each other: what a run under the plan is held to.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub paths: Option<Paths>,
    /// When it would begin, in milliseconds from the run's start, without the time that people take.
    pub starts_ms: u64,
    /// When it would end.
    pub ends_ms: u64,
    /// Whether the run's duration hangs on it.
    pub critical: bool,
}

#[expect(clippy::trivially_copy_pass_by_ref, reason = "serde asks for it")]
fn is_zero(count: &usize) -> bool {
    *count == 0
}

/// What a plan says of a step.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "status", rename_all = "snake_case")]
pub enum StepOutcome {
    /// It runs to its end.
    Runs,
    /// In the plan of a rest: the run has come to its end already.
    Done,
    /// It is left out.
    Skipped {
        /// Why.
        reason: String,
    },
    /// What it does cannot be followed to its end.
    Unknown {
        /// Why.
        reason: String,
    },
    /// It would fail as things are.
    Fails {
        /// How.
        error: String,
    },
    /// The run would not come to it.
    NotReached,
}

/// The approvals that a step waits for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedApproval {
    /// How many.
    pub count: u32,
    /// By whom: names or roles; anybody but the starter when empty.
    pub by: Vec<String>,
}

/// A call of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct PlannedCall {
    /// Its operation.
    pub op: String,
    /// Whether it changes the world.
    pub writes: bool,
    /// How far this line can be believed.
    pub basis: Basis,
    /// Why it is not exact; empty when it is.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What it touches.
    pub resource: String,
    /// Its arguments; secrets are handles.
    pub args: Value,
    /// Its result, as far as it is known; `Null` when it was refused.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub result: Value,
    /// The error it ended with in the plan: a precondition that does not hold.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// How it would be undone; `None` for calls without an effect.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub undo: Option<PlannedUndo>,
    /// How long it would take, in milliseconds.
    pub takes_ms: u64,
    /// What it would change.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// The answers to open questions under which it is made; empty when it is made whatever they are.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branch: Vec<Decision>,
    /// It stands in this loop over what only the run will know; with all those around it, the outer one first.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeated: Option<String>,
    /// How often at most, then: the run may not exceed it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
}

/// How a step would end, depending on what only the run will know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlannedEnd {
    /// The answers to open questions that lead there.
    pub branch: Vec<Decision>,
    /// How, or why it is not known.
    pub message: String,
}

impl std::fmt::Display for PlannedEnd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}: {}", words(&self.branch), self.message)
    }
}

/// `steps.dump.bytes == 0 and not steps.dump.whole`.
#[must_use]
pub fn words(branch: &[Decision]) -> String {
    let each = branch.iter().map(|decision| match decision.answer {
        true => decision.question.clone(),
        false => format!("not ({})", decision.question),
    });
    each.collect::<Vec<_>>().join(" and ")
}

/// How an effect of a plan would be undone.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "snake_case")]
pub enum PlannedUndo {
    /// There is nothing to undo.
    Nothing,
    /// It cannot be undone.
    Impossible {
        /// Why.
        why: String,
    },
    /// By this call.
    Call {
        /// Its operation.
        op: String,
        /// Its arguments, with slots for what only the outcome will tell.
        args: Value,
    },
    /// By the step's own rollback.
    Step,
}

impl Plan {
    /// Whether a step or a precondition fails already in the plan.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.steps.iter().any(|step| matches!(step.outcome, StepOutcome::Fails { .. }))
    }

    /// All calls in the order of the steps.
    pub fn calls(&self) -> impl Iterator<Item = &PlannedCall> {
        self.steps.iter().flat_map(|step| &step.calls)
    }
}
