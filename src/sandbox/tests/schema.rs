//! The sandbox answers in the shape that the table declares.

use serde_json::json;

use super::super::models::{Model, models};
use super::*;
use crate::ops::spec::Effect;

/// What of a value does not fit a schema, as far as schemas of the table go.
pub(super) fn misfits(root: &Value, schema: &Value, value: &Value, at: &str) -> Vec<String> {
    if let Some(name) = schema.get("$ref").and_then(Value::as_str) {
        return misfits(root, root.pointer(name.trim_start_matches('#')).unwrap_or(&json!(true)), value, at);
    }
    if let Some(any) = schema.get("anyOf").or_else(|| schema.get("oneOf")).and_then(Value::as_array) {
        let fits = any.iter().any(|one| misfits(root, one, value, at).is_empty());
        return if fits { Vec::new() } else { vec![format!("{at}: {value} fits none of {any:?}")] };
    }
    if let Some(only) = schema.get("enum").and_then(Value::as_array)
        && !only.contains(value)
    {
        return vec![format!("{at}: {value} is none of {only:?}")];
    }
    let types: Vec<&str> = match schema.get("type") {
        Some(Value::String(one)) => vec![one],
        Some(Value::Array(many)) => many.iter().filter_map(Value::as_str).collect(),
        _ => Vec::new(),
    };
    let own = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() || number.is_u64() => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    if !types.is_empty() && !types.contains(&own) {
        return vec![format!("{at}: {value} is no {types:?}")];
    }
    let mut found = Vec::new();
    if let (Some(fields), Some(properties)) = (value.as_object(), schema.get("properties").and_then(Value::as_object)) {
        for name in schema.get("required").and_then(Value::as_array).into_iter().flatten().filter_map(Value::as_str) {
            if !fields.contains_key(name) {
                found.push(format!("{at}: {name} is missing"));
            }
        }
        for (name, value) in fields {
            match properties.get(name) {
                Some(schema) => found.extend(misfits(root, schema, value, &format!("{at}.{name}"))),
                None => found.push(format!("{at}: {name} is not in the table")),
            }
        }
    }
    if let (Some(items), Some(schema)) = (value.as_array(), schema.get("items")) {
        found.extend(items.iter().flat_map(|item| misfits(root, schema, item, at)));
    }
    found
}

pub(super) fn assert_fits(op: &str, result: &Value) {
    let schema = (ops::find(op).unwrap().output_schema)();
    assert_eq!(misfits(&schema, &schema, result, op), Vec::<String>::new(), "{result}");
}

#[test]
fn every_operation_of_the_table_has_a_model_of_its_kind() {
    let families =
        ["fs", "exec", "docker", "pg", "helm", "k8s", "http", "rds", "s3", "secrets", "ecs", "sts", "time", "rand"];
    for (name, entry) in ops::table().iter().filter(|(_, entry)| families.contains(&entry.family())) {
        let fits = matches!(
            (models().get(name), &entry.backend),
            (_, Backend::Engine)
                | (Some(Model::Read(_)), Backend::Read(_))
                | (Some(Model::Wait(_)), Backend::Wait(_))
                | (Some(Model::Write(_)), Backend::Write(_))
        );
        assert!(fits, "{name} ({:?}) has no model of its kind", entry.effect);
    }
    for name in models().keys() {
        assert!(ops::find(name).is_some_and(|entry| entry.effect != Effect::Ask), "{name} is not in the table");
    }
}
