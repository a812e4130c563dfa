//! A deployment with data and a host to work on it, and a way to keep its restores waiting.

use crate::live_world::{LiveWorld, until};
use crate::support::{self, Amount, Deployment, contain, container};
use muster::ops::process::ChildStatus;
use muster::ops::spec::{Backend, Undo};
use muster::ops::{OpError, Probe, ReadHost, Request};
use serde_json::{Value, json};

/// A deployment with data, and a host to work on it.
pub struct Ground {
    pub deployment: Deployment,
    pub world: LiveWorld,
    pub dir: tempfile::TempDir,
}

impl Ground {
    pub fn new(name: &str) -> Self {
        Self::with(name, Amount::SMALL)
    }

    pub fn with(name: &str, amount: Amount) -> Self {
        let dir = tempfile::tempdir().unwrap();
        Self { deployment: Deployment::start_database(name, amount), world: LiveWorld::under(dir.path()), dir }
    }

    pub fn file(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    /// Arguments with the server added.
    pub fn args(&self, mut args: Value) -> Value {
        args["server"] = self.deployment.server();
        args
    }

    pub fn read(&self, op: &str, args: Value) -> Result<Value, OpError> {
        self.world.read(op, self.args(args))
    }

    pub fn write(&self, op: &str, args: Value, key: &str) -> Result<Value, OpError> {
        self.world.write(op, self.args(args), key)
    }

    pub fn ready(&self, op: &str, args: Value, key: &str) -> Request {
        self.world.ready(op, self.args(args), key).unwrap()
    }

    pub fn refusal(&self, op: &str, args: Value) -> OpError {
        self.world.ready(op, self.args(args), "m-refused").unwrap_err()
    }

    pub fn probe(&self, request: &Request) -> Probe {
        self.world.host.probe(request).unwrap()
    }

    pub fn dump(&self, name: &str) -> String {
        let to = self.file(name);
        self.write("pg.dump", json!({ "database": "chatbot_db", "to": to }), "m-dump").unwrap();
        to
    }

    /// Keeps whatever wants to make a large object in this database waiting, until it is dropped.
    pub fn hold(&self, database: &str) -> Hold {
        let sql = "begin; lock table pg_largeobject_metadata in share mode; select pg_sleep(600)";
        let child = std::process::Command::new(support::runtime())
            .args(["exec", &self.deployment.db(), "psql", "-U", "chatbot_user", "-d", database, "-c", sql])
            .stdout(std::process::Stdio::null())
            .stderr(std::process::Stdio::null())
            .spawn()
            .unwrap();
        let held =
            "select count(*) from pg_stat_activity where query like '%pg_sleep(600)%' and wait_event = 'PgSleep'";
        until("the table is held", || self.deployment.psql("postgres", held).unwrap() == "1");
        Hold { child, db: self.deployment.db() }
    }

    /// Waits until the restore with this key waits for the table that is held.
    pub fn wait_for_restore(&self, key: &str) {
        let waits = format!(
            "select count(*) from pg_stat_activity where application_name = '{key}' and wait_event_type = 'Lock'"
        );
        until("pg_restore is at work", || self.deployment.psql("postgres", &waits).unwrap() == "1");
    }

    /// Kills the supervisor of a call and all that it started on this host.
    pub fn kill_supervisor(&self, key: &str) {
        let record = std::fs::read_to_string(self.dir.path().join("children").join(key).join("started.json")).unwrap();
        let record: Value = serde_json::from_str(&record).unwrap();
        let pid = record["supervisor"]["pid"].as_i64().unwrap();
        assert!(
            std::process::Command::new("pkill").args(["-KILL", "-s", &pid.to_string()]).status().unwrap().success()
        );
        // One that had ended just before has left its status.
        let works = || matches!(self.world.children.status(key).unwrap(), ChildStatus::Running { .. });
        until("the supervisor is gone", || !works());
    }

    pub fn undo(&self, request: &Request, result: &Value) -> Option<Value> {
        let Backend::Write(entry) = &request.op.backend else { panic!("{} does not write", request.op.name) };
        match (entry.undo)(&request.args, &request.before, &request.key) {
            Undo::Nothing => None,
            Undo::Impossible(why) => panic!("{why}"),
            Undo::Call { op, args } => {
                let mut args = args;
                for value in args.as_object_mut().unwrap().values_mut() {
                    if let Some(path) = value.as_str().and_then(|text| text.strip_prefix("$result")) {
                        *value = result.pointer(path).cloned().unwrap_or_default();
                    }
                }
                Some(self.world.write(op, args, &format!("{}-undo", request.key)).unwrap())
            }
        }
    }

    /// The files that operations left in the database container.
    pub fn left_in_container(&self) -> String {
        contain(&["exec", &self.deployment.db(), "sh", "-c", "ls /tmp | grep muster || true"])
    }
}

/// A session that holds a table.
pub struct Hold {
    child: std::process::Child,
    db: String,
}

impl Drop for Hold {
    fn drop(&mut self) {
        let sql = "select pg_terminate_backend(pid) from pg_stat_activity
            where query like '%pg_sleep(600)%' and pid <> pg_backend_pid()";
        container(&["exec", &self.db, "psql", "-U", "chatbot_user", "-d", "postgres", "-c", sql]);
        let _ = self.child.wait();
    }
}
