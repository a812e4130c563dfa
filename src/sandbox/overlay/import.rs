//! What a plan learns of the live system: things are looked at when a model has to know them, by the system's own reading
//! operations, and are then held in the plan's world.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::json;

use super::footprint::{Depth, Reach, path_of};
use super::state::State;
use crate::model::fault::OpError;
use crate::model::{Timestamp, Value};
use crate::ops;
use crate::ops::helm::client::Cluster;
use crate::ops::host::{ReadHost, Request};
use crate::sandbox::content::{Content, Unseen};
use crate::sandbox::helm::{Release, Revision};
use crate::sandbox::models::helm::named as named_release;
use crate::sandbox::models::pg::named_server;
use crate::sandbox::postgres::{CATALOGUE, Contents, Database, Server};
use crate::sandbox::resources::{Container, Image, Mount, State as Stands, Volume};
use crate::sandbox::tree::{Kind, Node, Tree};
use crate::sandbox::veil;

/// More files than these in one folder are not looked at for a plan.
const MOST_FILES: usize = 20_000;

/// Texts up to this length are read for a plan.
const LARGEST_TEXT: u64 = 64 << 10;

/// How long a container that was started is taken to need until it is healthy, in milliseconds.
const HEALTHY_AFTER_MS: u64 = 5000;

/// Looks at a live system for one call.
pub(super) struct Importer<'i> {
    pub base: &'i dyn ReadHost,
    pub request: &'i Request,
    /// The clusters that the playbook's own model looks at, by their part of a key.
    pub clusters: BTreeMap<String, Cluster>,
}

#[derive(Deserialize)]
struct Stat {
    exists: bool,
    kind: String,
    bytes: u64,
    mode: String,
    modified: String,
}

#[derive(Deserialize)]
struct Listed {
    entries: Vec<Entry>,
}

#[derive(Deserialize)]
struct Entry {
    path: String,
    kind: String,
}

#[derive(Deserialize)]
struct Seen {
    exists: bool,
    id: String,
    state: String,
    health: String,
    image: String,
    image_id: String,
    #[serde(default)]
    labels: BTreeMap<String, String>,
    #[serde(default)]
    mounts: Vec<SeenMount>,
    started_at: String,
    exit_code: i32,
}

#[derive(Deserialize)]
struct SeenMount {
    kind: String,
    name: String,
    source: String,
    destination: String,
}

#[derive(Deserialize)]
struct SeenDatabase {
    name: String,
    oid: u32,
    bytes: u64,
    owner: String,
    comment: Option<String>,
    connections: u32,
    template: bool,
    allows_connections: bool,
}

impl Importer<'_> {
    pub(super) fn ask<T: for<'de> Deserialize<'de>>(&self, op: &str, args: Value) -> Result<T, String> {
        let value = self.read(op, args).map_err(|error| error.message)?;
        T::deserialize(&value).map_err(|e| format!("what {op} answers cannot be read: {e}"))
    }

    fn read(&self, name: &str, args: Value) -> Result<Value, OpError> {
        let op = ops::find(name).ok_or_else(|| OpError::refused(format!("there is no operation {name}")))?;
        self.base.read(&Request { op, args, before: Value::Null, ..self.request.clone() })
    }

    /// Looks at all of these that have not been looked at, and that the plan has not made anew. The reason when one cannot be
    /// looked at.
    pub(super) fn import(&self, state: &mut State, reach: &[Reach]) -> Result<(), String> {
        for Reach { key, depth } in reach {
            let (family, name) = key.split_once('/').unwrap_or((key, ""));
            let name = name.split('/').next().unwrap_or_default();
            match family {
                "fs" => {
                    let path = path_of(key).unwrap_or("/");
                    self.see_path(state, path)?;
                    if *depth == Depth::Below {
                        self.see_below(state, path)?;
                    }
                }
                "docker" | "volume" if key.split('/').nth(2) == Some("files") && !state.is_own(key) => {
                    return Err(format!("what is inside of {family} {name}, which a plan does not look into"));
                }
                "docker" if name.is_empty() && *depth == Depth::Below && self.request.op.name == "docker.list" => {
                    let listed: Value = self.ask("docker.list", json!({ "all": true }))?;
                    let names = listed["containers"].as_array().into_iter().flatten();
                    for name in names.filter_map(|found| found["name"].as_str()) {
                        self.see_container(state, name)?;
                    }
                }
                "docker" if !name.is_empty() => self.see_container(state, name)?,
                "image" => self.see_image(state, name)?,
                "rds" => self.see_rds(state, key)?,
                "k8s" if self.clusters.contains_key(name) => self.see_for_model(state, key, *depth)?,
                "k8s" => self.see_kubernetes(state, key)?,
                "ecs" => self.see_service(state, key)?,
                "secrets" => self.see_secret(state, key)?,
                "backup" | "efs" => self.see_stored(state, key)?,
                "s3" => self.see_object(state, key)?,
                "volume" => self.see_volume(state, name)?,
                "helm" => self.see_release(state, key)?,
                "pg" if !name.is_empty() && named_server(&self.request.args) == name => self.see_server(state, name)?,
                _ => {}
            }
        }
        Ok(())
    }

    /// Looks at a release: its history, and the values of its revisions. What the chart renders stays with the live system.
    fn see_release(&self, state: &mut State, key: &str) -> Result<(), String> {
        if state.is_own(key) || state.seen.contains(key) || format!("helm/{}", named_release(&self.request.args)) != key
        {
            return Ok(());
        }
        let (release, cluster) = (self.request.args["release"].clone(), self.request.args.get("cluster"));
        let args = |more: Value| {
            let mut args = more;
            args["release"] = release.clone();
            if let Some(cluster) = cluster {
                args["cluster"] = cluster.clone();
            }
            args
        };
        let history: Value = self.ask("helm.history", args(json!({})))?;
        let listed = history["revisions"].as_array().cloned().unwrap_or_default();
        let latest: Value = if listed.is_empty() { Value::Null } else { self.ask("helm.release", args(json!({})))? };
        let mut found = Release::default();
        for one in &listed {
            let text = |name: &str| one[name].as_str().unwrap_or_default().to_owned();
            let number = one["revision"].as_u64().and_then(|number| u32::try_from(number).ok()).unwrap_or(0);
            let values: Value = self.ask("helm.values", args(json!({ "revision": number })))?;
            // helm's history has name and version in one.
            let version = latest["chart_version"].as_str().unwrap_or_default();
            let chart = text("chart");
            let (name, version) = match chart.strip_suffix(&format!("-{version}")) {
                Some(name) => (name.to_owned(), version.to_owned()),
                None => chart.rsplit_once('-').map_or_else(
                    || (chart.clone(), String::new()),
                    |(name, version)| (name.to_owned(), version.to_owned()),
                ),
            };
            found.revisions.push(Revision {
                number,
                status: text("status"),
                chart: name,
                chart_version: version,
                app_version: text("app_version"),
                values: values["values"].clone(),
                defaults: Value::Null,
                objects: None,
                ready_at: None,
                updated: instant(&text("updated")).unwrap_or(state.now),
                description: text("description"),
                key: String::new(),
            });
        }
        state.seen.insert(key.to_owned());
        if !found.revisions.is_empty() {
            state.world_mut().releases.insert(named_release(&self.request.args), found);
        }
        Ok(())
    }

    /// Looks at a path, and at the folders it lies in as far as they are not there.
    fn see_path(&self, state: &mut State, path: &str) -> Result<(), String> {
        let mut at = path.to_owned();
        loop {
            self.see_one(state, &at)?;
            if state.world.files.exists(&at) {
                return Ok(());
            }
            match crate::sandbox::tree::split(&at) {
                Some((folder, _)) => at = folder.to_owned(),
                None => return Ok(()),
            }
        }
    }

    fn see_one(&self, state: &mut State, path: &str) -> Result<(), String> {
        let key = super::footprint::path_key(path);
        if path == "/" || state.is_own(&key) || state.seen.contains(&key) {
            return Ok(());
        }
        let found: Stat = self.ask("fs.stat", json!({ "path": path }))?;
        state.seen.insert(key);
        let files = &mut state.world_mut().files;
        if found.exists {
            files.see(path, node_of(path, &found));
        }
        Ok(())
    }

    fn see_below(&self, state: &mut State, path: &str) -> Result<(), String> {
        let mut folders = vec![path.to_owned()];
        let mut looked_at = 0;
        while let Some(folder) = folders.pop() {
            let key = super::footprint::path_key(&folder);
            let listed = format!("{key}/*");
            if !state.world.files.is_dir(&folder) || state.is_own(&key) || state.seen.contains(&listed) {
                continue;
            }
            let found: Listed = self.ask("fs.list", json!({ "path": folder }))?;
            looked_at += found.entries.len();
            if looked_at > MOST_FILES {
                return Err(format!("{path} holds more than {MOST_FILES} files, which a plan does not look at"));
            }
            for entry in found.entries {
                self.see_one(state, &entry.path)?;
                if entry.kind == "dir" {
                    folders.push(entry.path);
                }
            }
            state.seen.insert(listed);
        }
        Ok(())
    }

    /// Reads a text that a model has to look into, as long as the live system still has it.
    pub(super) fn see_text(&self, state: &mut State, path: &str) {
        let Some(Content::Unseen(Unseen { from: Some(from), bytes: Some(bytes), .. })) =
            state.world.files.content(path)
        else {
            return;
        };
        if *bytes > LARGEST_TEXT {
            return;
        }
        let found: Result<Value, String> = self.ask("fs.read_text", json!({ "path": from, "max": LARGEST_TEXT }));
        let text = found.ok().and_then(|found| found["text"].as_str().map(str::to_owned));
        if let (Some(text), Some(node)) = (text, state.world_mut().files.get_mut(path)) {
            node.kind = Kind::File(Content::Text(text));
        }
    }

    /// Has the live system sum a file that it still has.
    pub(super) fn see_sum(&self, state: &mut State, path: &str) {
        let Some(Content::Unseen(Unseen { from: Some(from), sha256: None, .. })) = state.world.files.content(path)
        else {
            return;
        };
        let found: Result<Value, String> = self.ask("fs.sha256", json!({ "path": from }));
        let sum = found.ok().and_then(|found| found["sha256"].as_str().map(str::to_owned));
        if let Some(Kind::File(Content::Unseen(unseen))) =
            state.world_mut().files.get_mut(path).map(|node| &mut node.kind)
        {
            unseen.sha256 = sum;
        }
    }

    fn see_container(&self, state: &mut State, name: &str) -> Result<(), String> {
        let key = format!("docker/{name}");
        if state.is_own(&key) || state.seen.contains(&key) {
            return Ok(());
        }
        let found: Seen = self.ask("docker.inspect", json!({ "container": name }))?;
        state.seen.insert(key);
        if !found.exists {
            return Ok(());
        }
        let made = container_of(&found);
        let world = state.world_mut();
        if !world.images.contains_key(&found.image) {
            world.images.insert(found.image.clone(), Image { id: found.image_id.clone(), postgres: None });
        }
        // As it is now, it would be made anew.
        world.declared.insert(name.to_owned(), Container { state: Stands::Running, ..made.clone() });
        world.containers.insert(name.to_owned(), made);
        Ok(())
    }

    fn see_image(&self, state: &mut State, name: &str) -> Result<(), String> {
        // A name may hold slashes, of which the key has only the first part.
        let name = self.request.args.get("image").and_then(Value::as_str).unwrap_or(name);
        if state.world.images.contains_key(name) {
            return Ok(());
        }
        let found: Value = self.ask("docker.image", json!({ "image": name }))?;
        if found["exists"] == json!(true) {
            let id = found["id"].as_str().unwrap_or_default().to_owned();
            state.world_mut().images.insert(name.to_owned(), Image { id, postgres: None });
        }
        Ok(())
    }

    fn see_volume(&self, state: &mut State, name: &str) -> Result<(), String> {
        let key = format!("volume/{name}");
        if state.is_own(&key) || state.seen.contains(&key) {
            return Ok(());
        }
        let found: Value = self.ask("docker.volume", json!({ "volume": name }))?;
        state.seen.insert(key);
        if found["exists"] == json!(true) {
            let labels = BTreeMap::deserialize(&found["labels"]).unwrap_or_default();
            state.world_mut().volumes.insert(name.to_owned(), Volume { labels, files: Tree::default() });
        }
        Ok(())
    }

    fn see_server(&self, state: &mut State, name: &str) -> Result<(), String> {
        let key = format!("pg/{name}");
        // The server of a container that the plan made is the plan's own.
        let made = state.is_own(&format!("docker/{name}")) && !state.seen.contains(&format!("docker/{name}"));
        if made && !state.world.postgres.contains_key(name) && state.world.containers.contains_key(name) {
            return Err(format!("whether a server runs in container {name}, the run will see"));
        }
        if made || state.seen.contains(&key) {
            return Ok(());
        }
        let server = self.request.args.get("server").cloned().unwrap_or_default();
        let found: Value = self.ask("pg.server", json!({ "server": server }))?;
        let listed: Value = self.ask("pg.databases", json!({ "server": server }))?;
        let databases: Vec<SeenDatabase> = Vec::deserialize(&listed["databases"])
            .map_err(|e| format!("what pg.databases answers cannot be read: {e}"))?;
        state.seen.insert(key);
        let text = |name: &str| found[name].as_str().unwrap_or_default().to_owned();
        let mut imported = Server::fresh(&text("version"), &text("system_identifier"), "");
        imported.in_recovery = found["in_recovery"] == json!(true);
        imported.roles.clear();
        imported.any_role = true;
        imported.next_oid = veil::UNKNOWN_OID;
        imported.databases = databases
            .into_iter()
            .map(|one| {
                let (name, sessions) = (one.name.clone(), one.connections);
                let why = format!("what is in database {name}");
                let contents = Contents { bytes: one.bytes.saturating_sub(CATALOGUE), ..Contents::unseen(why) };
                let mut database = Database::new(one.oid, &one.owner, contents);
                database.comment = one.comment.unwrap_or_default();
                database.template = one.template;
                database.allow_connections = one.allows_connections;
                if sessions > 0 {
                    database.sessions.insert(String::new(), sessions);
                }
                (name, database)
            })
            .collect();
        state.world_mut().postgres.insert(name.to_owned(), imported);
        Ok(())
    }
}

pub(super) fn instant(text: &str) -> Option<Timestamp> {
    text.parse().ok()
}

fn node_of(path: &str, found: &Stat) -> Node {
    let mode = u32::from_str_radix(&found.mode, 8).unwrap_or(0o600);
    let kind = match found.kind.as_str() {
        "dir" => Kind::Dir,
        "file" => Kind::File(Content::Unseen(Unseen {
            bytes: Some(found.bytes),
            sha256: None,
            from: Some(path.to_owned()),
            why: format!("what is in {path}"),
        })),
        other => Kind::Link(other.to_owned()),
    };
    Node { kind, modified: instant(&found.modified), ..Node::dir(mode) }
}

fn container_of(found: &Seen) -> Container {
    let mounts = found.mounts.iter().map(|mount| Mount {
        volume: (mount.kind == "volume").then(|| mount.name.clone()),
        bind: (mount.kind == "bind").then(|| mount.source.clone()),
        at: mount.destination.clone(),
        read_only: false,
    });
    Container {
        id: found.id.clone(),
        image: found.image.clone(),
        state: match found.state.as_str() {
            "running" => Stands::Running,
            "created" | "configured" | "initialized" => Stands::Created,
            _ => Stands::Exited,
        },
        healthcheck: !found.health.is_empty(),
        healthy_after_ms: HEALTHY_AFTER_MS,
        healthy: found.health != "unhealthy",
        started_at: instant(&found.started_at),
        exit_code: found.exit_code,
        labels: found.labels.clone(),
        env: BTreeMap::new(),
        mounts: mounts.collect(),
        files: Tree::default(),
        sessions: BTreeMap::new(),
        network: String::new(),
    }
}
