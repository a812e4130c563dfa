//! Approvals without a plan: what was foreseen when they were asked for is what the run may do.

use std::time::Duration;

use parking_lot::{Condvar, Mutex};

use super::books::{book, set, step};
use super::world::Fate;
use super::*;
use crate::clock::SystemClock;
use crate::engine::Foresight;
use crate::journal::Pause;
use crate::model::StepPath;
use crate::model::forecast::Tree;
use crate::playbook::types::{OnFailure, Step};
use crate::sandbox::Overlay;

/// Sets a name to what `/in` says.
fn copy(name: &str) -> String {
    format!(
        "let text = host::fs::read_text(\"/in\").text; host::fs::write_text(#{{ path: \"/{name}\", text: text, replace: true }});"
    )
}

fn gate(id: &str, needs: &[&str], script: &str) -> Step {
    step(id, needs, script).approval(&[], 1)
}

fn approve(step: &str) -> Order {
    let (step, reason) = (StepPath::of(step), None);
    Order::Approve { step, role: None, reason, break_glass: false, valid_until: None, digest: None }
}

/// What was said of what each question is about, in the order in which they were asked.
fn asked(rig: &Rig) -> Vec<(String, Result<Tree, String>)> {
    let questions = rig.records().into_iter().filter_map(|record| match record.fact {
        Fact::ApprovalAsked { step, tree, unforeseen, .. } => {
            Some((step.to_string(), tree.ok_or_else(|| unforeseen.unwrap_or_default())))
        }
        _ => None,
    });
    questions.collect()
}

fn effects(rig: &Rig) -> Vec<(String, Option<u64>)> {
    asked(rig).into_iter().map(|(step, tree)| (step, tree.ok().map(|tree| tree.effects))).collect()
}

/// The step that is about to do what was not approved, with what.
fn outside(rig: &Rig) -> Option<(String, String)> {
    rig.state().pauses.iter().find_map(|pause| match pause {
        Pause::OutsidePlan { step, effect, approved: true } => Some((step.to_string(), effect.clone())),
        _ => None,
    })
}

fn sends(rig: &Rig) -> usize {
    rig.world.things.lock().sends
}

/// Something free, then a gate, what comes after it, and another gate.
fn two_gates() -> Rig {
    let rig = Rig::new(book(vec![
        step("free", &[], &set("free", "1")),
        gate("work", &["free"], &copy("a")),
        step("then", &["work"], &copy("b")),
        gate("last", &["then"], &copy("c")),
    ]));
    rig.world.put("/in", "old");
    rig
}

#[test]
fn a_world_that_stays_as_it_is_lets_the_run_do_all_that_was_approved() {
    let rig = two_gates();
    let engine = rig.drive();
    assert_eq!(effects(&rig), [("work".to_owned(), Some(2))], "up to the next that asks");
    rig.say(&engine, bob(), approve("work"));
    assert_eq!(sends(&rig), 3);
    assert_eq!(effects(&rig)[1..], [("last".to_owned(), Some(1))]);
    rig.say(&engine, bob(), approve("last"));
    assert_eq!(rig.status(), RunStatus::Succeeded);
}

#[test]
fn what_was_not_foreseen_stops_the_run_before_it_is_done() {
    let rig = two_gates();
    let engine = rig.drive();
    rig.world.put("/in", "new");
    rig.say(&engine, bob(), approve("work"));
    let found = outside(&rig);
    assert!(found.as_ref().is_some_and(|(step, how)| step == "work" && how.contains("text is new")), "{found:?}");
    assert_eq!((rig.status(), sends(&rig)), (RunStatus::Paused, 1));
    assert!(rig.state().detail().contains("not in what was approved"), "{}", rig.state().detail());
    rig.say(&engine, bob(), Order::Resume);
    assert!(outside(&rig).is_some(), "looking again does not make it approved");
    rig.say(&engine, bob(), Order::Rollback { to: None, force: false });
    assert_eq!(rig.status(), RunStatus::RolledBack, "undoing needs no approval");
}

#[test]
fn a_later_step_is_held_to_what_was_approved_before_it() {
    let script = format!("{} host::ask::confirm(#{{ question: \"go on?\" }});", copy("a"));
    let rig = Rig::new(book(vec![gate("work", &[], &script), step("then", &["work"], &copy("b"))]));
    rig.world.put("/in", "old");
    let engine = rig.drive();
    rig.say(&engine, bob(), approve("work"));
    rig.world.put("/in", "new");
    rig.say(&engine, bob(), Order::Answer { step: StepPath::of("work"), value: true.into() });
    assert_eq!(outside(&rig).map(|(step, _)| step).as_deref(), Some("then"));
    assert_eq!((rig.status(), sends(&rig)), (RunStatus::Paused, 1));
}

#[test]
fn the_question_stands_as_it_was_asked_whoever_takes_the_run_up() {
    let rig = two_gates();
    rig.drive();
    rig.world.put("/in", "new");
    let rig = rig.after_crash();
    let engine = rig.drive();
    assert_eq!(asked(&rig).len(), 1, "it is not asked anew");
    rig.say(&engine, bob(), approve("work"));
    assert!(outside(&rig).is_some());
}

/// Drives a run and gives all approvals, until nothing more is asked.
fn drive_approving(rig: &Rig) {
    let engine = rig.drive();
    for _ in 0..8 {
        let waiting = engine.state(&rig.run).map(|state| state.waiting_for_people()).unwrap_or_default();
        let Some(Pause::Approval { step }) = waiting.into_iter().next() else { return };
        if rig.store.post(&rig.run, &Command { by: bob(), what: approve(step.as_str()) }).is_err() {
            return;
        }
        if engine.collect_mail().is_err() {
            return;
        }
        engine.run_until_idle();
    }
}

#[test]
fn stopped_after_any_record_and_around_any_effect_it_comes_to_the_same_end() {
    for fails in [false, true] {
        let rig = || {
            let mut rig = two_gates();
            if fails {
                let mut playbook = rig.program.playbook.clone();
                playbook.steps.push(gate("fail", &["last"], "throw \"no\"").on_failure(OnFailure::Rollback));
                rig = Rig::new(playbook);
                rig.world.put("/in", "old");
            }
            rig
        };
        let whole = rig();
        drive_approving(&whole);
        let expected = if fails { RunStatus::RolledBack } else { RunStatus::Succeeded };
        assert_eq!(whole.status(), expected);
        let trees = |rig: &Rig| -> Vec<String> {
            asked(rig).into_iter().map(|(_, tree)| tree.map_or_else(|why| why, |tree| tree.digest)).collect()
        };
        let end = |rig: &Rig, when: &str| {
            let rig = rig.after_crash();
            drive_approving(&rig);
            assert_eq!(rig.status(), expected, "{when}: {}", rig.state().detail());
            assert_eq!(rig.world.texts(), whole.world.texts(), "{when}");
            assert_eq!(trees(&rig), trees(&whole), "{when}");
            rig.world.nothing_twice();
        };
        for stop in 0..whole.records().len() as u64 {
            let rig = rig();
            rig.store.stop_after(stop);
            drive_approving(&rig);
            end(&rig, &format!("stopped after {stop}"));
        }
        for send in 0..sends(&whole) {
            for fate in [Fate::StopBefore, Fate::StopAfter] {
                let rig = rig();
                rig.world.fate(send, fate.clone());
                drive_approving(&rig);
                end(&rig, &format!("{fate:?} of send {send}"));
            }
        }
    }
}

#[test]
fn what_cannot_be_foreseen_is_said_and_can_be_approved_all_the_same() {
    let rig = two_gates();
    rig.world.things.lock().files.remove("/in");
    let engine = rig.drive();
    let (step, why) = asked(&rig).remove(0);
    let why = why.expect_err("nothing can be known of it");
    assert!(step == "work" && why.contains("work would fail") && why.contains("no such file"), "{why}");
    rig.world.put("/in", "new");
    rig.say(&engine, bob(), approve("work"));
    assert_eq!(effects(&rig)[1..], [("last".to_owned(), Some(1))], "that was approved as a playbook is");
    rig.say(&engine, bob(), approve("last"));
    assert_eq!(rig.status(), RunStatus::Succeeded);
}

#[test]
fn what_is_asked_again_is_foreseen_again() {
    let rig = Rig::new(book(vec![gate("work", &[], &copy("a")).valid_for(60)]));
    rig.world.put("/in", "old");
    let engine = rig.drive();
    // Killed after the approval, and taken up when it counts no more.
    rig.world.fate(0, Fate::StopBefore);
    rig.say(&engine, bob(), approve("work"));
    let records = rig.records();
    let approved = records.iter().position(|record| matches!(record.fact, Fact::Approved { .. })).expect("approved");
    let late = Rig { store: Arc::new(rig.store.prefix(&rig.run, approved as u64 + 2)), ..rig.after_crash() };
    let now = crate::clock::Clock::now(late.clock.as_ref());
    late.clock.advance_to(now + Duration::from_secs(61));
    late.world.put("/in", "new");
    let engine = late.drive();
    assert_eq!(effects(&late), [("work".to_owned(), Some(1)), ("work".to_owned(), Some(1))]);
    late.say(&engine, bob(), approve("work"));
    assert_eq!((late.status(), late.world.get("/a").as_deref()), (RunStatus::Succeeded, Some("new")));
}

#[test]
fn a_refused_approval_is_foreseen_again_when_the_step_is_retried() {
    let rig = two_gates();
    let engine = rig.drive();
    rig.say(&engine, bob(), Order::Reject { step: StepPath::of("work"), reason: "not that".to_owned() });
    rig.world.put("/in", "new");
    rig.say(&engine, alice(), Order::Retry { step: StepPath::of("work"), from_start: false });
    rig.say(&engine, bob(), approve("work"));
    assert_eq!(rig.world.get("/b").as_deref(), Some("new"));
}

#[test]
fn instances_are_approved_each_for_itself_and_planned_together() {
    let items: Vec<String> = (0..50).map(|n| format!("\"i{n}\"")).collect();
    let each = "host::fs::write_text(#{ path: \"/\" + item, text: host::fs::read_text(\"/in\").text, replace: true });";
    let rig = Rig::new(book(vec![
        gate("each", &[], each).foreach(&format!("[{}]", items.join(", ")), Some(64)),
        step("then", &["each"], &copy("b")),
    ]));
    rig.world.put("/in", "old");
    let engine = rig.drive();
    let questions = asked(&rig);
    assert_eq!(questions.len(), 50);
    let trees: Vec<&Tree> = questions.iter().filter_map(|(_, tree)| tree.as_ref().ok()).collect();
    assert!(
        trees.iter().all(|tree| tree.effects == 2 && tree.records == trees[0].records),
        "its own, and what comes after"
    );
    assert_eq!(trees.iter().map(|tree| &tree.digest).collect::<std::collections::BTreeSet<_>>().len(), 50);
    rig.say(&engine, bob(), approve("each[i7]"));
    assert_eq!(rig.world.get("/i7").as_deref(), Some("old"));
    rig.world.put("/in", "new");
    rig.say(&engine, bob(), approve("each[i8]"));
    assert_eq!(outside(&rig).map(|(step, _)| step).as_deref(), Some("each[i8]"));
    assert_eq!(sends(&rig), 1);
}

#[test]
fn a_gate_that_is_left_out_leaves_what_comes_after_to_the_one_before() {
    let rig = Rig::new(book(vec![
        gate("work", &[], &copy("a")),
        gate("never", &["work"], "1").when("false"),
        step("then", &["never"], &copy("b")),
    ]));
    rig.world.put("/in", "old");
    let engine = rig.drive();
    assert_eq!(effects(&rig), [("work".to_owned(), Some(2))]);
    rig.say(&engine, bob(), approve("work"));
    assert_eq!(rig.status(), RunStatus::Succeeded);
}

#[test]
fn an_approval_that_says_what_it_is_of_is_of_these_effects() {
    let digest = |text: &str| {
        let rig = two_gates();
        rig.world.put("/in", text);
        rig.drive();
        rig.records().into_iter().find_map(|record| match record.fact {
            Fact::ApprovalAsked { digest, .. } => Some(digest),
            _ => None,
        })
    };
    assert_eq!(digest("one"), digest("one"));
    assert_ne!(digest("one"), digest("two"));
}

#[test]
fn no_secret_stands_in_what_is_kept_for_those_who_are_asked() {
    let rig = two_gates();
    rig.world.put("/in", "hunter-22");
    rig.redactor.learn("hunter-22");
    let engine = rig.drive();
    for (_, tree) in asked(&rig) {
        // A redacted argument is refused, in what is foreseen as in the run.
        let why = tree.expect_err("it cannot be done");
        assert!(!why.contains("hunter-22"), "{why}");
    }
    let rig =
        Rig::new(book(vec![gate("work", &[], "let read = host::fs::read_text(\"/in\"); host::log::info(read.text);")]));
    rig.world.put("/in", "hunter-22");
    rig.redactor.learn("hunter-22");
    rig.drive();
    let tree = asked(&rig).remove(0).1.expect("it is foreseen");
    for blob in [&tree.bound, &tree.records] {
        let text = String::from_utf8(rig.store.blob(blob).expect("it is kept")).expect("text");
        assert!(!text.contains("hunter-22"), "{text}");
    }
    drop(engine);
}

#[test]
fn whoever_cancels_does_not_wait_for_what_is_being_foreseen() {
    let rig = two_gates();
    let held = Arc::new((Mutex::new((false, false)), Condvar::new()));
    let world = rig.world.clone();
    let seen = Arc::clone(&held);
    // Something that does not answer until it is let go of.
    let foresight: Foresight = Arc::new(move |_| {
        let (state, changed) = &*seen;
        let mut state = state.lock();
        state.0 = true;
        changed.notify_all();
        changed.wait_while(&mut state, |(_, free)| !*free);
        Arc::new(Overlay::over(world.clone()))
    });
    let (host, clock) = (Host::Full(rig.world.clone()), Arc::new(SystemClock));
    let engine = Engine::new(host, clock, rig.store.clone(), rig.redactor.clone()).foreseeing(foresight);
    rig.adopted_by(&engine);
    engine.spawn_workers(2).expect("threads");
    let (state, changed) = &*held;
    changed.wait_while(&mut state.lock(), |(asked, _)| !*asked);
    let order = Command { by: bob(), what: Order::Cancel { no_rollback: false } };
    rig.store.post(&rig.run, &order).expect("posted");
    engine.collect_mail().expect("collected");
    while engine.wait(&rig.run, Duration::from_millis(20)).is_none() {}
    assert_eq!(rig.status(), RunStatus::Cancelled);
    assert!(asked(&rig).is_empty(), "nobody is asked any more");
    assert_eq!(rig.world.get("/free"), None, "and what was done is undone");
    state.lock().1 = true;
    changed.notify_all();
    engine.stop();
    engine.join();
}
