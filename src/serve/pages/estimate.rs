//! When a run will have ended: from how long its steps took before, along what they need.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::evidence::view::{StepState, View};
use crate::model::Timestamp;

/// The steps of a playbook, each with those that it needs.
pub type Needs<'p> = Vec<(&'p str, Vec<&'p str>)>;

/// When each step will have ended (milliseconds from the run's start), in the order of the playbook: those that have, when they did.
/// `expected` says how long a step takes; one that is not in it is reckoned as taking no time.
#[must_use]
pub fn ends(
    view: &View,
    needs: &Needs<'_>,
    expected: &BTreeMap<String, u64>,
    begun: Timestamp,
    now: Timestamp,
) -> BTreeMap<String, u64> {
    let at = |time: Timestamp| super::known::millis(begun, time);
    let now = at(now);
    let mut ends: BTreeMap<String, u64> = BTreeMap::new();
    // The playbook may name a step before those that it needs.
    for _ in 0..needs.len() {
        let before = ends.clone();
        for (id, needed) in needs {
            let ready = needed.iter().filter_map(|need| ends.get(*need)).copied().max().unwrap_or(0);
            let takes = expected.get(*id).copied().unwrap_or(0);
            let step = view.steps().iter().find(|step| step.path.as_str() == *id);
            let end = match step.map(|step| (&step.state, step.begun, step.ended)) {
                Some((StepState::Skipped { .. }, _, ended)) => ended.map_or(ready, at),
                Some((_, _, Some(ended))) => at(ended),
                Some((_, Some(begun), None)) => (at(begun) + takes).max(now),
                _ => ready.max(now) + takes,
            };
            ends.insert((*id).to_owned(), end);
        }
        if before == ends {
            break;
        }
    }
    ends
}

/// The time from a run's start until all its steps will have ended; `None` when nothing is known of how long they take, or it has ended.
#[must_use]
pub fn whole(
    view: &View,
    needs: &Needs<'_>,
    expected: &BTreeMap<String, u64>,
    begun: Timestamp,
    now: Timestamp,
) -> Option<Duration> {
    if view.end().is_some() || expected.is_empty() {
        return None;
    }
    ends(view, needs, expected, begun, now).into_values().max().map(Duration::from_millis)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_is_reckoned_along_what_steps_need() {
        let begun = Timestamp::UNIX_EPOCH;
        let needs: Needs<'_> = vec![("c", vec!["a", "b"]), ("a", vec![]), ("b", vec!["a"])];
        let expected = BTreeMap::from([("a".to_owned(), 1000), ("b".to_owned(), 2000), ("c".to_owned(), 500)]);
        let view = View::of_steps([("a", ""), ("b", ""), ("c", "")]);
        let now = begun + Duration::from_millis(100);
        assert_eq!(whole(&view, &needs, &expected, begun, now), Some(Duration::from_millis(3600)));
        assert_eq!(whole(&view, &needs, &BTreeMap::new(), begun, now), None);
    }
}
