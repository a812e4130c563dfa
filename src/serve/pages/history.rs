//! The runs there were, newest first, and which of them.

use maud::html;
use schemars::JsonSchema;
use serde::Deserialize;

use super::face::{self, Here, Html};
use super::state;
use crate::evidence::when;
use crate::journal::{Head, Selection};
use crate::model::status::RunStatus;
use crate::serve::api::runs::{read_cursor, status_name};
use crate::serve::call::Call;
use crate::serve::problem::Problem;
use crate::serve::visible::visible;

/// Runs on a page.
const PAGE: usize = 50;

/// Which runs.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Only those of this playbook.
    pub playbook: Option<String>,
    /// Only those that stand so: a status, `open` or `ended`.
    pub status: Option<String>,
    /// Where the page before ended.
    pub after: Option<String>,
}

/// `GET /runs`
///
/// # Errors
/// When the store cannot be read.
pub fn show(call: &Call, which: Which) -> Result<Html, Problem> {
    let playbook = which.playbook.clone().filter(|name| !name.is_empty());
    let wanted = which.status.clone().filter(|name| !name.is_empty()).unwrap_or_default();
    let statuses: Vec<RunStatus> = match wanted.as_str() {
        "open" => RunStatus::ALL.into_iter().filter(|status| !status.is_terminal()).collect(),
        "ended" => RunStatus::ALL.into_iter().filter(|status| status.is_terminal()).collect(),
        name => RunStatus::ALL.into_iter().filter(|status| status_name(*status) == name).collect(),
    };
    let after = which.after.as_deref().map(read_cursor).transpose()?;
    let of = Selection { playbook: playbook.clone(), statuses, after, ..Selection::default() };
    let (found, more) = visible(call.store().as_ref(), &call.who, of, PAGE)?;
    let now = call.now();
    let next = found.last().filter(|_| more).map(|head| {
        let pairs = [
            ("playbook", playbook.clone().unwrap_or_default()),
            ("status", wanted.clone()),
            ("after", format!("{}_{}", head.started, head.run)),
        ];
        let pairs = pairs.iter().filter(|(_, value)| !value.is_empty());
        let query: Vec<String> = pairs
            .map(|(name, value)| {
                format!("{name}={}", percent_encoding::utf8_percent_encode(value, percent_encoding::NON_ALPHANUMERIC))
            })
            .collect();
        format!("/runs?{}", query.join("&"))
    });
    let names: Vec<String> = call.server.catalog.names().into_keys().filter(|name| call.who.sees(name)).collect();
    let body = html! {
        h1 { "Runs" }
        form.filters method="get" action="/runs" role="search" {
            div { label for="playbook" { "Playbook" } select #playbook name="playbook" data-key="/" {
                option value="" { "all" }
                @for name in &names { option value=(name) selected[playbook.as_deref() == Some(name.as_str())] { (name) } }
            } }
            div { label for="status" { "State" } select #status name="status" {
                option value="" { "all" }
                option value="open" selected[wanted == "open"] { "under way" }
                option value="ended" selected[wanted == "ended"] { "ended" }
                @for status in RunStatus::ALL { @let name = status_name(status); option value=(name) selected[wanted == name] { (status.as_str()) } }
            } }
            button.main { "Show" }
        }
        @if found.is_empty() { p.empty { "No such runs." } } @else {
            div #live data-every="10" { (table(&found, now)) }
        }
        @if let Some(next) = next { p { a.button href=(next) { "Older runs" } } }
    };
    Ok(face::page(call, Here::Runs, "Runs", &body))
}

/// Runs as a table.
pub fn table(runs: &[Head], now: crate::model::Timestamp) -> maud::Markup {
    html! {
        table.stack {
            thead { tr { th { "Run" } th { "Playbook" } th { "State" } th { "Started" } th { "Last record" } th { "Waits for" } } }
            tbody {
                @for head in runs {
                    tr {
                        td { a.mono href={ "/runs/" (head.run) } { (head.run.short()) } }
                        td { (head.playbook) " " span.soft { (head.version) } }
                        td { (state::head(head)) }
                        td.num data-label="started" { (when::instant(head.started)) }
                        td.num data-label="last record" { (when::relative(head.updated, now)) }
                        td { (head.detail) }
                    }
                }
            }
        }
    }
}
