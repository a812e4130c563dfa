//! Every operation on the sandbox: done, stopped, done by half, undone.

mod aws;
mod behind;
mod controllers;
mod effects;
mod helm;
mod k8s;
mod overlay;
mod pgo;
mod pgo_databases;
mod pgo_plans;
mod pgo_sites;
mod pods;
mod reads;
mod schema;

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use serde_json::json;

use super::{SandboxHost, World};
use crate::clock::{Clock, SimClock};
use crate::model::fault::OpError;
use crate::model::{RunId, Value};
use crate::ops;
use crate::ops::host::{Polled, Probe, ReadHost, Request, Sent, WriteHost};
use crate::ops::spec::{Backend, Undo};

const WORLD: &str = r#"
files:
  /srv/data/one.txt: "one"
  /srv/data/deep/two.txt: "two"
  /srv/.env: "NAME=value\nSECRET=s3cr3t-text\n"
  /srv/notes.json: { json: { a: 1 } }
  /srv/data.tar: { tar_of: /srv/data }
  /srv/app.tar: { tar: { /data/uploads/b.txt: "b" } }
  /srv/old.dump: { dump_of: db/chat }
  /srv/newer.dump: { dump: { database: chat, major: 99 } }
  /srv/cut.dump: { dump_of: db/chat, cut: 100 }
  /srv/empty.dump: ""
  /srv/key: "key"
  /srv/hollow:
containers:
  db: { image: "postgres:17", health: healthy, labels: { compose: local }, mounts: [{ volume: pgdata, at: /var/lib/postgresql/data }] }
  web: { image: web, sessions: { db/chat: 2 }, files: { /app/data/uploads/a.txt: "a" } }
  idle: { image: web, state: exited }
  ollama: { image: ollama, mounts: [{ volume: models, at: /root/.ollama }] }
  gone: { image: web, absent: true }
volumes:
  models: { files: { /models/blobs/sha256-aa: { size: 2MiB, sha256: aa }, /models/blobs/x-partial: "p", /models/manifests/m: "{}" } }
postgres:
  db:
    roles: [chat_user]
    databases:
      chat: { tables: { user: { data: [{ id: 1, name: ann }, { id: 2, name: bob }] }, chat: { rows: 40 } }, large_objects: 3 }
      spare: {}
    answers: [{ sql: "select * from pg_settings *", rows: [{ name: x }] }]
http:
  http://127.0.0.1:3002/health: { body: '{"status":true}', needs: [web] }
  http://hooks/x: {}
commands:
  - { argv: [make, local-up], cwd: /srv, takes_ms: 5000, stdout: "up\n", does: [{ up: { container: gone } }] }
  - { argv: [git, rev-parse, "*"], stdout: "commit of {2}\n" }
"#;

/// A world, its clock, and the run that works on it.
struct Stage {
    world: Arc<Mutex<World>>,
    clock: Arc<SimClock>,
    run: RunId,
}

impl Stage {
    fn new() -> Self {
        Self::of(World::load(WORLD).unwrap())
    }

    fn of(world: World) -> Self {
        let clock = Arc::new(SimClock::at(world.now));
        Self { world: Arc::new(Mutex::new(world)), clock, run: RunId::from_entropy(7) }
    }

    fn host(&self) -> SandboxHost {
        SandboxHost::new(Arc::clone(&self.world), self.clock.clone(), Arc::default())
    }

    fn request(&self, op: &str, args: Value, key: &str) -> Request {
        let op = ops::find(op).unwrap_or_else(|| panic!("no operation {op}"));
        (op.check_args)(&args).unwrap_or_else(|e| panic!("{}: {e}", op.name));
        let run = self.run.clone();
        Request { run, op, args, key: key.to_owned(), before: Value::Null, deadline: None }
    }

    fn read(&self, op: &str, args: Value) -> Result<Value, OpError> {
        self.host().read(&self.request(op, args, ""))
    }

    fn before(&self, op: &str, args: Value) -> Result<Value, OpError> {
        self.host().before(&self.request(op, args, "m-1"))
    }

    /// A request whose intent is durable: its image is taken.
    fn intended(&self, op: &str, args: Value, key: &str) -> Result<Request, OpError> {
        let mut request = self.request(op, args, key);
        request.before = self.host().before(&request)?;
        Ok(request)
    }

    /// Does an effect from intent to release.
    fn perform(&self, op: &str, args: Value, key: &str) -> Result<Value, OpError> {
        let request = self.intended(op, args, key)?;
        let host = self.host();
        let result = match host.send(&request)? {
            Sent::Done(result) => result,
            Sent::Running => self.follow(&host, &request)?,
        };
        host.fingerprint(&request, &result)?;
        host.release(&request);
        Ok(result)
    }

    /// Waits for the end of what runs.
    fn follow(&self, host: &SandboxHost, request: &Request) -> Result<Value, OpError> {
        for _ in 0..100 {
            match host.probe(request)? {
                Probe::Done { result } => return Ok(result),
                Probe::Failed { error } => return Err(error),
                Probe::Running { .. } => self.clock.sleep(Duration::from_secs(1)),
                other => panic!("{}: {other:?}", request.op.name),
            }
        }
        panic!("{} never ends", request.op.name);
    }

    /// How an effect is undone, with the slots of its result filled in.
    fn undo_of(&self, request: &Request, result: Option<&Value>) -> Undo {
        let Backend::Write(entry) = &request.op.backend else { panic!("{} is no effect", request.op.name) };
        match (entry.undo)(&request.args, &request.before, &request.key) {
            Undo::Call { op, args } => Undo::Call { op, args: fill(args, result) },
            other => other,
        }
    }

    fn wait(&self, op: &str, args: Value) -> Result<(Value, usize), OpError> {
        let (host, request) = (self.host(), self.request(op, args, ""));
        for polls in 1..100 {
            match host.poll(&request)? {
                Polled::Ready(result) => return Ok((result, polls)),
                Polled::Pending { again, .. } => self.clock.sleep(again),
            }
        }
        panic!("{op} never ends");
    }
}

/// As the engine does it: a slot that cannot be filled is left out.
fn fill(args: Value, result: Option<&Value>) -> Value {
    match args {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .filter_map(|(name, value)| match value.as_str().and_then(|text| text.strip_prefix("$result")) {
                    Some(pointer) => Some((name, result?.pointer(pointer)?.clone())),
                    None => Some((name, fill(value, result))),
                })
                .collect(),
        ),
        other => other,
    }
}

fn db() -> Value {
    json!({ "container": "db", "user": "chat_user" })
}
