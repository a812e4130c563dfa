//! A run does what its plan said: every call, in order, with these arguments, outside of what the plan itself calls unknown.

#[path = "support/deployment.rs"]
mod deployment;
#[path = "support/fidelity.rs"]
mod fidelity;
#[path = "support/omnichat.rs"]
mod omnichat;
#[path = "support/variants.rs"]
mod variants;

use muster::model::status::RunStatus;
use muster::playbook::shipped;
use omnichat::Estate;

#[test]
fn every_shipped_playbook_does_in_the_sandbox_what_its_plan_says() {
    let all = shipped::names().map(|name| (name.to_owned(), variants::own(name)));
    let all = all.chain(variants::names().into_iter().map(|name| (name.clone(), variants::variant(&name))));
    let mut faults = Vec::new();
    let mut went = 0;
    for (name, variant) in all {
        let report = fidelity::in_sandbox(&variant.playbook, &variant.world);
        for line in fidelity::differences(&report) {
            faults.push(format!("{name} ({:?}): {line}", report.status));
        }
        went += usize::from(matches!(report.status, RunStatus::Succeeded | RunStatus::SucceededWithExceptions));
    }
    assert!(went >= 4, "{went} of them ran to their end");
    assert!(faults.is_empty(), "{} differences:\n{}", faults.len(), faults.join("\n"));
}

#[test]
fn a_run_on_real_containers_comes_to_its_end_within_its_plan() {
    let estate = Estate::start("bound");
    for playbook in ["omnichat-backup", "omnichat-verify", "omnichat-restore"] {
        let (report, pauses) = fidelity::live(&estate.app(), playbook, &estate.given(playbook, &[]));
        assert_eq!(report.status, RunStatus::Succeeded, "{playbook} stopped: {pauses:#?}");
        let differs = fidelity::differences(&report);
        assert!(differs.is_empty(), "{playbook}: {} differences:\n{}", differs.len(), differs.join("\n"));
        assert!(report.effects.as_planned > 0, "{playbook} does something");
    }
}
