//! States as people see them: by colour, by word and by shape.

use maud::{Markup, html};

use crate::evidence::view::{StepState, StepView, View};
use crate::journal::Head;
use crate::model::status::RunStatus;

/// What a state means, as a class of the stylesheet.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Tone {
    Good,
    Bad,
    Warn,
    Live,
    Still,
}

impl Tone {
    /// The class.
    pub fn class(self) -> &'static str {
        match self {
            Self::Good => "good",
            Self::Bad => "bad",
            Self::Warn => "warn",
            Self::Live => "live",
            Self::Still => "still",
        }
    }
}

/// A state: shape and word, in its colour.
pub fn badge(tone: Tone, shape: &str, word: &str) -> Markup {
    html! { span class={ "state " (tone.class()) } { i aria-hidden="true" { (shape) } (word) } }
}

/// Where a run stands.
pub fn run(status: RunStatus, parked: bool) -> Markup {
    let (tone, shape) = of_run(status);
    if parked && status != RunStatus::Paused {
        return badge(Tone::Warn, "‖", "parked");
    }
    badge(tone, shape, status.as_str())
}

/// Where a run stands, from its head.
pub fn head(head: &Head) -> Markup {
    run(head.status, head.holder.is_none() && !head.status.is_terminal())
}

fn of_run(status: RunStatus) -> (Tone, &'static str) {
    match status {
        RunStatus::Running => (Tone::Live, "▶"),
        RunStatus::Waiting => (Tone::Live, "…"),
        RunStatus::Paused => (Tone::Warn, "‖"),
        RunStatus::RollingBack => (Tone::Warn, "↩"),
        RunStatus::Succeeded => (Tone::Good, "✓"),
        RunStatus::SucceededWithExceptions => (Tone::Warn, "✓"),
        RunStatus::RolledBack => (Tone::Warn, "↩"),
        RunStatus::Failed => (Tone::Bad, "✗"),
        RunStatus::Cancelled => (Tone::Still, "−"),
        RunStatus::Killed => (Tone::Bad, "■"),
    }
}

/// Where a step stands: tone, shape, word.
pub fn of_step(view: &View, step: &StepView) -> (Tone, &'static str, &'static str) {
    let (standing, undone) = view.effects(step);
    if undone > 0 && standing == 0 {
        return (Tone::Warn, "↩", "undone");
    }
    match &step.state {
        StepState::Pending => (Tone::Still, "·", "not begun"),
        StepState::Running => match view.current(step) {
            Some(call) if call.op.starts_with("ask.") => (Tone::Warn, "‖", "asks"),
            Some(call) if !call.writes => (Tone::Live, "…", "waiting"),
            _ => (Tone::Live, "▶", "running"),
        },
        StepState::Verifying(_) => (Tone::Live, "…", "being proved"),
        StepState::Retrying(_) => (Tone::Live, "…", "to be tried again"),
        StepState::Approval { .. } => (Tone::Warn, "‖", "waits for approval"),
        StepState::Manual(_) => (Tone::Warn, "‖", "by hand"),
        StepState::Succeeded => (Tone::Good, "✓", "done"),
        StepState::Failed { handled: false, .. } => (Tone::Bad, "✗", "failed"),
        StepState::Failed { handled: true, .. } => (Tone::Warn, "✗", "failed, handled"),
        StepState::Skipped { .. } => (Tone::Still, "−", "skipped"),
        StepState::Done { .. } => (Tone::Good, "✓", "done by hand"),
    }
}
