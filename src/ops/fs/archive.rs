//! Making and reading archives.

use std::io::BufWriter;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::look::{must_be_file, resource_of, walk};
use super::marked::{Beside, Mark};
use super::{placement, tarball};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::files::{DigestingWriter, Timed, absolute, cannot};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Read, Repeat, Send, Undo, Write, unknown};

/// `fs.tar_list`.
pub struct TarList;

/// Which archive.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TarListArgs {
    /// The archive (plain tar), absolute.
    pub archive: String,
}

/// One thing in an archive.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct TarEntry {
    /// Its path in the archive; that of a folder ends in `/`.
    pub path: String,
    /// Its size.
    pub bytes: u64,
}

/// What is in an archive.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct TarListOutput {
    /// In the order in which they stand.
    pub entries: Vec<TarEntry>,
    /// The sizes of all together.
    pub bytes: u64,
}

impl Operation for TarList {
    const NAME: &'static str = "fs.tar_list";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "lists an archive, and reads it to its end: one that is cut off is found out";
    const PERMISSION: &'static str = "read the file";
    const TYPICAL: std::time::Duration = std::time::Duration::from_secs(1);
    type Args = TarListArgs;
    type Output = TarListOutput;

    fn resource(args: &TarListArgs) -> String {
        resource_of(&args.archive)
    }
}

impl Read for TarList {
    fn read(_: &ReadContext<'_>, args: TarListArgs) -> Result<TarListOutput, OpError> {
        let archive = absolute(&args.archive)?;
        must_be_file(archive)?;
        let listed = tarball::list(archive)?;
        let bytes = listed.iter().map(|entry| entry.bytes).sum();
        let entries = listed.into_iter().map(|entry| TarEntry { path: entry.path, bytes: entry.bytes }).collect();
        Ok(TarListOutput { entries, bytes })
    }
}

/// `fs.archive`.
pub struct Archive;

/// What to archive.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ArchiveArgs {
    /// The folder (its contents are archived, under paths relative to it) or file, absolute.
    pub from: String,
    /// The archive to make, absolute. Nothing may be there.
    pub to: String,
    /// What to leave out: globs that a relative path or a name fits. A folder that is left out is left out whole.
    #[serde(default)]
    pub exclude: Vec<String>,
}

/// An archive.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Archived {
    /// The archive.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256, in hex.
    pub sha256: String,
    /// How many files, links and folders are in it.
    pub entries: u64,
}

impl Archived {
    fn at(path: &str, mark: Mark) -> Self {
        Self { path: path.to_owned(), bytes: mark.bytes, sha256: mark.sha256, entries: mark.entries }
    }
}

impl Operation for Archive {
    const NAME: &'static str = "fs.archive";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "archives a folder or file as plain tar; links are kept as links";
    const PERMISSION: &'static str = "read the files, write in the folder";
    const TYPICAL: std::time::Duration = std::time::Duration::from_secs(10);
    type Args = ArchiveArgs;
    type Output = Archived;

    fn resource(args: &ArchiveArgs) -> String {
        resource_of(&args.to)
    }
}

impl Write for Archive {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str =
        "device, inode and SHA-256 of the file, against a mark left beside it before it was put in place";
    const UNDO_DOC: &'static str = "fs.delete_made: the archive, and what is unfinished of it";

    fn before(_: &ReadContext<'_>, args: &ArchiveArgs) -> Result<Value, OpError> {
        let (from, to) = (absolute(&args.from)?, absolute(&args.to)?);
        let mut before = placement::look(to, false)?;
        let refused = |why: &str| OpError::refused(format!("cannot archive {}: {why}", args.from));
        let meta = from.symlink_metadata().map_err(|e| cannot("archive", from, &e))?;
        if !meta.is_dir() && !meta.is_file() {
            return Err(refused("it is neither a folder nor a file"));
        }
        if to.starts_with(from) {
            return Err(refused("the archive would be inside of it").with_hint("choose a path elsewhere for `to`"));
        }
        let mut bytes = if meta.is_file() { meta.len() } else { 0 };
        if meta.is_dir() {
            walk(from, &mut |_, _, meta| {
                bytes += if meta.is_file() { meta.len() } else { 0 };
                Ok(true)
            })?;
        }
        before.source_bytes = Some(bytes);
        serde_json::to_value(before).map_err(|e| OpError::refused(format!("cannot write down what is there: {e}")))
    }

    fn send(context: &WriteContext<'_>, args: ArchiveArgs) -> Result<Send<Archived>, OpError> {
        let (from, to) = (absolute(&args.from)?, absolute(&args.to)?);
        let mark = placement::put(context, to, None, |file| {
            let mut digesting =
                DigestingWriter::new(BufWriter::with_capacity(256 << 10, Timed::new(file, &context.read)));
            let entries = tarball::pack(from, &args.exclude, &mut digesting)?;
            Ok((digesting.finish().map_err(|e| cannot("write", to, &e))?, entries))
        })?;
        Ok(Send::Done(Archived::at(&args.to, mark)))
    }

    fn probe(context: &ReadContext<'_>, args: &ArchiveArgs) -> Result<Found<Archived>, OpError> {
        Ok(match placement::found(context, absolute(&args.to)?)? {
            Found::Done(mark) => Found::Done(Archived::at(&args.to, mark)),
            Found::CannotTell(why) => Found::CannotTell(why),
            _ => Found::NotDone,
        })
    }

    fn undo(args: &ArchiveArgs, _: &Value, key: &str) -> Undo {
        Undo::Call { op: "fs.delete_made", args: json!({ "path": args.to, "key": key, "sha256": "$result/sha256" }) }
    }

    fn fingerprint(_: &ReadContext<'_>, args: &ArchiveArgs, _: &Archived) -> Result<Value, OpError> {
        placement::fingerprint(absolute(&args.to)?)
    }

    fn predict(args: &ArchiveArgs, _: &Value, _: &str) -> Predicted {
        let why = "the files are read when the step runs";
        Predicted::Result(json!({
            "path": args.to, "bytes": unknown(why), "sha256": unknown(why), "entries": unknown(why),
        }))
    }

    fn release(context: &WriteContext<'_>, args: &ArchiveArgs) {
        let _ = placement::clear(&Beside::of(Path::new(&args.to), context.read.key));
    }
}
