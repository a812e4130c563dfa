//! What a run may use though no call of its plan does: a step's own rollback, and its `verify`, whose calls no plan shows.

use super::{PlannedStep, StepOutcome};
use crate::engine::state::{RunState, StepStatus};
use crate::lint::compile::Compiler;
use crate::lint::facts::{Facts, NameUse};
use crate::model::Value;
use crate::model::secret::handles_in;
use crate::script::Program;

/// Where one of these secrets is used out of sight of the plan, if anywhere: `the rollback of step swap`. What cannot be told counts
/// as used.
pub(super) fn user_of(
    handles: &[&Value],
    steps: &[PlannedStep],
    state: &RunState,
    program: &Program,
) -> Option<String> {
    let is_part = |name: &str| {
        let skipped = |step: &PlannedStep| matches!(step.outcome, StepOutcome::Skipped { .. });
        steps.iter().any(|step| step.step.step() == name && !skipped(step))
    };
    let parts = program.playbook.steps.iter().filter(|step| is_part(&step.id.value));
    let scripts: Vec<(&str, &str, &str)> = parts
        .flat_map(|step| {
            let rollback = step.rollback.iter().map(|script| ("rollback", &script.value));
            let verify = step.verify.iter().map(|verify| ("`verify`", &verify.check.value));
            rollback.chain(verify).map(|(what, text)| (step.id.value.as_str(), what, text.as_str()))
        })
        .collect();
    let compiler = Compiler::new(scripts.iter().map(|(.., text)| *text));
    scripts.into_iter().find_map(|(step, what, text)| {
        // What does not compile has been found out long before.
        let facts = compiler.script(text).ast.as_ref().map(Facts::of)?;
        let uses = facts.names.iter().any(|used| !used.in_function && reaches(used, handles, state));
        uses.then(|| format!("the {what} of step {step}"))
    })
}

/// Whether what a script names has one of these secrets in it.
fn reaches(used: &NameUse, handles: &[&Value], state: &RunState) -> bool {
    let holds = |value: &Value| handles_in(value).iter().any(|handle| handles.contains(handle));
    let field = used.name.as_ref().map(|(name, _)| name.as_str());
    match used.root {
        "params" => {
            let params = state.header.as_ref().map_or(&Value::Null, |header| &header.params);
            holds(field.map_or(params, |name| params.get(name).unwrap_or(&Value::Null)))
        }
        "steps" => state.steps.iter().any(|(path, step)| match &step.status {
            StepStatus::Succeeded { output } => field.is_none_or(|name| name == path.step()) && holds(output),
            _ => false,
        }),
        // The items of a `foreach` come from anywhere.
        "item" => true,
        _ => false,
    }
}
