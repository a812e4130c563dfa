//! Repositories: where they are, whether they can be reached, who archives into them.

use serde_json::json;

use super::data::{Data, Stanza, Wal};
use super::{Cluster, Desk, label};
use crate::model::{Timestamp, Value};
use crate::sandbox::controllers::pods::is_ready;
use crate::sandbox::controllers::text;

/// Where a repository is. `of`: the key of the cluster whose volume it is; `global`: the settings beside it.
#[must_use]
pub(super) fn location(of: &str, repo: &Value, global: &Value) -> String {
    let name = text(repo, "/name");
    let path = global[format!("{name}-path")].as_str().map_or_else(|| format!("/pgbackrest/{name}"), str::to_owned);
    let at = |kind: &str, field: &str| repo[kind][field].as_str().unwrap_or_default().to_owned();
    if repo["s3"].is_object() {
        format!("s3://{}{path}", at("s3", "bucket"))
    } else if repo["gcs"].is_object() {
        format!("gs://{}{path}", at("gcs", "bucket"))
    } else if repo["azure"].is_object() {
        format!("azure://{}{path}", at("azure", "container"))
    } else {
        format!("volume:{of}/{name}")
    }
}

impl Cluster {
    /// One of its repositories.
    pub(super) fn repo(&self, name: &str) -> Option<&Value> {
        self.pgbackrest()["repos"].as_array()?.iter().find(|repo| repo["name"] == name)
    }

    /// Where one of its repositories is.
    pub(super) fn location(&self, name: &str) -> Option<String> {
        Some(location(&self.key, self.repo(name)?, &self.pgbackrest()["global"]))
    }
}

/// Why a repository cannot be reached, if it cannot. `settings`: what holds its configuration, in the namespace of `key`.
pub(super) fn unreachable(desk: &Desk<'_>, key: &str, location: &str, settings: &Value, name: &str) -> Option<String> {
    if let Some(volume) = location.strip_prefix("volume:") {
        let (owner, _) = volume.rsplit_once('/')?;
        let host = format!("{}-repo-host-0", owner.rsplit('/').next().unwrap_or_default());
        let pod = desk.object(&desk.sibling(owner, "pod", &host));
        return (!pod.is_some_and(is_ready)).then(|| format!("ERROR: [049]: unable to connect to '{host}'"));
    }
    let kind = settings["global"][format!("{name}-s3-key-type")].as_str().unwrap_or_default();
    let secrets = settings["configuration"].as_array().map_or(0, Vec::len);
    if secrets == 0 && !["auto", "web-id"].contains(&kind) {
        return Some(format!("ERROR: [039]: HTTP request failed with 403 (Forbidden) for {location}"));
    }
    missing(desk, key, settings).map(|name| format!("MountVolume.SetUp failed: secret \"{name}\" not found"))
}

/// The first Secret of a configuration that is not there: a Pod that mounts it does not start.
pub(super) fn missing(desk: &Desk<'_>, key: &str, settings: &Value) -> Option<String> {
    let projected = settings["configuration"].as_array()?.iter();
    let needed =
        projected.filter(|one| one["secret"]["optional"] != true).filter_map(|one| one["secret"]["name"].as_str());
    needed.into_iter().find(|name| desk.object(&desk.sibling(key, "secret", name)).is_none()).map(str::to_owned)
}

/// The Pod that leads a cluster, and may write.
pub(super) fn writable(desk: &Desk<'_>, cluster: &str, name: &str) -> Option<String> {
    let pods = desk
        .beside(cluster, "pod")
        .filter(|(_, pod)| label(pod, "cluster") == name && !label(pod, "instance").is_empty());
    let writes =
        |pod: &Value| super::patroni::role(pod).is_some_and(|role| ["master", "primary"].contains(&role.as_str()));
    pods.into_iter().find(|(_, pod)| is_ready(pod) && writes(pod)).map(|(key, _)| key.clone())
}

/// A cluster that writes archives into each repository that is for its system.
pub(super) fn archive(desk: &mut Desk<'_>, cluster: &Cluster) {
    let Some(pod) = writable(desk, &cluster.key, &cluster.name) else { return };
    let at = desk.at;
    for location in cluster.repos().iter().filter_map(|name| cluster.location(name)) {
        let Some(pgo) = &mut desk.clusters.pgo else { return };
        let Some(data) = pgo.data.get(&cluster.key).cloned() else { return };
        let Some(stanza) = pgo.repos.get_mut(&location) else { continue };
        if stanza.system == data.system {
            open(stanza, &data, &cluster.key, &pod, at);
        }
    }
}

fn open(stanza: &mut Stanza, data: &Data, by: &str, pod: &str, at: Timestamp) {
    let is_it = |wal: &Wal| wal.system == data.system && wal.timeline == data.timeline && wal.by == by;
    if let Some(wal) = stanza.wal.iter_mut().rev().find(|wal| is_it(wal)) {
        if wal.until.is_some() {
            (wal.until, wal.last_commit) = (None, None);
        }
        pod.clone_into(&mut wal.pod);
        return;
    }
    stanza.wal.push(Wal {
        system: data.system.clone(),
        timeline: data.timeline,
        parent: data.parent,
        from: at,
        until: None,
        by: by.to_owned(),
        pod: pod.to_owned(),
        facts: Vec::new(),
        last_commit: None,
    });
}

/// Nothing is archived any more by whoever this says; the last of it has been.
pub(super) fn close(desk: &mut Desk<'_>, whose: impl Fn(&str, &Wal) -> bool) {
    let at = desk.at;
    let Some(pgo) = &mut desk.clusters.pgo else { return };
    for location in pgo.repos.keys().cloned().collect::<Vec<_>>() {
        let Some(mut stanza) = pgo.repos.get(&location).cloned() else { continue };
        let mut closed = false;
        for wal in stanza.wal.iter_mut().filter(|wal| wal.until.is_none() && whose(&location, wal)) {
            closed = true;
            wal.until = Some(at);
            if let Some(data) = pgo.data.get(&wal.by) {
                wal.facts = data.facts.iter().filter(|fact| fact.at <= at).cloned().collect();
                wal.last_commit = Some(data.last_commit(at));
            }
        }
        if closed {
            pgo.repos.insert(location, stanza);
        }
    }
}

/// Makes a cluster's stanza; one that is another system's is taken over, whoever needs it.
pub(super) fn create(desk: &mut Desk<'_>, cluster: &Cluster, location: &str) {
    let Some(pgo) = &mut desk.clusters.pgo else { return };
    let Some(data) = pgo.data.get(&cluster.key).cloned() else { return };
    let major = cluster.object["spec"]["postgresVersion"].as_u64().unwrap_or(14);
    let mut stanza = pgo.repos.get(location).cloned().unwrap_or_default();
    let taken = !stanza.system.is_empty() && stanza.system != data.system;
    (stanza.system, stanza.major) = (data.system.clone(), major);
    pgo.repos.insert(location.to_owned(), stanza);
    if taken {
        close(desk, |at, wal| at == location && wal.system != data.system);
    }
    archive(desk, cluster);
}

/// What of a cluster's volumes is gone: the data with the last claim for them, a repository with its own.
pub(in crate::sandbox::controllers) fn claims_gone(desk: &mut Desk<'_>, key: &str) {
    let Some(pgo) = &desk.clusters.pgo else { return };
    let place = desk.sibling(key, "", "");
    let here = |key: &&String| key.starts_with(place.trim_end_matches('/'));
    let kept = |cluster: &str| {
        let name = cluster.rsplit('/').next().unwrap_or_default();
        desk.beside(cluster, "persistentvolumeclaim")
            .any(|(_, claim)| label(claim, "cluster") == name && label(claim, "role") == "pgdata")
    };
    let lost: Vec<String> = pgo.data.keys().filter(here).filter(|key| !kept(key)).cloned().collect();
    let volume = |location: &&String| {
        location.strip_prefix("volume:").and_then(|rest| rest.rsplit_once('/')).is_some_and(|(cluster, repo)| {
            let name = cluster.rsplit('/').next().unwrap_or_default();
            desk.object(&desk.sibling(cluster, "persistentvolumeclaim", &format!("{name}-{repo}"))).is_none()
        })
    };
    let gone: Vec<String> = pgo.repos.keys().filter(volume).cloned().collect();
    close(desk, |_, wal| lost.contains(&wal.by));
    if let Some(pgo) = &mut desk.clusters.pgo {
        lost.iter().for_each(|key| drop(pgo.data.remove(key)));
        gone.iter().for_each(|location| drop(pgo.repos.remove(location)));
    }
}

/// A cluster was deleted: nobody archives for it any more.
pub(super) fn forget(desk: &mut Desk<'_>, key: &str) {
    close(desk, |_, wal| wal.by == key);
    claims_gone(desk, key);
}

/// What of `status.pgbackrest.repos` is known of a repository.
pub(super) fn told(desk: &Desk<'_>, cluster: &Cluster, name: &str, old: &Value) -> Value {
    let mut told = json!({ "name": name, "stanzaCreated": old["stanzaCreated"] == true });
    for field in ["replicaCreateBackupComplete"] {
        if old[field] == true {
            told[field] = json!(true);
        }
    }
    if cluster.repo(name).is_some_and(|repo| repo["volume"].is_object()) {
        let claim =
            desk.object(&desk.sibling(&cluster.key, "persistentvolumeclaim", &format!("{}-{name}", cluster.name)));
        if let Some(claim) = claim.filter(|claim| claim["status"]["phase"] == "Bound") {
            told["bound"] = json!(true);
            told["volume"] = claim["spec"]["volumeName"].clone();
        }
    } else {
        let settings = json!([cluster.repo(name), cluster.pgbackrest()["global"]]).to_string();
        told["repoOptionsHash"] = json!(crate::sandbox::controllers::letters(&settings, 10));
    }
    told
}
