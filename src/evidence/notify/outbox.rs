//! What is on its way to those who are told. An event gets into the outbox in one transaction with the note that its record has been looked
//! at, and leaves it when its receiver has said that it has it: killed at whatever moment, none is lost, and one may be sent twice.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde::{Deserialize, Serialize};

use super::config::Config;
use super::event::{Event, events};
use super::send::Sender;
use crate::evidence::material::Material;
use crate::evidence::period::{Finding, FindingKind};
use crate::evidence::report::RunReport;
use crate::evidence::words::millis;
use crate::journal::document::{Document, Query, Write};
use crate::journal::{Fact, Head, Record, Store, StoreError, apart};
use crate::model::status::Mode;
use crate::model::{RunId, Timestamp};

/// The kind of all documents of the outbox.
pub const KIND: &str = "outbox";

/// What happened before this instant is told to nobody.
const BEGIN: &str = "begin";

/// How far a run has been looked at: `seen/RUN`.
const SEEN: &str = "seen/";

/// What is to be sent: `wait/HOOK/RUN/NUMBER`.
const WAIT: &str = "wait/";

/// What was given up: `lost/HOOK/RUN/NUMBER`.
const LOST: &str = "lost/";

/// After so long a message is given up.
pub const PATIENCE: Duration = Duration::from_secs(86_400);

/// The longest that is waited between two tries.
const LONGEST_WAIT: Duration = Duration::from_secs(3600);

/// So many messages are sent in one turn at most.
const MOST: usize = 200;

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Seen {
    records: u64,
    playbook: String,
    live: bool,
}

#[derive(Clone, Debug, Serialize, Deserialize)]
struct Message {
    event: Event,
    /// When it was put here.
    since: Timestamp,
    tries: u32,
    /// Not before this.
    next: Timestamp,
    /// What the last try came to.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    error: String,
}

/// What a turn came to.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Turn {
    /// Events that were put into the outbox.
    pub noted: usize,
    /// Messages whose receiver has them.
    pub sent: usize,
    /// Messages that will be tried again, with why.
    pub failed: Vec<String>,
    /// Messages that were given up, with why.
    pub lost: Vec<String>,
    /// Messages that are still to be sent.
    pub waiting: usize,
}

/// The outbox of a store.
///
/// # Guarantees
/// Each event that follows from a record written since the outbox was first used is sent to each hook that wants it at least once, those of
/// one run in order, or given up after [`PATIENCE`], which is a finding. Several outboxes may work on one store: one of them is told of a
/// conflict and does its turn again later.
pub struct Outbox {
    store: Arc<dyn Store>,
    config: Config,
    sender: Box<dyn Sender>,
    /// How far runs have been looked at, as last read or written.
    seen: Mutex<BTreeMap<RunId, Document>>,
}

fn body(value: &impl Serialize) -> serde_json::Value {
    // Plain structs with text keys; no field serialises by code that can fail.
    serde_json::to_value(value).expect("plain data with text keys")
}

fn read<T: for<'de> Deserialize<'de>>(document: &Document) -> Result<T, StoreError> {
    serde_json::from_value(document.body.clone()).map_err(|error| StoreError::Database {
        act: "read",
        path: format!("{KIND} {}", document.key),
        what: error.to_string(),
    })
}

impl Outbox {
    /// The outbox of this store, for those of this file.
    #[must_use]
    pub fn new(store: Arc<dyn Store>, config: Config, sender: Box<dyn Sender>) -> Self {
        Self { store, config, sender, seen: Mutex::default() }
    }

    /// Looks for what happened, and sends what is due.
    ///
    /// # Errors
    /// When the store cannot be read or written, or another outbox was quicker. Nothing is lost then; the next turn goes on.
    pub fn turn(&self, now: Timestamp) -> Result<Turn, StoreError> {
        let mut turn = Turn::default();
        if let Err(error) = self.collect(now, &mut turn) {
            // What another has written is read anew.
            self.seen.lock().clear();
            return Err(error);
        }
        self.deliver(now, &mut turn)?;
        Ok(turn)
    }

    /// What was given up, as findings.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn lost(store: &dyn Store) -> Result<Vec<Finding>, StoreError> {
        let documents = store.documents(KIND, &Query::prefix(LOST))?;
        let finding = |document: &Document| {
            let message: Message = read(document)?;
            let hook = document.key.split('/').nth(1).unwrap_or_default();
            Ok(Finding {
                at: document.at,
                kind: FindingKind::Undelivered,
                about: message.event.run.to_string(),
                text: format!("{hook} was not told: {} ({})", message.event.text, message.error),
            })
        };
        documents.iter().map(finding).collect()
    }

    fn begin(&self, now: Timestamp) -> Result<Timestamp, StoreError> {
        match self.store.document(KIND, BEGIN)? {
            Some(document) => read(&document),
            None => {
                self.store.write_documents(&[Write::create(KIND, BEGIN, body(&now))], now)?;
                Ok(now)
            }
        }
    }

    /// Puts what happened since the last time into the outbox.
    fn collect(&self, now: Timestamp, turn: &mut Turn) -> Result<(), StoreError> {
        let begin = self.begin(now)?;
        let mut seen = self.seen.lock();
        if seen.is_empty() {
            for document in self.store.documents(KIND, &Query::prefix(SEEN))? {
                if let Some(run) = document.key.strip_prefix(SEEN).and_then(|run| run.parse().ok()) {
                    seen.insert(run, document);
                }
            }
        }
        let mut heads = self.store.heads()?;
        heads.reverse();
        for head in heads.iter().filter(|head| head.records > 0) {
            let known = seen.get(&head.run);
            // What ended before anybody was to be told is never looked at.
            if known.is_none() && head.status.is_terminal() && head.updated < begin {
                continue;
            }
            let before: Option<Seen> = known.map(read).transpose()?;
            if before.as_ref().is_some_and(|before| before.records >= head.records) {
                continue;
            }
            match self.look(head, before, known, begin, now) {
                Ok(found) => turn.noted += found,
                // One run that cannot be read keeps nobody from hearing of the others.
                Err(error @ (StoreError::Damaged { .. } | StoreError::Unknown { .. } | StoreError::TooNew { .. })) => {
                    turn.failed.push(format!("{}: {error}", head.run));
                    continue;
                }
                Err(error) => return Err(error),
            }
            if let Some(document) = self.store.document(KIND, &format!("{SEEN}{}", head.run))? {
                seen.insert(head.run.clone(), document);
            }
        }
        Ok(())
    }

    fn look(
        &self,
        head: &Head,
        before: Option<Seen>,
        known: Option<&Document>,
        begin: Timestamp,
        now: Timestamp,
    ) -> Result<usize, StoreError> {
        let from = before.as_ref().map_or(0, |before| before.records);
        let lines = self.store.tail(&head.run, from)?;
        let whole = |(seq, line): (u64, &String)| apart::record(self.store.as_ref(), &head.run, seq, line);
        let records: Vec<Record> = (from..).zip(&lines).map(whole).collect::<Result<_, _>>()?;
        let live = match (&before, records.first().map(|record| &record.fact)) {
            (Some(before), _) => before.live,
            (None, Some(Fact::RunStarted { mode, .. })) => *mode == Mode::Live,
            (None, _) => false,
        };
        let late = |_: &Record| {
            let report = Material::of(self.store.as_ref(), &head.run).ok().and_then(|of| RunReport::of(&of))?;
            let took = report.drill.as_ref().and_then(|drill| u64::try_from(drill.rto?.total_ms).ok());
            let took = took.unwrap_or(report.times.total_ms);
            (report.times.rto_kept == Some(false)).then(|| took.saturating_sub(report.times.rto_ms.unwrap_or(0)))
        };
        let mut found = if live { events(&head.run, &head.playbook, &records, late) } else { Vec::new() };
        found.retain(|event| event.at >= begin);
        let after = Seen { records: from + records.len() as u64, playbook: head.playbook.clone(), live };
        let key = format!("{SEEN}{}", head.run);
        let mut writes = vec![match known {
            Some(document) => Write::replace(KIND, document, body(&after)),
            None => Write::create(KIND, key, body(&after)),
        }];
        for (number, event) in found.iter().enumerate() {
            let seq = event.id.split('-').nth(1).and_then(|seq| seq.parse::<u64>().ok()).unwrap_or(0);
            for hook in self.config.hooks.iter().filter(|hook| hook.wants(event.kind)) {
                let key = format!("{WAIT}{}/{}/{seq:012}-{number:04}", hook.name, head.run);
                let message = Message { event: event.clone(), since: now, tries: 0, next: now, error: String::new() };
                writes.push(Write::create(KIND, key, body(&message)));
            }
        }
        self.store.write_documents(&writes, now)?;
        Ok(writes.len() - 1)
    }

    /// Sends what is due: of each run the oldest first, and nothing after one that its receiver does not have yet.
    fn deliver(&self, now: Timestamp, turn: &mut Turn) -> Result<(), StoreError> {
        let mut held: BTreeSet<String> = BTreeSet::new();
        let mut down: BTreeSet<&str> = BTreeSet::new();
        let documents = self.store.documents(KIND, &Query::prefix(WAIT))?;
        for document in &documents {
            let mut message: Message = read(document)?;
            let name = document.key[WAIT.len()..].split('/').next().unwrap_or_default();
            let place = document.key.rsplit_once('/').map_or(document.key.as_str(), |(place, _)| place);
            let hook = self.config.hooks.iter().find(|hook| hook.name == name);
            if turn.sent >= MOST || held.contains(place) || message.next > now || down.contains(name) {
                held.insert(place.to_owned());
                turn.waiting += 1;
                continue;
            }
            let outcome = match hook {
                Some(hook) => self.sender.send(hook, &message.event, now),
                None => Err("it is in the file no more".to_owned()),
            };
            let Err(why) = outcome else {
                self.store.write_documents(&[Write::remove(KIND, document)], now)?;
                turn.sent += 1;
                continue;
            };
            message.error = why;
            message.tries += 1;
            let told = format!("{name}: {}: {}", message.event.id, message.error);
            if millis(message.since, now) >= u64::try_from(PATIENCE.as_millis()).unwrap_or(u64::MAX) {
                let key = document.key.replacen(WAIT, LOST, 1);
                let lost = Write::create(KIND, key, body(&message));
                self.store.write_documents(&[Write::remove(KIND, document), lost], now)?;
                turn.lost.push(told);
                continue;
            }
            let wait = Duration::from_secs(1 << message.tries.min(12)).min(LONGEST_WAIT);
            message.next = now.saturating_add(wait).unwrap_or(now);
            self.store.write_documents(&[Write::replace(KIND, document, body(&message))], now)?;
            turn.failed.push(told);
            turn.waiting += 1;
            held.insert(place.to_owned());
            // The next to the same receiver would wait as long for it.
            if let Some(hook) = hook {
                down.insert(&hook.name);
            }
        }
        Ok(())
    }
}
