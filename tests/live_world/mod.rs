//! A live host on a folder of its own, as the tests of operations use it.
#![allow(dead_code)]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, Instant};

use muster::clock::SystemClock;
use muster::model::secret::Redactor;
use muster::model::{RunId, Value};
use muster::ops::context::Writer;
use muster::ops::live::{LiveHost, LiveReader};
use muster::ops::process::Children;
use muster::ops::secrets::Secrets;
use muster::ops::{OpError, Probe, ReadHost, Request, Sent, WriteHost, find};

pub struct LiveWorld {
    pub host: LiveHost,
    pub children: Arc<Children>,
    pub redactor: Arc<Redactor>,
    pub secrets: Arc<Secrets>,
    pub run: RunId,
}

impl LiveWorld {
    /// With its children under this folder.
    pub fn under(folder: &Path) -> Self {
        let children = Arc::new(Children::new(folder.join("children"), PathBuf::from(env!("CARGO_BIN_EXE_muster"))));
        let redactor = Arc::<Redactor>::default();
        let secrets = Arc::new(Secrets::new([9; 32], Arc::clone(&redactor)));
        let reader = LiveReader::new(Arc::new(SystemClock), Arc::clone(&secrets), Arc::clone(&children));
        let host = LiveHost::new(reader, Writer::new(Arc::clone(&children)));
        Self { host, children, redactor, secrets, run: RunId::from_entropy(77) }
    }

    pub fn request(&self, op: &str, args: Value, key: &str) -> Request {
        let op = find(op).unwrap_or_else(|| panic!("no operation {op}"));
        Request { run: self.run.clone(), op, args, key: key.into(), before: Value::Null, deadline: None }
    }

    pub fn read(&self, op: &str, args: Value) -> Result<Value, OpError> {
        self.host.read(&self.request(op, args, ""))
    }

    /// The request with its image taken.
    pub fn ready(&self, op: &str, args: Value, key: &str) -> Result<Request, OpError> {
        let mut request = self.request(op, args, key);
        request.before = self.host.before(&request)?;
        Ok(request)
    }

    /// Sends it, waits for its end, and forgets what was kept for the probe.
    pub fn write(&self, op: &str, args: Value, key: &str) -> Result<Value, OpError> {
        let request = self.ready(op, args, key)?;
        let result = match self.host.send(&request) {
            Ok(Sent::Done(result)) => Ok(result),
            Ok(Sent::Running) => self.wait(&request),
            Err(error) => Err(error),
        };
        self.host.release(&request);
        result
    }

    /// Waits for the end of what was sent.
    pub fn wait(&self, request: &Request) -> Result<Value, OpError> {
        let begun = Instant::now();
        loop {
            match self.host.probe(request)? {
                Probe::Done { result } => return Ok(result),
                Probe::Failed { error } => return Err(error),
                Probe::Running { .. } if begun.elapsed() < Duration::from_secs(120) => {
                    std::thread::sleep(Duration::from_millis(10));
                }
                other => panic!("{}: {other:?}", request.op.name),
            }
        }
    }
}

/// Waits until something is so.
pub fn until(what: &str, mut so: impl FnMut() -> bool) {
    let begun = Instant::now();
    while !so() {
        assert!(begun.elapsed() < Duration::from_secs(60), "waited in vain: {what}");
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// Whether a process lives.
pub fn lives(pid: i32) -> bool {
    std::fs::read_to_string(format!("/proc/{pid}/stat"))
        .is_ok_and(|stat| !stat.rsplit(')').next().unwrap_or("").trim_start().starts_with(['Z', 'X']))
}
