//! Approvals, manual steps, choices, questions: what people say to a run.

use super::books::{book, set, step};
use super::world::Fate;
use super::*;
use crate::model::{StepPath, Timestamp};

fn work() -> StepPath {
    StepPath::of("work")
}

/// An approval of `work` that counts until then.
fn approve(valid_until: Option<Timestamp>) -> Order {
    Order::Approve { step: work(), role: None, reason: None, break_glass: false, valid_until, digest: None }
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
        valid_until: None,
        digest: None,
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
        valid_until: None,
        digest: None,
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
        // There is no failed attempt to undo: refused, not taken for a retry.
        rig.say(&engine, bob(), Order::Retry { step: work(), from_start: true });
        assert_eq!(rig.status(), RunStatus::Paused);
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
    rig.say(&engine, bob(), approve(None));
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

fn now(rig: &Rig) -> Timestamp {
    crate::clock::Clock::now(rig.clock.as_ref())
}

fn pass(rig: &Rig, seconds: u64) {
    rig.clock.advance_to(now(rig) + std::time::Duration::from_secs(seconds));
}

#[test]
fn only_approvals_that_have_not_expired_are_counted() {
    let rig = Rig::new(book(vec![step("work", &[], "1").approval(&[], 2)]));
    let engine = rig.drive();
    let carol = || Actor { name: "carol@here".to_owned() };
    rig.say(&engine, bob(), approve(Some(now(&rig) + std::time::Duration::from_secs(60))));
    pass(&rig, 61);
    rig.say(&engine, carol(), approve(None));
    assert_eq!(rig.status(), RunStatus::Paused, "bob's has expired");
    rig.say(&engine, carol(), approve(None));
    assert_eq!(rig.status(), RunStatus::Paused, "carol has approved already");
    rig.say(&engine, bob(), approve(None));
    assert_eq!(rig.status(), RunStatus::Succeeded);
}

#[test]
fn the_playbook_says_how_long_an_approval_counts_at_most() {
    let rig = Rig::new(book(vec![step("work", &[], "1").approval(&[], 2).valid_for(60)]));
    let engine = rig.drive();
    rig.say(&engine, bob(), approve(Some(now(&rig) + std::time::Duration::from_secs(3600))));
    pass(&rig, 61);
    rig.say(&engine, Actor { name: "carol@here".to_owned() }, approve(None));
    assert_eq!(rig.status(), RunStatus::Paused);
    rig.say(&engine, bob(), approve(None));
    assert_eq!(rig.status(), RunStatus::Succeeded);
}

#[test]
fn an_approval_that_expired_before_the_step_began_is_asked_for_again() {
    // Killed between the approval and the first effect, and taken up too late.
    let rig = Rig::new(book(vec![step("work", &[], &set("a", "1")).approval(&[], 1).valid_for(60)]));
    let engine = rig.drive();
    rig.world.fate(0, Fate::StopBefore);
    rig.say(&engine, bob(), approve(None));
    let records = rig.records();
    let approved = records.iter().position(|record| matches!(record.fact, Fact::Approved { .. })).expect("approved");
    for length in approved + 1..=records.len() {
        let begun = records[..length].iter().any(|record| matches!(record.fact, Fact::Intent { .. }));
        let late = Rig { store: Arc::new(rig.store.prefix(&rig.run, length as u64)), ..rig.after_crash() };
        pass(&late, 61);
        late.drive();
        let expected = if begun { RunStatus::Succeeded } else { RunStatus::Paused };
        assert_eq!(late.status(), expected, "taken up after {length} records");
    }
}

#[test]
fn a_refused_approval_is_asked_for_again_when_the_step_is_retried() {
    let rig = Rig::new(book(vec![step("work", &[], &set("a", "1")).approval(&[], 1)]));
    let engine = rig.drive();
    rig.say(&engine, bob(), Order::Reject { step: work(), reason: "not today".to_owned() });
    rig.say(&engine, alice(), Order::Retry { step: work(), from_start: false });
    assert_eq!(rig.world.things.lock().sends, 0, "a retry is no approval");
    assert_eq!(rig.status(), RunStatus::Paused);
    rig.say(&engine, bob(), approve(None));
    assert_eq!(rig.status(), RunStatus::Succeeded);
}

#[test]
fn an_approval_is_of_what_was_shown() {
    let rig = Rig::new(book(vec![step("work", &[], "1").approval(&[], 1)]));
    let engine = rig.drive();
    let shown = |digest: &str| Order::Approve {
        step: work(),
        role: None,
        reason: None,
        break_glass: false,
        valid_until: None,
        digest: Some(digest.to_owned()),
    };
    rig.say(&engine, bob(), shown("of something else"));
    assert_eq!(rig.status(), RunStatus::Paused);
    let asked = rig.records().iter().find_map(|record| match &record.fact {
        Fact::ApprovalAsked { digest, .. } => Some(digest.clone()),
        _ => None,
    });
    rig.say(&engine, bob(), shown(&asked.expect("asked")));
    assert_eq!(rig.status(), RunStatus::Succeeded);
}
