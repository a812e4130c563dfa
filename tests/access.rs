//! Who may do what, as the command line has it: tokens, approvals by the starter, reviews, and the audit log behind them.

#[path = "support/cli.rs"]
mod cli;

use cli::Desk;
use muster::access::audit;
use serde_json::Value;

/// One step that waits for approval.
const GATED: &str = r#"muster: 1
name: gated
version: 1.0.0
title: Wait for a word
params:
  folder: { type: path, default: "." }
capabilities:
  - fs.write_text: { path: "${params.folder}/*" }
steps:
  - id: retire
    approval: { by: [bob], count: 1 }
    uses: fs.write_text
    with: { path: "${params.folder}/a.txt", text: a }
"#;

/// A desk where alice has started a run that waits for approval.
fn asked() -> Desk {
    let desk = Desk::new().env("MUSTER_ACTOR", "alice@desk");
    desk.file("gated/playbook.yaml", GATED);
    let run = desk.muster(&["run", "./gated"]);
    assert_eq!(run.code, 7, "{run:?}");
    desk
}

/// The acts in the audit log, oldest first, each with whether it was let happen. Panics if the log is not whole.
fn log(desk: &Desk) -> Vec<(String, String, bool)> {
    let mut acts = Vec::new();
    audit::verify(desk.store().as_ref(), |entry| {
        acts.push((entry.who.clone(), entry.act.clone(), entry.denied.is_none()));
    })
    .expect("a whole log");
    acts
}

fn json(text: &str) -> Value {
    serde_json::from_str(text).unwrap_or_else(|error| panic!("{error}: {text}"))
}

#[test]
fn what_is_taken_away_taken_over_or_drilled_is_in_the_audit_log() {
    let desk = asked();
    let out = |name: &str| desk.path().join(name).display().to_string();
    assert_eq!(desk.muster(&["audit", "export", "@latest", "--out", &out("one.tar")]).code, 0);
    assert_eq!(desk.muster(&["audit", "export", "--since", "1d", "--out", &out("all.tar")]).code, 0);
    let exported = desk.muster(&["export", "@latest", "--out", &out("run.tar"), "--release", "moving house"]);
    assert_eq!(exported.code, 0, "{exported:?}");
    let key = desk.muster(&["audit", "key"]).stdout.trim().to_owned();
    let other = Desk::new().env("MUSTER_ACTOR", "bob@other");
    let adopted = other.muster(&["adopt", &out("run.tar"), "--key", &key]);
    assert_eq!(adopted.code, 0, "{adopted:?}");
    let drill = GATED
        .replace("    approval: { by: [bob], count: 1 }\n", "")
        .replace("steps:", "drill: { proof: retire }\nsteps:");
    other.file("gated/playbook.yaml", &drill);
    let drilled = other.muster(&["drill", "./gated"]);
    assert_eq!(drilled.code, 0, "{drilled:?}");
    let acts = |desk: &Desk| log(desk).into_iter().map(|(who, act, _)| format!("{who} {act}")).collect::<Vec<_>>();
    let (here, there) = (acts(&desk), acts(&other));
    let (export, along) = ("alice@desk export_evidence".to_owned(), "alice@desk take_along".to_owned());
    assert!(here.ends_with(&[export.clone(), export, along]), "{here:?}");
    assert_eq!(there, ["bob@other adopt", "bob@other drill"]);
}

#[test]
fn a_token_is_printed_once_listed_without_its_secret_and_revoked() {
    let desk = Desk::new();
    let made =
        desk.muster(&["token", "create", "erin", "--role", "approver", "--approves-as", "dr-lead", "--expires", "30d"]);
    assert_eq!(made.code, 0, "{made:?}");
    let shown = made.stdout.trim();
    let secret = shown.rsplit('_').next().expect("a secret");
    let id = shown.split('_').nth(1).expect("an id");
    assert!(shown.starts_with("mst_") && made.stderr.contains("it is not shown again"), "{made:?}");
    let list = desk.muster(&["token", "list", "-o", "json"]);
    assert!(!list.stdout.contains(secret), "{list:?}");
    let list = json(&list.stdout);
    assert_eq!(
        (&list[0]["name"], &list[0]["roles"][0], &list[0]["digest"]),
        (&"erin".into(), &"approver".into(), &Value::Null)
    );
    for file in std::fs::read_dir(desk.path()).expect("the desk").flatten().filter(|entry| entry.path().is_file()) {
        let bytes = std::fs::read(file.path()).expect("readable");
        assert!(!bytes.windows(secret.len()).any(|piece| piece == secret.as_bytes()), "the secret is in {file:?}");
    }
    // What was found lying about is what one has: the token itself.
    assert_eq!(desk.muster(&["token", "revoke", shown]).code, 0);
    let list = desk.muster(&["token", "list"]);
    assert!(list.stdout.contains(id) && list.stdout.contains("revoked"), "{list:?}");
    let none = desk.muster(&["token", "revoke", "00000000"]);
    assert_eq!(none.code, 1);
    assert!(none.stderr.contains("no token `00000000`") && none.stderr.contains("muster token list"), "{none:?}");
}

#[test]
fn a_token_that_makes_no_sense_is_refused_with_why() {
    let desk = Desk::new();
    for (args, why) in [
        (vec!["token", "create", "erin"], "--role"),
        (vec!["token", "create", "erin", "--role", "root"], "viewer, operator, approver and admin"),
        (vec!["token", "create", "", "--role", "viewer"], "its name is one line"),
        (vec!["token", "create", "muster", "--role", "viewer"], "muster itself"),
        (vec!["token", "create", "erin", "--role", "viewer", "--expires", "400d"], "at most 366 days"),
    ] {
        let said = desk.muster(&args);
        assert!(said.code != 0 && said.stderr.contains(why), "{args:?}: {said:?}");
    }
    assert_eq!(desk.muster(&["token", "list"]).stdout, "");
}

#[test]
fn the_starter_is_refused_from_another_machine_too_and_it_is_written_down() {
    let desk = asked().env("MUSTER_ACTOR", "Alice@laptop");
    let said = desk.muster(&["approve", "@latest", "retire"]);
    assert_eq!(said.code, 1);
    assert!(said.stderr.contains("nobody approves what they started"), "{said:?}");
    assert!(!desk.path().join("a.txt").exists());
    let last = log(&desk).pop().expect("an entry");
    assert_eq!(last, ("Alice@laptop".to_owned(), "approve".to_owned(), false));
}

#[test]
fn breaking_the_glass_opens_a_review_that_only_somebody_else_closes() {
    let desk = asked();
    let given = desk.muster(&["approve", "@latest", "retire", "--break-glass", "-m", "nobody else is awake"]);
    assert_eq!(given.code, 0, "{given:?}");
    assert!(desk.path().join("a.txt").exists());
    let open = desk.muster(&["review", "list", "-o", "json"]);
    let review = &json(&open.stdout)[0];
    assert_eq!((&review["who"], &review["reason"]), (&"alice@desk".into(), &"nobody else is awake".into()));
    let id = review["id"].to_string();
    let own = desk.muster(&["review", "close", &id, "-m", "fine"]);
    assert_eq!(own.code, 1);
    assert!(own.stderr.contains("nobody closes the review of what they did"), "{own:?}");
    let desk = desk.env("MUSTER_ACTOR", "bob@desk");
    assert_eq!(desk.muster(&["review", "close", &id, "-m", "it was right"]).code, 0);
    assert_eq!(desk.muster(&["review", "list"]).stdout, "");
    let all = desk.muster(&["review", "list", "--all"]);
    assert!(all.stdout.contains("it was right") && all.stdout.contains("bob@desk"), "{all:?}");
    let again = desk.muster(&["review", "close", &id, "-m", "again"]);
    assert!(again.code == 1 && again.stderr.contains("was closed by bob@desk already"), "{again:?}");
    let acts: Vec<String> = log(&desk).into_iter().map(|(_, act, _)| act).collect();
    assert_eq!(acts, ["start", "break_glass", "close_review", "close_review"]);
}

#[test]
fn every_order_by_the_command_line_is_in_the_audit_log() {
    let desk = asked().env("MUSTER_ACTOR", "bob@desk");
    assert_eq!(desk.muster(&["note", "@latest", "ticket 4711"]).code, 0);
    assert_eq!(desk.muster(&["approve", "@latest", "retire"]).code, 0);
    let acts: Vec<(String, String, bool)> = log(&desk);
    let expected = [("alice@desk", "start"), ("bob@desk", "note"), ("bob@desk", "approve")];
    assert_eq!(acts, expected.map(|(who, act)| (who.to_owned(), act.to_owned(), true)));
}
