//! The audit log: every act that administers or orders something, let happen or not. Each entry holds the hash of the one before, so
//! that none can be changed, left out or put in without its being found.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::AccessError;
use super::identity::{Identity, Means};
use super::secret;
use crate::journal::{Document, Query, Store, StoreError, Write};
use crate::model::Timestamp;

/// The kind of document an entry is.
pub const KIND: &str = "audit";

/// How often an append is tried anew when another process was faster.
const TRIES: usize = 50;

/// How many entries are read at a time.
const PAGE: usize = 500;

/// What is to be written down.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Deed {
    /// What was done, or was not let happen: the name of an act, or `login`.
    pub act: String,
    /// What it was done to: `run 7k3f9q2m4x1a`, `token alice (7k3f9q2m)`.
    pub on: String,
    /// Why it was not let happen.
    pub denied: Option<String>,
    /// More about it, by name. Never a secret.
    pub details: BTreeMap<String, String>,
}

impl Deed {
    /// Something that was let happen.
    pub fn done(act: impl Into<String>, on: impl Into<String>) -> Self {
        Self { act: act.into(), on: on.into(), denied: None, details: BTreeMap::new() }
    }

    /// Adds a detail.
    #[must_use]
    pub fn with(mut self, name: &str, text: impl Into<String>) -> Self {
        self.details.insert(name.to_owned(), text.into());
        self
    }
}

/// An entry of the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Entry {
    /// Counts from 1.
    pub seq: u64,
    /// When.
    #[schemars(with = "String")]
    pub at: Timestamp,
    /// Who.
    pub who: String,
    /// How that is known.
    pub means: Means,
    /// What was done: the name of an act, or `login`.
    pub act: String,
    /// What to.
    pub on: String,
    /// Why it was not let happen; absent when it was.
    pub denied: Option<String>,
    /// More about it.
    pub details: BTreeMap<String, String>,
    /// The hash of the entry before; empty in the first.
    pub previous: String,
    /// SHA-256 over all this.
    pub hash: String,
}

impl Entry {
    fn new(seq: u64, at: Timestamp, by: &Identity, deed: Deed, previous: String) -> Self {
        let Deed { act, on, denied, details } = deed;
        let (who, means) = (by.name.clone(), by.means.clone());
        let mut entry = Self { seq, at, who, means, act, on, denied, details, previous, hash: String::new() };
        entry.hash = entry.digest();
        entry
    }

    /// The hash that the entry has to have.
    fn digest(&self) -> String {
        let bare = Self { hash: String::new(), ..self.clone() };
        // Fields stand in the order of the type, and a map in that of its keys: the same entry is always the same text.
        secret::digest(&serde_json::to_string(&bare).unwrap_or_default())
    }

    fn of(document: &Document) -> Result<Self, AccessError> {
        serde_json::from_value(document.body.clone()).map_err(|error| AccessError::Audit {
            seq: document.key.parse().unwrap_or(0),
            what: format!("it is no entry: {error}"),
        })
    }

    fn write(&self) -> Result<Write, AccessError> {
        let body = serde_json::to_value(self)
            .map_err(|error| AccessError::Audit { seq: self.seq, what: error.to_string() })?;
        Ok(Write::create(KIND, key(self.seq), body))
    }
}

/// Keys are ordered as the entries are.
fn key(seq: u64) -> String {
    format!("{seq:016}")
}

/// Appends an entry, and writes documents that belong to what it says in the same transaction: there is no deed without its entry.
/// Returns the entry. `more` makes these documents, from the number of the entry.
///
/// # Errors
/// [`StoreError::Conflict`] when one of `more` is not as expected; nothing is written then.
pub fn record(
    store: &dyn Store,
    by: &Identity,
    deed: &Deed,
    now: Timestamp,
    more: &dyn Fn(u64) -> Result<Vec<Write>, AccessError>,
) -> Result<Entry, AccessError> {
    for _ in 0..TRIES {
        let last = last(store)?;
        let (seq, previous, since) = last.map_or((1, String::new(), now), |last| (last.seq + 1, last.hash, last.at));
        // A clock that was put back does not turn the log around.
        let entry = Entry::new(seq, now.max(since), by, deed.clone(), previous);
        let mut writes = vec![entry.write()?];
        writes.extend(more(seq)?);
        match store.write_documents(&writes, now) {
            Ok(()) => return Ok(entry),
            Err(StoreError::Conflict { kind, .. }) if kind == KIND => {}
            Err(error) => return Err(error.into()),
        }
    }
    Err(StoreError::Conflict { kind: KIND.to_owned(), key: "the newest".to_owned() }.into())
}

/// The newest entry.
///
/// # Errors
/// When the store cannot be read.
pub fn last(store: &dyn Store) -> Result<Option<Entry>, AccessError> {
    let query = Query { newest_first: true, limit: Some(1), ..Query::default() };
    store.documents(KIND, &query)?.first().map(Entry::of).transpose()
}

/// The newest entries before a number (from the newest when absent), newest first.
///
/// # Errors
/// When the store cannot be read.
pub fn page(store: &dyn Store, before: Option<u64>, limit: usize) -> Result<Vec<Entry>, AccessError> {
    let query = Query { newest_first: true, limit: Some(limit), after: before.map(key), ..Query::default() };
    store.documents(KIND, &query)?.iter().map(Entry::of).collect()
}

/// What was found out about the log.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Verified {
    /// How many entries there are.
    pub entries: u64,
    /// The hash of the newest; empty if there is none. Whoever knows an earlier one finds out that the end was cut off.
    pub head: String,
}

/// Goes through the whole log, oldest first, and checks that it is what was written. Each entry is given to `see` once it is.
///
/// # Errors
/// [`AccessError::Audit`] with the first entry that is not what was written.
pub fn verify(store: &dyn Store, mut see: impl FnMut(&Entry)) -> Result<Verified, AccessError> {
    let mut verified = Verified { entries: 0, head: String::new() };
    let mut after = None;
    loop {
        let query = Query { after: after.take(), limit: Some(PAGE), ..Query::default() };
        let documents = store.documents(KIND, &query)?;
        for document in &documents {
            let entry = Entry::of(document)?;
            let seq = verified.entries + 1;
            let wrong = |what: &str| AccessError::Audit { seq, what: what.to_owned() };
            if entry.seq != seq || document.key != key(seq) {
                return Err(wrong("it is missing, or another stands in its place"));
            }
            if entry.previous != verified.head {
                return Err(wrong("it does not follow the entry before"));
            }
            if entry.hash != entry.digest() {
                return Err(wrong("it was changed"));
            }
            see(&entry);
            verified = Verified { entries: seq, head: entry.hash };
        }
        match documents.last() {
            Some(last) if documents.len() == PAGE => after = Some(last.key.clone()),
            _ => return Ok(verified),
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::journal::MemoryStore;
    use crate::model::command::Actor;

    fn alice() -> Identity {
        Identity::asserted(&Actor { name: "alice@host".to_owned() })
    }

    fn log(entries: usize) -> MemoryStore {
        let store = MemoryStore::new();
        for number in 0..entries {
            let deed = Deed::done("start", format!("run {number}")).with("playbook", "hello");
            record(&store, &alice(), &deed, Timestamp::UNIX_EPOCH, &|_| Ok(Vec::new())).expect("an entry");
        }
        store
    }

    #[test]
    fn a_log_that_nobody_touched_verifies() {
        for entries in [0, 1, 3, PAGE, PAGE + 1] {
            let store = log(entries);
            let mut seen = Vec::new();
            let verified = verify(&store, |entry| seen.push(entry.seq)).expect("a whole log");
            assert_eq!(verified.entries, entries as u64);
            assert_eq!(seen.len(), entries);
            assert_eq!(last(&store).expect("readable").map(|entry| entry.hash).unwrap_or_default(), verified.head);
        }
    }

    #[test]
    fn pages_go_back_from_the_newest() {
        let store = log(5);
        let seqs =
            |before| -> Vec<u64> { page(&store, before, 2).expect("a page").iter().map(|entry| entry.seq).collect() };
        assert_eq!(seqs(None), [5, 4]);
        assert_eq!(seqs(Some(4)), [3, 2]);
        assert_eq!(seqs(Some(1)), [0_u64; 0]);
    }

    #[test]
    fn what_belongs_to_a_deed_is_written_with_its_entry_or_not_at_all() {
        let store = log(1);
        let more = |_| Ok(vec![Write::create("token", "abc", serde_json::json!({}))]);
        let deed = Deed::done("manage_tokens", "token abc");
        record(&store, &alice(), &deed, Timestamp::UNIX_EPOCH, &more).expect("written");
        let again = record(&store, &alice(), &deed, Timestamp::UNIX_EPOCH, &more);
        assert!(matches!(again, Err(AccessError::Store(StoreError::Conflict { .. }))));
        assert_eq!(verify(&store, |_| {}).expect("a whole log").entries, 2);
    }

    #[test]
    fn entries_of_many_threads_are_one_chain() {
        let store = MemoryStore::new();
        std::thread::scope(|scope| {
            for _ in 0..4 {
                scope.spawn(|| {
                    for _ in 0..10 {
                        let deed = Deed::done("note", "run a");
                        record(&store, &alice(), &deed, Timestamp::UNIX_EPOCH, &|_| Ok(Vec::new())).expect("an entry");
                    }
                });
            }
        });
        assert_eq!(verify(&store, |_| {}).expect("a whole log").entries, 40);
    }

    proptest! {
        #![proptest_config(ProptestConfig::with_cases(64))]
        #[test]
        fn any_changed_field_is_found(place in 1u64..6, field in 0usize..9, gone in any::<bool>()) {
            let store = log(5);
            let document = store.document(KIND, &key(place)).expect("readable").expect("there");
            let write = if gone {
                // The last one gone is a shorter log that is whole: the head tells.
                Write::remove(KIND, &document)
            } else {
                let mut body = document.body.clone();
                let fields = body.as_object_mut().expect("an object");
                let name = fields.keys().nth(field).cloned().expect("nine fields");
                let other = match fields[&name].clone() {
                    serde_json::Value::Number(_) => serde_json::json!(77),
                    serde_json::Value::String(text) if name == "at" => serde_json::json!(text.replace("1970", "1971")),
                    serde_json::Value::String(text) => serde_json::json!(format!("{text}0")),
                    serde_json::Value::Object(_) if name == "means" => serde_json::json!({"by": "system"}),
                    serde_json::Value::Object(_) => serde_json::json!({"playbook": "other"}),
                    _ => serde_json::json!("denied"),
                };
                fields.insert(name, other);
                Write::replace(KIND, &document, body)
            };
            let head = last(&store).expect("readable").expect("there").hash;
            store.write_documents(&[write], Timestamp::UNIX_EPOCH).expect("written");
            let found = match verify(&store, |_| {}) {
                Err(AccessError::Audit { seq, .. }) => seq == place,
                Ok(verified) => gone && place == 5 && verified.head != head,
                Err(_) => false,
            };
            prop_assert!(found);
        }
    }
}
