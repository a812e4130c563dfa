//! Changing files of the world. What a real disk holds beside a file (the unfinished part, the mark, the before-image) stands in
//! the world too: the part and the before-image under the same names, the mark as [`Node::made_by`].

use serde_json::json;

use super::fs_read::{content_of, tar_of};
use super::{Call, Effect, Model, absolute};
use crate::model::fault::OpError;
use crate::model::{Value, glob};
use crate::ops::host::Probe;
use crate::sandbox::World;
use crate::sandbox::content::Content;
use crate::sandbox::tree::{Node, Tree, inside, join, split};
use crate::sandbox::veil::fits;

pub(super) fn models() -> Vec<(&'static str, Model)> {
    let put = |before, act, at: fn(&World, &Call<'_>) -> Result<Probe, OpError>| {
        Effect::new(before, act, at).fingerprint(print_file).release(release).half(half_put)
    };
    vec![
        ("fs.write_text", Model::Write(put(before_put, write_text, probe_put))),
        ("fs.write_json", Model::Write(put(before_put, write_json, probe_put))),
        ("fs.copy", Model::Write(put(before_copy, copy, probe_put))),
        ("fs.archive", Model::Write(put(before_archive, archive, probe_put))),
        (
            "fs.make_dir",
            Model::Write(Effect::new(before_dir, make_dir, probe_dir).fingerprint(print_dir).half(half_dir)),
        ),
        ("fs.remove_dirs", Model::Write(Effect::new(|_, _| Ok(json!({})), remove_dirs, probe_dirs))),
        ("fs.rename", Model::Write(Effect::new(before_rename, rename, probe_rename).fingerprint(print_target))),
        ("fs.rename_back", Model::Write(Effect::new(before_back, rename_back, probe_back).fingerprint(print_target))),
        (
            "fs.delete",
            Model::Write(Effect::new(before_delete, delete, probe_delete).fingerprint(print_id).half(half_delete)),
        ),
        (
            "fs.unpack",
            Model::Write(
                Effect::new(before_unpack, unpack, probe_unpack)
                    .fingerprint(print_id)
                    .release(release)
                    .half(half_unpack),
            ),
        ),
    ]
}

/// `.x.part-KEY` beside `x`.
pub(super) fn beside(path: &str, role: &str, key: &str) -> String {
    match split(path) {
        Some((folder, name)) => join(folder, &format!(".{name}.{role}-{key}")),
        None => format!("/.{role}-{key}"),
    }
}

/// The path that the call writes to.
fn target(call: &Call<'_>) -> Result<String, OpError> {
    absolute(call.maybe_text("to").or_else(|| call.maybe_text("path")).unwrap_or_default())
}

pub(super) fn may_write(world: &World, path: &str, replace: bool) -> Result<(), OpError> {
    let folder = split(path).map_or("/", |(folder, _)| folder);
    match world.files.get(path) {
        None if world.files.is_dir(path) => Err(OpError::refused(format!("cannot write {path}: it is not a file"))),
        None if world.files.is_dir(folder) => Ok(()),
        None => Err(OpError::refused(format!("cannot write {path}: there is no folder {folder}"))
            .with_hint("make it first, with `fs.make_dir`")),
        Some(node) if replace && node.content().is_some() => Ok(()),
        Some(_) if replace => Err(OpError::refused(format!("cannot write {path}: it is not a file"))),
        Some(_) => Err(OpError::refused(format!("cannot write {path}: it exists already"))
            .with_hint("choose another name, or set `replace: true`")),
    }
}

fn mode_of(call: &Call<'_>) -> Result<Option<u32>, OpError> {
    let Some(text) = call.maybe_text("mode") else { return Ok(None) };
    if text.is_empty() || text.len() > 4 {
        return Err(OpError::refused(format!("`{text}` is not a file mode")));
    }
    u32::from_str_radix(text, 8).map(Some).map_err(|_| {
        OpError::refused(format!("`{text}` is not a file mode")).with_hint("write it in octal, as a text: \"0640\"")
    })
}

// --- putting one file in place ---------------------------------------------------------------------------------------------

fn image_of(world: &World, call: &Call<'_>, replace: bool, source_bytes: Option<u64>) -> Result<Value, OpError> {
    mode_of(call)?;
    let path = target(call)?;
    may_write(world, &path, replace)?;
    let mut before = json!({ "existed": false });
    if let Some(node) = world.files.get(&path) {
        before["existed"] = json!(true);
        before["file"] = json!({
            "id": world.files.id_at(&path), "bytes": node.bytes(), "mode": node.mode, "modified": 0,
            "sha256": node.content().map(Content::sha256),
        });
    }
    if let Some(bytes) = source_bytes {
        before["source_bytes"] = json!(bytes);
    }
    Ok(before)
}

pub(super) fn before_put(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    image_of(world, call, call.flag("replace"), None)
}

fn before_copy(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let bytes = content_of(world, "copy", &call.path("from")?)?.bytes();
    image_of(world, call, call.flag("replace"), Some(bytes))
}

fn before_archive(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let (from, to) = (call.path("from")?, call.path("to")?);
    if !world.files.exists(&from) {
        return Err(OpError::refused(format!("cannot archive {from}: no such file or directory")));
    }
    if inside(&to, &from).is_some() {
        return Err(OpError::refused(format!("cannot archive {from}: the archive would be inside of it")));
    }
    let bytes = world.files.get(&from).map_or(0, Node::bytes)
        + world.files.walk(&from).map(|(_, node)| node.bytes()).sum::<u64>();
    image_of(world, call, false, Some(bytes))
}

/// Puts content in place, the file that was there kept as before-image.
pub(super) fn put(world: &mut World, call: &Call<'_>, content: Content) -> Result<Value, OpError> {
    let path = target(call)?;
    if !fits(content.bytes(), world.free) {
        return Err(OpError::failed(format!("cannot write {path}: no space left on device")));
    }
    let old = call.before.get("file").and_then(|file| file.get("id")).and_then(Value::as_str);
    if world.files.id_at(&path).as_deref() != old {
        return Err(OpError::refused(format!(
            "cannot replace {path}: somebody else has changed it since it was looked at"
        )));
    }
    if let Some(node) = world.files.get(&path).cloned() {
        let image = beside(&path, "before", call.key);
        world.files.put(&image, node);
        world.kept.entry(call.run.to_string()).or_default().insert(image);
    }
    let old_mode = world.files.get(&path).map(|node| node.mode);
    let mode = mode_of(call)?.or(old_mode).unwrap_or(0o600);
    let result = json!({ "path": path, "bytes": content.bytes(), "sha256": content.sha256() });
    let mut node = Node::file(content, mode, Some(call.now));
    node.made_by = Some(call.key.to_owned());
    world.files.remove(&beside(&path, "part", call.key));
    world.files.put(&path, node);
    Ok(result)
}

fn write_text(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    put(world, call, Content::of_text(call.text("text")?.to_owned()))
}

fn write_json(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let value = call.args.get("value").unwrap_or(&Value::Null);
    put(world, call, Content::of_text(format!("{value:#}\n")))
}

fn copy(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let content = content_of(world, "copy", &call.path("from")?)?.clone();
    put(world, call, content)
}

fn archive(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let from = call.path("from")?;
    let excluded: Vec<String> = call.maybe("exclude").unwrap_or_default();
    let branch = world.files.branch(&from).copy();
    let mut tree = branch.below;
    if branch.root.content().is_some() {
        tree.put(&join("/", split(&from).map_or("", |(_, name)| name)), branch.root);
    }
    exclude(&mut tree, &excluded);
    let entries = tree.len();
    let mut result = put(world, call, Content::Tar(Box::new(tree)))?;
    result["entries"] = json!(entries);
    Ok(result)
}

/// Removes what a glob fits, by relative path or name, with all below it.
pub(in crate::sandbox) fn exclude(tree: &mut Tree, globs: &[String]) {
    let doomed: Vec<String> = tree
        .walk("/")
        .map(|(path, _)| path.to_owned())
        .filter(|path| {
            let relative = path.trim_start_matches('/');
            let name = split(path).map_or("", |(_, name)| name);
            globs.iter().any(|glob| {
                let glob = glob.trim_start_matches("./");
                glob::matches(glob, relative) || glob::matches(glob, name)
            })
        })
        .collect();
    for path in doomed {
        tree.remove(&path);
    }
}

pub(super) fn probe_put(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let path = target(call)?;
    let node = world.files.get(&path);
    if let Some(node) = node.filter(|node| node.made_by.as_deref() == Some(call.key))
        && let Some(content) = node.content()
    {
        let mut result = json!({ "path": path, "bytes": content.bytes(), "sha256": content.sha256() });
        if call.op == "fs.archive"
            && let Content::Tar(tree) = content
        {
            result["entries"] = json!(tree.len());
        }
        return Ok(Probe::Done { result });
    }
    Ok(Probe::NotDone)
}

/// A kill leaves the unfinished file beside the target.
pub(super) fn half_put(world: &mut World, call: &Call<'_>) {
    if let Ok(path) = target(call) {
        let unfinished = Content::opaque(1, "an unfinished file");
        world.files.put(&beside(&path, "part", call.key), Node::file(unfinished, 0o600, Some(call.now)));
    }
}

/// Takes the mark off, and the unfinished part away.
pub(super) fn release(world: &mut World, call: &Call<'_>) {
    let Ok(path) = target(call) else { return };
    world.files.remove(&beside(&path, "part", call.key));
    if let Some(node) = world.files.get_mut(&path)
        && node.made_by.as_deref() == Some(call.key)
    {
        node.made_by = None;
    }
}

pub(super) fn print_file(world: &World, call: &Call<'_>, _: &Value) -> Result<Value, OpError> {
    Ok(json!({ "sha256": world.files.content(&target(call)?).map(Content::sha256) }))
}

pub(super) fn print_id(world: &World, call: &Call<'_>, _: &Value) -> Result<Value, OpError> {
    Ok(json!({ "id": world.files.id_at(&target(call)?) }))
}

fn print_target(world: &World, call: &Call<'_>, _: &Value) -> Result<Value, OpError> {
    Ok(json!({ "id": world.files.id_at(&call.path("to")?) }))
}

// --- folders ---------------------------------------------------------------------------------------------------------------

fn before_dir(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    mode_of(call)?;
    let path = call.path("path")?;
    let mut missing = Vec::new();
    let mut at = path.as_str();
    while !world.files.is_dir(at) {
        if world.files.exists(at) {
            return Err(OpError::refused(format!("cannot make folder {path}: {at} is not a folder")));
        }
        missing.push(at.to_owned());
        at = split(at).map_or("/", |(folder, _)| folder);
    }
    missing.reverse();
    Ok(json!({ "missing": missing }))
}

fn was_missing(call: &Call<'_>) -> Vec<String> {
    call.before.get("missing").cloned().and_then(|missing| serde_json::from_value(missing).ok()).unwrap_or_default()
}

fn make_dir(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let path = call.path("path")?;
    let mode = mode_of(call)?.unwrap_or(0o700);
    world.files.make_dirs(&path, mode);
    Ok(json!({ "path": path, "created": !was_missing(call).is_empty() }))
}

fn probe_dir(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let path = call.path("path")?;
    if !world.files.is_dir(&path) {
        return Ok(Probe::NotDone);
    }
    Ok(Probe::Done { result: json!({ "path": path, "created": !was_missing(call).is_empty() }) })
}

/// A kill leaves the outermost of the folders.
fn half_dir(world: &mut World, call: &Call<'_>) {
    if let [first, _, ..] = was_missing(call).as_slice() {
        let mode = mode_of(call).ok().flatten().unwrap_or(0o700);
        world.files.make_dirs(first, mode);
    }
}

fn print_dir(world: &World, call: &Call<'_>, _: &Value) -> Result<Value, OpError> {
    Ok(json!({ "is_dir": world.files.is_dir(&call.path("path")?) }))
}

/// The folders that can go, innermost first, and those that something else is in.
fn removable(world: &World, call: &Call<'_>) -> (Vec<String>, Vec<String>) {
    let paths: Vec<String> = call.maybe("paths").unwrap_or_default();
    let (mut going, mut left): (Vec<String>, Vec<String>) = (Vec::new(), Vec::new());
    for path in paths.iter().rev().filter(|path| world.files.is_dir(path)) {
        if world.files.list(path).all(|(name, _)| going.contains(&join(path, name))) {
            going.push(path.clone());
        } else {
            left.push(path.clone());
        }
    }
    (going, left)
}

fn remove_dirs(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let (going, left) = removable(world, call);
    for path in going {
        world.files.remove(&path);
    }
    Ok(json!({ "left": left }))
}

fn probe_dirs(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let (going, left) = removable(world, call);
    Ok(if going.is_empty() { Probe::Done { result: json!({ "left": left }) } } else { Probe::NotDone })
}

// --- names -----------------------------------------------------------------------------------------------------------------

fn before_rename(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let (from, to) = (call.path("from")?, call.path("to")?);
    let Some(id) = world.files.id_at(&from) else {
        return Err(OpError::refused(format!("cannot rename {from}: nothing is there")));
    };
    if world.files.exists(&to) {
        return Err(OpError::refused(format!("cannot rename {from} to {to}: something is there")));
    }
    Ok(json!({ "id": id }))
}

/// Renames; refuses what a file system refuses.
fn move_name(world: &mut World, from: &str, to: &str) -> Result<(), OpError> {
    let folder = split(to).map_or("/", |(folder, _)| folder);
    let fault = if world.files.exists(to) {
        "file exists"
    } else if !world.files.is_dir(folder) {
        "no such file or directory"
    } else if inside(to, from).is_some() {
        "invalid argument"
    } else {
        world.files.rename(from, to);
        return Ok(());
    };
    Err(OpError::failed(format!("cannot rename {from} to {to}: {fault}")))
}

fn rename(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let (from, to) = (call.path("from")?, call.path("to")?);
    if world.files.id_at(&from).as_deref() != Some(call.earlier("id")) {
        return Err(OpError::refused(format!(
            "cannot rename {from}: somebody else has replaced it since it was looked at"
        )));
    }
    move_name(world, &from, &to)?;
    Ok(json!({}))
}

fn moved(world: &World, from: &str, to: &str, id: &str) -> Probe {
    if world.files.id_at(to).as_deref() == Some(id) {
        Probe::Done { result: json!({}) }
    } else if world.files.id_at(from).as_deref() == Some(id) || id.is_empty() {
        Probe::NotDone
    } else {
        let why = format!("what was at {from} is neither there nor at {to}: somebody else has moved or removed it");
        Probe::CannotTell { why }
    }
}

fn probe_rename(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    Ok(moved(world, &call.path("from")?, &call.path("to")?, call.earlier("id")))
}

fn before_back(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let (from, to) = (call.path("from")?, call.path("to")?);
    if world.files.id_at(&from).as_deref() == Some(call.text("id")?) && world.files.exists(&to) {
        return Err(OpError::refused(format!("cannot rename {from} back: something is at {to} now"))
            .with_hint("move that away, then retry the undo"));
    }
    Ok(json!({}))
}

fn rename_back(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let (from, to) = (call.path("from")?, call.path("to")?);
    match moved(world, &from, &to, call.text("id")?) {
        Probe::NotDone => move_name(world, &from, &to)?,
        Probe::CannotTell { why } => return Err(OpError::refused(why)),
        _ => {}
    }
    Ok(json!({}))
}

fn probe_back(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    Ok(moved(world, &call.path("from")?, &call.path("to")?, call.text("id")?))
}

// --- deleting --------------------------------------------------------------------------------------------------------------

fn before_delete(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let path = call.path("path")?;
    let refused = |why: &str| OpError::refused(format!("cannot delete {path}: {why}"));
    if path == "/" {
        return Err(refused("it is the root"));
    }
    let Some(id) = world.files.id_at(&path) else { return Err(refused("nothing is there")) };
    let below = world.files.walk(&path).count();
    if below > 0 && !call.flag("recursive") {
        return Err(refused("the folder is not empty").with_hint("set `recursive: true` to delete all in it"));
    }
    Ok(json!({ "id": id, "count": below + 1 }))
}

fn count(call: &Call<'_>) -> u64 {
    call.before.get("count").and_then(Value::as_u64).unwrap_or(1)
}

fn delete(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let path = call.path("path")?;
    let doomed = beside(&path, "deleting", call.key);
    let id = Some(call.earlier("id"));
    if world.files.id_at(&doomed).as_deref() == id {
        world.files.remove(&doomed);
    } else if world.files.id_at(&path).as_deref() == id {
        world.files.remove(&path);
    } else {
        return Err(OpError::refused(format!(
            "cannot delete {path}: somebody else has replaced it since it was looked at"
        )));
    }
    Ok(json!({ "removed": count(call) }))
}

fn probe_delete(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let path = call.path("path")?;
    let there = world.files.exists(&beside(&path, "deleting", call.key))
        || world.files.id_at(&path).as_deref() == Some(call.earlier("id"));
    Ok(if there { Probe::NotDone } else { Probe::Done { result: json!({ "removed": count(call) }) } })
}

/// A kill leaves what is deleted under the name under which it is taken apart, with half of it gone.
fn half_delete(world: &mut World, call: &Call<'_>) {
    let Ok(path) = call.path("path") else { return };
    let doomed = beside(&path, "deleting", call.key);
    world.files.rename(&path, &doomed);
    let last = world.files.walk(&doomed).last().map(|(path, _)| path.to_owned());
    if let Some(last) = last {
        world.files.remove(&last);
    }
}

// --- unpacking -------------------------------------------------------------------------------------------------------------

fn before_unpack(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    may_write(world, &call.path("to")?, false)?;
    let bytes = content_of(world, "unpack", &call.path("archive")?)?.bytes();
    Ok(json!({ "existed": false, "source_bytes": bytes }))
}

fn unpack(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let (from, to) = (call.path("archive")?, call.path("to")?);
    may_write(world, &to, false)?;
    let tree = tar_of(world, "unpack", &from)?.clone();
    if !fits(tree.total_bytes(), world.free) {
        return Err(OpError::failed(format!("cannot unpack {from}: no space left on device")));
    }
    world.files.remove(&beside(&to, "part", call.key));
    let mut root = Node::dir(0o755);
    root.made_by = Some(call.key.to_owned());
    world.files.put(&to, root.clone());
    for (path, node) in tree.walk("/") {
        world.files.put(&join(&to, path), node.plain());
    }
    Ok(json!({ "entries": tree.len(), "bytes": tree.total_bytes(), "id": world.files.id_at(&to) }))
}

pub(super) fn is_made_by(world: &World, path: &str, key: &str) -> bool {
    world.files.get(path).is_some_and(|node| node.made_by.as_deref() == Some(key))
}

fn probe_unpack(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let to = call.path("to")?;
    if !is_made_by(world, &to, call.key) {
        return Ok(Probe::NotDone);
    }
    let bytes: u64 = world.files.walk(&to).map(|(_, node)| node.bytes()).sum();
    let entries = world.files.walk(&to).count();
    Ok(Probe::Done { result: json!({ "entries": entries, "bytes": bytes, "id": world.files.id_at(&to) }) })
}

/// A kill leaves a folder beside the target with the first of the entries.
fn half_unpack(world: &mut World, call: &Call<'_>) {
    let (Ok(from), Ok(to)) = (call.path("archive"), call.path("to")) else { return };
    let Ok(tree) = tar_of(world, "unpack", &from) else { return };
    let first = tree.walk("/").next().map(|(path, node)| (path.to_owned(), node.plain()));
    let part = beside(&to, "part", call.key);
    world.files.put(&part, Node::dir(0o755));
    if let Some((path, node)) = first {
        world.files.put(&join(&part, &path), node);
    }
}

/// Where a supervised child writes what becomes the file at this path.
pub(super) fn part_of(path: &str, key: &str) -> String {
    format!("{path}.part-{key}")
}
