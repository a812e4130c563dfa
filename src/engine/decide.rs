//! What to do next: a pure function of program, state and time.

use std::collections::BTreeSet;

use serde_json::Map;

use super::state::{RunState, StepState, StepStatus};
use crate::journal::record::Pause;
use crate::model::drill::Teardown;
use crate::model::status::RunStatus;
use crate::model::unknown::{Shape, Unknown};
use crate::model::{StepPath, Timestamp, Value};
use crate::playbook::types::{Body, Step, Template, TextPart};
use crate::script::Program;

/// Something to do.
#[derive(Clone, Debug, PartialEq)]
pub enum Next {
    /// A step's needs are settled: evaluate its `when`, ask for approval, begin it.
    Enter(StepPath),
    /// Leave a step out, because what it needs is not there.
    Leave(StepPath, String),
    /// Run or replay a step's body, or ask its `verify`.
    Work(StepPath),
    /// Settle open effects; then undo, or end the run as cancelled.
    Unwind,
    /// All steps of a drill have ended: measure what it is for.
    Measure,
    /// A drill is over, one way or another: undo what it did.
    TearDown(Teardown),
    /// The run is at its end.
    Finish(RunStatus, Vec<String>),
}

/// What a step has come to, for those that need it.
#[derive(Clone, Debug, PartialEq)]
pub enum Settled {
    /// Not yet.
    Open,
    /// It has an output.
    Output(Value),
    /// It was left out, without a result.
    Absent,
}

/// What a step instance has come to.
fn instance(step: Option<&StepState>) -> Settled {
    match step.map(|step| &step.status) {
        Some(StepStatus::Succeeded { output }) => Settled::Output(output.clone()),
        Some(StepStatus::Failed { handled: true, .. }) => Settled::Output(Value::Null),
        Some(StepStatus::Skipped { by: None, result, .. }) => Settled::Output(result.clone().unwrap_or(Value::Null)),
        Some(StepStatus::Skipped { by: Some(_), result, .. } | StepStatus::Done { result, manual: false, .. }) => {
            result.clone().map_or(Settled::Absent, Settled::Output)
        }
        Some(StepStatus::Done { result, manual: true, .. }) => Settled::Output(result.clone().unwrap_or(Value::Null)),
        _ => Settled::Open,
    }
}

/// What a step has come to: for one with `foreach`, a map from key to the instance's output.
#[must_use]
pub fn settled(state: &RunState, step: &Step) -> Settled {
    let path = StepPath::of(&step.id.value);
    let own = instance(state.step(&path));
    if step.foreach.is_none() || own != Settled::Open {
        return own;
    }
    let Some(items) = state.expanded.get(&step.id.value) else { return Settled::Open };
    let mut outputs = Map::new();
    let mut open = state.step(&path).is_some_and(|whole| !whole.runs_if.is_empty());
    for (key, item) in items {
        open |= super::scope::unknown_key(state, &step.id.value, key, item);
        match instance(state.step(&StepPath::keyed(&step.id.value, key))) {
            Settled::Open => return Settled::Open,
            Settled::Absent => {}
            Settled::Output(output) => {
                outputs.insert(key.clone(), output);
            }
        }
    }
    if open {
        let source = format!("steps.{}", step.id.value);
        let why = format!("only the run will know the instances of {}", step.id.value);
        return Settled::Output(Unknown::new(&why, &source, Shape::Any).to_value());
    }
    Settled::Output(Value::Object(outputs))
}

/// Whether a step has come to anything, as [`settled`] would say.
fn is_settled(state: &RunState, step: &Step) -> bool {
    let done = |path: &StepPath| state.step(path).is_some_and(|step| step.status.is_settled());
    if done(&StepPath::of(&step.id.value)) {
        return true;
    }
    step.foreach.is_some()
        && state
            .expanded
            .get(&step.id.value)
            .is_some_and(|items| items.iter().all(|(key, _)| done(&StepPath::keyed(&step.id.value, key))))
}

/// The steps that can be settled next: those whose needs are. Kept from one decision to the next, so that a decision looks at
/// what is at work and not at the whole playbook; made anew when a settled step has become open again. It holds nothing that
/// program and state do not say.
#[derive(Debug, Default)]
pub struct Frontier {
    /// [`RunState::reopened`] when it was made.
    made: Option<u64>,
    /// How many needs of each step are open.
    missing: Vec<usize>,
    /// Which steps need each step.
    needed_by: Vec<Vec<usize>>,
    /// Open steps whose needs are settled, in the playbook's order.
    ready: BTreeSet<usize>,
    /// How many steps are open.
    open: usize,
}

impl Frontier {
    /// Brings it up to the state.
    fn follow(&mut self, program: &Program, state: &RunState) {
        let steps = &program.playbook.steps;
        if self.made != Some(state.reopened) {
            *self = Self { made: Some(state.reopened), open: steps.len(), ..Self::default() };
            self.needed_by.resize(steps.len(), Vec::new());
            for (place, step) in steps.iter().enumerate() {
                let needs = step.needs.iter().filter_map(|need| program.playbook.place(&need.value));
                let needs: BTreeSet<usize> = needs.collect();
                self.missing.push(needs.len());
                for need in &needs {
                    self.needed_by[*need].push(place);
                }
                if needs.is_empty() {
                    self.ready.insert(place);
                }
            }
            // What a rollback put back may be needed by what is settled: those do not wait for it.
            for (place, step) in steps.iter().enumerate() {
                if self.missing[place] > 0 && is_settled(state, step) {
                    self.missing[place] = 0;
                    self.ready.insert(place);
                }
            }
        }
        let mut settled: Vec<usize> = self.ready.iter().copied().filter(|at| is_settled(state, &steps[*at])).collect();
        while let Some(place) = settled.pop() {
            if !self.ready.remove(&place) {
                continue;
            }
            self.open -= 1;
            for next in std::mem::take(&mut self.needed_by[place]) {
                // Zero already if it was settled before what it needs.
                if self.missing[next] > 0 {
                    self.missing[next] -= 1;
                    if self.missing[next] == 0 {
                        self.ready.insert(next);
                        if is_settled(state, &steps[next]) {
                            settled.push(next);
                        }
                    }
                }
            }
        }
    }

    /// The instances of the steps that can be settled next.
    fn instances<'a>(
        &'a self,
        program: &'a Program,
        state: &'a RunState,
    ) -> impl Iterator<Item = (&'a Step, Vec<StepPath>)> + 'a {
        self.ready.iter().filter_map(|place| program.playbook.steps.get(*place)).map(|step| {
            let paths = match (&step.foreach, state.expanded.get(&step.id.value)) {
                (Some(_), Some(items)) => items.iter().map(|(key, _)| StepPath::keyed(&step.id.value, key)).collect(),
                _ => vec![StepPath::of(&step.id.value)],
            };
            (step, paths)
        })
    }

    /// The earliest instant at which a retrying step is due.
    #[must_use]
    pub fn next_retry(&self, program: &Program, state: &RunState) -> Option<Timestamp> {
        self.instances(program, state)
            .flat_map(|(_, paths)| paths)
            .filter_map(|path| match state.step(&path)?.status {
                StepStatus::Retrying { not_before } => Some(not_before),
                _ => None,
            })
            .min()
    }
}

/// Whether a text names `steps`.
fn names_steps(text: &str) -> bool {
    let part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    text.match_indices("steps")
        .any(|(at, found)| !text[..at].ends_with(part) && !text[at + found.len()..].starts_with(part))
}

/// Whether anything that is evaluated for a step can see outputs of others.
fn sees_outputs(step: &Step) -> bool {
    // An approval is of what the approver saw, outputs included.
    step.approval.is_some()
        || texts(step).iter().any(|text| names_steps(text))
        || step.when.iter().any(|when| names_steps(&when.value))
        || step.foreach.iter().filter_map(|foreach| foreach.key.as_ref()).any(|key| names_steps(&key.value))
        || step.verify.iter().any(|verify| names_steps(&verify.check.value))
        || step.rollback.iter().any(|rollback| names_steps(&rollback.value))
}

/// The outputs a step sees: those of all it needs, and of what these need. None if it does not look at any.
#[must_use]
pub fn visible(program: &Program, state: &RunState, step: &Step) -> Value {
    let mut outputs = Map::new();
    if !sees_outputs(step) {
        return Value::Object(outputs);
    }
    let mut todo: Vec<&str> = step.needs.iter().map(|need| need.value.as_str()).collect();
    while let Some(id) = todo.pop() {
        if outputs.contains_key(id) {
            continue;
        }
        let Some(need) = program.playbook.step(id) else { continue };
        let output = match settled(state, need) {
            Settled::Output(output) => output,
            Settled::Open | Settled::Absent => Value::Null,
        };
        outputs.insert(id.to_owned(), output);
        todo.extend(need.needs.iter().map(|need| need.value.as_str()));
    }
    Value::Object(outputs)
}

/// The expressions of a step's body and of its list.
fn texts(step: &Step) -> Vec<&str> {
    fn of<'a>(template: &'a Template, found: &mut Vec<&'a str>) {
        match template {
            Template::Plain(_) => {}
            Template::Expr(expr) => found.push(&expr.value),
            Template::Text(parts, _) => found.extend(parts.iter().filter_map(|part| match part {
                TextPart::Plain(_) => None,
                TextPart::Expr(expr) => Some(expr.value.as_str()),
            })),
            Template::List(items, _) => items.iter().for_each(|item| of(item, found)),
            Template::Map(fields, _) => fields.iter().for_each(|(_, item)| of(item, found)),
        }
    }
    let mut found = Vec::new();
    match &step.body {
        Body::Uses { with, .. } => with.iter().for_each(|with| of(with, &mut found)),
        Body::Script(script) => found.push(&script.value),
        Body::Manual { instructions, .. } => of(instructions, &mut found),
    }
    step.foreach.iter().for_each(|foreach| of(&foreach.items, &mut found));
    found
}

/// Whether a step's texts speak of another's output.
fn refers_to(step: &Step, other: &str) -> bool {
    let name = format!("steps.{other}");
    texts(step).iter().any(|text| {
        text.match_indices(&name)
            .any(|(at, found)| !text[at + found.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
    })
}

/// Whether a pause holds this step back.
fn held(state: &RunState, path: &StepPath) -> bool {
    let question = state.open_call(path).is_some_and(|call| call.op.starts_with("ask."));
    question
        || state.pauses.iter().any(|pause| match pause {
            Pause::Target { .. } | Pause::RolledBackTo { .. } => true,
            other => other.holds() == Some(path),
        })
}

/// What to do next. `busy` says whether something is already being done for a step, or waits for an instant that has not come.
#[must_use]
pub fn decide(
    program: &Program,
    state: &RunState,
    frontier: &mut Frontier,
    now: Timestamp,
    busy: &dyn Fn(&StepPath) -> bool,
) -> Vec<Next> {
    if state.finished.is_some() || state.header.is_none() {
        return Vec::new();
    }
    if state.is_quiescing() {
        let someone_busy = state.steps.keys().any(busy);
        return if someone_busy || !state.pauses.is_empty() { Vec::new() } else { vec![Next::Unwind] };
    }
    if let Some(teardown) = super::drill::cut_short(state, now) {
        return vec![Next::TearDown(teardown)];
    }
    frontier.follow(program, state);
    let mut next = Vec::new();
    let works = |path: &StepPath| state.step(path).is_some_and(|step| step.status.is_at_work()) && !held(state, path);
    let mut at_work =
        frontier.instances(program, state).flat_map(|(_, paths)| paths).filter(|path| works(path)).count();
    let limit = program.playbook.parallel.max(1) as usize;
    for (step, instances) in frontier.instances(program, state) {
        let whole = StepPath::of(&step.id.value);
        let needs: Vec<Settled> = step
            .needs
            .iter()
            .filter_map(|need| program.playbook.step(&need.value))
            .map(|need| settled(state, need))
            .collect();
        let missing = step
            .needs
            .iter()
            .zip(&needs)
            .find(|(need, settled)| **settled == Settled::Absent && refers_to(step, &need.value));
        if let (Some((need, _)), None | Some(StepStatus::Pending)) = (missing, state.step(&whole).map(|s| &s.status)) {
            next.push(Next::Leave(whole, format!("`{}`, whose result it uses, was left out without one", need.value)));
            continue;
        }
        let failed = instances
            .iter()
            .any(|path| matches!(state.step(path).map(|s| &s.status), Some(StepStatus::Failed { handled: false, .. })));
        let mut of_step =
            instances.iter().filter(|path| state.step(path).is_some_and(|step| step.status.is_at_work())).count();
        let step_limit =
            step.foreach.as_ref().and_then(|foreach| foreach.parallel).map_or(usize::MAX, |n| n.max(1) as usize);
        for path in instances {
            if busy(&path) || held(state, &path) {
                continue;
            }
            let present = state.step(&path);
            match present.map(|step| &step.status) {
                None | Some(StepStatus::Pending)
                    // When an instance has failed, no new one starts and those running finish.
                    if !failed && at_work < limit && of_step < step_limit => {
                        at_work += 1;
                        of_step += 1;
                        next.push(Next::Enter(path));
                    }
                Some(StepStatus::Running | StepStatus::Verifying { .. }) => next.push(Next::Work(path)),
                Some(StepStatus::Retrying { not_before }) if *not_before <= now => next.push(Next::Work(path)),
                _ => {}
            }
        }
    }
    let drill = state.drill.as_ref().filter(|_| !state.is_plan());
    if let (0, true, Some(drill)) = (frontier.open, state.pauses.is_empty(), drill) {
        next.push(if drill.measured.is_some() { Next::TearDown(Teardown::Over) } else { Next::Measure });
    } else if frontier.open == 0 && state.pauses.is_empty() {
        let (status, remarks) = ending(state);
        next.push(Next::Finish(status, remarks));
    }
    next
}

/// How a run that has come to its end has ended.
pub(super) fn ending(state: &RunState) -> (RunStatus, Vec<String>) {
    let mut remarks = Vec::new();
    for (path, step) in &state.steps {
        match &step.status {
            StepStatus::Failed { error, handled: true } => {
                remarks.push(format!("{path} failed, handled: {}", error.message))
            }
            StepStatus::Skipped { by: Some(by), reason, .. } => {
                remarks.push(format!("{path} was skipped by {}: {reason}", by.name))
            }
            StepStatus::Done { by, evidence, manual: false, .. } => {
                remarks.push(format!("{path} was done by hand by {}: {evidence}", by.name));
            }
            _ => {}
        }
    }
    if remarks.is_empty() { (RunStatus::Succeeded, remarks) } else { (RunStatus::SucceededWithExceptions, remarks) }
}
