//! Jobs: a Pod a try, again with longer and longer pauses until one succeeds or there were enough.

use serde_json::json;

use super::pgo::{self, Course};
use super::{Desk, Manner, after, letters, settle, stamp, text};
use crate::model::{Timestamp, Value, glob};
use crate::ops::k8s::Named;
use crate::sandbox::kubernetes::Kubernetes;

/// How long a try runs, in milliseconds.
const TRY_MS: u64 = 20_000;
/// How long until the second try, which doubles from one to the next.
const PAUSE_MS: u64 = 10_000;
/// How long until a Pod that cannot start is tried again.
const STUCK_MS: u64 = 60_000;
/// How often a Job is tried again that does not say it.
const RETRIES: u64 = 6;

fn retries(job: &Value) -> u64 {
    job["spec"]["backoffLimit"].as_u64().unwrap_or(RETRIES)
}

fn is_failing(clusters: &Kubernetes, job: &Value) -> bool {
    let name = format!("{}/{}", text(job, "/metadata/namespace"), text(job, "/metadata/name"));
    clusters.failing.iter().any(|pattern| glob::matches(pattern, &name))
}

fn pause(failed: u64) -> u64 {
    PAUSE_MS << failed.saturating_sub(1).min(5)
}

/// How long a Job takes from an instant on until it has succeeded, or failed for good.
#[must_use]
pub fn takes(clusters: &Kubernetes, named: &Named, job: &Value, from: Timestamp, manner: Manner) -> u64 {
    let own = pgo::try_ms(job).filter(|_| clusters.pgo.is_some());
    let each = own.unwrap_or(TRY_MS);
    let all = (1..=retries(job)).map(pause).sum::<u64>() + (retries(job) + 1) * each;
    if is_failing(clusters, job) {
        return all;
    }
    if own.is_none() {
        return each;
    }
    // The data that it works on decide whether it succeeds: it is tried.
    let mut tried = clusters.clone();
    tried.put(named, job.clone(), Some(from), manner.planned);
    settle(&mut tried, after(from, each), manner);
    let done = tried.objects.get(&named.key()).is_some_and(|held| ended(&held.object) == Some(true));
    if done { each } else { all }
}

/// Whether a Job has ended, and well.
#[must_use]
pub(super) fn ended(job: &Value) -> Option<bool> {
    let conditions = job["status"]["conditions"].as_array()?;
    let has = |kind: &str| conditions.iter().any(|one| one["type"] == kind && one["status"] == "True");
    if has("Complete") { Some(true) } else { has("Failed").then_some(false) }
}

/// Moves a Job on.
pub(super) fn job(desk: &mut Desk<'_>, key: &str) {
    let Some(job) = desk.object(key).cloned() else { return };
    if desk.held(key).is_none_or(|held| held.since.is_none()) || job["spec"]["suspend"] == true {
        return;
    }
    if ended(&job).is_some() {
        return finished(desk, key, &job);
    }
    if let Some(due) = desk.due(key).filter(|due| *due > desk.at) {
        return desk.clusters.wake(key, due);
    }
    let failed = job["status"]["failed"].as_u64().unwrap_or(0);
    let running = job["status"]["active"].as_u64().unwrap_or(0) > 0;
    let pod = desk.sibling(
        key,
        "pod",
        &format!("{}-{}", text(&job, "/metadata/name"), letters(&format!("{key} {failed}"), 5)),
    );
    let mut status = json!({ "startTime": job["status"]["startTime"] });
    if job["status"]["startTime"].is_null() {
        status["startTime"] = json!(stamp(desk.at));
    }
    if failed > 0 {
        status["failed"] = json!(failed);
    }
    if !running {
        begin(desk, &job, &pod);
        pgo::begin(desk, key, &job);
        status["active"] = json!(1);
        desk.defer(key, Some(pgo::try_ms(&job).unwrap_or(TRY_MS)));
        return desk.set_status(key, status);
    }
    let at = stamp(desk.at);
    let (mut fails, mut said) = (is_failing(desk.clusters, &job), String::new());
    if fails {
        said = "the world lets it fail".to_owned();
    } else {
        match pgo::course(desk, key, &job) {
            Course::Another => {}
            Course::Good => said = "completed successfully".to_owned(),
            Course::Bad(why) => (fails, said) = (true, why),
            Course::Stuck(why) => {
                let waiting = json!({ "phase": "Pending", "conditions": [{ "type": "Ready", "status": "False", "message": why }] });
                desk.edit(&pod, |pod| pod["status"] = waiting);
                return desk.defer(key, Some(STUCK_MS));
            }
        }
    }
    if !said.is_empty()
        && let Some(object) = desk.object(&pod)
    {
        let name = format!("{}/{}", text(object, "/metadata/namespace"), text(object, "/metadata/name"));
        desk.clusters.logs.insert(name, format!("{said}\n"));
    }
    if !desk.manner.partial {
        desk.edit(&pod, |pod| pod["status"] = json!({ "phase": if fails { "Failed" } else { "Succeeded" } }));
    }
    let condition = |kind: &str, reason: &str| json!({ "type": kind, "status": "True", "reason": reason, "lastTransitionTime": at });
    desk.defer(key, None);
    if !fails {
        status["succeeded"] = json!(1);
        status["completionTime"] = json!(at);
        status["conditions"] = json!([condition("Complete", "CompletionsReached")]);
    } else {
        status["failed"] = json!(failed + 1);
        if failed + 1 > retries(&job) {
            status["conditions"] = json!([condition("Failed", "BackoffLimitExceeded")]);
        } else {
            desk.defer(key, Some(pause(failed + 1)));
        }
    }
    desk.set_status(key, status);
    finished(desk, key, &job);
}

/// A Job that has ended goes after the time it gives itself.
fn finished(desk: &mut Desk<'_>, key: &str, job: &Value) {
    let Some(seconds) = job["spec"]["ttlSecondsAfterFinished"].as_u64() else { return };
    match desk.due(key) {
        None => {
            if desk.object(key).is_some_and(|job| ended(job).is_some()) {
                desk.defer(key, Some(seconds * 1_000));
            }
        }
        Some(due) if due <= desk.at => desk.remove(key),
        Some(due) => desk.clusters.wake(key, due),
    }
}

/// The Pod of a try.
fn begin(desk: &mut Desk<'_>, job: &Value, pod_key: &str) {
    if desk.manner.partial {
        return;
    }
    let template = &job["spec"]["template"];
    let mut pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "labels": {} }, "spec": template["spec"] });
    for (name, value) in template["metadata"]["labels"].as_object().into_iter().flatten() {
        pod["metadata"]["labels"][name] = value.clone();
    }
    for label in ["job-name", "batch.kubernetes.io/job-name"] {
        pod["metadata"]["labels"][label] = job["metadata"]["name"].clone();
    }
    desk.make(pod_key, pod, Some(job));
}
