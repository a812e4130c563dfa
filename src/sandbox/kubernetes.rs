//! Objects of Kubernetes in the sandbox, of any kind: kept as data; controllers (`controllers/`) move them on in the world's own time.

use std::borrow::Cow;
use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::content::sha256_hex;
use super::controllers::pgo::{Pgo, PgoSeed};
use super::controllers::{self, Manner};
use super::later::Due;
use super::veil;
use super::world::Named as Map;
use crate::model::{Timestamp, Value};
use crate::ops::helm::client::Cluster;
use crate::ops::k8s::Named;

/// All clusters of a world.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Kubernetes {
    /// Objects by `CLUSTER/NAMESPACE/KIND/NAME`.
    pub objects: Map<Held>,
    /// How many versions there have been.
    pub versions: u64,
    /// Jobs that fail, as `NAMESPACE/NAME`.
    pub failing: Vec<String>,
    /// What one may not do, as `VERB KIND`.
    pub denied: Vec<String>,
    /// What Pods have printed, by `NAMESPACE/NAME`.
    #[serde(default)]
    pub logs: BTreeMap<String, String>,
    /// When controllers have to look at what, by the key of the object.
    #[serde(default)]
    pub agenda: BTreeMap<String, Timestamp>,
    /// The Crunchy PostgreSQL Operator, where it runs.
    #[serde(default)]
    pub pgo: Option<Pgo>,
    /// What becomes of objects by themselves, as models have said it, in the order of time.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub later: Vec<Due>,
    /// Where a plan has made objects whose names only the run will know: `CLUSTER/NAMESPACE/KIND`, and what one of them is.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub unnamed: BTreeMap<String, Value>,
}

/// An object as the world holds it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Held {
    /// The object, with the status that it had when it was last changed.
    pub object: Value,
    /// When what is wanted of it was last changed; none since the world began.
    pub since: Option<Timestamp>,
    /// What was last applied to it.
    pub applied: Value,
    /// Whether a controller made it.
    #[serde(default)]
    pub derived: bool,
    /// When its controller goes on with what it has begun.
    #[serde(default)]
    pub due: Option<Timestamp>,
}

impl Held {
    /// An object that is there, and of which nothing more is known.
    #[must_use]
    pub fn of(object: Value) -> Self {
        Self { object, since: None, applied: Value::Null, derived: false, due: None }
    }
}

/// Kubernetes in `world.yaml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct KubernetesSeed {
    /// Objects of the cluster that playbooks work on when they name none.
    #[serde(default)]
    pub objects: Vec<Value>,
    /// Objects of other clusters, by context.
    #[serde(default)]
    pub contexts: BTreeMap<String, Vec<Value>>,
    /// Jobs that fail, as `NAMESPACE/NAME`, with `*`.
    #[serde(default)]
    pub failing: Vec<String>,
    /// What one may not do, as `VERB KIND`.
    #[serde(default)]
    pub denied: Vec<String>,
    /// What Pods have printed, by `NAMESPACE/NAME`.
    #[serde(default)]
    pub logs: BTreeMap<String, String>,
    /// The Crunchy PostgreSQL Operator with its clusters; it does not run when absent.
    #[serde(default)]
    pub pgo: Option<PgoSeed>,
}

impl KubernetesSeed {
    /// The clusters that are declared.
    ///
    /// # Errors
    /// Which object is none, and why.
    pub fn build(self, now: Timestamp) -> Result<Kubernetes, (String, String)> {
        let (failing, denied, logs) = (self.failing, self.denied, self.logs);
        let mut built = Kubernetes { failing, denied, logs, ..Kubernetes::default() };
        let contexts = self.contexts.into_iter().map(|(context, objects)| (Some(context), objects));
        for (context, objects) in std::iter::once((None, self.objects)).chain(contexts) {
            let at = context.as_ref().map_or_else(|| "objects".to_owned(), |name| format!("contexts.{name}"));
            for (place, object) in objects.into_iter().enumerate() {
                let cluster = Cluster { kubeconfig: None, context: context.clone() };
                let named = Named::of_manifest(&object, &cluster).map_err(|e| (format!("{at}[{place}]"), e.message))?;
                built.put(&named, object, None, false);
            }
        }
        if let Some(pgo) = self.pgo {
            pgo.build(&mut built, now).map_err(|(at, what)| (format!("pgo.{at}"), what))?;
        }
        Ok(built)
    }
}

impl Kubernetes {
    /// Puts an object there, as a new version of it. `planned`: what only the run will know is marked. From `since` on controllers
    /// look at it.
    pub fn put(&mut self, named: &Named, object: Value, since: Option<Timestamp>, planned: bool) -> Value {
        self.store(&named.key(), object, since, planned)
    }

    /// As [`Kubernetes::put`], by its key.
    pub(super) fn store(&mut self, key: &str, mut object: Value, since: Option<Timestamp>, planned: bool) -> Value {
        self.versions += 1;
        let old = self.objects.get(key).cloned();
        let given = |what: &str| veil::mark(&format!("the {what} of {key}"));
        let metadata = &mut object["metadata"];
        metadata["resourceVersion"] = if planned { json!(given("version")) } else { json!(self.versions.to_string()) };
        if !metadata["uid"].is_string() {
            let sum = sha256_hex(format!("{key} {}", self.versions).as_bytes());
            let uid = format!("{}-{}-4000-8000-{}", &sum[..8], &sum[8..12], &sum[12..24]);
            metadata["uid"] = if planned { json!(given("UID")) } else { json!(uid) };
        }
        if let Some(at) = since.filter(|_| old.is_none() && !metadata["creationTimestamp"].is_string()) {
            metadata["creationTimestamp"] = json!(controllers::stamp(at));
        }
        let generation = old.as_ref().map_or(0, |old| old.object["metadata"]["generation"].as_u64().unwrap_or(1));
        let differs = old.as_ref().is_none_or(|old| old.object["spec"] != object["spec"]);
        if object["spec"].is_object() {
            object["metadata"]["generation"] = json!(if differs { generation + 1 } else { generation });
        }
        let mut held = old.unwrap_or_else(|| Held::of(Value::Null));
        if let Some(at) = since {
            if differs {
                held.since = since;
            }
            self.wake(key, at);
        }
        held.object = object.clone();
        self.objects.insert(key.to_owned(), held);
        object
    }

    /// Has a controller look at an object, at this instant or before.
    pub(super) fn wake(&mut self, key: &str, at: Timestamp) {
        let due = self.agenda.entry(key.to_owned()).or_insert(at);
        *due = at.min(*due);
    }

    /// As it is at an instant, when its controllers have done what they had to until then.
    #[must_use]
    pub fn settled(&self, now: Timestamp, manner: Manner) -> Cow<'_, Self> {
        if !self.is_due(now) {
            return Cow::Borrowed(self);
        }
        let mut settled = self.clone();
        controllers::settle(&mut settled, now, manner);
        Cow::Owned(settled)
    }

    /// Whether a controller has anything to do by then.
    #[must_use]
    pub fn is_due(&self, now: Timestamp) -> bool {
        self.agenda.values().copied().chain(self.next_due()).any(|at| at <= now)
    }

    /// Takes an object away, with all that it owns or that lies in it unless that is to stay. Controllers are told.
    pub fn remove(&mut self, key: &str, orphan: bool, now: Timestamp) {
        let Some(held) = self.objects.remove(key) else { return };
        self.wake(key, now);
        for owner in controllers::owners(key, &held.object) {
            self.wake(&owner, now);
        }
        let uid = held.object["metadata"]["uid"].clone();
        let is_owner = |reference: &Value| reference["uid"] == uid;
        let owned = |object: &Value| {
            object["metadata"]["ownerReferences"].as_array().is_some_and(|owners| owners.iter().any(is_owner))
        };
        let mut parts = key.split('/');
        let (cluster, kind, name) = (parts.next().unwrap_or_default(), parts.nth(1), parts.next().unwrap_or_default());
        let within = format!("{cluster}/{name}/");
        let below = |other: &str| kind == Some("namespace") && other.starts_with(&within);
        let after: Vec<String> = self
            .objects
            .iter()
            .filter(|(key, held)| owned(&held.object) || below(key))
            .map(|(key, _)| key.clone())
            .collect();
        for other in after {
            if !orphan || below(&other) {
                self.remove(&other, false, now);
            } else if let Some(held) = self.objects.get_mut(&other)
                && let Some(owners) = held.object["metadata"]["ownerReferences"].as_array_mut()
            {
                owners.retain(|reference| !is_owner(reference));
            }
        }
    }

    /// What makes up the clusters: what is wanted of each object, not which version it is; not what controllers make of it.
    #[must_use]
    pub fn standing(&self) -> Value {
        let wanted = self.objects.iter().filter(|(_, held)| !held.derived);
        let mut all: Value = wanted.map(|(key, held)| (key.clone(), crate::ops::k8s::wanted(&held.object))).collect();
        if let Some(pgo) = &self.pgo {
            all["data"] = pgo.standing();
        }
        all
    }
}
