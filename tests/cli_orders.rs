//! Every order a person can give to a run: what it does, prints and exits with, and how its wrong uses are refused.

#[path = "support/running.rs"]
mod running;
#[path = "support/cli.rs"]
mod support;

use std::path::PathBuf;
use std::process::Stdio;

use running::Running;
use serde_json::Value;
use support::{Desk, Said};

const HEAD: &str = r#"muster: 1
name: recover
version: 1.0.0
title: Recover by hand-made files
params:
  folder: { type: path, default: "." }
capabilities:
"#;

/// Two files, and a proof that a third is there.
const TWO_FILES: &str = r#"  - fs.stat
  - fs.write_text: { path: "${params.folder}/*" }
steps:
  - id: first
    uses: fs.write_text
    with: { path: "${params.folder}/a.txt", text: a }
  - id: second
    needs: [first]
    uses: fs.write_text
    with: { path: "${params.folder}/b.txt", text: b }
  - id: prove
    needs: [second]
    script: |
      if !host::fs::stat(params.folder + "/proof").exists {
          throw "there is no proof yet";
      }
      "proven"
"#;

/// A file that is replaced, and a proof that another is there.
const REPLACED: &str = r#"  - fs.stat
  - fs.write_text: { path: "${params.folder}/*" }
steps:
  - id: first
    uses: fs.write_text
    with: { path: "${params.folder}/a.txt", text: new, replace: true }
  - id: prove
    needs: [first]
    script: |
      if !host::fs::stat(params.folder + "/proof").exists {
          throw "there is no proof yet";
      }
      "proven"
"#;

/// Kills its own supervisor: nobody can tell any more what became of it.
const DOUBTFUL: &str = r#"  - exec.run: { argv: ["sh*"] }
steps:
  - id: migrate
    uses: exec.run
    with: { argv: [sh, -c, "echo x >> '${params.folder}/sent'; [ -e '${params.folder}/calm' ] || kill -9 $PPID"] }
"#;

const APPROVAL: &str = r#"  - fs.write_text: { path: "${params.folder}/*" }
steps:
  - id: retire
    approval: { by: [dr-lead], count: 1 }
    uses: fs.write_text
    with: { path: "${params.folder}/a.txt", text: a }
"#;

/// A file, one more if there is a switch, and one after these.
const GATED: &str = r#"  - fs.stat
  - fs.write_text: { path: "${params.folder}/*" }
steps:
  - id: retire
    approval: { by: [dr-lead] }
    script: |
      host::fs::write_text(#{ path: params.folder + "/a.txt", text: "a" });
      if host::fs::stat(params.folder + "/switch").exists {
          host::fs::write_text(#{ path: params.folder + "/b.txt", text: "b" });
      }
  - id: after
    needs: [retire]
    script: |
      host::fs::write_text(#{ path: params.folder + "/c.txt", text: "c" })
"#;

fn desk(steps: &str) -> Desk {
    let desk = Desk::new();
    desk.file("playbooks/recover/playbook.yaml", &format!("{HEAD}{steps}"));
    desk
}

/// A desk on which the playbook was run and has stopped with this code.
fn stopped(steps: &str, code: i32) -> Desk {
    let desk = desk(steps);
    let run = desk.muster(&["run", "recover"]);
    assert_eq!(run.code, code, "{run:?}");
    desk
}

fn status(desk: &Desk) -> String {
    let runs: Value = serde_json::from_str(&desk.muster(&["ps", "--all", "-o", "json"]).stdout).expect("a list");
    runs[0]["status"].as_str().unwrap_or_default().to_owned()
}

/// The facts a command printed with `-o json`: one record a line, and nothing else.
fn facts(said: &Said) -> Vec<String> {
    let record = |line: &str| -> Value { serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}")) };
    let name = |record: Value| record["fact"]["fact"].as_str().expect("a fact").to_owned();
    said.stdout.lines().map(|line| name(record(line))).collect()
}

fn refused(desk: &Desk, args: &[&str], why: &str) {
    let said = desk.muster(args);
    assert_eq!(said.code, 1, "{args:?}: {said:?}");
    assert!(said.stderr.contains(why), "{args:?} should say `{why}`: {}", said.stderr);
}

fn there(desk: &Desk, file: &str) -> bool {
    desk.path().join(file).exists()
}

#[test]
fn kill_ends_a_run_for_good_and_undoes_nothing() {
    let desk = stopped(TWO_FILES, 7);
    let kill = desk.muster(&["kill", "@latest"]);
    assert_eq!(kill.code, 10, "{kill:?}");
    assert!(kill.stdout.contains("! killed by"), "{}", kill.stdout);
    assert!(kill.stdout.contains(" --from prove "), "how to go on all the same: {}", kill.stdout);
    assert_eq!(status(&desk), "killed");
    assert!(there(&desk, "a.txt") && there(&desk, "b.txt"));
    for order in [&["kill", "@latest"][..], &["resume", "@latest"], &["rollback", "@latest"], &["note", "@latest", "x"]]
    {
        refused(&desk, order, "has ended (killed)");
    }
    refused(&desk, &["kill", "nope"], "no run `nope`");
}

#[test]
fn kill_as_json_is_the_records_of_its_end() {
    let desk = stopped(TWO_FILES, 7);
    let kill = desk.muster(&["kill", "@latest", "-o", "json"]);
    assert_eq!((kill.code, kill.stderr.as_str()), (10, ""));
    assert_eq!(facts(&kill), ["held", "commanded", "finished"]);
}

#[test]
fn kill_leaves_a_call_in_doubt_to_a_person() {
    let desk = stopped(DOUBTFUL, 6);
    let kill = desk.muster(&["kill", "@latest"]);
    assert_eq!(kill.code, 6, "{kill:?}");
    assert!(kill.stdout.contains("(exec.run) is in doubt"), "{}", kill.stdout);
}

#[test]
fn a_rejected_step_fails_and_says_why() {
    let desk = stopped(APPROVAL, 7);
    refused(&desk, &["reject", "@latest", "retire"], "--reason <TEXT>");
    refused(&desk, &["reject", "@latest", "retire", "-m", " "], "say it in words");
    refused(&desk, &["reject", "@latest", "retier", "-m", "no"], "did you mean `retire`?");
    let reject = desk.muster(&["reject", "@latest", "retire", "-m", "row counts differ"]);
    assert_eq!(reject.code, 7, "{reject:?}");
    assert!(reject.stdout.contains("row counts differ"), "{}", reject.stdout);
    assert!(reject.stdout.contains(" retire --from-start "), "it can be tried again: {}", reject.stdout);
    assert!(!there(&desk, "a.txt"));
    refused(&desk, &["reject", "@latest", "retire", "-m", "again"], "does not wait for approval");
    assert_eq!(desk.muster(&["cancel", "@latest"]).code, 10);
}

#[test]
fn the_starter_cannot_approve_and_another_can_once() {
    let desk = stopped(APPROVAL, 7);
    refused(&desk, &["approve", "@latest", "retire", "--role", "dr-lead"], "started");
    refused(&desk, &["approve", "@latest", "retire", "--break-glass"], "--reason <TEXT>");
    assert!(!there(&desk, "a.txt"));
    let desk = desk.env("MUSTER_ACTOR", "erin@desk");
    refused(&desk, &["approve", "@latest", "retire"], "dr-lead");
    let given = desk.muster(&["approve", "@latest", "retire", "--role", "dr-lead", "-o", "json"]);
    assert_eq!((given.code, given.stderr.as_str()), (0, ""), "{given:?}");
    assert!(facts(&given).contains(&"approved".to_owned()), "{}", given.stdout);
    assert!(there(&desk, "a.txt"));
}

/// A run without a plan that has come to an approval, which says what it is of, before somebody who may give it.
fn asked() -> Desk {
    let desk = stopped(GATED, 7);
    let pages = [&["show", "@latest"][..], &["approve", "@latest", "retire", "--role", "dr-lead"]];
    let shown = desk.muster(pages[0]).stdout;
    assert!(shown.contains("it lets the run do 2 effects and no others"), "{shown}");
    // The starter is told what it is of, and refused.
    for page in [shown, desk.muster(pages[1]).stderr] {
        let (_, page) = page.split_once("What the approval of retire lets the run do").expect("it is told");
        assert!(page.contains("/a.txt") && page.contains("/c.txt") && !page.contains("/b.txt"), "{page}");
    }
    assert!(!there(&desk, "a.txt"));
    desk.env("MUSTER_ACTOR", "erin@desk")
}

#[test]
fn an_approval_lets_the_run_do_what_was_shown_with_the_question() {
    let desk = asked();
    let went = desk.muster(&["approve", "@latest", "retire", "--role", "dr-lead"]);
    assert_eq!(went.code, 0, "{went:?}");
    assert!(there(&desk, "a.txt") && !there(&desk, "b.txt") && there(&desk, "c.txt"));
}

#[test]
fn what_was_not_approved_stops_the_run_before_it_is_done() {
    let desk = asked();
    desk.file("switch", "");
    let stopped = desk.muster(&["approve", "@latest", "retire", "--role", "dr-lead"]);
    assert_eq!(stopped.code, 7, "{stopped:?}");
    assert!(stopped.stdout.contains("not in what was approved: fs.write_text"), "{stopped:?}");
    assert!(there(&desk, "a.txt") && !there(&desk, "b.txt") && !there(&desk, "c.txt"));
    // It goes on under a plan of what is left, which is approved in its turn.
    assert_eq!(desk.muster(&["plan", "--run", "@latest", "--out", "rest.json"]).code, 0);
    assert_eq!(desk.muster(&["resume", "@latest", "--plan", "rest.json"]).code, 7);
    assert!(!there(&desk, "b.txt"));
    assert_eq!(desk.muster(&["approve", "@latest", "retire", "--role", "dr-lead"]).code, 0);
    assert!(there(&desk, "b.txt") && there(&desk, "c.txt"));
}

#[test]
fn a_call_in_doubt_is_settled_by_who_looked() {
    for (how, sent, fact) in [("--done", 1, "ended"), ("--not-done", 2, "resent")] {
        let desk = stopped(DOUBTFUL, 6);
        desk.file("calm", "");
        refused(&desk, &["settle", "@latest", "migrate", how], "--reason <TEXT>");
        refused(&desk, &["settle", "@latest", "migrate", how, "-m", ""], "say it in words");
        refused(&desk, &["settle", "@latest", "migrate", "-m", "x"], "--done");
        refused(&desk, &["settle", "@latest", "migrate", "--done", "--not-done", "-m", "x"], "cannot be used with");
        refused(&desk, &["settle", "@latest", "migrate", "--done", "--result", "{", "-m", "x"], "not JSON");
        refused(&desk, &["settle", "@latest", "migrte", how, "-m", "x"], "did you mean `migrate`?");
        let asked = desk.muster(&["retry", "@latest", "migrate"]);
        assert_eq!(asked.code, 6, "the world still cannot tell: {asked:?}");
        assert!(asked.stdout.contains("in doubt: nobody can tell"), "{}", asked.stdout);
        let settle = desk.muster(&["settle", "@latest", "migrate", how, "-m", "I looked", "-o", "json"]);
        assert_eq!((settle.code, settle.stderr.as_str()), (0, ""), "{how}: {settle:?}");
        assert!(facts(&settle).contains(&fact.to_owned()), "{how}: {}", settle.stdout);
        let lines = std::fs::read_to_string(desk.path().join("sent")).expect("it was sent").lines().count();
        assert_eq!(lines, sent, "{how}");
        assert!(desk.muster(&["show", "@latest"]).stdout.contains("I looked"), "the evidence is kept");
    }
}

#[test]
fn what_is_not_in_doubt_cannot_be_settled() {
    let desk = stopped(TWO_FILES, 7);
    refused(&desk, &["settle", "@latest", "prove", "--done", "-m", "x"], "prove has no call in doubt");
    assert_eq!(status(&desk), "paused");
}

#[test]
fn rollback_down_to_a_step_keeps_it_and_the_rest_runs_again() {
    let desk = stopped(TWO_FILES, 7);
    refused(&desk, &["rollback", "@latest", "--to", "frist"], "there is no step `frist`");
    let rollback = desk.muster(&["rollback", "@latest", "--to", "first"]);
    assert_eq!(rollback.code, 7, "{rollback:?}");
    assert!(rollback.stdout.contains("rolled back to step first"), "{}", rollback.stdout);
    assert!(there(&desk, "a.txt") && !there(&desk, "b.txt"));
    desk.file("proof", "");
    let resume = desk.muster(&["resume", "@latest"]);
    assert_eq!(resume.code, 0, "{resume:?}");
    assert!(there(&desk, "b.txt"), "the second step was run again");
}

#[test]
fn what_somebody_else_changed_is_undone_only_by_force() {
    let desk = stopped(TWO_FILES, 7);
    desk.file("a.txt", "not ours any more");
    let asks = desk.muster(&["rollback", "@latest"]);
    assert_eq!(asks.code, 6, "{asks:?}");
    let says = "what fs.write_text left has been changed since: sha256 was ca978112ca1bbdcafac231b3… and is ce78";
    assert!(asks.stdout.contains(says), "{}", asks.stdout);
    assert!(there(&desk, "a.txt") && !there(&desk, "b.txt"), "what was not changed is undone");
    assert_eq!(desk.muster(&["rollback", "@latest"]).code, 6, "it asks again");
    let force = desk.muster(&["rollback", "@latest", "--force", "-o", "json"]);
    assert_eq!((force.code, force.stderr.as_str()), (5, ""), "{force:?}");
    assert_eq!(facts(&force).last().map(String::as_str), Some("finished"));
    assert!(!there(&desk, "a.txt"));
    refused(&desk, &["rollback", "@latest", "--force"], "has ended (rolled back)");
}

#[test]
fn an_undo_left_out_leaves_the_effect_and_a_person_is_told() {
    let desk = stopped(TWO_FILES, 7);
    refused(&desk, &["skip-undo", "@latest", "-m", "x"], "no undo waits for a decision");
    desk.file("a.txt", "not ours any more");
    assert_eq!(desk.muster(&["rollback", "@latest"]).code, 6);
    refused(&desk, &["skip-undo", "@latest"], "--reason <TEXT>");
    refused(&desk, &["skip-undo", "@latest", "-m", "\t"], "say it in words");
    let skip = desk.muster(&["skip-undo", "@latest", "-m", "needed for the analysis"]);
    assert_eq!(skip.code, 6, "{skip:?}");
    assert!(skip.stdout.contains("is left standing: needed for the analysis"), "{}", skip.stdout);
    assert!(there(&desk, "a.txt") && !there(&desk, "b.txt"));
}

#[test]
fn a_refused_order_leaves_the_choices_as_they_were() {
    let desk = stopped(TWO_FILES, 7);
    desk.file("a.txt", "not ours any more");
    assert_eq!(desk.muster(&["rollback", "@latest"]).code, 6);
    let refused = desk.muster(&["rollback", "@latest", "--to", "frist"]);
    assert_eq!(refused.code, 1);
    for said in [refused, desk.muster(&["show", "@latest"])] {
        assert!(said.stdout.contains("muster skip-undo "), "{}", said.stdout);
    }
    let next = desk.muster(&["ps"]).stdout;
    assert!(next.contains("muster rollback "), "{next}");
}

#[test]
fn a_fork_names_its_wrong_uses() {
    let desk = stopped(TWO_FILES, 7);
    refused(&desk, &["fork", "@latest"], "--from <STEP>");
    refused(&desk, &["fork", "@latest", "--from", "prov"], "did you mean `prove`?");
    refused(&desk, &["fork", "nope", "--from", "prove"], "no run `nope`");
    assert_eq!(desk.muster(&["fork", "@latest", "--from", "prove", "--playbook", "recver"]).code, 3);
    assert_eq!(desk.muster(&["fork", "@latest", "--from", "prove", "-p", "flder=x"]).code, 3);
    desk.file("proof", "");
    let fork = desk.muster(&["fork", "@latest", "--from", "prove", "-o", "json"]);
    assert_eq!((fork.code, fork.stderr.as_str()), (0, ""), "{fork:?}");
    assert_eq!(
        facts(&fork).iter().filter(|fact| *fact == "step_started").count(),
        1,
        "only the step and what needs it"
    );
}

#[test]
fn a_note_says_something_or_is_refused() {
    let desk = stopped(TWO_FILES, 7);
    refused(&desk, &["note", "@latest"], "<TEXT>");
    refused(&desk, &["note", "@latest", "  "], "say it in words");
    refused(&desk, &["note", "nope", "x"], "no run `nope`");
    assert_eq!(desk.muster(&["note", "@latest", "vendor called"]).code, 0);
    desk.file("proof", "");
    assert_eq!(desk.muster(&["retry", "@latest", "prove"]).code, 0);
    assert!(desk.muster(&["logs", "@latest"]).stdout.contains("vendor called"));
}

#[test]
fn a_run_that_stays_takes_orders_from_elsewhere() {
    let desk = desk(TWO_FILES);
    let stays = |args: &[&str]| Running::start(desk.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let until_paused = || {
        let begun = std::time::Instant::now();
        while !desk.muster(&["ps"]).stdout.contains(" paused  ") {
            assert!(begun.elapsed() < std::time::Duration::from_secs(30), "it never paused");
            std::thread::sleep(std::time::Duration::from_millis(20));
        }
    };
    let run = stays(&["run", "recover", "--wait"]);
    until_paused();
    refused(&desk, &["resume", "@latest", "--wait"], "is held by");
    refused(&desk, &["fork", "@latest", "--from", "prove"], "is held by");
    let cancel = desk.muster(&["cancel", "@latest"]);
    assert_eq!(cancel.code, 0, "{cancel:?}");
    assert_eq!(run.end().status.code(), Some(10));
    assert!(!there(&desk, "a.txt"), "what it did was undone");

    assert_eq!(desk.muster(&["run", "recover"]).code, 7);
    let resumed = stays(&["resume", "@latest", "--wait"]);
    until_paused();
    desk.file("proof", "");
    let retry = desk.muster(&["retry", "@latest", "prove"]);
    assert_eq!(retry.code, 0, "{retry:?}");
    assert!(retry.stderr.contains("taken up by"), "{}", retry.stderr);
    let ended = resumed.end();
    assert_eq!(ended.status.code(), Some(0), "{}", String::from_utf8_lossy(&ended.stderr));
}

#[test]
fn usage_does_not_claim_that_a_store_must_be_named() {
    let desk = Desk::new();
    let said = desk.muster(&["kill"]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("Usage: muster kill <RUN>\n"), "{}", said.stderr);
}

/// The before-images beside the file, and the lists of them.
fn images(desk: &Desk) -> Vec<PathBuf> {
    let folders = [desk.path().to_owned(), desk.path().join("muster.db.d/children")];
    let entries = folders.iter().flat_map(|folder| std::fs::read_dir(folder).expect("a folder").flatten());
    let is_one = |path: &PathBuf| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        name.contains(".before-") || name.ends_with(".images")
    };
    entries.map(|entry| entry.path()).filter(is_one).collect()
}

#[test]
fn before_images_of_a_run_that_ended_while_the_engine_died_are_dropped_and_no_others() {
    let desk = desk(REPLACED);
    desk.file("a.txt", "old");
    assert_eq!(desk.muster(&["run", "recover"]).code, 7, "it has stopped");
    let kept: Vec<(PathBuf, Vec<u8>)> =
        images(&desk).into_iter().map(|path| (path.clone(), std::fs::read(path).expect("it is read"))).collect();
    assert_eq!(kept.len(), 2, "an image and its list: {kept:?}");
    let first = desk.muster(&["ps", "--all", "-o", "json"]).stdout;
    let first = serde_json::from_str::<Value>(&first).expect("a list")[0]["run"].as_str().expect("an id").to_owned();

    // Another run stands still: its own image stays, whoever tidies up.
    assert_eq!(desk.muster(&["run", "recover"]).code, 7);
    assert_eq!(images(&desk).len(), 4, "what is still needed is kept");
    assert_eq!(desk.muster(&["cancel", &first, "--no-rollback"]).code, 10);
    assert_eq!(images(&desk).len(), 2, "the end of a run drops its own");

    let orders: [&[&str]; 3] = [&["run", "recover"], &["resume", "@latest"], &["resume", &first]];
    for order in orders {
        let others = images(&desk).len();
        // As an engine leaves it that is killed between the last record and this.
        kept.iter().for_each(|(path, bytes)| std::fs::write(path, bytes).expect("it is put back"));
        desk.muster(order);
        let own = usize::from(order[0] == "run") * 2;
        assert_eq!(images(&desk).len(), others + own, "after {order:?}: {:?}", images(&desk));
        assert!(kept.iter().all(|(path, _)| !path.exists()), "after {order:?}");
    }
}
