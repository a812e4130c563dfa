//! Restores by the PostgreSQL Operator 4, live: as planned, killed around every command that changes something, lied to, and a second time.

use muster::model::Value;
use serde_json::json;

use crate::pgo4::Operated;

/// Rows were deleted an hour ago; the backup is of last night, and one more was made after the deletion.
fn operated() -> Option<Operated> {
    let at = Operated::with("")?;
    let now = jiff::Timestamp::now().as_second();
    let mut backups = at.state()["backups"].clone();
    let late = json!({ "type": "full", "label": "20990101-000000F", "storage": "local", "start": now - 600, "stop": now - 540 });
    backups.as_array_mut().unwrap().push(late);
    at.set("backups", backups);
    Some(at)
}

/// To two hours ago.
fn params() -> Vec<(&'static str, Value)> {
    let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(2);
    vec![
        ("at", json!(at.strftime("%Y-%m-%d %H:%M:%S+00").to_string())),
        ("database", json!("hippo")),
        ("canary", json!("SELECT count(*) FROM users HAVING count(*) > 0")),
    ]
}

fn with(more: &[(&'static str, Value)]) -> Vec<(&'static str, Value)> {
    params().into_iter().chain(more.iter().cloned()).collect()
}

impl Operated {
    /// Begun, and approved by whom there is; with what comes of it.
    fn restored(&self, more: &[(&'static str, Value)]) -> (Option<i32>, String) {
        let (code, said) = self.run("pgo4-restore", &with(more));
        if code != Some(7) {
            return (code, said);
        }
        // Whoever approves goes on with it.
        self.muster(&["approve", "@latest", "hold", "--break-glass", "-m", "nobody else is awake"])
    }

    /// The data of two hours ago are there, once, autofail is on, and nothing is left from which the operator could begin again.
    fn is_restored(&self, when: &str) {
        let state = self.state();
        assert_eq!((&state["rows"], &state["open"]), (&json!(1200), &json!(true)), "{when}");
        let cluster = self.ground.cluster.object("pgcluster", "hippo");
        assert_eq!(cluster["metadata"]["labels"]["autofail"], "true", "{when}");
        assert_eq!(cluster["status"]["state"], "pgcluster Initialized", "{when}");
        let scope = cluster["metadata"]["labels"]["crunchy-pgha-scope"].as_str().unwrap().to_owned();
        let patroni = self.ground.cluster.object("configmap", &format!("{scope}-config"));
        assert_eq!(patroni["metadata"]["annotations"]["config"], "{\"ttl\":30}", "{when}");
        let jobs = self.ground.cluster.kubectl(&["get", "jobs", "-l", "pgo-backrest-restore=true", "-o", "name"]);
        assert_eq!(jobs, "", "{when}");
        let restores = self.asked().iter().filter(|one| one.starts_with("restore ")).count();
        assert_eq!(restores, 1, "{when}: {:?}", self.asked());
    }
}

#[test]
fn a_cluster_is_restored_to_a_time_as_planned() {
    let Some(at) = operated() else { return };
    assert_eq!(at.as_approved("pgo4-restore", &params(), &["hold"]), Vec::<String>::new());
    at.is_restored("as planned");
    let label = at.state()["backups"][0]["label"].as_str().unwrap().to_owned();
    let asked = at.asked();
    assert!(
        asked[2].ends_with(&format!("--backup-opts=--type=time --target-action=promote --set={label} --no-prompt")),
        "{asked:?}"
    );
    // The old volume stays beside the new one, and no former primary does.
    let volumes = at.ground.cluster.kubectl(&["get", "deployments", "-o", "name"]);
    assert_eq!(volumes.lines().count(), 1, "{volumes}");
}

#[test]
fn it_restores_once_wherever_the_program_is_killed_around_a_command() {
    let killed = |moment: &str, command: &str, after: u32| {
        let Some(at) = operated() else { return };
        at.set("kill", json!({ "moment": moment, "command": command, "after": after, "pid_file": at.file("pid") }));
        let when = format!("{moment} {command} {after}");
        let (code, said) = at.restored(&[("backup_first", json!(false))]);
        assert_eq!(code, None, "{when}: nobody killed it: {said}");
        let (code, said) = at.muster(&["resume", "@latest"]);
        assert_eq!(code, Some(0), "{when}: {said}");
        at.is_restored(&when);
    };
    // Most of the time they wait.
    std::thread::scope(|scope| {
        for (command, after) in [("update", 0), ("restore", 0), ("update", 1), ("update", 2)] {
            scope.spawn(move || ["before", "after"].map(|moment| killed(moment, command, after)));
        }
    });
}

#[test]
fn a_lie_restores_nothing_and_is_undone_and_a_lost_answer_is_looked_up() {
    let Some(at) = operated() else { return };
    let quick = ("backup_first", json!(false));
    at.set("lies", json!({ "restore": "No clusters found." }));
    let (code, said) = at.restored(std::slice::from_ref(&quick));
    assert!(code == Some(7) && said.contains("nothing was restored, and nothing torn down"), "{code:?} {said}");
    let (code, said) = at.muster(&["rollback", "@latest", "--force"]);
    assert!(matches!(code, Some(5 | 6)), "{code:?} {said}");
    let cluster = at.ground.cluster.object("pgcluster", "hippo");
    assert_eq!(cluster["metadata"]["labels"]["autofail"], "true", "{said}");
    assert_eq!(at.state()["rows"], json!(0));
    at.set("lies", json!({}));
    at.set("answer_lost", json!(true));
    let asked = at.asked().len();
    let (code, said) = at.restored(&[quick]);
    assert_eq!(code, Some(0), "{said}");
    assert_eq!(at.asked()[asked..].iter().filter(|one| one.starts_with("restore ")).count(), 1);
}

#[test]
fn a_failed_restore_says_that_nothing_runs_and_a_second_run_goes_on_from_there() {
    let Some(at) = operated() else { return };
    at.set("restore_fails", json!(true));
    let (code, said) = at.restored(&[("backup_first", json!(false))]);
    assert!(code == Some(7) && said.contains("NO DATABASE IS RUNNING"), "{code:?} {said}");
    at.set("restore_fails", json!(false));
    at.set("asked", json!([]));
    let (code, said) = at.restored(&[]);
    assert!(code == Some(5) && said.contains("nobody can tell whether it was on before"), "{code:?} {said}");
    let (code, said) = at.restored(&[("autofail", json!("on"))]);
    assert_eq!(code, Some(0), "{said}");
    at.is_restored("again");
}

#[test]
fn without_room_or_under_another_restore_nothing_is_begun() {
    let Some(at) = operated() else { return };
    let full = json!({ "status": { "used": { "requests.storage": "10Gi", "persistentvolumeclaims": "9" } } });
    at.ground.cluster.kubectl(&[
        "patch",
        "resourcequota",
        "room",
        "--subresource=status",
        "--type=merge",
        "-p",
        &full.to_string(),
    ]);
    let (code, said) = at.restored(&[]);
    assert!(
        code == Some(5) && said.contains("quota room allows 10Gi of requests.storage, 10Gi are used"),
        "{code:?} {said}"
    );
    let free = full.to_string().replace("10Gi", "1Gi").replace("\"9\"", "\"1\"");
    at.ground.cluster.kubectl(&["patch", "resourcequota", "room", "--subresource=status", "--type=merge", "-p", &free]);
    at.ground.cluster.kubectl(&[
        "patch",
        "pgcluster",
        "hippo",
        "--type=merge",
        "-p",
        r#"{"status":{"state":"pgcluster Restoring"}}"#,
    ]);
    let (code, said) = at.restored(&[]);
    assert!(code == Some(5) && said.contains("a restore of hippo is under way"), "{code:?} {said}");
    assert_eq!(at.asked(), Vec::<String>::new());
}
