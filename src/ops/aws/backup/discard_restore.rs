//! Undoing a restore: the file system that it made is deleted. What lies on an old file system stays there.

use std::time::Duration;

use aws_sdk_efs::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::job::RestoreJob;
use super::state::restore_stand;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of, filled, id_of};
use crate::ops::aws::fault::Fault;
use crate::ops::aws::rds::Stand;
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo};

/// `backup.discard_restore`.
pub struct DiscardRestore;

/// Which restore to undo.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DiscardRestoreArgs {
    /// The recovery point that was restored.
    pub recovery_point: String,
    /// The job; looked for when it is not known.
    #[serde(default)]
    pub job: Option<String>,
    /// The token of the call that started it: only a file system that was made with it is deleted.
    pub made_by: String,
    /// Restore jobs of that recovery point that are none of ours.
    #[serde(default)]
    pub known: Option<Vec<String>>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(DiscardRestoreArgs);

/// What became of a restore.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Discarded {
    /// The file system that was deleted; empty when the restore made none.
    pub deleted: String,
    /// What is left, in words; empty when nothing is.
    pub left: String,
}

impl DiscardRestoreArgs {
    fn act(&self) -> String {
        format!("cannot undo the restore of {}", self.recovery_point)
    }

    /// The jobs that may be the one.
    fn meant(&self, look: &dyn Look) -> Result<Vec<RestoreJob>, OpError> {
        if let Some(id) = filled(self.job.as_deref()) {
            return Ok(look.restore(id)?.into_iter().collect());
        }
        let known = self.known.as_deref().unwrap_or_default();
        Ok(look.restores(&self.recovery_point)?.into_iter().filter(|job| !known.contains(&job.id)).collect())
    }

    fn found(&self, look: &dyn Look) -> Result<Found<Discarded>, OpError> {
        let jobs = self.meant(look)?;
        // One that is not done may make a file system yet.
        if let Some(job) = jobs.iter().find(|job| restore_stand(&job.status) == Stand::Coming) {
            return Ok(Found::Running(Some(format!(
                "restore job {} is {}, and cannot be stopped",
                job.id, job.status
            ))));
        }
        if let Some(made) = look.by_token(&self.made_by)? {
            return Ok(match made.state.as_str() {
                "deleting" => Found::Running(Some(format!("file system {} is being deleted", made.id))),
                "deleted" => Found::Done(Discarded { deleted: made.id, left: String::new() }),
                _ => Found::NotDone,
            });
        }
        let done = jobs.iter().find(|job| job.status == "COMPLETED" && filled(self.job.as_deref()).is_some());
        let left = match done {
            Some(job) if look.file_system(id_of(&job.created_resource))?.is_some() => {
                format!("a folder aws-backup-restore_… on file system {}", id_of(&job.created_resource))
            }
            _ => String::new(),
        };
        let deleted = done.filter(|_| left.is_empty()).map(|job| id_of(&job.created_resource).to_owned());
        Ok(Found::Done(Discarded { deleted: deleted.unwrap_or_default(), left }))
    }
}

impl Operation for DiscardRestore {
    const NAME: &'static str = "backup.discard_restore";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "undoes a restore: waits for its job, which cannot be stopped, and deletes the file system that it made; a folder on an old file system stays";
    const PERMISSION: &'static str = "backup:DescribeRestoreJob, backup:ListRestoreJobs, elasticfilesystem:DescribeFileSystems, elasticfilesystem:DeleteFileSystem";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = DiscardRestoreArgs;
    type Output = Discarded;

    fn resource(args: &DiscardRestoreArgs) -> String {
        args.aws.resource("backup", &format!("point:{}", args.recovery_point))
    }

    fn target(context: &ReadContext<'_>, args: &DiscardRestoreArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for DiscardRestore {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether the job is still at work, and the file system with the call's token there";
    const UNDO_DOC: &'static str = "impossible: what was restored can be restored again";

    fn image(look: &dyn Look, args: &DiscardRestoreArgs, _: &str) -> Result<Value, OpError> {
        let made = look.by_token(&args.made_by)?;
        Ok(json!({ "file_system": made.map(|made| made.id).unwrap_or_default() }))
    }

    fn act(hands: &Hands<'_, '_>, args: &DiscardRestoreArgs) -> Result<Send<Discarded>, OpError> {
        let act = args.act();
        match args.found(&hands.line)? {
            Found::Done(done) => return Ok(Send::Done(done)),
            Found::NotDone => {}
            _ => return Ok(Send::Running),
        }
        let line: &dyn Look = &hands.line;
        let Some(made) = line.by_token(&args.made_by)? else { return Ok(Send::Running) };
        let deleted = hands.line.call(&act, |efs: Client| efs.delete_file_system().file_system_id(&made.id).send());
        match deleted {
            Ok(_) => Ok(Send::Running),
            Err(complaint) if complaint.fault == Fault::NotFound => Ok(Send::Running),
            Err(complaint) if complaint.code.starts_with("FileSystemInUse") => {
                Err(OpError::refused(format!("{act}: file system {} still has mount targets", made.id))
                    .with_hint("delete them by efs.delete_mount_target first"))
            }
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn became(look: &dyn Look, args: &DiscardRestoreArgs, of: Of<'_>) -> Result<Found<Discarded>, OpError> {
        Ok(match args.found(look)? {
            Found::Done(done) if done.deleted.is_empty() && done.left.is_empty() => {
                Found::Done(Discarded { deleted: of.earlier("file_system").to_owned(), ..done })
            }
            other => other,
        })
    }

    fn undoing(_: &DiscardRestoreArgs, _: &Value, _: &str) -> Undo {
        Undo::Impossible("what was restored can only be restored again")
    }

    fn print(_: &dyn Look, _: &DiscardRestoreArgs, _: &Discarded) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn forecast(_: &DiscardRestoreArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "deleted": before["file_system"], "left": "" }))
    }
}
