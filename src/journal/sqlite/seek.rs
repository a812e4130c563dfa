//! Finds runs without reading all of them: pages of the list, and those that want to be carried on.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, params_from_iter};

use super::append::nanos;
use super::fault::Fault;
use super::read;
use crate::journal::selection::{Life, Selection, Wanting};
use crate::journal::store::{Head, Holder, StoreError};
use crate::model::RunId;
use crate::model::status::RunStatus;

/// The heads that a selection takes.
pub(super) fn select(connection: &Connection, path: &Path, of: &Selection) -> Result<Vec<Head>, StoreError> {
    let sql = |error: rusqlite::Error| Fault::of("list the runs", path, &error);
    let mut text = format!("{} WHERE records > 0", read::HEAD);
    let mut given: Vec<Sql> = Vec::new();
    if let Some(playbook) = &of.playbook {
        text.push_str(" AND playbook = ?");
        given.push(playbook.clone().into());
    }
    if !of.statuses.is_empty() {
        let places = vec!["?"; of.statuses.len()].join(", ");
        text.push_str(&format!(" AND status IN ({places})"));
        given.extend(of.statuses.iter().map(|status| Sql::from(status.as_str().to_owned())));
    }
    if let Some((started, run)) = &of.after {
        text.push_str(" AND (started, run.id) < (?, ?)");
        given.push(nanos(*started).into());
        given.push(run.to_string().into());
    }
    if let Some(since) = of.updated_since {
        text.push_str(" AND updated >= ?");
        given.push(nanos(since).into());
    }
    text.push_str(" ORDER BY started DESC, run.id DESC");
    if let Some(limit) = of.limit {
        text.push_str(" LIMIT ?");
        given.push(i64::try_from(limit).unwrap_or(i64::MAX).into());
    }
    let mut query = connection.prepare_cached(&text).map_err(sql)?;
    let mut rows = query.query(params_from_iter(given)).map_err(sql)?;
    let mut heads = Vec::new();
    while let Some(row) = rows.next().map_err(sql)? {
        heads.push(read::head_of(row, path)?);
    }
    Ok(heads)
}

/// How many runs there are of each status.
pub(super) fn count(connection: &Connection, path: &Path) -> Result<Vec<(RunStatus, u64)>, StoreError> {
    let sql = |error: rusqlite::Error| Fault::of("count the runs of", path, &error);
    let text = "SELECT status, count(*) FROM run WHERE records > 0 GROUP BY status";
    let mut query = connection.prepare_cached(text).map_err(sql)?;
    let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, u64>(1)?))).map_err(sql)?;
    let rows = rows.collect::<Result<Vec<_>, _>>().map_err(sql)?;
    Ok(rows.iter().filter_map(|(name, count)| Some((read::status(name)?, *count))).collect())
}

/// The runs that want somebody to carry them on.
pub(super) fn wanting(
    connection: &Connection,
    path: &Path,
    life: impl Fn(&Holder) -> Life,
) -> Result<Wanting, StoreError> {
    let mut known = BTreeMap::<String, Life>::new();
    let mut lives = |holder: &Holder| *known.entry(holder.id.clone()).or_insert_with(|| life(holder));
    let held = held(connection, path)?.into_iter();
    let abandoned = held.filter(|(_, holder)| matches!(lives(holder), Life::Dead | Life::Stale)).map(|(run, _)| run);
    Ok(Wanting { abandoned: abandoned.collect(), ordered: ordered(connection, path)? })
}

/// Removes the rows of processes that are gone and that no run names. One that lives may be about to take a run.
pub(super) fn forget(connection: &Connection, gone: impl Fn(&Holder) -> bool) -> Result<(), rusqlite::Error> {
    let text = "SELECT key, id, pid, pid_start, boot_id, who FROM holder
        WHERE key NOT IN (SELECT holder FROM run WHERE holder IS NOT NULL)";
    let mut query = connection.prepare(text)?;
    let rows = query.query_map([], |row| Ok((row.get::<_, i64>(0)?, read::holder(row, 1)?)))?;
    for (key, holder) in rows.collect::<Result<Vec<_>, _>>()? {
        if holder.is_some_and(|holder| gone(&holder)) {
            connection.execute("DELETE FROM holder WHERE key = ?", [key])?;
        }
    }
    Ok(())
}

/// The runs that have not ended and name a holder, dead or alive.
fn held(connection: &Connection, path: &Path) -> Result<Vec<(RunId, Holder)>, StoreError> {
    let sql = |error: rusqlite::Error| Fault::of("list the runs that are held of", path, &error);
    let text = "SELECT run.id, status, holder.id, pid, pid_start, boot_id, who
        FROM run JOIN holder ON holder.key = run.holder WHERE run.holder IS NOT NULL AND records > 0";
    let mut query = connection.prepare_cached(text).map_err(sql)?;
    let mut rows = query.query([]).map_err(sql)?;
    let mut found = Vec::new();
    while let Some(row) = rows.next().map_err(sql)? {
        let (id, state): (String, String) = (row.get(0).map_err(sql)?, row.get(1).map_err(sql)?);
        let open = read::status(&state).is_some_and(|status| !status.is_terminal());
        if let (true, Ok(run), Some(holder)) = (open, id.parse(), read::holder(row, 2).map_err(sql)?) {
            found.push((run, holder));
        }
    }
    Ok(found)
}

/// The runs that have not ended, that nobody holds, and that have something in their inbox.
fn ordered(connection: &Connection, path: &Path) -> Result<Vec<RunId>, StoreError> {
    let sql = |error: rusqlite::Error| Fault::of("list the runs that are wanted of", path, &error);
    let text = "SELECT DISTINCT run.id, status FROM inbox JOIN run ON run.key = inbox.run WHERE run.holder IS NULL";
    let mut query = connection.prepare_cached(text).map_err(sql)?;
    let rows = query.query_map([], |row| Ok((row.get::<_, String>(0)?, row.get::<_, String>(1)?))).map_err(sql)?;
    let rows = rows.collect::<Result<Vec<_>, _>>().map_err(sql)?;
    let open = |state: &str| read::status(state).is_some_and(|status| !status.is_terminal());
    Ok(rows.iter().filter(|(_, state)| open(state)).filter_map(|(id, _)| id.parse().ok()).collect())
}
