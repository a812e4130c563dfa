//! Plans of the shipped playbooks in their sandbox worlds.

use std::path::{Path, PathBuf};

use muster::app::{App, Settings};
use muster::cli::render::look::Look;
use muster::cli::render::plan::table;
use muster::model::command::Actor;
use muster::plan::{Plan, StepOutcome};
use muster::playbook::params::Given;
use muster::playbook::shipped;

fn app(home: &Path) -> App {
    let settings = Settings {
        store: home.join("muster.db"),
        supervisor: PathBuf::from(env!("CARGO_BIN_EXE_muster")),
        actor: Actor { name: "tester@here".to_owned() },
        workers: 4,
        script_time: None,
    };
    App::open(settings).expect("the store opens")
}

/// The plan of a shipped playbook in its own world, with the world's parameters.
fn plan(name: &str) -> Plan {
    plan_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks").join(name))
}

fn plan_of(folder: &Path) -> Plan {
    let home = tempfile::tempdir().expect("a folder");
    let app = app(home.path());
    let folder = folder.display().to_string();
    let world = app.world_of(&folder, None).expect("a world");
    let start = app.prepare_in(&folder, Given::default(), &world).expect("it can be started");
    let (records, program) = app.plan_in(&start, world, None).expect("it is planned");
    Plan::of(&records, &program).expect("a plan")
}

#[test]
fn every_shipped_playbook_plans_through_in_its_world() {
    for name in shipped::names() {
        let plan = plan(name);
        if std::env::var_os("SHOW").is_some() {
            println!("{}", table::text(&plan, Look::PLAIN, true));
        }
        let failing: Vec<String> = plan
            .steps
            .iter()
            .filter(|step| matches!(step.outcome, StepOutcome::Fails { .. } | StepOutcome::NotReached))
            .map(|step| format!("{}: {:?}", step.step, step.outcome))
            .collect();
        let open: Vec<String> = plan
            .calls()
            .filter(|call| !call.branch.is_empty())
            .map(|call| format!("{} {}", call.op, call.args))
            .collect();
        assert_eq!(open, Vec::<String>::new(), "{name} asks what it need not ask");
        assert_eq!(failing, Vec::<String>::new(), "{name}:\n{}", table::text(&plan, Look::PLAIN, true));
    }
}

#[test]
fn a_loop_a_branch_and_a_name_that_hang_on_unknowns_are_planned_truthfully() {
    let plan = plan_of(&Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures/playbooks/unknowns"));
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.bind(|| {
        insta::assert_snapshot!("plan_unknowns", table::text(&plan, Look::PLAIN, true));
        insta::assert_json_snapshot!("plan_unknowns_steps", plan.steps);
    });
}
