//! Deleting a recovery point, and stopping the job that is still making it.

use std::time::Duration;

use aws_sdk_backup::Client;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::delete_plan::Deleted;
use super::job::Job;
use super::state::job_stand;
use super::vault_policy::allows;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of, filled, may_delete};
use crate::ops::aws::fault::Fault;
use crate::ops::aws::rds::Stand;
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo};

/// `backup.delete_recovery_point`.
pub struct DeletePoint;

/// Which recovery point to delete.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeletePointArgs {
    /// The vault that it is in.
    pub vault: String,
    /// Its ARN.
    #[serde(default)]
    pub recovery_point: Option<String>,
    /// The job that makes it, instead of its ARN: it is stopped if it is still at work.
    #[serde(default)]
    pub job: Option<String>,
    /// The resource of that job: where to look for it by `made_by` when its id is not known.
    #[serde(default)]
    pub resource: Option<String>,
    /// Jobs of that resource that are none of ours.
    #[serde(default)]
    pub known: Option<Vec<String>>,
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

in_account!(DeletePointArgs);

impl DeletePointArgs {
    fn act(&self) -> String {
        let what = self.recovery_point.as_deref().or(filled(self.job.as_deref())).unwrap_or("that was not made");
        format!("cannot delete recovery point {what} of vault {}", self.vault)
    }

    /// The job that is meant: that of this id, or the one that a call without an answer started.
    fn meant(&self, look: &dyn Look) -> Result<Option<Job>, OpError> {
        if let Some(id) = filled(self.job.as_deref()) {
            return look.job(id);
        }
        let (Some(resource), Some(token)) = (&self.resource, &self.made_by) else { return Ok(None) };
        let known = self.known.as_deref().unwrap_or_default();
        for job in look.jobs(&self.vault, resource)?.into_iter().filter(|job| !known.contains(&job.id)) {
            let made = match job.recovery_point.as_str() {
                "" => None,
                arn => look.point(&self.vault, arn)?,
            };
            if made.is_some_and(|point| point.made_by == *token) {
                return Ok(Some(job));
            }
        }
        Ok(None)
    }
}

/// What is to be deleted.
#[derive(Default)]
struct Meant {
    job: String,
    point: String,
}

impl Meant {
    fn of(before: &Value) -> Self {
        let text = |name: &str| before[name].as_str().unwrap_or_default().to_owned();
        Self { job: text("job"), point: text("recovery_point") }
    }

    /// The recovery point: that of the job as soon as AWS tells which.
    fn point(&self, look: &dyn Look) -> Result<(Option<Job>, String), OpError> {
        if self.job.is_empty() {
            return Ok((None, self.point.clone()));
        }
        let job = look.job(&self.job)?;
        let point = job.as_ref().map_or(String::new(), |job| job.recovery_point.clone());
        Ok((job, if point.is_empty() { self.point.clone() } else { point }))
    }
}

impl Operation for DeletePoint {
    const NAME: &'static str = "backup.delete_recovery_point";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "deletes a recovery point that a run made, others only with foreign: true; stops the job that is still making it";
    const PERMISSION: &'static str = "backup:DeleteRecoveryPoint, backup:StopBackupJob, backup:DescribeBackupJob, backup:DescribeRecoveryPoint, backup:ListTags";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = DeletePointArgs;
    type Output = Deleted;

    fn resource(args: &DeletePointArgs) -> String {
        args.aws.resource("backup", &format!("vault:{}", args.vault))
    }

    fn target(context: &ReadContext<'_>, args: &DeletePointArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for DeletePoint {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether the recovery point is still there, and its job still at work";
    const UNDO_DOC: &'static str = "impossible: a deleted recovery point does not come back";

    fn image(look: &dyn Look, args: &DeletePointArgs, _: &str) -> Result<Value, OpError> {
        let act = args.act();
        let job = args.meant(look)?;
        let arn = match &args.recovery_point {
            Some(arn) => arn.clone(),
            None => job.as_ref().map(|job| job.recovery_point.clone()).unwrap_or_default(),
        };
        let point = if arn.is_empty() { None } else { look.point(&args.vault, &arn)? };
        let (job, point) = match (job, point) {
            (job, Some(point)) => {
                let whose = (point.owned_by.as_str(), point.made_by.as_str());
                // Of backups that another service keeps AWS Backup has no tags: the job is what tells whose it is.
                let untagged = job.is_some() && args.made_by.is_some() && point.made_by.is_empty();
                if !untagged && !may_delete(&act, whose, args.made_by.as_deref(), args.foreign)? {
                    return Ok(json!({ "job": "", "recovery_point": "" }));
                }
                (job, point.arn)
            }
            (Some(job), None) if args.made_by.is_some() || args.foreign => (Some(job), String::new()),
            (Some(_), None) => {
                return Err(OpError::refused(format!("{act}: it is not known whose job that is"))
                    .with_hint("pass foreign: true if it is really to be stopped"));
            }
            (None, None) => (None, String::new()),
        };
        if !point.is_empty() {
            allows(look, &act, &args.vault, "backup:DeleteRecoveryPoint")?;
        }
        Ok(json!({ "job": job.map(|job| job.id).unwrap_or_default(), "recovery_point": point }))
    }

    fn act(hands: &Hands<'_, '_>, args: &DeletePointArgs) -> Result<Send<Deleted>, OpError> {
        let (act, meant) = (args.act(), Meant::of(hands.of.before));
        let (job, arn) = meant.point(&hands.line)?;
        if let Some(job) = job.filter(|job| job_stand(&job.state) == Stand::Coming) {
            let stopped = hands.line.call(&act, |aws: Client| aws.stop_backup_job().backup_job_id(&job.id).send());
            return match stopped {
                Ok(_) => Ok(Send::Running),
                // It ended meanwhile, or cannot be stopped: then it is waited for.
                Err(complaint) if [Fault::Refused, Fault::NotFound].contains(&complaint.fault) => Ok(Send::Running),
                Err(complaint) => Err(complaint.into()),
            };
        }
        if arn.is_empty() {
            return Ok(Send::Done(Deleted { deleted: !meant.job.is_empty() }));
        }
        let deleted = hands.line.call(&act, |aws: Client| {
            aws.delete_recovery_point().backup_vault_name(&args.vault).recovery_point_arn(&arn).send()
        });
        match deleted {
            Ok(_) => Ok(Send::Running),
            Err(complaint) if complaint.fault == Fault::NotFound => Ok(Send::Done(Deleted { deleted: true })),
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn became(look: &dyn Look, args: &DeletePointArgs, of: Of<'_>) -> Result<Found<Deleted>, OpError> {
        let meant = Meant::of(of.before);
        let (job, arn) = meant.point(look)?;
        let point = if arn.is_empty() { None } else { look.point(&args.vault, &arn)? };
        Ok(match (job, point) {
            (Some(job), _) if job.state == "ABORTING" => {
                Found::Running(Some(format!("backup job {} is {}", job.id, job.state)))
            }
            (Some(job), _) if job_stand(&job.state) == Stand::Coming => Found::NotDone,
            (_, Some(point)) if ["DELETING", "CREATING"].contains(&point.status.as_str()) => {
                Found::Running(Some(format!("recovery point {arn} is {}", point.status)))
            }
            (_, Some(_)) => Found::NotDone,
            (_, None) => Found::Done(Deleted { deleted: !(meant.job.is_empty() && meant.point.is_empty()) }),
        })
    }

    fn undoing(_: &DeletePointArgs, before: &Value, _: &str) -> Undo {
        match (before["job"].as_str(), before["recovery_point"].as_str()) {
            (Some(""), Some("")) => Undo::Nothing,
            _ => Undo::Impossible("a deleted recovery point does not come back"),
        }
    }

    fn print(_: &dyn Look, _: &DeletePointArgs, _: &Deleted) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn forecast(_: &DeletePointArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "deleted": before["job"] != "" || before["recovery_point"] != "" }))
    }
}
