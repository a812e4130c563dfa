//! Where things are, decided once from flags and environment.

use std::path::PathBuf;

use crate::model::command::Actor;

/// Where things are.
#[derive(Clone, Debug)]
pub struct Settings {
    /// The store's file.
    pub store: PathBuf,
    /// The binary that is re-executed as supervisor of children.
    pub supervisor: PathBuf,
    /// Who is at the keyboard.
    pub actor: Actor,
    /// Threads that drive runs.
    pub workers: usize,
    /// `$MUSTER_SCRIPT_TIME`: how long scripts may compute between two calls, like `5m`; 20 s if not given.
    pub script_time: Option<String>,
}

impl Settings {
    /// From the `--store` flag and the environment.
    #[must_use]
    pub fn from_environment(store: Option<PathBuf>) -> Self {
        Self {
            store: store.unwrap_or_else(default_store),
            supervisor: std::env::current_exe().unwrap_or_else(|_| PathBuf::from("muster")),
            actor: super::identity::actor(),
            workers: 8,
            script_time: std::env::var("MUSTER_SCRIPT_TIME").ok().filter(|text| !text.is_empty()),
        }
    }

    /// The folder beside the store: locks, keys, statuses of children.
    #[must_use]
    pub fn side_folder(&self) -> PathBuf {
        let mut name = self.store.clone().into_os_string();
        name.push(".d");
        PathBuf::from(name)
    }
}

/// `$MUSTER_STORE`, or `muster/muster.db` in the user's state folder.
#[must_use]
pub fn default_store() -> PathBuf {
    if let Some(path) = std::env::var_os("MUSTER_STORE").filter(|path| !path.is_empty()) {
        return PathBuf::from(path);
    }
    let state = std::env::var_os("XDG_STATE_HOME").filter(|path| !path.is_empty()).map(PathBuf::from);
    let home = || std::env::var_os("HOME").map(|home| PathBuf::from(home).join(".local/state"));
    state.or_else(home).unwrap_or_else(|| PathBuf::from("/var/lib")).join("muster/muster.db")
}
