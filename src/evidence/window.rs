//! A period of time: the runs that were at work in it, what was found besides, and the report of it.

use std::collections::BTreeSet;
use std::path::Path;

use super::material::Material;
use super::notify::outbox::Outbox;
use super::period::{Finding, FindingKind, PeriodReport, is_within};
use super::report::RunReport;
use crate::access::{AccessError, review};
use crate::journal::{Head, Selection, Store, StoreError};
use crate::model::amount::parse_duration;
use crate::model::status::RunStatus;
use crate::model::{RunId, Timestamp};
use crate::schedule::file::{FileError, Schedules};
use crate::schedule::findings::findings;

/// A period, from one instant to another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Window {
    /// From here on.
    pub since: Timestamp,
    /// Up to here.
    pub until: Timestamp,
    /// Only runs of this playbook.
    pub playbook: Option<String>,
}

/// Why a period is none.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum NoPeriod {
    /// A text is no time.
    #[error("`{0}` is no time")]
    NoTime(String),
    /// It has no length.
    #[error("the period ends before it begins")]
    Backwards,
}

impl NoPeriod {
    /// What would be one.
    #[must_use]
    pub fn hint(&self) -> &'static str {
        match self {
            Self::NoTime(_) => "a time ago (30d, 12h), a day (2026-03-01), or an instant (2026-03-01T12:00:00Z)",
            Self::Backwards => "until is to be later than since",
        }
    }
}

/// An instant as people say it: a time ago, a day (in UTC), or an instant.
///
/// # Errors
/// When it is none of them.
pub fn instant(text: &str, now: Timestamp) -> Result<Timestamp, NoPeriod> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if let Ok(day) = text.parse::<jiff::civil::Date>()
        && let Ok(start) = day.to_zoned(jiff::tz::TimeZone::UTC)
    {
        return Ok(start.timestamp());
    }
    let ago = parse_duration(text).ok().and_then(|ago| now.checked_sub(ago).ok());
    ago.ok_or_else(|| NoPeriod::NoTime(text.chars().take(80).collect()))
}

impl Window {
    /// The period between two instants as people say them; up to now, if nothing is said.
    ///
    /// # Errors
    /// When a text is no instant, or the end lies before the beginning.
    pub fn of(since: &str, until: Option<&str>, playbook: Option<String>, now: Timestamp) -> Result<Self, NoPeriod> {
        let since = instant(since, now)?;
        let until = until.map_or(Ok(now), |until| instant(until, now))?;
        if since < until { Ok(Self { since, until, playbook }) } else { Err(NoPeriod::Backwards) }
    }

    /// The runs that were at work in it, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn heads(&self, store: &dyn Store) -> Result<Vec<Head>, StoreError> {
        // Those that have ended are found by their last record; those that go on may have said nothing for long.
        let open = RunStatus::ALL.into_iter().filter(|status| !status.is_terminal()).collect();
        let open = Selection { statuses: open, playbook: self.playbook.clone(), ..Selection::default() };
        let ended =
            Selection { updated_since: Some(self.since), playbook: self.playbook.clone(), ..Selection::default() };
        let mut heads = store.select(&ended)?;
        let known: BTreeSet<RunId> = heads.iter().map(|head| head.run.clone()).collect();
        heads.extend(store.select(&open)?.into_iter().filter(|head| !known.contains(&head.run)));
        heads.sort_by(|a, b| (a.started, &a.run).cmp(&(b.started, &b.run)));
        heads.retain(|head| {
            let ended = head.status.is_terminal().then_some(head.updated);
            is_within(head.started, ended, self.since, self.until)
        });
        Ok(heads)
    }

    /// What was found in it besides its runs. `schedules` is the file of the schedules, if there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn findings(&self, store: &dyn Store, schedules: Option<&Path>) -> Result<Vec<Finding>, AccessError> {
        let mut found = Outbox::lost(store)?;
        found.retain(|finding| (self.since..self.until).contains(&finding.at));
        found.extend(self.unreviewed(store)?);
        found.extend(self.unscheduled(store, schedules)?);
        Ok(found)
    }

    /// Break-glass that nobody has looked at since, however long ago it was.
    fn unreviewed(&self, store: &dyn Store) -> Result<Vec<Finding>, AccessError> {
        let open = review::all(store)?.into_iter().filter(|review| review.closed.is_none() && review.at < self.until);
        Ok(open
            .map(|review| Finding {
                at: review.at,
                kind: FindingKind::Unreviewed,
                about: review.run.to_string(),
                text: format!(
                    "nobody has reviewed the break-glass of {} at {}: {}",
                    review.who, review.step, review.reason
                ),
            })
            .collect())
    }

    /// What schedules were to run and did not.
    fn unscheduled(&self, store: &dyn Store, path: Option<&Path>) -> Result<Vec<Finding>, StoreError> {
        let mut found = Vec::new();
        let schedules = match path.map(|path| (path, Schedules::load(path))) {
            Some((_, Ok((schedules, _)))) => schedules,
            // Without a file there are still the ticks that were due when there was one.
            None => Schedules::default(),
            Some((path, Err(FileError::Read { .. }))) if !path.exists() => Schedules::default(),
            Some((path, Err(error))) => {
                let about = path.display().to_string();
                found.push(Finding { at: self.until, kind: FindingKind::Unreadable, about, text: error.to_string() });
                Schedules::default()
            }
        };
        for missed in
            findings(store, &schedules, self.since, self.until)?.into_iter().filter(|one| one.since < self.until)
        {
            found.push(Finding {
                at: missed.since,
                kind: if missed.on_purpose { FindingKind::OnPurpose } else { FindingKind::Tick },
                about: if missed.schedule.is_empty() { "schedules".to_owned() } else { missed.schedule },
                text: format!("{}: {}", missed.code, missed.text),
            });
        }
        Ok(found)
    }

    /// What came of it, and of each of its runs. A run that cannot be read is a finding. `schedules` is the file of the schedules, if
    /// there is one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn report(
        &self,
        store: &dyn Store,
        schedules: Option<&Path>,
    ) -> Result<(PeriodReport, Vec<RunReport>), AccessError> {
        let mut runs = Vec::new();
        let mut findings = self.findings(store, schedules)?;
        for head in self.heads(store)? {
            match Material::of(store, &head.run).map(|material| RunReport::of(&material)) {
                Ok(Some(report)) => runs.push(report),
                Ok(None) => {}
                Err(error) => findings.push(Finding {
                    at: head.updated,
                    kind: FindingKind::Unreadable,
                    about: head.run.to_string(),
                    text: error.to_string(),
                }),
            }
        }
        let report = PeriodReport::of(self.since, self.until, self.playbook.clone(), &runs, findings);
        Ok((report, runs))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_time_is_given_as_people_say_it() {
        let now: Timestamp = "2026-03-10T12:00:00Z".parse().expect("an instant");
        let read = |text: &str| instant(text, now).map(|at| at.to_string()).map_err(|error| error.to_string());
        assert_eq!(read("2d"), Ok("2026-03-08T12:00:00Z".to_owned()));
        assert_eq!(read("2026-03-01"), Ok("2026-03-01T00:00:00Z".to_owned()));
        assert_eq!(read("2026-03-01T05:00:00+02:00"), Ok("2026-03-01T03:00:00Z".to_owned()));
        assert_eq!(read("yesterday"), Err("`yesterday` is no time".to_owned()));
    }

    #[test]
    fn a_period_has_a_length() {
        let now = Timestamp::UNIX_EPOCH;
        assert!(Window::of("1d", None, None, now).is_ok());
        assert_eq!(Window::of("1d", Some("2d"), None, now), Err(NoPeriod::Backwards));
    }
}
