//! What a job that makes or restores a recovery point is right now.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A job that makes a recovery point. All empty but `exists` when there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Job {
    /// Whether there is one of that id.
    pub exists: bool,
    /// Its id.
    pub id: String,
    /// `CREATED`, `PENDING`, `RUNNING`, `COMPLETED`, `ABORTED`, `FAILED`, `EXPIRED`, `PARTIAL`.
    pub state: String,
    /// What AWS says to that.
    pub message: String,
    /// How far it is, in percent, as AWS estimates it.
    pub percent: String,
    /// The vault.
    pub vault: String,
    /// The ARN of what it backs up.
    pub resource: String,
    /// `EFS`, `RDS`, …
    pub resource_type: String,
    /// The ARN of what it makes; empty as long as AWS does not say.
    pub recovery_point: String,
    /// The size of that.
    pub bytes: i64,
    /// When it was started.
    pub created_at: String,
    /// When it ended; empty before.
    pub completed_at: String,
}

/// A job that restores a recovery point. All empty but `exists` when there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RestoreJob {
    /// Whether there is one of that id.
    pub exists: bool,
    /// Its id.
    pub id: String,
    /// `PENDING`, `RUNNING`, `COMPLETED`, `ABORTED`, `FAILED`.
    pub status: String,
    /// What AWS says to that.
    pub message: String,
    /// How far it is, in percent, as AWS estimates it.
    pub percent: String,
    /// The recovery point.
    pub recovery_point: String,
    /// `EFS`, `RDS`, …
    pub resource_type: String,
    /// The ARN of what it restored to; empty as long as AWS does not say.
    pub created_resource: String,
    /// The size of the backup.
    pub bytes: i64,
    /// When it was started.
    pub created_at: String,
    /// When it ended; empty before.
    pub completed_at: String,
}
