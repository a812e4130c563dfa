//! Identifiers: runs, step instances, calls. Each parses what it prints.

use std::fmt;
use std::str::FromStr;
use std::sync::Arc;

use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use super::Timestamp;

/// Crockford's base 32 in lower case: no `i`, `l`, `o`, `u`, so an id survives being read out over the phone.
const ALPHABET: &[u8; 32] = b"0123456789abcdefghjkmnpqrstvwxyz";

/// The letters of a [`RunId`]. Sixty bits: two of a million runs agree with a chance of one in two million.
pub const RUN_ID_LEN: usize = 12;

/// Names one run. Twelve letters, the first six of which are the [`RunId::short`] form.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct RunId(Arc<str>);

impl RunId {
    /// Makes an id out of 60 of the given random bits.
    #[must_use]
    pub fn from_entropy(bits: u64) -> Self {
        let text = (0..RUN_ID_LEN)
            .map(|place| char::from(ALPHABET[usize::try_from((bits >> (5 * place)) & 31).unwrap_or(0)]))
            .collect::<String>();
        Self(text.into())
    }

    /// The id of the run of a tick, and where its chance begins: the same on every server, so that a store refuses a second run of
    /// it. `salt` tells stores apart, since names made by runs carry their ids.
    #[must_use]
    pub fn of_tick(schedule: &str, at: Timestamp, salt: &str) -> (Self, u64) {
        let mut hash = Sha256::new();
        for part in [schedule, &at.to_string(), salt] {
            hash.update((part.len() as u64).to_be_bytes());
            hash.update(part.as_bytes());
        }
        let digest = hash.finalize();
        let number = |from: usize| digest[from..from + 8].iter().fold(0u64, |all, byte| all << 8 | u64::from(*byte));
        (Self::from_entropy(number(0)), number(8))
    }

    /// The whole id.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }

    /// The first six letters: what names made by a run carry (`chatbot_db_r_7k3f9q`).
    #[must_use]
    pub fn short(&self) -> &str {
        &self.0[..6]
    }

    /// Whether this is the key of one of its calls.
    #[must_use]
    pub fn has_key(&self, key: &str) -> bool {
        let rest = key.strip_prefix("m-").and_then(|rest| rest.strip_prefix(self.as_str()));
        rest.is_some_and(|rest| rest.starts_with('-'))
    }
}

impl fmt::Display for RunId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// A text is not a run id.
#[derive(Debug, thiserror::Error, PartialEq, Eq)]
#[error("`{0}` is not a run id: twelve of the letters 0-9 a-z without i l o u")]
pub struct ParseRunId(String);

impl FromStr for RunId {
    type Err = ParseRunId;

    fn from_str(text: &str) -> Result<Self, Self::Err> {
        if text.len() == RUN_ID_LEN && text.bytes().all(|b| ALPHABET.contains(&b)) {
            Ok(Self(text.into()))
        } else {
            Err(ParseRunId(text.to_owned()))
        }
    }
}

/// Names one instance of a step: `restore`, or `dump[chatbot_db]` for the instance of a `foreach` step with that key.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(transparent)]
pub struct StepPath(Arc<str>);

impl StepPath {
    /// The only instance of a step without `foreach`, or the whole of one with it.
    #[must_use]
    pub fn of(step: &str) -> Self {
        Self(step.into())
    }

    /// The instance of a `foreach` step that has this key.
    #[must_use]
    pub fn keyed(step: &str, key: &str) -> Self {
        Self(format!("{step}[{key}]").into())
    }

    /// The id of the step in the playbook.
    #[must_use]
    pub fn step(&self) -> &str {
        self.0.split_once('[').map_or(&*self.0, |(step, _)| step)
    }

    /// The key of the `foreach` instance, if it is one.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        self.0.split_once('[').and_then(|(_, rest)| rest.strip_suffix(']'))
    }

    /// As written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.0
    }
}

impl fmt::Display for StepPath {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.0)
    }
}

/// What part of a step a call belongs to.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// The step's `uses` or `script`.
    Body,
    /// The step's `verify`. Never replayed.
    Verify,
    /// The step's own `rollback`, or the undo of one of its calls.
    Rollback,
}

impl fmt::Display for Phase {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Phase::Body => "body",
            Phase::Verify => "verify",
            Phase::Rollback => "rollback",
        })
    }
}

/// Names one call within its run: the unit of checkpointing.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
pub struct CallId {
    /// The step instance that makes the call.
    pub step: StepPath,
    /// The part of the step.
    pub phase: Phase,
    /// Counts from 1; a retry of the step is another attempt.
    pub attempt: u32,
    /// Counts from 0 within the attempt.
    pub seq: u32,
}

impl fmt::Display for CallId {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}/{}/{}/{}", self.step, self.phase, self.attempt, self.seq)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_run_id_parses_what_it_prints() {
        for bits in [0, 1, u64::MAX, 0x0123_4567_89ab_cdef] {
            let id = RunId::from_entropy(bits);
            assert_eq!(id.to_string().parse(), Ok(id.clone()));
            assert_eq!(id.short().len(), 6);
        }
        assert!("short".parse::<RunId>().is_err());
        assert!("oooooooooooo".parse::<RunId>().is_err());
    }

    #[test]
    fn the_keys_of_a_run_are_known_by_its_id() {
        let id = RunId::from_entropy(1);
        assert!(id.has_key(&format!("m-{id}-create-1-0")));
        for other in
            [format!("m-{}-create-1-0", RunId::from_entropy(2)), format!("m-{id}0-x"), id.to_string(), String::new()]
        {
            assert!(!id.has_key(&other), "{other}");
        }
    }

    #[test]
    fn the_run_of_a_tick_has_one_id_everywhere_and_no_other_tick_has_it() {
        let at: Timestamp = "2026-03-01T03:00:00Z".parse().expect("an instant");
        let later: Timestamp = "2026-03-02T03:00:00Z".parse().expect("an instant");
        let id = RunId::of_tick("nightly", at, "store");
        assert_eq!(id, RunId::of_tick("nightly", at, "store"));
        assert_eq!(id.0.to_string().parse(), Ok(id.0.clone()));
        for other in [("nightly", later, "store"), ("nightl", at, "ystore"), ("nightly", at, "another")] {
            assert_ne!(id, RunId::of_tick(other.0, other.1, other.2), "{other:?}");
        }
    }

    #[test]
    fn a_keyed_path_gives_back_its_step_and_key() {
        let path = StepPath::keyed("dump", "a[b]");
        assert_eq!((path.step(), path.key()), ("dump", Some("a[b]")));
        assert_eq!(StepPath::of("dump").key(), None);
    }
}
