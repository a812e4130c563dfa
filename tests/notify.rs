//! Webhooks over real HTTP, with receivers as they are in life.

#[path = "support/serving.rs"]
mod serving;
#[path = "support/cli.rs"]
mod support;

use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::Duration;

use hmac::{Hmac, KeyInit as _, Mac as _};
use serving::Serving;
use sha2::Sha256;
use support::Desk;

const PLAYBOOK: &str = r#"
muster: 1
name: copies
version: 1.0.0
title: Copies a file
params:
  from: { type: path, doc: What to copy. }
  to: { type: path, doc: Where to. }
capabilities: [fs.copy]
steps:
  - id: copy
    title: Copy it
    uses: fs.copy
    with: { from: "${params.from}", to: "${params.to}" }
"#;

/// What a receiver does with a request.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Manner {
    Takes,
    Fails,
    Hangs,
    Redirects,
}

#[derive(Clone, Debug)]
struct Heard {
    headers: String,
    body: String,
}

impl Heard {
    fn header(&self, name: &str) -> &str {
        let line = self.headers.lines().find_map(|line| line.strip_prefix(&format!("{name}: ")));
        line.unwrap_or_else(|| panic!("no {name}: {}", self.headers))
    }
}

struct Receiver {
    port: u16,
    manner: Arc<Mutex<Manner>>,
    heard: Arc<Mutex<Vec<Heard>>>,
    count: Arc<AtomicUsize>,
}

impl Receiver {
    fn new(manner: Manner) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").unwrap();
        let port = listener.local_addr().unwrap().port();
        let receiver =
            Self { port, manner: Arc::new(Mutex::new(manner)), heard: Arc::default(), count: Arc::default() };
        let (manner, heard, count) =
            (Arc::clone(&receiver.manner), Arc::clone(&receiver.heard), Arc::clone(&receiver.count));
        std::thread::spawn(move || {
            let mut hung = Vec::new();
            for stream in listener.incoming() {
                let mut stream = stream.unwrap();
                let Some(request) = read(&mut stream) else { continue };
                heard.lock().unwrap().push(request);
                count.fetch_add(1, Ordering::SeqCst);
                let answer = match *manner.lock().unwrap() {
                    Manner::Takes => "HTTP/1.1 204 No Content\r\nconnection: close\r\n\r\n".to_owned(),
                    Manner::Fails => "HTTP/1.1 500 No\r\nconnection: close\r\ncontent-length: 0\r\n\r\n".to_owned(),
                    Manner::Redirects => format!(
                        "HTTP/1.1 307 There\r\nlocation: http://127.0.0.1:{port}/elsewhere\r\nconnection: close\r\ncontent-length: 0\r\n\r\n"
                    ),
                    Manner::Hangs => {
                        hung.push(stream);
                        continue;
                    }
                };
                let _ = stream.write_all(answer.as_bytes());
            }
        });
        receiver
    }

    fn be(&self, manner: Manner) {
        *self.manner.lock().unwrap() = manner;
    }

    fn heard(&self) -> Vec<Heard> {
        self.heard.lock().unwrap().clone()
    }
}

fn read(stream: &mut TcpStream) -> Option<Heard> {
    let mut reader = BufReader::new(stream);
    let (mut headers, mut length) = (String::new(), 0);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line).ok()? == 0 {
            return None;
        }
        if line.trim().is_empty() {
            break;
        }
        let line = line.trim().to_owned();
        if let Some(found) = line.to_lowercase().strip_prefix("content-length: ") {
            length = found.parse().ok()?;
        }
        headers.push_str(&format!("{line}\n"));
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body).ok()?;
    Some(Heard { headers, body: String::from_utf8(body).ok()? })
}

/// A desk on which telling has begun, and a run has ended since.
fn ran(receiver: &Receiver, more: &str) -> Desk {
    let desk = Desk::new().env("HOOK_SECRET", "correct horse battery");
    desk.file("playbooks/copies/playbook.yaml", PLAYBOOK);
    desk.file("source", "text\n");
    desk.file(
        "notify.yaml",
        &format!(
            "notify: 1\nhooks:\n  - name: ops\n    url: http://127.0.0.1:{}/hook\n    secret: env:HOOK_SECRET\n    timeout: 500ms\n{more}",
            receiver.port
        ),
    );
    let said = desk.muster(&["notify", "--once"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "0 noted, 0 sent, 0 waiting\n"), "{said:?}");
    assert_eq!(desk.muster(&["run", "copies", "-p", "from=source", "-p", "to=copy"]).code, 0);
    desk
}

const LOCAL: &str = "    allow_local: true\n";

/// Turns until nothing waits any more.
fn until_told(desk: &Desk) {
    for _ in 0..60 {
        let said = desk.muster(&["notify", "--once"]);
        if said.stdout.ends_with("0 waiting\n") {
            return;
        }
        std::thread::sleep(Duration::from_millis(500));
    }
    panic!("somebody was never told");
}

#[test]
fn a_receiver_is_told_what_happened_and_can_know_who_says_so() {
    let receiver = Receiver::new(Manner::Takes);
    let desk = ran(&receiver, LOCAL);
    let said = desk.muster(&["notify", "--once"]);
    assert_eq!((said.code, said.stdout.as_str()), (0, "1 noted, 1 sent, 0 waiting\n"), "{said:?}");
    assert_eq!(desk.muster(&["notify", "--once"]).stdout, "0 noted, 0 sent, 0 waiting\n");
    let heard = receiver.heard();
    assert_eq!(heard.len(), 1);
    let body: serde_json::Value = serde_json::from_str(&heard[0].body).unwrap();
    assert_eq!((&body["event"]["kind"], &body["event"]["status"]), (&"ended".into(), &"succeeded".into()));
    assert_eq!(heard[0].header("muster-event-id"), body["event"]["id"].as_str().unwrap());
    let signature = heard[0].header("muster-signature");
    let (at, code) = signature.strip_prefix("t=").and_then(|rest| rest.split_once(",v1=")).expect("a signature");
    let mut mac = Hmac::<Sha256>::new_from_slice(b"correct horse battery").unwrap();
    mac.update(format!("{at}.{}", heard[0].body).as_bytes());
    let wanted: String = mac.finalize().into_bytes().iter().map(|byte| format!("{byte:02x}")).collect();
    assert_eq!(code, wanted);
}

#[test]
fn a_server_tells_by_itself() {
    let receiver = Receiver::new(Manner::Takes);
    let desk = ran(&receiver, LOCAL);
    let server =
        Serving::start(desk.command(&["serve", "--listen", "127.0.0.1:0"]).env("HOOK_SECRET", "correct horse"));
    for _ in 0..600 {
        if receiver.count.load(Ordering::SeqCst) > 0 {
            break;
        }
        std::thread::sleep(Duration::from_millis(100));
    }
    drop(server);
    let heard = receiver.heard();
    assert_eq!(heard.len(), 1);
    let body: serde_json::Value = serde_json::from_str(&heard[0].body).unwrap();
    assert_eq!(body["event"]["status"], "succeeded");
}

#[test]
fn a_receiver_that_fails_hangs_or_leads_elsewhere_is_told_again() {
    for manner in [Manner::Fails, Manner::Hangs, Manner::Redirects] {
        let receiver = Receiver::new(manner);
        let desk = ran(&receiver, LOCAL);
        let said = desk.muster(&["notify", "--once"]);
        assert_eq!((said.code, said.stdout.as_str()), (1, "1 noted, 0 sent, 1 waiting\n"), "{said:?}");
        assert!(said.stderr.contains("tried again later"), "{said:?}");
        assert_eq!(receiver.heard().len(), 1, "no redirect is followed");
        receiver.be(Manner::Takes);
        until_told(&desk);
        let heard = receiver.heard();
        assert_eq!(heard.len(), 2);
        assert_eq!(heard[0].header("muster-event-id"), heard[1].header("muster-event-id"));
    }
}

#[test]
fn killed_while_it_waits_for_an_answer_it_tells_again() {
    let receiver = Receiver::new(Manner::Hangs);
    let desk = ran(&receiver, &format!("{LOCAL}    format: generic\n"));
    let mut child = desk.command(&["notify", "--once"]).spawn().unwrap();
    while receiver.count.load(Ordering::SeqCst) == 0 {
        assert!(child.try_wait().unwrap().is_none(), "it is over");
        std::thread::sleep(Duration::from_millis(5));
    }
    child.kill().unwrap();
    child.wait().unwrap();
    receiver.be(Manner::Takes);
    until_told(&desk);
    let heard = receiver.heard();
    assert_eq!(heard.len(), 2, "told again, by the same id");
    assert_eq!(heard[0].header("muster-event-id"), heard[1].header("muster-event-id"));
}

#[test]
fn this_machine_is_not_sent_to_unless_the_file_says_so() {
    let receiver = Receiver::new(Manner::Takes);
    let desk = ran(&receiver, "");
    let said = desk.muster(&["notify", "--once"]);
    assert_eq!(said.code, 1, "{said:?}");
    assert!(said.stderr.contains("allow_local"), "{said:?}");
    assert!(receiver.heard().is_empty());
}

#[test]
fn a_file_that_cannot_be_read_is_said_to_be_so() {
    let desk = Desk::new();
    let said = desk.muster(&["notify", "--once"]);
    assert!(said.code == 3 && said.stderr.contains("notify.yaml"), "{said:?}");
}
