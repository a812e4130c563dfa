//! Containers of the world: looking at them, starting, stopping, copying files out of and into them.

use std::collections::BTreeMap;
use std::time::Duration;

use serde_json::json;

use super::fs::{may_write, part_of};
use super::fs_read::tar_of;
use super::{Call, Effect, Model, docker_made};
use crate::model::fault::OpError;
use crate::model::{Timestamp, Value};
use crate::ops::host::{Polled, Probe};
use crate::sandbox::World;
use crate::sandbox::content::{Content, sha256_hex};
use crate::sandbox::postgres::Server;
use crate::sandbox::resources::{Container, Mount, State};
use crate::sandbox::tree::{Node, Tree, inside, join, split};
use crate::sandbox::veil::{UNKNOWN_OID, fits, mark};
use crate::sandbox::view::View;

/// The identity of the sandbox's container host.
pub const HOST_ID: &str = "sandbox";
/// The label that says which run made a thing.
pub(super) const RUN_LABEL: &str = "muster.run";
/// The label that says which call made a thing.
pub(super) const KEY_LABEL: &str = "muster.key";

pub(super) fn models() -> Vec<(&'static str, Model)> {
    let state = |world: &World, call: &Call<'_>, _: &Value| {
        let found = world.containers.get(call.text("container")?);
        Ok(json!({ "id": found.map(|found| &found.id), "running": found.map(|found| found.state == State::Running) }))
    };
    let mut all = vec![
        ("docker.info", Model::Read(info as fn(&mut World, &Call<'_>) -> Result<Value, OpError>)),
        ("docker.inspect", Model::Read(|world, call| Ok(inspect(world, call.text("container")?, call.now)))),
        ("docker.image", Model::Read(image)),
        ("docker.list", Model::Read(list)),
        ("docker.volume", Model::Read(volume)),
        ("docker.volumes", Model::Read(volumes)),
        ("docker.wait_healthy", Model::Wait(wait_healthy)),
        ("docker.start", Model::Write(Effect::new(before_start, start, probe_start).fingerprint(state))),
        ("docker.stop", Model::Write(Effect::new(before_stop, stop, probe_stop).fingerprint(state))),
        (
            "docker.copy_out",
            Model::Write(
                Effect::new(before_copy_out, copy_out, probe_copy_out).by_child(|_, _| 500).half(half_copy_out),
            ),
        ),
        (
            "docker.copy_in",
            Model::Write(Effect::new(before_copy_in, copy_in, probe_copy_in).by_child(|_, _| 500).half(half_copy_in)),
        ),
    ];
    all.extend(docker_made::models());
    all
}

// --- what containers do ----------------------------------------------------------------------------------------------------

/// Opens the database sessions that a container holds while it runs.
pub fn connect(world: &mut World, name: &str) {
    let Some(sessions) = world.containers.get(name).map(|container| container.sessions.clone()) else { return };
    for (place, count) in sessions {
        if let Some((server, database)) = place.rsplit_once('/')
            && let Some(server) = world.postgres.get_mut(server)
            && let Some(database) = server.databases.get_mut(database)
        {
            database.sessions.insert(name.to_owned(), count);
        }
    }
}

/// Closes all database sessions of a container.
fn disconnect(world: &mut World, name: &str) {
    let holds = |server: &Server| -> Vec<String> {
        let of = server.databases.iter().filter(|(_, database)| database.sessions.contains_key(name));
        of.map(|(database, _)| database.clone()).collect()
    };
    let held: Vec<(String, Vec<String>)> =
        world.postgres.iter().map(|(server, found)| (server.clone(), holds(found))).collect();
    for (server, databases) in held.into_iter().filter(|(_, databases)| !databases.is_empty()) {
        let Some(server) = world.postgres.get_mut(&server) else { continue };
        for database in databases {
            if let Some(database) = server.databases.get_mut(&database) {
                database.sessions.remove(name);
            }
        }
    }
}

/// Starts a container that is there.
pub fn bring_up(world: &mut World, name: &str, now: Timestamp) {
    let version = world
        .containers
        .get(name)
        .and_then(|container| find_image(world, &container.image))
        .and_then(|image| image.postgres.clone());
    let planned = world.planned;
    let Some(container) = world.containers.get_mut(name) else { return };
    container.state = State::Running;
    container.started_at = Some(now);
    let known = |variable: &str| container.env.get(variable).cloned();
    let user = known("POSTGRES_USER").unwrap_or_else(|| "postgres".to_owned());
    let database = known("POSTGRES_DB").unwrap_or_else(|| user.clone());
    let healthy_after = container.healthy_after_ms;
    let ephemeral = !container.mounts.iter().any(|mount| mount.at.starts_with("/var/lib/postgresql"));
    if let Some(version) = version {
        let seed = format!("{name} {}", container.id);
        world.postgres.entry(name.to_owned()).or_insert_with(|| {
            let digits: String = sha256_hex(seed.as_bytes()).chars().filter(char::is_ascii_digit).take(18).collect();
            let mut server = Server::fresh(&version, &format!("7{digits}"), &user);
            server.ephemeral = ephemeral;
            if planned {
                server.next_oid = UNKNOWN_OID;
                server.system_identifier = mark("the server chooses it when it first starts");
            }
            if !server.databases.contains_key(&database) {
                let oid = server.take_oid();
                let made = crate::sandbox::postgres::Database::new(oid, &user, Default::default());
                server.databases.insert(database, made);
            }
            server
        });
    }
    if let Some(server) = world.postgres.get_mut(name) {
        let wait = Duration::from_millis(healthy_after.min(3_600_000));
        server.ready_at = now.checked_add(wait).ok();
    }
    connect(world, name);
}

/// Stops a container and keeps it.
pub fn bring_down(world: &mut World, name: &str) {
    disconnect(world, name);
    if let Some(server) = world.postgres.get_mut(name) {
        let busy = server.databases.iter().filter(|(_, database)| !database.sessions.is_empty());
        for name in busy.map(|(name, _)| name.clone()).collect::<Vec<_>>() {
            if let Some(database) = server.databases.get_mut(&name) {
                database.sessions.clear();
            }
        }
    }
    if let Some(container) = world.containers.get_mut(name)
        && container.state == State::Running
    {
        container.state = State::Exited;
        container.exit_code = 0;
    }
}

/// Stops a container and removes it with its own files. A server whose data was only in it goes too.
pub fn take_down(world: &mut World, name: &str) {
    bring_down(world, name);
    world.containers.remove(name);
    if world.postgres.get(name).is_some_and(|server| server.ephemeral) {
        world.postgres.remove(name);
    }
}

/// Starts a container, made as it was declared if it is gone; whether it is known at all.
pub fn make_declared(world: &mut World, name: &str, now: Timestamp) -> bool {
    match world.containers.get(name) {
        Some(container) if container.state == State::Running => return true,
        Some(_) => {}
        None => {
            let Some(declared) = world.declared.get(name).cloned() else { return false };
            for volume in declared.mounts.iter().filter_map(|mount| mount.volume.clone()) {
                world.volumes.entry(volume).or_default();
            }
            let id = if world.planned {
                mark(&format!("the id of container {name}"))
            } else {
                sha256_hex(format!("{name} made anew at {now}").as_bytes())
            };
            world.containers.insert(name.to_owned(), Container { id, ..declared });
        }
    }
    bring_up(world, name, now);
    true
}

/// Whether a container runs, and is healthy if it can be.
#[must_use]
pub fn is_ready(container: &Container, now: Timestamp) -> bool {
    container.state == State::Running && matches!(health(container, now), "" | "healthy")
}

fn health(container: &Container, now: Timestamp) -> &'static str {
    if !container.healthcheck || container.state != State::Running {
        return "";
    }
    let since = container.started_at.map_or(i64::MAX, |at| now.as_millisecond() - at.as_millisecond());
    if u64::try_from(since).unwrap_or(0) < container.healthy_after_ms {
        "starting"
    } else if container.healthy {
        "healthy"
    } else {
        "unhealthy"
    }
}

/// A container as a call makes it, labelled with run and key.
pub(super) fn new_container(world: &World, call: &Call<'_>, image: &str) -> Container {
    let mut labels: BTreeMap<String, String> = call.maybe("labels").unwrap_or_default();
    labels.insert(RUN_LABEL.to_owned(), call.run.to_string());
    labels.insert(KEY_LABEL.to_owned(), call.key.to_owned());
    Container {
        id: if world.planned {
            mark(&format!("the id of the container that {} makes", call.key))
        } else {
            sha256_hex(format!("{} {}", call.key, call.now).as_bytes())
        },
        image: image.to_owned(),
        state: State::Created,
        healthcheck: false,
        healthy_after_ms: 2000,
        healthy: true,
        started_at: None,
        exit_code: 0,
        labels,
        env: BTreeMap::new(),
        mounts: Vec::new(),
        files: Tree::default(),
        sessions: BTreeMap::new(),
        network: call.maybe_text("network").unwrap_or("none").to_owned(),
    }
}

// --- checks ----------------------------------------------------------------------------------------------------------------

/// A container that has to be there.
pub(super) fn existing<'w>(world: &'w World, act: &str, name: &str) -> Result<&'w Container, OpError> {
    world.containers.get(name).ok_or_else(|| {
        OpError::refused(format!("{act}: there is no container {name}"))
            .with_hint("it may have been removed by a `compose down`; bring the deployment up first")
    })
}

/// A container that has to run.
pub(super) fn running<'w>(world: &'w World, act: &str, name: &str) -> Result<&'w Container, OpError> {
    let found = existing(world, act, name)?;
    if found.state == State::Running {
        return Ok(found);
    }
    Err(OpError::refused(format!("{act}: container {name} is not running, it is {}", found.state.as_str()))
        .with_hint(format!("start it with `docker start {name}`")))
}

/// An image by name or by id, as the client takes either.
fn find_image<'w>(world: &'w World, image: &str) -> Option<&'w crate::sandbox::resources::Image> {
    world.images.get(image).or_else(|| world.images.values().find(|other| other.id == image))
}

/// The id of an image that has to be on the host.
pub(super) fn image_id(world: &World, act: &str, image: &str) -> Result<String, OpError> {
    find_image(world, image).map(|image| image.id.clone()).ok_or_else(|| {
        OpError::refused(format!("{act}: the image is not on this host, and Muster pulls none"))
            .with_hint("pull or load it first")
    })
}

/// Mounts of things that have to be there.
pub(super) fn check_mounts(world: &World, act: &str, mounts: &[Mount]) -> Result<(), OpError> {
    for mount in mounts {
        match (&mount.volume, &mount.bind) {
            (Some(volume), None) if world.volumes.contains_key(volume) => {}
            (None, Some(folder)) if world.files.exists(&super::absolute(folder)?) => {}
            (Some(volume), None) => return Err(OpError::refused(format!("{act}: there is no volume {volume}"))),
            (None, Some(folder)) => return Err(OpError::refused(format!("{act}: there is no {folder} to mount"))),
            _ => return Err(OpError::refused(format!("cannot mount at {}: give either volume or bind", mount.at))),
        }
    }
    Ok(())
}

// --- looking ---------------------------------------------------------------------------------------------------------------

fn info(_: &mut World, _: &Call<'_>) -> Result<Value, OpError> {
    Ok(json!({ "runtime": "docker", "version": "27.0.0", "host_id": HOST_ID }))
}

/// A container as `docker.inspect` tells it.
fn inspect(world: &World, name: &str, now: Timestamp) -> Value {
    let Some(found) = world.containers.get(name) else {
        return json!({
            "exists": false, "id": "", "state": "", "running": false, "health": "", "image": "", "image_id": "",
            "labels": {}, "mounts": [], "started_at": "", "exit_code": 0, "owned_by": "",
        });
    };
    let mounts: Vec<Value> = found
        .mounts
        .iter()
        .map(|mount| {
            let (kind, name, source) = match (&mount.volume, &mount.bind) {
                (Some(volume), _) => ("volume", volume.as_str(), mountpoint(volume)),
                (None, Some(folder)) => ("bind", "", folder.clone()),
                (None, None) => ("tmpfs", "", String::new()),
            };
            json!({ "kind": kind, "name": name, "source": source, "destination": mount.at })
        })
        .collect();
    json!({
        "exists": true, "id": found.id, "state": found.state.as_str(), "running": found.state == State::Running,
        "health": health(found, now), "image": found.image,
        "image_id": find_image(world, &found.image).map(|image| image.id.clone()).unwrap_or_default(),
        "labels": found.labels, "mounts": mounts, "started_at": started_at(found), "exit_code": found.exit_code,
        "owned_by": found.labels.get(RUN_LABEL).cloned().unwrap_or_default(),
    })
}

fn mountpoint(volume: &str) -> String {
    format!("/var/lib/docker/volumes/{volume}/_data")
}

fn started_at(container: &Container) -> String {
    container.started_at.map(|at| at.to_string()).unwrap_or_default()
}

fn image(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let found = find_image(world, call.text("image")?);
    Ok(json!({ "exists": found.is_some(), "id": found.map(|image| image.id.clone()).unwrap_or_default() }))
}

/// Whether these labels have the one that is asked for: `name` or `name=value`.
fn is_labelled(labels: &BTreeMap<String, String>, label: Option<&str>) -> bool {
    match label.map(|label| label.split_once('=').unwrap_or((label, ""))) {
        None => true,
        Some((name, "")) => labels.contains_key(name),
        Some((name, value)) => labels.get(name).is_some_and(|found| found == value),
    }
}

fn volumes(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let label = call.maybe_text("label");
    let fits = world.volumes.iter().filter(|(_, volume)| is_labelled(&volume.labels, label));
    let listed: Vec<Value> = fits.map(|(name, volume)| json!({ "name": name, "labels": volume.labels })).collect();
    Ok(json!({ "volumes": listed }))
}

fn list(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let all: bool = call.maybe("all").unwrap_or(true);
    let label = call.maybe_text("label");
    let fits = |container: &Container| is_labelled(&container.labels, label);
    let listed: Vec<Value> = world
        .containers
        .iter()
        .filter(|(_, container)| (all || container.state == State::Running) && fits(container))
        .map(|(name, container)| {
            json!({
                "id": container.id, "name": name, "state": container.state.as_str(), "image": container.image,
                "labels": container.labels,
            })
        })
        .collect();
    Ok(json!({ "containers": listed }))
}

fn volume(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let name = call.text("volume")?;
    Ok(match world.volumes.get(name) {
        Some(found) => json!({ "exists": true, "mountpoint": mountpoint(name), "labels": found.labels }),
        None => json!({ "exists": false, "mountpoint": "", "labels": {} }),
    })
}

fn wait_healthy(world: &World, call: &Call<'_>) -> Result<Polled, OpError> {
    let name = call.text("container")?;
    let act = format!("cannot wait for container {name} to be healthy");
    let found = existing(world, &act, name)?;
    if found.state == State::Exited {
        return Err(OpError::failed(format!("{act}: it is exited with exit code {}", found.exit_code)));
    }
    if is_ready(found, call.now) {
        return Ok(Polled::Ready(inspect(world, name, call.now)));
    }
    let word = match health(found, call.now) {
        "" => found.state.as_str(),
        health => health,
    };
    Ok(Polled::Pending { progress: Some(word.to_owned()), again: Duration::from_millis(500) })
}

// --- starting and stopping -------------------------------------------------------------------------------------------------

fn earlier(world: &World, call: &Call<'_>, verb: &str) -> Result<Value, OpError> {
    let name = call.text("container")?;
    let found = existing(world, &format!("cannot {verb} container {name}"), name)?;
    Ok(json!({ "id": found.id, "running": found.state == State::Running, "started_at": started_at(found) }))
}

fn was_running(call: &Call<'_>) -> bool {
    call.before.get("running").and_then(Value::as_bool).unwrap_or(false)
}

/// The container, or what a probe says when it is another one now.
fn same<'w>(world: &'w World, call: &Call<'_>) -> Result<Result<&'w Container, Probe>, OpError> {
    let name = call.text("container")?;
    let found = world.containers.get(name).filter(|found| found.id == call.earlier("id"));
    Ok(found.ok_or_else(|| Probe::CannotTell {
        why: format!("the container named {name} is not the one it was: it was removed and made anew in between"),
    }))
}

fn before_start(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    earlier(world, call, "start")
}

fn start(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let name = call.text("container")?;
    let act = format!("cannot start container {name}");
    if existing(world, &act, name)?.state != State::Running {
        bring_up(world, name, call.now);
    }
    Ok(json!({ "started_at": started_at(existing(world, &act, name)?), "was_running": was_running(call) }))
}

fn probe_start(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let found = match same(world, call)? {
        Ok(found) => found,
        Err(probe) => return Ok(probe),
    };
    if found.state == State::Running || started_at(found) != call.earlier("started_at") {
        let result = json!({ "started_at": started_at(found), "was_running": was_running(call) });
        return Ok(Probe::Done { result });
    }
    Ok(Probe::NotDone)
}

fn before_stop(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    earlier(world, call, "stop")
}

fn stop(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let name = call.text("container")?;
    existing(world, &format!("cannot stop container {name}"), name)?;
    bring_down(world, name);
    Ok(json!({ "was_running": was_running(call) }))
}

fn probe_stop(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    Ok(match same(world, call)? {
        Ok(found) if found.state == State::Running => Probe::NotDone,
        Ok(_) => Probe::Done { result: json!({ "was_running": was_running(call) }) },
        Err(probe) => probe,
    })
}

// --- copying ---------------------------------------------------------------------------------------------------------------

fn before_copy_out(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let (name, path) = (call.text("container")?, call.path("path")?);
    may_write(world, &call.path("to")?, false)?;
    Ok(json!({ "id": existing(world, &format!("cannot copy {path} out of container {name}"), name)?.id }))
}

fn copied(to: &str, content: &Content) -> Value {
    json!({ "path": to, "bytes": content.bytes(), "sha256": content.sha256() })
}

fn copy_out(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let (name, path, to) = (call.text("container")?, call.path("path")?, call.path("to")?);
    let act = format!("cannot copy {path} out of container {name}");
    let branch = View::container(name)
        .place(world, &path)
        .branch(world)
        .ok_or_else(|| OpError::failed(format!("{act}: there is no such file in it")))?;
    let mut tree = Tree::default();
    let root = join("/", split(&path).map_or("", |(_, name)| name));
    tree.graft(&root, &branch.copy());
    // What is mounted below it is copied as well.
    for mount in world.containers.get(name).map(|found| found.mounts.clone()).unwrap_or_default() {
        if let Some(below) = inside(&mount.at, &path).filter(|below| !below.is_empty() && *below != "/")
            && let Some(mounted) = View::container(name).place(world, &mount.at).branch(world)
        {
            tree.graft(&join(&root, below.trim_start_matches('/')), &mounted.copy());
        }
    }
    let content = Content::Tar(Box::new(tree));
    if !fits(content.bytes(), world.free) {
        return Err(OpError::failed(format!("cannot write {to}: no space left on device")));
    }
    let result = copied(&to, &content);
    world.files.remove(&part_of(&to, call.key));
    world.files.put(&to, Node::file(content, 0o600, Some(call.now)));
    Ok(result)
}

/// A kill of client and supervisor leaves the unfinished archive.
fn half_copy_out(world: &mut World, call: &Call<'_>) {
    if let Ok(to) = call.path("to") {
        let unfinished = Content::opaque(1, "an unfinished archive");
        world.files.put(&part_of(&to, call.key), Node::file(unfinished, 0o600, Some(call.now)));
    }
}

fn probe_copy_out(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let to = call.path("to")?;
    Ok(match world.files.content(&to) {
        Some(content) if call.lost(world) => Probe::Done { result: copied(&to, content) },
        _ => Probe::NotDone,
    })
}

fn before_copy_in(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let (name, archive) = (call.text("container")?, call.path("archive")?);
    let act = format!("cannot copy {archive} into container {name}");
    tar_of(world, "read", &archive)
        .map_err(|error| OpError::refused(format!("{act}: {}", error.message)).with_hint("take another copy of it"))?;
    Ok(json!({ "id": existing(world, &act, name)?.id }))
}

fn unpack_into(world: &mut World, call: &Call<'_>, most: usize) -> Result<(), OpError> {
    let (name, path) = (call.text("container")?, call.path("path")?);
    let tree = tar_of(world, "read", &call.path("archive")?)?.clone();
    let at = View::container(name).place(world, &path);
    let now = call.now;
    let target = at.tree_mut(world).ok_or_else(|| OpError::failed(format!("there is no container {name}")))?;
    if !target.is_dir(&at.path) {
        return Err(OpError::failed(format!("cannot copy into container {name}: there is no such file in it")));
    }
    for (path, node) in tree.walk("/").take(most) {
        let to = join(&at.path, path);
        if !(node.is_dir() && target.is_dir(&to)) {
            target.put(&to, Node { modified: Some(now), ..node.plain() });
        }
    }
    Ok(())
}

fn copy_in(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    unpack_into(world, call, usize::MAX)?;
    Ok(json!({}))
}

/// A kill leaves the first half of the files.
fn half_copy_in(world: &mut World, call: &Call<'_>) {
    let _ = unpack_into(world, call, 2);
}

fn probe_copy_in(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    if !call.lost(world) {
        return Ok(Probe::NotDone);
    }
    Ok(Probe::CannotTell { why: "the client was killed, and how much was unpacked is not known".to_owned() })
}
