//! The store on disk keeps its promises when the world does not: tampering, broken pages, a full or read-only disk, other
//! processes that write, die or stop.

#[path = "store/disk.rs"]
mod disk;
#[path = "store/heads.rs"]
mod heads;
#[path = "store/processes.rs"]
mod processes;
#[path = "store/tamper.rs"]
mod tamper;

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use muster::journal::record::{FORMAT, Fact};
use muster::journal::sqlite::Options;
use muster::journal::{Head, RunJournal, SqliteStore, Store, StoreError};
use muster::model::command::Actor;
use muster::model::status::{Mode, RunStatus};
use muster::model::{RunId, Timestamp, Value};

const LEASE: Duration = Duration::from_millis(400);

fn options() -> Options {
    Options { lease: LEASE, reserve: 256 * 1024, ..Options::default() }
}

fn open(path: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(path, options()).expect("the store opens"))
}

fn run() -> RunId {
    RunId::from_entropy(1)
}

fn actor() -> Actor {
    Actor { name: "alice@host".into() }
}

fn note(text: &str) -> Fact {
    Fact::Noted { by: actor(), text: text.into() }
}

fn head(run: &RunId) -> Head {
    let now = Timestamp::now();
    Head {
        run: run.clone(),
        playbook: "restore".into(),
        version: "1.0.0".into(),
        bundle: "b".repeat(64),
        status: RunStatus::Running,
        detail: String::new(),
        started: now,
        updated: now,
        records: 0,
        epoch: 0,
        holder: None,
    }
}

fn started(run: &RunId, format: u32) -> Fact {
    Fact::RunStarted {
        format,
        run: run.clone(),
        playbook: "restore".into(),
        version: "1.0.0".into(),
        bundle: "b".repeat(64),
        mode: Mode::Live,
        params: Value::Null,
        by: actor(),
        seed: 7,
        engine: "7.7.7".into(),
        forked_from: None,
        drill: None,
    }
}

fn put(journal: &mut RunJournal, facts: impl IntoIterator<Item = Fact>) -> Result<(), StoreError> {
    for fact in facts {
        journal.push(fact, Timestamp::now());
    }
    journal.commit(&[], RunStatus::Running, "restore")
}

/// A run of `2 * appends` records.
fn begin(store: &Arc<dyn Store>, appends: usize) -> RunJournal {
    let mut journal = RunJournal::create(Arc::clone(store), Arc::default(), &head(&run())).expect("a run");
    put(&mut journal, [started(&run(), FORMAT), note("first")]).expect("durable");
    for n in 1..appends {
        put(&mut journal, [note(&format!("a {n}")), note(&format!("b {n}"))]).expect("durable");
    }
    journal
}

/// A store with one run of six records in three appends, all of it in the one file.
fn written() -> (tempfile::TempDir, PathBuf, Vec<String>) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");
    let store = open(&path);
    drop(begin(&store, 3));
    let lines = store.load(&run()).expect("verified").lines;
    drop(store);
    (folder, path, lines)
}
