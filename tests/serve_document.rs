//! The API does what its own document says, for an admin, a viewer and nobody known: tried by schemathesis, which makes requests from the
//! document, valid ones and others, and holds the answers against it.

#[path = "support/cli.rs"]
mod cli;
#[path = "support/serving.rs"]
mod serving;

use std::collections::BTreeMap;
use std::path::Path;
use std::process::Command;

use cli::Desk;
use serde_json::{Value, json};
use serving::{Answer, Serving};

const WAITS: &str = r#"muster: 1
name: waits
version: 1.0.0
title: Wait for a person
params:
  folder: { type: path, default: "." }
capabilities:
  - fs.write_text: { path: "${params.folder}/*" }
steps:
  - id: retire
    approval: { by: [dr-lead], count: 1 }
    uses: fs.write_text
    with: { path: "${params.folder}/a.txt", text: a, replace: true }
"#;

const QUICK: &str = r#"muster: 1
name: quick
version: 1.0.0
title: End at once
steps:
  - { id: retire, script: "1" }
"#;

const FAILS: &str = r#"muster: 1
name: fails
version: 1.0.0
title: Fail, and wait for a person
steps:
  - { id: retire, script: "throw \"no\"" }
"#;

const SCHEDULES: &str = "muster: 1\nschedules:\n  nightly: { playbook: quick, cron: 0 3 1 1 *, drill: false }\n";

/// What every answer is held against. Left out are two: that whatever is valid by its schema is accepted, for no schema says which
/// playbooks, steps and tokens there are; and what comes of a wrong token, which is slowed down after some (`tests/serve_roles.rs`).
const CHECKS: &str = "not_a_server_error,status_code_conformance,content_type_conformance,response_headers_conformance,\
    response_schema_conformance,negative_data_rejection,missing_required_header,unsupported_method,allow_header_conformance,\
    use_after_free,ensure_resource_availability";

/// A server with something of everything, and whom to show it as.
struct Ground {
    desk: Desk,
    server: Serving,
    admin: String,
    viewer: String,
    known: Value,
}

impl Ground {
    fn new() -> Self {
        let desk = Desk::new();
        for (name, text) in [("waits", WAITS), ("quick", QUICK), ("fails", FAILS)] {
            desk.file(&format!("playbooks/{name}/playbook.yaml"), text);
        }
        desk.file("schedules.yaml", SCHEDULES);
        let token = |name: &str, role: &str| {
            let said = desk.muster(&["token", "create", name, "--role", role]);
            assert_eq!(said.code, 0, "{said:?}");
            said.stdout.trim().to_owned()
        };
        let (admin, viewer) = (token("root", "admin"), token("looker", "viewer"));
        // These may be revoked: those that are shown go on.
        let spare = (0..4).map(|number| token(&format!("spare{number}"), "viewer"));
        let spare: Vec<String> = spare.filter_map(|shown| shown.split('_').nth(1).map(str::to_owned)).collect();
        let arguments =
            ["serve", "--listen", "127.0.0.1:0", "--playbooks", "playbooks", "--schedules", "schedules.yaml"];
        let server = Serving::start(&mut desk.command(&arguments));
        let mut ground = Self { desk, server, admin, viewer, known: Value::Null };
        let begun = |playbook: &str, count: usize| -> Vec<String> {
            let run = |_| {
                let said = ground.post(&ground.admin, "/api/v1/runs", &json!({ "playbook": playbook }));
                assert_eq!(said.status, 201, "{}", said.text);
                said.json()["id"].as_str().expect("an id").to_owned()
            };
            (0..count).map(run).collect()
        };
        let (waits, ended, fails) = (begun("waits", 8), begun("quick", 3), begun("fails", 4));
        for run in &ended {
            ground.until(run, |run| run["ended"] == true);
        }
        for run in waits.iter().chain(&fails) {
            ground.until(run, |run| run["status"] == "paused");
        }
        let glass = json!({ "step": "retire", "reason": "nobody answers" });
        let broken = ground.post(&ground.admin, &format!("/api/v1/runs/{}/break-glass", waits[0]), &glass);
        assert_eq!(broken.status, 200, "{}", broken.text);
        let reviews = ground.get(&ground.admin, "/api/v1/reviews").json();
        let review = reviews["reviews"][0]["id"].to_string();
        let runs = [waits, ended.clone(), fails].concat();
        ground.known = json!({
            "run": runs,
            "ended": ended,
            "playbook": ["waits", "quick", "fails"],
            "schedule": ["nightly"],
            "token": spare,
            "review": [review],
            "step": ["retire"],
        });
        ground
    }

    fn get(&self, token: &str, path: &str) -> Answer {
        let bearer = format!("Bearer {token}");
        serving::request(&format!("{}{path}", self.server.url), "GET", None, &[("Authorization", &bearer)])
    }

    fn post(&self, token: &str, path: &str, body: &Value) -> Answer {
        let bearer = format!("Bearer {token}");
        self.server.post_with(path, body, &[("Authorization", &bearer)])
    }

    fn until(&self, run: &str, wanted: impl Fn(&Value) -> bool) {
        let begun = std::time::Instant::now();
        loop {
            let now = self.get(&self.admin, &format!("/api/v1/runs/{run}")).json();
            if wanted(&now) {
                return;
            }
            assert!(begun.elapsed() < serving::PATIENCE, "it never came to that: {now:#}\n{}", self.server.said());
            std::thread::sleep(std::time::Duration::from_millis(30));
        }
    }

    /// Has the API tried as whoever shows this token, or none. How often each status was answered.
    fn tried(&self, tool: &Path, who: &str, token: Option<&str>, examples: u32) -> BTreeMap<u16, u64> {
        let report = self.desk.path().join(format!("{who}.har"));
        let known = self.desk.file("known.json", &self.known.to_string());
        let hooks = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deployment/schemathesis");
        let mut command = Command::new(tool);
        command
            .args(["run", &format!("{}/api/v1/openapi.json", self.server.url), "--checks", CHECKS])
            .args(["--seed", "20261121", "--max-examples", &examples.to_string(), "--request-timeout", "30"])
            .args(["--continue-on-failure", "--no-color", "--report", "har", "--report-har-path"])
            .arg(&report)
            .current_dir(self.desk.path())
            .env("PYTHONPATH", hooks)
            .env("PYTHONDONTWRITEBYTECODE", "1")
            .env("SCHEMATHESIS_HOOKS", "hooks")
            .env("MUSTER_FUZZ_KNOWN", known);
        if let Some(token) = token {
            command.args(["--header", &format!("Authorization: Bearer {token}")]);
        }
        let output = command.output().expect("schemathesis runs");
        let said = String::from_utf8_lossy(&output.stdout);
        assert!(output.status.success(), "as {who}:\n{said}{}", String::from_utf8_lossy(&output.stderr));
        let report = std::fs::read_to_string(report).expect("a report");
        let report: Value = serde_json::from_str(&report).expect("JSON");
        let mut statuses = BTreeMap::new();
        for entry in report["log"]["entries"].as_array().expect("entries") {
            let status = entry["response"]["status"].as_u64().and_then(|status| u16::try_from(status).ok());
            *statuses.entry(status.expect("a status")).or_default() += 1;
        }
        statuses
    }
}

fn sum(statuses: &BTreeMap<u16, u64>, of: impl Fn(u16) -> bool) -> u64 {
    statuses.iter().filter(|(status, _)| of(**status)).map(|(_, count)| count).sum()
}

#[test]
fn whatever_is_asked_of_the_api_it_answers_as_its_document_says() {
    let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deployment/schemathesis/setup.sh");
    let output = Command::new(setup).output().expect("the script runs");
    if !output.status.success() {
        eprintln!("skipped: schemathesis cannot be had: {}", String::from_utf8_lossy(&output.stderr).trim());
        return;
    }
    let tool = Path::new(String::from_utf8_lossy(&output.stdout).trim()).join("bin/schemathesis");
    let more = if std::env::var("MUSTER_TEST_FAULTS").is_ok_and(|faults| faults == "full") { 20 } else { 1 };
    let ground = Ground::new();
    let viewer = ground.tried(&tool, "viewer", Some(&ground.viewer), 3 * more);
    let admin = ground.tried(&tool, "admin", Some(&ground.admin), 8 * more);
    let nobody = ground.tried(&tool, "nobody", None, 2 * more);
    println!("viewer {viewer:?}\nadmin {admin:?}\nnobody {nobody:?}");
    // Most cases come past the door: what answers them is what is to be tried.
    let turned_away = |status: u16| [401, 429].contains(&status);
    for (who, statuses, least) in [("viewer", &viewer, 400), ("admin", &admin, 800)] {
        let all = sum(statuses, |_| true);
        assert!(all >= least, "only {all} cases as {who}: {statuses:?}");
        assert!(sum(statuses, turned_away) * 20 <= all, "too many were turned away as {who}: {statuses:?}");
        assert!(sum(statuses, |status| status < 300) * 20 >= all, "too few were answered as {who}: {statuses:?}");
    }
    assert!(sum(&viewer, |status| status == 403) > 50, "{viewer:?}");
    assert_eq!(sum(&admin, |status| status >= 500), 0, "{admin:?}");
    assert!(sum(&nobody, |status| status == 401) > 50, "{nobody:?}");
    // The server is none the worse for it.
    assert_eq!(ground.server.get("/readyz").status, 200);
}

#[test]
fn what_the_document_does_not_allow_is_refused() {
    let ground = Ground::new();
    let ended = ground.known["ended"][0].as_str().expect("a run").to_owned();
    for path in [
        "/api/v1/runs?limit=0".to_owned(),
        "/api/v1/runs?limit=501".to_owned(),
        "/api/v1/audit?limit=0".to_owned(),
        format!("/api/v1/runs/{ended}/records?limit=0"),
        format!("/api/v1/runs/{ended}/records?limit=1001"),
    ] {
        let said = ground.get(&ground.admin, &path);
        assert_eq!(said.status, 422, "{path}: {}", said.text);
    }
    let said = ground.get(&ground.admin, &format!("/api/v1/runs/{ended}/events?limit=3"));
    assert_eq!(said.status, 400, "a stream has no limit: {}", said.text);
    for act in ["pause", "trigger"] {
        let said = ground.post(&ground.admin, &format!("/api/v1/schedules/nightly/{act}"), &json!({ "reason": " " }));
        assert_eq!(said.status, 422, "{act}: {}", said.text);
    }
}

#[test]
fn schedules_and_what_became_of_their_ticks_are_told() {
    let ground = Ground::new();
    let asked = ground.post(&ground.admin, "/api/v1/schedules/nightly/trigger", &json!({ "reason": "to see it" }));
    assert_eq!(asked.status, 200, "{}", asked.text);
    let begun = std::time::Instant::now();
    let tick = loop {
        let ticks = ground.get(&ground.viewer, "/api/v1/schedules/nightly/ticks?limit=1").json();
        let tick = ticks["ticks"][0].clone();
        if tick["fate"] != "asked for" {
            break tick;
        }
        assert!(begun.elapsed() < serving::PATIENCE, "no server took it up: {ticks:#}");
        std::thread::sleep(std::time::Duration::from_millis(30));
    };
    // Runs wait for a person here, and are no drills.
    assert_eq!((tick["fate"].as_str(), tick["asked_by"].as_str()), (Some("skipped"), Some("root")), "{tick:#}");
    assert!(tick["why"].as_str().is_some_and(|why| why.contains("no drill")), "{tick:#}");
    let paused = ground.post(&ground.admin, "/api/v1/schedules/nightly/pause", &json!({ "reason": "freeze" }));
    assert_eq!(paused.status, 200, "{}", paused.text);
    let all = ground.get(&ground.viewer, "/api/v1/schedules").json();
    let one = &all["schedules"][0];
    let said = |field: &str| one[field].as_str().unwrap_or_default().to_owned();
    assert_eq!((said("name"), said("playbook")), ("nightly".to_owned(), "quick".to_owned()), "{all:#}");
    assert_eq!((&one["drill"], &one["paused"]["reason"]), (&json!(false), &json!("freeze")), "{all:#}");
    assert!(one["next"][0].as_str().is_some_and(|next| next.contains("-01-01T03:00:00Z")), "{all:#}");
    assert_eq!(ground.get(&ground.viewer, "/api/v1/schedules/weekly/ticks").status, 404);
}
