//! The store's contract: durable, fenced, hash-chained appends; bundles and blobs by digest; leases; the inbox.

use serde::{Deserialize, Serialize};

use super::apart::Blob;
use super::document::{Document, Query, Write};
use super::selection::{Life, Selection, Wanting};
use crate::model::command::Command;
use crate::model::status::RunStatus;
use crate::model::{RunId, Timestamp};

/// Why the store did not do what it was asked. After any error of [`Store::append`] the run must stop before its next effect.
#[derive(Debug, thiserror::Error)]
pub enum StoreError {
    /// Somebody else holds the run under a later epoch: this holder may not write.
    #[error("run {run} is held by somebody else since (this holder's epoch {epoch} is over)")]
    Fenced { run: RunId, epoch: u64 },
    /// Another store goes on with the run.
    #[error("run {run} was handed over by {by} at {at}: another store goes on with it")]
    HandedOver { run: RunId, by: String, at: Timestamp },
    /// No run has this id.
    #[error("no run `{0}`")]
    NoSuchRun(String),
    /// The text fits several runs.
    #[error("`{text}` could be any of {candidates:?}")]
    Ambiguous { text: String, candidates: Vec<String> },
    /// Nothing is stored under this digest.
    #[error("nothing stored under digest {0}")]
    NoSuchBlob(String),
    /// What is stored is not what was written.
    #[error("journal of run {run} is damaged at record {seq}: {what}")]
    Damaged { run: RunId, seq: u64, what: String },
    /// A document is not as a write expected it: nothing of its batch was written.
    #[error("{kind} `{key}` has been changed by somebody else meanwhile")]
    Conflict { kind: String, key: String },
    /// It was written by a later version of the program.
    #[error("{what} has format {found}, and this muster reads formats up to {known}; use {needs} or later")]
    TooNew { what: String, found: u32, known: u32, needs: String },
    /// A record says something that this version of the program does not know.
    #[error(
        "record {seq} of run {run} was written by another version of muster ({what}); use the muster that last held the run"
    )]
    Unknown { run: RunId, seq: u64, what: String },
    /// The run's journal stopped at an earlier error: nothing more can be written by this holder.
    #[error("run {run} stopped writing after an earlier error ({why}); resume it to go on")]
    Stopped { run: RunId, why: String },
    /// The disk is full.
    #[error("no room left on the disk of the store {path}; free some and resume")]
    Full { path: String },
    /// The store cannot be written.
    #[error("store {path} is read-only")]
    ReadOnly { path: String },
    /// The store's file is damaged.
    #[error("store {path} is damaged: {what}")]
    Corrupt { path: String, what: String },
    /// Anything else the database said.
    #[error("cannot {act}{} store {path}: {what}", joint(act))]
    Database { act: &'static str, path: String, what: String },
}

/// What stands between an act and the store: `open store`, `read the key of store`, `store a blob in store`.
fn joint(act: &str) -> &'static str {
    if act.ends_with(" of") || matches!(act, "open" | "check" | "read" | "write") { "" } else { " in" }
}

/// What the list of runs shows without reading a journal; kept in the same transaction as the records.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Head {
    /// The run.
    pub run: RunId,
    /// Its playbook.
    pub playbook: String,
    /// The playbook's version.
    pub version: String,
    /// The digest of its bundle.
    pub bundle: String,
    /// Where it stands.
    pub status: RunStatus,
    /// What it waits for, or why it is paused, in one line.
    pub detail: String,
    /// When it began.
    pub started: Timestamp,
    /// When its last record was written; of a run at work, to a second.
    pub updated: Timestamp,
    /// Records so far. In a list, of a run at work: those of a second ago.
    pub records: u64,
    /// The current lease epoch.
    pub epoch: u64,
    /// Who holds it, if anybody alive does.
    pub holder: Option<Holder>,
}

/// A process that holds runs.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Holder {
    /// Names the process, never reused.
    pub id: String,
    /// Its process id.
    pub pid: u32,
    /// When the process started, in clock ticks since boot: a reused pid has another.
    pub pid_start: u64,
    /// The boot it lives in.
    pub boot_id: String,
    /// `alice@host`.
    pub who: String,
}

/// The answer to taking a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Taken {
    /// It is ours under this epoch.
    Yes { epoch: u64 },
    /// Somebody alive holds it.
    HeldBy(Holder),
    /// Its holder is alive but has not been heard of past its lease (a stopped process): the caller has to kill it, and
    /// take again.
    Stale(Holder),
}

/// One append: encoded records of one run, in order.
#[derive(Clone, Debug)]
pub struct Append {
    /// The run.
    pub run: RunId,
    /// The epoch under which the writer holds it.
    pub epoch: u64,
    /// Sequence number of the first record; must be the number of records stored so far.
    pub first_seq: u64,
    /// One JSON text a record, without line ends.
    pub lines: Vec<String>,
    /// What the records keep apart: durable in the same transaction.
    pub blobs: Vec<Blob>,
    /// Hash of the last line: `sha256(previous hash, line)`, folded from the first.
    pub hash: [u8; 32],
    /// Inbox entries that these records answer: removed in the same transaction.
    pub consumed: Vec<i64>,
    /// What the list of runs shows from now on.
    pub status: RunStatus,
    /// See [`Head::detail`].
    pub detail: String,
    /// Time of the last record.
    pub updated: Timestamp,
}

/// A journal as stored.
#[derive(Clone, Debug, Default)]
pub struct Lines {
    /// One JSON text a record.
    pub lines: Vec<String>,
    /// The hash after the last.
    pub hash: [u8; 32],
}

/// Where journals live.
///
/// # Guarantees
/// [`Store::append`] returns `Ok` only after its records are durable, in one transaction with what they keep apart and the
/// inbox entries they answer, and only if the epoch is still the run's. Calls from many threads share commits.
pub trait Store: Send + Sync {
    /// Stores a new run without records, which nobody holds. Its epochs go on from that of the head. One of that id that never got a
    /// record is stored anew: who knows a run's id before it begins can begin it again after a crash. Taking it tells whether somebody is
    /// about to.
    ///
    /// # Errors
    /// When a run of that id has records, or the store cannot be written.
    fn create(&self, head: &Head) -> Result<(), StoreError>;

    /// Appends durably.
    ///
    /// # Errors
    /// [`StoreError::Fenced`] when the epoch is over, [`StoreError::Damaged`] when `first_seq` does not follow.
    fn append(&self, append: Append) -> Result<(), StoreError>;

    /// The whole journal of a run, its hash chain verified.
    ///
    /// # Errors
    /// [`StoreError::Damaged`] with the first record that is not what was written.
    fn load(&self, run: &RunId) -> Result<Lines, StoreError>;

    /// The records from this sequence number on, unverified: for following a run that somebody else holds.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn tail(&self, run: &RunId, from_seq: u64) -> Result<Vec<String>, StoreError>;

    /// The first record of a run, unverified; none when it has no record. Does not read the others.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn first(&self, run: &RunId) -> Result<Option<String>, StoreError>;

    /// The heads of all runs, newest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn heads(&self) -> Result<Vec<Head>, StoreError>;

    /// The heads of the runs that a selection takes, newest first. Does not read the others, so that a page of a long list is cheap.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn select(&self, of: &Selection) -> Result<Vec<Head>, StoreError>;

    /// The names of the playbooks that there are runs of, in order. Does not read the runs.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn playbooks(&self) -> Result<Vec<String>, StoreError>;

    /// How many runs there are of each status that any has.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn count(&self) -> Result<Vec<(RunStatus, u64)>, StoreError>;

    /// The runs that want somebody to carry them on. Those that their holder gave up and that nobody has ordered anything are none.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn wanting(&self) -> Result<Wanting, StoreError>;

    /// The head of one run.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`].
    fn head(&self, run: &RunId) -> Result<Head, StoreError>;

    /// The run meant by an id, an unambiguous prefix, or `@latest`.
    ///
    /// # Errors
    /// [`StoreError::NoSuchRun`] or [`StoreError::Ambiguous`].
    fn resolve(&self, text: &str) -> Result<RunId, StoreError>;

    /// Stores bytes under their SHA-256 (hex). Idempotent.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn put_blob(&self, bytes: &[u8]) -> Result<String, StoreError>;

    /// The bytes under a digest, verified.
    ///
    /// # Errors
    /// [`StoreError::NoSuchBlob`], or damaged.
    fn blob(&self, digest: &str) -> Result<Vec<u8>, StoreError>;

    /// Remembers that this playbook had this version and bundle: the playbook's history.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn remember_bundle(&self, playbook: &str, version: &str, digest: &str, at: Timestamp) -> Result<(), StoreError>;

    /// What bundles a playbook has had here, oldest first: version, digest, first seen.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn bundles(&self, playbook: &str) -> Result<Vec<(String, String, Timestamp)>, StoreError>;

    /// Puts a command into a run's inbox, durably.
    ///
    /// # Errors
    /// When the run does not exist, was handed over, or the store cannot be written.
    fn post(&self, run: &RunId, command: &Command) -> Result<i64, StoreError>;

    /// The commands in a run's inbox, oldest first.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn inbox(&self, run: &RunId) -> Result<Vec<(i64, Command)>, StoreError>;

    /// The runs held by this process that have something in their inbox: one cheap query for all of them.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn inbox_runs(&self) -> Result<Vec<RunId>, StoreError>;

    /// Takes a run for this process: a new epoch, unless somebody alive holds it.
    ///
    /// # Errors
    /// [`StoreError::HandedOver`], or when the store cannot be written.
    fn take(&self, run: &RunId) -> Result<Taken, StoreError>;

    /// Gives a run up; nobody holds it then. Does nothing if this process does not hold it under that epoch.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn release(&self, run: &RunId, epoch: u64) -> Result<(), StoreError>;

    /// Who this process is to the store.
    fn holder(&self) -> Holder;

    /// Shows others from now on that this process lives, as taking a run does.
    ///
    /// # Errors
    /// When the store cannot be written.
    fn enrol(&self) -> Result<(), StoreError>;

    /// Whether a holder lives.
    fn life(&self, holder: &Holder) -> Life;

    /// Ends a holder that [`Taken::Stale`] named, and waits until it is gone; the run can be taken then. Never ends one that
    /// has given a sign of life since, nor another process that has its process id now.
    ///
    /// # Errors
    /// When it is not stale, cannot be ended, or is out of reach.
    fn kill_stale(&self, holder: &Holder) -> Result<(), StoreError>;

    /// One document.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn document(&self, kind: &str, key: &str) -> Result<Option<Document>, StoreError>;

    /// The documents of a kind that a query takes, in its order.
    ///
    /// # Errors
    /// When the store cannot be read.
    fn documents(&self, kind: &str, query: &Query) -> Result<Vec<Document>, StoreError>;

    /// Writes documents, durably and all or nothing. A later write of the batch sees the earlier ones.
    ///
    /// # Errors
    /// [`StoreError::Conflict`] when one is not as expected, [`StoreError::Full`] when there is no room but for outcomes.
    fn write_documents(&self, writes: &[Write], at: Timestamp) -> Result<(), StoreError>;
}
