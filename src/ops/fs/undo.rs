//! The undos of what [`super::placement`] puts in place. Both tolerate that it never got there, or half-way.

use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::marked::{Beside, Where};
use super::placement::clear;
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::files::{absolute, cannot, id_at, look_at, remove_if_there, rename_over, sync_folder_of};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write};

/// Why undos are not undone themselves.
pub(super) const IS_AN_UNDO: &str = "it is an undo itself";

/// A slot that the engine could not fill, because the effect had no outcome.
pub(super) fn filled(slot: Option<&str>) -> Option<&str> {
    slot.filter(|text| !text.is_empty() && !text.starts_with("$result"))
}

/// What stood where when the undo was decided on, by device and inode: they stay the same under a rename, so that a later
/// look tells exactly how far it got.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Stand {
    /// Whether the call is known to have put its file in place.
    #[serde(default)]
    done: bool,
    /// What is to be removed or replaced; nothing, when what is there is not ours.
    target: Option<String>,
    /// The before-image.
    image: Option<String>,
}

fn stand_of(before: &Value) -> Result<Stand, OpError> {
    Stand::deserialize(before).map_err(|e| OpError::refused(format!("the before-image of the undo is unreadable: {e}")))
}

/// `fs.restore_before`.
pub struct RestoreBefore;

/// What to put back.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreArgs {
    /// The file that was written.
    pub path: String,
    /// The key of the call that wrote it.
    pub key: String,
    /// Whether a file was there before.
    pub existed: bool,
    /// What was written; absent when the call is not known to have been done.
    pub created_sha256: Option<String>,
}

/// What was put back.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    /// The file.
    pub path: String,
    /// Whether anything had to be done.
    pub restored: bool,
}

impl Operation for RestoreBefore {
    const NAME: &'static str = "fs.restore_before";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "puts back what was at a path before a call wrote there: the old file, or nothing";
    const PERMISSION: &'static str = "write in the folder";
    type Args = RestoreArgs;
    type Output = Restored;

    fn resource(args: &RestoreArgs) -> String {
        super::look::resource_of(&args.path)
    }
}

impl Write for RestoreBefore {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = "device and inode of the before-image: at the path it is done, beside it it is not";
    const UNDO_DOC: &'static str = "none: it is an undo itself";

    fn before(_: &ReadContext<'_>, args: &RestoreArgs) -> Result<Value, OpError> {
        let place = Beside::of(absolute(&args.path)?, &args.key);
        let done = match (filled(args.created_sha256.as_deref()), place.locate()?) {
            (Some(_), _) | (None, Where::InPlace(_)) => true,
            (None, Where::Nowhere | Where::Staged) => false,
            (None, Where::Gone) => {
                return Err(OpError::refused(format!(
                    "cannot undo at {}: somebody else has replaced what the call wrote there",
                    args.path
                ))
                .with_hint(format!("what was there before is kept as {}", place.image.display())));
            }
        };
        let image = id_at(&place.image)?.filter(|_| args.existed);
        if args.existed && done && image.is_none() {
            return Err(OpError::refused(format!(
                "cannot put back {}: its before-image {} is not there",
                args.path,
                place.image.display()
            ))
            .with_hint("put the old file back from a backup, then mark the undo as done by hand"));
        }
        let target = id_at(&place.target)?.filter(|_| done);
        encode(&Stand { done, target, image })
    }

    fn send(context: &WriteContext<'_>, args: RestoreArgs) -> Result<Send<Restored>, OpError> {
        let place = Beside::of(absolute(&args.path)?, &args.key);
        let stand = stand_of(context.read.before)?;
        let (target, image) = (id_at(&place.target)?, id_at(&place.image)?);
        let restored = match &stand.image {
            Some(_) if image.is_none() => false,
            // The old file was given its second name and not replaced: that name goes. (A rename of a file onto itself does
            // nothing.)
            Some(_) if !stand.done || image == target => {
                remove_if_there(&place.image)?;
                false
            }
            Some(_) if target == stand.target => {
                rename_over(&place.image, &place.target).map_err(|e| cannot("put back", &place.target, &e))?;
                true
            }
            None if stand.target.is_none() || target.is_none() => false,
            None if target == stand.target => {
                remove_if_there(&place.target)?;
                true
            }
            _ => return Err(changed_meanwhile(&args.path)),
        };
        clear(&place)?;
        sync_folder_of(&place.target).map_err(|e| cannot("put back", &place.target, &e))?;
        Ok(Send::Done(Restored { path: args.path, restored }))
    }

    fn probe(context: &ReadContext<'_>, args: &RestoreArgs) -> Result<Found<Restored>, OpError> {
        let place = Beside::of(absolute(&args.path)?, &args.key);
        let stand = stand_of(context.before)?;
        let there = id_at(&place.image)?.is_some();
        let done = match (&stand.image, &stand.target) {
            (Some(_), _) => !there,
            (None, Some(target)) => id_at(&place.target)?.as_ref() != Some(target),
            // There was nothing to do but to clear away; doing that again is harmless.
            (None, None) => false,
        };
        Ok(if done { Found::Done(Restored { path: args.path.clone(), restored: true }) } else { Found::NotDone })
    }

    fn undo(_: &RestoreArgs, _: &Value, _: &str) -> Undo {
        Undo::Impossible(IS_AN_UNDO)
    }

    fn fingerprint(_: &ReadContext<'_>, args: &RestoreArgs, _: &Restored) -> Result<Value, OpError> {
        super::placement::fingerprint(Path::new(&args.path))
    }

    fn predict(args: &RestoreArgs, _: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "path": args.path, "restored": true }))
    }

    fn release(_: &WriteContext<'_>, args: &RestoreArgs) {
        let _ = clear(&Beside::of(Path::new(&args.path), &args.key));
    }
}

/// `fs.delete_made`.
pub struct DeleteMade;

/// What to delete.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteMadeArgs {
    /// The file that a call made where none was.
    pub path: String,
    /// The key of that call: what it left unfinished beside the file goes too.
    pub key: Option<String>,
    /// What it made; absent when the call is not known to have been done: then only what is known to be of its making goes.
    pub sha256: Option<String>,
}

/// What was deleted.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct DeletedMade {
    /// Whether the file itself was there.
    pub removed: bool,
}

impl Operation for DeleteMade {
    const NAME: &'static str = "fs.delete_made";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "deletes a file that a call of this run made";
    const PERMISSION: &'static str = "write in the folder";
    type Args = DeleteMadeArgs;
    type Output = DeletedMade;

    fn resource(args: &DeleteMadeArgs) -> String {
        super::look::resource_of(&args.path)
    }
}

impl Write for DeleteMade {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = "device and inode of the file: still at the path it is not done";
    const UNDO_DOC: &'static str = "none: it is an undo itself";

    fn before(_: &ReadContext<'_>, args: &DeleteMadeArgs) -> Result<Value, OpError> {
        let path = absolute(&args.path)?;
        let marked = match &args.key {
            Some(key) => Beside::of(path, key).is_in_place()?,
            None => false,
        };
        let ours = filled(args.sha256.as_deref()).is_some() || marked;
        let target = match look_at(path)? {
            Some(meta) if ours && !meta.is_file() => {
                return Err(OpError::refused(format!("cannot delete {}: it is not a file any more", args.path)));
            }
            Some(meta) if ours => Some(crate::ops::files::id_of(&meta)),
            _ => None,
        };
        encode(&Stand { done: ours, target, image: None })
    }

    fn send(context: &WriteContext<'_>, args: DeleteMadeArgs) -> Result<Send<DeletedMade>, OpError> {
        let path = absolute(&args.path)?;
        let stand = stand_of(context.read.before)?;
        let now = id_at(path)?;
        let removed = stand.target.is_some() && now.is_some();
        if removed && now != stand.target {
            return Err(changed_meanwhile(&args.path));
        }
        // The file itself goes last: the probe looks at that alone.
        if let Some(key) = &args.key {
            clear(&Beside::of(path, key))?;
            remove_if_there(&crate::ops::files::part_of(path, key))?;
        }
        if removed {
            remove_if_there(path)?;
        }
        if path.parent().is_some_and(Path::is_dir) {
            sync_folder_of(path).map_err(|e| cannot("delete", path, &e))?;
        }
        Ok(Send::Done(DeletedMade { removed }))
    }

    fn probe(context: &ReadContext<'_>, args: &DeleteMadeArgs) -> Result<Found<DeletedMade>, OpError> {
        let stand = stand_of(context.before)?;
        let gone = stand.target.is_some() && id_at(absolute(&args.path)?)? != stand.target;
        Ok(if gone { Found::Done(DeletedMade { removed: true }) } else { Found::NotDone })
    }

    fn undo(_: &DeleteMadeArgs, _: &Value, _: &str) -> Undo {
        Undo::Impossible(IS_AN_UNDO)
    }

    fn fingerprint(_: &ReadContext<'_>, args: &DeleteMadeArgs, _: &DeletedMade) -> Result<Value, OpError> {
        super::placement::fingerprint(Path::new(&args.path))
    }

    fn predict(_: &DeleteMadeArgs, _: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "removed": true }))
    }

    fn release(_: &WriteContext<'_>, _: &DeleteMadeArgs) {}
}

pub(super) fn changed_meanwhile(path: &str) -> OpError {
    OpError::refused(format!("cannot undo at {path}: somebody else has changed it since the undo was decided on"))
        .with_hint("look at what is there, then retry the undo or skip it")
}

fn encode(stand: &Stand) -> Result<Value, OpError> {
    serde_json::to_value(stand).map_err(|e| OpError::refused(format!("cannot write down what is there: {e}")))
}
