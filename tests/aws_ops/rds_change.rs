//! Databases of RDS changed: settings, passwords, names; and Aurora clusters, which come back without instances.

use muster::model::fault::ErrorClass;
use muster::ops::spec::{Backend, Undo};
use muster::ops::{Polled, Probe, ReadHost, Request, Sent, WriteHost, find};
use serde_json::{Value, json};

use crate::faulty::Spoil;
use crate::ground::Ground;
use crate::rds::{SPOILS, instance};

/// How a request would be undone.
fn undo(request: &Request) -> Undo {
    let Backend::Write(entry) = &find(request.op.name).unwrap().backend else { panic!("no effect") };
    (entry.undo)(&request.args, &request.before, &request.key)
}

fn undo_args(request: &Request) -> (&'static str, Value) {
    match undo(request) {
        Undo::Call { op, args } => (op, args),
        other => panic!("{other:?}"),
    }
}

#[test]
fn settings_are_set_once_and_undone_from_what_they_were() {
    let ground = Ground::new();
    instance(&ground, "set");
    for spoil in SPOILS {
        let before = ground.read("rds.instance", json!({ "id": "set" }))["settings"].clone();
        let settings = json!({
            "deletion_protection": false, "backup_retention_days": 3, "security_groups": ["sg-55556666"],
        });
        let args = json!({ "id": "set", "settings": settings });
        let request = ground.world.ready("rds.modify", ground.through(args.clone()), "k").unwrap();
        ground.proxy.spoil("Action=ModifyDBInstance", spoil.clone());
        ground.settle("rds.modify", args, "k").unwrap();
        assert!(ground.proxy.is_done(), "{spoil:?}");
        let now = ground.read("rds.instance", json!({ "id": "set" }))["settings"].clone();
        assert_eq!(now["security_groups"], settings["security_groups"], "{spoil:?}");
        assert_eq!((&now["deletion_protection"], &now["backup_retention_days"]), (&json!(false), &json!(3)));
        let (op, args) = undo_args(&request);
        ground.settle(op, args, "u").unwrap();
        assert_eq!(ground.read("rds.instance", json!({ "id": "set" }))["settings"], before, "{spoil:?}");
    }
}

#[test]
fn a_password_is_set_and_never_shown_and_has_no_undo() {
    let ground = Ground::new();
    instance(&ground, "pass");
    let args = ground.through(json!({ "id": "pass", "password": "brand-new-1" }));
    let request = ground.world.ready("rds.modify", args, "k").unwrap();
    assert!(matches!(undo(&request), Undo::Impossible(_)));
    assert!(matches!(ground.world.host.send(&request).unwrap(), Sent::Done(_)));
    assert_eq!(ground.proxy.count("MasterUserPassword=brand-new-1"), 1);
    // Whether it was set cannot be seen: in doubt it is set again.
    assert_eq!(ground.world.host.probe(&request).unwrap(), Probe::NotDone);
    assert!(!format!("{:?}", request.before).contains("brand-new"));
    for (args, fault) in [
        (json!({ "id": "pass" }), "nothing to change"),
        (json!({ "id": "pass", "password": "x", "settings": { "class": "db.m5.large" } }), "in one call"),
        (json!({ "id": "pass", "settings": { "subnet_group": "x" } }), "cannot be set here"),
        (json!({ "kind": "cluster", "id": "pass", "settings": { "multi_az": true } }), "a cluster has no `multi_az`"),
    ] {
        let error = ground.settle("rds.modify", args, "k").unwrap_err();
        assert_eq!(error.class, ErrorClass::Refused);
        assert!(error.message.contains(fault) && error.hint.is_some(), "{error:?}");
    }
}

#[test]
fn a_swap_of_names_keeps_the_endpoint_and_is_undone_in_reverse() {
    let ground = Ground::new();
    for (place, spoil) in SPOILS.into_iter().enumerate() {
        let (live, restored, old) = (format!("live{place}"), format!("restored{place}"), format!("old{place}"));
        instance(&ground, &live);
        instance(&ground, &restored);
        // moto gives all instances one resource id: the parameter group tells which is which.
        let id_of =
            |name: &str| ground.read("rds.instance", json!({ "id": name }))["settings"]["parameter_group"].clone();
        let (first, second) = (id_of(&live), id_of(&restored));
        let swap = [json!({ "id": live, "to": old }), json!({ "id": restored, "to": live })];
        let mut undos = Vec::new();
        for args in swap {
            undos.push(undo_args(&ground.world.ready("rds.rename", ground.through(args.clone()), "k").unwrap()));
            ground.proxy.spoil("NewDBInstanceIdentifier", spoil.clone());
            let done = ground.settle("rds.rename", args.clone(), "k").unwrap();
            assert_eq!(done["id"], args["to"], "{spoil:?}");
            assert!(ground.proxy.is_done(), "{spoil:?}");
        }
        assert_eq!((id_of(&live), id_of(&old)), (second.clone(), first.clone()), "{spoil:?}");
        assert!(id_of(&restored).is_null(), "{spoil:?}");
        for (op, args) in undos.into_iter().rev() {
            ground.settle(op, args.clone(), "u").unwrap();
            // Undone twice is undone once.
            ground.settle(op, args, "u").unwrap();
        }
        assert_eq!((id_of(&live), id_of(&restored)), (first, second), "{spoil:?}");
        assert!(id_of(&old).is_null(), "{spoil:?}");
    }
}

#[test]
fn a_rename_is_followed_until_aws_knows_the_new_name() {
    let ground = Ground::new();
    instance(&ground, "before");
    let args = ground.through(json!({ "id": "before", "to": "after" }));
    let request = ground.world.ready("rds.rename", args, "k").unwrap();
    // moto renames in no time: its answers are altered to what AWS answers meanwhile.
    let renaming = Spoil::Altered(
        "<DBInstanceStatus>available</DBInstanceStatus>",
        "<DBInstanceStatus>renaming</DBInstanceStatus>",
    );
    ground.proxy.spoil("&DBInstanceIdentifier=before", renaming);
    assert!(matches!(ground.world.host.probe(&request).unwrap(), Probe::Running { .. }));
    assert_eq!(ground.world.host.probe(&request).unwrap(), Probe::NotDone);
    assert_eq!(ground.world.host.send(&request).unwrap(), Sent::Running);
    assert!(matches!(ground.world.host.probe(&request).unwrap(), Probe::Done { .. }));
    let taken = json!({ "id": "after", "to": "Capital" });
    assert!(ground.settle("rds.rename", taken, "k").unwrap_err().message.contains("is no name that AWS keeps"));
}

/// An Aurora cluster with an instance, and something to carry over.
pub fn cluster(ground: &Ground, id: &str) {
    ground.rds(
        "CreateDBCluster",
        &[
            ("DBClusterIdentifier", id),
            ("Engine", "aurora-postgresql"),
            ("EngineVersion", "14.6"),
            ("MasterUsername", "vault"),
            ("MasterUserPassword", "never-shown-1"),
            ("VpcSecurityGroupIds.VpcSecurityGroupId.1", "sg-77778888"),
            ("BackupRetentionPeriod", "5"),
            ("Tags.Tag.1.Key", "team"),
            ("Tags.Tag.1.Value", "vault"),
        ],
    );
    ground.rds(
        "CreateDBInstance",
        &[
            ("DBInstanceIdentifier", &format!("{id}-1")),
            ("DBClusterIdentifier", id),
            ("DBInstanceClass", "db.r6g.large"),
            ("Engine", "aurora-postgresql"),
        ],
    );
}

#[test]
fn a_cluster_comes_back_with_its_version_and_groups_and_an_instance_and_goes_again() {
    let ground = Ground::new();
    cluster(&ground, "vault");
    let taken = json!({ "kind": "cluster", "id": "vault", "snapshot": "vault-1" });
    ground.proxy.spoil("Action=CreateDBClusterSnapshot", Spoil::Unanswered);
    ground.settle("rds.create_snapshot", taken, "k1").unwrap();
    let ready = ground.poll("rds.wait_snapshot", json!({ "kind": "cluster", "snapshot": "vault-1" })).unwrap();
    assert!(matches!(ready, Polled::Ready(_)));
    for (place, spoil) in SPOILS.into_iter().enumerate() {
        let id = format!("vault-r{place}");
        let (op, action, args) = if place % 2 == 0 {
            let args = json!({ "kind": "cluster", "snapshot": "vault-1", "id": id });
            ("rds.restore_from_snapshot", "Action=RestoreDBClusterFromSnapshot", args)
        } else {
            let args = json!({ "kind": "cluster", "source": "vault", "id": id });
            ("rds.restore_to_point_in_time", "Action=RestoreDBClusterToPointInTime", args)
        };
        ground.proxy.spoil(action, spoil.clone());
        let made = ground.settle(op, args, "k2").unwrap();
        assert!(ground.proxy.is_done(), "{spoil:?}");
        let found = ground.read("rds.cluster", json!({ "id": id }));
        assert_eq!((&found["made_by"], &found["resource_id"]), (&json!("k2"), &made["resource_id"]), "{spoil:?}");
        assert_eq!((&found["engine_version"], &found["members"]), (&json!("14.6"), &json!([])), "{spoil:?}");
        assert_eq!(found["settings"]["security_groups"], json!(["sg-77778888"]), "{spoil:?}");
        let member = format!("{id}-1");
        ground.proxy.spoil("Action=CreateDBInstance", spoil.clone());
        let args = json!({ "cluster": id, "id": member, "like": "vault-1" });
        let made = ground.settle("rds.create_cluster_instance", args, "k3").unwrap();
        assert_eq!((&made["id"], &made["settings"]["class"]), (&json!(member), &json!("db.r6g.large")), "{spoil:?}");
        let found = ground.read("rds.cluster", json!({ "id": id }));
        assert_eq!(found["members"], json!([{ "id": member, "writer": true }]), "{spoil:?}");
        let early = json!({ "kind": "cluster", "id": id, "made_by": "k2", "unprotect": true });
        let error = ground.settle("rds.delete", early.clone(), "u").unwrap_err();
        assert!(error.message.contains("there are instances in it"), "{error}");
        let first = json!({ "id": member, "made_by": "k3", "unprotect": true });
        assert_eq!(ground.settle("rds.delete", first, "u").unwrap()["deleted"], true, "{spoil:?}");
        ground.proxy.spoil("Action=DeleteDBCluster&", spoil.clone());
        assert_eq!(ground.settle("rds.delete", early, "u").unwrap()["deleted"], true, "{spoil:?}");
        assert_eq!(ground.read("rds.cluster", json!({ "id": id }))["exists"], false, "{spoil:?}");
    }
    let backups = ground.read("rds.backups", json!({ "kind": "cluster", "id": "vault" }));
    assert_eq!(backups["retention_days"], 5);
    assert!(!backups["earliest"].as_str().unwrap().is_empty() && !backups["latest"].as_str().unwrap().is_empty());
}
