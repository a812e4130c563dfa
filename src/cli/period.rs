//! The arguments that name a period of time.

use super::commands::schedule::default_path;
use super::failure::Failure;
use crate::access::review;
use crate::evidence::material::Material;
use crate::evidence::notify::outbox::Outbox;
use crate::evidence::period::{Finding, FindingKind, PeriodReport, is_within};
use crate::evidence::report::RunReport;
use crate::journal::{Head, Store};
use crate::model::Timestamp;
use crate::model::amount::parse_duration;
use crate::schedule::file::{FileError, Schedules};
use crate::schedule::findings::findings;

/// A period.
#[derive(clap::Args, Clone, Debug)]
pub struct Period {
    /// From then on: a time ago (30d, 12h), a day (2026-03-01, in UTC) or an instant (2026-03-01T12:00:00Z).
    #[arg(long, value_name = "WHEN")]
    since: Option<String>,
    /// Up to then; now if not given.
    #[arg(long, value_name = "WHEN", requires = "since")]
    until: Option<String>,
    /// Only runs of this playbook.
    #[arg(long, value_name = "NAME", requires = "since")]
    playbook: Option<String>,
}

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

impl Period {
    /// The period, if one was named.
    ///
    /// # Errors
    /// When a text is no instant, or the end lies before the beginning.
    pub fn window(&self, now: Timestamp) -> Result<Option<Window>, Failure> {
        let Some(since) = &self.since else { return Ok(None) };
        let since = instant(since, now)?;
        let until = self.until.as_ref().map_or(Ok(now), |until| instant(until, now))?;
        if since >= until {
            return Err(Failure::user("the period ends before it begins").hint("--until is to be later than --since"));
        }
        Ok(Some(Window { since, until, playbook: self.playbook.clone() }))
    }
}

fn instant(text: &str, now: Timestamp) -> Result<Timestamp, Failure> {
    if let Ok(at) = text.parse::<Timestamp>() {
        return Ok(at);
    }
    if let Ok(day) = text.parse::<jiff::civil::Date>()
        && let Ok(start) = day.to_zoned(jiff::tz::TimeZone::UTC)
    {
        return Ok(start.timestamp());
    }
    let ago = parse_duration(text).ok().and_then(|ago| now.checked_sub(ago).ok());
    ago.ok_or_else(|| {
        Failure::user(format!("`{text}` is no time"))
            .hint("a time ago (30d, 12h), a day (2026-03-01), or an instant (2026-03-01T12:00:00Z)")
    })
}

impl Window {
    /// The runs that were at work in it, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn heads(&self, store: &dyn Store) -> Result<Vec<Head>, Failure> {
        let mut heads = store.heads()?;
        heads.reverse();
        heads.retain(|head| {
            let ended = head.status.is_terminal().then_some(head.updated);
            let wanted = self.playbook.as_ref().is_none_or(|name| *name == head.playbook);
            wanted && is_within(head.started, ended, self.since, self.until)
        });
        Ok(heads)
    }

    /// What was found in it besides its runs.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn findings(&self, store: &dyn Store) -> Result<Vec<Finding>, Failure> {
        let mut found = Outbox::lost(store)?;
        found.retain(|finding| (self.since..self.until).contains(&finding.at));
        found.extend(self.unreviewed(store)?);
        found.extend(self.unscheduled(store)?);
        Ok(found)
    }

    /// Break-glass that nobody has looked at since, however long ago it was.
    fn unreviewed(&self, store: &dyn Store) -> Result<Vec<Finding>, Failure> {
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
    fn unscheduled(&self, store: &dyn Store) -> Result<Vec<Finding>, Failure> {
        let path = default_path();
        let mut found = Vec::new();
        let schedules = match Schedules::load(&path) {
            Ok((schedules, _)) => schedules,
            // Without a file there are still the ticks that were due when there was one.
            Err(FileError::Read { .. }) if !path.exists() => Schedules::default(),
            Err(error) => {
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

    /// What came of it, and of each of its runs. A run that cannot be read is a finding.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn report(&self, store: &dyn Store) -> Result<(PeriodReport, Vec<RunReport>), Failure> {
        let mut runs = Vec::new();
        let mut findings = self.findings(store)?;
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
        let read = |text: &str| instant(text, now).map(|at| at.to_string()).map_err(|failure| failure.message);
        assert_eq!(read("2d"), Ok("2026-03-08T12:00:00Z".to_owned()));
        assert_eq!(read("2026-03-01"), Ok("2026-03-01T00:00:00Z".to_owned()));
        assert_eq!(read("2026-03-01T05:00:00+02:00"), Ok("2026-03-01T03:00:00Z".to_owned()));
        assert_eq!(read("yesterday"), Err("`yesterday` is no time".to_owned()));
    }

    #[test]
    fn a_period_has_a_length() {
        let now = Timestamp::UNIX_EPOCH;
        let period = |since: &str, until: Option<&str>| Period {
            since: Some(since.to_owned()),
            until: until.map(str::to_owned),
            playbook: None,
        };
        assert!(period("1d", None).window(now).is_ok_and(|window| window.is_some()));
        assert!(period("1d", Some("2d")).window(now).is_err());
    }
}
