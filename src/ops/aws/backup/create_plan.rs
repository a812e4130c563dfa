//! Making a backup plan of a document.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_backup::Client;
use aws_sdk_backup::types::{BackupPlanInput, BackupRuleInput, CopyAction, Lifecycle as AwsLifecycle};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::plan::{Document, Lifecycle, Plan, Rule};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of, token};
use crate::ops::aws::fault::Fault;
use crate::ops::aws::rds::check_tags;
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, unknown};

/// `backup.create_plan`.
pub struct CreatePlan;

/// Which plan to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreatePlanArgs {
    /// The document, as AWS's own tools take it: `{"BackupPlanName": …, "Rules": […]}`, or that under `BackupPlan`.
    pub document: Value,
    /// Tags for it.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(CreatePlanArgs);

/// A plan was made; it protects nothing before `backup.create_selection` has said what.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct PlanMade {
    /// Its id.
    pub plan: String,
    /// Its ARN.
    pub arn: String,
    /// Its name.
    pub name: String,
}

impl PlanMade {
    fn of(found: Plan) -> Self {
        Self { plan: found.id, arn: found.arn, name: found.name }
    }
}

impl CreatePlanArgs {
    /// The document.
    ///
    /// # Errors
    /// Refused, when it is none.
    pub fn read(&self) -> Result<Document, OpError> {
        Document::read(&self.document).map_err(|why| {
            OpError::refused(format!("cannot make a backup plan: its document does not fit: {why}"))
                .with_hint("write it as `aws backup create-backup-plan --generate-cli-skeleton` shows it")
        })
    }
}

fn lifecycle(wanted: &Lifecycle) -> AwsLifecycle {
    AwsLifecycle::builder()
        .set_delete_after_days(wanted.delete_after_days)
        .set_move_to_cold_storage_after_days(wanted.move_to_cold_storage_after_days)
        .build()
}

fn rule(wanted: &Rule) -> Result<BackupRuleInput, OpError> {
    let built = |e: aws_sdk_backup::error::BuildError| OpError::refused(format!("cannot make a backup plan: {e}"));
    let copies = wanted.copy_actions.iter().map(|copy| {
        CopyAction::builder()
            .destination_backup_vault_arn(&copy.destination_backup_vault_arn)
            .set_lifecycle(copy.lifecycle.as_ref().map(lifecycle))
            .build()
    });
    let copies = copies.collect::<Result<Vec<_>, _>>().map_err(built)?;
    BackupRuleInput::builder()
        .rule_name(&wanted.rule_name)
        .target_backup_vault_name(&wanted.target_backup_vault_name)
        .set_schedule_expression(wanted.schedule_expression.clone())
        .set_schedule_expression_timezone(wanted.schedule_expression_timezone.clone())
        .set_start_window_minutes(wanted.start_window_minutes)
        .set_completion_window_minutes(wanted.completion_window_minutes)
        .set_lifecycle(wanted.lifecycle.as_ref().map(lifecycle))
        .set_enable_continuous_backup(wanted.enable_continuous_backup)
        .set_copy_actions(Some(copies).filter(|copies| !copies.is_empty()))
        .build()
        .map_err(built)
}

impl Operation for CreatePlan {
    const NAME: &'static str = "backup.create_plan";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "makes a backup plan of a JSON document, tagged with the run that makes it";
    const PERMISSION: &'static str = "backup:CreateBackupPlan, backup:TagResource, backup:ListBackupPlans, backup:ListBackupSelections, backup:ListBackupVaults; to undo it backup:DeleteBackupPlan";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = CreatePlanArgs;
    type Output = PlanMade;

    fn resource(args: &CreatePlanArgs) -> String {
        args.aws
            .resource("backup", &format!("plan:{}", args.read().map(|read| read.backup_plan_name).unwrap_or_default()))
    }

    fn target(context: &ReadContext<'_>, args: &CreatePlanArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for CreatePlan {
    const REPEAT: Repeat = Repeat::Keyed;
    const PROBE_DOC: &'static str = "the plan that was made with the token of the call";
    const UNDO_DOC: &'static str = "backup.delete_plan, if it was made with the token of the call";

    fn image(look: &dyn Look, args: &CreatePlanArgs, _: &str) -> Result<Value, OpError> {
        let document = args.read()?;
        let act = format!("cannot make backup plan {}", document.backup_plan_name);
        check_tags(&act, Some(&args.tags))?;
        if let Some(found) = look.plans()?.into_iter().find(|plan| plan.name == document.backup_plan_name) {
            return Err(OpError::refused(format!("{act}: there is a plan of that name, {}", found.id))
                .with_hint("give it another name, or delete the old one"));
        }
        let vaults = look.vaults()?;
        let missing =
            document.rules.iter().find(|rule| !vaults.iter().any(|one| one.name == rule.target_backup_vault_name));
        if let Some(rule) = missing {
            let vault = &rule.target_backup_vault_name;
            return Err(OpError::refused(format!(
                "{act}: rule {} is for vault {vault}, which is not there",
                rule.rule_name
            ))
            .with_hint("backup.vaults lists those that are there"));
        }
        Ok(Value::Null)
    }

    fn act(hands: &Hands<'_, '_>, args: &CreatePlanArgs) -> Result<Send<PlanMade>, OpError> {
        let document = args.read()?;
        let act = format!("cannot make backup plan {}", document.backup_plan_name);
        let rules = document.rules.iter().map(rule).collect::<Result<Vec<_>, _>>()?;
        let plan = BackupPlanInput::builder()
            .backup_plan_name(&document.backup_plan_name)
            .set_rules(Some(rules))
            .build()
            .map_err(|e| OpError::refused(format!("{act}: {e}")))?;
        let (tags, token) = (hands.of.tags(&args.tags), hands.of.token());
        let answer = hands.line.call(&act, |aws: Client| {
            aws.create_backup_plan().backup_plan(plan).set_backup_plan_tags(Some(tags)).creator_request_id(token).send()
        });
        match answer {
            Ok(made) => Ok(Send::Done(PlanMade {
                plan: made.backup_plan_id.unwrap_or_default(),
                arn: made.backup_plan_arn.unwrap_or_default(),
                name: document.backup_plan_name,
            })),
            // A request of ours that was thought lost may have arrived after all.
            Err(complaint) if complaint.fault == Fault::Exists => match Self::became(&hands.line, args, hands.of)? {
                Found::Done(made) => Ok(Send::Done(made)),
                _ => Err(complaint.into()),
            },
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn became(look: &dyn Look, _: &CreatePlanArgs, of: Of<'_>) -> Result<Found<PlanMade>, OpError> {
        let token = of.token();
        let found = look.plans()?.into_iter().find(|plan| plan.made_by == token);
        Ok(found.map_or(Found::NotDone, |found| Found::Done(PlanMade::of(found))))
    }

    fn undoing(args: &CreatePlanArgs, _: &Value, key: &str) -> Undo {
        let args = json!({ "plan": "$result/plan", "made_by": token(key), "aws": args.aws });
        Undo::Call { op: "backup.delete_plan", args }
    }

    fn print(look: &dyn Look, _: &CreatePlanArgs, result: &PlanMade) -> Result<Value, OpError> {
        Ok(json!({ "version": look.plan(&result.plan)?.map(|plan| plan.version) }))
    }

    fn forecast(args: &CreatePlanArgs, _: &Value, _: &str) -> Predicted {
        let name = args.read().map(|read| read.backup_plan_name).unwrap_or_default();
        Predicted::Result(json!({ "plan": unknown("AWS gives it"), "arn": unknown("AWS gives it"), "name": name }))
    }
}
