//! The playbooks that may be started here: those of the server's folders, and the shipped ones. By name, never by path.
//!
//! A playbook is read again when one of its files is not the one that was read, and only then: what is held here is never older than what
//! lies in the folder.

use std::collections::{BTreeMap, HashMap};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::{Duration, SystemTime};

use parking_lot::Mutex;

use super::problem::Problem;
use crate::app::AppError;
use crate::app::prepare::load;
use crate::playbook::bundle::{Bundle, MAIN, MODELS};
use crate::playbook::shipped;

/// So many playbooks are held at most.
const MOST: usize = 1000;

/// A file that was changed less than this before it was read may be changed once more without its times telling: it is read again.
const TOO_FRESH: Duration = Duration::from_secs(2);

/// The playbooks that may be started here.
#[derive(Debug)]
pub struct Catalog {
    folders: Vec<PathBuf>,
    held: Mutex<HashMap<String, Held>>,
}

/// A playbook that was read.
#[derive(Clone, Debug)]
struct Held {
    /// Where it lies; none when it is shipped, and can never change.
    folder: Option<PathBuf>,
    /// What its files were like.
    marks: Vec<(PathBuf, Mark)>,
    models: Vec<String>,
    bundle: Arc<Bundle>,
}

/// Changes when a file is written, or another is put in its place.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Mark {
    file: (u64, u64),
    length: u64,
    written: (i64, i64),
    changed: (i64, i64),
}

impl Catalog {
    /// Those below these folders, each of which holds playbooks or is one; and the shipped ones.
    #[must_use]
    pub fn new(folders: Vec<PathBuf>) -> Self {
        Self { folders, held: Mutex::default() }
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
    pub fn load(&self, name: &str) -> Result<Arc<Bundle>, Problem> {
        let names = self.names();
        let Some(folder) = names.get(name) else {
            return Err(Problem::no_such("playbook", name).hint("GET /api/v1/playbooks lists those there are"));
        };
        self.load_from(name, folder.as_deref())
    }

    /// The same, for one that [`Catalog::names`] has just named, and its folder.
    ///
    /// # Errors
    /// When it is not valid.
    pub fn load_from(&self, name: &str, folder: Option<&Path>) -> Result<Arc<Bundle>, Problem> {
        let held = self.held.lock().get(name).cloned();
        if let Some(held) = held.filter(|held| held.is_of(folder)) {
            return Ok(held.bundle);
        }
        let now = SystemTime::now();
        let bundle = match folder {
            Some(folder) => load(&folder.display().to_string()),
            None => Bundle::shipped(name).map_err(AppError::Playbook),
        };
        let bundle = Arc::new(bundle?);
        let mut all = self.held.lock();
        if all.len() >= MOST {
            all.clear();
        }
        match Held::of(folder, &bundle, now) {
            Some(held) => drop(all.insert(name.to_owned(), held)),
            None => drop(all.remove(name)),
        }
        Ok(bundle)
    }
}

impl Held {
    /// What was read at this time; none when it may have changed since without its being seen.
    fn of(folder: Option<&Path>, bundle: &Arc<Bundle>, now: SystemTime) -> Option<Self> {
        let mut held = Self {
            folder: folder.map(Path::to_owned),
            marks: Vec::new(),
            models: Vec::new(),
            bundle: Arc::clone(bundle),
        };
        let Some(folder) = folder else { return Some(held) };
        let since = now.checked_sub(TOO_FRESH)?.duration_since(SystemTime::UNIX_EPOCH).ok()?;
        held.models = models(folder);
        if held.models.iter().any(|name| !bundle.files().contains_key(name)) {
            return None;
        }
        for (name, text) in bundle.files().iter().filter(|(name, _)| !name.starts_with("stdlib/")) {
            let path = folder.join(name);
            let mark = mark(&path)?;
            // Read after it was marked: it is the one that was marked that says so.
            if mark.changed.0 >= i64::try_from(since.as_secs()).ok()? || std::fs::read(&path).ok()? != text.as_bytes() {
                return None;
            }
            held.marks.push((path, mark));
        }
        Some(held)
    }

    fn is_of(&self, folder: Option<&Path>) -> bool {
        self.folder.as_deref() == folder
            && self.marks.iter().all(|(path, was)| mark(path) == Some(*was))
            && folder.is_none_or(|folder| models(folder) == self.models)
    }
}

fn mark(path: &Path) -> Option<Mark> {
    use std::os::unix::fs::MetadataExt as _;
    let of = std::fs::metadata(path).ok()?;
    Some(Mark {
        file: (of.dev(), of.ino()),
        length: of.len(),
        written: (of.mtime(), of.mtime_nsec()),
        changed: (of.ctime(), of.ctime_nsec()),
    })
}

/// The names of a playbook's models.
fn models(folder: &Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder.join(MODELS)).into_iter().flatten().flatten();
    let names = entries.filter_map(|entry| entry.file_name().into_string().ok());
    let mut names: Vec<String> = names
        .filter(|name| name.len() > ".rhai".len() && name.ends_with(".rhai") && !name.starts_with('.'))
        .map(|name| format!("{MODELS}/{name}"))
        .collect();
    names.sort();
    names
}

fn name_of(folder: &Path) -> Option<String> {
    // `.` has a name too, but only by its whole path.
    let whole = folder.canonicalize().ok()?;
    Some(whole.file_name()?.to_str()?.to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    const TEXT: &str = "muster: 1\nname: mine\nversion: 1.0.0\ntitle: First\nimports: [lib/own]\nsteps:\n  - { id: a, script: own::a() }\n";

    /// A catalog over a folder with a playbook, all of whose files were written an hour ago as far as times tell.
    fn catalog() -> (tempfile::TempDir, PathBuf, Catalog) {
        let folder = tempfile::tempdir().expect("a folder");
        let mine = folder.path().join("mine");
        std::fs::create_dir_all(mine.join("lib")).expect("a folder");
        std::fs::create_dir_all(mine.join(MODELS)).expect("a folder");
        std::fs::write(mine.join(MAIN), TEXT).expect("written");
        std::fs::write(mine.join("lib/own.rhai"), "fn a() { 1 }").expect("written");
        let catalog = Catalog::new(vec![folder.path().to_owned()]);
        (folder, mine, catalog)
    }

    /// As if it had been read long after it was written.
    fn hold(catalog: &Catalog, folder: &Path) -> Arc<Bundle> {
        let bundle = catalog.load("mine").expect("it is valid");
        let later = SystemTime::now() + Duration::from_secs(10);
        let held = Held::of(Some(folder), &bundle, later).expect("nothing has changed since");
        catalog.held.lock().insert("mine".to_owned(), held);
        bundle
    }

    #[test]
    fn a_playbook_is_read_once_and_again_as_soon_as_any_of_its_files_is_another() {
        type Change = fn(&Path);
        let changes: [(&str, Change); 5] = [
            ("its main file", |mine| {
                std::fs::write(mine.join(MAIN), TEXT.replace("First", "Other")).expect("written");
            }),
            ("a module", |mine| std::fs::write(mine.join("lib/own.rhai"), "fn a() { 2 }").expect("written")),
            ("a module put in place of it", |mine| {
                std::fs::write(mine.join("lib/new"), "fn a() { 3 }").expect("written");
                std::fs::rename(mine.join("lib/new"), mine.join("lib/own.rhai")).expect("renamed");
            }),
            ("a link to another", |mine| {
                std::fs::remove_file(mine.join("lib/own.rhai")).expect("removed");
                std::fs::write(mine.join("lib/far.rhai"), "fn a() { 4 }").expect("written");
                std::os::unix::fs::symlink("far.rhai", mine.join("lib/own.rhai")).expect("linked");
            }),
            ("a model more", |mine| {
                std::fs::write(mine.join(MODELS).join("tool.rhai"), "fn run(call) { #{} }").expect("written");
            }),
        ];
        for (what, change) in changes {
            let (_folder, mine, catalog) = catalog();
            let first = hold(&catalog, &mine);
            assert!(Arc::ptr_eq(&first, &catalog.load("mine").expect("held")), "read again before {what} changed");
            change(&mine);
            let second = catalog.load("mine").expect("it is valid");
            assert!(first.digest != second.digest, "{what} changed, and it was not seen");
        }
    }

    #[test]
    fn what_was_written_just_now_is_not_believed_to_stay() {
        let (_folder, mine, catalog) = catalog();
        let first = catalog.load("mine").expect("it is valid");
        assert!(catalog.held.lock().is_empty());
        assert!(Held::of(Some(&mine), &first, SystemTime::now()).is_none());
    }

    #[test]
    fn what_changed_while_it_was_read_is_not_held() {
        let (_folder, mine, catalog) = catalog();
        let first = catalog.load("mine").expect("it is valid");
        std::fs::write(mine.join("lib/own.rhai"), "fn a() { 5 }").expect("written");
        assert!(Held::of(Some(&mine), &first, SystemTime::now() + Duration::from_secs(10)).is_none());
    }

    #[test]
    fn a_shipped_playbook_is_read_once() {
        let catalog = Catalog::new(Vec::new());
        let name = crate::playbook::shipped::names().next().expect("one is shipped");
        assert!(Arc::ptr_eq(&catalog.load(name).expect("valid"), &catalog.load(name).expect("valid")));
    }
}
