//! A run is pinned to its stored bundle: a program that became stricter since, or whose standard library changed, carries it on.

mod support {
    pub mod cli;
}

use std::sync::Arc;

use muster::journal::{Fact, Head, RunJournal, Store};
use muster::model::command::Actor;
use muster::model::secret::Redactor;
use muster::model::status::{Mode, RunStatus};
use muster::model::{RunId, Timestamp};
use muster::playbook::bundle::{Bundle, BundleError};
use support::cli::Desk;

/// Everything in it that an author is told to write otherwise today.
const OLD: &str = r#"muster: 1
name: Old_Name of a playbook that is much longer than the names that can be given to playbooks today
version: '7'
title: ''
imports: [stdlib/words, stdlib/gone, ../Odd-Place/words]
parallel: 5000
params:
  A-Param: { type: int, default: three }
  secret: { type: secret, default: hunter2 }
steps:
  - id: A-Step-Whose-Name-Is-Longer-Than-What-Is-Allowed-Today
    script: words::joined(["a"], "-") + gone::said()
    retry: { attempts: 500, delay: 5m, max_delay: 1m, backoff: 0.5, jitter: 7 }
    timeout:
  - id: if
    needs: [A-Step-Whose-Name-Is-Longer-Than-What-Is-Allowed-Today]
    script: 'host::log::info("it said " + steps["A-Step-Whose-Name-Is-Longer-Than-What-Is-Allowed-Today"])'
drill:
  skip: [nothing]
  params: { nothing: 1 }
"#;

fn bytes(playbook: &str) -> Vec<u8> {
    let files = serde_json::json!({
        "../Odd-Place/words.rhai": r#"fn joined(a, b) { "as it was stored" }"#,
        "playbook.yaml": playbook,
        "stdlib/gone.rhai": r#"fn said() { " and since removed" }"#,
        "stdlib/words.rhai": r#"fn joined(a, b) { "as it was" }"#,
    });
    serde_json::to_vec(&serde_json::json!({ "bundle": 1, "files": files })).expect("it is JSON")
}

/// A run of this bundle that has just begun and that nobody holds.
fn begun(desk: &Desk, bundle: &Bundle) -> RunId {
    let store = desk.store();
    store.put_blob(&bundle.to_bytes()).expect("it is stored");
    let run: RunId = "7k3mzzzzzzzz".parse().expect("an id");
    let at: Timestamp = "2026-03-01T12:00:00Z".parse().expect("a time");
    let head = Head {
        run: run.clone(),
        playbook: bundle.playbook.name.value.clone(),
        version: bundle.playbook.version.value.clone(),
        bundle: bundle.digest.clone(),
        status: RunStatus::Running,
        detail: String::new(),
        started: at,
        updated: at,
        records: 0,
        epoch: 0,
        holder: None,
    };
    let first = Fact::RunStarted {
        format: 1,
        run: run.clone(),
        playbook: head.playbook.clone(),
        version: head.version.clone(),
        bundle: head.bundle.clone(),
        mode: Mode::Live,
        params: serde_json::json!({ "A-Param": 3 }),
        by: Actor { name: "bob@desk".to_owned() },
        seed: 7,
        engine: "0.1.0".to_owned(),
        forked_from: None,
        drill: None,
    };
    let mut journal = RunJournal::create(store, Arc::new(Redactor::default()), &head).expect("the run is created");
    journal.push(first, at);
    journal.commit(&[], RunStatus::Running, "").expect("the record is written");
    journal.release().expect("the run is let go of");
    run
}

#[test]
fn a_run_goes_on_though_its_playbook_would_be_refused_today_and_the_standard_library_is_another() {
    let desk = Desk::new();
    let folder = desk.path().join("old");
    desk.file("old/playbook.yaml", OLD);
    match Bundle::load(&folder.display().to_string()) {
        Err(BundleError::Invalid { diagnostics, .. }) => assert!(diagnostics.len() > 12, "{diagnostics:#?}"),
        other => panic!("as a new text it is refused: {other:?}"),
    }
    let bundle = Bundle::from_bytes(&bytes(OLD)).unwrap_or_else(|error| panic!("{error:?}"));
    assert_eq!(Bundle::from_bytes(&bundle.to_bytes()).expect("it reads back").digest, bundle.digest);
    let run = begun(&desk, &bundle);
    let said = desk.muster(&["resume", &run.to_string()]);
    assert_eq!(said.code, 0, "{said:?}");
    let log = desk.muster(&["logs", &run.to_string(), "-o", "json"]);
    assert!(log.stdout.contains("it said as it was stored and since removed"), "{log:?}");
    let forked = desk.muster(&["fork", &run.to_string(), "--from", "if"]);
    assert_eq!(forked.code, 0, "{forked:?}");
}

#[test]
fn what_is_not_of_the_format_is_refused_from_the_store_too() {
    for (text, code) in [
        ("muster: 2\nname: x\nversion: 1.0.0\ntitle: X\nsteps: [{ id: a, script: '1' }]\n", "format"),
        ("muster: 1\nname: x\nversion: 1.0.0\ntitle: X\nsteps: [{ id: a, script: '1', ponder: 3 }]\n", "unknown-key"),
        (
            "muster: 1\nname: x\nversion: 1.0.0\ntitle: X\nsteps: [{ id: a, script: '1', timeout: soon }]\n",
            "bad-duration",
        ),
        ("muster: 1\nname: x\nversion: 1.0.0\ntitle: X\nsteps: [{ id: a }]\n", "missing-key"),
        (
            "muster: 1\nname: x\nversion: 1.0.0\ntitle: X\nimports: [none]\nsteps: [{ id: a, script: '1' }]\n",
            "no-module",
        ),
    ] {
        match Bundle::from_bytes(&bytes(text)) {
            Err(BundleError::Invalid { diagnostics, .. }) => {
                assert_eq!(diagnostics.iter().map(|one| one.code).collect::<Vec<_>>(), [code]);
            }
            other => panic!("{text} gave {other:?}"),
        }
    }
}
