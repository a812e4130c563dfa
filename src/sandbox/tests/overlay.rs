//! What a plan foresees is what a run then finds, wherever the plan does not say that it cannot know.

use proptest::prelude::*;

use super::*;
use crate::model::fault::ErrorClass;
use crate::model::forecast::Basis;
use crate::ops::Effect;
use crate::ops::foresight::{Foreseen, PlanHost};
use crate::ops::spec::UNKNOWN_KEY;
use crate::sandbox::{Overlay, SandboxReader};

/// Calls that get in each other's way.
fn calls() -> Vec<(&'static str, Value)> {
    let at = |path: &str| json!({ "path": path });
    let container = |name: &str| json!({ "container": name });
    let of = |name: &str| json!({ "server": db(), "database": name });
    vec![
        ("fs.stat", at("/srv/data/one.txt")),
        ("fs.stat", at("/srv/new/a.txt")),
        ("fs.stat", at("/srv/moved")),
        ("fs.stat", at("/srv/copy.txt")),
        ("fs.stat", at("/srv/chat.dump")),
        ("fs.list", at("/srv")),
        ("fs.list", at("/srv/data")),
        ("fs.list", at("/srv/moved")),
        ("fs.read_text", at("/srv/data/one.txt")),
        ("fs.read_text", at("/srv/moved/one.txt")),
        ("fs.read_text", at("/srv/new/a.txt")),
        ("fs.read_text", at("/srv/copy.txt")),
        ("fs.read_json", at("/srv/notes.json")),
        ("fs.dotenv", at("/srv/.env")),
        ("fs.sha256", at("/srv/copy.txt")),
        ("fs.sha256", at("/srv/chat.dump")),
        ("fs.hash_tree", at("/srv/data")),
        ("fs.tar_list", json!({ "archive": "/srv/packed.tar" })),
        ("fs.tar_list", json!({ "archive": "/srv/data.tar" })),
        ("fs.space", at("/srv")),
        ("docker.inspect", container("web")),
        ("docker.inspect", container("db")),
        ("docker.inspect", container("idle")),
        ("docker.inspect", container("drill")),
        ("docker.inspect", container("gone")),
        ("docker.list", json!({})),
        ("docker.volume", json!({ "volume": "extra" })),
        ("docker.image", json!({ "image": "web" })),
        ("docker.read", json!({ "container": "ollama", "argv": ["ls", "/root/.ollama/models"] })),
        ("docker.read", json!({ "container": "web", "argv": ["ls", "/app/data/uploads"] })),
        ("pg.server", json!({ "server": db() })),
        ("pg.databases", json!({ "server": db() })),
        ("pg.census", of("chat")),
        ("pg.census", of("side")),
        ("pg.census", of("old")),
        ("pg.query", json!({ "server": db(), "database": "chat", "sql": "select count(*) as n from chat" })),
        ("pg.check_dump", json!({ "server": db(), "path": "/srv/chat.dump" })),
        ("http.get", json!({ "url": "http://127.0.0.1:3002/health" })),
        ("exec.read", json!({ "argv": ["cat", "/srv/data/one.txt"] })),
        ("exec.read", json!({ "argv": ["git", "rev-parse", "HEAD"] })),
        ("docker.wait_healthy", container("db")),
        ("docker.wait_healthy", container("web")),
        ("pg.wait_ready", json!({ "server": db() })),
        ("http.wait_ok", json!({ "url": "http://127.0.0.1:3002/health" })),
        ("fs.make_dir", at("/srv/new")),
        ("fs.write_text", json!({ "path": "/srv/new/a.txt", "text": "a" })),
        ("fs.write_text", json!({ "path": "/srv/data/one.txt", "text": "other", "replace": true })),
        ("fs.write_json", json!({ "path": "/srv/notes.json", "value": { "b": 2 }, "replace": true })),
        ("fs.copy", json!({ "from": "/srv/data/one.txt", "to": "/srv/copy.txt" })),
        ("fs.archive", json!({ "from": "/srv/data", "to": "/srv/packed.tar" })),
        ("fs.rename", json!({ "from": "/srv/data", "to": "/srv/moved" })),
        ("fs.rename", json!({ "from": "/srv/moved", "to": "/srv/data" })),
        ("fs.delete", json!({ "path": "/srv/data", "recursive": true })),
        ("fs.delete", at("/srv/copy.txt")),
        ("fs.delete", at("/srv/chat.dump")),
        ("fs.unpack", json!({ "archive": "/srv/data.tar", "to": "/srv/data" })),
        ("docker.start", container("idle")),
        ("docker.start", container("db")),
        ("docker.start", container("web")),
        ("docker.stop", container("web")),
        ("docker.stop", container("db")),
        (
            "docker.create_container",
            json!({ "name": "drill", "image": "postgres:17", "env": { "POSTGRES_USER": "u" } }),
        ),
        ("docker.remove_container", json!({ "name": "drill", "force": true })),
        ("docker.create_volume", json!({ "volume": "extra" })),
        ("docker.remove_volume", json!({ "volume": "extra" })),
        ("docker.copy_out", json!({ "container": "web", "path": "/app/data", "to": "/srv/out.tar" })),
        ("docker.copy_in", json!({ "container": "web", "archive": "/srv/app.tar", "path": "/app" })),
        (
            "docker.run",
            json!({ "image": "web", "argv": ["rm", "-rf", "/v/models"], "mounts": [{ "volume": "models", "at": "/v" }] }),
        ),
        ("docker.exec", json!({ "container": "web", "argv": ["rm", "-f", "/app/data/uploads/a.txt"] })),
        ("pg.create_database", of("side")),
        ("pg.drop_database", of("side")),
        (
            "pg.rename_databases",
            json!({ "server": db(), "renames": [{ "from": "chat", "to": "old" }], "terminate": true }),
        ),
        ("pg.rename_databases", json!({ "server": db(), "renames": [{ "from": "side", "to": "chat" }] })),
        ("pg.rename_databases", json!({ "server": db(), "renames": [{ "from": "old", "to": "chat" }] })),
        ("pg.dump", json!({ "server": db(), "database": "chat", "to": "/srv/chat.dump" })),
        ("pg.restore", json!({ "server": db(), "database": "side", "from": "/srv/old.dump" })),
        ("pg.restore", json!({ "server": db(), "database": "side", "from": "/srv/chat.dump" })),
        ("pg.execute", json!({ "server": db(), "database": "chat", "sql": "update chat set x = 1" })),
        ("pg.terminate", of("chat")),
        ("pg.allow_connections", json!({ "server": db(), "database": "spare", "allow": false })),
        ("exec.run", json!({ "argv": ["make", "local-up"], "cwd": "/srv" })),
        ("http.post", json!({ "url": "http://hooks/x", "body": "hello" })),
    ]
}

impl Stage {
    /// What becomes of a call in a run.
    fn really(&self, request: &Request) -> Option<Result<Value, OpError>> {
        let host = self.host();
        for _ in 0..2000 {
            let outcome = match request.op.effect {
                Effect::Wait => match host.poll(request) {
                    Ok(Polled::Pending { again, .. }) => {
                        self.clock.sleep(again);
                        continue;
                    }
                    Ok(Polled::Ready(result)) => Ok(result),
                    Err(error) => Err(error),
                },
                effect if effect.writes() => self.sent(&host, request),
                _ => host.read(request),
            };
            match outcome {
                // Whoever needs a server that starts has waited for it.
                Err(error) if error.class == ErrorClass::Transient && error.message.ends_with("starting up") => {
                    self.clock.sleep(Duration::from_millis(10));
                }
                outcome => return Some(outcome),
            }
        }
        None
    }

    fn sent(&self, host: &SandboxHost, request: &Request) -> Result<Value, OpError> {
        let mut request = request.clone();
        request.before = host.before(&request)?;
        let result = match host.send(&request) {
            Ok(Sent::Done(result)) => Ok(result),
            Err(error) => Err(error),
            Ok(Sent::Running) => loop {
                match host.probe(&request)? {
                    Probe::Done { result } => break Ok(result),
                    Probe::Failed { error } => break Err(error),
                    Probe::Running { .. } => self.clock.sleep(Duration::from_millis(20)),
                    other => panic!("{}: {other:?}", request.op.name),
                }
            },
        };
        host.release(&request);
        result
    }
}

/// Whether what was foreseen is what came, as far as it was said to be known.
fn agrees(foreseen: &Value, came: &Value) -> bool {
    match (foreseen, came) {
        (Value::Object(fields), _) if fields.contains_key(UNKNOWN_KEY) => true,
        (Value::Object(a), Value::Object(b)) => {
            a.len() == b.len() && a.iter().all(|(key, value)| b.get(key).is_some_and(|other| agrees(value, other)))
        }
        (Value::Array(a), Value::Array(b)) => a.len() == b.len() && a.iter().zip(b).all(|(a, b)| agrees(a, b)),
        (a, b) => a == b,
    }
}

fn check(what: &str, foreseen: &Foreseen, came: &Result<Value, OpError>) -> Result<(), TestCaseError> {
    let nobody_knows = |value: &Value| value.get(UNKNOWN_KEY).is_some();
    let fits = match (&foreseen.outcome, came) {
        (Ok(value), _) if nobody_knows(value) => true,
        (Ok(value), Ok(came)) => agrees(value, came),
        (Err(error), Err(came)) => error.class == came.class,
        // That an effect of which there is no model succeeds is taken for granted, and so is that what is waited for comes.
        (Ok(_), Err(_)) => matches!(foreseen.basis, Basis::Opaque | Basis::Unknown),
        (Err(_), Ok(_)) => false,
    };
    prop_assert!(fits, "{what}: {foreseen:#?}\nand it came: {came:#?}");
    Ok(())
}

/// Goes through the calls in a run, in a plan over the world, and in one over a live system that is the world.
fn compare(order: &[usize]) -> Result<(), TestCaseError> {
    compare_in(&Stage::new(), &calls(), order)
}

/// The same for these calls in another world.
pub(super) fn compare_in(stage: &Stage, calls: &[(&'static str, Value)], order: &[usize]) -> Result<(), TestCaseError> {
    let begin = stage.world.lock().clone();
    let live = SandboxReader::new(Arc::new(Mutex::new(begin.clone())), stage.clock.clone(), Arc::default());
    let (inside, outside) = (Overlay::over_world(begin.clone()), Overlay::over(Arc::new(live)));
    for (place, which) in order.iter().enumerate() {
        let (op, args) = &calls[which % calls.len()];
        let request = stage.request(op, args.clone(), &format!("m-{place}"));
        let told = [("in the sandbox", inside.foresee(&request)), ("live", outside.foresee(&request))];
        let Some(came) = stage.really(&request) else { continue };
        for (base, foreseen) in told {
            let before: Vec<&(&str, Value)> = order[..place].iter().map(|which| &calls[which % calls.len()]).collect();
            check(&format!("{base}: {op} {args} after {before:#?}"), &foreseen, &came)?;
        }
    }
    Ok(())
}

#[test]
fn every_call_alone_is_foreseen_as_it_comes() {
    for which in 0..calls().len() {
        compare(&[which]).unwrap();
    }
}

#[test]
fn every_call_after_every_effect_is_foreseen_as_it_comes() {
    let calls = calls();
    let mut faults = Vec::new();
    let writes = |which: &usize| crate::ops::find(calls[*which].0).is_some_and(|op| op.effect.writes());
    for first in (0..calls.len()).filter(writes) {
        for second in 0..calls.len() {
            if let Err(fault) = compare(&[first, second]) {
                faults.push(fault.to_string());
            }
        }
    }
    assert!(faults.is_empty(), "{} of them: {}", faults.len(), faults[..faults.len().min(12)].join("\n\n"));
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 300, ..ProptestConfig::default() })]
    #[test]
    fn what_is_foreseen_is_what_comes(order in proptest::collection::vec(0..1000usize, 1..14)) {
        compare(&order)?;
    }
}

#[test]
fn what_differs_between_two_ways_nobody_knows_and_a_way_that_is_taken_back_leaves_nothing() {
    let stage = Stage::new();
    let plan = Overlay::over_world(stage.world.lock().clone());
    let write = |path: &str, text: &str| {
        plan.foresee(&stage.request("fs.write_text", json!({ "path": path, "text": text }), &format!("m-{text}")))
    };
    let basis = |path: &str| plan.foresee(&stage.request("fs.read_text", json!({ "path": path }), "")).basis;
    let begin = plan.mark();
    write("/srv/both.txt", "same");
    let after = plan.mark();
    write("/srv/one.txt", "one");
    let one = plan.mark();
    plan.rewind(after);
    write("/srv/other.txt", "other");
    let other = plan.mark();
    plan.join(&[one, other]);
    assert_eq!(basis("/srv/both.txt"), Basis::Predicted);
    assert_eq!(basis("/srv/one.txt"), Basis::Unknown);
    assert_eq!(basis("/srv/other.txt"), Basis::Unknown);
    assert_eq!(basis("/srv/data/one.txt"), Basis::Exact);
    plan.rewind(begin);
    assert_eq!(basis("/srv/both.txt"), Basis::Exact);
}
