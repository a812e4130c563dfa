//! The head of a run that is at work falls behind its journal, and nobody is the wiser.

use rusqlite::Connection;

use super::*;

/// A run whose three appends were made in one instant, so that nothing made its head follow. Still held.
fn at_work(path: &Path) -> (Arc<dyn Store>, RunJournal, Timestamp) {
    let (store, at) = (open(path), Timestamp::now());
    let mut journal = RunJournal::create(Arc::clone(&store), Arc::default(), &head(&run())).expect("a run");
    for fact in [started(&run(), FORMAT), note("second"), note("third")] {
        append(&mut journal, fact, at);
    }
    (store, journal, at)
}

fn append(journal: &mut RunJournal, fact: Fact, at: Timestamp) {
    journal.push(fact, at);
    journal.commit(&[], RunStatus::Running, "restore").expect("durable");
}

/// How many rows the head names less than there are.
fn behind(db: &Connection) -> i64 {
    db.query_row("SELECT (SELECT max(key) FROM batch) - last FROM run", [], |row| row.get(0)).expect("a head")
}

/// Rows of other runs, which move the journal's next row away from its head.
fn others(db: &Connection, rows: i64) {
    let text = "INSERT INTO batch (run, first_seq, count, hash, body)
        WITH RECURSIVE n(i) AS (SELECT 1 UNION ALL SELECT i + 1 FROM n WHERE i < ?) SELECT 9, 0, 1, x'', '' FROM n";
    db.execute(text, [rows]).expect("inserted");
}

#[test]
fn a_journal_ahead_of_its_head_is_read_whole_and_its_head_follows_when_it_is_let_go() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");
    let (ours, journal, _) = at_work(&path);
    let db = Connection::open(&path).expect("the database");
    assert_eq!(behind(&db), 2, "the head was written again for nothing");
    let theirs = open(&path);
    assert_eq!(theirs.head(&run()).expect("a head").records, 3);
    assert_eq!(theirs.load(&run()).expect("verified").lines.len(), 3);
    assert_eq!(theirs.tail(&run(), 2).expect("read").len(), 1);
    journal.release().expect("released");
    assert_eq!(behind(&db), 0, "a run that rests is pinned to its last record");
    drop(ours);
    assert_eq!(theirs.load(&run()).expect("verified").lines.len(), 3);
}

#[test]
fn a_journal_stays_within_reach_of_its_head_however_much_others_write() {
    for rows in [4000, 4094, 4095, 5000] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store.db");
        let (_ours, mut journal, at) = at_work(&path);
        let db = Connection::open(&path).expect("the database");
        others(&db, rows);
        append(&mut journal, note("fourth"), at);
        append(&mut journal, note("fifth"), at);
        assert!(behind(&db) <= 4096, "{} rows behind", behind(&db));
        assert_eq!(open(&path).load(&run()).expect("verified").lines.len(), 5, "after {rows} rows of others");
    }
}

#[test]
fn a_journal_tampered_with_beyond_its_head_is_found_out() {
    for (tamper, expected) in [
        ("DELETE FROM batch WHERE key = 2", 1),
        ("UPDATE batch SET body = replace(body, 'second', 'sec0nd') WHERE key = 2", 1),
        ("UPDATE batch SET prev = 1 WHERE key = 3", 1),
        ("UPDATE batch SET prev = NULL, first_seq = 0, count = 3 WHERE key = 3", 0),
        ("UPDATE run SET hash = zeroblob(32)", 0),
    ] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("store.db");
        let (_ours, _journal, _) = at_work(&path);
        Connection::open(&path).expect("the database").execute_batch(tamper).expect("tampered");
        match open(&path).load(&run()) {
            Err(StoreError::Damaged { seq, .. }) => assert_eq!(seq, expected, "{tamper}"),
            other => panic!("{tamper} was not found out: {other:?}"),
        }
    }
}
