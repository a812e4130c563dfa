//! Calls, made once: reads, and effects with their intent before and their outcome after.

use std::time::Duration;

use serde_json::json;

use super::cell::RunCell;
use super::driver::Inner;
use super::error::EngineError;
use super::state::{CallKind, RunState};
use crate::journal::record::{Fact, Outcome, Pause, UndoPlan};
use crate::model::fault::{ErrorClass, OpError};
use crate::model::{CallId, Phase, StepPath, Timestamp, Value};
use crate::ops::spec::{Backend, Undo};
use crate::ops::{OpEntry, Request, Sent};

/// In the place of a fingerprint: why there is none.
pub(super) const UNVERIFIED: &str = "$unverified";

/// How far a call has got.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Advance {
    /// Its outcome is recorded.
    Ended,
    /// It goes on; look again then.
    Later(Timestamp),
    /// A person has to see to it: the pause is recorded.
    Paused,
    /// Nothing may be begun any more.
    Stopped,
}

/// A call about to be made.
pub struct NewCall {
    pub id: CallId,
    pub op: &'static OpEntry,
    pub args: Value,
    /// The call it undoes.
    pub undoes: Option<CallId>,
    pub deadline: Option<Timestamp>,
}

/// The idempotency key of a call: safe as a file name, in SQL and as a container's name.
#[must_use]
pub fn key_of(run: &crate::model::RunId, id: &CallId, resent: u32) -> String {
    let step: String = id
        .step
        .as_str()
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' })
        .collect();
    let mut short: String = step.trim_matches('-').chars().take(20).collect();
    if id.step.as_str().len() > 20 || id.step.key().is_some() {
        // Two keys may look alike once shortened: a few letters of their digest tell them apart.
        use sha2::{Digest, Sha256};
        let digest = Sha256::digest(id.step.as_str().as_bytes());
        short.push_str(&format!("-{:02x}{:02x}{:02x}", digest[0], digest[1], digest[2]));
    }
    let phase = match id.phase {
        Phase::Body => "",
        Phase::Verify => "v",
        Phase::Rollback => "u",
    };
    let again = if resent == 0 { String::new() } else { format!("-r{resent}") };
    format!("m-{run}-{short}-{phase}{}-{}{again}", id.attempt, id.seq)
}

impl Inner {
    pub(super) fn request(
        &self,
        cell: &RunCell,
        op: &'static OpEntry,
        args: Value,
        deadline: Option<Timestamp>,
    ) -> Request {
        Request { run: cell.id.clone(), op, args, key: String::new(), before: Value::Null, deadline }
    }

    /// The request of a recorded effect.
    pub(super) fn recorded_request(&self, cell: &RunCell, index: usize) -> Result<Request, EngineError> {
        request_of(cell, &cell.core.lock().state, index)
    }

    /// What has to be as the run knows it before anything is asked of the world for a call: its secrets, then its target.
    pub(super) fn check_before(
        &self,
        cell: &RunCell,
        step: &StepPath,
        request: &Request,
    ) -> Result<Option<Advance>, EngineError> {
        match self.check_secrets(cell, step, request)? {
            None => self.check_target(cell, request),
            stop => Ok(stop),
        }
    }

    /// Compares the identity of what a call works on with what the run recorded when it first met it. The first use by each
    /// holder asks; later ones know.
    fn check_target(&self, cell: &RunCell, request: &Request) -> Result<Option<Advance>, EngineError> {
        let resource = (request.op.resource)(&request.args);
        let place = resource.match_indices('/').nth(1).map_or(&*resource, |(end, _)| &resource[..end]);
        if cell.core.lock().checked.contains(place) {
            return Ok(None);
        }
        // What cannot be asked now will be asked at the next call; the call itself will say what is wrong.
        let Ok(found) = self.host.reader().target(request) else { return Ok(None) };
        let mut core = cell.core.lock();
        if let Some(found) = found {
            match core.state.targets.get(&found.name).cloned() {
                None => {
                    core.record(cell, Fact::TargetMet { target: found }, self.clock.now())?;
                }
                Some(expected) if expected != found => {
                    let pause = Pause::Target { expected: vec![expected], found: vec![found] };
                    core.record(cell, Fact::Paused { pause }, self.clock.now())?;
                    core.commit(&[])?;
                    return Ok(Some(Advance::Paused));
                }
                Some(_) => {}
            }
        }
        core.checked.insert(place.to_owned());
        Ok(None)
    }

    /// Makes a reading call, once. Its record is durable no later than the next effect's intent.
    pub(super) fn read(&self, cell: &RunCell, call: NewCall) -> Result<Advance, EngineError> {
        let request = self.request(cell, call.op, call.args, call.deadline);
        if let Some(stop) = self.check_before(cell, &call.id.step, &request)? {
            return Ok(stop);
        }
        let outcome = self.host.reader().read(&request);
        self.called(cell, call.id, request, outcome)
    }

    pub(super) fn called(
        &self,
        cell: &RunCell,
        call: CallId,
        request: Request,
        outcome: Result<Value, OpError>,
    ) -> Result<Advance, EngineError> {
        let mut core = cell.core.lock();
        let outcome = match outcome {
            Ok(result) => Outcome::Done { result, fingerprint: Value::Null },
            Err(error) if error.class == ErrorClass::Credentials => {
                let pause = Pause::Credentials { step: call.step, message: error.message };
                core.record(cell, Fact::Paused { pause }, self.clock.now())?;
                core.commit(&[])?;
                return Ok(Advance::Paused);
            }
            Err(error) => Outcome::Error { error },
        };
        let fact = Fact::Called {
            call,
            op: request.op.name.to_owned(),
            revision: request.op.revision,
            args: request.args,
            outcome,
        };
        core.record(cell, fact, self.clock.now())?;
        if core.journal.buffered() >= super::cell::READS_A_COMMIT {
            core.commit(&[])?;
        }
        Ok(Advance::Ended)
    }

    /// Records a call that ended without being made.
    pub(super) fn refuse(&self, cell: &RunCell, call: NewCall, error: OpError) -> Result<Advance, EngineError> {
        let request = self.request(cell, call.op, call.args, None);
        self.called(cell, call.id, request, Err(error))
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

    pub(super) fn end(
        &self,
        cell: &RunCell,
        call: &CallId,
        outcome: Result<Value, OpError>,
        fingerprint: Value,
    ) -> Result<(), EngineError> {
        let outcome = match outcome {
            Ok(result) => Outcome::Done { result, fingerprint },
            Err(error) => Outcome::Error { error },
        };
        let mut core = cell.core.lock();
        core.record(cell, Fact::Ended { call: call.clone(), outcome }, self.clock.now())?;
        Ok(())
    }

    /// Makes a call with an effect: preconditions and before-image, durable intent, call.
    pub(super) fn begin_effect(&self, cell: &RunCell, call: NewCall) -> Result<Advance, EngineError> {
        let Backend::Write(entry) = &call.op.backend else {
            let error = OpError::refused(format!("{} is no effect", call.op.name));
            return self.refuse(cell, call, error);
        };
        let mut request = self.request(cell, call.op, call.args, call.deadline);
        request.key = key_of(&cell.id, &call.id, 0);
        if let Some(stop) = self.check_before(cell, &call.id.step, &request)? {
            return Ok(stop);
        }
        request.before = match self.host.reader().before(&request) {
            Ok(before) => before,
            Err(error) => return self.called(cell, call.id, request, Err(error)),
        };
        if call.undoes.is_none() {
            let objection = super::fence::objection(&cell.core.lock().state, &request);
            if let Some(error) = objection {
                return self.called(cell, call.id, request, Err(error));
            }
        }
        let undo = plan_of((entry.undo)(&request.args, &request.before, &request.key));
        let index = {
            let mut core = cell.core.lock();
            let forward = call.undoes.is_none() && call.id.phase == Phase::Body;
            if forward && core.state.is_quiescing() {
                return Ok(Advance::Stopped);
            }
            let now = self.clock.now();
            let no_return =
                cell.program.playbook.step(call.id.step.step()).is_some_and(|s| s.point_of_no_return.is_some());
            if forward && no_return && core.state.step(&call.id.step).is_some_and(|step| !step.no_return) {
                core.record(cell, Fact::NoReturn { step: call.id.step.clone() }, now)?;
            }
            let fact = Fact::Intent {
                call: call.id,
                op: call.op.name.to_owned(),
                revision: call.op.revision,
                args: request.args,
                key: request.key,
                before: request.before,
                undo,
                undoes: call.undoes,
            };
            // Sent is what was recorded, secrets taken out: what would be sent again after a crash.
            let recorded = core.record(cell, fact, now)?;
            let Fact::Intent { args, key, before, .. } = recorded.fact else { return Ok(Advance::Stopped) };
            (request.args, request.key, request.before) = (args, key, before);
            self.commit(cell, &mut core)?;
            core.state.calls.len() - 1
        };
        self.send(cell, index, request)
    }

    /// Commits, and lets go of what was kept for probes that nobody will ask any more.
    pub(super) fn commit(&self, cell: &RunCell, core: &mut super::cell::Core) -> Result<(), EngineError> {
        core.commit(&[])?;
        let Some(writer) = self.host.writer() else { return Ok(()) };
        for index in std::mem::take(&mut core.to_release) {
            // Of an operation that this program does not have nothing can be let go of.
            let Ok(mut request) = request_of(cell, &core.state, index) else { continue };
            writer.release(&request);
            // Nor of its earlier tries, whose halves were undone.
            let call = &core.state.calls[index];
            let last = std::mem::take(&mut request.key);
            for earlier in (0..call.resent).map(|resent| key_of(&cell.id, &call.id, resent)).filter(|key| *key != last)
            {
                request.key = earlier;
                writer.release(&request);
            }
        }
        Ok(())
    }

    /// Sends a call whose intent is durable, as it is recorded there.
    pub(super) fn send(&self, cell: &RunCell, index: usize, request: Request) -> Result<Advance, EngineError> {
        let deadline = request.deadline;
        let Some(writer) = self.host.writer() else { return Ok(Advance::Stopped) };
        match writer.send(&request) {
            Ok(Sent::Done(result)) => self.done(cell, index, &request, result),
            Ok(Sent::Running) => self.follow(cell, index, deadline),
            Err(error) => match error.class {
                ErrorClass::Unknown => self.follow(cell, index, deadline),
                ErrorClass::Credentials => {
                    let step = cell.core.lock().state.calls[index].id.step.clone();
                    self.pause(cell, Pause::Credentials { step, message: error.message })
                }
                ErrorClass::Refused | ErrorClass::Transient | ErrorClass::Failed => self.failed(cell, index, error),
            },
        }
    }

    pub(super) fn done(
        &self,
        cell: &RunCell,
        index: usize,
        request: &Request,
        result: Value,
    ) -> Result<Advance, EngineError> {
        // What cannot be read back now will not compare equal later: a rollback then asks, which is right.
        let fingerprint = self
            .host
            .reader()
            .fingerprint(request, &result)
            .unwrap_or_else(|error| json!({ UNVERIFIED: error.message }));
        let id = cell.core.lock().state.calls[index].id.clone();
        self.end(cell, &id, Ok(result), fingerprint)?;
        Ok(Advance::Ended)
    }

    pub(super) fn failed(&self, cell: &RunCell, index: usize, error: OpError) -> Result<Advance, EngineError> {
        let id = cell.core.lock().state.calls[index].id.clone();
        self.end(cell, &id, Err(error), Value::Null)?;
        Ok(Advance::Ended)
    }

    pub(super) fn pause(&self, cell: &RunCell, pause: Pause) -> Result<Advance, EngineError> {
        let mut core = cell.core.lock();
        if !core.state.pauses.contains(&pause) {
            core.record(cell, Fact::Paused { pause }, self.clock.now())?;
        }
        self.commit(cell, &mut core)?;
        Ok(Advance::Paused)
    }
}

fn request_of(cell: &RunCell, state: &RunState, index: usize) -> Result<Request, EngineError> {
    let call = &state.calls[index];
    let op = find_revision(cell, &call.op, call.revision)?;
    let (key, before) = match &call.kind {
        CallKind::Effect { key, before, .. } => (key.clone(), before.clone()),
        _ => (String::new(), Value::Null),
    };
    Ok(Request { run: cell.id.clone(), op, args: call.args.clone(), key, before, deadline: None })
}

/// The entry of a recorded operation, if this program has that revision of it. Revision 0 takes whatever there is.
pub(super) fn find_revision(cell: &RunCell, op: &str, revision: u32) -> Result<&'static OpEntry, EngineError> {
    match crate::ops::find(op) {
        Some(entry) if revision == 0 || entry.revision == revision => Ok(entry),
        other => Err(EngineError::Revision {
            run: cell.id.clone(),
            op: op.to_owned(),
            recorded: revision,
            known: other.map_or(0, |entry| entry.revision),
        }),
    }
}

pub(super) fn plan_of(undo: Undo) -> UndoPlan {
    match undo {
        Undo::Nothing => UndoPlan::Nothing,
        Undo::Impossible(why) => UndoPlan::Impossible { why: why.to_owned() },
        Undo::Call { op, args } => UndoPlan::Call { op: op.to_owned(), args },
    }
}

pub(super) fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.saturating_add(by).unwrap_or(Timestamp::MAX)
}
