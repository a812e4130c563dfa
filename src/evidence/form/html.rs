//! A report as one page for a browser: one file, nothing is fetched, no script, nothing from outside is markup.

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use maud::{DOCTYPE, Markup, PreEscaped, html};
use sha2::{Digest as _, Sha256};

use super::page::{Body, Card, Cell, Page, Section, Split, Tone};
use crate::evidence::words::span;

const STYLE: &str = include_str!("report.css");

/// What a browser may do with the page: show it with its own style, and nothing else.
#[must_use]
pub fn policy() -> String {
    let style = STANDARD.encode(Sha256::digest(STYLE.as_bytes()));
    format!("default-src 'none'; style-src 'sha256-{style}'; base-uri 'none'; form-action 'none'")
}

/// The report as a page.
#[must_use]
pub fn text(page: &Page) -> String {
    let policy = policy();
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(policy);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="referrer" content="no-referrer";
                title { (page.title) }
                style { (PreEscaped(STYLE)) }
            }
            body {
                main {
                    h1 { (page.title) }
                    @if !page.lead.is_empty() { p.lead { (page.lead) } }
                    @if !page.cards.is_empty() { div.cards { @for card in &page.cards { (card_of(card)) } } }
                    @if let Some(split) = &page.split { (split_of(split)) }
                    @for section in &page.sections { (section_of(section)) }
                    footer { p { (page.footer) } }
                }
            }
        }
    };
    page.into_string() + "\n"
}

fn class(tone: Tone) -> Option<&'static str> {
    match tone {
        Tone::Plain => None,
        Tone::Good => Some("good"),
        Tone::Warn => Some("warn"),
        Tone::Bad => Some("bad"),
        Tone::Faint => Some("faint"),
    }
}

fn card_of(card: &Card) -> Markup {
    html! {
        div.card { b class=[class(card.large.tone)] { (card.large.text) } span { (card.small) } }
    }
}

fn cell_of(cell: &Cell) -> Markup {
    html! {
        @if cell.code { code class=[class(cell.tone)] { (cell.text) } }
        @else if cell.tone == Tone::Plain { (cell.text) }
        @else { span class=[class(cell.tone)] { (cell.text) } }
    }
}

/// How the time was spent, as a bar; the objective is a line in it. The same stands beside it in words.
fn split_of(split: &Split) -> Markup {
    let total: u64 = split.parts.iter().map(|(_, ms)| ms).sum();
    let whole = total.max(split.limit.unwrap_or(0)).max(1);
    let place = |ms: u64| u64::try_from(u128::from(ms) * 1000 / u128::from(whole)).unwrap_or(1000);
    let mut from = 0;
    let mut bars = Vec::new();
    for (name, ms) in &split.parts {
        bars.push((*name, place(from), place(from + ms) - place(from), *ms));
        from += ms;
    }
    html! {
        section aria-labelledby="spent" {
            h2 id="spent" { "How the time was spent" }
            svg.split viewBox="0 0 1000 24" preserveAspectRatio="none" aria-hidden="true" {
                rect.room x="0" y="0" width="1000" height="24" {}
                @for (name, x, width, _) in &bars { rect class={ "p-" (name) } x=(x) y="0" width=(width) height="24" {} }
                @if let Some(limit) = split.limit { rect.limit x=(place(limit).saturating_sub(2)) y="0" width="3" height="24" {} }
            }
            ul.legend {
                @for (name, _, _, ms) in &bars { li { span.key.{ "k-" (name) } aria-hidden="true" {} (name) " " b { (span(*ms)) } } }
                @if let Some(limit) = split.limit { li { span.key.k-limit aria-hidden="true" {} "objective (RTO) " b { (span(limit)) } } }
            }
        }
    }
}

fn section_of(section: &Section) -> Markup {
    let id: String =
        section.title.chars().map(|c| if c.is_ascii_alphanumeric() { c.to_ascii_lowercase() } else { '-' }).collect();
    html! {
        section aria-labelledby=(id) {
            h2 id=(id) { (section.title) }
            @if let Some(note) = &section.note { p.lead { (note) } }
            @match &section.body {
                Body::Facts(facts) => dl { @for (name, cell) in facts { dt { (name) } dd { (cell_of(cell)) } } },
                Body::List(items) => ul { @for item in items { li { (cell_of(item)) } } },
                Body::Table(heads, rows) => div.scroll tabindex="0" role="region" aria-labelledby=(id) {
                    table {
                        thead { tr { @for head in heads { th scope="col" { (head) } } } }
                        tbody { @for row in rows { tr { @for cell in row { td { (cell_of(cell)) } } } } }
                    }
                },
            }
        }
    }
}
