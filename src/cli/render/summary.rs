//! What a command that ran a run says when it lets go of it: the pauses with their choices, or the outcome.

use super::brief::{self, cut, one_line};
use super::choices::{self, Choice};
use super::look::{Look, Tone};
use super::view::{StepState, StepView, View};
use super::{tree, when};
use crate::journal::Pause;
use crate::model::fault::OpError;
use crate::model::status::{Mode, RunStatus};
use crate::model::{StepPath, Timestamp};

/// How many lines of a program's last words are shown.
const LAST_WORDS: usize = 12;

/// The whole summary.
#[must_use]
pub fn text(view: &View, now: Timestamp, look: Look) -> String {
    let now = time_of(view, now);
    let Some(header) = view.header() else { return String::new() };
    let status = view.status();
    let mut text = String::new();
    if !view.steps.is_empty() {
        for line in tree::lines(view, now, look) {
            text.push_str(&line);
            text.push('\n');
        }
        text.push('\n');
    }
    text.push_str(&pauses(view, look));
    let tone = match status {
        RunStatus::Succeeded => Tone::Good,
        RunStatus::Failed | RunStatus::Killed => Tone::Bad,
        _ => Tone::Warn,
    };
    let parked = !status.is_terminal() && status != RunStatus::Paused;
    let word = if parked { "parked" } else { status.as_str() };
    let took = view.begun.map(|begun| {
        let end = view.end.as_ref().map_or(now, |end| end.at);
        format!(" after {}", when::took(when::between(begun, end)))
    });
    text.push_str(&format!(
        "{} of {} {} {}{}\n",
        look.paint(Tone::Strong, &format!("run {}", header.run)),
        header.playbook,
        header.version,
        look.paint(tone, word),
        took.unwrap_or_default()
    ));
    text.push_str(&super::drill::text(view, look));
    if let Some(end) = &view.end {
        for remark in &end.remarks {
            text.push_str(&format!("  ! {}\n", one_line(remark)));
        }
        for (name, output) in &end.outputs {
            text.push_str(&format!("  {name}: {}\n", cut(&brief::value(output), 100)));
        }
    }
    text.push_str(&evidence(view));
    text.push_str(&commands(&choices::next(view), look));
    text
}

/// Every pause: what happened, why, the last words, the hint, and the choices.
#[must_use]
pub fn pauses(view: &View, look: Look) -> String {
    let run = view.header().map_or("", |header| header.run.short());
    let back = choices::Back { under_way: view.rollback.is_some(), no_return: view.no_return() };
    let mut text = String::new();
    for pause in &view.pauses() {
        text.push_str(&look.paint(Tone::Warn, &choices::reason(pause)));
        text.push('\n');
        text.push_str(&details(view, pause, look));
        text.push_str(&commands(&choices::of_pause(run, pause, back), look));
        text.push('\n');
    }
    text
}

fn details(view: &View, pause: &Pause, look: Look) -> String {
    match pause {
        Pause::StepFailed { step } => view.find(step).map(|step| failure(view, step, look)).unwrap_or_default(),
        Pause::Approval { step } => approval(view, step),
        Pause::Manual { step } => match view.find(step).map(|step| &step.state) {
            Some(StepState::Manual(instructions)) => {
                brief::lines(instructions).map(|line| format!("  {line}\n")).collect()
            }
            _ => String::new(),
        },
        Pause::InDoubt { call, .. } => match view.call(call) {
            Some(call) => format!("  {}  {}\n  sent {}\n", call.op, brief::args(&call.args), when::instant(call.begun)),
            None => String::new(),
        },
        Pause::Target { expected, found } => {
            let mut text = String::new();
            for target in expected {
                let now = found.iter().find(|other| other.name == target.name);
                let now = now.map_or("not reachable", |found| found.identity.as_str());
                if now != target.identity {
                    text.push_str(&format!(
                        "  {}: was {}, now {}\n",
                        one_line(&target.name),
                        one_line(&target.identity),
                        one_line(now)
                    ));
                }
            }
            text
        }
        Pause::Undo { call, .. } => {
            view.call(call).map(|call| format!("  {}  {}\n", call.op, brief::args(&call.args))).unwrap_or_default()
        }
        Pause::Question { .. }
        | Pause::Credentials { .. }
        | Pause::Overtime { .. }
        | Pause::Secret { .. }
        | Pause::OutsidePlan { .. }
        | Pause::PointOfNoReturn { .. }
        | Pause::RolledBackTo { .. } => String::new(),
    }
}

fn approval(view: &View, step: &StepPath) -> String {
    let Some(step) = view.find(step) else { return String::new() };
    let mut text = if step.title.is_empty() { String::new() } else { format!("  {}\n", one_line(&step.title)) };
    if let StepState::Approval { given, needed, by, tree, unforeseen, .. } = &step.state {
        let by = if by.is_empty() { "anybody but the starter".to_owned() } else { by.join(", ") };
        text.push_str(&format!("  {} of {needed} given; may be given by {}\n", given.len(), one_line(&by)));
        for one in given {
            let until = one.valid_until.map(|until| format!(", counts until {}", when::instant(until)));
            text.push_str(&format!("  given by {}{}\n", one_line(&one.by), until.unwrap_or_default()));
        }
        if let Some(tree) = tree {
            text.push_str(&format!("  {}\n", reach(tree.effects)));
        }
        if let Some(why) = unforeseen {
            text.push_str(&format!("  what it lets the run do could not be foreseen: {}\n", one_line(why)));
        }
    }
    text
}

/// How far an approval goes.
fn reach(effects: u64) -> String {
    match effects {
        0 => "it lets the run go on without any effect, up to the next approval".to_owned(),
        1 => "it lets the run do 1 effect and no other, up to the next approval; `muster show` tells which".to_owned(),
        many => {
            format!(
                "it lets the run do {many} effects and no others, up to the next approval; `muster show` tells which"
            )
        }
    }
}

/// Why a step failed: the call, the error, the program's last words, the hint.
fn failure(view: &View, step: &StepView, look: Look) -> String {
    let StepState::Failed { error, .. } = &step.state else { return String::new() };
    let failed =
        step.calls.iter().rev().map(|&place| &view.calls[place]).find(
            |call| matches!(&call.state, super::view::CallState::Failed(other) if other.message == error.message),
        );
    let mut text = String::new();
    if let Some(call) = failed {
        text.push_str(&format!("  {}  {}\n", look.paint(Tone::Live, &call.op), brief::args(&call.args)));
    }
    text + last_words(error, look).as_str()
}

/// An error with what the program itself said last, and the hint.
#[must_use]
pub fn last_words(error: &OpError, look: Look) -> String {
    let mut text = format!("  {}\n", look.paint(Tone::Bad, &one_line(&error.message)));
    if let Some(detail) = &error.detail {
        let lines: Vec<String> = brief::lines(detail).collect();
        let skipped = lines.len().saturating_sub(LAST_WORDS);
        if skipped > 0 {
            text.push_str(&format!("  │ ({skipped} lines before)\n"));
        }
        for line in &lines[skipped..] {
            text.push_str(&format!("  │ {}\n", look.paint(Tone::Faint, line)));
        }
    }
    if let Some(hint) = &error.hint {
        text.push_str(&format!("  hint: {}\n", one_line(hint)));
    }
    text
}

/// What was written down about steps done by hand, answers and notes: the evidence.
fn evidence(view: &View) -> String {
    let mut text = String::new();
    for step in &view.steps {
        if let StepState::Done { evidence, by } = &step.state {
            text.push_str(&format!("  evidence for {}: {} ({by})\n", step.path, one_line(evidence)));
        }
    }
    for (at, by, note) in &view.notes {
        text.push_str(&format!("  note {} by {by}: {}\n", when::instant(*at), one_line(note)));
    }
    text
}

/// Commands to copy, with what they do.
#[must_use]
pub fn commands(all: &[Choice], look: Look) -> String {
    let width = all.iter().map(|choice| choice.command.chars().count()).max().unwrap_or(0);
    all.iter()
        .map(|choice| {
            let gap = " ".repeat(width - choice.command.chars().count());
            format!(
                "    {}{gap}   {}\n",
                look.paint(Tone::Strong, &choice.command),
                look.paint(Tone::Faint, choice.what)
            )
        })
        .collect()
}

/// The time where the run is: in the sandbox it stands still when nothing is done.
#[must_use]
pub fn time_of(view: &View, wall: Timestamp) -> Timestamp {
    let in_sandbox = view.header.as_ref().is_some_and(|header| header.mode == Mode::Sandbox);
    view.updated.filter(|_| in_sandbox).unwrap_or(wall)
}
