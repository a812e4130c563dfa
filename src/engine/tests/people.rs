//! Approvals, manual steps, choices, questions: what people say to a run.

use super::books::{book, set, step};
use super::world::Fate;
use super::*;
use crate::model::StepPath;

fn work() -> StepPath {
    StepPath::of("work")
}

#[test]
fn nobody_approves_what_they_started() {
    let rig = Rig::new(book(vec![step("work", &[], "1").approval(&[], 1)]));
    let engine = rig.drive();
    assert_eq!(rig.status(), RunStatus::Paused);
    let approve = |break_glass, reason: Option<&str>| Order::Approve {
        step: work(),
        role: None,
        reason: reason.map(str::to_owned),
        break_glass,
    };
    rig.say(&engine, alice(), approve(false, None));
    assert_eq!(rig.status(), RunStatus::Paused);
    rig.say(&engine, alice(), approve(true, None));
    assert_eq!(rig.status(), RunStatus::Paused, "breaking the glass needs a reason");
    rig.say(&engine, bob(), approve(false, None));
    assert_eq!(rig.status(), RunStatus::Succeeded);
}

#[test]
fn it_takes_as_many_approvals_as_asked_for_by_different_people() {
    let rig = Rig::new(book(vec![step("work", &[], "1").approval(&["bob", "lead"], 2)]));
    let engine = rig.drive();
    let approve = |role: Option<&str>| Order::Approve {
        step: work(),
        role: role.map(str::to_owned),
        reason: None,
        break_glass: false,
    };
    rig.say(&engine, bob(), approve(None));
    rig.say(&engine, bob(), approve(None));
    let carol = Actor { name: "carol@here".to_owned() };
    rig.say(&engine, carol.clone(), approve(None));
    assert_eq!(rig.status(), RunStatus::Paused);
    rig.say(&engine, carol, approve(Some("lead")));
    assert_eq!(rig.status(), RunStatus::Succeeded);
}

#[test]
fn a_rejection_fails_the_step() {
    let rig = Rig::new(book(vec![step("work", &[], &set("a", "1")).approval(&[], 1)]));
    let engine = rig.drive();
    rig.say(&engine, bob(), Order::Reject { step: work(), reason: "not today".to_owned() });
    assert!(rig.state().detail().contains("not today"), "{}", rig.state().detail());
    assert_eq!(rig.world.things.lock().sends, 0);
}

#[test]
fn a_manual_step_needs_evidence_and_is_no_exception() {
    let rig = Rig::new(book(vec![step("work", &[], "1").manual("pull the plug"), step("after", &["work"], "2")]));
    let engine = rig.drive();
    rig.say(&engine, bob(), Order::Done { step: work(), evidence: " ".to_owned(), result: None });
    assert_eq!(rig.status(), RunStatus::Paused);
    rig.say(&engine, bob(), Order::Done { step: work(), evidence: "the fan stopped".to_owned(), result: None });
    assert_eq!(rig.status(), RunStatus::Succeeded);
}

#[test]
fn a_skipped_step_takes_along_those_that_use_its_result() {
    let rig = Rig::new(book(vec![
        step("work", &[], "throw \"no\""),
        step("user", &["work"], "steps.work.x"),
        step("other", &["work"], "7"),
    ]));
    let engine = rig.drive();
    rig.say(&engine, bob(), Order::Skip { step: work(), reason: "known".to_owned(), result: None });
    assert_eq!(rig.status(), RunStatus::SucceededWithExceptions);
    assert_eq!(rig.output("other"), 7);
}

#[test]
fn a_question_waits_for_an_answer_that_fits() {
    let script = "host::ask::choice(#{ question: \"which?\", options: [\"a\", \"b\"] })";
    let rig = Rig::new(book(vec![step("work", &[], script)]));
    let engine = rig.drive();
    assert_eq!(rig.status(), RunStatus::Paused);
    rig.say(&engine, bob(), Order::Answer { step: work(), value: "c".into() });
    assert_eq!(rig.status(), RunStatus::Paused);
    rig.say(&engine, bob(), Order::Answer { step: work(), value: "b".into() });
    assert_eq!(rig.output("work"), "b");
}

#[test]
fn a_call_in_doubt_that_the_world_cannot_settle_waits_for_a_person() {
    for done in [true, false] {
        let rig = Rig::new(book(vec![step("work", &[], &format!("{} 3", set("a", "1")))]));
        rig.world.fate(0, Fate::LoseRequest);
        rig.world.things.lock().cannot_tell = true;
        let engine = rig.drive();
        assert_eq!(rig.status(), RunStatus::Paused);
        rig.world.things.lock().cannot_tell = false;
        let order = Order::Settle { step: work(), done, result: None, reason: "I looked".to_owned() };
        rig.say(&engine, bob(), order);
        assert_eq!(rig.output("work"), 3);
        assert_eq!(rig.world.get("/a").is_some(), !done, "only what was not done is sent again");
    }
}

#[test]
fn cancel_rolls_back_and_cancel_without_rollback_leaves_everything() {
    for no_rollback in [false, true] {
        let rig =
            Rig::new(book(vec![step("work", &[], &set("a", "1")), step("gate", &["work"], "1").approval(&[], 1)]));
        let engine = rig.drive();
        rig.say(&engine, bob(), Order::Cancel { no_rollback });
        assert_eq!(rig.status(), RunStatus::Cancelled);
        assert_eq!(rig.world.get("/a").is_some(), no_rollback);
    }
}

#[test]
fn a_killed_run_says_what_is_in_doubt() {
    let rig = Rig::new(book(vec![step("work", &[], &set("a", "1"))]));
    rig.world.fate(0, Fate::LoseRequest);
    rig.world.things.lock().cannot_tell = true;
    let engine = rig.drive();
    rig.say(&engine, bob(), Order::Kill);
    assert_eq!(rig.status(), RunStatus::Killed);
    let remarks = rig.state().finished.map(|(_, remarks)| remarks).unwrap_or_default();
    assert!(remarks.iter().any(|remark| remark.contains("in doubt")), "{remarks:?}");
}

#[test]
fn a_command_that_makes_no_sense_is_answered_in_the_record() {
    let rig = Rig::new(book(vec![step("work", &[], "1").manual("x")]));
    let engine = rig.drive();
    rig.say(&engine, bob(), Order::Approve { step: work(), role: None, reason: None, break_glass: false });
    let records = rig.records();
    let refusals: Vec<&str> = records
        .iter()
        .filter_map(|record| match &record.fact {
            Fact::Commanded { refused, .. } => refused.as_deref(),
            _ => None,
        })
        .collect();
    assert_eq!(refusals, ["work does not wait for approval"]);
}
