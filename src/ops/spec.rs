//! What an entry of the operation table says, and the traits from which entries are made.

use std::time::Duration;

use schemars::JsonSchema;
use serde::de::DeserializeOwned;
use serde::{Deserialize as _, Serialize};

use super::context::{ReadContext, WriteContext};
use super::host::{Polled, Probe, Sent};
use super::touch::Touch;
use crate::model::fault::OpError;
use crate::model::fault::Target;
use crate::model::{RunId, Value};

/// What an operation does to the world.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Effect {
    /// Nothing; answers at once and only from its arguments, the clock or chance. Journaled, so that replay sees the same.
    Value,
    /// Nothing; reads the world.
    Read,
    /// Nothing; reads the world until something is there.
    Wait,
    /// Nothing; asks a person.
    Ask,
    /// Nothing but a line in the run's log.
    Log,
    /// Makes something that was not there. Create-only: it refuses what exists.
    Create,
    /// Changes something that is there.
    Update,
    /// Removes something.
    Delete,
    /// Runs a program whose effect Muster does not know.
    Exec,
}

impl Effect {
    /// Whether it changes the world: needs an intent, a probe and an undo.
    #[must_use]
    pub fn writes(self) -> bool {
        matches!(self, Self::Create | Self::Update | Self::Delete | Self::Exec)
    }
}

/// What may be done with a call whose outcome is unknown.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Repeat {
    /// Sending it again changes nothing.
    Safe,
    /// The server refuses the second use of a key.
    Keyed,
    /// Only after the probe has said that it was not done.
    Probe,
    /// Never without a person.
    Never,
}

/// How an effect is undone: decided from its arguments and before-image when the intent is written.
#[derive(Clone, Debug, PartialEq)]
pub enum Undo {
    /// There is nothing to undo.
    Nothing,
    /// It cannot be undone, and this is why.
    Impossible(&'static str),
    /// By this call. A string value `$result/a/b` in `args` stands for that field of the outcome.
    Call {
        /// Full name of an operation of the table.
        op: &'static str,
        /// Its arguments, with slots.
        args: Value,
    },
}

/// What a plan says of an effect it does not send.
#[derive(Clone, Debug, PartialEq)]
pub enum Predicted {
    /// The result will be this. Fields that only the run will know are `{"$unknown": "why"}`.
    Result(Value),
    /// Nobody can say what it does.
    Opaque,
}

pub use crate::model::unknown::UNKNOWN_KEY;

/// A field of a predicted result that only the run will know.
#[must_use]
pub fn unknown(why: &str) -> Value {
    serde_json::json!({ UNKNOWN_KEY: why })
}

/// What all operations say of themselves.
pub trait Operation: 'static {
    /// `family.name`.
    const NAME: &'static str;
    /// What it does to the world.
    const EFFECT: Effect;
    /// Counts up when the meaning of arguments or result changes; a journal holds the revision it was written with.
    const REVISION: u32 = 1;
    /// One line for the reference.
    const DOC: &'static str;
    /// What the operator must be allowed to do: a binary, a privilege.
    const PERMISSION: &'static str;
    /// How long it usually takes.
    const TYPICAL: Duration = Duration::from_millis(50);
    /// Its arguments; `deny_unknown_fields`, one doc comment a field. Never a Rhai reserved word as a name.
    type Args: DeserializeOwned + JsonSchema;
    /// Its result.
    type Output: Serialize + DeserializeOwned + JsonSchema;

    /// The resource it reads or changes, as a path from the general to the special: `docker/open-webui-db`,
    /// `pg/open-webui-db/chatbot_db`, `fs/var/backups/x`. A capability is scoped to its arguments; a plan uses this to
    /// know which later reads an effect spoils.
    fn resource(args: &Self::Args) -> String;

    /// Everything it makes or changes, for an effect whose before-image this is (`Null` while there is none yet). By it a drill
    /// is fenced in: nothing that it touches may be left out. Pure.
    fn touches(args: &Self::Args, _before: &Value) -> Vec<Touch> {
        match Self::EFFECT {
            Effect::Create => vec![Touch::makes(Self::resource(args))],
            effect if effect.writes() => vec![Touch::changes(Self::resource(args))],
            _ => Vec::new(),
        }
    }

    /// The identity of what it works on.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn target(_context: &ReadContext<'_>, _args: &Self::Args) -> Result<Option<Target>, OpError> {
        Ok(None)
    }
}

/// An operation that only reads (or makes a value).
pub trait Read: Operation {
    /// Performs it.
    ///
    /// # Errors
    /// As the operation says.
    fn read(context: &ReadContext<'_>, args: Self::Args) -> Result<Self::Output, OpError>;
}

/// An operation that waits for something by reading.
pub trait Wait: Operation {
    /// Asks once.
    ///
    /// # Errors
    /// When what is waited for can never come.
    fn poll(context: &ReadContext<'_>, args: Self::Args) -> Result<Poll<Self::Output>, OpError>;
}

/// What a wait came to.
pub enum Poll<T> {
    /// It is there.
    Ready(T),
    /// Not yet: a word on the progress, and when to ask again.
    Pending(Option<String>, Duration),
}

/// What sending came to.
pub enum Send<T> {
    /// Done.
    Done(T),
    /// A supervised child does it; the probe follows.
    Running,
}

/// What became of an effect.
pub enum Found<T> {
    /// Done, with this result.
    Done(T),
    /// Not done, and nothing is at work on it.
    NotDone,
    /// Being done.
    Running(Option<String>),
    /// Done in part; the undo has to run first.
    Partial(String),
    /// It ran to its end and failed.
    Failed(OpError),
    /// The world cannot tell.
    CannotTell(String),
}

/// A call that came after another of its run, as it is recorded.
#[derive(Clone, Copy, Debug)]
pub struct Later<'l> {
    /// The image taken before it.
    pub before: &'l Value,
    /// The fields it set, as they were right after it.
    pub fingerprint: &'l Value,
}

/// An operation that changes the world.
pub trait Write: Operation {
    /// What may be done with it in doubt.
    const REPEAT: Repeat;
    /// How the probe tells, in one line, for the reference.
    const PROBE_DOC: &'static str;
    /// How it is undone, in one line, for the reference.
    const UNDO_DOC: &'static str;

    /// Checks the preconditions and takes the image of what is about to change. Must not write.
    ///
    /// # Errors
    /// Refused, when a precondition does not hold.
    fn before(context: &ReadContext<'_>, args: &Self::Args) -> Result<Value, OpError>;

    /// Does it.
    ///
    /// # Errors
    /// The class tells what is known about the world.
    fn send(context: &WriteContext<'_>, args: Self::Args) -> Result<Send<Self::Output>, OpError>;

    /// Asks the world what became of it; `context.key()` and `context.before()` are those of the intent. Must tolerate that
    /// it was never sent.
    ///
    /// # Errors
    /// When the world cannot be asked now.
    fn probe(context: &ReadContext<'_>, args: &Self::Args) -> Result<Found<Self::Output>, OpError>;

    /// How it is undone. Pure.
    fn undo(args: &Self::Args, before: &Value, key: &str) -> Undo;

    /// The fields it set, as they are now.
    ///
    /// # Errors
    /// When the world cannot be asked now.
    fn fingerprint(context: &ReadContext<'_>, args: &Self::Args, result: &Self::Output) -> Result<Value, OpError>;

    /// The fingerprint as later calls of the same run on the same resource have left it, by what is recorded of them, the earlier first; nothing
    /// when somebody else's hand shows between them. Pure.
    #[must_use]
    fn since(fingerprint: &Value, _run: &RunId, _later: &[Later<'_>]) -> Option<Value> {
        Some(fingerprint.clone())
    }

    /// What a plan says its result will be. Pure.
    fn predict(args: &Self::Args, before: &Value, key: &str) -> Predicted;

    /// Forgets what was kept for the probe.
    fn release(context: &WriteContext<'_>, args: &Self::Args);
}

type ReadFn = fn(&ReadContext<'_>, Value) -> Result<Value, OpError>;
type PollFn = fn(&ReadContext<'_>, Value) -> Result<Polled, OpError>;
type SendFn = fn(&WriteContext<'_>, Value) -> Result<Sent, OpError>;
type ProbeFn = fn(&ReadContext<'_>, &Value) -> Result<Probe, OpError>;
type FingerprintFn = fn(&ReadContext<'_>, &Value, &Value) -> Result<Value, OpError>;

/// How an effect is done, checked and undone.
pub struct WriteEntry {
    /// See [`Write::REPEAT`].
    pub repeat: Repeat,
    /// See [`Write::PROBE_DOC`].
    pub probe_doc: &'static str,
    /// See [`Write::UNDO_DOC`].
    pub undo_doc: &'static str,
    /// See [`Write::before`].
    pub before: fn(&ReadContext<'_>, &Value) -> Result<Value, OpError>,
    /// See [`Write::send`].
    pub send: SendFn,
    /// See [`Write::probe`].
    pub probe: ProbeFn,
    /// See [`Write::undo`].
    pub undo: fn(&Value, &Value, &str) -> Undo,
    /// See [`Write::fingerprint`].
    pub fingerprint: FingerprintFn,
    /// See [`Write::since`].
    pub since: fn(&Value, &RunId, &[Later<'_>]) -> Option<Value>,
    /// See [`Write::predict`].
    pub predict: fn(&Value, &Value, &str) -> Predicted,
    /// See [`Write::release`].
    pub release: fn(&WriteContext<'_>, &Value),
}

/// How the engine performs an entry.
pub enum Backend {
    /// Answered by the engine itself: `ask`, `log`, `time.sleep` (whose result is `Null`).
    Engine,
    /// Once.
    Read(ReadFn),
    /// Again and again.
    Wait(PollFn),
    /// With intent and outcome.
    Write(WriteEntry),
}

/// One entry of the table.
pub struct OpEntry {
    /// `family.name`.
    pub name: &'static str,
    /// See [`Operation::EFFECT`].
    pub effect: Effect,
    /// See [`Operation::REVISION`].
    pub revision: u32,
    /// See [`Operation::DOC`].
    pub doc: &'static str,
    /// See [`Operation::PERMISSION`].
    pub permission: &'static str,
    /// See [`Operation::TYPICAL`].
    pub typical: Duration,
    /// JSON Schema of the arguments.
    pub args_schema: fn() -> Value,
    /// JSON Schema of the result.
    pub output_schema: fn() -> Value,
    /// Whether these arguments fit, with a message that says what does not.
    pub check_args: fn(&Value) -> Result<(), String>,
    /// See [`Operation::resource`]; empty when the arguments do not fit.
    pub resource: fn(&Value) -> String,
    /// See [`Operation::touches`]; nothing when the arguments do not fit.
    pub touches: fn(&Value, &Value) -> Vec<Touch>,
    /// See [`Operation::target`].
    pub target: fn(&ReadContext<'_>, &Value) -> Result<Option<Target>, OpError>,
    /// How it is performed.
    pub backend: Backend,
}

impl std::fmt::Debug for OpEntry {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("OpEntry").field("name", &self.name).field("effect", &self.effect).finish_non_exhaustive()
    }
}

impl OpEntry {
    /// `pg` of `pg.dump`.
    #[must_use]
    pub fn family(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(family, _)| family)
    }

    /// `dump` of `pg.dump`.
    #[must_use]
    pub fn function(&self) -> &'static str {
        self.name.split_once('.').map_or(self.name, |(_, function)| function)
    }
}

fn decode<T: DeserializeOwned>(op: &'static str, args: &Value) -> Result<T, OpError> {
    T::deserialize(args).map_err(|e| OpError::refused(format!("arguments of {op} do not fit: {e}")))
}

fn encode<T: Serialize>(op: &'static str, value: &T) -> Result<Value, OpError> {
    serde_json::to_value(value).map_err(|e| OpError::unknown(format!("result of {op} cannot be written down: {e}")))
}

fn base<O: Operation>(backend: Backend) -> OpEntry {
    OpEntry {
        name: O::NAME,
        effect: O::EFFECT,
        revision: O::REVISION,
        doc: O::DOC,
        permission: O::PERMISSION,
        typical: O::TYPICAL,
        args_schema: || schemars::schema_for!(O::Args).to_value(),
        output_schema: || schemars::schema_for!(O::Output).to_value(),
        check_args: |args| O::Args::deserialize(args).map(|_| ()).map_err(|e| e.to_string()),
        resource: |args| O::Args::deserialize(args).map(|args| O::resource(&args)).unwrap_or_default(),
        touches: |args, before| O::Args::deserialize(args).map(|args| O::touches(&args, before)).unwrap_or_default(),
        target: |context, args| O::target(context, &decode(O::NAME, args)?),
        backend,
    }
}

/// The entry of an operation that the engine answers itself.
#[must_use]
pub fn engine<O: Operation>() -> OpEntry {
    base::<O>(Backend::Engine)
}

/// The entry of a reading operation.
#[must_use]
pub fn read<O: Read>() -> OpEntry {
    base::<O>(Backend::Read(|context, args| encode(O::NAME, &O::read(context, decode(O::NAME, &args)?)?)))
}

/// The entry of a waiting operation.
#[must_use]
pub fn wait<O: Wait>() -> OpEntry {
    base::<O>(Backend::Wait(|context, args| {
        Ok(match O::poll(context, decode(O::NAME, &args)?)? {
            Poll::Ready(output) => Polled::Ready(encode(O::NAME, &output)?),
            Poll::Pending(progress, again) => Polled::Pending { progress, again },
        })
    }))
}

/// The entry of a writing operation.
#[must_use]
pub fn write<O: Write>() -> OpEntry {
    base::<O>(Backend::Write(WriteEntry {
        repeat: O::REPEAT,
        probe_doc: O::PROBE_DOC,
        undo_doc: O::UNDO_DOC,
        before: |context, args| O::before(context, &decode(O::NAME, args)?),
        send: |context, args| {
            Ok(match O::send(context, decode(O::NAME, &args)?)? {
                Send::Done(output) => Sent::Done(encode(O::NAME, &output)?),
                Send::Running => Sent::Running,
            })
        },
        probe: |context, args| {
            Ok(match O::probe(context, &decode(O::NAME, args)?)? {
                Found::Done(output) => Probe::Done { result: encode(O::NAME, &output)? },
                Found::NotDone => Probe::NotDone,
                Found::Running(progress) => Probe::Running { progress },
                Found::Partial(what) => Probe::Partial { what },
                Found::Failed(error) => Probe::Failed { error },
                Found::CannotTell(why) => Probe::CannotTell { why },
            })
        },
        undo: |args, before, key| {
            O::Args::deserialize(args)
                .map_or(Undo::Impossible("its arguments cannot be read"), |args| O::undo(&args, before, key))
        },
        fingerprint: |context, args, result| {
            let result = O::Output::deserialize(result)
                .map_err(|e| OpError::refused(format!("recorded result of {} cannot be read: {e}", O::NAME)))?;
            O::fingerprint(context, &decode(O::NAME, args)?, &result)
        },
        since: O::since,
        predict: |args, before, key| {
            O::Args::deserialize(args).map_or(Predicted::Opaque, |args| O::predict(&args, before, key))
        },
        release: |context, args| {
            if let Ok(args) = O::Args::deserialize(args) {
                O::release(context, &args);
            }
        },
    }))
}
