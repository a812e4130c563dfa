//! Undoing: settle what is in doubt, then undo effects one at a time, in descending order of their intents over the whole run.

use std::rc::Rc;
use std::sync::Arc;

use super::cell::RunCell;
use super::difference;
use super::driver::Inner;
use super::effect::{Advance, UNVERIFIED};
use super::error::EngineError;
use super::gateway::{Gateway, Seal};
use super::state::{CallKind, CallState, Rollback, RunState, StepStatus, Undone};
use crate::journal::record::{Fact, Outcome, Pause, UndoPlan};
use crate::model::command::Actor;
use crate::model::status::RunStatus;
use crate::model::{Phase, StepPath, Value};
use crate::ops::spec::{Backend, Later};
use crate::script::{Calls, Program};

/// The next thing to undo.
#[derive(Clone, Debug, PartialEq)]
pub enum Candidate {
    /// A call, by its number.
    Call(usize),
    /// A step that has its own `rollback`; the call is its last intent.
    Step(StepPath, usize),
}

/// The effects a rollback covers that are not undone yet, the latest first. A step with its own `rollback` counts as one
/// effect, at its last intent.
#[must_use]
pub fn candidates(program: &Program, state: &RunState, rollback: &Rollback) -> Vec<Candidate> {
    let floor = rollback.to.as_ref().map_or(0, |to| {
        state
            .calls
            .iter()
            .filter(|call| call.id.step == *to || call.id.step.step() == to.as_str())
            .map(|call| call.seq + 1)
            .max()
            .unwrap_or(state.step(to).map_or(0, |step| step.began_seq + 1))
    });
    let mut found = Vec::new();
    let mut seen_steps: Vec<&StepPath> = Vec::new();
    for (index, call) in state.calls.iter().enumerate().rev() {
        let covered =
            rollback.only.as_ref().is_none_or(|only| call.id.step == *only || call.id.step.step() == only.as_str());
        if !call.is_forward_effect() || call.seq < floor || !covered || call.undone != Undone::No {
            continue;
        }
        let own = program.playbook.step(call.id.step.step()).is_some_and(|step| step.rollback.is_some());
        if own {
            let done = state.step(&call.id.step).is_some_and(|step| step.rolled_back);
            if !done && !seen_steps.contains(&&call.id.step) && call.may_have_left_something() {
                seen_steps.push(&call.id.step);
                found.push(Candidate::Step(call.id.step.clone(), index));
            }
            continue;
        }
        let CallKind::Effect { undo, .. } = &call.kind else { continue };
        if *undo != UndoPlan::Nothing && call.may_have_left_something() {
            found.push(Candidate::Call(index));
        }
    }
    found
}

/// The step whose point of no return a rollback would come to, and stop.
#[must_use]
pub fn stops_at(program: &Program, state: &RunState, rollback: &Rollback) -> Option<StepPath> {
    let crossed = |step: &StepPath| state.step(step).is_some_and(|step| step.no_return);
    candidates(program, state, rollback).into_iter().find_map(|candidate| {
        let step = match candidate {
            Candidate::Call(index) => state.calls.get(index)?.id.step.clone(),
            Candidate::Step(step, _) => step,
        };
        crossed(&step).then_some(step)
    })
}

impl Inner {
    /// One turn of undoing. Goes on until it has to wait, a person is needed, or it is over.
    pub(super) fn unwind(self: &Arc<Self>, cell: &Arc<RunCell>) -> Result<Advance, EngineError> {
        loop {
            // First what is in doubt, undos included.
            let open = {
                let core = cell.core.lock();
                if core.state.finished.is_some() || !core.state.is_quiescing() {
                    return Ok(Advance::Ended);
                }
                let effect = |call: &CallState| matches!(call.kind, CallKind::Effect { .. });
                core.state.open_calls().find(|(_, call)| effect(call)).map(|(index, _)| index)
            };
            if let Some(index) = open {
                match self.follow(cell, index, None)? {
                    Advance::Ended => continue,
                    other => return Ok(other),
                }
            }
            let (rollback, cancelling) = {
                let core = cell.core.lock();
                (core.state.rollback.clone(), core.state.cancelling.clone())
            };
            let Some(rollback) = rollback else {
                let Some((by, no_rollback)) = cancelling else { return Ok(Advance::Ended) };
                let mut core = cell.core.lock();
                if no_rollback && core.state.drill.is_some() {
                    drop(core);
                    return self.end_drill(cell);
                } else if no_rollback {
                    let remarks = standing(&cell.program, &core.state);
                    let remarks = [vec![format!("cancelled by {}", by.name)], remarks].concat();
                    self.finish(cell, &mut core, RunStatus::Cancelled, remarks)?;
                } else {
                    let fact =
                        Fact::RollbackBegun { to: None, only: None, by, reason: "cancelled".to_owned(), force: false };
                    core.record(cell, fact, self.clock.now())?;
                    self.commit(cell, &mut core)?;
                }
                continue;
            };
            let next = candidates(&cell.program, &cell.core.lock().state, &rollback).into_iter().next();
            let advance = match next {
                None if rollback.to.is_none() && rollback.only.is_none() && cell.core.lock().state.drill.is_some() => {
                    return self.end_drill(cell);
                }
                None => {
                    self.end_rollback(cell, &rollback)?;
                    return Ok(Advance::Ended);
                }
                Some(Candidate::Call(index)) => self.undo_call(cell, index, &rollback)?,
                Some(Candidate::Step(path, index)) => self.undo_step(cell, &path, index, &rollback)?,
            };
            if advance != Advance::Ended {
                return Ok(advance);
            }
        }
    }

    fn past_no_return(
        &self,
        cell: &RunCell,
        step: &StepPath,
        rollback: &Rollback,
    ) -> Result<Option<Advance>, EngineError> {
        let crossed = cell.core.lock().state.step(step).is_some_and(|step| step.no_return);
        if crossed && !rollback.force {
            return self.pause(cell, Pause::PointOfNoReturn { step: step.clone() }).map(Some);
        }
        Ok(None)
    }

    fn undo_call(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        index: usize,
        rollback: &Rollback,
    ) -> Result<Advance, EngineError> {
        let call = cell.core.lock().state.calls[index].clone();
        if let Some(stop) = self.past_no_return(cell, &call.id.step, rollback)? {
            return Ok(stop);
        }
        if let CallKind::Effect { undo: UndoPlan::Impossible { why }, .. } = &call.kind {
            let mut core = cell.core.lock();
            let fact = Fact::UndoSkipped { call: call.id, reason: why.clone(), by: None };
            core.record(cell, fact, self.clock.now())?;
            return Ok(Advance::Ended);
        }
        // What a drill shares with others may have been changed by them.
        let forced = rollback.force && super::fence::is_own(&cell.core.lock().state, &call);
        if let (Some(Outcome::Done { result, fingerprint }), false) = (&call.outcome, forced) {
            let request = self.recorded_request(cell, index)?;
            if let Some(stop) = self.check_secrets(cell, &call.id.step, &request)? {
                return Ok(stop);
            }
            let reason = match self.host.reader().fingerprint(&request, result) {
                Ok(now) if now == *fingerprint || changed_by_itself(cell, index, rollback, fingerprint, &now) => None,
                Ok(_) if fingerprint.get(UNVERIFIED).is_some() => Some(format!(
                    "nobody can tell whether what {} left has been changed since, for it could not be looked at then: {}",
                    request.op.name,
                    fingerprint[UNVERIFIED].as_str().unwrap_or_default()
                )),
                Ok(now) => Some(format!(
                    "what {} left has been changed since: {}",
                    request.op.name,
                    difference::between(fingerprint, &now)
                )),
                Err(error) => Some(format!("whether it has been changed since cannot be seen: {}", error.message)),
            };
            if let Some(reason) = reason {
                return self.pause(cell, Pause::Undo { call: call.id, reason });
            }
        }
        let Some(undo) = self.undo_of(cell, index)? else { return Ok(Advance::Ended) };
        let id = undo.id.clone();
        match self.begin_effect(cell, undo)? {
            Advance::Ended => {
                let error = match cell.core.lock().state.call(&id).and_then(|undo| undo.outcome.clone()) {
                    Some(Outcome::Error { error }) => error,
                    _ => return Ok(Advance::Ended),
                };
                self.undo_failed(cell, index, error.message)
            }
            other => Ok(other),
        }
    }

    fn undo_step(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        path: &StepPath,
        last: usize,
        rollback: &Rollback,
    ) -> Result<Advance, EngineError> {
        if let Some(stop) = self.past_no_return(cell, path, rollback)? {
            return Ok(stop);
        }
        let Some(script) = cell.program.playbook.step(path.step()).and_then(|step| step.rollback.clone()) else {
            return Ok(Advance::Ended);
        };
        let scope = self.scope(cell, path);
        let attempt = cell.core.lock().state.step(path).map_or(1, |step| step.attempt.max(1));
        let gateway =
            Rc::new(Gateway::new(Arc::clone(self), Arc::clone(cell), path.clone(), Phase::Rollback, attempt, None));
        let outcome = cell.program.script(&script, &scope, Some(Rc::clone(&gateway) as Rc<dyn Calls>));
        match gateway.into_seal(&outcome) {
            Some(Seal::Later(at)) => return Ok(Advance::Later(at)),
            Some(Seal::Paused) => return Ok(Advance::Paused),
            Some(Seal::Stopped) => return Ok(Advance::Stopped),
            Some(Seal::Broken(error)) => return Err(error),
            None => {}
        }
        match outcome {
            Ok(_) => {
                let mut core = cell.core.lock();
                core.record(cell, Fact::StepRolledBack { step: path.clone() }, self.clock.now())?;
                self.commit(cell, &mut core)?;
                Ok(Advance::Ended)
            }
            Err(error) => {
                let overtime = error.is_overtime();
                let error = error.into_op_error();
                let reason = error.message.clone();
                // One that was stopped for its time goes on from its last call; one that failed begins anew.
                if !overtime {
                    let fact = Fact::RollbackFailed { step: path.clone(), error };
                    cell.core.lock().record(cell, fact, self.clock.now())?;
                }
                self.undo_failed(cell, last, reason)
            }
        }
    }

    fn end_rollback(&self, cell: &RunCell, rollback: &Rollback) -> Result<(), EngineError> {
        let mut core = cell.core.lock();
        let now = self.clock.now();
        if let Some(only) = &rollback.only {
            core.record(cell, Fact::RollbackEnded { reset: Vec::new() }, now)?;
            let fact = Fact::StepRetried { step: only.clone(), not_before: now, from_start: true };
            core.record(cell, fact, now)?;
            return self.commit(cell, &mut core);
        }
        if let Some(to) = &rollback.to {
            let floor = core.state.step(to).map_or(0, |step| step.began_seq);
            let later = |path: &StepPath, began: u64| path != to && path.step() != to.as_str() && began > floor;
            let reset: Vec<StepPath> = core
                .state
                .steps
                .iter()
                .filter(|(path, step)| later(path, step.began_seq) || matches!(step.status, StepStatus::Failed { .. }))
                .map(|(path, _)| path.clone())
                .collect();
            core.record(cell, Fact::RollbackEnded { reset }, now)?;
            let pause = Pause::RolledBackTo { step: to.clone() };
            core.record(cell, Fact::Paused { pause }, now)?;
            return self.commit(cell, &mut core);
        }
        let standing = standing(&cell.program, &core.state);
        let cancelled = core.state.cancelling.clone();
        let mut remarks = vec![format!("rolled back: {}", rollback.reason)];
        let status = match (standing.is_empty(), cancelled) {
            (true, None) => RunStatus::RolledBack,
            (true, Some((by, _))) => {
                remarks.insert(0, format!("cancelled by {}", by.name));
                RunStatus::Cancelled
            }
            (false, _) => RunStatus::Failed,
        };
        remarks.extend(standing);
        self.finish(cell, &mut core, status, remarks)
    }

    pub(super) fn finish(
        &self,
        cell: &RunCell,
        core: &mut super::cell::Core,
        status: RunStatus,
        remarks: Vec<String>,
    ) -> Result<(), EngineError> {
        let outputs = cell
            .program
            .playbook
            .steps
            .iter()
            .filter_map(|step| match super::decide::settled(&core.state, step) {
                super::decide::Settled::Output(output) if !output.is_null() => Some((step.id.value.clone(), output)),
                _ => None,
            })
            .collect();
        // What was kept for probes first: nobody takes up a run that has ended, to let go of it then.
        self.commit(cell, core)?;
        core.record(cell, Fact::Finished { status, remarks, outputs }, self.clock.now())?;
        self.commit(cell, core)?;
        if let Some(writer) = self.host.writer() {
            writer.finish_run(&cell.id);
        }
        Ok(())
    }
}

/// Whether what a call left is as later calls of this run have left it: a run's own changes are nobody else's.
fn changed_by_itself(cell: &RunCell, index: usize, rollback: &Rollback, was: &Value, now: &Value) -> bool {
    let core = cell.core.lock();
    let (Some(call), rest) = (core.state.calls.get(index), core.state.calls.get(index + 1..).unwrap_or_default())
    else {
        return false;
    };
    let resource_of = |call: &CallState| crate::ops::find(&call.op).map(|op| (op.resource)(&call.args));
    let resource = resource_of(call).filter(|resource| !resource.is_empty());
    let covered = |call: &CallState| {
        rollback.only.as_ref().is_none_or(|only| call.id.step == *only || call.id.step.step() == only.as_str())
    };
    let later = rest.iter().filter(|one| one.undone != Undone::Yes && covered(one) && resource_of(one) == resource);
    let later = later.filter_map(|one| match (&one.kind, &one.outcome) {
        (CallKind::Effect { before, undoes: None, .. }, Some(Outcome::Done { fingerprint, .. })) => {
            Some(Later { before, fingerprint })
        }
        _ => None,
    });
    let later: Vec<Later<'_>> = later.collect();
    let Some(Backend::Write(entry)) = crate::ops::find(&call.op).map(|op| &op.backend) else { return false };
    resource.is_some() && !later.is_empty() && (entry.since)(was, &cell.id, &later).as_ref() == Some(now)
}

/// The effects that are still there, in words.
#[must_use]
pub fn standing(program: &Program, state: &RunState) -> Vec<String> {
    state
        .calls
        .iter()
        .filter(|call| call.is_forward_effect() && call.may_have_left_something())
        .filter(|call| {
            let rolled_back = state.step(&call.id.step).is_some_and(|step| step.rolled_back);
            let own = program.playbook.step(call.id.step.step()).is_some_and(|step| step.rollback.is_some());
            !(own && rolled_back)
        })
        .filter_map(|call| match (&call.undone, &call.kind) {
            (Undone::Yes, _) | (_, CallKind::Effect { undo: UndoPlan::Nothing, .. }) => None,
            (Undone::Skipped(why), _) => Some(format!("{} ({}) is left standing: {why}", call.id, call.op)),
            (Undone::No, _) => Some(format!("{} ({}) is left standing", call.id, call.op)),
        })
        .collect()
}

/// The name under which the engine itself acts.
#[must_use]
pub fn engine_actor() -> Actor {
    Actor { name: "muster".to_owned() }
}

/// The value a step's output is in a plan when only the run will know it.
#[must_use]
pub fn unknown_output(step: &StepPath, why: &str) -> Value {
    crate::ops::spec::unknown(&format!("the result of step {step} ({why})"))
}
