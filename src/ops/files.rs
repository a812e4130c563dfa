//! Crash-safe file primitives: temporary name, fsync, rename, fsync of the folder.

use std::fs::{File, OpenOptions};
use std::io::{self, Read, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rustix::fs::{CWD, RenameFlags, renameat_with};
use sha2::{Digest, Sha256};

use crate::model::fault::OpError;

/// How much is read or written at once.
const CHUNK: usize = 256 << 10;

/// Writes a file so that a crash leaves the old or the new one.
pub(super) fn write_atomically(path: &Path, bytes: &[u8], mode: u32) -> Result<(), OpError> {
    let part = beside(path, "new", &std::process::id().to_string());
    let write = || -> io::Result<()> {
        let mut file = create_new(&part, mode)?;
        file.write_all(bytes)?;
        file.sync_all()?;
        std::fs::rename(&part, path)?;
        sync_folder_of(path)
    };
    write().map_err(|e| {
        let _ = std::fs::remove_file(&part);
        cannot("write", path, &e)
    })
}

/// Makes a file that was not there, after clearing away what a former try left under this (temporary) name.
pub(super) fn create_new(path: &Path, mode: u32) -> io::Result<File> {
    match std::fs::remove_file(path) {
        Err(e) if e.kind() != io::ErrorKind::NotFound => return Err(e),
        _ => {}
    }
    let file = OpenOptions::new().write(true).create_new(true).mode(mode).open(path)?;
    // The mode given at creation is narrowed by the umask.
    file.set_permissions(std::os::unix::fs::PermissionsExt::from_mode(mode))?;
    Ok(file)
}

/// Renames, and refuses to replace anything.
pub(super) fn rename_new(from: &Path, to: &Path) -> io::Result<()> {
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

/// Makes the names in a file's folder durable.
pub(super) fn sync_folder_of(path: &Path) -> io::Result<()> {
    sync_folder(path.parent().unwrap_or(Path::new("/")))
}

/// Makes the names in a folder durable.
pub(super) fn sync_folder(folder: &Path) -> io::Result<()> {
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

/// Lowercase hex.
pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
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
            OpError::refused(message).with_hint("run as a user who may, or mend the permissions of the folder")
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
