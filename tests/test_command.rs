//! `muster test`: passes what is as expected, shows what is not with its place, and refuses tests that are none.

#[path = "support/cli.rs"]
mod support;

use support::{Desk, Said};

/// The tests of `muster new mine`, replaced by these.
fn tested(tests: &str) -> Said {
    let desk = Desk::new();
    assert_eq!(desk.muster(&["new", "mine"]).code, 0);
    desk.file("mine/tests/recovery.yaml", &format!("muster_tests: 1\ntests:\n{tests}"));
    desk.muster(&["test", "mine"])
}

#[test]
fn all_shipped_playbooks_pass_their_tests_on_a_machine_with_nothing_else() {
    let desk = Desk::new();
    for name in muster::playbook::shipped::names() {
        let said = desk.muster(&["test", name]);
        assert_eq!(said.code, 0, "{said:?}");
        assert!(!desk.store_path().exists(), "a test keeps nothing");
    }
}

#[test]
fn a_new_playbook_passes_the_tests_that_came_with_it_and_runs_in_its_world() {
    let desk = Desk::new();
    assert_eq!(desk.muster(&["new", "mine"]).code, 0);
    let said = desk.muster(&["test", "mine"]);
    assert!(said.code == 0 && said.stderr.contains("2 passed, 0 failed"), "{said:?}");
    assert_eq!(desk.muster(&["run", "./mine", "--sandbox"]).code, 0);
    assert_eq!(desk.muster(&["lint", "./mine"]).code, 0);
}

#[test]
fn what_is_not_as_expected_is_shown_at_its_place() {
    let said = tested(
        "  - name: wrong in every way
    expect:
      exit: 5
      status: rolled back
      steps: { recover: failed }
      effects: [fs.delete: { path: /x }]
      undos: { count: 1 }
      pauses: [approval: prove]
      outputs: { prove: { bytes: 1 } }
      errors: never said
      log: neither
      world: { unchanged: true, files: { /srv/recovered: absent, /nowhere: exists } }
      plan: { effects: 9, failing_steps: [prove], warnings: [none] }
      within: 1ms
",
    );
    assert_eq!(said.code, 1, "{said:?}");
    let expected = [
        "exit code: expected 5, found 0 (succeeded)",
        "status: expected rolled back",
        "step recover: expected failed, found succeeded",
        "- fs.delete {\"path\":\"/x\"}",
        "+ fs.write_text",
        "undos: expected 1, found 0",
        "pauses: expected approval: prove, found none",
        "result of prove",
        "an error with: expected never said, found none",
        "a log line with: expected neither, found recovering into /srv/recovered",
        "changes of the world",
        "file /srv/recovered: expected absent",
        "file /nowhere: expected exists, found absent",
        "effects of the plan: expected 9, found 1",
        "failing steps of the plan: expected prove, found none",
        "warnings of the plan",
        "duration: expected 1ms at most, found",
        "mine/tests/recovery.yaml:5:13",
        "0 passed, 1 failed",
    ];
    let all = format!("{}{}", said.stdout, said.stderr);
    // A long message is broken into lines.
    let flat = all.split_whitespace().filter(|word| *word != "|").collect::<Vec<_>>().join(" ");
    for part in expected {
        assert!(flat.contains(part), "{part}: {all}");
    }
}

#[test]
fn a_test_of_what_never_happens_fails() {
    for (never, says) in [
        ("fail: { op: fs.write_text, use: 2 }", "expected a call that fails, found one such call was made"),
        ("fail: { op: fs.stat, use: 99, how: transient }", "expected a call that fails"),
        ("kill: { effect: 7 }", "effect 7, to stop the engine at"),
        ("kill: { record: 5000 }", "record 5000, to stop the engine at"),
        ("then: rollback", "expected a pause for this order"),
        ("then: { retry: look }", "expected a pause for this order"),
    ] {
        let said = tested(&format!("  - name: never\n    {never}\n    expect: {{ exit: 0 }}\n"));
        assert!(said.code == 1, "{never}: {said:?}");
        let flat = said.stdout.split_whitespace().collect::<Vec<_>>().join(" ");
        assert!(flat.contains(says), "{never}: {}", said.stdout);
    }
}

#[test]
fn reads_fail_too_and_every_way_to_fail_has_its_end() {
    for (fail, expect) in [
        ("{ op: fs.stat, how: failed, message: boom }", "{ exit: 7, errors: boom, effects: [] }"),
        ("{ op: fs.write_text, how: lost }", "{ exit: 0, effects: { count: 1 } }"),
        ("{ op: fs.write_text, how: half }", "{ exit: 0 }"),
        // What is not there yet is asked for again, what is not allowed is not.
        ("{ op: fs.stat, use: 2, how: refused }", "{ exit: 0 }"),
        (
            "{ op: fs.stat, use: 2, how: denied, message: nobody may look }",
            "{ exit: 7, errors: '`verify` was denied: nobody may look', pauses: [step_failed: recover] }",
        ),
        ("{ step: recover, how: transient, use: every }", "{ pauses: [step_failed: recover] }"),
    ] {
        let said = tested(&format!("  - name: it fails\n    fail: {fail}\n    expect: {expect}\n"));
        assert_eq!(said.code, 0, "{fail}: {said:?}");
    }
}

#[test]
fn orders_and_stops_of_the_engine_go_on_from_where_it_was() {
    let said = tested(
        "  - name: by hand
    fail: { op: fs.write_text, use: [1, 2] }
    then: [retry: recover, { skip: recover, reason: no need }]
    kill: { effect: 1, at: before }
    expect: { exit: 5, steps: { recover: skipped, prove: failed }, effects: { count: 2 }, pauses: [step_failed: recover] }
",
    );
    assert_eq!(said.code, 0, "{said:?}");
}

#[test]
fn tests_that_are_none_are_refused_with_place_and_likely_spelling() {
    for (wrong, says) in [
        ("  - name: x\n    expct: { exit: 0 }\n", "did you mean `expect`?"),
        ("  - name: x\n    expect: { exit: 0 }\n  - name: x\n    expect: { exit: 0 }\n", "two tests have this name"),
        ("  - name: x\n    expect: {}\n", "expects nothing"),
        ("  - name: x\n    expect: { steps: { recove: failed } }\n", "did you mean `recover`?"),
        ("  - name: x\n    expect: { effects: [fs.write_txt] }\n", "did you mean `fs.write_text`?"),
        ("  - name: x\n    expect: { effects: [fs.stat] }\n", "has no effect"),
        ("  - name: x\n    fail: { op: fs.stat, how: half }\n    expect: { exit: 0 }\n", "neither half done nor lost"),
        ("  - name: x\n    fail: { how: lost }\n    expect: { exit: 0 }\n", "needs an operation"),
        ("  - name: x\n    then: retry\n    expect: { exit: 0 }\n", "`retry` needs a step"),
        ("  - name: x\n    then: frobnicate\n    expect: { exit: 0 }\n", "is no order"),
        ("  - name: x\n    expect: { status: suceeded }\n", "did you mean `succeeded`?"),
        ("  - name: x\n    expect: { within: 5 }\n", "add the unit"),
    ] {
        let said = tested(wrong);
        assert!(said.code == 3 && said.stderr.contains(says), "{wrong}: {said:?}");
        assert!(said.stderr.contains("mine/tests/recovery.yaml:"), "{said:?}");
    }
}

#[test]
fn a_world_that_cannot_be_is_the_failure_of_its_test_alone() {
    let said = tested(
        "  - { name: a, world: none.yaml, expect: { exit: 0 } }
  - { name: b, change: { remove: { containers: none } }, expect: { exit: 0 } }
  - { name: c, change: { damage: { /none: flip } }, expect: { exit: 0 } }
  - { name: d, change: { set: { frees: 1 } }, expect: { exit: 0 } }
  - { name: e, params: { pace: soon }, expect: { exit: 0 } }
  - { name: f, expect: { exit: 0 } }
",
    );
    assert!(said.code == 1 && said.stderr.contains("1 passed, 5 failed"), "{said:?}");
    for part in ["there is no none.yaml", "no none", "no file /none", "frees", "pace"] {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }
}

#[test]
fn json_and_junit_are_for_programs_and_the_filter_chooses() {
    let desk = Desk::new();
    let json = desk.muster(&["test", "hello-recovery", "-o", "json", "--filter", "damaged"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    assert_eq!(json.as_array().map(Vec::len), Some(1));
    assert_eq!((&json[0]["passed"], &json[0]["status"]), (&true.into(), &"rolled back".into()));
    let junit = desk.muster(&["test", "hello-recovery", "omnichat-verify", "-o", "junit"]);
    assert!(
        junit.stdout.contains("<testsuite name=\"hello-recovery\" tests=\"8\" failures=\"0\">"),
        "{}",
        junit.stdout
    );
    let none = desk.muster(&["test", "hello-recovery", "--filter", "nothing like this"]);
    assert!(none.code == 0 && none.stderr.contains("0 passed, 0 failed"), "{none:?}");
    assert_eq!(desk.muster(&["test", "no-such-playbook"]).code, 3);
}
