//! Backups of file systems: taken, waited for, restored and taken back, whatever the way to the servers does.

use std::sync::Arc;

use muster::clock::SystemClock;
use muster::model::fault::ErrorClass;
use muster::model::forecast::Basis;
use muster::ops::foresight::PlanHost;
use muster::ops::live::LiveReader;
use muster::ops::secrets::Secrets;
use muster::ops::spec::{Backend, Undo};
use muster::ops::{Polled, Probe, ReadHost, Sent, WriteHost};
use muster::sandbox::Overlay;
use serde_json::{Value, json};

use crate::aws;
use crate::faulty::{Faulty, Spoil};
use crate::ground::Ground;
use crate::rds::SPOILS;
use crate::vaulting::Vaulting;

const ROLE: &str = "arn:aws:iam::123456789012:role/backup";

/// The ground with the server of AWS Backup, a vault and a file system of this name.
pub fn ground(name: &str) -> (Ground, Vaulting, String) {
    let mut ground = Ground::new();
    let vaulting = Vaulting::before(aws::server().address);
    ground.proxy = Faulty::before(vaulting.address);
    let vault = vaulting.ask("backup", "PUT", &format!("/backup-vaults/{name}"), "{}");
    assert!(vault.starts_with("HTTP/1.1 200"), "{vault}");
    let wanted = json!({ "CreationToken": name, "Encrypted": true, "Tags": [{ "Key": "Name", "Value": name }] });
    let made = vaulting.ask("elasticfilesystem", "POST", "/2015-02-01/file-systems", &wanted.to_string());
    let made: Value = serde_json::from_str(made.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    let arn = made["FileSystemArn"].as_str().unwrap().to_owned();
    (ground, vaulting, arn)
}

/// What may go wrong, throttling last: a client that was throttled goes slowly afterwards.
pub fn spoils() -> Vec<Spoil> {
    let is_throttling = |spoil: &Spoil| matches!(spoil, Spoil::Instead(_, "Throttling"));
    let (last, mut all): (Vec<Spoil>, Vec<Spoil>) = SPOILS.into_iter().partition(is_throttling);
    all.extend(last);
    all
}

fn start(vault: &str, resource: &str) -> Value {
    json!({ "vault": vault, "resource": resource, "role": ROLE, "delete_after_days": 30 })
}

/// Polls until the wait is over; how often that was.
fn waited(ground: &Ground, op: &str, job: &Value) -> (Result<Value, muster::ops::OpError>, usize) {
    for polls in 1..20 {
        match ground.poll(op, json!({ "job": job })) {
            Ok(Polled::Ready(found)) => return (Ok(found), polls),
            Ok(Polled::Pending { .. }) => {}
            Err(error) => return (Err(error), polls),
        }
    }
    panic!("{op} never ends");
}

/// The undo of a call, with its slots filled as the engine does it.
pub fn undo_of(request: &muster::ops::Request, result: &Value) -> (&'static str, Value) {
    let Backend::Write(entry) = &request.op.backend else { panic!("it does not write") };
    let Undo::Call { op, mut args } = (entry.undo)(&request.args, &request.before, &request.key) else {
        panic!("it has an undo");
    };
    for value in args.as_object_mut().unwrap().values_mut() {
        if let Some(path) = value.as_str().and_then(|text| text.strip_prefix("$result")) {
            *value = result.pointer(path).cloned().unwrap_or(Value::Null);
        }
    }
    (op, args)
}

/// Does an effect that is followed until it is done.
pub fn follow(ground: &Ground, op: &str, args: Value, key: &str) -> Result<Value, muster::ops::OpError> {
    let request = ground.world.ready(op, args, key)?;
    for _ in 0..20 {
        match ground.world.host.send(&request) {
            Ok(Sent::Done(result)) => return Ok(result),
            Ok(Sent::Running) => {}
            Err(error) if error.class == ErrorClass::Unknown || error.class == ErrorClass::Transient => {}
            Err(error) => return Err(error),
        }
        for _ in 0..20 {
            match ground.world.host.probe(&request)? {
                Probe::Done { result } => return Ok(result),
                Probe::NotDone => break,
                Probe::Running { .. } => {
                    // A job of the server takes its steps when it is described.
                }
                other => panic!("{op}: {other:?}"),
            }
        }
    }
    panic!("{op} is never done");
}

#[test]
fn a_backup_is_started_once_whatever_the_way_does_and_every_state_is_seen() {
    let (ground, vaulting, resource) = ground("once");
    for (place, spoil) in spoils().into_iter().enumerate() {
        let key = format!("m-key-{place}");
        ground.proxy.spoil("PUT /backup-jobs", spoil.clone());
        let made = ground.settle("backup.start_job", start("once", &resource), &key).unwrap();
        assert!(ground.proxy.is_done(), "{spoil:?}");
        assert_eq!((vaulting.jobs(), vaulting.points().len()), (place + 1, place + 1), "{spoil:?}");
        let (found, polls) = waited(&ground, "backup.wait_job", &made["job"]);
        let found = found.unwrap();
        assert_eq!(
            (&found["state"], &found["resource"], polls),
            (&json!("COMPLETED"), &json!(resource), 3),
            "{spoil:?}"
        );
        let args = json!({ "vault": "once", "recovery_point": found["recovery_point"] });
        let point = ground.read("backup.recovery_point", args);
        let run = ground.world.run.to_string();
        assert_eq!((&point["made_by"], &point["owned_by"]), (&json!(key), &json!(run)), "{spoil:?}");
        assert_eq!(point["metadata"]["KmsKeyId"], "kms-1", "{spoil:?}");
    }
    let all =
        ground.read("backup.recovery_points", json!({ "vault": "once", "resource": resource, "completed": true }));
    assert_eq!(all["recovery_points"].as_array().unwrap().len(), SPOILS.len());
    let vault = ground.read("backup.vault", json!({ "vault": "once" }));
    assert_eq!((&vault["exists"], &vault["name"]), (&json!(true), &json!("once")));
    assert_eq!(ground.read("backup.vault", json!({ "vault": "nobody" }))["exists"], false);
    let none = json!({ "vault": "once", "recovery_point": "arn:aws:backup:us-east-1:1:recovery-point:none" });
    assert_eq!(ground.read("backup.recovery_point", none)["exists"], false);
}

#[test]
fn a_job_that_ends_badly_fails_its_wait_at_the_first_look_with_why_and_the_choices() {
    let (ground, vaulting, resource) = ground("badly");
    for (place, state) in ["ABORTING", "ABORTED", "FAILED", "EXPIRED", "PARTIAL"].into_iter().enumerate() {
        vaulting.jobs_go(&[state]);
        let made = ground.settle("backup.start_job", start("badly", &resource), &format!("k{place}")).unwrap();
        let (error, polls) = waited(&ground, "backup.wait_job", &made["job"]);
        let error = error.unwrap_err();
        assert_eq!((error.class, polls), (ErrorClass::Failed, 1), "{state}");
        assert!(error.message.contains(state) && error.message.contains("AWS says: it is"), "{error}");
        assert!(error.hint.is_some(), "{state}");
        if state == "PARTIAL" {
            let allowed = ground.poll("backup.wait_job", json!({ "job": made["job"], "allow_partial": true })).unwrap();
            assert!(matches!(allowed, Polled::Ready(_)));
        }
    }
    let point = vaulting.keep("badly", &resource, "COMPLETED");
    for (place, status) in ["ABORTED", "FAILED"].into_iter().enumerate() {
        vaulting.restores_go(&[status]);
        let args = json!({ "vault": "badly", "recovery_point": point, "role": ROLE });
        let made = ground.settle("backup.start_restore", args, &format!("r{place}")).unwrap();
        let (error, polls) = waited(&ground, "backup.wait_restore", &made["job"]);
        let error = error.unwrap_err();
        assert_eq!((error.class, polls), (ErrorClass::Failed, 1), "{status}");
        assert!(error.message.contains(status) && error.message.contains("AWS says: it is"), "{error}");
        assert!(error.hint.unwrap().contains("start another"), "{status}");
    }
    let gone = ground.poll("backup.wait_restore", json!({ "job": "none" })).unwrap_err();
    assert!(gone.message.contains("there is none"), "{gone}");
}

#[test]
fn an_undone_backup_is_stopped_and_leaves_nothing_whether_it_answered_or_not() {
    let (ground, vaulting, resource) = ground("undone");
    let others = vaulting.keep("undone", &resource, "COMPLETED");
    for (place, spoil) in spoils().into_iter().enumerate() {
        let key = format!("m-key-{place}");
        let request = ground.world.ready("backup.start_job", ground.through(start("undone", &resource)), &key).unwrap();
        let Ok(Sent::Done(made)) = ground.world.host.send(&request) else { panic!("it is done") };
        // The first half of them still runs; of every other one the call never answered.
        if place >= SPOILS.len() / 2 {
            waited(&ground, "backup.wait_job", &made["job"]).0.unwrap();
        }
        let (op, args) = undo_of(&request, if place % 2 == 0 { &made } else { &Value::Null });
        ground.proxy.spoil("DELETE /backup-vaults/undone/recovery-points", spoil.clone());
        let done = follow(&ground, op, args.clone(), "u").unwrap();
        assert_eq!(done["deleted"], true, "{spoil:?}");
        let left: Vec<Value> = vaulting.points().iter().map(|one| one["RecoveryPointArn"].clone()).collect();
        assert_eq!(left, [json!(others)], "{spoil:?}");
        // Undone twice is undone once.
        follow(&ground, op, args, "u").unwrap();
    }
    let args = json!({ "vault": "undone", "recovery_point": others });
    let error = ground.settle("backup.delete_recovery_point", args, "k").unwrap_err();
    assert!(error.message.contains("no run made it"), "{error}");
    let plain = ground.through(json!({ "vault": "undone", "recovery_point": others, "foreign": true }));
    assert_eq!(follow(&ground, "backup.delete_recovery_point", plain, "k").unwrap()["deleted"], true);
}

#[test]
fn a_restore_is_started_once_with_all_that_aws_demands_and_goes_again() {
    let (ground, vaulting, resource) = ground("restored");
    let point = vaulting.keep("restored", &resource, "COMPLETED");
    let source = resource.rsplit('/').next().unwrap().to_owned();
    for (place, spoil) in spoils().into_iter().enumerate() {
        let (key, new) = (format!("m-key-{place}"), place % 2 == 0);
        let args = json!({
            "vault": "restored", "recovery_point": point, "role": ROLE, "new_file_system": new, "items": ["/models"],
        });
        let request = ground.world.ready("backup.start_restore", ground.through(args.clone()), &key).unwrap();
        ground.proxy.spoil("PUT /restore-jobs", spoil.clone());
        let made = ground.settle("backup.start_restore", args, &key).unwrap();
        assert!(ground.proxy.is_done(), "{spoil:?}");
        assert_eq!(vaulting.restores().len(), place + 1, "{spoil:?}");
        let told = vaulting.restores().into_iter().find(|one| one["RestoreJobId"] == made["job"]).unwrap();
        let wanted = json!({
            "CreationToken": key, "Encrypted": "true", "ItemsToRestore": "[\"/models\"]", "KmsKeyId": "kms-1",
            "PerformanceMode": "generalPurpose", "file-system-id": source, "newFileSystem": new.to_string(),
        });
        assert_eq!(told["asked"]["Metadata"], wanted, "{spoil:?}");
        assert_eq!(made["metadata"], wanted, "{spoil:?}");
        let (found, polls) = waited(&ground, "backup.wait_restore", &made["job"]);
        let created = found.unwrap()["created_resource"].as_str().unwrap().rsplit('/').next().unwrap().to_owned();
        assert_eq!((created == source, polls), (!new, 3), "{spoil:?}");
        let (op, args) = undo_of(&request, if place % 4 < 2 { &made } else { &Value::Null });
        let done = follow(&ground, op, args, "u").unwrap();
        let there = ground.read("efs.file_system", json!({ "file_system": created }))["exists"].clone();
        assert_eq!(there, json!(!new), "{spoil:?}");
        if new {
            assert_eq!(done["deleted"], json!(created), "{spoil:?}");
        } else if place % 4 < 2 {
            assert!(done["left"].as_str().unwrap().contains(&source), "{done}");
        }
    }
}

#[test]
fn what_cannot_be_restored_is_refused_before_anything_is_sent() {
    let (ground, vaulting, resource) = ground("refused");
    let good = vaulting.keep("refused", &resource, "COMPLETED");
    let partial = vaulting.keep("refused", &resource, "PARTIAL");
    let args = |point: &str, more: Value| {
        let mut args = json!({ "vault": "refused", "recovery_point": point, "role": ROLE });
        args.as_object_mut().unwrap().extend(more.as_object().unwrap().clone());
        args
    };
    for (args, fault) in [
        (args("arn:none", json!({})), "there is no such recovery point"),
        (args(&partial, json!({})), "only parts are in it"),
        (args(&vaulting.keep("refused", &resource, "EXPIRED"), json!({})), "its time is over"),
        (args(&vaulting.keep("refused", &resource, "CREATING"), json!({})), "is CREATING"),
        (args(&good, json!({ "items": ["/models/*"] })), "is no exact path"),
        (args(&good, json!({ "metadata": { "CreationToken": "x" } })), "is not for `metadata` to say"),
    ] {
        let error = ground.settle("backup.start_restore", args, "k").unwrap_err();
        assert!(error.message.contains(fault) && error.hint.is_some(), "{fault}: {error:?}");
    }
    for (args, fault) in [
        (json!({ "vault": "nobody", "resource": resource, "role": ROLE }), "there is no vault nobody"),
        (
            json!({ "vault": "refused", "resource": resource, "role": ROLE, "start_window_minutes": 5 }),
            "60 minutes at least",
        ),
        (
            json!({ "vault": "refused", "resource": resource, "role": ROLE, "tags": { "muster.run": "x" } }),
            "not for playbooks",
        ),
    ] {
        let error = ground.settle("backup.start_job", args, "k").unwrap_err();
        assert!(error.message.contains(fault), "{fault}: {error:?}");
    }
    assert_eq!(ground.proxy.count("PUT /restore-jobs") + ground.proxy.count("PUT /backup-jobs"), 0);
    ground.settle("backup.start_restore", args(&partial, json!({ "allow_partial": true })), "k").unwrap();
}

#[test]
fn a_plan_of_a_document_and_what_it_selects_are_made_once_and_go_again() {
    let (ground, vaulting, resource) = ground("planned");
    for (place, spoil) in spoils().into_iter().enumerate() {
        let name = format!("plan-{place}");
        let rule = json!({
            "RuleName": "DailyBackups", "TargetBackupVaultName": "planned", "ScheduleExpression": "cron(0 5 ? * * *)",
            "StartWindowMinutes": 60, "CompletionWindowMinutes": 120, "Lifecycle": { "DeleteAfterDays": 30 },
        });
        let document = json!({ "BackupPlan": { "BackupPlanName": name, "Rules": [rule] } });
        let (key, args) = (format!("m-plan-{place}"), json!({ "document": document }));
        let plan = ground.world.ready("backup.create_plan", ground.through(args.clone()), &key).unwrap();
        ground.proxy.spoil("PUT /backup/plans", spoil.clone());
        let made = ground.settle("backup.create_plan", args.clone(), &key).unwrap();
        assert!(ground.proxy.is_done(), "{spoil:?}");
        let selects = json!({ "plan": made["plan"], "name": "files", "role": ROLE, "resources": [resource] });
        let selected = ground.world.ready("backup.create_selection", ground.through(selects.clone()), &key).unwrap();
        ground.proxy.spoil("/selections", spoil.clone());
        let selection = ground.settle("backup.create_selection", selects, &key).unwrap();
        let found = ground.read("backup.plan", json!({ "plan": made["plan"] }));
        assert_eq!((&found["name"], &found["made_by"]), (&json!(name), &json!(key)), "{spoil:?}");
        assert_eq!(found["rules"][0]["Lifecycle"]["DeleteAfterDays"], 30, "{spoil:?}");
        assert_eq!(found["rules"][0]["StartWindowMinutes"], 60, "{spoil:?}");
        let ours = json!([{ "id": selection["selection"], "name": "files", "role": ROLE, "made_by": key }]);
        assert_eq!(found["selections"], ours, "{spoil:?}");
        let listed = ground.read("backup.plans", json!({}));
        let count = listed["plans"].as_array().unwrap().iter().filter(|one| one["name"] == json!(name)).count();
        assert_eq!(count, 1, "{spoil:?}");
        let error = ground.settle("backup.create_plan", args, "other").unwrap_err();
        assert!(error.message.contains("there is a plan of that name"), "{error}");
        let answered = place % 2 == 0;
        for (request, result) in [(&selected, &selection), (&plan, &made)] {
            let (op, args) = undo_of(request, if answered { result } else { &Value::Null });
            ground.proxy.spoil("DELETE /backup/plans", spoil.clone());
            assert_eq!(follow(&ground, op, args.clone(), "u").unwrap()["deleted"], true, "{spoil:?}");
            assert_eq!(follow(&ground, op, args, "u").unwrap()["deleted"], false, "{spoil:?}");
        }
        assert_eq!(ground.read("backup.plan", json!({ "plan": made["plan"] }))["exists"], false, "{spoil:?}");
    }
    let wrong = json!({ "document": { "BackupPlanName": "x", "Rules": [{ "RuleName": "a" }] } });
    let error = ground.settle("backup.create_plan", wrong, "k").unwrap_err();
    assert!(error.message.contains("does not fit") && error.hint.is_some(), "{error:?}");
    let rule = json!({ "RuleName": "a", "TargetBackupVaultName": "nobody" });
    let nowhere = json!({ "document": { "BackupPlanName": "x", "Rules": [rule] } });
    let error = ground.settle("backup.create_plan", nowhere, "k").unwrap_err();
    assert!(error.message.contains("vault nobody, which is not there"), "{error}");
    drop(vaulting);
}

#[test]
fn a_plan_says_what_a_restore_carries_over_and_what_aws_would_default_and_touches_nothing() {
    let (ground, vaulting, resource) = ground("foreseen");
    let point = vaulting.keep("foreseen", &resource, "COMPLETED");
    let secrets = Arc::new(Secrets::new([9; 32], Arc::clone(&ground.world.redactor)));
    let reader = LiveReader::new(Arc::new(SystemClock), secrets, Arc::clone(&ground.world.children));
    let plan = Overlay::over(Arc::new(reader));
    let ask = |op: &str, args: Value| plan.foresee(&ground.world.request(op, ground.through(args), "m-key"));
    let started = ask("backup.start_job", start("foreseen", &resource));
    assert_eq!(started.basis, Basis::Predicted, "{}", started.why);
    assert!(started.outcome.unwrap()["job"]["$unknown"].is_string());
    assert_eq!(started.changes.len(), 1, "{:?}", started.changes);
    let listed = ask("backup.recovery_points", json!({ "vault": "foreseen" }));
    assert_eq!(listed.outcome.unwrap()["recovery_points"].as_array().unwrap().len(), 2, "{}", listed.why);
    let args = json!({ "vault": "foreseen", "recovery_point": point, "role": ROLE, "new_file_system": true });
    let restored = ask("backup.start_restore", args);
    assert_eq!(restored.basis, Basis::Predicted, "{}", restored.why);
    let result = restored.outcome.unwrap();
    assert!(result["carried_over"].as_array().unwrap().contains(&json!("KmsKeyId: kms-1")), "{result}");
    assert!(result["not_carried_over"][0].as_str().unwrap().starts_with("mount targets"), "{result}");
    assert_eq!(result["metadata"]["CreationToken"], "m-key", "{result}");
    for writing in ["PUT ", "POST /backup", "DELETE "] {
        assert_eq!(ground.proxy.count(writing), 0, "{writing}");
    }
}

#[test]
fn what_a_vaults_own_policy_forbids_to_everybody_is_seen_before_anything_is_sent() {
    let (ground, vaulting, resource) = ground("guarded");
    let point = vaulting.keep("guarded", &resource, "COMPLETED");
    let vault = || ground.read("backup.vault", json!({ "vault": "guarded" }));
    assert_eq!((&vault()["denies"], &vault()["policy_seen"]), (&json!([]), &json!(true)));
    let restore = json!({ "vault": "guarded", "recovery_point": point, "role": ROLE });
    let forbid = |actions: Value| {
        let all = json!({ "AWS": "*" });
        json!({ "Statement": [{ "Effect": "Deny", "Principal": all, "Action": actions, "Resource": "*" }] })
    };
    vaulting.guard("guarded", &forbid(json!(["backup:startrestorejob", "backup:Delete*"])));
    assert_eq!(vault()["denies"], json!(["backup:Delete*", "backup:startrestorejob"]));
    let error = ground.settle("backup.start_restore", restore.clone(), "k1").unwrap_err();
    assert!(error.message.contains("forbids backup:startrestorejob to everybody") && error.hint.is_some(), "{error:?}");
    let delete = json!({ "vault": "guarded", "recovery_point": point, "foreign": true });
    let error = ground.settle("backup.delete_recovery_point", delete, "k2").unwrap_err();
    assert!(error.message.contains("forbids backup:Delete* to everybody"), "{error:?}");
    ground.settle("backup.start_job", start("guarded", &resource), "k3").unwrap();
    vaulting.guard("guarded", &forbid(json!("backup:*")));
    let error = ground.settle("backup.start_job", start("guarded", &resource), "k4").unwrap_err();
    assert!(error.message.contains("forbids backup:* to everybody"), "{error:?}");
    assert_eq!((vaulting.jobs(), vaulting.restores().len(), vaulting.points().len()), (1, 0, 2));
    // Whoever may not see the policy is not refused for it.
    ground.proxy.spoil_many("/backup-vaults/guarded/access-policy", 2, Spoil::Instead(403, "AccessDeniedException"));
    assert_eq!(vault()["policy_seen"], false);
    ground.settle("backup.start_restore", restore, "k5").unwrap();
}
