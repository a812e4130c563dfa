//! An account of AWS and a Kubernetes cluster with a release that uses a database there; playbooks planned, run and rolled back on it.
//! Whatever is planned here is held to change nothing.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;
use std::sync::atomic::AtomicUsize;
use std::sync::{Arc, Once};
use std::time::Duration;

use muster::app::{App, Settings, Start};
use muster::engine::state::StepStatus;
use muster::engine::{NoObserver, RunState};
use muster::journal::record::{Fact, Record};
use muster::model::command::{Actor, Order};
use muster::model::span::{Span, Spanned};
use muster::model::{RunId, StepPath};
use muster::plan::file::{Base, PlanFile};
use muster::plan::report::Report;
use muster::playbook::params::Given;
use serde_json::{Value, json};

use crate::fidelity;
use crate::ground::Ground;
use crate::kube::{self, Cluster};
use crate::traffic;

/// The application's release.
pub const RELEASE: &str = "web";

/// The chart: like AI Vault's, with the host of the database in the environment of its pods, and no probe of readiness.
const TEMPLATE: &str = r#"apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-app
spec:
  replicas: 1
  selector:
    matchLabels: { app: {{ .Release.Name }} }
  template:
    metadata:
      labels: { app: {{ .Release.Name }} }
    spec:
      containers:
        - name: app
          image: registry.invalid/app:1
          env:
            - { name: GPT_DATA_DB_HOST, value: {{ .Values.env.gptDataDbHost | quote }} }
"#;

/// Parameters.
pub type Pairs<'p> = &'p [(&'static str, Value)];

/// An account and a cluster.
pub struct Scene {
    pub ground: Ground,
    pub cluster: Cluster,
    pub app: App,
}

/// A playbook that can be started, and its plan.
pub struct Planned {
    pub start: Start,
    pub file: PlanFile,
}

/// A run that has come to its end, or to where it waits for somebody.
pub struct Went {
    pub run: RunId,
    pub state: RunState,
    pub report: Report,
    pub records: Vec<Record>,
    file: PlanFile,
}

/// Puts kubectl and helm on the path of this process; nothing when they are missing.
pub fn tools() -> Option<()> {
    static DONE: Once = Once::new();
    let folder = kube::tools()?;
    DONE.call_once(|| {
        let path = std::env::var("PATH").unwrap_or_default();
        // SAFETY: all that reads the environment in this process does so through the standard library's lock.
        unsafe { std::env::set_var("PATH", format!("{}:{path}", folder.display())) };
    });
    Some(())
}

impl Scene {
    /// With nothing in it; none where helm and kubectl are missing.
    pub fn start() -> Option<Self> {
        tools()?;
        let cluster = Cluster::in_memory()?;
        let ground = Ground::new();
        let app = fidelity::app(Path::new(&ground.path("")));
        let chart = cluster.folder().join("chart");
        std::fs::create_dir_all(chart.join("templates")).unwrap();
        std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: ai-vault-helm\nversion: 0.2.0\n").unwrap();
        std::fs::write(chart.join("values.yaml"), "env: { gptDataDbHost: \"\", gptDataDbUser: chat }\n").unwrap();
        std::fs::write(chart.join("templates/app.yaml"), TEMPLATE).unwrap();
        Some(Self { ground, cluster, app })
    }

    /// The path of the chart.
    pub fn chart(&self) -> String {
        self.cluster.folder().join("chart").display().to_string()
    }

    /// Installs a release that has its database there.
    pub fn install(&self, release: &str, host: &str) {
        self.cluster.helm(&["install", release, &self.chart(), "--set", &format!("env.gptDataDbHost={host}")]);
    }

    /// The parameters that point a restore to this account, and to [`RELEASE`].
    pub fn pointed(&self) -> Vec<(&'static str, Value)> {
        vec![
            ("aws", self.ground.access()),
            ("release", json!(format!("{}/{RELEASE}", self.cluster.namespace))),
            ("cluster", json!({ "kubeconfig": self.cluster.kubeconfig, "context": self.cluster.context })),
            ("chart", json!(self.chart())),
        ]
    }

    /// Plans a playbook. What the plan has asked of AWS and of the cluster only reads.
    pub fn plan(&self, playbook: &str, pairs: Pairs<'_>) -> Planned {
        assert!(traffic::ON_AWS.contains(&playbook), "{playbook} is missing in `tests/support/traffic.rs`");
        let mut given = Given::default();
        for (name, value) in pairs {
            match value.as_str().and_then(|text| text.strip_prefix("file:")) {
                // A secret is given as a text.
                Some(_) => given.add_text(&format!("{name}={}", value.as_str().unwrap_or_default())).unwrap(),
                None => {
                    given.values.insert((*name).to_owned(), Spanned::new(value.clone(), Span::default()));
                }
            }
        }
        let (asked, written) = (self.ground.proxy.seen().len(), self.cluster.writes().len());
        let start = self.app.prepare(&fidelity::folder(playbook), &given).expect("it can be started");
        let (records, program) = self.app.plan(&start, None).expect("it is planned");
        let day = Duration::from_secs(86_400);
        let file = self.app.plan_file((&records, &program), playbook, Base::Live, day).expect("a plan");
        let seen = self.ground.proxy.seen();
        assert!(seen.len() > asked, "the plan of {playbook} asks AWS");
        assert_eq!(traffic::writes(&seen[asked..]), Vec::<String>::new(), "a plan of {playbook} wrote");
        assert_eq!(self.cluster.writes()[written..], Vec::<String>::new(), "a plan of {playbook} wrote");
        Planned { start, file }
    }

    /// Plans a playbook, and runs that plan to its end or to where it waits for somebody; as far as it goes it does what the plan said.
    pub fn run(&self, playbook: &str, pairs: Pairs<'_>) -> Went {
        let planned = self.plan(playbook, pairs);
        let session = self.app.start_bound(&planned.start, &planned.file, Arc::new(NoObserver)).expect("it begins");
        let run = session.run().clone();
        fidelity::finish(&self.app, &planned.file, session);
        let went = self.went(run, planned.file);
        let beyond: Vec<String> = fidelity::differences(&went.report);
        let beyond: Vec<&String> = beyond.iter().filter(|line| line.contains(": NotPlanned ")).collect();
        assert!(beyond.is_empty(), "{beyond:#?}");
        went
    }

    /// How a run stands by now.
    pub fn again(&self, went: &Went) -> Went {
        self.went(went.run.clone(), went.file.clone())
    }

    fn went(&self, run: RunId, file: PlanFile) -> Went {
        let records = self.app.records(&run).expect("the journal loads");
        let state = RunState::fold(&records).expect("the journal folds");
        let report = Report::of(std::slice::from_ref(&file), &records).expect("a report");
        Went { run, state, report, records, file }
    }

    /// The host of the database in the environment of the release's pods.
    pub fn told(&self) -> String {
        let found = self.cluster.object("deployment", &format!("{RELEASE}-app"));
        found["spec"]["template"]["spec"]["containers"][0]["env"][0]["value"].as_str().unwrap_or_default().to_owned()
    }

    /// Somebody else than whoever started the run says something, and the run goes on.
    pub fn say(&self, run: &RunId, order: Order) -> RunState {
        let app = second(&self.ground);
        app.say(run, &app.settings.actor, order).expect("the order is stored");
        let session = app.take(run, Arc::new(NoObserver)).expect("nobody else holds it");
        session.drive(4, false, &Arc::new(AtomicUsize::new(0))).expect("the engine goes on");
        RunState::fold(&app.records(run).expect("the journal loads")).expect("the journal folds")
    }

    /// What `muster show` says of a run.
    pub fn shown(&self, run: &RunId) -> String {
        let output = Command::new(env!("CARGO_BIN_EXE_muster"))
            .args(["show", run.as_str()])
            .env("MUSTER_STORE", self.ground.path("muster.db"))
            .output()
            .expect("it can be started");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// Everything that there is, to be compared: databases, snapshots and backups with this in their names, as AWS describes them; the
    /// release, its values, its objects.
    pub fn picture(&self, part: &str) -> BTreeMap<String, String> {
        let mut picture = databases(&self.ground, part);
        for what in ["values", "manifest"] {
            picture.insert(format!("helm {what}"), self.cluster.helm(&["get", what, RELEASE]));
        }
        picture.insert("objects".to_owned(), format!("{:#?}", self.cluster.picture()));
        picture
    }
}

impl Went {
    /// What went wrong, for whoever has to look why a test failed.
    pub fn faults(&self) -> String {
        let facts = self.records.iter().map(|record| format!("{:?}", record.fact));
        let faults: Vec<String> = facts.filter(|fact| fact.contains("OpError")).collect();
        let pauses = &self.state.pauses;
        let steps =
            self.report.steps.iter().map(|step| format!("{} {:?}", step.step, step.planned)).collect::<Vec<_>>();
        format!("{pauses:#?} {faults:#?} {steps:#?} {:#?}", fidelity::differences(&self.report))
    }

    /// The steps that failed.
    pub fn failed(&self) -> Vec<&str> {
        let failed = self.state.steps.iter().filter(|(_, step)| matches!(step.status, StepStatus::Failed { .. }));
        failed.map(|(path, _)| path.as_str()).collect()
    }

    /// Whether a call of this operation has waited for anything.
    pub fn waited(&self, op: &str) -> bool {
        self.records.iter().any(|record| matches!(&record.fact, Fact::WaitBegun { op: of, .. } if of == op))
    }
}

/// A plain yes to a step that waits for one.
pub fn approval(step: &str) -> Order {
    let step = StepPath::of(step);
    Order::Approve { step, role: None, reason: None, break_glass: false, valid_until: None, digest: None }
}

/// Somebody else than whoever started the runs there.
pub fn second(ground: &Ground) -> App {
    let settings = Settings {
        store: Path::new(&ground.path("")).join("muster.db"),
        supervisor: env!("CARGO_BIN_EXE_muster").into(),
        actor: Actor { name: "second@there".to_owned() },
        workers: 4,
        script_time: None,
    };
    App::open(settings).expect("the store opens")
}

/// Databases, their snapshots and their automated backups with this in their names, as AWS describes them.
pub fn databases(ground: &Ground, part: &str) -> BTreeMap<String, String> {
    let mut found = BTreeMap::new();
    for (action, element) in [
        ("DescribeDBInstances", "DBInstance"),
        ("DescribeDBClusters", "DBCluster"),
        ("DescribeDBSnapshots", "DBSnapshot"),
        ("DescribeDBClusterSnapshots", "DBClusterSnapshot"),
        ("DescribeDBInstanceAutomatedBackups", "DBInstanceAutomatedBackup"),
    ] {
        // All on one page, whatever other tests have left there.
        let answer = ground.rds(action, &[("MaxRecords", "10000")]);
        assert!(!answer.contains("<Marker>"), "{action} has more pages");
        for one in answer.split(&format!("<{element}>")).skip(1) {
            let one = one.split(&format!("</{element}>")).next().unwrap_or_default();
            let name = one.split_once(&format!("{element}Identifier>")).map_or(one, |(_, rest)| rest);
            let name = name.split('<').next().unwrap_or_default();
            // moto keeps an automated snapshot of a cluster that is deleted with its automated backups; AWS does not.
            if name.contains(part) && !(action == "DescribeDBClusterSnapshots" && name.starts_with("rds:")) {
                found.insert(format!("{element} {name}"), timeless(one));
            }
        }
    }
    found
}

/// Without the time up to which it can be restored, which goes on by itself.
fn timeless(element: &str) -> String {
    let (before, rest) = element.split_once("<LatestRestorableTime>").unwrap_or((element, ""));
    format!("{before}{}", rest.split_once("</LatestRestorableTime>").map_or("", |(_, after)| after))
}

/// Whether there is a program of this name; said when there is none.
pub fn has(program: &str) -> bool {
    let there = Command::new(program).arg("--version").output().is_ok();
    if !there {
        println!("skipped: there is no {program} here");
    }
    there
}
