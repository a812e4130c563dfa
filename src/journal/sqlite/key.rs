//! The store's key file.

use std::fs::OpenOptions;
use std::io::{ErrorKind, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

/// Reads the key, or makes one that no other process can have made differently at the same time.
pub(super) fn read_or_make(path: &Path) -> std::io::Result<[u8; 32]> {
    match read(path) {
        Err(error) if error.kind() == ErrorKind::NotFound => {}
        known => return known,
    }
    let random = || -> std::io::Result<[u8; 32]> {
        let mut bytes = [0u8; 32];
        getrandom::fill(&mut bytes).map_err(|error| std::io::Error::other(error.to_string()))?;
        Ok(bytes)
    };
    let (key, name) = (random()?, random()?);
    let draft = path.with_extension(name[..8].iter().map(|byte| format!("{byte:02x}")).collect::<String>());
    let mut file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(&draft)?;
    file.write_all(&key)?;
    file.sync_all()?;
    // A link never replaces what is there: the first key stays.
    let linked = std::fs::hard_link(&draft, path);
    std::fs::remove_file(&draft)?;
    match linked {
        Err(error) if error.kind() != ErrorKind::AlreadyExists => return Err(error),
        _ => {}
    }
    if let Some(folder) = path.parent() {
        std::fs::File::open(folder)?.sync_all()?;
    }
    read(path)
}

fn read(path: &Path) -> std::io::Result<[u8; 32]> {
    let bytes = std::fs::read(path)?;
    let wrong = |_| {
        std::io::Error::new(ErrorKind::InvalidData, "the key file does not hold 32 bytes: bring it back from a backup")
    };
    bytes.as_slice().try_into().map_err(wrong)
}
