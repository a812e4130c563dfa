//! Other people at work on the same release: what they have made is never overwritten.

use muster::ops::{ErrorClass, ReadHost, WriteHost};
use serde_json::json;

use crate::ground::Ground;

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
