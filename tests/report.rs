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
    let whole: Value = serde_json::from_str(&said.stdout).unwrap();
    whole["plan"].clone()
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
    for wanted in ["effects: 3 as planned (100%)", "objective 1h 0m: kept", "fs.copy"] {
        assert!(text.contains(wanted), "{wanted}: {text}");
    }
    let markdown = desk.muster(&["report", "@latest", "-o", "markdown"]).stdout;
    assert!(markdown.starts_with("## Run ") && markdown.contains("<code>fs.copy</code>"), "{markdown}");
    let html = desk.muster(&["report", "@latest", "-o", "html"]).stdout;
    assert!(html.starts_with("<!DOCTYPE html>") && html.trim_end().ends_with("</html>"), "{html}");
    let junit = desk.muster(&["report", "@latest", "-o", "junit"]).stdout;
    assert!(junit.contains("<testcase ") && junit.contains("failures=\"0\""), "{junit}");
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
fn a_run_without_a_plan_has_a_report_too() {
    let desk = planned(&[]);
    let params = ["run", "copies", "-p", "from=source", "-p", "to=copy", "-p", "again=false"];
    assert_eq!(desk.muster(&params).code, 0);
    let Said { code, stdout, stderr } = desk.muster(&["report", "@latest", "-o", "json"]);
    assert_eq!(code, 0, "{stderr}");
    let report: Value = serde_json::from_str(&stdout).unwrap();
    assert_eq!((&report["status"], &report["plan"]), (&"succeeded".into(), &Value::Null), "{report:#}");
    assert_eq!(report["steps"][0]["end"], "succeeded");
    assert_eq!(report["steps"][2]["end"], "skipped");
    assert_eq!(report["times"]["rto_kept"], true);
    assert_eq!(stdout, desk.muster(&["report", "@latest", "-o", "json"]).stdout, "the same journal, the same report");
}

#[test]
fn a_period_is_told_with_every_run_in_it() {
    let desk = planned(&[]);
    let params = ["run", "copies", "-p", "from=source", "-p", "again=false"];
    for to in ["to=one", "to=two"] {
        assert_eq!(desk.muster(&[&params[..], &["-p", to]].concat()).code, 0);
    }
    let said = desk.muster(&["report", "--since", "1h", "-o", "json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let report: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!(report["runs"].as_array().map(Vec::len), Some(2), "{report:#}");
    assert_eq!(report["playbooks"][0]["succeeded"], 2);
    let none = desk.muster(&["report", "--since", "1h", "--playbook", "another", "-o", "json"]).stdout;
    assert!(none.contains("\"runs\": []"), "{none}");
    let said = desk.muster(&["report", "--since", "soon"]);
    assert!(said.code == 1 && said.stderr.contains("is no time"), "{said:?}");
    assert_eq!(desk.muster(&["report", "@latest", "--since", "1h"]).code, 1, "one or the other");
}
