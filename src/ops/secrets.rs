//! Secrets: what stands behind handles. They are resolved at the boundary, and whatever is resolved is redacted from then on.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use chacha20poly1305::aead::{Aead, KeyInit};
use chacha20poly1305::{ChaCha20Poly1305, Key, Nonce};
use hmac::{Hmac, Mac};
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::Sha256;

use super::dotenv;
use crate::model::Value;
use crate::model::fault::{ErrorClass, OpError};
use crate::model::secret::{HANDLE_KEY, Redactor, is_handle};

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
}

/// Resolves handles `{"$secret": {"provider": "env|file|dotenv|sealed", …}}`, and teaches the redactor what it resolved.
pub struct Secrets {
    redactor: Arc<Redactor>,
    /// The store's key, which seals literal secret parameters.
    key: [u8; 32],
}

impl Secrets {
    /// With this key and redactor.
    #[must_use]
    pub fn new(key: [u8; 32], redactor: Arc<Redactor>) -> Self {
        Self { redactor, key }
    }

    /// The redactor that learns what is resolved.
    #[must_use]
    pub fn redactor(&self) -> &Arc<Redactor> {
        &self.redactor
    }

    /// The contents behind a handle.
    ///
    /// # Errors
    /// Credentials, when the source is not there; refused, when the handle is none.
    pub fn resolve(&self, handle: &Value) -> Result<String, OpError> {
        let contents = self.read(&source_of(handle)?)?;
        self.redactor.learn(&contents);
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

    /// Learns the values of a source that scripts never ask for but whose contents output could show. How many there are.
    /// `from` is a file's path, or for `env` the variable's name; `keys` of a `.env` file, all of them when empty.
    ///
    /// # Errors
    /// Credentials, when the source is not there; refused, when there is no such provider.
    pub fn learn_source(&self, provider: &str, from: &str, keys: &[String]) -> Result<usize, OpError> {
        let values: Vec<String> = match provider {
            "env" => vec![self.read(&Source::Env { name: from.to_owned() })?],
            "file" => vec![self.read(&Source::File { path: from.into() })?],
            "dotenv" => {
                let mut values = read_dotenv(Path::new(from))?;
                if keys.is_empty() {
                    values.into_values().collect()
                } else {
                    keys.iter().filter_map(|key| values.remove(key)).collect()
                }
            }
            other => {
                return Err(OpError::refused(format!("`{other}` is not a source of secrets"))
                    .with_hint("there are `env`, `file` and `dotenv`"));
            }
        };
        for value in &values {
            self.redactor.learn(value);
        }
        Ok(values.len())
    }

    /// Tells one content of a secret from another without telling anything else: a keyed MAC, 16 hex digits.
    ///
    /// # Errors
    /// As [`Secrets::resolve`].
    pub fn version(&self, handle: &Value) -> Result<String, OpError> {
        let contents = self.resolve(handle)?;
        let mut mac = Hmac::<Sha256>::new_from_slice(&self.key)
            .map_err(|e| OpError::refused(format!("cannot tell the version of a secret: {e}")))?;
        mac.update(b"version of a secret\0");
        mac.update(contents.as_bytes());
        let mut text = super::files::hex(&mac.finalize().into_bytes());
        text.truncate(16);
        Ok(text)
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

fn source_of(handle: &Value) -> Result<Source, OpError> {
    let inner = handle.get(HANDLE_KEY).filter(|_| is_handle(handle));
    // The error of the decoder could quote the box, which is harmless, but also whatever else stands there.
    inner.and_then(|inner| Source::deserialize(inner).ok()).ok_or_else(|| {
        OpError::refused("this is not the handle of a secret")
            .with_hint("secrets come from parameters of type `secret` and from `fs.dotenv`")
    })
}

fn read_file(path: &Path) -> Result<String, OpError> {
    let cannot = |what: &dyn std::fmt::Display| missing(format!("cannot read secret from {}: {what}", path.display()));
    let meta = path.metadata().map_err(|e| cannot(&e))?;
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
        assert_eq!(secrets.learn_source("dotenv", path.to_str().unwrap(), &[]).unwrap(), 3);
        assert_eq!(secrets.redactor().scrub("battery-staple"), REDACTED);
    }

    #[test]
    fn a_version_changes_with_the_contents_and_the_key() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("key");
        let handle = json!({"$secret": {"provider": "file", "path": path}});
        std::fs::write(&path, "first-password\n").unwrap();
        let first = secrets().version(&handle).unwrap();
        assert_eq!((first.len(), secrets().version(&handle).unwrap()), (16, first.clone()));
        assert_ne!(Secrets::new([8; 32], Arc::default()).version(&handle).unwrap(), first);
        std::fs::write(&path, "other-password\n").unwrap();
        assert_ne!(secrets().version(&handle).unwrap(), first);
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
