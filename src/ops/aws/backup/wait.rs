//! Waiting for jobs of AWS Backup, which has no waiters of its own: every state is read, also those that never get better.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::job::{Job, RestoreJob};
use super::state::{job_stand, restore_stand};
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Awaits, Look};
use crate::ops::aws::rds::Stand;
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Operation, Poll};

/// How long until a job is asked about again.
const AGAIN: Duration = Duration::from_secs(15);

/// `backup.wait_job`.
pub struct WaitJob;
/// `backup.wait_restore`.
pub struct WaitRestore;

/// Which backup job to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitJobArgs {
    /// Its id, as `backup.start_job` told it.
    pub job: String,
    /// Whether a backup of which parts are missing will do.
    #[serde(default)]
    pub allow_partial: bool,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// Which restore job to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitRestoreArgs {
    /// Its id, as `backup.start_restore` told it.
    pub job: String,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(WaitJobArgs, WaitRestoreArgs);

/// What a state comes to for a wait. `far`: how far it is, in percent.
fn stood(what: &str, state: &str, stand: Stand, far: &str, said: &str) -> Result<Option<String>, OpError> {
    let far = if far.is_empty() { String::new() } else { format!(", {} %", far.trim_end_matches('%')) };
    match stand {
        Stand::Usable => Ok(None),
        Stand::Coming => Ok(Some(format!("{what} is {state}{far}"))),
        Stand::New => Ok(Some(format!("{what} is {state}{far}, which Muster does not know"))),
        Stand::Broken { why, choices } => {
            let message = if said.is_empty() {
                format!("{what} will not come to a good end: it is {state}: {why}")
            } else {
                format!("{what} will not come to a good end: it is {state}: {why}; AWS says: {said}")
            };
            Err(OpError::failed(message).with_hint(choices))
        }
    }
}

fn none(what: &str) -> OpError {
    OpError::refused(format!("cannot wait for {what}: there is none"))
        .with_hint("is it the right account and region? `sts.identity` tells which one this is")
}

impl Operation for WaitJob {
    const NAME: &'static str = "backup.wait_job";
    const EFFECT: Effect = Effect::Wait;
    const DOC: &'static str = "waits until a backup job has made its recovery point; fails at once when it never will \
                               (ABORTED, FAILED, EXPIRED, PARTIAL), with what can be done";
    const PERMISSION: &'static str = "backup:DescribeBackupJob";
    const TYPICAL: Duration = Duration::from_secs(300);
    type Args = WaitJobArgs;
    type Output = Job;

    fn resource(args: &WaitJobArgs) -> String {
        args.aws.resource("backup", &format!("job:{}", args.job))
    }

    fn target(context: &ReadContext<'_>, args: &WaitJobArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Awaits for WaitJob {
    fn ask(look: &dyn Look, args: &WaitJobArgs) -> Result<Poll<Job>, OpError> {
        let what = format!("backup job {}", args.job);
        let Some(found) = look.job(&args.job)? else { return Err(none(&what)) };
        if found.state == "PARTIAL" && args.allow_partial {
            return Ok(Poll::Ready(found));
        }
        let waits = stood(&what, &found.state, job_stand(&found.state), &found.percent, &found.message)?;
        Ok(waits.map_or(Poll::Ready(found), |waits| Poll::Pending(Some(waits), AGAIN)))
    }
}

impl Operation for WaitRestore {
    const NAME: &'static str = "backup.wait_restore";
    const EFFECT: Effect = Effect::Wait;
    const DOC: &'static str = "waits until a restore job is done; fails at once when it never will be (ABORTED, FAILED), with \
                               what AWS says and what can be done";
    const PERMISSION: &'static str = "backup:DescribeRestoreJob";
    const TYPICAL: Duration = Duration::from_secs(600);
    type Args = WaitRestoreArgs;
    type Output = RestoreJob;

    fn resource(args: &WaitRestoreArgs) -> String {
        args.aws.resource("backup", &format!("restore:{}", args.job))
    }

    fn target(context: &ReadContext<'_>, args: &WaitRestoreArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Awaits for WaitRestore {
    fn ask(look: &dyn Look, args: &WaitRestoreArgs) -> Result<Poll<RestoreJob>, OpError> {
        let what = format!("restore job {}", args.job);
        let Some(found) = look.restore(&args.job)? else { return Err(none(&what)) };
        let waits = stood(&what, &found.status, restore_stand(&found.status), &found.percent, &found.message)?;
        Ok(waits.map_or(Poll::Ready(found), |waits| Poll::Pending(Some(waits), AGAIN)))
    }
}
