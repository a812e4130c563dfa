//! The playbooks that may be started here: those of the server's folders, and the shipped ones. By name, never by path.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use super::problem::Problem;
use crate::app::AppError;
use crate::app::prepare::load;
use crate::playbook::bundle::{Bundle, MAIN};
use crate::playbook::shipped;

/// The playbooks that may be started here.
#[derive(Clone, Debug)]
pub struct Catalog {
    folders: Vec<PathBuf>,
}

impl Catalog {
    /// Those below these folders, each of which holds playbooks or is one; and the shipped ones.
    #[must_use]
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders }
    }

    /// Their names, each with the folder it lies in; none for those that are shipped. What lies in a folder goes before what is shipped.
    #[must_use]
    pub fn names(&self) -> BTreeMap<String, Option<PathBuf>> {
        let mut names: BTreeMap<String, Option<PathBuf>> =
            shipped::names().map(|name| (name.to_owned(), None)).collect();
        for folder in &self.folders {
            if folder.join(MAIN).is_file() {
                if let Some(name) = name_of(folder) {
                    names.insert(name, Some(folder.clone()));
                }
                continue;
            }
            for entry in std::fs::read_dir(folder).into_iter().flatten().flatten() {
                let path = entry.path();
                if path.join(MAIN).is_file()
                    && let Some(name) = name_of(&path)
                {
                    names.insert(name, Some(path));
                }
            }
        }
        names
    }

    /// The playbook of that name, as it is now.
    ///
    /// # Errors
    /// When there is none, or it is not valid.
    pub fn load(&self, name: &str) -> Result<Bundle, Problem> {
        let names = self.names();
        let Some(folder) = names.get(name) else {
            return Err(Problem::no_such("playbook", name).hint("GET /api/v1/playbooks lists those there are"));
        };
        let bundle = match folder {
            Some(folder) => load(&folder.display().to_string()),
            None => Bundle::shipped(name).map_err(AppError::Playbook),
        };
        bundle.map_err(Problem::from)
    }
}

fn name_of(folder: &Path) -> Option<String> {
    // `.` has a name too, but only by its whole path.
    let whole = folder.canonicalize().ok()?;
    Some(whole.file_name()?.to_str()?.to_owned())
}
