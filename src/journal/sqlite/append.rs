//! Appends to the database: many runs in one transaction, each fenced on its own.

use std::path::Path;

use rusqlite::Connection;

use super::fault::Fault;
use super::head::{self, Places};
use super::reserve::{Reserve, begins_something};
use crate::journal::chain;
use crate::journal::store::{Append, StoreError};
use crate::model::Timestamp;

/// How an instant is stored: nanoseconds since 1970, to the year 2262.
pub(super) fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(if at < Timestamp::UNIX_EPOCH { i64::MIN } else { i64::MAX })
}

/// Commits these appends together and durably. One that is fenced or does not follow fails alone; a fault of the database
/// fails all, except that on a full disk the reserve is given up first.
pub(super) fn commit(
    db: &Connection,
    places: &mut Places,
    path: &Path,
    reserve: &Reserve,
    appends: &[Append],
) -> Vec<Result<(), StoreError>> {
    let tell_all = |fault: Fault| appends.iter().map(|_| Err(fault.clone().into())).collect();
    let first_try = if reserve.is_kept() { write(db, places, path, appends, false) } else { Err(Fault::full(path)) };
    let fault = match first_try {
        Ok(results) => return results,
        Err(fault) => fault,
    };
    if !fault.is_full() {
        return tell_all(fault);
    }
    let gave = reserve.give_up();
    match write(db, places, path, appends, !gave) {
        Ok(results) => results,
        Err(fault) => tell_all(fault),
    }
}

fn write(
    db: &Connection,
    places: &mut Places,
    path: &Path,
    appends: &[Append],
    outcomes_only: bool,
) -> Result<Vec<Result<(), StoreError>>, Fault> {
    let sql = |error: rusqlite::Error| Fault::of("append records", path, &error);
    run(db, "BEGIN IMMEDIATE").map_err(sql)?;
    let written = appends
        .iter()
        .map(|append| if outcomes_only { one_outcome(db, places, path, append) } else { one(db, places, append) })
        .collect::<Result<Vec<_>, rusqlite::Error>>();
    match written.and_then(|results| run(db, "COMMIT").map(|()| results)) {
        Ok(results) => Ok(results),
        Err(error) => {
            // SQLite may have rolled back by itself already.
            let _ = db.execute_batch("ROLLBACK");
            places.clear();
            Err(sql(error))
        }
    }
}

pub(super) fn run(connection: &Connection, statement: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached(statement)?.execute([]).map(|_| ())
}

/// Writes one append. One that is refused leaves nothing behind, so it needs no savepoint.
fn one(db: &Connection, places: &mut Places, append: &Append) -> Result<Result<(), StoreError>, rusqlite::Error> {
    let place = match head::find(db, places, append)? {
        Ok(place) => place,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let mut newest = place.newest();
    if !append.lines.is_empty() {
        let insert = "INSERT INTO batch (run, prev, first_seq, count, hash, body) VALUES (?, ?, ?, ?, ?, ?)";
        let (count, body) = (append.lines.len(), append.lines.join("\n"));
        let row = (place.key(), newest, append.first_seq, count, &append.hash[..], body);
        db.prepare_cached(insert)?.execute(row)?;
        newest = Some(db.last_insert_rowid());
    }
    place.advance(db, append, newest)?;
    for blob in &append.blobs {
        let insert = "INSERT INTO blob (digest, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING";
        db.prepare_cached(insert)?.execute((&blob.digest, &blob.bytes))?;
    }
    for id in &append.consumed {
        db.prepare_cached("DELETE FROM inbox WHERE id = ? AND run = ?")?.execute((id, place.key()))?;
    }
    Ok(Ok(()))
}

/// Writes an append on a full disk: its outcomes are kept, and from the first record on that begins something it is refused.
/// The records kept are a whole, hash chain and all; the run goes on from there when it is resumed.
fn one_outcome(
    db: &Connection,
    places: &mut Places,
    path: &Path,
    append: &Append,
) -> Result<Result<(), StoreError>, rusqlite::Error> {
    let keep = append.lines.iter().position(|line| begins_something(line)).unwrap_or(append.lines.len());
    if keep == append.lines.len() {
        return one(db, places, append);
    }
    let full = || Ok(Err(Fault::full(path).into()));
    if keep == 0 {
        return full();
    }
    let place = match head::find(db, places, append)? {
        Ok(place) => place,
        Err(refusal) => return Ok(Err(refusal)),
    };
    let (status, detail) = place.shown();
    let kept = Append {
        lines: append.lines[..keep].to_vec(),
        blobs: append.blobs.iter().filter(|blob| blob.seq < append.first_seq + keep as u64).cloned().collect(),
        hash: chain::fold_all(&place.hash(), append.lines[..keep].iter().map(String::as_str)),
        consumed: Vec::new(),
        status: status.unwrap_or(append.status),
        detail: detail.to_owned(),
        ..append.clone()
    };
    match one(db, places, &kept)? {
        Ok(()) => full(),
        refused => Ok(refused),
    }
}
