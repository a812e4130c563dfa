//! Whole runs on the command line: paused, told what to do, carried on, undone.

#[path = "support/running.rs"]
mod running;
#[path = "support/cli.rs"]
mod support;
#[path = "support/terminal.rs"]
mod terminal;

use std::io::{BufRead as _, BufReader};
use std::process::{Child, Stdio};

use running::Running;
use serde_json::{Value, json};
use support::{Desk, Said};
use terminal::Terminal;

/// Writes a file, waits for another to be there, and proves it.
const RECOVER: &str = r#"muster: 1
name: recover
version: 1.0.0
title: Recover by hand-made files
params:
  folder: { type: path, default: "." }
capabilities:
  - fs.stat
  - fs.write_text: { path: "${params.folder}/*" }
steps:
  - id: write
    title: Write what was lost
    uses: fs.write_text
    with: { path: "${params.folder}/restored.txt", text: "restored" }
  - id: prove
    title: Prove that it is there
    needs: [write]
    script: |
      if !host::fs::stat(params.folder + "/proof").exists {
          throw "there is no proof yet";
      }
      "proven"
"#;

fn desk(playbook: &str) -> Desk {
    let desk = Desk::new();
    desk.file("playbooks/recover/playbook.yaml", playbook);
    desk
}

/// The steps of `recover`, replaced.
fn with_steps(steps: &str) -> Desk {
    let head = RECOVER.split("steps:\n").next().expect("a head");
    desk(&format!("{head}{steps}"))
}

fn records(said: &Said) -> Vec<Value> {
    said.stdout.lines().map(|line| serde_json::from_str(line).unwrap_or_else(|e| panic!("{e}: {line}"))).collect()
}

fn status(desk: &Desk) -> String {
    let ps = desk.muster(&["ps", "--all", "-o", "json"]);
    let runs: Value = serde_json::from_str(&ps.stdout).expect("a list");
    runs[0]["status"].as_str().unwrap_or_default().to_owned()
}

fn restored(desk: &Desk) -> bool {
    desk.path().join("restored.txt").exists()
}

#[test]
fn a_failed_step_pauses_the_run_and_a_retry_carries_it_on() {
    let desk = desk(RECOVER);
    let run = desk.muster(&["run", "recover"]);
    assert_eq!(run.code, 7, "{run:?}");
    assert!(run.stdout.contains("there is no proof yet"), "{}", run.stdout);
    assert!(run.stdout.contains(" prove --from-start "), "the choices are commands to copy: {}", run.stdout);
    let again = desk.muster(&["retry", "@latest", "prove"]);
    assert_eq!(again.code, 7, "it fails again: {again:?}");
    desk.file("proof", "");
    let retry = desk.muster(&["retry", "@latest", "prove"]);
    assert_eq!(retry.code, 0, "{retry:?}");
    assert_eq!(status(&desk), "succeeded");
    assert!(restored(&desk));
}

/// Looks, computes for a while, writes, computes again: how long that takes says nothing about whether it is right.
const SLOW: &str = r#"steps:
  - id: work
    title: Compute
    retry: { attempts: 3, delay: 1ms }
    on_failure: rollback
    script: |
      fn count() { let i = 0; while i < 400000 { i += 1; } i }
      host::fs::write_text(#{ path: params.folder + "/restored.txt", text: "x" });
      try { [1].for_each(|n| count()); } catch { throw "what a script makes of being stopped means nothing"; }
      count()
"#;

fn hurried(desk: &Desk, args: &[&str]) -> Said {
    desk.said(desk.command(args).env("MUSTER_SCRIPT_TIME", "15ms"))
}

#[test]
fn a_script_that_takes_too_long_pauses_the_run_and_a_retry_goes_on_from_its_last_call() {
    let desk = with_steps(SLOW);
    let run = hurried(&desk, &["run", "recover"]);
    assert_eq!(run.code, 7, "{run:?}");
    for said in [
        "step work was stopped: the script computed for more than 15ms without a call",
        "MUSTER_SCRIPT_TIME=5m",
        "retry",
    ] {
        assert!(run.stdout.contains(said), "{said}: {}", run.stdout);
    }
    assert_eq!(status(&desk), "paused");
    assert!(restored(&desk), "neither retried nor rolled back by itself");
    // A resume alone decides nothing.
    let again = hurried(&desk, &["retry", "@latest", "work"]);
    assert_eq!(again.code, 7, "{again:?}");
    let resume = desk.muster(&["resume", "@latest"]);
    assert_eq!(resume.code, 7, "{resume:?}");
    let retry = desk.muster(&["retry", "@latest", "work"]);
    assert_eq!(retry.code, 0, "{retry:?}");
    let logs = desk.muster(&["logs", "@latest"]).stdout;
    assert_eq!(logs.matches("fs.write_text started").count(), 1, "{logs}");
    assert!(!logs.contains("work  failed"), "{logs}");
}

#[test]
fn a_script_stopped_while_its_calls_are_replayed_has_not_diverged() {
    let desk = with_steps(
        r#"steps:
  - id: work
    title: Compute
    script: |
      let i = 0;
      while i < 400000 { i += 1; }
      host::fs::write_text(#{ path: params.folder + "/restored.txt", text: "x" });
      if !host::fs::stat(params.folder + "/proof").exists { throw "there is no proof yet"; }
"#,
    );
    assert_eq!(desk.muster(&["run", "recover"]).code, 7);
    desk.file("proof", "");
    let retry = hurried(&desk, &["retry", "@latest", "work"]);
    assert_eq!((retry.code, status(&desk).as_str()), (7, "paused"), "{retry:?}");
    assert!(retry.stdout.contains("step work was stopped"), "{}", retry.stdout);
    assert_eq!(desk.muster(&["retry", "@latest", "work"]).code, 0);
}

#[test]
fn a_step_whose_script_takes_too_long_may_be_left_or_undone() {
    for (order, code) in [
        (&["skip", "@latest", "work", "-m", "x"][..], 12),
        (&["done", "@latest", "work", "-m", "x"], 12),
        (&["rollback", "@latest"], 5),
    ] {
        let desk = with_steps(SLOW);
        assert_eq!(hurried(&desk, &["run", "recover"]).code, 7);
        let told = desk.muster(order);
        assert_eq!(told.code, code, "{told:?}");
        assert_eq!(restored(&desk), code == 12);
    }
    let desk = with_steps(
        "steps:\n  - id: never\n    when: \"(|| { let i = 0; while i < 400000 { i += 1; } false }).call()\"\n    script: \"1\"\n",
    );
    let run = hurried(&desk, &["run", "recover"]);
    assert_eq!(run.code, 7, "{run:?}");
    assert_eq!(desk.muster(&["retry", "@latest", "never"]).code, 0, "before the step has begun, too");
}

#[test]
fn a_setting_that_is_no_time_is_refused() {
    let desk = desk(RECOVER);
    let run = desk.said(desk.command(&["run", "recover"]).env("MUSTER_SCRIPT_TIME", "soon"));
    assert_eq!(run.code, 4, "{run:?}");
    assert!(run.stderr.contains("MUSTER_SCRIPT_TIME is no period of time"), "{}", run.stderr);
}

#[test]
fn a_large_result_is_kept_apart_from_the_journal_and_read_through() {
    let desk = with_steps(
        "steps:\n  - id: read\n    uses: fs.read_text\n    with: { path: \"${params.folder}/long\", max: 200000 }\n  \
         - id: count\n    needs: [read]\n    script: |\n      if !host::fs::stat(params.folder + \"/proof\").exists { throw \"no proof\"; }\n      \
         steps.read.text.len()\n",
    );
    let text = std::fs::read_to_string(desk.path().join("playbooks/recover/playbook.yaml")).expect("a playbook");
    desk.file("playbooks/recover/playbook.yaml", &text.replace("  - fs.stat\n", "  - fs.stat\n  - fs.read_text\n"));
    desk.file("long", &"0123456789".repeat(10_000));
    let run = desk.muster(&["run", "recover"]);
    assert_eq!(run.code, 7, "{run:?}");
    let db = rusqlite::Connection::open(desk.store_path()).expect("the store");
    let count = |what: &str| db.query_row(what, [], |row| row.get::<_, u64>(0)).expect("a number");
    assert_eq!(count("SELECT count(*) FROM blob WHERE length(bytes) > 65536"), 1, "result and output are the same");
    assert_eq!(count("SELECT count(*) FROM batch WHERE length(body) > 65536"), 0);
    let logs = records(&desk.muster(&["logs", "@latest", "-o", "json"]));
    let whole = |record: &&Value| record["fact"]["output"]["text"].as_str().is_some_and(|text| text.len() == 100_000);
    assert_eq!(logs.iter().filter(whole).count(), 1);
    assert!(desk.muster(&["show", "@latest", "--results", "-o", "json"]).stdout.contains(&"0123456789".repeat(10_000)));

    desk.file("proof", "");
    db.execute_batch(
        "CREATE TABLE aside AS SELECT * FROM blob; UPDATE blob SET bytes = x'00' WHERE length(bytes) > 65536",
    )
    .expect("altered");
    for command in ["resume", "show", "logs"] {
        let said = desk.muster(&[command, "@latest"]);
        assert_eq!(said.code, 6, "{command}: {said:?}");
        assert!(said.stderr.contains("is damaged at record") && said.stderr.contains("has digest"), "{}", said.stderr);
    }
    db.execute_batch("UPDATE blob SET bytes = (SELECT bytes FROM aside WHERE aside.key = blob.key); DROP TABLE aside")
        .expect("mended");
    assert_eq!(desk.muster(&["retry", "@latest", "count"]).code, 0);
    assert!(desk.muster(&["show", "@latest", "--results"]).stdout.contains("100000"));
}

#[test]
fn a_rollback_puts_back_what_was_there() {
    let desk = desk(RECOVER);
    assert_eq!(desk.muster(&["run", "recover"]).code, 7);
    assert!(restored(&desk));
    let rollback = desk.muster(&["rollback", "@latest"]);
    assert_eq!(rollback.code, 5, "{rollback:?}");
    assert!(!restored(&desk), "the file is gone again");
    assert_eq!(status(&desk), "rolled_back");
}

#[test]
fn a_skipped_or_hand_made_step_makes_a_success_with_exceptions() {
    for verb in ["skip", "done"] {
        let desk = desk(RECOVER);
        assert_eq!(desk.muster(&["run", "recover"]).code, 7);
        let told = desk.muster(&[verb, "@latest", "prove", "-m", "I looked myself"]);
        assert_eq!(told.code, 12, "{told:?}");
        assert!(desk.muster(&["show", "@latest"]).stdout.contains("I looked myself"));
    }
}

#[test]
fn cancelling_without_rollback_leaves_things_as_they_are() {
    let desk = desk(RECOVER);
    assert_eq!(desk.muster(&["run", "recover"]).code, 7);
    let cancel = desk.muster(&["cancel", "@latest", "--no-rollback"]);
    assert_eq!(cancel.code, 10, "{cancel:?}");
    assert!(restored(&desk));
}

#[test]
fn an_order_that_does_not_fit_is_refused_with_its_reason() {
    let desk = desk(RECOVER);
    assert_eq!(desk.muster(&["run", "recover"]).code, 7);
    let retry = desk.muster(&["retry", "@latest", "write"]);
    assert_eq!(retry.code, 1, "{retry:?}");
    assert!(retry.stderr.ends_with("error: retry of write was refused: write has not failed\n"), "{}", retry.stderr);
    assert_eq!(status(&desk), "paused");
}

#[test]
fn an_order_left_for_later_is_carried_out_by_resume() {
    let desk = desk(RECOVER);
    assert_eq!(desk.muster(&["run", "recover"]).code, 7);
    desk.file("proof", "");
    let retry = desk.muster(&["retry", "@latest", "prove", "--later"]);
    assert_eq!((retry.code, retry.stdout.as_str()), (0, ""));
    assert_eq!(status(&desk), "paused");
    assert_eq!(desk.muster(&["resume", "@latest"]).code, 0);
}

#[test]
fn json_is_one_record_a_line_and_nothing_else() {
    let desk = desk(RECOVER);
    desk.file("proof", "");
    let run = desk.muster(&["run", "recover", "-o", "json"]);
    assert_eq!((run.code, run.stderr.as_str()), (0, ""));
    let told = records(&run);
    let stored = records(&desk.muster(&["logs", "@latest", "-o", "json"]));
    assert_eq!(told, stored, "what is shown is what is stored");
    assert_eq!(told.first().map(|record| record["fact"]["fact"].clone()), Some(json!("run_started")));
    assert_eq!(told.last().map(|record| record["fact"]["status"].clone()), Some(json!("succeeded")));
}

#[test]
fn nobody_approves_what_they_started_but_in_an_emergency() {
    let desk = with_steps(
        "steps:\n  - id: retire\n    approval: { by: [dr-lead], count: 1 }\n    uses: fs.write_text\n    \
         with: { path: \"${params.folder}/restored.txt\", text: x }\n",
    );
    let run = desk.muster(&["run", "recover"]);
    assert_eq!(run.code, 7, "{run:?}");
    assert!(run.stdout.contains("0 of 1 given; may be given by dr-lead"), "{}", run.stdout);
    let own = desk.muster(&["approve", "@latest", "retire", "--role", "dr-lead"]);
    assert_eq!(own.code, 1, "{own:?}");
    assert!(!restored(&desk));
    let glass = desk.muster(&["approve", "@latest", "retire", "--break-glass", "-m", "the lead is on a plane"]);
    assert_eq!(glass.code, 0, "{glass:?}");
    assert!(restored(&desk));
}

#[test]
fn a_question_is_answered_from_its_options() {
    let desk = with_steps(
        "steps:\n  - id: choose\n    script: |\n      host::ask::choice(#{ question: \"Which?\", options: [\"monday\", \"tuesday\"] })\n",
    );
    let text = std::fs::read_to_string(desk.path().join("playbooks/recover/playbook.yaml")).expect("a playbook");
    desk.file("playbooks/recover/playbook.yaml", &text.replace("  - fs.stat\n", "  - fs.stat\n  - ask.choice\n"));
    let run = desk.muster(&["run", "recover"]);
    assert_eq!(run.code, 7, "{run:?}");
    assert!(run.stdout.contains("step choose asks: Which?"), "{}", run.stdout);
    assert_eq!(desk.muster(&["answer", "@latest", "choose", "sunday"]).code, 1);
    assert_eq!(desk.muster(&["answer", "@latest", "choose", "tuesday"]).code, 0);
    assert!(desk.muster(&["show", "@latest", "--results"]).stdout.contains("tuesday"));
}

/// Starts a run that waits for a timer, and gives it back when it does.
fn waiting(desk: &Desk, args: &[&str]) -> (Running, BufReader<std::process::ChildStderr>) {
    let mut child = Running::start(desk.command(args).stdout(Stdio::piped()).stderr(Stdio::piped()));
    let mut progress = BufReader::new(child.stderr.take().expect("its progress"));
    let mut line = String::new();
    while !line.contains("time.sleep waits") {
        line.clear();
        assert!(progress.read_line(&mut line).expect("a line") > 0, "it ended before it waited");
    }
    (child, progress)
}

fn sleeper(pace: &str) -> Desk {
    let desk = with_steps(&format!(
        "steps:\n  - id: write\n    uses: fs.write_text\n    with: {{ path: \"${{params.folder}}/restored.txt\", text: x }}\n  \
         - id: nap\n    needs: [write]\n    uses: time.sleep\n    with: {{ duration: {pace} }}\n"
    ));
    let text = std::fs::read_to_string(desk.path().join("playbooks/recover/playbook.yaml")).expect("a playbook");
    desk.file("playbooks/recover/playbook.yaml", &text.replace("  - fs.stat\n", "  - fs.stat\n  - time.sleep\n"));
    desk
}

fn interrupt(child: &Child) {
    let pid = rustix::process::Pid::from_raw(i32::try_from(child.id()).expect("a pid")).expect("a pid");
    rustix::process::kill_process(pid, rustix::process::Signal::INT).expect("the signal is sent");
}

#[test]
fn ctrl_c_parks_the_run_and_resume_goes_on() {
    let desk = sleeper("3s");
    let (child, mut progress) = waiting(&desk, &["run", "recover"]);
    interrupt(&child);
    let output = child.end();
    let mut rest = String::new();
    std::io::Read::read_to_string(&mut progress, &mut rest).expect("the rest");
    assert_eq!(output.status.code(), Some(7), "{rest}");
    assert!(rest.contains("nothing new is begun"), "{rest}");
    assert!(rest.contains("parked; `muster resume "), "{rest}");
    assert!(desk.muster(&["ps"]).stdout.contains("parked"));
    assert_eq!(desk.muster(&["resume", "@latest"]).code, 0);
}

#[test]
fn a_second_terminal_sees_reaches_and_ends_a_run() {
    let desk = sleeper("1h");
    let (child, _progress) = waiting(&desk, &["run", "recover"]);
    let ps = desk.muster(&["ps"]);
    assert!(ps.stdout.contains("waiting") && !ps.stdout.contains("parked"), "{}", ps.stdout);
    let resume = desk.muster(&["resume", "@latest"]);
    assert_eq!(resume.code, 1);
    assert!(resume.stderr.contains(&format!("(process {})", child.id())), "{}", resume.stderr);
    assert_eq!(desk.muster(&["note", "@latest", "seen from here"]).code, 0);
    let cancel = desk.muster(&["cancel", "@latest"]);
    assert_eq!(cancel.code, 0, "{cancel:?}");
    assert!(cancel.stderr.contains("taken up by"), "{}", cancel.stderr);
    let output = child.end();
    assert!(!restored(&desk), "what it did was undone");
    assert!(matches!(output.status.code(), Some(5 | 10)), "{output:?}");
}

#[test]
fn a_killed_run_is_taken_up_where_it_was() {
    let desk = sleeper("1s");
    let (mut child, _progress) = waiting(&desk, &["run", "recover"]);
    child.kill().expect("it is killed");
    child.wait().expect("it is gone");
    let resume = desk.muster(&["resume", "@latest"]);
    assert_eq!(resume.code, 0, "{resume:?}");
    let logs = desk.muster(&["logs", "@latest"]).stdout;
    assert_eq!(logs.matches("fs.write_text started").count(), 1, "{logs}");
}

#[test]
fn a_fork_keeps_results_and_runs_the_rest_on_a_mended_playbook() {
    let desk = desk(RECOVER);
    assert_eq!(desk.muster(&["run", "recover"]).code, 7);
    assert_eq!(desk.muster(&["cancel", "@latest", "--no-rollback"]).code, 10);
    let mended = RECOVER.replace("1.0.0", "1.0.1").replace("/proof", "/restored.txt");
    desk.file("playbooks/recover/playbook.yaml", &mended);
    let fork = desk.muster(&["fork", "@latest", "--from", "prove", "--playbook", "recover"]);
    assert_eq!(fork.code, 0, "{fork:?}");
    let logs = desk.muster(&["logs", "@latest"]).stdout;
    assert!(!logs.contains("fs.write_text"), "the first step's effect is kept, not repeated: {logs}");
    let diff = desk.muster(&["playbook", "diff", "recover@1.0.0", "recover@1.0.1"]);
    assert!(diff.stdout.contains("-version: 1.0.0\n+version: 1.0.1\n"), "{}", diff.stdout);
    let history = desk.muster(&["playbook", "history", "recover"]);
    assert_eq!(history.stdout.lines().count(), 3, "{}", history.stdout);
}

#[test]
fn a_plan_touches_nothing_and_says_what_it_could_not_see() {
    let desk = desk(RECOVER);
    desk.file("proof", "");
    let plan = desk.muster(&["plan", "recover"]);
    assert_eq!(plan.code, 0, "{plan:?}");
    assert!(plan.stdout.contains("path=DESK/restored.txt  text=restored"), "{}", plan.stdout);
    assert!(!restored(&desk));
    assert_eq!(desk.muster(&["plan", "recover", "--detailed-exitcode"]).code, 2, "{plan:?}");
    assert_eq!(desk.muster(&["ps", "--all"]).stdout, "", "a plan is no run");
}

#[test]
fn wrong_playbooks_and_parameters_exit_with_3() {
    let desk = desk(RECOVER);
    for args in [
        &["run", "recver"][..],
        &["run", "recover", "-p", "folde=x"],
        &["run", "recover", "-f", "params.yaml"],
        &["plan", "recover", "-p", "folde=x"],
    ] {
        desk.file("params.yaml", "folder: [not, a, path]\n");
        let said = desk.muster(args);
        assert_eq!((said.code, said.stdout.as_str()), (3, ""), "{args:?}: {}", said.stderr);
    }
    let misspelt = desk.muster(&["run", "recver"]);
    assert!(misspelt.stderr.contains("did you mean `recover`?"), "{}", misspelt.stderr);
}

#[test]
fn a_new_playbook_is_valid_and_runs() {
    let desk = Desk::new();
    let new = desk.muster(&["new", "my-first"]);
    assert_eq!(new.code, 0, "{new:?}");
    let text = std::fs::read_to_string(desk.path().join("my-first/playbook.yaml")).expect("a playbook");
    assert!(text.starts_with("# yaml-language-server: $schema=./playbook.schema.json\n"));
    let lint = desk.muster(&["lint", "./my-first", "--strict"]);
    assert_eq!((lint.code, lint.stdout.as_str()), (0, ""), "{}", lint.stderr);
    assert_eq!(desk.muster(&["run", "./my-first", "-p", "pace=1ms"]).code, 0);
    assert_eq!(desk.muster(&["new", "my-first"]).code, 1);
    assert_eq!(desk.muster(&["new", "My First"]).code, 1);
}

#[test]
fn a_changed_version_is_found_out_by_the_lock() {
    let desk = desk(RECOVER);
    assert_eq!(desk.muster(&["lint", "--locked"]).code, 3, "not locked yet");
    assert_eq!(desk.muster(&["lint", "--lock"]).code, 0);
    assert_eq!(desk.muster(&["lint", "--locked"]).code, 0);
    desk.file("playbooks/recover/playbook.yaml", &RECOVER.replace("restored\"", "restored!\""));
    let changed = desk.muster(&["lint", "--locked"]);
    assert_eq!(changed.code, 3);
    assert!(changed.stderr.contains("recover 1.0.0 has changed since it was locked"), "{}", changed.stderr);
    desk.file("playbooks/recover/playbook.yaml", &RECOVER.replace("1.0.0", "1.0.1"));
    assert_eq!(desk.muster(&["lint", "--lock"]).code, 0);
}

/// Waits for a file, in a step with a long name beside one with a long reason to fail.
const LONG: &str = r#"muster: 1
name: long
version: 1.0.0
title: Steps with long names
capabilities:
  - exec.run: { argv: ["sh*"] }
steps:
  - id: wait_for_the_file_to_be_there
    title: Wait
    uses: exec.run
    with: { argv: [sh, -c, "until [ -e '{go}' ]; do sleep 0.05; done"] }
    rollback: "()"
  - id: give_up
    title: Give up
    script: throw "there was no room on any of the disks on which it could have been put";
"#;

#[test]
fn no_line_of_the_live_tree_is_wider_than_its_terminal() {
    let desk = Desk::new();
    let go = desk.path().join("go");
    desk.file("playbooks/recover/playbook.yaml", &LONG.replace("{go}", &go.display().to_string()));
    for (columns, then) in [(40, 20), (20, 8), (8, 60)] {
        let mut command = desk.command(&["run", "recover"]);
        command.env("TERM", "xterm-256color").env("LANG", "C.UTF-8");
        let mut terminal = Terminal::run(&mut command, columns);
        let drawn = terminal.until(|text| text.matches("long").count() > 2);
        let widest = drawn.split(['\n', '\r']).map(console::measure_text_width).max();
        assert!(widest < Some(usize::from(columns)), "{columns} columns: {drawn:?}");
        terminal.resize(then);
        terminal.until(|text| text.matches("long").count() > 2);
        std::fs::write(&go, "").expect("a file");
        assert_eq!(terminal.end(), Some(7), "{}", terminal.seen);
        assert!(terminal.seen.contains("give_up failed"), "{}", terminal.seen);
        std::fs::remove_file(&go).expect("it is there");
    }
}

#[test]
fn colours_are_as_the_terminal_and_the_environment_say() {
    let desk = desk(RECOVER);
    assert_eq!(desk.muster(&["run", "recover"]).code, 7);
    let on_terminal = |variables: &[(&str, &str)]| {
        let mut command = desk.command(&["show", "@latest"]);
        command.envs(variables.iter().copied());
        let mut terminal = Terminal::run(&mut command, 80);
        assert_eq!(terminal.end(), Some(0), "{}", terminal.seen);
        terminal.seen.contains('\u{1b}')
    };
    let term = ("TERM", "xterm-256color");
    assert!(on_terminal(&[term]));
    assert!(on_terminal(&[term, ("NO_COLOR", "")]), "an empty one is as none");
    assert!(!on_terminal(&[term, ("NO_COLOR", "1")]));
    assert!(!on_terminal(&[term, ("CLICOLOR", "0")]));
    assert!(!on_terminal(&[("TERM", "dumb")]));
    let in_pipe = |variables: &[(&str, &str)]| {
        let said = desk.said(desk.command(&["show", "@latest"]).envs(variables.iter().copied()));
        said.stdout.contains('\u{1b}')
    };
    assert!(!in_pipe(&[term]));
    assert!(!in_pipe(&[term, ("CLICOLOR_FORCE", "0")]));
    assert!(in_pipe(&[term, ("CLICOLOR_FORCE", "1")]));
    assert!(!in_pipe(&[term, ("CLICOLOR_FORCE", "1"), ("NO_COLOR", "1")]), "who wants none is stronger");
}
