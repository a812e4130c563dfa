//! The worlds of a run, kept on disk: one after every effect, so that the run can be resumed and looked at.

use std::io;
use std::path::{Path, PathBuf};

use super::world::World;

/// The worlds of one run.
#[derive(Clone, Debug)]
pub struct KeptWorlds {
    folder: PathBuf,
}

impl KeptWorlds {
    /// In this folder, which need not be there yet.
    #[must_use]
    pub fn in_folder(folder: PathBuf) -> Self {
        Self { folder }
    }

    /// Where they are.
    #[must_use]
    pub fn folder(&self) -> &Path {
        &self.folder
    }

    /// Keeps the world as it is after the effect with this key; without one, as it is before the first.
    ///
    /// # Errors
    /// When it cannot be written.
    pub fn keep(&self, world: &World, key: Option<&str>) -> io::Result<()> {
        std::fs::create_dir_all(&self.folder)?;
        let number = self.names()?.last().map_or(0, |(number, _)| number + 1);
        let name = format!("{number:06}.{}.json", key.unwrap_or("begin"));
        let part = self.folder.join(".part");
        let bytes = serde_json::to_vec(world).map_err(io::Error::other)?;
        std::fs::write(&part, bytes)?;
        std::fs::rename(part, self.folder.join(name))
    }

    /// The world as it was left.
    ///
    /// # Errors
    /// When there is none, or it cannot be read.
    pub fn latest(&self) -> io::Result<World> {
        let names = self.names()?;
        let (_, name) =
            names.last().ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no world was kept here"))?;
        self.read(name)
    }

    /// The world after the last of these effects that it was kept after; before the first effect when there is none.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn after<'k>(&self, keys: impl Iterator<Item = &'k str>) -> io::Result<World> {
        let names = self.names()?;
        let keys: std::collections::HashSet<&str> = keys.collect();
        let of = |name: &str| name.split_once('.').and_then(|(_, rest)| rest.strip_suffix(".json")).map(str::to_owned);
        let last = names
            .iter()
            .rev()
            .find(|(_, name)| of(name).is_some_and(|key| keys.contains(key.as_str())))
            .or_else(|| names.first());
        let (_, name) = last.ok_or_else(|| io::Error::new(io::ErrorKind::NotFound, "no world was kept here"))?;
        self.read(name)
    }

    fn read(&self, name: &str) -> io::Result<World> {
        serde_json::from_slice(&std::fs::read(self.folder.join(name))?).map_err(io::Error::other)
    }

    fn names(&self) -> io::Result<Vec<(u64, String)>> {
        let mut names: Vec<(u64, String)> = std::fs::read_dir(&self.folder)?
            .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
            .filter_map(|name| Some((name.split_once('.')?.0.parse().ok()?, name)))
            .collect();
        names.sort();
        Ok(names)
    }
}
