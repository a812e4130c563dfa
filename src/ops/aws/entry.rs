//! How an operation on file systems and their backups becomes an entry of the table: what it decides is written over [`Look`], so
//! that the sandbox's models decide the same.

use std::collections::BTreeMap;

use super::access::InAccount;
use super::client::Line;
use super::rds::{KEY_TAG, RUN_TAG};
use super::{backup, efs};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::files::digest_bytes;
use crate::ops::spec::{Found, Operation, Poll, Predicted, Repeat, Send, Undo};

/// What can be asked of an account about file systems and backups.
pub trait Look: backup::Look + efs::Look {}

impl<T: backup::Look + efs::Look> Look for T {}

/// A question to AWS.
pub trait Asks: Operation<Args: InAccount> {
    /// Asks it.
    ///
    /// # Errors
    /// As the operation says.
    fn ask(look: &dyn Look, args: &Self::Args) -> Result<Self::Output, OpError>;
}

/// A wait for something in AWS.
pub trait Awaits: Operation<Args: InAccount> {
    /// Asks once.
    ///
    /// # Errors
    /// When what is waited for can never come.
    fn ask(look: &dyn Look, args: &Self::Args) -> Result<Poll<Self::Output>, OpError>;
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
}

/// An effect on AWS.
pub trait Effects: Operation<Args: InAccount> {
    /// See [`crate::ops::spec::Write::REPEAT`].
    const REPEAT: Repeat;
    /// See [`crate::ops::spec::Write::PROBE_DOC`].
    const PROBE_DOC: &'static str;
    /// See [`crate::ops::spec::Write::UNDO_DOC`].
    const UNDO_DOC: &'static str;

    /// See [`crate::ops::spec::Write::before`].
    ///
    /// # Errors
    /// Refused, when a precondition does not hold; transient, when it will hold later.
    fn image(look: &dyn Look, args: &Self::Args) -> Result<Value, OpError>;

    /// See [`crate::ops::spec::Write::send`].
    ///
    /// # Errors
    /// The class tells what is known about the world.
    fn act(hands: &Hands<'_, '_>, args: &Self::Args) -> Result<Send<Self::Output>, OpError>;

    /// See [`crate::ops::spec::Write::probe`].
    ///
    /// # Errors
    /// When AWS cannot be asked now.
    fn became(look: &dyn Look, args: &Self::Args, of: Of<'_>) -> Result<Found<Self::Output>, OpError>;

    /// See [`crate::ops::spec::Write::undo`].
    fn undoing(args: &Self::Args, before: &Value, key: &str) -> Undo;

    /// See [`crate::ops::spec::Write::fingerprint`].
    ///
    /// # Errors
    /// When AWS cannot be asked now.
    fn print(look: &dyn Look, args: &Self::Args, result: &Self::Output) -> Result<Value, OpError>;

    /// See [`crate::ops::spec::Write::predict`].
    fn forecast(args: &Self::Args, before: &Value, key: &str) -> Predicted;
}

/// Makes operations that are written over [`Look`] ones of the live system.
macro_rules! performed {
    (asks: $($read:ty),*; awaits: $($wait:ty),*; effects: $($write:ty),* $(,)?) => {
        $(impl $crate::ops::spec::Read for $read {
            fn read(
                context: &$crate::ops::context::ReadContext<'_>,
                args: Self::Args,
            ) -> Result<Self::Output, $crate::model::fault::OpError> {
                <Self as $crate::ops::aws::entry::Asks>::ask(&context.aws(&args.aws)?, &args)
            }
        })*
        $(impl $crate::ops::spec::Wait for $wait {
            fn poll(
                context: &$crate::ops::context::ReadContext<'_>,
                args: Self::Args,
            ) -> Result<$crate::ops::spec::Poll<Self::Output>, $crate::model::fault::OpError> {
                <Self as $crate::ops::aws::entry::Awaits>::ask(&context.aws(&args.aws)?, &args)
            }
        })*
        $(impl $crate::ops::spec::Write for $write {
            const REPEAT: $crate::ops::spec::Repeat = <Self as $crate::ops::aws::entry::Effects>::REPEAT;
            const PROBE_DOC: &'static str = <Self as $crate::ops::aws::entry::Effects>::PROBE_DOC;
            const UNDO_DOC: &'static str = <Self as $crate::ops::aws::entry::Effects>::UNDO_DOC;

            fn before(
                context: &$crate::ops::context::ReadContext<'_>,
                args: &Self::Args,
            ) -> Result<$crate::model::Value, $crate::model::fault::OpError> {
                <Self as $crate::ops::aws::entry::Effects>::image(&context.aws(&args.aws)?, args)
            }

            fn send(
                context: &$crate::ops::context::WriteContext<'_>,
                args: Self::Args,
            ) -> Result<$crate::ops::spec::Send<Self::Output>, $crate::model::fault::OpError> {
                let read = &context.read;
                let of =
                    $crate::ops::aws::entry::Of { run: read.run.as_str(), key: read.key, before: read.before };
                let hands = $crate::ops::aws::entry::Hands { line: context.aws(&args.aws)?, of };
                <Self as $crate::ops::aws::entry::Effects>::act(&hands, &args)
            }

            fn probe(
                context: &$crate::ops::context::ReadContext<'_>,
                args: &Self::Args,
            ) -> Result<$crate::ops::spec::Found<Self::Output>, $crate::model::fault::OpError> {
                let (run, key, before) = (context.run.as_str(), context.key, context.before);
                let of = $crate::ops::aws::entry::Of { run, key, before };
                <Self as $crate::ops::aws::entry::Effects>::became(&context.aws(&args.aws)?, args, of)
            }

            fn undo(args: &Self::Args, before: &$crate::model::Value, key: &str) -> $crate::ops::spec::Undo {
                <Self as $crate::ops::aws::entry::Effects>::undoing(args, before, key)
            }

            fn fingerprint(
                context: &$crate::ops::context::ReadContext<'_>,
                args: &Self::Args,
                result: &Self::Output,
            ) -> Result<$crate::model::Value, $crate::model::fault::OpError> {
                <Self as $crate::ops::aws::entry::Effects>::print(&context.aws(&args.aws)?, args, result)
            }

            fn predict(
                args: &Self::Args,
                before: &$crate::model::Value,
                key: &str,
            ) -> $crate::ops::spec::Predicted {
                <Self as $crate::ops::aws::entry::Effects>::forecast(args, before, key)
            }

            fn release(_: &$crate::ops::context::WriteContext<'_>, _: &Self::Args) {}
        })*
    };
}
pub(super) use performed;

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
