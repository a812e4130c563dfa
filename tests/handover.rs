//! A run goes on in another store, and in no other than that.

#[path = "support/cli.rs"]
mod support;

use support::Desk;

/// Writes a file, waits for somebody, writes another.
const PLAYBOOK: &str = r#"
muster: 1
name: move
version: 1.0.0
title: Writes two files
params:
  to: { type: path, doc: Where to. }
  token: { type: secret, doc: Not to be seen. }
capabilities: [fs.write_json]
steps:
  - id: first
    title: Write the first
    uses: fs.write_json
    with: { path: "${params.to}/first", value: 1 }
  - id: look
    needs: [first]
    title: Somebody looks
    manual: Look whether the first is there.
  - id: second
    needs: [look]
    title: Write the second
    uses: fs.write_json
    with: { path: "${params.to}/second", value: 2 }
"#;

/// The desk where the run began, the folder it writes to, and the key of its store. The run waits for somebody.
struct Begun {
    old: Desk,
    to: tempfile::TempDir,
    key: String,
}

fn begun() -> Begun {
    let old = Desk::new().env("TOKEN", "correct horse battery");
    let to = tempfile::tempdir().unwrap();
    old.file("playbooks/move/playbook.yaml", PLAYBOOK);
    let folder = format!("to={}", to.path().display());
    let said = old.muster(&["run", "move", "-p", &folder, "-p", "token=env:TOKEN"]);
    assert_eq!(said.code, 7, "{said:?}");
    let key = old.muster(&["audit", "key"]).stdout.trim().to_owned();
    Begun { old, to, key }
}

impl Begun {
    fn export(&self, more: &[&str]) -> Vec<u8> {
        let said = self.old.muster(&[&["export", "@latest", "--out", "run.tar"], more].concat());
        assert_eq!(said.code, 0, "{said:?}");
        let bytes = std::fs::read(self.old.path().join("run.tar")).unwrap();
        assert!(!bytes.windows(13).any(|part| part == b"correct horse"), "a secret is in it");
        bytes
    }

    fn is_there(&self, name: &str) -> bool {
        self.to.path().join(name).exists()
    }

    /// Another machine with this file.
    fn elsewhere(&self, bytes: &[u8]) -> Desk {
        let desk = Desk::new().env("TOKEN", "correct horse battery");
        std::fs::write(desk.path().join("run.tar"), bytes).unwrap();
        desk
    }

    fn adopt(&self, desk: &Desk, more: &[&str]) -> support::Said {
        desk.muster(&[&["adopt", "run.tar", "--key", &self.key], more].concat())
    }
}

#[test]
fn a_released_run_goes_on_in_another_store_and_not_in_its_own() {
    let begun = begun();
    let bytes = begun.export(&["--release", "the laptop takes it"]);
    for order in
        [&["resume", "@latest"][..], &["done", "@latest", "look", "--evidence", "seen"], &["rollback", "@latest"]]
    {
        let said = begun.old.muster(order);
        assert!(said.code == 1 && said.stderr.contains("was handed over"), "{order:?}: {said:?}");
    }
    assert!(begun.is_there("first") && !begun.is_there("second"));
    assert!(!begun.export(&["--release", "once more"]).is_empty(), "the file can be had again");

    let new = begun.elsewhere(&bytes);
    let said = begun.adopt(&new, &[]);
    assert!(said.code == 0 && said.stdout.contains("is here: paused"), "{said:?}");
    let said = begun.adopt(&new, &[]);
    assert!(said.code == 1 && said.stderr.contains("is in this store already"), "{said:?}");
    let said = new.muster(&["done", "@latest", "look", "--evidence", "seen"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(begun.is_there("second"));
    let logs = new.muster(&["logs", "@latest"]).stdout;
    assert!(logs.contains("taken over from another store") && logs.contains("released"), "{logs}");
    assert_eq!(new.muster(&["audit", "verify"]).code, 0, "chain and blobs are whole");
}

#[test]
fn an_adopted_run_is_rolled_back_by_its_new_store() {
    let begun = begun();
    let bytes = begun.export(&["--release", "the laptop takes it"]);
    let new = begun.elsewhere(&bytes);
    assert_eq!(begun.adopt(&new, &[]).code, 0);
    let said = new.muster(&["rollback", "@latest"]);
    assert_eq!(said.code, 5, "{said:?}");
    assert!(!begun.is_there("first") && !begun.is_there("second"));
}

#[test]
fn a_copy_is_taken_only_with_a_reason() {
    let begun = begun();
    let bytes = begun.export(&[]);
    let new = begun.elsewhere(&bytes);
    let said = begun.adopt(&new, &[]);
    assert!(
        said.code == 1 && said.stderr.contains("was not released") && said.stderr.contains("--take-over"),
        "{said:?}"
    );
    assert_eq!(new.muster(&["ps", "--all", "-o", "json"]).stdout.trim(), "[]");
    let said = begun.adopt(&new, &["--take-over", "the data centre is gone"]);
    assert!(said.code == 0 && said.stderr.contains("does not know"), "{said:?}");
    let logs = new.muster(&["logs", "@latest"]).stdout;
    assert!(logs.contains("the data centre is gone"), "{logs}");
}

#[test]
fn a_run_that_nobody_took_can_be_taken_back() {
    let begun = begun();
    begun.export(&["--release", "the laptop takes it"]);
    let said = begun.adopt(&begun.old, &[]);
    assert!(said.code == 1 && said.stderr.contains("already"), "{said:?}");
    let said = begun.adopt(&begun.old, &["--take-over", "the laptop was never found"]);
    assert_eq!(said.code, 0, "{said:?}");
    let said = begun.old.muster(&["done", "@latest", "look", "--evidence", "seen"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(begun.is_there("second"));
}

#[test]
fn a_damaged_file_and_one_that_somebody_else_signed_are_refused() {
    let begun = begun();
    let mut bytes = begun.export(&["--release", "the laptop takes it"]);
    let new = begun.elsewhere(&bytes);
    let unknown = new.muster(&["adopt", "run.tar"]);
    assert!(unknown.code == 1 && unknown.stderr.contains(&begun.key), "{unknown:?}");
    let other = Desk::new().muster(&["audit", "key"]).stdout;
    let foreign = new.muster(&["adopt", "run.tar", "--key", other.trim()]);
    assert!(foreign.code == 6 && foreign.stderr.contains("another key"), "{foreign:?}");
    for at in (0..bytes.len()).step_by(bytes.len() / 6) {
        bytes[at] ^= 4;
        std::fs::write(new.path().join("run.tar"), &bytes).unwrap();
        let said = begun.adopt(&new, &[]);
        assert_eq!(said.code, 6, "byte {at}: {said:?}");
        bytes[at] ^= 4;
    }
    assert_eq!(new.muster(&["ps", "--all", "-o", "json"]).stdout.trim(), "[]", "nothing of it is here");
    let said = new.muster(&["audit", "verify", "run.tar", "--key", &begun.key]);
    assert_eq!(said.code, 6, "a run on its way is no evidence: {said:?}");
}

#[test]
fn what_a_run_had_been_told_travels_with_it() {
    let begun = begun();
    let said = begun.old.muster(&["done", "@latest", "look", "--evidence", "seen", "--later"]);
    assert_eq!(said.code, 0, "{said:?}");
    let bytes = begun.export(&["--release", "the laptop takes it"]);
    let new = begun.elsewhere(&bytes);
    assert_eq!(begun.adopt(&new, &[]).code, 0);
    let said = new.muster(&["resume", "@latest"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(begun.is_there("second"));
}

#[test]
fn a_run_that_has_ended_is_evidence_and_nothing_to_go_on_with() {
    let begun = begun();
    assert_eq!(begun.old.muster(&["done", "@latest", "look", "--evidence", "seen"]).code, 0);
    let said = begun.old.muster(&["export", "@latest", "--out", "run.tar"]);
    assert!(said.code == 1 && said.stderr.contains("has ended"), "{said:?}");
}

#[test]
fn a_run_in_the_sandbox_takes_its_world_along() {
    let old = Desk::new();
    let begun = old.muster(&["run", "omnichat-restore", "--sandbox", "-p", "retire=true"]);
    assert_eq!(begun.code, 7, "{begun:?}");
    let key = old.muster(&["audit", "key"]).stdout;
    let said = old.muster(&["export", "@latest", "--out", "run.tar", "--release", "elsewhere"]);
    assert_eq!(said.code, 0, "{said:?}");
    let new = Desk::new();
    std::fs::copy(old.path().join("run.tar"), new.path().join("run.tar")).unwrap();
    let said = new.muster(&["adopt", "run.tar", "--key", key.trim()]);
    assert_eq!(said.code, 0, "{said:?}");
    let world = new.muster(&["world", "show", "@latest"]);
    assert_eq!((world.code, &world.stdout), (0, &old.muster(&["world", "show", "@latest"]).stdout), "{world:?}");
}
