//! What is read of a release, and waiting for its rollout.

use muster::ops::{ErrorClass, Polled, ReadHost};
use serde_json::json;

use crate::ground::Ground;
use crate::kube::Pace;

#[test]
fn a_release_tells_how_it_stands_and_one_that_is_not_there_is_no_error() {
    let Some(ground) = Ground::start() else { return };
    let read = |op: &str, more| ground.world.read(op, ground.args("web", more));
    assert_eq!(read("helm.release", json!({})).unwrap()["exists"], false);
    assert_eq!(read("helm.history", json!({})).unwrap(), json!({ "revisions": [] }));
    assert_eq!(read("helm.values", json!({})).unwrap_err().class, ErrorClass::Refused);
    ground.install("web", "old-db");
    let found = read("helm.release", json!({})).unwrap();
    assert_eq!(
        (&found["revision"], &found["status"], &found["chart"]),
        (&json!(1), &json!("deployed"), &json!("shop"))
    );
    assert_eq!((&found["chart_version"], &found["app_version"]), (&json!("1.2.3"), &json!("9.1")));
    let history = read("helm.history", json!({})).unwrap();
    assert_eq!(history["revisions"][0]["description"], "muster m-web-install");
}

#[test]
fn secrets_among_values_and_objects_are_handles_or_hidden() {
    let Some(ground) = Ground::start() else { return };
    ground.install("web", "old-db");
    let read = |op: &str, more| ground.world.read(op, ground.args("web", more)).unwrap();
    let supplied = read("helm.values", json!({}));
    assert_eq!(supplied["values"]["database"]["host"], "old-db");
    assert_eq!(supplied["values"]["database"]["password"]["$secret"]["provider"], "sealed");
    assert!(supplied["values"].get("replicas").is_none(), "only what was supplied");
    assert_eq!(read("helm.values", json!({ "computed": true }))["values"]["replicas"], 0);
    let hosts = read("helm.values", json!({ "secret": ["*.host"] }));
    assert!(hosts["values"]["database"]["host"]["$secret"].is_object(), "{hosts}");
    let objects = read("helm.manifest", json!({}));
    assert_eq!(objects["objects"].as_array().unwrap().len(), 3);
    assert!(!objects.to_string().contains("horse"), "{objects}");
    // A handle that was read is taken as a value, and nothing has changed then.
    let values = supplied["values"].clone();
    let again = ground.args("web", json!({ "chart": ground.chart, "base": "reset", "values": values }));
    let rendered = ground.world.read("helm.template", again).unwrap();
    assert_eq!((&rendered["changes"], &rendered["validated"]), (&json!([]), &json!(true)), "{rendered}");
}

#[test]
fn a_rollout_is_waited_for_until_its_controller_says_so_and_a_stuck_one_is_an_error() {
    let Some(ground) = Ground::in_memory() else { return };
    ground.install("web", "old-db");
    let poll =
        || ground.world.host.poll(&ground.world.request("helm.wait_rolled_out", ground.args("web", json!({})), ""));
    let Polled::Ready(found) = poll().unwrap() else { panic!("not ready") };
    assert_eq!(found["workloads"], json!(["Deployment/default/web-web"]));
    ground.cluster.pace(Pace::Never);
    ground.world.write("helm.upgrade", ground.setting("web", json!({ "replicas": 2 })), "m-up").unwrap();
    let Polled::Pending { progress, .. } = poll().unwrap() else { panic!("ready") };
    assert_eq!(progress.unwrap(), "deployment web-web: 2 of 2 updated, 0 ready");
    ground.cluster.pace(Pace::Exceeded);
    assert!(poll().unwrap_err().message.contains("no progress within its deadline"));
    ground.cluster.pace(Pace::Ready);
    assert!(matches!(poll().unwrap(), Polled::Ready(_)));
}

#[test]
fn the_target_of_a_run_is_the_cluster_itself() {
    let Some(ground) = Ground::start() else { return };
    let request = ground.world.request("helm.release", ground.args("web", json!({})), "");
    let target = ground.world.host.target(&request).unwrap().unwrap();
    let uid = ground.cluster.object("namespace", "kube-system")["metadata"]["uid"].as_str().unwrap().to_owned();
    assert_eq!(target.identity, format!("kube-system {uid}"));
    let mut elsewhere = ground.args("web", json!({}));
    elsewhere["cluster"]["context"] = json!("no-such-context");
    let error = ground.world.host.target(&ground.world.request("helm.release", elsewhere, "")).unwrap_err();
    assert_eq!(error.class, ErrorClass::Refused, "{error:?}");
}
