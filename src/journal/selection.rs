//! Which runs are asked for: by a list, and by who carries runs on.

use super::store::Head;
use crate::model::status::RunStatus;
use crate::model::{RunId, Timestamp};

/// Which runs, newest first by when they began.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Selection {
    /// Only those of this playbook.
    pub playbook: Option<String>,
    /// Only those that stand so; all when empty.
    pub statuses: Vec<RunStatus>,
    /// Only those that come after this one: where the page before ended.
    pub after: Option<(Timestamp, RunId)>,
    /// Only those of which something was recorded since.
    pub updated_since: Option<Timestamp>,
    /// At most so many; all when absent.
    pub limit: Option<usize>,
}

impl Selection {
    /// Whether a run is among them, but for the limit.
    #[must_use]
    pub fn takes(&self, head: &Head) -> bool {
        let later = |(started, run): &(Timestamp, RunId)| (head.started, &head.run) < (*started, run);
        self.playbook.as_ref().is_none_or(|playbook| *playbook == head.playbook)
            && (self.statuses.is_empty() || self.statuses.contains(&head.status))
            && self.after.as_ref().is_none_or(later)
            && self.updated_since.is_none_or(|since| head.updated >= since)
    }
}

/// Runs that have not ended and that want somebody to carry them on.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Wanting {
    /// Their holder is dead, or was stopped past its lease.
    pub abandoned: Vec<RunId>,
    /// Nobody holds them, and a command waits for them.
    pub ordered: Vec<RunId>,
}

/// What is known of a holder.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Life {
    /// It is this process.
    Ours,
    /// Its process is gone.
    Dead,
    /// It lives and beats.
    Fresh,
    /// It lives, but has not beaten for longer than its lease: it is stopped.
    Stale,
}
