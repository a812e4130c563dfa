//! What a run would do: the records of a plan, folded into steps and labelled calls.

pub mod text;

use std::collections::BTreeMap;

use serde::Serialize;

use crate::engine::state::{RunState, StepStatus};
use crate::journal::record::{Fact, Outcome, Record};
use crate::model::amount::format_duration;
use crate::model::forecast::{Basis, Change, Decision};
use crate::model::{StepPath, Value};
use crate::ops::Effect;
use crate::ops::spec::{Backend, UNKNOWN_KEY, Undo};
use crate::playbook::types::Body;
use crate::script::Program;

/// A call of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedCall {
    /// Its operation.
    pub op: String,
    /// Whether it changes the world.
    pub writes: bool,
    /// How far this line can be believed.
    pub basis: Basis,
    /// Why it is not exact; empty when it is.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub reason: String,
    /// What it touches.
    pub resource: String,
    /// Its arguments; secrets are handles.
    pub args: Value,
    /// Its result, as far as it is known; `Null` when it was refused.
    pub result: Value,
    /// How long it would take, in milliseconds.
    pub takes_ms: u64,
    /// What it would change.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub changes: Vec<Change>,
    /// The answers to open questions under which it is made; empty when it is made whatever they are.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub branch: Vec<Decision>,
    /// It stands in a loop over this, which only the run will know.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub repeated: Option<String>,
    /// The error it ended with in the plan: a precondition that does not hold.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub refused: Option<String>,
    /// How it would be undone, or why it cannot be.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub undo: Option<String>,
}

/// A step of a plan.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct PlannedStep {
    /// Its path.
    pub step: StepPath,
    /// Its title.
    pub title: String,
    /// What the plan says of it: `runs`, `skipped: …`, `unknown: …`, `fails: …`.
    pub outcome: String,
    /// Whether it is known what it does, whole.
    pub known: bool,
    /// Who has to approve it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub approval: Option<String>,
    /// Why there is no way back after it.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub point_of_no_return: Option<String>,
    /// It is done by hand.
    pub manual: bool,
    /// It has a rollback of its own.
    pub own_rollback: bool,
    /// Its calls, in order.
    pub calls: Vec<PlannedCall>,
}

/// What a run would do.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct Plan {
    /// Name of the playbook.
    pub playbook: String,
    /// Its version.
    pub version: String,
    /// The bundle's digest.
    pub bundle: String,
    /// The parameters; secrets are handles.
    pub params: Value,
    /// What it would work on: name → identity.
    pub targets: BTreeMap<String, String>,
    /// Its steps, in the playbook's order.
    pub steps: Vec<PlannedStep>,
    /// Effects, all told.
    pub effects: usize,
    /// Calls that are exact or predicted, of all calls, in percent. Steps that could not be followed to their end count as one
    /// unknown call each.
    pub coverage: u32,
}

impl Plan {
    /// From the records of a plan. `None` when they are of no run.
    #[must_use]
    pub fn of(records: &[Record], program: &Program) -> Option<Self> {
        let state = RunState::fold(records).ok()?;
        let header = state.header.as_ref()?;
        let mut steps = Vec::new();
        let mut calls: BTreeMap<StepPath, Vec<PlannedCall>> = BTreeMap::new();
        for (step, call) in records.iter().filter_map(|record| planned(&record.fact)) {
            calls.entry(step).or_default().push(call);
        }
        for step in &program.playbook.steps {
            let whole = StepPath::of(&step.id.value);
            let paths = match state.expanded.get(&step.id.value) {
                Some(items) => items.iter().map(|(key, _)| StepPath::keyed(&step.id.value, key)).collect(),
                None => vec![whole],
            };
            for path in paths {
                let of = state.step(&path);
                let (outcome, known) = outcome(of.map(|of| &of.status));
                steps.push(PlannedStep {
                    title: step.title.clone(),
                    outcome,
                    known,
                    approval: step.approval.as_ref().map(|approval| {
                        let by = if approval.by.is_empty() {
                            "anybody but the starter".to_owned()
                        } else {
                            approval.by.join(" or ")
                        };
                        format!("{} by {by}", approval.count)
                    }),
                    point_of_no_return: step.point_of_no_return.as_ref().map(|reason| reason.value.clone()),
                    manual: matches!(step.body, Body::Manual { .. }),
                    own_rollback: step.rollback.is_some(),
                    calls: calls.remove(&path).unwrap_or_default(),
                    step: path,
                });
            }
        }
        let calls: Vec<&PlannedCall> = steps.iter().flat_map(|step| &step.calls).collect();
        let blind = steps.iter().filter(|step| !step.known).count();
        let seen = calls.iter().filter(|call| call.basis <= Basis::Predicted).count();
        let all = calls.len() + blind;
        Some(Self {
            playbook: header.playbook.clone(),
            version: header.version.clone(),
            bundle: header.bundle.clone(),
            params: header.params.clone(),
            targets: state.targets.values().map(|target| (target.name.clone(), target.identity.clone())).collect(),
            effects: calls.iter().filter(|call| call.writes).count(),
            coverage: u32::try_from((seen * 100).checked_div(all).unwrap_or(100)).unwrap_or(100),
            steps,
        })
    }

    /// Whether a step or a precondition fails already in the plan.
    #[must_use]
    pub fn fails(&self) -> bool {
        self.steps.iter().any(|step| step.outcome.starts_with("fails"))
    }
}

fn outcome(status: Option<&StepStatus>) -> (String, bool) {
    match status {
        Some(StepStatus::Succeeded { output }) => match output.get(UNKNOWN_KEY).and_then(Value::as_str) {
            Some(why) if why.starts_with("the result of step") => (format!("unknown from here: {why}"), false),
            _ => ("runs".to_owned(), true),
        },
        Some(StepStatus::Skipped { reason, .. }) => (format!("skipped: {reason}"), true),
        Some(StepStatus::Failed { error, .. }) => (format!("fails: {}", error.message), true),
        Some(_) => ("begun, not ended".to_owned(), false),
        None => ("not reached".to_owned(), true),
    }
}

fn planned(fact: &Fact) -> Option<(StepPath, PlannedCall)> {
    let Fact::Foreseen {
        call, op, args, outcome, basis, reason, key, before, takes_ms, changes, branch, repeated, ..
    } = fact
    else {
        return None;
    };
    let op = crate::ops::find(op).filter(|op| op.effect != Effect::Log)?;
    let (result, refused) = match outcome {
        Outcome::Done { result, .. } => (result.clone(), None),
        Outcome::Error { error } => (Value::Null, Some(error.message.clone())),
    };
    let undo = match &op.backend {
        Backend::Write(entry) => Some(match (entry.undo)(args, before, key) {
            Undo::Nothing => "nothing to undo".to_owned(),
            Undo::Impossible(why) => format!("cannot be undone: {why}"),
            Undo::Call { op, .. } => format!("undone by {op}"),
        }),
        _ => None,
    };
    let planned = PlannedCall {
        op: op.name.to_owned(),
        writes: op.effect.writes(),
        basis: *basis,
        reason: reason.clone(),
        resource: (op.resource)(args),
        args: args.clone(),
        result,
        takes_ms: *takes_ms,
        changes: changes.clone(),
        branch: branch.clone(),
        repeated: repeated.clone(),
        refused,
        undo,
    };
    Some((call.step.clone(), planned))
}

/// The playbook's objectives in words, if it has any.
#[must_use]
pub fn objectives(program: &Program) -> Option<String> {
    let part = |name: &str, value: Option<std::time::Duration>| value.map(|d| format!("{name} {}", format_duration(d)));
    let parts: Vec<String> =
        [part("RTO", program.playbook.rto), part("RPO", program.playbook.rpo)].into_iter().flatten().collect();
    (!parts.is_empty()).then(|| parts.join(", "))
}
