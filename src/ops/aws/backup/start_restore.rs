//! Starting a job that restores a recovery point.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_backup::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::metadata::{EFS, Prepared, prepare};
use super::start_job::{is_old, known};
use super::state::point_stand;
use super::vault_policy::allows;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of, token};
use crate::ops::aws::rds::{Stand, text};
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, unknown};

/// `backup.start_restore`.
pub struct StartRestore;

/// What to restore, and where to.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct StartRestoreArgs {
    /// The vault that the recovery point is in.
    pub vault: String,
    /// The ARN of the recovery point.
    pub recovery_point: String,
    /// The ARN of the role as which AWS restores.
    pub role: String,
    /// Whether a new file system is made (EFS); otherwise what is restored lies in a folder of its own on the old one.
    #[serde(default)]
    pub new_file_system: bool,
    /// Only these paths (EFS), exactly as they are written there; everything when absent.
    #[serde(default)]
    pub items: Option<Vec<String>>,
    /// What goes before the metadata that the recovery point itself has.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Whether a recovery point of which parts are missing will do.
    #[serde(default)]
    pub allow_partial: bool,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(StartRestoreArgs);

/// A restore is on its way; `backup.wait_restore` waits for it.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct RestoreStarted {
    /// The id of the job.
    pub job: String,
    /// The recovery point.
    pub recovery_point: String,
    /// `EFS`, `RDS`, …
    pub resource_type: String,
    /// All that AWS was told.
    pub metadata: BTreeMap<String, String>,
    /// What of that was carried over, one line each.
    pub carried_over: Vec<String>,
    /// What AWS leaves to its defaults, one line each, with what to do.
    pub not_carried_over: Vec<String>,
}

/// The image taken before.
#[derive(Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Before {
    /// What AWS will be told, but for the token.
    pub prepared: Prepared,
    /// The type of the resource.
    pub resource_type: String,
    /// Restore jobs of this recovery point that were there before.
    pub known: Vec<String>,
}

impl Before {
    /// Of a before-image.
    #[must_use]
    pub fn read(before: &Value) -> Self {
        Self::deserialize(before).unwrap_or_default()
    }

    /// What AWS is told by the call with this token.
    #[must_use]
    pub fn metadata(&self, token: &str) -> BTreeMap<String, String> {
        let mut metadata = self.prepared.metadata.clone();
        // What the playbook itself asks for stays.
        if let Some(open) = metadata.get_mut("CreationToken").filter(|open| open.is_empty()) {
            token.clone_into(open);
        }
        metadata
    }

    /// What began with this job.
    #[must_use]
    pub fn started(self, job: &str, point: &str, token: &str) -> RestoreStarted {
        RestoreStarted {
            job: job.to_owned(),
            recovery_point: point.to_owned(),
            metadata: self.metadata(token),
            resource_type: self.resource_type,
            carried_over: self.prepared.carried,
            not_carried_over: self.prepared.left,
        }
    }
}

impl StartRestoreArgs {
    fn act(&self) -> String {
        format!("cannot restore {} of vault {}", self.recovery_point, self.vault)
    }
}

impl Operation for StartRestore {
    const NAME: &'static str = "backup.start_restore";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "begins to restore a recovery point with the metadata that it has, by a token that makes a second such job impossible; says what AWS would silently default";
    const PERMISSION: &'static str = "backup:StartRestoreJob, backup:DescribeRecoveryPoint, backup:GetRecoveryPointRestoreMetadata, backup:ListRestoreJobs, iam:PassRole for the role; to undo it backup:DescribeRestoreJob, elasticfilesystem:DeleteFileSystem";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = StartRestoreArgs;
    type Output = RestoreStarted;

    fn resource(args: &StartRestoreArgs) -> String {
        args.aws.resource("backup", &format!("point:{}", args.recovery_point))
    }

    fn touches(args: &StartRestoreArgs, _before: &Value) -> Vec<Touch> {
        vec![Touch::makes(format!("{}/restored", Self::resource(args)))]
    }

    fn target(context: &ReadContext<'_>, args: &StartRestoreArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for StartRestore {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "AWS tells only by the idempotency token: it is sent again, with the same one, as long as \
                                     AWS can be trusted to know it";
    const UNDO_DOC: &'static str = "backup.discard_restore: deletes the file system that the job made; impossible where it \
                                    made something else";

    fn image(look: &dyn Look, args: &StartRestoreArgs, _: &str) -> Result<Value, OpError> {
        let act = args.act();
        if look.is_unknown(&args.recovery_point) {
            return Ok(json!(Before::default()));
        }
        let Some(point) = look.point(&args.vault, &args.recovery_point)? else {
            return Err(OpError::refused(format!("{act}: there is no such recovery point"))
                .with_hint("backup.recovery_points lists those of a vault; is it the right account and region?"));
        };
        match point_stand(&point.status) {
            Stand::Usable => {}
            Stand::Broken { .. } if point.status == "PARTIAL" && args.allow_partial => {}
            Stand::Coming | Stand::New => {
                return Err(OpError::transient(format!("{act}: the recovery point is {}", point.status))
                    .with_hint("backup.wait_job waits until it is whole"));
            }
            Stand::Broken { why, choices } => {
                let status = &point.status;
                return Err(
                    OpError::refused(format!("{act}: the recovery point is {status}: {why}")).with_hint(choices)
                );
            }
        }
        if point.resource_type != EFS && (args.new_file_system || args.items.is_some()) {
            return Err(OpError::refused(format!("{act}: it is of {}, not of a file system", point.resource_type))
                .with_hint("leave `new_file_system` and `items` out, and say it in `metadata`"));
        }
        let decided = ["newFileSystem", "CreationToken", "ItemsToRestore"].into_iter();
        if let Some(name) =
            decided.filter(|_| point.resource_type == EFS).find(|name| args.metadata.contains_key(*name))
        {
            return Err(OpError::refused(format!("{act}: `{name}` is not for `metadata` to say")).with_hint(
                "say it by `new_file_system` and `items`; the token is Muster's, to find again what it made",
            ));
        }
        if let Some(wild) = args.items.iter().flatten().find(|item| item.contains(['*', '?'])) {
            return Err(OpError::refused(format!("{act}: `{wild}` is no exact path, and AWS takes no patterns"))
                .with_hint("name each path as it is on the file system"));
        }
        allows(look, &act, &args.vault, "backup:StartRestoreJob")?;
        let prepared = prepare(&point, &args.metadata, args.items.as_deref(), args.new_file_system, "");
        let known = look.restores(&args.recovery_point)?.into_iter().map(|job| job.id).collect();
        Ok(json!(Before { prepared, resource_type: point.resource_type, known }))
    }

    fn act(hands: &Hands<'_, '_>, args: &StartRestoreArgs) -> Result<Send<RestoreStarted>, OpError> {
        let (act, before, token) = (args.act(), Before::read(hands.of.before), hands.of.token());
        let metadata = before.metadata(&token).into_iter().collect();
        let answer = hands.line.call(&act, |aws: Client| {
            aws.start_restore_job()
                .recovery_point_arn(&args.recovery_point)
                .iam_role_arn(&args.role)
                .resource_type(&before.resource_type)
                .idempotency_token(&token)
                .set_metadata(Some(metadata))
                .send()
        })?;
        let job = text(answer.restore_job_id());
        if job.is_empty() {
            return Err(OpError::unknown(format!("{act}: AWS answered without a job")));
        }
        Ok(Send::Done(before.started(&job, &args.recovery_point, &token)))
    }

    fn became(look: &dyn Look, args: &StartRestoreArgs, of: Of<'_>) -> Result<Found<RestoreStarted>, OpError> {
        let known = known(of.before);
        let jobs = look.restores(&args.recovery_point)?;
        let doubtful = jobs.iter().find(|job| !known.contains(job.id.as_str()) && is_old(look, &job.created_at));
        Ok(match doubtful {
            None => Found::NotDone,
            Some(job) => Found::CannotTell(format!(
                "restore job {} was started meanwhile; whether by this call, AWS does not tell any more",
                job.id
            )),
        })
    }

    fn undoing(args: &StartRestoreArgs, before: &Value, key: &str) -> Undo {
        let before = Before::read(before);
        if !before.resource_type.is_empty() && before.resource_type != EFS {
            return Undo::Impossible("what such a restore makes has to be deleted by hand");
        }
        let args = json!({
            "recovery_point": args.recovery_point, "job": "$result/job", "made_by": token(key), "known": before.known,
            "aws": args.aws,
        });
        Undo::Call { op: "backup.discard_restore", args }
    }

    fn print(_: &dyn Look, _: &StartRestoreArgs, result: &RestoreStarted) -> Result<Value, OpError> {
        Ok(json!({ "job": result.job }))
    }

    fn forecast(args: &StartRestoreArgs, before: &Value, key: &str) -> Predicted {
        let before = Before::read(before);
        Predicted::Result(json!({
            "job": unknown("AWS gives it"), "recovery_point": args.recovery_point,
            "resource_type": before.resource_type, "metadata": before.metadata(&token(key)),
            "carried_over": before.prepared.carried, "not_carried_over": before.prepared.left,
        }))
    }
}
