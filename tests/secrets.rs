//! Declared sources of secrets that only the recovery itself brings back.

#[path = "support/cli.rs"]
mod support;

use support::Desk;

const PASSWORD: &str = "correct-horse-battery";

/// Puts `.env` back, has a program print it, and then another that needs a value of it.
const RECOVER: &str = r#"muster: 1
name: recover
version: 1.0.0
title: Recover the configuration first
params:
  folder: { type: path, default: "." }
  password: { type: secret, default: "dotenv:deployment/.env#PASSWORD" }
secrets:
  - dotenv: "${params.folder}/deployment/.env"
capabilities:
  - fs.stat
  - fs.dotenv
  - fs.copy: { from: "${params.folder}/*", to: "${params.folder}/*" }
  - exec.run: { argv: ["cat *", "true"] }
steps:
STEPS
"#;

const RESTORE: &str = r#"  - id: config
    title: Put the configuration back
    uses: fs.copy
    with: { from: "${params.folder}/backup-env", to: "${params.folder}/deployment/.env" }
  - id: show
    title: Print it
    needs: [config]
    script: |
      host::exec::run(#{ argv: ["cat", params.folder + "/deployment/.env"] })
"#;

const USE: &str = r#"  - id: needs_it
    title: Use the password
    script: |
      host::exec::run(#{ argv: ["true"], env: #{ PGPASSWORD: params.password } })
"#;

const LOOK: &str = r#"  - id: look
    title: Read the settings
    script: |
      host::fs::dotenv(#{ path: params.folder + "/deployment/.env" })
"#;

fn desk(steps: &str) -> Desk {
    let desk = Desk::new();
    desk.file("playbooks/recover/playbook.yaml", &RECOVER.replace("STEPS\n", steps));
    desk.file("backup-env", &format!("PASSWORD={PASSWORD}\n"));
    std::fs::create_dir(desk.path().join("deployment")).unwrap();
    desk
}

#[test]
fn a_source_that_the_run_brings_back_is_redacted_from_then_on() {
    let desk = desk(RESTORE);
    let run = desk.muster(&["run", "recover"]);
    assert_eq!(run.code, 0, "{run:?}");
    let shown = desk.muster(&["logs", "@latest", "-o", "json"]);
    assert!(shown.stdout.contains("‹redacted›"), "{shown:?}");
    for said in [&run, &shown] {
        assert!(!said.stdout.contains(PASSWORD) && !said.stderr.contains(PASSWORD), "{said:?}");
    }
    for entry in std::fs::read_dir(desk.path()).unwrap() {
        let path = entry.unwrap().path();
        if path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("muster.db")) && path.is_file() {
            let bytes = std::fs::read(&path).unwrap();
            let found = bytes.windows(PASSWORD.len()).any(|window| window == PASSWORD.as_bytes());
            assert!(!found, "{} holds the password", path.display());
        }
    }
}

#[test]
fn a_secret_out_of_a_source_that_is_not_there_says_where_it_is_expected_and_is_asked_for_again() {
    for steps in [USE, LOOK] {
        let desk = desk(steps);
        let run = desk.muster(&["run", "recover"]);
        assert_eq!(run.code, 7, "{run:?}");
        let told = format!("{}{}", run.stdout, run.stderr);
        assert!(told.contains("DESK/deployment/.env"), "{told}");
        assert!(told.contains("restore the configuration first"), "{told}");
        desk.file("deployment/.env", &format!("PASSWORD={PASSWORD}\n"));
        let on: &[&str] = if steps == USE { &["resume", "@latest"] } else { &["retry", "@latest", "look"] };
        let on = desk.muster(on);
        assert_eq!(on.code, 0, "{on:?}");
    }
}
