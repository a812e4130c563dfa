//! What people would say to a run in the sandbox.

use crate::engine::RunState;
use crate::engine::state::StepStatus;
use crate::model::command::{Actor, Command, Order};
use crate::model::{StepPath, Value};
use crate::playbook::trial::{Answers, Say};

/// Yes to everything: approvals, evidence of what is done by hand, questions, the first of several options. A question for a
/// text has no answer that could be made up.
#[must_use]
pub fn yes(state: &RunState) -> Vec<Command> {
    asked(state, |_, asked| match asked {
        Asked::Approval => Some(Say::Approve),
        Asked::Manual => Some(Say::Done("in the sandbox: nothing was done".to_owned())),
        Asked::Question("ask.confirm", _) => Some(Say::Answer(Value::Bool(true))),
        Asked::Question("ask.choice", args) => {
            args.get("options").and_then(|options| options.get(0)).cloned().map(Say::Answer)
        }
        Asked::Question(..) => None,
    })
}

/// What a test says.
pub(super) fn given(answers: &Answers, state: &RunState) -> Vec<Command> {
    match answers {
        Answers::None => Vec::new(),
        Answers::Yes => yes(state),
        Answers::Steps(steps) => asked(state, |path, asked| {
            let say = &steps.get(path.as_str()).or_else(|| steps.get(path.step()))?.value;
            let fits = matches!(
                (say, asked),
                (Say::Approve | Say::Reject(_), Asked::Approval)
                    | (Say::Done(_), Asked::Manual)
                    | (Say::Answer(_), Asked::Question(..))
            );
            fits.then(|| say.clone())
        }),
    }
}

/// What a step asks of people.
enum Asked<'s> {
    Approval,
    Manual,
    Question(&'s str, &'s Value),
}

fn asked(state: &RunState, say: impl Fn(&StepPath, &Asked<'_>) -> Option<Say>) -> Vec<Command> {
    let mut commands = Vec::new();
    for (path, step) in &state.steps {
        let (asked, by, role) = match &step.status {
            StepStatus::AwaitingApproval { by, .. } => {
                (Asked::Approval, format!("sandbox-{}", step.given.len() + 1), by.first().cloned())
            }
            StepStatus::AwaitingManual { .. } => (Asked::Manual, "sandbox-1".to_owned(), None),
            StepStatus::Running => {
                let open = step.body.last().map(|index| &state.calls[*index]).filter(|call| call.outcome.is_none());
                match open {
                    Some(call) if call.op.starts_with("ask.") => {
                        (Asked::Question(&call.op, &call.args), "sandbox-1".to_owned(), None)
                    }
                    _ => continue,
                }
            }
            _ => continue,
        };
        let step = path.clone();
        let what = match say(path, &asked) {
            None => continue,
            Some(Say::Approve) => {
                let reason = Some("in the sandbox".to_owned());
                Order::Approve { step, role, reason, break_glass: false, valid_until: None, digest: None }
            }
            Some(Say::Reject(reason)) => Order::Reject { step, reason },
            Some(Say::Answer(value)) => Order::Answer { step, value },
            Some(Say::Done(evidence)) => Order::Done { step, evidence, result: None },
        };
        commands.push(Command { by: Actor { name: by }, what });
    }
    commands
}
