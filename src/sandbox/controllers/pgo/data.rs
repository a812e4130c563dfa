//! Data of PostgreSQL: what a cluster holds, what a repository of pgBackRest holds of it, and what a restore makes of that.

use serde::{Deserialize, Serialize};

use super::options::{Options, Until};
use crate::model::Timestamp;

/// How often WAL is archived of a database that is written to, in seconds.
const ARCHIVED_EVERY: i64 = 60;

/// A table has so many rows from an instant on; none: it is not there any more.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Fact {
    /// From when on.
    pub at: Timestamp,
    /// The database.
    pub database: String,
    /// The table; empty for the database itself.
    pub table: String,
    /// Its rows.
    pub rows: Option<u64>,
}

/// What a cluster holds.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Data {
    /// Its system identifier.
    pub system: String,
    /// Its timeline.
    pub timeline: u32,
    /// The timeline that it left, and up to when it has what was written there.
    pub parent: Option<(u32, Timestamp)>,
    /// What was written, in its order.
    pub facts: Vec<Fact>,
    /// Since when nobody has written to it.
    pub idle_since: Option<Timestamp>,
    /// Databases of which a restore has left only zeroes.
    pub zeroed: Vec<String>,
    /// Whether a restore has begun to overwrite it, and not ended.
    pub half: bool,
    /// The repository that it replays, as long as it is a standby.
    pub follows: Option<String>,
    /// Databases that nobody can connect to.
    #[serde(default)]
    pub closed: Vec<String>,
    /// Names under which databases were loaded that no program knows of: whoever uses the cluster uses all others.
    #[serde(default)]
    pub quiet: Vec<String>,
    /// Roles that were made beside those of its users.
    #[serde(default)]
    pub roles: Vec<String>,
}

/// A backup.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Backup {
    /// `20260621-020000F`.
    pub label: String,
    /// `full`, `diff`, `incr`.
    pub kind: String,
    /// When it began.
    pub start: Timestamp,
    /// When it ended.
    pub stop: Timestamp,
    /// The timeline.
    pub timeline: u32,
    /// The system.
    pub system: String,
}

/// WAL of one timeline, as one cluster archives it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wal {
    /// The system.
    pub system: String,
    /// The timeline.
    pub timeline: u32,
    /// The timeline that this one left, and up to when it has what was written there.
    pub parent: Option<(u32, Timestamp)>,
    /// Since when it is archived.
    pub from: Timestamp,
    /// Until when it was; none while it goes on.
    pub until: Option<Timestamp>,
    /// The key of the cluster that archives it.
    pub by: String,
    /// The key of the Pod that does.
    pub pod: String,
    /// What was written until it ended.
    pub facts: Vec<Fact>,
    /// The last commit until it ended.
    pub last_commit: Option<Timestamp>,
}

/// A repository.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Stanza {
    /// The system that it is for now.
    pub system: String,
    /// The major version of PostgreSQL.
    pub major: u64,
    /// Its backups, the oldest first.
    pub backups: Vec<Backup>,
    /// Its archive.
    pub wal: Vec<Wal>,
}

/// What is archived of a timeline at an instant.
pub struct Archived {
    /// The timeline.
    pub timeline: u32,
    /// All that was written.
    pub facts: Vec<Fact>,
    /// Until when.
    pub until: Timestamp,
    /// The last commit that is in it.
    pub last_commit: Timestamp,
}

impl Data {
    /// A database that was just made.
    #[must_use]
    pub fn fresh(system: String, at: Timestamp, database: &str) -> Self {
        let fact = Fact { at, database: database.to_owned(), table: String::new(), rows: Some(0) };
        Self {
            system,
            timeline: 1,
            parent: None,
            facts: vec![fact],
            idle_since: None,
            zeroed: Vec::new(),
            half: false,
            follows: None,
            closed: Vec::new(),
            quiet: Vec::new(),
            roles: Vec::new(),
        }
    }

    /// Refuses what cannot be done to a database that somebody is connected to.
    ///
    /// # Errors
    /// What PostgreSQL says.
    pub fn refuse_used(&self, database: &str) -> Result<(), String> {
        let is_in = |list: &[String]| list.iter().any(|one| one == database);
        if self.idle_since.is_some() || is_in(&self.closed) || is_in(&self.quiet) || is_in(&self.zeroed) {
            return Ok(());
        }
        let why = format!("database \"{database}\" is being accessed by other users");
        Err(format!("{why}\nDETAIL:  There is 1 other session using the database."))
    }

    /// A database is not there any more.
    pub fn drop_database(&mut self, database: &str, now: Timestamp) {
        for table in tables(&self.facts, database, now).into_iter().chain([String::new()]) {
            self.facts.push(Fact { at: now, database: database.to_owned(), table, rows: None });
        }
        self.closed.retain(|one| one != database);
        self.zeroed.retain(|one| one != database);
    }

    /// The last commit until an instant.
    #[must_use]
    pub fn last_commit(&self, now: Timestamp) -> Timestamp {
        self.idle_since.map_or(now, |idle| idle.min(now))
    }
}

/// The rows of a table at an instant; none when it is not there then.
#[must_use]
pub fn rows(facts: &[Fact], database: &str, table: &str, at: Timestamp) -> Option<u64> {
    let of_it = facts.iter().filter(|fact| fact.database == database && fact.table == table && fact.at <= at);
    of_it.max_by_key(|fact| fact.at).and_then(|fact| fact.rows)
}

/// The tables that a database has at an instant.
#[must_use]
pub fn tables(facts: &[Fact], database: &str, at: Timestamp) -> Vec<String> {
    let of_it = facts.iter().filter(|fact| fact.database == database && !fact.table.is_empty());
    let mut names: Vec<String> = of_it.map(|fact| fact.table.clone()).collect();
    names.sort();
    names.dedup();
    names.retain(|name| rows(facts, database, name, at).is_some());
    names
}

/// How many bytes a database takes.
#[must_use]
pub fn bytes(facts: &[Fact], database: &str, at: Timestamp) -> u64 {
    let rows: u64 = tables(facts, database, at).iter().filter_map(|table| rows(facts, database, table, at)).sum();
    8 * 1024 * 1024 + rows * 100
}

/// The databases that are there at an instant.
#[must_use]
pub fn databases(facts: &[Fact], at: Timestamp) -> Vec<String> {
    let mut names: Vec<String> = facts.iter().filter(|fact| fact.at <= at).map(|fact| fact.database.clone()).collect();
    names.sort();
    names.dedup();
    let there = |name: &String| {
        facts.iter().all(|fact| fact.database != *name || !fact.table.is_empty()) || rows(facts, name, "", at).is_some()
    };
    names.retain(there);
    names
}

/// A position in the WAL that stands for an instant: later is further.
#[must_use]
pub fn position(at: Timestamp) -> u64 {
    // So that a segment of 16 MiB is filled in 16 s.
    u64::try_from(at.as_second() - 1_577_836_800).unwrap_or(0) << 20
}

/// A position as PostgreSQL writes it: `2/3F000028`.
#[must_use]
pub fn lsn(at: Timestamp) -> String {
    let position = position(at);
    format!("{:X}/{:X}", position >> 32, position & 0xffff_ffff)
}

/// The segment of WAL at an instant.
#[must_use]
pub fn segment(timeline: u32, at: Timestamp) -> String {
    let position = position(at);
    format!("{timeline:08X}{:08X}{:08X}", position >> 32, (position & 0xffff_ffff) >> 24)
}

impl Wal {
    /// What of it is archived at an instant. `data`: what the cluster holds that archives it.
    #[must_use]
    pub fn archived(&self, data: Option<&Data>, now: Timestamp) -> Archived {
        let (until, last_commit, facts) = match (self.until, data) {
            (Some(until), _) => (until.min(now), self.last_commit.unwrap_or(until), self.facts.clone()),
            (None, Some(data)) => {
                let second = now.as_second() - now.as_second().rem_euclid(ARCHIVED_EVERY);
                let until = Timestamp::from_second(second).unwrap_or(now).max(self.from);
                (until, data.last_commit(until), data.facts.clone())
            }
            (None, None) => (self.from, self.from, Vec::new()),
        };
        let facts = facts.into_iter().filter(|fact| fact.at <= until).collect();
        Archived { timeline: self.timeline, facts, until, last_commit: last_commit.min(until) }
    }
}

impl Stanza {
    /// The WAL of a system's newest timeline, or of this one.
    #[must_use]
    pub fn wal_of(&self, system: &str, timeline: Option<u32>) -> Option<&Wal> {
        let of_it =
            self.wal.iter().filter(|wal| wal.system == system && timeline.is_none_or(|wanted| wanted == wal.timeline));
        of_it.max_by_key(|wal| (wal.timeline, wal.until.is_none(), wal.from))
    }

    /// Whether a backup lies on the way that led to a timeline.
    fn leads_to(&self, backup: &Backup, timeline: u32) -> bool {
        let mut at = timeline;
        for _ in 0..=self.wal.len() {
            if at == backup.timeline {
                return true;
            }
            let parent = self
                .wal
                .iter()
                .find(|wal| wal.system == backup.system && wal.timeline == at)
                .and_then(|wal| wal.parent);
            match parent {
                Some((parent, left)) if parent != backup.timeline || backup.stop <= left => at = parent,
                _ => return false,
            }
        }
        false
    }

    /// What a restore makes of it. `of`: what the cluster holds that archives a timeline.
    ///
    /// # Errors
    /// What pgBackRest or PostgreSQL says.
    pub fn restored<'d>(
        &self,
        options: &Options,
        of: impl Fn(&Wal) -> Option<&'d Data>,
        now: Timestamp,
    ) -> Result<Data, String> {
        let backup = match (&options.set, &options.until) {
            (Some(label), _) => self
                .backups
                .iter()
                .find(|backup| backup.label == *label)
                .ok_or_else(|| format!("ERROR: [028]: backup set {label} is not valid"))?,
            (None, Until::Time(target)) => {
                self.backups.iter().filter(|backup| backup.stop < *target).max_by_key(|backup| backup.stop).ok_or_else(
                    || format!("ERROR: [075]: unable to find backup set with stop time less than '{}'", options.target),
                )?
            }
            _ => self
                .backups
                .iter()
                .max_by_key(|backup| backup.stop)
                .ok_or("ERROR: [075]: no backup set found to restore")?,
        };
        let wal = self.wal_of(&backup.system, options.timeline).ok_or_else(|| match options.timeline {
            Some(timeline) => format!("FATAL: recovery target timeline {timeline} does not exist"),
            None => "FATAL: could not locate required checkpoint record".to_owned(),
        })?;
        if !self.leads_to(backup, wal.timeline) {
            return Err(format!("FATAL: requested timeline {} is not a child of this server's history", wal.timeline));
        }
        let archived = wal.archived(of(wal), now);
        let until = match &options.until {
            Until::Latest => archived.until.max(backup.stop),
            Until::Consistent => backup.stop,
            Until::Time(target) if archived.last_commit <= *target => {
                return Err("FATAL: recovery ended before configured recovery target was reached".to_owned());
            }
            Until::Time(target) => *target,
        };
        let facts: Vec<Fact> = archived.facts.into_iter().filter(|fact| fact.at <= until).collect();
        let zeroed = if options.only.is_empty() {
            Vec::new()
        } else {
            let spared = |name: &String| name == "postgres" || options.only.contains(name);
            databases(&facts, until).into_iter().filter(|name| !spared(name)).collect()
        };
        let newest = self.wal_of(&backup.system, None).map_or(wal.timeline, |wal| wal.timeline);
        Ok(Data {
            system: backup.system.clone(),
            timeline: newest + 1,
            parent: Some((wal.timeline, until)),
            facts,
            idle_since: Some(until.min(archived.last_commit)),
            zeroed,
            half: false,
            follows: None,
            closed: Vec::new(),
            quiet: Vec::new(),
            roles: Vec::new(),
        })
    }

    /// Takes the backups away that a retention of so many full ones leaves no room for.
    pub fn expire(&mut self, fulls: usize) {
        let labels: Vec<String> =
            self.backups.iter().filter(|one| one.kind == "full").map(|one| one.label.clone()).collect();
        for label in labels.iter().take(labels.len().saturating_sub(fulls.max(1))) {
            self.backups.retain(|one| !one.label.starts_with(label.as_str()));
        }
    }

    /// The label of a backup of this kind, and what kind it will be: what hangs on a full one is one when there is none.
    #[must_use]
    pub fn label(&self, kind: &str, at: Timestamp) -> (String, String) {
        let named = at.strftime_label();
        let base = self.backups.iter().rev().find(|one| one.kind == "full" && one.system == self.system);
        match (kind, base) {
            ("diff", Some(full)) => (format!("{}_{named}D", full.label), "diff".to_owned()),
            ("incr", Some(full)) => (format!("{}_{named}I", full.label), "incr".to_owned()),
            _ => (format!("{named}F"), "full".to_owned()),
        }
    }
}

/// How labels of backups write an instant.
trait Label {
    fn strftime_label(&self) -> String;
}

impl Label for Timestamp {
    fn strftime_label(&self) -> String {
        self.strftime("%Y%m%d-%H%M%S").to_string()
    }
}
