//! Instances of a cluster: their StatefulSets and claims, which of them runs, and what the status tells of them.

use serde_json::json;

use super::{Cluster, Desk, label, patroni, text};
use crate::model::Value;
use crate::sandbox::controllers::{letters, pods};

const CONTAINERS: [&str; 4] = ["database", "replication-cert-copy", "pgbackrest", "pgbackrest-config"];

/// A part of a cluster as the operator makes it.
pub(super) fn object(api: &str, kind: &str, labels: Value) -> Value {
    json!({ "apiVersion": api, "kind": kind, "metadata": { "labels": labels } })
}

/// A StatefulSet of it.
fn set(cluster: &Cluster, labels: &Value, containers: &[&str], image: &Value, replicas: u64) -> Value {
    let mut set = object("apps/v1", "StatefulSet", labels.clone());
    let containers: Vec<Value> = containers.iter().map(|name| json!({ "name": name, "image": image })).collect();
    set["spec"] = json!({
        "replicas": replicas, "serviceName": format!("{}-pods", cluster.name), "selector": { "matchLabels": labels },
        "template": { "metadata": { "labels": labels }, "spec": { "containers": containers } },
    });
    set
}

/// The sets of instances: name, how many, and what their claims say.
fn sets(cluster: &Cluster) -> Vec<(String, usize, Value)> {
    let declared = cluster.object["spec"]["instances"].as_array().cloned().unwrap_or_default();
    let of = |(place, one): (usize, Value)| {
        let name = one["name"].as_str().map_or_else(|| format!("{place:02}"), str::to_owned);
        let count = usize::try_from(one["replicas"].as_u64().unwrap_or(1)).unwrap_or(usize::MAX);
        (name, count, one["dataVolumeClaimSpec"].clone())
    };
    declared.into_iter().enumerate().map(of).collect()
}

/// The name of an instance that is new.
fn fresh(cluster: &Cluster, set: &str, place: usize) -> String {
    format!("{}-{set}-{}", cluster.name, letters(&format!("{} {set} {place}", cluster.key), 4))
}

/// The instances of a set that data are there of.
fn with_data(desk: &Desk<'_>, cluster: &Cluster, set: &str) -> Vec<String> {
    let claims = desk.beside(&cluster.key, "persistentvolumeclaim").filter(|(_, claim)| {
        label(claim, "cluster") == cluster.name
            && label(claim, "instance-set") == set
            && label(claim, "role") == "pgdata"
    });
    claims.map(|(_, claim)| label(claim, "instance").to_owned()).collect()
}

/// The StatefulSets of instances.
pub(super) fn runners(desk: &Desk<'_>, cluster: &Cluster) -> Vec<(String, Value)> {
    let all = desk.beside(&cluster.key, "statefulset");
    let own = all.filter(|(_, set)| label(set, "cluster") == cluster.name && label(set, "data") == "postgres");
    own.map(|(key, set)| (key.clone(), set.clone())).collect()
}

/// The Pods of instances.
pub(super) fn pods(desk: &Desk<'_>, cluster: &Cluster) -> Vec<(String, Value)> {
    let all = desk.beside(&cluster.key, "pod");
    let own = all.filter(|(_, pod)| label(pod, "cluster") == cluster.name && !label(pod, "instance").is_empty());
    own.map(|(key, pod)| (key.clone(), pod.clone())).collect()
}

/// The instance whose data a restore is to overwrite: the primary, or the first there is, or one by a name that is always the same.
pub(super) fn startup(desk: &Desk<'_>, cluster: &Cluster) -> (String, String) {
    let pods = pods(desk, cluster);
    let leader = pods.iter().find(|(_, pod)| label(pod, "role") == "master").or_else(|| pods.first());
    if let Some((_, pod)) = leader {
        return (label(pod, "instance").to_owned(), label(pod, "instance-set").to_owned());
    }
    if let Some((_, set)) = runners(desk, cluster).first() {
        return (label(set, "instance").to_owned(), label(set, "instance-set").to_owned());
    }
    let set = sets(cluster).first().map_or_else(|| "00".to_owned(), |(name, ..)| name.clone());
    let there = with_data(desk, cluster, &set).into_iter().next();
    (there.unwrap_or_else(|| fresh(cluster, &set, 0)), set)
}

/// The claim of an instance.
pub(super) fn claim(desk: &mut Desk<'_>, cluster: &Cluster, set: &str, instance: &str) {
    let spec = sets(cluster).into_iter().find(|(name, ..)| name == set).map(|(.., spec)| spec).unwrap_or_default();
    let labels =
        cluster.labels(&[("instance-set", set), ("instance", instance), ("role", "pgdata"), ("data", "postgres")]);
    let mut claim = object("v1", "PersistentVolumeClaim", labels);
    claim["spec"] = if spec.is_object() { spec } else { json!({}) };
    let key = desk.sibling(&cluster.key, "persistentvolumeclaim", &format!("{instance}-pgdata"));
    desk.make(&key, claim, Some(&cluster.object));
}

/// The claims and the host of repositories that are volumes.
fn repo_host(desk: &mut Desk<'_>, cluster: &Cluster) {
    let volumes: Vec<String> = cluster
        .repos()
        .into_iter()
        .filter(|name| cluster.repo(name).is_some_and(|repo| repo["volume"].is_object()))
        .collect();
    for name in &volumes {
        let labels = cluster.labels(&[
            ("pgbackrest", ""),
            ("pgbackrest-repo", name),
            ("pgbackrest-volume", ""),
            ("data", "pgbackrest"),
        ]);
        let mut claim = object("v1", "PersistentVolumeClaim", labels);
        claim["spec"] = cluster.repo(name).map(|repo| repo["volume"]["volumeClaimSpec"].clone()).unwrap_or_default();
        let key = desk.sibling(&cluster.key, "persistentvolumeclaim", &format!("{}-{name}", cluster.name));
        desk.make(&key, claim, Some(&cluster.object));
    }
    if volumes.is_empty() {
        return;
    }
    let stopped = cluster.is_shutdown() && pods(desk, cluster).is_empty();
    let replicas = u64::from(!stopped);
    let labels = cluster.labels(&[("pgbackrest", ""), ("pgbackrest-dedicated", ""), ("data", "pgbackrest")]);
    let host = set(cluster, &labels, &["pgbackrest", "pgbackrest-config"], &cluster.pgbackrest()["image"], replicas);
    scaled(desk, cluster, &format!("{}-repo-host", cluster.name), host, replicas);
}

fn scaled(desk: &mut Desk<'_>, cluster: &Cluster, name: &str, object: Value, replicas: u64) {
    let kind = text(&object, "/kind").to_ascii_lowercase();
    let key = desk.sibling(&cluster.key, &kind, name);
    desk.make(&key, object, Some(&cluster.object));
    desk.edit(&key, |object| object["spec"]["replicas"] = json!(replicas));
}

fn beside(desk: &mut Desk<'_>, cluster: &Cluster) {
    for (kind, suffixes) in [
        ("Service", &["primary", "replicas", "pods", "ha", "ha-config"][..]),
        ("ConfigMap", &["config", "pgbackrest-config"]),
        ("Secret", &["pgbackrest"]),
    ] {
        for suffix in suffixes {
            let key = desk.sibling(&cluster.key, &kind.to_ascii_lowercase(), &format!("{}-{suffix}", cluster.name));
            desk.make(&key, object("v1", kind, cluster.labels(&[])), Some(&cluster.object));
        }
    }
    let users = cluster.object["spec"]["users"].as_array().cloned().unwrap_or_default();
    let mut names: Vec<String> = users.iter().filter_map(|user| user["name"].as_str()).map(str::to_owned).collect();
    if names.is_empty() {
        names.push(cluster.name.clone());
    }
    for user in names {
        let key = desk.sibling(&cluster.key, "secret", &format!("{}-pguser-{user}", cluster.name));
        desk.make(
            &key,
            object("v1", "Secret", cluster.labels(&[("pguser", &user), ("role", "pguser")])),
            Some(&cluster.object),
        );
    }
    let bouncer = &cluster.object["spec"]["proxy"]["pgBouncer"];
    if bouncer.is_object() {
        let replicas = if cluster.is_shutdown() { 0 } else { bouncer["replicas"].as_u64().unwrap_or(1) };
        let labels = cluster.labels(&[("role", "pgbouncer")]);
        let mut deployment = set(cluster, &labels, &["pgbouncer"], &bouncer["image"], replicas);
        deployment["kind"] = json!("Deployment");
        scaled(desk, cluster, &format!("{}-pgbouncer", cluster.name), deployment, replicas);
    }
}

/// Makes what is wanted of a cluster, and tells how it stands.
pub(super) fn instances(desk: &mut Desk<'_>, cluster: &mut Cluster) {
    beside(desk, cluster);
    repo_host(desk, cluster);
    let leader = patroni::leader(desk, &cluster.key, &cluster.name);
    // A shutdown without a leader stops nobody: which instance is to start again would not be known.
    if cluster.is_shutdown() && cluster.startup_instance().is_empty() {
        if let Some((_, pod)) = &leader {
            cluster.set("startupInstance", json!(label(pod, "instance")));
            cluster.set("startupInstanceSet", json!(label(pod, "instance-set")));
        }
    } else if !cluster.is_shutdown() && leader.is_some() {
        cluster.set("startupInstance", Value::Null);
        cluster.set("startupInstanceSet", Value::Null);
    }
    let first = cluster.startup_instance().to_owned();
    let stopped = cluster.is_shutdown() && !first.is_empty();
    let existing = runners(desk, cluster);
    let mut told = Vec::new();
    for (set_name, count, _) in sets(cluster) {
        let mut names: Vec<String> = Vec::new();
        let running = existing
            .iter()
            .filter(|(_, set)| label(set, "instance-set") == set_name)
            .map(|(_, set)| label(set, "instance").to_owned());
        let fresh = (0..count).map(|place| fresh(cluster, &set_name, place));
        let leading = leader.iter().map(|(_, pod)| label(pod, "instance").to_owned());
        let of_set = |name: &String| name.starts_with(&format!("{}-{set_name}-", cluster.name));
        let claims = with_data(desk, cluster, &set_name);
        for name in leading.chain([first.clone()]).filter(of_set).chain(running).chain(claims).chain(fresh) {
            if names.len() < count && !names.contains(&name) {
                names.push(name);
            }
        }
        let (mut all, mut ready) = (0, 0);
        for name in &names {
            claim(desk, cluster, &set_name, name);
            let labels = cluster.labels(&[
                ("instance-set", &set_name),
                ("instance", name),
                ("data", "postgres"),
                ("patroni", &format!("{}-ha", cluster.name)),
            ]);
            // The others wait for the one that starts first.
            let waits = !first.is_empty() && *name != first && leader.is_none() && !cluster.is_shutdown();
            let replicas = u64::from(!stopped && !waits);
            let runner = set(cluster, &labels, &CONTAINERS, &cluster.object["spec"]["image"], replicas);
            scaled(desk, cluster, name, runner, replicas);
            if let Some(pod) = desk.object(&desk.sibling(&cluster.key, "pod", &format!("{name}-0"))) {
                all += 1;
                ready += u64::from(pods::is_ready(pod));
            }
        }
        let surplus = existing.iter().filter(|(_, set)| {
            label(set, "instance-set") == set_name && !names.iter().any(|name| name == label(set, "instance"))
        });
        for (key, _) in surplus {
            desk.remove(key);
        }
        let mut one = json!({ "name": set_name });
        for (name, value) in [("replicas", all), ("readyReplicas", ready), ("updatedReplicas", all)] {
            if value > 0 {
                one[name] = json!(value);
            }
        }
        told.push(one);
    }
    cluster.set("instances", json!(told));
    configure(desk, cluster);
    let config = desk.object(&desk.sibling(&cluster.key, "endpoints", &format!("{}-ha-config", cluster.name)));
    if let Some(system) =
        config.map(|config| config["metadata"]["annotations"]["initialize"].clone()).filter(Value::is_string)
    {
        cluster.set("patroni", json!({ "systemIdentifier": system }));
    }
    // Those that could not start try again.
    for (key, pod) in pods(desk, cluster) {
        if !pods::is_ready(&pod) {
            let at = desk.at;
            desk.clusters.wake(&key, at);
        }
    }
}

/// Writes what Patroni is to do into its configuration, which takes a running database.
fn configure(desk: &mut Desk<'_>, cluster: &Cluster) {
    let key = desk.sibling(&cluster.key, "endpoints", &format!("{}-ha-config", cluster.name));
    let Some((leader, _)) = patroni::leader(desk, &cluster.key, &cluster.name) else { return };
    let wanted = patroni::configuration(cluster);
    let differs = desk.object(&key).is_some_and(|now| now["metadata"]["annotations"]["config"] != wanted);
    if differs {
        desk.edit(&key, |object| object["metadata"]["annotations"]["config"] = json!(wanted));
        let at = desk.at;
        desk.clusters.wake(&leader, at);
    }
}
