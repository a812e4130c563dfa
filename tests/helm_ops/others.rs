//! Other people at work on the same release: what they have made is never overwritten.

use std::process::{Command, Stdio};

use muster::ops::{ErrorClass, ReadHost, WriteHost};
use serde_json::json;

use crate::ground::Ground;
use crate::kube::Pace;
use crate::live_world::until;

fn theirs(ground: &Ground) {
    ground.cluster.helm(&["upgrade", "web", &ground.chart, "--reuse-values", "--set", "database.host=theirs"]);
}

#[test]
fn a_revision_made_since_the_look_stops_the_upgrade() {
    let Some(ground) = Ground::start() else { return };
    ground.install("web", "old-db");
    let request =
        ground.world.ready("helm.upgrade", ground.setting("web", json!({ "database.host": "ours" })), "m-up").unwrap();
    theirs(&ground);
    let error = ground.world.host.send(&request).unwrap_err();
    assert_eq!(error.class, ErrorClass::Refused);
    assert!(error.message.contains("somebody has made revision 2"), "{error}");
    assert_eq!(ground.host_of("web"), "theirs");
}

#[test]
fn a_revision_made_after_ours_stops_the_rollback() {
    let Some(ground) = Ground::start() else { return };
    ground.install("web", "old-db");
    let (request, result) =
        ground.send("helm.upgrade", ground.setting("web", json!({ "database.host": "ours" })), "m-up");
    let result = result.unwrap();
    let left = ground.world.host.fingerprint(&request, &result).unwrap();
    let (op, args) = ground.undo(&request, Some(&result));
    let early = ground.world.ready(op, args.clone(), "m-undo-1").unwrap();
    theirs(&ground);
    assert_ne!(ground.world.host.fingerprint(&request, &result).unwrap(), left, "the engine asks a person");
    for error in [ground.world.ready(op, args, "m-undo-2").unwrap_err(), ground.world.host.send(&early).unwrap_err()] {
        assert_eq!(error.class, ErrorClass::Refused);
        assert!(error.message.contains("somebody else has made revision 3"), "{error}");
    }
    assert_eq!(ground.host_of("web"), "theirs");
}

#[test]
fn an_installation_that_others_have_upgraded_is_not_uninstalled() {
    let Some(ground) = Ground::start() else { return };
    let (request, result) = ground.send("helm.upgrade", ground.setting("web", json!({})), "m-install");
    let (op, args) = ground.undo(&request, result.as_ref().ok());
    theirs(&ground);
    let error = ground.world.ready(op, args, "m-undo").unwrap_err();
    assert!(error.message.contains("somebody else has made revision 2"), "{error}");
    assert_eq!(ground.host_of("web"), "theirs");
}

/// A playbook that points a release to another database, and waits until that has come about.
const REPOINT: &str = r##"
muster: 1
name: repoint
version: 1.0.0
title: Point a release to a database
params:
  upgrade: { type: map, doc: The upgrade. }
  host: { type: string, doc: The database. }
capabilities: [helm.upgrade]
steps:
  - id: repoint
    timeout: 5m
    script: |
      let asked = params.upgrade;
      asked.set = #{ "database.host": params.host, replicas: 1 };
      host::helm::upgrade(asked).revision
"##;

#[test]
fn of_two_runs_that_upgrade_one_release_at_once_the_second_is_told_whose_it_is_in_its_plan_and_before_it_does_anything()
{
    let Some(ground) = Ground::in_memory() else { return };
    ground.install("web", "old-db");
    let folder = ground.cluster.folder();
    std::fs::create_dir_all(folder.join("playbooks/repoint")).unwrap();
    std::fs::write(folder.join("playbooks/repoint/playbook.yaml"), REPOINT).unwrap();
    let more = json!({ "chart": ground.chart, "base": "reuse", "wait": true, "timeout": "2m" });
    let muster = |what: &str, store: &str, host: &str| {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args([what, "repoint", "-p", &format!("upgrade={}", ground.args("web", more.clone()))]);
        command.args(["-p", &format!("host={host}")]).current_dir(folder).env("NO_COLOR", "1");
        command.env("MUSTER_STORE", folder.join(store)).stdin(Stdio::null());
        command.stdout(Stdio::piped()).stderr(Stdio::piped());
        command
    };
    let said = |output: &std::process::Output| {
        let all = [output.stdout.as_slice(), output.stderr.as_slice()].concat();
        // Lines are broken where they get long.
        String::from_utf8_lossy(&all).split_whitespace().collect::<Vec<_>>().join(" ")
    };
    // Its pods never come: it is at work as long as one likes.
    ground.cluster.pace(Pace::Never);
    let first = muster("run", "one.db", "first").spawn().unwrap();
    until("the first is at work", || ground.host_of("web") == "first");
    let label = "jsonpath={.items[0].metadata.labels.muster\\.run}";
    let run = ground.cluster.kubectl(&["get", "secrets", "-l", "owner=helm,version=2", "-o", label]);
    let whose = format!("revision 2 is pending-upgrade: run {} is at work on it", run.trim());
    assert_eq!(run.trim().len(), 12, "{run}");
    let written = ground.cluster.writes().len();
    for (what, code) in [("plan", None), ("run", Some(7))] {
        let second = muster(what, "two.db", "second").output().unwrap();
        assert!(said(&second).contains(&whose), "{what}: {}", said(&second));
        assert!(code.is_none_or(|code| second.status.code() == Some(code)), "{what}: {}", said(&second));
    }
    assert_eq!(ground.cluster.writes()[written..], Vec::<String>::new(), "the second has written nothing");
    ground.cluster.pace(Pace::Ready);
    let first = first.wait_with_output().unwrap();
    assert_eq!(first.status.code(), Some(0), "{}", said(&first));
    assert_eq!((ground.host_of("web"), ground.history("web").len()), ("first".to_owned(), 2));
    // Of two that have looked at the same revision the one that comes late is told whose the new one is.
    let late = ground.setting("web", json!({ "database.host": "late" }));
    let request = ground.world.ready("helm.upgrade", late, "m-late").unwrap();
    let third = muster("run", "three.db", "third").output().unwrap();
    assert_eq!(third.status.code(), Some(0), "{}", said(&third));
    let error = ground.world.host.send(&request).unwrap_err();
    let run = ground.cluster.kubectl(&["get", "secrets", "-l", "owner=helm,version=3", "-o", label]);
    assert!(error.message.contains(&format!("run {} has made revision 3", run.trim())), "{error}");
    assert_eq!(ground.host_of("web"), "third");
}
