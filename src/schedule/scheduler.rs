//! Turns decisions into runs: reads what is stored, decides, stores the decision, and begins the runs that follow from it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::de::DeserializeOwned;

use super::decide::{Decision, GRACE, asks_for_incidents, decide, salt};
use super::file::{FileError, Schedule, Schedules};
use super::standing::{self, Broken, Current, History, Order, Pause, Stage, Standing};
use super::tick::{self, Fate, Miss, Tick};
use crate::journal::document::{Document, Expect, Query, Write};
use crate::journal::selection::Selection;
use crate::journal::{Store, StoreError};
use crate::model::command::Actor;
use crate::model::status::RunStatus;
use crate::model::{RunId, Timestamp, Value};

/// Who begins the runs that schedules want.
pub trait Starter {
    /// Begins the run of a tick: durably, with the given id. It goes on by itself.
    ///
    /// # Errors
    /// When it was not begun.
    fn start(&self, begin: &Begin<'_>) -> Result<(), StartError>;
}

/// A run to begin.
#[derive(Clone, Debug)]
pub struct Begin<'b> {
    /// What is to be run, and how: `drill` or a live run, with `params`, from `origin`.
    pub schedule: &'b Schedule,
    /// For which tick.
    pub tick: &'b Tick,
    /// The id it has to have.
    pub run: &'b RunId,
    /// Where its chance begins.
    pub seed: u64,
    /// Who starts it: the schedule; or who asked for it.
    pub by: Actor,
}

/// Why a run was not begun.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum StartError {
    /// Trying again will not help: no such playbook, wrong parameters.
    #[error("{0}")]
    Refused(String),
    /// It may work later: the server is going down, the disk is full.
    #[error("{0}")]
    Later(String),
}

/// What happened in a turn, for the log of the server.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Event {
    /// The fates of ticks were stored.
    Decided(Box<Decision>),
    /// A run was begun.
    Started { schedule: String, run: RunId },
    /// A run could not be begun now; it is tried again.
    Delayed { schedule: String, run: RunId, why: String },
    /// A run could not be begun, and never will: its tick is missed.
    Refused { schedule: String, run: RunId, why: String },
    /// The file was read anew.
    Reread,
    /// The file cannot be read: the schedules as they were before still count.
    Broken { why: String },
}

/// The name of the actor who starts the runs of a schedule.
pub const ACTOR: &str = "schedule:";

/// Looks at the schedules again and again.
///
/// # Guarantees
/// A tick's fate is durable before its run is begun. A run that was decided on and not begun, because the server died between the
/// two, is begun by the next turn of whichever server, under the same id. Of servers that look at the same time one decides.
pub struct Scheduler {
    store: Arc<dyn Store>,
    schedules: Schedules,
    file: Option<Watch>,
    /// Whether a run is a live one that is no drill, as its first record says.
    lives: BTreeMap<RunId, bool>,
}

struct Watch {
    path: PathBuf,
    seen: Option<Seen>,
    broken: Option<String>,
}

/// What tells one content of a file from another without reading it.
type Seen = (std::time::SystemTime, u64, u64);

impl Scheduler {
    /// Looks at these schedules.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, schedules: Schedules) -> Self {
        Self { store, schedules, file: None, lives: BTreeMap::new() }
    }

    /// Looks at the schedules of a file, and reads it again when it changes.
    ///
    /// # Errors
    /// When it cannot be read now.
    pub fn watching(store: Arc<dyn Store>, path: &Path) -> Result<Self, FileError> {
        let seen = seen(path);
        let (schedules, _) = Schedules::load(path)?;
        let watch = Watch { path: path.to_owned(), seen, broken: None };
        Ok(Self { file: Some(watch), ..Self::new(store, schedules) })
    }

    /// The schedules as they count now.
    #[must_use]
    pub fn schedules(&self) -> &Schedules {
        &self.schedules
    }

    /// Decides what is due by now, stores it, and begins the runs.
    ///
    /// # Errors
    /// When the store cannot be read or written. What was stored by then counts; the next turn goes on from there.
    pub fn turn(&mut self, starter: &dyn Starter, now: Timestamp) -> Result<Vec<Event>, StoreError> {
        let mut events = Vec::new();
        self.reread(now, &mut events)?;
        let mut shelf = self.shelf()?;
        if asks_for_incidents(&self.schedules, &shelf.history, now) {
            shelf.history.incident = self.incident()?;
        }
        for decision in decide(&self.schedules, &shelf.history, now) {
            match self.store.write_documents(&shelf.writes(&decision), now) {
                Ok(()) => events.push(Event::Decided(Box::new(decision))),
                // Somebody else was quicker: what they decided is seen in the next turn.
                Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        let shelf = if events.is_empty() { shelf } else { self.shelf()? };
        for (name, standing) in &shelf.history.standings {
            if let (Some(current), Some(schedule)) = (&standing.current, self.schedules.get(name))
                && !current.begun
                && standing.removed.is_none()
            {
                events.extend(self.begin(starter, schedule, standing, current, &shelf, now)?);
            }
        }
        Ok(events)
    }

    fn begin(
        &self,
        starter: &dyn Starter,
        schedule: &Schedule,
        standing: &Standing,
        current: &Current,
        shelf: &Shelf,
        now: Timestamp,
    ) -> Result<Option<Event>, StoreError> {
        let run = current.run.clone();
        let name = schedule.name.clone();
        let key = tick::key(&name, current.at);
        let Some(document) = self.store.document(tick::KIND, &key)? else { return Ok(None) };
        let mut tick: Tick = parsed(tick::KIND, &document)?;
        let mut outcome = Ok(());
        if stage(self.store.as_ref(), &run)? == Stage::Absent {
            let by =
                tick.asked.as_ref().map_or_else(|| Actor { name: format!("{ACTOR}{name}") }, |asked| asked.by.clone());
            let (_, seed) = RunId::of_tick(&name, current.at, &salt(standing));
            outcome = starter.start(&Begin { schedule, tick: &tick, run: &run, seed, by });
            // Another server may have begun it in between, or this one before it told of an error.
            if outcome.is_err() && stage(self.store.as_ref(), &run)? != Stage::Absent {
                outcome = Ok(());
            }
        }
        let mut after = standing.clone();
        let mut writes = Vec::new();
        let event = match outcome {
            Ok(()) => {
                after.current = Some(Current { begun: true, ..current.clone() });
                Event::Started { schedule: name.clone(), run }
            }
            Err(StartError::Later(why)) if !is_over(schedule, current.at, now) => {
                return Ok(Some(Event::Delayed { schedule: name, run, why }));
            }
            Err(StartError::Later(why) | StartError::Refused(why)) => {
                after.current = None;
                tick.fate = Fate::Missed { why: Miss::Refused { error: why.clone() } };
                tick.decided = now;
                writes.push(Write::replace(tick::KIND, &document, tick.body()));
                Event::Refused { schedule: name.clone(), run, why }
            }
        };
        let body = serde_json::to_value(&after).unwrap_or_default();
        writes.push(Write {
            kind: standing::KIND.to_owned(),
            key: name.clone(),
            expect: shelf.expect(&name),
            body: Some(body),
        });
        match self.store.write_documents(&writes, now) {
            Ok(()) => Ok(Some(event)),
            Err(StoreError::Conflict { .. }) => Ok(None),
            Err(error) => Err(error),
        }
    }

    fn shelf(&self) -> Result<Shelf, StoreError> {
        Shelf::read(self.store.as_ref())
    }

    /// A live run that is open, is no drill, and was not begun by a schedule.
    fn incident(&mut self) -> Result<Option<RunId>, StoreError> {
        let open: Vec<RunId> = open_runs(self.store.as_ref())?;
        self.lives.retain(|run, _| open.contains(run));
        for run in open {
            let live = match self.lives.get(&run) {
                Some(live) => *live,
                None => {
                    let live = is_incident(self.store.as_ref(), &run)?;
                    self.lives.insert(run.clone(), live);
                    live
                }
            };
            if live {
                return Ok(Some(run));
            }
        }
        Ok(None)
    }

    /// Reads the file again when it is another. A file that is wrong leaves the schedules as they are, and is told of until it is
    /// right again.
    fn reread(&mut self, now: Timestamp, events: &mut Vec<Event>) -> Result<(), StoreError> {
        let Some(watch) = &mut self.file else { return Ok(()) };
        let found = seen(&watch.path);
        if found == watch.seen && watch.broken.is_none() == found.is_some() {
            return Ok(());
        }
        let changed = found != watch.seen;
        watch.seen = found;
        let why = match Schedules::load(&watch.path) {
            Ok((schedules, _)) => {
                if changed || watch.broken.is_some() {
                    events.push(Event::Reread);
                }
                watch.broken = None;
                self.schedules = schedules;
                let there = self.store.document(standing::BROKEN, "schedules")?;
                if let Some(document) = there {
                    settle(self.store.write_documents(&[Write::remove(standing::BROKEN, &document)], now))?;
                }
                return Ok(());
            }
            Err(error) => error.to_string(),
        };
        if watch.broken.as_ref() != Some(&why) {
            let told = Broken { path: watch.path.display().to_string(), why: why.clone(), since: now };
            let body = serde_json::to_value(told).unwrap_or_default();
            let write = Write {
                kind: standing::BROKEN.to_owned(),
                key: "schedules".to_owned(),
                expect: Expect::Any,
                body: Some(body),
            };
            self.store.write_documents(&[write], now)?;
            watch.broken = Some(why.clone());
            events.push(Event::Broken { why });
        }
        Ok(())
    }
}

/// Whether a run that cannot be begun is given up.
fn is_over(schedule: &Schedule, at: Timestamp, now: Timestamp) -> bool {
    let window = schedule.catch_up.and_then(|window| jiff::SignedDuration::try_from(window).ok()).unwrap_or(GRACE);
    now.duration_since(at) > window.max(GRACE)
}

/// A conflict means that somebody else did it.
fn settle(outcome: Result<(), StoreError>) -> Result<(), StoreError> {
    match outcome {
        Err(StoreError::Conflict { .. }) => Ok(()),
        other => other,
    }
}

fn seen(path: &Path) -> Option<Seen> {
    use std::os::unix::fs::MetadataExt as _;
    let found = std::fs::metadata(path).ok()?;
    Some((found.modified().ok()?, found.len(), found.ino()))
}

/// What is known of a run.
///
/// # Errors
/// When the store cannot be read.
pub fn stage(store: &dyn Store, run: &RunId) -> Result<Stage, StoreError> {
    match store.head(run) {
        // A run without records was never begun: its id was taken, and then its server died.
        Ok(head) if head.records == 0 => Ok(Stage::Absent),
        Ok(head) if head.status.is_terminal() => Ok(Stage::Ended),
        Ok(_) => Ok(Stage::Open),
        Err(StoreError::NoSuchRun(_)) => Ok(Stage::Absent),
        Err(error) => Err(error),
    }
}

fn open_runs(store: &dyn Store) -> Result<Vec<RunId>, StoreError> {
    let statuses = RunStatus::ALL.into_iter().filter(|status| !status.is_terminal()).collect();
    let open = store.select(&Selection { statuses, ..Selection::default() })?;
    Ok(open.into_iter().map(|head| head.run).collect())
}

/// Whether a run is live, no drill, and begun by a person, as its first record says.
fn is_incident(store: &dyn Store, run: &RunId) -> Result<bool, StoreError> {
    let first: Value = store.first(run)?.and_then(|line| serde_json::from_str(&line).ok()).unwrap_or_default();
    let fact = &first["fact"];
    let scheduled = fact["by"]["name"].as_str().is_some_and(|name| name.starts_with(ACTOR));
    Ok(fact["mode"] == "live" && fact["drill"].is_null() && !scheduled)
}

/// The open live run that holds schedules back, if there is one.
///
/// # Errors
/// When the store cannot be read.
pub fn incident(store: &dyn Store) -> Result<Option<RunId>, StoreError> {
    for run in open_runs(store)? {
        if is_incident(store, &run)? {
            return Ok(Some(run));
        }
    }
    Ok(None)
}

/// All that is stored of schedules, with the versions in which it was read.
pub struct Shelf {
    /// What it says.
    pub history: History,
    standings: BTreeMap<String, Document>,
    orders: BTreeMap<String, Document>,
}

impl Shelf {
    /// Reads it.
    ///
    /// # Errors
    /// When the store cannot be read, or holds what this program does not understand.
    pub fn read(store: &dyn Store) -> Result<Self, StoreError> {
        let all = Query::default();
        let mut shelf = Self { history: History::default(), standings: BTreeMap::new(), orders: BTreeMap::new() };
        for document in store.documents(standing::KIND, &all)? {
            let standing: Standing = parsed(standing::KIND, &document)?;
            if let Some(current) = &standing.current {
                let mut stage = stage(store, &current.run)?;
                if current.begun && stage == Stage::Absent {
                    stage = Stage::Ended;
                }
                shelf.history.runs.insert(current.run.clone(), stage);
            }
            shelf.history.standings.insert(document.key.clone(), standing);
            shelf.standings.insert(document.key.clone(), document);
        }
        for document in store.documents(standing::PAUSE, &all)? {
            let pause: Pause = parsed(standing::PAUSE, &document)?;
            shelf.history.pauses.insert(document.key, pause);
        }
        for document in store.documents(standing::ORDER, &all)? {
            shelf.history.orders.push(parsed::<Order>(standing::ORDER, &document)?);
            shelf.orders.insert(document.key.clone(), document);
        }
        Ok(shelf)
    }

    /// What has to be there when the standing of this schedule is written.
    fn expect(&self, schedule: &str) -> Expect {
        self.standings.get(schedule).map_or(Expect::Absent, |document| Expect::Version(document.version))
    }

    /// What stores a decision. The standing is written only in the version on which it was decided: that makes each fate the only
    /// one. That the ticks are not there yet, and that the store knows no run of that id, is proved again.
    fn writes(&self, decision: &Decision) -> Vec<Write> {
        let name = &decision.schedule;
        let body = serde_json::to_value(&decision.standing).unwrap_or_default();
        let mut writes = vec![Write {
            kind: standing::KIND.to_owned(),
            key: name.clone(),
            expect: self.expect(name),
            body: Some(body),
        }];
        writes.extend(decision.due.iter().map(|tick| Write::create(tick::KIND, tick.key(), tick.body())));
        writes.extend(decision.changed.iter().map(|tick| Write {
            kind: tick::KIND.to_owned(),
            key: tick.key(),
            expect: Expect::Any,
            body: Some(tick.body()),
        }));
        let taken = decision.orders.iter().filter_map(|at| self.orders.get(&tick::key(name, *at)));
        writes.extend(taken.map(|order| Write::remove(standing::ORDER, order)));
        writes
    }
}

/// What a document says.
///
/// # Errors
/// When it is not what this program writes.
pub fn parsed<T: DeserializeOwned>(kind: &str, document: &Document) -> Result<T, StoreError> {
    serde_json::from_value(document.body.clone()).map_err(|error| StoreError::Corrupt {
        path: format!("document {kind} {}", document.key),
        what: error.to_string(),
    })
}
