//! Going back to another version of a secret.

use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::look::{plain_name, present};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Effects, Hands, Look, Of};
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo};

/// `secrets.use_version`.
pub struct UseVersion;

/// Which version to use.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UseVersionArgs {
    /// The secret's name or ARN.
    pub secret: String,
    /// The version that is to be the current one.
    pub version: String,
    /// Only if this one is current now. An undo passes it.
    #[serde(default)]
    pub instead_of: Option<String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// Which version is used.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct InUse {
    /// The version that is current.
    pub version: String,
    /// The one that was before; the same when there was nothing to do.
    pub former: String,
}

in_account!(UseVersionArgs);

impl UseVersionArgs {
    fn act(&self) -> String {
        format!("cannot go to version {} of secret {}", self.version, self.secret)
    }

    fn done(&self, before: &Value) -> InUse {
        let former = before["current"].as_str().unwrap_or_default().to_owned();
        InUse { version: self.version.clone(), former }
    }
}

impl Operation for UseVersion {
    const NAME: &'static str = "secrets.use_version";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "makes another version of a secret the current one, the one before say";
    const PERMISSION: &'static str = "secretsmanager:UpdateSecretVersionStage, secretsmanager:DescribeSecret";
    const TYPICAL: Duration = Duration::from_millis(300);
    type Args = UseVersionArgs;
    type Output = InUse;

    fn resource(args: &UseVersionArgs) -> String {
        args.aws.resource("secrets", plain_name(&args.secret))
    }

    fn target(context: &ReadContext<'_>, args: &UseVersionArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Effects for UseVersion {
    const REPEAT: Repeat = Repeat::Keyed;
    const PROBE_DOC: &'static str = "whether that version is the current one";
    const UNDO_DOC: &'static str = "secrets.use_version with the version that was current";

    fn image(look: &dyn Look, args: &UseVersionArgs, _: &str) -> Result<Value, OpError> {
        let act = args.act();
        let found = present(look, &act, &args.secret)?;
        if found.current == args.version {
            return Ok(json!({ "current": found.current }));
        }
        if args.instead_of.as_ref().is_some_and(|expected| *expected != found.current) {
            let fault = format!("{act}: somebody has put version {} since", found.current);
            return Err(OpError::refused(fault).with_hint("look what it is; go back by hand if it should not stay"));
        }
        if !found.has(&args.version) {
            return Err(OpError::refused(format!("{act}: AWS keeps it no longer"))
                .with_hint("secrets.describe tells which versions there are"));
        }
        Ok(json!({ "current": found.current }))
    }

    fn act(hands: &Hands<'_, '_>, args: &UseVersionArgs) -> Result<Send<InUse>, OpError> {
        let (act, line, before) = (args.act(), &hands.line, hands.of.before);
        let former = before["current"].as_str().unwrap_or_default().to_owned();
        let found = present(line, &act, &args.secret)?;
        if found.current == args.version {
            return Ok(Send::Done(args.done(before)));
        }
        let (id, to) = (args.secret.clone(), args.version.clone());
        // AWS refuses it when another version is current by then.
        line.call(&act, |sm: Client| {
            sm.update_secret_version_stage()
                .secret_id(id)
                .version_stage("AWSCURRENT")
                .move_to_version_id(to)
                .remove_from_version_id(former)
                .send()
        })?;
        Ok(Send::Done(args.done(before)))
    }

    fn became(look: &dyn Look, args: &UseVersionArgs, of: Of<'_>) -> Result<Found<InUse>, OpError> {
        let current = look.secret(&args.secret)?.map(|found| found.current).unwrap_or_default();
        Ok(if current == args.version {
            Found::Done(args.done(of.before))
        } else if of.before["current"] == *current {
            Found::NotDone
        } else {
            Found::CannotTell(format!("{}: somebody has put version {current} since", args.act()))
        })
    }

    fn undoing(args: &UseVersionArgs, before: &Value, _: &str) -> Undo {
        if before["current"] == args.version {
            return Undo::Nothing;
        }
        let args = json!({
            "secret": args.secret, "version": before["current"], "instead_of": args.version, "aws": args.aws,
        });
        Undo::Call { op: "secrets.use_version", args }
    }

    fn print(look: &dyn Look, args: &UseVersionArgs, _: &InUse) -> Result<Value, OpError> {
        Ok(json!({ "current": look.secret(&args.secret)?.map(|found| found.current) }))
    }

    fn forecast(args: &UseVersionArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "version": args.version, "former": before["current"] }))
    }
}
