//! What a cluster's status says: conditions, and Events beside it.

use serde_json::json;

use super::{Cluster, Desk};
use crate::model::Value;
use crate::sandbox::controllers::{letters, stamp};

/// A condition's status and reason.
#[must_use]
pub fn condition<'v>(status: &'v Value, kind: &str) -> Option<(&'v str, &'v str)> {
    let found = status["conditions"].as_array()?.iter().find(|one| one["type"] == kind)?;
    Some((found["status"].as_str().unwrap_or_default(), found["reason"].as_str().unwrap_or_default()))
}

/// Whether a condition is true.
#[must_use]
pub fn is_true(status: &Value, kind: &str) -> bool {
    condition(status, kind).is_some_and(|(truth, _)| truth == "True")
}

/// Sets a condition; the time of its last change stays unless its status changes.
pub(super) fn set(desk: &Desk<'_>, cluster: &mut Cluster, kind: &str, truth: &str, reason: &str, message: &str) {
    let generation = cluster.object["metadata"]["generation"].clone();
    let status = &mut cluster.object["status"];
    let mut new = json!({
        "type": kind, "status": truth, "reason": reason, "message": message, "lastTransitionTime": stamp(desk.at),
        "observedGeneration": generation,
    });
    let old = status["conditions"].as_array().into_iter().flatten().find(|one| one["type"] == kind).cloned();
    if let Some(old) = old.filter(|old| old["status"] == truth) {
        new["lastTransitionTime"] = old["lastTransitionTime"].clone();
        if old["reason"] == reason && old["message"] == message {
            return;
        }
    }
    remove(cluster, kind);
    let status = &mut cluster.object["status"];
    match status["conditions"].as_array_mut() {
        Some(all) => {
            all.push(new);
            all.sort_by_key(|one| one["type"].as_str().unwrap_or_default().to_owned());
        }
        None => status["conditions"] = json!([new]),
    }
}

/// Takes a condition away.
pub(super) fn remove(cluster: &mut Cluster, kind: &str) {
    if let Some(all) = cluster.object["status"]["conditions"].as_array_mut() {
        all.retain(|one| one["type"] != kind);
    }
}

/// Writes an Event, unless the operator is declared to write none.
pub(super) fn event(desk: &mut Desk<'_>, cluster: &Cluster, kind: &str, reason: &str, message: &str) {
    if desk.clusters.pgo.as_ref().is_none_or(|pgo| pgo.operator.silent) {
        return;
    }
    let metadata = &cluster.object["metadata"];
    let id = cluster.object["status"]["pgbackrest"]["restore"]["id"].as_str().unwrap_or_default();
    let name =
        format!("{}.{}", cluster.name, letters(&format!("{reason} {message} {id} {}", metadata["generation"]), 16));
    let key = desk.sibling(&cluster.key, "event", &name);
    let at = stamp(desk.at);
    let object = json!({
        "apiVersion": "v1", "kind": "Event", "metadata": {}, "type": kind, "reason": reason, "message": message, "count": 1,
        "firstTimestamp": at, "lastTimestamp": at, "source": { "component": "postgrescluster-controller" },
        "involvedObject": {
            "apiVersion": cluster.object["apiVersion"], "kind": "PostgresCluster", "name": metadata["name"],
            "namespace": metadata["namespace"], "uid": metadata["uid"],
        },
    });
    desk.make(&key, object, None);
}

/// How a Job stands, as the status of a restore or backup tells it: what is zero is not there.
pub(super) fn of_job(id: &str, job: Option<&Value>, old: &Value) -> Value {
    let Some(job) = job else { return old.clone() };
    let ended = crate::sandbox::controllers::jobs::ended(job);
    let mut told = json!({ "id": id, "finished": ended.is_some() || (old["id"] == id && old["finished"] == true) });
    for name in ["active", "succeeded", "failed", "startTime", "completionTime"] {
        let value = &job["status"][name];
        if !value.is_null() && *value != json!(0) {
            told[name] = value.clone();
        }
    }
    told
}
