//! What a program sees of the world's files: the host's, or a container's own with its mounts laid over them.

use super::tree::{Branch, Tree, inside, join, normal};
use super::world::World;

/// Where a program runs.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct View {
    /// The container; the host when absent.
    pub container: Option<String>,
    /// The working directory.
    pub cwd: String,
}

/// A tree of the world.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Store {
    Host,
    Volume(String),
    Container(String),
}

/// Where a path of a view lies in the world.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Place {
    store: Store,
    /// The path in its tree.
    pub path: String,
    /// Whether it cannot be written.
    pub read_only: bool,
}

impl View {
    /// What a program of the host sees.
    #[must_use]
    pub fn host(cwd: &str) -> Self {
        Self { container: None, cwd: normal(cwd) }
    }

    /// What a program in a container sees.
    #[must_use]
    pub fn container(name: &str) -> Self {
        Self { container: Some(name.to_owned()), cwd: "/".to_owned() }
    }

    /// The absolute path of what a program calls `path`.
    #[must_use]
    pub fn absolute(&self, path: &str) -> String {
        if path.starts_with('/') { normal(path) } else { join(&self.cwd, path) }
    }

    /// Whether something is mounted exactly here.
    #[must_use]
    pub fn is_mount(&self, world: &World, path: &str) -> bool {
        let path = self.absolute(path);
        let container = self.container.as_ref().and_then(|name| world.containers.get(name));
        container.is_some_and(|container| container.mounts.iter().any(|mount| mount.at == path))
    }

    /// Where a path lies.
    #[must_use]
    pub fn place(&self, world: &World, path: &str) -> Place {
        let path = self.absolute(path);
        let Some(name) = &self.container else {
            return Place { store: Store::Host, path, read_only: false };
        };
        let mounts = world.containers.get(name).map(|container| container.mounts.as_slice()).unwrap_or_default();
        let over = mounts.iter().filter_map(|mount| Some((mount, inside(&path, &mount.at)?.to_owned())));
        match over.max_by_key(|(mount, _)| mount.at.len()) {
            Some((mount, rest)) => match (&mount.volume, &mount.bind) {
                (Some(volume), _) => {
                    Place { store: Store::Volume(volume.clone()), path: rest, read_only: mount.read_only }
                }
                (None, Some(folder)) => {
                    Place { store: Store::Host, path: join(folder, &rest), read_only: mount.read_only }
                }
                (None, None) => Place { store: Store::Container(name.clone()), path, read_only: mount.read_only },
            },
            None => Place { store: Store::Container(name.clone()), path, read_only: false },
        }
    }
}

impl Place {
    /// Its key, as plans name things.
    #[must_use]
    pub fn key(&self) -> String {
        match &self.store {
            Store::Host => super::sight::host_key(&self.path),
            Store::Volume(name) => format!("volume/{name}/files{}", self.path),
            Store::Container(name) => format!("docker/{name}/files{}", self.path),
        }
    }

    /// Whether it is a path of the host.
    #[must_use]
    pub fn is_host(&self) -> bool {
        self.store == Store::Host
    }

    /// The tree it lies in.
    #[must_use]
    pub fn tree<'w>(&self, world: &'w World) -> Option<&'w Tree> {
        match &self.store {
            Store::Host => Some(&world.files),
            Store::Volume(name) => world.volumes.get(name).map(|volume| &volume.files),
            Store::Container(name) => world.containers.get(name).map(|container| &container.files),
        }
    }

    /// The tree it lies in, to be changed.
    pub fn tree_mut<'w>(&self, world: &'w mut World) -> Option<&'w mut Tree> {
        match &self.store {
            Store::Host => Some(&mut world.files),
            Store::Volume(name) => world.volumes.get_mut(name).map(|volume| &mut volume.files),
            Store::Container(name) => world.containers.get_mut(name).map(|container| &mut container.files),
        }
    }

    /// Whether anything is there.
    #[must_use]
    pub fn exists(&self, world: &World) -> bool {
        self.tree(world).is_some_and(|tree| tree.exists(&self.path))
    }

    /// Whether a folder is there.
    #[must_use]
    pub fn is_dir(&self, world: &World) -> bool {
        self.tree(world).is_some_and(|tree| tree.is_dir(&self.path))
    }

    /// What is there, with all below it.
    #[must_use]
    pub fn branch(&self, world: &World) -> Option<Branch> {
        self.tree(world).filter(|tree| tree.exists(&self.path)).map(|tree| tree.branch(&self.path))
    }

    /// Whether both lie in the same tree.
    #[must_use]
    pub fn same_tree(&self, other: &Self) -> bool {
        self.store == other.store
    }
}
