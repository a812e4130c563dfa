//! Which parameters of a plan are not what the playbook gives by itself, as people write them.

use std::collections::BTreeMap;
use std::time::Duration;

use crate::model::amount::format_duration;
use crate::model::{Timestamp, Value};
use crate::playbook::params;
use crate::playbook::types::{ParamType, Template};
use crate::script::{Program, Scope};

/// Name → value.
pub(super) fn of(program: &Program, values: &Value, started: Timestamp) -> BTreeMap<String, Value> {
    let evaluate = |template: &Template, scope: &Value| -> Result<Value, String> {
        let run = serde_json::json!({ "started": started.to_string() });
        let scope = Scope { params: scope["params"].clone(), run, ..Scope::default() };
        program.template(template, &scope).map_err(|error| error.to_string())
    };
    let mut given = BTreeMap::new();
    for param in &program.playbook.params {
        let name = &param.name.value;
        let Some(value) = values.get(name) else { continue };
        if params::default_of(param, values, &evaluate).as_ref() != Some(value) {
            given.insert(name.clone(), written(&param.kind, value));
        }
    }
    given
}

/// A duration in its unit; all else as it is.
fn written(kind: &ParamType, value: &Value) -> Value {
    match (kind, value.as_u64()) {
        (ParamType::Duration, Some(millis)) => Value::from(format_duration(Duration::from_millis(millis))),
        _ => value.clone(),
    }
}
