//! What an effect has changed of a world: which things, and for a reviewer what they were and what they are.

use std::collections::BTreeSet;

use imbl::ordmap::DiffItem;
use serde_json::json;

use crate::model::Value;
use crate::model::forecast::Change;
use crate::sandbox::aws::{Bucket, Stored};
use crate::sandbox::content::Content;
use crate::sandbox::custom::Custom;
use crate::sandbox::helm::Release;
use crate::sandbox::postgres::{Database, Server};
use crate::sandbox::resources::{Container, Volume};
use crate::sandbox::tree::{Node, Tree};
use crate::sandbox::world::World;

/// Texts up to this length are shown whole.
const SHOWN: usize = 4096;

/// More things below one that comes or goes are shown as their number.
const MOST: usize = 12;

/// One thing that differs.
pub(super) struct Difference {
    /// Its key: `fs/srv/x`, `docker/web`, `pg/db/chat`.
    pub key: String,
    /// What it was; `Null` when it was not there.
    pub before: Value,
    /// What it is; `Null` when it is gone.
    pub after: Value,
}

/// What differs from one world to another, by key.
pub(super) fn differences(before: &World, after: &World) -> Vec<Difference> {
    let mut found = Vec::new();
    trees("fs", &before.files, &after.files, &mut found);
    for item in before.containers.diff(&after.containers) {
        let (name, old, new) = sides(item);
        let key = format!("docker/{name}");
        match (old, new) {
            (Some(old), Some(new)) => {
                trees(&format!("{key}/files"), &old.files, &new.files, &mut found);
                push(key, container(old), container(new), &mut found);
            }
            _ => push(key, old.map_or(Value::Null, container), new.map_or(Value::Null, container), &mut found),
        }
    }
    for item in before.volumes.diff(&after.volumes) {
        let (name, old, new) = sides(item);
        let key = format!("volume/{name}");
        match (old, new) {
            (Some(old), Some(new)) => trees(&format!("{key}/files"), &old.files, &new.files, &mut found),
            _ => push(key, old.map_or(Value::Null, volume), new.map_or(Value::Null, volume), &mut found),
        }
    }
    for item in before.postgres.diff(&after.postgres) {
        let (name, old, new) = sides(item);
        let key = format!("pg/{name}");
        if let (Some(old), Some(new)) = (old, new) {
            databases(&key, old, new, &mut found);
        }
        push(key, old.map_or(Value::Null, server), new.map_or(Value::Null, server), &mut found);
    }
    for item in before.http.diff(&after.http) {
        let (url, old, new) = sides(item);
        let posted = |end: Option<&crate::sandbox::resources::Endpoint>| {
            end.map_or(Value::Null, |end| json!({ "posted": end.posted.len() }))
        };
        push(format!("http/{url}"), posted(old), posted(new), &mut found);
    }
    for item in before.resources.diff(&after.resources) {
        let (name, old, new) = sides(item);
        let fields = |end: Option<&Custom>| end.and_then(Custom::at_last).map_or(Value::Null, Value::Object);
        // Not `push`: what comes to the same in the end may take its time.
        found.push(Difference { key: format!("resource/{name}"), before: fields(old), after: fields(new) });
    }
    for item in before.aws.buckets.diff(&after.aws.buckets) {
        let (name, old, new) = sides(item);
        objects(&format!("s3/{name}"), old, new, &mut found);
    }
    super::rds::differences(before, after, &mut found);
    super::ecs::differences(before, after, &mut found);
    super::secrets::differences(before, after, &mut found);
    super::stores::differences(before, after, &mut found);
    super::kubernetes::differences(before, after, &mut found);
    for item in before.releases.diff(&after.releases) {
        let (name, old, new) = sides(item);
        push(format!("helm/{name}"), old.map_or(Value::Null, release), new.map_or(Value::Null, release), &mut found);
    }
    found.sort_by(|a, b| a.key.cmp(&b.key));
    found
}

/// The objects of a bucket that differ.
fn objects(prefix: &str, old: Option<&Bucket>, new: Option<&Bucket>, found: &mut Vec<Difference>) {
    let all = |bucket: Option<&Bucket>| bucket.map(|bucket| bucket.objects.clone()).unwrap_or_default();
    let (old, new) = (all(old), all(new));
    let shown = |versions: Option<&Vec<Stored>>| {
        let Some(versions) = versions else { return Value::Null };
        let content = versions.last().and_then(|one| one.content.as_ref());
        json!({
            "versions": versions.len(), "bytes": content.map(Content::bytes), "sha256": content.map(Content::sha256),
        })
    };
    let names: BTreeSet<&String> = old.keys().chain(new.keys()).collect();
    for name in names.into_iter().filter(|name| old.get(*name) != new.get(*name)) {
        push(format!("{prefix}/{name}"), shown(old.get(name)), shown(new.get(name)), found);
    }
}

pub(super) type Sides<'a, V> = (&'a String, Option<&'a V>, Option<&'a V>);

pub(super) fn sides<'a, V>(item: DiffItem<'a, 'a, String, V>) -> Sides<'a, V> {
    match item {
        DiffItem::Add(name, new) => (name, None, Some(new)),
        DiffItem::Update { old: (name, old), new: (_, new) } => (name, Some(old), Some(new)),
        DiffItem::Remove(name, old) => (name, Some(old), None),
    }
}

pub(super) fn push(key: String, before: Value, after: Value, found: &mut Vec<Difference>) {
    if before != after {
        found.push(Difference { key, before, after });
    }
}

fn trees(prefix: &str, before: &Tree, after: &Tree, found: &mut Vec<Difference>) {
    for (path, old, new) in before.differences(after) {
        let key = format!("{prefix}{path}");
        // Not `push`: the same text written again is written again.
        found.push(Difference {
            before: old.map_or(Value::Null, |old| node(path, old)),
            after: new.map_or(Value::Null, |new| node(path, new)),
            key,
        });
    }
}

fn node(path: &str, node: &Node) -> Value {
    let mut shown = json!({ "kind": node.kind_name(), "mode": format!("{:04o}", node.mode) });
    let Some(content) = node.content() else { return shown };
    shown["bytes"] = json!(content.bytes());
    match content {
        Content::Text(text) if text.len() <= SHOWN => shown["text"] = json!(masked(path, text)),
        content => shown["sha256"] = json!(content.sha256()),
    }
    shown
}

/// A text as it may be shown: the values of an environment file are secrets until something says otherwise.
fn masked(path: &str, text: &str) -> String {
    let name = path.rsplit('/').next().unwrap_or(path);
    if !(name.starts_with(".env") || name.ends_with(".env") || name.ends_with("-env")) {
        return text.to_owned();
    }
    let line = |line: &str| match line.split_once('=') {
        Some((key, value)) if !line.trim_start().starts_with('#') && !value.is_empty() => format!("{key}=…\n"),
        Some(_) if !line.trim_start().starts_with('#') => format!("{line}\n"),
        _ => String::new(),
    };
    text.lines().map(line).collect()
}

fn container(found: &Container) -> Value {
    json!({ "state": found.state.as_str(), "image": found.image, "id": found.id, "started_at": found.started_at })
}

fn volume(found: &Volume) -> Value {
    json!({ "files": found.files.len() })
}

fn release(found: &Release) -> Value {
    found.latest().map_or(Value::Null, |latest| {
        let values = crate::ops::helm::shown_values(&latest.values);
        json!({
            "revision": latest.number, "status": latest.status, "chart": latest.chart, "version": latest.chart_version,
            "values": values,
        })
    })
}

fn server(found: &Server) -> Value {
    json!({ "version": found.version, "ready_at": found.ready_at, "executed": found.executed.values().map(Vec::len).sum::<usize>() })
}

fn database(found: &Database) -> Value {
    let mut shown = json!({ "owner": found.owner, "bytes": found.bytes(), "oid": found.oid });
    if !found.allow_connections {
        shown["allows_connections"] = json!(false);
    }
    shown
}

/// Without who is connected to it.
fn alone(found: &Database) -> Database {
    let mut found = found.clone();
    found.sessions.clear();
    found
}

fn databases(key: &str, before: &Server, after: &Server, found: &mut Vec<Difference>) {
    let named = |server: &Server, oid: u32| {
        server.databases.iter().find(|(_, found)| found.oid == oid).map(|(name, _)| name.clone())
    };
    for item in before.databases.diff(&after.databases) {
        let (name, old, new) = sides(item);
        let key = format!("{key}/{name}");
        if let (Some(old), Some(new)) = (old, new)
            && alone(old) == alone(new)
        {
            // Who is connected is no part of what a database holds.
            found.push(Difference {
                key: format!("{key}/sessions"),
                before: json!(old.connections()),
                after: json!(new.connections()),
            });
            continue;
        }
        let mut now = new.map_or(Value::Null, database);
        if let Some(new) = new
            && let Some(was) = named(before, new.oid).filter(|was| was != name)
        {
            now["was"] = json!(was);
        }
        push(key, old.map_or(Value::Null, database), now, found);
    }
}

/// What a reviewer is shown of it: not the marks and times that every effect leaves, and what comes or goes whole as one.
pub(super) fn changes(differences: &[Difference], call: &str) -> Vec<Change> {
    let helper = |key: &str| !call.is_empty() && key.rsplit('/').next().is_some_and(|name| name.contains(call));
    let shown: Vec<&Difference> = differences
        .iter()
        .filter(|found| {
            !helper(&found.key) && !found.key.ends_with("/sessions") && plain(&found.before) != plain(&found.after)
        })
        .collect();
    let mut changes: Vec<Change> = Vec::new();
    let mut place = 0;
    while let Some(found) = shown.get(place) {
        let inside = format!("{}/", found.key);
        let below = shown[place + 1..].iter().take_while(|other| other.key.starts_with(&inside)).count();
        let (mut before, mut after) = (plain(&found.before), plain(&found.after));
        place += 1;
        if below > MOST || (below > 0 && after.is_null()) {
            let side = if after.is_null() { &mut before } else { &mut after };
            side["entries"] = json!(below);
            place += below;
        }
        changes.push(Change { resource: found.key.replacen("/files/", "/", 1), before, after });
    }
    changes
}

/// Without what tells one copy of a thing from another.
fn plain(value: &Value) -> Value {
    match value {
        Value::Object(fields) => {
            let kept =
                fields.iter().filter(|(key, _)| !["id", "started_at", "ready_at", "oid"].contains(&key.as_str()));
            kept.map(|(key, value)| (key.clone(), value.clone())).collect()
        }
        other => other.clone(),
    }
}
