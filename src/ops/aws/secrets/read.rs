//! Reading a secret: what a script gets are handles.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::document;
use super::look::{plain_name, present};
use crate::model::fault::{OpError, Target};
use crate::ops::args::Confidential;
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Asks, Look};
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::secrets::handle_in_aws;
use crate::ops::spec::{Effect, Operation};

/// `secrets.read`.
pub struct ReadSecret;

/// Which secret to read.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadSecretArgs {
    /// Its name or ARN.
    pub secret: String,
    /// Which version; the current one when it is not given.
    #[serde(default)]
    pub version: Option<String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// A version of a secret, as handles.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Contents {
    /// Its name.
    pub name: String,
    /// The version that the handles are of: what they stand for never changes.
    pub version: String,
    /// All of it.
    pub value: Confidential,
    /// Its fields, when it is a JSON document.
    pub fields: BTreeMap<String, Confidential>,
    /// Where the fields lead that are URLs: host, and port if they name one. No secret.
    pub hosts: BTreeMap<String, String>,
}

in_account!(ReadSecretArgs);

impl Operation for ReadSecret {
    const NAME: &'static str = "secrets.read";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "reads a secret as handles, one for all of it and one for each field of a JSON document; the script \
                               never sees what they stand for";
    const PERMISSION: &'static str = "secretsmanager:DescribeSecret, secretsmanager:GetSecretValue, and kms:Decrypt where \
                                      it has a key of its own";
    const TYPICAL: Duration = Duration::from_millis(300);
    type Args = ReadSecretArgs;
    type Output = Contents;

    fn resource(args: &ReadSecretArgs) -> String {
        args.aws.resource("secrets", plain_name(&args.secret))
    }

    fn target(context: &ReadContext<'_>, args: &ReadSecretArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

/// The handles of a secret. `None`, when what stands in it is not known here.
///
/// # Errors
/// Refused, when there is no such secret.
pub fn handles(look: &dyn Look, args: &ReadSecretArgs) -> Result<Option<Contents>, OpError> {
    let found = present(look, &format!("cannot read secret {}", args.secret), &args.secret)?;
    let version = args.version.clone().unwrap_or(found.current);
    let Some(contents) = look.contents(&args.secret, &version)? else { return Ok(None) };
    let handle = |field: Option<&str>| Confidential::of(handle_in_aws(&args.secret, &version, field, &args.aws));
    let names = document::names(&contents);
    Ok(Some(Contents {
        name: found.name,
        value: handle(None),
        fields: names.into_iter().map(|name| (name.clone(), handle(Some(&name)))).collect(),
        hosts: document::hosts(&contents),
        version,
    }))
}

impl Asks for ReadSecret {
    fn ask(look: &dyn Look, args: &ReadSecretArgs) -> Result<Contents, OpError> {
        handles(look, args)?
            .ok_or_else(|| OpError::refused(format!("cannot read secret {}: it holds no text", args.secret)))
    }
}
