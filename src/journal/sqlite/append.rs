//! Appends to the database: many runs in one transaction, each fenced on its own.

use std::path::Path;

use rusqlite::Connection;

use super::fault::Fault;
use super::reserve::{Reserve, begins_something};
use crate::journal::chain;
use crate::journal::memory::check;
use crate::journal::store::{Append, StoreError};
use crate::model::Timestamp;

/// How an instant is stored: nanoseconds since 1970, to the year 2262.
pub(super) fn nanos(at: Timestamp) -> i64 {
    i64::try_from(at.as_nanosecond()).unwrap_or(if at < Timestamp::UNIX_EPOCH { i64::MIN } else { i64::MAX })
}

/// Commits these appends together and durably. One that is fenced or does not follow fails alone; a fault of the database
/// fails all, except that on a full disk the reserve is given up first.
pub(super) fn commit(
    connection: &Connection,
    path: &Path,
    reserve: &Reserve,
    appends: &[Append],
) -> Vec<Result<(), StoreError>> {
    let tell_all = |fault: Fault| appends.iter().map(|_| Err(fault.clone().into())).collect();
    let first_try = if reserve.is_kept() { write(connection, path, appends, false) } else { Err(Fault::full(path)) };
    let fault = match first_try {
        Ok(results) => return results,
        Err(fault) => fault,
    };
    if !fault.is_full() {
        return tell_all(fault);
    }
    let gave = reserve.give_up();
    match write(connection, path, appends, !gave) {
        Ok(results) => results,
        Err(fault) => tell_all(fault),
    }
}

fn write(
    connection: &Connection,
    path: &Path,
    appends: &[Append],
    outcomes_only: bool,
) -> Result<Vec<Result<(), StoreError>>, Fault> {
    let sql = |error: rusqlite::Error| Fault::of("append records", path, &error);
    run(connection, "BEGIN IMMEDIATE").map_err(sql)?;
    let written = appends
        .iter()
        .map(|append| if outcomes_only { one_outcome(connection, path, append) } else { one(connection, append) })
        .collect::<Result<Vec<_>, rusqlite::Error>>();
    match written.and_then(|results| run(connection, "COMMIT").map(|()| results)) {
        Ok(results) => Ok(results),
        Err(error) => {
            // SQLite may have rolled back by itself already.
            let _ = connection.execute_batch("ROLLBACK");
            Err(sql(error))
        }
    }
}

pub(super) fn run(connection: &Connection, statement: &str) -> Result<(), rusqlite::Error> {
    connection.prepare_cached(statement)?.execute([]).map(|_| ())
}

/// Writes one append. Whatever is wrong with it shows before its first write, so it needs no savepoint.
fn one(connection: &Connection, append: &Append) -> Result<Result<(), StoreError>, rusqlite::Error> {
    let mut find = connection.prepare_cached("SELECT key, epoch, records, last FROM run WHERE id = ?")?;
    let mut rows = find.query([append.run.as_str()])?;
    let Some(row) = rows.next()? else { return Ok(Err(StoreError::NoSuchRun(append.run.to_string()))) };
    let (key, epoch, records, last): (i64, u64, u64, Option<i64>) =
        (row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?);
    drop(rows);
    if let Err(refusal) = check(append, epoch, records) {
        return Ok(Err(refusal));
    }
    let mut newest = last;
    if !append.lines.is_empty() {
        let insert = "INSERT INTO batch (run, prev, first_seq, count, hash, body) VALUES (?, ?, ?, ?, ?, ?)";
        let body = append.lines.join("\n");
        let count = append.lines.len();
        connection.prepare_cached(insert)?.execute((key, last, append.first_seq, count, &append.hash[..], body))?;
        newest = Some(connection.last_insert_rowid());
    }
    let update = "UPDATE run SET status = ?, detail = ?, updated = ?, records = ?, hash = ?, last = ? WHERE key = ?";
    connection.prepare_cached(update)?.execute((
        append.status.as_str(),
        &append.detail,
        nanos(append.updated),
        records + append.lines.len() as u64,
        &append.hash[..],
        newest,
        key,
    ))?;
    for id in &append.consumed {
        connection.prepare_cached("DELETE FROM inbox WHERE id = ? AND run = ?")?.execute((id, key))?;
    }
    Ok(Ok(()))
}

/// Writes an append on a full disk: its outcomes are kept, and from the first record on that begins something it is refused.
/// The records kept are a whole, hash chain and all; the run goes on from there when it is resumed.
fn one_outcome(
    connection: &Connection,
    path: &Path,
    append: &Append,
) -> Result<Result<(), StoreError>, rusqlite::Error> {
    let keep = append.lines.iter().position(|line| begins_something(line)).unwrap_or(append.lines.len());
    if keep == append.lines.len() {
        return one(connection, append);
    }
    let full = || Ok(Err(Fault::full(path).into()));
    if keep == 0 {
        return full();
    }
    let before = "SELECT hash, status, detail FROM run WHERE id = ?";
    let found = connection.prepare_cached(before)?.query_row([append.run.as_str()], |row| {
        Ok((row.get::<_, [u8; 32]>(0)?, row.get::<_, String>(1)?, row.get::<_, String>(2)?))
    });
    let Ok((hash, status, detail)) = found else { return full() };
    let kept = Append {
        lines: append.lines[..keep].to_vec(),
        hash: chain::fold_all(&hash, append.lines[..keep].iter().map(String::as_str)),
        consumed: Vec::new(),
        status: super::read::status(&status).unwrap_or(append.status),
        detail,
        ..append.clone()
    };
    match one(connection, &kept)? {
        Ok(()) => full(),
        refused => Ok(refused),
    }
}
