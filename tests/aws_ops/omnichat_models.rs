//! The models of OmniChat on AWS, restored live: onto their file system, or to a new one.

use std::path::Path;
use std::sync::Arc;

use serde_json::{Value, json};

use crate::backups;
use crate::fidelity;
use crate::file_systems::network;
use crate::live_world::until;
use crate::omnichat_restore::{Estate, Placing, begin, ecs, given, healthy};
use crate::vaulting::Vaulting;

/// A file system with a recovery point, and a service that serves the models on it by so many tasks; how the file system is called.
fn models(name: &'static str, tasks: u32) -> (Estate, Vaulting, String) {
    let (ground, vaulting, arn) = backups::ground(name);
    vaulting.keep(name, &arn, "COMPLETED");
    vaulting.restores_go(&["COMPLETED"]);
    let ground = Arc::new(ground);
    ecs(&ground, "CreateCluster", &json!({ "clusterName": name }));
    let container = json!({ "name": "ollama", "image": "ollama", "memory": 128 });
    ecs(&ground, "RegisterTaskDefinition", &json!({ "family": name, "containerDefinitions": [container] }));
    let service = json!({ "cluster": name, "serviceName": name, "taskDefinition": name, "desiredCount": 0 });
    ecs(&ground, "CreateService", &service);
    if tasks > 0 {
        ecs(&ground, "UpdateService", &json!({ "cluster": name, "service": name, "desiredCount": tasks }));
    }
    let placing = Placing::of(&ground, name);
    let running = || ground.read("ecs.tasks", json!({ "cluster": name, "service": name }))["running"].clone();
    until("its tasks are placed", || running() == tasks);
    let app = fidelity::app(Path::new(&ground.path("")));
    let file_system = arn.rsplit('/').next().unwrap().to_owned();
    (Estate { ground, name, app, _placing: placing }, vaulting, file_system)
}

/// What a run is told to restore them.
fn told(estate: &Estate, file_system: &str, more: &[(&str, Value)]) -> muster::playbook::params::Given {
    let name = estate.name;
    let mut pairs = vec![
        ("aws", estate.ground.access()),
        ("restore", json!(["models"])),
        ("vault", json!(name)),
        ("file_system", json!(file_system)),
        ("backup_role", json!("arn:aws:iam::123456789012:role/backup")),
        ("models_cluster", json!(name)),
        ("models_service", json!(name)),
    ];
    pairs.extend(more.iter().cloned());
    given(&pairs)
}

/// The file systems that there are, but for those of other tests.
fn systems(estate: &Estate, file_system: &str) -> Vec<Value> {
    let found = estate.ground.read("efs.file_systems", json!({}));
    let all = found["file_systems"].as_array().unwrap().clone();
    let ours = |one: &Value| {
        one["id"] == json!(file_system)
            || one["owned_by"] != ""
            || one["token"].as_str().unwrap().contains("-models-restore-")
    };
    let ids = all.into_iter().filter(ours).map(|one| one["id"].clone());
    ids.map(|id| estate.ground.read("efs.file_system", json!({ "file_system": id }))).collect()
}

#[test]
fn models_come_back_onto_their_file_system_while_nobody_serves_them_and_nothing_of_it_changes() {
    let (estate, vaulting, file_system) = models("chat-onto", 1);
    let (subnets, group) = network(&vaulting);
    let mount = json!({ "FileSystemId": file_system, "SubnetId": subnets[0], "SecurityGroups": [group] });
    vaulting.ask("elasticfilesystem", "POST", "/2015-02-01/mount-targets", &mount.to_string());
    let service = || {
        let found = estate.ground.read("ecs.service", json!({ "cluster": "chat-onto", "service": "chat-onto" }));
        (found["desired"].clone(), found["task_definition"].clone())
    };
    let tasks = || {
        let found = estate.ground.read("ecs.tasks", json!({ "cluster": "chat-onto", "service": "chat-onto" }));
        let all = found["tasks"].as_array().unwrap().iter();
        all.map(|one| one["arn"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let all = || {
        let found = systems(&estate, &file_system);
        found.into_iter().filter(|one| one["id"] == json!(file_system)).collect::<Vec<_>>()
    };
    let (before, served, old) = (all(), service(), tasks());
    assert_eq!((before.len(), before[0]["mount_targets"].as_array().unwrap().len(), old.len()), (1, 1, 1));
    // Somebody finds that they cannot be moved: the service comes back as it was, and what was restored is named.
    let going = begin(&estate, &told(&estate, &file_system, &[]));
    assert_eq!(going.waits(), vec!["by hand: models_move".to_owned()]);
    // What stands for ECS places tasks a moment after it is told.
    until("nobody serves them", || tasks().is_empty());
    going.roll_back();
    until("they are served again", || tasks().len() == 1);
    assert_eq!((all(), service()), (before.clone(), served.clone()));

    let old = tasks();
    let more = [("models_url", json!(healthy())), ("models_expected", json!("ok"))];
    let going = begin(&estate, &told(&estate, &file_system, &more));
    let asked = vaulting.restores();
    assert_eq!(asked.len(), 2);
    for job in &asked {
        let metadata = &job["asked"]["Metadata"];
        assert_eq!((&metadata["newFileSystem"], &metadata["file-system-id"]), (&json!("false"), &json!(file_system)));
        assert!(job["CreatedResourceArn"].as_str().unwrap().ends_with(&file_system), "{job}");
    }
    until("nobody serves them", || tasks().is_empty());
    going.done("models_move");
    going.succeeded();
    until("new tasks serve them", || tasks().iter().any(|task| !old.contains(task)));
    assert_eq!((all(), service()), (before, served));
    let writes = ["POST /2015-02-01", "DELETE /2015-02-01", "PUT /2015-02-01"];
    assert_eq!(writes.map(|one| estate.ground.proxy.count(one)), [0, 0, 0], "EFS itself was told nothing");
}

#[test]
fn models_come_back_on_a_new_file_system_which_goes_again_without_its_access_point() {
    let (estate, vaulting, file_system) = models("chat-models", 0);
    let (subnets, group) = network(&vaulting);
    let more = [
        ("models_to", json!("new_fs")),
        ("models_subnets", json!([subnets[0]])),
        ("models_security_groups", json!([group])),
    ];
    let params = told(&estate, &file_system, &more);
    let before = systems(&estate, &file_system);
    let going = begin(&estate, &params);
    assert_eq!(vaulting.restores().len(), 1);
    going.done("models_move");
    let waits = going.waits();
    assert!(waits[0].starts_with("failed: models_placed") && waits[0].contains("no access point"), "{waits:#?}");
    going.roll_back();
    assert_eq!(systems(&estate, &file_system), before);

    let going = begin(&estate, &params);
    let job = vaulting.restores().pop().unwrap();
    let id = job["CreatedResourceArn"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    let point = json!({ "ClientToken": "p", "FileSystemId": id, "RootDirectory": { "Path": "/models" } });
    let said = vaulting.ask("elasticfilesystem", "POST", "/2015-02-01/access-points", &point.to_string());
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    going.done("models_move");
    going.done("models_prove_by_hand");
    going.succeeded();
    let found = estate.ground.read("efs.file_system", json!({ "file_system": id }));
    assert_eq!(found["mount_targets"][0]["security_groups"], json!([group]));
}
