//! Whether a playbook would work now, as `muster check` and a plan say it.

use serde_json::{Value, json};

use crate::support::Desk;

/// Asks what a check can ask of files and of this machine.
const ASKS: &str = r#"
muster: 1
name: asks
version: 1.0.0
title: Asks whether it would work
objectives: { rto: 1h, rpo: 24h }
params:
  backups: { type: path, doc: Where backups are. }
  tool: { type: string, default: sh, doc: A program. }
  proof: { type: string, default: "true", doc: What is asked. }
capabilities:
  - fs.stat
  - fs.list: { path: "${params.backups}" }
  - fs.read_text: { path: "${params.backups}/*" }
  - exec.read: { argv: "${params.tool} -c *" }
checks:
  - id: newest
    title: A backup is young enough
    recovery_point: |
      host::fs::list(params.backups).entries.map(|entry| host::fs::read_text(entry.path).text)
    hint: look why there is none
  - id: proof
    title: It is proven
    timeout: 1s
    check: |
      if params.proof == "throws" { throw "the script gave up"; }
      if params.proof == "text" { return "yes"; }
      if params.proof == "all" { return host::fs::list(params.backups).entries.all(|entry| entry.bytes > 0); }
      if params.proof == "hangs" { return host::exec::read(#{ argv: [params.tool, "-c", "sleep 20"] }).code == 0; }
      if params.proof == "map" { return #{ ok: false, found: "half of it", hint: "make it whole" }; }
      params.proof == "true"
steps:
  - id: look
    script: |
      host::exec::read(#{ argv: [params.tool, "-c", "true"] }).code
"#;

struct Asked {
    code: i32,
    report: Value,
}

impl Asked {
    fn check(&self, id: &str) -> &Value {
        let all = self.report["checks"].as_array().expect("checks");
        all.iter().find(|check| check["id"] == id).unwrap_or_else(|| panic!("no check {id}: {}", self.report))
    }
}

/// Asks over backups of these ages in hours.
fn ask(ages: &[i64], more: &[&str]) -> Asked {
    let desk = Desk::new();
    desk.file("playbooks/asks/playbook.yaml", ASKS);
    std::fs::create_dir_all(desk.path().join("backups")).unwrap();
    for hours in ages {
        let at = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(*hours);
        desk.file(&format!("backups/{hours}"), &at.to_string());
    }
    let said = desk.muster(&[&["check", "asks", "-p", "backups=backups", "-o", "json"][..], more].concat());
    let report = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
    Asked { code: said.code, report }
}

#[test]
fn a_playbook_that_would_work_passes_and_the_report_says_when_and_of_what() {
    let asked = ask(&[30, 2], &[]);
    assert_eq!((asked.code, &asked.report["verdict"]), (0, &json!("pass")), "{}", asked.report);
    let report = &asked.report;
    assert_eq!((&report["muster_check"], &report["world"]), (&json!(1), &json!("live")));
    assert!(report["checked_at"].is_string() && report["took_ms"].is_u64() && report["bundle"].is_string());
    let newest = asked.check("newest");
    assert_eq!(newest["recovery_point"]["max_age_ms"], json!(24 * 3_600_000_u64));
    assert!(newest["recovery_point"]["age_ms"].as_u64().unwrap() / 3_600_000 == 2, "the newest counts: {newest}");
    for id in ["proof", "program.sh", "plan.end", "plan.rto", "muster.store"] {
        assert_eq!(asked.check(id)["verdict"], "pass", "{report}");
    }
}

#[test]
fn a_recovery_point_that_is_too_old_or_not_there_fails() {
    let old = ask(&[25, 70], &[]);
    assert_eq!((old.code, &old.check("newest")["verdict"]), (4, &json!("fail")), "{}", old.report);
    assert!(old.check("newest")["found"].as_str().unwrap().contains("more than the 1d"), "{}", old.report);
    assert_eq!(old.check("newest")["hint"], "look why there is none");
    let none = ask(&[], &[]);
    assert_eq!((none.code, &none.check("newest")["verdict"]), (4, &json!("fail")), "{}", none.report);
    assert_eq!(none.check("newest")["found"], "there is no recovery point");
    let ahead = ask(&[-3], &[]);
    assert_eq!((ahead.code, &ahead.check("newest")["verdict"]), (4, &json!("fail")), "{}", ahead.report);
}

#[test]
fn a_check_that_throws_hangs_or_does_not_answer_fails_and_what_is_said_of_nothing_is_no_proof() {
    let wrong = [
        ("throws", "the script gave up"),
        ("text", "where true, false or"),
        ("hangs", "1s"),
        ("map", "half of it"),
        ("false", "the script gives false"),
    ];
    for (proof, found) in wrong {
        let asked = ask(&[1], &["-p", &format!("proof={proof}")]);
        assert_eq!((asked.code, &asked.check("proof")["verdict"]), (4, &json!("fail")), "{}", asked.report);
        assert!(asked.check("proof")["found"].as_str().unwrap().contains(found), "{proof}: {}", asked.report);
        assert_eq!(asked.check("newest")["verdict"], "pass", "the others are asked all the same");
    }
    let nothing = ask(&[], &["-p", "proof=all"]);
    assert_eq!(nothing.check("proof")["verdict"], "fail", "{}", nothing.report);
    assert_eq!(ask(&[1], &["-p", "proof=all"]).code, 0);
}

#[test]
fn a_program_that_is_not_there_fails_and_is_named() {
    let asked = ask(&[1], &["-p", "tool=no-such-tool"]);
    assert_eq!(asked.code, 4, "{}", asked.report);
    assert_eq!(asked.check("program.no-such-tool")["verdict"], "fail");
    assert!(asked.check("program.no-such-tool")["hint"].as_str().unwrap().contains("install no-such-tool"));
    assert_eq!(asked.check("plan.end")["verdict"], "fail", "the plan meets it too");
}

#[test]
fn a_database_that_cannot_be_reached_fails() {
    let desk = Desk::new();
    let playbook = r##"
muster: 1
name: base
version: 1.0.0
title: A database
capabilities: [pg.server]
checks:
  - id: database
    check: |
      host::pg::server(#{ server: #{ host: "127.0.0.1", port: 1, user: "nobody" } }).version != ""
steps:
  - { id: only, script: "1" }
"##;
    desk.file("playbooks/base/playbook.yaml", playbook);
    let said = desk.muster(&["check", "base"]);
    assert_eq!(said.code, 4, "{said:?}");
    assert!(said.stdout.contains("fail     database"), "{said:?}");
}

#[test]
fn a_check_may_not_write() {
    let desk = Desk::new();
    desk.file(
        "playbooks/asks/playbook.yaml",
        &ASKS.replace("- fs.stat\n", "- fs.stat\n  - fs.make_dir\n").replace(
            "if params.proof == \"throws\" { throw \"the script gave up\"; }",
            "host::fs::make_dir(params.backups + \"/made\");",
        ),
    );
    let said = desk.muster(&["check", "asks", "-p", "backups=backups"]);
    assert_eq!(said.code, 3, "{said:?}");
    assert!(said.stderr.contains("only-reads") && said.stderr.contains("a check only looks"), "{said:?}");
}

#[test]
fn a_plan_shows_its_checks_and_is_refused_when_one_no_longer_holds() {
    let desk = Desk::new();
    desk.file("playbooks/asks/playbook.yaml", ASKS);
    let young = jiff::Timestamp::now() - jiff::SignedDuration::from_hours(1);
    desk.file("backups/young", &young.to_string());
    let plan = desk.muster(&["plan", "asks", "-p", "backups=backups", "--out", "plan.json"]);
    assert!(plan.code == 0 && plan.stdout.contains("A backup is young enough"), "{plan:?}");
    std::fs::remove_file(desk.path().join("backups/young")).unwrap();
    let refused = desk.muster(&["run", "--plan", "plan.json"]);
    assert_eq!(refused.code, 8, "{refused:?}");
    assert!(refused.stderr.contains("the check `newest`: it was pass, it is fail"), "{refused:?}");
    let warned = desk.muster(&["plan", "asks", "-p", "backups=backups"]);
    assert!(warned.stdout.contains("the check `newest` fails: there is no recovery point"), "{warned:?}");
}

/// Asks the shipped `rds-restore` in its world, in which IAM is so.
fn permitted(iam: &str) -> (i32, Value) {
    permitted_by("rds-restore", iam, &[])
}

/// Asks a shipped playbook in its world, in which IAM is so.
fn permitted_by(playbook: &str, iam: &str, more: &[&str]) -> (i32, Value) {
    let desk = Desk::new();
    let shipped = std::path::Path::new(env!("CARGO_MANIFEST_DIR")).join("playbooks").join(playbook);
    let read = |name: &str| std::fs::read_to_string(shipped.join(name)).unwrap();
    desk.file(&format!("playbooks/{playbook}/playbook.yaml"), &read("playbook.yaml"));
    let world = read("world.yaml").replacen("\naws:\n", &format!("\naws:\n  iam: {iam}\n"), 1);
    desk.file(&format!("playbooks/{playbook}/world.yaml"), &world);
    let said = desk.muster(&[&["check", playbook, "--sandbox", "-o", "json"], more].concat());
    let report: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
    let found = report["checks"].as_array().unwrap().iter().find(|check| check["id"] == "permissions").unwrap().clone();
    (said.code, found)
}

#[test]
fn what_aws_would_not_let_one_do_is_found_before_the_night_on_which_it_matters() {
    assert_eq!(permitted("{}").0, 0);
    let (code, found) = permitted("{ denied: ['rds:Delete*'] }");
    assert_eq!((code, &found["verdict"]), (4, &json!("fail")));
    let said = found["found"].as_str().unwrap();
    let wanted = "rds:DeleteDBInstance on arn:aws:rds:eu-west-1:123456789012:db:shop-restored: no policy allows it";
    assert!(said.contains(wanted) && !said.contains("rds:ModifyDBInstance"), "{said}");
}

#[test]
fn what_a_restore_of_omnichat_may_not_do_is_named_for_just_what_is_asked_for() {
    let playbook = "omnichat-aws-restore";
    let ask = |iam: &str, more: &[&str]| {
        let found = permitted_by(playbook, iam, more).1;
        (found["verdict"].as_str().unwrap().to_owned(), found["found"].as_str().unwrap().to_owned())
    };
    let all = "restore=[database, models]";
    let (verdict, said) = ask("{}", &["-p", all, "-p", "retire=true"]);
    assert!(verdict == "pass", "{said}");
    let old = "on arn:aws:rds:eu-west-1:123456789012:db:horizons-persistence-db";
    let secret = "arn:aws:secretsmanager:eu-west-1:123456789012:secret:horizons/config/app-secrets-";
    let service = "arn:aws:ecs:eu-west-1:123456789012:service/horizons-compute-";
    for (denied, more, wanted) in [
        ("rds:ModifyDBInstance", vec![], format!("rds:ModifyDBInstance {old}:")),
        ("rds:DeleteDBInstance", vec!["-p", "retire=true"], format!("rds:DeleteDBInstance {old}-old-")),
        ("ecs:UpdateService", vec![], format!("ecs:UpdateService on {service}fargate/horizons-compute-webui")),
        ("secretsmanager:PutSecretValue", vec!["-p", "cutover=new_endpoint"], format!("PutSecretValue on {secret}")),
        ("iam:PassRole", vec!["-p", all], "role/horizons-backup".to_owned()),
        ("backup:StartRestoreJob", vec!["-p", all], "recovery-point".to_owned()),
        ("elasticfilesystem:*", vec!["-p", all, "-p", "models_to=new_fs"], "CreateMountTarget".to_owned()),
    ] {
        let (verdict, said) = ask(&format!("{{ denied: ['{denied}'] }}"), &more);
        assert!(verdict == "fail" && said.contains(&wanted), "{denied}: {said}");
    }
    // What is not asked for need not be allowed.
    for (denied, more) in [
        ("secretsmanager:PutSecretValue", &[][..]),
        ("backup:*", &[]),
        ("elasticfilesystem:*", &["-p", all]),
        ("rds:*", &["-p", "restore=[models]"]),
        ("ecs:*", &["-p", "cutover=none"]),
    ] {
        let (verdict, said) = ask(&format!("{{ denied: ['{denied}'] }}"), more);
        assert!(verdict == "pass", "{denied}: {said}");
    }
}

#[test]
fn what_aws_does_not_tell_is_no_pass() {
    let (code, found) = permitted("{ silent: 'nobody may ask' }");
    assert_eq!((code, &found["verdict"]), (9, &json!("unknown")));
    assert!(found["found"].as_str().unwrap().contains("nobody may ask"), "{found}");
}

#[test]
fn a_secret_that_only_a_rollback_or_a_proof_uses_is_asked_for_before_the_night_too() {
    let ask = |more: &str| {
        let desk = Desk::new();
        let playbook = format!(
            r##"
muster: 1
name: sealed
version: 1.0.0
title: A secret out of sight
params:
  password: {{ type: secret, default: "env:MUSTER_TEST_NOT_SET", doc: Whatever. }}
  plain: {{ type: string, default: x, doc: Whatever. }}
capabilities: [{{ exec.read: {{ argv: "sh -c *" }} }}]
steps:
  - id: choose
    script: "#{{ login: params.password }}"
  - id: work
    needs: [choose]
    script: |
      host::exec::read(#{{ argv: ["sh", "-c", "true"] }}).code
{more}
"##
        );
        desk.file("playbooks/sealed/playbook.yaml", &playbook);
        let said = desk.muster(&["check", "sealed", "-o", "json"]);
        let report: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
        let all = report["checks"].as_array().unwrap().clone();
        let found = all.into_iter().find(|check| check["id"] == "secret.password").unwrap();
        (said.code, found["found"].as_str().unwrap().to_owned())
    };
    let used =
        |login: &str| format!(r##"host::exec::read(#{{ argv: ["sh", "-c", "true"], env: #{{ PW: {login} }} }}).code"##);
    for (more, place) in [
        (format!("    rollback: '{}'", used("params.password")), "the rollback of step work uses it"),
        (format!("    rollback: '{}'", used("steps.choose.login")), "the rollback of step work uses it"),
        (format!("    rollback: 'let all = params; {}'", used("all.password")), "the rollback of step work uses it"),
        (format!("    verify: '{} == 0'", used("params.password")), "the `verify` of step work uses it"),
    ] {
        let (code, said) = ask(&more);
        assert_eq!(code, 4, "{more}: {said}");
        assert!(said.contains("MUSTER_TEST_NOT_SET") && said.ends_with(place), "{said}");
    }
    let (code, said) = ask(&format!("    rollback: '{}'", used("params.plain")));
    assert!(code == 0 && said.ends_with("nothing in this plan uses it"), "{said}");
    let (code, said) = ask(&format!("    when: false\n    rollback: '{}'", used("params.password")));
    assert!(code == 0 && said.ends_with("nothing in this plan uses it"), "{said}");
}

#[test]
fn a_secret_that_is_missing_fails_only_where_something_would_use_it() {
    let playbook = r##"
muster: 1
name: sealed
version: 1.0.0
title: A secret for one step
params:
  password: { type: secret, default: "env:MUSTER_TEST_NOT_SET", doc: Whatever. }
  used: { type: bool, default: false, doc: Whether it is used. }
capabilities: [{ exec.read: { argv: "sh -c *" } }]
steps:
  - id: plain
    script: |
      host::exec::read(#{ argv: ["sh", "-c", "true"] }).code
  - id: sealed
    when: params.used
    script: |
      host::exec::read(#{ argv: ["sh", "-c", "true"], env: #{ PW: params.password } }).code
"##;
    let desk = Desk::new();
    desk.file("playbooks/sealed/playbook.yaml", playbook);
    let ask = |more: &[&str]| {
        let said = desk.muster(&[&["check", "sealed", "-o", "json"][..], more].concat());
        let report: Value = serde_json::from_str(&said.stdout).unwrap_or_else(|_| panic!("{said:?}"));
        let all = report["checks"].as_array().unwrap().clone();
        (said.code, all.into_iter().find(|check| check["id"] == "secret.password").unwrap())
    };
    let (code, unused) = ask(&[]);
    assert_eq!((code, &unused["verdict"]), (0, &json!("pass")), "{unused}");
    let said = unused["found"].as_str().unwrap();
    assert!(said.contains("MUSTER_TEST_NOT_SET") && said.ends_with("nothing in this plan uses it"), "{said}");
    let (code, used) = ask(&["-p", "used=true"]);
    assert_eq!((code, &used["verdict"]), (4, &json!("fail")), "{used}");
}
