//! `muster schedule`, and ticks that several processes reach for at once.

#[path = "support/cli.rs"]
mod support;

use std::collections::BTreeMap;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster::journal::sqlite::{Options, SqliteStore};
use muster::journal::{Fact, Head, RunJournal, Store};
use muster::model::status::RunStatus;
use muster::model::{RunId, Timestamp, Value};
use muster::schedule::file::Schedules;
use muster::schedule::people;
use muster::schedule::scheduler::{Begin, Scheduler, StartError, Starter};
use muster::schedule::tick::{Fate, Tick};
use serde_json::json;
use support::{Desk, Said};

/// Begins runs that end at once, and writes each down in a file.
struct Hands<'h> {
    store: Arc<SqliteStore>,
    ledger: &'h Path,
}

impl Starter for Hands<'_> {
    fn start(&self, begin: &Begin<'_>) -> Result<(), StartError> {
        let now = Timestamp::now();
        let head = Head {
            run: begin.run.clone(),
            playbook: begin.schedule.playbook.value.clone(),
            version: "1.0.0".to_owned(),
            bundle: "b".repeat(64),
            status: RunStatus::Running,
            detail: String::new(),
            started: now,
            updated: now,
            records: 0,
            epoch: 0,
            holder: None,
        };
        let later = |error: muster::journal::StoreError| StartError::Later(error.to_string());
        let store = Arc::clone(&self.store) as Arc<dyn Store>;
        let mut journal = RunJournal::create(store, Arc::default(), &head).map_err(later)?;
        let first = json!({
            "fact": "run_started", "format": 1, "run": begin.run, "playbook": head.playbook, "version": head.version,
            "bundle": head.bundle, "mode": "live", "params": {}, "by": begin.by, "seed": begin.seed, "engine": "0.1.0",
        });
        journal.push(serde_json::from_value(first).expect("a first record"), now);
        let mut ledger = std::fs::OpenOptions::new().create(true).append(true).open(self.ledger).expect("a ledger");
        ledger.write_all(format!("{} {}\n", begin.run, begin.tick.at).as_bytes()).expect("written");
        journal
            .push(Fact::Finished { status: RunStatus::Succeeded, remarks: Vec::new(), outputs: BTreeMap::new() }, now);
        journal.commit(&[], RunStatus::Succeeded, "").map_err(later)?;
        journal.release().map_err(later)
    }
}

fn open(path: &Path) -> Arc<SqliteStore> {
    Arc::new(SqliteStore::open(path, Options::default()).expect("the store opens"))
}

const FILE: &str = "
muster: 1
timezone: Europe/Berlin
calendars: { freeze: [Sat..Sun] }
schedules:
  nightly: { playbook: book, drill: false, cron: 30 3 * * *, blackout: [freeze], params: { place: here } }
  never: { playbook: book, drill: false, cron: 0 0 1 1 *, enabled: false, params: { place: here } }
";

const BOOK: &str = "
muster: 1
name: book
version: 1.0.0
title: Book
params:
  place: { type: string, doc: Where. }
steps:
  - { id: only, script: \"1\" }
";

fn desk() -> Desk {
    let desk = Desk::new();
    desk.file("schedules.yaml", FILE);
    desk.file("playbooks/book/playbook.yaml", BOOK);
    desk
}

fn json_of(said: &Said) -> Value {
    assert_eq!((said.code, said.stderr.as_str()), (0, ""), "{said:?}");
    serde_json::from_str(&said.stdout).expect("json")
}

#[test]
fn the_list_says_when_each_is_due_and_that_no_server_looks_at_it() {
    let desk = desk();
    let list = json_of(&desk.muster(&["schedule", "list", "-o", "json"]));
    assert_eq!(list["schedules"][0]["name"], "nightly");
    assert_eq!(list["schedules"][0]["timezone"], "Europe/Berlin");
    assert_eq!(list["schedules"][0]["state"], "not seen yet");
    assert_eq!(list["schedules"][1]["state"], "not enabled");
    assert_eq!(list["findings"][0]["code"], "unwatched");
    let table = desk.muster(&["schedule", "list"]);
    assert!(table.stdout.starts_with("NAME     PLAYBOOK  KIND  CRON"), "{}", table.stdout);
    assert!(table.stdout.contains("nightly: unwatched: no server has looked at it yet"), "{}", table.stdout);
}

#[test]
fn what_comes_next_is_told_in_utc_and_local_with_why_it_would_not_run() {
    let desk = desk();
    let next = json_of(&desk.muster(&["schedule", "next", "nightly", "-n", "7", "-o", "json"]));
    let next = next.as_array().expect("a list");
    assert_eq!(next.len(), 7);
    let weekend = |one: &&Value| {
        let local = one["local"].as_str().expect("a text");
        local.starts_with("Sat") || local.starts_with("Sun")
    };
    for one in next {
        assert!(one["local"].as_str().expect("a text").contains(" 03:30:00 CE"), "{one}");
        let skipped = if weekend(&one) { json!("blackout freeze (Sat..Sun)") } else { Value::Null };
        assert_eq!(one["skipped"], skipped, "{one}");
    }
    assert_eq!(next.iter().filter(weekend).count(), 2);
    let all = desk.muster(&["schedule", "next", "-n", "3"]);
    assert!(all.stdout.starts_with("SCHEDULE  UTC"), "{}", all.stdout);
}

#[test]
fn a_pause_says_who_and_why_and_is_ended_by_a_resume() {
    let desk = desk().env("MUSTER_ACTOR", "alice@desk");
    let said = desk.muster(&["schedule", "pause", "nightly", "--reason", "the storage is moved"]);
    let note = "nightly is paused: its ticks are skipped until `muster schedule resume nightly`\n";
    assert_eq!(said, Said { code: 0, stdout: String::new(), stderr: note.to_owned() });
    let again = desk.muster(&["schedule", "pause", "nightly", "--reason", "twice"]);
    assert!(again.stderr.starts_with("nightly is paused by alice@desk since "), "{}", again.stderr);
    let next = json_of(&desk.muster(&["schedule", "next", "nightly", "-n", "1", "-o", "json"]));
    assert_eq!(next[0]["skipped"], "paused by alice@desk: the storage is moved");
    assert_eq!(desk.muster(&["schedule", "resume", "nightly"]).stderr, "nightly goes on\n");
    assert_eq!(desk.muster(&["schedule", "resume", "nightly"]).stderr, "nightly is not paused\n");
    assert_eq!(desk.muster(&["schedule", "pause", "nightly"]).code, 1, "a reason is wanted");
    // All of it stands in the audit log, with who said it.
    let acts: Vec<Value> = desk
        .store()
        .documents("audit", &muster::journal::document::Query::default())
        .expect("the log")
        .into_iter()
        .map(|document| document.body)
        .filter(|body| body.to_string().contains("schedule nightly"))
        .collect();
    assert!(acts.len() >= 4 && acts.iter().all(|body| body.to_string().contains("alice@desk")), "{acts:?}");
}

#[test]
fn a_name_that_is_none_is_told_from_those_there_are_and_a_wrong_file_with_its_place() {
    let desk = desk();
    let wrong = desk.muster(&["schedule", "history", "nigthly"]);
    assert_eq!((wrong.code, wrong.stdout.as_str()), (1, ""));
    assert_eq!(wrong.stderr, "error: there is no schedule `nigthly`\n  hint: did you mean `nightly`?\n");
    desk.file("other.yaml", &FILE.replace("30 3 * * *", "30 25 * * *"));
    let other = desk.muster(&["schedule", "list", "--schedules", "other.yaml"]);
    assert_eq!(other.code, 3);
    assert!(
        other.stderr.contains("`30 25 * * *` is no cron expression") && other.stderr.contains("other.yaml:6:"),
        "{other:?}"
    );
    let none = desk.muster(&["schedule", "list", "--schedules", "nothing.yaml"]);
    assert!(none.code == 3 && none.stderr.starts_with("error: cannot read schedules from nothing.yaml"), "{none:?}");
    let by_environment = desk.env("MUSTER_SCHEDULES", "other.yaml").muster(&["schedule", "list"]);
    assert_eq!(by_environment.code, 3);
}

#[test]
fn lint_says_which_schedules_name_what_cannot_be_run() {
    let desk = desk();
    let fine = desk.muster(&["lint", "schedules.yaml"]);
    assert_eq!((fine.code, fine.stdout.as_str()), (0, ""), "{fine:?}");
    let wrong = FILE
        .replace("drill: false, cron: 30", "cron: 30")
        .replace("enabled: false, params: { place: here }", "playbok: x");
    desk.file("schedules.yaml", &wrong.replace("place: here", "plaec: here"));
    let told = desk.muster(&["lint", "schedules.yaml"]);
    assert_eq!(told.code, 3);
    assert!(told.stdout.contains("unknown key `playbok`"), "{}", told.stdout);
    desk.file(
        "schedules.yaml",
        &FILE.replace("drill: false, cron: 30", "cron: 30").replace("place: here", "plaec: here"),
    );
    let told = desk.muster(&["lint", "schedules.yaml"]).stdout;
    for part in
        ["does not say how it is drilled", "has no parameter `plaec`", "did you mean `place`?", "`place` has no value"]
    {
        assert!(told.contains(part), "{part} in\n{told}");
    }
}

#[test]
fn what_was_ordered_is_carried_out_once_by_whichever_server_looks() {
    let desk = desk().env("MUSTER_ACTOR", "alice@desk");
    let said = desk.muster(&["schedule", "trigger", "nightly", "--reason", "before the audit"]);
    assert_eq!(said.stderr, "nightly will run as soon as a server looks at it (`muster serve`)\n");
    let ledger = desk.path().join("ledger");
    let hands = Hands { store: desk.store(), ledger: &ledger };
    let store = desk.store();
    let path = desk.path().join("schedules.yaml");
    let mut scheduler = Scheduler::watching(Arc::clone(&store) as Arc<dyn Store>, &path).expect("read");
    for _ in 0..3 {
        scheduler.turn(&hands, Timestamp::now()).expect("a turn");
    }
    assert_eq!(std::fs::read_to_string(&ledger).expect("a ledger").lines().count(), 1);
    let history = desk.muster(&["schedule", "history", "nightly"]).stdout;
    let line = history.lines().nth(1).expect("a tick");
    assert!(line.contains("succeeded") && line.ends_with("asked for by alice@desk: before the audit"), "{history}");
    let ticks = json_of(&desk.muster(&["schedule", "history", "nightly", "-o", "json"]));
    assert_eq!(ticks[0]["fate"]["fate"], "run");
    // With a server at work, it can be waited for.
    std::thread::scope(|scope| {
        let waiting = scope.spawn(|| desk.muster(&["schedule", "trigger", "nightly", "--wait", "60s"]));
        let end = Instant::now() + Duration::from_secs(60);
        while !waiting.is_finished() && Instant::now() < end {
            scheduler.turn(&hands, Timestamp::now()).expect("a turn");
            std::thread::sleep(Duration::from_millis(20));
        }
        let said = waiting.join().expect("it ends");
        assert_eq!(said.code, 0, "{said:?}");
        let run: RunId = said.stdout.trim().parse().expect("a run's id");
        assert_eq!(store.head(&run).expect("a run").status, RunStatus::Succeeded);
    });
}

/// Not a test of its own: one of the servers of the next.
#[test]
fn a_server_of_its_own() {
    let Some(folder) = std::env::var_os("MUSTER_TEST_SCHEDULER") else { return };
    let folder = Path::new(&folder);
    let store = open(&folder.join("muster.db"));
    let ledger = folder.join("ledger");
    let hands = Hands { store: Arc::clone(&store), ledger: &ledger };
    let mut scheduler =
        Scheduler::watching(Arc::clone(&store) as Arc<dyn Store>, &folder.join("schedules.yaml")).expect("read");
    println!("ready");
    loop {
        match scheduler.turn(&hands, Timestamp::now()) {
            Ok(_) => std::thread::sleep(Duration::from_millis(3)),
            Err(error) => println!("{error}"),
        }
    }
}

#[test]
fn of_many_processes_that_reach_for_a_tick_one_has_it_and_its_death_loses_none() {
    let desk = Desk::new();
    let schedule = "{ playbook: p, drill: false, cron: \"* * * * * *\", overlap: queue }";
    desk.file("schedules.yaml", &format!("muster: 1\nschedules:\n  a: {schedule}\n  b: {schedule}\n"));
    let start = || {
        Command::new(std::env::current_exe().expect("this program"))
            .args(["a_server_of_its_own", "--exact", "--nocapture", "--test-threads=1"])
            .env("MUSTER_TEST_SCHEDULER", desk.path())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("it starts")
    };
    let mut servers = vec![start(), start(), start()];
    let store = desk.store();
    let runs = |name: &str| -> Vec<Tick> {
        let ticks = people::ticks(store.as_ref(), name, None).expect("ticks");
        ticks.into_iter().filter(|tick| tick.run().is_some()).collect()
    };
    // One is killed every second, and another comes.
    let mut place = 0;
    while runs("a").len().min(runs("b").len()) < 8 {
        std::thread::sleep(Duration::from_millis(937));
        servers[place].kill().expect("it lives");
        servers[place].wait().expect("it ends");
        servers[place] = start();
        place = (place + 1) % servers.len();
    }
    std::thread::sleep(Duration::from_secs(1));
    for server in &mut servers {
        server.kill().expect("it lives");
        server.wait().expect("it ends");
    }
    let hands = Hands { store: desk.store(), ledger: &desk.path().join("ledger") };
    let (schedules, _) = Schedules::load(&desk.path().join("schedules.yaml")).expect("read");
    let mut last = Scheduler::new(desk.store() as Arc<dyn Store>, schedules);
    for _ in 0..3 {
        last.turn(&hands, Timestamp::now()).expect("a turn");
    }
    let ledger = std::fs::read_to_string(desk.path().join("ledger")).expect("a ledger");
    let mut claimed = Vec::new();
    for name in ["a", "b"] {
        let mut ticks = people::ticks(store.as_ref(), name, None).expect("ticks");
        ticks.reverse();
        assert!(!ticks.iter().any(|tick| tick.fate == Fate::Asked), "{ticks:#?}");
        // Every second between the first tick and the last has its one fate.
        let seconds = ticks[ticks.len() - 1].to.as_second() - ticks[0].at.as_second() + 1;
        assert_eq!(
            ticks.iter().map(|tick| i64::try_from(tick.count).expect("few")).sum::<i64>(),
            seconds,
            "{ticks:#?}"
        );
        assert!(ticks.windows(2).all(|pair| pair[0].to < pair[1].at), "{ticks:#?}");
        claimed.extend(ticks.iter().filter_map(|tick| tick.run().cloned()));
    }
    for run in &claimed {
        assert_eq!(store.head(run).expect("each claimed tick has its run").status, RunStatus::Succeeded);
    }
    assert_eq!(store.heads().expect("runs").len(), claimed.len(), "and there are no other runs");
    // A line is written before its run is durable, so that one killed between the two is written again; never two that count.
    assert!(ledger.lines().count() >= claimed.len(), "{ledger}");
}
