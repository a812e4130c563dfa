//! The JSON Schema of `tests/*.yaml`, for editors. What it refuses, the loader refuses too; the loader knows more.

use serde_json::json;

use super::load_expect::{
    CALLS_KEYS, CONTAINER_WORDS, EXPECT_KEYS, FILE_FACTS, PAUSE_WORDS, PLAN_KEYS, STEP_WORDS, WORLD_KEYS,
};
use super::load_trial::{CHANGE_KEYS, FAIL_KEYS, FILE_KEYS, KILL_KEYS, ORDER_KEYS, ORDERS, REMOVE_KEYS, TRIAL_KEYS};
use super::schema::{object, reference};
use super::trial::HOWS;
use crate::model::Value;
use crate::model::status::RunStatus;

/// The schema. `operations` are the names that calls can have.
pub fn schema<'o>(operations: impl IntoIterator<Item = &'o str>) -> Value {
    let operations: Vec<&str> = operations.into_iter().collect();
    let mut schema = object(&FILE_KEYS, &["muster_tests", "tests"], |key| match key {
        "muster_tests" => json!({ "const": 1, "description": "The version of the format" }),
        "tests" => json!({ "type": "array", "items": { "$ref": "#/$defs/test" } }),
        other => common(other),
    });
    schema["$schema"] = json!("https://json-schema.org/draft/2020-12/schema");
    schema["title"] = json!("Tests of a Muster playbook");
    schema["$defs"] = json!({
        "words": { "type": "string", "pattern": r"\S" },
        "one_or_more_words": { "anyOf": [
            { "$ref": "#/$defs/words" },
            { "type": "array", "items": { "$ref": "#/$defs/words" } },
        ] },
        "duration": { "type": "string", "pattern": r"^\s*([0-9.]+(ms|s|min|m|h|d|w)\s*)+$" },
        "size": { "type": ["integer", "string"] },
        "operation": { "enum": operations },
        "call": { "anyOf": [
            { "$ref": "#/$defs/operation" },
            {
                "type": "object",
                "minProperties": 1,
                "maxProperties": 1,
                "additionalProperties": { "type": "object" },
            },
        ] },
        "calls": { "anyOf": [{ "type": "array", "items": { "$ref": "#/$defs/call" } }, calls()] },
        "change": change(),
        "fail": fail(),
        "kill": kill(),
        "order": order(),
        "test": test(),
    });
    schema
}

/// What a file says for all its tests.
fn common(key: &str) -> Value {
    match key {
        "world" => reference("words", "The world's file, in the playbook's folder; world.yaml if not given"),
        "change" => reference("change", "What is different in that world"),
        _ => json!({ "type": "object", "description": "Parameters, over the world's examples" }),
    }
}

fn one_or_more(name: &str, description: &str) -> Value {
    let one = json!({ "$ref": format!("#/$defs/{name}") });
    json!({ "description": description, "anyOf": [one, { "type": "array", "items": one }] })
}

fn test() -> Value {
    object(&TRIAL_KEYS, &["name", "expect"], |key| match key {
        "name" => reference("words", "What it shows"),
        "answers" => json!({
            "description": "What people say: `yes` to everything, or by step",
            "anyOf": [{ "const": "yes" }, { "const": true }, { "type": "object", "additionalProperties": { "anyOf": [
                { "enum": ["approve", "reject", "confirm", "done"] },
                object(&["reject", "answer", "done"], &[], |_| json!({})),
            ] } }],
        }),
        "fail" => one_or_more("fail", "Calls that fail"),
        "kill" => one_or_more("kill", "Where the engine is stopped and started again"),
        "then" => one_or_more("order", "Orders, one at each pause that no answer ends"),
        "expect" => expect(),
        other => common(other),
    })
}

fn change() -> Value {
    object(&CHANGE_KEYS, &[], |key| match key {
        "set" => json!({ "type": "object", "description": "Laid over the world's file" }),
        "remove" => object(&REMOVE_KEYS, &[], |_| json!({ "$ref": "#/$defs/one_or_more_words" })),
        _ => json!({
            "type": "object",
            "description": "Files that are damaged after they were summed",
            "additionalProperties": { "anyOf": [
                { "const": "flip" },
                object(&["cut", "text"], &[], |key| match key {
                    "cut" => reference("size", "So much of it is left"),
                    _ => json!({ "type": "string", "description": "This text instead" }),
                }),
            ] },
        }),
    })
}

fn fail() -> Value {
    let hows: Vec<&str> = HOWS.iter().map(|(word, _)| *word).collect();
    let mut fail = object(&FAIL_KEYS, &[], |key| match key {
        "op" => reference("operation", "Only calls of this operation"),
        "step" => reference("words", "Only effects of this step"),
        "use" => json!({
            "description": "Which of them, counted from 1; the first if not given",
            "anyOf": [
                { "type": "integer", "minimum": 1, "maximum": 100_000 },
                { "type": "array", "items": { "type": "integer", "minimum": 1, "maximum": 100_000 } },
                { "const": "every" },
            ],
        }),
        "how" => json!({ "enum": hows, "description": "How it fails; refused if not given" }),
        _ => reference("words", "What the error says"),
    });
    fail["anyOf"] = json!([{ "required": ["op"] }, { "required": ["step"] }]);
    fail
}

fn kill() -> Value {
    let mut kill = object(&KILL_KEYS, &[], |key| match key {
        "at" => json!({ "enum": ["before", "half", "after"] }),
        _ => json!({ "type": "integer", "minimum": 1, "maximum": 1_000_000 }),
    });
    kill["anyOf"] = json!([{ "required": ["effect"] }, { "required": ["record"] }]);
    kill
}

fn order() -> Value {
    let keys: Vec<&str> = ORDERS.into_iter().chain(ORDER_KEYS).collect();
    json!({ "anyOf": [
        { "enum": ["rollback", "skip_undo", "cancel", "resume"] },
        object(&keys, &[], |_| json!({})),
    ] })
}

fn calls() -> Value {
    object(&CALLS_KEYS, &[], |key| match key {
        "none" => reference("one_or_more_words", "None of these operations"),
        "count" => json!({ "type": "integer", "minimum": 0, "description": "So many" }),
        "only" => one_or_more("call", "These and no others, in this order"),
        _ => one_or_more("call", "These, in this order, whatever is between them"),
    })
}

fn expect() -> Value {
    let statuses: Vec<&str> = RunStatus::ALL.iter().map(|status| status.as_str()).collect();
    object(&EXPECT_KEYS, &[], |key| match key {
        "exit" => {
            json!({ "type": "integer", "minimum": 0, "maximum": 255, "description": "What `muster run` exits with" })
        }
        "status" => json!({ "enum": statuses }),
        "steps" => json!({ "type": "object", "additionalProperties": { "enum": STEP_WORDS } }),
        "effects" => reference("calls", "Effects that are sent, without undos"),
        "undos" => reference("calls", "Undos that are sent"),
        "pauses" => {
            let pause = json!({ "anyOf": [
                { "enum": PAUSE_WORDS },
                { "type": "object", "propertyNames": { "enum": PAUSE_WORDS }, "minProperties": 1, "maxProperties": 1 },
            ] });
            json!({ "description": "What people are waited for", "anyOf": [pause, { "type": "array", "items": pause }] })
        }
        "outputs" => json!({ "type": "object", "description": "Results of steps" }),
        "errors" => reference("one_or_more_words", "Parts of what errors of steps say"),
        "log" => reference("one_or_more_words", "Parts of what the run logs"),
        "world" => world(),
        "plan" => plan(),
        _ => reference("duration", "The longest it may take, in the sandbox's time"),
    })
}

fn world() -> Value {
    let map = |value: Value| json!({ "type": "object", "additionalProperties": value });
    let presence = json!({ "enum": ["exists", "absent"] });
    object(&WORLD_KEYS, &[], |key| match key {
        "unchanged" => json!({
            "description": "As it was, but for these parts",
            "anyOf": [
                { "const": true },
                object(&["but"], &["but"], |_| reference("one_or_more_words", "Globs over what `world show --diff` names")),
            ],
        }),
        "files" => map(json!({ "anyOf": [presence.clone(), object(&FILE_FACTS, &[], |key| match key {
            "bytes" => reference("size", "Its length"),
            _ => json!({ "type": "string" }),
        })] })),
        "containers" => map(json!({ "enum": CONTAINER_WORDS })),
        "resources" => map(json!({ "anyOf": [presence.clone(), { "type": "object" }] })),
        "databases" => map(json!({ "anyOf": [presence.clone(), object(&["rows"], &["rows"], |_| json!({
            "type": "object",
            "additionalProperties": { "type": "integer", "minimum": 0 },
        }))] })),
        _ => map(presence.clone()),
    })
}

fn plan() -> Value {
    object(&PLAN_KEYS, &[], |key| match key {
        "effects" => json!({ "type": "integer", "minimum": 0 }),
        "coverage" => json!({ "type": "integer", "minimum": 0, "maximum": 100, "description": "At least, in percent" }),
        "within" => reference("duration", "The longest it may foresee"),
        _ => reference("one_or_more_words", "All of them"),
    })
}
