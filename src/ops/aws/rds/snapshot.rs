//! What a snapshot of a database is right now, and what automated backups there are of one.

use aws_sdk_rds::types::{DbClusterSnapshot, DbSnapshot};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::database::{KEY_TAG, RUN_TAG, tags, text, time};

/// What a snapshot is right now. All empty but `exists` when there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Snapshot {
    /// Whether there is one of that name.
    pub exists: bool,
    /// Its identifier.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// `available`, `creating`, `failed`, …
    pub status: String,
    /// How far it is, in percent.
    pub percent: i32,
    /// `manual`, `automated`, `awsbackup`, …
    pub made: String,
    /// The instance or cluster that it is of.
    pub source: String,
    /// What stays the same when that is renamed.
    pub source_resource_id: String,
    /// When it was taken.
    pub created_at: String,
    /// When what is in it was taken, though it be a copy: the time up to which data is in it, as far as it is known.
    pub data_until: String,
    /// `postgres`, `aurora-postgresql`, …
    pub engine: String,
    /// `14.6`.
    pub engine_version: String,
    /// Its size, in GiB.
    pub storage_gb: i32,
    /// Whether it is encrypted.
    pub encrypted: bool,
    /// The key of that.
    pub kms_key: String,
    /// The run that made it; empty when no run did.
    pub owned_by: String,
    /// The key of the call that made it; empty when no run did.
    pub made_by: String,
}

/// What automated backups there are of a database, though it be gone.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Backups {
    /// Whether there are any.
    pub exists: bool,
    /// `active`; `retained` when the database is gone; empty without any.
    pub status: String,
    /// What stays the same when the database is renamed.
    pub resource_id: String,
    /// The ARN to restore from when the database is gone.
    pub arn: String,
    /// For how many days they are kept; 0 is none at all.
    pub retention_days: i32,
    /// The earliest time that can be restored; empty when AWS does not say.
    pub earliest: String,
    /// The latest time that can be restored; empty without backups.
    pub latest: String,
}

impl Snapshot {
    pub(super) fn of_instance(found: &DbSnapshot) -> Self {
        let all = tags(found.tag_list.as_deref());
        let taken = found.original_snapshot_create_time.or(found.snapshot_create_time);
        Self {
            exists: true,
            id: text(found.db_snapshot_identifier()),
            arn: text(found.db_snapshot_arn()),
            status: text(found.status()),
            percent: found.percent_progress.unwrap_or_default(),
            made: text(found.snapshot_type()),
            source: text(found.db_instance_identifier()),
            source_resource_id: text(found.dbi_resource_id()),
            created_at: time(found.snapshot_create_time()),
            data_until: time(found.snapshot_database_time.as_ref().or(taken.as_ref())),
            engine: text(found.engine()),
            engine_version: text(found.engine_version()),
            storage_gb: found.allocated_storage.unwrap_or_default(),
            encrypted: found.encrypted.unwrap_or_default(),
            kms_key: text(found.kms_key_id()),
            owned_by: all.get(RUN_TAG).cloned().unwrap_or_default(),
            made_by: all.get(KEY_TAG).cloned().unwrap_or_default(),
        }
    }

    pub(super) fn of_cluster(found: &DbClusterSnapshot) -> Self {
        let all = tags(found.tag_list.as_deref());
        Self {
            exists: true,
            id: text(found.db_cluster_snapshot_identifier()),
            arn: text(found.db_cluster_snapshot_arn()),
            status: text(found.status()),
            percent: found.percent_progress.unwrap_or_default(),
            made: text(found.snapshot_type()),
            source: text(found.db_cluster_identifier()),
            source_resource_id: text(found.db_cluster_resource_id()),
            created_at: time(found.snapshot_create_time()),
            data_until: time(found.snapshot_create_time()),
            engine: text(found.engine()),
            engine_version: text(found.engine_version()),
            storage_gb: found.allocated_storage.unwrap_or_default(),
            encrypted: found.storage_encrypted.unwrap_or_default(),
            kms_key: text(found.kms_key_id()),
            owned_by: all.get(RUN_TAG).cloned().unwrap_or_default(),
            made_by: all.get(KEY_TAG).cloned().unwrap_or_default(),
        }
    }
}
