//! Plans made by hand that use everything a plan can say.

use std::collections::BTreeMap;

use serde_json::json;

use crate::model::check::{Check, Source, Verdict};
use crate::model::forecast::{Basis, Change, Decision};
use crate::model::{StepPath, Value};
use crate::plan::{
    Coverage, FORMAT, Objectives, Plan, PlannedApproval, PlannedCall, PlannedEnd, PlannedStep, PlannedUndo,
    StepOutcome, Timeline, Warning,
};

/// A text that would do harm in a terminal, in markdown and in HTML.
pub const HOSTILE: &str = "x\n\u{1b}[2J\r</script><img src=x onerror=alert(1)>\"'><b>|`````\n```\n@octocat #1 GH-1 org/repo#2 \
                           <!-- --> [a](javascript:b) &lt; **b** https://evil.example\u{202e}";

pub fn call(op: &str, basis: Basis, resource: &str, args: Value) -> PlannedCall {
    let writes = crate::ops::find(op).expect("an operation").effect.writes();
    PlannedCall {
        op: op.to_owned(),
        writes,
        basis,
        reason: if basis == Basis::Exact { String::new() } else { "by its model".to_owned() },
        resource: resource.to_owned(),
        args,
        result: Value::Null,
        refused: None,
        undo: writes.then_some(PlannedUndo::Nothing),
        takes_ms: 100,
        changes: Vec::new(),
        branch: Vec::new(),
        repeated: None,
        at_most: None,
    }
}

pub fn step(id: &str, title: &str, needs: &[&str], calls: Vec<PlannedCall>) -> PlannedStep {
    PlannedStep {
        step: StepPath::of(id),
        title: title.to_owned(),
        needs: needs.iter().map(|need| (*need).to_owned()).collect(),
        outcome: StepOutcome::Runs,
        approval: None,
        point_of_no_return: None,
        manual: false,
        own_rollback: false,
        verify: None,
        runs_if: Vec::new(),
        stops_if: Vec::new(),
        not_followed: Vec::new(),
        made: Vec::new(),
        recorded: 0,
        calls,
        paths: None,
        starts_ms: 0,
        ends_ms: 0,
        critical: false,
    }
}

pub fn plan(steps: Vec<PlannedStep>) -> Plan {
    let mut coverage = Coverage::default();
    for call in steps.iter().flat_map(|step| &step.calls) {
        match call.basis {
            Basis::Exact => coverage.exact += 1,
            Basis::Predicted => coverage.predicted += 1,
            Basis::Unknown => coverage.unknown += 1,
            Basis::Opaque => coverage.opaque += 1,
        }
    }
    let seen = coverage.exact + coverage.predicted;
    let all = seen + coverage.unknown + coverage.opaque;
    coverage.percent = u32::try_from((seen * 100).checked_div(all).unwrap_or(100)).expect("a percentage");
    Plan {
        rest: None,
        format: FORMAT,
        playbook: "chat-restore".to_owned(),
        version: "1.2.0".to_owned(),
        title: "Restore the chat's database and point the release at it".to_owned(),
        bundle: "3cff057c47240123456789abcdef".to_owned(),
        params: json!({ "retire": true, "keep": 600_000 }),
        given: BTreeMap::from([("keep".to_owned(), json!("10m")), ("retire".to_owned(), json!(true))]),
        targets: BTreeMap::from([("postgres open-webui-db".to_owned(), "7301".to_owned())]),
        objectives: Objectives { rto_ms: Some(5_400_000), rpo_ms: None },
        checks: Vec::new(),
        effects: steps.iter().flat_map(|step| &step.calls).filter(|call| call.writes).count(),
        coverage,
        timeline: Timeline {
            total_ms: steps.iter().map(|step| step.ends_ms).max().unwrap_or(0),
            critical: steps.iter().filter(|step| step.critical).map(|step| step.step.clone()).collect(),
            people: steps
                .iter()
                .filter(|step| step.approval.is_some() || step.manual)
                .map(|step| step.step.clone())
                .collect(),
            open_ended: Vec::new(),
        },
        steps,
        warnings: Vec::new(),
        digest: "023b2f6b67a30123456789abcdef".to_owned(),
    }
}

fn at(mut step: PlannedStep, from: u64, to: u64, critical: bool) -> PlannedStep {
    (step.starts_ms, step.ends_ms, step.critical) = (from, to, critical);
    step
}

fn decision(question: &str, answer: bool) -> Decision {
    Decision { question: question.to_owned(), answer }
}

fn under(mut call: PlannedCall, branch: &[(&str, bool)]) -> PlannedCall {
    call.branch = branch.iter().map(|(question, answer)| decision(question, *answer)).collect();
    call
}

fn rounds(mut call: PlannedCall, over: &str) -> PlannedCall {
    (call.repeated, call.at_most) = (Some(over.to_owned()), Some(20));
    call
}

/// A plan in which everything happens that can.
pub fn everything() -> Plan {
    use Basis::{Exact, Opaque, Predicted, Unknown};
    let unknown = json!({ "$unknown": "the server chooses it", "source": "steps.restore.endpoint" });
    let choose = step(
        "choose",
        "Choose the snapshot",
        &[],
        (0..12).map(|n| call("fs.stat", Exact, &format!("fs/b/{n}"), json!({ "path": format!("/b/{n}") }))).collect(),
    );

    let mut config = call(
        "fs.write_text",
        Exact,
        "fs/srv/chat/.env",
        json!({ "path": "/srv/chat/.env", "text": "…", "replace": true }),
    );
    config.changes = vec![Change {
        resource: "fs/srv/chat/.env".to_owned(),
        before: json!("MODE=local\nWORKERS=2\nVERSION=v0.5.16\nGPU=false\n"),
        after: json!("MODE=local\nWORKERS=2\nVERSION=v0.5.18\nGPU=false\n"),
    }];
    config.undo = Some(PlannedUndo::Call { op: "fs.restore_before".to_owned(), args: Value::Null });
    let mut secret = call(
        "pg.create_database",
        Predicted,
        "pg/db/chat_r",
        json!({
            "database": "chat_r", "server": { "container": "open-webui-db", "password": { "$secret": { "provider": "env", "name": "PW" } } },
        }),
    );
    secret.changes = vec![Change {
        resource: "pg/db/chat_r".to_owned(),
        before: Value::Null,
        after: json!({ "owner": "chat", "encoding": "UTF8" }),
    }];
    secret.undo = Some(PlannedUndo::Call { op: "pg.drop_database".to_owned(), args: Value::Null });
    let mut gone =
        call("fs.delete", Predicted, "fs/srv/chat/cache", json!({ "path": "/srv/chat/cache", "recursive": true }));
    gone.changes = vec![Change {
        resource: "fs/srv/chat/cache".to_owned(),
        before: json!({ "kind": "dir", "entries": 40 }),
        after: Value::Null,
    }];
    gone.undo = Some(PlannedUndo::Impossible { why: "what was deleted is gone".to_owned() });
    let mut restore = at(
        step("restore", "Restore beside the live database", &["choose"], vec![config, secret, gone]),
        0,
        1_860_000,
        true,
    );
    restore.verify = Some("pg::ready(steps.restore.endpoint)".to_owned());

    let branchy = step(
        "repair",
        "Repair what the dump lacks",
        &["restore"],
        vec![
            call("fs.stat", Exact, "fs/b", json!({ "path": "/b" })),
            under(
                call("fs.make_dir", Predicted, "fs/r", json!({ "path": "/r" })),
                &[("steps.restore.bytes == 0", true)],
            ),
            under(
                call("fs.write_text", Unknown, "fs/r/a", json!({ "path": "/r/a", "text": unknown })),
                &[("steps.restore.bytes == 0", true), ("steps.restore.whole", true)],
            ),
            under(
                call("fs.delete", Predicted, "fs/r/b", json!({ "path": "/r/b" })),
                &[("steps.restore.bytes == 0", true), ("steps.restore.whole", false)],
            ),
            under(
                call("fs.stat", Unknown, "fs/r/c", json!({ "path": "/r/c" })),
                &[("steps.restore.bytes == 0", false)],
            ),
            under(
                call("docker.stop", Predicted, "docker/web", json!({ "container": "web" })),
                &[("steps.restore.tables > 3", false)],
            ),
        ],
    );
    let mut branchy = at(branchy, 1_860_000, 1_920_000, false);
    branchy.stops_if = vec![PlannedEnd {
        branch: vec![decision("steps.restore.rows < 10", true)],
        message: "too few rows".to_owned(),
    }];
    branchy.not_followed = vec![PlannedEnd { branch: vec![], message: "more than 64 ways".to_owned() }];

    let looped = vec![
        rounds(
            call(
                "pg.dump",
                Unknown,
                "pg/db",
                json!({ "database": { "$unknown": "a list", "source": "steps.choose.names[]" }, "to": "/d" }),
            ),
            "each of steps.choose.names",
        ),
        under(
            rounds(call("fs.sha256", Unknown, "fs/d", json!({ "path": "/d" })), "each of steps.choose.names"),
            &[("item.big", true)],
        ),
        under(
            rounds(call("fs.delete", Predicted, "fs/d", json!({ "path": "/d" })), "each of steps.choose.names"),
            &[("item.big", false)],
        ),
        under(
            rounds(call("fs.delete", Predicted, "fs/e", json!({ "path": "/e" })), "each of steps.choose.more"),
            &[("params.clean", true)],
        ),
        rounds(
            call("fs.delete", Predicted, "fs/f", json!({ "path": "/f" })),
            "each of steps.choose.left, in it each round of the loop in line 9",
        ),
        rounds(call("fs.delete", Predicted, "fs/g", json!({ "path": "/g" })), "each of steps.choose.left"),
    ];
    let mut looped = at(step("dump", "Dump each", &["restore"], looped), 1_860_000, 3_660_000, true);
    looped.runs_if = vec![];

    let mut refused = call("fs.unpack", Predicted, "fs/full", json!({ "archive": "/b/a.tar", "to": "/full" }));
    refused.refused = Some("there is no room in /full: 20 GiB are wanted, 3 GiB are free".to_owned());
    let mut refused = step("unpack", "Unpack the uploads", &["choose"], vec![refused]);
    refused.outcome = StepOutcome::Fails { error: "there is no room in /full".to_owned() };

    let mut supposed = step(
        "tune",
        "Tune the large ones",
        &["dump"],
        vec![under(
            call("docker.start", Predicted, "docker/web", json!({ "container": "web" })),
            &[("steps.dump.bytes > 1000", true)],
        )],
    );
    supposed.runs_if = vec![decision("steps.dump.bytes > 1000", true)];

    let mut skipped = step("wake", "Wake the database", &["choose"], vec![]);
    skipped.outcome = StepOutcome::Skipped { reason: "`when: params.asleep` is false".to_owned() };
    let mut byhand = step("dns", "Point the name at the new database", &["dump"], vec![]);
    byhand.manual = true;

    let mut opaque = call("exec.run", Opaque, "exec/rm", json!({ "argv": ["rm", "-rf", "/srv/old data"] }));
    opaque.reason = "nobody knows what the program does".to_owned();
    opaque.undo = Some(PlannedUndo::Impossible { why: "what the program did is not known".to_owned() });
    let waits = call("docker.wait_healthy", Unknown, "docker/web", json!({ "container": "web" }));
    let mut retire = at(
        step("retire", "Retire the old data", &["dump", "repair", "dns"], vec![opaque, waits]),
        3_660_000,
        3_670_000,
        true,
    );
    retire.approval = Some(PlannedApproval { count: 2, by: vec!["dr-lead".to_owned(), "sre".to_owned()] });
    retire.point_of_no_return = Some("The old data are deleted; only the backup leads back.".to_owned());
    let mut own = call("fs.rename", Predicted, "fs/srv/a", json!({ "from": "/srv/a", "to": "/srv/b" }));
    own.undo = Some(PlannedUndo::Step);
    let mut last = at(step("swap", "Swap", &["retire"], vec![own]), 3_670_000, 3_670_050, true);
    last.own_rollback = true;
    let mut unreached = step("report", "Say so", &["unpack"], vec![]);
    unreached.outcome = StepOutcome::NotReached;
    let mut unknown = step("prove", "Prove it", &["swap"], vec![]);
    unknown.outcome = StepOutcome::Unknown { reason: "it could not be followed".to_owned() };

    let steps =
        vec![choose, skipped, restore, branchy, looped, refused, supposed, byhand, retire, last, unreached, unknown];
    let mut plan = plan(steps);
    plan.timeline.open_ended = vec![StepPath::of("dump")];
    let check = |id: &str, title: &str, verdict| Check::new(id, title, Source::Playbook, verdict);
    plan.checks = vec![
        check("database", "the database answers", Verdict::Pass),
        check("newest_backup", "a backup is young enough", Verdict::Fail)
            .found("26h old (2026-06-30T01:00:00Z), more than the 24h that may be lost")
            .hint("see why last night's backup did not come about"),
        check("room", "there is room for the safety copy", Verdict::Unknown).found("the run decides where it goes"),
    ];
    plan.warnings = vec![
        Warning {
            code: "fails".to_owned(),
            step: Some(StepPath::of("unpack")),
            message: "it would fail as things are: there is no room in /full".to_owned(),
        },
        Warning {
            code: "rto-missed".to_owned(),
            step: None,
            message: "the run would take longer than the objective".to_owned(),
        },
    ];
    plan
}

/// A plan in which every text from outside is [`HOSTILE`].
pub fn hostile() -> Plan {
    with_text(HOSTILE)
}

/// A plan in which every text from outside is this.
pub fn with_text(text: &str) -> Plan {
    let mut plan = everything();
    let h = || text.to_owned();
    plan.title = h();
    plan.playbook = h();
    plan.version = h();
    plan.bundle = h();
    plan.digest = h();
    plan.given = BTreeMap::from([(h(), json!(h()))]);
    plan.targets = BTreeMap::from([(h(), h())]);
    for warning in &mut plan.warnings {
        warning.message = h();
    }
    for check in &mut plan.checks {
        (check.id, check.title, check.found, check.hint) = (h(), h(), h(), Some(h()));
    }
    for step in &mut plan.steps {
        step.title = h();
        step.verify = step.verify.as_ref().map(|_| h());
        step.point_of_no_return = step.point_of_no_return.as_ref().map(|_| h());
        if let Some(approval) = &mut step.approval {
            approval.by = vec![h(), h()];
        }
        step.outcome = match &step.outcome {
            StepOutcome::Skipped { .. } => StepOutcome::Skipped { reason: h() },
            StepOutcome::Unknown { .. } => StepOutcome::Unknown { reason: h() },
            StepOutcome::Fails { .. } => StepOutcome::Fails { error: h() },
            other => other.clone(),
        };
        for end in step.stops_if.iter_mut().chain(&mut step.not_followed) {
            end.message = h();
            end.branch.iter_mut().for_each(|of| of.question = h());
        }
        step.runs_if.iter_mut().for_each(|of| of.question = h());
        for call in &mut step.calls {
            call.reason = h();
            call.resource = h();
            call.args = json!({ h(): h(), "list": [h(), { h(): h() }], "argv": [h()], "later": { "$unknown": h(), "source": h() } });
            call.result = json!(h());
            call.refused = call.refused.as_ref().map(|_| h());
            call.repeated = call.repeated.as_ref().map(|_| h());
            call.branch.iter_mut().for_each(|of| of.question = h());
            if let Some(PlannedUndo::Impossible { why }) = &mut call.undo {
                *why = h();
            }
            for change in &mut call.changes {
                change.resource = h();
                change.before = json!({ h(): h(), "text": h() });
                change.after = json!(h());
            }
        }
    }
    plan
}

/// A plan of so many steps, in lanes of five, with a change in each.
pub fn long(steps: usize) -> Plan {
    let all = (0..steps).map(|n| {
        let needs = if n >= 5 { vec![format!("step-{:03}", n - 5)] } else { vec![] };
        let needs: Vec<&str> = needs.iter().map(String::as_str).collect();
        let path = format!("/srv/data/{n}/settings.yaml");
        let mut write = call("fs.write_text", Basis::Predicted, &format!("fs{path}"), json!({ "path": path }));
        write.changes = vec![Change {
            resource: format!("fs{path}"),
            before: json!((0..40).map(|line| format!("key{line}: {n}\n")).collect::<String>()),
            after: json!((0..40).map(|line| format!("key{line}: {}\n", n + line % 2)).collect::<String>()),
        }];
        let from = (n / 5) as u64 * 1000;
        at(step(&format!("step-{n:03}"), "Change the settings", &needs, vec![write]), from, from + 1000, n % 5 == 0)
    });
    plan(all.collect())
}
