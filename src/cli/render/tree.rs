//! The step tree: one line a step instance, as it is now.

use super::brief::{self, one_line};
use super::look::{Glyph, Look, Tone};
use super::view::{CallState, CallView, StepState, StepView, UndoState, View};
use super::{table::Table, when};
use crate::journal::Pause;
use crate::model::{Phase, Timestamp};

/// The tree, a line a step, no wider than the terminal: a long name leaves room for what its step does. `now` only moves durations and time left.
#[must_use]
pub fn lines(view: &View, now: Timestamp, look: Look) -> Vec<String> {
    let mut table = Table::new(&["", "", ""]);
    for step in view.steps() {
        let indent = if step.path.key().is_some() { "  " } else { "" };
        let name = step.path.key().map_or_else(|| step.path.step().to_owned(), one_line);
        let name = look.fit(&name, (look.width * 2 / 5).clamp(8, 36));
        table.row([
            format!("{indent}{}  {name}", look.glyph(glyph(view, step))),
            look.paint(Tone::Faint, &duration(step, now)),
            note(view, step, now, look),
        ]);
    }
    table.print(2, str::to_owned).lines().map(|line| look.fit(line, look.width)).collect()
}

/// The symbol of a step.
#[must_use]
pub fn glyph(view: &View, step: &StepView) -> Glyph {
    let (standing, undone) = view.effects(step);
    if undone > 0 && standing == 0 {
        return Glyph::Undone;
    }
    let current = view.current(step);
    if current.is_some_and(|call| matches!(call.state, CallState::Doubt(_))) {
        return Glyph::Doubt;
    }
    match &step.state {
        StepState::Pending => instances(view, step).map_or(Glyph::Pending, |(done, failed, all)| {
            if failed > 0 {
                Glyph::Failed
            } else if done == all {
                Glyph::Done
            } else {
                Glyph::Running
            }
        }),
        StepState::Running if current.is_some_and(|call| !call.writes) => Glyph::Waiting,
        StepState::Running | StepState::Verifying(_) => Glyph::Running,
        StepState::Retrying(_) => Glyph::Waiting,
        StepState::Approval { .. } | StepState::Manual(_) => Glyph::Paused,
        StepState::Succeeded | StepState::Done { .. } => Glyph::Done,
        StepState::Failed { .. } => Glyph::Failed,
        StepState::Skipped { .. } => Glyph::Skipped,
    }
}

/// How a step stands, in words, for lists and summaries.
#[must_use]
pub fn state(view: &View, step: &StepView) -> String {
    let (standing, undone) = view.effects(step);
    if undone > 0 {
        return if standing == 0 { "undone".to_owned() } else { format!("{undone} undone, {standing} standing") };
    }
    match &step.state {
        StepState::Pending => match instances(view, step) {
            Some((done, _, all)) => format!("{done} of {all}"),
            None => "not begun".to_owned(),
        },
        StepState::Running if view.current(step).is_some_and(|call| matches!(call.state, CallState::Doubt(_))) => {
            "in doubt".to_owned()
        }
        StepState::Running if view.current(step).is_some_and(|call| !call.writes) => "waiting".to_owned(),
        StepState::Running => "running".to_owned(),
        StepState::Verifying(_) => "verifying".to_owned(),
        StepState::Retrying(_) => "to be tried again".to_owned(),
        StepState::Approval { given, needed, .. } => format!("{} of {needed} approvals", given.len()),
        StepState::Manual(_) => "by hand".to_owned(),
        StepState::Succeeded => "succeeded".to_owned(),
        StepState::Failed { handled: true, .. } => "failed, handled".to_owned(),
        StepState::Failed { handled: false, .. } => "failed".to_owned(),
        StepState::Skipped { .. } => "skipped".to_owned(),
        StepState::Done { .. } => "done by hand".to_owned(),
    }
}

/// From a step's begin to its end, or to now.
#[must_use]
pub fn duration(step: &StepView, now: Timestamp) -> String {
    let Some(begun) = step.begun else { return String::new() };
    when::took(when::between(begun, step.ended.unwrap_or(now)))
}

fn note(view: &View, step: &StepView, now: Timestamp, look: Look) -> String {
    if let Some(call) = view.current(step) {
        return call_note(view, call, now, look);
    }
    let attempt = if step.attempt > 1 { format!("attempt {}  ", step.attempt) } else { String::new() };
    match &step.state {
        StepState::Pending => {
            instances(view, step).map(|(done, _, all)| format!("{done} of {all}")).unwrap_or_default()
        }
        StepState::Running if step.attempt > 1 => format!("attempt {}", step.attempt),
        StepState::Running | StepState::Succeeded => effects_note(view, step, look),
        StepState::Verifying(until) => format!("{attempt}verifying, {} left", left(*until, now)),
        StepState::Retrying(then) => format!("{attempt}tried again in {}", left(*then, now)),
        StepState::Approval { given, needed, by, .. } => {
            let by = if by.is_empty() { String::new() } else { format!(" by {}", by.join(", ")) };
            look.paint(Tone::Warn, &format!("{} of {needed} approvals{by}", given.len()))
        }
        StepState::Manual(instructions) => look.paint(Tone::Warn, &format!("by hand: {}", one_line(instructions))),
        StepState::Failed { error, handled } => {
            let tone = if *handled { Tone::Warn } else { Tone::Bad };
            let how = if *handled { "handled: " } else { "" };
            format!("{attempt}{}", look.paint(tone, &format!("{how}{}", one_line(&error.message))))
        }
        StepState::Skipped { reason } => look.paint(Tone::Faint, &one_line(reason)),
        StepState::Done { evidence, by } => format!("by hand by {by}: {}", one_line(evidence)),
    }
}

fn effects_note(view: &View, step: &StepView, look: Look) -> String {
    let (standing, undone) = view.effects(step);
    if undone == 0 {
        return String::new();
    }
    look.paint(
        Tone::Warn,
        &if standing == 0 { "undone".to_owned() } else { format!("{undone} undone, {standing} standing") },
    )
}

fn call_note(view: &View, call: &CallView, now: Timestamp, look: Look) -> String {
    let undo = if call.id.phase == Phase::Rollback { "undo " } else { "" };
    let mut text = format!("{undo}{}", look.paint(Tone::Live, &call.op));
    let args = brief::args(&call.args);
    match &call.state {
        CallState::Doubt(found)
            if found.is_empty()
                && view
                    .pauses()
                    .iter()
                    .any(|pause| matches!(pause, Pause::InDoubt { call: of, .. } if *of == call.id)) =>
        {
            text.push_str("  in doubt: nobody can tell");
        }
        CallState::Doubt(found) if found.is_empty() => text.push_str("  in doubt: asking the world"),
        CallState::Doubt(found) => text.push_str(&format!("  in doubt: {}", one_line(found))),
        _ if !args.is_empty() => text.push_str(&format!("  {args}")),
        _ => {}
    }
    if let Some(progress) = view.progress_of(&call.id.step) {
        text.push_str(&format!("  ({})", one_line(progress)));
    }
    if let Some(until) = call.until {
        text.push_str(&format!("  {} left", left(until, now)));
    }
    text
}

fn left(until: Timestamp, now: Timestamp) -> String {
    when::coarse(when::between(now, until))
}

/// Of the instances of a `foreach` step: ended well, failed, all. `None` for any other step.
fn instances(view: &View, step: &StepView) -> Option<(usize, usize, usize)> {
    if step.path.key().is_some() {
        return None;
    }
    let all = view.steps().iter().filter(|other| other.path.key().is_some() && other.path.step() == step.path.as_str());
    let counted = all.fold((0, 0, 0), |(done, failed, all), instance| match instance.state {
        StepState::Succeeded | StepState::Done { .. } | StepState::Skipped { .. } => (done + 1, failed, all + 1),
        StepState::Failed { .. } => (done, failed + 1, all + 1),
        _ => (done, failed, all + 1),
    });
    (counted.2 > 0).then_some(counted)
}

/// How the undo of a call stands, in words.
#[must_use]
pub fn undo_state(call: &CallView) -> Option<String> {
    call.undone.as_ref().map(|state| match state {
        UndoState::Open => "being undone".to_owned(),
        UndoState::Done => "undone".to_owned(),
        UndoState::Failed(error) => format!("undo failed: {}", one_line(&error.message)),
        UndoState::Skipped(reason) => format!("left standing: {}", one_line(reason)),
    })
}
