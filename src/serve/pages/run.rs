//! A run, live: what it wants of people, how far it is, and whether it will be in time.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use maud::{Markup, html};

use super::estimate::{self, Needs};
use super::face::{self, Here, Html};
use super::known;
use super::state;
use super::timeline::{self, Bar};
use super::{detail, graph, steps, wants};
use crate::evidence::view::View;
use crate::evidence::when;
use crate::journal::Head;
use crate::model::Timestamp;
use crate::model::status::Mode;
use crate::playbook::bundle::Bundle;
use crate::serve::call::Call;
use crate::serve::endpoint::Nothing;
use crate::serve::problem::Problem;

/// A run as it is now.
pub struct Live {
    pub head: Head,
    pub view: Arc<View>,
    pub bundle: Option<Arc<Bundle>>,
    pub now: Timestamp,
    /// How long each step took before, in milliseconds, and where that is from.
    pub expected: BTreeMap<String, u64>,
    pub source: Option<String>,
}

impl Live {
    /// The run that the path names.
    ///
    /// # Errors
    /// When its journal cannot be read.
    pub fn of(call: &Call) -> Result<Self, Problem> {
        let server = &call.server;
        let head = call.head()?.clone();
        let bundle = server.memo.bundle(server, &head.bundle);
        let view = server.memo.view(server, &head.run, bundle.as_deref())?;
        let sandbox = view.header().is_some_and(|header| header.mode == Mode::Sandbox);
        let now = view.updated.filter(|_| sandbox).unwrap_or_else(|| call.now());
        let (expected, source) = expected(call, &head)?;
        Ok(Self { head, view, bundle, now, expected, source })
    }

    /// Who started it.
    #[must_use]
    pub fn starter(&self) -> &str {
        self.view.header().map_or("", |header| header.by.as_str())
    }

    /// Whether it is being rolled back.
    #[must_use]
    pub fn is_going_back(&self) -> bool {
        self.view.rollback.is_some()
    }

    /// Its steps with what they need.
    #[must_use]
    pub fn needs(&self) -> Needs<'_> {
        let steps = self.bundle.iter().flat_map(|bundle| &bundle.playbook.steps);
        steps
            .map(|step| (step.id.value.as_str(), step.needs.iter().map(|need| need.value.as_str()).collect()))
            .collect()
    }

    fn begun(&self) -> Timestamp {
        self.view.begun.unwrap_or(self.head.started)
    }

    fn ended(&self) -> Option<Timestamp> {
        self.view.end().map(|end| end.at)
    }

    fn rto(&self) -> Option<Duration> {
        self.bundle.as_ref().and_then(|bundle| bundle.playbook.rto)
    }
}

/// How long the steps took in the last run of the playbook that succeeded.
fn expected(call: &Call, head: &Head) -> Result<(BTreeMap<String, u64>, Option<String>), Problem> {
    use crate::journal::{Selection, Store as _};
    use crate::model::status::RunStatus::{Succeeded, SucceededWithExceptions};
    let of = Selection {
        playbook: Some(head.playbook.clone()),
        statuses: vec![Succeeded, SucceededWithExceptions],
        limit: Some(2),
        ..Selection::default()
    };
    let before = call.server.app.store.select(&of)?.into_iter().find(|other| other.run != head.run);
    let Some(before) = before else { return Ok((BTreeMap::new(), None)) };
    let past = call.server.memo.past(&call.server, &before)?;
    let steps = past.steps.iter().map(|(path, ms)| (path.to_string(), *ms)).collect();
    Ok((steps, Some(format!("run {} of {}", before.run.short(), when::instant(before.started)))))
}

/// `GET /runs/{run}`
///
/// # Errors
/// When its journal cannot be read.
pub fn show(call: &Call, _: Nothing) -> Result<Html, Problem> {
    let live = Live::of(call)?;
    let title = format!("{} {}", live.head.playbook, live.head.run.short());
    let events = format!("/api/v1/runs/{}/events?from={}", live.head.run, live.view.records);
    let over = live.view.end().is_some();
    let body = html! {
        @if !over { div data-events=(events) {} p.link { "This page is " span #link role="status" { "as of " (when::time(live.now)) } "." } }
        div #live { (content(call, &live)) }
    };
    Ok(face::page(call, Here::Runs, &title, &body))
}

fn content(call: &Call, live: &Live) -> Markup {
    let head = &live.head;
    let parked = head.holder.is_none() && live.view.end().is_none();
    let needs = live.needs();
    let bars = bars(live, &needs);
    let whole = estimate::whole(&live.view, &needs, &live.expected, live.begun(), live.now);
    let lasted = known::millis(live.begun(), live.ended().unwrap_or(live.now));
    html! {
        h1 { (head.playbook) " " span.soft { (head.version) } " " (state::run(live.view.status(), parked)) }
        ul.facts {
            li { "run " b.mono { (head.run) } }
            li { "started by " b { (live.starter()) } " " (when::both(live.begun(), live.now)) }
            @match live.ended() {
                Some(ended) => li { "ended " b { (when::instant(ended)) } " after " b { (when::took(when::between(live.begun(), ended))) } },
                None => li { "at work for " b { (when::took(when::between(live.begun(), live.now))) } },
            }
            li { a href={ "/runs/" (head.run) "/report" } { "report" } }
            @if let Some(holder) = &head.holder { li { "carried on by " b { (holder.who) } } }
            @else if parked { li { "carried on by " b { "nobody" } } }
            @if let Some(header) = live.view.header() {
                @if header.mode == Mode::Sandbox { li { b { "in the sandbox" } } }
                @if let Some(from) = &header.forked_from { li { "forked from " a href={ "/runs/" (from) } { (from.short()) } } }
            }
        }
        (budget(live, whole))
        (wants::all(call, live))
        (ended(live))
        h2 { "Steps" }
        (steps::table(live))
        @if let Some(drawn) = timeline::svg(&bars, live.rto().map(|rto| u64::try_from(rto.as_millis()).unwrap_or(u64::MAX)), lasted) {
            h2 { "Timeline" }
            p.soft.small {
                "Filled: what happened. "
                @if let Some(source) = &live.source { "Dashed: what was expected, from " (source) "." }
                @else { "Nothing is expected yet: no run of this playbook has succeeded before." }
            }
            div.panel.scroll tabindex="0" role="region" aria-label="Timeline" { (face::drawn(drawn)) }
        }
        @let colour = |id: &str| live.view.steps().iter().find(|step| step.path.as_str() == id).map_or(("still", "not begun".to_owned()), |step| {
            let (tone, shape, word) = state::of_step(&live.view, step);
            (tone.class(), format!("{shape} {word}"))
        });
        @if let Some(drawn) = graph::svg(&needs, colour) {
            h2 { "Graph" }
            div.panel.scroll tabindex="0" role="region" aria-label="Graph" { (face::drawn(drawn)) }
        }
        (detail::all(call, live))
    }
}

/// How much of the time that recovery may take is used, and how much it will take.
fn budget(live: &Live, whole: Option<Duration>) -> Markup {
    let lasted = when::between(live.begun(), live.ended().unwrap_or(live.now));
    let Some(rto) = live.rto() else {
        return html! { @if let Some(whole) = whole { p { "At this pace it ends after " b { (when::took(whole)) } "." } } };
    };
    let scale = rto.max(lasted).max(whole.unwrap_or_default()).as_secs_f64().max(1.0);
    let part = |time: Duration| (time.as_secs_f64() / scale * 1000.0).min(1000.0);
    let used = part(lasted.min(rto));
    html! {
        div.panel {
            p {
                @if live.ended().is_some() { "It took " b { (when::took(lasted)) } } @else { b { (when::took(lasted)) } " used" }
                " of the " b { (when::took(rto)) } " that recovery may take (RTO)"
                @if lasted > rto { ": " b.text-bad { "missed by " (when::took(lasted - rto)) } "." }
                @else if let Some(whole) = whole {
                    @if whole > rto { ". At this pace it takes " b { (when::took(whole)) } ": " b.text-bad { "the RTO is missed by " (when::took(whole - rto)) } "." }
                    @else { ". At this pace it takes " b { (when::took(whole)) } ", " b.text-good { (when::took(rto - whole)) " before the RTO" } "." }
                } @else { "." }
            }
            svg.budget viewBox="0 0 1000 12" preserveAspectRatio="none" role="img" aria-label="Time used of the RTO" {
                @if let Some(whole) = whole { rect.ahead x="0" y="0" height="12" width=(format!("{:.1}", part(whole))) {} }
                rect.used x="0" y="0" height="12" width=(format!("{used:.1}")) {}
                @if lasted > rto { rect.over x=(format!("{:.1}", part(rto))) y="0" height="12" width=(format!("{:.1}", part(lasted) - part(rto))) {} }
            }
        }
    }
}

fn ended(live: &Live) -> Markup {
    let Some(end) = live.view.end() else { return Markup::default() };
    html! {
        @if !end.remarks.is_empty() || !end.outputs.is_empty() {
            div.panel {
                @for remark in &end.remarks { p { (remark) } }
                dl.pairs { @for (name, output) in &end.outputs { dt { (name) } dd.mono { (crate::evidence::brief::value(output)) } } }
            }
        }
    }
}

/// The steps as bars: when they were, over when they were expected. The instances of a `foreach` step are one bar.
fn bars(live: &Live, needs: &Needs<'_>) -> Vec<Bar> {
    let at = |time: Timestamp| known::millis(live.begun(), time);
    // What was expected at the start: as if nothing had happened.
    let fresh = View::of_steps(needs.iter().map(|(id, _)| (*id, "")));
    let planned = estimate::ends(&fresh, needs, &live.expected, live.begun(), live.begun());
    let steps = live.view.steps().iter().filter(|step| step.path.key().is_none());
    steps
        .map(|step| {
            let (tone, _, word) = state::of_step(&live.view, step);
            let id = step.path.as_str();
            let took = live.expected.get(id).copied();
            Bar {
                name: id.to_owned(),
                class: tone.class(),
                word: word.to_owned(),
                actual: step.begun.map(|begun| (at(begun), at(step.ended.unwrap_or(live.now)))),
                planned: took.zip(planned.get(id).copied()).map(|(took, end)| (end.saturating_sub(took), end)),
            }
        })
        .collect()
}
