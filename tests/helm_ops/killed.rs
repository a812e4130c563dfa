//! helm killed in the middle, alone or with all that looks after it: what became of the call is found out, and put right.

use muster::ops::{Probe, ReadHost, Request, Sent, WriteHost};
use serde_json::json;

use crate::ground::Ground;
use crate::kube::Pace;
use crate::live_world::{lives, until};

/// The processes of this release's helm, and their supervisors.
fn processes(ground: &Ground, word: &str) -> Vec<i32> {
    let folder = ground.cluster.folder().to_string_lossy().into_owned();
    let mut found = Vec::new();
    for entry in std::fs::read_dir("/proc").unwrap().flatten() {
        let Ok(pid) = entry.file_name().to_string_lossy().parse::<i32>() else { continue };
        let line = std::fs::read(entry.path().join("cmdline")).unwrap_or_default();
        let line = String::from_utf8_lossy(&line).replace('\0', " ");
        if line.starts_with(&format!("helm {word}")) && line.contains(&folder) {
            found.push(pid);
        }
    }
    found
}

fn parent_of(pid: i32) -> i32 {
    let stat = std::fs::read_to_string(format!("/proc/{pid}/stat")).unwrap_or_default();
    stat.rsplit(')').next().unwrap_or("").split_whitespace().nth(1).and_then(|text| text.parse().ok()).unwrap_or(0)
}

fn kill(pid: i32) {
    assert!(pid > 1);
    // SAFETY: a signal to a process that this test started.
    unsafe { libc::kill(pid, libc::SIGKILL) };
    until("the process is gone", || !lives(pid));
}

/// An upgrade that waits for Pods that never come: helm is in the middle of it as long as one likes.
fn in_the_middle(ground: &Ground, key: &str) -> Request {
    ground.cluster.pace(Pace::Never);
    let mut args = ground.setting("web", json!({ "database.host": "new-db", "replicas": 1 }));
    args["wait"] = json!(true);
    args["timeout"] = json!("300s");
    let request = ground.world.ready("helm.upgrade", args, key).unwrap();
    assert_eq!(ground.world.host.send(&request).unwrap(), Sent::Running);
    until("helm is in the middle", || ground.host_of("web") == "new-db");
    request
}

#[test]
fn a_killed_helm_leaves_a_half_that_is_undone_and_done_anew() {
    let Some(ground) = Ground::start() else { return };
    for (name, supervisor_too) in [("m-helm", false), ("m-both", true)] {
        ground.install("web", "old-db");
        let before = ground.everything("web");
        let request = in_the_middle(&ground, name);
        assert!(matches!(ground.world.host.probe(&request).unwrap(), Probe::Running { .. }));
        let helm = processes(&ground, "upgrade")[0];
        if supervisor_too {
            kill(parent_of(helm));
            // The group that it has left behind is still at work.
            assert!(matches!(ground.world.host.probe(&request).unwrap(), Probe::Running { .. }));
        }
        kill(helm);
        let mut found = ground.world.host.probe(&request).unwrap();
        until("its end is known", || {
            found = ground.world.host.probe(&request).unwrap();
            !matches!(found, Probe::Running { .. })
        });
        let Probe::Partial { what } = found else { panic!("{found:?}") };
        assert!(what.contains("pending-upgrade"), "{what}");
        // Nobody else's upgrade is let through meanwhile, and the reason is said.
        let error = ground.world.ready("helm.upgrade", ground.setting("web", json!({})), "m-other").unwrap_err();
        assert!(error.message.contains("was killed in the middle"), "{error}");
        let (op, args) = ground.undo(&request, None);
        assert_eq!(ground.world.write(op, args, &format!("{name}-undo")).unwrap()["rolled_back"], true);
        assert_eq!(ground.everything("web"), before);
        ground.world.host.release(&request);
        // A new try, as the engine makes it: another key, another look.
        let again = ground.setting("web", json!({ "database.host": "new-db" }));
        let done = ground.world.write("helm.upgrade", again, &format!("{name}-2")).unwrap();
        assert_eq!(done["revision"].as_u64().unwrap(), done["previous"].as_u64().unwrap() + 1);
        assert_eq!(ground.host_of("web"), "new-db");
        ground.cluster.helm(&["uninstall", "web"]);
    }
}

#[test]
fn an_upgrade_that_was_done_while_nobody_looked_is_adopted() {
    let Some(ground) = Ground::start() else { return };
    ground.install("web", "old-db");
    let (request, result) =
        ground.send("helm.upgrade", ground.setting("web", json!({ "database.host": "new-db" })), "m-up");
    // The status of the child is lost: the world alone tells.
    ground.world.host.release(&request);
    assert_eq!(ground.world.host.probe(&request).unwrap(), Probe::Done { result: result.unwrap() });
    // So it is when others have gone on from it: their revisions inherit its label, and are not taken for it.
    ground.cluster.helm(&["upgrade", "web", &ground.chart, "--reuse-values", "--set", "database.host=theirs"]);
    let Probe::Done { result } = ground.world.host.probe(&request).unwrap() else { panic!("not done") };
    assert_eq!(result["revision"], 2);
}

#[test]
fn an_upgrade_that_was_never_sent_was_not_done_and_its_undo_does_nothing() {
    let Some(ground) = Ground::start() else { return };
    ground.install("web", "old-db");
    let request =
        ground.world.ready("helm.upgrade", ground.setting("web", json!({ "database.host": "x" })), "m-up").unwrap();
    assert_eq!(ground.world.host.probe(&request).unwrap(), Probe::NotDone);
    let (op, args) = ground.undo(&request, None);
    assert_eq!(ground.world.write(op, args, "m-undo").unwrap()["rolled_back"], false);
    assert_eq!(ground.history("web").len(), 1);
}

#[test]
fn a_killed_rollback_is_sent_again() {
    let Some(ground) = Ground::start() else { return };
    ground.install("web", "old-db");
    let before = ground.everything("web");
    ground.world.write("helm.upgrade", ground.setting("web", json!({ "database.host": "new-db" })), "m-up").unwrap();
    // As helm leaves it: the record of a rollback that was begun and not ended.
    let args = ground.args("web", json!({ "to": 1, "timeout": "30s" }));
    let request = ground.world.ready("helm.rollback", args, "m-back").unwrap();
    ground.cluster.helm(&["rollback", "web", "1"]);
    let latest = "sh.helm.release.v1.web.v3";
    ground.cluster.kubectl(&["label", "secret", latest, "status=pending-rollback", "--overwrite"]);
    assert_eq!(ground.world.host.probe(&request).unwrap(), Probe::NotDone);
    assert_eq!(ground.world.host.send(&request).unwrap(), Sent::Running);
    assert_eq!(ground.world.wait(&request).unwrap()["rolled_back"], true);
    assert_eq!(ground.everything("web"), before);
}
