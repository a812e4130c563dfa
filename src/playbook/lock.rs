//! `playbooks.lock`: which content each version of a playbook has. A version whose content changed is a lie in the history.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// Name and version → digest.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(transparent)]
pub struct Lock {
    entries: BTreeMap<String, String>,
}

/// Why a lock cannot be used, or what it found.
#[derive(Debug, thiserror::Error)]
pub enum LockError {
    /// The file.
    #[error("cannot {act} {path}: {source}")]
    File { act: &'static str, path: String, source: std::io::Error },
    /// What it says.
    #[error("{path} is no lock file: line {line} is not `name version digest`")]
    Form { path: String, line: usize },
    /// The content of a version changed.
    #[error("{name} {version} has changed since it was locked (it was {locked}, it is {found})")]
    Changed { name: String, version: String, locked: String, found: String },
    /// A version that was never locked.
    #[error("{name} {version} is not in the lock file")]
    Missing { name: String, version: String },
}

/// The lock file beside playbooks.
pub const LOCK: &str = "playbooks.lock";

impl Lock {
    /// Where the lock of the playbook of this folder or name is, whether or not it is there; none for a shipped playbook.
    #[must_use]
    pub fn beside(name: &str) -> Option<PathBuf> {
        let folders = [PathBuf::from(name), Path::new("playbooks").join(name)];
        let folder = folders.into_iter().find(|folder| folder.join(super::bundle::MAIN).is_file())?;
        Some(folder.canonicalize().ok()?.parent()?.join(LOCK))
    }

    /// Reads a lock file; an absent one is empty.
    ///
    /// # Errors
    /// When it cannot be read, or is none.
    pub fn read(path: &Path) -> Result<Self, LockError> {
        let text = match std::fs::read_to_string(path) {
            Ok(text) => text,
            Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Self::default()),
            Err(source) => return Err(LockError::File { act: "read", path: path.display().to_string(), source }),
        };
        let mut entries = BTreeMap::new();
        for (number, line) in text.lines().enumerate() {
            let words: Vec<&str> = line.split_whitespace().collect();
            match words.as_slice() {
                [] => {}
                [first, ..] if first.starts_with('#') => {}
                [name, version, digest] => {
                    entries.insert(format!("{name} {version}"), (*digest).to_owned());
                }
                _ => return Err(LockError::Form { path: path.display().to_string(), line: number + 1 }),
            }
        }
        Ok(Self { entries })
    }

    /// Checks a bundle against the lock.
    ///
    /// # Errors
    /// [`LockError::Changed`] or [`LockError::Missing`].
    pub fn check(&self, name: &str, version: &str, digest: &str) -> Result<(), LockError> {
        match self.entries.get(&format!("{name} {version}")) {
            Some(locked) if locked == digest => Ok(()),
            Some(locked) => Err(LockError::Changed {
                name: name.to_owned(),
                version: version.to_owned(),
                locked: locked.chars().take(12).collect(),
                found: digest.chars().take(12).collect(),
            }),
            None => Err(LockError::Missing { name: name.to_owned(), version: version.to_owned() }),
        }
    }

    /// Adds a version that is not locked yet.
    pub fn add(&mut self, name: &str, version: &str, digest: &str) {
        self.entries.entry(format!("{name} {version}")).or_insert_with(|| digest.to_owned());
    }

    /// Locks a version anew, whatever was locked before: for one that was never released.
    pub fn replace(&mut self, name: &str, version: &str, digest: &str) {
        self.entries.insert(format!("{name} {version}"), digest.to_owned());
    }

    /// Writes the lock file.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn write(&self, path: &Path) -> Result<(), LockError> {
        let mut text =
            "# Which content each version of a playbook has. Written by `muster lint --lock`; commit it.\n".to_owned();
        for (name, digest) in &self.entries {
            text.push_str(&format!("{name} {digest}\n"));
        }
        let fail = |source| LockError::File { act: "write", path: path.display().to_string(), source };
        let new = path.with_extension("lock.new");
        std::fs::write(&new, text).map_err(fail)?;
        std::fs::rename(&new, path).map_err(fail)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_changed_version_is_found_out_and_a_lock_reads_back() {
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("playbooks.lock");
        let mut lock = Lock::read(&path).expect("an absent lock is empty");
        lock.add("a", "1.0.0", "d1");
        lock.write(&path).expect("written");
        let lock = Lock::read(&path).expect("read");
        assert!(lock.check("a", "1.0.0", "d1").is_ok());
        assert!(matches!(lock.check("a", "1.0.0", "d2"), Err(LockError::Changed { .. })));
        assert!(matches!(lock.check("a", "1.0.1", "d2"), Err(LockError::Missing { .. })));
    }
}
