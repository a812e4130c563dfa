//! The entry into a step in a plan: `when`, `foreach` and `with` may hang on what only the run will know.

use std::rc::Rc;
use std::sync::Arc;

use super::bound::ANY_KEY;
use super::cell::RunCell;
use super::driver::Inner;
use super::error::EngineError;
use super::foresee::{come_to, foretold};
use super::unwind::unknown_output;
use super::ways::{End, Ways};
use crate::journal::record::Fact;
use crate::model::fault::OpError;
use crate::model::forecast::Decision;
use crate::model::unknown::{Shape, Unknown, with_stand_ins};
use crate::model::{StepPath, Value};
use crate::playbook::types::{Body, Foreach, Step};
use crate::script::{Calls, Scope, ScriptError};

/// What entering a step comes to: records, or the error with which it fails at once.
type Entered = Result<Vec<Fact>, OpError>;

impl Inner {
    fn pure_ways(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        path: &StepPath,
        evaluate: impl Fn(Rc<dyn Calls>) -> Result<Value, ScriptError>,
    ) -> Result<Ways, EngineError> {
        self.follow_ways(cell, path, None, None, Vec::new(), &evaluate)
    }

    /// What [`Inner::enter`] records of a step in a plan.
    pub(super) fn suppose(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        step: &Step,
        path: &StepPath,
        scope: &Scope,
        attempt: u32,
    ) -> Result<Entered, EngineError> {
        let mut facts = Vec::new();
        let whole = path.key().is_none();
        let mut base = Vec::new();
        if let (true, Some(when)) = (whole, &step.when) {
            let ways = self.pure_ways(cell, path, |calls| cell.program.script(when, scope, Some(calls)))?;
            let words = when.value.trim();
            match supposed(&ways, words) {
                Ok(Some(true)) => {}
                Ok(Some(false)) => {
                    let reason = format!("`when: {words}` is false");
                    return Ok(Ok(vec![Fact::StepSkipped { step: path.clone(), reason, by: None, result: None }]));
                }
                Ok(None) => {
                    let decision = Decision { question: words.to_owned(), answer: true };
                    base.push(decision.clone());
                    facts.push(Fact::RunsIf { step: path.clone(), decision });
                    facts.extend(stops(&ways, path, &[]));
                }
                Err(error) => return Ok(Err(error)),
            }
        }
        if let (true, Some(foreach)) = (whole, &step.foreach) {
            return Ok(match self.expand(cell, path, foreach, scope)? {
                Ok((expanded, ways)) => {
                    facts.extend(stops(&ways, path, &base));
                    facts.push(expanded);
                    Ok(facts)
                }
                Err(error) => Err(error),
            });
        }
        if let Body::Manual { .. } = &step.body {
            facts.push(Fact::StepSucceeded { step: path.clone(), output: unknown_output(path, "a person does it") });
            return Ok(Ok(facts));
        }
        let inputs = match &step.body {
            Body::Uses { with: Some(with), .. } => {
                let ways =
                    self.pure_ways(cell, path, |calls| cell.program.template_asking(with, scope, Some(&calls)))?;
                facts.extend(stops(&ways, path, &base));
                match come_to(&ways, path, false) {
                    Ok(inputs) => inputs,
                    Err(error) => return Ok(Err(error)),
                }
            }
            _ => Value::Null,
        };
        facts.push(Fact::StepStarted { step: path.clone(), attempt, inputs, keep: 0 });
        Ok(Ok(facts))
    }

    fn expand(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        path: &StepPath,
        foreach: &Foreach,
        scope: &Scope,
    ) -> Result<Result<(Fact, Ways), OpError>, EngineError> {
        let ways =
            self.pure_ways(cell, path, |calls| cell.program.template_asking(&foreach.items, scope, Some(&calls)))?;
        let items = match come_to(&ways, path, false) {
            Ok(items) => items,
            Err(error) => return Ok(Err(error)),
        };
        if let Some(unknown) = Unknown::of(&items) {
            let Some(shape) = unknown.shape.item() else {
                return Ok(Err(OpError::refused(format!("`foreach` of {path} gives {}, not a list", unknown.shown()))));
            };
            let item = unknown.derived(&format!("{}[]", unknown.source), shape).to_value();
            let over = unknown.source.to_string();
            let items = vec![(ANY_KEY.to_owned(), item)];
            return Ok(Ok((Fact::Expanded { step: path.clone(), items, over: Some(over) }, ways)));
        }
        let Value::Array(items) = items else {
            return Ok(Err(OpError::refused(format!("`foreach` of {path} gives {items}, not a list"))));
        };
        let mut keyed: Vec<(String, Value)> = Vec::new();
        for item in items {
            let key = match &foreach.key {
                Some(key) => {
                    let scope = Scope { item: item.clone(), ..scope.clone() };
                    let ways = self.pure_ways(cell, path, |calls| cell.program.script(key, &scope, Some(calls)))?;
                    match come_to(&ways, path, false) {
                        Ok(key) => key,
                        Err(error) => return Ok(Err(error)),
                    }
                }
                None => item.clone(),
            };
            let unknown = Unknown::of(&key);
            let key = match (&unknown, with_stand_ins(&key)) {
                (Some(unknown), _) => unknown.shown(),
                (None, Value::String(text)) => text,
                (None, Value::Number(number)) => number.to_string(),
                (None, other) => {
                    let what = format!("{other} cannot be the key of an instance of {path}: it is no text");
                    return Ok(Err(OpError::refused(what)));
                }
            };
            if let Err(error) = self.fit_for_a_key(&key, path) {
                return Ok(Err(error));
            }
            let key = if unknown.is_some() { format!("{ANY_KEY}{key}") } else { key };
            if keyed.iter().any(|(other, _)| *other == key) {
                return Ok(Err(OpError::refused(format!("two instances of {path} have the key `{key}`"))));
            }
            keyed.push((key, item));
        }
        Ok(Ok((Fact::Expanded { step: path.clone(), items: keyed, over: None }, ways)))
    }
}

/// The ways on which the step stops before it begins.
fn stops(ways: &Ways, path: &StepPath, base: &[Decision]) -> Vec<Fact> {
    let is_stop =
        |fact: &Fact| matches!(fact, Fact::Foretold { end: crate::model::forecast::WayEnd::Stops { .. }, .. });
    foretold(ways, path, base).into_iter().filter(is_stop).collect()
}

/// What a condition comes to; `None` when only the run will know.
fn supposed(ways: &Ways, words: &str) -> Result<Option<bool>, OpError> {
    let mut answers = Vec::new();
    let mut stopped = None;
    for (_, end, _) in &ways.ends {
        match end {
            End::Returns(Value::Bool(answer)) => answers.push(Some(*answer)),
            End::Returns(value) => match Unknown::of(value) {
                Some(unknown) if matches!(unknown.shape.there(), Shape::Bool | Shape::Any) => answers.push(None),
                _ => return Err(OpError::refused(format!("`when: {words}` gives {value}, not true or false"))),
            },
            End::Throws(error) => stopped = Some(error.clone()),
            End::GoesOn | End::Unfollowed(_) => answers.push(None),
        }
    }
    if ways.left > 0 {
        answers.push(None);
    }
    match (answers.split_first(), stopped) {
        (None, Some(error)) => Err(error),
        (None, None) => Ok(None),
        (Some((first, rest)), _) => Ok(if rest.iter().all(|other| other == first) { *first } else { None }),
    }
}
