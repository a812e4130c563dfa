//! Deleting a backup plan, and what one selects. What they backed up stays.

use std::time::Duration;

use aws_sdk_backup::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::plan::{Plan, Selection};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of, filled, may_delete};
use crate::ops::aws::fault::Fault;
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo};

/// `backup.delete_plan`.
pub struct DeletePlan;
/// `backup.delete_selection`.
pub struct DeleteSelection;

/// Which plan to delete.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeletePlanArgs {
    /// Its id; looked for by `made_by` when it is not known.
    #[serde(default)]
    pub plan: Option<String>,
    /// Only if the call with this token made it.
    #[serde(default)]
    pub made_by: Option<String>,
    /// Whether it may be deleted though no run made it.
    #[serde(default)]
    pub foreign: bool,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// Which selection to delete.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteSelectionArgs {
    /// The id of its plan.
    pub plan: String,
    /// Its id; looked for by `made_by` when it is not known.
    #[serde(default)]
    pub selection: Option<String>,
    /// Only if the call with this token made it.
    #[serde(default)]
    pub made_by: Option<String>,
    /// Whether it may be deleted though no run made it.
    #[serde(default)]
    pub foreign: bool,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(DeletePlanArgs, DeleteSelectionArgs);

/// Whether something was deleted.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deleted {
    /// Whether it was there, and this call's to delete.
    pub deleted: bool,
}

/// A thing of AWS Backup has no run but in its token.
fn ours(token: &str) -> &str {
    if token.starts_with("m-") { token } else { "" }
}

impl DeletePlanArgs {
    fn meant(&self, look: &dyn Look) -> Result<Option<Plan>, OpError> {
        match (filled(self.plan.as_deref()), &self.made_by) {
            (Some(id), _) => look.plan(id),
            (None, Some(token)) => Ok(look.plans()?.into_iter().find(|plan| plan.made_by == *token)),
            (None, None) => Ok(None),
        }
    }
}

impl DeleteSelectionArgs {
    fn meant(&self, look: &dyn Look) -> Result<Option<Selection>, OpError> {
        let all = look.plan(&self.plan)?.map(|plan| plan.selections).unwrap_or_default();
        Ok(all.into_iter().find(|one| match (filled(self.selection.as_deref()), &self.made_by) {
            (Some(id), _) => one.id == id,
            (None, Some(token)) => one.made_by == *token,
            (None, None) => false,
        }))
    }
}

impl Operation for DeletePlan {
    const NAME: &'static str = "backup.delete_plan";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str =
        "deletes a backup plan that a run made, others only with foreign: true; what it backed up stays";
    const PERMISSION: &'static str =
        "backup:DeleteBackupPlan, backup:GetBackupPlan, backup:ListBackupPlans, backup:ListBackupSelections";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = DeletePlanArgs;
    type Output = Deleted;

    fn resource(args: &DeletePlanArgs) -> String {
        args.aws.resource("backup", &format!("plan:{}", args.plan.as_deref().unwrap_or("*")))
    }

    fn target(context: &ReadContext<'_>, args: &DeletePlanArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for DeletePlan {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether the plan is still there";
    const UNDO_DOC: &'static str = "impossible: it can only be made anew";

    fn image(look: &dyn Look, args: &DeletePlanArgs, _: &str) -> Result<Value, OpError> {
        let Some(found) = args.meant(look)? else { return Ok(json!({ "id": "" })) };
        let act = format!("cannot delete backup plan {}", found.id);
        let whose = (ours(&found.made_by), found.made_by.as_str());
        if !may_delete(&act, whose, args.made_by.as_deref(), args.foreign)? {
            return Ok(json!({ "id": "" }));
        }
        if let Some(first) = found.selections.first() {
            return Err(OpError::refused(format!("{act}: it has selection {} ({})", first.name, first.id))
                .with_hint("delete its selections first, by backup.delete_selection"));
        }
        Ok(json!({ "id": found.id }))
    }

    fn act(hands: &Hands<'_, '_>, _: &DeletePlanArgs) -> Result<Send<Deleted>, OpError> {
        let id = hands.of.earlier("id");
        if id.is_empty() {
            return Ok(Send::Done(Deleted { deleted: false }));
        }
        let act = format!("cannot delete backup plan {id}");
        match hands.line.call(&act, |aws: Client| aws.delete_backup_plan().backup_plan_id(id).send()) {
            Ok(_) => Ok(Send::Done(Deleted { deleted: true })),
            Err(complaint) if complaint.fault == Fault::NotFound => Ok(Send::Done(Deleted { deleted: true })),
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn became(look: &dyn Look, _: &DeletePlanArgs, of: Of<'_>) -> Result<Found<Deleted>, OpError> {
        Ok(match of.earlier("id") {
            "" => Found::Done(Deleted { deleted: false }),
            id if look.plan(id)?.is_some() => Found::NotDone,
            _ => Found::Done(Deleted { deleted: true }),
        })
    }

    fn undoing(_: &DeletePlanArgs, before: &Value, _: &str) -> Undo {
        match before["id"].as_str() {
            Some("") => Undo::Nothing,
            _ => Undo::Impossible("a deleted backup plan can only be made anew"),
        }
    }

    fn print(_: &dyn Look, _: &DeletePlanArgs, _: &Deleted) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn forecast(_: &DeletePlanArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "deleted": before["id"] != "" }))
    }
}

impl Operation for DeleteSelection {
    const NAME: &'static str = "backup.delete_selection";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "deletes what a run selected for a backup plan, other selections only with foreign: true; what was backed up stays";
    const PERMISSION: &'static str = "backup:DeleteBackupSelection, backup:GetBackupPlan, backup:ListBackupSelections";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = DeleteSelectionArgs;
    type Output = Deleted;

    fn resource(args: &DeleteSelectionArgs) -> String {
        args.aws.resource("backup", &format!("plan:{}", args.plan))
    }

    fn target(context: &ReadContext<'_>, args: &DeleteSelectionArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for DeleteSelection {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether the plan still has the selection";
    const UNDO_DOC: &'static str = "impossible: it can only be made anew";

    fn image(look: &dyn Look, args: &DeleteSelectionArgs, _: &str) -> Result<Value, OpError> {
        let Some(found) = args.meant(look)? else { return Ok(json!({ "id": "" })) };
        let act = format!("cannot delete selection {} of backup plan {}", found.name, args.plan);
        let whose = (ours(&found.made_by), found.made_by.as_str());
        let mine = may_delete(&act, whose, args.made_by.as_deref(), args.foreign)?;
        Ok(json!({ "id": if mine { found.id } else { String::new() } }))
    }

    fn act(hands: &Hands<'_, '_>, args: &DeleteSelectionArgs) -> Result<Send<Deleted>, OpError> {
        let id = hands.of.earlier("id");
        if id.is_empty() {
            return Ok(Send::Done(Deleted { deleted: false }));
        }
        let act = format!("cannot delete selection {id} of backup plan {}", args.plan);
        let answer = hands
            .line
            .call(&act, |aws: Client| aws.delete_backup_selection().backup_plan_id(&args.plan).selection_id(id).send());
        match answer {
            Ok(_) => Ok(Send::Done(Deleted { deleted: true })),
            Err(complaint) if complaint.fault == Fault::NotFound => Ok(Send::Done(Deleted { deleted: true })),
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn became(look: &dyn Look, args: &DeleteSelectionArgs, of: Of<'_>) -> Result<Found<Deleted>, OpError> {
        let id = of.earlier("id");
        let there = look.plan(&args.plan)?.is_some_and(|plan| plan.selections.iter().any(|one| one.id == id));
        Ok(match id {
            "" => Found::Done(Deleted { deleted: false }),
            _ if there => Found::NotDone,
            _ => Found::Done(Deleted { deleted: true }),
        })
    }

    fn undoing(_: &DeleteSelectionArgs, before: &Value, _: &str) -> Undo {
        match before["id"].as_str() {
            Some("") => Undo::Nothing,
            _ => Undo::Impossible("a deleted selection can only be made anew"),
        }
    }

    fn print(_: &dyn Look, _: &DeleteSelectionArgs, _: &Deleted) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn forecast(_: &DeleteSelectionArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "deleted": before["id"] != "" }))
    }
}
