//! What a person (or another process) can say to a run. Commands travel through the store's durable inbox.

use serde::{Deserialize, Serialize};

use super::forecast::{PlanApproval, PlanPin};
use super::{StepPath, Timestamp, Value};

/// Who said it. On the command line this is the OS user, asserted, not proven.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Actor {
    /// `alice@host`.
    pub name: String,
}

impl Actor {
    /// Whether both are one person, as far as names tell: `alice`, `alice@laptop` and `Alice@desk` are. Who may not approve what they
    /// started may not do so from another machine, or by a token, either.
    #[must_use]
    pub fn is_same_person(&self, other: &Self) -> bool {
        let user = |actor: &Self| actor.name.split('@').next().unwrap_or_default().trim().to_lowercase();
        user(self) == user(other)
    }
}

/// A command with its author.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Command {
    /// Who said it.
    pub by: Actor,
    /// What they said.
    pub what: Order,
}

/// What was said.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "order", rename_all = "snake_case")]
pub enum Order {
    /// Try a failed step again; `from_start` first undoes the attempt.
    Retry { step: StepPath, from_start: bool },
    /// Leave a failed step out, with a reason and possibly a result for its dependants.
    Skip { step: StepPath, reason: String, result: Option<Value> },
    /// A failed or manual step was done by hand; `evidence` says how that is known.
    Done { step: StepPath, evidence: String, result: Option<Value> },
    /// Give one approval to a step that waits for it. `role` is asserted, not proven. `break_glass` lets the starter, or somebody
    /// who is not among the approvers, approve: it needs a reason, and is recorded as what it is.
    Approve {
        step: StepPath,
        role: Option<String>,
        reason: Option<String>,
        break_glass: bool,
        /// After this it counts for nothing; as long as the playbook says when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        valid_until: Option<Timestamp>,
        /// What was shown to whoever says so: the approval is refused when something else waits for it by now.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        digest: Option<String>,
    },
    /// Refuse a step that waits for approval: the step fails.
    Reject { step: StepPath, reason: String },
    /// Answer a question a script asked.
    Answer { step: StepPath, value: Value },
    /// Undo the run's effects, down to (not including) `to` if given. `force` undoes a resource that somebody else has
    /// changed since, and goes past a point of no return.
    Rollback { to: Option<StepPath>, force: bool },
    /// During a rollback: leave the undo that failed, with a reason.
    SkipUndo { reason: String },
    /// Settle a call in doubt that no probe can settle: it was done (with this result), or it was not.
    Settle { step: StepPath, done: bool, result: Option<Value>, reason: String },
    /// A secret that a step was stopped for has changed on purpose: go on with the new value.
    Accept { step: StepPath, reason: String },
    /// Let calls in flight finish, start no more; then roll back unless `no_rollback`.
    Cancel { no_rollback: bool },
    /// Stop at once. Calls in flight stay in doubt.
    Kill,
    /// Write something into the record.
    Note { text: String },
    /// Go on after a pause for targets or credentials; re-probes calls in doubt.
    Resume,
    /// Go on under a plan of the rest of the run, which was made when the run had moved so far: refused when it has moved since.
    Bind { plan: PlanPin, moves: u64, approvals: Vec<PlanApproval> },
}
