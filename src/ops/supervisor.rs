//! The supervisor: this binary, re-executed to run one program. It outlives the engine, keeps the program to its deadline,
//! carries its streams and leaves a durable status.
//!
//! The order of its steps is what makes [`super::process::ChildStatus`] exact. It takes the lock of the key before it asks
//! for the word to start, so that from the word on the child shows as running. It records durably that it starts before it
//! does, so that a program which ran never shows as never started. It leaves the status before it gives up the lock.

use std::fs::{DirBuilder, File, OpenOptions};
use std::io::{BufRead, Read, Seek as _, Write};
use std::os::fd::{BorrowedFd, RawFd};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, OpenOptionsExt};
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Command, ExitStatus, Stdio};
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, Sender, channel};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use rustix::fs::{FlockOperation, Mode, OFlags, flock};
use rustix::io::FdFlags;
use rustix::process::{Signal, kill_process_group};
use sha2::{Digest, Sha256};

use super::files::{create_new, hex, may_write, part_of, rename_new, sync_folder, sync_folder_of};
use super::process::{
    Ended, GO, GRACE, Launch, Paths, ProcessId, Reply, StartRecord, WriteCommand, boot_id, check_program, code_of,
    is_ok, session_groups, tail_text,
};
use crate::model::fault::OpError;

/// The hidden subcommand under which the binary is a supervisor.
pub const SUBCOMMAND: &str = "__supervise";

/// How much of a stream is kept as its tail.
const TAIL: usize = 4096;
/// How long a stream may stay open after its program has ended, held by something that the program left behind.
const LINGER: Duration = Duration::from_secs(1);
/// Room kept for the status, so that it can be left on a full disk too.
const RESERVE: usize = 64 << 10;

/// Keeps files that this process was started with (beyond the standard streams) from the programs it starts.
pub fn keep_inherited_files() {
    for fd in inherited() {
        // SAFETY: the number was just listed as open, and nothing in this process closes it: it was there before `main`.
        let fd = unsafe { BorrowedFd::borrow_raw(fd) };
        let _ = rustix::io::fcntl_setfd(fd, FdFlags::CLOEXEC);
    }
}

fn inherited() -> Vec<RawFd> {
    let Ok(entries) = std::fs::read_dir("/proc/self/fd") else {
        return Vec::new();
    };
    let listed: Vec<RawFd> = entries.filter_map(|entry| entry.ok()?.file_name().to_str()?.parse().ok()).collect();
    // The listing itself had a file open, which is closed by now.
    let is_open = |fd: &RawFd| Path::new(&format!("/proc/self/fd/{fd}")).symlink_metadata().is_ok();
    listed.into_iter().filter(|&fd| fd > 2).filter(is_open).collect()
}

/// Runs as supervisor, and says with what exit code to end. To be called before anything else.
#[must_use]
#[cfg_attr(
    not(test),
    expect(clippy::print_stderr, reason = "a person who types the subcommand is told so; there is no printer in here")
)]
pub fn main() -> i32 {
    for fd in inherited() {
        // SAFETY: called before anything else, so that nothing in this process owns a file beyond the standard streams, and the
        // number was just seen to be open.
        unsafe { rustix::io::close(fd) };
    }
    if rustix::process::setsid().is_err() {
        eprintln!("muster: `{SUBCOMMAND}` is started by muster itself");
        return 1;
    }
    rustix::process::umask(Mode::from_raw_mode(0o077));
    let mut commands = std::io::stdin().lock();
    let mut line = String::new();
    let launch: Launch = match commands.read_line(&mut line).map(|_| serde_json::from_str(&line)) {
        Ok(Ok(launch)) => launch,
        _ => return 1,
    };
    drop(line);
    let paths = Paths::of(launch.folder.clone());
    let held = match take(&paths) {
        Ok(Taken::Held(lock)) => lock,
        Ok(Taken::There) => {
            reply(&Reply::There);
            return 0;
        }
        Err(error) => {
            reply(&Reply::Refused(error));
            return 1;
        }
    };
    let mut word = String::new();
    if !reply(&Reply::Ready) || commands.read_line(&mut word).is_err() || word != GO {
        give_up(&paths);
        return 1;
    }
    drop(commands);
    let mut work = match Work::begin(&launch, &paths) {
        Ok(work) => work,
        Err(error) => {
            give_up(&paths);
            reply(&Reply::Refused(error));
            return 1;
        }
    };
    reply(&Reply::Started);
    detach();
    let ended = work.follow(&launch.command);
    work.leave(&paths, &ended);
    drop(held);
    0
}

fn reply(reply: &Reply) -> bool {
    let mut out = std::io::stdout().lock();
    serde_json::to_string(reply).is_ok_and(|text| writeln!(out, "{text}").is_ok() && out.flush().is_ok())
}

/// Lets go of the engine's pipes.
fn detach() {
    if let Ok(null) = OpenOptions::new().read(true).write(true).open("/dev/null") {
        let _ = rustix::stdio::dup2_stdin(&null);
        let _ = rustix::stdio::dup2_stdout(&null);
    }
}

enum Taken {
    Held(File),
    There,
}

/// Takes the lock of the key, unless its child runs or ended. What a lost one left is cleared away.
fn take(paths: &Paths) -> Result<Taken, OpError> {
    let cannot = |e: std::io::Error| super::files::cannot("keep the status of a child in", &paths.folder, &e);
    let begun = Instant::now();
    let lock = loop {
        DirBuilder::new().recursive(true).mode(0o700).create(&paths.folder).map_err(cannot)?;
        let lock = match OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&paths.lock) {
            Ok(lock) => lock,
            Err(e) if e.kind() == std::io::ErrorKind::NotFound && begun.elapsed() < LINGER => continue,
            Err(e) => return Err(cannot(e)),
        };
        match flock(&lock, FlockOperation::NonBlockingLockExclusive) {
            // The file may have been forgotten in between: a lock on a nameless file protects nothing.
            Ok(()) if same_file(&lock, &paths.lock) => break lock,
            Ok(()) => {}
            // Whoever asks for the status takes the lock for a moment too.
            Err(rustix::io::Errno::WOULDBLOCK) if begun.elapsed() < LINGER => {
                std::thread::sleep(Duration::from_millis(5));
            }
            Err(rustix::io::Errno::WOULDBLOCK) => return Ok(Taken::There),
            Err(e) => return Err(cannot(e.into())),
        }
    };
    if paths.end_record()?.is_some() {
        return Ok(Taken::There);
    }
    if let Some(record) = paths.start_record()? {
        if record.boot_id == boot_id() && !session_groups(record.supervisor).is_empty() {
            return Ok(Taken::There);
        }
        std::fs::remove_file(&paths.started).and_then(|()| sync_folder(&paths.folder)).map_err(cannot)?;
    }
    sync_folder_of(&paths.folder).map_err(cannot)?;
    Ok(Taken::Held(lock))
}

fn same_file(file: &File, path: &Path) -> bool {
    matches!((file.metadata(), path.metadata()), (Ok(a), Ok(b)) if (a.dev(), a.ino()) == (b.dev(), b.ino()))
}

/// Nothing was started, and nothing says otherwise afterwards.
fn give_up(paths: &Paths) {
    let _ = std::fs::remove_file(&paths.started);
    let _ = std::fs::remove_file(reserve_of(paths));
    let _ = sync_folder(&paths.folder);
    let _ = std::fs::remove_file(&paths.lock);
    let _ = std::fs::remove_dir(&paths.folder);
}

fn reserve_of(paths: &Paths) -> PathBuf {
    paths.folder.join("ended.json.new")
}

/// One stream of the program, as far as it has been carried.
struct Stream {
    bytes: u64,
    hash: Sha256,
    /// Up to twice [`TAIL`], to be cut now and then instead of each time.
    last: Vec<u8>,
}

impl Stream {
    fn tail(&self) -> String {
        tail_text(&self.last, TAIL, self.bytes > self.last.len() as u64)
    }
}

enum Event {
    Exited(ExitStatus),
    OutClosed(Result<(), String>),
    ErrClosed,
}

/// The program at work.
struct Work {
    started: Instant,
    events: Receiver<Event>,
    stdout: Arc<Mutex<Stream>>,
    stderr: Arc<Mutex<Stream>>,
    /// The output file under its temporary name, and where it goes.
    output: Option<(PathBuf, PathBuf)>,
}

impl Work {
    /// Starts the program after recording durably that it starts.
    fn begin(launch: &Launch, paths: &Paths) -> Result<Self, OpError> {
        let command = &launch.command;
        check_program(&command.argv, command.cwd.as_deref(), &command.env)?;
        let stdin = match (&command.stdin, &command.stdin_text) {
            (Some(path), _) => File::open(path).map_err(|e| super::files::cannot("read", path, &e))?.into(),
            (None, Some(text)) => in_memory(text)
                .map_err(|e| OpError::transient(format!("cannot hand the program its input: {e}")))?
                .into(),
            (None, None) => super::files::nothing()?.into(),
        };
        let output = command.stdout.as_ref().map(|path| (part_of(path, &launch.key), path.clone()));
        let sink = match &output {
            None => None,
            Some((part, path)) => {
                may_write(path, command.replace)?;
                let mode = command.stdout_mode.unwrap_or(0o600);
                Some(create_new(part, mode).map_err(|e| super::files::cannot("write", part, &e))?)
            }
        };
        let part = output.as_ref().map(|(part, _)| part.clone());
        let begun = record_start(paths, part)
            .map_err(|e| super::files::cannot("keep the status of a child in", &paths.folder, &e));
        let spawned = begun.and_then(|()| spawn(command, stdin));
        let mut child = spawned.inspect_err(|_| {
            if let Some((part, _)) = &output {
                let _ = std::fs::remove_file(part);
            }
        })?;
        let (sender, events) = channel();
        let stdout = carry(child.stdout.take(), sink, sender.clone(), Event::OutClosed);
        let stderr = carry(child.stderr.take(), None, sender.clone(), |_| Event::ErrClosed);
        std::thread::spawn(move || {
            if let Ok(status) = child.wait() {
                let _ = sender.send(Event::Exited(status));
            }
        });
        Ok(Self { started: Instant::now(), events, stdout, stderr, output })
    }

    /// Follows the program to its end, and puts its output in place if it was a good one.
    fn follow(&mut self, command: &WriteCommand) -> Ended {
        let deadline = command.timeout.map(|timeout| self.started + timeout);
        let mut exited: Option<(i32, Instant)> = None;
        let (mut out_open, mut err_open) = (true, true);
        let mut timed_out = false;
        let mut fault: Option<String> = None;
        // When the program was asked to end.
        let mut asked: Option<Instant> = None;
        loop {
            let now = Instant::now();
            if let Some((_, at)) = exited {
                // Something left behind may hold a stream open. It is waited for only if the output goes to a file, which
                // would otherwise miss something.
                let complete = !out_open || self.output.is_none() || asked.is_some();
                if (!out_open && !err_open) || (complete && now >= at + LINGER) {
                    break;
                }
            }
            if asked.is_none() && (fault.is_some() || deadline.is_some_and(|deadline| now >= deadline)) {
                timed_out = fault.is_none();
                asked = Some(now);
                signal_all(Signal::TERM);
            }
            if asked.is_some_and(|at| now >= at + GRACE) {
                signal_all(Signal::KILL);
            }
            let mut pause = if asked.is_some() || exited.is_some() { LINGER / 20 } else { LINGER * 3600 };
            if let (Some(deadline), None) = (deadline, asked) {
                pause = pause.min(deadline.saturating_duration_since(now));
            }
            match self.events.recv_timeout(pause) {
                Ok(Event::Exited(status)) => exited = Some((code_of(status), Instant::now())),
                Ok(Event::OutClosed(result)) => {
                    out_open = false;
                    fault = result.err();
                }
                Ok(Event::ErrClosed) => err_open = false,
                Err(RecvTimeoutError::Timeout) => {}
                Err(RecvTimeoutError::Disconnected) => break,
            }
        }
        if timed_out {
            // The program itself is gone; what it started goes with it.
            signal_all(Signal::KILL);
        }
        let code = exited.map_or(-1, |(code, _)| code);
        if let Some((part, path)) = &self.output {
            let good = !timed_out && fault.is_none() && is_ok(code, &command.ok_codes);
            if good && let Err(error) = put_in_place(part, path, command.replace) {
                fault = Some(format!("cannot write {}: {error}", path.display()));
            }
            if !good || fault.is_some() {
                let _ = std::fs::remove_file(part);
            }
        }
        let (stdout, stderr) = (self.stdout.lock(), self.stderr.lock());
        Ended {
            code,
            timed_out,
            fault,
            stdout_bytes: stdout.bytes,
            stdout_sha256: hex(&stdout.hash.clone().finalize()),
            stdout_tail: if self.output.is_some() { String::new() } else { stdout.tail() },
            stderr_tail: stderr.tail(),
            millis: u64::try_from(self.started.elapsed().as_millis()).unwrap_or(u64::MAX),
        }
    }

    /// Leaves the status durably.
    fn leave(&self, paths: &Paths, ended: &Ended) {
        let Ok(text) = serde_json::to_vec(ended) else { return };
        for _ in 0..60 {
            let left = || -> std::io::Result<()> {
                let reserve = reserve_of(paths);
                let mut file =
                    OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&reserve)?;
                file.write_all(&text)?;
                file.set_len(text.len() as u64)?;
                file.sync_all()?;
                std::fs::rename(&reserve, &paths.ended)?;
                sync_folder(&paths.folder)
            };
            if left().is_ok() {
                return;
            }
            // As long as we hold the lock the child shows as running, which is better than lost.
            std::thread::sleep(Duration::from_secs(1));
        }
    }
}

fn record_start(paths: &Paths, part: Option<PathBuf>) -> std::io::Result<()> {
    let mut reserve = create_new(&reserve_of(paths), 0o600)?;
    reserve.write_all(&vec![b' '; RESERVE])?;
    reserve.sync_all()?;
    let record = StartRecord { boot_id: boot_id(), supervisor: ProcessId::own(), part };
    let new = paths.folder.join("started.json.new");
    let mut file = create_new(&new, 0o600)?;
    file.write_all(&serde_json::to_vec(&record)?)?;
    file.sync_all()?;
    std::fs::rename(&new, &paths.started)?;
    sync_folder(&paths.folder)
}

/// A file that only its descriptors hold, and no disk.
fn in_memory(text: &str) -> std::io::Result<File> {
    let mut file = File::from(rustix::fs::memfd_create("input", rustix::fs::MemfdFlags::CLOEXEC)?);
    file.write_all(text.as_bytes())?;
    file.seek(std::io::SeekFrom::Start(0))?;
    Ok(file)
}

fn spawn(command: &WriteCommand, stdin: Stdio) -> Result<std::process::Child, OpError> {
    let (program, args) = command.argv.split_first().ok_or_else(|| OpError::refused("`argv` names no program"))?;
    Command::new(program)
        .args(args)
        .env_clear()
        .envs(&command.env)
        .current_dir(command.cwd.as_deref().unwrap_or(Path::new("/")))
        .stdin(stdin)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .process_group(0)
        .spawn()
        .map_err(|e| OpError::refused(format!("cannot start {program}: {e}")))
}

fn signal_all(signal: Signal) {
    for group in session_groups(ProcessId::own()) {
        let _ = kill_process_group(group, signal);
    }
}

/// Carries a stream to its end from a thread of its own.
fn carry<R: Read + Send + 'static>(
    from: Option<R>,
    mut sink: Option<File>,
    events: Sender<Event>,
    closed: fn(Result<(), String>) -> Event,
) -> Arc<Mutex<Stream>> {
    let stream = Arc::new(Mutex::new(Stream { bytes: 0, hash: Sha256::new(), last: Vec::new() }));
    let into = Arc::clone(&stream);
    std::thread::spawn(move || {
        let result = from.map_or(Ok(()), |from| carry_all(from, sink.as_mut(), &into));
        let _ = events.send(closed(result));
    });
    stream
}

fn carry_all(mut from: impl Read, mut sink: Option<&mut File>, into: &Mutex<Stream>) -> Result<(), String> {
    let mut chunk = vec![0; 256 << 10];
    loop {
        let n = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == std::io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(format!("cannot read its output: {e}")),
        };
        let piece = &chunk[..n];
        if let Some(sink) = &mut sink {
            sink.write_all(piece).map_err(|e| format!("cannot write its output: {e}"))?;
        }
        let mut stream = into.lock();
        stream.bytes += n as u64;
        stream.hash.update(piece);
        let kept = piece.len().min(TAIL + 1);
        stream.last.extend_from_slice(&piece[piece.len() - kept..]);
        if stream.last.len() > 2 * TAIL {
            let extra = stream.last.len() - TAIL - 1;
            stream.last.drain(..extra);
        }
    }
    Ok(())
}

fn put_in_place(part: &Path, path: &Path, replace: bool) -> std::io::Result<()> {
    OpenOptions::new().read(true).custom_flags(OFlags::NOFOLLOW.bits().cast_signed()).open(part)?.sync_all()?;
    if replace {
        std::fs::rename(part, path)?
    } else {
        rename_new(part, path)?
    }
    sync_folder_of(path)
}
