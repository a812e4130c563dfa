//! Programs in Pods.

use std::os::unix::fs::PermissionsExt;
use std::sync::atomic::{AtomicU32, Ordering};

use muster::model::Value;
use muster::model::forecast::Basis;
use muster::ops::foresight::PlanHost;
use muster::ops::{ErrorClass, Probe, ReadHost, Sent, WriteHost};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use crate::ground::Ground;
use crate::kube::LOST;
use crate::objects::with;

/// A Pod in which programs run.
fn talker(ground: &Ground) {
    let metadata = json!({ "name": "talker" });
    let spec = json!({ "containers": [{ "name": "database", "image": "x" }] });
    let pod = json!({ "apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": spec, "status": { "phase": "Running" } });
    ground.cluster.put("pods", pod);
    ground.cluster.inside(|program| {
        let said = String::from_utf8_lossy(&program.stdin).into_owned();
        match program.argv.iter().map(String::as_str).collect::<Vec<_>>()[..] {
            ["cat"] => Some((0, said, String::new())),
            ["where"] => Some((0, format!("{}\n", program.container), String::new())),
            ["fail", code] => Some((code.parse().unwrap(), "half".to_owned(), "it hurts".to_owned())),
            ["vanish"] => Some((LOST, "half".to_owned(), String::new())),
            _ => None,
        }
    });
}

fn asked(ground: &Ground, pod: &str, argv: &[&str], more: Value) -> Value {
    let mut args = json!({ "pod": pod, "namespace": ground.cluster.namespace, "argv": argv });
    with(ground, &mut args, more);
    args
}

#[test]
fn a_program_in_a_pod_is_asked_and_its_exit_code_believed() {
    let Some(ground) = Ground::in_memory() else { return };
    talker(&ground);
    let read = |argv: &[&str], more: Value| ground.world.read("k8s.read", asked(&ground, "talker", argv, more));
    assert_eq!(read(&["where"], json!({})).unwrap(), json!({ "code": 0, "stdout": "database\n", "stderr": "" }));
    assert_eq!(read(&["where"], json!({ "container": "sidecar" })).unwrap()["stdout"], "sidecar\n");
    let long = "0123456789\n".repeat(5_000);
    assert_eq!(read(&["cat"], json!({ "stdin": long })).unwrap()["stdout"], json!(long));
    let error = read(&["fail", "3"], json!({})).unwrap_err();
    assert_eq!((error.class, error.detail.as_deref()), (ErrorClass::Failed, Some("it hurts")));
    assert!(error.message.ends_with("it ended with exit code 3"), "{error}");
    let any = read(&["fail", "3"], json!({ "any_exit": true })).unwrap();
    assert_eq!(any, json!({ "code": 3, "stdout": "half", "stderr": "it hurts" }));
    // That there is no such program is no exit code, whatever is taken for an answer.
    let error = read(&["cowsay"], json!({ "any_exit": true })).unwrap_err();
    assert!(error.message.contains("executable file not found"), "{error}");
    let gone = ground.world.read("k8s.read", asked(&ground, "nobody", &["where"], json!({}))).unwrap_err();
    assert_eq!(gone.class, ErrorClass::Refused);
    assert!(gone.message.contains("not found"), "{gone}");
    assert_eq!(ground.cluster.kubectl(&["exec", "talker", "--", "where"]), "database\n");
    let piped = ground.cluster.run("kubectl", &["exec", "talker", "--", "fail", "4"]);
    assert_eq!(piped.status.code(), Some(4));
}

#[test]
fn half_of_what_a_program_prints_is_no_answer() {
    let Some(ground) = Ground::in_memory() else { return };
    talker(&ground);
    let error = ground.world.read("k8s.read", asked(&ground, "talker", &["vanish"], json!({}))).unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient);
    assert!(error.message.contains("before it ended"), "{error}");
}

#[test]
fn a_program_whose_end_nobody_knows_is_in_doubt_unless_it_may_run_again() {
    let Some(ground) = Ground::in_memory() else { return };
    talker(&ground);
    let exec = |argv: &[&str], more: Value, key: &str| {
        let args = asked(&ground, "talker", argv, more);
        ground.world.ready("k8s.exec", args, key).map(|request| (ground.world.host.send(&request), request))
    };
    let (sent, _) = exec(&["where"], json!({}), "m-1").unwrap();
    assert!(sent.is_ok());
    let (sent, request) = exec(&["vanish"], json!({}), "m-2").unwrap();
    assert_eq!(sent.unwrap_err().class, ErrorClass::Unknown);
    assert!(matches!(ground.world.host.probe(&request).unwrap(), Probe::CannotTell { .. }));
    let (_, request) = exec(&["vanish"], json!({ "repeatable": true }), "m-3").unwrap();
    assert!(matches!(ground.world.host.probe(&request).unwrap(), Probe::NotDone));
    // A Pod that was made anew is another one.
    let request = ground.world.ready("k8s.exec", asked(&ground, "talker", &["where"], json!({})), "m-4").unwrap();
    ground.cluster.kubectl(&["delete", "pod", "talker"]);
    talker(&ground);
    assert!(ground.world.host.send(&request).unwrap_err().message.contains("made anew"));
    let error = ground.world.ready("k8s.exec", asked(&ground, "nobody", &["where"], json!({})), "m-5").unwrap_err();
    assert_eq!(error.class, ErrorClass::Refused);
}

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// A Pod whose program prints more than a connection holds at once, and one whose connection breaks in the middle of it.
fn dumper(ground: &Ground) -> String {
    talker(ground);
    let dump = "0123456789abcdef\n".repeat(40_000);
    let (all, tries) = (dump.clone(), AtomicU32::new(0));
    ground.cluster.inside(move |program| match program.argv.iter().map(String::as_str).collect::<Vec<_>>()[..] {
        ["dump"] => Some((0, all.clone(), "done\n".to_owned())),
        ["breaks"] => Some((LOST, all.clone(), String::new())),
        ["breaks", "once"] => {
            let again = tries.fetch_add(1, Ordering::SeqCst) > 0;
            Some((if again { 0 } else { LOST }, all.clone(), String::new()))
        }
        ["fails"] => Some((1, all.clone(), "out of memory".to_owned())),
        ["load"] => Some((0, program.stdin.len().to_string(), String::new())),
        _ => None,
    });
    dump
}

fn kept(ground: &Ground, argv: &[&str], name: &str) -> Value {
    asked(ground, "talker", argv, json!({ "to": ground.cluster.folder().join(name) }))
}

fn names(ground: &Ground) -> Vec<String> {
    let all = std::fs::read_dir(ground.cluster.folder()).unwrap();
    let all = all.map(|entry| entry.unwrap().file_name().to_string_lossy().into_owned());
    all.filter(|name| name.contains("dump")).collect()
}

#[test]
fn what_a_program_prints_is_kept_whole_and_can_be_taken_away_again() {
    let Some(ground) = Ground::in_memory() else { return };
    let dump = dumper(&ground);
    let (request, result) = ground.send("k8s.read_to_file", kept(&ground, &["dump"], "a.dump"), "m-1");
    let result = result.unwrap();
    let path = ground.cluster.folder().join("a.dump");
    assert_eq!(std::fs::read_to_string(&path).unwrap(), dump);
    assert_eq!(path.metadata().unwrap().permissions().mode() & 0o777, 0o600);
    let sum = hex(&Sha256::digest(dump.as_bytes()));
    assert_eq!(result, json!({ "path": path, "bytes": dump.len(), "sha256": sum }));
    // Who was killed before the outcome was durable finds it done, and does not ask again.
    let Probe::Done { result: found } = ground.world.host.probe(&request).unwrap() else { panic!("it is there") };
    assert_eq!(found, result);
    let taken = ground.world.ready("k8s.read_to_file", kept(&ground, &["dump"], "a.dump"), "m-2").unwrap_err();
    assert!(taken.message.contains("it exists already"), "{taken}");
    let (undo, args) = ground.undo(&request, Some(&result));
    ground.world.write(undo, args, "m-1-undo").unwrap();
    assert_eq!(names(&ground), Vec::<String>::new());
    assert!(matches!(ground.world.host.probe(&request).unwrap(), Probe::NotDone));
}

#[test]
fn a_connection_that_breaks_in_the_middle_leaves_nothing_that_looks_like_a_dump() {
    let Some(ground) = Ground::in_memory() else { return };
    let dump = dumper(&ground);
    let (request, result) = ground.send("k8s.read_to_file", kept(&ground, &["breaks"], "a.dump"), "m-1");
    let error = result.unwrap_err();
    assert_eq!(error.class, ErrorClass::Transient, "{error}");
    assert!(error.message.contains("before it ended"), "{error}");
    assert_eq!(names(&ground), Vec::<String>::new());
    assert!(matches!(ground.world.host.probe(&request).unwrap(), Probe::NotDone));
    let (_, result) = ground.send("k8s.read_to_file", kept(&ground, &["fails"], "a.dump"), "m-2");
    let error = result.unwrap_err();
    assert_eq!((error.class, error.detail.as_deref()), (ErrorClass::Failed, Some("out of memory")));
    assert_eq!(names(&ground), Vec::<String>::new());
    // It only reads, so that the same call is sent again.
    let (request, result) = ground.send("k8s.read_to_file", kept(&ground, &["breaks", "once"], "a.dump"), "m-3");
    assert!(result.is_err());
    let Sent::Done(result) = ground.world.host.send(&request).unwrap() else { panic!("it ends at once") };
    assert_eq!(result["bytes"], json!(dump.len()));
    assert_eq!(std::fs::read_to_string(ground.cluster.folder().join("a.dump")).unwrap(), dump);
}

#[test]
fn a_program_reads_a_file_of_this_host() {
    let Some(ground) = Ground::in_memory() else { return };
    dumper(&ground);
    let path = ground.cluster.folder().join("in.dump");
    std::fs::write(&path, vec![7; 700_001]).unwrap();
    let load = |more: Value, key: &str| {
        let args = asked(&ground, "talker", &["load"], more);
        ground.world.ready("k8s.exec", args, key).map(|request| ground.world.host.send(&request).unwrap())
    };
    let Sent::Done(result) = load(json!({ "stdin_file": path }), "m-1").unwrap() else { panic!("it ends at once") };
    assert_eq!(result["stdout"], "700001");
    let error = load(json!({ "stdin_file": path, "stdin": "x" }), "m-2").unwrap_err();
    assert!(error.message.contains("not both"), "{error}");
    let error = load(json!({ "stdin_file": path.with_extension("none") }), "m-3").unwrap_err();
    assert!(error.message.contains("there is no such file"), "{error}");
}

#[test]
fn a_pod_is_there_in_a_plan_after_a_program_has_run_in_it() {
    let Some(ground) = Ground::in_memory() else { return };
    talker(&ground);
    let overlay = crate::plans::overlay(&ground);
    for key in ["m-1", "m-2"] {
        let request = ground.world.request("k8s.exec", asked(&ground, "talker", &["where"], json!({})), key);
        let seen = overlay.foresee(&request);
        assert!(seen.outcome.is_ok() && seen.basis == Basis::Opaque, "{seen:?}");
    }
    let request = ground.world.request("k8s.exec", asked(&ground, "nobody", &["where"], json!({})), "m-3");
    let nobody = overlay.foresee(&request).outcome.unwrap_err();
    assert!(nobody.message.contains("there is no such Pod"), "{nobody}");
}
