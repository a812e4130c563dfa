//! What a person should know of schedules: what did not run, what has not run for too long, what nobody looks at.

use std::collections::BTreeMap;

use serde::Serialize;

use super::decide::{GRACE, start_of};
use super::file::{Schedule, Schedules};
use super::people::ticks_since;
use super::scheduler::{Shelf, parsed};
use super::standing::{self, Broken, Standing};
use super::tick::{Fate, Miss, Skip, Tick};
use crate::journal::{Store, StoreError};
use crate::model::Timestamp;

/// Something a person should know.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct Finding {
    /// The schedule; empty when it is about all of them.
    pub schedule: String,
    /// A stable word for it: `missed`, `skipped`, `silent`, `unwatched`, `clock-back`, `broken-file`.
    pub code: &'static str,
    /// Whether it was meant to be so: a blackout, a schedule that is not enabled.
    pub on_purpose: bool,
    /// What it is, in one line.
    pub text: String,
    /// How many ticks it is about.
    pub count: u64,
    /// The first of these, or since when it is so.
    pub since: Timestamp,
    /// The last of these, or now.
    pub until: Timestamp,
}

/// All findings about ticks since this instant, and about how the schedules stand now.
///
/// # Errors
/// When the store cannot be read.
pub fn findings(
    store: &dyn Store,
    schedules: &Schedules,
    since: Timestamp,
    now: Timestamp,
) -> Result<Vec<Finding>, StoreError> {
    let shelf = Shelf::read(store)?;
    let mut found = Vec::new();
    if let Some(document) = store.document(standing::BROKEN, "schedules")? {
        let broken: Broken = parsed(standing::BROKEN, &document)?;
        found.push(Finding {
            schedule: String::new(),
            code: "broken-file",
            on_purpose: false,
            text: format!("the schedules as they were before still count: {}", broken.why),
            count: 0,
            since: broken.since,
            until: now,
        });
    }
    let mut names: Vec<&str> = schedules.list.iter().map(|schedule| schedule.name.as_str()).collect();
    names.extend(shelf.history.standings.keys().map(String::as_str).filter(|name| schedules.get(name).is_none()));
    for name in names {
        found.extend(of_ticks(name, &ticks_since(store, name, since)?));
        let standing = shelf.history.standings.get(name);
        if let Some(schedule) = schedules.get(name).filter(|schedule| schedule.enabled) {
            let paused = shelf.history.pauses.get(name).is_some_and(|pause| pause.holds(now));
            found.extend(of_standing(schedule, standing, paused, now));
        }
    }
    Ok(found)
}

/// What did not run, by reason.
fn of_ticks(name: &str, ticks: &[Tick]) -> Vec<Finding> {
    let mut found: BTreeMap<(&str, &str), Finding> = BTreeMap::new();
    for tick in ticks {
        let (code, reason, on_purpose, text) = match &tick.fate {
            Fate::Skipped { why } => {
                let (reason, on_purpose) = match why {
                    Skip::Overlap { .. } => ("overlap", false),
                    Skip::Blackout { .. } => ("blackout", true),
                    Skip::Incident { .. } => ("incident", false),
                    Skip::Paused { .. } => ("paused", false),
                    Skip::Disabled => ("disabled", true),
                };
                ("skipped", reason, on_purpose, why.to_string())
            }
            Fate::Missed { why } => {
                let reason = match why {
                    Miss::Down { .. } => "down",
                    Miss::Superseded { .. } => "superseded",
                    Miss::Refused { .. } => "refused",
                    Miss::Removed => "removed",
                };
                ("missed", reason, false, why.to_string())
            }
            Fate::Asked | Fate::Waiting | Fate::Run { .. } => continue,
        };
        let entry = found.entry((code, reason)).or_insert_with(|| Finding {
            schedule: name.to_owned(),
            code,
            on_purpose,
            text: String::new(),
            count: 0,
            since: tick.at,
            until: tick.to,
        });
        entry.count += tick.count;
        (entry.until, entry.text) = (tick.to, text);
    }
    found.into_values().collect()
}

/// What is wrong with how a schedule stands.
fn of_standing(schedule: &Schedule, standing: Option<&Standing>, paused: bool, now: Timestamp) -> Vec<Finding> {
    let finding = |code, text: String, since| Finding {
        schedule: schedule.name.clone(),
        code,
        on_purpose: false,
        text,
        count: 0,
        since,
        until: now,
    };
    let Some(standing) = standing.filter(|standing| standing.removed.is_none()) else {
        return vec![finding("unwatched", "no server has looked at it yet: `muster serve` does".to_owned(), now)];
    };
    let mut found = Vec::new();
    if standing.through > now + GRACE {
        let text = "the clock was ahead when a server last looked at it: nothing is due until then".to_owned();
        found.push(finding("clock-back", text, standing.through));
        return found;
    }
    if let Some(due) = schedule.timing.next(standing.through)
        && start_of(schedule, due) + GRACE < now
        && standing.timing == schedule.timing.written
    {
        let text = "no server looks at it: what is due since then has not been decided on".to_owned();
        found.push(finding("unwatched", text, due));
    }
    let last = standing.current.as_ref().map_or(standing.since, |current| current.at);
    let next = schedule.timing.next(last).and_then(|next| schedule.timing.next(next));
    if let Some(next) = next.filter(|next| *next + GRACE < now && !paused) {
        let text = "it has not run for longer than the time between two ticks".to_owned();
        found.push(finding("silent", text, last.min(next)));
    }
    found
}
