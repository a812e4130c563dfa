//! The family `http`, against a server of the test's own.

mod live_world;

use std::io::{BufRead, BufReader, Read, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::{Arc, Mutex};

use live_world::LiveWorld;
use muster::ops::{ErrorClass, Polled, Probe, ReadHost, Sent, WriteHost};
use serde_json::json;

/// Answers each request with the next of these, and keeps what it was asked. Ends with the test.
fn serve(answers: Vec<String>) -> (String, Arc<Mutex<Vec<String>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let asked = Arc::new(Mutex::new(Vec::new()));
    let into = Arc::clone(&asked);
    std::thread::spawn(move || {
        for answer in answers {
            let (stream, _) = listener.accept().unwrap();
            into.lock().unwrap().push(request_of(&stream));
            let _ = (&stream).write_all(answer.as_bytes());
        }
    });
    (url, asked)
}

fn request_of(stream: &TcpStream) -> String {
    let mut reader = BufReader::new(stream);
    let mut text = String::new();
    let mut length = 0;
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).unwrap_or(0) == 0 || line == "\r\n" {
            break;
        }
        if let Some(n) = line.to_ascii_lowercase().strip_prefix("content-length:") {
            length = n.trim().parse().unwrap();
        }
        text.push_str(&line);
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).unwrap();
    text + String::from_utf8(body).unwrap().as_str()
}

fn answer(status: &str, headers: &str, body: &str) -> String {
    format!("HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n{headers}\r\n{body}", body.len())
}

fn world() -> (tempfile::TempDir, LiveWorld) {
    let dir = tempfile::tempdir().unwrap();
    let world = LiveWorld::under(dir.path());
    (dir, world)
}

#[test]
fn a_get_sends_its_headers_and_answers_with_the_body() {
    let (dir, world) = world();
    let (url, asked) = serve(vec![answer("200 OK", "", "hello")]);
    std::fs::write(dir.path().join("token"), "correct-horse-battery").unwrap();
    let token = json!({ "$secret": { "provider": "file", "path": dir.path().join("token") } });
    let got =
        world.read("http.get", json!({ "url": format!("{url}/x"), "headers": { "X-Token": token, "X-Plain": "1" } }));
    let got = got.unwrap();
    assert_eq!((&got["status"], &got["body"]), (&json!(200), &json!("hello")));
    let asked = asked.lock().unwrap()[0].to_ascii_lowercase();
    assert!(asked.starts_with("get /x ") && asked.contains("x-token: correct-horse-battery"), "{asked}");
    assert!(!world.redactor.scrub("correct-horse-battery").contains("horse"));
}

#[test]
fn an_error_status_is_an_error_unless_it_is_asked_for() {
    let (_dir, world) = world();
    let broken = || answer("500 Internal Server Error", "", "why");
    let (url, _) = serve(vec![broken(), broken(), answer("401 Unauthorized", "", "")]);
    let error = world.read("http.get", json!({ "url": format!("{url}/a?token=hunter2") })).unwrap_err();
    assert_eq!((error.class, error.detail.as_deref()), (ErrorClass::Failed, Some("why")));
    assert!(error.message.contains("500") && !error.message.contains("hunter2"), "{error}");
    assert_eq!(world.read("http.get", json!({ "url": url, "any_status": true })).unwrap()["status"], 500);
    assert_eq!(world.read("http.get", json!({ "url": url })).unwrap_err().class, ErrorClass::Credentials);
}

#[test]
fn a_large_answer_is_an_error_and_not_a_cut_text() {
    let (_dir, world) = world();
    let (url, _) = serve(vec![answer("200 OK", "", &"x".repeat(65_537)), answer("200 OK", "", &"x".repeat(65_536))]);
    assert!(world.read("http.get", json!({ "url": url })).unwrap_err().message.contains("64 KiB"));
    assert_eq!(world.read("http.get", json!({ "url": url })).unwrap()["body"].as_str().unwrap().len(), 65_536);
}

#[test]
fn a_redirect_is_followed_on_its_host_and_nowhere_else() {
    let (_dir, world) = world();
    let (url, asked) = serve(vec![
        answer("302 Found", "Location: /there\r\n", ""),
        answer("200 OK", "", "there"),
        answer("302 Found", "Location: http://localhost:1/\r\n", ""),
    ]);
    assert_eq!(world.read("http.get", json!({ "url": url })).unwrap()["body"], "there");
    assert!(asked.lock().unwrap()[1].starts_with("GET /there "));
    assert!(
        world.read("http.get", json!({ "url": url })).unwrap_err().message.contains("redirects to http://localhost:1/")
    );
}

#[test]
fn a_wait_goes_on_until_the_answer_is_the_one() {
    let (_dir, world) = world();
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let pending = |url: String| {
        let request = world.request("http.wait_ok", json!({ "url": url, "contains": "ready" }), "");
        matches!(world.host.poll(&request).unwrap(), Polled::Pending { .. })
    };
    assert!(pending(format!("http://{closed}/")));
    let (url, _) = serve(vec![
        answer("503 Service Unavailable", "", ""),
        answer("200 OK", "", "starting"),
        answer("200 OK", "", "ready"),
    ]);
    assert_eq!([pending(url.clone()), pending(url.clone()), pending(url)], [true, true, false]);
}

#[test]
fn a_post_is_sent_once_and_nobody_can_tell_afterwards() {
    let (_dir, world) = world();
    let (url, asked) = serve(vec![
        answer("201 Created", "", "made"),
        answer("400 Bad Request", "", "no"),
        // Nothing: the connection breaks off.
        String::new(),
    ]);
    let request = world.ready("http.post", json!({ "url": url, "body": { "a": 1 } }), "m-post").unwrap();
    assert_eq!(world.host.send(&request).unwrap(), Sent::Done(json!({ "status": 201, "body": "made" })));
    let text = asked.lock().unwrap()[0].clone();
    assert!(text.starts_with("POST / ") && text.contains("application/json") && text.ends_with("{\"a\":1}"), "{text}");
    assert!(matches!(world.host.probe(&request).unwrap(), Probe::CannotTell { .. }));
    assert_eq!(world.host.send(&request).unwrap_err().class, ErrorClass::Failed);
    assert_eq!(world.host.send(&request).unwrap_err().class, ErrorClass::Unknown);
    let closed = TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap();
    let request = world.ready("http.post", json!({ "url": format!("http://{closed}/") }), "m-post").unwrap();
    assert_eq!(world.host.send(&request).unwrap_err().class, ErrorClass::Transient);
}
