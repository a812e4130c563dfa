//! The only place that reaches the world: intent, call, outcome; and what became of a call that has the first but not the last.

use std::time::Duration;

use serde_json::json;

use super::cell::RunCell;
use super::driver::Inner;
use super::error::EngineError;
use super::state::{CallKind, Undone};
use crate::journal::record::{Fact, Outcome, Pause, UndoPlan};
use crate::model::fault::{ErrorClass, OpError};
use crate::model::{CallId, Phase, Timestamp, Value};
use crate::ops::spec::{Backend, Undo};
use crate::ops::{OpEntry, Polled, Probe, Request, Sent};

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

/// How often a call that is known not to have been done is sent again before a person is asked.
const MAX_RESENT: u32 = 4;
/// How long a thread stays with a call before the script is unwound.
const SHORT: Duration = Duration::from_millis(1500);

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
    fn request(&self, cell: &RunCell, op: &'static OpEntry, args: Value, deadline: Option<Timestamp>) -> Request {
        Request { run: cell.id.clone(), op, args, key: String::new(), before: Value::Null, deadline }
    }

    /// The request of a recorded effect.
    pub(super) fn recorded_request(&self, cell: &RunCell, index: usize) -> Result<Request, EngineError> {
        let core = cell.core.lock();
        let call = &core.state.calls[index];
        let op = find_revision(cell, &call.op, call.revision)?;
        let (key, before) = match &call.kind {
            CallKind::Effect { key, before, .. } => (key.clone(), before.clone()),
            _ => (String::new(), Value::Null),
        };
        Ok(Request { run: cell.id.clone(), op, args: call.args.clone(), key, before, deadline: None })
    }

    /// Compares the identity of what a call works on with what the run recorded when it first met it. The first use by each
    /// holder asks; later ones know.
    fn check_target(&self, cell: &RunCell, request: &Request) -> Result<Option<Advance>, EngineError> {
        let resource = (request.op.resource)(&request.args);
        let place: String = resource.split('/').take(2).collect::<Vec<_>>().join("/");
        if cell.core.lock().checked.contains(&place) {
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
        core.checked.insert(place);
        Ok(None)
    }

    /// Makes a reading call, once. Its record is durable no later than the next effect's intent.
    pub(super) fn read(&self, cell: &RunCell, call: NewCall) -> Result<Advance, EngineError> {
        let request = self.request(cell, call.op, call.args, call.deadline);
        if let Some(stop) = self.check_target(cell, &request)? {
            return Ok(stop);
        }
        let outcome = self.host.reader().read(&request);
        self.called(cell, call.id, request, outcome)
    }

    fn called(
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

    /// Begins a wait: a timer, a poll, a question.
    pub(super) fn begin_wait(&self, cell: &RunCell, call: NewCall) -> Result<Advance, EngineError> {
        let now = self.clock.now();
        let mut until = None;
        let mut again = None;
        match &call.op.backend {
            Backend::Wait(_) => {
                let request = self.request(cell, call.op, call.args.clone(), call.deadline);
                if let Some(stop) = self.check_target(cell, &request)? {
                    return Ok(stop);
                }
                match self.host.reader().poll(&request) {
                    Ok(Polled::Ready(result)) => return self.called(cell, call.id, request, Ok(result)),
                    Ok(Polled::Pending { progress, again: pause }) => {
                        if let Some(text) = progress {
                            cell.observer.progress(&cell.id, &call.id.step, &text);
                        }
                        again = Some(later(now, pause));
                    }
                    Err(error) if error.class == ErrorClass::Transient => {
                        again = Some(later(now, Duration::from_secs(2)))
                    }
                    Err(error) => return self.called(cell, call.id, request, Err(error)),
                }
            }
            _ => match timer_end(call.op.name, &call.args, now) {
                Ok(end) => until = end,
                Err(error) => return self.refuse(cell, call, error),
            },
        }
        let mut core = cell.core.lock();
        let asks = call.op.effect == crate::ops::Effect::Ask;
        let fact = Fact::WaitBegun {
            call: call.id,
            op: call.op.name.to_owned(),
            revision: call.op.revision,
            args: call.args,
            until,
        };
        core.record(cell, fact, now)?;
        core.commit(&[])?;
        Ok(match (until.or(again), asks) {
            (_, true) | (None, _) => Advance::Paused,
            (Some(at), false) => Advance::Later(at),
        })
    }

    /// Goes on with a wait that has begun.
    pub(super) fn continue_wait(
        &self,
        cell: &RunCell,
        index: usize,
        deadline: Option<Timestamp>,
    ) -> Result<Advance, EngineError> {
        let (id, until, is_question) = {
            let core = cell.core.lock();
            let call = &core.state.calls[index];
            let until = match call.kind {
                CallKind::Wait { until } => until,
                _ => None,
            };
            (call.id.clone(), until, call.op.starts_with("ask."))
        };
        if is_question {
            return Ok(Advance::Paused);
        }
        let now = self.clock.now();
        let outcome = match until {
            Some(end) if now < end => return Ok(Advance::Later(end)),
            Some(_) => Ok(Value::Null),
            None => {
                let mut request = self.recorded_request(cell, index)?;
                request.deadline = deadline;
                if let Some(stop) = self.check_target(cell, &request)? {
                    return Ok(stop);
                }
                let polled = self.host.reader().poll(&request);
                // A deadline fires only after a fresh look.
                let late = deadline.is_some_and(|deadline| now >= deadline);
                match polled {
                    Ok(Polled::Ready(result)) => Ok(result),
                    Ok(Polled::Pending { progress, .. }) if late => Err(OpError::failed(format!(
                        "{} was still waiting when the step's time was over{}",
                        request.op.name,
                        progress.map(|text| format!(": {text}")).unwrap_or_default()
                    ))),
                    Ok(Polled::Pending { progress, again }) => {
                        if let Some(text) = progress {
                            cell.observer.progress(&cell.id, &id.step, &text);
                        }
                        return Ok(Advance::Later(later(now, again)));
                    }
                    Err(error) if error.class == ErrorClass::Transient && !late => {
                        return Ok(Advance::Later(later(now, Duration::from_secs(2))));
                    }
                    Err(error) => Err(error),
                }
            }
        };
        self.end(cell, &id, outcome, Value::Null)?;
        Ok(Advance::Ended)
    }

    fn end(
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
        let mut request = self.request(cell, call.op, call.args.clone(), call.deadline);
        request.key = key_of(&cell.id, &call.id, 0);
        if let Some(stop) = self.check_target(cell, &request)? {
            return Ok(stop);
        }
        request.before = match self.host.reader().before(&request) {
            Ok(before) => before,
            Err(error) => return self.called(cell, call.id, request, Err(error)),
        };
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
                call: call.id.clone(),
                op: call.op.name.to_owned(),
                revision: call.op.revision,
                args: request.args.clone(),
                key: request.key.clone(),
                before: request.before.clone(),
                undo,
                undoes: call.undoes,
            };
            core.record(cell, fact, now)?;
            self.commit(cell, &mut core)?;
            core.state.calls.len() - 1
        };
        self.send(cell, index, call.deadline)
    }

    /// Commits, and lets go of what was kept for probes that nobody will ask any more.
    pub(super) fn commit(&self, _cell: &RunCell, core: &mut super::cell::Core) -> Result<(), EngineError> {
        core.commit(&[])?;
        if let Some(writer) = self.host.writer() {
            for request in core.to_release.drain(..) {
                writer.release(&request);
            }
        }
        Ok(())
    }

    /// Sends a call whose intent is durable.
    fn send(&self, cell: &RunCell, index: usize, deadline: Option<Timestamp>) -> Result<Advance, EngineError> {
        let mut request = self.recorded_request(cell, index)?;
        request.deadline = deadline;
        let Some(writer) = self.host.writer() else { return Ok(Advance::Stopped) };
        match writer.send(&request) {
            Ok(Sent::Done(result)) => self.done(cell, index, request, result),
            Ok(Sent::Running) => self.follow(cell, index, deadline),
            Err(error) => match error.class {
                ErrorClass::Unknown => self.follow(cell, index, deadline),
                ErrorClass::Credentials => {
                    let step = cell.core.lock().state.calls[index].id.step.clone();
                    self.pause(cell, Pause::Credentials { step, message: error.message })
                }
                ErrorClass::Refused | ErrorClass::Transient | ErrorClass::Failed => {
                    self.failed(cell, index, request, error)
                }
            },
        }
    }

    fn done(&self, cell: &RunCell, index: usize, request: Request, result: Value) -> Result<Advance, EngineError> {
        // What cannot be read back now will not compare equal later: a rollback then asks, which is right.
        let fingerprint = self
            .host
            .reader()
            .fingerprint(&request, &result)
            .unwrap_or_else(|error| json!({ "$unverified": error.message }));
        let id = cell.core.lock().state.calls[index].id.clone();
        self.end(cell, &id, Ok(result), fingerprint)?;
        cell.core.lock().to_release.push(request);
        Ok(Advance::Ended)
    }

    fn failed(&self, cell: &RunCell, index: usize, request: Request, error: OpError) -> Result<Advance, EngineError> {
        let id = cell.core.lock().state.calls[index].id.clone();
        self.end(cell, &id, Err(error), Value::Null)?;
        cell.core.lock().to_release.push(request);
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
                let open_undo = core.state.calls.iter().position(|other| {
                    other.is_open()
                        && matches!(&other.kind, CallKind::Effect { undoes: Some(undoes), .. } if *undoes == call.id)
                });
                (call.id.clone(), call.undone.clone(), call.settled_not_done, open_undo)
            };
            if let Some(undo) = open_undo {
                match self.follow(cell, undo, None)? {
                    Advance::Ended => continue,
                    other => return Ok(other),
                }
            }
            if settled_not_done {
                return self.resend(cell, index, deadline, false);
            }
            if undone == Undone::Yes {
                return self.resend(cell, index, deadline, true);
            }
            let mut request = self.recorded_request(cell, index)?;
            request.deadline = deadline;
            if let Some(stop) = self.check_target(cell, &request)? {
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
                Probe::Done { result } => return self.done(cell, index, request, result),
                Probe::Failed { error } => return self.failed(cell, index, request, error),
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
            return self.failed(cell, index, request, error);
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
                Err(error) => return self.failed(cell, index, request, error),
            }
        }
        let undo = plan_of((entry.undo)(&request.args, &request.before, &request.key));
        {
            let mut core = cell.core.lock();
            let fact = Fact::Resent { call: id, key: request.key.clone(), before: request.before.clone(), undo };
            core.record(cell, fact, self.clock.now())?;
            self.commit(cell, &mut core)?;
        }
        self.send(cell, index, deadline)
    }
}

/// The entry of a recorded operation, if this program has that revision of it. Revision 0 takes whatever there is.
fn find_revision(cell: &RunCell, op: &str, revision: u32) -> Result<&'static OpEntry, EngineError> {
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

fn plan_of(undo: Undo) -> UndoPlan {
    match undo {
        Undo::Nothing => UndoPlan::Nothing,
        Undo::Impossible(why) => UndoPlan::Impossible { why: why.to_owned() },
        Undo::Call { op, args } => UndoPlan::Call { op: op.to_owned(), args },
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

fn later(now: Timestamp, by: Duration) -> Timestamp {
    now.saturating_add(by).unwrap_or(Timestamp::MAX)
}

/// When a timer ends; `None` for a question.
fn timer_end(op: &str, args: &Value, now: Timestamp) -> Result<Option<Timestamp>, OpError> {
    match op {
        "time.sleep" => {
            let wanted = &args["duration"];
            let duration = match (wanted.as_u64(), wanted.as_str()) {
                (Some(millis), _) => Duration::from_millis(millis),
                (None, Some(text)) => {
                    crate::model::amount::parse_duration(text).map_err(|e| OpError::refused(e.to_string()))?
                }
                (None, None) => return Err(OpError::refused("`duration` is neither a text nor milliseconds")),
            };
            Ok(Some(later(now, duration)))
        }
        "time.wait_until" => args["at"]
            .as_str()
            .and_then(|text| text.parse().ok())
            .map(Some)
            .ok_or_else(|| OpError::refused("`at` is no instant like 2026-11-21T03:00:00Z")),
        _ => Ok(None),
    }
}
