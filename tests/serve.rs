//! `muster serve`: runs are begun, ordered, watched, drained, and survive whatever becomes of a server.

#[path = "support/cli.rs"]
mod cli;
#[path = "support/running.rs"]
mod running;
#[path = "support/serving.rs"]
mod serving;

use std::io::{Read as _, Write as _};
use std::process::{Command, Stdio};
use std::time::Duration;

use cli::Desk;
use running::Running;
use serde_json::{Value, json};
use serving::{Event, PATIENCE, Serving, request};

/// Appends a line to a file, again and again with a rest between: what is done twice is seen.
const STEADY: &str = r#"muster: 1
name: steady
version: 1.0.0
title: Append lines to a file
params:
  file: { type: path, doc: "The file." }
  lines: { type: int, default: 5, doc: "How many." }
  pace: { type: duration, default: 200ms, doc: "The rest between two." }
capabilities:
  - time.sleep
  - exec.run: { argv: ["sh*"] }
steps:
  - id: work
    title: Append
    script: |
      for n in 0..params.lines {
          host::exec::run(#{ argv: ["sh", "-c", "echo " + n + " >> " + params.file] });
          host::time::sleep(#{ duration: params.pace });
      }
"#;

/// Waits for a person in the middle.
const BY_HAND: &str = r#"muster: 1
name: by-hand
version: 1.0.0
title: Wait for a person
steps:
  - id: first
    title: Look
    script: "1 + 1"
  - id: turn
    title: Turn the key
    needs: [first]
    manual: { instructions: "Turn the key." }
"#;

/// Waits for somebody's yes.
const GATED: &str = r#"muster: 1
name: gated
version: 1.0.0
title: Ask before
steps:
  - id: act
    title: Act
    approval: { by: [dr-lead] }
    script: "1"
"#;

fn desk() -> Desk {
    let desk = Desk::new();
    for (name, text) in [("steady", STEADY), ("by-hand", BY_HAND), ("gated", GATED)] {
        desk.file(&format!("books/{name}/playbook.yaml"), text);
    }
    desk
}

fn command(desk: &Desk, more: &[&str]) -> Command {
    let mut args = vec!["serve", "--listen", "127.0.0.1:0", "--playbooks", "books"];
    args.extend(more);
    desk.command(&args)
}

fn serve(desk: &Desk) -> Serving {
    let serving = Serving::start(&mut command(desk, &[]));
    assert_eq!(serving.phase, "serving", "{}", serving.said());
    serving
}

/// Parameters of `steady`, and the file that it writes.
fn steady(desk: &Desk, name: &str, lines: u32, pace: &str) -> (Value, std::path::PathBuf) {
    let file = desk.path().join(name);
    (json!({ "file": file.display().to_string(), "lines": lines, "pace": pace }), file)
}

fn lines(file: &std::path::Path) -> Vec<String> {
    std::fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

fn counted(to: u32) -> Vec<String> {
    (0..to).map(|n| n.to_string()).collect()
}

#[test]
fn a_run_is_begun_ordered_and_ends_by_the_api() {
    let desk = desk();
    let server = serve(&desk);
    let run = server.begin("by-hand", &json!({}));
    server.until(&run, |run| run["status"] == "paused");
    let wordless = server.post(&format!("/api/v1/runs/{run}/done"), &json!({ "step": "turn", "evidence": " " }));
    assert_eq!((wordless.status, wordless.kind.as_str()), (422, "application/problem+json"), "{}", wordless.text);
    let wrong = server.post(&format!("/api/v1/runs/{run}/retry"), &json!({ "step": "nowhere" }));
    assert_eq!(wrong.status, 409, "{}", wrong.text);
    assert!(wrong.json()["detail"].as_str().is_some_and(|why| why.contains("refused")), "{}", wrong.text);
    let done = server.post(&format!("/api/v1/runs/{run}/done"), &json!({ "step": "turn", "evidence": "it turned" }));
    assert_eq!((done.status, done.json()["state"].as_str()), (200, Some("done")), "{}", done.text);
    assert_eq!(server.until_ended(&run), "succeeded");
    let late = server.post(&format!("/api/v1/runs/{run}/cancel"), &json!({}));
    assert_eq!(late.status, 409, "{}", late.text);
    let said = desk.muster(&["show", &run]);
    assert!(said.stdout.contains("it turned"), "the command line sees the same: {}", said.stdout);
}

#[test]
fn the_command_line_reaches_runs_that_a_server_carries_on() {
    let desk = desk();
    let server = serve(&desk);
    let run = server.begin("by-hand", &json!({}));
    server.until(&run, |run| run["status"] == "paused");
    let said = desk.muster(&["done", &run, "turn", "--evidence", "by phone"]);
    assert_eq!(said.code, 0, "{said:?}");
    assert_eq!(server.until_ended(&run), "succeeded");
}

#[test]
fn the_same_idempotency_key_begins_one_run() {
    let desk = desk();
    let server = serve(&desk);
    let begin = |playbook: &str, key: &str| {
        server.post_with("/api/v1/runs", &json!({ "playbook": playbook }), &[("Idempotency-Key", key)])
    };
    let (first, again, other) = (begin("by-hand", "k1"), begin("by-hand", "k1"), begin("by-hand", "k2"));
    assert_eq!((first.status, again.status, other.status), (201, 200, 201), "{}", again.text);
    assert_eq!(first.json()["id"], again.json()["id"]);
    assert_ne!(first.json()["id"], other.json()["id"]);
    let misused = begin("gated", "k1");
    assert_eq!(misused.status, 409, "{}", misused.text);
    let listed = server.get("/api/v1/runs").json();
    assert_eq!(listed["runs"].as_array().map(Vec::len), Some(2), "{listed:#}");
}

#[test]
fn who_started_a_run_does_not_approve_it_and_breaks_the_glass_with_a_reason() {
    let desk = desk();
    let server = serve(&desk);
    let run = server.begin("gated", &json!({}));
    server.until(&run, |run| run["status"] == "paused");
    let own = server.post(&format!("/api/v1/runs/{run}/approve"), &json!({ "step": "act" }));
    assert_eq!(own.status, 403, "{}", own.text);
    let broken = json!({ "step": "act", "reason": "nobody else is awake" });
    let broken = server.post(&format!("/api/v1/runs/{run}/break-glass"), &broken);
    assert_eq!(broken.status, 200, "{}", broken.text);
    server.until(&run, |run| run["ended"] == true);
}

#[test]
fn who_comes_back_to_a_stream_misses_nothing_and_is_told_nothing_twice() {
    let desk = desk();
    let server = serve(&desk);
    let (params, file) = steady(&desk, "stream", 12, "100ms");
    let run = server.begin("steady", &params);
    let mut told: Vec<Event> = Vec::new();
    let mut ended = false;
    while !ended {
        let last = told.last().and_then(|event| event.id);
        let mut seen = 0;
        for event in server.watch(&run, last) {
            match event.kind.as_str() {
                "record" => told.push(event),
                "end" => ended = true,
                _ => {}
            }
            seen += 1;
            // Cut off again and again, in the middle of it.
            if ended || seen == 5 {
                break;
            }
        }
    }
    let records: Vec<Value> = told.iter().map(|event| serde_json::from_str(&event.data).expect("a record")).collect();
    assert_eq!(records, server.records(&run));
    let ids: Vec<u64> = told.iter().filter_map(|event| event.id).collect();
    assert_eq!(ids, (0..told.len() as u64).collect::<Vec<_>>());
    assert_eq!(lines(&file), counted(12));
    assert_eq!(server.watch(&run, ids.last().copied()).status, 204, "there is nothing more to come back for");
}

#[test]
fn a_run_of_the_command_line_is_watched_too() {
    let desk = desk();
    let server = serve(&desk);
    let (params, _) = steady(&desk, "elsewhere", 4, "300ms");
    let file = format!("file={}", params["file"].as_str().expect("a path"));
    let args = ["run", "books/steady", "-p", &file, "-p", "lines=4", "-p", "pace=300ms"];
    let _other = Running::start(desk.command(&args).stdout(Stdio::null()).stderr(Stdio::null()));
    let begun = std::time::Instant::now();
    let run = loop {
        let listed = server.get("/api/v1/runs").json();
        if let Some(id) = listed["runs"][0]["id"].as_str() {
            break id.to_owned();
        }
        assert!(begun.elapsed() < PATIENCE, "it is never listed");
        std::thread::sleep(Duration::from_millis(20));
    };
    let told: Vec<Event> = server.watch(&run, None).collect();
    assert_eq!(told.last().map(|event| event.kind.as_str()), Some("end"));
    let records = told.iter().filter(|event| event.kind == "record").count();
    assert_eq!(records, server.records(&run).len());
}

#[test]
fn a_server_that_is_told_to_end_leaves_its_runs_to_the_next() {
    let desk = desk();
    let mut first = serve(&desk);
    let (params, file) = steady(&desk, "drained", 15, "200ms");
    let run = first.begin("steady", &params);
    let waiting = first.begin("by-hand", &json!({}));
    first.until(&waiting, |run| run["status"] == "paused");
    let mut watching = first.watch(&run, None);
    watching.next().expect("something is told");
    first.signal("TERM");
    assert_eq!(first.end(), Some(0), "{}", first.said());
    assert!(first.said().contains("2 runs parked for the next server"), "{}", first.said());
    assert!(watching.all(|event| event.kind != "end"), "the stream is broken off, not ended");
    let second = serve(&desk);
    assert_eq!(second.until_ended(&run), "succeeded");
    second.until(&waiting, |run| !run["holder"].is_null());
    assert_eq!(lines(&file), counted(15));
}

#[test]
fn the_runs_of_a_server_that_is_killed_are_carried_on_by_the_next() {
    let desk = desk();
    let first = serve(&desk);
    let begun: Vec<(String, std::path::PathBuf)> = (0..5)
        .map(|number| {
            let (params, file) = steady(&desk, &format!("killed-{number}"), 10, "150ms");
            (first.begin("steady", &params), file)
        })
        .collect();
    first.until(&begun[0].0, |run| run["records"].as_u64() > Some(6));
    first.kill();
    let second = serve(&desk);
    for (run, file) in &begun {
        assert_eq!(second.until_ended(run), "succeeded");
        assert_eq!(lines(file), counted(10));
    }
}

#[test]
fn a_run_whose_command_line_died_is_carried_on_by_a_server_that_is_there() {
    let desk = desk();
    let server = serve(&desk);
    let (params, file) = steady(&desk, "orphan", 6, "300ms");
    let given = format!("file={}", params["file"].as_str().expect("a path"));
    let args = ["run", "books/steady", "-p", &given, "-p", "lines=6", "-p", "pace=300ms"];
    let mut other = Running::start(desk.command(&args).stdout(Stdio::null()).stderr(Stdio::null()));
    let begun = std::time::Instant::now();
    while lines(&file).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "it never began");
        std::thread::sleep(Duration::from_millis(20));
    }
    other.kill().expect("killed");
    other.wait().expect("gone");
    let run = server.get("/api/v1/runs").json()["runs"][0]["id"].as_str().expect("an id").to_owned();
    assert_eq!(server.until_ended(&run), "succeeded");
    assert_eq!(lines(&file), counted(6));
}

#[test]
fn a_run_that_a_person_parked_stays_parked_until_it_is_ordered() {
    let desk = desk();
    let (params, file) = steady(&desk, "parked", 6, "300ms");
    let given = format!("file={}", params["file"].as_str().expect("a path"));
    let args = ["run", "books/steady", "-p", &given, "-p", "lines=6", "-p", "pace=300ms"];
    let other = Running::start(desk.command(&args).stdout(Stdio::null()).stderr(Stdio::null()));
    let begun = std::time::Instant::now();
    while lines(&file).is_empty() {
        assert!(begun.elapsed() < PATIENCE, "it never began");
        std::thread::sleep(Duration::from_millis(20));
    }
    assert!(Command::new("kill").args(["-INT", &other.id().to_string()]).status().expect("kill runs").success());
    assert_eq!(other.end().status.code(), Some(7));
    let server = serve(&desk);
    let run = server.get("/api/v1/runs").json()["runs"][0]["id"].as_str().expect("an id").to_owned();
    // Longer than it takes a server to take up a run that it should.
    std::thread::sleep(Duration::from_secs(3));
    let parked = server.get(&format!("/api/v1/runs/{run}")).json();
    assert!(parked["holder"].is_null() && parked["ended"] == false, "{parked:#}");
    let ordered = server.post(&format!("/api/v1/runs/{run}/resume"), &json!({}));
    assert_eq!(ordered.status, 200, "{}", ordered.text);
    assert_eq!(server.until_ended(&run), "succeeded");
    assert_eq!(lines(&file), counted(6));
}

#[test]
fn a_second_server_is_refused_and_says_who_serves() {
    let desk = desk();
    let first = serve(&desk);
    let second = desk.said(&mut command(&desk, &[]));
    assert_eq!(second.code, 1, "{second:?}");
    let who = format!("process {} at {}", first.pid(), first.url.trim_start_matches("http://"));
    assert!(second.stderr.contains(&who) && second.stderr.contains("--standby"), "{}", second.stderr);
    assert_eq!(first.get("/readyz").status, 200);
}

#[test]
fn a_server_that_stands_by_takes_over_from_a_dead_one() {
    let desk = desk();
    let first = serve(&desk);
    let (params, file) = steady(&desk, "dead", 10, "200ms");
    let run = first.begin("steady", &params);
    let second = Serving::start(&mut command(&desk, &["--standby"]));
    assert_eq!(second.phase, "standing by");
    assert_eq!((second.get("/readyz").status, second.get("/healthz").status), (503, 200));
    let early = second.post("/api/v1/runs", &json!({ "playbook": "by-hand" }));
    assert_eq!(early.status, 503, "{}", early.text);
    first.kill();
    assert_eq!(second.until_ended(&run), "succeeded");
    assert_eq!(second.get("/readyz").status, 200);
    assert_eq!(lines(&file), counted(10));
}

#[test]
fn a_server_that_stands_by_takes_over_from_one_that_was_stopped_past_its_lease() {
    let desk = desk();
    let mut first = serve(&desk);
    let (params, file) = steady(&desk, "stopped", 10, "200ms");
    let run = first.begin("steady", &params);
    let second = Serving::start(&mut command(&desk, &["--standby"]));
    first.until(&run, |run| run["records"].as_u64() > Some(5));
    first.signal("STOP");
    assert_eq!(second.until_ended(&run), "succeeded");
    assert_eq!(first.end(), None, "it was killed before, not woken");
    assert_eq!(lines(&file), counted(10));
}

#[test]
fn a_server_is_not_reached_from_elsewhere_before_there_is_a_token() {
    let desk = desk();
    let said = desk.muster(&["serve", "--listen", "0.0.0.0:0"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(
        said.stderr.contains("there is no token") && said.stderr.contains("muster token create"),
        "{}",
        said.stderr
    );
}

#[test]
fn what_a_request_has_wrong_is_said_as_a_problem() {
    let desk = desk();
    let server = serve(&desk);
    let runs = format!("{}/api/v1/runs", server.url);
    let unknown = "/api/v1/runs/000000000000";
    let cases = [
        (request(&runs, "GET", None, &[("Host", "evil.example.com")]), 421),
        (request(&runs, "POST", Some(&json!({})), &[("Content-Type", "text/plain")]), 415),
        (request(&runs, "DELETE", None, &[]), 405),
        (server.get("/api/v1/nothing"), 404),
        (server.get(unknown), 404),
        (server.get("/api/v1/runs/%ff"), 404),
        (server.get("/api/v1/runs?limit=many"), 400),
        (server.get("/api/v1/runs?status=asleep"), 422),
        (server.get("/api/v1/runs?after=nowhere"), 422),
        (server.get("/api/v1/playbooks/..%2f..%2fetc"), 404),
        (server.post("/api/v1/runs", &json!({ "playbook": "../../etc" })), 404),
        (server.post("/api/v1/runs", &json!({ "playbook": "steady" })), 422),
        (server.post("/api/v1/runs", &json!({ "playbook": "steady", "parms": {} })), 422),
        (server.post(&format!("{unknown}/kill"), &json!({})), 404),
    ];
    for (answer, status) in cases {
        assert_eq!((answer.status, answer.kind.as_str()), (status, "application/problem+json"), "{}", answer.text);
        let problem = answer.json();
        assert!(problem["detail"].is_string() && problem["title"].is_string(), "{problem:#}");
        assert_eq!(problem["status"], status);
    }
}

#[test]
fn a_list_of_runs_has_pages_and_filters() {
    let desk = desk();
    let server = serve(&desk);
    let mut begun: Vec<String> = (0..7).map(|_| server.begin("by-hand", &json!({}))).collect();
    let gated = server.begin("gated", &json!({}));
    let (mut paged, mut after) = (Vec::new(), String::new());
    loop {
        let page = server.get(&format!("/api/v1/runs?playbook=by-hand&limit=3{after}")).json();
        let ids = page["runs"].as_array().expect("runs").iter();
        paged.extend(ids.map(|run| run["id"].as_str().expect("an id").to_owned()));
        match page["next"].as_str() {
            Some(next) => after = format!("&after={next}"),
            None => break,
        }
    }
    begun.reverse();
    assert_eq!(paged, begun);
    server.until(&gated, |run| run["status"] == "paused");
    let open = server.get("/api/v1/runs?status=paused,running,waiting&limit=500").json();
    assert_eq!(open["runs"].as_array().map(Vec::len), Some(8));
    assert_eq!(server.get("/api/v1/runs?status=failed").json()["runs"], json!([]));
}

#[test]
fn a_playbook_has_its_versions_and_what_differs_between_them() {
    let desk = desk();
    let server = serve(&desk);
    let run = server.begin("by-hand", &json!({}));
    server.until(&run, |run| run["status"] == "paused");
    desk.file(
        "books/by-hand/playbook.yaml",
        &BY_HAND.replace("1.0.0", "1.1.0").replace("Turn the key.", "Turn both keys."),
    );
    let now = server.get("/api/v1/playbooks/by-hand").json();
    assert_eq!((now["version"].as_str(), now["steps"][1]["needs"][0].as_str()), (Some("1.1.0"), Some("first")));
    let versions = server.get("/api/v1/playbooks/by-hand/versions").json();
    assert_eq!(versions["versions"].as_array().map(Vec::len), Some(1), "{versions:#}");
    let diff = server.get("/api/v1/playbooks/by-hand/diff?from=1.0.0").json();
    let text = diff["files"]["playbook.yaml"].as_str().expect("a diff");
    assert!(text.contains("-    manual: { instructions: \"Turn the key.\" }"), "{text}");
    assert!(text.contains("+    manual: { instructions: \"Turn both keys.\" }"), "{text}");
    let listed = server.get("/api/v1/playbooks").json();
    let names: Vec<&str> =
        listed["playbooks"].as_array().expect("a list").iter().filter_map(|one| one["name"].as_str()).collect();
    assert!(names.contains(&"by-hand") && names.contains(&"rds-restore"), "{names:?}");
}

#[test]
fn the_document_describes_every_endpoint_with_who_may_use_it() {
    let desk = desk();
    let server = serve(&desk);
    let document = server.get("/api/v1/openapi.json").json();
    assert_eq!(document["openapi"], "3.1.0");
    let mut described = 0;
    for endpoint in muster::serve::table::endpoints() {
        if endpoint.face == muster::serve::endpoint::Face::Page {
            assert!(document["paths"][endpoint.path].is_null(), "{} is for people", endpoint.path);
            continue;
        }
        let operation = &document["paths"][endpoint.path][endpoint.method.as_str().to_lowercase()];
        assert_eq!(operation["operationId"], endpoint.name, "{}", endpoint.path);
        assert_eq!(operation["x-muster-act"].as_str(), endpoint.needs.act().map(|act| act.name()).as_deref());
        described += 1;
    }
    assert!(described > 25);
    let text = document.to_string();
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = part.split('"').next().unwrap_or_default();
        assert!(document.pointer(pointer).is_some(), "{pointer} leads nowhere");
    }
}

#[test]
fn what_is_measured_is_told_in_the_format_of_prometheus() {
    let desk = desk();
    let server = serve(&desk);
    let (params, _) = steady(&desk, "measured", 2, "10ms");
    let run = server.begin("steady", &params);
    server.until_ended(&run);
    let metrics = server.get("/metrics");
    assert!(metrics.kind.starts_with("application/openmetrics-text"), "{}", metrics.kind);
    for line in [
        "muster_runs{status=\"succeeded\"} 1",
        "muster_leading 1",
        "muster_call_duration_seconds_count{operation=\"exec.run\",end=\"done\"} 2",
        "muster_http_duration_seconds_count{endpoint=\"startRun\",status=\"201\"} 1",
    ] {
        assert!(metrics.text.contains(line), "no `{line}` in\n{}", metrics.text);
    }
    assert!(metrics.text.ends_with("# EOF\n"));
}

#[test]
fn a_client_that_sends_nothing_or_nonsense_keeps_nobody_waiting() {
    let desk = desk();
    let server = serve(&desk);
    let address = server.url.trim_start_matches("http://").to_owned();
    let idle: Vec<std::net::TcpStream> =
        (0..100).map(|_| std::net::TcpStream::connect(&address).expect("connected")).collect();
    let mut nonsense = std::net::TcpStream::connect(&address).expect("connected");
    nonsense.write_all(b"\x00\xff not http\r\n\r\n").expect("sent");
    let mut answer = String::new();
    nonsense.read_to_string(&mut answer).expect("it ends");
    assert!(answer.is_empty() || answer.starts_with("HTTP/1.1 400"), "{answer}");
    let mut both = std::net::TcpStream::connect(&address).expect("connected");
    let smuggled = "POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\n\
        Content-Length: 2\r\nContent-Length: 40\r\n\r\n{}GET /healthz HTTP/1.1\r\nHost: localhost\r\n\r\n";
    both.write_all(smuggled.as_bytes()).expect("sent");
    let mut answer = String::new();
    both.read_to_string(&mut answer).expect("it ends");
    assert!(answer.starts_with("HTTP/1.1 400"), "two lengths are one too many: {answer}");
    let mut large = std::net::TcpStream::connect(&address).expect("connected");
    let head = "POST /api/v1/runs HTTP/1.1\r\nHost: localhost\r\nContent-Type: application/json\r\nContent-Length: 1048577\r\n\r\n{";
    large.write_all(head.as_bytes()).expect("sent");
    let mut answer = [0; 12];
    large.read_exact(&mut answer).expect("it answers before it has read all of it");
    assert_eq!(&answer, b"HTTP/1.1 413");
    assert_eq!(server.get("/healthz").status, 200);
    drop(idle);
}
