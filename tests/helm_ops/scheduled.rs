//! `pgo-clone` drilled on a schedule by a real `muster serve`, with nobody there, against the API server of the tests. The operator's part, and that
//! of PostgreSQL in the Pods, is played by the sandbox's controllers, whose time runs faster; so what is shown here is that Muster measures
//! right, not how fast an operator is. When something was done is told by the API server's own record of requests; when the newest data were
//! written, by the test, which has written them.

use muster::model::Timestamp;
use serde_json::{Value, json};
use std::time::Duration;

use crate::drilled::cli::Desk;
use crate::drilled::{Drill, Drilling, Seen, every};
use crate::kube::Heard;
use crate::live_world::until;
use crate::pgo5::Operated;

/// Beats three hours ago and ten minutes ago.
const WORLD: &str = r"
kubernetes:
  pgo:
    clusters:
      default/hippo:
        databases: { hippo: { orders: [{ rows: 1000 }, { ago: 4h, rows: 1200 }], heartbeat: [{ ago: 3h, rows: 1 }, { ago: 10m, rows: 2 }] } }
        backups: [{ ago: 5h }]
";

/// When the newest beat that a cluster holds was written.
fn newest(facts: &[muster::sandbox::controllers::pgo::Fact]) -> String {
    let beats = facts.iter().filter(|fact| fact.table == "heartbeat").map(|fact| fact.at);
    beats.max().map_or_else(String::new, |at| at.strftime("%Y-%m-%dT%H:%M:%S%.6fZ").to_string())
}

struct Scene {
    at: Operated,
    source: Value,
}

impl Scene {
    fn set() -> Option<Self> {
        let at = Operated::with(WORLD)?;
        at.operator.answers(&at.ground.cluster, "max(at) from heartbeat", newest);
        let source = at.ground.cluster.object("postgrescluster", "hippo");
        Some(Self { at, source })
    }

    /// When a beat of so long ago was written.
    fn beat(&self, minutes: u64) -> i64 {
        (self.at.operator.began() - Duration::from_secs(minutes * 60)).as_millisecond()
    }

    fn schedule(&self, seconds: u32, more: &[(&str, Value)]) -> Value {
        let own = [
            ("source", json!("hippo")),
            ("database", json!("hippo")),
            ("canary", json!("SELECT count(*) FROM orders")),
            ("newest", json!("(select max(at) from heartbeat)")),
        ];
        let mut params = self.at.params(&[&own[..], more].concat());
        params.remove("name");
        every(seconds, "pgo-clone", &json!(params))
    }

    /// What the API server has heard of a drill.
    fn seen(&self, drill: &Drill) -> Seen {
        let name = format!("drill-{}", drill.short());
        let heard = self.at.ground.cluster.heard();
        let about: Vec<&Heard> = heard.iter().filter(|one| one.path.contains(&name)).collect();
        let ms = |one: &Heard| one.at.as_millisecond();
        // Its data source is taken out once it is proved; what was asked in its Pod before is the proof.
        let proved = about.iter().position(|one| one.method == "PATCH").unwrap_or_else(|| panic!("{about:#?}"));
        let asked = about[..proved].iter().rev().find(|one| one.path.ends_with("/exec"));
        Seen {
            touched: ms(about[0]),
            proved: ms(asked.unwrap_or_else(|| panic!("{about:#?}"))),
            after: ms(about[proved]),
        }
    }

    /// Nothing is left of a drill, by an unmodified kubectl.
    fn is_gone(&self, drill: &Drill) {
        let labels = format!("postgres-operator.crunchydata.com/cluster=drill-{}", drill.short());
        let kinds = "postgresclusters,pods,pvc,sts,deployments,jobs,secrets,configmaps,services";
        let cluster = &self.at.ground.cluster;
        // What it owned goes after it.
        until("all that it owned is gone", || cluster.kubectl(&["get", kinds, "-l", &labels, "-o", "name"]).is_empty());
        let all = cluster.kubectl(&["get", "postgresclusters,pods,pvc", "-o", "name"]);
        assert!(!all.contains(drill.short()), "{all}");
    }

    /// The source is what it was, and nobody has asked for a change of it.
    fn is_untouched(&self) {
        let cluster = &self.at.ground.cluster;
        let now = cluster.object("postgrescluster", "hippo");
        for field in ["/metadata/uid", "/metadata/generation", "/metadata/annotations", "/spec"] {
            assert_eq!(now.pointer(field), self.source.pointer(field), "{field}");
        }
        let asked = |line: &String| line.contains("hippo") && !line.ends_with("/exec");
        let writes: Vec<String> = cluster.writes().into_iter().filter(asked).collect();
        assert_eq!(writes, Vec::<String>::new());
        assert_eq!(self.at.orders("hippo"), Some(1200));
    }
}

#[test]
fn clones_are_drilled_on_a_schedule_and_what_is_said_of_them_is_true() {
    let Some(scene) = Scene::set() else { return };
    // As far as the archive goes; and to a point in time of which the newest beat is three hours old.
    let point: Timestamp = scene.at.operator.began() - Duration::from_secs(7_200);
    let point = json!(point.strftime("%Y-%m-%dT%H:%M:%SZ").to_string());
    let drilling = Drilling::start(
        Desk::new(),
        &[("fresh", scene.schedule(5, &[])), ("late", scene.schedule(15, &[("at", point)]))],
    );
    let [late, fresh] = drilling.until(["late", "fresh"], 2);
    for drill in &fresh {
        drill.has_rto(scene.seen(drill));
        drill.has_rpo(scene.beat(10));
        drill.is_green();
        scene.is_gone(drill);
    }
    for drill in &late {
        drill.has_rto(scene.seen(drill));
        drill.has_rpo(scene.beat(180));
        drill.has_missed("RPO");
        scene.is_gone(drill);
    }
    scene.is_untouched();
    drilling.stop();
}

#[test]
fn a_clone_that_a_drill_may_not_delete_is_told_with_the_command_that_does() {
    let Some(scene) = Scene::set() else { return };
    let cluster = &scene.at.ground.cluster;
    cluster.forbid("delete", "postgresclusters");
    let drilling = Drilling::start(Desk::new(), &[("leaky", scene.schedule(5, &[]))]);
    let [drills] = drilling.until(["leaky"], 1);
    cluster.allow();
    for drill in &drills {
        drill.has_rto(scene.seen(drill));
        drill.has_rpo(scene.beat(10));
        let told = drill.drill();
        assert_eq!((&drill.report["status"], &told["green"]), (&json!("failed"), &json!(false)), "{told:#}");
        let name = format!("drill-{}", drill.short());
        let [leak] = &told["leaks"].as_array().unwrap()[..] else { panic!("{told:#}") };
        assert!(leak["resource"].as_str().unwrap().ends_with(&format!("/postgrescluster/{name}")), "{leak}");
        assert!(!cluster.object("postgrescluster", &name).is_null());
        let command: Vec<&str> = leak["remove"].as_str().unwrap().split(' ').collect();
        assert_eq!(command[0], "kubectl");
        cluster.kubectl(&command[1..]);
        scene.is_gone(drill);
    }
    scene.is_untouched();
    drilling.stop();
}
