//! Crash-safe file primitives: temporary name, fsync, rename, fsync of the folder.

use std::fs::{File, Metadata, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::{MetadataExt, OpenOptionsExt};
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sha2::{Digest, Sha256};

use super::context::ReadContext;
use crate::clock::Clock;
use crate::model::Timestamp;
use crate::model::fault::OpError;

/// How much is read or written at once.
const CHUNK: usize = 256 << 10;

/// Stands between any two steps of what has to survive a kill: there a test stops, and looks whether it does.
#[cfg(not(test))]
#[inline]
pub(super) fn kill_point() {}

#[cfg(test)]
pub(super) use self::kill::kill_point;

/// Kills at a chosen [`kill_point`], by unwinding: nothing here cleans up then.
#[cfg(test)]
pub(super) mod kill {
    use std::cell::Cell;

    struct Killed;

    thread_local! {
        static LEFT: Cell<Option<u32>> = const { Cell::new(None) };
    }

    pub(in crate::ops) fn kill_point() {
        let left = LEFT.get();
        if left == Some(0) {
            // Unlike a panic this prints nothing.
            std::panic::resume_unwind(Box::new(Killed));
        }
        LEFT.set(left.map(|left| left - 1));
    }

    /// Does something and kills it at the kill point with this number; `None` when it was.
    pub(in crate::ops) fn at<T>(point: u32, work: impl FnOnce() -> T) -> Option<T> {
        LEFT.set(Some(point));
        let result = std::panic::catch_unwind(std::panic::AssertUnwindSafe(work));
        LEFT.set(None);
        match result {
            Ok(value) => Some(value),
            Err(panic) if panic.is::<Killed>() => None,
            Err(panic) => std::panic::resume_unwind(panic),
        }
    }
}

/// Writes a file so that a crash leaves the old or the new one.
pub fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<(), OpError> {
    // Another process may be writing the same file.
    write_by_way_of(&beside(path, "new", &std::process::id().to_string()), path, bytes, mode)
}

/// Writes a file under a temporary name first, so that a crash leaves the old or the new one, and perhaps the temporary one.
pub(super) fn write_by_way_of(part: &Path, path: &Path, bytes: &[u8], mode: u32) -> Result<(), OpError> {
    let write = || -> io::Result<()> {
        let mut file = create_new(part, mode)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        rename_over(part, path)?;
        sync_folder_of(path)
    };
    write().map_err(|e| {
        let _ = std::fs::remove_file(part);
        cannot("write", path, &e)
    })
}

/// Makes a file that was not there, after clearing away what a former try left under this (temporary) name.
pub(super) fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    kill_point();
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    kill_point();
    // The mode given at creation is narrowed by the umask.
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    Ok(file)
}

/// Renames, and refuses to replace anything.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
    kill_point();
    match renameat_with(CWD, from, CWD, to, RenameFlags::NOREPLACE) {
        Ok(()) => Ok(()),
        // Some network file systems do not know the flag: look first there.
        Err(rustix::io::Errno::INVAL | rustix::io::Errno::NOSYS) => {
            if to.symlink_metadata().is_ok() {
                return Err(io::ErrorKind::AlreadyExists.into());
            }
            std::fs::rename(from, to)
        }
        Err(e) => Err(e.into()),
    }
}

/// Renames, and replaces what was there.
pub(super) fn rename_over(from: &Path, to: &Path) -> io::Result<()> {
    kill_point();
    std::fs::rename(from, to)
}

/// Makes the names in a file's folder durable.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    sync_folder(path.parent().unwrap_or(Path::new("/")))
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
    kill_point();
    File::open(folder)?.sync_all()
}

/// A hidden name beside a file, for what belongs to the call with this key: `/a/.b.part-<key>`.
pub(super) fn beside(path: &Path, role: &str, key: &str) -> PathBuf {
    let name = path.file_name().unwrap_or_default().to_string_lossy();
    path.with_file_name(format!(".{name}.{role}-{key}"))
}

/// Refuses to write where something is, unless that is a file that may be replaced. Never through a link.
pub(super) fn may_write(path: &Path, replace: bool) -> Result<(), OpError> {
    match path.symlink_metadata() {
        Err(e) if e.kind() == io::ErrorKind::NotFound => {
            let folder = path.parent().unwrap_or(Path::new("/"));
            if folder.is_dir() {
                return Ok(());
            }
            Err(OpError::refused(format!("cannot write {}: there is no folder {}", path.display(), folder.display()))
                .with_hint("make it first, with `fs.make_dir`"))
        }
        Err(e) => Err(cannot("write", path, &e)),
        Ok(meta) if replace && meta.is_file() => Ok(()),
        Ok(meta) if replace => {
            let kind = if meta.is_symlink() { "a symbolic link" } else { "not a file" };
            Err(OpError::refused(format!("cannot write {}: it is {kind}", path.display())))
        }
        Ok(_) => Err(OpError::refused(format!("cannot write {}: it exists already", path.display()))
            .with_hint("choose another name, or set `replace: true`")),
    }
}

/// The temporary name of an output file that a supervisor writes for the call with this key: `/a/b.part-<key>`.
pub(super) fn part_of(path: &Path, key: &str) -> PathBuf {
    let mut name = path.file_name().unwrap_or_default().to_os_string();
    name.push(format!(".part-{key}"));
    path.with_file_name(name)
}

/// The path, if it is absolute, has a name and goes straight: a capability is granted for the text of a path, so the text may
/// not lead elsewhere by `..`.
pub(super) fn absolute(path: &str) -> Result<&Path, OpError> {
    let parsed = Path::new(path);
    let refused = |why: &str| Err(OpError::refused(format!("cannot use path `{path}`: {why}")));
    if !parsed.is_absolute() {
        return refused("it is not absolute");
    }
    if path.contains('\0') {
        return refused("it holds a NUL character");
    }
    if parsed.components().any(|part| matches!(part, std::path::Component::ParentDir)) {
        return refused("it has a `..` in it");
    }
    Ok(parsed)
}

/// How much passed through, and its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Digested {
    pub bytes: u64,
    /// Lowercase hex.
    pub sha256: String,
}

/// Copies a stream to its end and digests it on the way.
pub(super) fn copy_digesting(from: &mut dyn Read, to: &mut dyn Write) -> io::Result<Digested> {
    let mut hash = Sha256::new();
    let mut bytes = 0u64;
    let mut chunk = vec![0; CHUNK];
    loop {
        let n = match from.read(&mut chunk) {
            Ok(0) => break,
            Ok(n) => n,
            Err(e) if e.kind() == io::ErrorKind::Interrupted => continue,
            Err(e) => return Err(e),
        };
        hash.update(&chunk[..n]);
        to.write_all(&chunk[..n])?;
        bytes += n as u64;
    }
    Ok(Digested { bytes, sha256: hex(&hash.finalize()) })
}

/// Digests a file without holding it in memory.
pub(super) fn digest_file(path: &Path) -> io::Result<Digested> {
    copy_digesting(&mut File::open(path)?, &mut io::sink())
}

/// Digests bytes.
pub(super) fn digest_bytes(bytes: &[u8]) -> Digested {
    Digested { bytes: bytes.len() as u64, sha256: hex(&Sha256::digest(bytes)) }
}

/// A stream that breaks off when the call's time is over.
pub(super) struct Timed<'c, S> {
    inner: S,
    deadline: Option<Timestamp>,
    clock: &'c dyn Clock,
}

impl<'c, S> Timed<'c, S> {
    pub(super) fn new(inner: S, context: &ReadContext<'c>) -> Self {
        Self { inner, deadline: context.deadline, clock: context.clock }
    }

    fn check(&self) -> io::Result<()> {
        if self.deadline.is_some_and(|deadline| self.clock.now() >= deadline) {
            return Err(io::Error::new(io::ErrorKind::TimedOut, "it did not end in time"));
        }
        Ok(())
    }
}

impl<S: Read> Read for Timed<'_, S> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.read(into)
    }
}

impl<S: Write> Write for Timed<'_, S> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.check()?;
        self.inner.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// A writer that digests what passes through.
pub(super) struct DigestingWriter<W> {
    inner: W,
    hash: Sha256,
    bytes: u64,
}

impl<W: Write> DigestingWriter<W> {
    pub(super) fn new(inner: W) -> Self {
        Self { inner, hash: Sha256::new(), bytes: 0 }
    }

    pub(super) fn finish(mut self) -> io::Result<Digested> {
        self.inner.flush()?;
        Ok(Digested { bytes: self.bytes, sha256: hex(&self.hash.finalize()) })
    }
}

impl<W: Write> Write for DigestingWriter<W> {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let n = self.inner.write(bytes)?;
        self.hash.update(&bytes[..n]);
        self.bytes += n as u64;
        Ok(n)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.inner.flush()
    }
}

/// What tells a file from any other that ever has its name: device and inode.
pub(super) fn id_of(meta: &Metadata) -> String {
    format!("{}:{}", meta.dev(), meta.ino())
}

/// [`id_of`] what is at this path (the link itself, if it is one); `None` when nothing is.
pub(super) fn id_at(path: &Path) -> Result<Option<String>, OpError> {
    Ok(look_at(path)?.map(|meta| id_of(&meta)))
}

/// What is at this path (the link itself, if it is one); `None` when nothing is.
pub(super) fn look_at(path: &Path) -> Result<Option<Metadata>, OpError> {
    match path.symlink_metadata() {
        Ok(meta) => Ok(Some(meta)),
        Err(e) if matches!(e.kind(), io::ErrorKind::NotFound | io::ErrorKind::NotADirectory) => Ok(None),
        Err(e) => Err(cannot("look at", path, &e)),
    }
}

/// Removes a file; fine if it is not there.
pub(super) fn remove_if_there(path: &Path) -> Result<(), OpError> {
    kill_point();
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => Err(cannot("remove", path, &e)),
        _ => Ok(()),
    }
}

/// Lowercase hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// An input without a byte, for programs that read nothing from us.
///
/// # Errors
/// When `/dev/null` is not what it has to be: the program's own start would only say "permission denied".
pub(crate) fn nothing() -> Result<File, OpError> {
    File::open("/dev/null").map_err(|error| {
        OpError::refused(format!("cannot read /dev/null: {error}"))
            .with_hint("hardly any program works without it; as root: `chmod 666 /dev/null`")
    })
}

/// `cannot <act> <path>: <reason>`, with the class that the reason tells.
pub(super) fn cannot(act: &str, path: &Path, error: &io::Error) -> OpError {
    use io::ErrorKind as K;
    let message = format!("cannot {act} {}: {error}", path.display());
    match error.kind() {
        K::NotFound | K::AlreadyExists | K::NotADirectory | K::IsADirectory | K::InvalidInput => {
            OpError::refused(message)
        }
        K::PermissionDenied | K::ReadOnlyFilesystem => {
            OpError::denied(message).with_hint("run as a user who may, or mend the permissions of the folder")
        }
        K::StorageFull | K::QuotaExceeded => OpError::failed(message).with_hint("make room on that disk, then retry"),
        _ => OpError::failed(message),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_file_is_replaced_whole_and_with_its_mode() {
        use std::os::unix::fs::PermissionsExt;
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("f");
        write_atomically(&path, b"one", 0o600).unwrap();
        write_atomically(&path, b"two", 0o644).unwrap();
        assert_eq!(std::fs::read(&path).unwrap(), b"two");
        assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o644);
        assert_eq!(std::fs::read_dir(dir.path()).unwrap().count(), 1);
    }

    #[test]
    fn a_rename_never_replaces() {
        let dir = tempfile::tempdir().unwrap();
        let (a, b) = (dir.path().join("a"), dir.path().join("b"));
        std::fs::write(&a, "a").unwrap();
        std::fs::write(&b, "b").unwrap();
        assert_eq!(rename_new(&a, &b).unwrap_err().kind(), io::ErrorKind::AlreadyExists);
        assert_eq!(std::fs::read(&b).unwrap(), b"b");
    }

    #[test]
    fn a_digest_is_the_one_of_sha256sum() {
        let digested = copy_digesting(&mut &b"abc"[..], &mut io::sink()).unwrap();
        assert_eq!(digested.bytes, 3);
        assert_eq!(digested.sha256, "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
    }
}
