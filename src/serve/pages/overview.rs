//! Readiness: would each playbook work today, and how is that known.

use std::collections::BTreeMap;
use std::fmt::Write as _;
use std::path::Path;
use std::time::Duration;

use maud::{Markup, html};

use super::face::{self, Here, Html};
use super::known::{Known, Past};
use super::state::{self, Tone};
use crate::evidence::when;
use crate::journal::{Head, Selection, Store as _};
use crate::model::Timestamp;
use crate::model::status::RunStatus;
use crate::schedule::people;
use crate::schedule::scheduler::Shelf;
use crate::schedule::timing::Timing;
use crate::serve::call::Call;
use crate::serve::endpoint::Nothing;
use crate::serve::problem::Problem;
use crate::serve::visible::visible;

/// How many runs of a playbook are looked at.
const LOOKED_AT: usize = 16;

/// How many runs under way are shown.
const OPEN: usize = 40;

/// A drill older than this says little of today.
const STALE: Duration = Duration::from_hours(24 * 92);

/// A playbook on the overview.
struct Card {
    name: String,
    known: Result<Known, String>,
    /// Drills and recoveries that came to their end, newest first.
    drills: Vec<(Head, std::sync::Arc<Past>)>,
    last: Option<Head>,
    due: Vec<Due>,
}

/// A schedule of drills, seen from its playbook.
#[derive(Clone)]
struct Due {
    schedule: String,
    /// When it drills next; never, if there is nothing.
    next: Option<Timestamp>,
    /// Who paused it.
    paused: Option<String>,
    /// Ticks since its last drill of which nothing came although something should have, and why.
    unrun: Option<(u64, String)>,
    /// There may be more of these than were looked at.
    more: bool,
}

/// `GET /`
///
/// # Errors
/// When the store cannot be read.
pub fn show(call: &Call, _: Nothing) -> Result<Html, Problem> {
    let (server, now) = (&call.server, call.now());
    let open: Vec<RunStatus> = RunStatus::ALL.into_iter().filter(|status| !status.is_terminal()).collect();
    let of = Selection { statuses: open, ..Selection::default() };
    let (open, more) = visible(server.app.store.as_ref(), &call.who, of, OPEN)?;
    let mut cards = Vec::new();
    let mut due = due(call, now)?;
    for (name, folder) in server.catalog.names().into_iter().filter(|(name, _)| call.who.sees(name)) {
        let due = due.remove(&name).unwrap_or_default();
        cards.push(card(call, name, folder.as_deref(), due)?);
    }
    // What wants looking at stands first; what was never tried, last.
    cards.sort_by_key(|card| (rank(card, now), card.name.clone()));
    let tried = cards.iter().filter(|card| card.drills.iter().any(|(_, past)| past.drill)).count();
    let (shown, never): (Vec<&Card>, Vec<&Card>) =
        cards.iter().partition(|card| !card.drills.is_empty() || card.known.is_err());
    let ready = cards.iter().filter(|card| verdict(card, now).2 == "ready").count();
    let reviews =
        server.desk.reviews(&call.who).map_or(0, |all| all.iter().filter(|review| review.closed.is_none()).count());
    let body = html! {
        div #live data-every="15" {
            h1 { "Readiness" }
            ul.facts {
                li { b { (ready) } " of " b { (cards.len()) } " playbooks are ready" }
                li { b { (tried) } " were ever drilled here" }
                li { @if more { "more than " } b { (open.len()) } " runs under way" }
                @if call.who.playbooks.is_empty() { li { a href="/report" { "report of the last 30 days" } } }
                @if reviews > 0 { li { a href="/audit" { b { (reviews) } " waiting for a review" } } }
            }
            @if !open.is_empty() {
                h2 { "Under way" }
                @for head in &open { (under_way(head, now)) }
                @if more { p { a href="/runs?status=open" { "All of them" } } }
            }
            h2 { "Playbooks" }
            @if shown.is_empty() { p.empty { "None has come to its end here yet." } }
            div.grid { @for card in &shown { (drawn(card, now)) } }
            @if !never.is_empty() {
                h2 { "Never drilled" }
                p.soft { "Nobody knows whether these work." }
                (undrilled(&never, now))
            }
        }
    };
    Ok(face::page(call, Here::Readiness, "Readiness", &body))
}

/// The schedules of drills, by playbook.
fn due(call: &Call, now: Timestamp) -> Result<BTreeMap<String, Vec<Due>>, Problem> {
    let store = call.store();
    let shelf = Shelf::read(store.as_ref())?;
    let mut all: BTreeMap<String, Vec<Due>> = BTreeMap::new();
    for (schedule, standing) in shelf.history.standings {
        let Some(playbook) = standing.of_playbook().filter(|_| standing.drill && standing.removed.is_none()) else {
            continue;
        };
        let timing = Timing::of(&standing.timing).ok();
        let paused = shelf.history.pauses.get(&schedule).filter(|pause| pause.holds(now));
        let since = standing.current.as_ref().map_or(standing.since, |current| current.at);
        let ticks = people::ticks(store.as_ref(), &schedule, Some(LOOKED_AT))?;
        let mut unrun = None;
        for tick in ticks.iter().take_while(|tick| tick.at > since) {
            if let Some(why) = tick.fate.fault() {
                let (count, _) = unrun.get_or_insert((0, why));
                *count += tick.count;
            }
        }
        let more = ticks.len() == LOOKED_AT && ticks.iter().all(|tick| tick.at > since);
        all.entry(playbook.to_owned()).or_default().push(Due {
            next: timing.and_then(|timing| timing.next(now)),
            paused: paused.map(|pause| pause.by.name.clone()),
            unrun,
            more,
            schedule,
        });
    }
    Ok(all)
}

/// The runs of a playbook that are looked at.
#[must_use]
pub fn looked_at(playbook: String) -> Selection {
    Selection { playbook: Some(playbook), limit: Some(LOOKED_AT), ..Selection::default() }
}

fn card(call: &Call, name: String, folder: Option<&Path>, due: Vec<Due>) -> Result<Card, Problem> {
    let server = &call.server;
    let runs = server.app.store.select(&looked_at(name.clone()))?;
    let mut drills = Vec::new();
    for head in runs.iter().filter(|head| head.status.is_terminal()) {
        // One damaged journal does not hide the others.
        if let Ok(past) = server.memo.past(server, head)
            && (past.drill || head.status == RunStatus::Succeeded)
        {
            drills.push((head.clone(), past));
        }
    }
    Ok(Card { known: Known::now(server, &name, folder), name, drills, last: runs.into_iter().next(), due })
}

fn under_way(head: &Head, now: Timestamp) -> Markup {
    html! {
        div.panel.need[head.status == RunStatus::Paused] {
            div.card-head {
                h3 { a href={ "/runs/" (head.run) } { (head.playbook) " " (head.run.short()) } }
                (state::head(head))
            }
            p.soft { "since " (when::relative(head.started, now)) @if !head.detail.is_empty() { ": " span { (head.detail) } } }
        }
    }
}

/// How long recovery took: a drill says it only if the recovery was proved; of a live run it is the time from start to end.
fn recovery(past: &Past) -> Option<u64> {
    if past.drill { past.rto_ms } else { Some(past.took_ms) }
}

/// Whether it would work today, in a word, and why not.
fn verdict(card: &Card, now: Timestamp) -> (Tone, &'static str, &'static str) {
    let Ok(known) = &card.known else { return (Tone::Bad, "✗", "not valid") };
    let Some((head, past)) = card.drills.first() else { return (Tone::Still, "·", "never drilled") };
    // A drill that failed is taken down and ends as rolled back: that it was tidy proves nothing.
    if !matches!(head.status, RunStatus::Succeeded | RunStatus::SucceededWithExceptions) {
        return (Tone::Bad, "✗", "last drill failed");
    }
    let over = |limit: Option<Duration>, ms: u64| limit.is_some_and(|limit| Duration::from_millis(ms) > limit);
    let lost = past.rpo_ms.map_or(0, |ms| u64::try_from(ms).unwrap_or(0));
    if recovery(past).is_some_and(|took| over(known.rto, took)) || over(known.rpo, lost) {
        return (Tone::Bad, "✗", "objective missed");
    }
    if past.drill && (past.rto_ms.is_none() || known.rpo.is_some() && past.rpo_ms.is_none()) {
        return (Tone::Bad, "✗", "not measured");
    }
    if !past.missed.is_empty() {
        return (Tone::Bad, "✗", "objective missed");
    }
    if past.leaks > 0 {
        return (Tone::Warn, "!", "left something");
    }
    if past.drill && !past.green {
        return (Tone::Warn, "!", "with exceptions");
    }
    if head.bundle != known.digest {
        return (Tone::Warn, "!", "changed since");
    }
    if when::between(head.started, now) > STALE {
        return (Tone::Warn, "!", "long ago");
    }
    // Nothing else proves that it works in isolation, measured and torn down.
    if past.drill { (Tone::Good, "✓", "ready") } else { (Tone::Good, "✓", "worked live") }
}

fn rank(card: &Card, now: Timestamp) -> u8 {
    match verdict(card, now).0 {
        Tone::Bad => 0,
        Tone::Warn | Tone::Live => 1,
        Tone::Good => 2,
        Tone::Still => 3,
    }
}

/// Those of which nothing is known.
fn undrilled(cards: &[&Card], now: Timestamp) -> Markup {
    html! {
        table.stack {
            thead { tr { th { "Playbook" } th { "For" } th { "Last run" } th { "Next drill" } } }
            tbody {
                @for card in cards {
                    tr {
                        td { a href={ "/playbooks/" (card.name) } { (card.name) } }
                        td.soft { @if let Ok(known) = &card.known { (known.title) } }
                        td data-label="last run" { @if let Some(last) = &card.last { (state::head(last)) " " a href={ "/runs/" (last.run) } { (when::relative(last.started, now)) } } }
                        td data-label="next drill" { (next(card, now)) }
                    }
                }
            }
        }
    }
}

fn drawn(card: &Card, now: Timestamp) -> Markup {
    let (tone, shape, word) = verdict(card, now);
    let name = &card.name;
    html! {
        section.panel {
            div.card-head { h3 { a href={ "/playbooks/" (name) } { (name) } } (state::badge(tone, shape, word)) }
            @match &card.known {
                Err(fault) => p.text-bad.small { (fault.lines().next().unwrap_or_default()) },
                Ok(known) => {
                    p.soft.small { (known.title) }
                    @if let Some((head, past)) = card.drills.first() {
                        dl.pairs {
                            dt { @if past.drill { "Drilled" } @else { "Run" } }
                            dd { a href={ "/runs/" (head.run) } { (when::relative(head.started, now)) } " on " (head.version) @if !past.drill { " (live, no drill)" } }
                            dt { "RTO" } dd { (objective(recovery(past), known.rto)) }
                            @if past.rpo_ms.is_some() || known.rpo.is_some() { dt { "RPO" } dd { (objective(past.rpo_ms.map(|ms| u64::try_from(ms).unwrap_or(0)), known.rpo)) } }
                            @if head.bundle != known.digest { dt { "Changed" } dd { a href={ "/playbooks/" (name) "/diff?from=" (head.bundle) } { "what differs from " (head.version) } } }
                            dt { "Next" } dd { (next(card, now)) }
                            @for missed in past.missed.iter().filter(|missed| !is_shown(missed)) { dt { "Missed" } dd.text-bad { (missed) } }
                            @if past.leaks > 0 { dt { "Left" } dd.text-bad { (past.leaks) " things" } }
                        }
                        (face::drawn(trend(card, known.rto)))
                    }
                },
            }
        }
    }
}

/// Whether it stands beside the measured time already.
fn is_shown(missed: &str) -> bool {
    missed.starts_with("RTO ") || missed.starts_with("RPO ")
}

/// When it is drilled next, and what came of that since the last time.
fn next(card: &Card, now: Timestamp) -> Markup {
    html! {
        @if card.due.is_empty() { span.soft.num { "not scheduled" } }
        @for due in &card.due {
            div {
                @match (&due.paused, due.next) {
                    (Some(by), _) => span.text-warn { "paused by " (by) },
                    (None, Some(at)) => (when::relative(at, now)),
                    (None, None) => span.text-warn { "never again" },
                }
                " " a.soft href="/schedules" { (due.schedule) }
                @if let Some((count, why)) = &due.unrun { " " span.text-bad { @if due.more { "at least " } (count) " did not run: " (why) } }
            }
        }
    }
}

fn objective(measured: Option<u64>, limit: Option<Duration>) -> Markup {
    let measured = measured.map(Duration::from_millis);
    let missed = measured.zip(limit).is_some_and(|(measured, limit)| measured > limit);
    html! {
        @match measured { Some(measured) => b.num.text-bad[missed] { (when::took(measured)) }, None => span.soft { "not measured" } }
        @if let Some(limit) = limit { " of " (when::took(limit)) @if missed { " " b.text-bad { "missed" } } }
    }
}

/// How long recovery took the last times, oldest first, under its objective.
fn trend(card: &Card, limit: Option<Duration>) -> String {
    let times: Vec<u64> = card.drills.iter().rev().filter_map(|(_, past)| recovery(past)).collect();
    if times.len() < 2 {
        return String::new();
    }
    let limit = limit.map(|limit| u64::try_from(limit.as_millis()).unwrap_or(u64::MAX));
    let longest = times.iter().copied().max().unwrap_or(1).max(1);
    // A limit far above would press the line flat.
    let limit = limit.filter(|limit| *limit <= longest.saturating_mul(4));
    let top = longest.max(limit.unwrap_or(0)) as f64 * 1.1;
    let at =
        |place: usize, ms: u64| (4.0 + place as f64 * 232.0 / (times.len() - 1) as f64, 36.0 - ms as f64 / top * 32.0);
    let mut text = "<svg class=\"spark\" viewBox=\"0 0 240 40\" preserveAspectRatio=\"none\" role=\"img\" aria-label=\"Time to recovery, the last times\">".to_owned();
    if let Some(limit) = limit {
        let (_, y) = at(0, limit);
        let _ = write!(text, "<line class=\"goal\" x1=\"0\" x2=\"240\" y1=\"{y:.1}\" y2=\"{y:.1}\"/>");
    }
    let points: Vec<String> = times
        .iter()
        .enumerate()
        .map(|(place, ms)| {
            let (x, y) = at(place, *ms);
            format!("{x:.1},{y:.1}")
        })
        .collect();
    let _ = write!(text, "<polyline class=\"trend\" points=\"{}\"/></svg>", points.join(" "));
    text
}
