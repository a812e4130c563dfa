//! How far runs do what their plans said, call by call with arguments, in the sandbox and on real containers.
//!
//! `cargo bench --bench fidelity`: one line a figure, `bench NAME VALUE UNIT goal >=|<= NUMBER ok|short`. What differs is printed.

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
use std::sync::Arc;
use std::time::Duration;

use muster::engine::NoObserver;
use muster::model::status::RunStatus;
use muster::plan::file::Base;
use muster::plan::report::Report;
use omnichat::Estate;

/// Parameters beside those of the deployment.
type Pairs<'p> = &'p [(&'p str, &'p str)];

fn main() {
    let own = ["hello-recovery", "omnichat-backup", "omnichat-restore", "omnichat-verify"];
    let own = own.into_iter().map(|name| (name.to_owned(), variants::own(name)));
    for (name, variant) in own.chain(variants::names().into_iter().map(|name| (name.clone(), variants::variant(&name))))
    {
        figure(&format!("sandbox-{name}"), &fidelity::in_sandbox(&variant.playbook, &variant.world), true);
    }
    let check = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deployment/setup.sh");
    let ready = Command::new(check).arg("--check").stderr(Stdio::null()).status();
    if !ready.is_ok_and(|status| status.success()) {
        println!("skipped: bench fidelity: no containers can run here, or `make deployment` has not been called");
        return;
    }
    let estate = Estate::start("fidelity");
    let variants: [(&str, &str, Pairs<'_>); 6] = [
        ("omnichat-backup", "", &[]),
        ("omnichat-verify", "", &[]),
        ("omnichat-verify", "-against-live", &[("against", "live")]),
        ("omnichat-restore", "", &[]),
        ("omnichat-restore", "-database", &[("restore", "[database]")]),
        ("omnichat-restore", "-config", &[("restore", "[config]"), ("safety_copy", "false")]),
    ];
    for (playbook, variant, extra) in variants {
        let report = live(&estate, playbook, extra);
        // A run that does not come to its end has hardly anything to differ in.
        figure(&format!("{playbook}{variant}"), &report, report.status == RunStatus::Succeeded);
    }
}

/// Plans against the deployment, runs this plan there, and compares the two.
fn live(estate: &Estate, playbook: &str, extra: &[(&str, &str)]) -> Report {
    let app = estate.app();
    let start = app.prepare(&fidelity::folder(playbook), &estate.given(playbook, extra)).expect("it can be started");
    let (records, program) = app.plan(&start, None).expect("it is planned");
    let day = Duration::from_secs(86_400);
    let file = app.plan_file((&records, &program), playbook, Base::Live, day).expect("a plan");
    let session = app.start_bound(&start, &file, Arc::new(NoObserver)).expect("the run begins");
    fidelity::finish(&app, &file, session)
}

fn figure(name: &str, report: &Report, counts: bool) {
    let differences = fidelity::differences(report);
    let counted = report.calls.as_planned + differences.len();
    let percent = (report.calls.as_planned * 100).checked_div(counted).unwrap_or(100);
    let word = if percent == 100 && counts { "ok" } else { "short" };
    println!("bench fidelity-{name} {percent} % goal >= 100 {word}");
    for line in differences {
        let line: String = line.chars().take(300).collect();
        println!("  differs: {line}");
    }
    if report.status.as_str() != "succeeded" {
        println!("  the run of {name} is {}", report.status.as_str());
        for step in report.steps.iter().filter(|step| step.actual.starts_with("failed")) {
            println!("  {}: {}", step.step, step.actual);
        }
    }
}
