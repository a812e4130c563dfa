//! Waiting for a service: every deployment is read, also those that fail, and those that a circuit breaker has taken back.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::look::present;
use super::read::resource;
use super::service::{Service, plain_name};
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Awaits, Look};
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Operation, Poll};

/// How long until a service is asked about again.
const AGAIN: Duration = Duration::from_secs(5);

/// `ecs.wait_stable`.
pub struct WaitStable;

/// Which service to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitStableArgs {
    /// The name or ARN of its cluster.
    pub cluster: String,
    /// Its name or ARN.
    pub service: String,
    /// The deployment that has to count in the end, as `ecs.redeploy` told its id: without it, one that a circuit breaker took
    /// back long ago is not known.
    #[serde(default)]
    pub deployment: Option<String>,
    /// The task definition that has to run in the end: its ARN, or `family:revision`.
    #[serde(default)]
    pub task_definition: Option<String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(WaitStableArgs);

impl WaitStableArgs {
    /// Why it never becomes what it should.
    fn fault(&self, found: &Service) -> Option<String> {
        let why = |reason: &str| if reason.is_empty() { String::new() } else { format!(": {reason}") };
        if let Some(failed) = found.deployments.iter().find(|one| one.rollout == "FAILED") {
            return Some(format!("deployment {} failed{}", failed.id, why(&failed.reason)));
        }
        let primary = found.primary()?;
        let reason = primary.reason.to_ascii_lowercase();
        if reason.contains("rolling back") || reason.contains("rolled back") {
            return Some(format!("a circuit breaker takes its last deployment back{}", why(&primary.reason)));
        }
        if let Some(wanted) = &self.deployment
            && *wanted != primary.id
            && !found.deployments.iter().any(|one| one.id == *wanted && one.status == "PRIMARY")
        {
            return Some(format!(
                "deployment {} counts instead of {wanted}: it was taken back or replaced",
                primary.id
            ));
        }
        let same = |wanted: &&String| plain_name(wanted) != plain_name(&primary.task_definition);
        let other = self.task_definition.as_ref().filter(same)?;
        Some(format!("it runs {} instead of {other}: it was taken back or replaced", primary.task_definition))
    }
}

impl Operation for WaitStable {
    const NAME: &'static str = "ecs.wait_stable";
    const EFFECT: Effect = Effect::Wait;
    const DOC: &'static str = "waits until a service runs as many tasks as it is to have, all of one deployment; fails at once when a \
                               deployment fails or a circuit breaker takes it back, with what ECS says";
    const PERMISSION: &'static str = "ecs:DescribeServices";
    const TYPICAL: Duration = Duration::from_secs(180);
    type Args = WaitStableArgs;
    type Output = Service;

    fn resource(args: &WaitStableArgs) -> String {
        resource(&args.aws, &args.cluster, &args.service)
    }

    fn target(context: &ReadContext<'_>, args: &WaitStableArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Awaits for WaitStable {
    fn ask(look: &dyn Look, args: &WaitStableArgs) -> Result<Poll<Service>, OpError> {
        let what = format!("service {}", plain_name(&args.service));
        let found = present(look, &format!("cannot wait for {what}"), &args.cluster, &args.service)?;
        if let Some(why) = args.fault(&found) {
            let error = OpError::failed(format!("{what} will not become stable: {why}")).with_hint(
                "look at what ECS says and at the logs of the tasks; mend what they need, then deploy anew by ecs.redeploy",
            );
            return Err(if found.events.is_empty() { error } else { error.with_detail(found.events.join("\n")) });
        }
        let settled = found.deployments.len() <= 1
            && found.primary().is_none_or(|one| matches!(one.rollout.as_str(), "" | "COMPLETED"));
        if settled && found.running == found.desired && found.pending == 0 {
            return Ok(Poll::Ready(found));
        }
        let failed = found.deployments.iter().map(|one| one.failed).sum::<i32>();
        let mut progress = format!("{what}: {} of {} run", found.running, found.desired);
        if found.pending > 0 {
            progress.push_str(&format!(", {} start", found.pending));
        }
        if found.deployments.len() > 1 {
            progress.push_str(&format!(", {} deployments", found.deployments.len()));
        }
        if failed > 0 {
            progress.push_str(&format!(", {failed} failed"));
        }
        Ok(Poll::Pending(Some(progress), AGAIN))
    }
}
