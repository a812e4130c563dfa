//! What a person can do about a run now, as commands to copy.

use super::brief::shell_word;
use super::view::{StepState, View};
use crate::journal::Pause;
use crate::journal::record::outside_of;
use crate::model::StepPath;
use crate::model::status::RunStatus;

/// One thing a person can do.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Choice {
    /// The command, whole.
    pub command: String,
    /// What it does.
    pub what: &'static str,
}

/// How a run stands to going back.
#[derive(Clone, Copy, Debug, Default)]
pub struct Back<'s> {
    /// It is being rolled back.
    pub under_way: bool,
    /// The step beyond whose effect there is no way back.
    pub no_return: Option<&'s StepPath>,
}

/// What can be done about this pause.
#[must_use]
pub fn of_pause(run: &str, pause: &Pause, back: Back<'_>) -> Vec<Choice> {
    let on =
        |verb: &str, step: &StepPath, rest: &str| format!("muster {verb} {run} {}{rest}", shell_word(step.as_str()));
    let whole = |verb: &str| format!("muster {verb} {run}");
    let choice = |command: String, what: &'static str| Choice { command, what };
    let back_to = |step: &StepPath| format!("{} --to {}", whole("rollback"), shell_word(step.as_str()));
    let undo_all = || match back.no_return {
        None => choice(whole("rollback"), "undo everything this run did"),
        Some(step) => choice(back_to(step), "undo what came after its point of no return"),
    };
    match pause {
        Pause::StepFailed { step } => vec![
            choice(on("retry", step, ""), "try the failed call again"),
            choice(on("retry", step, " --from-start"), "undo this attempt, then begin the step anew"),
            choice(on("skip", step, " -m 'WHY'"), "go on without it"),
            choice(on("done", step, " -m 'HOW YOU KNOW'"), "go on: it was done by hand"),
            undo_all(),
            choice(whole("cancel") + " --no-rollback", "end here and leave everything as it is"),
        ],
        Pause::Approval { step } => vec![
            choice(on("approve", step, ""), "let it start"),
            choice(on("reject", step, " -m 'WHY'"), "refuse: the step fails"),
        ],
        Pause::Manual { step } => vec![
            choice(on("done", step, " -m 'HOW YOU KNOW'"), "it is done"),
            choice(on("skip", step, " -m 'WHY'"), "go on without it"),
            undo_all(),
        ],
        Pause::Question { step, .. } => vec![choice(on("answer", step, " ANSWER"), "answer the question")],
        Pause::InDoubt { step, .. } => vec![
            choice(on("settle", step, " --done -m 'HOW YOU KNOW'"), "you looked: it was done"),
            choice(on("settle", step, " --not-done -m 'HOW YOU KNOW'"), "you looked: it was not done, send it again"),
            choice(whole("resume"), "ask the world once more"),
        ],
        Pause::Target { .. } => vec![
            choice(whole("resume"), "check again, once you are connected to the right system"),
            choice(whole("cancel") + " --no-rollback", "end here and leave everything as it is"),
        ],
        Pause::Credentials { .. } => vec![choice(whole("resume"), "go on with fresh credentials")],
        Pause::Overtime { step, .. } => vec![
            choice(
                on("retry", step, ""),
                "go on from its last call; with MUSTER_SCRIPT_TIME=5m before it, give it longer",
            ),
            choice(on("skip", step, " -m 'WHY'"), "go on without it"),
            choice(on("done", step, " -m 'HOW YOU KNOW'"), "go on: it was done by hand"),
            undo_all(),
            choice(whole("cancel") + " --no-rollback", "end here and leave everything as it is"),
        ],
        Pause::Secret { step, .. } => vec![
            choice(on("accept", step, " -m 'HOW YOU KNOW'"), "it was changed on purpose: go on with the new value"),
            choice(whole("resume"), "look again, once the former value is back"),
            undo_all(),
            choice(whole("cancel") + " --no-rollback", "end here and leave everything as it is"),
        ],
        Pause::Undo { .. } => vec![
            choice(whole("rollback"), "try this undo again"),
            choice(whole("rollback") + " --force", "undo although somebody else has changed it since"),
            choice(whole("skip-undo") + " -m 'WHY'", "leave this effect standing and undo the rest"),
            choice(whole("cancel") + " --no-rollback", "end here and leave the rest as it is"),
        ],
        // What the step has read is recorded, and it would go the same way again: only another plan helps.
        Pause::OutsidePlan { .. } => vec![
            choice(
                format!("muster plan --run {run} --out FILE"),
                "plan what is left from here, and have that reviewed",
            ),
            choice(whole("resume") + " --plan FILE", "go on under that plan"),
            undo_all(),
            choice(whole("cancel") + " --no-rollback", "end here and leave everything as it is"),
        ],
        Pause::PointOfNoReturn { step } if back.under_way => vec![
            choice(back_to(step), "stop here; `muster resume` then runs again what came after"),
            choice(whole("rollback") + " --force", "undo past the point of no return"),
            choice(whole("cancel") + " --no-rollback", "end here and leave the rest as it is"),
        ],
        Pause::PointOfNoReturn { .. } => vec![choice(whole("resume"), "go on, knowing there is no way back")],
        Pause::RolledBackTo { .. } => {
            vec![choice(whole("resume"), "run the steps after it again"), undo_all()]
        }
    }
}

/// What comes next for the run as a whole.
#[must_use]
pub fn next(view: &View) -> Vec<Choice> {
    let Some(header) = view.header() else { return Vec::new() };
    let run = header.run.short();
    let choice = |command: String, what: &'static str| Choice { command, what };
    let mut all = Vec::new();
    match view.status() {
        RunStatus::Paused => return all,
        RunStatus::Running | RunStatus::Waiting | RunStatus::RollingBack => {
            all.push(choice(format!("muster resume {run}"), "go on from here"));
            all.push(choice(format!("muster cancel {run}"), "stop and undo"));
        }
        RunStatus::Failed | RunStatus::Cancelled | RunStatus::Killed => {
            let failed = view.steps().iter().find(|step| matches!(step.state, StepState::Failed { .. }));
            if let Some(step) = failed {
                let step = shell_word(step.path.step());
                let what = "a new run that keeps the results before this step";
                all.push(choice(format!("muster fork {run} --from {step}"), what));
            }
        }
        RunStatus::Succeeded | RunStatus::SucceededWithExceptions | RunStatus::RolledBack => {}
    }
    all.push(choice(format!("muster show {run} --calls"), "every call with its outcome"));
    all
}

/// The one command that takes this pause further, for lists.
#[must_use]
pub fn first(run: &str, pause: &Pause) -> Option<String> {
    of_pause(run, pause, Back::default()).into_iter().next().map(|choice| choice.command)
}

/// One line on what this pause waits for.
#[must_use]
pub fn reason(pause: &Pause) -> String {
    match pause {
        Pause::StepFailed { step } => format!("step {step} failed"),
        Pause::Approval { step } => format!("step {step} waits for approval"),
        Pause::Manual { step } => format!("step {step} is to be done by hand"),
        Pause::Question { step, question } => format!("step {step} asks: {}", super::brief::one_line(question)),
        Pause::InDoubt { step, call, reason } => {
            format!("step {step}: nobody knows whether call {call} was done: {}", super::brief::one_line(reason))
        }
        Pause::Target { .. } => "this is not the system the run was started on".to_owned(),
        Pause::Credentials { step, message } => {
            format!("step {step} needs credentials: {}", super::brief::one_line(message))
        }
        Pause::Overtime { step, message } => {
            format!("step {step} was stopped: {}", super::brief::one_line(message))
        }
        Pause::Secret { step, now, .. } => {
            let name = super::brief::one_line(&now.name());
            format!("step {step}: secret {name} is not what it was when this run first used it")
        }
        Pause::Undo { call, reason } => {
            format!("the undo of call {call} needs a decision: {}", super::brief::one_line(reason))
        }
        Pause::OutsidePlan { step, effect, approved } => {
            format!("step {step} is about to do what is {}: {}", outside_of(*approved), super::brief::one_line(effect))
        }
        Pause::PointOfNoReturn { step } => format!("step {step} is a point of no return"),
        Pause::RolledBackTo { step } => format!("rolled back to step {step}; the steps after it wait"),
    }
}
