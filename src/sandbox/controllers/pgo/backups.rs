//! Backups: stanzas, the backup that replicas are made from, those that somebody asks for, and schedules.

use serde_json::json;

use super::{Cluster, Desk, L, instances, label, repos, status};
use crate::model::Value;
use crate::sandbox::controllers::jobs::ended;
use crate::sandbox::controllers::{letters, pods, stamp};

/// Works on all that has to do with backups.
pub(super) fn backups(desk: &mut Desk<'_>, cluster: &mut Cluster) {
    let writes = repos::writable(desk, &cluster.key, &cluster.name).is_some();
    stanzas(desk, cluster, writes);
    let host = host(desk, cluster);
    replica_create(desk, cluster, writes);
    manual(desk, cluster, writes, host);
    schedules(desk, cluster);
}

/// The host of repositories that are volumes: whether it is there for them.
fn host(desk: &Desk<'_>, cluster: &mut Cluster) -> bool {
    let key = desk.sibling(&cluster.key, "pod", &format!("{}-repo-host-0", cluster.name));
    let wanted =
        desk.object(&desk.sibling(&cluster.key, "statefulset", &format!("{}-repo-host", cluster.name))).is_some();
    if !wanted {
        status::remove(cluster, "PGBackRestRepoHostReady");
        return true;
    }
    let ready = desk.object(&key).is_some_and(pods::is_ready);
    cluster.object["status"]["pgbackrest"]["repoHost"] =
        json!({ "apiVersion": "apps/v1", "kind": "StatefulSet", "ready": ready });
    if ready {
        status::set(
            desk,
            cluster,
            "PGBackRestRepoHostReady",
            "True",
            "RepoHostReady",
            "pgBackRest dedicated repository host is ready",
        );
    } else {
        status::set(
            desk,
            cluster,
            "PGBackRestRepoHostReady",
            "False",
            "RepoHostNotReady",
            "pgBackRest dedicated repository host is not ready",
        );
    }
    ready
}

fn stanzas(desk: &mut Desk<'_>, cluster: &mut Cluster, writes: bool) {
    let old = cluster.object["status"]["pgbackrest"]["repos"].as_array().cloned().unwrap_or_default();
    let mut told = Vec::new();
    for name in cluster.repos() {
        let known = old.iter().find(|one| one["name"] == name).cloned().unwrap_or_default();
        let mut one = repos::told(desk, cluster, &name, &known);
        let location = cluster.location(&name).unwrap_or_default();
        if writes && one["stanzaCreated"] == false {
            match repos::unreachable(desk, &cluster.key, &location, cluster.pgbackrest(), &name) {
                None => {
                    repos::create(desk, cluster, &location);
                    one["stanzaCreated"] = json!(true);
                    status::event(
                        desk,
                        cluster,
                        "Normal",
                        "StanzasCreated",
                        "pgBackRest stanza creation completed successfully",
                    );
                }
                Some(why) => status::event(desk, cluster, "Warning", "UnableToCreateStanzas", &why),
            }
        }
        told.push(one);
    }
    cluster.object["status"]["pgbackrest"]["repos"] = json!(told);
    let first = told.first().is_some_and(|one| one["stanzaCreated"] == true);
    if first {
        status::set(
            desk,
            cluster,
            "PGBackRestReplicaRepoReady",
            "True",
            "StanzaCreated",
            "pgBackRest replica create repo is ready for backups",
        );
    } else {
        status::set(
            desk,
            cluster,
            "PGBackRestReplicaRepoReady",
            "False",
            "StanzaNotCreated",
            "pgBackRest replica create repo is not ready for backups",
        );
    }
}

/// The Job of a backup.
fn job(desk: &mut Desk<'_>, cluster: &Cluster, what: &str, repo: &str, options: &[String], id: &str) {
    let drawn = letters(&format!("{} {what} {id} {}", cluster.key, stamp(desk.at)), 4);
    let key = desk.sibling(&cluster.key, "job", &format!("{}-backup-{drawn}", cluster.name));
    let labels = cluster.labels(&[("pgbackrest", ""), ("pgbackrest-repo", repo), ("pgbackrest-backup", what)]);
    let mut job = instances::object("batch/v1", "Job", labels.clone());
    job["metadata"]["annotations"] = json!({ format!("{L}/pgbackrest-backup"): id });
    let mut command = vec![
        "pgbackrest".to_owned(),
        "backup".to_owned(),
        "--stanza=db".to_owned(),
        format!("--repo={}", repo.trim_start_matches("repo")),
    ];
    command.extend(options.iter().cloned());
    job["spec"] = json!({ "template": { "metadata": { "labels": labels }, "spec": {
        "containers": [{ "name": "pgbackrest", "image": cluster.pgbackrest()["image"], "command": command }],
    } } });
    desk.make(&key, job, Some(&cluster.object));
}

fn jobs_of(desk: &Desk<'_>, cluster: &Cluster, what: &str) -> Vec<(String, Value)> {
    let all = desk
        .beside(&cluster.key, "job")
        .filter(|(_, job)| label(job, "cluster") == cluster.name && label(job, "pgbackrest-backup") == what);
    all.map(|(key, job)| (key.clone(), job.clone())).collect()
}

fn repo_status<'c>(cluster: &'c mut Cluster, name: &str) -> Option<&'c mut Value> {
    cluster.object["status"]["pgbackrest"]["repos"].as_array_mut()?.iter_mut().find(|one| one["name"] == name)
}

/// The backup that replicas are made from: one for each new life of the cluster.
fn replica_create(desk: &mut Desk<'_>, cluster: &mut Cluster, writes: bool) {
    let Some(repo) = cluster.repos().into_iter().next() else { return };
    let there = jobs_of(desk, cluster, "replica-create");
    let ready = status::is_true(&cluster.object["status"], "PGBackRestReplicaRepoReady");
    let mut done = repo_status(cluster, &repo).is_some_and(|one| one["replicaCreateBackupComplete"] == true);
    for (key, job) in &there {
        match ended(job) {
            Some(true) if ready => done = true,
            Some(false) => desk.remove(key),
            _ => {}
        }
    }
    if done {
        if let Some(one) = repo_status(cluster, &repo) {
            one["replicaCreateBackupComplete"] = json!(true);
        }
        return status::set(
            desk,
            cluster,
            "PGBackRestReplicaCreate",
            "True",
            "RepoBackupComplete",
            "pgBackRest replica creation is now possible",
        );
    }
    status::set(
        desk,
        cluster,
        "PGBackRestReplicaCreate",
        "False",
        "RepoBackupNotComplete",
        "pgBackRest replica creation is not currently possible",
    );
    if writes && ready && there.is_empty() {
        job(desk, cluster, "replica-create", &repo, &[], "");
    }
}

/// The backup that somebody asks for. Much keeps it from being made, and little of that is told.
fn manual(desk: &mut Desk<'_>, cluster: &mut Cluster, writes: bool, host: bool) {
    let id = cluster.object["metadata"]["annotations"][format!("{L}/pgbackrest-backup")]
        .as_str()
        .unwrap_or_default()
        .to_owned();
    let there = jobs_of(desk, cluster, "manual");
    if let Some((_, job)) = there.first() {
        let own =
            job["metadata"]["annotations"][format!("{L}/pgbackrest-backup")].as_str().unwrap_or_default().to_owned();
        let told = status::of_job(&own, Some(job), &cluster.object["status"]["pgbackrest"]["manualBackup"]);
        cluster.object["status"]["pgbackrest"]["manualBackup"] = told;
        match ended(job) {
            None => return,
            Some(true) => status::set(
                desk,
                cluster,
                "PGBackRestManualBackupSuccessful",
                "True",
                "ManualBackupComplete",
                "Manual backup completed successfully",
            ),
            Some(false) => status::set(
                desk,
                cluster,
                "PGBackRestManualBackupSuccessful",
                "False",
                "ManualBackupFailed",
                "Manual backup did not complete successfully",
            ),
        }
        if own == id {
            return;
        }
    }
    let wanted = cluster.pgbackrest()["manual"].clone();
    let last = &cluster.object["status"]["pgbackrest"]["manualBackup"];
    if id.is_empty() || !wanted.is_object() || (last["id"] == id && last["finished"] == true) {
        return;
    }
    if !writes || !host || !status::is_true(&cluster.object["status"], "PGBackRestReplicaCreate") {
        return;
    }
    let repo = wanted["repoName"].as_str().unwrap_or_default().to_owned();
    let Some(known) = repo_status(cluster, &repo).cloned() else {
        let what = format!(
            "Unable to find status for \"{repo}\" as configured for a manual backup.  Please ensure this repo is defined in the spec."
        );
        return status::event(desk, cluster, "Warning", "InvalidBackupRepo", &what);
    };
    if known["stanzaCreated"] != true {
        return status::event(
            desk,
            cluster,
            "Warning",
            "StanzaNotCreated",
            &format!("Stanza not created for \"{repo}\" as specified for a manual backup"),
        );
    }
    let options = super::restore::texts(&wanted);
    if options.iter().any(|option| option.contains("--repo=") || option.contains("--repo ")) {
        return status::event(
            desk,
            cluster,
            "Warning",
            "InvalidManualBackup",
            "Option '--repo' is not allowed: please use the 'repoName' field instead.",
        );
    }
    there.iter().for_each(|(key, _)| desk.remove(key));
    status::remove(cluster, "PGBackRestManualBackupSuccessful");
    cluster.object["status"]["pgbackrest"]["manualBackup"] = json!({ "id": id, "finished": false });
    job(desk, cluster, "manual", &repo, &options, &id);
}

/// What is to be done again and again: suspended in a cluster that is shut down, or a standby.
fn schedules(desk: &mut Desk<'_>, cluster: &Cluster) {
    let suspend = cluster.is_shutdown() || cluster.is_standby();
    for repo in cluster.repos() {
        let schedules = cluster.repo(&repo).map(|one| one["schedules"].clone()).unwrap_or_default();
        for (field, kind) in [("full", "full"), ("differential", "diff"), ("incremental", "incr")] {
            let key = desk.sibling(&cluster.key, "cronjob", &format!("{}-{repo}-{kind}", cluster.name));
            let Some(schedule) = schedules[field].as_str() else {
                if desk.object(&key).is_some() {
                    desk.remove(&key);
                }
                continue;
            };
            let labels = cluster.labels(&[
                ("pgbackrest", ""),
                ("pgbackrest-repo", &repo),
                ("pgbackrest-cronjob", kind),
                ("pgbackrest-backup", "scheduled"),
            ]);
            let object = instances::object("batch/v1", "CronJob", labels);
            desk.make(&key, object, Some(&cluster.object));
            desk.edit(&key, |object| object["spec"] = json!({ "schedule": schedule, "suspend": suspend }));
        }
    }
}
