//! Programs: short ones that are waited for, and supervised ones that outlive the engine. (Signatures agreed; body follows.)

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::clock::Clock;
use crate::model::Timestamp;
use crate::model::fault::OpError;

/// A program that is waited for.
#[derive(Clone, Debug, Default)]
pub struct ReadCommand {
    /// The binary, found on `PATH`, and its arguments. No shell.
    pub argv: Vec<String>,
    /// Its whole environment beyond `PATH`, `HOME`, `LANG=C.UTF-8`, `TZ=UTC` (plus what a container client needs:
    /// `XDG_RUNTIME_DIR`, `DOCKER_HOST`, `CONTAINER_HOST`). Values may be secrets: they never appear in errors.
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub cwd: Option<PathBuf>,
    /// What it reads; nothing when absent.
    pub stdin: Option<Vec<u8>>,
    /// How long it may take; 30 s when absent.
    pub timeout: Option<Duration>,
    /// Whether an exit code other than 0 is an answer rather than an error.
    pub any_exit: bool,
}

/// What a short program printed. At most 16 MiB of each stream; more is an error, never a cut text.
#[derive(Clone, Debug, Default)]
pub struct Captured {
    /// Its exit code; 128 + signal when killed.
    pub code: i32,
    /// Standard output.
    pub stdout: String,
    /// Standard error.
    pub stderr: String,
}

/// A supervised program. Input and output stream between it and files; nothing passes through memory.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub struct WriteCommand {
    /// The binary and its arguments. No shell.
    pub argv: Vec<String>,
    /// Its environment, as in [`ReadCommand::env`]. Passed to the supervisor by pipe, never written to disk.
    pub env: BTreeMap<String, String>,
    /// Where it runs.
    pub cwd: Option<PathBuf>,
    /// A file it reads as standard input.
    pub stdin: Option<PathBuf>,
    /// A file its standard output goes to: written under `<path>.part-<key>`, synced and renamed on exit code 0, removed
    /// otherwise. Never over an existing file unless `replace`.
    pub stdout: Option<PathBuf>,
    /// Whether `stdout` may replace a file.
    pub replace: bool,
    /// Mode of the `stdout` file, 0o600 when absent.
    pub stdout_mode: Option<u32>,
    /// How long it may take; its whole process group is killed then.
    pub timeout: Option<Duration>,
}

/// How a supervised program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its exit code; 128 + signal when killed.
    pub code: i32,
    /// Whether its deadline killed it.
    pub timed_out: bool,
    /// Bytes written to standard output.
    pub stdout_bytes: u64,
    /// SHA-256 of standard output, in hex.
    pub stdout_sha256: String,
    /// The last 4 KiB of standard output, when it did not go to a file.
    pub stdout_tail: String,
    /// The last 4 KiB of standard error.
    pub stderr_tail: String,
    /// Milliseconds from start to end.
    pub millis: u64,
}

/// What is known of a supervised program.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum ChildStatus {
    /// Nobody ever started it.
    Never,
    /// It runs; so many bytes have been written to its `stdout` file.
    Running { stdout_bytes: u64 },
    /// It ended.
    Ended(Ended),
    /// It was started, its supervisor is gone and it left no status: the machine went down, or both were killed.
    Lost,
}

/// The folder of supervised children, a folder a key.
pub struct Children {
    pub(super) folder: PathBuf,
    /// The binary that is re-executed as supervisor (`muster __supervise`).
    pub(super) supervisor: PathBuf,
}

impl Children {
    /// Children whose statuses stand in this folder, supervised by this binary.
    #[must_use]
    pub fn new(folder: PathBuf, supervisor: PathBuf) -> Self {
        Self { folder, supervisor }
    }

    /// What is known of the child of this key.
    ///
    /// # Errors
    /// When the status cannot be read.
    pub fn status(&self, key: &str) -> Result<ChildStatus, OpError> {
        let _ = key;
        Err(OpError::refused("not built yet"))
    }

    pub(super) fn launch(&self, key: &str, command: &WriteCommand, deadline: Option<Timestamp>) -> Result<(), OpError> {
        let _ = (key, command, deadline, &self.folder, &self.supervisor);
        Err(OpError::refused("not built yet"))
    }

    pub(super) fn forget(&self, key: &str) {
        let _ = key;
    }

    /// Kills the process group of every running child whose key starts with this text; how many there were.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn kill_all(&self, key_prefix: &str) -> Result<usize, OpError> {
        let _ = key_prefix;
        Err(OpError::refused("not built yet"))
    }
}

pub(super) fn run_read(
    command: &ReadCommand,
    deadline: Option<Timestamp>,
    clock: &dyn Clock,
) -> Result<Captured, OpError> {
    let _ = (command, deadline, clock.now());
    Err(OpError::refused("not built yet"))
}

pub(super) fn run_write(
    command: &ReadCommand,
    deadline: Option<Timestamp>,
    clock: &dyn Clock,
) -> Result<Captured, OpError> {
    let _ = (command, deadline, clock.now());
    Err(OpError::refused("not built yet"))
}
