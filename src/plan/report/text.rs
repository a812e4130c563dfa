//! A report in words: its sums, and a row for each call that is worth telling.

use std::time::Duration;

use super::{Agreement, Ending, Fate, Report, ReportedCall, Times};
use crate::plan::StepOutcome;

/// Calls that say nothing a reader wants to know: reads that went as planned.
fn is_worth_telling(call: &ReportedCall) -> bool {
    call.writes || !matches!(call.fate, Fate::AsPlanned | Fate::OtherWay | Fate::Check | Fate::Try)
}

/// The text on one line, without what moves the cursor.
fn flat(text: &str) -> String {
    text.split(char::is_control).filter(|part| !part.trim().is_empty()).collect::<Vec<_>>().join(" ")
}

/// `1h 2m`, `3m 4s`, `5.6s`, `70ms`.
fn span(millis: u64) -> String {
    let seconds = Duration::from_millis(millis).as_secs();
    match seconds {
        3600.. => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        60.. => format!("{}m {}s", seconds / 60, seconds % 60),
        1.. => format!("{}.{}s", seconds, millis % 1000 / 100),
        0 => format!("{millis}ms"),
    }
}

fn fate(call: &ReportedCall) -> &'static str {
    match (call.fate, &call.ended) {
        (Fate::AsPlanned, _) => "as planned",
        (Fate::NotPlanned, _) => "not planned",
        (Fate::NotMade, _) => "not made",
        (Fate::OtherWay, _) => "other way",
        (Fate::Undo, _) => "undo",
        (Fate::Check, _) => "check",
        (Fate::Try, _) => "earlier try",
        (Fate::Before, _) => "before the plan",
    }
}

fn ended(call: &ReportedCall) -> String {
    match &call.ended {
        None => String::new(),
        Some(Ending::Done) => "done".to_owned(),
        Some(Ending::Undone) => "done, undone".to_owned(),
        Some(Ending::LeftStanding { why }) => format!("done, not undone: {}", flat(why)),
        Some(Ending::Failed { error }) => format!("failed: {}", flat(error)),
        Some(Ending::Open) => "not ended".to_owned(),
    }
}

fn times(call: &ReportedCall) -> String {
    match (call.planned_ms, call.actual_ms) {
        (Some(planned), Some(actual)) => format!("{} → {}", span(planned), span(actual)),
        (Some(planned), None) if call.ended.is_none() => span(planned),
        (None, Some(actual)) => format!("→ {}", span(actual)),
        _ => String::new(),
    }
}

fn agreement(name: &str, of: Agreement) -> String {
    let mut text = format!("{name}: {} as planned ({}%)", of.as_planned, of.percent);
    for (count, what) in
        [(of.not_planned, "not planned"), (of.not_made, "not made"), (of.other_way, "for ways not taken")]
    {
        if count > 0 {
            text.push_str(&format!(", {count} {what}"));
        }
    }
    text
}

fn objective(times: &Times) -> String {
    let people =
        if times.people_ms > 0 { format!(" ({} waiting for people)", span(times.people_ms)) } else { String::new() };
    let objective = match (times.rto_ms, times.keeps_objective()) {
        (Some(rto), Some(true)) => format!(", objective {}: kept", span(rto)),
        (Some(rto), _) => format!(", objective {}: missed", span(rto)),
        (None, _) => String::new(),
    };
    format!("predicted {}, took {}{people}{objective}", span(times.predicted_ms), span(times.actual_ms))
}

fn planned(outcome: Option<&StepOutcome>) -> String {
    match outcome {
        Some(StepOutcome::Runs | StepOutcome::Done) => String::new(),
        Some(StepOutcome::Skipped { .. }) => "planned: skipped".to_owned(),
        Some(StepOutcome::Unknown { .. }) => "planned: unknown".to_owned(),
        Some(StepOutcome::Fails { .. }) => "planned: fails".to_owned(),
        Some(StepOutcome::NotReached) => "planned: not reached".to_owned(),
        None => "not in the plan".to_owned(),
    }
}

/// A line for each plan of the rest that the run was bound to later.
fn replanned(report: &Report) -> Vec<String> {
    let line = |again: &super::Replanned| {
        let steps: Vec<&str> = again.steps.iter().map(crate::model::StepPath::as_str).collect();
        format!(
            "planned again {} by {}: plan {}, followed since {} by {}, for {}",
            again.planned_at.strftime("%Y-%m-%d %H:%M:%SZ"),
            again.planned_by,
            again.plan.get(..12).unwrap_or(&again.plan),
            again.at.strftime("%Y-%m-%d %H:%M:%SZ"),
            again.by,
            steps.join(", ")
        )
    };
    report.replanned.iter().map(line).collect()
}

/// Plan, agreement and times, one sentence each.
#[must_use]
pub fn sums(report: &Report) -> Vec<String> {
    let mut sums = vec![
        format!(
            "plan {} of {} by {}",
            report.plan.get(..12).unwrap_or(&report.plan),
            report.planned_at.strftime("%Y-%m-%d %H:%M:%SZ"),
            flat(&report.planned_by)
        ),
        agreement("effects", report.effects),
        agreement("all calls", report.calls),
        objective(&report.times),
    ];
    sums.extend(replanned(report).iter().map(|line| flat(line)));
    sums
}

/// Step, call, of what, plan, outcome, and planned → took. A row without a call is of the step itself.
pub type Row = [String; 6];

/// A row for each step and each of its calls that is worth telling.
#[must_use]
pub fn rows(report: &Report) -> Vec<Row> {
    let mut rows = Vec::new();
    for step in &report.steps {
        let took = step.actual_ms.map(|took| format!("{} → {}", span(step.planned_ms), span(took))).unwrap_or_default();
        let none = String::new;
        let was = planned(step.planned.as_ref());
        rows.push([flat(step.step.as_str()), none(), none(), was, flat(&step.actual), took]);
        for call in step.calls.iter().filter(|call| is_worth_telling(call)) {
            let plan = fate(call).to_owned();
            rows.push([none(), call.op.clone(), flat(&call.resource), plan, ended(call), times(call)]);
        }
    }
    rows
}
