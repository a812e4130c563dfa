//! The API server itself, under the unmodified `kubectl`: what holds of a real one.

use serde_json::json;

use crate::ground::Ground;

fn apply(ground: &Ground, object: &serde_json::Value, more: &[&str]) -> std::process::Output {
    let file = ground.cluster.folder().join("object.json");
    std::fs::write(&file, object.to_string()).unwrap();
    let file = file.to_string_lossy().into_owned();
    ground.cluster.run("kubectl", &[&["apply", "-f", file.as_str()], more].concat())
}

fn settings(data: serde_json::Value) -> serde_json::Value {
    json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "settings" }, "data": data })
}

fn said(output: &std::process::Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

#[test]
fn applying_on_the_server_keeps_what_others_own_and_tells_conflicts() {
    let Some(ground) = Ground::start() else { return };
    let by = |manager: &'static str| ["--server-side", "--field-manager", manager];
    assert!(apply(&ground, &settings(json!({ "a": "1", "b": "1" })), &by("one")).status.success());
    assert!(apply(&ground, &settings(json!({ "c": "2" })), &by("two")).status.success());
    let conflict = apply(&ground, &settings(json!({ "a": "2" })), &by("two"));
    assert!(!conflict.status.success() && said(&conflict).contains("conflict with \"one\""), "{}", said(&conflict));
    let forced = [&by("two")[..], &["--force-conflicts"]].concat();
    assert!(apply(&ground, &settings(json!({ "a": "2" })), &forced).status.success());
    // `two` no longer applies c, which goes; b is still one's.
    assert_eq!(ground.cluster.object("configmap", "settings")["data"], json!({ "a": "2", "b": "1" }));
}

#[test]
fn a_dry_run_says_what_would_be_and_writes_nothing() {
    let Some(ground) = Ground::start() else { return };
    let dry = apply(&ground, &settings(json!({ "a": "1" })), &["--server-side", "--dry-run=server"]);
    assert!(dry.status.success(), "{}", said(&dry));
    assert!(ground.cluster.object("configmap", "settings").is_null());
}

#[test]
fn a_stale_version_is_a_conflict_and_a_second_creation_too() {
    let Some(ground) = Ground::start() else { return };
    apply(&ground, &settings(json!({ "a": "1" })), &[]);
    let mut stale = ground.cluster.object("configmap", "settings");
    ground.cluster.kubectl(&["patch", "configmap", "settings", "-p", r#"{"data":{"a":"2"}}"#]);
    stale["data"]["a"] = json!("3");
    let file = ground.cluster.folder().join("stale.json");
    std::fs::write(&file, stale.to_string()).unwrap();
    let file = file.to_string_lossy().into_owned();
    let replaced = ground.cluster.run("kubectl", &["replace", "-f", &file]);
    assert!(
        said(&replaced).contains("Conflict") || said(&replaced).contains("the object has been modified"),
        "{}",
        said(&replaced)
    );
    let again = ground.cluster.run("kubectl", &["create", "-f", &file]);
    assert!(!again.status.success(), "{}", said(&again));
    assert_eq!(ground.cluster.object("configmap", "settings")["data"]["a"], "2");
}

#[test]
fn a_kind_of_ones_own_is_served_watched_and_gone() {
    let Some(ground) = Ground::start() else { return };
    let group = format!("{}.example.com", ground.cluster.namespace);
    let schema = json!({ "type": "object", "x-kubernetes-preserve-unknown-fields": true });
    let version = json!({
        "name": "v1", "served": true, "storage": true, "subresources": { "status": {} }, "schema": { "openAPIV3Schema": schema },
    });
    let names = json!({ "kind": "Thing", "plural": "things", "singular": "thing", "listKind": "ThingList" });
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("things.{group}") },
        "spec": { "group": group, "scope": "Namespaced", "names": names, "versions": [version] },
    });
    assert!(apply(&ground, &definition, &["--server-side"]).status.success());
    let named = format!("crd/things.{group}");
    ground.cluster.kubectl(&["wait", "--for=condition=Established", &named, "--timeout=20s"]);
    let thing = json!({ "apiVersion": format!("{group}/v1"), "kind": "Thing", "metadata": { "name": "it" }, "spec": { "n": 1 } });
    let applied = apply(&ground, &thing, &[]);
    assert!(applied.status.success(), "{}", said(&applied));
    let kind = format!("things.{group}");
    ground.cluster.kubectl(&["annotate", &kind, "it", "a=b"]);
    ground.cluster.kubectl(&["patch", &kind, "it", "--type=merge", "-p", r#"{"spec":{"n":2}}"#]);
    let waiting = ground
        .cluster
        .command("kubectl")
        .args(["wait", "--for=delete", &format!("{kind}/it"), "--timeout=20s"])
        .spawn();
    let found = ground.cluster.object(&kind, "it");
    assert_eq!((&found["spec"]["n"], &found["metadata"]["annotations"]["a"]), (&json!(2), &json!("b")));
    assert_eq!(found["metadata"]["generation"], 2);
    ground.cluster.kubectl(&["delete", &kind, "it"]);
    assert!(waiting.unwrap().wait().unwrap().success());
    ground.cluster.kubectl(&["delete", &named]);
}

#[test]
fn helm_works_unchanged_from_install_to_uninstall() {
    let Some(ground) = Ground::start() else { return };
    let helm = |words: &[&str]| ground.cluster.helm(words);
    let chart = ground.chart.as_str();
    helm(&["install", "own", chart, "--set", "database.host=a"]);
    helm(&["upgrade", "own", chart, "--reuse-values", "--set", "database.host=b", "--wait", "--timeout=20s"]);
    assert_eq!(ground.host_of("own"), "b");
    helm(&["rollback", "own", "1"]);
    assert_eq!(ground.host_of("own"), "a");
    assert!(helm(&["get", "values", "own"]).contains("host: a"));
    assert!(helm(&["get", "manifest", "own"]).contains("kind: Deployment"));
    assert!(helm(&["list"]).contains("own"));
    assert_eq!(helm(&["history", "own"]).lines().count(), 4);
    helm(&["uninstall", "own"]);
    assert!(ground.cluster.object("configmap", "own-settings").is_null());
}

#[test]
fn kubectl_lists_in_pages_reads_logs_and_asks_what_it_may() {
    let Some(ground) = Ground::in_memory() else { return };
    for count in 0..30 {
        let metadata = json!({ "name": format!("c-{count}") });
        ground.cluster.put("configmaps", json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata }));
    }
    assert_eq!(ground.cluster.kubectl(&["get", "cm", "--chunk-size=7", "-o", "name"]).lines().count(), 30);
    let metadata = json!({ "name": "talker", "annotations": { "test/log": "one\ntwo\n" } });
    let spec = json!({ "containers": [{ "name": "a", "image": "x" }] });
    ground.cluster.put("pods", json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec }));
    assert_eq!(ground.cluster.kubectl(&["logs", "talker"]), "one\ntwo\n");
    let may = || {
        let said = ground.cluster.run("kubectl", &["auth", "can-i", "delete", "deployments"]);
        format!("{}{}", String::from_utf8_lossy(&said.stdout), String::from_utf8_lossy(&said.stderr))
    };
    assert_eq!(may(), "yes\n");
    ground.cluster.forbid("delete", "deployments");
    assert!(may().starts_with("no"), "{}", may());
}
