//! `muster drill`: on real files and programs, and of every shipped playbook in its world.

#[path = "support/cli.rs"]
mod support;

use std::path::Path;

use muster::playbook::bundle::Bundle;
use muster::playbook::shipped;
use support::{Desk, Said};

const BOOK: &str = r#"
muster: 1
name: folder
version: 1.0.0
title: Recover a folder
objectives: { rto: 1h, rpo: 2h }
params:
  home: { type: path, doc: "The folder." }
  into: { type: string, default: live, doc: "What is recovered." }
  wait: { type: duration, default: 1ms, doc: "How long it lingers." }
  fail: { type: bool, default: false, doc: "Fails at the end." }
capabilities: [fs.make_dir, fs.write_text, fs.read_text, fs.stat, exec.run, time.sleep]
steps:
  - id: folder
    uses: fs.make_dir
    with: { path: "${params.home}/${params.into}" }
  - id: copy
    needs: [folder]
    script: |
      let at = params.home + "/" + params.into;
      host::exec::run(#{ argv: ["touch", at + "/touched"], makes: [at + "/touched"] });
      host::fs::write_text(#{ path: at + "/data", text: "data", replace: true });
    rollback: |
      let at = params.home + "/" + params.into;
      if host::fs::stat(at + "/touched").exists {
          host::exec::run(#{ argv: ["rm", "-r", at + "/touched", at + "/data"], changes: [at] });
      }
  - id: nap
    needs: [copy]
    uses: time.sleep
    with: { duration: "${params.wait}" }
  - id: prove
    needs: [nap]
    script: |
      if params.fail { throw "it was told to fail" }
      host::fs::read_text(params.home + "/" + params.into + "/data").text
  - id: announce
    needs: [prove]
    approval: { count: 1 }
    script: |
      host::fs::write_text(#{ path: params.home + "/announced", text: "done", replace: true });
drill:
  params: { into: "drill-${run.short_id}" }
  skip: [announce]
  proof: prove
  measure: { rpo: "3600000", found: steps.prove }
  limits: { time: 1h }
"#;

struct Ground {
    desk: Desk,
}

impl Ground {
    fn new(book: &str) -> Self {
        let desk = Desk::new();
        desk.file("folder/playbook.yaml", book);
        desk.file("home/live/data", "the only copy");
        Self { desk }
    }

    fn drill(&self, more: &[&str]) -> Said {
        let home = format!("home={}", self.home().display());
        self.desk.muster(&[&["drill", "folder", "-p", &home], more].concat())
    }

    fn home(&self) -> std::path::PathBuf {
        self.desk.path().join("home")
    }

    /// What a drill must never change, and nothing beside it.
    fn untouched(&self) {
        let names = |folder: &Path| {
            let mut names: Vec<String> = std::fs::read_dir(folder)
                .expect("the folder")
                .map(|entry| entry.expect("an entry").file_name().to_string_lossy().into_owned())
                .collect();
            names.sort();
            names
        };
        assert_eq!(names(&self.home()), ["live"]);
        assert_eq!(names(&self.home().join("live")), ["data"]);
        assert_eq!(std::fs::read_to_string(self.home().join("live/data")).expect("it reads"), "the only copy");
    }
}

#[test]
fn a_drill_recovers_beside_measures_and_leaves_nothing() {
    let ground = Ground::new(BOOK);
    let said = ground.drill(&[]);
    assert_eq!(said.code, 0, "{said:?}");
    ground.untouched();
    for line in ["RPO       1h 00m, objective 2h 00m", "measured  found: data", "left out  announce", "none is left"] {
        assert!(said.stdout.contains(line), "{line}: {}", said.stdout);
    }
    let shown = ground.desk.muster(&["show", "@latest", "-o", "json"]);
    let shown: serde_json::Value = serde_json::from_str(&shown.stdout).expect("JSON");
    let drill = &shown["drill"];
    assert_eq!((&drill["green"], &drill["rpo_ms"]), (&true.into(), &3_600_000.into()), "{drill}");
    let part = |name: &str| drill["rto"][name].as_i64().expect("milliseconds");
    assert_eq!(part("total_ms"), part("detect_ms") + part("decide_ms") + part("machine_ms") + part("verify_ms"));
}

#[test]
fn what_was_there_is_out_of_reach_whatever_is_asked_for() {
    let ground = Ground::new(&BOOK.replace("skip: [announce]", "shared: []"));
    let said = ground.drill(&[]);
    assert_eq!(said.code, 0, "a file that is not there may be made: {said:?}");
    ground.untouched();
    let said = ground.drill(&["-p", "into=live"]);
    assert_eq!(said.code, 5, "{said:?}");
    assert!(
        said.stdout.contains("fsDESK/home/live") && said.stdout.contains("which this drill did not make"),
        "{}",
        said.stdout
    );
    ground.untouched();
    // A program that does not say what it touches.
    let mute = BOOK.replace(", makes: [at + \"/touched\"]", "");
    let ground = Ground::new(&mute);
    let said = ground.drill(&[]);
    assert_eq!(said.code, 5, "{said:?}");
    assert!(said.stdout.contains("exec/touch"), "{}", said.stdout);
    ground.untouched();
}

#[test]
fn a_drill_that_fails_is_taken_down_and_one_that_is_late_says_so() {
    let ground = Ground::new(BOOK);
    assert_eq!(ground.drill(&["-p", "fail=true"]).code, 5);
    ground.untouched();
    let said = ground.drill(&["--declared-at", "2026-01-01T00:00:00Z"]);
    assert_eq!(said.code, 11, "{said:?}");
    assert!(said.stdout.contains("misses its objective of 1h"), "{}", said.stdout);
    ground.untouched();
    let said = ground.drill(&["--declared-at", "2999-01-01T00:00:00Z"]);
    assert!(said.code != 0 && said.stderr.contains("yet to come"), "{said:?}");
}

#[test]
fn what_cannot_be_taken_down_is_told_with_the_command_that_removes_it() {
    // Its own rollback forgets one of the two.
    let ground = Ground::new(&BOOK.replace("[\"rm\", \"-r\", at + \"/touched\", at + \"/data\"]", "[\"true\"]"));
    let said = ground.drill(&[]);
    assert_eq!(said.code, 6, "{said:?}");
    let command = said.stdout.lines().find_map(|line| line.trim().strip_prefix("rm -r -- ")).expect("a command");
    let path = command.replace("DESK", &ground.desk.path().display().to_string());
    std::fs::remove_dir_all(path).expect("what is named is there");
    ground.untouched();
}

#[test]
fn a_drill_that_was_killed_is_resumed_and_ends_with_its_teardown() {
    let ground = Ground::new(BOOK);
    let home = format!("home={}", ground.home().display());
    let mut command = ground.desk.command(&["drill", "folder", "-p", &home, "-p", "wait=2s"]);
    let mut engine =
        command.stdout(std::process::Stdio::null()).stderr(std::process::Stdio::null()).spawn().expect("it starts");
    let begun = || std::fs::read_dir(ground.home()).expect("home").count() > 1;
    while !begun() {
        assert!(engine.try_wait().expect("asked").is_none(), "it ended before it had begun anything");
        std::thread::sleep(std::time::Duration::from_millis(5));
    }
    engine.kill().expect("killed");
    engine.wait().expect("gone");
    let listed = ground.desk.muster(&["ps"]);
    assert!(listed.stdout.contains("drill"), "{}", listed.stdout);
    let said = ground.desk.muster(&["resume", "@latest"]);
    assert_eq!(said.code, 0, "{said:?}");
    ground.untouched();
}

#[test]
fn every_shipped_playbook_is_drilled_in_its_world_or_says_why_it_cannot_be() {
    for name in shipped::names() {
        let bundle = Bundle::load(name).unwrap_or_else(|error| panic!("{name}: {error}"));
        let drill = bundle.playbook.drill.as_ref().unwrap_or_else(|| panic!("{name} says nothing of drills"));
        let desk = Desk::new();
        let said = desk.muster(&["drill", name, "--sandbox", "--yes"]);
        match &drill.none {
            Some(why) => assert!(said.code != 0 && said.stderr.contains(why.value.trim()), "{name}: {said:?}"),
            None => {
                assert_eq!(said.code, 0, "{name}: {}\n{}", said.stdout, said.stderr);
                assert!(said.stdout.contains("none is left"), "{name}: {}", said.stdout);
            }
        }
    }
}
