//! A store in memory: for the sandbox, for plans, and for tests that stop the engine at every record.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use parking_lot::Mutex;
use sha2::{Digest, Sha256};

use super::document::{Document, Expect, Query, Write};
use super::selection::{Life, Selection, Wanting};
use super::store::{Append, Head, Holder, Lines, Store, StoreError, Taken};
use super::{chain, handover};
use crate::model::command::Command;
use crate::model::status::RunStatus;
use crate::model::{RunId, Timestamp};

/// Keeps everything in memory, under the same contract as the durable store.
pub struct MemoryStore {
    content: Arc<Mutex<Content>>,
    holder: Holder,
}

#[derive(Default)]
struct Content {
    runs: BTreeMap<RunId, Run>,
    blobs: BTreeMap<String, Vec<u8>>,
    bundles: Vec<(String, String, String, Timestamp)>,
    documents: BTreeMap<(String, String), Document>,
    written: u64,
    alive: BTreeSet<String>,
    frozen: BTreeSet<String>,
    holders: u64,
    posted: i64,
    appended: u64,
    stop_at: Option<u64>,
    stopped: bool,
}

#[derive(Clone)]
struct Run {
    head: Head,
    lines: Vec<String>,
    hash: chain::Hash,
    inbox: Vec<Entry>,
    /// What the head showed after how many records: a copy of a prefix shows what was shown then.
    shown: Vec<(u64, RunStatus, String, Timestamp)>,
}

#[derive(Clone)]
struct Entry {
    id: i64,
    command: Command,
    /// How many records the run had when it was posted, and when it was answered.
    posted_at: u64,
    answered_at: Option<u64>,
}

impl Default for MemoryStore {
    fn default() -> Self {
        Self::over(Arc::default())
    }
}

impl Drop for MemoryStore {
    fn drop(&mut self) {
        self.content.lock().alive.remove(&self.holder.id);
    }
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    fn over(content: Arc<Mutex<Content>>) -> Self {
        let mut inner = content.lock();
        inner.holders += 1;
        let id = format!("memory-{}", inner.holders);
        inner.alive.insert(id.clone());
        drop(inner);
        let holder = Holder {
            id,
            pid: std::process::id(),
            pid_start: 0,
            boot_id: String::new(),
            who: "this process".to_owned(),
        };
        Self { content, holder }
    }

    /// Another holder of the same content, as another process would be.
    #[must_use]
    pub fn beside(&self) -> Self {
        Self::over(Arc::clone(&self.content))
    }

    /// Simulates a crash: after this many more records, the append that would go beyond stores nothing and fails, and so does
    /// every write after it.
    pub fn stop_after(&self, records: u64) {
        let mut content = self.content.lock();
        content.stop_at = Some(content.appended + records);
    }

    /// Simulates that this holder's process is stopped: it lives, and is stale to others.
    pub fn freeze(&self) {
        self.content.lock().frozen.insert(self.holder.id.clone());
    }

    /// Whether the simulated crash comes with the next append, or has come.
    #[must_use]
    pub fn is_at_its_stop(&self) -> bool {
        let content = self.content.lock();
        content.stopped || content.stop_at == Some(content.appended)
    }

    /// Whether the simulated crash has happened.
    #[must_use]
    pub fn stopped(&self) -> bool {
        self.content.lock().stopped
    }

    /// Records of all runs so far.
    #[must_use]
    pub fn appended(&self) -> u64 {
        self.content.lock().appended
    }

    /// What is durable, in a store of its own where nobody holds anything: what the next process finds after a crash.
    #[must_use]
    pub fn survivor(&self) -> Self {
        let content = self.content.lock();
        let mut copy = Content {
            runs: content.runs.clone(),
            blobs: content.blobs.clone(),
            bundles: content.bundles.clone(),
            documents: content.documents.clone(),
            written: content.written,
            posted: content.posted,
            appended: content.appended,
            ..Content::default()
        };
        for run in copy.runs.values_mut() {
            run.head.holder = None;
        }
        drop(content);
        // Holder names go on counting, so that the dead one's is not given again.
        copy.holders = 1000;
        Self::over(Arc::new(Mutex::new(copy)))
    }

    /// Like [`MemoryStore::survivor`], but of this run only the first `records` records ever became durable: its inbox and
    /// what the list shows are as they were then.
    #[must_use]
    pub fn prefix(&self, run: &RunId, records: u64) -> Self {
        let copy = self.survivor();
        let mut content = copy.content.lock();
        if let Some(kept) = content.runs.get_mut(run) {
            let keep = usize::try_from(records).unwrap_or(usize::MAX);
            kept.lines.truncate(keep);
            kept.hash = chain::fold_all(&chain::START, kept.lines.iter().map(String::as_str));
            kept.head.records = kept.lines.len() as u64;
            kept.shown.retain(|(after, ..)| *after <= records);
            let (status, detail, updated) = kept
                .shown
                .last()
                .map_or((RunStatus::Running, String::new(), kept.head.started), |(_, s, d, u)| (*s, d.clone(), *u));
            (kept.head.status, kept.head.detail, kept.head.updated) = (status, detail, updated);
            kept.inbox.retain(|entry| entry.posted_at <= records);
            for entry in &mut kept.inbox {
                entry.answered_at = entry.answered_at.filter(|answered| *answered <= records);
            }
        }
        drop(content);
        copy
    }

    fn write(&self) -> Result<parking_lot::MutexGuard<'_, Content>, StoreError> {
        let content = self.content.lock();
        if content.stopped { Err(crash()) } else { Ok(content) }
    }
}

fn crash() -> StoreError {
    StoreError::Database {
        act: "write",
        path: "memory".to_owned(),
        what: "it was stopped on purpose, to simulate a crash".to_owned(),
    }
}

impl Content {
    fn run(&self, run: &RunId) -> Result<&Run, StoreError> {
        self.runs.get(run).ok_or_else(|| StoreError::NoSuchRun(run.to_string()))
    }

    /// Whether this store goes on with a run.
    fn is_ours(&self, run: &RunId) -> Result<(), StoreError> {
        let over = self.documents.get(&(handover::KIND.to_owned(), run.to_string()));
        over.map_or(Ok(()), |document| Err(handover::refusal(run, document)))
    }

    fn run_mut(&mut self, run: &RunId) -> Result<&mut Run, StoreError> {
        self.runs.get_mut(run).ok_or_else(|| StoreError::NoSuchRun(run.to_string()))
    }

    fn life(&self, holder: &Holder, ours: &Holder) -> Life {
        match (self.alive.contains(&holder.id), self.frozen.contains(&holder.id)) {
            _ if holder.id == ours.id => Life::Ours,
            (false, _) => Life::Dead,
            (true, false) => Life::Fresh,
            (true, true) => Life::Stale,
        }
    }

    fn head(&self, run: &Run) -> Head {
        let mut head = run.head.clone();
        head.holder = head.holder.filter(|holder| self.alive.contains(&holder.id));
        head
    }
}

/// Checks an append against what is stored; the same words in every store.
pub(super) fn check(append: &Append, epoch: u64, records: u64) -> Result<(), StoreError> {
    if append.epoch != epoch {
        return Err(StoreError::Fenced { run: append.run.clone(), epoch: append.epoch });
    }
    if append.first_seq != records {
        let what = format!("the next record would be {}, and {records} are stored", append.first_seq);
        return Err(StoreError::Damaged { run: append.run.clone(), seq: records, what });
    }
    Ok(())
}

/// Which of these runs is meant: the rules of [`Store::resolve`], for every store. Newest first.
pub(super) fn choose(text: &str, newest_first: Vec<RunId>) -> Result<RunId, StoreError> {
    let none = || StoreError::NoSuchRun(text.to_owned());
    if text == "@latest" {
        return newest_first.into_iter().next().ok_or_else(none);
    }
    let mut fits: Vec<RunId> =
        newest_first.into_iter().filter(|run| !text.is_empty() && run.as_str().starts_with(text)).collect();
    if fits.len() > 1 {
        let candidates = fits.iter().map(RunId::to_string).collect();
        return Err(StoreError::Ambiguous { text: text.to_owned(), candidates });
    }
    fits.pop().ok_or_else(none)
}

/// The name under which bytes are stored: their SHA-256 in hex.
#[must_use]
pub fn digest_of(bytes: &[u8]) -> String {
    Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect()
}

impl Store for MemoryStore {
    fn create(&self, head: &Head) -> Result<(), StoreError> {
        let mut content = self.write()?;
        if let Some(there) = content.runs.get_mut(&head.run) {
            if there.head.records > 0 {
                let what = format!("there is a run {} already", head.run);
                return Err(StoreError::Database { act: "store a new run", path: "memory".to_owned(), what });
            }
            // Whoever stored it died before its first record, or is about to write it and holds it.
            there.head = Head {
                records: 0,
                epoch: there.head.epoch.max(head.epoch),
                holder: there.head.holder.clone(),
                ..head.clone()
            };
            return Ok(());
        }
        let head = Head { records: 0, holder: None, ..head.clone() };
        let run = Run { head, lines: Vec::new(), hash: chain::START, inbox: Vec::new(), shown: Vec::new() };
        content.runs.insert(run.head.run.clone(), run);
        Ok(())
    }

    fn append(&self, append: Append) -> Result<(), StoreError> {
        let mut content = self.write()?;
        let run = content.run(&append.run)?;
        check(&append, run.head.epoch, run.head.records)?;
        let count = append.lines.len() as u64;
        if content.stop_at.is_some_and(|stop| content.appended + count > stop) {
            content.stopped = true;
            return Err(crash());
        }
        content.appended += count;
        for blob in append.blobs {
            content.blobs.entry(blob.digest).or_insert(blob.bytes);
        }
        let run = content.run_mut(&append.run)?;
        run.lines.extend(append.lines);
        run.hash = append.hash;
        let head = &mut run.head;
        head.records += count;
        for entry in run.inbox.iter_mut().filter(|entry| append.consumed.contains(&entry.id)) {
            entry.answered_at.get_or_insert(head.records);
        }
        run.shown.push((head.records, append.status, append.detail.clone(), append.updated));
        (head.status, head.detail, head.updated) = (append.status, append.detail, append.updated);
        Ok(())
    }

    fn load(&self, run: &RunId) -> Result<Lines, StoreError> {
        let content = self.content.lock();
        let stored = content.run(run)?;
        let lines = Lines { lines: stored.lines.clone(), hash: stored.hash };
        drop(content);
        if chain::fold_all(&chain::START, lines.lines.iter().map(String::as_str)) != lines.hash {
            let what = "the hash chain does not end as the store says".to_owned();
            return Err(StoreError::Damaged { run: run.clone(), seq: 0, what });
        }
        Ok(lines)
    }

    fn tail(&self, run: &RunId, from_seq: u64) -> Result<Vec<String>, StoreError> {
        let content = self.content.lock();
        let from = usize::try_from(from_seq).unwrap_or(usize::MAX);
        Ok(content.run(run)?.lines.get(from..).unwrap_or_default().to_vec())
    }

    fn first(&self, run: &RunId) -> Result<Option<String>, StoreError> {
        Ok(self.content.lock().run(run)?.lines.first().cloned())
    }

    fn heads(&self) -> Result<Vec<Head>, StoreError> {
        let content = self.content.lock();
        let mut heads: Vec<Head> =
            content.runs.values().filter(|run| run.head.records > 0).map(|run| content.head(run)).collect();
        heads.sort_by(|a, b| b.started.cmp(&a.started).then_with(|| b.run.cmp(&a.run)));
        Ok(heads)
    }

    fn select(&self, of: &Selection) -> Result<Vec<Head>, StoreError> {
        let taken = self.heads()?.into_iter().filter(|head| of.takes(head));
        Ok(taken.take(of.limit.unwrap_or(usize::MAX)).collect())
    }

    fn playbooks(&self) -> Result<Vec<String>, StoreError> {
        let names: BTreeSet<String> = self.heads()?.into_iter().map(|head| head.playbook).collect();
        Ok(names.into_iter().collect())
    }

    fn count(&self) -> Result<Vec<(RunStatus, u64)>, StoreError> {
        let mut counted = BTreeMap::<RunStatus, u64>::new();
        for head in self.heads()? {
            *counted.entry(head.status).or_default() += 1;
        }
        Ok(counted.into_iter().collect())
    }

    fn wanting(&self) -> Result<Wanting, StoreError> {
        let content = self.content.lock();
        let mut found = Wanting::default();
        for run in content.runs.values().filter(|run| !run.head.status.is_terminal()) {
            match &run.head.holder {
                Some(holder) if matches!(content.life(holder, &self.holder), Life::Dead | Life::Stale) => {
                    found.abandoned.push(run.head.run.clone());
                }
                None if run.inbox.iter().any(|entry| entry.answered_at.is_none()) => {
                    found.ordered.push(run.head.run.clone());
                }
                _ => {}
            }
        }
        Ok(found)
    }

    fn head(&self, run: &RunId) -> Result<Head, StoreError> {
        let content = self.content.lock();
        Ok(content.head(content.run(run)?))
    }

    fn resolve(&self, text: &str) -> Result<RunId, StoreError> {
        choose(text, self.heads()?.into_iter().map(|head| head.run).collect())
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<String, StoreError> {
        let digest = digest_of(bytes);
        self.write()?.blobs.entry(digest.clone()).or_insert_with(|| bytes.to_vec());
        Ok(digest)
    }

    fn blob(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        let content = self.content.lock();
        content.blobs.get(digest).cloned().ok_or_else(|| StoreError::NoSuchBlob(digest.to_owned()))
    }

    fn remember_bundle(&self, playbook: &str, version: &str, digest: &str, at: Timestamp) -> Result<(), StoreError> {
        let mut content = self.write()?;
        if !content
            .bundles
            .iter()
            .any(|(p, v, d, _)| (p.as_str(), v.as_str(), d.as_str()) == (playbook, version, digest))
        {
            content.bundles.push((playbook.to_owned(), version.to_owned(), digest.to_owned(), at));
        }
        Ok(())
    }

    fn bundles(&self, playbook: &str) -> Result<Vec<(String, String, Timestamp)>, StoreError> {
        let content = self.content.lock();
        let known = content.bundles.iter().filter(|(name, ..)| name == playbook);
        Ok(known.map(|(_, version, digest, at)| (version.clone(), digest.clone(), *at)).collect())
    }

    fn post(&self, run: &RunId, command: &Command) -> Result<i64, StoreError> {
        let mut content = self.write()?;
        content.run(run)?;
        content.is_ours(run)?;
        content.posted += 1;
        let id = content.posted;
        let run = content.run_mut(run)?;
        let posted_at = run.head.records;
        run.inbox.push(Entry { id, command: command.clone(), posted_at, answered_at: None });
        Ok(id)
    }

    fn inbox(&self, run: &RunId) -> Result<Vec<(i64, Command)>, StoreError> {
        let content = self.content.lock();
        let open = content.run(run)?.inbox.iter().filter(|entry| entry.answered_at.is_none());
        Ok(open.map(|entry| (entry.id, entry.command.clone())).collect())
    }

    fn inbox_runs(&self) -> Result<Vec<RunId>, StoreError> {
        let content = self.content.lock();
        let ours = content.runs.values().filter(|run| {
            run.head.holder.as_ref().is_some_and(|holder| holder.id == self.holder.id)
                && run.inbox.iter().any(|entry| entry.answered_at.is_none())
        });
        Ok(ours.map(|run| run.head.run.clone()).collect())
    }

    fn take(&self, run: &RunId) -> Result<Taken, StoreError> {
        let mut content = self.write()?;
        content.is_ours(run)?;
        let held = content.head(content.run(run)?).holder.filter(|holder| holder.id != self.holder.id);
        if let Some(holder) = held {
            let stale = content.frozen.contains(&holder.id);
            return Ok(if stale { Taken::Stale(holder) } else { Taken::HeldBy(holder) });
        }
        let head = &mut content.run_mut(run)?.head;
        head.epoch += 1;
        head.holder = Some(self.holder.clone());
        Ok(Taken::Yes { epoch: head.epoch })
    }

    fn release(&self, run: &RunId, epoch: u64) -> Result<(), StoreError> {
        let mut content = self.write()?;
        let head = &mut content.run_mut(run)?.head;
        if head.epoch == epoch && head.holder.as_ref().is_some_and(|holder| holder.id == self.holder.id) {
            head.holder = None;
        }
        Ok(())
    }

    fn holder(&self) -> Holder {
        self.holder.clone()
    }

    fn enrol(&self) -> Result<(), StoreError> {
        self.write().map(drop)
    }

    fn life(&self, holder: &Holder) -> Life {
        self.content.lock().life(holder, &self.holder)
    }

    fn kill_stale(&self, holder: &Holder) -> Result<(), StoreError> {
        let mut content = self.write()?;
        if content.alive.contains(&holder.id) && !content.frozen.contains(&holder.id) {
            let what = "it is alive and well".to_owned();
            return Err(StoreError::Database { act: "end a holder", path: "memory".to_owned(), what });
        }
        content.alive.remove(&holder.id);
        Ok(())
    }

    fn document(&self, kind: &str, key: &str) -> Result<Option<Document>, StoreError> {
        Ok(self.content.lock().documents.get(&(kind.to_owned(), key.to_owned())).cloned())
    }

    fn documents(&self, kind: &str, query: &Query) -> Result<Vec<Document>, StoreError> {
        let content = self.content.lock();
        let of_kind = content.documents.iter().filter(|((of, key), _)| of == kind && query.takes(key));
        let mut found: Vec<Document> = of_kind.map(|(_, document)| document.clone()).collect();
        if query.newest_first {
            found.reverse();
        }
        found.truncate(query.limit.unwrap_or(usize::MAX));
        Ok(found)
    }

    fn write_documents(&self, writes: &[Write], at: Timestamp) -> Result<(), StoreError> {
        let mut content = self.write()?;
        let mut documents = content.documents.clone();
        let mut version = content.written;
        for Write { kind, key, expect, body } in writes {
            let place = (kind.clone(), key.clone());
            let there = documents.get(&place).map(|document| document.version);
            let as_expected = match expect {
                Expect::Absent => there.is_none(),
                Expect::Version(version) => there == Some(*version),
                Expect::Any => true,
            };
            if !as_expected {
                return Err(StoreError::Conflict { kind: kind.clone(), key: key.clone() });
            }
            match body {
                None => drop(documents.remove(&place)),
                Some(body) => {
                    version += 1;
                    documents.insert(place, Document { key: key.clone(), version, at, body: body.clone() });
                }
            }
        }
        (content.documents, content.written) = (documents, version);
        Ok(())
    }
}
