//! Rollback: order, care, doubt, points of no return.

use super::books::{book, set, step};
use super::world::Fate;
use super::*;
use crate::model::StepPath;
use crate::playbook::types::OnFailure;

fn failing() -> Playbook {
    book(vec![
        step("one", &[], &format!("{} {}", set("a", "1"), set("b", "2"))),
        step("two", &["one"], &format!("{} throw \"no\"", set("a", "3"))).on_failure(OnFailure::Rollback),
    ])
}

#[test]
fn a_rollback_leaves_the_world_as_it_was() {
    let rig = Rig::new(failing());
    rig.world.put("/a", "old");
    rig.drive();
    assert_eq!(rig.status(), RunStatus::RolledBack);
    assert_eq!(rig.world.get("/a").as_deref(), Some("old"));
    assert_eq!(rig.world.get("/b"), None);
}

#[test]
fn a_rollback_also_undoes_what_a_failed_call_left_halfway() {
    let rig = Rig::new(book(vec![step("one", &[], &set("a", "1")).on_failure(OnFailure::Rollback)]));
    rig.world.fate(0, Fate::Half);
    rig.drive();
    assert_eq!(rig.status(), RunStatus::RolledBack);
    assert!(rig.world.things.lock().halves.is_empty());
}

#[test]
fn somebody_elses_change_is_not_undone_without_a_word() {
    let rig = Rig::new(book(vec![step("one", &[], &set("a", "1")), step("gate", &["one"], "1").manual("x")]));
    let engine = rig.drive();
    rig.world.things.lock().files.entry("/a".to_owned()).and_modify(|(text, _)| *text = "theirs".to_owned());
    rig.say(&engine, bob(), Order::Rollback { to: None, force: false });
    assert_eq!(rig.status(), RunStatus::Paused);
    assert!(rig.state().detail().contains("has been changed since"), "{}", rig.state().detail());
    assert_eq!(rig.world.get("/a").as_deref(), Some("theirs"));
    rig.say(&engine, bob(), Order::Rollback { to: None, force: true });
    assert_eq!(rig.status(), RunStatus::RolledBack);
    assert_eq!(rig.world.get("/a"), None);
}

#[test]
fn what_could_not_be_looked_at_when_it_was_made_is_not_said_to_be_changed() {
    let rig = Rig::new(book(vec![step("one", &[], &set("a", "1")), step("gate", &["one"], "1").manual("x")]));
    rig.world.things.lock().blind = true;
    let engine = rig.drive();
    rig.world.things.lock().blind = false;
    rig.say(&engine, bob(), Order::Rollback { to: None, force: false });
    let detail = rig.state().detail();
    assert_eq!(rig.status(), RunStatus::Paused);
    assert!(detail.contains("could not be looked at then: there is no light"), "{detail}");
    rig.say(&engine, bob(), Order::Rollback { to: None, force: true });
    assert_eq!((rig.status(), rig.world.get("/a")), (RunStatus::RolledBack, None));
}

#[test]
fn an_undo_that_is_left_out_makes_the_rollback_incomplete() {
    let rig = Rig::new(book(vec![step("one", &[], &set("a", "1")), step("gate", &["one"], "1").manual("x")]));
    rig.world.fate(1, Fate::Refuse);
    let engine = rig.drive();
    rig.say(&engine, bob(), Order::Rollback { to: None, force: false });
    assert_eq!(rig.status(), RunStatus::Paused);
    rig.say(&engine, bob(), Order::SkipUndo { reason: "I will".to_owned() });
    assert_eq!(rig.status(), RunStatus::Failed);
}

#[test]
fn a_failed_undo_can_be_tried_again() {
    let rig = Rig::new(book(vec![step("one", &[], &set("a", "1")), step("gate", &["one"], "1").manual("x")]));
    rig.world.fate(1, Fate::Refuse);
    let engine = rig.drive();
    rig.say(&engine, bob(), Order::Rollback { to: None, force: false });
    rig.say(&engine, bob(), Order::Rollback { to: None, force: false });
    assert_eq!(rig.status(), RunStatus::RolledBack);
    assert_eq!(rig.world.get("/a"), None);
}

#[test]
fn past_a_point_of_no_return_nothing_is_undone_without_a_word() {
    let rig = Rig::new(book(vec![
        step("one", &[], &set("a", "1")),
        step("gone", &["one"], &format!("{} throw \"no\"", set("b", "1"))).no_return().on_failure(OnFailure::Rollback),
    ]));
    let engine = rig.drive();
    assert_eq!(rig.status(), RunStatus::Paused);
    assert_eq!(rig.world.get("/a").as_deref(), Some("1"));
    rig.say(&engine, bob(), Order::Rollback { to: None, force: true });
    assert_eq!(rig.status(), RunStatus::RolledBack);
}

/// A step beyond whose effect there is no way back, one after it, and one that fails.
fn past_no_return() -> Rig {
    Rig::new(book(vec![
        step("one", &[], &set("a", "1")),
        step("gone", &["one"], &set("b", "1")).no_return(),
        step("after", &["gone"], &set("c", "1")),
        step("fails", &["after"], "let t = host::fs::read_text(\"/needed\"); 1"),
    ]))
}

#[test]
fn a_rollback_that_would_stop_at_a_point_of_no_return_is_refused_before_it_undoes_anything() {
    let rig = past_no_return();
    let engine = rig.drive();
    let refused = rig.refused(&engine, bob(), Order::Rollback { to: None, force: false });
    assert!(refused.contains("point of no return of gone") && refused.contains("--to gone"), "{refused}");
    assert_eq!(rig.world.texts().len(), 3, "{:?}", rig.world.texts());
    // It still goes on.
    rig.world.put("/needed", "x");
    rig.say(&engine, bob(), Order::Retry { step: StepPath::of("fails"), from_start: false });
    assert_eq!(rig.status(), RunStatus::Succeeded);
}

#[test]
fn what_came_after_a_point_of_no_return_can_be_undone_and_done_again() {
    let rig = past_no_return();
    let engine = rig.drive();
    rig.say(&engine, bob(), Order::Rollback { to: Some(StepPath::of("gone")), force: false });
    assert_eq!((rig.world.get("/b").as_deref(), rig.world.get("/c")), (Some("1"), None));
    rig.world.put("/needed", "x");
    rig.say(&engine, bob(), Order::Resume);
    assert_eq!((rig.status(), rig.world.get("/c").as_deref()), (RunStatus::Succeeded, Some("1")));
}

#[test]
fn a_step_beyond_whose_effect_there_is_no_way_back_is_not_begun_anew() {
    let script = format!("{} let t = host::fs::read_text(\"/needed\"); 1", set("b", "1"));
    let rig = Rig::new(book(vec![step("gone", &[], &script).no_return()]));
    let engine = rig.drive();
    let step = StepPath::of("gone");
    let refused = rig.refused(&engine, bob(), Order::Retry { step: step.clone(), from_start: true });
    assert!(refused.contains("without --from-start"), "{refused}");
    rig.world.put("/needed", "x");
    rig.say(&engine, bob(), Order::Retry { step, from_start: false });
    assert_eq!(rig.status(), RunStatus::Succeeded);
}

#[test]
fn a_run_that_is_rolled_back_is_not_sent_forward_in_between() {
    let rig = Rig::new(book(vec![step("one", &[], &set("a", "1")), step("two", &["one"], "throw \"no\"")]));
    let engine = rig.drive();
    rig.world.put("/a", "somebody else's");
    rig.say(&engine, bob(), Order::Rollback { to: None, force: false });
    assert_eq!(rig.status(), RunStatus::Paused);
    let step = StepPath::of("two");
    for order in [
        Order::Retry { step: step.clone(), from_start: false },
        Order::Retry { step: step.clone(), from_start: true },
        Order::Skip { step: step.clone(), reason: "x".to_owned(), result: None },
        Order::Done { step, evidence: "x".to_owned(), result: None },
    ] {
        let refused = rig.refused(&engine, bob(), order);
        assert!(refused.contains("is being rolled back"), "{refused}");
    }
    rig.say(&engine, bob(), Order::Rollback { to: None, force: true });
    assert_eq!(rig.status(), RunStatus::RolledBack);
}

#[test]
fn a_steps_own_rollback_replaces_the_undos_of_its_calls() {
    let rig = Rig::new(book(vec![
        step("one", &[], &format!("{} {}", set("a", "1"), set("b", "2"))).rollback(&set("c", "undone")),
        step("two", &["one"], "throw \"no\"").on_failure(OnFailure::Rollback),
    ]));
    rig.drive();
    assert_eq!(rig.status(), RunStatus::RolledBack);
    assert_eq!(rig.world.texts().len(), 3, "{:?}", rig.world.texts());
}

#[test]
fn a_steps_own_rollback_that_fails_can_be_run_again() {
    let undo = format!("{} let t = host::fs::read_text(\"/needed\");", set("c", "undone"));
    let rig = Rig::new(book(vec![
        step("one", &[], &set("a", "1")).rollback(&undo),
        step("two", &["one"], "throw \"no\"").on_failure(OnFailure::Rollback),
    ]));
    let engine = rig.drive();
    assert_eq!(rig.status(), RunStatus::Paused);
    rig.world.put("/needed", "x");
    rig.say(&engine, bob(), Order::Resume);
    assert_eq!(rig.status(), RunStatus::RolledBack);
}

#[test]
fn retry_from_start_undoes_the_attempt_first() {
    let script = format!("{} let t = host::fs::read_text(\"/needed\"); 1", set("a", "1"));
    let rig = Rig::new(book(vec![step("zero", &[], &set("z", "1")), step("one", &["zero"], &script)]));
    let engine = rig.drive();
    rig.world.put("/needed", "x");
    rig.say(&engine, bob(), Order::Retry { step: StepPath::of("one"), from_start: true });
    assert_eq!(rig.status(), RunStatus::Succeeded);
    let things = rig.world.things.lock();
    assert_eq!(things.sends, 4, "z, a, the undo of a, a again");
}

#[test]
fn a_rollback_to_a_step_undoes_what_came_after_and_can_go_on() {
    let rig = Rig::new(book(vec![
        step("one", &[], &set("a", "1")),
        step("two", &["one"], &set("b", "1")),
        step("three", &["two"], "1").manual("x"),
    ]));
    let engine = rig.drive();
    rig.say(&engine, bob(), Order::Rollback { to: Some(StepPath::of("one")), force: false });
    assert_eq!(rig.status(), RunStatus::Paused);
    assert_eq!((rig.world.get("/a").is_some(), rig.world.get("/b").is_some()), (true, false));
    rig.say(&engine, bob(), Order::Resume);
    rig.say(&engine, bob(), Order::Done { step: StepPath::of("three"), evidence: "x".to_owned(), result: None });
    assert_eq!(rig.status(), RunStatus::Succeeded);
    assert!(rig.world.get("/b").is_some());
}
