//! Drives runs: decide, record, apply, perform.

use std::collections::HashMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use super::capability;
use super::cell::{Activity, Core, Observer, Rest, RunCell};
use super::command;
use super::decide::{Next, decide, next_retry, visible};
use super::effect::{Advance, NewCall};
use super::error::EngineError;
use super::gateway::{Gateway, Seal, contains_unknown};
use super::schedule::{Job, Schedule};
use super::state::{CallKind, RunState, StepStatus};
use super::unwind::{engine_actor, unknown_output};
use crate::clock::Clock;
use crate::journal::record::{Fact, Outcome};
use crate::journal::run_journal::RunJournal;
use crate::journal::{Store, StoreError};
use crate::model::fault::{ErrorClass, OpError};
use crate::model::secret::Redactor;
use crate::model::status::Mode;
use crate::model::{Phase, RunId, StepPath, Timestamp, Value};
use crate::ops::{PlanHost, ReadHost, WriteHost};
use crate::playbook::types::{Body, OnFailure, Step};
use crate::script::{Calls, Program, Scope};

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
    runs: Mutex<HashMap<RunId, Arc<RunCell>>>,
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
        Self { inner: Arc::new(Inner { host, clock, store, redactor, schedule, runs: Mutex::default() }) }
    }

    /// Starts worker threads. They end with [`Engine::stop`].
    ///
    /// # Errors
    /// When the system gives no threads.
    pub fn spawn_workers(&self, count: usize) -> std::io::Result<()> {
        for number in 0..count {
            let inner = Arc::clone(&self.inner);
            std::thread::Builder::new().name(format!("worker-{number}")).stack_size(4 << 20).spawn(move || {
                while let Some(job) = inner.schedule.next() {
                    inner.perform(job);
                }
            })?;
        }
        Ok(())
    }

    /// Ends the workers after their present jobs.
    pub fn stop(&self) {
        self.inner.schedule.stop();
    }

    /// Does everything there is to do on this thread, until nothing is left but what waits for people or a real clock.
    pub fn run_until_idle(&self) {
        while let Some(job) = self.inner.schedule.try_next() {
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
        let scope = run_scope(&state);
        let granted = capability::evaluate(&program, &scope)?;
        let core = Core {
            journal,
            state,
            activity: HashMap::new(),
            unwinding: None,
            rest: None,
            failure: None,
            checked: Default::default(),
            to_release: Vec::new(),
            unanswered: HashMap::new(),
            parking: false,
            timer: None,
            mail: true,
        };
        let cell = Arc::new(RunCell {
            id: id.clone(),
            program,
            granted,
            core: Mutex::new(core),
            rested: parking_lot::Condvar::new(),
            observer,
        });
        {
            let mut core = cell.core.lock();
            for record in &fresh {
                cell.observer.record(&id, record);
            }
            core.commit(&[])?;
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
}

/// What the run's own expressions see, without steps.
#[must_use]
pub fn run_scope(state: &RunState) -> Scope {
    let Some(header) = &state.header else { return Scope::default() };
    Scope {
        params: header.params.clone(),
        steps: Value::Object(serde_json::Map::new()),
        run: serde_json::json!({
            "id": header.run.as_str(),
            "short_id": header.run.short(),
            "playbook": header.playbook,
            "mode": header.mode,
            "started": header.started.to_string(),
        }),
        item: Value::Null,
        key: Value::Null,
    }
}

fn item_of(state: &RunState, path: &StepPath) -> (Value, Value) {
    let found = path.key().and_then(|key| {
        state.expanded.get(path.step())?.iter().find(|(other, _)| other == key).map(|(_, item)| item.clone())
    });
    match (found, path.key()) {
        (Some(item), Some(key)) => (item, Value::from(key)),
        _ => (Value::Null, Value::Null),
    }
}

impl Inner {
    fn cell(&self, run: &RunId) -> Option<Arc<RunCell>> {
        self.runs.lock().get(run).cloned()
    }

    /// A value as it will stand in the journal.
    pub(super) fn scrub(&self, value: Value) -> Value {
        if self.redactor.is_empty() {
            return value;
        }
        crate::journal::redact::value(&self.redactor, value)
    }

    /// What a step's expressions and scripts see.
    pub(super) fn scope(&self, cell: &RunCell, path: &StepPath) -> Scope {
        let core = cell.core.lock();
        let mut scope = run_scope(&core.state);
        if let Some(step) = cell.program.playbook.step(path.step()) {
            scope.steps = visible(&cell.program, &core.state, step);
        }
        (scope.item, scope.key) = item_of(&core.state, path);
        scope
    }

    /// A line in the run's log.
    pub(super) fn note(&self, cell: &RunCell, call: NewCall) -> Result<Advance, EngineError> {
        let mut core = cell.core.lock();
        let fact = Fact::Called {
            call: call.id,
            op: call.op.name.to_owned(),
            revision: call.op.revision,
            args: call.args,
            outcome: Outcome::Done { result: Value::Null, fingerprint: Value::Null },
        };
        core.record(cell, fact, self.clock.now())?;
        Ok(Advance::Ended)
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
            Job::Unwind(run) => {
                if let Some(cell) = self.cell(&run) {
                    match self.unwind(&cell) {
                        Ok(advance) => {
                            let mut core = cell.core.lock();
                            core.unwinding = match advance {
                                Advance::Later(at) => Some(Activity::Until(at)),
                                _ => None,
                            };
                            drop(core);
                            self.schedule.submit(Job::Drive(run));
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
            let next = decide(&cell.program, &core.state, now, &|path| match core.activity.get(path) {
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
                    Next::Unwind => {
                        if core.unwinding.is_none() {
                            core.unwinding = Some(Activity::Busy);
                            core.activity.clear();
                            self.schedule.submit(Job::Unwind(cell.id.clone()));
                        }
                        begun = true;
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
                        self.enter(cell, &mut core, &path)?;
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
                .chain(if quiescing { None } else { next_retry(&core.state) })
                .min();
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
            if let Some(at) = sleeping
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
            core.record(cell, Fact::Commanded { command }, now)?;
            match facts {
                Ok(facts) => {
                    for fact in facts {
                        core.record(cell, fact, now)?;
                    }
                    core.activity.retain(|_, activity| *activity == Activity::Busy);
                }
                Err(refusal) => {
                    core.record(cell, Fact::Noted { by: engine_actor(), text: format!("refused: {refusal}") }, now)?;
                }
            }
        }
        core.commit(&consumed)
    }

    /// A step whose needs are settled: `when`, `foreach`, approval, inputs, all pure and recorded.
    fn enter(&self, cell: &RunCell, core: &mut Core, path: &StepPath) -> Result<(), EngineError> {
        let now = self.clock.now();
        let Some(step) = cell.program.playbook.step(path.step()) else { return Ok(()) };
        let mut scope = run_scope(&core.state);
        scope.steps = visible(&cell.program, &core.state, step);
        (scope.item, scope.key) = item_of(&core.state, path);
        let mode = core.state.header.as_ref().map_or(Mode::Live, |header| header.mode);
        let approved = core.state.step(path).is_some_and(|step| step.approved);
        let attempt = core.state.step(path).map_or(0, |step| step.attempt) + 1;
        let outcome = self.entering(cell, step, path, &scope, mode, approved, attempt);
        match outcome {
            Ok(fact) => core.record(cell, fact, now).map(|_| ()),
            Err(error) if mode == Mode::Plan => {
                let output = unknown_output(path, &error.message);
                core.record(cell, Fact::StepSucceeded { step: path.clone(), output }, now).map(|_| ())
            }
            Err(error) => self.step_failed(cell, core, step, path, error),
        }
    }

    #[expect(clippy::too_many_arguments, reason = "the parts of one decision, each used once")]
    fn entering(
        &self,
        cell: &RunCell,
        step: &Step,
        path: &StepPath,
        scope: &Scope,
        mode: Mode,
        approved: bool,
        attempt: u32,
    ) -> Result<Fact, OpError> {
        let program = &cell.program;
        let whole = path.key().is_none();
        if whole
            && !approved
            && let Some(when) = &step.when
        {
            let answer = program.expression(when, scope).map_err(crate::script::ScriptError::into_op_error)?;
            match answer {
                Value::Bool(true) => {}
                Value::Bool(false) => {
                    let reason = format!("`when: {}` is false", when.value.trim());
                    return Ok(Fact::StepSkipped { step: path.clone(), reason, by: None, result: None });
                }
                other => {
                    return Err(OpError::refused(format!(
                        "`when: {}` gives {other}, not true or false",
                        when.value.trim()
                    )));
                }
            }
        }
        if let (true, Some(foreach)) = (whole, &step.foreach) {
            let items = program.template(&foreach.items, scope).map_err(crate::script::ScriptError::into_op_error)?;
            let Value::Array(items) = items else {
                return Err(OpError::refused(format!("`foreach` of {path} gives {items}, not a list")));
            };
            let mut keyed: Vec<(String, Value)> = Vec::new();
            for item in items {
                let key = match &foreach.key {
                    Some(key) => {
                        let scope = Scope { item: item.clone(), ..scope.clone() };
                        program.expression(key, &scope).map_err(crate::script::ScriptError::into_op_error)?
                    }
                    None => item.clone(),
                };
                let key = match key {
                    Value::String(text) => text,
                    Value::Number(number) => number.to_string(),
                    other => {
                        return Err(OpError::refused(format!(
                            "{other} cannot be the key of an instance of {path}: it is no text"
                        )));
                    }
                };
                if keyed.iter().any(|(other, _)| *other == key) {
                    return Err(OpError::refused(format!("two instances of {path} have the key `{key}`")));
                }
                keyed.push((key, item));
            }
            return Ok(Fact::Expanded { step: path.clone(), items: keyed });
        }
        if let (Body::Manual { instructions, .. }, plan) = (&step.body, mode == Mode::Plan) {
            if plan {
                let output = unknown_output(path, "a person does it");
                return Ok(Fact::StepSucceeded { step: path.clone(), output });
            }
            if approved || step.approval.is_none() {
                let text = program.template(instructions, scope).map_err(crate::script::ScriptError::into_op_error)?;
                let instructions = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
                return Ok(Fact::ManualAsked { step: path.clone(), instructions });
            }
        }
        let inputs = match &step.body {
            Body::Uses { with: Some(with), .. } => {
                program.template(with, scope).map_err(crate::script::ScriptError::into_op_error)?
            }
            _ => Value::Null,
        };
        if let (Some(approval), false, true) = (&step.approval, approved, mode != Mode::Plan) {
            use sha2::{Digest, Sha256};
            let bound = serde_json::json!([program.digest, scope.params, path, inputs, scope.steps]);
            let digest = Sha256::digest(bound.to_string().as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
            return Ok(Fact::ApprovalAsked {
                step: path.clone(),
                by: approval.by.clone(),
                count: approval.count,
                digest,
            });
        }
        Ok(Fact::StepStarted { step: path.clone(), attempt, inputs, keep: 0 })
    }

    /// Records a failure, and what follows from it at once.
    fn step_failed(
        &self,
        cell: &RunCell,
        core: &mut Core,
        step: &Step,
        path: &StepPath,
        error: OpError,
    ) -> Result<(), EngineError> {
        let now = self.clock.now();
        let attempt = core.state.step(path).map_or(0, |state| state.attempt);
        let may_retry = !matches!(error.class, ErrorClass::Refused);
        if let (Some(retry), true, false) = (&step.retry, may_retry && attempt > 0, core.state.is_quiescing())
            && attempt < retry.attempts
        {
            let delay = delay_before(retry, attempt, core.state.header.as_ref().map_or(0, |header| header.seed), path);
            let not_before = now.saturating_add(delay).unwrap_or(Timestamp::MAX);
            core.record(cell, Fact::StepFailed { step: path.clone(), error, handled: false }, now)?;
            core.record(cell, Fact::StepRetried { step: path.clone(), not_before, from_start: false }, now)?;
            return self.commit(cell, core);
        }
        let handled = step.on_failure == OnFailure::Continue;
        let reason = format!("{path} failed: {}", error.message);
        core.record(cell, Fact::StepFailed { step: path.clone(), error, handled }, now)?;
        if step.on_failure == OnFailure::Rollback && !core.state.is_quiescing() {
            let fact = Fact::RollbackBegun { to: None, only: None, by: engine_actor(), reason, force: false };
            core.record(cell, fact, now)?;
        }
        self.commit(cell, core)
    }

    /// Runs or replays a step's body, or asks its `verify`. The instant it waits for, if it waits for one.
    fn work(self: &Arc<Self>, cell: &Arc<RunCell>, path: &StepPath) -> Result<Option<Timestamp>, EngineError> {
        let Some(step) = cell.program.playbook.step(path.step()) else { return Ok(None) };
        loop {
            let status = {
                let core = cell.core.lock();
                if core.state.is_quiescing() || core.parking {
                    return Ok(None);
                }
                core.state.step(path).map(|state| state.status.clone())
            };
            match status {
                Some(StepStatus::Running) => match self.run_body(cell, step, path)? {
                    Some(Advance::Later(at)) => return Ok(Some(at)),
                    Some(_) => return Ok(None),
                    None => {}
                },
                Some(StepStatus::Verifying { output, until }) => match self.verify(cell, step, path, output, until)? {
                    Some(at) => return Ok(Some(at)),
                    None => return Ok(None),
                },
                Some(StepStatus::Retrying { not_before }) => {
                    if not_before > self.clock.now() {
                        return Ok(Some(not_before));
                    }
                    self.begin_attempt(cell, step, path)?;
                }
                _ => return Ok(None),
            }
        }
    }

    /// Another attempt: earlier calls are kept and replayed, the failing one is made again.
    fn begin_attempt(self: &Arc<Self>, cell: &Arc<RunCell>, step: &Step, path: &StepPath) -> Result<(), EngineError> {
        let unverified = cell.core.lock().state.step(path).and_then(|state| state.unverified.clone());
        if let (Some(output), Some(_)) = (unverified, &step.verify) {
            // What failed was the proof: look once more before doing anything again.
            if self.ask_verify(cell, step, path, &output)? == Ok(true) {
                let mut core = cell.core.lock();
                core.record(cell, Fact::StepSucceeded { step: path.clone(), output }, self.clock.now())?;
                return Ok(());
            }
        }
        if let Some(index) = self.failed_call(cell, path) {
            self.clear_failed(cell, index)?;
        }
        let mut core = cell.core.lock();
        let state = core.state.step(path).cloned().unwrap_or_default();
        let calls: Vec<_> = state.body.iter().map(|index| &core.state.calls[*index]).collect();
        let last_failed = calls.last().is_some_and(|call| matches!(call.outcome, Some(Outcome::Error { .. })));
        let keep = if last_failed {
            calls.len() - 1
        } else {
            calls.iter().rposition(|call| matches!(call.kind, CallKind::Effect { .. })).map_or(0, |last| last + 1)
        };
        let keep = u32::try_from(keep).unwrap_or(u32::MAX);
        let fact = Fact::StepStarted { step: path.clone(), attempt: state.attempt + 1, inputs: state.inputs, keep };
        core.record(cell, fact, self.clock.now())?;
        Ok(())
    }

    /// The failed effect at the end of an attempt that may have left something behind.
    fn failed_call(&self, cell: &RunCell, path: &StepPath) -> Option<usize> {
        let core = cell.core.lock();
        let index = *core.state.step(path)?.body.last()?;
        let call = &core.state.calls[index];
        let failed = matches!(&call.outcome, Some(Outcome::Error { error }) if matches!(error.class, ErrorClass::Failed | ErrorClass::Unknown));
        (failed && call.is_forward_effect() && call.undone == super::state::Undone::No).then_some(index)
    }

    /// Undoes what a failed effect may have left, so that it can be made again.
    fn clear_failed(&self, cell: &RunCell, index: usize) -> Result<(), EngineError> {
        let request = self.recorded_request(cell, index)?;
        let left = match self.host.reader().probe(&request) {
            Ok(crate::ops::Probe::NotDone) => false,
            Ok(
                crate::ops::Probe::Failed { .. } | crate::ops::Probe::Partial { .. } | crate::ops::Probe::Done { .. },
            ) => true,
            _ => true,
        };
        if left && let Some(undo) = self.undo_of(cell, index)? {
            self.begin_effect(cell, undo)?;
        }
        Ok(())
    }

    fn deadline(&self, cell: &RunCell, step: &Step, path: &StepPath) -> Option<Timestamp> {
        let started = cell.core.lock().state.step(path)?.attempt_started?;
        started.saturating_add(step.timeout?).ok()
    }

    /// `None`: the step has moved on to another status.
    fn run_body(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        step: &Step,
        path: &StepPath,
    ) -> Result<Option<Advance>, EngineError> {
        let scope = self.scope(cell, path);
        let (attempt, inputs, mode) = {
            let core = cell.core.lock();
            let state = core.state.step(path);
            let mode = core.state.header.as_ref().map_or(Mode::Live, |header| header.mode);
            (state.map_or(1, |s| s.attempt), state.map_or(Value::Null, |s| s.inputs.clone()), mode)
        };
        let deadline = self.deadline(cell, step, path);
        let gateway =
            Rc::new(Gateway::new(Arc::clone(self), Arc::clone(cell), path.clone(), Phase::Body, attempt, deadline));
        let outcome = cell.program.body(step, &inputs, &scope, Rc::clone(&gateway) as Rc<dyn Calls>);
        match gateway.into_seal() {
            Some(Seal::Later(at)) => return Ok(Some(Advance::Later(at))),
            Some(Seal::Paused) => return Ok(Some(Advance::Paused)),
            Some(Seal::Stopped) => return Ok(Some(Advance::Stopped)),
            Some(Seal::Broken(error)) => return Err(error),
            Some(Seal::Unknown(why)) => {
                let mut core = cell.core.lock();
                let output = unknown_output(path, &why);
                core.record(cell, Fact::StepSucceeded { step: path.clone(), output }, self.clock.now())?;
                return Ok(None);
            }
            None => {}
        }
        let now = self.clock.now();
        let mut core = cell.core.lock();
        match outcome {
            Ok(output) => {
                let output = self.scrub(output);
                let fact = match &step.verify {
                    Some(verify) if mode != Mode::Plan => Fact::Verifying {
                        step: path.clone(),
                        output,
                        until: now.saturating_add(verify.within).unwrap_or(Timestamp::MAX),
                    },
                    _ => Fact::StepSucceeded { step: path.clone(), output },
                };
                core.record(cell, fact, now)?;
                self.commit(cell, &mut core)?;
            }
            Err(error) if mode == Mode::Plan && (error.unknown || contains_unknown(&scope.steps)) => {
                let output = unknown_output(path, &error.message);
                core.record(cell, Fact::StepSucceeded { step: path.clone(), output }, now)?;
            }
            Err(error) => self.step_failed(cell, &mut core, step, path, error.into_op_error())?,
        }
        Ok(None)
    }

    /// Asks a step's `verify` once: `Ok(Ok(true))` is the only proof.
    fn ask_verify(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        step: &Step,
        path: &StepPath,
        output: &Value,
    ) -> Result<Result<bool, OpError>, EngineError> {
        let Some(verify) = &step.verify else { return Ok(Ok(true)) };
        let mut scope = self.scope(cell, path);
        if let Value::Object(steps) = &mut scope.steps {
            steps.insert(path.step().to_owned(), output.clone());
        }
        let gateway = Rc::new(Gateway::new(Arc::clone(self), Arc::clone(cell), path.clone(), Phase::Verify, 1, None));
        let outcome = cell.program.script(&verify.check, &scope, Some(Rc::clone(&gateway) as Rc<dyn Calls>));
        if let Some(Seal::Broken(error)) = gateway.into_seal() {
            return Err(error);
        }
        Ok(match outcome {
            Ok(Value::Bool(answer)) => Ok(answer),
            Ok(other) => Err(OpError::refused(format!("`verify` of {path} gives {other}, not true or false"))),
            Err(error) => Err(error.into_op_error()),
        })
    }

    fn verify(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        step: &Step,
        path: &StepPath,
        output: Value,
        until: Timestamp,
    ) -> Result<Option<Timestamp>, EngineError> {
        let Some(verify) = &step.verify else { return Ok(None) };
        let answer = self.ask_verify(cell, step, path, &output)?;
        let now = self.clock.now();
        let mut core = cell.core.lock();
        match answer {
            Ok(true) => {
                core.record(cell, Fact::StepSucceeded { step: path.clone(), output }, now)?;
                self.commit(cell, &mut core)?;
                Ok(None)
            }
            // The time is over only after a fresh look.
            _ if now < until && !core.state.is_quiescing() => {
                let every = verify.every.max(Duration::from_millis(10));
                let at = now.saturating_add(every).unwrap_or(Timestamp::MAX);
                Ok(Some(at.min(until)))
            }
            answer => {
                let within = crate::model::amount::format_duration(verify.within);
                let error = match answer {
                    Err(error) => OpError::failed(format!("`verify` was not true within {within}: {}", error.message)),
                    Ok(_) => {
                        OpError::failed(format!("`verify` was not true within {within}: {}", verify.check.value.trim()))
                    }
                };
                self.step_failed(cell, &mut core, step, path, error)?;
                Ok(None)
            }
        }
    }
}

/// How long to wait before another attempt. Jitter comes from the run's seed, so that a replayed run waits as long.
fn delay_before(retry: &crate::playbook::types::Retry, attempt: u32, seed: u64, path: &StepPath) -> Duration {
    let grown =
        retry.delay.as_secs_f64() * retry.backoff.max(1.0).powi(i32::try_from(attempt).unwrap_or(30).saturating_sub(1));
    let capped = grown.min(retry.max_delay.as_secs_f64());
    let mut mixed = seed ^ u64::from(attempt).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    for byte in path.as_str().bytes() {
        mixed = (mixed ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3);
    }
    let fraction = (mixed >> 11) as f64 / (1u64 << 53) as f64;
    let spread = capped * retry.jitter.clamp(0.0, 1.0);
    Duration::from_secs_f64((capped - spread / 2.0 + spread * fraction).clamp(0.0, 86_400.0))
}

impl Engine {
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
