//! When what would happen, and on which steps the duration hangs. People's time is not in it: nobody can predict it.

use std::cmp::Reverse;
use std::collections::{BTreeMap, BinaryHeap};

use serde::{Deserialize, Serialize};

use super::{PlannedCall, PlannedStep, StepOutcome};
use crate::model::StepPath;
use crate::model::forecast::Decision;
use crate::playbook::types::Playbook;

/// When what would happen.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Timeline {
    /// How long the run would take, in milliseconds, without the time that people take.
    pub total_ms: u64,
    /// The steps on which that hangs, in order.
    pub critical: Vec<StepPath>,
    /// Steps at which the run waits for people: their approval, their hands or their answer.
    pub people: Vec<StepPath>,
    /// Steps with a loop whose length only the run will know: one round of it is counted.
    pub open_ended: Vec<StepPath>,
}

/// How long a step would take: what it does in any case, and the longest of its alternatives.
fn duration(calls: &[PlannedCall]) -> u64 {
    let mut common = 0_u64;
    let mut branches: BTreeMap<&[Decision], u64> = BTreeMap::new();
    for call in calls {
        if call.branch.is_empty() {
            common = common.saturating_add(call.takes_ms);
        } else {
            let of = branches.entry(&call.branch).or_default();
            *of = of.saturating_add(call.takes_ms);
        }
    }
    // A branch contains the calls of those whose decisions it begins with.
    let longest = branches
        .keys()
        .map(|branch| {
            branches
                .iter()
                .filter(|(other, _)| branch.starts_with(other))
                .fold(0_u64, |sum, (_, millis)| sum.saturating_add(*millis))
        })
        .max()
        .unwrap_or(0);
    common.saturating_add(longest)
}

/// Gives each step its start and end, under the playbook's limits of how much runs at once.
pub(super) fn lay_out(steps: &mut [PlannedStep], playbook: &Playbook) -> Timeline {
    let durations: Vec<u64> = steps.iter().map(|step| duration(&step.calls)).collect();
    let of_step: BTreeMap<String, Vec<usize>> =
        steps.iter().enumerate().fold(BTreeMap::new(), |mut map, (index, step)| {
            map.entry(step.step.step().to_owned()).or_insert_with(Vec::new).push(index);
            map
        });
    let limit = usize::try_from(playbook.parallel.max(1)).unwrap_or(usize::MAX);
    // When each of the places in which a step can run is free again, and who was there last.
    let mut places: Vec<(u64, Option<usize>)> = Vec::new();
    let mut after: Vec<Option<usize>> = vec![None; steps.len()];
    let mut laid = vec![false; steps.len()];
    let mut waits_for: Vec<usize> = vec![0; steps.len()];
    let mut followers: Vec<Vec<usize>> = vec![Vec::new(); steps.len()];
    for index in 0..steps.len() {
        for need in steps[index].needs.iter().filter_map(|need| of_step.get(need)).flatten() {
            waits_for[index] += 1;
            followers[*need].push(index);
        }
    }
    // What can begin, by when; steps of the same instant in the playbook's order.
    let mut ready: BinaryHeap<Reverse<(u64, usize, Option<usize>)>> =
        (0..steps.len()).filter(|index| waits_for[*index] == 0).map(|index| Reverse((0, index, None))).collect();
    while let Some(Reverse((earliest, index, last))) = ready.pop() {
        laid[index] = true;
        let together = foreach_limit(playbook, steps[index].step.step());
        let siblings = of_step.get(steps[index].step.step()).map_or(&[][..], Vec::as_slice);
        let (mut start, mut behind) = (earliest, last);
        // The limit of the playbook, then that of the step's own instances.
        if places.len() >= limit
            && let Some(place) = places.iter().enumerate().min_by_key(|(_, place)| place.0).map(|(at, _)| at)
        {
            let (free, by) = places.swap_remove(place);
            if free > start {
                (start, behind) = (free, by);
            }
        }
        if let Some(together) = together {
            let mut busy: Vec<(u64, usize)> = siblings
                .iter()
                .filter(|other| **other != index && laid[**other] && steps[**other].ends_ms > start)
                .map(|other| (steps[*other].ends_ms, *other))
                .collect();
            busy.sort_unstable();
            if busy.len() >= together {
                let (free, by) = busy[busy.len() - together];
                (start, behind) = (free, Some(by));
            }
        }
        steps[index].starts_ms = start;
        steps[index].ends_ms = start.saturating_add(durations[index]);
        after[index] = behind;
        if durations[index] > 0 {
            places.push((steps[index].ends_ms, Some(index)));
        }
        for follower in std::mem::take(&mut followers[index]) {
            waits_for[follower] -= 1;
            if waits_for[follower] == 0 {
                let needs = steps[follower].needs.iter().filter_map(|need| of_step.get(need)).flatten().copied();
                let last = needs.max_by_key(|need| steps[*need].ends_ms);
                ready.push(Reverse((last.map_or(0, |last| steps[last].ends_ms), follower, last)));
            }
        }
    }
    let end = (0..steps.len()).max_by_key(|index| (steps[*index].ends_ms, Reverse(*index)));
    let mut critical = Vec::new();
    let mut at = end.filter(|end| steps[*end].ends_ms > 0);
    while let Some(index) = at {
        if durations[index] > 0 {
            steps[index].critical = true;
            critical.push(steps[index].step.clone());
        }
        at = after[index];
    }
    critical.reverse();
    let of = |wanted: &dyn Fn(&PlannedStep) -> bool| -> Vec<StepPath> {
        steps.iter().filter(|step| wanted(step)).map(|step| step.step.clone()).collect()
    };
    Timeline {
        total_ms: end.map_or(0, |end| steps[end].ends_ms),
        critical,
        people: of(&|step| {
            // Nobody is asked for a step that does not come.
            let comes =
                !matches!(step.outcome, StepOutcome::Skipped { .. } | StepOutcome::NotReached | StepOutcome::Done);
            comes
                && (step.approval.is_some() || step.manual || step.calls.iter().any(|call| call.op.starts_with("ask.")))
        }),
        open_ended: of(&|step| step.calls.iter().any(|call| call.repeated.is_some())),
    }
}

fn foreach_limit(playbook: &Playbook, step: &str) -> Option<usize> {
    let parallel = playbook.step(step)?.foreach.as_ref()?.parallel?;
    usize::try_from(parallel.max(1)).ok()
}
