//! Supervised children: started once a key, followed by their durable status, by this process or a later one.
//!
//! A child has a folder of its key with three files. `lock` is held by the supervisor as long as it lives. `started.json` is
//! durable before the program is started. `ended.json` is durable before the supervisor ends.

use std::fs::File;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::{FlockOperation, flock};
use rustix::process::{Signal, kill_process_group};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::identity::{ProcessId, boot_id, session_groups};
use super::program::{WriteCommand, base_environment, check_program};
use crate::clock::{Clock, SystemClock};
use crate::model::Timestamp;
use crate::model::fault::OpError;

/// How long a child that is killed has to end by itself.
pub(in crate::ops) const GRACE: Duration = Duration::from_secs(5);

/// How a supervised program ended.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Ended {
    /// Its exit code; 128 + signal when killed.
    pub code: i32,
    /// Whether its deadline killed it.
    pub timed_out: bool,
    /// What went wrong around it, although it may have done its part: its output could not be written.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub fault: Option<String>,
    /// Bytes written to standard output.
    pub stdout_bytes: u64,
    /// SHA-256 of standard output, in hex.
    pub stdout_sha256: String,
    /// The last 4 KiB of standard output, when it did not go to a file. Not redacted.
    pub stdout_tail: String,
    /// The last 4 KiB of standard error. Not redacted.
    pub stderr_tail: String,
    /// Milliseconds from start to end.
    pub millis: u64,
}

impl Ended {
    /// Whether it did what it should; the error says in what it did not. No codes mean 0 alone.
    ///
    /// # Errors
    /// Failed, with the end of what it printed to standard error.
    pub fn verdict(&self, program: &str, ok_codes: &[i32]) -> Result<(), OpError> {
        let failed = |what: String| Err(OpError::failed(what).with_detail(self.stderr_tail.clone()));
        let millis = Duration::from_millis(self.millis);
        if self.timed_out {
            return failed(format!("{program} did not end in time and was killed after {millis:.1?}"));
        }
        if let Some(fault) = &self.fault {
            return failed(format!("{program} could not be followed to its end: {fault}"));
        }
        if is_ok(self.code, ok_codes) {
            Ok(())
        } else {
            failed(format!("{program} ended with exit code {}", self.code))
        }
    }
}

pub(in crate::ops) fn is_ok(code: i32, ok_codes: &[i32]) -> bool {
    if ok_codes.is_empty() { code == 0 } else { ok_codes.contains(&code) }
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

/// What the supervisor is told, by pipe.
#[derive(Serialize, Deserialize)]
pub(in crate::ops) struct Launch {
    pub key: String,
    pub folder: PathBuf,
    /// With the whole environment and the time that is left.
    pub command: WriteCommand,
}

/// What the supervisor answers, by pipe.
#[derive(Serialize, Deserialize)]
pub(in crate::ops) enum Reply {
    /// It holds the key and waits for the word to start.
    Ready,
    /// This child was started before.
    There,
    /// It runs.
    Started,
    /// Nothing was started.
    Refused(OpError),
}

/// The word to start. Without it (the engine died) nothing is started.
pub(in crate::ops) const GO: &str = "go\n";

/// What is durable before the program is started.
#[derive(Serialize, Deserialize)]
pub(in crate::ops) struct StartRecord {
    pub boot_id: String,
    pub supervisor: ProcessId,
    /// The unfinished output file.
    pub part: Option<PathBuf>,
}

/// The files of one child.
pub(in crate::ops) struct Paths {
    pub folder: PathBuf,
    pub lock: PathBuf,
    pub started: PathBuf,
    pub ended: PathBuf,
}

impl Paths {
    pub(in crate::ops) fn of(folder: PathBuf) -> Self {
        let file = |name: &str| folder.join(name);
        Self { lock: file("lock"), started: file("started.json"), ended: file("ended.json"), folder }
    }

    pub(in crate::ops) fn start_record(&self) -> Result<Option<StartRecord>, OpError> {
        read_json(&self.started)
    }

    pub(in crate::ops) fn end_record(&self) -> Result<Option<Ended>, OpError> {
        read_json(&self.ended)
    }
}

/// The folder of supervised children, a folder a key.
pub struct Children {
    pub(in crate::ops) folder: PathBuf,
    /// The binary that is re-executed as supervisor (`muster __supervise`).
    supervisor: PathBuf,
    /// Supervisors that this process started and has to wait for, lest they stay zombies.
    started: Mutex<Vec<Child>>,
}

impl Children {
    /// Children whose statuses stand in this folder, supervised by this binary.
    #[must_use]
    pub fn new(folder: PathBuf, supervisor: PathBuf) -> Self {
        let folder = std::path::absolute(&folder).unwrap_or(folder);
        Self { folder, supervisor, started: Mutex::new(Vec::new()) }
    }

    /// What is known of the child of this key.
    ///
    /// # Errors
    /// When the status cannot be read.
    pub fn status(&self, key: &str) -> Result<ChildStatus, OpError> {
        self.reap();
        let paths = self.paths(key)?;
        // Twice, because it may start and end between the looks at its files and at its lock.
        let mut status = ChildStatus::Never;
        for _ in 0..2 {
            if let Some(ended) = paths.end_record()? {
                return Ok(ChildStatus::Ended(ended));
            }
            let record = paths.start_record()?;
            let held = is_held(&paths.lock)?;
            status = match record {
                None if held => return Ok(ChildStatus::Running { stdout_bytes: 0 }),
                None => ChildStatus::Never,
                Some(record) if record.boot_id != boot_id() => ChildStatus::Lost,
                Some(record) if held || !session_groups(record.supervisor).is_empty() => {
                    let part = record.part.and_then(|part| part.metadata().ok());
                    return Ok(ChildStatus::Running { stdout_bytes: part.map_or(0, |meta| meta.len()) });
                }
                Some(_) => ChildStatus::Lost,
            };
        }
        Ok(status)
    }

    /// Starts the child of this key, unless it was started before: then this does nothing, and its status tells.
    ///
    /// # Errors
    /// Refused or transient; nothing was started then.
    pub(in crate::ops) fn launch(
        &self,
        key: &str,
        command: &WriteCommand,
        deadline: Option<Timestamp>,
    ) -> Result<(), OpError> {
        self.reap();
        let paths = self.paths(key)?;
        let mut command = command.clone();
        let mut env = base_environment();
        env.append(&mut command.env);
        command.env = env;
        check_program(&command.argv, command.cwd.as_deref(), &command.env)?;
        if let Some(deadline) = deadline {
            let left = Duration::try_from(deadline.duration_since(SystemClock.now())).unwrap_or(Duration::ZERO);
            if left.is_zero() {
                return Err(OpError::transient("cannot start the program: its time was over before"));
            }
            command.timeout = Some(command.timeout.map_or(left, |timeout| timeout.min(left)));
        }
        let message = serde_json::to_string(&Launch { key: key.to_owned(), folder: paths.folder, command })
            .map_err(|e| OpError::refused(format!("cannot hand the command to its supervisor: {e}")))?;
        let mut supervisor = Command::new(&self.supervisor)
            .arg(crate::ops::supervisor::SUBCOMMAND)
            .env_clear()
            .current_dir("/")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .map_err(|e| OpError::transient(format!("cannot start supervisor {}: {e}", self.supervisor.display())))?;
        let pipes = (supervisor.stdin.take(), supervisor.stdout.take());
        self.started.lock().push(supervisor);
        let (Some(mut to), Some(from)) = pipes else {
            return Err(OpError::transient("cannot start supervisor: it has no pipes"));
        };
        let mut replies = BufReader::new(from);
        let gone = || OpError::transient("cannot start the program: its supervisor ended before it started anything");
        to.write_all(message.as_bytes()).and_then(|()| to.write_all(b"\n")).map_err(|_| gone())?;
        match next_reply(&mut replies) {
            Some(Reply::Ready) => {}
            Some(Reply::There | Reply::Started) => return Ok(()),
            Some(Reply::Refused(error)) => return Err(error),
            None => return Err(gone()),
        }
        if to.write_all(GO.as_bytes()).is_err() {
            return Err(gone());
        }
        match next_reply(&mut replies) {
            Some(Reply::Refused(error)) => Err(error),
            Some(_) => Ok(()),
            // It died at its work: whether it started anything is in its files.
            None if self.status(key)? == ChildStatus::Never => Err(gone()),
            None => Ok(()),
        }
    }

    /// Forgets a child that does not run: its status, and output it did not finish.
    pub(in crate::ops) fn forget(&self, key: &str) {
        let Ok(paths) = self.paths(key) else { return };
        if !paths.folder.exists() || matches!(self.status(key), Ok(ChildStatus::Running { .. }) | Err(_)) {
            return;
        }
        if let Ok(Some(StartRecord { part: Some(part), .. })) = paths.start_record() {
            let _ = std::fs::remove_file(part);
        }
        // In this order a crash in between leaves an ended child, not a lost one.
        for file in [&paths.started, &paths.ended, &paths.lock] {
            let _ = std::fs::remove_file(file);
        }
        let _ = std::fs::remove_dir_all(&paths.folder);
    }

    /// Kills every running child whose key starts with this text, with all it started: first asks it to end, and after five
    /// seconds makes it. How many there were.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn kill_all(&self, key_prefix: &str) -> Result<usize, OpError> {
        let mut running = Vec::new();
        for key in self.keys()? {
            if key.starts_with(key_prefix) && matches!(self.status(&key)?, ChildStatus::Running { .. }) {
                running.push(key);
            }
        }
        let count = running.len();
        let begun = Instant::now();
        let mut asked = false;
        while !running.is_empty() && begun.elapsed() < GRACE * 3 {
            let late = begun.elapsed() >= GRACE;
            if late || !asked {
                for key in &running {
                    if let Ok(Some(record)) = self.paths(key)?.start_record() {
                        for group in session_groups(record.supervisor) {
                            let _ = kill_process_group(group, if late { Signal::KILL } else { Signal::TERM });
                        }
                    }
                }
                asked = true;
            }
            std::thread::sleep(Duration::from_millis(20));
            running.retain(|key| matches!(self.status(key), Ok(ChildStatus::Running { .. })));
        }
        Ok(count)
    }

    /// The keys of all children that were started and not forgotten.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn keys(&self) -> Result<Vec<String>, OpError> {
        let entries = match std::fs::read_dir(&self.folder) {
            Ok(entries) => entries,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
            Err(e) => return Err(cannot_read(&self.folder, &e)),
        };
        let mut keys: Vec<String> = entries
            .filter_map(Result::ok)
            .filter(|entry| entry.file_type().is_ok_and(|kind| kind.is_dir()))
            .filter_map(|entry| entry.file_name().into_string().ok())
            .collect();
        keys.sort_unstable();
        Ok(keys)
    }

    fn paths(&self, key: &str) -> Result<Paths, OpError> {
        let safe = |b: u8| b.is_ascii_lowercase() || b.is_ascii_digit() || b == b'-';
        if key.is_empty() || key.len() > 100 || !key.bytes().all(safe) {
            return Err(OpError::refused(format!("`{key}` is not the key of a call")));
        }
        Ok(Paths::of(self.folder.join(key)))
    }

    fn reap(&self) {
        self.started.lock().retain_mut(|child| matches!(child.try_wait(), Ok(None)));
    }
}

fn next_reply(replies: &mut impl BufRead) -> Option<Reply> {
    let mut line = String::new();
    replies.read_line(&mut line).ok()?;
    serde_json::from_str(&line).ok()
}

/// Whether a living process holds this lock.
fn is_held(lock: &Path) -> Result<bool, OpError> {
    let file = match File::open(lock) {
        Ok(file) => file,
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => return Ok(false),
        Err(e) => return Err(cannot_read(lock, &e)),
    };
    match flock(&file, FlockOperation::NonBlockingLockShared) {
        Ok(()) => Ok(false),
        Err(rustix::io::Errno::WOULDBLOCK) => Ok(true),
        Err(e) => Err(cannot_read(lock, &e.into())),
    }
}

fn read_json<T: DeserializeOwned>(path: &Path) -> Result<Option<T>, OpError> {
    match std::fs::read(path) {
        Ok(bytes) => serde_json::from_slice(&bytes).map(Some).map_err(|e| cannot_read(path, &e.into())),
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(None),
        Err(e) => Err(cannot_read(path, &e)),
    }
}

fn cannot_read(path: &Path, error: &std::io::Error) -> OpError {
    OpError::transient(format!("cannot read the status of a child in {}: {error}", path.display()))
}
