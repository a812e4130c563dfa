//! `${ expression }` in the texts of a playbook: finding them, and what can be known of a template without evaluating it.

use super::diagnostic::Diagnostic;
use super::text::Alignment;
use super::types::{Template, TextPart};
use super::yaml::{Data, Node};
use crate::model::Value;
use crate::model::span::{Span, Spanned};

/// A piece of a text: plain, or the range of an expression without its braces.
#[derive(Clone, Debug, PartialEq, Eq)]
enum Piece {
    Plain(String),
    Expr(usize, usize),
}

/// Cuts a text at its `${ … }`. `$${` stands for a `${` that is none.
///
/// # Errors
/// The place of a `${` that is not closed.
fn pieces(text: &str) -> Result<Vec<Piece>, usize> {
    let mut found = Vec::new();
    let mut plain = String::new();
    let mut at = 0;
    while let Some(n) = text[at..].find("${") {
        let dollar = at + n;
        if text[at..dollar].ends_with('$') {
            plain.push_str(&text[at..dollar - 1]);
            plain.push_str("${");
            at = dollar + 2;
            continue;
        }
        plain.push_str(&text[at..dollar]);
        if !plain.is_empty() {
            found.push(Piece::Plain(std::mem::take(&mut plain)));
        }
        let close = closing(text.as_bytes(), dollar + 2).ok_or(dollar)?;
        found.push(Piece::Expr(dollar + 2, close));
        at = close + 1;
    }
    plain.push_str(&text[at..]);
    if !plain.is_empty() {
        found.push(Piece::Plain(plain));
    }
    Ok(found)
}

/// The brace that closes the one before `at`; braces within braces, texts, characters and comments of the expression do not.
fn closing(bytes: &[u8], mut at: usize) -> Option<usize> {
    // What is open: a brace, or a backtick text (inside which `${` opens a brace again).
    let mut open = vec![b'{'];
    while let Some(byte) = bytes.get(at).copied() {
        let next = bytes.get(at + 1).copied();
        let in_text = open.last() == Some(&b'`');
        match byte {
            b'`' if in_text => {
                open.pop();
            }
            b'$' if in_text && next == Some(b'{') => {
                open.push(b'{');
                at += 1;
            }
            _ if in_text => {}
            b'`' => open.push(b'`'),
            b'{' => open.push(b'{'),
            b'}' => {
                open.pop();
                if open.is_empty() {
                    return Some(at);
                }
            }
            b'"' | b'\'' => {
                at += 1;
                while bytes.get(at).is_some_and(|inner| *inner != byte) {
                    at += if bytes.get(at) == Some(&b'\\') { 2 } else { 1 };
                }
            }
            b'/' if next == Some(b'/') => {
                while bytes.get(at + 1).is_some_and(|inner| *inner != b'\n') {
                    at += 1;
                }
            }
            b'/' if next == Some(b'*') => {
                at += 2;
                while at < bytes.len() && !(bytes[at] == b'*' && bytes.get(at + 1) == Some(&b'/')) {
                    at += 1;
                }
                at += 1;
            }
            _ => {}
        }
        at += 1;
    }
    None
}

/// The template that a node is. Faults go to `report`, and their texts are taken as they are.
pub(super) fn of_node(node: &Node, source: &str, report: &mut dyn FnMut(Diagnostic)) -> Template {
    match &node.data {
        Data::List(items) => {
            Template::List(items.iter().map(|item| of_node(item, source, report)).collect(), node.span)
        }
        Data::Map(fields) => {
            let fields = fields.iter().map(|(key, item)| (key.clone(), of_node(item, source, report))).collect();
            Template::Map(fields, node.span)
        }
        Data::Scalar { value: Value::String(_), text } if text.contains("${") => {
            of_text(text, node.span, source, report)
        }
        Data::Scalar { value, .. } => Template::Plain(Spanned::new(value.clone(), node.span)),
    }
}

fn of_text(text: &str, span: Span, source: &str, report: &mut dyn FnMut(Diagnostic)) -> Template {
    let alignment = Alignment::new(source, span, text);
    let found = match pieces(text) {
        Ok(found) => found,
        Err(at) => {
            report(
                Diagnostic::error("unclosed-expression", alignment.span(at, at + 2), "this `${` has no closing `}`")
                    .hint("write `$${` for a `${` that begins no expression"),
            );
            return Template::Plain(Spanned::new(Value::from(text), span));
        }
    };
    let mut expr = |start: usize, end: usize| {
        let inner = &text[start..end];
        let lead = inner.len() - inner.trim_start().len();
        let trimmed = inner.trim();
        let place = alignment.span(start + lead, start + lead + trimmed.len());
        if trimmed.is_empty() {
            report(Diagnostic::error(
                "empty-expression",
                alignment.span(start - 2, end + 1),
                "there is nothing in this `${}`",
            ));
        }
        Spanned::new(trimmed.to_owned(), place)
    };
    // A block scalar ends in a line break that nobody means.
    if let [Piece::Expr(start, end)] = found.as_slice() {
        return Template::Expr(expr(*start, *end));
    }
    if let [Piece::Expr(start, end), Piece::Plain(rest)] = found.as_slice()
        && rest == "\n"
    {
        return Template::Expr(expr(*start, *end));
    }
    if let [Piece::Plain(plain)] = found.as_slice() {
        return Template::Plain(Spanned::new(Value::from(plain.as_str()), span));
    }
    let parts = found
        .into_iter()
        .map(|piece| match piece {
            Piece::Plain(plain) => TextPart::Plain(plain),
            Piece::Expr(start, end) => TextPart::Expr(expr(start, end)),
        })
        .collect();
    Template::Text(parts, span)
}

/// An expression where one is expected: with or without `${}` around it.
pub(super) fn bare(text: &str, span: Span, source: &str) -> Spanned<String> {
    let trimmed = text.trim();
    if let Ok(found) = pieces(trimmed)
        && let [Piece::Expr(_, _)] = found.as_slice()
        && let Template::Expr(expr) = of_text(trimmed, trim(text, span, source), source, &mut |_| {})
    {
        return expr;
    }
    Spanned::new(trimmed.to_owned(), trim(text, span, source))
}

/// The place of a text without the blanks around it.
fn trim(text: &str, span: Span, source: &str) -> Span {
    let lead = text.len() - text.trim_start().len();
    let trimmed = text.trim();
    if trimmed.len() == text.len() {
        return span;
    }
    Alignment::new(source, span, text).span(lead, lead + trimmed.len())
}

impl Template {
    /// Its place.
    #[must_use]
    pub fn span(&self) -> Span {
        match self {
            Self::Plain(value) => value.span,
            Self::Expr(expr) => expr.span,
            Self::Text(_, span) | Self::List(_, span) | Self::Map(_, span) => *span,
        }
    }

    /// Its value, when there is no expression in it.
    #[must_use]
    pub fn as_plain(&self) -> Option<Value> {
        match self {
            Self::Plain(value) => Some(value.value.clone()),
            Self::Expr(_) | Self::Text(..) => None,
            Self::List(items, _) => items.iter().map(Self::as_plain).collect::<Option<Vec<_>>>().map(Value::Array),
            Self::Map(fields, _) => fields
                .iter()
                .map(|(key, item)| item.as_plain().map(|item| (key.value.clone(), item)))
                .collect::<Option<serde_json::Map<_, _>>>()
                .map(Value::Object),
        }
    }

    /// All its expressions, in the order of the text.
    #[must_use]
    pub fn expressions(&self) -> Vec<&Spanned<String>> {
        let mut found = Vec::new();
        self.collect(&mut found);
        found
    }

    fn collect<'t>(&'t self, found: &mut Vec<&'t Spanned<String>>) {
        match self {
            Self::Plain(_) => {}
            Self::Expr(expr) => found.push(expr),
            Self::Text(parts, _) => found.extend(parts.iter().filter_map(|part| match part {
                TextPart::Plain(_) => None,
                TextPart::Expr(expr) => Some(expr),
            })),
            Self::List(items, _) => items.iter().for_each(|item| item.collect(found)),
            Self::Map(fields, _) => fields.iter().for_each(|(_, item)| item.collect(found)),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::super::diagnostic::Collector;
    use super::*;
    use proptest::prelude::*;

    fn exprs(text: &str) -> Vec<&str> {
        pieces(text)
            .map(|found| {
                found
                    .iter()
                    .filter_map(|piece| match piece {
                        Piece::Plain(_) => None,
                        Piece::Expr(start, end) => Some(&text[*start..*end]),
                    })
                    .collect()
            })
            .unwrap_or_default()
    }

    #[test]
    fn braces_inside_an_expression_do_not_end_it() {
        assert_eq!(exprs("${#{a: #{b: 1}}.a}-${x}"), ["#{a: #{b: 1}}.a", "x"]);
        assert_eq!(exprs(r#"${"}" + '}'} ${"\"}"}"#), [r#""}" + '}'"#, r#""\"}""#]);
        assert_eq!(exprs("${`a ${b} }` + c}"), ["`a ${b} }` + c"]);
        assert_eq!(exprs("${1 /* } */ + 2}"), ["1 /* } */ + 2"]);
        assert_eq!(exprs("$${no} ${yes}"), ["yes"]);
    }

    #[test]
    fn an_unclosed_expression_is_found() {
        assert_eq!(pieces("ab ${c"), Err(3));
        assert_eq!(pieces("${\"}"), Err(0));
    }

    #[test]
    fn the_place_of_an_expression_is_that_in_the_users_text() {
        for (yaml, expr) in [
            ("a: \"x \\u00e9\\\"\\n ${ b.c } y\"\n", "b.c"),
            ("a: 'it''s ${b.c}'\n", "b.c"),
            ("a: |\n    line one\n\n    two ${b.c} end\n", "b.c"),
            ("a: >-\n  folded\n  text ${b.c}\n", "b.c"),
            ("a: plain\n   over é lines ${b.c}\n", "b.c"),
        ] {
            let tree = super::super::yaml::parse(yaml.as_bytes(), 0, &mut Collector::default()).expect("it is YAML");
            let template = of_node(&tree, yaml, &mut |fault| panic!("{fault:?}"));
            let found: Vec<_> =
                template.expressions().iter().map(|e| &yaml[e.span.start as usize..e.span.end as usize]).collect();
            assert_eq!(found, [expr], "{yaml}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_the_cutter_panic(text in "[${}\"'`\\\\/*a é\n]{0,40}") {
            let _ = pieces(&text);
            let yaml = format!("a: |\n  {}\n", text.replace('\n', "\n  "));
            if let Some(tree) = super::super::yaml::parse(yaml.as_bytes(), 0, &mut Collector::default()) {
                let _ = of_node(&tree, &yaml, &mut |_| {});
            }
        }
    }
}
