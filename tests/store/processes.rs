//! Other processes write, take, die and stop.

use std::io::{BufRead, BufReader};
use std::process::{Child, Command as Process, Stdio};

use muster::journal::{RunJournal, Taken};
use muster::model::command::{Command, Order};
use rustix::process::{Pid, Signal, kill_process};

use super::*;

/// This test binary again, as another process that plays `part` with the store.
struct Other {
    child: Child,
    says: std::io::Lines<BufReader<std::process::ChildStdout>>,
}

impl Other {
    fn start(part: &str, path: &Path) -> Self {
        let mut child = Process::new(std::env::current_exe().expect("this binary"))
            .args(["processes::the_other_process", "--exact", "--nocapture", "--test-threads=1"])
            .env("STORE_TEST_PART", part)
            .env("STORE_TEST_PATH", path)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .expect("it starts");
        let says = BufReader::new(child.stdout.take().expect("piped")).lines();
        Self { child, says }
    }

    /// The next thing it says.
    fn hear(&mut self) -> String {
        for line in self.says.by_ref() {
            let line = line.expect("text");
            if let Some((_, said)) = line.split_once("other: ") {
                return said.to_owned();
            }
        }
        panic!("the other process ended without a word")
    }

    fn signal(&self, signal: Signal) {
        kill_process(Pid::from_child(&self.child), signal).expect("it lives");
    }
}

impl Drop for Other {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Not a test of its own: what the other process does.
#[test]
fn the_other_process() {
    let (Ok(part), Ok(path)) = (std::env::var("STORE_TEST_PART"), std::env::var("STORE_TEST_PATH")) else { return };
    let store = open(Path::new(&path));
    let say = |text: &str| println!("other: {text}");
    match part.as_str() {
        "take" => {
            match store.take(&run()).expect("asked") {
                Taken::Yes { epoch } => say(&format!("yes {epoch}")),
                Taken::HeldBy(holder) => say(&format!("held by {}", holder.id)),
                Taken::Stale(holder) => say(&format!("stale {}", holder.id)),
            }
            std::io::stdin().lines().for_each(drop);
        }
        "write" => {
            let mut journal = begin(&store, 1);
            for n in 2.. {
                put(&mut journal, [note(&"x".repeat(n % 700))]).expect("durable");
                say(&format!("{}", n + 1));
            }
        }
        "post" => {
            for n in 0..100 {
                let note = Order::Note { text: format!("{n}") };
                store.post(&run(), &Command { by: actor(), what: note }).expect("posted");
            }
            say("posted");
        }
        other => panic!("no part {other}"),
    }
}

#[test]
fn of_many_processes_that_take_a_run_at_once_one_gets_it() {
    let (_folder, path, _) = written();
    let mut others: Vec<Other> = (0..6).map(|_| Other::start("take", &path)).collect();
    let answers: Vec<String> = others.iter_mut().map(Other::hear).collect();
    let winner = open(&path).head(&run()).expect("a head").holder.expect("somebody holds it").id;
    assert_eq!(answers.iter().filter(|answer| *answer == "yes 2").count(), 1, "{answers:?}");
    assert_eq!(answers.iter().filter(|answer| **answer == format!("held by {winner}")).count(), 5, "{answers:?}");
}

#[test]
fn a_run_whose_holder_was_killed_is_taken_at_once() {
    let (_folder, path, _) = written();
    let mut other = Other::start("take", &path);
    assert_eq!(other.hear(), "yes 2");
    let store = open(&path);
    assert!(matches!(store.take(&run()).expect("asked"), Taken::HeldBy(_)));
    other.child.kill().expect("killed");
    other.child.wait().expect("gone");
    assert_eq!(store.head(&run()).expect("a head").holder, None);
    assert_eq!(store.take(&run()).expect("asked"), Taken::Yes { epoch: 3 });
}

#[test]
fn a_holder_stopped_past_its_lease_is_ended_before_its_run_is_taken() {
    use std::os::unix::process::ExitStatusExt;
    let (_folder, path, _) = written();
    let mut other = Other::start("take", &path);
    assert_eq!(other.hear(), "yes 2");
    let store = open(&path);
    other.signal(Signal::STOP);
    std::thread::sleep(LEASE * 3);
    let Taken::Stale(holder) = store.take(&run()).expect("asked") else { panic!("it has not beaten for long") };
    assert_eq!(holder.pid, other.child.id());
    let mut stranger = holder.clone();
    stranger.pid_start += 1;
    assert!(store.kill_stale(&stranger).is_err(), "a process that started at another time is another process");
    store.kill_stale(&holder).expect("ended");
    assert_eq!(store.take(&run()).expect("asked"), Taken::Yes { epoch: 3 });
    assert_eq!(other.child.wait().expect("gone").signal(), Some(9));
}

#[test]
fn a_holder_that_wakes_in_time_keeps_its_run() {
    let (_folder, path, _) = written();
    let mut other = Other::start("take", &path);
    assert_eq!(other.hear(), "yes 2");
    let store = open(&path);
    other.signal(Signal::STOP);
    std::thread::sleep(LEASE * 3);
    let Taken::Stale(holder) = store.take(&run()).expect("asked") else { panic!("it has not beaten for long") };
    other.signal(Signal::CONT);
    while store.take(&run()).expect("asked") != Taken::HeldBy(holder.clone()) {
        std::thread::sleep(LEASE / 10);
    }
    assert!(store.kill_stale(&holder).is_err(), "it is alive and well");
}

#[test]
fn whatever_a_killed_process_had_acknowledged_is_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for round in 0..3 {
        let path = folder.path().join(format!("store{round}.db"));
        let mut other = Other::start("write", &path);
        let mut acknowledged = 0;
        for _ in 0..40 + 37 * round {
            acknowledged = other.hear().parse().expect("a number");
        }
        other.child.kill().expect("killed");
        other.child.wait().expect("gone");
        let store = open(&path);
        let lines = store.load(&run()).expect("verified").lines;
        assert!(lines.len() >= acknowledged, "{} of {acknowledged} records", lines.len());
        assert_eq!(store.take(&run()).expect("asked"), Taken::Yes { epoch: 2 });
    }
}

#[test]
fn commands_from_other_processes_come_in_while_a_run_writes() {
    let (_folder, path, _) = written();
    let store = open(&path);
    let Taken::Yes { epoch } = store.take(&run()).expect("taken") else { panic!("nobody holds it") };
    let (mut journal, _) = RunJournal::open(Arc::clone(&store), Arc::default(), run(), epoch).expect("a journal");
    let mut others = [Other::start("post", &path), Other::start("post", &path)];
    let mut answered = 0;
    while answered < 200 {
        put(&mut journal, [note("at work")]).expect("durable");
        let open: Vec<i64> = store.inbox(&run()).expect("read").into_iter().map(|(id, _)| id).collect();
        journal.commit(&open, RunStatus::Running, "").expect("durable");
        answered += open.len();
    }
    assert_eq!(answered, 200, "every command was answered once");
    assert!(others.iter_mut().all(|other| other.hear() == "posted"));
    assert!(store.inbox_runs().expect("asked").is_empty());
}
