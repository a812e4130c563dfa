//! Values kept apart: a result too large for its record stands in the store as a blob, and the record names it by its digest.
//!
//! Only the stored line has the name; whoever reads a journal gets the value itself, or an error. The digest is part of the
//! line, so that the hash chain covers what stands apart too.

use serde::{Deserialize, Serialize};

use super::chain::{self, DecodeError};
use super::memory::digest_of;
use super::record::{Fact, Outcome, Record};
use super::store::{Lines, Store, StoreError};
use crate::model::{RunId, Value};

/// The longest a result may be, in bytes of JSON, and stand in its record.
pub const LARGEST_INLINE: usize = 64 << 10;

/// What stands in a stored line for a value that is kept apart: `{"$blob": {"sha256": …, "bytes": …}}`.
const KEY: &str = "$blob";

/// Content of a record that is to be stored with it, under its digest.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Blob {
    /// Sequence number of the record.
    pub seq: u64,
    /// The SHA-256 of the bytes, in hex.
    pub digest: String,
    /// The bytes: a value as JSON.
    pub bytes: Vec<u8>,
}

#[derive(Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
struct Name {
    sha256: String,
    bytes: u64,
}

/// The values of a fact that may be too large for a record: results of calls, and the outputs made of them.
fn results(fact: &mut Fact) -> Vec<&mut Value> {
    match fact {
        Fact::Called { outcome: Outcome::Done { result, .. }, .. }
        | Fact::Ended { outcome: Outcome::Done { result, .. }, .. }
        | Fact::Foreseen { outcome: Outcome::Done { result, .. }, .. } => vec![result],
        Fact::Verifying { output, .. } | Fact::StepSucceeded { output, .. } => vec![output],
        Fact::Finished { outputs, .. } => outputs.values_mut().collect(),
        _ => Vec::new(),
    }
}

fn is_name(value: &Value) -> bool {
    value.as_object().is_some_and(|fields| fields.len() == 1 && fields.contains_key(KEY))
}

/// Whether a stored line is all there is of its record.
#[must_use]
pub fn is_whole(line: &str) -> bool {
    !line.contains("{\"$blob\":")
}

/// The record as the line to be stored, and what is to be stored with it.
#[must_use]
pub fn encode(record: &mut Record) -> (String, Vec<Blob>) {
    let line = chain::encode(record);
    if line.len() <= LARGEST_INLINE && is_whole(&line) {
        return (line, Vec::new());
    }
    let seq = record.seq;
    let mut blobs = Vec::new();
    let mut taken = Vec::new();
    for value in results(&mut record.fact) {
        let bytes = value.to_string().into_bytes();
        // A result that looks like a name is kept apart too, however small: so nothing that is inline is ever taken for one.
        taken.push((bytes.len() > LARGEST_INLINE || is_name(value)).then(|| {
            let digest = digest_of(&bytes);
            let name = serde_json::json!({ KEY: { "sha256": digest, "bytes": bytes.len() } });
            blobs.push(Blob { seq, digest, bytes });
            std::mem::replace(value, name)
        }));
    }
    if blobs.is_empty() {
        return (line, blobs);
    }
    let line = chain::encode(record);
    for (value, whole) in results(&mut record.fact).into_iter().zip(taken) {
        if let Some(whole) = whole {
            *value = whole;
        }
    }
    (line, blobs)
}

/// Puts what is kept apart back into a decoded record; why it cannot be done.
fn complete(store: &dyn Store, record: &mut Record) -> Result<(), String> {
    for value in results(&mut record.fact) {
        if !is_name(value) {
            continue;
        }
        let name = Name::deserialize(&value[KEY])
            .map_err(|_| "its result is kept apart in a form that this version does not know".to_owned())?;
        let digest = &name.sha256;
        let bytes = store.blob(digest).map_err(|error| match error {
            StoreError::NoSuchBlob(_) => format!("its result is missing: nothing is stored under digest {digest}"),
            other => format!("its result cannot be read: {other}"),
        })?;
        if digest_of(&bytes) != *digest || bytes.len() as u64 != name.bytes {
            return Err(format!(
                "its result is not what was written: what is stored under {digest} has another digest"
            ));
        }
        *value = serde_json::from_slice(&bytes)
            .map_err(|error| format!("its result, stored under digest {digest}, cannot be read: {error}"))?;
    }
    Ok(())
}

/// The record on a stored line of a run, whole. The chain is not checked.
///
/// # Errors
/// [`StoreError::Damaged`] when it is no record, or what is kept apart of it is missing or altered; [`StoreError::Unknown`] when
/// it is one of another version.
pub fn record(store: &dyn Store, run: &RunId, seq: u64, line: &str) -> Result<Record, StoreError> {
    let damaged = |what: String| StoreError::Damaged { run: run.clone(), seq, what };
    let mut record = chain::decode(line).map_err(|error| match error {
        DecodeError::Unknown(what) => StoreError::Unknown { run: run.clone(), seq, what },
        DecodeError::Malformed(what) => damaged(format!("not a record: {what}")),
    })?;
    complete(store, &mut record).map_err(damaged)?;
    Ok(record)
}

/// All records of a run, whole, their chain verified, and the hash after the last.
///
/// # Errors
/// As [`Store::load`], [`chain::read`] and [`record`].
pub fn journal(store: &dyn Store, run: &RunId) -> Result<(Vec<Record>, chain::Hash), StoreError> {
    let stored = store.load(run)?;
    Ok((whole(store, run, &stored)?, stored.hash))
}

/// The records of a journal that was loaded, whole, their chain verified.
///
/// # Errors
/// As [`chain::read`] and [`record`].
pub fn whole(store: &dyn Store, run: &RunId, stored: &Lines) -> Result<Vec<Record>, StoreError> {
    let mut records = chain::read(run, stored)?;
    for record in &mut records {
        complete(store, record).map_err(|what| StoreError::Damaged { run: run.clone(), seq: record.seq, what })?;
    }
    Ok(records)
}

/// All records of a run, whole, their chain verified.
///
/// # Errors
/// As [`journal`].
pub fn records(store: &dyn Store, run: &RunId) -> Result<Vec<Record>, StoreError> {
    journal(store, run).map(|(records, _)| records)
}
