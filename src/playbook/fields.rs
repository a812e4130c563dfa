//! Reading maps of the tree field by field: unknown keys, missing keys and wrong types become diagnostics, and reading goes on.
//!
//! There are two kinds of faults. Those of the *format* say that a text cannot be understood: they refuse it always. Those of the
//! *author's rules* say that it should be written otherwise, such as names that are too long: they refuse what is new, and never
//! what is stored already, since a run is pinned to its bundle and a later program must still carry it on. A fault of the rules
//! goes through [`Reader::rule`], and the value is kept as it is.

use std::collections::BTreeMap;
use std::time::Duration;

use super::diagnostic::{Collector, Diagnostic, likely};
use super::gaps::Gaps;
use super::template;
use super::types::Template;
use super::yaml::{Data, Node, shown};
use crate::model::Value;
use crate::model::amount::parse_duration;
use crate::model::span::{Span, Spanned};

/// The fields of one map that are known, with the places of their keys.
pub(crate) struct Fields<'n> {
    /// The map's place.
    pub span: Span,
    /// What the map is, for messages: `step`.
    pub what: &'static str,
    found: BTreeMap<&'static str, (Span, &'n Node)>,
}

impl<'n> Fields<'n> {
    /// The field, if it is there and not nothing.
    pub fn get(&self, key: &str) -> Option<&'n Node> {
        self.found.get(key).map(|(_, node)| *node)
    }

    /// The keys in whose values one of these faults stands.
    pub fn faulty(&self, faults: &[Diagnostic]) -> Vec<&'static str> {
        let within = |fault: &Diagnostic, key: Span, node: &Node| {
            let place = fault.span;
            place.source == key.source && place.start >= key.start && place.start <= node.span.end
        };
        let faulty = |(key, node): &(Span, &Node)| faults.iter().any(|fault| within(fault, *key, node));
        self.found.iter().filter(|(_, at)| faulty(at)).map(|(name, _)| *name).collect()
    }

    /// The place of a field's key; of the map when the field is not there.
    pub fn key_span(&self, key: &str) -> Span {
        self.found.get(key).map_or(self.span, |(span, _)| *span)
    }
}

/// Reads nodes and collects what is wrong with them.
pub(crate) struct Reader<'t> {
    /// The text of the file.
    pub text: &'t str,
    /// What was wrong so far.
    pub faults: &'t mut Collector,
    /// What could not be read so far.
    pub gaps: Gaps,
    /// Whether the text was accepted before, by this program or an earlier one.
    pub stored: bool,
}

impl Reader<'_> {
    /// Says that what can be understood should be written otherwise. Not said of a text that was accepted before.
    pub fn rule(&mut self, fault: Diagnostic) {
        if !self.stored {
            self.faults.push(fault);
        }
    }

    /// Says that a node is not what was expected.
    pub fn wrong(&mut self, node: &Node, expected: &str) {
        let mut fault =
            Diagnostic::error("wrong-type", node.span, format!("expected {expected}, found {}", node.kind()))
                .label(format!("this is {}", node.kind()));
        match &node.data {
            Data::Scalar { value, text } if !value.is_string() && !value.is_null() && expected.contains("text") => {
                fault = fault.hint(format!("put it in quotes: \"{}\"", shown(text)));
            }
            Data::Scalar { value: Value::String(text), .. } if expected.contains("bool") => {
                if let "yes" | "on" | "y" | "no" | "off" | "n" = text.to_lowercase().as_str() {
                    fault = fault.hint("write `true` or `false`");
                }
            }
            Data::Map(_) if !expected.contains("map") && self.is_flow_of_template(node) => {
                fault = fault.hint("an expression needs quotes: \"${…}\"");
            }
            _ => {}
        }
        self.faults.push(fault);
    }

    /// Whether `${x}` without quotes was read as something else.
    fn is_flow_of_template(&self, node: &Node) -> bool {
        let start = node.span.start as usize;
        start > 0 && self.text.as_bytes().get(start - 1) == Some(&b'$')
    }

    /// The known fields of a map; `None` (and a diagnostic) when the node is none.
    pub fn fields<'n>(&mut self, node: &'n Node, what: &'static str, known: &[&'static str]) -> Option<Fields<'n>> {
        let Data::Map(entries) = &node.data else {
            self.wrong(node, &format!("a map ({what})"));
            return None;
        };
        let mut found = BTreeMap::new();
        let mut unknown = Vec::new();
        for (key, value) in entries {
            match known.iter().find(|name| **name == key.value) {
                Some(name) => {
                    let nothing = matches!(&value.data, Data::Scalar { value: Value::Null, .. });
                    if nothing && *name != "default" {
                        let message = format!("`{name}` of the {what} is empty");
                        self.rule(
                            Diagnostic::error("empty", key.span, message).hint("give it a value, or leave it out"),
                        );
                    } else {
                        found.insert(*name, (key.span, value));
                    }
                }
                None => {
                    let message = format!("unknown key `{}` in the {what}", shown(&key.value));
                    let fault = Diagnostic::error("unknown-key", key.span, message).label("unknown");
                    let nothing = matches!(&value.data, Data::Scalar { value: Value::Null, .. });
                    // `{ doc: one, two }`: the comma ended the text.
                    self.faults.push(if nothing && key.value.contains(' ') {
                        fault.hint("within `{ … }` a text with a comma needs quotes")
                    } else {
                        fault.likely(&key.value, known.iter().copied())
                    });
                    unknown.push((key, value));
                }
            }
        }
        // A key that is misspelt is read as what it was meant to be, so that what stands in it is checked as well.
        for (key, value) in unknown {
            let meant =
                likely(&key.value, known.iter().copied()).and_then(|name| known.iter().find(|one| **one == name));
            if let Some(name) = meant.filter(|name| !entries.iter().any(|(other, _)| other.value == **name)) {
                found.entry(*name).or_insert((key.span, value));
            } else {
                self.gaps.text = true;
            }
        }
        Some(Fields { span: node.span, what, found })
    }

    /// The field, or a diagnostic that it is missing.
    pub fn required<'n>(&mut self, fields: &Fields<'n>, key: &'static str) -> Option<&'n Node> {
        let found = fields.get(key);
        if found.is_none() && !fields.found.contains_key(key) {
            let message = format!("the {} has no `{key}`", fields.what);
            let end = (fields.span.start as usize + 1).min(fields.span.end as usize);
            let span = Span::new(fields.span.source, fields.span.start as usize, end);
            self.faults.push(Diagnostic::error("missing-key", span, message).label(format!("`{key}` is missing")));
        }
        found
    }

    /// A text with its place.
    pub fn text(&mut self, node: &Node) -> Option<Spanned<String>> {
        match &node.data {
            Data::Scalar { value: Value::String(text), .. } => Some(Spanned::new(text.clone(), node.span)),
            _ => {
                self.wrong(node, "a text");
                None
            }
        }
    }

    /// A text that is there and not empty.
    pub fn some_text(&mut self, node: &Node) -> Option<Spanned<String>> {
        let text = self.text(node)?;
        if text.value.trim().is_empty() {
            self.rule(Diagnostic::error("empty", node.span, "this text is empty"));
        }
        Some(text)
    }

    /// The text of an optional field, without the blanks around it.
    pub fn prose(&mut self, fields: &Fields<'_>, key: &str) -> String {
        fields.get(key).and_then(|node| self.text(node)).map(|text| text.value.trim().to_owned()).unwrap_or_default()
    }

    /// A whole number within bounds.
    pub fn whole(&mut self, node: &Node, low: u32, high: u32) -> Option<u32> {
        let found = match &node.data {
            Data::Scalar { value, .. } => value.as_i64(),
            _ => None,
        };
        let Some(found) = found else {
            self.wrong(node, "a whole number");
            return None;
        };
        match u32::try_from(found) {
            Ok(number) if (low..=high).contains(&number) => Some(number),
            // Of a stored text, only what can be counted is taken.
            Ok(number) if self.stored => Some(number),
            _ => {
                let message = format!("{found} is out of range: {low} to {high}");
                self.faults.push(Diagnostic::error("out-of-range", node.span, message));
                None
            }
        }
    }

    /// A number within bounds.
    pub fn number(&mut self, node: &Node, low: f64, high: f64) -> Option<f64> {
        let found = match &node.data {
            Data::Scalar { value, .. } => value.as_f64(),
            _ => None,
        };
        match found {
            Some(number) if self.stored || (low..=high).contains(&number) => Some(number),
            Some(number) => {
                let message = format!("{number} is out of range: {low} to {high}");
                self.faults.push(Diagnostic::error("out-of-range", node.span, message));
                None
            }
            None => {
                self.wrong(node, "a number");
                None
            }
        }
    }

    /// A duration: `90m`.
    pub fn duration(&mut self, node: &Node) -> Option<Duration> {
        let Data::Scalar { text, value } = &node.data else {
            self.wrong(node, "a duration");
            return None;
        };
        match parse_duration(text) {
            Ok(duration) => Some(duration),
            Err(e) => {
                let mut fault = Diagnostic::error("bad-duration", node.span, e.to_string());
                if value.is_number() {
                    fault = fault.hint(format!("add the unit: `{text}s` or `{text}m`"));
                }
                self.faults.push(fault);
                None
            }
        }
    }

    /// A list's items; a single text stands for a list of one where `lone` says so.
    pub fn items<'n>(&mut self, node: &'n Node, what: &str, lone: bool) -> &'n [Node] {
        match &node.data {
            Data::List(items) => items,
            Data::Scalar { value: Value::String(_), .. } if lone => std::slice::from_ref(node),
            _ => {
                self.wrong(node, what);
                &[]
            }
        }
    }

    /// A list of texts.
    pub fn texts(&mut self, node: &Node, lone: bool) -> Vec<Spanned<String>> {
        self.items(node, "a list of texts", lone).iter().filter_map(|item| self.some_text(item)).collect()
    }

    /// A value with expressions.
    pub fn template(&mut self, node: &Node) -> Template {
        let text = self.text;
        let faults = &mut *self.faults;
        template::of_node(node, text, &mut |fault| faults.push(fault))
    }

    /// An expression, with or without `${}` around it; `true`, `false` and numbers are expressions too.
    pub fn expr(&mut self, node: &Node) -> Option<Spanned<String>> {
        match &node.data {
            Data::Scalar { text, value } if !value.is_null() && !text.trim().is_empty() => {
                Some(template::bare(text, node.span, self.text))
            }
            _ => {
                self.wrong(node, "an expression");
                None
            }
        }
    }

    /// A script: as it is, since its places are counted in the user's own lines.
    pub fn script(&mut self, node: &Node) -> Option<Spanned<String>> {
        match &node.data {
            Data::Scalar { text, value } if !value.is_null() && !text.trim().is_empty() => {
                Some(Spanned::new(text.to_string(), node.span))
            }
            Data::Scalar { text, .. } => {
                self.rule(Diagnostic::error("empty", node.span, "this script is empty"));
                Some(Spanned::new(text.to_string(), node.span))
            }
            _ => {
                self.wrong(node, "a script (text)");
                None
            }
        }
    }
}
