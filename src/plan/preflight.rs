//! What a plan knows of the preconditions of its run: the checks that were asked before it, and what follows from the plan itself.

use std::time::Duration;

use super::unseen;
use super::{Plan, PlannedCall, PlannedStep, StepOutcome};
use crate::engine::state::RunState;
use crate::journal::record::{Fact, Record};
use crate::model::Value;
use crate::model::amount::format_duration;
use crate::model::check::{Check, Source, Verdict};
use crate::model::secret::handles_in;
use crate::script::Program;

/// How the ids of checks begin that ask for a program.
pub const PROGRAM: &str = "program.";
/// What stands for the client of containers, whichever it is.
pub const CONTAINERS: &str = "containers";

/// How the ids of checks begin that ask whether a secret can be read; the parameter's name follows.
pub const SECRET: &str = "secret.";

/// The checks that were asked before the first step: the playbook's first. A program or secret that is missing is no matter where the
/// whole plan is known and nothing uses it: in the plan, or in what a plan does not show the calls of.
pub(super) fn found(records: &[Record], steps: &[PlannedStep], state: &RunState, program: &Program) -> Vec<Check> {
    let mut all: Vec<Check> = records
        .iter()
        .filter_map(|record| match &record.fact {
            Fact::Checked { check } => Some(check.clone()),
            _ => None,
        })
        .collect();
    all.sort_by_key(|check| check.source);
    let whole = is_followed(steps);
    for check in all.iter_mut().filter(|check| check.verdict == Verdict::Fail) {
        let mut calls = steps.iter().flat_map(|step| &step.calls);
        let (used, lacking) = if let Some(program) = check.id.strip_prefix(PROGRAM) {
            (calls.any(|call| uses(call, program)), "not here".to_owned())
        } else if let Some(secret) = check.id.strip_prefix(SECRET) {
            let params = state.header.as_ref().map(|header| &header.params);
            let handles = params.and_then(|params| params.get(secret)).map(handles_in).unwrap_or_default();
            let named = |handle: &&Value| handles.contains(handle);
            let mut used = calls.any(|call| handles_in(&call.args).iter().any(named));
            if !used && let Some(place) = unseen::user_of(&handles, steps, state, program) {
                check.found = format!("{}, and {place} uses it", check.found);
                used = true;
            }
            (used, check.found.clone())
        } else {
            continue;
        };
        if used {
            continue;
        }
        if whole {
            check.verdict = Verdict::Pass;
            check.found = format!("{lacking}, and nothing in this plan uses it");
            check.hint = None;
        } else {
            check.verdict = Verdict::Unknown;
            check.found = format!("{}; what of the plan could be followed does not use it", check.found);
        }
    }
    all
}

/// Whether a call runs this program on this machine.
fn uses(call: &PlannedCall, program: &str) -> bool {
    match call.op.split('.').next() {
        Some("exec") => {
            let first = call.args.pointer("/argv/0").and_then(Value::as_str);
            // A name that only the run will know may be any.
            first.is_none_or(|first| first.rsplit('/').next() == Some(program))
        }
        Some("docker") => program == CONTAINERS,
        Some("pg") => {
            let inside = call.args.pointer("/server/container").is_some_and(|name| !name.is_null());
            if inside { program == CONTAINERS } else { needs_of(&call.op).contains(&program) }
        }
        _ => false,
    }
}

/// The programs of PostgreSQL that an operation of `pg` runs on this machine when its server is in no container.
#[must_use]
pub fn needs_of(op: &str) -> &'static [&'static str] {
    match op {
        "pg.dump" => &["psql", "pg_dump", "pg_restore"],
        "pg.restore" | "pg.check_dump" => &["psql", "pg_restore"],
        _ => &["psql"],
    }
}

/// Whether every step was followed to its end.
fn is_followed(steps: &[PlannedStep]) -> bool {
    steps.iter().all(|step| {
        matches!(step.outcome, StepOutcome::Done | StepOutcome::Runs | StepOutcome::Skipped { .. })
            && step.not_followed.is_empty()
    })
}

/// What follows from a plan itself: whether it comes to its end, and in time.
#[must_use]
pub fn of(plan: &Plan) -> Vec<Check> {
    let mut all = vec![followed(plan)];
    all.extend(in_time(plan));
    all
}

fn followed(plan: &Plan) -> Check {
    let check = |verdict| Check::new("plan.end", "the plan comes to its end", Source::Plan, verdict);
    let again = format!("`muster plan {}` shows where", plan.playbook);
    let failing = plan.steps.iter().find_map(|step| match &step.outcome {
        StepOutcome::Fails { error } => Some(format!("step {} would fail: {error}", step.step)),
        _ => None,
    });
    if let Some(found) = failing {
        return check(Verdict::Fail).found(found).hint(again);
    }
    let refused = plan.steps.iter().find_map(|step| {
        let call = step.calls.iter().find(|call| call.refused.is_some() && call.branch.is_empty() && call.writes)?;
        Some(format!("{} in step {} would be refused: {}", call.op, step.step, call.refused.as_deref()?))
    });
    if let Some(found) = refused {
        return check(Verdict::Fail).found(found).hint(again);
    }
    let open: Vec<&str> = plan
        .steps
        .iter()
        .filter(|step| !is_followed(std::slice::from_ref(step)))
        .map(|step| step.step.as_str())
        .collect();
    if !open.is_empty() {
        return check(Verdict::Unknown)
            .found(format!("it could not be followed through {}", open.join(", ")))
            .hint(again);
    }
    let runs = plan.steps.iter().filter(|step| step.outcome == StepOutcome::Runs).count();
    let stops = plan.steps.iter().filter(|step| !step.stops_if.is_empty()).count();
    let mut said = format!("{runs} of {} steps run, {} effects", plan.steps.len(), plan.effects);
    if stops > 0 {
        said.push_str(&format!("; {stops} would stop at something that only the run will find"));
    }
    check(Verdict::Pass).found(said)
}

fn in_time(plan: &Plan) -> Option<Check> {
    let shown = |millis: u64| format_duration(Duration::from_millis(millis));
    let (rto, takes) = (plan.objectives.rto_ms?, plan.timeline.total_ms);
    let check = |verdict| Check::new("plan.rto", "the run keeps the recovery time objective", Source::Plan, verdict);
    // A plan that ends early says nothing of how long the run takes.
    let ends = is_followed(&plan.steps);
    let said = format!("{} of {}, without the time that people take", shown(takes), shown(rto));
    Some(if takes > rto {
        check(Verdict::Fail).found(said).hint("make it shorter, or set an objective that can be kept")
    } else if !ends {
        check(Verdict::Unknown).found(format!("{} as far as the plan goes, of {}", shown(takes), shown(rto)))
    } else if !plan.timeline.open_ended.is_empty() {
        let steps: Vec<String> = plan.timeline.open_ended.iter().map(ToString::to_string).collect();
        let why = format!("{said}; loops in {} are counted as one round", steps.join(", "));
        check(Verdict::Unknown).found(why)
    } else {
        check(Verdict::Pass).found(said)
    })
}
