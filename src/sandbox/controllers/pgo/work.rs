//! What Jobs do to data: the operator's restores and backups, and loads; how they end.

use super::data::Backup;
use super::options::Options;
use super::{Cluster, Desk, label, loads, repos, restore};
use crate::model::Value;
use crate::sandbox::controllers::{after, text};

/// How long a restore or a backup runs, in milliseconds.
const WORK_MS: u64 = 60_000;

/// How a try of a Job ends.
pub(in crate::sandbox::controllers) enum Course {
    /// The Job is none of these.
    Another,
    /// Well.
    Good,
    /// Badly, with what its Pod has printed.
    Bad(String),
    /// It has not begun: its Pod cannot start, and says why.
    Stuck(String),
}

fn is_restore(job: &Value) -> bool {
    job["metadata"]["labels"][format!("{}/pgbackrest-restore", super::L)].is_string()
}

fn is_backup(job: &Value) -> bool {
    !label(job, "pgbackrest-backup").is_empty() && job["kind"] == "Job"
}

/// How long a try of a Job runs, if it is one of these.
pub(in crate::sandbox::controllers) fn try_ms(job: &Value) -> Option<u64> {
    (is_restore(job) || is_backup(job) || loads::is_load(job)).then_some(WORK_MS)
}

/// A Job's Pod has started: from here on a restore overwrites what is there.
pub(in crate::sandbox::controllers) fn begin(desk: &mut Desk<'_>, key: &str, job: &Value) {
    if loads::is_load(job) && desk.clusters.pgo.is_some() {
        return loads::begin(desk, key, job);
    }
    if !is_restore(job) || stuck(desk, key, job).is_some() {
        return;
    }
    let Some((cluster, _)) = restore::of_job(desk, key, job) else { return };
    if let Some(pgo) = &mut desk.clusters.pgo
        && let Some(data) = pgo.data.get_mut(&cluster.key)
    {
        data.half = true;
    }
}

/// Why the Pod of a restore cannot start.
fn stuck(desk: &Desk<'_>, key: &str, job: &Value) -> Option<String> {
    let (cluster, wanted) = restore::of_job(desk, key, job)?;
    let from = restore::source(desk, &cluster, &wanted).ok()?;
    let of = from.settings["of"].as_str().unwrap_or(key).to_owned();
    repos::missing(desk, &of, &from.settings)
        .map(|name| format!("MountVolume.SetUp failed: secret \"{name}\" not found"))
}

/// How a try ends that is over now; what a good one does is done.
pub(in crate::sandbox::controllers) fn course(desk: &mut Desk<'_>, key: &str, job: &Value) -> Course {
    if desk.clusters.pgo.is_none() || !(is_restore(job) || is_backup(job) || loads::is_load(job)) {
        return Course::Another;
    }
    if loads::is_load(job) {
        return match loads::stuck(desk, key, job) {
            Some(why) => Course::Stuck(why),
            None => loads::loaded(desk, key, job).map_or_else(Course::Bad, |()| Course::Good),
        };
    }
    if is_restore(job)
        && let Some(why) = stuck(desk, key, job)
    {
        return Course::Stuck(why);
    }
    let done = if is_restore(job) { restored(desk, key, job) } else { backed_up(desk, key, job) };
    match done {
        Ok(()) => Course::Good,
        Err(why) => Course::Bad(why),
    }
}

fn restored(desk: &mut Desk<'_>, key: &str, job: &Value) -> Result<(), String> {
    let (cluster, wanted) = restore::of_job(desk, key, job).ok_or("there is nothing to restore any more")?;
    let from = restore::source(desk, &cluster, &wanted)?;
    let of = from.settings["of"].as_str().unwrap_or(key).to_owned();
    if let Some(why) = repos::unreachable(desk, &of, &from.location, &from.settings, &from.repo) {
        return Err(why);
    }
    let options = Options::parse(&restore::texts(&wanted.source))?;
    let at = desk.at;
    let pgo = desk.clusters.pgo.as_mut().ok_or("there is no operator")?;
    let stanza = pgo.repos.get(&from.location).filter(|stanza| !stanza.backups.is_empty());
    let stanza = stanza
        .ok_or_else(|| format!("ERROR: [055]: unable to load info file '{}/backup/db/backup.info'", from.location))?;
    if cluster.object["spec"]["postgresVersion"].as_u64().is_some_and(|major| major != stanza.major) {
        return Err(format!(
            "FATAL: database files are incompatible with server: initialized by PostgreSQL version {}",
            stanza.major
        ));
    }
    let mut data = stanza.restored(&options, |wal| pgo.data.get(&wal.by), at)?;
    if wanted.in_place {
        // Who used it goes on using it.
        data.idle_since = None;
    }
    pgo.data.insert(cluster.key, data);
    Ok(())
}

fn backed_up(desk: &mut Desk<'_>, key: &str, job: &Value) -> Result<(), String> {
    let cluster =
        super::cluster_of(desk, key, job).and_then(|of| Cluster::at(desk, &of)).ok_or("its cluster is gone")?;
    repos::writable(desk, &cluster.key, &cluster.name)
        .ok_or("ERROR: [056]: unable to find primary cluster - cannot proceed")?;
    let repo = label(job, "pgbackrest-repo").to_owned();
    let location = cluster.location(&repo).ok_or("ERROR: [037]: backup command requires option: repo")?;
    if let Some(why) = repos::unreachable(desk, &cluster.key, &location, cluster.pgbackrest(), &repo) {
        return Err(why);
    }
    let others = desk.beside(key, "job").filter(|(other, _)| *other != key);
    let earlier = |other: &Value| {
        is_backup(other)
            && label(other, "cluster") == cluster.name
            && other["status"]["active"] == 1
            && text(other, "/status/startTime") < text(job, "/status/startTime")
    };
    if others.into_iter().any(|(_, other)| earlier(other)) {
        return Err("ERROR: [050]: unable to acquire lock on file '/tmp/pgbackrest/db-backup.lock'".to_owned());
    }
    let command: Vec<String> = job["spec"]["template"]["spec"]["containers"][0]["command"]
        .as_array()
        .into_iter()
        .flatten()
        .filter_map(|word| word.as_str().map(str::to_owned))
        .collect();
    let wanted = command.iter().find_map(|word| word.strip_prefix("--type=")).unwrap_or("incr").to_owned();
    let keeps = &cluster.pgbackrest()["global"][format!("{repo}-retention-full")];
    let keeps = keeps.as_u64().or_else(|| keeps.as_str().and_then(|text| text.parse().ok()));
    let (at, start) = (desk.at, desk.at.saturating_sub(std::time::Duration::from_millis(WORK_MS)).unwrap_or(desk.at));
    let pgo = desk.clusters.pgo.as_mut().ok_or("there is no operator")?;
    let data = pgo.data.get(&cluster.key).cloned().ok_or("ERROR: [056]: there are no data")?;
    let stanza = pgo.repos.get_mut(&location).ok_or("ERROR: [055]: stanza is missing")?;
    if stanza.system != data.system {
        return Err("ERROR: [028]: backup and archive info files exist but do not match the database".to_owned());
    }
    let (label, kind) = stanza.label(&wanted, start);
    stanza.backups.push(Backup {
        label,
        kind,
        start,
        stop: after(at, 0),
        timeline: data.timeline,
        system: data.system,
    });
    if let Some(fulls) = keeps.and_then(|count| usize::try_from(count).ok()) {
        stanza.expire(fulls);
    }
    Ok(())
}
