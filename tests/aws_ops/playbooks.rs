//! The playbooks that restore a database of AWS, live: the account on a server that answers as AWS does, the release on a cluster that
//! is asked by the real helm and kubectl, the restored database a real PostgreSQL in which an application opens its sessions. A run
//! does what its plan said, and rolled back it leaves everything as it was.

use muster::engine::state::StepStatus;
use muster::journal::record::Fact;
use muster::model::StepPath;
use muster::model::command::Order;
use muster::model::status::RunStatus;
use serde_json::{Value, json};

use crate::application::{Application, DATABASE, PASSWORD, Server, USER};
use crate::faulty::Spoil;
use crate::fidelity;
use crate::kube::Pace;
use crate::rds::instance;
use crate::rds_change::cluster;
use crate::scene::{RELEASE, Scene, Went, approval};

/// A database of AWS with a snapshot, and an application that uses it.
struct Site {
    scene: Scene,
    application: Application,
    old: Server,
    new: Server,
    database: &'static str,
    playbook: &'static str,
    kind: &'static str,
}

impl Site {
    fn start(playbook: &'static str, kind: &'static str, database: &'static str) -> Option<Self> {
        let scene = Scene::start()?;
        let (old, new) = (Server::start(), Server::start());
        let ground = &scene.ground;
        if kind == "cluster" {
            cluster(ground, database)
        } else {
            instance(ground, database)
        }
        let snapshot = json!({ "kind": kind, "id": database, "snapshot": format!("{database}-1") });
        ground.settle("rds.create_snapshot", snapshot, "snap").unwrap();
        ground.proxy.resolve(database, &old.address);
        ground.proxy.resolve(&format!("{database}-r"), &new.address);
        ground.file("password", PASSWORD.as_bytes());
        let (old, new) = (old.ready().looked_after(), new.ready().looked_after());
        for server in [&old, &new] {
            server.ask("create table users (email text); insert into users values ('sealed')");
        }
        scene.install(RELEASE, &old.address);
        let application = Application::start(&scene);
        Some(Self { scene, application, old, new, database, playbook, kind })
    }

    fn run(&self, more: &[(&'static str, Value)]) -> Went {
        let mut pairs = self.scene.pointed();
        pairs.extend([
            ("database", json!(self.database)),
            ("new_id", json!(format!("{}-r", self.database))),
            ("sql_user", json!(USER)),
            ("sql_password", json!(format!("file:{}", self.scene.ground.path("password")))),
            ("sql_database", json!(DATABASE)),
            ("sslmode", json!("prefer")),
            ("canary", json!("select 1 from users limit 1")),
        ]);
        let health = format!("{}/v1/client/health", self.application.url);
        pairs.push(match self.playbook {
            "rds-restore" => ("health_url", json!(health)),
            _ => ("base_url", json!(self.application.url)),
        });
        pairs.extend_from_slice(more);
        self.scene.run(self.playbook, &pairs)
    }

    /// How many sessions the application has in a database.
    fn sessions(server: &Server) -> String {
        let sql = "select count(*) from pg_stat_activity where application_name = 'psql' and pid <> pg_backend_pid()";
        server.ask(&format!("{sql} and usename = '{USER}'"))
    }

    /// A run whose restored database comes to this status ends its wait at the first look, says why, waits for somebody, and rolls
    /// back to what was.
    fn comes_to(&self, status: &'static str, more: &[(&'static str, Value)]) {
        let before = self.scene.picture(self.database);
        let ground = &self.scene.ground;
        let of = if self.kind == "cluster" { "DBInstanceIdentifier={}-r-1" } else { "DBInstanceIdentifier={}-r" };
        let of = format!("Action=DescribeDBInstances&Version=2014-10-31&{}", of.replace("{}", self.database));
        let bad: &'static str = format!("<DBInstanceStatus>{status}<").leak();
        ground.proxy.spoil_many(&of, 10_000, Spoil::Altered("<DBInstanceStatus>available<", bad));
        let went = self.run(more);
        assert_eq!(went.report.status, RunStatus::Paused, "{}", went.faults());
        let step =
            if self.kind == "cluster" { format!("instances[{}-r-1]", self.database) } else { "restored".to_owned() };
        assert_eq!(went.failed(), [step.as_str()], "{}", went.faults());
        assert!(!went.waited("rds.wait_available"), "the first look was enough");
        // It says why, and what can be done.
        let shown = self.scene.shown(&went.run);
        for said in [
            format!("will not become available: it is {status}: "),
            "hint: ".to_owned(),
            "DB instance created".to_owned(),
        ] {
            assert!(shown.contains(&said), "{said}: {shown}");
        }
        for choice in ["retry", "skip", "done", "rollback", "cancel"] {
            assert!(shown.contains(&format!("    muster {choice} {}", went.run.short())), "{choice}: {shown}");
        }
        let state = self.scene.say(&went.run, Order::Rollback { to: None, force: false });
        assert_eq!(state.status(), RunStatus::RolledBack, "{:#?}", state.pauses);
        ground.proxy.forget();
        assert_eq!(self.scene.picture(self.database), before);
    }

    /// A rollout that fails: helm's release and the account are as they were when it is rolled back.
    fn cannot_roll_out(&self, more: &[(&'static str, Value)]) {
        let before = self.scene.picture(self.database);
        self.scene.cluster.pace(Pace::Exceeded);
        let went = self.run(more);
        self.scene.cluster.pace(Pace::Ready);
        assert_eq!(went.report.status, RunStatus::Paused, "{}", went.faults());
        assert_eq!(went.failed(), ["rollout"], "{}", went.faults());
        assert_eq!(self.revisions(), 2);
        let state = self.scene.say(&went.run, Order::Rollback { to: None, force: false });
        assert_eq!(state.status(), RunStatus::RolledBack, "{:#?}", state.pauses);
        assert_eq!(self.scene.picture(self.database), before);
        assert_eq!(self.revisions(), 3);
    }

    fn revisions(&self) -> usize {
        let listed = self.scene.cluster.helm(&["history", RELEASE, "-o", "json"]);
        serde_json::from_str::<Value>(&listed).unwrap().as_array().unwrap().len()
    }

    /// A run that waits for an approval before the old database goes, and comes to its end as planned.
    fn goes_through(&self, more: &[(&'static str, Value)]) -> Went {
        let more = [more, &[("retire", json!(true))]].concat();
        let went = self.run(&more);
        let shown = self.scene.shown(&went.run);
        assert!(shown.contains("step retire waits for approval"), "{shown} {}", went.faults());
        assert_eq!((Self::sessions(&self.old), Self::sessions(&self.new)), ("0".to_owned(), "1".to_owned()));
        let state = self.scene.say(&went.run, approval("retire"));
        let went = self.scene.again(&went);
        assert_eq!(state.status(), RunStatus::Succeeded, "{}", went.faults());
        assert_eq!(fidelity::differences(&went.report), Vec::<String>::new());
        // The old database is gone, but for its last snapshot; the new one has its instances; the release has the new one.
        let (old, run) = (self.database, went.run.short());
        let mut names: Vec<String> =
            self.scene.picture(old).into_keys().filter(|name| name.starts_with("DB")).collect();
        names.retain(|name| !name.contains(" rds:") && !name.starts_with("DBInstanceAutomatedBackup"));
        let left = if self.kind == "cluster" {
            let snapshots = [format!("DBClusterSnapshot {old}-1"), format!("DBClusterSnapshot {old}-last-{run}")];
            [&[format!("DBCluster {old}-r")], &snapshots[..], &[format!("DBInstance {old}-r-1")]].concat()
        } else {
            let snapshots = [format!("DBSnapshot {old}-1"), format!("DBSnapshot {old}-last-{run}")];
            [&[format!("DBInstance {old}-r")], &snapshots[..]].concat()
        };
        assert_eq!(names, left);
        assert_eq!(self.scene.told(), self.new.address);
        let Some(StepStatus::Succeeded { output: report }) =
            went.state.step(&StepPath::of("report")).map(|step| &step.status)
        else {
            panic!("{}", went.faults())
        };
        assert_eq!(report["proved"]["sessions"], 1, "{report}");
        assert_eq!(report["proved"]["told"]["bearers"], json!([format!("Deployment/{RELEASE}-app")]), "{report}");
        assert_eq!((&report["kept"], &report["endpoint"]), (&json!(""), &json!(self.new.address)), "{report}");
        went
    }
}

#[test]
fn an_instance_is_restored_from_a_snapshot_behind_its_release() {
    let Some(site) = Site::start("rds-restore", "instance", "shop-one") else { return };
    let from = [("from", json!("snapshot"))];
    site.comes_to("incompatible-network", &from);
    site.cannot_roll_out(&from);
    // Nobody names the application's user here: all sessions count but those that are no application's.
    for server in [&site.old, &site.new] {
        server.is_vacuumed();
    }
    site.goes_through(&from);
    assert_eq!((site.old.workers(), site.new.workers()), ("1".to_owned(), "1".to_owned()));
}

#[test]
fn an_aurora_cluster_is_restored_to_a_point_in_time_behind_its_release() {
    let Some(site) = Site::start("rds-restore", "cluster", "shop-many") else { return };
    let from = [("from", json!("time"))];
    site.comes_to("restore-error", &from);
    site.cannot_roll_out(&from);
    site.goes_through(&from);
}

#[test]
fn the_vault_s_instance_is_restored_to_a_point_in_time_and_no_session_elsewhere_is_taken_for_a_proof() {
    let Some(site) = Site::start("ai-vault-restore", "instance", "ledger-one") else { return };
    let from = [("from", json!("time"))];
    site.comes_to("restore-error", &from);
    // Healthy pods that still have the old database are no proof: there is no session in the new one until they are made anew.
    site.application.is_slow(1);
    let went = site.goes_through(&from);
    let failed = went.records.iter().filter_map(|record| match &record.fact {
        Fact::StepFailed { step, error, .. } if step.step() == "prove" => Some(error.message.as_str()),
        _ => None,
    });
    let failed: Vec<&str> = failed.collect();
    assert!(failed.len() == 1 && failed[0].contains("no session in the restored database"), "{failed:?}");
}

#[test]
fn the_vault_s_cluster_is_restored_from_a_snapshot() {
    let Some(site) = Site::start("ai-vault-restore", "cluster", "ledger-many") else { return };
    let from = [("from", json!("snapshot"))];
    site.cannot_roll_out(&from);
    site.goes_through(&from);
}
