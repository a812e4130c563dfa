//! Deleting an instance or cluster: what a run made, or with a plain word anything.

use std::time::Duration;

use aws_sdk_rds::Client;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::checks::{check_name, is_state};
use super::database::{Database, Kind};
use super::delete_snapshot::{Deleted, may_delete};
use super::look::Look as _;
use super::state::{Stand, stand};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of};
use crate::ops::aws::fault::Fault;
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo};

/// `rds.delete`.
pub struct Delete;

/// What to delete.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteArgs {
    /// What it is.
    #[serde(default)]
    pub kind: Kind,
    /// Its identifier.
    pub id: String,
    /// Only if the call with this key made it; another database of that name is left alone.
    #[serde(default)]
    pub made_by: Option<String>,
    /// Whether it may be deleted though no run made it.
    #[serde(default)]
    pub foreign: bool,
    /// Whether to turn its deletion protection off first, if that is on.
    #[serde(default)]
    pub unprotect: bool,
    /// The name of a last snapshot to take; without it there is none.
    #[serde(default)]
    pub final_snapshot: Option<String>,
    /// Whether to keep its automated backups for as long as they would have been kept.
    #[serde(default)]
    pub keep_backups: bool,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(DeleteArgs);

impl DeleteArgs {
    fn act(&self) -> String {
        format!("cannot delete {} {}", self.kind.word(), self.id)
    }

    /// Checks that no instances are in a cluster but those that are going.
    fn check_empty(&self, look: &dyn Look, found: &Database) -> Result<(), OpError> {
        let mut staying = Vec::new();
        for member in &found.members {
            let going = look.database(Kind::Instance, &member.id)?.is_none_or(|one| one.status == "deleting");
            if !going {
                staying.push(member.id.as_str());
            }
        }
        if staying.is_empty() {
            return Ok(());
        }
        Err(OpError::refused(format!("{}: there are instances in it: {}", self.act(), staying.join(", ")))
            .with_hint("delete those first, by rds.delete"))
    }
}

impl Operation for Delete {
    const NAME: &'static str = "rds.delete";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "deletes an instance or cluster that a run made, others only with foreign: true; on request \
                               with a last snapshot; is done when it is gone";
    const PERMISSION: &'static str =
        "rds:DeleteDBInstance, rds:DeleteDBCluster; for unprotect: rds:ModifyDBInstance, rds:ModifyDBCluster";
    const TYPICAL: Duration = Duration::from_secs(300);
    type Args = DeleteArgs;
    type Output = Deleted;

    fn resource(args: &DeleteArgs) -> String {
        args.aws.resource("rds", &args.kind.of(&args.id))
    }

    fn target(context: &ReadContext<'_>, args: &DeleteArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

fn is_gone(found: Option<&Database>, resource_id: &str) -> bool {
    found.is_none_or(|found| found.resource_id != resource_id)
}

impl Effects for Delete {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether the database with the resource id of before is still there, or going";
    const UNDO_DOC: &'static str = "impossible: a deleted database does not come back; its snapshots can be restored";

    fn image(look: &dyn Look, args: &DeleteArgs, _: &str) -> Result<Value, OpError> {
        let act = args.act();
        let nothing = json!({ "resource_id": "" });
        let Some(found) = look.database(args.kind, &args.id)? else { return Ok(nothing) };
        let whose = (found.owned_by.as_str(), found.made_by.as_str());
        if !may_delete(&act, whose, args.made_by.as_deref(), args.foreign)? {
            return Ok(nothing);
        }
        if found.settings.deletion_protection == Some(true) && !args.unprotect {
            return Err(OpError::refused(format!("{act}: its deletion protection is on"))
                .with_hint("pass unprotect: true if it is really to go"));
        }
        args.check_empty(look, &found)?;
        if let Some(name) = &args.final_snapshot {
            check_name(&act, name, 255)?;
            if look.snapshot(args.kind, name)?.is_some() {
                return Err(OpError::refused(format!("{act}: there is a snapshot {name} already"))
                    .with_hint("put the run's short id into the name of the last snapshot"));
            }
            if matches!(stand(args.kind, &found.status), Stand::Broken { .. }) {
                return Err(OpError::refused(format!("{act}: no snapshot can be taken while it is {}", found.status))
                    .with_hint("leave final_snapshot out"));
            }
        }
        Ok(json!({ "resource_id": found.resource_id }))
    }

    fn act(hands: &Hands<'_, '_>, args: &DeleteArgs) -> Result<Send<Deleted>, OpError> {
        let (act, line) = (args.act(), &hands.line);
        let resource_id = hands.of.earlier("resource_id");
        if resource_id.is_empty() {
            return Ok(Send::Done(Deleted { deleted: false }));
        }
        let found = line.database(args.kind, &args.id)?;
        let Some(found) = found.filter(|found| found.resource_id == resource_id) else {
            return Ok(Send::Done(Deleted { deleted: true }));
        };
        if found.status == "deleting" {
            return Ok(Send::Running);
        }
        args.check_empty(line, &found)?;
        let protected = found.settings.deletion_protection == Some(true) && args.unprotect;
        let (id, again) = (args.id.clone(), args.id.clone());
        let last = args.final_snapshot.clone();
        let skip = last.is_none();
        let drop_backups = !args.keep_backups;
        let deleted = match args.kind {
            Kind::Instance => {
                let open = |rds: Client| {
                    rds.modify_db_instance()
                        .db_instance_identifier(again)
                        .deletion_protection(false)
                        .apply_immediately(true)
                        .send()
                };
                let opened = if protected { line.call(&act, open).map(|_| ()) } else { Ok(()) };
                opened.and_then(|()| {
                    line.call(&act, |rds: Client| {
                        rds.delete_db_instance()
                            .db_instance_identifier(id)
                            .skip_final_snapshot(skip)
                            .set_final_db_snapshot_identifier(last)
                            .delete_automated_backups(drop_backups)
                            .send()
                    })
                    .map(|_| ())
                })
            }
            Kind::Cluster => {
                let open = |rds: Client| {
                    rds.modify_db_cluster()
                        .db_cluster_identifier(again)
                        .deletion_protection(false)
                        .apply_immediately(true)
                        .send()
                };
                let opened = if protected { line.call(&act, open).map(|_| ()) } else { Ok(()) };
                opened.and_then(|()| {
                    line.call(&act, |rds: Client| {
                        rds.delete_db_cluster()
                            .db_cluster_identifier(id)
                            .skip_final_snapshot(skip)
                            .set_final_db_snapshot_identifier(last)
                            .delete_automated_backups(drop_backups)
                            .send()
                    })
                    .map(|_| ())
                })
            }
        };
        match deleted {
            Ok(()) => Ok(Send::Running),
            Err(complaint) if complaint.fault == Fault::NotFound => Ok(Send::Done(Deleted { deleted: true })),
            // It cannot go yet: the probe follows until it can.
            Err(complaint) if is_state(&complaint) && stand(args.kind, &found.status) == Stand::Coming => {
                Ok(Send::Running)
            }
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn became(look: &dyn Look, args: &DeleteArgs, of: Of<'_>) -> Result<Found<Deleted>, OpError> {
        let resource_id = of.earlier("resource_id");
        if resource_id.is_empty() {
            return Ok(Found::Done(Deleted { deleted: false }));
        }
        let found = look.database(args.kind, &args.id)?;
        let status = found.as_ref().map(|found| found.status.clone()).unwrap_or_default();
        Ok(if is_gone(found.as_ref(), resource_id) {
            Found::Done(Deleted { deleted: true })
        } else if status == "deleting" || stand(args.kind, &status) == Stand::Coming {
            Found::Running(Some(format!("{} {} is {status}", args.kind.word(), args.id)))
        } else {
            Found::NotDone
        })
    }

    fn undoing(_: &DeleteArgs, before: &Value, _: &str) -> Undo {
        match before["resource_id"].as_str() {
            Some("") => Undo::Nothing,
            _ => Undo::Impossible("a deleted database does not come back; restore it from a snapshot"),
        }
    }

    fn print(_: &dyn Look, _: &DeleteArgs, _: &Deleted) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn forecast(_: &DeleteArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "deleted": before["resource_id"] != "" }))
    }
}
