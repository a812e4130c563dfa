//! A report for a ticket or a pull request.

use super::page::{Body, Cell, Page, Tone};
use crate::evidence::words::span;

/// The report as Markdown. Nothing that came from outside is markup in it, mentions anybody or refers to an issue.
#[must_use]
pub fn text(page: &Page) -> String {
    let mut text = format!("## {}\n\n", safe(&page.title));
    if !page.lead.is_empty() {
        text.push_str(&format!("{}\n\n", safe(&page.lead)));
    }
    for card in &page.cards {
        text.push_str(&format!("- {}: {}\n", safe(&card.small), shown(&card.large)));
    }
    if let Some(split) = &page.split {
        let parts: Vec<String> = split.parts.iter().map(|(name, ms)| format!("{name} {}", span(*ms))).collect();
        text.push_str(&format!("- spent: {}\n", parts.join(", ")));
    }
    for section in &page.sections {
        text.push_str(&format!("\n### {}\n\n", section.title));
        if let Some(note) = &section.note {
            text.push_str(&format!("{}\n\n", safe(note)));
        }
        match &section.body {
            Body::Facts(facts) => {
                text.push_str("| | |\n|---|---|\n");
                facts.iter().for_each(|(name, cell)| text.push_str(&format!("| {} | {} |\n", safe(name), shown(cell))));
            }
            Body::List(items) => items.iter().for_each(|item| text.push_str(&format!("- {}\n", shown(item)))),
            Body::Table(heads, rows) => {
                text.push_str(&format!("| {} |\n|{}\n", heads.join(" | "), "---|".repeat(heads.len())));
                for row in rows {
                    let cells: Vec<String> = row.iter().map(shown).collect();
                    text.push_str(&format!("| {} |\n", cells.join(" | ")));
                }
            }
        }
    }
    text.push_str(&format!("\n{}\n", safe(&page.footer)));
    text
}

fn shown(cell: &Cell) -> String {
    let text = safe(&cell.text);
    match cell.tone {
        _ if text.is_empty() => text,
        Tone::Bad => format!("**{text}**"),
        _ if cell.code => format!("<code>{text}</code>"),
        _ => text,
    }
}

/// As text within a line: what would be markup is a reference, which stands for the character and does nothing.
fn safe(text: &str) -> String {
    let mut safe = String::with_capacity(text.len());
    let mut chars = text.chars().peekable();
    let mut last = ' ';
    while let Some(c) = chars.next() {
        match c {
            '&' => safe.push_str("&amp;"),
            '<' => safe.push_str("&lt;"),
            '>' => safe.push_str("&gt;"),
            '\\' | '`' | '*' | '_' | '{' | '}' | '[' | ']' | '!' | '|' | '~' | '$' | '"' | '\'' | '^' => {
                safe.push_str(&format!("&#{};", u32::from(c)));
            }
            // GitHub looks for these in the rendered text, where a reference is the character again: something invisible keeps them
            // from what they would point to.
            '@' | '#' => safe.push_str(&format!("&#{};\u{200b}", u32::from(c))),
            ':' if chars.peek() == Some(&'/') => safe.push_str(":\u{200b}"),
            '.' if last.eq_ignore_ascii_case(&'w') => safe.push_str(".\u{200b}"),
            '-' | '+' | '=' if safe.is_empty() => safe.push_str(&format!("&#{};", u32::from(c))),
            c => safe.push(c),
        }
        last = c;
    }
    safe
}
