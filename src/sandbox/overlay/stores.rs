//! File systems and their backups in a plan: what calls look at and change, what of a live account is imported, and what differs
//! afterwards.

use serde::Deserialize;
use serde_json::json;

use super::diff::{Difference, push, sides};
use super::footprint::{Depth, Reach};
use super::import::Importer;
use super::state::State;
use crate::model::Value;
use crate::ops::aws::Access;
use crate::ops::aws::backup::{Plan, RecoveryPoint, Vault};
use crate::ops::aws::efs::FileSystem;
use crate::sandbox::stores::given;
use crate::sandbox::world::World;

fn access(args: &Value) -> Access {
    args.get("aws").and_then(|aws| Access::deserialize(aws).ok()).unwrap_or_default()
}

fn keys(op: &str, args: &Value) -> Vec<(&'static str, String)> {
    let text = |name: &str| Some(given(args, name)).filter(|text| !text.is_empty());
    let named = |kind: &str, name: &str| text(name).map(|text| format!("{kind}:{text}"));
    let vault = || ("backup", named("vault", "vault"));
    let point = || ("backup", named("point", "recovery_point"));
    let plans = || ("backup", Some("plans".to_owned()));
    let all = match op {
        "backup.vaults" => vec![("backup", Some("vaults".to_owned()))],
        "backup.vault" | "backup.recovery_points" | "backup.start_job" => vec![vault()],
        "backup.recovery_point" | "backup.delete_recovery_point" => vec![vault(), point()],
        "backup.start_restore" => vec![vault(), point()],
        "backup.discard_restore" => vec![point(), ("efs", Some("made".to_owned()))],
        "backup.wait_job" => vec![("backup", named("job", "job"))],
        "backup.wait_restore" => vec![("backup", named("restore", "job"))],
        "backup.create_plan" => vec![plans(), ("backup", Some("vaults".to_owned()))],
        "efs.file_systems" => vec![("efs", Some("fs:*".to_owned()))],
        _ if op.starts_with("backup.") => vec![plans()],
        _ => vec![("efs", named("fs", "file_system"))],
    };
    all.into_iter().filter_map(|(family, key)| Some((family, key?))).collect()
}

/// What a call's answer, or its precondition, hangs on.
pub(super) fn reach(op: &str, args: &Value) -> Vec<Reach> {
    let access = access(args);
    let one = |(family, key): (&'static str, String)| match key.as_str() {
        "fs:*" => Reach { key: "efs".to_owned(), depth: Depth::Below },
        "vaults" => Reach { key: "backup".to_owned(), depth: Depth::Below },
        _ => Reach { key: access.resource(family, &key), depth: Depth::Itself },
    };
    keys(op, args).into_iter().map(one).collect()
}

/// What an effect sets.
pub(super) fn targets(op: &str, args: &Value) -> Vec<String> {
    let access = access(args);
    let own = |(_, key): &(&str, String)| match op {
        "backup.start_restore" | "backup.discard_restore" => !key.starts_with("vault:") && !key.starts_with("point:"),
        _ => key != "vaults",
    };
    keys(op, args).into_iter().filter(own).map(|(family, key)| access.resource(family, &key)).collect()
}

impl Importer<'_> {
    /// Looks at a vault, a recovery point, the plans, or a file system.
    pub(super) fn see_stored(&self, state: &mut State, key: &str) -> Result<(), String> {
        let access = access(&self.request.args);
        if state.is_own(key) || state.seen.contains(key) {
            return Ok(());
        }
        let aws = json!(access);
        let family = key.split('/').next().unwrap_or_default();
        let name = key.strip_prefix(&access.resource(family, "")).unwrap_or_default();
        let (what, name) = name.split_once(':').unwrap_or((name, ""));
        match (family, what) {
            ("efs", "fs") => {
                let found: FileSystem = self.ask("efs.file_system", json!({ "file_system": name, "aws": aws }))?;
                if found.exists {
                    state.world_mut().aws.efs.file_systems.insert(name.to_owned(), found);
                }
            }
            ("backup", "vault") => {
                let found: Vault = self.ask("backup.vault", json!({ "vault": name, "aws": aws }))?;
                if found.exists {
                    state.world_mut().aws.backup.vaults.insert(name.to_owned(), found);
                    let listed: Value = self.ask("backup.recovery_points", json!({ "vault": name, "aws": aws }))?;
                    for one in listed["recovery_points"].as_array().into_iter().flatten() {
                        let Ok(one) = RecoveryPoint::deserialize(one) else { continue };
                        let points = &mut state.world_mut().aws.backup.recovery_points;
                        if !points.contains_key(&one.arn) {
                            points.insert(one.arn.clone(), one);
                        }
                    }
                }
            }
            ("backup", "point") => {
                let vault = given(&self.request.args, "vault");
                if !vault.is_empty() {
                    let args = json!({ "vault": vault, "recovery_point": name, "aws": aws });
                    let found: RecoveryPoint = self.ask("backup.recovery_point", args)?;
                    if found.exists {
                        state.world_mut().aws.backup.recovery_points.insert(name.to_owned(), found);
                    }
                }
            }
            ("backup", "plans") => {
                let listed: Value = self.ask("backup.plans", json!({ "aws": aws }))?;
                for one in listed["plans"].as_array().into_iter().flatten() {
                    let Ok(one) = Plan::deserialize(one) else { continue };
                    let args = json!({ "plan": one.id, "aws": aws });
                    let whole: Plan = self.ask("backup.plan", args)?;
                    state.world_mut().aws.backup.plans.insert(one.id.clone(), whole);
                }
            }
            ("backup", "") => self.see_vaults(state, &aws)?,
            _ => return Ok(()),
        }
        state.seen.insert(key.to_owned());
        Ok(())
    }

    fn see_vaults(&self, state: &mut State, aws: &Value) -> Result<(), String> {
        let listed: Value = self.ask("backup.vaults", json!({ "aws": aws }))?;
        for one in listed["vaults"].as_array().into_iter().flatten() {
            let Ok(one) = Vault::deserialize(one) else { continue };
            let vaults = &mut state.world_mut().aws.backup.vaults;
            if !vaults.contains_key(&one.name) {
                vaults.insert(one.name.clone(), one);
            }
        }
        Ok(())
    }
}

/// What differs between the file systems and backups of two worlds, for a reviewer.
pub(super) fn differences(before: &World, after: &World, found: &mut Vec<Difference>) {
    let (old, new) = (&before.aws.backup, &after.aws.backup);
    for item in old.recovery_points.diff(&new.recovery_points) {
        let (_, was, is) = sides(item);
        let Some(any) = is.or(was) else { continue };
        let shown = |one: Option<&RecoveryPoint>| one.map_or(Value::Null, |one| json!({ "of": one.resource }));
        push(
            format!("backup/{}/recovery point of {}", any.vault, crate::ops::aws::entry::id_of(&any.resource)),
            shown(was),
            shown(is),
            found,
        );
    }
    for item in old.restores.diff(&new.restores) {
        let (_, was, is) = sides(item);
        let Some(any) = is.or(was) else { continue };
        let shown = |one: Option<&crate::ops::aws::backup::RestoreJob>| {
            one.map_or(Value::Null, |one| json!({ "to": one.created_resource, "type": one.resource_type }))
        };
        push(format!("backup/restore of {}", any.recovery_point), shown(was), shown(is), found);
    }
    for item in old.plans.diff(&new.plans) {
        let (_, was, is) = sides(item);
        let Some(any) = is.or(was) else { continue };
        let shown = |one: Option<&Plan>| {
            one.map_or(Value::Null, |one| {
                let selections: Vec<&str> = one.selections.iter().map(|one| one.name.as_str()).collect();
                json!({ "rules": one.rules, "selections": selections })
            })
        };
        push(format!("backup/plan:{}", any.name), shown(was), shown(is), found);
    }
    for item in before.aws.efs.file_systems.diff(&after.aws.efs.file_systems) {
        let (id, was, is) = sides(item);
        let shown = |one: Option<&FileSystem>| {
            one.map_or(Value::Null, |one| {
                let targets: Vec<Value> = one
                    .mount_targets
                    .iter()
                    .map(|one| json!({ "subnet": one.subnet, "security_groups": one.security_groups }))
                    .collect();
                json!({
                    "encrypted": one.encrypted, "kms_key": one.kms_key, "performance": one.performance,
                    "throughput": one.throughput, "mount_targets": targets,
                })
            })
        };
        push(format!("efs/fs:{id}"), shown(was), shown(is), found);
    }
}
