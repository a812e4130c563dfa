//! A report for reading: in a terminal, and in Markdown.

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

/// For a terminal.
#[must_use]
pub fn plain(report: &Report) -> String {
    let mut text = format!(
        "{} of {} {}: {}\nplan {} of {} by {}\n{}\n{}\n{}\n",
        report.run,
        flat(&report.playbook),
        report.version,
        report.status.as_str(),
        report.plan.get(..12).unwrap_or(&report.plan),
        report.planned_at.strftime("%Y-%m-%d %H:%M:%SZ"),
        flat(&report.planned_by),
        agreement("effects", report.effects),
        agreement("all calls", report.calls),
        objective(&report.times),
    );
    replanned(report).iter().for_each(|line| text.push_str(&format!("{}\n", flat(line))));
    for step in &report.steps {
        let took =
            step.actual_ms.map(|took| format!("  {} → {}", span(step.planned_ms), span(took))).unwrap_or_default();
        let was = planned(step.planned.as_ref());
        let was = if was.is_empty() { was } else { format!("  ({was})") };
        text.push_str(&format!("\n{}  {}{was}{took}\n", step.step, flat(&step.actual)));
        for call in step.calls.iter().filter(|call| is_worth_telling(call)) {
            let mark = if call.writes { '+' } else { ' ' };
            let line = format!(
                "  {mark} {:<11} {:<22} {}  {}  {}",
                fate(call),
                call.op,
                flat(&call.resource),
                ended(call),
                times(call)
            );
            text.push_str(line.trim_end());
            text.push('\n');
        }
    }
    text
}

/// A cell of a table in Markdown.
fn cell(text: &str) -> String {
    let mut safe = String::new();
    for letter in flat(text).chars() {
        match letter {
            '|' | '`' | '*' | '_' | '[' | ']' | '\\' | '#' | '~' | '!' => safe.extend(['\\', letter]),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '&' => safe.push_str("&amp;"),
            '@' => safe.push_str("&#64;"),
            letter => safe.push(letter),
        }
    }
    safe
}

/// For a pull request, a ticket or a drill's minutes.
#[must_use]
pub fn markdown(report: &Report) -> String {
    let mut text = format!(
        "## Run {} of {} {}: {}\n\nPlan `{}`, made {} by {}.\n\n- {}\n- {}\n- {}\n",
        report.run,
        cell(&report.playbook),
        cell(&report.version),
        report.status.as_str(),
        report.plan.get(..12).unwrap_or(&report.plan),
        report.planned_at.strftime("%Y-%m-%d %H:%M:%SZ"),
        cell(&report.planned_by),
        agreement("Effects", report.effects),
        agreement("All calls", report.calls),
        objective(&report.times),
    );
    replanned(report).iter().for_each(|line| text.push_str(&format!("- {}\n", cell(line))));
    text.push_str("\n| Step | Call | Of what | Plan | Outcome | Planned → took |\n|---|---|---|---|---|---|\n");
    for step in &report.steps {
        let took = step.actual_ms.map(|took| format!("{} → {}", span(step.planned_ms), span(took))).unwrap_or_default();
        let was = planned(step.planned.as_ref());
        text.push_str(&format!(
            "| **{}** | | | {} | {} | {took} |\n",
            cell(step.step.as_str()),
            was,
            cell(&step.actual)
        ));
        for call in step.calls.iter().filter(|call| is_worth_telling(call)) {
            text.push_str(&format!(
                "| | {} | {} | {} | {} | {} |\n",
                cell(&call.op),
                cell(&call.resource),
                fate(call),
                cell(&ended(call)),
                times(call)
            ));
        }
    }
    text
}
