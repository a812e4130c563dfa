//! Plain progress, for pipes and logs: a record becomes one line, or none.

use super::brief::{self, one_line};
use super::choices;
use super::look::{Look, Tone};
use super::view::{CallState, CallView, View};
use super::when;
use crate::journal::{Fact, Outcome, Record};
use crate::model::command::Order;
use crate::model::status::Mode;
use crate::model::{CallId, Phase};
use crate::ops::Effect;

/// Reads shorter than this are not worth a line.
const SLOW_READ_MS: u128 = 2000;

/// The line of a record that `view` has just taken in; nothing for records only machines care about.
#[must_use]
pub fn of(view: &View, record: &Record, look: Look) -> Option<String> {
    let (who, what) = words(view, record, look)?;
    let time = look.paint(Tone::Faint, &when::time(record.at));
    Some(if who.is_empty() { format!("{time}  {what}") } else { format!("{time}  {who}  {what}") })
}

fn words(view: &View, record: &Record, look: Look) -> Option<(String, String)> {
    let good = |text: &str| look.paint(Tone::Good, text);
    let bad = |text: &str| look.paint(Tone::Bad, text);
    let warn = |text: &str| look.paint(Tone::Warn, text);
    let run = |text: String| Some((String::new(), text));
    let of = |step: &crate::model::StepPath, text: String| Some((step.to_string(), text));
    match &record.fact {
        Fact::RunStarted { run: id, playbook, version, mode, by, .. } => {
            let mode = match mode {
                Mode::Live => "",
                Mode::Plan => ", as a plan",
                Mode::Sandbox => ", in the sandbox",
            };
            run(format!("run {} of {playbook} {version} started by {}{mode}", id, by.name))
        }
        Fact::Held { holder } if record.epoch > 1 => run(format!("carried on (holder {})", one_line(holder))),
        Fact::TargetMet { target } => {
            run(format!("works on {} ({})", one_line(&target.name), one_line(&target.identity)))
        }
        Fact::SecretAccepted { secret, by, reason } => run(format!(
            "new value of secret {} accepted by {}: {}",
            one_line(&secret.name()),
            by.name,
            one_line(reason)
        )),
        Fact::Expanded { step, items, .. } => {
            let keys: Vec<&str> = items.iter().map(|(key, _)| key.as_str()).collect();
            of(step, format!("{} instances: {}", items.len(), brief::cut(&one_line(&keys.join(", ")), 80)))
        }
        Fact::StepStarted { step, attempt: 1, .. } => of(step, "started".to_owned()),
        Fact::StepStarted { step, attempt, keep, .. } => {
            let kept = if *keep > 0 { format!(", {keep} calls kept") } else { String::new() };
            of(step, format!("started again (attempt {attempt}{kept})"))
        }
        Fact::StepRetried { step, not_before, from_start } => {
            let wait = when::between(record.at, *not_before);
            let when = if wait.is_zero() { String::new() } else { format!(" in {}", when::took(wait)) };
            let how = if *from_start { "undone and begun anew" } else { "tried again" };
            of(step, format!("will be {how}{when}"))
        }
        Fact::Intent { call, op, args, undoes, .. } => {
            let verb = if undoes.is_some() { warn("undo ") } else { String::new() };
            of(&call.step, format!("{verb}{} started{}", op, tail(&brief::args(args))))
        }
        Fact::PlanApproved { approval } => run(format!("the plan was approved by {}", approval.by.name)),
        Fact::PlanBound { plan, by } => {
            run(format!("bound to the plan {} by {}", plan.digest.get(..12).unwrap_or_default(), by.name))
        }
        Fact::WaitBegun { call, op, args, until, .. } => {
            let until = until.map(|until| format!(" until {}", when::time(until))).unwrap_or_default();
            of(&call.step, format!("{op} waits{until}{}", tail(&brief::args(args))))
        }
        Fact::Called { call, op, args, outcome, .. } | Fact::Foreseen { call, op, args, outcome, .. } => {
            called(view, call, op, args, outcome, look)
        }
        Fact::RunsIf { step, decision } => of(step, format!("runs only if {}", one_line(&decision.question))),
        Fact::Checked { .. } | Fact::Foretold { .. } | Fact::PathsForeseen { .. } | Fact::RestForeseen => None,
        Fact::Ended { call, outcome } => {
            let entry = view.call(call)?;
            let took = when::took(when::between(entry.begun, record.at));
            let name = if entry.undoes.is_some() { format!("undo {}", entry.op) } else { entry.op.clone() };
            let what = match outcome {
                Outcome::Done { .. } => format!("{name} {} ({took})", good("done")),
                Outcome::Error { error } => format!("{name} {} ({took}): {}", bad("failed"), one_line(&error.message)),
            };
            of(&call.step, what)
        }
        Fact::Probed { call, found } => {
            of(&call.step, format!("{} asked about: {}", name(view, call), one_line(found)))
        }
        Fact::Resent { call, .. } => of(&call.step, format!("{} was not done: sent again", name(view, call))),
        Fact::NoReturn { step } => of(step, warn("point of no return")),
        Fact::Verifying { step, until, .. } => {
            of(step, format!("verifying, until {} at the latest", when::time(*until)))
        }
        Fact::StepSucceeded { step, .. } => {
            let took =
                view.find(step).and_then(|step| step.begun).map(|begun| when::took(when::between(begun, record.at)));
            of(step, format!("{} ({})", good("succeeded"), took.unwrap_or_default()))
        }
        Fact::StepFailed { step, error, handled } => {
            let how = if *handled { warn("failed, handled") } else { bad("failed") };
            of(step, format!("{how}: {}", one_line(&error.message)))
        }
        Fact::StepSkipped { step, reason, by, .. } => {
            let by = by.as_ref().map(|by| format!(" by {}", by.name)).unwrap_or_default();
            of(step, format!("skipped{by}: {}", one_line(reason)))
        }
        Fact::StepDone { step, evidence, by, .. } => {
            of(step, format!("done by hand by {}: {}", by.name, one_line(evidence)))
        }
        Fact::ApprovalAsked { step, by, count, again, tree, unforeseen, .. } => {
            let by = if by.is_empty() { "anybody but the starter".to_owned() } else { by.join(", ") };
            let again = again.as_ref().map(|why| format!(" again, since {}", one_line(why))).unwrap_or_default();
            let many = if *count == 1 { "" } else { "s" };
            let of_what = match (tree, unforeseen) {
                (Some(tree), _) if tree.effects == 1 => ", which lets it do 1 effect".to_owned(),
                (Some(tree), _) => format!(", which lets it do {} effects", tree.effects),
                (None, Some(why)) => format!("; what it would do could not be foreseen: {}", one_line(why)),
                (None, None) => String::new(),
            };
            of(step, warn(&format!("waits{again} for {count} approval{many} by {by}{of_what}")))
        }
        Fact::Approved { step, by, reason, valid_until, .. } => {
            let reason = reason.as_ref().map(|reason| format!(": {}", one_line(reason))).unwrap_or_default();
            let until = valid_until.map(|until| format!(" until {}", when::instant(until))).unwrap_or_default();
            of(step, format!("approved by {}{until}{reason}", by.name))
        }
        Fact::ManualAsked { step, instructions } => of(step, warn(&format!("by hand: {}", one_line(instructions)))),
        Fact::Paused { pause } => run(warn(&format!("paused: {}", choices::reason(pause)))),
        Fact::Resumed { by } => run(format!("resumed by {}", by.name)),
        Fact::Commanded { command, refused } => {
            let said = format!("{} by {}", order(&command.what), command.by.name);
            run(match refused {
                Some(why) => warn(&format!("{said} was refused: {}", one_line(why))),
                None => said,
            })
        }
        Fact::Noted { by, text } => run(format!("note by {}: {}", by.name, one_line(text))),
        Fact::RollbackBegun { to, by, reason, .. } => {
            let to = to.as_ref().map(|to| format!(" down to {to}")).unwrap_or_default();
            run(warn(&format!("rolling back{to}, by {}: {}", by.name, one_line(reason))))
        }
        Fact::RollbackFailed { step, error } => {
            of(step, bad(&format!("rollback failed: {}", one_line(&error.message))))
        }
        Fact::StepRolledBack { step } => of(step, "rolled back".to_owned()),
        Fact::RollbackEnded { .. } => run("rolled back as far as asked".to_owned()),
        Fact::UndoSkipped { call, reason, .. } => {
            of(&call.step, warn(&format!("undo of {} left out: {}", name(view, call), one_line(reason))))
        }
        Fact::Cancelling { by, .. } => run(warn(&format!("cancelled by {}: calls in flight end", by.name))),
        Fact::Finished { status, .. } => run(format!("run {}", status.as_str())),
        Fact::ApprovalWaived { step, reason } => of(step, format!("needs no approval: {}", one_line(reason))),
        Fact::DrillMeasured { rpo_ms, faults, .. } => {
            let rpo = rpo_ms.map(|rpo| format!(", RPO {}", when::millis(rpo))).unwrap_or_default();
            let faults: String =
                faults.iter().map(|(name, why)| format!("; `{name}` could not be: {}", one_line(why))).collect();
            let rto =
                view.drill().and_then(|drill| drill.rto).map(|rto| when::millis(rto.total_ms)).unwrap_or_default();
            run(format!("measured: RTO {rto}{rpo}{faults}"))
        }
        Fact::TeardownBegun { teardown } => run(format!("tearing down: {}", one_line(&teardown.reason()))),
        Fact::DrillSwept { looked, leaks, .. } if leaks.is_empty() => {
            run(format!("{} is left of what the drill made ({looked} looked for)", good("nothing")))
        }
        Fact::DrillSwept { leaks, .. } => {
            let left: Vec<String> = leaks.iter().map(|leak| one_line(&leak.resource)).collect();
            run(bad(&format!("left behind: {}", left.join(", "))))
        }
        Fact::Held { .. } | Fact::SecretMet { .. } => None,
    }
}

fn called(
    view: &View,
    call: &CallId,
    op: &str,
    args: &crate::model::Value,
    outcome: &Outcome,
    look: Look,
) -> Option<(String, String)> {
    let step = call.step.to_string();
    let effect = crate::ops::find(op).map(|entry| entry.effect);
    if effect == Some(Effect::Log) || op.starts_with("log.") {
        let message = args.get("message").map_or_else(|| brief::args(args), brief::value);
        let message = if op.ends_with("warn") { look.paint(Tone::Warn, &message) } else { message };
        return Some((step, message));
    }
    match outcome {
        Outcome::Error { error } => {
            // A verify that is not yet true is no news.
            let quiet = call.phase == Phase::Verify;
            (!quiet).then(|| (step, format!("{op} {}: {}", look.paint(Tone::Bad, "failed"), one_line(&error.message))))
        }
        Outcome::Done { .. } => {
            let entry = view.call(call)?;
            let took = when::between(entry.begun, entry.ended?);
            (took.as_millis() > SLOW_READ_MS).then(|| (step, format!("{op} read ({})", when::took(took))))
        }
    }
}

fn name(view: &View, call: &CallId) -> String {
    view.call(call).map_or_else(|| call.to_string(), |call| call.op.clone())
}

fn tail(text: &str) -> String {
    if text.is_empty() { String::new() } else { format!("  {text}") }
}

/// What an order says, in a few words.
#[must_use]
pub fn order(order: &Order) -> String {
    match order {
        Order::Retry { step, from_start: false } => format!("retry of {step}"),
        Order::Retry { step, from_start: true } => format!("retry of {step} from its start"),
        Order::Skip { step, reason, .. } => format!("skip of {step} ({})", one_line(reason)),
        Order::Done { step, evidence, .. } => format!("{step} declared done ({})", one_line(evidence)),
        Order::Approve { step, .. } => format!("approval of {step}"),
        Order::Accept { step, reason } => format!("acceptance of the changed secret of {step} ({})", one_line(reason)),
        Order::Reject { step, reason } => format!("rejection of {step} ({})", one_line(reason)),
        Order::Answer { step, value } => format!("answer to {step}: {}", brief::cut(&brief::value(value), 60)),
        Order::Rollback { to: None, force } => format!("rollback{}", if *force { " by force" } else { "" }),
        Order::Rollback { to: Some(to), force } => {
            format!("rollback down to {to}{}", if *force { " by force" } else { "" })
        }
        Order::SkipUndo { reason } => format!("undo left out ({})", one_line(reason)),
        Order::Settle { step, done, reason, .. } => {
            format!("call of {step} settled as {} ({})", if *done { "done" } else { "not done" }, one_line(reason))
        }
        Order::Cancel { no_rollback: true } => "cancel without rollback".to_owned(),
        Order::Cancel { no_rollback: false } => "cancel".to_owned(),
        Order::Kill => "kill".to_owned(),
        Order::Note { .. } => "note".to_owned(),
        Order::Resume => "resume".to_owned(),
        Order::Bind { plan, .. } => format!("resume under the plan {}", plan.digest.get(..12).unwrap_or_default()),
    }
}

/// How a call stands, in one word.
#[must_use]
pub fn call_state(call: &CallView) -> &'static str {
    match &call.state {
        CallState::Open if call.writes => "sent",
        CallState::Open => "waiting",
        CallState::Doubt(_) => "in doubt",
        CallState::Done => "done",
        CallState::Failed(_) => "failed",
    }
}
