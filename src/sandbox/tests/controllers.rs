//! What controllers of Kubernetes make of objects, in the world's own time.

use std::time::Duration;

use serde_json::json;

use super::Stage;
use crate::clock::Clock;
use crate::model::Value;
use crate::sandbox::{World, diff};

const WORLD: &str = r#"
kubernetes:
  failing: ["shop/bad-*"]
  objects:
    - { apiVersion: storage.k8s.io/v1, kind: StorageClass, metadata: { name: keep }, reclaimPolicy: Retain }
    - { apiVersion: apps/v1, kind: Deployment, metadata: { name: still, namespace: shop }, spec: { replicas: 2 }, status: { readyReplicas: 1 } }
"#;

fn stage() -> Stage {
    Stage::of(World::load(WORLD).unwrap())
}

fn set(kind: &str, replicas: u32, image: &str) -> Value {
    let labels = json!({ "app": "web" });
    let template =
        json!({ "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "web", "image": image }] } });
    let claim = json!({ "metadata": { "name": "data" }, "spec": { "storageClassName": "keep", "resources": { "requests": { "storage": "1Gi" } } } });
    json!({ "object": {
        "apiVersion": "apps/v1", "kind": kind, "metadata": { "name": "web", "namespace": "shop" },
        "spec": { "replicas": replicas, "selector": { "matchLabels": labels }, "template": template, "volumeClaimTemplates": [claim] },
    } })
}

impl Stage {
    fn list(&self, kind: &str) -> Vec<Value> {
        let args = json!({ "kind": kind, "namespace": "shop" });
        self.read("k8s.list", args).unwrap()["objects"].as_array().unwrap().clone()
    }

    fn get(&self, kind: &str, name: &str) -> Value {
        self.read("k8s.get", json!({ "kind": kind, "name": name, "namespace": "shop" })).unwrap()["object"].clone()
    }

    pub(super) fn pass(&self, seconds: u64) {
        self.clock.sleep(Duration::from_secs(seconds));
    }
}

fn names(objects: &[Value]) -> Vec<&str> {
    objects.iter().filter_map(|object| object["metadata"]["name"].as_str()).collect()
}

#[test]
fn a_stateful_set_makes_its_pods_and_claims_and_takes_its_pods_away() {
    let stage = stage();
    stage.perform("k8s.create", set("StatefulSet", 2, "web:1"), "m-1").unwrap();
    assert_eq!(names(&stage.list("pod")), ["web-0", "web-1"]);
    assert_eq!(stage.get("sts", "web")["status"]["readyReplicas"], Value::Null);
    stage.pass(6);
    let pod = stage.get("pod", "web-0");
    assert_eq!(pod["status"]["phase"], "Running");
    assert_eq!(pod["status"]["containerStatuses"][0]["ready"], true);
    assert_eq!(pod["metadata"]["labels"]["app"], "web");
    assert_eq!(pod["metadata"]["ownerReferences"][0]["name"], "web");
    assert_eq!(stage.get("sts", "web")["status"]["readyReplicas"], 2);
    let claim = stage.get("pvc", "data-web-1");
    assert_eq!(claim["status"]["phase"], "Bound");
    let volume = claim["spec"]["volumeName"].as_str().unwrap().to_owned();
    let volume = || stage.read("k8s.get", json!({ "kind": "pv", "name": volume })).unwrap()["object"].clone();
    assert_eq!(volume()["spec"]["persistentVolumeReclaimPolicy"], "Retain");
    stage
        .perform("k8s.scale", json!({ "kind": "sts", "name": "web", "namespace": "shop", "replicas": 0 }), "m-2")
        .unwrap();
    // They have some time to end.
    assert_eq!(stage.list("pod").len(), 2);
    stage.pass(5);
    assert_eq!(stage.list("pod").len(), 0);
    assert_eq!(stage.get("sts", "web")["status"], json!({ "observedGeneration": 2 }));
    assert_eq!(stage.list("pvc").len(), 2, "what they kept stays");
    stage.perform("k8s.delete", json!({ "kind": "pvc", "name": "data-web-1", "namespace": "shop" }), "m-3").unwrap();
    assert_eq!(volume()["status"]["phase"], "Released");
}

#[test]
fn a_pod_that_is_taken_away_is_made_anew() {
    let stage = stage();
    stage.perform("k8s.create", set("StatefulSet", 1, "web:1"), "m-1").unwrap();
    stage.pass(6);
    let first = stage.get("pod", "web-0")["metadata"]["uid"].clone();
    stage.perform("k8s.delete", json!({ "kind": "pod", "name": "web-0", "namespace": "shop" }), "m-2").unwrap();
    assert_eq!(stage.get("sts", "web")["status"]["readyReplicas"], Value::Null);
    stage.pass(6);
    assert_ne!(stage.get("pod", "web-0")["metadata"]["uid"], first);
    assert_eq!(stage.get("sts", "web")["status"]["readyReplicas"], 1);
}

#[test]
fn a_deployment_rolls_out_beside_its_old_pods() {
    let stage = stage();
    stage.perform("k8s.apply", set("Deployment", 2, "web:1"), "m-1").unwrap();
    stage.pass(6);
    assert_eq!(stage.get("deploy", "web")["status"]["updatedReplicas"], 2);
    stage.perform("k8s.apply", set("Deployment", 2, "web:2"), "m-2").unwrap();
    let status = stage.get("deploy", "web")["status"].clone();
    assert_eq!(
        (&status["replicas"], &status["readyReplicas"], &status["conditions"][0]["status"]),
        (&json!(4), &json!(2), &json!("False"))
    );
    stage.pass(10);
    assert_eq!(stage.list("pod").len(), 2);
    assert!(stage.list("pod").iter().all(|pod| pod["spec"]["containers"][0]["image"] == "web:2"));
    assert_eq!(stage.list("replicaset").len(), 1);
    let still = stage.get("deploy", "still");
    assert_eq!(still["status"], json!({ "readyReplicas": 1 }), "a declared one stands as declared");
}

#[test]
fn a_job_that_fails_is_tried_again_with_longer_and_longer_pauses() {
    let stage = stage();
    let job = |name: &str, spec: Value| json!({ "object": { "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name, "namespace": "shop" }, "spec": spec } });
    stage.perform("k8s.create", job("bad-one", json!({})), "m-1").unwrap();
    stage.perform("k8s.create", job("good", json!({ "ttlSecondsAfterFinished": 60 })), "m-2").unwrap();
    assert_eq!(stage.get("job", "bad-one")["status"]["active"], 1);
    stage.pass(25);
    assert_eq!(stage.get("job", "good")["status"]["succeeded"], 1);
    let status = stage.get("job", "bad-one")["status"].clone();
    assert_eq!((&status["failed"], &status["active"]), (&json!(1), &Value::Null));
    stage.pass(10);
    assert_eq!(stage.get("job", "bad-one")["status"]["active"], 1);
    assert_eq!(stage.list("pod").len(), 3);
    stage.pass(900);
    let status = stage.get("job", "bad-one")["status"].clone();
    assert_eq!((&status["failed"], &status["conditions"][0]["reason"]), (&json!(7), &json!("BackoffLimitExceeded")));
    assert_eq!(stage.get("job", "good"), json!({}), "its time is over");
}

#[test]
fn how_often_one_looks_changes_nothing() {
    let (often, once) = (stage(), stage());
    for stage in [&often, &once] {
        stage.perform("k8s.create", set("StatefulSet", 3, "web:1"), "m-1").unwrap();
    }
    for _ in 0..20 {
        often.pass(1);
        often.list("pod");
    }
    once.pass(20);
    once.list("pod");
    assert_eq!(often.world.lock().kubernetes, once.world.lock().kubernetes);
    // What controllers make is no difference of a deployment by itself.
    let before = once.world.lock().clone();
    once.perform("k8s.delete", json!({ "kind": "pod", "name": "web-2", "namespace": "shop" }), "m-3").unwrap();
    assert_eq!(diff(&before, &once.world.lock()), Vec::<String>::new());
}

const SNAPSHOTS: &str = r#"
kubernetes:
  objects:
    - { apiVersion: snapshot.storage.k8s.io/v1, kind: VolumeSnapshotClass, metadata: { name: keeps }, driver: disk.csi.example.com, deletionPolicy: Retain }
    - { apiVersion: v1, kind: PersistentVolumeClaim, metadata: { name: data, namespace: shop }, spec: { volumeName: pv-1 }, status: { phase: Bound } }
    - { apiVersion: v1, kind: PersistentVolume, metadata: { name: pv-1 }, spec: { csi: { driver: disk.csi.example.com, volumeHandle: vol-1 } } }
"#;

fn snapshot(name: &str, class: &str, source: Value) -> Value {
    json!({ "object": {
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshot", "metadata": { "name": name, "namespace": "shop" },
        "spec": { "volumeSnapshotClassName": class, "source": source },
    } })
}

#[test]
fn a_snapshot_of_a_volume_is_ready_after_a_while_and_its_contents_stay_when_they_are_to_be_kept() {
    let stage = Stage::of(World::load(SNAPSHOTS).unwrap());
    let of_claim = json!({ "persistentVolumeClaimName": "data" });
    stage.perform("k8s.create", snapshot("one", "keeps", of_claim.clone()), "m-1").unwrap();
    stage.perform("k8s.create", snapshot("none", "other", of_claim), "m-2").unwrap();
    assert_eq!(stage.get("volumesnapshot", "one")["status"]["readyToUse"], false);
    stage.pass(11);
    let status = stage.get("volumesnapshot", "one")["status"].clone();
    assert_eq!((&status["readyToUse"], &status["restoreSize"]), (&json!(true), &json!("8Gi")), "{status}");
    let content = status["boundVolumeSnapshotContentName"].as_str().unwrap().to_owned();
    let find = || {
        let args = json!({ "kind": "volumesnapshotcontents.snapshot.storage.k8s.io", "name": content });
        stage.read("k8s.get", args).unwrap()["object"].clone()
    };
    assert!(find()["status"]["snapshotHandle"].as_str().unwrap().starts_with("snap-"), "{}", find());
    assert!(stage.get("volumesnapshot", "none")["status"]["error"]["message"].is_string());
    stage
        .perform("k8s.delete", json!({ "kind": "volumesnapshot", "name": "one", "namespace": "shop" }), "m-3")
        .unwrap();
    assert_eq!(find()["spec"]["deletionPolicy"], "Retain");
}

#[test]
fn a_claim_waits_for_the_snapshot_that_it_is_filled_from() {
    let stage = Stage::of(World::load(SNAPSHOTS).unwrap());
    let claim = json!({ "object": {
        "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "name": "again", "namespace": "shop" },
        "spec": { "dataSource": { "apiGroup": "snapshot.storage.k8s.io", "kind": "VolumeSnapshot", "name": "old" } },
    } });
    stage.perform("k8s.create", claim, "m-1").unwrap();
    stage.pass(60);
    assert_eq!(stage.get("pvc", "again")["status"]["phase"], "Pending");
    let content = json!({ "object": {
        "apiVersion": "snapshot.storage.k8s.io/v1", "kind": "VolumeSnapshotContent", "metadata": { "name": "old-content" },
        "spec": {
            "driver": "disk.csi.example.com", "deletionPolicy": "Retain", "source": { "snapshotHandle": "snap-77" },
            "volumeSnapshotRef": { "name": "old", "namespace": "shop" },
        },
    } });
    stage.perform("k8s.create", content, "m-2").unwrap();
    stage
        .perform("k8s.create", snapshot("old", "keeps", json!({ "volumeSnapshotContentName": "old-content" })), "m-3")
        .unwrap();
    stage.pass(20);
    assert_eq!(stage.get("volumesnapshot", "old")["status"]["readyToUse"], true);
    assert_eq!(stage.get("pvc", "again")["status"]["phase"], "Bound");
}
