//! PostgresClusters in `world.yaml`: a few lines each, of which the operator itself makes what it would have made.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::data::{Backup, Data, Fact, Stanza, Wal};
use super::{Cluster, L, Operator, Pgo};
use crate::model::amount::parse_duration;
use crate::model::{Timestamp, Value};
use crate::sandbox::content::sha256_hex;
use crate::sandbox::controllers::{Manner, after, settle, stamp};
use crate::sandbox::kubernetes::Kubernetes;

/// How long before the world begins its clusters were made.
const AGE_MS: u64 = 86_400_000;
/// How long they are given until they stand as they do.
const STAGE_MS: u64 = 1_800_000;

/// The operator and its clusters.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct PgoSeed {
    /// How the operator works.
    pub operator: OperatorSeed,
    /// Clusters, by `NAMESPACE/NAME`, or `CONTEXT/NAMESPACE/NAME`.
    pub clusters: BTreeMap<String, ClusterSeed>,
    /// Repositories that no cluster of the world writes to, by where they are: `s3://BUCKET/PATH`.
    pub repositories: BTreeMap<String, RepositorySeed>,
}

/// How the operator works.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct OperatorSeed {
    /// How long it takes until it looks at a change: `30s`.
    pub delay: Option<String>,
    /// It does nothing.
    pub dead: bool,
    /// It writes no Events.
    pub silent: bool,
}

/// A cluster.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ClusterSeed {
    /// The major version of PostgreSQL.
    #[serde(default = "fourteen")]
    pub postgres: u64,
    /// How many instances there are.
    #[serde(default = "one")]
    pub replicas: u64,
    /// Its system identifier; made from its name when absent.
    #[serde(default)]
    pub system_identifier: Option<String>,
    /// Its timeline.
    #[serde(default = "first")]
    pub timeline: u32,
    /// Its databases, with the tables of each.
    #[serde(default)]
    pub databases: BTreeMap<String, BTreeMap<String, TableSeed>>,
    /// For how long nobody has written to it: `3h`; somebody does all the time when absent.
    #[serde(default)]
    pub idle: Option<String>,
    /// Its backups.
    #[serde(default)]
    pub backups: Vec<BackupSeed>,
    /// What of its spec is not as usual.
    #[serde(default)]
    pub spec: Value,
    /// Its annotations.
    #[serde(default)]
    pub annotations: BTreeMap<String, String>,
}

/// A repository.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RepositorySeed {
    /// The system identifier of what is in it; made from where it is when absent.
    #[serde(default)]
    pub system_identifier: Option<String>,
    /// The major version of PostgreSQL.
    #[serde(default = "fourteen")]
    pub postgres: u64,
    /// The databases that were backed up, with the tables of each.
    #[serde(default)]
    pub databases: BTreeMap<String, BTreeMap<String, TableSeed>>,
    /// The backups.
    #[serde(default)]
    pub backups: Vec<BackupSeed>,
    /// How long ago the last WAL was archived: `5m`.
    #[serde(default)]
    pub ends: Option<String>,
}

/// The rows of a table.
#[derive(Clone, Debug, Deserialize)]
#[serde(untagged)]
pub enum TableSeed {
    /// As many, all the time.
    Rows(u64),
    /// So many from then on.
    History(Vec<RowsSeed>),
}

/// How many rows there are from then on.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RowsSeed {
    /// How long ago: `3h`.
    #[serde(default)]
    pub ago: Option<String>,
    /// When.
    #[serde(default)]
    pub at: Option<Timestamp>,
    /// None: it was dropped.
    #[serde(default)]
    pub rows: Option<u64>,
}

/// A backup.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct BackupSeed {
    /// `full`, `diff` or `incr`.
    #[serde(rename = "type", default = "full")]
    pub kind: String,
    /// How long ago it ended: `26h`.
    pub ago: String,
    /// The repository.
    #[serde(default = "repo1")]
    pub repo: String,
}

fn fourteen() -> u64 {
    14
}

fn one() -> u64 {
    1
}

fn first() -> u32 {
    1
}

fn full() -> String {
    "full".to_owned()
}

fn repo1() -> String {
    "repo1".to_owned()
}

fn before(now: Timestamp, ago: &str) -> Result<Timestamp, String> {
    let ago = parse_duration(ago).map_err(|error| error.to_string())?;
    now.saturating_sub(ago).map_err(|error| error.to_string())
}

/// Fields laid over others, as a merge patch does it.
fn lay(over: &mut Value, fields: &Value) {
    match (over, fields) {
        (Value::Object(old), Value::Object(new)) => {
            for (name, value) in new {
                lay(old.entry(name.clone()).or_insert(Value::Null), value);
            }
        }
        (old, new) => new.clone_into(old),
    }
}

fn system(given: Option<String>, of: &str) -> String {
    given.unwrap_or_else(|| {
        let digits: String = sha256_hex(of.as_bytes()).chars().filter(char::is_ascii_digit).take(18).collect();
        format!("7{digits}")
    })
}

fn facts(databases: BTreeMap<String, BTreeMap<String, TableSeed>>, now: Timestamp) -> Result<Vec<Fact>, String> {
    let long_ago = before(now, "30d")?;
    let mut found = Vec::new();
    for (database, tables) in databases {
        let mut say = |at: Timestamp, table: &str, rows: Option<u64>| {
            found.push(Fact { at, database: database.clone(), table: table.to_owned(), rows });
        };
        say(long_ago, "", Some(0));
        for (table, seed) in tables {
            match seed {
                TableSeed::Rows(rows) => say(long_ago, &table, Some(rows)),
                TableSeed::History(all) => {
                    for one in all {
                        let at = match (one.at, one.ago) {
                            (Some(at), _) => at,
                            (None, Some(ago)) => before(now, &ago)?,
                            (None, None) => long_ago,
                        };
                        say(at, &table, one.rows);
                    }
                }
            }
        }
    }
    found.sort_by_key(|fact| fact.at);
    Ok(found)
}

fn backups(stanza: &mut Stanza, seeds: &[BackupSeed], timeline: u32, now: Timestamp) -> Result<(), String> {
    let mut all = Vec::new();
    for seed in seeds {
        all.push((before(now, &seed.ago)?, seed.kind.clone()));
    }
    all.sort();
    for (stop, wanted) in all {
        let start = stop.saturating_sub(std::time::Duration::from_secs(60)).unwrap_or(stop);
        let (label, kind) = stanza.label(&wanted, start);
        stanza.backups.push(Backup { label, kind, start, stop, timeline, system: stanza.system.clone() });
    }
    Ok(())
}

/// What of a spec says how a cluster is to be changed, not what it is: it comes last.
fn staged(spec: &Value) -> Value {
    let mut spec = spec.clone();
    if let Some(fields) = spec.as_object_mut() {
        for name in ["shutdown", "paused", "dataSource"] {
            fields.remove(name);
        }
    }
    if let Some(fields) = spec.pointer_mut("/backups/pgbackrest").and_then(Value::as_object_mut) {
        fields.remove("restore");
    }
    spec
}

impl PgoSeed {
    /// Lets the operator make what it would have made.
    ///
    /// # Errors
    /// Where in the declaration something is wrong, and what.
    pub fn build(self, clusters: &mut Kubernetes, now: Timestamp) -> Result<(), (String, String)> {
        let mut pgo = Pgo::default();
        let wrong = |at: &str| {
            let at = at.to_owned();
            move |what: String| (at, what)
        };
        for (location, seed) in self.repositories {
            pgo.repos.insert(
                location.clone(),
                repository(&location, seed, now).map_err(wrong(&format!("repositories.{location}")))?,
            );
        }
        let began = before(now, "1d").map_err(wrong("clusters"))?;
        clusters.pgo = Some(pgo);
        let (standbys, leaders): (Vec<_>, Vec<_>) =
            self.clusters.into_iter().partition(|(_, seed)| seed.spec["standby"]["enabled"] == true);
        let mut last = Vec::new();
        for (place, group) in [leaders, standbys].into_iter().enumerate() {
            let at = after(began, STAGE_MS * place as u64);
            for (name, seed) in group {
                last.push(cluster(clusters, &name, seed, at, now).map_err(wrong(&format!("clusters.{name}")))?);
            }
            settle(clusters, after(at, STAGE_MS), Manner::default());
        }
        let at = after(began, STAGE_MS * 2);
        for (key, wanted) in last {
            finish(clusters, &key, &wanted, at);
        }
        settle(clusters, after(at, AGE_MS - STAGE_MS * 2), Manner::default());
        if let Some(pgo) = &mut clusters.pgo {
            let delay = self.operator.delay.map(|text| parse_duration(&text).map_err(|error| error.to_string()));
            let delay = delay.transpose().map_err(wrong("operator.delay"))?;
            pgo.operator = Operator { dead: self.operator.dead, silent: self.operator.silent, ..Operator::default() };
            if let Some(delay) = delay {
                pgo.operator.delay_ms = u64::try_from(delay.as_millis()).unwrap_or(u64::MAX);
            }
        }
        Ok(())
    }
}

fn repository(location: &str, seed: RepositorySeed, now: Timestamp) -> Result<Stanza, String> {
    let until = before(now, seed.ends.as_deref().unwrap_or("0s"))?;
    let mut stanza =
        Stanza { system: system(seed.system_identifier, location), major: seed.postgres, ..Stanza::default() };
    backups(&mut stanza, &seed.backups, 1, now)?;
    let facts = facts(seed.databases, now)?;
    stanza.wal.push(wal(&stanza.system, 1, "", facts, until, None));
    Ok(stanza)
}

fn wal(system: &str, timeline: u32, by: &str, facts: Vec<Fact>, until: Timestamp, idle: Option<Timestamp>) -> Wal {
    Wal {
        system: system.to_owned(),
        timeline,
        parent: None,
        from: facts.first().map_or(until, |fact| fact.at),
        until: Some(until),
        by: by.to_owned(),
        pod: String::new(),
        facts,
        last_commit: Some(idle.unwrap_or(until)),
    }
}

/// Puts a cluster there as it was made; its key, and what is wanted of it in the end.
fn cluster(
    clusters: &mut Kubernetes,
    name: &str,
    seed: ClusterSeed,
    at: Timestamp,
    now: Timestamp,
) -> Result<(String, Value), String> {
    let parts: Vec<&str> = name.split('/').collect();
    let (context, namespace, own) = match parts.as_slice() {
        [namespace, own] => ("current", *namespace, *own),
        [context, namespace, own] => (*context, *namespace, *own),
        _ => return Err("a cluster is named as NAMESPACE/NAME".to_owned()),
    };
    let key = format!("{context}/{namespace}/postgrescluster/{own}");
    let claim = json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } });
    let mut spec = json!({
        "postgresVersion": seed.postgres,
        "instances": [{ "name": "00", "replicas": seed.replicas, "dataVolumeClaimSpec": claim }],
        "backups": { "pgbackrest": { "repos": [{ "name": "repo1", "volume": { "volumeClaimSpec": claim } }] } },
    });
    if seed.spec.is_object() {
        lay(&mut spec, &seed.spec);
    }
    let mut wanted = json!({
        "apiVersion": format!("{L}/v1beta1"), "kind": "PostgresCluster",
        "metadata": { "name": own, "namespace": namespace, "annotations": seed.annotations, "creationTimestamp": stamp(at) }, "spec": spec,
    });
    if seed.annotations.is_empty() {
        wanted["metadata"].as_object_mut().map(|metadata| metadata.remove("annotations"));
    }
    secrets(clusters, context, namespace, &wanted);
    let of = Cluster { key: key.clone(), name: own.to_owned(), object: wanted.clone() };
    let mut first = wanted.clone();
    first["spec"] = staged(&wanted["spec"]);
    if !of.is_standby() {
        let idle = seed.idle.as_deref().map(|ago| before(now, ago)).transpose()?;
        let facts = facts(seed.databases, now)?;
        let system = system(seed.system_identifier, name);
        let data = Data {
            system: system.clone(),
            timeline: seed.timeline,
            parent: None,
            facts: facts.clone(),
            idle_since: idle,
            zeroed: Vec::new(),
            half: false,
            follows: None,
            closed: Vec::new(),
            quiet: Vec::new(),
            roles: Vec::new(),
        };
        let known: Vec<Value> = of
            .repos()
            .iter()
            .map(|repo| json!({ "name": repo, "stanzaCreated": true, "replicaCreateBackupComplete": true }))
            .collect();
        first["status"] = json!({ "pgbackrest": { "repos": known } });
        let Some(pgo) = &mut clusters.pgo else { return Err("there is no operator".to_owned()) };
        pgo.data.insert(key.clone(), data);
        for repo in of.repos() {
            let Some(location) = of.location(&repo) else { continue };
            let mut stanza = Stanza { system: system.clone(), major: seed.postgres, ..Stanza::default() };
            let own: Vec<BackupSeed> = seed.backups.iter().filter(|backup| backup.repo == repo).cloned().collect();
            backups(&mut stanza, &own, seed.timeline, now)?;
            stanza.wal.push(wal(&system, seed.timeline, &key, facts.clone(), at, idle));
            pgo.repos.insert(location, stanza);
        }
    }
    clusters.store(&key, first, Some(at), false);
    Ok((key, wanted))
}

/// The Secrets that a cluster's configuration names are there.
fn secrets(clusters: &mut Kubernetes, context: &str, namespace: &str, object: &Value) {
    let configuration =
        object["spec"]["backups"]["pgbackrest"]["configuration"].as_array().cloned().unwrap_or_default();
    for name in configuration.iter().filter_map(|one| one["secret"]["name"].as_str()) {
        let key = format!("{context}/{namespace}/secret/{name}");
        if !clusters.objects.contains_key(&key) {
            let metadata = json!({ "name": name, "namespace": namespace });
            let secret = json!({ "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "data": { "s3.conf": "W2dsb2JhbF0K" } });
            clusters.store(&key, secret, None, false);
        }
    }
}

/// What is wanted of a cluster in the end, with the status that it would have come to.
fn finish(clusters: &mut Kubernetes, key: &str, wanted: &Value, at: Timestamp) {
    let Some(held) = clusters.objects.get(key) else { return };
    let mut object = held.object.clone();
    object["spec"] = wanted["spec"].clone();
    let ended = |id: &str| json!({ "id": id, "finished": true, "succeeded": 1, "startTime": stamp(at), "completionTime": stamp(after(at, 60_000)) });
    let note = |name: &str| wanted["metadata"]["annotations"][format!("{L}/{name}")].as_str();
    let source = &wanted["spec"]["dataSource"];
    let restore = &wanted["spec"]["backups"]["pgbackrest"]["restore"];
    let bootstrap = source["postgresCluster"].is_object() || source["pgbackrest"].is_object();
    let id = match note("pgbackrest-restore") {
        Some(id) if restore.is_object() => Some(id.to_owned()),
        _ if bootstrap => Some(format!("~pgo-bootstrap-{}", object["metadata"]["name"].as_str().unwrap_or_default())),
        _ => None,
    };
    if let Some(id) = id {
        object["status"]["pgbackrest"]["restore"] = ended(&id);
        let done = json!({ "type": "PostgresDataInitialized", "status": "True", "reason": "PGBackRestRestoreComplete", "lastTransitionTime": stamp(at) });
        if let Some(conditions) = object["status"]["conditions"].as_array_mut() {
            conditions.push(done);
        }
    }
    if let Some(id) = note("pgbackrest-backup") {
        object["status"]["pgbackrest"]["manualBackup"] = ended(id);
    }
    clusters.store(key, object, Some(at), false);
}
