//! `muster world show`: the world of a run in the sandbox at any point of it, and the world of a playbook.

#[path = "support/cli.rs"]
mod support;

use support::Desk;

#[test]
fn the_world_of_a_playbook_is_shown_without_a_run() {
    let desk = Desk::new();
    let said = desk.muster(&["world", "show", "--playbook", "omnichat-restore"]);
    assert_eq!(said.code, 0, "{said:?}");
    for part in
        ["open-webui-db", "running, healthy", "volume local_ollama-data", "public.chat 480", "manifest.json", "dump of"]
    {
        assert!(said.stdout.contains(part), "{part}: {}", said.stdout);
    }
    let json = desk.muster(&["world", "show", "--playbook", "hello-recovery", "-o", "json"]);
    let json: serde_json::Value = serde_json::from_str(&json.stdout).expect("JSON");
    let yaml = desk.muster(&["world", "show", "--playbook", "hello-recovery", "-o", "yaml"]);
    let yaml: serde_json::Value = serde_yaml::from_str(&yaml.stdout).expect("YAML");
    assert_eq!(json, yaml);
    assert_eq!(json["files"]["/srv/hello/data/greeting.txt"]["kind"]["file"]["text"], "hel");
}

#[test]
fn the_world_of_a_run_is_shown_as_it_was_at_every_point() {
    let desk = Desk::new();
    assert_eq!(desk.muster(&["run", "hello-recovery", "--sandbox"]).code, 0);
    let begin = desk.muster(&["world", "show", "@latest", "--at", "0", "--diff"]);
    assert_eq!((begin.code, begin.stdout.as_str()), (0, ""), "{begin:?}");
    let unpacked = desk.muster(&["world", "show", "@latest", "--at", "unpack", "--diff"]);
    assert!(unpacked.stdout.contains("data.restored-") && !unpacked.stdout.contains("data.lost-"), "{unpacked:?}");
    let end = desk.muster(&["world", "show", "@latest", "--diff"]);
    assert!(end.stdout.contains("data.lost-") && !end.stdout.contains("data.restored-"), "{end:?}");
    assert!(end.stdout.contains("+ files./srv/hello/RECOVERED.json: not there before"), "{end:?}");
    assert!(desk.muster(&["world", "show", "@latest"]).stdout.contains("2026.csv"), "the tree of the end");
}

#[test]
fn the_intent_of_an_effect_is_not_yet_its_doing() {
    let desk = Desk::new();
    assert_eq!(desk.muster(&["run", "hello-recovery", "--sandbox"]).code, 0);
    let logs = desk.muster(&["logs", "@latest", "-o", "json"]);
    let records = logs.stdout.lines().map(|line| serde_json::from_str::<serde_json::Value>(line).expect("a record"));
    let intent =
        records.filter(|record| record["fact"]["fact"] == "intent").map(|record| record["seq"].to_string()).next();
    let at = intent.expect("an effect");
    assert_eq!(desk.muster(&["world", "show", "@latest", "--at", &at, "--diff"]).stdout, "");
}

#[test]
fn what_has_no_world_is_told_so() {
    let desk = Desk::new();
    let which = desk.muster(&["world", "show"]);
    assert!(which.code == 1 && which.stderr.contains("--playbook NAME"), "{which:?}");
    assert_eq!(desk.muster(&["world", "show", "@latest"]).code, 1);
    assert_eq!(desk.muster(&["run", "hello-recovery", "--sandbox"]).code, 0);
    for wrong in ["9999", "no_such_step"] {
        let said = desk.muster(&["world", "show", "@latest", "--at", wrong]);
        assert!(said.code == 1 && said.stderr.contains(wrong), "{said:?}");
    }
    std::fs::remove_dir_all(desk.path().join("muster.db.d/worlds")).expect("the worlds");
    let gone = desk.muster(&["world", "show", "@latest"]);
    assert!(gone.code == 3 && gone.stderr.contains("not there any more"), "{gone:?}");
}
