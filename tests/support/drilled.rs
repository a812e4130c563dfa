//! Drills that a real `muster serve` begins by itself on a schedule, and what a test holds their reports against: clocks and counts
//! of what they work on, which know nothing of Muster.
//!
//! A report is that of `muster report RUN -o json`. An instant is in milliseconds since 1970, as a report's durations are: both clocks
//! are the machine's, each cut to the millisecond below, so that what came first is never later, and nothing has to be tolerated.

#![allow(dead_code, reason = "each test file uses what it needs")]

#[path = "cli.rs"]
pub mod cli;
#[path = "serving.rs"]
pub mod serving;

use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use cli::Desk;
use muster::model::Timestamp;
use serde_json::{Value, json};
use serving::Serving;

/// How long a drill may take before the test says that it never ended.
const PATIENCE: Duration = Duration::from_secs(300);

/// Now, by the machine's clock.
pub fn now() -> i64 {
    let since = SystemTime::now().duration_since(UNIX_EPOCH).expect("it is later than 1970");
    i64::try_from(since.as_millis()).expect("it fits")
}

/// An instant as it is written: `2026-01-31T09:30:00.123Z`, `2026-01-31 09:30:00.123+00`.
pub fn instant(text: &str) -> i64 {
    let at: Timestamp = text.trim().parse().unwrap_or_else(|error| panic!("`{text}` is no instant: {error}"));
    at.as_millisecond()
}

/// A server that drills by itself.
pub struct Drilling {
    desk: Desk,
    server: Serving,
}

/// A schedule that is due every so many seconds: what it drills, and with which parameters.
pub fn every(seconds: u32, playbook: &str, params: &Value) -> Value {
    json!({ "playbook": playbook, "cron": format!("*/{seconds} * * * * *"), "params": params })
}

/// A drill that has ended.
#[derive(Debug)]
pub struct Drill {
    /// The run.
    pub run: String,
    /// When it was due.
    pub due: i64,
    /// Its report.
    pub report: Value,
}

/// What was seen of a drill by somebody else than Muster.
#[derive(Clone, Copy, Debug)]
pub struct Seen {
    /// When it was first heard of.
    pub touched: i64,
    /// When the last thing was over that the proof of the recovery needs.
    pub proved: i64,
    /// When the first thing began that comes after the proof.
    pub after: i64,
}

impl Drilling {
    /// Starts the server with these schedules, each by its name. Nobody tells it anything from then on.
    pub fn start(desk: Desk, schedules: &[(&str, Value)]) -> Self {
        let named: serde_json::Map<String, Value> =
            schedules.iter().map(|(name, schedule)| ((*name).to_owned(), schedule.clone())).collect();
        // What is JSON is YAML.
        desk.file("schedules.yaml", &json!({ "muster": 1, "schedules": named }).to_string());
        let linted = desk.muster(&["lint", "schedules.yaml"]);
        assert_eq!(linted.code, 0, "{}{}", linted.stdout, linted.stderr);
        let args = ["serve", "--listen", "127.0.0.1:0", "--schedules", "schedules.yaml", "--workers", "4"];
        let server = Serving::start(&mut desk.command(&args));
        Self { desk, server }
    }

    /// What the program answers to this.
    pub fn ask(&self, args: &[&str]) -> Value {
        let said = self.desk.muster(args);
        assert_eq!(said.code, 0, "{args:?}: {}{}", said.stdout, said.stderr);
        serde_json::from_str(&said.stdout).unwrap_or_else(|error| panic!("{args:?}: {error}: {}", said.stdout))
    }

    /// What the program prints for people.
    pub fn print(&self, args: &[&str]) -> String {
        let said = self.desk.muster(args);
        assert_eq!(said.code, 0, "{args:?}: {}{}", said.stdout, said.stderr);
        said.stdout
    }

    /// The desk that it stands on.
    pub fn desk(&self) -> &Desk {
        &self.desk
    }

    /// The ticks of a schedule that became a run: when each was due, and which run. All others were left out on purpose.
    fn runs(&self, schedule: &str) -> Vec<(i64, String)> {
        let ticks = self.ask(&["schedule", "history", schedule, "-n", "1000", "-o", "json"]);
        let mut runs = Vec::new();
        for tick in ticks.as_array().expect("ticks").iter().rev() {
            match tick["fate"]["fate"].as_str() {
                Some("run") => {
                    let run = tick["fate"]["run"].as_str().expect("a run").to_owned();
                    runs.push((instant(tick["at"].as_str().expect("an instant")), run));
                }
                // While the drill before was at work; or a later one was due before a server under load had looked.
                Some("skipped" | "missed")
                    if ["overlap", "paused", "superseded"].iter().any(|why| tick["fate"]["why"]["reason"] == *why) => {}
                _ => panic!("a tick of {schedule} came to nothing: {tick}\n{}", self.server.said()),
            }
        }
        runs
    }

    /// The report of a run that has ended.
    fn ended(&self, run: &str) -> Option<Value> {
        // A tick has its run before that has its first record.
        let said = self.desk.muster(&["report", run, "-o", "json"]);
        let report: Value =
            if said.code == 0 { serde_json::from_str(&said.stdout).expect("JSON") } else { Value::Null };
        report["ended"].is_string().then_some(report)
    }

    /// Waits until so many drills of each of these schedules have ended, and lets no more begin. All that there were of each, by their time.
    pub fn until<const N: usize>(&self, schedules: [&str; N], count: usize) -> [Vec<Drill>; N] {
        let begun = Instant::now();
        let wait = |schedule: &str, done: &dyn Fn(usize, usize) -> bool| loop {
            let runs = self.runs(schedule);
            let ended: Vec<Drill> = runs
                .iter()
                .filter_map(|(due, run)| Some(Drill { run: run.clone(), due: *due, report: self.ended(run)? }))
                .collect();
            if done(runs.len(), ended.len()) {
                return ended;
            }
            let shown: Vec<String> = runs.iter().map(|(_, run)| self.desk.muster(&["show", run]).stdout).collect();
            assert!(
                begun.elapsed() < PATIENCE,
                "{} of {count} drills of {schedule} have ended:\n{}\n{}",
                ended.len(),
                shown.join("\n"),
                self.server.said()
            );
            std::thread::sleep(Duration::from_millis(500));
        };
        for schedule in schedules {
            wait(schedule, &|_, ended| ended >= count);
            // No tick begins anything more; what is at work comes to its end by itself.
            let said = self.desk.muster(&["schedule", "pause", schedule, "--reason", "the test has seen enough"]);
            assert_eq!(said.code, 0, "{said:?}");
        }
        schedules.map(|schedule| wait(schedule, &|runs, ended| ended == runs))
    }

    /// Ends the server, as whoever runs it would; the desk with the store.
    pub fn stop(mut self) -> Desk {
        self.server.signal("TERM");
        assert_eq!(self.server.end(), Some(0), "{}", self.server.said());
        self.desk
    }
}

impl Drill {
    /// What its report says of the drill.
    pub fn drill(&self) -> &Value {
        &self.report["drill"]
    }

    /// What stands in the names of what it makes.
    pub fn short(&self) -> &str {
        &self.run[..6]
    }

    fn at(&self, name: &str) -> i64 {
        let text = self.drill()[name].as_str();
        instant(text.unwrap_or_else(|| panic!("there is no `{name}`: {:#}", self.report)))
    }

    /// From when its recovery is reckoned.
    pub fn declared(&self) -> i64 {
        self.at("declared_at")
    }

    /// Its RTO is right: the recovery began between the time when it was due and the first that others heard of it, and was proved
    /// between the last that the proof needs and the first that comes after it.
    pub fn has_rto(&self, seen: Seen) {
        let (declared, proven) = (self.declared(), self.at("proven"));
        let rto = &self.drill()["rto"];
        let part = |name: &str| rto[name].as_i64().unwrap_or_else(|| panic!("no {name}: {:#}", self.report));
        let total = part("total_ms");
        let (least, most) = (seen.proved - seen.touched, seen.after - self.due);
        eprintln!("{}: RTO {total} ms, by others' clocks from {least} to {most} ms", self.run);
        assert!((self.due..=seen.touched).contains(&declared), "declared at {declared}, due {}: {seen:?}", self.due);
        assert!((seen.proved..=seen.after).contains(&proven), "proven at {proven}: {seen:?}");
        assert_eq!(total, proven - declared, "{rto}");
        assert!((least..=most).contains(&total), "{total}: {seen:?}");
        // Nobody had to notice it or to decide, and nothing is counted twice or left out.
        let started = instant(self.report["started"].as_str().expect("an instant"));
        let parts = [part("detect_ms"), part("decide_ms"), part("machine_ms"), part("verify_ms")];
        assert_eq!((parts[0], parts[1], parts.iter().sum::<i64>()), (started - declared, 0, total), "{rto}");
        assert!(started <= seen.touched, "started at {started}: {seen:?}");
    }

    /// Its RPO is right: what is lost is what came after the newest of the data that were restored.
    pub fn has_rpo(&self, newest: i64) {
        let found = self.drill()["rpo_ms"].as_i64();
        eprintln!("{}: RPO {found:?} ms, counted {} ms", self.run, self.declared() - newest);
        assert_eq!((self.at("newest"), found), (newest, Some(self.declared() - newest)), "{:#}", self.report);
    }

    /// Something else that it measured.
    pub fn measured(&self, name: &str) -> &Value {
        &self.drill()["values"][name]
    }

    /// The recovery was proved in time, everything that was made was looked for, and nothing is left.
    pub fn is_green(&self) {
        let drill = self.drill();
        let ended = (&self.report["status"], &drill["green"], &drill["missed"], &drill["teardown"]["why"]);
        assert_eq!(
            ended,
            (&json!("succeeded"), &json!(true), &json!([]), &json!("the drill is over")),
            "{:#}",
            self.report
        );
        self.is_swept();
    }

    /// An objective was missed, and nobody takes it for a success; everything is taken down all the same.
    pub fn has_missed(&self, what: &str) {
        let drill = self.drill();
        let missed: Vec<&str> = drill["missed"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        assert!(missed.len() == 1 && missed[0].contains(what), "{missed:?}: {:#}", self.report);
        let ended = (&self.report["status"], &drill["green"]);
        assert_eq!(ended, (&json!("succeeded_with_exceptions"), &json!(false)), "{:#}", self.report);
        self.is_swept();
    }

    fn is_swept(&self) {
        let drill = self.drill();
        assert!(drill["swept"].as_u64().is_some_and(|looked| looked > 0), "nothing was looked for: {drill:#}");
        assert_eq!((&drill["leaks"], &self.report["effects"]["open"]), (&json!([]), &json!(0)), "{drill:#}");
    }
}

/// Stands before a program, and writes down when each call of it began and ended, by the clock of the machine.
pub struct Witness {
    log: PathBuf,
}

/// A call of a program.
#[derive(Clone, Debug)]
pub struct Call {
    pub from: i64,
    pub to: i64,
    /// Its arguments.
    pub args: String,
    /// The beginning of what it read from a pipe.
    pub read: String,
}

/// What a pipe brings is kept first: then it is known what was asked, and not only of whom.
const WITNESS: &str = r#"#!/bin/sh
from=$(date +%s%3N)
if [ -p /dev/stdin ]; then
    input=$(mktemp)
    cat >"$input"
    read=$(head -c 1000 "$input" | tr '\n\t' '  ')
    '@REAL@' "$@" <"$input"
    code=$?
    rm -f "$input"
else
    read=
    '@REAL@' "$@"
    code=$?
fi
printf '%s\t%s\t%s\t%s\n' "$from" "$(date +%s%3N)" "$(printf '%s ' "$@" | tr '\n\t' '  ')" "$read" >>'@LOG@'
exit "$code"
"#;

impl Witness {
    /// Puts it into this folder under this name; its path, to be called instead of the program.
    pub fn before(real: &str, folder: &Path, name: &str) -> (Self, PathBuf) {
        std::fs::create_dir_all(folder).expect("a folder");
        let (log, path) = (folder.join(format!("{name}.log")), folder.join(name));
        let text = WITNESS.replace("@REAL@", real).replace("@LOG@", &log.display().to_string());
        std::fs::write(&path, text).expect("it is written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o755)).expect("it can be run");
        (Self { log }, path)
    }

    /// The calls that name this, by when they began.
    pub fn calls(&self, about: &str) -> Vec<Call> {
        let text = std::fs::read_to_string(&self.log).expect("it was called");
        let mut calls: Vec<Call> = text
            .lines()
            .map(|line| match line.split('\t').collect::<Vec<_>>()[..] {
                [from, to, args, read] => {
                    let number = |text: &str| text.parse().expect("milliseconds");
                    Call { from: number(from), to: number(to), args: args.to_owned(), read: read.to_owned() }
                }
                _ => panic!("a line of another form: {line}"),
            })
            .filter(|call| call.args.contains(about))
            .collect();
        calls.sort_by_key(|call| (call.from, call.to));
        calls
    }
}
