//! A playbook's own models: what its programs do to the world of a plan, of the sandbox, and of a live system that is planned over.

#[path = "support/cli.rs"]
mod cli;

use std::os::unix::fs::PermissionsExt as _;
use std::path::{Path, PathBuf};

use cli::{Desk, Said};
use serde_json::Value;

/// The fixture: a playbook with a model of `searchctl`.
fn cluster() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/playbooks/cluster")
}

/// A copy of the fixture whose model is this; none when it is empty.
fn with_model(desk: &Desk, model: &str) -> String {
    let folder = desk.path().join("cluster");
    std::fs::create_dir_all(folder.join("models")).expect("a folder");
    for file in ["playbook.yaml", "world.yaml"] {
        std::fs::copy(cluster().join(file), folder.join(file)).expect("it is copied");
    }
    if !model.is_empty() {
        std::fs::write(folder.join("models/searchctl.rhai"), model).expect("it is written");
    }
    folder.display().to_string()
}

const CALLS: &str =
    "const CALLS = [#{ op: \"exec.run\", argv: \"searchctl *\" }, #{ op: \"exec.read\", argv: \"searchctl *\" }];\n";

/// A live system with a real `searchctl` that tells what it was asked, and a backup.
struct Live {
    desk: Desk,
    backup: String,
}

impl Live {
    fn new() -> Self {
        let desk = Desk::new();
        let (bin, backup) = (desk.path().join("bin"), desk.path().join("main.snap"));
        std::fs::create_dir(&bin).expect("a folder");
        std::fs::write(&backup, "three shards\n").expect("it is written");
        let asked = desk.path().join("asked");
        let program = format!("#!/bin/sh\necho \"$@\" >> {}\necho lost\n", asked.display());
        std::fs::write(bin.join("searchctl"), program).expect("it is written");
        let mode = std::fs::Permissions::from_mode(0o755);
        std::fs::set_permissions(bin.join("searchctl"), mode).expect("it can be run");
        let path = format!("{}:{}", bin.display(), std::env::var("PATH").unwrap_or_default());
        Self { desk: desk.env("PATH", &path), backup: backup.display().to_string() }
    }

    fn plan(&self, playbook: &str) -> (Value, Said) {
        let backup = format!("backup={}", self.backup);
        let said = self.desk.muster(&["plan", playbook, "-p", &backup, "-o", "json"]);
        (serde_json::from_str(&said.stdout).unwrap_or_default(), said)
    }

    fn asked(&self) -> String {
        std::fs::read_to_string(self.desk.path().join("asked")).unwrap_or_default()
    }
}

/// The calls of a step, as operation, basis and reason.
fn calls(plan: &Value, step: &str) -> Vec<(String, String, String)> {
    let steps = plan["steps"].as_array().into_iter().flatten();
    let step =
        steps.filter(|found| found["step"] == step).flat_map(|found| found["calls"].as_array().into_iter().flatten());
    let text = |call: &Value, name: &str| call[name].as_str().unwrap_or_default().to_owned();
    step.map(|call| (text(call, "op"), text(call, "basis"), text(call, "reason"))).collect()
}

fn sandboxed(desk: &Desk, playbook: &str) -> Said {
    desk.muster(&["run", playbook, "--sandbox", "--yes"])
}

#[test]
fn the_fixture_passes_its_own_tests_and_lint() {
    let folder = cluster().display().to_string();
    let desk = Desk::new();
    let said = desk.muster(&["test", &folder]);
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let said = desk.muster(&["lint", &folder]);
    let told = format!("{}{}", said.stdout, said.stderr);
    assert!(said.code == 0 && told.contains("0 errors, 0 warnings"), "{told}");
}

#[test]
fn the_sandbox_runs_the_model_and_its_world_shows_what_it_made() {
    let desk = Desk::new();
    let said = sandboxed(&desk, &cluster().display().to_string());
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let world = desk.muster(&["world", "show", "@latest"]).stdout;
    assert!(world.contains("resources cluster\n  main  from: /backups/main.snap, state: available"), "{world}");
    let failed = desk.muster(&["run", &cluster().display().to_string(), "--sandbox", "--yes", "--fail", "exec.run"]);
    assert_eq!(failed.code, 7, "{}{}", failed.stdout, failed.stderr);
}

#[test]
fn the_world_shows_what_is_still_to_come_of_a_resource() {
    let desk = Desk::new();
    let body = "if args.op == \"exec.read\" { return #{ stdout: \"available\\n\" }; }
    let then = [#{ after: \"90m\", to: #{ state: \"available\" } }];
    #{ stdout: \"job 1\", does: [#{ set: #{ resource: \"cluster/main\", to: #{ state: \"restoring\" }, then: then } }] }";
    let said = sandboxed(&desk, &with_model(&desk, &format!("{CALLS}fn model(args, world) {{\n    {body}\n}}\n")));
    assert_eq!(said.code, 0, "{}{}", said.stdout, said.stderr);
    let world = desk.muster(&["world", "show", "@latest"]).stdout;
    let wanted = "  main  state: restoring\n    from 2026-06-21 01:30:00Z on  state: available\n";
    assert!(world.contains(wanted), "{world}");
}

#[test]
fn a_model_makes_an_object_of_kubernetes_that_comes_later_changes_by_itself_and_is_seen_again() {
    let desk = Desk::new();
    let body = "if args.op == \"exec.read\" {
        let listed = world.objects(\"pods\", \"shop\", \"app=search\");
        let pod = world.object(\"pods\", \"shop\", \"search-0\");
        return #{ stdout: if pod == () || listed.is_empty() { \"none\\n\" } else { pod.status.state + \"\\n\" } };
    }
    let metadata = #{ name: \"search-0\", namespace: \"shop\", labels: #{ app: \"search\" } };
    let pod = #{ apiVersion: \"v1\", kind: \"Pod\", metadata: metadata, status: #{ state: \"lost\" } };
    let then = [#{ after: \"40m\", to: #{ status: #{ state: \"available\" } } }, #{ after: \"10h\", to: () }];
    let gone = #{ kind: \"pods\", namespace: \"shop\", name: \"other\" };
    #{ stdout: \"job 1\", does: [#{ no_object: gone }, #{ object: #{ manifest: pod, after: \"10m\", then: then } }] }";
    let playbook = with_model(&desk, &format!("{CALLS}fn model(args, world) {{\n    {body}\n}}\n"));
    let said = sandboxed(&desk, &playbook);
    let told = format!("{}{}", said.stdout, said.stderr);
    assert!(said.code == 0 && told.contains("00:40"), "{told}");
    let plan = desk.muster(&["plan", &playbook, "--sandbox"]).stdout;
    assert!(plan.contains("+ k8s/current/shop/pod/search-0"), "{plan}");
}

#[test]
fn after_an_opaque_call_no_read_is_the_live_systems_to_answer() {
    let (_, read) = broken("    throw \"no idea\";");
    assert_eq!(read.2, "unknown", "the call may have changed what it tells");
}

#[test]
fn over_a_live_system_a_modelled_call_is_predicted_and_later_reads_see_what_it_changed() {
    let live = Live::new();
    let (plan, said) = live.plan(&cluster().display().to_string());
    assert_eq!(said.code, 0, "{}", said.stderr);
    let restore = calls(&plan, "restore");
    assert_eq!(restore[0].1, "exact", "before the plan has changed anything, the live system answers: {restore:?}");
    assert_eq!((restore[1].1.as_str(), restore[1].2.as_str()), ("predicted", "by models/searchctl.rhai"));
    let wait = calls(&plan, "wait");
    let reads: Vec<&str> = wait.iter().filter(|call| call.0 == "exec.read").map(|call| call.1.as_str()).collect();
    assert_eq!(reads, ["predicted"; 7], "it is asked until the model says available: {wait:?}");
    assert_eq!(plan["coverage"]["opaque"], 0, "{}", plan["coverage"]);
    assert_eq!(live.asked(), "status main\n", "a plan runs nothing but the read");
}

#[test]
fn what_hangs_on_the_run_stays_unknown() {
    let live = Live::new();
    let (plan, _) = live.plan(&cluster().display().to_string());
    let note = calls(&plan, "note");
    assert_eq!(
        (note[1].0.as_str(), note[1].1.as_str()),
        ("exec.run", "unknown"),
        "its argument is the job's number: {note:?}"
    );
    let model = format!(
        "{CALLS}fn model(args, world) {{\n    if world.resource(\"cluster/main\").state == \"lost\" {{ #{{}} }} else {{ #{{ code: 1 }} }}\n}}\n"
    );
    let (plan, _) = live.plan(&with_model(&live.desk, &model));
    let restore = calls(&plan, "restore");
    assert_eq!(restore[1].1, "unknown", "a plan cannot look at the cluster: {restore:?}");
    assert_eq!(calls(&plan, "wait")[0].1, "unknown", "it may have changed anything");
}

#[test]
fn without_a_model_a_call_is_opaque_and_the_plan_says_how_to_model_it() {
    let live = Live::new();
    let (plan, _) = live.plan(&with_model(&live.desk, ""));
    assert_eq!(calls(&plan, "restore")[1].1, "opaque");
    let warnings = plan["warnings"].to_string();
    assert!(warnings.contains("models/*.rhai"), "{warnings}");
}

/// What comes of a model over the sandbox and over a live system: the error of the run; basis and reason in the plan, and the basis of
/// the read after it.
fn broken(body: &str) -> (String, (String, String, String)) {
    let live = Live::new();
    let folder = with_model(
        &live.desk,
        &format!("{CALLS}fn model(args, world) {{\n    if args.op == \"exec.read\" {{ return #{{}}; }}\n{body}\n}}\n"),
    );
    let run = sandboxed(&live.desk, &folder);
    assert_eq!(run.code, 7, "{}{}", run.stdout, run.stderr);
    let (plan, said) = live.plan(&folder);
    assert_eq!(said.code, 0, "{}", said.stderr);
    let call = calls(&plan, "restore").remove(1);
    let read = calls(&plan, "wait").swap_remove(0);
    (format!("{}{}", run.stdout, run.stderr), (call.1, call.2, read.1))
}

#[test]
fn a_model_that_throws_is_told_with_its_place() {
    let (said, (basis, reason, _)) = broken("    let shards = 3;\n    throw \"no such shard\";");
    assert!(said.contains("no such shard (models/searchctl.rhai:5:5)"), "{said}");
    assert_eq!(basis, "opaque");
    assert!(reason.contains("no such shard (models/searchctl.rhai:5:5)"), "{reason}");
    let desk = Desk::new();
    let folder = with_model(&desk, &format!("{CALLS}fn model(args, world) {{\n    throw \"boom\";\n}}\n"));
    sandboxed(&desk, &folder);
    let logs = desk.muster(&["show", "@latest", "--calls"]).stdout;
    assert!(logs.contains("3 |     throw \"boom\";") && logs.contains("  |     ^"), "{logs}");
}

#[test]
fn a_model_that_loops_for_ever_ends() {
    let (said, (basis, reason, _)) = broken("    let n = 0;\n    loop { n += 1; }");
    assert!(said.contains("it probably loops for ever (models/searchctl.rhai:2:1)"), "{said}");
    assert_eq!(basis, "opaque");
    assert!(reason.contains("loops for ever"), "{reason}");
}

#[test]
fn a_model_that_returns_nonsense_is_refused_in_words() {
    let (said, (basis, reason, _)) = broken("    #{ does: [#{ explode: #{} }] }");
    assert!(said.contains("what `model` gives is no answer: unknown variant `explode`"), "{said}");
    assert!(basis == "opaque" && reason.contains("models/searchctl.rhai:2:1"), "{basis}: {reason}");
}

#[test]
fn a_model_reaches_nothing_but_its_world() {
    let desk = Desk::new();
    let reach = "fn model(args, world) { host::exec::run(#{ argv: [\"searchctl\", \"restore\"] }) }\n";
    let said = desk.muster(&["plan", &with_model(&desk, &format!("{CALLS}{reach}")), "--sandbox"]);
    assert_eq!(said.code, 3, "{}", said.stderr);
    assert!(
        said.stderr.contains("model-reaches-out") && said.stderr.contains("models/searchctl.rhai:2:25"),
        "{}",
        said.stderr
    );
}

#[test]
fn the_example_of_the_authors_page_is_the_fixture() {
    let page = include_str!("../docs/models.md");
    assert!(page.contains(include_str!("fixtures/playbooks/cluster/models/searchctl.rhai")));
}

#[test]
fn models_are_part_of_what_a_playbook_is() {
    let desk = Desk::new();
    let digest =
        |model: &str| muster::playbook::bundle::Bundle::load(&with_model(&desk, model)).expect("it loads").digest;
    let (one, other) =
        (format!("{CALLS}fn model(args, world) {{ #{{}} }}\n"), format!("{CALLS}fn model(args, world) {{ () }}\n"));
    assert_ne!(digest(&one), digest(&other));
    let bundle = muster::playbook::bundle::Bundle::load(&with_model(&desk, &one)).expect("it loads");
    let stored = muster::playbook::bundle::Bundle::from_bytes(&bundle.to_bytes()).expect("it is read back");
    assert_eq!((stored.digest, stored.models.len()), (bundle.digest, 1));
}
