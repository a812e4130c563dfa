//! Family `fs`: files and folders. What it writes is crash-safe: a temporary name beside the target, fsync, rename, fsync of
//! the folder; never through a symbolic link, and never over anything without a before-image.

mod archive;
mod look;
mod marked;
mod paths;
pub(in crate::ops) mod placement;
mod read;
mod tarball;
mod undo;
mod unpack;
mod write;

#[cfg(test)]
mod tests;

pub(in crate::ops) use write::mode_of;

use super::spec::{self, OpEntry};

/// The entries of the family.
#[must_use]
pub fn entries() -> Vec<OpEntry> {
    vec![
        spec::read::<look::Stat>(),
        spec::read::<look::List>(),
        spec::read::<look::Space>(),
        spec::read::<read::ReadText>(),
        spec::read::<read::ReadJson>(),
        spec::read::<read::Dotenv>(),
        spec::read::<look::Sha256>(),
        spec::read::<look::HashTree>(),
        spec::read::<archive::TarList>(),
        spec::write::<write::WriteText>(),
        spec::write::<write::WriteJson>(),
        spec::write::<write::Copy>(),
        spec::write::<paths::MakeDir>(),
        spec::write::<paths::RemoveDirs>(),
        spec::write::<paths::Rename>(),
        spec::write::<paths::RenameBack>(),
        spec::write::<paths::Delete>(),
        spec::write::<archive::Archive>(),
        spec::write::<unpack::Unpack>(),
        spec::write::<unpack::RemoveUnpacked>(),
        spec::write::<undo::RestoreBefore>(),
        spec::write::<undo::DeleteMade>(),
    ]
}
