//! The shipped backup of AI Vault, live: RDS, Aurora and S3 on a server that stands for AWS, the Secrets and the release on a cluster that
//! is asked by the real kubectl and helm, exports by the real pg_dump, all of it sealed by the real age.

use std::process::Command;

use muster::model::status::RunStatus;
use serde_json::{Value, json};
use sha2::{Digest as _, Sha256};

use crate::application::{DATABASE, PASSWORD, Server, USER};
use crate::faulty::Spoil;
use crate::fidelity;
use crate::rds::instance;
use crate::rds_change::cluster;
use crate::scene::{self, Pairs, Scene, Went};

const KEY: &str = "b2xkZXN0LWtleS1pbi10aGUtdmF1bHQ";
const RELEASE: &str = "ai-vault-helm-release";

/// A database, a bucket, and a cluster with what AI Vault has there.
pub struct Vault {
    pub scene: Scene,
    recipient: String,
    database: &'static str,
}

impl Vault {
    pub fn start(database: &'static str) -> Option<Self> {
        if !scene::has("age-keygen") {
            return None;
        }
        let scene = Scene::start()?;
        let (ground, cluster) = (&scene.ground, &scene.cluster);
        for (name, pair) in [
            ("encryption-key", format!("--from-literal=key={KEY}")),
            ("gpt-data-db", "--from-literal=password=never-shown-2".to_owned()),
            ("support-smtp-login", "--from-literal=password=never-shown-3".to_owned()),
        ] {
            cluster.kubectl(&["create", "secret", "generic", name, &pair]);
        }
        scene.install(RELEASE, "old-host");
        let made = Command::new("age-keygen").arg("-o").arg(ground.path("identity")).output().unwrap();
        assert!(made.status.success());
        let said = String::from_utf8(made.stderr).unwrap();
        let recipient = said.split("Public key: ").nth(1).unwrap().trim().to_owned();
        std::fs::create_dir(ground.path("work")).unwrap();
        Some(Self { scene, recipient, database })
    }

    /// The parameters of a backup.
    pub fn pairs(&self, more: Pairs<'_>) -> Vec<(&'static str, Value)> {
        let (ground, cluster) = (&self.scene.ground, &self.scene.cluster);
        let mut pairs = vec![
            ("region", json!("us-east-1")),
            ("aws_endpoint", json!(ground.proxy.url())),
            ("database", json!(self.database)),
            ("bucket", json!(ground.bucket)),
            ("work_dir", json!(ground.path("work"))),
            ("recipient", json!(self.recipient)),
            ("namespace", json!(cluster.namespace)),
            ("kubeconfig", json!(cluster.kubeconfig)),
            ("context", json!(cluster.context)),
        ];
        pairs.extend_from_slice(more);
        pairs
    }

    fn run(&self, more: Pairs<'_>) -> Went {
        self.scene.run("ai-vault-backup", &self.pairs(more))
    }

    /// A run that comes to its end, as its plan said.
    fn succeeds(&self, more: Pairs<'_>) -> Went {
        let went = self.run(more);
        assert_eq!(went.report.status, RunStatus::Succeeded, "{}", went.faults());
        assert_eq!(fidelity::differences(&went.report), Vec::<String>::new());
        went
    }

    fn objects(&self) -> Vec<String> {
        let ground = &self.scene.ground;
        let found = ground.read("s3.list", json!({ "bucket": ground.bucket }));
        found["objects"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect()
    }

    fn snapshots(&self) -> Vec<Value> {
        let found = self.scene.ground.read("rds.snapshots", json!({ "of": self.database, "made": "manual" }));
        found["snapshots"].as_array().unwrap().clone()
    }

    /// The names of the snapshots, in order.
    fn names(&self) -> Vec<String> {
        let mut names: Vec<String> =
            self.snapshots().iter().map(|one| one["id"].as_str().unwrap().to_owned()).collect();
        names.sort();
        names
    }

    /// What an object holds.
    fn held(&self, key: &str) -> Vec<u8> {
        let ground = &self.scene.ground;
        let mut args = ground.object(key);
        args["to"] = json!(ground.path("got"));
        ground.world.write("s3.get_file", args, "m-get").unwrap();
        let held = std::fs::read(ground.path("got")).unwrap();
        std::fs::remove_file(ground.path("got")).unwrap();
        held
    }

    /// What a sealed object holds, opened.
    fn opened(&self, key: &str) -> Vec<u8> {
        let ground = &self.scene.ground;
        let sealed = ground.file("sealed", &self.held(key));
        let opened = Command::new("age").args(["--decrypt", "--identity", &ground.path("identity"), &sealed]).output();
        std::fs::remove_file(sealed).unwrap();
        opened.unwrap().stdout
    }

    /// Nothing is left of a backup on this host.
    fn is_tidy(&self) -> bool {
        std::fs::read_dir(self.scene.ground.path("work")).unwrap().count() == 0
    }
}

#[test]
fn the_vault_is_backed_up_with_its_key_thinned_and_rolled_back_as_planned() {
    let Some(vault) = Vault::start("vault-of-books") else { return };
    instance(&vault.scene.ground, vault.database);
    let hand = [("DBInstanceIdentifier", "vault-of-books"), ("DBSnapshotIdentifier", "ai-vault-hand")];
    vault.scene.ground.rds("CreateDBSnapshot", &hand);
    let run = vault.succeeds(&[]).run;
    let snapshots = vault.snapshots();
    let ours = snapshots.iter().find(|one| one["owned_by"] == json!(run.to_string())).expect("the run's own snapshot");
    assert_eq!((&ours["status"], snapshots.len()), (&json!("available"), 2));
    let id = ours["id"].as_str().unwrap().to_owned();
    let folder = format!("backups/ai-vault/{id}");
    let files = ["SHA256SUMS", "manifest.json", "secrets.yaml.age", "values.yaml.age"];
    assert_eq!(vault.objects(), files.map(|file| format!("{folder}/{file}")));
    // What was sealed is all there, and nothing of it is in any record or file.
    let secrets = vault.opened(&format!("{folder}/secrets.yaml.age"));
    let secrets = String::from_utf8(secrets).unwrap();
    let encoded = |text: &str| base64::Engine::encode(&base64::engine::general_purpose::STANDARD, text);
    for held in [KEY, "never-shown-2", "never-shown-3"] {
        assert!(secrets.contains(&encoded(held)), "{held}");
    }
    let values = vault.opened(&format!("{folder}/values.yaml.age"));
    assert!(String::from_utf8(values).unwrap().contains("old-host"));
    let journal = format!("{:?}", vault.scene.app.records(&run).unwrap());
    for held in [KEY, "never-shown-2", "never-shown-3"] {
        assert!(!journal.contains(held) && !journal.contains(&encoded(held)), "{held}");
    }
    assert!(vault.is_tidy());

    // A bucket that refuses: the new snapshot goes again, and all else is as it was.
    let (names, objects) = (vault.names(), vault.objects());
    vault.scene.ground.proxy.spoil("PUT /", Spoil::Instead(403, "AccessDenied"));
    assert_eq!(vault.run(&[]).report.status, RunStatus::RolledBack);
    assert_eq!((vault.names(), vault.objects()), (names, objects));
    assert!(vault.is_tidy());

    // What has outlived a policy that keeps the newest only; the one taken by hand stays.
    let newest_only = ["keep_daily", "keep_weekly", "keep_monthly"].map(|name| (name, json!("0s")));
    vault.succeeds(&newest_only);
    let (names, objects) = (vault.names(), vault.objects());
    assert_eq!(names.len(), 2, "{names:?}");
    assert!(names.contains(&"ai-vault-hand".to_owned()) && !names.contains(&id), "{names:?}");
    assert!(objects.len() == 4 && objects.iter().all(|key| !key.contains(&id)), "{objects:?}");
}

#[test]
fn an_aurora_vault_is_exported_sealed_and_summed_and_a_refused_export_leaves_nothing() {
    let Some(vault) = Vault::start("vault-of-maps") else { return };
    let ground = &vault.scene.ground;
    cluster(ground, vault.database);
    let server = Server::start().ready();
    server
        .ask("create table users (email text); insert into users select 'sealed-' || n from generate_series(1, 500) n");
    ground.proxy.resolve(vault.database, &server.address);
    let secret = format!("file:{}", ground.file("password", PASSWORD.as_bytes()));
    let kms = "arn:aws:kms:us-east-1:123456789012:key/11111111-2222-3333-4444-555555555555";
    let export = [
        ("method", json!("export")),
        ("min_retention_days", json!(5)),
        ("db_name", json!(DATABASE)),
        ("db_user", json!(USER)),
        ("db_password", json!(secret)),
        ("sslmode", json!("prefer")),
        ("kms_key", json!(kms)),
    ];
    ground.proxy.spoil("/database.dump.age?x-id=PutObject", Spoil::Instead(403, "AccessDenied"));
    assert_eq!(vault.run(&export).report.status, RunStatus::RolledBack);
    assert!(vault.objects().is_empty() && vault.is_tidy());

    let run = vault.succeeds(&export).run;
    assert!(vault.is_tidy() && vault.snapshots().is_empty());
    let folder = format!("backups/ai-vault/ai-vault-{}", run.short());
    let files = ["SHA256SUMS", "database.dump.age", "manifest.json", "secrets.yaml.age", "values.yaml.age"];
    assert_eq!(vault.objects(), files.map(|file| format!("{folder}/{file}")));
    // What is there is what was summed; opened, it is a whole dump.
    let manifest: Value = serde_json::from_slice(&vault.held(&format!("{folder}/manifest.json"))).unwrap();
    let sum = |bytes: &[u8]| Sha256::digest(bytes).iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    for file in manifest["files"].as_array().unwrap() {
        let key = format!("{folder}/{}", file["name"].as_str().unwrap());
        assert_eq!(file["sha256"], json!(sum(&vault.held(&key))), "{key}");
        assert_eq!(ground.world.read("s3.head", ground.object(&key)).unwrap()["encryption"], "aws:kms", "{key}");
    }
    let dump = vault.opened(&format!("{folder}/database.dump.age"));
    assert_eq!(manifest["export_plain"], json!({ "bytes": dump.len(), "sha256": sum(&dump) }));
    let dump = ground.file("dump", &dump);
    let rows = Command::new("pg_restore").args(["--data-only", "--table=users", "--file=-", &dump]).output().unwrap();
    assert_eq!(String::from_utf8(rows.stdout).unwrap().matches("sealed-").count(), 500);
    let sealed = format!("{:?}{manifest}", vault.scene.app.records(&run).unwrap());
    assert!(!sealed.contains(PASSWORD) && !sealed.contains("sealed-1"));
}
