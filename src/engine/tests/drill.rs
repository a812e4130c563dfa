//! Drills: fenced in, measured, torn down whatever happens, and swept.

use std::collections::BTreeMap;

use super::books::{book, set, step};
use super::world::Fate;
use super::*;
use crate::engine::drill_report::DrillReport;
use crate::model::drill::{DrillPin, Teardown};
use crate::playbook::types::{Drill, OnFailure};

fn pin() -> DrillPin {
    DrillPin {
        declared_at: "2025-12-31T23:50:00Z".parse().expect("an instant"),
        skip: Vec::new(),
        shared: Vec::new(),
        proof: Vec::new(),
        time_limit_ms: None,
        makes: BTreeMap::new(),
        rto_ms: Some(3_600_000),
        rpo_ms: Some(3_600_000),
    }
}

fn rig(playbook: Playbook, pin: DrillPin) -> Rig {
    Rig { drill: Some(pin), ..Rig::new(playbook) }
}

fn measuring(mut playbook: Playbook, rpo: &str) -> Playbook {
    let place = crate::model::span::Span::new(0, 900_001, 900_002);
    let spanned = |text: &str| crate::model::span::Spanned::new(text.to_owned(), place);
    playbook.drill = Some(Drill {
        none: None,
        params: Vec::new(),
        skip: Vec::new(),
        shared: Vec::new(),
        proof: Vec::new(),
        measure: vec![(spanned("rpo"), spanned(rpo))],
        time: None,
        makes: Vec::new(),
        span: place,
    });
    playbook
}

fn report(rig: &Rig) -> DrillReport {
    DrillReport::fold(&rig.records()).expect("it is a drill")
}

fn two_files() -> Playbook {
    book(vec![
        step("one", &[], &format!("{} {} 1", set("a", "1"), set("a/in", "2"))),
        step("nap", &["one"], "host::time::sleep(\"10m\"); 1"),
        step("end", &["nap"], &set("b", "3")).verify("host::fs::read_text(\"/b\").text == \"3\""),
    ])
}

#[test]
fn a_drill_ends_with_nothing_left_of_it_and_says_how_long_recovery_took() {
    let rig = rig(measuring(two_files(), "\"2025-12-31T23:20:00Z\""), pin());
    rig.world.put("/kept", "old");
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Succeeded, "{}", rig.state().detail());
    assert_eq!(rig.world.texts(), BTreeMap::from([("/kept".to_owned(), "old".to_owned())]));
    let report = report(&rig);
    let rto = report.rto.expect("it was measured");
    assert_eq!((rto.total_ms, rto.detect_ms, rto.machine_ms, rto.decide_ms), (1_200_000, 600_000, 600_000, 0));
    assert_eq!(report.rpo_ms, Some(1_800_000));
    assert_eq!((report.swept, report.leaks.len(), report.green), (Some(2), 0, true));
}

#[test]
fn a_change_of_what_was_there_is_refused_before_its_intent_whatever_the_script_says() {
    let sly = format!("{} try {{ {} }} catch {{}} {} 1", set("a", "1"), set("kept", "new"), set("a/in", "2"));
    let rig = rig(book(vec![step("one", &[], &sly)]), pin());
    rig.world.put("/kept", "old");
    rig.drive();
    assert_eq!(rig.world.texts(), BTreeMap::from([("/kept".to_owned(), "old".to_owned())]));
    let intents = |rig: &Rig| {
        rig.records().iter().any(|record| matches!(&record.fact, Fact::Intent { args, .. } if args["path"] == "/kept"))
    };
    assert!(!intents(&rig), "its intent was written");
    let refused = rig.records().into_iter().find_map(|record| match record.fact {
        Fact::Called { outcome: crate::journal::Outcome::Error { error }, .. } => Some(error),
        _ => None,
    });
    let error = refused.expect("it was refused");
    assert!(error.denied && error.message.contains("fs/kept"), "{error:?}");
    assert!(error.hint.expect("a hint").contains("fs/a"), "what the drill made is named");
    assert_eq!(rig.status(), RunStatus::Succeeded, "the script went on without it");
}

#[test]
fn what_a_drill_shares_may_be_changed_and_is_put_back() {
    let playbook = || book(vec![step("one", &[], &set("kept", "new"))]);
    let rig = rig(playbook(), DrillPin { shared: vec!["fs/ke*".to_owned()], ..pin() });
    rig.world.put("/kept", "old");
    rig.drive();
    assert_eq!((rig.status(), rig.world.get("/kept")), (RunStatus::Succeeded, Some("old".to_owned())));
    assert_eq!(rig.world.things.lock().sent.len(), 2, "it was changed and put back");
}

#[test]
fn no_more_is_made_than_the_limit_says() {
    let playbook = book(vec![step("one", &[], &format!("{} {}", set("a", "1"), set("b", "2")))]);
    let rig = rig(playbook, DrillPin { makes: BTreeMap::from([("fs.*".to_owned(), 1)]), ..pin() });
    rig.drive();
    assert_eq!((rig.status(), rig.world.texts().len()), (RunStatus::RolledBack, 0));
    let torn = report(&rig).teardown.expect("it was torn down");
    assert!(torn.why.contains("1 things"), "{}", torn.why);
}

#[test]
fn a_failed_step_is_torn_down_without_asking_anybody() {
    for on_failure in [OnFailure::Pause, OnFailure::Rollback] {
        let playbook = book(vec![
            step("one", &[], &set("a", "1")),
            step("two", &["one"], &format!("{} throw \"no\"", set("b", "2"))).on_failure(on_failure),
        ]);
        let rig = rig(playbook, pin());
        rig.drive();
        assert_eq!((rig.status(), rig.world.texts().len()), (RunStatus::RolledBack, 0));
        let report = report(&rig);
        assert!(report.rto.is_none() && !report.green && report.swept == Some(2), "{report:?}");
    }
}

#[test]
fn a_step_that_the_drill_leaves_out_does_nothing_and_those_that_need_it_go_on() {
    let rig = rig(two_files(), DrillPin { skip: vec!["nap".to_owned()], ..pin() });
    rig.drive();
    assert_eq!(rig.status(), RunStatus::Succeeded);
    assert_eq!(report(&rig).skipped, ["nap"]);
}

#[test]
fn nobody_has_to_approve_what_lies_inside_the_fence() {
    let rig = rig(book(vec![step("one", &[], &set("a", "1")).approval(&[], 1).no_return()]), pin());
    rig.drive();
    assert_eq!((rig.status(), rig.world.texts().len()), (RunStatus::Succeeded, 0));
    assert_eq!(report(&rig).waived, ["one"]);
}

#[test]
fn a_step_that_does_not_apply_is_not_begun_for_want_of_an_approval() {
    let rig = rig(book(vec![step("one", &[], &set("a", "1")).approval(&[], 1).when("false")]), pin());
    rig.drive();
    assert_eq!((rig.status(), rig.world.things.lock().sent.len()), (RunStatus::Succeeded, 0));
    assert!(report(&rig).waived.is_empty());
}

#[test]
fn what_a_drill_shares_is_touched_only_with_the_approval_that_the_step_asks_for() {
    let playbook = book(vec![step("one", &[], &format!("{} {}", set("a", "1"), set("kept", "new"))).approval(&[], 1)]);
    let rig = rig(playbook, DrillPin { shared: vec!["fs/kept".to_owned()], ..pin() });
    rig.world.put("/kept", "old");
    let engine = rig.drive();
    assert_eq!((rig.status(), rig.world.get("/kept")), (RunStatus::Paused, Some("old".to_owned())));
    rig.clock.advance_to("2026-01-01T00:30:00Z".parse().expect("an instant"));
    let approve = Order::Approve {
        step: crate::model::StepPath::of("one"),
        role: None,
        reason: None,
        break_glass: false,
        valid_until: None,
        digest: None,
    };
    rig.say(&engine, bob(), approve);
    assert_eq!((rig.status(), rig.world.get("/kept")), (RunStatus::Succeeded, Some("old".to_owned())));
    let rto = report(&rig).rto.expect("it was measured");
    assert_eq!((rto.decide_ms, rto.machine_ms), (1_800_000, 0), "waiting for people is told apart");
}

#[test]
fn a_missed_objective_is_no_success() {
    let rig = rig(measuring(two_files(), "7200000"), DrillPin { rto_ms: Some(1000), ..pin() });
    rig.drive();
    assert_eq!(rig.status(), RunStatus::SucceededWithExceptions);
    assert_eq!(report(&rig).missed.len(), 2, "{:?}", report(&rig).missed);
}

#[test]
fn what_cannot_be_measured_is_told_and_torn_down_all_the_same() {
    let rig = rig(measuring(two_files(), "host::fs::read_text(\"/nowhere\").text"), pin());
    rig.drive();
    assert_eq!((rig.status(), rig.world.texts().len()), (RunStatus::SucceededWithExceptions, 0));
    assert!(report(&rig).missed[0].contains("there is no such file"), "{:?}", report(&rig).missed);
}

#[test]
fn a_drill_whose_time_is_over_is_torn_down() {
    let rig = rig(two_files(), DrillPin { time_limit_ms: Some(60_000), ..pin() });
    rig.drive();
    assert_eq!((rig.status(), rig.world.texts().len()), (RunStatus::RolledBack, 0));
    assert_eq!(rig.state().drill.expect("a drill").teardown, Some(Teardown::TimeLimit));
}

#[test]
fn a_cancelled_drill_is_torn_down_and_swept() {
    let playbook = book(vec![
        step("one", &[], &set("a", "1")),
        step("ask", &["one"], "host::ask::confirm(#{ question: \"on?\" })"),
    ]);
    let rig = rig(playbook, pin());
    let engine = rig.drive();
    assert_eq!(rig.status(), RunStatus::Paused);
    rig.say(&engine, alice(), Order::Cancel { no_rollback: false });
    assert_eq!((rig.status(), rig.world.texts().len()), (RunStatus::Cancelled, 0));
    assert_eq!(report(&rig).swept, Some(1));
}

#[test]
fn what_cannot_be_undone_is_tried_again_and_then_told_as_a_leak() {
    let rig = rig(book(vec![step("one", &[], &set("a", "1"))]), pin());
    for send in 1..=3 {
        rig.world.fate(send, Fate::Refuse);
    }
    rig.drive();
    assert_eq!((rig.status(), rig.world.get("/a")), (RunStatus::Failed, Some("1".to_owned())));
    let report = report(&rig);
    assert_eq!((report.leaks.len(), report.green), (1, false));
    let leak = &report.leaks[0];
    assert_eq!((leak.resource.as_str(), leak.remove.as_deref()), ("fs/a", Some("rm -r -- /a")));
    assert!(leak.found.contains("told to fail"), "{}", leak.found);
}

#[test]
fn a_drill_stopped_at_any_record_ends_with_its_teardown() {
    let failing = || {
        let mut playbook = two_files();
        playbook.steps.push(step("fail", &["end"], &format!("{} throw \"no\"", set("z", "1"))));
        playbook
    };
    let good = || measuring(two_files(), "\"2025-12-31T23:20:00Z\"");
    let cases: [(&dyn Fn() -> Playbook, RunStatus); 2] =
        [(&good, RunStatus::Succeeded), (&failing, RunStatus::RolledBack)];
    for (playbook, expected) in cases {
        let whole = rig(playbook(), pin());
        whole.world.put("/kept", "old");
        whole.drive();
        assert_eq!(whole.status(), expected);
        let sends = whole.world.things.lock().sends;
        for stop in 0..=whole.records().len() as u64 {
            let rig = rig(playbook(), pin());
            rig.world.put("/kept", "old");
            rig.store.stop_after(stop);
            rig.drive();
            ends_clean(&rig, expected, &format!("stopped after {stop}"));
        }
        for (send, fate) in (0..sends).flat_map(|send| [(send, Fate::StopBefore), (send, Fate::StopAfter)]) {
            let rig = rig(playbook(), pin());
            rig.world.put("/kept", "old");
            rig.world.fate(send, fate.clone());
            rig.drive();
            ends_clean(&rig, expected, &format!("{fate:?} of send {send}"));
        }
    }
}

fn ends_clean(rig: &Rig, expected: RunStatus, when: &str) {
    let rig = rig.after_crash();
    rig.drive();
    assert_eq!(rig.status(), expected, "{when}: {}", rig.state().detail());
    assert_eq!(rig.world.texts().len(), 1, "{when}: {:?}", rig.world.texts());
    rig.world.nothing_twice();
    rig.world.nothing_kept(when);
    let swept = report(&rig).swept;
    assert!(swept.is_some(), "{when}: it was not swept");
}
