//! The tables, their versions, and how a connection is set up.

use std::path::Path;
use std::time::Duration;

use percent_encoding::{AsciiSet, NON_ALPHANUMERIC};
use rusqlite::{Connection, OpenFlags, OptionalExtension, TransactionBehavior};

use super::fault::Fault;
use crate::journal::store::StoreError;

/// The version of the tables written by this program: how many of [`STEPS`] there are.
pub(super) const VERSION: u32 = STEPS.len() as u32;

/// What leads from each version to the next. Never changed once released, only added to.
const STEPS: [&str; 4] = ["
-- One row a process that has ever held a run, as long as it is alive or a run names it.
CREATE TABLE holder (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, pid INTEGER NOT NULL, pid_start INTEGER NOT NULL,
    boot_id TEXT NOT NULL, who TEXT NOT NULL) STRICT;
-- The head of a run: fences appends (epoch), pins the hash chain (records, hash), and is what `ps` shows.
-- `last` is the row of `batch` up to which these speak. The newest is that one or, of a run at work, among the 4096 rows after
-- it, and `prev` leads from each to the one before: no index to keep, which would cost as much as the records themselves.
CREATE TABLE run (
    key INTEGER PRIMARY KEY, id TEXT NOT NULL UNIQUE, playbook TEXT NOT NULL, version TEXT NOT NULL, bundle TEXT NOT NULL,
    started INTEGER NOT NULL, status TEXT NOT NULL, detail TEXT NOT NULL, updated INTEGER NOT NULL, records INTEGER NOT NULL,
    hash BLOB NOT NULL, last INTEGER, epoch INTEGER NOT NULL, holder INTEGER) STRICT;
-- The records of one append: lines of JSON joined by line ends, and the hash after the last. Only ever added to.
CREATE TABLE batch (
    key INTEGER PRIMARY KEY, run INTEGER NOT NULL, prev INTEGER, first_seq INTEGER NOT NULL, count INTEGER NOT NULL,
    hash BLOB NOT NULL, body TEXT NOT NULL) STRICT;
-- AUTOINCREMENT: the number of an answered command must not come again.
CREATE TABLE inbox (id INTEGER PRIMARY KEY AUTOINCREMENT, run INTEGER NOT NULL, command TEXT NOT NULL) STRICT;
CREATE TABLE blob (key INTEGER PRIMARY KEY, digest TEXT NOT NULL UNIQUE, bytes BLOB NOT NULL) STRICT;
CREATE TABLE bundle (
    key INTEGER PRIMARY KEY, playbook TEXT NOT NULL, version TEXT NOT NULL, digest TEXT NOT NULL, first_seen INTEGER NOT NULL,
    UNIQUE (playbook, version, digest)) STRICT;
", "
-- What belongs to no run: small JSON texts by kind and key. Versions are drawn from one counter, and none comes twice.
CREATE TABLE document (
    kind TEXT NOT NULL, key TEXT NOT NULL, version INTEGER NOT NULL, at INTEGER NOT NULL, body TEXT NOT NULL,
    PRIMARY KEY (kind, key)) STRICT, WITHOUT ROWID;
CREATE TABLE document_version (last INTEGER NOT NULL) STRICT;
INSERT INTO document_version VALUES (0);
", "
-- A page of the list of runs, and who holds any: neither reads the other runs. Both are written when a run begins, is taken or given up, and
-- not by appends.
CREATE INDEX run_started ON run (started, id);
CREATE INDEX run_held ON run (holder) WHERE holder IS NOT NULL;
", "
-- The same for the runs of a playbook, and for those that stand so: however many others there are. Written when a run begins and when its
-- status changes, and not by other appends.
CREATE INDEX run_playbook ON run (playbook, started, id);
CREATE INDEX run_status ON run (status, started, id);
CREATE INDEX run_playbook_status ON run (playbook, status, started, id);
-- The row of `batch` with which a run begins: how it began is known without going back through all of it. Absent of runs that began before.
ALTER TABLE run ADD COLUMN first INTEGER;
"];

/// `Must`, so that `file` and we can tell a store from any other database.
const APPLICATION: i32 = 0x4d75_7374;

/// Opens the connection that writes. Sees to it that the tables are there.
pub(super) fn open_writer(path: &Path, busy: Duration) -> Result<Connection, StoreError> {
    let sql = |error: rusqlite::Error| Fault::of("open", path, &error);
    let flags = OpenFlags::SQLITE_OPEN_READ_WRITE | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let mut connection = Connection::open_with_flags(path, flags).map_err(sql)?;
    prepare(&connection, busy).map_err(sql)?;
    if connection.is_readonly("main").map_err(sql)? {
        return Err(Fault::read_only(path).into());
    }
    match version(&connection, path)? {
        Some(found) => check(found, path)?,
        None => {
            refuse_foreign(&connection, path)?;
            connection.pragma_update(None, "journal_mode", "WAL").map_err(sql)?;
        }
    }
    connection.execute_batch("PRAGMA synchronous = FULL; PRAGMA journal_size_limit = 67108864").map_err(sql)?;
    migrate(&mut connection, path)?;
    Ok(connection)
}

/// Opens a connection that only reads, and blocks no writer. On a read-only medium without a log it reads the file as it is.
pub(super) fn open_reader(path: &Path, busy: Duration) -> Result<Connection, StoreError> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
    let connect = |name: &Path, flags| -> Result<Connection, rusqlite::Error> {
        let connection = Connection::open_with_flags(name, flags)?;
        prepare(&connection, busy)?;
        connection.query_row("SELECT count(*) FROM sqlite_schema", [], |_| Ok(()))?;
        Ok(connection)
    };
    let connection = match connect(path, flags) {
        Ok(connection) => connection,
        Err(error) => {
            let mut log = path.as_os_str().to_owned();
            log.push("-wal");
            let unlogged = std::fs::metadata(log).map_or(true, |log| log.len() == 0);
            let frozen = format!("file:{}?immutable=1", escape(path));
            let retried = unlogged.then(|| connect(Path::new(&frozen), flags | OpenFlags::SQLITE_OPEN_URI));
            match retried {
                Some(Ok(connection)) => connection,
                _ => return Err(Fault::of("open", path, &error).into()),
            }
        }
    };
    match version(&connection, path)? {
        Some(found) => check(found, path)?,
        None => return Err(Fault::corrupt(path, "it is no store of muster").into()),
    }
    Ok(connection)
}

/// A path as part of a `file:` URI.
fn escape(path: &Path) -> String {
    use std::os::unix::ffi::OsStrExt;
    const SPECIAL: &AsciiSet = &NON_ALPHANUMERIC.remove(b'/').remove(b'.').remove(b'-').remove(b'_');
    percent_encoding::percent_encode(path.as_os_str().as_bytes(), SPECIAL).to_string()
}

fn prepare(connection: &Connection, busy: Duration) -> Result<(), rusqlite::Error> {
    connection.busy_timeout(busy)?;
    connection.set_prepared_statement_cache_capacity(48);
    connection.execute_batch("PRAGMA trusted_schema = OFF; PRAGMA cell_size_check = ON; PRAGMA temp_store = MEMORY")
}

/// The version of the tables and of the program that made them.
fn version(connection: &Connection, path: &Path) -> Result<Option<(u32, String)>, Fault> {
    let sql = |error: rusqlite::Error| Fault::of("read the format of", path, &error);
    let there = "SELECT 1 FROM sqlite_schema WHERE type = 'table' AND name = 'format'";
    if connection.query_row(there, [], |_| Ok(())).optional().map_err(sql)?.is_none() {
        return Ok(None);
    }
    let found = "SELECT version, engine FROM format ORDER BY version DESC LIMIT 1";
    connection.query_row(found, [], |row| Ok((row.get(0)?, row.get(1)?))).optional().map_err(sql)
}

fn check(found: (u32, String), path: &Path) -> Result<(), StoreError> {
    let (version, engine) = found;
    if version <= VERSION {
        return Ok(());
    }
    let what = format!("store {}", path.display());
    Err(StoreError::TooNew { what, found: version, known: VERSION, needs: format!("muster {engine}") })
}

/// Somebody else's database is not made into a store.
fn refuse_foreign(connection: &Connection, path: &Path) -> Result<(), Fault> {
    let sql = |error: rusqlite::Error| Fault::of("read the format of", path, &error);
    let tables: u32 = connection.query_row("SELECT count(*) FROM sqlite_schema", [], |row| row.get(0)).map_err(sql)?;
    if tables > 0 {
        return Err(Fault::corrupt(path, "it is a database of another program; give another --store"));
    }
    Ok(())
}

/// Brings the tables to this program's version, all or nothing.
fn migrate(connection: &mut Connection, path: &Path) -> Result<(), StoreError> {
    let sql = |error: rusqlite::Error| Fault::of("make the tables of", path, &error);
    if version(connection, path)?.is_some_and(|(found, _)| found >= VERSION) {
        return Ok(());
    }
    let tx = connection.transaction_with_behavior(TransactionBehavior::Immediate).map_err(sql)?;
    // Another process may have done it while we waited.
    let found = version(&tx, path)?.map_or(0, |(found, _)| found);
    tx.execute_batch("CREATE TABLE IF NOT EXISTS format (version INTEGER PRIMARY KEY, engine TEXT NOT NULL) STRICT")
        .map_err(sql)?;
    for (step, next) in STEPS.iter().zip(1u32..).skip(found as usize) {
        tx.execute_batch(step).map_err(sql)?;
        tx.execute("INSERT INTO format VALUES (?, ?)", (next, env!("CARGO_PKG_VERSION"))).map_err(sql)?;
    }
    tx.pragma_update(None, "application_id", APPLICATION).map_err(sql)?;
    tx.commit().map_err(sql)?;
    Ok(())
}
