//! What is worked out from the steps of a plan.

use super::*;
use crate::playbook::types::Playbook;

fn playbook(parallel: u32) -> Playbook {
    Playbook {
        name: spanned("p"),
        version: spanned("1.0.0"),
        title: String::new(),
        doc: String::new(),
        imports: Vec::new(),
        rto: None,
        rpo: None,
        params: Vec::new(),
        capabilities: Vec::new(),
        secrets: Vec::new(),
        checks: Vec::new(),
        parallel,
        steps: Vec::new(),
        drill: None,
        places: Default::default(),
    }
}

fn spanned(text: &str) -> crate::model::span::Spanned<String> {
    crate::model::span::Spanned { value: text.to_owned(), span: crate::model::span::Span::default() }
}

fn call(op: &str, resource: &str, takes_ms: u64) -> PlannedCall {
    let entry = crate::ops::find(op).expect("an operation");
    PlannedCall {
        op: op.to_owned(),
        writes: entry.effect.writes(),
        basis: Basis::Predicted,
        reason: String::new(),
        resource: resource.to_owned(),
        args: Value::Null,
        result: Value::Null,
        refused: None,
        undo: entry.effect.writes().then_some(PlannedUndo::Nothing),
        takes_ms,
        changes: Vec::new(),
        branch: Vec::new(),
        repeated: None,
        at_most: None,
    }
}

fn step(id: &str, needs: &[&str], calls: Vec<PlannedCall>) -> PlannedStep {
    PlannedStep {
        step: StepPath::of(id),
        title: String::new(),
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        outcome: StepOutcome::Runs,
        approval: None,
        point_of_no_return: None,
        manual: false,
        own_rollback: false,
        verify: None,
        runs_if: Vec::new(),
        stops_if: Vec::new(),
        not_followed: Vec::new(),
        made: Vec::new(),
        recorded: 0,
        calls,
        paths: None,
        starts_ms: 0,
        ends_ms: 0,
        critical: false,
    }
}

fn plan(mut steps: Vec<PlannedStep>, parallel: u32, rto_ms: Option<u64>) -> Plan {
    let timeline = timeline::lay_out(&mut steps, &playbook(parallel));
    let mut plan = Plan {
        rest: None,
        format: FORMAT,
        playbook: "p".to_owned(),
        version: "1.0.0".to_owned(),
        title: String::new(),
        bundle: "b".to_owned(),
        params: Value::Null,
        given: BTreeMap::new(),
        targets: BTreeMap::new(),
        objectives: Objectives { rto_ms, rpo_ms: None },
        checks: Vec::new(),
        effects: 0,
        coverage: Coverage::default(),
        steps,
        timeline,
        warnings: Vec::new(),
        digest: String::new(),
    };
    plan.warnings = warnings::of(&plan);
    plan.digest = digest::of(&plan);
    plan
}

fn codes(plan: &Plan) -> Vec<&str> {
    plan.warnings.iter().map(|warning| warning.code.as_str()).collect()
}

fn impossible(mut call: PlannedCall) -> PlannedCall {
    call.undo = Some(PlannedUndo::Impossible { why: "it is gone".to_owned() });
    call
}

#[test]
fn the_longest_chain_decides_the_duration() {
    let of = plan(
        vec![
            step("last", &["slow", "quick"], vec![call("fs.delete", "fs/c", 5)]),
            step("slow", &["first"], vec![call("fs.delete", "fs/a", 100)]),
            step("quick", &["first"], vec![call("fs.delete", "fs/b", 10)]),
            step("first", &[], vec![call("fs.delete", "fs/d", 1)]),
        ],
        8,
        None,
    );
    assert_eq!(of.timeline.total_ms, 106);
    let critical: Vec<&str> = of.timeline.critical.iter().map(StepPath::as_str).collect();
    assert_eq!(critical, ["first", "slow", "last"]);
    assert_eq!((of.steps[2].starts_ms, of.steps[2].ends_ms, of.steps[2].critical), (1, 11, false));
}

#[test]
fn nobody_is_waited_for_at_a_step_that_does_not_come() {
    let approved = |id: &str, outcome: StepOutcome| {
        let approval = Some(PlannedApproval { count: 1, by: vec![] });
        PlannedStep { outcome, approval, ..step(id, &[], vec![]) }
    };
    let skipped = StepOutcome::Skipped { reason: "`when` is false".to_owned() };
    let plan = plan(vec![approved("a", StepOutcome::Runs), approved("b", skipped)], 8, None);
    assert_eq!(plan.timeline.people, [StepPath::of("a")]);
}

#[test]
fn what_runs_at_once_is_limited_as_in_the_run() {
    let steps = || (0..4).map(|n| step(&format!("s{n}"), &[], vec![call("fs.delete", "", 10)])).collect::<Vec<_>>();
    assert_eq!(plan(steps(), 4, None).timeline.total_ms, 10);
    assert_eq!(plan(steps(), 2, None).timeline.total_ms, 20);
    let one = plan(steps(), 1, None);
    assert_eq!(one.timeline.total_ms, 40);
    assert_eq!(one.timeline.critical.len(), 4, "each waits for the one before");
}

#[test]
fn of_alternatives_the_longest_counts() {
    let branch = |answer| vec![Decision { question: "q".to_owned(), answer }];
    let calls = vec![
        call("fs.delete", "fs/a", 1),
        PlannedCall { branch: branch(true), ..call("fs.delete", "fs/b", 10) },
        PlannedCall { branch: branch(false), ..call("fs.delete", "fs/c", 20) },
        PlannedCall { branch: branch(false), ..call("fs.delete", "fs/d", 20) },
    ];
    assert_eq!(plan(vec![step("s", &[], calls)], 1, None).timeline.total_ms, 41);
}

#[test]
fn a_missed_objective_is_said() {
    let steps = || vec![step("s", &[], vec![call("fs.delete", "fs/a", 61_000)])];
    assert!(!codes(&plan(steps(), 1, Some(61_000))).contains(&"rto-missed"));
    let missed = plan(steps(), 1, Some(60_000));
    assert!(codes(&missed).contains(&"rto-missed"), "{:?}", missed.warnings);
}

#[test]
fn what_cannot_be_undone_wants_a_person_before_it() {
    let bare = plan(vec![step("gone", &[], vec![impossible(call("fs.delete", "fs/a", 1))])], 1, None);
    assert_eq!(codes(&bare), ["irreversible"]);
    let mut gate = step("gate", &[], vec![]);
    gate.approval = Some(PlannedApproval { count: 1, by: vec![] });
    let between = step("between", &["gate"], vec![]);
    let gone = step("gone", &["between"], vec![impossible(call("fs.delete", "fs/a", 1))]);
    assert_eq!(codes(&plan(vec![gone, between, gate], 1, None)), Vec::<&str>::new());
}

#[test]
fn a_point_of_no_return_that_is_left_out_is_none() {
    let mut first = step("overwrite", &[], Vec::new());
    first.point_of_no_return = Some("the old data are gone".to_owned());
    let second = step("start", &["overwrite"], vec![call("fs.rename", "fs/a", 5)]);
    let crossed = plan(vec![first.clone(), second.clone()], 1, None);
    assert_eq!(codes(&crossed), ["no-return"], "{:?}", crossed.warnings);
    first.outcome = StepOutcome::Skipped { reason: "`when: false`".to_owned() };
    let left_out = plan(vec![first, second], 1, None);
    assert!(codes(&left_out).is_empty(), "{:?}", left_out.warnings);
}

#[test]
fn steps_that_nothing_orders_must_not_touch_the_same_thing() {
    let racing = plan(
        vec![
            step("a", &[], vec![call("fs.delete", "fs/x", 1)]),
            step("b", &[], vec![call("fs.stat", "fs/x", 1)]),
            step("c", &["a", "b"], vec![call("fs.delete", "fs/x", 1)]),
        ],
        8,
        None,
    );
    assert_eq!(codes(&racing), ["unordered"], "{:?}", racing.warnings);
}

#[test]
fn the_digest_is_that_of_the_effects_and_not_of_the_reads() {
    let of = |read: &str, write: &str| {
        plan(
            vec![step(
                "s",
                &[],
                vec![call("fs.stat", read, 1), {
                    let mut call = call("fs.delete", "fs/x", 1);
                    call.args = serde_json::json!({ "path": write });
                    call
                }],
            )],
            1,
            None,
        )
        .digest
    };
    assert_eq!(of("fs/a", "/x"), of("fs/b", "/x"));
    assert_ne!(of("fs/a", "/x"), of("fs/a", "/y"));
}

#[test]
fn ten_thousand_steps_are_laid_out_without_a_square_of_them() {
    let chain: Vec<PlannedStep> = (0..10_000)
        .map(|n| {
            let needs = if n == 0 { vec![] } else { vec![format!("s{}", n - 1)] };
            let mut step = step(&format!("s{n}"), &[], vec![call("fs.delete", &format!("fs/{n}"), 1)]);
            step.needs = needs;
            step
        })
        .collect();
    let of = plan(chain, 8, None);
    assert_eq!(of.timeline.total_ms, 10_000);
    assert_eq!(of.timeline.critical.len(), 10_000);
}
