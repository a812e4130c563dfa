//! Where a run, or a step of it, stands.

use serde::{Deserialize, Serialize};

/// Where a run stands. `parked` is no state of its own: it is a run that is not ended and that nobody holds.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum RunStatus {
    /// Something is being done.
    Running,
    /// Nothing is to be done before a clock or the world moves on.
    Waiting,
    /// A person has to choose, approve, answer or look.
    Paused,
    /// Undos are being sent.
    RollingBack,
    /// Terminal: every step did what it should.
    Succeeded,
    /// Terminal: it reached its end, but something failed and was handled, or was skipped.
    SucceededWithExceptions,
    /// Terminal: what was done has been undone.
    RolledBack,
    /// Terminal: it failed and its effects were left standing, or a rollback was ended incomplete.
    Failed,
    /// Terminal: cancelled, with its effects left standing.
    Cancelled,
    /// Terminal: stopped at once by an operator; calls may be in doubt.
    Killed,
}

impl RunStatus {
    /// All of them.
    pub const ALL: [Self; 10] = [
        Self::Running,
        Self::Waiting,
        Self::Paused,
        Self::RollingBack,
        Self::Succeeded,
        Self::SucceededWithExceptions,
        Self::RolledBack,
        Self::Failed,
        Self::Cancelled,
        Self::Killed,
    ];

    /// Nothing more will happen.
    #[must_use]
    pub fn is_terminal(self) -> bool {
        !matches!(self, Self::Running | Self::Waiting | Self::Paused | Self::RollingBack)
    }

    /// As printed: `succeeded with exceptions`.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Running => "running",
            Self::Waiting => "waiting",
            Self::Paused => "paused",
            Self::RollingBack => "rolling back",
            Self::Succeeded => "succeeded",
            Self::SucceededWithExceptions => "succeeded with exceptions",
            Self::RolledBack => "rolled back",
            Self::Failed => "failed",
            Self::Cancelled => "cancelled",
            Self::Killed => "killed",
        }
    }
}

/// How a run is executed.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Effects are sent.
    Live,
    /// Effects are recorded, not sent; the live system is read.
    Plan,
    /// Everything happens in the playbook's world, held in memory.
    Sandbox,
}
