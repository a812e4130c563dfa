//! Which process is which: process ids are reused, so a process is known by its id, its start time and the boot.

use std::collections::HashSet;

use rustix::process::Pid;
use serde::{Deserialize, Serialize};

/// One process of this boot.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::ops) struct ProcessId {
    /// Its id.
    pub pid: i32,
    /// When it started, in clock ticks since boot.
    pub start: u64,
}

/// What `/proc/<pid>/stat` says of a process.
struct Stat {
    state: char,
    group: i32,
    session: i32,
    start: u64,
}

/// The id of this boot; empty where the kernel does not tell.
pub(in crate::ops) fn boot_id() -> String {
    std::fs::read_to_string("/proc/sys/kernel/random/boot_id").map(|id| id.trim().to_owned()).unwrap_or_default()
}

impl ProcessId {
    /// The calling process.
    pub(in crate::ops) fn own() -> Self {
        let pid = rustix::process::getpid().as_raw_nonzero().get();
        Self { pid, start: stat(pid).map_or(0, |stat| stat.start) }
    }

    /// Whether it still lives. A process that ended and was not waited for yet does not.
    pub(in crate::ops) fn is_alive(self) -> bool {
        stat(self.pid).is_some_and(|stat| stat.start == self.start && !stat.is_dead())
    }
}

impl Stat {
    fn is_dead(&self) -> bool {
        matches!(self.state, 'Z' | 'X' | 'x')
    }
}

/// The process groups in the session of `leader` that have a living process, without the leader's own group. A supervisor
/// leads a session of its own, so these are its child and all that the child started and did not deliberately detach.
///
/// The number of a dead leader is not given to a new process as long as its session has members, so that this holds after
/// the leader's death too.
pub(in crate::ops) fn session_groups(leader: i32) -> HashSet<Pid> {
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return HashSet::new();
    };
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(stat)
        .filter(|stat| stat.session == leader && stat.group != leader && !stat.is_dead())
        .filter_map(|stat| Pid::from_raw(stat.group))
        .collect()
}

fn stat(pid: i32) -> Option<Stat> {
    let text = std::fs::read_to_string(format!("/proc/{pid}/stat")).ok()?;
    // The name stands in parentheses and may hold anything, so fields are counted from the last of them.
    let mut fields = text.get(text.rfind(')')? + 1..)?.split_ascii_whitespace();
    Some(Stat {
        state: fields.next()?.chars().next()?,
        group: fields.nth(1)?.parse().ok()?,
        session: fields.next()?.parse().ok()?,
        start: fields.nth(15)?.parse().ok()?,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_known_by_id_and_start_time() {
        let own = ProcessId::own();
        assert!(own.is_alive());
        assert!(!ProcessId { start: own.start + 1, ..own }.is_alive());
        assert!(!boot_id().is_empty());
    }
}
