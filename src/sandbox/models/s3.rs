//! Objects and their versions in the sandbox's buckets.

use std::collections::BTreeMap;

use serde_json::json;

use super::fs::{before_put, half_put, print_file, probe_put, put, release};
use super::fs_read::content_of;
use super::{Call, Effect, Model};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::host::Probe;
use crate::sandbox::aws::{Bucket, Stored};
use crate::sandbox::content::sha256_hex;
use crate::sandbox::{World, veil};

pub(super) fn models() -> Vec<(&'static str, Model)> {
    let put_there = |before, act| Model::Write(Effect::new(before, act, probe_stored).fingerprint(print_object));
    vec![
        ("s3.bucket", Model::Read(look)),
        ("s3.head", Model::Read(head)),
        ("s3.list", Model::Read(list)),
        ("s3.versions", Model::Read(versions)),
        ("s3.put_file", put_there(before_put_file, put_file)),
        ("s3.copy", put_there(before_copy, copy)),
        (
            "s3.get_file",
            Model::Write(
                Effect::new(before_get, get_file, probe_get).fingerprint(print_file).release(release).half(half_put),
            ),
        ),
        ("s3.delete", Model::Write(Effect::new(before_delete, delete, probe_delete).fingerprint(print_latest))),
        (
            "s3.remove_marker",
            Model::Write(Effect::new(before_marker, take_marker, probe_marker).fingerprint(print_latest)),
        ),
        ("s3.remove_made", Model::Write(Effect::new(before_made, remove_made, probe_made))),
    ]
}

fn url(call: &Call<'_>, bucket: &str, key: &str) -> Result<String, OpError> {
    Ok(format!("s3://{}/{}", call.text(bucket)?, call.text(key)?))
}

fn bucket<'w>(world: &'w World, name: &str) -> Result<&'w Bucket, OpError> {
    world.aws.buckets.get(name).ok_or_else(|| OpError::refused(format!("there is no bucket {name}: NoSuchBucket")))
}

fn bucket_mut<'w>(world: &'w mut World, name: &str) -> Result<&'w mut Bucket, OpError> {
    let missing = || OpError::refused(format!("there is no bucket {name}: NoSuchBucket"));
    world.aws.buckets.get_mut(name).ok_or_else(missing)
}

/// The versions of the object that the call names, the latest last.
fn all<'w>(world: &'w World, call: &Call<'_>) -> Result<&'w [Stored], OpError> {
    Ok(bucket(world, call.text("bucket")?)?.objects.get(call.text("key")?).map_or(&[], Vec::as_slice))
}

/// The object itself: the latest version, unless that is a marker, or the one that is named.
fn object<'w>(world: &'w World, name: &str, key: &str, version: Option<&str>) -> Result<Option<&'w Stored>, OpError> {
    let all = bucket(world, name)?.objects.get(key).map_or(&[][..], Vec::as_slice);
    let found = match version {
        Some(version) => all.iter().find(|one| one.version == version),
        None => all.last(),
    };
    Ok(found.filter(|one| one.content.is_some()))
}

fn shown(found: Option<&Stored>) -> Value {
    let (exists, content) = (found.is_some(), found.and_then(|one| one.content.as_ref()));
    let text = |of: fn(&Stored) -> &String| found.map(of).cloned().unwrap_or_default();
    let modified = found.and_then(|one| one.modified).map(|at| at.to_string());
    json!({
        "exists": exists, "version": text(|one| &one.version), "bytes": content.map_or(0, |content| content.bytes()),
        "modified": modified.unwrap_or_default(), "etag": text(|one| &one.etag),
        "sha256": content.map(|content| content.sha256()).unwrap_or_default(),
        "encryption": text(|one| &one.encryption), "kms_key": text(|one| &one.kms_key),
        "storage_class": if exists { "STANDARD" } else { "" }, "content_type": text(|one| &one.content_type),
        "metadata": found.map(|one| one.metadata.clone()).unwrap_or_default(), "made_by": text(|one| &one.made_by),
    })
}

fn look(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let found = world.aws.buckets.get(call.text("bucket")?);
    Ok(json!({
        "exists": found.is_some(),
        "versioning": found.map_or("off", |one| one.versioning.as_str()),
        "encryption": found.map_or("", |one| one.encryption.as_str()),
        "kms_key": found.map_or("", |one| one.kms_key.as_str()),
        "public_blocked": found.is_some_and(|one| one.public_blocked),
    }))
}

fn head(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    Ok(shown(object(world, call.text("bucket")?, call.text("key")?, call.maybe_text("version"))?))
}

fn list(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let (prefix, max) = (call.maybe_text("prefix").unwrap_or_default(), call.maybe("max").unwrap_or(1000usize));
    let there = bucket(world, call.text("bucket")?)?.objects.iter().filter(|(key, _)| key.starts_with(prefix));
    let mut objects: Vec<Value> = there
        .filter_map(|(key, all)| {
            let one = all.last().filter(|one| one.content.is_some())?;
            let modified = one.modified.map(|at| at.to_string()).unwrap_or_default();
            let bytes = one.content.as_ref().map_or(0, |content| content.bytes());
            Some(json!({ "key": key, "bytes": bytes, "modified": modified, "etag": one.etag }))
        })
        .collect();
    let more = objects.len() > max;
    objects.truncate(max);
    Ok(json!({ "objects": objects, "more": more }))
}

fn versions(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let all = all(world, call)?;
    let shown = all.iter().enumerate().rev().map(|(place, one)| {
        let modified = one.modified.map(|at| at.to_string()).unwrap_or_default();
        json!({
            "version": one.version, "latest": place + 1 == all.len(), "marker": one.content.is_none(),
            "bytes": one.content.as_ref().map_or(0, |content| content.bytes()), "modified": modified, "etag": one.etag,
        })
    });
    Ok(json!({ "versions": shown.collect::<Vec<_>>() }))
}

/// The place as it is before something is put there.
fn before_of(world: &World, call: &Call<'_>, act: &str) -> Result<Value, OpError> {
    let (name, key) = (call.text("bucket")?, call.text("key")?);
    let now = object(world, name, key, None)?;
    if now.is_some() && !call.flag("replace") {
        return Err(OpError::refused(format!("{act}: there is an object of that name already"))
            .with_hint("choose another name, or set `replace: true`; a bucket with versions keeps the old one"));
    }
    let versioned = bucket(world, name)?.versioning == "enabled";
    Ok(json!({
        "existed": now.is_some(), "versioned": versioned, "uploads": [],
        "version": now.map_or("", |one| one.version.as_str()), "etag": now.map_or("", |one| one.etag.as_str()),
    }))
}

fn before_put_file(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = format!("cannot put {} to {}", call.text("from")?, url(call, "bucket", "key")?);
    let content = content_of(world, "put", &call.path("from")?)?;
    let mut before = before_of(world, call, &act)?;
    (before["bytes"], before["sha256"]) = (json!(content.bytes()), json!(content.sha256()));
    Ok(before)
}

fn before_copy(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let from = url(call, "from_bucket", "from_key")?;
    let act = format!("cannot copy {from} to {}", url(call, "bucket", "key")?);
    let version = call.maybe_text("from_version");
    let source = object(world, call.text("from_bucket")?, call.text("from_key")?, version)?;
    let source = source.ok_or_else(|| OpError::refused(format!("{act}: there is no object {from}")))?;
    let mut before = before_of(world, call, &act)?;
    let content = source.content.as_ref();
    before["bytes"] = json!(content.map_or(0, |content| content.bytes()));
    before["sha256"] = json!(content.map(|content| content.sha256()).unwrap_or_default());
    before["from_version"] = json!(source.version);
    before["from_etag"] = json!(source.etag);
    Ok(before)
}

/// Puts a version on top; where the bucket keeps none, in place of what was there.
fn store(world: &mut World, call: &Call<'_>, stored: Stored) -> Result<Stored, OpError> {
    let planned = world.planned;
    let bucket = bucket_mut(world, call.text("bucket")?)?;
    let all = bucket.objects.entry(call.text("key")?.to_owned()).or_default();
    let id = sha256_hex(format!("{} {}", call.key, all.len()).as_bytes());
    let versioned = bucket.versioning == "enabled";
    let version = match (versioned, planned) {
        (true, true) => veil::mark("S3 chooses it"),
        (true, false) => id.chars().take(32).collect(),
        (false, _) => String::new(),
    };
    let etag =
        if planned { veil::mark("S3 makes it") } else { format!("\"{}\"", id.chars().take(32).collect::<String>()) };
    let text = |name: &str, usual: &str| call.maybe_text(name).unwrap_or(usual).to_owned();
    let stored = Stored {
        version,
        etag,
        modified: Some(call.now),
        encryption: text("encryption", &bucket.encryption),
        kms_key: text("kms_key", &bucket.kms_key),
        made_by: call.key.to_owned(),
        ..stored
    };
    if !versioned {
        all.retain(|one| !one.version.is_empty());
    }
    all.push(stored.clone());
    Ok(stored)
}

fn result_of(call: &Call<'_>, stored: &Stored) -> Result<Value, OpError> {
    let content = stored.content.as_ref();
    Ok(json!({
        "bucket": call.text("bucket")?, "key": call.text("key")?, "version": stored.version, "etag": stored.etag,
        "bytes": content.map_or(0, |content| content.bytes()),
        "sha256": content.map(|content| content.sha256()).unwrap_or_default(),
    }))
}

fn fresh(content: crate::sandbox::content::Content, call: &Call<'_>, metadata: BTreeMap<String, String>) -> Stored {
    Stored {
        content: Some(content),
        version: String::new(),
        etag: String::new(),
        modified: None,
        encryption: String::new(),
        kms_key: String::new(),
        content_type: call.maybe_text("content_type").unwrap_or("binary/octet-stream").to_owned(),
        metadata,
        made_by: String::new(),
    }
}

fn put_file(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let content = content_of(world, "put", &call.path("from")?)?.clone();
    let stored = store(world, call, fresh(content, call, call.maybe("metadata").unwrap_or_default()))?;
    result_of(call, &stored)
}

fn copy(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let version = Some(call.earlier("from_version")).filter(|version| !version.is_empty());
    let source = object(world, call.text("from_bucket")?, call.text("from_key")?, version)?.cloned();
    let gone = || OpError::refused(format!("cannot copy {}: it is gone", call.maybe_text("from_key").unwrap_or("")));
    let stored = store(world, call, source.ok_or_else(gone)?)?;
    result_of(call, &stored)
}

fn probe_stored(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    Ok(match all(world, call)?.iter().find(|one| one.made_by == call.key) {
        Some(found) => Probe::Done { result: result_of(call, found)? },
        None => Probe::NotDone,
    })
}

fn print_object(world: &World, call: &Call<'_>, _: &Value) -> Result<Value, OpError> {
    let now = shown(object(world, call.text("bucket")?, call.text("key")?, None)?);
    Ok(json!({ "version": now["version"], "etag": now["etag"], "made_by": now["made_by"] }))
}

fn print_latest(world: &World, call: &Call<'_>, _: &Value) -> Result<Value, OpError> {
    Ok(json!({ "latest": all(world, call)?.last().map(|one| &one.version) }))
}

fn before_get(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let from = url(call, "bucket", "key")?;
    let missing = || OpError::refused(format!("cannot get {from}: there is no object {from}"));
    let version = call.maybe_text("version");
    let found = object(world, call.text("bucket")?, call.text("key")?, version)?.ok_or_else(missing)?;
    let seen = shown(Some(found));
    let mut before = before_put(world, call)?;
    before["source_bytes"] = seen["bytes"].clone();
    before["source"] =
        json!({ "version": seen["version"], "etag": seen["etag"], "bytes": seen["bytes"], "sha256": seen["sha256"] });
    Ok(before)
}

/// The version that was looked at.
fn source_version<'c>(call: &Call<'c>) -> &'c str {
    call.before.pointer("/source/version").and_then(Value::as_str).unwrap_or_default()
}

fn get_file(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let version = source_version(call);
    let found = object(world, call.text("bucket")?, call.text("key")?, Some(version))?;
    let content = found.and_then(|one| one.content.clone());
    let gone = || OpError::refused(format!("cannot get {}: it is gone", call.maybe_text("key").unwrap_or_default()));
    let mut result = put(world, call, content.ok_or_else(gone)?)?;
    result["version"] = json!(version);
    Ok(result)
}

fn probe_get(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    Ok(match probe_put(world, call)? {
        Probe::Done { mut result } => {
            result["version"] = json!(source_version(call));
            Probe::Done { result }
        }
        other => other,
    })
}

fn before_delete(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let versioned = bucket(world, call.text("bucket")?)?.versioning == "enabled";
    let all = all(world, call)?;
    let found = match call.maybe_text("version") {
        Some(version) => all.iter().find(|one| one.version == version),
        None => all.last().filter(|one| one.content.is_some()),
    };
    let latest = found.filter(|_| call.maybe_text("version").is_none()).map_or("", |one| one.version.as_str());
    Ok(json!({
        "there": found.is_some(), "versioned": versioned, "latest": latest,
        "marker": found.is_some_and(|one| one.content.is_none()), "etag": found.map_or("", |one| one.etag.as_str()),
    }))
}

fn was(call: &Call<'_>, what: &str) -> bool {
    call.before.get(what).and_then(Value::as_bool).unwrap_or_default()
}

fn delete(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    if !was(call, "there") {
        return Ok(json!({ "deleted": false, "marker": "" }));
    }
    if call.maybe_text("version").is_none() && was(call, "versioned") {
        let marker = store(
            world,
            call,
            Stored {
                content: None,
                ..fresh(crate::sandbox::content::Content::Text(String::new()), call, BTreeMap::new())
            },
        )?;
        return Ok(json!({ "deleted": true, "marker": marker.version }));
    }
    forget(world, call, call.maybe_text("version").unwrap_or_default())?;
    Ok(json!({ "deleted": true, "marker": "" }))
}

/// Takes a version away for good.
fn forget(world: &mut World, call: &Call<'_>, version: &str) -> Result<(), OpError> {
    let key = call.text("key")?;
    let bucket = bucket_mut(world, call.text("bucket")?)?;
    if let Some(all) = bucket.objects.get_mut(key) {
        all.retain(|one| one.version != version);
        if all.is_empty() {
            bucket.objects.remove(key);
        }
    }
    Ok(())
}

fn probe_delete(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let all = all(world, call)?;
    let done = |marker: &str| Probe::Done { result: json!({ "deleted": was(call, "there"), "marker": marker }) };
    if !was(call, "there") {
        return Ok(done(""));
    }
    if let Some(version) = call.maybe_text("version") {
        return Ok(if all.iter().any(|one| one.version == version) { Probe::NotDone } else { done("") });
    }
    Ok(match all.last() {
        None => done(""),
        Some(one) if one.content.is_none() => done(&one.version),
        Some(one) if one.version == call.earlier("latest") && one.etag == call.earlier("etag") => Probe::NotDone,
        Some(_) => Probe::CannotTell { why: format!("somebody has written {} since", url(call, "bucket", "key")?) },
    })
}

/// The marker that is meant, if it is on top of what it is to be on top of.
fn marker<'w>(world: &'w World, call: &Call<'_>) -> Result<Option<&'w Stored>, OpError> {
    let all = all(world, call)?;
    let below = all
        .iter()
        .rev()
        .find(|one| one.content.is_some())
        .is_some_and(|one| one.version == call.text("above").unwrap_or_default());
    let meant = |one: &&Stored| one.content.is_none() && call.slot("marker").is_none_or(|marker| marker == one.version);
    Ok(all.last().filter(meant).filter(|_| below))
}

fn before_marker(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    Ok(json!({ "marker": marker(world, call)?.map(|one| &one.version) }))
}

fn take_marker(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let Some(version) = marker(world, call)?.map(|one| one.version.clone()) else {
        return Ok(json!({ "removed": false }));
    };
    forget(world, call, &version)?;
    Ok(json!({ "removed": true }))
}

fn probe_marker(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    if marker(world, call)?.is_some() {
        return Ok(Probe::NotDone);
    }
    let removed = call.before.get("marker").is_some_and(Value::is_string);
    Ok(Probe::Done { result: json!({ "removed": removed }) })
}

fn made(world: &World, call: &Call<'_>) -> Result<Option<String>, OpError> {
    let key = call.text("made_by")?;
    Ok(all(world, call)?.iter().find(|one| one.made_by == key).map(|one| one.version.clone()))
}

fn before_made(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    Ok(json!({ "there": made(world, call)?.is_some() }))
}

fn remove_made(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let Some(version) = made(world, call)? else { return Ok(json!({ "removed": false, "uploads": 0 })) };
    forget(world, call, &version)?;
    Ok(json!({ "removed": true, "uploads": 0 }))
}

fn probe_made(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    if made(world, call)?.is_some() {
        return Ok(Probe::NotDone);
    }
    Ok(Probe::Done { result: json!({ "removed": was(call, "there"), "uploads": 0 }) })
}
