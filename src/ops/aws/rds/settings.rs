//! What a restore or a modification of a database can set, and what a restore carries over from its source because it would
//! otherwise fall to AWS's defaults without a word.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::database::{Database, Kind};
use crate::model::Value;

/// What a restore or a modification can set. What is absent is left as it is, or carried over.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Settings {
    /// The class: `db.t3.medium`. Clusters have none of their own.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub class: Option<String>,
    /// The VPC security groups: `sg-…`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub security_groups: Option<Vec<String>>,
    /// The subnet group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub subnet_group: Option<String>,
    /// The parameter group; of a cluster, its cluster parameter group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub parameter_group: Option<String>,
    /// The option group.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub option_group: Option<String>,
    /// Whether a standby waits in another zone. Instances only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub multi_az: Option<bool>,
    /// Whether it has a public address. Instances only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub publicly_accessible: Option<bool>,
    /// Whether AWS refuses to delete it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub deletion_protection: Option<bool>,
    /// For how many days automated backups are kept; 0 is none at all.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_retention_days: Option<i32>,
    /// When the daily backup is made: `03:00-04:00`.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub backup_window: Option<String>,
    /// When maintenance is done: `sun:05:00-sun:06:00`. No restore can set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub maintenance_window: Option<String>,
    /// The logs that go to CloudWatch.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub log_exports: Option<Vec<String>>,
    /// Whether IAM users can log in.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub iam_authentication: Option<bool>,
    /// Whether its snapshots get its tags.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub copy_tags_to_snapshot: Option<bool>,
    /// Whether minor versions are installed by AWS. Instances only.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub minor_upgrades: Option<bool>,
    /// `gp3`, `io1`, …
    #[serde(skip_serializing_if = "Option::is_none")]
    pub storage_type: Option<String>,
    /// Up to how many GiB its storage grows by itself. Instances only; no restore of a snapshot can set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub max_storage_gb: Option<i32>,
    /// Whether Performance Insights looks at it. Of instances; no restore can set it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub performance_insights: Option<bool>,
    /// The port.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub port: Option<i32>,
    /// Its tags; those that Muster and AWS give themselves are no part of what is carried over.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub tags: Option<BTreeMap<String, String>>,
}

/// What a restore is made from.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum From<'v> {
    /// A snapshot of this engine version.
    Snapshot(&'v str),
    /// The logs, up to a point in time.
    Logs,
}

/// What a restore will set, and why.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Carried {
    /// All that it sets.
    pub settings: Settings,
    /// What of that is carried over, one line each: `security_groups: sg-1, sg-2`.
    pub carried: Vec<String>,
    /// What the source has and no restore can set, one line each, with what to do.
    pub left: Vec<String>,
}

/// `14` of `14.6`; `8.0` of `8.0.36`: versions of one major version share parameter groups.
fn major<'v>(engine: &str, version: &'v str) -> &'v str {
    let parts = if engine.contains("mysql") || engine.contains("mariadb") { 2 } else { 1 };
    version.match_indices('.').nth(parts - 1).map_or(version, |(at, _)| &version[..at])
}

fn words(value: &Value) -> String {
    match value {
        Value::String(text) => text.clone(),
        Value::Array(items) => items.iter().map(words).collect::<Vec<_>>().join(", "),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| format!("{name}={}", words(value))).collect::<Vec<_>>().join(", ")
        }
        other => other.to_string(),
    }
}

/// A tag that is nobody's to set, or that says who made the thing.
fn is_reserved(name: &str) -> bool {
    name.starts_with("aws:") || name.starts_with("muster.")
}

/// What a restore has to set so that the new database is like its source, but for what is `asked` for otherwise. Without a
/// source only that is set, and all else falls to AWS's defaults.
#[must_use]
pub fn carry_over(kind: Kind, from: From<'_>, source: Option<&Database>, asked: &Settings) -> Carried {
    let mut result = Carried { settings: asked.clone(), ..Carried::default() };
    let Some(source) = source else {
        result.left.push("there is no source to carry over from: what is not given falls to AWS's defaults".to_owned());
        return result;
    };
    let mut theirs = source.settings.clone();
    // What AWS has for everybody is what a restore gives anyway.
    theirs.parameter_group = theirs.parameter_group.filter(|name| !name.starts_with("default"));
    theirs.option_group = theirs.option_group.filter(|name| !name.starts_with("default"));
    theirs.security_groups = theirs.security_groups.filter(|groups| !groups.is_empty());
    theirs.log_exports = theirs.log_exports.filter(|logs| !logs.is_empty());
    if let Some(tags) = &mut theirs.tags {
        tags.retain(|name, _| !is_reserved(name));
    }
    theirs.tags = theirs.tags.filter(|tags| !tags.is_empty());
    if let From::Snapshot(version) = from
        && major(&source.engine, version) != major(&source.engine, &source.engine_version)
    {
        for (what, group) in
            [("parameter_group", &mut theirs.parameter_group), ("option_group", &mut theirs.option_group)]
        {
            if let Some(name) = group.take() {
                result.left.push(format!(
                    "{what} {name}: it is for version {}, the snapshot is of {version}; give one that fits",
                    source.engine_version
                ));
            }
        }
    }
    if kind == Kind::Cluster {
        // Aurora has one kind of storage, which follows the engine.
        (theirs.class, theirs.storage_type) = (None, None);
    }
    let mut later = |what: &str, value: Option<String>| {
        if let Some(value) = value {
            result.left.push(format!("{what} {value}: no restore can set it; rds.modify can, afterwards"));
        }
    };
    if asked.maintenance_window.is_none() {
        later("maintenance_window", theirs.maintenance_window.take());
    }
    if asked.max_storage_gb.is_none() && matches!(from, From::Snapshot(_)) {
        later("max_storage_gb", theirs.max_storage_gb.take().map(|gb| gb.to_string()));
    }
    if asked.performance_insights.is_none() && theirs.performance_insights.take() == Some(true) {
        result.left.push(match kind {
            Kind::Instance => "performance_insights: no restore can set it; rds.modify can, afterwards".to_owned(),
            Kind::Cluster => "Performance Insights: turn it on afterwards, on its instances".to_owned(),
        });
    }
    if source.monitoring_seconds > 0 {
        result.left.push(format!("Enhanced Monitoring every {} s: turn it on afterwards", source.monitoring_seconds));
    }
    if !source.password_secret.is_empty() {
        result.left.push("the master password kept by AWS: the restored database has that of its time".to_owned());
    }
    let (theirs, given) = (as_map(&theirs), as_map(asked));
    let mut settled = given.clone();
    for (name, value) in theirs {
        if !given.contains_key(&name) {
            result.carried.push(format!("{name}: {}", words(&value)));
            settled.insert(name, value);
        }
    }
    result.settings = Settings::deserialize(Value::Object(settled)).unwrap_or_else(|_| asked.clone());
    result
}

pub(super) fn as_map(settings: &Settings) -> serde_json::Map<String, Value> {
    match serde_json::to_value(settings) {
        Ok(Value::Object(fields)) => fields,
        _ => serde_json::Map::new(),
    }
}

impl Settings {
    /// The same settings of another database: what these set, as it is there.
    #[must_use]
    pub fn as_in(&self, other: &Self) -> Self {
        let (asked, theirs) = (as_map(self), as_map(other));
        let same = theirs.into_iter().filter(|(name, _)| asked.contains_key(name)).collect();
        Self::deserialize(Value::Object(same)).unwrap_or_default()
    }

    /// These, with what the others set in their place.
    #[must_use]
    pub fn overlaid(&self, over: &Self) -> Self {
        let mut all = as_map(self);
        all.extend(as_map(over));
        Self::deserialize(Value::Object(all)).unwrap_or_else(|_| self.clone())
    }

    /// What is set here and no database of this kind has: a mistake of whoever asks for it.
    #[must_use]
    pub fn misplaced(&self, kind: Kind) -> Vec<&'static str> {
        let only_instances = [
            ("class", self.class.is_some()),
            ("multi_az", self.multi_az.is_some()),
            ("publicly_accessible", self.publicly_accessible.is_some()),
            ("minor_upgrades", self.minor_upgrades.is_some()),
            ("max_storage_gb", self.max_storage_gb.is_some()),
            ("storage_type", self.storage_type.is_some()),
            ("performance_insights", self.performance_insights.is_some()),
        ];
        let cluster = kind == Kind::Cluster;
        only_instances.into_iter().filter(|(_, given)| cluster && *given).map(|(name, _)| name).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    fn source() -> Database {
        Database::deserialize(json!({
            "exists": true, "id": "chat", "engine": "postgres", "engine_version": "14.6",
            "settings": {
                "performance_insights": true,
                "class": "db.t3.small", "security_groups": ["sg-1", "sg-2"], "subnet_group": "private",
                "parameter_group": "chat-pg14", "option_group": "default:postgres-14", "multi_az": true,
                "deletion_protection": true, "backup_retention_days": 7, "log_exports": ["postgresql"],
                "iam_authentication": false, "max_storage_gb": 100, "maintenance_window": "sun:05:00-sun:06:00",
                "tags": { "team": "chat", "aws:cloudformation:stack-name": "x", "muster.run": "r", "muster.key": "k" },
            },
        }))
        .unwrap()
    }

    #[test]
    fn what_a_restore_would_default_comes_from_the_source() {
        let asked = Settings { class: Some("db.t3.large".to_owned()), ..Settings::default() };
        let result = carry_over(Kind::Instance, From::Snapshot("14.6"), Some(&source()), &asked);
        assert_eq!(result.settings.class.as_deref(), Some("db.t3.large"));
        assert_eq!(result.settings.security_groups.as_deref(), Some(&["sg-1".to_owned(), "sg-2".to_owned()][..]));
        assert_eq!(result.settings.parameter_group.as_deref(), Some("chat-pg14"));
        assert_eq!((result.settings.multi_az, result.settings.deletion_protection), (Some(true), Some(true)));
        assert_eq!(result.settings.tags, Some(BTreeMap::from([("team".to_owned(), "chat".to_owned())])));
        assert_eq!((result.settings.max_storage_gb, &result.settings.maintenance_window), (None, &None));
        assert_eq!(result.settings.option_group, None);
        for said in ["security_groups: sg-1, sg-2", "multi_az: true", "backup_retention_days: 7", "tags: team=chat"] {
            assert!(result.carried.iter().any(|line| line == said), "{said}: {:?}", result.carried);
        }
        assert!(!result.carried.iter().any(|line| line.starts_with("class")));
        for said in ["max_storage_gb 100", "maintenance_window sun", "performance_insights"] {
            assert!(result.left.iter().any(|line| line.starts_with(said)), "{said}: {:?}", result.left);
        }
    }

    #[test]
    fn a_point_in_time_takes_the_storage_limit_along() {
        let result = carry_over(Kind::Instance, From::Logs, Some(&source()), &Settings::default());
        assert_eq!((result.settings.max_storage_gb, result.settings.performance_insights), (Some(100), None));
    }

    #[test]
    fn a_parameter_group_of_another_major_version_stays_behind_and_is_named() {
        let result = carry_over(Kind::Instance, From::Snapshot("13.9"), Some(&source()), &Settings::default());
        assert_eq!(result.settings.parameter_group, None);
        assert!(result.left.iter().any(|line| line.starts_with("parameter_group chat-pg14")), "{:?}", result.left);
        assert_eq!(major("mysql", "8.0.36"), "8.0");
        assert_eq!(major("aurora-postgresql", "14.6"), "14");
    }

    #[test]
    fn without_a_source_only_what_is_asked_for_is_set() {
        let result = carry_over(Kind::Cluster, From::Logs, None, &Settings::default());
        assert_eq!((result.settings, result.left.len()), (Settings::default(), 1));
    }
}
