//! Finds runs without reading all of them: pages of the list, and those that want to be carried on.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use rusqlite::types::Value as Sql;
use rusqlite::{Connection, OptionalExtension, params_from_iter};

use super::append::nanos;
use super::fault::Fault;
use super::read;
use crate::journal::selection::{Life, Selection, Wanting};
use crate::journal::store::{Head, Holder, StoreError};
use crate::model::RunId;
use crate::model::status::RunStatus;

/// The heads that a selection takes. Each status is a part of an index in the order wanted, of which no more is read than is asked for.
pub(super) fn select(connection: &Connection, path: &Path, of: &Selection) -> Result<Vec<Head>, StoreError> {
    let sql = |error: rusqlite::Error| Fault::of("list the runs", path, &error);
    if of.statuses.is_empty() {
        return part(connection, path, of, None);
    }
    // One snapshot: a run whose status changes meanwhile is found once.
    let tx = connection.unchecked_transaction().map_err(sql)?;
    let statuses: BTreeSet<RunStatus> = of.statuses.iter().copied().collect();
    let mut heads = Vec::new();
    for status in &statuses {
        heads.extend(part(&tx, path, of, Some(*status))?);
    }
    if statuses.len() > 1 {
        heads.sort_by(|a: &Head, b| (b.started, &b.run).cmp(&(a.started, &a.run)));
        heads.truncate(of.limit.unwrap_or(usize::MAX));
    }
    Ok(heads)
}

/// Those of a status; of any when absent.
fn part(
    connection: &Connection,
    path: &Path,
    of: &Selection,
    status: Option<RunStatus>,
) -> Result<Vec<Head>, StoreError> {
    let sql = |error: rusqlite::Error| Fault::of("list the runs", path, &error);
    let (text, given) = question(of, status);
    let mut query = connection.prepare_cached(&text).map_err(sql)?;
    let mut rows = query.query(params_from_iter(given)).map_err(sql)?;
    let mut heads = Vec::new();
    while let Some(row) = rows.next().map_err(sql)? {
        heads.push(read::head_of(row, path)?);
    }
    Ok(heads)
}

fn question(of: &Selection, status: Option<RunStatus>) -> (String, Vec<Sql>) {
    let mut text = format!("{} WHERE records > 0", read::HEAD);
    let mut given: Vec<Sql> = Vec::new();
    if let Some(playbook) = &of.playbook {
        text.push_str(" AND playbook = ?");
        given.push(playbook.clone().into());
    }
    if let Some(status) = status {
        text.push_str(" AND status = ?");
        given.push(status.as_str().to_owned().into());
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
    (text, given)
}

/// The playbooks that there are runs of. Goes from name to name along the index: it takes as many steps as there are playbooks.
pub(super) fn playbooks(connection: &Connection, path: &Path) -> Result<Vec<String>, StoreError> {
    let sql = |error: rusqlite::Error| Fault::of("list the playbooks of", path, &error);
    let text = "SELECT playbook FROM run WHERE playbook > ? ORDER BY playbook LIMIT 1";
    let mut query = connection.prepare_cached(text).map_err(sql)?;
    let mut names: Vec<String> = Vec::new();
    loop {
        let last = names.last().map_or("", String::as_str);
        let next = query.query_row([last], |row| row.get(0)).optional().map_err(sql)?;
        let Some(next) = next else { return Ok(names) };
        names.push(next);
    }
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

#[cfg(test)]
mod tests {
    use super::super::schema;
    use super::*;
    use crate::model::Timestamp;

    #[test]
    fn a_page_of_runs_is_read_along_an_index_and_not_sorted() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store.db");
        std::fs::File::create(&path).expect("a file");
        let db = schema::open_writer(&path, std::time::Duration::from_secs(1)).expect("a store");
        let run = RunId::from_entropy(1);
        for playbook in [None, Some("restore".to_owned())] {
            for status in [None, Some(RunStatus::Failed)] {
                for after in [None, Some((Timestamp::UNIX_EPOCH, run.clone()))] {
                    let of = Selection { playbook: playbook.clone(), after, limit: Some(2), ..Selection::default() };
                    let (text, given) = question(&of, status);
                    let mut query = db.prepare(&format!("EXPLAIN QUERY PLAN {text}")).expect("it is SQL");
                    let plan = query.query_map(params_from_iter(given), |row| row.get::<_, String>(3)).expect("a plan");
                    let plan = plan.collect::<Result<Vec<_>, _>>().expect("text").join("; ");
                    let index = match (&playbook, status) {
                        (None, None) => "USING INDEX run_started",
                        (Some(_), None) => "USING INDEX run_playbook (playbook=?",
                        (None, Some(_)) => "USING INDEX run_status (status=?",
                        (Some(_), Some(_)) => "USING INDEX run_playbook_status (playbook=? AND status=?",
                    };
                    assert!(plan.contains(index) && !plan.contains("TEMP B-TREE"), "{of:?} {status:?}: {plan}");
                }
            }
        }
    }
}
