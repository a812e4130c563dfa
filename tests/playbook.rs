//! What the loader promises: all faults at once, with their places; and no text, however hostile, that costs more than its size.

use std::path::{Path, PathBuf};

use muster::model::span::Source;
use muster::playbook::bundle::{Bundle, BundleError};
use muster::playbook::diagnostic::{Collector, Diagnostic, Style, render};
use muster::playbook::types::{Body, Playbook, Template};
use muster::playbook::{load, shipped, yaml};
use proptest::prelude::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn check(text: &str) -> (Option<Playbook>, Vec<Diagnostic>) {
    let mut collector = Collector::default();
    let tree = yaml::parse(text.as_bytes(), 0, &mut collector);
    let playbook = tree.map(|tree| load::read(&tree, text, &mut collector).0);
    (playbook, collector.finish())
}

fn codes(text: &str) -> Vec<&'static str> {
    check(text).1.into_iter().map(|fault| fault.code).collect()
}

const HEAD: &str = "muster: 1\nname: x\nversion: 1.0.0\ntitle: X\n";

#[test]
fn every_bad_playbook_shows_all_its_faults_at_their_places() {
    let folder = root().join("tests/fixtures/playbooks/bad");
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path(root().join("snapshots"));
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    let mut files: Vec<_> = std::fs::read_dir(&folder).unwrap().flatten().map(|entry| entry.path()).collect();
    files.sort();
    assert!(files.len() > 10);
    for file in files {
        let name = file.file_stem().unwrap().to_string_lossy().into_owned();
        let bytes = std::fs::read(&file).unwrap();
        let text = String::from_utf8_lossy(&bytes).into_owned();
        let mut collector = Collector::default();
        if let Some(tree) = yaml::parse(&bytes, 0, &mut collector) {
            load::read(&tree, &text, &mut collector);
        }
        let faults = collector.finish();
        assert!(!faults.is_empty(), "{name} is not bad");
        let sources = [Source { name: format!("{name}.yaml"), text: text.into() }];
        settings.bind(|| insta::assert_snapshot!(format!("bad_{name}"), render(&faults, &sources, Style::PLAIN)));
    }
}

#[test]
fn scripts_and_expressions_know_their_places_in_the_users_text() {
    for name in shipped::names() {
        let text = std::fs::read_to_string(root().join("playbooks").join(name).join("playbook.yaml")).unwrap();
        let (playbook, _) = check(&text);
        for step in playbook.unwrap().steps {
            let shown = |span: muster::model::span::Span| &text[span.start as usize..span.end as usize];
            if let Body::Script(script) = &step.body {
                let first = script.value.lines().next().unwrap();
                assert!(shown(script.span).starts_with(first), "{name} {}: {:?}", step.id.value, shown(script.span));
            }
            if let Some(when) = &step.when {
                assert_eq!(shown(when.span), when.value, "{name} {}", step.id.value);
            }
            if let Body::Uses { with: Some(with), .. } = &step.body {
                for expr in with.expressions() {
                    assert_eq!(shown(expr.span), expr.value, "{name} {}", step.id.value);
                }
            }
        }
    }
}

#[test]
fn the_whole_format_is_understood() {
    let text = std::fs::read_to_string(root().join("tests/fixtures/playbooks/whole.yaml")).unwrap();
    let (playbook, faults) = check(&text);
    let sources = [Source { name: "whole.yaml".to_owned(), text: text.as_str().into() }];
    assert!(faults.is_empty(), "{}", render(&faults, &sources, Style::PLAIN));
    let playbook = playbook.unwrap();
    let step = |id: &str| playbook.step(id).unwrap();
    assert!(matches!(&step("ask").body, Body::Manual { evidence: Some(_), .. }));
    assert_eq!(step("copy").retry.as_ref().unwrap().attempts, 4);
    assert_eq!(step("copy").foreach.as_ref().unwrap().parallel, Some(2));
    assert_eq!(step("prove").verify.as_ref().unwrap().within.as_secs(), 120);
    assert_eq!(step("retire").approval.as_ref().unwrap().count, 2);
    assert_eq!(playbook.drill.as_ref().unwrap().skip.len(), 1);
    assert!(matches!(&playbook.params[1].default, Some(Template::Text(..))));
}

#[test]
fn a_yaml_bomb_is_refused_at_its_first_anchor() {
    let mut text = String::from("a: &a [x, x, x, x, x, x, x, x, x]\n");
    for n in 1..30 {
        text.push_str(&format!("b{n}: &b{n} [*a, *a, *a, *a, *a, *a, *a, *a, *a]\n"));
    }
    assert_eq!(codes(&text), ["no-alias"]);
}

#[test]
fn too_large_too_deep_and_too_many_are_each_said_so() {
    let ten_megabytes = format!("{HEAD}doc: {}\n", "x".repeat(10 << 20));
    assert_eq!(codes(&ten_megabytes), ["too-large"]);
    let large_scalar = format!("{HEAD}doc: {}\n", "x".repeat(yaml::MAX_SCALAR + 1));
    assert_eq!(codes(&large_scalar), ["too-large"]);
    assert_eq!(codes(&format!("a: {}", "[".repeat(200))), ["too-deep"]);
    assert_eq!(codes(&"[".repeat(900_000)), ["too-deep"]);
    assert_eq!(codes(&"- ".repeat(400_000)), ["too-deep"]);
    assert_eq!(codes(&format!("[{}]", "1,".repeat(yaml::MAX_NODES))), ["too-large"]);
    let deep: String = (0..200).map(|n| format!("{}a:\n", " ".repeat(n))).collect();
    assert_eq!(codes(&deep), ["too-deep"]);
}

#[test]
fn a_hundred_thousand_faults_are_cut_short() {
    let mut text = HEAD.to_owned();
    for n in 0..40_000 {
        text.push_str(&format!("unknown{n}: 1\n"));
    }
    let found = codes(&text);
    assert_eq!(found.len(), muster::playbook::diagnostic::MAX_DIAGNOSTICS + 1);
    assert_eq!(found.last(), Some(&"too-many"));
}

#[test]
fn bytes_that_are_no_text_are_pointed_at() {
    let mut collector = Collector::default();
    assert!(yaml::parse(b"name: \xff\n", 0, &mut collector).is_none());
    assert_eq!(collector.finish()[0].code, "not-utf8");
    assert_eq!(codes("\u{feff}a: 1"), ["byte-order-mark"]);
    assert_eq!(codes("a:\n\tb: 1\n"), ["yaml"]);
    assert_eq!(codes(""), ["empty"]);
    assert_eq!(codes("a: 1\n---\nb: 2\n"), ["several-documents"]);
}

#[test]
fn modules_that_import_each_other_or_lie_outside_are_refused() {
    let folder = tempfile::tempdir().unwrap();
    let write = |name: &str, text: &str| std::fs::write(folder.path().join(name), text).unwrap();
    let steps = "steps:\n  - { id: a, script: \"1\" }\n";
    write("one.rhai", "import \"two\" as two;\nfn f() { 1 }\n");
    write("two.rhai", "// back again\nimport \"one\" as one;\n");
    let faults = |imports: &str| {
        write("playbook.yaml", &format!("{HEAD}imports: [{imports}]\n{steps}"));
        match Bundle::load(folder.path().to_str().unwrap()) {
            Err(BundleError::Invalid { diagnostics, .. }) => diagnostics.iter().map(|fault| fault.code).collect(),
            Err(other) => panic!("{other}"),
            Ok(_) => Vec::new(),
        }
    };
    assert_eq!(faults("one"), ["import-cycle"]);
    assert_eq!(faults("../secret"), ["import-path"]);
    assert_eq!(faults("/etc/secret"), ["import-path"]);
    assert_eq!(faults("stdlib/nothing"), ["no-module"]);
    assert_eq!(faults("stdlib/pg"), [""; 0]);
    #[cfg(unix)]
    {
        let outside = tempfile::tempdir().unwrap();
        std::fs::write(outside.path().join("secret.rhai"), "fn f() { 1 }\n").unwrap();
        std::os::unix::fs::symlink(outside.path().join("secret.rhai"), folder.path().join("linked.rhai")).unwrap();
        assert_eq!(faults("linked"), ["import-path"]);
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn no_text_makes_the_loader_panic(text in "[ -~é\n\t\"'|>\\[\\]{}:,#&*!?$-]{0,200}") {
        let (_, faults) = check(&text);
        let sources = [Source { name: "x.yaml".to_owned(), text: text.as_str().into() }];
        let _ = render(&faults, &sources, Style::PLAIN);
    }

    #[test]
    fn no_damage_to_a_playbook_makes_the_loader_panic(at in 0usize..8000, cut in 0usize..60, with in "[ -~é\n]{0,12}") {
        let whole = include_str!("fixtures/playbooks/whole.yaml");
        let mut start = at % whole.len();
        while !whole.is_char_boundary(start) {
            start -= 1;
        }
        let mut end = (start + cut).min(whole.len());
        while !whole.is_char_boundary(end) {
            end += 1;
        }
        let text = format!("{}{with}{}", &whole[..start], &whole[end..]);
        let (_, faults) = check(&text);
        let sources = [Source { name: "x.yaml".to_owned(), text: text.as_str().into() }];
        let _ = render(&faults, &sources, Style::PLAIN);
    }
}
