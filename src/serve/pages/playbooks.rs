//! The playbooks that may be started here, their versions, and what differs between two.

use std::sync::Arc;

use maud::{Markup, html};
use schemars::JsonSchema;
use serde::Deserialize;

use super::face::{self, Here, Html, csrf};
use super::known::Known;
use super::{diff, history};
use crate::access::{Act, Subject, decide};
use crate::evidence::when;
use crate::journal::Selection;
use crate::playbook::bundle::Bundle;
use crate::playbook::types::Drill;
use crate::serve::api::playbooks::{differences, version_of};
use crate::serve::call::Call;
use crate::serve::endpoint::Nothing;
use crate::serve::problem::{Kind, Problem};

/// How many lines of a file's difference are shown.
const LINES: usize = 600;

/// `GET /playbooks`
///
/// # Errors
/// None.
pub fn list(call: &Call, _: Nothing) -> Result<Html, Problem> {
    let mut names = call.server.catalog.names();
    names.retain(|name, _| call.who.sees(name));
    let body = html! {
        h1 { "Playbooks" }
        table.stack {
            thead { tr { th { "Playbook" } th { "Version" } th { "For" } th { "RTO" } th { "RPO" } th { "From" } } }
            tbody {
                @for (name, folder) in &names {
                    tr {
                        td { a href={ "/playbooks/" (name) } { b { (name) } } }
                        @match Known::now(&call.server, name, folder.as_deref()) {
                            Ok(known) => {
                                td.num { (known.version) }
                                td { (known.title) }
                                td.num data-label="RTO" { @if let Some(rto) = known.rto { (when::coarse(rto)) } }
                                td.num data-label="RPO" { @if let Some(rpo) = known.rpo { (when::coarse(rpo)) } }
                            },
                            Err(fault) => { td {} td.text-bad { (fault) } td {} td {} },
                        }
                        td.soft { @if folder.is_none() { "shipped" } @else { "this server's folder" } }
                    }
                }
            }
        }
    };
    Ok(face::page(call, Here::Playbooks, "Playbooks", &body))
}

/// `GET /playbooks/{playbook}`
///
/// # Errors
/// When there is none of that name, or it is not valid.
pub fn one(call: &Call, _: Nothing) -> Result<Html, Problem> {
    let name = call.named("playbook");
    let now = call.now();
    let loaded = call.server.catalog.load(name);
    let versions = call.store().bundles(name)?;
    let bundle = match loaded {
        Ok(bundle) => Ok(bundle),
        Err(problem) if problem.kind == Kind::NotFound && versions.is_empty() => return Err(problem),
        Err(problem) => Err(problem),
    };
    let runs =
        call.store().select(&Selection { playbook: Some(name.to_owned()), limit: Some(10), ..Selection::default() })?;
    let body = html! {
        h1 { (name) @if let Ok(bundle) = &bundle { " " span.soft { (bundle.playbook.version.value) } } }
        @match &bundle {
            Ok(bundle) => (about(call, bundle)),
            Err(problem) => div.panel.need.failed { p.text-bad { (problem.detail) } },
        }
        h2 { "Versions that were run here" }
        @if versions.is_empty() { p.soft { "None yet." } } @else {
            table.stack {
                thead { tr { th { "Version" } th { "First run" } th { "Bundle" } th { "Differs" } } }
                tbody {
                    @for (place, (version, digest, first)) in versions.iter().enumerate().rev() {
                        tr {
                            td { b { (version) } @if bundle.as_ref().is_ok_and(|bundle| bundle.digest == *digest) { " " span.soft { "is what it is now" } } }
                            td.num data-label="first run" { (when::both(*first, now)) }
                            td.mono { (digest.get(..12).unwrap_or(digest)) }
                            td {
                                @if let Some((_, before, _)) = place.checked_sub(1).and_then(|before| versions.get(before)) { a href={ "/playbooks/" (name) "/diff?from=" (before) "&to=" (digest) } { "from the one before" } " " }
                                @if bundle.as_ref().is_ok_and(|bundle| bundle.digest != *digest) { a href={ "/playbooks/" (name) "/diff?from=" (digest) } { "from now" } }
                            }
                        }
                    }
                }
            }
        }
        h2 { "Runs" }
        @if runs.is_empty() { p.soft { "None yet." } } @else { (history::table(&runs, now)) p { a href={ "/runs?playbook=" (name) } { "All of them" } } }
    };
    Ok(face::page(call, Here::Playbooks, name, &body))
}

fn about(call: &Call, bundle: &Bundle) -> Markup {
    let playbook = &bundle.playbook;
    let name = playbook.name.value.as_str();
    html! {
        p { (playbook.title) }
        @if !playbook.doc.is_empty() { p.soft { (playbook.doc) } }
        ul.facts {
            @if let Some(rto) = playbook.rto { li { "RTO " b { (when::coarse(rto)) } } }
            @if let Some(rpo) = playbook.rpo { li { "RPO " b { (when::coarse(rpo)) } } }
            li { (playbook.steps.len()) " steps" }
            li { "bundle " b.mono { (bundle.digest.get(..12).unwrap_or(&bundle.digest)) } }
        }
        h2 { "Steps" }
        ol { @for step in &playbook.steps { li { b { (step.id.value) } @if !step.title.is_empty() { " " (step.title) } @if step.approval.is_some() { " " span.text-warn { "waits for approval" } } @if let Some(why) = &step.point_of_no_return { " " span.text-bad { "no way back after it: " (why.value) } } } } }
        (drilled(call, bundle))
        @if decide(&call.who, Act::Start, &Subject::Playbook(name)).is_ok() {
            h2 { "Start a run" }
            details #start {
                summary data-key="s" { "Start a live run of " (name) }
                form.panel method="post" action="/runs" {
                    (csrf(call))
                    input type="hidden" name="playbook" value=(name);
                    p { b { "This acts on the live system. " } "Previewed by " code { "muster plan " (name) } "." }
                    (params(bundle, "p", &|_| false))
                    p { button.danger { "Start the live run" } }
                }
            }
        }
    }
}

/// How it is drilled, and the form that does it.
fn drilled(call: &Call, bundle: &Bundle) -> Markup {
    let playbook = &bundle.playbook;
    let name = playbook.name.value.as_str();
    html! {
        h2 { "Drill it" }
        @match &playbook.drill {
            None => p.soft { "It does not say how it is drilled." },
            Some(Drill { none: Some(why), .. }) => p.soft { "It cannot be drilled: " (why.value.trim()) },
            Some(drill) => {
                @if !drill.skip.is_empty() { p.soft { "A drill leaves out " @for (place, step) in drill.skip.iter().enumerate() { @if place > 0 { ", " } code { (step.value) } } "." } }
                @if decide(&call.who, Act::Drill, &Subject::Playbook(name)).is_ok() {
                    details #drill {
                        summary data-key="d" { "Drill " (name) " now" }
                        form.panel method="post" action="/drills" {
                            (csrf(call))
                            input type="hidden" name="playbook" value=(name);
                            p { "It recovers beside the live system, is measured, and is taken down. Effects on what it did not make are refused." }
                            (params(bundle, "d", &|param| drill.params.iter().any(|(set, _)| set.value == param)))
                            p { button.main { "Start the drill" } }
                        }
                    }
                }
            },
        }
    }
}

/// A field for each parameter; `set` says of which the playbook itself sees to.
fn params(bundle: &Bundle, prefix: &str, set: &dyn Fn(&str) -> bool) -> Markup {
    html! {
        @for param in &bundle.playbook.params {
            @let name = param.name.value.as_str();
            @let needed = param.default.is_none() && !set(name);
            label for={ (prefix) "-" (name) } { (name) @if needed { " (needed)" } }
            @if !param.doc.is_empty() { span.soft.small { (param.doc) } }
            input #{ (prefix) "-" (name) } name={ "param." (name) } required[needed] placeholder=[(!needed).then_some("as the playbook says")];
        }
    }
}

/// Which two.
#[derive(Clone, Debug, Default, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Between {
    /// A version, or the digest of a bundle.
    pub from: String,
    /// The same; what the playbook is now when absent.
    pub to: Option<String>,
}

/// `GET /playbooks/{playbook}/diff`
///
/// # Errors
/// When there is no such version.
pub fn diff(call: &Call, between: Between) -> Result<Html, Problem> {
    let name = call.named("playbook");
    let from = version_of(call, &between.from)?;
    let to = match &between.to {
        Some(version) => Arc::new(version_of(call, version)?),
        None => call.server.catalog.load(name)?,
    };
    let files = differences(&from, &to);
    let body = html! {
        h1 { "What differs in " a href={ "/playbooks/" (name) } { (name) } }
        ul.facts {
            li { "from " b { (from.playbook.version.value) } " " span.mono { (from.digest.get(..12).unwrap_or_default()) } }
            li { "to " b { (to.playbook.version.value) } " " span.mono { (to.digest.get(..12).unwrap_or_default()) } @if between.to.is_none() { " (now)" } }
        }
        @if files.is_empty() { p.empty { "Nothing." } }
        @for (file, text) in &files { h2.mono { (file) } (diff::lines(text, LINES)) }
    };
    Ok(face::page(call, Here::Playbooks, &format!("{name}: difference"), &body))
}
