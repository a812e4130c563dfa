//! The operator of PostgreSQL over the wire: what `k8s.*` asks of it, and what it comes to.

use std::time::{Duration, Instant};

use muster::model::Value;
use muster::ops::Polled;
use muster::ops::ReadHost;
use serde_json::json;

use crate::ground::Ground;
use crate::kube::Operator;
use crate::objects::with;

const L: &str = "postgres-operator.crunchydata.com";

const WORLD: &str = r"
kubernetes:
  pgo:
    clusters:
      default/hippo:
        databases: { hippo: { orders: [{ rows: 1000 }, { ago: 4h, rows: 1200 }, { ago: 1h }] } }
        backups: [{ ago: 5h }]
";

fn cluster(ground: &Ground, name: &str, more: Value) -> Value {
    let mut args = json!({ "kind": "postgrescluster", "name": name, "namespace": ground.cluster.namespace });
    with(ground, &mut args, more);
    args
}

/// Waits for a condition: its object.
fn wait(ground: &Ground, name: &str, condition: &str) -> Value {
    let fails = "status.conditions[type=PostgresDataInitialized].status == 'False'";
    let args = cluster(ground, name, json!({ "condition": condition, "fails": fails }));
    let request = ground.world.request("k8s.wait", args, "");
    let until = Instant::now() + Duration::from_secs(60);
    loop {
        match ground.world.host.poll(&request).unwrap() {
            Polled::Ready(found) => return found["object"].clone(),
            Polled::Pending { progress, .. } => assert!(Instant::now() < until, "{condition}: {progress:?}"),
        }
        std::thread::sleep(Duration::from_millis(50));
    }
}

fn count(ground: &Ground, name: &str) -> Value {
    let labels = format!("{L}/cluster={name},{L}/role=master");
    let mut args = json!({ "kind": "pod", "namespace": ground.cluster.namespace, "labels": labels });
    with(ground, &mut args, json!({}));
    let pods = ground.world.read("k8s.list", args).unwrap();
    let argv = ["psql", "-qAt", "-d", "hippo", "-c", "SELECT count(*) FROM orders"];
    let mut args =
        json!({ "pod": pods["objects"][0]["metadata"]["name"], "namespace": ground.cluster.namespace, "argv": argv });
    with(ground, &mut args, json!({ "container": "database", "any_exit": true }));
    ground.world.read("k8s.read", args).unwrap()["stdout"].clone()
}

#[test]
fn the_operator_clones_and_restores_for_whoever_asks_over_the_wire() {
    let Some(ground) = Ground::in_memory() else { return };
    let Some(operator) = Operator::start(&ground.cluster, WORLD, 200) else { return };
    let at = operator.now() - Duration::from_secs(7_200);
    let options = json!(["--type=time", format!("--target='{}'", at.strftime("%Y-%m-%d %H:%M:%S+00"))]);
    assert_eq!(count(&ground, "hippo"), "", "it was dropped an hour ago");
    // Served in both versions, the newer one preferred.
    let found = ground.cluster.kubectl(&["get", "postgresclusters", "hippo", "-o", "jsonpath={.apiVersion}"]);
    assert_eq!(found, format!("{L}/v1"));
    let claim = json!({ "accessModes": ["ReadWriteOnce"], "resources": { "requests": { "storage": "1Gi" } } });
    let spec = json!({
        "dataSource": { "postgresCluster": { "clusterName": "hippo", "repoName": "repo1", "options": options } },
        "postgresVersion": 14, "instances": [{ "dataVolumeClaimSpec": claim }],
        "backups": { "pgbackrest": { "repos": [{ "name": "repo1", "volume": { "volumeClaimSpec": claim } }] } },
    });
    let metadata = json!({ "name": "elephant", "namespace": ground.cluster.namespace });
    let object =
        json!({ "apiVersion": format!("{L}/v1beta1"), "kind": "PostgresCluster", "metadata": metadata, "spec": spec });
    let mut args = json!({ "object": object });
    with(&ground, &mut args, json!({}));
    let (made, created) = ground.send("k8s.create", args, "m-clone");
    let done = "status.pgbackrest.restore.succeeded == 1 && status.observedGeneration == metadata.generation && status.instances[name='00'].readyReplicas == 1";
    let elephant = wait(&ground, "elephant", done);
    assert_eq!(elephant["status"]["pgbackrest"]["restore"]["id"], "~pgo-bootstrap-elephant");
    assert_eq!(elephant["status"]["patroni"], ground.cluster.object("postgrescluster", "hippo")["status"]["patroni"]);
    assert_eq!(count(&ground, "elephant"), "1200\n");
    assert_eq!(count(&ground, "hippo"), "", "its source is what it was");
    let patch = json!({
        "metadata": { "annotations": { format!("{L}/pgbackrest-restore"): "id1" } },
        "spec": { "backups": { "pgbackrest": { "restore": { "enabled": true, "repoName": "repo1", "options": options } } } },
    });
    ground.world.write("k8s.patch", cluster(&ground, "hippo", json!({ "patch": patch })), "m-restore").unwrap();
    let hippo = wait(&ground, "hippo", &format!("status.pgbackrest.restore.id == 'id1' && {done}"));
    assert_eq!(hippo["metadata"]["annotations"]["muster.dr/call"], "m-restore", "controllers leave marks alone");
    assert_eq!(count(&ground, "hippo"), "1200\n");
    let off = json!({ "patch": { "spec": { "backups": { "pgbackrest": { "restore": { "enabled": false } } } } } });
    ground.world.write("k8s.patch", cluster(&ground, "hippo", off), "m-off").unwrap();
    wait(&ground, "hippo", "status.observedGeneration == metadata.generation && status.pgbackrest.restore.id == 'id1'");
    // The clone goes with all that it has.
    let (undo, args) = ground.undo(&made, Some(&created.unwrap()));
    ground.world.write(undo, args, "m-undo").unwrap();
    let gone =
        || ground.cluster.kubectl(&["get", "pods,pvc,sts,jobs", "-l", &format!("{L}/cluster=elephant"), "-o", "name"]);
    let until = Instant::now() + Duration::from_secs(20);
    while !gone().is_empty() {
        assert!(Instant::now() < until, "{}", gone());
        std::thread::sleep(Duration::from_millis(50));
    }
    assert_eq!(operator.clusters().pgo.unwrap().data.len(), 1);
}
