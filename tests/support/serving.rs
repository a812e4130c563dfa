//! A server at work, and what a client does with it: plain HTTP, and a stream of events.

use std::io::{BufRead, BufReader, Read};
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use serde_json::Value;

/// How long anything may take before the test says that it never came.
pub const PATIENCE: Duration = Duration::from_secs(60);

/// A server at work. It is killed when it is dropped.
pub struct Serving {
    child: Child,
    /// `http://127.0.0.1:43211`.
    pub url: String,
    /// What it said first: `serving` or `standing by`.
    #[allow(dead_code, reason = "each test file uses what it needs")]
    pub phase: String,
    /// What it has said so far.
    said: std::sync::Arc<std::sync::Mutex<String>>,
}

/// An answer.
#[derive(Debug)]
#[allow(dead_code, reason = "each test file uses what it needs")]
pub struct Answer {
    pub status: u16,
    pub kind: String,
    pub text: String,
}

impl Answer {
    /// Its body.
    pub fn json(&self) -> Value {
        serde_json::from_str(&self.text).unwrap_or_else(|error| panic!("no JSON ({error}): {}", self.text))
    }
}

#[allow(dead_code, reason = "each test file uses what it needs")]
impl Serving {
    /// Starts `muster serve …`, as it was prepared, and waits until it says where it listens.
    pub fn start(command: &mut Command) -> Self {
        let mut child = command.stderr(Stdio::piped()).stdout(Stdio::null()).spawn().expect("the program starts");
        let mut lines = BufReader::new(child.stderr.take().expect("its standard error"));
        let (said, begun) = (std::sync::Arc::new(std::sync::Mutex::new(String::new())), Instant::now());
        let mut first = String::new();
        let (phase, url) = loop {
            assert!(begun.elapsed() < PATIENCE, "it never said where it listens: {first}");
            let mut line = String::new();
            assert!(lines.read_line(&mut line).expect("text") > 0, "it ended: {first}");
            first.push_str(&line);
            if let Some((phase, rest)) = line.split_once(" at http://") {
                let address: String = rest.chars().take_while(|c| !c.is_whitespace()).collect();
                break (phase.to_owned(), format!("http://{}", address.trim_end_matches(':')));
            }
        };
        said.lock().expect("not poisoned").push_str(&first);
        let heard = std::sync::Arc::clone(&said);
        std::thread::spawn(move || {
            let mut line = String::new();
            while lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                heard.lock().expect("not poisoned").push_str(&line);
                line.clear();
            }
        });
        Self { child, url, phase, said }
    }

    /// What it has said so far.
    pub fn said(&self) -> String {
        self.said.lock().expect("not poisoned").clone()
    }

    /// Its process.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// Sends it a signal.
    pub fn signal(&self, name: &str) {
        let sent = Command::new("kill").args([&format!("-{name}"), &self.pid().to_string()]).status();
        assert!(sent.expect("kill runs").success());
    }

    /// Kills it.
    pub fn kill(mut self) {
        self.child.kill().expect("killed");
        self.child.wait().expect("gone");
    }

    /// Waits for its end; its exit code, none if it was killed.
    pub fn end(&mut self) -> Option<i32> {
        let begun = Instant::now();
        loop {
            if let Some(status) = self.child.try_wait().expect("asked") {
                return status.code();
            }
            assert!(begun.elapsed() < PATIENCE, "it never ended: {}", self.said());
            std::thread::sleep(Duration::from_millis(20));
        }
    }

    /// Asks for something.
    pub fn get(&self, path: &str) -> Answer {
        request(&format!("{}{path}", self.url), "GET", None, &[])
    }

    /// Has something done.
    pub fn post(&self, path: &str, body: &Value) -> Answer {
        self.post_with(path, body, &[])
    }

    /// The same, with further headers.
    pub fn post_with(&self, path: &str, body: &Value, headers: &[(&str, &str)]) -> Answer {
        request(&format!("{}{path}", self.url), "POST", Some(body), headers)
    }

    /// Starts a run; its id.
    pub fn begin(&self, playbook: &str, params: &Value) -> String {
        let answer = self.post("/api/v1/runs", &serde_json::json!({ "playbook": playbook, "params": params }));
        assert_eq!(answer.status, 201, "{}", answer.text);
        answer.json()["id"].as_str().expect("an id").to_owned()
    }

    /// Waits until a run stands as wanted; how it stands then.
    pub fn until(&self, run: &str, wanted: impl Fn(&Value) -> bool) -> Value {
        let begun = Instant::now();
        loop {
            let now = self.get(&format!("/api/v1/runs/{run}"));
            assert_eq!(now.status, 200, "{}", now.text);
            let now = now.json();
            if wanted(&now) {
                return now;
            }
            assert!(begun.elapsed() < PATIENCE, "it never came to that: {now:#}\n{}", self.said());
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// Waits until a run has ended; its status.
    pub fn until_ended(&self, run: &str) -> String {
        self.until(run, |run| run["ended"] == true)["status"].as_str().expect("a status").to_owned()
    }

    /// The same, for who shows this token.
    pub fn until_ended_as(&self, run: &str, bearer: &str) -> String {
        let begun = Instant::now();
        loop {
            let now = request(&format!("{}/api/v1/runs/{run}", self.url), "GET", None, &[("Authorization", bearer)]);
            let now = now.json();
            if now["ended"] == true {
                return now["status"].as_str().expect("a status").to_owned();
            }
            assert!(begun.elapsed() < PATIENCE, "it never ended: {now:#}");
            std::thread::sleep(Duration::from_millis(30));
        }
    }

    /// All records of a run.
    pub fn records(&self, run: &str) -> Vec<Value> {
        let mut all = Vec::new();
        loop {
            let page = self.get(&format!("/api/v1/runs/{run}/records?from={}", all.len())).json();
            let records = page["records"].as_array().expect("records").clone();
            if records.is_empty() {
                return all;
            }
            all.extend(records);
        }
    }

    /// Watches a run from after this record on.
    pub fn watch(&self, run: &str, last: Option<u64>) -> Events {
        let mut asked = agent().get(format!("{}/api/v1/runs/{run}/events", self.url));
        if let Some(last) = last {
            asked = asked.header("Last-Event-ID", last.to_string());
        }
        let answer = asked.call().expect("it answers");
        Events { status: answer.status().as_u16(), lines: BufReader::new(Box::new(answer.into_body().into_reader())) }
    }
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What is told of a run.
pub struct Events {
    #[allow(dead_code, reason = "each test file uses what it needs")]
    pub status: u16,
    lines: BufReader<Box<dyn Read + Send>>,
}

/// One event.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Event {
    pub kind: String,
    pub id: Option<u64>,
    pub data: String,
}

impl Iterator for Events {
    type Item = Event;

    fn next(&mut self) -> Option<Event> {
        let mut event = Event::default();
        loop {
            let mut line = String::new();
            // A server that is killed breaks the stream off.
            if !self.lines.read_line(&mut line).is_ok_and(|read| read > 0) {
                return None;
            }
            let line = line.trim_end();
            match line.split_once(": ") {
                Some(("event", kind)) => kind.clone_into(&mut event.kind),
                Some(("id", id)) => event.id = id.parse().ok(),
                Some(("data", data)) => data.clone_into(&mut event.data),
                _ if line.is_empty() && !event.kind.is_empty() => return Some(event),
                _ => {}
            }
        }
    }
}

fn agent() -> ureq::Agent {
    let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(PATIENCE * 3));
    config.build().into()
}

/// Sends a request.
pub fn request(url: &str, method: &str, body: Option<&Value>, headers: &[(&str, &str)]) -> Answer {
    let text = body.map(ToString::to_string).unwrap_or_default();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    if body.is_some() && !headers.iter().any(|(name, _)| name.eq_ignore_ascii_case("content-type")) {
        request = request.header("Content-Type", "application/json");
    }
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = agent().run(request.body(text).expect("a request")).expect("it answers");
    let kind = answer.headers().get("content-type").and_then(|kind| kind.to_str().ok()).unwrap_or_default().to_owned();
    Answer { status: answer.status().as_u16(), kind, text: answer.body_mut().read_to_string().expect("text") }
}

/// An answer as a browser gets it, with its headers.
#[allow(dead_code, reason = "each test file uses what it needs")]
pub struct Page {
    pub status: u16,
    pub text: String,
    pub headers: ureq::http::HeaderMap,
}

#[allow(dead_code, reason = "each test file uses what it needs")]
impl Page {
    /// One header; empty if it is not there.
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or_default()
    }
}

/// Sends what a browser or a stranger's program might, and follows no redirection. Of a stream, only its head is read.
#[allow(dead_code, reason = "each test file uses what it needs")]
pub fn browse(url: &str, method: &str, body: &str, headers: &[(&str, &str)]) -> Page {
    let config = ureq::Agent::config_builder()
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .timeout_global(Some(PATIENCE));
    let agent: ureq::Agent = config.build().into();
    let mut request = ureq::http::Request::builder().method(method).uri(url);
    for (name, value) in headers {
        request = request.header(*name, *value);
    }
    let mut answer = agent.run(request.body(body.to_owned()).expect("a request")).expect("it answers");
    let mut page = Page { status: answer.status().as_u16(), text: String::new(), headers: answer.headers().clone() };
    if page.header("content-type") != "text/event-stream" {
        page.text = answer.body_mut().read_to_string().expect("text");
    }
    page
}
