//! Looking at a secret without what stands in it.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::look::{Described, plain_name};
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Asks, Look};
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Operation};

/// `secrets.describe`.
pub struct Describe;

/// Which secret to look at.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DescribeArgs {
    /// Its name or ARN.
    pub secret: String,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(DescribeArgs);

impl Operation for Describe {
    const NAME: &'static str = "secrets.describe";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "looks at a secret: its versions and their stages, not what stands in it";
    const PERMISSION: &'static str = "secretsmanager:DescribeSecret";
    const TYPICAL: Duration = Duration::from_millis(200);
    type Args = DescribeArgs;
    type Output = Described;

    fn resource(args: &DescribeArgs) -> String {
        args.aws.resource("secrets", plain_name(&args.secret))
    }

    fn target(context: &ReadContext<'_>, args: &DescribeArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for Describe {
    fn ask(look: &dyn Look, args: &DescribeArgs) -> Result<Described, OpError> {
        Ok(look.secret(&args.secret)?.unwrap_or_default())
    }
}
