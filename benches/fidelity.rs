//! How far runs do what their plans said, call by call with arguments, in the sandbox and on real containers.
//!
//! `cargo bench --bench fidelity`: one line a figure, `bench NAME VALUE UNIT goal >=|<= NUMBER ok|short`. What differs is printed.
//! `cargo bench --bench fidelity -- PART`: only those whose name holds this.

#[path = "../tests/support/deployment.rs"]
mod deployment;
#[path = "../tests/support/fidelity.rs"]
mod fidelity;
#[path = "../tests/support/omnichat.rs"]
mod omnichat;
#[path = "../tests/support/variants.rs"]
mod variants;

use std::path::Path;
use std::process::{Command, Stdio};

use muster::model::status::RunStatus;
use muster::plan::report::Report;
use muster::playbook::params::Given;
use muster::playbook::shipped;
use omnichat::Estate;

/// Parameters beside those of the deployment.
type Pairs<'p> = &'p [(&'p str, &'p str)];

/// What runs on real containers, in this order: playbook, name of the variant, its parameters.
const LIVE: [(&str, &str, Pairs<'_>); 12] = [
    ("omnichat-backup", "", &[]),
    ("omnichat-backup", "-few", &[("models", "false"), ("app_data", "false"), ("retention", "false")]),
    ("omnichat-backup", "-again", &[]),
    ("omnichat-verify", "", &[]),
    ("omnichat-verify", "-against-live", &[("against", "live")]),
    ("omnichat-restore", "", &[]),
    ("omnichat-restore", "-database", &[("restore", "[database]")]),
    ("omnichat-restore", "-models", &[("restore", "[models]")]),
    ("omnichat-restore", "-app-data", &[("restore", "[app_data]")]),
    ("omnichat-restore", "-config", &[("restore", "[config]"), ("safety_copy", "false")]),
    ("omnichat-restore", "-unsafe", &[("restore", "[database, config]"), ("safety_copy", "false")]),
    ("omnichat-verify", "-after", &[("against", "live")]),
];

fn main() {
    let part = std::env::args().skip(1).find(|word| !word.starts_with('-')).unwrap_or_default();
    let wanted = |name: &str| name.contains(&part);
    let own = shipped::names().map(|name| (name.to_owned(), variants::own(name)));
    for (name, variant) in own.chain(variants::names().into_iter().map(|name| (name.clone(), variants::variant(&name))))
    {
        let name = format!("sandbox-{name}");
        if wanted(&name) {
            figure(&name, &fidelity::in_sandbox(&variant.playbook, &variant.world), true);
        }
    }
    if wanted("live-hello-recovery") {
        came_to_its_end("live-hello-recovery", &hello());
    }
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deployment/setup.sh");
    let ready = Command::new(check).arg("--check").stderr(Stdio::null()).status();
    if !ready.is_ok_and(|status| status.success()) {
        println!("skipped: bench fidelity: no containers can run here, or `make deployment` has not been called");
        return;
    }
    for (mode, start) in [("", Estate::start as fn(&str) -> Estate), ("-hybrid", Estate::start_hybrid)] {
        let of_mode =
            LIVE.map(|(playbook, variant, extra)| (format!("live{mode}-{playbook}{variant}"), playbook, extra));
        let mut chosen = of_mode.iter().filter(|(name, ..)| wanted(name)).peekable();
        if chosen.peek().is_none() {
            continue;
        }
        let estate = start("fidelity");
        for (name, playbook, extra) in chosen {
            let complete = |names: Vec<String>| names.iter().any(|name| !name.ends_with(".partial"));
            if *playbook != "omnichat-backup" && !complete(estate.backup_names()) {
                estate.run("omnichat-backup", &[]);
            }
            came_to_its_end(name, &fidelity::live(&estate.app(), playbook, &estate.given(playbook, extra)));
        }
    }
}

/// The recovery of a folder of this host.
fn hello() -> (Report, Vec<String>) {
    let home = tempfile::tempdir().expect("a folder");
    let make = Path::new(&fidelity::folder("hello-recovery")).join("demo/make-data");
    let made = Command::new(make).arg(home.path()).stdout(Stdio::null()).status();
    assert!(made.is_ok_and(|status| status.success()), "there is something to recover");
    let at = |name: &str| home.path().join(name).display().to_string();
    let mut given = Given::default();
    for pair in [format!("service={}", at("service")), format!("backup={}", at("backup.tar")), "pace=10ms".to_owned()] {
        given.add_text(&pair).expect("a parameter");
    }
    fidelity::live(&fidelity::app(home.path()), "hello-recovery", &given)
}

/// A run that does not come to its end has hardly anything to differ in.
fn came_to_its_end(name: &str, (report, pauses): &(Report, Vec<String>)) {
    figure(name, report, report.status == RunStatus::Succeeded);
    for pause in pauses {
        println!("  it stopped: {pause}");
    }
}

fn figure(name: &str, report: &Report, counts: bool) {
    let differences = fidelity::differences(report);
    let counted = report.calls.as_planned + differences.len();
    let percent = (report.calls.as_planned * 100).checked_div(counted).unwrap_or(100);
    let word = if percent == 100 && counts { "ok" } else { "short" };
    println!("bench fidelity-{name} {percent} % goal >= 100 {word}");
    for line in differences {
        let line: String = line.chars().take(900).collect();
        println!("  differs: {line}");
    }
    if report.status.as_str() != "succeeded" {
        println!("  the run of {name} is {}", report.status.as_str());
        for step in report.steps.iter().filter(|step| step.actual.starts_with("failed")) {
            println!("  {}: {}", step.step, step.actual);
        }
    }
}
