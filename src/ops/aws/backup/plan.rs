//! What a backup plan is right now, with what it selects.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::Value;

/// What a backup plan is right now. All empty but `exists` when there is none.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Plan {
    /// Whether there is one of that id.
    pub exists: bool,
    /// Its id.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
    /// Its version.
    pub version: String,
    /// When it was made.
    pub created_at: String,
    /// When it last backed something up; empty when never.
    pub last_run: String,
    /// Its rules, in the fields in which AWS's own documents have them; none in lists.
    pub rules: Vec<Rule>,
    /// What it backs up. Without any it protects nothing.
    pub selections: Vec<Selection>,
    /// The token of the call that made it; empty when no run did.
    pub made_by: String,
}

/// What a plan backs up.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default, deny_unknown_fields)]
pub struct Selection {
    /// Its id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// The role as which AWS backs up.
    pub role: String,
    /// The token of the call that made it; empty when no run did.
    pub made_by: String,
}

/// A document of a plan, as AWS's own tools take it: `{"BackupPlanName": …, "Rules": […]}`.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Document {
    /// The name of the plan.
    pub backup_plan_name: String,
    /// Its rules.
    pub rules: Vec<Rule>,
}

/// A rule of a plan.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Rule {
    /// Its name.
    pub rule_name: String,
    /// The vault that recovery points go to.
    pub target_backup_vault_name: String,
    /// When: `cron(0 5 ? * * *)`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_expression: Option<String>,
    /// In which time zone that is; UTC when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub schedule_expression_timezone: Option<String>,
    /// How many minutes late a job may start.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub start_window_minutes: Option<i64>,
    /// Within how many minutes it has to be done.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub completion_window_minutes: Option<i64>,
    /// How long recovery points are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
    /// Whether restores to any point in time are possible.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub enable_continuous_backup: Option<bool>,
    /// Where copies go.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copy_actions: Vec<CopyTo>,
}

/// How long recovery points are kept.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct Lifecycle {
    /// After how many days they are deleted.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub delete_after_days: Option<i64>,
    /// After how many days they are moved where it is cheap and slow.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub move_to_cold_storage_after_days: Option<i64>,
}

/// Where a copy of a recovery point goes.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "PascalCase", deny_unknown_fields)]
pub struct CopyTo {
    /// The ARN of the other vault.
    pub destination_backup_vault_arn: String,
    /// How long copies are kept.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub lifecycle: Option<Lifecycle>,
}

impl Document {
    /// Of JSON as the tools of AWS take it, by itself or under `BackupPlan`. What does not fit, in words, otherwise.
    pub(super) fn read(document: &Value) -> Result<Self, String> {
        let inner = document.get("BackupPlan").filter(|_| document.as_object().is_some_and(|all| all.len() == 1));
        let read = Self::deserialize(inner.unwrap_or(document)).map_err(|e| e.to_string())?;
        if read.rules.is_empty() { Err("it has no rules".to_owned()) } else { Ok(read) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_document_is_read_by_itself_and_under_its_name_and_what_it_means_is_never_lost() {
        let rule = json!({ "RuleName": "daily", "TargetBackupVaultName": "v", "Lifecycle": { "DeleteAfterDays": 30 } });
        let bare = json!({ "BackupPlanName": "p", "Rules": [rule] });
        let read = Document::read(&bare).unwrap();
        assert_eq!(Document::read(&json!({ "BackupPlan": bare })).unwrap(), read);
        assert_eq!(serde_json::to_value(&read).unwrap(), bare);
        for (wrong, why) in [
            (json!({ "BackupPlanName": "p", "Rules": [] }), "no rules"),
            (json!({ "BackupPlanName": "p", "Rules": [{ "RuleName": "x" }] }), "TargetBackupVaultName"),
            (json!({ "BackupPlanName": "p", "Rules": [rule], "Other": 1 }), "Other"),
        ] {
            assert!(Document::read(&wrong).unwrap_err().contains(why), "{wrong}");
        }
    }
}
