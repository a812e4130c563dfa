//! Family `time`: the clock, and durable timers (which the engine keeps).

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::args::Period;
use super::context::ReadContext;
use super::spec::{self, Effect, OpEntry, Operation, Read};
use crate::model::Timestamp;
use crate::model::fault::OpError;

/// The entries of the family.
#[must_use]
pub fn entries() -> Vec<OpEntry> {
    vec![spec::read::<Now>(), spec::engine::<Sleep>(), spec::engine::<Until>(), spec::read::<Age>()]
}

/// Takes no arguments.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoArgs {}

/// `time.now`.
pub struct Now;

/// What `time.now` answers.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Instant {
    /// RFC 3339, in UTC.
    pub utc: String,
    /// Milliseconds since 1970.
    pub unix_ms: i64,
}

impl Operation for Now {
    const NAME: &'static str = "time.now";
    const EFFECT: Effect = Effect::Value;
    const DOC: &'static str = "the present instant; a replay sees the same";
    const PERMISSION: &'static str = "none";
    const TYPICAL: Duration = Duration::ZERO;
    type Args = NoArgs;
    type Output = Instant;

    fn resource(_: &NoArgs) -> String {
        "time".into()
    }
}

impl Read for Now {
    fn read(context: &ReadContext<'_>, _: NoArgs) -> Result<Instant, OpError> {
        let now = context.clock.now();
        Ok(Instant { utc: now.to_string(), unix_ms: now.as_millisecond() })
    }
}

/// `time.sleep`.
pub struct Sleep;

/// How long to sleep.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SleepArgs {
    /// How long: `"90s"`, or milliseconds.
    pub duration: Period,
}

impl Operation for Sleep {
    const NAME: &'static str = "time.sleep";
    const EFFECT: Effect = Effect::Wait;
    const DOC: &'static str = "waits this long, across crashes and without a thread";
    const PERMISSION: &'static str = "none";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = SleepArgs;
    type Output = ();

    fn resource(_: &SleepArgs) -> String {
        "time".into()
    }
}

/// `time.wait_until`.
pub struct Until;

/// An instant.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct At {
    /// The instant, RFC 3339: `2026-01-31T02:00:00Z`.
    #[schemars(with = "String")]
    pub at: Timestamp,
}

impl Operation for Until {
    const NAME: &'static str = "time.wait_until";
    const EFFECT: Effect = Effect::Wait;
    const DOC: &'static str = "waits until an instant, across crashes and without a thread";
    const PERMISSION: &'static str = "none";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = At;
    type Output = ();

    fn resource(_: &At) -> String {
        "time".into()
    }
}

/// `time.age`.
pub struct Age;

/// How long ago something was.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct AgeOf {
    /// Milliseconds since then; negative when it is yet to come.
    pub ms: i64,
}

impl Operation for Age {
    const NAME: &'static str = "time.age";
    const EFFECT: Effect = Effect::Value;
    const DOC: &'static str = "how long ago an instant was";
    const PERMISSION: &'static str = "none";
    const TYPICAL: Duration = Duration::ZERO;
    type Args = At;
    type Output = AgeOf;

    fn resource(_: &At) -> String {
        "time".into()
    }
}

impl Read for Age {
    fn read(context: &ReadContext<'_>, args: At) -> Result<AgeOf, OpError> {
        Ok(AgeOf { ms: context.clock.now().as_millisecond() - args.at.as_millisecond() })
    }
}
