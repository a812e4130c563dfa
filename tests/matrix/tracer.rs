//! A program followed through its system calls: stopped, killed or refused at exactly the call that is wanted, with nothing in the
//! program that knows of it.

use std::fs::File;
use std::os::unix::fs::FileExt;
use std::os::unix::process::CommandExt;
use std::path::PathBuf;
use std::process::Command;

/// A system call at its beginning.
#[derive(Clone, Copy, Debug)]
pub struct Syscall {
    pub thread: i32,
    pub number: i64,
    pub args: [u64; 6],
}

/// What is to become of it.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Verdict {
    Go,
    /// The program is killed before the call does anything.
    Kill,
    /// The call does nothing and answers this error.
    Fail(i32),
}

/// Who decides.
pub trait Watch {
    /// The program runs: before its first call.
    fn begins(&mut self, pid: i32);
    /// A call is about to be made.
    fn enters(&mut self, process: &Process, call: &Syscall) -> Verdict;
    /// A call was made, with this result (negative: an error).
    fn leaves(&mut self, process: &Process, call: &Syscall, result: i64);
}

/// The program, to be looked into while it stands still.
pub struct Process {
    pid: i32,
    memory: File,
}

impl Process {
    /// A text of its memory.
    pub fn text(&self, address: u64) -> String {
        let mut bytes = vec![0; 4096];
        let read = self.memory.read_at(&mut bytes, address).unwrap_or(0);
        let end = bytes[..read].iter().position(|byte| *byte == 0).unwrap_or(read);
        String::from_utf8_lossy(&bytes[..end]).into_owned()
    }

    /// A number of its memory.
    pub fn number(&self, address: u64) -> u64 {
        let mut bytes = [0; 8];
        let _ = self.memory.read_at(&mut bytes, address);
        u64::from_ne_bytes(bytes)
    }

    /// What a file descriptor of it is.
    pub fn file(&self, descriptor: u64) -> PathBuf {
        std::fs::read_link(format!("/proc/{}/fd/{}", self.pid, descriptor as i32)).unwrap_or_default()
    }

    /// A path argument, from the root: relative ones begin at the descriptor.
    pub fn path(&self, descriptor: u64, address: u64) -> PathBuf {
        let text = self.text(address);
        if text.starts_with('/') {
            return PathBuf::from(text);
        }
        let base = if descriptor as i32 == libc::AT_FDCWD {
            std::fs::read_link(format!("/proc/{}/cwd", self.pid)).unwrap_or_default()
        } else {
            self.file(descriptor)
        };
        base.join(text)
    }
}

/// A request to the kernel about a traced thread.
fn ask(request: libc::c_uint, thread: i32, address: usize, data: usize) -> i64 {
    // SAFETY: every request used here either takes numbers, or a pointer to a structure that outlives the call.
    unsafe { libc::ptrace(request, thread, address, data) }
}

/// Whether programs can be followed here at all; some containers forbid it.
pub fn is_possible() -> bool {
    struct Nothing;
    impl Watch for Nothing {
        fn begins(&mut self, _pid: i32) {}
        fn enters(&mut self, _process: &Process, _call: &Syscall) -> Verdict {
            Verdict::Go
        }
        fn leaves(&mut self, _process: &Process, _call: &Syscall, _result: i64) {}
    }
    cfg!(target_arch = "x86_64")
        && std::panic::catch_unwind(|| follow(&mut Command::new("true"), &mut Nothing))
            .is_ok_and(|code| code == Some(0))
}

/// Runs a program to its end; its exit code, or `None` when it was killed. Programs that it starts are not followed.
pub fn follow(command: &mut Command, watch: &mut dyn Watch) -> Option<i32> {
    // SAFETY: one system call, which touches no memory of the process.
    unsafe {
        command.pre_exec(|| match ask(libc::PTRACE_TRACEME, 0, 0, 0) {
            -1 => Err(std::io::Error::last_os_error()),
            _ => Ok(()),
        });
    }
    #[expect(clippy::zombie_processes, reason = "it is waited for below, with all its threads")]
    let child = command.spawn().expect("the program starts");
    let pid = i32::try_from(child.id()).expect("a process id");
    let (first, _) = wait(pid).expect("the program was started");
    assert_eq!(first, pid);
    let options = libc::PTRACE_O_TRACESYSGOOD | libc::PTRACE_O_TRACECLONE | libc::PTRACE_O_EXITKILL;
    assert_ne!(ask(libc::PTRACE_SETOPTIONS, pid, 0, options as usize), -1, "the program can be followed");
    let process = Process { pid, memory: File::open(format!("/proc/{pid}/mem")).expect("its memory can be read") };
    watch.begins(pid);
    let mut calls: std::collections::HashMap<i32, (Syscall, Verdict)> = std::collections::HashMap::new();
    ask(libc::PTRACE_SYSCALL, pid, 0, 0);
    loop {
        let (thread, status) = wait(-1)?;
        if libc::WIFEXITED(status) || libc::WIFSIGNALED(status) {
            calls.remove(&thread);
            if thread == pid {
                return libc::WIFEXITED(status).then(|| libc::WEXITSTATUS(status));
            }
            continue;
        }
        let mut signal = libc::WSTOPSIG(status);
        if signal == libc::SIGTRAP | 0x80 {
            signal = 0;
            if let Some((call, verdict)) = calls.remove(&thread) {
                let mut result = answer(thread);
                if let Verdict::Fail(error) = verdict {
                    result = -i64::from(error);
                    set_register(thread, std::mem::offset_of!(libc::user_regs_struct, rax), result);
                }
                watch.leaves(&process, &call, result);
            } else if let Some(call) = entered(thread) {
                let verdict = watch.enters(&process, &call);
                calls.insert(thread, (call, verdict));
                match verdict {
                    Verdict::Go => {}
                    Verdict::Fail(_) => {
                        set_register(thread, std::mem::offset_of!(libc::user_regs_struct, orig_rax), -1);
                    }
                    // SAFETY: our own child, which has not been waited for.
                    Verdict::Kill => unsafe {
                        libc::kill(pid, libc::SIGKILL);
                    },
                }
            }
        } else if status >> 16 != 0 || signal == libc::SIGSTOP || signal == libc::SIGTRAP {
            signal = 0;
        }
        ask(libc::PTRACE_SYSCALL, thread, 0, signal as usize);
    }
}

/// Waits for a thread that this thread follows.
fn wait(which: i32) -> Option<(i32, i32)> {
    let mut status = 0;
    loop {
        // SAFETY: the status is written to a local.
        let thread = unsafe { libc::waitpid(which, &raw mut status, libc::__WALL | libc::__WNOTHREAD) };
        if thread >= 0 {
            return Some((thread, status));
        }
        if std::io::Error::last_os_error().kind() != std::io::ErrorKind::Interrupted {
            return None;
        }
    }
}

fn information(thread: i32) -> Option<libc::ptrace_syscall_info> {
    // SAFETY: all zeroes is a value of it.
    let mut info: libc::ptrace_syscall_info = unsafe { std::mem::zeroed() };
    let size = size_of::<libc::ptrace_syscall_info>();
    (ask(libc::PTRACE_GET_SYSCALL_INFO, thread, size, &raw mut info as usize) > 0).then_some(info)
}

fn entered(thread: i32) -> Option<Syscall> {
    let info = information(thread)?;
    if info.op != libc::PTRACE_SYSCALL_INFO_ENTRY {
        return None;
    }
    // SAFETY: `op` says which member it is.
    let entry = unsafe { info.u.entry };
    Some(Syscall { thread, number: entry.nr as i64, args: entry.args })
}

fn answer(thread: i32) -> i64 {
    match information(thread) {
        // SAFETY: `op` says which member it is.
        Some(info) if info.op == libc::PTRACE_SYSCALL_INFO_EXIT => unsafe { info.u.exit.sval },
        _ => 0,
    }
}

fn set_register(thread: i32, offset: usize, value: i64) {
    ask(libc::PTRACE_POKEUSER, thread, offset, value as usize);
}
