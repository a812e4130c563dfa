//! The playbooks for the PostgreSQL Operator 4, live, against the API server of the tests. No `pgo` of version 4 can be installed here:
//! what stands for it, and for the operator, is a script (`tests/support/pgo4.py`) that says the same words and ends with the same
//! exit codes, which lie.

use std::collections::BTreeMap;
use std::os::unix::fs::PermissionsExt;
use std::path::PathBuf;
use std::process::{Child, Command, Stdio};
use std::sync::{Arc, Once};
use std::time::Duration;

use muster::engine::{NoObserver, RunState};
use muster::model::Value;
use muster::model::span::{Span, Spanned};
use muster::model::status::RunStatus;
use muster::plan::file::Base;
use muster::playbook::params::Given;
use serde_json::json;

use crate::fidelity;
use crate::ground::Ground;
use crate::kube::Pace;

/// A cluster with the operator in it, and a cluster of PostgreSQL that it keeps.
pub struct Operated {
    pub ground: Ground,
    operator: Child,
    url: String,
}

/// The script, on the path of this process under its name.
fn client() -> PathBuf {
    static DONE: Once = Once::new();
    let bin = PathBuf::from(env!("CARGO_TARGET_TMPDIR")).join("pgo4");
    DONE.call_once(|| {
        std::fs::create_dir_all(&bin).unwrap();
        std::fs::write(bin.join("pgo"), include_str!("../support/pgo4.py")).unwrap();
        std::fs::set_permissions(bin.join("pgo"), std::fs::Permissions::from_mode(0o755)).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        // SAFETY: all that reads the environment in this process does so through the standard library's lock.
        unsafe { std::env::set_var("PATH", format!("{}:{path}", bin.display())) };
    });
    bin.join("pgo")
}

impl Drop for Operated {
    fn drop(&mut self) {
        let _ = self.operator.kill();
        let _ = self.operator.wait();
    }
}

impl Operated {
    /// With this kind of repository; nothing where kubectl or python3 is missing.
    pub fn with(storage: &str) -> Option<Self> {
        let ground = Ground::in_memory()?;
        ground.cluster.pace(Pace::Elsewhere);
        let config: Value = serde_json::from_slice(&std::fs::read(&ground.cluster.kubeconfig).unwrap()).unwrap();
        let url = config["clusters"][0]["cluster"]["server"].as_str().unwrap().to_owned();
        let client = client();
        let state = ground.cluster.folder().join("pgo.json");
        let program = |what: &str| {
            let mut command = Command::new(&client);
            command.args([what, &url]).arg(&state).arg(&ground.cluster.namespace).env("STORAGE", storage);
            command
        };
        match program("seed").output() {
            Err(error) => {
                println!("skipped: {error}");
                return None;
            }
            Ok(made) => assert!(made.status.success(), "{}", String::from_utf8_lossy(&made.stderr)),
        }
        let operator = program("operator").stdout(Stdio::null()).spawn().unwrap();
        let (command, address, kept) = (client.clone(), url.clone(), state.clone());
        ground.cluster.inside(move |program| {
            let mut run = Command::new(&command);
            let ran = run.args(["inside", &address]).arg(&kept).arg("default").args(&program.argv).output().unwrap();
            Some((ran.status.code()?, String::from_utf8(ran.stdout).ok()?, String::from_utf8(ran.stderr).ok()?))
        });
        Some(Self { ground, operator, url })
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.ground.cluster.folder().join(name)
    }

    pub fn state(&self) -> Value {
        serde_json::from_slice(&std::fs::read(self.file("pgo.json")).unwrap()).unwrap()
    }

    /// Has something go wrong from now on.
    pub fn set(&self, name: &str, value: Value) {
        let mut state = self.state();
        state[name] = value;
        std::fs::write(self.file("pgo.json.set"), state.to_string()).unwrap();
        std::fs::rename(self.file("pgo.json.set"), self.file("pgo.json")).unwrap();
    }

    /// What `pgo` was asked that changes something.
    pub fn asked(&self) -> Vec<String> {
        let state = self.state();
        state["asked"].as_array().into_iter().flatten().map(|one| one.as_str().unwrap().to_owned()).collect()
    }

    pub fn params(&self, more: &[(&str, Value)]) -> BTreeMap<String, Value> {
        let cluster = &self.ground.cluster;
        let mut params: BTreeMap<String, Value> = BTreeMap::from([
            ("cluster".to_owned(), json!("hippo")),
            ("namespace".to_owned(), json!(cluster.namespace)),
            ("kube".to_owned(), json!({ "kubeconfig": cluster.kubeconfig, "context": cluster.context })),
            ("pgo_env".to_owned(), json!({ "PGO_APISERVER_URL": self.url, "PGOUSER": self.file("pgo.json") })),
        ]);
        params.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        params
    }

    /// The program itself, on a store of its own.
    pub fn muster(&self, args: &[&str]) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(args).env("MUSTER_STORE", self.file("muster.db")).env("HOME", self.file(""));
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        std::fs::write(self.file("pid"), child.id().to_string()).unwrap();
        let output = child.wait_with_output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    }

    pub fn run(&self, playbook: &str, more: &[(&str, Value)]) -> (Option<i32>, String) {
        std::fs::write(self.file("params.json"), json!(self.params(more)).to_string()).unwrap();
        let file = self.file("params.json");
        self.muster(&["run", &fidelity::folder(playbook), "-f", file.to_str().unwrap()])
    }

    /// Planned, and run by that plan, in this process.
    pub fn as_planned(&self, playbook: &str, more: &[(&str, Value)]) -> Vec<String> {
        self.as_approved(playbook, more, &[])
    }

    /// The same, with a yes of somebody else to these steps.
    pub fn as_approved(&self, playbook: &str, more: &[(&str, Value)], approved: &[&str]) -> Vec<String> {
        let mut given = Given::default();
        for (name, value) in self.params(more) {
            given.values.insert(name, Spanned::new(value, Span::default()));
        }
        let app = fidelity::app_over(self.file("planned.db"));
        let (writes, asked) = (self.ground.cluster.writes().len(), self.asked().len());
        let start = app.prepare(&fidelity::folder(playbook), &given).expect("it can be started");
        let (records, program) = app.plan(&start, None).expect("it is planned");
        assert_eq!(self.ground.cluster.writes()[writes..], Vec::<String>::new(), "a plan of {playbook} wrote");
        assert_eq!(self.asked()[asked..], Vec::<String>::new(), "a plan of {playbook} asked for something");
        let file = app.plan_file((&records, &program), playbook, Base::Live, Duration::from_secs(86_400));
        let file = file.expect("a plan");
        let session = app.start_bound(&start, &file, Arc::new(NoObserver)).expect("the run begins");
        let run = session.run().clone();
        let mut report = fidelity::finish(&app, &file, session);
        for step in approved {
            let second = fidelity::approve(self.file("planned.db"), &run, step);
            let session = second.take(&run, Arc::new(NoObserver)).expect("it goes on");
            report = fidelity::finish(&second, &file, session);
        }
        let state = RunState::fold(&app.records(&run).expect("the journal loads")).expect("the journal folds");
        assert_eq!(report.status, RunStatus::Succeeded, "{playbook}: {:#?} {:#?}", state.pauses, state.steps);
        fidelity::differences(&report)
    }
}

#[test]
fn a_backup_is_made_as_planned_and_found() {
    let Some(at) = Operated::with("") else { return };
    assert_eq!(at.as_planned("pgo4-backup", &[]), Vec::<String>::new());
    assert_eq!(at.asked(), ["backup hippo -n default --backup-opts=--type=incr"]);
    let backups = at.state()["backups"].clone();
    assert_eq!((backups.as_array().unwrap().len(), &backups[1]["type"]), (2, &json!("incr")));
}

#[test]
fn a_repository_in_s3_alone_is_told_to_pgo_and_a_lie_a_failure_and_a_silent_operator_are_not_believed() {
    let Some(at) = Operated::with("s3") else { return };
    assert_eq!(at.as_planned("pgo4-backup", &[("type", json!("full"))]), Vec::<String>::new());
    assert_eq!(at.asked(), ["backup hippo -n default --backup-opts=--type=full --pgbackrest-storage-type=s3"]);
    let (code, said) = at.run("pgo4-backup", &[("storage", json!("local"))]);
    assert!(code == Some(5) && said.contains("and not with local"), "{code:?} {said}");
    at.set("lies", json!({ "backup": "No clusters found." }));
    let (code, said) = at.run("pgo4-backup", &[]);
    assert!(code == Some(5) && said.contains("ended with 0 and says: No clusters found."), "{code:?} {said}");
    at.set("lies", json!({}));
    at.set("backup_fails", json!(true));
    let (code, said) = at.run("pgo4-backup", &[]);
    assert!(code == Some(5) && said.contains("the backup failed"), "{code:?} {said}");
    assert_eq!(at.state()["backups"].as_array().unwrap().len(), 2);
    at.set("backup_fails", json!(false));
    let (code, said) = at.run("pgo4-backup", &[]);
    assert_eq!(code, Some(0), "the failed one is over: {said}");
}

#[test]
fn a_backup_is_asked_for_once_wherever_the_program_is_killed() {
    for moment in ["before", "after"] {
        let Some(at) = Operated::with("") else { return };
        at.set("kill", json!({ "moment": moment, "command": "backup", "pid_file": at.file("pid") }));
        let (code, said) = at.run("pgo4-backup", &[]);
        assert_eq!(code, None, "{moment}: nobody killed it: {said}");
        let (code, said) = at.muster(&["resume", "@latest"]);
        assert_eq!(code, Some(0), "{moment}: {said}");
        assert_eq!((at.asked().len(), at.state()["backups"].as_array().unwrap().len()), (1, 2), "{moment}");
    }
}

const FULL: &str = "create schedule hippo -n default --schedule=0 1 * * * --schedule-type=pgbackrest \
                    --pgbackrest-backup-type=full --schedule-opts=--repo1-retention-full=21";

impl Operated {
    /// What the scheduler has of a type: schedule and options.
    fn schedule(&self, kind: &str) -> (Value, Value) {
        let found = self.ground.cluster.looker("configmaps", &format!("hippo-pgbackrest-{kind}"))();
        let text = found["data"][format!("hippo-pgbackrest-{kind}")].as_str().unwrap_or("null");
        let told: Value = serde_json::from_str(text).unwrap();
        (told["schedule"].clone(), told["pgbackrest"]["options"].clone())
    }

    /// What is wanted: a full backup every night, an incremental one every three hours.
    fn wanted() -> Value {
        json!([
            { "type": "full", "schedule": "0 1 * * *", "retention_full": 21 },
            { "type": "incr", "schedule": "0 */3 * * *" },
        ])
    }
}

#[test]
fn schedules_are_made_as_planned_changed_and_put_back() {
    let Some(at) = Operated::with("") else { return };
    let first = json!([{ "type": "full", "schedule": "0 2 * * *" }]);
    assert_eq!(at.as_planned("pgo4-schedule", &[("schedules", first)]), Vec::<String>::new());
    assert_eq!(at.schedule("full"), (json!("0 2 * * *"), json!("")));
    let before = at.ground.cluster.looker("configmaps", "hippo-pgbackrest-full")()["data"].clone();
    // The second is made to fail: the first is as it was, and nothing else is there.
    at.set("lies", json!({ "create schedule": "No clusters found." }));
    let wanted = ("schedules", Operated::wanted());
    let (code, said) = at.run("pgo4-schedule", std::slice::from_ref(&wanted));
    assert!(code == Some(7) && said.contains("ended with 0 and says: No clusters found."), "{code:?} {said}");
    let (code, said) = at.muster(&["rollback", "@latest"]);
    assert!(code == Some(5), "{code:?} {said}");
    assert_eq!(at.ground.cluster.looker("configmaps", "hippo-pgbackrest-full")()["data"], before);
    assert_eq!(at.schedule("incr").0, Value::Null);
    at.set("lies", json!({}));
    assert_eq!(at.as_planned("pgo4-schedule", &[wanted]), Vec::<String>::new());
    assert_eq!(at.schedule("full"), (json!("0 1 * * *"), json!("--repo1-retention-full=21")));
    assert_eq!(at.schedule("incr"), (json!("0 */3 * * *"), json!("")));
    let asked = at.asked();
    assert_eq!(asked[asked.len() - 2], FULL);
}

#[test]
fn a_schedule_is_changed_once_wherever_the_program_is_killed() {
    for (moment, command) in [("before", "delete"), ("after", "delete"), ("before", "create"), ("after", "create")] {
        let Some(at) = Operated::with("") else { return };
        let first = json!([{ "type": "full", "schedule": "0 2 * * *" }]);
        let (code, said) = at.run("pgo4-schedule", &[("schedules", first)]);
        assert_eq!(code, Some(0), "{said}");
        at.set("kill", json!({ "moment": moment, "command": command, "pid_file": at.file("pid") }));
        let (code, said) = at.run("pgo4-schedule", &[("schedules", Operated::wanted())]);
        assert_eq!(code, None, "{moment} {command}: nobody killed it: {said}");
        let (code, said) = at.muster(&["resume", "@latest"]);
        assert_eq!(code, Some(0), "{moment} {command}: {said}");
        assert_eq!(at.schedule("full").1, json!("--repo1-retention-full=21"), "{moment} {command}");
        let asked = at.asked();
        assert_eq!(asked.len(), 4, "{moment} {command}: {asked:?}");
    }
}
