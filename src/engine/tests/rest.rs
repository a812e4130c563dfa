//! What is left of a run, foreseen from where it stands.

use super::books::{book, set, step};
use super::world::Fate;
use super::*;
use crate::engine::bound::Bound;
use crate::engine::error::EngineError;
use crate::engine::rest;
use crate::engine::state::CallKind;
use crate::journal::Pause;
use crate::model::StepPath;
use crate::model::forecast::{Basis, PlanPin};
use crate::model::paths::{PathEffect, Paths};
use crate::playbook::types::{OnFailure, Step};
use crate::sandbox::Overlay;

/// An effect that is foreseen: its step, its text, and how far that can be believed.
type Line = (String, String, Basis);

fn foresee(rig: &Rig) -> Result<Vec<Record>, EngineError> {
    let host = Arc::new(Overlay::over(rig.world.clone()));
    let now = crate::clock::Clock::now(rig.clock.as_ref());
    rest::foresee(&rig.program, &rig.records(), host, now, &rig.redactor)
}

fn effects(records: &[Record]) -> Vec<Line> {
    let foreseen = records.iter().filter_map(|record| match &record.fact {
        Fact::Foreseen { call, op, args, basis, .. } if op == "fs.write_text" => {
            Some((call.step.to_string(), args["text"].as_str().unwrap_or("?").to_owned(), *basis))
        }
        _ => None,
    });
    foreseen.collect()
}

fn texts(rig: &Rig) -> Vec<(String, String)> {
    let records = foresee(rig).expect("it is planned");
    effects(&records).into_iter().map(|(step, text, _)| (step, text)).collect()
}

fn line(step: &str, text: &str) -> (String, String) {
    (step.to_owned(), text.to_owned())
}

/// `first` sets and gives what it drew; `work` sets, waits for an answer, sets what it was told; `last` sets what `first` drew.
fn three() -> Vec<Step> {
    let draw = format!("let drawn = host::rand::hex(#{{ bytes: 2 }}); {} drawn", set("first", "1"));
    let ask = format!(
        "{} let way = host::ask::text(#{{ question: \"which?\" }}); host::fs::write_text(#{{ path: \"/told\", text: way, replace: true }});",
        set("work", "2")
    );
    let last = "host::fs::write_text(#{ path: \"/last\", text: steps.first, replace: true });";
    vec![step("first", &[], &draw), step("work", &["first"], &ask), step("last", &["first", "work"], last)]
}

#[test]
fn what_is_done_keeps_its_results_and_only_what_is_ahead_is_foreseen() {
    let rig = Rig::new(book(three()));
    rig.drive();
    let before = rig.records();
    let records = foresee(&rig).expect("it is planned");
    assert_eq!(
        records[..before.len()].iter().map(|r| &r.fact).collect::<Vec<_>>(),
        before.iter().map(|r| &r.fact).collect::<Vec<_>>()
    );
    let drawn = rig.output("first");
    let drawn = drawn.as_str().expect("a text");
    let found = effects(&records);
    assert_eq!(found.len(), 2, "{found:?}");
    assert_eq!((found[0].0.as_str(), found[0].1.as_str()), ("work", "?"), "only the answer tells");
    assert_eq!((found[1].0.as_str(), found[1].1.as_str()), ("last", drawn), "the output that the run has");
    assert_eq!(rig.records(), before, "the run hears nothing of it");
    assert_eq!(rig.world.things.lock().sends, 2);
}

/// A name, the steps of a playbook, and the calls that are ahead of it.
type Standing<'a> = (&'a str, Box<dyn Fn() -> Vec<Step>>, &'a [(String, String)]);

#[test]
fn a_rest_begins_wherever_a_run_can_stand() {
    let all = [line("a", "1"), line("b", "2"), line("c", "3")];
    let books: [Standing<'_>; 4] = [
        (
            "before an approval",
            Box::new(|| {
                vec![
                    step("a", &[], &set("a", "1")),
                    step("b", &["a"], &set("b", "2")).approval(&[], 1),
                    step("c", &["b"], &set("c", "3")),
                ]
            }),
            &all[1..],
        ),
        (
            "before a step done by hand",
            Box::new(|| {
                vec![
                    step("a", &[], &set("a", "1")),
                    step("m", &["a"], "1").manual("pull the plug"),
                    step("c", &["m"], &set("c", "3")),
                ]
            }),
            &all[2..],
        ),
        (
            "at a failure",
            Box::new(|| {
                vec![
                    step("a", &[], &set("a", "1")),
                    step(
                        "b",
                        &["a"],
                        &format!(
                            "{} {} if host::fs::read_text(\"/none\").text == \"\" {{ 1 }}",
                            set("b", "2"),
                            set("x", "4")
                        ),
                    ),
                    step("c", &["b"], &set("c", "3")),
                ]
            }),
            &[],
        ),
        (
            "in the middle of a list",
            Box::new(|| {
                vec![
                    step("a", &[], &set("a", "1")),
                    step("b", &["a"], "host::fs::write_text(#{ path: \"/\" + item, text: item, replace: true });")
                        .foreach("[\"2\", \"3\"]", Some(1))
                        .approval(&[], 1),
                ]
            }),
            &[line("b[2]", "2"), line("b[3]", "3")],
        ),
    ];
    for (name, steps, ahead) in books {
        let rig = Rig::new(book(steps()));
        rig.drive();
        assert_eq!(rig.status(), RunStatus::Paused, "{name}");
        assert_eq!(texts(&rig), ahead, "{name}");
    }
}

#[test]
fn the_world_is_asked_about_a_call_that_nobody_knows_the_end_of() {
    for (fate, ahead) in
        [(Fate::StopAfter, &[line("last", "3")][..]), (Fate::StopBefore, &[line("work", "2"), line("last", "3")][..])]
    {
        let steps = || {
            vec![
                step("work", &[], &format!("{} {} 3", set("a", "1"), set("b", "2"))),
                step("last", &["work"], &set("c", "3")),
            ]
        };
        let rig = Rig::new(book(steps()));
        rig.world.fate(1, fate.clone());
        rig.drive();
        let rig = rig.after_crash();
        let records = foresee(&rig).expect("it is planned");
        // The call in the middle is told of, whatever became of it; it is never listed twice.
        let found: Vec<_> = effects(&records).into_iter().map(|(step, text, _)| (step, text)).collect();
        assert_eq!(found.len(), 2, "{fate:?}: {found:?}");
        assert!(found.ends_with(&ahead[ahead.len() - 1..]), "{fate:?}: {found:?}");
        assert_eq!(
            rig.world.things.lock().sent.len(),
            if fate == Fate::StopAfter { 2 } else { 1 },
            "{fate:?}: nothing is sent"
        );
        rig.drive();
        assert_eq!(rig.status(), RunStatus::Succeeded);
        rig.world.nothing_twice();
    }
}

#[test]
fn a_run_that_is_over_or_being_undone_has_no_rest() {
    let rig = Rig::new(book(vec![step("work", &[], &set("a", "1"))]));
    rig.drive();
    assert!(matches!(foresee(&rig), Err(EngineError::NoRest { .. })));
    let rig = Rig::new(book(vec![
        step("work", &[], &set("a", "1")),
        step("fails", &["work"], "throw \"no\"").on_failure(OnFailure::Rollback),
    ]));
    rig.world.things.lock().cannot_tell = true;
    rig.world.fate(1, Fate::LoseRequest);
    rig.drive();
    assert!(matches!(foresee(&rig), Err(EngineError::NoRest { .. })), "{:?}", rig.status());
}

#[test]
fn whatever_a_rest_is_planned_from_the_run_stays_within_it() {
    // At every record of a run, what it does afterwards is in the plan of what was left then.
    let rig = Rig::new(book(three()));
    let engine = rig.drive();
    rig.say(&engine, bob(), Order::Answer { step: StepPath::of("work"), value: "left".into() });
    assert_eq!(rig.status(), RunStatus::Succeeded);
    let records = rig.records();
    let end = rig.state();
    for length in 1..records.len() {
        let host = Arc::new(Overlay::over(rig.world.clone()));
        let now = crate::clock::Clock::now(rig.clock.as_ref());
        let Ok(planned) = rest::foresee(&rig.program, &records[..length], host, now, &rig.redactor) else { continue };
        let state = RunState::fold(&planned).expect("it folds");
        let mut bound = Bound::default();
        for (path, step) in &state.steps {
            let calls = step.body.iter().map(|index| &state.calls[*index]);
            let writes = calls.filter(|call| crate::ops::find(&call.op).is_some_and(|op| op.effect.writes()));
            let effects = writes.map(|call| PathEffect { op: call.op.clone(), args: call.args.clone(), at_most: None });
            bound.steps.insert(path.clone(), Paths::sequence(effects));
        }
        for (path, step) in &end.steps {
            let calls = step.body.iter().map(|index| &end.calls[*index]);
            let made: Vec<(&str, &Value)> = calls
                .filter(|call| matches!(call.kind, CallKind::Effect { .. }))
                .map(|call| (call.op.as_str(), &call.args))
                .collect();
            assert!(bound.admits(path, &made), "after {length} records {path} makes {made:?} where {bound:?}");
        }
    }
}

/// A plan that allows these texts, in this order, in `work`.
fn plan(rig: &Rig, texts: &[&str]) -> PlanPin {
    let effect = |text: &&str| PathEffect {
        op: "fs.write_text".to_owned(),
        args: serde_json::json!({ "path": format!("/{text}"), "text": text, "replace": true }),
        at_most: None,
    };
    let effects = Paths::sequence(texts.iter().map(effect));
    let bound = Bound { digest: texts.join(","), steps: [(StepPath::of("work"), effects)].into() };
    let blob = rig.store.put_blob(&serde_json::to_vec(&bound).expect("JSON")).expect("stored");
    PlanPin { digest: bound.digest, bound: blob.clone(), plan: blob }
}

fn bind(rig: &Rig, texts: &[&str], moves: u64) -> Order {
    Order::Bind { plan: plan(rig, texts), moves, approvals: Vec::new() }
}

#[test]
fn a_run_is_bound_to_another_plan_only_where_that_was_made() {
    let rig = Rig::new(book(vec![
        step("work", &[], &format!("{} {} {}", set("a", "a"), set("b", "b"), set("c", "c"))).approval(&[], 1),
    ]));
    let engine = rig.drive();
    rig.say(&engine, bob(), bind(&rig, &["a"], rig.state().moves));
    let approve = || Order::Approve {
        step: StepPath::of("work"),
        role: None,
        reason: None,
        break_glass: false,
        valid_until: None,
        digest: None,
    };
    rig.say(&engine, bob(), approve());
    let outside = |rig: &Rig| rig.state().pauses.iter().any(|pause| matches!(pause, Pause::OutsidePlan { .. }));
    assert!(outside(&rig), "{:?}", rig.state().pauses);
    let moves = rig.state().moves;
    rig.say(&engine, bob(), bind(&rig, &["a", "b"], moves - 1));
    assert!(outside(&rig), "that plan was made when the run stood elsewhere");
    rig.say(&engine, bob(), Order::Resume);
    assert!(outside(&rig) && rig.state().moves == moves, "looking again moves nothing");
    rig.say(&engine, bob(), bind(&rig, &["a", "b"], moves));
    assert_eq!(
        rig.state().waiting_for_people(),
        [Pause::Approval { step: StepPath::of("work") }],
        "the approval was of another plan"
    );
    assert_eq!(rig.world.things.lock().sends, 1);
    // The engine dies here; what was said and done stands.
    let rig = rig.after_crash();
    let engine = rig.drive();
    rig.say(&engine, bob(), approve());
    assert!(outside(&rig));
    assert_eq!(rig.world.things.lock().sends, 2);
    rig.say(&engine, bob(), bind(&rig, &["a", "b", "c"], rig.state().moves));
    rig.say(&engine, bob(), approve());
    assert_eq!(rig.status(), RunStatus::Succeeded);
    rig.world.nothing_twice();
}
