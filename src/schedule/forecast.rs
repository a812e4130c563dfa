//! What comes next: the ticks of schedules that are not due yet, and why one would be skipped as things stand.

use serde::Serialize;

use super::decide::start_of;
use super::file::{Overlap, Schedule, Schedules};
use super::standing::{History, Stage};
use super::tick::Skip;
use crate::model::Timestamp;

/// A tick that is not due yet.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Coming {
    /// The schedule.
    pub schedule: String,
    /// When it is due.
    pub at: Timestamp,
    /// When it starts: a while later, with jitter.
    pub starts: Timestamp,
    /// When it is due, on the clock of the schedule's zone.
    pub local: String,
    /// Why it would not run.
    pub skipped: Option<String>,
    /// What holds it back if it is still so then.
    pub unless_over: Option<String>,
}

/// The next ticks of the schedules, in order of time, at most so many. With `only`, of that schedule.
#[must_use]
pub fn coming(
    schedules: &Schedules,
    only: Option<&str>,
    history: &History,
    now: Timestamp,
    most: usize,
) -> Vec<Coming> {
    let mut all: Vec<Coming> = schedules
        .list
        .iter()
        .filter(|schedule| only.is_none_or(|only| schedule.name == only))
        .flat_map(|schedule| of(schedule, history, now, most))
        .collect();
    all.sort_by(|a, b| (a.at, &a.schedule).cmp(&(b.at, &b.schedule)));
    all.truncate(most);
    all
}

fn of(schedule: &Schedule, history: &History, now: Timestamp, most: usize) -> Vec<Coming> {
    let due = schedule.timing.between(now, Timestamp::MAX, most);
    let first = due.first().copied();
    due.into_iter()
        .map(|at| Coming {
            schedule: schedule.name.clone(),
            at,
            starts: start_of(schedule, at),
            local: at.to_zoned(schedule.timing.zone().clone()).strftime("%a %Y-%m-%d %H:%M:%S %Z").to_string(),
            skipped: why(schedule, history, now, at).map(|skip| skip.to_string()),
            // What is open now says little of ticks further away.
            unless_over: (Some(at) == first).then(|| in_the_way(schedule, history)).flatten(),
        })
        .collect()
}

fn why(schedule: &Schedule, history: &History, now: Timestamp, at: Timestamp) -> Option<Skip> {
    if !schedule.enabled {
        return Some(Skip::Disabled);
    }
    if let Some(pause) = history.pauses.get(&schedule.name).filter(|pause| pause.holds(now)) {
        return Some(Skip::Paused { by: pause.by.clone(), words: pause.reason.clone() });
    }
    let start = start_of(schedule, at);
    let window = schedule.blackout.iter().find(|window| window.contains(start, schedule.timing.zone()))?;
    Some(Skip::Blackout { window: window.name() })
}

fn in_the_way(schedule: &Schedule, history: &History) -> Option<String> {
    if let Some(run) = history.incident.as_ref().filter(|_| schedule.unless_incident) {
        return Some(format!("run {} is open, which is no drill", run.short()));
    }
    let current = history.standings.get(&schedule.name)?.current.as_ref()?;
    let open = history.runs.get(&current.run) == Some(&Stage::Open);
    let follows = if schedule.overlap == Overlap::Queue { "it waits while" } else { "skipped while" };
    open.then(|| format!("{follows} run {} is open", current.run.short()))
}
