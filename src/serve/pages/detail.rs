//! What stands below a run: its calls, what people said to it, its parameters, and the orders that are always there.

use maud::{Markup, html};

use super::run::Live;
use super::state::{self, Tone};
use super::wants::{Choice, choice, tick, words};
use crate::access::Act;
use crate::evidence::view::{CallState, UndoState};
use crate::evidence::{brief, when};
use crate::serve::call::Call;

/// So many calls are shown: the newest.
const CALLS: usize = 200;

/// So many orders, and as many notes: the newest.
const WORDS: usize = 100;

/// All of it.
pub fn all(call: &Call, live: &Live) -> Markup {
    html! {
        (calls(live))
        (said(live))
        (about(live))
        (orders(call, live))
    }
}

fn calls(live: &Live) -> Markup {
    let all = live.view.calls();
    let skipped = all.len().saturating_sub(CALLS);
    html! {
        h2 { "Log" }
        details #calls open[live.view.end().is_none() && all.len() < 30] {
            summary { (all.len()) " calls" }
            @if skipped > 0 { p.soft { "The first " (skipped) " are left out; the record has them." } }
            div.scroll {
                table.stack {
                    thead { tr { th { "At" } th { "Step" } th { "Call" } th { "State" } th { "Took" } } }
                    tbody {
                        @for made in &all[skipped..] {
                            tr {
                                td.num { (when::time(made.begun)) }
                                td { (made.id.step) }
                                td { code { (made.op) } " " span.soft { (brief::args(&made.args)) } @if let CallState::Failed(error) = &made.state { " " span.text-bad { (error.message) } } }
                                td { (standing(&made.state, made.undone.as_ref())) @if made.resent > 0 { " " span.soft { "sent " (made.resent + 1) " times" } } }
                                td.num { @if let Some(ended) = made.ended { (when::took(when::between(made.begun, ended))) } }
                            }
                        }
                    }
                }
            }
        }
    }
}

fn standing(made: &CallState, undone: Option<&UndoState>) -> Markup {
    match (made, undone) {
        (_, Some(UndoState::Done)) => state::badge(Tone::Warn, "↩", "undone"),
        (_, Some(UndoState::Failed(_))) => state::badge(Tone::Bad, "✗", "undo failed"),
        (CallState::Open, _) => state::badge(Tone::Live, "▶", "open"),
        (CallState::Doubt(_), _) => state::badge(Tone::Bad, "?", "in doubt"),
        (CallState::Done, _) => state::badge(Tone::Good, "✓", "done"),
        (CallState::Failed(_), _) => state::badge(Tone::Bad, "✗", "failed"),
    }
}

fn said(live: &Live) -> Markup {
    let (commands, notes) = (live.view.commands(), live.view.notes.as_slice());
    let newest = |many: usize| many.saturating_sub(WORDS);
    let skipped = newest(commands.len()) + newest(notes.len());
    html! {
        @if !commands.is_empty() || !notes.is_empty() {
            h2 { "Said by people" }
            @if skipped > 0 { p.soft { "The first " (skipped) " are left out; the record has them." } }
            ul {
                @for (at, command, refused) in &commands[newest(commands.len())..] {
                    li { span.num.soft { (when::time(*at)) } " " b { (command.by.name) } ": " (Act::of(&command.what).what()) @if let Some(why) = refused { " " span.text-bad { "refused: " (why) } } }
                }
                @for (at, by, text) in &notes[newest(notes.len())..] {
                    li { span.num.soft { (when::time(*at)) } " " b { (by) } " noted: " (text) }
                }
            }
        }
    }
}

fn about(live: &Live) -> Markup {
    let Some(header) = live.view.header() else { return Markup::default() };
    html! {
        h2 { "About" }
        dl.pairs {
            @if let Some(params) = header.params.as_object() { @for (name, value) in params { dt { (name) } dd.mono { (brief::value(value)) } } }
            @for target in live.view.targets() { dt { "on " (target.name) } dd.mono { (target.identity) } }
            dt { "bundle" } dd.mono { (header.bundle.get(..16).unwrap_or(&header.bundle)) }
        }
    }
}

fn orders(call: &Call, live: &Live) -> Markup {
    let make = |path: &str, act: Act, title: &str, harsh: bool, fields: Markup| {
        choice(call, live, "o", &Choice { act, path, title, harsh, hidden: Vec::new(), fields })
    };
    let over = live.view.end().is_some();
    let forms = html! {
        @if !over {
            (make("note", Act::Note, "Write a note into the record", false, words("note", "text", "Note")))
            @if live.head.holder.is_none() { (make("resume", Act::Resume, "Carry it on", false, Markup::default())) }
            (make("rollback", Act::Rollback, "Roll the run back", true, html! {
                p { "Undoes what it did, in reverse order." }
                label for="f-back-to" { "Down to this step, which is kept (all when empty)" }
                select #f-back-to name="to" { option value="" { "everything" } @for step in live.view.steps().iter().filter(|step| step.begun.is_some()) { option value=(step.path) { (step.path) } } }
            }))
            (make("cancel", Act::Cancel, "Cancel the run", true, html! { p { "What is in flight ends, nothing more begins." } (tick("no_rollback", "Leave its effects standing")) }))
            (make("kill", Act::Kill, "Kill the run: stop at once", true, html! { p { "What is in flight stays in doubt, and nothing is undone." } }))
        }
    };
    html! { @if !forms.0.is_empty() { h2 { "Orders" } div.choices { (forms) } } }
}
