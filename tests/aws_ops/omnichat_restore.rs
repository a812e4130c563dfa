//! The shipped restore of OmniChat on AWS, live, on a server that stands for AWS. A thread of the test stands for what places tasks
//! in ECS, since that server places none; a script stands for terraform, whose registry no test asks.

use std::io::{Read, Write};
use std::net::{TcpListener, TcpStream};
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Once};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use muster::app::App;
use muster::engine::{NoObserver, RunState};
use muster::journal::Pause;
use muster::model::command::Order;
use muster::model::span::{Span, Spanned};
use muster::model::status::RunStatus;
use muster::model::{RunId, StepPath};

use muster::plan::file::{Base, PlanFile};
use muster::plan::report::Report;
use muster::playbook::params::Given;
use serde_json::{Value, json};

use crate::aws;
use crate::fidelity;
use crate::ground::Ground;
use crate::rds::instance;
use crate::scene::{approval, second};
use crate::traffic;

const PLAYBOOK: &str = "omnichat-aws-restore";
const PASSWORD: &str = "never-shown-7";
const TARGET: &str = "AmazonEC2ContainerServiceV20141113";

pub fn ecs(ground: &Ground, call: &str, body: &Value) -> Value {
    ground.json("ecs", &format!("{TARGET}.{call}"), body)
}

/// The parameters of a run.
pub fn given(pairs: &[(&str, Value)]) -> Given {
    let mut given = Given::default();
    for (name, value) in pairs {
        given.values.insert((*name).to_owned(), Spanned::new(value.clone(), Span::default()));
    }
    given
}

/// Tells the server that tasks go on running however often they are looked at: otherwise each look is a step on their way to their end.
fn let_tasks_run() {
    let body =
        json!({ "model_name": "ecs::task", "transition": { "progression": "manual", "times": 1_000_000 } }).to_string();
    let text = format!(
        "POST /moto-api/state-manager/set-transition HTTP/1.1\r\nHost: moto\r\nConnection: close\r\nContent-Type: \
         application/json\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    );
    let mut stream = TcpStream::connect(aws::server().address).unwrap();
    stream.write_all(text.as_bytes()).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 2"), "{answer}");
}

/// The URL of something that is healthy as long as this process lives.
pub fn healthy() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}/health", listener.local_addr().unwrap());
    std::thread::spawn(move || {
        for mut stream in listener.incoming().flatten() {
            let mut head = [0; 4096];
            drop(stream.read(&mut head));
            drop(stream.write_all(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\nConnection: close\r\n\r\nok"));
        }
    });
    url
}

/// What places tasks as a service of ECS wants them, and takes them away.
pub struct Placing {
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl Placing {
    pub fn of(ground: &Arc<Ground>, name: &str) -> Self {
        let_tasks_run();
        let stop = Arc::new(AtomicBool::new(false));
        let (ground, name, until) = (Arc::clone(ground), name.to_owned(), Arc::clone(&stop));
        let thread = std::thread::spawn(move || {
            let mut placed = Value::Null;
            while !until.load(Ordering::SeqCst) {
                let found = ecs(&ground, "DescribeServices", &json!({ "cluster": name, "services": [name] }));
                let service = &found["services"][0];
                let wanted = json!([service["desiredCount"], service["deployments"][0]["id"]]);
                if wanted != placed {
                    let listed = ecs(&ground, "ListTasks", &json!({ "cluster": name, "desiredStatus": "RUNNING" }));
                    for task in listed["taskArns"].as_array().unwrap() {
                        ecs(&ground, "StopTask", &json!({ "cluster": name, "task": task }));
                    }
                    if wanted[0] != 0 {
                        let tasks = json!({
                            "cluster": name, "taskDefinition": name, "launchType": "FARGATE", "count": wanted[0],
                        });
                        ecs(&ground, "RunTask", &tasks);
                    }
                    placed = wanted;
                }
                std::thread::sleep(Duration::from_millis(20));
            }
        });
        Self { stop, thread: Some(thread) }
    }
}

impl Drop for Placing {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            drop(thread.join());
        }
    }
}

/// A run, as far as it has come.
pub struct Going<'e> {
    estate: &'e Estate,
    pub run: RunId,
    file: PlanFile,
}

/// OmniChat on AWS: an instance, a secret that leads to it, and a service whose tasks read that.
pub struct Estate {
    pub ground: Arc<Ground>,
    pub name: &'static str,
    pub app: App,
    pub _placing: Placing,
}

/// Puts what stands for terraform on the path of this process: it shows what lies in the folder it is pointed to.
fn terraform() {
    static DONE: Once = Once::new();
    DONE.call_once(|| {
        let folder = Path::new(env!("CARGO_TARGET_TMPDIR")).join("terraform");
        std::fs::create_dir_all(&folder).unwrap();
        let program = folder.join("terraform");
        let script = "#!/bin/sh\nfolder=${1#-chdir=}\ncase $2 in\nstate) cat \"$folder/state\" ;;\n\
                      plan) cat \"$folder/plan\"; exit 2 ;;\nesac\n";
        std::fs::write(&program, script).unwrap();
        let mode = std::os::unix::fs::PermissionsExt::from_mode(0o755);
        std::fs::set_permissions(&program, mode).unwrap();
        let path = std::env::var("PATH").unwrap_or_default();
        // SAFETY: all that reads the environment in this process does so through the standard library's lock.
        unsafe { std::env::set_var("PATH", format!("{}:{path}", folder.display())) };
    });
}

/// An instance, but for what the time does to it.
fn untimed(instance: &Value) -> Value {
    let mut instance = instance.clone();
    instance["latest_restorable"] = Value::Null;
    instance
}

impl Estate {
    fn start(name: &'static str) -> Self {
        terraform();
        let ground = Arc::new(Ground::new());
        instance(&ground, name);
        ground.settle("rds.create_snapshot", json!({ "id": name, "snapshot": format!("{name}-1") }), "snap").unwrap();
        let host = ground.read("rds.instance", json!({ "id": name }))["endpoint"].as_str().unwrap().to_owned();
        let document = json!({
            "database_url": format!("postgresql://chat:{PASSWORD}@{host}:5432/chat_db"), "postgres_password": PASSWORD,
        });
        let secret = json!({
            "Name": format!("{name}/app"), "SecretString": document.to_string(), "ClientRequestToken": "0".repeat(32),
        });
        ground.json("secretsmanager", "secretsmanager.CreateSecret", &secret);
        ecs(&ground, "CreateCluster", &json!({ "clusterName": name }));
        let reads = format!("arn:aws:secretsmanager:us-east-1:123456789012:secret:{name}/app-a1B2c3:database_url::");
        let container = json!({
            "name": "webui", "image": "ghcr.io/open-webui/open-webui:v0.5.18", "memory": 128,
            "secrets": [{ "name": "DATABASE_URL", "valueFrom": reads }],
        });
        ecs(&ground, "RegisterTaskDefinition", &json!({ "family": name, "containerDefinitions": [container] }));
        let service = json!({ "cluster": name, "serviceName": name, "taskDefinition": name, "desiredCount": 0 });
        ecs(&ground, "CreateService", &service);
        ecs(&ground, "UpdateService", &json!({ "cluster": name, "service": name, "desiredCount": 1 }));
        let placing = Placing::of(&ground, name);
        let tasks = || ground.read("ecs.tasks", json!({ "cluster": name, "service": name }))["running"].clone();
        let begun = Instant::now();
        while tasks() == 0 {
            assert!(begun.elapsed() < Duration::from_secs(60), "no task is placed");
            std::thread::sleep(Duration::from_millis(10));
        }
        let app = fidelity::app(Path::new(&ground.path("")));
        Self { ground, name, app, _placing: placing }
    }

    fn params(&self, more: &[(&str, Value)]) -> Given {
        let name = self.name;
        let mut pairs = vec![
            ("aws", self.ground.access()),
            ("database", json!(name)),
            ("new_id", json!(format!("{name}-restored"))),
            ("from", json!("snapshot")),
            ("secret", json!(format!("{name}/app"))),
            ("ecs_cluster", json!(name)),
            ("ecs_service", json!(name)),
            ("health_url", json!(healthy())),
            ("terraform_dir", json!(self.ground.path("terraform"))),
        ];
        pairs.extend(more.iter().cloned());
        given(&pairs)
    }

    fn instance(&self, id: &str) -> Value {
        self.ground.read("rds.instance", json!({ "id": id }))
    }

    /// What terraform has in its state, and would do.
    fn terraform(&self, resource_id: &Value, plan: &str) {
        let folder = PathBuf::from(self.ground.path("terraform"));
        std::fs::create_dir_all(&folder).unwrap();
        let state = format!("resource \"aws_db_instance\" \"webui\" {{\n    resource_id = {resource_id}\n}}\n");
        std::fs::write(folder.join("state"), state).unwrap();
        std::fs::write(folder.join("plan"), plan).unwrap();
    }

    /// All that there is of it, but for what a service that was deployed anew cannot have as before.
    fn described(&self) -> Value {
        let ground = &self.ground;
        let (service, secret) = (json!({ "cluster": self.name, "service": self.name }), format!("{}/app", self.name));
        let mut found = ground.read("ecs.service", service);
        found
            .as_object_mut()
            .unwrap()
            .retain(|name, _| ["desired", "task_definition", "status"].contains(&name.as_str()));
        let ids = ground.rds("DescribeDBInstances", &[]);
        let ids = ids.split("<DBInstanceIdentifier>").skip(1).filter_map(|rest| rest.split('<').next());
        let mut ids: Vec<&str> = ids.filter(|id| id.starts_with(self.name)).collect();
        ids.sort_unstable();
        ids.dedup();
        let value = ground.json(
            "secretsmanager",
            "secretsmanager.GetSecretValue",
            &json!({ "SecretId": secret, "VersionStage": "AWSCURRENT" }),
        );
        let all: Vec<Value> = ids.iter().map(|id| untimed(&self.instance(id))).collect();
        json!({
            "service": found,
            "instances": all,
            "secret": [&value["VersionId"], &value["SecretString"]],
        })
    }

    /// Begins a run within its plan, of which nothing was sent that writes.
    fn begin(&self, more: &[(&str, Value)]) -> Going<'_> {
        begin(self, &self.params(more))
    }
}

pub fn begin<'e>(estate: &'e Estate, given: &Given) -> Going<'e> {
    let app = &estate.app;
    let start = app.prepare(&fidelity::folder(PLAYBOOK), given).expect("it can be started");
    let before = estate.ground.proxy.seen().len();
    let (records, program) = app.plan(&start, None).expect("it is planned");
    let day = Duration::from_secs(86_400);
    let file = app.plan_file((&records, &program), PLAYBOOK, Base::Live, day).expect("a plan");
    let asked = estate.ground.proxy.seen();
    // The test itself asks past the proxy.
    assert_eq!(traffic::writes(&asked[before..]), Vec::<String>::new(), "a plan changes something");
    let session = app.start_bound(&start, &file, Arc::new(NoObserver)).expect("the run begins");
    let going = Going { estate, run: session.run().clone(), file };
    session.drive(4, false, &Arc::new(AtomicUsize::new(0))).expect("the engine goes on");
    going
}

impl Going<'_> {
    pub fn state(&self) -> RunState {
        RunState::fold(&self.estate.app.records(&self.run).unwrap()).unwrap()
    }

    /// What it waits for; why it failed, where it did.
    pub fn waits(&self) -> Vec<String> {
        let state = self.state();
        let tell = |pause: &Pause| match pause {
            Pause::Manual { step } => format!("by hand: {step}"),
            Pause::StepFailed { step } => {
                let records = self.estate.app.records(&self.run).unwrap();
                let mut facts = records.into_iter().map(|record| format!("{:?}", record.fact));
                let why = facts.rfind(|fact| fact.contains("OpError")).unwrap_or_default();
                format!("failed: {step}: {why}")
            }
            other => format!("{other:?}"),
        };
        state.waiting_for_people().iter().map(tell).collect()
    }

    fn say(&self, order: Order) {
        self.say_as(&self.estate.app, order);
    }

    fn say_as(&self, app: &App, order: Order) {
        app.say(&self.run, &app.settings.actor, order).expect("it is told");
        let session = app.take(&self.run, Arc::new(NoObserver)).expect("it is taken up");
        session.drive(4, false, &Arc::new(AtomicUsize::new(0))).expect("the engine goes on");
    }

    /// Says that the step that is waited for was done.
    pub fn done(&self, step: &str) {
        assert_eq!(self.waits(), vec![format!("by hand: {step}")]);
        self.say(Order::Done { step: StepPath::of(step), evidence: "the test did it".to_owned(), result: None });
    }

    pub fn roll_back(&self) {
        self.say(Order::Rollback { to: None, force: false });
        assert_eq!(self.state().status(), RunStatus::RolledBack, "{:#?}", self.waits());
    }

    /// It has come to its end, as its plan said, and shows nothing that is secret.
    pub fn succeeded(&self) {
        assert_eq!(self.state().status(), RunStatus::Succeeded, "{:#?}", self.waits());
        let records = self.estate.app.records(&self.run).unwrap();
        let report = Report::of(std::slice::from_ref(&self.file), &records).unwrap();
        assert_eq!(fidelity::differences(&report), Vec::<String>::new());
        assert!(!format!("{records:?}").contains(PASSWORD));
    }
}

#[test]
fn omnichat_comes_back_under_the_old_name_as_planned_and_from_a_late_failure_to_what_it_was() {
    let estate = Estate::start("chat-swap");
    let (before, old) = (estate.described(), estate.instance("chat-swap"));
    estate.terraform(&json!("db-OLD"), "No changes.\n");
    let going = estate.begin(&[]);
    going.done("question_by_hand");
    // That server gives every instance the same resource id: who made it tells them apart.
    let live = estate.instance("chat-swap");
    assert_eq!((&live["owned_by"], &old["owned_by"]), (&json!(going.run.to_string()), &json!("")));
    assert_eq!((&live["endpoint"], &live["settings"]["tags"]["team"]), (&old["endpoint"], &json!("chat")));
    // Nobody has told terraform: the run does not end well, and is rolled back.
    going.done("reconcile");
    let waits = going.waits();
    assert!(waits[0].starts_with("failed: reconciled") && waits[0].contains("and not the restored"), "{waits:#?}");
    going.roll_back();
    assert_eq!(estate.described(), before);

    let going = estate.begin(&[]);
    going.done("question_by_hand");
    estate.terraform(&old["resource_id"], "  # aws_db_instance.webui will be updated in-place\n");
    going.done("reconcile");
    going.succeeded();
    let now = estate.described();
    let kept: Vec<&Value> = now["instances"].as_array().unwrap().iter().collect();
    let [live, kept] = kept.as_slice() else { panic!("{now:#}") };
    assert_eq!((&live["id"], &live["owned_by"]), (&json!("chat-swap"), &json!(going.run.to_string())));
    assert_eq!((&kept["owned_by"], &kept["status"]), (&json!(""), &json!("available")));
    assert!(kept["id"].as_str().unwrap().starts_with("chat-swap-old-"), "{now:#}");
    assert_eq!(now["service"]["desired"], 1);
}

#[test]
fn omnichat_is_led_to_the_new_endpoint_by_its_secret_as_planned() {
    let estate = Estate::start("chat-point");
    let old = estate.instance("chat-point");
    let going = estate.begin(&[("cutover", json!("new_endpoint"))]);
    going.done("question_by_hand");
    let restored = estate.instance("chat-point-restored");
    for name in ["parameter_group", "security_groups", "multi_az", "deletion_protection", "log_exports"] {
        assert_eq!(restored["settings"][name], old["settings"][name], "{name}");
    }
    estate.terraform(&restored["resource_id"], "No changes.\n");
    going.done("reconcile");
    going.succeeded();
    let now = estate.described();
    let text = now["secret"][1].as_str().unwrap();
    assert!(text.contains("@chat-point-restored.") && text.contains(PASSWORD), "it leads there, with its password");
    assert_eq!((&now["service"]["desired"], &now["instances"][0]), (&json!(1), &untimed(&old)), "the old one is kept");
}

#[test]
fn omnichat_that_does_not_work_on_the_new_endpoint_is_led_back() {
    let estate = Estate::start("chat-back");
    let before = estate.described();
    let going = estate.begin(&[("cutover", json!("new_endpoint"))]);
    going.done("question_by_hand");
    assert_ne!(estate.described()["secret"], before["secret"]);
    going.roll_back();
    assert_eq!(estate.described(), before);
}

#[test]
fn only_an_approved_retire_takes_the_old_database_away_and_nothing_else() {
    let estate = Estate::start("chat-retire");
    instance(&estate.ground, "chat-retire-not-ours");
    let going = estate.begin(&[("retire", json!(true))]);
    going.done("question_by_hand");
    estate.terraform(&estate.instance("chat-retire")["resource_id"], "No changes.\n");
    going.done("reconcile");
    // All is proved, and nothing was deleted.
    assert_eq!(going.waits(), vec![format!("{:?}", Pause::Approval { step: StepPath::of("retire") })]);
    assert_eq!(estate.ground.proxy.count("Action=DeleteDB"), 0);
    let kept = format!("chat-retire-old-{}", going.run.short());
    let snapshots = || {
        let found = estate.ground.read("rds.snapshots", json!({ "made": "manual" }));
        let all = found["snapshots"].as_array().unwrap().iter().map(|one| one["id"].as_str().unwrap().to_owned());
        all.filter(|id| id.starts_with("chat-retire")).collect::<Vec<_>>()
    };
    let (mut before, mut had) = (estate.described(), snapshots());
    assert!(before.to_string().contains(&kept), "{before:#}");
    // Whoever started the run does not approve it.
    going.say(approval("retire"));
    assert_eq!((going.waits().len(), estate.ground.proxy.count("Action=DeleteDB")), (1, 0));
    going.say_as(&second(&estate.ground), approval("retire"));
    going.succeeded();
    before["instances"].as_array_mut().unwrap().retain(|one| one["id"] != json!(kept));
    assert_eq!(estate.described(), before);
    had.push(format!("chat-retire-last-{}", going.run.short()));
    let mut has = snapshots();
    had.sort();
    has.sort();
    assert_eq!(has, had);
    let deletes = ["Action=DeleteDBInstance&", "Action=DeleteDB", "Action=DeleteDBSnapshot"]
        .map(|one| estate.ground.proxy.count(one));
    assert_eq!(deletes, [1, 1, 0]);
}
