//! A bundle: everything that decides what a playbook does, under one digest.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::diagnostic::{Collector, Diagnostic, has_errors};
use super::gaps::Partial;
use super::types::Playbook;
use super::{load, shipped, stdlib, yaml};
use crate::model::span::{Source, Span, Spanned};

/// The file every playbook has.
pub const MAIN: &str = "playbook.yaml";
/// The file with the world in which a playbook is rehearsed. It does not decide what the playbook does: it is in no bundle.
pub const WORLD: &str = "world.yaml";
/// The folder with a playbook's own models: what its programs do to the world of a plan or of the sandbox. Part of its bundle.
pub const MODELS: &str = "models";
/// Bytes in one module.
const MAX_MODULE: usize = 512 << 10;
/// Modules in one bundle.
const MAX_MODULES: usize = 64;

/// A module that a playbook imports, directly or through another.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ModuleSource {
    /// As imported: `stdlib/pg`, `lib/mine`.
    pub path: String,
    /// Its text.
    pub text: String,
}

/// What is stored under the digest.
#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Stored {
    bundle: u32,
    files: BTreeMap<String, String>,
}

/// Everything that decides what a playbook does.
#[derive(Clone, Debug)]
pub struct Bundle {
    /// The playbook.
    pub playbook: Playbook,
    /// SHA-256 of [`Bundle::to_bytes`], in hex.
    pub digest: String,
    /// Its modules, each after those it imports.
    pub modules: Vec<ModuleSource>,
    /// Its models, by path: `models/seal`.
    pub models: Vec<ModuleSource>,
    /// The texts that spans point into; 0 is the playbook, then the modules in order, then the models.
    pub sources: Vec<Source>,
    files: BTreeMap<String, String>,
}

/// Why there is no bundle.
#[derive(Debug, thiserror::Error)]
pub enum BundleError {
    /// Nothing of that name.
    #[error("there is no playbook `{name}`: no folder {name} with a {MAIN}, none in ./playbooks, none shipped")]
    NotFound { name: String, likely: Option<String> },
    /// A file.
    #[error("cannot read {path}: {source}")]
    Read { path: String, source: std::io::Error },
    /// What it says does not stand up to the checks. `partial` is what could be read all the same; none when the text is no YAML.
    #[error("the playbook is not valid")]
    Invalid { diagnostics: Vec<Diagnostic>, sources: Vec<Source>, partial: Option<Box<Partial>> },
    /// Stored bytes that are no bundle of a format this program reads.
    #[error("these bytes are no bundle: {0}")]
    Stored(String),
}

/// Where the files of a playbook come from.
enum Origin {
    Folder(PathBuf),
    Shipped(&'static str),
    Stored(BTreeMap<String, String>),
}

impl Origin {
    /// The bytes of a file of the playbook; `None` when there is none.
    fn read(&self, name: &str) -> Result<Option<Vec<u8>>, BundleError> {
        match self {
            Self::Stored(files) => Ok(files.get(name).map(|text| text.clone().into_bytes())),
            Self::Shipped(playbook) => Ok(shipped::file(playbook, name).map(|text| text.as_bytes().to_vec())),
            Self::Folder(folder) => {
                let path = folder.join(name);
                // One byte more than is allowed tells that it is too large without reading a disk full of it.
                match std::fs::File::open(&path) {
                    Ok(file) => {
                        let mut bytes = Vec::new();
                        std::io::Read::read_to_end(
                            &mut std::io::Read::take(file, yaml::MAX_FILE as u64 + 1),
                            &mut bytes,
                        )
                        .map_err(|source| BundleError::Read { path: path.display().to_string(), source })?;
                        Ok(Some(bytes))
                    }
                    Err(error) if error.kind() == std::io::ErrorKind::NotFound => Ok(None),
                    Err(source) => Err(BundleError::Read { path: path.display().to_string(), source }),
                }
            }
        }
    }

    /// Whether a file, if it is there, lies in the playbook's folder also when links are followed.
    fn holds(&self, name: &str) -> bool {
        let Self::Folder(folder) = self else { return true };
        match (folder.canonicalize(), folder.join(name).canonicalize()) {
            (Ok(folder), Ok(file)) => file.starts_with(folder),
            _ => true,
        }
    }

    fn shown(&self, name: &str) -> String {
        match self {
            Self::Folder(folder) => folder.join(name).display().to_string(),
            Self::Shipped(playbook) => format!("{playbook}/{name}"),
            Self::Stored(_) => name.to_owned(),
        }
    }

    /// The files of a folder whose names end so, in order.
    fn list(&self, folder: &str, ending: &str) -> Vec<String> {
        let fits = |name: &str| {
            name.strip_prefix(folder).and_then(|rest| rest.strip_prefix('/')).is_some_and(|name| {
                name.ends_with(ending) && name.len() > ending.len() && !name.contains('/') && !name.starts_with('.')
            })
        };
        let mut names: Vec<String> = match self {
            Self::Folder(root) => std::fs::read_dir(root.join(folder))
                .into_iter()
                .flatten()
                .filter_map(|entry| entry.ok()?.file_name().into_string().ok())
                .map(|name| format!("{folder}/{name}"))
                .filter(|name| fits(name))
                .collect(),
            Self::Shipped(playbook) => shipped::files(playbook).filter(|name| fits(name)).map(str::to_owned).collect(),
            Self::Stored(files) => files.keys().filter(|name| fits(name)).cloned().collect(),
        };
        names.sort();
        names
    }
}

impl Bundle {
    /// Loads a playbook named by a folder, by a name in `./playbooks`, or by the name of a shipped one.
    ///
    /// # Errors
    /// When there is none, a file cannot be read, or its form is wrong: then with everything that is wrong.
    pub fn load(name: &str) -> Result<Self, BundleError> {
        Self::from_origin(&find(name)?)
    }

    /// Loads a playbook that stands in the binary, whatever lies in the current folder.
    ///
    /// # Errors
    /// When there is none of that name.
    pub fn shipped(name: &str) -> Result<Self, BundleError> {
        let name = shipped::name(name).ok_or_else(|| BundleError::NotFound { name: name.to_owned(), likely: None })?;
        Self::from_origin(&Origin::Shipped(name))
    }

    /// Reads a bundle back that [`Bundle::to_bytes`] wrote.
    ///
    /// # Assumptions
    /// Some version of this program accepted the playbook when it was stored. What comes from elsewhere is to be loaded as new.
    ///
    /// # Guarantees
    /// Runs are pinned to their bundles, so only what is needed to run is asked for: the format. Rules for authors that became
    /// stricter since are not applied, and the modules are the stored ones, those of the standard library too.
    ///
    /// # Errors
    /// When the bytes are none, or the playbook in them is not of the format.
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, BundleError> {
        let stored: Stored = serde_json::from_slice(bytes).map_err(|error| BundleError::Stored(error.to_string()))?;
        if stored.bundle != 1 {
            return Err(BundleError::Stored(format!("they are of format {}, this program reads 1", stored.bundle)));
        }
        Self::from_origin(&Origin::Stored(stored.files))
    }

    /// The canonical bytes: the same files give the same bytes.
    #[must_use]
    pub fn to_bytes(&self) -> Vec<u8> {
        canonical(&self.files)
    }

    /// The files by name: `playbook.yaml`, modules as `stdlib/pg.rhai`.
    #[must_use]
    pub fn files(&self) -> &BTreeMap<String, String> {
        &self.files
    }

    fn from_origin(origin: &Origin) -> Result<Self, BundleError> {
        let mut collector = Collector::default();
        let bytes =
            origin.read(MAIN)?.ok_or_else(|| BundleError::NotFound { name: origin.shown(MAIN), likely: None })?;
        let text: Arc<str> = String::from_utf8_lossy(&bytes).into();
        let mut sources = vec![Source { name: origin.shown(MAIN), text: Arc::clone(&text) }];
        let Some(tree) = yaml::parse(&bytes, 0, &mut collector) else {
            return Err(BundleError::Invalid { diagnostics: collector.finish(), sources, partial: None });
        };
        let stored = matches!(origin, Origin::Stored(_));
        let read = if stored { load::read_stored } else { load::read };
        let (playbook, mut gaps) = read(&tree, &text, &mut collector);
        let mut files = BTreeMap::from([(MAIN.to_owned(), text.to_string())]);
        let mut gathering = Gathering {
            origin,
            collector: &mut collector,
            sources: &mut sources,
            files: &mut files,
            modules: Vec::new(),
            open: Vec::new(),
        };
        for import in &playbook.imports {
            gathering.module(import)?;
        }
        let models = gathering.models()?;
        let modules = gathering.modules;
        let diagnostics = collector.finish();
        if has_errors(&diagnostics) {
            gaps.note_text(&diagnostics);
            let partial = Some(Box::new(Partial { playbook, modules, models, gaps }));
            return Err(BundleError::Invalid { diagnostics, sources, partial });
        }
        let digest = hex(&Sha256::digest(canonical(&files)));
        Ok(Self { playbook, digest, modules, models, sources, files })
    }
}

/// Modules, each after those it imports.
struct Gathering<'g> {
    origin: &'g Origin,
    collector: &'g mut Collector,
    sources: &'g mut Vec<Source>,
    files: &'g mut BTreeMap<String, String>,
    modules: Vec<ModuleSource>,
    open: Vec<String>,
}

impl Gathering<'_> {
    fn module(&mut self, import: &Spanned<String>) -> Result<(), BundleError> {
        let path = import.value.as_str();
        if self.modules.iter().any(|module| module.path == path) {
            return Ok(());
        }
        if self.open.iter().any(|open| open == path) {
            let circle = [self.open.as_slice(), &[path.to_owned()]].concat().join(" → ");
            self.collector.push(Diagnostic::error(
                "import-cycle",
                import.span,
                format!("modules import each other: {circle}"),
            ));
            return Ok(());
        }
        let file = format!("{path}.rhai");
        // What is stored is found by name, not as a file; and its sizes are what they were.
        let stored = matches!(self.origin, Origin::Stored(_));
        let inside = stored
            || (!path.is_empty()
                && path.split('/').all(|part| !matches!(part, "" | "." | ".."))
                && !path.contains('\\')
                && self.origin.holds(&file));
        if !inside {
            let message = format!("`{path}` is no plain path within the playbook's folder");
            self.collector.push(
                Diagnostic::error("import-path", import.span, message)
                    .hint("import modules of the folder, or of `stdlib/`"),
            );
            return Ok(());
        }
        if !stored && self.modules.len() + self.open.len() >= MAX_MODULES {
            self.collector.push(Diagnostic::error(
                "too-many-modules",
                import.span,
                format!("more than {MAX_MODULES} modules"),
            ));
            return Ok(());
        }
        let found = match (self.origin, path.strip_prefix("stdlib/")) {
            // A run keeps the standard library it began with.
            (Origin::Stored(_), _) | (_, None) => self.origin.read(&file)?,
            (_, Some(name)) => stdlib::module(name).map(|text| text.as_bytes().to_vec()),
        };
        let Some(bytes) = found else {
            let known: Vec<String> = stdlib::names().map(|name| format!("stdlib/{name}")).collect();
            let message = format!("there is no module `{path}`");
            self.collector.push(
                Diagnostic::error("no-module", import.span, message).likely(path, known.iter().map(String::as_str)),
            );
            return Ok(());
        };
        let text = match String::from_utf8(bytes) {
            Ok(text) if stored || text.len() <= MAX_MODULE => text,
            Ok(_) => {
                self.collector.push(Diagnostic::error(
                    "too-large",
                    import.span,
                    format!("module `{path}` has more than {MAX_MODULE} bytes"),
                ));
                return Ok(());
            }
            Err(_) => {
                self.collector.push(Diagnostic::error(
                    "not-utf8",
                    import.span,
                    format!("module `{path}` is not UTF-8"),
                ));
                return Ok(());
            }
        };
        let name = if path.starts_with("stdlib/") { file.clone() } else { self.origin.shown(&file) };
        let number = u16::try_from(self.sources.len()).unwrap_or(u16::MAX);
        self.sources.push(Source { name, text: text.as_str().into() });
        self.files.insert(file, text.clone());
        self.open.push(path.to_owned());
        for inner in imports_of(&text, number) {
            self.module(&inner)?;
        }
        self.open.pop();
        self.modules.push(ModuleSource { path: path.to_owned(), text });
        Ok(())
    }
}

impl Gathering<'_> {
    /// The models of the playbook: the files of their folder. What is imported as a module is none.
    fn models(&mut self) -> Result<Vec<ModuleSource>, BundleError> {
        let stored = matches!(self.origin, Origin::Stored(_));
        let mut models: Vec<ModuleSource> = Vec::new();
        for file in self.origin.list(MODELS, ".rhai") {
            let path = file.strip_suffix(".rhai").unwrap_or(&file).to_owned();
            if self.files.contains_key(&file) {
                continue;
            }
            let mut fault = |code: &'static str, message: String| {
                self.collector.push(Diagnostic::error(code, Span::default(), message));
            };
            if !stored && models.len() >= MAX_MODULES {
                fault("too-many-modules", format!("more than {MAX_MODULES} models"));
                break;
            }
            if !self.origin.holds(&file) {
                fault("import-path", format!("`{file}` lies outside of the playbook's folder"));
                continue;
            }
            let Some(bytes) = self.origin.read(&file)? else { continue };
            let text = match String::from_utf8(bytes) {
                Ok(text) if stored || text.len() <= MAX_MODULE => text,
                Ok(_) => {
                    fault("too-large", format!("model `{path}` has more than {MAX_MODULE} bytes"));
                    continue;
                }
                Err(_) => {
                    fault("not-utf8", format!("model `{path}` is not UTF-8"));
                    continue;
                }
            };
            self.sources.push(Source { name: self.origin.shown(&file), text: text.as_str().into() });
            self.files.insert(file, text.clone());
            models.push(ModuleSource { path, text });
        }
        Ok(models)
    }
}

/// The modules a module imports: lines `import "stdlib/x" as x;` at its top, before anything but comments.
fn imports_of(text: &str, source: u16) -> Vec<Spanned<String>> {
    let mut found = Vec::new();
    let mut at = 0;
    for line in text.split_inclusive('\n') {
        let trimmed = line.trim();
        if let Some(rest) = trimmed.strip_prefix("import ") {
            if let Some(path) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split('"').next()) {
                let from = at + line.find(path).unwrap_or(0);
                found.push(Spanned::new(path.to_owned(), Span::new(source, from, from + path.len())));
            }
        } else if !trimmed.is_empty() && !trimmed.starts_with("//") {
            break;
        }
        at += line.len();
    }
    found
}

/// The world in which a playbook is rehearsed: the name of its file, and its text. `None` when it has none.
///
/// # Errors
/// When there is no such playbook, or the file cannot be read.
pub fn world(name: &str) -> Result<Option<(String, String)>, BundleError> {
    let origin = find(name)?;
    let Some(bytes) = origin.read(WORLD)? else { return Ok(None) };
    Ok(Some((origin.shown(WORLD), String::from_utf8_lossy(&bytes).into_owned())))
}

/// The folder with a playbook's own tests. They do not decide what it does: they are in no bundle.
pub const TESTS: &str = "tests";

/// A file beside a playbook, such as a world that a test names: how it is called for people, and its text. `None` when there is none.
///
/// # Errors
/// When there is no such playbook, or the file cannot be read.
pub fn file_beside(playbook: &str, file: &str) -> Result<Option<(String, String)>, BundleError> {
    let origin = find(playbook)?;
    let plain = file.split('/').all(|part| !matches!(part, "" | "." | "..")) && origin.holds(file);
    let Some(bytes) = (if plain { origin.read(file)? } else { None }) else { return Ok(None) };
    Ok(Some((origin.shown(file), String::from_utf8_lossy(&bytes).into_owned())))
}

/// The files of a playbook's tests, by name: how each is called for people, and its bytes.
///
/// # Errors
/// When there is no such playbook, or a file cannot be read.
pub fn tests(playbook: &str) -> Result<Vec<(String, Vec<u8>)>, BundleError> {
    let origin = find(playbook)?;
    let mut files = Vec::new();
    for name in origin.list(TESTS, ".yaml") {
        files.extend(origin.read(&name)?.map(|bytes| (origin.shown(&name), bytes)));
    }
    Ok(files)
}

fn find(name: &str) -> Result<Origin, BundleError> {
    let given = Path::new(name);
    let folder = if given.file_name().is_some_and(|file| file == MAIN) {
        given.parent().unwrap_or(given).to_owned()
    } else {
        given.to_owned()
    };
    if folder.join(MAIN).is_file() {
        return Ok(Origin::Folder(folder));
    }
    let plain = given.components().count() == 1;
    let local = Path::new("playbooks").join(name);
    if plain && local.join(MAIN).is_file() {
        return Ok(Origin::Folder(local));
    }
    if let (true, Some(name)) = (plain, shipped::name(name)) {
        return Ok(Origin::Shipped(name));
    }
    let folders = std::fs::read_dir("playbooks").into_iter().flatten();
    let folders = folders.filter_map(|entry| entry.ok()?.file_name().into_string().ok());
    let shipped = shipped::names().map(str::to_owned);
    let known: Vec<String> = folders.chain(shipped).collect();
    let likely = super::diagnostic::likely(name, known.iter().map(String::as_str)).map(str::to_owned);
    Err(BundleError::NotFound { name: name.to_owned(), likely })
}

fn canonical(files: &BTreeMap<String, String>) -> Vec<u8> {
    let stored = Stored { bundle: 1, files: files.clone() };
    serde_json::to_vec(&stored).expect("texts under texts always become JSON")
}

/// Bytes as lower-case hex.
#[must_use]
pub fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
