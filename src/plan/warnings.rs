//! What a reviewer should look at, and might not have seen.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::order::Order;
use super::{Plan, PlannedStep, StepOutcome};
use crate::model::StepPath;
use crate::model::amount::format_duration;
use crate::model::check::Verdict;
use crate::model::forecast::Basis;

/// Something to look at.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Warning {
    /// A stable short name of its kind.
    pub code: String,
    /// The step it is about.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub step: Option<StepPath>,
    /// What, in a sentence.
    pub message: String,
}

fn warning(code: &str, step: Option<&PlannedStep>, message: String) -> Warning {
    Warning { code: code.to_owned(), step: step.map(|step| step.step.clone()), message }
}

/// All of a plan's, the gravest first.
pub(super) fn of(plan: &Plan) -> Vec<Warning> {
    let order = Order::of(&plan.steps);
    let mut found = Vec::new();
    failing(plan, &mut found);
    unmet(plan, &mut found);
    objectives(plan, &mut found);
    irreversible(plan, &order, &mut found);
    no_return(plan, &order, &mut found);
    overlapping(plan, &order, &mut found);
    blind(plan, &mut found);
    found
}

fn failing(plan: &Plan, found: &mut Vec<Warning>) {
    for step in &plan.steps {
        if let StepOutcome::Fails { error } = &step.outcome {
            found.push(warning("fails", Some(step), format!("it would fail as things are: {error}")));
        }
    }
}

/// Preconditions that do not hold, or of which nobody can tell.
fn unmet(plan: &Plan, found: &mut Vec<Warning>) {
    for check in &plan.checks {
        let (code, said) = match check.verdict {
            Verdict::Pass => continue,
            Verdict::Fail => ("check-failed", "fails"),
            Verdict::Unknown => ("check-unknown", "cannot be told"),
        };
        let what = if check.found.is_empty() { &check.title } else { &check.found };
        found.push(warning(code, None, format!("the check `{}` {said}: {what}", check.id)));
    }
}

fn objectives(plan: &Plan, found: &mut Vec<Warning>) {
    let shown = |millis: u64| format_duration(Duration::from_millis(millis));
    if let Some(rto) = plan.objectives.rto_ms
        && plan.timeline.total_ms > rto
    {
        let message = format!(
            "the run would take {}, longer than the recovery time objective of {}, even if nobody had to be waited for",
            shown(plan.timeline.total_ms),
            shown(rto)
        );
        found.push(warning("rto-missed", None, message));
    }
}

/// Whether a person stands before this step's effects.
fn is_gated(plan: &Plan, step: &PlannedStep, order: &Order) -> bool {
    let asks = |step: &PlannedStep| {
        step.approval.is_some() || step.manual || step.calls.iter().any(|call| call.op.starts_with("ask."))
    };
    asks(step) || plan.steps.iter().any(|other| asks(other) && order.is_before(other.step.step(), step.step.step()))
}

fn irreversible(plan: &Plan, order: &Order, found: &mut Vec<Warning>) {
    for step in &plan.steps {
        let lasting: Vec<&str> = step.leaves().map(|call| call.op.as_str()).collect();
        if !lasting.is_empty() && step.point_of_no_return.is_none() && !is_gated(plan, step, order) {
            let message = format!(
                "{} cannot be undone, and nobody is asked before it; a rollback leaves it standing",
                named(&lasting)
            );
            found.push(warning("irreversible", Some(step), message));
        }
    }
}

fn no_return(plan: &Plan, order: &Order, found: &mut Vec<Warning>) {
    let crossed =
        |step: &&PlannedStep| step.point_of_no_return.is_some() && !matches!(step.outcome, StepOutcome::Skipped { .. });
    for step in plan.steps.iter().filter(crossed) {
        let name = step.step.step();
        let behind: Vec<&str> = plan
            .steps
            .iter()
            .filter(|other| other.calls.iter().any(|call| call.writes))
            .filter(|other| order.is_before(name, other.step.step()))
            .map(|other| other.step.as_str())
            .collect();
        if !behind.is_empty() {
            let message = format!("there is no way back after it, and effects follow in {}", named(&behind));
            found.push(warning("no-return", Some(step), message));
        }
        if !is_gated(plan, step, order) && step.calls.iter().any(|call| call.writes) {
            let message = "there is no way back after it, and nobody is asked before it".to_owned();
            found.push(warning("no-return-ungated", Some(step), message));
        }
    }
}

/// Two steps that nothing orders and that touch the same thing, at least one of them changing it.
fn overlapping(plan: &Plan, order: &Order, found: &mut Vec<Warning>) {
    let mut users: BTreeMap<&str, (BTreeSet<usize>, BTreeSet<usize>)> = BTreeMap::new();
    for (index, step) in plan.steps.iter().enumerate() {
        for call in step.calls.iter().filter(|call| !call.resource.is_empty() && call.refused.is_none()) {
            let (readers, writers) = users.entry(&call.resource).or_default();
            if call.writes {
                writers.insert(index)
            } else {
                readers.insert(index)
            };
        }
    }
    let mut told = BTreeSet::new();
    for (resource, (readers, writers)) in &users {
        for writer in writers {
            for other in writers.iter().chain(readers).filter(|other| *other != writer) {
                let (a, b) = (&plan.steps[*writer], &plan.steps[*other]);
                let ordered = |a: &PlannedStep, b: &PlannedStep| order.is_before(a.step.step(), b.step.step());
                let pair = ((*writer).min(*other), (*writer).max(*other));
                if !ordered(a, b) && !ordered(b, a) && told.insert(pair) {
                    let message = format!(
                        "nothing orders it and {}, and both touch {resource}: whichever comes first decides",
                        b.step
                    );
                    found.push(warning("unordered", Some(a), message));
                }
            }
        }
    }
}

fn blind(plan: &Plan, found: &mut Vec<Warning>) {
    for step in &plan.steps {
        if let StepOutcome::Unknown { reason } = &step.outcome {
            found.push(warning(
                "blind",
                Some(step),
                format!("what it does could not be followed to its end: {reason}"),
            ));
        }
        let opaque: Vec<&str> = step
            .calls
            .iter()
            .filter(|call| call.basis == Basis::Opaque && call.writes)
            .map(|call| call.op.as_str())
            .collect();
        if !opaque.is_empty() {
            let programs = opaque.iter().any(|op| crate::sandbox::modelled::OPERATIONS.contains(op));
            let how = if programs { "; a model in models/*.rhai would: docs/models.md" } else { "" };
            found.push(warning("opaque", Some(step), format!("nobody can say what {} does{how}", named(&opaque))));
        }
    }
}

/// `a, b (3 times) and c`.
fn named(words: &[&str]) -> String {
    let mut counted: Vec<(&str, usize)> = Vec::new();
    for word in words {
        match counted.iter_mut().find(|(known, _)| known == word) {
            Some((_, count)) => *count += 1,
            None => counted.push((word, 1)),
        }
    }
    let shown: Vec<String> = counted
        .iter()
        .map(|(word, count)| if *count == 1 { (*word).to_owned() } else { format!("{word} ({count} times)") })
        .collect();
    match shown.split_last() {
        Some((last, rest)) if !rest.is_empty() => format!("{} and {last}", rest.join(", ")),
        Some((last, _)) => last.clone(),
        None => String::new(),
    }
}
