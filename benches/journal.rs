//! How fast journals become durable, against the raw rate of SQLite commits on the same disk.
//!
//! `cargo bench --bench journal [-- FOLDER]`: one line a figure, `bench NAME VALUE UNIT goal >=|<= NUMBER ok|short`.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::{Duration, Instant};

use muster::journal::record::{FORMAT, Fact, Outcome, UndoPlan};
use muster::journal::sqlite::Options;
use muster::journal::{Head, RunJournal, SqliteStore, Store};
use muster::model::command::Actor;
use muster::model::status::{Mode, RunStatus};
use muster::model::{CallId, Phase, RunId, StepPath, Timestamp, Value};
use serde_json::json;

/// How long a figure is looked at.
const ROUND: Duration = Duration::from_millis(700);
/// How often each is measured against the raw rate.
const ROUNDS: usize = 7;
const RUNS: usize = 1000;
const THREADS: usize = 64;

fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = folder.map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::Builder::new().prefix("muster-bench").tempdir_in(folder).expect("a folder to write in");
    let at = |name: String| folder.path().join(name);
    let mut rates = Vec::new();
    let mut against_raw = |name: &str, measure: &dyn Fn(&Path) -> f64| {
        // Each round stands between two looks at the raw rate and is compared with these alone, so that a machine that is
        // busy for a while is so for both; of the rounds the one in the middle counts.
        let (mut ratios, mut measured) = (Vec::new(), Vec::new());
        let mut before = raw_commits(&at(format!("raw-{name}.db")));
        for round in 0..ROUNDS {
            let rate = measure(&at(format!("{name}{round}.db")));
            let after = raw_commits(&at(format!("raw-{name}{round}.db")));
            ratios.push(rate / ((before + after) / 2.0));
            measured.push(rate);
            rates.push(after);
            before = after;
        }
        (median(measured), median(ratios))
    };
    let (one, one_to_raw) = against_raw("one", &paired_in_one_run);
    let (many, many_to_raw) = against_raw("many", &paired_in_many_runs);
    let raw = median(rates);
    println!("bench raw-sqlite-commits {raw:.0} commits/s goal >= 0 ok");
    line("one-run-effects", one, "effects/s", None);
    line("one-run-effects-to-raw", one_to_raw, "ratio", Some(0.8));
    line("many-runs-records", many, "records/s", None);
    line("many-runs-records-to-raw", many_to_raw, "ratio", Some(10.0));
    let (calls, load) = opening(&folder.path().join("one0.db"));
    line("opened-records", calls as f64, "records", None);
    println!(
        "bench open-10000-records {:.1} ms goal <= 200 {}",
        load * 1e4 / calls as f64 * 1e3,
        if load * 1e4 / calls as f64 <= 0.2 { "ok" } else { "short" }
    );
    line("buffered-reads", reads(&folder.path().join("reads.db")), "reads/s", Some(raw * 3.0));
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn line(name: &str, value: f64, unit: &str, goal: Option<f64>) {
    let goal = goal.unwrap_or(0.0);
    println!("bench {name} {value:.2} {unit} goal >= {goal:.2} {}", if value >= goal { "ok" } else { "short" });
}

/// One row a commit, as fast as the disk lets it.
fn raw_commits(path: &Path) -> f64 {
    let db = rusqlite::Connection::open(path).expect("a database");
    db.execute_batch(
        "PRAGMA journal_mode = WAL; PRAGMA synchronous = FULL; CREATE TABLE t (k INTEGER PRIMARY KEY, body TEXT)",
    )
    .expect("a table");
    let body = "x".repeat(300);
    let mut insert = db.prepare("INSERT INTO t (body) VALUES (?)").expect("a statement");
    rate(|| {
        insert.execute([&body]).expect("a commit");
        1
    })
}

/// Calls a step over and over for a while: how many of what it counts a second.
fn rate(mut step: impl FnMut() -> usize) -> f64 {
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < ROUND {
        count += step();
    }
    count as f64 / begun.elapsed().as_secs_f64()
}

fn open(path: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(path, Options::default()).expect("a store"))
}

fn begin(store: &Arc<dyn Store>, bits: u64) -> RunJournal {
    let now = Timestamp::now();
    let head = Head {
        run: RunId::from_entropy(bits),
        playbook: "bench".into(),
        version: "1.0.0".into(),
        bundle: "b".repeat(64),
        status: RunStatus::Running,
        detail: String::new(),
        started: now,
        updated: now,
        records: 0,
        epoch: 0,
        holder: None,
    };
    let mut journal = RunJournal::create(Arc::clone(store), Arc::default(), &head).expect("a run");
    let started = Fact::RunStarted {
        format: FORMAT,
        run: head.run,
        playbook: head.playbook,
        version: head.version,
        bundle: head.bundle,
        mode: Mode::Live,
        params: Value::Null,
        by: Actor { name: "bench".into() },
        seed: 1,
        engine: "0".into(),
        forked_from: None,
        drill: None,
    };
    journal.push(started, now);
    journal
}

fn call(seq: usize) -> CallId {
    let seq = u32::try_from(seq).expect("a short bench");
    CallId { step: StepPath::of("restore"), phase: Phase::Body, attempt: 1, seq }
}

fn intent(n: usize) -> Fact {
    Fact::Intent {
        call: call(n),
        op: "pg.create_database".into(),
        revision: 1,
        args: json!({ "server": { "container": "db", "user": "chat" }, "database": format!("chat_{n}") }),
        key: format!("m-7k3f9qabcdef-restore-{n}-1"),
        before: Value::Null,
        undo: UndoPlan::Call { op: "pg.drop_database".into(), args: json!({ "database": format!("chat_{n}") }) },
        undoes: None,
    }
}

fn outcome(n: usize) -> Fact {
    Fact::Ended {
        call: call(n),
        outcome: Outcome::Done { result: json!({ "oid": n }), fingerprint: json!({ "oid": n }) },
    }
}

/// The outcome of a call together with the intent of the next, as the engine commits them.
fn pair(journal: &mut RunJournal, n: usize) {
    if n > 0 {
        journal.push(outcome(n - 1), Timestamp::now());
    }
    journal.push(intent(n), Timestamp::now());
    journal.commit(&[], RunStatus::Running, "restore").expect("a commit");
}

fn paired_in_one_run(path: &Path) -> f64 {
    let mut journal = begin(&open(path), 1);
    let mut n = 0;
    rate(|| {
        pair(&mut journal, n);
        n += 1;
        1
    })
}

fn paired_in_many_runs(path: &Path) -> f64 {
    let store = open(path);
    let mut journals: Vec<Vec<RunJournal>> = (0..THREADS).map(|_| Vec::new()).collect();
    for n in 0..RUNS {
        journals[n % THREADS].push(begin(&store, n as u64));
    }
    let records = AtomicUsize::new(0);
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for mut ours in journals {
            let records = &records;
            scope.spawn(move || {
                for n in 0.. {
                    for journal in &mut ours {
                        if begun.elapsed() > 2 * ROUND {
                            return;
                        }
                        pair(journal, n);
                        records.fetch_add(2, Ordering::Relaxed);
                    }
                }
            });
        }
    });
    records.load(Ordering::Relaxed) as f64 / begun.elapsed().as_secs_f64()
}

/// How many records the first run of a store has, and how many seconds it takes to open them.
fn opening(path: &Path) -> (usize, f64) {
    let store = open(path);
    let run = RunId::from_entropy(1);
    let begun = Instant::now();
    let (_, records) = RunJournal::open(store, Arc::default(), run, 1).expect("a journal");
    (records.len(), begun.elapsed().as_secs_f64())
}

/// Reads, which need not be durable one by one: committed every thousand.
fn reads(path: &Path) -> f64 {
    let mut journal = begin(&open(path), 1);
    let mut n = 0;
    rate(|| {
        let outcome = Outcome::Done { result: json!({ "exists": true, "bytes": n }), fingerprint: Value::Null };
        let args = json!({ "path": format!("/srv/backup/{n}") });
        journal
            .push(Fact::Called { call: call(n), op: "fs.stat".into(), revision: 1, args, outcome }, Timestamp::now());
        n += 1;
        if journal.buffered() >= 1000 {
            journal.commit(&[], RunStatus::Running, "reading").expect("a commit");
        }
        1
    })
}
