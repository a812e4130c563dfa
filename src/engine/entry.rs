//! The entry into a step whose needs are settled: `when`, `foreach`, approval, inputs.

use std::borrow::Cow;
use std::sync::Arc;

use super::bound::ANY_KEY;
use super::cell::{Core, RunCell};
use super::command::given_before;
use super::decide::visible;
use super::driver::Inner;
use super::error::EngineError;
use super::scope::{item_of, run_scope};
use crate::journal::record::Fact;
use crate::model::fault::OpError;
use crate::model::secret::REDACTED;
use crate::model::status::Mode;
use crate::model::{StepPath, Value};
use crate::playbook::types::{Body, Step};
use crate::script::{Scope, ScriptError};

impl Inner {
    /// A step whose needs are settled: `when`, `foreach`, approval, inputs, all pure and recorded.
    pub(super) fn enter(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        core: &mut Core,
        path: &StepPath,
    ) -> Result<(), EngineError> {
        let now = self.clock.now();
        let Some(step) = cell.program.playbook.step(path.step()) else { return Ok(()) };
        let mut scope = run_scope(&core.state);
        scope.steps = visible(&cell.program, &core.state, step);
        (scope.item, scope.key) = item_of(&core.state, path);
        let mode = core.state.header.as_ref().map_or(Mode::Live, |header| header.mode);
        let approved = core.state.step(path).is_some_and(|step| step.approved);
        let attempt = core.state.step(path).map_or(0, |step| step.attempt) + 1;
        if mode == Mode::Plan {
            return match self.suppose(cell, step, path, &scope, attempt)? {
                Ok(facts) => facts.into_iter().try_for_each(|fact| core.record(cell, fact, now).map(|_| ())),
                Err(error) => self.step_failed(cell, core, step, path, error),
            };
        }
        let outcome = self.entering(cell, step, path, &scope, approved, attempt);
        match outcome {
            Ok(fact) => {
                let asks = matches!(fact, Fact::ApprovalAsked { .. });
                core.record(cell, fact, now)?;
                let given = if asks { given_before(&core.state, path, now) } else { Vec::new() };
                given.into_iter().try_for_each(|fact| core.record(cell, fact, now).map(|_| ()))
            }
            Err(error) if error.is_overtime() => self.overtime(cell, core, path, &error),
            Err(error) => self.step_failed(cell, core, step, path, error.into_op_error()),
        }
    }

    /// A key names its instance everywhere: in every record, in file names, in labels. None of these is redacted.
    pub(super) fn fit_for_a_key(&self, key: &str, path: &StepPath) -> Result<(), OpError> {
        if key.starts_with(ANY_KEY) {
            let what = "a key that begins with it stands for whatever key a run may find";
            return Err(OpError::refused(format!("`{key}` cannot be the key of an instance of {path}: {what}"))
                .with_hint("give `foreach` a `key` that begins with another character"));
        }
        if matches!(self.redactor.scrub(key), Cow::Borrowed(_)) && !key.contains(REDACTED) {
            return Ok(());
        }
        let what = "a key stands in every record, in file names and in labels, and this one holds a known secret";
        Err(OpError::refused(format!("an item cannot be the key of an instance of {path}: {what}")).with_hint(
            "give `foreach` a `key` that names the item without the secret, such as the name of its variable",
        ))
    }

    fn entering(
        &self,
        cell: &RunCell,
        step: &Step,
        path: &StepPath,
        scope: &Scope,
        approved: bool,
        attempt: u32,
    ) -> Result<Fact, ScriptError> {
        let program = &cell.program;
        let whole = path.key().is_none();
        if whole
            && !approved
            && let Some(when) = &step.when
        {
            let answer = program.expression(when, scope)?;
            match answer {
                Value::Bool(true) => {}
                Value::Bool(false) => {
                    let reason = format!("`when: {}` is false", when.value.trim());
                    return Ok(Fact::StepSkipped { step: path.clone(), reason, by: None, result: None });
                }
                other => {
                    let what = format!("`when: {}` gives {other}, not true or false", when.value.trim());
                    return Err(OpError::refused(what).into());
                }
            }
        }
        if let (true, Some(foreach)) = (whole, &step.foreach) {
            let items = program.template(&foreach.items, scope)?;
            let Value::Array(items) = items else {
                return Err(OpError::refused(format!("`foreach` of {path} gives {items}, not a list")).into());
            };
            let mut keyed: Vec<(String, Value)> = Vec::new();
            for item in items {
                let key = match &foreach.key {
                    Some(key) => {
                        let scope = Scope { item: item.clone(), ..scope.clone() };
                        program.expression(key, &scope)?
                    }
                    None => item.clone(),
                };
                let key = match key {
                    Value::String(text) => text,
                    Value::Number(number) => number.to_string(),
                    other => {
                        let what = format!("{other} cannot be the key of an instance of {path}: it is no text");
                        return Err(OpError::refused(what).into());
                    }
                };
                self.fit_for_a_key(&key, path)?;
                if keyed.iter().any(|(other, _)| *other == key) {
                    return Err(OpError::refused(format!("two instances of {path} have the key `{key}`")).into());
                }
                keyed.push((key, item));
            }
            return Ok(Fact::Expanded { step: path.clone(), items: keyed, over: None });
        }
        if let Body::Manual { instructions, .. } = &step.body
            && (approved || step.approval.is_none())
        {
            let text = program.template(instructions, scope)?;
            let instructions = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
            return Ok(Fact::ManualAsked { step: path.clone(), instructions });
        }
        let inputs = match &step.body {
            Body::Uses { with: Some(with), .. } => program.template(with, scope)?,
            _ => Value::Null,
        };
        if let (Some(approval), false) = (&step.approval, approved) {
            use sha2::{Digest, Sha256};
            let bound = serde_json::json!([program.digest, scope.params, path, inputs, scope.steps]);
            let digest = Sha256::digest(bound.to_string().as_bytes()).iter().map(|b| format!("{b:02x}")).collect();
            return Ok(Fact::ApprovalAsked {
                step: path.clone(),
                by: approval.by.clone(),
                count: approval.count,
                digest,
            });
        }
        Ok(Fact::StepStarted { step: path.clone(), attempt, inputs, keep: 0 })
    }
}
