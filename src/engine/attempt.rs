//! An attempt at a step: its body, the proof by `verify`, failure, and another attempt.

use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use super::cell::{Core, RunCell};
use super::driver::{Host, Inner};
use super::effect::Advance;
use super::error::EngineError;
use super::gateway::{Gateway, Seal};
use super::state::{CallKind, StepStatus};
use super::unwind::engine_actor;
use crate::journal::record::{Fact, Outcome, Pause};
use crate::model::fault::{ErrorClass, OpError};
use crate::model::{Phase, StepPath, Timestamp, Value};
use crate::playbook::types::{OnFailure, Step};
use crate::script::{Calls, ScriptError};

impl Inner {
    /// Runs or replays a step's body, or asks its `verify`. The instant it waits for, if it waits for one.
    pub(super) fn work(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        path: &StepPath,
    ) -> Result<Option<Timestamp>, EngineError> {
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
                    if !self.begin_attempt(cell, step, path)? {
                        return Ok(None);
                    }
                }
                _ => return Ok(None),
            }
        }
    }

    /// Another attempt: earlier calls are kept and replayed, the failing one is made again. `false` when a person has to see to
    /// something first.
    fn begin_attempt(self: &Arc<Self>, cell: &Arc<RunCell>, step: &Step, path: &StepPath) -> Result<bool, EngineError> {
        let unverified = cell.core.lock().state.step(path).and_then(|state| state.unverified.clone());
        if let (Some(output), Some(_)) = (unverified, &step.verify) {
            // What failed was the proof: look once more before doing anything again.
            match self.ask_verify(cell, step, path, &output)? {
                Some(Ok(true)) => {
                    let mut core = cell.core.lock();
                    core.record(cell, Fact::StepSucceeded { step: path.clone(), output }, self.clock.now())?;
                    return Ok(true);
                }
                Some(_) => {}
                None => return Ok(false),
            }
        }
        if let Some(index) = self.failed_call(cell, path) {
            match self.clear_failed(cell, path, index)? {
                Advance::Paused => return Ok(false),
                Advance::Ended | Advance::Later(_) | Advance::Stopped => {}
            }
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
        Ok(true)
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
    fn clear_failed(&self, cell: &RunCell, path: &StepPath, index: usize) -> Result<Advance, EngineError> {
        let request = self.recorded_request(cell, index)?;
        if let Host::Planning(host) = &self.host {
            if !matches!(host.probe(&request), Ok(crate::ops::Probe::NotDone))
                && let Some(undo) = self.undo_of(cell, index)?
            {
                let mut request = self.request(cell, undo.op, undo.args, None);
                request.key = super::effect::key_of(&cell.id, &undo.id, 0);
                host.foresee(&request);
            }
            return Ok(Advance::Ended);
        }
        if let Some(stop) = self.check_secrets(cell, path, &request)? {
            return Ok(stop);
        }
        let left = match self.host.reader().probe(&request) {
            Ok(crate::ops::Probe::NotDone) => false,
            Ok(
                crate::ops::Probe::Failed { .. } | crate::ops::Probe::Partial { .. } | crate::ops::Probe::Done { .. },
            ) => true,
            _ => true,
        };
        if left && let Some(undo) = self.undo_of(cell, index)? {
            return self.begin_effect(cell, undo);
        }
        Ok(Advance::Ended)
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
        if matches!(self.host, Host::Planning(_)) {
            self.foresee_body(cell, step, path)?;
            return Ok(None);
        }
        let scope = self.scope(cell, path);
        let (attempt, inputs) = {
            let core = cell.core.lock();
            let state = core.state.step(path);
            (state.map_or(1, |s| s.attempt), state.map_or(Value::Null, |s| s.inputs.clone()))
        };
        let deadline = self.deadline(cell, step, path);
        let gateway =
            Rc::new(Gateway::new(Arc::clone(self), Arc::clone(cell), path.clone(), Phase::Body, attempt, deadline));
        let outcome = cell.program.body(step, &inputs, &scope, Rc::clone(&gateway) as Rc<dyn Calls>);
        match gateway.into_seal(&outcome) {
            Some(Seal::Later(at)) => return Ok(Some(Advance::Later(at))),
            Some(Seal::Paused) => return Ok(Some(Advance::Paused)),
            Some(Seal::Stopped) => return Ok(Some(Advance::Stopped)),
            Some(Seal::Broken(error)) => return Err(error),
            None => {}
        }
        let now = self.clock.now();
        let mut core = cell.core.lock();
        match outcome {
            Ok(output) => {
                let output = self.scrub(output);
                let fact = match &step.verify {
                    Some(verify) => Fact::Verifying {
                        step: path.clone(),
                        output,
                        until: now.saturating_add(verify.within).unwrap_or(Timestamp::MAX),
                    },
                    None => Fact::StepSucceeded { step: path.clone(), output },
                };
                core.record(cell, fact, now)?;
                self.commit(cell, &mut core)?;
            }
            Err(error) if error.is_overtime() => {
                self.overtime(cell, &mut core, path, &error)?;
                return Ok(Some(Advance::Paused));
            }
            Err(error) => self.step_failed(cell, &mut core, step, path, error.into_op_error())?,
        }
        Ok(None)
    }

    /// A script was stopped for the time it took. Nobody can tell whether that is its own fault or the machine's, so it is no
    /// failure: a person decides.
    pub(super) fn overtime(
        &self,
        cell: &RunCell,
        core: &mut Core,
        path: &StepPath,
        error: &ScriptError,
    ) -> Result<(), EngineError> {
        let message = format!("{error}; the machine may have been slow, and every recorded call is kept");
        let pause = Pause::Overtime { step: path.clone(), message };
        core.record(cell, Fact::Paused { pause }, self.clock.now())?;
        self.commit(cell, core)
    }

    /// Asks a step's `verify` once: `Some(Ok(true))` is the only proof. `None` when a person has to see to something first.
    fn ask_verify(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        step: &Step,
        path: &StepPath,
        output: &Value,
    ) -> Result<Option<Result<bool, OpError>>, EngineError> {
        let Some(verify) = &step.verify else { return Ok(Some(Ok(true))) };
        let mut scope = self.scope(cell, path);
        if let Value::Object(steps) = &mut scope.steps {
            steps.insert(path.step().to_owned(), output.clone());
        }
        let gateway = Rc::new(Gateway::new(Arc::clone(self), Arc::clone(cell), path.clone(), Phase::Verify, 1, None));
        let outcome = cell.program.script(&verify.check, &scope, Some(Rc::clone(&gateway) as Rc<dyn Calls>));
        match gateway.into_seal(&outcome) {
            Some(Seal::Broken(error)) => return Err(error),
            Some(Seal::Paused) => return Ok(None),
            _ => {}
        }
        Ok(Some(match outcome {
            Ok(Value::Bool(answer)) => Ok(answer),
            Ok(other) => Err(OpError::refused(format!("`verify` of {path} gives {other}, not true or false"))),
            Err(error) if error.is_overtime() => {
                self.overtime(cell, &mut cell.core.lock(), path, &error)?;
                return Ok(None);
            }
            Err(error) => match error.into_op_error() {
                // Fresh ones may prove it: it has not failed.
                error if error.class == ErrorClass::Credentials => {
                    self.pause(cell, Pause::Credentials { step: path.clone(), message: error.message })?;
                    return Ok(None);
                }
                error => Err(error),
            },
        }))
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
        let Some(answer) = self.ask_verify(cell, step, path, &output)? else { return Ok(None) };
        let now = self.clock.now();
        let mut core = cell.core.lock();
        match answer {
            Ok(true) => {
                core.record(cell, Fact::StepSucceeded { step: path.clone(), output }, now)?;
                self.commit(cell, &mut core)?;
                Ok(None)
            }
            // What is not allowed will not be by waiting.
            Err(error) if error.denied => {
                let error = OpError { message: format!("`verify` was denied: {}", error.message), ..error };
                self.step_failed(cell, &mut core, step, path, error)?;
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

    /// Records a failure, and what follows from it at once.
    pub(super) fn step_failed(
        &self,
        cell: &RunCell,
        core: &mut Core,
        step: &Step,
        path: &StepPath,
        error: OpError,
    ) -> Result<(), EngineError> {
        let now = self.clock.now();
        let attempt = core.state.step(path).map_or(0, |state| state.attempt);
        // A plan sees the same world again: another attempt would end as this one did.
        let planning = core.state.is_plan();
        let may_retry = !matches!(error.class, ErrorClass::Refused) && !planning;
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
        // In the plan of a rest there are real effects, which are not to be undone.
        if step.on_failure == OnFailure::Rollback
            && core.state.drill.is_none()
            && !core.state.is_quiescing()
            && core.state.rest.is_none()
        {
            let fact = Fact::RollbackBegun { to: None, only: None, by: engine_actor(), reason, force: false };
            core.record(cell, fact, now)?;
        }
        self.commit(cell, core)
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
