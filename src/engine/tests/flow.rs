//! Order, parallelism, conditions, retries, waits, failures.

use std::time::Duration;

use super::books::{book, set, step};
use super::world::Fate;
use super::*;
use crate::clock::Clock as _;
use crate::engine::state::StepStatus;
use crate::model::StepPath;
use crate::playbook::types::OnFailure;

#[test]
fn steps_run_in_the_order_of_their_needs_and_see_outputs() {
    let rig = Rig::new(book(vec![step("last", &["first"], "steps.first + 1"), step("first", &[], "41")]));
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Succeeded);
    assert_eq!(rig.output("last"), 42);
}

#[test]
fn a_false_when_skips_and_dependants_see_nothing() {
    let rig = Rig::new(book(vec![step("no", &[], "1").when("1 > 2"), step("after", &["no"], "steps.no == ()")]));
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Succeeded);
    assert_eq!(rig.output("after"), true);
}

#[test]
fn a_when_that_is_no_bool_fails_the_step() {
    let rig = Rig::new(book(vec![step("odd", &[], "1").when("1")]));
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Paused);
}

#[test]
fn foreach_makes_an_instance_an_item_and_gathers_outputs_by_key() {
    let rig = Rig::new(book(vec![
        step("each", &[], "item + \"!\"").foreach("[\"a\", \"b\", \"c\"]", Some(1)),
        step("all", &["each"], "steps.each[\"b\"]"),
    ]));
    rig.drive();
    assert_eq!(rig.output("all"), "b!");
    assert_eq!(rig.output("each[c]"), "c!");
}

#[test]
fn two_instances_with_one_key_are_refused() {
    let rig = Rig::new(book(vec![step("each", &[], "item").foreach("[1, 1]", None)]));
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Paused);
    assert!(rig.state().detail().contains("have the key `1`"), "{}", rig.state().detail());
}

#[test]
fn when_an_instance_fails_no_new_one_starts() {
    let script = "if item == 2 { throw \"no\" } item";
    let rig = Rig::new(book(vec![step("each", &[], script).foreach("[1, 2, 3]", Some(1))]));
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Paused);
    assert!(rig.state().step(&StepPath::keyed("each", "3")).is_none());
}

#[test]
fn a_retry_makes_only_the_failing_call_again() {
    let script = format!("{} {} {}", set("a", "1"), set("b", "2"), set("c", "3"));
    let rig = Rig::new(book(vec![step("work", &[], &script).retry(3)]));
    rig.world.fate(1, Fate::Refuse);
    let before = rig.clock.now();
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Succeeded);
    assert_eq!(rig.world.things.lock().sends, 4);
    assert!(rig.clock.now().duration_since(before).as_secs() >= 7, "it waited before it tried again");
    rig.world.nothing_twice();
}

#[test]
fn retries_end_and_the_run_pauses_with_the_error() {
    let rig = Rig::new(book(vec![step("work", &[], &set("a", "1")).retry(2)]));
    rig.world.fate(0, Fate::Refuse);
    rig.world.fate(1, Fate::Refuse);
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Paused);
    assert_eq!(rig.state().detail(), "work failed: told to fail");
}

#[test]
fn a_half_done_effect_is_undone_before_it_is_made_again() {
    let rig = Rig::new(book(vec![step("work", &[], &set("a", "1")).retry(2)]));
    rig.world.fate(0, Fate::Half);
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Succeeded);
    assert_eq!(rig.world.get("/a").as_deref(), Some("1"));
    assert!(rig.world.things.lock().halves.is_empty(), "the half was cleared away");
}

#[test]
fn a_lost_answer_is_found_out_and_not_repeated() {
    let rig = Rig::new(book(vec![step("work", &[], &set("a", "1"))]));
    rig.world.fate(0, Fate::LoseAnswer);
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Succeeded);
    assert_eq!(rig.world.things.lock().sends, 1);
}

#[test]
fn a_lost_request_is_found_out_and_sent_again() {
    let rig = Rig::new(book(vec![step("work", &[], &set("a", "1"))]));
    rig.world.fate(0, Fate::LoseRequest);
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Succeeded);
    assert_eq!(rig.world.things.lock().sends, 2);
    rig.world.nothing_twice();
}

#[test]
fn an_effect_that_goes_on_without_us_is_followed_to_its_end() {
    let rig = Rig::new(book(vec![step("work", &[], &format!("{} 5", set("a", "1")))]));
    rig.world.fate(0, Fate::Linger(20));
    rig.drive();
    assert_eq!(rig.output("work"), 5);
    assert_eq!(rig.world.things.lock().sends, 1);
}

#[test]
fn a_timer_takes_its_time_and_no_thread() {
    let rig = Rig::new(book(vec![step("nap", &[], "host::time::sleep(\"40m\"); 1")]));
    let before = rig.clock.now();
    rig.drive();
    assert_eq!(rig.output("nap"), 1);
    assert_eq!(rig.clock.now().duration_since(before).as_secs(), 2400);
}

#[test]
fn a_failure_that_is_handled_is_never_green() {
    let rig = Rig::new(book(vec![
        step("bad", &[], "throw \"no\"").on_failure(OnFailure::Continue),
        step("after", &["bad"], "steps.bad == ()"),
    ]));
    rig.drive();
    assert_eq!(rig.status(), RunStatus::SucceededWithExceptions);
    assert_eq!(rig.output("after"), true);
}

#[test]
fn a_verify_is_asked_until_it_is_true() {
    let rig = Rig::new(book(vec![
        step("work", &[], &set("a", "1")).verify("host::fs::read_text(\"/proof\").text == \"yes\""),
    ]));
    let engine = rig.drive();
    assert_eq!(rig.status(), RunStatus::Paused);
    assert!(rig.state().detail().contains("`verify` was not true within 30s"), "{}", rig.state().detail());
    // The proof is there now: a retry looks first, and does nothing again.
    rig.world.put("/proof", "yes");
    rig.say(&engine, alice(), Order::Retry { step: StepPath::of("work"), from_start: false });
    assert_eq!(rig.status(), RunStatus::Succeeded);
    assert_eq!(rig.world.things.lock().sends, 1);
}

#[test]
fn a_verify_for_which_credentials_have_expired_waits_for_fresh_ones() {
    let rig =
        Rig::new(book(vec![step("work", &[], &set("a", "1")).verify("host::fs::read_text(\"/a\").text == \"1\"")]));
    rig.world.things.lock().expired = true;
    let engine = rig.drive();
    assert_eq!(rig.status(), RunStatus::Paused);
    assert!(rig.state().detail().contains("the token has expired"), "{}", rig.state().detail());
    rig.world.things.lock().expired = false;
    rig.say(&engine, bob(), Order::Resume);
    assert_eq!(rig.status(), RunStatus::Succeeded, "{}", rig.state().detail());
}

#[test]
fn a_verify_that_is_denied_is_not_asked_for_again_and_says_what_was_denied() {
    let proof = "host::fs::read_text(\"/a\").text == \"1\"";
    let rig = Rig::new(book(vec![step("work", &[], &set("a", "1")).verify(proof)]));
    rig.world.things.lock().denied = true;
    let engine = rig.drive();
    assert_eq!(rig.status(), RunStatus::Paused);
    assert!(rig.state().detail().contains("`verify` was denied: nobody may read this"), "{}", rig.state().detail());
    assert_eq!(rig.world.things.lock().reads, 1);
    rig.world.things.lock().denied = false;
    rig.say(&engine, alice(), Order::Retry { step: StepPath::of("work"), from_start: false });
    assert_eq!((rig.status(), rig.world.things.lock().sends), (RunStatus::Succeeded, 1), "{}", rig.state().detail());
}

#[test]
fn a_verify_may_only_read() {
    let rig = Rig::new(book(vec![step("work", &[], "1").verify(&format!("{} true", set("a", "1")))]));
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Paused);
    assert_eq!(rig.world.things.lock().sends, 0);
}

#[test]
fn a_script_can_catch_an_error_and_go_on() {
    let rig = Rig::new(book(vec![step(
        "work",
        &[],
        "let said = 1; try { host::fs::read_text(\"/none\"); } catch (e) { said = e.message; } said",
    )]));
    rig.drive();
    assert_eq!(rig.output("work"), "there is no such file");
}

#[test]
fn a_script_cannot_catch_its_own_suspension() {
    let script = "let x = 0; try { [1].map(|n| host::time::sleep(\"1h\")) } catch { x = 1 } x";
    let rig = Rig::new(book(vec![step("work", &[], script)]));
    rig.drive();
    assert_eq!(rig.output("work"), 0);
}

#[test]
fn what_is_not_granted_is_refused_and_nothing_is_sent() {
    let mut playbook = book(vec![step("work", &[], &set("a", "1"))]);
    playbook.capabilities.clear();
    let rig = Rig::new(playbook);
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Paused);
    assert!(rig.state().detail().contains("not among the playbook's capabilities"));
    assert_eq!(rig.world.things.lock().sends, 0);
}

#[test]
fn a_plan_sends_nothing_and_says_what_it_cannot_know() {
    let mut rig = Rig::new(book(vec![
        step("work", &[], &format!("{} host::fs::read_text(\"/a\").text == \"1\"", set("a", "1"))),
        step("after", &["work"], "steps.work"),
    ]));
    rig.mode = Mode::Plan;
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Succeeded);
    assert_eq!(rig.world.things.lock().sends, 0);
    assert!(rig.output("work")["$unknown"].is_string(), "{}", rig.output("work"));
}

#[test]
fn other_targets_than_those_it_began_with_pause_the_run() {
    let rig = Rig::new(book(vec![step(
        "one",
        &[],
        &format!("{} host::time::sleep(\"1h\"); {}", set("a", "1"), set("b", "2")),
    )]));
    rig.world.things.lock().target = "red".to_owned();
    rig.store.stop_after(6);
    rig.drive();
    let rig = rig.after_crash();
    rig.world.things.lock().target = "blue".to_owned();
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Paused);
    assert_eq!(rig.world.get("/b"), None);
}

#[test]
fn a_late_step_fails_before_its_next_effect() {
    let script = format!("host::time::sleep(\"1h\"); {}", set("a", "1"));
    let rig = Rig::new(book(vec![step("slow", &[], &script).timeout(60)]));
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Paused);
    assert!(matches!(rig.state().step(&StepPath::of("slow")).map(|s| &s.status), Some(StepStatus::Failed { .. })));
    assert_eq!(rig.world.get("/a"), None);
}

#[test]
fn a_wait_that_is_late_looks_once_more_with_time_for_it_and_says_how_far_it_has_come() {
    let rig = Rig::new(book(vec![step("wait", &[], "host::http::wait_ok(#{ url: \"http://a/\" })").timeout(60)]));
    rig.world.things.lock().ready_after = 1000;
    let end = rig.clock.now() + Duration::from_secs(60);
    rig.drive();
    let detail = rig.state().detail();
    assert!(detail.contains("was still waiting when the step's time was over: not yet"), "{detail}");
    let looks = rig.world.things.lock().looks.clone();
    assert!(looks.last().is_some_and(|last| last.is_some_and(|last| last > end)), "{looks:?}");
    assert!(looks.iter().rev().skip(1).all(|look| *look == Some(end)), "{looks:?}");
}

#[test]
fn closures_do_not_leave_a_script() {
    let rig = Rig::new(book(vec![step("work", &[], "|| 1")]));
    rig.drive();
    assert!(rig.state().detail().contains("a closure cannot leave a script"), "{}", rig.state().detail());
}
