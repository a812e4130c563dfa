//! Installing, upgrading, rolling back, uninstalling.

use muster::ops::ErrorClass;
use serde_json::json;

use crate::ground::Ground;

#[test]
fn an_upgrade_is_undone_to_the_values_and_objects_of_before() {
    let Some(ground) = Ground::start() else { return };
    assert_eq!(ground.install("web", "old-db"), 1);
    let before = ground.everything("web");
    let (request, result) =
        ground.send("helm.upgrade", ground.setting("web", json!({ "database.host": "new-db" })), "m-up");
    let result = result.unwrap();
    let wanted =
        json!({ "revision": 2, "previous": 1, "chart": "shop", "chart_version": "1.2.3", "app_version": "9.1" });
    assert_eq!(result, wanted);
    assert_eq!(ground.host_of("web"), "new-db");
    // What was supplied before is still there: it was said to be reused.
    assert!(ground.cluster.helm(&["get", "values", "web"]).contains("correct-horse-battery"));
    let (op, args) = ground.undo(&request, Some(&result));
    let (_, undone) = ground.send(op, args, "m-undo");
    assert_eq!(undone.unwrap(), json!({ "rolled_back": true, "revision": 3, "to": 1 }));
    assert_eq!(ground.everything("web"), before);
    let states: Vec<String> = ground.history("web").into_iter().map(|(_, status)| status).collect();
    assert_eq!(states, ["superseded", "superseded", "deployed"]);
}

#[test]
fn what_the_run_installed_is_uninstalled_and_nothing_else() {
    let Some(ground) = Ground::start() else { return };
    let (request, result) = ground.send("helm.upgrade", ground.setting("web", json!({})), "m-install");
    assert_eq!(result.as_ref().unwrap()["previous"], 0);
    let (op, args) = ground.undo(&request, result.as_ref().ok());
    assert_eq!(op, "helm.uninstall");
    let mut other = args.clone();
    other["made_by"] = json!("m-another");
    assert_eq!(ground.world.write(op, other, "m-undo-1").unwrap(), json!({ "removed": false }));
    assert_eq!(ground.world.write(op, args.clone(), "m-undo-2").unwrap(), json!({ "removed": true }));
    assert!(ground.cluster.object("deployment", "web-web").is_null());
    assert_eq!(ground.world.write(op, args, "m-undo-3").unwrap(), json!({ "removed": false }));
    assert!(ground.history("web").is_empty());
}

#[test]
fn an_upgrade_that_fails_is_rolled_back_exactly() {
    let Some(ground) = Ground::start() else { return };
    ground.install("web", "old-db");
    let before = ground.everything("web");
    // Somebody's hand on a field: helm gets half of it done and fails.
    ground.cluster.kubectl(&[
        "patch",
        "configmap",
        "web-settings",
        "--type=merge",
        "--field-manager=somebody",
        "-p",
        r#"{"data":{"host":"theirs"}}"#,
    ]);
    let (request, result) =
        ground.send("helm.upgrade", ground.setting("web", json!({ "database.host": "new-db" })), "m-up");
    let error = result.unwrap_err();
    assert_eq!(error.class, ErrorClass::Failed);
    assert!(error.message.contains("somebody else owns a field"), "{error:?}");
    assert_eq!(ground.history("web").last().unwrap(), &(2, "failed".to_owned()));
    // They give it back; the undo then restores what was there.
    ground.cluster.kubectl(&[
        "patch",
        "configmap",
        "web-settings",
        "--type=merge",
        "--field-manager=helm",
        "-p",
        r#"{"data":{"host":"old-db"}}"#,
    ]);
    let (op, args) = ground.undo(&request, None);
    assert_eq!(ground.world.write(op, args, "m-undo").unwrap()["rolled_back"], true);
    assert_eq!(ground.everything("web"), before);
}

#[test]
fn what_the_server_would_refuse_is_refused_before_anything_is_touched() {
    let Some(ground) = Ground::start() else { return };
    ground.install("web", "old-db");
    let refused = |set| ground.world.ready("helm.upgrade", ground.setting("web", set), "m-up").unwrap_err();
    let error = refused(json!({ "image": "" }));
    assert_eq!(error.class, ErrorClass::Refused);
    assert!(error.message.contains("invalid") && error.detail.unwrap().contains("image"), "{}", error.message);
    let error = refused(json!({ "database": "no tree" }));
    assert!(error.message.contains("cannot be rendered"), "{}", error.message);
    assert_eq!(ground.history("web").len(), 1);
}

#[test]
fn a_chart_without_a_version_and_a_release_that_is_not_there_are_refused() {
    let Some(ground) = Ground::start() else { return };
    let refused = |more| ground.world.ready("helm.upgrade", ground.args("web", more), "m-up").unwrap_err().message;
    assert!(refused(json!({ "chart": "repo/web", "base": "reset" })).contains("not pinned"));
    assert!(
        refused(json!({ "chart": "oci://x/web", "base": "reset", "version": "^1.2" })).contains("no exact version")
    );
    assert!(refused(json!({ "chart": "./web", "base": "reset" })).contains("not absolute"));
    assert!(refused(json!({ "chart": ground.chart, "base": "reset" })).contains("no such release"));
    let other = json!({ "chart": ground.chart, "base": "reset", "version": "9.9.9", "install": true });
    assert!(refused(other).contains("has version 1.2.3, not 9.9.9"));
}

#[test]
fn a_secret_value_reaches_the_release_and_no_argument_file_or_answer() {
    let Some(ground) = Ground::start() else { return };
    let folder = ground.cluster.folder().to_owned();
    std::fs::write(folder.join("password"), "staple-and-battery").unwrap();
    let handle = json!({ "$secret": { "provider": "file", "path": folder.join("password") } });
    let args = ground.args(
        "web",
        json!({ "chart": ground.chart, "base": "reset", "install": true, "values": { "database": { "password": handle } } }),
    );
    let (request, result) = ground.send("helm.upgrade", args, "m-up");
    let answers = format!("{:?} {:?}", request.before, result.unwrap());
    assert!(!ground.world.redactor.scrub(&answers).contains("staple") && !answers.contains("staple"), "{answers}");
    for entry in walk(&folder.join("children")) {
        let text = String::from_utf8_lossy(&std::fs::read(&entry).unwrap()).into_owned();
        assert!(!text.contains("staple"), "{}", entry.display());
    }
    use base64::Engine as _;
    let held = ground.cluster.object("secret", "web-database")["data"]["password"].as_str().unwrap().to_owned();
    assert_eq!(base64::engine::general_purpose::STANDARD.decode(held).unwrap(), b"staple-and-battery");
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let mut found = Vec::new();
    for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
        if entry.path().is_dir() { found.extend(walk(&entry.path())) } else { found.push(entry.path()) }
    }
    found
}
