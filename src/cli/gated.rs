//! What approvals would let a run do, for those who are asked: the steps behind them, as they were foreseen with the question.

use std::collections::BTreeSet;

use super::context;
use super::failure::Failure;
use super::render::brief::one_line;
use super::render::look::{Look, Tone};
use super::render::plan::table;
use super::render::view::{StepState, View};
use crate::engine::bound::Bound;
use crate::journal::{Head, Store};
use crate::model::StepPath;
use crate::model::forecast::Tree;
use crate::plan::Plan;
use crate::playbook::bundle::Bundle;
use crate::script::Program;

/// What all approvals that are waited for would let the run do; those that were foreseen together are told together.
///
/// # Errors
/// When the journal cannot be read.
pub fn all(store: &dyn Store, head: &Head, view: &View, look: Look) -> Result<String, Failure> {
    let asked: Vec<&StepPath> = view.steps().iter().map(|step| &step.path).collect();
    of_steps(store, head, view, &asked, look)
}

/// What the approval of one step would let the run do; empty where none is waited for, or nothing is known of it.
///
/// # Errors
/// When the journal cannot be read.
pub fn of_step(store: &dyn Store, head: &Head, view: &View, step: &StepPath, look: Look) -> Result<String, Failure> {
    of_steps(store, head, view, &[step], look)
}

fn of_steps(store: &dyn Store, head: &Head, view: &View, steps: &[&StepPath], look: Look) -> Result<String, Failure> {
    let (mut told, mut text): (Vec<Together<'_>>, _) = (Vec::new(), String::new());
    for step in steps {
        let Some(StepState::Approval { tree, unforeseen, .. }) = view.find(step).map(|step| &step.state) else {
            continue;
        };
        match (tree, unforeseen) {
            (Some(tree), _) => match told.iter_mut().find(|other| other.first.records == tree.records) {
                Some(together) => together.gates.push((step, tree)),
                None => told.push(Together { first: tree, gates: vec![(step, tree)] }),
            },
            (None, Some(why)) => text.push_str(&format!(
                "{}\n  It could not be foreseen: {}\n  \
                 The approval is of the playbook, its parameters, its targets and the results so far.\n",
                title(&[step], look),
                one_line(why)
            )),
            (None, None) => {}
        }
    }
    for together in told {
        let names: Vec<&StepPath> = together.gates.iter().map(|(step, _)| *step).collect();
        let lines = planned(store, head, &together, look)?;
        let lines = lines.unwrap_or_else(|why| format!("it cannot be shown: {why}\n"));
        let lines: String = lines.lines().map(|line| format!("  {line}\n")).collect();
        text.push_str(&format!("{}\n{lines}  Anything else stops the run before it is done.\n", title(&names, look)));
    }
    Ok(text)
}

fn title(gates: &[&StepPath], look: Look) -> String {
    let names: Vec<String> = gates.iter().map(ToString::to_string).collect();
    let (s, let_) = if names.len() == 1 { ("", "lets") } else { ("s", "let") };
    look.paint(Tone::Strong, &format!("What the approval{s} of {} {let_} the run do", names.join(", ")))
}

/// Approvals that were foreseen together.
struct Together<'v> {
    first: &'v Tree,
    gates: Vec<(&'v StepPath, &'v Tree)>,
}

/// The steps behind them; or why they cannot be shown.
fn planned(
    store: &dyn Store,
    head: &Head,
    together: &Together<'_>,
    look: Look,
) -> Result<Result<String, String>, Failure> {
    let mut records = context::records_of(store, &head.run, 0)?;
    let mut show = || -> Result<String, String> {
        let blob = |digest: &str| store.blob(digest).map_err(|error| error.to_string());
        let bundle = Bundle::from_bytes(&blob(&head.bundle)?).map_err(|error| error.to_string())?;
        let program =
            Program::compile(bundle.playbook, bundle.digest, &bundle.modules).map_err(|error| error.to_string())?;
        let mut covered = BTreeSet::new();
        for (_, tree) in &together.gates {
            let bound: Bound = serde_json::from_slice(&blob(&tree.bound)?).map_err(|error| error.to_string())?;
            covered.extend(bound.steps.into_keys());
        }
        let foreseen: Vec<crate::journal::Record> =
            serde_json::from_slice(&blob(&together.first.records)?).map_err(|error| error.to_string())?;
        records.truncate(usize::try_from(together.first.after).unwrap_or(usize::MAX));
        records.extend(foreseen);
        let mut plan = Plan::of(&records, &program).ok_or("its records are of no run")?;
        plan.steps.retain(|step| covered.contains(&step.step));
        Ok(table::steps(&plan, look))
    };
    Ok(show())
}
