//! Reads from the database: heads, and journals with their chain verified.

use std::path::Path;

use rusqlite::types::ValueRef;
use rusqlite::{Connection, OptionalExtension, Row};

use super::fault::Fault;
use super::head::beyond;
use crate::journal::chain;
use crate::journal::store::{Head, Holder, Lines, StoreError};
use crate::model::status::RunStatus;
use crate::model::{RunId, Timestamp};

/// The status with this name.
pub(super) fn status(text: &str) -> Option<RunStatus> {
    RunStatus::ALL.into_iter().find(|status| status.as_str() == text)
}

pub(super) const HEAD: &str =
    "SELECT run.id, playbook, version, bundle, status, detail, started, updated, records, epoch,
    holder.id, pid, pid_start, boot_id, who, run.key, last FROM run LEFT JOIN holder ON holder.key = run.holder";

/// The heads of all runs that have a record, newest first; or of one run, and then with all its records counted. The head of a run that
/// has ended names its last record: there is nothing to look for beyond it.
pub(super) fn heads(connection: &Connection, path: &Path, only: Option<&RunId>) -> Result<Vec<Head>, StoreError> {
    let sql = |error: rusqlite::Error| Fault::of("list the runs", path, &error);
    let text = match only {
        Some(_) => format!("{HEAD} WHERE run.id = ?1"),
        None => format!("{HEAD} WHERE records > 0 AND ?1 IS NULL ORDER BY started DESC, run.id DESC"),
    };
    let mut query = connection.prepare_cached(&text).map_err(sql)?;
    let mut rows = query.query([only.map(RunId::as_str)]).map_err(sql)?;
    let mut heads = Vec::new();
    while let Some(row) = rows.next().map_err(sql)? {
        let mut head = head_of(row, path)?;
        if only.is_some() && !head.status.is_terminal() {
            let further = beyond(connection, row.get(15).map_err(sql)?, row.get(16).map_err(sql)?).map_err(sql)?;
            head.records = further.map_or(head.records, |(_, records, _)| records);
        }
        heads.push(head);
    }
    Ok(heads)
}

/// The head in a row of [`HEAD`].
pub(super) fn head_of(row: &Row<'_>, path: &Path) -> Result<Head, StoreError> {
    let sql = |error: rusqlite::Error| Fault::of("list the runs", path, &error);
    let id: String = row.get(0).map_err(sql)?;
    let found = head(row).map_err(sql)?;
    found.ok_or_else(|| Fault::corrupt(path, format!("the head of run `{id}` makes no sense")).into())
}

fn head(row: &Row<'_>) -> Result<Option<Head>, rusqlite::Error> {
    let (id, state): (String, String) = (row.get(0)?, row.get(4)?);
    let at = |nanos: i64| Timestamp::from_nanosecond(i128::from(nanos)).ok();
    let (Ok(run), Some(status), Some(started), Some(updated)) =
        (id.parse(), status(&state), at(row.get(6)?), at(row.get(7)?))
    else {
        return Ok(None);
    };
    Ok(Some(Head {
        run,
        playbook: row.get(1)?,
        version: row.get(2)?,
        bundle: row.get(3)?,
        status,
        detail: row.get(5)?,
        started,
        updated,
        records: row.get(8)?,
        epoch: row.get(9)?,
        holder: holder(row, 10)?,
    }))
}

/// The holder whose columns begin at `first`, if there is one.
pub(super) fn holder(row: &Row<'_>, first: usize) -> Result<Option<Holder>, rusqlite::Error> {
    let Some(id) = row.get::<_, Option<String>>(first)? else { return Ok(None) };
    Ok(Some(Holder {
        id,
        pid: row.get(first + 1)?,
        pid_start: row.get(first + 2)?,
        boot_id: row.get(first + 3)?,
        who: row.get(first + 4)?,
    }))
}

/// One row of `batch`.
struct Batch {
    first_seq: u64,
    hash: Vec<u8>,
    /// `Err` when the bytes are no text any more.
    lines: Result<Vec<String>, ()>,
}

/// What the head of a run says of its journal, which may go on from there.
struct Pin {
    records: u64,
    hash: Vec<u8>,
}

/// Key, records, hash, newest row and status, as the head says them.
type Said = (i64, u64, Vec<u8>, Option<i64>, String);

/// The batches of a run back to the one that holds `from_seq`, oldest first, and what its head says. `trusting` believes a head that says
/// that the run has ended, and does not look among thousands of rows of others whether something follows the row that it names.
fn batches(
    connection: &Connection,
    path: &Path,
    run: &RunId,
    from_seq: u64,
    trusting: bool,
) -> Result<(Vec<Batch>, Pin), StoreError> {
    let sql = |error: rusqlite::Error| Fault::of("read the journal", path, &error);
    let damaged = |seq: u64, what: String| StoreError::Damaged { run: run.clone(), seq, what };
    // One snapshot: the run may go on meanwhile.
    let tx = connection.unchecked_transaction().map_err(sql)?;
    let found = tx
        .prepare_cached("SELECT key, records, hash, last, status FROM run WHERE id = ?")
        .and_then(|mut query| {
            let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?, row.get(4)?));
            query.query_row([run.as_str()], read).optional()
        })
        .map_err(sql)?;
    let Some((key, records, hash, last, said)): Option<Said> = found else {
        return Err(StoreError::NoSuchRun(run.to_string()));
    };
    let over = trusting && status(&said).is_some_and(RunStatus::is_terminal);
    let further = if over { None } else { beyond(&tx, key, last).map_err(sql)? };
    let mut backwards = Vec::new();
    let (mut place, mut expected_end) = match further {
        Some((newest, end, _)) => (Some(newest), end),
        None => (last, records),
    };
    let text = "SELECT run, prev, first_seq, count, hash, body FROM batch WHERE key = ?";
    let mut query = tx.prepare_cached(text).map_err(sql)?;
    while let Some(at) = place {
        if expected_end <= from_seq {
            break;
        }
        let mut rows = query.query([at]).map_err(sql)?;
        let Some(row) = rows.next().map_err(sql)? else {
            return Err(damaged(expected_end.saturating_sub(1), "records are missing".to_owned()));
        };
        let (owner, prev, first_seq, count) = (|| {
            Ok((row.get::<_, i64>(0)?, row.get::<_, Option<i64>>(1)?, row.get::<_, u64>(2)?, row.get::<_, u64>(3)?))
        })()
        .map_err(sql)?;
        // Going strictly back also ends a chain that was bent into a ring.
        if owner != key || prev.is_some_and(|prev| prev >= at) || first_seq.checked_add(count) != Some(expected_end) {
            return Err(damaged(
                expected_end.saturating_sub(1),
                "the records there do not follow on each other".to_owned(),
            ));
        }
        // On its way back it comes by the row that the head names.
        let passes = at > last.unwrap_or(0) && prev.is_none_or(|prev| Some(prev) < last);
        if passes || (Some(at) == last && expected_end != records) {
            return Err(damaged(
                records.saturating_sub(1),
                "they are not those that the head of the run names".to_owned(),
            ));
        }
        let body = match row.get_ref(5).map_err(sql)? {
            ValueRef::Text(bytes) => String::from_utf8(bytes.to_vec()).map_err(|_| ()),
            _ => Err(()),
        };
        let lines = body.map(|body| body.split('\n').map(str::to_owned).collect::<Vec<_>>());
        if let Ok(lines) = &lines
            && lines.len() as u64 != count
        {
            return Err(damaged(first_seq, format!("{count} records were written there, and {} are", lines.len())));
        }
        let hash = row.get(4).map_err(sql)?;
        backwards.push(Batch { first_seq, hash, lines });
        (place, expected_end) = (prev, first_seq);
    }
    if expected_end > from_seq {
        return Err(damaged(expected_end.saturating_sub(1), "the records up to there are missing".to_owned()));
    }
    backwards.reverse();
    Ok((backwards, Pin { records, hash }))
}

/// The whole journal, verified.
pub(super) fn load(connection: &Connection, path: &Path, run: &RunId) -> Result<Lines, StoreError> {
    let damaged = |seq: u64, what: &str| StoreError::Damaged { run: run.clone(), seq, what: what.to_owned() };
    let (batches, pin) = batches(connection, path, run, 0, false)?;
    let known = usize::try_from(pin.records).unwrap_or(0);
    let mut stored = Lines { lines: Vec::with_capacity(known), hash: chain::START };
    let mut pinned = pin.records == 0;
    for batch in batches {
        let Ok(lines) = batch.lines else {
            return Err(damaged(batch.first_seq, "what is stored there is no text"));
        };
        let hash = chain::fold_all(&stored.hash, lines.iter().map(String::as_str));
        if hash[..] != batch.hash {
            let seq = first_odd(batch.first_seq, &lines);
            return Err(damaged(seq, "what is stored there is not what was written (the hash chain breaks)"));
        }
        stored.hash = hash;
        stored.lines.extend(lines);
        pinned |= stored.lines.len() as u64 == pin.records && stored.hash[..] == pin.hash;
    }
    if !pinned {
        return Err(damaged(
            pin.records.saturating_sub(1),
            "the hash chain is not the one that the head of the run names",
        ));
    }
    Ok(stored)
}

/// Where in a batch whose hash is wrong the fault is: the first line that is no record of its number, else the first of all.
fn first_odd(first_seq: u64, lines: &[String]) -> u64 {
    let odd =
        (first_seq..).zip(lines).find(|(seq, line)| chain::decode(line).map_or(true, |record| record.seq != *seq));
    odd.map_or(first_seq, |(seq, _)| seq)
}

/// The records from `from_seq` on, unverified.
pub(super) fn tail(
    connection: &Connection,
    path: &Path,
    run: &RunId,
    from_seq: u64,
) -> Result<Vec<String>, StoreError> {
    let (batches, _) = batches(connection, path, run, from_seq, true)?;
    let mut tail = Vec::new();
    for batch in batches {
        let Ok(lines) = batch.lines else {
            let what = "what is stored there is no text".to_owned();
            return Err(StoreError::Damaged { run: run.clone(), seq: batch.first_seq, what });
        };
        let skip = usize::try_from(from_seq.saturating_sub(batch.first_seq)).unwrap_or(usize::MAX);
        tail.extend(lines.into_iter().skip(skip));
    }
    Ok(tail)
}

/// The first record of a run, unverified.
pub(super) fn first(connection: &Connection, path: &Path, run: &RunId) -> Result<Option<String>, StoreError> {
    let sql = |error: rusqlite::Error| Fault::of("read the journal", path, &error);
    let text = "SELECT run.first, batch.body FROM run LEFT JOIN batch
        ON batch.key = run.first AND batch.run = run.key AND batch.first_seq = 0 WHERE run.id = ?";
    let read = |row: &Row<'_>| Ok((row.get(0)?, row.get(1)?));
    let found = connection.prepare_cached(text).and_then(|mut query| query.query_row([run.as_str()], read).optional());
    match found.map_err(sql)? {
        None => Err(StoreError::NoSuchRun(run.to_string())),
        Some((Some(_), Some(body))) => {
            let body: String = body;
            Ok(body.split('\n').next().map(str::to_owned))
        }
        Some((Some(_), None)) => {
            let what = "the first record is missing".to_owned();
            Err(StoreError::Damaged { run: run.clone(), seq: 0, what })
        }
        // It has none, or began before this was kept.
        Some((None::<i64>, _)) => Ok(tail(connection, path, run, 0)?.into_iter().next()),
    }
}

/// What bundles a playbook has had, oldest first.
pub(super) fn bundles(
    connection: &Connection,
    path: &Path,
    playbook: &str,
) -> Result<Vec<(String, String, Timestamp)>, StoreError> {
    let sql = |error: rusqlite::Error| Fault::of("read a playbook's history", path, &error);
    let text = "SELECT version, digest, first_seen FROM bundle WHERE playbook = ? ORDER BY key";
    let mut query = connection.prepare_cached(text).map_err(sql)?;
    let mut rows = query.query([playbook]).map_err(sql)?;
    let mut known = Vec::new();
    while let Some(row) = rows.next().map_err(sql)? {
        let seen: i64 = row.get(2).map_err(sql)?;
        let seen =
            Timestamp::from_nanosecond(i128::from(seen)).map_err(|error| Fault::corrupt(path, error.to_string()))?;
        known.push((row.get(0).map_err(sql)?, row.get(1).map_err(sql)?, seen));
    }
    Ok(known)
}
