//! Looking at files of the world.

use std::collections::BTreeMap;

use serde_json::json;

use super::{Call, Model};
use crate::model::fault::OpError;
use crate::model::secret::HANDLE_KEY;
use crate::model::{Value, glob};
use crate::ops::dotenv;
use crate::sandbox::World;
use crate::sandbox::content::{Content, Unseen, sha256_hex};
use crate::sandbox::tree::{Kind, Node, Tree, inside, join};
use crate::sandbox::veil::{UNKNOWN_BYTES, unseen};

pub(super) fn models() -> Vec<(&'static str, Model)> {
    vec![
        ("fs.stat", Model::Read(stat)),
        ("fs.list", Model::Read(list)),
        ("fs.read_text", Model::Read(read_text)),
        ("fs.read_json", Model::Read(read_json)),
        ("fs.dotenv", Model::Read(read_dotenv)),
        ("fs.sha256", Model::Read(sha256)),
        ("fs.hash_tree", Model::Read(hash_tree)),
        ("fs.space", Model::Read(space)),
        ("fs.tar_list", Model::Read(tar_list)),
    ]
}

/// Where the sandbox's disk ends.
const DISK: u64 = 1_000_000_000_000;
const LARGEST: u64 = 16 << 20;

fn missing(act: &str, path: &str) -> OpError {
    OpError::failed(format!("cannot {act} {path}: no such file or directory"))
}

fn modified(node: &Node) -> String {
    node.modified.map(|at| at.to_string()).unwrap_or_else(|| "1970-01-01T00:00:00Z".to_owned())
}

fn stat(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let path = call.path("path")?;
    let root = Node::dir(0o755);
    let node = if path == "/" { Some(&root) } else { world.files.get(&path) };
    Ok(match node {
        None => json!({ "exists": false, "kind": "none", "bytes": 0, "mode": "", "modified": "" }),
        Some(node) => json!({
            "exists": true, "kind": node.kind_name(), "bytes": node.bytes(), "mode": format!("{:04o}", node.mode),
            "modified": modified(node),
        }),
    })
}

fn list(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let path = call.path("path")?;
    if !world.files.is_dir(&path) {
        return Err(missing("read", &path));
    }
    let pattern = call.maybe_text("pattern").unwrap_or("*");
    let entries: Vec<Value> = world
        .files
        .list(&path)
        .filter(|(name, _)| glob::matches(pattern, name))
        .map(|(name, node)| {
            json!({
                "name": name, "path": join(&path, name), "kind": node.kind_name(), "bytes": node.bytes(),
                "modified": modified(node),
            })
        })
        .collect();
    Ok(json!({ "entries": entries }))
}

/// The content of a file of the host that has to be there.
pub(super) fn content_of<'w>(world: &'w World, act: &str, path: &str) -> Result<&'w Content, OpError> {
    if world.files.is_dir(path) {
        return Err(OpError::refused(format!("cannot {act} {path}: it is not a file")));
    }
    world.files.content(path).ok_or_else(|| missing(act, path))
}

fn text_of<'w>(world: &'w World, path: &str, max: u64) -> Result<&'w str, OpError> {
    let content = content_of(world, "read", path)?;
    if content.bytes() > max && content.bytes() < UNKNOWN_BYTES {
        let (size, max) = (crate::model::amount::format_size(content.bytes()), crate::model::amount::format_size(max));
        return Err(OpError::failed(format!("cannot read {path}: it is {size} large, and at most {max} are read"))
            .with_hint("large files go from file to file: `fs.copy`, `fs.sha256`"));
    }
    match content {
        Content::Text(text) => Ok(text),
        other if other.why_unseen().is_some() => Err(unseen(other.why_unseen().unwrap_or_default())),
        Content::Cut { of, bytes } => {
            let text = of.text().and_then(|text| text.get(..usize::try_from(*bytes).unwrap_or(0)));
            text.ok_or_else(|| OpError::failed(format!("cannot read {path}: it is not UTF-8 text")))
        }
        _ => Err(OpError::failed(format!("cannot read {path}: it is not UTF-8 text"))),
    }
}

fn read_text(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let max: u64 = call.maybe("max").unwrap_or(64 << 10);
    Ok(json!({ "text": text_of(world, &call.path("path")?, max.min(LARGEST))? }))
}

fn read_json(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let path = call.path("path")?;
    serde_json::from_str(text_of(world, &path, LARGEST)?)
        .map_err(|e| OpError::failed(format!("cannot read {path} as JSON: {e}")))
}

fn read_dotenv(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let path = call.path("path")?;
    let parsed = dotenv::parse(text_of(world, &path, LARGEST)?)
        .map_err(|what| OpError::failed(format!("cannot read {path}: {what}")))?;
    let plain: Vec<String> = call.maybe("plain").unwrap_or_default();
    let keys: Vec<String> = parsed.keys().cloned().collect();
    let mut values = BTreeMap::new();
    for (key, text) in parsed {
        let value = if plain.contains(&key) {
            Value::String(text)
        } else {
            call.redactor.learn(&text);
            json!({ HANDLE_KEY: { "provider": "dotenv", "path": path, "key": key } })
        };
        values.insert(key, value);
    }
    Ok(json!({ "values": values, "keys": keys }))
}

fn sha256(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let content = content_of(world, "read", &call.path("path")?)?;
    Ok(json!({ "sha256": content.sha256(), "bytes": content.bytes() }))
}

fn hash_tree(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let path = call.path("path")?;
    if !world.files.is_dir(&path) {
        return Err(missing("read", &path));
    }
    let mut files = Vec::new();
    let mut bytes = 0;
    for (at, node) in world.files.walk(&path) {
        let sha256 = match &node.kind {
            Kind::Dir => continue,
            Kind::File(content) => content.sha256(),
            Kind::Link(to) => sha256_hex(to.as_bytes()),
        };
        bytes += node.bytes();
        let relative = inside(at, &path).unwrap_or(at).trim_start_matches('/');
        files.push(json!({ "path": relative, "kind": node.kind_name(), "sha256": sha256, "bytes": node.bytes() }));
    }
    Ok(json!({ "files": files, "bytes": bytes }))
}

fn space(world: &mut World, _: &Call<'_>) -> Result<Value, OpError> {
    Ok(json!({ "free": world.free, "total": DISK }))
}

/// The tree in a tar archive.
pub(super) fn tar_of<'w>(world: &'w World, act: &str, path: &str) -> Result<&'w Tree, OpError> {
    match content_of(world, act, path)? {
        Content::Tar(tree) => Ok(tree),
        Content::Unseen(Unseen { why, .. }) => Err(unseen(why)),
        Content::Cut { .. } => Err(OpError::failed(format!("cannot {act} {path}: the archive is cut short"))
            .with_hint("the file is no whole tar archive; take another copy of it")),
        _ => Err(OpError::failed(format!("cannot {act} {path}: it is no tar archive"))),
    }
}

fn tar_list(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let path = call.path("archive")?;
    let tree = tar_of(world, "list", &path)?;
    let entries: Vec<Value> = tree
        .walk("/")
        .map(|(at, node)| {
            let slash = if node.is_dir() { "/" } else { "" };
            json!({ "path": format!("{}{slash}", at.trim_start_matches('/')), "bytes": node.bytes() })
        })
        .collect();
    Ok(json!({ "entries": entries, "bytes": tree.total_bytes() }))
}
