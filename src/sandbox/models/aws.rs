//! Who one is in the sandbox's AWS account.

use serde_json::json;

use super::{Call, Model};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::sandbox::World;

pub(super) fn models() -> Vec<(&'static str, Model)> {
    vec![("sts.identity", Model::Read(identity))]
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
