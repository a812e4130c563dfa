//! A case: the program run on the ground, killed or failed at its points, carried on until it ends, and what came of it.

use std::collections::BTreeMap;
use std::fs::File;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicBool, AtomicI32, Ordering};
use std::time::{Duration, Instant};

use crate::calls::Book;
use crate::ground::{Ground, Picture, State};
use crate::points::{Moment, Points, Score};
use crate::tracer::{self, Process, Syscall, Verdict, Watch};

/// A run of a playbook, from its state to its end.
#[derive(Clone, Copy, Debug)]
pub struct Scenario {
    pub name: &'static str,
    pub playbook: &'static str,
    pub params: &'static [&'static str],
    pub state: State,
    /// Rolled back where it waits for an approval, instead of being approved.
    pub rollback: bool,
}

pub const BACKUP: Scenario =
    Scenario { name: "backup", playbook: "omnichat-backup", params: &[], state: State::Whole, rollback: false };
pub const VERIFY: Scenario =
    Scenario { name: "verify", playbook: "omnichat-verify", params: &[], state: State::Wrecked, rollback: false };
pub const RESTORE: Scenario = Scenario {
    name: "restore",
    playbook: "omnichat-restore",
    params: &["retire=true"],
    state: State::Wrecked,
    rollback: false,
};
pub const ROLLBACK: Scenario = Scenario { name: "rollback", rollback: true, ..RESTORE };

/// More lives than any case needs.
const LIVES: usize = 120;
/// How long one life may take: a program that hangs is a failure.
const LIFE: Duration = Duration::from_secs(180);

/// What came of a case.
pub struct Outcome {
    pub book: Book,
    pub picture: Picture,
    pub points: Points,
    /// How often each effect was completed, by the wrapper's log.
    pub effects: BTreeMap<String, usize>,
    /// What a person was asked, and answered.
    pub asked: Vec<String>,
}

/// Tells the holding thread which process to kill.
struct Leashed<'p> {
    points: &'p mut Points,
    pid: &'p AtomicI32,
}

impl Watch for Leashed<'_> {
    fn begins(&mut self, pid: i32) {
        self.pid.store(pid, Ordering::SeqCst);
        self.points.begins(pid);
    }

    fn enters(&mut self, process: &Process, call: &Syscall) -> Verdict {
        self.points.enters(process, call)
    }

    fn leaves(&mut self, process: &Process, call: &Syscall, result: i64) {
        self.points.leaves(process, call, result);
    }
}

/// The fields of `/proc/PID/stat` after the name: state, parent, group, session.
fn stat(pid: i32) -> Option<(i32, i32)> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    let fields: Vec<&str> = text.rsplit_once(')')?.1.split_whitespace().collect();
    Some((fields.get(2)?.parse().ok()?, fields.get(3)?.parse().ok()?))
}

/// Kills a program with all that belongs to it: its supervisor's session, or its process group when it has no supervisor.
fn kill_with_its_own(pid: i32) {
    let Some((group, session)) = stat(pid) else { return };
    // SAFETY: asks for a number.
    let ours = unsafe { libc::getsid(0) };
    for entry in std::fs::read_dir("/proc").expect("there is /proc").flatten() {
        let Some(other) = entry.file_name().to_str().and_then(|name| name.parse::<i32>().ok()) else { continue };
        if stat(other).is_some_and(|(g, s)| if session == ours { g == group } else { s == session }) {
            // SAFETY: a signal to a process that the program under test has started.
            unsafe { libc::kill(other, libc::SIGKILL) };
        }
    }
}

impl Ground {
    fn points(&self, score: &Score) -> Points {
        Points::new(self.store(), self.roots(), score.clone())
    }

    /// An undisturbed run: what it does, and where it leads.
    pub fn undisturbed(&self, scenario: &Scenario) -> (Score, Picture) {
        self.reset(scenario.state);
        let outcome = self.play(scenario, self.points(&Score::default()), &[]);
        let wanted = if scenario.rollback { "rolled back" } else { "succeeded" };
        assert_eq!(outcome.book.status, wanted, "{} undisturbed: {}", scenario.name, outcome.book.tail());
        let Outcome { book, picture, points, effects, .. } = outcome;
        (Score { calls: book.calls, steps: points.steps, changes: named(&points.changes, &book.run), effects }, picture)
    }

    /// A run that is killed at these points.
    pub fn killed(&self, scenario: &Scenario, score: &Score, wanted: &[(String, Moment)]) -> Outcome {
        self.reset(scenario.state);
        let mut points = self.points(score);
        points.wanted = wanted.iter().cloned().collect();
        self.play(scenario, points, &[])
    }

    /// A run in which calls fail: by a fault of the kernel, or by what the wrapper is told for these names.
    pub fn failed(
        &self,
        scenario: &Scenario,
        score: &Score,
        fault: Option<(String, usize, i32)>,
        plans: &[(String, &str)],
    ) -> Outcome {
        self.reset(scenario.state);
        let mut points = self.points(score);
        points.fault = fault;
        self.play(scenario, points, plans)
    }

    fn play(&self, scenario: &Scenario, mut points: Points, plans: &[(String, &str)]) -> Outcome {
        let mut command = self.command(scenario.playbook, scenario.params);
        let mut asked = Vec::new();
        let fails = points.fault.is_some() || !plans.is_empty();
        for (name, plan) in plans {
            std::fs::write(self.control().join("plan").join(name), plan).expect("a plan");
        }
        for life in 0..LIVES {
            self.plan_holds(&points);
            let code = self.live(&mut command, &mut points, life);
            let book = Book::read(&self.store()).unwrap_or_default();
            let run = book.run.clone();
            if code.is_none() {
                // Killed before the run had a record: it is begun anew by whoever wanted it.
                command = if run.is_empty() {
                    self.command(scenario.playbook, scenario.params)
                } else {
                    self.muster(&["resume", &run])
                };
                continue;
            }
            let order: Vec<String>;
            let mut actor = "alice";
            match book.pause() {
                // What is gone for good is not brought back: the run says so.
                Some((why, _)) if why == "point_of_no_return" || stays(&book) => return self.look(book, points, asked),
                Some(_) if fails => {
                    assert!(asked.len() < 3, "the rollback does not come to an end: {}", book.tail());
                    points.fault = None;
                    let _ = std::fs::remove_dir_all(self.control().join("plan"));
                    std::fs::create_dir(self.control().join("plan")).expect("a folder");
                    order = ["rollback", &run].map(str::to_owned).to_vec();
                    asked.push(format!("{:?}", book.pause()));
                }
                Some((why, _)) if why == "approval" && scenario.rollback => {
                    order = ["rollback", &run].map(str::to_owned).to_vec()
                }
                Some((why, step)) if why == "approval" => {
                    order = ["approve", &run, &step].map(str::to_owned).to_vec();
                    actor = "bob";
                }
                Some((why, step)) if why == "in_doubt" && asked.len() < 5 => {
                    order = ["settle", &run, &step, "--not-done", "-m", "it was killed halfway"]
                        .map(str::to_owned)
                        .to_vec();
                    asked.push(format!("{why} {step}"));
                }
                _ => return self.look(book, points, asked),
            }
            command = self.muster(&order.iter().map(String::as_str).collect::<Vec<_>>());
            command.env("MUSTER_ACTOR", actor);
        }
        panic!("{} does not come to an end: {}", scenario.name, Book::read(&self.store()).unwrap_or_default().tail());
    }

    fn look(&self, book: Book, points: Points, asked: Vec<String>) -> Outcome {
        // Whoever looks at it next has nothing to do but to clear away what an engine that died at the very end has left.
        let _ = self.muster(&["resume", &book.run]).output().expect("the program starts");
        let picture = self.picture(&book.run);
        let mut effects = BTreeMap::new();
        for line in std::fs::read_to_string(self.control().join("log")).unwrap_or_default().lines() {
            if let Some((_, name)) = line.strip_prefix("end ").and_then(|rest| rest.split_once(' ')) {
                *effects.entry(without_resends(name).to_owned()).or_default() += 1;
            }
        }
        Outcome { book, picture, points, effects, asked }
    }

    /// Tells the wrapper at which calls to hold.
    fn plan_holds(&self, points: &Points) {
        for (name, moment) in &points.wanted {
            if !matches!(moment, Moment::Half | Moment::Torn) {
                continue;
            }
            let call = points.score.calls.iter().find(|call| call.name == *name);
            if let Some(client) = call.and_then(crate::calls::Call::client) {
                std::fs::write(self.control().join("plan").join(client), "hold").expect("a plan");
            }
        }
    }

    /// One life of the engine; its exit code, or `None` when it was killed.
    fn live(&self, command: &mut Command, points: &mut Points, life: usize) -> Option<i32> {
        let log = |what: &str| File::create(self.path(&format!("case/{life}.{what}"))).expect("a log");
        command.stdout(log("out")).stderr(log("err"));
        let (pid, over) = (AtomicI32::new(0), AtomicBool::new(false));
        let held = self.control().join("held");
        let code = std::thread::scope(|scope| {
            let (pid, over, held) = (&pid, &over, &held);
            scope.spawn(move || watch_for_holds(pid, over, held));
            let code = tracer::follow(command, &mut Leashed { points, pid });
            over.store(true, Ordering::SeqCst);
            code
        });
        for (pid, name) in holders(&held) {
            let reached = points.wanted.iter().find(|(call, moment)| {
                let call = points.score.calls.iter().find(|known| known.name == *call);
                matches!(moment, Moment::Half | Moment::Torn)
                    && call.and_then(crate::calls::Call::client).is_some_and(|client| client == name)
            });
            let reached = reached.cloned();
            if matches!(reached, Some((_, Moment::Torn))) {
                kill_with_its_own(pid);
            } else {
                std::fs::write(self.control().join(format!("go.{pid}")), "").expect("it goes on");
            }
            let _ = std::fs::remove_file(held.join(pid.to_string()));
            if let Some(reached) = reached {
                points.wanted.remove(&reached);
                points.reached.push(reached);
            }
        }
        code
    }
}

/// Whom the wrapper holds, and in what.
fn holders(held: &Path) -> Vec<(i32, String)> {
    let entries = std::fs::read_dir(held).into_iter().flatten().flatten();
    let holder = |entry: std::fs::DirEntry| {
        let pid = entry.file_name().to_str()?.parse().ok()?;
        Some((pid, std::fs::read_to_string(entry.path()).ok()?.trim().to_owned()))
    };
    entries.filter_map(holder).collect()
}

/// Kills the engine at once when the wrapper holds a call.
fn watch_for_holds(pid: &AtomicI32, over: &AtomicBool, held: &Path) {
    let begun = Instant::now();
    while !over.load(Ordering::SeqCst) {
        let engine = pid.load(Ordering::SeqCst);
        let late = begun.elapsed() > LIFE;
        if engine != 0 && (late || !holders(held).is_empty()) {
            // SAFETY: our own child, which is reaped only by the thread that follows it, and that says so by `over`.
            unsafe { libc::kill(engine, libc::SIGKILL) };
            assert!(!late, "the program does not come to an end");
            return;
        }
        std::thread::sleep(Duration::from_millis(3));
    }
}

/// A name of the wrapper without how often it was sent again: `exec.side-1-0-r2`.
fn without_resends(name: &str) -> &str {
    match name.rsplit_once("-r") {
        Some((bare, number)) if number.chars().all(|c| c.is_ascii_digit()) => bare,
        _ => name,
    }
}

/// Changes of files with the run's own name as RUN.
pub fn named(changes: &BTreeMap<String, usize>, run: &str) -> BTreeMap<String, usize> {
    let short = run.get(..6).unwrap_or("no run");
    let mut named = BTreeMap::new();
    for (name, count) in changes {
        *named.entry(name.replace(short, "RUN")).or_default() += count;
    }
    named
}

/// The logs of a case, for a failure to show.
pub fn logs(ground: &Ground) -> String {
    let mut text = String::new();
    for life in 0.. {
        let path: PathBuf = ground.path(&format!("case/{life}.err"));
        let Ok(said) = std::fs::read_to_string(path) else { break };
        let last: Vec<&str> = said.lines().rev().take(3).collect();
        for line in last.iter().rev() {
            text.push_str(&format!("    life {life}: {line}\n"));
        }
    }
    text
}

/// Whether a rollback was refused, since it would have gone past a point of no return.
fn stays(book: &Book) -> bool {
    let said = book.facts.iter().filter_map(|fact| fact["refused"].as_str());
    said.into_iter().any(|why| why.contains("point of no return"))
}
