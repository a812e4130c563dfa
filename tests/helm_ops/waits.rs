//! `k8s.wait` on a live cluster: what is seen, what is missed by nobody, and what is outlasted.

use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use muster::model::Value;
use muster::ops::{OpError, Polled, ReadHost as _, Request};
use serde_json::json;

use crate::faulty::Spoil;
use crate::ground::Ground;
use crate::kube::Pace;
use crate::objects::{config, deployment, named, prepared, spoiled};

const STATE: &str = "data.state";

/// A wait for the settings to be ready, which broken ones end.
fn wait(ground: &Ground) -> Request {
    let more = json!({ "condition": format!("{STATE} == \"ready\""), "fails": format!("{STATE} == \"broken\"") });
    ground.world.request("k8s.wait", named(ground, "cm", "settings", more), "")
}

/// In this process: two of these come between two looks however busy the machine is.
fn become_(ground: &Ground, state: &str) {
    static COUNT: AtomicU32 = AtomicU32::new(0);
    let key = format!("m-become-{}", COUNT.fetch_add(1, Ordering::SeqCst));
    let patch = json!({ "patch": { "data": { "state": state } } });
    ground.world.write("k8s.patch", named(ground, "cm", "settings", patch), &key).unwrap();
}

/// Asks until it comes to something, or to this progress.
fn asked(ground: &Ground, request: &Request, progress: &str) -> Result<Option<Value>, OpError> {
    let late = Instant::now() + Duration::from_secs(30);
    loop {
        match ground.world.host.poll(request)? {
            Polled::Ready(found) => return Ok(Some(found)),
            Polled::Pending { progress: Some(said), .. } if !progress.is_empty() && said.contains(progress) => {
                return Ok(None);
            }
            Polled::Pending { progress, .. } => assert!(Instant::now() < late, "{progress:?}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn begun(ground: &Ground, state: &str) -> Request {
    ground.world.write("k8s.create", config(ground, "settings", json!({ "state": state })), "m-settings").unwrap();
    let request = wait(ground);
    asked(ground, &request, state).unwrap();
    request
}

#[test]
fn what_has_failed_between_two_looks_has_failed_and_what_held_holds_no_more() {
    let Some(ground) = Ground::start() else { return };
    let request = begun(&ground, "new");
    become_(&ground, "ready");
    become_(&ground, "old");
    assert_eq!(asked(&ground, &request, "is old").unwrap(), None);
    become_(&ground, "broken");
    become_(&ground, "new");
    let error = asked(&ground, &request, "is new").unwrap_err();
    assert!(error.message.contains("it has failed"), "{error:?}");
    // Another wait begins with what is there now.
    assert_eq!(asked(&ground, &wait(&ground), "is new").unwrap(), None);
    become_(&ground, "ready");
    assert!(asked(&ground, &wait(&ground), "").unwrap().is_some());
}

#[test]
fn a_watch_that_is_lost_goes_on_from_where_it_was() {
    let Some(mut ground) = Ground::in_memory() else { return };
    let proxy = spoiled(&mut ground);
    let request = begun(&ground, "new");
    become_(&ground, "old");
    assert_eq!(asked(&ground, &request, "is old").unwrap(), None);
    // What happens while nothing is heard is heard of later.
    proxy.spoil_many("watch=", 1000, Spoil::Unsent);
    proxy.hang_up();
    become_(&ground, "broken");
    become_(&ground, "new");
    proxy.lift();
    assert!(asked(&ground, &request, "").unwrap_err().message.contains("it has failed"));
}

#[test]
fn a_server_that_has_forgotten_where_a_watch_was_is_looked_at_anew() {
    let Some(mut ground) = Ground::in_memory() else { return };
    let proxy = spoiled(&mut ground);
    let request = begun(&ground, "new");
    proxy.spoil_many("watch=", 1000, Spoil::Unsent);
    proxy.hang_up();
    become_(&ground, "broken");
    become_(&ground, "old");
    ground.cluster.compact();
    proxy.lift();
    assert_eq!(asked(&ground, &request, "is old").unwrap(), None);
    become_(&ground, "ready");
    assert!(asked(&ground, &request, "").unwrap().is_some());
}

#[test]
fn what_may_not_be_watched_is_looked_at() {
    let Some(ground) = Ground::in_memory() else { return };
    ground.cluster.forbid("watch", "configmaps");
    let request = begun(&ground, "new");
    become_(&ground, "ready");
    assert!(asked(&ground, &request, "").unwrap().is_some());
}

#[test]
fn a_wait_shows_how_far_it_is_outlasts_the_server_and_notices_another_object() {
    let Some(mut ground) = Ground::in_memory() else { return };
    let proxy = spoiled(&mut ground);
    ground.cluster.pace(Pace::Never);
    prepared(&ground);
    ground.world.write("k8s.scale", named(&ground, "deploy", "web", json!({ "replicas": 2 })), "m-up").unwrap();
    let uid = ground.world.read("k8s.get", named(&ground, "deploy", "web", json!({}))).unwrap()["uid"].clone();
    let condition = "status.readyReplicas == spec.replicas";
    let more =
        json!({ "condition": condition, "uid": uid, "fails": "status.conditions[reason=ProgressDeadlineExceeded]" });
    let request = ground.world.request("k8s.wait", named(&ground, "deploy", "web", more), "");
    let progress = |polled: Polled| match polled {
        Polled::Pending { progress, .. } => progress.unwrap(),
        Polled::Ready(found) => panic!("{found}"),
    };
    let seen = progress(ground.world.host.poll(&request).unwrap());
    assert_eq!(seen, "status.readyReplicas is absent, spec.replicas is 2");
    proxy.spoil_many("GET /", 1000, Spoil::Unsent);
    proxy.hang_up();
    assert_eq!(asked(&ground, &request, "does not answer").unwrap(), None);
    proxy.lift();
    ground.cluster.pace(Pace::Ready);
    assert!(asked(&ground, &request, "").unwrap().is_some());
    ground.cluster.pace(Pace::Exceeded);
    assert!(ground.world.host.poll(&request).unwrap_err().message.contains("it has failed"));
    ground.cluster.kubectl(&["delete", "deployment", "web"]);
    assert!(ground.world.host.poll(&request).unwrap_err().message.contains("it is gone"));
    ground.cluster.pace(Pace::Ready);
    ground.world.write("k8s.apply", deployment(&ground, 2), "m-again").unwrap();
    assert!(ground.world.host.poll(&request).unwrap_err().message.contains("made anew"));
}
