//! What a call looks at and what it changes, from its arguments: the things by whose keys a plan finds out whether it has to
//! answer for them itself.

use crate::model::Value;
use crate::sandbox::models::helm::named as named_release;
use crate::sandbox::models::pg::named_server;
use crate::sandbox::resources::Mount;
use crate::sandbox::tree::{join, normal, split};
use crate::sandbox::world::World;

/// How much of a thing.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Depth {
    /// The thing alone.
    Itself,
    /// And all that is in it.
    Below,
}

/// A thing that a call looks at.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Reach {
    /// Its key. The empty one is everything.
    pub key: String,
    /// How much of it.
    pub depth: Depth,
}

/// The key of a path of the host.
pub(super) fn path_key(path: &str) -> String {
    format!("fs{}", normal(path)).trim_end_matches('/').to_owned()
}

/// The path of such a key.
pub(super) fn path_of(key: &str) -> Option<&str> {
    let path = key.strip_prefix("fs")?;
    if path.is_empty() { Some("/") } else { path.starts_with('/').then_some(path) }
}

/// The key of an object of S3.
fn object_key(args: &Value, bucket: &str, key: &str) -> String {
    format!("s3/{}/{}", text(args, bucket).unwrap_or_default(), text(args, key).unwrap_or_default())
}

fn text<'a>(args: &'a Value, name: &str) -> Option<&'a str> {
    args.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

/// The words of a command line.
pub(super) fn words(args: &Value) -> Vec<&str> {
    let list = args.get("argv").and_then(Value::as_array);
    list.map(|words| words.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

struct Found(Vec<Reach>);

impl Found {
    fn one(&mut self, key: String, depth: Depth) {
        self.0.push(Reach { key, depth });
    }

    fn paths(&mut self, args: &Value, names: &[&str], depth: Depth) {
        for name in names {
            match args.get(*name) {
                Some(Value::String(path)) if !path.is_empty() => self.one(path_key(path), depth),
                Some(Value::Array(paths)) => {
                    paths.iter().filter_map(Value::as_str).for_each(|path| self.one(path_key(path), depth));
                }
                _ => {}
            }
        }
    }

    fn mounts(&mut self, mounts: &[Mount], depth: Depth) {
        for mount in mounts {
            if let Some(volume) = &mount.volume {
                self.one(format!("volume/{volume}"), depth);
            }
            if let Some(folder) = &mount.bind {
                self.one(path_key(folder), depth);
            }
        }
    }

    fn server(&mut self, args: &Value, depth: Depth) -> String {
        let server = named_server(args);
        if let Some(container) = args.pointer("/server/container").and_then(Value::as_str) {
            self.one(format!("docker/{container}"), Depth::Itself);
        }
        self.one(format!("pg/{server}"), depth);
        server
    }
}

/// What a call's answer, or its precondition, hangs on.
pub(super) fn of(op: &str, args: &Value, world: &World) -> Vec<Reach> {
    use Depth::{Below, Itself};
    let mut found = Found(Vec::new());
    match op {
        "fs.stat" | "fs.read_text" | "fs.read_json" | "fs.dotenv" | "fs.sha256" => {
            found.paths(args, &["path"], Itself);
            // A folder's own time of change is that of the last thing made or removed in it.
            if op == "fs.stat" {
                found.paths(args, &["path"], Below);
            }
        }
        "fs.list" | "fs.hash_tree" | "fs.space" | "fs.delete" | "fs.remove_dirs" | "fs.remove_unpacked" => {
            found.paths(args, &["path", "paths"], Below);
        }
        "fs.rename" | "fs.rename_back" | "fs.archive" => found.paths(args, &["from", "to"], Below),
        _ if op.starts_with("fs.") => found.paths(args, &["path", "from", "to", "archive"], Itself),
        _ if op.starts_with("helm.") => {
            found.one(format!("helm/{}", named_release(args)), Itself);
            found.paths(args, &["values_files"], Itself);
            if text(args, "chart").is_some_and(|chart| chart.starts_with('/')) {
                found.paths(args, &["chart"], Below);
            }
        }
        "docker.list" => found.one("docker".to_owned(), Below),
        "docker.volumes" => found.one("volume".to_owned(), Below),
        "docker.info" => {}
        "docker.read" | "docker.exec" | "docker.copy_in" | "docker.copy_out" => {
            let name = text(args, "container").unwrap_or_default();
            found.one(format!("docker/{name}"), Below);
            if let Some(container) = world.containers.get(name) {
                found.mounts(&container.mounts, Below);
            }
            if op == "docker.read" || op == "docker.exec" {
                found.one(format!("pg/{name}"), Below);
            }
            found.paths(args, &["stdin_file", "stdout_file", "archive", "to"], Itself);
        }
        "docker.run" | "docker.create_container" => {
            if op == "docker.create_container" {
                found.one(format!("docker/{}", text(args, "name").unwrap_or_default()), Itself);
            }
            found.one(format!("image/{}", text(args, "image").unwrap_or_default()), Itself);
            let mounts = args.get("mounts").cloned().unwrap_or_default();
            found.mounts(&serde_json::from_value::<Vec<Mount>>(mounts).unwrap_or_default(), Itself);
            found.paths(args, &["stdin_file", "stdout_file"], Itself);
        }
        "docker.image" => found.one(format!("image/{}", text(args, "image").unwrap_or_default()), Itself),
        "docker.remove_volume" => {
            found.one(format!("volume/{}", text(args, "volume").unwrap_or_default()), Itself);
            found.one("docker".to_owned(), Below);
        }
        "docker.volume" | "docker.create_volume" => {
            found.one(format!("volume/{}", text(args, "volume").unwrap_or_default()), Itself);
        }
        _ if op.starts_with("docker.") => {
            let name = text(args, "container").or_else(|| text(args, "name")).unwrap_or_default();
            found.one(format!("docker/{name}"), Itself);
        }
        "pg.databases" | "pg.create_database" | "pg.drop_database" | "pg.rename_databases" => {
            found.server(args, Below);
            // Who is connected hangs on which containers run.
            found.one("docker".to_owned(), Below);
        }
        "pg.query" | "pg.execute" => {
            let server = found.server(args, Itself);
            let sql = text(args, "sql").unwrap_or_default().to_lowercase();
            // Every database shows the catalogue of all; a question about itself alone does not hang on the others.
            let all = ["pg_stat", "pg_roles", "pg_authid", "pg_tablespace", "dblink"];
            let whole = all.iter().any(|word| sql.contains(word))
                || (sql.contains("pg_database") && !sql.contains("current_database()"));
            match text(args, "database").filter(|_| !whole) {
                Some(database) => found.one(format!("pg/{server}/{database}"), Below),
                None => found.one(format!("pg/{server}"), Below),
            }
        }
        "pg.check_dump" => {
            found.paths(args, &["path"], Itself);
            if args.get("server").is_some_and(|server| !server.is_null()) {
                found.server(args, Itself);
            }
        }
        _ if op.starts_with("pg.") => {
            let server = found.server(args, Itself);
            if let Some(database) = text(args, "database") {
                let depth = if op == "pg.terminate" { Below } else { Itself };
                found.one(format!("pg/{server}/{database}"), depth);
            }
            found.paths(args, &["from", "to"], Itself);
        }
        _ if op.starts_with("http.") => {
            found.one(format!("http/{}", text(args, "url").unwrap_or_default()), Itself);
            // What answers there is some service, with some database behind it: which, the address does not tell.
            for family in ["docker", "pg", "helm", "ecs", "rds", "k8s"] {
                found.one(family.to_owned(), Below);
            }
        }
        "sts.identity" | "iam.simulate" => {}
        "s3.bucket" => found.one(format!("s3/{}", text(args, "bucket").unwrap_or_default()), Itself),
        "s3.list" => found.one(format!("s3/{}", text(args, "bucket").unwrap_or_default()), Below),
        _ if op.starts_with("s3.") => {
            found.one(object_key(args, "bucket", "key"), Below);
            if op == "s3.copy" {
                found.one(object_key(args, "from_bucket", "from_key"), Below);
            }
            found.paths(args, &["from", "to"], Itself);
        }
        _ if op.starts_with("k8s.") => {
            found.0 = super::kubernetes::reach(op, args);
            found.paths(args, &["stdin_file", "to"], Itself);
        }
        _ if op.starts_with("ecs.") => found.one(super::ecs::key(op, args), Itself),
        _ if op.starts_with("secrets.") => found.one(super::secrets::key(args), Itself),
        _ if op.starts_with("rds.") => found.0 = super::rds::reach(op, args, world),
        _ if op.starts_with("backup.") || op.starts_with("efs.") => found.0 = super::stores::reach(op, args),
        "exec.read" => {
            for key in program_reads(args) {
                found.one(key, Below);
            }
        }
        "exec.run" => {
            found.paths(args, &["stdin_file", "stdout_file"], Itself);
            if is_cipher(args) {
                let paths: Vec<&str> = words(args).into_iter().skip(1).filter(|word| word.starts_with('/')).collect();
                paths.into_iter().for_each(|path| found.one(path_key(path), Itself));
            }
        }
        _ => found.one(String::new(), Below),
    }
    found.0
}

/// The namespace of a release, as a key.
pub(super) fn namespace_of(args: &Value) -> String {
    let cluster = args.get("cluster").and_then(|cluster| serde_json::from_value(cluster.clone()).ok());
    let part = crate::ops::k8s::cluster_part(&cluster.unwrap_or_default());
    let (namespace, _) = text(args, "release").and_then(|name| name.split_once('/')).unwrap_or_default();
    format!("k8s/{part}/{namespace}")
}

/// The files that stand for a program's input and output.
pub(super) fn streams(args: &Value) -> Vec<Reach> {
    let mut found = Found(Vec::new());
    found.paths(args, &["stdin_file", "stdout_file", "to"], Depth::Itself);
    if let Some(container) = text(args, "container") {
        found.one(format!("docker/{container}"), Depth::Itself);
    }
    if let Some(image) = text(args, "image") {
        found.one(format!("image/{image}"), Depth::Itself);
    }
    if text(args, "pod").is_some() {
        super::kubernetes::targets("k8s.exec", args).into_iter().for_each(|pod| found.one(pod, Depth::Itself));
    }
    found.0
}

/// Programs of the host whose answer hangs on files alone, when they are given any.
const FILE_PROGRAMS: [&str; 17] = [
    "git",
    "cat",
    "ls",
    "find",
    "stat",
    "du",
    "df",
    "test",
    "sha256sum",
    "md5sum",
    "wc",
    "head",
    "tail",
    "grep",
    "tar",
    "age",
    "gpg",
];

fn base_name(word: &str) -> &str {
    word.rsplit('/').next().unwrap_or(word)
}

fn program_reads(args: &Value) -> Vec<String> {
    let words = words(args);
    let files = words.first().is_some_and(|program| FILE_PROGRAMS.contains(&base_name(program)));
    let cwd = text(args, "cwd");
    let paths: Vec<String> = words
        .iter()
        .skip(1)
        .filter(|word| !word.starts_with('-'))
        .filter_map(|word| match (word.starts_with('/'), cwd) {
            (true, _) => Some(path_key(word)),
            (false, Some(cwd)) => Some(path_key(&join(cwd, word))),
            (false, None) => None,
        })
        .chain(cwd.map(path_key))
        .collect();
    if files && !paths.is_empty() { paths } else { vec![String::new()] }
}

/// Whether a program does nothing but turn its input into its output.
pub(super) fn is_cipher(args: &Value) -> bool {
    words(args).first().is_some_and(|program| ["age", "gpg"].contains(&base_name(program)))
        && text(args, "stdin_file").is_some()
        && text(args, "stdout_file").is_some()
}

/// What an effect sets, whatever else it may: later reads of it are never the live system's to answer.
pub(super) fn targets(op: &str, args: &Value) -> Vec<String> {
    let path = |name: &str| text(args, name).map(path_key);
    let server = || named_server(args);
    let all: Vec<Option<String>> = match op {
        "fs.rename" | "fs.rename_back" => vec![path("from"), path("to")],
        "fs.remove_dirs" => Vec::new(),
        _ if op.starts_with("fs.") => vec![path("to").or_else(|| path("path"))],
        "docker.copy_out" => vec![path("to")],
        "docker.copy_in" => vec![text(args, "container").map(|name| format!("docker/{name}/files"))],
        "docker.exec" | "docker.run" | "exec.run" => vec![path("stdout_file")],
        "docker.create_volume" | "docker.remove_volume" => {
            vec![text(args, "volume").map(|name| format!("volume/{name}"))]
        }
        _ if op.starts_with("docker.") => {
            vec![text(args, "container").or_else(|| text(args, "name")).map(|name| format!("docker/{name}"))]
        }
        "pg.dump" => vec![path("to")],
        "pg.rename_databases" => {
            let renames = args.get("renames").and_then(Value::as_array).cloned().unwrap_or_default();
            let ends = renames.iter().flat_map(|one| [text(one, "from"), text(one, "to")]);
            ends.map(|name| name.map(|name| format!("pg/{}/{name}", server()))).collect()
        }
        _ if op.starts_with("pg.") => vec![text(args, "database").map(|name| format!("pg/{}/{name}", server()))],
        "s3.get_file" | "k8s.read_to_file" => vec![path("to")],
        _ if op.starts_with("s3.") => vec![Some(object_key(args, "bucket", "key"))],
        _ if op.starts_with("helm.") => vec![Some(format!("helm/{}", named_release(args)))],
        _ if op.starts_with("http.") => vec![text(args, "url").map(|url| format!("http/{url}"))],
        _ if op.starts_with("k8s.") => super::kubernetes::targets(op, args).into_iter().map(Some).collect(),
        _ if op.starts_with("ecs.") => vec![Some(super::ecs::key(op, args))],
        _ if op.starts_with("secrets.") => vec![Some(super::secrets::key(args))],
        _ if op.starts_with("rds.") => super::rds::targets(op, args).into_iter().map(Some).collect(),
        _ if op.starts_with("backup.") || op.starts_with("efs.") => {
            super::stores::targets(op, args).into_iter().map(Some).collect()
        }
        _ => vec![Some(String::new())],
    };
    all.into_iter().flatten().collect()
}

/// What a program of which there is no model could change, beside the files it is told to write.
pub(super) fn at_risk(op: &str, args: &Value, world: &World) -> Vec<String> {
    let writable = |mounts: &[Mount]| -> Vec<String> {
        let open = mounts.iter().filter(|mount| !mount.read_only);
        open.filter_map(|mount| match (&mount.volume, &mount.bind) {
            (Some(volume), _) => Some(format!("volume/{volume}/files")),
            (None, Some(folder)) => Some(path_key(folder)),
            (None, None) => None,
        })
        .collect()
    };
    match op {
        "docker.exec" | "docker.copy_in" => {
            let name = text(args, "container").unwrap_or_default();
            let mounts = world.containers.get(name).map(|container| container.mounts.clone()).unwrap_or_default();
            let mut keys = vec![format!("docker/{name}/files")];
            keys.extend(writable(&mounts));
            if op == "docker.exec" {
                keys.extend([format!("pg/{name}"), "http".to_owned()]);
            }
            keys
        }
        "docker.run" => {
            let mounts = args.get("mounts").cloned().unwrap_or_default();
            let mut keys = writable(&serde_json::from_value::<Vec<Mount>>(mounts).unwrap_or_default());
            if text(args, "network").is_some_and(|network| network != "none") {
                keys.extend(["pg".to_owned(), "http".to_owned()]);
            }
            keys
        }
        "docker.copy_out" | "k8s.read_to_file" => Vec::new(),
        // What else it reaches over the network, nobody knows here either; its Pod stands for all that it works on.
        "k8s.exec" => super::kubernetes::targets(op, args).into_iter().chain(["http".to_owned()]).collect(),
        _ if op.starts_with("s3.") => Vec::new(),
        "pg.execute" => vec![format!("pg/{}", named_server(args))],
        _ if op.starts_with("http.") => vec!["http".to_owned()],
        "exec.run" if is_cipher(args) => Vec::new(),
        _ => vec![String::new()],
    }
}

/// The folder in which a file lies, as a key.
pub(super) fn folder_of(key: &str) -> Option<String> {
    let (folder, _) = split(path_of(key)?)?;
    Some(path_key(folder))
}
