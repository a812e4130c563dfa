//! Containers and volumes that runs make, and remove again.

use std::collections::BTreeMap;

use serde_json::json;

use super::docker::{KEY_LABEL, RUN_LABEL, bring_up, check_mounts, image_id, new_container, take_down};
use super::{Call, Effect, Model};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::host::Probe;
use crate::sandbox::World;
use crate::sandbox::resources::{Mount, State, Volume};

pub(super) fn models() -> Vec<(&'static str, Model)> {
    vec![
        (
            "docker.create_container",
            Model::Write(
                Effect::new(before_create, create, probe_create)
                    .fingerprint(|world, call, _| {
                        Ok(json!({ "id": world.containers.get(call.text("name")?).map(|found| &found.id) }))
                    })
                    .half(half_create),
            ),
        ),
        ("docker.remove_container", Model::Write(Effect::new(before_remove, remove, probe_remove))),
        (
            "docker.create_volume",
            Model::Write(Effect::new(before_volume, create_volume, probe_volume).fingerprint(|world, call, _| {
                Ok(json!({ "labels": world.volumes.get(call.text("volume")?).map(|found| &found.labels) }))
            })),
        ),
        ("docker.remove_volume", Model::Write(Effect::new(before_remove_volume, remove_volume, probe_remove_volume))),
    ]
}

fn before_create(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let name = call.text("name")?;
    let act = format!("cannot make container {name}");
    let labels: BTreeMap<String, String> = call.maybe("labels").unwrap_or_default();
    if let Some(name) = [RUN_LABEL, KEY_LABEL].into_iter().find(|name| labels.contains_key(*name)) {
        return Err(OpError::refused(format!("{act}: the label {name} is given by Muster itself")));
    }
    if world.containers.contains_key(name) {
        return Err(OpError::refused(format!("{act}: there is a container of that name already"))
            .with_hint("put the run's short id into the name, or remove the old one"));
    }
    check_mounts(world, &act, &call.maybe::<Vec<Mount>>("mounts").unwrap_or_default())?;
    Ok(json!({ "image_id": image_id(world, &act, call.text("image")?)? }))
}

fn make(world: &mut World, call: &Call<'_>) -> Result<String, OpError> {
    let name = call.text("name")?;
    if world.containers.contains_key(name) {
        return Err(OpError::refused(format!("cannot make container {name}: the name is already taken")));
    }
    let mut made = new_container(world, call, call.text("image")?);
    made.mounts = call.maybe("mounts").unwrap_or_default();
    let env: BTreeMap<String, Value> = call.maybe("env").unwrap_or_default();
    // Secrets stay handles: nothing in the sandbox looks at their contents.
    made.env = env.into_iter().filter_map(|(name, value)| Some((name, value.as_str()?.to_owned()))).collect();
    let id = made.id.clone();
    world.containers.insert(name.to_owned(), made);
    Ok(id)
}

fn create(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let id = make(world, call)?;
    bring_up(world, call.text("name")?, call.now);
    Ok(json!({ "id": id }))
}

/// A kill leaves the container made, and not started.
fn half_create(world: &mut World, call: &Call<'_>) {
    let _ = make(world, call);
}

fn is_ours(labels: &BTreeMap<String, String>, key: &str) -> bool {
    labels.get(KEY_LABEL).is_some_and(|found| found == key)
}

fn probe_create(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let name = call.text("name")?;
    Ok(match world.containers.get(name).filter(|found| is_ours(&found.labels, call.key)) {
        None => Probe::NotDone,
        Some(found) if found.state == State::Created => {
            Probe::Partial { what: format!("container {name} was made, but never started") }
        }
        Some(found) => Probe::Done { result: json!({ "id": found.id }) },
    })
}

/// Whether a labelled thing may be removed; false when it is not the one that is meant.
fn may_remove(act: &str, labels: &BTreeMap<String, String>, call: &Call<'_>) -> Result<bool, OpError> {
    if let Some(key) = call.maybe_text("made_by") {
        return Ok(is_ours(labels, key));
    }
    if labels.contains_key(RUN_LABEL) {
        return Ok(true);
    }
    Err(OpError::refused(format!("{act}: no run made it (it has no label {RUN_LABEL})"))
        .with_hint("Muster only removes what Muster made; remove it by hand if it has to go"))
}

fn before_remove(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let name = call.text("name")?;
    let act = format!("cannot remove container {name}");
    let Some(found) = world.containers.get(name) else { return Ok(json!({ "id": "" })) };
    if !may_remove(&act, &found.labels, call)? {
        return Ok(json!({ "id": "" }));
    }
    if found.state == State::Running && !call.flag("force") {
        return Err(OpError::refused(format!("{act}: it is running")).with_hint("stop it first, or pass force: true"));
    }
    Ok(json!({ "id": found.id }))
}

fn remove(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let name = call.text("name")?;
    let id = call.earlier("id");
    let there = !id.is_empty() && world.containers.get(name).is_some_and(|found| found.id == id);
    if there {
        take_down(world, name);
    }
    Ok(json!({ "removed": there }))
}

fn probe_remove(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let id = call.earlier("id");
    if id.is_empty() {
        return Ok(Probe::Done { result: json!({ "removed": false }) });
    }
    let there = world.containers.get(call.text("name")?).is_some_and(|found| found.id == id);
    Ok(if there { Probe::NotDone } else { Probe::Done { result: json!({ "removed": true }) } })
}

fn before_volume(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let name = call.text("volume")?;
    if world.volumes.contains_key(name) {
        return Err(OpError::refused(format!("cannot make volume {name}: it is there already"))
            .with_hint("put the run's short id into the name, or remove the old one"));
    }
    Ok(json!({}))
}

fn create_volume(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    before_volume(world, call)?;
    let labels = new_container(world, call, "").labels;
    world.volumes.insert(call.text("volume")?.to_owned(), Volume { labels, ..Volume::default() });
    Ok(json!({}))
}

fn probe_volume(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let ours = world.volumes.get(call.text("volume")?).is_some_and(|found| is_ours(&found.labels, call.key));
    Ok(if ours { Probe::Done { result: json!({}) } } else { Probe::NotDone })
}

fn removable(world: &World, call: &Call<'_>) -> Result<bool, OpError> {
    let name = call.text("volume")?;
    match world.volumes.get(name) {
        Some(found) => may_remove(&format!("cannot remove volume {name}"), &found.labels, call),
        None => Ok(false),
    }
}

fn before_remove_volume(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    Ok(json!({ "ours": removable(world, call)? }))
}

fn was_ours(call: &Call<'_>) -> bool {
    call.before.get("ours").and_then(Value::as_bool).unwrap_or(false)
}

fn remove_volume(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let name = call.text("volume")?;
    if !was_ours(call) || !removable(world, call)? {
        return Ok(json!({ "removed": false }));
    }
    let in_use = |mount: &Mount| mount.volume.as_deref() == Some(name);
    if world.containers.values().any(|container| container.mounts.iter().any(in_use)) {
        return Err(OpError::refused(format!("cannot remove volume {name}: the volume is in use by a container")));
    }
    world.volumes.remove(name);
    Ok(json!({ "removed": true }))
}

fn probe_remove_volume(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    if !was_ours(call) {
        return Ok(Probe::Done { result: json!({ "removed": false }) });
    }
    let there = world.volumes.contains_key(call.text("volume")?);
    Ok(if there { Probe::NotDone } else { Probe::Done { result: json!({ "removed": true }) } })
}
