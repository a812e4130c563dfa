//! Where a schedule stands, as stored: up to which instant its ticks have their fates, whose run may be open, who paused it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::tick::Asked;
use super::timing::Written;
use crate::model::command::Actor;
use crate::model::{RunId, Timestamp};

/// The kind of the documents in which it is kept that a schedule is watched; the key is its name.
pub const KIND: &str = "schedule";
/// The kind of the documents in which pauses are kept; the key is the schedule's name.
pub const PAUSE: &str = "schedule-pause";
/// The kind of the documents in which it is kept that somebody wants a schedule run now; the key is that of the tick.
pub const ORDER: &str = "schedule-order";
/// The kind of the document in which it is kept that the schedules cannot be read.
pub const BROKEN: &str = "schedule-file";

/// Where a schedule stands.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Standing {
    /// The timing by which it is due since `through`. That of the file counts from the moment a server first sees it.
    pub timing: Written,
    /// The playbook that it runs, as the file names it.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub playbook: String,
    /// Whether it drills it.
    #[serde(default)]
    pub drill: bool,
    /// When a server first saw it.
    pub since: Timestamp,
    /// Every due instant up to this one, this one included, has its fate.
    pub through: Timestamp,
    /// The tick whose run was begun last.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub current: Option<Current>,
    /// The tick that waits until that run has ended.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub waiting: Option<Waiting>,
    /// Since when it is no longer in the file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub removed: Option<Timestamp>,
}

impl Standing {
    /// Of a schedule that nobody has looked at before now.
    #[must_use]
    pub fn new(timing: Written, now: Timestamp) -> Self {
        Self {
            timing,
            playbook: String::new(),
            drill: false,
            since: now,
            through: now,
            current: None,
            waiting: None,
            removed: None,
        }
    }

    /// The name of the playbook that it runs; nothing when a server of an earlier version looked at it last.
    #[must_use]
    pub fn of_playbook(&self) -> Option<&str> {
        self.playbook.trim_end_matches('/').rsplit('/').next().filter(|name| !name.is_empty())
    }
}

/// The run that was begun last.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Current {
    /// Its tick.
    pub at: Timestamp,
    /// Its id.
    pub run: RunId,
    /// Whether it is known to have begun. As long as it is not, whoever looks next begins it.
    pub begun: bool,
}

/// A tick that waits for the run before it to end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Waiting {
    /// Its instant.
    pub at: Timestamp,
    /// Who asked for it, when it was no clock.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub asked: Option<Asked>,
}

/// That somebody paused a schedule; kept when it is resumed, until it is paused again.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pause {
    /// Who.
    pub by: Actor,
    /// Why.
    #[serde(default, skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// When.
    pub at: Timestamp,
    /// Who resumed it, and when.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub resumed: Option<(Actor, Timestamp)>,
}

impl Pause {
    /// Whether it holds at this instant.
    #[must_use]
    pub fn holds(&self, at: Timestamp) -> bool {
        at >= self.at && self.resumed.as_ref().is_none_or(|(_, resumed)| at < *resumed)
    }
}

/// A person's word to run a schedule now, until a server has taken it up.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Order {
    /// The schedule.
    pub schedule: String,
    /// The instant of its tick.
    pub at: Timestamp,
    /// Who, and why.
    pub asked: Asked,
}

/// That the file of the schedules cannot be read; the schedules as they were before still count.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Broken {
    /// The file.
    pub path: String,
    /// What is wrong with it.
    pub why: String,
    /// Since when.
    pub since: Timestamp,
}

/// What is known about a run.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Stage {
    /// It has no record yet.
    Absent,
    /// It has begun and not ended.
    Open,
    /// It has ended.
    Ended,
}

/// All that a decision hangs on beside the schedules and the time.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct History {
    /// By schedule.
    pub standings: BTreeMap<String, Standing>,
    /// By schedule.
    pub pauses: BTreeMap<String, Pause>,
    /// Orders that no server has taken up, oldest first.
    pub orders: Vec<Order>,
    /// What is known of the runs that the standings name as the last; of one that is not in here, that it has ended.
    pub runs: BTreeMap<RunId, Stage>,
    /// A live run that is open and no drill.
    pub incident: Option<RunId>,
}
