//! Who and where one is in AWS: the account and region, which are the target of a run.

use std::time::Duration;

use aws_sdk_sts::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::access::Access;
use super::client::Line;
use crate::model::fault::{OpError, Target};
use crate::ops::context::ReadContext;
use crate::ops::spec::{self, Effect, OpEntry, Operation, Read};

pub(super) fn entries() -> Vec<OpEntry> {
    vec![spec::read::<WhoAmI>()]
}

/// Who one is.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Identity {
    /// The number of the account.
    pub account: String,
    /// The ARN of the user or of the role's session.
    pub arn: String,
    /// The region.
    pub region: String,
    /// Where calls go, if that is not AWS; otherwise empty.
    pub endpoint: String,
}

impl Identity {
    /// `aws`, or `aws (prod eu-west-1)`: what a run checks before it goes on.
    fn target(&self, access: &Access) -> Target {
        let label = access.label();
        let name = if label.is_empty() { "aws".to_owned() } else { format!("aws ({label})") };
        let mut identity = format!("account {} region {}", self.account, self.region);
        if !self.endpoint.is_empty() {
            identity.push_str(&format!(" at {}", self.endpoint));
        }
        Target { name, identity }
    }
}

impl Line<'_> {
    /// Who one is on this line. Asked once for each set of credentials.
    ///
    /// # Errors
    /// As [`Line::call`].
    pub fn identity(&self) -> Result<Identity, OpError> {
        if let Some(known) = self.account.identity.lock().clone() {
            return Ok(known);
        }
        let act = "cannot ask AWS which account this is";
        let answer = self.call(act, |sts: Client| sts.get_caller_identity().send())?;
        let identity = Identity {
            account: answer.account.unwrap_or_default(),
            arn: answer.arn.unwrap_or_default(),
            region: self.account.region().to_owned(),
            endpoint: self.account.endpoint().unwrap_or_default().to_owned(),
        };
        *self.account.identity.lock() = Some(identity.clone());
        Ok(identity)
    }
}

/// The account and region as the target of a run.
///
/// # Errors
/// As [`Line::identity`].
pub fn target(context: &ReadContext<'_>, access: &Access) -> Result<Option<Target>, OpError> {
    Ok(Some(context.aws(access)?.identity()?.target(access)))
}

/// `sts.identity`.
pub struct WhoAmI;

/// Which account to ask.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WhoAmIArgs {
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

impl Operation for WhoAmI {
    const NAME: &'static str = "sts.identity";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "which AWS account and region this is, and as whom";
    const PERMISSION: &'static str = "sts:GetCallerIdentity, which everybody has";
    const TYPICAL: Duration = Duration::from_millis(150);
    type Args = WhoAmIArgs;
    type Output = Identity;

    fn resource(args: &WhoAmIArgs) -> String {
        args.aws.resource("sts", "identity")
    }

    fn target(context: &ReadContext<'_>, args: &WhoAmIArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.aws)
    }
}

impl Read for WhoAmI {
    fn read(context: &ReadContext<'_>, args: WhoAmIArgs) -> Result<Identity, OpError> {
        context.aws(&args.aws)?.identity()
    }
}
