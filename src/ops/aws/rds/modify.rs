//! Changing a database that is there: its settings, or its master password.

use std::time::Duration;

use aws_sdk_rds::Client;
use aws_sdk_rds::types::CloudwatchLogsExportConfiguration;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::checks::{check_settled, present};
use super::database::{Database, Kind};
use super::settings::{Settings, as_map};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::args::Confidential;
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of};
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo};

/// `rds.modify`.
pub struct Modify;

/// What to change.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ModifyArgs {
    /// What it is.
    #[serde(default)]
    pub kind: Kind,
    /// Its identifier.
    pub id: String,
    /// What is to be set, now and not in the maintenance window.
    #[serde(default)]
    pub settings: Settings,
    /// A new master password, in a call of its own.
    #[serde(default)]
    pub password: Option<Confidential>,
    /// Only if it has this resource id; another database of that name is left alone. An undo passes it.
    #[serde(default)]
    pub resource_id: Option<String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(ModifyArgs);

/// A database was told to change; `rds.wait_available` with `applied: true` waits until it has.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Modified {
    /// Its identifier.
    pub id: String,
    /// What stays the same when it is renamed; empty when it was left alone.
    pub resource_id: String,
    /// What was set.
    pub settings: Settings,
}

/// The image taken before.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
struct Before {
    /// Empty when there is nothing to change.
    resource_id: String,
    /// What the settings were.
    was: Settings,
    /// Whether the same run made the database: what it was then goes with it.
    own: bool,
}

impl ModifyArgs {
    fn act(&self) -> String {
        format!("cannot modify {} {}", self.kind.word(), self.id)
    }

    fn check(&self) -> Result<(), OpError> {
        let act = self.act();
        let set = &self.settings;
        if self.password.is_some() && *set != Settings::default() {
            return Err(OpError::refused(format!("{act}: a password and settings in one call"))
                .with_hint("give the password in a call of its own: it cannot be undone as the others can"));
        }
        if self.password.is_none() && *set == Settings::default() {
            return Err(OpError::refused(format!("{act}: nothing to change is given"))
                .with_hint("give `settings` or `password`"));
        }
        if let [first, ..] = set.misplaced(self.kind).as_slice() {
            return Err(OpError::refused(format!("{act}: a cluster has no `{first}`"))
                .with_hint("modify its instances instead"));
        }
        let fixed = [
            ("subnet_group", set.subnet_group.is_some()),
            ("storage_type", set.storage_type.is_some()),
            ("port", set.port.is_some()),
            ("tags", set.tags.is_some()),
        ];
        match fixed.into_iter().find(|(_, given)| *given) {
            Some((name, _)) => {
                Err(OpError::refused(format!("{act}: `{name}` cannot be set here")).with_hint("give it to the restore"))
            }
            None => Ok(()),
        }
    }

    /// The settings that are asked for, as they are or are about to be.
    fn now(&self, found: &Database) -> Settings {
        let mut now = as_map(&self.settings.as_in(&found.settings));
        for (name, wanted) in as_map(&self.settings) {
            if found.pending.contains(&name) {
                now.insert(name, wanted);
            }
        }
        Settings::deserialize(Value::Object(now)).unwrap_or_default()
    }

    fn is_so(&self, found: &Database) -> bool {
        let sorted = |settings: &Settings| {
            let mut settings = settings.clone();
            for list in [&mut settings.security_groups, &mut settings.log_exports] {
                list.iter_mut().for_each(|list| list.sort());
            }
            settings
        };
        sorted(&self.now(found)) == sorted(&self.settings)
    }

    /// The database that is meant; none when another bears its name.
    fn meant(&self, look: &dyn Look) -> Result<Option<Database>, OpError> {
        let found = match &self.resource_id {
            Some(_) => look.database(self.kind, &self.id)?,
            None => Some(present(look, &self.act(), self.kind, &self.id)?),
        };
        Ok(found.filter(|found| self.resource_id.as_ref().is_none_or(|id| *id == found.resource_id)))
    }

    fn done(&self, resource_id: &str) -> Modified {
        Modified { id: self.id.clone(), resource_id: resource_id.to_owned(), settings: self.settings.clone() }
    }
}

/// Which logs to begin and which to cease to export.
fn logs(wanted: Option<&[String]>, now: Option<&[String]>) -> Option<CloudwatchLogsExportConfiguration> {
    let (wanted, now) = (wanted?, now.unwrap_or_default());
    let without = |these: &[String], those: &[String]| {
        let left: Vec<String> = these.iter().filter(|one| !those.contains(one)).cloned().collect();
        Some(left).filter(|left| !left.is_empty())
    };
    Some(
        CloudwatchLogsExportConfiguration::builder()
            .set_enable_log_types(without(wanted, now))
            .set_disable_log_types(without(now, wanted))
            .build(),
    )
}

impl Operation for Modify {
    const NAME: &'static str = "rds.modify";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "sets settings of an instance or cluster, or its master password, at once";
    const PERMISSION: &'static str = "rds:ModifyDBInstance, rds:ModifyDBCluster";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = ModifyArgs;
    type Output = Modified;

    fn resource(args: &ModifyArgs) -> String {
        args.aws.resource("rds", &args.kind.of(&args.id))
    }

    fn target(context: &ReadContext<'_>, args: &ModifyArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for Modify {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether the settings are so, or about to be; a password is set again";
    const UNDO_DOC: &'static str = "rds.modify with what was set before; impossible for a password, unless the run made \
                                    the database";

    fn image(look: &dyn Look, args: &ModifyArgs, run: &str) -> Result<Value, OpError> {
        args.check()?;
        let Some(found) = args.meant(look)? else { return Ok(json!(Before::default())) };
        if !args.is_so(&found) || args.password.is_some() {
            check_settled(&args.act(), args.kind, &found)
                .or_else(|error| if mends(args, &found) { Ok(()) } else { Err(error) })?;
        }
        let own = found.owned_by == run;
        Ok(json!(Before { was: args.settings.as_in(&found.settings), resource_id: found.resource_id, own }))
    }

    fn act(hands: &Hands<'_, '_>, args: &ModifyArgs) -> Result<Send<Modified>, OpError> {
        let act = args.act();
        let before = Before::deserialize(hands.of.before).unwrap_or_default();
        let found = args.meant(&hands.line)?.filter(|found| found.resource_id == before.resource_id);
        let Some(found) = found.filter(|_| !before.resource_id.is_empty()) else {
            return Ok(Send::Done(args.done("")));
        };
        if args.password.is_none() && args.is_so(&found) {
            return Ok(Send::Done(args.done(&before.resource_id)));
        }
        let password = match &args.password {
            Some(password) => Some(password.reveal(hands.context.read.secrets)?),
            None => None,
        };
        let (set, id) = (args.settings.clone(), args.id.clone());
        let exports = logs(set.log_exports.as_deref(), found.settings.log_exports.as_deref());
        match args.kind {
            Kind::Instance => hands
                .line
                .call(&act, |rds: Client| {
                    rds.modify_db_instance()
                        .db_instance_identifier(id)
                        .apply_immediately(true)
                        .set_master_user_password(password)
                        .set_db_instance_class(set.class)
                        .set_vpc_security_group_ids(set.security_groups)
                        .set_db_parameter_group_name(set.parameter_group)
                        .set_option_group_name(set.option_group)
                        .set_multi_az(set.multi_az)
                        .set_publicly_accessible(set.publicly_accessible)
                        .set_deletion_protection(set.deletion_protection)
                        .set_backup_retention_period(set.backup_retention_days)
                        .set_preferred_backup_window(set.backup_window)
                        .set_preferred_maintenance_window(set.maintenance_window)
                        .set_cloudwatch_logs_export_configuration(exports)
                        .set_enable_iam_database_authentication(set.iam_authentication)
                        .set_copy_tags_to_snapshot(set.copy_tags_to_snapshot)
                        .set_auto_minor_version_upgrade(set.minor_upgrades)
                        .set_max_allocated_storage(set.max_storage_gb)
                        .set_enable_performance_insights(set.performance_insights)
                        .send()
                })
                .map(|_| ())?,
            Kind::Cluster => hands
                .line
                .call(&act, |rds: Client| {
                    rds.modify_db_cluster()
                        .db_cluster_identifier(id)
                        .apply_immediately(true)
                        .set_master_user_password(password)
                        .set_vpc_security_group_ids(set.security_groups)
                        .set_db_cluster_parameter_group_name(set.parameter_group)
                        .set_option_group_name(set.option_group)
                        .set_deletion_protection(set.deletion_protection)
                        .set_backup_retention_period(set.backup_retention_days)
                        .set_preferred_backup_window(set.backup_window)
                        .set_preferred_maintenance_window(set.maintenance_window)
                        .set_cloudwatch_logs_export_configuration(exports)
                        .set_enable_iam_database_authentication(set.iam_authentication)
                        .set_copy_tags_to_snapshot(set.copy_tags_to_snapshot)
                        .send()
                })
                .map(|_| ())?,
        }
        Ok(Send::Done(args.done(&before.resource_id)))
    }

    fn became(look: &dyn Look, args: &ModifyArgs, of: Of<'_>) -> Result<Found<Modified>, OpError> {
        let resource_id = of.earlier("resource_id");
        let found = look.database(args.kind, &args.id)?.filter(|found| found.resource_id == resource_id);
        Ok(match found {
            _ if resource_id.is_empty() => Found::Done(args.done("")),
            Some(found) if args.password.is_none() && args.is_so(&found) => Found::Done(args.done(resource_id)),
            Some(_) => Found::NotDone,
            None => Found::CannotTell(format!("{}: it is gone, or another bears its name", args.act())),
        })
    }

    fn undoing(args: &ModifyArgs, before: &Value, _: &str) -> Undo {
        let before = Before::deserialize(before).unwrap_or_default();
        if before.resource_id.is_empty() || before.was == args.settings && args.password.is_none() {
            return Undo::Nothing;
        }
        if args.password.is_some() {
            return if before.own {
                Undo::Nothing
            } else {
                Undo::Impossible("the former master password is not known; set it anew by hand")
            };
        }
        if before.was == Settings::default() {
            // Nothing of it was set: there is nothing to set it back to.
            return if before.own {
                Undo::Nothing
            } else {
                Undo::Impossible("none of it was set before, and AWS cannot be told to unset it; set it by hand")
            };
        }
        let args = json!({
            "kind": args.kind, "id": args.id, "settings": before.was, "resource_id": before.resource_id,
            "aws": args.aws,
        });
        Undo::Call { op: "rds.modify", args }
    }

    fn print(look: &dyn Look, args: &ModifyArgs, _: &Modified) -> Result<Value, OpError> {
        let found = look.database(args.kind, &args.id)?;
        Ok(json!({
            "resource_id": found.as_ref().map(|found| &found.resource_id),
            "settings": found.as_ref().map(|found| args.now(found)),
        }))
    }

    fn forecast(args: &ModifyArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "id": args.id, "resource_id": before["resource_id"], "settings": args.settings }))
    }
}

/// Whether the change is what gets a database out of the state it is in.
fn mends(args: &ModifyArgs, found: &Database) -> bool {
    match found.status.as_str() {
        "incompatible-parameters" => args.settings.parameter_group.is_some(),
        "incompatible-option-group" => args.settings.option_group.is_some(),
        "storage-full" => args.settings.max_storage_gb.is_some(),
        _ => false,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_was_not_set_before_is_nothing_to_set_back() {
        let asked = json!({ "id": "chat-r", "settings": { "maintenance_window": "sun:05:00-sun:06:00" } });
        let args = ModifyArgs::deserialize(&asked).unwrap();
        let undo = |own| Modify::undoing(&args, &json!({ "resource_id": "db-1", "was": {}, "own": own }), "k");
        assert!(matches!(undo(true), Undo::Nothing));
        assert!(matches!(undo(false), Undo::Impossible(_)));
    }
}
