//! What a plan shows of an upgrade, and how sure it is.

use std::sync::Arc;

use muster::clock::SystemClock;
use muster::model::forecast::Basis;
use muster::model::unknown::Unknown;
use muster::ops::foresight::{Foreseen, PlanHost};
use muster::ops::live::LiveReader;
use muster::ops::secrets::Secrets;
use muster::sandbox::Overlay;
use serde_json::json;

use crate::ground::Ground;

fn foresee(ground: &Ground, overlay: &Overlay, op: &str, more: serde_json::Value) -> Foreseen {
    overlay.foresee(&ground.world.request(op, ground.args("web", more), "m-plan"))
}

/// A plan over this cluster.
pub fn overlay(ground: &Ground) -> Overlay {
    let secrets = Arc::new(Secrets::new([9; 32], Arc::clone(&ground.world.redactor)));
    let reader = LiveReader::new(Arc::new(SystemClock), secrets, Arc::clone(&ground.world.children));
    Overlay::over(Arc::new(reader))
}

fn upgrade(ground: &Ground) -> serde_json::Value {
    json!({ "chart": ground.chart, "base": "reuse", "set": { "database.host": "new-db", "database.password": "another-horse" } })
}

#[test]
fn a_plan_shows_what_changes_and_is_exact_when_the_server_has_tried_it() {
    let Some(ground) = Ground::start() else { return };
    ground.install("web", "old-db");
    let overlay = overlay(&ground);
    let seen = foresee(&ground, &overlay, "helm.upgrade", upgrade(&ground));
    assert_eq!((seen.basis, seen.why.as_str()), (Basis::Exact, ""));
    assert_eq!(seen.outcome.as_ref().unwrap()["revision"], 2);
    let of = |ending: &str| {
        seen.changes
            .iter()
            .find(|change| change.resource.ends_with(ending))
            .unwrap_or_else(|| panic!("{ending}: {seen:?}"))
    };
    assert_eq!(of("/values").after["database.host"], "new-db");
    assert_eq!(of("/web-web").before, json!({ "spec.template.spec.containers[web].env[DB_HOST].value": "old-db" }));
    assert_eq!(of("/web-web").after, json!({ "spec.template.spec.containers[web].env[DB_HOST].value": "new-db" }));
    assert!(of("/web-database").after.to_string().contains("another one"));
    let text = format!("{seen:?}");
    assert!(!text.contains("horse"), "{text}");
    assert_eq!(ground.host_of("web"), "old-db", "nothing was touched");
    assert_eq!(ground.history("web").len(), 1);
    // From here on it is answered from the plan.
    let found = foresee(&ground, &overlay, "helm.release", json!({}));
    assert_eq!(found.outcome.unwrap()["revision"], 2);
    assert_eq!(found.basis, Basis::Predicted);
    let values = foresee(&ground, &overlay, "helm.values", json!({})).outcome.unwrap();
    assert_eq!(values["values"]["database"]["host"], "new-db");
    let back = foresee(&ground, &overlay, "helm.rollback", json!({ "to": 1 }));
    assert_eq!(back.outcome.unwrap(), json!({ "rolled_back": true, "revision": 3, "to": 1 }));
}

#[test]
fn a_plan_is_only_predicted_when_the_server_may_not_be_asked_and_says_why() {
    let Some(ground) = Ground::in_memory() else { return };
    ground.install("web", "old-db");
    ground.cluster.forbid("dryRun", "configmaps");
    let seen = foresee(&ground, &overlay(&ground), "helm.upgrade", upgrade(&ground));
    assert_eq!(seen.basis, Basis::Predicted);
    assert!(seen.why.contains("may not try the objects"), "{}", seen.why);
    assert!(!seen.changes.is_empty());
}

#[test]
fn a_plan_of_what_would_be_refused_says_so() {
    let Some(ground) = Ground::start() else { return };
    ground.install("web", "old-db");
    let wrong = json!({ "chart": ground.chart, "base": "reuse", "set": { "image": "" } });
    let seen = foresee(&ground, &overlay(&ground), "helm.upgrade", wrong);
    assert!(seen.outcome.unwrap_err().message.contains("invalid"));
    assert_eq!(seen.basis, Basis::Exact);
}

#[test]
fn what_was_supplied_is_foreseen_as_helm_will_have_it_and_what_only_the_chart_tells_is_said_to_be_unknown() {
    let Some(ground) = Ground::start() else { return };
    ground.install("web", "old-db");
    let overlay = overlay(&ground);
    foresee(&ground, &overlay, "helm.upgrade", upgrade(&ground));
    let plain = json!({ "plain": ["database.password"] });
    let supplied = foresee(&ground, &overlay, "helm.values", plain.clone()).outcome.unwrap();
    for (op, more) in [("helm.values", json!({ "computed": true })), ("helm.manifest", json!({}))] {
        let seen = foresee(&ground, &overlay, op, more);
        assert_eq!(seen.basis, Basis::Unknown, "{op}: {seen:?}");
        assert!(Unknown::of(seen.outcome.as_ref().unwrap()).is_some(), "{op}: {seen:?}");
        assert!(seen.why.contains("helm.upgrade") || seen.why.contains("the values of chart"), "{op}: {}", seen.why);
    }
    let (_, made) = ground.send("helm.upgrade", ground.args("web", upgrade(&ground)), "m-up");
    made.unwrap();
    let found = ground.world.read("helm.values", ground.args("web", plain)).unwrap();
    assert_eq!(supplied, found);
}
