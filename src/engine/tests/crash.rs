//! The engine stopped at every record, and before and after every effect; also while it recovers, and while it rolls back.

use super::books::{book, set, step};
use super::world::{Deed, Fate};
use super::*;
use crate::playbook::types::OnFailure;

fn long() -> Playbook {
    book(vec![
        step("one", &[], &format!("let id = host::rand::id(); {} {} id", set("a", "1"), set("b", "2"))),
        step("each", &["one"], "host::fs::write_text(#{ path: \"/\" + item, text: item, replace: true }); item")
            .foreach("[\"x\", \"y\"]", None)
            .retry(2),
        step("nap", &["one"], "host::time::sleep(\"10m\"); host::log::info(\"slept\"); 1"),
        step("end", &["each", "nap"], &set("a", "9")).verify("host::fs::read_text(\"/a\").text == \"9\""),
    ])
}

fn failing() -> Playbook {
    let mut playbook = long();
    playbook
        .steps
        .push(step("fail", &["end"], &format!("{} throw \"no\"", set("z", "1"))).on_failure(OnFailure::Rollback));
    playbook
}

/// Runs on after a crash until the run rests in a state that is an end.
fn recover(rig: &Rig) -> Rig {
    let rig = rig.after_crash();
    rig.drive();
    rig
}

fn ends_as(playbook: fn() -> Playbook, expected: RunStatus) {
    let whole = Rig::new(playbook());
    whole.world.put("/a", "old");
    whole.drive();
    assert_eq!(whole.status(), expected, "{}", whole.state().detail());
    let end = whole.world.texts();
    let records = whole.records().len() as u64;

    for stop in 0..=records {
        for second in [None, Some(0), Some(1), Some(3)] {
            let mut rig = Rig::new(playbook());
            rig.world.put("/a", "old");
            rig.store.stop_after(stop);
            rig.drive();
            if let Some(second) = second {
                rig = rig.after_crash();
                rig.store.stop_after(second);
                rig.drive();
            }
            let rig = recover(&rig);
            assert_eq!(rig.status(), expected, "stopped after {stop} and {second:?}: {}", rig.state().detail());
            assert_eq!(rig.world.texts(), end, "stopped after {stop} and {second:?}");
            rig.world.nothing_twice();
            rig.world.nothing_kept(&format!("stopped after {stop} and {second:?}"));
        }
    }
}

fn survives_effects(playbook: fn() -> Playbook, expected: RunStatus) {
    let whole = Rig::new(playbook());
    whole.world.put("/a", "old");
    whole.drive();
    let (end, sends) = (whole.world.texts(), whole.world.things.lock().sends);
    for send in 0..sends {
        for fate in [Fate::StopBefore, Fate::StopAfter] {
            let rig = Rig::new(playbook());
            rig.world.put("/a", "old");
            rig.world.fate(send, fate.clone());
            rig.drive();
            let rig = recover(&rig);
            assert_eq!(rig.status(), expected, "{fate:?} of send {send}: {}", rig.state().detail());
            assert_eq!(rig.world.texts(), end, "{fate:?} of send {send}");
            rig.world.nothing_twice();
            rig.world.nothing_kept(&format!("{fate:?} of send {send}"));
        }
    }
}

#[test]
fn stopped_after_any_record_it_comes_to_the_same_end() {
    ends_as(long, RunStatus::Succeeded);
}

#[test]
fn stopped_after_any_record_of_a_rollback_it_comes_to_the_same_end() {
    ends_as(failing, RunStatus::RolledBack);
}

#[test]
fn stopped_before_or_after_any_effect_it_comes_to_the_same_end() {
    survives_effects(long, RunStatus::Succeeded);
    survives_effects(failing, RunStatus::RolledBack);
}

#[test]
fn a_failure_of_any_effect_followed_by_a_rollback_leaves_the_world_as_it_was() {
    let sends = {
        let whole = Rig::new(long());
        whole.drive();
        whole.world.things.lock().sends
    };
    for send in 0..sends {
        for fate in [Fate::Refuse, Fate::Half, Fate::LoseAnswer, Fate::LoseHalf] {
            let mut playbook = long();
            for step in &mut playbook.steps {
                (step.on_failure, step.retry) = (OnFailure::Rollback, None);
            }
            playbook.steps.push(step("fail", &["end"], "throw \"no\"").on_failure(OnFailure::Rollback));
            let rig = Rig::new(playbook);
            rig.world.put("/a", "old");
            let before = rig.world.texts();
            rig.world.fate(send, fate.clone());
            rig.drive();
            assert_eq!(rig.status(), RunStatus::RolledBack, "{fate:?} of send {send}: {}", rig.state().detail());
            assert_eq!(rig.world.texts(), before, "{fate:?} of send {send}");
            rig.world.nothing_kept(&format!("{fate:?} of send {send}"));
        }
    }
}

#[test]
fn every_prefix_of_a_journal_can_be_resumed() {
    let whole = Rig::new(failing());
    whole.drive();
    for keep in 1..=whole.records().len() as u64 {
        let mut rig = whole.after_crash();
        rig.store = Arc::new(whole.store.prefix(&whole.run, keep));
        let engine = rig.drive();
        assert!(engine.take_failure(&rig.run).is_none(), "cut to {keep} records");
        let status = rig.status();
        assert!(status.is_terminal() || status == RunStatus::Paused, "cut to {keep} records it is {status:?}");
    }
}

#[test]
fn replaying_a_complete_journal_makes_no_host_call() {
    let rig = Rig::new(long());
    rig.drive();
    let before = {
        let things = rig.world.things.lock();
        (things.sends, things.reads)
    };
    let rig = rig.after_crash();
    rig.drive();
    let things = rig.world.things.lock();
    assert_eq!((things.sends, things.reads), before);
}

#[test]
fn no_effect_is_sent_before_its_intent_is_durable() {
    let whole = Rig::new(long());
    whole.drive();
    for stop in 0..whole.records().len() as u64 {
        let rig = Rig::new(long());
        rig.store.stop_after(stop);
        rig.drive();
        let intents: Vec<String> = rig
            .after_crash()
            .store
            .load(&rig.run)
            .map(|lines| lines.lines)
            .unwrap_or_default()
            .into_iter()
            .filter(|line| line.contains("\"fact\":\"intent\""))
            .collect();
        for key in &rig.world.things.lock().sent {
            assert!(intents.iter().any(|line| line.contains(key.as_str())), "{key} was sent without an intent");
        }
    }
}

#[test]
fn a_large_result_is_the_same_for_the_next_process_that_takes_the_run() {
    let script = "let text = host::fs::read_text(\"/big\").text; host::time::sleep(\"1h\"); text.len()";
    let rig = Rig::new(book(vec![step("work", &[], script), step("next", &["work"], "steps.work + 1")]));
    rig.world.put("/big", &"x".repeat(100_000));
    rig.drive();
    assert_eq!(rig.output("next"), serde_json::json!(100_001));
    for records in 1..rig.records().len() as u64 {
        let mut again = rig.after_crash();
        again.store = Arc::new(rig.store.prefix(&rig.run, records));
        again.drive();
        assert_eq!(again.output("next"), serde_json::json!(100_001), "after {records} records");
    }
}

#[test]
fn an_engine_that_dies_right_after_a_commit_leaves_nothing_behind_once_the_run_is_carried_on() {
    // Every single commit, among them the last but one, after which nothing is left to do but to say that it ended.
    let records = {
        let whole = Rig::new(failing());
        whole.drive();
        whole.records().len() as u64
    };
    for stop in 0..=records {
        let rig = Rig::new(failing());
        rig.store.stop_after(stop);
        rig.drive();
        let rig = rig.after_crash();
        // A run that has ended is taken up by nobody.
        if stop == 0 || !rig.status().is_terminal() {
            rig.drive();
        }
        assert_eq!(rig.status(), RunStatus::RolledBack);
        rig.world.nothing_kept(&format!("stopped after {stop} of {records} records"));
    }
}

#[test]
fn the_earlier_tries_of_a_call_whose_halves_were_undone_are_let_go_of() {
    let rig = Rig::new(book(vec![step("one", &[], &set("a", "1"))]));
    // Half, its undo, half again, its undo, and then whole.
    rig.world.fate(0, Fate::LoseHalf);
    rig.world.fate(2, Fate::LoseHalf);
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Succeeded, "{}", rig.state().detail());
    assert_eq!(rig.world.things.lock().sends, 5);
    rig.world.nothing_kept("after two halves");
}

#[test]
fn a_call_settled_as_not_done_is_let_go_of_before_it_is_sent_again() {
    let rig = Rig::new(book(vec![step("one", &[], &set("a", "1"))]));
    rig.world.fate(0, Fate::LoseRequest);
    rig.world.things.lock().cannot_tell = true;
    let engine = rig.drive();
    assert_eq!(rig.status(), RunStatus::Paused);
    rig.world.things.lock().cannot_tell = false;
    let settle = Order::Settle {
        step: crate::model::StepPath::of("one"),
        done: false,
        result: None,
        reason: "I have looked".to_owned(),
    };
    rig.say(&engine, bob(), settle);
    assert_eq!(rig.status(), RunStatus::Succeeded, "{}", rig.state().detail());
    let history = rig.world.things.lock().history.clone();
    let [Deed::Sent(first), Deed::Released(released), Deed::Sent(again), Deed::Released(last)] = &history[..] else {
        panic!("sent, let go of, sent again, let go of: {history:?}");
    };
    assert_eq!((released, last), (first, again));
}
