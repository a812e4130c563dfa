//! Looking at files and folders: what is there, how large it is, its digests.

use std::fs::Metadata;
use std::io;
use std::path::Path;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::fault::OpError;
use crate::model::{Timestamp, glob};
use crate::ops::context::ReadContext;
use crate::ops::files::{absolute, cannot, digest_file, hex, look_at};
use crate::ops::spec::{Effect, Operation, Read};

/// `fs/var/backups/x`.
pub(in crate::ops) fn resource_of(path: &str) -> String {
    format!("fs/{}", path.trim_matches('/'))
}

/// A path.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PathArgs {
    /// The path, absolute.
    pub path: String,
}

/// What something is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "lowercase")]
pub enum Kind {
    /// A file.
    File,
    /// A folder.
    Dir,
    /// A symbolic link.
    Link,
    /// A socket, a pipe, a device.
    Other,
    /// Nothing is there.
    None,
}

impl Kind {
    pub(super) fn of(meta: &Metadata) -> Self {
        match meta.file_type() {
            kind if kind.is_symlink() => Self::Link,
            kind if kind.is_dir() => Self::Dir,
            kind if kind.is_file() => Self::File,
            _ => Self::Other,
        }
    }
}

fn modified_of(meta: &Metadata) -> String {
    meta.modified().ok().and_then(|at| Timestamp::try_from(at).ok()).map(|at| at.to_string()).unwrap_or_default()
}

fn cannot_read(path: &Path) -> impl Fn(io::Error) -> OpError {
    move |e| cannot("read", path, &e)
}

/// `fs.stat`.
pub struct Stat;

/// What is at a path.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct StatOutput {
    /// Whether anything is there.
    pub exists: bool,
    /// What it is; a symbolic link is not followed.
    pub kind: Kind,
    /// Its size.
    pub bytes: u64,
    /// Its mode, in octal: `0644`; empty when nothing is there.
    pub mode: String,
    /// When it was last changed, RFC 3339; empty when nothing is there.
    pub modified: String,
}

impl Operation for Stat {
    const NAME: &'static str = "fs.stat";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "tells what is at a path";
    const PERMISSION: &'static str = "search the folder";
    type Args = PathArgs;
    type Output = StatOutput;

    fn resource(args: &PathArgs) -> String {
        resource_of(&args.path)
    }
}

impl Read for Stat {
    fn read(_: &ReadContext<'_>, args: PathArgs) -> Result<StatOutput, OpError> {
        use std::os::unix::fs::MetadataExt;
        Ok(match look_at(absolute(&args.path)?)? {
            None => {
                StatOutput { exists: false, kind: Kind::None, bytes: 0, mode: String::new(), modified: String::new() }
            }
            Some(meta) => StatOutput {
                exists: true,
                kind: Kind::of(&meta),
                bytes: meta.len(),
                mode: format!("{:04o}", meta.mode() & 0o7777),
                modified: modified_of(&meta),
            },
        })
    }
}

/// `fs.list`.
pub struct List;

/// What to list.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListArgs {
    /// The folder, absolute.
    pub path: String,
    /// Only names that fit: `*` stands for any characters, `?` for one.
    pub pattern: Option<String>,
}

/// One thing in a folder.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct ListEntry {
    /// Its name.
    pub name: String,
    /// Its whole path.
    pub path: String,
    /// What it is.
    pub kind: Kind,
    /// Its size.
    pub bytes: u64,
    /// When it was last changed, RFC 3339.
    pub modified: String,
}

/// What is in a folder.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct ListOutput {
    /// By name.
    pub entries: Vec<ListEntry>,
}

impl Operation for List {
    const NAME: &'static str = "fs.list";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "lists a folder, by name";
    const PERMISSION: &'static str = "read the folder";
    type Args = ListArgs;
    type Output = ListOutput;

    fn resource(args: &ListArgs) -> String {
        resource_of(&args.path)
    }
}

impl Read for List {
    fn read(_: &ReadContext<'_>, args: ListArgs) -> Result<ListOutput, OpError> {
        let folder = absolute(&args.path)?;
        let mut entries = Vec::new();
        for (name, path) in sorted(folder)? {
            if args.pattern.as_ref().is_some_and(|pattern| !glob::matches(pattern, &name)) {
                continue;
            }
            // It may be gone since it was listed.
            let Some(meta) = look_at(Path::new(&path))? else { continue };
            let modified = modified_of(&meta);
            entries.push(ListEntry { name, path, kind: Kind::of(&meta), bytes: meta.len(), modified });
        }
        Ok(ListOutput { entries })
    }
}

/// Names and paths of what is in a folder, by name.
pub(super) fn sorted(folder: &Path) -> Result<Vec<(String, String)>, OpError> {
    let mut entries = Vec::new();
    for entry in folder.read_dir().map_err(cannot_read(folder))? {
        let entry = entry.map_err(cannot_read(folder))?;
        let (name, path) = (entry.file_name().into_string(), entry.path().into_os_string().into_string());
        match (name, path) {
            (Ok(name), Ok(path)) => entries.push((name, path)),
            (name, _) => {
                let name = name.unwrap_or_else(|name| name.to_string_lossy().into_owned());
                return Err(OpError::failed(format!("cannot read {}: name `{name}` is not UTF-8", folder.display())));
            }
        }
    }
    entries.sort_unstable();
    Ok(entries)
}

/// `fs.space`.
pub struct Space;

/// The room on a disk.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct SpaceOutput {
    /// Bytes that may still be written.
    pub free: u64,
    /// Bytes in all.
    pub total: u64,
}

impl Operation for Space {
    const NAME: &'static str = "fs.space";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "tells how much room there is on the disk of a path";
    const PERMISSION: &'static str = "search the folder";
    type Args = PathArgs;
    type Output = SpaceOutput;

    fn resource(args: &PathArgs) -> String {
        resource_of(&args.path)
    }
}

impl Read for Space {
    fn read(_: &ReadContext<'_>, args: PathArgs) -> Result<SpaceOutput, OpError> {
        let path = absolute(&args.path)?;
        let disk = rustix::fs::statvfs(path).map_err(|e| cannot("read the free space of", path, &e.into()))?;
        let bytes = |blocks: u64| blocks.saturating_mul(disk.f_frsize);
        Ok(SpaceOutput { free: bytes(disk.f_bavail), total: bytes(disk.f_blocks) })
    }
}

/// `fs.sha256`.
pub struct Sha256;

/// The digest of a file.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct DigestOutput {
    /// SHA-256, in hex.
    pub sha256: String,
    /// The file's size.
    pub bytes: u64,
}

impl Operation for Sha256 {
    const NAME: &'static str = "fs.sha256";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "digests a file";
    const PERMISSION: &'static str = "read the file";
    const TYPICAL: std::time::Duration = std::time::Duration::from_secs(1);
    type Args = PathArgs;
    type Output = DigestOutput;

    fn resource(args: &PathArgs) -> String {
        resource_of(&args.path)
    }
}

/// Refuses what is not a file: a pipe would be waited for, a folder cannot be read.
pub(super) fn must_be_file(path: &Path) -> Result<Metadata, OpError> {
    let meta = path.metadata().map_err(cannot_read(path))?;
    if meta.is_file() {
        Ok(meta)
    } else {
        Err(OpError::refused(format!("cannot read {}: it is not a file", path.display())))
    }
}

impl Read for Sha256 {
    fn read(_: &ReadContext<'_>, args: PathArgs) -> Result<DigestOutput, OpError> {
        let path = absolute(&args.path)?;
        must_be_file(path)?;
        let digested = digest_file(path).map_err(cannot_read(path))?;
        Ok(DigestOutput { sha256: digested.sha256, bytes: digested.bytes })
    }
}

/// `fs.hash_tree`.
pub struct HashTree;

/// One file of a tree.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct HashedFile {
    /// Its path within the folder.
    pub path: String,
    /// `file`, or `link` for a symbolic link, whose digest is that of the path it leads to.
    pub kind: Kind,
    /// SHA-256, in hex.
    pub sha256: String,
    /// Its size.
    pub bytes: u64,
}

/// The digests of a tree.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct HashTreeOutput {
    /// By path. Folders themselves, sockets, pipes and devices are left out.
    pub files: Vec<HashedFile>,
    /// The sizes of all files together.
    pub bytes: u64,
}

impl Operation for HashTree {
    const NAME: &'static str = "fs.hash_tree";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "digests every file under a folder";
    const PERMISSION: &'static str = "read the files";
    const TYPICAL: std::time::Duration = std::time::Duration::from_secs(5);
    type Args = PathArgs;
    type Output = HashTreeOutput;

    fn resource(args: &PathArgs) -> String {
        resource_of(&args.path)
    }
}

impl Read for HashTree {
    fn read(_: &ReadContext<'_>, args: PathArgs) -> Result<HashTreeOutput, OpError> {
        use sha2::Digest as _;
        let mut files = Vec::new();
        walk(absolute(&args.path)?, &mut |relative, path, meta| {
            let (sha256, bytes) = match Kind::of(meta) {
                Kind::File => {
                    let digested = digest_file(path).map_err(cannot_read(path))?;
                    (digested.sha256, digested.bytes)
                }
                Kind::Link => {
                    let target = path.read_link().map_err(cannot_read(path))?;
                    (hex(&sha2::Sha256::digest(target.as_os_str().as_encoded_bytes())), 0)
                }
                Kind::Dir | Kind::Other | Kind::None => return Ok(true),
            };
            files.push(HashedFile { path: relative.to_owned(), kind: Kind::of(meta), sha256, bytes });
            Ok(true)
        })?;
        files.sort_unstable_by(|a, b| a.path.cmp(&b.path));
        let bytes = files.iter().map(|file| file.bytes).sum();
        Ok(HashTreeOutput { files, bytes })
    }
}

/// What [`walk`] does at each thing: gets its path within the folder, its whole path and what it is; says whether to go into
/// it, if it is a folder.
pub(super) type Visit<'v> = dyn FnMut(&str, &Path, &Metadata) -> Result<bool, OpError> + 'v;

/// Visits everything under a folder, each folder before what is in it, by name. Links are not followed.
pub(super) fn walk(folder: &Path, visit: &mut Visit<'_>) -> Result<(), OpError> {
    // Kept by hand, so that a deep tree cannot exhaust the stack.
    let mut left: Vec<(String, String)> = Vec::new();
    let push = |left: &mut Vec<(String, String)>, prefix: &str, folder: &Path| -> Result<(), OpError> {
        left.extend(sorted(folder)?.into_iter().rev().map(|(name, path)| (format!("{prefix}{name}"), path)));
        Ok(())
    };
    push(&mut left, "", folder)?;
    while let Some((relative, path)) = left.pop() {
        let path = Path::new(&path);
        let meta = path.symlink_metadata().map_err(cannot_read(path))?;
        if visit(&relative, path, &meta)? && meta.is_dir() {
            push(&mut left, &format!("{relative}/"), path)?;
        }
    }
    Ok(())
}
