//! What a database of RDS is right now: an instance, or an Aurora cluster.

use std::collections::BTreeMap;

use aws_sdk_rds::primitives::DateTime;
use aws_sdk_rds::types::{DbCluster, DbInstance, Tag, VpcSecurityGroupMembership};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::settings::Settings;
use crate::model::Timestamp;

/// The tag that names the run that made a thing.
pub const RUN_TAG: &str = "muster.run";
/// The tag that names the call that made a thing.
pub const KEY_TAG: &str = "muster.key";

/// Which kind of database.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Kind {
    /// A database instance.
    #[default]
    Instance,
    /// An Aurora cluster.
    Cluster,
}

impl Kind {
    /// As it is said: `instance`.
    #[must_use]
    pub fn word(self) -> &'static str {
        match self {
            Self::Instance => "instance",
            Self::Cluster => "cluster",
        }
    }

    /// `db:chat`: the database of this name, as ARNs write it.
    #[must_use]
    pub fn of(self, id: &str) -> String {
        match self {
            Self::Instance => format!("db:{id}"),
            Self::Cluster => format!("cluster:{id}"),
        }
    }

    /// `snapshot:chat-1`: the snapshot of this name, as ARNs write it.
    #[must_use]
    pub fn snapshot(self, id: &str) -> String {
        match self {
            Self::Instance => format!("snapshot:{id}"),
            Self::Cluster => format!("cluster-snapshot:{id}"),
        }
    }
}

/// An instance of a cluster.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Member {
    /// The instance.
    pub id: String,
    /// Whether it is the one that writes.
    pub writer: bool,
}

/// What a database is right now. All empty but `exists` when there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Database {
    /// Whether there is one of that name.
    pub exists: bool,
    /// Its identifier.
    pub id: String,
    /// `available`, `creating`, `incompatible-network`, …
    pub status: String,
    /// What AWS says about the status, where it says anything.
    pub status_notes: Vec<String>,
    /// What stays the same when it is renamed: `db-ABC…`, `cluster-ABC…`.
    pub resource_id: String,
    /// Its ARN.
    pub arn: String,
    /// `postgres`, `aurora-postgresql`, …
    pub engine: String,
    /// `14.6`.
    pub engine_version: String,
    /// The host to connect to; empty while it is being made.
    pub endpoint: String,
    /// The host of a cluster's readers.
    pub reader_endpoint: String,
    /// The port.
    pub port: i32,
    /// The master user.
    pub username: String,
    /// The database made with it, if one was.
    pub database_name: String,
    /// When it was made.
    pub created_at: String,
    /// The earliest time that it can be restored to; empty when that is not told, as for instances (see
    /// `rds.backups`).
    pub earliest_restorable: String,
    /// The latest time that it can be restored to; empty without automated backups.
    pub latest_restorable: String,
    /// Its storage, in GiB.
    pub storage_gb: i32,
    /// Whether its storage is encrypted.
    pub encrypted: bool,
    /// The key of that.
    pub kms_key: String,
    /// The ARN of the secret in which AWS keeps its master password; empty when it does not.
    pub password_secret: String,
    /// The cluster that an instance belongs to; otherwise empty.
    pub cluster: String,
    /// The instances of a cluster.
    pub members: Vec<Member>,
    /// Whether its parameter group is `in-sync` or awaits a restart: `pending-reboot`.
    pub parameters: String,
    /// What of it has been changed and is not in effect yet: `class`, `password`, …
    pub pending: Vec<String>,
    /// Whether Performance Insights looks at it.
    pub performance_insights: bool,
    /// Seconds between two looks of Enhanced Monitoring; 0 when it is off.
    pub monitoring_seconds: i32,
    /// How far AWS is with what it does to it, in percent; absent when it does not say.
    pub percent: Option<i32>,
    /// What a restore or a modification can set.
    pub settings: Settings,
    /// The run that made it; empty when no run did.
    pub owned_by: String,
    /// The key of the call that made it; empty when no run did.
    pub made_by: String,
}

pub(in crate::ops::aws) fn text(value: Option<&str>) -> String {
    value.unwrap_or_default().to_owned()
}

/// As it is written everywhere: in UTC.
pub(in crate::ops::aws) fn time(at: Option<&DateTime>) -> String {
    let at = at.and_then(|at| Timestamp::from_second(at.secs()).ok());
    at.map(|at| at.to_string()).unwrap_or_default()
}

pub(super) fn tags(list: Option<&[Tag]>) -> BTreeMap<String, String> {
    let pair = |tag: &Tag| Some((tag.key.clone()?, tag.value.clone().unwrap_or_default()));
    list.unwrap_or_default().iter().filter_map(pair).collect()
}

fn groups(list: Option<&[VpcSecurityGroupMembership]>) -> Option<Vec<String>> {
    let mut ids: Vec<String> = list?.iter().filter_map(|one| one.vpc_security_group_id.clone()).collect();
    ids.sort();
    Some(ids)
}

fn sorted(list: Option<&[String]>) -> Option<Vec<String>> {
    let mut all = list.unwrap_or_default().to_vec();
    all.sort();
    Some(all)
}

/// A group that AWS has for everybody is none that anything hangs on.
fn own(name: Option<&str>) -> Option<String> {
    name.filter(|name| !name.is_empty()).map(str::to_owned)
}

impl Database {
    /// With the fields that tags tell.
    pub(crate) fn tagged(mut self, all: &BTreeMap<String, String>) -> Self {
        self.owned_by = all.get(RUN_TAG).cloned().unwrap_or_default();
        self.made_by = all.get(KEY_TAG).cloned().unwrap_or_default();
        self
    }

    pub(super) fn of_instance(found: &DbInstance) -> Self {
        let endpoint = found.endpoint.as_ref();
        let pending = found.pending_modified_values.as_ref();
        let all = tags(found.tag_list.as_deref());
        let mut waiting = Vec::new();
        if let Some(pending) = pending {
            let is = [
                ("class", pending.db_instance_class.is_some()),
                ("storage_gb", pending.allocated_storage.is_some()),
                ("password", pending.master_user_password.is_some()),
                ("port", pending.port.is_some()),
                ("backup_retention_days", pending.backup_retention_period.is_some()),
                ("multi_az", pending.multi_az.is_some()),
                ("engine_version", pending.engine_version.is_some()),
                ("id", pending.db_instance_identifier.is_some()),
                ("storage_type", pending.storage_type.is_some()),
                ("subnet_group", pending.db_subnet_group_name.is_some()),
                ("log_exports", pending.pending_cloudwatch_logs_exports.is_some()),
                ("iam_authentication", pending.iam_database_authentication_enabled.is_some()),
            ];
            waiting.extend(is.into_iter().filter(|(_, is)| *is).map(|(name, _)| name.to_owned()));
        }
        let parameters = found.db_parameter_groups().first();
        let notes = found.status_infos().iter().filter_map(|info| info.message.clone()).collect();
        let settings = Settings {
            class: own(found.db_instance_class()),
            security_groups: groups(found.vpc_security_groups.as_deref()),
            subnet_group: own(found.db_subnet_group.as_ref().and_then(|group| group.db_subnet_group_name())),
            parameter_group: own(parameters.and_then(|group| group.db_parameter_group_name())),
            option_group: own(found.option_group_memberships().first().and_then(|group| group.option_group_name())),
            multi_az: found.multi_az,
            publicly_accessible: found.publicly_accessible,
            deletion_protection: found.deletion_protection,
            backup_retention_days: found.backup_retention_period,
            backup_window: own(found.preferred_backup_window()),
            maintenance_window: own(found.preferred_maintenance_window()),
            log_exports: sorted(found.enabled_cloudwatch_logs_exports.as_deref()),
            iam_authentication: found.iam_database_authentication_enabled,
            copy_tags_to_snapshot: found.copy_tags_to_snapshot,
            minor_upgrades: found.auto_minor_version_upgrade,
            storage_type: own(found.storage_type()),
            max_storage_gb: found.max_allocated_storage,
            performance_insights: found.performance_insights_enabled,
            port: endpoint.and_then(|endpoint| endpoint.port).or(found.db_instance_port.filter(|port| *port > 0)),
            tags: Some(all.clone()),
        };
        Self {
            exists: true,
            id: text(found.db_instance_identifier()),
            status: text(found.db_instance_status()),
            status_notes: notes,
            resource_id: text(found.dbi_resource_id()),
            arn: text(found.db_instance_arn()),
            engine: text(found.engine()),
            engine_version: text(found.engine_version()),
            endpoint: text(endpoint.and_then(|endpoint| endpoint.address())),
            port: settings.port.unwrap_or_default(),
            username: text(found.master_username()),
            database_name: text(found.db_name()),
            created_at: time(found.instance_create_time()),
            latest_restorable: time(found.latest_restorable_time()),
            storage_gb: found.allocated_storage.unwrap_or_default(),
            encrypted: found.storage_encrypted.unwrap_or_default(),
            kms_key: text(found.kms_key_id()),
            password_secret: text(found.master_user_secret.as_ref().and_then(|secret| secret.secret_arn())),
            cluster: text(found.db_cluster_identifier()),
            parameters: text(parameters.and_then(|group| group.parameter_apply_status())),
            pending: waiting,
            performance_insights: found.performance_insights_enabled.unwrap_or_default(),
            monitoring_seconds: found.monitoring_interval.unwrap_or_default(),
            percent: found.percent_progress().and_then(|text| text.trim_end_matches('%').parse().ok()),
            settings,
            ..Self::default()
        }
        .tagged(&all)
    }

    pub(super) fn of_cluster(found: &DbCluster) -> Self {
        let all = tags(found.tag_list.as_deref());
        let mut waiting = Vec::new();
        if let Some(pending) = &found.pending_modified_values {
            let is = [
                ("password", pending.master_user_password.is_some()),
                ("backup_retention_days", pending.backup_retention_period.is_some()),
                ("engine_version", pending.engine_version.is_some()),
                ("id", pending.db_cluster_identifier.is_some()),
                ("storage_type", pending.storage_type.is_some()),
                ("log_exports", pending.pending_cloudwatch_logs_exports.is_some()),
                ("iam_authentication", pending.iam_database_authentication_enabled.is_some()),
            ];
            waiting.extend(is.into_iter().filter(|(_, is)| *is).map(|(name, _)| name.to_owned()));
        }
        let members: Vec<Member> = found
            .db_cluster_members()
            .iter()
            .map(|member| Member {
                id: text(member.db_instance_identifier()),
                writer: member.is_cluster_writer.unwrap_or_default(),
            })
            .collect();
        let options = found.db_cluster_option_group_memberships().first();
        let settings = Settings {
            class: own(found.db_cluster_instance_class()),
            security_groups: groups(found.vpc_security_groups.as_deref()),
            subnet_group: own(found.db_subnet_group()),
            parameter_group: own(found.db_cluster_parameter_group()),
            option_group: own(options.and_then(|group| group.db_cluster_option_group_name())),
            deletion_protection: found.deletion_protection,
            backup_retention_days: found.backup_retention_period,
            backup_window: own(found.preferred_backup_window()),
            maintenance_window: own(found.preferred_maintenance_window()),
            log_exports: sorted(found.enabled_cloudwatch_logs_exports.as_deref()),
            iam_authentication: found.iam_database_authentication_enabled,
            copy_tags_to_snapshot: found.copy_tags_to_snapshot,
            storage_type: own(found.storage_type()),
            performance_insights: found.performance_insights_enabled,
            port: found.port,
            tags: Some(all.clone()),
            ..Settings::default()
        };
        Self {
            exists: true,
            id: text(found.db_cluster_identifier()),
            status: text(found.status()),
            status_notes: found.status_infos().iter().filter_map(|info| info.message.clone()).collect(),
            resource_id: text(found.db_cluster_resource_id()),
            arn: text(found.db_cluster_arn()),
            engine: text(found.engine()),
            engine_version: text(found.engine_version()),
            endpoint: text(found.endpoint()),
            reader_endpoint: text(found.reader_endpoint()),
            port: found.port.unwrap_or_default(),
            username: text(found.master_username()),
            database_name: text(found.database_name()),
            created_at: time(found.cluster_create_time()),
            earliest_restorable: time(found.earliest_restorable_time()),
            latest_restorable: time(found.latest_restorable_time()),
            storage_gb: found.allocated_storage.unwrap_or_default(),
            encrypted: found.storage_encrypted.unwrap_or_default(),
            kms_key: text(found.kms_key_id()),
            password_secret: text(found.master_user_secret.as_ref().and_then(|secret| secret.secret_arn())),
            members,
            pending: waiting,
            performance_insights: found.performance_insights_enabled.unwrap_or_default(),
            monitoring_seconds: found.monitoring_interval.unwrap_or_default(),
            percent: found.percent_progress().and_then(|text| text.trim_end_matches('%').parse().ok()),
            settings,
            ..Self::default()
        }
        .tagged(&all)
    }
}
