//! The operator of PostgreSQL in plans, in undos, and when its Pods come and go.

use std::time::Duration;

use serde_json::json;

use super::Stage;
use super::pgo::{L, WORLD, clone_of, ready};
use crate::clock::Clock;
use crate::model::Value;
use crate::model::forecast::Basis;
use crate::ops::foresight::PlanHost;
use crate::ops::spec::UNKNOWN_KEY;
use crate::sandbox::{Overlay, World, diff};

const DONE: &str = "status.pgbackrest.restore.succeeded == 1 && status.instances[0].readyReplicas == 1";

fn elephant() -> Value {
    clone_of(json!({ "postgresCluster": { "clusterName": "hippo", "repoName": "repo1" } }), "elephant")
}

fn of(name: &str, more: Value) -> Value {
    let mut args = json!({ "kind": "postgrescluster", "name": name, "namespace": "shop" });
    for (name, value) in more.as_object().unwrap() {
        args[name] = value.clone();
    }
    args
}

#[test]
fn a_plan_foresees_what_the_operator_makes_of_it() {
    let stage = Stage::of(World::load(WORLD).unwrap());
    let overlay = Overlay::over_world(stage.world.lock().clone());
    let foresee = |op: &str, args: Value| overlay.foresee(&stage.request(op, args, "m-1"));
    let made = foresee("k8s.create", elephant());
    assert_eq!(
        (made.basis, made.changes.len()),
        (Basis::Predicted, 1),
        "its parts are the operator's doing: {:?}",
        made.changes
    );
    let waited = foresee("k8s.wait", of("elephant", json!({ "condition": DONE })));
    let found = waited.outcome.unwrap();
    assert_eq!(found["object"]["status"]["pgbackrest"]["restore"]["succeeded"], 1);
    assert!(waited.takes > Duration::from_secs(60) && waited.basis == Basis::Predicted);
    // What only the run will know is unknown, and no text that looks like it.
    let restore = &found["object"]["status"]["pgbackrest"]["restore"];
    assert!(restore["startTime"].get(UNKNOWN_KEY).is_some() && found["uid"].get(UNKNOWN_KEY).is_some(), "{restore}");
    let pods = foresee(
        "k8s.list",
        json!({ "kind": "pod", "namespace": "shop", "labels": format!("{L}/cluster=elephant,{L}/role=master") }),
    );
    let pods = pods.outcome.unwrap();
    let pod = pods["objects"][0]["metadata"]["name"].as_str().unwrap().to_owned();
    let argv = json!(["psql", "-qAt", "-d", "hippo", "-c", "SELECT count(*) FROM users"]);
    let asked = foresee("k8s.read", json!({ "pod": pod, "namespace": "shop", "argv": argv }));
    assert_eq!((asked.basis, asked.outcome.unwrap()["stdout"].clone()), (Basis::Predicted, json!("7\n")));
    assert_eq!(stage.of_kind("shop", "postgrescluster"), ["hippo"], "nothing was done");
}

#[test]
fn a_clone_that_is_taken_back_leaves_the_world_as_it_was() {
    let stage = Stage::of(World::load(WORLD).unwrap());
    let before = stage.world.lock().clone();
    stage.perform("k8s.create", elephant(), "m-clone").unwrap();
    let (_, polls) = stage.wait("k8s.wait", of("elephant", json!({ "condition": DONE }))).unwrap();
    assert!(polls > 10);
    assert_ne!(diff(&before, &stage.world.lock()), Vec::<String>::new());
    stage.perform("k8s.delete", of("elephant", json!({})), "m-undo").unwrap();
    stage.pass(10);
    stage.cluster("shop", "hippo");
    assert_eq!(diff(&before, &stage.world.lock()), Vec::<String>::new());
}

#[test]
fn how_often_one_looks_at_a_restore_changes_nothing() {
    let (often, once) = (Stage::of(World::load(WORLD).unwrap()), Stage::of(World::load(WORLD).unwrap()));
    for stage in [&often, &once] {
        stage.perform("k8s.create", elephant(), "m-clone").unwrap();
    }
    for _ in 0..400 {
        often.pass(1);
        often.of_kind("shop", "pod");
    }
    once.pass(400);
    once.of_kind("shop", "pod");
    assert_eq!(often.world.lock().kubernetes, once.world.lock().kubernetes);
    let text = serde_json::to_string(&*once.world.lock()).unwrap();
    assert_eq!(serde_json::from_str::<World>(&text).unwrap().kubernetes, once.world.lock().kubernetes);
}

#[test]
fn a_replica_takes_the_place_of_a_leader_that_is_gone() {
    let stage = Stage::of(World::load("kubernetes: { pgo: { clusters: { shop/hippo: { replicas: 2 } } } }").unwrap());
    assert_eq!(ready(&stage.cluster("shop", "hippo")), 2);
    let leader = || {
        let args = json!({ "kind": "pod", "namespace": "shop", "labels": format!("{L}/role=master") });
        let found = stage.read("k8s.list", args).unwrap()["objects"].as_array().unwrap().clone();
        found.iter().map(|pod| pod["metadata"]["name"].as_str().unwrap().to_owned()).collect::<Vec<_>>()
    };
    let first = leader();
    stage.perform("k8s.delete", json!({ "kind": "pod", "name": first[0], "namespace": "shop" }), "m-pod").unwrap();
    assert_eq!(leader(), Vec::<String>::new());
    stage.pass(60);
    let second = leader();
    assert!(second.len() == 1 && second != first);
    assert_eq!(ready(&stage.cluster("shop", "hippo")), 2);
    let pgo = stage.settled().pgo.unwrap();
    assert_eq!(pgo.data.values().next().unwrap().timeline, 2);
    // A standby that streams from it follows.
    let at = stage.clock.now();
    let mut object = clone_of(Value::Null, "mirror");
    object["object"]["spec"]["standby"] = json!({ "enabled": true, "host": "hippo-primary.shop.svc", "port": 5432 });
    stage.perform("k8s.create", object, "m-mirror").unwrap();
    stage.pass(120);
    let mirror = stage.cluster("shop", "mirror");
    assert_eq!(
        (ready(&mirror), &mirror["status"]["patroni"]),
        (&json!(1), &stage.cluster("shop", "hippo")["status"]["patroni"]),
        "{at} {mirror:#}"
    );
}
