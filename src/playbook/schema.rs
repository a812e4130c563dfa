//! The JSON Schema of the playbook format, for editors. What it refuses, the loader refuses too; the loader knows more.

use serde_json::{Map, json};

use super::load::{DRILL_KEYS, DRILL_LIMIT_KEYS, KEYS, MAX_STEPS, PARAM_KEYS, SECRET_KEYS, SECRET_PROVIDERS};
use super::load_check::{CHECK_KEYS, MAX_CHECKS};
use super::load_step::{
    APPROVAL_KEYS, FOREACH_KEYS, MANUAL_KEYS, MAX_ATTEMPTS, ON_FAILURE, RETRY_KEYS, STEP_KEYS, VERIFY_KEYS,
};
use super::names::MAX_NAME;
use super::types::ParamType;
use crate::model::Value;

/// The first line of a playbook, by which editors with a YAML language server find the schema.
pub const MODELINE: &str = "# yaml-language-server: $schema=";

/// The schema. `operations` are the names that `uses` and capabilities may begin with: editors complete them.
pub fn schema<'o>(operations: impl IntoIterator<Item = &'o str>) -> Value {
    let operations: Vec<&str> = operations.into_iter().collect();
    json!({
        "$schema": "https://json-schema.org/draft/2020-12/schema",
        "title": "Muster playbook",
        "description": "A disaster-recovery playbook of format 1.",
        "$defs": {
            "words": { "type": "string", "pattern": r"\S" },
            "list_of_words": { "type": "array", "items": { "$ref": "#/$defs/words" } },
            "one_or_more_words": { "anyOf": [{ "$ref": "#/$defs/words" }, { "$ref": "#/$defs/list_of_words" }] },
            "identifier": {
                "type": "string",
                "pattern": "^[a-z][a-z0-9_]*$",
                "maxLength": MAX_NAME,
            },
            "duration": {
                "type": "string",
                "pattern": r"^\s*([0-9.]+(ms|s|min|m|h|d|w)\s*)+$",
                "description": "250ms, 30s, 90m, 1h30m or 7d",
            },
            "expression": {
                "description": "A Rhai expression over params, steps, run, item and key",
                "anyOf": [{ "$ref": "#/$defs/words" }, { "type": ["boolean", "number"] }],
            },
            "script": {
                "description": "Rhai",
                "anyOf": [{ "$ref": "#/$defs/words" }, { "type": ["boolean", "number"] }],
            },
            "operation": {
                "anyOf": [
                    { "enum": operations },
                    { "$ref": "#/$defs/words" },
                ],
            },
            "param": param(),
            "step": step(),
        },
        "type": "object",
        "additionalProperties": false,
        "required": ["muster", "name", "version", "title", "steps"],
        "properties": described(&KEYS, |key| match key {
            "muster" => json!({ "const": 1, "description": "The version of the format" }),
            "name" => json!({ "type": "string", "pattern": "^[a-z][a-z0-9-]*$", "maxLength": 64 }),
            "version" => json!({
                "type": "string",
                "pattern": r"^\d+\.\d+\.\d+([-+][0-9A-Za-z.+-]+)?$",
                "description": "Semantic version: counts up when the content changes",
            }),
            "title" => reference("words", "What it recovers, in one line"),
            "doc" => json!({ "type": "string", "description": "More about it" }),
            "imports" => json!({
                "type": "array",
                "description": "Modules: stdlib/pg, or a file of the playbook's folder without its ending",
                "items": { "type": "string", "pattern": "(^|/)[a-z][a-z0-9_]*$" },
            }),
            "objectives" => object(&["rto", "rpo"], &[], |key| match key {
                "rto" => reference("duration", "Recovery time objective"),
                _ => reference("duration", "Recovery point objective"),
            }),
            "params" => json!({
                "type": "object",
                "propertyNames": { "$ref": "#/$defs/identifier" },
                "additionalProperties": { "$ref": "#/$defs/param" },
            }),
            "capabilities" => json!({
                "type": "array",
                "description": "The operations that the playbook may call, scoped by what their arguments must match",
                "items": { "anyOf": [
                    { "$ref": "#/$defs/operation" },
                    {
                        "type": "object",
                        "minProperties": 1,
                        "maxProperties": 1,
                        "additionalProperties": { "type": "object" },
                    },
                ] },
            }),
            "secrets" => json!({
                "type": "array",
                "description": "Where secrets stand whose values are redacted from all output",
                "items": secret(),
            }),
            "checks" => json!({
                "type": "array",
                "description": "Whether it would work now: `muster check` and every plan ask",
                "maxItems": MAX_CHECKS,
                "items": check(),
            }),
            "parallel" => json!({ "type": "integer", "minimum": 1, "maximum": 1000, "description": "Steps at once" }),
            "steps" => json!({
                "type": "array",
                "minItems": 1,
                "maxItems": MAX_STEPS,
                "items": { "$ref": "#/$defs/step" },
            }),
            _ => drill(),
        }),
    })
}

fn param() -> Value {
    object(&PARAM_KEYS, &["type"], |key| match key {
        "type" => json!({
            "type": "string",
            "pattern": r"^\s*(string|int|bool|duration|time|size|path|secret|(enum|list|map)\s*(\(.*\))?)\s*$",
            "description": format!("One of {}; also list(int), map(string), enum(a|b)", ParamType::NAMES.join(", ")),
        }),
        "doc" => json!({ "type": "string", "description": "What it is, for those who have to give it" }),
        "default" => json!({ "description": "Its value when none is given; `${…}` over the parameters before it" }),
        "matches" => reference("words", "A glob that the text must match"),
        _ => reference("list_of_words", "The values of an enum"),
    })
}

fn check() -> Value {
    let mut check = object(&CHECK_KEYS, &["id"], |key| match key {
        "id" => reference("identifier", "Its name"),
        "title" => json!({ "type": "string", "description": "What is asked, in one line" }),
        "check" => reference("script", "Reads; gives true or false, or #{ ok, found, hint }"),
        "recovery_point" => reference("script", "Reads; gives the time of the newest recovery point"),
        "max_age" => reference("duration", "How old that may be; the playbook's RPO when not said"),
        "hint" => json!({ "type": "string", "description": "What to do when it does not hold" }),
        _ => reference("duration", "Longer than this, and it has failed; 30s when not said"),
    });
    check["oneOf"] = json!([{ "required": ["check"] }, { "required": ["recovery_point"] }]);
    check["dependentRequired"] = json!({ "max_age": ["recovery_point"] });
    check
}

fn secret() -> Value {
    let mut secret = object(&SECRET_KEYS, &[], |key| match key {
        "keys" => reference("list_of_words", "Only these keys of the file"),
        "env" => json!({ "description": "A variable of the environment" }),
        "file" => json!({ "description": "A file whose whole contents are secret" }),
        _ => json!({ "description": "A file of lines KEY=value" }),
    });
    secret["oneOf"] = SECRET_PROVIDERS.iter().map(|name| json!({ "required": [name] })).collect();
    secret
}

fn drill() -> Value {
    object(&DRILL_KEYS, &[], |key| match key {
        "params" => json!({ "type": "object", "description": "Parameters that a drill sets" }),
        "skip" => reference("list_of_words", "Steps that a drill leaves out"),
        "shared" => {
            json!({ "type": "array", "description": "What a drill may touch although it did not make it: globs of resources" })
        }
        "proof" => {
            reference("one_or_more_words", "The steps whose end proves the recovery; the last one when not said")
        }
        "none" => reference("words", "Why the playbook cannot be drilled; nothing else stands here then"),
        "limits" => object(&DRILL_LIMIT_KEYS, &[], |key| match key {
            "time" => reference("duration", "How long it may take until it is torn down"),
            _ => json!({
                "type": "object",
                "description": "How many things may be made, by operation: `rds.*: 1`",
                "additionalProperties": { "type": "integer", "minimum": 0, "maximum": 10_000 },
            }),
        }),
        _ => json!({
            "type": "object",
            "description": "What is measured at the end; `rpo`: when the newest recovered data were written, or their age",
            "additionalProperties": { "$ref": "#/$defs/expression" },
        }),
    })
}

fn step() -> Value {
    let mut step = object(&STEP_KEYS, &["id"], |key| match key {
        "id" => reference("identifier", "Its name: scripts say steps.NAME"),
        "title" => json!({ "type": "string", "description": "What it does, in one line" }),
        "needs" => reference("one_or_more_words", "The steps that come before it"),
        "uses" => reference("operation", "An operation (pg.dump) or a function of a module (stdlib/pg.swap)"),
        "with" => json!({ "type": "object", "description": "The arguments of `uses`" }),
        "script" => reference("script", "What it does; its last value is the step's result"),
        "manual" => json!({
            "description": "A person does it",
            "anyOf": [
                { "$ref": "#/$defs/words" },
                object(&MANUAL_KEYS, &["instructions"], |key| match key {
                    "instructions" => reference("words", "What to do"),
                    _ => reference("words", "What shows that it was done"),
                }),
            ],
        }),
        "when" => reference("expression", "The step is skipped when this is false"),
        "foreach" => json!({
            "description": "One instance of the step for each item",
            "anyOf": [
                { "type": "string", "pattern": r"\$\{" },
                { "type": "array" },
                object(&FOREACH_KEYS, &["items"], |key| match key {
                    "items" => json!({ "anyOf": [{ "type": "string", "pattern": r"\$\{" }, { "type": "array" }] }),
                    "key" => reference("expression", "What tells the items apart"),
                    _ => json!({ "type": "integer", "minimum": 1, "maximum": 1000, "description": "Instances at once" }),
                }),
            ],
        }),
        "retry" => json!({
            "description": "Attempts in all, or how they are made",
            "anyOf": [attempts(), retry()],
        }),
        "timeout" => reference("duration", "For each attempt"),
        "verify" => json!({
            "description": "Reads, and has to become true",
            "anyOf": [
                { "$ref": "#/$defs/script" },
                object(&VERIFY_KEYS, &["check"], |key| match key {
                    "check" => reference("script", "Has to become true"),
                    "within" => reference("duration", "How long that may take"),
                    _ => reference("duration", "How often it is asked"),
                }),
            ],
        }),
        "rollback" => reference("script", "Replaces the undos of the step's calls"),
        "approval" => object(&APPROVAL_KEYS, &[], |key| match key {
            "by" => reference("one_or_more_words", "Who has to agree: names or roles"),
            "valid_for" => {
                reference("duration", "How long an approval counts at most, if the step does not begin before")
            }
            _ => json!({ "type": "integer", "minimum": 1, "maximum": 20, "description": "How many of them" }),
        }),
        "on_failure" => json!({ "enum": ON_FAILURE, "description": "What happens when it has failed for good" }),
        _ => reference("words", "Why there is no way back after this step"),
    });
    step["oneOf"] = json!([{ "required": ["uses"] }, { "required": ["script"] }, { "required": ["manual"] }]);
    step["dependentRequired"] = json!({ "with": ["uses"] });
    step
}

fn retry() -> Value {
    object(&RETRY_KEYS, &["attempts"], |key| match key {
        "attempts" => attempts(),
        "delay" => reference("duration", "Before the second attempt"),
        "backoff" => json!({ "type": "number", "minimum": 1, "maximum": 100, "description": "Multiplies the delay" }),
        "max_delay" => reference("duration", "The longest delay"),
        _ => json!({ "type": "number", "minimum": 0, "maximum": 1, "description": "The part of it that is random" }),
    })
}

fn attempts() -> Value {
    json!({ "type": "integer", "minimum": 1, "maximum": MAX_ATTEMPTS, "description": "Attempts in all" })
}

pub(super) fn reference(name: &str, description: &str) -> Value {
    json!({ "$ref": format!("#/$defs/{name}"), "description": description })
}

pub(super) fn object(keys: &[&str], required: &[&str], of: impl Fn(&str) -> Value) -> Value {
    json!({
        "type": "object",
        "additionalProperties": false,
        "required": required,
        "properties": described(keys, of),
    })
}

/// The loader's own list of keys, so that none is known to one of both only.
pub(super) fn described(keys: &[&str], of: impl Fn(&str) -> Value) -> Value {
    Value::Object(keys.iter().map(|key| ((*key).to_owned(), of(key))).collect::<Map<_, _>>())
}
