//! Room kept free for outcomes: a file that is given up when the disk is full.
//!
//! What an effect did must still be written when nothing else fits. So the first write that finds the disk full gives the
//! reserve up and is tried again. From then on what would begin an effect is refused ([`begins_something`]), while outcomes go
//! on being stored, until there is room to make the reserve anew.

use std::fs::{File, OpenOptions};
use std::os::unix::fs::OpenOptionsExt;
use std::path::PathBuf;

use parking_lot::Mutex;

/// The file that is given up.
pub(super) struct Reserve {
    path: PathBuf,
    bytes: u64,
    spent: Mutex<bool>,
}

impl Reserve {
    /// The reserve in this file, made if there is room for it.
    pub(super) fn open(path: PathBuf, bytes: u64) -> Self {
        let reserve = Self { path, bytes, spent: Mutex::new(false) };
        reserve.restore();
        reserve
    }

    /// Gives the room up; whether there was any to give.
    pub(super) fn give_up(&self) -> bool {
        *self.spent.lock() = true;
        std::fs::remove_file(&self.path).is_ok()
    }

    /// Whether the reserve is there; tries to make it again if it was spent.
    pub(super) fn is_kept(&self) -> bool {
        !*self.spent.lock() || self.restore()
    }

    fn restore(&self) -> bool {
        let mut spent = self.spent.lock();
        let made = self.make().is_ok();
        if !made {
            let _ = std::fs::remove_file(&self.path);
        }
        *spent = !made;
        made
    }

    fn make(&self) -> std::io::Result<()> {
        if self.bytes == 0 || std::fs::metadata(&self.path).is_ok_and(|file| file.len() == self.bytes) {
            return Ok(());
        }
        let file: File = OpenOptions::new().write(true).create(true).truncate(true).mode(0o600).open(&self.path)?;
        match rustix::fs::fallocate(&file, rustix::fs::FallocateFlags::empty(), 0, self.bytes) {
            Ok(()) => Ok(()),
            // A file system that cannot promise room gets no reserve; writes there fail with a clear error all the same.
            Err(rustix::io::Errno::OPNOTSUPP | rustix::io::Errno::NOSYS) => file.set_len(self.bytes),
            Err(error) => Err(error.into()),
        }
    }
}

/// Whether this line begins something whose outcome would need more room, or answers a command for good.
pub(super) fn begins_something(line: &str) -> bool {
    // The first `fact` of a line is the record's own: number, time and epoch stand before it.
    let Some(at) = line.find("\"fact\":{\"fact\":\"") else { return true };
    let name = line[at + 16..].split('"').next().unwrap_or_default();
    matches!(name, "run_started" | "intent" | "resent" | "commanded" | "rollback_begun" | "held")
}
