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
/// the leader's death too; a process that has the number, but another start time, shows that the session is over.
pub(in crate::ops) fn session_groups(leader: ProcessId) -> HashSet<Pid> {
    if stat(leader.pid).is_some_and(|stat| stat.start != leader.start) {
        return HashSet::new();
    }
    let Ok(processes) = std::fs::read_dir("/proc") else {
        return HashSet::new();
    };
    processes
        .filter_map(|entry| entry.ok()?.file_name().to_str()?.parse::<i32>().ok())
        .filter_map(stat)
        .filter(|stat| stat.session == leader.pid && stat.group != leader.pid && !stat.is_dead())
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

    /// A session of its own, made by the test: in a container, whose first process was started from outside, the test's own
    /// session has no number at all.
    #[test]
    fn a_reused_process_id_leads_no_session_of_ours() {
        let mut shell = std::process::Command::new("setsid")
            .args(["bash", "-c", "set -m; sleep 60 & echo started; wait"])
            .stdout(std::process::Stdio::piped())
            .spawn()
            .unwrap();
        let mut started = [0; 8];
        std::io::Read::read_exact(shell.stdout.as_mut().unwrap(), &mut started).unwrap();
        let pid = i32::try_from(shell.id()).unwrap();
        let leader = ProcessId { pid, start: stat(pid).unwrap().start };
        let groups = session_groups(leader);
        assert_eq!(groups.len(), 1, "the job's group, without the leader's own");
        assert!(!groups.contains(&Pid::from_raw(pid).unwrap()));
        assert!(session_groups(ProcessId { start: leader.start + 1, ..leader }).is_empty());
        for group in groups {
            rustix::process::kill_process_group(group, rustix::process::Signal::KILL).unwrap();
        }
        shell.wait().unwrap();
        assert!(!boot_id().is_empty() && ProcessId::own().start > 0);
    }
}
