//! Pods: scheduled, started, and ready after a while.

use serde_json::json;

use super::{Desk, stamp, text};
use crate::model::Value;

/// How long a Pod takes until it is ready, in milliseconds.
pub(super) const POD_MS: u64 = 5_000;

/// Moves a Pod on: until it is ready, or it ends with its Job.
pub(super) fn pod(desk: &mut Desk<'_>, key: &str) {
    let Some(object) = desk.object(key).cloned() else { return };
    // What a Job's Pod comes to, the Job knows; a declared Pod is what it is declared to be.
    if desk.held(key).is_none_or(|held| held.since.is_none())
        || ["Succeeded", "Failed"].contains(&text(&object, "/status/phase"))
    {
        return;
    }
    let ready = desk.passed(key, POD_MS);
    let of_job = object["metadata"]["labels"]["job-name"].is_string();
    desk.set_status(key, status(&object, ready, ready && !of_job, desk));
}

/// The status of a Pod that is running, or not yet.
pub(super) fn status(object: &Value, running: bool, ready: bool, desk: &Desk<'_>) -> Value {
    let at = stamp(desk.at);
    let truth = if ready { "True" } else { "False" };
    // What was so before is so since then.
    let old = &object["status"];
    if old["phase"] == if running { "Running" } else { "Pending" } && old["conditions"][0]["status"] == truth {
        return old.clone();
    }
    let containers = object["spec"]["containers"].as_array().into_iter().flatten().map(|container| {
        let state = if running {
            json!({ "running": { "startedAt": at } })
        } else {
            json!({ "waiting": { "reason": "ContainerCreating" } })
        };
        json!({ "name": container["name"], "image": container["image"], "ready": ready, "restartCount": 0, "state": state })
    });
    json!({
        "phase": if running { "Running" } else { "Pending" },
        "conditions": [{ "type": "Ready", "status": truth, "lastTransitionTime": at }],
        "containerStatuses": containers.collect::<Vec<_>>(),
    })
}

/// Whether a Pod is ready, and not about to go.
pub(super) fn is_ready(object: &Value) -> bool {
    let conditions = object["status"]["conditions"].as_array().into_iter().flatten();
    let ready = conditions.into_iter().any(|one| one["type"] == "Ready" && one["status"] == "True");
    ready && object["metadata"]["deletionTimestamp"].is_null()
}
