//! Answers a script's calls: from the journal as long as it has them, then by [`super::effect`].
//!
//! The gateway, not the script's result, decides how an evaluation ended: once it is sealed, further calls are refused and
//! whatever the script returned is discarded, since a script can catch nearly every error.

use std::cell::{Cell, RefCell};
use std::sync::Arc;

use super::cell::RunCell;
use super::difference;
use super::driver::Inner;
use super::effect::{Advance, NewCall};
use super::error::EngineError;
use super::state::CallKind;
use crate::journal::record::{Outcome, Pause};
use crate::model::fault::OpError;
use crate::model::secret::REDACTED;
use crate::model::{CallId, Phase, StepPath, Timestamp, Value};
use crate::ops::{Effect, OpEntry};
use crate::script::{Calls, ScriptError, Stop};

/// Why an evaluation is over before its script is.
#[derive(Debug)]
pub enum Seal {
    /// It waits until then.
    Later(Timestamp),
    /// It waits for a person.
    Paused,
    /// Nothing new may begin.
    Stopped,
    /// The engine cannot go on.
    Broken(EngineError),
}

/// The calls of one phase of one step instance.
pub struct Gateway {
    pub(super) inner: Arc<Inner>,
    pub(super) cell: Arc<RunCell>,
    step: StepPath,
    phase: Phase,
    attempt: u32,
    deadline: Option<Timestamp>,
    next: Cell<u32>,
    seal: RefCell<Option<Seal>>,
}

impl Gateway {
    pub(super) fn new(
        inner: Arc<Inner>,
        cell: Arc<RunCell>,
        step: StepPath,
        phase: Phase,
        attempt: u32,
        deadline: Option<Timestamp>,
    ) -> Self {
        Self { inner, cell, step, phase, attempt, deadline, next: Cell::new(0), seal: RefCell::new(None) }
    }

    /// Why the evaluation is over, if it is not because the script ended like this. A script that ended before it had asked for
    /// all its recorded calls has diverged, unless one of our limits cut it short.
    pub fn into_seal(&self, outcome: &Result<Value, ScriptError>) -> Option<Seal> {
        if let Some(seal) = self.seal.borrow_mut().take() {
            return Some(seal);
        }
        let cut_short = matches!(outcome, Err(error) if error.limit.is_some());
        if self.phase == Phase::Verify || cut_short {
            return None;
        }
        let core = self.cell.core.lock();
        let step = core.state.step(&self.step)?;
        let recorded = match self.phase {
            Phase::Body => &step.body,
            _ => return None,
        };
        let next = self.next.get() as usize;
        recorded.get(next).map(|index| {
            let call = &core.state.calls[*index];
            Seal::Broken(EngineError::Diverged {
                call: call.id.to_string(),
                asked: "nothing more".to_owned(),
                recorded: format!("{} {}", call.op, call.args),
            })
        })
    }

    pub(super) fn seal(&self, seal: Seal) -> Stop {
        self.seal.borrow_mut().get_or_insert(seal);
        Stop::Sealed
    }

    fn id(&self, seq: u32) -> CallId {
        CallId { step: self.step.clone(), phase: self.phase, attempt: self.attempt, seq }
    }

    /// The recorded call of this number. Rollback scripts have their calls among the step's undos: they count their own.
    fn recorded(&self, number: u32) -> Option<usize> {
        let core = self.cell.core.lock();
        let step = core.state.step(&self.step)?;
        match self.phase {
            Phase::Body => step.body.get(number as usize).copied(),
            Phase::Rollback => step
                .rollback
                .iter()
                .skip(step.rollback_from)
                .filter(|index| !matches!(&core.state.calls[**index].kind, CallKind::Effect { undoes: Some(_), .. }))
                .nth(number as usize)
                .copied(),
            Phase::Verify => None,
        }
    }

    /// The place of a call not yet recorded.
    pub(super) fn new_id(&self) -> CallId {
        let core = self.cell.core.lock();
        let step = core.state.step(&self.step);
        let seq = match self.phase {
            Phase::Body => step.map_or(0, |step| step.body.len()),
            _ => step.map_or(0, |step| step.rollback.len()),
        };
        self.id(u32::try_from(seq).unwrap_or(u32::MAX))
    }

    pub(super) fn answer(&self, outcome: Outcome) -> Result<Value, Stop> {
        match outcome {
            Outcome::Done { result, .. } => Ok(result),
            Outcome::Error { error } => Err(Stop::Failed(error)),
        }
    }

    fn replay(&self, index: usize, op: &OpEntry, args: &Value) -> Result<Value, Stop> {
        let (kind, outcome) = {
            let core = self.cell.core.lock();
            let call = &core.state.calls[index];
            if call.op != op.name || call.args != *args {
                let asked = format!("{} {}", op.name, args);
                let recorded = format!("{} {}", call.op, call.args);
                let call = call.id.to_string();
                drop(core);
                return Err(self.seal(Seal::Broken(EngineError::Diverged { call, asked, recorded })));
            }
            if call.revision != op.revision {
                let (recorded, run) = (call.revision, self.cell.id.clone());
                drop(core);
                return Err(self.seal(Seal::Broken(EngineError::Revision {
                    run,
                    op: op.name.to_owned(),
                    recorded,
                    known: op.revision,
                })));
            }
            (matches!(call.kind, CallKind::Wait { .. }), call.outcome.clone())
        };
        if let Some(outcome) = outcome {
            return self.answer(outcome);
        }
        let advance = if kind {
            if self.cell.core.lock().state.is_quiescing() && self.phase == Phase::Body {
                Ok(Advance::Stopped)
            } else {
                self.inner.continue_wait(&self.cell, index, self.deadline)
            }
        } else {
            self.inner.follow(&self.cell, index, self.deadline)
        };
        self.settle(index, advance)
    }

    fn settle(&self, index: usize, advance: Result<Advance, EngineError>) -> Result<Value, Stop> {
        match advance {
            Ok(Advance::Ended) => {
                let outcome = self.cell.core.lock().state.calls[index].outcome.clone();
                match outcome {
                    Some(outcome) => self.answer(outcome),
                    None => Err(self.seal(Seal::Stopped)),
                }
            }
            Ok(Advance::Later(at)) => Err(self.seal(Seal::Later(at))),
            Ok(Advance::Paused) => Err(self.seal(Seal::Paused)),
            Ok(Advance::Stopped) => Err(self.seal(Seal::Stopped)),
            Err(error) => Err(self.seal(Seal::Broken(error))),
        }
    }

    fn fresh(&self, op: &'static OpEntry, args: Value) -> Result<Value, Stop> {
        let id = self.new_id();
        let call = NewCall { id: id.clone(), op, args, undoes: None, deadline: self.deadline };
        let advance = match self.objection(op, &call.args) {
            Some(error) => self.inner.refuse(&self.cell, call, error),
            None if op.effect.writes() => self.effect(call),
            None if matches!(op.effect, Effect::Wait | Effect::Ask) => self.inner.begin_wait(&self.cell, call),
            None if op.effect == Effect::Log => self.inner.note(&self.cell, call),
            None => self.inner.read(&self.cell, call),
        };
        let index = self.cell.core.lock().state.index_of(&id);
        match (index, advance) {
            (Some(index), advance) => self.settle(index, advance),
            (None, Ok(Advance::Paused)) => Err(self.seal(Seal::Paused)),
            (None, Ok(Advance::Later(at))) => Err(self.seal(Seal::Later(at))),
            (None, Err(error)) => Err(self.seal(Seal::Broken(error))),
            (None, Ok(_)) => Err(self.seal(Seal::Stopped)),
        }
    }

    /// An effect: approved where it has to be, and in the plan or in what was approved.
    fn effect(&self, call: NewCall) -> Result<Advance, EngineError> {
        let shared = super::fence::shared(&self.cell.core.lock().state, call.op, &call.args);
        if self.phase == Phase::Body && !self.inner.is_approved(&self.cell, &self.step, shared.as_deref())? {
            return Ok(Advance::Paused);
        }
        match self.leaves_plan(&call)? {
            None => self.inner.begin_effect(&self.cell, call),
            Some(effect) => {
                let approved = self.cell.core.lock().state.plan.is_none();
                self.inner.pause(&self.cell, Pause::OutsidePlan { step: self.step.clone(), effect, approved })
            }
        }
    }

    /// What the call would do, if the plan that the run is bound to, or what was approved, does not have it there. Undoing is in
    /// every plan.
    fn leaves_plan(&self, call: &NewCall) -> Result<Option<String>, EngineError> {
        if self.phase != Phase::Body {
            return Ok(None);
        }
        let Some(bound) = self.cell.bound_of(self.inner.store.as_ref(), &self.step)? else { return Ok(None) };
        let core = self.cell.core.lock();
        let body = core.state.step(&self.step).map_or(&[][..], |step| &step.body);
        let effects = body.iter().map(|index| &core.state.calls[*index]);
        let effects = effects.filter(|call| matches!(call.kind, CallKind::Effect { .. }));
        let mut made: Vec<(&str, &Value)> = effects.map(|call| (call.op.as_str(), &call.args)).collect();
        made.push((call.op.name, &call.args));
        if bound.admits(&self.step, &made) {
            return Ok(None);
        }
        let resource = (call.op.resource)(&call.args);
        let effect = format!("{} {resource}", call.op.name);
        // Of the effects of this kind that the step may have, the one that is most like it.
        let planned = bound.steps.get(&self.step).map_or(&[][..], |paths| &paths.effects);
        let planned = planned.iter().filter(|one| one.op == call.op.name);
        let nearest = planned.map(|one| &one.args).min_by_key(|args| difference::parts(args, &call.args).len());
        Ok(Some(match nearest.map(|args| difference::from_plan(args, &call.args)) {
            Some(how) if !how.is_empty() => format!("{effect}: {how}"),
            _ => effect,
        }))
    }

    /// Why the call must not be made.
    fn objection(&self, op: &OpEntry, args: &Value) -> Option<OpError> {
        if let Some(error) = objection(&self.cell, op, args) {
            return Some(error);
        }
        // Effects only: a read costs nothing, and the error of the late effect names the step's deadline.
        let late = self.deadline.is_some_and(|deadline| self.inner.clock.now() >= deadline);
        if late && op.effect.writes() {
            return Some(OpError::failed(format!("the step's time was over before {} could begin", op.name)));
        }
        None
    }

    /// A call of `verify`: reads only, never recorded.
    fn verified(&self, op: &'static OpEntry, args: Value) -> Result<Value, Stop> {
        if !matches!(op.effect, Effect::Read | Effect::Value) {
            return Err(Stop::Failed(OpError::denied(format!(
                "{} is no reading operation: `verify` may only read",
                op.name
            ))));
        }
        if let Some(error) = self.objection(op, &args) {
            return Err(Stop::Failed(error));
        }
        let request = crate::ops::Request {
            run: self.cell.id.clone(),
            op,
            args,
            key: String::new(),
            before: Value::Null,
            deadline: self.deadline,
        };
        match self.inner.check_secrets(&self.cell, &self.step, &request) {
            Ok(None) => self.inner.host.reader().read(&request).map_err(Stop::Failed),
            Ok(Some(_)) => Err(self.seal(Seal::Paused)),
            Err(error) => Err(self.seal(Seal::Broken(error))),
        }
    }
}

impl Calls for Gateway {
    fn call(&self, op: &'static OpEntry, args: Value) -> Result<Value, Stop> {
        if self.seal.borrow().is_some() {
            return Err(Stop::Sealed);
        }
        if self.phase == Phase::Verify {
            return self.verified(op, args);
        }
        let number = self.next.get();
        self.next.set(number + 1);
        // What the script asked for is compared as it was recorded: without secrets.
        let args = self.inner.scrub(args);
        if let Some(index) = self.recorded(number) {
            return self.replay(index, op, &args);
        }
        {
            let core = self.cell.core.lock();
            if core.failure.is_some() || core.parking || (self.phase == Phase::Body && core.state.is_quiescing()) {
                drop(core);
                return Err(self.seal(Seal::Stopped));
            }
        }
        self.fresh(op, args)
    }
}

/// Whether a text or a name somewhere in a value has this in it.
fn mentions(value: &Value, what: &str) -> bool {
    match value {
        Value::String(text) => text.contains(what),
        Value::Array(items) => items.iter().any(|item| mentions(item, what)),
        Value::Object(fields) => fields.iter().any(|(name, field)| name.contains(what) || mentions(field, what)),
        Value::Null | Value::Bool(_) | Value::Number(_) => false,
    }
}

/// Why a call must not be made, whatever the time is: its arguments do not fit, or it is not granted.
pub(super) fn objection(cell: &RunCell, op: &OpEntry, args: &Value) -> Option<OpError> {
    if let Err(message) = (op.check_args)(args) {
        return Some(
            OpError::refused(format!("arguments of {} do not fit: {message}", op.name))
                .with_hint(format!("`muster ops {}` shows what it takes", op.name)),
        );
    }
    if !matches!(op.effect, Effect::Log | Effect::Value)
        && let Err(error) = super::capability::check(&cell.granted, op.name, args)
    {
        return Some(error);
    }
    if op.effect != Effect::Log && mentions(args, REDACTED) {
        return Some(
            OpError::refused(format!("an argument of {} was redacted: it would be taken for {REDACTED}", op.name))
                .with_hint("hand the secret on as a handle, or let an operation copy the file whole"),
        );
    }
    None
}
