//! What makes two plans the same: the bundle, the parameters, the targets and the tree of effects. Reads are not in it, since
//! what they answer may change without changing what is done.

use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::{Plan, StepOutcome};
use crate::model::Value;

/// SHA-256, in hex.
pub(super) fn of(plan: &Plan) -> String {
    let mut whole = json!({
        "format": plan.format,
        "bundle": plan.bundle,
        "params": plan.params,
        "targets": plan.targets,
        "steps": effects(plan),
    });
    if let Some(rest) = &plan.rest {
        let effects = |step: &super::PlannedStep| step.made.iter().map(|made| json!([made.op, made.args])).collect();
        let made: Vec<(_, _, Vec<Value>)> =
            plan.steps.iter().map(|step| (&step.step, step.outcome == StepOutcome::Done, effects(step))).collect();
        whole["rest"] = json!({ "run": rest.run, "moves": rest.moves, "made": made });
    }
    let text = whole.to_string();
    Sha256::digest(text.as_bytes()).iter().map(|byte| format!("{byte:02x}")).collect()
}

/// The tree of effects.
fn effects(plan: &Plan) -> Vec<Value> {
    plan.steps
        .iter()
        .map(|step| {
            let effects: Vec<Value> = step
                .calls
                .iter()
                .filter(|call| call.writes)
                .map(|call| {
                    json!({
                        "op": call.op, "args": call.args, "branch": call.branch, "repeated": call.repeated,
                        "at_most": call.at_most,
                        "refused": call.refused.is_some(),
                    })
                })
                .collect();
            let followed = !matches!(step.outcome, StepOutcome::Unknown { .. }) && step.not_followed.is_empty();
            let mut tree =
                json!({ "step": step.step, "followed": followed, "runs_if": step.runs_if, "effects": effects });
            if let (Some(tree), Some(paths)) = (tree.as_object_mut(), &step.paths) {
                tree.insert("paths".to_owned(), json!(paths));
            }
            tree
        })
        .collect()
}
