//! What every command works with: where the store is, how output looks, what time it is.

use std::path::PathBuf;
use std::sync::Arc;

use super::failure::Failure;
use super::printer::Printer;
use super::render::view::View;
use crate::clock::{Clock as _, SystemClock};
use crate::journal::sqlite::{Options, SqliteStore};
use crate::journal::{Head, Record, Store, StoreError};
use crate::model::{RunId, Timestamp};

/// What every command works with.
pub struct Context {
    /// The store's file.
    pub store_path: PathBuf,
    /// Where output goes.
    pub printer: Printer,
}

impl Context {
    /// Opens the store. What its owner should know goes to standard error.
    ///
    /// # Errors
    /// When it cannot be opened.
    pub fn store(&self) -> Result<Arc<SqliteStore>, Failure> {
        let store = SqliteStore::open(&self.store_path, Options::default())?;
        for warning in store.warnings() {
            self.printer.warn(&warning);
        }
        Ok(Arc::new(store))
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        SystemClock.now()
    }
}

/// The store's file if nothing else is said: `$XDG_STATE_HOME/muster/muster.db`, or the same under `~/.local/state`.
///
/// # Errors
/// When there is no home folder.
pub fn default_store() -> Result<PathBuf, Failure> {
    let folder = |name: &str| std::env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    folder("XDG_STATE_HOME")
        .or_else(|| folder("HOME").map(|home| home.join(".local/state")))
        .map(|state| state.join("muster/muster.db"))
        .ok_or_else(|| Failure::user("cannot tell where the store is: HOME is not set").hint("say so by --store PATH"))
}

/// The head of the run meant by an id, a prefix or `@latest`.
///
/// # Errors
/// When there is no such run, or several.
pub fn head_of(store: &dyn Store, text: &str) -> Result<Head, Failure> {
    let run = store.resolve(text).map_err(|error| match (&error, text) {
        (StoreError::NoSuchRun(_), "@latest") => {
            Failure::user("there is no run yet").hint("`muster run PLAYBOOK` starts one")
        }
        _ => Failure::from(error),
    })?;
    Ok(store.head(&run)?)
}

/// A run's records, as far as they can be read, without the proof that they are what was written.
///
/// # Errors
/// When the store cannot be read, or a record is none.
pub fn records_of(store: &dyn Store, run: &RunId, from_seq: u64) -> Result<Vec<Record>, Failure> {
    let lines = store.tail(run, from_seq)?;
    lines.iter().enumerate().map(|(place, line)| record_of(run, from_seq + place as u64, line)).collect()
}

/// A record as stored.
///
/// # Errors
/// When it is none.
pub fn record_of(run: &RunId, seq: u64, line: &str) -> Result<Record, Failure> {
    serde_json::from_str(line)
        .map_err(|error| StoreError::Damaged { run: run.clone(), seq, what: format!("not a record: {error}") }.into())
}

/// A run as people see it.
///
/// # Errors
/// When its journal cannot be read.
pub fn view_of(store: &dyn Store, run: &RunId) -> Result<View, Failure> {
    let mut view = View::default();
    for record in records_of(store, run, 0)? {
        view.apply(&record);
    }
    Ok(view)
}
