//! What a drill has left behind: everything that it made is looked for again, and every system that it worked on is asked for what
//! carries its mark.

use std::collections::BTreeMap;
use std::time::Duration;

use super::cell::RunCell;
use super::driver::Inner;
use super::effect::Advance;
use super::error::EngineError;
use super::fence;
use super::state::Undone;
use crate::journal::record::Pause;
use crate::model::drill::Leak;
use crate::model::fault::{ErrorClass, OpError};
use crate::model::{StepPath, Value};
use crate::ops::owned::Question;
use crate::ops::{Probe, Request, leftover, owned};

/// How often a system that does not answer is asked for what carries the mark.
const ASK_TRIES: u32 = 3;

/// What was found after a teardown.
#[derive(Debug, Default)]
pub(super) struct Swept {
    /// How many things were looked for.
    pub looked: u32,
    /// What is left.
    pub leaks: Vec<Leak>,
    /// What was asked for the drill's mark, in words.
    pub asked: Vec<String>,
    /// What could not be asked, and why.
    pub unasked: BTreeMap<String, String>,
}

impl Inner {
    /// What a drill has left: everything in its ledger is read again; what was done to things that are not its own and has not been
    /// undone is told; and what carries its mark is asked for, wherever it has done something.
    pub(super) fn sweep(&self, cell: &RunCell) -> Result<Result<Swept, Advance>, EngineError> {
        let (made, changed) = {
            let core = cell.core.lock();
            (fence::all_made(&core.state), fence::changed_others(&core.state))
        };
        let mut gone: Vec<String> = Vec::new();
        let mut swept = Swept::default();
        for thing in made {
            if gone.iter().any(|gone| thing.touch.lies_under(gone)) {
                gone.push(thing.touch.resource);
                continue;
            }
            swept.looked += 1;
            let request = self.recorded_request(cell, thing.call)?;
            let found = match self.stands(&request, &thing.touch.resource) {
                Err(error) if error.class == ErrorClass::Credentials => {
                    let step = cell.core.lock().state.calls[thing.call].id.step.clone();
                    return self.pause(cell, Pause::Credentials { step, message: error.message }).map(Err);
                }
                Err(error) => Some(format!("whether it still stands cannot be seen: {}", error.message)),
                Ok(found) => found,
            };
            let core = cell.core.lock();
            let call = &core.state.calls[thing.call];
            match found {
                None => gone.push(thing.touch.resource),
                Some(mut found) => {
                    if let Undone::Skipped(why) = &call.undone {
                        found = format!("{found}; undoing it failed: {why}");
                    }
                    let remove = leftover::removal(&thing.touch.resource, &request.args);
                    let (call, op) = (Some(call.id.clone()), call.op.clone());
                    swept.leaks.push(Leak { resource: thing.touch.resource, call, op, found, remove });
                }
            }
        }
        {
            let core = cell.core.lock();
            for (index, resource, why) in changed {
                let call = &core.state.calls[index];
                let found = format!("what was done to it is not undone: {why}");
                let (call, op) = (Some(call.id.clone()), call.op.clone());
                swept.leaks.push(Leak { resource, call, op, found, remove: None });
            }
        }
        for (step, request, question) in self.questions(cell, &gone)? {
            match self.put(&request, &question) {
                Err(error) if error.class == ErrorClass::Credentials => {
                    return self.pause(cell, Pause::Credentials { step, message: error.message }).map(Err);
                }
                Err(error) => drop(swept.unasked.insert(question.what, error.message)),
                Ok(answer) => {
                    for marked in question.marked(&answer, &request.run) {
                        if !swept.leaks.iter().any(|leak| leak.resource == marked.resource) {
                            swept.leaks.push(foreign(cell, marked, &question.args));
                        }
                    }
                    swept.asked.push(question.what);
                }
            }
        }
        Ok(Ok(swept))
    }

    /// What is to be asked for the mark of the run: once each, wherever one of its effects may have been done.
    fn questions(&self, cell: &RunCell, gone: &[String]) -> Result<Vec<(StepPath, Request, Question)>, EngineError> {
        let effects: Vec<usize> = {
            let core = cell.core.lock();
            let calls = core.state.calls.iter().enumerate();
            calls
                .filter(|(_, call)| call.is_effect() && call.may_have_left_something())
                .map(|(index, _)| index)
                .collect()
        };
        let mut all: Vec<(StepPath, Request, Question)> = Vec::new();
        for index in effects {
            let request = self.recorded_request(cell, index)?;
            let touches = (request.op.touches)(&request.args, &request.before);
            let step = cell.core.lock().state.calls[index].id.step.clone();
            for question in owned::questions(&request.run, request.op.family(), &request.args, &touches) {
                let is_gone = question.within.as_ref().is_some_and(|within| gone.contains(within));
                if !is_gone && !all.iter().any(|(_, _, asked)| *asked == question) {
                    all.push((step.clone(), request.clone(), question));
                }
            }
        }
        Ok(all)
    }

    /// Puts a question; one that nobody answers is put again.
    fn put(&self, request: &Request, question: &Question) -> Result<Value, OpError> {
        let Some(op) = crate::ops::find(question.op) else {
            return Err(OpError::refused(format!("there is no operation {}", question.op)));
        };
        let asked = Request {
            op,
            args: question.args.clone(),
            key: String::new(),
            before: Value::Null,
            deadline: None,
            run: request.run.clone(),
        };
        let mut tries = 0;
        loop {
            tries += 1;
            match self.host.reader().read(&asked) {
                Err(error) if error.class == ErrorClass::Transient && tries < ASK_TRIES => {
                    self.clock.sleep(Duration::from_secs(u64::from(tries)));
                }
                answer => return answer,
            }
        }
    }

    /// Whether something that a call made still stands: what is seen of it.
    fn stands(&self, request: &Request, resource: &str) -> Result<Option<String>, OpError> {
        const STANDS: &str = "it still stands";
        let reader = self.host.reader();
        if let Some(look) = leftover::look(resource, &request.args)
            && let Some(op) = crate::ops::find(look.op)
        {
            let asked = Request {
                op,
                args: look.args.clone(),
                key: String::new(),
                before: Value::Null,
                deadline: None,
                run: request.run.clone(),
            };
            let found = reader.read(&asked)?;
            return Ok(look.is_there(&found).then(|| STANDS.to_owned()));
        }
        Ok(match reader.probe(request)? {
            Probe::Done { .. } => Some(STANDS.to_owned()),
            Probe::Running { .. } => Some("it is still being made".to_owned()),
            Probe::Partial { what } => Some(what),
            Probe::CannotTell { why } => Some(format!("nobody can tell whether it still stands: {why}")),
            Probe::NotDone | Probe::Failed { .. } => None,
        })
    }
}

/// Something that carries the mark of the run, though no call of it answers for it.
fn foreign(cell: &RunCell, marked: owned::Marked, asked: &Value) -> Leak {
    let core = cell.core.lock();
    let call = core.state.calls.iter().find(|call| call.key().is_some_and(|key| marked.is_by(key)));
    let found = match call {
        Some(_) => "it carries the mark of this call, which is not known to have made it".to_owned(),
        None if marked.key.is_empty() => "it carries the mark of this drill, and no call of it has made it".to_owned(),
        None => format!("it carries the mark of this drill ({}), and no call of it has made it", marked.key),
    };
    let remove = leftover::removal(&marked.resource, asked);
    let op = call.map(|call| call.op.clone()).unwrap_or_default();
    Leak { resource: marked.resource, call: call.map(|call| call.id.clone()), op, found, remove }
}
