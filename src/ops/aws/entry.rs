//! How an operation on AWS becomes an entry of the table: what it decides is written over [`Look`], so that the sandbox's models
//! decide the same.

use std::collections::BTreeMap;

use super::access::InAccount;
use super::client::Line;
use super::rds::{KEY_TAG, RUN_TAG};
use super::{backup, ecs, efs, rds, secrets};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::files::digest_bytes;
use crate::ops::spec::{Found, Operation, Poll, Predicted, Read, Repeat, Send, Undo, Wait, Write};

/// What can be asked of an account: the live one, or the sandbox's.
pub trait Look: backup::Look + ecs::Look + efs::Look + rds::Look + secrets::Look {
    /// Whether a text of the arguments stands for one that only the run will know.
    fn is_unknown(&self, _text: &str) -> bool {
        false
    }
}

impl Look for Line<'_> {}

/// A question to AWS.
pub trait Asks: Operation<Args: InAccount> {
    /// Asks it.
    ///
    /// # Errors
    /// As the operation says.
    fn ask(look: &dyn Look, args: &Self::Args) -> Result<Self::Output, OpError>;
}

impl<O: Asks> Read for O {
    fn read(context: &ReadContext<'_>, args: Self::Args) -> Result<Self::Output, OpError> {
        Self::ask(&context.aws(args.access())?, &args)
    }
}

/// A wait for something in AWS.
pub trait Awaits: Operation<Args: InAccount> {
    /// Asks once.
    ///
    /// # Errors
    /// When what is waited for can never come.
    fn ask(look: &dyn Look, args: &Self::Args) -> Result<Poll<Self::Output>, OpError>;
}

impl<O: Awaits> Wait for O {
    fn poll(context: &ReadContext<'_>, args: Self::Args) -> Result<Poll<Self::Output>, OpError> {
        Self::ask(&context.aws(args.access())?, &args)
    }
}

/// The call whose effect is meant.
#[derive(Clone, Copy)]
pub struct Of<'c> {
    /// The run.
    pub run: &'c str,
    /// The key of the call.
    pub key: &'c str,
    /// The image taken before.
    pub before: &'c Value,
}

/// The longest token that all services take.
const LONGEST_TOKEN: usize = 50;

/// The token by which AWS knows a call again: the same each time that it is sent.
#[must_use]
pub fn token(key: &str) -> String {
    if key.len() <= LONGEST_TOKEN {
        key.to_owned()
    } else {
        format!("m-{}", &digest_bytes(key.as_bytes()).sha256[..40])
    }
}

/// The run whose call has this key.
#[must_use]
pub fn run_of(key: &str) -> &str {
    key.split('-').nth(1).unwrap_or_default()
}

impl<'c> Of<'c> {
    /// The token of the call.
    #[must_use]
    pub fn token(&self) -> String {
        token(self.key)
    }

    /// A text of the before-image; empty when it has none.
    #[must_use]
    pub fn earlier(&self, name: &str) -> &'c str {
        self.before.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// The tags of what this call makes: those that are asked for, and those that say whose it is.
    pub(super) fn tags(&self, asked: &BTreeMap<String, String>) -> std::collections::HashMap<String, String> {
        let ours = [(RUN_TAG.to_owned(), self.run.to_owned()), (KEY_TAG.to_owned(), self.token())];
        asked.clone().into_iter().chain(ours).collect()
    }
}

/// The hand that writes, with what it needs.
pub struct Hands<'h, 'c> {
    /// The line to AWS.
    pub line: Line<'c>,
    /// The call.
    pub of: Of<'h>,
    /// Where secrets are resolved.
    pub context: &'h WriteContext<'c>,
}

/// An effect on AWS.
pub trait Effects: Operation<Args: InAccount> {
    /// See [`Write::REPEAT`].
    const REPEAT: Repeat;
    /// See [`Write::PROBE_DOC`].
    const PROBE_DOC: &'static str;
    /// See [`Write::UNDO_DOC`].
    const UNDO_DOC: &'static str;

    /// See [`Write::before`].
    ///
    /// # Errors
    /// Refused, when a precondition does not hold; transient, when it will hold later.
    fn image(look: &dyn Look, args: &Self::Args, run: &str) -> Result<Value, OpError>;

    /// See [`Write::send`].
    ///
    /// # Errors
    /// The class tells what is known about the world.
    fn act(hands: &Hands<'_, '_>, args: &Self::Args) -> Result<Send<Self::Output>, OpError>;

    /// See [`Write::probe`].
    ///
    /// # Errors
    /// When AWS cannot be asked now.
    fn became(look: &dyn Look, args: &Self::Args, of: Of<'_>) -> Result<Found<Self::Output>, OpError>;

    /// See [`Write::undo`].
    fn undoing(args: &Self::Args, before: &Value, key: &str) -> Undo;

    /// See [`Write::fingerprint`].
    ///
    /// # Errors
    /// When AWS cannot be asked now.
    fn print(look: &dyn Look, args: &Self::Args, result: &Self::Output) -> Result<Value, OpError>;

    /// See [`Write::predict`].
    fn forecast(args: &Self::Args, before: &Value, key: &str) -> Predicted;
}

impl<O: Effects> Write for O {
    const REPEAT: Repeat = <O as Effects>::REPEAT;
    const PROBE_DOC: &'static str = <O as Effects>::PROBE_DOC;
    const UNDO_DOC: &'static str = <O as Effects>::UNDO_DOC;

    fn before(context: &ReadContext<'_>, args: &Self::Args) -> Result<Value, OpError> {
        Self::image(&context.aws(args.access())?, args, context.run.as_str())
    }

    fn send(context: &WriteContext<'_>, args: Self::Args) -> Result<Send<Self::Output>, OpError> {
        let read = &context.read;
        let of = Of { run: read.run.as_str(), key: read.key, before: read.before };
        Self::act(&Hands { line: context.aws(args.access())?, of, context }, &args)
    }

    fn probe(context: &ReadContext<'_>, args: &Self::Args) -> Result<Found<Self::Output>, OpError> {
        let of = Of { run: context.run.as_str(), key: context.key, before: context.before };
        Self::became(&context.aws(args.access())?, args, of)
    }

    fn undo(args: &Self::Args, before: &Value, key: &str) -> Undo {
        Self::undoing(args, before, key)
    }

    fn fingerprint(context: &ReadContext<'_>, args: &Self::Args, result: &Self::Output) -> Result<Value, OpError> {
        Self::print(&context.aws(args.access())?, args, result)
    }

    fn predict(args: &Self::Args, before: &Value, key: &str) -> Predicted {
        Self::forecast(args, before, key)
    }

    fn release(_: &WriteContext<'_>, _: &Self::Args) {}
}

/// The last part of an ARN: `fs-1234` of `arn:aws:elasticfilesystem:eu-west-1:1:file-system/fs-1234`.
#[must_use]
pub fn id_of(arn: &str) -> &str {
    arn.rsplit(['/', ':']).next().unwrap_or(arn)
}

/// A slot of an undo that was filled; none when the call it undoes never answered.
pub(super) fn filled(slot: Option<&str>) -> Option<&str> {
    slot.filter(|text| !text.is_empty() && !text.starts_with("$result"))
}

/// Whether a thing with these tags is a call's to delete: no, when it is to delete only what another call made.
///
/// # Errors
/// Refused, when no run made it and nobody says that it may go.
pub(super) fn may_delete(
    act: &str,
    (owned_by, made): (&str, &str),
    made_by: Option<&str>,
    foreign: bool,
) -> Result<bool, OpError> {
    match made_by {
        Some(token) => Ok(token == made),
        None if foreign || !owned_by.is_empty() => Ok(true),
        None => {
            Err(OpError::refused(format!("{act}: no run made it"))
                .with_hint("pass foreign: true if it is really to go"))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_key_that_is_too_long_for_a_token_is_told_apart_from_others_all_the_same() {
        let long = format!("m-{}-1-2", "x".repeat(60));
        assert_eq!(token("m-run-restore-1-2"), "m-run-restore-1-2");
        assert!(token(&long).len() <= LONGEST_TOKEN && token(&long) != token(&format!("{long}3")));
    }

    #[test]
    fn the_id_is_the_last_part_of_an_arn() {
        assert_eq!(id_of("arn:aws:elasticfilesystem:eu-west-1:1:file-system/fs-1"), "fs-1");
        assert_eq!(id_of("arn:aws:backup:eu-west-1:1:recovery-point:abc"), "abc");
    }
}
