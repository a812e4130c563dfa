//! What went wrong in the database, in the store's words.

use std::path::{Path, PathBuf};

use rusqlite::ErrorCode;

use crate::journal::store::StoreError;

/// Below this many free bytes a failed write is put down to the full disk: SQLite reports some of them as plain I/O errors.
const NEARLY_NOTHING: u64 = 256 * 1024;

/// A fault of the whole store, which can be told to several callers.
#[derive(Clone, Debug)]
pub(super) struct Fault {
    kind: Kind,
    act: &'static str,
    path: PathBuf,
}

#[derive(Clone, Debug)]
enum Kind {
    Full,
    ReadOnly,
    Corrupt(String),
    Other(String),
}

impl Fault {
    /// What SQLite said while we tried to `act`.
    pub(super) fn of(act: &'static str, path: &Path, error: &rusqlite::Error) -> Self {
        let kind = match error {
            rusqlite::Error::SqliteFailure(code, message) => {
                let said = message.clone().unwrap_or_else(|| code.to_string());
                match code.code {
                    ErrorCode::DiskFull => Kind::Full,
                    ErrorCode::ReadOnly => Kind::ReadOnly,
                    ErrorCode::DatabaseCorrupt | ErrorCode::NotADatabase => Kind::Corrupt(format!(
                        "{said}; copy it and its -wal file aside, then take a backup or what `sqlite3 STORE .recover` saves"
                    )),
                    ErrorCode::DatabaseBusy | ErrorCode::DatabaseLocked => {
                        Kind::Other("another process keeps it locked; try again when that one is done".to_owned())
                    }
                    ErrorCode::SystemIoFailure | ErrorCode::CannotOpen if room(path) < NEARLY_NOTHING => Kind::Full,
                    ErrorCode::SystemIoFailure => {
                        Kind::Other(format!("{said}; see the kernel's log for the disk's errors"))
                    }
                    _ => Kind::Other(said),
                }
            }
            // A column of another type than the one we wrote.
            rusqlite::Error::FromSqlConversionFailure(..)
            | rusqlite::Error::InvalidColumnType(..)
            | rusqlite::Error::IntegralValueOutOfRange(..)
            | rusqlite::Error::Utf8Error(..) => Kind::Corrupt(error.to_string()),
            _ => Kind::Other(error.to_string()),
        };
        Self { kind, act, path: path.to_owned() }
    }

    /// What the operating system said.
    pub(super) fn of_io(act: &'static str, path: &Path, error: &std::io::Error) -> Self {
        let kind = match error.kind() {
            std::io::ErrorKind::StorageFull | std::io::ErrorKind::QuotaExceeded => Kind::Full,
            std::io::ErrorKind::ReadOnlyFilesystem => Kind::ReadOnly,
            _ => Kind::Other(error.to_string()),
        };
        Self { kind, act, path: path.to_owned() }
    }

    /// A fault in our own words.
    pub(super) fn other(act: &'static str, path: &Path, what: impl Into<String>) -> Self {
        Self { kind: Kind::Other(what.into()), act, path: path.to_owned() }
    }

    pub(super) fn corrupt(path: &Path, what: impl Into<String>) -> Self {
        Self { kind: Kind::Corrupt(what.into()), act: "read", path: path.to_owned() }
    }

    pub(super) fn read_only(path: &Path) -> Self {
        Self { kind: Kind::ReadOnly, act: "write", path: path.to_owned() }
    }

    pub(super) fn full(path: &Path) -> Self {
        Self { kind: Kind::Full, act: "write", path: path.to_owned() }
    }

    pub(super) fn is_full(&self) -> bool {
        matches!(self.kind, Kind::Full)
    }
}

impl From<Fault> for StoreError {
    fn from(fault: Fault) -> Self {
        let path = fault.path.display().to_string();
        match fault.kind {
            Kind::Full => Self::Full { path },
            Kind::ReadOnly => Self::ReadOnly { path },
            Kind::Corrupt(what) => Self::Corrupt { path, what },
            Kind::Other(what) => Self::Database { act: fault.act, path, what },
        }
    }
}

/// Bytes that may still be written beside this file; all of them when nobody can tell.
fn room(path: &Path) -> u64 {
    let folder = path.parent().filter(|folder| !folder.as_os_str().is_empty()).unwrap_or(Path::new("."));
    rustix::fs::statvfs(folder).map_or(u64::MAX, |fs| fs.f_bavail.saturating_mul(fs.f_frsize))
}
