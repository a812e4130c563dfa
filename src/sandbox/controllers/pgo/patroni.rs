//! Patroni in the Pods of instances: who leads, who follows, and who is promoted.

use serde_json::json;

use super::data::Data;
use super::{Cluster, Desk, L, cluster_of, label, repos};
use crate::model::Value;
use crate::sandbox::content::sha256_hex;
use crate::sandbox::controllers::pods::{POD_MS, is_ready, status};
use crate::sandbox::veil;

/// How long it takes to bring the data of a new instance, in milliseconds.
const COPY_MS: u64 = 20_000;
/// How long a promotion takes, and how long until a leader that is gone is missed.
const TURN_MS: u64 = 5_000;

/// Whether a Pod is one that Patroni runs in.
pub(in crate::sandbox::controllers) fn is_instance(pod: &Value) -> bool {
    !label(pod, "patroni").is_empty()
}

/// The role that a Pod has by its annotation, which the label does not tell.
pub(super) fn role(pod: &Value) -> Option<String> {
    let status: Value = serde_json::from_str(pod["metadata"]["annotations"]["status"].as_str()?).ok()?;
    status["role"].as_str().map(str::to_owned)
}

/// What Patroni is to be told.
pub(super) fn configuration(cluster: &Cluster) -> String {
    let mut config = json!({ "loop_wait": 10, "ttl": 30, "postgresql": { "use_pg_rewind": true } });
    if cluster.is_standby() {
        let standby = &cluster.object["spec"]["standby"];
        config["standby_cluster"] =
            json!({ "create_replica_methods": ["pgbackrest"], "restore_command": "pgbackrest archive-get" });
        if standby["host"].is_string() {
            config["standby_cluster"] =
                json!({ "create_replica_methods": ["basebackup"], "host": standby["host"], "port": standby["port"] });
        }
    }
    config.to_string()
}

/// The Pod that bears the label of a leader, be it of a standby.
pub(super) fn leader(desk: &Desk<'_>, cluster: &str, name: &str) -> Option<(String, Value)> {
    let pods =
        desk.beside(cluster, "pod").filter(|(_, pod)| label(pod, "cluster") == name && label(pod, "role") == "master");
    pods.into_iter().find(|(_, pod)| is_ready(pod)).map(|(key, pod)| (key.clone(), pod.clone()))
}

fn config_key(desk: &Desk<'_>, cluster: &Cluster) -> String {
    desk.sibling(&cluster.key, "endpoints", &format!("{}-ha-config", cluster.name))
}

/// Whether Patroni is configured to lead a standby.
fn follows(desk: &Desk<'_>, cluster: &Cluster) -> bool {
    let kept = desk
        .object(&config_key(desk, cluster))
        .and_then(|object| object["metadata"]["annotations"]["config"].as_str().map(str::to_owned));
    kept.unwrap_or_else(|| configuration(cluster)).contains("standby_cluster")
}

/// Moves the Pod of an instance on.
pub(in crate::sandbox::controllers) fn pod(desk: &mut Desk<'_>, key: &str) {
    let Some(object) = desk.object(key).cloned() else { return };
    if !object["metadata"]["deletionTimestamp"].is_null() {
        return;
    }
    let Some(cluster) = cluster_of(desk, key, &object).and_then(|of| Cluster::at(desk, &of)) else { return };
    if let Some(secret) = repos::missing(desk, &cluster.key, cluster.pgbackrest()) {
        desk.clusters.logs.insert(log_key(&object), format!("secret \"{secret}\" not found\n"));
        return desk.set_status(key, status(&object, false, false, desk));
    }
    if !desk.passed(key, POD_MS) {
        return desk.set_status(key, status(&object, false, false, desk));
    }
    match role(&object).as_deref() {
        None => started(desk, &cluster, key, &object),
        Some("replica") => replica(desk, &cluster, key, &object),
        Some(now) => turned(desk, &cluster, key, &object, now),
    }
}

fn log_key(pod: &Value) -> String {
    format!("{}/{}", super::text(pod, "/metadata/namespace"), super::text(pod, "/metadata/name"))
}

/// It cannot start, and says why.
fn stuck(desk: &mut Desk<'_>, key: &str, object: &Value, why: &str) {
    desk.clusters.logs.insert(log_key(object), format!("{why}\n"));
    desk.set_status(key, status(object, true, false, desk));
}

/// Waits until something that was begun has taken its time: false as long as it has not.
fn took(desk: &mut Desk<'_>, key: &str, millis: u64) -> bool {
    match desk.due(key) {
        None => {
            desk.defer(key, Some(millis));
            false
        }
        Some(due) if due > desk.at => {
            desk.clusters.wake(key, due);
            false
        }
        Some(_) => {
            desk.defer(key, None);
            true
        }
    }
}

fn started(desk: &mut Desk<'_>, cluster: &Cluster, key: &str, object: &Value) {
    let held = desk.clusters.pgo.as_ref().and_then(|pgo| pgo.data.get(&cluster.key).cloned());
    if leader(desk, &cluster.key, &cluster.name).is_some() {
        return becomes(desk, cluster, key, "replica");
    }
    // One that has followed until now is nearer to what the last leader wrote.
    let heir = |pod: &Value| is_ready(pod) && role(pod).as_deref() == Some("replica");
    if super::instances::pods(desk, cluster).iter().any(|(_, pod)| heir(pod)) {
        return desk.set_status(key, status(object, true, false, desk));
    }
    let standby = follows(desk, cluster);
    match held {
        Some(data) if data.half => {
            stuck(desk, key, object, "FATAL: could not locate required checkpoint record: the restore was not finished")
        }
        Some(data) if standby && data.follows.is_none() => match source(desk, cluster) {
            Ok((from, system)) if system == data.system => {
                hold(desk, cluster, Data { follows: Some(from), ..data });
                becomes(desk, cluster, key, "standby_leader");
            }
            Ok(_) => stuck(desk, key, object, "FATAL: WAL file is from different database system"),
            Err(why) => stuck(desk, key, object, &why),
        },
        Some(data) => {
            if !standby && data.follows.is_some() {
                promoted(desk, cluster);
            }
            becomes(desk, cluster, key, if standby { "standby_leader" } else { "master" });
        }
        None => {
            if !took(desk, key, COPY_MS) {
                return desk.set_status(key, status(object, true, false, desk));
            }
            if !standby {
                // The same however often the run was stopped on its way here, and another each time.
                let made = desk.clusters.pgo.as_mut().map_or(0, |pgo| {
                    pgo.made += 1;
                    pgo.made
                });
                let drawn = sha256_hex(format!("{} {made}", cluster.key).as_bytes());
                let digits: String = drawn.chars().filter(char::is_ascii_digit).take(18).collect();
                let system = if desk.manner.planned {
                    veil::mark(&format!("the system identifier of {}", cluster.name))
                } else {
                    format!("7{digits}")
                };
                hold(desk, cluster, Data::fresh(system, desk.at, &cluster.name));
                return becomes(desk, cluster, key, "master");
            }
            match source(desk, cluster) {
                Ok((from, system)) => {
                    let data = Data::fresh(system, desk.at, &cluster.name);
                    hold(desk, cluster, Data { follows: Some(from), facts: Vec::new(), ..data });
                    becomes(desk, cluster, key, "standby_leader");
                }
                Err(why) => stuck(desk, key, object, &format!("failed to bootstrap (from standby leader): {why}")),
            }
        }
    }
}

fn hold(desk: &mut Desk<'_>, cluster: &Cluster, data: Data) {
    if let Some(pgo) = &mut desk.clusters.pgo {
        pgo.data.insert(cluster.key.clone(), data);
    }
}

/// What a standby follows, and the system that this is of.
fn source(desk: &Desk<'_>, cluster: &Cluster) -> Result<(String, String), String> {
    let standby = &cluster.object["spec"]["standby"];
    let pgo = desk.clusters.pgo.as_ref().ok_or("there is no operator")?;
    if let Some(host) = standby["host"].as_str() {
        // `hippo-primary.shop.svc`, `hippo-ha.shop`
        let mut parts = host.split('.');
        let service = parts.next().unwrap_or_default();
        let name = service.rsplit_once('-').map_or(service, |(name, _)| name);
        let namespace = parts.next().unwrap_or_else(|| cluster.key.split('/').nth(1).unwrap_or_default());
        let key = format!("{}/{namespace}/postgrescluster/{name}", cluster.key.split('/').next().unwrap_or_default());
        let up = leader(desk, &key, name).is_some();
        return pgo
            .data
            .get(&key)
            .filter(|_| up)
            .map(|data| (format!("host:{key}"), data.system.clone()))
            .ok_or_else(|| format!("could not connect to {host}"));
    }
    let name = standby["repoName"].as_str().unwrap_or_default();
    let location = cluster.location(name).ok_or_else(|| format!("there is no {name}"))?;
    if let Some(why) = repos::unreachable(desk, &cluster.key, &location, cluster.pgbackrest(), name) {
        return Err(why);
    }
    let stanza = pgo.repos.get(&location).filter(|stanza| !stanza.backups.is_empty());
    let stanza =
        stanza.ok_or_else(|| format!("ERROR: [055]: unable to load info file '{location}/backup/db/backup.info'"))?;
    Ok((location, stanza.system.clone()))
}

/// What was replayed is the cluster's own from now on, on a timeline of its own.
fn promoted(desk: &mut Desk<'_>, cluster: &Cluster) {
    let at = desk.at;
    let Some(pgo) = &mut desk.clusters.pgo else { return };
    let Some(mut data) = pgo.held(&cluster.key, at) else { return };
    data.follows = None;
    data.parent = Some((data.timeline, data.last_commit(at)));
    data.timeline += 1;
    data.idle_since = None;
    pgo.data.insert(cluster.key.clone(), data);
}

/// A Pod has a role now: its label and annotation say so, and what Patroni keeps.
fn becomes(desk: &mut Desk<'_>, cluster: &Cluster, key: &str, role: &str) {
    let at = desk.at;
    let data = desk.clusters.pgo.as_ref().and_then(|pgo| pgo.held(&cluster.key, at));
    let (timeline, system) = data.map_or((1, String::new()), |data| (data.timeline, data.system));
    desk.edit(key, |pod| {
        // A standby's leader bears the same label as any other.
        pod["metadata"]["labels"][format!("{L}/role")] = json!(if role == "replica" { "replica" } else { "master" });
        let told = json!({ "role": role, "state": "running", "timeline": timeline, "version": "2.1.7" });
        pod["metadata"]["annotations"]["status"] = json!(told.to_string());
    });
    let object = desk.object(key).cloned().unwrap_or_default();
    desk.set_status(key, status(&object, true, true, desk));
    desk.clusters.logs.insert(
        log_key(&object),
        format!("INFO: no action. I am ({}), the {role}\n", super::text(&object, "/metadata/name")),
    );
    if role != "replica" {
        let leader = object["metadata"]["name"].clone();
        let config = config_key(desk, cluster);
        let place = |suffix: &str| format!("{}-{suffix}", cluster.name);
        let labels = cluster.labels(&[("patroni", &place("ha"))]);
        for suffix in ["ha", "ha-config"] {
            let key = desk.sibling(&cluster.key, "endpoints", &place(suffix));
            let mut object = super::instances::object("v1", "Endpoints", labels.clone());
            object["metadata"]["annotations"] = json!({});
            desk.make(&key, object, Some(&cluster.object));
        }
        let ha = desk.sibling(&cluster.key, "endpoints", &place("ha"));
        desk.edit(&ha, |object| object["metadata"]["annotations"]["leader"] = leader);
        let wanted = configuration(cluster);
        desk.edit(&config, |object| {
            let annotations = &mut object["metadata"]["annotations"];
            annotations["initialize"] = json!(system);
            if annotations["config"].is_null() {
                annotations["config"] = json!(wanted);
            }
        });
        repos::archive(desk, cluster);
        let followers: Vec<String> = super::instances::pods(desk, cluster)
            .into_iter()
            .map(|(key, _)| key)
            .filter(|other| other != key)
            .collect();
        for other in followers {
            desk.clusters.wake(&other, at);
        }
    }
    desk.clusters.wake(&cluster.key, at);
}

/// A replica takes the place of a leader that is gone.
fn replica(desk: &mut Desk<'_>, cluster: &Cluster, key: &str, _: &Value) {
    if leader(desk, &cluster.key, &cluster.name).is_some() {
        return desk.defer(key, None);
    }
    if !took(desk, key, TURN_MS) {
        return;
    }
    let standby = follows(desk, cluster);
    if !standby
        && let Some(pgo) = &mut desk.clusters.pgo
        && let Some(mut data) = pgo.data.get(&cluster.key).cloned()
    {
        data.parent = Some((data.timeline, data.last_commit(desk.at)));
        data.timeline += 1;
        pgo.data.insert(cluster.key.clone(), data);
    }
    becomes(desk, cluster, key, if standby { "standby_leader" } else { "master" });
}

/// A leader becomes what its configuration says.
fn turned(desk: &mut Desk<'_>, cluster: &Cluster, key: &str, object: &Value, now: &str) {
    let standby = follows(desk, cluster);
    match (now, standby) {
        ("standby_leader", false) if took(desk, key, TURN_MS) => {
            promoted(desk, cluster);
            becomes(desk, cluster, key, "master");
        }
        ("master" | "primary", true) => {
            if !took(desk, key, TURN_MS) {
                return;
            }
            repos::close(desk, |_, wal| wal.pod == key);
            let data = desk.clusters.pgo.as_ref().and_then(|pgo| pgo.data.get(&cluster.key).cloned());
            match (source(desk, cluster), data) {
                (Ok((from, system)), Some(data)) if system == data.system => {
                    hold(desk, cluster, Data { follows: Some(from), ..data });
                    becomes(desk, cluster, key, "standby_leader");
                }
                _ => stuck(
                    desk,
                    key,
                    object,
                    "FATAL: highest timeline of the primary is behind recovery timeline; pg_rewind failed",
                ),
            }
        }
        _ => {}
    }
}

/// A Pod is gone: what it archived ends, and the others notice.
pub(in crate::sandbox::controllers) fn gone(desk: &mut Desk<'_>, key: &str) {
    if desk.clusters.pgo.is_none() {
        return;
    }
    repos::close(desk, |_, wal| wal.pod == key);
    let others: Vec<String> =
        desk.beside(key, "pod").filter(|(_, pod)| role(pod).is_some()).map(|(key, _)| key.clone()).collect();
    for other in others {
        let at = desk.at;
        desk.clusters.wake(&other, at);
    }
}
