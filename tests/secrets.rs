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

/// Uses a secret, stops until there is a file `proof`, and uses it again, in effects, a read and a proof.
const TWICE: &str = r#"muster: 1
name: twice
version: 1.0.0
title: Use a secret twice
params:
  folder: { type: path, default: "." }
  password: { type: secret, default: "SOURCE" }
capabilities:
  - fs.stat
  - exec.run: { argv: ["true"] }
  - exec.read: { argv: ["true"] }
steps:
  - id: first
    title: Use it
    uses: exec.run
    with: { argv: ["true"], env: { P: "${params.password}" } }
  - id: wait
    title: Wait for a person
    needs: [first]
    script: |
      if !host::fs::stat(params.folder + "/proof").exists { throw "there is no proof yet"; }
  - id: again
    title: Use it again
    needs: [wait]
    script: |
      host::exec::read(#{ argv: ["true"], env: #{ P: params.password } });
      host::exec::run(#{ argv: ["true"], env: #{ P: params.password } }).code
    verify: "host::exec::read(#{ argv: [\"true\"], env: #{ P: params.password } }).code == 0"
"#;

const OTHER: &str = "another-password-entirely";

/// Runs to the pause before the second use.
fn used_once(source: &str) -> Desk {
    let desk = Desk::new().env("TOKEN", PASSWORD);
    desk.file("secret", PASSWORD);
    desk.file(".env", &format!("PASSWORD={PASSWORD}\n"));
    desk.file("playbooks/twice/playbook.yaml", &TWICE.replace("SOURCE", source));
    let run = desk.muster(&["run", "twice"]);
    assert_eq!(run.code, 7, "{source}: {run:?}");
    desk.file("proof", "");
    desk
}

/// With the variable, too, set to something else.
fn muster(desk: &Desk, password: &str, args: &[&str]) -> support::Said {
    desk.said(desk.command(args).env("TOKEN", password))
}

fn everything(desk: &Desk) -> String {
    desk.muster(&["logs", "@latest", "-o", "json"]).stdout
}

#[test]
fn a_secret_that_has_changed_since_its_first_use_pauses_the_run_until_a_person_accepts_it() {
    for source in ["dotenv:.env#PASSWORD", "file:secret", "env:TOKEN"] {
        let desk = used_once(source);
        desk.file("secret", OTHER);
        desk.file(".env", &format!("PASSWORD={OTHER}\n"));
        let stopped = muster(&desk, OTHER, &["retry", "@latest", "wait"]);
        assert_eq!(stopped.code, 7, "{source}: {stopped:?}");
        assert!(stopped.stdout.contains("is not what it was when this run first used it"), "{}", stopped.stdout);
        assert!(
            stopped.stdout.contains("muster accept ") && stopped.stdout.contains(" again -m "),
            "{}",
            stopped.stdout
        );
        assert!(!everything(&desk).contains("exec.read"), "nothing was done with the new value");
        // To look again is not to accept.
        assert_eq!(muster(&desk, OTHER, &["resume", "@latest"]).code, 7, "{source}");
        let accept = muster(&desk, OTHER, &["accept", "@latest", "again", "-m", "rotated by the database team"]);
        assert_eq!(accept.code, 0, "{source}: {accept:?}");
        let journal = everything(&desk);
        assert!(journal.contains("secret_accepted") && journal.contains("rotated by the database team"), "{journal}");
        assert!(!journal.contains(PASSWORD) && !journal.contains(OTHER), "{journal}");
        assert_eq!(journal.matches("\"mac\"").count(), 6, "met, two pauses with two each, accepted: {journal}");
    }
}

#[test]
fn a_secret_that_is_what_it_was_again_needs_no_acceptance() {
    let desk = used_once("dotenv:.env#PASSWORD");
    desk.file(".env", &format!("PASSWORD={OTHER}\n"));
    assert_eq!(desk.muster(&["retry", "@latest", "wait"]).code, 7);
    desk.file(".env", &format!("MORE=1\nPASSWORD={PASSWORD}\n"));
    let refused = desk.muster(&["accept", "@latest", "wait", "-m", "not this step"]);
    assert_eq!(refused.code, 1, "{refused:?}");
    assert_eq!(desk.muster(&["resume", "@latest"]).code, 0);
}

#[test]
fn an_accepted_secret_that_changes_once_more_pauses_once_more() {
    let desk = used_once("dotenv:.env#PASSWORD");
    desk.file(".env", &format!("PASSWORD={OTHER}\n"));
    assert_eq!(desk.muster(&["retry", "@latest", "wait"]).code, 7);
    desk.file(".env", "PASSWORD=swapped-behind-your-back\n");
    let accept = desk.muster(&["accept", "@latest", "again", "-m", "the rotation"]);
    assert_eq!(accept.code, 7, "what was accepted is what was seen, not whatever is there now: {accept:?}");
    assert_eq!(desk.muster(&["cancel", "@latest", "--no-rollback"]).code, 10);
}
