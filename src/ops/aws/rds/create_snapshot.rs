//! Taking a snapshot of a database.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_rds::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::checks::{check_name, check_settled, check_tags, owner, present, tags};
use super::database::{Database, Kind};
use super::snapshot::Snapshot;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of};
use crate::ops::aws::fault::Fault;
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, unknown};

/// `rds.create_snapshot`.
pub struct CreateSnapshot;

/// Of what to take a snapshot.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSnapshotArgs {
    /// Of what it is one.
    #[serde(default)]
    pub kind: Kind,
    /// The instance or cluster.
    pub id: String,
    /// The name of the snapshot, which must be free: put the run's short id into it.
    pub snapshot: String,
    /// Tags for it.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(CreateSnapshotArgs);

/// A snapshot is being taken; `rds.wait_snapshot` waits for it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SnapshotMade {
    /// Its identifier.
    pub id: String,
    /// Its ARN.
    pub arn: String,
    /// The instance or cluster that it is of.
    pub source: String,
    /// What stays the same when that is renamed.
    pub source_resource_id: String,
    /// The version of the engine.
    pub engine_version: String,
}

impl SnapshotMade {
    /// As AWS describes it.
    #[must_use]
    pub fn of(found: &Snapshot) -> Self {
        Self {
            id: found.id.clone(),
            arn: found.arn.clone(),
            source: found.source.clone(),
            source_resource_id: found.source_resource_id.clone(),
            engine_version: found.engine_version.clone(),
        }
    }
}

impl CreateSnapshotArgs {
    fn act(&self) -> String {
        format!("cannot take snapshot {} of {} {}", self.snapshot, self.kind.word(), self.id)
    }
}

impl Operation for CreateSnapshot {
    const NAME: &'static str = "rds.create_snapshot";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "begins to take a snapshot of an instance or cluster, tagged with the run that takes it";
    const PERMISSION: &'static str =
        "rds:CreateDBSnapshot, rds:CreateDBClusterSnapshot, rds:AddTagsToResource; to undo it rds:Delete of the same";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = CreateSnapshotArgs;
    type Output = SnapshotMade;

    fn resource(args: &CreateSnapshotArgs) -> String {
        args.aws.resource("rds", &args.kind.snapshot(&args.snapshot))
    }

    fn target(context: &ReadContext<'_>, args: &CreateSnapshotArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for CreateSnapshot {
    const REPEAT: Repeat = Repeat::Keyed;
    const PROBE_DOC: &'static str = "the snapshot of that name, if its tag holds the key";
    const UNDO_DOC: &'static str = "rds.delete_snapshot, if its tag holds the key";

    fn image(look: &dyn Look, args: &CreateSnapshotArgs, _: &str) -> Result<Value, OpError> {
        let act = args.act();
        check_name(&act, &args.snapshot, 255)?;
        check_tags(&act, Some(&args.tags))?;
        let source: Database = present(look, &act, args.kind, &args.id)?;
        check_settled(&act, args.kind, &source)?;
        if let Some(found) = look.snapshot(args.kind, &args.snapshot)? {
            let (source, owner) = (&found.source, owner(&found.owned_by));
            return Err(OpError::refused(format!("{act}: there is a snapshot of that name, of {source} ({owner})"))
                .with_hint("put the run's short id into the name"));
        }
        Ok(json!({ "resource_id": source.resource_id, "engine_version": source.engine_version }))
    }

    fn act(hands: &Hands<'_, '_>, args: &CreateSnapshotArgs) -> Result<Send<SnapshotMade>, OpError> {
        let act = args.act();
        let (of, name) = (args.id.clone(), args.snapshot.clone());
        let tags = Some(tags(hands.of, Some(&args.tags)));
        let made = match args.kind {
            Kind::Instance => hands
                .line
                .call(&act, |rds: Client| {
                    rds.create_db_snapshot()
                        .db_instance_identifier(of)
                        .db_snapshot_identifier(name)
                        .set_tags(tags)
                        .send()
                })
                .map(|answer| answer.db_snapshot().map(Snapshot::of_instance)),
            Kind::Cluster => hands
                .line
                .call(&act, |rds: Client| {
                    rds.create_db_cluster_snapshot()
                        .db_cluster_identifier(of)
                        .db_cluster_snapshot_identifier(name)
                        .set_tags(tags)
                        .send()
                })
                .map(|answer| answer.db_cluster_snapshot().map(Snapshot::of_cluster)),
        };
        match made {
            Ok(Some(made)) => Ok(Send::Done(SnapshotMade::of(&made))),
            Ok(None) => Err(OpError::unknown(format!("{act}: AWS answered without the snapshot"))),
            // A request of ours that was thought lost may have arrived after all.
            Err(complaint) if complaint.fault == Fault::Exists => match Self::became(&hands.line, args, hands.of)? {
                Found::Done(made) => Ok(Send::Done(made)),
                _ => Err(complaint.into()),
            },
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn became(look: &dyn Look, args: &CreateSnapshotArgs, of: Of<'_>) -> Result<Found<SnapshotMade>, OpError> {
        let found = look.snapshot(args.kind, &args.snapshot)?.filter(|found| found.made_by == of.key);
        Ok(found.map_or(Found::NotDone, |found| Found::Done(SnapshotMade::of(&found))))
    }

    fn undoing(args: &CreateSnapshotArgs, _: &Value, key: &str) -> Undo {
        let args = json!({ "kind": args.kind, "snapshot": args.snapshot, "made_by": key, "aws": args.aws });
        Undo::Call { op: "rds.delete_snapshot", args }
    }

    fn print(look: &dyn Look, args: &CreateSnapshotArgs, _: &SnapshotMade) -> Result<Value, OpError> {
        let found = look.snapshot(args.kind, &args.snapshot)?;
        Ok(json!({ "made_by": found.map(|found| found.made_by) }))
    }

    fn forecast(args: &CreateSnapshotArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({
            "id": args.snapshot, "arn": unknown("AWS gives it"), "source": args.id,
            "source_resource_id": before["resource_id"], "engine_version": before["engine_version"],
        }))
    }
}
