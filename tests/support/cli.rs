//! The program as a user meets it: runs the binary in a folder and with a store of its own, and gives back all it said.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use muster::journal::sqlite::{Options, SqliteStore};
use muster::journal::{Fact, Head, RunJournal};
use muster::model::command::Actor;
use muster::model::secret::Redactor;
use muster::model::status::{Mode, RunStatus};
use muster::model::{RunId, Timestamp};
use tempfile::TempDir;

/// A folder with a store, and the environment the program is run in.
pub struct Desk {
    folder: TempDir,
    env: Vec<(String, String)>,
}

/// What the program said.
#[derive(Debug, PartialEq, Eq)]
pub struct Said {
    pub code: i32,
    pub stdout: String,
    pub stderr: String,
}

impl Desk {
    /// An empty desk: no store yet.
    pub fn new() -> Self {
        Self { folder: tempfile::tempdir().expect("a temporary folder"), env: Vec::new() }
    }

    /// Sets a variable of the environment.
    #[allow(dead_code, reason = "each test file uses what it needs")]
    pub fn env(mut self, name: &str, value: &str) -> Self {
        self.env.push((name.to_owned(), value.to_owned()));
        self
    }

    /// The folder.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// The store's file.
    pub fn store_path(&self) -> PathBuf {
        self.path().join("muster.db")
    }

    /// The store, opened by the test itself as `test@desk`.
    pub fn store(&self) -> Arc<SqliteStore> {
        let options = Options { who: Some("test@desk".to_owned()), ..Options::default() };
        Arc::new(SqliteStore::open(&self.store_path(), options).expect("the store opens"))
    }

    /// The program with these arguments, not yet run.
    pub fn command(&self, args: &[&str]) -> std::process::Command {
        let mut command = std::process::Command::new(assert_cmd::cargo::cargo_bin!("muster"));
        command
            .args(args)
            .current_dir(self.path())
            .env_clear()
            .env("PATH", std::env::var_os("PATH").unwrap_or_default())
            .env("HOME", self.path())
            .env("USER", "alice")
            .env("MUSTER_STORE", self.store_path())
            .envs(self.env.iter().map(|(name, value)| (name, value)));
        command
    }

    #[allow(dead_code, reason = "each test file uses what it needs")]
    /// Runs the program to its end. The folder's name becomes `DESK` in what it said.
    pub fn muster(&self, args: &[&str]) -> Said {
        self.said(&mut self.command(args))
    }

    /// Runs a command to its end, as [`Desk::muster`] does.
    pub fn said(&self, command: &mut std::process::Command) -> Said {
        let output = command.output().expect("the program starts");
        let text = |bytes: Vec<u8>| {
            let text = String::from_utf8(bytes).expect("it speaks UTF-8");
            text.replace(&self.path().display().to_string(), "DESK")
        };
        Said { code: output.status.code().unwrap_or(-1), stdout: text(output.stdout), stderr: text(output.stderr) }
    }

    /// Writes a file below the folder; missing folders are made.
    #[allow(dead_code, reason = "each test file uses what it needs")]
    pub fn file(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
        std::fs::write(&path, text).expect("the file is written");
        path
    }

    #[allow(dead_code, reason = "each test file uses what it needs")]
    /// Writes a run by hand, each fact a second after the one before, and lets go of it.
    pub fn write_run(&self, id: &str, facts: Vec<Fact>, status: RunStatus, detail: &str) -> RunId {
        let run = self.hold_run(id, facts, status, detail);
        let id = run.run().clone();
        run.release().expect("the run is let go of");
        id
    }

    #[allow(dead_code, reason = "each test file uses what it needs")]
    /// As [`Desk::write_run`], but the run stays in the hands of the test.
    pub fn hold_run(&self, id: &str, facts: Vec<Fact>, status: RunStatus, detail: &str) -> RunJournal {
        let run: RunId = id.parse().expect("an id");
        let mut at: Timestamp = "2026-03-01T12:00:00Z".parse().expect("a time");
        let head = Head {
            run: run.clone(),
            playbook: "omnichat-restore".to_owned(),
            version: "1.2.0".to_owned(),
            bundle: "4f1d".repeat(16),
            status: RunStatus::Running,
            detail: String::new(),
            started: at,
            updated: at,
            records: 0,
            epoch: 0,
            holder: None,
        };
        let mut journal =
            RunJournal::create(self.store(), Arc::new(Redactor::default()), &head).expect("the run is created");
        let first = Fact::RunStarted {
            format: 1,
            run,
            playbook: head.playbook,
            version: head.version,
            bundle: head.bundle,
            mode: Mode::Live,
            params: serde_json::json!({"backup": "/var/backups/omnichat"}),
            by: Actor { name: "bob@desk".to_owned() },
            seed: 7,
            engine: "0.1.0".to_owned(),
            forked_from: None,
            drill: None,
        };
        for fact in std::iter::once(first).chain(facts) {
            journal.push(fact, at);
            at += std::time::Duration::from_secs(1);
        }
        journal.commit(&[], status, detail).expect("the records are written");
        journal
    }
}
