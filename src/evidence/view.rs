//! A run as people see it: a fold over its records.

use std::collections::BTreeMap;

use serde::Serialize;

use super::settled;
pub use super::view_step::{Approval, StepState, StepView};
use crate::journal::{Fact, Outcome, Pause, Record, UndoPlan};
use crate::model::command::Command;
use crate::model::fault::{OpError, Target};
use crate::model::forecast::PlanPin;
use crate::model::status::{Mode, RunStatus};
use crate::model::{CallId, Phase, RunId, StepPath, Timestamp, Value};
use crate::plan::drill::DrillReport;

/// What a run was started with.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Header {
    /// The run.
    pub run: RunId,
    /// Name and version of its playbook.
    pub playbook: String,
    /// See above.
    pub version: String,
    /// Digest of its bundle.
    pub bundle: String,
    /// Live, plan or sandbox.
    pub mode: Mode,
    /// Parameters; secrets are handles.
    pub params: Value,
    /// Who started it.
    pub by: String,
    /// The run it continues with another bundle.
    pub forked_from: Option<RunId>,
}

/// How a call stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum CallState {
    /// Sent or waited for.
    Open,
    /// Sent by a holder that is gone; nobody has yet found out what became of it.
    Doubt(String),
    /// Done.
    Done,
    /// Failed.
    Failed(OpError),
}

/// How the undo of a call stands.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum UndoState {
    /// Sent.
    Open,
    /// Undone.
    Done,
    /// The undo failed.
    Failed(OpError),
    /// Left out, and why.
    Skipped(String),
}

/// A call.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct CallView {
    /// Which.
    pub id: CallId,
    /// The operation.
    pub op: String,
    /// Its arguments.
    pub args: Value,
    /// Whether it has an effect.
    pub writes: bool,
    /// How it stands.
    pub state: CallState,
    /// When it was sent, or made.
    pub begun: Timestamp,
    /// When its outcome was known.
    pub ended: Option<Timestamp>,
    /// When a timer ends.
    pub until: Option<Timestamp>,
    /// Its result.
    pub result: Value,
    /// How it can be undone.
    pub undo: Option<UndoPlan>,
    /// How its undo stands.
    pub undone: Option<UndoState>,
    /// The call this one undoes.
    pub undoes: Option<CallId>,
    /// How often it was sent again.
    pub resent: u32,
}

/// A rollback.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Rollback {
    /// Down to (not including) this step.
    pub to: Option<StepPath>,
    /// Who began it.
    pub by: String,
    /// Why.
    pub reason: String,
}

/// The end of a run.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct End {
    /// How.
    pub status: RunStatus,
    /// What a person should know.
    pub remarks: Vec<String>,
    /// What the run gave.
    pub outputs: BTreeMap<String, Value>,
    /// When.
    pub at: Timestamp,
}

/// A run as people see it.
#[derive(Clone, Debug, Default)]
pub struct View {
    pub header: Option<Header>,
    /// The plan the run is bound to.
    pub plan: Option<PlanPin>,
    pub holder: Option<String>,
    pub targets: Vec<Target>,
    pub steps: Vec<StepView>,
    pub calls: Vec<CallView>,
    pub pauses: Vec<Pause>,
    pub rollback: Option<Rollback>,
    /// Steps that have come to their point of no return.
    pub crossed: Vec<StepPath>,
    pub cancelling: Option<String>,
    pub notes: Vec<(Timestamp, String, String)>,
    /// With why, if it was refused.
    pub commands: Vec<(Timestamp, Command, Option<String>)>,
    pub end: Option<End>,
    /// What it has come to as a drill.
    drill: Option<Box<DrillReport>>,
    pub begun: Option<Timestamp>,
    pub updated: Option<Timestamp>,
    pub records: u64,
    progress: BTreeMap<StepPath, String>,
    by_step: BTreeMap<StepPath, usize>,
    by_call: BTreeMap<CallId, usize>,
}

impl View {
    /// A view of a run whose playbook has these steps (id and title, in order). Steps the run has not reached are shown.
    #[must_use]
    pub fn of_steps<'s>(steps: impl IntoIterator<Item = (&'s str, &'s str)>) -> Self {
        let mut view = Self::default();
        for (id, title) in steps {
            let place = view.step_place(&StepPath::of(id));
            title.clone_into(&mut view.steps[place].title);
        }
        view
    }

    /// Takes one record in. The only mutation besides [`View::progress`].
    pub fn apply(&mut self, record: &Record) {
        self.records += 1;
        self.begun.get_or_insert(record.at);
        self.updated = Some(record.at);
        self.pauses.retain(|pause| !settled::by(&record.fact, pause));
        DrillReport::follow(&mut self.drill, record);
        let at = record.at;
        match &record.fact {
            Fact::RunStarted { run, playbook, version, bundle, mode, params, by, forked_from, .. } => {
                self.header = Some(Header {
                    run: run.clone(),
                    playbook: playbook.clone(),
                    version: version.clone(),
                    bundle: bundle.clone(),
                    mode: *mode,
                    params: params.clone(),
                    by: by.name.clone(),
                    forked_from: forked_from.clone(),
                });
            }
            Fact::PlanApproved { .. } | Fact::DrillMeasured { .. } | Fact::DrillSwept { .. } => {}
            Fact::ApprovalWaived { step, .. } => self.step(step).state = StepState::Pending,
            Fact::TeardownBegun { teardown } => {
                self.rollback = Some(Rollback { to: None, by: "muster".to_owned(), reason: teardown.reason() });
            }
            Fact::PlanBound { plan, .. } => {
                self.plan = Some(plan.clone());
                // What was approved was something else.
                for step in &mut self.steps {
                    if let StepState::Approval { .. } = step.state {
                        step.state = if step.begun.is_some() { StepState::Running } else { StepState::Pending };
                    }
                }
            }
            Fact::Held { holder } => {
                self.holder = Some(holder.clone());
                for call in self.calls.iter_mut().filter(|call| call.writes && call.state == CallState::Open) {
                    call.state = CallState::Doubt(String::new());
                }
            }
            Fact::TargetMet { target } => self.targets.push(target.clone()),
            Fact::Expanded { step, items, .. } => self.expand(step, items),
            Fact::StepStarted { step, attempt, .. } => {
                let step = self.step(step);
                (step.state, step.attempt, step.ended) = (StepState::Running, *attempt, None);
                step.begun.get_or_insert(at);
            }
            Fact::StepRetried { step, not_before, .. } => {
                self.step(step).state = StepState::Retrying(*not_before);
            }
            Fact::Intent { call, op, args, undo, undoes, .. } => {
                let place = self.begin(call, op, args, at);
                let entry = &mut self.calls[place];
                (entry.writes, entry.undo, entry.undoes) = (true, Some(undo.clone()), undoes.clone());
                self.mark_undo(undoes.as_ref(), UndoState::Open);
            }
            Fact::WaitBegun { call, op, args, until, .. } => {
                let place = self.begin(call, op, args, at);
                self.calls[place].until = *until;
            }
            Fact::Called { call, op, args, outcome, .. } | Fact::Foreseen { call, op, args, outcome, .. } => {
                let place = self.begin(call, op, args, at);
                self.finish(place, outcome, at);
            }
            Fact::Ended { call, outcome } => {
                self.progress.remove(&call.step);
                if let Some(&place) = self.by_call.get(call) {
                    self.finish(place, outcome, at);
                }
            }
            Fact::Probed { call, found } => self.each_call(call, |call| {
                if call.state != CallState::Done {
                    call.state = CallState::Doubt(found.clone());
                }
            }),
            Fact::Resent { call, .. } => self.each_call(call, |call| {
                call.state = CallState::Open;
                call.resent += 1;
            }),
            Fact::NoReturn { step } => self.crossed.push(step.clone()),
            Fact::SecretMet { .. }
            | Fact::SecretAccepted { .. }
            | Fact::RunsIf { .. }
            | Fact::Checked { .. }
            | Fact::Foretold { .. }
            | Fact::PathsForeseen { .. }
            | Fact::RestForeseen
            | Fact::Resumed { .. }
            | Fact::RollbackFailed { .. }
            | Fact::StepRolledBack { .. } => {}
            Fact::RollbackEnded { reset } => {
                self.rollback = None;
                for path in reset {
                    let step = self.step(path);
                    (step.state, step.begun, step.ended, step.output) = (StepState::Pending, None, None, Value::Null);
                }
            }
            Fact::Verifying { step, output, until } => {
                let step = self.step(step);
                (step.state, step.output) = (StepState::Verifying(*until), output.clone());
            }
            Fact::StepSucceeded { step, output } => self.end_step(step, StepState::Succeeded, output.clone(), at),
            Fact::StepFailed { step, error, handled } => {
                let state = StepState::Failed { error: error.clone(), handled: *handled };
                self.end_step(step, state, Value::Null, at);
            }
            Fact::StepSkipped { step, reason, result, .. } => {
                let state = StepState::Skipped { reason: reason.clone() };
                self.end_step(step, state, result.clone().unwrap_or_default(), at);
            }
            Fact::StepDone { step, evidence, by, result } => {
                let state = StepState::Done { evidence: evidence.clone(), by: by.name.clone() };
                self.end_step(step, state, result.clone().unwrap_or_default(), at);
            }
            Fact::ApprovalAsked { step, by, count, digest, tree, unforeseen, .. } => {
                let step = self.step(step);
                step.state = StepState::Approval {
                    given: Vec::new(),
                    needed: *count,
                    by: by.clone(),
                    digest: digest.clone(),
                    tree: tree.clone(),
                    unforeseen: unforeseen.clone(),
                };
            }
            Fact::Approved { step, by, valid_until, .. } => {
                let step = self.step(step);
                let begun = step.begun.is_some();
                if let StepState::Approval { given, needed, .. } = &mut step.state {
                    given.retain(|one| one.by != by.name && one.valid_until.is_none_or(|until| at <= until));
                    given.push(Approval { by: by.name.clone(), valid_until: *valid_until });
                    if begun && given.len() >= *needed as usize {
                        step.state = StepState::Running;
                    }
                }
            }
            Fact::ManualAsked { step, instructions } => {
                let step = self.step(step);
                step.state = StepState::Manual(instructions.clone());
                step.begun.get_or_insert(at);
            }
            Fact::Paused { pause } => {
                if !self.pauses.contains(pause) {
                    self.pauses.push(pause.clone());
                }
            }
            Fact::Commanded { command, refused } => self.commands.push((at, command.clone(), refused.clone())),
            Fact::Noted { by, text } => self.notes.push((at, by.name.clone(), text.clone())),
            Fact::RollbackBegun { to, by, reason, .. } => {
                self.rollback = Some(Rollback { to: to.clone(), by: by.name.clone(), reason: reason.clone() });
            }
            Fact::UndoSkipped { call, reason, .. } => self.mark_undo(Some(call), UndoState::Skipped(reason.clone())),
            Fact::Cancelling { by, .. } => self.cancelling = Some(by.name.clone()),
            Fact::Finished { status, remarks, outputs } => {
                self.end = Some(End { status: *status, remarks: remarks.clone(), outputs: outputs.clone(), at });
                self.pauses.clear();
            }
        }
    }

    /// Takes in how far the open call of a step is: not durable, so not a record. Forgotten when the call ends.
    pub fn progress(&mut self, step: &StepPath, text: &str) {
        if self.find(step).is_some_and(|step| self.current(step).is_some()) {
            self.progress.insert(step.clone(), text.to_owned());
        }
    }

    /// What it has come to as a drill, if it is one.
    #[must_use]
    pub fn drill(&self) -> Option<&DrillReport> {
        self.drill.as_deref()
    }

    /// What the run was started with; absent before its first record.
    #[must_use]
    pub fn header(&self) -> Option<&Header> {
        self.header.as_ref()
    }

    /// Its steps, as in the playbook; the instances of a `foreach` step follow it.
    #[must_use]
    pub fn steps(&self) -> &[StepView] {
        &self.steps
    }

    /// The step instance of this path.
    #[must_use]
    pub fn find(&self, path: &StepPath) -> Option<&StepView> {
        self.by_step.get(path).map(|&place| &self.steps[place])
    }

    /// Its calls, in the order they were made.
    #[must_use]
    pub fn calls(&self) -> &[CallView] {
        &self.calls
    }

    /// The call of this id.
    #[must_use]
    pub fn call(&self, id: &CallId) -> Option<&CallView> {
        self.by_call.get(id).map(|&place| &self.calls[place])
    }

    /// What it waits for a person for: the pauses recorded, and those that follow from where its steps stand.
    #[must_use]
    pub fn pauses(&self) -> Vec<Pause> {
        let mut all = self.pauses.clone();
        if self.end.is_some() || self.rollback.is_some() {
            return all;
        }
        for step in &self.steps {
            let path = step.path.clone();
            let pause = match &step.state {
                StepState::Approval { given, needed, .. } if given.len() < *needed as usize => {
                    Pause::Approval { step: path }
                }
                StepState::Manual(_) => Pause::Manual { step: path },
                StepState::Failed { handled: false, .. } => Pause::StepFailed { step: path },
                StepState::Running => match self.current(step).filter(|call| call.op.starts_with("ask.")) {
                    Some(call) => {
                        let question = call.args.get("question").and_then(Value::as_str).unwrap_or_default();
                        Pause::Question { step: path, question: question.to_owned() }
                    }
                    None => continue,
                },
                _ => continue,
            };
            if !all.contains(&pause) {
                all.push(pause);
            }
        }
        all
    }

    /// The things it works on.
    #[must_use]
    pub fn targets(&self) -> &[Target] {
        &self.targets
    }

    /// Records taken in so far.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Everything anybody told it, with why if it was refused.
    #[must_use]
    pub fn commands(&self) -> &[(Timestamp, Command, Option<String>)] {
        &self.commands
    }

    /// Its end.
    #[must_use]
    pub fn end(&self) -> Option<&End> {
        self.end.as_ref()
    }

    /// How far the open call of a step is.
    #[must_use]
    pub fn progress_of(&self, step: &StepPath) -> Option<&str> {
        self.progress.get(step).map(String::as_str)
    }

    /// Where it stands. A run that waits for a person in one branch and works in another is running.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        if let Some(end) = &self.end {
            return end.status;
        }
        let quiescing = self.rollback.is_some() || self.cancelling.is_some();
        if quiescing && !self.pauses.is_empty() {
            return RunStatus::Paused;
        }
        if self.rollback.is_some() {
            return RunStatus::RollingBack;
        }
        let pauses = self.pauses();
        let held = |step: &StepView| {
            pauses.iter().any(|pause| match pause {
                Pause::Question { step: of, .. } => *of == step.path,
                other => other.holds() == Some(&step.path),
            })
        };
        let mut waits = false;
        for step in &self.steps {
            match &step.state {
                StepState::Running if held(step) => {}
                StepState::Running if self.is_expanded(step) => {}
                StepState::Running => match self.current(step) {
                    Some(call) if !call.writes => waits = true,
                    _ => return RunStatus::Running,
                },
                StepState::Verifying(_) | StepState::Retrying(_) => waits |= !held(step),
                _ => {}
            }
        }
        match (waits, pauses.is_empty()) {
            (true, _) => RunStatus::Waiting,
            (false, true) => RunStatus::Running,
            (false, false) => RunStatus::Paused,
        }
    }

    fn is_expanded(&self, step: &StepView) -> bool {
        step.path.key().is_none()
            && self.steps.iter().any(|other| other.path.key().is_some() && other.path.step() == step.path.as_str())
    }

    /// Whether an effect was ever about to be sent.
    #[must_use]
    pub fn has_effects(&self) -> bool {
        self.calls.iter().any(|call| call.writes)
    }

    /// Whether an effect was sent whose outcome is not known.
    #[must_use]
    pub fn has_doubt(&self) -> bool {
        self.calls.iter().any(|call| call.writes && call.ended.is_none())
    }

    /// The call a step is at, if it is at one.
    #[must_use]
    pub fn current(&self, step: &StepView) -> Option<&CallView> {
        step.calls.iter().rev().map(|&place| &self.calls[place]).find(|call| call.ended.is_none())
    }

    fn step_place(&mut self, path: &StepPath) -> usize {
        if let Some(&place) = self.by_step.get(path) {
            return place;
        }
        let fresh = StepView {
            path: path.clone(),
            title: String::new(),
            state: StepState::Pending,
            attempt: 0,
            begun: None,
            ended: None,
            output: Value::Null,
            calls: Vec::new(),
        };
        // An instance stands behind its step and its earlier siblings.
        let family = path.key().and_then(|_| self.steps.iter().rposition(|step| step.path.step() == path.step()));
        let place = family.map_or(self.steps.len(), |last| last + 1);
        self.steps.insert(place, fresh);
        for (later, step) in self.steps.iter().enumerate().skip(place) {
            self.by_step.insert(step.path.clone(), later);
        }
        place
    }

    fn step(&mut self, path: &StepPath) -> &mut StepView {
        let place = self.step_place(path);
        &mut self.steps[place]
    }

    fn expand(&mut self, step: &StepPath, items: &[(String, Value)]) {
        self.step(step);
        for (key, _) in items {
            self.step(&StepPath::keyed(step.as_str(), key));
        }
    }

    fn end_step(&mut self, path: &StepPath, state: StepState, output: Value, at: Timestamp) {
        let step = self.step(path);
        (step.state, step.output, step.ended) = (state, output, Some(at));
    }

    fn begin(&mut self, id: &CallId, op: &str, args: &Value, at: Timestamp) -> usize {
        let call = CallView {
            id: id.clone(),
            op: op.to_owned(),
            args: args.clone(),
            writes: false,
            state: CallState::Open,
            begun: at,
            ended: None,
            until: None,
            result: Value::Null,
            undo: None,
            undone: None,
            undoes: None,
            resent: 0,
        };
        let place = self.calls.len();
        self.calls.push(call);
        self.by_call.insert(id.clone(), place);
        self.step(&id.step).calls.push(place);
        place
    }

    fn finish(&mut self, place: usize, outcome: &Outcome, at: Timestamp) {
        let call = &mut self.calls[place];
        call.ended = Some(at);
        match outcome {
            Outcome::Done { result, .. } => (call.state, call.result) = (CallState::Done, result.clone()),
            Outcome::Error { error } => call.state = CallState::Failed(error.clone()),
        }
        let undoes = call.undoes.clone();
        let undone = match &call.state {
            CallState::Failed(error) => UndoState::Failed(error.clone()),
            _ => UndoState::Done,
        };
        self.mark_undo(undoes.as_ref(), undone);
    }

    fn mark_undo(&mut self, call: Option<&CallId>, state: UndoState) {
        if let Some(id) = call {
            self.each_call(id, |call| call.undone = Some(state));
        }
    }

    fn each_call(&mut self, id: &CallId, change: impl FnOnce(&mut CallView)) {
        if let Some(&place) = self.by_call.get(id) {
            change(&mut self.calls[place]);
        }
    }

    /// The last step beyond whose effect there is no way back, if what it did stands.
    #[must_use]
    pub fn no_return(&self) -> Option<&StepPath> {
        self.crossed.iter().rev().find(|path| self.find(path).is_some_and(|step| self.effects(step).0 > 0))
    }

    /// How many effects of a step stand, and how many of its effects were undone.
    #[must_use]
    pub fn effects(&self, step: &StepView) -> (usize, usize) {
        let calls = step.calls.iter().map(|&place| &self.calls[place]);
        calls.filter(|call| call.writes && call.id.phase != Phase::Rollback).fold((0, 0), |(standing, undone), call| {
            match (&call.undone, &call.state) {
                (Some(UndoState::Done), _) => (standing, undone + 1),
                (_, CallState::Done | CallState::Open | CallState::Doubt(_)) => (standing + 1, undone),
                (_, CallState::Failed(_)) => (standing, undone),
            }
        })
    }
}
