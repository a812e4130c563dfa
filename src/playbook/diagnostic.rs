//! A diagnostic: what is wrong with a text the user wrote, where, and what to do about it; and its printed forms.

use std::fmt;

use miette::{GraphicalReportHandler, GraphicalTheme, LabeledSpan, NamedSource, ThemeCharacters, ThemeStyles};
use serde::Serialize;

use crate::model::Value;
use crate::model::span::{Source, Span};

/// How bad it is.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Hash, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Severity {
    /// The playbook is not run.
    Error,
    /// It is run, and somebody should look.
    Warning,
}

/// A further place that has to do with it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Related {
    /// The place.
    pub span: Span,
    /// What is there.
    pub label: String,
}

/// What is wrong, where, and what to do about it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Diagnostic {
    /// How bad it is.
    pub severity: Severity,
    /// A stable word for it: `unknown-key`.
    pub code: &'static str,
    /// Thing and fault in one lowercase sentence.
    pub message: String,
    /// The place.
    pub span: Span,
    /// What to write beside the caret; may be empty.
    pub label: String,
    /// What to do next.
    pub hint: Option<String>,
    /// Further places.
    pub related: Vec<Related>,
}

impl Diagnostic {
    /// An error at a place.
    pub fn error(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self {
            severity: Severity::Error,
            code,
            message: message.into(),
            span,
            label: String::new(),
            hint: None,
            related: Vec::new(),
        }
    }

    /// A warning at a place.
    pub fn warning(code: &'static str, span: Span, message: impl Into<String>) -> Self {
        Self { severity: Severity::Warning, ..Self::error(code, span, message) }
    }

    /// Adds what to write beside the caret.
    #[must_use]
    pub fn label(mut self, label: impl Into<String>) -> Self {
        self.label = label.into();
        self
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a further place.
    #[must_use]
    pub fn related(mut self, span: Span, label: impl Into<String>) -> Self {
        self.related.push(Related { span, label: label.into() });
        self
    }

    /// Adds the likely spelling of `word` as a hint; without one, the names there are (when they are few).
    #[must_use]
    pub fn likely<'n>(self, word: &str, names: impl IntoIterator<Item = &'n str>) -> Self {
        let names: Vec<&str> = names.into_iter().collect();
        match likely(word, names.iter().copied()) {
            Some(name) => self.hint(format!("did you mean `{name}`?")),
            None if names.is_empty() || names.len() > 24 => self,
            None => self.hint(format!("there are: {}", names.join(", "))),
        }
    }
}

/// The name of these that `word` was probably meant to be.
pub fn likely<'n>(word: &str, names: impl IntoIterator<Item = &'n str>) -> Option<&'n str> {
    // A longer word is no slip of the finger, and comparing it would cost quadratic time.
    if word.len() > 80 {
        return None;
    }
    let folded = word.to_lowercase().replace('-', "_");
    names
        .into_iter()
        .map(|name| (strsim::damerau_levenshtein(&folded, &name.to_lowercase().replace('-', "_")), name))
        .filter(|(distance, name)| *distance <= (name.chars().count().max(folded.chars().count()) / 3).max(1))
        .min()
        .map(|(_, name)| name)
}

/// Whether there is an error among them.
#[must_use]
pub fn has_errors(diagnostics: &[Diagnostic]) -> bool {
    diagnostics.iter().any(|diagnostic| diagnostic.severity == Severity::Error)
}

/// How to print.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Style {
    /// With colours. Off for `NO_COLOR` and where there is no terminal.
    pub color: bool,
    /// With box-drawing characters; ASCII otherwise.
    pub graphical: bool,
    /// Columns.
    pub width: usize,
}

impl Style {
    /// ASCII without colours: for pipes, logs and tests.
    pub const PLAIN: Self = Self { color: false, graphical: false, width: 120 };
}

/// A line with more bytes is not pictured; the place is told in words.
const LONGEST_LINE: usize = 500;

/// All of them as text, one after the other, errors with their lines and carets.
#[must_use]
pub fn render(diagnostics: &[Diagnostic], sources: &[Source], style: Style) -> String {
    let handler = GraphicalReportHandler::new_themed(GraphicalTheme {
        characters: if style.graphical { ThemeCharacters::unicode() } else { ThemeCharacters::ascii() },
        styles: if style.color { ThemeStyles::ansi() } else { ThemeStyles::none() },
    })
    .with_width(style.width.max(40))
    .with_links(false)
    .with_context_lines(1);
    let sources: Vec<Source> =
        sources.iter().map(|source| Source { name: tame(&source.name), text: tame(&source.text).into() }).collect();
    let sources = sources.as_slice();
    let mut text = String::new();
    for diagnostic in diagnostics {
        let mut diagnostic = diagnostic.clone();
        diagnostic.message = one_line(&diagnostic.message);
        diagnostic.label = one_line(&diagnostic.label);
        diagnostic.hint = diagnostic.hint.as_deref().map(tame);
        let diagnostic = &diagnostic;
        // Two places of one file go into one picture; those of another file follow as pictures of their own.
        let report = Report {
            diagnostic,
            sources,
            others: others(diagnostic, sources),
            source: named(diagnostic.span, sources),
        };
        if handler.render_report(&mut text, &report).is_err() {
            text.push_str(&format!("{}\n", diagnostic.message));
        }
        text.push('\n');
    }
    text
}

/// All of them as a JSON list for editors: each flat, with its `file`, `line`, `column`, `end_line`, `end_column` (from 1, in
/// characters; the end is the first character after it), `severity`, `code`, `message`, `label`, `hint`, and `related` places.
#[must_use]
pub fn to_json(diagnostics: &[Diagnostic], sources: &[Source]) -> Value {
    let place = |span: Span| {
        let source = sources.get(usize::from(span.source));
        let text = source.map_or("", |source| &source.text);
        let (line, column) = line_column(text, span.start as usize);
        let (end_line, end_column) = line_column(text, span.end as usize);
        let mut place = serde_json::Map::new();
        place.insert("file".to_owned(), source.map_or("", |source| source.name.as_str()).into());
        for (name, number) in [("line", line), ("column", column), ("end_line", end_line), ("end_column", end_column)] {
            place.insert(name.to_owned(), number.into());
        }
        place
    };
    Value::Array(
        diagnostics
            .iter()
            .map(|diagnostic| {
                let related: Vec<Value> = diagnostic
                    .related
                    .iter()
                    .map(|related| {
                        let mut there = place(related.span);
                        there.insert("label".to_owned(), related.label.as_str().into());
                        Value::Object(there)
                    })
                    .collect();
                let severity = match diagnostic.severity {
                    Severity::Error => "error",
                    Severity::Warning => "warning",
                };
                let mut finding = place(diagnostic.span);
                for (name, value) in [
                    ("severity", Value::from(severity)),
                    ("code", diagnostic.code.into()),
                    ("message", diagnostic.message.as_str().into()),
                    ("label", diagnostic.label.as_str().into()),
                    ("hint", diagnostic.hint.as_deref().into()),
                    ("related", related.into()),
                ] {
                    finding.insert(name.to_owned(), value);
                }
                Value::Object(finding)
            })
            .collect(),
    )
}

/// Line and column of a byte, both from 1, the column in characters.
#[must_use]
pub fn line_column(text: &str, byte: usize) -> (usize, usize) {
    let mut byte = byte.min(text.len());
    while !text.is_char_boundary(byte) {
        byte -= 1;
    }
    let before = &text[..byte];
    let line = before.matches('\n').count() + 1;
    let column = before.rsplit('\n').next().map_or(0, |line| line.chars().count()) + 1;
    (line, column)
}

fn named(span: Span, sources: &[Source]) -> Option<NamedSource<String>> {
    let source = sources.get(usize::from(span.source))?;
    (longest_around(&source.text, span) <= LONGEST_LINE)
        .then(|| NamedSource::new(&source.name, source.text.to_string()))
}

/// The longest line in the picture of a place, in bytes.
fn longest_around(text: &str, span: Span) -> usize {
    let (line, _) = line_column(text, span.start as usize);
    text.split('\n').skip(line.saturating_sub(2)).take(3).map(str::len).max().unwrap_or(0)
}

/// The text without what could end its line or move the cursor.
fn one_line(text: &str) -> String {
    tame(text).replace('\n', " ")
}

/// The text with as many bytes, and none that could move the cursor: places in it stay where they are.
fn tame(text: &str) -> String {
    let moves = |c: &char| {
        c.is_control() && !matches!(c, '\n' | '\t')
            || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    let calm = |c: char| match (moves(&c), c.len_utf8()) {
        (false, _) => c,
        (true, 1) => '?',
        (true, 2) => '\u{bf}',
        (true, _) => '\u{fffd}',
    };
    text.chars().map(calm).collect()
}

fn others<'s>(diagnostic: &Diagnostic, sources: &'s [Source]) -> Vec<Elsewhere<'s>> {
    diagnostic
        .related
        .iter()
        .filter(|related| related.span.source != diagnostic.span.source)
        .map(|related| Elsewhere { related: related.clone(), sources, source: named(related.span, sources) })
        .collect()
}

/// The span in bytes of its text, on character boundaries: a span is never trusted to fit.
fn labelled(span: Span, label: &str, sources: &[Source], primary: bool) -> LabeledSpan {
    let text = sources.get(usize::from(span.source)).map_or("", |source| &source.text);
    let floor = |mut byte: usize| {
        byte = byte.min(text.len());
        while !text.is_char_boundary(byte) {
            byte -= 1;
        }
        byte
    };
    let start = floor(span.start as usize);
    // A long span is shown by its first line: nobody wants the whole script framed.
    let line_end = text[start..].find('\n').map_or(text.len(), |n| start + n);
    let end = floor(span.end as usize).min(line_end).max(start);
    let label = (!label.is_empty()).then(|| label.to_owned());
    if primary {
        LabeledSpan::new_primary_with_span(label.or_else(|| Some("here".to_owned())), (start, end - start))
    } else {
        LabeledSpan::new_with_span(label, (start, end - start))
    }
}

struct Report<'d> {
    diagnostic: &'d Diagnostic,
    sources: &'d [Source],
    others: Vec<Elsewhere<'d>>,
    source: Option<NamedSource<String>>,
}

impl fmt::Debug for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self.diagnostic, f)
    }
}

impl fmt::Display for Report<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.diagnostic.message)?;
        let source = self.sources.get(usize::from(self.diagnostic.span.source));
        match (&self.source, source) {
            (None, Some(source)) if !source.name.is_empty() => {
                let (line, column) = line_column(&source.text, self.diagnostic.span.start as usize);
                write!(f, " ({}, line {line}, column {column})", source.name)
            }
            _ => Ok(()),
        }
    }
}

impl std::error::Error for Report<'_> {}

impl miette::Diagnostic for Report<'_> {
    fn code<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        Some(Box::new(self.diagnostic.code))
    }

    fn severity(&self) -> Option<miette::Severity> {
        Some(match self.diagnostic.severity {
            Severity::Error => miette::Severity::Error,
            Severity::Warning => miette::Severity::Warning,
        })
    }

    fn help<'a>(&'a self) -> Option<Box<dyn fmt::Display + 'a>> {
        self.diagnostic.hint.as_ref().map(|hint| Box::new(hint) as Box<dyn fmt::Display>)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.source.as_ref().map(|source| source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.source.as_ref()?;
        let here = labelled(self.diagnostic.span, &self.diagnostic.label, self.sources, true);
        let others = self
            .diagnostic
            .related
            .iter()
            .filter(|related| related.span.source == self.diagnostic.span.source)
            .map(|related| labelled(related.span, &related.label, self.sources, false));
        Some(Box::new(std::iter::once(here).chain(others)))
    }

    fn related<'a>(&'a self) -> Option<Box<dyn Iterator<Item = &'a dyn miette::Diagnostic> + 'a>> {
        if self.others.is_empty() {
            return None;
        }
        Some(Box::new(self.others.iter().map(|other| other as &dyn miette::Diagnostic)))
    }
}

struct Elsewhere<'s> {
    related: Related,
    sources: &'s [Source],
    source: Option<NamedSource<String>>,
}

impl fmt::Debug for Elsewhere<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(&self.related, f)
    }
}

impl fmt::Display for Elsewhere<'_> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.related.label)
    }
}

impl std::error::Error for Elsewhere<'_> {}

impl miette::Diagnostic for Elsewhere<'_> {
    fn severity(&self) -> Option<miette::Severity> {
        Some(miette::Severity::Advice)
    }

    fn source_code(&self) -> Option<&dyn miette::SourceCode> {
        self.source.as_ref().map(|source| source as &dyn miette::SourceCode)
    }

    fn labels(&self) -> Option<Box<dyn Iterator<Item = LabeledSpan> + '_>> {
        self.source.as_ref()?;
        Some(Box::new(std::iter::once(labelled(self.related.span, "", self.sources, true))))
    }
}

/// Collects diagnostics, and stops keeping them where nobody would read on: hostile input has a hundred thousand faults.
#[derive(Debug, Default)]
pub struct Collector {
    list: Vec<Diagnostic>,
    dropped: usize,
}

/// Diagnostics kept for one load or lint.
pub const MAX_DIAGNOSTICS: usize = 200;

impl Collector {
    /// Keeps one.
    pub fn push(&mut self, diagnostic: Diagnostic) {
        if self.list.len() < MAX_DIAGNOSTICS {
            self.list.push(diagnostic);
        } else {
            self.dropped += 1;
        }
    }

    /// Whether an error was kept so far.
    #[must_use]
    pub fn has_errors(&self) -> bool {
        has_errors(&self.list)
    }

    /// What was kept so far, in the order in which it was found.
    #[must_use]
    pub fn kept(&self) -> &[Diagnostic] {
        &self.list
    }

    /// Whether there was more than is kept.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.dropped > 0
    }

    /// All of them in the order of the text, each once.
    #[must_use]
    pub fn finish(mut self) -> Vec<Diagnostic> {
        self.list.sort_by(|a, b| (a.span, a.severity, a.code).cmp(&(b.span, b.severity, b.code)));
        self.list.dedup();
        if self.dropped > 0 {
            let last = self.list.last().map(|last| last.span).unwrap_or_default();
            self.list.push(Diagnostic::error(
                "too-many",
                last,
                format!("{} more faults are not shown: mend these first", self.dropped),
            ));
        }
        self.list
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn source(text: &str) -> Vec<Source> {
        vec![Source { name: "playbook.yaml".to_owned(), text: text.into() }]
    }

    #[test]
    fn the_likely_spelling_is_offered_and_nonsense_is_not() {
        assert_eq!(likely("tiemout", ["timeout", "title"]), Some("timeout"));
        assert_eq!(likely("on-failure", ["on_failure", "needs"]), Some("on_failure"));
        assert_eq!(likely("zzz", ["timeout", "title"]), None);
    }

    #[test]
    fn a_span_that_does_not_fit_its_text_is_still_printed() {
        let sources = source("nämé: x\n");
        for (start, end) in [(0, 900), (2, 3), (900, 901), (8, 8)] {
            let diagnostic =
                Diagnostic::error("x", Span::new(0, start, end), "it is wrong").related(Span::new(7, 1, 2), "y");
            let text = render(std::slice::from_ref(&diagnostic), &sources, Style::PLAIN);
            assert!(text.contains("it is wrong"), "{text}");
            let _ = to_json(&[diagnostic], &sources);
        }
    }

    #[test]
    fn a_plain_picture_has_no_escapes_and_names_the_line() {
        let sources = source("muster: 1\ntiemout: 3s\n");
        let diagnostic = Diagnostic::error("unknown-key", Span::new(0, 10, 17), "unknown key `tiemout`")
            .likely("tiemout", ["timeout"]);
        let text = render(&[diagnostic], &sources, Style::PLAIN);
        assert!(text.contains("playbook.yaml:2:1") && text.contains("did you mean `timeout`?"), "{text}");
        assert!(!text.contains('\u{1b}'), "{text}");
    }
}
