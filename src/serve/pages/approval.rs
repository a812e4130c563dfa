//! What an approval lets a run do: the effects behind it, as they were foreseen with the question, each with what it changes.

use std::collections::{BTreeSet, HashMap};
use std::sync::{Arc, LazyLock};

use maud::{Markup, html};
use parking_lot::Mutex;
use similar::TextDiff;

use super::known;
use super::run::Live;
use crate::engine::bound::Bound;
use crate::evidence::view::StepState;
use crate::evidence::{brief, when};
use crate::journal::Record;
use crate::model::forecast::{Change, Tree};
use crate::model::{StepPath, Value};
use crate::plan::{Plan, PlannedUndo};
use crate::playbook::bundle::Bundle;
use crate::script::Program;
use crate::serve::call::Call;

/// How many plans are kept ready, by digest: what a digest names never changes.
const MOST: usize = 64;
/// How many lines of a change are shown.
const LINES: usize = 80;

/// A plan; or why it cannot be told.
type Ready = Arc<Result<Plan, String>>;

static READY: LazyLock<Mutex<HashMap<String, Ready>>> = LazyLock::new(Mutex::default);

/// What is asked, of whom, and what it would let the run do.
pub fn about(call: &Call, live: &Live, step: &StepPath) -> Markup {
    let Some(view) = live.view.find(step) else { return Markup::default() };
    let StepState::Approval { given, needed, by, digest, tree, unforeseen } = &view.state else {
        return Markup::default();
    };
    html! {
        @if !view.title.is_empty() { p { (view.title) } }
        dl.pairs {
            dt { "Started by" } dd { (live.starter()) }
            dt { "Given" } dd { (given.len()) " of " (needed) @for one in given { ", by " (one.by) @if let Some(until) = one.valid_until { " (until " (when::both(until, live.now)) ")" } } }
            dt { "May be given by" } dd { @if by.is_empty() { "anybody but who started it" } @else { (by.join(", ")) } }
            @if let Some(long) = live.bundle.as_ref().and_then(|bundle| bundle.playbook.step(step.step())?.approval.as_ref()?.valid_for) {
                dt { "Counts for" } dd { (when::coarse(long)) " at most, and until the step begins" }
            }
            dt { "It is of" } dd { code { (digest.get(..16).unwrap_or(digest)) } }
        }
        @match (tree, unforeseen) {
            (Some(tree), _) => (foreseen(call, live, tree)),
            (None, Some(why)) => p.text-warn { "What it lets the run do could not be foreseen: " (why) ". The approval is of the playbook, its parameters, its targets and the results so far." },
            (None, None) => {},
        }
    }
}

fn foreseen(call: &Call, live: &Live, tree: &Tree) -> Markup {
    let key = tree.records.clone();
    let ready = READY.lock().get(&key).map(Arc::clone);
    let plan = ready.unwrap_or_else(|| {
        let plan = Arc::new(planned(call, live, tree));
        let mut all = READY.lock();
        if all.len() >= MOST {
            all.clear();
        }
        all.insert(key, Arc::clone(&plan));
        plan
    });
    let effects = match tree.effects {
        0 => "Without any effect, it lets the run go on up to the next approval.".to_owned(),
        1 => "It lets the run do this one effect and no other, up to the next approval:".to_owned(),
        many => format!("It lets the run do these {many} effects and no others, up to the next approval:"),
    };
    html! {
        p { b { (effects) } }
        @match plan.as_ref() {
            Ok(plan) => (effects_of(plan)),
            Err(why) => p.text-warn { "They cannot be shown: " (why) },
        }
        p.soft.small { "Anything else stops the run before it is done." }
    }
}

/// The steps behind an approval; or why they cannot be told.
fn planned(call: &Call, live: &Live, tree: &Tree) -> Result<Plan, String> {
    let store = call.store();
    let blob = |digest: &str| store.blob(digest).map_err(|error| error.to_string());
    let bundle = Bundle::from_bytes(&blob(&live.head.bundle)?).map_err(|error| error.to_string())?;
    let program =
        Program::compile(bundle.playbook, bundle.digest, &bundle.modules).map_err(|error| error.to_string())?;
    let bound: Bound = serde_json::from_slice(&blob(&tree.bound)?).map_err(|error| error.to_string())?;
    let covered: BTreeSet<StepPath> = bound.steps.into_keys().collect();
    let foreseen: Vec<Record> = serde_json::from_slice(&blob(&tree.records)?).map_err(|error| error.to_string())?;
    let mut records = known::records(&call.server, &live.head.run).map_err(|problem| problem.detail)?;
    records.truncate(usize::try_from(tree.after).unwrap_or(usize::MAX));
    records.extend(foreseen);
    let mut plan = Plan::of(&records, &program).ok_or("its records are of no run")?;
    plan.steps.retain(|step| covered.contains(&step.step));
    Ok(plan)
}

/// The effects of a plan's steps, each with what it changes and how it would be undone.
pub fn effects_of(plan: &Plan) -> Markup {
    html! {
        @for step in &plan.steps {
            @let effects: Vec<_> = step.calls.iter().filter(|call| call.writes).collect();
            @if !effects.is_empty() {
                div.panel {
                    h3 { (step.step) @if !step.title.is_empty() { " " span.soft { (step.title) } } }
                    @if let Some(why) = &step.point_of_no_return { p.text-bad { "No way back after this: " (why) } }
                    @for effect in effects {
                        p { b { (effect.op) } " " code { (effect.resource) } " " span.soft { (brief::args(&effect.args)) } }
                        @if let Some(refused) = &effect.refused { p.text-bad { "As things are it would be refused: " (refused) } }
                        @for change in &effect.changes { (changed(change)) }
                        @match &effect.undo {
                            Some(PlannedUndo::Impossible { why }) => p.text-warn.small { "Cannot be undone: " (why) },
                            Some(PlannedUndo::Call { op, .. }) => p.soft.small { "Undone by " (op) },
                            Some(PlannedUndo::Step) => p.soft.small { "Undone by the step's own rollback" },
                            Some(PlannedUndo::Nothing) | None => {},
                        }
                    }
                }
            }
        }
    }
}

fn changed(change: &Change) -> Markup {
    let text = |value: &Value| match value {
        Value::Null => String::new(),
        Value::String(text) => text.clone(),
        other => serde_json::to_string_pretty(other).unwrap_or_default(),
    };
    let (before, after) = (text(&change.before), text(&change.after));
    let diff = TextDiff::from_lines(&before, &after);
    html! {
        details {
            summary { code { (change.resource) } " " span.soft { @if change.before.is_null() { "is made" } @else if change.after.is_null() { "is gone" } @else { "changes" } } }
            (super::diff::lines(&diff.unified_diff().context_radius(2).to_string(), LINES))
        }
    }
}
