//! A run bound to a plan: which effects it may have, step by step.
//!
//! The effects of a step form a sequence with alternatives (calls that are made under some answers to open questions) and loops
//! (calls that are made for each item of something only the run knows). A run may stop anywhere in it, but not leave it.

use std::collections::{BTreeMap, BTreeSet};

use serde::{Deserialize, Serialize};

use crate::model::forecast::Decision;
use crate::model::unknown::{self, Unknown};
use crate::model::{StepPath, Value};
use crate::ops::spec::UNKNOWN_KEY;

/// How often a loop over something unknown may go round. Whoever needs more has to plan again when it is known.
pub const MAX_ROUNDS: usize = 1000;

/// The effects a run may have.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Bound {
    /// The digest of the plan.
    pub digest: String,
    /// For each step instance the effects it may have; a step that is not there may have none.
    pub steps: BTreeMap<StepPath, Vec<BoundEffect>>,
}

/// An effect of a plan.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct BoundEffect {
    /// The operation.
    pub op: String,
    /// Its arguments; what only the run knows is marked as unknown.
    pub args: Value,
    /// The answers under which it is made.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub branch: Vec<Decision>,
    /// The loop it stands in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub repeated: Option<String>,
    /// How often that may go round; [`MAX_ROUNDS`] when it says nothing.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
}

/// How far a sequence has been matched, and which answers that took.
type Place<'p> = (usize, BTreeMap<&'p str, bool>);

impl Bound {
    /// Whether a step's effects, in their order, are the beginning of what the plan says it may do.
    #[must_use]
    pub fn admits(&self, step: &StepPath, made: &[(&str, &Value)]) -> bool {
        let among = |effects: &[BoundEffect], depth: usize| {
            let mut matching = Matching { made, reached_the_end: made.is_empty() };
            matching.run(effects, BTreeSet::from([(0, BTreeMap::new())]), depth);
            matching.reached_the_end
        };
        if let Some(effects) = self.steps.get(step) {
            return among(effects, 0);
        }
        // An instance whose key the plan could not know is any instance of its step.
        let of_step = self.steps.iter().filter(|(path, _)| path.step() == step.step());
        let mut any = of_step.filter(|(path, _)| path.key().is_some_and(|key| key.starts_with(ANY_KEY)));
        // The loop that makes one instance of many is not one that an instance goes round.
        made.is_empty() || any.any(|(path, effects)| among(effects, usize::from(path.key() == Some(ANY_KEY))))
    }
}

/// The key of the one instance that stands for all of a `foreach` over a list that only the run will know. The key of an instance of
/// a known list begins with it if only the run will know the rest.
pub const ANY_KEY: &str = "*";
/// Stands between the names of loops, the outer one first.
pub const WITHIN: &str = ", in it ";

impl BoundEffect {
    /// The loop it stands in, within so many others.
    fn loop_at(&self, depth: usize) -> Option<&str> {
        self.repeated.as_deref()?.split(WITHIN).nth(depth)
    }
}

struct Matching<'m> {
    made: &'m [(&'m str, &'m Value)],
    reached_the_end: bool,
}

impl<'m> Matching<'m> {
    /// All places that can be reached, within so many loops, from `from` by going through these effects.
    fn run<'p>(&mut self, effects: &'p [BoundEffect], from: BTreeSet<Place<'p>>, depth: usize) -> BTreeSet<Place<'p>> {
        let mut places = from;
        let mut at = 0;
        while at < effects.len() && !places.is_empty() && !self.reached_the_end {
            let effect = &effects[at];
            match effect.loop_at(depth) {
                Some(of) => {
                    let end = at + effects[at..].iter().take_while(|one| one.loop_at(depth) == Some(of)).count();
                    places = self.rounds(&effects[at..end], places, depth);
                    at = end;
                }
                None => {
                    places = places.into_iter().flat_map(|place| self.step(effect, place)).collect();
                    at += 1;
                }
            }
        }
        places
    }

    /// Any number of rounds of a loop, none included. Answers given within a round hold for that round.
    fn rounds<'p>(&mut self, body: &'p [BoundEffect], from: BTreeSet<Place<'p>>, depth: usize) -> BTreeSet<Place<'p>> {
        let mut all = from.clone();
        let mut fresh = from;
        let limit = body.first().and_then(|effect| effect.at_most).and_then(|limit| usize::try_from(limit).ok());
        for _ in 0..limit.unwrap_or(MAX_ROUNDS) {
            let mut next = BTreeSet::new();
            for (matched, answers) in fresh {
                for (matched, _) in self.run(body, BTreeSet::from([(matched, answers.clone())]), depth + 1) {
                    next.insert((matched, answers.clone()));
                }
            }
            fresh = next.into_iter().filter(|place| all.insert(place.clone())).collect();
            if fresh.is_empty() || self.reached_the_end {
                break;
            }
        }
        all
    }

    /// The places after one effect: it was made, or an answer has it left out.
    fn step<'p>(&mut self, effect: &'p BoundEffect, (matched, answers): Place<'p>) -> Vec<Place<'p>> {
        let contradicts = |decision: &Decision| {
            answers.get(decision.question.as_str()).is_some_and(|known| *known != decision.answer)
        };
        if effect.branch.iter().any(contradicts) {
            return vec![(matched, answers)];
        }
        let mut after = Vec::new();
        let mut taken = answers.clone();
        for decision in &effect.branch {
            if !answers.contains_key(decision.question.as_str()) {
                let mut left_out = taken.clone();
                left_out.insert(decision.question.as_str(), !decision.answer);
                after.push((matched, left_out));
            }
            taken.insert(decision.question.as_str(), decision.answer);
        }
        if let Some((op, args)) = self.made.get(matched)
            && *op == effect.op
            && fits(&effect.args, args)
        {
            self.reached_the_end |= matched + 1 == self.made.len();
            after.push((matched + 1, taken));
        }
        after
    }
}

/// Whether a value is what a plan said, where it said anything.
#[must_use]
pub fn fits(planned: &Value, made: &Value) -> bool {
    match (planned, made) {
        (Value::Object(fields), _) if fields.contains_key(UNKNOWN_KEY) => {
            Unknown::of(planned).is_none_or(|unknown| unknown.may_be(made))
        }
        (Value::Object(planned), Value::Object(made)) => {
            planned.len() == made.len()
                && planned.iter().all(|(name, value)| made.get(name).is_some_and(|other| fits(value, other)))
        }
        (Value::Array(planned), Value::Array(made)) => {
            planned.len() == made.len() && planned.iter().zip(made).all(|(planned, made)| fits(planned, made))
        }
        (planned, made) => planned == made && !unknown::is_in(planned),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    fn effect(op: &str) -> BoundEffect {
        BoundEffect { op: op.to_owned(), args: json!({ "of": op }), branch: Vec::new(), repeated: None, at_most: None }
    }

    fn when(question: &str, answer: bool, mut effect: BoundEffect) -> BoundEffect {
        effect.branch.push(Decision { question: question.to_owned(), answer });
        effect
    }

    fn each(of: &str, mut effect: BoundEffect) -> BoundEffect {
        effect.repeated = Some(of.to_owned());
        effect
    }

    fn admits(effects: &[BoundEffect], made: &[&str]) -> bool {
        let bound = Bound { digest: String::new(), steps: BTreeMap::from([(StepPath::of("s"), effects.to_vec())]) };
        let args: Vec<Value> = made.iter().map(|op| json!({ "of": op })).collect();
        let made: Vec<(&str, &Value)> = made.iter().copied().zip(&args).collect();
        bound.admits(&StepPath::of("s"), &made)
    }

    #[test]
    fn a_run_may_stop_within_its_plan_and_not_leave_it() {
        let plan = [effect("a"), effect("b"), effect("c")];
        for within in [&[][..], &["a"], &["a", "b"], &["a", "b", "c"]] {
            assert!(admits(&plan, within), "{within:?}");
        }
        for outside in [&["b"][..], &["a", "c"], &["a", "a"], &["a", "b", "c", "c"], &["x"]] {
            assert!(!admits(&plan, outside), "{outside:?}");
        }
    }

    #[test]
    fn one_alternative_is_taken_and_not_both() {
        let plan = [effect("a"), when("q", true, effect("b")), when("q", false, effect("c")), effect("d")];
        assert!(admits(&plan, &["a", "b", "d"]));
        assert!(admits(&plan, &["a", "c", "d"]));
        assert!(!admits(&plan, &["a", "b", "c"]));
        assert!(!admits(&plan, &["a", "d"]), "one of them is made");
    }

    #[test]
    fn an_answer_holds_for_the_rest_of_the_step() {
        let plan = [when("q", true, effect("a")), effect("b"), when("q", true, effect("c")), effect("d")];
        assert!(admits(&plan, &["a", "b", "c", "d"]));
        assert!(admits(&plan, &["b", "d"]));
        assert!(!admits(&plan, &["a", "b", "d"]));
        assert!(!admits(&plan, &["b", "c"]));
    }

    #[test]
    fn a_loop_goes_round_as_often_as_it_likes_and_whole() {
        let plan = [effect("a"), each("l", effect("b")), each("l", when("q", true, effect("c"))), effect("d")];
        for within in [&["a", "d"][..], &["a", "b", "c", "d"], &["a", "b", "b", "c", "b", "d"]] {
            assert!(admits(&plan, within), "{within:?}");
        }
        assert!(!admits(&plan, &["a", "c"]));
        assert!(!admits(&plan, &["a", "b", "c", "c"]));
    }

    #[test]
    fn a_loop_has_an_end() {
        let plan = [each("l", effect("b"))];
        assert!(admits(&plan, &vec!["b"; MAX_ROUNDS]));
        assert!(!admits(&plan, &vec!["b"; MAX_ROUNDS + 1]));
    }

    #[test]
    fn what_the_plan_knew_has_to_be_so() {
        assert!(fits(&json!({ "a": { "$unknown": "why" }, "b": [1] }), &json!({ "a": "x", "b": [1] })));
        assert!(!fits(&json!({ "a": { "$unknown": "why" }, "b": [1] }), &json!({ "a": "x", "b": [2] })));
        assert!(!fits(&json!({ "a": 1 }), &json!({ "a": 1, "more": true })), "a new argument was not in the plan");
        assert!(!fits(&json!([1, 2]), &json!([1])));
    }

    #[test]
    fn a_step_that_is_not_in_the_plan_may_do_nothing() {
        let bound = Bound::default();
        assert!(bound.admits(&StepPath::of("s"), &[]));
        assert!(!bound.admits(&StepPath::of("s"), &[("a", &Value::Null)]));
    }

    proptest! {
        /// Whatever is made by going through a plan at random is admitted, and so is each beginning of it.
        #[test]
        fn what_follows_the_plan_is_admitted(
            shape in prop::collection::vec((0_u8..4, 0_u8..3, any::<bool>(), any::<bool>()), 0..8),
            answers in prop::collection::vec(any::<bool>(), 3),
            rounds in prop::collection::vec(0_usize..3, 8),
        ) {
            let plan: Vec<BoundEffect> = shape.iter().enumerate().map(|(index, (op, question, answer, looped))| {
                let plain = effect(["a", "b", "c", "d"][usize::from(*op)]);
                let one = if *looped { each(&format!("l{}", index / 2), plain) } else { plain };
                if *question == 0 { one } else { when(&format!("q{question}"), *answer, one) }
            }).collect();
            let mut made: Vec<&str> = Vec::new();
            let taken = |one: &BoundEffect| one.branch.iter().all(|decision| {
                let number = usize::from(decision.question == "q2");
                answers[number] == decision.answer
            });
            let mut at = 0;
            while at < plan.len() {
                let group = plan[at..].iter().take_while(|one| one.repeated.is_some() && one.repeated == plan[at].repeated);
                let length = group.count().max(1);
                let times = if plan[at].repeated.is_some() { rounds[at] } else { 1 };
                for _ in 0..times {
                    made.extend(plan[at..at + length].iter().filter(|one| taken(one)).map(|one| one.op.as_str()));
                }
                at += length;
            }
            for length in 0..=made.len() {
                prop_assert!(admits(&plan, &made[..length]), "{plan:?} {:?}", &made[..length]);
            }
        }
    }
}
