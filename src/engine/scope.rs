//! What a run's expressions and scripts see: parameters, outputs of steps, the run itself.

use super::bound::ANY_KEY;
use super::cell::RunCell;
use super::decide::visible;
use super::driver::Inner;
use super::state::RunState;
use crate::model::unknown::{self, Shape, Unknown};
use crate::model::{StepPath, Value};
use crate::script::Scope;

/// What the run's own expressions see, without steps.
#[must_use]
pub fn run_scope(state: &RunState) -> Scope {
    let Some(header) = &state.header else { return Scope::default() };
    Scope {
        params: header.params.clone(),
        steps: Value::Object(serde_json::Map::new()),
        run: serde_json::json!({
            "id": header.run.as_str(),
            "short_id": header.run.short(),
            "playbook": header.playbook,
            "mode": header.mode,
            "started": header.started.to_string(),
        }),
        item: Value::Null,
        key: Value::Null,
    }
}

/// In a plan: whether a `foreach` instance stands for one whose key only the run will know.
pub(super) fn unknown_key(state: &RunState, step: &str, key: &str, item: &Value) -> bool {
    state.expanded_over.contains_key(step) || (key.starts_with(ANY_KEY) && unknown::is_in(item))
}

/// The item and the key of an instance of a `foreach` step; null for any other.
pub(super) fn item_of(state: &RunState, path: &StepPath) -> (Value, Value) {
    let found = path.key().and_then(|key| {
        state.expanded.get(path.step())?.iter().find(|(other, _)| other == key).map(|(_, item)| item.clone())
    });
    match (found, path.key()) {
        (Some(item), Some(key)) if unknown_key(state, path.step(), key, &item) => {
            let source = format!("the key of {path}");
            (item, Unknown::new("it comes from what only the run will know", &source, Shape::Text).to_value())
        }
        (Some(item), Some(key)) => (item, Value::from(key)),
        _ => (Value::Null, Value::Null),
    }
}

impl Inner {
    /// What a step's expressions and scripts see.
    pub(super) fn scope(&self, cell: &RunCell, path: &StepPath) -> Scope {
        let core = cell.core.lock();
        let mut scope = run_scope(&core.state);
        if let Some(step) = cell.program.playbook.step(path.step()) {
            scope.steps = visible(&cell.program, &core.state, step);
        }
        (scope.item, scope.key) = item_of(&core.state, path);
        scope
    }
}
