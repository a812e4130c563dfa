//! Leases: who this process is, the file lock by which its death is known at once, and its heartbeat.
//!
//! A holder has a file `<store>.d/holders/<id>.lock`. It keeps an exclusive lock on it for as long as the process lives, and
//! writes the time by CLOCK_BOOTTIME into it: a closed laptop counts. Nothing of that need survive a crash of the machine,
//! so it is not in the database, where each beat would cost a commit.

use std::fs::{File, OpenOptions};
use std::io::Read;
use std::os::unix::fs::{FileExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::mpsc::{RecvTimeoutError, Sender, channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use rustix::fs::{FlockOperation, flock};
use rustix::process::{Pid, PidfdFlags, Signal, pidfd_open, pidfd_send_signal};
use rustix::time::{ClockId, clock_gettime};

use crate::journal::selection::Life;
use crate::journal::store::Holder;
use crate::model::RunId;

/// How long a killed process may take to be gone.
const DEATH: Duration = Duration::from_secs(10);

/// This process, under a name that is never used again.
pub(super) fn this_process(who: Option<String>) -> std::io::Result<Holder> {
    let mut bits = [0u8; 8];
    getrandom::fill(&mut bits).map_err(|error| std::io::Error::other(error.to_string()))?;
    let pid = std::process::id();
    Ok(Holder {
        id: RunId::from_entropy(u64::from_le_bytes(bits)).to_string(),
        pid,
        pid_start: process_start(pid).unwrap_or(0),
        boot_id: boot_id(),
        who: who.unwrap_or_else(user_at_host),
    })
}

fn user_at_host() -> String {
    let user = std::env::var("USER").or_else(|_| std::env::var("LOGNAME")).unwrap_or_else(|_| {
        let uid = rustix::process::getuid();
        if uid.is_root() { "root".to_owned() } else { format!("uid{}", uid.as_raw()) }
    });
    format!("{user}@{}", rustix::system::uname().nodename().to_string_lossy())
}

fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

/// When a process started, in clock ticks since boot; `None` if there is no such process.
fn process_start(pid: u32) -> Option<u64> {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name in parentheses may hold anything; the fields after the last one are numbers. The start is field 22 of all.
    stat.rsplit_once(')')?.1.split_whitespace().nth(19)?.parse().ok()
}

/// Milliseconds since boot, time asleep included.
fn boottime_ms() -> u64 {
    let now = clock_gettime(ClockId::Boottime);
    u64::try_from(now.tv_sec).unwrap_or(0) * 1000 + u64::try_from(now.tv_nsec).unwrap_or(0) / 1_000_000
}

/// The holders of one store.
#[derive(Clone, Debug)]
pub(super) struct Holders {
    folder: PathBuf,
    lease: Duration,
}

impl Holders {
    pub(super) fn new(folder: PathBuf, lease: Duration) -> Self {
        Self { folder, lease }
    }

    fn lock_path(&self, id: &str) -> PathBuf {
        self.folder.join(format!("{id}.lock"))
    }

    /// Whether a holder lives.
    pub(super) fn pulse(&self, holder: &Holder, ours: &Holder) -> Life {
        if holder.id == ours.id {
            return Life::Ours;
        }
        if holder.boot_id != ours.boot_id {
            return Life::Dead;
        }
        let Ok(mut file) = File::open(self.lock_path(&holder.id)) else {
            // Somebody tidied the folder, or we may not read it: then only the process table tells.
            let lives = process_start(holder.pid) == Some(holder.pid_start);
            return if lives { Life::Fresh } else { Life::Dead };
        };
        // Shared, so that two who ask at once do not take each other for the holder.
        if flock(&file, FlockOperation::NonBlockingLockShared).is_ok() {
            return Life::Dead;
        }
        let mut beat = String::new();
        let beat: u64 = file.read_to_string(&mut beat).ok().and_then(|_| beat.trim().parse().ok()).unwrap_or(0);
        let age = Duration::from_millis(boottime_ms().saturating_sub(beat));
        if age <= self.lease { Life::Fresh } else { Life::Stale }
    }

    /// Kills a stopped holder and waits until it is gone. Children it left under supervision live on.
    pub(super) fn kill(&self, holder: &Holder, ours: &Holder) -> Result<(), String> {
        match self.pulse(holder, ours) {
            Life::Ours => return Err("it is this process".to_owned()),
            Life::Dead => return Ok(()),
            Life::Fresh => return Err("it is alive and well".to_owned()),
            Life::Stale => {}
        }
        let pid = i32::try_from(holder.pid).ok().and_then(Pid::from_raw).ok_or("its process id is none")?;
        // The descriptor first, then the check: what it names cannot be reused any more.
        let process = pidfd_open(pid, PidfdFlags::empty()).map_err(|error| format!("process {pid:?}: {error}"))?;
        if process_start(holder.pid) != Some(holder.pid_start) {
            return Err(format!(
                "process {} is another one than the holder, whose lock is still held (by a process of another container?)",
                holder.pid
            ));
        }
        pidfd_send_signal(&process, Signal::KILL).map_err(|error| format!("process {}: {error}", holder.pid))?;
        let begun = Instant::now();
        while self.pulse(holder, ours) != Life::Dead {
            if begun.elapsed() > DEATH {
                return Err(format!("process {} was killed and is still there", holder.pid));
            }
            std::thread::sleep(Duration::from_millis(10));
        }
        Ok(())
    }

    /// Removes the files of holders that are dead and that nobody asks for any more.
    pub(super) fn sweep(&self) {
        let Ok(entries) = std::fs::read_dir(&self.folder) else { return };
        for entry in entries.flatten() {
            let path = entry.path();
            // A file without this ending is about to be locked by the process that made it.
            if path.extension().is_none_or(|ending| ending != "lock") {
                continue;
            }
            if File::open(&path).is_ok_and(|file| flock(&file, FlockOperation::NonBlockingLockExclusive).is_ok()) {
                let _ = std::fs::remove_file(path);
            }
        }
    }
}

/// The lock and the heartbeat of this process, for as long as it lives.
pub(super) struct Beating {
    path: PathBuf,
    _lock: Arc<File>,
    stop: Option<Sender<()>>,
    thread: Option<JoinHandle<()>>,
}

impl Beating {
    /// Locks this process's file and begins to beat.
    pub(super) fn start(holders: &Holders, ours: &Holder) -> std::io::Result<Self> {
        let path = holders.lock_path(&ours.id);
        // Under a name of its own first: nobody must see the file before it is locked.
        let hidden = path.with_extension("new");
        let file = OpenOptions::new().read(true).write(true).create_new(true).mode(0o600).open(&hidden)?;
        flock(&file, FlockOperation::NonBlockingLockExclusive)?;
        beat(&file)?;
        std::fs::rename(&hidden, &path)?;
        let file = Arc::new(file);
        let (stop, stopped) = channel::<()>();
        let (beats, every) = (Arc::clone(&file), holders.lease / 5);
        let thread = std::thread::Builder::new().name("muster-heartbeat".to_owned()).spawn(move || {
            while stopped.recv_timeout(every) == Err(RecvTimeoutError::Timeout) {
                // A beat that fails is one that is missed: the lease then says so.
                let _ = beat(&beats);
            }
        })?;
        Ok(Self { path, _lock: file, stop: Some(stop), thread: Some(thread) })
    }
}

impl Drop for Beating {
    fn drop(&mut self) {
        drop(self.stop.take());
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
        let _ = std::fs::remove_file(&self.path);
    }
}

/// Overwrites the time in place: a full disk does not stop it.
fn beat(file: &File) -> std::io::Result<()> {
    file.write_all_at(format!("{:020}\n", boottime_ms()).as_bytes(), 0)
}

/// Whether a file lies where locks and shared memory are not to be trusted.
pub(super) fn on_network(path: &Path) -> Option<&'static str> {
    let kind = rustix::fs::statfs(path).ok()?.f_type as u64 & 0xffff_ffff;
    match kind {
        0x6969 => Some("NFS"),
        0x517b | 0xff53_4d42 | 0xfe53_4d42 => Some("SMB"),
        0x0102_1997 => Some("9p"),
        0x00c3_6400 => Some("Ceph"),
        _ => None,
    }
}
