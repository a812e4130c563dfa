//! Restoring a database beside its source: from a snapshot, or to a point in time. What a restore would silently default is read
//! from the source and carried over.

use std::time::Duration;

use aws_sdk_rds::Client;
use aws_sdk_rds::primitives::DateTime;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::checks::{check_free, check_name, check_tags, tags, taken};
use super::database::{Database, Kind};
use super::settings::{Carried, From, Settings, carry_over};
use super::state::{Stand, snapshot_stand};
use crate::model::fault::{OpError, Target};
use crate::model::{Timestamp, Value};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of};
use crate::ops::aws::fault::{Complaint, Fault};
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, unknown};

/// `rds.restore_from_snapshot`.
pub struct RestoreFromSnapshot;
/// `rds.restore_to_point_in_time`.
pub struct RestoreToPointInTime;

/// What to restore, and as what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreFromSnapshotArgs {
    /// What it is one of, and what it becomes.
    #[serde(default)]
    pub kind: Kind,
    /// The snapshot.
    pub snapshot: String,
    /// The name of the new instance or cluster, which must be free.
    pub id: String,
    /// The instance or cluster to be like; the snapshot's own source when absent, if that is still there.
    #[serde(default)]
    pub like: Option<String>,
    /// What is to be otherwise than there.
    #[serde(default)]
    pub settings: Settings,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// What to restore to when, and as what.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreToPointInTimeArgs {
    /// What it is.
    #[serde(default)]
    pub kind: Kind,
    /// The instance or cluster whose logs are used; it may be gone, if its backups were kept.
    pub source: String,
    /// The time in UTC, `2026-01-31T09:30:00Z`; the latest that there is when absent.
    #[serde(default)]
    pub at: Option<String>,
    /// The name of the new instance or cluster, which must be free.
    pub id: String,
    /// The instance or cluster to be like; the source when absent.
    #[serde(default)]
    pub like: Option<String>,
    /// What is to be otherwise than there.
    #[serde(default)]
    pub settings: Settings,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(RestoreFromSnapshotArgs, RestoreToPointInTimeArgs);

/// A database is being restored; `rds.wait_available` waits for it. A cluster has no instances yet.
#[derive(Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    /// Its identifier.
    pub id: String,
    /// What stays the same when it is renamed.
    pub resource_id: String,
    /// All that was set.
    pub settings: Settings,
    /// What of that was carried over, one line each.
    pub carried_over: Vec<String>,
    /// What was not, one line each, with what to do.
    pub not_carried_over: Vec<String>,
}

/// The image taken before a restore.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Before {
    /// What will be set, and why.
    pub carried: Carried,
    /// The engine.
    pub engine: String,
    /// Its version.
    pub engine_version: String,
    /// The resource id of a source that is gone; otherwise empty.
    pub gone: String,
}

impl Before {
    /// Of a before-image.
    #[must_use]
    pub fn read(before: &Value) -> Self {
        Self::deserialize(before).unwrap_or_default()
    }

    fn restored(self, found: &Database) -> Restored {
        Restored {
            id: found.id.clone(),
            resource_id: found.resource_id.clone(),
            settings: self.carried.settings,
            carried_over: self.carried.carried,
            not_carried_over: self.carried.left,
        }
    }
}

/// What is common to both.
struct Plan<'a> {
    act: String,
    kind: Kind,
    id: &'a str,
    like: Option<&'a str>,
    settings: &'a Settings,
}

impl Plan<'_> {
    fn check(&self, look: &dyn Look) -> Result<(), OpError> {
        let act = &self.act;
        check_name(act, self.id, 63)?;
        check_tags(act, self.settings.tags.as_ref())?;
        if let [first, ..] = self.settings.misplaced(self.kind).as_slice() {
            return Err(OpError::refused(format!("{act}: a cluster has no `{first}`"))
                .with_hint("give it to rds.create_cluster_instance"));
        }
        let later = [
            ("maintenance_window", self.settings.maintenance_window.is_some()),
            ("performance_insights", self.settings.performance_insights.is_some()),
        ];
        if let Some((name, _)) = later.into_iter().find(|(_, given)| *given) {
            return Err(OpError::refused(format!("{act}: no restore can set `{name}`"))
                .with_hint("set it by rds.modify afterwards"));
        }
        check_free(look, act, self.kind, self.id)
    }

    /// The database to be like.
    fn model(&self, look: &dyn Look, source: &str) -> Result<Option<Database>, OpError> {
        let Some(like) = self.like else {
            return if source.is_empty() { Ok(None) } else { look.database(self.kind, source) };
        };
        let found = look.database(self.kind, like)?;
        if found.is_none() && !look.is_unknown(like) {
            let (act, kind) = (&self.act, self.kind.word());
            return Err(OpError::refused(format!("{act}: there is no {kind} {like} to be like"))
                .with_hint("leave `like` out, and give all that matters in `settings`"));
        }
        Ok(found)
    }

    /// What came of a request that AWS answered.
    fn answered(
        &self,
        look: &dyn Look,
        of: Of<'_>,
        answer: Result<Option<Database>, Complaint>,
    ) -> Result<Send<Restored>, OpError> {
        match answer {
            Ok(Some(made)) => Ok(Send::Done(Before::read(of.before).restored(&made))),
            Ok(None) => Err(OpError::unknown(format!("{}: AWS answered without what it makes", self.act))),
            // A request of ours that was thought lost may have arrived after all.
            Err(complaint) if complaint.fault == Fault::Exists => match self.became(look, of)? {
                Found::Done(made) => Ok(Send::Done(made)),
                _ => Err(taken(look, &self.act, self.kind, self.id, complaint)),
            },
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn became(&self, look: &dyn Look, of: Of<'_>) -> Result<Found<Restored>, OpError> {
        let found = look.database(self.kind, self.id)?.filter(|found| found.made_by == of.key);
        Ok(found.map_or(Found::NotDone, |found| Found::Done(Before::read(of.before).restored(&found))))
    }
}

/// How what a call made is taken away again.
pub(super) fn deletion(kind: Kind, id: &str, key: &str, aws: &Access) -> Undo {
    let args = json!({ "kind": kind, "id": id, "made_by": key, "unprotect": true, "aws": aws });
    Undo::Call { op: "rds.delete", args }
}

/// What tells a database from another that bears its name later.
pub(super) fn same(look: &dyn Look, kind: Kind, id: &str) -> Result<Value, OpError> {
    Ok(json!({ "resource_id": look.database(kind, id)?.map(|found| found.resource_id) }))
}

pub(super) fn forecast(id: &str, before: &Value) -> Predicted {
    let carried = Before::read(before).carried;
    Predicted::Result(json!({
        "id": id, "resource_id": unknown("AWS chooses it"), "settings": carried.settings,
        "carried_over": carried.carried, "not_carried_over": carried.left,
    }))
}

impl RestoreFromSnapshotArgs {
    fn plan(&self) -> Plan<'_> {
        let act = format!("cannot restore snapshot {} as {} {}", self.snapshot, self.kind.word(), self.id);
        Plan { act, kind: self.kind, id: &self.id, like: self.like.as_deref(), settings: &self.settings }
    }
}

impl Operation for RestoreFromSnapshot {
    const NAME: &'static str = "rds.restore_from_snapshot";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "begins to restore a snapshot as a new instance or cluster, like its source in all that AWS \
                               would otherwise default; a cluster needs rds.create_cluster_instance afterwards";
    const PERMISSION: &'static str = "rds:RestoreDBInstanceFromDBSnapshot, rds:RestoreDBClusterFromSnapshot, \
                                      rds:AddTagsToResource; to undo it rds:Delete and rds:Modify of the same";
    const TYPICAL: Duration = Duration::from_secs(2);
    type Args = RestoreFromSnapshotArgs;
    type Output = Restored;

    fn resource(args: &RestoreFromSnapshotArgs) -> String {
        args.aws.resource("rds", &args.kind.of(&args.id))
    }

    fn target(context: &ReadContext<'_>, args: &RestoreFromSnapshotArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for RestoreFromSnapshot {
    const REPEAT: Repeat = Repeat::Keyed;
    const PROBE_DOC: &'static str = "the database of that name, if its tag holds the key";
    const UNDO_DOC: &'static str = "rds.delete, if its tag holds the key";

    fn image(look: &dyn Look, args: &RestoreFromSnapshotArgs, _: &str) -> Result<Value, OpError> {
        let plan = args.plan();
        plan.check(look)?;
        if args.settings.max_storage_gb.is_some() {
            return Err(OpError::refused(format!("{}: no restore of a snapshot can set `max_storage_gb`", plan.act))
                .with_hint("set it by rds.modify afterwards"));
        }
        let Some(snapshot) = look.snapshot(args.kind, &args.snapshot)? else {
            if look.is_unknown(&args.snapshot) {
                let source = plan.model(look, "")?;
                let version = source.as_ref().map(|source| source.engine_version.clone()).unwrap_or_default();
                let carried = carry_over(args.kind, From::Snapshot(&version), source.as_ref(), &args.settings);
                return Ok(json!(Before { carried, ..Before::default() }));
            }
            return Err(OpError::refused(format!("{}: there is no such snapshot", plan.act))
                .with_hint("rds.snapshots lists those that are there; is the kind right, and the region?"));
        };
        match snapshot_stand(&snapshot.status) {
            Stand::Usable => {}
            Stand::Coming | Stand::New => {
                return Err(OpError::transient(format!("{}: the snapshot is {}", plan.act, snapshot.status))
                    .with_hint("rds.wait_snapshot waits until it is available"));
            }
            Stand::Broken { why, choices } => {
                let status = &snapshot.status;
                return Err(
                    OpError::refused(format!("{}: the snapshot is {status}: {why}", plan.act)).with_hint(choices)
                );
            }
        }
        let source = plan.model(look, &snapshot.source)?;
        let from = From::Snapshot(&snapshot.engine_version);
        let carried = carry_over(args.kind, from, source.as_ref(), &args.settings);
        let (engine, engine_version) = (snapshot.engine, snapshot.engine_version.clone());
        Ok(json!(Before { carried, engine, engine_version, gone: String::new() }))
    }

    fn act(hands: &Hands<'_, '_>, args: &RestoreFromSnapshotArgs) -> Result<Send<Restored>, OpError> {
        let plan = args.plan();
        let before = Before::read(hands.of.before);
        let set = before.carried.settings;
        let tags = Some(tags(hands.of, set.tags.as_ref()));
        let (id, snapshot) = (args.id.clone(), args.snapshot.clone());
        let answer = match args.kind {
            Kind::Instance => hands
                .line
                .call(&plan.act, |rds: Client| {
                    rds.restore_db_instance_from_db_snapshot()
                        .db_instance_identifier(id)
                        .db_snapshot_identifier(snapshot)
                        .set_db_instance_class(set.class)
                        .set_vpc_security_group_ids(set.security_groups)
                        .set_db_subnet_group_name(set.subnet_group)
                        .set_db_parameter_group_name(set.parameter_group)
                        .set_option_group_name(set.option_group)
                        .set_multi_az(set.multi_az)
                        .set_publicly_accessible(set.publicly_accessible)
                        .set_deletion_protection(set.deletion_protection)
                        .set_backup_retention_period(set.backup_retention_days)
                        .set_preferred_backup_window(set.backup_window)
                        .set_enable_cloudwatch_logs_exports(set.log_exports)
                        .set_enable_iam_database_authentication(set.iam_authentication)
                        .set_copy_tags_to_snapshot(set.copy_tags_to_snapshot)
                        .set_auto_minor_version_upgrade(set.minor_upgrades)
                        .set_storage_type(set.storage_type)
                        .set_port(set.port)
                        .set_tags(tags)
                        .send()
                })
                .map(|answer| answer.db_instance().map(Database::of_instance)),
            Kind::Cluster => hands
                .line
                .call(&plan.act, |rds: Client| {
                    rds.restore_db_cluster_from_snapshot()
                        .db_cluster_identifier(id)
                        .snapshot_identifier(snapshot)
                        .engine(before.engine)
                        // Without it AWS takes the region's default version.
                        .engine_version(before.engine_version)
                        .set_vpc_security_group_ids(set.security_groups)
                        .set_db_subnet_group_name(set.subnet_group)
                        .set_db_cluster_parameter_group_name(set.parameter_group)
                        .set_option_group_name(set.option_group)
                        .set_deletion_protection(set.deletion_protection)
                        .set_backup_retention_period(set.backup_retention_days)
                        .set_preferred_backup_window(set.backup_window)
                        .set_enable_cloudwatch_logs_exports(set.log_exports)
                        .set_enable_iam_database_authentication(set.iam_authentication)
                        .set_copy_tags_to_snapshot(set.copy_tags_to_snapshot)
                        .set_port(set.port)
                        .set_tags(tags)
                        .send()
                })
                .map(|answer| answer.db_cluster().map(Database::of_cluster)),
        };
        plan.answered(&hands.line, hands.of, answer)
    }

    fn became(look: &dyn Look, args: &RestoreFromSnapshotArgs, of: Of<'_>) -> Result<Found<Restored>, OpError> {
        args.plan().became(look, of)
    }

    fn undoing(args: &RestoreFromSnapshotArgs, _: &Value, key: &str) -> Undo {
        deletion(args.kind, &args.id, key, &args.aws)
    }

    fn print(look: &dyn Look, args: &RestoreFromSnapshotArgs, _: &Restored) -> Result<Value, OpError> {
        same(look, args.kind, &args.id)
    }

    fn forecast(args: &RestoreFromSnapshotArgs, before: &Value, _: &str) -> Predicted {
        forecast(&args.id, before)
    }
}

impl RestoreToPointInTimeArgs {
    fn plan(&self) -> Plan<'_> {
        let act = format!(
            "cannot restore {} {} to {} as {}",
            self.kind.word(),
            self.source,
            self.at.as_deref().unwrap_or("the latest time"),
            self.id
        );
        Plan { act, kind: self.kind, id: &self.id, like: self.like.as_deref(), settings: &self.settings }
    }

    fn instant(&self, look: &dyn Look) -> Result<Option<Timestamp>, OpError> {
        let Some(at) = self.at.as_deref().filter(|at| !look.is_unknown(at)) else { return Ok(None) };
        at.parse().map(Some).map_err(|_| {
            OpError::refused(format!("{}: `{at}` is no time", self.plan().act))
                .with_hint("write it in UTC like 2026-01-31T09:30:00Z")
        })
    }
}

impl Operation for RestoreToPointInTime {
    const NAME: &'static str = "rds.restore_to_point_in_time";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "begins to restore an instance or cluster, from its automated backups, to a time as a new one \
                               that is like it; a cluster needs rds.create_cluster_instance afterwards";
    const PERMISSION: &'static str = "rds:RestoreDBInstanceToPointInTime, rds:RestoreDBClusterToPointInTime, \
                                      rds:AddTagsToResource; to undo it rds:Delete and rds:Modify of the same";
    const TYPICAL: Duration = Duration::from_secs(2);
    type Args = RestoreToPointInTimeArgs;
    type Output = Restored;

    fn resource(args: &RestoreToPointInTimeArgs) -> String {
        args.aws.resource("rds", &args.kind.of(&args.id))
    }

    fn target(context: &ReadContext<'_>, args: &RestoreToPointInTimeArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for RestoreToPointInTime {
    const REPEAT: Repeat = Repeat::Keyed;
    const PROBE_DOC: &'static str = "the database of that name, if its tag holds the key";
    const UNDO_DOC: &'static str = "rds.delete, if its tag holds the key";

    fn image(look: &dyn Look, args: &RestoreToPointInTimeArgs, _: &str) -> Result<Value, OpError> {
        let plan = args.plan();
        plan.check(look)?;
        let wanted = args.instant(look)?;
        let (act, source) = (&plan.act, look.database(args.kind, &args.source)?);
        let backups = look.backups(args.kind, &args.source)?;
        if !backups.exists {
            let hint = "rds.snapshots lists the snapshots that there may be";
            let fault = if source.is_some() { "has no automated backups" } else { "is gone, without backups" };
            return Err(OpError::refused(format!("{act}: the source {fault}")).with_hint(hint));
        }
        let (earliest, latest) = (backups.earliest.parse::<Timestamp>(), backups.latest.parse::<Timestamp>());
        if let Some(at) = wanted
            && (earliest.is_ok_and(|earliest| at < earliest) || latest.is_ok_and(|latest| at > latest))
        {
            let or = |text: &str| if text.is_empty() { "?".to_owned() } else { text.to_owned() };
            return Err(OpError::refused(format!("{act}: that time cannot be restored")).with_hint(format!(
                "times from {} to {} can be; without `at` it is the latest",
                or(&backups.earliest),
                or(&backups.latest)
            )));
        }
        let model = plan.model(look, &args.source)?;
        let carried = carry_over(args.kind, From::Logs, model.as_ref(), &args.settings);
        let gone = if source.is_some() { String::new() } else { backups.resource_id };
        let of = source.or(model);
        let (engine, engine_version) = of.map(|found| (found.engine, found.engine_version)).unwrap_or_default();
        Ok(json!(Before { carried, engine, engine_version, gone }))
    }

    fn act(hands: &Hands<'_, '_>, args: &RestoreToPointInTimeArgs) -> Result<Send<Restored>, OpError> {
        let plan = args.plan();
        let before = Before::read(hands.of.before);
        let set = before.carried.settings;
        let tags = Some(tags(hands.of, set.tags.as_ref()));
        let at = args.instant(&hands.line)?.map(|at| DateTime::from_secs(at.as_second()));
        let latest = at.is_none().then_some(true);
        let (source, gone) =
            if before.gone.is_empty() { (Some(args.source.clone()), None) } else { (None, Some(before.gone)) };
        let id = args.id.clone();
        let answer = match args.kind {
            Kind::Instance => hands
                .line
                .call(&plan.act, |rds: Client| {
                    rds.restore_db_instance_to_point_in_time()
                        .target_db_instance_identifier(id)
                        .set_source_db_instance_identifier(source)
                        .set_source_dbi_resource_id(gone)
                        .set_restore_time(at)
                        .set_use_latest_restorable_time(latest)
                        .set_db_instance_class(set.class)
                        .set_vpc_security_group_ids(set.security_groups)
                        .set_db_subnet_group_name(set.subnet_group)
                        .set_db_parameter_group_name(set.parameter_group)
                        .set_option_group_name(set.option_group)
                        .set_multi_az(set.multi_az)
                        .set_publicly_accessible(set.publicly_accessible)
                        .set_deletion_protection(set.deletion_protection)
                        .set_backup_retention_period(set.backup_retention_days)
                        .set_preferred_backup_window(set.backup_window)
                        .set_enable_cloudwatch_logs_exports(set.log_exports)
                        .set_enable_iam_database_authentication(set.iam_authentication)
                        .set_copy_tags_to_snapshot(set.copy_tags_to_snapshot)
                        .set_auto_minor_version_upgrade(set.minor_upgrades)
                        .set_storage_type(set.storage_type)
                        .set_max_allocated_storage(set.max_storage_gb)
                        .set_port(set.port)
                        .set_tags(tags)
                        .send()
                })
                .map(|answer| answer.db_instance().map(Database::of_instance)),
            Kind::Cluster => hands
                .line
                .call(&plan.act, |rds: Client| {
                    rds.restore_db_cluster_to_point_in_time()
                        .db_cluster_identifier(id)
                        .set_source_db_cluster_identifier(source)
                        .set_source_db_cluster_resource_id(gone)
                        // Copy-on-write would be a clone of the live storage: it proves no backup.
                        .restore_type("full-copy")
                        .set_restore_to_time(at)
                        .set_use_latest_restorable_time(latest)
                        .set_vpc_security_group_ids(set.security_groups)
                        .set_db_subnet_group_name(set.subnet_group)
                        .set_db_cluster_parameter_group_name(set.parameter_group)
                        .set_option_group_name(set.option_group)
                        .set_deletion_protection(set.deletion_protection)
                        .set_backup_retention_period(set.backup_retention_days)
                        .set_preferred_backup_window(set.backup_window)
                        .set_enable_cloudwatch_logs_exports(set.log_exports)
                        .set_enable_iam_database_authentication(set.iam_authentication)
                        .set_copy_tags_to_snapshot(set.copy_tags_to_snapshot)
                        .set_port(set.port)
                        .set_tags(tags)
                        .send()
                })
                .map(|answer| answer.db_cluster().map(Database::of_cluster)),
        };
        plan.answered(&hands.line, hands.of, answer)
    }

    fn became(look: &dyn Look, args: &RestoreToPointInTimeArgs, of: Of<'_>) -> Result<Found<Restored>, OpError> {
        args.plan().became(look, of)
    }

    fn undoing(args: &RestoreToPointInTimeArgs, _: &Value, key: &str) -> Undo {
        deletion(args.kind, &args.id, key, &args.aws)
    }

    fn print(look: &dyn Look, args: &RestoreToPointInTimeArgs, _: &Restored) -> Result<Value, OpError> {
        same(look, args.kind, &args.id)
    }

    fn forecast(args: &RestoreToPointInTimeArgs, before: &Value, _: &str) -> Predicted {
        forecast(&args.id, before)
    }
}
