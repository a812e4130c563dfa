//! Going back to another version of a secret.

use std::time::Duration;

use aws_sdk_secretsmanager::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::look::{Live, Look, plain_name, present};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::aws::{Access, identity};
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write};

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

impl UseVersionArgs {
    fn act(&self) -> String {
        format!("cannot go to version {} of secret {}", self.version, self.secret)
    }

    /// Checks that one can go there; the version that is current.
    ///
    /// # Errors
    /// Refused, when there is no such version, or another than is expected is current.
    pub fn image(&self, look: &dyn Look) -> Result<Value, OpError> {
        let act = self.act();
        let found = present(look, &act, &self.secret)?;
        if found.current == self.version {
            return Ok(json!({ "current": found.current }));
        }
        if self.instead_of.as_ref().is_some_and(|expected| *expected != found.current) {
            let fault = format!("{act}: somebody has put version {} since", found.current);
            return Err(OpError::refused(fault).with_hint("look what it is; go back by hand if it should not stay"));
        }
        if !found.has(&self.version) {
            return Err(OpError::refused(format!("{act}: AWS keeps it no longer"))
                .with_hint("secrets.describe tells which versions there are"));
        }
        Ok(json!({ "current": found.current }))
    }

    fn done(&self, before: &Value) -> InUse {
        let former = before["current"].as_str().unwrap_or_default().to_owned();
        InUse { version: self.version.clone(), former }
    }

    /// What became of it.
    ///
    /// # Errors
    /// When it cannot be asked now.
    pub fn became(&self, look: &dyn Look, before: &Value) -> Result<Found<InUse>, OpError> {
        let current = look.secret(&self.secret)?.map(|found| found.current).unwrap_or_default();
        Ok(if current == self.version {
            Found::Done(self.done(before))
        } else if before["current"] == *current {
            Found::NotDone
        } else {
            Found::CannotTell(format!("{}: somebody has put version {current} since", self.act()))
        })
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

impl Write for UseVersion {
    const REPEAT: Repeat = Repeat::Keyed;
    const PROBE_DOC: &'static str = "whether that version is the current one";
    const UNDO_DOC: &'static str = "secrets.use_version with the version that was current";

    fn before(context: &ReadContext<'_>, args: &UseVersionArgs) -> Result<Value, OpError> {
        let line = context.aws(&args.aws)?;
        args.image(&Live::on(&line, context, &args.aws))
    }

    fn send(context: &WriteContext<'_>, args: UseVersionArgs) -> Result<Send<InUse>, OpError> {
        let (act, before) = (args.act(), context.read.before);
        let former = before["current"].as_str().unwrap_or_default().to_owned();
        let line = context.aws(&args.aws)?;
        let found = present(&Live::on(&line, &context.read, &args.aws), &act, &args.secret)?;
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

    fn probe(context: &ReadContext<'_>, args: &UseVersionArgs) -> Result<Found<InUse>, OpError> {
        let line = context.aws(&args.aws)?;
        args.became(&Live::on(&line, context, &args.aws), context.before)
    }

    fn undo(args: &UseVersionArgs, before: &Value, _: &str) -> Undo {
        if before["current"] == args.version {
            return Undo::Nothing;
        }
        let args = json!({
            "secret": args.secret, "version": before["current"], "instead_of": args.version, "aws": args.aws,
        });
        Undo::Call { op: "secrets.use_version", args }
    }

    fn fingerprint(context: &ReadContext<'_>, args: &UseVersionArgs, _: &InUse) -> Result<Value, OpError> {
        let line = context.aws(&args.aws)?;
        let found = Live::on(&line, context, &args.aws).secret(&args.secret)?;
        Ok(json!({ "current": found.map(|found| found.current) }))
    }

    fn predict(args: &UseVersionArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "version": args.version, "former": before["current"] }))
    }

    fn release(_: &WriteContext<'_>, _: &UseVersionArgs) {}
}
