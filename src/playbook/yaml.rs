//! YAML to a tree in which every node knows its place. Anchors, aliases, tags and several documents in a file are no part of
//! the format: they are refused, and with them every text that grows while it is read. Budgets bound the rest; they are part of
//! the format, and may grow but never shrink, since stored playbooks are read under them too.

use std::cell::Cell;
use std::collections::HashMap;

use saphyr_parser::{Event, Parser, ScalarStyle};

use super::diagnostic::{Collector, Diagnostic};
use crate::model::Value;
use crate::model::span::{Span, Spanned};

/// Bytes of one file.
pub const MAX_FILE: usize = 1 << 20;
/// Bytes of one scalar.
pub const MAX_SCALAR: usize = 256 << 10;
/// Nodes within nodes.
pub const MAX_DEPTH: usize = 64;
/// Nodes of one file.
pub const MAX_NODES: usize = 250_000;

/// A node of the tree.
#[derive(Clone, Debug, PartialEq)]
pub struct Node {
    /// Its place. Of a scalar: its contents, without quotes, block header and indentation of the first line.
    pub span: Span,
    /// What it is.
    pub data: Data,
}

/// What a node is.
#[derive(Clone, Debug, PartialEq)]
pub enum Data {
    /// One value. `value` is a text unless it was written plainly and reads as something else.
    Scalar { text: String, value: Value },
    /// A list.
    List(Vec<Node>),
    /// A map, in the order written, with its keys unique.
    Map(Vec<(Spanned<String>, Node)>),
}

impl Node {
    /// What it is, for messages: `a list`.
    #[must_use]
    pub fn kind(&self) -> &'static str {
        match &self.data {
            Data::List(_) => "a list",
            Data::Map(_) => "a map",
            Data::Scalar { value, .. } => match value {
                Value::Null => "nothing",
                Value::Bool(_) => "a bool",
                Value::Number(_) => "a number",
                _ => "a text",
            },
        }
    }

    /// The plain value.
    #[must_use]
    pub fn value(&self) -> Value {
        match &self.data {
            Data::Scalar { value, .. } => value.clone(),
            Data::List(items) => Value::Array(items.iter().map(Self::value).collect()),
            Data::Map(fields) => {
                Value::Object(fields.iter().map(|(key, item)| (key.value.clone(), item.value())).collect())
            }
        }
    }
}

/// Reads a file. What is wrong goes to the collector; `None` when there is no tree at all.
pub fn parse(bytes: &[u8], source: u16, collector: &mut Collector) -> Option<Node> {
    let text = match check_bytes(bytes, source) {
        Ok(text) => text,
        Err(fault) => {
            collector.push(*fault);
            return None;
        }
    };
    let mut builder = Builder::new(text, source, collector);
    match builder.run() {
        Ok(node) => Some(node),
        Err(fault) => {
            collector.push(*fault);
            None
        }
    }
}

fn check_bytes(bytes: &[u8], source: u16) -> Step<&str> {
    let fault = |code, start, end, message: String, hint: &str| {
        Err(Box::new(Diagnostic::error(code, Span::new(source, start, end), message).hint(hint)))
    };
    if bytes.len() > MAX_FILE {
        let message = format!("the file is larger than {MAX_FILE} bytes");
        return fault("too-large", 0, 0, message, "keep data in files of its own");
    }
    if bytes.starts_with("\u{feff}".as_bytes()) {
        let message = "the file begins with a byte-order mark".to_owned();
        return fault("byte-order-mark", 0, 3, message, "save it as UTF-8 without one");
    }
    match std::str::from_utf8(bytes) {
        Ok(text) => Ok(text),
        Err(error) => {
            let at = error.valid_up_to();
            let byte = bytes.get(at).copied().unwrap_or(0);
            // It is shown on the text with the byte replaced by U+FFFD, which has three bytes.
            fault(
                "not-utf8",
                at,
                at + 3,
                format!("byte {at} is 0x{byte:02x}, which is not UTF-8"),
                "save the file as UTF-8",
            )
        }
    }
}

enum Open {
    List(Vec<Node>),
    Map { fields: Vec<(Spanned<String>, Node)>, seen: HashMap<String, Span>, key: Option<Spanned<String>> },
}

struct Frame {
    open: Open,
    start: usize,
}

struct Builder<'t> {
    text: &'t str,
    source: u16,
    lines: Vec<usize>,
    /// Line, column and byte of the last place that was looked up.
    last: Cell<(usize, usize, usize)>,
    stack: Vec<Frame>,
    nodes: usize,
    collector: &'t mut Collector,
    root: Option<Node>,
}

type Step<T> = Result<T, Box<Diagnostic>>;

impl<'t> Builder<'t> {
    fn new(text: &'t str, source: u16, collector: &'t mut Collector) -> Self {
        let lines = std::iter::once(0).chain(text.match_indices('\n').map(|(n, _)| n + 1)).collect();
        Self { text, source, lines, last: Cell::new((0, 0, 0)), stack: Vec::new(), nodes: 0, collector, root: None }
    }

    /// The parser counts characters; a place is bytes. Counting within the line keeps one line's faults out of the next, and
    /// counting on from the last place keeps a long line from being counted anew for each of its nodes.
    fn byte(&self, marker: saphyr_parser::Marker) -> usize {
        let Some(start) = self.lines.get(marker.line().saturating_sub(1)).copied() else { return self.text.len() };
        let end = self.lines.get(marker.line()).map_or(self.text.len(), |next| next - 1);
        let (line, column, byte) = self.last.get();
        let (from, at) = if line == marker.line() { (byte, column) } else { (start, 0) };
        let place = if marker.col() >= at {
            self.text[from..end].char_indices().nth(marker.col() - at).map_or(end, |(n, _)| from + n)
        } else {
            self.text[start..from].char_indices().rev().nth(at - marker.col() - 1).map_or(start, |(n, _)| start + n)
        };
        // Past the end of the line the column says nothing to count on from.
        if place < end {
            self.last.set((marker.line(), marker.col(), place));
        }
        place
    }

    fn fault(&self, code: &'static str, start: usize, end: usize, message: impl Into<String>) -> Box<Diagnostic> {
        Box::new(Diagnostic::error(code, Span::new(self.source, start, end), message))
    }

    fn run(&mut self) -> Step<Node> {
        let mut parser = Parser::new_from_str(self.text);
        let mut documents = 0;
        while let Some(event) = parser.next_event() {
            let (event, span) = event.map_err(|e| self.syntax(&e))?;
            // Only what begins a node is placed: finding a column costs the length of its line.
            match event {
                Event::DocumentStart(_) => {
                    documents += 1;
                    if documents > 1 {
                        let at = self.byte(span.start);
                        return Err(self.fault(
                            "several-documents",
                            at,
                            at + 3,
                            "there is more than one YAML document",
                        ));
                    }
                }
                Event::Alias(_) => {
                    let (start, end) = (self.byte(span.start), self.byte(span.end));
                    return Err(self.refuse(true, start, end));
                }
                Event::Scalar(text, style, anchor, tag) => {
                    let (start, end) = (self.byte(span.start), self.byte(span.end));
                    if anchor != 0 || tag.is_some() {
                        return Err(self.refuse(anchor != 0, start, end));
                    }
                    self.scalar(&text, style, start, end)?;
                }
                Event::SequenceStart(anchor, tag) => {
                    let start = self.byte(span.start);
                    if anchor != 0 || tag.is_some() {
                        return Err(self.refuse(anchor != 0, start, start + 1));
                    }
                    self.open(Open::List(Vec::new()), start)?;
                }
                Event::MappingStart(anchor, tag) => {
                    let start = self.byte(span.start);
                    if anchor != 0 || tag.is_some() {
                        return Err(self.refuse(anchor != 0, start, start + 1));
                    }
                    self.open(Open::Map { fields: Vec::new(), seen: HashMap::new(), key: None }, start)?;
                }
                Event::SequenceEnd | Event::MappingEnd => {
                    let end = self.byte(span.end);
                    self.close(end)?;
                }
                Event::Nothing | Event::StreamStart | Event::StreamEnd | Event::DocumentEnd => {}
            }
        }
        self.root.take().ok_or_else(|| {
            Box::new(self.fault("empty", 0, 0, "the file is empty").hint("`muster new NAME` writes one to begin with"))
        })
    }

    fn syntax(&self, error: &saphyr_parser::ScanError) -> Box<Diagnostic> {
        let at = self.byte(*error.marker());
        // The parser's own limit for `[[[[…`, which it meets before it has told us of any of them.
        if error.info().contains("recursion limit") {
            let message = format!("this is nested deeper than {MAX_DEPTH} levels");
            return self.fault("too-deep", at, at + 1, message);
        }
        // What is missing at the end is shown at the last thing that is there.
        let last = self.text.trim_end().char_indices().next_back().map_or(0, |(n, _)| n);
        let at = if at > last { last } else { at };
        let mut fault = self.fault("yaml", at, at + 1, format!("this is no YAML: {}", error.info()));
        let line_start = self.text[..at].rfind('\n').map_or(0, |n| n + 1);
        let line = self.text[line_start..].split('\n').next().unwrap_or("");
        let blank = line.len() - line.trim_start().len();
        if let Some(tab) = line[..blank].find('\t') {
            fault.span = Span::new(self.source, line_start + tab, line_start + tab + 1);
            fault.hint = Some("YAML is indented with spaces: replace the tab".to_owned());
        }
        fault
    }

    fn refuse(&self, anchor: bool, start: usize, end: usize) -> Box<Diagnostic> {
        let what = if anchor { "anchors and aliases (`&name`, `*name`)" } else { "tags (`!name`)" };
        let fault = self.fault("no-alias", start, end, format!("{what} are no part of the format"));
        Box::new(fault.hint("write it out, compute it with an expression `${…}`, or put a text in quotes"))
    }

    fn open(&mut self, open: Open, start: usize) -> Step<()> {
        self.refuse_key(start, start + 1)?;
        self.count(start)?;
        if self.stack.len() >= MAX_DEPTH {
            let message = format!("this is nested deeper than {MAX_DEPTH} levels");
            return Err(self.fault("too-deep", start, start + 1, message));
        }
        self.stack.push(Frame { open, start });
        Ok(())
    }

    fn count(&mut self, at: usize) -> Step<()> {
        self.nodes += 1;
        if self.nodes > MAX_NODES {
            return Err(self.fault("too-large", at, at + 1, format!("the file has more than {MAX_NODES} parts")));
        }
        Ok(())
    }

    /// A list or a map cannot be a key.
    fn refuse_key(&self, start: usize, end: usize) -> Step<()> {
        match self.stack.last() {
            Some(Frame { open: Open::Map { key: None, .. }, .. }) => {
                let fault = self.fault("bad-key", start, end, "a key has to be a plain text");
                Err(Box::new(fault.hint("a text that begins with `{`, `[`, `*` or `?` needs quotes")))
            }
            _ => Ok(()),
        }
    }

    fn scalar(&mut self, text: &str, style: ScalarStyle, start: usize, end: usize) -> Step<()> {
        if text.len() > MAX_SCALAR {
            let message = format!("a text of {} bytes; {MAX_SCALAR} are allowed", text.len());
            return Err(self.fault("too-large", start, start + 1, message));
        }
        self.count(start)?;
        let (start, end) = self.contents(text, style, start, end);
        let span = Span::new(self.source, start, end);
        let value = if style == ScalarStyle::Plain { plain(text) } else { Value::from(text) };
        if let Some(Frame { open: Open::Map { key: key @ None, seen, .. }, .. }) = self.stack.last_mut() {
            let fault = if text == "<<" {
                Some(Diagnostic::error("merge-key", span, "YAML merge keys (`<<`) are not used here"))
            } else {
                seen.get(text).map(|first| {
                    Diagnostic::error("duplicate-key", span, format!("key `{}` stands twice in one map", shown(text)))
                        .label("again here")
                        .related(*first, "first here")
                })
            };
            seen.entry(text.to_owned()).or_insert(span);
            *key = Some(Spanned::new(text.to_owned(), span));
            if let Some(fault) = fault {
                self.collector.push(fault);
            }
            return Ok(());
        }
        let node = Node { span, data: Data::Scalar { text: text.to_owned(), value } };
        self.add(node);
        Ok(())
    }

    fn close(&mut self, end: usize) -> Step<()> {
        let Some(frame) = self.stack.pop() else { return Ok(()) };
        // A block ends where the next thing begins; what is shown ends with its own last character.
        let trimmed = self.text[..end.max(frame.start)].trim_end().len().max(frame.start);
        let data = match frame.open {
            Open::List(items) => Data::List(items),
            Open::Map { fields, .. } => Data::Map(fields),
        };
        self.add(Node { span: Span::new(self.source, frame.start, trimmed), data });
        Ok(())
    }

    fn add(&mut self, node: Node) {
        match self.stack.last_mut().map(|frame| &mut frame.open) {
            Some(Open::List(items)) => items.push(node),
            Some(Open::Map { fields, key, .. }) => {
                if let Some(key) = key.take() {
                    fields.push((key, node));
                }
            }
            None => self.root = Some(node),
        }
    }

    /// Where the contents of a scalar begin and end.
    fn contents(&self, text: &str, style: ScalarStyle, start: usize, end: usize) -> (usize, usize) {
        let slice = &self.text[start.min(end)..end];
        match style {
            ScalarStyle::Plain => (start, start + slice.trim_end().len()),
            ScalarStyle::SingleQuoted | ScalarStyle::DoubleQuoted => {
                let quote = if style == ScalarStyle::SingleQuoted { '\'' } else { '"' };
                let open = slice.find(quote).map_or(start, |n| start + n + 1);
                let close = slice.rfind(quote).map_or(end, |n| start + n).max(open);
                (open, close)
            }
            ScalarStyle::Literal | ScalarStyle::Folded => {
                // The header runs to the end of its line; the first line that is not blank tells the indentation.
                let header = slice.find('\n').map_or(end, |n| start + n + 1);
                let body = if slice.starts_with(['|', '>']) { header } else { start };
                let body = self.text[..body].rfind('\n').map_or(0, |n| n + 1);
                let spaces = |line: &str| line.len() - line.trim_start_matches(' ').len();
                let of_source = self.text[body..].split('\n').find(|line| !line.trim().is_empty()).map_or(0, spaces);
                let of_text = text.split('\n').find(|line| !line.trim().is_empty()).map_or(0, spaces);
                let indent = of_source.saturating_sub(of_text);
                let first = self.text[body..].split('\n').next().unwrap_or("");
                let begin = body + indent.min(spaces(first));
                (begin, end.max(begin))
            }
        }
    }
}

/// A text from the user's file, cut to what can be shown in a message.
pub(crate) fn shown(text: &str) -> String {
    if text.chars().count() <= 60 { text.to_owned() } else { text.chars().take(57).chain("...".chars()).collect() }
}

/// What a scalar without quotes is, by YAML's core schema.
#[must_use]
pub fn plain(text: &str) -> Value {
    match text {
        "" | "~" | "null" | "Null" | "NULL" => return Value::Null,
        "true" | "True" | "TRUE" => return Value::Bool(true),
        "false" | "False" | "FALSE" => return Value::Bool(false),
        _ => {}
    }
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if !digits.starts_with(|c: char| c.is_ascii_digit() || c == '.') || text.len() > 40 {
        return Value::from(text);
    }
    let number = match digits.as_bytes() {
        [b'0', b'x', ..] if digits == text => i64::from_str_radix(&digits[2..], 16).ok().map(Value::from),
        [b'0', b'o', ..] if digits == text => i64::from_str_radix(&digits[2..], 8).ok().map(Value::from),
        bytes if bytes.iter().all(u8::is_ascii_digit) => text.parse::<i64>().ok().map(Value::from),
        bytes if bytes.iter().all(|byte| byte.is_ascii_digit() || b".eE+-".contains(byte)) => {
            text.parse::<f64>().ok().and_then(serde_json::Number::from_f64).map(Value::Number)
        }
        _ => None,
    };
    number.unwrap_or_else(|| Value::from(text))
}
