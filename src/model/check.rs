//! A precondition of a playbook, and what was found of it: would it work now?

use serde::{Deserialize, Serialize};

use super::Timestamp;

/// What was found of one precondition.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Check {
    /// Its name: that of the playbook's `checks`, or one with a dot for those that need no author (`program.psql`).
    pub id: String,
    /// What is asked, in a line.
    pub title: String,
    /// Who asks.
    pub source: Source,
    /// How it came out.
    pub verdict: Verdict,
    /// What was found, in a sentence; empty when there is nothing to add.
    pub found: String,
    /// What to do.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// For a recovery point: how it stands against what it may be.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub recovery_point: Option<RecoveryPoint>,
    /// How long the question took, in milliseconds of the clock it was asked by: nothing in the sandbox.
    pub took_ms: u64,
}

/// The newest recovery point, against the longest time that data may be lost for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct RecoveryPoint {
    /// When it was taken; `None` when there is none, or it could not be found out.
    pub at: Option<Timestamp>,
    /// How old it is, in milliseconds.
    pub age_ms: Option<u64>,
    /// How old it may be, in milliseconds.
    pub max_age_ms: u64,
}

/// Who asks for a precondition.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Source {
    /// The playbook's `checks`.
    Playbook,
    /// What its capabilities need of this machine.
    Machine,
    /// The plan of it.
    Plan,
    /// Muster itself.
    Muster,
}

/// How a precondition came out. Only [`Verdict::Pass`] is good.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Verdict {
    /// It holds.
    Pass,
    /// It cannot be told.
    Unknown,
    /// It does not hold, or asking failed.
    Fail,
}

impl Verdict {
    /// As they are written, the best first.
    pub const ALL: [Self; 3] = [Self::Pass, Self::Unknown, Self::Fail];

    /// As it is written: `pass`, `unknown`, `fail`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Pass => "pass",
            Self::Unknown => "unknown",
            Self::Fail => "fail",
        }
    }
}

impl Check {
    /// One that came out like this.
    pub fn new(id: impl Into<String>, title: impl Into<String>, source: Source, verdict: Verdict) -> Self {
        let (id, title, found) = (id.into(), title.into(), String::new());
        Self { id, title, source, verdict, found, hint: None, recovery_point: None, took_ms: 0 }
    }

    /// What was found.
    #[must_use]
    pub fn found(mut self, found: impl Into<String>) -> Self {
        self.found = found.into();
        self
    }

    /// What to do about it.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }
}
