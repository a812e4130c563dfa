//! Texts from outside inside markdown and HTML: what they would do there is taken from them, what they say stays.

use super::super::brief::one_line;

/// As text or as the value of a quoted attribute of HTML, on one line.
#[must_use]
pub fn html(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    for c in one_line(text).chars() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '"' => safe.push_str("&quot;"),
            '\'' => safe.push_str("&#39;"),
            '`' => safe.push_str("&#96;"),
            c => safe.push(c),
        }
    }
    safe
}

/// As text within a line of GitHub's markdown: nothing in it is markup, mentions anybody or refers to an issue.
#[must_use]
pub fn markdown(text: &str) -> String {
    let flat = one_line(text);
    let mut safe = String::with_capacity(flat.len());
    let mut chars = flat.chars().peekable();
    let mut last = ' ';
    while let Some(c) = chars.next() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '(' | ')' | '!' | '|' | '~' | '$' | '"' | '\'' | '^'
            | '=' => {
                safe.push_str(&format!("&#{};", u32::from(c)));
            }
            // GitHub looks for these after the text is rendered, when a reference is a character again: only something invisible
            // between keeps them from what they point to.
            '@' | '#' => safe.push_str(&format!("&#{};\u{200b}", u32::from(c))),
            ':' if chars.peek().is_some_and(|next| !next.is_whitespace()) => safe.push_str(":\u{200b}"),
            '.' if last.eq_ignore_ascii_case(&'w') => safe.push_str(".\u{200b}"),
            '-' if last.eq_ignore_ascii_case(&'h') || safe.is_empty() => safe.push_str("&#45;\u{200b}"),
            '+' if safe.is_empty() => safe.push_str("&#43;"),
            c => safe.push(c),
        }
        last = c;
    }
    safe
}

/// As code within a line of GitHub's markdown; nothing for nothing.
#[must_use]
pub fn code(text: &str) -> String {
    let flat = one_line(text);
    if flat.trim().is_empty() {
        return String::new();
    }
    // In `<code>` GitHub looks for nobody and no issue; what is markup to markdown is none as a reference.
    let mut safe = String::with_capacity(flat.len() + 13);
    safe.push_str("<code>");
    let mut last = ' ';
    for c in flat.chars() {
        let plain = c.is_ascii_alphanumeric() || !c.is_ascii() || "/,-; ".contains(c);
        if plain || (c == '.' && !last.eq_ignore_ascii_case(&'w')) {
            safe.push(c);
        } else {
            safe.push_str(&format!("&#{};", u32::from(c)));
        }
        last = c;
    }
    safe.push_str("</code>");
    safe
}
