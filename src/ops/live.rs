//! The live backend: the operation table, performed on the real world.

use std::sync::Arc;

use super::context::{ReadContext, WriteContext, Writer};
use super::host::{Polled, Probe, ReadHost, Request, Sent, WriteHost};
use super::process::Children;
use super::secrets::Secrets;
use super::spec::{Backend, OpEntry, WriteEntry};
use crate::clock::Clock;
use crate::model::fault::{OpError, Target};
use crate::model::secret::Sighting;
use crate::model::{RunId, Value};

/// The reading half. It has no [`Writer`] and cannot make a [`WriteContext`].
pub struct LiveReader {
    clock: Arc<dyn Clock>,
    secrets: Arc<Secrets>,
    children: Arc<Children>,
}

impl LiveReader {
    /// Reads the world with these.
    #[must_use]
    pub fn new(clock: Arc<dyn Clock>, secrets: Arc<Secrets>, children: Arc<Children>) -> Self {
        Self { clock, secrets, children }
    }

    fn context<'c>(&'c self, request: &'c Request) -> ReadContext<'c> {
        ReadContext {
            run: &request.run,
            key: &request.key,
            before: &request.before,
            deadline: request.deadline,
            clock: &*self.clock,
            secrets: &self.secrets,
            children: &self.children,
        }
    }
}

impl LiveReader {
    /// For what is asked about a call when its time may be over: the deadline is that of the call alone.
    fn untimed<'c>(&'c self, request: &'c Request) -> ReadContext<'c> {
        ReadContext { deadline: None, ..self.context(request) }
    }

    /// What an operation answers, after the redactor has learned what the operation may have brought to light: it is only then
    /// that an answer can be written down or shown.
    fn told<T>(&self, answer: T) -> T {
        self.secrets.refresh();
        answer
    }
}

fn not_that_kind(op: &OpEntry, act: &str) -> OpError {
    OpError::refused(format!("cannot {act} {}: it is an operation of another kind ({:?})", op.name, op.effect))
}

fn effect_of(op: &'static OpEntry, act: &str) -> Result<&'static WriteEntry, OpError> {
    match &op.backend {
        Backend::Write(entry) => Ok(entry),
        Backend::Engine | Backend::Read(_) | Backend::Wait(_) => Err(not_that_kind(op, act)),
    }
}

impl ReadHost for LiveReader {
    fn read(&self, request: &Request) -> Result<Value, OpError> {
        match &request.op.backend {
            Backend::Read(read) => self.told(read(&self.context(request), request.args.clone())),
            Backend::Engine | Backend::Wait(_) | Backend::Write(_) => Err(not_that_kind(request.op, "read by")),
        }
    }

    fn poll(&self, request: &Request) -> Result<Polled, OpError> {
        match &request.op.backend {
            Backend::Wait(poll) => self.told(poll(&self.context(request), request.args.clone())),
            Backend::Engine | Backend::Read(_) | Backend::Write(_) => Err(not_that_kind(request.op, "wait by")),
        }
    }

    fn before(&self, request: &Request) -> Result<Value, OpError> {
        self.told((effect_of(request.op, "prepare")?.before)(&self.context(request), &request.args))
    }

    fn probe(&self, request: &Request) -> Result<Probe, OpError> {
        self.told((effect_of(request.op, "probe")?.probe)(&self.untimed(request), &request.args))
    }

    fn fingerprint(&self, request: &Request, result: &Value) -> Result<Value, OpError> {
        self.told((effect_of(request.op, "fingerprint")?.fingerprint)(&self.untimed(request), &request.args, result))
    }

    fn secrets(&self, request: &Request) -> Vec<Sighting> {
        self.secrets.sightings(&request.run, &request.args)
    }

    fn target(&self, request: &Request) -> Result<Option<Target>, OpError> {
        (request.op.target)(&self.context(request), &request.args)
    }
}

/// Both halves.
pub struct LiveHost {
    reader: LiveReader,
    writer: Writer,
}

impl LiveHost {
    /// Reads with the one and writes with the other.
    #[must_use]
    pub fn new(reader: LiveReader, writer: Writer) -> Self {
        Self { reader, writer }
    }

    fn context<'c>(&'c self, request: &'c Request) -> WriteContext<'c> {
        WriteContext { read: self.reader.context(request), writer: &self.writer }
    }
}

impl ReadHost for LiveHost {
    fn read(&self, request: &Request) -> Result<Value, OpError> {
        self.reader.read(request)
    }

    fn poll(&self, request: &Request) -> Result<Polled, OpError> {
        self.reader.poll(request)
    }

    fn before(&self, request: &Request) -> Result<Value, OpError> {
        self.reader.before(request)
    }

    fn probe(&self, request: &Request) -> Result<Probe, OpError> {
        self.reader.probe(request)
    }

    fn fingerprint(&self, request: &Request, result: &Value) -> Result<Value, OpError> {
        self.reader.fingerprint(request, result)
    }

    fn secrets(&self, request: &Request) -> Vec<Sighting> {
        self.reader.secrets(request)
    }

    fn target(&self, request: &Request) -> Result<Option<Target>, OpError> {
        self.reader.target(request)
    }
}

impl WriteHost for LiveHost {
    fn send(&self, request: &Request) -> Result<Sent, OpError> {
        self.reader.told((effect_of(request.op, "send")?.send)(&self.context(request), request.args.clone()))
    }

    fn release(&self, request: &Request) {
        if let Ok(entry) = effect_of(request.op, "release") {
            let context = WriteContext { read: self.reader.untimed(request), writer: &self.writer };
            (entry.release)(&context, &request.args);
        }
    }

    fn finish_run(&self, run: &RunId) {
        self.writer.images.drop_all(run);
    }
}
