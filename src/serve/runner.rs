//! Carries runs on: those begun here, and those whose holder died. All of them on one engine.
//!
//! A run that waits costs no thread, so that one engine holds thousands. What takes a worker is a call that is being made: it blocks its
//! worker until the other side answers, for seconds at most (what takes longer is followed by its probe). So the number of workers
//! is not one of cores but of calls in flight at the same time, and each may be a child process and its supervisor: see [`WORKERS`].

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{Duration, Instant};

use parking_lot::{Condvar, Mutex};

use super::feed::Feeds;
use super::metrics::Metrics;
use crate::app::{App, AppError, Start};
use crate::engine::{Engine, EngineError, Observer, Rest};
use crate::journal::document::{Query, Write};
use crate::journal::{Fact, Record, Store, StoreError, apart};
use crate::model::status::Mode;
use crate::model::{RunId, StepPath};
use crate::plan::file::PlanFile;

/// Calls in flight at the same time. Thirty-two are as many child processes as a small machine carries beside the server, and enough
/// for three hundred runs, of which most wait at any time.
pub const WORKERS: usize = 32;

/// How often runs are looked at, and their inboxes.
const LOOK_EVERY: Duration = Duration::from_millis(100);
/// How often runs are looked for whose holder has died.
const SEEK_EVERY: Duration = Duration::from_millis(1000);
/// How long a run that nobody holds and that has an order is left to whoever gave it, who may be about to take it.
const GRACE: Duration = Duration::from_secs(5);
/// How many runs are taken up at the same time: each reads a journal.
const TAKERS: usize = 4;
/// Runs that a server let go of when it was asked to end: the next one takes them up. Those that a person parked are none.
const HANDOVER: &str = "handover";
/// How long it is waited before a run is tried again that the engine could not go on with because of the store.
const FIRST_RETRY: Duration = Duration::from_secs(2);
const LONGEST_RETRY: Duration = Duration::from_secs(60);

/// Carries runs on.
pub struct Runner {
    app: Arc<App>,
    engine: Engine,
    feeds: Arc<Feeds>,
    metrics: Arc<Metrics>,
    observer: Arc<dyn Observer>,
    inner: Mutex<Inner>,
    /// Something is to be looked at before its time.
    wake: Condvar,
    draining: AtomicBool,
    stopped: AtomicBool,
}

#[derive(Default)]
struct Inner {
    held: HashSet<RunId>,
    /// Runs that are not for a server: those of the sandbox, whose worlds are a person's rehearsal; and those that this program cannot go
    /// on with, until somebody orders something.
    aside: HashMap<RunId, u64>,
    /// Runs to be tried again, and when; how long was waited last.
    later: HashMap<RunId, (Instant, Duration)>,
    /// Runs that nobody holds and that have an order, and since when that is known.
    ordered: HashMap<RunId, Instant>,
    nudged: bool,
}

/// Tells everybody who watches.
struct Watch {
    feeds: Arc<Feeds>,
    metrics: Arc<Metrics>,
    app: Arc<App>,
}

impl Observer for Watch {
    fn record(&self, run: &RunId, record: &Record) {
        self.metrics.record(run, record);
        self.feeds.poke(run);
    }

    fn progress(&self, run: &RunId, step: &StepPath, text: &str) {
        self.feeds.progress(run, step, &self.app.redactor.scrub(text));
    }
}

impl Runner {
    /// A runner without workers; see [`Runner::work`].
    #[must_use]
    pub fn new(app: Arc<App>, feeds: Arc<Feeds>, metrics: Arc<Metrics>) -> Self {
        let engine = app.live_engine();
        let observer =
            Arc::new(Watch { feeds: Arc::clone(&feeds), metrics: Arc::clone(&metrics), app: Arc::clone(&app) });
        Self {
            app,
            engine,
            feeds,
            metrics,
            observer,
            inner: Mutex::default(),
            wake: Condvar::new(),
            draining: AtomicBool::new(false),
            stopped: AtomicBool::new(false),
        }
    }

    /// Starts the workers and looks after runs, on threads of their own.
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn work(self: &Arc<Self>, workers: usize) -> std::io::Result<()> {
        self.engine.spawn_workers(workers)?;
        let (look, seek) = (Arc::clone(self), Arc::clone(self));
        std::thread::Builder::new().name("runner".to_owned()).spawn(move || look.look_after())?;
        std::thread::Builder::new().name("seeker".to_owned()).spawn(move || seek.seek_on())?;
        Ok(())
    }

    /// How many workers live.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.engine.workers()
    }

    /// How many runs it holds.
    #[must_use]
    pub fn holds(&self) -> usize {
        self.inner.lock().held.len()
    }

    /// Whether it takes nothing new.
    #[must_use]
    pub fn is_draining(&self) -> bool {
        self.draining.load(Ordering::SeqCst)
    }

    /// Begins a run and carries it on.
    ///
    /// # Errors
    /// When it cannot be begun; or nothing is begun here any more.
    pub fn begin(&self, start: &Start) -> Result<RunId, AppError> {
        self.refuse_when_draining()?;
        let session = self.app.start_on(&self.engine, start, Arc::clone(&self.observer))?;
        Ok(self.hold(session.run().clone()))
    }

    /// Begins the run that a plan was made for. It has been checked and compared.
    ///
    /// # Errors
    /// As [`Runner::begin`].
    pub fn begin_bound(&self, start: &Start, file: &PlanFile) -> Result<RunId, AppError> {
        self.refuse_when_draining()?;
        let session = self.app.start_bound_on(&self.engine, start, file, Arc::clone(&self.observer))?;
        Ok(self.hold(session.run().clone()))
    }

    fn refuse_when_draining(&self) -> Result<(), AppError> {
        if self.is_draining() {
            return Err(AppError::System {
                act: "begin a run",
                source: std::io::Error::other("this server is about to end"),
            });
        }
        Ok(())
    }

    fn hold(&self, run: RunId) -> RunId {
        self.inner.lock().held.insert(run.clone());
        run
    }

    /// Takes a run up that nobody alive holds. Returns whether it is carried on here now.
    ///
    /// # Errors
    /// When it cannot be taken up.
    pub fn carry_on(&self, run: &RunId) -> Result<bool, AppError> {
        if self.inner.lock().held.contains(run) {
            return Ok(true);
        }
        if self.is_draining() {
            return Ok(false);
        }
        match self.app.take_on(Some(&self.engine), run, Arc::clone(&self.observer)) {
            Ok(session) => {
                self.hold(session.run().clone());
                tracing::info!(run = %run, "taken up");
                Ok(true)
            }
            Err(AppError::Held { .. } | AppError::Over { .. }) => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Whether a run is one of the sandbox. Those have a world and a time of their own.
    ///
    /// # Errors
    /// When its journal cannot be read.
    pub fn is_of_sandbox(&self, run: &RunId) -> Result<bool, StoreError> {
        let store = self.app.store();
        let Some(line) = store.first(run)? else { return Ok(false) };
        let first = apart::record(store.as_ref(), run, 0, &line)?;
        Ok(matches!(first.fact, Fact::RunStarted { mode: Mode::Sandbox, .. }))
    }

    /// Looks into the inboxes at once.
    pub fn nudge(&self) {
        self.inner.lock().nudged = true;
        self.wake.notify_all();
    }

    fn look_after(&self) {
        while !self.stopped.load(Ordering::SeqCst) {
            if let Err(error) = self.engine.collect_mail() {
                tracing::warn!(%error, "the inboxes cannot be read");
            }
            let held: Vec<RunId> = self.inner.lock().held.iter().cloned().collect();
            for run in held {
                self.look_at(&run);
            }
            let mut inner = self.inner.lock();
            if !inner.nudged {
                self.wake.wait_for(&mut inner, LOOK_EVERY);
            }
            inner.nudged = false;
        }
    }

    fn look_at(&self, run: &RunId) {
        let rest = self.engine.wait(run, Duration::ZERO);
        if let Some(error) = self.engine.take_failure(run) {
            self.give_up(run, &error);
            return;
        }
        if rest == Some(Rest::Ended) && !self.engine.settle_mail(run) {
            self.let_go(run);
            let status = self.app.store.head(run).map(|head| head.status.as_str()).unwrap_or("ended");
            tracing::info!(run = %run, status, "ended");
            self.feeds.poke(run);
        }
    }

    fn let_go(&self, run: &RunId) {
        if let Err(error) = self.engine.release(run) {
            tracing::warn!(run = %run, %error, "cannot be given up; the lease ends with this process");
        }
        self.inner.lock().held.remove(run);
        self.metrics.forget(run);
    }

    /// The engine cannot go on with a run here. What the store refused is tried again; for the rest somebody has to look.
    fn give_up(&self, run: &RunId, error: &EngineError) {
        self.let_go(run);
        match error {
            EngineError::Store(StoreError::Fenced { .. }) => {
                tracing::warn!(run = %run, "taken by somebody else");
            }
            EngineError::Store(_) => self.try_later(run, &error.to_string()),
            _ => self.set_aside(run, &error.to_string()),
        }
    }

    fn try_later(&self, run: &RunId, why: &str) {
        let mut inner = self.inner.lock();
        let wait = inner.later.get(run).map_or(FIRST_RETRY, |(_, last)| (*last * 2).min(LONGEST_RETRY));
        inner.later.insert(run.clone(), (Instant::now() + wait, wait));
        tracing::warn!(run = %run, why, wait_s = wait.as_secs(), "cannot go on; tried again later");
    }

    fn set_aside(&self, run: &RunId, why: &str) {
        let epoch = self.app.store.head(run).map_or(0, |head| head.epoch);
        self.inner.lock().aside.insert(run.clone(), epoch);
        self.metrics.broken();
        tracing::error!(run = %run, why, "cannot go on, and waits for a person: `muster show` says how it stands");
    }

    fn seek_on(&self) {
        while !self.stopped.load(Ordering::SeqCst) {
            if !self.is_draining()
                && let Err(error) = self.seek()
            {
                tracing::warn!(%error, "runs without a holder cannot be looked for");
            }
            let mut inner = self.inner.lock();
            self.wake.wait_for(&mut inner, SEEK_EVERY);
        }
    }

    /// Takes up the runs that want a holder: whose holder died or stopped, which a server let go of when it ended, or which somebody gave
    /// an order and then did not take. What a person parked stays parked.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn seek(&self) -> Result<(), StoreError> {
        let store = self.app.store();
        let mut wanted: Vec<RunId> = Vec::new();
        let wanting = store.wanting()?;
        let now = Instant::now();
        {
            let mut inner = self.inner.lock();
            inner.ordered.retain(|run, _| wanting.ordered.contains(run));
            for run in &wanting.ordered {
                if now.duration_since(*inner.ordered.entry(run.clone()).or_insert(now)) >= GRACE {
                    wanted.push(run.clone());
                }
            }
            wanted.extend(wanting.abandoned);
            let due = inner.later.iter().filter(|(_, (at, _))| *at <= now).map(|(run, _)| run.clone());
            wanted.extend(due.collect::<Vec<_>>());
        }
        let mut left = Vec::new();
        for document in store.documents(HANDOVER, &Query::default())? {
            if let Ok(run) = document.key.parse::<RunId>() {
                let epoch = document.body["epoch"].as_u64();
                let stands = store.head(&run).is_ok_and(|head| Some(head.epoch) == epoch && head.holder.is_none());
                if stands {
                    wanted.push(run);
                }
            }
            left.push(document);
        }
        wanted.sort();
        wanted.dedup();
        let wanted = Mutex::new(wanted);
        std::thread::scope(|scope| {
            for _ in 0..TAKERS {
                scope.spawn(|| {
                    loop {
                        let next = wanted.lock().pop();
                        let Some(run) = next else { return };
                        self.take_up(&run);
                    }
                });
            }
        });
        if !left.is_empty() {
            // Who wrote one anew meanwhile is read the next time.
            let writes: Vec<Write> = left.iter().map(|document| Write::remove(HANDOVER, document)).collect();
            match store.write_documents(&writes, self.app.clock.now()) {
                Ok(()) | Err(StoreError::Conflict { .. }) => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn take_up(&self, run: &RunId) {
        let store = &self.app.store;
        let epoch = store.head(run).map_or(0, |head| head.epoch);
        {
            let mut inner = self.inner.lock();
            let ordered = inner.ordered.remove(run).is_some();
            // Somebody has held it since, or has said something: it may be able to go on now.
            if inner.held.contains(run) || (!ordered && inner.aside.get(run) == Some(&epoch)) {
                return;
            }
            if inner.later.get(run).is_some_and(|(at, _)| *at > Instant::now()) {
                return;
            }
        }
        match self.is_of_sandbox(run) {
            Ok(true) => {
                self.inner.lock().aside.insert(run.clone(), epoch);
                return;
            }
            Ok(false) => {}
            Err(error) => return self.set_aside(run, &error.to_string()),
        }
        match self.carry_on(run) {
            Ok(true) => {
                self.metrics.taken();
                self.inner.lock().later.remove(run);
            }
            Ok(false) => {
                self.inner.lock().later.remove(run);
            }
            Err(error @ (AppError::Store(_) | AppError::Engine(EngineError::Store(_)))) => {
                self.try_later(run, &error.to_string());
            }
            Err(error) => self.set_aside(run, &error.to_string()),
        }
    }

    /// Begins nothing more, lets calls in flight end, and lets go of all runs so that the next server takes them up. Returns how many
    /// that were; gives up waiting as soon as `at_once` says so.
    ///
    /// # Errors
    /// When the store cannot be written: the runs are then found by the death of this process.
    pub fn drain(&self, at_once: &dyn Fn() -> bool) -> Result<usize, StoreError> {
        self.draining.store(true, Ordering::SeqCst);
        let held: Vec<RunId> = self.inner.lock().held.iter().cloned().collect();
        held.iter().for_each(|run| self.engine.park(run));
        while held.iter().any(|run| self.engine.is_busy(run)) {
            if at_once() {
                break;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        self.stopped.store(true, Ordering::SeqCst);
        self.wake.notify_all();
        let store = self.app.store();
        let mut writes = Vec::new();
        for run in &held {
            if let Ok(head) = store.head(run)
                && !head.status.is_terminal()
            {
                let body = serde_json::json!({ "epoch": head.epoch });
                let kind = HANDOVER.to_owned();
                let expect = crate::journal::document::Expect::Any;
                writes.push(Write { kind, key: run.to_string(), expect, body: Some(body) });
            }
        }
        let parked = writes.len();
        if !writes.is_empty() {
            store.write_documents(&writes, self.app.clock.now())?;
        }
        held.iter().for_each(|run| self.let_go(run));
        self.engine.stop();
        if !at_once() {
            self.engine.join();
        }
        Ok(parked)
    }
}
