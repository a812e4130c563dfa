//! What a run's journal says, one record a fact. The run's state is a fold over these and nothing else.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::check::Check;
use crate::model::command::{Actor, Command};
use crate::model::drill::{DrillPin, Leak, Teardown};
use crate::model::fault::{OpError, Target};
use crate::model::forecast::{Basis, Change, Decision, PlanApproval, PlanPin, Tree, WayEnd};
use crate::model::paths::Paths;
use crate::model::secret::Sighting;
use crate::model::status::{Mode, RunStatus};
use crate::model::{CallId, RunId, StepPath, Timestamp, Value};

/// The version of the record format written by this program.
pub const FORMAT: u32 = 1;

/// One fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Record {
    /// Counts from 0 without a gap.
    pub seq: u64,
    /// When, by the holder's clock; never earlier than the record before.
    pub at: Timestamp,
    /// The epoch of the lease under which it was written.
    pub epoch: u64,
    /// The fact.
    pub fact: Fact,
}

/// How a call ended, as recorded.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum Outcome {
    /// Done.
    Done {
        /// Its result.
        result: Value,
        /// The fields it set, as they were right after; `Null` for calls without an effect.
        #[serde(default, skip_serializing_if = "Value::is_null")]
        fingerprint: Value,
    },
    /// Not done, or done in part.
    Error {
        /// Why.
        error: OpError,
    },
}

/// The undo of an effect, as stored with its intent.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "undo", rename_all = "snake_case")]
pub enum UndoPlan {
    /// There is nothing to undo.
    Nothing,
    /// It cannot be undone.
    Impossible { why: String },
    /// By this call, whose arguments may have slots for fields of the outcome.
    Call { op: String, args: Value },
}

/// Why a run is paused.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Pause {
    /// A step failed.
    StepFailed { step: StepPath },
    /// A step waits for approvals.
    Approval { step: StepPath },
    /// A step is done by hand.
    Manual { step: StepPath },
    /// A script asked.
    Question { step: StepPath, question: String },
    /// A call is in doubt and the world cannot tell.
    InDoubt { step: StepPath, call: CallId, reason: String },
    /// The run's targets are not what they were.
    Target { expected: Vec<Target>, found: Vec<Target> },
    /// Credentials are missing or have expired.
    Credentials { step: StepPath, message: String },
    /// A script was stopped for the time it took, which may be the machine's fault as well as the script's.
    Overtime { step: StepPath, message: String },
    /// A secret is not what it was when the run first used it.
    Secret { step: StepPath, was: Sighting, now: Sighting },
    /// An undo failed, or would undo somebody else's change.
    Undo { call: CallId, reason: String },
    /// A rollback would cross a point of no return.
    PointOfNoReturn { step: StepPath },
    /// A step is about to do what is not in the plan that the run is bound to, or else not in what was approved. Nothing was sent.
    OutsidePlan {
        step: StepPath,
        effect: String,
        /// There is no plan; it is what was approved that it leaves.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        approved: bool,
    },
    /// A rollback to this step has ended; the steps after it wait to be run again.
    RolledBackTo { step: StepPath },
}

/// What an effect is not in, for the sentence that says so.
#[must_use]
pub fn outside_of(approved: bool) -> &'static str {
    if approved { "not in what was approved" } else { "not in the plan" }
}

impl Pause {
    /// The step that it holds back where that is: nothing is done for it until a person has let it go on.
    #[must_use]
    pub fn holds(&self) -> Option<&StepPath> {
        match self {
            Self::InDoubt { step, .. }
            | Self::Credentials { step, .. }
            | Self::Overtime { step, .. }
            | Self::OutsidePlan { step, .. }
            | Self::Secret { step, .. } => Some(step),
            _ => None,
        }
    }
}

/// A fact.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(tag = "fact", rename_all = "snake_case")]
pub enum Fact {
    /// Initial. Pins everything that decides what the run does.
    RunStarted {
        format: u32,
        run: RunId,
        playbook: String,
        version: String,
        bundle: String,
        mode: Mode,
        /// Evaluated parameters; secrets are handles.
        params: Value,
        by: Actor,
        seed: u64,
        engine: String,
        #[serde(default, skip_serializing_if = "Option::is_none")]
        forked_from: Option<RunId>,
        /// It is a drill: fenced in, measured and torn down.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        drill: Option<Box<DrillPin>>,
    },
    /// The run is bound to this plan: an effect that is not in it stops the run before it is sent.
    PlanBound { plan: PlanPin, by: Actor },
    /// Somebody approved the plan that the run is bound to, before it began: counts at every step that waits for them.
    PlanApproved { approval: PlanApproval },
    /// Another process, or this one again, holds the run from here on.
    Held { holder: String },
    /// A thing the run works on, as first met.
    TargetMet { target: Target },
    /// A secret, as it is when a call is about to use it for the first time.
    SecretMet { secret: Sighting },
    /// A person accepts that a secret has changed: this is what it is from now on.
    SecretAccepted { secret: Sighting, by: Actor, reason: String },
    /// The instances of a `foreach` step: unique keys with their items, in order.
    Expanded {
        step: StepPath,
        items: Vec<(String, Value)>,
        /// In a plan only: the one instance stands for all of this list, which only the run will know.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        over: Option<String>,
    },
    /// A step begins an attempt. `inputs` are its evaluated `with`, or `Null`; `keep` is how many calls of the attempt before
    /// are kept.
    StepStarted { step: StepPath, attempt: u32, inputs: Value, keep: u32 },
    /// A step is to be tried again, not before this instant, because of its `retry` or an operator.
    StepRetried { step: StepPath, not_before: Timestamp, from_start: bool },
    /// A call with an effect is about to be sent. Durable before it is.
    Intent {
        call: CallId,
        op: String,
        revision: u32,
        args: Value,
        /// The idempotency key.
        key: String,
        before: Value,
        undo: UndoPlan,
        /// The call this one undoes, for undos.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        undoes: Option<CallId>,
    },
    /// A wait, a timer or a question begins. Durable before it is waited for.
    WaitBegun {
        call: CallId,
        op: String,
        revision: u32,
        args: Value,
        /// When a timer ends.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        until: Option<Timestamp>,
    },
    /// A call without an intent (a read, a value, a log line) and its outcome.
    Called { call: CallId, op: String, revision: u32, args: Value, outcome: Outcome },
    /// In a plan only: a call as it is foreseen. It was not made, unless it only reads.
    Foreseen {
        call: CallId,
        op: String,
        revision: u32,
        args: Value,
        outcome: Outcome,
        basis: Basis,
        /// Why it is not exact; empty when it is.
        #[serde(default, skip_serializing_if = "String::is_empty")]
        reason: String,
        /// The idempotency key it would have.
        key: String,
        #[serde(default, skip_serializing_if = "Value::is_null")]
        before: Value,
        takes_ms: u64,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        changes: Vec<Change>,
        /// The answers to open questions that lead here; empty when the call is made whatever they are.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        branch: Vec<Decision>,
        /// The call stands in a loop over this, which only the run will know: it is made once for each item.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        repeated: Option<String>,
        /// The bound of that loop which the plan covers, and the run may not exceed.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        at_most: Option<u64>,
    },
    /// In a plan only: what was found of a precondition before the first step.
    Checked { check: Check },
    /// In a plan only: whether the step runs depends on this, which only the run will know.
    RunsIf { step: StepPath, decision: Decision },
    /// In a plan only: which effects of a step may follow which, where they do not simply follow each other.
    PathsForeseen { step: StepPath, paths: Paths },
    /// In a plan only: how one of several ways through a step ends.
    Foretold {
        step: StepPath,
        /// The answers to open questions that lead here.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        branch: Vec<Decision>,
        end: WayEnd,
    },
    /// In a plan only: what stands before is what a run has recorded; what it would do from there is foreseen.
    RestForeseen,
    /// The outcome of an [`Fact::Intent`] or a [`Fact::WaitBegun`].
    Ended { call: CallId, outcome: Outcome },
    /// What a probe said of a call in doubt, when that alone does not end it.
    Probed { call: CallId, found: String },
    /// A call that is known not to have been done, or whose half has been undone, is about to be sent again: what the intent
    /// said of these is replaced. Durable before it is sent.
    Resent { call: CallId, key: String, before: Value, undo: UndoPlan },
    /// The first effect of a step with `point_of_no_return` is about to be sent.
    NoReturn { step: StepPath },
    /// The body of a step ended well; its `verify` begins.
    Verifying { step: StepPath, output: Value, until: Timestamp },
    /// Terminal for the step.
    StepSucceeded { step: StepPath, output: Value },
    /// The step failed: its choices are open, unless `handled` (`on_failure: continue`).
    StepFailed { step: StepPath, error: OpError, handled: bool },
    /// Terminal for the step: left out by its `when`, by an operator, or because what it needs was.
    StepSkipped { step: StepPath, reason: String, by: Option<Actor>, result: Option<Value> },
    /// Terminal for the step: done by hand.
    StepDone { step: StepPath, evidence: String, by: Actor, result: Option<Value> },
    /// A step waits for this many approvals by any of these.
    ApprovalAsked {
        step: StepPath,
        by: Vec<String>,
        count: u32,
        /// What an approval is of: bundle, parameters, targets, the outputs used, and the tree of effects as far as it is known.
        digest: String,
        /// What it would let the run do: what leaves it stops the run.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        tree: Option<Tree>,
        /// Why that is not known.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        unforeseen: Option<String>,
        /// Why it is asked for again.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        again: Option<String>,
    },
    /// One approval.
    Approved {
        step: StepPath,
        by: Actor,
        role: Option<String>,
        reason: Option<String>,
        break_glass: bool,
        digest: String,
        /// After this it counts for nothing, unless the step has begun by then.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        valid_until: Option<Timestamp>,
    },
    /// In a drill: nobody has to approve this step, for all that it can touch is the drill's own.
    ApprovalWaived { step: StepPath, reason: String },
    /// In a drill: all steps have ended, and this was measured, before anything is torn down.
    DrillMeasured {
        /// When the recovery was proved.
        proven: Timestamp,
        /// When the newest of the recovered data were written.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        newest: Option<Timestamp>,
        /// How much was lost, in milliseconds; negative when the newest data are from after the declared start.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        rpo_ms: Option<i64>,
        /// What the playbook's `measure` gave, by name.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        values: BTreeMap<String, Value>,
        /// What could not be measured, and why.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        faults: BTreeMap<String, String>,
    },
    /// In a drill: nothing new is begun, and all that it did is undone.
    TeardownBegun { teardown: Teardown },
    /// In a drill: everything it made has been looked for after its teardown. What still stands is told.
    DrillSwept {
        /// How many things were looked for.
        looked: u32,
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        leaks: Vec<Leak>,
        /// What was asked for everything that carries the run's mark.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        asked: Vec<String>,
        /// What could not be asked, and why.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        unasked: BTreeMap<String, String>,
    },
    /// A step is to be done by hand.
    ManualAsked { step: StepPath, instructions: String },
    /// The run waits for a person.
    Paused { pause: Pause },
    /// The run goes on.
    Resumed { by: Actor },
    /// Somebody said something; what follows from it stands in the records after.
    Commanded {
        command: Command,
        /// Why nothing follows from it: it was not carried out.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        refused: Option<String>,
    },
    /// Somebody wrote something down.
    Noted { by: Actor, text: String },
    /// Undoing begins: nothing new is started, and effects are undone back to (not including) those of `to`.
    /// With `only`, just the effects of that step are undone, which is then tried from its start.
    RollbackBegun { to: Option<StepPath>, only: Option<StepPath>, by: Actor, reason: String, force: bool },
    /// A step's own `rollback` failed; when it is run again, it begins anew.
    RollbackFailed { step: StepPath, error: OpError },
    /// A step's own `rollback` has run to its end.
    StepRolledBack { step: StepPath },
    /// A rollback that did not end the run is over: these steps are as if they had never begun.
    RollbackEnded { reset: Vec<StepPath> },
    /// A call's undo is left out, and why.
    UndoSkipped { call: CallId, reason: String, by: Option<Actor> },
    /// No new calls are made; those in flight end.
    Cancelling { by: Actor, no_rollback: bool },
    /// Terminal for the run.
    Finished {
        status: RunStatus,
        /// What a person should know: exceptions, effects left standing.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        remarks: Vec<String>,
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        outputs: BTreeMap<String, Value>,
    },
}
