//! How long a run waited for people, and for what.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::words::millis;
use crate::journal::{Fact, Pause, Record};
use crate::model::{StepPath, Timestamp};

/// A time in which somebody was waited for.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Wait {
    /// What for: `approval`, `done by hand`, `answer`, `a choice`.
    pub what: String,
    /// The step that waited, when it was one.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepPath>,
    /// Since when.
    pub from: Timestamp,
    /// Until when; `None` when it still waits.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub to: Option<Timestamp>,
    /// How long, up to the last record.
    pub ms: u64,
}

struct Open {
    what: &'static str,
    step: Option<StepPath>,
    from: Timestamp,
}

/// The waits of a run, in the order in which they began. What takes no time is none.
#[must_use]
pub fn waits(records: &[Record]) -> Vec<Wait> {
    let mut open: BTreeMap<String, Open> = BTreeMap::new();
    let mut all: Vec<Wait> = Vec::new();
    let end = |open: &mut BTreeMap<String, Open>, all: &mut Vec<Wait>, key: &str, at: Timestamp| {
        if let Some(wait) = open.remove(key) {
            let ms = millis(wait.from, at);
            all.push(Wait { what: wait.what.to_owned(), step: wait.step, from: wait.from, to: Some(at), ms });
        }
    };
    for record in records {
        let at = record.at;
        let mut begin = |key: String, what: &'static str, step: Option<&StepPath>| {
            open.entry(key).or_insert(Open { what, step: step.cloned(), from: at });
        };
        match &record.fact {
            Fact::ApprovalAsked { step, .. } => begin(format!("step {step}"), "approval", Some(step)),
            Fact::ManualAsked { step, .. } => begin(format!("step {step}"), "done by hand", Some(step)),
            Fact::WaitBegun { call, op, .. } if op.starts_with("ask.") => {
                begin(format!("call {call}"), "answer", Some(&call.step));
            }
            Fact::StepFailed { step, handled, .. } => {
                end(&mut open, &mut all, &format!("step {step}"), at);
                if !handled {
                    open.entry("pause".to_owned()).or_insert(Open {
                        what: "a choice",
                        step: Some(step.clone()),
                        from: at,
                    });
                }
            }
            Fact::Paused { pause } if !is_asked(pause) => begin("pause".to_owned(), "a choice", pause.holds()),
            Fact::StepStarted { step, .. } | Fact::StepDone { step, .. } => {
                end(&mut open, &mut all, &format!("step {step}"), at);
            }
            Fact::Ended { call, .. } => end(&mut open, &mut all, &format!("call {call}"), at),
            Fact::Resumed { .. } | Fact::RollbackBegun { .. } | Fact::StepRetried { .. } | Fact::StepSkipped { .. } => {
                end(&mut open, &mut all, "pause", at);
            }
            Fact::Finished { .. } => {
                let keys: Vec<String> = open.keys().cloned().collect();
                keys.iter().for_each(|key| end(&mut open, &mut all, key, at));
            }
            _ => {}
        }
    }
    if let Some(last) = records.last() {
        all.extend(open.into_values().map(|wait| Wait {
            what: wait.what.to_owned(),
            step: wait.step,
            from: wait.from,
            to: None,
            ms: millis(wait.from, last.at),
        }));
    }
    all.retain(|wait| wait.ms > 0 || wait.to.is_none());
    all.sort_by(|a, b| (a.from, &a.step).cmp(&(b.from, &b.step)));
    all
}

/// A pause that only repeats what the step itself asks for.
fn is_asked(pause: &Pause) -> bool {
    matches!(pause, Pause::Approval { .. } | Pause::Manual { .. } | Pause::Question { .. })
}

/// Intervals of time, none of which overlaps another.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Intervals(Vec<(Timestamp, Timestamp)>);

impl Intervals {
    /// The time that these cover together.
    #[must_use]
    pub fn of(parts: impl IntoIterator<Item = (Timestamp, Timestamp)>) -> Self {
        let mut parts: Vec<_> = parts.into_iter().filter(|(from, to)| from < to).collect();
        parts.sort_unstable();
        let mut merged: Vec<(Timestamp, Timestamp)> = Vec::new();
        for (from, to) in parts {
            match merged.last_mut() {
                Some((_, end)) if from <= *end => *end = to.max(*end),
                _ => merged.push((from, to)),
            }
        }
        Self(merged)
    }

    /// How long they are together.
    #[must_use]
    pub fn ms(&self) -> u64 {
        self.0.iter().map(|(from, to)| millis(*from, *to)).sum()
    }

    /// Together with others.
    #[must_use]
    pub fn and(&self, other: &Self) -> Self {
        Self::of(self.0.iter().chain(&other.0).copied())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_overlaps_counts_once() {
        let at = |second| Timestamp::from_second(second).expect("an instant");
        let all = Intervals::of([(at(5), at(9)), (at(0), at(3)), (at(2), at(4)), (at(7), at(7))]);
        assert_eq!(all.ms(), 8000);
        assert_eq!(all.and(&Intervals::of([(at(3), at(6))])).ms(), 9000);
    }
}
