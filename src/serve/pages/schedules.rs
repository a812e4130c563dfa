//! The schedules: when each is due, what became of the ticks, and who paused it.

use maud::{Markup, html};

use super::face::{self, Here, Html, csrf};
use super::state::{self, Tone};
use crate::access::{Act, Subject, decide};
use crate::evidence::when;
use crate::model::Timestamp;
use crate::schedule::people;
use crate::schedule::scheduler::Shelf;
use crate::schedule::standing::{Pause, Standing};
use crate::schedule::tick::{Fate, Tick};
use crate::schedule::timing::Timing;
use crate::serve::api::schedules::sees;
use crate::serve::call::Call;
use crate::serve::endpoint::Nothing;
use crate::serve::problem::Problem;

/// How many ticks are shown of each.
const TICKS: usize = 8;

/// A schedule on the page.
struct Row {
    name: String,
    standing: Standing,
    pause: Option<Pause>,
    ticks: Vec<Tick>,
    next: Vec<Timestamp>,
    words: String,
}

/// `GET /schedules`
///
/// # Errors
/// When the store cannot be read.
pub fn show(call: &Call, _: Nothing) -> Result<Html, Problem> {
    let (store, now) = (call.store(), call.now());
    let shelf = Shelf::read(store.as_ref())?;
    let mut rows = Vec::new();
    for (name, standing) in shelf.history.standings {
        let ticks = people::ticks(store.as_ref(), &name, Some(TICKS))?;
        if !sees(call, &standing) {
            continue;
        }
        let timing = Timing::of(&standing.timing).ok();
        let next = timing.iter().flat_map(|timing| timing.between(now, Timestamp::MAX, 3)).collect();
        let pause = shelf.history.pauses.get(&name).filter(|pause| pause.holds(now)).cloned();
        let words = timing.map(|timing| timing.words()).unwrap_or_default();
        rows.push(Row { name, standing, pause, ticks, next, words });
    }
    let body = html! {
        div #live data-every="10" {
            h1 { "Schedules" }
            @if rows.is_empty() { p.empty { "None yet. A server with " code { "schedules.yaml" } " shows here what it runs by itself." } }
            @for row in &rows { (one(call, row, now)) }
        }
    };
    Ok(face::page(call, Here::Schedules, "Schedules", &body))
}

fn one(call: &Call, row: &Row, now: Timestamp) -> Markup {
    let badge = match (&row.pause, row.standing.removed) {
        (_, Some(_)) => state::badge(Tone::Still, "−", "no longer in the file"),
        (Some(_), None) => state::badge(Tone::Warn, "‖", "paused"),
        (None, None) => state::badge(Tone::Good, "✓", "on"),
    };
    html! {
        section.panel {
            div.card-head { h3 { (row.name) " " span.soft { (row.words.trim_end_matches('.')) @if !row.words.is_empty() { " (" (row.standing.timing.timezone) ")" } } } (badge) }
            @if let Some(pause) = &row.pause { p.text-warn { "Paused by " (pause.by.name) " " (when::relative(pause.at, now)) @if !pause.reason.is_empty() { ": " (pause.reason) } } }
            @if let Some(playbook) = row.standing.of_playbook() { p.soft { @if row.standing.drill { "Drills " } @else { "Runs " } a href={ "/playbooks/" (playbook) } { (playbook) } } }
            @if row.standing.removed.is_none() {
                p { "Next: " @for (place, at) in row.next.iter().enumerate() { @if place > 0 { ", " } span.num { (when::instant(*at)) } @if place == 0 { " (" (when::relative(*at, now)) ")" } } @if row.next.is_empty() { "never" } }
            }
            @if !row.ticks.is_empty() {
                table.stack {
                    thead { tr { th { "Due" } th { "Fate" } th { "Why" } } }
                    tbody {
                        @for tick in &row.ticks {
                            tr {
                                td.num { (when::instant(tick.at)) @if tick.count > 1 { " and " (tick.count - 1) " more" } @if let Some(asked) = &tick.asked { " " span.soft { "asked for by " (asked.by.name) } } }
                                td { (fate(&tick.fate)) }
                                td { (why(&tick.fate)) }
                            }
                        }
                    }
                }
            }
            (forms(call, row))
        }
    }
}

fn fate(fate: &Fate) -> Markup {
    let (tone, shape) = match fate {
        Fate::Run { .. } => (Tone::Good, "▶"),
        Fate::Asked | Fate::Waiting => (Tone::Live, "…"),
        Fate::Skipped { .. } => (Tone::Still, "−"),
        Fate::Missed { .. } => (Tone::Bad, "✗"),
    };
    state::badge(tone, shape, &fate.to_string())
}

fn why(fate: &Fate) -> Markup {
    html! {
        @match fate {
            Fate::Run { run, caught_up } => { a.mono href={ "/runs/" (run) } { (run.short()) } @if *caught_up { " " span.soft { "caught up" } } },
            Fate::Skipped { why } => (why),
            Fate::Missed { why } => (why),
            Fate::Asked | Fate::Waiting => {},
        }
    }
}

fn forms(call: &Call, row: &Row) -> Markup {
    let subject = row.standing.of_playbook().map_or(Subject::Whole, Subject::Playbook);
    let may = |act: Act| decide(&call.who, act, &subject).is_ok();
    let path = |verb: &str| format!("/schedules/{}/{verb}", row.name);
    html! {
        @if row.standing.removed.is_none() {
            div.choices {
                @if may(Act::TriggerSchedule) { details #{ "t-" (row.name) } { summary { "Run it now" } form method="post" action=(path("trigger")) { (csrf(call)) label for={ "tr-" (row.name) } { "Why" } textarea #{ "tr-" (row.name) } name="reason" rows="2" required {} p { button.main { "Run " (row.name) " now" } } } } }
                @if row.pause.is_some() {
                    @if may(Act::ResumeSchedule) { form.bare method="post" action=(path("resume")) { (csrf(call)) button.main { "Resume " (row.name) } } }
                } @else if may(Act::PauseSchedule) {
                    details #{ "p-" (row.name) } { summary { "Pause it" } form method="post" action=(path("pause")) { (csrf(call)) label for={ "pr-" (row.name) } { "Why" } textarea #{ "pr-" (row.name) } name="reason" rows="2" required {} p { button.danger { "Pause " (row.name) ": its ticks are skipped" } } } }
                }
            }
        }
    }
}
