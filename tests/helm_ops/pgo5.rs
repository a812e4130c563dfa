//! The playbooks for the PostgreSQL Operator 5, live, against the API server of the tests and the operator that plays there.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::process::{Command, Stdio};
use std::sync::Arc;
use std::time::Duration;

use muster::app::{App, Settings};
use muster::engine::{NoObserver, RunState};
use muster::model::command::{Actor, Order};
use muster::model::span::{Span, Spanned};
use muster::model::status::RunStatus;
use muster::model::{RunId, StepPath, Value};
use muster::plan::file::Base;
use muster::playbook::params::Given;
use muster::sandbox::controllers::pgo;
use serde_json::json;

use crate::fidelity;
use crate::ground::Ground;
use crate::kube::{Operator, taken};
use crate::live_world::until;

pub const WORLD: &str = r"
kubernetes:
  pgo:
    clusters:
      default/hippo:
        databases: { hippo: { orders: [{ rows: 1000 }, { ago: 4h, rows: 1200 }, { ago: 1h }] } }
        backups: [{ ago: 5h }]
";

/// A standby that follows the bucket of its primary.
pub const FOLLOWED: &str = r"
kubernetes:
  pgo:
    clusters:
      default/hippo:
        databases: { hippo: { orders: 1000 } }
        backups: [{ ago: 5h }]
        spec:
          backups: { pgbackrest: { configuration: [{ secret: { name: creds } }], global: { repo1-path: /pgbackrest/hippo }, repos: [{ name: repo1, s3: { bucket: b, endpoint: e, region: r } }] } }
      default/standby:
        spec:
          standby: { enabled: true, repoName: repo1 }
          backups: { pgbackrest: { configuration: [{ secret: { name: creds } }], global: { repo1-path: /pgbackrest/hippo }, repos: [{ name: repo1, s3: { bucket: b, endpoint: e, region: r } }] } }
";

pub struct Operated {
    pub ground: Ground,
    pub operator: Operator,
}

impl Operated {
    pub fn with(world: &str) -> Option<Self> {
        let ground = Ground::in_memory()?;
        let operator = Operator::start(&ground.cluster, world, 200)?;
        Some(Self { ground, operator })
    }

    pub fn file(&self, name: &str) -> PathBuf {
        self.ground.cluster.folder().join(name)
    }

    /// What all of them are given.
    pub fn params(&self, more: &[(&str, Value)]) -> BTreeMap<String, Value> {
        let cluster = &self.ground.cluster;
        let reached = json!({ "kubeconfig": cluster.kubeconfig, "context": cluster.context });
        let mut params = BTreeMap::from([
            ("namespace".to_owned(), json!(cluster.namespace)),
            ("cluster".to_owned(), reached),
            ("name".to_owned(), json!("hippo")),
        ]);
        params.extend(more.iter().map(|(name, value)| ((*name).to_owned(), value.clone())));
        params
    }

    /// A time so long ago for the operator.
    pub fn ago(&self, hours: u64) -> Value {
        json!((self.operator.now() - Duration::from_secs(hours * 3_600)).strftime("%Y-%m-%dT%H:%M:%SZ").to_string())
    }

    pub fn app(&self, who: &str) -> App {
        let settings = Settings {
            store: self.file("muster.db"),
            supervisor: env!("CARGO_BIN_EXE_muster").into(),
            actor: Actor { name: who.to_owned() },
            workers: 2,
            script_time: None,
        };
        App::open(settings).expect("the store opens")
    }

    /// Planned, which writes nothing, and run by that plan with a yes to these steps; how the two differ.
    pub fn as_planned(&self, playbook: &str, more: &[(&str, Value)], approved: &[&str]) -> (RunId, Vec<String>) {
        let mut given = Given::default();
        for (name, value) in self.params(more) {
            given.values.insert(name, Spanned::new(value, Span::default()));
        }
        let app = self.app("first@here");
        let writes = self.ground.cluster.writes().len();
        let start = app.prepare(&fidelity::folder(playbook), &given).expect("it can be started");
        let (records, program) = app.plan(&start, None).expect("it is planned");
        assert_eq!(self.ground.cluster.writes()[writes..], Vec::<String>::new(), "a plan of {playbook} wrote");
        let file = app.plan_file((&records, &program), playbook, Base::Live, Duration::from_secs(86_400));
        let file = file.expect("a plan");
        let session = app.start_bound(&start, &file, Arc::new(NoObserver)).expect("the run begins");
        let run = session.run().clone();
        let mut report = fidelity::finish(&app, &file, session);
        for step in approved {
            let order = Order::Approve {
                step: StepPath::of(step),
                role: None,
                reason: None,
                break_glass: false,
                valid_until: None,
                digest: None,
            };
            let second = self.app("second@there");
            second.say(&run, &second.settings.actor, order).expect("it can be approved");
            let session = second.take(&run, Arc::new(NoObserver)).expect("it goes on");
            report = fidelity::finish(&app, &file, session);
        }
        let state = RunState::fold(&app.records(&run).expect("the journal loads")).expect("the journal folds");
        assert_eq!(report.status, RunStatus::Succeeded, "{playbook}: {:#?} {:#?}", state.pauses, state.steps);
        // A real server has PostgreSQL Operator's own definitions.
        if let Some((count, refused)) = taken(&self.ground.cluster) {
            assert!(count > 0 && refused.is_empty(), "of {count} requests of {playbook}: {refused:#?}");
        }
        (run, fidelity::differences(&report))
    }

    /// How many rows a cluster of the operator has in its table of orders.
    pub fn orders(&self, name: &str) -> Option<u64> {
        let clusters = self.operator.clusters();
        let pgo = clusters.pgo.expect("there is an operator");
        let data = pgo.data.get(&format!("current/default/postgrescluster/{name}"))?;
        pgo::rows(&data.facts, "hippo", "orders", self.operator.now())
    }

    /// The program itself; with the process that may be killed.
    pub fn muster(&self, args: &[&str], started: impl FnOnce(u32)) -> (Option<i32>, String) {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(args).env("MUSTER_STORE", self.file("muster.db")).env("HOME", self.file(""));
        // Who has started a run cannot approve it.
        command.env("MUSTER_ACTOR", if args[0] == "approve" { "second@there" } else { "first@here" });
        let child = command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).spawn().unwrap();
        started(child.id());
        let output = child.wait_with_output().unwrap();
        let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
        (output.status.code(), said)
    }
}

/// Of the proof that a real server takes what the playbooks send: it would refuse something else.
#[test]
fn what_a_real_server_would_refuse_is_noticed() {
    let Some(at) = Operated::with(WORLD) else { return };
    let object = json!({
        "apiVersion": "postgres-operator.crunchydata.com/v1beta1", "kind": "PostgresCluster",
        "metadata": { "name": "odd", "namespace": at.ground.cluster.namespace }, "spec": { "postgresVersion": 15, "instnces": [] },
    });
    let mut args = json!({ "object": object });
    crate::objects::with(&at.ground, &mut args, json!({}));
    at.ground.world.write("k8s.create", args, "m-odd").unwrap();
    let patch = json!({ "spec": { "shutdwn": true } });
    let mut args =
        json!({ "kind": "PostgresCluster", "name": "hippo", "namespace": at.ground.cluster.namespace, "patch": patch });
    crate::objects::with(&at.ground, &mut args, json!({}));
    at.ground.world.write("k8s.patch", args, "m-hippo").unwrap();
    let Some((count, refused)) = taken(&at.ground.cluster) else { return };
    assert_eq!((count, refused.len()), (2, 2), "{refused:#?}");
    assert!(refused.concat().contains("instnces") && refused.concat().contains("shutdwn"), "{refused:#?}");
}

#[test]
fn a_cluster_is_backed_up_as_planned() {
    let Some(at) = Operated::with(WORLD) else { return };
    let (_, differences) = at.as_planned("pgo-backup", &[("type", json!("diff"))], &[]);
    assert_eq!(differences, Vec::<String>::new());
    let clusters = at.operator.clusters();
    let kinds: Vec<String> =
        clusters.pgo.unwrap().repos.values().flat_map(|one| one.backups.iter().map(|one| one.kind.clone())).collect();
    assert_eq!(kinds, ["full", "diff"]);
}

#[test]
fn a_cluster_is_cloned_to_a_point_in_time_as_planned() {
    let Some(at) = Operated::with(WORLD) else { return };
    let canary = json!("SELECT count(*) FROM orders");
    let params = [
        ("name", json!("elephant")),
        ("source", json!("hippo")),
        ("at", at.ago(2)),
        ("database", json!("hippo")),
        ("canary", canary),
    ];
    let (_, differences) = at.as_planned("pgo-clone", &params, &[]);
    assert_eq!(differences, Vec::<String>::new());
    assert_eq!((at.orders("elephant"), at.orders("hippo")), (Some(1200), None));
    assert!(at.ground.cluster.object("postgrescluster", "elephant")["spec"]["dataSource"].is_null());
}

#[test]
fn a_clone_is_taken_away_after_its_data_source_was_taken_out_but_not_over_what_somebody_else_has_changed() {
    for theirs in [None, Some(r#"{"spec":{"postgresVersion":15}}"#)] {
        let Some(at) = Operated::with(WORLD) else { return };
        let cluster = &at.ground.cluster;
        let params = at.params(&[("name", json!("elephant")), ("source", json!("hippo")), ("at", at.ago(2))]);
        std::fs::write(at.file("params.json"), json!(params).to_string()).unwrap();
        let look = cluster.looker("postgresclusters.postgres-operator.crunchydata.com", "elephant");
        let file = at.file("params.json");
        let args = ["run", &fidelity::folder("pgo-clone"), "-f", file.to_str().unwrap()];
        let (code, said) = std::thread::scope(|scope| {
            scope.spawn(|| {
                // Once its data source is out, nothing backs it up any more, and somebody gives up.
                until("its data source is out", || {
                    look()["spec"].is_object() && look()["spec"]["dataSource"].is_null()
                });
                at.operator.set(|operator| operator.dead = true);
                if let Some(patch) = theirs {
                    cluster.kubectl(&["patch", "postgrescluster", "elephant", "--type=merge", "-p", patch]);
                }
                let (_, said) = at.muster(&["cancel", "@latest"], |_| {});
                assert!(said.contains("cancel"), "{said}");
            });
            at.muster(&args, |_| {})
        });
        at.operator.set(|operator| operator.dead = false);
        let left = cluster.object("postgrescluster", "elephant");
        if theirs.is_some() {
            assert!(said.contains("what k8s.create left has been changed since"), "{code:?}: {said}");
            assert!(!left.is_null(), "{said}");
        } else {
            assert!(left.is_null(), "{code:?}: {said}");
        }
    }
}

#[test]
fn a_cluster_is_restored_over_itself_as_planned() {
    let Some(at) = Operated::with(WORLD) else { return };
    let (_, differences) = at.as_planned("pgo-restore-in-place", &[("at", at.ago(2))], &["restore"]);
    assert_eq!(differences, Vec::<String>::new());
    assert_eq!(at.orders("hippo"), Some(1200));
    let hippo = at.ground.cluster.object("postgrescluster", "hippo");
    assert_eq!(hippo["spec"]["backups"]["pgbackrest"]["restore"]["enabled"], false);
}

#[test]
fn a_standby_is_promoted_as_planned_and_its_primary_stays_down() {
    let Some(at) = Operated::with(FOLLOWED) else { return };
    let params = [("name", json!("standby")), ("active", json!("hippo")), ("active_namespace", json!("default"))];
    let reached = at.params(&[])["cluster"].clone();
    let params: Vec<(&str, Value)> = params.into_iter().chain([("active_cluster", reached)]).collect();
    let (_, differences) = at.as_planned("pgo-standby-promote", &params, &["last_look"]);
    assert_eq!(differences, Vec::<String>::new());
    let clusters = at.operator.clusters();
    let writable = pgo::writable_primaries(&clusters, at.operator.now());
    assert!(writable.values().all(|who| who.len() == 1), "{writable:?}");
    assert_eq!(at.ground.cluster.object("postgrescluster", "hippo")["spec"]["shutdown"], true);
    // The old primary becomes a standby of the new one.
    let params = [("primary", json!("standby")), ("primary_namespace", json!("default"))];
    let reached = at.params(&[])["cluster"].clone();
    let params: Vec<(&str, Value)> = params.into_iter().chain([("primary_cluster", reached)]).collect();
    let (_, differences) = at.as_planned("pgo-failback", &params, &["delete"]);
    assert_eq!(differences, Vec::<String>::new());
    assert_eq!(at.ground.cluster.object("postgrescluster", "hippo")["spec"]["standby"]["enabled"], true);
    let writable = pgo::writable_primaries(&at.operator.clusters(), at.operator.now());
    assert_eq!(writable.values().flatten().collect::<Vec<_>>(), ["current/default/postgrescluster/standby"]);
}

#[test]
fn a_standby_is_made_as_planned() {
    let Some(at) = Operated::with(FOLLOWED) else { return };
    let params = [
        ("name", json!("second")),
        ("source", json!("hippo")),
        ("source_namespace", json!("default")),
        ("source_cluster", at.params(&[])["cluster"].clone()),
    ];
    let (_, differences) = at.as_planned("pgo-standby-create", &params, &[]);
    assert_eq!(differences, Vec::<String>::new());
    assert_eq!(at.ground.cluster.object("postgrescluster", "second")["spec"]["standby"]["enabled"], true);
}
