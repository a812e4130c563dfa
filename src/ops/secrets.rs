//! Secrets: what stands behind handles. They are resolved at the boundary, and whatever is resolved is redacted from then on.

use std::collections::BTreeMap;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hmac::{Hmac, Mac};
use parking_lot::Mutex;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::Sha256;

use super::aws::secrets::document;
use super::aws::{Access, Aws, Line};
use super::dotenv;
use super::helm::client::Cluster;
use super::k8s::Clusters;
use crate::clock::SystemClock;
use crate::model::fault::{ErrorClass, OpError};
use crate::model::secret::{HANDLE_KEY, Redactor, Sighting, is_handle};
use crate::model::{RunId, Value};

/// Secrets longer than this are refused: a handle names a password or a key file, not a database.
const LARGEST: u64 = 1 << 20;
const NONCE_BYTES: usize = 12;

/// Where a secret's contents stand.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "provider", rename_all = "lowercase", deny_unknown_fields)]
enum Source {
    /// A variable of our environment.
    Env { name: String },
    /// A file; its last line end does not count.
    File { path: PathBuf },
    /// A key of a `.env` file.
    Dotenv { path: PathBuf, key: String },
    /// The handle itself: nonce and ciphertext under the store's key, in base64.
    Sealed { r#box: String },
    /// A version of a secret of AWS Secrets Manager, or a field of its JSON document.
    Aws {
        secret: String,
        version: String,
        #[serde(default)]
        key: Option<String>,
        #[serde(default)]
        aws: Access,
    },
    /// A key of a Secret of Kubernetes.
    K8s {
        namespace: String,
        name: String,
        key: String,
        #[serde(default)]
        cluster: Cluster,
    },
}

/// The handle of a key of a Secret of Kubernetes. A run that has used it pauses when the contents change.
#[must_use]
pub fn handle_in_kubernetes(namespace: &str, name: &str, key: &str, cluster: &Cluster) -> Value {
    json!({ HANDLE_KEY: { "provider": "k8s", "namespace": namespace, "name": name, "key": key, "cluster": cluster } })
}

/// The handle of a version of a secret of AWS Secrets Manager, or of a field of its JSON document. Its contents never change.
#[must_use]
pub fn handle_in_aws(secret: &str, version: &str, field: Option<&str>, access: &Access) -> Value {
    let mut inner = json!({ "provider": "aws", "secret": secret, "version": version, "aws": access });
    if let Some(field) = field {
        inner["key"] = json!(field);
    }
    json!({ HANDLE_KEY: inner })
}

/// Resolves handles `{"$secret": {"provider": "env|file|dotenv|aws|k8s|sealed", …}}`, and teaches the redactor what it resolved.
///
/// # Guarantees
/// After [`Secrets::refresh`] the redactor knows what the declared sources hold at that moment, as far as they are there.
pub struct Secrets {
    redactor: Arc<Redactor>,
    /// The store's key, which seals literal secret parameters.
    key: [u8; 32],
    /// The sources that playbooks declare.
    declared: Mutex<Vec<Declared>>,
    /// Where secrets of AWS come from.
    aws: Aws,
    /// Where credentials of Kubernetes are used.
    clusters: Clusters,
    /// Versions of secrets of AWS that have been read, by access, secret and version: a version never changes.
    fetched: Mutex<BTreeMap<(Access, String, String), String>>,
}

/// A source that a playbook declares, and how it was when its values were last learned.
struct Declared {
    what: What,
    learned: Option<Stamp>,
}

/// Whose values are to be redacted.
#[derive(Clone, Debug, PartialEq, Eq)]
enum What {
    Variable(String),
    Whole(PathBuf),
    /// These keys of a `.env` file; all when there are none.
    Keys(PathBuf, Vec<String>),
}

/// What changes when a file is written or replaced.
#[derive(Clone, Copy, PartialEq, Eq)]
struct Stamp {
    inode: (u64, u64),
    length: u64,
    changed: (i64, i64),
}

impl What {
    /// How the file is at present; `None` when there is none, as for a variable that is not set.
    fn stamp(&self) -> Result<Option<Stamp>, OpError> {
        let path = match self {
            Self::Variable(name) => {
                let stamp = Stamp { inode: (0, 0), length: 0, changed: (0, 0) };
                return Ok(std::env::var_os(name).map(|_| stamp));
            }
            Self::Whole(path) | Self::Keys(path, _) => path,
        };
        match path.metadata() {
            Ok(meta) => Ok(Some(Stamp {
                inode: (meta.dev(), meta.ino()),
                length: meta.len(),
                changed: (meta.ctime(), meta.ctime_nsec()),
            })),
            Err(e) if matches!(e.kind(), ErrorKind::NotFound | ErrorKind::NotADirectory) => Ok(None),
            Err(e) => Err(unreadable(path, &e)),
        }
    }
}

impl Secrets {
    /// With this key and redactor.
    #[must_use]
    pub fn new(key: [u8; 32], redactor: Arc<Redactor>) -> Self {
        Self {
            redactor,
            key,
            declared: Mutex::default(),
            aws: Aws::default(),
            clusters: Clusters::default(),
            fetched: Mutex::default(),
        }
    }

    /// The redactor that learns what is resolved.
    #[must_use]
    pub fn redactor(&self) -> &Arc<Redactor> {
        &self.redactor
    }

    /// The AWS accounts that this process can reach: secrets come from them too.
    #[must_use]
    pub fn aws(&self) -> &Aws {
        &self.aws
    }

    /// The clusters of Kubernetes that this process can reach.
    #[must_use]
    pub fn clusters(&self) -> &Clusters {
        &self.clusters
    }

    /// The contents behind a handle.
    ///
    /// # Errors
    /// Credentials, when the source is not there; refused, when the handle is none.
    pub fn resolve(&self, handle: &Value) -> Result<String, OpError> {
        let source = source_of(handle)?;
        let contents = self.read(&source)?;
        // A host is no secret because it stands beside one: it is looked up elsewhere too.
        if !matches!(&source, Source::Aws { key: Some(key), .. } if !document::is_confidential(key)) {
            self.redactor.learn(&contents);
        }
        Ok(contents)
    }

    /// The value with the contents in place of every handle in it.
    ///
    /// # Errors
    /// As [`Secrets::resolve`].
    pub fn resolve_in(&self, value: &Value) -> Result<Value, OpError> {
        match value {
            value if is_handle(value) => self.resolve(value).map(Value::String),
            Value::Array(items) => items.iter().map(|item| self.resolve_in(item)).collect(),
            Value::Object(fields) => {
                fields.iter().map(|(name, field)| Ok((name.clone(), self.resolve_in(field)?))).collect()
            }
            plain => Ok(plain.clone()),
        }
    }

    /// Encrypts a text under the store's key: a handle that carries it.
    ///
    /// # Errors
    /// When the system has no randomness.
    pub fn seal(&self, text: &str) -> Result<Value, OpError> {
        self.redactor.learn(text);
        let mut nonce = [0; NONCE_BYTES];
        let cannot = |what: String| OpError::refused(format!("cannot seal a secret: {what}"));
        getrandom::fill(&mut nonce).map_err(|e| cannot(e.to_string()))?;
        let sealed = self.cipher().encrypt(&Nonce::from(nonce), text.as_bytes()).map_err(|e| cannot(e.to_string()))?;
        let boxed = STANDARD.encode([&nonce[..], &sealed].concat());
        Ok(json!({ HANDLE_KEY: { "provider": "sealed", "box": boxed } }))
    }

    /// Has the values of a source redacted, which scripts may never ask for but whose contents output could show: at once as far as
    /// it is there, otherwise as soon as it is. `from` is a file's path, or for `env` the variable's name; `keys` of a `.env` file,
    /// all of them when empty.
    ///
    /// # Errors
    /// Credentials, when the source is there and cannot be read; refused, when there is no such provider. A source that is not
    /// there is none: a recovery may be what brings it back.
    pub fn declare(&self, provider: &str, from: &str, keys: &[String]) -> Result<(), OpError> {
        let what = match provider {
            "env" => What::Variable(from.to_owned()),
            "file" => What::Whole(from.into()),
            "dotenv" => What::Keys(from.into(), keys.to_vec()),
            other => {
                return Err(OpError::refused(format!("`{other}` is not a source of secrets"))
                    .with_hint("there are `env`, `file` and `dotenv`"));
            }
        };
        let mut source = Declared { what, learned: None };
        self.learn_anew(&mut source)?;
        let mut declared = self.declared.lock();
        if !declared.iter().any(|other| other.what == source.what) {
            declared.push(source);
        }
        Ok(())
    }

    /// Learns what declared sources hold that came or changed since they were last looked at. One that cannot be read just now is
    /// looked at again the next time.
    pub fn refresh(&self) {
        for source in self.declared.lock().iter_mut() {
            let _ = self.learn_anew(source);
        }
    }

    fn learn_anew(&self, source: &mut Declared) -> Result<(), OpError> {
        // Taken first: a write in between is seen the next time.
        let stamp = source.what.stamp()?;
        if stamp.is_none() || stamp == source.learned {
            return Ok(());
        }
        let values = match &source.what {
            What::Variable(name) => vec![self.read(&Source::Env { name: name.clone() })?],
            What::Whole(path) => vec![self.read(&Source::File { path: path.clone() })?],
            What::Keys(path, keys) => {
                let mut values = read_dotenv(path)?;
                if keys.is_empty() {
                    values.into_values().collect()
                } else {
                    keys.iter().filter_map(|key| values.remove(key)).collect()
                }
            }
        };
        for value in &values {
            self.redactor.learn(value);
        }
        source.learned = stamp;
        Ok(())
    }

    /// The secrets a value has handles of, each as it is now, as a run sees them. Those that cannot be read are left out, and so
    /// are sealed ones, whose contents are their handle.
    #[must_use]
    pub fn sightings(&self, run: &RunId, value: &Value) -> Vec<Sighting> {
        match value {
            handle if is_handle(handle) => match source_of(handle) {
                Ok(Source::Sealed { .. }) | Err(_) => Vec::new(),
                Ok(_) => {
                    self.version(run, handle).map(|mac| Sighting { handle: handle.clone(), mac }).into_iter().collect()
                }
            },
            Value::Array(items) => items.iter().flat_map(|item| self.sightings(run, item)).collect(),
            Value::Object(fields) => fields.values().flat_map(|field| self.sightings(run, field)).collect(),
            _ => Vec::new(),
        }
    }

    /// Tells one content of a secret from another without telling anything else: a keyed MAC, 32 hex digits. It is bound to run
    /// and handle, so that neither two runs nor two names of a run show that they have the same password.
    ///
    /// # Errors
    /// As [`Secrets::resolve`].
    pub fn version(&self, run: &RunId, handle: &Value) -> Result<String, OpError> {
        let contents = self.resolve(handle)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key)
            .map_err(|e| OpError::refused(format!("cannot tell the version of a secret: {e}")))?;
        mac.update(format!("version of a secret\0{run}\0{handle}\0").as_bytes());
        mac.update(contents.as_bytes());
        let mut text = super::files::hex(&mac.finalize().into_bytes());
        text.truncate(32);
        Ok(text)
    }

    /// Tells one text from another within a run without telling anything else: a keyed MAC, 32 hex digits.
    ///
    /// # Errors
    /// When the store's key is none.
    pub fn mark(&self, run: &RunId, text: &str) -> Result<String, OpError> {
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key)
            .map_err(|e| OpError::refused(format!("cannot mark a text: {e}")))?;
        mac.update(format!("mark of a text\0{run}\0").as_bytes());
        mac.update(text.as_bytes());
        let mut text = super::files::hex(&mac.finalize().into_bytes());
        text.truncate(32);
        Ok(text)
    }

    /// What stands in a version of a secret of AWS Secrets Manager. All of it that is confidential is redacted from then on.
    ///
    /// # Errors
    /// As AWS says; refused, when it holds no text.
    pub fn contents_in_aws(&self, access: &Access, secret: &str, version: &str) -> Result<String, OpError> {
        let what = (access.clone(), secret.to_owned(), version.to_owned());
        if let Some(known) = self.fetched.lock().get(&what) {
            return Ok(known.clone());
        }
        let line = Line::reading(self, access, None, &SystemClock)?;
        let contents = super::aws::secrets::contents(&line, secret, version)?;
        for text in document::confidential(&contents, &[]) {
            self.redactor.learn(&text);
        }
        self.fetched.lock().insert(what, contents.clone());
        Ok(contents)
    }

    fn cipher(&self) -> ChaCha20Poly1305 {
        ChaCha20Poly1305::new(&Key::from(self.key))
    }

    fn read(&self, source: &Source) -> Result<String, OpError> {
        match source {
            Source::Env { name } => std::env::var(name).map_err(|_| {
                missing(format!("cannot read secret: environment variable {name} is not set"))
                    .with_hint(format!("set {name} where muster runs, then resume"))
            }),
            Source::File { path } => {
                let text = read_file(path)?;
                Ok(text.strip_suffix('\n').map_or(&*text, |text| text.strip_suffix('\r').unwrap_or(text)).to_owned())
            }
            Source::Dotenv { path, key } => read_dotenv(path)?.remove(key).ok_or_else(|| {
                missing(format!("cannot read secret: {} has no {key}", path.display()))
                    .with_hint(format!("add {key}=… to that file, then resume"))
            }),
            Source::Aws { secret, version, key, aws } => {
                let contents = self.contents_in_aws(aws, secret, version)?;
                let Some(key) = key else { return Ok(contents) };
                document::field(&contents, key).ok_or_else(|| {
                    missing(format!("cannot read secret: version {version} of {secret} has no field `{key}`"))
                })
            }
            Source::K8s { namespace, name, key, cluster } => {
                let contents = super::k8s::secret_contents(&self.clusters, cluster, namespace, name, key)?;
                contents.ok_or_else(|| {
                    missing(format!("cannot read secret: Secret {namespace}/{name} has no {key}"))
                        .with_hint("is it the right cluster and namespace?")
                })
            }
            Source::Sealed { r#box } => {
                let broken = || {
                    missing("cannot open a sealed secret: it was sealed under another key".to_owned())
                        .with_hint("use the store (and its key file) in which the run was started")
                };
                let bytes = STANDARD.decode(r#box).map_err(|_| broken())?;
                let (nonce, sealed) = bytes.split_first_chunk::<NONCE_BYTES>().ok_or_else(broken)?;
                let opened = self.cipher().decrypt(&Nonce::from(*nonce), sealed).map_err(|_| broken())?;
                String::from_utf8(opened).map_err(|_| broken())
            }
        }
    }
}

fn missing(message: String) -> OpError {
    OpError::new(ErrorClass::Credentials, message)
}

/// A secret is needed, and the file it stands in is not there.
fn absent(path: &Path) -> OpError {
    // In the message: a run that waits for credentials shows no hint, only how to go on.
    missing(format!(
        "cannot read secret: there is no file {}, where it is expected; restore the configuration first, or put the file there",
        path.display()
    ))
}

fn source_of(handle: &Value) -> Result<Source, OpError> {
    let inner = handle.get(HANDLE_KEY).filter(|_| is_handle(handle));
    // The error of the decoder could quote the box, which is harmless, but also whatever else stands there.
    inner.and_then(|inner| Source::deserialize(inner).ok()).ok_or_else(|| {
        OpError::refused("this is not the handle of a secret")
            .with_hint("secrets come from parameters of type `secret` and from `fs.dotenv`")
    })
}

fn unreadable(path: &Path, what: &dyn std::fmt::Display) -> OpError {
    missing(format!("cannot read secret from {}: {what}", path.display()))
}

fn read_file(path: &Path) -> Result<String, OpError> {
    let cannot = |what: &dyn std::fmt::Display| unreadable(path, what);
    let meta = path.metadata().map_err(|e| match e.kind() {
        ErrorKind::NotFound => absent(path),
        _ => cannot(&e),
    })?;
    if meta.len() > LARGEST {
        return Err(cannot(&"it is larger than 1 MiB"));
    }
    std::fs::read_to_string(path).map_err(|e| cannot(&e))
}

fn read_dotenv(path: &Path) -> Result<BTreeMap<String, String>, OpError> {
    dotenv::parse(&read_file(path)?)
        .map_err(|what| missing(format!("cannot read secret from {}: {what}", path.display())))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::secret::REDACTED;

    fn secrets() -> Secrets {
        Secrets::new([7; 32], Arc::default())
    }

    #[test]
    fn a_sealed_secret_opens_under_its_key_alone() {
        let secrets = secrets();
        let handle = secrets.seal("correct horse").unwrap();
        assert!(!handle.to_string().contains("horse"));
        assert_eq!(secrets.resolve(&handle).unwrap(), "correct horse");
        let error = Secrets::new([8; 32], Arc::default()).resolve(&handle).unwrap_err();
        assert_eq!(error.class, ErrorClass::Credentials);
        assert_ne!(handle, secrets.seal("correct horse").unwrap());
    }

    #[test]
    fn what_is_resolved_is_redacted_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join(".env");
        std::fs::write(&path, "A=1\nPASSWORD='correct horse'\nOTHER=battery-staple\n").unwrap();
        let secrets = secrets();
        let handle = json!({"$secret": {"provider": "dotenv", "path": path, "key": "PASSWORD"}});
        let resolved = secrets.resolve_in(&json!({"a": [handle, 1]})).unwrap();
        assert_eq!(resolved, json!({"a": ["correct horse", 1]}));
        assert_eq!(secrets.redactor().scrub("it is correct horse"), format!("it is {REDACTED}"));
        assert_eq!(secrets.redactor().scrub("battery-staple"), "battery-staple");
        secrets.declare("dotenv", path.to_str().unwrap(), &[]).unwrap();
        assert_eq!(secrets.redactor().scrub("battery-staple"), REDACTED);
    }

    #[test]
    fn a_declared_file_may_come_later_and_change_and_is_redacted_from_then_on() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("local/.env");
        let from = path.to_str().unwrap();
        let secrets = secrets();
        secrets.declare("dotenv", from, &["PASSWORD".to_owned()]).unwrap();
        secrets.declare("env", "MUSTER_NO_SUCH", &[]).unwrap();
        std::fs::create_dir(dir.path().join("local")).unwrap();
        std::fs::write(&path, "PASSWORD=correct-horse\nPLAIN=battery-staple\n").unwrap();
        assert_eq!(secrets.redactor().scrub("correct-horse"), "correct-horse");
        secrets.refresh();
        assert_eq!(secrets.redactor().scrub("correct-horse"), REDACTED);
        assert_eq!(secrets.redactor().scrub("battery-staple"), "battery-staple");
        // Half written: looked at again when it is whole.
        std::fs::write(&path, "PASSWORD='other-hor").unwrap();
        secrets.refresh();
        std::fs::write(&path, "PASSWORD='other-horse'\n").unwrap();
        secrets.refresh();
        assert_eq!(secrets.redactor().scrub("other-horse, correct-horse"), format!("{REDACTED}, {REDACTED}"));
        assert!(secrets.declare("carrier pigeon", from, &[]).is_err());
        std::fs::write(&path, "no variable\n").unwrap();
        assert!(Secrets::new([7; 32], Arc::default()).declare("dotenv", from, &[]).is_err());
    }

    #[test]
    fn a_secret_of_a_file_that_is_not_there_says_where_it_is_expected() {
        let handle = json!({"$secret": {"provider": "dotenv", "path": "/srv/none/.env", "key": "PASSWORD"}});
        let error = secrets().resolve(&handle).unwrap_err();
        assert!(error.message.contains("/srv/none/.env, where it is expected"), "{error}");
        assert!(error.message.contains("restore the configuration first"), "{error}");
    }

    #[test]
    fn a_version_changes_with_the_contents_and_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let handle = json!({"$secret": {"provider": "file", "path": path}});
        std::fs::write(&path, "first-password\n").unwrap();
        let version = |secrets: &Secrets, run: u64| secrets.version(&RunId::from_entropy(run), &handle).unwrap();
        let first = version(&secrets(), 1);
        assert_eq!((first.len(), version(&secrets(), 1)), (32, first.clone()));
        assert_ne!(version(&Secrets::new([8; 32], Arc::default()), 1), first);
        assert_ne!(version(&secrets(), 2), first, "two runs do not show that they have the same password");
        std::fs::write(&path, "other-password\n").unwrap();
        assert_ne!(version(&secrets(), 1), first);
    }

    #[test]
    fn a_missing_source_asks_for_credentials_and_a_wrong_handle_is_refused() {
        let secrets = secrets();
        let class = |handle: Value| secrets.resolve(&handle).unwrap_err().class;
        assert_eq!(class(json!({"$secret": {"provider": "env", "name": "MUSTER_NO_SUCH"}})), ErrorClass::Credentials);
        assert_eq!(class(json!({"$secret": {"provider": "file", "path": "/no/such"}})), ErrorClass::Credentials);
        for wrong in [json!("text"), json!({"$secret": {"provider": "carrier pigeon"}}), json!({"$secret": 1, "x": 2})]
        {
            assert_eq!(class(wrong), ErrorClass::Refused);
        }
    }
}
