//! What answers at an address hangs on what stands behind it: once a plan has changed that, an answer of now is none of then.

use super::*;
use crate::model::forecast::Basis;
use crate::ops::foresight::PlanHost;
use crate::ops::spec::unknown;
use crate::sandbox::host::SandboxReader;
use crate::sandbox::overlay::Overlay;

const WORLD: &str = r#"
charts:
  /srv/charts/shop: { version: 1.2.3, values: { host: old }, objects: [{ apiVersion: apps/v1, kind: Deployment, metadata: { name: web } }] }
releases:
  shop/web: { chart: /srv/charts/shop, values: { host: old }, revision: 3 }
aws:
  rds:
    instances:
      shop: { engine: postgres, engine_version: "14.6", username: shop }
      other: { engine: postgres, engine_version: "14.6", username: shop }
  ecs:
    services: { prod/web: { desired: 2, task_definition: "web:7" } }
    task_definitions: { "web:7": { containers: [{ name: web, image: "x:1" }] } }
postgres:
  shop.c0ffee.eu-west-1.rds.amazonaws.com: { version: "14.6", roles: [shop], databases: { shop: {} } }
  other.c0ffee.eu-west-1.rds.amazonaws.com: { version: "14.6", roles: [shop], databases: { shop: {} } }
  db.example.com: { version: "14.6", roles: [shop], databases: { shop: {} } }
  localhost: { version: "14.6", roles: [shop], databases: { shop: {} } }
http:
  https://shop.example.com/health: { body: ok }
"#;

/// Stands for a database that only the run will name.
const UNNAMED: &str = "unnamed";

/// How sure a plan is of a call's answer after an effect: in the sandbox, and over a live system that is the same world.
fn bases(effect: Option<(&str, Value)>, op: &str, args: Value) -> (Basis, Basis) {
    let stage = Stage::of(World::load(WORLD).unwrap());
    let world = stage.world.lock().clone();
    let live = SandboxReader::new(Arc::new(Mutex::new(world.clone())), stage.clock.clone(), Arc::default());
    let basis = |overlay: Overlay| {
        if let Some((op, args)) = &effect {
            let mut request = stage.request(op, args.clone(), "m-1");
            let is_open = args["id"] == UNNAMED;
            if is_open {
                request.args["id"] = unknown("the run names it");
            }
            let foreseen = overlay.foresee(&request);
            let done = matches!(foreseen.basis, Basis::Exact | Basis::Predicted);
            assert_eq!(done, !is_open, "{op}: {foreseen:?}");
        }
        let foreseen = overlay.foresee(&stage.request(op, args.clone(), ""));
        assert!(foreseen.outcome.is_ok(), "{op}: {foreseen:?}");
        foreseen.basis
    };
    (basis(Overlay::over_world(world)), basis(Overlay::over(Arc::new(live))))
}

const SURE: (Basis, Basis) = (Basis::Exact, Basis::Exact);
const GUESSED: (Basis, Basis) = (Basis::Predicted, Basis::Unknown);

fn renamed() -> (&'static str, Value) {
    ("rds.rename", json!({ "id": "shop", "to": "shop-old" }))
}

#[test]
fn a_service_that_is_well_now_is_not_thereby_well_after_what_it_runs_on_was_changed() {
    let effects = [
        (
            "helm.upgrade",
            json!({ "release": "shop/web", "chart": "/srv/charts/shop", "base": "reuse", "set": { "host": "new" } }),
        ),
        ("ecs.scale", json!({ "cluster": "prod", "service": "web", "desired": 0 })),
        renamed(),
    ];
    for op in ["http.get", "http.wait_ok"] {
        let args = json!({ "url": "https://shop.example.com/health" });
        assert_eq!(bases(None, op, args.clone()), SURE, "{op}");
        for effect in effects.clone() {
            assert_eq!(bases(Some(effect.clone()), op, args.clone()), GUESSED, "{op} after {}", effect.0);
        }
    }
}

#[test]
fn behind_the_address_of_a_database_that_was_changed_may_be_another() {
    let at = |host: &str| json!({ "server": { "host": host, "user": "shop" }, "database": "shop" });
    for (host, expected) in [
        ("shop.c0ffee.eu-west-1.rds.amazonaws.com", GUESSED),
        ("db.example.com", GUESSED),
        ("other.c0ffee.eu-west-1.rds.amazonaws.com", SURE),
        ("localhost", SURE),
    ] {
        assert_eq!(bases(None, "pg.wait_ready", at(host)), SURE, "{host}");
        assert_eq!(bases(Some(renamed()), "pg.wait_ready", at(host)), expected, "{host}");
        let server = json!({ "server": { "host": host, "user": "shop" } });
        assert_eq!(bases(Some(renamed()), "pg.databases", server), expected, "{host}");
    }
}

#[test]
fn behind_any_address_may_be_a_database_that_only_the_run_will_name() {
    let effect = || Some(("rds.rename", json!({ "id": UNNAMED, "to": "shop-old" })));
    let at =
        json!({ "server": { "host": "other.c0ffee.eu-west-1.rds.amazonaws.com", "user": "shop" }, "database": "shop" });
    assert_eq!(bases(effect(), "pg.wait_ready", at), (Basis::Unknown, Basis::Unknown));
}
