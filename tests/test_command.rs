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

/// A playbook that recovers a PostgresCluster without a guard, in this world: its last step proves what has become of it.
fn unguarded(world: &str, act: &str, prove: &str, because: &str) -> Said {
    let desk = Desk::new();
    assert_eq!(desk.muster(&["new", "mine"]).code, 0);
    let step = |id: &str, needs: &str, script: &str| {
        let lines: String = script.lines().map(|line| format!("      {line}\n")).collect();
        format!("  - id: {id}\n    title: {id}\n    needs: [{needs}]\n    timeout: 2h\n    script: |\n{lines}")
    };
    let head = "muster: 1\nname: mine\nversion: 1.0.0\ntitle: Without a guard\ncapabilities: [k8s.*]\nsteps:\n";
    desk.file("mine/playbook.yaml", &format!("{head}{}{}", step("act", "", act), step("prove", "act", prove)));
    desk.file("mine/world.yaml", world);
    let expect = format!("expect: {{ steps: {{ act: succeeded, prove: failed }}, exit: 7, errors: \"{because}\" }}");
    desk.file(
        "mine/tests/recovery.yaml",
        &format!("muster_tests: 1\ntests:\n  - name: it fails as in life\n    {expect}\n"),
    );
    desk.muster(&["test", "mine"])
}

const HIPPO: &str = "shop/hippo: { databases: { hippo: { t: 1 } }, backups: [{ ago: 5h }] }";

/// Scripts' words for a restore in place.
fn restore(cluster: &str, more: &str) -> String {
    format!(
        r##"let of = #{{ kind: "postgrescluster", name: "{cluster}", namespace: "shop" }};
let restore = #{{ enabled: true, repoName: "repo1"{more} }};
let note = #{{ "postgres-operator.crunchydata.com/pgbackrest-restore": "id1" }};
host::k8s::patch(of + #{{ patch: #{{ metadata: #{{ annotations: note }}, spec: #{{ backups: #{{ pgbackrest: #{{ restore: restore }} }} }} }} }});
host::k8s::wait(of + #{{ condition: "status.pgbackrest.restore.id == 'id1' && status.pgbackrest.restore.finished == true" }});
host::k8s::patch(of + #{{ patch: #{{ spec: #{{ backups: #{{ pgbackrest: #{{ restore: #{{ enabled: false }} }} }} }} }} }});"##
    )
}

fn stays_up(cluster: &str) -> String {
    format!(
        r##"host::k8s::wait(#{{ kind: "postgrescluster", name: "{cluster}", namespace: "shop",
    condition: "status.observedGeneration == metadata.generation && status.instances[0].readyReplicas == 1",
    fails: "status.pgbackrest.restore.id != 'id1' || status.conditions[type=PostgresDataInitialized].status == 'False'" }});"##
    )
}

#[test]
fn a_playbook_without_guards_fails_in_the_sandbox_as_the_operator_lets_it_fail_in_life() {
    // The data source that a clone was made from is left in its spec.
    let source = "{ postgresCluster: { clusterName: hippo, repoName: repo1 } }";
    let world = format!(
        "kubernetes:\n  pgo:\n    clusters:\n      {HIPPO}\n      shop/elephant: {{ databases: {{ hippo: {{ t: 9 }} }}, backups: [{{ ago: 1h }}], spec: {{ dataSource: {source} }} }}\n"
    );
    let said = unguarded(
        &world,
        &restore("elephant", ""),
        &stays_up("elephant"),
        "status.pgbackrest.restore.id is ~pgo-bootstrap-elephant",
    );
    assert_eq!(said.code, 0, "{said:?}");
    // A target after the last commit, and a Job that has finished: badly.
    let world = format!("kubernetes:\n  pgo:\n    clusters:\n      {HIPPO}\n");
    let target = r##", options: ["--type=time", "--target='2027-01-01 00:00:00+00'"]"##;
    let said = unguarded(
        &world,
        &restore("hippo", target),
        &stays_up("hippo"),
        "status.conditions[type=PostgresDataInitialized].status is False",
    );
    assert_eq!(said.code, 0, "{said:?}");
    // One database alone, in place: it is there again, and of every other there is nothing but zeroes.
    let world = "kubernetes:\n  pgo:\n    clusters:\n      shop/hippo: { databases: { hippo: { t: 1 }, billing: { t: 7 } }, backups: [{ ago: 5h }] }\n";
    let asks = r##"let labels = "postgres-operator.crunchydata.com/data=postgres";
host::k8s::wait(#{ kind: "postgrescluster", name: "hippo", namespace: "shop", condition: "status.observedGeneration == metadata.generation && status.instances[0].readyReplicas == 1" });
let pod = host::k8s::list(#{ kind: "pod", namespace: "shop", labels: labels }).objects[0].metadata.name;
for database in ["hippo", "billing"] {
    let argv = ["psql", "-qAt", "-d", database, "-c", "SELECT count(*) FROM t"];
    let said = host::k8s::read(#{ pod: pod, namespace: "shop", container: "database", argv: argv, any_exit: true });
    if said.code != 0 {
        throw database + ": " + said.stderr;
    }
}"##;
    let only = r##", options: ["--db-include=hippo"]"##;
    let said = unguarded(world, &restore("hippo", only), asks, "billing: psql: error: FATAL:  relation mapping file");
    assert_eq!(said.code, 0, "{said:?}");
    // Nothing is left running of the active cluster, seen in a namespace where it never was; it is paused.
    let repo = "{ name: repo1, s3: { bucket: pg, endpoint: s3.example.com, region: x } }";
    let pgbackrest = format!("{{ configuration: [{{ secret: {{ name: s3 }} }}], repos: [{repo}] }}");
    let site = |more: &str| {
        format!("{{ backups: [{{ ago: 5h }}], spec: {{ backups: {{ pgbackrest: {pgbackrest} }}, {more} }} }}")
    };
    let world = format!(
        "kubernetes:\n  pgo:\n    clusters:\n      east/hippo: {}\n      west/hippo: {}\n",
        site("paused: true"),
        site("standby: { enabled: true, repoName: repo1 }"),
    );
    let act = r##"let site = |at| #{ kind: "postgrescluster", name: "hippo", namespace: at };
host::k8s::patch(site.call("east") + #{ patch: #{ spec: #{ shutdown: true } } });
if host::k8s::list(#{ kind: "pod", namespace: "default", labels: "postgres-operator.crunchydata.com/cluster=hippo" }).objects.len() > 0 {
    throw "it still runs";
}
host::k8s::patch(site.call("west") + #{ patch: #{ spec: #{ standby: #{ enabled: false } } } });"##;
    let prove = r##"let writes = 0;
for site in ["east", "west"] {
    let labels = "postgres-operator.crunchydata.com/data=postgres";
    host::k8s::wait(#{ kind: "postgrescluster", name: "hippo", namespace: site, condition: "status.conditions[type=PGBackRestReplicaCreate].status == 'True'" });
    for pod in host::k8s::list(#{ kind: "pod", namespace: site, labels: labels }).objects {
        let argv = ["psql", "-qAt", "-c", "SELECT pg_is_in_recovery()"];
        let said = host::k8s::read(#{ pod: pod.metadata.name, namespace: site, container: "database", argv: argv });
        if said.stdout == "f\n" {
            writes += 1;
        }
    }
}
if writes > 1 {
    throw "two write to one repository";
}"##;
    let said = unguarded(&world, act, prove, "two write to one repository");
    assert_eq!(said.code, 0, "{said:?}");
}
