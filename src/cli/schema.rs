//! The JSON Schema of the playbook format, for editors: completion, hover texts, red lines while typing.

use serde_json::{Map, json};

use crate::model::Value;
use crate::ops::table;
use crate::playbook::stdlib;

/// The schema. Operations are taken from the table, so that `uses:` is completed.
#[must_use]
pub fn schema() -> Value {
    json!({
        "$schema": "http://json-schema.org/draft-07/schema#",
        "title": "Muster playbook",
        "type": "object",
        "required": ["muster", "name", "version", "steps"],
        "additionalProperties": false,
        "properties": {
            "muster": { "const": 1, "description": "The version of the format." },
            "name": { "$ref": "#/definitions/dashed", "description": "The playbook's name; that of its folder." },
            "version": { "type": "string", "pattern": "^\\d+\\.\\d+\\.\\d+", "description": "A semantic version. A changed playbook gets a new one." },
            "title": { "type": "string", "description": "One line on what it recovers." },
            "doc": { "type": "string", "description": "What who runs it should know." },
            "imports": { "type": "array", "items": { "type": "string", "examples": modules() }, "description": "Rhai modules: stdlib/… or files of the playbook's folder. The last name is the alias." },
            "objectives": object("What the recovery has to achieve.", json!({
                "rto": duration("Recovery time objective."),
                "rpo": duration("Recovery point objective."),
            }), &[]),
            "params": { "type": "object", "propertyNames": { "$ref": "#/definitions/name" }, "additionalProperties": param(), "description": "Typed parameters." },
            "capabilities": { "type": "array", "items": capability(), "description": "What the playbook may do: operations or patterns, limited by their arguments." },
            "secrets": { "type": "array", "items": secret(), "description": "Where secrets stand that output could show: their values are redacted." },
            "parallel": { "type": "integer", "minimum": 1, "default": 8, "description": "Steps at once." },
            "drill": { "type": "object", "description": "What is different when the playbook is drilled." },
            "steps": { "type": "array", "minItems": 1, "items": step(), "description": "The graph, in any order." },
        },
        "definitions": {
            "name": { "type": "string", "pattern": "^[a-z][a-z0-9_]*$", "maxLength": 60 },
            "dashed": { "type": "string", "pattern": "^[a-z][a-z0-9-]*$", "maxLength": 60 },
            "duration": { "type": "string", "examples": ["30s", "90m", "1h30m", "7d"] },
            "expression": { "type": ["string", "boolean", "number"], "description": "Rhai, over params, steps, run, item and key." },
        },
    })
}

fn object(doc: &str, properties: Value, required: &[&str]) -> Value {
    json!({ "type": "object", "additionalProperties": false, "description": doc, "properties": properties, "required": required })
}

fn duration(doc: &str) -> Value {
    json!({ "allOf": [{ "$ref": "#/definitions/duration" }], "description": doc })
}

fn expression(doc: &str) -> Value {
    json!({ "allOf": [{ "$ref": "#/definitions/expression" }], "description": doc })
}

fn text(doc: &str) -> Value {
    json!({ "type": "string", "description": doc })
}

fn param() -> Value {
    let types = ["string", "int", "bool", "duration", "time", "size", "path", "secret", "enum", "list", "map"];
    object(
        "A parameter.",
        json!({
            "type": { "anyOf": [{ "enum": types }, { "type": "string", "pattern": "^(enum|list|map)\\(.+\\)$" }], "description": "list(string), map(int) and enum(a, b) say more than list, map and enum." },
            "doc": text("What it is for."),
            "default": { "description": "A value, or an expression `${…}` over the parameters before it. Without one the parameter has to be given." },
            "matches": text("A glob that the text must match."),
            "values": { "type": "array", "items": { "type": "string" }, "description": "The values of an enum." },
        }),
        &["type"],
    )
}

fn capability() -> Value {
    let patterns: Vec<Value> = operations().into_iter().chain(families()).collect();
    json!({ "anyOf": [
        { "type": "string", "examples": patterns },
        { "type": "object", "minProperties": 1, "maxProperties": 1, "additionalProperties": { "type": "object" },
          "description": "One operation or pattern, with globs that its arguments must match." },
    ] })
}

fn secret() -> Value {
    object(
        "A source of secrets.",
        json!({
            "provider": { "enum": ["dotenv", "file", "env"], "description": "dotenv: values of a .env file; file: a file's contents; env: a variable." },
            "from": text("The file's path, or the variable's name."),
            "keys": { "type": "array", "items": { "type": "string" }, "description": "Of a .env file: only these keys." },
        }),
        &["provider", "from"],
    )
}

fn step() -> Value {
    let uses: Vec<Value> = operations();
    object(
        "A step. Exactly one of uses, script and manual.",
        json!({
            "id": { "$ref": "#/definitions/name" },
            "title": text("One line on what it does."),
            "needs": { "type": "array", "items": { "type": "string" }, "description": "The steps whose results it uses, or that must be over first." },
            "uses": { "type": "string", "examples": uses, "description": "An operation, or a function of a module: stdlib/pg.swap_database." },
            "with": { "type": "object", "description": "The arguments of `uses`. A text may hold `${expression}`s." },
            "script": text("Rhai. Its last value is the step's result."),
            "manual": { "anyOf": [
                text("What a person is to do."),
                object("What a person is to do.", json!({
                    "instructions": text("What to do."),
                    "evidence": text("What to note down as proof."),
                }), &["instructions"]),
            ] },
            "when": expression("The step is skipped if this is false."),
            "foreach": { "anyOf": [
                { "type": ["array", "string"], "description": "One instance an item." },
                object("One instance an item.", json!({
                    "items": { "description": "A list." },
                    "key": expression("Names the instance; unique."),
                    "parallel": { "type": "integer", "minimum": 1, "description": "How many at once." },
                }), &["items"]),
            ] },
            "retry": { "anyOf": [
                { "type": "integer", "minimum": 1, "description": "Attempts in all." },
                object("How a failing step is tried again.", json!({
                    "attempts": { "type": "integer", "minimum": 1, "description": "Attempts in all, the first included." },
                    "delay": duration("Before the second attempt."),
                    "backoff": { "type": "number", "minimum": 1, "maximum": 100, "description": "Multiplies the delay each time." },
                    "max_delay": duration("The longest delay."),
                    "jitter": { "type": "number", "minimum": 0, "maximum": 1, "description": "The fraction of the delay that is random." },
                }), &["attempts"]),
            ] },
            "timeout": duration("For each attempt, without the time people take."),
            "verify": { "anyOf": [
                expression("Must become true; may only read."),
                object("Proof that the step did what it should.", json!({
                    "check": expression("Must become true; may only read."),
                    "within": duration("How long that may take."),
                    "every": duration("How often it is asked."),
                }), &["check"]),
            ] },
            "rollback": text("Rhai that replaces the undos of the step's calls."),
            "approval": object("Who has to agree before the step starts.", json!({
                "by": { "type": "array", "items": { "type": "string" }, "description": "Names or roles; anybody but the starter if empty." },
                "count": { "type": "integer", "minimum": 1, "default": 1 },
            }), &[]),
            "on_failure": { "enum": ["pause", "rollback", "continue"], "default": "pause", "description": "What happens when the step has failed for good." },
            "point_of_no_return": text("Why there is no way back after this step's first effect."),
        }),
        &["id"],
    )
}

fn operations() -> Vec<Value> {
    table().keys().map(|name| Value::from(*name)).collect()
}

fn families() -> Vec<Value> {
    let mut families: Vec<&str> = table().values().map(crate::ops::OpEntry::family).collect();
    families.dedup();
    families.into_iter().map(|family| Value::from(format!("{family}.*"))).collect()
}

fn modules() -> Vec<Value> {
    stdlib::names().map(|name| Value::from(format!("stdlib/{}", name.trim_start_matches("stdlib/")))).collect()
}

/// The keys that a definition of the schema knows: for checks that it agrees with the loader.
#[must_use]
pub fn keys(of: &Value) -> Vec<String> {
    of.get("properties").and_then(Value::as_object).unwrap_or(&Map::new()).keys().cloned().collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::playbook::bundle::Bundle;
    use crate::playbook::shipped;

    #[test]
    fn the_schema_knows_every_key_of_the_shipped_playbooks() {
        let schema = schema();
        let step = &schema["properties"]["steps"]["items"];
        for name in shipped::names() {
            let bundle = Bundle::load(name).unwrap_or_else(|error| panic!("{name}: {error}"));
            let text = &bundle.sources[0].text;
            for line in text.lines() {
                let Some((key, _)) = line.split_once(':') else { continue };
                if key.chars().all(|c| c.is_ascii_lowercase() || c == '_') && !key.is_empty() {
                    assert!(keys(&schema).contains(&key.to_owned()), "{name}: {key}");
                }
                let inner = key.strip_prefix("  - ").or_else(|| key.strip_prefix("    "));
                if let Some(key) = inner.filter(|key| ["id", "needs", "uses", "verify", "foreach"].contains(key)) {
                    assert!(keys(step).contains(&key.to_owned()), "{name}: {key}");
                }
            }
        }
    }
}
