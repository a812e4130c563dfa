//! The shipped playbooks' own tests pass, each several times the same, and say something.

use muster::playbook::{bundle, schema_trial, shipped};
use muster::trial::Suite;

fn suite(name: &str) -> Suite {
    Suite::load(name).unwrap_or_else(|error| panic!("{name}: {error}"))
}

#[test]
fn every_shipped_playbook_has_tests_of_success_and_of_failures() {
    for name in shipped::names() {
        let suite = suite(name);
        assert!(suite.tests.len() >= 8, "{name} has only {} tests", suite.tests.len());
        assert!(suite.tests.iter().any(|(_, test)| test.faults.is_empty() && test.changes.is_empty()), "{name}");
        assert!(suite.tests.iter().any(|(_, test)| !test.faults.is_empty()), "{name} is never failed");
        assert!(suite.tests.iter().any(|(_, test)| !test.kills.is_empty()), "{name} is never stopped");
    }
}

#[test]
fn they_come_out_the_same_every_time() {
    let exit = |_: &[muster::journal::Record]| 0;
    for name in shipped::names() {
        let suite = suite(name);
        for (_, test) in &suite.tests {
            assert_eq!(suite.run(test, &exit), suite.run(test, &exit), "{name}: {}", test.name.value);
        }
    }
}

#[test]
fn the_schema_takes_them() {
    let schema = schema_trial::schema(muster::ops::table().keys().copied());
    let validator = jsonschema::validator_for(&schema).expect("a schema");
    for name in shipped::names() {
        for (file, bytes) in bundle::tests(name).expect("its tests") {
            let value: serde_json::Value = serde_yaml::from_slice(&bytes).expect("YAML");
            let faults: Vec<String> = validator
                .iter_errors(&value)
                .map(|error| format!("{file}{}: {error}", error.instance_path()))
                .collect();
            assert!(faults.is_empty(), "{faults:#?}");
        }
    }
}
