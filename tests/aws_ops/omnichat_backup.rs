//! The shipped backup of OmniChat on AWS, live: RDS, EFS and S3 on a server that stands for AWS, and the server of this test suite for
//! what that one has not of AWS Backup.

use std::path::Path;

use muster::app::App;
use muster::model::span::{Span, Spanned};
use muster::model::status::RunStatus;
use muster::plan::report::Report;
use muster::playbook::params::Given;
use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::aws;
use crate::faulty::Spoil;
use crate::fidelity;
use crate::ground::Ground;
use crate::rds::instance;
use crate::traffic;
use crate::vaulting::Vaulting;

const PLAYBOOK: &str = "omnichat-aws-backup";
const ROLE: &str = "arn:aws:iam::123456789012:role/backup";
const STATE: &str = "{ \"serial\": 42, \"lineage\": \"6c3f\", \"secret\": \"never-shown-4\" }";
const TFVARS: &str = "enable_gpu = true\n";

/// An instance, a file system, a vault, a state and files beside it.
struct Estate {
    ground: Ground,
    vaulting: Vaulting,
    app: App,
    database: &'static str,
    /// The ARN of the file system, and its id.
    resource: String,
    file_system: String,
    state_bucket: String,
}

impl Estate {
    fn start(database: &'static str) -> Self {
        let (ground, vaulting, resource) = crate::backups::ground(database);
        // A job takes a step each time that it is asked about, and a quarter of a minute lies between two questions.
        vaulting.jobs_go(&["COMPLETED"]);
        instance(&ground, database);
        let server = aws::server().address;
        let state_bucket = format!("{}-state", ground.bucket);
        aws::put(server, &format!("/{state_bucket}"), "");
        let versions = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        aws::put(server, &format!("/{state_bucket}?versioning"), versions);
        // Terraform puts it there with its SHA-256, and S3 tells it; of moto's answers one cannot tell a sum from a sum of sums.
        let lines = format!("x-amz-meta-muster-sha256: {}\r\n", sum(STATE));
        aws::put(server, &format!("/{state_bucket}/horizons/terraform.tfstate"), "{ \"serial\": 41 }");
        aws::put_with(server, &format!("/{state_bucket}/horizons/terraform.tfstate"), &lines, STATE);
        std::fs::create_dir(ground.path("work")).unwrap();
        std::fs::create_dir(ground.path("terraform")).unwrap();
        std::fs::write(ground.path("terraform/terraform.tfvars"), TFVARS).unwrap();
        std::fs::write(ground.path("terraform/.terraform.lock.hcl"), "# versions\n").unwrap();
        let app = fidelity::app(Path::new(&ground.path("")));
        let file_system = resource.rsplit('/').next().unwrap().to_owned();
        Self { ground, vaulting, app, database, resource, file_system, state_bucket }
    }

    fn given(&self, more: &[(&str, Value)]) -> Given {
        let mut given = Given::default();
        let mut set = |name: &str, value: Value| {
            given.values.insert(name.to_owned(), Spanned::new(value, Span::default()));
        };
        set("region", json!("us-east-1"));
        set("account", json!("123456789012"));
        set("aws_endpoint", json!(self.ground.proxy.url()));
        set("database", json!(self.database));
        set("bucket", json!(self.ground.bucket));
        set("work_dir", json!(self.ground.path("work")));
        set("file_system", json!(self.file_system));
        set("vault", json!(self.database));
        set("backup_role", json!(ROLE));
        set("state_bucket", json!(self.state_bucket));
        set("terraform_dir", json!(self.ground.path("terraform")));
        set("schedule", json!(true));
        set("plan_name", json!(format!("Plan-{}", self.database)));
        more.iter().for_each(|(name, value)| set(name, value.clone()));
        given
    }

    fn run(&self, more: &[(&str, Value)]) -> (Report, Vec<String>) {
        fidelity::live(&self.app, PLAYBOOK, &self.given(more))
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

    /// What has been asked of AWS that changes anything.
    fn writes(&self) -> Vec<String> {
        traffic::writes(&self.ground.proxy.seen())
    }

    fn objects(&self) -> Vec<String> {
        let found = self.ground.read("s3.list", json!({ "bucket": self.ground.bucket }));
        found["objects"].as_array().unwrap().iter().map(|one| one["key"].as_str().unwrap().to_owned()).collect()
    }

    fn snapshots(&self) -> Vec<Value> {
        let found = self.ground.read("rds.snapshots", json!({ "of": self.database, "made": "manual" }));
        found["snapshots"].as_array().unwrap().clone()
    }

    /// The backup plan of this test, as AWS lists it.
    fn plans(&self) -> Vec<Value> {
        let name = json!(format!("Plan-{}", self.database));
        let found = self.ground.read("backup.plans", json!({}));
        found["plans"].as_array().unwrap().iter().filter(|one| one["name"] == name).cloned().collect()
    }

    /// All that a run changes.
    fn picture(&self) -> (Vec<String>, Vec<Value>, Vec<Value>, Vec<Value>) {
        (self.objects(), self.snapshots(), self.vaulting.points(), self.plans())
    }

    /// What an object of the bucket holds.
    fn got(&self, key: &str) -> String {
        let mut args = self.ground.object(key);
        args["to"] = json!(self.ground.path("got"));
        self.ground.world.write("s3.get_file", args, "m-get").unwrap();
        let text = std::fs::read_to_string(self.ground.path("got")).unwrap();
        std::fs::remove_file(self.ground.path("got")).unwrap();
        text
    }
}

fn sum(text: &str) -> String {
    Sha256::digest(text).iter().map(|byte| format!("{byte:02x}")).collect()
}

#[test]
fn omnichat_is_backed_up_under_a_manifest_thinned_and_rolled_back_as_planned() {
    let estate = Estate::start("horizons-live");
    let hand = [("DBInstanceIdentifier", "horizons-live"), ("DBSnapshotIdentifier", "horizons-hand")];
    estate.ground.rds("CreateDBSnapshot", &hand);
    let theirs = estate.vaulting.keep("horizons-live", &estate.resource, "COMPLETED");

    // A plan asks and changes nothing.
    let start = estate.app.prepare(&fidelity::folder(PLAYBOOK), &estate.given(&[])).expect("it can be started");
    estate.app.plan(&start, None).expect("it is planned");
    assert_eq!(estate.writes(), Vec::<String>::new());

    // Answers are lost on the way of all that makes something: it is made once all the same.
    for request in ["PUT /backup-jobs", "PUT /backup/plans", "Action=CreateDBSnapshot", "x-amz-copy-source"] {
        estate.ground.proxy.spoil(request, Spoil::Unanswered);
    }
    let run = estate.succeeds(&[]);
    let count = |text: &str| estate.ground.proxy.count(text);
    assert_eq!((estate.vaulting.jobs(), estate.plans().len()), (1, 1));
    assert_eq!(estate.plans()[0]["selections"].as_array().unwrap().len(), 1);
    let snapshots = estate.snapshots();
    let ours = snapshots.iter().find(|one| one["owned_by"] == json!(run)).expect("the run's own snapshot");
    assert_eq!((&ours["status"], snapshots.len()), (&json!("available"), 2));
    let id = ours["id"].as_str().unwrap().to_owned();
    let folder = format!("backups/horizons/{id}");
    let files = [".terraform.lock.hcl", "manifest.json", "terraform.tfstate", "terraform.tfvars"];
    assert_eq!(estate.objects(), files.map(|file| format!("{folder}/{file}")));
    // What was in doubt was asked about, and nothing was sent twice.
    let sent = ["PUT /backup-jobs", "PUT /backup/plans", "Action=CreateDBSnapshot", "x-amz-copy-source", "DELETE /"];
    assert_eq!(sent.map(count), [1, 2, 1, 1, 0]);
    assert_eq!(count("PUT /bucket-"), 4);

    // The manifest names everything, and everything is there.
    let manifest: Value = serde_json::from_str(&estate.got(&format!("{folder}/manifest.json"))).unwrap();
    assert_eq!((&manifest["account"], &manifest["region"]), (&json!("123456789012"), &json!("us-east-1")));
    let database = &manifest["database"];
    assert_eq!((&database["id"], &database["snapshot"]), (&json!("horizons-live"), &json!(id)));
    assert_eq!((&database["snapshot_arn"], &database["snapshot_time"]), (&ours["arn"], &ours["data_until"]));
    assert_eq!(database["settings"]["security_groups"], json!(["sg-11112222", "sg-33334444"]));
    assert_eq!(database["settings"]["parameter_group"], "horizons-live-pg");
    let models = &manifest["models"];
    assert_eq!((&models["file_system"], &models["vault"]), (&json!(estate.file_system), &json!("horizons-live")));
    let points = estate.vaulting.points();
    let point = points.iter().find(|one| one["RecoveryPointArn"] == models["recovery_point"]).expect("it is there");
    assert_eq!((&point["tags"]["muster.run"], &point["Status"]), (&json!(run), &json!("COMPLETED")));
    assert_eq!((&models["settings"]["token"], &models["bytes"]), (&json!("horizons-live"), &json!(4096)));
    let terraform = &manifest["terraform"];
    for (one, name, text) in [("state", "terraform.tfstate", STATE), ("tfvars", "terraform.tfvars", TFVARS)] {
        let (key, one) = (format!("{folder}/{name}"), &terraform[one]);
        assert_eq!((&one["bucket"], &one["key"]), (&json!(estate.ground.bucket), &json!(key)));
        assert_eq!((&one["sha256"], &one["bytes"]), (&json!(sum(text)), &json!(text.len())));
        assert_eq!(one["version"], json!(estate.ground.versions(&key)[0]));
        assert_eq!(estate.got(&key), text);
    }
    assert_eq!(terraform["others"][0]["key"], json!(format!("{folder}/.terraform.lock.hcl")));
    assert_eq!(manifest["schedule"]["plan"], estate.plans()[0]["id"]);
    let run: muster::model::RunId = run.parse().unwrap();
    let journal = format!("{:?}", estate.app.records(&run).unwrap());
    assert!(!journal.contains("never-shown-4"), "the state went through the journal");
    assert_eq!(std::fs::read_dir(estate.ground.path("work")).unwrap().count(), 0);

    // A bucket that takes no manifest, and a job that fails: all is as it was. The plan that stands is left alone.
    let before = estate.picture();
    estate.ground.proxy.spoil("x-amz-meta-backup-kind", Spoil::Instead(403, "AccessDenied"));
    assert_eq!(estate.run(&[]).0.status, RunStatus::RolledBack);
    assert!(estate.ground.proxy.is_done() && estate.picture() == before, "{before:#?} {:#?}", estate.picture());
    estate.vaulting.jobs_go(&["FAILED"]);
    assert_eq!(estate.run(&[]).0.status, RunStatus::RolledBack);
    assert!(estate.picture() == before, "{before:#?} {:#?}", estate.picture());
    assert_eq!(std::fs::read_dir(estate.ground.path("work")).unwrap().count(), 0);

    // What has outlived a policy that keeps the newest only; what others made stays.
    estate.vaulting.jobs_go(&["COMPLETED"]);
    let newest_only = ["keep_daily", "keep_weekly", "keep_monthly"].map(|name| (name, json!("0s")));
    estate.succeeds(&newest_only);
    let (objects, snapshots, points, plans) = estate.picture();
    assert!(objects.len() == 4 && objects.iter().all(|key| !key.contains(&id)), "{objects:?}");
    let names: Vec<&str> = snapshots.iter().map(|one| one["id"].as_str().unwrap()).collect();
    assert!(names.len() == 2 && names.contains(&"horizons-hand") && !names.contains(&id.as_str()), "{names:?}");
    let arns: Vec<&str> = points.iter().map(|one| one["RecoveryPointArn"].as_str().unwrap()).collect();
    assert!(
        arns.len() == 2 && arns.contains(&theirs.as_str()) && !arns.iter().any(|arn| models["recovery_point"] == *arn)
    );
    assert_eq!(plans, before.3);
}

#[test]
fn a_backup_without_models_is_whole_and_a_plan_that_was_made_for_nothing_goes_again() {
    let estate = Estate::start("horizons-small");
    let before = estate.picture();
    estate.ground.proxy.spoil("Action=CreateDBSnapshot", Spoil::Instead(400, "SnapshotQuotaExceeded"));
    let (report, _) = estate.run(&[("file_system", json!(""))]);
    assert_eq!(report.status, RunStatus::RolledBack);
    assert!(estate.picture() == before, "{:#?}", estate.picture());
    assert_eq!(estate.ground.proxy.count("DELETE /backup/plans"), 2, "the plan, and what it selected");
    estate.succeeds(&[("file_system", json!("")), ("backup_role", json!("")), ("schedule", json!(false))]);
    assert_eq!(estate.vaulting.jobs(), 0);
    let manifest = estate.objects().into_iter().find(|key| key.ends_with("manifest.json")).expect("a manifest");
    let manifest: Value = serde_json::from_str(&estate.got(&manifest)).unwrap();
    assert_eq!((&manifest["models"], &manifest["schedule"]), (&Value::Null, &Value::Null));
}
