//! The fold that makes a report out of a run's material.

use std::collections::{BTreeMap, BTreeSet};

use super::material::Material;
use super::report::{
    Approval, Effects, FORMAT, Failure, Held, Journal, NoReturn, Note, Ordered, Rollback, RunReport, Standing, StepEnd,
    StepReport, Times, Verified,
};
use super::wait::{Intervals, waits};
use super::words::millis;
use crate::engine::state::{CallState, RunState, StepState, StepStatus, Undone};
use crate::journal::{Fact, Outcome, Record};
use crate::model::command::{Command, Order};
use crate::model::status::RunStatus;
use crate::model::{Phase, StepPath, Timestamp};
use crate::ops;
use crate::plan::drill::DrillReport;
use crate::plan::report::Report as PlanReport;
use crate::playbook::bundle::{Bundle, hex};

impl RunReport {
    /// Of a run's material; `None` when its records are of no run.
    #[must_use]
    pub fn of(material: &Material) -> Option<Self> {
        let records = &material.records;
        let state = RunState::fold(records).ok()?;
        let header = state.header.as_ref()?;
        let last = records.last()?;
        let (engine, started) = match records.first()? {
            Record { fact: Fact::RunStarted { engine, .. }, at, .. } => (engine.clone(), *at),
            _ => return None,
        };
        let bundle = material.bundle.as_ref();
        let mut history = History::default();
        records.iter().for_each(|record| history.take(record));
        let ended = history.ended;
        let status = state.status();
        let waits = waits(records);
        let people = Intervals::of(waits.iter().map(|wait| (wait.from, wait.to.unwrap_or(last.at))));
        let proofs =
            Intervals::of(history.proofs.values().flatten().map(|(from, to, _)| (*from, to.unwrap_or(last.at))));
        let total_ms = millis(started, ended.unwrap_or(last.at));
        let verify_ms = people.and(&proofs).ms() - people.ms();
        let drill = DrillReport::fold(records).map(Box::new);
        let (rto_ms, rpo_ms) = match &drill {
            Some(drill) => (drill.rto_objective_ms, drill.rpo_objective_ms),
            None => {
                (bundle.and_then(|bundle| ms(bundle.playbook.rto)), bundle.and_then(|bundle| ms(bundle.playbook.rpo)))
            }
        };
        let finish = records.iter().find_map(|record| match &record.fact {
            Fact::Finished { remarks, outputs, .. } => Some((remarks.clone(), outputs.clone())),
            _ => None,
        });
        let (remarks, outputs) = finish.unwrap_or_default();
        Some(Self {
            format: FORMAT,
            run: header.run.clone(),
            playbook: header.playbook.clone(),
            title: bundle.map(|bundle| bundle.playbook.title.clone()).unwrap_or_default(),
            version: header.version.clone(),
            bundle: header.bundle.clone(),
            engine,
            mode: header.mode,
            status,
            by: header.by.name.clone(),
            started,
            ended,
            as_of: last.at,
            params: header.params.clone(),
            forked_from: header.forked_from.clone(),
            times: Times {
                total_ms,
                people_ms: people.ms(),
                verify_ms,
                machine_ms: total_ms.saturating_sub(people.ms() + verify_ms),
                rto_ms,
                rto_kept: rto_ms.and_then(|rto| match &drill {
                    Some(drill) => drilled(drill, rto),
                    None => kept(status, total_ms, rto),
                }),
                rpo_ms,
            },
            targets: state.targets.values().cloned().collect(),
            secrets: state.secrets.keys().cloned().collect(),
            holders: history.holders,
            steps: steps(&state, bundle, &history.proofs, last.at),
            failures: history.failures,
            approvals: history.approvals,
            no_return: history.no_return.into_iter().map(|(at, step)| no_return(at, step, bundle)).collect(),
            rollbacks: history.rollbacks,
            waits,
            orders: history.orders,
            notes: history.notes,
            effects: effects(&state),
            remarks,
            outputs,
            plan: PlanReport::of(&material.plans, records),
            drill,
            journal: Journal { records: records.len() as u64, hash: hex(&material.hash) },
        })
    }
}

fn ms(duration: Option<std::time::Duration>) -> Option<u64> {
    duration.map(|duration| u64::try_from(duration.as_millis()).unwrap_or(u64::MAX))
}

/// Whether the objective was kept; time that people take counts, the service is down meanwhile.
fn kept(status: RunStatus, took: u64, rto: u64) -> Option<bool> {
    match status {
        RunStatus::Succeeded | RunStatus::SucceededWithExceptions => Some(took <= rto),
        _ if !status.is_terminal() && took > rto => Some(false),
        _ => None,
    }
}

/// Whether a drill proved its recovery in time; one that ended without a proof did not.
fn drilled(drill: &DrillReport, rto: u64) -> Option<bool> {
    match (&drill.rto, drill.ended) {
        (Some(found), _) => Some(u64::try_from(found.total_ms).map_or(true, |took| took <= rto)),
        (None, Some(_)) => Some(false),
        (None, None) => None,
    }
}

fn no_return(at: Timestamp, step: StepPath, bundle: Option<&Bundle>) -> NoReturn {
    let declared = bundle.and_then(|bundle| bundle.playbook.steps.iter().find(|one| one.id.value == step.step()));
    let why = declared.and_then(|step| step.point_of_no_return.as_ref()).map(|why| why.value.clone());
    NoReturn { at, step, why: why.unwrap_or_default() }
}

/// What a pass over the records finds that the state at the end does not tell.
#[derive(Default)]
struct History {
    holders: Vec<Held>,
    failures: Vec<Failure>,
    approvals: Vec<Approval>,
    asked: BTreeMap<StepPath, Timestamp>,
    no_return: Vec<(Timestamp, StepPath)>,
    rollbacks: Vec<Rollback>,
    orders: Vec<Ordered>,
    notes: Vec<Note>,
    /// Of each step: since when its proof was asked, until when, and whether it held.
    proofs: Proofs,
    attempts: BTreeMap<StepPath, u32>,
    undos: BTreeSet<crate::model::CallId>,
    /// Whose order the records after it follow from.
    said: Option<Command>,
    ended: Option<Timestamp>,
}

impl History {
    fn take(&mut self, record: &Record) {
        let at = record.at;
        match &record.fact {
            Fact::Held { holder } => self.holders.push(Held { at, holder: holder.clone() }),
            Fact::StepStarted { step, attempt, .. } => {
                self.attempts.insert(step.clone(), *attempt);
            }
            Fact::Verifying { step, .. } => self.proofs.entry(step.clone()).or_default().push((at, None, None)),
            Fact::StepSucceeded { step, .. } => self.proven(step, at, true),
            Fact::StepFailed { step, error, handled } => {
                self.proven(step, at, false);
                self.failures.push(Failure {
                    at,
                    step: step.clone(),
                    attempt: self.attempts.get(step).copied().unwrap_or(0),
                    error: error.message.clone(),
                    then: if *handled { "the playbook goes on without it".to_owned() } else { String::new() },
                });
            }
            Fact::StepRetried { step, .. } => {
                let who = self.ordered(|order| matches!(order, Order::Retry { step: of, .. } if of == step));
                self.then(
                    step,
                    who.map_or("tried again by the playbook".to_owned(), |who| format!("tried again by {who}")),
                );
            }
            Fact::StepSkipped { step, reason, by: Some(by), .. } => {
                self.then(step, format!("skipped by {}: {reason}", by.name));
            }
            Fact::StepDone { step, evidence, by, .. } => {
                self.then(step, format!("done by hand by {}: {evidence}", by.name));
            }
            Fact::ApprovalAsked { step, .. } => {
                self.asked.insert(step.clone(), at);
            }
            Fact::Approved { step, by, role, reason, break_glass, digest, valid_until } => {
                self.approvals.push(Approval {
                    at,
                    step: Some(step.clone()),
                    by: by.name.clone(),
                    role: role.clone(),
                    reason: reason.clone(),
                    break_glass: *break_glass,
                    digest: digest.clone(),
                    valid_until: *valid_until,
                    waited_ms: self.asked.get(step).map(|asked| millis(*asked, at)),
                });
            }
            Fact::PlanApproved { approval } => self.approvals.push(Approval {
                at: approval.at,
                step: None,
                by: approval.by.name.clone(),
                role: approval.role.clone(),
                reason: approval.reason.clone(),
                break_glass: false,
                digest: approval.digest.clone(),
                valid_until: Some(approval.valid_until),
                waited_ms: None,
            }),
            Fact::NoReturn { step } => self.no_return.push((at, step.clone())),
            Fact::RollbackBegun { to, only, by, reason, force } => {
                let then = match only {
                    Some(_) => format!("undone and tried again, ordered by {}", by.name),
                    None => format!("rolled back by {}", by.name),
                };
                let open = self.failures.iter_mut().filter(|failure| failure.then.is_empty());
                open.filter(|failure| only.as_ref().is_none_or(|only| *only == failure.step))
                    .for_each(|failure| failure.then.clone_from(&then));
                self.rollbacks.push(Rollback {
                    at,
                    by: by.name.clone(),
                    reason: reason.clone(),
                    to: to.clone(),
                    only: only.clone(),
                    force: *force,
                    ended: None,
                    undone: 0,
                });
            }
            Fact::Intent { call, undoes: Some(_), .. } => {
                self.undos.insert(call.clone());
            }
            Fact::Ended { call, outcome: Outcome::Done { .. } } if self.undos.contains(call) => {
                if let Some(rollback) = self.rollbacks.last_mut() {
                    rollback.undone += 1;
                }
            }
            Fact::RollbackEnded { .. } => self.rollback_over(at),
            Fact::Commanded { command, refused } => {
                self.orders.push(Ordered {
                    at,
                    by: command.by.name.clone(),
                    order: told(&command.what),
                    refused: refused.clone(),
                });
                self.said = refused.is_none().then(|| command.clone());
            }
            Fact::Noted { by, text } => self.notes.push(Note { at, by: by.name.clone(), text: text.clone() }),
            Fact::Finished { .. } => {
                self.ended.get_or_insert(at);
                self.rollback_over(at);
                for failure in self.failures.iter_mut().filter(|failure| failure.then.is_empty()) {
                    "the run ended".clone_into(&mut failure.then);
                }
            }
            _ => {}
        }
    }

    fn rollback_over(&mut self, at: Timestamp) {
        if let Some(rollback) = self.rollbacks.last_mut() {
            rollback.ended.get_or_insert(at);
        }
    }

    fn proven(&mut self, step: &StepPath, at: Timestamp, held: bool) {
        if let Some(proof) = self.proofs.get_mut(step).and_then(|proofs| proofs.last_mut())
            && proof.1.is_none()
        {
            (proof.1, proof.2) = (Some(at), Some(held));
        }
    }

    /// What was done about the last failure of a step.
    fn then(&mut self, step: &StepPath, what: String) {
        let failure = self.failures.iter_mut().rev().find(|failure| failure.step == *step && failure.then.is_empty());
        if let Some(failure) = failure {
            failure.then = what;
        }
    }

    /// Who gave the last order, if it is such a one. It is used up.
    fn ordered(&mut self, is: impl Fn(&Order) -> bool) -> Option<String> {
        self.said.take_if(|said| is(&said.what)).map(|said| said.by.name)
    }
}

/// An order in a few words, as the command that gives it.
#[must_use]
pub fn told(order: &Order) -> String {
    match order {
        Order::Retry { step, from_start } => {
            format!("retry {step}{}", if *from_start { " from its start" } else { "" })
        }
        Order::Skip { step, reason, .. } => format!("skip {step}: {reason}"),
        Order::Done { step, evidence, .. } => format!("done {step}: {evidence}"),
        Order::Approve { step, break_glass, .. } => {
            format!("approve {step}{}", if *break_glass { " by break-glass" } else { "" })
        }
        Order::Reject { step, reason } => format!("reject {step}: {reason}"),
        Order::Answer { step, .. } => format!("answer {step}"),
        Order::Rollback { to: Some(step), force } => format!("rollback to {step}{}", forced(*force)),
        Order::Rollback { to: None, force } => format!("rollback{}", forced(*force)),
        Order::SkipUndo { reason } => format!("skip-undo: {reason}"),
        Order::Settle { step, done, reason, .. } => {
            format!("settle {step} as {}: {reason}", if *done { "done" } else { "not done" })
        }
        Order::Accept { step, reason } => format!("accept the changed secret of {step}: {reason}"),
        Order::Cancel { no_rollback } => {
            format!("cancel{}", if *no_rollback { ", effects left standing" } else { "" })
        }
        Order::Kill => "kill".to_owned(),
        Order::Note { .. } => "note".to_owned(),
        Order::Resume => "resume".to_owned(),
        Order::Bind { plan, .. } => format!("go on under plan {}", super::words::digest(&plan.digest)),
    }
}

fn forced(force: bool) -> &'static str {
    if force { ", by force" } else { "" }
}

/// A time in which a proof was asked, and whether it held.
type Proof = (Timestamp, Option<Timestamp>, Option<bool>);

type Proofs = BTreeMap<StepPath, Vec<Proof>>;

/// The steps in the playbook's order, the instances of a `foreach` step in its place.
fn steps(state: &RunState, bundle: Option<&Bundle>, proofs: &Proofs, last: Timestamp) -> Vec<StepReport> {
    let mut order: Vec<(StepPath, String)> = Vec::new();
    let mut told = BTreeSet::new();
    let of = |id: &str| {
        let instances = state.expanded.get(id).into_iter().flatten();
        let paths: Vec<StepPath> = instances.map(|(key, _)| StepPath::keyed(id, key)).collect();
        // The whole of a `foreach` step without instances is the step itself.
        if paths.is_empty() { vec![StepPath::of(id)] } else { paths }
    };
    for step in bundle.iter().flat_map(|bundle| &bundle.playbook.steps) {
        for path in of(&step.id.value) {
            told.insert(path.clone());
            order.push((path, step.title.clone()));
        }
        told.insert(StepPath::of(&step.id.value));
    }
    let known =
        |path: &StepPath| told.contains(path) || (path.key().is_none() && state.expanded.contains_key(path.as_str()));
    let more: Vec<_> =
        state.steps.keys().filter(|path| !known(path)).map(|path| (path.clone(), String::new())).collect();
    order.extend(more);
    let mut calls: BTreeMap<&StepPath, Vec<&CallState>> = BTreeMap::new();
    for call in &state.calls {
        calls.entry(&call.id.step).or_default().push(call);
    }
    let none = StepState::default();
    let ended = state.finished.is_some();
    let report = |(step, title): (StepPath, String)| {
        let own = state.steps.get(&step).unwrap_or(&none);
        let (end, why) = end_of(&own.status, ended);
        let effects = calls.get(&step).into_iter().flatten().filter(|call| is_effect(call));
        let (effects, undone) =
            effects.fold((0, 0), |(all, undone), call| (all + 1, undone + usize::from(call.undone == Undone::Yes)));
        let verified = proofs.get(&step).and_then(|proofs| proofs.last()).map(|(from, to, held)| Verified {
            held: *held,
            from: *from,
            ms: millis(*from, to.unwrap_or(last)),
        });
        StepReport {
            title,
            end,
            why,
            attempts: own.attempt,
            started: own.started,
            ended: own.ended,
            took_ms: own.started.zip(own.ended).map(|(from, to)| millis(from, to)),
            effects,
            undone,
            verified,
            rolled_back: own.rolled_back || (effects > 0 && undone == effects),
            step,
        }
    };
    order.into_iter().map(report).collect()
}

fn end_of(status: &StepStatus, run_ended: bool) -> (StepEnd, String) {
    match status {
        StepStatus::Succeeded { .. } => (StepEnd::Succeeded, String::new()),
        StepStatus::Done { by, evidence, .. } => (StepEnd::ByHand, format!("by {}: {evidence}", by.name)),
        StepStatus::Skipped { reason, by, .. } => {
            let by = by.as_ref().map(|by| format!(" (by {})", by.name)).unwrap_or_default();
            (StepEnd::Skipped, format!("{reason}{by}"))
        }
        StepStatus::Failed { error, handled: true } => (StepEnd::FailedHandled, error.message.clone()),
        StepStatus::Failed { error, handled: false } => (StepEnd::Failed, error.message.clone()),
        StepStatus::Pending => (StepEnd::NotReached, String::new()),
        StepStatus::AwaitingApproval { .. } => (StepEnd::Open, "waits for approval".to_owned()),
        StepStatus::AwaitingManual { .. } => (StepEnd::Open, "waits to be done by hand".to_owned()),
        StepStatus::Retrying { .. } if !run_ended => (StepEnd::Open, "waits to be tried again".to_owned()),
        StepStatus::Running | StepStatus::Verifying { .. } | StepStatus::Retrying { .. } => {
            (StepEnd::Open, if run_ended { "the run ended before it did" } else { "at work" }.to_owned())
        }
    }
}

fn is_effect(call: &CallState) -> bool {
    use crate::engine::state::CallKind;
    matches!(call.kind, CallKind::Effect { undoes: None, .. }) && call.id.phase != Phase::Rollback
}

fn effects(state: &RunState) -> Effects {
    let mut found = Effects::default();
    for call in state.calls.iter().filter(|call| is_effect(call)) {
        found.sent += 1;
        match &call.outcome {
            Some(Outcome::Done { .. }) => found.done += 1,
            Some(Outcome::Error { .. }) => found.failed += 1,
            None => found.open += 1,
        }
        match &call.undone {
            Undone::Yes => found.undone += 1,
            Undone::Skipped(why) => found.standing.push(Standing {
                call: call.id.clone(),
                op: call.op.clone(),
                resource: ops::find(&call.op).map(|entry| (entry.resource)(&call.args)).unwrap_or_default(),
                why: why.clone(),
            }),
            Undone::No => {}
        }
    }
    found
}
