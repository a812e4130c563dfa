//! A report for a terminal.

use console::measure_text_width;

use super::page::{Body, Cell, Page, Tone};
use crate::evidence::words::span;

/// No column but the last gets wider.
const WIDEST: usize = 48;

/// The report as text.
#[must_use]
pub fn text(page: &Page) -> String {
    let mut text = format!("{}\n", page.title);
    if !page.lead.is_empty() {
        text.push_str(&format!("{}\n", page.lead));
    }
    for card in &page.cards {
        text.push_str(&format!("{}: {}\n", card.small, card.large.text));
    }
    if let Some(split) = &page.split {
        let parts: Vec<String> = split.parts.iter().map(|(name, ms)| format!("{name} {}", span(*ms))).collect();
        text.push_str(&format!("spent: {}\n", parts.join(", ")));
    }
    for section in &page.sections {
        text.push_str(&format!("\n{}\n", section.title.to_uppercase()));
        if let Some(note) = &section.note {
            text.push_str(&format!("{note}\n"));
        }
        match &section.body {
            Body::Facts(facts) => {
                let rows: Vec<Vec<String>> =
                    facts.iter().map(|(name, cell)| vec![format!("  {name}"), cell.text.clone()]).collect();
                text.push_str(&aligned(&rows));
            }
            Body::List(items) => {
                items.iter().for_each(|item| text.push_str(&format!("  {}{}\n", mark(item), item.text)))
            }
            Body::Table(heads, rows) => {
                let mut lines = vec![heads.iter().map(|head| head.to_lowercase()).collect::<Vec<String>>()];
                lines.extend(rows.iter().map(|row| row.iter().map(|cell| cell.text.clone()).collect()));
                lines.iter_mut().for_each(|line| line.insert(0, String::new()));
                text.push_str(&aligned(&lines));
            }
        }
    }
    text.push_str(&format!("\n{}\n", page.footer));
    text
}

fn mark(cell: &Cell) -> &'static str {
    match cell.tone {
        Tone::Bad => "! ",
        _ => "",
    }
}

fn aligned(rows: &[Vec<String>]) -> String {
    let columns = rows.iter().map(Vec::len).max().unwrap_or(0);
    let wide = |at: usize| {
        rows.iter().filter_map(|row| row.get(at)).map(|cell| measure_text_width(cell).min(WIDEST)).max().unwrap_or(0)
    };
    let widths: Vec<usize> = (0..columns).map(wide).collect();
    let mut text = String::new();
    for row in rows {
        let mut line = String::new();
        for (cell, width) in row.iter().zip(&widths) {
            line.push_str(cell);
            line.push_str(&" ".repeat(width.saturating_sub(measure_text_width(cell)) + 2));
        }
        text.push_str(line.trim_end());
        text.push('\n');
    }
    text
}
