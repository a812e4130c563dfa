//! The databases of RDS in a sandbox's AWS account: what they are, what becomes of them as time passes, and looking at them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::aws::View;
use super::content::sha256_hex;
use super::world::{Child, Named};
use crate::model::fault::OpError;
use crate::model::{Timestamp, Value};
use crate::ops::aws::rds::{Backups, Database, Kind, Look, Member, Snapshot, Which, newest_first};

/// Logs are shipped every five minutes: a database can be restored up to the last time they were.
const SHIPPED_EVERY: i64 = 300;

/// The databases of an account, with their snapshots.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Rds {
    /// What the names of endpoints end in.
    pub suffix: String,
    /// Instances by identifier.
    pub instances: Named<Database>,
    /// Clusters by identifier.
    pub clusters: Named<Database>,
    /// Snapshots of instances by identifier.
    pub snapshots: Named<Snapshot>,
    /// Snapshots of clusters by identifier.
    pub cluster_snapshots: Named<Snapshot>,
    /// In which status that is not good a restore under this name ends: `incompatible-network`.
    pub restores_end: BTreeMap<String, String>,
    /// What becomes of things as time passes, by what they are (`db:chat`, `snapshot:chat-1`).
    pub courses: Named<Course>,
    /// How the account is reached, in a plan over a live one.
    #[serde(skip)]
    pub label: Option<String>,
}

/// What becomes of a thing.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Course {
    /// Which status it has from when on, in order.
    pub steps: Vec<(Timestamp, String)>,
    /// What was carried over to it when it was restored.
    pub carried: Vec<String>,
    /// What was not.
    pub left: Vec<String>,
}

impl Default for Rds {
    fn default() -> Self {
        Self {
            suffix: "c0ffee.eu-west-1.rds.amazonaws.com".to_owned(),
            instances: Named::new(),
            clusters: Named::new(),
            snapshots: Named::new(),
            cluster_snapshots: Named::new(),
            restores_end: BTreeMap::new(),
            courses: Named::new(),
            label: None,
        }
    }
}

impl Rds {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }

    /// The databases of this kind.
    #[must_use]
    pub fn databases(&self, kind: Kind) -> &Named<Database> {
        match kind {
            Kind::Instance => &self.instances,
            Kind::Cluster => &self.clusters,
        }
    }

    /// The same, to be changed.
    pub fn databases_mut(&mut self, kind: Kind) -> &mut Named<Database> {
        match kind {
            Kind::Instance => &mut self.instances,
            Kind::Cluster => &mut self.clusters,
        }
    }

    /// The snapshots of this kind.
    #[must_use]
    pub fn snapshots(&self, kind: Kind) -> &Named<Snapshot> {
        match kind {
            Kind::Instance => &self.snapshots,
            Kind::Cluster => &self.cluster_snapshots,
        }
    }

    /// The same, to be changed.
    pub fn snapshots_mut(&mut self, kind: Kind) -> &mut Named<Snapshot> {
        match kind {
            Kind::Instance => &mut self.snapshots,
            Kind::Cluster => &mut self.cluster_snapshots,
        }
    }

    /// Gives a database its endpoints.
    pub fn name_endpoints(&self, kind: Kind, found: &mut Database) {
        let (id, suffix) = (&found.id, &self.suffix);
        match kind {
            Kind::Instance => found.endpoint = format!("{id}.{suffix}"),
            Kind::Cluster => {
                found.endpoint = format!("{id}.cluster-{suffix}");
                found.reader_endpoint = format!("{id}.cluster-ro-{suffix}");
            }
        }
    }

    /// Fills in what `world.yaml` may leave out.
    pub fn complete(&mut self, account: &str, region: &str) {
        for kind in [Kind::Instance, Kind::Cluster] {
            for id in self.databases(kind).keys().cloned().collect::<Vec<_>>() {
                let Some(mut found) = self.databases(kind).get(&id).cloned() else { continue };
                found.exists = true;
                found.id.clone_from(&id);
                let or = |text: &mut String, other: &str| {
                    if text.is_empty() {
                        other.clone_into(text);
                    }
                };
                or(&mut found.status, "available");
                or(&mut found.arn, &format!("arn:aws:rds:{region}:{account}:{}", kind.of(&id)));
                or(&mut found.resource_id, &made_id(kind, &id));
                or(&mut found.engine, if kind == Kind::Cluster { "aurora-postgresql" } else { "postgres" });
                or(&mut found.engine_version, "14.6");
                or(&mut found.parameters, "in-sync");
                found.port = found.settings.port.unwrap_or(5432);
                found.settings.port = Some(found.port);
                if found.endpoint.is_empty() {
                    self.name_endpoints(kind, &mut found);
                }
                if !found.cluster.is_empty()
                    && let Some(cluster) = self.clusters.get_mut(&found.cluster)
                    && !cluster.members.iter().any(|member| member.id == id)
                {
                    let writer = cluster.members.is_empty();
                    cluster.members.push(Member { id: id.clone(), writer });
                }
                self.databases_mut(kind).insert(id, found);
            }
            for id in self.snapshots(kind).keys().cloned().collect::<Vec<_>>() {
                let Some(mut found) = self.snapshots(kind).get(&id).cloned() else { continue };
                found.exists = true;
                found.id.clone_from(&id);
                found.percent = 100;
                if found.status.is_empty() {
                    "available".clone_into(&mut found.status);
                }
                if found.made.is_empty() {
                    found.made = if id.starts_with("rds:") { "automated" } else { "manual" }.to_owned();
                }
                if found.data_until.is_empty() {
                    found.data_until.clone_from(&found.created_at);
                }
                if let Some(source) = self.databases(kind).get(&found.source) {
                    let or = |text: &mut String, other: &String| {
                        if text.is_empty() {
                            text.clone_from(other);
                        }
                    };
                    or(&mut found.source_resource_id, &source.resource_id);
                    or(&mut found.engine, &source.engine);
                    or(&mut found.engine_version, &source.engine_version);
                }
                self.snapshots_mut(kind).insert(id, found);
            }
        }
    }
}

/// `db-1A2B…`, as AWS makes them.
pub fn made_id(kind: Kind, from: &str) -> String {
    let prefix = if kind == Kind::Cluster { "cluster" } else { "db" };
    let sum = sha256_hex(format!("{prefix} {from}").as_bytes()).to_uppercase();
    format!("{prefix}-{}", &sum[..26])
}

impl<'w> View<'w> {
    fn rds(&self) -> &'w Rds {
        &self.world.aws.rds
    }

    /// What is being done to a database.
    fn at_work(&self, kind: Kind, id: &str) -> Option<&'static str> {
        let on = |child: &&Child| {
            let of: Kind =
                child.args.get("kind").cloned().and_then(|kind| serde_json::from_value(kind).ok()).unwrap_or_default();
            child.ended.is_none() && of == kind && child.args.get("id").and_then(Value::as_str) == Some(id)
        };
        let child = self.world.children.values().find(on)?;
        match child.op.as_str() {
            "rds.delete" => Some("deleting"),
            "rds.rename" => Some("renaming"),
            _ => None,
        }
    }

    fn seen(&self, kind: Kind, found: &Database) -> Database {
        let mut seen = found.clone();
        if let Some(status) = self.status(&self.rds().courses, &kind.of(&found.id)) {
            status.clone_into(&mut seen.status);
        }
        if let Some(status) = self.at_work(kind, &found.id) {
            status.clone_into(&mut seen.status);
        }
        if seen.status == "creating" && kind == Kind::Instance {
            seen.endpoint.clear();
        }
        if seen.latest_restorable.is_empty() && seen.settings.backup_retention_days.unwrap_or_default() > 0 {
            let shipped = self.now.as_second().div_euclid(SHIPPED_EVERY) * SHIPPED_EVERY;
            seen.latest_restorable = Timestamp::from_second(shipped).map(|at| at.to_string()).unwrap_or_default();
        }
        seen
    }

    fn taken(&self, kind: Kind, found: &Snapshot) -> Snapshot {
        let mut seen = found.clone();
        if let Some(status) = self.status(&self.rds().courses, &kind.snapshot(&found.id)) {
            status.clone_into(&mut seen.status);
            seen.percent = if status == "available" { 100 } else { seen.percent };
        }
        seen
    }
}

impl Look for View<'_> {
    fn database(&self, kind: Kind, id: &str) -> Result<Option<Database>, OpError> {
        Ok(self.rds().databases(kind).get(id).map(|found| self.seen(kind, found)))
    }

    fn by_resource(&self, kind: Kind, resource_id: &str) -> Result<Option<Database>, OpError> {
        let found = self.rds().databases(kind).values().find(|found| found.resource_id == resource_id);
        Ok(found.map(|found| self.seen(kind, found)))
    }

    fn databases(&self, kind: Kind) -> Result<Vec<Database>, OpError> {
        Ok(self.rds().databases(kind).values().map(|found| self.seen(kind, found)).collect())
    }

    fn snapshot(&self, kind: Kind, id: &str) -> Result<Option<Snapshot>, OpError> {
        Ok(self.rds().snapshots(kind).get(id).map(|found| self.taken(kind, found)))
    }

    fn snapshots(&self, kind: Kind, which: Which<'_>) -> Result<Vec<Snapshot>, OpError> {
        let fits = |found: &&Snapshot| {
            which.of.is_none_or(|of| found.source == of)
                && which.resource_id.is_none_or(|id| found.source_resource_id == id)
                && which.made.is_none_or(|made| found.made == made)
        };
        let mut all: Vec<Snapshot> =
            self.rds().snapshots(kind).values().filter(fits).map(|found| self.taken(kind, found)).collect();
        newest_first(&mut all);
        Ok(all)
    }

    fn backups(&self, kind: Kind, id: &str) -> Result<Backups, OpError> {
        Ok(self.database(kind, id)?.map(|found| Backups::of(&found)).unwrap_or_default())
    }

    fn events(&self, _: Kind, _: &str) -> Result<Vec<String>, OpError> {
        Ok(Vec::new())
    }
}

/// An instant later by so much.
pub fn later(at: Timestamp, by: Duration) -> Timestamp {
    at.saturating_add(by).unwrap_or(at)
}
