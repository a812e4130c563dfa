//! Unpacking archives: into a folder that was not there, which appears whole or not at all.

use std::fs::DirBuilder;
use std::os::unix::fs::DirBuilderExt;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::look::{must_be_file, resource_of};
use super::marked::{Beside, Mark, Where};
use super::tarball;
use super::undo::{IS_AN_UNDO, changed_meanwhile, filled};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::files::{absolute, beside, cannot, id_at, kill_point, may_write, rename_new, sync_folder_of};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write, unknown};

/// `fs.unpack`.
pub struct Unpack;

/// What to unpack.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UnpackArgs {
    /// The archive (plain tar), absolute.
    pub archive: String,
    /// The folder to make, absolute. Nothing may be there.
    pub to: String,
}

/// What was unpacked.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Unpacked {
    /// How many files, links and folders.
    pub entries: u64,
    /// The sizes of the files together.
    pub bytes: u64,
    /// What the folder is: device and inode.
    pub id: String,
}

impl From<Mark> for Unpacked {
    fn from(mark: Mark) -> Self {
        Self { entries: mark.entries, bytes: mark.bytes, id: mark.id }
    }
}

/// Removes a tree; fine if it is not there.
fn remove_tree(path: &Path) -> Result<(), OpError> {
    kill_point();
    match std::fs::remove_dir_all(path) {
        Err(e) if e.kind() != std::io::ErrorKind::NotFound => Err(cannot("remove", path, &e)),
        _ => Ok(()),
    }
}

/// Removes what an unfinished call left beside the folder.
fn clear(place: &Beside) -> Result<(), OpError> {
    remove_tree(&place.stage)?;
    place.remove_mark()
}

impl Operation for Unpack {
    const NAME: &'static str = "fs.unpack";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "unpacks a plain tar archive into a new folder; refuses entries and links that leave it";
    const PERMISSION: &'static str = "read the file, write in the folder";
    const TYPICAL: std::time::Duration = std::time::Duration::from_secs(10);
    type Args = UnpackArgs;
    type Output = Unpacked;

    fn resource(args: &UnpackArgs) -> String {
        resource_of(&args.to)
    }
}

impl Write for Unpack {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str =
        "device and inode of the folder, against a mark left beside it before it was put in place";
    const UNDO_DOC: &'static str = "fs.remove_unpacked: the folder with all in it, and what is unfinished of it";

    fn before(_: &ReadContext<'_>, args: &UnpackArgs) -> Result<Value, OpError> {
        may_write(absolute(&args.to)?, false)?;
        let source = must_be_file(absolute(&args.archive)?)?;
        Ok(json!({ "existed": false, "source_bytes": source.len() }))
    }

    fn send(context: &WriteContext<'_>, args: UnpackArgs) -> Result<Send<Unpacked>, OpError> {
        let (archive, to) = (absolute(&args.archive)?, absolute(&args.to)?);
        must_be_file(archive)?;
        may_write(to, false)?;
        let place = Beside::of(to, context.read.key);
        clear(&place)?;
        let unpack = || -> Result<Mark, OpError> {
            let failed = |e: std::io::Error| cannot("make folder", &place.stage, &e);
            DirBuilder::new().mode(0o755).create(&place.stage).map_err(failed)?;
            let unpacked = tarball::unpack(&context.read, archive, &place.stage)?;
            let id = id_at(&place.stage)?.ok_or_else(|| OpError::failed("the folder unpacked into is gone"))?;
            let mark = Mark { id, bytes: unpacked.bytes, sha256: String::new(), entries: unpacked.entries };
            place.write_mark(&mark)?;
            rename_new(&place.stage, to).map_err(|e| cannot("write", to, &e))?;
            Ok(mark)
        };
        let mark = unpack().inspect_err(|_| {
            let _ = clear(&place);
        })?;
        sync_folder_of(to).map_err(|e| {
            OpError::unknown(format!("unpacked into {}, but cannot make its name durable: {e}", to.display()))
        })?;
        Ok(Send::Done(mark.into()))
    }

    fn probe(context: &ReadContext<'_>, args: &UnpackArgs) -> Result<Found<Unpacked>, OpError> {
        Ok(match Beside::of(absolute(&args.to)?, context.key).locate()? {
            // What lies under the temporary name is cleared away when it is sent again.
            Where::Nowhere | Where::Staged => Found::NotDone,
            Where::InPlace(mark) => Found::Done(mark.into()),
            Where::Gone => Found::CannotTell(format!(
                "folder {} was unpacked, and somebody else has replaced or removed it since",
                args.to
            )),
        })
    }

    fn undo(args: &UnpackArgs, _: &Value, key: &str) -> Undo {
        Undo::Call { op: "fs.remove_unpacked", args: json!({ "path": args.to, "key": key, "id": "$result/id" }) }
    }

    fn fingerprint(_: &ReadContext<'_>, args: &UnpackArgs, _: &Unpacked) -> Result<Value, OpError> {
        Ok(json!({ "id": id_at(absolute(&args.to)?)? }))
    }

    fn predict(_: &UnpackArgs, _: &Value, _: &str) -> Predicted {
        let why = "the archive is read when the step runs";
        Predicted::Result(json!({ "entries": unknown(why), "bytes": unknown(why), "id": unknown(why) }))
    }

    fn release(context: &WriteContext<'_>, args: &UnpackArgs) {
        let _ = clear(&Beside::of(Path::new(&args.to), context.read.key));
    }
}

/// `fs.remove_unpacked`.
pub struct RemoveUnpacked;

/// What to remove.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveUnpackedArgs {
    /// The folder that a call unpacked into.
    pub path: String,
    /// The key of that call.
    pub key: String,
    /// What the folder is: device and inode; absent when the call is not known to have been done.
    pub id: Option<String>,
}

/// What was removed.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct RemovedUnpacked {
    /// Whether the folder was there.
    pub removed: bool,
}

impl Operation for RemoveUnpacked {
    const NAME: &'static str = "fs.remove_unpacked";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "removes a folder that a call of this run unpacked, with all in it";
    const PERMISSION: &'static str = "write in the folder";
    type Args = RemoveUnpackedArgs;
    type Output = RemovedUnpacked;

    fn resource(args: &RemoveUnpackedArgs) -> String {
        resource_of(&args.path)
    }
}

fn doomed_id(before: &Value) -> Option<&str> {
    before.get("id").and_then(Value::as_str)
}

impl Write for RemoveUnpacked {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str =
        "device and inode of the folder, at the path and at the name under which it is taken apart";
    const UNDO_DOC: &'static str = "none: it is an undo itself";

    fn before(_: &ReadContext<'_>, args: &RemoveUnpackedArgs) -> Result<Value, OpError> {
        let place = Beside::of(absolute(&args.path)?, &args.key);
        let there = id_at(&place.target)?;
        let ours = match filled(args.id.as_deref()) {
            Some(id) => there.as_deref() == Some(id),
            None => place.is_in_place()?,
        };
        Ok(json!({ "id": there.filter(|_| ours) }))
    }

    fn send(context: &WriteContext<'_>, args: RemoveUnpackedArgs) -> Result<Send<RemovedUnpacked>, OpError> {
        let place = Beside::of(absolute(&args.path)?, &args.key);
        let doomed = beside(&place.target, "deleting", &args.key);
        let id = doomed_id(context.read.before);
        clear(&place)?;
        let there = id_at(&place.target)?;
        let removed = id.is_some();
        // First the name goes, at once and whole; then what had it is taken apart.
        if removed && there.is_some() && id_at(&doomed)?.is_none() {
            if there.as_deref() != id {
                return Err(changed_meanwhile(&args.path));
            }
            rename_new(&place.target, &doomed).map_err(|e| cannot("remove", &place.target, &e))?;
        }
        remove_tree(&doomed)?;
        if place.target.parent().is_some_and(Path::is_dir) {
            sync_folder_of(&place.target).map_err(|e| cannot("remove", &place.target, &e))?;
        }
        Ok(Send::Done(RemovedUnpacked { removed }))
    }

    fn probe(context: &ReadContext<'_>, args: &RemoveUnpackedArgs) -> Result<Found<RemovedUnpacked>, OpError> {
        let path = absolute(&args.path)?;
        let Some(id) = doomed_id(context.before) else {
            return Ok(Found::NotDone);
        };
        let there = id_at(path)?.as_deref() == Some(id) || id_at(&beside(path, "deleting", &args.key))?.is_some();
        Ok(if there { Found::NotDone } else { Found::Done(RemovedUnpacked { removed: true }) })
    }

    fn undo(_: &RemoveUnpackedArgs, _: &Value, _: &str) -> Undo {
        Undo::Impossible(IS_AN_UNDO)
    }

    fn fingerprint(_: &ReadContext<'_>, args: &RemoveUnpackedArgs, _: &RemovedUnpacked) -> Result<Value, OpError> {
        Ok(json!({ "id": id_at(absolute(&args.path)?)? }))
    }

    fn predict(_: &RemoveUnpackedArgs, _: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "removed": true }))
    }

    fn release(_: &WriteContext<'_>, _: &RemoveUnpackedArgs) {}
}
