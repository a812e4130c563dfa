//! A plan that was reviewed is what runs: whatever changed since is refused, and what is not in the plan is not done. Whether it would
//! work is asked before.

mod check;
#[path = "../support/running.rs"]
mod running;
#[path = "../support/cli.rs"]
mod support;

use std::process::Stdio;
use std::time::{Duration, Instant};

use running::Running;
use serde_json::{Value, json};
use support::{Desk, Said};

/// Copies a file, twice if another says so.
const PLAYBOOK: &str = r#"
muster: 1
name: copies
version: 1.0.0
title: Copies a file
params:
  from: { type: path, doc: What to copy. }
  to: { type: path, doc: Where to. }
  flag: { type: path, doc: A file whose presence asks for a second copy. }
capabilities: [fs.stat, fs.copy]
steps:
  - id: copy
    script: |
      host::fs::copy(#{ from: params.from, to: params.to + ".1" });
      if host::fs::stat(params.flag).exists {
        host::fs::copy(#{ from: params.from, to: params.to + ".2" });
      }
"#;

struct Bench {
    desk: Desk,
}

impl Bench {
    fn new() -> Self {
        let desk = Desk::new();
        desk.file("playbooks/copies/playbook.yaml", PLAYBOOK);
        desk.file("source", "some text\n");
        Self { desk }
    }

    fn plan(&self, more: &[&str]) -> Said {
        let params = ["-p", "from=source", "-p", "to=copy", "-p", "flag=switch"];
        self.desk.muster(&[&["plan", "copies", "--out", "plan.json"][..], &params, more].concat())
    }

    fn run(&self) -> Said {
        self.desk.muster(&["run", "--plan", "plan.json"])
    }

    fn is_copied(&self, number: u32) -> bool {
        self.desk.path().join(format!("copy.{number}")).exists()
    }

    fn change(&self, change: impl FnOnce(&mut Value)) {
        let path = self.desk.path().join("plan.json");
        let mut file: Value = serde_json::from_slice(&std::fs::read(&path).unwrap()).unwrap();
        change(&mut file);
        std::fs::write(&path, serde_json::to_vec(&file).unwrap()).unwrap();
    }
}

#[test]
fn a_plan_runs_as_it_was_written_and_only_once() {
    let bench = Bench::new();
    assert_eq!(bench.plan(&[]).code, 0);
    let ran = bench.run();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(bench.is_copied(1) && !bench.is_copied(2));
    std::fs::remove_file(bench.desk.path().join("copy.1")).unwrap();
    let again = bench.run();
    assert_eq!(again.code, 8, "{again:?}");
    assert!(again.stderr.contains("applied already"), "{again:?}");
    assert!(!bench.is_copied(1));
}

#[test]
fn what_changed_since_is_named_and_nothing_is_done() {
    type Change = fn(&Bench);
    let changes: [(&str, Change); 3] = [
        ("the playbook", |bench| {
            bench.desk.file("playbooks/copies/playbook.yaml", &PLAYBOOK.replace("Copies a file", "Copies one"));
        }),
        ("the effects of copy", |bench| {
            bench.desk.file("switch", "");
        }),
        ("refused", |bench| {
            bench.desk.file("copy.1", "somebody else's");
        }),
    ];
    for (named, change) in changes {
        let bench = Bench::new();
        bench.plan(&[]);
        change(&bench);
        let before = std::fs::read(bench.desk.path().join("copy.1")).ok();
        let said = bench.run();
        assert_eq!(said.code, 8, "{named}: {said:?}");
        assert!(said.stderr.contains(named), "{named}: {said:?}");
        assert_eq!(std::fs::read(bench.desk.path().join("copy.1")).ok(), before, "{named}");
        assert_eq!(bench.desk.muster(&["ps", "--all", "-o", "json"]).stdout.trim(), "[]", "{named}: no run was begun");
    }
}

#[test]
fn a_file_that_was_changed_is_refused() {
    type Change = fn(&mut Value);
    let changes: [(&str, Change); 7] = [
        ("a parameter", |file| file["plan"]["params"]["to"] = json!("/somewhere/else")),
        ("a call", |file| file["plan"]["steps"][0]["calls"][0]["args"]["to"] = json!("/somewhere/else")),
        ("its validity", |file| file["valid_until"] = json!("2099-01-01T00:00:00Z")),
        ("its author", |file| file["by"]["name"] = json!("mallory@here")),
        ("its seal", |file| file["seal"] = json!("0".repeat(64))),
        ("a field more", |file| file["force"] = json!(true)),
        ("its form", |file| *file = json!({ "muster_plan": 99 })),
    ];
    for (name, change) in changes {
        let bench = Bench::new();
        bench.plan(&[]);
        bench.change(change);
        let said = bench.run();
        assert_eq!(said.code, 8, "{name}: {said:?}");
        assert!(!bench.is_copied(1), "{name}");
    }
}

#[test]
fn a_plan_has_an_end() {
    let bench = Bench::new();
    bench.plan(&["--valid-for", "1ms"]);
    let said = bench.run();
    assert_eq!(said.code, 8, "{said:?}");
    assert!(said.stderr.contains("valid until"), "{said:?}");
}

#[test]
fn a_plan_of_the_sandbox_is_none_of_the_real_world() {
    let desk = Desk::new();
    assert_eq!(desk.muster(&["plan", "hello-recovery", "--sandbox", "--out", "plan.json"]).code, 0);
    assert_eq!(desk.muster(&["run", "--plan", "plan.json"]).code, 8);
    assert_eq!(desk.muster(&["run", "--sandbox", "--plan", "plan.json"]).code, 0);
    assert_eq!(desk.muster(&["run", "--sandbox", "--plan", "plan.json"]).code, 8, "only once there too");
}

#[test]
fn parameters_stand_in_the_plan_and_nowhere_else() {
    let bench = Bench::new();
    bench.plan(&[]);
    assert_eq!(bench.desk.muster(&["run", "--plan", "plan.json", "-p", "to=other"]).code, 1);
}

#[test]
fn no_file_at_all_is_no_plan() {
    let desk = Desk::new();
    std::fs::create_dir(desk.path().join("folder")).unwrap();
    desk.file("text", "not JSON");
    desk.file("other.json", "{}");
    assert_eq!(desk.muster(&["run", "--plan", "none"]).code, 1);
    for wrong in ["folder", "text", "other.json", "/dev/zero"] {
        let said = desk.muster(&["run", "--plan", wrong]);
        assert_eq!(said.code, 8, "{wrong}: {said:?}");
    }
}

/// The world changes between the check and the effect.
#[test]
fn an_effect_that_is_not_in_the_plan_stops_the_run_before_it() {
    let bench = Bench::new();
    let slow = PLAYBOOK
        .replace("fs.copy]", "fs.copy, ask.confirm]")
        .replace("      if host::fs::stat", "      host::ask::confirm(\"go on?\");\n      if host::fs::stat");
    bench.desk.file("playbooks/copies/playbook.yaml", &slow);
    bench.plan(&[]);
    assert_eq!(bench.run().code, 7);
    assert!(bench.is_copied(1));
    bench.desk.file("switch", "");
    let stopped = bench.desk.muster(&["answer", "@latest", "copy", "yes"]);
    assert_eq!(stopped.code, 7, "{stopped:?}");
    assert!(stopped.stdout.contains("not in the plan"), "{stopped:?}");
    assert!(!bench.is_copied(2));
    // Asking again does not help; rolling back does.
    assert_eq!(bench.desk.muster(&["resume", "@latest"]).code, 7);
    assert!(!bench.is_copied(2));
    assert_eq!(bench.desk.muster(&["rollback", "@latest"]).code, 5);
    assert!(!bench.is_copied(1));
}

/// A run that was planned while there was no flag, asks, and finds one: it stands before a copy that is not in its plan.
fn stands_outside(bench: &Bench, gated: bool) {
    stands_outside_before(bench, gated, "");
}

/// The same; its last step does something more before its copy.
fn stands_outside_before(bench: &Bench, gated: bool, more: &str) {
    let gate = if gated { "    approval: { by: [dr-lead] }\n" } else { "" };
    let slow = PLAYBOOK
        .replace("fs.copy]", "fs.copy, ask.confirm, time.sleep]")
        .replace("      if host::fs::stat", "      host::ask::confirm(\"go on?\");\n      if host::fs::stat")
        .replace("  - id: copy\n", &format!("  - id: copy\n{gate}"));
    let after = "  - id: after\n    needs: [copy]\n    script: |\n";
    let last = "      host::fs::copy(#{ from: params.from, to: params.to + \".3\" });\n";
    bench.desk.file("playbooks/copies/playbook.yaml", &format!("{slow}{after}{more}{last}"));
    bench.plan(&[]);
    if gated {
        assert_eq!(as_(bench, "bob@here", &APPROVE).code, 0);
    }
    assert_eq!(bench.run().code, 7);
    bench.desk.file("switch", "");
    let stopped = bench.desk.muster(&["answer", "@latest", "copy", "yes"]);
    assert_eq!(stopped.code, 7, "{stopped:?}");
    assert!(stopped.stdout.contains("not in the plan"), "{stopped:?}");
    assert!(stopped.stdout.contains("plan --run") && stopped.stdout.contains("--plan FILE"), "{stopped:?}");
}

fn plan_rest(bench: &Bench) -> Said {
    bench.desk.muster(&["plan", "--run", "@latest", "--out", "rest.json"])
}

const GO_ON: [&str; 4] = ["resume", "@latest", "--plan", "rest.json"];

#[test]
fn a_run_that_left_its_plan_goes_on_under_a_plan_of_what_is_left() {
    let bench = Bench::new();
    stands_outside(&bench, false);
    let planned = plan_rest(&bench);
    assert_eq!(planned.code, 0, "{planned:?}");
    assert!(planned.stdout.contains("rest of") && planned.stdout.contains("begun already"), "{planned:?}");
    assert!(!bench.is_copied(2) && !bench.is_copied(3), "planning does nothing");
    let file: Value = serde_json::from_slice(&std::fs::read(bench.desk.path().join("rest.json")).unwrap()).unwrap();
    assert_eq!(file["plan"]["effects"], 2, "only what is ahead");
    assert_eq!(file["plan"]["steps"][0]["made"].as_array().map(Vec::len), Some(1));
    let as_new = bench.desk.muster(&["run", "--plan", "rest.json"]);
    assert_eq!(as_new.code, 8, "{as_new:?}");
    let went = bench.desk.muster(&GO_ON);
    assert_eq!(went.code, 0, "{went:?}");
    assert!(bench.is_copied(1) && bench.is_copied(2) && bench.is_copied(3));
    let said = bench.desk.muster(&["report", "@latest", "-o", "json"]);
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    let report = &report["plan"];
    assert_eq!(
        report["effects"],
        json!({ "as_planned": 3, "not_planned": 0, "not_made": 0, "other_way": 0, "percent": 100 })
    );
    assert_eq!(report["replanned"].as_array().map(Vec::len), Some(1));
    let text = bench.desk.muster(&["report", "@latest"]).stdout;
    assert!(text.contains("planned again"), "{text}");
    assert_eq!(bench.desk.muster(&GO_ON).code, 1, "the run has ended");
}

#[test]
fn a_plan_of_the_rest_holds_for_where_the_run_stood_and_for_no_other() {
    type Change = fn(&Bench);
    let changes: [(&str, Change); 5] = [
        ("another run's plan", |bench| {
            bench.plan(&[]);
            std::fs::copy(bench.desk.path().join("plan.json"), bench.desk.path().join("rest.json")).unwrap();
        }),
        ("the source is gone", |bench| std::fs::remove_file(bench.desk.path().join("source")).unwrap()),
        ("the file was changed", |bench| {
            let path = bench.desk.path().join("rest.json");
            let text = std::fs::read_to_string(&path).unwrap();
            std::fs::write(&path, text.replace("copy.2", "copy.9")).unwrap();
        }),
        ("somebody else made the copy", |bench| drop(bench.desk.file("copy.2", "somebody else's"))),
        ("its time is over", |bench| {
            bench.desk.muster(&["plan", "--run", "@latest", "--out", "rest.json", "--valid-for", "1ms"]);
        }),
    ];
    for (name, change) in changes {
        let bench = Bench::new();
        stands_outside(&bench, false);
        assert_eq!(plan_rest(&bench).code, 0);
        change(&bench);
        let said = bench.desk.muster(&GO_ON);
        assert_eq!(said.code, 8, "{name}: {said:?}");
        assert!(!bench.is_copied(3), "{name}");
    }
}

#[test]
fn what_was_approved_before_the_rest_was_planned_counts_no_more() {
    let bench = Bench::new();
    stands_outside(&bench, true);
    assert_eq!(plan_rest(&bench).code, 0);
    let asks = bench.desk.muster(&GO_ON);
    assert_eq!(asks.code, 7, "{asks:?}");
    assert!(asks.stdout.contains("waits for approval") && !bench.is_copied(2), "{asks:?}");
    assert_eq!(as_(&bench, "bob@here", &["approve", "@latest", "copy", "--role", "dr-lead"]).code, 0);
    assert!(bench.is_copied(2) && bench.is_copied(3));
}

#[test]
fn a_plan_of_the_rest_is_approved_like_any_other() {
    let bench = Bench::new();
    stands_outside(&bench, true);
    assert_eq!(plan_rest(&bench).code, 0);
    assert_eq!(as_(&bench, "carol@here", &["approve", "--plan", "rest.json", "--role", "dr-lead"]).code, 0);
    let went = bench.desk.muster(&GO_ON);
    assert_eq!(went.code, 0, "{went:?}");
    assert!(bench.is_copied(2) && bench.is_copied(3));
}

/// Killed by SIGKILL once it goes on under the new plan: whoever takes it up needs no file, and is held to that plan.
#[test]
fn a_run_killed_under_the_plan_of_its_rest_is_still_held_to_it() {
    let more = "      host::time::sleep(1500);\n      \
                if host::fs::stat(params.to + \".late\").exists { host::fs::copy(#{ from: params.from, to: params.to + \".4\" }); }\n";
    for late in [false, true] {
        let bench = Bench::new();
        stands_outside_before(&bench, false, more);
        assert_eq!(plan_rest(&bench).code, 0);
        let mut holder = Running::start(bench.desk.command(&GO_ON).stdout(Stdio::null()).stderr(Stdio::null()));
        let begun = Instant::now();
        while !bench.is_copied(2) {
            assert!(begun.elapsed() < Duration::from_secs(20), "it does not go on");
            std::thread::sleep(Duration::from_millis(5));
        }
        holder.kill().unwrap();
        holder.wait().unwrap();
        if late {
            bench.desk.file("copy.late", "");
        }
        let again = bench.desk.muster(&GO_ON);
        assert!(again.code == 8 && again.stderr.contains("moved on"), "a plan is bound once: {again:?}");
        let went = bench.desk.muster(&["resume", "@latest"]);
        assert_eq!((went.code, bench.is_copied(3)), if late { (7, false) } else { (0, true) }, "{went:?}");
        assert!(!bench.is_copied(4), "it is in no plan");
        assert_eq!(went.stdout.contains("not in the plan"), late, "{went:?}");
    }
}

#[test]
fn a_run_of_the_sandbox_is_planned_on_over_the_world_it_has() {
    let desk = Desk::new();
    assert_eq!(desk.muster(&["run", "hello-recovery", "--sandbox", "--fail", "fs.rename"]).code, 7);
    let planned = desk.muster(&["plan", "--run", "@latest", "--out", "rest.json"]);
    assert_eq!(planned.code, 0, "{planned:?}");
    let bound = desk.muster(&["resume", "@latest", "--plan", "rest.json"]);
    assert_eq!(bound.code, 7, "the failed step still waits for somebody's choice: {bound:?}");
    let again = desk.muster(&["resume", "@latest", "--plan", "rest.json"]);
    assert!(again.code == 8 && again.stderr.contains("moved on"), "only once: {again:?}");
    assert_eq!(desk.muster(&["run", "--sandbox", "--plan", "rest.json"]).code, 8);
    let went = desk.muster(&["retry", "@latest", "keep"]);
    assert_eq!(went.code, 0, "{went:?}");
}

/// Copies with approvals: two people of the team.
fn gated(bench: &Bench) {
    let gated = PLAYBOOK.replace("  - id: copy\n", "  - id: copy\n    approval: { by: [dr-lead], count: 2 }\n");
    bench.desk.file("playbooks/copies/playbook.yaml", &gated);
}

fn as_(bench: &Bench, actor: &str, args: &[&str]) -> Said {
    let output = bench.desk.command(args).env("MUSTER_ACTOR", actor).output().unwrap();
    Said {
        code: output.status.code().unwrap_or(-1),
        stdout: String::from_utf8_lossy(&output.stdout).into_owned(),
        stderr: String::from_utf8_lossy(&output.stderr).into_owned(),
    }
}

const APPROVE: [&str; 5] = ["approve", "--plan", "plan.json", "--role", "dr-lead"];

#[test]
fn a_plan_that_enough_people_approved_runs_without_asking() {
    let bench = Bench::new();
    gated(&bench);
    bench.plan(&[]);
    assert_eq!(as_(&bench, "bob@here", &APPROVE).code, 0);
    let twice = as_(&bench, "bob@here", &APPROVE);
    assert_eq!(twice.code, 8, "{twice:?}");
    assert_eq!(as_(&bench, "carol@here", &APPROVE).code, 0);
    let ran = bench.run();
    assert_eq!(ran.code, 0, "{ran:?}");
    assert!(bench.is_copied(1));
    let log = bench.desk.muster(&["logs", "@latest", "-o", "json"]).stdout;
    for who in ["bob@here", "carol@here"] {
        assert_eq!(log.lines().filter(|line| line.contains("\"approved\"") && line.contains(who)).count(), 1, "{who}");
    }
}

#[test]
fn one_approval_of_two_leaves_one_to_give() {
    let bench = Bench::new();
    gated(&bench);
    bench.plan(&[]);
    as_(&bench, "bob@here", &APPROVE);
    assert_eq!(bench.run().code, 7);
    assert!(!bench.is_copied(1));
    let rest = ["approve", "@latest", "copy", "--role", "dr-lead"];
    assert_eq!(as_(&bench, "bob@here", &rest).code, 1, "not the same person again");
    assert_eq!(as_(&bench, "carol@here", &rest).code, 0);
    assert!(bench.is_copied(1));
}

#[test]
fn the_starter_a_late_and_a_forged_approval_do_not_count() {
    type Spoil = fn(&Bench);
    let cases: [(&str, Spoil); 4] = [
        ("nobody approves what they start", |bench| {
            // The starter is who runs it: alice, as the desk is set up.
            let actor = bench.desk.muster(&APPROVE);
            assert_eq!(actor.code, 0, "{actor:?}");
        }),
        ("it was valid until", |bench| {
            as_(bench, "bob@here", &[&APPROVE[..], &["--valid-for", "1ms"]].concat());
        }),
        ("given at another store, or changed", |bench| {
            as_(bench, "bob@here", &[&APPROVE[..], &["--valid-for", "1ms"]].concat());
            bench.change(|file| file["approvals"][0]["approval"]["valid_until"] = json!("2099-01-01T00:00:00Z"));
        }),
        ("given at another store, or changed", |bench| {
            as_(bench, "bob@here", &APPROVE);
            bench.change(|file| file["approvals"][0]["approval"]["by"]["name"] = json!("carol@here"));
        }),
    ];
    for (why, spoil) in cases {
        let bench = Bench::new();
        gated(&bench);
        bench.plan(&[]);
        spoil(&bench);
        let said = bench.run();
        assert_eq!(said.code, 8, "{why}: {said:?}");
        assert!(said.stderr.contains(why), "{why}: {said:?}");
        assert!(!bench.is_copied(1), "{why}");
    }
}

#[test]
fn an_approval_moves_to_no_other_plan() {
    let bench = Bench::new();
    gated(&bench);
    bench.plan(&[]);
    as_(&bench, "bob@here", &APPROVE);
    let mut approvals = Value::Null;
    bench.change(|file| approvals = file["approvals"].clone());
    bench.desk.file("source2", "other text\n");
    bench.desk.muster(&[
        "plan",
        "copies",
        "--out",
        "plan.json",
        "-p",
        "from=source2",
        "-p",
        "to=copy",
        "-p",
        "flag=flag",
    ]);
    bench.change(|file| file["approvals"] = approvals);
    let said = bench.run();
    assert_eq!(said.code, 8, "{said:?}");
    assert!(said.stderr.contains("of another plan"), "{said:?}");
}
