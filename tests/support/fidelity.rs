//! A plan and the run of it, side by side: how far the run does what the plan said.

#![allow(dead_code, reason = "each file uses what it needs")]

use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;
use std::time::Duration;

use muster::app::sandbox::InSandbox;
use muster::app::{App, Settings};
use muster::engine::difference::parts;
use muster::engine::{NoObserver, RunState};
use muster::model::command::{Actor, Order};
use muster::model::{RunId, StepPath};
use muster::plan::StepOutcome;
use muster::plan::file::{Base, PlanFile};
use muster::plan::report::{Fate, Report, ReportedCall, ReportedStep};
use muster::playbook::params::Given;
use muster::sandbox::World;

/// A shipped playbook's folder.
pub fn folder(playbook: &str) -> String {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks").join(playbook).display().to_string()
}

/// Over a store of its own.
pub fn app(home: &Path) -> App {
    app_over(home.join("muster.db"))
}

/// Over this store.
pub fn app_over(store: PathBuf) -> App {
    app_of(store, "tester@here")
}

/// Over this store, as somebody.
fn app_of(store: PathBuf, who: &str) -> App {
    let settings = Settings {
        store,
        supervisor: PathBuf::from(env!("CARGO_BIN_EXE_muster")),
        actor: Actor { name: who.to_owned() },
        workers: 4,
        script_time: None,
    };
    App::open(settings).expect("the store opens")
}

/// A yes of somebody else to a step of a run that waits for it, who can then go on with it.
pub fn approve(store: PathBuf, run: &RunId, step: &str) -> App {
    let app = app_of(store, "second@there");
    let step = StepPath::of(step);
    let order = Order::Approve { step, role: None, reason: None, break_glass: false, valid_until: None, digest: None };
    app.say(run, &app.settings.actor, order).expect("it can be approved");
    app
}

/// How much later a run of the sandbox begins than its plan was made.
const LATER: Duration = Duration::from_secs(90 * 60);

/// Plans a playbook in a world, runs this plan there later, and compares the two.
pub fn in_sandbox(playbook: &str, world: &World) -> Report {
    let home = tempfile::tempdir().expect("a folder");
    let app = app(home.path());
    let start = app.prepare_in(&folder(playbook), Given::default(), world).expect("it can be started");
    let (records, program) = app.plan_in(&start, world.clone(), None).expect("it is planned");
    let base = Base::Sandbox { digest: String::new() };
    let day = Duration::from_secs(86_400);
    let file = app.plan_file((&records, &program), playbook, base, day).expect("a plan");
    let mut world = world.clone();
    world.now = world.now.saturating_add(LATER).expect("there is a later");
    let manner = InSandbox { hook: None, yes: true, plan: Some(&file) };
    let session = app.start_in(&start, world, manner, Arc::new(NoObserver)).expect("the run begins");
    finish(&app, &file, session)
}

/// Plans a playbook over the live system, runs this plan there, and compares the two. Also why the run stopped where it did.
pub fn live(app: &App, playbook: &str, given: &Given) -> (Report, Vec<String>) {
    let start = app.prepare(&folder(playbook), given).expect("it can be started");
    let (records, program) = app.plan(&start, None).expect("it is planned");
    let day = Duration::from_secs(86_400);
    let file = app.plan_file((&records, &program), playbook, Base::Live, day).expect("a plan");
    let session = app.start_bound(&start, &file, Arc::new(NoObserver)).expect("the run begins");
    let run = session.run().clone();
    let report = finish(app, &file, session);
    let state = RunState::fold(&app.records(&run).expect("the journal loads")).expect("the journal folds");
    (report, state.pauses.iter().map(|pause| format!("{pause:?}")).collect())
}

/// Drives a run to where it rests, and compares it with its plan.
pub fn finish(app: &App, file: &PlanFile, session: muster::app::Session) -> Report {
    let run = session.run().clone();
    session.drive(4, false, &Arc::new(AtomicUsize::new(0))).expect("the engine goes on");
    Report::of(std::slice::from_ref(file), &app.records(&run).expect("the journal loads")).expect("a report")
}

/// What differs, a line each: for whoever has to mend it. A call that was made with other arguments than were planned is two
/// calls, one planned and one made, of which the second says where it parts from the first. Not what the plan itself says it does not know: what a step still does
/// from where the plan could not follow it, or beside one that fails already in the plan, which is never run.
pub fn differences(report: &Report) -> Vec<String> {
    let is_declared =
        |step: &ReportedStep| matches!(step.planned, Some(StepOutcome::Unknown { .. } | StepOutcome::NotReached));
    let mut found = Vec::new();
    for step in &report.steps {
        let mut left_out: Vec<&ReportedCall> = step.calls.iter().filter(|call| call.fate == Fate::NotMade).collect();
        for call in &step.calls {
            let other = call.fate == Fate::NotPlanned && !is_declared(step);
            if call.fate != Fate::NotMade && !other {
                continue;
            }
            let meant = left_out.iter().position(|one| other && one.op == call.op).map(|at| left_out.remove(at));
            let what = meant.map_or_else(|| call.args.to_string(), |meant| parts(&meant.args, &call.args).join("; "));
            found.push(format!("{}: {:?} {} {what}", step.step, call.fate, call.op));
        }
    }
    found
}
