//! The shipped backup of AI Vault, live: RDS and S3 on a server that stands for AWS, the Secrets and the release on a cluster that is
//! asked by the real kubectl and helm, sealed by the real age.

use std::path::Path;
use std::process::Command;
use std::sync::Once;

use muster::app::App;
use muster::model::span::{Span, Spanned};
use muster::model::status::RunStatus;
use muster::plan::report::Report;
use muster::playbook::params::Given;
use serde_json::{Value, json};

use crate::faulty::Spoil;
use crate::fidelity;
use crate::ground::Ground;
use crate::kube::{self, Cluster};
use crate::rds::instance;

const KEY: &str = "b2xkZXN0LWtleS1pbi10aGUtdmF1bHQ";
const RELEASE: &str = "ai-vault-helm-release";

/// An instance, a bucket, and a cluster with what AI Vault has there.
struct Estate {
    ground: Ground,
    cluster: Cluster,
    app: App,
    recipient: String,
    database: &'static str,
}

/// Puts kubectl and helm on the path of this process; nothing when one of the programs is missing.
fn tools() -> Option<()> {
    static DONE: Once = Once::new();
    let folder = kube::tools()?;
    if Command::new("age-keygen").arg("--version").output().is_err() {
        println!("skipped: there is no age here");
        return None;
    }
    DONE.call_once(|| {
        let path = std::env::var("PATH").unwrap_or_default();
        // SAFETY: all that reads the environment in this process does so through the standard library's lock.
        unsafe { std::env::set_var("PATH", format!("{}:{path}", folder.display())) };
    });
    Some(())
}

impl Estate {
    fn start(database: &'static str) -> Option<Self> {
        tools()?;
        let cluster = Cluster::in_memory()?;
        let ground = Ground::new();
        instance(&ground, database);
        for (name, pair) in [
            ("encryption-key", format!("--from-literal=key={KEY}")),
            ("gpt-data-db", "--from-literal=password=never-shown-2".to_owned()),
            ("support-smtp-login", "--from-literal=password=never-shown-3".to_owned()),
        ] {
            cluster.kubectl(&["create", "secret", "generic", name, &pair]);
        }
        let chart = cluster.folder().join("chart");
        std::fs::create_dir_all(chart.join("templates")).unwrap();
        std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: ai-vault-helm\nversion: 0.2.0\n").unwrap();
        cluster.helm(&["install", RELEASE, chart.to_str().unwrap(), "--set", "env.gptDataDbHost=old-host"]);
        let made = Command::new("age-keygen").arg("-o").arg(ground.path("identity")).output().unwrap();
        assert!(made.status.success());
        let said = String::from_utf8(made.stderr).unwrap();
        let recipient = said.split("Public key: ").nth(1).unwrap().trim().to_owned();
        std::fs::create_dir(ground.path("work")).unwrap();
        let app = fidelity::app(Path::new(&ground.path("")));
        Some(Self { ground, cluster, app, recipient, database })
    }

    fn run(&self, more: &[(&str, Value)]) -> (Report, Vec<String>) {
        let mut given = Given::default();
        let mut set = |name: &str, value: Value| {
            given.values.insert(name.to_owned(), Spanned::new(value, Span::default()));
        };
        set("region", json!("us-east-1"));
        set("aws_endpoint", json!(self.ground.proxy.url()));
        set("database", json!(self.database));
        set("bucket", json!(self.ground.bucket));
        set("work_dir", json!(self.ground.path("work")));
        set("recipient", json!(self.recipient));
        set("namespace", json!(self.cluster.namespace));
        set("kubeconfig", json!(self.cluster.kubeconfig));
        set("context", json!(self.cluster.context));
        more.iter().for_each(|(name, value)| set(name, value.clone()));
        fidelity::live(&self.app, "ai-vault-backup", &given)
    }

    /// A run that comes to its end, as its plan said. Its number.
    fn succeeds(&self, more: &[(&str, Value)]) -> String {
        let (report, pauses) = self.run(more);
        let differs = fidelity::differences(&report);
        let failed = || {
            let records = self.app.records(&report.run).unwrap();
            let facts = records.into_iter().map(|record| format!("{:?}", record.fact));
            facts.filter(|fact| fact.contains("OpError")).collect::<Vec<_>>()
        };
        assert_eq!(report.status, RunStatus::Succeeded, "{pauses:#?} {differs:#?} {:#?}", failed());
        assert_eq!(differs, Vec::<String>::new());
        report.run.to_string()
    }

    fn objects(&self) -> Vec<String> {
        let found = self.ground.read("s3.list", json!({ "bucket": self.ground.bucket }));
        found["objects"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect()
    }

    fn snapshots(&self) -> Vec<Value> {
        let found = self.ground.read("rds.snapshots", json!({ "of": self.database, "made": "manual" }));
        found["snapshots"].as_array().unwrap().clone()
    }

    /// The names of the snapshots, in order.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.snapshots().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// What an object holds, opened.
    fn opened(&self, key: &str) -> String {
        let mut args = self.ground.object(key);
        args["to"] = json!(self.ground.path("got"));
        self.ground.world.write("s3.get_file", args, "m-get").unwrap();
        let opened = Command::new("age")
            .args(["--decrypt", "--identity", &self.ground.path("identity"), &self.ground.path("got")])
            .output()
            .unwrap();
        std::fs::remove_file(self.ground.path("got")).unwrap();
        String::from_utf8(opened.stdout).unwrap()
    }
}

#[test]
fn the_vault_is_backed_up_with_its_key_thinned_and_rolled_back_as_planned() {
    let Some(estate) = Estate::start("vault-of-books") else { return };
    let hand = [("DBInstanceIdentifier", "vault-of-books"), ("DBSnapshotIdentifier", "ai-vault-hand")];
    estate.ground.rds("CreateDBSnapshot", &hand);
    let run = estate.succeeds(&[]);
    let snapshots = estate.snapshots();
    let ours = snapshots.iter().find(|one| one["owned_by"] == json!(run)).expect("the run's own snapshot");
    assert_eq!((&ours["status"], snapshots.len()), (&json!("available"), 2));
    let id = ours["id"].as_str().unwrap().to_owned();
    let folder = format!("backups/ai-vault/{id}");
    let files = ["SHA256SUMS", "manifest.json", "secrets.yaml.age", "values.yaml.age"];
    assert_eq!(estate.objects(), files.map(|file| format!("{folder}/{file}")));
    // What was sealed is all there, and nothing of it is in any record or file.
    let secrets = estate.opened(&format!("{folder}/secrets.yaml.age"));
    let encoded = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    for held in [KEY, "never-shown-2", "never-shown-3"] {
        assert!(secrets.contains(&encoded(held)), "{held}");
    }
    assert!(estate.opened(&format!("{folder}/values.yaml.age")).contains("old-host"));
    let run: muster::model::RunId = run.parse().unwrap();
    let journal = format!("{:?}", estate.app.records(&run).unwrap());
    for held in [KEY, "never-shown-2", "never-shown-3"] {
        assert!(!journal.contains(held) && !journal.contains(&encoded(held)), "{held}");
    }
    assert_eq!(std::fs::read_dir(estate.ground.path("work")).unwrap().count(), 0);

    // A bucket that refuses: the new snapshot goes again, and all else is as it was.
    let (names, objects) = (estate.names(), estate.objects());
    estate.ground.proxy.spoil("PUT /", Spoil::Instead(403, "AccessDenied"));
    let (report, _) = estate.run(&[]);
    assert_eq!(report.status, RunStatus::RolledBack);
    assert_eq!((estate.names(), estate.objects()), (names, objects));
    assert_eq!(std::fs::read_dir(estate.ground.path("work")).unwrap().count(), 0);

    // What has outlived a policy that keeps the newest only; the one taken by hand stays.
    let newest_only = ["keep_daily", "keep_weekly", "keep_monthly"].map(|name| (name, json!("0s")));
    estate.succeeds(&newest_only);
    let (names, objects) = (estate.names(), estate.objects());
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.contains(&"ai-vault-hand".to_owned()) && !names.contains(&id), "{names:?}");
    assert!(objects.len() == 4 && objects.iter().all(|key| !key.contains(&id)), "{objects:?}");
}
