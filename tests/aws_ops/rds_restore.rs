//! Databases of RDS restored beside their source, like it in all that AWS would default, and deleted again.

use std::sync::Arc;

use muster::clock::SystemClock;
use muster::model::forecast::Basis;
use muster::ops::foresight::PlanHost;
use muster::ops::live::LiveReader;
use muster::ops::secrets::Secrets;
use muster::ops::{Polled, ReadHost};
use muster::sandbox::Overlay;
use serde_json::{Value, json};

use crate::faulty::Spoil;
use crate::ground::Ground;
use crate::rds::{SPOILS, instance};

fn snapshot(ground: &Ground, of: &str, name: &str) {
    ground.settle("rds.create_snapshot", json!({ "id": of, "snapshot": name }), "snap").unwrap();
}

/// What of a database's settings AWS would default.
fn settings(ground: &Ground, id: &str) -> Value {
    let found = ground.read("rds.instance", json!({ "id": id }));
    let mut settings = found["settings"].clone();
    if let Some(tags) = settings["tags"].as_object_mut() {
        tags.retain(|name, _| !name.starts_with("muster."));
    }
    settings
}

#[test]
fn a_restore_is_like_its_source_in_all_that_aws_would_default() {
    let ground = Ground::new();
    instance(&ground, "like");
    snapshot(&ground, "like", "like-1");
    let asked = json!({ "snapshot": "like-1", "id": "like-r", "settings": { "class": "db.t3.large" } });
    let made = ground.settle("rds.restore_from_snapshot", asked, "restore").unwrap();
    let (source, target) = (settings(&ground, "like"), settings(&ground, "like-r"));
    for what in [
        "security_groups",
        "parameter_group",
        "multi_az",
        "deletion_protection",
        "backup_retention_days",
        "log_exports",
        "iam_authentication",
        "tags",
    ] {
        assert_eq!(source[what], target[what], "{what}");
    }
    assert_eq!(target["class"], "db.t3.large");
    let carried: Vec<&str> = made["carried_over"].as_array().unwrap().iter().filter_map(Value::as_str).collect();
    assert!(carried.contains(&"security_groups: sg-11112222, sg-33334444"), "{carried:?}");
    assert!(carried.contains(&"parameter_group: like-pg") && carried.contains(&"tags: team=chat"), "{carried:?}");
    let ready = ground.poll("rds.wait_available", json!({ "id": "like-r" })).unwrap();
    assert!(matches!(ready, Polled::Ready(found) if !found["endpoint"].as_str().unwrap().is_empty()));
}

#[test]
fn a_restore_is_done_once_whatever_the_way_does_and_undone_once() {
    let ground = Ground::new();
    instance(&ground, "once");
    snapshot(&ground, "once", "once-1");
    for (place, spoil) in SPOILS.into_iter().enumerate() {
        let (id, key) = (format!("once-r{place}"), format!("key-{place}"));
        let (op, action, args) = if place % 2 == 0 {
            let args = json!({ "snapshot": "once-1", "id": id });
            ("rds.restore_from_snapshot", "Action=RestoreDBInstanceFromDBSnapshot", args)
        } else {
            let args = json!({ "source": "once", "id": id });
            ("rds.restore_to_point_in_time", "Action=RestoreDBInstanceToPointInTime", args)
        };
        ground.proxy.spoil(action, spoil.clone());
        let made = ground.settle(op, args, &key).unwrap();
        assert!(ground.proxy.is_done(), "{spoil:?}");
        let found = ground.read("rds.instance", json!({ "id": id }));
        assert_eq!((&found["made_by"], &found["resource_id"]), (&json!(key), &made["resource_id"]), "{spoil:?}");
        let other = json!({ "id": id, "made_by": "another", "unprotect": true });
        assert_eq!(ground.settle("rds.delete", other, "u1").unwrap()["deleted"], false);
        ground.proxy.spoil("Action=DeleteDBInstance", spoil.clone());
        let ours = json!({ "id": id, "made_by": key, "unprotect": true });
        assert_eq!(ground.settle("rds.delete", ours, "u2").unwrap()["deleted"], true, "{spoil:?}");
        assert!(ground.proxy.is_done(), "{spoil:?}");
        assert_eq!(ground.read("rds.instance", json!({ "id": id }))["exists"], false, "{spoil:?}");
        assert_eq!(ground.read("rds.instance", json!({ "id": "once" }))["exists"], true, "{spoil:?}");
    }
}

#[test]
fn what_cannot_be_restored_is_refused_before_anything_is_sent() {
    let ground = Ground::new();
    instance(&ground, "refused");
    snapshot(&ground, "refused", "refused-1");
    for (op, args, fault) in [
        ("rds.restore_from_snapshot", json!({ "snapshot": "nothing", "id": "x" }), "there is no such snapshot"),
        ("rds.restore_from_snapshot", json!({ "snapshot": "refused-1", "id": "refused" }), "already (no run made it"),
        ("rds.restore_from_snapshot", json!({ "snapshot": "refused-1", "id": "Big" }), "is no name that AWS keeps"),
        (
            "rds.restore_from_snapshot",
            json!({ "snapshot": "refused-1", "id": "x", "settings": { "maintenance_window": "sun:05:00-sun:06:00" } }),
            "can set `maintenance_window`",
        ),
        (
            "rds.restore_from_snapshot",
            json!({ "snapshot": "refused-1", "id": "x", "like": "nobody" }),
            "there is no instance nobody to be like",
        ),
        ("rds.restore_to_point_in_time", json!({ "source": "nobody", "id": "x" }), "is gone, without backups"),
        (
            "rds.restore_to_point_in_time",
            json!({ "source": "refused", "id": "x", "at": "2199-01-01T00:00:00Z" }),
            "that time cannot be restored",
        ),
        ("rds.restore_to_point_in_time", json!({ "source": "refused", "id": "x", "at": "noon" }), "is no time"),
        ("rds.delete", json!({ "id": "refused" }), "no run made it"),
        ("rds.delete", json!({ "id": "refused", "foreign": true }), "deletion protection is on"),
    ] {
        let error = ground.settle(op, args, "k").unwrap_err();
        assert!(error.message.contains(fault) && error.hint.is_some(), "{fault}: {error:?}");
    }
    assert_eq!(ground.proxy.count("Action=Restore") + ground.proxy.count("Action=DeleteDBInstance"), 0);
}

#[test]
fn a_point_in_time_reaches_aws_as_it_was_given() {
    let ground = Ground::new();
    instance(&ground, "pitr");
    let latest = ground.read("rds.backups", json!({ "id": "pitr" }))["latest"].clone();
    let args = json!({ "source": "pitr", "at": latest, "id": "pitr-r" });
    ground.settle("rds.restore_to_point_in_time", args, "k").unwrap();
    let given = format!("RestoreTime={}", latest.as_str().unwrap().replace(':', "%3A"));
    assert_eq!(ground.proxy.count(&given), 1);
    assert_eq!(ground.proxy.count("UseLatestRestorableTime=true"), 0);
}

#[test]
fn a_database_that_is_deleted_can_leave_a_last_snapshot() {
    let ground = Ground::new();
    instance(&ground, "last");
    let args = json!({ "id": "last", "foreign": true, "unprotect": true, "final_snapshot": "last-of-all" });
    assert_eq!(ground.settle("rds.delete", args, "k").unwrap()["deleted"], true);
    assert_eq!(ground.read("rds.snapshot", json!({ "snapshot": "last-of-all" }))["exists"], true);
}

#[test]
fn what_cannot_go_yet_is_deleted_when_it_can() {
    let ground = Ground::new();
    instance(&ground, "slow");
    snapshot(&ground, "slow", "slow-1");
    let made = json!({ "snapshot": "slow-1", "id": "slow-r" });
    ground.settle("rds.restore_from_snapshot", made, "k").unwrap();
    let args = ground.through(json!({ "id": "slow-r", "made_by": "k", "unprotect": true }));
    let request = ground.world.ready("rds.delete", args, "u").unwrap();
    // moto makes an instance in no time: its answers are altered to what AWS answers in the minutes that it needs.
    let creating = Spoil::Altered(
        "<DBInstanceStatus>available</DBInstanceStatus>",
        "<DBInstanceStatus>creating</DBInstanceStatus>",
    );
    ground.proxy.spoil_many("Action=DescribeDBInstances", 2, creating);
    ground.proxy.spoil("Action=DeleteDBInstance", Spoil::Instead(400, "InvalidDBInstanceState"));
    use muster::ops::{Probe, Sent, WriteHost};
    assert_eq!(ground.world.host.send(&request).unwrap(), Sent::Running);
    assert!(matches!(ground.world.host.probe(&request).unwrap(), Probe::Running { .. }));
    assert_eq!(ground.world.host.probe(&request).unwrap(), Probe::NotDone);
    assert_eq!(ground.world.host.send(&request).unwrap(), Sent::Running);
    assert!(matches!(ground.world.host.probe(&request).unwrap(), Probe::Done { .. }));
}

#[test]
fn a_plan_says_what_a_restore_carries_over_and_touches_nothing() {
    let ground = Ground::new();
    instance(&ground, "planned");
    snapshot(&ground, "planned", "planned-1");
    let secrets = Arc::new(Secrets::new([9; 32], Arc::clone(&ground.world.redactor)));
    let reader = LiveReader::new(Arc::new(SystemClock), secrets, Arc::clone(&ground.world.children));
    let plan = Overlay::over(Arc::new(reader));
    let ask = |op: &str, args: Value| plan.foresee(&ground.world.request(op, ground.through(args), "key"));
    let taken = ask("rds.create_snapshot", json!({ "id": "planned", "snapshot": "planned-2" }));
    assert_eq!((taken.outcome.as_ref().unwrap()["id"].as_str(), taken.basis), (Some("planned-2"), Basis::Predicted));
    let waited = ask("rds.wait_snapshot", json!({ "snapshot": "planned-2" }));
    assert!(waited.outcome.is_ok() && !waited.takes.is_zero(), "{waited:?}");
    let restored = ask("rds.restore_from_snapshot", json!({ "snapshot": "planned-2", "id": "planned-r" }));
    assert_eq!(restored.basis, Basis::Predicted, "{}", restored.why);
    let change = &restored.changes[0];
    assert!(change.resource.ends_with("db:planned-r") && change.before.is_null(), "{change:?}");
    assert_eq!(change.after["security_groups"], json!(["sg-11112222", "sg-33334444"]));
    let lines = change.after["carried_over"].as_array().unwrap();
    assert!(lines.contains(&json!("parameter_group: planned-pg")), "{lines:?}");
    let waited = ask("rds.wait_available", json!({ "id": "planned-r" }));
    assert!(waited.outcome.as_ref().unwrap()["endpoint"]["$unknown"].is_string(), "{waited:?}");
    let deleted = ask("rds.delete", json!({ "id": "planned-r", "unprotect": true }));
    assert_eq!(deleted.outcome.unwrap()["deleted"], true, "{}", deleted.why);
    let gone = ask("rds.instance", json!({ "id": "planned-r" }));
    assert_eq!(gone.outcome.unwrap()["exists"], false);
    for writing in ["Action=Create", "Action=Restore", "Action=Delete", "Action=Modify"] {
        let before = if writing == "Action=Create" { 1 } else { 0 };
        assert_eq!(ground.proxy.count(writing), before, "{writing}");
    }
    assert!(
        ground
            .world
            .host
            .read(&ground.world.request("rds.instance", ground.through(json!({ "id": "planned-r" })), ""))
            .unwrap()["exists"]
            == false
    );
}
