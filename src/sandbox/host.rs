//! The sandbox as host: the engine's two traits over a shared world.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use parking_lot::Mutex;

use super::controllers;
use super::custom;
use super::fault::{Action, Moment};
use super::kept::KeptWorlds;
use super::models::{self, Call, Effect, Model};
use super::world::{Child, ChildEnd, Completed, World};
use crate::clock::Clock;
use crate::model::fault::{OpError, Target};
use crate::model::secret::Redactor;
use crate::model::{RunId, Timestamp, Value};
use crate::ops::host::{Polled, Probe, ReadHost, Request, Sent, WriteHost};
use crate::ops::spec::OpEntry;

/// The reading half: what a plan of a sandbox run gets.
#[derive(Clone)]
pub struct SandboxReader {
    world: Arc<Mutex<World>>,
    clock: Arc<dyn Clock>,
    redactor: Arc<Redactor>,
    stopped: Arc<AtomicBool>,
}

/// Both halves.
pub struct SandboxHost {
    reader: SandboxReader,
    hook: Option<Hook>,
    kept: Option<KeptWorlds>,
}

/// What is asked before and after each send.
pub type Hook = Box<dyn Fn(&Request, Moment) -> Action + Send + Sync>;

fn model_of(op: &'static OpEntry) -> Result<&'static Model, OpError> {
    models::model(op.name).ok_or_else(|| {
        OpError::refused(format!("cannot perform {}: the sandbox has no model of it", op.name))
            .with_hint("run it live, or leave the step out of the rehearsal")
    })
}

fn effect_of(op: &'static OpEntry) -> Result<&'static Effect, OpError> {
    match model_of(op)? {
        Model::Write(effect) => Ok(effect),
        Model::Read(_) | Model::Wait(_) => Err(not_that_kind(op)),
    }
}

fn not_that_kind(op: &OpEntry) -> OpError {
    OpError::refused(format!("{} is an operation of another kind ({:?})", op.name, op.effect))
}

impl SandboxReader {
    /// Reads this world, with time by this clock.
    #[must_use]
    pub fn new(world: Arc<Mutex<World>>, clock: Arc<dyn Clock>, redactor: Arc<Redactor>) -> Self {
        Self { world, clock, redactor, stopped: Arc::default() }
    }

    /// Lets time pass in the world, then lets `look` at it.
    fn with<T>(
        &self,
        request: &Request,
        look: impl FnOnce(&mut World, &Call<'_>) -> Result<T, OpError>,
    ) -> Result<T, OpError> {
        self.going()?;
        let mut world = self.world.lock();
        let now = self.clock.now();
        settle(&mut world, now, &self.redactor);
        look(&mut world, &self.call(request, now))
    }

    fn call<'c>(&'c self, request: &'c Request, now: Timestamp) -> Call<'c> {
        Call {
            run: &request.run,
            op: request.op.name,
            key: &request.key,
            args: &request.args,
            before: &request.before,
            now,
            redactor: &self.redactor,
        }
    }

    fn going(&self) -> Result<(), OpError> {
        if self.stopped.load(Ordering::SeqCst) {
            return Err(OpError::unknown("the engine was stopped here"));
        }
        Ok(())
    }
}

/// Brings the world to this instant: what supervised programs were at is done when their time is over.
pub fn settle(world: &mut World, now: Timestamp, redactor: &Redactor) {
    world.now = world.now.max(now);
    custom::settle(world);
    let mut due: Vec<(Timestamp, String)> = world
        .children
        .iter()
        .filter(|(_, child)| child.ended.is_none() && child.ends <= now)
        .map(|(key, child)| (child.ends, key.clone()))
        .collect();
    due.sort();
    for (at, key) in due {
        let Some(child) = world.children.get(&key).cloned() else { continue };
        let ended = match models::models().get_key_value(child.op.as_str()) {
            Some((op, Model::Write(effect))) => {
                let (run, args, before) = (&child.run, &child.args, &child.before);
                let call = Call { run, op, key: &key, args, before, now: at, redactor };
                (effect.act)(world, &call)
            }
            _ => Err(OpError::refused(format!("the sandbox has no model of {}", child.op))),
        };
        if ended.is_ok() {
            world.effects.push(Completed { key: key.clone(), op: child.op.clone() });
        }
        if let Some(child) = world.children.get_mut(&key) {
            child.ended = Some(match ended {
                Ok(result) => ChildEnd::Done(result),
                Err(error) => ChildEnd::Failed(error),
            });
        }
    }
    let manner = world.manner();
    controllers::settle(&mut world.kubernetes, now, manner);
}

impl ReadHost for SandboxReader {
    fn read(&self, request: &Request) -> Result<Value, OpError> {
        match model_of(request.op)? {
            Model::Read(read) => self.with(request, read),
            Model::Wait(_) | Model::Write(_) => Err(not_that_kind(request.op)),
        }
    }

    fn poll(&self, request: &Request) -> Result<Polled, OpError> {
        match model_of(request.op)? {
            Model::Wait(poll) => self.with(request, |world, call| poll(world, call)),
            Model::Read(_) | Model::Write(_) => Err(not_that_kind(request.op)),
        }
    }

    fn before(&self, request: &Request) -> Result<Value, OpError> {
        let effect = effect_of(request.op)?;
        self.with(request, |world, call| (effect.before)(world, call))
    }

    fn probe(&self, request: &Request) -> Result<Probe, OpError> {
        let effect = effect_of(request.op)?;
        self.with(request, |world, call| {
            if effect.child.is_some()
                && let Some(child) = world.children.get(call.key)
            {
                match &child.ended {
                    None => return Ok(Probe::Running { progress: None }),
                    Some(ChildEnd::Done(result)) => return Ok(Probe::Done { result: result.clone() }),
                    Some(ChildEnd::Failed(error)) => return Ok(Probe::Failed { error: error.clone() }),
                    Some(ChildEnd::Lost) => {}
                }
            }
            (effect.probe)(world, call)
        })
    }

    fn fingerprint(&self, request: &Request, result: &Value) -> Result<Value, OpError> {
        let effect = effect_of(request.op)?;
        self.with(request, |world, call| (effect.fingerprint)(world, call, result))
    }

    fn target(&self, request: &Request) -> Result<Option<Target>, OpError> {
        self.with(request, |world, call| models::target(world, call))
    }
}

impl SandboxHost {
    /// Works on this world, with time by this clock.
    #[must_use]
    pub fn new(world: Arc<Mutex<World>>, clock: Arc<dyn Clock>, redactor: Arc<Redactor>) -> Self {
        Self { reader: SandboxReader::new(world, clock, redactor), hook: None, kept: None }
    }

    /// Asks `hook` before and after each send what is to happen.
    #[must_use]
    pub fn on_send(mut self, hook: Hook) -> Self {
        self.hook = Some(hook);
        self
    }

    /// Keeps the world on disk after every effect.
    #[must_use]
    pub fn keeping(mut self, kept: KeptWorlds) -> Self {
        self.kept = Some(kept);
        self
    }

    fn keep(&self, key: &str) -> Result<(), OpError> {
        let Some(kept) = &self.kept else { return Ok(()) };
        kept.keep(&self.reader.world.lock(), Some(key)).map_err(|error| {
            let folder = kept.folder().display();
            OpError::unknown(format!("cannot keep the sandbox's world in {folder}: {error}"))
        })
    }

    /// The reading half alone.
    #[must_use]
    pub fn reader(&self) -> SandboxReader {
        self.reader.clone()
    }

    /// The world it works on.
    #[must_use]
    pub fn world(&self) -> Arc<Mutex<World>> {
        Arc::clone(&self.reader.world)
    }

    /// Whether the engine was stopped at this host: it answers nothing any more.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        self.reader.stopped.load(Ordering::SeqCst)
    }

    /// Stops the engine here, as a kill would: every further call is answered by an error. Supervised programs go on.
    pub fn stop(&self) {
        self.reader.stopped.store(true, Ordering::SeqCst);
    }

    /// Another host over the same world, without a hook: what an engine finds that is started after the one of this host was
    /// stopped.
    #[must_use]
    pub fn revive(&self) -> Self {
        let SandboxReader { world, clock, redactor, .. } = self.reader.clone();
        Self::new(world, clock, redactor)
    }

    fn ask(&self, request: &Request, moment: Moment) -> Action {
        self.hook.as_ref().map_or(Action::Go, |hook| hook(request, moment))
    }

    fn try_send(&self, request: &Request) -> Result<Sent, OpError> {
        self.reader.going()?;
        let effect = effect_of(request.op)?;
        match self.ask(request, Moment::Before) {
            Action::Go => {}
            Action::Fail(error) => return Err(error),
            Action::Stop => {
                self.stop();
                return self.reader.going().map(|()| Sent::Running);
            }
            Action::Half { stop } => {
                self.reader.with(request, |world, call| {
                    do_half(effect, world, call);
                    Ok(())
                })?;
                if stop {
                    self.stop();
                }
                return Err(OpError::unknown(format!(
                    "cannot tell what became of {}: connection lost",
                    request.op.name
                )));
            }
        }
        let sent = self.reader.with(request, |world, call| self.act(effect, world, call));
        match self.ask(request, Moment::After) {
            Action::Go => sent,
            Action::Fail(error) => Err(error),
            Action::Stop | Action::Half { .. } => {
                self.stop();
                Err(OpError::unknown("the engine was stopped here"))
            }
        }
    }

    fn act(&self, effect: &Effect, world: &mut World, call: &Call<'_>) -> Result<Sent, OpError> {
        let Some(takes) = effect.child else {
            let known = (effect.known)(world, call);
            let result = (effect.act)(world, call)?;
            if !known {
                world.effects.push(Completed { key: call.key.to_owned(), op: call.op.to_owned() });
            }
            return Ok(Sent::Done(result));
        };
        // A status that is there already belongs to a former try of the same call.
        if let Some(child) = world.children.get(call.key)
            && child.ended.is_none()
        {
            return Ok(Sent::Running);
        }
        let wait = std::time::Duration::from_millis(takes(world, call).min(86_400_000));
        world.children.insert(call.key.to_owned(), Child { ended: None, ..child_of(call, wait) });
        Ok(Sent::Running)
    }
}

fn child_of(call: &Call<'_>, wait: std::time::Duration) -> Child {
    Child {
        run: call.run.clone(),
        op: call.op.to_owned(),
        args: call.args.clone(),
        before: call.before.clone(),
        started: call.now,
        ends: call.now.saturating_add(wait).unwrap_or(Timestamp::MAX),
        ended: Some(ChildEnd::Lost),
    }
}

/// Does half of an effect: what a kill of all who work on it leaves.
fn do_half(effect: &Effect, world: &mut World, call: &Call<'_>) {
    if let Some(half) = effect.half {
        half(world, call);
    }
    if effect.child.is_some() {
        world.children.insert(call.key.to_owned(), child_of(call, std::time::Duration::ZERO));
    }
}

impl ReadHost for SandboxHost {
    fn read(&self, request: &Request) -> Result<Value, OpError> {
        self.reader.read(request)
    }

    fn poll(&self, request: &Request) -> Result<Polled, OpError> {
        self.reader.poll(request)
    }

    fn before(&self, request: &Request) -> Result<Value, OpError> {
        self.reader.before(request)
    }

    fn probe(&self, request: &Request) -> Result<Probe, OpError> {
        self.reader.probe(request)
    }

    fn fingerprint(&self, request: &Request, result: &Value) -> Result<Value, OpError> {
        self.reader.fingerprint(request, result)
    }

    fn target(&self, request: &Request) -> Result<Option<Target>, OpError> {
        self.reader.target(request)
    }
}

impl WriteHost for SandboxHost {
    fn send(&self, request: &Request) -> Result<Sent, OpError> {
        let sent = self.try_send(request);
        self.keep(&request.key)?;
        sent
    }

    fn release(&self, request: &Request) {
        let Ok(effect) = effect_of(request.op) else { return };
        let released = self.reader.with(request, |world, call| {
            (effect.release)(world, call);
            world.children.remove(call.key);
            Ok(())
        });
        // A stopped engine releases nothing: the next one does.
        let _ = released;
    }

    fn finish_run(&self, run: &RunId) {
        if self.is_stopped() {
            return;
        }
        let mut world = self.reader.world.lock();
        for path in world.kept.remove(run.as_str()).unwrap_or_default() {
            world.files.remove(&path);
        }
        drop(world);
        // The run has ended: nobody resumes it, and a world that is not kept is only not shown.
        let _ = self.keep("end");
    }
}
