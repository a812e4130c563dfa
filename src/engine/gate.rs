//! Gates: which steps an approval lets a run do, and what it holds them to.
//!
//! An approval covers the step that asks and all that need it, up to the next step that asks. What they would do is foreseen when
//! it is asked for ([`super::ahead`]) and recorded with the question.

use std::collections::{BTreeMap, BTreeSet, HashMap, HashSet};

use super::decide::{Settled, settled};
use super::state::{CallKind, RunState, StepStatus};
use crate::journal::record::{Fact, Outcome, Record};
use crate::model::StepPath;
use crate::model::forecast::Tree;
use crate::model::paths::{PathEffect, Paths};
use crate::playbook::types::Playbook;

/// The steps of a playbook that ask for approvals, and which steps come after which of them.
#[derive(Debug, Default)]
pub struct Gates {
    asking: HashSet<String>,
    /// The nearest gates before each step, along its needs. A gate is not before itself.
    before: HashMap<String, Vec<String>>,
}

/// What an approval covers, as it was foreseen.
pub(super) struct Covered {
    /// What each step may do, with what it has done already.
    pub steps: BTreeMap<StepPath, Paths>,
    /// How many effects of these, on all ways together, are not made yet.
    pub ahead: u64,
}

impl Gates {
    /// Those of a playbook.
    #[must_use]
    pub fn of(playbook: &Playbook) -> Self {
        let asking: HashSet<String> =
            playbook.steps.iter().filter(|step| step.approval.is_some()).map(|step| step.id.value.clone()).collect();
        let mut gates = Self { asking, before: HashMap::new() };
        if gates.asking.is_empty() {
            return gates;
        }
        let mut needed_by: HashMap<&str, Vec<&str>> = HashMap::new();
        for step in &playbook.steps {
            for need in &step.needs {
                needed_by.entry(&need.value).or_default().push(&step.id.value);
            }
        }
        for gate in playbook.steps.iter().map(|step| &step.id.value).filter(|id| gates.asking.contains(*id)) {
            let mut todo: Vec<&str> = needed_by.get(gate.as_str()).cloned().unwrap_or_default();
            while let Some(step) = todo.pop() {
                let before = gates.before.entry(step.to_owned()).or_default();
                if before.contains(gate) {
                    continue;
                }
                before.push(gate.clone());
                if !gates.asking.contains(step) {
                    todo.extend(needed_by.get(step).into_iter().flatten());
                }
            }
        }
        gates
    }

    /// The gates that a step, which is none itself, comes after. One that nobody was asked at, since its `when` or its empty list
    /// left it out, leads on to those before it; so does one of which a plan does not know whether anybody will be asked.
    fn nearest<'g>(&'g self, state: &RunState, step: &str) -> BTreeSet<&'g str> {
        let (mut found, mut seen) = (BTreeSet::new(), HashSet::new());
        let mut todo: Vec<&str> = self.before.get(step).into_iter().flatten().map(String::as_str).collect();
        while let Some(gate) = todo.pop() {
            if !seen.insert(gate) {
                continue;
            }
            let present = state.step(&StepPath::of(gate));
            let left_out = present.is_some_and(|step| matches!(step.status, StepStatus::Skipped { by: None, .. }))
                || state.expanded.get(gate).is_some_and(Vec::is_empty);
            let open = present.is_some_and(|step| !step.runs_if.is_empty()) || state.expanded_over.contains_key(gate);
            if !left_out {
                found.insert(gate);
            }
            if left_out || open {
                todo.extend(self.before.get(gate).into_iter().flatten().map(String::as_str));
            }
        }
        found
    }

    /// Whether the approval of a gate covers a step: instances of one list are approved each for itself.
    fn covers(&self, state: &RunState, gate: &StepPath, step: &StepPath) -> bool {
        if self.asking.contains(step.step()) {
            return gate == step;
        }
        self.nearest(state, step.step()).contains(gate.step())
    }

    /// The tree that a step is held to: of the gates that it comes after and that are approved, that of the one that was asked
    /// about last, when more was known than at the others.
    #[must_use]
    pub fn tree<'s>(&self, state: &'s RunState, step: &StepPath) -> Option<&'s Tree> {
        if self.asking.is_empty() {
            return None;
        }
        let gates = match self.asking.contains(step.step()) {
            true => vec![step.clone()],
            false => {
                let gates = self.nearest(state, step.step()).into_iter();
                gates.flat_map(|gate| instances(state, gate)).collect()
            }
        };
        let approved = gates.iter().filter_map(|gate| state.step(gate)).filter(|gate| gate.approved);
        approved.filter_map(|gate| gate.tree.as_ref()).max_by_key(|(_, asked)| *asked).map(|(tree, _)| tree)
    }

    /// What the approval of a gate covers. `foreseen`: the records of a run, and after the first `after` of them how it is
    /// foreseen to go on; `state` is what they come to.
    ///
    /// # Errors
    /// Why that is not known: in what is foreseen one of the steps does not come to its end.
    pub(super) fn covered(
        &self,
        playbook: &Playbook,
        gate: &StepPath,
        (foreseen, after): (&[Record], usize),
        state: &RunState,
    ) -> Result<Covered, String> {
        let mut made: BTreeMap<StepPath, Vec<PathEffect>> = BTreeMap::new();
        for step in &playbook.steps {
            let mut paths = instances(state, &step.id.value);
            paths.retain(|path| self.covers(state, gate, path));
            if !paths.is_empty() && settled(state, step) == Settled::Open {
                return Err(why_open(state, &step.id.value));
            }
            for path in paths {
                let body = state.step(&path).map_or(&[][..], |step| &step.body);
                let effects = body.iter().map(|index| &state.calls[*index]);
                let effects = effects.filter(|call| matches!(call.kind, CallKind::Effect { .. }));
                let effects = effects.map(|call| effect(&call.op, &call.args, None)).collect();
                made.insert(path, effects);
            }
        }
        let (mut steps, mut ahead) = (BTreeMap::new(), 0);
        for record in foreseen.iter().skip(after) {
            match &record.fact {
                Fact::PathsForeseen { step, paths } if made.contains_key(step) => {
                    steps.insert(step.clone(), paths.clone());
                }
                Fact::Foreseen { call, op, args, outcome: Outcome::Done { .. }, at_most, .. } => {
                    // Of a call that has begun only the outcome is foreseen.
                    let begun = state.call(call).is_some_and(|call| call.seq < after as u64);
                    let writes = crate::ops::find(op).is_some_and(|op| op.effect.writes());
                    if let Some(effects) = made.get_mut(&call.step).filter(|_| writes && !begun) {
                        ahead += 1;
                        effects.push(effect(op, args, *at_most));
                    }
                }
                _ => {}
            }
        }
        for (step, effects) in made {
            steps.entry(step).or_insert_with(|| Paths::sequence(effects.into_iter()));
        }
        Ok(Covered { steps, ahead })
    }
}

fn effect(op: &str, args: &crate::model::Value, at_most: Option<u64>) -> PathEffect {
    PathEffect { op: op.to_owned(), args: args.clone(), at_most }
}

/// The instances of a step as far as they are known; the step itself where it has none.
fn instances(state: &RunState, step: &str) -> Vec<StepPath> {
    match state.expanded.get(step) {
        Some(items) => items.iter().map(|(key, _)| StepPath::keyed(step, key)).collect(),
        None => vec![StepPath::of(step)],
    }
}

/// Why a step is not foreseen to come to its end.
fn why_open(state: &RunState, step: &str) -> String {
    let failed = state.steps.iter().filter_map(|(path, step)| match &step.status {
        StepStatus::Failed { error, handled: false } => Some((path, error)),
        _ => None,
    });
    // Of several its own failure, or that of what it needs, which comes first in time.
    let own = failed.clone().find(|(path, _)| path.step() == step);
    match own.or_else(|| failed.min_by_key(|(path, _)| state.step(path).and_then(|step| step.ended))) {
        Some((path, error)) => format!("{path} would fail: {}", error.message),
        None => format!("{step} would not come to its end"),
    }
}

#[cfg(test)]
mod tests {
    use super::Gates;
    use crate::engine::state::{RunState, StepStatus};
    use crate::engine::tests::books::{book, step};
    use crate::model::StepPath;

    fn after(gates: &Gates, state: &RunState, step: &str) -> Vec<String> {
        gates.nearest(state, step).into_iter().map(str::to_owned).collect()
    }

    #[test]
    fn an_approval_covers_what_comes_after_up_to_the_next() {
        let gates = Gates::of(&book(vec![
            step("first", &[], "1"),
            step("gate", &["first"], "1").approval(&[], 1),
            step("beside", &["first"], "1"),
            step("then", &["gate"], "1"),
            step("second", &["then"], "1").approval(&[], 1),
            step("last", &["second"], "1"),
            step("both", &["last", "then"], "1"),
        ]));
        let mut state = RunState::default();
        assert!(after(&gates, &state, "first").is_empty() && after(&gates, &state, "beside").is_empty());
        assert_eq!(after(&gates, &state, "then"), ["gate"]);
        assert_eq!(after(&gates, &state, "last"), ["second"]);
        assert_eq!(after(&gates, &state, "both"), ["gate", "second"]);
        let (gate, second) = (StepPath::of("gate"), StepPath::of("second"));
        assert!(gates.covers(&state, &gate, &gate) && !gates.covers(&state, &gate, &second));
        // Where nobody is asked at the second, the first leads further.
        let skipped = StepStatus::Skipped { reason: String::new(), by: None, result: None };
        state.steps.entry(second).or_default().status = skipped;
        assert_eq!(after(&gates, &state, "last"), ["gate"]);
    }
}
