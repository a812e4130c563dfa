//! A call of a run, as its records tell it.

use crate::journal::record::{Outcome, UndoPlan};
use crate::model::fault::ErrorClass;
use crate::model::{CallId, Phase, Timestamp, Value};

/// How a call is recorded.
#[derive(Clone, Debug, PartialEq)]
pub enum CallKind {
    /// Without an intent.
    Plain,
    /// A wait, a timer or a question.
    Wait { until: Option<Timestamp> },
    /// With an intent.
    Effect {
        key: String,
        before: Value,
        undo: UndoPlan,
        /// The call it undoes.
        undoes: Option<CallId>,
    },
}

/// Whether an effect's undo is settled.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Undone {
    /// Not undone.
    No,
    /// Undone.
    Yes,
    /// Left standing, and why.
    Skipped(String),
}

/// A call.
#[derive(Clone, Debug, PartialEq)]
pub struct CallState {
    pub id: CallId,
    pub op: String,
    pub revision: u32,
    pub args: Value,
    pub kind: CallKind,
    pub outcome: Option<Outcome>,
    pub undone: Undone,
    /// How often it has been sent again.
    pub resent: u32,
    /// A person has looked: it was not done.
    pub settled_not_done: bool,
    /// Sequence number of its first record.
    pub seq: u64,
    /// When that was.
    pub at: Timestamp,
}

impl CallState {
    /// It is recorded, and nobody recorded how it ended.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.outcome.is_none()
    }

    /// An effect, not an undo.
    #[must_use]
    pub fn is_forward_effect(&self) -> bool {
        matches!(&self.kind, CallKind::Effect { undoes: None, .. }) && self.id.phase == Phase::Body
    }

    /// An effect, whatever it is for.
    #[must_use]
    pub fn is_effect(&self) -> bool {
        matches!(self.kind, CallKind::Effect { .. })
    }

    /// The name of its effect in the world.
    #[must_use]
    pub fn key(&self) -> Option<&str> {
        match &self.kind {
            CallKind::Effect { key, .. } => Some(key),
            CallKind::Plain | CallKind::Wait { .. } => None,
        }
    }

    /// It may have left something in the world: done, or failed on the way, or nobody knows.
    #[must_use]
    pub fn may_have_left_something(&self) -> bool {
        match &self.outcome {
            None | Some(Outcome::Done { .. }) => true,
            Some(Outcome::Error { error }) => matches!(error.class, ErrorClass::Failed | ErrorClass::Unknown),
        }
    }
}
