//! Small JSON documents beside the journals: what a store keeps that belongs to no run. Written in batches, all or nothing, each write with
//! what it expects to find.

use serde::{Deserialize, Serialize};

use crate::model::{Timestamp, Value};

/// A document as stored.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Document {
    /// Tells it from the others of its kind; they are ordered by the bytes of this.
    pub key: String,
    /// Grows with every write in the store, of whatever document, and is never used twice: a document that was removed and made
    /// anew is not taken for the old one.
    pub version: u64,
    /// When it was written last, by the clock of who wrote it.
    pub at: Timestamp,
    /// What it says.
    pub body: Value,
}

/// What has to be there for a write to be done.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Expect {
    /// Nothing under that key.
    Absent,
    /// The document in this version.
    Version(u64),
    /// Anything, or nothing.
    Any,
}

/// One write of a batch.
#[derive(Clone, Debug, PartialEq)]
pub struct Write {
    /// `token`, `tick`: each belongs to one room.
    pub kind: String,
    /// See [`Document::key`].
    pub key: String,
    /// What has to be there.
    pub expect: Expect,
    /// What it says from now on; `None` removes it.
    pub body: Option<Value>,
}

impl Write {
    /// A document that must not be there yet.
    #[must_use]
    pub fn create(kind: &str, key: impl Into<String>, body: Value) -> Self {
        Self { kind: kind.to_owned(), key: key.into(), expect: Expect::Absent, body: Some(body) }
    }

    /// What a document that was read in this version says from now on.
    #[must_use]
    pub fn replace(kind: &str, read: &Document, body: Value) -> Self {
        Self { kind: kind.to_owned(), key: read.key.clone(), expect: Expect::Version(read.version), body: Some(body) }
    }

    /// A document that was read in this version, and is to go.
    #[must_use]
    pub fn remove(kind: &str, read: &Document) -> Self {
        Self { kind: kind.to_owned(), key: read.key.clone(), expect: Expect::Version(read.version), body: None }
    }
}

/// Which documents of a kind.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Query {
    /// Only those whose key begins with this.
    pub prefix: String,
    /// Only those beyond this key, in the order asked for: where the page before ended.
    pub after: Option<String>,
    /// From the last key to the first.
    pub newest_first: bool,
    /// At most so many; all when absent.
    pub limit: Option<usize>,
}

impl Query {
    /// Those whose key begins like this.
    #[must_use]
    pub fn prefix(prefix: impl Into<String>) -> Self {
        Self { prefix: prefix.into(), ..Self::default() }
    }

    /// Whether a key is among them, but for the limit.
    #[must_use]
    pub fn takes(&self, key: &str) -> bool {
        let beyond = |after: &String| if self.newest_first { key < after.as_str() } else { key > after.as_str() };
        key.starts_with(&self.prefix) && self.after.as_ref().is_none_or(beyond)
    }
}
