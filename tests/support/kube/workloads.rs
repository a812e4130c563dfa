//! The controllers, as far as statuses go: what a rollout comes to is set from outside.

use muster::model::Value;
use serde_json::json;

/// What becomes of Pods.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Pace {
    /// They run and are ready at once.
    Ready,
    /// They never start: as on a cluster without a node.
    Never,
    /// They never start, and the rollout's time is over.
    Exceeded,
    /// Somebody else plays the controllers.
    Elsewhere,
}

/// The status that the controller of this kind writes.
pub fn status(kind: &str, object: &Value, pace: Pace) -> Option<Value> {
    if pace == Pace::Elsewhere && !["Namespace", "CustomResourceDefinition"].contains(&kind) {
        return None;
    }
    let generation = &object["metadata"]["generation"];
    let wanted = object["spec"]["replicas"].as_u64().unwrap_or(1);
    let ready = if pace == Pace::Ready { wanted } else { 0 };
    let available = ready == wanted;
    let truth = |so: bool| if so { "True" } else { "False" };
    let mut status = match kind {
        "Deployment" => {
            let reason = match pace {
                Pace::Exceeded if wanted > 0 => "ProgressDeadlineExceeded",
                _ if available => "NewReplicaSetAvailable",
                _ => "ReplicaSetUpdated",
            };
            json!({
                "observedGeneration": generation, "conditions": [
                    { "type": "Available", "status": truth(available), "reason": "MinimumReplicas" },
                    { "type": "Progressing", "status": truth(reason != "ProgressDeadlineExceeded"), "reason": reason },
                ],
            })
        }
        "StatefulSet" | "ReplicaSet" => json!({ "observedGeneration": generation }),
        "DaemonSet" => {
            return Some(json!({
                "observedGeneration": generation, "currentNumberScheduled": 0, "desiredNumberScheduled": 0,
                "numberMisscheduled": 0, "numberReady": 0,
            }));
        }
        "Job" => {
            return Some(match pace {
                Pace::Ready => json!({
                    "succeeded": 1,
                    "conditions": [{ "type": "SuccessCriteriaMet", "status": "True" }, { "type": "Complete", "status": "True" }],
                }),
                Pace::Never | Pace::Elsewhere => json!({ "active": 1 }),
                Pace::Exceeded => json!({
                    "failed": 1, "conditions": [{ "type": "Failed", "status": "True", "reason": "DeadlineExceeded" }],
                }),
            });
        }
        "Pod" => {
            let ready = pace == Pace::Ready;
            return Some(json!({
                "phase": if ready { "Running" } else { "Pending" },
                "conditions": [{ "type": "Ready", "status": truth(ready) }],
            }));
        }
        "Namespace" => return Some(json!({ "phase": "Active" })),
        "PersistentVolumeClaim" if object["spec"]["volumeName"].is_string() => {
            return Some(json!({ "phase": "Bound" }));
        }
        "CustomResourceDefinition" => {
            return Some(json!({
                "acceptedNames": object["spec"]["names"], "storedVersions": ["v1"],
                "conditions": [{ "type": "NamesAccepted", "status": "True" }, { "type": "Established", "status": "True" }],
            }));
        }
        _ => return None,
    };
    for (name, count) in [
        ("replicas", wanted),
        ("updatedReplicas", wanted),
        ("readyReplicas", ready),
        ("availableReplicas", ready),
        ("unavailableReplicas", wanted - ready),
    ] {
        // Zeros are left out, as the real one does.
        if count > 0 {
            status[name] = json!(count);
        }
    }
    Some(status)
}
