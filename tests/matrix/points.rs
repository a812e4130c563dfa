//! Kill points: where in a call the engine is to die, and the watch that sees it get there.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::fmt;
use std::path::{Path, PathBuf};

use crate::calls::{Book, Call};
use crate::tracer::{Process, Syscall, Verdict, Watch};

/// An instant of a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Moment {
    /// Its intent is durable, nothing is sent.
    Before,
    /// The effect is under way. What the engine has started goes on without it.
    Half,
    /// The effect is under way, and the program that does it is killed too, with its supervisor.
    Torn,
    /// The effect is done, its outcome is not durable.
    After,
    /// The outcome is durable, nothing else has happened since.
    Durable,
}

pub const MOMENTS: [Moment; 5] = [Moment::Before, Moment::Half, Moment::Torn, Moment::After, Moment::Durable];

impl fmt::Display for Moment {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Before => "before",
            Self::Half => "half",
            Self::Torn => "torn",
            Self::After => "after",
            Self::Durable => "durable",
        })
    }
}

/// What an undisturbed run did: in which order, and how many steps on the file system each call takes.
#[derive(Clone, Debug, Default)]
pub struct Score {
    pub calls: Vec<Call>,
    /// By name: the calls of the kernel that change files.
    pub steps: BTreeMap<String, usize>,
    /// How often each finished change of the file system was made: `rename …/manifest.json`.
    pub changes: BTreeMap<String, usize>,
    /// How often each effect was completed at the container client.
    pub effects: BTreeMap<String, usize>,
}

impl Score {
    /// Whether a call has such an instant.
    pub fn has(&self, call: &Call, moment: Moment) -> bool {
        match moment {
            Moment::Half => call.client().is_some() || self.steps.get(&call.name).is_some_and(|steps| *steps > 1),
            Moment::Torn => call.client().is_some(),
            _ => true,
        }
    }
}

/// What a thread of the engine is at.
#[derive(Default)]
struct Thread {
    call: Option<Call>,
    steps: usize,
}

/// Sees to it that the engine dies, or that a call of the kernel fails, at the wanted points.
pub struct Points {
    pub store: PathBuf,
    /// The folders of the world: everything else that is written is the program's own business.
    pub roots: Vec<PathBuf>,
    /// Names of calls at which to kill, with the moment; the ones reached move to `reached`.
    pub wanted: BTreeSet<(String, Moment)>,
    pub reached: Vec<(String, Moment)>,
    pub score: Score,
    /// A call whose n-th step on the file system fails with this error, in every attempt.
    pub fault: Option<(String, usize, i32)>,
    /// Seen so far, over all lives of the engine.
    pub steps: BTreeMap<String, usize>,
    pub changes: BTreeMap<String, usize>,
    pub pid: i32,
    claimed: BTreeSet<(String, usize)>,
    threads: HashMap<i32, Thread>,
}

impl Points {
    pub fn new(store: PathBuf, roots: Vec<PathBuf>, score: Score) -> Self {
        Self {
            store,
            roots,
            score,
            wanted: BTreeSet::new(),
            reached: Vec::new(),
            fault: None,
            steps: BTreeMap::new(),
            changes: BTreeMap::new(),
            pid: 0,
            claimed: BTreeSet::new(),
            threads: HashMap::new(),
        }
    }

    /// Whether the engine is to die here. If so, the point is reached.
    fn reach(&mut self, name: &str, moment: Moment) -> bool {
        let point = (name.to_owned(), moment);
        let hit = self.wanted.remove(&point);
        if hit {
            self.reached.push(point);
        }
        hit
    }

    fn wants(&self, moment: Moment) -> bool {
        self.wanted.iter().any(|(_, wanted)| *wanted == moment)
    }

    /// A thread writes into the store.
    fn writes(&mut self, thread: i32) -> Verdict {
        let was = self.threads.remove(&thread).unwrap_or_default();
        if !self.wants(Moment::After) {
            return Verdict::Go;
        }
        if let Some(call) = was.call
            && !call.supervised()
            && self.reach(&call.name, Moment::After)
        {
            return Verdict::Kill;
        }
        let Some(book) = Book::read(&self.store) else { return Verdict::Go };
        let side = PathBuf::from(format!("{}.d", self.store.display())).join("children");
        for call in book.calls.iter().filter(|call| call.supervised() && !call.ended) {
            if side.join(&call.key).join("ended.json").exists() && self.reach(&call.name, Moment::After) {
                return Verdict::Kill;
            }
        }
        Verdict::Go
    }

    /// Kills when an outcome is durable that is waited for.
    fn durable(&mut self, book: &Book) -> bool {
        self.wants(Moment::Durable)
            && book.calls.iter().filter(|call| call.ended).any(|call| self.reach(&call.name, Moment::Durable))
    }

    /// A thread starts a program: the first time after an intent, it is on its way to do what the intent says.
    fn starts(&mut self, thread: i32) -> Verdict {
        if self.threads.get(&thread).is_some_and(|thread| thread.call.is_some()) {
            return Verdict::Go;
        }
        let Some(book) = Book::read(&self.store) else { return Verdict::Go };
        if self.durable(&book) {
            return Verdict::Kill;
        }
        let open =
            book.calls.iter().rev().filter(|call| !call.ended && (call.client().is_some() || call.op == "exec.run"));
        let mut unclaimed = open.filter(|call| !self.claimed.contains(&(call.key.clone(), call.resent)));
        let Some(call) = unclaimed.next() else { return Verdict::Go };
        self.claimed.insert((call.key.clone(), call.resent));
        self.threads.insert(thread, Thread { call: Some(call.clone()), steps: 0 });
        if self.reach(&call.name, Moment::Before) { Verdict::Kill } else { Verdict::Go }
    }

    /// A thread changes something in the world's folders.
    fn changes(&mut self, thread: i32, path: &Path) -> Verdict {
        let at = self.threads.get(&thread).and_then(|thread| thread.call.as_ref());
        if !at.is_some_and(|call| call.is_about(path)) {
            let Some(book) = Book::read(&self.store) else { return Verdict::Go };
            if self.durable(&book) {
                return Verdict::Kill;
            }
            let Some(call) = book.calls.iter().rev().find(|call| !call.ended && call.is_about(path)) else {
                return Verdict::Go;
            };
            self.threads.insert(thread, Thread { call: Some(call.clone()), steps: 0 });
            if self.reach(&call.name, Moment::Before) {
                return Verdict::Kill;
            }
        }
        let Some(Thread { call: Some(call), steps }) = self.threads.get_mut(&thread) else { return Verdict::Go };
        *steps += 1;
        let (name, steps) = (call.name.clone(), *steps);
        let most = self.steps.entry(name.clone()).or_default();
        *most = (*most).max(steps);
        if let Some((call, step, error)) = &self.fault
            && alike(call, &name)
            && steps == *step
        {
            return Verdict::Fail(*error);
        }
        let middle = self.score.steps.get(&name).map_or(0, |all| all / 2 + 1);
        if steps > 1 && steps == middle && self.reach(&name, Moment::Half) {
            return Verdict::Kill;
        }
        Verdict::Go
    }

    fn is_in_the_world(&self, path: &Path) -> bool {
        self.roots.iter().any(|root| path.starts_with(root))
    }
}

/// Whether two names are of the same call, whatever the attempt.
fn alike(one: &str, other: &str) -> bool {
    let parts = |name: &str| {
        let mut parts = name.rsplitn(3, '-');
        let number = parts.next().unwrap_or_default().to_owned();
        let attempt = parts.next().unwrap_or_default().trim_end_matches(|c: char| c.is_ascii_digit()).to_owned();
        (number, attempt, parts.next().unwrap_or_default().to_owned())
    };
    parts(one) == parts(other)
}

/// What a call of the kernel does, as far as it matters here.
enum Deed {
    Store,
    Start,
    /// Changes something under this path; with what is counted as a finished change.
    Change(PathBuf, Option<&'static str>),
    Exit,
    Other,
}

#[cfg(target_arch = "x86_64")]
fn deed(process: &Process, call: &Syscall, store: &Path) -> Deed {
    const WRITING: u64 = (libc::O_CREAT | libc::O_TRUNC) as u64;
    let a = call.args;
    match call.number {
        libc::SYS_write | libc::SYS_pwrite64 | libc::SYS_writev | libc::SYS_ftruncate | libc::SYS_fchmod => {
            let path = process.file(a[0]);
            let name = path.file_name().unwrap_or_default().to_string_lossy();
            let own = store.file_name().unwrap_or_default().to_string_lossy();
            // What goes into the database itself has been durable before.
            match name.strip_suffix("-wal") == Some(&own) {
                true => Deed::Store,
                false => Deed::Change(path, None),
            }
        }
        libc::SYS_copy_file_range => Deed::Change(process.file(a[2]), None),
        libc::SYS_sendfile => Deed::Change(process.file(a[0]), None),
        libc::SYS_mkdir => Deed::Change(process.path(libc::AT_FDCWD as u64, a[0]), Some("mkdir")),
        libc::SYS_mkdirat => Deed::Change(process.path(a[0], a[1]), Some("mkdir")),
        libc::SYS_rename => Deed::Change(process.path(libc::AT_FDCWD as u64, a[1]), Some("rename")),
        libc::SYS_renameat | libc::SYS_renameat2 => Deed::Change(process.path(a[2], a[3]), Some("rename")),
        libc::SYS_link => Deed::Change(process.path(libc::AT_FDCWD as u64, a[1]), Some("link")),
        libc::SYS_linkat => Deed::Change(process.path(a[2], a[3]), Some("link")),
        libc::SYS_symlinkat => Deed::Change(process.path(a[1], a[2]), Some("link")),
        libc::SYS_unlink | libc::SYS_rmdir => Deed::Change(process.path(libc::AT_FDCWD as u64, a[0]), None),
        libc::SYS_unlinkat => Deed::Change(process.path(a[0], a[1]), None),
        libc::SYS_chmod => Deed::Change(process.path(libc::AT_FDCWD as u64, a[0]), None),
        libc::SYS_fchmodat => Deed::Change(process.path(a[0], a[1]), None),
        libc::SYS_open if a[1] & WRITING != 0 => Deed::Change(process.path(libc::AT_FDCWD as u64, a[0]), None),
        libc::SYS_openat if a[2] & WRITING != 0 => Deed::Change(process.path(a[0], a[1]), None),
        libc::SYS_clone if a[0] & libc::CLONE_THREAD as u64 == 0 => Deed::Start,
        libc::SYS_clone3 if process.number(a[0]) & libc::CLONE_THREAD as u64 == 0 => Deed::Start,
        libc::SYS_vfork | libc::SYS_fork => Deed::Start,
        libc::SYS_exit_group => Deed::Exit,
        _ => Deed::Other,
    }
}

#[cfg(not(target_arch = "x86_64"))]
fn deed(_process: &Process, _call: &Syscall, _store: &Path) -> Deed {
    Deed::Other
}

impl Watch for Points {
    fn begins(&mut self, pid: i32) {
        self.pid = pid;
        self.claimed.clear();
        self.threads.clear();
    }

    fn enters(&mut self, process: &Process, call: &Syscall) -> Verdict {
        match deed(process, call, &self.store) {
            Deed::Store => self.writes(call.thread),
            Deed::Start => self.starts(call.thread),
            Deed::Change(path, _) if self.is_in_the_world(&path) => self.changes(call.thread, &path),
            // The last outcome is durable, and nothing follows.
            Deed::Exit if self.wants(Moment::Durable) => {
                let ended = Book::read(&self.store).map(|book| book.calls).unwrap_or_default();
                let last = ended.iter().filter(|call| call.ended).any(|call| self.reach(&call.name, Moment::Durable));
                if last { Verdict::Kill } else { Verdict::Go }
            }
            _ => Verdict::Go,
        }
    }

    fn leaves(&mut self, process: &Process, call: &Syscall, result: i64) {
        if result == 0
            && let Deed::Change(path, Some(what)) = deed(process, call, &self.store)
            && self.is_in_the_world(&path)
            && !path.to_string_lossy().contains("-m-")
        {
            *self.changes.entry(format!("{what} {}", path.display())).or_default() += 1;
        }
    }
}
