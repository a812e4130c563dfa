//! Releases of charts in the world.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::{Call, Effect, Model};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::helm::client::Cluster;
use crate::ops::helm::{merged, nested, shown_object, shown_values, workload_names};
use crate::ops::host::{Polled, Probe};
use crate::ops::k8s::Named;
use crate::sandbox::World;
use crate::sandbox::content::{Content, sha256_hex};
use crate::sandbox::helm::{Chart, Release, Revision};
use crate::sandbox::veil::{mark, unseen};

pub(super) fn models() -> Vec<(&'static str, Model)> {
    vec![
        ("helm.release", Model::Read(standing)),
        ("helm.values", Model::Read(values)),
        ("helm.history", Model::Read(history)),
        ("helm.manifest", Model::Read(manifest)),
        ("helm.template", Model::Read(template)),
        ("helm.wait_rolled_out", Model::Wait(rolled_out)),
        (
            "helm.upgrade",
            Model::Write(
                Effect::new(before_upgrade, upgrade, probe_upgrade)
                    .by_child(|_, _| 3000)
                    .fingerprint(|world, call, _| Ok(json!({ "revision": number_of(world, call) })))
                    .half(half_upgrade),
            ),
        ),
        (
            "helm.rollback",
            Model::Write(
                Effect::new(before_rollback, rollback, probe_rollback)
                    .by_child(|_, _| 3000)
                    .fingerprint(|world, call, _| Ok(json!({ "revision": number_of(world, call) }))),
            ),
        ),
        (
            "helm.uninstall",
            Model::Write(Effect::new(before_uninstall, uninstall, probe_uninstall).by_child(|_, _| 2000)),
        ),
    ]
}

/// The name of the release that these arguments name: that of its cluster, its namespace and its own.
#[must_use]
pub fn named(args: &Value) -> String {
    let cluster: Cluster =
        args.get("cluster").and_then(|cluster| serde_json::from_value(cluster.clone()).ok()).unwrap_or_default();
    format!("{}/{}", cluster.name(), args.get("release").and_then(Value::as_str).unwrap_or_default())
}

/// The identity of the cluster of a call.
pub(super) fn target(call: &Call<'_>) -> Target {
    let named = named(call.args);
    let cluster = named.split('/').next().unwrap_or_default();
    let sum = sha256_hex(format!("cluster {cluster}").as_bytes());
    Target { name: format!("kubernetes {cluster}"), identity: format!("kube-system {}", &sum[..32]) }
}

fn release<'w>(world: &'w World, call: &Call<'_>) -> Option<&'w Release> {
    world.releases.get(&named(call.args)).filter(|found| !found.revisions.is_empty())
}

fn number_of(world: &World, call: &Call<'_>) -> Option<u32> {
    release(world, call)?.latest().map(|latest| latest.number)
}

fn place(call: &Call<'_>) -> (String, String) {
    let text = call.maybe_text("release").unwrap_or_default();
    text.split_once('/').map(|(namespace, name)| (namespace.to_owned(), name.to_owned())).unwrap_or_default()
}

fn revision<'w>(world: &'w World, call: &Call<'_>, act: &str) -> Result<&'w Revision, OpError> {
    let missing = |what: String| OpError::refused(format!("{act}: {what}"));
    let found = release(world, call).ok_or_else(|| missing("there is no such release".to_owned()))?;
    match call.maybe::<u32>("revision") {
        None => found.latest().ok_or_else(|| missing("there is no such release".to_owned())),
        Some(wanted) => found
            .revisions
            .iter()
            .find(|revision| revision.number == wanted)
            .ok_or_else(|| missing(format!("history has no revision {wanted}"))),
    }
}

fn standing(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let Some(latest) = release(world, call).and_then(Release::latest) else {
        return Ok(json!({
            "exists": false, "revision": 0, "status": "", "chart": "", "chart_version": "", "app_version": "", "updated": "",
        }));
    };
    Ok(json!({
        "exists": true, "revision": latest.number, "status": latest.status, "chart": latest.chart,
        "chart_version": latest.chart_version, "app_version": latest.app_version, "updated": latest.updated.to_string(),
    }))
}

fn values(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let found = revision(world, call, &format!("cannot read the values of release {}", call.text("release")?))?;
    if call.flag("computed") {
        if found.defaults.is_null() {
            return Err(unseen(&format!("the values of chart {} itself", found.chart)));
        }
        return Ok(json!({ "revision": found.number, "values": merged(&found.defaults, &found.values) }));
    }
    Ok(json!({ "revision": found.number, "values": found.values }))
}

fn history(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let revisions = release(world, call).map(|found| found.revisions.as_slice()).unwrap_or_default();
    let listed = revisions.iter().map(|one| {
        json!({
            "revision": one.number, "status": one.status, "chart": format!("{}-{}", one.chart, one.chart_version),
            "app_version": one.app_version, "updated": one.updated.to_string(), "description": one.description,
        })
    });
    Ok(json!({ "revisions": listed.collect::<Vec<_>>() }))
}

fn manifest(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let found = revision(world, call, &format!("cannot read the manifest of release {}", call.text("release")?))?;
    let Some(objects) = &found.objects else { return Err(unseen("what the chart renders")) };
    Ok(json!({ "revision": found.number, "objects": objects.iter().map(shown_object).collect::<Vec<_>>() }))
}

fn act_of(call: &Call<'_>) -> String {
    format!("cannot upgrade release {}", call.maybe_text("release").unwrap_or_default())
}

/// The chart of an upgrade; nothing in a plan over a live system, which has it.
fn chart<'w>(world: &'w World, call: &Call<'_>) -> Result<Option<&'w Chart>, OpError> {
    let (act, name) = (act_of(call), call.text("chart")?);
    let wanted = call.maybe_text("version");
    if wanted.is_none() && !name.starts_with('/') {
        return Err(OpError::refused(format!("{act}: the version of chart {name} is not pinned")));
    }
    let Some(found) = world.charts.get(name) else {
        if world.planned && world.charts.is_empty() {
            return Ok(None);
        }
        return Err(OpError::refused(format!("{act}: there is no chart {name}"))
            .with_hint("a world declares its charts under `charts:`"));
    };
    match wanted {
        Some(wanted) if wanted.trim_start_matches('v') != found.version.trim_start_matches('v') => {
            let version = &found.version;
            Err(OpError::refused(format!("{act}: chart {name} has version {version}, not {wanted}")))
        }
        _ => Ok(Some(found)),
    }
}

/// The values in the files of an upgrade, the last one over the others.
fn in_files(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let mut values = json!({});
    for path in call.maybe::<Vec<String>>("values_files").unwrap_or_default() {
        let path = super::absolute(&path)?;
        let found = world.files.content(&path);
        let missing = || OpError::refused(format!("{}: there is no file {path}", act_of(call)));
        let Content::Text(text) = found.ok_or_else(missing)? else { return Err(unseen(&format!("what is in {path}"))) };
        let wrong = |error| OpError::refused(format!("{}: {path} is no YAML: {error}", act_of(call)));
        let read: Value = serde_yaml::from_str(text).map_err(wrong)?;
        values = merged(&values, &read);
    }
    Ok(values)
}

/// What of the cluster's objects a release makes and takes away, in a world that says anything of its cluster. They are no difference
/// by themselves: the release is.
fn hand_over(world: &mut World, call: &Call<'_>, old: Option<&Vec<Value>>, new: Option<&Vec<Value>>) {
    if world.kubernetes.objects.is_empty() {
        return;
    }
    let cluster: Cluster = call.maybe("cluster").unwrap_or_default();
    let planned = world.planned;
    let placed = |object: &Value| {
        let mut object = object.clone();
        let kind = Named::of_manifest(&object, &cluster).ok()?.kind;
        if !object["metadata"]["namespace"].is_string() && kind.built_in().is_none_or(|served| served.namespaced) {
            object["metadata"]["namespace"] = json!(place(call).0);
        }
        Some((Named::of_manifest(&object, &cluster).ok()?, object))
    };
    let new: Vec<(Named, Value)> = new.into_iter().flatten().filter_map(placed).collect();
    for (named, _) in old.into_iter().flatten().filter_map(placed) {
        if new.iter().all(|(other, _)| other.key() != named.key()) {
            world.kubernetes.remove(&named.key(), false, call.now);
        }
    }
    for (named, mut object) in new {
        if let Some(held) = world.kubernetes.objects.get(&named.key()) {
            object["status"] = held.object["status"].clone();
            for name in ["uid", "creationTimestamp"] {
                object["metadata"][name] = held.object["metadata"][name].clone();
            }
        }
        world.kubernetes.put(&named, object, Some(call.now), planned);
        if let Some(held) = world.kubernetes.objects.get_mut(&named.key()) {
            held.derived = true;
        }
    }
}

/// The objects of the latest revision.
fn objects_now(world: &World, call: &Call<'_>) -> Option<Vec<Value>> {
    release(world, call).and_then(Release::latest).and_then(|latest| latest.objects.clone())
}

/// The revision that an upgrade makes, before it is one.
fn next(world: &World, call: &Call<'_>) -> Result<Revision, OpError> {
    let latest = release(world, call).and_then(Release::latest);
    let given: BTreeMap<String, Value> = call.maybe("values").unwrap_or_default();
    let set = nested(&call.maybe("set").unwrap_or_default())?;
    let given = merged(&Value::Object(given.into_iter().collect()), &set);
    let given = merged(&in_files(world, call)?, &given);
    let none = json!({});
    let old = latest.map_or(&none, |latest| &latest.values);
    let base = call.text("base")?;
    let values = if base == "reset" { given } else { merged(old, &given) };
    let chart = chart(world, call)?;
    let (namespace, name) = place(call);
    let seen = |text: Option<&String>| text.cloned().unwrap_or_else(|| mark("what the chart says"));
    let defaults = match (chart, latest) {
        (Some(_), Some(latest)) if base == "reuse" => latest.defaults.clone(),
        (Some(chart), _) => chart.values.clone(),
        (None, _) => Value::Null,
    };
    let ready = chart
        .filter(|chart| !chart.stuck)
        .and_then(|chart| call.now.saturating_add(Duration::from_millis(chart.rolls_out_ms)).ok());
    Ok(Revision {
        number: latest.map_or(0, |latest| latest.number) + 1,
        status: "deployed".to_owned(),
        chart: seen(chart.map(|chart| &chart.name)),
        chart_version: chart
            .map(|chart| chart.version.clone())
            .or_else(|| call.maybe_text("version").map(str::to_owned))
            .unwrap_or_else(|| mark("what the chart says")),
        app_version: seen(chart.map(|chart| &chart.app_version)),
        objects: chart.map(|chart| chart.render(&namespace, &name, &merged(&defaults, &values))),
        values,
        defaults,
        ready_at: ready,
        updated: call.now,
        description: format!("muster {}", call.key),
        key: call.key.to_owned(),
    })
}

fn changes(world: &World, call: &Call<'_>, next: &Revision) -> Vec<crate::model::forecast::Change> {
    let latest = release(world, call).and_then(Release::latest);
    let old = latest.map_or(Value::Null, |latest| shown_values(&latest.values));
    let objects = latest.and_then(|latest| latest.objects.as_deref()).unwrap_or_default();
    let resource = format!("helm/{}", named(call.args));
    let new = next.objects.as_deref().unwrap_or_default();
    crate::ops::helm::changes(&resource, &place(call).0, (&old, &shown_values(&next.values)), objects, new)
}

fn template(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let next = next(world, call)?;
    let Some(objects) = &next.objects else { return Err(unseen("what the chart renders")) };
    Ok(json!({
        "chart": next.chart, "chart_version": next.chart_version, "app_version": next.app_version,
        "objects": objects.iter().map(shown_object).collect::<Vec<_>>(), "changes": changes(world, call, &next),
        "validated": true, "doubt": "",
    }))
}

fn before_upgrade(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = act_of(call);
    let latest = release(world, call).and_then(Release::latest);
    match latest {
        None if !call.flag("install") => {
            return Err(OpError::refused(format!("{act}: there is no such release"))
                .with_hint("pass install: true if it is to be installed then"));
        }
        Some(latest) if latest.status.starts_with("pending-") => {
            return Err(OpError::refused(format!(
                "{act}: revision {} is {}: another helm is at work on it, or was killed in the middle",
                latest.number, latest.status
            )));
        }
        _ => {}
    }
    let next = next(world, call)?;
    Ok(json!({
        "revision": next.number - 1, "status": latest.map_or("", |latest| &latest.status),
        "values": latest.map_or(String::new(), |latest| sha256_hex(latest.values.to_string().as_bytes())),
        "manifest": latest.map_or(String::new(), |latest| sha256_hex(json!(latest.objects).to_string().as_bytes())),
        "chart": next.chart, "chart_version": next.chart_version, "app_version": next.app_version, "doubt": "",
        "changes": changes(world, call, &next),
    }))
}

fn earlier_number(call: &Call<'_>) -> u32 {
    call.before.get("revision").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

/// Makes this the latest revision.
fn push(world: &mut World, call: &Call<'_>, new: Revision) {
    let found = world.releases.entry(named(call.args)).or_default();
    if new.status == "deployed" {
        for old in found.revisions.iter_mut().filter(|old| old.status == "deployed") {
            old.status = "superseded".to_owned();
        }
    }
    found.revisions.push(new);
}

fn result(call: &Call<'_>, made: &Revision) -> Value {
    json!({
        "revision": made.number, "previous": earlier_number(call), "chart": made.chart,
        "chart_version": made.chart_version, "app_version": made.app_version,
    })
}

fn upgrade(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = act_of(call);
    let new = next(world, call)?;
    if new.number != earlier_number(call) + 1 {
        let now = new.number - 1;
        return Err(OpError::refused(format!("{act}: somebody has made revision {now} since it was looked at")));
    }
    if call.flag("wait") && new.ready_at.is_none() && new.objects.is_some() {
        push(world, call, Revision { status: "failed".to_owned(), ..new });
        return Err(OpError::failed(format!("{act}: what it waited for was not ready in time")));
    }
    let answer = result(call, &new);
    let (old, made) = (objects_now(world, call), new.objects.clone());
    push(world, call, new);
    hand_over(world, call, old.as_ref(), made.as_ref());
    Ok(answer)
}

/// A kill leaves a revision that is pending, with part of its objects there.
fn half_upgrade(world: &mut World, call: &Call<'_>) {
    if let Ok(new) = next(world, call) {
        let status = if earlier_number(call) == 0 { "pending-install" } else { "pending-upgrade" };
        push(world, call, Revision { status: status.to_owned(), ..new });
    }
}

fn ours<'w>(world: &'w World, call: &Call<'_>, key: &str, after: u32) -> Option<&'w Revision> {
    release(world, call)?.revisions.iter().find(|one| one.number > after && one.key == key)
}

fn probe_upgrade(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    Ok(match ours(world, call, call.key, earlier_number(call)) {
        None => Probe::NotDone,
        Some(found) if found.status.starts_with("pending-") => {
            Probe::Partial { what: format!("helm was killed at revision {}, which is {}", found.number, found.status) }
        }
        Some(found) if found.status == "failed" => Probe::Failed {
            error: OpError::failed(format!("{}: what it waited for was not ready in time", act_of(call))),
        },
        Some(found) => Probe::Done { result: result(call, found) },
    })
}

fn somebody(act: &str, number: u32) -> OpError {
    OpError::refused(format!("{act}: somebody else has made revision {number} since"))
}

fn before_rollback(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let to: u32 = call.get("to")?;
    let act = format!("cannot roll release {} back to revision {to}", call.text("release")?);
    let latest = number_of(world, call).unwrap_or(0);
    let skip = Ok(json!({ "skip": true, "revision": latest }));
    if let Some(key) = call.maybe_text("made_by") {
        match ours(world, call, key, to) {
            None => return skip,
            Some(found) if found.number != latest => return Err(somebody(&act, latest)),
            Some(_) => {}
        }
    }
    if let Some(after) = call.args.get("after") {
        match after.as_u64().unwrap_or(0) {
            0 => return skip,
            after if after != u64::from(latest) => return Err(somebody(&act, latest)),
            _ => {}
        }
    }
    let found = release(world, call).ok_or_else(|| OpError::refused(format!("{act}: there is no such release")))?;
    match found.revisions.iter().find(|one| one.number == to) {
        None => Err(OpError::refused(format!("{act}: history does not have that revision any more"))),
        Some(one) if one.status.starts_with("pending-") => {
            Err(OpError::refused(format!("{act}: that revision is itself {}", one.status)))
        }
        Some(_) => Ok(json!({ "skip": false, "revision": latest })),
    }
}

fn skips(call: &Call<'_>) -> bool {
    call.before.get("skip").and_then(Value::as_bool).unwrap_or(false)
}

fn rollback(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let to: u32 = call.get("to")?;
    if skips(call) {
        return Ok(json!({ "rolled_back": false, "revision": 0, "to": to }));
    }
    let act = format!("cannot roll release {} back to revision {to}", call.text("release")?);
    let latest = number_of(world, call).unwrap_or(0);
    if latest != earlier_number(call) {
        return Err(somebody(&act, latest));
    }
    let found = release(world, call).and_then(|found| found.revisions.iter().find(|one| one.number == to)).cloned();
    let old = found.ok_or_else(|| OpError::refused(format!("{act}: history does not have that revision any more")))?;
    let number = latest + 1;
    let (status, description) = ("deployed".to_owned(), format!("Rollback to {to}"));
    let (before, after) = (objects_now(world, call), old.objects.clone());
    push(world, call, Revision { number, status, description, updated: call.now, ..old });
    hand_over(world, call, before.as_ref(), after.as_ref());
    Ok(json!({ "rolled_back": true, "revision": number, "to": to }))
}

fn probe_rollback(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let to: u32 = call.get("to")?;
    if skips(call) {
        return Ok(Probe::Done { result: json!({ "rolled_back": false, "revision": 0, "to": to }) });
    }
    let said = format!("Rollback to {to}");
    let newer = release(world, call).into_iter().flat_map(|found| &found.revisions);
    let made = newer.filter(|one| one.number > earlier_number(call)).find(|one| one.description == said);
    Ok(made.map_or(Probe::NotDone, |made| Probe::Done {
        result: json!({ "rolled_back": true, "revision": made.number, "to": to }),
    }))
}

fn before_uninstall(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let Some(found) = release(world, call) else { return Ok(json!({ "revision": 0 })) };
    let latest = number_of(world, call).unwrap_or(0);
    if let Some(key) = call.maybe_text("made_by") {
        match found.revisions.first().filter(|first| first.key == key) {
            None => return Ok(json!({ "revision": 0 })),
            Some(first) if first.number != latest => {
                let act = format!("cannot uninstall release {}", call.text("release")?);
                return Err(OpError::refused(format!(
                    "{act}: somebody else has made revision {latest} since it was installed"
                )));
            }
            Some(_) => {}
        }
    }
    Ok(json!({ "revision": latest }))
}

fn uninstall(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let old = objects_now(world, call);
    let there = earlier_number(call) != 0 && world.releases.remove(&named(call.args)).is_some();
    if there {
        hand_over(world, call, old.as_ref(), None);
    }
    Ok(json!({ "removed": there }))
}

fn probe_uninstall(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    if earlier_number(call) == 0 {
        return Ok(Probe::Done { result: json!({ "removed": false }) });
    }
    let there = release(world, call).is_some();
    Ok(if there { Probe::NotDone } else { Probe::Done { result: json!({ "removed": true }) } })
}

fn rolled_out(world: &World, call: &Call<'_>) -> Result<Polled, OpError> {
    let act = format!("cannot wait for the rollout of release {}", call.text("release")?);
    let latest = revision(world, call, &act)?;
    let pending = |what: String| Ok(Polled::Pending { progress: Some(what), again: Duration::from_secs(2) });
    if latest.status.starts_with("pending-") {
        return pending(format!("revision {} is {}", latest.number, latest.status));
    }
    let Some(objects) = &latest.objects else { return Err(unseen("what the chart renders")) };
    let workloads = workload_names(objects, &place(call).0);
    match latest.ready_at {
        _ if workloads.is_empty() => {}
        Some(at) if at <= call.now => {}
        Some(_) => return pending(format!("{} rolls out", workloads.join(", "))),
        None => {
            let what = workloads.join(", ");
            return Err(OpError::failed(format!("{what} cannot roll out: it made no progress within its deadline")));
        }
    }
    Ok(Polled::Ready(json!({ "revision": latest.number, "workloads": workloads })))
}
