//! Conditions over an object: `status.readyReplicas == spec.replicas && status.conditions[type=Ready].status == "True"`.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::model::Value;

/// Deeper than this no condition is nested.
const DEEPEST: usize = 32;

/// A condition, read.
#[derive(Clone, Debug, PartialEq)]
pub struct Condition {
    text: String,
    root: Node,
}

#[derive(Clone, Debug, PartialEq)]
enum Node {
    Literal(Value),
    Path(Path),
    Not(Box<Node>),
    Or(Box<Node>, Box<Node>),
    And(Box<Node>, Box<Node>),
    /// The right one where the left one is null.
    Else(Box<Node>, Box<Node>),
    Compare(Box<Node>, Operator, Box<Node>),
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Operator {
    Equal,
    Unequal,
    Less,
    AtMost,
    Greater,
    AtLeast,
}

#[derive(Clone, Debug, PartialEq)]
struct Path {
    text: String,
    parts: Vec<Part>,
}

#[derive(Clone, Debug, PartialEq)]
enum Part {
    Field(String),
    At(usize),
    /// The first item of a list of which a field is this.
    Where(String, String),
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Number(serde_json::Number),
    Sign(&'static str),
}

const SIGNS: [&str; 15] = ["&&", "||", "==", "!=", "<=", ">=", "??", "<", ">", "!", "(", ")", "[", "]", "."];

fn tokens(text: &str) -> Result<Vec<(usize, Token)>, String> {
    let mut found = Vec::new();
    let mut rest = text;
    loop {
        rest = rest.trim_start();
        let at = text.len() - rest.len();
        let Some(first) = rest.chars().next() else { return Ok(found) };
        if first == '"' || first == '\'' {
            let inner = rest.get(1..).unwrap_or_default();
            let Some((content, after)) = inner.split_once(first) else {
                return Err(format!("the text that begins at column {} has no end", at + 1));
            };
            found.push((at, Token::Text(content.to_owned())));
            rest = after;
        } else if first.is_ascii_digit() || first == '-' {
            let end = rest.find(|char: char| !(char.is_ascii_digit() || "-.eE+".contains(char))).unwrap_or(rest.len());
            let (number, after) = rest.split_at(end);
            let number =
                serde_json::from_str(number).map_err(|_| format!("`{number}` at column {} is no number", at + 1))?;
            found.push((at, Token::Number(number)));
            rest = after;
        } else if first.is_ascii_alphabetic() || first == '_' || first == '$' {
            let end =
                rest.find(|char: char| !(char.is_ascii_alphanumeric() || "_-$".contains(char))).unwrap_or(rest.len());
            let (word, after) = rest.split_at(end);
            found.push((at, Token::Word(word.to_owned())));
            rest = after;
        } else if let Some(sign) = SIGNS.iter().find(|sign| rest.starts_with(**sign)) {
            found.push((at, Token::Sign(sign)));
            rest = rest.get(sign.len()..).unwrap_or_default();
        } else if let Some(after) = rest.strip_prefix('=') {
            found.push((at, Token::Sign("=")));
            rest = after;
        } else {
            return Err(format!("`{first}` at column {} belongs to no condition", at + 1));
        }
    }
}

struct Reader<'t> {
    tokens: std::iter::Peekable<std::slice::Iter<'t, (usize, Token)>>,
    depth: usize,
}

impl Reader<'_> {
    fn takes(&mut self, wanted: &str) -> bool {
        let is = matches!(self.tokens.peek(), Some((_, Token::Sign(sign))) if *sign == wanted);
        if is {
            self.tokens.next();
        }
        is
    }

    fn expect(&mut self, wanted: &str) -> Result<(), String> {
        if self.takes(wanted) { Ok(()) } else { Err(format!("`{wanted}` is missing {}", self.place())) }
    }

    fn place(&mut self) -> String {
        self.tokens.peek().map_or_else(|| "at the end".to_owned(), |(at, _)| format!("at column {}", at + 1))
    }

    fn either(&mut self) -> Result<Node, String> {
        self.depth += 1;
        if self.depth > DEEPEST {
            return Err("it is nested too deeply".to_owned());
        }
        let mut left = self.both()?;
        while self.takes("||") {
            left = Node::Or(Box::new(left), Box::new(self.both()?));
        }
        self.depth -= 1;
        Ok(left)
    }

    fn both(&mut self) -> Result<Node, String> {
        let mut left = self.compared()?;
        while self.takes("&&") {
            left = Node::And(Box::new(left), Box::new(self.compared()?));
        }
        Ok(left)
    }

    fn compared(&mut self) -> Result<Node, String> {
        let left = self.value()?;
        let operators = [
            ("==", Operator::Equal),
            ("!=", Operator::Unequal),
            ("<=", Operator::AtMost),
            (">=", Operator::AtLeast),
            ("<", Operator::Less),
            (">", Operator::Greater),
        ];
        for (sign, operator) in operators {
            if self.takes(sign) {
                return Ok(Node::Compare(Box::new(left), operator, Box::new(self.value()?)));
            }
        }
        Ok(left)
    }

    fn value(&mut self) -> Result<Node, String> {
        let left = self.one()?;
        if self.takes("??") { Ok(Node::Else(Box::new(left), Box::new(self.one()?))) } else { Ok(left) }
    }

    fn one(&mut self) -> Result<Node, String> {
        if self.takes("(") {
            let inner = self.either()?;
            self.expect(")")?;
            return Ok(inner);
        }
        if self.takes("!") {
            self.depth += 1;
            if self.depth > DEEPEST {
                return Err("it is nested too deeply".to_owned());
            }
            let inner = self.one()?;
            self.depth -= 1;
            return Ok(Node::Not(Box::new(inner)));
        }
        let place = self.place();
        match self.tokens.next() {
            Some((_, Token::Text(text))) => Ok(Node::Literal(Value::String(text.clone()))),
            Some((_, Token::Number(number))) => Ok(Node::Literal(Value::Number(number.clone()))),
            Some((_, Token::Word(word))) => match word.as_str() {
                "true" => Ok(Node::Literal(Value::Bool(true))),
                "false" => Ok(Node::Literal(Value::Bool(false))),
                "null" => Ok(Node::Literal(Value::Null)),
                word => self.path(word).map(Node::Path),
            },
            _ => Err(format!("a path, a text or a number is missing {place}")),
        }
    }

    fn word(&mut self) -> Result<String, String> {
        let place = self.place();
        match self.tokens.next() {
            Some((_, Token::Word(word) | Token::Text(word))) => Ok(word.clone()),
            Some((_, Token::Number(number))) => Ok(number.to_string()),
            _ => Err(format!("a name is missing {place}")),
        }
    }

    fn path(&mut self, first: &str) -> Result<Path, String> {
        let mut path = Path { text: first.to_owned(), parts: vec![Part::Field(first.to_owned())] };
        loop {
            if self.takes(".") {
                let name = self.word()?;
                path.text.push_str(&format!(".{name}"));
                path.parts.push(Part::Field(name));
            } else if self.takes("[") {
                let index = match self.tokens.peek() {
                    Some((_, Token::Number(number))) => number.as_u64().and_then(|at| usize::try_from(at).ok()),
                    _ => None,
                };
                let quoted = matches!(self.tokens.peek(), Some((_, Token::Text(_))));
                let name = self.word()?;
                if self.takes("=") || self.takes("==") {
                    let value = self.word()?;
                    path.text.push_str(&format!("[{name}={value}]"));
                    path.parts.push(Part::Where(name, value));
                } else if let Some(at) = index {
                    path.text.push_str(&format!("[{at}]"));
                    path.parts.push(Part::At(at));
                } else if quoted {
                    path.text.push_str(&format!("[\"{name}\"]"));
                    path.parts.push(Part::Field(name));
                } else {
                    return Err(format!("`=` is missing {}: [type=Ready], [0] or [\"a.b/c\"]", self.place()));
                }
                self.expect("]")?;
            } else {
                return Ok(path);
            }
        }
    }
}

impl Path {
    fn of<'v>(&self, object: &'v Value) -> &'v Value {
        static NULL: Value = Value::Null;
        self.parts.iter().fold(object, |place, part| {
            let next = match part {
                Part::Field(name) => place.get(name),
                Part::At(at) => place.get(*at),
                Part::Where(name, wanted) => place.as_array().and_then(|items| {
                    items.iter().find(|item| match &item[name.as_str()] {
                        Value::String(text) => text == wanted,
                        other => serde_json::to_string(other).is_ok_and(|text| text == *wanted),
                    })
                }),
            };
            next.unwrap_or(&NULL)
        })
    }
}

fn number(value: &Value) -> Option<f64> {
    value.as_f64()
}

impl Node {
    fn of(&self, object: &Value) -> Value {
        match self {
            Self::Literal(value) => value.clone(),
            Self::Path(path) => path.of(object).clone(),
            Self::Not(inner) => Value::Bool(!inner.holds(object)),
            Self::Or(left, right) => Value::Bool(left.holds(object) || right.holds(object)),
            Self::And(left, right) => Value::Bool(left.holds(object) && right.holds(object)),
            Self::Else(left, right) => match left.of(object) {
                Value::Null => right.of(object),
                value => value,
            },
            Self::Compare(left, operator, right) => {
                let (left, right) = (left.of(object), right.of(object));
                let order = match (&left, &right) {
                    (Value::String(left), Value::String(right)) => Some(left.cmp(right)),
                    _ => number(&left).zip(number(&right)).and_then(|(left, right)| left.partial_cmp(&right)),
                };
                let equal = order.map_or(left == right, std::cmp::Ordering::is_eq);
                Value::Bool(match operator {
                    Operator::Equal => equal,
                    Operator::Unequal => !equal,
                    Operator::Less => order.is_some_and(std::cmp::Ordering::is_lt),
                    Operator::AtMost => order.is_some_and(std::cmp::Ordering::is_le),
                    Operator::Greater => order.is_some_and(std::cmp::Ordering::is_gt),
                    Operator::AtLeast => order.is_some_and(std::cmp::Ordering::is_ge),
                })
            }
        }
    }

    fn holds(&self, object: &Value) -> bool {
        match self.of(object) {
            Value::Bool(so) => so,
            Value::Null => false,
            // A field that is there.
            _ => true,
        }
    }

    fn paths<'n>(&'n self, found: &mut Vec<&'n Path>) {
        match self {
            Self::Literal(_) => {}
            Self::Path(path) => found.push(path),
            Self::Not(inner) => inner.paths(found),
            Self::Or(left, right)
            | Self::And(left, right)
            | Self::Else(left, right)
            | Self::Compare(left, _, right) => {
                left.paths(found);
                right.paths(found);
            }
        }
    }
}

impl Condition {
    /// Reads one.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn parse(text: &str) -> Result<Self, String> {
        let wrong = |what: String| format!("`{text}` is no condition: {what}");
        let tokens = tokens(text).map_err(wrong)?;
        let mut reader = Reader { tokens: tokens.iter().peekable(), depth: 0 };
        let root = reader.either().map_err(wrong)?;
        if reader.tokens.peek().is_some() {
            return Err(wrong(format!("it goes on {} where it should end", reader.place())));
        }
        Ok(Self { text: text.to_owned(), root })
    }

    /// Whether it holds for an object. What is not there is null.
    #[must_use]
    pub fn holds(&self, object: &Value) -> bool {
        self.root.holds(object)
    }

    /// What it looks at, as it is: `status.readyReplicas is 1, spec.replicas is 3`.
    #[must_use]
    pub fn seen(&self, object: &Value) -> String {
        let mut paths = Vec::new();
        self.root.paths(&mut paths);
        let mut told: Vec<String> = Vec::new();
        for path in paths {
            let value = match path.of(object) {
                Value::Null => "absent".to_owned(),
                Value::String(text) => text.clone(),
                Value::Array(items) => format!("a list of {}", items.len()),
                Value::Object(_) => "there".to_owned(),
                other => other.to_string(),
            };
            let one = format!("{} is {value}", path.text);
            if !told.contains(&one) {
                told.push(one);
            }
        }
        told.join(", ")
    }
}

impl<'de> Deserialize<'de> for Condition {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        Self::parse(&String::deserialize(deserializer)?).map_err(de::Error::custom)
    }
}

impl Serialize for Condition {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl JsonSchema for Condition {
    fn schema_name() -> Cow<'static, str> {
        "Condition".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "string",
            "description": "a condition over an object: paths like `status.conditions[type=Ready].status`, texts, numbers, `== != < <= > >= && || ! ??` and parentheses",
        })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::json;

    use super::*;

    fn object() -> Value {
        json!({
            "metadata": { "annotations": { "a.b/c": "x" }, "generation": 3 },
            "spec": { "replicas": 3 },
            "status": {
                "readyReplicas": 3, "phase": "Running", "done": false,
                "conditions": [{ "type": "Available", "status": "False" }, { "type": "Ready", "status": "True" }],
            },
        })
    }

    #[test]
    fn a_condition_is_told_by_what_the_object_holds() {
        for (text, so) in [
            ("status.readyReplicas == spec.replicas", true),
            ("status.conditions[type=Ready].status == \"True\"", true),
            ("status.conditions[type=Available].status == 'True'", false),
            ("status.conditions[0].type == \"Available\" && metadata.generation >= 3", true),
            ("metadata.annotations[\"a.b/c\"] == \"x\"", true),
            ("status.replicas == null && (status.replicas ?? 0) == 0", true),
            ("status.replicas == 0", false),
            ("!status.done", true),
            ("status.phase", true),
            ("status.phase == \"Pending\" || status.phase == \"Running\"", true),
            ("status.readyReplicas < 2.5", false),
            ("status.phase < 3", false),
            ("nothing.at.all", false),
        ] {
            assert_eq!(Condition::parse(text).unwrap().holds(&object()), so, "{text}");
        }
    }

    #[test]
    fn progress_tells_what_the_condition_looks_at() {
        let condition =
            Condition::parse("status.readyReplicas == spec.replicas && status.x && status.readyReplicas > 0").unwrap();
        assert_eq!(condition.seen(&object()), "status.readyReplicas is 3, spec.replicas is 3, status.x is absent");
    }

    #[test]
    fn what_is_no_condition_is_refused_with_its_place() {
        for (text, part) in [
            ("", "missing at the end"),
            ("status.", "a name is missing"),
            ("status.a == ", "at the end"),
            ("a b", "column 3"),
            ("a[type]", "`=` is missing"),
            ("(a", "`)` is missing"),
            ("a == \"x", "has no end"),
            ("a = 1", "goes on at column 3"),
            ("a # b", "`#` at column 3"),
        ] {
            let why = Condition::parse(text).unwrap_err();
            assert!(why.contains(part), "{text}: {why}");
        }
        let deep = format!("{}a{}", "(".repeat(10_000), ")".repeat(10_000));
        assert!(Condition::parse(&deep).unwrap_err().contains("too deeply"));
    }

    proptest! {
        #[test]
        fn no_text_makes_the_reader_fall_over(text in "[a-c.\\[\\]()!&|=<>?\"'0-9 \u{e9}-]{0,40}") {
            if let Ok(condition) = Condition::parse(&text) {
                let _ = condition.holds(&object());
            }
        }
    }
}
