//! What each command prints, and what it exits with.

#[path = "support/cli.rs"]
mod support;

use std::io::{BufRead as _, BufReader};
use std::process::Stdio;

use muster::journal::{Fact, RunJournal, Store as _};
use muster::model::fault::OpError;
use muster::model::status::RunStatus;
use muster::model::{CallId, Phase, StepPath, Value};
use serde_json::json;
use support::{Desk, Said};

const RUN: &str = "7k3f9qabcdef";

fn said(code: i32, stdout: &str, stderr: &str) -> Said {
    Said { code, stdout: stdout.to_owned(), stderr: stderr.to_owned() }
}

fn started(step: &str) -> Fact {
    Fact::StepStarted { step: StepPath::of(step), attempt: 1, inputs: Value::Null, keep: 0 }
}

fn failed_restore() -> Vec<Fact> {
    let error = OpError::failed("cannot restore database chatbot_db: pg_restore exited with 1")
        .with_detail("pg_restore: error: disk full")
        .with_hint("free some room, then retry");
    vec![
        started("dump"),
        Fact::StepSucceeded { step: StepPath::of("dump"), output: json!({"bytes": 7}) },
        started("restore"),
        Fact::StepFailed { step: StepPath::of("restore"), error, handled: false },
    ]
}

fn asks_which() -> Vec<Fact> {
    let call = CallId { step: StepPath::of("choose"), phase: Phase::Body, attempt: 1, seq: 0 };
    let args = json!({"question": "Which backup?", "options": ["monday", "tuesday"]});
    vec![started("choose"), Fact::WaitBegun { call, op: "ask.choice".to_owned(), revision: 1, args, until: None }]
}

fn paused(desk: &Desk) {
    desk.write_run(RUN, failed_restore(), RunStatus::Paused, "restore failed: disk full");
}

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    // Ages grow, and with them their columns.
    settings.add_filter(r"\d+[smhd] ago( +)?", "<ago> ");
    settings.add_filter(r"STARTED +UPDATED +", "STARTED UPDATED ");
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn the_reference_of_all_commands() {
    let mut whole = muster::cli::args::command().term_width(100);
    whole.build();
    let names: Vec<String> = whole.get_subcommands().map(|command| command.get_name().to_owned()).collect();
    let mut text = format!("{}\n", whole.render_long_help());
    for name in names.iter().filter(|name| *name != "help") {
        let command = whole.find_subcommand_mut(name).expect("a command of the list");
        text.push_str(&format!("\n=== muster {name} ===\n\n{}\n", command.render_long_help()));
    }
    snapshot("cli_reference", &text);
}

#[test]
fn a_new_store_has_no_runs_and_says_how_to_start_one() {
    let desk = Desk::new();
    assert_eq!(desk.muster(&["ps"]), said(0, "", "no runs in this store yet; `muster run PLAYBOOK` starts one\n"));
    assert_eq!(desk.muster(&["ps", "-o", "json"]), said(0, "[]\n", ""));
    assert_eq!(
        desk.muster(&["show", "@latest"]),
        said(1, "", "error: there is no run yet\n  hint: `muster run PLAYBOOK` starts one\n")
    );
}

#[test]
fn a_run_is_found_by_any_letters_that_tell_it_from_the_others() {
    let desk = Desk::new();
    paused(&desk);
    desk.write_run("7kzzzzzzzzzz", vec![], RunStatus::Running, "");
    assert_eq!(desk.muster(&["logs", "7k3", "-o", "json"]).stdout.lines().count(), 5);
    let ambiguous = desk.muster(&["logs", "7k"]);
    assert_eq!((ambiguous.code, ambiguous.stdout.as_str()), (1, ""));
    assert!(ambiguous.stderr.ends_with("  hint: give more letters of the run's id\n"), "{}", ambiguous.stderr);
    assert_eq!(
        desk.muster(&["logs", "9"]),
        said(1, "", "error: no run `9`\n  hint: `muster ps --all` lists the runs of this store\n")
    );
}

#[test]
fn a_paused_run_shows_why_and_what_to_do() {
    let desk = Desk::new();
    paused(&desk);
    let ps = desk.muster(&["ps"]);
    let show = desk.muster(&["show", RUN, "--calls", "--results"]);
    let logs = desk.muster(&["logs", RUN, "--follow"]);
    assert_eq!((ps.code, show.code, logs.code), (0, 0, 0));
    assert_eq!(logs.stderr, "run 7k3f9q is parked: nobody carries it on (`muster show 7k3f9q`)\n");
    snapshot("cli_paused_run", &format!("{}\n---\n{}\n---\n{}", ps.stdout, show.stdout, logs.stdout));
}

#[test]
fn an_order_for_an_ended_run_is_refused() {
    let desk = Desk::new();
    let end = Fact::Finished { status: RunStatus::Succeeded, remarks: vec![], outputs: Default::default() };
    desk.write_run(RUN, vec![end], RunStatus::Succeeded, "");
    assert_eq!(
        desk.muster(&["rollback", RUN]),
        said(1, "", "error: run 7k3f9q has ended (succeeded)\n  hint: `muster show 7k3f9q` says how\n")
    );
    assert_eq!(
        desk.muster(&["note", RUN, "too late"]),
        said(1, "", "error: run 7k3f9q has ended (succeeded): its record is closed\n")
    );
    assert_eq!(desk.muster(&["ps"]), said(0, "", "no run is under way; one has ended (`muster ps --all`)\n"));
}

#[test]
fn a_misspelt_step_is_told_from_the_steps_there_are() {
    let desk = Desk::new();
    paused(&desk);
    assert_eq!(
        desk.muster(&["retry", RUN, "restroe"]),
        said(1, "", "error: run 7k3f9q has no step `restroe`\n  hint: did you mean `restore`?\n")
    );
}

#[test]
fn an_answer_that_is_no_option_is_refused_before_it_is_sent() {
    let desk = Desk::new();
    desk.write_run(RUN, asks_which(), RunStatus::Paused, "choose asks");
    assert_eq!(
        desk.muster(&["answer", RUN, "choose", "sunday"]),
        said(1, "", "error: `sunday` is none of the options\n  hint: the options are: monday, tuesday\n")
    );
}

#[test]
fn a_note_for_a_parked_run_waits_in_its_inbox() {
    let desk = Desk::new();
    paused(&desk);
    let note = desk.muster(&["note", RUN, "vendor called"]);
    assert_eq!(note, said(0, "", "note for run 7k3f9q: will be taken in when the run goes on\n"));
    let run = RUN.parse().expect("an id");
    assert_eq!(desk.store().inbox(&run).expect("an inbox").len(), 1);
}

/// Answers the first order in the inbox of a held run, as its holder would.
fn answer_one(desk: &Desk, mut journal: RunJournal, refusal: Option<&str>) -> RunJournal {
    let store = desk.store();
    let (number, command) = loop {
        if let Some(first) = store.inbox(journal.run()).expect("an inbox").into_iter().next() {
            break first;
        }
        std::thread::sleep(std::time::Duration::from_millis(10));
    };
    let now = muster::model::Timestamp::now();
    // What somebody writes down is no refusal, whatever it says.
    let by = muster::model::command::Actor { name: "muster".to_owned() };
    journal.push(Fact::Commanded { command, refused: refusal.map(str::to_owned) }, now);
    journal.push(Fact::Noted { by, text: "refused: the vendor's offer".to_owned() }, now);
    journal.commit(&[number], RunStatus::Running, "").expect("the answer is written");
    journal
}

#[test]
fn an_order_reaches_whoever_holds_the_run() {
    let desk = Desk::new();
    let journal = desk.hold_run(RUN, failed_restore(), RunStatus::Paused, "restore failed");
    let pid = std::process::id();
    std::thread::scope(|scope| {
        let holder = scope.spawn(|| answer_one(&desk, journal, None));
        let retry = desk.muster(&["retry", RUN, "restore"]);
        assert_eq!(retry, said(0, "", &format!("retry of restore: taken up by test@desk (process {pid})\n")));
        let journal = holder.join().expect("the holder answers");
        let holder = scope.spawn(|| answer_one(&desk, journal, Some("restore has not failed")));
        let again = desk.muster(&["retry", RUN, "restore"]);
        assert_eq!(again, said(1, "", "error: retry of restore was refused: restore has not failed\n"));
        holder.join().expect("the holder answers");
    });
}

#[test]
fn a_reader_that_goes_away_is_no_failure() {
    let desk = Desk::new();
    let mut child = desk
        .command(&["ops", "-o", "json"])
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let mut line = String::new();
    let mut reader = BufReader::new(child.stdout.take().expect("its output"));
    reader.read_line(&mut line).expect("a line");
    drop(reader);
    let output = child.wait_with_output().expect("it ends");
    assert_eq!((output.status.code(), String::from_utf8_lossy(&output.stderr).as_ref()), (Some(0), ""));
}

#[test]
fn usage_errors_exit_with_1_and_help_with_0() {
    let desk = Desk::new();
    assert_eq!(desk.muster(&["retry", "x"]).code, 1);
    assert_eq!(desk.muster(&["--frobnicate"]).code, 1);
    assert_eq!(desk.muster(&["skip", "x", "y"]).code, 1, "a reason is wanted");
    assert_eq!(desk.muster(&["--help"]).code, 0);
    assert_eq!(desk.muster(&["help", "approve"]).code, 0);
    let version = desk.muster(&["--version"]);
    assert_eq!(version, said(0, concat!("muster ", env!("CARGO_PKG_VERSION"), "\n"), ""));
}

#[test]
fn a_store_that_is_none_is_told_plainly() {
    let desk = Desk::new();
    std::fs::write(desk.store_path(), "this is not a database, and long enough to be read as one ".repeat(30))
        .expect("a file");
    let ps = desk.muster(&["ps"]);
    assert_eq!((ps.code, ps.stdout.as_str()), (6, ""), "{}", ps.stderr);
    assert!(ps.stderr.starts_with("error: store DESK/muster.db is"), "{}", ps.stderr);
    assert_eq!(desk.muster(&["doctor"]).code, 1);
}

#[test]
fn a_healthy_desk_passes_the_doctor() {
    let desk = Desk::new();
    let doctor = desk.muster(&["doctor", "-o", "json"]);
    let checks: Vec<Value> = serde_json::from_str(&doctor.stdout).expect("a list");
    let verdict = |what: &str| checks.iter().find(|check| check["what"] == what).map(|check| check["verdict"].clone());
    for what in ["store", "journals", "clock", "boot id"] {
        assert_eq!(verdict(what), Some(json!("good")), "{what}: {}", doctor.stdout);
    }
}

#[test]
fn completions_know_every_command() {
    let desk = Desk::new();
    for shell in ["bash", "zsh", "fish"] {
        let script = desk.muster(&["completions", shell]);
        assert_eq!(script.code, 0);
        assert!(script.stdout.contains("skip-undo"), "{shell}");
    }
}

#[test]
fn a_code_is_explained_with_examples_and_a_wrong_one_with_the_likely() {
    let desk = Desk::new();
    let one = desk.muster(&["lint", "--explain", "unknown-key"]);
    assert_eq!((one.code, one.stderr.as_str()), (0, ""));
    assert_eq!(
        one.stdout,
        "unknown-key\nA key that means nothing here, mostly a slip of the finger.\n\nwrong\n    steps:\n      \
         - { id: only, script: \"1\", tiemout: 5m }\n\nright\n    steps:\n      - { id: only, script: \"1\", timeout: 5m }\n"
    );
    let all = desk.muster(&["lint", "--explain"]);
    assert!(all.code == 0 && all.stdout.lines().count() > 70, "{}", all.stdout);
    assert!(all.stdout.lines().all(|line| line.chars().count() <= 160), "{}", all.stdout);
    let json: Value =
        serde_json::from_str(&desk.muster(&["lint", "--explain", "cycle", "-o", "json"]).stdout).expect("json");
    assert!(json[0]["wrong"].as_str().is_some_and(|text| text.contains("needs: [b]")), "{json}");
    let wrong = desk.muster(&["lint", "--explain", "unknow-key"]);
    assert!(wrong.code == 1 && wrong.stderr.contains("did you mean `unknown-key`?"), "{wrong:?}");
}

#[test]
fn findings_for_editors_are_flat_and_have_a_place_from_one() {
    let desk = Desk::new();
    desk.file(
        "book/playbook.yaml",
        "muster: 1\nname: book\nversion: 1.0.0\ntitle: Book\nsteps:\n  - { id: ä, tiemout: 5m, script: \"1\" }\n  - { id: b, needs: [c], script: \"1\" }\n",
    );
    let lint = desk.muster(&["lint", "book", "-o", "json"]);
    assert_eq!(lint.code, 3);
    let found: Vec<Value> = serde_json::from_str(&lint.stdout).expect("a list");
    let key = found.iter().find(|one| one["code"] == "unknown-key").expect("it is found");
    let wanted = json!({
        "playbook": "book", "file": "book/playbook.yaml", "line": 6, "column": 14, "end_line": 6, "end_column": 21,
        "severity": "error", "code": "unknown-key", "message": "unknown key `tiemout` in the step", "label": "unknown",
        "hint": "did you mean `timeout`?", "related": [],
    });
    assert_eq!(*key, wanted);
    assert!(!lint.stderr.contains("--explain"), "that is for people: {}", lint.stderr);
    let table = desk.muster(&["lint", "book"]);
    assert_eq!(table.stderr.matches("muster lint --explain ").count(), 1, "{}", table.stderr);
}
