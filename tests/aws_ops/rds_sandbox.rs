//! Databases of RDS in the sandbox: states move in virtual time, and what operations decide there they decide on AWS.

use std::sync::Arc;
use std::time::Duration;

use muster::clock::{Clock, SimClock};
use muster::model::{RunId, Timestamp};
use muster::ops::{OpError, Polled, Probe, ReadHost, Request, Sent, WriteHost, find};
use muster::sandbox::{SandboxHost, World, diff};
use parking_lot::Mutex;
use serde_json::{Value, json};

const WORLD: &str = "
aws:
  rds:
    instances:
      chat:
        engine: postgres
        engine_version: '14.6'
        settings:
          class: db.t3.small
          security_groups: [sg-1]
          parameter_group: chat-pg14
          deletion_protection: true
          backup_retention_days: 7
          tags: { team: chat }
      vault-1: { engine: aurora-postgresql, cluster: vault, settings: { class: db.r6g.large } }
    clusters:
      vault: { engine: aurora-postgresql, engine_version: '14.6', settings: { security_groups: [sg-2] } }
    snapshots:
      rds:chat-2026: { source: chat, created_at: '2026-06-20T03:00:00Z' }
    restores_end: { doomed: incompatible-network }
";

pub struct Sandbox {
    pub host: SandboxHost,
    clock: Arc<SimClock>,
    run: RunId,
}

impl Sandbox {
    pub fn new() -> Self {
        Self::of(WORLD)
    }

    pub fn of(world: &str) -> Self {
        let world = World::load(world).unwrap();
        let clock = Arc::new(SimClock::at(world.now));
        let host = SandboxHost::new(Arc::new(Mutex::new(world)), Arc::clone(&clock) as Arc<dyn Clock>, Arc::default());
        Self { host, clock, run: RunId::from_entropy(5) }
    }

    fn request(&self, op: &str, args: Value, key: &str) -> Request {
        let op = find(op).unwrap_or_else(|| panic!("no operation {op}"));
        (op.check_args)(&args).unwrap();
        Request { run: self.run.clone(), op, args, key: key.into(), before: Value::Null, deadline: None }
    }

    pub fn read(&self, op: &str, args: Value) -> Value {
        self.host.read(&self.request(op, args, "")).unwrap()
    }

    /// Sends it, and lets time pass until it is done.
    pub fn write(&self, op: &str, args: Value, key: &str) -> Result<Value, OpError> {
        let mut request = self.request(op, args, key);
        request.before = self.host.before(&request)?;
        match self.host.send(&request)? {
            Sent::Done(result) => return Ok(result),
            Sent::Running => {}
        }
        for _ in 0..1000 {
            match self.host.probe(&request)? {
                Probe::Done { result } => return Ok(result),
                Probe::Running { .. } => self.pass(Duration::from_secs(5)),
                other => panic!("{op}: {other:?}"),
            }
        }
        panic!("{op} is never done");
    }

    fn pass(&self, by: Duration) {
        self.clock.sleep(by);
    }

    /// Waits, and tells what was seen meanwhile and how long it lasted.
    pub fn wait(&self, op: &str, args: Value) -> (Result<Value, OpError>, Vec<String>, Duration) {
        let (mut seen, began): (Vec<String>, Timestamp) = (Vec::new(), self.clock.now());
        loop {
            let polled = self.host.poll(&self.request(op, args.clone(), ""));
            let took = Duration::try_from(self.clock.now().duration_since(began)).unwrap();
            match polled {
                Ok(Polled::Ready(found)) => return (Ok(found), seen, took),
                Ok(Polled::Pending { progress, again }) => {
                    seen.extend(progress);
                    seen.dedup();
                    self.pass(again);
                }
                Err(error) => return (Err(error), seen, took),
            }
        }
    }
}

#[test]
fn a_restore_comes_up_in_virtual_time_like_its_source_and_goes_again_without_a_trace() {
    let sandbox = Sandbox::new();
    let world = sandbox.host.world().lock().clone();
    sandbox.write("rds.create_snapshot", json!({ "id": "chat", "snapshot": "chat-1" }), "k1").unwrap();
    let (found, seen, _) = sandbox.wait("rds.wait_snapshot", json!({ "snapshot": "chat-1" }));
    assert_eq!((&found.unwrap()["percent"], seen.len()), (&json!(100), 1));
    let asked = json!({ "snapshot": "chat-1", "id": "chat-r", "settings": { "class": "db.t3.large" } });
    let made = sandbox.write("rds.restore_from_snapshot", asked, "k2").unwrap();
    assert!(made["carried_over"].as_array().unwrap().contains(&json!("security_groups: sg-1")), "{made}");
    assert_eq!(sandbox.read("rds.instance", json!({ "id": "chat-r" }))["endpoint"], "");
    let (found, seen, took) = sandbox.wait("rds.wait_available", json!({ "id": "chat-r" }));
    assert_eq!(seen, ["instance chat-r is creating", "instance chat-r is backing-up"]);
    assert!(took > Duration::from_secs(300), "{took:?}");
    let found = found.unwrap();
    assert!(found["endpoint"].as_str().unwrap().starts_with("chat-r."));
    assert_eq!(
        (&found["settings"]["class"], &found["settings"]["deletion_protection"]),
        (&json!("db.t3.large"), &json!(true))
    );
    let undo = json!({ "id": "chat-r", "made_by": "k2", "unprotect": true });
    assert_eq!(sandbox.write("rds.delete", undo, "u2").unwrap()["deleted"], true);
    let undo = json!({ "snapshot": "chat-1", "made_by": "k1" });
    assert_eq!(sandbox.write("rds.delete_snapshot", undo, "u1").unwrap()["deleted"], true);
    assert_eq!(diff(&world, &sandbox.host.world().lock()), Vec::<String>::new());
}

#[test]
fn a_restore_that_is_to_end_badly_does_so_and_says_why() {
    let sandbox = Sandbox::new();
    sandbox.write("rds.restore_to_point_in_time", json!({ "source": "chat", "id": "doomed" }), "k").unwrap();
    let (found, _, _) = sandbox.wait("rds.wait_available", json!({ "id": "doomed" }));
    let error = found.unwrap_err();
    assert!(error.message.contains("incompatible-network") && error.hint.unwrap().contains("subnet_group"));
}

#[test]
fn a_swap_a_modification_and_a_cluster_are_undone_without_a_trace() {
    let sandbox = Sandbox::new();
    let world = sandbox.host.world().lock().clone();
    sandbox.write("rds.restore_to_point_in_time", json!({ "source": "chat", "id": "chat-r" }), "k1").unwrap();
    sandbox.wait("rds.wait_available", json!({ "id": "chat-r" })).0.unwrap();
    sandbox.write("rds.modify", json!({ "id": "chat-r", "settings": { "max_storage_gb": 200 } }), "k2").unwrap();
    let (found, seen, _) = sandbox.wait("rds.wait_available", json!({ "id": "chat-r", "applied": true }));
    assert_eq!((&found.unwrap()["settings"]["max_storage_gb"], seen.len()), (&json!(200), 1));
    let (live, other) =
        (sandbox.read("rds.instance", json!({ "id": "chat" })), json!({ "id": "chat-r", "to": "chat" }));
    sandbox.write("rds.rename", json!({ "id": "chat", "to": "chat-old" }), "k3").unwrap();
    sandbox.write("rds.rename", other, "k4").unwrap();
    let now = sandbox.read("rds.instance", json!({ "id": "chat" }));
    assert_eq!(now["endpoint"], live["endpoint"]);
    assert_ne!(now["resource_id"], live["resource_id"]);
    let back = json!({ "id": "chat", "to": "chat-r", "resource_id": now["resource_id"] });
    sandbox.write("rds.rename", back, "u4").unwrap();
    let back = json!({ "id": "chat-old", "to": "chat", "resource_id": live["resource_id"] });
    sandbox.write("rds.rename", back, "u3").unwrap();
    sandbox.write("rds.delete", json!({ "id": "chat-r", "made_by": "k1", "unprotect": true }), "u1").unwrap();
    let restored = json!({ "kind": "cluster", "source": "vault", "id": "vault-r", "settings": {} });
    let error = sandbox.write("rds.restore_to_point_in_time", restored, "k5").unwrap_err();
    assert!(error.message.contains("has no automated backups"), "{error}");
    sandbox.write("rds.create_snapshot", json!({ "kind": "cluster", "id": "vault", "snapshot": "v" }), "k6").unwrap();
    sandbox.wait("rds.wait_snapshot", json!({ "kind": "cluster", "snapshot": "v" })).0.unwrap();
    let restored = json!({ "kind": "cluster", "snapshot": "v", "id": "vault-r" });
    sandbox.write("rds.restore_from_snapshot", restored, "k7").unwrap();
    let member = json!({ "cluster": "vault-r", "id": "vault-r-1", "like": "vault-1" });
    assert!(
        sandbox.write("rds.create_cluster_instance", member.clone(), "k8").unwrap_err().message.contains("creating")
    );
    sandbox.wait("rds.wait_available", json!({ "kind": "cluster", "id": "vault-r" })).0.unwrap();
    sandbox.write("rds.create_cluster_instance", member, "k8").unwrap();
    let found = sandbox.read("rds.cluster", json!({ "id": "vault-r" }));
    assert_eq!(found["members"], json!([{ "id": "vault-r-1", "writer": true }]));
    sandbox.wait("rds.wait_available", json!({ "id": "vault-r-1" })).0.unwrap();
    sandbox.write("rds.delete", json!({ "id": "vault-r-1", "made_by": "k8" }), "u8").unwrap();
    sandbox.write("rds.delete", json!({ "kind": "cluster", "id": "vault-r", "made_by": "k7" }), "u7").unwrap();
    sandbox.write("rds.delete_snapshot", json!({ "kind": "cluster", "snapshot": "v", "made_by": "k6" }), "u6").unwrap();
    assert_eq!(diff(&world, &sandbox.host.world().lock()), Vec::<String>::new());
}
