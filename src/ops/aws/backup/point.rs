//! What a vault and a recovery point in it are right now.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// What a backup vault is right now. All empty but `exists` when there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Vault {
    /// Whether there is one of that name.
    pub exists: bool,
    /// Its name.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// How many recovery points are in it.
    pub recovery_points: i64,
    /// The key by which it encrypts.
    pub encryption_key: String,
    /// Whether a lock keeps its recovery points from being deleted.
    pub locked: bool,
    /// The shortest time that recovery points are kept, in days; 0 is none.
    pub min_retention_days: i64,
    /// The longest time that recovery points are kept, in days; 0 is none.
    pub max_retention_days: i64,
    /// From when on nobody can take the lock away any more; empty when that never is.
    pub lock_date: String,
    /// When it was made.
    pub created_at: String,
    /// The actions that its own access policy forbids to everybody, whatever their permissions: `backup:StartRestoreJob` on the
    /// vault that AWS makes for file systems. Only `backup.vault` tells.
    pub denies: Vec<String>,
    /// Whether the access policy could be seen.
    pub policy_seen: bool,
}

/// What a recovery point is right now. All empty but `exists` when there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct RecoveryPoint {
    /// Whether there is one of that ARN.
    pub exists: bool,
    /// Its ARN.
    pub arn: String,
    /// The vault that it is in.
    pub vault: String,
    /// The ARN of what it is a backup of.
    pub resource: String,
    /// `EFS`, `RDS`, …
    pub resource_type: String,
    /// `COMPLETED`, `CREATING`, `PARTIAL`, …
    pub status: String,
    /// What AWS says to that.
    pub message: String,
    /// When it was begun: the time of the data in it.
    pub created_at: String,
    /// When it was whole; empty before.
    pub completed_at: String,
    /// Its size.
    pub bytes: i64,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The key of that.
    pub encryption_key: String,
    /// When AWS deletes it; empty when never.
    pub delete_at: String,
    /// The run that made it; empty when no run did, and in lists.
    pub owned_by: String,
    /// The token of the call that made it; empty when no run did, and in lists.
    pub made_by: String,
    /// What a restore of it starts from; empty in lists.
    pub metadata: BTreeMap<String, String>,
}
