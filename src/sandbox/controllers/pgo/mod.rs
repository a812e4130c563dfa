//! The Crunchy PostgreSQL Operator, version 5: what it makes of a PostgresCluster, in which order, with its traps.

mod backups;
mod data;
mod decide;
pub mod inside;
mod instances;
mod invariants;
mod loads;
mod options;
mod patroni;
mod repos;
mod restore;
mod seed;
mod statements;
mod status;
mod work;

use serde::{Deserialize, Serialize};
use serde_json::json;

pub use data::{Archived, Backup, Data, Fact, Stanza, Wal, rows};
pub use decide::{Decision, decide};
pub use invariants::writable_primaries;
pub use seed::PgoSeed;

pub(super) use patroni::{gone, is_instance, pod};
pub(super) use repos::claims_gone;
pub(super) use work::{Course, begin, course, try_ms};

use super::{Desk, text};
use crate::model::{Timestamp, Value};
use crate::sandbox::world::Named as Map;

/// What the names of its labels and annotations begin with.
pub(super) const L: &str = "postgres-operator.crunchydata.com";

/// The operator, and what its clusters hold.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Pgo {
    /// How it works.
    pub operator: Operator,
    /// What clusters hold, by the key of their object.
    pub data: Map<Data>,
    /// Repositories, by where they are.
    pub repos: Map<Stanza>,
    /// How many databases were made anew.
    #[serde(default)]
    pub made: u64,
}

/// How the operator works.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Operator {
    /// How long it takes until it looks at a change, in milliseconds.
    pub delay_ms: u64,
    /// It does nothing.
    pub dead: bool,
    /// It writes no Events.
    pub silent: bool,
}

impl Default for Operator {
    fn default() -> Self {
        Self { delay_ms: 1_000, dead: false, silent: false }
    }
}

/// A PostgresCluster as the operator works on it: its status is written when it is done.
#[derive(Clone)]
pub(super) struct Cluster {
    /// The object's key.
    pub key: String,
    /// Its name.
    pub name: String,
    /// The object.
    pub object: Value,
}

impl Cluster {
    /// The one under a key.
    pub fn at(desk: &Desk<'_>, key: &str) -> Option<Self> {
        let object = desk.object(key)?.clone();
        Some(Self { key: key.to_owned(), name: text(&object, "/metadata/name").to_owned(), object })
    }

    /// What of `spec.backups.pgbackrest` is set.
    pub fn pgbackrest(&self) -> &Value {
        &self.object["spec"]["backups"]["pgbackrest"]
    }

    /// The names of its repositories, in their order.
    pub fn repos(&self) -> Vec<String> {
        let repos = self.pgbackrest()["repos"].as_array().into_iter().flatten();
        repos.filter_map(|repo| repo["name"].as_str()).map(str::to_owned).collect()
    }

    /// The standby that it is to be.
    pub fn is_standby(&self) -> bool {
        self.object["spec"]["standby"]["enabled"] == true
    }

    /// Whether it is to be shut down.
    pub fn is_shutdown(&self) -> bool {
        self.object["spec"]["shutdown"] == true
    }

    /// Labels of something of it.
    pub fn labels(&self, more: &[(&str, &str)]) -> Value {
        let mut labels = self.object["spec"]["metadata"]["labels"].clone();
        if !labels.is_object() {
            labels = json!({});
        }
        labels[format!("{L}/cluster")] = json!(self.name);
        for (name, value) in more {
            labels[format!("{L}/{name}")] = json!(value);
        }
        labels
    }

    /// The instance that starts first.
    pub fn startup_instance(&self) -> &str {
        text(&self.object, "/status/startupInstance")
    }

    /// Sets or takes away a field of its status.
    pub fn set(&mut self, name: &str, value: Value) {
        if !self.object["status"].is_object() {
            self.object["status"] = json!({});
        }
        if value.is_null() {
            if let Some(status) = self.object["status"].as_object_mut() {
                status.remove(name);
            }
        } else {
            self.object["status"][name] = value;
        }
    }
}

/// A label of the operator's.
pub(super) fn label<'v>(object: &'v Value, name: &str) -> &'v str {
    object["metadata"]["labels"][format!("{L}/{name}")].as_str().unwrap_or_default()
}

/// The key of the cluster that something belongs to, by its label.
pub(super) fn cluster_of(desk: &Desk<'_>, key: &str, object: &Value) -> Option<String> {
    match label(object, "cluster") {
        "" => None,
        name => Some(desk.sibling(key, "postgrescluster", name)),
    }
}

/// The operator looks at a cluster.
pub(super) fn reconcile(desk: &mut Desk<'_>, key: &str) {
    let Some(operator) = desk.clusters.pgo.as_ref().map(|pgo| pgo.operator.clone()) else { return };
    if desk.object(key).is_none() {
        return repos::forget(desk, key);
    }
    if operator.dead {
        return;
    }
    match desk.due(key) {
        None => return desk.defer(key, Some(operator.delay_ms)),
        Some(due) if due > desk.at => return desk.clusters.wake(key, due),
        Some(_) => desk.defer(key, None),
    }
    let Some(mut cluster) = Cluster::at(desk, key) else { return };
    work_on(desk, &mut cluster);
    let status = cluster.object["status"].clone();
    if !status.is_null() {
        desk.set_status(key, status);
    }
}

fn work_on(desk: &mut Desk<'_>, cluster: &mut Cluster) {
    if cluster.object["spec"]["paused"] == true {
        return status::set(
            desk,
            cluster,
            "Progressing",
            "False",
            "Paused",
            "No spec changes will be applied and no other statuses will be updated.",
        );
    }
    status::remove(cluster, "Progressing");
    if restore::restore(desk, cluster) {
        return;
    }
    instances::instances(desk, cluster);
    backups::backups(desk, cluster);
    let generation = cluster.object["metadata"]["generation"].clone();
    cluster.set("observedGeneration", generation);
}

impl Pgo {
    /// What is archived in a repository of the system's newest timeline, at an instant.
    #[must_use]
    pub fn archived(&self, location: &str, now: Timestamp) -> Option<data::Archived> {
        let stanza = self.repos.get(location)?;
        let wal = stanza.wal_of(&stanza.system, None)?;
        Some(wal.archived(self.data.get(&wal.by), now))
    }

    /// What a cluster holds at an instant: what it replays as long as it is a standby.
    #[must_use]
    pub fn held(&self, key: &str, now: Timestamp) -> Option<Data> {
        let mut data = self.data.get(key)?.clone();
        if let Some(archived) = data.follows.as_ref().and_then(|location| self.followed(location, now)) {
            (data.timeline, data.facts) = (archived.timeline, archived.facts);
            data.idle_since = Some(archived.last_commit);
        }
        data.facts.retain(|fact| fact.at <= now);
        Some(data)
    }

    /// What a standby follows: an archive, or another cluster by streaming.
    fn followed(&self, from: &str, now: Timestamp) -> Option<data::Archived> {
        let Some(key) = from.strip_prefix("host:") else { return self.archived(from, now) };
        let data = self.data.get(key)?;
        let facts = data.facts.iter().filter(|fact| fact.at <= now).cloned().collect();
        Some(data::Archived { timeline: data.timeline, facts, until: now, last_commit: data.last_commit(now) })
    }

    /// What tells two states of it apart: which data clusters hold in the end, and who can get at them.
    #[must_use]
    pub fn standing(&self) -> Value {
        let shown = self.data.iter().map(|(key, data)| {
            let end = Timestamp::MAX;
            let held: Value = data::databases(&data.facts, end)
                .into_iter()
                .map(|name| {
                    let counted = data::tables(&data.facts, &name, end).into_iter().map(|table| {
                        let rows = rows(&data.facts, &name, &table, end);
                        (table, json!(rows))
                    });
                    (name.clone(), counted.collect::<Value>())
                })
                .collect();
            let shown = json!({
                "system": data.system, "databases": held, "zeroed": data.zeroed, "half": data.half,
                "closed": data.closed, "roles": data.roles,
            });
            (key.clone(), shown)
        });
        shown.collect()
    }
}
