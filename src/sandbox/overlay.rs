//! The world of a plan: a base that is only read, with the plan's own effects laid over it.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;

use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::model::forecast::Basis;
use crate::ops::foresight::{Foreseen, Mark, PlanHost};
use crate::ops::host::{Polled, Probe, ReadHost, Request};
use crate::ops::spec::{Backend, Predicted, unknown};

/// The world of a plan.
pub struct Overlay {
    base: Arc<dyn ReadHost>,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Resources that effects of the plan would have changed.
    spoiled: Vec<String>,
    marks: Vec<Vec<String>>,
}

impl Overlay {
    /// Over this base.
    #[must_use]
    pub fn over(base: Arc<dyn ReadHost>) -> Self {
        Self { base, state: Mutex::default() }
    }

    fn is_spoiled(&self, resource: &str) -> bool {
        self.state.lock().spoiled.iter().any(|other| overlaps(other, resource))
    }
}

/// Whether one resource contains the other, or is it. An empty one may be anything.
fn overlaps(a: &str, b: &str) -> bool {
    let (short, long) = if a.len() <= b.len() { (a, b) } else { (b, a) };
    short.is_empty() || long == short || long.strip_prefix(short).is_some_and(|rest| rest.starts_with('/'))
}

fn guess(why: String) -> Foreseen {
    let (outcome, takes, changes) = (Ok(unknown(&why)), Duration::ZERO, Vec::new());
    Foreseen { outcome, basis: Basis::Unknown, why, before: Value::Null, takes, changes }
}

fn answer(outcome: Result<Value, OpError>, basis: Basis, why: &str) -> Foreseen {
    let (before, takes, changes) = (Value::Null, Duration::ZERO, Vec::new());
    Foreseen { outcome, basis, why: why.to_owned(), before, takes, changes }
}

impl PlanHost for Overlay {
    fn foresee(&self, request: &Request) -> Foreseen {
        let (op, name) = (request.op, request.op.name);
        let resource = (op.resource)(&request.args);
        let spoiled = self.is_spoiled(&resource);
        match &op.backend {
            Backend::Write(entry) => {
                // After an effect that the plan did not send, preconditions cannot be asked of the live system.
                let before = if spoiled { Ok(Value::Null) } else { self.base.before(request) };
                self.state.lock().spoiled.push(resource);
                match before {
                    Err(error) => answer(Err(error), Basis::Predicted, "its precondition does not hold"),
                    Ok(before) => {
                        let foreseen = match (entry.predict)(&request.args, &before, &request.key) {
                            Predicted::Result(result) if op.effect == crate::ops::Effect::Exec => {
                                answer(Ok(result), Basis::Opaque, "nobody knows what the program does")
                            }
                            Predicted::Result(result) => answer(Ok(result), Basis::Predicted, "by its model"),
                            Predicted::Opaque => {
                                let result = Ok(unknown(&format!("the result of {name}")));
                                answer(result, Basis::Opaque, "nobody knows what the program does")
                            }
                        };
                        Foreseen { before, takes: op.typical, ..foreseen }
                    }
                }
            }
            Backend::Read(_) if name == "time.now" => guess("the time of the run".to_owned()),
            Backend::Read(_) if spoiled => guess(format!("what {name} reads after the plan's effects")),
            Backend::Read(_) => answer(self.base.read(request), Basis::Exact, ""),
            Backend::Wait(_) if spoiled => guess(format!("the result of {name}")),
            Backend::Wait(_) => match self.base.poll(request) {
                Ok(Polled::Ready(result)) => answer(Ok(result), Basis::Exact, ""),
                Ok(Polled::Pending { .. }) => guess(format!("what {name} waits for")),
                Err(error) => answer(Err(error), Basis::Exact, ""),
            },
            Backend::Engine => answer(Ok(Value::Null), Basis::Exact, ""),
        }
    }

    fn mark(&self) -> Mark {
        let mut state = self.state.lock();
        let now = state.spoiled.clone();
        state.marks.push(now);
        Mark(state.marks.len() - 1)
    }

    fn rewind(&self, to: Mark) {
        let mut state = self.state.lock();
        state.spoiled = state.marks.get(to.0).cloned().unwrap_or_default();
    }

    fn join(&self, ends: &[Mark]) {
        let mut state = self.state.lock();
        let mut spoiled: Vec<String> =
            ends.iter().filter_map(|mark| state.marks.get(mark.0)).flatten().cloned().collect();
        spoiled.sort();
        spoiled.dedup();
        state.spoiled = spoiled;
    }
}

impl ReadHost for Overlay {
    fn read(&self, request: &Request) -> Result<Value, OpError> {
        self.base.read(request)
    }

    fn poll(&self, request: &Request) -> Result<Polled, OpError> {
        self.base.poll(request)
    }

    fn before(&self, request: &Request) -> Result<Value, OpError> {
        self.base.before(request)
    }

    fn probe(&self, request: &Request) -> Result<Probe, OpError> {
        self.base.probe(request)
    }

    fn fingerprint(&self, request: &Request, result: &Value) -> Result<Value, OpError> {
        self.base.fingerprint(request, result)
    }

    fn target(&self, request: &Request) -> Result<Option<Target>, OpError> {
        self.base.target(request)
    }
}
