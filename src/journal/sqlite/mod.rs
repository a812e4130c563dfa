//! The durable store: one SQLite file, and beside it a folder with locks, the reserve and the key.
//!
//! One connection writes, and group commit shares its transactions among threads; others only read, so that `ps` and
//! `logs` wait for nobody. `synchronous=FULL`: a commit that has returned is on the disk.

mod append;
mod documents;
mod fault;
mod group;
mod head;
mod key;
mod lease;
mod read;
mod reserve;
mod schema;
mod seek;

use std::fs::OpenOptions;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt, PermissionsExt};
use std::path::{Path, PathBuf};
use std::time::Duration;

use parking_lot::Mutex;
use rusqlite::{Connection, OptionalExtension};
use rustix::fs::{FlockOperation, flock};

use self::append::nanos;
use self::fault::Fault;
use self::group::Group;
use self::head::Places;
use self::lease::{Beating, Holders};
use self::reserve::Reserve;
use super::document::{Document, Query, Write};
use super::memory::{choose, digest_of};
use super::selection::{Life, Selection, Wanting};
use super::store::{Append, Head, Holder, Lines, Store, StoreError, Taken};
use super::{apart, handover};
use crate::model::command::Command;
use crate::model::status::RunStatus;
use crate::model::{RunId, Timestamp};

/// How a store is opened.
#[derive(Clone, Debug)]
pub struct Options {
    /// How long a holder may go without a sign of life before it is stale.
    pub lease: Duration,
    /// How long to wait for another process's transaction.
    pub busy: Duration,
    /// Bytes kept free for outcomes on a full disk.
    pub reserve: u64,
    /// Who this process says it is; `user@host` if not given.
    pub who: Option<String>,
}

impl Default for Options {
    fn default() -> Self {
        Self { lease: Duration::from_secs(10), busy: Duration::from_secs(10), reserve: 8 * 1024 * 1024, who: None }
    }
}

/// A store in one SQLite file.
///
/// # Guarantees
/// Those of [`Store`]. On a full disk no acknowledged record is lost: outcomes are written into the reserve, what would
/// begin an effect is refused with [`StoreError::Full`].
pub struct SqliteStore {
    path: PathBuf,
    beside: PathBuf,
    options: Options,
    holder: Holder,
    holders: Holders,
    reserve: Reserve,
    /// Before the writer, so that they are closed first: who closes last puts the log away, and a reader cannot.
    readers: Mutex<Vec<Connection>>,
    /// Absent where the store can only be looked at; then with why.
    writer: Result<Mutex<Writer>, Fault>,
    appends: Group<Append, Result<(), StoreError>>,
    /// Our row's key and our heartbeat, from the first run on that this process takes.
    held: Mutex<Option<(i64, Beating)>>,
}

struct Writer {
    db: Connection,
    places: Places,
}

impl SqliteStore {
    /// Opens a store, and makes it if it is not there. On a read-only medium it can be read, and every write fails with
    /// [`StoreError::ReadOnly`]; so it is on a disk without room for a single page, and with [`StoreError::Full`].
    ///
    /// # Errors
    /// When it cannot be opened, is damaged, is no store, or was written by a later version.
    pub fn open(path: &Path, options: Options) -> Result<Self, StoreError> {
        // A pipe would be waited for, and a device has no end.
        if let Ok(there) = std::fs::metadata(path)
            && !there.is_file()
        {
            let what = if there.is_dir() { "it is a folder; a store is a file" } else { "it is no plain file" };
            return Err(Fault::other("open", path, what).into());
        }
        let mut beside = path.as_os_str().to_owned();
        beside.push(".d");
        let beside = PathBuf::from(beside);
        let holder = lease::this_process(options.who.clone()).map_err(|error| Fault::of_io("open", path, &error))?;
        let writer = match Self::open_to_write(path, &beside, options.busy) {
            Ok(connection) => Ok(Mutex::new(Writer { db: connection, places: Places::default() })),
            Err(StoreError::ReadOnly { .. }) if std::fs::File::open(path).is_ok() => Err(Fault::read_only(path)),
            // Not a byte may be left, and SQLite needs some to write: what is there can be looked at all the same.
            Err(StoreError::Full { .. }) if std::fs::metadata(path).is_ok_and(|file| file.len() > 0) => {
                Err(Fault::full(path))
            }
            Err(error) => return Err(error),
        };
        let bytes = if writer.is_ok() { options.reserve } else { 0 };
        let store = Self {
            holders: Holders::new(beside.join("holders"), options.lease),
            reserve: Reserve::open(beside.join("reserve"), bytes),
            path: path.to_owned(),
            beside,
            options,
            holder,
            writer,
            appends: Group::default(),
            readers: Mutex::default(),
            held: Mutex::default(),
        };
        if store.writer.is_err() {
            // Says at once what is wrong with it.
            store.reading(|_| Ok(()))?;
        }
        Ok(store)
    }

    fn open_to_write(path: &Path, beside: &Path, busy: Duration) -> Result<Connection, StoreError> {
        // Who may read the file but not write it can look at runs.
        let io = |error: std::io::Error| match error.kind() {
            std::io::ErrorKind::PermissionDenied if std::fs::File::open(path).is_ok() => Fault::read_only(path),
            _ => Fault::of_io("open", path, &error),
        };
        let private = |folder: &Path| std::fs::DirBuilder::new().recursive(true).mode(0o700).create(folder);
        if let Some(parent) = path.parent().filter(|parent| !parent.as_os_str().is_empty()) {
            private(parent).map_err(io)?;
        }
        private(&beside.join("holders")).map_err(io)?;
        // One process at a time makes the tables and switches the log on.
        let lock =
            OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(beside.join("open.lock"));
        let lock = lock.map_err(io)?;
        flock(&lock, FlockOperation::LockExclusive).map_err(|error| io(error.into()))?;
        let file = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(path).map_err(io)?;
        let mode = file.metadata().map_err(io)?.permissions().mode();
        if mode & 0o077 != 0 {
            file.set_permissions(std::fs::Permissions::from_mode(0o600)).map_err(io)?;
        }
        drop(file);
        schema::open_writer(path, busy)
    }

    /// Where it is.
    #[must_use]
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// What its owner should know, one sentence each.
    #[must_use]
    pub fn warnings(&self) -> Vec<String> {
        let mut warnings = Vec::new();
        let path = self.path.display();
        if let Some(kind) = lease::on_network(&self.path) {
            warnings.push(format!(
                "store {path} lies on {kind}, where file locks and shared memory cannot be trusted: move it to a local disk"
            ));
        }
        let full = || format!("the disk of store {path} is full: nothing new will be begun before there is room");
        match &self.writer {
            Err(why) if why.is_full() => warnings.push(full()),
            Err(_) => warnings.push(format!("store {path} is read-only: runs can be looked at, not carried on")),
            Ok(_) if !self.reserve.is_kept() => warnings.push(full()),
            Ok(_) => {}
        }
        warnings
    }

    /// The store's key, under which literal secrets are sealed: 32 random bytes, made at the first use.
    ///
    /// # Errors
    /// When it cannot be read or written, or the store is read-only: the key is only wanted to carry runs on.
    pub fn key(&self) -> Result<[u8; 32], StoreError> {
        self.writer()?;
        let path = self.beside.join("key");
        key::read_or_make(&path).map_err(|error| Fault::of_io("read the key of", &self.path, &error).into())
    }

    /// The seed of the key with which evidence from this store is signed: 32 random bytes, made at the first use.
    ///
    /// # Errors
    /// When it cannot be read; or there is none yet, and the store is read-only or its disk full.
    pub fn signing_key(&self) -> Result<[u8; 32], StoreError> {
        let path = self.beside.join("signing.key");
        // What has become of the store is often the reason why its evidence is wanted.
        if !path.exists() {
            self.writer()?;
        }
        key::read_or_make(&path).map_err(|error| Fault::of_io("read the signing key of", &self.path, &error).into())
    }

    /// Reads everything and says what is wrong: the database's own check, then every run's journal and every blob.
    ///
    /// # Errors
    /// When the store cannot be read at all.
    pub fn verify(&self) -> Result<Vec<StoreError>, StoreError> {
        let mut faults = Vec::new();
        let (said, digests) = self.reading(|db| {
            let sql = |error: rusqlite::Error| Fault::of("check", &self.path, &error);
            let said: String = db.query_row("PRAGMA quick_check(1)", [], |row| row.get(0)).map_err(sql)?;
            let mut query = db.prepare("SELECT digest FROM blob ORDER BY key").map_err(sql)?;
            let digests = query.query_map([], |row| row.get(0)).map_err(sql)?.collect::<Result<Vec<String>, _>>();
            Ok((said, digests.map_err(sql)?))
        })?;
        if said != "ok" {
            faults.push(Fault::corrupt(&self.path, said).into());
        }
        for head in self.heads()? {
            match apart::records(self, &head.run) {
                Ok(records) => faults.extend(head::misjudged(&head, &records)),
                Err(error) => faults.push(error),
            }
        }
        for digest in digests {
            faults.extend(self.blob(&digest).err());
        }
        Ok(faults)
    }

    /// Whether this store goes on with a run.
    fn is_ours(&self, db: &Connection, run: &RunId) -> Result<(), StoreError> {
        let over = documents::one(db, &self.path, handover::KIND, run.as_str())?;
        over.map_or(Ok(()), |document| Err(handover::refusal(run, &document)))
    }

    fn writer(&self) -> Result<&Mutex<Writer>, StoreError> {
        self.writer.as_ref().map_err(|why| why.clone().into())
    }

    /// Does something in one transaction of the writing connection.
    fn writing<R>(
        &self,
        act: &'static str,
        work: impl FnOnce(&Connection) -> Result<Result<R, StoreError>, rusqlite::Error>,
    ) -> Result<R, StoreError> {
        self.writing_heads(act, |db, _| work(db))
    }

    /// The same, for what has to bring the heads of runs up to where their journals are.
    fn writing_heads<R>(
        &self,
        act: &'static str,
        work: impl FnOnce(&Connection, &mut Places) -> Result<Result<R, StoreError>, rusqlite::Error>,
    ) -> Result<R, StoreError> {
        let Writer { db, places } = &mut *self.writer()?.lock();
        let sql = |error: rusqlite::Error| Fault::of(act, &self.path, &error);
        append::run(db, "BEGIN IMMEDIATE").map_err(sql)?;
        let done = match work(db, places) {
            Ok(Ok(done)) => append::run(db, "COMMIT").map(|()| Ok(done)),
            other => other,
        };
        match done {
            Ok(Ok(done)) => Ok(done),
            failed => {
                let _ = db.execute_batch("ROLLBACK");
                places.clear();
                failed.map_err(sql)?
            }
        }
    }

    /// Does something with a connection of its own that only reads.
    fn reading<R>(&self, work: impl FnOnce(&Connection) -> Result<R, StoreError>) -> Result<R, StoreError> {
        let pooled = self.readers.lock().pop();
        let db = match pooled {
            Some(db) => db,
            None => schema::open_reader(&self.path, self.options.busy)?,
        };
        let result = work(&db);
        self.readers.lock().push(db);
        result
    }

    /// The key of this process's row; from now on it is locked and beats.
    fn enrolled(&self) -> Result<i64, StoreError> {
        let mut held = self.held.lock();
        if let Some((key, _)) = &*held {
            return Ok(*key);
        }
        self.writer()?;
        self.holders.sweep();
        let beating = Beating::start(&self.holders, &self.holder)
            .map_err(|error| Fault::of_io("begin to hold runs of", &self.path, &error))?;
        let key = self.writing("begin to hold runs of", |db| {
            seek::forget(db, |holder| self.life(holder) == Life::Dead)?;
            let insert = "INSERT INTO holder (id, pid, pid_start, boot_id, who) VALUES (?, ?, ?, ?, ?)";
            let Holder { id, pid, pid_start, boot_id, who } = &self.holder;
            db.execute(insert, (id, pid, pid_start, boot_id, who))?;
            Ok(Ok(db.last_insert_rowid()))
        })?;
        *held = Some((key, beating));
        Ok(key)
    }

    fn without_the_dead(&self, mut heads: Vec<Head>) -> Vec<Head> {
        let mut known = std::collections::BTreeMap::<String, bool>::new();
        for head in &mut heads {
            head.holder = head.holder.take().filter(|holder| {
                let pulse = || self.holders.pulse(holder, &self.holder) != Life::Dead;
                *known.entry(holder.id.clone()).or_insert_with(pulse)
            });
        }
        heads
    }
}

impl Drop for SqliteStore {
    fn drop(&mut self) {
        let Some((key, beating)) = self.held.lock().take() else { return };
        // A courtesy: without it the lock file that goes away says the same.
        let _ = self.writing_heads("give up the runs of", |db, places| {
            places.values_mut().try_for_each(|place| place.settle(db))?;
            db.execute("UPDATE run SET holder = NULL WHERE holder = ?", [key])?;
            db.execute("DELETE FROM holder WHERE key = ?", [key])?;
            Ok(Ok(()))
        });
        drop(beating);
    }
}

impl Store for SqliteStore {
    fn create(&self, head: &Head) -> Result<(), StoreError> {
        if !self.reserve.is_kept() {
            return Err(Fault::full(&self.path).into());
        }
        self.writing("store a new run", |db| {
            let records = db
                .prepare_cached("SELECT records FROM run WHERE id = ?")?
                .query_row([head.run.as_str()], |row| row.get::<_, u64>(0))
                .optional()?;
            if records.is_some_and(|records| records > 0) {
                let what = format!("there is a run {} already", head.run);
                return Ok(Err(Fault::other("store a new run", &self.path, what).into()));
            }
            if records.is_some() {
                // Whoever stored it died before its first record, or is about to write it and holds it.
                let update = "UPDATE run SET playbook = ?, version = ?, bundle = ?, started = ?, updated = ?,
                    epoch = max(epoch, ?) WHERE id = ?";
                db.prepare_cached(update)?.execute((
                    &head.playbook,
                    &head.version,
                    &head.bundle,
                    nanos(head.started),
                    nanos(head.updated),
                    head.epoch,
                    head.run.as_str(),
                ))?;
                return Ok(Ok(()));
            }
            let insert = "INSERT INTO run (id, playbook, version, bundle, started, status, detail, updated, records, hash, epoch)
                VALUES (?, ?, ?, ?, ?, ?, ?, ?, 0, zeroblob(32), ?)";
            db.prepare_cached(insert)?.execute((
                head.run.as_str(),
                &head.playbook,
                &head.version,
                &head.bundle,
                nanos(head.started),
                head.status.as_str(),
                &head.detail,
                nanos(head.updated),
                head.epoch,
            ))?;
            Ok(Ok(()))
        })
    }

    fn append(&self, append: Append) -> Result<(), StoreError> {
        let writer = self.writer()?;
        let commit = |appends: Vec<Append>| {
            let Writer { db, places } = &mut *writer.lock();
            append::commit(db, places, &self.path, &self.reserve, &appends)
        };
        self.appends.submit(append, commit).unwrap_or_else(|| {
            Err(Fault::other("append records", &self.path, "the thread that wrote them for this one died").into())
        })
    }

    fn load(&self, run: &RunId) -> Result<Lines, StoreError> {
        self.reading(|db| read::load(db, &self.path, run))
    }

    fn tail(&self, run: &RunId, from_seq: u64) -> Result<Vec<String>, StoreError> {
        self.reading(|db| read::tail(db, &self.path, run, from_seq))
    }

    fn first(&self, run: &RunId) -> Result<Option<String>, StoreError> {
        self.reading(|db| read::first(db, &self.path, run))
    }

    fn heads(&self) -> Result<Vec<Head>, StoreError> {
        Ok(self.without_the_dead(self.reading(|db| read::heads(db, &self.path, None))?))
    }

    fn select(&self, of: &Selection) -> Result<Vec<Head>, StoreError> {
        Ok(self.without_the_dead(self.reading(|db| seek::select(db, &self.path, of))?))
    }

    fn count(&self) -> Result<Vec<(RunStatus, u64)>, StoreError> {
        self.reading(|db| seek::count(db, &self.path))
    }

    fn wanting(&self) -> Result<Wanting, StoreError> {
        self.reading(|db| seek::wanting(db, &self.path, |holder| self.life(holder)))
    }

    fn head(&self, run: &RunId) -> Result<Head, StoreError> {
        let found = self.without_the_dead(self.reading(|db| read::heads(db, &self.path, Some(run)))?);
        found.into_iter().next().ok_or_else(|| StoreError::NoSuchRun(run.to_string()))
    }

    fn resolve(&self, text: &str) -> Result<RunId, StoreError> {
        let heads = self.reading(|db| read::heads(db, &self.path, None))?;
        choose(text, heads.into_iter().map(|head| head.run).collect())
    }

    fn put_blob(&self, bytes: &[u8]) -> Result<String, StoreError> {
        let digest = digest_of(bytes);
        self.writing("store a blob", |db| {
            let insert = "INSERT INTO blob (digest, bytes) VALUES (?, ?) ON CONFLICT DO NOTHING";
            db.prepare_cached(insert)?.execute((&digest, bytes))?;
            Ok(Ok(digest))
        })
    }

    fn blob(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        let bytes: Vec<u8> = self.reading(|db| {
            let found = db.prepare_cached("SELECT bytes FROM blob WHERE digest = ?").and_then(|mut query| {
                let read = |row: &rusqlite::Row<'_>| row.get(0);
                query.query_row([digest], read).optional()
            });
            let found = found.map_err(|error| Fault::of("read a blob", &self.path, &error))?;
            found.ok_or_else(|| StoreError::NoSuchBlob(digest.to_owned()))
        })?;
        let found = digest_of(&bytes);
        if found != digest {
            let what = format!("what is stored under digest {digest} has digest {found}");
            return Err(Fault::corrupt(&self.path, what).into());
        }
        Ok(bytes)
    }

    fn remember_bundle(&self, playbook: &str, version: &str, digest: &str, at: Timestamp) -> Result<(), StoreError> {
        self.writing("remember a playbook", |db| {
            let insert =
                "INSERT INTO bundle (playbook, version, digest, first_seen) VALUES (?, ?, ?, ?) ON CONFLICT DO NOTHING";
            db.prepare_cached(insert)?.execute((playbook, version, digest, nanos(at)))?;
            Ok(Ok(()))
        })
    }

    fn bundles(&self, playbook: &str) -> Result<Vec<(String, String, Timestamp)>, StoreError> {
        self.reading(|db| read::bundles(db, &self.path, playbook))
    }

    fn playbooks(&self) -> Result<Vec<String>, StoreError> {
        self.reading(|db| seek::playbooks(db, &self.path))
    }

    fn post(&self, run: &RunId, command: &Command) -> Result<i64, StoreError> {
        let text = serde_json::to_string(command)
            .map_err(|error| Fault::other("post a command", &self.path, error.to_string()))?;
        self.writing("post a command", |db| {
            if let Err(refusal) = self.is_ours(db, run) {
                return Ok(Err(refusal));
            }
            let insert = "INSERT INTO inbox (run, command) SELECT key, ? FROM run WHERE id = ?";
            let posted = db.prepare_cached(insert)?.execute((text, run.as_str()))?;
            if posted == 0 {
                return Ok(Err(StoreError::NoSuchRun(run.to_string())));
            }
            Ok(Ok(db.last_insert_rowid()))
        })
    }

    fn inbox(&self, run: &RunId) -> Result<Vec<(i64, Command)>, StoreError> {
        self.reading(|db| {
            let sql = |error: rusqlite::Error| Fault::of("read an inbox", &self.path, &error);
            let there = db.prepare_cached("SELECT 1 FROM run WHERE id = ?").and_then(|mut q| q.exists([run.as_str()]));
            if !there.map_err(sql)? {
                return Err(StoreError::NoSuchRun(run.to_string()));
            }
            let text = "SELECT inbox.id, command FROM inbox JOIN run ON run.key = inbox.run WHERE run.id = ? ORDER BY inbox.id";
            let mut query = db.prepare_cached(text).map_err(sql)?;
            let mut rows = query.query([run.as_str()]).map_err(sql)?;
            let mut commands = Vec::new();
            while let Some(row) = rows.next().map_err(sql)? {
                let (id, text): (i64, String) = (row.get(0).map_err(sql)?, row.get(1).map_err(sql)?);
                let command = serde_json::from_str(&text).map_err(|error| {
                    let what = format!("command {id} of run {run} cannot be read ({error}); another version may have posted it");
                    Fault::other("read an inbox", &self.path, what)
                })?;
                commands.push((id, command));
            }
            Ok(commands)
        })
    }

    fn inbox_runs(&self) -> Result<Vec<RunId>, StoreError> {
        let Some(key) = self.held.lock().as_ref().map(|(key, _)| *key) else { return Ok(Vec::new()) };
        self.reading(|db| {
            let sql = |error: rusqlite::Error| Fault::of("read the inbox", &self.path, &error);
            let text = "SELECT DISTINCT run.id FROM inbox JOIN run ON run.key = inbox.run WHERE run.holder = ?";
            let mut query = db.prepare_cached(text).map_err(sql)?;
            let ids = query.query_map([key], |row| row.get::<_, String>(0)).map_err(sql)?;
            let ids = ids.collect::<Result<Vec<_>, _>>().map_err(sql)?;
            Ok(ids.iter().filter_map(|id| id.parse().ok()).collect())
        })
    }

    fn take(&self, run: &RunId) -> Result<Taken, StoreError> {
        let key = self.enrolled()?;
        self.writing("take a run", |db| {
            if let Err(refusal) = self.is_ours(db, run) {
                return Ok(Err(refusal));
            }
            let text = "SELECT epoch, holder.id, pid, pid_start, boot_id, who
                FROM run LEFT JOIN holder ON holder.key = run.holder WHERE run.id = ?";
            let found = db
                .prepare_cached(text)?
                .query_row([run.as_str()], |row| Ok((row.get::<_, u64>(0)?, read::holder(row, 1)?)));
            let Some((epoch, holder)) = found.optional()? else {
                return Ok(Err(StoreError::NoSuchRun(run.to_string())));
            };
            if let Some(holder) = holder {
                match self.holders.pulse(&holder, &self.holder) {
                    Life::Ours | Life::Dead => {}
                    Life::Fresh => return Ok(Ok(Taken::HeldBy(holder))),
                    Life::Stale => return Ok(Ok(Taken::Stale(holder))),
                }
            }
            let epoch = epoch + 1;
            let update = "UPDATE run SET epoch = ?, holder = ? WHERE id = ?";
            db.prepare_cached(update)?.execute((epoch, key, run.as_str()))?;
            Ok(Ok(Taken::Yes { epoch }))
        })
    }

    fn release(&self, run: &RunId, epoch: u64) -> Result<(), StoreError> {
        let Some(key) = self.held.lock().as_ref().map(|(key, _)| *key) else { return Ok(()) };
        self.writing_heads("give a run up", |db, places| {
            if let Some(mut place) = places.remove(run) {
                place.settle(db)?;
            }
            let update = "UPDATE run SET holder = NULL WHERE id = ? AND epoch = ? AND holder = ?";
            db.prepare_cached(update)?.execute((run.as_str(), epoch, key))?;
            Ok(Ok(()))
        })
    }

    fn holder(&self) -> Holder {
        self.holder.clone()
    }

    fn enrol(&self) -> Result<(), StoreError> {
        self.enrolled().map(drop)
    }

    fn life(&self, holder: &Holder) -> Life {
        self.holders.pulse(holder, &self.holder)
    }

    fn kill_stale(&self, holder: &Holder) -> Result<(), StoreError> {
        let fault = |why| Fault::other("end the stopped process that holds a run", &self.path, why);
        self.holders.kill(holder, &self.holder).map_err(|why| fault(why).into())
    }

    fn document(&self, kind: &str, key: &str) -> Result<Option<Document>, StoreError> {
        self.reading(|db| documents::one(db, &self.path, kind, key))
    }

    fn documents(&self, kind: &str, query: &Query) -> Result<Vec<Document>, StoreError> {
        self.reading(|db| documents::many(db, &self.path, kind, query))
    }

    fn write_documents(&self, writes: &[Write], at: Timestamp) -> Result<(), StoreError> {
        if !self.reserve.is_kept() {
            return Err(Fault::full(&self.path).into());
        }
        self.writing("store documents", |db| documents::write(db, &self.path, writes, at))
    }
}
