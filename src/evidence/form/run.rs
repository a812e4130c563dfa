//! The report of a run, arranged.

use super::page::{Card, Cell, Page, Split, Tone};
use crate::evidence::report::{RunReport, StepEnd, StepReport};
use crate::evidence::words::{count, digest, flat, instant, secret, span, value};
use crate::model::secret::handles_in;
use crate::model::status::{Mode, RunStatus};
use crate::model::{Timestamp, Value};
use crate::plan::report::text as planned;

/// How grave it is that a run stands there.
#[must_use]
pub fn tone_of(status: RunStatus) -> Tone {
    match status {
        RunStatus::Succeeded => Tone::Good,
        RunStatus::SucceededWithExceptions | RunStatus::RolledBack | RunStatus::Cancelled | RunStatus::Paused => {
            Tone::Warn
        }
        RunStatus::Failed | RunStatus::Killed => Tone::Bad,
        RunStatus::Running | RunStatus::Waiting | RunStatus::RollingBack => Tone::Plain,
    }
}

/// Arranges the report of a run.
#[must_use]
pub fn page(report: &RunReport) -> Page {
    let mut page = Page {
        title: flat(&format!(
            "{} {} of {} {}: {}",
            if report.drill.is_some() { "Drill" } else { "Run" },
            report.run,
            report.playbook,
            report.version,
            report.status.as_str()
        )),
        lead: flat(&report.title),
        cards: cards(report),
        split: Some(split(report)),
        sections: Vec::new(),
        footer: format!(
            "Made from {} of the journal of run {}, whose chain ends in {}. Times are in UTC. Secrets are named, never shown.",
            count(usize::try_from(report.journal.records).unwrap_or(usize::MAX), "record"),
            report.run,
            report.journal.hash
        ),
    };
    page.list("Attention", attention(report));
    drill(&mut page, report);
    page.facts("What ran", what_ran(report));
    page.facts("Parameters", named(&report.params));
    steps(&mut page, report);
    people(&mut page, report);
    effects(&mut page, report);
    page.facts("Outputs", report.outputs.iter().map(|(name, one)| (flat(name), Cell::code(value(one)))).collect());
    plan(&mut page, report);
    page
}

fn split(report: &RunReport) -> Split {
    let of = |ms: i64| u64::try_from(ms).unwrap_or(0);
    let parts = match report.drill.as_ref().and_then(|drill| drill.rto) {
        Some(rto) => vec![
            ("detect", of(rto.detect_ms)),
            ("decide", of(rto.decide_ms)),
            ("machine", of(rto.machine_ms)),
            ("verify", of(rto.verify_ms)),
        ],
        None => vec![
            ("people", report.times.people_ms),
            ("machine", report.times.machine_ms),
            ("verify", report.times.verify_ms),
        ],
    };
    Split { parts, limit: report.times.rto_ms }
}

/// A measured time that may lie before its beginning.
fn signed(ms: i64) -> String {
    format!("{}{}", if ms < 0 { "-" } else { "" }, span(ms.unsigned_abs()))
}

fn drill(page: &mut Page, report: &RunReport) {
    let Some(drill) = &report.drill else { return };
    let none = || Cell::from("not measured").tone(Tone::Bad);
    let mut facts = vec![
        ("declared".to_owned(), Cell::from(instant(drill.declared_at))),
        ("recovery proved".to_owned(), drill.proven.map_or_else(none, |at| Cell::from(instant(at)))),
        ("time to recovery (RTO)".to_owned(), drill.rto.map_or_else(none, |rto| Cell::from(signed(rto.total_ms)))),
        (
            "newest recovered data".to_owned(),
            drill.newest.map_or(Cell::from("not measured"), |at| Cell::from(instant(at))),
        ),
        ("data lost (RPO)".to_owned(), drill.rpo_ms.map_or(Cell::from("not measured"), |ms| Cell::from(signed(ms)))),
    ];
    for (name, one) in &drill.values {
        facts.push((flat(name), Cell::code(value(one))));
    }
    for (name, why) in &drill.faults {
        facts.push((flat(name), Cell::from(format!("could not be measured: {why}")).tone(Tone::Bad)));
    }
    for missed in &drill.missed {
        facts.push(("missed".to_owned(), Cell::from(missed.as_str()).tone(Tone::Bad)));
    }
    if !drill.skipped.is_empty() {
        facts.push(("left out".to_owned(), Cell::from(drill.skipped.join(", "))));
    }
    if !drill.waived.is_empty() {
        facts.push(("approved by nobody, its own".to_owned(), Cell::from(drill.waived.join(", "))));
    }
    if let Some(teardown) = &drill.teardown {
        let took = teardown.took_ms.map_or("goes on".to_owned(), signed);
        facts.push((
            "torn down".to_owned(),
            Cell::from(format!("{}: {}, {took}", instant(teardown.began), teardown.why)),
        ));
    }
    let leaks = if drill.leaks.is_empty() { Tone::Good } else { Tone::Bad };
    let swept = drill.swept.map_or(Cell::from("not yet").tone(Tone::Warn), |looked| {
        Cell::from(format!("{looked} looked for, {} left", drill.leaks.len())).tone(leaks)
    });
    facts.push(("swept".to_owned(), swept));
    if !drill.asked.is_empty() {
        facts.push(("asked for its mark".to_owned(), Cell::from(drill.asked.join(", "))));
    }
    for (what, why) in &drill.unasked {
        facts.push(("not asked".to_owned(), Cell::from(format!("{what}: {why}")).tone(Tone::Warn)));
    }
    page.facts("Drill", facts);
    let leak = |leak: &crate::model::drill::Leak| {
        vec![
            Cell::code(&leak.resource),
            Cell::from(leak.op.as_str()),
            Cell::from(leak.found.as_str()).tone(Tone::Bad),
            Cell::code(leak.remove.as_deref().unwrap_or_default()),
        ]
    };
    page.table("Leaks", vec!["What", "Made by", "Found", "Remove it by"], drill.leaks.iter().map(leak).collect());
}

fn cards(report: &RunReport) -> Vec<Card> {
    let card = |large: Cell, small: &str| Card { large, small: small.to_owned() };
    let times = &report.times;
    let took = if report.ended.is_some() { "took" } else { "so far" };
    let mut cards = vec![
        card(Cell::from(report.status.as_str()).tone(tone_of(report.status)), "status"),
        card(Cell::from(span(times.total_ms)), took),
    ];
    if let Some(rto) = times.rto_ms {
        let (text, tone) = match times.rto_kept {
            Some(true) => (format!("{}: kept", span(rto)), Tone::Good),
            Some(false) => (format!("{}: missed", span(rto)), Tone::Bad),
            None => (format!("{}: not measured", span(rto)), Tone::Faint),
        };
        cards.push(card(Cell::from(text).tone(tone), "objective (RTO)"));
    }
    if let Some(rpo) = times.rpo_ms {
        let lost = report.drill.as_ref().and_then(|drill| drill.rpo_ms);
        let (text, tone) = match lost.map(|lost| u64::try_from(lost).unwrap_or(0) <= rpo) {
            Some(true) => ("kept", Tone::Good),
            Some(false) => ("missed", Tone::Bad),
            None => ("not measured", Tone::Faint),
        };
        cards.push(card(Cell::from(format!("{}: {text}", span(rpo))).tone(tone), "objective (RPO)"));
    }
    cards.push(card(Cell::from(count(report.effects.sent, "effect")), "sent to the world"));
    cards
}

/// What whoever reads only the beginning must know.
fn attention(report: &RunReport) -> Vec<Cell> {
    let mut all = Vec::new();
    let mut say = |tone, text: String| all.push(Cell::from(text).tone(tone));
    if report.mode == Mode::Sandbox {
        say(Tone::Faint, "This run happened in a sandbox; nothing of it touched a real system.".to_owned());
    }
    if report.ended.is_none() {
        say(Tone::Warn, format!("The run has not ended: this says how it stood at {}.", instant(report.as_of)));
    }
    if report.times.rto_kept == Some(false) {
        let proven = report.drill.as_ref().map(|drill| drill.rto.map(|rto| u64::try_from(rto.total_ms).unwrap_or(0)));
        match proven.unwrap_or(Some(report.times.total_ms)) {
            Some(took) => {
                let over = took.saturating_sub(report.times.rto_ms.unwrap_or(0));
                say(Tone::Bad, format!("The objective for the time to recovery was missed by {}.", span(over)));
            }
            None => say(Tone::Bad, "The drill ended without a proof of the recovery.".to_owned()),
        }
    }
    for approval in report.break_glass() {
        let step = approval.step.as_ref().map(ToString::to_string).unwrap_or_default();
        let reason = approval.reason.as_deref().unwrap_or("no reason was given");
        say(Tone::Bad, format!("{} approved {step} by break-glass: {reason}", approval.by));
    }
    for left in &report.effects.standing {
        say(Tone::Bad, format!("{} {} was not undone: {}", left.op, left.resource, left.why));
    }
    if report.effects.open > 0 {
        say(Tone::Bad, format!("Of {} it is not known what became of them.", count(report.effects.open, "effect")));
    }
    for remark in &report.remarks {
        say(Tone::Warn, remark.clone());
    }
    all
}

fn what_ran(report: &RunReport) -> Vec<(String, Cell)> {
    let mut facts = vec![
        ("run".to_owned(), Cell::code(report.run.as_str())),
        ("playbook".to_owned(), Cell::from(format!("{} {}", report.playbook, report.version))),
        ("bundle".to_owned(), Cell::code(&report.bundle)),
        ("started by".to_owned(), Cell::from(report.by.as_str())),
        ("started".to_owned(), Cell::from(instant(report.started))),
        ("ended".to_owned(), report.ended.map_or(Cell::from("not yet").tone(Tone::Warn), |at| Cell::from(instant(at)))),
        ("muster".to_owned(), Cell::from(report.engine.as_str())),
    ];
    if let Some(from) = &report.forked_from {
        facts.push(("continues run".to_owned(), Cell::code(from.as_str())));
    }
    for target in &report.targets {
        facts.push(("works on".to_owned(), Cell::from(format!("{} ({})", target.name, target.identity))));
    }
    for name in &report.secrets {
        facts.push(("used".to_owned(), Cell::from(format!("secret {name}"))));
    }
    for held in &report.holders {
        facts.push(("taken up".to_owned(), Cell::from(format!("{} by {}", instant(held.at), held.holder))));
    }
    facts
}

fn named(params: &Value) -> Vec<(String, Cell)> {
    let shown = |one: &Value| match handles_in(one).as_slice() {
        [] => Cell::code(value(one)),
        // Nothing of a value that has a secret in it is shown but where the secrets come from.
        handles => Cell::from(handles.iter().map(|handle| secret(handle)).collect::<Vec<_>>().join(", ")),
    };
    params.as_object().into_iter().flatten().map(|(name, one)| (flat(name), shown(one))).collect()
}

/// The tone of how a step ended.
#[must_use]
pub fn tone_of_step(end: StepEnd) -> Tone {
    match end {
        StepEnd::Succeeded => Tone::Good,
        StepEnd::ByHand | StepEnd::FailedHandled | StepEnd::Open => Tone::Warn,
        StepEnd::Skipped | StepEnd::NotReached => Tone::Faint,
        StepEnd::Failed => Tone::Bad,
    }
}

fn steps(page: &mut Page, report: &RunReport) {
    let after = |at: Option<Timestamp>| {
        at.map(|at| format!("+{}", span(crate::evidence::words::millis(report.started, at)))).unwrap_or_default()
    };
    let row = |step: &StepReport| {
        let mut end = step.end.as_str().to_owned();
        if step.rolled_back {
            end.push_str(", undone");
        }
        if !step.why.is_empty() {
            end.push_str(&format!(": {}", step.why));
        }
        let proof = match step.verified.as_ref().map(|verified| verified.held) {
            None => Cell::default(),
            Some(Some(true)) => Cell::from("held").tone(Tone::Good),
            Some(Some(false)) => Cell::from("failed").tone(Tone::Bad),
            Some(None) => Cell::from("asked").tone(Tone::Warn),
        };
        let effects = match (step.effects, step.undone) {
            (0, _) => String::new(),
            (all, 0) => all.to_string(),
            (all, undone) => format!("{all}, {undone} undone"),
        };
        vec![
            Cell::code(step.step.as_str()),
            Cell::from(end).tone(tone_of_step(step.end)),
            Cell::from(after(step.started)),
            Cell::from(step.took_ms.map(span).unwrap_or_default()),
            Cell::from(if step.attempts > 1 { step.attempts.to_string() } else { String::new() }),
            Cell::from(effects),
            proof,
            Cell::from(step.title.as_str()).tone(Tone::Faint),
        ]
    };
    let heads = vec!["Step", "Outcome", "Began", "Took", "Attempts", "Effects", "Proof", "What it is for"];
    page.table("Steps", heads, report.steps.iter().map(row).collect());
    let failure = |failure: &crate::evidence::report::Failure| {
        let then = if failure.then.is_empty() {
            Cell::from("nothing yet").tone(Tone::Bad)
        } else {
            Cell::from(failure.then.as_str())
        };
        vec![
            Cell::from(instant(failure.at)),
            Cell::code(failure.step.as_str()),
            Cell::from(failure.attempt.to_string()),
            Cell::from(failure.error.as_str()).tone(Tone::Bad),
            then,
        ]
    };
    page.table(
        "Failures",
        vec!["When", "Step", "Attempt", "Why", "What was done about it"],
        report.failures.iter().map(failure).collect(),
    );
}

fn people(page: &mut Page, report: &RunReport) {
    let approval = |one: &crate::evidence::report::Approval| {
        let role = one.role.as_ref().map(|role| format!(" as {role}")).unwrap_or_default();
        let glass = if one.break_glass { Cell::from("break-glass").tone(Tone::Bad) } else { Cell::default() };
        vec![
            Cell::from(instant(one.at)),
            one.step.as_ref().map_or(Cell::from("the plan"), |step| Cell::code(step.as_str())),
            Cell::from(format!("{}{role}", one.by)),
            glass,
            Cell::from(one.reason.as_deref().unwrap_or_default()),
            Cell::code(digest(&one.digest)),
            Cell::from(one.waited_ms.map(span).unwrap_or_default()),
        ]
    };
    let heads = vec!["When", "Of what", "By", "How", "Why", "Digest", "Waited"];
    page.table("Approvals", heads, report.approvals.iter().map(approval).collect());
    let wait = |wait: &crate::evidence::wait::Wait| {
        vec![
            Cell::from(wait.what.as_str()),
            wait.step.as_ref().map_or(Cell::default(), |step| Cell::code(step.as_str())),
            Cell::from(instant(wait.from)),
            wait.to.map_or(Cell::from("still").tone(Tone::Warn), |to| Cell::from(instant(to))),
            Cell::from(span(wait.ms)),
        ]
    };
    page.table(
        "Waits for people",
        vec!["For", "Step", "From", "To", "How long"],
        report.waits.iter().map(wait).collect(),
    );
    let order = |one: &crate::evidence::report::Ordered| {
        let refused = one.refused.as_ref().map(|why| Cell::from(format!("refused: {why}")).tone(Tone::Warn));
        vec![
            Cell::from(instant(one.at)),
            Cell::from(one.by.as_str()),
            Cell::from(one.order.as_str()),
            refused.unwrap_or_default(),
        ]
    };
    page.table("Orders", vec!["When", "By", "What", ""], report.orders.iter().map(order).collect());
    let note = |one: &crate::evidence::report::Note| {
        vec![Cell::from(instant(one.at)), Cell::from(one.by.as_str()), Cell::from(one.text.as_str())]
    };
    page.table("Notes", vec!["When", "By", "What"], report.notes.iter().map(note).collect());
}

fn effects(page: &mut Page, report: &RunReport) {
    let crossed = |one: &crate::evidence::report::NoReturn| {
        vec![Cell::from(instant(one.at)), Cell::code(one.step.as_str()), Cell::from(one.why.as_str())]
    };
    page.table("Points of no return", vec!["When", "Step", "Why"], report.no_return.iter().map(crossed).collect());
    let rollback = |one: &crate::evidence::report::Rollback| {
        let scope = match (&one.only, &one.to) {
            (Some(only), _) => format!("only {only}"),
            (None, Some(to)) => format!("down to {to}"),
            (None, None) => "all".to_owned(),
        };
        vec![
            Cell::from(instant(one.at)),
            Cell::from(one.by.as_str()),
            Cell::from(one.reason.as_str()),
            Cell::from(format!("{scope}{}", if one.force { ", by force" } else { "" })),
            Cell::from(one.undone.to_string()),
            one.ended.map_or(Cell::from("not yet").tone(Tone::Warn), |at| Cell::from(instant(at))),
        ]
    };
    let heads = vec!["Began", "By", "Why", "How far", "Undone", "Ended"];
    page.table("Rollbacks", heads, report.rollbacks.iter().map(rollback).collect());
    let of = &report.effects;
    if of.sent > 0 {
        let fact = |name: &str, many: usize, tone| (name.to_owned(), Cell::from(many.to_string()).tone(tone));
        let bad = |many: usize| if many > 0 { Tone::Bad } else { Tone::Plain };
        page.facts(
            "Effects",
            vec![
                fact("sent", of.sent, Tone::Plain),
                fact("done", of.done, Tone::Plain),
                fact("failed", of.failed, bad(of.failed)),
                fact("not known", of.open, bad(of.open)),
                fact("undone", of.undone, Tone::Plain),
                fact("left standing by a rollback", of.standing.len(), bad(of.standing.len())),
            ],
        );
    }
}

fn plan(page: &mut Page, report: &RunReport) {
    let Some(plan) = &report.plan else { return };
    page.list("Planned and made", planned::sums(plan).into_iter().map(Cell::from).collect());
    let row = |row: planned::Row| {
        let [step, call, what, fate, outcome, times] = row;
        let tone = match fate.as_str() {
            "not planned" | "not made" => Tone::Bad,
            _ => Tone::Plain,
        };
        vec![
            Cell::code(step),
            Cell::code(call),
            Cell::from(what),
            Cell::from(fate).tone(tone),
            Cell::from(outcome),
            Cell::from(times),
        ]
    };
    let heads = vec!["Step", "Call", "Of what", "Plan", "Outcome", "Planned → took"];
    page.table("Calls, planned and made", heads, planned::rows(plan).into_iter().map(row).collect());
}
