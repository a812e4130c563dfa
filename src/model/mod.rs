//! The vocabulary: ids, values, spans, durations, secrets, policies. No IO, no clock.

pub mod amount;
pub mod check;
pub mod command;
pub mod drill;
pub mod fault;
pub mod forecast;
pub mod glob;
pub mod ids;
pub mod paths;
pub mod secret;
pub mod span;
pub mod status;
pub mod unknown;

pub use ids::{CallId, Phase, RunId, StepPath};

/// The only data that crosses between YAML, Rhai, the journal and the operations. Objects are sorted by key, so that
/// equal values have equal texts.
pub type Value = serde_json::Value;

/// An instant, in UTC.
pub type Timestamp = jiff::Timestamp;
