//! Undoing what was done to files of the world. All tolerate that it never was done, or half-way.

use serde_json::json;

use super::fs::{beside, is_made_by, part_of, print_file, print_id};
use super::{Call, Effect, Model};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::host::Probe;
use crate::sandbox::World;

pub(super) fn models() -> Vec<(&'static str, Model)> {
    vec![
        (
            "fs.remove_unpacked",
            Model::Write(Effect::new(before_unpacked, remove_unpacked, probe_unpacked).fingerprint(print_id)),
        ),
        (
            "fs.restore_before",
            Model::Write(Effect::new(before_restore, restore, probe_restore).fingerprint(print_file)),
        ),
        ("fs.delete_made", Model::Write(Effect::new(before_made, delete_made, probe_made).fingerprint(print_file))),
    ]
}

fn changed_meanwhile(path: &str) -> OpError {
    OpError::refused(format!("cannot undo at {path}: somebody else has changed it since the undo was decided on"))
        .with_hint("look at what is there, then retry the undo or skip it")
}

fn before_restore(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let (path, key) = (call.path("path")?, call.text("key")?);
    let done = call.slot("created_sha256").is_some() || is_made_by(world, &path, key);
    let image = world.files.id_at(&beside(&path, "before", key)).filter(|_| call.flag("existed"));
    if call.flag("existed") && done && image.is_none() {
        return Err(OpError::refused(format!("cannot put back {path}: its before-image is not there"))
            .with_hint("put the old file back from a backup, then mark the undo as done by hand"));
    }
    Ok(json!({ "done": done, "target": world.files.id_at(&path).filter(|_| done), "image": image }))
}

fn restore(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let (path, key) = (call.path("path")?, call.text("key")?);
    let image = beside(&path, "before", key);
    let (done, old_target) = (call.before["done"].as_bool().unwrap_or(false), call.earlier("target"));
    let now = world.files.id_at(&path);
    let restored = if !done {
        // The old file was given its second name and not replaced: that name goes.
        world.files.remove(&image);
        false
    } else if now.as_deref().unwrap_or_default() != old_target {
        return Err(changed_meanwhile(&path));
    } else if call.earlier("image").is_empty() {
        world.files.remove(&path) > 0
    } else if world.files.exists(&image) {
        world.files.remove(&path);
        world.files.rename(&image, &path);
        true
    } else {
        false
    };
    world.files.remove(&beside(&path, "part", key));
    Ok(json!({ "path": path, "restored": restored }))
}

fn probe_restore(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let path = call.path("path")?;
    let done = match (call.earlier("image"), call.earlier("target")) {
        ("", "") => false,
        ("", target) => world.files.id_at(&path).as_deref() != Some(target),
        _ => !world.files.exists(&beside(&path, "before", call.text("key")?)),
    };
    let result = json!({ "path": path, "restored": true });
    Ok(if done { Probe::Done { result } } else { Probe::NotDone })
}

fn before_made(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let path = call.path("path")?;
    let marked = call.maybe_text("key").is_some_and(|key| is_made_by(world, &path, key));
    let ours = call.slot("sha256").is_some() || marked;
    if ours && world.files.is_dir(&path) {
        return Err(OpError::refused(format!("cannot delete {path}: it is not a file any more")));
    }
    Ok(json!({ "done": ours, "target": world.files.id_at(&path).filter(|_| ours) }))
}

fn delete_made(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let path = call.path("path")?;
    let target = call.earlier("target");
    let now = world.files.id_at(&path);
    let removed = !target.is_empty() && now.is_some();
    if removed && now.as_deref() != Some(target) {
        return Err(changed_meanwhile(&path));
    }
    if let Some(key) = call.maybe_text("key") {
        world.files.remove(&beside(&path, "part", key));
        world.files.remove(&part_of(&path, key));
    }
    if removed {
        world.files.remove(&path);
    }
    Ok(json!({ "removed": removed }))
}

fn probe_made(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let target = call.earlier("target");
    let gone = !target.is_empty() && world.files.id_at(&call.path("path")?).as_deref() != Some(target);
    Ok(if gone { Probe::Done { result: json!({ "removed": true }) } } else { Probe::NotDone })
}

fn before_unpacked(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let path = call.path("path")?;
    let there = world.files.id_at(&path);
    let ours = match call.slot("id") {
        Some(id) => there.as_deref() == Some(id),
        None => is_made_by(world, &path, call.text("key")?),
    };
    Ok(json!({ "id": there.filter(|_| ours) }))
}

fn remove_unpacked(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let (path, key) = (call.path("path")?, call.text("key")?);
    let id = call.earlier("id");
    world.files.remove(&beside(&path, "part", key));
    if !id.is_empty() && world.files.exists(&path) {
        if world.files.id_at(&path).as_deref() != Some(id) {
            return Err(changed_meanwhile(&path));
        }
        world.files.remove(&path);
    }
    Ok(json!({ "removed": !id.is_empty() }))
}

fn probe_unpacked(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let id = call.earlier("id");
    let there = id.is_empty() || world.files.id_at(&call.path("path")?).as_deref() == Some(id);
    Ok(if there { Probe::NotDone } else { Probe::Done { result: json!({ "removed": true }) } })
}
