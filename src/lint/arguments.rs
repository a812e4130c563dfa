//! Checks what an operation is given against the schema of its arguments.

use super::given::{Given, GivenMap};
use crate::model::Value;
use crate::model::span::Span;
use crate::ops::OpEntry;
use crate::playbook::diagnostic::{Diagnostic, likely};

/// The names of an operation's arguments.
#[must_use]
pub fn names(op: &OpEntry) -> Vec<String> {
    property_names(&(op.args_schema)())
}

/// The one argument that has to be given, when there is one only: a script may give it alone.
#[must_use]
pub fn only_required(schema: &Value) -> Option<String> {
    match required(schema).as_slice() {
        [name] => Some((*name).to_owned()),
        _ => None,
    }
}

/// Everything that is wrong with what `op` is given. `call` is the place of the call.
#[must_use]
pub fn check(op: &OpEntry, given: &Given<Span>, call: Span) -> Vec<Diagnostic> {
    let schema = (op.args_schema)();
    let mut check = Check { op, root: &schema, found: Vec::new() };
    let whole;
    let map = match given {
        Given::Unknown(_) => return Vec::new(),
        Given::Map(map) => map,
        // `host::log::info("text")`.
        other => match only_required(&schema) {
            Some(name) => {
                whole = GivenMap { fields: vec![(name, other.at(), other.clone())], at: other.at() };
                &whole
            }
            None => {
                let names = property_names(&schema);
                let takes =
                    if names.is_empty() { "nothing".to_owned() } else { format!("a map of {}", names.join(", ")) };
                return vec![
                    Diagnostic::error("argument-type", other.at(), format!("{} takes {takes}", op.name))
                        .label("not a map")
                        .hint(reference(op)),
                ];
            }
        },
    };
    check.map(&schema, map, "", call);
    if check.found.is_empty()
        && let Some(Err(message)) = Given::Map(map.clone()).value().map(|value| (op.check_args)(&value))
    {
        let place = if map.fields.is_empty() { call } else { map.at };
        check.found.push(
            Diagnostic::error("argument-value", place, format!("arguments of {} do not fit: {message}", op.name))
                .label("given here")
                .hint(reference(op)),
        );
    }
    check.found
}

/// What shows an operation's arguments.
#[must_use]
pub fn reference(op: &OpEntry) -> String {
    format!("`muster ops {}` shows what it takes", op.name)
}

struct Check<'c> {
    op: &'c OpEntry,
    root: &'c Value,
    found: Vec<Diagnostic>,
}

impl<'c> Check<'c> {
    /// `path` ends in a dot where it is not empty.
    fn map(&mut self, schema: &'c Value, map: &GivenMap<Span>, path: &str, whole: Span) {
        let names = property_names(schema);
        let closed = schema.get("additionalProperties") == Some(&Value::Bool(false));
        for (name, at, item) in &map.fields {
            match schema.get("properties").and_then(|properties| properties.get(name)) {
                Some(property) => self.item(property, item, &format!("{path}{name}")),
                None if closed => {
                    let message = format!("{} has no argument `{path}{name}`", self.op.name);
                    let diagnostic = Diagnostic::error("unknown-argument", *at, message).label("no such argument");
                    self.found.push(match likely(name, names.iter().map(String::as_str)) {
                        Some(name) => diagnostic.hint(format!("did you mean `{name}`?")),
                        None if names.is_empty() => diagnostic.hint("it takes nothing"),
                        None => diagnostic.hint(format!("it takes {}", names.join(", "))),
                    });
                }
                None => {}
            }
        }
        for name in required(schema) {
            if !map.fields.iter().any(|(given, ..)| given == name) {
                let about = schema
                    .get("properties")
                    .and_then(|properties| properties.get(name)?.get("description")?.as_str())
                    .map(|doc| doc.lines().next().unwrap_or(doc).to_owned());
                let diagnostic = Diagnostic::error(
                    "missing-argument",
                    whole,
                    format!("{} needs the argument `{path}{name}`", self.op.name),
                )
                .label(format!("`{name}` is not given"));
                self.found.push(match about {
                    Some(about) => diagnostic.hint(format!("`{name}`: {about}")),
                    None => diagnostic.hint(reference(self.op)),
                });
            }
        }
    }

    fn item(&mut self, schema: &'c Value, given: &Given<Span>, path: &str) {
        let root = self.root;
        let Some(schema) = resolve(root, schema, 8) else { return };
        let kinds: Vec<&str> = match schema.get("type") {
            Some(Value::String(kind)) => vec![kind],
            Some(Value::Array(kinds)) => kinds.iter().filter_map(Value::as_str).collect(),
            _ => Vec::new(),
        };
        let fits = kinds.is_empty()
            || match given {
                Given::Unknown(_) => true,
                Given::Literal(value, _) => kinds.iter().any(|kind| is_kind(value, kind)),
                Given::Text(_) => kinds.contains(&"string"),
                Given::List(..) => kinds.contains(&"array"),
                Given::Map(_) => kinds.contains(&"object"),
            };
        if !fits {
            let wanted: Vec<&str> = kinds.iter().filter(|kind| **kind != "null").map(|kind| in_words(kind)).collect();
            let message = format!("`{path}` of {} takes {}", self.op.name, wanted.join(" or "));
            self.found.push(
                Diagnostic::error("argument-type", given.at(), message)
                    .label(format!("this is {}", kind_of(given)))
                    .hint(match given {
                        // `mode: 0700` is a number to YAML.
                        Given::Literal(Value::Number(_) | Value::Bool(_), _) if kinds.contains(&"string") => {
                            "put it in quotes".to_owned()
                        }
                        _ => reference(self.op),
                    }),
            );
            return;
        }
        match given {
            Given::Map(map) => self.map(schema, map, &format!("{path}."), map.at),
            Given::List(items, _) => {
                if let Some(each) = schema.get("items") {
                    for (index, item) in items.iter().enumerate() {
                        self.item(each, item, &format!("{path}[{index}]"));
                    }
                }
            }
            _ => {}
        }
    }
}

/// The schema behind references, when there is no choice between several.
fn resolve<'s>(root: &'s Value, schema: &'s Value, depth: usize) -> Option<&'s Value> {
    let depth = depth.checked_sub(1)?;
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return resolve(root, root.pointer(reference.strip_prefix('#')?)?, depth);
    }
    for choice in ["anyOf", "oneOf"] {
        if let Some(alternatives) = schema.get(choice).and_then(Value::as_array) {
            let mut real = alternatives.iter().filter(|one| one.get("type").and_then(Value::as_str) != Some("null"));
            return match (real.next(), real.next()) {
                // It may be null as well: then only maps and lists are looked into.
                (Some(one), None) => resolve(root, one, depth).filter(|one| one.get("properties").is_some()),
                _ => None,
            };
        }
    }
    schema.is_object().then_some(schema)
}

fn property_names(schema: &Value) -> Vec<String> {
    let properties = schema.get("properties").and_then(Value::as_object);
    properties.map(|properties| properties.keys().cloned().collect()).unwrap_or_default()
}

fn required(schema: &Value) -> Vec<&str> {
    let names = schema.get("required").and_then(Value::as_array);
    names.map(|names| names.iter().filter_map(Value::as_str).collect()).unwrap_or_default()
}

fn is_kind(value: &Value, kind: &str) -> bool {
    match kind {
        "null" => value.is_null(),
        "boolean" => value.is_boolean(),
        "integer" => value.is_i64() || value.is_u64(),
        "number" => value.is_number(),
        "string" => value.is_string(),
        "array" => value.is_array(),
        "object" => value.is_object(),
        _ => true,
    }
}

fn in_words(kind: &str) -> &str {
    match kind {
        "boolean" => "true or false",
        "integer" => "a whole number",
        "number" => "a number",
        "string" => "a text",
        "array" => "a list",
        "object" => "a map",
        other => other,
    }
}

fn kind_of(given: &Given<Span>) -> &'static str {
    match given {
        Given::Literal(Value::Null, _) => "nothing",
        Given::Literal(Value::Bool(_), _) => "true or false",
        Given::Literal(Value::Number(_), _) => "a number",
        Given::Literal(Value::String(_), _) | Given::Text(_) => "a text",
        Given::Literal(Value::Array(_), _) | Given::List(..) => "a list",
        Given::Literal(Value::Object(_), _) | Given::Map(_) => "a map",
        Given::Unknown(_) => "something else",
    }
}
