//! Who holds a run: one process at a time, and nobody who was stopped comes back to write.

#[path = "support/running.rs"]
mod running;

use std::path::Path;
use std::process::{Command, Output, Stdio};
use std::time::{Duration, Instant};

use running::Running;

fn muster(folder: &Path, args: &[&str]) -> Command {
    let mut command = Command::new(assert_cmd::cargo::cargo_bin!("muster"));
    command.args(args).env("MUSTER_STORE", folder.join("muster.db")).stdout(Stdio::piped()).stderr(Stdio::piped());
    command
}

fn said(output: &Output) -> String {
    format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr))
}

/// Begins the demonstration's recovery, slowly, and waits until it lingers.
fn lingering(folder: &Path) -> Running {
    let made = Command::new("playbooks/hello-recovery/demo/make-data").arg(folder).output().expect("the data are made");
    assert!(made.status.success(), "{}", said(&made));
    let service = format!("service={}", folder.join("service").display());
    let backup = format!("backup={}", folder.join("backup.tar").display());
    let args = ["run", "hello-recovery", "-p", &service, "-p", &backup, "-p", "pace=4s"];
    let child = Running::start(muster(folder, &args).stdout(Stdio::null()).stderr(Stdio::null()));
    let begun = Instant::now();
    while !said(&muster(folder, &["ps"]).output().expect("ps runs")).contains("waiting") {
        assert!(begun.elapsed() < Duration::from_secs(30), "the run never came to wait");
        std::thread::sleep(Duration::from_millis(50));
    }
    child
}

#[test]
fn of_two_that_resume_a_run_one_wins_and_the_other_says_who_holds_it() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = lingering(folder.path());
    first.kill().expect("killed");
    first.wait().expect("gone");
    let resume = || Running::start(&mut muster(folder.path(), &["resume", "@latest"]));
    let both = [resume(), resume()].map(Running::end);
    let (won, lost): (Vec<&Output>, Vec<&Output>) = both.iter().partition(|output| output.status.success());
    assert_eq!((won.len(), lost.len()), (1, 1), "{:?}", both.each_ref().map(said));
    assert!(said(lost[0]).contains("is held by"), "{}", said(lost[0]));
    assert_eq!(lost[0].status.code(), Some(1));
}

#[test]
fn a_holder_stopped_past_its_lease_is_killed_before_the_run_goes_on() {
    let folder = tempfile::tempdir().expect("a folder");
    let mut first = lingering(folder.path());
    let stop = Command::new("kill").args(["-STOP", &first.id().to_string()]).status().expect("kill runs");
    assert!(stop.success());
    let early = muster(folder.path(), &["resume", "@latest"]).output().expect("it ends");
    assert!(said(&early).contains("is held by"), "a fresh lease is respected: {}", said(&early));
    // The lease is ten seconds.
    std::thread::sleep(Duration::from_secs(12));
    let taken = muster(folder.path(), &["resume", "@latest"]).output().expect("it ends");
    assert!(taken.status.success(), "{}", said(&taken));
    let ended = first.wait().expect("gone");
    assert!(!ended.success(), "the stopped holder was killed, not woken: {ended:?}");
    assert!(folder.path().join("service/data/ledger/2026.csv").is_file());
}

#[test]
fn a_missing_run_a_full_stop_and_a_wrong_playbook_have_their_codes() {
    let folder = tempfile::tempdir().expect("a folder");
    for (args, code) in [
        (vec!["resume", "@latest"], 1),
        (vec!["run", "no-such-playbook"], 3),
        (vec!["run", "hello-recovery"], 3),
        (vec!["lint", "hello-recovery"], 0),
    ] {
        let output = muster(folder.path(), &args).output().expect("it ends");
        assert_eq!(output.status.code(), Some(code), "{args:?}: {}", said(&output));
    }
}
