//! The steps of a run as a table.

use maud::{Markup, html};

use super::run::Live;
use super::state;
use crate::evidence::view::{StepState, StepView};
use crate::evidence::when;

/// The steps, each with how it stands.
pub fn table(live: &Live) -> Markup {
    html! {
        div.scroll {
            table.stack {
                thead { tr { th { "Step" } th { "State" } th { "Began" } th { "Took" } th { "Effects" } th { "About" } } }
                tbody {
                    @for step in live.view.steps() {
                        @let (tone, shape, word) = state::of_step(&live.view, step);
                        @let (standing, undone) = live.view.effects(step);
                        tr {
                            td { div.step-name.in[step.path.key().is_some()] { span { b { (step.path) } @if !step.title.is_empty() { " " span.soft { (step.title) } } } } }
                            td { (state::badge(tone, shape, word)) @if step.attempt > 1 { " " span.soft { "try " (step.attempt) } } }
                            td.num data-label="began" { @if let Some(begun) = step.begun { (when::time(begun)) } }
                            td.num data-label="took" { @if let Some(begun) = step.begun { (when::took(when::between(begun, step.ended.unwrap_or(live.now)))) } }
                            td.num data-label="effects" { @if standing + undone > 0 { (standing) @if undone > 0 { ", " (undone) " undone" } } }
                            td { (about(live, step)) }
                        }
                    }
                }
            }
        }
    }
}

fn about(live: &Live, step: &StepView) -> Markup {
    let going = live.view.current(step);
    html! {
        @match &step.state {
            StepState::Failed { error, .. } => span.text-bad { (error.message) },
            StepState::Skipped { reason } => span.soft { (reason) },
            StepState::Done { evidence, by } => span { (evidence) " " span.soft { "(" (by) ")" } },
            StepState::Retrying(at) => span.soft { (when::relative(*at, live.now)) },
            _ => {},
        }
        @if let Some(call) = going {
            span.soft { code { (call.op) } " " @if let Some(until) = call.until { "until " (when::time(until)) } }
            " " span.soft data-progress=(step.path) { (live.view.progress_of(&step.path).unwrap_or_default()) }
        }
    }
}
