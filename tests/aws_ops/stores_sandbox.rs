//! File systems and their backups in the sandbox: states move in virtual time, and what operations decide there they decide on AWS.

use serde_json::json;

use muster::sandbox::diff;

use crate::rds_sandbox::Sandbox;

const WORLD: &str = "
aws:
  efs:
    file_systems:
      fs-models:
        name: models
        encrypted: true
        kms_key: kms-1
        mount_targets: [{ subnet: subnet-a, security_groups: [sg-1] }]
        access_points: [{ id: fsap-1, path: /models, uid: 0, gid: 0 }]
  backup:
    vaults: { horizons: {} }
";

const RESOURCE: &str = "arn:aws:elasticfilesystem:eu-west-1:123456789012:file-system/fs-models";
const ROLE: &str = "arn:aws:iam::123456789012:role/backup";

#[test]
fn a_file_system_is_backed_up_restored_and_mounted_in_virtual_time_and_goes_again_without_a_trace() {
    let sandbox = Sandbox::of(WORLD);
    let world = sandbox.host.world().lock().clone();
    let found = sandbox.read("efs.file_system", json!({ "file_system": "fs-models" }));
    assert_eq!((&found["state"], &found["mount_targets"][0]["state"]), (&json!("available"), &json!("available")));
    let args = json!({ "vault": "horizons", "resource": RESOURCE, "role": ROLE });
    let started = sandbox.write("backup.start_job", args, "m-k1").unwrap();
    let early = json!({ "vault": "horizons", "recovery_point": started["recovery_point"], "role": ROLE });
    let error = sandbox.write("backup.start_restore", early, "m-k2").unwrap_err();
    assert!(error.message.contains("is CREATING"), "{error}");
    let (job, seen, took) = sandbox.wait("backup.wait_job", json!({ "job": started["job"] }));
    let job = job.unwrap();
    assert!(seen.len() == 2 && took.as_secs() > 200, "{seen:?} {took:?}");
    let args = json!({
        "vault": "horizons", "recovery_point": job["recovery_point"], "role": ROLE, "new_file_system": true,
    });
    let restore = sandbox.write("backup.start_restore", args, "m-k3").unwrap();
    assert!(restore["carried_over"].as_array().unwrap().contains(&json!("KmsKeyId: kms-1")), "{restore}");
    let (done, seen, _) = sandbox.wait("backup.wait_restore", json!({ "job": restore["job"] }));
    let created = done.unwrap()["created_resource"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
    assert_eq!(seen.len(), 2, "{seen:?}");
    let target = json!({ "file_system": created, "subnet": "subnet-a", "security_groups": ["sg-1"] });
    let made = sandbox.write("efs.create_mount_target", target, "m-k4").unwrap();
    let (ready, _, took) = sandbox.wait("efs.wait_available", json!({ "file_system": created }));
    assert_eq!(ready.unwrap()["mount_targets"][0]["id"], made["mount_target"]);
    assert!(took.as_secs() >= 60, "{took:?}");
    let undo = json!({ "file_system": created, "mount_target": made["mount_target"] });
    assert_eq!(sandbox.write("efs.delete_mount_target", undo, "u4").unwrap()["deleted"], true);
    let undo = json!({ "recovery_point": job["recovery_point"], "job": restore["job"], "made_by": "m-k3" });
    assert_eq!(sandbox.write("backup.discard_restore", undo, "u3").unwrap()["deleted"], json!(created));
    let undo = json!({ "vault": "horizons", "job": started["job"], "made_by": "m-k1" });
    assert_eq!(sandbox.write("backup.delete_recovery_point", undo, "u1").unwrap()["deleted"], true);
    assert_eq!(diff(&world, &sandbox.host.world().lock()), Vec::<String>::new());
}

#[test]
fn a_restore_that_is_to_end_badly_does_so_and_leaves_nothing_behind() {
    let sandbox = Sandbox::of(&format!("{WORLD}    restores_end: ABORTED\n"));
    let args = json!({ "vault": "horizons", "resource": RESOURCE, "role": ROLE });
    let started = sandbox.write("backup.start_job", args, "m-k1").unwrap();
    let job = sandbox.wait("backup.wait_job", json!({ "job": started["job"] })).0.unwrap();
    let world = sandbox.host.world().lock().clone();
    let args = json!({
        "vault": "horizons", "recovery_point": job["recovery_point"], "role": ROLE, "new_file_system": true,
    });
    let restore = sandbox.write("backup.start_restore", args, "m-k2").unwrap();
    let error = sandbox.wait("backup.wait_restore", json!({ "job": restore["job"] })).0.unwrap_err();
    assert!(error.message.contains("ABORTED") && error.hint.is_some(), "{error:?}");
    let undo = json!({ "recovery_point": job["recovery_point"], "job": restore["job"], "made_by": "m-k2" });
    assert_eq!(sandbox.write("backup.discard_restore", undo, "u2").unwrap()["deleted"], "");
    assert_eq!(diff(&world, &sandbox.host.world().lock()), Vec::<String>::new());
}

#[test]
fn a_plan_and_what_it_selects_are_made_and_go_again() {
    let sandbox = Sandbox::of(WORLD);
    let world = sandbox.host.world().lock().clone();
    let rule =
        json!({ "RuleName": "daily", "TargetBackupVaultName": "horizons", "Lifecycle": { "DeleteAfterDays": 30 } });
    let document = json!({ "BackupPlanName": "HorizonsBackupPlan", "Rules": [rule] });
    let made = sandbox.write("backup.create_plan", json!({ "document": document }), "m-k1").unwrap();
    let selects = json!({ "plan": made["plan"], "name": "files", "role": ROLE, "resources": [RESOURCE] });
    let selection = sandbox.write("backup.create_selection", selects, "m-k2").unwrap();
    let listed = sandbox.read("backup.plans", json!({}));
    assert_eq!(listed["plans"][0]["selections"][0]["name"], "files");
    let early = json!({ "plan": made["plan"], "made_by": "m-k1" });
    let error = sandbox.write("backup.delete_plan", early.clone(), "u").unwrap_err();
    assert!(error.message.contains("it has selection files"), "{error}");
    let undo = json!({ "plan": made["plan"], "selection": selection["selection"], "made_by": "m-k2" });
    assert_eq!(sandbox.write("backup.delete_selection", undo, "u2").unwrap()["deleted"], true);
    assert_eq!(sandbox.write("backup.delete_plan", early, "u1").unwrap()["deleted"], true);
    assert_eq!(diff(&world, &sandbox.host.world().lock()), Vec::<String>::new());
}
