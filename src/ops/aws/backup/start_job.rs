//! Starting a job that backs a resource up.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use aws_sdk_backup::Client;
use aws_sdk_backup::types::Lifecycle;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::job::Job;
use super::vault_policy::allows;
use crate::model::fault::{OpError, Target};
use crate::model::{Timestamp, Value};
use crate::ops::Touch;
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of, token};
use crate::ops::aws::rds::{check_tags, text};
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, unknown};

/// For so long AWS is trusted to know a token again: it does not say for how long it does.
pub(super) const KNOWN_FOR: Duration = Duration::from_secs(3600);

/// `backup.start_job`.
pub struct StartJob;

/// What to back up, and where to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartJobArgs {
    /// The vault, which has to be there.
    pub vault: String,
    /// The ARN of the resource: of a file system, say.
    pub resource: String,
    /// The ARN of the role as which AWS backs up.
    pub role: String,
    /// After how many days AWS deletes the recovery point; never when absent.
    #[serde(default)]
    pub delete_after_days: Option<i64>,
    /// Within how many minutes the job has to begin, 60 at least; eight hours when absent.
    #[serde(default)]
    pub start_window_minutes: Option<i64>,
    /// Within how many minutes it has to be done.
    #[serde(default)]
    pub complete_window_minutes: Option<i64>,
    /// Tags for the recovery point.
    #[serde(default)]
    pub tags: BTreeMap<String, String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(StartJobArgs);

/// A backup is being taken; `backup.wait_job` waits for it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct JobStarted {
    /// The id of the job.
    pub job: String,
    /// The vault.
    pub vault: String,
    /// The resource.
    pub resource: String,
    /// The ARN of what the job makes; empty as long as AWS does not say.
    pub recovery_point: String,
}

impl JobStarted {
    /// As AWS describes it.
    #[must_use]
    pub fn of(found: &Job) -> Self {
        let Job { id, vault, resource, recovery_point, .. } = found.clone();
        Self { job: id, vault, resource, recovery_point }
    }
}

impl StartJobArgs {
    fn act(&self) -> String {
        format!("cannot start a backup of {} to vault {}", self.resource, self.vault)
    }
}

/// The ids that a before-image names.
pub(super) fn known(before: &Value) -> BTreeSet<&str> {
    before["known"].as_array().into_iter().flatten().filter_map(Value::as_str).collect()
}

/// Whether something began so long ago that AWS may have forgotten the token it was begun with.
pub(super) fn is_old(look: &dyn Look, created_at: &str) -> bool {
    let age = created_at.parse::<Timestamp>().map(|at| look.instant().duration_since(at));
    age.is_ok_and(|age| Duration::try_from(age).is_ok_and(|age| age > KNOWN_FOR))
}

impl Operation for StartJob {
    const NAME: &'static str = "backup.start_job";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str =
        "begins to back a resource up to a vault, by a token that makes a second such job impossible";
    const PERMISSION: &'static str = "backup:StartBackupJob, backup:TagResource, backup:ListBackupJobs, backup:ListBackupVaults, iam:PassRole for the role; to undo it backup:StopBackupJob, backup:DeleteRecoveryPoint";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = StartJobArgs;
    type Output = JobStarted;

    fn resource(args: &StartJobArgs) -> String {
        args.aws.resource("backup", &format!("vault:{}", args.vault))
    }

    fn touches(args: &StartJobArgs, _before: &Value) -> Vec<Touch> {
        vec![Touch::changes(Self::resource(args))]
    }

    fn target(context: &ReadContext<'_>, args: &StartJobArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for StartJob {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "a job that was not there before, whose recovery point has the tag of the call; otherwise it is sent again, \
         with the same idempotency token";
    const UNDO_DOC: &'static str = "backup.delete_recovery_point: stops the job, deletes what it made";

    fn image(look: &dyn Look, args: &StartJobArgs, _: &str) -> Result<Value, OpError> {
        let act = args.act();
        check_tags(&act, Some(&args.tags))?;
        if args.start_window_minutes.is_some_and(|minutes| minutes < 60) {
            return Err(OpError::refused(format!("{act}: a window to start in has 60 minutes at least"))
                .with_hint("leave `start_window_minutes` out, or give 60 or more"));
        }
        if !look.vaults()?.iter().any(|vault| vault.name == args.vault) {
            return Err(OpError::refused(format!("{act}: there is no vault {}", args.vault))
                .with_hint("backup.vaults lists those that are there; is it the right account and region?"));
        }
        allows(look, &act, &args.vault, "backup:StartBackupJob")?;
        let jobs = look.jobs(&args.vault, &args.resource)?;
        Ok(json!({ "known": jobs.into_iter().map(|job| job.id).collect::<Vec<_>>() }))
    }

    fn act(hands: &Hands<'_, '_>, args: &StartJobArgs) -> Result<Send<JobStarted>, OpError> {
        let act = args.act();
        let tags = hands.of.tags(&args.tags);
        let lifecycle = args.delete_after_days.map(|days| Lifecycle::builder().delete_after_days(days).build());
        let answer = hands.line.call(&act, |aws: Client| {
            aws.start_backup_job()
                .backup_vault_name(&args.vault)
                .resource_arn(&args.resource)
                .iam_role_arn(&args.role)
                .idempotency_token(hands.of.token())
                .set_start_window_minutes(args.start_window_minutes)
                .set_complete_window_minutes(args.complete_window_minutes)
                .set_lifecycle(lifecycle)
                .set_recovery_point_tags(Some(tags))
                .send()
        })?;
        let (job, recovery_point) = (text(answer.backup_job_id()), text(answer.recovery_point_arn()));
        if job.is_empty() {
            return Err(OpError::unknown(format!("{act}: AWS answered without a job")));
        }
        Ok(Send::Done(JobStarted { job, vault: args.vault.clone(), resource: args.resource.clone(), recovery_point }))
    }

    fn became(look: &dyn Look, args: &StartJobArgs, of: Of<'_>) -> Result<Found<JobStarted>, OpError> {
        let (known, token) = (known(of.before), of.token());
        let jobs = look.jobs(&args.vault, &args.resource)?;
        let mut doubtful = None;
        for job in jobs.into_iter().filter(|job| !known.contains(job.id.as_str())) {
            let made = match job.recovery_point.as_str() {
                "" => None,
                arn => look.point(&args.vault, arn)?,
            };
            match made {
                Some(point) if point.made_by == token => return Ok(Found::Done(JobStarted::of(&job))),
                // Another call's.
                Some(point) if !point.made_by.is_empty() => {}
                _ if is_old(look, &job.created_at) => doubtful = Some(job.id),
                _ => {}
            }
        }
        Ok(match doubtful {
            None => Found::NotDone,
            Some(id) => Found::CannotTell(format!(
                "backup job {id} was started meanwhile; whether by this call, AWS does not tell any more"
            )),
        })
    }

    fn undoing(args: &StartJobArgs, before: &Value, key: &str) -> Undo {
        let args = json!({
            "vault": args.vault, "resource": args.resource, "job": "$result/job", "made_by": token(key),
            "known": before["known"], "aws": args.aws,
        });
        Undo::Call { op: "backup.delete_recovery_point", args }
    }

    fn print(_: &dyn Look, _: &StartJobArgs, result: &JobStarted) -> Result<Value, OpError> {
        Ok(json!({ "job": result.job }))
    }

    fn forecast(args: &StartJobArgs, _: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({
            "job": unknown("AWS gives it"), "vault": args.vault, "resource": args.resource,
            "recovery_point": unknown("AWS gives it"),
        }))
    }
}
