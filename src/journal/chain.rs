//! The hash chain: how a record becomes one line of text, how lines are folded into a hash, and what versions are read.

use sha2::{Digest, Sha256};

use super::record::{FORMAT, Fact, Record};
use super::store::{Lines, StoreError};
use crate::model::RunId;

/// The hash after a record: `sha256(hash before ‖ line)`.
pub type Hash = [u8; 32];

/// The hash before the first record.
pub const START: Hash = [0; 32];

/// A version of the record format. Only the ones this program reads can be made.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub struct FormatVersion(u32);

impl FormatVersion {
    /// What this program writes.
    pub const CURRENT: Self = Self(FORMAT);

    /// The version with this number, written by `engine` (a version of the program) into `what`.
    ///
    /// # Errors
    /// [`StoreError::TooNew`] when this program is too old to read it, naming what is needed.
    pub fn read(found: u32, engine: &str, what: &str) -> Result<Self, StoreError> {
        if found <= FORMAT {
            return Ok(Self(found));
        }
        let needs = if engine.is_empty() { "the muster that wrote it".to_owned() } else { format!("muster {engine}") };
        Err(StoreError::TooNew { what: what.to_owned(), found, known: FORMAT, needs })
    }

    /// Its number.
    #[must_use]
    pub fn number(self) -> u32 {
        self.0
    }
}

/// A line is not a record that this program knows.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum DecodeError {
    /// It is one, but says something that this version does not know.
    #[error("{0}")]
    Unknown(String),
    /// It is none.
    #[error("{0}")]
    Malformed(String),
}

/// The record as one line of JSON without a line end.
#[must_use]
pub fn encode(record: &Record) -> String {
    // Every map in a record has text keys, and no field serialises by code that can fail.
    serde_json::to_string(record).expect("a record is plain data with text keys")
}

/// The record on a line.
///
/// # Errors
/// When the line is no record, or one of a later version.
pub fn decode(line: &str) -> Result<Record, DecodeError> {
    serde_json::from_str(line).map_err(|error| {
        let what = error.to_string();
        if error.is_data() && what.starts_with("unknown variant") {
            // "unknown variant `x`, expected one of ...": the list helps nobody.
            DecodeError::Unknown(what.split(", expected").next().unwrap_or("unknown variant").to_owned())
        } else {
            DecodeError::Malformed(what)
        }
    })
}

/// The hash after `line`.
#[must_use]
pub fn fold(before: &Hash, line: &str) -> Hash {
    Sha256::new().chain_update(before).chain_update(line.as_bytes()).finalize().into()
}

/// The hash after all of `lines`.
#[must_use]
pub fn fold_all<'l>(before: &Hash, lines: impl IntoIterator<Item = &'l str>) -> Hash {
    lines.into_iter().fold(*before, |hash, line| fold(&hash, line))
}

/// The records of a stored journal: the chain verified, numbers without a gap, every one of a version that is known.
///
/// # Errors
/// [`StoreError::Damaged`], [`StoreError::TooNew`] or [`StoreError::Unknown`].
pub fn read(run: &RunId, stored: &Lines) -> Result<Vec<Record>, StoreError> {
    let damaged = |seq: u64, what: String| StoreError::Damaged { run: run.clone(), seq, what };
    let mut records = Vec::with_capacity(stored.lines.len());
    let mut hash = START;
    for (seq, line) in (0u64..).zip(&stored.lines) {
        hash = fold(&hash, line);
        let record = decode(line).map_err(|error| match error {
            DecodeError::Unknown(what) => StoreError::Unknown { run: run.clone(), seq, what },
            DecodeError::Malformed(what) => newer_start(run, seq, line).unwrap_or_else(|| damaged(seq, what)),
        })?;
        if record.seq != seq {
            return Err(damaged(seq, format!("the record there says that it is number {}", record.seq)));
        }
        match &record.fact {
            Fact::RunStarted { format, engine, run: named, .. } => {
                FormatVersion::read(*format, engine, &format!("the journal of run {run}"))?;
                if named != run {
                    return Err(damaged(seq, format!("it is the journal of run {named}")));
                }
            }
            _ if seq == 0 => return Err(damaged(seq, "it does not begin with the start of a run".to_owned())),
            _ => {}
        }
        records.push(record);
    }
    if hash != stored.hash {
        return Err(damaged(records.len() as u64, "the hash chain does not end as the store says".to_owned()));
    }
    Ok(records)
}

/// A first record of a later format may have fields that make it unreadable here: its version still tells.
fn newer_start(run: &RunId, seq: u64, line: &str) -> Option<StoreError> {
    if seq != 0 {
        return None;
    }
    let value: serde_json::Value = serde_json::from_str(line).ok()?;
    let fact = value.get("fact")?;
    let format = u32::try_from(fact.get("format")?.as_u64()?).ok()?;
    let engine = fact.get("engine").and_then(|engine| engine.as_str()).unwrap_or_default();
    FormatVersion::read(format, engine, &format!("the journal of run {run}")).err()
}
