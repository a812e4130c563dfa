//! Where a run stands, as people are told: projections of its state.

use super::state::{CallKind, CallState, RunState, StepState, StepStatus, concerns_call};
use crate::journal::record::{Pause, outside_of};
use crate::model::status::RunStatus;
use crate::model::{StepPath, Value};

impl RunState {
    /// Everything a person has to see to.
    #[must_use]
    pub fn waiting_for_people(&self) -> Vec<Pause> {
        let mut all = self.pauses.clone();
        if self.finished.is_some() || self.rollback.is_some() {
            return all;
        }
        for (path, step) in &self.steps {
            let pause = match &step.status {
                StepStatus::AwaitingApproval { .. } => Pause::Approval { step: path.clone() },
                StepStatus::AwaitingManual { .. } => Pause::Manual { step: path.clone() },
                StepStatus::Failed { handled: false, .. } => Pause::StepFailed { step: path.clone() },
                StepStatus::Running => match self.open_question(step) {
                    Some(question) => Pause::Question { step: path.clone(), question },
                    None => continue,
                },
                _ => continue,
            };
            if !all.contains(&pause) {
                all.push(pause);
            }
        }
        all
    }

    fn open_question(&self, step: &StepState) -> Option<String> {
        let call = &self.calls[*step.body.last()?];
        (call.is_open() && call.op.starts_with("ask."))
            .then(|| call.args.get("question").and_then(Value::as_str).unwrap_or_default().to_owned())
    }

    /// The open call of a step's body or rollback, if it has one.
    #[must_use]
    pub fn open_call(&self, path: &StepPath) -> Option<&CallState> {
        let step = self.steps.get(path)?;
        let open = |calls: &[usize]| {
            self.open_calls().find(|(index, _)| calls.binary_search(index).is_ok()).map(|(_, call)| call)
        };
        open(&step.body).or_else(|| open(&step.rollback))
    }

    /// Where the run stands.
    #[must_use]
    pub fn status(&self) -> RunStatus {
        if let Some((status, _)) = &self.finished {
            return *status;
        }
        if !self.pauses.is_empty() && (self.rollback.is_some() || self.cancelling.is_some()) {
            return RunStatus::Paused;
        }
        if self.rollback.is_some() {
            return RunStatus::RollingBack;
        }
        // These hold back the whole run.
        if self.pauses.iter().any(|pause| matches!(pause, Pause::Target { .. } | Pause::RolledBackTo { .. })) {
            return RunStatus::Paused;
        }
        let people = self.waiting_for_people();
        let held = |path: &StepPath| people.iter().any(|pause| pause.holds() == Some(path));
        let mut waits = false;
        for (path, step) in &self.steps {
            match &step.status {
                StepStatus::Running => match self.open_call(path) {
                    Some(call) if matches!(call.kind, CallKind::Wait { .. }) => waits |= !call.op.starts_with("ask."),
                    Some(call) if people.iter().any(|pause| concerns_call(pause, &call.id)) => {}
                    _ if held(path) => {}
                    _ => return RunStatus::Running,
                },
                StepStatus::Verifying { .. } | StepStatus::Retrying { .. } => waits |= !held(path),
                _ => {}
            }
        }
        if waits {
            RunStatus::Waiting
        } else if people.is_empty() {
            RunStatus::Running
        } else {
            RunStatus::Paused
        }
    }

    /// One line on what it does, waits for, or why it is paused.
    #[must_use]
    pub fn detail(&self) -> String {
        let told = self.doing();
        match (&self.drill, told.is_empty()) {
            (None, _) => told,
            (Some(_), true) => "drill".to_owned(),
            (Some(_), false) => format!("drill: {told}"),
        }
    }

    fn doing(&self) -> String {
        if let Some((_, remarks)) = &self.finished {
            return remarks.first().cloned().unwrap_or_default();
        }
        if let Some(pause) = self.waiting_for_people().first() {
            return describe(pause, self);
        }
        let running: Vec<&str> = self
            .steps
            .iter()
            .filter(|(_, step)| {
                matches!(step.status, StepStatus::Running | StepStatus::Verifying { .. } | StepStatus::Retrying { .. })
            })
            .map(|(path, _)| path.as_str())
            .collect();
        running.join(", ")
    }
}

/// A pause in one line.
#[must_use]
pub fn describe(pause: &Pause, state: &RunState) -> String {
    match pause {
        Pause::StepFailed { step } => match state.step(step).map(|s| &s.status) {
            Some(StepStatus::Failed { error, .. }) => format!("{step} failed: {}", error.message),
            _ => format!("{step} failed"),
        },
        Pause::Approval { step } => format!("{step} waits for approval"),
        Pause::Manual { step } => format!("{step} is done by hand"),
        Pause::Question { step, question } => format!("{step} asks: {question}"),
        Pause::InDoubt { step, call, reason } => format!("{step}: call {call} is in doubt: {reason}"),
        Pause::Target { .. } => "the systems it works on are not those it began with".to_owned(),
        Pause::Credentials { step, message } | Pause::Overtime { step, message } => format!("{step}: {message}"),
        Pause::Secret { step, now, .. } => format!("{step}: secret {} has changed", now.name()),
        Pause::Undo { call, reason } => format!("undo of {call}: {reason}"),
        Pause::OutsidePlan { step, effect, approved } => {
            format!("{step} is about to do what is {}: {effect}", outside_of(*approved))
        }
        Pause::PointOfNoReturn { step } => format!("rolling back would go past the point of no return of {step}"),
        Pause::RolledBackTo { step } => format!("rolled back to {step}"),
    }
}
