//! Deleting a snapshot.

use std::time::Duration;

use aws_sdk_rds::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::checks::is_state;
use super::database::{Kind, RUN_TAG};
use super::look::Look as _;
use super::snapshot::Snapshot;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of};
use crate::ops::aws::fault::Fault;
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo};

/// `rds.delete_snapshot`.
pub struct DeleteSnapshot;

/// Which snapshot to delete.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteSnapshotArgs {
    /// Of what it is one.
    #[serde(default)]
    pub kind: Kind,
    /// Its identifier.
    pub snapshot: String,
    /// Only if the call with this key made it; another snapshot of that name is left alone.
    #[serde(default)]
    pub made_by: Option<String>,
    /// Whether it may be deleted though no run made it.
    #[serde(default)]
    pub foreign: bool,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(DeleteSnapshotArgs);

/// Whether something was deleted.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deleted {
    /// Whether it was there, and this call's to delete.
    pub deleted: bool,
}

impl DeleteSnapshotArgs {
    fn act(&self) -> String {
        format!("cannot delete snapshot {}", self.snapshot)
    }
}

/// Whether a thing with these tags is a call's to delete: no, when it is to delete only what another call made.
pub(super) fn may_delete(
    act: &str,
    (owned_by, made): (&str, &str),
    made_by: Option<&str>,
    foreign: bool,
) -> Result<bool, OpError> {
    match made_by {
        Some(key) => Ok(key == made),
        None if foreign || !owned_by.is_empty() => Ok(true),
        None => Err(OpError::refused(format!("{act}: no run made it (it has no tag {RUN_TAG})"))
            .with_hint("pass foreign: true if it is really to go")),
    }
}

/// What a thing is known again by: two of one name do not share their time of birth.
fn identity_of(found: &Snapshot) -> String {
    format!("{} {} {}", found.source_resource_id, found.owned_by, found.made_by)
}

impl Operation for DeleteSnapshot {
    const NAME: &'static str = "rds.delete_snapshot";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "deletes a snapshot that a run made; others only with foreign: true";
    const PERMISSION: &'static str = "rds:DeleteDBSnapshot, rds:DeleteDBClusterSnapshot";
    const TYPICAL: Duration = Duration::from_secs(2);
    type Args = DeleteSnapshotArgs;
    type Output = Deleted;

    fn resource(args: &DeleteSnapshotArgs) -> String {
        args.aws.resource("rds", &args.kind.snapshot(&args.snapshot))
    }

    fn target(context: &ReadContext<'_>, args: &DeleteSnapshotArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for DeleteSnapshot {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether the snapshot is still there, or being deleted";
    const UNDO_DOC: &'static str = "impossible: a deleted snapshot does not come back";

    fn image(look: &dyn Look, args: &DeleteSnapshotArgs, _: &str) -> Result<Value, OpError> {
        let act = args.act();
        let Some(found) = look.snapshot(args.kind, &args.snapshot)? else { return Ok(json!({ "identity": "" })) };
        let whose = (found.owned_by.as_str(), found.made_by.as_str());
        let ours = may_delete(&act, whose, args.made_by.as_deref(), args.foreign)?;
        if ours && found.made != "manual" && !found.made.is_empty() {
            return Err(OpError::refused(format!("{act}: it is {}, not manual: AWS deletes it itself", found.made)));
        }
        Ok(json!({ "identity": if ours { identity_of(&found) } else { String::new() } }))
    }

    fn act(hands: &Hands<'_, '_>, args: &DeleteSnapshotArgs) -> Result<Send<Deleted>, OpError> {
        let act = args.act();
        let identity = hands.of.earlier("identity");
        let found = hands.line.snapshot(args.kind, &args.snapshot)?;
        let Some(found) = found.filter(|found| !identity.is_empty() && identity_of(found) == identity) else {
            return Ok(Send::Done(Deleted { deleted: !identity.is_empty() }));
        };
        if found.status == "creating" {
            // AWS takes it back only when it is there: the probe follows until then.
            return Ok(Send::Running);
        }
        let name = args.snapshot.clone();
        let deleted = match args.kind {
            Kind::Instance => hands
                .line
                .call(&act, |rds: Client| rds.delete_db_snapshot().db_snapshot_identifier(name).send())
                .map(|_| ()),
            Kind::Cluster => hands
                .line
                .call(&act, |rds: Client| rds.delete_db_cluster_snapshot().db_cluster_snapshot_identifier(name).send())
                .map(|_| ()),
        };
        match deleted {
            Ok(()) => Ok(Send::Running),
            Err(complaint) if complaint.fault == Fault::NotFound => Ok(Send::Done(Deleted { deleted: true })),
            Err(complaint) if is_state(&complaint) && found.status != "available" => Ok(Send::Running),
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn became(look: &dyn Look, args: &DeleteSnapshotArgs, of: Of<'_>) -> Result<Found<Deleted>, OpError> {
        let identity = of.earlier("identity");
        if identity.is_empty() {
            return Ok(Found::Done(Deleted { deleted: false }));
        }
        let found = look.snapshot(args.kind, &args.snapshot)?.filter(|found| identity_of(found) == identity);
        Ok(match found {
            None => Found::Done(Deleted { deleted: true }),
            Some(found) if ["deleting", "creating"].contains(&found.status.as_str()) => {
                Found::Running(Some(format!("snapshot {} is {}", args.snapshot, found.status)))
            }
            Some(_) => Found::NotDone,
        })
    }

    fn undoing(_: &DeleteSnapshotArgs, before: &Value, _: &str) -> Undo {
        match before["identity"].as_str() {
            Some("") => Undo::Nothing,
            _ => Undo::Impossible("a deleted snapshot does not come back"),
        }
    }

    fn print(_: &dyn Look, _: &DeleteSnapshotArgs, _: &Deleted) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn forecast(_: &DeleteSnapshotArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "deleted": before["identity"] != "" }))
    }
}
