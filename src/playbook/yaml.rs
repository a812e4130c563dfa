//! YAML as a tree in which everything has its place. Anchors, aliases, tags and several documents in a file are no part of
//! the format: they are refused, and with them every text that grows while it is read.

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::diagnostic::{Collector, Diagnostic};
use crate::model::Value;
use crate::model::span::{Span, Spanned};

/// Bytes in one file.
pub const MAX_FILE: usize = 1 << 20;
/// Bytes in one text.
pub const MAX_SCALAR: usize = 256 << 10;
/// Levels of nesting.
pub const MAX_DEPTH: usize = 64;
/// Nodes in one file.
pub const MAX_NODES: usize = 100_000;

/// A part of a YAML text.
#[derive(Clone, Debug, PartialEq)]
pub enum Node {
    /// A text, number, bool or null. `plain` ones are not quoted: only they can be something else than text.
    Scalar { text: String, plain: bool, span: Span },
    /// A list.
    List(Vec<Node>, Span),
    /// A map, in the order written; each key once.
    Map(Vec<(Spanned<String>, Node)>, Span),
}

impl Node {
    /// Its place.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Scalar { span, .. } | Self::List(_, span) | Self::Map(_, span) => *span,
        }
    }

    /// What it is, in words.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match self {
            Self::List(..) => "a list",
            Self::Map(..) => "a map",
            Self::Scalar { .. } => match self.value() {
                Value::Null => "nothing",
                Value::Bool(_) => "true or false",
                Value::Number(_) => "a number",
                _ => "a text",
            },
        }
    }

    /// Its value, by the core schema of YAML 1.2.
    #[must_use]
    pub fn value(&self) -> Value {
        match self {
            Self::Scalar { text, plain, .. } => {
                if !plain {
                    return Value::from(text.as_str());
                }
                match text.as_str() {
                    "" | "~" | "null" | "Null" | "NULL" => Value::Null,
                    "true" | "True" | "TRUE" => Value::Bool(true),
                    "false" | "False" | "FALSE" => Value::Bool(false),
                    other => number(other).unwrap_or_else(|| Value::from(other)),
                }
            }
            Self::List(items, _) => Value::Array(items.iter().map(Self::value).collect()),
            Self::Map(fields, _) => {
                Value::Object(fields.iter().map(|(key, node)| (key.value.clone(), node.value())).collect())
            }
        }
    }
}

fn number(text: &str) -> Option<Value> {
    let digits = text.strip_prefix(['-', '+']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') {
        return None;
    }
    if digits.bytes().all(|b| b.is_ascii_digit()) {
        return text.trim_start_matches('+').parse::<i64>().ok().map(Value::from);
    }
    if digits.bytes().all(|b| b.is_ascii_digit() || matches!(b, b'.' | b'e' | b'E' | b'-' | b'+')) {
        let float: f64 = text.trim_start_matches('+').parse().ok()?;
        return serde_json::Number::from_f64(float).map(Value::Number);
    }
    None
}

/// What is being built.
enum Open {
    List(Vec<Node>, usize),
    Map {
        fields: Vec<(Spanned<String>, Node)>,
        key: Option<Spanned<String>>,
        seen: std::collections::HashMap<String, Span>,
        start: usize,
    },
}

/// Reads a file. What is wrong goes to the collector; `None` when there is no tree at all.
pub fn parse(bytes: &[u8], source: u16, collector: &mut Collector) -> Option<Node> {
    let whole = |end: usize| Span::new(source, 0, end);
    if bytes.len() > MAX_FILE {
        let message = format!("the file has {} bytes; {MAX_FILE} is the most", bytes.len());
        collector.push(Diagnostic::error("too-large", whole(0), message).hint("keep data in files of its own"));
        return None;
    }
    let text = match std::str::from_utf8(bytes) {
        Ok(text) => text,
        Err(error) => {
            let at = error.valid_up_to();
            let message = format!("byte {at} is not UTF-8");
            let span = Span::new(source, 0, 0);
            collector.push(Diagnostic::error("not-utf8", span, message).hint("save the file as UTF-8"));
            return None;
        }
    };
    let text = text.strip_prefix('\u{feff}').map_or(text, |rest| rest);
    let places = Places::of(text, source);
    let mut stack: Vec<Open> = Vec::new();
    let mut root: Option<Node> = None;
    let mut nodes = 0usize;
    let mut documents = 0usize;
    for event in Parser::new_from_str(text) {
        let (event, span) = match event {
            Ok(event) => event,
            Err(error) => {
                let at = places.byte(error.marker().index());
                let message = format!("this is no YAML: {}", error.info());
                collector.push(Diagnostic::error("yaml", Span::new(source, at, at + 1), message));
                return None;
            }
        };
        let (start, end) = (places.byte(span.start.index()), places.byte(span.end.index()));
        let here = Span::new(source, start, end);
        let anchored = matches!(&event, Event::Scalar(_, _, id, _) | Event::SequenceStart(id, _) | Event::MappingStart(id, _) if *id > 0);
        let tagged = matches!(
            &event,
            Event::Scalar(_, _, _, Some(_)) | Event::SequenceStart(_, Some(_)) | Event::MappingStart(_, Some(_))
        );
        if anchored || tagged || matches!(event, Event::Alias(_)) {
            let what = if tagged { "tags (`!name`)" } else { "anchors and aliases (`&name`, `*name`)" };
            collector.push(
                Diagnostic::error("no-alias", here, format!("{what} are no part of the format"))
                    .hint("write it out, or compute it with an expression `${…}`"),
            );
            return None;
        }
        let done = match event {
            Event::DocumentStart(_) => {
                documents += 1;
                if documents > 1 {
                    collector.push(Diagnostic::error(
                        "one-document",
                        here,
                        "a second document begins here; a file holds one",
                    ));
                    return None;
                }
                continue;
            }
            Event::SequenceStart(..) => {
                stack.push(Open::List(Vec::new(), start));
                None
            }
            Event::MappingStart(..) => {
                stack.push(Open::Map { fields: Vec::new(), key: None, seen: Default::default(), start });
                None
            }
            Event::SequenceEnd | Event::MappingEnd => match stack.pop() {
                Some(Open::List(items, from)) => Some(Node::List(items, Span::new(source, from, end.max(from)))),
                Some(Open::Map { fields, start, .. }) => {
                    let last = fields.last().map_or(end, |(_, node)| node.span().end as usize);
                    Some(Node::Map(fields, Span::new(source, start, last)))
                }
                None => None,
            },
            Event::Scalar(content, style, ..) => {
                if content.len() > MAX_SCALAR {
                    let message = format!("this text has {} bytes; {MAX_SCALAR} is the most", content.len());
                    collector.push(Diagnostic::error("too-large", Span::new(source, start, start + 1), message));
                    return None;
                }
                let span = places.scalar(text, style, start, end);
                Some(Node::Scalar { text: content.into_owned(), plain: style == ScalarStyle::Plain, span })
            }
            _ => continue,
        };
        if stack.len() > MAX_DEPTH {
            collector.push(Diagnostic::error(
                "too-deep",
                here,
                format!("this is nested deeper than {MAX_DEPTH} levels"),
            ));
            return None;
        }
        let Some(node) = done else { continue };
        nodes += 1;
        if nodes > MAX_NODES {
            collector.push(Diagnostic::error("too-large", here, format!("the file has more than {MAX_NODES} parts")));
            return None;
        }
        match stack.last_mut() {
            None => root = Some(node),
            Some(Open::List(items, _)) => items.push(node),
            Some(Open::Map { fields, key, seen, .. }) => match key.take() {
                Some(key) => fields.push((key, node)),
                None => {
                    let Node::Scalar { text, span, .. } = node else {
                        collector.push(Diagnostic::error("key", node.span(), "a key is a text"));
                        return None;
                    };
                    if let Some(first) = seen.get(&text) {
                        collector.push(
                            Diagnostic::error("duplicate-key", span, format!("`{text}` stands here a second time"))
                                .related(*first, "the first time"),
                        );
                    } else {
                        seen.insert(text.clone(), span);
                    }
                    *key = Some(Spanned::new(text, span));
                }
            },
        }
    }
    if root.is_none() {
        collector.push(
            Diagnostic::error("empty", whole(0), "the file is empty")
                .hint("`muster new NAME` writes one to begin with"),
        );
    }
    root
}

/// From characters, which the parser counts, to bytes.
struct Places {
    bytes: Option<Vec<u32>>,
    length: usize,
    source: u16,
}

impl Places {
    fn of(text: &str, source: u16) -> Self {
        let bytes = (!text.is_ascii())
            .then(|| text.char_indices().map(|(at, _)| u32::try_from(at).unwrap_or(u32::MAX)).collect());
        Self { bytes, length: text.len(), source }
    }

    fn byte(&self, index: usize) -> usize {
        match &self.bytes {
            None => index.min(self.length),
            Some(bytes) => bytes.get(index).map_or(self.length, |at| *at as usize),
        }
    }

    /// The place of a scalar's content: for a block, from its first line's first letter.
    fn scalar(&self, text: &str, style: ScalarStyle, start: usize, end: usize) -> Span {
        if !matches!(style, ScalarStyle::Literal | ScalarStyle::Folded) {
            return Span::new(self.source, start, end);
        }
        let rest = text.get(start..).unwrap_or("");
        let mut from = start;
        if rest.starts_with(['|', '>']) {
            from += rest.find('\n').map_or(0, |line| line + 1);
        }
        let content = text.get(from..end.max(from)).unwrap_or("");
        let blank = content.len() - content.trim_start_matches([' ', '\n', '\r']).len();
        Span::new(self.source, from + blank, end.max(from + blank))
    }
}
