//! Programs in Pods.

use serde_json::json;

use super::Stage;
use super::schema::assert_fits;
use crate::model::Value;
use crate::model::fault::ErrorClass;
use crate::ops::host::{Probe, ReadHost};
use crate::sandbox::World;

const WORLD: &str = r#"
kubernetes:
  objects:
    - { apiVersion: v1, kind: Pod, metadata: { name: db-0, namespace: shop }, status: { phase: Running } }
    - { apiVersion: v1, kind: Pod, metadata: { name: late-0, namespace: shop }, status: { phase: Pending } }
commands:
  - { container: database, argv: [psql, "..."], stdout: "f\n" }
  - { container: database, argv: ["false"], code: 1, stderr: no }
"#;

#[test]
fn a_program_in_a_pod_prints_what_the_world_says() {
    let stage = Stage::of(World::load(WORLD).unwrap());
    let read = |pod: &str, argv: &[&str], more: Value| {
        let mut args = json!({ "pod": pod, "namespace": "shop", "container": "database", "argv": argv });
        for (name, value) in more.as_object().unwrap() {
            args[name] = value.clone();
        }
        stage.read("k8s.read", args)
    };
    let printed = read("db-0", &["psql", "-c", "SELECT 1"], json!({})).unwrap();
    assert_eq!(printed, json!({ "code": 0, "stdout": "f\n", "stderr": "" }));
    assert_fits("k8s.read", &printed);
    assert_eq!(read("db-0", &["false"], json!({ "any_exit": true })).unwrap()["code"], 1);
    assert_eq!(read("db-0", &["false"], json!({})).unwrap_err().class, ErrorClass::Failed);
    let refused = |pod: &str, argv: &[&str]| {
        let error = read(pod, argv, json!({ "any_exit": true })).unwrap_err();
        assert_eq!(error.class, ErrorClass::Refused);
        error.message
    };
    assert!(refused("db-0", &["cowsay"]).contains("the sandbox does not know"));
    assert!(refused("late-0", &["psql"]).contains("it does not run: Pending"));
    assert!(refused("gone-0", &["psql"]).contains("there is no such Pod"));
}

#[test]
fn a_program_in_a_pod_that_changes_something_is_run_again_only_when_that_does_no_harm() {
    let stage = Stage::of(World::load(WORLD).unwrap());
    let args = |pod: &str, repeatable: bool| json!({ "pod": pod, "namespace": "shop", "container": "database", "argv": ["psql"], "repeatable": repeatable });
    assert_fits("k8s.exec", &stage.perform("k8s.exec", args("db-0", false), "m-1").unwrap());
    let probed = |repeatable: bool| {
        let request = stage.intended("k8s.exec", args("db-0", repeatable), "m-2").unwrap();
        stage.host().probe(&request).unwrap()
    };
    assert!(matches!(probed(false), Probe::CannotTell { .. }));
    assert!(matches!(probed(true), Probe::NotDone));
    assert_eq!(stage.before("k8s.exec", args("gone-0", true)).unwrap_err().class, ErrorClass::Refused);
}

#[test]
fn what_a_program_in_a_pod_prints_goes_into_a_file_and_comes_back_from_one() {
    let stage = Stage::of(World::load(&format!("{WORLD}files: {{ /srv: {{ dir: true }} }}\n")).unwrap());
    let args = |program: &str, to: &str| json!({ "pod": "db-0", "namespace": "shop", "container": "database", "argv": [program, "x"], "to": to });
    let kept = stage.perform("k8s.read_to_file", args("psql", "/srv/a.dump"), "m-1").unwrap();
    assert_fits("k8s.read_to_file", &kept);
    assert_eq!(kept["bytes"], 2);
    assert_eq!(stage.read("fs.read_text", json!({ "path": "/srv/a.dump" })).unwrap()["text"], "f\n");
    let again = stage.before("k8s.read_to_file", args("psql", "/srv/a.dump")).unwrap_err();
    assert_eq!(again.class, ErrorClass::Refused);
    assert_eq!(
        stage.perform("k8s.read_to_file", args("false", "/srv/b.dump"), "m-2").unwrap_err().class,
        ErrorClass::Refused
    );
    let load = |path: &str| json!({ "pod": "db-0", "namespace": "shop", "container": "database", "argv": ["psql"], "stdin_file": path });
    stage.perform("k8s.exec", load("/srv/a.dump"), "m-3").unwrap();
    assert_eq!(stage.before("k8s.exec", load("/srv/none")).unwrap_err().class, ErrorClass::Refused);
}
