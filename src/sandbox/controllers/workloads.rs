//! Deployments, ReplicaSets and StatefulSets: the Pods they make, and what they tell of them.

use serde_json::json;

use super::pods::{POD_MS, is_ready};
use super::{Desk, letters, text};
use crate::model::Value;

/// How long Pods take to stop, in milliseconds.
const STOP_MS: u64 = 3_000;

fn wanted(object: &Value) -> u64 {
    object["spec"]["replicas"].as_u64().unwrap_or(1)
}

/// Whether a workload is left as it was declared: nobody has changed it, and no Pods of its are there.
fn is_still(desk: &Desk<'_>, key: &str) -> bool {
    desk.held(key).is_none_or(|held| held.since.is_none()) && desk.owned(key, "pod").is_empty()
}

/// How many are how far; zeros are left out, as the real one does.
fn counts(object: &Value, all: u64, updated: u64, ready: u64) -> Value {
    let mut status = json!({ "observedGeneration": object["metadata"]["generation"] });
    for (name, count) in
        [("replicas", all), ("updatedReplicas", updated), ("readyReplicas", ready), ("availableReplicas", ready)]
    {
        if count > 0 {
            status[name] = json!(count);
        }
    }
    status
}

/// Where only a part of the cluster is known: the status alone, as it will be.
fn foreseen(desk: &mut Desk<'_>, key: &str, object: &Value) {
    if desk.passed(key, POD_MS) {
        let count = wanted(object);
        let status = if object["kind"] == "Deployment" {
            rolled_out(counts(object, count, count, count), true)
        } else {
            counts(object, count, count, count)
        };
        desk.set_status(key, status);
    }
}

fn rolled_out(mut status: Value, complete: bool) -> Value {
    let (available, reason) =
        if complete { ("True", "NewReplicaSetAvailable") } else { ("False", "ReplicaSetUpdated") };
    status["conditions"] = json!([
        { "type": "Available", "status": available, "reason": if complete { "MinimumReplicasAvailable" } else { "MinimumReplicasUnavailable" } },
        { "type": "Progressing", "status": "True", "reason": reason },
    ]);
    status
}

/// A Deployment: one ReplicaSet for the template that it has now; those of earlier ones stay until it is ready.
pub(super) fn deployment(desk: &mut Desk<'_>, key: &str) {
    let Some(object) = desk.object(key).cloned() else { return };
    let sets = desk.owned(key, "replicaset");
    if desk.held(key).is_none_or(|held| held.since.is_none()) && sets.is_empty() {
        return;
    }
    if desk.manner.partial {
        return foreseen(desk, key, &object);
    }
    let hash = letters(&object["spec"]["template"].to_string(), 9);
    let name = format!("{}-{hash}", text(&object, "/metadata/name"));
    let current = desk.sibling(key, "replicaset", &name);
    let mut template = object["spec"]["template"].clone();
    template["metadata"]["labels"]["pod-template-hash"] = json!(hash);
    let set = json!({
        "apiVersion": "apps/v1", "kind": "ReplicaSet", "metadata": { "labels": template["metadata"]["labels"] },
        "spec": { "replicas": wanted(&object), "selector": object["spec"]["selector"], "template": template },
    });
    desk.make(&current, set, Some(&object));
    desk.edit(&current, |set| set["spec"]["replicas"] = json!(wanted(&object)));
    let number = |object: &Value, name: &str| object["status"][name].as_u64().unwrap_or(0);
    let now = desk.object(&current).cloned().unwrap_or_default();
    let (mut all, mut ready) = (number(&now, "replicas"), number(&now, "readyReplicas"));
    let complete = ready == wanted(&object) && all == ready && now["status"].is_object();
    for (other, set) in sets.into_iter().filter(|(other, _)| *other != current) {
        if complete {
            desk.remove(&other);
        } else {
            all += number(&set, "replicas");
            ready += number(&set, "readyReplicas");
        }
    }
    desk.set_status(key, rolled_out(counts(&object, all, number(&now, "replicas"), ready), complete));
}

/// A StatefulSet or ReplicaSet: as many Pods as are wanted, and claims for what each keeps.
pub(super) fn pods_of(desk: &mut Desk<'_>, key: &str) {
    let Some(object) = desk.object(key).cloned() else { return };
    if is_still(desk, key) {
        return;
    }
    if desk.manner.partial {
        return foreseen(desk, key, &object);
    }
    let ordered = object["kind"] == "StatefulSet";
    let own = text(&object, "/metadata/name").to_owned();
    let name_of = |place: u64| {
        if ordered { format!("{own}-{place}") } else { format!("{own}-{}", letters(&format!("{own} {place}"), 5)) }
    };
    let going = !object["metadata"]["deletionTimestamp"].is_null();
    let count = if going { 0 } else { wanted(&object) };
    let names: Vec<String> = (0..count).map(name_of).collect();
    let unwanted = |pod: &Value| !names.iter().any(|name| *name == text(pod, "/metadata/name"));
    let there = desk.owned(key, "pod");
    let surplus: Vec<String> = there.iter().filter(|(_, pod)| unwanted(pod)).map(|(key, _)| key.clone()).collect();
    if surplus.is_empty() {
        desk.defer(key, None);
        if going {
            return desk.remove(key);
        }
    } else if desk.due(key).is_some_and(|due| due <= desk.at) {
        desk.defer(key, None);
        surplus.iter().for_each(|pod| desk.remove(pod));
        if going {
            return desk.remove(key);
        }
    } else if desk.due(key).is_none() {
        let at = super::stamp(desk.at);
        for pod in &surplus {
            desk.edit(pod, |pod| pod["metadata"]["deletionTimestamp"] = json!(at));
        }
        desk.defer(key, Some(STOP_MS));
    } else if let Some(due) = desk.due(key) {
        desk.clusters.wake(key, due);
    }
    for name in &names {
        claims(desk, key, &object, name);
        let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": object["spec"]["template"]["metadata"], "spec": object["spec"]["template"]["spec"] });
        if pod["metadata"].is_null() {
            pod["metadata"] = json!({});
        }
        if ordered {
            pod["metadata"]["labels"]["statefulset.kubernetes.io/pod-name"] = json!(name);
        }
        let pod_key = desk.sibling(key, "pod", name);
        desk.make(&pod_key, pod, Some(&object));
    }
    let now = desk.owned(key, "pod");
    let all = now.len() as u64;
    let ready = now.iter().filter(|(_, pod)| is_ready(pod)).count() as u64;
    desk.set_status(key, counts(&object, all, all, ready));
}

/// The claims of a Pod, which stay when it goes.
fn claims(desk: &mut Desk<'_>, key: &str, set: &Value, pod: &str) {
    for template in set["spec"]["volumeClaimTemplates"].as_array().into_iter().flatten() {
        let claim = json!({
            "apiVersion": "v1", "kind": "PersistentVolumeClaim", "metadata": { "labels": set["spec"]["selector"]["matchLabels"] },
            "spec": template["spec"],
        });
        let name = format!("{}-{pod}", text(template, "/metadata/name"));
        let claim_key = desk.sibling(key, "persistentvolumeclaim", &name);
        desk.make(&claim_key, claim, None);
    }
}
