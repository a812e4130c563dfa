//! The schema for editors and the loader agree: what the schema refuses the loader refuses, and most the other way round.

use std::path::{Path, PathBuf};

use muster::model::Value;
use muster::playbook::diagnostic::{Collector, has_errors};
use muster::playbook::{load, schema, shipped, yaml};
use proptest::prelude::*;

fn root() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).to_owned()
}

fn validator() -> jsonschema::Validator {
    jsonschema::validator_for(&schema::schema(muster::ops::table().keys().copied())).unwrap()
}

/// The values of a text, and whether the loader takes it.
fn loaded(bytes: &[u8]) -> Option<(Value, bool)> {
    let text = String::from_utf8_lossy(bytes).into_owned();
    let mut collector = Collector::default();
    let tree = yaml::parse(bytes, 0, &mut collector)?;
    load::read(&tree, &text, &mut collector);
    Some((tree.value(), !has_errors(&collector.finish())))
}

fn whole() -> Value {
    loaded(include_bytes!("fixtures/playbooks/whole.yaml")).unwrap().0
}

#[test]
fn every_shipped_playbook_fits_the_schema() {
    let validator = validator();
    for name in shipped::names() {
        let (value, taken) = loaded(shipped::file(name, "playbook.yaml").unwrap().as_bytes()).unwrap();
        let faults: Vec<String> =
            validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
        assert!(taken && faults.is_empty(), "{name}: {faults:#?}");
    }
    assert!(validator.is_valid(&whole()));
}

#[test]
fn what_the_loader_refuses_for_its_form_the_schema_refuses() {
    let validator = validator();
    // Names that refer to each other, keys that stand twice, and what is inside of `${}`: no schema says these.
    let beyond = ["expressions", "duplicate_keys"];
    let folder = root().join("tests/fixtures/playbooks/bad");
    for entry in std::fs::read_dir(folder).unwrap().flatten() {
        let name = entry.path().file_stem().unwrap().to_string_lossy().into_owned();
        let Some((value, _)) = loaded(&std::fs::read(entry.path()).unwrap()) else { continue };
        if !beyond.contains(&name.as_str()) {
            assert!(!validator.is_valid(&value), "the schema takes {name}");
        }
    }
}

/// All places within a value, as JSON pointers.
fn places(value: &Value, at: &str, found: &mut Vec<String>) {
    found.push(at.to_owned());
    match value {
        Value::Array(items) => {
            items.iter().enumerate().for_each(|(n, item)| places(item, &format!("{at}/{n}"), found));
        }
        Value::Object(fields) => {
            fields.iter().for_each(|(key, item)| places(item, &format!("{at}/{}", key.replace('/', "~1")), found));
        }
        _ => {}
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(1500))]

    #[test]
    fn what_the_loader_takes_the_schema_takes(pick in any::<prop::sample::Index>(), with in 0usize..12, drop in any::<bool>()) {
        thread_local!(static VALIDATOR: jsonschema::Validator = validator());
        let mut value = whole();
        let mut all = Vec::new();
        places(&value, "", &mut all);
        let place = pick.get(&all).clone();
        let new = serde_json::json!([
            null, true, 0, 1, 2.5, -7, "", "x", "90m", "${params.count}", ["a"], { "a": "b" }
        ])[with].clone();
        let (parent, key) = place.rsplit_once('/').unwrap_or(("", ""));
        match value.pointer_mut(parent) {
            Some(Value::Object(fields)) if drop && !place.is_empty() => {
                fields.remove(&key.replace("~1", "/"));
            }
            _ => *value.pointer_mut(&place).unwrap() = new,
        }
        // JSON is YAML.
        let text = serde_json::to_string_pretty(&value).unwrap();
        let (read, taken) = loaded(text.as_bytes()).unwrap();
        prop_assert_eq!(&read, &value);
        if taken {
            VALIDATOR.with(|validator| {
                let faults: Vec<_> = validator.iter_errors(&value).map(|e| format!("{}: {e}", e.instance_path())).collect();
                prop_assert!(faults.is_empty(), "{}: {:#?}", place, faults);
                Ok(())
            })?;
        }
    }
}
