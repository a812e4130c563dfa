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
fn how_a_run_began_is_read_without_the_rest_of_it_and_of_runs_from_before_that_was_kept_too() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");
    let (ours, journal, _) = at_work(&path);
    journal.release().expect("released");
    let whole = ours.tail(&run(), 0).expect("read");
    let db = Connection::open(&path).expect("the database");
    db.execute("UPDATE run SET first = NULL", []).expect("as an older version wrote it");
    assert_eq!(ours.first(&run()).expect("read").as_ref(), whole.first());
    db.execute("UPDATE run SET first = (SELECT min(key) FROM batch)", []).expect("as it is written now");
    db.execute("DELETE FROM batch WHERE first_seq = 1", []).expect("the rest is damaged");
    assert_eq!(ours.first(&run()).expect("read").as_ref(), whole.first());
    assert!(ours.tail(&run(), 0).is_err());
    db.execute("DELETE FROM batch WHERE first_seq = 0", []).expect("the beginning is damaged");
    assert!(matches!(ours.first(&run()), Err(StoreError::Damaged { seq: 0, .. })));
}

#[test]
fn what_follows_a_run_that_has_ended_is_not_gone_through_to_say_how_it_stands() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");
    let (ours, mut journal, at) = at_work(&path);
    journal.push(note("fourth"), at);
    journal.commit(&[], RunStatus::Killed, "").expect("durable");
    // A note on a run that has ended is part of it.
    journal.push(note("fifth"), at);
    journal.commit(&[], RunStatus::Killed, "").expect("durable");
    let db = Connection::open(&path).expect("the database");
    assert_eq!(behind(&db), 0, "the head of a run that has ended names its last record");
    assert_eq!(ours.head(&run()).expect("a head").records, 5);
    assert_eq!(ours.tail(&run(), 0).expect("read").len(), 5);
    assert_eq!(ours.load(&run()).expect("verified").lines.len(), 5);
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
