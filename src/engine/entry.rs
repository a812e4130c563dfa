//! The entry into a step whose needs are settled: `when`, `foreach`, approval, inputs.

use std::borrow::Cow;
use std::sync::Arc;
use std::sync::atomic::Ordering;

use sha2::{Digest as _, Sha256};

use super::ahead::Gated;
use super::bound::ANY_KEY;
use super::cell::{Activity, Core, RunCell};
use super::command::given_before;
use super::decide::visible;
use super::driver::Inner;
use super::error::EngineError;
use super::schedule::Job;
use super::scope::{item_of, run_scope};
use super::state::{CallKind, StepState, StepStatus};
use crate::journal::record::Fact;
use crate::model::fault::OpError;
use crate::model::secret::REDACTED;
use crate::model::{StepPath, Timestamp, Value};
use crate::playbook::types::{Body, Step};
use crate::script::{Scope, ScriptError};

impl Inner {
    /// A step whose needs are settled: `when`, `foreach`, approval, inputs, all pure and recorded. What an approval would let the
    /// run do is foreseen by a job, which comes back here with it.
    pub(super) fn enter(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        core: &mut Core,
        path: &StepPath,
        gated: Option<Gated>,
    ) -> Result<(), EngineError> {
        let now = self.clock.now();
        let Some(step) = cell.program.playbook.step(path.step()) else { return Ok(()) };
        let mut scope = run_scope(&core.state);
        scope.steps = visible(&cell.program, &core.state, step);
        (scope.item, scope.key) = item_of(&core.state, path);
        let present = core.state.step(path);
        let approved = present.is_some_and(|present| stands(step, present, now));
        let again = present.filter(|present| present.approved && !approved).map(|_| EXPIRED.to_owned());
        let attempt = core.state.step(path).map_or(0, |step| step.attempt) + 1;
        if let Some(fact) = super::drill::on_entry(&core.state, step, path) {
            return core.record(cell, fact, now).map(|_| ());
        }
        if core.state.is_plan() {
            return match self.suppose(cell, step, path, &scope, attempt)? {
                Ok(facts) => facts.into_iter().try_for_each(|fact| core.record(cell, fact, now).map(|_| ())),
                Err(error) => self.step_failed(cell, core, step, path, error),
            };
        }
        let outcome = self.entering(cell, step, path, &scope, approved, attempt);
        match outcome {
            Ok(Entering::As(fact)) => core.record(cell, *fact, now).map(|_| ()),
            Ok(Entering::Asking(_)) if core.state.drill.is_some() => {
                core.record(cell, super::drill::waived(path), now).map(|_| ())
            }
            Ok(Entering::Asking(_)) if gated.is_none() && self.foresees(&core.state) => {
                core.activity.insert(path.clone(), Activity::Busy);
                cell.asking.fetch_add(1, Ordering::Relaxed);
                self.schedule.submit(Job::Foresee(cell.id.clone(), path.clone(), core.state.next_seq));
                Ok(())
            }
            Ok(Entering::Asking(inputs)) => {
                let ask = Ask { inputs: &inputs, again, gated: gated.unwrap_or_default() };
                self.ask(cell, core, path, &scope, ask)
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
    ) -> Result<Entering, ScriptError> {
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
                    let fact = Fact::StepSkipped { step: path.clone(), reason, by: None, result: None };
                    return Ok(Entering::As(Box::new(fact)));
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
            return Ok(Entering::As(Box::new(Fact::Expanded { step: path.clone(), items: keyed, over: None })));
        }
        if let Body::Manual { instructions, .. } = &step.body
            && (approved || step.approval.is_none())
        {
            let text = program.template(instructions, scope)?;
            let instructions = text.as_str().map_or_else(|| text.to_string(), str::to_owned);
            return Ok(Entering::As(Box::new(Fact::ManualAsked { step: path.clone(), instructions })));
        }
        let inputs = match &step.body {
            Body::Uses { with: Some(with), .. } => program.template(with, scope)?,
            _ => Value::Null,
        };
        if step.approval.is_some() && !approved {
            return Ok(Entering::Asking(inputs));
        }
        Ok(Entering::As(Box::new(Fact::StepStarted { step: path.clone(), attempt, inputs, keep: 0 })))
    }

    /// Asks for the approvals of a step. Those given to the run's plan before it began may be enough.
    pub(super) fn ask(
        &self,
        cell: &RunCell,
        core: &mut Core,
        path: &StepPath,
        scope: &Scope,
        ask: Ask<'_>,
    ) -> Result<(), EngineError> {
        let now = self.clock.now();
        let Some(approval) = cell.program.playbook.step(path.step()).and_then(|step| step.approval.as_ref()) else {
            return Ok(());
        };
        let Ask { inputs, again, mut gated } = ask;
        let (targets, plan) = (&core.state.targets, core.state.plan.as_ref().map(|plan| &plan.digest));
        if plan.is_some() {
            // It was bound to a plan meanwhile: that is what is approved.
            gated = Gated::default();
        }
        let tree = gated.tree.as_ref().map(|tree| &tree.digest);
        let what =
            serde_json::json!([cell.program.digest, scope.params, path, inputs, scope.steps, targets, plan, tree])
                .to_string();
        let fact = Fact::ApprovalAsked {
            step: path.clone(),
            by: approval.by.clone(),
            count: approval.count,
            digest: hex(&Sha256::digest(what.as_bytes())),
            tree: gated.tree,
            unforeseen: gated.unforeseen,
            again,
        };
        core.record(cell, fact, now)?;
        let given = given_before(&cell.program, &core.state, path, now);
        given.into_iter().try_for_each(|fact| core.record(cell, fact, now).map(|_| ()))
    }

    /// Foresees what the approval of a step would let the run do, and asks for it, unless something came between.
    pub(super) fn ask_foreseen(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        path: &StepPath,
        since: u64,
    ) -> Result<(), EngineError> {
        let gated = self.foresee_gated(cell, path, since)?;
        let mut core = cell.core.lock();
        core.activity.remove(path);
        let pending = core.state.step(path).is_none_or(|step| matches!(step.status, StepStatus::Pending));
        match gated {
            Some(gated) if pending => self.enter(cell, &mut core, path, Some(gated)),
            _ => Ok(()),
        }
    }

    /// Before an effect: whether the step's approval stands. If not, it is asked for; that of a plan may be enough. `shared` is
    /// what the effect touches that a drill shares with others: that is not covered where the approval was waived.
    pub(super) fn is_approved(
        &self,
        cell: &Arc<RunCell>,
        path: &StepPath,
        shared: Option<&str>,
    ) -> Result<bool, EngineError> {
        let Some(step) = cell.program.playbook.step(path.step()).filter(|step| step.approval.is_some()) else {
            return Ok(true);
        };
        let scope = self.scope(cell, path);
        let core = cell.core.lock();
        let now = self.clock.now();
        let Some(present) = core.state.step(path) else { return Ok(true) };
        // What has begun goes on under the approvals with which it began.
        let effects = present.body.iter().map(|index| &core.state.calls[*index]);
        let begun = effects.clone().any(|call| matches!(call.kind, CallKind::Effect { .. }));
        let waived = present.waived && shared.is_some();
        if present.approved && !waived && (begun || stands(step, present, now)) {
            return Ok(true);
        }
        let inputs = present.inputs.clone();
        let again = match shared.filter(|_| waived) {
            Some(shared) => format!("it would touch {shared}, which the drill did not make"),
            None if present.approved => EXPIRED.to_owned(),
            None => "what was approved was another plan, or nothing was".to_owned(),
        };
        let since = core.state.next_seq;
        drop(core);
        // Whatever came between: the step is driven again, and comes back here.
        let Some(gated) = self.foresee_gated(cell, path, since)? else { return Ok(false) };
        let mut core = cell.core.lock();
        let ask = Ask { inputs: &inputs, again: Some(again), gated };
        self.ask(cell, &mut core, path, &scope, ask)?;
        self.commit(cell, &mut core)?;
        Ok(core.state.step(path).is_some_and(|present| present.approved))
    }
}

const EXPIRED: &str = "an approval has expired";

/// A question for approvals.
pub(super) struct Ask<'a> {
    /// The step's inputs.
    inputs: &'a Value,
    /// Why it is asked again.
    again: Option<String>,
    /// What is known of what it lets the run do.
    gated: Gated,
}

/// What entering a step comes to.
enum Entering {
    /// This.
    As(Box<Fact>),
    /// Its approvals are to be asked for; these are its inputs.
    Asking(Value),
}

/// Whether a step has all its approvals, and enough of them still count.
fn stands(step: &Step, present: &StepState, now: Timestamp) -> bool {
    let needed = step.approval.as_ref().map_or(0, |approval| approval.count as usize);
    present.approved && (present.waived || present.approvals(now) >= needed)
}

pub(super) fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}
