//! Documents in their table.

use std::path::Path;

use rusqlite::{Connection, OptionalExtension, Row};

use super::append::nanos;
use super::fault::Fault;
use crate::journal::document::{Document, Expect, Query, Write};
use crate::journal::store::StoreError;
use crate::model::Timestamp;

/// Does the writes of a batch inside of a transaction that the caller ends.
pub(super) fn write(
    db: &Connection,
    path: &Path,
    writes: &[Write],
    at: Timestamp,
) -> Result<Result<(), StoreError>, rusqlite::Error> {
    for Write { kind, key, expect, body } in writes {
        let there = "SELECT version FROM document WHERE kind = ? AND key = ?";
        let there: Option<u64> = db.prepare_cached(there)?.query_row((kind, key), |row| row.get(0)).optional()?;
        let as_expected = match expect {
            Expect::Absent => there.is_none(),
            Expect::Version(version) => there == Some(*version),
            Expect::Any => true,
        };
        if !as_expected {
            return Ok(Err(StoreError::Conflict { kind: kind.clone(), key: key.clone() }));
        }
        let Some(body) = body else {
            db.prepare_cached("DELETE FROM document WHERE kind = ? AND key = ?")?.execute((kind, key))?;
            continue;
        };
        let body = match serde_json::to_string(body) {
            Ok(body) => body,
            Err(error) => return Ok(Err(Fault::other("store a document", path, error.to_string()).into())),
        };
        let next = "UPDATE document_version SET last = last + 1 RETURNING last";
        let version: u64 = db.prepare_cached(next)?.query_row([], |row| row.get(0))?;
        let put = "INSERT INTO document (kind, key, version, at, body) VALUES (?, ?, ?, ?, ?)
            ON CONFLICT (kind, key) DO UPDATE SET version = excluded.version, at = excluded.at, body = excluded.body";
        db.prepare_cached(put)?.execute((kind, key, version, nanos(at), body))?;
    }
    Ok(Ok(()))
}

/// One document.
pub(super) fn one(db: &Connection, path: &Path, kind: &str, key: &str) -> Result<Option<Document>, StoreError> {
    let sql = |error: rusqlite::Error| Fault::of("read a document", path, &error);
    let text = "SELECT key, version, at, body FROM document WHERE kind = ? AND key = ?";
    let found = db.prepare_cached(text).and_then(|mut query| query.query_row((kind, key), raw).optional());
    found.map_err(sql)?.map(|found| decode(path, kind, found)).transpose()
}

/// Those of a kind that are asked for, in order.
pub(super) fn many(db: &Connection, path: &Path, kind: &str, query: &Query) -> Result<Vec<Document>, StoreError> {
    let sql = |error: rusqlite::Error| Fault::of("read documents", path, &error);
    // Keys that begin with a text lie together, from the text itself on.
    let (from, until) = match (&query.after, query.newest_first) {
        (Some(after), false) => (query.prefix.as_str().max(after), None),
        (Some(after), true) => (query.prefix.as_str(), Some(after)),
        (None, _) => (query.prefix.as_str(), None),
    };
    let beyond = if until.is_some() { "AND key < ?3" } else { "AND ?3 IS NULL" };
    let order = if query.newest_first { "DESC" } else { "ASC" };
    // No text is greater than one that goes on with the last character there is.
    let bounded = if query.prefix.is_empty() { "AND ?4 = ''" } else { "AND key < ?4 || char(1114111)" };
    let text = format!(
        "SELECT key, version, at, body FROM document WHERE kind = ?1 AND key >= ?2 {beyond} {bounded} ORDER BY key {order} LIMIT ?5"
    );
    let mut rows = db.prepare_cached(&text).map_err(sql)?;
    // One more than wanted: the key after which the page begins may be among them.
    let limit = query.limit.map_or(-1, |limit| i64::try_from(limit).unwrap_or(i64::MAX).saturating_add(1));
    let mut rows = rows.query((kind, from, until, &query.prefix, limit)).map_err(sql)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(sql)? {
        let row = raw(row).map_err(sql)?;
        if query.limit.is_some_and(|limit| found.len() >= limit) {
            break;
        }
        if query.takes(&row.0) {
            found.push(decode(path, kind, row)?);
        }
    }
    Ok(found)
}

type Raw = (String, u64, i64, String);

fn raw(row: &Row<'_>) -> Result<Raw, rusqlite::Error> {
    Ok((row.get(0)?, row.get(1)?, row.get(2)?, row.get(3)?))
}

fn decode(path: &Path, kind: &str, (key, version, at, body): Raw) -> Result<Document, StoreError> {
    let wrong = |what: String| Fault::corrupt(path, format!("{kind} `{key}` cannot be read: {what}"));
    let at = Timestamp::from_nanosecond(i128::from(at)).map_err(|error| wrong(error.to_string()))?;
    let body = serde_json::from_str(&body).map_err(|error| wrong(error.to_string()))?;
    Ok(Document { key, version, at, body })
}
