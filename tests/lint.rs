//! Everything that is wrong with a playbook is shown at once, at its place in the user's own text, with what to do.

use std::path::Path;

use muster::lint::lint;
use muster::playbook::bundle::{Bundle, BundleError};
use muster::playbook::diagnostic::{Style, has_errors, render};

/// What is said of a fixture.
fn said_of(name: &str) -> String {
    let unsound = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/playbooks/unsound");
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::create_dir(folder.path().join("lib")).expect("a folder for modules");
    for module in ["tools", "docker"] {
        let file = format!("lib/{module}.rhai");
        std::fs::copy(unsound.join(&file), folder.path().join(&file)).expect("it is copied");
    }
    std::fs::copy(unsound.join(format!("{name}.yaml")), folder.path().join("playbook.yaml")).expect("it is copied");
    let path = folder.path().display().to_string();
    let (found, sources) = match Bundle::load(&path) {
        Ok(bundle) => (lint(&bundle.playbook, &bundle.modules, &bundle.sources), bundle.sources),
        Err(BundleError::Invalid { diagnostics, sources }) => (diagnostics, sources),
        Err(error) => panic!("{error}"),
    };
    assert!(has_errors(&found));
    render(&found, &sources, Style::PLAIN).replace(&format!("{path}/"), "")
}

#[test]
fn every_fault_is_shown_with_place_caret_and_hint() {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| {
        for name in ["graph", "scripts", "names", "operations", "functions", "capabilities"] {
            insta::assert_snapshot!(format!("lint_{name}"), said_of(name));
        }
    });
}
