//! What a call would change, as lines to read: a value as an outline, two values as their difference.

use similar::{ChangeTag, TextDiff};

use super::super::brief;
use super::words;
use crate::model::Value;
use crate::model::forecast::Change;
use crate::model::secret::is_handle;

/// Lines of unchanged text around a change.
const AROUND: usize = 2;

/// Longer texts are compared only as a whole: a difference of them is no reading matter.
const LONGEST: usize = 2000;

/// What a line of a difference says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sign {
    /// It is there before and after.
    Same,
    /// It comes.
    Added,
    /// It goes.
    Removed,
    /// Something is left out here.
    Gap,
}

impl Sign {
    /// As the first character of a line.
    #[must_use]
    pub fn char(self) -> char {
        match self {
            Self::Same => ' ',
            Self::Added => '+',
            Self::Removed => '-',
            Self::Gap => ' ',
        }
    }
}

/// A line of a difference.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Line {
    /// What it says.
    pub sign: Sign,
    /// Its text, without line ends or anything that moves the cursor.
    pub text: String,
}

impl Line {
    fn new(sign: Sign, text: &str) -> Self {
        // Leading blanks are the outline.
        let blank = text.len() - text.trim_start_matches(' ').len();
        Self { sign, text: format!("{}{}", " ".repeat(blank), brief::one_line(&text[blank..])) }
    }
}

/// What kind of change it is, in a word.
#[must_use]
pub fn kind(change: &Change) -> &'static str {
    match (change.before.is_null(), change.after.is_null()) {
        (true, false) => "comes",
        (false, true) => "goes",
        (true, true) => "stays away",
        (false, false) if change.before == change.after => "stays as it is",
        (false, false) => "changes",
    }
}

/// A change as at most so many lines; what is more is counted in the last one.
#[must_use]
pub fn lines(change: &Change, most: usize) -> Vec<Line> {
    let (before, after) = (outline(&change.before), outline(&change.after));
    let mut lines = Vec::new();
    if before.len() + after.len() > LONGEST {
        lines.extend(before.iter().map(|line| Line::new(Sign::Removed, line)));
        lines.extend(after.iter().map(|line| Line::new(Sign::Added, line)));
    } else {
        let (old, new): (Vec<&str>, Vec<&str>) =
            (before.iter().map(String::as_str).collect(), after.iter().map(String::as_str).collect());
        let diff = TextDiff::from_slices(&old, &new);
        for (index, group) in diff.grouped_ops(AROUND).iter().enumerate() {
            let starts = group.first().map_or(0, |op| op.old_range().start);
            if index > 0 || starts > 0 {
                lines.push(Line::new(Sign::Gap, "…"));
            }
            for item in group.iter().flat_map(|op| diff.iter_changes(op)) {
                let sign = match item.tag() {
                    ChangeTag::Equal => Sign::Same,
                    ChangeTag::Insert => Sign::Added,
                    ChangeTag::Delete => Sign::Removed,
                };
                lines.push(Line::new(sign, item.value()));
            }
        }
    }
    if lines.len() > most {
        let left = lines.len() - most.saturating_sub(1);
        lines.truncate(most.saturating_sub(1));
        lines.push(Line::new(Sign::Gap, &format!("… {left} more lines")));
    }
    lines
}

/// A value as the lines of an outline: a field a line, texts of several lines indented below their name.
#[must_use]
pub fn outline(value: &Value) -> Vec<String> {
    let mut lines = Vec::new();
    match value {
        Value::Null => {}
        Value::String(text) => lines.extend(text.split('\n').map(str::to_owned)),
        other => write(other, 0, "", &mut lines),
    }
    if lines.last().is_some_and(String::is_empty) {
        lines.pop();
    }
    lines
}

fn write(value: &Value, depth: usize, lead: &str, lines: &mut Vec<String>) {
    let indent = "  ".repeat(depth);
    match value {
        Value::Object(fields) if !fields.is_empty() && !is_handle(value) && words::unknown(value).is_none() => {
            let inner = if lead.is_empty() {
                depth
            } else {
                lines.push(format!("{indent}{lead}"));
                depth + 1
            };
            for (name, value) in fields {
                write(value, inner, &format!("{name}:"), lines);
            }
        }
        Value::Array(items) if !items.is_empty() => {
            let inner = if lead.is_empty() {
                depth
            } else {
                lines.push(format!("{indent}{lead}"));
                depth + 1
            };
            for item in items {
                write(item, inner, "-", lines);
            }
        }
        Value::String(text) if text.trim_end_matches('\n').contains('\n') => {
            lines.push(format!("{indent}{lead}").trim_end().to_owned());
            let inner = "  ".repeat(depth + 1);
            lines.extend(text.trim_end_matches('\n').split('\n').map(|line| format!("{inner}{line}")));
        }
        plain => lines.push(format!("{indent}{lead} {}", words::value(plain)).trim_end().to_owned()),
    }
}
