//! What became of an effect that has an intent and no outcome, and going on from there: asking, sending again, undoing a half.

use std::time::Duration;

use super::cell::RunCell;
use super::driver::Inner;
use super::effect::{Advance, NewCall, find_revision, key_of, later, plan_of};
use super::error::EngineError;
use super::state::{CallKind, CallState, Undone};
use crate::journal::record::{Fact, Outcome, Pause, UndoPlan};
use crate::model::fault::{ErrorClass, OpError};
use crate::model::{CallId, Phase, Timestamp, Value};
use crate::ops::Probe;
use crate::ops::spec::Backend;

/// How often a call that is known not to have been done is sent again before a person is asked.
const MAX_RESENT: u32 = 4;
/// How long a thread stays with a call before the script is unwound.
const SHORT: Duration = Duration::from_millis(1500);

impl Inner {
    /// Finds out what became of an effect that has an intent and no outcome, and goes on from there.
    pub(super) fn follow(
        &self,
        cell: &RunCell,
        index: usize,
        deadline: Option<Timestamp>,
    ) -> Result<Advance, EngineError> {
        let mut waited = Duration::ZERO;
        let mut pause = Duration::from_millis(5);
        loop {
            let (id, undone, settled_not_done, open_undo) = {
                let core = cell.core.lock();
                let call = &core.state.calls[index];
                if call.outcome.is_some() {
                    return Ok(Advance::Ended);
                }
                let undoes_it = |other: &CallState| matches!(&other.kind, CallKind::Effect { undoes: Some(undoes), .. } if *undoes == call.id);
                let open_undo = core.state.open_calls().find(|(_, other)| undoes_it(other)).map(|(index, _)| index);
                (call.id.clone(), call.undone.clone(), call.settled_not_done, open_undo)
            };
            if let Some(undo) = open_undo {
                match self.follow(cell, undo, None)? {
                    Advance::Ended => continue,
                    other => return Ok(other),
                }
            }
            if settled_not_done {
                // What is left of the try that a person has looked at would be in the way of the next, or be taken for it.
                let request = self.recorded_request(cell, index)?;
                if let Some(writer) = self.host.writer() {
                    writer.release(&request);
                }
                return self.resend(cell, index, deadline, false);
            }
            if undone == Undone::Yes {
                return self.resend(cell, index, deadline, true);
            }
            let mut request = self.recorded_request(cell, index)?;
            request.deadline = deadline;
            if let Some(stop) = self.check_before(cell, &id.step, &request)? {
                return Ok(stop);
            }
            let found = match self.host.reader().probe(&request) {
                Ok(found) => {
                    cell.core.lock().unanswered.remove(&index);
                    found
                }
                Err(error) if error.class == ErrorClass::Credentials => {
                    return self.pause(cell, Pause::Credentials { step: id.step, message: error.message });
                }
                Err(error) => {
                    let tries = {
                        let mut core = cell.core.lock();
                        let tries = core.unanswered.entry(index).or_default();
                        *tries += 1;
                        *tries
                    };
                    if error.class == ErrorClass::Transient && tries < 8 {
                        return Ok(Advance::Later(later(self.clock.now(), Duration::from_secs(1 << tries.min(5)))));
                    }
                    Probe::CannotTell { why: error.message }
                }
            };
            match found {
                Probe::Done { result } => return self.done(cell, index, &request, result),
                Probe::Failed { error } => return self.failed(cell, index, error),
                Probe::Running { progress } => {
                    if let Some(text) = progress {
                        cell.observer.progress(&cell.id, &id.step, &text);
                    }
                    if self.clock.is_virtual() || waited >= SHORT {
                        return Ok(Advance::Later(later(self.clock.now(), Duration::from_millis(500))));
                    }
                    self.clock.sleep(pause);
                    waited += pause;
                    pause = (pause * 2).min(Duration::from_millis(100));
                }
                Probe::NotDone => return self.resend(cell, index, deadline, false),
                Probe::Partial { what } => {
                    let mut core = cell.core.lock();
                    core.record(
                        cell,
                        Fact::Probed { call: id.clone(), found: format!("partial: {what}") },
                        self.clock.now(),
                    )?;
                    drop(core);
                    match self.undo_of(cell, index)? {
                        Some(call) => match self.begin_effect(cell, call)? {
                            Advance::Ended => {
                                let core = cell.core.lock();
                                if core.state.calls[index].undone != Undone::Yes {
                                    drop(core);
                                    return self.doubt(cell, &id, format!("{what}; undoing it failed"));
                                }
                            }
                            other => return Ok(other),
                        },
                        None => return self.doubt(cell, &id, format!("{what}; there is no undo for it")),
                    }
                }
                Probe::CannotTell { why } => return self.doubt(cell, &id, why),
            }
        }
    }

    fn doubt(&self, cell: &RunCell, id: &CallId, reason: String) -> Result<Advance, EngineError> {
        self.pause(cell, Pause::InDoubt { step: id.step.clone(), call: id.clone(), reason })
    }

    /// The undo of a recorded effect as a new call; `None` if it has none.
    pub(super) fn undo_of(&self, cell: &RunCell, index: usize) -> Result<Option<NewCall>, EngineError> {
        let core = cell.core.lock();
        let call = &core.state.calls[index];
        let CallKind::Effect { undo: UndoPlan::Call { op, args }, .. } = &call.kind else { return Ok(None) };
        let op = find_revision(cell, op, 0)?;
        let result = match &call.outcome {
            Some(Outcome::Done { result, .. }) => result,
            _ => &Value::Null,
        };
        let args = fill(args, result);
        let step = core.state.step(&call.id.step);
        Ok(Some(NewCall {
            id: CallId {
                step: call.id.step.clone(),
                phase: Phase::Rollback,
                attempt: step.map_or(1, |step| step.attempt.max(1)),
                seq: step.map_or(0, |step| u32::try_from(step.rollback.len()).unwrap_or(u32::MAX)),
            },
            op,
            args,
            undoes: Some(call.id.clone()),
            deadline: None,
        }))
    }

    /// Sends a call again that is known not to have been done, or whose half has been undone.
    fn resend(
        &self,
        cell: &RunCell,
        index: usize,
        deadline: Option<Timestamp>,
        new_key: bool,
    ) -> Result<Advance, EngineError> {
        let mut request = self.recorded_request(cell, index)?;
        let (id, resent, quiescing) = {
            let core = cell.core.lock();
            let call = &core.state.calls[index];
            (call.id.clone(), call.resent, core.state.is_quiescing() && call.is_forward_effect())
        };
        if quiescing {
            // A rollback begins, or the run is cancelled: what was not done stays not done.
            // It may have left traces short of being done: where there is an undo, that clears them away.
            let why = "it was not done, and the run is not going on";
            let undoable = {
                let core = cell.core.lock();
                matches!(&core.state.calls[index].kind, CallKind::Effect { undo: UndoPlan::Call { .. }, .. })
            };
            let error = if undoable { OpError::failed(why) } else { OpError::refused(why) };
            return self.failed(cell, index, error);
        }
        if resent >= MAX_RESENT {
            return self.doubt(cell, &id, format!("it was sent {} times and never found done", resent + 1));
        }
        let Backend::Write(entry) = &request.op.backend else { return Ok(Advance::Stopped) };
        if new_key {
            // Its half was undone: it is a new try, which looks at the world anew. A call that was not done is sent as it was:
            // what it had begun is part of what it goes on from.
            request.key = key_of(&cell.id, &id, resent + 1);
            request.before = Value::Null;
            match self.host.reader().before(&request) {
                Ok(before) => request.before = before,
                Err(error) if error.class == ErrorClass::Credentials => {
                    return self.pause(cell, Pause::Credentials { step: id.step, message: error.message });
                }
                Err(error) => return self.failed(cell, index, error),
            }
        }
        let undo = plan_of((entry.undo)(&request.args, &request.before, &request.key));
        {
            let mut core = cell.core.lock();
            let fact = Fact::Resent { call: id, key: request.key, before: request.before, undo };
            let recorded = core.record(cell, fact, self.clock.now())?;
            let Fact::Resent { key, before, .. } = recorded.fact else { return Ok(Advance::Stopped) };
            (request.key, request.before) = (key, before);
            self.commit(cell, &mut core)?;
        }
        request.deadline = deadline;
        self.send(cell, index, request)
    }
}

/// Puts fields of a result into the slots of an undo's arguments. A slot whose field is not there becomes null: the undo
/// operation knows what that means for it.
fn fill(args: &Value, result: &Value) -> Value {
    match args {
        Value::String(text) => match text.strip_prefix("$result") {
            Some(pointer) => result.pointer(pointer).cloned().unwrap_or(Value::Null),
            None => args.clone(),
        },
        Value::Array(items) => Value::Array(items.iter().map(|item| fill(item, result)).collect()),
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, item)| (name.clone(), fill(item, result))).collect())
        }
        other => other.clone(),
    }
}
