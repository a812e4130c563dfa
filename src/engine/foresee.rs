//! Evaluates a step in a plan: every way through it, what it does on each, and what its output is whatever the answers are.

use std::sync::Arc;

use super::cell::{READS_A_COMMIT, RunCell};
use super::driver::{Host, Inner};
use super::effect::find_revision;
use super::error::EngineError;
use super::state::CallKind;
use super::unwind::unknown_output;
use super::way::WayCall;
use super::ways::{End, MAX_WAYS, Ways};
use crate::journal::record::{Fact, Outcome};
use crate::model::fault::OpError;
use crate::model::forecast::{Basis, Decision, WayEnd};
use crate::model::unknown::{self, Shape};
use crate::model::{CallId, Phase, StepPath, Value};
use crate::playbook::types::{OnFailure, Step};

impl Inner {
    /// The body of a step, in a plan.
    pub(super) fn foresee_body(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        step: &Step,
        path: &StepPath,
    ) -> Result<(), EngineError> {
        let scope = self.scope(cell, path);
        let (attempt, inputs, base, each) = {
            let core = cell.core.lock();
            let whole = core.state.step(&StepPath::of(path.step()));
            let base: Vec<Decision> = whole.map(|whole| whole.runs_if.clone()).unwrap_or_default();
            let each = core.state.expanded_over.get(path.step()).cloned();
            let own = core.state.step(path);
            (own.map_or(1, |own| own.attempt), own.map_or(Value::Null, |own| own.inputs.clone()), base, each)
        };
        let host = match &self.host {
            Host::Planning(host) => host,
            Host::Full(_) => return Ok(()),
        };
        let before = (!base.is_empty()).then(|| host.mark());
        let known = self.made_before(cell, path)?;
        let made = known.len();
        let ways = self.follow_ways(cell, path, Some(attempt), each.as_deref(), known, &|calls| {
            cell.program.body(step, &inputs, &scope, calls)
        })?;
        if ways.calls.len() < made {
            return Err(EngineError::Diverged {
                call: format!("{path}/{}", ways.calls.len()),
                asked: "nothing more".to_owned(),
                recorded: format!("{made} calls"),
            });
        }
        let goes_on_without = step.on_failure == OnFailure::Continue;
        if !ways.is_one() || before.is_some() {
            let mut marks: Vec<_> = ways
                .ends
                .iter()
                .filter(|(_, end, _)| goes_on_without || !matches!(end, End::Throws(_)))
                .filter_map(|(_, _, mark)| *mark)
                .collect();
            if let Some(before) = before {
                if marks.is_empty() {
                    marks.push(host.mark());
                }
                marks.push(before);
            }
            if !marks.is_empty() {
                host.join(&marks);
            }
        }
        let unfollowed = ways.left > 0 || ways.ends.iter().any(|(_, end, _)| matches!(end, End::Unfollowed(_)));
        if unfollowed {
            // What the step may touch on ways that are not shown is what its playbook may touch.
            let parts = super::capability::within_reach(&cell.granted);
            host.spoil(&parts, &format!("{path} may have changed it, which was not followed to its end"));
        }
        let now = self.clock.now();
        let mut core = cell.core.lock();
        for (seq, (branch, call)) in ways.calls.iter().enumerate().skip(made) {
            let seq = u32::try_from(seq).unwrap_or(u32::MAX);
            let fact = Fact::Foreseen {
                call: CallId { step: path.clone(), phase: Phase::Body, attempt, seq },
                op: call.op.name.to_owned(),
                revision: call.op.revision,
                args: call.args.clone(),
                outcome: call.outcome.clone(),
                basis: call.basis,
                reason: call.reason.clone(),
                key: call.key.clone(),
                before: call.before.clone(),
                takes_ms: call.takes_ms,
                changes: call.changes.clone(),
                branch: base.iter().chain(branch).cloned().collect(),
                repeated: call.repeated.clone(),
                at_most: call.at_most,
            };
            core.record(cell, fact, now)?;
        }
        if let Some(paths) = ways.paths.clone() {
            core.record(cell, Fact::PathsForeseen { step: path.clone(), paths }, now)?;
        }
        for fact in foretold(&ways, path, &base) {
            core.record(cell, fact, now)?;
        }
        match come_to(&ways, path, goes_on_without) {
            Ok(output) => {
                let output = if base.is_empty() {
                    output
                } else {
                    unknown::joined(&[output, Value::Null], &format!("{path} is left out in some cases"), "")
                };
                let output = unknown::rooted(output, &format!("steps.{path}"), &Shape::Any);
                core.record(cell, Fact::StepSucceeded { step: path.clone(), output }, now)?;
                // What a plan records need not survive: it is written in large parts.
                if core.journal.buffered() < READS_A_COMMIT { Ok(()) } else { self.commit(cell, &mut core) }
            }
            Err(error) if base.is_empty() => self.step_failed(cell, &mut core, step, path, error),
            Err(_) => {
                // It fails whenever it runs; whether it does, only the run will know.
                core.record(cell, Fact::StepSucceeded { step: path.clone(), output: Value::Null }, now)?;
                self.commit(cell, &mut core)
            }
        }
    }
}

impl Inner {
    /// The calls of a step's body that its run has recorded: every way begins with them.
    fn made_before(&self, cell: &RunCell, path: &StepPath) -> Result<Vec<WayCall>, EngineError> {
        let core = cell.core.lock();
        let body = core.state.step(path).map_or(&[][..], |step| &step.body);
        let calls = body.iter().map(|index| &core.state.calls[*index]);
        let made = calls.map(|call| {
            let (key, before) = match &call.kind {
                CallKind::Effect { key, before, .. } => (key.clone(), before.clone()),
                _ => (String::new(), Value::Null),
            };
            Ok(WayCall {
                op: find_revision(cell, &call.op, call.revision)?,
                args: call.args.clone(),
                outcome: call
                    .outcome
                    .clone()
                    .unwrap_or(Outcome::Done { result: Value::Null, fingerprint: Value::Null }),
                basis: Basis::Exact,
                reason: String::new(),
                key,
                before,
                takes_ms: 0,
                changes: Vec::new(),
                repeated: None,
                at_most: None,
                depth: 0,
                sent: matches!(call.kind, CallKind::Effect { .. }),
            })
        });
        made.collect()
    }
}

/// How the ways end, where there is anything to tell.
pub(super) fn foretold(ways: &Ways, path: &StepPath, base: &[Decision]) -> Vec<Fact> {
    let mut facts = Vec::new();
    if !ways.is_one() || !base.is_empty() {
        for (branch, end, _) in &ways.ends {
            let branch = base.iter().chain(branch).cloned().collect();
            facts.push(Fact::Foretold { step: path.clone(), branch, end: end.told() });
        }
    }
    if ways.left > 0 {
        let why = format!(
            "there are more than {MAX_WAYS} ways through this step: at least {} more were not followed",
            ways.left
        );
        facts.push(Fact::Foretold { step: path.clone(), branch: base.to_vec(), end: WayEnd::Unfollowed { why } });
    }
    facts
}

/// The output that the ways have in common; the error when all of them stop.
pub(super) fn come_to(ways: &Ways, path: &StepPath, goes_on_without: bool) -> Result<Value, OpError> {
    let mut values = Vec::new();
    let mut stopped = Vec::new();
    let mut unfollowed = None;
    for (_, end, _) in &ways.ends {
        match end {
            End::Returns(value) => values.push(value.clone()),
            End::Throws(error) => stopped.push(error),
            End::GoesOn => {}
            End::Unfollowed(why) => {
                unfollowed.get_or_insert_with(|| why.clone());
            }
        }
    }
    if ways.left > 0 {
        unfollowed.get_or_insert_with(|| format!("there are more than {MAX_WAYS} ways through it"));
    }
    if goes_on_without && !stopped.is_empty() && !(values.is_empty() && unfollowed.is_none()) {
        values.push(Value::Null);
    }
    if let Some(why) = unfollowed {
        return Ok(unknown_output(path, &why));
    }
    match (values.is_empty(), stopped.first()) {
        (false, _) => Ok(unknown::joined(&values, &format!("it differs between the ways through {path}"), "")),
        (true, Some(error)) => Err((*error).clone()),
        (true, None) => Ok(unknown_output(path, "it goes on for ever unless something ends it")),
    }
}
