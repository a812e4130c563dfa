//! `--sandbox`: every shipped playbook runs and plans in its own world, without any parameter and without touching this machine.

#[path = "support/cli.rs"]
mod support;

use muster::playbook::shipped;
use support::Desk;

#[test]
fn every_shipped_playbook_runs_in_its_world_as_it_is() {
    for name in shipped::names() {
        let desk = Desk::new();
        let said = desk.muster(&["run", name, "--sandbox", "--yes"]);
        assert_eq!(said.code, 0, "{name}: {said:?}");
    }
}

#[test]
fn every_shipped_playbook_plans_in_its_world_and_twice_the_same() {
    for name in shipped::names() {
        let desk = Desk::new();
        let plan = desk.muster(&["plan", name, "--sandbox", "-o", "json"]);
        let again = desk.muster(&["plan", name, "--sandbox", "-o", "json"]);
        assert!(plan.stdout == again.stdout && plan.stdout.len() > 1000, "{name}: {}", plan.stderr);
        assert!(!desk.path().join("muster.db.d/worlds").exists(), "{name}: a plan keeps no world");
    }
}

#[test]
fn a_failure_on_purpose_pauses_and_a_rollback_puts_the_world_back() {
    let desk = Desk::new();
    let run = desk.muster(&["run", "hello-recovery", "--sandbox", "--fail", "fs.rename:2"]);
    assert_eq!(run.code, 7, "{run:?}");
    assert!(run.stdout.contains("refused on purpose"), "{run:?}");
    assert!(run.stdout.contains("paused after 2.0s"), "time stands still when nothing is done there: {run:?}");
    let back = desk.muster(&["rollback", "@latest"]);
    assert_eq!(back.code, 5, "{back:?}");
}

#[test]
fn a_retry_after_a_lost_answer_finds_what_was_done() {
    for how in ["refused", "half", "lost"] {
        let desk = Desk::new();
        let run = desk.muster(&["run", "hello-recovery", "--sandbox", "--fail", "1", "--fail-how", how]);
        let code = if run.code == 7 { desk.muster(&["retry", "@latest", "unpack"]).code } else { run.code };
        assert_eq!(code, 0, "{how}: {run:?}");
    }
}

#[test]
fn without_yes_the_sandbox_waits_for_people_too() {
    let desk = Desk::new();
    let retire = ["run", "omnichat-restore", "--sandbox", "-p", "retire=true"];
    let waits = desk.muster(&retire);
    assert_eq!(waits.code, 7, "{waits:?}");
    assert_eq!(desk.muster(&[&retire[..], &["--yes"]].concat()).code, 0);
}

#[test]
fn an_effect_that_is_none_is_refused() {
    let desk = Desk::new();
    for wrong in ["0", "fs.stat", "fs.renam", "fs.rename:0"] {
        assert_eq!(desk.muster(&["run", "hello-recovery", "--sandbox", "--fail", wrong]).code, 1, "{wrong}");
    }
    assert_eq!(desk.muster(&["run", "hello-recovery", "--fail", "1"]).code, 1, "not outside of the sandbox");
    assert_eq!(desk.muster(&["plan", "hello-recovery", "--world", "x.yaml"]).code, 1);
    assert_eq!(desk.muster(&["plan", "hello-recovery", "--sandbox", "--world", "none.yaml"]).code, 3);
}

/// The demonstration, as `make demo` runs it once Muster is built: what it prints.
fn demonstration(desk: &Desk) -> String {
    let temporary = desk.path().join("temporary");
    std::fs::create_dir_all(&temporary).expect("a folder");
    let output = std::process::Command::new(concat!(env!("CARGO_MANIFEST_DIR"), "/demo/run.sh"))
        .env("MUSTER", env!("CARGO_BIN_EXE_muster"))
        .env("MUSTER_DEMO_PAGES", desk.path().join("pages"))
        .env("TMPDIR", &temporary)
        .output()
        .expect("it runs");
    let said = format!("{}{}", String::from_utf8_lossy(&output.stdout), String::from_utf8_lossy(&output.stderr));
    assert!(output.status.success(), "{said}");
    assert_eq!(std::fs::read_dir(&temporary).expect("a folder").count(), 0, "what it worked on is removed");
    said
}

#[test]
fn the_demonstration_shows_what_it_says_also_a_second_time_and_leaves_only_its_pages() {
    let desk = Desk::new();
    for _ in 0..2 {
        let said = demonstration(&desk);
        for shown in ["Nothing was changed.", "muster retry ", "waiting, parked", "run succeeded", "run rolled back"] {
            assert!(said.contains(shown), "{shown} is missing in {said}");
        }
        let mut pages: Vec<_> =
            desk.path().join("pages").read_dir().expect("pages").map(|page| page.expect("a page").path()).collect();
        pages.sort();
        let names: Vec<_> = pages.iter().filter_map(|page| page.file_name()?.to_str()).collect();
        assert_eq!(names, ["hello-recovery.html", "omnichat-restore.html"]);
        for page in &pages {
            let text = std::fs::read_to_string(page).expect("a page");
            assert!(text.ends_with("</html>\n") && said.contains(&page.display().to_string()), "{}", page.display());
        }
    }
}
