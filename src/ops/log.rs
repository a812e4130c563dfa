//! Family `log`: lines in the run's log, written by the engine.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::spec::{self, Effect, OpEntry, Operation};

/// The entries of the family.
#[must_use]
pub fn entries() -> Vec<OpEntry> {
    vec![spec::engine::<Info>(), spec::engine::<Warn>()]
}

/// A line.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Line {
    /// The text.
    pub message: String,
}

/// `log.info`.
pub struct Info;

impl Operation for Info {
    const NAME: &'static str = "log.info";
    const EFFECT: Effect = Effect::Log;
    const DOC: &'static str = "writes a line into the run's log";
    const PERMISSION: &'static str = "none";
    const TYPICAL: Duration = Duration::ZERO;
    type Args = Line;
    type Output = ();

    fn resource(_: &Line) -> String {
        "log".into()
    }
}

/// `log.warn`.
pub struct Warn;

impl Operation for Warn {
    const NAME: &'static str = "log.warn";
    const EFFECT: Effect = Effect::Log;
    const DOC: &'static str = "writes a warning into the run's log";
    const PERMISSION: &'static str = "none";
    const TYPICAL: Duration = Duration::ZERO;
    type Args = Line;
    type Output = ();

    fn resource(_: &Line) -> String {
        "log".into()
    }
}
