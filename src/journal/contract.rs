//! What every store promises, as tests: each runs against the store in memory and the one on disk.

use std::sync::Arc;

use serde_json::json;

use super::document::{Query, Write};
use super::memory::digest_of;
use super::record::{Fact, Outcome, Record};
use super::selection::{Life, Selection, Wanting};
use super::sqlite::Options;
use super::store::{Append, Head, Store, StoreError, Taken};
use super::{MemoryStore, RunJournal, SqliteStore, apart, chain};
use crate::model::command::{Actor, Command, Order};
use crate::model::secret::Redactor;
use crate::model::status::{Mode, RunStatus};
use crate::model::{CallId, Phase, RunId, StepPath, Timestamp, Value};

/// A store, and another process's view of it.
pub(crate) struct Pair {
    pub(crate) ours: Arc<dyn Store>,
    pub(crate) theirs: Arc<dyn Store>,
    _folder: Option<tempfile::TempDir>,
}

fn in_memory() -> Pair {
    let ours = MemoryStore::new();
    let theirs = ours.beside();
    Pair { ours: Arc::new(ours), theirs: Arc::new(theirs), _folder: None }
}

fn on_disk() -> Pair {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("store.db");
    let open = || Arc::new(SqliteStore::open(&path, Options { reserve: 0, ..Options::default() }).expect("it opens"));
    Pair { ours: open(), theirs: open(), _folder: Some(folder) }
}

pub(crate) fn at(second: i64) -> Timestamp {
    Timestamp::from_second(1_700_000_000 + second).expect("a time of this century")
}

pub(crate) fn head(bits: u64, started: i64) -> Head {
    Head {
        run: RunId::from_entropy(bits),
        playbook: "restore".into(),
        version: "1.0.0".into(),
        bundle: "b".repeat(64),
        status: RunStatus::Running,
        detail: String::new(),
        started: at(started),
        updated: at(started),
        records: 0,
        epoch: 0,
        holder: None,
    }
}

pub(crate) fn started(run: &RunId) -> Fact {
    Fact::RunStarted {
        format: super::record::FORMAT,
        run: run.clone(),
        playbook: "restore".into(),
        version: "1.0.0".into(),
        bundle: "b".repeat(64),
        mode: Mode::Sandbox,
        params: json!({ "database": "chat" }),
        by: Actor { name: "alice@host".into() },
        seed: u64::MAX,
        engine: "0.1.0".into(),
        forked_from: None,
        drill: None,
    }
}

pub(crate) fn note(text: &str) -> Fact {
    Fact::Noted { by: Actor { name: "alice@host".into() }, text: text.into() }
}

/// A run with its first record and `notes` more, committed two at a time.
pub(crate) fn begin(store: &Arc<dyn Store>, bits: u64, notes: usize) -> RunJournal {
    let head = head(bits, i64::try_from(bits).unwrap_or(0));
    let mut journal = RunJournal::create(Arc::clone(store), Arc::default(), &head).expect("a new run");
    journal.push(started(&head.run), head.started);
    for n in 0..notes {
        journal.push(note(&format!("note {n}")), head.started);
        if journal.buffered() >= 2 {
            journal.commit(&[], RunStatus::Running, "at work").expect("durable");
        }
    }
    journal.commit(&[], RunStatus::Running, "at work").expect("durable");
    journal
}

fn reopen(store: &Arc<dyn Store>, run: &RunId, epoch: u64) -> Vec<Record> {
    RunJournal::open(Arc::clone(store), Arc::default(), run.clone(), epoch).expect("a journal").1
}

fn nothing(run: &RunId, epoch: u64, first_seq: u64) -> Append {
    let (status, detail) = (RunStatus::Running, String::new());
    Append {
        run: run.clone(),
        epoch,
        first_seq,
        lines: Vec::new(),
        blobs: Vec::new(),
        hash: chain::START,
        consumed: vec![],
        status,
        detail,
        updated: at(0),
    }
}

fn what_is_committed_is_what_another_process_reads(pair: Pair) {
    let mut journal = begin(&pair.ours, 1, 0);
    let written: Vec<Record> = (0..5).map(|n| journal.push(note(&format!("line\n{n}")), at(2 + n))).collect();
    assert_eq!(reopen(&pair.theirs, journal.run(), 1).len(), 1, "what is pushed is not durable yet");
    journal.commit(&[], RunStatus::Waiting, "for the timer").expect("durable");
    assert_eq!(reopen(&pair.theirs, journal.run(), 1)[1..], written);
    let head = pair.theirs.head(journal.run()).expect("a head");
    assert_eq!((head.status, head.detail.as_str(), head.records), (RunStatus::Waiting, "for the timer", 6));
    assert_eq!(head.updated, at(6));
    assert_eq!(head.holder, Some(pair.ours.holder()));
}

fn a_commit_without_news_costs_nothing(pair: Pair) {
    let mut journal = begin(&pair.ours, 1, 3);
    let before = pair.ours.head(journal.run()).expect("a head");
    journal.commit(&[], RunStatus::Running, "at work").expect("nothing to do");
    assert_eq!(pair.ours.head(journal.run()).expect("a head"), before);
    journal.commit(&[], RunStatus::Paused, "choose").expect("only the head");
    let after = pair.ours.head(journal.run()).expect("a head");
    assert_eq!((after.status, after.records), (RunStatus::Paused, before.records));
}

fn time_never_goes_back_in_a_journal(pair: Pair) {
    let mut journal = begin(&pair.ours, 1, 0);
    assert_eq!(journal.push(note("later"), at(50)).at, at(50));
    assert_eq!(journal.push(note("the clock was set back"), at(10)).at, at(50));
    journal.commit(&[], RunStatus::Running, "").expect("durable");
    let (mut again, _) =
        RunJournal::open(Arc::clone(&pair.ours), Arc::default(), journal.run().clone(), 1).expect("a journal");
    assert_eq!(again.push(note("after a restart"), at(20)).at, at(50));
}

fn a_secret_is_neither_stored_nor_given_back(pair: Pair) {
    let redactor = Arc::new(Redactor::default());
    redactor.learn("correct horse");
    let head = head(1, 0);
    let mut journal = RunJournal::create(Arc::clone(&pair.ours), redactor, &head).expect("a new run");
    journal.push(started(&head.run), at(0));
    let given = journal.push(note("it is correct horse"), at(0));
    journal.commit(&[], RunStatus::Paused, "correct horse?").expect("durable");
    let lines = pair.ours.load(&head.run).expect("verified").lines;
    assert!(!lines.concat().contains("correct horse"), "{lines:?}");
    assert_eq!(chain::decode(&lines[1]), Ok(given));
    assert!(!pair.ours.head(&head.run).expect("a head").detail.contains("horse"));
}

fn a_journal_that_failed_once_writes_no_more(pair: Pair) {
    let mut journal = begin(&pair.ours, 1, 1);
    pair.ours.take(journal.run()).expect("a later epoch");
    journal.push(note("late"), at(3));
    assert!(matches!(journal.commit(&[], RunStatus::Running, ""), Err(StoreError::Fenced { .. })));
    assert!(matches!(journal.commit(&[], RunStatus::Running, ""), Err(StoreError::Stopped { .. })));
    assert_eq!(pair.ours.head(journal.run()).expect("a head").records, 2);
}

fn an_append_under_an_old_epoch_is_refused_and_changes_nothing(pair: Pair) {
    let journal = begin(&pair.ours, 1, 2);
    assert_eq!(pair.ours.take(journal.run()).expect("taken"), Taken::Yes { epoch: 2 });
    let before = pair.ours.head(journal.run()).expect("a head");
    let late = Append { status: RunStatus::Failed, ..nothing(journal.run(), 1, 3) };
    assert!(matches!(pair.ours.append(late), Err(StoreError::Fenced { epoch: 1, .. })));
    assert_eq!(pair.ours.head(journal.run()).expect("a head"), before);
}

fn an_append_that_does_not_follow_is_refused(pair: Pair) {
    let journal = begin(&pair.ours, 1, 2);
    for wrong in [0, 2, 4] {
        let append = nothing(journal.run(), 1, wrong);
        assert!(matches!(pair.ours.append(append), Err(StoreError::Damaged { seq: 3, .. })));
    }
    let append = nothing(&RunId::from_entropy(9), 1, 0);
    assert!(matches!(pair.ours.append(append), Err(StoreError::NoSuchRun(_))));
}

fn a_bad_append_does_not_harm_those_beside_it(pair: Pair) {
    let journals: Vec<RunJournal> = (1..=8).map(|bits| begin(&pair.ours, bits, 0)).collect();
    std::thread::scope(|scope| {
        for (n, mut journal) in journals.into_iter().enumerate() {
            let store = &pair.ours;
            scope.spawn(move || {
                if n % 2 == 1 {
                    store.take(journal.run()).expect("a later epoch");
                }
                for round in 0..20 {
                    journal.push(note(&format!("{n} {round}")), at(5));
                    let committed = journal.commit(&[], RunStatus::Running, "");
                    assert_eq!(committed.is_ok(), n % 2 == 0, "{committed:?}");
                }
            });
        }
    });
    for bits in 1..=8u64 {
        let expected = if bits % 2 == 1 { 21 } else { 1 };
        assert_eq!(reopen(&pair.theirs, &RunId::from_entropy(bits), 9).len(), expected);
    }
}

fn a_run_alive_elsewhere_is_not_taken(pair: Pair) {
    let journal = begin(&pair.ours, 1, 1);
    assert_eq!(pair.theirs.take(journal.run()).expect("asked"), Taken::HeldBy(pair.ours.holder()));
    assert!(pair.theirs.kill_stale(&pair.ours.holder()).is_err(), "it is alive and well");
    let run = journal.run().clone();
    journal.release().expect("given up");
    assert_eq!(pair.theirs.head(&run).expect("a head").holder, None);
    assert_eq!(pair.theirs.take(&run).expect("asked"), Taken::Yes { epoch: 2 });
    pair.ours.release(&run, 1).expect("no longer ours: nothing happens");
    assert_eq!(pair.ours.head(&run).expect("a head").holder, Some(pair.theirs.holder()));
}

fn a_run_whose_holder_has_gone_is_taken_at_once(pair: Pair) {
    let Pair { ours, theirs, _folder } = pair;
    let journal = begin(&ours, 1, 1);
    let run = journal.run().clone();
    drop((journal, ours));
    assert_eq!(theirs.head(&run).expect("a head").holder, None);
    assert_eq!(theirs.take(&run).expect("asked"), Taken::Yes { epoch: 2 });
}

fn a_command_leaves_the_inbox_with_the_records_that_answer_it(pair: Pair) {
    let mut journal = begin(&pair.ours, 1, 0);
    let run = journal.run().clone();
    assert_eq!(pair.ours.inbox_runs().expect("asked"), []);
    let noted = Order::Note { text: "looks right".into() };
    let command = |what| Command { by: Actor { name: "bob@host".into() }, what };
    let first = pair.theirs.post(&run, &command(noted.clone())).expect("posted");
    let second = pair.theirs.post(&run, &command(Order::Kill)).expect("posted");
    assert_eq!(pair.ours.inbox_runs().expect("asked"), std::slice::from_ref(&run));
    assert_eq!(pair.theirs.inbox_runs().expect("asked"), [], "they hold nothing");
    let both = [(first, command(noted.clone())), (second, command(Order::Kill))];
    assert_eq!(pair.ours.inbox(&run).expect("read"), both);
    journal.push(Fact::Commanded { command: command(noted), refused: None }, at(4));
    assert_eq!(pair.ours.inbox(&run).expect("read").len(), 2, "not before it is durable");
    journal.commit(&[first], RunStatus::Running, "").expect("durable");
    assert_eq!(pair.ours.inbox(&run).expect("read"), both[1..]);
    assert!(matches!(pair.ours.post(&RunId::from_entropy(9), &command(Order::Kill)), Err(StoreError::NoSuchRun(_))));
}

fn a_refused_append_leaves_the_inbox_alone(pair: Pair) {
    let journal = begin(&pair.ours, 1, 0);
    let kill = Command { by: Actor { name: "bob@host".into() }, what: Order::Kill };
    let id = pair.ours.post(journal.run(), &kill).expect("posted");
    let stale = Append { consumed: vec![id], ..nothing(journal.run(), 0, 1) };
    assert!(pair.ours.append(stale).is_err());
    assert_eq!(pair.ours.inbox(journal.run()).expect("read"), [(id, kill)]);
}

fn a_tail_begins_where_it_is_asked_to(pair: Pair) {
    let journal = begin(&pair.ours, 1, 6);
    let all = pair.ours.load(journal.run()).expect("verified").lines;
    for from in 0..=8 {
        assert_eq!(pair.theirs.tail(journal.run(), from as u64).expect("read"), all.get(from..).unwrap_or_default());
    }
}

fn runs_are_listed_newest_first_and_found_by_prefix(pair: Pair) {
    for bits in [1, 2, 33] {
        begin(&pair.ours, bits, 0);
    }
    pair.ours.create(&head(4, 99)).expect("a run that never got a record");
    let listed: Vec<RunId> = pair.theirs.heads().expect("listed").into_iter().map(|head| head.run).collect();
    let ids = [33, 2, 1].map(RunId::from_entropy);
    assert_eq!(listed, ids);
    assert_eq!(pair.ours.resolve("@latest").expect("found"), ids[0]);
    assert_eq!(pair.ours.resolve("2").expect("found"), ids[1]);
    assert_eq!(pair.ours.resolve(ids[2].as_str()).expect("found"), ids[2]);
    assert!(matches!(pair.ours.resolve("1"), Err(StoreError::Ambiguous { candidates, .. }) if candidates.len() == 2));
    for none in ["", "z", "%", "_"] {
        assert!(matches!(pair.ours.resolve(none), Err(StoreError::NoSuchRun(_))), "{none}");
    }
    assert!(pair.ours.create(&head(1, 0)).is_err(), "an id is given once");
    assert!(matches!(pair.ours.load(&RunId::from_entropy(7)), Err(StoreError::NoSuchRun(_))));
}

fn a_run_that_never_got_a_record_can_be_begun_again_by_one(pair: Pair) {
    let mut head = head(5, 1);
    pair.ours.create(&head).expect("stored; then its server died");
    head.playbook = "another".to_owned();
    pair.theirs.create(&head).expect("stored anew");
    assert!(matches!(pair.theirs.take(&head.run), Ok(Taken::Yes { .. })));
    assert_eq!(pair.ours.head(&head.run).expect("there").playbook, "another");
    pair.ours.create(&head).expect("it has no record yet");
    assert!(matches!(pair.ours.take(&head.run), Ok(Taken::HeldBy(_))), "but somebody is about to write one");
}

fn bytes_are_kept_by_their_digest(pair: Pair) {
    let digest = pair.ours.put_blob(b"bundle").expect("stored");
    assert_eq!(pair.ours.put_blob(b"bundle").expect("stored again"), digest);
    assert_eq!(pair.theirs.blob(&digest).expect("read"), b"bundle");
    let empty = pair.ours.put_blob(b"").expect("stored");
    assert_eq!(empty, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
    assert!(matches!(pair.ours.blob("00"), Err(StoreError::NoSuchBlob(_))));
}

fn a_playbook_has_a_history(pair: Pair) {
    for (version, digest, second) in [("1.0.0", "aa", 1), ("1.1.0", "bb", 2), ("1.0.0", "aa", 3)] {
        pair.ours.remember_bundle("restore", version, digest, at(second)).expect("stored");
    }
    pair.ours.remember_bundle("other", "1.0.0", "cc", at(4)).expect("stored");
    let known = pair.theirs.bundles("restore").expect("read");
    assert_eq!(known, [("1.0.0".into(), "aa".into(), at(1)), ("1.1.0".into(), "bb".into(), at(2))]);
}

fn a_page_of_runs_is_as_the_whole_list(pair: Pair) {
    for number in 0..7 {
        let mut head = head(number, i64::try_from(number / 2).expect("small"));
        head.playbook = if number % 3 == 0 { "backup".into() } else { "restore".into() };
        let mut journal = RunJournal::create(Arc::clone(&pair.ours), Arc::default(), &head).expect("a new run");
        journal.push(started(&head.run), head.started);
        let status = if number % 2 == 0 { RunStatus::Running } else { RunStatus::Waiting };
        journal.commit(&[], status, "").expect("durable");
    }
    let all = pair.ours.heads().expect("read");
    assert_eq!(pair.theirs.select(&Selection::default()).expect("read"), all);
    for statuses in [vec![], vec![RunStatus::Waiting, RunStatus::Failed, RunStatus::Running]] {
        let mut paged = Vec::new();
        let mut of = Selection { statuses, limit: Some(2), ..Selection::default() };
        loop {
            let page = pair.theirs.select(&of).expect("read");
            let Some(last) = page.last() else { break };
            assert!(page.len() <= 2);
            of.after = Some((last.started, last.run.clone()));
            paged.extend(page);
        }
        assert_eq!(paged, all);
    }
    assert_eq!(pair.theirs.playbooks().expect("read"), ["backup", "restore"]);
    for head in &all {
        let first = pair.theirs.tail(&head.run, 0).expect("read").into_iter().next();
        assert_eq!(pair.theirs.first(&head.run).expect("read"), first);
    }
    let some = Selection {
        playbook: Some("backup".into()),
        statuses: vec![RunStatus::Running, RunStatus::Failed, RunStatus::Running],
        updated_since: Some(at(2)),
        ..Selection::default()
    };
    let expected: Vec<Head> = all.iter().filter(|head| some.takes(head)).cloned().collect();
    assert_eq!(pair.theirs.select(&some).expect("read"), expected);
    assert_eq!(pair.theirs.count().expect("read"), vec![(RunStatus::Running, 4), (RunStatus::Waiting, 3)]);
}

fn who_wants_a_holder_is_told_and_who_was_given_up_is_not(pair: Pair) {
    let journal = begin(&pair.ours, 1, 0);
    let run = journal.run().clone();
    assert_eq!(pair.theirs.life(&pair.ours.holder()), Life::Fresh);
    assert_eq!(pair.ours.life(&pair.ours.holder()), Life::Ours);
    assert_eq!(pair.theirs.wanting().expect("read"), Wanting::default());
    journal.release().expect("given up");
    assert_eq!(pair.theirs.wanting().expect("read"), Wanting::default());
    let order = Command { by: Actor { name: "bob@host".into() }, what: Order::Resume };
    pair.theirs.post(&run, &order).expect("posted");
    assert_eq!(pair.theirs.wanting().expect("read"), Wanting { abandoned: vec![], ordered: vec![run.clone()] });
}

fn a_document_is_written_only_if_it_is_as_expected(pair: Pair) {
    let write = |writes: &[Write]| pair.ours.write_documents(writes, at(5));
    write(&[Write::create("token", "a", json!({"n": 1}))]).expect("stored");
    let read = pair.theirs.document("token", "a").expect("read").expect("there");
    assert_eq!((read.body.clone(), read.at), (json!({"n": 1}), at(5)));
    assert_eq!(pair.theirs.document("tick", "a").expect("read"), None, "another kind");
    let taken = Write::create("token", "a", json!({}));
    assert!(matches!(write(&[taken]), Err(StoreError::Conflict { kind, key }) if kind == "token" && key == "a"));
    pair.theirs.write_documents(&[Write::replace("token", &read, json!({"n": 2}))], at(6)).expect("as it was read");
    let late = [Write::create("token", "b", json!({})), Write::replace("token", &read, json!({"n": 3}))];
    assert!(matches!(write(&late), Err(StoreError::Conflict { .. })), "somebody was faster");
    assert_eq!(pair.ours.document("token", "b").expect("read"), None, "all or nothing");
    assert!(matches!(write(&[Write::remove("token", &read)]), Err(StoreError::Conflict { .. })));
    let now = pair.ours.document("token", "a").expect("read").expect("there");
    assert_eq!(now.body, json!({"n": 2}));
    write(&[Write::remove("token", &now)]).expect("removed");
    assert_eq!(pair.ours.document("token", "a").expect("read"), None);
    write(&[Write::create("token", "a", json!({}))]).expect("made anew");
    let again = pair.ours.document("token", "a").expect("read").expect("there");
    assert!(again.version > now.version, "no version comes twice");
}

fn a_run_that_was_handed_over_is_neither_taken_nor_told_anything(pair: Pair) {
    let journal = begin(&pair.ours, 1, 1);
    let run = journal.run().clone();
    journal.release().expect("let go of");
    let over = json!({ "epoch": 1, "at": at(4), "by": "alice@host", "reason": "moved" });
    pair.ours.write_documents(&[Write::create(super::handover::KIND, run.as_str(), over)], at(4)).expect("stored");
    let kill = Command { by: Actor { name: "bob@host".into() }, what: Order::Kill };
    for store in [&pair.ours, &pair.theirs] {
        assert!(matches!(store.take(&run), Err(StoreError::HandedOver { by, .. }) if by == "alice@host"));
        assert!(matches!(store.post(&run, &kill), Err(StoreError::HandedOver { .. })));
    }
    assert_eq!(pair.ours.load(&run).expect("it can be read").lines.len(), 2);
    let document = pair.ours.document(super::handover::KIND, run.as_str()).expect("read").expect("there");
    pair.ours.write_documents(&[Write::remove(super::handover::KIND, &document)], at(5)).expect("removed");
    assert_eq!(pair.theirs.take(&run).expect("nobody holds it"), Taken::Yes { epoch: 2 });
}

fn the_epochs_of_a_run_go_on_from_where_it_came_from(pair: Pair) {
    let head = Head { epoch: 7, ..head(3, 0) };
    pair.ours.create(&head).expect("a new run");
    assert_eq!(pair.theirs.take(&head.run).expect("nobody holds it"), Taken::Yes { epoch: 8 });
}

fn documents_are_read_in_order_and_in_pages(pair: Pair) {
    let keys = ["a/1", "a/2", "a/3", "a0", "b", "ä"];
    let writes: Vec<Write> = keys.iter().rev().map(|key| Write::create("tick", *key, json!(key))).collect();
    pair.ours.write_documents(&writes, at(1)).expect("stored");
    pair.ours.write_documents(&[Write::create("token", "a/2", json!(0))], at(1)).expect("stored");
    let read = |query: Query| -> Vec<String> {
        let found = pair.theirs.documents("tick", &query).expect("read");
        found.into_iter().map(|document| document.key).collect()
    };
    assert_eq!(read(Query::default()), keys);
    assert_eq!(read(Query::prefix("a/")), ["a/1", "a/2", "a/3"]);
    assert_eq!(read(Query { newest_first: true, limit: Some(2), ..Query::prefix("a/") }), ["a/3", "a/2"]);
    let page = |after: &str, newest_first| Query {
        after: Some(after.to_owned()),
        newest_first,
        limit: Some(2),
        ..Query::prefix("a")
    };
    assert_eq!(read(page("a/2", false)), ["a/3", "a0"]);
    assert_eq!(read(page("a/3", true)), ["a/2", "a/1"]);
    assert_eq!(read(page("", false)), ["a/1", "a/2"]);
    assert_eq!(read(page("c", true)), ["a0", "a/3"]);
    assert_eq!(read(Query::prefix("c")), [""; 0]);
    assert_eq!(read(Query::prefix("ä")), ["ä"]);
}

fn read_call(result: Value) -> Fact {
    let call = CallId { step: StepPath::of("read"), phase: Phase::Body, attempt: 1, seq: 0 };
    let outcome = Outcome::Done { result, fingerprint: Value::Null };
    Fact::Called { call, op: "fs.read_json".into(), revision: 1, args: json!({}), outcome }
}

fn large() -> Value {
    json!({ "lines": vec!["sixteen letters!"; 8000], "n": 0.1 })
}

fn a_result_too_large_for_its_record_is_kept_apart_and_read_back_whole(pair: Pair) {
    let mut journal = begin(&pair.ours, 1, 0);
    let digest = digest_of(large().to_string().as_bytes());
    let step = StepPath::of("read");
    let outputs = [("read".to_owned(), large()), ("small".to_owned(), json!(1))].into();
    let facts = [
        read_call(large()),
        Fact::StepSucceeded { step, output: large() },
        // Small results that look like the name of something kept apart stay what they are.
        read_call(json!({ "$blob": { "sha256": digest, "bytes": 3 } })),
        read_call(json!({ "$blob": null })),
        read_call(json!([{ "$blob": 1 }])),
        Fact::Finished { status: RunStatus::Succeeded, remarks: vec![], outputs },
    ];
    let written: Vec<Record> = facts.into_iter().map(|fact| journal.push(fact, at(2))).collect();
    assert!(matches!(pair.ours.blob(&digest), Err(StoreError::NoSuchBlob(_))), "nothing is durable before its record");
    journal.commit(&[], RunStatus::Succeeded, "").expect("durable");
    let lines = pair.theirs.load(journal.run()).expect("verified").lines;
    assert!(lines.iter().all(|line| line.len() < 1000), "large results do not stand in the records");
    assert!(lines[1].contains(&digest) && lines[2].contains(&digest) && lines[6].contains(&digest));
    assert_eq!(pair.theirs.blob(&digest).expect("stored"), large().to_string().into_bytes());
    assert_eq!(reopen(&pair.theirs, journal.run(), 1)[1..], written);
    assert_eq!(apart::record(pair.theirs.as_ref(), journal.run(), 1, &lines[1]).expect("whole"), written[0]);
}

fn what_a_refused_append_keeps_apart_is_not_stored(pair: Pair) {
    let mut journal = begin(&pair.ours, 1, 0);
    pair.ours.take(journal.run()).expect("a later epoch");
    journal.push(read_call(large()), at(3));
    assert!(matches!(journal.commit(&[], RunStatus::Running, ""), Err(StoreError::Fenced { .. })));
    let digest = digest_of(large().to_string().as_bytes());
    assert!(matches!(pair.ours.blob(&digest), Err(StoreError::NoSuchBlob(_))));
}

fn a_result_kept_apart_that_is_missing_or_altered_is_found_out(pair: Pair) {
    let name = |digest: &str, bytes: usize| json!({ "$blob": { "sha256": digest, "bytes": bytes } });
    let stored = pair.ours.put_blob(b"[1, 2]").expect("stored");
    let garbage = pair.ours.put_blob(b"[1, 2").expect("stored");
    for (bits, result, complaint) in [
        (1, name(&"0".repeat(64), 9), "nothing is stored under digest 000"),
        (2, name(&stored, 7), "is not what was written"),
        (3, name(&garbage, 5), "cannot be read"),
        (4, json!({ "$blob": { "md5": "?" } }), "in a form that this version does not know"),
    ] {
        let journal = begin(&pair.ours, bits, 0);
        let before = pair.ours.load(journal.run()).expect("verified").hash;
        let line = chain::encode(&Record { seq: 1, at: at(9), epoch: 1, fact: read_call(result) });
        let append = Append { hash: chain::fold(&before, &line), lines: vec![line], ..nothing(journal.run(), 1, 1) };
        pair.ours.append(append).expect("the chain is right");
        let opened = RunJournal::open(Arc::clone(&pair.theirs), Arc::default(), journal.run().clone(), 1);
        match opened.map(|(_, records)| records) {
            Err(StoreError::Damaged { seq: 1, what, .. }) => assert!(what.contains(complaint), "{what}"),
            other => panic!("{complaint}: {other:?}"),
        }
    }
}

macro_rules! promises {
    ($($promise:ident)*) => {
        mod memory {
            $(#[test] fn $promise() { super::$promise(super::in_memory()); })*
        }
        mod sqlite {
            $(#[test] fn $promise() { super::$promise(super::on_disk()); })*
        }
    };
}

promises! {
    what_is_committed_is_what_another_process_reads
    a_commit_without_news_costs_nothing
    time_never_goes_back_in_a_journal
    a_secret_is_neither_stored_nor_given_back
    a_journal_that_failed_once_writes_no_more
    an_append_under_an_old_epoch_is_refused_and_changes_nothing
    a_run_that_was_handed_over_is_neither_taken_nor_told_anything
    the_epochs_of_a_run_go_on_from_where_it_came_from
    an_append_that_does_not_follow_is_refused
    a_bad_append_does_not_harm_those_beside_it
    a_result_too_large_for_its_record_is_kept_apart_and_read_back_whole
    what_a_refused_append_keeps_apart_is_not_stored
    a_result_kept_apart_that_is_missing_or_altered_is_found_out
    a_run_alive_elsewhere_is_not_taken
    a_run_whose_holder_has_gone_is_taken_at_once
    a_command_leaves_the_inbox_with_the_records_that_answer_it
    a_refused_append_leaves_the_inbox_alone
    a_tail_begins_where_it_is_asked_to
    runs_are_listed_newest_first_and_found_by_prefix
    a_run_that_never_got_a_record_can_be_begun_again_by_one
    bytes_are_kept_by_their_digest
    a_playbook_has_a_history
    a_page_of_runs_is_as_the_whole_list
    who_wants_a_holder_is_told_and_who_was_given_up_is_not
    a_document_is_written_only_if_it_is_as_expected
    documents_are_read_in_order_and_in_pages
}

#[test]
fn a_store_in_memory_stops_at_the_record_it_is_told_to() {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as Arc<dyn Store>;
    let mut journal = begin(&store, 1, 1);
    memory.stop_after(2);
    journal.push(note("fits"), at(3));
    journal.commit(&[], RunStatus::Running, "").expect("durable");
    journal.push(note("one"), at(3));
    journal.push(note("too many"), at(3));
    assert!(journal.commit(&[], RunStatus::Running, "").is_err() && memory.stopped());
    assert!(store.take(journal.run()).is_err() && store.put_blob(b"x").is_err());
    let after: Arc<dyn Store> = Arc::new(memory.survivor());
    assert_eq!(after.take(journal.run()).expect("nobody holds it"), Taken::Yes { epoch: 2 });
    assert_eq!(reopen(&after, journal.run(), 2).len(), 3);
}

#[test]
fn a_prefix_of_a_store_in_memory_is_as_it_was_then() {
    let memory = Arc::new(MemoryStore::new());
    let store: Arc<dyn Store> = Arc::clone(&memory) as Arc<dyn Store>;
    let mut journal = begin(&store, 1, 1);
    let kill = Command { by: Actor { name: "bob@host".into() }, what: Order::Kill };
    let id = store.post(journal.run(), &kill).expect("posted");
    journal.push(Fact::Commanded { command: kill.clone(), refused: None }, at(3));
    journal.commit(&[id], RunStatus::Killed, "over").expect("durable");
    for records in 0..=3 {
        let then: Arc<dyn Store> = Arc::new(memory.prefix(journal.run(), records));
        assert_eq!(reopen(&then, journal.run(), 1).len() as u64, records);
        let head = then.head(journal.run()).expect("a head");
        assert_eq!(head.status, if records == 3 { RunStatus::Killed } else { RunStatus::Running });
        let open = then.inbox(journal.run()).expect("read");
        assert_eq!(open.len(), usize::from(records == 2), "posted after two records, answered by the third");
    }
}

#[test]
fn a_frozen_holder_in_memory_is_stale_until_it_is_killed() {
    let ours = Arc::new(MemoryStore::new());
    let theirs = ours.beside();
    let journal = begin(&(Arc::clone(&ours) as Arc<dyn Store>), 1, 0);
    ours.freeze();
    assert_eq!(theirs.take(journal.run()).expect("asked"), Taken::Stale(ours.holder()));
    theirs.kill_stale(&ours.holder()).expect("killed");
    assert_eq!(theirs.take(journal.run()).expect("asked"), Taken::Yes { epoch: 2 });
}
