//! What came of a plan, as `muster report` tells it: planned and made, call by call.

#[path = "support/cli.rs"]
mod support;

use serde_json::Value;
use support::{Desk, Said};

/// Copies a file twice and writes down its sum; the second copy fails if there is something in its way by then.
const PLAYBOOK: &str = r#"
muster: 1
name: copies
version: 1.0.0
title: Copies a file
objectives: { rto: 1h }
params:
  from: { type: path, doc: What to copy. }
  to: { type: path, doc: Where to. }
  again: { type: bool, default: true, doc: Copy it once more. }
capabilities: [fs.stat, fs.copy, time.sleep, fs.write_json]
steps:
  - id: first
    title: Copy it
    uses: fs.copy
    with: { from: "${params.from}", to: "${params.to}.1" }
  - id: wait
    needs: [first]
    uses: time.sleep
    with: { duration: 1s }
  - id: second
    needs: [wait]
    when: params.again
    script: |
      host::fs::stat(params.from);
      let copied = host::fs::copy(#{ from: params.from, to: params.to + ".2" });
      host::fs::write_json(#{ path: params.to + ".json", value: copied });
"#;

fn planned(more: &[&str]) -> Desk {
    let desk = Desk::new();
    desk.file("playbooks/copies/playbook.yaml", PLAYBOOK);
    desk.file("source", "some text\n");
    let plan = ["plan", "copies", "--out", "plan.json", "-p", "from=source", "-p", "to=copy"];
    let said = desk.muster(&[&plan[..], more].concat());
    assert_eq!(said.code, 0, "{said:?}");
    desk
}

fn report(desk: &Desk) -> Value {
    let said = desk.muster(&["report", "@latest", "-o", "json"]);
    assert_eq!(said.code, 0, "{said:?}");
    serde_json::from_str(&said.stdout).unwrap()
}

fn fates(report: &Value, step: &str) -> Vec<String> {
    let steps = report["steps"].as_array().unwrap();
    let step = steps.iter().find(|one| one["step"] == step).unwrap_or_else(|| panic!("{step}: {report:#}"));
    let calls = step["calls"].as_array().unwrap().iter();
    calls.map(|call| format!("{} {}", call["op"].as_str().unwrap(), call["fate"].as_str().unwrap())).collect()
}

#[test]
fn a_run_that_went_as_planned_is_told_so() {
    let desk = planned(&[]);
    assert_eq!(desk.muster(&["run", "--plan", "plan.json"]).code, 0);
    let report = report(&desk);
    assert_eq!(report["effects"]["as_planned"], 3, "{report:#}");
    assert_eq!(report["effects"]["percent"], 100);
    assert_eq!(report["calls"]["percent"], 100);
    assert_eq!(report["status"], "succeeded");
    assert_eq!(report["times"]["rto_ms"], 3_600_000);
    assert!(report["times"]["predicted_ms"].as_u64().unwrap() >= 1000, "{report:#}");
    let first = &report["steps"][0]["calls"][0];
    assert!(first["planned_ms"].is_u64() && first["actual_ms"].is_u64(), "{first:#}");
    assert_eq!(first["ended"]["end"], "done");
    let text = desk.muster(&["report", "@latest"]).stdout;
    for wanted in ["effects: 3 as planned (100%)", "objective 1h 0m: kept", "+ as planned  fs.copy"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let markdown = desk.muster(&["report", "@latest", "-o", "markdown"]).stdout;
    assert!(markdown.starts_with("## Run ") && markdown.contains("| | fs.copy | fs"), "{markdown}");
}

#[test]
fn what_was_not_made_and_what_was_undone_is_told() {
    let desk = planned(&[]);
    // Somebody is faster: in the plan there was nothing.
    let mut run = desk.command(&["run", "--plan", "plan.json"]).spawn().unwrap();
    while !desk.path().join("copy.1").exists() {
        assert!(run.try_wait().unwrap().is_none(), "the run is over");
        std::thread::sleep(std::time::Duration::from_millis(10));
    }
    desk.file("copy.2", "somebody else's");
    assert_eq!(run.wait().unwrap().code(), Some(7));
    let waiting = report(&desk);
    assert_eq!(fates(&waiting, "second"), ["fs.stat as_planned", "fs.copy as_planned", "fs.write_json not_made"]);
    assert_eq!(waiting["effects"]["not_made"], 1, "{waiting:#}");
    let said = desk.muster(&["rollback", "@latest"]);
    assert_eq!(said.code, 5, "{said:?}");
    let report = report(&desk);
    assert_eq!(fates(&report, "first"), ["fs.copy as_planned", "fs.restore_before undo"]);
    assert_eq!(report["steps"][0]["calls"][0]["ended"]["end"], "undone");
    assert_eq!(report["status"], "rolled_back");
    assert!(report["times"]["people_ms"].as_u64().unwrap() > 0, "it waited for somebody to say what to do: {report:#}");
}

#[test]
fn a_step_that_is_left_out_has_nothing_to_make() {
    let desk = planned(&["-p", "again=false"]);
    assert_eq!(desk.muster(&["run", "--plan", "plan.json"]).code, 0);
    let report = report(&desk);
    assert_eq!(report["effects"]["as_planned"], 1);
    assert_eq!(report["effects"]["percent"], 100, "{report:#}");
    assert_eq!(fates(&report, "second"), [""; 0]);
}

#[test]
fn a_run_without_a_plan_is_said_to_have_none() {
    let desk = planned(&[]);
    let params = ["run", "copies", "-p", "from=source", "-p", "to=copy", "-p", "again=false"];
    assert_eq!(desk.muster(&params).code, 0);
    let Said { code, stderr, .. } = desk.muster(&["report", "@latest"]);
    assert_eq!(code, 1, "{stderr}");
    assert!(stderr.contains("bound to no plan") && stderr.contains("--plan FILE"), "{stderr}");
}
