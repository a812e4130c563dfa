//! Putting one new file in place, with the file that was there kept as a before-image.
//!
//! The steps, each durable before the next: the new file under its temporary name; the mark that says what it is; the old
//! file's second name (a hard link, so that bytes, mode, owner and times are exactly what they were); the rename. A kill
//! before the rename leaves the target as it was, and the call is sent again; after it, the mark tells that it was done.

use std::fs::File;
use std::io;
use std::os::unix::fs::{MetadataExt, PermissionsExt, fchown};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use super::marked::{Beside, Mark, Where};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::Touch;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::files::{
    Digested, cannot, create_new, digest_file, id_of, kill_point, look_at, may_write, remove_if_there, rename_new,
    rename_over, sync_folder_of,
};
use crate::ops::spec::{Found, Undo};

/// The image of the target before the call.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(in crate::ops) struct Before {
    pub existed: bool,
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub file: Option<OldFile>,
    /// Of what is copied or archived, when that is known beforehand.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub source_bytes: Option<u64>,
}

/// The file that was there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(in crate::ops) struct OldFile {
    id: String,
    bytes: u64,
    mode: u32,
    /// Nanoseconds since 1970.
    modified: i128,
    pub sha256: String,
}

/// Checks that the target may be written, and takes its image.
pub(in crate::ops) fn look(path: &Path, replace: bool) -> Result<Before, OpError> {
    may_write(path, replace)?;
    let Some(meta) = look_at(path)? else {
        return Ok(Before::default());
    };
    let sha256 = digest_file(path).map_err(|e| cannot("read", path, &e))?.sha256;
    Ok(Before {
        existed: true,
        file: Some(OldFile {
            id: id_of(&meta),
            bytes: meta.len(),
            mode: meta.mode() & 0o7777,
            modified: modified_of(&meta),
            sha256,
        }),
        source_bytes: None,
    })
}

fn modified_of(meta: &std::fs::Metadata) -> i128 {
    i128::from(meta.mtime()) * 1_000_000_000 + i128::from(meta.mtime_nsec())
}

/// What a filler has put into the file: its digest, and how many entries it holds (0 for a plain file).
pub(in crate::ops) type Filled = Result<(Digested, u64), OpError>;

/// Makes a file with `fill` and puts it at `path`. Without a `mode` it gets that of the file it replaces, or else 0600.
pub(in crate::ops) fn put(
    context: &WriteContext<'_>,
    path: &Path,
    mode: Option<u32>,
    fill: impl FnOnce(&mut File) -> Filled,
) -> Result<Mark, OpError> {
    let before: Before = serde_json::from_value(context.read.before.clone()).map_err(|e| {
        OpError::refused(format!("cannot write {}: its before-image is unreadable: {e}", path.display()))
    })?;
    let place = Beside::of(path, context.read.key);
    let mark = stage(&place, &before, mode, fill).inspect_err(|_| {
        let _ = clear(&place);
    })?;
    replace(context, &place, &before).inspect_err(|_| {
        if !place.is_in_place().unwrap_or(true) {
            let _ = clear(&place);
        }
    })?;
    sync_folder_of(path)
        .map_err(|e| OpError::unknown(format!("wrote {}, but cannot make its name durable: {e}", path.display())))?;
    Ok(mark)
}

/// The first two steps: the new file under its temporary name, and its mark.
fn stage(
    place: &Beside,
    before: &Before,
    mode: Option<u32>,
    fill: impl FnOnce(&mut File) -> Filled,
) -> Result<Mark, OpError> {
    place.remove_mark()?;
    let failed = |e: io::Error| cannot("write", &place.stage, &e);
    let mode = mode.or(before.file.as_ref().map(|file| file.mode)).unwrap_or(0o600);
    let mut file = create_new(&place.stage, mode).map_err(failed)?;
    let (digested, entries) = fill(&mut file)?;
    if before.existed
        && let Ok(Some(old)) = look_at(&place.target)
        && fchown(&file, Some(old.uid()), Some(old.gid())).is_ok()
    {
        // A change of owner takes the set-user-id bits away.
        file.set_permissions(PermissionsExt::from_mode(mode)).map_err(failed)?;
    }
    file.sync_all().map_err(failed)?;
    let id = id_of(&file.metadata().map_err(failed)?);
    let mark = Mark { id, bytes: digested.bytes, sha256: digested.sha256, entries };
    place.write_mark(&mark)?;
    Ok(mark)
}

/// The last two steps: the before-image, and the rename.
fn replace(context: &WriteContext<'_>, place: &Beside, before: &Before) -> Result<(), OpError> {
    let target = &place.target;
    let Some(old) = &before.file else {
        return rename_new(&place.stage, target).map_err(|e| cannot("write", target, &e));
    };
    let unchanged = look_at(target)?.is_some_and(|meta| {
        meta.is_file() && (id_of(&meta), meta.len(), modified_of(&meta)) == (old.id.clone(), old.bytes, old.modified)
    });
    if !unchanged {
        return Err(OpError::refused(format!(
            "cannot replace {}: somebody else has changed it since it was looked at",
            target.display()
        )));
    }
    context.keep_image(&place.image)?;
    keep(place).map_err(|e| cannot("keep the before-image of", target, &e))?;
    rename_over(&place.stage, target).map_err(|e| cannot("replace", target, &e))
}

/// Gives the old file its second name.
fn keep(place: &Beside) -> io::Result<()> {
    // What a former try of this call left is the same file, or the copy of it.
    match std::fs::remove_file(&place.image) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    kill_point();
    if std::fs::hard_link(&place.target, &place.image).is_err() {
        // Not every file system has hard links, and not every user may link every file.
        let mut old = File::open(&place.target)?;
        let meta = old.metadata()?;
        let copying = unfinished_image(place);
        let mut copy = create_new(&copying, meta.mode() & 0o7777)?;
        io::copy(&mut old, &mut copy)?;
        if fchown(&copy, Some(meta.uid()), Some(meta.gid())).is_ok() {
            copy.set_permissions(meta.permissions())?;
        }
        copy.set_modified(meta.modified()?)?;
        copy.sync_all()?;
        rename_over(&copying, &place.image)?;
    }
    sync_folder_of(&place.image)
}

/// What became of a call that [`put`]s.
pub(in crate::ops) fn found(context: &ReadContext<'_>, path: &Path) -> Result<Found<Mark>, OpError> {
    Ok(match Beside::of(path, context.key).locate()? {
        Where::Nowhere | Where::Staged => Found::NotDone,
        Where::InPlace(mark) => {
            let now = digest_file(path).map_err(|e| cannot("read", path, &e))?;
            if now.sha256 == mark.sha256 {
                Found::Done(mark)
            } else {
                Found::CannotTell(format!("{} was written, and somebody else has changed it since", path.display()))
            }
        }
        Where::Gone => {
            let path = path.display();
            Found::CannotTell(format!("{path} was written, and somebody else has replaced or removed it since"))
        }
    })
}

/// Removes the mark and whatever is unfinished. The before-image stays: it is wanted for the undo.
pub(in crate::ops) fn clear(place: &Beside) -> Result<(), OpError> {
    remove_if_there(&place.stage)?;
    remove_if_there(&unfinished_image(place))?;
    place.remove_mark()
}

/// Lets go of what a call that [`put`]s kept for its probe.
pub(in crate::ops) fn release(context: &WriteContext<'_>, path: &str) {
    let _ = clear(&Beside::of(Path::new(path), context.read.key));
}

fn unfinished_image(place: &Beside) -> PathBuf {
    place.image.with_added_extension("new")
}

/// What a call that [`put`]s touches: it makes the file, unless there was one.
pub(in crate::ops) fn touches(path: &str, before: &Value) -> Vec<Touch> {
    let existed = before.get("existed").and_then(Value::as_bool) != Some(false);
    vec![Touch::sets(super::look::resource_of(path), existed)]
}

/// The undo of a call that [`put`]s.
pub(in crate::ops) fn undo(path: &str, before: &Value, key: &str) -> Undo {
    let existed = before.get("existed").and_then(Value::as_bool).unwrap_or(false);
    Undo::Call {
        op: "fs.restore_before",
        args: serde_json::json!({
            "path": path, "key": key, "existed": existed, "created_sha256": "$result/sha256",
        }),
    }
}

/// The digest of what is at the path now: the field that [`put`] sets.
pub(in crate::ops) fn fingerprint(path: &Path) -> Result<Value, OpError> {
    let sha256 = match look_at(path)? {
        Some(meta) if meta.is_file() => Some(digest_file(path).map_err(|e| cannot("read", path, &e))?.sha256),
        _ => None,
    };
    Ok(serde_json::json!({ "sha256": sha256 }))
}
