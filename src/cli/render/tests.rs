//! What people see of hand-made runs, as snapshots.

use serde_json::json;

use super::look::Look;
use super::sheet::{self, Parts};
use super::view::View;
use super::{line, summary, tree};
use crate::cli::exit::Code;
use crate::journal::{Fact, Outcome, Pause, Record, UndoPlan};
use crate::model::command::{Actor, Command, Order};
use crate::model::fault::{OpError, Target};
use crate::model::status::{Mode, RunStatus};
use crate::model::{CallId, Phase, RunId, StepPath, Timestamp, Value};

/// Writes a journal by hand: each fact a second after the one before.
struct Story {
    records: Vec<Record>,
    at: Timestamp,
    epoch: u64,
}

impl Story {
    fn begin() -> Self {
        let mut story = Self { records: Vec::new(), at: "2026-03-01T12:00:00Z".parse().expect("a time"), epoch: 1 };
        story.tell(Fact::RunStarted {
            format: 1,
            run: "7k3f9qabcdef".parse::<RunId>().expect("an id"),
            playbook: "omnichat-restore".to_owned(),
            version: "1.2.0".to_owned(),
            bundle: "4f1d".repeat(16),
            mode: Mode::Live,
            params: json!({
                "backup": "/var/backups/omnichat/2026-03-01",
                "password": {"$secret": {"provider": "env", "name": "PGPASSWORD"}},
            }),
            by: alice(),
            seed: 7,
            engine: "0.1.0".to_owned(),
            forked_from: None,
            drill: None,
        });
        story.tell(Fact::Held { holder: "alice@laptop pid 4711".to_owned() });
        story
    }

    fn tell(&mut self, fact: Fact) -> &mut Self {
        let seq = u64::try_from(self.records.len()).expect("a short story");
        self.records.push(Record { seq, at: self.at, epoch: self.epoch, fact });
        self.at += std::time::Duration::from_secs(1);
        self
    }

    fn start(&mut self, step: &str, attempt: u32) -> &mut Self {
        self.tell(Fact::StepStarted { step: StepPath::of(step), attempt, inputs: Value::Null, keep: 0 })
    }

    fn intent(&mut self, step: &str, seq: u32, op: &str, args: Value) -> &mut Self {
        let undo = UndoPlan::Call { op: "fs.drop_made".to_owned(), args: Value::Null };
        self.tell(Fact::Intent {
            call: body(step, seq),
            op: op.to_owned(),
            revision: 1,
            args,
            key: format!("m-7k3f9qabcdef-{step}-1-{seq}"),
            before: Value::Null,
            undo,
            undoes: None,
        })
    }

    fn ended(&mut self, step: &str, seq: u32, outcome: Outcome) -> &mut Self {
        self.tell(Fact::Ended { call: body(step, seq), outcome })
    }

    fn succeed(&mut self, step: &str) -> &mut Self {
        self.tell(Fact::StepSucceeded { step: StepPath::of(step), output: json!({"bytes": 1024}) })
    }

    fn view(&self) -> View {
        let mut view = View::of_steps([
            ("preflight", "Look before leaping"),
            ("dump", "Keep what is there"),
            ("restore", "Restore the database"),
            ("retire", "Drop the old database"),
        ]);
        self.records.iter().for_each(|record| view.apply(record));
        view
    }

    fn lines(&self) -> String {
        let mut view = View::default();
        let lines = self.records.iter().filter_map(|record| {
            view.apply(record);
            line::of(&view, record, Look::PLAIN)
        });
        lines.map(|line| line + "\n").collect()
    }
}

fn alice() -> Actor {
    Actor { name: "alice@laptop".to_owned() }
}

fn body(step: &str, seq: u32) -> CallId {
    CallId { step: StepPath::of(step), phase: Phase::Body, attempt: 1, seq }
}

fn done(result: Value) -> Outcome {
    Outcome::Done { result, fingerprint: Value::Null }
}

fn failed_restore() -> Story {
    let mut story = Story::begin();
    story
        .tell(Fact::TargetMet {
            target: Target { name: "postgres open-webui-db".to_owned(), identity: "7301".to_owned() },
        })
        .start("preflight", 1)
        .succeed("preflight")
        .start("dump", 1)
        .tell(Fact::Expanded {
            step: StepPath::of("dump"),
            items: vec![("chatbot_db".to_owned(), json!("chatbot_db")), ("litellm".to_owned(), json!("litellm"))],
            over: None,
        })
        .start("dump[chatbot_db]", 1)
        .intent("dump[chatbot_db]", 0, "pg.dump", json!({"database": "chatbot_db", "to": "/b/chatbot_db.dump"}))
        .ended("dump[chatbot_db]", 0, done(json!({"bytes": 10})))
        .succeed("dump[chatbot_db]")
        .tell(Fact::StepSkipped {
            step: StepPath::of("dump[litellm]"),
            reason: "its condition is false".to_owned(),
            by: None,
            result: None,
        })
        .succeed("dump")
        .start("restore", 1)
        .intent("restore", 0, "pg.restore", json!({"database": "chatbot_db_r", "from": "/b/chatbot_db.dump"}));
    let error = OpError::failed("cannot restore database chatbot_db_r: pg_restore exited with 1")
        .with_detail(
            "pg_restore: connecting to database for restore\npg_restore: error: could not execute query: disk full",
        )
        .with_hint("free some room on the server, then retry");
    story
        .ended("restore", 0, Outcome::Error { error: error.clone() })
        .tell(Fact::StepFailed { step: StepPath::of("restore"), error, handled: false })
        .tell(Fact::Paused { pause: Pause::StepFailed { step: StepPath::of("restore") } });
    story
}

#[test]
fn an_order_that_was_refused_is_told_as_such_and_ends_no_pause() {
    let mut story = failed_restore();
    let retry = Order::Retry { step: StepPath::of("restore"), from_start: false };
    let refused = Some("it is not its turn".to_owned());
    story.tell(Fact::Paused { pause: Pause::RolledBackTo { step: StepPath::of("restore") } });
    story.tell(Fact::Commanded { command: Command { by: alice(), what: retry }, refused });
    let view = story.view();
    assert!(view.pauses().contains(&Pause::RolledBackTo { step: StepPath::of("restore") }));
    let last = story.records.last().expect("a record");
    let line = line::of(&view, last, Look::PLAIN).expect("a line");
    assert!(line.ends_with("retry of restore by alice@laptop was refused: it is not its turn"), "{line}");
    let sheet = sheet::text(&view, None, Parts::default(), story.at, Look::PLAIN);
    assert!(sheet.contains("retry of restore by alice@laptop, refused: it is not its turn\n"), "{sheet}");
}

fn rolled_back() -> Story {
    let mut story = failed_restore();
    story
        .tell(Fact::Commanded {
            command: Command { by: alice(), what: Order::Rollback { to: None, force: false } },
            refused: None,
        })
        .tell(Fact::RollbackBegun { to: None, only: None, by: alice(), reason: "asked for".to_owned(), force: false });
    let undo = CallId { phase: Phase::Rollback, ..body("dump[chatbot_db]", 0) };
    story
        .tell(Fact::Intent {
            call: undo.clone(),
            op: "fs.drop_made".to_owned(),
            revision: 1,
            args: json!({"path": "/b/chatbot_db.dump"}),
            key: "m-7k3f9qabcdef-u-1".to_owned(),
            before: Value::Null,
            undo: UndoPlan::Nothing,
            undoes: Some(body("dump[chatbot_db]", 0)),
        })
        .tell(Fact::Ended { call: undo, outcome: done(Value::Null) })
        .tell(Fact::Finished {
            status: RunStatus::RolledBack,
            remarks: vec!["step restore failed: disk full".to_owned()],
            outputs: std::iter::empty().collect(),
        });
    story
}

fn snapshot(name: &str, text: &str) {
    let mut settings = insta::Settings::clone_current();
    settings.set_snapshot_path("../../../snapshots");
    settings.set_prepend_module_to_snapshot(false);
    settings.set_omit_expression(true);
    settings.bind(|| insta::assert_snapshot!(name, text));
}

#[test]
fn a_failed_step_shows_why_and_every_choice() {
    let story = failed_restore();
    let view = story.view();
    assert_eq!(view.status(), RunStatus::Paused);
    assert_eq!(Code::of_run(&view), Code::Paused);
    snapshot("render_failed_step", &summary::text(&view, story.at, Look::PLAIN));
}

#[test]
fn plain_lines_tell_the_whole_story() {
    snapshot("render_plain_lines", &rolled_back().lines());
}

#[test]
fn a_rollback_is_shown_with_what_was_undone() {
    let story = rolled_back();
    let view = story.view();
    assert_eq!(Code::of_run(&view), Code::RolledBack);
    assert!(view.pauses().is_empty());
    let parts = Parts { calls: true, outputs: true };
    snapshot("render_sheet_rolled_back", &sheet::text(&view, None, parts, story.at, Look::PLAIN));
}

#[test]
fn a_live_tree_shows_call_progress_and_time_left() {
    let mut story = Story::begin();
    story.start("preflight", 1).succeed("preflight").start("dump", 1).tell(Fact::WaitBegun {
        call: body("dump", 0),
        op: "time.sleep".to_owned(),
        revision: 1,
        args: json!({"duration": "90s"}),
        until: Some(story_time(93)),
    });
    story.start("restore", 1).intent("restore", 0, "pg.restore", json!({"database": "chatbot_db"}));
    let mut view = story.view();
    view.progress(&StepPath::of("restore"), "12.0 MiB copied");
    snapshot("render_live_tree", &tree::lines(&view, story_time(10), Look::PLAIN).join("\n"));
    story.ended("restore", 0, done(Value::Null));
    let last = story.records.last().expect("a record");
    view.apply(last);
    assert_eq!(view.progress_of(&StepPath::of("restore")), None);
}

fn story_time(second: u64) -> Timestamp {
    Story::begin().records[0].at + std::time::Duration::from_secs(second)
}

#[test]
fn a_call_left_by_a_dead_holder_is_in_doubt_until_settled() {
    let mut story = Story::begin();
    story.start("restore", 1).intent("restore", 0, "exec.run", json!({"argv": ["make", "local-up"]}));
    story.epoch = 2;
    story.tell(Fact::Held { holder: "bob@desk pid 5".to_owned() });
    let pause = Pause::InDoubt {
        step: StepPath::of("restore"),
        call: body("restore", 0),
        reason: "its supervisor left no status".to_owned(),
    };
    story.tell(Fact::Paused { pause });
    let view = story.view();
    assert_eq!(Code::of_run(&view), Code::NeedsPerson);
    snapshot("render_in_doubt", &summary::text(&view, story.at, Look::PLAIN));
    story.ended("restore", 0, done(Value::Null));
    assert!(story.view().pauses().is_empty());
    assert!(!story.view().has_doubt());
}

#[test]
fn waiting_for_people_names_who_may_answer() {
    let mut story = Story::begin();
    let retire = StepPath::of("retire");
    story
        .tell(Fact::ApprovalAsked {
            step: retire.clone(),
            by: vec!["dr-lead".to_owned()],
            count: 2,
            digest: "ab".to_owned(),
            tree: None,
            unforeseen: None,
            again: None,
        })
        .tell(Fact::Paused { pause: Pause::Approval { step: retire.clone() } })
        .tell(Fact::Approved {
            step: retire,
            by: alice(),
            role: None,
            reason: None,
            break_glass: false,
            digest: "ab".to_owned(),
            valid_until: None,
        })
        .tell(Fact::ManualAsked { step: StepPath::of("dump"), instructions: "Unplug the\nold disk".to_owned() })
        .tell(Fact::Paused { pause: Pause::Manual { step: StepPath::of("dump") } });
    snapshot("render_waits_for_people", &summary::text(&story.view(), story.at, Look::PLAIN));
}

#[test]
fn the_fold_never_panics_on_records_out_of_order() {
    let story = rolled_back();
    for skip in 0..story.records.len() {
        let mut view = View::default();
        for record in story.records.iter().skip(skip).chain(&story.records[..skip]) {
            view.apply(record);
            let _ = line::of(&view, record, Look::PLAIN);
        }
        let _ = summary::text(&view, story.at, Look::PLAIN);
    }
}
