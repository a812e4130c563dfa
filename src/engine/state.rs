//! The state of a run: a fold over its records, and nothing else.

use std::collections::{BTreeMap, BTreeSet, HashMap};

use crate::journal::record::{Fact, Outcome, Pause, Record};
use crate::model::command::Actor;
use crate::model::fault::Target;
use crate::model::forecast::{PlanApproval, PlanPin};
use crate::model::secret::Sighting;
use crate::model::status::{Mode, RunStatus};
use crate::model::{CallId, Phase, RunId, StepPath, Timestamp, Value};

pub use super::call::{CallKind, CallState, Undone};
pub use super::drill::DrillState;
pub use super::step::{Given, StepState, StepStatus};

/// What pins a run.
#[derive(Clone, Debug, PartialEq)]
pub struct Header {
    pub run: RunId,
    pub playbook: String,
    pub version: String,
    pub bundle: String,
    pub mode: Mode,
    pub params: Value,
    pub by: Actor,
    pub seed: u64,
    pub started: Timestamp,
    pub forked_from: Option<RunId>,
}

/// What [`Fact::Probed`] says when a person has looked and found that a call was not done.
pub const SETTLED_NOT_DONE: &str = "not done, says an operator";

/// A rollback under way.
#[derive(Clone, Debug, PartialEq)]
pub struct Rollback {
    pub to: Option<StepPath>,
    pub only: Option<StepPath>,
    pub by: Actor,
    pub reason: String,
    pub force: bool,
}

/// A record that cannot follow those before it: the journal was not written by this engine, or the engine is wrong.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("record {seq} cannot follow those before it: {what}")]
pub struct Illegal {
    pub seq: u64,
    pub what: String,
}

/// The state of a run.
#[derive(Clone, Debug, Default, PartialEq)]
pub struct RunState {
    pub header: Option<Header>,
    pub holder: Option<String>,
    pub epoch: u64,
    pub targets: BTreeMap<String, Target>,
    /// What its secrets were when it first used them, or when a person last accepted a change; by name.
    pub secrets: BTreeMap<String, Sighting>,
    /// The instances of `foreach` steps, by step.
    pub expanded: BTreeMap<String, Vec<(String, Value)>>,
    /// In a plan: `foreach` steps whose one instance stands for all of a list that only the run will know.
    pub expanded_over: BTreeMap<String, String>,
    pub steps: BTreeMap<StepPath, StepState>,
    pub calls: Vec<CallState>,
    index: HashMap<CallId, usize>,
    /// The calls that are open: few, however many there are.
    open: BTreeSet<usize>,
    /// Why it waits for a person, beyond what the steps themselves say.
    pub pauses: Vec<Pause>,
    /// The plan it is bound to.
    pub plan: Option<PlanPin>,
    /// The approvals of that plan.
    pub plan_approvals: Vec<PlanApproval>,
    pub rollback: Option<Rollback>,
    /// Who asked to cancel, and whether effects are to be left standing.
    pub cancelling: Option<(Actor, bool)>,
    pub finished: Option<(RunStatus, Vec<String>)>,
    pub notes: Vec<(Timestamp, Actor, String)>,
    /// It is a drill, and how far that has got.
    pub drill: Option<Box<DrillState>>,
    /// How often a settled step may have become open again, or an open one was settled out of turn, by a person.
    pub reopened: u64,
    /// Sequence number of the next record.
    pub next_seq: u64,
    /// How many records there were after the last that says more than that the run is held, paused or spoken to.
    pub moves: u64,
    /// In a plan of the rest of a run: the number of the record from which it is foreseen.
    pub rest: Option<u64>,
    pub last_at: Option<Timestamp>,
}

impl RunState {
    /// The state after these records.
    ///
    /// # Errors
    /// At the first record that cannot follow.
    pub fn fold(records: &[Record]) -> Result<Self, Illegal> {
        let mut state = Self::default();
        for record in records {
            state.apply(record)?;
        }
        Ok(state)
    }

    /// The call of this id.
    #[must_use]
    pub fn call(&self, id: &CallId) -> Option<&CallState> {
        self.index.get(id).and_then(|index| self.calls.get(*index))
    }

    /// The number of the effect of this id.
    #[must_use]
    pub fn effect_of(&self, id: &CallId) -> Option<usize> {
        self.index_of(id).filter(|index| matches!(self.calls[*index].kind, CallKind::Effect { .. }))
    }

    /// The effects that have ended, and of which whoever wrote these records may not have let go: an intent's commit lets go of
    /// all that ended before it, so it is at most those between the last two.
    #[must_use]
    pub fn maybe_kept(&self, records: &[Record]) -> Vec<usize> {
        let mut intents = 0;
        let since = records.iter().rev().take_while(|record| {
            intents += u32::from(matches!(record.fact, Fact::Intent { .. } | Fact::Resent { .. }));
            intents < 2
        });
        since
            .filter_map(|record| match &record.fact {
                Fact::Ended { call, .. } => self.effect_of(call),
                _ => None,
            })
            .collect()
    }

    /// The number of the call of this id.
    #[must_use]
    pub fn index_of(&self, id: &CallId) -> Option<usize> {
        self.index.get(id).copied()
    }

    /// The calls that nobody recorded the end of, oldest first, with their numbers.
    pub fn open_calls(&self) -> impl Iterator<Item = (usize, &CallState)> {
        self.open.iter().filter_map(|index| Some((*index, self.calls.get(*index)?)))
    }

    /// The step instance of this path, if anything has been recorded of it.
    #[must_use]
    pub fn step(&self, path: &StepPath) -> Option<&StepState> {
        self.steps.get(path)
    }

    /// The only mutation.
    ///
    /// # Errors
    /// When the record cannot follow those before it; the state is then unusable.
    pub fn apply(&mut self, record: &Record) -> Result<(), Illegal> {
        let illegal = |what: String| Illegal { seq: record.seq, what };
        if record.seq != self.next_seq {
            return Err(illegal(format!("number {} was expected", self.next_seq)));
        }
        if self.header.is_none() != matches!(record.fact, Fact::RunStarted { .. }) {
            return Err(illegal("a journal begins with `run_started`, once".to_owned()));
        }
        if self.finished.is_some()
            && !matches!(record.fact, Fact::Noted { .. } | Fact::Commanded { .. } | Fact::Held { .. })
        {
            return Err(illegal("the run had ended".to_owned()));
        }
        let at = record.at;
        self.reopened += u64::from(self.reopens(&record.fact));
        match &record.fact {
            Fact::RunStarted { run, playbook, version, bundle, mode, params, by, seed, forked_from, drill, .. } => {
                self.drill = drill.as_ref().map(|pin| Box::new(DrillState::of(pin.as_ref().clone())));
                self.header = Some(Header {
                    run: run.clone(),
                    playbook: playbook.clone(),
                    version: version.clone(),
                    bundle: bundle.clone(),
                    mode: *mode,
                    params: params.clone(),
                    by: by.clone(),
                    seed: *seed,
                    started: at,
                    forked_from: forked_from.clone(),
                });
            }
            Fact::Held { holder } => self.holder = Some(holder.clone()),
            Fact::TargetMet { target } => {
                self.targets.insert(target.name.clone(), target.clone());
            }
            Fact::SecretMet { secret } => {
                self.secrets.insert(secret.name(), secret.clone());
            }
            Fact::SecretAccepted { secret, .. } => {
                self.secrets.insert(secret.name(), secret.clone());
                // Whoever else was stopped for it goes on too, if it was for this very value.
                self.pauses.retain(|pause| !matches!(pause, Pause::Secret { now, .. } if now == secret));
            }
            Fact::Expanded { step, items, over } => {
                self.expanded.insert(step.as_str().to_owned(), items.clone());
                if let Some(over) = over {
                    self.expanded_over.insert(step.as_str().to_owned(), over.clone());
                }
                let parent = self.steps.entry(step.clone()).or_default();
                parent.started.get_or_insert(at);
            }
            Fact::StepStarted { step, attempt, inputs, keep } => {
                let state = self.steps.entry(step.clone()).or_default();
                if *attempt != state.attempt + 1 {
                    return Err(illegal(format!("attempt {attempt} of {step} after attempt {}", state.attempt)));
                }
                state.attempt = *attempt;
                state.inputs = inputs.clone();
                state.body.truncate(*keep as usize);
                state.attempt_started = Some(at);
                if state.started.is_none() {
                    state.started = Some(at);
                    state.began_seq = record.seq;
                }
                state.ended = None;
                state.unverified = None;
                state.status = StepStatus::Running;
            }
            Fact::StepRetried { step, not_before, from_start } => {
                let state = self.steps.entry(step.clone()).or_default();
                if *from_start {
                    state.body.clear();
                    state.unverified = None;
                }
                // A step that failed before it began (its `when`, its inputs, a refused approval) is entered anew.
                state.status = match state.is_begun() {
                    true => StepStatus::Retrying { not_before: *not_before },
                    false => StepStatus::Pending,
                };
                self.forget_pauses_of(step);
            }
            Fact::Intent { call, op, revision, args, key, before, undo, undoes } => {
                self.add_call(CallState {
                    id: call.clone(),
                    op: op.clone(),
                    revision: *revision,
                    args: args.clone(),
                    kind: CallKind::Effect {
                        key: key.clone(),
                        before: before.clone(),
                        undo: undo.clone(),
                        undoes: undoes.clone(),
                    },
                    outcome: None,
                    undone: Undone::No,
                    resent: 0,
                    settled_not_done: false,
                    seq: record.seq,
                    at,
                })
                .map_err(illegal)?;
            }
            Fact::WaitBegun { call, op, revision, args, until } => {
                self.add_call(CallState {
                    id: call.clone(),
                    op: op.clone(),
                    revision: *revision,
                    args: args.clone(),
                    kind: CallKind::Wait { until: *until },
                    outcome: None,
                    undone: Undone::No,
                    resent: 0,
                    settled_not_done: false,
                    seq: record.seq,
                    at,
                })
                .map_err(illegal)?;
            }
            Fact::Foreseen { call, outcome, .. } if self.rest.is_some() && self.index.contains_key(call) => {
                let index = self.index.get(call).copied().filter(|index| self.open.remove(index));
                let index = index.ok_or_else(|| illegal(format!("call {call} had ended")))?;
                self.calls[index].outcome = Some(outcome.clone());
            }
            Fact::Called { call, op, revision, args, outcome }
            | Fact::Foreseen { call, op, revision, args, outcome, .. } => {
                self.add_call(CallState {
                    id: call.clone(),
                    op: op.clone(),
                    revision: *revision,
                    args: args.clone(),
                    kind: CallKind::Plain,
                    outcome: Some(outcome.clone()),
                    undone: Undone::No,
                    resent: 0,
                    settled_not_done: false,
                    seq: record.seq,
                    at,
                })
                .map_err(illegal)?;
            }
            Fact::Ended { call, outcome } => {
                let index = *self.index.get(call).ok_or_else(|| illegal(format!("call {call} never began")))?;
                let state = &mut self.calls[index];
                if state.outcome.is_some() {
                    return Err(illegal(format!("call {call} had ended")));
                }
                state.outcome = Some(outcome.clone());
                self.open.remove(&index);
                let undoes = match &state.kind {
                    CallKind::Effect { undoes: Some(undoes), .. } => Some(undoes.clone()),
                    _ => None,
                };
                if let (Some(undoes), Outcome::Done { .. }) = (undoes, outcome)
                    && let Some(undone) = self.index.get(&undoes)
                {
                    self.calls[*undone].undone = Undone::Yes;
                }
                self.pauses.retain(|pause| !concerns_call(pause, call));
            }
            Fact::Probed { call, found } => {
                if let (SETTLED_NOT_DONE, Some(index)) = (found.as_str(), self.index.get(call)) {
                    self.calls[*index].settled_not_done = true;
                    self.pauses.retain(|pause| !concerns_call(pause, call));
                }
            }
            Fact::Resent { call, key, before, undo } => {
                let index = *self.index.get(call).ok_or_else(|| illegal(format!("call {call} never began")))?;
                let state = &mut self.calls[index];
                if let CallKind::Effect { key: old_key, before: old_before, undo: old_undo, .. } = &mut state.kind {
                    old_key.clone_from(key);
                    old_before.clone_from(before);
                    old_undo.clone_from(undo);
                }
                state.undone = Undone::No;
                state.settled_not_done = false;
                state.resent += 1;
                self.pauses.retain(|pause| !concerns_call(pause, call));
            }
            Fact::RunsIf { step, decision } => {
                self.steps.entry(step.clone()).or_default().runs_if.push(decision.clone());
            }
            Fact::Checked { .. } | Fact::Foretold { .. } | Fact::PathsForeseen { .. } => {}
            Fact::RestForeseen => self.foresee_rest(record.seq),
            Fact::NoReturn { step } => self.steps.entry(step.clone()).or_default().no_return = true,
            Fact::Verifying { step, output, until } => {
                self.steps.entry(step.clone()).or_default().status =
                    StepStatus::Verifying { output: output.clone(), until: *until };
            }
            Fact::StepSucceeded { step, output } => {
                let state = self.steps.entry(step.clone()).or_default();
                state.status = StepStatus::Succeeded { output: output.clone() };
                state.started.get_or_insert(at);
                state.ended = Some(at);
            }
            Fact::StepFailed { step, error, handled } => {
                let state = self.steps.entry(step.clone()).or_default();
                state.unverified = match std::mem::take(&mut state.status) {
                    StepStatus::Verifying { output, .. } => Some(output),
                    _ => None,
                };
                state.status = StepStatus::Failed { error: error.clone(), handled: *handled };
                state.ended = Some(at);
            }
            Fact::StepSkipped { step, reason, by, result } => {
                let state = self.steps.entry(step.clone()).or_default();
                state.status = StepStatus::Skipped { reason: reason.clone(), by: by.clone(), result: result.clone() };
                state.ended = Some(at);
                self.forget_pauses_of(step);
            }
            Fact::StepDone { step, evidence, by, result } => {
                let state = self.steps.entry(step.clone()).or_default();
                let manual = matches!(state.status, StepStatus::AwaitingManual { .. });
                state.status =
                    StepStatus::Done { evidence: evidence.clone(), by: by.clone(), result: result.clone(), manual };
                state.started.get_or_insert(at);
                state.ended = Some(at);
                self.forget_pauses_of(step);
            }
            Fact::ApprovalAsked { step, by, count, digest, tree, .. } => {
                let state = self.steps.entry(step.clone()).or_default();
                (state.approved, state.waived) = (false, false);
                // Of those given before, those count on that are of the same.
                state.given.retain(|given| given.digest == *digest);
                state.tree = tree.clone().map(|tree| (tree, record.seq));
                state.status = StepStatus::AwaitingApproval { by: by.clone(), count: *count, digest: digest.clone() };
            }
            Fact::Approved { step, by, valid_until, .. } => {
                let state = self.steps.entry(step.clone()).or_default();
                if let StepStatus::AwaitingApproval { count, digest, .. } = &state.status {
                    let (count, digest) = (*count as usize, digest.clone());
                    state.given.retain(|given| given.by != *by);
                    state.given.push(Given { by: by.clone(), digest, valid_until: *valid_until });
                    if state.approvals(at) >= count {
                        state.approved = true;
                        // It may have been asked for in the middle: when the run was bound to another plan since it began.
                        state.status = if state.is_begun() { StepStatus::Running } else { StepStatus::Pending };
                    }
                }
            }
            Fact::ManualAsked { step, instructions } => {
                let state = self.steps.entry(step.clone()).or_default();
                state.started.get_or_insert(at);
                state.status = StepStatus::AwaitingManual { instructions: instructions.clone() };
            }
            Fact::Paused { pause } => {
                if !self.pauses.contains(pause) {
                    self.pauses.push(pause.clone());
                }
            }
            Fact::Resumed { .. } => self.pauses.clear(),
            Fact::PlanBound { plan, .. } => {
                // What was approved was another plan.
                self.plan_approvals.clear();
                self.plan = Some(plan.clone());
                self.void_approvals();
            }
            Fact::PlanApproved { approval } => self.plan_approvals.push(approval.clone()),
            Fact::Commanded { .. } => {}
            Fact::Noted { by, text } => self.notes.push((at, by.clone(), text.clone())),
            Fact::RollbackBegun { to, only, by, reason, force } => {
                self.rollback = Some(Rollback {
                    to: to.clone(),
                    only: only.clone(),
                    by: by.clone(),
                    reason: reason.clone(),
                    // All that a drill did is its own.
                    force: *force || (self.drill.is_some() && to.is_none() && only.is_none()),
                });
                self.pauses.clear();
            }
            Fact::ApprovalWaived { .. }
            | Fact::DrillMeasured { .. }
            | Fact::TeardownBegun { .. }
            | Fact::DrillSwept { .. } => self.drilled(&record.fact),
            Fact::RollbackFailed { step, .. } => {
                let state = self.steps.entry(step.clone()).or_default();
                state.rollback_from = state.rollback.len();
            }
            Fact::StepRolledBack { step } => self.steps.entry(step.clone()).or_default().rolled_back = true,
            Fact::RollbackEnded { reset } => {
                self.rollback = None;
                for step in reset {
                    if let Some(state) = self.steps.get_mut(step) {
                        // Attempts go on counting, so that no call of a later attempt has the name of an earlier one.
                        *state = StepState { attempt: state.attempt, ..StepState::default() };
                    }
                    self.expanded.remove(step.as_str());
                }
            }
            Fact::UndoSkipped { call, reason, .. } => {
                if let Some(index) = self.index.get(call) {
                    self.calls[*index].undone = Undone::Skipped(reason.clone());
                }
                self.pauses.retain(|pause| !concerns_call(pause, call));
            }
            Fact::Cancelling { by, no_rollback } => {
                self.cancelling = Some((by.clone(), *no_rollback));
                if *no_rollback {
                    self.rollback = None;
                }
                self.pauses.clear();
            }
            Fact::Finished { status, remarks, .. } => self.finished = Some((*status, remarks.clone())),
        }
        self.next_seq += 1;
        if !matches!(
            record.fact,
            Fact::Held { .. }
                | Fact::Noted { .. }
                | Fact::Commanded { .. }
                | Fact::Paused { .. }
                | Fact::Resumed { .. }
        ) {
            self.moves = self.next_seq;
        }
        self.epoch = record.epoch;
        self.last_at = Some(at);
        Ok(())
    }

    /// Whatever was approved was something else: steps that have not come to their end are to be approved anew.
    fn void_approvals(&mut self) {
        for step in self.steps.values_mut().filter(|step| !step.is_settled()) {
            step.approved = false;
            step.given.clear();
            step.tree = None;
            if let StepStatus::AwaitingApproval { .. } = step.status {
                step.status = if step.is_begun() { StepStatus::Running } else { StepStatus::Pending };
            }
        }
    }

    /// From here on a plan goes on where the run stands: as if people had done all that it waits for.
    fn foresee_rest(&mut self, seq: u64) {
        self.rest = Some(seq);
        self.pauses.clear();
        for step in self.steps.values_mut() {
            let begun = step.is_begun();
            step.status = match std::mem::take(&mut step.status) {
                StepStatus::AwaitingApproval { .. } if begun => StepStatus::Running,
                StepStatus::AwaitingApproval { .. } | StepStatus::AwaitingManual { .. } => StepStatus::Pending,
                StepStatus::Failed { handled: false, .. } if !begun => StepStatus::Pending,
                StepStatus::Failed { handled: false, .. } | StepStatus::Retrying { .. } => {
                    StepStatus::Retrying { not_before: Timestamp::MIN }
                }
                StepStatus::Verifying { output, .. } => StepStatus::Succeeded { output },
                other => other,
            };
        }
    }

    /// Whether a settled step may no longer be settled after this, or a person settles one before its turn.
    fn reopens(&self, fact: &Fact) -> bool {
        match fact {
            Fact::RollbackEnded { .. } | Fact::RestForeseen | Fact::StepDone { .. } => true,
            Fact::StepStarted { step, .. }
            | Fact::StepRetried { step, .. }
            | Fact::Verifying { step, .. }
            | Fact::StepFailed { step, .. }
            | Fact::ApprovalAsked { step, .. }
            | Fact::ManualAsked { step, .. } => self.steps.get(step).is_some_and(|state| state.status.is_settled()),
            Fact::Expanded { step, .. } => self.expanded.contains_key(step.as_str()),
            Fact::StepSkipped { by: Some(by), .. } => *by != super::unwind::engine_actor(),
            _ => false,
        }
    }

    fn add_call(&mut self, call: CallState) -> Result<(), String> {
        if self.index.contains_key(&call.id) {
            return Err(format!("call {} had begun", call.id));
        }
        let index = self.calls.len();
        let step = self.steps.entry(call.id.step.clone()).or_default();
        match call.id.phase {
            Phase::Body => {
                if call.id.attempt != step.attempt || call.id.seq as usize != step.body.len() {
                    return Err(format!("call {} is out of turn", call.id));
                }
                step.body.push(index);
            }
            Phase::Rollback => {
                if call.id.seq as usize != step.rollback.len() {
                    return Err(format!("call {} is out of turn", call.id));
                }
                step.rollback.push(index);
            }
            Phase::Verify => return Err("calls of `verify` are not recorded".to_owned()),
        }
        self.index.insert(call.id.clone(), index);
        if call.is_open() {
            self.open.insert(index);
        }
        self.calls.push(call);
        Ok(())
    }

    fn forget_pauses_of(&mut self, step: &StepPath) {
        self.pauses.retain(|pause| match pause {
            Pause::StepFailed { step: of }
            | Pause::Approval { step: of }
            | Pause::Manual { step: of }
            | Pause::Question { step: of, .. }
            | Pause::InDoubt { step: of, .. }
            | Pause::Credentials { step: of, .. }
            | Pause::Overtime { step: of, .. }
            | Pause::OutsidePlan { step: of, .. }
            | Pause::Secret { step: of, .. } => of != step,
            _ => true,
        });
    }

    /// This is no run but the plan of one.
    #[must_use]
    pub fn is_plan(&self) -> bool {
        self.rest.is_some() || self.header.as_ref().is_some_and(|header| header.mode == Mode::Plan)
    }

    /// No new step or call may begin: a rollback or a cancellation is under way, or the run has ended.
    #[must_use]
    pub fn is_quiescing(&self) -> bool {
        self.rollback.is_some() || self.cancelling.is_some() || self.finished.is_some()
    }
}

/// Whether a pause is about this call.
pub(super) fn concerns_call(pause: &Pause, call: &CallId) -> bool {
    matches!(pause, Pause::InDoubt { call: of, .. } | Pause::Undo { call: of, .. } if of == call)
}
