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
    let mut line = Vec::with_capacity(512);
    // Every map in a record has text keys, and no field serialises by code that can fail.
    serde_json::to_writer(&mut line, record).expect("a record is plain data with text keys");
    String::from_utf8(line).expect("JSON is written as UTF-8")
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

#[cfg(test)]
mod tests {
    use super::*;
    use crate::journal::record::{Outcome, Pause, UndoPlan};
    use crate::model::command::{Actor, Command, Order};
    use crate::model::fault::{ErrorClass, OpError};
    use crate::model::{CallId, Phase, StepPath, Timestamp, Value};
    use proptest::prelude::*;

    fn values() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            any::<u64>().prop_map(Value::from),
            any::<f64>().prop_map(Value::from),
            any::<String>().prop_map(Value::from),
        ];
        leaf.prop_recursive(4, 24, 5, |inner| {
            prop_oneof![
                proptest::collection::vec(inner.clone(), 0..5).prop_map(Value::from),
                proptest::collection::btree_map(any::<String>(), inner, 0..5)
                    .prop_map(|map| Value::Object(map.into_iter().collect())),
            ]
        })
    }

    fn calls() -> impl Strategy<Value = CallId> {
        let phase = prop_oneof![Just(Phase::Body), Just(Phase::Verify), Just(Phase::Rollback)];
        (any::<String>(), any::<String>(), phase, any::<u32>(), any::<u32>()).prop_map(
            |(step, key, phase, attempt, seq)| CallId { step: StepPath::keyed(&step, &key), phase, attempt, seq },
        )
    }

    fn outcomes() -> impl Strategy<Value = Outcome> {
        let error = (any::<String>(), any::<Option<String>>()).prop_map(|(message, detail)| Outcome::Error {
            error: OpError { class: ErrorClass::Unknown, message, detail, hint: None, denied: false },
        });
        prop_oneof![(values(), values()).prop_map(|(result, fingerprint)| Outcome::Done { result, fingerprint }), error]
    }

    fn facts() -> impl Strategy<Value = Fact> {
        let undo = prop_oneof![
            Just(UndoPlan::Nothing),
            any::<String>().prop_map(|why| UndoPlan::Impossible { why }),
            (any::<String>(), values()).prop_map(|(op, args)| UndoPlan::Call { op, args }),
        ];
        prop_oneof![
            (calls(), values(), values(), undo, proptest::option::of(calls())).prop_map(
                |(call, args, before, undo, undoes)| Fact::Intent {
                    call,
                    op: "pg.dump".into(),
                    revision: 3,
                    args,
                    key: "m-k".into(),
                    before,
                    undo,
                    undoes
                }
            ),
            (calls(), values(), outcomes()).prop_map(|(call, args, outcome)| Fact::Called {
                call,
                op: "fs.stat".into(),
                revision: 1,
                args,
                outcome
            }),
            (calls(), outcomes()).prop_map(|(call, outcome)| Fact::Ended { call, outcome }),
            (any::<String>(), any::<String>(), any::<Option<String>>()).prop_map(|(name, text, refused)| {
                Fact::Commanded { command: Command { by: Actor { name }, what: Order::Note { text } }, refused }
            }),
            (any::<String>(), calls(), any::<String>()).prop_map(|(step, call, reason)| Fact::Paused {
                pause: Pause::InDoubt { step: StepPath::of(&step), call, reason }
            }),
            (any::<String>(), proptest::collection::vec((any::<String>(), values()), 0..4))
                .prop_map(|(step, items)| Fact::Expanded { step: StepPath::of(&step), items, over: None }),
        ]
    }

    proptest! {
        #[test]
        fn a_record_reads_back_as_it_was_written(
            fact in facts(), seq in any::<u64>(), epoch in any::<u64>(), nanos in -1_000_000_000_000_000_000i128..4_000_000_000_000_000_000,
        ) {
            let at = Timestamp::from_nanosecond(nanos).expect("in range");
            let record = Record { seq, at, epoch, fact };
            let line = encode(&record);
            prop_assert!(!line.contains('\n'));
            prop_assert_eq!(decode(&line), Ok(record));
        }

        #[test]
        fn no_text_makes_decoding_panic(text in any::<String>()) {
            let _ = decode(&text);
        }
    }

    #[test]
    fn a_fact_of_a_later_version_is_told_from_damage() {
        let line = r#"{"seq":0,"at":"2026-01-01T00:00:00Z","epoch":1,"fact":{"fact":"teleported","to":"moon"}}"#;
        assert_eq!(decode(line), Err(DecodeError::Unknown("unknown variant `teleported`".into())));
        assert!(matches!(decode("{"), Err(DecodeError::Malformed(_))));
        let run = RunId::from_entropy(1);
        let stored = Lines { lines: vec![line.to_owned()], hash: fold(&START, line) };
        let refused = read(&run, &stored).expect_err("not known here").to_string();
        assert!(refused.contains("teleported") && refused.contains("another version"), "{refused}");
    }

    #[test]
    fn a_first_record_that_only_a_later_version_can_read_names_that_version() {
        let line = r#"{"seq":0,"at":"2026-01-01T00:00:00Z","epoch":1,"fact":{"fact":"run_started","format":9,"engine":"4.2.0"}}"#;
        let stored = Lines { lines: vec![line.to_owned()], hash: fold(&START, line) };
        let refused = read(&RunId::from_entropy(1), &stored).expect_err("too new").to_string();
        assert!(refused.contains("format 9") && refused.contains("muster 4.2.0 or later"), "{refused}");
    }
}
