//! Releases: upgraded, killed half-way, rolled back, and found changed by others.

use serde_json::json;

use super::Stage;
use super::schema::assert_fits;
use crate::model::Value;
use crate::ops::host::{Probe, ReadHost, WriteHost};
use crate::ops::spec::Undo;
use crate::sandbox::{World, diff};

const WORLD: &str = r#"
charts:
  /srv/charts/shop:
    version: 1.2.3
    app_version: "9.1"
    values: { database: { host: old-db, port: 5432 }, replicas: 2 }
    objects:
      - { apiVersion: v1, kind: ConfigMap, metadata: { name: "{{ .Release.Name }}-settings" }, data: { host: "{{ .Values.database.host }}" } }
      - { apiVersion: apps/v1, kind: Deployment, metadata: { name: web }, spec: { replicas: "{{ .Values.replicas }}" } }
  repo/stuck: { version: 2.0.0, stuck: true, objects: [{ kind: Deployment, metadata: { name: web } }] }
releases:
  shop/web: { chart: /srv/charts/shop, values: { database: { host: old-db } }, revision: 3 }
"#;

fn stage() -> Stage {
    Stage::of(World::load(WORLD).unwrap())
}

fn upgrade(host: &str) -> Value {
    json!({ "release": "shop/web", "chart": "/srv/charts/shop", "base": "reuse", "set": { "database.host": host } })
}

fn named() -> Value {
    json!({ "release": "shop/web" })
}

#[test]
fn an_upgrade_renders_the_chart_and_its_undo_restores_what_was_there() {
    let stage = stage();
    let first = stage.world.lock().clone();
    let request = stage.intended("helm.upgrade", upgrade("new-db"), "m-up").unwrap();
    assert_eq!(request.before["changes"][1]["after"], json!({ "data.host": "new-db" }), "{}", request.before);
    stage.host().send(&request).unwrap();
    let result = stage.follow(&stage.host(), &request).unwrap();
    assert_fits("helm.upgrade", &result);
    assert_eq!((&result["revision"], &result["previous"]), (&json!(4), &json!(3)));
    for op in ["helm.release", "helm.values", "helm.history", "helm.manifest"] {
        assert_fits(op, &stage.read(op, named()).unwrap());
    }
    assert_fits("helm.template", &stage.read("helm.template", upgrade("x")).unwrap());
    assert_eq!(stage.read("helm.manifest", named()).unwrap()["objects"][0]["data"]["host"], "new-db");
    let (rolled, polls) = stage.wait("helm.wait_rolled_out", named()).unwrap();
    assert_fits("helm.wait_rolled_out", &rolled);
    assert!(polls > 1 && rolled["workloads"] == json!(["Deployment/shop/web"]), "{rolled}");
    let Undo::Call { op, args } = stage.undo_of(&request, Some(&result)) else { panic!("no undo") };
    let undone = stage.perform(op, args, "m-undo").unwrap();
    assert_fits("helm.rollback", &undone);
    assert_eq!(diff(&first, &stage.world.lock()), Vec::<String>::new());
}

#[test]
fn a_kill_leaves_a_pending_revision_that_is_rolled_back_and_stands_in_nobodys_way() {
    let stage = stage();
    let first = stage.world.lock().clone();
    let request = stage.intended("helm.upgrade", upgrade("new-db"), "m-up").unwrap();
    let host = stage.host().on_send(Box::new(|_, moment| match moment {
        crate::sandbox::Moment::Before => crate::sandbox::Action::Half { stop: true },
        crate::sandbox::Moment::After => crate::sandbox::Action::Go,
    }));
    host.send(&request).unwrap_err();
    assert!(matches!(stage.host().probe(&request).unwrap(), Probe::Partial { .. }));
    assert!(stage.before("helm.upgrade", upgrade("y")).unwrap_err().message.contains("killed in the middle"));
    let Undo::Call { op, args } = stage.undo_of(&request, None) else { panic!("no undo") };
    stage.perform(op, args, "m-undo").unwrap();
    assert_eq!(diff(&first, &stage.world.lock()), Vec::<String>::new());
    assert_eq!(stage.perform("helm.upgrade", upgrade("new-db"), "m-up-2").unwrap()["revision"], 6);
}

#[test]
fn another_ones_revision_is_never_overwritten() {
    let stage = stage();
    let request = stage.intended("helm.upgrade", upgrade("ours"), "m-up").unwrap();
    stage.host().send(&request).unwrap();
    let result = stage.follow(&stage.host(), &request).unwrap();
    stage.perform("helm.upgrade", upgrade("theirs"), "m-theirs").unwrap();
    let Undo::Call { op, args } = stage.undo_of(&request, Some(&result)) else { panic!("no undo") };
    assert!(stage.before(op, args).unwrap_err().message.contains("somebody else has made revision 5"));
}

#[test]
fn what_was_installed_is_uninstalled_and_a_stuck_chart_never_rolls_out() {
    let stage = stage();
    let args = json!({
        "release": "shop/new", "chart": "repo/stuck", "version": "2.0.0", "base": "reset", "install": true,
    });
    let request = stage.intended("helm.upgrade", args, "m-up").unwrap();
    stage.host().send(&request).unwrap();
    let result = stage.follow(&stage.host(), &request).unwrap();
    let error = stage.wait("helm.wait_rolled_out", json!({ "release": "shop/new" })).unwrap_err();
    assert!(error.message.contains("no progress"), "{error}");
    let Undo::Call { op, args } = stage.undo_of(&request, Some(&result)) else { panic!("no undo") };
    assert_eq!(op, "helm.uninstall");
    assert_eq!(stage.perform(op, args, "m-undo").unwrap(), json!({ "removed": true }));
    assert_eq!(stage.read("helm.release", json!({ "release": "shop/new" })).unwrap()["exists"], false);
}

const CLUSTERED: &str = r#"
files:
  /srv/values.yaml: "replicas: 2\n"
charts:
  /charts/web:
    version: 1.0.0
    values: { replicas: 1 }
    objects:
      - { apiVersion: apps/v1, kind: Deployment, metadata: { name: web }, spec: { replicas: "{{ .Values.replicas }}", selector: { matchLabels: { app: web } }, template: { metadata: { labels: { app: web } }, spec: { containers: [{ name: web, image: "web:1" }] } } } }
kubernetes:
  objects:
    - { apiVersion: v1, kind: Namespace, metadata: { name: shop } }
"#;

#[test]
fn a_release_makes_its_objects_on_a_cluster_that_the_world_knows_by_the_values_in_files() {
    let stage = Stage::of(World::load(CLUSTERED).unwrap());
    let release = json!({
        "release": "shop/web", "chart": "/charts/web", "base": "reset", "install": true, "values_files": ["/srv/values.yaml"],
    });
    stage.perform("helm.upgrade", release, "m-1").unwrap();
    let find = || {
        let args = json!({ "kind": "deployment", "name": "web", "namespace": "shop" });
        stage.read("k8s.get", args).unwrap()
    };
    assert_eq!(find()["object"]["spec"]["replicas"], 2);
    stage.pass(10);
    assert_eq!(find()["object"]["status"]["readyReplicas"], 2);
    stage.perform("helm.uninstall", json!({ "release": "shop/web" }), "m-2").unwrap();
    assert_eq!(find()["exists"], false);
}
