//! Runs as their records tell them, with names that try to be more than names.

use serde_json::json;

use crate::evidence::material::Material;
use crate::evidence::report::RunReport;
use crate::journal::memory::digest_of;
use crate::journal::{Fact, Outcome, Record, UndoPlan, chain};
use crate::model::command::{Actor, Command, Order};
use crate::model::drill::{DrillPin, Leak, Teardown};
use crate::model::fault::OpError;
use crate::model::status::{Mode, RunStatus};
use crate::model::{CallId, Phase, RunId, StepPath, Timestamp, Value};
use crate::playbook::bundle::Bundle;

/// Would be markup in HTML, in XML and in Markdown, mentions people and moves the cursor.
pub const HOSTILE: &str = "</td><script>alert('1')</script> & \"x\" |`@all`| #1 ]]> \u{1b}[2J\u{202e}";

const PLAYBOOK: &str = r#"
muster: 1
name: swap
version: 1.2.0
title: Swap the database, <b>carefully</b>
objectives: { rto: 10m, rpo: 1h }
params:
  name: { type: string, doc: What to call it. }
  password: { type: secret, doc: Of the database. }
capabilities: [fs.copy, fs.write_json]
steps:
  - id: copy
    title: Copy what is there
    uses: fs.copy
    with: { from: /a, to: /b }
  - id: swap
    needs: [copy]
    title: Swap it
    approval: { by: [dr-lead] }
    point_of_no_return: "the old one is gone"
    uses: fs.write_json
    with: { path: /c, value: 1 }
  - id: tell
    needs: [swap]
    title: Tell people
    uses: fs.write_json
    with: { path: /d, value: 1 }
"#;

/// The bundle of the stories, as stored.
pub fn bundle() -> Vec<u8> {
    json!({ "bundle": 1, "files": { "playbook.yaml": PLAYBOOK } }).to_string().into_bytes()
}

pub fn who(name: &str) -> Actor {
    Actor { name: name.to_owned() }
}

/// Facts with the second at which they happened.
#[derive(Default)]
pub struct Story(pub Vec<(i64, Fact)>);

impl Story {
    pub fn begun(run: u64, at: i64) -> Self {
        Self(vec![(
            at,
            Fact::RunStarted {
                format: 1,
                run: RunId::from_entropy(run),
                playbook: "swap".to_owned(),
                version: "1.2.0".to_owned(),
                bundle: digest_of(&bundle()),
                mode: Mode::Live,
                params: json!({ "name": HOSTILE, "password": { "$secret": { "provider": "env", "name": "PGPASSWORD" } } }),
                by: who("alice@ops"),
                seed: 1,
                engine: "0.1.0".to_owned(),
                forked_from: None,
                drill: None,
            },
        )])
    }

    pub fn then(mut self, at: i64, fact: Fact) -> Self {
        self.0.push((at, fact));
        self
    }

    pub fn step_begun(self, at: i64, step: &str, attempt: u32) -> Self {
        let step = StepPath::of(step);
        self.then(at, Fact::StepStarted { step, attempt, inputs: Value::Null, keep: 0 })
    }

    pub fn step_done(self, at: i64, step: &str) -> Self {
        self.then(at, Fact::StepSucceeded { step: StepPath::of(step), output: json!({ "ok": true }) })
    }

    pub fn effect(self, from: i64, to: i64, step: &str, attempt: u32, op: &str, args: Value) -> Self {
        let call = CallId { step: StepPath::of(step), phase: Phase::Body, attempt, seq: 0 };
        let intent = Fact::Intent {
            call: call.clone(),
            op: op.to_owned(),
            revision: 1,
            args,
            key: format!("{step}-{attempt}"),
            before: Value::Null,
            undo: UndoPlan::Nothing,
            undoes: None,
        };
        let outcome = Outcome::Done { result: Value::Null, fingerprint: Value::Null };
        self.then(from, intent).then(to, Fact::Ended { call, outcome })
    }

    pub fn finished(self, at: i64, status: RunStatus) -> Self {
        let remarks = vec!["look at <it>".to_owned()];
        let outputs = [("url".to_owned(), json!("https://x/?a=1&b=2"))].into();
        self.then(at, Fact::Finished { status, remarks, outputs })
    }

    pub fn records(&self) -> Vec<Record> {
        let base = Timestamp::from_second(1_772_366_400).expect("an instant");
        let facts = self.0.iter().enumerate();
        facts
            .map(|(seq, (at, fact))| Record {
                seq: seq as u64,
                at: base + std::time::Duration::from_secs(u64::try_from(*at).expect("later")),
                epoch: 1,
                fact: fact.clone(),
            })
            .collect()
    }

    pub fn report(&self) -> RunReport {
        let records = self.records();
        let lines: Vec<String> = records.iter().map(chain::encode).collect();
        let hash = chain::fold_all(&chain::START, lines.iter().map(String::as_str));
        let bundle = Some(Bundle::from_bytes(&bundle()).expect("a bundle"));
        RunReport::of(&Material { records, hash, bundle, plans: Vec::new() }).expect("a report")
    }
}

/// A run in which something failed, was tried again, was approved by break-glass, and which missed its objective.
pub fn eventful(run: u64, at: i64) -> Story {
    let swap = || StepPath::of("swap");
    let retry = Order::Retry { step: StepPath::of("copy"), from_start: false };
    let said = Fact::Commanded { command: Command { by: who("bob@ops"), what: retry }, refused: None };
    let retried = Timestamp::UNIX_EPOCH;
    Story::begun(run, at)
        .then(at, Fact::Held { holder: "alice@ops".to_owned() })
        .step_begun(at + 1, "copy", 1)
        .then(at + 60, Fact::StepFailed { step: StepPath::of("copy"), error: OpError::failed(HOSTILE), handled: false })
        .then(at + 120, said)
        .then(at + 120, Fact::StepRetried { step: StepPath::of("copy"), not_before: retried, from_start: false })
        .step_begun(at + 120, "copy", 2)
        .effect(at + 121, at + 180, "copy", 2, "fs.copy", json!({ "from": "/a", "to": "/b" }))
        .step_done(at + 180, "copy")
        .then(
            at + 180,
            Fact::ApprovalAsked {
                step: swap(),
                by: vec!["dr-lead".to_owned()],
                count: 1,
                digest: "ab".repeat(32),
                tree: None,
                unforeseen: None,
                again: None,
            },
        )
        .then(
            at + 780,
            Fact::Approved {
                step: swap(),
                by: who("alice@ops"),
                role: Some(HOSTILE.to_owned()),
                reason: Some("nobody else is awake".to_owned()),
                break_glass: true,
                digest: "ab".repeat(32),
                valid_until: None,
            },
        )
        .step_begun(at + 780, "swap", 1)
        .then(at + 780, Fact::NoReturn { step: swap() })
        .effect(at + 781, at + 790, "swap", 1, "fs.write_json", json!({ "path": "/c", "value": 1 }))
        .then(at + 790, Fact::Verifying { step: swap(), output: Value::Null, until: Timestamp::UNIX_EPOCH })
        .step_done(at + 800, "swap")
        .then(at + 801, Fact::Noted { by: who("carol@ops"), text: HOSTILE.to_owned() })
        .then(
            at + 801,
            Fact::StepSkipped {
                step: StepPath::of("tell"),
                reason: "its `when` says so".to_owned(),
                by: None,
                result: None,
            },
        )
        .finished(at + 801, RunStatus::SucceededWithExceptions)
}

/// A run in which all went well, and which took this long.
pub fn smooth(run: u64, at: i64, took: i64) -> Story {
    Story::begun(run, at)
        .step_begun(at, "copy", 1)
        .effect(at, at + took, "copy", 1, "fs.copy", json!({ "from": "/a", "to": "/b" }))
        .step_done(at + took, "copy")
        .finished(at + took, RunStatus::Succeeded)
}

/// A drill whose recovery was proved at this second after its declared start, and which left something behind.
pub fn drilled(run: u64, at: i64, proven: i64) -> Story {
    let mut story = Story::begun(run, at);
    let base = story.records()[0].at;
    if let Fact::RunStarted { drill, .. } = &mut story.0[0].1 {
        *drill = Some(Box::new(DrillPin {
            declared_at: base,
            skip: Vec::new(),
            shared: Vec::new(),
            proof: Vec::new(),
            time_limit_ms: None,
            makes: std::collections::BTreeMap::new(),
            rto_ms: Some(600_000),
            rpo_ms: Some(60_000),
        }));
    }
    let call = CallId { step: StepPath::of("copy"), phase: Phase::Body, attempt: 1, seq: 0 };
    story
        .step_begun(at, "copy", 1)
        .effect(at, at + proven, "copy", 1, "fs.copy", json!({ "from": "/a", "to": "/b" }))
        .step_done(at + proven, "copy")
        .then(
            at + proven,
            Fact::DrillMeasured {
                proven: base + std::time::Duration::from_secs(u64::try_from(proven).expect("later")),
                newest: Some(base),
                rpo_ms: Some(0),
                values: std::collections::BTreeMap::new(),
                faults: std::collections::BTreeMap::new(),
            },
        )
        .then(at + 1900, Fact::TeardownBegun { teardown: Teardown::Over })
        .then(
            at + 2000,
            Fact::DrillSwept {
                looked: 1,
                leaks: vec![Leak {
                    resource: "docker/left <b>".to_owned(),
                    call: Some(call),
                    op: "docker.create".to_owned(),
                    found: "it is still there".to_owned(),
                    remove: Some("docker rm left".to_owned()),
                }],
                asked: vec!["containers".to_owned()],
                unasked: std::collections::BTreeMap::from([("volumes".to_owned(), "permission denied".to_owned())]),
            },
        )
        .finished(at + 2000, RunStatus::Succeeded)
}
