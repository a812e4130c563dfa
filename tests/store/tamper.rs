//! What is stored is not what was written, or not of this version.

use std::os::unix::fs::PermissionsExt;

use muster::journal::record::FORMAT;
use muster::journal::{RunJournal, SqliteStore, Store, StoreError, apart};
use rusqlite::Connection;

use super::*;

#[test]
fn a_journal_with_any_byte_changed_is_found_out() {
    let (_folder, path, lines) = written();
    let store = open(&path);
    let db = Connection::open(&path).expect("the database");
    db.execute_batch("PRAGMA synchronous = OFF").expect("in a hurry");
    for row in 1..=3i64 {
        let body: String = db.query_row("SELECT body FROM batch WHERE key = ?", [row], |r| r.get(0)).expect("a row");
        for place in 0..body.len() {
            let mut bytes = body.clone().into_bytes();
            bytes[place] ^= 1;
            db.execute("UPDATE batch SET body = CAST(? AS TEXT) WHERE key = ?", (&bytes, row)).expect("tampered");
            match store.load(&run()) {
                Err(StoreError::Damaged { seq, .. }) => {
                    let first = u64::try_from(2 * (row - 1)).expect("small");
                    assert!((first..first + 2).contains(&seq), "byte {place} of row {row}: record {seq}");
                }
                other => panic!("byte {place} of row {row}: {other:?}"),
            }
        }
        db.execute("UPDATE batch SET body = ? WHERE key = ?", (&body, row)).expect("mended");
    }
    assert_eq!(store.load(&run()).expect("as it was").lines, lines);
}

#[test]
fn a_journal_whose_rows_were_moved_cut_or_renumbered_is_found_out() {
    for (tamper, expected) in [
        ("DELETE FROM batch WHERE key = 3", 5),
        ("DELETE FROM batch WHERE key = 1", 1),
        ("UPDATE batch SET prev = NULL WHERE key = 2", 1),
        ("UPDATE batch SET prev = 3 WHERE key = 1", 1),
        ("UPDATE batch SET prev = 1 WHERE key = 3", 3),
        ("UPDATE batch SET first_seq = first_seq + 1 WHERE key = 2", 3),
        ("UPDATE batch SET count = 1, first_seq = 3 WHERE key = 2", 3),
        ("UPDATE batch SET run = 9 WHERE key = 2", 3),
        ("UPDATE batch SET hash = zeroblob(32) WHERE key = 2", 2),
        ("UPDATE batch SET hash = x'00' WHERE key = 3", 4),
        ("UPDATE run SET hash = zeroblob(32)", 5),
        ("UPDATE run SET records = 4, last = 2", 3),
        ("UPDATE run SET records = 4", 3),
        ("UPDATE run SET records = 7", 6),
        ("UPDATE run SET last = NULL", 5),
    ] {
        let (_folder, path, _) = written();
        Connection::open(&path).expect("the database").execute_batch(tamper).expect("tampered");
        match open(&path).load(&run()) {
            Err(StoreError::Damaged { seq, .. }) => assert_eq!(seq, expected, "{tamper}"),
            other => panic!("{tamper} was not found out: {other:?}"),
        }
    }
}

#[test]
fn a_broken_page_is_an_error_and_never_a_wrong_journal() {
    let (_folder, path, lines) = written();
    let whole = std::fs::read(&path).expect("the file");
    let mut found = 0;
    for page in 0..whole.len() / 4096 {
        for (from, len) in [(0, 16), (2000, 2096), (4000, 96)] {
            let mut bytes = whole.clone();
            let start = page * 4096 + from;
            bytes[start..start + len].fill(0xa5);
            std::fs::write(&path, bytes).expect("broken");
            match SqliteStore::open(&path, options()).and_then(|store| store.load(&run())) {
                Ok(loaded) => assert_eq!(loaded.lines, lines, "page {page}"),
                Err(StoreError::Corrupt { .. } | StoreError::Damaged { .. }) => found += 1,
                // The name of a run lies in a page too.
                Err(StoreError::NoSuchRun(_)) => {}
                Err(other) => panic!("page {page} from {from}: {other:?}"),
            }
        }
    }
    assert!(found > 3, "only {found} broken pages were noticed");
    std::fs::write(&path, &whole[..whole.len() / 2]).expect("cut");
    assert!(SqliteStore::open(&path, options()).and_then(|store| store.load(&run())).is_err());
}

#[test]
fn a_result_kept_apart_that_was_altered_or_taken_away_is_found_out() {
    for (tamper, complaint) in [
        ("UPDATE blob SET bytes = CAST(replace(CAST(bytes AS TEXT), '!', '?') AS BLOB)", "has digest"),
        ("UPDATE blob SET bytes = x''", "has digest"),
        ("DELETE FROM blob", "nothing is stored under digest"),
    ] {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("store.db");
        let store = open(&path);
        let mut journal = begin(&store, 1);
        let output = serde_json::json!(vec!["sixteen letters!"; 8000]);
        let step = muster::model::StepPath::of("read");
        put(&mut journal, [Fact::StepSucceeded { step, output }]).expect("durable");
        drop((journal, store));
        Connection::open(&path).expect("the database").execute_batch(tamper).expect("tampered");
        let store = SqliteStore::open(&path, options()).expect("it opens");
        match apart::records(&store, &run()) {
            Err(StoreError::Damaged { what, .. }) => assert!(what.contains(complaint), "{tamper}: {what}"),
            other => panic!("{tamper} was not found out: {other:?}"),
        }
        let faults = store.verify().expect("checked");
        assert!(matches!(faults[0], StoreError::Damaged { .. }), "{faults:?}");
    }
}

#[test]
fn verify_names_every_fault() {
    let (_folder, path, _) = written();
    let store = SqliteStore::open(&path, options()).expect("it opens");
    let digest = store.put_blob(b"bundle").expect("stored");
    assert!(store.verify().expect("checked").is_empty());
    let db = Connection::open(&path).expect("the database");
    db.execute_batch("UPDATE blob SET bytes = x'00'; UPDATE batch SET body = 'x' WHERE key = 2").expect("tampered");
    let faults = store.verify().expect("checked");
    assert!(matches!(faults[..], [StoreError::Damaged { seq: 2, .. }, StoreError::Corrupt { .. }]), "{faults:?}");
    assert!(store.blob(&digest).is_err(), "bytes are checked against their digest");
}

#[test]
fn what_is_no_store_is_left_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("other.db");
    Connection::open(&path).and_then(|db| db.execute_batch("CREATE TABLE theirs (x)")).expect("somebody's database");
    let refused = SqliteStore::open(&path, options()).err().expect("refused").to_string();
    assert!(refused.contains("another program"), "{refused}");
    let text = folder.path().join("notes.txt");
    std::fs::write(&text, "not a database at all, but long enough to be looked at".repeat(20)).expect("a text");
    assert!(matches!(SqliteStore::open(&text, options()), Err(StoreError::Corrupt { .. })));
    assert!(matches!(SqliteStore::open(folder.path(), options()), Err(StoreError::Database { .. })));
}

#[test]
fn a_store_of_a_later_version_is_refused_and_the_version_named() {
    let (_folder, path, _) = written();
    let db = Connection::open(&path).expect("the database");
    db.execute_batch("INSERT INTO format VALUES (99, '9.9.9')").expect("a later format");
    let refused = SqliteStore::open(&path, options()).err().expect("refused").to_string();
    assert!(refused.contains("format 99") && refused.contains("muster 9.9.9"), "{refused}");
}

#[test]
fn a_journal_of_a_later_version_is_refused_and_the_version_named() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let store = open(&folder.path().join("store.db"));
    let mut journal = RunJournal::create(Arc::clone(&store), Arc::default(), &head(&run())).expect("a run");
    put(&mut journal, [started(&run(), FORMAT + 1)]).expect("durable");
    let refused = RunJournal::open(store, Arc::default(), run(), 1).err().expect("refused").to_string();
    assert!(refused.contains("muster 7.7.7"), "{refused}");
}

#[test]
fn only_the_owner_may_read_a_store_and_its_key() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("state/store.db");
    let store = SqliteStore::open(&path, options()).expect("it opens");
    let keys: Vec<[u8; 32]> = std::thread::scope(|scope| {
        let threads: Vec<_> = (0..8).map(|_| scope.spawn(|| store.key().expect("a key"))).collect();
        threads.into_iter().map(|thread| thread.join().expect("no panic")).collect()
    });
    assert!(keys.iter().all(|key| *key == keys[0]) && keys[0] != [0; 32]);
    drop(store);
    assert_eq!(SqliteStore::open(&path, options()).expect("it opens").key().expect("a key"), keys[0]);
    let mode = |name: &str| {
        let of = std::fs::metadata(folder.path().join(name)).expect("it is there");
        of.permissions().mode() & 0o777
    };
    assert_eq!((mode("state"), mode("state/store.db.d")), (0o700, 0o700));
    assert_eq!((mode("state/store.db"), mode("state/store.db.d/key")), (0o600, 0o600));
    assert_eq!(std::fs::read_dir(folder.path().join("state/store.db.d/holders")).expect("a folder").count(), 0);
}
