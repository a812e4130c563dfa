//! Restores: how the operator takes a cluster apart, runs the Job, and puts it together again.

use serde_json::{Value, json};

use super::decide::{self, Decision, Wanted};
use super::{Cluster, Desk, L, cluster_of, instances, options, repos, status};

fn job_key(desk: &Desk<'_>, cluster: &Cluster) -> String {
    desk.sibling(&cluster.key, "job", &format!("{}-pgbackrest-restore", cluster.name))
}

/// Works on a restore, if one is asked for: whether that is all there is to do for now.
pub(super) fn restore(desk: &mut Desk<'_>, cluster: &mut Cluster) -> bool {
    let key = job_key(desk, cluster);
    let hash = desk.object(&key).map(|job| {
        job["metadata"]["annotations"][format!("{L}/pgbackrest-hash")].as_str().unwrap_or_default().to_owned()
    });
    observe(desk, cluster, &key);
    let decision = decide::decide(&cluster.object, hash.as_deref());
    let Some(wanted) = decide::wanted(&cluster.object) else {
        clean(desk, cluster, &key);
        return false;
    };
    match decision {
        Decision::Nothing | Decision::Continue => {
            clean(desk, cluster, &key);
            return false;
        }
        Decision::Prepare => prepare(desk, cluster, &wanted, &key),
        Decision::Job => run(desk, cluster, &wanted, &key),
    }
    true
}

/// Tells how the Job stands, as long as it is there.
fn observe(desk: &Desk<'_>, cluster: &mut Cluster, key: &str) {
    let Some(job) = desk.object(key) else { return };
    let old = cluster.object["status"]["pgbackrest"]["restore"].clone();
    let Some(id) = old["id"].as_str() else { return };
    let told = status::of_job(id, Some(job), &old);
    let ended = crate::sandbox::controllers::jobs::ended(job);
    cluster.object["status"]["pgbackrest"]["restore"] = told;
    match ended {
        Some(true) => {
            status::set(
                desk,
                cluster,
                "PostgresDataInitialized",
                "True",
                "PGBackRestRestoreComplete",
                "pgBackRest restore completed successfully",
            );
            status::remove(cluster, "PGBackRestoreProgressing");
        }
        Some(false) => status::set(
            desk,
            cluster,
            "PostgresDataInitialized",
            "False",
            "PGBackRestRestoreFailed",
            "pgBackRest restore failed",
        ),
        None => {}
    }
}

/// The Job goes as soon as the database is up.
fn clean(desk: &mut Desk<'_>, cluster: &Cluster, key: &str) {
    let up = cluster.object["status"]["patroni"]["systemIdentifier"].is_string();
    if up && desk.object(key).is_some_and(|job| crate::sandbox::controllers::jobs::ended(job).is_some()) {
        desk.remove(key);
    }
}

/// One step of taking the cluster apart. Nothing asks whether it runs, nor whether what it is to be restored from is any good.
fn prepare(desk: &mut Desk<'_>, cluster: &mut Cluster, wanted: &Wanted, job: &str) {
    if cluster.object["status"]["pgbackrest"]["restore"]["id"] != json!(wanted.id) {
        let (instance, set) = instances::startup(desk, cluster);
        cluster.set("startupInstance", json!(instance));
        cluster.set("startupInstanceSet", json!(set));
    }
    cluster.set("pgbackrest", json!({ "restore": { "id": wanted.id, "finished": false } }));
    let say = |desk: &Desk<'_>, cluster: &mut Cluster, what: &str| {
        let message = format!("Preparing cluster to restore in-place: {what}");
        status::set(desk, cluster, "PGBackRestoreProgressing", "True", "RestoreInPlaceRequested", &message);
    };
    let at = desk.at;
    let again = |desk: &mut Desk<'_>, cluster: &Cluster| desk.clusters.wake(&cluster.key, at);
    if desk.object(job).is_some() {
        say(desk, cluster, "removing restore job");
        desk.remove(job);
        return again(desk, cluster);
    }
    let created: Vec<String> = desk
        .beside(&cluster.key, "job")
        .filter(|(_, job)| {
            super::label(job, "cluster") == cluster.name && super::label(job, "pgbackrest-backup") == "replica-create"
        })
        .map(|(key, _)| key.clone())
        .collect();
    created.iter().for_each(|key| desk.remove(key));
    let runners = instances::runners(desk, cluster);
    if !runners.is_empty() {
        say(desk, cluster, "removing runners");
        let stamp = crate::sandbox::controllers::stamp(desk.at);
        for (key, _) in runners.iter().filter(|(_, set)| set["metadata"]["deletionTimestamp"].is_null()) {
            desk.edit(key, |set| set["metadata"]["deletionTimestamp"] = json!(stamp));
        }
        return;
    }
    let endpoints: Vec<String> = ["ha", "ha-config", "ha-failover"]
        .iter()
        .map(|suffix| desk.sibling(&cluster.key, "endpoints", &format!("{}-{suffix}", cluster.name)))
        .filter(|key| desk.object(key).is_some())
        .collect();
    if !endpoints.is_empty() {
        say(desk, cluster, "removing DCS");
        endpoints.iter().for_each(|key| desk.remove(key));
        return again(desk, cluster);
    }
    status::remove(cluster, "PostgresDataInitialized");
    cluster.set("patroni", Value::Null);
    status::set(desk, cluster, "PGBackRestoreProgressing", "True", "ReadyForRestore", "Restoring");
}

/// What a Job restores from: where that is, the settings to reach it, and the repository's name.
pub(super) struct Source {
    /// Where.
    pub location: String,
    /// What holds `configuration` and `global`.
    pub settings: Value,
    /// The repository's name.
    pub repo: String,
}

/// Where a restore takes its data from.
///
/// # Errors
/// What the Event says that the operator writes instead of making a Job.
pub(super) fn source(desk: &Desk<'_>, cluster: &Cluster, wanted: &Wanted) -> Result<Source, String> {
    let from = &wanted.source;
    if from["repo"].is_object() {
        let repo = from["repo"]["name"].as_str().unwrap_or_default().to_owned();
        return Ok(Source {
            location: repos::location(&cluster.key, &from["repo"], &from["global"]),
            settings: from.clone(),
            repo,
        });
    }
    let name = from["clusterName"].as_str().filter(|name| !name.is_empty()).unwrap_or(&cluster.name);
    let own = cluster.key.split('/').nth(1).unwrap_or_default();
    let namespace = from["clusterNamespace"].as_str().filter(|name| !name.is_empty()).unwrap_or(own);
    let place = cluster.key.split('/').next().unwrap_or_default();
    let key = format!("{place}/{namespace}/postgrescluster/{name}");
    let found = Cluster::at(desk, &key).ok_or_else(|| format!("PostgresCluster \"{name}\" does not exist"))?;
    let repo = from["repoName"].as_str().unwrap_or_default().to_owned();
    let location = found
        .location(&repo)
        .ok_or_else(|| format!("PostgresCluster \"{name}\" does not have a repo named \"{repo}\" defined"))?;
    // What reaches its repositories is copied with it.
    Ok(Source {
        location,
        settings: json!({ "global": found.pgbackrest()["global"], "configuration": found.pgbackrest()["configuration"], "of": key }),
        repo,
    })
}

/// The options of a restore.
pub(super) fn texts(source: &Value) -> Vec<String> {
    source["options"].as_array().into_iter().flatten().filter_map(Value::as_str).map(str::to_owned).collect()
}

/// Makes the Job, unless what it is to do is wrong: then there is an Event, and nothing else, for ever.
fn run(desk: &mut Desk<'_>, cluster: &mut Cluster, wanted: &Wanted, key: &str) {
    let from = match source(desk, cluster, wanted) {
        Ok(from) => from,
        Err(what) => return status::event(desk, cluster, "Warning", "InvalidDataSource", &what),
    };
    let texts = texts(&wanted.source);
    if let Some(what) = options::refused(&texts) {
        return status::event(desk, cluster, "Warning", "InvalidDataSource", &what);
    }
    let instance = cluster.startup_instance().to_owned();
    let set = super::text(&cluster.object, "/status/startupInstanceSet").to_owned();
    instances::claim(desk, cluster, &set, &instance);
    let labels = cluster.labels(&[("pgbackrest", ""), ("pgbackrest-restore", ""), ("startup-instance", &instance)]);
    let mut command = vec![
        "bash".to_owned(),
        "-xc".to_owned(),
        "pgbackrest restore".to_owned(),
        "--delta".to_owned(),
        "--stanza=db".to_owned(),
    ];
    command.push(format!("--repo={}", from.repo.trim_start_matches("repo")));
    command.extend(texts.iter().cloned());
    if texts.iter().any(|text| text.split(['=', ' ']).next() == Some("--target")) {
        command.push("--target-action=promote".to_owned());
    }
    let mut job = instances::object("batch/v1", "Job", labels.clone());
    job["metadata"]["annotations"] = json!({ format!("{L}/pgbackrest-hash"): decide::hash(&wanted.source) });
    job["spec"] = json!({ "template": { "metadata": { "labels": labels }, "spec": {
        "containers": [{ "name": "pgbackrest-restore", "image": cluster.pgbackrest()["image"], "command": command }],
    } } });
    desk.make(key, job, Some(&cluster.object));
    observe(desk, cluster, key);
}

/// The cluster and the restore that a Job is of.
pub(super) fn of_job(desk: &Desk<'_>, key: &str, job: &Value) -> Option<(Cluster, Wanted)> {
    let cluster = Cluster::at(desk, &cluster_of(desk, key, job)?)?;
    let wanted = decide::wanted(&cluster.object)?;
    Some((cluster, wanted))
}
