//! A value that only a run will know: why, where it will come from, and what shape it will have.

use std::collections::BTreeMap;
use std::sync::Arc;

use serde_json::{Map, json};

use super::Value;

/// Marks an object that stands for a value which only the run will know: `{"$unknown": why, "source": …, "shape": …}`.
pub const UNKNOWN_KEY: &str = "$unknown";

/// A value that only the run will know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Why: `the server chooses it`.
    pub why: Arc<str>,
    /// Where it will come from, in the words of the playbook: `steps.dump.bytes`. Two unknowns of one source are equal. Texts that
    /// are put together keep their shape: `` `restored-${steps.create.id}` ``.
    pub source: Arc<str>,
    /// What is known of its type.
    pub shape: Shape,
}

/// What is known of the type of a value.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub enum Shape {
    /// Nothing.
    #[default]
    Any,
    /// True or false.
    Bool,
    /// A whole number.
    Int,
    /// A number.
    Number,
    /// A text.
    Text,
    /// A list of these.
    List(Arc<Shape>),
    /// An object with these fields and no others.
    Fields(Arc<BTreeMap<String, Shape>>),
    /// That, or null.
    Maybe(Arc<Shape>),
}

/// How deep schemas are followed.
const DEPTH: usize = 8;

impl Shape {
    /// From a JSON schema; `$ref`s are looked up in the schema itself.
    #[must_use]
    pub fn of_schema(schema: &Value) -> Self {
        schema_shape(schema, schema, DEPTH)
    }

    /// Of a value, as far as other values in its place may be like it.
    #[must_use]
    pub fn of_value(value: &Value) -> Self {
        if let Some(unknown) = Unknown::of(value) {
            return unknown.shape;
        }
        match value {
            Value::Null => Self::Any,
            Value::Bool(_) => Self::Bool,
            Value::Number(number) if number.is_f64() => Self::Number,
            Value::Number(_) => Self::Int,
            Value::String(_) => Self::Text,
            Value::Array(items) => {
                let mut shapes = items.iter().map(Self::of_value);
                let first = shapes.next().unwrap_or_default();
                Self::List(Arc::new(shapes.fold(first, |a, b| a.or(&b))))
            }
            Value::Object(fields) => Self::Fields(Arc::new(
                fields.iter().map(|(name, value)| (name.clone(), Self::of_value(value))).collect(),
            )),
        }
    }

    /// One of two.
    #[must_use]
    pub fn or(self, other: &Self) -> Self {
        match (self, other) {
            (a, b) if a == *b => a,
            (Self::Int, Self::Number) | (Self::Number, Self::Int) => Self::Number,
            (Self::List(a), Self::List(b)) => Self::List(Arc::new(a.as_ref().clone().or(b))),
            (Self::Maybe(a), Self::Maybe(b)) => a.as_ref().clone().or(b).maybe(),
            (Self::Maybe(a), b) => a.as_ref().clone().or(b).maybe(),
            (a, Self::Maybe(b)) => a.or(b).maybe(),
            _ => Self::Any,
        }
    }

    /// This, or null.
    #[must_use]
    pub fn maybe(self) -> Self {
        match self {
            Self::Any | Self::Maybe(_) => self,
            other => Self::Maybe(Arc::new(other)),
        }
    }

    /// Whether it may be null.
    #[must_use]
    pub fn may_be_null(&self) -> bool {
        matches!(self, Self::Any | Self::Maybe(_))
    }

    /// Without the null.
    #[must_use]
    pub fn there(&self) -> &Self {
        match self {
            Self::Maybe(inner) => inner,
            other => other,
        }
    }

    /// The shape of a field; `None` when there is no such field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Self> {
        match self {
            Self::Any => Some(Self::Any),
            Self::Fields(fields) => fields.get(name).cloned(),
            Self::Maybe(inner) => inner.field(name).map(Self::maybe),
            _ => None,
        }
    }

    /// The shape of an item; `None` when it is no list.
    #[must_use]
    pub fn item(&self) -> Option<Self> {
        match self.there() {
            Self::Any => Some(Self::Any),
            Self::List(item) => Some(item.as_ref().clone()),
            _ => None,
        }
    }

    /// Whether a value may have it.
    #[must_use]
    pub fn may_be(&self, value: &Value) -> bool {
        match self {
            Self::Any => true,
            Self::Bool => value.is_boolean(),
            Self::Int => value.is_i64() || value.is_u64(),
            Self::Number => value.is_number(),
            Self::Text => value.is_string(),
            Self::List(item) => value.as_array().is_some_and(|items| items.iter().all(|value| item.may_be(value))),
            // A field that may be missing is in no schema as such.
            Self::Fields(fields) => value.as_object().is_some_and(|value| {
                value
                    .iter()
                    .all(|(name, value)| fields.get(name).is_some_and(|field| value.is_null() || field.may_be(value)))
            }),
            Self::Maybe(inner) => value.is_null() || inner.may_be(value),
        }
    }

    fn to_value(&self) -> Value {
        match self {
            Self::Any => Value::Null,
            Self::Bool => json!("bool"),
            Self::Int => json!("int"),
            Self::Number => json!("number"),
            Self::Text => json!("text"),
            Self::List(item) => json!([item.to_value()]),
            Self::Fields(fields) => {
                Value::Object(fields.iter().map(|(name, shape)| (name.clone(), shape.to_value())).collect())
            }
            Self::Maybe(inner) => json!({ "$maybe": inner.to_value() }),
        }
    }

    fn of_stored(value: &Value) -> Self {
        match value {
            Value::String(name) => match name.as_str() {
                "bool" => Self::Bool,
                "int" => Self::Int,
                "number" => Self::Number,
                "text" => Self::Text,
                _ => Self::Any,
            },
            Value::Array(items) => Self::List(Arc::new(items.first().map(Self::of_stored).unwrap_or_default())),
            Value::Object(fields) => match fields.get("$maybe") {
                Some(inner) => Self::of_stored(inner).maybe(),
                None => Self::Fields(Arc::new(
                    fields.iter().map(|(name, shape)| (name.clone(), Self::of_stored(shape))).collect(),
                )),
            },
            _ => Self::Any,
        }
    }
}

fn schema_shape(schema: &Value, root: &Value, depth: usize) -> Shape {
    if depth == 0 {
        return Shape::Any;
    }
    if let Some(reference) = schema.get("$ref").and_then(Value::as_str) {
        return reference
            .strip_prefix('#')
            .and_then(|pointer| root.pointer(pointer))
            .map_or(Shape::Any, |found| schema_shape(found, root, depth - 1));
    }
    for key in ["anyOf", "oneOf", "allOf"] {
        if let Some(several) = schema.get(key).and_then(Value::as_array) {
            return several
                .iter()
                .map(|one| schema_shape_or_null(one, root, depth - 1))
                .reduce(|a, b| match (a, b) {
                    (None, None) => None,
                    (None, Some(shape)) | (Some(shape), None) => Some(shape.maybe()),
                    (Some(a), Some(b)) => Some(a.or(&b)),
                })
                .flatten()
                .unwrap_or_default();
        }
    }
    let named = |name: &str| match name {
        "boolean" => Shape::Bool,
        "integer" => Shape::Int,
        "number" => Shape::Number,
        "string" => Shape::Text,
        "array" => {
            let item = schema.get("items").map(|items| schema_shape(items, root, depth - 1)).unwrap_or_default();
            Shape::List(Arc::new(item))
        }
        "object" => match (schema.get("properties").and_then(Value::as_object), schema.get("additionalProperties")) {
            (Some(properties), None | Some(Value::Bool(false))) => Shape::Fields(Arc::new(
                properties.iter().map(|(name, field)| (name.clone(), schema_shape(field, root, depth - 1))).collect(),
            )),
            _ => Shape::Any,
        },
        _ => Shape::Any,
    };
    match schema.get("type") {
        Some(Value::String(name)) => named(name),
        Some(Value::Array(names)) => {
            let there: Vec<&str> = names.iter().filter_map(Value::as_str).filter(|name| *name != "null").collect();
            match there.as_slice() {
                [one] if names.len() > 1 => named(one).maybe(),
                [one] => named(one),
                _ => Shape::Any,
            }
        }
        _ if schema.get("enum").and_then(Value::as_array).is_some_and(|all| all.iter().all(Value::is_string)) => {
            Shape::Text
        }
        _ if schema.get("const").is_some_and(Value::is_string) => Shape::Text,
        _ => Shape::Any,
    }
}

/// `None` for the null type alone.
fn schema_shape_or_null(schema: &Value, root: &Value, depth: usize) -> Option<Shape> {
    (schema.get("type").and_then(Value::as_str) != Some("null")).then(|| schema_shape(schema, root, depth))
}

impl Unknown {
    /// From this source.
    #[must_use]
    pub fn new(why: &str, source: &str, shape: Shape) -> Self {
        Self { why: why.into(), source: source.into(), shape }
    }

    /// The unknown that a value stands for, if it does for one. One without a source has its reason for a source.
    #[must_use]
    pub fn of(value: &Value) -> Option<Self> {
        let fields = value.as_object()?;
        let why = fields.get(UNKNOWN_KEY)?.as_str()?;
        let source = fields.get("source").and_then(Value::as_str).unwrap_or(why);
        let shape = fields.get("shape").map(Shape::of_stored).unwrap_or_default();
        Some(Self::new(why, source, shape))
    }

    /// As it is written down.
    #[must_use]
    pub fn to_value(&self) -> Value {
        let mut fields = Map::new();
        fields.insert(UNKNOWN_KEY.to_owned(), Value::from(&*self.why));
        if self.source != self.why {
            fields.insert("source".to_owned(), Value::from(&*self.source));
        }
        if self.shape != Shape::Any {
            fields.insert("shape".to_owned(), self.shape.to_value());
        }
        Value::Object(fields)
    }

    /// Another unknown that follows from this one.
    #[must_use]
    pub fn derived(&self, source: &str, shape: Shape) -> Self {
        Self { why: self.why.clone(), source: source.into(), shape }
    }

    /// A field of it; `None` when it can have no such field.
    #[must_use]
    pub fn field(&self, name: &str) -> Option<Self> {
        self.shape.field(name).map(|shape| self.derived(&field_path(&self.source, name), shape))
    }

    /// Whether it may turn out to be this: of its shape, and, where a text is put together, with the pieces that are known.
    #[must_use]
    pub fn may_be(&self, value: &Value) -> bool {
        if !self.shape.may_be(value) {
            return false;
        }
        let (Some(pieces), Some(text)) = (self.pieces(), value.as_str()) else { return true };
        let Some((first, rest)) = pieces.split_first() else { return true };
        let Some(mut left) = text.strip_prefix(first.as_str()) else { return false };
        let Some((last, between)) = rest.split_last() else { return left.is_empty() };
        for piece in between {
            let Some(at) = left.find(piece.as_str()) else { return false };
            left = &left[at + piece.len()..];
        }
        left.ends_with(last.as_str())
    }

    /// The known pieces of a text that is put together; between them stands what is not known. `None` for any other value.
    fn pieces(&self) -> Option<Vec<String>> {
        let inner = self.source.strip_prefix('`').and_then(|rest| rest.strip_suffix('`'))?;
        let mut pieces = vec![String::new()];
        let mut chars = inner.chars();
        while let Some(c) = chars.next() {
            match c {
                '\\' => pieces.last_mut()?.extend(chars.next()),
                '$' => {
                    // What is not known has its own signs escaped: the first bare bracket ends it.
                    while let Some(c) = chars.next().filter(|c| *c != '}') {
                        if c == '\\' {
                            chars.next();
                        }
                    }
                    pieces.push(String::new());
                }
                // No text that is put together, but something made of several.
                '`' => return None,
                c => pieces.last_mut()?.push(c),
            }
        }
        Some(pieces)
    }

    /// As a person reads it: `(steps.create.id)`, or `restored-(steps.create.id)` for a text that is put together.
    #[must_use]
    pub fn shown(&self) -> String {
        match self.source.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
            Some(inner) => {
                let mut text = String::new();
                let mut chars = inner.chars().peekable();
                while let Some(c) = chars.next() {
                    match c {
                        '\\' => text.extend(chars.next()),
                        '$' if chars.peek() == Some(&'{') => {
                            chars.next();
                            text.push('(');
                        }
                        '}' => text.push(')'),
                        c => text.push(c),
                    }
                }
                text
            }
            None => format!("({})", self.source),
        }
    }
}

/// `steps.dump.bytes`, or `steps.dump["my key"]` for a name that is no identifier.
#[must_use]
pub fn field_path(source: &str, name: &str) -> String {
    let plain = name.starts_with(|c: char| c.is_ascii_alphabetic() || c == '_')
        && name.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
    if plain { format!("{source}.{name}") } else { format!("{source}[{}]", Value::from(name)) }
}

/// Whether a value has a part that only the run will know.
#[must_use]
pub fn is_in(value: &Value) -> bool {
    match value {
        Value::Object(fields) => fields.contains_key(UNKNOWN_KEY) || fields.values().any(is_in),
        Value::Array(items) => items.iter().any(is_in),
        _ => false,
    }
}

/// Names the source of every unknown part of a value anew, after its place below `root`, and gives parts without a shape that of
/// the schema.
#[must_use]
pub fn rooted(value: Value, root: &str, shape: &Shape) -> Value {
    if let Some(unknown) = Unknown::of(&value) {
        let shape = if unknown.shape == Shape::Any { shape.clone() } else { unknown.shape };
        return Unknown { why: unknown.why, source: root.into(), shape }.to_value();
    }
    match value {
        Value::Object(fields) => Value::Object(
            fields
                .into_iter()
                .map(|(name, value)| {
                    let inner = shape.there().field(&name).unwrap_or_default();
                    let value = if is_in(&value) { rooted(value, &field_path(root, &name), &inner) } else { value };
                    (name, value)
                })
                .collect(),
        ),
        Value::Array(items) => {
            let inner = shape.item().unwrap_or_default();
            let items = items.into_iter().enumerate();
            Value::Array(items.map(|(at, value)| rooted(value, &format!("{root}[{at}]"), &inner)).collect())
        }
        value => value,
    }
}

/// A value with its unknown parts shown in words: for comparing, for messages, and as a stand-in of the right type.
#[must_use]
pub fn with_stand_ins(value: &Value) -> Value {
    if let Some(unknown) = Unknown::of(value) {
        return match unknown.shape.there() {
            Shape::Any | Shape::Text | Shape::Fields(_) => Value::from(unknown.shown()),
            Shape::Bool => Value::from(false),
            Shape::Int | Shape::Number => Value::from(1),
            Shape::List(_) => Value::Array(Vec::new()),
            Shape::Maybe(_) => Value::Null,
        };
    }
    match value {
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), with_stand_ins(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(with_stand_ins).collect()),
        value => value.clone(),
    }
}

/// A value for a message: its unknown parts say what they stand for, of whatever type they are.
#[must_use]
pub fn in_words(value: &Value) -> Value {
    if let Some(unknown) = Unknown::of(value) {
        return Value::from(unknown.shown());
    }
    match value {
        Value::Object(fields) => {
            Value::Object(fields.iter().map(|(name, value)| (name.clone(), in_words(value))).collect())
        }
        Value::Array(items) => Value::Array(items.iter().map(in_words).collect()),
        value => value.clone(),
    }
}

/// What several ways of going on have in common: equal parts stay, parts that differ are unknown.
#[must_use]
pub fn joined(values: &[Value], why: &str, root: &str) -> Value {
    let Some((first, rest)) = values.split_first() else { return Value::Null };
    if rest.iter().all(|other| other == first) {
        return first.clone();
    }
    if let Value::Object(fields) = first
        && values.iter().all(|other| {
            other.as_object().is_some_and(|other| {
                other.len() == fields.len()
                    && !other.contains_key(UNKNOWN_KEY)
                    && fields.keys().all(|name| other.contains_key(name))
            })
        })
    {
        let field = |name: &String| {
            let all: Vec<Value> = values.iter().filter_map(|value| value.get(name).cloned()).collect();
            joined(&all, why, &field_path(root, name))
        };
        return Value::Object(fields.keys().map(|name| (name.clone(), field(name))).collect());
    }
    if let Value::Array(items) = first
        && values.iter().all(|other| other.as_array().is_some_and(|other| other.len() == items.len()))
    {
        let item = |at: usize| {
            let all: Vec<Value> = values.iter().filter_map(|value| value.get(at).cloned()).collect();
            joined(&all, why, &format!("{root}[{at}]"))
        };
        return Value::Array((0..items.len()).map(item).collect());
    }
    let null = values.iter().any(Value::is_null);
    let shape = values.iter().filter(|value| !value.is_null()).map(Shape::of_value).reduce(|a, b| a.or(&b));
    let shape = shape.unwrap_or_default();
    Unknown::new(why, root, if null { shape.maybe() } else { shape }).to_value()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_schema_gives_fields_items_and_nulls() {
        let shape = Shape::of_schema(&json!({
            "type": "object",
            "properties": {
                "bytes": {"type": "integer"},
                "name": {"type": ["string", "null"]},
                "files": {"type": "array", "items": {"$ref": "#/$defs/File"}},
                "kind": {"anyOf": [{"$ref": "#/$defs/Kind"}, {"type": "null"}]},
            },
            "$defs": {
                "File": {"type": "object", "properties": {"there": {"type": "boolean"}}},
                "Kind": {"enum": ["a", "b"]},
            },
        }));
        assert_eq!(shape.field("bytes"), Some(Shape::Int));
        assert_eq!(shape.field("name"), Some(Shape::Text.maybe()));
        assert_eq!(shape.field("kind"), Some(Shape::Text.maybe()));
        assert_eq!(shape.field("files").and_then(|files| files.item()?.field("there")), Some(Shape::Bool));
        assert_eq!(shape.field("byte"), None);
    }

    #[test]
    fn an_unknown_survives_being_written_down() {
        let shape = Shape::List(Arc::new(Shape::Fields(Arc::new(
            [("id".to_owned(), Shape::Text.maybe()), ("n".to_owned(), Shape::Any)].into(),
        ))));
        let unknown = Unknown::new("the server chooses it", "steps.create.ids", shape);
        assert_eq!(Unknown::of(&unknown.to_value()), Some(unknown));
    }

    #[test]
    fn what_differs_between_ways_is_unknown_and_what_does_not_stays() {
        let joined = joined(&[json!({"a": 1, "b": [1, true]}), json!({"a": 1, "b": [1, false]})], "why", "steps.x");
        assert_eq!(joined, json!({"a": 1, "b": [1, {"$unknown": "why", "source": "steps.x.b[1]", "shape": "bool"}]}));
    }

    #[test]
    fn a_text_that_is_put_together_is_shown_by_its_shape() {
        let text = Unknown::new("", "`restored-${steps.create.id}\\`x`", Shape::Text);
        assert_eq!(text.shown(), "restored-(steps.create.id)`x");
    }

    #[test]
    fn a_text_that_is_put_together_has_the_pieces_that_are_known() {
        let text = Unknown::new("", "`restored-${steps[\"a\\}\"].id}-of-${b}.db`", Shape::Text);
        for fitting in ["restored-x-of-y.db", "restored--of-.db", "restored-a-of-b-of-c.db"] {
            assert!(text.may_be(&json!(fitting)), "{fitting}");
        }
        for other in
            [json!("restored-x.db"), json!("x-of-y.db"), json!("restored-x-of-y"), json!("restored-of-.db"), json!(1)]
        {
            assert!(!text.may_be(&other), "{other}");
        }
        let whole = Unknown::new("", "`${a}`", Shape::Text);
        assert!(whole.may_be(&json!("")) && whole.may_be(&json!("anything")));
    }

    #[test]
    fn a_value_has_to_be_of_the_shape_that_was_foreseen() {
        let list = Unknown::new("", "x", Shape::List(Arc::new(Shape::Int.maybe())));
        assert!(list.may_be(&json!([1, null])) && list.may_be(&json!([])));
        assert!(!list.may_be(&json!(["1"])) && !list.may_be(&json!({})));
        assert!(Unknown::new("", "x", Shape::Any).may_be(&json!({"a": 1})));
    }
}
