//! What follows from what a person says: a pure function from state and command to facts, or a refusal.

use super::decide::{Settled, settled};
use super::effect::later;
use super::state::{CallKind, Rollback, RunState, StepStatus, Undone};
use super::unwind::stops_at;
use crate::journal::record::{Fact, Outcome, Pause};
use crate::model::command::{Actor, Command, Order};
use crate::model::fault::OpError;
use crate::model::forecast::PlanApproval;
use crate::model::status::RunStatus;
use crate::model::{StepPath, Timestamp, Value};
use crate::script::Program;

/// Why a command was not carried out: a sentence.
pub type Refusal = String;

/// The facts that follow from a command.
///
/// # Errors
/// A refusal; nothing follows then.
pub fn consider(program: &Program, state: &RunState, command: &Command, now: Timestamp) -> Result<Vec<Fact>, Refusal> {
    let by = command.by.clone();
    if state.finished.is_some() && !matches!(command.what, Order::Note { .. }) {
        return Err(format!("the run has ended ({})", state.status().as_str()));
    }
    let only_forward = match &command.what {
        Order::Retry { step, .. } => !state.pauses.iter().any(|pause| pause.holds() == Some(step)),
        Order::Skip { .. } | Order::Done { .. } => true,
        _ => false,
    };
    let stands = state.pauses.iter().any(|pause| matches!(pause, Pause::RolledBackTo { .. }));
    if only_forward && state.rollback.is_some() && !stands {
        return Err("the run is being rolled back: it goes forward again only once that is over \
                    (`muster rollback RUN --to STEP` stops it before that step is undone)"
            .to_owned());
    }
    match &command.what {
        Order::Note { text } => Ok(vec![Fact::Noted { by, text: text.clone() }]),
        Order::Resume => Ok(vec![Fact::Resumed { by }]),
        Order::Kill => {
            let open: Vec<String> = state
                .calls
                .iter()
                .filter(|call| call.is_open() && matches!(call.kind, CallKind::Effect { .. }))
                .map(|call| format!("{} ({}) is in doubt", call.id, call.op))
                .collect();
            let mut remarks = vec![format!("killed by {}", by.name)];
            remarks.extend(open);
            Ok(vec![Fact::Finished { status: RunStatus::Killed, remarks, outputs: Default::default() }])
        }
        Order::Cancel { no_rollback } => {
            if state.rollback.is_some() && !no_rollback {
                return Err("a rollback is under way already (cancel --no-rollback ends it)".to_owned());
            }
            Ok(vec![Fact::Cancelling { by, no_rollback: *no_rollback }])
        }
        Order::Rollback { to, force } => {
            if let Some(to) = to {
                let known = state.step(to).is_some() || program.playbook.step(to.step()).is_some();
                if !known {
                    return Err(format!("there is no step `{to}`"));
                }
            }
            let is_same = |rollback: &Rollback| to.is_none() || rollback.to == *to;
            if state.rollback.as_ref().is_some_and(is_same) && !force {
                // A rollback that waits is taken up again.
                return Ok(vec![Fact::Resumed { by }]);
            }
            let reason = "asked for by an operator".to_owned();
            let rollback = Rollback { to: to.clone(), only: None, by, reason, force: *force };
            // Halfway back there is no way forward: it stops there now, or not at all.
            if let (Some(step), false) = (stops_at(program, state, &rollback), force) {
                return Err(format!(
                    "it would go past the point of no return of {step}; nothing was undone. `muster rollback RUN --to {step}` \
                     undoes what came after it, `--force` goes past it"
                ));
            }
            let Rollback { to, only, by, reason, force } = rollback;
            Ok(vec![Fact::RollbackBegun { to, only, by, reason, force }])
        }
        Order::SkipUndo { reason } => match state.pauses.iter().find_map(|pause| match pause {
            Pause::Undo { call, .. } => Some(call.clone()),
            _ => None,
        }) {
            Some(call) => {
                let mut facts = vec![Fact::UndoSkipped { call: call.clone(), reason: reason.clone(), by: Some(by) }];
                let own = program.playbook.step(call.step.step()).is_some_and(|step| step.rollback.is_some());
                if own {
                    facts.push(Fact::StepRolledBack { step: call.step });
                }
                Ok(facts)
            }
            None => Err("no undo waits for a decision".to_owned()),
        },
        Order::Accept { step, reason } => {
            if reason.trim().is_empty() {
                return Err("accepting a changed secret needs a reason".to_owned());
            }
            let changed = state.pauses.iter().find_map(|pause| match pause {
                Pause::Secret { step: of, now, .. } if of == step => Some(now.clone()),
                _ => None,
            });
            match changed {
                Some(secret) => Ok(vec![Fact::SecretAccepted { secret, by, reason: reason.clone() }]),
                None => Err(format!("{step} does not wait for a changed secret")),
            }
        }
        Order::Retry { step, from_start } => {
            let held = state.pauses.iter().any(|pause| pause.holds() == Some(step));
            match state.step(step).map(|s| &s.status) {
                Some(StepStatus::Failed { handled: false, .. }) if *from_start => {
                    let reason = format!("{step} is tried again from its start");
                    let rollback = Rollback { to: None, only: Some(step.clone()), by, reason, force: false };
                    if let Some(step) = stops_at(program, state, &rollback) {
                        return Err(format!(
                            "{step} is past its point of no return, and what it did would have to be undone; nothing was. Retry it \
                             without --from-start"
                        ));
                    }
                    let Rollback { to, only, by, reason, force } = rollback;
                    Ok(vec![Fact::RollbackBegun { to, only, by, reason, force }])
                }
                Some(StepStatus::Failed { handled: false, .. }) => {
                    Ok(vec![Fact::StepRetried { step: step.clone(), not_before: now, from_start: false }])
                }
                _ if held && *from_start => Err(format!(
                    "{step} has not failed, it is held up in the middle: there is no attempt to undo yet; \
                     retry it without --from-start, or roll the run back"
                )),
                // A call in doubt, or credentials: the world is asked again. A script that was stopped goes on from its last call;
                // where that was before its step had begun, nothing is recorded of the step.
                _ if held => Ok(vec![Fact::Resumed { by }]),
                Some(_) => Err(format!("{step} has not failed")),
                None => Err(unheard_of(step)),
            }
        }
        Order::Skip { step, reason, result } => {
            if reason.trim().is_empty() {
                return Err("skipping a step needs a reason".to_owned());
            }
            match state.step(step).map(|s| &s.status) {
                Some(
                    StepStatus::Failed { handled: false, .. }
                    | StepStatus::AwaitingApproval { .. }
                    | StepStatus::AwaitingManual { .. },
                ) => Ok(vec![Fact::StepSkipped {
                    step: step.clone(),
                    reason: reason.clone(),
                    by: Some(by),
                    result: result.clone(),
                }]),
                status
                    if overtime(state, step)
                        || status.is_none()
                            && program
                                .playbook
                                .step(step.step())
                                .is_some_and(|s| settled(state, s) == Settled::Open) =>
                {
                    Ok(vec![Fact::StepSkipped {
                        step: step.clone(),
                        reason: reason.clone(),
                        by: Some(by),
                        result: result.clone(),
                    }])
                }
                _ => Err(format!("{step} neither waits for a person nor has yet to begin")),
            }
        }
        Order::Done { step, evidence, result } => {
            if evidence.trim().is_empty() {
                return Err("a step done by hand needs evidence".to_owned());
            }
            match state.step(step).map(|s| &s.status) {
                None if !overtime(state, step) => Err(unheard_of(step)),
                status
                    if overtime(state, step)
                        || matches!(
                            status,
                            Some(StepStatus::Failed { handled: false, .. } | StepStatus::AwaitingManual { .. })
                        ) =>
                {
                    Ok(vec![Fact::StepDone {
                        step: step.clone(),
                        evidence: evidence.clone(),
                        by,
                        result: result.clone(),
                    }])
                }
                _ => Err(format!("{step} neither failed nor waits to be done by hand")),
            }
        }
        Order::Approve { step, role, reason, break_glass, valid_until, digest: shown } => {
            let present = need(state, step)?;
            let StepStatus::AwaitingApproval { by: approvers, digest, .. } = &present.status else {
                return Err(format!("{step} does not wait for approval"));
            };
            if shown.as_ref().is_some_and(|shown| shown != digest) {
                return Err(format!("what waits for approval at {step} is no longer what was shown"));
            }
            if present.given.iter().any(|given| given.by.is_same_person(&by) && given.counts(now)) {
                return Err(format!("{} has approved {step} already", by.name));
            }
            let longest = program.playbook.step(step.step()).and_then(|step| step.approval.as_ref()?.valid_for);
            let valid_until = sooner(*valid_until, longest.map(|longest| later(now, longest)));
            if valid_until.is_some_and(|until| until < now) {
                return Err(format!("the approval of {step} by {} has expired already", by.name));
            }
            let starter = state.header.as_ref().is_some_and(|header| header.by.is_same_person(&by));
            let user = by.name.split('@').next().unwrap_or(&by.name);
            let among = approvers.is_empty()
                || approvers.iter().any(|name| *name == by.name || name == user || role.as_ref() == Some(name));
            if *break_glass {
                if reason.as_deref().is_none_or(|reason| reason.trim().is_empty()) {
                    return Err("breaking the glass needs a reason".to_owned());
                }
            } else if starter {
                return Err(format!(
                    "{} started this run, and nobody approves what they started (in an emergency: --break-glass with a reason)",
                    by.name
                ));
            } else if !among {
                return Err(format!("{} is not among those who may approve {step}: {}", by.name, approvers.join(", ")));
            }
            Ok(vec![Fact::Approved {
                step: step.clone(),
                by,
                role: role.clone(),
                reason: reason.clone(),
                break_glass: *break_glass,
                digest: digest.clone(),
                valid_until,
            }])
        }
        Order::Bind { plan, moves, approvals } => {
            if state.is_quiescing() {
                return Err("the run is being cancelled or rolled back".to_owned());
            }
            if *moves != state.moves {
                return Err("the run has moved on since that plan was made".to_owned());
            }
            let mut facts = vec![Fact::PlanBound { plan: plan.clone(), by: by.clone() }];
            facts.extend(approvals.iter().map(|approval| Fact::PlanApproved { approval: approval.clone() }));
            facts.push(Fact::Resumed { by });
            Ok(facts)
        }
        Order::Reject { step, reason } => match &need(state, step)?.status {
            StepStatus::AwaitingApproval { .. } => Ok(vec![Fact::StepFailed {
                step: step.clone(),
                error: OpError::refused(format!("approval was refused by {}: {reason}", by.name)),
                handled: false,
            }]),
            _ => Err(format!("{step} does not wait for approval")),
        },
        Order::Answer { step, value } => {
            let Some(call) = state.open_call(step).filter(|call| call.op.starts_with("ask.")) else {
                return Err(format!("{step} asks nothing"));
            };
            let fits = match call.op.as_str() {
                "ask.confirm" => value.is_boolean(),
                "ask.choice" => {
                    call.args.get("options").and_then(Value::as_array).is_some_and(|all| all.contains(value))
                }
                _ => value.is_string(),
            };
            if !fits {
                return Err(format!("{value} is no answer to {}: {}", call.op, call.args));
            }
            Ok(vec![Fact::Ended {
                call: call.id.clone(),
                outcome: Outcome::Done { result: value.clone(), fingerprint: Value::Null },
            }])
        }
        Order::Settle { step, done, result, reason } => {
            let doubted = state.pauses.iter().find_map(|pause| match pause {
                Pause::InDoubt { step: of, call, .. } if of == step => Some(call.clone()),
                _ => None,
            });
            let Some(call) =
                doubted.filter(|call| state.call(call).is_some_and(|c| c.is_open() && c.undone == Undone::No))
            else {
                return Err(format!("{step} has no call in doubt"));
            };
            let fact = if *done {
                let outcome = Outcome::Done { result: result.clone().unwrap_or(Value::Null), fingerprint: Value::Null };
                Fact::Ended { call: call.clone(), outcome }
            } else {
                Fact::Probed { call: call.clone(), found: super::state::SETTLED_NOT_DONE.to_owned() }
            };
            Ok(vec![Fact::Noted { by, text: format!("settled {call}: {reason}") }, fact])
        }
    }
}

fn need<'s>(state: &'s RunState, step: &StepPath) -> Result<&'s super::state::StepState, Refusal> {
    state.step(step).ok_or_else(|| unheard_of(step))
}

fn unheard_of(step: &StepPath) -> Refusal {
    format!("there is no step `{step}` that has begun")
}

/// The step's script was stopped for the time it took.
fn overtime(state: &RunState, step: &StepPath) -> bool {
    state.pauses.iter().any(|pause| matches!(pause, Pause::Overtime { step: of, .. } if of == step))
}

/// The sooner of two instants, where there are any.
fn sooner(a: Option<Timestamp>, b: Option<Timestamp>) -> Option<Timestamp> {
    a.into_iter().chain(b).min()
}

/// The approvals that were given to the run's plan before it began and that count at this step, which waits for some: of those who
/// may give them, one each, still valid, and never of the starter.
#[must_use]
pub fn given_before(program: &Program, state: &RunState, step: &StepPath, now: Timestamp) -> Vec<Fact> {
    let longest = program.playbook.step(step.step()).and_then(|step| step.approval.as_ref()?.valid_for);
    let until = |approval: &PlanApproval| {
        longest.map_or(approval.valid_until, |longest| approval.valid_until.min(later(approval.at, longest)))
    };
    let (Some(plan), Some(present)) = (&state.plan, state.step(step)) else { return Vec::new() };
    let StepStatus::AwaitingApproval { by, count, .. } = &present.status else { return Vec::new() };
    let mut seen: Vec<&Actor> = present.given.iter().filter(|given| given.counts(now)).map(|given| &given.by).collect();
    let missing = (*count as usize).saturating_sub(seen.len());
    let counts = state.plan_approvals.iter().filter(|approval| {
        let starter = state.header.as_ref().is_some_and(|header| header.by.is_same_person(&approval.by));
        let fits = approval.digest == plan.digest && until(approval) >= now && approval.is_among(by) && !starter;
        fits && !seen.iter().any(|given| given.is_same_person(&approval.by)) && {
            seen.push(&approval.by);
            true
        }
    });
    counts
        .take(missing)
        .map(|approval| Fact::Approved {
            step: step.clone(),
            by: approval.by.clone(),
            role: approval.role.clone(),
            reason: approval.reason.clone(),
            break_glass: false,
            digest: approval.digest.clone(),
            valid_until: Some(until(approval)),
        })
        .collect()
}
