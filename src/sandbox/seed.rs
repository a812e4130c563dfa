//! `world.yaml`: the format in which a playbook declares the world it is rehearsed in, and how a world is made of it.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::aws::Aws;
use super::content::{Content, sha256_hex};
use super::custom::{self, Custom, Fields};
use super::fill::{Fill, before, fill_text, fill_value};
use super::helm::{self, Chart, ReleaseSeed};
use super::kubernetes::KubernetesSeed;
use super::postgres::{Answer, Contents, Database, DumpImage, Server, Table};
use super::resources::{Command, Container, Endpoint, Image, Mount, State, Volume};
use super::seed_file::{FileMap, FileSeed, SizeSeed};
use super::tree::{Node, Tree, inside, join, normal};
use super::world::World;
use crate::model::amount::parse_duration;
use crate::model::{Timestamp, Value};

/// A `world.yaml` cannot be used.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum SeedError {
    /// It is no YAML, or does not fit the format.
    #[error("the world cannot be read: line {line}, column {column}: {message}")]
    Syntax {
        /// Counts from 1.
        line: u64,
        /// Counts from 1.
        column: u64,
        /// What is wrong there.
        message: String,
    },
    /// It reads, but cannot be.
    #[error("the world cannot be built: {at}: {message}")]
    Content {
        /// Where in the file, as a path of keys.
        at: String,
        /// What is wrong there.
        message: String,
    },
}

pub(super) fn wrong(at: impl Into<String>, message: impl Into<String>) -> SeedError {
    SeedError::Content { at: at.into(), message: message.into() }
}

/// `world.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct WorldSeed {
    /// Example parameters, so that the playbook runs in the sandbox without any `-p`.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
    /// The time at which the world begins.
    #[serde(default = "midsummer")]
    pub now: Timestamp,
    /// Where chance begins.
    #[serde(default = "one")]
    pub seed: u64,
    /// Bytes free on the host's disk.
    #[serde(default)]
    pub free: Option<SizeSeed>,
    /// Files of the host, by absolute path.
    #[serde(default)]
    pub files: BTreeMap<String, FileSeed>,
    /// Containers, by name.
    #[serde(default)]
    pub containers: BTreeMap<String, ContainerSeed>,
    /// Images, by name. Images of containers need not be declared.
    #[serde(default)]
    pub images: BTreeMap<String, Option<Image>>,
    /// Volumes, by name. Volumes of containers need not be declared.
    #[serde(default)]
    pub volumes: BTreeMap<String, Option<VolumeSeed>>,
    /// PostgreSQL servers, by the name of their container or by `host:port`.
    #[serde(default)]
    pub postgres: BTreeMap<String, ServerSeed>,
    /// What answers, by URL.
    #[serde(default)]
    pub http: BTreeMap<String, Endpoint>,
    /// The AWS account.
    #[serde(default)]
    pub aws: Aws,
    /// Charts of helm's, by what a playbook finds them by: an absolute path, `oci://…` or `REPOSITORY/CHART`.
    #[serde(default)]
    pub charts: BTreeMap<String, Chart>,
    /// Releases of helm's, by `NAMESPACE/NAME`, or `CONTEXT/NAMESPACE/NAME` where playbooks name a context.
    #[serde(default)]
    pub releases: BTreeMap<String, ReleaseSeed>,
    /// Objects of Kubernetes.
    #[serde(default)]
    pub kubernetes: KubernetesSeed,
    /// Programs that the sandbox does not know by itself.
    #[serde(default)]
    pub commands: Vec<Command>,
    /// Resources of the playbook's own kinds, by `kind/name`: their fields.
    #[serde(default)]
    pub resources: BTreeMap<String, Fields>,
}

fn midsummer() -> Timestamp {
    Timestamp::constant(1_782_000_000, 0)
}

fn one() -> u64 {
    1
}

/// A container of `world.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ContainerSeed {
    /// Its image.
    pub image: String,
    /// `running`, `exited` or `created`.
    #[serde(default)]
    pub state: State,
    /// `healthy` or `unhealthy`; absent when it has no health check.
    #[serde(default)]
    pub health: Option<HealthSeed>,
    /// How long after a start it becomes healthy, `5s`.
    #[serde(default)]
    pub healthy_after: Option<String>,
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// Its environment.
    #[serde(default)]
    pub env: BTreeMap<String, String>,
    /// What it sees that is not its own.
    #[serde(default)]
    pub mounts: Vec<Mount>,
    /// Files of its own.
    #[serde(default)]
    pub files: BTreeMap<String, FileSeed>,
    /// Database sessions it holds while it runs: `server/database` and how many.
    #[serde(default)]
    pub sessions: BTreeMap<String, u32>,
    /// It is known to the world, but not there: only `up` makes it.
    #[serde(default)]
    pub absent: bool,
}

/// What a health check says.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum HealthSeed {
    /// It succeeds.
    Healthy,
    /// It fails.
    Unhealthy,
}

/// A volume of `world.yaml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct VolumeSeed {
    /// Its labels.
    #[serde(default)]
    pub labels: BTreeMap<String, String>,
    /// What it holds, by path within the volume (`/models/blobs/x`).
    #[serde(default)]
    pub files: BTreeMap<String, FileSeed>,
}

/// A PostgreSQL server of `world.yaml`.
#[derive(Clone, Debug, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct ServerSeed {
    /// `17.4`.
    #[serde(default = "version")]
    pub version: String,
    /// What tells this cluster from any other; made from its name when absent.
    #[serde(default)]
    pub system_identifier: Option<String>,
    /// Whether it follows another.
    #[serde(default)]
    pub in_recovery: bool,
    /// Roles that may log in; owners of databases need not be named. The first one owns the templates.
    #[serde(default)]
    pub roles: Vec<String>,
    /// Databases by name, beside `postgres` and the templates.
    #[serde(default)]
    pub databases: BTreeMap<String, DatabaseSeed>,
    /// Answers to queries that no table holds.
    #[serde(default)]
    pub answers: Vec<Answer>,
}

fn version() -> String {
    "17.4".to_owned()
}

/// A database of `world.yaml`.
#[derive(Clone, Debug, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DatabaseSeed {
    /// Who owns it; the server's first role when absent.
    #[serde(default)]
    pub owner: Option<String>,
    /// Its comment.
    #[serde(default)]
    pub comment: String,
    /// `UTF8` when absent.
    #[serde(default)]
    pub encoding: Option<String>,
    /// Sessions of somebody who is no container of this world.
    #[serde(default)]
    pub sessions: u32,
    /// User tables by name.
    #[serde(default)]
    pub tables: BTreeMap<String, Table>,
    /// How many large objects there are.
    #[serde(default)]
    pub large_objects: u64,
    /// Extensions.
    #[serde(default)]
    pub extensions: BTreeSet<String>,
    /// How many bytes its data takes.
    #[serde(default)]
    pub size: Option<SizeSeed>,
}

impl World {
    /// The world that this `world.yaml` declares.
    ///
    /// # Errors
    /// With line and column when it does not fit the format; with the path of keys when what it says cannot be.
    pub fn load(yaml: &str) -> Result<Self, SeedError> {
        let seed: WorldSeed = serde_yaml::from_str(yaml).map_err(|error| {
            let location = error.location();
            let line = location.map_or(0, |at| at.line());
            let column = location.map_or(0, |at| at.column());
            SeedError::Syntax { line, column, message: error.without_snippet().to_string() }
        })?;
        build(seed)
    }
}

fn build(seed: WorldSeed) -> Result<World, SeedError> {
    let mut world = World::empty(seed.now);
    world.params = seed.params;
    world.seed = seed.seed;
    world.http = seed.http.into_iter().collect();
    world.aws = seed.aws;
    let (account, region) = (world.aws.account.clone(), world.aws.region.clone());
    world.aws.rds.complete(&account, &region);
    world.aws.backup.complete(&account, &region);
    world.aws.efs.complete(&account, &region);
    world.commands = seed.commands.into();
    for (name, fields) in seed.resources {
        if !custom::is_name(&name) {
            return Err(wrong(
                format!("resources.{name}"),
                "a resource is named like `cluster/main`: its kind, then its own name",
            ));
        }
        world.resources.insert(name, Custom { fields: Some(fields), then: Vec::new() });
    }
    if let Some(free) = seed.free {
        world.free = free.0;
    }
    for (name, image) in seed.images {
        world.images.insert(name, image.unwrap_or_default());
    }
    for (name, server) in seed.postgres {
        let server = build_server(&name, server);
        world.postgres.insert(name, server);
    }
    for (name, volume) in seed.volumes {
        let volume = volume.unwrap_or_default();
        let files = build_tree(&world, &volume.files, &format!("volumes.{name}.files"))?;
        world.volumes.insert(name, Volume { labels: volume.labels, files });
    }
    for (name, container) in seed.containers {
        build_container(&mut world, &name, container)?;
    }
    let versions: BTreeMap<String, String> = world
        .containers
        .iter()
        .filter_map(|(name, container)| Some((container.image.clone(), world.postgres.get(name)?.version.clone())))
        .collect();
    for name in world.images.keys().cloned().collect::<Vec<_>>() {
        let Some(image) = world.images.get_mut(&name) else { continue };
        if image.postgres.is_none() {
            image.postgres = versions.get(&name).cloned().or_else(|| postgres_of(&name));
        }
        if image.id.is_empty() {
            image.id = format!("sha256:{}", sha256_hex(name.as_bytes()));
        }
    }
    for name in world.containers.keys().cloned().collect::<Vec<_>>() {
        if world.containers[&name].state == State::Running {
            super::models::docker::connect(&mut world, &name);
        }
    }
    world.files = build_tree(&world, &seed.files, "files")?;
    let (charts, releases) =
        helm::build(seed.charts, seed.releases, world.now).map_err(|(at, what)| wrong(at, what))?;
    (world.charts, world.releases) = (charts, releases);
    world.kubernetes =
        seed.kubernetes.build(world.now).map_err(|(at, what)| wrong(format!("kubernetes.{at}"), what))?;
    Ok(world)
}

/// The version of PostgreSQL in an image called `…/postgres:17`.
fn postgres_of(image: &str) -> Option<String> {
    let (name, tag) = image.rsplit('/').next()?.split_once(':')?;
    let major: u32 = tag.chars().take_while(char::is_ascii_digit).collect::<String>().parse().ok()?;
    (name == "postgres").then(|| format!("{major}.4"))
}

fn build_server(name: &str, seed: ServerSeed) -> Server {
    let superuser = seed.roles.first().map_or("postgres", String::as_str);
    let identifier = seed.system_identifier.unwrap_or_else(|| {
        let digits: String = sha256_hex(name.as_bytes()).chars().filter(char::is_ascii_digit).take(18).collect();
        format!("7{digits}")
    });
    let mut server = Server::fresh(&seed.version, &identifier, superuser);
    server.in_recovery = seed.in_recovery;
    server.answers = seed.answers;
    for (database_name, declared) in seed.databases {
        let owner = declared.owner.unwrap_or_else(|| superuser.to_owned());
        let mut contents = Contents {
            tables: in_schemas(declared.tables),
            large_objects: declared.large_objects,
            extensions: declared.extensions,
            bytes: declared.size.map_or(0, |size| size.0),
            unseen: None,
        };
        contents.complete();
        server.roles.insert(owner.clone());
        let mut database = Database::new(server.take_oid(), &owner, contents);
        database.comment = declared.comment;
        if let Some(encoding) = declared.encoding {
            database.encoding = encoding;
        }
        if declared.sessions > 0 {
            database.sessions.insert(String::new(), declared.sessions);
        }
        server.databases.insert(database_name, database);
    }
    server.roles.extend(seed.roles);
    server
}

/// Tables without a schema are in `public`.
fn in_schemas(tables: BTreeMap<String, Table>) -> BTreeMap<String, Table> {
    let named = |name: String| if name.contains('.') { name } else { format!("public.{name}") };
    tables.into_iter().map(|(name, table)| (named(name), table)).collect()
}

fn build_container(world: &mut World, name: &str, seed: ContainerSeed) -> Result<(), SeedError> {
    let at = format!("containers.{name}");
    for mount in &seed.mounts {
        match (&mount.volume, &mount.bind) {
            // The volumes of a container that is not there come with it.
            (Some(volume), None) if !seed.absent => {
                world.volumes.entry(volume.clone()).or_default();
            }
            (Some(_), None) | (None, Some(_)) => {}
            _ => return Err(wrong(format!("{at}.mounts"), "a mount needs either `volume` or `bind`")),
        }
    }
    world.images.entry(seed.image.clone()).or_default();
    let healthy_after = match &seed.healthy_after {
        Some(text) => parse_duration(text).map_err(|e| wrong(format!("{at}.healthy_after"), e.to_string()))?,
        None => std::time::Duration::from_secs(3),
    };
    let container = Container {
        id: sha256_hex(name.as_bytes()),
        image: seed.image,
        state: seed.state,
        healthcheck: seed.health.is_some(),
        healthy_after_ms: u64::try_from(healthy_after.as_millis()).unwrap_or(u64::MAX),
        healthy: seed.health != Some(HealthSeed::Unhealthy),
        started_at: Timestamp::from_second(world.now.as_second() - 86_400).ok(),
        exit_code: 0,
        labels: seed.labels,
        env: seed.env,
        mounts: seed.mounts,
        files: build_tree(world, &seed.files, &format!("{at}.files"))?,
        sessions: seed.sessions,
        network: "default".to_owned(),
    };
    if !seed.absent {
        world.containers.insert(name.to_owned(), container.clone());
    }
    world.declared.insert(name.to_owned(), Container { state: State::Running, ..container });
    Ok(())
}

fn build_tree(world: &World, seeds: &BTreeMap<String, FileSeed>, at: &str) -> Result<Tree, SeedError> {
    let mut tree = Tree::default();
    let mut waiting: Vec<(&String, &FileSeed)> = seeds.iter().collect();
    for (path, _) in &waiting {
        if !path.starts_with('/') {
            return Err(wrong(format!("{at}.{path}"), "a path has to start with /"));
        }
    }
    while !waiting.is_empty() {
        let count = waiting.len();
        let pending: Vec<String> = waiting.iter().map(|(path, _)| normal(path)).collect();
        let mut left = Vec::new();
        for (path, seed) in waiting {
            let place = format!("{at}.{path}");
            let mut fill = Fill { world, tree: &tree, pending: &pending, missing: None };
            let node = build_node(&mut fill, seed, &place, path)?;
            match fill.missing {
                Some(missing) if !pending.contains(&normal(&missing)) => {
                    return Err(wrong(place, format!("there is no file {missing} to fill in from")));
                }
                Some(_) => left.push((path, seed)),
                None => tree.put(&normal(path), node),
            }
        }
        if left.len() == count {
            return Err(wrong(format!("{at}.{}", left[0].0), "files are filled in from each other in a circle"));
        }
        waiting = left;
    }
    Ok(tree)
}

fn build_node(fill: &mut Fill<'_>, seed: &FileSeed, at: &str, path: &str) -> Result<Node, SeedError> {
    let map = match seed {
        FileSeed::Dir => return Ok(Node::dir(0o755)),
        FileSeed::Text(text) => return Ok(Node::file(Content::Text(text.clone()), 0o644, Some(fill.world.now))),
        FileSeed::Map(map) => map.as_ref(),
    };
    let mode = match &map.mode {
        Some(text) => u32::from_str_radix(text, 8).map_err(|_| wrong(at, "a mode is written like \"0600\""))?,
        None if map.dir => 0o755,
        None => 0o644,
    };
    let modified = match &map.age {
        Some(age) => before(fill.world.now, age).ok_or_else(|| wrong(at, "`age` is no duration: write it like 36h"))?,
        None => fill.world.now,
    };
    if map.dir {
        return Ok(Node { modified: Some(modified), ..Node::dir(mode) });
    }
    if let Some(to) = &map.link {
        return Ok(Node { modified: Some(modified), ..Node::link(to) });
    }
    let mut content = build_content(fill, map, at, path)?;
    if let Some(recipient) = &map.sealed {
        content = Content::Sealed { recipient: recipient.clone(), of: Box::new(content) };
    }
    if let Some(cut) = map.cut {
        content = Content::Cut { of: Box::new(content), bytes: cut.0 };
    }
    Ok(Node::file(content, mode, Some(modified)))
}

fn build_content(fill: &mut Fill<'_>, map: &FileMap, at: &str, path: &str) -> Result<Content, SeedError> {
    if let Some(text) = &map.text {
        return Ok(Content::Text(fill_text(fill, text, at)?));
    }
    if let Some(value) = &map.json {
        let value = fill_value(fill, value, at)?;
        let text = serde_json::to_string_pretty(&value).map_err(|e| wrong(at, e.to_string()))?;
        return Ok(Content::Text(format!("{text}\n")));
    }
    if let Some(size) = map.size {
        let content = Content::opaque(size.0, path);
        return Ok(match &map.sha256 {
            Some(sha256) => Content::Opaque { bytes: size.0, sha256: sha256.clone() },
            None => content,
        });
    }
    if let Some(dump) = &map.dump {
        let mut contents = Contents { tables: in_schemas(dump.contents.tables.clone()), ..dump.contents.clone() };
        contents.complete();
        return Ok(Content::Dump(Box::new(DumpImage { database: dump.database.clone(), major: dump.major, contents })));
    }
    if let Some(of) = &map.dump_of {
        let (server, database) = of.rsplit_once('/').ok_or_else(|| wrong(at, "write `dump_of` as SERVER/DATABASE"))?;
        let server = fill.world.postgres.get(server).ok_or_else(|| wrong(at, format!("no server {server}")))?;
        let found = server.databases.get(database).ok_or_else(|| wrong(at, format!("no database {database}")))?;
        let (database, major) = (database.to_owned(), server.major());
        return Ok(Content::Dump(Box::new(DumpImage { database, major, contents: found.contents.clone() })));
    }
    if let Some(files) = &map.tar {
        return Ok(Content::Tar(Box::new(build_tree(fill.world, files, &format!("{at}.tar"))?)));
    }
    if let Some(of) = &map.tar_of {
        return tar_of(fill, of, at);
    }
    Err(wrong(at, "a file needs one of text, json, size, dump, dump_of, tar, tar_of, link, dir"))
}

fn tar_of(fill: &mut Fill<'_>, of: &str, at: &str) -> Result<Content, SeedError> {
    let (tree, path) = if let Some(volume) = of.strip_prefix("volume:") {
        let volume = fill.world.volumes.get(volume).ok_or_else(|| wrong(at, format!("no volume {volume}")))?;
        (&volume.files, "/")
    } else if let Some(rest) = of.strip_prefix("container:") {
        let (name, path) = rest.split_once(':').ok_or_else(|| wrong(at, "write `tar_of` as container:NAME:/path"))?;
        let container = fill.world.declared.get(name).ok_or_else(|| wrong(at, format!("no container {name}")))?;
        let branch = container.files.branch(path);
        let mut tree = Tree::default();
        tree.graft(&join("/", super::tree::split(path).map_or("", |(_, name)| name)), &branch.copy());
        return Ok(Content::Tar(Box::new(tree)));
    } else {
        // All that the world declares there comes first.
        if let Some(path) = fill.pending.iter().find(|path| inside(path, &normal(of)).is_some()) {
            fill.missing = Some(path.clone());
            return Ok(Content::Text(String::new()));
        }
        (fill.tree, of)
    };
    if !tree.exists(path) {
        return Err(wrong(at, format!("nothing at {of} to archive")));
    }
    Ok(Content::Tar(Box::new(tree.branch(path).copy().below)))
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const OMNICHAT: &str = r#"
params: { backup_dir: /srv/backups }
now: 2026-07-24T02:00:00Z
files:
  /srv/omnichat/Makefile: "local-up:\n"
  /srv/omnichat/local/.env: { text: "POSTGRES_DB=chatbot_db\n", mode: "0600" }
  /srv/backups:
  /srv/backups/a/chatbot_db.dump: { dump_of: open-webui-db/chatbot_db, age: 36h }
  /srv/backups/a/models.tar: { tar_of: "volume:local_ollama-data" }
  /srv/backups/a/manifest.json:
    json:
      files: [{ path: models.tar, sha256: "{{sha256 /srv/backups/a/models.tar}}", bytes: "{{bytes /srv/backups/a/models.tar}}" }]
      census: "{{census open-webui-db chatbot_db}}"
      started: "{{before 36h}}"
  /srv/backups/a/SHA256SUMS: { text: "{{sha256 /srv/backups/a/manifest.json}}  manifest.json\n" }
containers:
  open-webui-db: { image: "postgres:17", health: healthy, mounts: [{ volume: local_open-webui, at: /var/lib/postgresql/data }] }
  open-webui: { image: open-webui, sessions: { open-webui-db/chatbot_db: 2 } }
volumes:
  local_ollama-data: { files: { /models/blobs/sha256-aa: { size: 3GiB, sha256: aa } } }
postgres:
  open-webui-db:
    roles: [chatbot_user]
    databases:
      chatbot_db: { tables: { user: { rows: 3 }, alembic_version: { data: [{ version_num: abc }] } }, large_objects: 2 }
"#;

    #[test]
    fn a_world_is_built_from_its_file() {
        let world = World::load(OMNICHAT).unwrap();
        let manifest = world.files.content("/srv/backups/a/manifest.json").unwrap().text().unwrap();
        let manifest: Value = serde_json::from_str(manifest).unwrap();
        let archive = world.files.content("/srv/backups/a/models.tar").unwrap();
        assert_eq!(manifest["files"][0]["sha256"], json!(archive.sha256()));
        assert!(archive.bytes() > 3 << 30);
        assert_eq!(manifest["started"], json!("2026-07-22T14:00:00Z"));
        assert_eq!(manifest["census"]["tables"].as_array().unwrap().len(), 2);
        assert_eq!(world.postgres["open-webui-db"].databases["chatbot_db"].sessions["open-webui"], 2);
        assert!(world.volumes.contains_key("local_open-webui"));
        assert!(world.files.is_dir("/srv/backups"));
    }

    #[test]
    fn a_world_survives_being_written_down() {
        let world = World::load(OMNICHAT).unwrap();
        let text = serde_json::to_string(&world).unwrap();
        assert_eq!(serde_json::from_str::<World>(&text).unwrap(), world);
    }

    #[test]
    fn an_unknown_key_is_named_with_its_line() {
        let error = World::load("containers:\n  a: { image: x }\n  b: { image: x, colour: red }\n").unwrap_err();
        assert!(matches!(&error, SeedError::Syntax { line: 3, message, .. } if message.contains("colour")), "{error}");
    }

    #[test]
    fn files_filled_in_from_each_other_are_an_error_and_not_a_hang() {
        let yaml = "files:\n  /a: { text: '{{sha256 /b}}' }\n  /b: { text: '{{sha256 /a}}' }\n";
        assert!(World::load(yaml).unwrap_err().to_string().contains("circle"));
        assert!(World::load("files: { /a: { text: '{{sha256 /c}}' } }").unwrap_err().to_string().contains("/c"));
    }
}
