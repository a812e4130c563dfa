//! Secrets in runs: what of them may stand in a journal.

use super::books::{book, step};
use super::*;
use crate::engine::state::StepStatus;
use crate::model::StepPath;

fn error_of(rig: &Rig, path: &str) -> (String, Option<String>) {
    match rig.state().step(&StepPath::of(path)).map(|step| step.status.clone()) {
        Some(StepStatus::Failed { error, .. }) => (error.message, error.hint),
        other => panic!("{path} has not failed: {other:?}"),
    }
}

fn journal(rig: &Rig) -> String {
    rig.store.load(&rig.run).expect("the journal loads").lines.concat()
}

#[test]
fn a_known_secret_is_no_key_of_an_instance() {
    for items in ["[\"alice\", \"hunter-22-hunter\"]", "[271828182845]"] {
        let rig = Rig::new(book(vec![step("each", &[], "key").foreach(items, None)]));
        rig.redactor.learn("hunter-22");
        rig.redactor.learn("271828182845");
        rig.drive();
        let (message, hint) = error_of(&rig, "each");
        assert!(message.contains("cannot be the key of an instance of each"), "{message}");
        assert!(hint.is_some_and(|hint| hint.contains("`key`")));
        let journal = journal(&rig);
        assert!(!journal.contains("hunter-22") && !journal.contains("271828182845"), "{journal}");
    }
}

#[test]
fn a_step_output_that_was_redacted_is_no_key_of_an_instance() {
    let rig = Rig::new(book(vec![
        step("read", &[], "[\"hunter-22\", \"plain\"]"),
        step("each", &["read"], "key").foreach("steps.read", None),
    ]));
    rig.redactor.learn("hunter-22");
    rig.drive();
    assert!(error_of(&rig, "each").0.contains("holds a known secret"));
    assert!(!journal(&rig).contains("hunter-22"));
}
