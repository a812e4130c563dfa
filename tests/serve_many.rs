//! A server with a long past: its pages say what is true of many runs, and read no more of them than they show.

#[path = "support/archive.rs"]
mod archive;
#[path = "support/cli.rs"]
mod cli;
#[path = "support/serving.rs"]
mod serving;

use std::sync::Arc;
use std::time::Duration;

use cli::Desk;
use muster::journal::{Fact, RunJournal, Store, Taken};
use muster::model::command::Actor;
use muster::model::status::RunStatus;
use muster::model::{RunId, Timestamp};
use rusqlite::Connection;
use serving::Serving;

const SERVICE: &str = r#"muster: 1
name: service
version: 1.0.0
title: Recover the service
objectives: { rto: 10m, rpo: 2h }
params:
  home: { type: path }
  into: { type: string, default: live }
capabilities: [fs.make_dir, fs.write_text, fs.read_text]
steps:
  - id: folder
    uses: fs.make_dir
    with: { path: "${params.home}/${params.into}" }
  - id: prove
    needs: [folder]
    script: |
      host::fs::write_text(#{ path: params.home + "/" + params.into + "/data", text: "data" });
      host::fs::read_text(params.home + "/" + params.into + "/data").text
drill:
  params: { into: "drill-${run.short_id}" }
  proof: prove
  measure: { rpo: "3600000" }
"#;

/// How many runs of a playbook the overview looks at.
const LOOKED_AT: usize = 16;

/// A store with a drill and copies of it, an hour apart. The runs, newest first.
fn desk(copies: usize) -> (Desk, Vec<RunId>) {
    let desk = Desk::new();
    desk.file("playbooks/service/playbook.yaml", SERVICE);
    let home = format!("home={}", desk.path().display());
    let said = desk.muster(&["drill", "playbooks/service", "-p", &home]);
    assert_eq!(said.code, 0, "{said:?}");
    let store: Arc<dyn Store> = desk.store();
    let drill = store.heads().expect("readable")[0].run.clone();
    let more = archive::copies(&store, &drill, copies, Duration::from_secs(3600), 1 << 32);
    (desk, [vec![drill], more].concat())
}

fn serve(desk: &Desk) -> Serving {
    Serving::start(&mut desk.command(&["serve", "--listen", "127.0.0.1:0", "--playbooks", "playbooks"]))
}

fn overview(server: &Serving) -> String {
    let page = server.get("/");
    assert_eq!(page.status, 200, "{}", page.text);
    page.text
}

/// Takes the records of runs out of the store, so that whoever reads their journals finds them damaged.
fn destroy(desk: &Desk, runs: &[RunId]) {
    let db = Connection::open(desk.store_path()).expect("the database");
    db.busy_timeout(Duration::from_secs(10)).expect("set");
    for run in runs {
        let gone = db.execute("DELETE FROM batch WHERE run = (SELECT key FROM run WHERE id = ?)", [run.as_str()]);
        assert!(gone.expect("deleted") > 0, "{run} had no records");
    }
}

#[test]
fn the_overview_reads_of_each_playbook_the_journals_that_it_shows_and_no_others() {
    let (desk, runs) = desk(60);
    destroy(&desk, &runs[LOOKED_AT..]);
    let server = serve(&desk);
    let page = overview(&server);
    let trend = page.split("class=\"trend\" points=\"").nth(1).and_then(|rest| rest.split('"').next());
    let points = trend.expect("a trend").split(' ').count();
    assert_eq!(points, LOOKED_AT, "{page}");
    assert!(page.contains(&format!("/runs/{}", runs[0])), "{page}");
}

#[test]
fn a_journal_is_read_once_and_again_when_something_was_added_to_it() {
    let (desk, runs) = desk(20);
    let server = serve(&desk);
    let before = overview(&server);
    assert!(before.contains("ready"), "{before}");
    // What was read needs not be there any more to be known.
    destroy(&desk, &runs);
    let after = overview(&server);
    let card = |page: &str| page.split("class=\"spark\"").nth(1).map(str::to_owned).expect("a trend");
    assert_eq!(card(&before), card(&after));
    // Of a run that has another number of records than those that were read nothing is said from memory.
    let db = Connection::open(desk.store_path()).expect("the database");
    db.execute("UPDATE run SET records = records + 1 WHERE id = ?", [runs[0].as_str()]).expect("changed");
    let page = overview(&server);
    assert!(card(&page) != card(&before), "what was read of another journal was shown: {page}");
}

#[test]
fn the_page_of_a_run_goes_on_with_what_it_has_read_and_shows_what_was_added() {
    let (desk, runs) = desk(0);
    let server = serve(&desk);
    let path = format!("/runs/{}", runs[0]);
    let first = server.get(&path).text;
    assert!(!first.contains("said later"), "{first}");
    for word in ["said later", "said last"] {
        note(&desk, &runs[0], word);
        let page = server.get(&path).text;
        assert!(page.contains(word), "{page}");
        assert_eq!(page.matches("<h2>Steps</h2>").count(), 1);
    }
}

/// Adds a note to a run that has ended.
fn note(desk: &Desk, run: &RunId, text: &str) {
    let store: Arc<dyn Store> = desk.store();
    let status = store.head(run).expect("a head").status;
    let Ok(Taken::Yes { epoch }) = store.take(run) else { panic!("nobody holds it") };
    let (mut journal, _) = RunJournal::open(store, Arc::default(), run.clone(), epoch).expect("a journal");
    journal.push(Fact::Noted { by: Actor { name: "alice".into() }, text: text.into() }, Timestamp::now());
    journal.commit(&[], status, "").expect("durable");
    journal.release().expect("let go of");
}

#[test]
fn all_runs_are_found_page_by_page_also_by_those_who_see_some() {
    let (desk, runs) = desk(130);
    let store: Arc<dyn Store> = desk.store();
    let other = desk.write_run("00000000000z", Vec::new(), RunStatus::Failed, "");
    drop(store);
    let token = |role: &str, more: &[&str]| {
        let said = desk.muster(&[&["token", "create", role, "--role", role][..], more].concat());
        assert_eq!(said.code, 0, "{said:?}");
        format!("Bearer {}", said.stdout.trim())
    };
    let (all, some) = (token("viewer", &[]), token("operator", &["--playbook", "omnichat-*"]));
    let server = serve(&desk);
    let walk = |bearer: &str, first: &str| {
        let (mut found, mut path, mut pages) = (Vec::new(), first.to_owned(), 0);
        loop {
            let headers = [("Authorization", bearer)];
            let page = serving::request(&format!("{}{path}", server.url), "GET", None, &headers);
            assert_eq!(page.status, 200, "{}", page.text);
            pages += 1;
            let rows = page.text.split("class=\"mono\" href=\"/runs/").skip(1);
            found.extend(rows.map(|row| row.split('"').next().unwrap_or_default().to_owned()));
            let next = page.text.split("class=\"button\" href=\"").nth(1).and_then(|rest| rest.split('"').next());
            let Some(next) = next else { return (found, pages) };
            path = next.replace("&amp;", "&");
        }
    };
    let expected: Vec<String> = runs.iter().map(ToString::to_string).collect();
    assert_eq!(walk(&all, "/runs?playbook=service"), (expected.clone(), 3));
    let ended = walk(&all, "/runs?status=ended");
    assert_eq!((ended.0.len(), ended.1), (132, 3));
    assert_eq!(walk(&all, "/runs?status=failed"), (vec![other.to_string()], 1));
    assert_eq!(walk(&some, "/runs"), (vec![other.to_string()], 1));
    assert_eq!(walk(&some, "/runs?playbook=service").0, Vec::<String>::new());
}
