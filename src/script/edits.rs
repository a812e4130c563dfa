//! Changes of a script's text, and the way back from places in the new text to those in the old.

/// A script with its questions.
#[derive(Clone, Debug)]
pub struct Woven {
    /// What is compiled.
    pub text: String,
    /// Changes in order: line from 1, column from 1 in the new text, letters put in, letters taken out.
    edits: Vec<(usize, usize, usize, usize)>,
}

impl Woven {
    /// The column in the text as it was written.
    #[must_use]
    pub fn column(&self, line: usize, column: usize) -> usize {
        let mut shift = 0isize;
        for (_, at, put, taken) in self.edits.iter().filter(|edit| edit.0 == line) {
            if column >= at + put {
                shift += *taken as isize - *put as isize;
            } else if column >= *at {
                return usize::try_from(*at as isize + shift).unwrap_or(1).max(1);
            }
        }
        usize::try_from(column as isize + shift).unwrap_or(1).max(1)
    }
}

/// A change: at this byte, this many bytes are replaced by this text.
pub struct Edit {
    /// Where.
    pub at: usize,
    /// Which comes first at one place.
    pub order: Order,
    /// Bytes taken out.
    pub taken: usize,
    /// What is put in.
    pub put: String,
}

/// Of changes at one place, closings come before openings, inner closings before outer ones, outer openings before inner ones.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum Order {
    /// The end of a text.
    EndsText,
    /// The end of something woven around an expression, or something put in after a bracket.
    Ends,
    /// The end of an expression inside of a text.
    EndsPiece,
    /// The beginning of something that goes on for so many bytes; longest first.
    Begins(std::cmp::Reverse<usize>),
}

/// The text with its changes.
pub fn apply(text: &str, mut edits: Vec<Edit>) -> Woven {
    edits.sort_by_key(|edit| (edit.at, edit.order));
    let mut woven = Woven { text: String::with_capacity(text.len() + edits.len() * 12), edits: Vec::new() };
    let (mut from, mut line, mut column) = (0, 1, 1);
    for edit in edits {
        let between = text.get(from..edit.at).unwrap_or("");
        for c in between.chars() {
            (line, column) = if c == '\n' { (line + 1, 1) } else { (line, column + 1) };
        }
        woven.text.push_str(between);
        woven.text.push_str(&edit.put);
        let put = edit.put.chars().count();
        woven.edits.push((line, column, put, edit.taken));
        column += put;
        from = edit.at + edit.taken;
    }
    woven.text.push_str(text.get(from..).unwrap_or(""));
    woven
}

/// The order of something put in before so many bytes that belong to it.
#[must_use]
pub fn begins(length: usize) -> Order {
    Order::Begins(std::cmp::Reverse(length))
}
