//! One database of a cluster of the PostgreSQL Operator 5, restored live.

use std::time::{Duration, Instant};

use muster::sandbox::controllers::pgo;
use serde_json::json;

use crate::fidelity;
use crate::pgo5::Operated;

/// A cluster with two databases, of which one is damaged; the other is in use, too.
const SHARED: &str = r"
kubernetes:
  pgo:
    clusters:
      default/hippo:
        databases:
          hippo: { orders: [{ rows: 1000 }, { ago: 4h, rows: 1200 }, { ago: 1h }] }
          billing: { invoices: 700 }
        backups: [{ ago: 5h }]
        spec: { image: postgres:14 }
";

impl Operated {
    /// What became of the one database: it is there as it was, the old one is kept and closed, the other was not touched; and nothing
    /// else is left.
    fn holds_the_restored(&self) {
        let now = self.operator.now();
        let clusters = self.operator.clusters();
        let pgo = clusters.pgo.expect("there is an operator");
        assert_eq!(pgo.data.keys().collect::<Vec<_>>(), ["current/default/postgrescluster/hippo"]);
        let data = &pgo.data["current/default/postgrescluster/hippo"];
        assert_eq!(pgo::rows(&data.facts, "hippo", "orders", now), Some(1200));
        assert_eq!(pgo::rows(&data.facts, "billing", "invoices", now), Some(700));
        assert!(data.closed.len() == 1 && data.closed[0].starts_with("hippo_before_"), "{:?}", data.closed);
        assert_eq!((data.roles.len(), data.zeroed.len()), (0, 0));
        assert!(!clusters.objects.keys().any(|key| key.contains("/job/hippo-restore-load")));
    }
}

#[test]
fn one_database_is_restored_as_planned_and_the_others_are_not_touched() {
    let Some(at) = Operated::with(SHARED) else { return };
    let canary = json!("SELECT count(*) FROM orders");
    let params = [("database", json!("hippo")), ("at", at.ago(2)), ("canary", canary)];
    let (_, differences) = at.as_planned("pgo-restore-database", &params, &["swap"]);
    assert_eq!(differences, Vec::<String>::new());
    at.holds_the_restored();
}

#[test]
fn killed_as_soon_as_the_old_database_is_closed_it_exchanges_the_two_once() {
    let Some(at) = Operated::with(SHARED) else { return };
    let params = at.params(&[("database", json!("hippo")), ("at", at.ago(2))]);
    let file = at.file("params.json");
    std::fs::write(&file, json!(params).to_string()).unwrap();
    let (code, said) =
        at.muster(&["run", &fidelity::folder("pgo-restore-database"), "-f", file.to_str().unwrap()], |_| {});
    assert_eq!(code, Some(7), "it waits for an approval: {said}");
    let (code, said) = at.muster(&["approve", "@latest", "swap"], |process| {
        let closed = || {
            let clusters = at.operator.clusters();
            clusters.pgo.is_some_and(|pgo| pgo.data.values().any(|data| !data.closed.is_empty()))
        };
        let until = Instant::now() + Duration::from_secs(60);
        while !closed() && Instant::now() < until {
            std::thread::sleep(Duration::from_millis(1));
        }
        let process = i32::try_from(process).expect("a process");
        // SAFETY: the child is not waited for yet, so that its number is its own.
        unsafe { libc::kill(process, libc::SIGKILL) };
    });
    assert_eq!(code, None, "nobody killed it: {said}");
    let (code, said) = at.muster(&["resume", "@latest"], |_| {});
    assert_eq!(code, Some(0), "{said}");
    at.holds_the_restored();
}
