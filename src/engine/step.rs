//! A step instance of a run, as its records tell it.

use crate::model::command::Actor;
use crate::model::fault::OpError;
use crate::model::forecast::{Decision, Tree};
use crate::model::{Timestamp, Value};

/// Where a step instance stands.
#[derive(Clone, Debug, Default, PartialEq)]
pub enum StepStatus {
    /// Not begun.
    #[default]
    Pending,
    /// Waits for approvals.
    AwaitingApproval { by: Vec<String>, count: u32, digest: String },
    /// Waits for a person to do it.
    AwaitingManual { instructions: String },
    /// Its body runs, or waits.
    Running,
    /// Its body ended well; its `verify` is asked until this instant.
    Verifying { output: Value, until: Timestamp },
    /// Waits to be tried again.
    Retrying { not_before: Timestamp },
    /// Failed for good; `handled` by `on_failure: continue`.
    Failed { error: OpError, handled: bool },
    /// Did what it should.
    Succeeded { output: Value },
    /// Left out.
    Skipped { reason: String, by: Option<Actor>, result: Option<Value> },
    /// Done by hand.
    Done { evidence: String, by: Actor, result: Option<Value>, manual: bool },
}

/// An approval given to a step.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Given {
    pub by: Actor,
    /// Of what.
    pub digest: String,
    /// After this it counts for nothing.
    pub valid_until: Option<Timestamp>,
}

impl Given {
    /// Whether it counts at this instant.
    #[must_use]
    pub fn counts(&self, now: Timestamp) -> bool {
        self.valid_until.is_none_or(|until| now <= until)
    }
}

impl StepStatus {
    /// Those that need it need not wait any more.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(
            self,
            Self::Succeeded { .. } | Self::Failed { handled: true, .. } | Self::Skipped { .. } | Self::Done { .. }
        )
    }

    /// It goes on, or will by itself.
    #[must_use]
    pub fn is_at_work(&self) -> bool {
        matches!(self, Self::Running | Self::Verifying { .. } | Self::Retrying { .. })
    }
}

/// A step instance.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct StepState {
    pub status: StepStatus,
    /// 0 before the first.
    pub attempt: u32,
    /// The evaluated `with`.
    pub inputs: Value,
    /// The calls of the present attempt's body, in order: indexes into [`RunState::calls`].
    pub body: Vec<usize>,
    /// The calls of its rollback: undos, and those of its own `rollback`.
    pub rollback: Vec<usize>,
    /// When the present attempt began.
    pub attempt_started: Option<Timestamp>,
    /// When it first began.
    pub started: Option<Timestamp>,
    /// When it settled.
    pub ended: Option<Timestamp>,
    /// Its first effect past a point of no return has been sent.
    pub no_return: bool,
    /// It has all its approvals.
    pub approved: bool,
    /// Nobody has to approve it: it belongs to a drill, and touches nothing but what that made.
    pub waived: bool,
    /// The approvals given to it, expired ones too.
    pub given: Vec<Given>,
    /// What they let it do, as far as it was foreseen, and the number of the record that asked.
    pub tree: Option<(Tree, u64)>,
    /// The output its failed `verify` was asked about.
    pub unverified: Option<Value>,
    /// Calls of `rollback` from here on belong to the present try of its own `rollback`.
    pub rollback_from: usize,
    /// Its own `rollback` has run.
    pub rolled_back: bool,
    /// Sequence number of the record that began it.
    pub began_seq: u64,
    /// In a plan: it runs only if only the run will know what.
    pub runs_if: Vec<Decision>,
}

impl StepState {
    /// It has come to an end that those who need it can go on from.
    #[must_use]
    pub fn is_settled(&self) -> bool {
        matches!(
            self.status,
            StepStatus::Succeeded { .. }
                | StepStatus::Skipped { .. }
                | StepStatus::Done { .. }
                | StepStatus::Failed { handled: true, .. }
        )
    }

    /// How many of the approvals given to it count at this instant.
    #[must_use]
    pub fn approvals(&self, now: Timestamp) -> usize {
        self.given.iter().filter(|given| given.counts(now)).count()
    }

    /// An attempt at it has begun, and has not been rolled back.
    #[must_use]
    pub fn is_begun(&self) -> bool {
        self.attempt_started.is_some()
    }
}
