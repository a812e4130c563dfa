//! Plain tar archives: made from a tree in a fixed order, read to their very end, unpacked without leaving the folder.

use std::fs::{DirBuilder, File, FileTimes, Metadata};
use std::io::{self, Read, Seek, SeekFrom, Write};
use std::os::unix::fs::{DirBuilderExt, MetadataExt, PermissionsExt, lchown};
use std::path::{Component, Path, PathBuf};
use std::time::{Duration, SystemTime};

use tar::{Archive, Builder, Entry, EntryType, Header};

use super::look::{Kind, walk};
use crate::model::fault::OpError;
use crate::model::glob;
use crate::ops::context::ReadContext;
use crate::ops::files::{Timed, cannot, kill_point};

const BLOCK: u64 = 512;

/// Packs a folder's contents (or one file) under paths relative to it. Sockets are left out; how many entries there are.
pub(super) fn pack(from: &Path, exclude: &[String], to: &mut dyn Write) -> Result<u64, OpError> {
    let mut builder = Builder::new(to);
    let mut entries = 0;
    let failed = |path: &Path, e: &io::Error| cannot("archive", path, e);
    let mut add = |relative: &str, path: &Path, meta: &Metadata| -> Result<bool, OpError> {
        let name = relative.rsplit('/').next().unwrap_or(relative);
        if exclude.iter().any(|pattern| glob::matches(pattern, relative) || glob::matches(pattern, name)) {
            return Ok(false);
        }
        let mut header = Header::new_gnu();
        header.set_metadata(meta);
        match Kind::of(meta) {
            Kind::File => add_file(&mut builder, &mut header, relative, path, meta)?,
            Kind::Dir => {
                header.set_size(0);
                builder.append_data(&mut header, format!("{relative}/"), io::empty()).map_err(|e| failed(path, &e))?;
            }
            Kind::Link => {
                header.set_size(0);
                let target = path.read_link().map_err(|e| failed(path, &e))?;
                builder.append_link(&mut header, relative, target).map_err(|e| failed(path, &e))?;
            }
            // A socket means nothing without the program that listens on it.
            Kind::Other | Kind::None => return Ok(false),
        }
        entries += 1;
        Ok(true)
    };
    let meta = from.symlink_metadata().map_err(|e| failed(from, &e))?;
    match Kind::of(&meta) {
        Kind::Dir => walk(from, &mut add)?,
        Kind::File => {
            let name = from.file_name().unwrap_or_default().to_string_lossy().into_owned();
            add(&name, from, &meta)?;
        }
        _ => {
            return Err(OpError::refused(format!(
                "cannot archive {}: it is neither a folder nor a file",
                from.display()
            )));
        }
    }
    builder.finish().map_err(|e| failed(from, &e))?;
    Ok(entries)
}

/// Adds a file, and makes sure that it did not change meanwhile: a file that grows or shrinks would spoil the archive.
fn add_file(
    builder: &mut Builder<&mut dyn Write>,
    header: &mut Header,
    relative: &str,
    path: &Path,
    meta: &Metadata,
) -> Result<(), OpError> {
    let changed = || {
        OpError::failed(format!("cannot archive {}: it changed while it was read", path.display()))
            .with_hint("stop what writes to it first")
    };
    let file = File::open(path).map_err(|e| cannot("archive", path, &e))?;
    let mut counted = Counted { inner: (&file).take(meta.len()), bytes: 0 };
    header.set_size(meta.len());
    builder.append_data(header, relative, &mut counted).map_err(|e| cannot("archive", path, &e))?;
    let now = file.metadata().map_err(|e| cannot("archive", path, &e))?;
    let times = |meta: &Metadata| (meta.len(), meta.mtime(), meta.mtime_nsec());
    if counted.bytes != meta.len() || times(&now) != times(meta) {
        return Err(changed());
    }
    Ok(())
}

struct Counted<R> {
    inner: R,
    bytes: u64,
}

impl<R: Read> Read for Counted<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let n = self.inner.read(into)?;
        self.bytes += n as u64;
        Ok(n)
    }
}

/// What an entry is, as the archive says.
pub(super) struct Listed {
    pub path: String,
    pub bytes: u64,
}

/// Everything in an archive, which is read to its very end.
pub(super) fn list(path: &Path) -> Result<Vec<Listed>, OpError> {
    let mut listed = Vec::new();
    each(path, &mut |entry, name| {
        io::copy(entry, &mut io::sink()).map_err(|e| damaged(path, &e))?;
        listed.push(Listed { path: name.to_string_lossy().into_owned(), bytes: entry.size() });
        Ok(())
    })?;
    Ok(listed)
}

fn damaged(path: &Path, what: &dyn std::fmt::Display) -> OpError {
    OpError::failed(format!("cannot read archive {}: it is damaged or cut off: {what}", path.display()))
}

type Visit<'v> = dyn FnMut(&mut Entry<'_, &File>, &Path) -> Result<(), OpError> + 'v;

/// Visits every entry with its path, and makes sure that the archive has its end: tar itself takes a file that is cut off
/// between two entries for a whole one.
fn each(path: &Path, visit: &mut Visit<'_>) -> Result<(), OpError> {
    let file = File::open(path).map_err(|e| cannot("read", path, &e))?;
    let mut archive = Archive::new(&file);
    let mut end = 0;
    for entry in archive.entries().map_err(|e| damaged(path, &e))? {
        let mut entry = entry.map_err(|e| damaged(path, &e))?;
        end = entry.raw_file_position() + entry.size().next_multiple_of(BLOCK);
        let name = entry.path().map_err(|e| damaged(path, &e))?.into_owned();
        visit(&mut entry, &name)?;
    }
    let mut last = [1; 2 * BLOCK as usize];
    let mut file = &file;
    let read = file.seek(SeekFrom::Start(end)).and_then(|_| file.read_exact(&mut last));
    if read.is_err() || last.iter().any(|&byte| byte != 0) {
        return Err(damaged(path, &"its end is missing"));
    }
    Ok(())
}

/// How much was unpacked.
pub(super) struct Unpacked {
    pub entries: u64,
    pub bytes: u64,
}

/// Unpacks into a folder that is there and empty. Refuses entries that would be outside of it, links that lead out of it, and
/// devices. Owners are kept if we may set them.
pub(super) fn unpack(context: &ReadContext<'_>, path: &Path, to: &Path) -> Result<Unpacked, OpError> {
    let mut unpacked = Unpacked { entries: 0, bytes: 0 };
    let may_chown = rustix::process::geteuid().is_root();
    // Modes and times of folders are set at last: a read-only folder could not be filled, and filling changes its time.
    let mut folders: Vec<(PathBuf, Header)> = Vec::new();
    each(path, &mut |entry, name| {
        let header = entry.header().clone();
        let kind = header.entry_type();
        let refused =
            |why: &str| OpError::refused(format!("cannot unpack {}: entry `{}` {why}", path.display(), name.display()));
        let Some(inside) = inside(name) else {
            return Err(refused("would be outside of the folder"));
        };
        let target = to.join(&inside);
        let failed = |e: io::Error| cannot("unpack", &target, &e);
        real_parents(to, &inside).map_err(|e| e.map_or_else(|| refused("goes through a link"), failed))?;
        match kind {
            EntryType::Directory => {
                make_folder(&target).map_err(failed)?;
                folders.push((target.clone(), header.clone()));
            }
            EntryType::Symlink => {
                let link = entry.link_name().map_err(|e| damaged(path, &e))?.unwrap_or_default().into_owned();
                if !stays_inside(&inside, &link) {
                    return Err(refused("is a link that leads out of the folder"));
                }
                std::os::unix::fs::symlink(&link, &target).map_err(failed)?;
                if may_chown {
                    let (user, group) = owner(&header);
                    lchown(&target, user, group).map_err(failed)?;
                }
            }
            EntryType::Link => {
                let link = entry.link_name().map_err(|e| damaged(path, &e))?.unwrap_or_default().into_owned();
                let Some(link) = self::inside(&link).filter(|link| !link.as_os_str().is_empty()) else {
                    return Err(refused("is a link that leads out of the folder"));
                };
                real_parents(to, &link).map_err(|e| e.map_or_else(|| refused("links through a link"), failed))?;
                std::fs::hard_link(to.join(link), &target).map_err(failed)?;
            }
            EntryType::Regular | EntryType::Continuous => {
                unpacked.bytes +=
                    unpack_file(&mut Timed::new(entry, context), &header, &target, may_chown).map_err(failed)?;
            }
            _ => return Err(refused("is neither a file nor a folder nor a link")),
        }
        unpacked.entries += 1;
        Ok(())
    })?;
    for (folder, header) in folders.iter().rev() {
        set_attributes(&File::open(folder).map_err(|e| cannot("unpack", folder, &e))?, header, may_chown)
            .map_err(|e| cannot("unpack", folder, &e))?;
    }
    // One call for all files, instead of one each.
    File::open(to)
        .and_then(|folder| rustix::fs::syncfs(&folder).map_err(io::Error::from))
        .map_err(|e| cannot("make durable", to, &e))?;
    Ok(unpacked)
}

/// The path of an entry as one within the folder; `None` when it is absolute or has a `..`.
fn inside(name: &Path) -> Option<PathBuf> {
    let mut inside = PathBuf::new();
    for part in name.components() {
        match part {
            Component::Normal(part) => inside.push(part),
            Component::CurDir => {}
            Component::ParentDir | Component::RootDir | Component::Prefix(_) => return None,
        }
    }
    Some(inside)
}

/// Makes the folders above an entry, and fails with `None` when one of them is a link: an entry written through a link could
/// end up anywhere.
fn real_parents(to: &Path, inside: &Path) -> Result<(), Option<io::Error>> {
    let mut folder = to.to_owned();
    for part in inside.parent().unwrap_or(Path::new("")).components() {
        folder.push(part);
        match folder.symlink_metadata() {
            Ok(meta) if meta.is_dir() => {}
            Ok(_) => return Err(None),
            Err(e) if e.kind() == io::ErrorKind::NotFound => make_folder(&folder).map_err(Some)?,
            Err(e) => return Err(Some(e)),
        }
    }
    Ok(())
}

fn make_folder(folder: &Path) -> io::Result<()> {
    kill_point();
    match DirBuilder::new().mode(0o700).create(folder) {
        Err(e) if e.kind() == io::ErrorKind::AlreadyExists && folder.symlink_metadata()?.is_dir() => Ok(()),
        result => result,
    }
}

/// Whether a link at `at` (a path within the folder, whose parents are real folders) leads to something within the folder.
/// `..` counts only at its beginning: after a name, which may be a link itself, nobody could say where it leads.
fn stays_inside(at: &Path, link: &Path) -> bool {
    let mut depth = at.components().count().saturating_sub(1);
    let mut descending = false;
    for part in link.components() {
        match part {
            Component::Normal(_) => descending = true,
            Component::CurDir => {}
            Component::ParentDir if !descending && depth > 0 => depth -= 1,
            _ => return false,
        }
    }
    !link.as_os_str().is_empty()
}

fn unpack_file(entry: &mut impl Read, header: &Header, target: &Path, may_chown: bool) -> io::Result<u64> {
    let mut file = crate::ops::files::create_new(target, 0o600)?;
    let bytes = io::copy(entry, &mut file)?;
    set_attributes(&file, header, may_chown)?;
    Ok(bytes)
}

fn owner(header: &Header) -> (Option<u32>, Option<u32>) {
    let id = |id: io::Result<u64>| id.ok().and_then(|id| u32::try_from(id).ok());
    (id(header.uid()), id(header.gid()))
}

fn set_attributes(file: &File, header: &Header, may_chown: bool) -> io::Result<()> {
    if may_chown {
        let (user, group) = owner(header);
        std::os::unix::fs::fchown(file, user, group)?;
    }
    file.set_permissions(PermissionsExt::from_mode(header.mode()? & 0o7777))?;
    file.set_times(FileTimes::new().set_modified(SystemTime::UNIX_EPOCH + Duration::from_secs(header.mtime()?)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_link_may_not_lead_out_of_the_folder() {
        let stays = |at: &str, link: &str| stays_inside(Path::new(at), Path::new(link));
        assert!(stays("a", "b") && stays("a/b", "../c") && stays("a/b/c", "../../d/e") && stays("a", "./b"));
        assert!(!stays("a", "/etc/passwd") && !stays("a", "..") && !stays("a/b", "../../c"));
        // `l` may be a link to somewhere less deep.
        assert!(!stays("a/b", "l/../../x") && !stays("a", ""));
    }

    #[test]
    fn an_entry_may_not_be_outside_of_the_folder() {
        assert_eq!(inside(Path::new("./a/./b")), Some(PathBuf::from("a/b")));
        assert_eq!(inside(Path::new("/a")), None);
        assert_eq!(inside(Path::new("a/../b")), None);
    }
}
