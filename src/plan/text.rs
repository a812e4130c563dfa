//! A plan for reading in a terminal.

use super::{Plan, PlannedCall, PlannedUndo, StepOutcome};
use crate::model::Value;
use crate::model::secret::is_handle;
use crate::model::unknown::Unknown;

/// How wide an argument may be.
const ARGUMENT: usize = 60;

/// The plan as text, a line a call.
#[must_use]
pub fn render(plan: &Plan) -> String {
    let mut text = format!("plan of {} {} (bundle {})\n", plan.playbook, plan.version, short(&plan.bundle));
    for (name, identity) in &plan.targets {
        text.push_str(&format!("  works on {} ({})\n", flat(name), flat(identity)));
    }
    for step in &plan.steps {
        let title = if step.title.is_empty() { String::new() } else { format!("  {}", flat(&step.title)) };
        text.push_str(&format!("\n{}{title}\n", step.step));
        if let Some(approval) = &step.approval {
            let by =
                if approval.by.is_empty() { "anybody but the starter".to_owned() } else { approval.by.join(" or ") };
            text.push_str(&format!("  ! waits for approval: {} by {}\n", approval.count, flat(&by)));
        }
        if let Some(reason) = &step.point_of_no_return {
            text.push_str(&format!("  ! point of no return: {}\n", flat(reason)));
        }
        if step.manual {
            text.push_str("  ! done by hand\n");
        }
        if !step.runs_if.is_empty() {
            text.push_str(&format!("  ? runs only if {}\n", super::words(&step.runs_if)));
        }
        for call in &step.calls {
            text.push_str(&line(call, step.runs_if.len()));
        }
        for end in &step.stops_if {
            text.push_str(&format!("  ? stops if {end}\n"));
        }
        for end in &step.not_followed {
            text.push_str(&format!(
                "  ? not followed{end}\n",
                end = if end.branch.is_empty() { format!(": {}", end.message) } else { format!(" if {end}") }
            ));
        }
        match &step.outcome {
            StepOutcome::Runs => {}
            StepOutcome::Skipped { reason } => text.push_str(&format!("  skipped: {}\n", flat(reason))),
            StepOutcome::Unknown { reason } => text.push_str(&format!("  unknown from here: {}\n", flat(reason))),
            StepOutcome::Fails { error } => text.push_str(&format!("  fails: {}\n", flat(error))),
            StepOutcome::NotReached => text.push_str("  not reached\n"),
        }
    }
    let standing: Vec<String> = plan.leaves().map(|call| format!("{} {}", call.op, call.resource)).collect();
    text.push_str(&format!("\n{} effects, coverage {}%", plan.effects, plan.coverage.percent));
    if standing.is_empty() {
        text.push_str("; a rollback would leave nothing behind\n");
    } else {
        text.push_str(&format!(
            "; a rollback would leave {} standing: {}\n",
            standing.len(),
            flat(&standing.join(", "))
        ));
    }
    for warning in &plan.warnings {
        let step = warning.step.as_ref().map(|step| format!("{step}: ")).unwrap_or_default();
        text.push_str(&format!("! {step}{}\n", flat(&warning.message)));
    }
    text.push_str("Nothing was changed.\n");
    text
}

/// The text on one line: what a step or an operation says is not to look like a line of the plan.
fn flat(text: &str) -> String {
    text.split(char::is_control).filter(|part| !part.trim().is_empty()).collect::<Vec<_>>().join(" ")
}

fn line(call: &PlannedCall, supposed: usize) -> String {
    let mark = if call.writes { '+' } else { ' ' };
    let label = call.basis.as_str();
    let mut text = format!("  {mark} {label:<9} {:<22} {}\n", call.op, arguments(&call.args));
    let branch = call.branch.get(supposed..).unwrap_or_default();
    if !branch.is_empty() {
        text.push_str(&format!("              if {}\n", super::words(branch)));
    }
    if let Some(repeated) = &call.repeated {
        text.push_str(&format!("              for {repeated}\n"));
    }
    if let Some(refused) = &call.refused {
        text.push_str(&format!("              refused: {}\n", flat(refused)));
    }
    if let Some(undo) = call.undo.as_ref().filter(|_| call.writes) {
        let undo = match undo {
            PlannedUndo::Nothing => "nothing to undo".to_owned(),
            PlannedUndo::Impossible { why } => format!("cannot be undone: {why}"),
            PlannedUndo::Call { op, .. } => format!("undone by {op}"),
            PlannedUndo::Step => "undone by the step's own rollback".to_owned(),
        };
        text.push_str(&format!("              {}\n", flat(&undo)));
    }
    text
}

fn arguments(args: &Value) -> String {
    let Some(fields) = args.as_object() else { return String::new() };
    let shown: Vec<String> = fields
        .iter()
        .filter(|(_, value)| !value.is_null())
        .map(|(name, value)| {
            let value = if is_handle(value) {
                "(secret)".to_owned()
            } else {
                let shown = with_words(value);
                shown.as_str().map_or_else(|| shown.to_string(), str::to_owned)
            };
            let line = value.split(char::is_control).next().unwrap_or("").to_owned();
            let cut: String = line.chars().take(ARGUMENT).collect();
            let more = if cut.len() < value.len() { "…" } else { "" };
            format!("{name}={cut}{more}")
        })
        .collect();
    shown.join(" ")
}

/// Unknown parts by their source: `restored-(steps.create.id)`.
fn with_words(value: &Value) -> Value {
    match (Unknown::of(value), value) {
        (Some(unknown), _) => Value::from(unknown.shown()),
        (None, Value::Object(fields)) => fields
            .iter()
            .map(|(name, value)| (name.clone(), with_words(value)))
            .collect::<serde_json::Map<_, _>>()
            .into(),
        (None, Value::Array(items)) => items.iter().map(with_words).collect(),
        (None, value) => value.clone(),
    }
}

fn short(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}
