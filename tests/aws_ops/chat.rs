//! OmniChat on AWS as an estate: the database, the models on EFS, the services that use them, the secret that they read, and terraform's
//! state; what the people do whom its restore asks; and what all of it looks like.

use std::collections::BTreeMap;

use serde_json::{Value, json};
use sha2::{Digest, Sha256};

use crate::aws;
use crate::estate::{Estate, healthy};
use crate::faulty::Faulty;
use crate::file_systems::network;
use crate::rds::instance;
use crate::vaulting::Vaulting;

const ROLE: &str = "arn:aws:iam::123456789012:role/backup";
const TARGET: &str = "AmazonEC2ContainerServiceV20141113";
const STATE: &str = "{ \"serial\": 42, \"secret\": \"never-shown-4\" }";
/// The services: that of OmniChat, and that of its models, each in a cluster of its name.
const SERVICES: [&str; 2] = ["webui", "ollama"];

/// Puts AWS Backup before the account, with a vault and a file system in it; its ARN.
fn models(estate: &mut Estate) -> String {
    let server = aws::server().address;
    let vaulting = Vaulting::in_account(server, &estate.ground.account);
    estate.ground.proxy = Faulty::in_account(vaulting.address, &estate.ground.account);
    // A job takes a step each time that it is asked about, and a quarter of a minute lies between two questions.
    vaulting.jobs_go(&["COMPLETED"]);
    vaulting.restores_go(&["COMPLETED"]);
    vaulting.ask("backup", "PUT", "/backup-vaults/chat", "{}");
    let wanted = json!({ "CreationToken": "models", "Encrypted": true }).to_string();
    let made = vaulting.ask("elasticfilesystem", "POST", "/2015-02-01/file-systems", &wanted);
    let made: Value = serde_json::from_str(made.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let arn = made["FileSystemArn"].as_str().unwrap().to_owned();
    estate.set("file_system", json!(arn.rsplit('/').next()));
    estate.set("vault", json!("chat"));
    estate.set("backup_role", json!(ROLE));
    estate.set("database", json!("chat"));
    estate.vaulting = Some(vaulting);
    instance(&estate.ground, "chat");
    arn
}

/// All that is backed up, and a backup plan to be made.
pub fn to_back_up(estate: &mut Estate) -> Option<()> {
    models(estate);
    let (server, ground) = (aws::server().address, &estate.ground);
    let bucket = format!("{}-state", ground.bucket);
    let versions = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
    aws::put(server, &format!("/{bucket}"), "");
    aws::put(server, &format!("/{bucket}?versioning"), versions);
    // Terraform puts it there with its SHA-256, and S3 tells it; of moto's answers one cannot tell a sum from a sum of sums.
    let sum: String = Sha256::digest(STATE).iter().map(|byte| format!("{byte:02x}")).collect();
    let lines = format!("x-amz-meta-muster-sha256: {sum}\r\n");
    aws::put_with(server, &format!("/{bucket}/chat.tfstate"), &lines, STATE);
    std::fs::create_dir(ground.path("terraform")).unwrap();
    std::fs::write(ground.path("terraform/terraform.tfvars"), "enable_gpu = true\n").unwrap();
    let (folder, work) = (json!(ground.path("terraform")), json!(ground.path("work")));
    let (target, endpoint) = (json!(ground.bucket), json!(ground.proxy.url()));
    estate.set("region", json!("us-east-1"));
    estate.set("aws_endpoint", endpoint);
    estate.set("bucket", target);
    estate.set("work_dir", work);
    estate.set("state_bucket", json!(bucket));
    estate.set("state_key", json!("chat.tfstate"));
    estate.set("terraform_dir", folder);
    estate.set("schedule", json!(true));
    Some(())
}

fn ecs(estate: &Estate, call: &str, body: &Value) -> Value {
    estate.ground.json("ecs", &format!("{TARGET}.{call}"), body)
}

/// The services at work, the database with a snapshot, and the models with a recovery point.
fn serving(estate: &mut Estate) {
    let arn = models(estate);
    let vaulting = estate.vaulting.as_ref().expect("it was put there");
    vaulting.keep("chat", &arn, "COMPLETED");
    vaulting.places_tasks();
    let (subnets, group) = network(vaulting);
    let ground = &estate.ground;
    ground.rds("CreateDBSnapshot", &[("DBInstanceIdentifier", "chat"), ("DBSnapshotIdentifier", "chat-1")]);
    let document = json!({
        "database_url": "postgresql://chat:never-shown-7@chat.aaaaaaaaaa.us-east-1.rds.amazonaws.com:5432/chat_db",
        "postgres_password": "never-shown-7",
    });
    let secret = json!({ "Name": "app", "SecretString": document.to_string(), "ClientRequestToken": "0".repeat(32) });
    ground.json("secretsmanager", "secretsmanager.CreateSecret", &secret);
    for name in SERVICES {
        let reads = format!("arn:aws:secretsmanager:us-east-1:{}:secret:app-a1B2c3:database_url::", ground.account);
        let container = json!({
            "name": name, "image": name, "memory": 128, "secrets": [{ "name": "DATABASE_URL", "valueFrom": reads }],
        });
        ecs(estate, "CreateCluster", &json!({ "clusterName": name }));
        ecs(estate, "RegisterTaskDefinition", &json!({ "family": name, "containerDefinitions": [container] }));
        let service = json!({ "cluster": name, "serviceName": name, "taskDefinition": name, "desiredCount": 0 });
        ecs(estate, "CreateService", &service);
        // That server has a deployment done only of a service that began with nothing.
        ecs(estate, "UpdateService", &json!({ "cluster": name, "service": name, "desiredCount": 1 }));
        let task = json!({ "cluster": name, "taskDefinition": name, "launchType": "FARGATE", "count": 1 });
        ecs(estate, "RunTask", &task);
    }
    let settings = [
        ("aws", estate.ground.access()),
        ("new_id", json!("chat-restored")),
        ("from", json!("snapshot")),
        ("secret", json!("app")),
        ("ecs_cluster", json!("webui")),
        ("ecs_service", json!("webui")),
        ("health_url", json!(healthy())),
        ("models_to", json!("new_fs")),
        ("models_subnets", json!([subnets[0]])),
        ("models_security_groups", json!([group])),
        ("models_cluster", json!("ollama")),
        ("models_service", json!("ollama")),
        ("models_url", json!(healthy())),
    ];
    for (name, value) in settings {
        estate.set(name, value);
    }
}

/// All of it is lost, and the tasks are led to where it is restored.
pub fn to_restore(estate: &mut Estate) -> Option<()> {
    serving(estate);
    estate.set("restore", json!(["database", "models"]));
    estate.set("cutover", json!("new_endpoint"));
    Some(())
}

/// The database alone, which comes back under its name.
pub fn to_swap(estate: &mut Estate) -> Option<()> {
    serving(estate);
    Some(())
}

/// Does what a step asks people to do.
pub fn by_hand(estate: &Estate, step: &str) {
    let Some(vaulting) = estate.vaulting.as_ref().filter(|_| step == "models_move") else { return };
    for job in vaulting.restores() {
        let made = job["CreatedResourceArn"].as_str().and_then(|arn| arn.rsplit('/').next()).expect("it is restored");
        // Whoever was interrupted looks what is done already.
        if doors(estate, made).is_empty() {
            let point = json!({ "ClientToken": made, "FileSystemId": made, "RootDirectory": { "Path": "/models" } });
            vaulting.ask("elasticfilesystem", "POST", "/2015-02-01/access-points", &point.to_string());
        }
    }
}

fn listed(estate: &Estate, service: &str, path: &str, name: &str) -> Vec<Value> {
    let answer = estate.ground.ask(service, &format!("GET {path}"), "", "");
    let body: Value = serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap();
    body[name].as_array().cloned().unwrap_or_default()
}

fn doors(estate: &Estate, file_system: &str) -> Vec<Value> {
    let path = format!("/2015-02-01/access-points?FileSystemId={file_system}");
    listed(estate, "elasticfilesystem", &path, "AccessPoints")
}

/// The parts of a picture that only this estate has.
pub fn described(estate: &Estate, vaulting: &Vaulting) -> BTreeMap<&'static str, String> {
    let mut parts = BTreeMap::new();
    let mut put = |name: &'static str, mut all: Vec<String>| {
        all.sort();
        parts.insert(name, all.iter().map(|one| format!("{one}\n")).collect());
    };
    let of =
        |one: &Value, names: &[&str]| names.iter().map(|name| one[*name].to_string()).collect::<Vec<_>>().join(" ");
    let systems = listed(estate, "elasticfilesystem", "/2015-02-01/file-systems", "FileSystems");
    let systems = systems.iter().map(|one| {
        let id = one["FileSystemId"].as_str().unwrap();
        let path = format!("/2015-02-01/mount-targets?FileSystemId={id}");
        let targets = listed(estate, "elasticfilesystem", &path, "MountTargets");
        let targets: Vec<String> =
            targets.iter().map(|one| of(one, &["AvailabilityZoneName", "LifeCycleState"])).collect();
        let doors: Vec<String> = doors(estate, id).iter().map(|one| of(one, &["RootDirectory"])).collect();
        let token = one["CreationToken"].as_str().unwrap_or_default();
        format!("{} {targets:?} {doors:?}\ntoken {token}", of(one, &["LifeCycleState", "Encrypted"]))
    });
    put("file systems", systems.collect());
    let points = vaulting.points();
    put(
        "recovery points",
        points.iter().map(|one| format!("{} {}", one["Status"], one["tags"]["muster.run"])).collect(),
    );
    let kind = |asked: &Value| format!("{} {}", asked["BackupVaultName"], asked["Metadata"]["newFileSystem"]);
    put("jobs", vaulting.asked().iter().map(kind).collect());
    let plans = listed(estate, "backup", "/backup/plans/", "BackupPlansList");
    let plans = plans.iter().map(|one| {
        let id = one["BackupPlanId"].as_str().unwrap();
        let selects: Vec<String> = vaulting.selected(id).iter().map(|one| of(one, &["SelectionName"])).collect();
        format!("{} {selects:?}", one["BackupPlanName"])
    });
    put("plans", plans.collect());
    let bucket = estate.param("state_bucket");
    if let Some(bucket) = bucket.as_str() {
        put("state", vec![estate.objects_of(bucket)]);
    }
    if estate.param("ecs_service").is_null() {
        return parts;
    }
    let services = SERVICES.iter().map(|name| {
        let found = ecs(estate, "DescribeServices", &json!({ "cluster": name, "services": [name] }));
        let tasks = ecs(estate, "ListTasks", &json!({ "cluster": name, "desiredStatus": "RUNNING" }));
        let service = &found["services"][0];
        let tasks = tasks["taskArns"].as_array().map_or(0, Vec::len);
        format!("{name} {} with {tasks}", of(service, &["desiredCount", "taskDefinition", "status"]))
    });
    put("services", services.collect());
    let current = json!({ "SecretId": "app", "VersionStage": "AWSCURRENT" });
    let current = estate.ground.json("secretsmanager", "secretsmanager.GetSecretValue", &current);
    let found = estate.ground.json("secretsmanager", "secretsmanager.DescribeSecret", &json!({ "SecretId": "app" }));
    put("secret", vec![current["SecretString"].to_string()]);
    put("versions", vec![found["VersionIdsToStages"].as_object().map_or(0, serde_json::Map::len).to_string()]);
    parts
}
