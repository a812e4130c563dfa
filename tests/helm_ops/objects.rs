//! The family `k8s` on objects of any kind: changed, found done after a lost answer, undone, and never over somebody else's change.

use std::net::SocketAddr;
use std::sync::Arc;

use muster::clock::SystemClock;
use muster::model::Value;
use muster::model::forecast::Basis;
use muster::ops::foresight::PlanHost;
use muster::ops::live::LiveReader;
use muster::ops::secrets::Secrets;
use muster::ops::{ErrorClass, Polled, Probe, ReadHost, Request, Sent, WriteHost};
use muster::sandbox::Overlay;
use serde_json::json;

use crate::faulty::{Faulty, Spoil};
use crate::ground::Ground;
use crate::kube::Pace;

pub fn named(ground: &Ground, kind: &str, name: &str, more: Value) -> Value {
    let mut args = json!({ "kind": kind, "name": name, "namespace": ground.cluster.namespace });
    with(ground, &mut args, more);
    args
}

pub fn with(ground: &Ground, args: &mut Value, more: Value) {
    args["cluster"] = json!({ "kubeconfig": ground.cluster.kubeconfig, "context": ground.cluster.context });
    for (name, value) in more.as_object().unwrap() {
        args[name] = value.clone();
    }
}

pub fn config(ground: &Ground, name: &str, data: Value) -> Value {
    let metadata = json!({ "name": name, "namespace": ground.cluster.namespace });
    let mut args = json!({ "object": { "apiVersion": "v1", "kind": "ConfigMap", "metadata": metadata, "data": data } });
    with(ground, &mut args, json!({}));
    args
}

pub fn deployment(ground: &Ground, replicas: u32) -> Value {
    let labels = json!({ "app": "web" });
    let pod = json!({ "metadata": { "labels": labels }, "spec": { "containers": [{ "name": "web", "image": "registry.invalid/web:1" }] } });
    let spec = json!({ "replicas": replicas, "selector": { "matchLabels": labels }, "template": pod });
    let metadata = json!({ "name": "web", "namespace": ground.cluster.namespace });
    let mut args =
        json!({ "object": { "apiVersion": "apps/v1", "kind": "Deployment", "metadata": metadata, "spec": spec } });
    with(ground, &mut args, json!({}));
    args
}

/// What the effects below work on.
pub fn prepared(ground: &Ground) {
    ground.world.write("k8s.create", config(ground, "settings", json!({ "host": "old-db" })), "m-settings").unwrap();
    ground.world.write("k8s.apply", deployment(ground, 0), "m-web").unwrap();
}

/// Every effect, with the request that does it.
fn effects(ground: &Ground) -> Vec<(&'static str, Value, &'static str)> {
    let set = |patch: Value| named(ground, "cm", "settings", json!({ "patch": patch }));
    let list = json!([{ "op": "add", "path": "/data/port", "value": "1" }]);
    vec![
        ("k8s.apply", config(ground, "settings", json!({ "port": "1" })), "PATCH"),
        ("k8s.apply", config(ground, "new", json!({ "a": "b" })), "PATCH"),
        ("k8s.create", config(ground, "new", json!({ "a": "b" })), "POST"),
        ("k8s.patch", set(json!({ "data": { "host": "new-db" } })), "PATCH"),
        ("k8s.patch", named(ground, "configmaps", "settings", json!({ "manner": "json", "patch": list })), "PATCH"),
        ("k8s.annotate", named(ground, "v1/ConfigMap", "settings", json!({ "set": { "a.b/c": "d" } })), "PATCH"),
        ("k8s.label", named(ground, "deploy", "web", json!({ "set": { "tier": "front" } })), "PATCH"),
        ("k8s.scale", named(ground, "deployments.apps", "web", json!({ "replicas": 2 })), "PATCH"),
        ("k8s.delete", named(ground, "cm", "settings", json!({})), "DELETE"),
    ]
}

/// All objects as somebody wants them: without marks, which say who came last.
fn picture(ground: &Ground) -> Vec<Value> {
    let all: Vec<Value> = if ground.cluster.is_real() {
        let listed = ["configmaps", "deployments"].into_iter().map(|kind| {
            let found = ground.cluster.kubectl(&["get", kind, "-o", "json"]);
            serde_json::from_str::<Value>(&found).unwrap()["items"].as_array().unwrap().clone()
        });
        listed.flatten().collect()
    } else {
        ground.cluster.picture()
    };
    let bare = all.into_iter().filter(|object| object["metadata"]["name"] != "kube-root-ca.crt").map(|object| {
        let annotations = object["metadata"]["annotations"].as_object().cloned().unwrap_or_default();
        let incidental = ["deployment.kubernetes.io", "muster.dr"];
        let is_wanted = |name: &str| !incidental.iter().any(|prefix| name.starts_with(prefix));
        let annotations: Vec<_> = annotations.into_iter().filter(|(name, _)| is_wanted(name)).collect();
        json!([
            object["kind"],
            object["metadata"]["name"],
            object["metadata"]["labels"],
            annotations,
            object["spec"],
            object["data"]
        ])
    });
    bare.collect()
}

fn finish(ground: &Ground, request: &Request, sent: Sent) -> Value {
    match sent {
        Sent::Done(result) => result,
        Sent::Running => ground.world.wait(request).unwrap(),
    }
}

#[test]
fn every_effect_is_undone_to_what_was_there() {
    let Some(ground) = Ground::start() else { return };
    prepared(&ground);
    for (place, (op, args, _)) in effects(&ground).into_iter().enumerate() {
        let before = picture(&ground);
        let request = ground.world.ready(op, args, &format!("m-{place}")).unwrap();
        assert_eq!(ground.world.host.probe(&request).unwrap(), Probe::NotDone, "{op}");
        assert_eq!(picture(&ground), before, "{op}: only looked at and tried");
        let sent = ground.world.host.send(&request).unwrap();
        let result = finish(&ground, &request, sent);
        assert_eq!(ground.world.host.probe(&request).unwrap(), Probe::Done { result: result.clone() }, "{op}");
        assert_ne!(picture(&ground), before, "{op}");
        let left = ground.world.host.fingerprint(&request, &result).unwrap();
        assert_eq!(ground.world.host.fingerprint(&request, &result).unwrap(), left);
        // Sent again, it is known to be done.
        let again = ground.world.host.send(&request).map(|sent| finish(&ground, &request, sent));
        // Of a real cluster, controllers go on writing statuses.
        let bare = |mut result: Value| {
            result.as_object_mut().map(|result| result.remove("resource_version"));
            result
        };
        assert_eq!(bare(again.unwrap()), bare(result.clone()), "{op}");
        let (undo, args) = ground.undo(&request, Some(&result));
        ground.world.write(undo, args, &format!("m-{place}-undo")).unwrap_or_else(|error| panic!("{op}: {error:?}"));
        assert_eq!(picture(&ground), before, "{op}");
    }
}

/// The same cluster through a proxy that spoils exchanges.
pub fn spoiled(ground: &mut Ground) -> Faulty {
    let config: Value = serde_json::from_slice(&std::fs::read(&ground.cluster.kubeconfig).unwrap()).unwrap();
    let server = config["clusters"][0]["cluster"]["server"].as_str().unwrap().trim_start_matches("http://").to_owned();
    let proxy = Faulty::before(server.parse::<SocketAddr>().unwrap());
    let mut through = config;
    through["clusters"][0]["cluster"]["server"] = json!(proxy.url());
    let path = ground.cluster.folder().join("spoiled");
    std::fs::write(&path, through.to_string()).unwrap();
    ground.cluster.kubeconfig = path;
    proxy
}

#[test]
fn whatever_becomes_of_the_answer_an_effect_happens_once() {
    for (place, spoil) in [
        Spoil::Unsent,
        Spoil::Unanswered,
        Spoil::Afterwards(500, "InternalError"),
        Spoil::Instead(503, "ServiceUnavailable"),
        Spoil::Instead(429, "TooManyRequests"),
        Spoil::Instead(401, "Unauthorized"),
        Spoil::Instead(403, "Forbidden"),
    ]
    .into_iter()
    .enumerate()
    {
        let Some(mut ground) = Ground::in_memory() else { return };
        let proxy = spoiled(&mut ground);
        prepared(&ground);
        for (op, args, verb) in effects(&ground) {
            let what = format!("{op} {spoil:?}");
            let before = picture(&ground);
            let key = format!("m-{place}-{op}");
            let request = ground.world.ready(op, args, &key).unwrap();
            proxy.spoil(&format!("{verb} /"), spoil.clone());
            let sent = ground.world.host.send(&request);
            assert!(proxy.is_done(), "{what}");
            let result = match sent {
                Ok(sent) => finish(&ground, &request, sent),
                Err(error) => {
                    let wanted = match spoil {
                        Spoil::Instead(401, _) => ErrorClass::Credentials,
                        Spoil::Instead(403, _) => ErrorClass::Refused,
                        _ => ErrorClass::Unknown,
                    };
                    assert_eq!(error.class, wanted, "{what}: {error:?}");
                    match ground.world.host.probe(&request).unwrap() {
                        Probe::NotDone => {
                            let sent = ground.world.host.send(&request).unwrap();
                            finish(&ground, &request, sent)
                        }
                        Probe::Running { .. } => ground.world.wait(&request).unwrap(),
                        Probe::Done { result } => result,
                        other => panic!("{what}: {other:?}"),
                    }
                }
            };
            assert_ne!(picture(&ground), before, "{what}");
            let (undo, args) = ground.undo(&request, Some(&result));
            ground.world.write(undo, args, &format!("{key}-undo")).unwrap_or_else(|error| panic!("{what}: {error:?}"));
            assert_eq!(picture(&ground), before, "{what}");
        }
    }
}

#[test]
fn somebody_elses_change_is_neither_overwritten_nor_undone() {
    let Some(ground) = Ground::start() else { return };
    prepared(&ground);
    let theirs = |host: &str| {
        let patch = json!({ "data": { "host": host } }).to_string();
        ground.cluster.kubectl(&["patch", "configmap", "settings", "--type=merge", "-p", &patch]);
    };
    let args = named(&ground, "cm", "settings", json!({ "patch": { "data": { "host": "ours" } } }));
    let late = ground.world.ready("k8s.patch", args.clone(), "m-late").unwrap();
    theirs("theirs");
    let error = ground.world.host.send(&late).unwrap_err();
    assert_eq!(error.class, ErrorClass::Refused);
    assert!(error.message.contains("somebody has changed data.host since it was looked at"), "{error}");
    let (request, result) = ground.send("k8s.patch", args, "m-ours");
    let left = ground.world.host.fingerprint(&request, result.as_ref().unwrap()).unwrap();
    // Beside it others may do as they like.
    ground.cluster.kubectl(&["annotate", "configmap", "settings", "their=note"]);
    assert_eq!(ground.world.host.fingerprint(&request, result.as_ref().unwrap()).unwrap(), left);
    theirs("theirs again");
    assert_ne!(ground.world.host.fingerprint(&request, result.as_ref().unwrap()).unwrap(), left);
    let (undo, args) = ground.undo(&request, None);
    let error = ground.world.ready(undo, args, "m-undo").unwrap_err();
    assert!(error.message.contains("somebody has changed data.host since"), "{error}");
    // What was deleted and made anew is another thing.
    let args = named(&ground, "cm", "settings", json!({ "set": { "a": "b" } }));
    let request = ground.world.ready("k8s.annotate", args, "m-note").unwrap();
    ground.cluster.kubectl(&["delete", "configmap", "settings"]);
    ground.world.write("k8s.create", config(&ground, "settings", json!({})), "m-anew").unwrap();
    assert!(ground.world.host.send(&request).unwrap_err().message.contains("made anew"));
    assert!(matches!(ground.world.host.probe(&request).unwrap(), Probe::CannotTell { .. }));
}

#[test]
fn an_apply_says_who_owns_what_it_may_not_set_and_takes_it_only_when_told_to() {
    let Some(ground) = Ground::start() else { return };
    prepared(&ground);
    let manifest = "apiVersion: v1\nkind: ConfigMap\nmetadata: { name: shared }\ndata: { host: theirs }\n";
    let file = ground.cluster.folder().join("shared.yaml");
    std::fs::write(&file, manifest).unwrap();
    let file = file.to_string_lossy().into_owned();
    ground.cluster.kubectl(&["apply", "--server-side", "--field-manager=gitops", "-f", &file]);
    let error =
        ground.world.ready("k8s.apply", config(&ground, "shared", json!({ "host": "ours" })), "m-1").unwrap_err();
    assert_eq!(error.class, ErrorClass::Refused);
    assert!(error.message.contains("data.host is owned by gitops"), "{error}");
    let mut forced = config(&ground, "shared", json!({ "host": "ours" }));
    forced["force"] = json!(true);
    let (request, result) = ground.send("k8s.apply", forced, "m-2");
    assert_eq!(result.unwrap()["changed"], json!(["data.host"]));
    let (undo, args) = ground.undo(&request, None);
    ground.world.write(undo, args, "m-undo").unwrap();
    assert_eq!(ground.cluster.object("configmap", "shared")["data"]["host"], "theirs");
}

#[test]
fn what_the_server_would_refuse_is_refused_before_anything_is_sent() {
    let Some(ground) = Ground::start() else { return };
    prepared(&ground);
    let mut wrong = deployment(&ground, 1);
    wrong["object"]["spec"]["template"]["spec"]["containers"][0]["image"] = json!("");
    let error = ground.world.ready("k8s.apply", wrong, "m-1").unwrap_err();
    assert!(error.class == ErrorClass::Refused && error.message.contains("image"), "{error:?}");
    let there = ground.world.ready("k8s.create", config(&ground, "settings", json!({})), "m-2").unwrap_err();
    assert!(there.message.contains("it is there already"), "{there}");
    let missing = named(&ground, "cm", "none", json!({ "patch": {} }));
    assert!(ground.world.ready("k8s.patch", missing, "m-3").unwrap_err().message.contains("no such object"));
    let kind = named(&ground, "nonsenses", "x", json!({}));
    assert!(ground.world.read("k8s.get", kind).unwrap_err().message.contains("has no kind nonsenses"));
    let uid = named(&ground, "cm", "settings", json!({ "uid": "another" }));
    assert!(ground.world.ready("k8s.delete", uid, "m-4").unwrap_err().message.contains("not the object that is meant"));
}

#[test]
fn reads_tell_what_is_there_in_pages_and_that_nothing_is() {
    let Some(ground) = Ground::in_memory() else { return };
    let none = ground.world.read("k8s.get", named(&ground, "cm", "none", json!({}))).unwrap();
    assert_eq!(none, json!({ "exists": false, "uid": "", "resource_version": "", "object": {} }));
    for count in 0..1203 {
        ground.cluster.put("configmaps", json!({ "apiVersion": "v1", "kind": "ConfigMap", "metadata": { "name": format!("c-{count:04}"), "labels": { "of": if count % 2 == 0 { "even" } else { "odd" } } } }));
    }
    let list = |labels: &str| {
        let mut args = json!({ "kind": "cm", "namespace": ground.cluster.namespace, "labels": labels });
        with(&ground, &mut args, json!({}));
        ground.world.read("k8s.list", args).unwrap()["objects"].as_array().unwrap().clone()
    };
    let (all, odd) = (list("of"), list("of=odd"));
    assert_eq!((all.len(), odd.len()), (1203, 601));
    assert_eq!((&all[1202]["metadata"]["name"], &all[0]["kind"]), (&json!("c-1202"), &json!("ConfigMap")));
    let mut ask = json!({ "verb": "delete", "kind": "deploy", "namespace": ground.cluster.namespace });
    with(&ground, &mut ask, json!({}));
    assert_eq!(ground.world.read("k8s.can_i", ask.clone()).unwrap()["allowed"], true);
    ground.cluster.forbid("delete", "deployments");
    assert_eq!(ground.world.read("k8s.can_i", ask).unwrap()["allowed"], false);
}

#[test]
fn what_a_secret_holds_is_given_to_no_script_and_no_journal() {
    let Some(ground) = Ground::start() else { return };
    std::fs::write(ground.cluster.folder().join("password"), "staple-and-battery").unwrap();
    let handle = json!({ "$secret": { "provider": "file", "path": ground.cluster.folder().join("password") } });
    let metadata = json!({ "name": "login", "namespace": ground.cluster.namespace });
    let object = |key: &str, value: Value| {
        let mut args = json!({ "object": { "apiVersion": "v1", "kind": "Secret", "metadata": metadata, "stringData": { key: value } } });
        with(&ground, &mut args, json!({}));
        args
    };
    let (first, made) = ground.send("k8s.apply", object("password", handle.clone()), "m-1");
    let held = ground.world.read("k8s.get", named(&ground, "secret", "login", json!({}))).unwrap();
    let (second, changed) = ground.send("k8s.apply", object("password", json!("another-horse")), "m-2");
    let print = ground.world.host.fingerprint(&second, changed.as_ref().unwrap()).unwrap();
    let told = format!("{:?} {:?} {made:?} {changed:?} {held} {print}", first.before, second.before);
    for secret in ["staple-and-battery", "another-horse", "c3RhcGxl", "YW5vdGhlci1ob3JzZQ"] {
        assert!(!told.contains(secret), "{told}");
    }
    let (undo, args) = ground.undo(&second, None);
    ground.world.write(undo, args, "m-undo").unwrap();
    // The handle that was read leads to what is there now.
    let resolved = ground.world.secrets.resolve(&held["object"]["data"]["password"]).unwrap();
    assert_eq!(resolved, "staple-and-battery");
}

#[test]
fn a_kind_that_is_defined_later_is_found() {
    let Some(ground) = Ground::start() else { return };
    let group = format!("{}.example", ground.cluster.namespace);
    let definition = json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition", "metadata": { "name": format!("things.{group}") },
        "spec": { "group": group, "scope": "Namespaced", "names": { "plural": "things", "singular": "thing", "kind": "Thing", "shortNames": ["th"] },
            "versions": [{ "name": "v1", "served": true, "storage": true, "schema": { "openAPIV3Schema": {
                "type": "object", "x-kubernetes-preserve-unknown-fields": true } } }] },
    });
    let mut args = json!({ "object": definition });
    with(&ground, &mut args, json!({}));
    ground.world.write("k8s.apply", args, "m-crd").unwrap();
    let crd = format!("things.{group}");
    let mut wait =
        json!({ "kind": "crd", "name": crd, "condition": "status.conditions[type=Established].status == 'True'" });
    with(&ground, &mut wait, json!({}));
    crate::live_world::until("it is established", || {
        matches!(ground.world.host.poll(&ground.world.request("k8s.wait", wait.clone(), "")), Ok(Polled::Ready(_)))
    });
    let metadata = json!({ "name": "it", "namespace": ground.cluster.namespace });
    let mut thing = json!({ "object": { "apiVersion": format!("{group}/v1"), "kind": "Thing", "metadata": metadata, "spec": { "n": 1 } } });
    with(&ground, &mut thing, json!({}));
    ground.world.write("k8s.create", thing, "m-thing").unwrap();
    for kind in ["th", "thing", "Things", &crd, &format!("{group}/v1/Thing")] {
        let found = ground.world.read("k8s.get", named(&ground, kind, "it", json!({}))).unwrap();
        assert_eq!(found["object"]["spec"]["n"], 1, "{kind}");
    }
    let mut gone = json!({ "kind": "crd", "name": crd });
    with(&ground, &mut gone, json!({}));
    ground.world.write("k8s.delete", gone, "m-gone").unwrap();
}

#[test]
fn a_job_is_followed_to_its_end_and_a_failed_one_is_quoted() {
    let Some(ground) = Ground::in_memory() else { return };
    let job = |name: &str| {
        let spec = json!({ "template": { "spec": { "restartPolicy": "Never", "containers": [{ "name": "a", "image": "x" }] } } });
        let metadata = json!({ "name": name, "namespace": ground.cluster.namespace });
        let mut args =
            json!({ "object": { "apiVersion": "batch/v1", "kind": "Job", "metadata": metadata, "spec": spec } });
        with(&ground, &mut args, json!({}));
        args
    };
    ground.cluster.pace(Pace::Never);
    let request = ground.world.ready("k8s.run_job", job("dump"), "m-run").unwrap();
    assert_eq!(ground.world.host.probe(&request).unwrap(), Probe::NotDone);
    assert_eq!(ground.world.host.send(&request).unwrap(), Sent::Running);
    // An answer that was lost: sent again, it is the same Job.
    assert_eq!(ground.world.host.send(&request).unwrap(), Sent::Running);
    let Probe::Running { progress } = ground.world.host.probe(&request).unwrap() else { panic!("not running") };
    assert_eq!(progress.as_deref(), Some("1 at work, 0 failed"));
    ground.cluster.pace(Pace::Ready);
    assert_eq!(ground.world.wait(&request).unwrap()["succeeded"], 1);
    ground.cluster.pace(Pace::Exceeded);
    let metadata = json!({ "name": "bad-abc", "labels": { "job-name": "bad" }, "annotations": { "test/log": "one\nno space left\n" } });
    ground.cluster.put("pods", json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata }));
    let (request, result) = ground.send("k8s.run_job", job("bad"), "m-bad");
    let error = result.unwrap_err();
    assert!(error.message.contains("DeadlineExceeded"), "{error:?}");
    assert!(error.detail.as_ref().is_some_and(|detail| detail.contains("no space left")), "{error:?}");
    let (undo, args) = ground.undo(&request, None);
    assert_eq!(ground.world.write(undo, args, "m-undo").unwrap(), json!({ "deleted": true }));
    let mut args = json!({ "pod": "bad-abc", "namespace": ground.cluster.namespace });
    with(&ground, &mut args, json!({}));
    assert_eq!(
        ground.world.read("k8s.logs", args.clone()).unwrap(),
        json!({ "exists": true, "text": "one\nno space left\n" })
    );
    args["pod"] = json!("none");
    assert_eq!(ground.world.read("k8s.logs", args).unwrap()["exists"], false);
}

#[test]
fn what_holds_an_object_back_is_waited_for_and_told() {
    let Some(ground) = Ground::in_memory() else { return };
    prepared(&ground);
    ground.cluster.kubectl(&[
        "patch",
        "cm",
        "settings",
        "--type=merge",
        "-p",
        r#"{"metadata":{"finalizers":["a.b/c"]}}"#,
    ]);
    let request = ground.world.ready("k8s.delete", named(&ground, "cm", "settings", json!({})), "m-del").unwrap();
    assert_eq!(ground.world.host.send(&request).unwrap(), Sent::Running);
    let Probe::Running { progress } = ground.world.host.probe(&request).unwrap() else { panic!("not running") };
    assert_eq!(progress.as_deref(), Some("held back by a.b/c"));
    ground.cluster.kubectl(&["patch", "cm", "settings", "--type=merge", "-p", r#"{"metadata":{"finalizers":null}}"#]);
    assert_eq!(ground.world.wait(&request).unwrap(), json!({ "deleted": true }));
}

#[test]
fn a_plan_is_exact_where_the_server_has_tried_it_and_goes_on_from_there() {
    let Some(ground) = Ground::start() else { return };
    prepared(&ground);
    let overlay = || {
        let secrets = Arc::new(Secrets::new([9; 32], Arc::clone(&ground.world.redactor)));
        Overlay::over(Arc::new(LiveReader::new(Arc::new(SystemClock), secrets, Arc::clone(&ground.world.children))))
    };
    let before = picture(&ground);
    for (op, args, _) in effects(&ground) {
        let seen = overlay().foresee(&ground.world.request(op, args, "m-plan"));
        assert_eq!((seen.basis, seen.why.as_str()), (Basis::Exact, ""), "{op} {seen:?}");
        assert_eq!(seen.changes.len(), 1, "{op} {seen:?}");
    }
    assert_eq!(picture(&ground), before, "nothing was touched");
    let overlay = overlay();
    let count = std::cell::Cell::new(0);
    let foresee = |op: &str, args: Value| {
        count.set(count.get() + 1);
        overlay.foresee(&ground.world.request(op, args, &format!("m-plan-{}", count.get())))
    };
    foresee("k8s.patch", named(&ground, "cm", "settings", json!({ "patch": { "data": { "host": "new-db" } } })));
    let seen = foresee("k8s.get", named(&ground, "v1/ConfigMap", "settings", json!({})));
    assert_eq!(seen.basis, Basis::Predicted);
    assert_eq!(seen.outcome.unwrap()["object"]["data"]["host"], "new-db");
    let seen = foresee("k8s.patch", named(&ground, "cm", "settings", json!({ "patch": { "data": { "host": "x" } } })));
    assert_eq!(seen.changes[0].before["data"], json!({ "host": "new-db" }), "{seen:?}");
    let wait = named(&ground, "cm", "settings", json!({ "condition": "data.host == 'y'" }));
    assert_eq!(foresee("k8s.wait", wait).basis, Basis::Unknown);
    foresee("k8s.delete", named(&ground, "cm", "settings", json!({})));
    assert_eq!(foresee("k8s.get", named(&ground, "cm", "settings", json!({}))).outcome.unwrap()["exists"], false);
    if ground.cluster.forbid("dryRun", "deployments") {
        let seen = foresee("k8s.label", named(&ground, "deploy", "web", json!({ "set": { "a": "b" } })));
        assert_eq!(seen.basis, Basis::Predicted);
        assert!(seen.why.contains("may not try it"), "{}", seen.why);
    }
}

/// The same cluster by a kubeconfig in which something is otherwise.
fn otherwise(ground: &Ground, name: &str, change: impl Fn(&mut Value)) -> Value {
    let mut config: Value = serde_json::from_slice(&std::fs::read(&ground.cluster.kubeconfig).unwrap()).unwrap();
    change(&mut config);
    let path = ground.cluster.folder().join(name);
    std::fs::write(&path, config.to_string()).unwrap();
    json!({ "kind": "ns", "name": "default", "cluster": { "kubeconfig": path, "context": "test" } })
}

#[test]
fn credentials_come_from_a_plugin_and_are_shown_nowhere() {
    let Some(ground) = Ground::in_memory() else { return };
    let plugin = |script: &str| json!({ "apiVersion": "client.authentication.k8s.io/v1", "interactiveMode": "Never", "command": "sh", "args": ["-c", script] });
    let token = r#"{"apiVersion":"client.authentication.k8s.io/v1","kind":"ExecCredential","status":{"token":"hush-hush-token"}}"#;
    let good = format!("echo '{token}'");
    let args = otherwise(&ground, "good", |config| config["users"][0]["user"] = json!({ "exec": plugin(&good) }));
    assert_eq!(ground.world.read("k8s.get", args).unwrap()["exists"], true);
    let bad = format!("echo '{token}'; echo 'session has expired' >&2; exit 3");
    let args = otherwise(&ground, "bad", |config| config["users"][0]["user"] = json!({ "exec": plugin(&bad) }));
    let error = ground.world.read("k8s.get", args).unwrap_err();
    assert_eq!(error.class, ErrorClass::Credentials, "{error:?}");
    assert!(error.message.contains("session has expired") && !format!("{error:?}").contains("hush"), "{error:?}");
    let args = otherwise(&ground, "none", |config| *config = json!({ "users": "hush-hush-token" }));
    let error = ground.world.read("k8s.get", args).unwrap_err();
    assert!(error.class == ErrorClass::Refused && !format!("{error:?}").contains("hush"), "{error:?}");
    let mut args = otherwise(&ground, "other", |_| {});
    args["cluster"]["context"] = json!("nowhere");
    assert!(ground.world.read("k8s.get", args).unwrap_err().message.contains("nowhere"));
    let args =
        otherwise(&ground, "away", |config| config["clusters"][0]["cluster"]["server"] = json!("http://127.0.0.1:9"));
    assert_eq!(ground.world.read("k8s.get", args).unwrap_err().class, ErrorClass::Transient);
}
