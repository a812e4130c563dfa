//! Who one is in the sandbox's AWS account.

use serde_json::json;

use super::typed::args;
use super::{Call, Model};
use crate::model::fault::{OpError, Target};
use crate::model::{Value, glob};
use crate::ops::aws::iam::{Simulate, asked};
use crate::sandbox::World;

pub(super) fn models() -> Vec<(&'static str, Model)> {
    vec![("sts.identity", Model::Read(identity)), ("iam.simulate", Model::Read(simulate))]
}

fn simulate(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let args = args::<Simulate>(call)?;
    asked(&args)?;
    let iam = &world.aws.iam;
    let principal = args.principal.unwrap_or_else(|| format!("arn:aws:iam::{}:role/recovery", world.aws.account));
    if !iam.silent.is_empty() {
        return Ok(json!({
            "principal": principal, "told": false, "why_not": iam.silent, "allowed": false, "denied": [],
        }));
    }
    let everything = ["*".to_owned()];
    let resources = if args.resources.is_empty() { &everything } else { args.resources.as_slice() };
    let mut denied = Vec::new();
    for action in args.actions.iter().filter(|action| iam.denied.iter().any(|pattern| glob::matches(pattern, action))) {
        for resource in resources {
            let why = "no policy allows it";
            denied.push(json!({ "action": action, "resource": resource, "forbidden": false, "why": why }));
        }
    }
    Ok(json!({
        "principal": principal, "told": true, "why_not": "", "allowed": denied.is_empty(), "denied": denied,
    }))
}

fn identity(world: &mut World, _: &Call<'_>) -> Result<Value, OpError> {
    let (account, region) = (&world.aws.account, &world.aws.region);
    let arn = format!("arn:aws:sts::{account}:assumed-role/recovery/muster");
    Ok(json!({ "account": account, "arn": arn, "region": region, "endpoint": "" }))
}

/// The account as the target of a run.
pub(super) fn target(world: &World) -> Target {
    let identity = format!("account {} region {}", world.aws.account, world.aws.region);
    Target { name: "aws".to_owned(), identity }
}
