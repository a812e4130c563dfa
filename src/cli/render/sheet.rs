//! Everything about one run on one page: what `muster show` prints.

use super::brief::{self, cut, one_line};
use super::look::{Look, Tone};
use super::summary;
use super::table::Table;
use super::view::{CallState, CallView, View};
use super::{choices, line, tree, when};
use crate::journal::UndoPlan;
use crate::model::status::Mode;
use crate::model::{Timestamp, Value};

/// How much of a value is shown in a table.
const CELL: usize = 60;

/// What the page holds beyond the steps.
#[derive(Clone, Copy, Debug, Default)]
pub struct Parts {
    /// Every call.
    pub calls: bool,
    /// The result of every step.
    pub outputs: bool,
}

/// The page. `held` is who holds the run, if anybody alive does.
#[must_use]
pub fn text(view: &View, held: Option<&str>, parts: Parts, now: Timestamp, look: Look) -> String {
    let now = super::summary::time_of(view, now);
    let Some(header) = view.header() else { return "no record yet\n".to_owned() };
    let heading = |text: &str| look.paint(Tone::Strong, text);
    let mut text = String::new();
    let mut field = |name: &str, value: String| text.push_str(&format!("{name:<10} {value}\n"));
    field("run", header.run.to_string());
    field("playbook", format!("{} {}", header.playbook, header.version));
    field("bundle", header.bundle.clone());
    if header.mode != Mode::Live {
        field("mode", if header.mode == Mode::Plan { "plan" } else { "sandbox" }.to_owned());
    }
    let status = view.status();
    field(
        "status",
        match held {
            _ if status.is_terminal() => status.as_str().to_owned(),
            Some(holder) => format!("{}, held by {holder}", status.as_str()),
            None => format!("{}, parked: nobody holds it", status.as_str()),
        },
    );
    if let Some(begun) = view.begun {
        field("started", format!("{} by {}", when::both(begun, now), header.by));
    }
    match (&view.end, view.updated, view.begun) {
        (Some(end), _, Some(begun)) => {
            field("ended", format!("{}, after {}", when::both(end.at, now), when::took(when::between(begun, end.at))));
        }
        (None, Some(updated), _) => field("updated", when::both(updated, now)),
        _ => {}
    }
    if let Some(parent) = &header.forked_from {
        field("forked", format!("from {parent}"));
    }
    field("records", view.records.to_string());
    for target in &view.targets {
        field("target", format!("{} ({})", one_line(&target.name), one_line(&target.identity)));
    }
    if let Some(rollback) = &view.rollback {
        let to = rollback.to.as_ref().map(|to| format!(" down to {to}")).unwrap_or_default();
        field("rollback", format!("begun{to} by {}: {}", rollback.by, one_line(&rollback.reason)));
    }
    if let Some(by) = &view.cancelling {
        field("cancelled", format!("by {by}"));
    }
    let drill = super::drill::text(view, look);
    if !drill.is_empty() {
        text.push_str(&format!("\n{}\n{drill}", heading("Drill")));
    }
    if let Value::Object(params) = &header.params
        && !params.is_empty()
    {
        text.push_str(&format!("\n{}\n", heading("Parameters")));
        let mut table = Table::new(&["", ""]);
        for (name, value) in params {
            table.row([name.clone(), cut(&brief::value(value), 120)]);
        }
        text.push_str(&table.print(2, str::to_owned));
    }
    if !view.steps.is_empty() {
        text.push_str(&format!("\n{}\n", heading("Steps")));
        for row in tree::lines(view, now, look) {
            text.push_str(&format!("{row}\n"));
        }
    }
    if parts.outputs {
        text.push_str(&outputs(view, look));
    }
    if parts.calls {
        text.push_str(&calls(view, look));
    }
    if !view.commands.is_empty() || !view.notes.is_empty() {
        text.push_str(&format!("\n{}\n", heading("Said")));
        for (at, command, refused) in &view.commands {
            let refused = refused.as_ref().map(|why| format!(", refused: {}", one_line(why))).unwrap_or_default();
            let said = line::order(&command.what);
            text.push_str(&format!("  {}  {said} by {}{refused}\n", when::instant(*at), command.by.name));
        }
        for (at, by, note) in &view.notes {
            text.push_str(&format!("  {}  note by {by}: {}\n", when::instant(*at), one_line(note)));
        }
    }
    if let Some(end) = view.end.as_ref().filter(|end| !end.remarks.is_empty()) {
        text.push_str(&format!("\n{}\n", heading("Remarks")));
        text.push_str(&end.remarks.iter().map(|remark| format!("  ! {}\n", one_line(remark))).collect::<String>());
    }
    let waiting = summary::pauses(view, look);
    if !waiting.is_empty() {
        text.push_str(&format!("\n{}\n{}", heading("Waits for you"), waiting.trim_end_matches('\n')));
        text.push('\n');
    }
    if held.is_none() && !status.is_terminal() && view.pauses().is_empty() {
        text.push_str(&format!("\n{}\n", heading("Next")));
        text.push_str(&summary::commands(&choices::next(view), look));
    }
    text
}

fn outputs(view: &View, look: Look) -> String {
    let mut table = Table::new(&["", ""]);
    for step in view.steps.iter().filter(|step| !step.output.is_null()) {
        table.row([step.path.to_string(), brief::value(&step.output)]);
    }
    if table.is_empty() {
        return String::new();
    }
    format!("\n{}\n{}", look.paint(Tone::Strong, "Results"), table.print(2, str::to_owned))
}

fn calls(view: &View, look: Look) -> String {
    let mut table = Table::new(&["CALL", "OPERATION", "STATE", "BEGUN", "TOOK", "ARGUMENTS", "UNDO"]);
    for call in &view.calls {
        let state = line::call_state(call);
        let tone = match &call.state {
            CallState::Done => Tone::Good,
            CallState::Failed(_) | CallState::Doubt(_) => Tone::Bad,
            CallState::Open => Tone::Live,
        };
        let took = call.ended.map(|ended| when::took(when::between(call.begun, ended))).unwrap_or_default();
        let resent = if call.resent > 0 { format!(" (sent {} times)", call.resent + 1) } else { String::new() };
        table.row([
            call.id.to_string(),
            call.op.clone(),
            format!("{}{resent}", look.paint(tone, state)),
            when::time(call.begun),
            took,
            look.fit(&brief::args(&call.args), CELL),
            undo(call),
        ]);
    }
    if table.is_empty() {
        return String::new();
    }
    let mut text = format!("\n{}\n", look.paint(Tone::Strong, "Calls"));
    text.push_str(&table.print(2, |heading| look.paint(Tone::Faint, heading)));
    for call in &view.calls {
        if let CallState::Failed(error) = &call.state {
            text.push_str(&format!("\n  {} {}\n{}", call.id, call.op, summary::last_words(error, look)));
        }
    }
    text
}

fn undo(call: &CallView) -> String {
    if let Some(undone) = tree::undo_state(call) {
        return undone;
    }
    match &call.undo {
        Some(UndoPlan::Call { op, .. }) => format!("by {op}"),
        Some(UndoPlan::Impossible { why }) => format!("impossible: {}", one_line(why)),
        Some(UndoPlan::Nothing) | None => String::new(),
    }
}
