//! Objects of Kubernetes: applied, patched, undone, and found changed by others.

use serde_json::json;

use super::Stage;
use super::schema::assert_fits;
use crate::model::{RunId, Value};
use crate::ops::host::{Probe, ReadHost, Sent, WriteHost};
use crate::ops::spec::Undo;
use crate::sandbox::{World, diff};

const WORLD: &str = r#"
kubernetes:
  failing: ["shop/bad-*"]
  denied: ["delete persistentvolumeclaim"]
  logs: { shop/web-0: "one\ntwo\n" }
  objects:
    - { apiVersion: v1, kind: Pod, metadata: { name: web-0, namespace: shop } }
    - { apiVersion: v1, kind: Namespace, metadata: { name: shop } }
    - { apiVersion: v1, kind: ConfigMap, metadata: { name: settings, namespace: shop, labels: { app: web } }, data: { host: old-db } }
    - { apiVersion: v1, kind: Secret, metadata: { name: login, namespace: shop }, data: { password: c3RhcGxl } }
    - apiVersion: apps/v1
      kind: Deployment
      metadata:
        name: web
        namespace: shop
        labels: { app: web }
        managedFields:
          - { manager: helm, operation: Apply, fieldsV1: { "f:spec": { "f:paused": {} } } }
      spec: { replicas: 2, paused: false }
      status: { replicas: 2, readyReplicas: 2, observedGeneration: 1 }
    - apiVersion: postgres-operator.crunchydata.com/v1beta1
      kind: PostgresCluster
      metadata: { name: hippo, namespace: shop }
      spec: { shutdown: false, backups: { pgbackrest: { manual: { repoName: repo1 } } } }
"#;

fn stage() -> Stage {
    Stage::of(World::load(WORLD).unwrap())
}

fn named(kind: &str, name: &str, more: Value) -> Value {
    let mut args = json!({ "kind": kind, "name": name, "namespace": "shop" });
    for (name, value) in more.as_object().unwrap() {
        args[name] = value.clone();
    }
    args
}

fn deployment(spec: Value) -> Value {
    json!({ "object": { "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "shop" }, "spec": spec } })
}

fn job(name: &str) -> Value {
    json!({ "apiVersion": "batch/v1", "kind": "Job", "metadata": { "name": name, "namespace": "shop" }, "spec": { "backoffLimit": 0 } })
}

/// Every effect with arguments of its own.
fn effects() -> Vec<(&'static str, Value)> {
    let config = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "new", "namespace": "shop" }, "data": { "a": "b" } });
    vec![
        ("k8s.apply", deployment(json!({ "replicas": 3 }))),
        ("k8s.apply", json!({ "object": config })),
        ("k8s.create", json!({ "object": config })),
        ("k8s.patch", named("postgrescluster", "hippo", json!({ "patch": { "spec": { "shutdown": true } } }))),
        (
            "k8s.patch",
            named(
                "cm",
                "settings",
                json!({ "manner": "json", "patch": [{ "op": "replace", "path": "/data/host", "value": "x" }] }),
            ),
        ),
        ("k8s.annotate", named("postgresclusters", "hippo", json!({ "set": { "a.b/backup": "1" } }))),
        ("k8s.label", named("deploy", "web", json!({ "set": { "app": null, "tier": "front" } }))),
        ("k8s.scale", named("deploy", "web", json!({ "replicas": 0 }))),
        ("k8s.delete", named("cm", "settings", json!({}))),
        ("k8s.run_job", json!({ "object": job("good") })),
    ]
}

#[test]
fn every_effect_is_found_done_after_a_kill_and_undone_to_what_was_there() {
    for (op, args) in effects() {
        let stage = stage();
        let first = stage.world.lock().clone();
        let request = stage.intended(op, args.clone(), "m-do").unwrap();
        assert_eq!(stage.host().probe(&request).unwrap(), Probe::NotDone, "{op}");
        let sent = stage.host().send(&request).unwrap();
        let result = match sent {
            Sent::Running => stage.follow(&stage.host(), &request).unwrap(),
            Sent::Done(result) => result,
        };
        let Probe::Done { result: mut found } = stage.host().probe(&request).unwrap() else { panic!("{op}") };
        if found["resource_version"].is_string() {
            // Controllers write new versions of it.
            found["resource_version"] = result["resource_version"].clone();
        }
        assert_eq!(found, result, "{op}");
        assert_fits(op, &result);
        assert_ne!(diff(&first, &stage.world.lock()), Vec::<String>::new(), "{op}");
        let left = stage.host().fingerprint(&request, &result).unwrap();
        assert_eq!(stage.host().fingerprint(&request, &result).unwrap(), left, "{op}");
        let Undo::Call { op: undo, args } = stage.undo_of(&request, Some(&result)) else { panic!("{op}: no undo") };
        let undone = stage.perform(undo, args, "m-undo").unwrap();
        assert_fits(undo, &undone);
        assert_eq!(diff(&first, &stage.world.lock()), Vec::<String>::new(), "{op}");
    }
}

#[test]
fn an_undo_of_what_was_never_sent_changes_nothing() {
    for (op, args) in effects().into_iter().filter(|(op, _)| *op != "k8s.delete") {
        let stage = stage();
        let first = stage.world.lock().clone();
        let request = stage.intended(op, args, "m-do").unwrap();
        let Undo::Call { op: undo, args } = stage.undo_of(&request, None) else { panic!("{op}: no undo") };
        stage.perform(undo, args, "m-undo").unwrap();
        assert_eq!(diff(&first, &stage.world.lock()), Vec::<String>::new(), "{op}");
    }
}

#[test]
fn an_undo_leaves_alone_what_others_set_and_refuses_to_overwrite_it() {
    let stage = stage();
    let patch = |host: &str, key: &str| {
        let args = named("cm", "settings", json!({ "patch": { "data": { "host": host } } }));
        let request = stage.intended("k8s.patch", args, key).unwrap();
        stage.host().send(&request).unwrap();
        request
    };
    let ours = patch("ours", "m-ours");
    let beside = named("cm", "settings", json!({ "patch": { "data": { "port": "1" } } }));
    stage.perform("k8s.patch", beside, "m-beside").unwrap();
    let Undo::Call { op, args } = stage.undo_of(&ours, None) else { panic!("no undo") };
    assert_eq!(stage.perform(op, args, "m-undo").unwrap(), json!({ "restored": ["data.host"] }));
    let found = stage.read("k8s.get", named("cm", "settings", json!({}))).unwrap();
    assert_eq!(found["object"]["data"], json!({ "host": "old-db", "port": "1" }));
    let ours = patch("ours", "m-ours-2");
    patch("theirs", "m-theirs");
    let Undo::Call { op, args } = stage.undo_of(&ours, None) else { panic!("no undo") };
    assert!(stage.before(op, args).unwrap_err().message.contains("somebody has changed data.host since"));
}

#[test]
fn what_a_call_made_is_not_deleted_once_another_run_has_changed_it_but_after_changes_of_its_own() {
    let stage = stage();
    let object = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": "new", "namespace": "shop" }, "data": { "a": "b" } });
    let own = |step: &str| format!("m-{}-{step}-1-0", stage.run);
    for (op, key) in [("k8s.apply", own("apply")), ("k8s.create", own("create"))] {
        let request = stage.intended(op, json!({ "object": object }), &key).unwrap();
        stage.host().send(&request).unwrap();
        let Undo::Call { op: delete, args } = stage.undo_of(&request, None) else { panic!("no undo") };
        let another = RunId::from_entropy(8);
        stage.perform("k8s.apply", json!({ "object": object }), &format!("m-{another}-again-1-0")).unwrap();
        let error = stage.before(delete, args.clone()).unwrap_err();
        assert!(error.message.contains("another run has changed it since it was made"), "{error}");
        let mut other = args.clone();
        other["made_by"] = json!("m-none");
        assert_eq!(stage.perform(delete, other, "m-other").unwrap(), json!({ "deleted": false }));
        stage.perform("k8s.apply", json!({ "object": object }), &own(&format!("again-{key}"))).unwrap();
        assert_eq!(stage.perform(delete, args, &format!("{key}-gone")).unwrap(), json!({ "deleted": true }));
    }
}

#[test]
fn a_change_made_since_the_look_stops_the_call() {
    let stage = stage();
    let args = named("cm", "settings", json!({ "patch": { "data": { "host": "ours" } } }));
    let request = stage.intended("k8s.patch", args.clone(), "m-ours").unwrap();
    stage
        .perform("k8s.patch", named("cm", "settings", json!({ "patch": { "data": { "host": "theirs" } } })), "m-x")
        .unwrap();
    let error = stage.host().send(&request).unwrap_err();
    assert!(error.message.contains("somebody has changed data.host since it was looked at"), "{error}");
}

#[test]
fn an_apply_takes_nobodys_field_without_being_told_to() {
    let stage = stage();
    let error = stage.before("k8s.apply", deployment(json!({ "paused": true }))).unwrap_err();
    assert!(error.message.contains("spec.paused is owned by helm"), "{error}");
    let mut forced = deployment(json!({ "paused": true }));
    forced["force"] = json!(true);
    assert_eq!(stage.perform("k8s.apply", forced, "m-do").unwrap()["changed"], json!(["spec.paused"]));
    // What the next apply does not set any more is taken away.
    let next = stage.perform("k8s.apply", deployment(json!({ "replicas": 2 })), "m-next").unwrap();
    assert_eq!(next["changed"], json!(["spec.paused"]));
}

#[test]
fn reads_tell_what_is_there_and_that_nothing_is() {
    let stage = stage();
    let get = |kind: &str, name: &str| {
        let found = stage.read("k8s.get", named(kind, name, json!({}))).unwrap();
        assert_fits("k8s.get", &found);
        found
    };
    assert_eq!(get("apps/v1/Deployment", "web")["object"]["spec"]["replicas"], 2);
    assert_eq!(get("deploy", "none"), json!({ "exists": false, "uid": "", "resource_version": "", "object": {} }));
    assert_eq!(get("secret", "login")["object"]["data"]["password"]["$secret"]["key"], "password");
    let list = |more: Value| {
        let found = stage.read("k8s.list", more).unwrap();
        assert_fits("k8s.list", &found);
        found["objects"].as_array().unwrap().iter().map(|one| one["metadata"]["name"].clone()).collect::<Vec<_>>()
    };
    assert_eq!(list(json!({ "kind": "deploy", "namespace": "shop", "labels": "app=web" })), ["web"]);
    assert_eq!(list(json!({ "kind": "deploy", "namespace": "shop", "labels": "app in (x, y)" })), Vec::<Value>::new());
    assert_eq!(list(json!({ "kind": "cm", "fields": "metadata.name=settings" })), ["settings"]);
    let can = |verb: &str| {
        stage.read("k8s.can_i", json!({ "verb": verb, "kind": "pvc", "namespace": "shop" })).unwrap()["allowed"].clone()
    };
    assert_eq!((can("get"), can("delete")), (json!(true), json!(false)));
    let error = stage.read("k8s.get", json!({ "kind": "deploy", "name": "web" })).unwrap_err();
    assert!(error.message.contains("are in a namespace"), "{error}");
}

#[test]
fn a_wait_follows_the_workload_in_the_worlds_own_time_and_fails_as_soon_as_it_must() {
    let stage = stage();
    stage.perform("k8s.scale", named("deploy", "web", json!({ "replicas": 5 })), "m-up").unwrap();
    let condition = "status.observedGeneration == metadata.generation && status.readyReplicas == spec.replicas";
    let (waited, polls) = stage.wait("k8s.wait", named("deploy", "web", json!({ "condition": condition }))).unwrap();
    assert_fits("k8s.wait", &waited);
    assert!(polls > 1 && waited["object"]["status"]["readyReplicas"] == 5, "{waited}");
    for (name, end) in [("good", true), ("bad-one", false)] {
        stage.perform("k8s.create", json!({ "object": job(name) }), name).unwrap();
        let ends = json!({ "condition": "status.conditions[type=Complete].status == 'True'", "fails": "status.conditions[type=Failed].status == 'True'" });
        assert_eq!(stage.wait("k8s.wait", named("job", name, ends)).is_ok(), end, "{name}");
    }
    let gone = stage.perform("k8s.delete", named("job", "good", json!({})), "m-gone").unwrap();
    assert_eq!(gone, json!({ "deleted": true }));
    stage.wait("k8s.wait", named("job", "good", json!({ "gone": true }))).unwrap();
    let other = named("deploy", "web", json!({ "condition": "spec.replicas == 5", "uid": "another" }));
    assert!(stage.wait("k8s.wait", other).unwrap_err().message.contains("made anew"));
}

#[test]
fn a_job_that_fails_fails_the_call_and_goes_with_the_undo() {
    let stage = stage();
    let first = stage.world.lock().clone();
    let request = stage.intended("k8s.run_job", json!({ "object": job("bad-one") }), "m-run").unwrap();
    stage.host().send(&request).unwrap();
    let error = stage.follow(&stage.host(), &request).unwrap_err();
    assert!(error.message.contains("BackoffLimitExceeded"), "{error}");
    let Undo::Call { op, args } = stage.undo_of(&request, None) else { panic!("no undo") };
    assert_eq!(stage.perform(op, args, "m-undo").unwrap(), json!({ "deleted": true }));
    assert_eq!(diff(&first, &stage.world.lock()), Vec::<String>::new());
    let mut short = job("short");
    short["spec"]["ttlSecondsAfterFinished"] = json!(60);
    assert!(
        stage
            .before("k8s.run_job", json!({ "object": short }))
            .unwrap_err()
            .message
            .contains("before anybody has looked")
    );
}

#[test]
fn a_pod_is_quoted_by_its_last_lines() {
    let stage = stage();
    let said = |pod: &str| {
        let said = stage.read("k8s.logs", json!({ "pod": pod, "namespace": "shop", "lines": 1 })).unwrap();
        assert_fits("k8s.logs", &said);
        said
    };
    assert_eq!(said("web-0"), json!({ "exists": true, "text": "two\n" }));
    assert_eq!(said("web-1")["exists"], false);
}

#[test]
fn what_an_object_owns_goes_with_it_unless_it_is_to_stay() {
    let stage = stage();
    let owner = stage.read("k8s.get", named("postgrescluster", "hippo", json!({}))).unwrap()["uid"].clone();
    for (name, policy, stays) in [("a", "orphan", true), ("b", "background", false)] {
        let stage = Stage::of(stage.world.lock().clone());
        let owned = json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": name, "namespace": "shop", "ownerReferences": [{ "uid": owner }] } });
        stage.perform("k8s.create", json!({ "object": owned }), "m-make").unwrap();
        let args = named("postgrescluster", "hippo", json!({ "propagation": policy, "uid": owner }));
        let request = stage.intended("k8s.delete", args, "m-del").unwrap();
        stage.host().send(&request).unwrap();
        assert_eq!(stage.read("k8s.get", named("cm", name, json!({}))).unwrap()["exists"], json!(stays), "{policy}");
        assert!(matches!(stage.undo_of(&request, None), Undo::Impossible(_)));
    }
}
