//! What came of a test, compared with what it expects.

use std::sync::Arc;
use std::time::Duration;

use similar::{ChangeTag, TextDiff};

use super::ground::Ground;
use super::rig::{self, Outcome};
use super::world_facts;
use crate::engine::state::{CallKind, CallState, StepState, StepStatus, Undone};
use crate::journal::{Fact, Pause, Record};
use crate::model::amount::format_duration;
use crate::model::span::{Span, Spanned};
use crate::model::status::RunStatus;
use crate::model::{StepPath, Value, glob};
use crate::plan::{Plan, StepOutcome};
use crate::playbook::trial::{CallWanted, Calls, KillAt, PauseWanted, PlanFacts, Trial};
use crate::script::Program;

/// What is not as expected.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Mismatch {
    /// Where that is expected.
    pub span: Span,
    /// Of what.
    pub what: String,
    /// What is expected.
    pub expected: String,
    /// What there is.
    pub found: String,
    /// The difference line by line, `-` for what is missing and `+` for what is there instead; empty when that says no more.
    pub diff: Vec<String>,
}

impl Mismatch {
    /// Of one thing.
    pub(super) fn new(span: Span, what: &str, expected: impl Into<String>, found: impl Into<String>) -> Self {
        Self { span, what: what.to_owned(), expected: expected.into(), found: found.into(), diff: Vec::new() }
    }

    /// Of lists: what differs line by line.
    pub(super) fn lines(span: Span, what: &str, expected: &[String], found: &[String]) -> Self {
        let text = |lines: &[String]| lines.iter().map(|line| format!("{line}\n")).collect::<String>();
        let (old, new) = (text(expected), text(found));
        let diff = TextDiff::from_lines(&old, &new);
        let line = |change: similar::Change<&str>| {
            let sign = match change.tag() {
                ChangeTag::Delete => '-',
                ChangeTag::Insert => '+',
                ChangeTag::Equal => ' ',
            };
            format!("{sign} {}", change.value().trim_end())
        };
        let diff = diff.iter_all_changes().map(line).collect();
        let count = |lines: &[String]| match lines.len() {
            0 => "none".to_owned(),
            1 => lines[0].clone(),
            number => number.to_string(),
        };
        Self { span, what: what.to_owned(), expected: count(expected), found: count(found), diff }
    }
}

/// How a test came out.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Verdict {
    /// The test.
    pub name: Spanned<String>,
    /// What is not as expected; nothing when it passed.
    pub mismatches: Vec<Mismatch>,
    /// How the run ended; `None` when it did not begin.
    pub status: Option<RunStatus>,
    /// How long it took, in the sandbox's time.
    pub took: Duration,
    /// How many effects it sent.
    pub effects: usize,
}

impl Verdict {
    /// Of a test that could not be run.
    pub(super) fn not_run(trial: &Trial, mismatch: Mismatch) -> Self {
        let name = trial.name.clone();
        Self { name, mismatches: vec![mismatch], status: None, took: Duration::ZERO, effects: 0 }
    }

    /// Whether everything is as expected.
    #[must_use]
    pub fn passed(&self) -> bool {
        self.mismatches.is_empty()
    }
}

/// Compares all that a test expects.
pub(super) fn judge(
    trial: &Trial,
    program: &Arc<Program>,
    ground: &Ground,
    outcome: &Outcome,
    exit: &dyn Fn(&[Record]) -> u8,
) -> Verdict {
    let expect = &trial.expect;
    let state = &outcome.state;
    let mut found = Vec::new();
    unused(trial, outcome, &mut found);
    if let Some(wanted) = &expect.exit {
        let code = u32::from(exit(&outcome.records));
        if code != wanted.value {
            found.push(Mismatch::new(
                wanted.span,
                "exit code",
                wanted.value.to_string(),
                format!("{code} ({})", says(outcome)),
            ));
        }
    }
    if let Some(wanted) = expect.status.as_ref().filter(|wanted| wanted.value != state.status().as_str()) {
        found.push(Mismatch::new(wanted.span, "status", wanted.value.clone(), says(outcome)));
    }
    for (step, wanted) in &expect.steps {
        let now = stands(outcome, &step.value);
        if now != wanted.value {
            found.push(Mismatch::new(wanted.span, &format!("step {}", step.value), wanted.value.clone(), now));
        }
    }
    let sent = |undo: bool| -> Vec<&CallState> {
        let of_kind =
            |call: &&CallState| matches!(&call.kind, CallKind::Effect { .. }) && call.is_forward_effect() != undo;
        state.calls.iter().filter(of_kind).collect()
    };
    let (effects, undos) = (sent(false), sent(true));
    expect.effects.iter().for_each(|wanted| calls("effects", wanted, &effects, &mut found));
    expect.undos.iter().for_each(|wanted| calls("undos", wanted, &undos, &mut found));
    if let Some(wanted) = &expect.pauses {
        pauses(wanted, &outcome.pauses, &mut found);
    }
    for (step, wanted) in &expect.outputs {
        let output = state.step(&StepPath::of(&step.value)).map(|step| output_of(&step.status));
        let output = output.unwrap_or(Value::Null);
        if !fits(wanted, &output) {
            found.push(Mismatch::new(
                step.span,
                &format!("result of {}", step.value),
                wanted.to_string(),
                output.to_string(),
            ));
        }
    }
    let errors: Vec<String> = outcome.records.iter().filter_map(error_of).collect();
    heard("an error with", &expect.errors, &errors, &mut found);
    let log: Vec<String> = state
        .calls
        .iter()
        .filter(|call| call.op.starts_with("log."))
        .filter_map(|call| call.args.get("message")?.as_str().map(str::to_owned))
        .collect();
    heard("a log line with", &expect.log, &log, &mut found);
    world_facts::judge(&expect.world, &ground.world, &outcome.world, &mut found);
    let took = match (outcome.records.first(), outcome.records.last()) {
        (Some(first), Some(last)) => last.at.duration_since(first.at).unsigned_abs(),
        _ => Duration::ZERO,
    };
    if let Some(wanted) = expect.within.as_ref().filter(|wanted| took > wanted.value) {
        let (wanted, span) = (format_duration(wanted.value), wanted.span);
        found.push(Mismatch::new(span, "duration", format!("{wanted} at most"), format_duration(took)));
    }
    if let Some(wanted) = &expect.plan {
        match rig::plan(program, ground).map(|records| Plan::of(&records, program)) {
            Ok(Some(plan)) => plan_facts(wanted, &plan, &mut found),
            Ok(None) => found.push(Mismatch::new(trial.name.span, "the plan", "one that can be read", "none")),
            Err(error) => found.push(Mismatch::new(trial.name.span, "the plan", "one", error)),
        }
    }
    found.sort_by_key(|mismatch| mismatch.span);
    Verdict { name: trial.name.clone(), mismatches: found, status: Some(state.status()), took, effects: effects.len() }
}

/// What the test brings about and the run never met: a test of nothing. And what must never be.
fn unused(trial: &Trial, outcome: &Outcome, found: &mut Vec<Mismatch>) {
    for (fault, count) in &outcome.unused {
        let times = match count {
            1 => "one such call was made".to_owned(),
            count => format!("{count} such calls were made"),
        };
        found.push(Mismatch::new(fault.span, "`fail`", "a call that fails", times));
    }
    for (kill, sent) in &outcome.unkilled {
        let what = match kill {
            KillAt::Effect(number, _) => format!("effect {number}, to stop the engine at"),
            KillAt::Record(number) => format!("record {number}, to stop the engine at"),
        };
        found.push(Mismatch::new(trial.name.span, "`kill`", what, format!("it sent {sent} effects and went on")));
    }
    if outcome.unsaid > 0 {
        let last = trial.orders.len().saturating_sub(outcome.unsaid);
        let span = trial.orders.get(last).map_or(trial.name.span, |order| order.span);
        found.push(Mismatch::new(span, "`then`", "a pause for this order", says(outcome)));
    }
    for record in &outcome.records {
        if let Fact::Commanded { refused: Some(why), .. } = &record.fact {
            found.push(Mismatch::new(trial.name.span, "an order", "to be carried out", format!("refused: {why}")));
        }
    }
    for effect in outcome.world.completed_twice() {
        found.push(Mismatch::new(trial.name.span, "effects", "each once", format!("{} was done twice", effect.op)));
    }
}

/// The run's status and why.
fn says(outcome: &Outcome) -> String {
    let (status, detail) = (outcome.state.status().as_str(), outcome.state.detail());
    let error = outcome.records.iter().rev().find_map(error_of).map(|error| format!(": {error}")).unwrap_or_default();
    if detail.is_empty() { format!("{status}{error}") } else { format!("{status}: {detail}{error}") }
}

fn error_of(record: &Record) -> Option<String> {
    match &record.fact {
        Fact::StepFailed { error, .. } => Some(error.message.clone()),
        _ => None,
    }
}

/// Where a step stands; of one with `foreach`, where its instances do, if they agree.
fn stands(outcome: &Outcome, step: &str) -> String {
    let state = &outcome.state;
    if let Some(step) = state.step(&StepPath::of(step)).filter(|_| !state.expanded.contains_key(step)) {
        return word(outcome, step).to_owned();
    }
    let mut words: Vec<&str> = state
        .steps
        .iter()
        .filter(|(path, _)| path.step() == step && path.key().is_some())
        .map(|(_, step)| word(outcome, step))
        .collect();
    words.dedup();
    if words.is_empty() { "not begun".to_owned() } else { words.join(", ") }
}

fn word(outcome: &Outcome, step: &StepState) -> &'static str {
    let undone = step.body.iter().any(|index| outcome.state.calls[*index].undone == Undone::Yes);
    match &step.status {
        _ if undone || step.rolled_back => "rolled back",
        StepStatus::Pending => "not begun",
        StepStatus::AwaitingApproval { .. } | StepStatus::AwaitingManual { .. } | StepStatus::Retrying { .. } => {
            "waiting"
        }
        StepStatus::Running | StepStatus::Verifying { .. } => "running",
        StepStatus::Failed { .. } => "failed",
        StepStatus::Succeeded { .. } => "succeeded",
        StepStatus::Skipped { .. } => "skipped",
        StepStatus::Done { .. } => "done",
    }
}

fn output_of(status: &StepStatus) -> Value {
    match status {
        StepStatus::Succeeded { output } => output.clone(),
        StepStatus::Skipped { result, .. } | StepStatus::Done { result, .. } => result.clone().unwrap_or(Value::Null),
        _ => Value::Null,
    }
}

/// Whether a value is what is wanted: of maps the keys that are named, in texts `*` for anything.
fn fits(wanted: &Value, value: &Value) -> bool {
    match (wanted, value) {
        (Value::Object(wanted), Value::Object(value)) => {
            wanted.iter().all(|(key, wanted)| value.get(key).is_some_and(|value| fits(wanted, value)))
        }
        (Value::Array(wanted), Value::Array(value)) => {
            wanted.len() == value.len() && wanted.iter().zip(value).all(|(wanted, value)| fits(wanted, value))
        }
        (Value::String(wanted), Value::String(value)) => glob::matches(wanted, value),
        // A command as one line, as capabilities have it.
        (Value::String(wanted), Value::Array(words)) => {
            let line: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            line.len() == words.len() && glob::matches(wanted, &line.join(" "))
        }
        (Value::Number(wanted), Value::Number(value)) => wanted.as_f64() == value.as_f64(),
        (wanted, value) => wanted == value,
    }
}

fn call_fits(wanted: &CallWanted, call: &CallState) -> bool {
    wanted.op.value == call.op && fits(&wanted.args, &call.args)
}

fn wanted_line(call: &CallWanted) -> String {
    let args = call.args.as_object().filter(|args| !args.is_empty());
    args.map_or_else(|| call.op.value.clone(), |_| format!("{} {}", call.op.value, call.args))
}

/// A sent call, with the arguments that are asked about.
fn sent_line(call: &CallState, wanted: Option<&CallWanted>) -> String {
    let asked = wanted.and_then(|wanted| wanted.args.as_object()).filter(|args| !args.is_empty());
    let Some(asked) = asked else { return call.op.clone() };
    let shown: serde_json::Map<String, Value> =
        asked.keys().map(|key| (key.clone(), call.args.get(key).cloned().unwrap_or(Value::Null))).collect();
    format!("{} {}", call.op, Value::Object(shown))
}

fn calls(what: &str, wanted: &Calls, sent: &[&CallState], found: &mut Vec<Mismatch>) {
    if let Some(only) = &wanted.only {
        let same =
            only.value.len() == sent.len() && only.value.iter().zip(sent).all(|(wanted, call)| call_fits(wanted, call));
        if !same {
            let expected: Vec<String> = only.value.iter().map(wanted_line).collect();
            let there = sent.iter().enumerate().map(|(place, call)| {
                let wanted = only.value.get(place).filter(|wanted| wanted.op.value == call.op);
                // What fits is shown as it was asked for, so that only what differs stands out.
                match wanted.filter(|wanted| call_fits(wanted, call)) {
                    Some(wanted) => wanted_line(wanted),
                    None => sent_line(call, wanted),
                }
            });
            found.push(Mismatch::lines(only.span, what, &expected, &there.collect::<Vec<_>>()));
        }
    }
    let mut rest = sent.iter();
    for wanted in &wanted.contains {
        if !rest.any(|call| call_fits(wanted, call)) {
            let like: Vec<String> = sent
                .iter()
                .filter(|call| call.op == wanted.op.value)
                .map(|call| sent_line(call, Some(wanted)))
                .collect();
            let like = if like.is_empty() { "no such call".to_owned() } else { like.join("; ") };
            found.push(Mismatch::new(wanted.op.span, what, wanted_line(wanted), like));
            break;
        }
    }
    for none in &wanted.none {
        let count = sent.iter().filter(|call| call.op == none.value).count();
        if count > 0 {
            found.push(Mismatch::new(none.span, what, format!("no {}", none.value), count.to_string()));
        }
    }
    if let Some(count) = wanted.count.as_ref().filter(|count| count.value as usize != sent.len()) {
        found.push(Mismatch::new(count.span, what, count.value.to_string(), sent.len().to_string()));
    }
}

fn pauses(wanted: &Spanned<Vec<PauseWanted>>, met: &[Pause], found: &mut Vec<Mismatch>) {
    let name = |pause: &Pause| -> (String, Option<String>) {
        let written = serde_json::to_value(pause).unwrap_or_default();
        let text = |key: &str| written.get(key).and_then(Value::as_str).map(str::to_owned);
        (text("why").unwrap_or_default(), text("step"))
    };
    let met: Vec<(String, Option<String>)> = met.iter().map(name).collect();
    let fits = |(wanted, (why, step)): (&PauseWanted, &(String, Option<String>))| {
        wanted.why.value == *why && (wanted.step.is_none() || wanted.step == *step)
    };
    if wanted.value.len() == met.len() && wanted.value.iter().zip(&met).all(fits) {
        return;
    }
    let line = |why: &str, step: Option<&str>| step.map_or_else(|| why.to_owned(), |step| format!("{why}: {step}"));
    let expected: Vec<String> =
        wanted.value.iter().map(|wanted| line(&wanted.why.value, wanted.step.as_deref())).collect();
    let there: Vec<String> = met.iter().map(|(why, step)| line(why, step.as_deref())).collect();
    found.push(Mismatch::lines(wanted.span, "pauses", &expected, &there));
}

fn heard(what: &str, wanted: &[Spanned<String>], said: &[String], found: &mut Vec<Mismatch>) {
    for part in wanted.iter().filter(|part| !said.iter().any(|line| line.contains(&part.value))) {
        let there = if said.is_empty() { "none".to_owned() } else { said.join("; ") };
        found.push(Mismatch::new(part.span, what, part.value.clone(), there));
    }
}

fn plan_facts(wanted: &PlanFacts, plan: &Plan, found: &mut Vec<Mismatch>) {
    if let Some(effects) = wanted.effects.as_ref().filter(|effects| effects.value as usize != plan.effects) {
        found.push(Mismatch::new(
            effects.span,
            "effects of the plan",
            effects.value.to_string(),
            plan.effects.to_string(),
        ));
    }
    let steps = |fits: fn(&StepOutcome) -> bool| -> Vec<String> {
        plan.steps.iter().filter(|step| fits(&step.outcome)).map(|step| step.step.to_string()).collect()
    };
    let lists = [
        ("unknown steps of the plan", &wanted.unknown_steps, steps(|end| matches!(end, StepOutcome::Unknown { .. }))),
        ("failing steps of the plan", &wanted.failing_steps, steps(|end| matches!(end, StepOutcome::Fails { .. }))),
        ("warnings of the plan", &wanted.warnings, {
            let mut codes: Vec<String> = plan.warnings.iter().map(|warning| warning.code.clone()).collect();
            codes.dedup();
            codes
        }),
    ];
    for (what, wanted, there) in lists {
        if let Some(wanted) = wanted.as_ref().filter(|wanted| wanted.value != there) {
            found.push(Mismatch::lines(wanted.span, what, &wanted.value, &there));
        }
    }
    if let Some(least) = wanted.coverage.as_ref().filter(|least| plan.coverage.percent < least.value) {
        let there = format!("{} %", plan.coverage.percent);
        found.push(Mismatch::new(least.span, "coverage of the plan", format!("{} % at least", least.value), there));
    }
    let foreseen = Duration::from_millis(plan.timeline.total_ms);
    if let Some(most) = wanted.within.as_ref().filter(|most| foreseen > most.value) {
        let expected = format!("{} at most", format_duration(most.value));
        found.push(Mismatch::new(most.span, "duration of the plan", expected, format_duration(foreseen)));
    }
}
