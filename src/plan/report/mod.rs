//! What came of a plan: each planned call beside the call of the run, and the times beside the objective.

mod align;
pub mod text;

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use super::file::PlanFile;
use super::{Plan, PlannedCall, PlannedStep, StepOutcome};
use crate::engine::bound::ANY_KEY;
use crate::engine::state::{CallKind, CallState, RunState, StepState, StepStatus, Undone};
use crate::journal::record::{Fact, Outcome, Pause, Record};
use crate::model::forecast::Basis;
use crate::model::status::RunStatus;
use crate::model::{CallId, Phase, RunId, StepPath, Timestamp, Value};
use crate::ops::{self, Effect};

/// The version of the report's written form.
pub const FORMAT: u32 = 1;

/// A run beside its plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Report {
    /// [`FORMAT`].
    pub format: u32,
    /// The run.
    pub run: RunId,
    /// Its playbook.
    pub playbook: String,
    /// The playbook's version.
    pub version: String,
    /// Where the run stands.
    pub status: RunStatus,
    /// The digest of the plan.
    pub plan: String,
    /// When the plan was made.
    pub planned_at: Timestamp,
    /// By whom.
    pub planned_by: String,
    /// The plans of the rest that the run was bound to later, in order.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub replanned: Vec<Replanned>,
    /// Effects: how many were made as planned.
    pub effects: Agreement,
    /// All calls, reads too.
    pub calls: Agreement,
    /// The times.
    pub times: Times,
    /// The steps, in the plan's order; last those that it does not have.
    pub steps: Vec<ReportedStep>,
}

/// Another plan that a run was bound to, from where it stood.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Replanned {
    /// The digest of the plan.
    pub plan: String,
    /// When it was made.
    pub planned_at: Timestamp,
    /// By whom.
    pub planned_by: String,
    /// When the run was bound to it.
    pub at: Timestamp,
    /// By whom.
    pub by: String,
    /// The steps that it is compared with: those that had not come to their end.
    pub steps: Vec<StepPath>,
}

/// How far plan and run agree.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Agreement {
    /// Made as planned.
    pub as_planned: usize,
    /// Made, and not planned: without undos, checks of `verify` and tries before the last.
    pub not_planned: usize,
    /// Planned, and not made where they had to be.
    pub not_made: usize,
    /// Planned for a way that the run did not go.
    pub other_way: usize,
    /// Made as planned, of all that were made or had to be, in percent, rounded down. 100 when there are none.
    pub percent: u32,
}

impl Agreement {
    fn of<'c>(calls: impl Iterator<Item = &'c ReportedCall>) -> Self {
        let mut found = Self::default();
        for call in calls {
            match call.fate {
                Fate::AsPlanned => found.as_planned += 1,
                Fate::NotPlanned => found.not_planned += 1,
                Fate::NotMade => found.not_made += 1,
                Fate::OtherWay => found.other_way += 1,
                Fate::Undo | Fate::Check | Fate::Try | Fate::Before => {}
            }
        }
        let all = found.as_planned + found.not_planned + found.not_made;
        found.percent = u32::try_from((found.as_planned * 100).checked_div(all).unwrap_or(100)).unwrap_or(100);
        found
    }
}

/// Durations in milliseconds, planned and actual.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Times {
    /// What the plan predicted, without the time that people take.
    pub predicted_ms: u64,
    /// From the run's start to its end, or to its last record.
    pub actual_ms: u64,
    /// How much of that it waited for people.
    pub people_ms: u64,
    /// The playbook's objective.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_ms: Option<u64>,
}

impl Times {
    /// Whether the objective was kept; `None` when there is none. Time that people take counts: the service is down meanwhile.
    #[must_use]
    pub fn keeps_objective(&self) -> Option<bool> {
        self.rto_ms.map(|rto| self.actual_ms <= rto)
    }
}

/// A step of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportedStep {
    /// Its path.
    pub step: StepPath,
    /// Its title; empty when it is in no plan.
    pub title: String,
    /// What the plan said of it; `None` when it is not in the plan.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned: Option<StepOutcome>,
    /// What became of it: `succeeded`, `failed: …`, `skipped: …`.
    pub actual: String,
    /// How long it would take.
    pub planned_ms: u64,
    /// How long it took, all tries together; `None` when it has not ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual_ms: Option<u64>,
    /// Its calls.
    pub calls: Vec<ReportedCall>,
}

/// What became of a planned call, or where a made one comes from.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Fate {
    /// Planned, and made.
    AsPlanned,
    /// Made, and not planned.
    NotPlanned,
    /// Planned, and not made: the run did not come to it.
    NotMade,
    /// Planned for a way, or for a round of a loop, that the run did not go.
    OtherWay,
    /// It undid something.
    Undo,
    /// The step's `verify` asked it.
    Check,
    /// Made in a try of the step that was not the last.
    Try,
    /// Made before there was the plan with which the step is compared.
    Before,
}

/// A call of a report.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct ReportedCall {
    /// What became of it.
    pub fate: Fate,
    /// Its operation.
    pub op: String,
    /// Whether it changes the world.
    pub writes: bool,
    /// What it touches.
    pub resource: String,
    /// How far the plan could be believed; `None` when it was not planned.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub basis: Option<Basis>,
    /// Its arguments as made, or as planned when it was not made; secrets are handles.
    pub args: Value,
    /// How it ended; `None` when it was not made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ended: Option<Ending>,
    /// How long it would take, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub planned_ms: Option<u64>,
    /// How long it took; of effects and waits only.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub actual_ms: Option<u64>,
}

/// How a call ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "end", rename_all = "snake_case")]
pub enum Ending {
    /// Done.
    Done,
    /// Done, and later undone.
    Undone,
    /// Done, its undo left out.
    LeftStanding {
        /// Why.
        why: String,
    },
    /// Not done, or in part.
    Failed {
        /// Why.
        error: String,
    },
    /// Not known yet.
    Open,
}

impl Report {
    /// Of a run and the plans it was bound to, the first one first: each step beside the last plan that had it still to do. `None`
    /// when the records are of no run, or there is no plan.
    #[must_use]
    pub fn of(files: &[PlanFile], records: &[Record]) -> Option<Self> {
        let state = RunState::fold(records).ok()?;
        let header = state.header.as_ref()?;
        let (file, later) = files.split_first()?;
        let (plan, replanned) = composed(file, later, records);
        let ends = ends(records);
        let mut made: BTreeMap<&StepPath, Vec<&CallState>> = BTreeMap::new();
        for call in state.calls.iter().filter(|call| !is_log(&call.op)) {
            made.entry(&call.id.step).or_default().push(call);
        }
        let mut steps = Vec::new();
        let mut told = BTreeSet::new();
        let maker = Maker { state: &state, ends: &ends };
        for planned in &plan.steps {
            let mut paths: Vec<StepPath> = vec![planned.step.clone()];
            if planned.step.key() == Some(ANY_KEY) {
                let instances =
                    state.steps.keys().filter(|path| path.step() == planned.step.step() && path.key().is_some());
                let instances: Vec<StepPath> = instances.cloned().collect();
                if !instances.is_empty() {
                    paths = instances;
                }
            }
            for path in paths {
                let calls = made.get(&path).map(Vec::as_slice).unwrap_or_default();
                steps.push(maker.step(&path, Some(planned), calls, earlier(files, planned)));
                told.insert(path);
            }
        }
        let more = state.steps.keys().chain(made.keys().copied()).collect::<BTreeSet<_>>();
        for path in more.into_iter().filter(|path| !told.contains(*path)) {
            // The whole of a `foreach` step has no calls of its own.
            let calls = made.get(path).map(Vec::as_slice).unwrap_or_default();
            if !calls.is_empty() || !state.expanded.contains_key(path.as_str()) {
                steps.push(maker.step(path, None, calls, None));
            }
        }
        let last = records.last().map_or(header.started, |record| record.at);
        let times = Times {
            predicted_ms: plan.timeline.total_ms,
            actual_ms: millis(header.started, ended_at(records).unwrap_or(last)),
            people_ms: people(records),
            rto_ms: plan.objectives.rto_ms,
        };
        let all = || steps.iter().flat_map(|step| &step.calls);
        Some(Self {
            format: FORMAT,
            run: header.run.clone(),
            playbook: header.playbook.clone(),
            version: header.version.clone(),
            status: state.status(),
            plan: file.plan.digest.clone(),
            planned_at: file.made,
            planned_by: file.by.name.clone(),
            replanned,
            effects: Agreement::of(all().filter(|call| call.writes)),
            calls: Agreement::of(all()),
            times,
            steps,
        })
    }
}

/// The plan with which a run is compared that was planned again: each step from the last plan that had it still to do.
fn composed(file: &PlanFile, later: &[PlanFile], records: &[Record]) -> (Plan, Vec<Replanned>) {
    let mut plan = file.plan.clone();
    let mut replanned = Vec::new();
    let bound = records.iter().filter_map(|record| match &record.fact {
        Fact::PlanBound { plan, by } => Some((plan, by, record.at)),
        _ => None,
    });
    for (next, (_, by, at)) in later.iter().zip(bound.skip(1)) {
        let mut ahead = Vec::new();
        for step in &next.plan.steps {
            let place = plan.steps.iter().position(|known| known.step == step.step);
            match place {
                Some(_) if step.outcome == StepOutcome::Done => continue,
                Some(place) => plan.steps[place] = step.clone(),
                None => plan.steps.push(step.clone()),
            }
            ahead.push(step.step.clone());
        }
        // The one instance that stood for all of a list is not made beside those that it stood for.
        let known = |path: &StepPath| next.plan.steps.iter().any(|step| step.step == *path);
        let of_step = |path: &StepPath| next.plan.steps.iter().any(|step| step.step.step() == path.step());
        plan.steps.retain(|step| known(&step.step) || !of_step(&step.step));
        replanned.push(Replanned {
            plan: next.plan.digest.clone(),
            planned_at: next.made,
            planned_by: next.by.name.clone(),
            at,
            by: by.name.clone(),
            steps: ahead,
        });
    }
    (plan, replanned)
}

/// What the plan before the one that a step is compared with said of it.
fn earlier<'f>(files: &'f [PlanFile], planned: &PlannedStep) -> Option<&'f PlannedStep> {
    let of = |file: &'f PlanFile| file.plan.steps.iter().find(|step| step.step == planned.step);
    let place = files.iter().rposition(|file| of(file) == Some(planned))?;
    files[..place].iter().rev().find_map(of)
}

struct Maker<'r> {
    state: &'r RunState,
    ends: &'r BTreeMap<&'r CallId, Timestamp>,
}

impl Maker<'_> {
    fn step(
        &self,
        path: &StepPath,
        planned: Option<&PlannedStep>,
        made: &[&CallState],
        earlier: Option<&PlannedStep>,
    ) -> ReportedStep {
        let own = self.state.step(path);
        // A body that was tried again keeps the calls of the last try; others are those of the tries before.
        let last: BTreeSet<&CallId> =
            own.map(|own| own.body.iter().map(|at| &self.state.calls[*at].id).collect()).unwrap_or_default();
        let is_last =
            |call: &CallState| last.contains(&call.id) || (last.is_empty() && own.is_none_or(|own| own.attempt <= 1));
        let fate = |call: &CallState| match call.id.phase {
            Phase::Rollback => Some(Fate::Undo),
            Phase::Verify => Some(Fate::Check),
            Phase::Body if !is_last(call) => Some(Fate::Try),
            Phase::Body => None,
        };
        let mut body: Vec<&CallState> = made.iter().copied().filter(|call| fate(call).is_none()).collect();
        // What had been made when the rest was planned stands beside the plan of before, if there was one.
        let ahead = body.split_off(body.len().min(planned.map_or(0, |planned| planned.recorded)));
        let before = std::mem::replace(&mut body, ahead);
        let sequence: Vec<(&str, &Value)> = body.iter().map(|call| (call.op.as_str(), &call.args)).collect();
        let expected = planned.map(|planned| planned.calls.as_slice()).unwrap_or_default();
        let mut calls: Vec<ReportedCall> = Vec::new();
        let mut aside = made.iter().copied().filter_map(|call| Some((call, fate(call)?))).collect::<Vec<_>>();
        aside.retain(|(call, fate)| {
            let early = *fate == Fate::Try;
            if early {
                calls.push(self.call(Some(call), None, *fate));
            }
            !early
        });
        let had = earlier.map(|earlier| earlier.calls.as_slice()).unwrap_or_default();
        let sequence_before: Vec<(&str, &Value)> = before.iter().map(|call| (call.op.as_str(), &call.args)).collect();
        for (expected_at, at) in align::align(had, &sequence_before) {
            match (expected_at.map(|at| &had[at]), at.map(|at| before[at])) {
                (Some(line), Some(call)) => calls.push(self.call(Some(call), Some(line), Fate::AsPlanned)),
                (None, Some(call)) => calls.push(self.call(Some(call), None, Fate::Before)),
                _ => {}
            }
        }
        let mut used = BTreeSet::new();
        let conditional = planned.is_some_and(|planned| !planned.runs_if.is_empty());
        for (expected_at, body_at) in align::align(expected, &sequence) {
            let (call, line) = (body_at.map(|at| body[at]), expected_at.map(|at| &expected[at]));
            let fate = match (call, line) {
                (Some(_), Some(_)) => Fate::AsPlanned,
                (Some(_), None) => Fate::NotPlanned,
                (None, Some(line)) if align::may_be_left_out(line) || conditional => Fate::OtherWay,
                (None, _) => Fate::NotMade,
            };
            if expected_at.is_some_and(|at| !used.insert(at)) && call.is_none() {
                continue;
            }
            calls.push(self.call(call, line, fate));
        }
        calls.extend(aside.into_iter().map(|(call, fate)| self.call(Some(call), None, fate)));
        ReportedStep {
            step: path.clone(),
            title: planned.map(|planned| planned.title.clone()).unwrap_or_default(),
            planned: planned.map(|planned| planned.outcome.clone()),
            actual: own.map_or_else(|| "not begun".to_owned(), what_became),
            planned_ms: planned.map_or(0, |planned| planned.ends_ms.saturating_sub(planned.starts_ms)),
            actual_ms: own.and_then(|own| Some(millis(own.started?, own.ended?))),
            calls,
        }
    }

    fn call(&self, made: Option<&CallState>, planned: Option<&PlannedCall>, fate: Fate) -> ReportedCall {
        let op = made.map(|made| made.op.as_str()).or(planned.map(|planned| planned.op.as_str())).unwrap_or_default();
        let entry = ops::find(op);
        let args = made.map(|made| &made.args).or(planned.map(|planned| &planned.args)).cloned().unwrap_or_default();
        let resource = match (made, planned) {
            (Some(made), _) => entry.map(|entry| (entry.resource)(&made.args)),
            (None, planned) => planned.map(|planned| planned.resource.clone()),
        };
        let timed = made.filter(|made| !matches!(made.kind, CallKind::Plain));
        ReportedCall {
            fate,
            op: op.to_owned(),
            writes: entry.is_some_and(|entry| entry.effect.writes()),
            resource: resource.unwrap_or_default(),
            basis: planned.map(|planned| planned.basis),
            args,
            ended: made.map(how_ended),
            planned_ms: planned.map(|planned| planned.takes_ms),
            actual_ms: timed.and_then(|made| Some(millis(made.at, *self.ends.get(&made.id)?))),
        }
    }
}

fn is_log(op: &str) -> bool {
    ops::find(op).is_some_and(|op| op.effect == Effect::Log)
}

fn how_ended(call: &CallState) -> Ending {
    match (&call.outcome, &call.undone) {
        (None, _) => Ending::Open,
        (Some(Outcome::Error { error }), _) => Ending::Failed { error: error.message.clone() },
        (Some(Outcome::Done { .. }), Undone::Yes) => Ending::Undone,
        (Some(Outcome::Done { .. }), Undone::Skipped(why)) => Ending::LeftStanding { why: why.clone() },
        (Some(Outcome::Done { .. }), Undone::No) => Ending::Done,
    }
}

fn what_became(step: &StepState) -> String {
    let undone = if step.rolled_back { ", rolled back" } else { "" };
    let text = match &step.status {
        StepStatus::Succeeded { .. } => "succeeded".to_owned(),
        StepStatus::Done { by, .. } => format!("done by hand by {}", by.name),
        StepStatus::Skipped { reason, .. } => format!("skipped: {reason}"),
        StepStatus::Failed { error, .. } => format!("failed: {}", error.message),
        StepStatus::Pending => "not begun".to_owned(),
        StepStatus::AwaitingApproval { .. } => "waits for approval".to_owned(),
        StepStatus::AwaitingManual { .. } => "waits to be done by hand".to_owned(),
        StepStatus::Running | StepStatus::Verifying { .. } | StepStatus::Retrying { .. } => "runs".to_owned(),
    };
    format!("{text}{undone}")
}

fn millis(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}

/// When calls ended that have a record of their end.
fn ends(records: &[Record]) -> BTreeMap<&CallId, Timestamp> {
    let ended = records.iter().filter_map(|record| match &record.fact {
        Fact::Ended { call, .. } => Some((call, record.at)),
        _ => None,
    });
    ended.collect()
}

fn ended_at(records: &[Record]) -> Option<Timestamp> {
    records.iter().find(|record| matches!(record.fact, Fact::Finished { .. })).map(|record| record.at)
}

/// A pause that only repeats what the step itself asks for.
fn is_asked(pause: &Pause) -> bool {
    matches!(pause, Pause::Approval { .. } | Pause::Manual { .. } | Pause::Question { .. })
}

/// How long the run waited for people: while it asked for something, or was paused. What overlaps counts once.
fn people(records: &[Record]) -> u64 {
    let mut waits: BTreeMap<String, Timestamp> = BTreeMap::new();
    let mut since: Option<Timestamp> = None;
    let mut sum = 0;
    for record in records {
        match &record.fact {
            Fact::ApprovalAsked { step, .. } | Fact::ManualAsked { step, .. } => {
                waits.insert(format!("step {step}"), record.at);
            }
            Fact::WaitBegun { call, op, .. } if op.starts_with("ask.") => {
                waits.insert(format!("call {call}"), record.at);
            }
            // A step that failed waits for somebody's choice, unless the playbook itself has made it: then it goes on at once.
            Fact::StepFailed { step, handled, .. } => {
                waits.remove(&format!("step {step}"));
                if !handled {
                    waits.insert("pause".to_owned(), record.at);
                }
            }
            Fact::Paused { pause } if !is_asked(pause) => {
                waits.insert("pause".to_owned(), record.at);
            }
            Fact::StepStarted { step, .. } | Fact::StepDone { step, .. } => {
                waits.remove(&format!("step {step}"));
            }
            Fact::Ended { call, .. } => {
                waits.remove(&format!("call {call}"));
            }
            Fact::Resumed { .. } | Fact::RollbackBegun { .. } | Fact::StepRetried { .. } | Fact::StepSkipped { .. } => {
                waits.remove("pause");
            }
            Fact::Finished { .. } => waits.clear(),
            _ => {}
        }
        match (since, waits.is_empty()) {
            (None, false) => since = Some(record.at),
            (Some(from), true) => {
                sum += millis(from, record.at);
                since = None;
            }
            _ => {}
        }
    }
    sum + since.zip(records.last()).map_or(0, |(from, last)| millis(from, last.at))
}
