//! Folders and names: making folders, renaming, deleting.

use std::collections::BTreeSet;
use std::fs::DirBuilder;
use std::io;
use std::os::unix::fs::DirBuilderExt;
use std::path::{Path, PathBuf};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::look::{Kind, resource_of, walk};
use super::undo::IS_AN_UNDO;
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::Touch;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::files::{absolute, beside, cannot, id_at, id_of, kill_point, look_at, rename_new, sync_folder_of};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write};

/// No result.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Nothing {}

/// `fs.make_dir`.
pub struct MakeDir;

/// What to make.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct MakeDirArgs {
    /// The folder, absolute. Its parents are made too.
    pub path: String,
    /// Mode of the folders that are made, in octal; `"0700"` when absent.
    pub mode: Option<String>,
}

/// What was made.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct MadeDir {
    /// The folder.
    pub path: String,
    /// Whether it was not there before.
    pub created: bool,
}

/// The folders that are not there yet, the outermost first.
fn missing(path: &Path) -> Result<Vec<PathBuf>, OpError> {
    let mut missing = Vec::new();
    for folder in path.ancestors() {
        match folder.metadata() {
            Ok(meta) if meta.is_dir() => break,
            Ok(_) => {
                let (path, folder) = (path.display(), folder.display());
                return Err(OpError::refused(format!("cannot make folder {path}: {folder} is not a folder")));
            }
            Err(e) if e.kind() == io::ErrorKind::NotFound => missing.push(folder.to_owned()),
            Err(e) => return Err(cannot("make folder", path, &e)),
        }
    }
    missing.reverse();
    Ok(missing)
}

impl Operation for MakeDir {
    const NAME: &'static str = "fs.make_dir";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "makes a folder and its parents; fine if it is there";
    const PERMISSION: &'static str = "write in the folder";
    type Args = MakeDirArgs;
    type Output = MadeDir;

    fn resource(args: &MakeDirArgs) -> String {
        resource_of(&args.path)
    }

    fn touches(args: &MakeDirArgs, before: &Value) -> Vec<Touch> {
        match missing_before(before) {
            missing if missing.is_empty() => vec![Touch::changes(resource_of(&args.path))],
            missing => missing.iter().map(|folder| Touch::makes(resource_of(folder))).collect(),
        }
    }
}

/// What of the folders was missing, from the image.
fn missing_before(before: &Value) -> Vec<String> {
    before.get("missing").and_then(|missing| Vec::deserialize(missing).ok()).unwrap_or_default()
}

impl Write for MakeDir {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether the folder is there";
    const UNDO_DOC: &'static str = "fs.remove_dirs: the folders that were made, as far as they are empty";

    fn before(_: &ReadContext<'_>, args: &MakeDirArgs) -> Result<Value, OpError> {
        dir_mode(args)?;
        let missing = missing(absolute(&args.path)?)?;
        Ok(json!({ "missing": missing.iter().map(|folder| folder.to_string_lossy()).collect::<Vec<_>>() }))
    }

    fn send(context: &WriteContext<'_>, args: MakeDirArgs) -> Result<Send<MadeDir>, OpError> {
        let mode = dir_mode(&args)?;
        for folder in missing(absolute(&args.path)?)? {
            kill_point();
            match DirBuilder::new().mode(mode).create(&folder) {
                Err(e) if e.kind() != io::ErrorKind::AlreadyExists => return Err(cannot("make folder", &folder, &e)),
                _ => {}
            }
            // The mode given at creation is narrowed by the umask.
            let permissions = std::os::unix::fs::PermissionsExt::from_mode(mode);
            std::fs::set_permissions(&folder, permissions)
                .and_then(|()| sync_folder_of(&folder))
                .map_err(|e| cannot("make folder", &folder, &e))?;
        }
        let created = !missing_before(context.read.before).is_empty();
        Ok(Send::Done(MadeDir { path: args.path, created }))
    }

    fn probe(context: &ReadContext<'_>, args: &MakeDirArgs) -> Result<Found<MadeDir>, OpError> {
        if !absolute(&args.path)?.is_dir() {
            return Ok(Found::NotDone);
        }
        let created = !missing_before(context.before).is_empty();
        Ok(Found::Done(MadeDir { path: args.path.clone(), created }))
    }

    fn undo(_: &MakeDirArgs, before: &Value, _: &str) -> Undo {
        let missing = missing_before(before);
        if missing.is_empty() {
            return Undo::Nothing;
        }
        Undo::Call { op: "fs.remove_dirs", args: json!({ "paths": missing }) }
    }

    fn fingerprint(_: &ReadContext<'_>, args: &MakeDirArgs, _: &MadeDir) -> Result<Value, OpError> {
        Ok(json!({ "is_dir": absolute(&args.path)?.is_dir() }))
    }

    fn predict(args: &MakeDirArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "path": args.path, "created": !missing_before(before).is_empty() }))
    }

    fn release(_: &WriteContext<'_>, _: &MakeDirArgs) {}
}

fn dir_mode(args: &MakeDirArgs) -> Result<u32, OpError> {
    Ok(super::write::mode_of(args.mode.as_deref())?.unwrap_or(0o700))
}

/// `fs.remove_dirs`.
pub struct RemoveDirs;

/// What to remove.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveDirsArgs {
    /// Folders, the outermost first. Each is removed if it is empty, and left if not.
    pub paths: Vec<String>,
}

/// What was removed.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct RemovedDirs {
    /// The folders that were left because something is in them.
    pub left: Vec<String>,
}

/// The folders that are there and empty, or only hold others that are.
fn removable(paths: &[String]) -> Result<(Vec<&str>, Vec<String>), OpError> {
    let mut going = BTreeSet::new();
    let (mut order, mut left) = (Vec::new(), Vec::new());
    for path in paths.iter().rev() {
        let folder = absolute(path)?;
        let entries = match folder.read_dir() {
            Ok(entries) => entries,
            Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => continue,
            Err(e) => return Err(cannot("read", folder, &e)),
        };
        if entries.filter_map(Result::ok).all(|entry| going.contains(&entry.path())) {
            going.insert(folder.to_owned());
            order.push(path.as_str());
        } else {
            left.push(path.clone());
        }
    }
    Ok((order, left))
}

impl Operation for RemoveDirs {
    const NAME: &'static str = "fs.remove_dirs";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "removes folders that a call of this run made, as far as they are empty";
    const PERMISSION: &'static str = "write in the folder";
    type Args = RemoveDirsArgs;
    type Output = RemovedDirs;

    fn resource(args: &RemoveDirsArgs) -> String {
        resource_of(args.paths.first().map_or("", String::as_str))
    }

    fn touches(args: &RemoveDirsArgs, _before: &Value) -> Vec<Touch> {
        args.paths.iter().map(|path| Touch::changes(resource_of(path))).collect()
    }
}

impl Write for RemoveDirs {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether any of the folders is there and empty";
    const UNDO_DOC: &'static str = "none: it is an undo itself";

    fn before(_: &ReadContext<'_>, args: &RemoveDirsArgs) -> Result<Value, OpError> {
        args.paths.iter().try_for_each(|path| absolute(path).map(|_| ()))?;
        Ok(json!({}))
    }

    fn send(_: &WriteContext<'_>, args: RemoveDirsArgs) -> Result<Send<RemovedDirs>, OpError> {
        let (going, left) = removable(&args.paths)?;
        for folder in going {
            kill_point();
            match std::fs::remove_dir(folder) {
                // Something may have been put into it just now: then it stays.
                Err(e) if !matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::DirectoryNotEmpty) => {
                    return Err(cannot("remove folder", Path::new(folder), &e));
                }
                _ => sync_folder_of(Path::new(folder)).map_err(|e| cannot("remove folder", Path::new(folder), &e))?,
            }
        }
        Ok(Send::Done(RemovedDirs { left }))
    }

    fn probe(_: &ReadContext<'_>, args: &RemoveDirsArgs) -> Result<Found<RemovedDirs>, OpError> {
        let (going, left) = removable(&args.paths)?;
        Ok(if going.is_empty() { Found::Done(RemovedDirs { left }) } else { Found::NotDone })
    }

    fn undo(_: &RemoveDirsArgs, _: &Value, _: &str) -> Undo {
        Undo::Impossible(IS_AN_UNDO)
    }

    fn fingerprint(_: &ReadContext<'_>, _: &RemoveDirsArgs, _: &RemovedDirs) -> Result<Value, OpError> {
        Ok(json!({}))
    }

    fn predict(_: &RemoveDirsArgs, _: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "left": [] }))
    }

    fn release(_: &WriteContext<'_>, _: &RemoveDirsArgs) {}
}

/// `fs.rename`.
pub struct Rename;

/// What to rename.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameArgs {
    /// The file or folder, absolute. A symbolic link is renamed itself.
    pub from: String,
    /// Its new path, on the same disk. Nothing may be there.
    pub to: String,
}

fn move_name(from: &Path, to: &Path) -> Result<(), OpError> {
    rename_new(from, to).map_err(|e| {
        let error = cannot(&format!("rename {} to", from.display()), to, &e);
        if e.kind() == io::ErrorKind::CrossesDevices {
            return OpError::refused(error.message).with_hint("between disks use `fs.copy` and `fs.delete`");
        }
        error
    })?;
    sync_folder_of(from).and_then(|()| sync_folder_of(to)).map_err(|e| {
        OpError::unknown(format!("renamed {} to {}, but cannot make it durable: {e}", from.display(), to.display()))
    })
}

/// Whether the thing with this id is under its new name.
fn moved(from: &Path, to: &Path, id: Option<&str>) -> Result<Found<Nothing>, OpError> {
    let Some(id) = id else {
        return Ok(Found::NotDone);
    };
    Ok(if id_at(to)?.as_deref() == Some(id) {
        Found::Done(Nothing {})
    } else if id_at(from)?.as_deref() == Some(id) {
        Found::NotDone
    } else {
        let (from, to) = (from.display(), to.display());
        Found::CannotTell(format!(
            "what was at {from} is neither there nor at {to}: somebody else has moved or removed it"
        ))
    })
}

fn text<'v>(before: &'v Value, field: &str) -> Option<&'v str> {
    before.get(field).and_then(Value::as_str)
}

impl Operation for Rename {
    const NAME: &'static str = "fs.rename";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "renames a file or folder; never over another";
    const PERMISSION: &'static str = "write in both folders";
    type Args = RenameArgs;
    type Output = Nothing;

    fn resource(args: &RenameArgs) -> String {
        resource_of(&args.from)
    }

    fn touches(args: &RenameArgs, _before: &Value) -> Vec<Touch> {
        vec![Touch::changes(resource_of(&args.from)), Touch::makes(resource_of(&args.to))]
    }
}

impl Write for Rename {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = "device and inode of what was renamed: under which name it is";
    const UNDO_DOC: &'static str = "fs.rename_back";

    fn before(_: &ReadContext<'_>, args: &RenameArgs) -> Result<Value, OpError> {
        let (from, to) = (absolute(&args.from)?, absolute(&args.to)?);
        let Some(id) = id_at(from)? else {
            return Err(OpError::refused(format!("cannot rename {}: nothing is there", args.from)));
        };
        if look_at(to)?.is_some() {
            return Err(OpError::refused(format!("cannot rename {} to {}: something is there", args.from, args.to)));
        }
        Ok(json!({ "id": id }))
    }

    fn send(context: &WriteContext<'_>, args: RenameArgs) -> Result<Send<Nothing>, OpError> {
        let (from, to) = (absolute(&args.from)?, absolute(&args.to)?);
        if id_at(from)?.as_deref() != text(context.read.before, "id") {
            return Err(OpError::refused(format!(
                "cannot rename {}: somebody else has replaced it since it was looked at",
                args.from
            )));
        }
        move_name(from, to)?;
        Ok(Send::Done(Nothing {}))
    }

    fn probe(context: &ReadContext<'_>, args: &RenameArgs) -> Result<Found<Nothing>, OpError> {
        moved(absolute(&args.from)?, absolute(&args.to)?, text(context.before, "id"))
    }

    fn undo(args: &RenameArgs, before: &Value, _: &str) -> Undo {
        Undo::Call {
            op: "fs.rename_back",
            args: json!({ "from": args.to, "to": args.from, "id": text(before, "id").unwrap_or_default() }),
        }
    }

    fn fingerprint(_: &ReadContext<'_>, args: &RenameArgs, _: &Nothing) -> Result<Value, OpError> {
        Ok(json!({ "id": id_at(absolute(&args.to)?)? }))
    }

    fn predict(_: &RenameArgs, _: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({}))
    }

    fn release(_: &WriteContext<'_>, _: &RenameArgs) {}
}

/// `fs.rename_back`.
pub struct RenameBack;

/// What to rename back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameBackArgs {
    /// The name that it was given.
    pub from: String,
    /// The name that it had.
    pub to: String,
    /// What it is: device and inode.
    pub id: String,
}

impl Operation for RenameBack {
    const NAME: &'static str = "fs.rename_back";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "gives something that a call renamed its old name back; fine if it still has it";
    const PERMISSION: &'static str = "write in both folders";
    type Args = RenameBackArgs;
    type Output = Nothing;

    fn resource(args: &RenameBackArgs) -> String {
        resource_of(&args.from)
    }
}

impl Write for RenameBack {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = "device and inode of what was renamed: under which name it is";
    const UNDO_DOC: &'static str = "none: it is an undo itself";

    fn before(_: &ReadContext<'_>, args: &RenameBackArgs) -> Result<Value, OpError> {
        let (from, to) = (absolute(&args.from)?, absolute(&args.to)?);
        if id_at(from)?.as_deref() == Some(&args.id) && look_at(to)?.is_some() {
            return Err(OpError::refused(format!("cannot rename {} back: something is at {} now", args.from, args.to))
                .with_hint("move that away, then retry the undo"));
        }
        Ok(json!({}))
    }

    fn send(_: &WriteContext<'_>, args: RenameBackArgs) -> Result<Send<Nothing>, OpError> {
        let (from, to) = (absolute(&args.from)?, absolute(&args.to)?);
        match moved(from, to, Some(&args.id))? {
            Found::NotDone => move_name(from, to)?,
            Found::CannotTell(why) => return Err(OpError::refused(why)),
            _ => {}
        }
        Ok(Send::Done(Nothing {}))
    }

    fn probe(_: &ReadContext<'_>, args: &RenameBackArgs) -> Result<Found<Nothing>, OpError> {
        moved(absolute(&args.from)?, absolute(&args.to)?, Some(&args.id))
    }

    fn undo(_: &RenameBackArgs, _: &Value, _: &str) -> Undo {
        Undo::Impossible(IS_AN_UNDO)
    }

    fn fingerprint(_: &ReadContext<'_>, args: &RenameBackArgs, _: &Nothing) -> Result<Value, OpError> {
        Ok(json!({ "id": id_at(absolute(&args.to)?)? }))
    }

    fn predict(_: &RenameBackArgs, _: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({}))
    }

    fn release(_: &WriteContext<'_>, _: &RenameBackArgs) {}
}

/// `fs.delete`.
pub struct Delete;

/// What to delete.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteArgs {
    /// The file or folder, absolute. A symbolic link is deleted itself.
    pub path: String,
    /// Whether a folder goes with all that is in it.
    #[serde(default)]
    pub recursive: bool,
}

/// What was deleted.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Deleted {
    /// How many files, links and folders.
    pub removed: u64,
}

impl Operation for Delete {
    const NAME: &'static str = "fs.delete";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "deletes a file or a folder, for good";
    const PERMISSION: &'static str = "write in the folder";
    type Args = DeleteArgs;
    type Output = Deleted;

    fn resource(args: &DeleteArgs) -> String {
        resource_of(&args.path)
    }
}

impl Write for Delete {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str =
        "device and inode at the path and at the temporary name under which it is taken apart";
    const UNDO_DOC: &'static str = "none: what is deleted is gone";

    fn before(_: &ReadContext<'_>, args: &DeleteArgs) -> Result<Value, OpError> {
        let path = absolute(&args.path)?;
        let refused = |why: &str| OpError::refused(format!("cannot delete {}: {why}", args.path));
        if path.parent().is_none() {
            return Err(refused("it is the root"));
        }
        let Some(meta) = look_at(path)? else {
            return Err(refused("nothing is there"));
        };
        let mut count = 1u64;
        if Kind::of(&meta) == Kind::Dir {
            walk(path, &mut |_, _, _| {
                count += 1;
                Ok(true)
            })?;
            if count > 1 && !args.recursive {
                return Err(refused("the folder is not empty").with_hint("set `recursive: true` to delete all in it"));
            }
        }
        Ok(json!({ "id": id_of(&meta), "count": count }))
    }

    fn send(context: &WriteContext<'_>, args: DeleteArgs) -> Result<Send<Deleted>, OpError> {
        let path = absolute(&args.path)?;
        let doomed = beside(path, "deleting", context.read.key);
        let id = text(context.read.before, "id");
        let removed = context.read.before.get("count").and_then(Value::as_u64).unwrap_or(1);
        // First the name goes, at once and whole; then what had it is taken apart.
        if id_at(&doomed)?.as_deref() != id {
            if id_at(path)?.as_deref() != id {
                return Err(OpError::refused(format!(
                    "cannot delete {}: somebody else has replaced it since it was looked at",
                    args.path
                )));
            }
            move_name(path, &doomed)?;
        }
        kill_point();
        let is_dir = look_at(&doomed)?.is_some_and(|meta| meta.is_dir());
        let result = match (is_dir, args.recursive) {
            (false, _) => std::fs::remove_file(&doomed),
            (true, false) => std::fs::remove_dir(&doomed),
            (true, true) => std::fs::remove_dir_all(&doomed),
        };
        result.and_then(|()| sync_folder_of(path)).map_err(|e| {
            // What is still there is not to be hidden from whoever looks for it, tries again, or undoes how it came to be there.
            let _ = rename_new(&doomed, path).and_then(|()| sync_folder_of(path));
            cannot("delete", path, &e)
        })?;
        Ok(Send::Done(Deleted { removed }))
    }

    fn probe(context: &ReadContext<'_>, args: &DeleteArgs) -> Result<Found<Deleted>, OpError> {
        let path = absolute(&args.path)?;
        let (id, count) = (text(context.before, "id"), context.before.get("count").and_then(Value::as_u64));
        let doomed = id_at(&beside(path, "deleting", context.key))?;
        // Half taken apart is not done either: sending it again goes on with it.
        let there = doomed.is_some() || id_at(path)?.as_deref() == id;
        Ok(if there { Found::NotDone } else { Found::Done(Deleted { removed: count.unwrap_or(1) }) })
    }

    fn undo(_: &DeleteArgs, _: &Value, _: &str) -> Undo {
        Undo::Impossible("what is deleted is gone")
    }

    fn fingerprint(_: &ReadContext<'_>, args: &DeleteArgs, _: &Deleted) -> Result<Value, OpError> {
        Ok(json!({ "id": id_at(absolute(&args.path)?)? }))
    }

    fn predict(_: &DeleteArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "removed": before.get("count").and_then(Value::as_u64).unwrap_or(1) }))
    }

    fn release(_: &WriteContext<'_>, _: &DeleteArgs) {}
}
