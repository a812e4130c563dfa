//! From a place in a scalar's decoded text to the place in the user's own text, whatever YAML did in between.

use crate::model::span::Span;

/// For each byte of a decoded text, and one past its end, the byte of the source it came from.
#[derive(Clone, Debug)]
pub struct Alignment {
    places: Vec<u32>,
    source: u16,
}

impl Alignment {
    /// Aligns the text that YAML made of `span` with `source`, the whole file. Linear in both.
    ///
    /// Block scalars are aligned line by line; in all others what does not match (escapes, folded lines) is stepped over, and the
    /// places stay within the scalar.
    #[must_use]
    pub fn new(source: &str, span: Span, decoded: &str) -> Self {
        let start = (span.start as usize).min(source.len());
        let end = (span.end as usize).clamp(start, source.len());
        let places = block(source, start, end, decoded).unwrap_or_else(|| greedy(source, start, end, decoded));
        Self { places, source: span.source }
    }

    /// The place in the source of a byte of the decoded text.
    #[must_use]
    pub fn byte(&self, decoded: usize) -> usize {
        self.places.get(decoded).or(self.places.last()).map_or(0, |place| *place as usize)
    }

    /// The place in the source of a range of the decoded text.
    #[must_use]
    pub fn span(&self, start: usize, end: usize) -> Span {
        // The end is found from the last byte inside, so that it does not run on over a line break to the next word.
        let last = if end > start { self.byte(end - 1) + 1 } else { self.byte(start) };
        Span::new(self.source, self.byte(start), last.max(self.byte(start)))
    }
}

/// A literal block scalar: every line of the text is a line of the source without its indentation.
fn block(source: &str, start: usize, end: usize, decoded: &str) -> Option<Vec<u32>> {
    let line_start = source.get(..start)?.rfind('\n').map_or(0, |n| n + 1);
    let indent = start - line_start;
    if !source.as_bytes().get(line_start..start)?.iter().all(|byte| *byte == b' ') {
        return None;
    }
    let mut places = Vec::with_capacity(decoded.len() + 1);
    let mut at = line_start;
    let mut lines = decoded.split('\n').peekable();
    while let Some(line) = lines.next() {
        if line.is_empty() && lines.peek().is_none() {
            // After the last line break stands whatever follows the scalar.
            places.push(u32::try_from(at.min(source.len())).unwrap_or(u32::MAX));
            break;
        }
        if at > end {
            return None;
        }
        let rest = source.get(at.min(source.len())..)?;
        let raw = rest.split('\n').next().unwrap_or("");
        let content = raw.strip_suffix('\r').unwrap_or(raw);
        let content = content.get(indent.min(content.len())..)?;
        if content != line {
            return None;
        }
        let from = at.min(source.len()) + indent.min(raw.len());
        places.extend((0..=line.len()).map(|n| u32::try_from(from + n).unwrap_or(u32::MAX)));
        at += raw.len() + 1;
    }
    Some(places)
}

fn greedy(source: &str, start: usize, end: usize, decoded: &str) -> Vec<u32> {
    let bytes = source.as_bytes();
    let mut places = Vec::with_capacity(decoded.len() + 1);
    let mut at = start;
    // The next byte that is no blank: kept, so that a long run of blanks is looked over once.
    let mut solid = start;
    for wanted in decoded.chars() {
        at = at.min(end);
        if solid < at || solid == start {
            solid = at;
            while solid < end && matches!(bytes[solid], b' ' | b'\t' | b'\r') {
                solid += 1;
            }
        }
        let mut here = at;
        match bytes.get(at).filter(|_| at < end) {
            None => {}
            Some(b'\\') if wanted != '\\' || bytes.get(at + 1) == Some(&b'\\') => {
                // An escape in double quotes: `\n`, `\"`, `\x41`, `\u00e9`.
                at += match bytes.get(at + 1) {
                    Some(b'x') => 4,
                    Some(b'u') => 6,
                    Some(b'U') => 10,
                    _ => 2,
                };
            }
            Some(b'\'') if wanted == '\'' && bytes.get(at + 1) == Some(&b'\'') => at += 2,
            Some(b' ' | b'\t') if matches!(wanted, ' ' | '\t') && bytes.get(solid) != Some(&b'\n') => at += 1,
            Some(byte) if byte.is_ascii_whitespace() && matches!(wanted, ' ' | '\n') => {
                // A folded line break.
                while at < end && bytes[at] != b'\n' {
                    at += 1;
                }
                at += 1;
                while at < end && matches!(bytes[at], b' ' | b'\t') {
                    at += 1;
                }
            }
            Some(byte) => {
                if byte.is_ascii_whitespace() {
                    while at < end && bytes[at].is_ascii_whitespace() {
                        at += 1;
                    }
                    here = at;
                }
                at += wanted.len_utf8();
            }
        }
        places.extend(std::iter::repeat_n(u32::try_from(here).unwrap_or(u32::MAX), wanted.len_utf8()));
    }
    places.push(u32::try_from(at.min(end)).unwrap_or(u32::MAX));
    places
}
