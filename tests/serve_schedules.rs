//! Schedules under a real `muster serve` that is killed, stopped and restarted: every run ends, no effect happens twice, no tick
//! fires twice or is silently lost. `MUSTER_TEST_FAULTS=full` does it for longer.

#[path = "support/cli.rs"]
mod support;

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::process::{Child, Stdio};
use std::time::{Duration, Instant};

use muster::journal::Store as _;
use muster::journal::document::Query;
use muster::model::status::RunStatus;
use muster::model::{RunId, Timestamp};
use muster::schedule::people;
use muster::schedule::standing::{self, Standing};
use muster::schedule::tick::{Fate, Tick};
use rustix::process::{Pid, Signal, kill_process};
use support::Desk;

/// Each effect appends a line of its own to a ledger, by a program that knows nothing of Muster.
const BOOK: &str = r#"
muster: 1
name: ledger
version: 1.0.0
title: Append three lines
params:
  ledger: { type: path, doc: Where the lines go. }
capabilities: [exec.run, time.sleep]
"#;

fn book() -> String {
    let step = |id: &str, needs: &str| {
        let argv = |word: &str| format!(r#"["sh", "-c", "echo \"$0\" >> \"$1\"", run.id + " {word}", params.ledger]"#);
        let call = |word: &str| format!("host::exec::run(#{{ argv: {}, changes: [params.ledger] }});", argv(word));
        let (done, undone) = (call(id), call(&format!("{id} undone")));
        format!("  - id: {id}\n    needs: [{needs}]\n    script: |\n      {done}\n    rollback: |\n      {undone}\n")
    };
    let nap = "  - { id: nap, needs: [first], uses: time.sleep, with: { duration: 700ms } }\n";
    format!(
        "{BOOK}steps:\n{}{nap}{}{}drill:\n  shared: [\"fs${{params.ledger}}\"]\n  proof: [third]\n",
        step("first", ""),
        step("second", "nap"),
        step("third", "second")
    )
}

/// What a drill does, and what its teardown does.
const EFFECTS: [&str; 6] = ["first", "second", "third", "third undone", "second undone", "first undone"];

/// A server, and what it says in a file.
struct Server {
    child: Child,
}

impl Server {
    fn start(desk: &Desk) -> Self {
        let log = File::options().create(true).append(true).open(desk.path().join("server.log")).expect("a log");
        let args = ["serve", "--listen", "127.0.0.1:0", "--standby", "--schedules", "schedules.yaml", "--workers", "8"];
        let child =
            desk.command(&args).stdin(Stdio::null()).stdout(Stdio::null()).stderr(log).spawn().expect("it starts");
        Self { child }
    }

    fn signal(&self, signal: Signal) {
        // One that another server killed as stale is gone.
        let _ = kill_process(Pid::from_child(&self.child), signal);
    }

    fn is_dead(&mut self) -> bool {
        self.child.try_wait().expect("it can be asked").is_some()
    }

    fn wait(&mut self) {
        self.child.wait().expect("it ends");
    }
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Chance that is the same in every run of the test.
struct Dice(u64);

impl Dice {
    fn roll(&mut self, below: u64) -> u64 {
        self.0 = self.0.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        (self.0 >> 33) % below
    }
}

fn is_full() -> bool {
    std::env::var("MUSTER_TEST_FAULTS").is_ok_and(|what| what == "full")
}

/// The end of what the servers said, for a failure.
fn log_of(desk: &Desk) -> String {
    let log = std::fs::read_to_string(desk.path().join("server.log")).unwrap_or_default();
    log.lines().rev().take(60).collect::<Vec<_>>().into_iter().rev().collect::<Vec<_>>().join("\n")
}

fn ticks(desk: &Desk, name: &str) -> Vec<Tick> {
    let mut ticks = people::ticks(desk.store().as_ref(), name, None).expect("ticks");
    ticks.reverse();
    ticks
}

fn ledger(desk: &Desk) -> BTreeMap<String, usize> {
    let text = std::fs::read_to_string(desk.path().join("ledger")).unwrap_or_default();
    let mut lines = BTreeMap::new();
    for line in text.lines() {
        *lines.entry(line.to_owned()).or_default() += 1;
    }
    lines
}

/// Each run has ended well and each of its effects happened once; each due second has one fate.
fn judge(desk: &Desk, names: &[String], period: i64) -> (usize, u64) {
    let store = desk.store();
    let mut runs: BTreeSet<RunId> = BTreeSet::new();
    let mut due_in_all = 0;
    for name in names {
        let document = store.document(standing::KIND, name).expect("read").expect("it was looked at");
        let standing: Standing = serde_json::from_value(document.body).expect("a standing");
        // What was due is told by arithmetic, not by the scheduler.
        let due: Vec<i64> =
            (standing.since.as_second() + 1..=standing.through.as_second()).filter(|at| at % period == 0).collect();
        let mut fated = Vec::new();
        for tick in ticks(desk, name) {
            assert!(!matches!(tick.fate, Fate::Asked | Fate::Waiting), "{tick:?}");
            let of_tick: Vec<i64> = (tick.at.as_second()..=tick.to.as_second()).filter(|at| at % period == 0).collect();
            assert_eq!(of_tick.len() as u64, tick.count, "{tick:?}");
            fated.extend(of_tick);
            if let Some(run) = tick.run() {
                assert!(runs.insert(run.clone()), "run {run} has two ticks");
            }
        }
        assert_eq!(fated, due, "each due instant of {name} has exactly one fate");
        due_in_all += due.len() as u64;
    }
    let heads = store.heads().expect("runs");
    let there: BTreeSet<RunId> = heads.iter().map(|head| head.run.clone()).collect();
    assert_eq!(there, runs, "each tick has its run, and there are no others");
    for head in &heads {
        assert_eq!(head.status, RunStatus::Succeeded, "{head:?}\n{}", log_of(desk));
    }
    let wanted: BTreeMap<String, usize> =
        runs.iter().flat_map(|run| EFFECTS.map(|effect| (format!("{run} {effect}"), 1))).collect();
    assert_eq!(ledger(desk), wanted, "each effect happened once");
    (runs.len(), due_in_all)
}

fn desk(names: &[String], cron: &str) -> Desk {
    let desk = Desk::new();
    desk.file("playbooks/ledger/playbook.yaml", &book());
    let ledger = desk.file("ledger", "");
    let mut text = "muster: 1\nschedules:\n".to_owned();
    for name in names {
        text.push_str(&format!(
            "  {name}: {{ playbook: ledger, cron: \"{cron}\", catch_up: 10s, params: {{ ledger: \"{}\" }} }}\n",
            ledger.display()
        ));
    }
    desk.file("schedules.yaml", &text);
    desk
}

/// Lets everything come to its end under a server that nobody disturbs, with no more ticks.
fn calm_down(desk: &Desk) {
    let still = std::fs::read_to_string(desk.path().join("schedules.yaml")).expect("the schedules");
    // By another file than before, nothing is due any more; what was due before has its fate.
    desk.file("schedules.yaml", &still.replace("catch_up: 10s", "catch_up: 10s, enabled: false"));
    let mut server = Server::start(desk);
    let end = Instant::now() + Duration::from_secs(120);
    loop {
        let store = desk.store();
        let all = store.heads().expect("runs");
        let open = all.iter().filter(|head| !head.status.is_terminal()).count();
        let unborn = store.documents(standing::KIND, &Query::default()).expect("read").iter().any(|document| {
            let standing: Standing = serde_json::from_value(document.body.clone()).expect("a standing");
            standing.current.is_some_and(|current| !current.begun)
        });
        if open == 0 && !unborn && !server.is_dead() && !all.is_empty() {
            break;
        }
        assert!(Instant::now() < end, "{open} runs do not end:\n{}", log_of(desk));
        std::thread::sleep(Duration::from_millis(250));
    }
    server.signal(Signal::TERM);
    server.wait();
}

#[test]
fn a_server_drills_on_its_schedule_and_a_broken_file_keeps_what_was() {
    let names = vec!["steady".to_owned()];
    let desk = desk(&names, "*/2 * * * * *");
    let started = Timestamp::now();
    let server = Server::start(&desk);
    let end = Instant::now() + Duration::from_secs(60);
    let runs = || ticks(&desk, "steady").iter().filter(|tick| tick.run().is_some()).count();
    let wait_for = |count: usize| {
        while runs() < count {
            assert!(Instant::now() < end, "only {} runs:\n{}", runs(), log_of(&desk));
            std::thread::sleep(Duration::from_millis(100));
        }
    };
    wait_for(2);
    let file = std::fs::read_to_string(desk.path().join("schedules.yaml")).expect("the schedules");
    desk.file("schedules.yaml", "muster: 1\nschedules: { steady: { cron: never } }\n");
    let before = runs();
    wait_for(before + 2);
    let listed = desk.file("good.yaml", &file);
    let list = desk.muster(&["schedule", "list", "-o", "json", "--schedules", &listed.display().to_string()]);
    assert!(list.stdout.contains("\"broken-file\""), "{list:?}");
    desk.file("schedules.yaml", &file);
    let first = ticks(&desk, "steady")[0].at;
    assert!(first >= started && first.as_second() % 2 == 0, "{first}");
    server.signal(Signal::TERM);
    drop(server);
    calm_down(&desk);
    judge(&desk, &names, 2);
}

#[test]
fn no_tick_fires_twice_or_is_lost_and_no_effect_happens_twice_while_servers_are_killed_stopped_and_restarted() {
    let names: Vec<String> = (0..10).map(|number| format!("drill-{number}")).collect();
    let desk = desk(&names, "*/2 * * * * *");
    let (least, most) = if is_full() { (900, Duration::from_secs(600)) } else { (300, Duration::from_secs(110)) };
    let mut dice = Dice(42);
    let mut servers = [Server::start(&desk), Server::start(&desk)];
    let begun = Instant::now();
    let (mut kills, mut stops, mut drains) = (0, 0, 0);
    // How many runs there are is asked of the store now and then: a server under load is not to be slowed down by the test.
    while begun.elapsed() < most && desk.store().heads().expect("runs").len() < least {
        std::thread::sleep(Duration::from_millis(1000 + dice.roll(3000)));
        let place = usize::try_from(dice.roll(2)).expect("small");
        let server = &mut servers[place];
        match dice.roll(4) {
            0 | 1 => {
                server.signal(Signal::KILL);
                kills += 1;
            }
            2 => {
                server.signal(Signal::STOP);
                std::thread::sleep(Duration::from_millis(500 + dice.roll(6000)));
                server.signal(Signal::CONT);
                stops += 1;
            }
            _ => {
                server.signal(Signal::TERM);
                std::thread::sleep(Duration::from_millis(dice.roll(1500)));
                server.signal(Signal::KILL);
                drains += 1;
            }
        }
        std::thread::sleep(Duration::from_millis(100));
        for server in &mut servers {
            if server.is_dead() {
                *server = Server::start(&desk);
            }
        }
    }
    for server in &mut servers {
        server.signal(Signal::KILL);
        server.wait();
    }
    calm_down(&desk);
    let (runs, due) = judge(&desk, &names, 2);
    eprintln!(
        "{runs} runs of {due} due instants; {kills} kills, {stops} stops, {drains} drains in {:?}",
        begun.elapsed()
    );
    assert!(kills > 0 && stops > 0, "it was disturbed");
    assert!(runs >= least / 3, "{runs} runs: too few to prove anything\n{}", log_of(&desk));
}
