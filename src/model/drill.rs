//! A drill: what pins one, why it is torn down, what it left.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::{CallId, StepPath, Timestamp};

/// The name of the measurement that gives the newest of the recovered data.
pub const RPO: &str = "rpo";

/// What makes a run a drill: recorded with its start, so that nothing that is said later changes it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct DrillPin {
    /// From when the recovery is reckoned: the disaster that is drilled is said to have been then.
    pub declared_at: Timestamp,
    /// Steps that are left out.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub skip: Vec<String>,
    /// Resources that may be touched though the drill did not make them: globs.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub shared: Vec<String>,
    /// The steps whose end proves that the data are recovered; the end of the last step when empty.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub proof: Vec<String>,
    /// How long it may take from its start until it is torn down, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub time_limit_ms: Option<u64>,
    /// How many things it may make, by operation (a glob): the bound on what it costs.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub makes: BTreeMap<String, u32>,
    /// How long recovery may take at most, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rto_ms: Option<u64>,
    /// How much may be lost at most, in milliseconds.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub rpo_ms: Option<u64>,
}

/// Why a drill is torn down.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "why", rename_all = "snake_case")]
pub enum Teardown {
    /// All its steps have come to their end.
    Over,
    /// A step failed.
    Failed {
        /// Which.
        step: StepPath,
        /// How.
        message: String,
    },
    /// Its time was over.
    TimeLimit,
}

impl Teardown {
    /// In words.
    #[must_use]
    pub fn reason(&self) -> String {
        match self {
            Self::Over => "the drill is over".to_owned(),
            Self::Failed { step, message } => format!("{step} failed: {message}"),
            Self::TimeLimit => "the drill's time was over".to_owned(),
        }
    }
}

/// Something that a drill made, and that still stands after its teardown, or may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Leak {
    /// What: `docker/drill-db`.
    pub resource: String,
    /// The call that made it; nothing where only its mark tells that it is of the drill.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub call: Option<CallId>,
    /// Its operation; empty where there is no call.
    pub op: String,
    /// What was seen of it, or why nothing could be.
    pub found: String,
    /// The command that removes it, where one is known.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub remove: Option<String>,
}
