//! The text of one script or module, with the places of its parts in what the user wrote.

use rhai::Position;

use crate::model::span::{Source, Span, Spanned};
use crate::playbook::text::Alignment;

/// A text that was compiled, and where it stands.
#[derive(Clone, Copy, Debug)]
pub struct ScriptText<'a> {
    /// The text.
    pub text: &'a str,
    /// The scalar it came from; the whole file for a module.
    pub span: Span,
    /// The file, when the text had to be decoded from a YAML scalar of it.
    scalar_of: Option<&'a str>,
}

impl<'a> ScriptText<'a> {
    /// A script or expression of the playbook.
    #[must_use]
    pub fn scalar(script: &'a Spanned<String>, sources: &'a [Source]) -> Self {
        let file = sources.get(usize::from(script.span.source)).map_or("", |source| &source.text);
        Self { text: &script.value, span: script.span, scalar_of: Some(file) }
    }

    /// A module, which is a file of its own.
    #[must_use]
    pub fn module(text: &'a str, source: u16) -> Self {
        Self { text, span: Span::new(source, 0, text.len()), scalar_of: None }
    }

    /// The word, or the text in quotes, that begins at a position; the whole text when there is no position.
    #[must_use]
    pub fn word(&self, position: Position) -> Span {
        self.stretch(position, |rest| match rest.chars().next() {
            Some(quote @ ('"' | '\'' | '`')) => {
                let line = rest.split('\n').next().unwrap_or(rest);
                line.get(1..).and_then(|inner| inner.find(quote)).map_or(line.len(), |end| end + 2)
            }
            _ => rest.find(|c: char| !is_word(c)).unwrap_or(rest.len()),
        })
    }

    /// The path `a::b::c` that begins at a position.
    #[must_use]
    pub fn path(&self, position: Position) -> Span {
        self.stretch(position, |rest| {
            let end = rest.find(|c: char| !is_word(c) && c != ':').unwrap_or(rest.len());
            rest[..end].trim_end_matches(':').len()
        })
    }

    fn stretch(&self, position: Position, length: impl Fn(&str) -> usize) -> Span {
        let Some(start) = self.byte(position) else { return self.span };
        let rest = &self.text[start..];
        // A character that begins no word still deserves a caret.
        let length = length(rest).max(rest.chars().next().map_or(0, char::len_utf8));
        self.part(start, start + length)
    }

    fn part(&self, start: usize, end: usize) -> Span {
        match self.scalar_of {
            None => Span::new(self.span.source, start, end),
            Some(file) => Alignment::new(file, self.span, self.text).span(start, end),
        }
    }

    /// The byte at a position, always on a character boundary. At the end of the text, the last character that is no space:
    /// that is where something is missing.
    fn byte(&self, position: Position) -> Option<usize> {
        let (line, column) = (position.line()?, position.position().unwrap_or(1));
        let start = match line {
            0 | 1 => 0,
            _ => self.text.match_indices('\n').nth(line - 2).map(|(at, _)| at + 1)?,
        };
        let rest = &self.text[start..];
        let byte = start + rest.char_indices().nth(column.saturating_sub(1)).map_or(rest.len(), |(at, _)| at);
        if byte < self.text.trim_end().len() {
            return Some(byte);
        }
        Some(self.text.trim_end().char_indices().next_back().map_or(0, |(at, _)| at))
    }
}

/// Whether a character can stand in a name.
#[must_use]
pub fn is_word(c: char) -> bool {
    c.is_alphanumeric() || c == '_'
}

/// The names before a `::` in a text: what it takes for modules. Some of them may stand in comments or texts.
pub fn namespaces(text: &str) -> impl Iterator<Item = &str> {
    text.match_indices("::").filter_map(move |(at, _)| {
        let before = text[..at].trim_end();
        let name = &before[before.trim_end_matches(is_word).len()..];
        (!name.is_empty()).then_some(name)
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn positions_lead_to_the_users_own_line() {
        let file = "steps:\n  - script: |\n      let ä = 1;\n      bäd(ä)\n";
        let start = file.find("let").expect("it is there");
        let script = Spanned::new("let ä = 1;\nbäd(ä)\n".to_owned(), Span::new(0, start, file.len()));
        let sources = [Source { name: "p".into(), text: file.into() }];
        let text = ScriptText::scalar(&script, &sources);
        let span = text.word(Position::new(2, 1));
        assert_eq!(&file[span.start as usize..span.end as usize], "bäd");
        assert_eq!(text.word(Position::NONE), script.span);
        let end = text.word(Position::new(9, 9));
        assert!(end.start >= script.span.start && end.end <= script.span.end);
    }

    #[test]
    fn names_before_two_colons_are_namespaces() {
        assert_eq!(namespaces("host::fs::stat(a) + ::b + pg :: x").collect::<Vec<_>>(), ["host", "fs", "pg"]);
    }
}
