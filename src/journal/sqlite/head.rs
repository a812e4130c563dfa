//! The head of a run: the row that the list of runs shows, and which pins the journal's end.
//!
//! It is not rewritten with every append, which would double what a commit writes. It is when something that people see changes,
//! when it is a second old, and before the journal is [`REACH`] rows ahead of it. So the newest batch of a run is among the
//! `REACH` rows after the one that its head names, and whatever happens to this process, others find it there.

use std::collections::HashMap;

use rusqlite::{Connection, OptionalExtension};

use super::append::nanos;
use crate::journal::chain::Hash;
use crate::journal::memory::check;
use crate::journal::record::{Fact, Record};
use crate::journal::store::{Append, Head, StoreError};
use crate::model::RunId;
use crate::model::status::RunStatus;

/// How many rows of all runs together may follow the row that a head names before the head is written again. Whoever looks for
/// a journal's end reads no more than these.
pub(super) const REACH: i64 = 4096;

/// How old a head may get while its run goes on, in nanoseconds.
const AGE: i64 = 1_000_000_000;

/// The end of a run's journal, and what its head says, as far as this process knows: saves looking it up for every append.
pub(super) struct Place {
    key: i64,
    epoch: u64,
    /// The newest batch.
    newest: Option<i64>,
    records: u64,
    hash: Hash,
    updated: i64,
    /// The batch that the head names.
    pinned: Option<i64>,
    pinned_at: i64,
    status: String,
    detail: String,
}

/// The places of the runs that this process appends to.
pub(super) type Places = HashMap<RunId, Place>;

/// The newest batch of a run that is further than the one its head names: its key, the number of records up to its end, and its
/// hash.
pub(super) fn beyond(
    db: &Connection,
    run: i64,
    pinned: Option<i64>,
) -> Result<Option<(i64, u64, Vec<u8>)>, rusqlite::Error> {
    // The first append of a run pins it.
    let Some(pinned) = pinned else { return Ok(None) };
    let text = "SELECT key, first_seq + count, hash FROM batch
        WHERE key > ?1 AND key <= ?2 AND run = ?3 ORDER BY key DESC LIMIT 1";
    db.prepare_cached(text)?
        .query_row((pinned, pinned.saturating_add(REACH), run), |row| Ok((row.get(0)?, row.get(1)?, row.get(2)?)))
        .optional()
}

/// The place at which the append is to be written, if it fits there and its epoch is not over.
pub(super) fn find<'p>(
    db: &Connection,
    places: &'p mut Places,
    append: &Append,
) -> Result<Result<&'p mut Place, StoreError>, rusqlite::Error> {
    let stands = match places.get(&append.run) {
        Some(place) if place.epoch == append.epoch && place.records == append.first_seq => {
            let text = "SELECT 1 FROM run WHERE key = ? AND epoch = ? AND last IS ?";
            db.prepare_cached(text)?.exists((place.key, append.epoch, place.pinned))?
        }
        _ => false,
    };
    if !stands {
        match look_up(db, append)? {
            Ok(place) => places.insert(append.run.clone(), place),
            Err(refusal) => {
                places.remove(&append.run);
                return Ok(Err(refusal));
            }
        };
    }
    Ok(places.get_mut(&append.run).ok_or_else(|| StoreError::NoSuchRun(append.run.to_string())))
}

fn look_up(db: &Connection, append: &Append) -> Result<Result<Place, StoreError>, rusqlite::Error> {
    let text = "SELECT key, epoch, last, records, hash, updated, status, detail FROM run WHERE id = ?";
    let found = db.prepare_cached(text)?.query_row([append.run.as_str()], |row| {
        let (pinned, updated) = (row.get(2)?, row.get(5)?);
        Ok(Place {
            key: row.get(0)?,
            epoch: row.get(1)?,
            newest: pinned,
            records: row.get(3)?,
            hash: row.get(4)?,
            updated,
            pinned,
            pinned_at: updated,
            status: row.get(6)?,
            detail: row.get(7)?,
        })
    });
    let Some(mut place) = found.optional()? else {
        return Ok(Err(StoreError::NoSuchRun(append.run.to_string())));
    };
    if let Some((newest, records, hash)) = beyond(db, place.key, place.pinned)? {
        place.newest = Some(newest);
        place.records = records;
        // A hash of another length is a damaged one: nothing can follow it, and whoever loads the run is told so.
        place.hash = hash.try_into().unwrap_or(place.hash);
    }
    Ok(check(append, place.epoch, place.records).map(|()| place))
}

impl Place {
    /// The run's row.
    pub(super) fn key(&self) -> i64 {
        self.key
    }

    /// The newest batch.
    pub(super) fn newest(&self) -> Option<i64> {
        self.newest
    }

    /// The hash after the last record.
    pub(super) fn hash(&self) -> Hash {
        self.hash
    }

    /// What the head shows: the status, if it is one that is known, and the line beside it.
    pub(super) fn shown(&self) -> (Option<RunStatus>, &str) {
        (super::read::status(&self.status), &self.detail)
    }

    /// Goes on to where the append ends, whose batch is the row `newest`; writes the head if it has to be.
    pub(super) fn advance(
        &mut self,
        db: &Connection,
        append: &Append,
        newest: Option<i64>,
    ) -> Result<(), rusqlite::Error> {
        self.records = append.first_seq + append.lines.len() as u64;
        self.hash = append.hash;
        self.updated = nanos(append.updated);
        if self.newest.is_none() && newest.is_some() {
            db.prepare_cached("UPDATE run SET first = ? WHERE key = ?")?.execute((newest, self.key))?;
        }
        self.newest = newest;
        let (ahead, pinned) = (self.newest.unwrap_or(0), self.pinned.unwrap_or(i64::MIN));
        let same = self.status == append.status.as_str() && self.detail == append.detail;
        if same
            && append.status == RunStatus::Running
            && self.updated.saturating_sub(self.pinned_at) < AGE
            && ahead <= pinned.saturating_add(REACH)
        {
            return Ok(());
        }
        if !same {
            append.status.as_str().clone_into(&mut self.status);
            self.detail.clone_from(&append.detail);
            // By itself: a column that is written is written in its indexes too, changed or not.
            let update = "UPDATE run SET status = ?1 WHERE key = ?2 AND status <> ?1";
            db.prepare_cached(update)?.execute((&self.status, self.key))?;
        }
        self.pin(db)
    }

    /// Writes the head, so that it names the journal's end.
    fn pin(&mut self, db: &Connection) -> Result<(), rusqlite::Error> {
        let update = "UPDATE run SET detail = ?, updated = ?, records = ?, hash = ?, last = ? WHERE key = ?";
        let row = (&self.detail, self.updated, self.records, &self.hash[..], self.newest, self.key);
        db.prepare_cached(update)?.execute(row)?;
        (self.pinned, self.pinned_at) = (self.newest, self.updated);
        Ok(())
    }

    /// Writes the head if the journal is ahead of it and the run is still held under the epoch under which that was written.
    pub(super) fn settle(&mut self, db: &Connection) -> Result<(), rusqlite::Error> {
        let text = "SELECT 1 FROM run WHERE key = ? AND epoch = ? AND last IS ?";
        if self.newest != self.pinned && db.prepare_cached(text)?.exists((self.key, self.epoch, self.pinned))? {
            self.pin(db)?;
        }
        Ok(())
    }
}

/// The chain ends in the head's hash, but its status stands beside the chain: whether and how a run has ended is held
/// against its records.
pub(super) fn misjudged(head: &Head, records: &[Record]) -> Option<StoreError> {
    let end = records.iter().rev().find_map(|record| match record.fact {
        Fact::Finished { status, .. } => Some(status),
        _ => None,
    });
    let claimed = head.status.is_terminal().then_some(head.status);
    (claimed != end).then(|| StoreError::Damaged {
        run: head.run.clone(),
        seq: head.records.saturating_sub(1),
        what: format!(
            "the run is listed as {}, and its records say {}",
            head.status.as_str(),
            end.map_or("that it has not ended", RunStatus::as_str)
        ),
    })
}
