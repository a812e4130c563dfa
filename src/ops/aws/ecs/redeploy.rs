//! A new deployment of what a service runs already: its tasks are replaced, and read their secrets anew.

use std::time::Duration;

use aws_sdk_ecs::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::look::{present, service};
use super::read::resource;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of};
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, unknown};

/// `ecs.redeploy`.
pub struct Redeploy;

/// Which service to deploy anew.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RedeployArgs {
    /// The name or ARN of its cluster.
    pub cluster: String,
    /// Its name or ARN.
    pub service: String,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// A deployment was begun; `ecs.wait_stable` waits for it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Redeployed {
    /// Its id.
    pub deployment: String,
    /// The id of the one before.
    pub former: String,
}

in_account!(RedeployArgs);

impl RedeployArgs {
    fn act(&self) -> String {
        format!("cannot deploy service {} anew", self.service)
    }

    /// What it came to.
    #[must_use]
    pub fn done(&self, before: &Value, deployment: String) -> Redeployed {
        Redeployed { deployment, former: before["deployment"].as_str().unwrap_or_default().to_owned() }
    }
}

impl Operation for Redeploy {
    const NAME: &'static str = "ecs.redeploy";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str =
        "replaces the tasks of a service by new ones of the same definition, which read their secrets anew";
    const PERMISSION: &'static str = "ecs:UpdateService, ecs:DescribeServices";
    const TYPICAL: Duration = Duration::from_millis(500);
    type Args = RedeployArgs;
    type Output = Redeployed;

    fn resource(args: &RedeployArgs) -> String {
        resource(&args.aws, &args.cluster, &args.service)
    }

    fn target(context: &ReadContext<'_>, args: &RedeployArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for Redeploy {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = "whether another deployment counts than before";
    const UNDO_DOC: &'static str = "nothing: the tasks run what they ran. A playbook that has changed a secret scales to 0 before and \
                                    back after, so that a rollback starts the tasks with the former one";

    fn image(look: &dyn Look, args: &RedeployArgs, _: &str) -> Result<Value, OpError> {
        let act = args.act();
        let found = present(look, &act, &args.cluster, &args.service)?;
        let former = found.primary_id();
        if former.is_empty() {
            return Err(OpError::refused(format!("{act}: something else than ECS rolls it out"))
                .with_hint("deploy it by CodeDeploy or whatever does, or scale it to 0 and back by ecs.scale"));
        }
        Ok(json!({ "deployment": former }))
    }

    fn act(hands: &Hands<'_, '_>, args: &RedeployArgs) -> Result<Send<Redeployed>, OpError> {
        let (cluster, name) = (args.cluster.clone(), args.service.clone());
        let answer = hands.line.call(&args.act(), |ecs: Client| {
            ecs.update_service().cluster(cluster).service(name).force_new_deployment(true).send()
        })?;
        let now = answer.service.map(|found| service(found).primary_id()).unwrap_or_default();
        if now.is_empty() || hands.of.before["deployment"] == *now {
            // The probe tells it from the one before.
            return Ok(Send::Running);
        }
        Ok(Send::Done(args.done(hands.of.before, now)))
    }

    fn became(look: &dyn Look, args: &RedeployArgs, of: Of<'_>) -> Result<Found<Redeployed>, OpError> {
        let Some(found) = look.service(&args.cluster, &args.service)? else {
            return Ok(Found::CannotTell(format!("{}: it is gone", args.act())));
        };
        let now = found.primary_id();
        Ok(if of.before["deployment"] == *now { Found::NotDone } else { Found::Done(args.done(of.before, now)) })
    }

    fn undoing(_: &RedeployArgs, _: &Value, _: &str) -> Undo {
        Undo::Nothing
    }

    fn print(look: &dyn Look, args: &RedeployArgs, _: &Redeployed) -> Result<Value, OpError> {
        let found = look.service(&args.cluster, &args.service)?;
        Ok(json!({ "deployment": found.map(|found| found.primary_id()) }))
    }

    fn forecast(_: &RedeployArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "deployment": unknown("ECS gives it an id"), "former": before["deployment"] }))
    }
}
