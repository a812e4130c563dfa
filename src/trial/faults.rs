//! Calls that fail on purpose, and effects around which the engine is stopped.

use std::collections::HashMap;
use std::sync::Arc;

use parking_lot::Mutex;

use crate::engine::Observer;
use crate::journal::memory::MemoryStore;
use crate::journal::{Fact, Record};
use crate::model::fault::{OpError, Target};
use crate::model::{RunId, StepPath, Value};
use crate::ops::host::{Polled, Probe, ReadHost, Request, Sent, WriteHost};
use crate::playbook::trial::{FaultAt, How, KillAt, Moment as Around};
use crate::sandbox::fault::{Action, Moment};
use crate::sandbox::host::SandboxHost;

/// What has happened so far of what is to fail. It lives as long as the test, however often the engine is started.
#[derive(Default)]
pub(super) struct Book {
    inner: Mutex<Inner>,
}

#[derive(Default)]
struct Inner {
    faults: Vec<(FaultAt, u32, bool)>,
    /// Which step an effect belongs to, by its key.
    steps: HashMap<String, StepPath>,
    /// Where this life of the engine ends, and how many effects it has sent.
    kill: Option<KillAt>,
    sent: u32,
}

impl Book {
    pub fn of(faults: &[FaultAt]) -> Arc<Self> {
        let faults = faults.iter().map(|fault| (fault.clone(), 0, false)).collect();
        Arc::new(Self { inner: Mutex::new(Inner { faults, ..Inner::default() }) })
    }

    /// A new life of the engine, which ends there.
    pub fn live(&self, kill: Option<KillAt>) {
        let mut inner = self.inner.lock();
        inner.kill = kill;
        inner.sent = 0;
    }

    /// How many effects this life of the engine has sent.
    pub fn sent(&self) -> u32 {
        self.inner.lock().sent
    }

    /// Failures that never came to pass, with how many calls fitted.
    pub fn unused(&self) -> Vec<(FaultAt, u32)> {
        let inner = self.inner.lock();
        inner.faults.iter().filter(|(_, _, fired)| !fired).map(|(fault, count, _)| (fault.clone(), *count)).collect()
    }

    fn at_effect(&self, request: &Request, moment: Moment) -> Action {
        let mut inner = self.inner.lock();
        let inner = &mut *inner;
        if moment == Moment::Before {
            inner.sent += 1;
        }
        if let Some(KillAt::Effect(number, around)) = inner.kill
            && number == inner.sent
        {
            match (around, moment) {
                (Around::Before, Moment::Before) | (Around::After, Moment::After) => return Action::Stop,
                (Around::Half, Moment::Before) => return Action::Half { stop: true },
                _ => {}
            }
        }
        let step = inner.steps.get(&request.key);
        for (fault, count, fired) in &mut inner.faults {
            let fits = fault.op.as_ref().is_none_or(|op| op.value == request.op.name)
                && fault.step.as_ref().is_none_or(|wanted| {
                    step.is_some_and(|step| step.as_str() == wanted.value || step.step() == wanted.value)
                });
            if !fits {
                continue;
            }
            if moment == Moment::Before {
                *count += 1;
            }
            if !fault.uses.is_empty() && !fault.uses.contains(count) {
                continue;
            }
            match (fault.how, moment) {
                (How::Lost, Moment::After) => {
                    *fired = true;
                    let said = "cannot tell what became of it: the answer was lost on purpose";
                    return Action::Fail(OpError::unknown(fault.message.clone().unwrap_or_else(|| said.to_owned())));
                }
                (How::Half, Moment::Before) => {
                    *fired = true;
                    return Action::Half { stop: false };
                }
                (How::Refused | How::Denied | How::Transient | How::Failed, Moment::Before) => {
                    *fired = true;
                    return Action::Fail(error(fault, request));
                }
                _ => {}
            }
        }
        Action::Go
    }

    fn at_read(&self, request: &Request) -> Result<(), OpError> {
        let mut inner = self.inner.lock();
        for (fault, count, fired) in &mut inner.faults {
            if fault.op.as_ref().is_none_or(|op| op.value != request.op.name) {
                continue;
            }
            *count += 1;
            if fault.uses.is_empty() || fault.uses.contains(count) {
                *fired = true;
                return Err(error(fault, request));
            }
        }
        Ok(())
    }
}

fn error(fault: &FaultAt, request: &Request) -> OpError {
    let said = |made_up: String| fault.message.clone().unwrap_or(made_up);
    let op = request.op.name;
    match fault.how {
        How::Transient => OpError::transient(said(format!("{op}: cannot be reached, on purpose"))),
        How::Denied => OpError::denied(said(format!("{op} is not allowed, on purpose"))),
        How::Failed => OpError::failed(said(format!("{op} failed on purpose"))),
        How::Refused | How::Half | How::Lost => OpError::refused(said(format!("{op} was refused on purpose"))),
    }
}

impl Observer for Book {
    fn record(&self, _run: &RunId, record: &Record) {
        if let Fact::Intent { call, key, .. } | Fact::Resent { call, key, .. } = &record.fact {
            self.inner.lock().steps.insert(key.clone(), call.step.clone());
        }
    }

    fn progress(&self, _run: &RunId, _step: &StepPath, _text: &str) {}
}

/// The sandbox, in which what is to fail fails.
pub(super) struct FaultyHost {
    sandbox: SandboxHost,
    book: Arc<Book>,
}

impl FaultyHost {
    /// The store goes down with the engine, as it would with its process.
    pub fn new(sandbox: SandboxHost, book: Arc<Book>, store: Arc<MemoryStore>) -> Self {
        let asked = Arc::clone(&book);
        let sandbox = sandbox.on_send(Box::new(move |request, moment| {
            let action = asked.at_effect(request, moment);
            if matches!(action, Action::Stop | Action::Half { stop: true }) {
                store.stop_after(0);
            }
            action
        }));
        Self { sandbox, book }
    }
}

impl ReadHost for FaultyHost {
    fn read(&self, request: &Request) -> Result<Value, OpError> {
        self.book.at_read(request)?;
        self.sandbox.read(request)
    }

    fn poll(&self, request: &Request) -> Result<Polled, OpError> {
        self.book.at_read(request)?;
        self.sandbox.poll(request)
    }

    fn before(&self, request: &Request) -> Result<Value, OpError> {
        self.sandbox.before(request)
    }

    fn probe(&self, request: &Request) -> Result<Probe, OpError> {
        self.sandbox.probe(request)
    }

    fn fingerprint(&self, request: &Request, result: &Value) -> Result<Value, OpError> {
        self.sandbox.fingerprint(request, result)
    }

    fn target(&self, request: &Request) -> Result<Option<Target>, OpError> {
        self.sandbox.target(request)
    }
}

impl WriteHost for FaultyHost {
    fn send(&self, request: &Request) -> Result<Sent, OpError> {
        self.sandbox.send(request)
    }

    fn release(&self, request: &Request) {
        self.sandbox.release(request);
    }

    fn finish_run(&self, run: &RunId) {
        self.sandbox.finish_run(run);
    }
}
