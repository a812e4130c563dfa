//! The writer of one run's journal: numbers, redacts, encodes and hashes facts, and makes them durable in batches.

use std::sync::Arc;

use super::record::{Fact, Record};
use super::store::{Append, Head, Store, StoreError, Taken};
use super::{apart, chain, redact};
use crate::model::secret::Redactor;
use crate::model::status::RunStatus;
use crate::model::{RunId, Timestamp};

/// Writes the journal of a run that this process holds.
///
/// # Guarantees
/// What [`RunJournal::commit`] has returned `Ok` for is durable. After it has once returned an error, nothing is written
/// any more: what the store holds then is known only to whoever loads it anew.
pub struct RunJournal {
    store: Arc<dyn Store>,
    redactor: Arc<Redactor>,
    run: RunId,
    epoch: u64,
    next_seq: u64,
    hash: chain::Hash,
    latest: Timestamp,
    lines: Vec<String>,
    blobs: Vec<apart::Blob>,
    shown: Option<(RunStatus, String)>,
    poison: Option<String>,
}

impl RunJournal {
    /// Stores a new run and takes it: a journal without records, whose first is to be [`Fact::RunStarted`]. A run that never
    /// gets its first record is not listed.
    ///
    /// # Errors
    /// When the store cannot be written or the id exists.
    pub fn create(store: Arc<dyn Store>, redactor: Arc<Redactor>, head: &Head) -> Result<Self, StoreError> {
        store.create(head)?;
        match store.take(&head.run)? {
            Taken::Yes { epoch } => Ok(Self {
                store,
                redactor,
                run: head.run.clone(),
                epoch,
                next_seq: 0,
                hash: chain::START,
                latest: head.started,
                lines: Vec::new(),
                blobs: Vec::new(),
                shown: None,
                poison: None,
            }),
            Taken::HeldBy(_) | Taken::Stale(_) => Err(StoreError::Fenced { run: head.run.clone(), epoch: 0 }),
        }
    }

    /// Opens the journal of a run that was taken under this epoch, with all its records, verified.
    ///
    /// # Errors
    /// When it cannot be read, is damaged, or was written by a later version.
    pub fn open(
        store: Arc<dyn Store>,
        redactor: Arc<Redactor>,
        run: RunId,
        epoch: u64,
    ) -> Result<(Self, Vec<Record>), StoreError> {
        let (records, hash) = apart::journal(store.as_ref(), &run)?;
        let journal = Self {
            store,
            redactor,
            run,
            epoch,
            next_seq: records.len() as u64,
            hash,
            latest: records.last().map_or(Timestamp::MIN, |record| record.at),
            lines: Vec::new(),
            blobs: Vec::new(),
            shown: None,
            poison: None,
        };
        Ok((journal, records))
    }

    /// Adds a fact. The record returned is what a later reader will decode, secrets taken out. It is durable only after
    /// [`RunJournal::commit`].
    pub fn push(&mut self, fact: Fact, at: Timestamp) -> Record {
        self.latest = self.latest.max(at);
        let mut record = Record { seq: self.next_seq, at: self.latest, epoch: self.epoch, fact };
        redact::scrub(&self.redactor, &mut record);
        let (line, blobs) = apart::encode(&mut record);
        self.blobs.extend(blobs);
        self.hash = chain::fold(&self.hash, &line);
        self.next_seq += 1;
        self.lines.push(line);
        record
    }

    /// Makes everything pushed durable, together with what the list of runs shows and the inbox entries answered. Costs
    /// nothing when there is nothing new.
    ///
    /// # Errors
    /// Whatever the store said, and [`StoreError::Stopped`] ever after. The run must make no effect then.
    pub fn commit(&mut self, consumed: &[i64], status: RunStatus, detail: &str) -> Result<(), StoreError> {
        if let Some(why) = &self.poison {
            return Err(StoreError::Stopped { run: self.run.clone(), why: why.clone() });
        }
        let shown = self.shown.as_ref().is_some_and(|(old, text)| *old == status && text == detail);
        if self.lines.is_empty() && consumed.is_empty() && shown {
            return Ok(());
        }
        let lines = std::mem::take(&mut self.lines);
        let detail = self.redactor.scrub(detail).into_owned();
        let append = Append {
            run: self.run.clone(),
            epoch: self.epoch,
            first_seq: self.next_seq - lines.len() as u64,
            lines,
            blobs: std::mem::take(&mut self.blobs),
            hash: self.hash,
            consumed: consumed.to_vec(),
            status,
            detail: detail.clone(),
            updated: self.latest,
        };
        self.store.append(append).inspect_err(|error| self.poison = Some(error.to_string()))?;
        self.shown = Some((status, detail));
        Ok(())
    }

    /// Records pushed and not yet durable.
    #[must_use]
    pub fn buffered(&self) -> usize {
        self.lines.len()
    }

    /// Bytes of the records pushed and not yet durable, with what they keep apart.
    #[must_use]
    pub fn buffered_bytes(&self) -> usize {
        self.lines.iter().map(String::len).chain(self.blobs.iter().map(|blob| blob.bytes.len())).sum()
    }

    /// Records so far, durable or not.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.next_seq
    }

    /// The run.
    #[must_use]
    pub fn run(&self) -> &RunId {
        &self.run
    }

    /// The epoch under which it is held.
    #[must_use]
    pub fn epoch(&self) -> u64 {
        self.epoch
    }

    /// Gives the run up, so that another may take it at once. What was not committed is lost.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn release(self) -> Result<(), StoreError> {
        self.store.release(&self.run, self.epoch)
    }
}
