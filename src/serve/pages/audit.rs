//! The audit log, and what waits for a review.

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::face::{self, Here, Html, csrf};
use super::state::{self, Tone};
use crate::access::{Act, Entry, Means, Review, Subject, decide};
use crate::evidence::when;
use crate::model::Timestamp;
use crate::serve::call::Call;
use crate::serve::problem::Problem;

/// Entries on a page.
const PAGE: usize = 60;

/// Which entries.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Only those before this number.
    pub before: Option<u64>,
}

/// `GET /audit`
///
/// # Errors
/// When they may not, or the store cannot be read.
pub fn show(call: &Call, which: Which) -> Result<Html, Problem> {
    let now = call.now();
    let entries = call.server.desk.audit(&call.who, which.before, PAGE)?;
    let reviews = call.server.desk.reviews(&call.who)?;
    let open: Vec<&Review> = reviews.iter().filter(|review| review.closed.is_none()).collect();
    let closed: Vec<&Review> = reviews.iter().filter(|review| review.closed.is_some()).take(20).collect();
    let body = html! {
        h1 { "Audit" }
        h2 { "Waits for a review" }
        @if open.is_empty() { p.soft { "Nothing. Each broken glass opens one." } }
        @for review in open { (open_review(call, review, now)) }
        @if !closed.is_empty() {
            details #closed { summary { "Closed lately" }
                ul { @for review in closed { @if let Some(end) = &review.closed { li { b { (review.who) } " approved " code { (review.step) } " of " a href={ "/runs/" (review.run) } { (review.run.short()) } ": " (review.reason) ". " b { (end.by) } ": " (end.word) } } } }
            }
        }
        h2 { "Acts" }
        p.soft { "Every act that orders or administers something, let happen or not. Each entry holds the hash of the one before: " code { "muster audit verify" } " checks them." }
        @if entries.is_empty() { p.empty { "None yet." } } @else { (table(&entries)) }
        @if entries.len() == PAGE { @if let Some(last) = entries.last() { p { a.button href={ "/audit?before=" (last.seq) } { "Older entries" } } } }
    };
    Ok(face::page(call, Here::Audit, "Audit", &body))
}

fn open_review(call: &Call, review: &Review, now: Timestamp) -> Markup {
    let may = decide(&call.who, Act::CloseReview, &Subject::Review { playbook: &review.playbook, about: &review.who });
    html! {
        section.panel.need {
            h3 { (review.who) " broke the glass for " (review.step) " of " a href={ "/runs/" (review.run) } { (review.playbook) " " (review.run.short()) } }
            p { (when::both(review.at, now)) ": " b { (review.reason) } }
            @match may {
                Ok(()) => form method="post" action={ "/reviews/" (review.id) "/close" } {
                    (csrf(call))
                    label for={ "w-" (review.id) } { "What was found" }
                    textarea #{ "w-" (review.id) } name="word" rows="2" required {}
                    p { button.main { "Close the review" } }
                },
                Err(denied) => p.soft { (denied.to_string()) },
            }
        }
    }
}

fn table(entries: &[Entry]) -> Markup {
    html! {
        table.stack {
            thead { tr { th { "No." } th { "At" } th { "Who" } th { "Act" } th { "On" } th { "Let happen" } th { "About" } } }
            tbody {
                @for entry in entries {
                    tr {
                        td.num data-label="no." { (entry.seq) }
                        td.num { (when::instant(entry.at)) }
                        td { b { (entry.who) } " " span.soft { (means(&entry.means)) } }
                        td { (entry.act) }
                        td { (entry.on) }
                        td { @match &entry.denied { None => (state::badge(Tone::Good, "✓", "yes")), Some(why) => { (state::badge(Tone::Bad, "✗", "no")) " " span.soft { (why) } } } }
                        td.small { @for (name, text) in &entry.details { span.soft { (name) ": " } (text) " " } }
                    }
                }
            }
        }
    }
}

fn means(means: &Means) -> String {
    match means {
        Means::Asserted => "asserted".to_owned(),
        Means::Token { token } => format!("token {token}"),
        Means::Session { token } => format!("page, token {token}"),
        Means::System => "by itself".to_owned(),
    }
}
