//! What `muster plan` shows of every shipped playbook and its main parameter variants, kept in `snapshots/`: a change to a playbook
//! is read as a change of its plan. `INSTA_UPDATE=always cargo test --test plan_snapshots` writes them anew.

#[path = "support/cli.rs"]
mod support;

use muster::playbook::shipped;
use support::Desk;

/// Playbook, name of the variant, parameters.
const VARIANTS: [(&str, &str, &[&str]); 42] = [
    ("ai-vault-backup", "own", &[]),
    ("ai-vault-backup", "export", &["method=export", "retention=false"]),
    ("hello-recovery", "own", &[]),
    ("hello-recovery", "fails", &["fail=true"]),
    ("omnichat-aws-backup", "own", &[]),
    ("omnichat-aws-backup", "no_models", &["file_system=", "backup_role="]),
    ("omnichat-aws-backup", "schedule", &["schedule=true", "retention=false"]),
    ("omnichat-aws-restore", "own", &[]),
    ("omnichat-aws-restore", "endpoint", &["cutover=new_endpoint", "retire=true", "terraform_dir="]),
    ("omnichat-aws-restore", "models", &["restore=models", "models_to=new_fs"]),
    ("omnichat-backup", "own", &[]),
    ("omnichat-backup", "no_models", &["models=false"]),
    ("omnichat-backup", "database_only", &["models=false", "app_data=false", "retention=false"]),
    ("omnichat-restore", "own", &[]),
    ("omnichat-restore", "retire", &["retire=true"]),
    ("omnichat-restore", "database_only", &["restore=database", "safety_copy=false"]),
    ("omnichat-verify", "own", &[]),
    ("ai-vault-restore", "own", &[]),
    ("pgo4-backup", "own", &[]),
    ("pgo4-backup", "expiring", &["type=full", "retention_full=2"]),
    ("pgo4-restore", "own", &[]),
    ("pgo4-restore", "latest", &["at=", "canary=", "backup_first=false"]),
    ("pgo4-schedule", "own", &[]),
    ("pgbackrest-restore", "own", &[]),
    ("pgbackrest-restore", "beside", &["mode=beside"]),
    ("pgbackrest-restore", "overwrite", &["from=newest", "method=delta", "keep=false"]),
    ("pgo-backup", "own", &[]),
    ("pgo-clone", "own", &[]),
    ("pgo-restore-database", "own", &[]),
    ("pgo-restore-database", "kept", &["database=billing", "at=", "canary=", "keep_clone=true"]),
    ("pgo-restore-in-place", "own", &[]),
    ("pgo-restore-in-place", "latest", &["at=", "canary=", "backup_first=false"]),
    ("pgo-failback", "own", &[]),
    ("pgo-standby-create", "own", &[]),
    ("pgo-standby-promote", "own", &[]),
    ("pgo-standby-promote", "lost", &["lost=true", "fenced_by=the keys of its bucket are revoked"]),
    ("rds-restore", "own", &[]),
    ("rds-restore", "retire", &["from=snapshot", "retire=true"]),
    ("runai-backup", "own", &[]),
    ("runai-backup", "snapshots", &["database=snapshot"]),
    ("runai-recover", "own", &[]),
    ("runai-recover", "snapshots", &["database=snapshot"]),
];

fn plan(playbook: &str, params: &[&str], form: &str) -> String {
    let desk = Desk::new();
    let mut args = vec!["plan", playbook, "--sandbox", "-o", form];
    params.iter().for_each(|param| args.extend(["-p", param]));
    let said = desk.muster(&args);
    assert!(matches!(said.code, 0 | 4), "{playbook} {params:?}: {}{}", said.stdout, said.stderr);
    said.stdout
}

#[test]
fn the_plans_of_the_shipped_playbooks_are_as_they_were_reviewed() {
    insta::with_settings!({ snapshot_path => "../snapshots", prepend_module_to_snapshot => false, omit_expression => true }, {
        for (playbook, variant, params) in VARIANTS {
            for form in ["table", "markdown"] {
                let name = format!("shipped_{playbook}_{variant}_{form}");
                insta::assert_snapshot!(name, plan(playbook, params, form));
            }
        }
    });
}

#[test]
fn every_shipped_playbook_has_a_snapshot_of_its_plan() {
    for name in shipped::names() {
        assert!(VARIANTS.iter().any(|(playbook, variant, _)| *playbook == name && *variant == "own"), "{name}");
    }
}

/// The commands of Muster in the workflow, as a shell would run them for one playbook.
fn commands() -> Vec<Vec<String>> {
    let text = include_str!("../docs/github-actions/muster-plan.yml");
    let lines = text.lines().map(str::trim).filter(|line| line.starts_with("muster "));
    let words = lines.map(|line| {
        let words = line.split_whitespace().take_while(|word| !["||", "&&", ">"].contains(word));
        words.skip(1).map(|word| word.replace("\"$folder\"", "hello-recovery")).collect()
    });
    words.collect()
}

#[test]
fn the_workflow_for_pull_requests_is_yaml_and_its_commands_are_muster_s() {
    let text = include_str!("../docs/github-actions/muster-plan.yml");
    let workflow: serde_json::Value = serde_yaml::from_str(text).expect("YAML");
    assert!(workflow["on"]["pull_request"].is_object() && workflow["on"]["pull_request_target"].is_null());
    assert_eq!(workflow["permissions"], serde_json::json!({ "contents": "read", "pull-requests": "write" }));
    let steps = workflow["jobs"]["plan"]["steps"].as_array().expect("steps");
    assert!(steps.iter().all(|step| step["uses"].is_string() || step["run"].is_string()), "{steps:?}");
    let uses = steps.iter().filter_map(|step| step["uses"].as_str());
    assert!(uses.into_iter().all(|action| action.starts_with("actions/")), "no action of others");
    assert!(!text.contains("secrets."), "it needs no secrets");
    let commands = commands();
    assert_eq!(commands.len(), 3, "{commands:?}");
    for command in commands {
        let words: Vec<&str> = command.iter().map(String::as_str).collect();
        let plans = words.first() == Some(&"plan");
        assert!(!plans || words.contains(&"--sandbox"), "CI has no production: {words:?}");
        let said = Desk::new().muster(&words);
        assert_eq!(said.code, 0, "{words:?}: {said:?}");
    }
}

#[test]
fn a_page_of_a_shipped_playbook_is_written_to_standard_output() {
    let page = plan("omnichat-restore", &[], "html");
    assert!(page.starts_with("<!DOCTYPE html>") && page.trim_end().ends_with("</html>"));
}
