//! From the records of a plan to the plan.

use std::collections::BTreeMap;

use super::{
    Coverage, FORMAT, MadeEffect, Objectives, Plan, PlannedApproval, PlannedCall, PlannedEnd, PlannedStep, PlannedUndo,
    Rest, StepOutcome, Timeline,
};
use crate::engine::state::{CallKind, CallState, RunState, StepState, StepStatus};
use crate::journal::record::{Fact, Outcome, Record};
use crate::model::forecast::{Basis, WayEnd};
use crate::model::unknown;
use crate::model::{CallId, StepPath, Value};
use crate::ops::Effect;
use crate::ops::spec::{Backend, UNKNOWN_KEY, Undo};
use crate::playbook::types::{Body, Step};
use crate::script::Program;

impl Plan {
    /// From the records of a plan. `None` when they are of no run.
    #[must_use]
    pub fn of(records: &[Record], program: &Program) -> Option<Self> {
        let state = RunState::fold(records).ok()?;
        let header = state.header.as_ref()?;
        // What was so before anything was foreseen.
        let from = records.iter().position(|record| record.fact == Fact::RestForeseen);
        let before = match from {
            Some(from) => Some((RunState::fold(&records[..from]).ok()?, records[from].seq, records[from].at)),
            None => None,
        };
        let mut open: BTreeMap<&CallId, &str> = BTreeMap::new();
        let mut calls: BTreeMap<StepPath, Vec<PlannedCall>> = BTreeMap::new();
        let mut ways = BTreeMap::new();
        for record in records {
            if let Fact::Foreseen { call, reason, .. } = &record.fact
                && before.as_ref().is_some_and(|(before, ..)| before.call(call).is_some())
            {
                open.insert(call, reason);
                continue;
            }
            if let Some((path, call)) = planned(&record.fact, program) {
                calls.entry(path).or_default().push(call);
            } else if let Fact::PathsForeseen { step, paths } = &record.fact {
                ways.insert(step.clone(), paths.clone());
            }
        }
        let mut steps = Vec::new();
        for step in &program.playbook.steps {
            let paths = match state.expanded.get(&step.id.value) {
                Some(items) => items.iter().map(|(key, _)| StepPath::keyed(&step.id.value, key)).collect(),
                None => vec![StepPath::of(&step.id.value)],
            };
            for path in paths {
                let outcome = outcome(state.step(&path).map(|of| &of.status));
                let whole = state.step(&StepPath::of(&step.id.value));
                let mut planned = planned_step(step, outcome, calls.remove(&path).unwrap_or_default(), path);
                planned.paths = ways.remove(&planned.step);
                planned.runs_if = whole.map(|whole| whole.runs_if.clone()).unwrap_or_default();
                if let (Some((before, seq, _)), Some(own)) = (&before, state.step(&planned.step)) {
                    let recorded = own.body.iter().map(|index| &state.calls[*index]).filter(|call| call.seq < *seq);
                    planned.recorded = recorded.clone().count();
                    planned.made = recorded.filter_map(|call| made(call, &open)).collect();
                    if before.step(&planned.step).is_some_and(StepState::is_settled) {
                        planned.settle();
                    }
                }
                steps.push(planned);
            }
        }
        for record in records {
            if let Fact::Foretold { step, branch, end } = &record.fact
                && let Some(planned) =
                    steps.iter_mut().find(|planned| planned.step == *step || planned.step.step() == step.as_str())
            {
                let told = |message: &String| PlannedEnd { branch: branch.clone(), message: message.clone() };
                match end {
                    WayEnd::Stops { message } => planned.stops_if.push(told(message)),
                    WayEnd::Unfollowed { why } => planned.not_followed.push(told(why)),
                    WayEnd::Returns | WayEnd::GoesOn => {}
                }
            }
        }
        let playbook = &program.playbook;
        let millis = |d: std::time::Duration| u64::try_from(d.as_millis()).unwrap_or(u64::MAX);
        let mut plan = Self {
            format: FORMAT,
            playbook: header.playbook.clone(),
            version: header.version.clone(),
            title: playbook.title.clone(),
            bundle: header.bundle.clone(),
            params: header.params.clone(),
            given: super::given::of(program, &header.params, header.started),
            targets: state.targets.values().map(|target| (target.name.clone(), target.identity.clone())).collect(),
            objectives: Objectives { rto_ms: playbook.rto.map(millis), rpo_ms: playbook.rpo.map(millis) },
            checks: super::preflight::found(records, &steps, &state, program),
            effects: steps.iter().flat_map(|step| &step.calls).filter(|call| call.writes).count(),
            coverage: coverage(&steps),
            rest: before.map(|(before, _, since)| Rest { run: header.run.clone(), moves: before.moves, since }),
            steps,
            timeline: Timeline::default(),
            warnings: Vec::new(),
            digest: String::new(),
        };
        plan.timeline = super::timeline::lay_out(&mut plan.steps, playbook);
        plan.warnings = super::warnings::of(&plan);
        plan.digest = super::digest::of(&plan);
        Some(plan)
    }
}

/// An effect that the run has made.
fn made(call: &CallState, open: &BTreeMap<&CallId, &str>) -> Option<MadeEffect> {
    matches!(call.kind, CallKind::Effect { .. }).then(|| MadeEffect {
        op: call.op.clone(),
        resource: crate::ops::find(&call.op).map(|op| (op.resource)(&call.args)).unwrap_or_default(),
        args: call.args.clone(),
        open: open.get(&call.id).map(|why| (*why).to_owned()),
    })
}

impl PlannedStep {
    /// The run has come to its end: nothing of it is ahead.
    fn settle(&mut self) {
        if !matches!(self.outcome, StepOutcome::Skipped { .. }) {
            self.outcome = StepOutcome::Done;
        }
        (self.approval, self.point_of_no_return, self.verify, self.manual) = (None, None, None, false);
        self.runs_if.clear();
        self.calls.clear();
        self.paths = None;
    }
}

fn planned_step(step: &Step, outcome: StepOutcome, calls: Vec<PlannedCall>, path: StepPath) -> PlannedStep {
    PlannedStep {
        title: step.title.clone(),
        needs: step.needs.iter().map(|need| need.value.clone()).collect(),
        outcome,
        approval: step
            .approval
            .as_ref()
            .map(|approval| PlannedApproval { count: approval.count, by: approval.by.clone() }),
        point_of_no_return: step.point_of_no_return.as_ref().map(|reason| reason.value.trim().to_owned()),
        manual: matches!(step.body, Body::Manual { .. }),
        own_rollback: step.rollback.is_some(),
        verify: step.verify.as_ref().map(|verify| verify.check.value.trim().to_owned()),
        runs_if: Vec::new(),
        stops_if: Vec::new(),
        not_followed: Vec::new(),
        made: Vec::new(),
        recorded: 0,
        calls,
        paths: None,
        starts_ms: 0,
        ends_ms: 0,
        critical: false,
        step: path,
    }
}

fn outcome(status: Option<&StepStatus>) -> StepOutcome {
    match status {
        Some(StepStatus::Succeeded { output }) => match output.get(UNKNOWN_KEY).and_then(Value::as_str) {
            Some(why) if why.starts_with("the result of step") => StepOutcome::Unknown { reason: why.to_owned() },
            _ => StepOutcome::Runs,
        },
        Some(StepStatus::Done { .. }) => StepOutcome::Runs,
        Some(StepStatus::Skipped { reason, .. }) => StepOutcome::Skipped { reason: reason.clone() },
        Some(StepStatus::Failed { error, .. }) => StepOutcome::Fails { error: error.message.clone() },
        Some(StepStatus::Pending) | None => StepOutcome::NotReached,
        Some(_) => StepOutcome::Unknown { reason: "it was begun and could not be followed to its end".to_owned() },
    }
}

fn planned(fact: &Fact, program: &Program) -> Option<(StepPath, PlannedCall)> {
    let Fact::Foreseen {
        call,
        op,
        args,
        outcome,
        basis,
        reason,
        key,
        before,
        takes_ms,
        changes,
        branch,
        repeated,
        at_most,
        ..
    } = fact
    else {
        return None;
    };
    let op = crate::ops::find(op).filter(|op| op.effect != Effect::Log)?;
    let (result, refused) = match outcome {
        Outcome::Done { result, .. } => (result.clone(), None),
        Outcome::Error { error } => (Value::Null, Some(error.message.clone())),
    };
    // Where arguments depend on what only the run will know, words stand in for them.
    let shown = unknown::with_stand_ins(args);
    let own = program.playbook.step(call.step.step()).is_some_and(|step| step.rollback.is_some());
    let undo = match &op.backend {
        Backend::Write(_) if own => Some(PlannedUndo::Step),
        Backend::Write(entry) => Some(match (entry.undo)(&shown, before, key) {
            Undo::Nothing => PlannedUndo::Nothing,
            Undo::Impossible(why) => PlannedUndo::Impossible { why: why.to_owned() },
            Undo::Call { op, args } => PlannedUndo::Call { op: op.to_owned(), args },
        }),
        _ => None,
    };
    let planned = PlannedCall {
        op: op.name.to_owned(),
        writes: op.effect.writes(),
        basis: *basis,
        reason: reason.clone(),
        resource: (op.resource)(&shown),
        args: args.clone(),
        result,
        refused,
        undo,
        takes_ms: *takes_ms,
        changes: changes.clone(),
        branch: branch.clone(),
        repeated: repeated.clone(),
        at_most: *at_most,
    };
    Some((call.step.clone(), planned))
}

fn coverage(steps: &[PlannedStep]) -> Coverage {
    let mut coverage = Coverage::default();
    for step in steps {
        for call in &step.calls {
            match call.basis {
                Basis::Exact => coverage.exact += 1,
                Basis::Predicted => coverage.predicted += 1,
                Basis::Unknown => coverage.unknown += 1,
                Basis::Opaque => coverage.opaque += 1,
            }
        }
        // What a step that could not be followed would still do counts as one thing not known.
        if matches!(step.outcome, StepOutcome::Unknown { .. }) {
            coverage.unknown += 1;
        }
    }
    let seen = coverage.exact + coverage.predicted;
    let all = seen + coverage.unknown + coverage.opaque;
    coverage.percent = u32::try_from((seen * 100).checked_div(all).unwrap_or(100)).unwrap_or(100);
    coverage
}
