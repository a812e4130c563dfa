//! What becomes of an object of Kubernetes by itself some time after a program was run, as the playbook's own model says it.

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::controllers;
use super::kubernetes::Kubernetes;
use super::veil::marked;
use crate::model::amount::parse_duration;
use crate::model::{Timestamp, Value};
use crate::ops::helm::client::Cluster;
use crate::ops::k8s::{Kind, Named, cluster_part, merge};

/// A change of an object, and how long after.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Later {
    /// How long after: `5m`.
    pub after: String,
    /// What changes, as a merge patch; nothing when it is gone then.
    pub to: Value,
}

/// A change whose time is known.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Due {
    /// When.
    pub at: Timestamp,
    /// Of which object, by its key.
    pub key: String,
    /// What changes, as a merge patch; null when it is gone then.
    pub to: Value,
    /// Whether the object comes to be by it.
    pub begins: bool,
}

fn instant(after: &str, now: Timestamp) -> Result<Timestamp, String> {
    let wait = parse_duration(after).map_err(|_| format!("`{after}` is no duration: write it like 5m"))?;
    Ok(now.saturating_add(wait).unwrap_or(Timestamp::MAX))
}

/// What becomes of an object, in the order of time: first that it is there. The fault when that cannot be told.
pub(super) fn course(
    key: &str,
    manifest: &Value,
    after: Option<&str>,
    then: &[Later],
    now: Timestamp,
) -> Result<Vec<Due>, String> {
    let key = key.to_owned();
    let at = after.map_or(Ok(now), |after| instant(after, now))?;
    let mut due = vec![Due { at, key: key.clone(), to: manifest.clone(), begins: true }];
    for later in then {
        due.push(Due { at: instant(&later.after, now)?, key: key.clone(), to: later.to.clone(), begins: false });
    }
    due.sort_by_key(|due| due.at);
    Ok(due)
}

/// Which object a deed means; none when only the run will know its name. The fault when it is none.
pub(super) fn meant(manifest: &Value, cluster: &Cluster) -> Result<Option<Named>, String> {
    let hidden = |path: &str| manifest.pointer(path).and_then(Value::as_str).and_then(marked).is_some();
    if hidden("/metadata/name") || hidden("/metadata/namespace") {
        return Ok(None);
    }
    let named = Named::of_manifest(manifest, cluster).map_err(|error| error.message)?;
    named.check().map_err(|error| error.message)?;
    Ok(Some(named))
}

/// The same of one that is to go.
pub(super) fn named(kind: &str, namespace: Option<&str>, name: &str, cluster: &Cluster) -> Result<Named, String> {
    let (kind, namespace) = (Kind::parse(kind)?, namespace.filter(|text| !text.is_empty()).map(str::to_owned));
    let named = Named { kind, namespace, name: name.to_owned(), cluster: cluster.clone() };
    named.check().map_err(|error| error.message)?;
    Ok(named)
}

/// Where objects of this kind are, as far as a plan knows: `current/shop/job`.
pub(super) fn place(kind: &str, namespace: &str, cluster: &Cluster) -> Result<String, String> {
    let namespace = if namespace.is_empty() { "-" } else { namespace };
    Ok(format!("{}/{namespace}/{}", cluster_part(cluster), Kind::parse(kind)?.plain()))
}

/// The same of the object that a manifest describes.
pub(super) fn place_of(manifest: &Value, cluster: &Cluster) -> Result<String, String> {
    let kind = Kind::of_object(manifest)?;
    let namespace = manifest.pointer("/metadata/namespace").and_then(Value::as_str).unwrap_or_default();
    let namespace = if namespace.is_empty() { "-" } else { namespace };
    Ok(format!("{}/{namespace}/{}", cluster_part(cluster), kind.plain()))
}

impl Kubernetes {
    /// What an object is from now on, by itself: all that was to become of a former one of its name is forgotten.
    pub(super) fn run(&mut self, key: &str, course: Vec<Due>) {
        self.later.retain(|due| due.key != key);
        self.later.extend(course);
        self.later.sort_by_key(|due| due.at);
    }

    /// When something becomes of an object by itself the next time.
    pub(super) fn next_due(&self) -> Option<Timestamp> {
        self.later.first().map(|due| due.at)
    }

    /// Lets the next thing become of an object.
    pub(super) fn become_due(&mut self, planned: bool) {
        if self.later.is_empty() {
            return;
        }
        let Due { at, key, to, begins } = self.later.remove(0);
        if to.is_null() {
            self.remove(&key, false, at);
            return;
        }
        let mut object = match self.objects.get(&key) {
            Some(held) if !begins => held.object.clone(),
            None if !begins => return,
            _ => json!({}),
        };
        merge(&mut object, &to);
        // A status that is told stands; what has none is a controller's to move on.
        if to["status"].is_object() {
            if object["metadata"]["creationTimestamp"].is_null() {
                object["metadata"]["creationTimestamp"] = json!(controllers::stamp(at));
            }
            self.store(&key, object, None, planned);
        } else {
            self.store(&key, object, Some(at), planned);
        }
    }
}
