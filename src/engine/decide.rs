//! What to do next: a pure function of program, state and time.

use serde_json::Map;

use super::state::{RunState, StepState, StepStatus};
use crate::journal::record::Pause;
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

/// The outputs a step sees: those of all it needs, and of what these need.
#[must_use]
pub fn visible(program: &Program, state: &RunState, step: &Step) -> Value {
    let mut outputs = Map::new();
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

/// Whether a step's texts speak of another's output.
fn refers_to(step: &Step, other: &str) -> bool {
    let speaks = |text: &str| {
        text.match_indices(&format!("steps.{other}"))
            .any(|(at, found)| !text[at + found.len()..].starts_with(|c: char| c.is_ascii_alphanumeric() || c == '_'))
    };
    fn any(template: &Template, speaks: &dyn Fn(&str) -> bool) -> bool {
        match template {
            Template::Plain(_) => false,
            Template::Expr(expr) => speaks(&expr.value),
            Template::Text(parts, _) => parts.iter().any(|part| match part {
                TextPart::Plain(_) => false,
                TextPart::Expr(expr) => speaks(&expr.value),
            }),
            Template::List(items, _) => items.iter().any(|item| any(item, speaks)),
            Template::Map(fields, _) => fields.iter().any(|(_, item)| any(item, speaks)),
        }
    }
    let body = match &step.body {
        Body::Uses { with, .. } => with.as_ref().is_some_and(|with| any(with, &speaks)),
        Body::Script(script) => speaks(&script.value),
        Body::Manual { instructions, .. } => any(instructions, &speaks),
    };
    body || step.foreach.as_ref().is_some_and(|foreach| any(&foreach.items, &speaks))
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
pub fn decide(program: &Program, state: &RunState, now: Timestamp, busy: &dyn Fn(&StepPath) -> bool) -> Vec<Next> {
    if state.finished.is_some() || state.header.is_none() {
        return Vec::new();
    }
    if state.is_quiescing() {
        let someone_busy = state.steps.keys().any(busy);
        return if someone_busy || !state.pauses.is_empty() { Vec::new() } else { vec![Next::Unwind] };
    }
    let mut next = Vec::new();
    let mut at_work = state.steps.iter().filter(|(path, step)| is_at_work(step) && !held(state, path)).count();
    let limit = program.playbook.parallel.max(1) as usize;
    let mut all_settled = true;
    for step in &program.playbook.steps {
        if settled(state, step) != Settled::Open {
            continue;
        }
        all_settled = false;
        let whole = StepPath::of(&step.id.value);
        let instances = match (&step.foreach, state.expanded.get(&step.id.value)) {
            (Some(_), Some(items)) => items.iter().map(|(key, _)| StepPath::keyed(&step.id.value, key)).collect(),
            _ => vec![whole.clone()],
        };
        let needs: Vec<Settled> = step
            .needs
            .iter()
            .filter_map(|need| program.playbook.step(&need.value))
            .map(|need| settled(state, need))
            .collect();
        if needs.contains(&Settled::Open) {
            continue;
        }
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
        let mut of_step = instances.iter().filter(|path| state.step(path).is_some_and(is_at_work)).count();
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
    if all_settled && state.pauses.is_empty() {
        let (status, remarks) = ending(state);
        next.push(Next::Finish(status, remarks));
    }
    next
}

fn is_at_work(step: &StepState) -> bool {
    matches!(step.status, StepStatus::Running | StepStatus::Verifying { .. } | StepStatus::Retrying { .. })
}

/// The earliest instant at which a retrying step is due.
#[must_use]
pub fn next_retry(state: &RunState) -> Option<Timestamp> {
    state
        .steps
        .values()
        .filter_map(|step| match step.status {
            StepStatus::Retrying { not_before } => Some(not_before),
            _ => None,
        })
        .min()
}

/// How a run that has come to its end has ended.
fn ending(state: &RunState) -> (RunStatus, Vec<String>) {
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
