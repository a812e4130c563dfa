//! Exit codes: distinct where a caller would act differently.

use std::process::ExitCode;

use super::render::view::View;
use crate::journal::Pause;
use crate::model::status::RunStatus;

/// What the process tells its caller.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
#[repr(u8)]
pub enum Code {
    /// Done; or a plan without changes.
    Done = 0,
    /// Something went wrong that no other code names.
    Error = 1,
    /// The plan has changes.
    Changes = 2,
    /// The playbook or its parameters are invalid.
    Invalid = 3,
    /// A precondition failed; nothing was touched.
    Precondition = 4,
    /// The run failed and was rolled back cleanly.
    RolledBack = 5,
    /// The run failed and a person has to look.
    NeedsPerson = 6,
    /// The run waits for a person, or was left for later.
    Paused = 7,
    /// What was approved is not what would run.
    Stale = 8,
    /// The plan could not see everything.
    Incomplete = 9,
    /// The run was cancelled.
    Cancelled = 10,
    /// The drill ended, later than its objective allows.
    MissedObjective = 11,
    /// The run ended well, but something failed and was handled, or was skipped.
    Exceptions = 12,
}

/// The table as printed by `muster help exit-codes`.
pub const TABLE: [(Code, &str); 13] = [
    (Code::Done, "done; or a plan without changes; or every check passes"),
    (Code::Error, "error"),
    (Code::Changes, "the plan has changes (only with --detailed-exitcode)"),
    (Code::Invalid, "invalid playbook or parameters"),
    (Code::Precondition, "a precondition or a check failed; nothing was touched"),
    (Code::RolledBack, "failed, and rolled back cleanly"),
    (Code::NeedsPerson, "failed, and a person is needed: a rollback is incomplete or a call is in doubt"),
    (Code::Paused, "paused: waits for an approval or an operator's choice, or was left for `muster resume`"),
    (Code::Stale, "stale or diverging plan refused"),
    (
        Code::Incomplete,
        "the plan is incomplete: it has opaque or unknown steps (only with --detailed-exitcode); or a check cannot be told",
    ),
    (Code::Cancelled, "cancelled"),
    (Code::MissedObjective, "the drill ended but missed an objective"),
    (Code::Exceptions, "succeeded with exceptions: something failed and was handled, or was skipped"),
];

impl Code {
    /// What `run`, `resume` and the commands that continue a run exit with, once they let go of it.
    #[must_use]
    pub fn of_run(view: &View) -> Self {
        match view.status() {
            RunStatus::SucceededWithExceptions if view.drill().is_some_and(|drill| !drill.missed.is_empty()) => {
                Self::MissedObjective
            }
            RunStatus::Succeeded => Self::Done,
            RunStatus::SucceededWithExceptions => Self::Exceptions,
            RunStatus::RolledBack => Self::RolledBack,
            RunStatus::Cancelled if view.has_doubt() => Self::NeedsPerson,
            RunStatus::Cancelled => Self::Cancelled,
            RunStatus::Failed if !view.has_effects() => Self::Precondition,
            RunStatus::Failed => Self::NeedsPerson,
            RunStatus::Killed if view.has_doubt() => Self::NeedsPerson,
            RunStatus::Killed => Self::Cancelled,
            RunStatus::Running | RunStatus::Waiting | RunStatus::Paused | RunStatus::RollingBack => {
                let grave = |pause: &Pause| {
                    matches!(pause, Pause::InDoubt { .. } | Pause::Undo { .. } | Pause::PointOfNoReturn { .. })
                };
                if view.pauses().iter().any(grave) { Self::NeedsPerson } else { Self::Paused }
            }
        }
    }

    /// The table as text, one code a line.
    #[must_use]
    pub fn table() -> String {
        TABLE.iter().map(|(code, meaning)| format!("{:>4}  {meaning}\n", *code as u8)).collect()
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        Self::from(code as u8)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_names_every_code_once_in_order() {
        for (place, (code, _)) in TABLE.iter().enumerate() {
            assert_eq!(usize::from(*code as u8), place);
        }
    }
}
