//! Texts with `${ expression }`s in them.

use super::diagnostic::{Collector, Diagnostic};
use super::text::Alignment;
use super::types::{Template, TextPart};
use super::yaml::Node;
use crate::model::span::{Span, Spanned};

/// A YAML value as a template.
pub fn read(node: &Node, source: &str, collector: &mut Collector) -> Template {
    match node {
        Node::Scalar { text, span, .. } if text.contains("${") => scalar(text, *span, source, collector),
        Node::Scalar { .. } => Template::Plain(Spanned::new(node.value(), node.span())),
        Node::List(items, span) => {
            Template::List(items.iter().map(|item| read(item, source, collector)).collect(), *span)
        }
        Node::Map(fields, span) => Template::Map(
            fields.iter().map(|(key, item)| (key.clone(), read(item, source, collector))).collect(),
            *span,
        ),
    }
}

fn scalar(text: &str, span: Span, source: &str, collector: &mut Collector) -> Template {
    let places = Alignment::new(source, span, text);
    let mut parts = Vec::new();
    let mut at = 0;
    while let Some(found) = text[at..].find("${") {
        let open = at + found;
        if open > at {
            parts.push(TextPart::Plain(text[at..open].to_owned()));
        }
        let Some(length) = expression_length(&text[open + 2..]) else {
            collector.push(
                Diagnostic::error("open-expression", places.span(open, open + 2), "this `${` is never closed")
                    .hint("close it with `}`"),
            );
            return Template::Plain(Spanned::new(text.into(), span));
        };
        let (from, to) = (open + 2, open + 2 + length);
        let raw = &text[from..to];
        let lead = raw.len() - raw.trim_start().len();
        let trimmed = raw.trim();
        if trimmed.is_empty() {
            collector.push(Diagnostic::error(
                "empty-expression",
                places.span(open, to + 1),
                "there is nothing in this `${}`",
            ));
        }
        let place = places.span(from + lead, from + lead + trimmed.len());
        parts.push(TextPart::Expr(Spanned::new(trimmed.to_owned(), place)));
        at = to + 1;
    }
    if at < text.len() {
        parts.push(TextPart::Plain(text[at..].to_owned()));
    }
    match parts.as_slice() {
        [TextPart::Expr(expr)] => Template::Expr(expr.clone()),
        _ => Template::Text(parts, span),
    }
}

/// Bytes up to the `}` that ends the expression: braces inside it are counted, those in its texts are not.
fn expression_length(text: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut quote: Option<char> = None;
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match (quote, c) {
            (Some(_), _) if escaped => escaped = false,
            (Some('"' | '\''), '\\') => escaped = true,
            (Some(open), c) if c == open => quote = None,
            (Some(_), _) => {}
            (None, '"' | '\'' | '`') => quote = Some(c),
            (None, '{') => depth += 1,
            (None, '}') if depth == 0 => return Some(at),
            (None, '}') => depth -= 1,
            (None, _) => {}
        }
    }
    None
}
