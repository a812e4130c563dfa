//! Would a playbook work now? Its checks, what it needs of this machine, and its plan, within a time that a caller gives.

use std::sync::Arc;
use std::sync::mpsc::{self, RecvTimeoutError};
use std::time::{Duration, Instant};

use parking_lot::Mutex;
use serde::Serialize;

use super::{App, Start, preflight};
use crate::engine::Observer;
use crate::journal::{Fact, Record, Store as _};
use crate::model::amount::{format_duration, format_size};
use crate::model::check::{Check, Source, Verdict};
use crate::model::{RunId, Timestamp};
use crate::plan::Plan;
use crate::plan::preflight::of as follows;
use crate::playbook::lock::{Lock, LockError};
use crate::sandbox::World;

/// The version of the report's written form.
pub const FORMAT: u32 = 1;
/// With less room than this the store may soon be unable to begin anything.
pub const LITTLE_ROOM: u64 = 256 << 20;

/// What was found.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Report {
    /// [`FORMAT`].
    pub muster_check: u32,
    /// Name of the playbook.
    pub playbook: String,
    /// Its version.
    pub version: String,
    /// The bundle's digest.
    pub bundle: String,
    /// Whether this is about the live system, or the sandbox.
    pub world: &'static str,
    /// The worst of all verdicts.
    pub verdict: Verdict,
    /// How many passed, failed and could not be told.
    pub counts: Counts,
    /// When it was begun, by the machine's clock.
    pub checked_at: Timestamp,
    /// How long it took, in milliseconds.
    pub took_ms: u64,
    /// The playbook's own checks, the machine's, the plan's, Muster's.
    pub checks: Vec<Check>,
}

/// How many checks came out how.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize)]
pub struct Counts {
    /// They hold.
    pub pass: usize,
    /// They do not.
    pub fail: usize,
    /// Nobody can tell.
    pub unknown: usize,
}

impl Report {
    fn of(start: &Start, world: &'static str, checked_at: Timestamp, begun: Instant, checks: Vec<Check>) -> Self {
        let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
        let playbook = &start.bundle.playbook;
        Self {
            muster_check: FORMAT,
            playbook: playbook.name.value.clone(),
            version: playbook.version.value.clone(),
            bundle: start.bundle.digest.clone(),
            world,
            // Of nothing at all nobody can tell.
            verdict: checks.iter().map(|check| check.verdict).max().unwrap_or(Verdict::Unknown),
            counts: Counts { pass: count(Verdict::Pass), fail: count(Verdict::Fail), unknown: count(Verdict::Unknown) },
            checked_at,
            took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX),
            checks,
        }
    }
}

/// Keeps the checks of a plan as they are recorded, so that they are there even if the plan does not end.
#[derive(Default)]
struct Kept(Mutex<Vec<Check>>);

impl Observer for Kept {
    fn record(&self, _run: &RunId, record: &Record) {
        if let Fact::Checked { check } = &record.fact {
            self.0.lock().push(check.clone());
        }
    }
}

impl App {
    /// Whether a playbook would work now, live; what does not end within `patience` has failed. `name` is how it was named.
    #[must_use]
    pub fn check(self: &Arc<Self>, name: &str, start: Start, patience: Duration) -> Report {
        let (begun, checked_at) = (Instant::now(), self.clock.now());
        let own = [Some(self.store_check()), self.content_check(name, &start)];
        let start = Arc::new(start);
        let mut checks = self.planned(&start, None, patience);
        checks.extend(own.into_iter().flatten());
        Report::of(&start, "live", checked_at, begun, checks)
    }

    /// As [`App::check`], in a world of the sandbox. Of this machine nothing is asked.
    #[must_use]
    pub fn check_in(self: &Arc<Self>, start: Start, world: World, patience: Duration) -> Report {
        let (begun, checked_at) = (Instant::now(), self.clock.now());
        let start = Arc::new(start);
        let checks = self.planned(&start, Some(world), patience);
        Report::of(&start, "sandbox", checked_at, begun, checks)
    }

    /// Plans on a thread of its own: what hangs on a dead disk cannot be ended, only left behind.
    fn planned(self: &Arc<Self>, start: &Arc<Start>, world: Option<World>, patience: Duration) -> Vec<Check> {
        let kept = Arc::new(Kept::default());
        let (answer, answered) = mpsc::sync_channel(1);
        let (app, asked, observer) = (Arc::clone(self), Arc::clone(start), Arc::clone(&kept) as Arc<dyn Observer>);
        let thread = std::thread::Builder::new().name("check".to_owned()).stack_size(8 << 20);
        let begun = Instant::now();
        // Without a thread there is no answer, which is told.
        let _ = thread.spawn(move || {
            let planned = match world {
                Some(world) => app.plan_in_watched(&asked, world, None, observer),
                None => app.plan_watched(&asked, None, observer),
            };
            answer.send(planned.map(|(records, program)| Plan::of(&records, &program)))
        });
        let outcome = answered.recv_timeout(patience);
        let took_ms = u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX);
        let lost = |found: String| {
            let made = Check::new("plan.end", "the plan comes to its end", Source::Plan, Verdict::Fail).found(found);
            let mut checks = kept.0.lock().clone();
            checks.sort_by_key(|check| check.source);
            checks.push(Check { took_ms, ..made });
            checks
        };
        match outcome {
            Ok(Ok(Some(plan))) => plan.checks.iter().cloned().chain(follows(&plan)).collect(),
            Ok(Ok(None)) => lost("the plan's own record cannot be read".to_owned()),
            Ok(Err(error)) => lost(error.to_string()),
            Err(RecvTimeoutError::Timeout) => lost(format!("it did not end within {}", format_duration(patience))),
            Err(RecvTimeoutError::Disconnected) => lost("it ended without an answer".to_owned()),
        }
    }

    /// Whether a run could be recorded: the store takes records, and there is room for them.
    fn store_check(&self) -> Check {
        let path = &self.settings.store;
        let check = |verdict| Check::new("muster.store", "the store takes a run", Source::Muster, verdict);
        preflight::timed(|| {
            let warnings = self.store.warnings();
            if !warnings.is_empty() {
                let hint = "another by --store or $MUSTER_STORE, or mend this one: `muster doctor` says more";
                return check(Verdict::Fail).found(warnings.join("; ")).hint(hint);
            }
            let folder = path.ancestors().skip(1).find(|folder| folder.is_dir()).unwrap_or(std::path::Path::new("/"));
            match rustix::fs::statvfs(folder) {
                Ok(room) => {
                    let free = room.f_bavail.saturating_mul(room.f_frsize);
                    let found = format!("{}, {} free", path.display(), format_size(free));
                    if free < LITTLE_ROOM {
                        check(Verdict::Fail).found(found).hint("free some room before you start a run")
                    } else {
                        check(Verdict::Pass).found(found)
                    }
                }
                Err(error) => check(Verdict::Unknown).found(format!("cannot tell the room there: {error}")),
            }
        })
    }

    /// Whether the version is what it was: in the lock beside the playbook, if there is one, and in the store.
    fn content_check(&self, name: &str, start: &Start) -> Option<Check> {
        let playbook = &start.bundle.playbook;
        let (id, version, digest) = (&playbook.name.value, &playbook.version.value, &start.bundle.digest);
        let title = format!("{id} {version} is what it was");
        let check = |verdict| Check::new("muster.version", title.clone(), Source::Muster, verdict);
        let anew = "give the playbook a new version, then `muster lint --lock`";
        if let Some(path) = Lock::beside(name).filter(|path| path.is_file()) {
            return Some(match Lock::read(&path).and_then(|lock| lock.check(id, version, digest)) {
                Ok(()) => check(Verdict::Pass).found(format!("as locked in {}", path.display())),
                Err(error @ LockError::Changed { .. }) => check(Verdict::Fail).found(error.to_string()).hint(anew),
                Err(error @ LockError::Missing { .. }) => {
                    check(Verdict::Fail).found(error.to_string()).hint("`muster lint --lock` locks it")
                }
                Err(error) => check(Verdict::Unknown).found(error.to_string()),
            });
        }
        let known = match self.store.bundles(id) {
            Ok(known) => known,
            Err(error) => return Some(check(Verdict::Unknown).found(error.to_string())),
        };
        let same: Vec<_> = known.iter().filter(|(other, ..)| other == version).collect();
        let short = |digest: &str| digest.chars().take(12).collect::<String>();
        match same.last() {
            None => None,
            Some(_) if same.iter().any(|(_, other, _)| other == digest) => {
                Some(check(Verdict::Pass).found("as it ran here before"))
            }
            Some((_, other, at)) => Some(
                check(Verdict::Fail)
                    .found(format!("it was {} when it ran here first at {at}, it is {}", short(other), short(digest)))
                    .hint(anew),
            ),
        }
    }
}
