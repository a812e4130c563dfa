//! Drives runs: decide, record, apply, perform.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::thread::JoinHandle;
use std::time::Duration;

use parking_lot::Mutex;

use super::ahead::{Foresight, Told};
use super::capability;
use super::cell::{Activity, Core, Observer, Rest, RunCell};
use super::command;
use super::decide::{Frontier, Next, decide};
use super::drill;
use super::effect::Advance;
use super::error::EngineError;
use super::gate::Gates;
use super::schedule::{Job, Schedule};
use super::scope::run_scope;
use super::state::RunState;
use super::unwind::engine_actor;
use crate::clock::Clock;
use crate::journal::record::Fact;
use crate::journal::run_journal::RunJournal;
use crate::journal::{Store, StoreError};
use crate::model::secret::Redactor;
use crate::model::status::Mode;
use crate::model::{RunId, Value};
use crate::ops::{PlanHost, ReadHost, WriteHost};
use crate::script::Program;

/// The world, as far as this engine may reach.
pub enum Host {
    /// Reads and writes.
    Full(Arc<dyn WriteHost>),
    /// Reads and foresees: what a plan has. There is nothing in it that could write.
    Planning(Arc<dyn PlanHost>),
}

impl Host {
    pub(super) fn reader(&self) -> &dyn ReadHost {
        match self {
            Self::Full(host) => host.as_ref(),
            Self::Planning(host) => host.as_ref(),
        }
    }

    pub(super) fn writer(&self) -> Option<&dyn WriteHost> {
        match self {
            Self::Full(host) => Some(host.as_ref()),
            Self::Planning(_) => None,
        }
    }
}

/// What all runs of an engine share.
pub struct Inner {
    pub(super) host: Host,
    pub(super) clock: Arc<dyn Clock>,
    pub(super) store: Arc<dyn Store>,
    pub(super) redactor: Arc<Redactor>,
    pub(super) schedule: Schedule,
    pub(super) foresight: Told,
    runs: Mutex<HashMap<RunId, Arc<RunCell>>>,
    workers: Mutex<Vec<JoinHandle<()>>>,
}

/// Runs programs.
#[derive(Clone)]
pub struct Engine {
    inner: Arc<Inner>,
}

impl Engine {
    /// An engine without workers: drive it by [`Engine::run_until_idle`], or add some by [`Engine::spawn_workers`].
    #[must_use]
    pub fn new(host: Host, clock: Arc<dyn Clock>, store: Arc<dyn Store>, redactor: Arc<Redactor>) -> Self {
        let schedule = Schedule::new(Arc::clone(&clock));
        Self {
            inner: Arc::new(Inner {
                host,
                clock,
                store,
                redactor,
                schedule,
                foresight: Told::default(),
                runs: Mutex::default(),
                workers: Mutex::default(),
            }),
        }
    }

    /// From now on whoever is asked for an approval is told what it lets the run do, and the run is held to that.
    #[must_use]
    pub fn foreseeing(self, foresight: Foresight) -> Self {
        self.inner.foresight.get_or_init(|| foresight);
        self
    }

    /// Starts worker threads. They end with [`Engine::stop`].
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn spawn_workers(&self, count: usize) -> std::io::Result<()> {
        for number in 0..count {
            let inner = Arc::clone(&self.inner);
            let thread = std::thread::Builder::new().name(format!("worker-{number}")).stack_size(4 << 20);
            let worker = thread.spawn(move || {
                while let Some(job) = inner.schedule.next() {
                    inner.perform(job);
                }
            })?;
            self.inner.workers.lock().push(worker);
        }
        Ok(())
    }

    /// How many workers are alive.
    #[must_use]
    pub fn workers(&self) -> usize {
        self.inner.workers.lock().iter().filter(|worker| !worker.is_finished()).count()
    }

    /// Ends the workers after their present jobs.
    pub fn stop(&self) {
        self.inner.schedule.stop();
    }

    /// Waits until the workers that [`Engine::stop`] ends are gone: they hold the store open, and only who closes it last puts
    /// its log away.
    pub fn join(&self) {
        let workers = std::mem::take(&mut *self.inner.workers.lock());
        for worker in workers {
            // One that panicked is gone too.
            let _ = worker.join();
        }
    }

    /// Does everything there is to do on this thread, until nothing is left but what waits for people or a real clock.
    pub fn run_until_idle(&self) {
        self.run_while(&|| true);
    }

    /// As [`Engine::run_until_idle`], as long as it is wanted.
    pub fn run_while(&self, wanted: &dyn Fn() -> bool) {
        while wanted()
            && let Some(job) = self.inner.schedule.try_next()
        {
            self.inner.perform(job);
        }
    }

    /// Takes a run in hand whose journal this process may write. A journal without records is a run that begins.
    ///
    /// # Errors
    /// When its journal cannot be continued by this program, or a capability's scope cannot be evaluated.
    pub fn adopt(
        &self,
        program: Arc<Program>,
        mut journal: RunJournal,
        records: &[crate::journal::Record],
        first: Option<Fact>,
        observer: Arc<dyn Observer>,
    ) -> Result<RunId, EngineError> {
        let id = journal.run().clone();
        let wrong = |source| EngineError::Journal { run: id.clone(), source };
        let mut state = RunState::fold(records).map_err(wrong)?;
        let now = self.inner.clock.now();
        let mut fresh = Vec::new();
        if let Some(first) = first {
            fresh.push(journal.push(first, now));
        }
        fresh.push(journal.push(Fact::Held { holder: self.inner.store.holder().id }, now));
        for record in &fresh {
            state.apply(record).map_err(wrong)?;
        }
        let to_release = state.maybe_kept(records);
        let scope = run_scope(&state);
        let granted = capability::evaluate(&program, &scope)?;
        let core = Core {
            journal,
            state,
            frontier: Frontier::default(),
            activity: HashMap::new(),
            unwinding: None,
            rest: None,
            failure: None,
            checked: Default::default(),
            // Whoever had the run before may have died between making outcomes durable and letting go.
            to_release,
            unanswered: HashMap::new(),
            parking: false,
            timer: None,
            mail: true,
        };
        let cell = Arc::new(RunCell {
            id: id.clone(),
            gates: Gates::of(&program.playbook),
            program,
            granted,
            core: Mutex::new(core),
            rested: parking_lot::Condvar::new(),
            bound: Mutex::default(),
            ahead: Mutex::default(),
            asking: AtomicUsize::new(0),
            observer,
        });
        {
            let mut core = cell.core.lock();
            for record in &fresh {
                cell.observer.record(&id, record);
            }
            self.inner.commit(&cell, &mut core)?;
        }
        let planning = cell.core.lock().state.header.as_ref().is_some_and(|header| header.mode == Mode::Plan);
        if planning {
            let found = self.inner.check_all(&cell);
            let mut core = cell.core.lock();
            for check in found {
                core.record(&cell, Fact::Checked { check }, self.inner.clock.now())?;
            }
            self.inner.commit(&cell, &mut core)?;
        }
        self.inner.runs.lock().insert(id.clone(), cell);
        self.inner.schedule.submit(Job::Drive(id.clone()));
        Ok(id)
    }

    /// Looks into the inboxes of the runs in hand. Call it now and then.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn collect_mail(&self) -> Result<(), StoreError> {
        let with_mail = self.inner.store.inbox_runs()?;
        let runs = self.inner.runs.lock();
        for id in with_mail {
            if let Some(cell) = runs.get(&id) {
                cell.core.lock().mail = true;
                self.inner.schedule.submit(Job::Drive(id));
            }
        }
        Ok(())
    }

    /// Waits until nothing more is being done for a run, at most this long.
    #[must_use]
    pub fn wait(&self, run: &RunId, at_most: Duration) -> Option<Rest> {
        let cell = self.inner.runs.lock().get(run).cloned()?;
        let mut core = cell.core.lock();
        if core.rest.is_none() {
            cell.rested.wait_for(&mut core, at_most);
        }
        core.rest.clone()
    }

    /// Begins nothing new for a run, so that it can be let go of; calls in flight end.
    pub fn park(&self, run: &RunId) {
        if let Some(cell) = self.inner.runs.lock().get(run) {
            cell.core.lock().parking = true;
        }
        self.inner.schedule.submit(Job::Drive(run.clone()));
    }

    /// Whether a thread is at work on a run.
    #[must_use]
    pub fn is_busy(&self, run: &RunId) -> bool {
        self.inner.runs.lock().get(run).is_some_and(|cell| {
            let core = cell.core.lock();
            core.unwinding == Some(Activity::Busy) || core.activity.values().any(|activity| *activity == Activity::Busy)
        })
    }

    /// The state of a run in hand.
    #[must_use]
    pub fn state(&self, run: &RunId) -> Option<RunState> {
        let cell = self.inner.runs.lock().get(run).cloned()?;
        let state = cell.core.lock().state.clone();
        Some(state)
    }

    /// Why the engine cannot go on with a run, once.
    #[must_use]
    pub fn take_failure(&self, run: &RunId) -> Option<EngineError> {
        let cell = self.inner.runs.lock().get(run).cloned()?;

        cell.core.lock().failure.take()
    }

    /// Lets go of a run: flushes its journal and gives up its lease.
    ///
    /// # Errors
    /// When the store does not take it. The lease then runs out by itself.
    pub fn release(&self, run: &RunId) -> Result<(), EngineError> {
        let Some(cell) = self.inner.runs.lock().remove(run) else { return Ok(()) };
        let mut core = cell.core.lock();
        core.parking = true;
        if core.failure.is_none() {
            self.inner.commit(&cell, &mut core)?;
        }
        self.inner.store.release(run, core.journal.epoch()).map_err(EngineError::Store)
    }

    /// Whether commands for a resting run are waiting; they are answered by the next drive.
    #[must_use]
    pub fn settle_mail(&self, run: &RunId) -> bool {
        let Some(cell) = self.inner.cell(run) else { return false };
        let waiting = self.inner.store.inbox(run).is_ok_and(|mail| !mail.is_empty());
        if waiting {
            let mut core = cell.core.lock();
            core.mail = true;
            core.rest = None;
            drop(core);
            self.inner.schedule.submit(Job::Drive(run.clone()));
        }
        waiting
    }
}

impl Inner {
    pub(super) fn cell(&self, run: &RunId) -> Option<Arc<RunCell>> {
        self.runs.lock().get(run).cloned()
    }

    /// A value as it will stand in the journal.
    pub(super) fn scrub(&self, value: Value) -> Value {
        if self.redactor.is_empty() {
            return value;
        }
        crate::journal::redact::value(&self.redactor, value)
    }

    fn perform(self: &Arc<Self>, job: Job) {
        match job {
            Job::Drive(run) => {
                if let Some(cell) = self.cell(&run)
                    && let Err(error) = self.drive(&cell)
                {
                    self.broken(&cell, error);
                }
            }
            Job::Work(run, path) => {
                if let Some(cell) = self.cell(&run) {
                    match self.work(&cell, &path) {
                        Ok(until) => {
                            let mut core = cell.core.lock();
                            match until {
                                Some(at) => core.activity.insert(path, Activity::Until(at)),
                                None => core.activity.remove(&path),
                            };
                            drop(core);
                            self.schedule.submit(Job::Drive(run));
                        }
                        Err(error) => self.broken(&cell, error),
                    }
                }
            }
            Job::Foresee(run, path, since) => {
                if let Some(cell) = self.cell(&run) {
                    let asked = self.ask_foreseen(&cell, &path, since);
                    if cell.asking.fetch_sub(1, Ordering::Relaxed) == 1 {
                        // Nobody else is about to ask.
                        *cell.ahead.lock() = None;
                    }
                    match asked {
                        Ok(()) => self.schedule.submit(Job::Drive(run)),
                        Err(error) => self.broken(&cell, error),
                    }
                }
            }
            Job::Unwind(ref run) | Job::Measure(ref run) => {
                if let Some(cell) = self.cell(run) {
                    let measuring = matches!(job, Job::Measure(_));
                    match if measuring { self.measure(&cell) } else { self.unwind(&cell) } {
                        Ok(advance) => {
                            let mut core = cell.core.lock();
                            core.unwinding = match advance {
                                Advance::Later(at) => Some(Activity::Until(at)),
                                _ => None,
                            };
                            drop(core);
                            self.schedule.submit(Job::Drive(run.clone()));
                        }
                        Err(error) => self.broken(&cell, error),
                    }
                }
            }
        }
    }

    /// The engine cannot go on with a run: nothing more is begun for it here.
    fn broken(&self, cell: &RunCell, error: EngineError) {
        let mut core = cell.core.lock();
        core.activity.clear();
        core.unwinding = None;
        core.failure.get_or_insert(error);
        core.rest = Some(Rest::Broken);
        cell.rested.notify_all();
    }

    /// Decides and performs what can be done at once; hands the rest to workers; rests when there is nothing.
    fn drive(self: &Arc<Self>, cell: &Arc<RunCell>) -> Result<(), EngineError> {
        loop {
            let mut core = cell.core.lock();
            if core.failure.is_some() {
                return Ok(());
            }
            if core.mail {
                core.mail = false;
                self.read_mail(cell, &mut core)?;
            }
            if core.parking {
                let busy =
                    core.unwinding == Some(Activity::Busy) || core.activity.values().any(|a| *a == Activity::Busy);
                if !busy {
                    self.commit(cell, &mut core)?;
                    core.rest = Some(Rest::Paused);
                    cell.rested.notify_all();
                }
                return Ok(());
            }
            let now = self.clock.now();
            core.activity.retain(|_, activity| !matches!(activity, Activity::Until(at) if *at <= now));
            if matches!(core.unwinding, Some(Activity::Until(at)) if at <= now) {
                core.unwinding = None;
            }
            let quiescing = core.state.is_quiescing();
            let Core { state, frontier, activity, .. } = &mut *core;
            let next = decide(&cell.program, state, frontier, now, &|path| match activity.get(path) {
                Some(Activity::Busy) => true,
                // A rollback does not wait for what a step waits for.
                Some(Activity::Until(_)) => !quiescing,
                None => false,
            });
            let mut again = false;
            let mut begun = false;
            for action in next {
                match action {
                    Next::Work(path) => {
                        core.activity.insert(path.clone(), Activity::Busy);
                        self.schedule.submit(Job::Work(cell.id.clone(), path));
                        begun = true;
                    }
                    Next::Unwind | Next::Measure => {
                        if core.unwinding.is_none() {
                            core.unwinding = Some(Activity::Busy);
                            core.activity.clear();
                            let measures = action == Next::Measure;
                            let id = cell.id.clone();
                            self.schedule.submit(if measures { Job::Measure(id) } else { Job::Unwind(id) });
                        }
                        begun = true;
                    }
                    Next::TearDown(teardown) => {
                        core.record(cell, Fact::TeardownBegun { teardown }, now)?;
                        again = true;
                        break;
                    }
                    Next::Leave(step, reason) => {
                        let fact = Fact::StepSkipped { step, reason, by: Some(engine_actor()), result: None };
                        core.record(cell, fact, now)?;
                        again = true;
                    }
                    Next::Finish(status, remarks) => {
                        self.finish(cell, &mut core, status, remarks)?;
                        again = true;
                        break;
                    }
                    Next::Enter(path) => {
                        self.enter(cell, &mut core, &path, None)?;
                        again = true;
                    }
                }
            }
            if again {
                continue;
            }
            let sleeping = core
                .activity
                .values()
                .chain(core.unwinding.iter())
                .filter_map(|activity| match activity {
                    Activity::Until(at) => Some(*at),
                    Activity::Busy => None,
                })
                .chain(if quiescing { None } else { core.frontier.next_retry(&cell.program, &core.state) })
                .min();
            // In virtual time nobody waits for people, and so a drill that waits for them is not over either.
            let limit = drill::deadline(&core.state).filter(|_| sleeping.is_some() || !self.clock.is_virtual());
            let wake = sleeping.into_iter().chain(limit).min();
            let busy = begun
                || core.unwinding == Some(Activity::Busy)
                || core.activity.values().any(|activity| *activity == Activity::Busy);
            core.rest = if busy || (sleeping.is_some() && core.state.finished.is_none()) {
                None
            } else if core.state.finished.is_some() {
                Some(Rest::Ended)
            } else {
                Some(Rest::Paused)
            };
            if !busy {
                self.commit(cell, &mut core)?;
            }
            if let Some(at) = wake
                && core.timer.is_none_or(|timer| timer > at || timer <= now)
            {
                core.timer = Some(at);
                self.schedule.wake_at(&cell.id, at);
            }
            if core.rest.is_some() {
                cell.rested.notify_all();
            }
            return Ok(());
        }
    }

    fn read_mail(&self, cell: &RunCell, core: &mut Core) -> Result<(), EngineError> {
        let mail = self.store.inbox(&cell.id).map_err(EngineError::Store)?;
        if mail.is_empty() {
            return Ok(());
        }
        let mut consumed = Vec::new();
        for (number, command) in mail {
            let now = self.clock.now();
            consumed.push(number);
            let facts = command::consider(&cell.program, &core.state, &command, now);
            let (facts, refused) = facts.map_or_else(|why| (Vec::new(), Some(why)), |facts| (facts, None));
            let carried_out = refused.is_none();
            core.record(cell, Fact::Commanded { command, refused }, now)?;
            for fact in facts {
                core.record(cell, fact, now)?;
            }
            if carried_out {
                core.activity.retain(|_, activity| *activity == Activity::Busy);
            }
        }
        core.commit(&consumed)
    }
}
