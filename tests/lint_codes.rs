//! Every code that lint knows is explained, and the examples are true: the wrong one gives the code, the right one does not.

use std::collections::BTreeSet;
use std::path::Path;

use muster::lint::{codes, explain, lint};
use muster::playbook::bundle::Bundle;
use muster::playbook::diagnostic::{Collector, Diagnostic, Severity};
use muster::playbook::params::{self, Given, Means};
use muster::schedule::file::read;
use serde_json::json;

/// What is found in an example, completed to a playbook.
fn found_in(example: &str) -> Vec<Diagnostic> {
    let folder = tempfile::tempdir().expect("a folder");
    let mut files = vec![("playbook.yaml", String::new())];
    for line in example.lines() {
        match line.strip_prefix("--- ") {
            Some(name) => files.push((name, String::new())),
            None => {
                let (_, text) = files.last_mut().expect("there is one");
                text.push_str(line);
                text.push('\n');
            }
        }
    }
    let book = &mut files[0].1;
    for (key, value) in [("title", "Example"), ("version", "1.0.0"), ("name", "example"), ("muster", "1")] {
        if !book.lines().any(|line| line.starts_with(&format!("{key}:"))) {
            book.insert_str(0, &format!("{key}: {value}\n"));
        }
    }
    if !book.lines().any(|line| line.starts_with("steps:")) {
        book.push_str("steps:\n  - { id: only, script: \"1\" }\n");
    }
    let (mut given, mut schedules) = (None, None);
    for (name, text) in files {
        if name == "schedules.yaml" {
            schedules = Some(text);
            continue;
        }
        if name == "params" {
            given = Some(text);
            continue;
        }
        let path = folder.path().join(name);
        std::fs::create_dir_all(path.parent().expect("a folder")).expect("the folder is made");
        std::fs::write(path, text).expect("it is written");
    }
    match Bundle::load(&folder.path().display().to_string()) {
        Ok(bundle) => {
            let mut found = lint(&bundle.playbook, &bundle.modules, &bundle.models, &bundle.sources);
            found.extend(given.map(|given| faults_of(&bundle, &given)).unwrap_or_default());
            if let Some(text) = schedules {
                let (schedules, wrong, _) = read("schedules.yaml", text.as_bytes(), folder.path());
                found.extend(wrong);
                found.extend(schedules.check());
            }
            found
        }
        Err(error) => explain(error).expect("it is found").0,
    }
}

/// What is wrong with the parameters of a run.
fn faults_of(bundle: &Bundle, text: &str) -> Vec<Diagnostic> {
    let (mut collector, mut given) = (Collector::default(), Given::default());
    given.add_file("given.yaml", text.as_bytes(), &mut collector);
    let means = Means {
        evaluate: &|template, _| template.as_plain().ok_or_else(|| "not in this test".to_owned()),
        seal: &|_| Ok(json!({})),
        matches: &|pattern, text| text.ends_with(pattern.trim_start_matches('*')),
        folder: Path::new("/"),
    };
    params::evaluate(&bundle.playbook.params, &given, &means, &mut collector);
    collector.finish()
}

#[test]
fn a_wrong_example_gives_its_code_and_a_right_one_nothing() {
    let mut lies = Vec::new();
    for one in codes::all().into_iter().filter(|one| !one.wrong.is_empty()) {
        let said = |found: &[Diagnostic]| {
            found.iter().map(|one| format!("{}: {}", one.code, one.message)).collect::<Vec<_>>().join("; ")
        };
        let (wrong, right) = (found_in(one.wrong), found_in(one.right));
        if !wrong.iter().any(|found| found.code == one.code) {
            lies.push(format!("{}: the wrong example gives: {}", one.code, said(&wrong)));
        }
        if right.iter().any(|found| found.code == one.code || found.severity == Severity::Error) {
            lies.push(format!("{}: the right example gives: {}", one.code, said(&right)));
        }
    }
    assert!(lies.is_empty(), "{}", lies.join("\n"));
}

/// The codes in the source: the first text given to whatever makes a diagnostic.
fn codes_of_source(folder: &Path, codes: &mut BTreeSet<String>) {
    for entry in std::fs::read_dir(folder).expect("a folder").map(|entry| entry.expect("an entry").path()) {
        if entry.is_dir() {
            codes_of_source(&entry, codes);
            continue;
        }
        let Ok(text) = std::fs::read_to_string(&entry) else { continue };
        let text = text.split("#[cfg(test)]").next().unwrap_or_default();
        for maker in ["Diagnostic::error(", "Diagnostic::warning(", "fault(", "at(", "diagnostic("] {
            for rest in text.split(maker).skip(1) {
                let Some((word, after)) = rest.trim_start().strip_prefix('"').and_then(|rest| rest.split_once('"'))
                else {
                    continue;
                };
                let is_code = !word.is_empty() && word.chars().all(|c| c.is_ascii_lowercase() || c == '-' || c == '8');
                if is_code && after.starts_with(',') {
                    codes.insert(word.to_owned());
                }
            }
        }
    }
}

#[test]
fn every_code_is_explained_and_no_other() {
    let mut used = BTreeSet::new();
    for room in ["lint", "playbook", "schedule", "script"] {
        codes_of_source(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src").join(room), &mut used);
    }
    let explained: BTreeSet<String> = codes::all().into_iter().map(|one| one.code.to_owned()).collect();
    let list = |of: &BTreeSet<String>, but: &BTreeSet<String>| of.difference(but).cloned().collect::<Vec<_>>();
    assert!(list(&used, &explained).is_empty(), "not explained in src/lint/codes.md: {:?}", list(&used, &explained));
    assert!(list(&explained, &used).is_empty(), "explained, but nothing gives them: {:?}", list(&explained, &used));
}
