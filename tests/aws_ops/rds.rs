//! Databases of RDS: looked at, snapshots taken and deleted, waited for, whatever the way to the server does.

use std::time::Duration;

use muster::model::fault::ErrorClass;
use muster::ops::{Polled, Probe, ReadHost, Sent, WriteHost};
use serde_json::{Value, json};

use crate::faulty::Spoil;
use crate::ground::Ground;

/// A PostgreSQL instance that has something to carry over.
pub fn instance(ground: &Ground, id: &str) {
    let group = format!("{id}-pg");
    let family =
        [("DBParameterGroupName", group.as_str()), ("DBParameterGroupFamily", "postgres14"), ("Description", "x")];
    ground.rds("CreateDBParameterGroup", &family);
    ground.rds(
        "CreateDBInstance",
        &[
            ("DBInstanceIdentifier", id),
            ("DBInstanceClass", "db.t3.small"),
            ("Engine", "postgres"),
            ("EngineVersion", "14.6"),
            ("AllocatedStorage", "20"),
            ("MasterUsername", "chat"),
            ("MasterUserPassword", "never-shown-1"),
            ("DBParameterGroupName", &group),
            ("VpcSecurityGroupIds.VpcSecurityGroupId.1", "sg-11112222"),
            ("VpcSecurityGroupIds.VpcSecurityGroupId.2", "sg-33334444"),
            ("MultiAZ", "true"),
            ("DeletionProtection", "true"),
            ("BackupRetentionPeriod", "7"),
            ("EnableCloudwatchLogsExports.member.1", "postgresql"),
            ("Tags.Tag.1.Key", "team"),
            ("Tags.Tag.1.Value", "chat"),
        ],
    );
}

/// What may go wrong on the way of a request that writes.
pub const SPOILS: [Spoil; 8] = [
    Spoil::Late(Duration::from_millis(30)),
    Spoil::Unsent,
    Spoil::Unanswered,
    Spoil::Instead(400, "Throttling"),
    Spoil::Instead(503, "ServiceUnavailable"),
    Spoil::Instead(500, "InternalFailure"),
    Spoil::Afterwards(500, "InternalFailure"),
    Spoil::Cut(40),
];

fn manual(ground: &Ground, of: &str) -> Vec<Value> {
    let found = ground.read("rds.snapshots", json!({ "of": of, "made": "manual" }));
    found["snapshots"].as_array().unwrap().clone()
}

#[test]
fn an_instance_is_described_with_all_that_a_restore_needs() {
    let ground = Ground::new();
    instance(&ground, "seen");
    let found = ground.read("rds.instance", json!({ "id": "seen" }));
    assert_eq!((&found["exists"], &found["status"]), (&json!(true), &json!("available")));
    assert_eq!((&found["engine"], &found["engine_version"]), (&json!("postgres"), &json!("14.6")));
    assert!(found["endpoint"].as_str().unwrap().starts_with("seen."), "{found}");
    let settings = &found["settings"];
    assert_eq!(settings["security_groups"], json!(["sg-11112222", "sg-33334444"]));
    assert_eq!((&settings["parameter_group"], &settings["multi_az"]), (&json!("seen-pg"), &json!(true)));
    assert_eq!((&settings["deletion_protection"], &settings["backup_retention_days"]), (&json!(true), &json!(7)));
    assert_eq!(settings["log_exports"], json!(["postgresql"]));
    assert_eq!(settings["tags"], json!({ "team": "chat" }));
    assert_eq!((&found["owned_by"], &found["made_by"]), (&json!(""), &json!("")));
    let backups = ground.read("rds.backups", json!({ "id": "seen" }));
    assert_eq!((&backups["exists"], &backups["retention_days"]), (&json!(true), &json!(7)));
    assert!(!backups["latest"].as_str().unwrap().is_empty(), "{backups}");
    let none = ground.read("rds.instance", json!({ "id": "nobody" }));
    assert_eq!((&none["exists"], &none["id"]), (&json!(false), &json!("")));
    assert_eq!(ground.read("rds.backups", json!({ "id": "nobody" }))["exists"], false);
    assert_eq!(ground.read("rds.snapshots", json!({ "of": "nobody" }))["snapshots"], json!([]));
}

#[test]
fn a_snapshot_is_taken_once_whatever_the_way_does() {
    let ground = Ground::new();
    instance(&ground, "taken");
    for (place, spoil) in SPOILS.into_iter().enumerate() {
        let (name, key) = (format!("taken-{place}"), format!("key-{place}"));
        ground.proxy.spoil("Action=CreateDBSnapshot", spoil.clone());
        let made = ground.settle("rds.create_snapshot", json!({ "id": "taken", "snapshot": name }), &key).unwrap();
        assert!(ground.proxy.is_done(), "{spoil:?}");
        assert_eq!((&made["id"], &made["source"]), (&json!(name), &json!("taken")), "{spoil:?}");
        let found = ground.read("rds.snapshot", json!({ "snapshot": name }));
        let run = ground.world.run.to_string();
        assert_eq!((&found["made_by"], &found["owned_by"]), (&json!(key), &json!(run)), "{spoil:?}");
        assert_eq!(manual(&ground, "taken").len(), place + 1, "{spoil:?}");
    }
    let ready = ground.poll("rds.wait_snapshot", json!({ "snapshot": "taken-0" })).unwrap();
    assert!(matches!(ready, Polled::Ready(found) if found["status"] == "available"));
}

#[test]
fn a_snapshot_whose_name_is_taken_or_impossible_is_refused_before_anything_is_sent() {
    let ground = Ground::new();
    instance(&ground, "named");
    ground.settle("rds.create_snapshot", json!({ "id": "named", "snapshot": "named-1" }), "k").unwrap();
    for (id, name, fault) in [
        ("named", "named-1", "there is a snapshot of that name"),
        ("named", "Named-2", "is no name that AWS keeps"),
        ("named", "named--2", "is no name that AWS keeps"),
        ("nobody", "named-2", "there is no instance nobody"),
    ] {
        let error = ground.settle("rds.create_snapshot", json!({ "id": id, "snapshot": name }), "k2").unwrap_err();
        assert_eq!(error.class, ErrorClass::Refused);
        assert!(error.message.contains(fault) && error.hint.is_some(), "{error:?}");
    }
    assert_eq!(ground.proxy.count("Action=CreateDBSnapshot"), 1);
}

#[test]
fn an_undo_deletes_only_the_snapshot_of_its_call_and_does_so_once() {
    let ground = Ground::new();
    instance(&ground, "undone");
    for (place, spoil) in SPOILS.into_iter().enumerate() {
        let (name, key) = (format!("undone-{place}"), format!("key-{place}"));
        ground.settle("rds.create_snapshot", json!({ "id": "undone", "snapshot": name }), &key).unwrap();
        let other = json!({ "snapshot": name, "made_by": "another" });
        assert_eq!(ground.settle("rds.delete_snapshot", other, "u1").unwrap()["deleted"], false);
        ground.proxy.spoil("Action=DeleteDBSnapshot", spoil.clone());
        let ours = json!({ "snapshot": name, "made_by": key });
        assert_eq!(ground.settle("rds.delete_snapshot", ours, "u2").unwrap()["deleted"], true, "{spoil:?}");
        assert!(ground.proxy.is_done() && manual(&ground, "undone").is_empty(), "{spoil:?}");
        // Undoing it again finds it undone.
        let again = json!({ "snapshot": name, "made_by": key });
        assert_eq!(ground.settle("rds.delete_snapshot", again, "u3").unwrap()["deleted"], false);
    }
}

#[test]
fn what_no_run_made_is_deleted_only_with_a_plain_word() {
    let ground = Ground::new();
    instance(&ground, "foreign");
    let by_hand = [("DBInstanceIdentifier", "foreign"), ("DBSnapshotIdentifier", "by-hand")];
    ground.rds("CreateDBSnapshot", &by_hand);
    let error = ground.settle("rds.delete_snapshot", json!({ "snapshot": "by-hand" }), "k").unwrap_err();
    assert!(error.message.contains("no run made it"), "{error}");
    let plain = json!({ "snapshot": "by-hand", "foreign": true });
    assert_eq!(ground.settle("rds.delete_snapshot", plain, "k").unwrap()["deleted"], true);
}

#[test]
fn a_snapshot_that_is_still_being_taken_is_deleted_when_that_is_over() {
    let ground = Ground::new();
    instance(&ground, "early");
    ground.settle("rds.create_snapshot", json!({ "id": "early", "snapshot": "early-1" }), "k").unwrap();
    let args = ground.through(json!({ "snapshot": "early-1", "made_by": "k" }));
    let request = ground.world.ready("rds.delete_snapshot", args, "u").unwrap();
    // moto takes a snapshot in no time: what it answers is altered to what AWS answers in the minutes that it needs.
    let creating = Spoil::Altered("<Status>available</Status>", "<Status>creating</Status>");
    ground.proxy.spoil_many("Action=DescribeDBSnapshots", 2, creating);
    assert_eq!(ground.world.host.send(&request).unwrap(), Sent::Running);
    assert!(matches!(ground.world.host.probe(&request).unwrap(), Probe::Running { .. }));
    assert_eq!(ground.proxy.count("Action=DeleteDBSnapshot"), 0);
    assert_eq!(ground.world.host.probe(&request).unwrap(), Probe::NotDone);
    assert_eq!(ground.world.host.send(&request).unwrap(), Sent::Running);
    assert!(matches!(ground.world.host.probe(&request).unwrap(), Probe::Done { .. }));
}

#[test]
fn a_state_that_never_gets_better_ends_a_wait_at_the_first_look_with_why_and_the_choices() {
    let ground = Ground::new();
    instance(&ground, "broken");
    for (status, why) in [
        ("incompatible-network", "its network"),
        ("incompatible-parameters", "parameter group"),
        ("incompatible-restore", "cannot restore it"),
        ("incompatible-option-group", "option group"),
        ("restore-error", "the restore failed"),
        ("insufficient-capacity", "no capacity"),
        ("storage-full", "storage is full"),
        ("inaccessible-encryption-credentials", "KMS key"),
        ("failed", "cannot recover it"),
        ("deleting", "deletes it"),
        ("stopped", "stopped it"),
    ] {
        // moto never comes to these states: its answer is altered on the way.
        let to: &'static str = format!("<DBInstanceStatus>{status}</DBInstanceStatus>").leak();
        let spoil = Spoil::Altered("<DBInstanceStatus>available</DBInstanceStatus>", to);
        ground.proxy.spoil("Action=DescribeDBInstances", spoil);
        let error = ground.poll("rds.wait_available", json!({ "id": "broken" })).unwrap_err();
        assert_eq!(error.class, ErrorClass::Failed, "{error}");
        assert!(error.message.contains(status) && error.message.contains(why), "{error}");
        assert!(error.hint.is_some_and(|hint| !hint.is_empty()), "{status}");
        assert!(ground.proxy.is_done());
    }
    // The events that the server has of it are told.
    assert!(ground.proxy.count("Action=DescribeEvents") >= 11);
    for (status, told) in
        [("creating", "is creating"), ("configuring-log-exports", "log-exports"), ("dancing", "does not know")]
    {
        let to: &'static str = format!("<DBInstanceStatus>{status}</DBInstanceStatus>").leak();
        let spoil = Spoil::Altered("<DBInstanceStatus>available</DBInstanceStatus>", to);
        ground.proxy.spoil("Action=DescribeDBInstances", spoil);
        match ground.poll("rds.wait_available", json!({ "id": "broken" })).unwrap() {
            Polled::Pending { progress: Some(progress), .. } => assert!(progress.contains(told), "{progress}"),
            other => panic!("{status}: {other:?}"),
        }
    }
    let ready = ground.poll("rds.wait_available", json!({ "id": "broken", "applied": true })).unwrap();
    assert!(matches!(ready, Polled::Ready(found) if found["status"] == "available"));
    let error = ground.poll("rds.wait_available", json!({ "id": "nobody" })).unwrap_err();
    assert!(error.message.contains("there is no instance nobody"), "{error}");
}
