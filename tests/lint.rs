//! Everything that is wrong with a playbook is shown at once, at its place in the user's own text, with what to do.

use std::path::Path;

use muster::lint::{explain, lint};
use muster::playbook::bundle::Bundle;
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
        Ok(bundle) => (lint(&bundle.playbook, &bundle.modules, &bundle.models, &bundle.sources), bundle.sources),
        Err(error) => explain(error).expect("it is found"),
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

/// Codes and the words at the carets.
fn codes(text: &str) -> Vec<(String, String)> {
    let folder = tempfile::tempdir().expect("a folder");
    std::fs::write(folder.path().join("playbook.yaml"), text).expect("it is written");
    let (found, sources) = match Bundle::load(&folder.path().display().to_string()) {
        Ok(bundle) => (lint(&bundle.playbook, &bundle.modules, &bundle.models, &bundle.sources), bundle.sources),
        Err(error) => explain(error).expect("it is found"),
    };
    let word = |span: muster::model::span::Span| {
        let text = &sources[usize::from(span.source)].text[span.start as usize..span.end as usize];
        text.lines().next().unwrap_or("").to_owned()
    };
    found.iter().map(|one| (one.code.to_owned(), word(one.span))).collect()
}

const HEAD: &str = "muster: 1\nname: x\nversion: 1.0.0\ntitle: X\n";

fn finds(text: &str, wanted: &[(&str, &str)]) {
    let found = codes(&format!("{HEAD}{text}"));
    let wanted: Vec<(String, String)> = wanted.iter().map(|(a, b)| ((*a).to_owned(), (*b).to_owned())).collect();
    assert_eq!(found, wanted, "{text}");
}

#[test]
fn faults_of_form_do_not_hide_those_of_meaning() {
    finds(
        "params:\n  dir: { type: path, dco: where }\ncapabilities:\n  - fs.stat\nsteps:\n  - id: look\n    tiemout: 5m\n    \
         uses: fs.stat\n    with: { pth: \"${params.dir}\" }\n  - id: pack\n    needs: [lok]\n    script: |\n      \
         let found = steps.look.exists;\n      host::docker::info();\n      fond\n",
        &[
            ("unknown-key", "dco"),
            ("unknown-key", "tiemout"),
            ("missing-argument", "fs.stat"),
            ("unknown-argument", "pth"),
            ("unknown-step", "lok"),
            ("step-not-needed", "look"),
            ("missing-capability", "host::docker::info"),
            ("unknown-variable", "fond"),
        ],
    );
}

#[test]
fn what_only_follows_from_another_fault_is_not_said() {
    // A section whose key is misspelt is read all the same.
    finds(
        "capabilites: [docker.info]\nstesp:\n  - { id: a, script: \"host::docker::info()\" }\n",
        &[("unknown-key", "capabilites"), ("unknown-key", "stesp")],
    );
    // A step that cannot be read is there for those that need it.
    finds(
        "steps:\n  - { id: a, script: [x] }\n  - { id: b, needs: [a], script: steps.a.x }\n",
        &[("wrong-type", "[x]")],
    );
    finds(
        "steps:\n  - { idd: 3, script: \"1\" }\n  - { id: b, needs: [a], script: steps.a.x }\n",
        &[("unknown-key", "idd"), ("wrong-type", "3")],
    );
    // So are parameters, names that are refused, what cannot be needed or imported, and what may be used in what was not read.
    finds(
        "params:\n  words: string\n  my-dir: { type: path }\n  free: { type: bool }\nsteps:\n  - { id: my-step, script: \"params.words\" }\n  \
         - { id: b, needs: [my-step], script: \"steps.my-step.x + params.my-dir\" }\n",
        &[("wrong-type", "string"), ("bad-name", "my-dir"), ("bad-name", "my-step")],
    );
    finds(
        "imports: { pg: stdlib/pg }\nsteps:\n  - { id: a, script: \"1\" }\n  - { id: b, needs: { a: b }, script: \"pg::f(steps.a)\" }\n",
        &[("wrong-type", "{ pg: stdlib/pg }"), ("wrong-type", "{ a: b }")],
    );
    finds(
        "capabilities: { docker.stop: { container: x } }\nsteps:\n  - { id: a, uses: docker.stop, with: [x] }\n  \
         - { id: b, script: \"1\", foreach: 3, verify: \"item == key\" }\n  - { id: b, script: \"1\" }\n",
        &[
            ("wrong-type", "{ docker.stop: { container: x } }"),
            ("wrong-type", "[x]"),
            ("wrong-type", "3"),
            ("duplicate-id", "b"),
        ],
    );
    // An import that is not there: its functions are not missing as well.
    finds(
        "imports: [stdlib/pgg]\ncapabilities: [docker.info]\nsteps:\n  - { id: a, script: \"pgg::f(1)\" }\n",
        &[("no-module", "stdlib/pgg")],
    );
}
