//! A run bound to a plan: which effects it may have, step by step.
//!
//! The effects of a step take [`Paths`], which part at open questions and go round in loops over what only the run knows. A run may stop
//! anywhere on them, but not leave them.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use crate::model::paths::Paths;
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
    pub steps: BTreeMap<StepPath, Paths>,
}

impl Bound {
    /// Whether a step's effects, in their order, are the beginning of what the plan says it may do.
    #[must_use]
    pub fn admits(&self, step: &StepPath, made: &[(&str, &Value)]) -> bool {
        let within =
            |paths: &Paths| paths.admit(made, |effect, (op, args)| effect.op == *op && fits(&effect.args, args));
        if let Some(paths) = self.steps.get(step) {
            return within(paths);
        }
        // An instance whose key the plan could not know is any instance of its step.
        let of_step = self.steps.iter().filter(|(path, _)| path.step() == step.step());
        let mut any = of_step.filter(|(path, _)| path.key().is_some_and(|key| key.starts_with(ANY_KEY)));
        made.is_empty() || any.any(|(_, paths)| within(paths))
    }
}

/// The key of the one instance that stands for all of a `foreach` over a list that only the run will know. The key of an instance of
/// a known list begins with it if only the run will know the rest.
pub const ANY_KEY: &str = "*";

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
    use crate::model::paths::PathEffect;
    use serde_json::json;

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

    #[test]
    fn an_instance_that_the_plan_could_not_name_is_any_of_its_step() {
        let effect = PathEffect { op: "a".to_owned(), args: json!({ "$unknown": "why" }), at_most: None };
        let paths = Paths::sequence([effect].into_iter());
        let bound = Bound { digest: String::new(), steps: BTreeMap::from([(StepPath::keyed("s", ANY_KEY), paths)]) };
        assert!(bound.admits(&StepPath::keyed("s", "one"), &[("a", &json!(1))]));
        assert!(!bound.admits(&StepPath::keyed("s", "one"), &[("a", &json!(1)), ("a", &json!(1))]));
        assert!(!bound.admits(&StepPath::keyed("t", "one"), &[("a", &json!(1))]));
    }
}
