//! The playbooks for the PostgreSQL Operator 5, killed before and after what they ask the API server to change, and resumed; refused it,
//! and rolled back. Here the first and the last change of each; with `MUSTER_TEST_FAULTS=full` every one.

use muster::engine::RunState;
use muster::engine::state::StepStatus;
use muster::model::command::Order;
use muster::model::{StepPath, Value};
use muster::sandbox::controllers::pgo;
use serde_json::json;

use crate::fidelity;
use crate::kube::{Blow, Strike};
use crate::pgo5::{FOLLOWED, Operated, WORLD};

/// A playbook, the world it runs in, what it is given, and the steps that need a yes.
struct Case {
    playbook: &'static str,
    world: &'static str,
    params: fn(&Operated) -> Vec<(&'static str, Value)>,
    approved: &'static [&'static str],
    /// What was run before.
    first: Option<fn() -> Case>,
}

fn reached(at: &Operated) -> Value {
    at.params(&[])["cluster"].clone()
}

fn promotion() -> Case {
    Case {
        playbook: "pgo-standby-promote",
        world: FOLLOWED,
        params: |at| {
            vec![
                ("name", json!("standby")),
                ("active", json!("hippo")),
                ("active_namespace", json!("default")),
                ("active_cluster", reached(at)),
            ]
        },
        approved: &["last_look"],
        first: None,
    }
}

impl Case {
    /// Started, and gone on with whatever it waits for, until it ends or, if it is refused something, until that has happened; what
    /// it printed.
    fn run(&self, at: &Operated, strike: Option<Strike>) -> String {
        std::fs::write(at.file("params.json"), json!(at.params(&(self.params)(at))).to_string()).unwrap();
        let file = at.file("params.json");
        let first = ["run", &fidelity::folder(self.playbook), "-f", file.to_str().unwrap()].map(str::to_owned);
        let refused = strike.as_ref().is_some_and(|strike| strike.blow == Blow::Refused);
        let mut strike = strike;
        let mut all = String::new();
        for turn in 0..6 {
            let args = if turn == 0 { first.to_vec() } else { vec!["resume".to_owned(), "@latest".to_owned()] };
            let args: Vec<&str> = args.iter().map(String::as_str).collect();
            let (code, said) = at.muster(&args, |process| {
                if let Some(strike) = strike.take() {
                    at.ground.cluster.strike(Some(Strike { process, ..strike }));
                }
            });
            all.push_str(&said);
            if code == Some(0) || (refused && said.contains(REFUSED)) {
                return all;
            }
            let app = at.app("second@there");
            let heads = app.store().heads().unwrap();
            let run = heads.iter().max_by_key(|head| head.started).unwrap().run.clone();
            for step in self.approved {
                let step = StepPath::of(step);
                let order = Order::Approve {
                    step,
                    role: None,
                    reason: None,
                    break_glass: false,
                    valid_until: None,
                    digest: None,
                };
                let _ = app.say(&run, &app.settings.actor, order);
            }
        }
        panic!("{} does not come to its end: {all}", self.playbook)
    }

    fn begun(&self) -> Option<Operated> {
        let at = Operated::with(self.world)?;
        if let Some(first) = self.first {
            first().run(&at, None);
        }
        Some(at)
    }

    /// Runs it undisturbed, and then struck at each of its changes. Killed, it comes to the same end; refused, it goes back to what
    /// was before or, beyond its point of no return, on to that end.
    fn sweep(&self) {
        let Some(at) = self.begun() else { return };
        let was = ending(&at);
        let (asked, changed) = (at.ground.cluster.writes().len(), at.ground.cluster.changes().len());
        self.run(&at, None);
        let writes = at.ground.cluster.writes().split_off(asked);
        let wanted = (ending(&at), at.ground.cluster.changes().split_off(changed));
        assert!(!writes.is_empty(), "{} changes nothing", self.playbook);
        let last = writes.len() - 1;
        let points =
            (0..writes.len()).flat_map(|skip| [Blow::Before, Blow::After, Blow::Refused].map(|blow| (skip, blow)));
        let sample = [(0, Blow::After), (last, Blow::Refused)];
        for (skip, blow) in points.filter(|point| in_full() || sample.contains(point)) {
            let point = format!("{}: {blow:?} at {}", self.playbook, writes[skip]);
            let Some((at, changed, said)) = self.struck(skip, blow, &point) else { return };
            if blow == Blow::Refused {
                self.choose(&at, (&was, &wanted.0), &point, &said);
            } else {
                // Who was killed after a change does not make it again.
                let came = (ending(&at), at.ground.cluster.changes().split_off(changed));
                assert_eq!(came, wanted, "{point}: {said}");
            }
            let writable = pgo::writable_primaries(&at.operator.clusters(), at.operator.now());
            assert!(writable.values().all(|who| who.len() <= 1), "{point}: {writable:?}");
        }
    }

    /// Runs it struck at one of its requests; how many changes there were before, and what it printed. How many requests it takes
    /// differs: where the operator writes to an object at the same time, a change is asked for once more. One that took fewer
    /// than the one before has not been struck, and tells itself how many there were.
    fn struck(&self, mut skip: usize, blow: Blow, point: &str) -> Option<(Operated, usize, String)> {
        for _ in 0..5 {
            let at = self.begun()?;
            let (asked, changed) = (at.ground.cluster.writes().len(), at.ground.cluster.changes().len());
            let said = self.run(&at, Some(Strike { process: 0, skip, blow }));
            if !at.ground.cluster.strike(None) {
                return Some((at, changed, said));
            }
            skip = at.ground.cluster.writes().len() - asked - 1;
        }
        panic!("{point}: it never came to that");
    }

    /// A step has failed: back, if that may be, else on.
    fn choose(&self, at: &Operated, (was, wanted): (&[String], &[String]), point: &str, said: &str) {
        let (code, back) = at.muster(&["rollback", "@latest"], |_| {});
        if back.contains("point of no return") {
            assert_ne!(code, Some(0), "{point}: {back}");
            let (code, on) = at.muster(&["retry", "@latest", &failed(at)], |_| {});
            assert_eq!(code, Some(0), "{point}: {said}{on}");
            assert_eq!(ending(at), wanted, "{point}: {said}{on}");
        } else {
            assert!(back.contains("rolled back"), "{point}: {code:?} {said}{back}");
            let (_, calls) = at.muster(&["show", "@latest", "--calls"], |_| {});
            // A backup that was made stays.
            let specs = |ending: &[String]| ending[..ending.len() - 1].to_vec();
            assert_eq!(specs(&ending(at)), specs(was), "{point}: {said}{back}{calls}");
        }
    }
}

/// The step of the last run that has failed.
fn failed(at: &Operated) -> String {
    let app = at.app("first@here");
    let heads = app.store().heads().unwrap();
    let run = heads.iter().max_by_key(|head| head.started).unwrap().run.clone();
    let state = RunState::fold(&app.records(&run).unwrap()).unwrap();
    let mut failed = state.steps.iter().filter(|(_, step)| matches!(step.status, StepStatus::Failed { .. }));
    failed.next().map_or(String::new(), |(path, _)| path.to_string())
}

/// What the server says when it refuses.
const REFUSED: &str = "the test will not have it";

fn in_full() -> bool {
    std::env::var("MUSTER_TEST_FAULTS").is_ok_and(|value| value == "full")
}

/// What a playbook leaves: every cluster as it is wanted, its rows, and how many backups there are. What differs from run to run is
/// left out: identifiers, times.
fn ending(at: &Operated) -> Vec<String> {
    let clusters = at.operator.clusters();
    let of_operator = clusters.objects.iter().filter(|(key, _)| key.contains("/postgrescluster/"));
    let mut found: Vec<String> = of_operator
        .map(|(key, _)| {
            // As the server has it: the operator may not have looked yet.
            let name = key.rsplit('/').next().unwrap_or_default();
            let mut spec = at.ground.cluster.object("postgrescluster", name)["spec"].clone();
            let restore = &mut spec["backups"]["pgbackrest"]["restore"];
            if restore.is_object() {
                restore["options"] = json!("as wanted");
            }
            format!("{key}: {spec} {:?}", at.orders(name))
        })
        .collect();
    let backups = clusters.pgo.map_or(0, |pgo| pgo.repos.values().map(|repo| repo.backups.len()).sum());
    found.push(format!("{backups} backups"));
    found
}

#[test]
fn a_killed_backup_is_made_once() {
    let params = |_: &Operated| vec![("type", json!("diff"))];
    Case { playbook: "pgo-backup", world: WORLD, params, approved: &[], first: None }.sweep();
}

#[test]
fn a_killed_clone_is_made_once() {
    let params = |_: &Operated| vec![("name", json!("elephant")), ("source", json!("hippo"))];
    Case { playbook: "pgo-clone", world: WORLD, params, approved: &[], first: None }.sweep();
}

#[test]
fn a_killed_restore_is_made_once() {
    let params = |at: &Operated| vec![("at", at.ago(2))];
    Case { playbook: "pgo-restore-in-place", world: WORLD, params, approved: &["restore"], first: None }.sweep();
}

#[test]
fn a_killed_standby_is_made_once() {
    let params = |at: &Operated| {
        let source =
            [("source", json!("hippo")), ("source_namespace", json!("default")), ("source_cluster", reached(at))];
        [("name", json!("second"))].into_iter().chain(source).collect()
    };
    Case { playbook: "pgo-standby-create", world: FOLLOWED, params, approved: &[], first: None }.sweep();
}

#[test]
fn a_killed_promotion_leaves_one_that_is_written_to() {
    promotion().sweep();
}

#[test]
fn a_killed_failback_deletes_once_what_it_makes_anew() {
    let params = |at: &Operated| {
        vec![("primary", json!("standby")), ("primary_namespace", json!("default")), ("primary_cluster", reached(at))]
    };
    let approved = &["delete"];
    Case { playbook: "pgo-failback", world: FOLLOWED, params, approved, first: Some(promotion) }.sweep();
}
