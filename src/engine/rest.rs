//! What is left of a run, foreseen: what it has recorded answers for what it has done, and a plan's host for what comes.

use std::sync::Arc;

use super::call::{CallKind, CallState};
use super::cell::NoObserver;
use super::driver::{Engine, Host};
use super::error::EngineError;
use super::state::RunState;
use super::way::shape_of;
use crate::clock::SimClock;
use crate::journal::memory::MemoryStore;
use crate::journal::record::{Fact, Outcome, Record};
use crate::journal::run_journal::RunJournal;
use crate::journal::{Head, Store, apart};
use crate::model::forecast::Basis;
use crate::model::secret::Redactor;
use crate::model::unknown;
use crate::model::{RunId, Timestamp, Value};
use crate::ops::foresight::{Foreseen, PlanHost};
use crate::ops::spec::unknown as not_known;
use crate::ops::{OpEntry, Probe, Request};
use crate::script::Program;

/// Goes through what is left of a run without sending anything. Returns its records, after them [`Fact::RestForeseen`], and what
/// is foreseen from there. Of a call that has begun and not ended the world is asked; nothing is settled by it.
///
/// # Errors
/// When the run has ended or is being undone, or its journal cannot be continued by this program.
pub fn foresee(
    program: &Arc<Program>,
    records: &[Record],
    host: Arc<dyn PlanHost>,
    now: Timestamp,
    redactor: &Arc<Redactor>,
) -> Result<Vec<Record>, EngineError> {
    foresee_while(program, records, host, now, redactor, &|| true)
}

/// As [`foresee`], as long as somebody wants to know: what is foreseen may break off after any step.
pub(super) fn foresee_while(
    program: &Arc<Program>,
    records: &[Record],
    host: Arc<dyn PlanHost>,
    now: Timestamp,
    redactor: &Arc<Redactor>,
    wanted: &dyn Fn() -> bool,
) -> Result<Vec<Record>, EngineError> {
    let unreadable = |run: RunId| move |source| EngineError::Journal { run, source };
    let run = match records.first().map(|record| &record.fact) {
        Some(Fact::RunStarted { run, .. }) => run.clone(),
        _ => RunId::from_entropy(0),
    };
    let state = RunState::fold(records).map_err(unreadable(run.clone()))?;
    let refused = |why: &str| EngineError::NoRest { run: run.clone(), why: why.to_owned() };
    let Some(header) = &state.header else { return Err(refused("it has not begun")) };
    if state.finished.is_some() {
        return Err(refused("it has ended"));
    }
    if state.is_quiescing() {
        return Err(refused("it is being cancelled or rolled back"));
    }
    let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
    let head = Head {
        run: run.clone(),
        playbook: header.playbook.clone(),
        version: header.version.clone(),
        bundle: header.bundle.clone(),
        status: state.status(),
        detail: String::new(),
        started: header.started,
        updated: now,
        records: 0,
        epoch: 0,
        holder: None,
    };
    let mut journal = RunJournal::create(Arc::clone(&store), Arc::clone(redactor), &head)?;
    let mut known: Vec<Record> = records.iter().map(|record| journal.push(record.fact.clone(), record.at)).collect();
    known.push(journal.push(Fact::RestForeseen, now));
    for step in state.steps.values().filter(|step| !step.is_settled()) {
        let Some(call) = step.body.last().map(|index| &state.calls[*index]).filter(|call| call.is_open()) else {
            continue;
        };
        let used = step.body.iter().filter(|index| state.calls[**index].op == call.op).count();
        known.push(journal.push(end_of(host.as_ref(), &run, call, used, now)?, now));
    }
    let engine =
        Engine::new(Host::Planning(host), Arc::new(SimClock::at(now)), Arc::clone(&store), Arc::clone(redactor));
    let run = engine.adopt(Arc::clone(program), journal, &known, None, Arc::new(NoObserver))?;
    engine.run_while(wanted);
    match engine.take_failure(&run) {
        Some(error) => Err(error),
        None => Ok(apart::records(store.as_ref(), &run)?),
    }
}

/// How a call will end that has begun, as far as anybody can tell. `used`: how often the step has used its operation.
fn end_of(
    host: &dyn PlanHost,
    run: &RunId,
    call: &CallState,
    used: usize,
    now: Timestamp,
) -> Result<Fact, EngineError> {
    let op = crate::ops::find(&call.op).filter(|op| op.revision == call.revision);
    let op = op.ok_or_else(|| EngineError::Revision {
        run: run.clone(),
        op: call.op.clone(),
        recorded: call.revision,
        known: crate::ops::find(&call.op).map_or(0, |op| op.revision),
    })?;
    let (key, before) = match &call.kind {
        CallKind::Effect { key, before, .. } => (key.clone(), before.clone()),
        _ => (String::new(), Value::Null),
    };
    let request = Request {
        run: run.clone(),
        op,
        args: call.args.clone(),
        key: key.clone(),
        before: before.clone(),
        deadline: None,
    };
    let found = match &call.kind {
        CallKind::Effect { .. } => effect(host, &request),
        CallKind::Wait { until: Some(until) } => {
            let left = until.duration_since(now).try_into().unwrap_or_default();
            Foreseen { takes: left, ..told(Value::Null, Basis::Exact, "") }
        }
        _ if call.op.starts_with("ask.") => {
            told(not_known("the operator's answer"), Basis::Unknown, "a person answers")
        }
        _ => host.foresee(&request),
    };
    let source = if used < 2 { call.op.clone() } else { format!("{}#{used}", call.op) };
    let outcome = match found.outcome {
        Ok(result) if unknown::is_in(&result) => {
            Outcome::Done { result: unknown::rooted(result, &source, &shape_of(op)), fingerprint: Value::Null }
        }
        Ok(result) => Outcome::Done { result, fingerprint: Value::Null },
        Err(error) => Outcome::Error { error },
    };
    Ok(Fact::Foreseen {
        call: call.id.clone(),
        op: call.op.clone(),
        revision: call.revision,
        args: call.args.clone(),
        outcome,
        basis: found.basis,
        reason: found.why,
        key,
        before,
        takes_ms: u64::try_from(found.takes.as_millis()).unwrap_or(u64::MAX),
        changes: found.changes,
        branch: Vec::new(),
        repeated: None,
        at_most: None,
    })
}

/// An effect that was about to be sent, or was sent: the world is asked what became of it.
fn effect(host: &dyn PlanHost, request: &Request) -> Foreseen {
    let why = match host.probe(request) {
        Ok(Probe::Done { result }) => return told(result, Basis::Exact, ""),
        Ok(Probe::Failed { error }) => return Foreseen { outcome: Err(error), ..told(Value::Null, Basis::Exact, "") },
        Ok(Probe::NotDone) => return host.foresee(request),
        Ok(Probe::Running { .. }) => "it is still at work".to_owned(),
        Ok(Probe::Partial { what }) => format!("{what}; it is undone and made anew"),
        Ok(Probe::CannotTell { why }) => format!("nobody can tell whether it was done: {why}"),
        Err(error) => format!("nobody can tell whether it was done: {}", error.message),
    };
    // What it works on is being changed.
    host.spoil(&[part_of(request.op)], &format!("{}: {why}", request.op.name));
    let result = not_known(&format!("the result of {}: {why}", request.op.name));
    Foreseen { takes: request.op.typical, ..told(result, Basis::Unknown, &why) }
}

/// The part of the world that an operation works on.
fn part_of(op: &OpEntry) -> &'static str {
    match op.family() {
        "fs" => "fs",
        "pg" => "pg",
        "http" => "http",
        _ => "",
    }
}

fn told(result: Value, basis: Basis, why: &str) -> Foreseen {
    let (before, takes, changes) = (Value::Null, std::time::Duration::ZERO, Vec::new());
    Foreseen { outcome: Ok(result), basis, why: why.to_owned(), before, takes, changes }
}
