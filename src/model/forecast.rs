//! What a plan knows of a call before it is made: how far it can be believed, what it would change, and which answers to open
//! questions lead to it.

use serde::{Deserialize, Serialize};

use super::command::Actor;
use super::{Timestamp, Value};

/// Stands between the names of loops that a call is in, the outer one first.
pub const WITHIN: &str = ", in it ";

/// How much a line of a plan can be believed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Basis {
    /// The live system answered, or validated the call itself.
    Exact,
    /// Worked out by the operation's model; its precondition was checked where it could be.
    Predicted,
    /// Depends on what only the run will know.
    Unknown,
    /// Nobody can say what it does: a program without a model.
    Opaque,
}

impl Basis {
    /// As it is written: `exact`, `predicted`, `unknown`, `opaque`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Exact => "exact",
            Self::Predicted => "predicted",
            Self::Unknown => "unknown",
            Self::Opaque => "opaque",
        }
    }
}

/// What a call would change of one thing.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Change {
    /// The thing, as [`crate::model`] names resources: `fs/srv/chat/.env`, `pg/open-webui-db/chatbot_db`.
    pub resource: String,
    /// What it was; `Null` when it was not there. Secrets are handles or redacted.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub before: Value,
    /// What it would be; `Null` when it would be gone.
    #[serde(default, skip_serializing_if = "Value::is_null")]
    pub after: Value,
}

/// An approval of a whole plan, given before the run began.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PlanApproval {
    /// The digest of the plan that was approved: of any other it says nothing.
    pub digest: String,
    /// By whom. On the command line this is the OS user, asserted, not proven.
    pub by: Actor,
    /// The role in which it was given; asserted too.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// Why.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// When.
    pub at: Timestamp,
    /// After this it counts for nothing.
    pub valid_until: Timestamp,
}

impl PlanApproval {
    /// Whether it is of one of those who may approve; anybody when the list is empty.
    #[must_use]
    pub fn is_among(&self, approvers: &[String]) -> bool {
        let user = self.by.name.split('@').next().unwrap_or(&self.by.name);
        approvers.is_empty()
            || approvers.iter().any(|name| *name == self.by.name || name == user || self.role.as_ref() == Some(name))
    }
}

/// How one way through a step ends.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "way", rename_all = "snake_case")]
pub enum WayEnd {
    /// With an output.
    Returns,
    /// The step stops.
    Stops {
        /// Why.
        message: String,
    },
    /// In another round of a loop of which one round is shown.
    GoesOn,
    /// The plan does not know.
    Unfollowed {
        /// Why.
        why: String,
    },
}

/// A plan that a run is bound to.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct PlanPin {
    /// The digest of the plan: what was reviewed and approved.
    pub digest: String,
    /// The blob with the effects that it allows.
    pub bound: String,
    /// The blob with the whole plan file, for those who compare it with what was done.
    pub plan: String,
}

/// What an approval lets a run do.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tree {
    /// SHA-256 over the effects that it allows.
    pub digest: String,
    /// The blob with them.
    pub bound: String,
    /// The blob with the records of how they were foreseen, for those who are asked.
    pub records: String,
    /// How many records of the run these follow.
    pub after: u64,
    /// How many effects there are in it, on all ways together, that are not made yet.
    pub effects: u64,
}

/// The answer that a plan assumed to a question that only the run can answer.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
pub struct Decision {
    /// The question, in the words of the playbook where it has any: `steps.dump.bytes == 0`.
    pub question: String,
    /// The assumed answer.
    pub answer: bool,
}
