//! What a run wants of people, with what they can do about it: a form each, for what they may do.

use maud::{Markup, html};

use super::approval;
use super::face::csrf;
use super::run::Live;
use crate::access::{Act, Denied, Subject, decide};
use crate::evidence::choices;
use crate::evidence::view::{CallState, StepState};
use crate::journal::Pause;
use crate::model::{StepPath, Value};
use crate::serve::call::Call;

/// How many of a program's last lines are shown.
const LAST_WORDS: usize = 16;

/// Something that can be done: a form.
pub struct Choice<'c> {
    /// What it takes.
    pub act: Act,
    /// Where it goes, below the run.
    pub path: &'c str,
    /// What it is called: what it does.
    pub title: &'c str,
    /// It takes something away.
    pub harsh: bool,
    /// What is sent along.
    pub hidden: Vec<(&'c str, String)>,
    /// What is to be filled in.
    pub fields: Markup,
}

/// The form of a choice; nothing when they may not.
pub fn choice(call: &Call, live: &Live, number: &str, choice: &Choice<'_>) -> Markup {
    let subject = Subject::Run { playbook: &live.head.playbook, started_by: live.starter() };
    if decide(&call.who, choice.act, &subject).is_err() {
        return Markup::default();
    }
    let action = format!("/runs/{}/{}", live.head.run, choice.path);
    let button = html! { button class={ @if choice.harsh { "danger" } @else { "main" } } { (choice.title) } };
    let inner = html! {
        (csrf(call))
        @for (name, value) in &choice.hidden { input type="hidden" name=(name) value=(value); }
        (choice.fields)
    };
    let id = format!("c-{number}-{}", choice.path);
    if choice.fields.0.is_empty() {
        return html! { form.bare method="post" action=(action) { (inner) button #(id) class={ @if choice.harsh { "danger" } @else { "main" } } { (choice.title) } } };
    }
    html! {
        details #(id) {
            summary.harsh[choice.harsh] { (choice.title) }
            form method="post" action=(action) { (inner) p { (button) } }
        }
    }
}

/// A line to be filled in.
pub fn words(number: &str, name: &str, label: &str) -> Markup {
    let id = format!("f-{number}-{name}");
    html! { label for=(id) { (label) } textarea #(id) name=(name) rows="2" required {} }
}

/// A yes or no.
pub fn tick(name: &str, label: &str) -> Markup {
    html! { label.tick { input type="checkbox" name=(name) value="true"; (label) } }
}

/// Everything that the run waits for people for.
pub fn all(call: &Call, live: &Live) -> Markup {
    let pauses = live.view.pauses();
    html! {
        @for (number, pause) in pauses.iter().enumerate() {
            section.panel.need.failed[matches!(pause, Pause::StepFailed { .. } | Pause::InDoubt { .. } | Pause::Undo { .. })] aria-label="Waits for people" {
                h3 { (choices::reason(pause)) }
                (about(call, live, pause))
                @let forms = of_pause(call, live, pause, &number.to_string());
                @if forms.0.is_empty() {
                    p.soft { "Your role does not decide this. " @if let Pause::Approval { .. } = pause { "An approver does." } @else { "An operator does." } }
                } @else {
                    div.choices { (forms) }
                }
            }
        }
    }
}

fn about(call: &Call, live: &Live, pause: &Pause) -> Markup {
    match pause {
        Pause::StepFailed { step } => failed(live, step),
        Pause::Approval { step } => approval::about(call, live, step),
        Pause::Manual { step } => match live.view.find(step).map(|step| &step.state) {
            Some(StepState::Manual(instructions)) => html! { pre { (instructions) } },
            _ => Markup::default(),
        },
        Pause::InDoubt { call: id, .. } | Pause::Undo { call: id, .. } => match live.view.call(id) {
            Some(made) => html! { p { code { (made.op) " " (crate::evidence::brief::args(&made.args)) } } },
            None => Markup::default(),
        },
        Pause::Target { expected, found } => html! {
            ul {
                @for target in expected {
                    @let now = found.iter().find(|other| other.name == target.name).map_or("not reachable", |found| found.identity.as_str());
                    li { (target.name) ": was " code { (target.identity) } ", now " code { (now) } }
                }
            }
        },
        _ => Markup::default(),
    }
}

fn failed(live: &Live, step: &StepPath) -> Markup {
    let Some(StepState::Failed { error, .. }) = live.view.find(step).map(|step| &step.state) else {
        return Markup::default();
    };
    let calls = live.view.find(step).into_iter().flat_map(|step| step.calls.iter().rev());
    let made = calls
        .map(|&place| &live.view.calls()[place])
        .find(|call| matches!(&call.state, CallState::Failed(other) if other.message == error.message));
    html! {
        @if let Some(made) = made { p { code { (made.op) " " (crate::evidence::brief::args(&made.args)) } } }
        p.text-bad { b { (error.message) } }
        @if let Some(detail) = &error.detail {
            @let lines: Vec<&str> = detail.lines().collect();
            pre { (lines[lines.len().saturating_sub(LAST_WORDS)..].join("\n")) }
        }
        @if let Some(hint) = &error.hint { p { (hint) } }
    }
}

fn of_pause(call: &Call, live: &Live, pause: &Pause, number: &str) -> Markup {
    let on = |step: &StepPath| vec![("step", step.to_string())];
    let make = |path: &str, act: Act, title: &str, harsh: bool, hidden: Vec<(&str, String)>, fields: Markup| {
        choice(call, live, &format!("{number}-{}", title.len()), &Choice { act, path, title, harsh, hidden, fields })
    };
    let id = |name: &str| format!("{number}{name}");
    let retry = |step: &StepPath| make("retry", Act::Retry, "Try it again", false, on(step), Markup::default());
    let skip = |step: &StepPath| {
        make(
            "skip",
            Act::Skip,
            "Go on without it",
            false,
            on(step),
            words(&id("s"), "reason", "Why it can be left out"),
        )
    };
    let done = |step: &StepPath| {
        make("done", Act::Done, "It was done by hand", false, on(step), words(&id("d"), "evidence", "How you know"))
    };
    let resume = |title: &str| make("resume", Act::Resume, title, false, Vec::new(), Markup::default());
    let back = || {
        let to = live.view.no_return().map(|step| vec![("to", step.to_string())]).unwrap_or_default();
        let title =
            if to.is_empty() { "Undo everything this run did" } else { "Undo what came after its point of no return" };
        make(
            "rollback",
            Act::Rollback,
            title,
            true,
            to,
            html! { p.soft { "Undone in reverse order, each undo recorded." } },
        )
    };
    let end = || {
        let stays = vec![("no_rollback", "true".to_owned())];
        make(
            "cancel",
            Act::Cancel,
            "End here and leave everything as it is",
            true,
            stays,
            html! { p.soft { "Nothing is undone." } },
        )
    };
    match pause {
        Pause::StepFailed { step } => html! {
            (retry(step))
            (make("retry", Act::Retry, "Undo this attempt, then begin it anew", false, vec![("step", step.to_string()), ("from_start", "true".to_owned())], Markup::default()))
            (skip(step)) (done(step)) (back()) (end())
        },
        Pause::Overtime { step, .. } => html! { (retry(step)) (skip(step)) (done(step)) (back()) (end()) },
        Pause::Approval { step } => approval_forms(call, live, step, number),
        Pause::Manual { step } => html! { (done(step)) (skip(step)) (back()) },
        Pause::Question { step, .. } => {
            make("answer", Act::Answer, "Answer", false, on(step), answers(live, step, &id("a")))
        }
        Pause::InDoubt { step, .. } => {
            let settled = |done: bool| vec![("step", step.to_string()), ("done", done.to_string())];
            html! {
                (make("settle", Act::Settle, "I looked: it was done", false, settled(true), words(&id("y"), "reason", "How you know")))
                (make("settle", Act::Settle, "I looked: it was not done; send it again", true, settled(false), words(&id("n"), "reason", "How you know")))
                (resume("Ask the world once more"))
            }
        }
        Pause::Target { .. } => html! { (resume("Check again")) (end()) },
        Pause::Credentials { .. } => resume("Go on with fresh credentials"),
        Pause::Secret { step, .. } => html! {
            (make("accept", Act::Accept, "It was changed on purpose: go on with the new value", false, on(step), words(&id("c"), "reason", "How you know")))
            (resume("Look again, once the former value is back")) (back()) (end())
        },
        Pause::Undo { .. } => html! {
            (make("rollback", Act::Rollback, "Try this undo again", false, Vec::new(), Markup::default()))
            (make("rollback", Act::Rollback, "Undo although somebody else has changed it since", true, vec![("force", "true".to_owned())], html! { p.soft { "Overwrites what they did." } }))
            (make("skip-undo", Act::SkipUndo, "Leave this effect standing and undo the rest", false, Vec::new(), words(&id("u"), "reason", "Why")))
            (end())
        },
        Pause::OutsidePlan { .. } => html! { (back()) (end()) },
        Pause::PointOfNoReturn { step }
            if live.view.status() == crate::model::status::RunStatus::RollingBack || live.is_going_back() =>
        {
            html! {
                (make("rollback", Act::Rollback, "Stop here", false, vec![("to", step.to_string())], Markup::default()))
                (make("rollback", Act::Rollback, "Undo past the point of no return", true, vec![("force", "true".to_owned())], html! { p.soft { "There may be no way back to what was." } }))
                (end())
            }
        }
        Pause::PointOfNoReturn { .. } => resume("Go on, knowing there is no way back"),
        Pause::RolledBackTo { .. } => html! { (resume("Run the steps after it again")) (back()) },
    }
}

fn answers(live: &Live, step: &StepPath, id: &str) -> Markup {
    let asked = live.view.find(step).and_then(|step| live.view.current(step));
    let options = asked.and_then(|call| call.args.get("options")).and_then(Value::as_array);
    let field = format!("f-{id}-value");
    match (asked.map(|call| call.op.as_str()), options) {
        (Some("ask.confirm"), _) => {
            html! { label for=(field) { "Answer" } select #(field) name="value" { option value="true" { "Yes" } option value="false" { "No" } } }
        }
        (_, Some(options)) => html! {
            label for=(field) { "Answer" }
            select #(field) name="value" { @for option in options { option value=(option.to_string()) { (option.as_str().map_or_else(|| option.to_string(), str::to_owned)) } } }
        },
        _ => words(id, "value", "Answer"),
    }
}

fn approval_forms(call: &Call, live: &Live, step: &StepPath, number: &str) -> Markup {
    let Some(StepState::Approval { digest, by, .. }) = live.view.find(step).map(|step| &step.state) else {
        return Markup::default();
    };
    let role = by.iter().find(|role| call.who.approves_as.contains(role)).map(String::as_str);
    let subject = Subject::Approval { playbook: &live.head.playbook, started_by: live.starter(), role };
    let hidden = || vec![("step", step.to_string()), ("digest", digest.clone())];
    let id = |name: &str| format!("{number}{name}");
    let make = |path: &str, act: Act, title: &str, harsh: bool, hidden: Vec<(&str, String)>, fields: Markup| {
        choice(call, live, number, &Choice { act, path, title, harsh, hidden, fields })
    };
    let decision = decide(&call.who, Act::Approve, &subject);
    let mut said = hidden();
    said.extend(role.map(|role| ("role", role.to_owned())));
    let reason = html! { label for={ "f-" (id("p")) } { "Why (may be empty)" } textarea #{ "f-" (id("p")) } name="reason" rows="2" {} };
    html! {
        @match &decision {
            Ok(()) => (make("approve", Act::Approve, "Approve: let it start", false, said, reason)),
            Err(Denied::Starter { .. }) => div { p { b { "You started this run" } ", so somebody else has to approve it." } },
            Err(_) => {},
        }
        (make("reject", Act::Reject, "Reject: the step fails", true, vec![("step", step.to_string())], words(&id("r"), "reason", "Why")))
        (make("break-glass", Act::BreakGlass, "Break the glass: approve although you may not", true, hidden(), html! {
            p { "It stands in the record as what it is, and somebody else reviews it." }
            (words(&id("g"), "reason", "Why it cannot wait"))
        }))
    }
}
