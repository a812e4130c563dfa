//! Which step comes before which, by the graph alone.

use std::collections::BTreeMap;

use super::PlannedStep;

/// The order of a plan's steps. Instances of one `foreach` step stand at the same place of it.
pub(super) struct Order {
    place: BTreeMap<String, usize>,
    /// For each place the set of places that end before it begins, a bit each: ten thousand steps take 12 MB.
    before: Vec<Vec<u64>>,
}

impl Order {
    /// Of these steps, whose graph has no cycles.
    pub(super) fn of(steps: &[PlannedStep]) -> Self {
        let mut place: BTreeMap<String, usize> = BTreeMap::new();
        let mut needs: Vec<&[String]> = Vec::new();
        for step in steps {
            place.entry(step.step.step().to_owned()).or_insert_with(|| {
                needs.push(&step.needs);
                needs.len() - 1
            });
        }
        let words = needs.len().div_ceil(64);
        let mut before: Vec<Option<Vec<u64>>> = vec![None; needs.len()];
        for start in 0..needs.len() {
            // Depth first without recursion: a place is finished when all it needs are.
            let mut stack = vec![start];
            while let Some(&at) = stack.last() {
                if before[at].is_some() {
                    stack.pop();
                    continue;
                }
                let direct: Vec<usize> = needs[at].iter().filter_map(|name| place.get(name)).copied().collect();
                let open: Vec<usize> = direct.iter().copied().filter(|need| before[*need].is_none()).collect();
                if open.is_empty() || stack.len() > needs.len() {
                    let mut set = vec![0_u64; words];
                    for need in direct {
                        set[need / 64] |= 1 << (need % 64);
                        if let Some(theirs) = &before[need] {
                            set.iter_mut().zip(theirs).for_each(|(mine, theirs)| *mine |= theirs);
                        }
                    }
                    before[at] = Some(set);
                    stack.pop();
                } else {
                    stack.extend(open);
                }
            }
        }
        Self { place, before: before.into_iter().map(Option::unwrap_or_default).collect() }
    }

    /// Whether the first always ends before the second begins.
    pub(super) fn is_before(&self, first: &str, second: &str) -> bool {
        let (Some(first), Some(second)) = (self.place.get(first), self.place.get(second)) else { return false };
        self.before.get(*second).and_then(|set| set.get(first / 64)).is_some_and(|word| word & (1 << (first % 64)) != 0)
    }
}
