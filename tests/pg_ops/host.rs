//! A host's own PostgreSQL, archived and backed up by pgBackRest: in a folder in memory, as the user who owns it, gone when it is dropped.

use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use muster::app::{App, Settings};
use muster::engine::state::StepStatus;
use muster::engine::{NoObserver, RunState};
use muster::model::command::{Actor, Order};
use muster::model::status::RunStatus;
use muster::model::{RunId, StepPath, Timestamp};
use muster::playbook::params::Given;
use serde_json::Value;

use crate::support;

/// The server with its stanza `main`, and a store of runs.
pub struct Site {
    folder: tempfile::TempDir,
    home: tempfile::TempDir,
    owner: Vec<String>,
    bin: PathBuf,
}

/// The port of the first server: there are only sockets, in a folder of their own.
pub const PORT: u16 = 5432;

impl Site {
    /// Runs, is archived, has a full backup, and a table `canary` with one row.
    pub fn start() -> Self {
        support::prepare();
        let memory = Path::new("/dev/shm");
        // Containers often have only a little of it.
        let roomy = rustix::fs::statvfs(memory).is_ok_and(|disk| disk.f_bavail * disk.f_frsize > 1 << 30);
        let parent = if roomy { memory.to_owned() } else { std::env::temp_dir() };
        let folder = tempfile::Builder::new().prefix("muster-pg").tempdir_in(parent).unwrap();
        let root = rustix::process::geteuid().is_root();
        let owner = if root { vec!["runuser", "-u", "postgres", "--"] } else { Vec::new() };
        let site = Self {
            folder,
            home: tempfile::tempdir().unwrap(),
            owner: owner.into_iter().map(str::to_owned).collect(),
            bin: bin(),
        };
        if root {
            assert!(Command::new("chown").arg("postgres").arg(site.folder.path()).status().unwrap().success());
        }
        for name in ["log", "lock", "repo", "spool"] {
            site.owned(&["mkdir", &site.path(name)]);
        }
        site.configure("pgbackrest.conf", "data", PORT);
        let initdb = ["--no-sync", "-A", "trust", "-U", "postgres", "--locale=C.UTF-8", "-D"];
        site.postgres("initdb", &[&initdb[..], &[&site.path("data")]].concat());
        let settings = format!(
            "listen_addresses=''\nunix_socket_directories='{}'\nfsync=off\nlog_timezone=UTC\nshared_buffers=16MB\nautovacuum=off\nmax_wal_senders=4\narchive_mode=on\n",
            site.folder.path().display()
        );
        site.set("data", &settings);
        site.archive("data", "pgbackrest.conf");
        site.postgres("pg_ctl", &["start", "-w", "-D", &site.path("data"), "-l", &site.path("data.log")]);
        site.pgbackrest(&["stanza-create"]);
        site.sql(
            PORT,
            "create table canary (id serial primary key, at timestamptz not null default clock_timestamp())",
        );
        site.sql(PORT, "insert into canary default values");
        site.pgbackrest(&["--type=full", "backup"]);
        site
    }

    /// Adds settings to those of a server that does not run.
    fn set(&self, data: &str, settings: &str) {
        let file = self.path(&format!("{data}/postgresql.conf"));
        let text = std::fs::read_to_string(&file).unwrap();
        std::fs::write(&file, format!("{text}{settings}")).unwrap();
    }

    /// Has a server that does not run archive by a configuration of pgBackRest.
    pub fn archive(&self, data: &str, config: &str) {
        let command = format!("pgbackrest --config={} --stanza=main archive-push %p", self.path(config));
        self.set(data, &format!("archive_command='{command}'\n"));
    }

    /// Writes a configuration of pgBackRest for a server.
    pub fn configure(&self, name: &str, data: &str, port: u16) {
        let path = |name: &str| self.path(name);
        let text = format!(
            "[global]\nrepo1-path={}\nlog-path={}\nlock-path={}\nspool-path={}\nrepo1-retention-full=2\nprocess-max=1\n\
             compress-type=none\nstart-fast=y\n[main]\npg1-path={}\npg1-socket-path={}\npg1-port={port}\n",
            path("repo"),
            path("log"),
            path("lock"),
            path("spool"),
            path(data),
            self.folder.path().display()
        );
        std::fs::write(path(name), text).unwrap();
    }

    /// A path below the folder.
    pub fn path(&self, name: &str) -> String {
        self.folder.path().join(name).display().to_string()
    }

    /// The words before a program that make it run as the owner of the data.
    pub fn owner(&self) -> &[String] {
        &self.owner
    }

    /// Where the programs of PostgreSQL are.
    pub fn bin(&self) -> &Path {
        &self.bin
    }

    /// A path in a folder of the test's own.
    pub fn home(&self, name: &str) -> PathBuf {
        self.home.path().join(name)
    }

    /// Runs a program as the owner of the data.
    pub fn try_owned(&self, words: &[&str]) -> Output {
        let words: Vec<&str> = self.owner.iter().map(String::as_str).chain(words.iter().copied()).collect();
        Command::new(words[0]).args(&words[1..]).current_dir("/").output().unwrap()
    }

    /// The same; it has to end well. What it prints.
    pub fn owned(&self, words: &[&str]) -> String {
        let output = self.try_owned(words);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{words:?}: {said}{}", String::from_utf8_lossy(&output.stdout));
        String::from_utf8(output.stdout).unwrap().trim().to_owned()
    }

    /// A program of PostgreSQL's server.
    pub fn postgres(&self, program: &str, words: &[&str]) -> String {
        // A server keeps the output of whoever starts it open.
        let program = self.bin.join(program).display().to_string();
        if words.first() == Some(&"start") {
            let line = format!("exec {program} {} >/dev/null 2>&1", words.join(" "));
            return self.owned(&["sh", "-c", &line]);
        }
        self.owned(&[&[program.as_str()], words].concat())
    }

    /// A command of pgBackRest.
    pub fn pgbackrest(&self, words: &[&str]) -> String {
        let config = format!("--config={}", self.path("pgbackrest.conf"));
        self.owned(&[&["pgbackrest", &config, "--stanza=main"], words].concat())
    }

    /// What a server answers.
    pub fn sql(&self, port: u16, sql: &str) -> String {
        let folder = self.folder.path().display().to_string();
        let port = port.to_string();
        self.owned(&["psql", "-XAtq", "-v", "ON_ERROR_STOP=1", "-h", &folder, "-p", &port, "-U", "postgres", "-c", sql])
    }

    /// Adds rows to the canary, each a commit; when the last was made, by the clock of the test: not before, and not after.
    pub fn write(&self, rows: usize) -> (Timestamp, Timestamp) {
        let mut made = (Timestamp::now(), Timestamp::now());
        for _ in 0..rows {
            let before = Timestamp::now();
            self.sql(PORT, "insert into canary default values");
            made = (before, Timestamp::now());
        }
        made
    }

    /// The parameters of the playbook for this host.
    fn given(&self, more: &[(&str, &str)]) -> Given {
        let mut given = Given::default();
        for pair in self.pairs(more) {
            given.add_text(&pair).unwrap();
        }
        given
    }

    /// The same, as they stand on a command line.
    pub fn pairs(&self, more: &[(&str, &str)]) -> Vec<String> {
        let canary = "select max(at) as at, count(*) as rows from canary having count(*) > 0";
        let own = [
            ("stanza", "main".to_owned()),
            ("data", self.path("data")),
            ("as_owner", format!("[{}]", self.owner.join(", "))),
            ("pgbackrest", format!("[pgbackrest, --config={}]", self.path("pgbackrest.conf"))),
            ("bin", self.bin.display().to_string()),
            ("socket", self.folder.path().display().to_string()),
            ("canary", canary.to_owned()),
        ];
        let own = own.into_iter().filter(|(name, _)| !more.iter().any(|(other, _)| other == name));
        let more = more.iter().map(|(name, value)| (*name, (*value).to_owned()));
        own.chain(more).map(|(name, value)| format!("{name}={value}")).collect()
    }

    /// Where the program keeps its runs.
    pub fn store(&self) -> PathBuf {
        self.home("muster.db")
    }

    /// Muster, with the store of this host.
    pub fn app(&self) -> App {
        App::open(self.settings()).unwrap()
    }

    fn settings(&self) -> Settings {
        Settings {
            store: self.store(),
            supervisor: PathBuf::from(env!("CARGO_BIN_EXE_muster")),
            actor: Actor { name: "tester@here".to_owned() },
            workers: 2,
            script_time: None,
        }
    }

    /// Plans the playbook over the host, which must not change: no transaction, no file of the repository, no folder, no restart.
    pub fn plan(&self, more: &[(&str, &str)]) {
        let picture = || {
            let once = "select pg_postmaster_start_time(), pg_snapshot_xmax(pg_current_snapshot()), pg_walfile_name(pg_current_wal_lsn())";
            (self.sql(PORT, once), self.owned(&["find", &self.path("repo")]), self.owned(&["ls", &self.path("")]))
        };
        let before = picture();
        let app = self.app();
        let start = app.prepare(&crate::fidelity::folder(crate::traffic::ON_A_HOST), &self.given(more)).unwrap();
        app.plan(&start, None).unwrap();
        assert_eq!(picture(), before, "a plan changes nothing");
    }

    /// The same store in the hands of somebody else, who can approve.
    fn second(&self) -> App {
        let mut settings = self.settings();
        settings.actor.name = "second@there".to_owned();
        App::open(settings).unwrap()
    }

    /// Approves a step of a waiting run as somebody else, and drives it on.
    pub fn approve(&self, run: &RunId, step: &str) -> RunState {
        let (step, app) = (StepPath::of(step), self.second());
        let order =
            Order::Approve { step, role: None, reason: None, break_glass: false, valid_until: None, digest: None };
        app.say(run, &app.settings.actor, order).unwrap();
        drive(&app, app.take(run, Arc::new(NoObserver)).unwrap())
    }

    /// Plans the playbook over the host, runs the plan, and holds that the run did what was planned. What came of it.
    pub fn drill(&self, more: &[(&str, &str)]) -> RunState {
        let app = self.app();
        let (report, pauses) = crate::fidelity::live(&app, "pgbackrest-restore", &self.given(more));
        let state = RunState::fold(&app.records(&report.run).unwrap()).unwrap();
        assert_eq!(report.status, RunStatus::Succeeded, "{pauses:#?} {:#?}", failures(&state));
        let differs = crate::fidelity::differences(&report);
        assert!(differs.is_empty(), "{} differences from the plan:\n{}", differs.len(), differs.join("\n"));
        state
    }

    /// Runs the playbook until it ends or waits for somebody.
    pub fn run(&self, more: &[(&str, &str)]) -> RunState {
        let app = self.app();
        let start = app.prepare(&crate::fidelity::folder(crate::traffic::ON_A_HOST), &self.given(more)).unwrap();
        let session = app.start(&start, Arc::new(NoObserver)).unwrap();
        drive(&app, session)
    }

    /// Tells a waiting run something, and drives it on.
    pub fn say(&self, run: &RunId, order: Order) -> RunState {
        let app = self.app();
        app.say(run, &app.settings.actor, order).unwrap();
        drive(&app, app.take(run, Arc::new(NoObserver)).unwrap())
    }

    /// Whether a server runs on a folder.
    pub fn is_up(&self, data: &str) -> bool {
        let pg_ctl = self.bin.join("pg_ctl").display().to_string();
        self.try_owned(&[&pg_ctl, "status", "-D", &self.path(data)]).status.success()
    }
}

impl Drop for Site {
    fn drop(&mut self) {
        let pg_ctl = self.bin.join("pg_ctl").display().to_string();
        for entry in std::fs::read_dir(self.folder.path()).into_iter().flatten().flatten() {
            if entry.path().join("postmaster.pid").exists() {
                let data = entry.path().display().to_string();
                self.try_owned(&[&pg_ctl, "stop", "-m", "immediate", "-w", "-D", &data]);
            }
        }
    }
}

/// Where the programs of the newest PostgreSQL of this host are.
fn bin() -> PathBuf {
    let mut found: Vec<PathBuf> = std::fs::read_dir("/usr/lib/postgresql")
        .unwrap()
        .map(|entry| entry.unwrap().path().join("bin"))
        .filter(|bin| bin.join("initdb").exists())
        .collect();
    found.sort();
    found.pop().expect("PostgreSQL's server is on this host")
}

fn drive(app: &App, session: muster::app::Session) -> RunState {
    let run = session.run().clone();
    session.drive(2, false, &Arc::new(AtomicUsize::new(0))).unwrap();
    RunState::fold(&app.records(&run).unwrap()).unwrap()
}

/// What went wrong in a run.
pub fn failures(state: &RunState) -> Vec<String> {
    let failed = |status: &StepStatus| matches!(status, StepStatus::Failed { .. });
    state
        .steps
        .iter()
        .filter(|(_, step)| failed(&step.status))
        .map(|(path, step)| format!("{path}: {:?}", step.status))
        .collect()
}

/// The result of a step.
pub fn output(state: &RunState, step: &str) -> Value {
    let found = state.steps.iter().find(|(path, _)| path.to_string() == step);
    match found.map(|(_, step)| &step.status) {
        Some(StepStatus::Succeeded { output }) => output.clone(),
        other => panic!("{step}: {other:?}"),
    }
}
