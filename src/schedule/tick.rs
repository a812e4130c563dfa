//! A tick: one due instant of a schedule (or a person's word to run it now), and what became of it.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::command::Actor;
use crate::model::{RunId, Timestamp, Value};

/// The kind of the documents in which ticks are kept.
pub const KIND: &str = "tick";

/// What became of a due instant, as stored under `<schedule>/<instant>`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Tick {
    /// The schedule.
    pub schedule: String,
    /// When it was due.
    pub at: Timestamp,
    /// Of several missed or skipped in one go and for one reason: the last of them. Otherwise as `at`.
    pub to: Timestamp,
    /// How many due instants this is, from `at` to `to`.
    pub count: u64,
    /// What became of it.
    pub fate: Fate,
    /// When that was decided.
    pub decided: Timestamp,
    /// Who asked for it, and why, when it was no clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
}

/// A person's word to run a schedule now.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Asked {
    /// Who.
    pub by: Actor,
    /// Why, in their words; may be empty.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
}

/// What became of a tick. Every due tick gets one of `Run`, `Skipped` and `Missed` in the end, and keeps it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "fate", rename_all = "snake_case")]
pub enum Fate {
    /// A person asked for it, and no server has seen it yet.
    Asked,
    /// It waits until the run before it has ended (`overlap: queue`).
    Waiting,
    /// This run is its own: begun, or about to be by whichever server comes next.
    Run {
        run: RunId,
        /// Started late, for it and all that were missed before it.
        #[serde(default, skip_serializing_if = "std::ops::Not::not")]
        caught_up: bool,
    },
    /// On purpose, nothing was run.
    Skipped { why: Skip },
    /// Nothing was run, although it should have been.
    Missed { why: Miss },
}

/// Why a tick was skipped.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Skip {
    /// The run of an earlier tick had not ended, or another tick waited for it already.
    Overlap { run: RunId },
    /// A blackout.
    Blackout { window: String },
    /// A live run that is no drill was open.
    Incident { run: RunId },
    /// Somebody had paused the schedule.
    Paused { by: Actor, words: String },
    /// `enabled: false`.
    Disabled,
}

/// Why a tick was missed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[serde(tag = "reason", rename_all = "snake_case")]
pub enum Miss {
    /// No server looked at it in time, and it was too late to catch up.
    Down { late_s: i64 },
    /// No server looked at it before a later tick was due, which stands for it.
    Superseded { by: Timestamp },
    /// Its run could not be begun.
    Refused { error: String },
    /// The schedule was taken out of the file while no server looked at it.
    Removed,
}

impl Fate {
    /// Why nothing was run, where that was not meant to be so.
    #[must_use]
    pub fn fault(&self) -> Option<String> {
        match self {
            Self::Missed { why } => Some(why.to_string()),
            Self::Skipped { why: Skip::Blackout { .. } | Skip::Disabled } => None,
            Self::Skipped { why } => Some(why.to_string()),
            Self::Asked | Self::Waiting | Self::Run { .. } => None,
        }
    }
}

impl Tick {
    /// A tick of one instant.
    #[must_use]
    pub fn new(schedule: &str, at: Timestamp, fate: Fate, decided: Timestamp) -> Self {
        Self { schedule: schedule.to_owned(), at, to: at, count: 1, fate, decided, asked: None }
    }

    /// The key of its document: sorts by schedule, then by time.
    #[must_use]
    pub fn key(&self) -> String {
        key(&self.schedule, self.at)
    }

    /// As a document's body.
    #[must_use]
    pub fn body(&self) -> Value {
        serde_json::to_value(self).unwrap_or_default()
    }

    /// Its run, if that is its fate.
    #[must_use]
    pub fn run(&self) -> Option<&RunId> {
        match &self.fate {
            Fate::Run { run, .. } => Some(run),
            _ => None,
        }
    }
}

/// The key of a tick's document.
#[must_use]
pub fn key(schedule: &str, at: Timestamp) -> String {
    format!("{schedule}/{}", at.strftime("%Y-%m-%dT%H:%M:%S.%3fZ"))
}

impl fmt::Display for Fate {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Asked => "asked for",
            Self::Waiting => "waiting",
            Self::Run { .. } => "run",
            Self::Skipped { .. } => "skipped",
            Self::Missed { .. } => "missed",
        })
    }
}

impl fmt::Display for Skip {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Overlap { run } => write!(f, "run {} of the schedule had not ended", run.short()),
            Self::Blackout { window } => write!(f, "blackout {window}"),
            Self::Incident { run } => write!(f, "run {} was open, which is no drill", run.short()),
            Self::Paused { by, words } if words.is_empty() => write!(f, "paused by {}", by.name),
            Self::Paused { by, words } => write!(f, "paused by {}: {words}", by.name),
            Self::Disabled => f.write_str("the schedule is not enabled"),
        }
    }
}

impl fmt::Display for Miss {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Down { late_s } => {
                let late = std::time::Duration::from_secs(u64::try_from(*late_s).unwrap_or(0));
                write!(f, "no server looked at it until {} later", crate::model::amount::format_duration(late))
            }
            Self::Superseded { by } => {
                write!(f, "no server looked at it before that of {} was due", by.strftime("%Y-%m-%d %H:%M:%SZ"))
            }
            Self::Refused { error } => write!(f, "its run could not be begun: {error}"),
            Self::Removed => f.write_str("the schedule was taken out of the file while no server looked at it"),
        }
    }
}
