//! The disk is full or read-only.

use std::io::Write;
use std::process::{Command as Process, Stdio};

use muster::journal::record::{Outcome, UndoPlan};
use muster::journal::{RunJournal, SqliteStore, Store, StoreError, Taken};
use muster::model::{CallId, Phase, StepPath};
use serde_json::json;

use super::*;

fn call(seq: u32) -> CallId {
    CallId { step: StepPath::of("restore"), phase: Phase::Body, attempt: 1, seq }
}

fn intent(seq: u32) -> Fact {
    let (op, key, args) = ("pg.dump".into(), format!("m-{seq}"), json!({ "to": "/x" }));
    Fact::Intent {
        call: call(seq),
        op,
        revision: 1,
        args,
        key,
        before: Value::Null,
        undo: UndoPlan::Nothing,
        undoes: None,
    }
}

fn outcome(seq: u32, size: usize) -> Fact {
    let outcome = Outcome::Done { result: json!({ "tail": "x".repeat(size) }), fingerprint: Value::Null };
    Fact::Ended { call: call(seq), outcome }
}

/// A file system of its own, unmounted at the end.
struct Mount(PathBuf, #[allow(dead_code, reason = "removes the folder")] tempfile::TempDir);

impl Mount {
    /// `None` where only root could make one.
    fn new(size: &str) -> Option<Self> {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let mounted = Process::new("mount")
            .args(["-t", "tmpfs", "-o", &format!("size={size},mode=0700"), "tmpfs"])
            .arg(folder.path())
            .stderr(Stdio::null())
            .status();
        if !mounted.is_ok_and(|status| status.success()) {
            eprintln!("skipped: only root can mount a small file system to fill it up");
            return None;
        }
        Some(Self(folder.path().to_owned(), folder))
    }

    /// A child that another test has just forked keeps every open file until it is a program of its own: the file
    /// system is busy for as long.
    fn make_read_only(&self) {
        for _ in 0..100 {
            let status = Process::new("mount").args(["-o", "remount,ro"]).arg(&self.0).status().expect("mount runs");
            if status.success() {
                return;
            }
            std::thread::sleep(Duration::from_millis(50));
        }
        panic!("{} is busy", self.0.display());
    }
}

impl Drop for Mount {
    fn drop(&mut self) {
        let _ = Process::new("umount").arg(&self.0).status();
    }
}

/// Gives the room back. It is cut to nothing before it is removed: a removed file keeps its room while anybody has it
/// open, and a child that another test has just forked has, until it is a program of its own.
fn empty(folder: &Path) {
    let path = folder.join("filler");
    std::fs::OpenOptions::new().write(true).truncate(true).open(&path).expect("a file");
    std::fs::remove_file(path).expect("removed");
}

/// Takes all the room there is.
fn fill(folder: &Path) {
    let mut file = std::fs::OpenOptions::new().create(true).append(true).open(folder.join("filler")).expect("a file");
    for size in [65536, 4096, 512, 1] {
        while file.write_all(&vec![0u8; size]).is_ok() {}
    }
}

#[test]
fn on_a_full_disk_outcomes_are_kept_and_nothing_new_is_begun() {
    let Some(mount) = Mount::new("4m") else { return };
    let path = mount.0.join("store.db");
    let store = open(&path);
    let mut journal = begin(&store, 1);
    put(&mut journal, [intent(0)]).expect("durable");
    fill(&mount.0);
    // The reserve takes the outcomes of what is under way; as long as it is needed, nothing new is begun.
    put(&mut journal, [outcome(0, 20_000)]).expect("the outcome has its room");
    let filler = std::fs::OpenOptions::new().append(true).open(mount.0.join("filler")).expect("a file");
    let refused = put(&mut journal, [outcome(1, 100), outcome(2, 100), intent(3)]);
    assert!(matches!(refused, Err(StoreError::Full { .. })), "{refused:?}");
    let stopped = put(&mut journal, [outcome(3, 1)]);
    assert!(matches!(stopped, Err(StoreError::Stopped { .. })), "{stopped:?}");
    drop((journal, store, filler));

    let store = open(&path);
    let lines = store.load(&run()).expect("verified").lines;
    assert_eq!(lines.len(), 6, "the outcomes before the refused intent are kept");
    assert!(!lines.concat().contains("\"key\":\"m-3\""), "an intent was begun that was refused");
    empty(&mount.0);
    let Taken::Yes { epoch } = store.take(&run()).expect("taken") else { panic!("nobody holds it") };
    let (mut journal, records) = RunJournal::open(Arc::clone(&store), Arc::default(), run(), epoch).expect("a journal");
    assert_eq!(records.len(), lines.len());
    put(&mut journal, [intent(3)]).expect("there is room to begin something");
}

#[test]
fn every_record_acknowledged_before_the_disk_was_full_is_there() {
    let Some(mount) = Mount::new("3m") else { return };
    let path = mount.0.join("store.db");
    let store = open(&path);
    let mut journal = begin(&store, 1);
    let mut acknowledged = 2;
    let refused = loop {
        match put(&mut journal, [outcome(acknowledged, 3000), intent(acknowledged)]) {
            Ok(()) => acknowledged += 2,
            Err(error) => break error,
        }
    };
    assert!(matches!(refused, StoreError::Full { .. }), "{refused:?}");
    drop((journal, store));
    let lines = open(&path).load(&run()).expect("verified").lines;
    assert!(acknowledged > 100 && lines.len() >= acknowledged as usize, "{} of {acknowledged}", lines.len());
}

#[test]
fn a_read_only_store_can_be_read_and_says_so_when_written() {
    let Some(mount) = Mount::new("8m") else { return };
    let path = mount.0.join("store.db");
    drop(begin(&open(&path), 3));
    mount.make_read_only();
    let store = SqliteStore::open(&path, options()).expect("it opens to be read");
    assert_eq!(store.load(&run()).expect("verified").lines.len(), 6);
    assert_eq!(store.heads().expect("listed").len(), 1);
    assert!(matches!(store.take(&run()), Err(StoreError::ReadOnly { .. })));
    assert!(matches!(store.put_blob(b"x"), Err(StoreError::ReadOnly { .. })));
    assert!(matches!(store.create(&head(&RunId::from_entropy(2))), Err(StoreError::ReadOnly { .. })));
    assert!(store.warnings().concat().contains("read-only"));
    let missing = SqliteStore::open(&mount.0.join("none.db"), options()).err();
    assert!(matches!(missing, Some(StoreError::ReadOnly { .. })), "{missing:?}");
}
