//! Saying what a backup plan backs up.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_backup::Client;
use aws_sdk_backup::types::{BackupSelection, Condition, ConditionType};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of, token};
use crate::ops::aws::fault::Fault;
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, unknown};

/// `backup.create_selection`.
pub struct CreateSelection;

/// What a plan is to back up.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateSelectionArgs {
    /// The id of the plan.
    pub plan: String,
    /// The name of the selection.
    pub name: String,
    /// The ARN of the role as which AWS backs up.
    pub role: String,
    /// The ARNs of what is backed up; `*` stands for any text in them.
    #[serde(default)]
    pub resources: Vec<String>,
    /// Everything that has one of these tags, with this value, as well.
    #[serde(default)]
    pub tagged: BTreeMap<String, String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(CreateSelectionArgs);

/// A plan has one more selection.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct SelectionMade {
    /// The plan.
    pub plan: String,
    /// The id of the selection.
    pub selection: String,
}

impl CreateSelectionArgs {
    fn act(&self) -> String {
        format!("cannot add selection {} to backup plan {}", self.name, self.plan)
    }
}

impl Operation for CreateSelection {
    const NAME: &'static str = "backup.create_selection";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "says what a backup plan backs up: without any selection it protects nothing";
    const PERMISSION: &'static str = "backup:CreateBackupSelection, backup:GetBackupPlan, backup:ListBackupSelections, iam:PassRole for the role; to undo it backup:DeleteBackupSelection";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = CreateSelectionArgs;
    type Output = SelectionMade;

    fn resource(args: &CreateSelectionArgs) -> String {
        args.aws.resource("backup", &format!("plan:{}", args.plan))
    }

    fn touches(args: &CreateSelectionArgs, _before: &Value) -> Vec<Touch> {
        vec![Touch::changes(Self::resource(args))]
    }

    fn target(context: &ReadContext<'_>, args: &CreateSelectionArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for CreateSelection {
    const REPEAT: Repeat = Repeat::Keyed;
    const PROBE_DOC: &'static str = "the selection of the plan that was made with the token of the call";
    const UNDO_DOC: &'static str = "backup.delete_selection, if it was made with the token of the call";

    fn image(look: &dyn Look, args: &CreateSelectionArgs, _: &str) -> Result<Value, OpError> {
        let act = args.act();
        if args.resources.is_empty() && args.tagged.is_empty() {
            return Err(
                OpError::refused(format!("{act}: it selects nothing")).with_hint("give `resources`, or `tagged`")
            );
        }
        if look.is_unknown(&args.plan) {
            return Ok(Value::Null);
        }
        let Some(plan) = look.plan(&args.plan)? else {
            return Err(OpError::refused(format!("{act}: there is no such plan"))
                .with_hint("backup.plans lists those that are there"));
        };
        if plan.selections.iter().any(|one| one.name == args.name) {
            return Err(OpError::refused(format!("{act}: it has one of that name"))
                .with_hint("give it another name, or delete the old one"));
        }
        Ok(Value::Null)
    }

    fn act(hands: &Hands<'_, '_>, args: &CreateSelectionArgs) -> Result<Send<SelectionMade>, OpError> {
        let (act, token) = (args.act(), hands.of.token());
        let built = |e: aws_sdk_backup::error::BuildError| OpError::refused(format!("{act}: {e}"));
        let tagged = args.tagged.iter().map(|(key, value)| {
            let kind = ConditionType::Stringequals;
            Condition::builder().condition_type(kind).condition_key(key).condition_value(value).build()
        });
        let tagged = tagged.collect::<Result<Vec<_>, _>>().map_err(built)?;
        let selection = BackupSelection::builder()
            .selection_name(&args.name)
            .iam_role_arn(&args.role)
            .set_resources(Some(args.resources.clone()).filter(|all| !all.is_empty()))
            .set_list_of_tags(Some(tagged).filter(|all| !all.is_empty()))
            .build()
            .map_err(built)?;
        let answer = hands.line.call(&act, |aws: Client| {
            aws.create_backup_selection()
                .backup_plan_id(&args.plan)
                .backup_selection(selection)
                .creator_request_id(token)
                .send()
        });
        match answer {
            Ok(made) => {
                let selection = made.selection_id.unwrap_or_default();
                Ok(Send::Done(SelectionMade { plan: args.plan.clone(), selection }))
            }
            // A request of ours that was thought lost may have arrived after all.
            Err(complaint) if complaint.fault == Fault::Exists => match Self::became(&hands.line, args, hands.of)? {
                Found::Done(made) => Ok(Send::Done(made)),
                _ => Err(complaint.into()),
            },
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn became(look: &dyn Look, args: &CreateSelectionArgs, of: Of<'_>) -> Result<Found<SelectionMade>, OpError> {
        let token = of.token();
        let selections = look.plan(&args.plan)?.map(|plan| plan.selections).unwrap_or_default();
        let found = selections.into_iter().find(|one| one.made_by == token);
        Ok(found
            .map_or(Found::NotDone, |one| Found::Done(SelectionMade { plan: args.plan.clone(), selection: one.id })))
    }

    fn undoing(args: &CreateSelectionArgs, _: &Value, key: &str) -> Undo {
        let args =
            json!({ "plan": args.plan, "selection": "$result/selection", "made_by": token(key), "aws": args.aws });
        Undo::Call { op: "backup.delete_selection", args }
    }

    fn print(_: &dyn Look, _: &CreateSelectionArgs, result: &SelectionMade) -> Result<Value, OpError> {
        Ok(json!({ "selection": result.selection }))
    }

    fn forecast(args: &CreateSelectionArgs, _: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "plan": args.plan, "selection": unknown("AWS gives it") }))
    }
}
