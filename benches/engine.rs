//! How fast the engine goes over a world that answers at once, against the raw rate of SQLite commits on the same disk.
//!
//! `cargo bench --bench engine [-- FOLDER]`: one line a figure, `bench NAME VALUE UNIT goal >=|<= NUMBER ok|short`.

use std::path::Path;
use std::process::Command;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use muster::clock::SystemClock;
use muster::engine::{Engine, Host, NoObserver, Rest};
use muster::journal::memory::MemoryStore;
use muster::journal::record::FORMAT;
use muster::journal::run_journal::RunJournal;
use muster::journal::sqlite::{Options, SqliteStore};
use muster::journal::{Fact, Head, Store, Taken};
use muster::model::command::Actor;
use muster::model::fault::{OpError, Target};
use muster::model::span::{Span, Spanned};
use muster::model::status::{Mode, RunStatus};
use muster::model::{RunId, Timestamp, Value};
use muster::ops::{Polled, Probe, ReadHost, Request, Sent, WriteHost};
use muster::playbook::types::{Body, Grant, OnFailure, Playbook, Step};
use muster::script::Program;
use serde_json::json;

/// Effects, and reads, in one run.
const CALLS: usize = 10_000;
/// Runs at once.
const RUNS: usize = 1_000;
/// Effects of each of them.
const EFFECTS_EACH: usize = 20;
/// How often each of these is measured against the raw rate.
const ROUNDS: usize = 7;
/// Runs that wait on a timer.
const WAITING: usize = 10_000;

/// A world that does everything at once.
#[derive(Default)]
struct Instantly {
    sent: AtomicU64,
}

impl ReadHost for Instantly {
    fn read(&self, _: &Request) -> Result<Value, OpError> {
        Ok(json!({ "code": 0, "stdout": "ok", "stderr": "" }))
    }

    fn poll(&self, _: &Request) -> Result<Polled, OpError> {
        Ok(Polled::Ready(Value::Null))
    }

    fn before(&self, _: &Request) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn probe(&self, _: &Request) -> Result<Probe, OpError> {
        Ok(Probe::NotDone)
    }

    fn fingerprint(&self, _: &Request, _: &Value) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn target(&self, _: &Request) -> Result<Option<Target>, OpError> {
        Ok(None)
    }
}

impl WriteHost for Instantly {
    fn send(&self, _: &Request) -> Result<Sent, OpError> {
        self.sent.fetch_add(1, Ordering::Relaxed);
        Ok(Sent::Done(
            json!({ "code": 0, "stdout_bytes": 0, "stdout_sha256": "", "stdout_tail": "", "stderr_tail": "", "millis": 0 }),
        ))
    }

    fn release(&self, _: &Request) {}
}

fn main() {
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    if arguments.first().is_some_and(|argument| argument == "--waiting") {
        return waiting();
    }
    let folder = arguments.into_iter().find(|argument| !argument.starts_with('-'));
    let folder = folder.map_or_else(std::env::temp_dir, Into::into);
    let folder = tempfile::Builder::new().prefix("muster-bench").tempdir_in(folder).expect("a folder to write in");
    let at = |name: String| folder.path().join(name);

    let mut rates = Vec::new();
    let mut against_raw = |name: &str, measure: &dyn Fn(&Path) -> f64| {
        // Each round stands between two looks at the raw rate and is compared with these alone, so that a machine that is
        // busy for a while is so for both; of the rounds the one in the middle counts.
        let mut ratios = Vec::new();
        let mut before = raw_commits(&at(format!("raw-{name}.db")));
        for round in 0..ROUNDS {
            let rate = measure(&at(format!("{name}{round}.db")));
            let after = raw_commits(&at(format!("raw-{name}{round}.db")));
            ratios.push(rate / ((before + after) / 2.0));
            rates.push(after);
            before = after;
        }
        median(ratios)
    };
    let one = against_raw("one", &|path| one_run(path, &effects(CALLS), CALLS));
    let read = against_raw("reads", &|path| one_run(path, &reads(CALLS), CALLS));
    let many = against_raw("many", &many_runs);
    println!("bench raw-sqlite-commits {:.0} commits/s goal >= 0 ok", median(rates));
    at_least("one-run-durable-effects-to-raw", one, "ratio", 0.8);
    at_least("one-run-reads-to-raw", read, "ratio", 3.0);
    at_least("thousand-runs-durable-effects-to-raw", many, "ratio", 5.0);
    at_most("resume-10000-calls", resume(&at("resume.db".into())), "ms", 200.0);
    let (memory, threads) = measure_waiting();
    at_most("waiting-10000-runs-resident", memory, "MB", 300.0);
    at_most("waiting-10000-runs-threads", threads, "threads", 32.0);
    cold_start();
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

fn at_least(name: &str, value: f64, unit: &str, goal: f64) {
    println!("bench {name} {value:.2} {unit} goal >= {goal} {}", if value >= goal { "ok" } else { "short" });
}

fn at_most(name: &str, value: f64, unit: &str, goal: f64) {
    println!("bench {name} {value:.2} {unit} goal <= {goal} {}", if value <= goal { "ok" } else { "short" });
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
    let begun = Instant::now();
    let mut count = 0;
    while begun.elapsed() < Duration::from_millis(700) {
        insert.execute([&body]).expect("a commit");
        count += 1;
    }
    f64::from(count) / begun.elapsed().as_secs_f64()
}

fn effects(count: usize) -> String {
    format!("for i in 0..{count} {{ host::exec::run(#{{ argv: [\"do\", `${{i}}`] }}); }} {count}")
}

fn reads(count: usize) -> String {
    format!("for i in 0..{count} {{ host::exec::read(#{{ argv: [\"look\", `${{i}}`] }}); }} {count}")
}

fn program(script: &str) -> Arc<Program> {
    let text = |text: &str, place| Spanned::new(text.to_owned(), Span::new(0, place, place));
    let playbook = Playbook {
        name: text("bench", 1),
        version: text("1.0.0", 2),
        title: String::new(),
        doc: String::new(),
        imports: Vec::new(),
        rto: None,
        rpo: None,
        params: Vec::new(),
        capabilities: vec![Grant { pattern: text("exec.*", 3), scope: Vec::new() }],
        secrets: Vec::new(),
        checks: Vec::new(),
        parallel: 8,
        drill: None,
        steps: vec![Step {
            id: text("work", 4),
            title: String::new(),
            needs: Vec::new(),
            body: Body::Script(text(script, 5)),
            when: None,
            foreach: None,
            retry: None,
            timeout: None,
            verify: None,
            rollback: None,
            approval: None,
            on_failure: OnFailure::Pause,
            point_of_no_return: None,
            span: Span::default(),
        }],
        places: Default::default(),
    };
    Arc::new(Program::compile(playbook, "bench".to_owned(), &[]).expect("it compiles"))
}

fn begin(engine: &Engine, store: &Arc<dyn Store>, program: &Arc<Program>, bits: u64) -> RunId {
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
    let journal = RunJournal::create(Arc::clone(store), Arc::default(), &head).expect("a run");
    let first = Fact::RunStarted {
        format: FORMAT,
        run: head.run,
        playbook: head.playbook,
        version: head.version,
        bundle: head.bundle,
        mode: Mode::Live,
        params: json!({}),
        by: Actor { name: "bench".into() },
        seed: 1,
        engine: "0".into(),
        forked_from: None,
        drill: None,
    };
    engine.adopt(Arc::clone(program), journal, &[], Some(first), Arc::new(NoObserver)).expect("adopted")
}

fn engine(store: &Arc<dyn Store>) -> Engine {
    let world = Arc::new(Instantly::default());
    Engine::new(Host::Full(world), Arc::new(SystemClock), Arc::clone(store), Arc::default())
}

fn sqlite(path: &Path) -> Arc<dyn Store> {
    Arc::new(SqliteStore::open(path, Options::default()).expect("a store"))
}

/// Calls a second in one run.
fn one_run(path: &Path, script: &str, calls: usize) -> f64 {
    let store = sqlite(path);
    let engine = engine(&store);
    let program = program(script);
    let begun = Instant::now();
    let run = begin(&engine, &store, &program, 1);
    engine.run_until_idle();
    let took = begun.elapsed();
    assert_eq!(engine.wait(&run, Duration::ZERO), Some(Rest::Ended), "{:?}", engine.take_failure(&run));
    calls as f64 / took.as_secs_f64()
}

/// Effects a second over all runs.
fn many_runs(path: &Path) -> f64 {
    let store = sqlite(path);
    let engine = engine(&store);
    let program = program(&effects(EFFECTS_EACH));
    let runs: Vec<RunId> = (0..RUNS).map(|n| begin(&engine, &store, &program, n as u64 + 1)).collect();
    let begun = Instant::now();
    engine.spawn_workers(64).expect("threads");
    for run in &runs {
        while engine.wait(run, Duration::from_millis(100)) != Some(Rest::Ended) {
            assert!(engine.take_failure(run).is_none(), "a run broke");
        }
    }
    let took = begun.elapsed();
    engine.stop();
    (RUNS * EFFECTS_EACH) as f64 / took.as_secs_f64()
}

/// Milliseconds from a store on disk to a run that stands where it stopped, 10,000 calls into its script.
fn resume(path: &Path) -> f64 {
    let program = program(&format!("{}; host::time::sleep(\"30d\");", effects(CALLS)));
    let store = sqlite(path);
    let first = engine(&store);
    let run = begin(&first, &store, &program, 1);
    first.run_until_idle();
    first.release(&run).expect("released");
    let begun = Instant::now();
    let Ok(Taken::Yes { epoch }) = store.take(&run) else { unreachable!("nobody else is here") };
    let (journal, records) =
        RunJournal::open(Arc::clone(&store), Arc::default(), run, epoch).expect("the journal opens");
    let second = engine(&store);
    second.adopt(program, journal, &records, None, Arc::new(NoObserver)).expect("adopted");
    second.run_until_idle();
    begun.elapsed().as_secs_f64() * 1e3
}

/// In a process of its own, so that nothing else counts: resident megabytes and threads.
fn measure_waiting() -> (f64, f64) {
    let itself = std::env::current_exe().expect("this program has a path");
    let output = Command::new(itself).arg("--waiting").output().expect("it runs again");
    let text = String::from_utf8_lossy(&output.stdout).into_owned();
    let mut numbers = text.split_whitespace().filter_map(|word| word.parse::<f64>().ok());
    (numbers.next().unwrap_or(f64::INFINITY), numbers.next().unwrap_or(f64::INFINITY))
}

fn waiting() {
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let engine = engine(&store);
    let program = program("host::time::sleep(\"30d\"); 1");
    for n in 0..WAITING {
        begin(&engine, &store, &program, n as u64 + 1);
    }
    engine.spawn_workers(8).expect("threads");
    engine.run_until_idle();
    std::thread::sleep(Duration::from_millis(200));
    let status = std::fs::read_to_string("/proc/self/status").unwrap_or_default();
    let field = |name: &str| {
        status
            .lines()
            .find(|line| line.starts_with(name))
            .and_then(|line| line.split_whitespace().nth(1)?.parse::<f64>().ok())
    };
    println!("{} {}", field("VmRSS").unwrap_or(f64::INFINITY) / 1024.0, field("Threads").unwrap_or(f64::INFINITY));
}

/// Milliseconds for `--version` and for `lint` of a shipped playbook, the best of ten.
fn cold_start() {
    let muster = env!("CARGO_BIN_EXE_muster");
    for (name, arguments, goal) in [
        ("version-cold-start", vec!["--version"], 30.0),
        ("lint-cold-start", vec!["lint", "playbooks/omnichat-restore"], 150.0),
    ] {
        let best = (0..10)
            .map(|_| {
                let begun = Instant::now();
                let status = Command::new(muster).args(&arguments).output().expect("muster runs").status;
                if status.success() { begun.elapsed().as_secs_f64() * 1e3 } else { f64::INFINITY }
            })
            .fold(f64::INFINITY, f64::min);
        at_most(name, best, "ms", goal);
    }
}
