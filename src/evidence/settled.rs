//! Which record ends which pause.

use crate::journal::{Fact, Pause};
use crate::model::StepPath;

/// Whether this fact means that nobody has to look at this pause any more.
#[must_use]
pub fn by(fact: &Fact, pause: &Pause) -> bool {
    match pause {
        Pause::StepFailed { step } => moves_on(fact, step),
        Pause::Approval { step } => {
            moves_on(fact, step) || matches!(fact, Fact::StepFailed { step: failed, .. } if failed == step)
        }
        Pause::Manual { step } => {
            moves_on(fact, step) || matches!(fact, Fact::StepFailed { step: failed, .. } if failed == step)
        }
        Pause::Question { step, .. } => {
            moves_on(fact, step) || matches!(fact, Fact::Ended { call, .. } if call.step == *step)
        }
        Pause::InDoubt { call, .. } => match fact {
            Fact::Ended { call: settled, .. } | Fact::Resent { call: settled, .. } => settled == call,
            Fact::Finished { .. } => true,
            _ => false,
        },
        Pause::Target { .. } | Pause::PointOfNoReturn { .. } | Pause::RolledBackTo { .. } => goes_on(fact),
        Pause::Credentials { step, .. } | Pause::Overtime { step, .. } | Pause::OutsidePlan { step, .. } => {
            goes_on(fact) || moves_on(fact, step)
        }
        Pause::Secret { step, now, .. } => {
            matches!(fact, Fact::SecretAccepted { secret, .. } if secret == now)
                || goes_on(fact)
                || moves_on(fact, step)
        }
        Pause::Undo { call, .. } => match fact {
            Fact::UndoSkipped { call: left_out, .. } => left_out == call,
            Fact::Intent { undoes: Some(undone), .. } => undone == call,
            other => goes_on(other),
        },
    }
}

/// The step was begun, ended or left behind.
fn moves_on(fact: &Fact, step: &StepPath) -> bool {
    match fact {
        Fact::StepStarted { step: moved, .. }
        | Fact::StepRetried { step: moved, .. }
        | Fact::Verifying { step: moved, .. }
        | Fact::StepSucceeded { step: moved, .. }
        | Fact::StepSkipped { step: moved, .. }
        | Fact::StepDone { step: moved, .. } => moved == step,
        Fact::RollbackBegun { .. } | Fact::TeardownBegun { .. } | Fact::Finished { .. } => true,
        _ => false,
    }
}

/// A person let the run go on. The order itself settles nothing: it may be refused.
fn goes_on(fact: &Fact) -> bool {
    matches!(
        fact,
        Fact::Resumed { .. } | Fact::RollbackBegun { .. } | Fact::TeardownBegun { .. } | Fact::Finished { .. }
    )
}
