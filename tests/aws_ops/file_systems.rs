//! File systems of EFS: looked at, given mount targets, waited for and deleted, whatever the way to the server does.

use muster::model::fault::ErrorClass;
use muster::ops::{Polled, Probe, ReadHost, Request, WriteHost};
use serde_json::{Value, json};

use crate::backups::{follow, ground, spoils, undo_of};
use crate::faulty::Spoil;
use crate::ground::Ground;
use crate::vaulting::Vaulting;

/// The subnets that moto's account has, one a zone, and a security group in their network.
pub fn network(vaulting: &Vaulting) -> (Vec<String>, String) {
    let values = |answer: &str, tag: &str| -> Vec<String> {
        let open = format!("<{tag}>");
        answer.split(&open).skip(1).filter_map(|rest| rest.split('<').next()).map(str::to_owned).collect()
    };
    let subnets = vaulting.ask("ec2", "POST", "/", "Action=DescribeSubnets&Version=2016-11-15");
    let groups = vaulting.ask("ec2", "POST", "/", "Action=DescribeSecurityGroups&Version=2016-11-15");
    (values(&subnets, "subnetId"), values(&groups, "groupId").remove(0))
}

/// A file system that the run of these tests has made.
fn own(ground: &Ground, vaulting: &Vaulting, name: &str) -> String {
    let wanted = json!({ "CreationToken": format!("m-{}-{name}-1-0", ground.world.run), "Encrypted": true });
    let made = vaulting.ask("elasticfilesystem", "POST", "/2015-02-01/file-systems", &wanted.to_string());
    let made: Value = serde_json::from_str(made.split("\r\n\r\n").nth(1).unwrap()).unwrap();
    made["FileSystemId"].as_str().unwrap().to_owned()
}

fn targets(ground: &Ground, id: &str) -> Vec<Value> {
    let found = ground.read("efs.file_system", json!({ "file_system": id }));
    found["mount_targets"].as_array().unwrap().clone()
}

#[test]
fn a_mount_target_is_made_once_with_its_security_groups_and_goes_again() {
    let (ground, vaulting, arn) = ground("mounted");
    let id = arn.rsplit('/').next().unwrap();
    let (subnets, group) = network(&vaulting);
    let found = ground.read("efs.file_system", json!({ "file_system": id }));
    assert_eq!(
        (&found["exists"], &found["state"], &found["encrypted"]),
        (&json!(true), &json!("available"), &json!(true))
    );
    assert_eq!((&found["name"], &found["token"]), (&json!("mounted"), &json!("mounted")));
    let own = own(&ground, &vaulting, "mounted");
    let (id, key) = (own.as_str(), format!("m-{}-k-1-0", ground.world.run));
    for (place, spoil) in spoils().into_iter().enumerate() {
        let args = json!({ "file_system": id, "subnet": subnets[0], "security_groups": [group] });
        let request = ground.world.ready("efs.create_mount_target", ground.through(args.clone()), &key).unwrap();
        ground.proxy.spoil("POST /2015-02-01/mount-targets", spoil.clone());
        let made = ground.settle("efs.create_mount_target", args.clone(), &key).unwrap();
        assert!(ground.proxy.is_done(), "{spoil:?}");
        let all = targets(&ground, id);
        assert_eq!((all.len(), &all[0]["id"]), (1, &made["mount_target"]), "{spoil:?}");
        assert_eq!(all[0]["security_groups"], json!([group]), "{spoil:?}");
        let ready = ground.poll("efs.wait_available", json!({ "file_system": id })).unwrap();
        assert!(matches!(ready, Polled::Ready(_)), "{spoil:?}");
        let error = ground.settle("efs.create_mount_target", args, "m-other").unwrap_err();
        assert!(error.message.contains("there is one"), "{error}");
        let (op, args) = undo_of(&request, if place % 2 == 0 { &made } else { &Value::Null });
        ground.proxy.spoil("DELETE /2015-02-01/mount-targets", spoil.clone());
        assert_eq!(follow(&ground, op, args.clone(), "u").unwrap()["deleted"], true, "{spoil:?}");
        assert_eq!(follow(&ground, op, args, "u").unwrap()["deleted"], false, "{spoil:?}");
        assert!(targets(&ground, id).is_empty(), "{spoil:?}");
    }
    for (args, fault) in [
        (json!({ "file_system": id, "subnet": subnets[0], "security_groups": [] }), "it has no security groups"),
        (json!({ "file_system": "fs-none", "subnet": "x", "security_groups": ["sg"] }), "there is no such file system"),
    ] {
        let error = ground.settle("efs.create_mount_target", args, "k").unwrap_err();
        assert!(error.message.contains(fault) && error.hint.is_some(), "{error:?}");
    }
}

#[test]
fn a_mount_target_that_may_be_somebody_elses_is_in_doubt_and_is_not_taken_away() {
    let (ground, vaulting, arn) = ground("in-doubt");
    let (subnets, group) = network(&vaulting);
    let key = format!("m-{}-k-1-0", ground.world.run);
    let ready = |id: &str| {
        let args = json!({ "file_system": id, "subnet": subnets[0], "security_groups": [group] });
        ground.world.ready("efs.create_mount_target", ground.through(args), &key).unwrap()
    };
    let doubt = |request: &Request, why: &str| {
        let error = ground.world.host.send(request).unwrap_err();
        assert_eq!(error.class, ErrorClass::Unknown, "{error:?}");
        match ground.world.host.probe(request).unwrap() {
            Probe::CannotTell { why: said } => assert!(said.contains(why), "{said}"),
            other => panic!("{other:?}"),
        }
    };
    // On a file system of somebody else the answer to our request is lost: nothing tells whose it is.
    let foreign = arn.rsplit('/').next().unwrap();
    let request = ready(foreign);
    ground.proxy.spoil("POST /2015-02-01/mount-targets", Spoil::Unanswered);
    doubt(&request, "on a file system that this run has not made");
    let (op, args) = undo_of(&request, &Value::Null);
    let error = follow(&ground, op, args, "u").unwrap_err();
    assert!(error.message.contains("AWS does not tell whether") && error.hint.is_some(), "{error:?}");
    assert_eq!(targets(&ground, foreign).len(), 1);
    // A request that never arrived is sent again.
    let made = targets(&ground, foreign)[0]["id"].clone();
    let plain = ground.through(json!({ "file_system": foreign, "mount_target": made }));
    assert_eq!(follow(&ground, "efs.delete_mount_target", plain, "d").unwrap()["deleted"], true);
    ground.proxy.spoil("POST /2015-02-01/mount-targets", Spoil::Unsent);
    let args = json!({ "file_system": foreign, "subnet": subnets[0], "security_groups": [group] });
    ground.settle("efs.create_mount_target", args, &key).unwrap();
    // On our own somebody else was quicker, with other security groups.
    let own = own(&ground, &vaulting, "in-doubt");
    let request = ready(&own);
    let form = "Action=CreateSecurityGroup&Version=2016-11-15&GroupName=others&GroupDescription=x";
    let other = vaulting.ask("ec2", "POST", "/", form);
    let other = other.split("<groupId>").nth(1).and_then(|rest| rest.split('<').next()).unwrap();
    let theirs = json!({ "FileSystemId": own, "SubnetId": subnets[0], "SecurityGroups": [other] });
    let said = vaulting.ask("elasticfilesystem", "POST", "/2015-02-01/mount-targets", &theirs.to_string());
    assert!(said.starts_with("HTTP/1.1 200"), "{said}");
    doubt(&request, other);
}

#[test]
fn a_file_system_is_deleted_only_by_whoever_made_it_or_with_a_plain_word() {
    let (ground, _, arn) = ground("deleted");
    let id = arn.rsplit('/').next().unwrap();
    let error = ground.settle("efs.delete", json!({ "file_system": id }), "k").unwrap_err();
    assert!(error.message.contains("no run made it"), "{error}");
    let other = json!({ "file_system": id, "made_by": "another" });
    assert_eq!(ground.settle("efs.delete", other, "k").unwrap()["deleted"], false);
    ground.proxy.spoil("DELETE /2015-02-01/file-systems", Spoil::Unanswered);
    let plain = ground.through(json!({ "file_system": id, "foreign": true }));
    assert_eq!(follow(&ground, "efs.delete", plain, "k").unwrap()["deleted"], true);
    assert_eq!(ground.read("efs.file_system", json!({ "file_system": id }))["exists"], false);
    let listed = ground.read("efs.file_systems", json!({}));
    assert!(listed["file_systems"].as_array().unwrap().iter().all(|one| one["id"] != json!(id)));
}

#[test]
fn a_file_system_that_never_will_be_available_ends_a_wait_at_the_first_look() {
    let (ground, _, arn) = ground("awaited");
    let id = arn.rsplit('/').next().unwrap();
    for (state, ends) in [("creating", false), ("updating", false), ("error", true), ("deleting", true)] {
        // moto makes a file system in no time: its answers are altered to what AWS answers in other states.
        let altered = match state {
            "creating" => Spoil::Altered(r#""available""#, r#""creating""#),
            "updating" => Spoil::Altered(r#""available""#, r#""updating""#),
            "error" => Spoil::Altered(r#""available""#, r#""error""#),
            _ => Spoil::Altered(r#""available""#, r#""deleting""#),
        };
        ground.proxy.spoil("GET /2015-02-01/file-systems", altered);
        let polled = ground.poll("efs.wait_available", json!({ "file_system": id }));
        match polled {
            Ok(Polled::Pending { progress, .. }) if !ends => assert!(progress.unwrap().contains(state)),
            Err(error) if ends => assert!(error.message.contains(state) && error.hint.is_some(), "{error:?}"),
            other => panic!("{state}: {other:?}"),
        }
    }
    let gone = ground.world.request("efs.wait_available", ground.through(json!({ "file_system": "fs-none" })), "");
    assert!(ground.world.host.poll(&gone).unwrap_err().message.contains("there is none"));
}
