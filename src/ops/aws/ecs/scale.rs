//! How many tasks a service is to have: none to quiesce it, and as many as before to start it again.

use std::time::Duration;

use aws_sdk_ecs::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::look::present;
use super::read::resource;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of};
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo};

/// `ecs.scale`.
pub struct Scale;

/// How many tasks a service is to have.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleArgs {
    /// The name or ARN of its cluster.
    pub cluster: String,
    /// Its name or ARN.
    pub service: String,
    /// How many; 0 quiesces it.
    pub desired: u16,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// A service was told how many tasks to have; `ecs.wait_stable` waits until it has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Scaled {
    /// How many it is to have.
    pub desired: u16,
    /// How many it was to have before.
    pub former: i32,
}

in_account!(ScaleArgs);

impl ScaleArgs {
    fn act(&self) -> String {
        format!("cannot scale service {}", self.service)
    }

    /// What it came to.
    #[must_use]
    pub fn done(&self, before: &Value) -> Scaled {
        let former = before["desired"].as_i64().and_then(|number| i32::try_from(number).ok()).unwrap_or_default();
        Scaled { desired: self.desired, former }
    }
}

impl Operation for Scale {
    const NAME: &'static str = "ecs.scale";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str =
        "sets how many tasks a service is to have: 0 quiesces it; tasks that start read their secrets anew";
    const PERMISSION: &'static str = "ecs:UpdateService, ecs:DescribeServices";
    const TYPICAL: Duration = Duration::from_millis(500);
    type Args = ScaleArgs;
    type Output = Scaled;

    fn resource(args: &ScaleArgs) -> String {
        resource(&args.aws, &args.cluster, &args.service)
    }

    fn target(context: &ReadContext<'_>, args: &ScaleArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for Scale {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether it is to have that many";
    const UNDO_DOC: &'static str = "ecs.scale to as many as before";

    fn image(look: &dyn Look, args: &ScaleArgs, _: &str) -> Result<Value, OpError> {
        let found = present(look, &args.act(), &args.cluster, &args.service)?;
        Ok(json!({ "desired": found.desired }))
    }

    fn act(hands: &Hands<'_, '_>, args: &ScaleArgs) -> Result<Send<Scaled>, OpError> {
        let (cluster, service, desired) = (args.cluster.clone(), args.service.clone(), i32::from(args.desired));
        hands.line.call(&args.act(), |ecs: Client| {
            ecs.update_service().cluster(cluster).service(service).desired_count(desired).send()
        })?;
        Ok(Send::Done(args.done(hands.of.before)))
    }

    fn became(look: &dyn Look, args: &ScaleArgs, of: Of<'_>) -> Result<Found<Scaled>, OpError> {
        Ok(match look.service(&args.cluster, &args.service)? {
            Some(found) if found.desired == i32::from(args.desired) => Found::Done(args.done(of.before)),
            Some(_) => Found::NotDone,
            None => Found::CannotTell(format!("{}: it is gone", args.act())),
        })
    }

    fn undoing(args: &ScaleArgs, before: &Value, _: &str) -> Undo {
        if before["desired"] == args.desired {
            return Undo::Nothing;
        }
        let args = json!({
            "cluster": args.cluster, "service": args.service, "desired": before["desired"], "aws": args.aws,
        });
        Undo::Call { op: "ecs.scale", args }
    }

    fn print(look: &dyn Look, args: &ScaleArgs, _: &Scaled) -> Result<Value, OpError> {
        let found = look.service(&args.cluster, &args.service)?;
        Ok(json!({ "desired": found.map(|found| found.desired) }))
    }

    fn forecast(args: &ScaleArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!(args.done(before)))
    }
}
