//! Evidence as an auditor gets it: one file, one command, no store.

#[path = "support/cli.rs"]
mod support;

use std::os::unix::fs::PermissionsExt as _;

use serde_json::Value;
use support::Desk;

const PLAYBOOK: &str = r#"
muster: 1
name: copies
version: 1.0.0
title: Copies a file
objectives: { rto: 1h }
params:
  from: { type: path, doc: What to copy. }
  key: { type: secret, doc: Not to be seen. }
capabilities: [fs.copy]
steps:
  - id: copy
    title: Copy it
    uses: fs.copy
    with: { from: "${params.from}", to: "${params.from}.copy" }
"#;

/// A desk where a run has ended, and the public key of its store.
fn ran() -> (Desk, String) {
    let desk = Desk::new();
    desk.file("playbooks/copies/playbook.yaml", PLAYBOOK);
    desk.file("source", "some text\n");
    let said = desk.muster(&["run", "copies", "-p", "from=source", "-p", "key=correct horse battery"]);
    assert_eq!(said.code, 0, "{said:?}");
    let key = desk.muster(&["audit", "key"]);
    assert!(key.code == 0 && key.stdout.starts_with("muster-ed25519:"), "{key:?}");
    (desk, key.stdout.trim().to_owned())
}

#[test]
fn evidence_is_checked_with_one_command_and_no_store() {
    let (desk, key) = ran();
    let said = desk.muster(&["audit", "export", "@latest", "--out", "run.tar"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert!(said.stdout.contains(&key), "{said:?}");
    let bytes = std::fs::read(desk.path().join("run.tar")).unwrap();
    assert!(!bytes.windows(13).any(|part| part == b"correct horse"), "a secret is in it");
    assert_eq!(desk.muster(&["audit", "export", "@latest", "--out", "again.tar"]).code, 0);
    assert_eq!(bytes, std::fs::read(desk.path().join("again.tar")).unwrap(), "the same evidence, the same bytes");

    let elsewhere = Desk::new();
    std::fs::write(elsewhere.path().join("run.tar"), &bytes).unwrap();
    elsewhere.file("muster.pub", &format!("{key}\n"));
    for given in [key.as_str(), "muster.pub"] {
        let found = elsewhere.muster(&["audit", "verify", "run.tar", "--key", given]);
        assert_eq!(found.code, 0, "{found:?}");
        assert!(
            found.stdout.contains("every byte is as it was signed") && found.stdout.contains("reports: 2 follow"),
            "{found:?}"
        );
    }
    assert!(!elsewhere.store_path().exists(), "checking makes no store");
    let unknown = elsewhere.muster(&["audit", "verify", "run.tar"]);
    assert_eq!(unknown.code, 9, "{unknown:?}");
    assert!(
        unknown.stderr.contains("who made it was not checked") && unknown.stderr.contains("fingerprint"),
        "{unknown:?}"
    );
    let (_, other) = ran();
    let foreign = elsewhere.muster(&["audit", "verify", "run.tar", "--key", &other]);
    assert!(foreign.code == 6 && foreign.stderr.contains("another key"), "{foreign:?}");
    let nothing = elsewhere.muster(&["audit", "verify", "run.tar", "--key", "nonsense"]);
    assert!(nothing.code == 1 && nothing.stderr.contains("muster audit key"), "{nothing:?}");

    let mut changed = bytes.clone();
    let middle = changed.len() / 2;
    changed[middle] ^= 1;
    std::fs::write(elsewhere.path().join("run.tar"), &changed).unwrap();
    let found = elsewhere.muster(&["audit", "verify", "run.tar", "--key", &key]);
    assert!(found.code == 6 && found.stderr.contains("is not the evidence that was signed"), "{found:?}");
}

#[test]
fn the_tools_of_every_system_can_read_a_pack() {
    let (desk, _) = ran();
    assert_eq!(desk.muster(&["audit", "export", "--since", "1h", "--out", "all.tar"]).code, 0);
    let listed = std::process::Command::new("tar").args(["-tf", "all.tar"]).current_dir(desk.path()).output().unwrap();
    assert!(listed.status.success(), "{listed:?}");
    let names = String::from_utf8(listed.stdout).unwrap();
    for wanted in
        ["manifest.json", "signature.json", "README.txt", "redaction.txt", "/journal.jsonl", "report.html", "blobs/"]
    {
        assert!(names.contains(wanted), "{wanted}: {names}");
    }
    assert_eq!(desk.muster(&["audit", "verify", "all.tar"]).code, 9);
}

#[test]
fn the_signing_key_is_for_its_owner_only_and_stays_the_same() {
    let (desk, key) = ran();
    let mut path = desk.store_path().into_os_string();
    path.push(".d/signing.key");
    assert_eq!(std::fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
    assert_eq!(desk.muster(&["audit", "key"]).stdout.trim(), key);
}

#[test]
fn a_store_is_checked_without_a_file() {
    let (desk, _) = ran();
    let said = desk.muster(&["audit", "verify", "-o", "json"]);
    assert_eq!(said.code, 0, "{said:?}");
    let found: Value = serde_json::from_str(&said.stdout).unwrap();
    assert_eq!((&found["intact"], &found["runs"]), (&true.into(), &1.into()), "{found:#}");
    let db = rusqlite::Connection::open(desk.store_path()).unwrap();
    db.execute("UPDATE batch SET body = replace(body, 'copies', 'cooked')", []).unwrap();
    drop(db);
    let said = desk.muster(&["audit", "verify"]);
    assert_eq!(said.code, 6, "{said:?}");
    assert!(said.stdout.contains("is not what was written"), "{said:?}");
    let refused = desk.muster(&["audit", "export", "@latest", "--out", "run.tar"]);
    assert!(refused.code == 6 && !desk.path().join("run.tar").exists(), "{refused:?}");
}
