//! `muster serve` under load: many who watch a live run while it is written to and pages are looked at, and a store with ten thousand runs
//! beside one with a hundred.
//!
//! `cargo bench --bench serve [-- FOLDER]`: one line a figure, `bench NAME VALUE UNIT goal >=|<= NUMBER ok|short`. The load takes a minute;
//! `MUSTER_BENCH_SECONDS` says otherwise. Times are from when a request was due, so that a slow answer does not hide those behind it.

#[path = "../tests/support/archive.rs"]
mod archive;

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Read, Write};
use std::net::TcpStream;
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Stdio};
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use muster::journal::sqlite::{Options, SqliteStore};
use muster::journal::{Selection, Store};

/// Playbooks in the folder of the servers. So few that each has more runs in the short past too than the overview looks at: both show as much.
const PLAYBOOKS: usize = 5;
/// Runs that have ended, in the store with a long past, and in the one that it is compared with.
const LONG: usize = 10_000;
const SHORT: usize = 100;
/// Who watch the live run.
const VIEWERS: usize = 100;
/// Writes a second.
const WRITES: u32 = 50;
/// Pages a second.
const PAGES: u32 = 50;
/// How often each page is asked for from both stores.
const ROUNDS: usize = 200;

const SERVICE: &str = r#"muster: 1
name: NAME
version: 1.0.0
title: Recover the service NAME
objectives: { rto: 10m, rpo: 2h }
params:
  home: { type: path, default: "HOME" }
capabilities: [fs.make_dir, fs.write_text, fs.read_text]
steps:
  - id: folder
    uses: fs.make_dir
    with: { path: "${params.home}/${run.short_id}" }
  - id: copy
    needs: [folder]
    script: |
      for i in 0..6 { host::fs::write_text(#{ path: `${params.home}/${run.short_id}/data${i}`, text: `data ${i}` }); }
  - id: prove
    needs: [copy]
    script: host::fs::read_text(params.home + "/" + run.short_id + "/data5").text
drill:
  proof: prove
  measure: { rpo: "3600000" }
"#;

const WATCHED: &str = r#"muster: 1
name: watched
version: 1.0.0
title: Wait for a word while everybody looks
objectives: { rto: 1h }
params:
  home: { type: path, default: "HOME" }
capabilities: [fs.write_text]
steps:
  - id: first
    uses: fs.write_text
    with: { path: "${params.home}/first", text: first, replace: true }
  - id: last
    needs: [first]
    approval: { count: 1 }
    uses: fs.write_text
    with: { path: "${params.home}/last", text: last, replace: true }
"#;

fn main() {
    let folder = std::env::args().skip(1).find(|argument| !argument.starts_with('-'));
    let folder = folder.map_or_else(std::env::temp_dir, PathBuf::from);
    let folder = tempfile::Builder::new().prefix("muster-bench").tempdir_in(folder).expect("a folder to write in");
    let seconds = std::env::var("MUSTER_BENCH_SECONDS").ok().and_then(|text| text.parse().ok()).unwrap_or(60);
    let load = std::fs::read_to_string("/proc/loadavg").unwrap_or_default();
    println!("bench serve: load of the machine before: {}", load.trim());
    let ground = Ground::new(folder.path());
    let (short, long) = (ground.serve("short"), ground.serve("long"));
    long_past(&short, &long);
    drop(short);
    under_load(&long, Duration::from_secs(seconds));
}

fn at_most(name: &str, value: f64, unit: &str, goal: f64) {
    println!("bench {name} {value:.2} {unit} goal <= {goal} {}", if value <= goal { "ok" } else { "short" });
}

/// The part of them that is so large or smaller.
fn quantile(times: &mut [Duration], part: f64) -> f64 {
    times.sort();
    let place = ((times.len() as f64 * part).ceil() as usize).clamp(1, times.len().max(1)) - 1;
    times.get(place).map_or(f64::INFINITY, |time| time.as_secs_f64() * 1e3)
}

/// The playbooks, and two stores.
struct Ground {
    folder: PathBuf,
}

impl Ground {
    /// The stores are filled in memory, where a commit costs nothing, and served from the disk.
    fn new(folder: &Path) -> Self {
        let ground = Self { folder: folder.to_owned() };
        let home = folder.join("home");
        std::fs::create_dir_all(&home).expect("a folder");
        let names: Vec<String> = (0..PLAYBOOKS).map(|number| format!("service-{number:02}")).collect();
        for (name, text) in names.iter().map(|name| (name.as_str(), SERVICE)).chain([("watched", WATCHED)]) {
            let place = folder.join("playbooks").join(name);
            std::fs::create_dir_all(&place).expect("a folder");
            let text = text.replace("NAME", name).replace("HOME", &home.display().to_string());
            std::fs::write(place.join("playbook.yaml"), text).expect("a playbook");
        }
        let memory = Path::new("/dev/shm");
        let memory = if memory.is_dir() { memory } else { folder };
        let filled = tempfile::Builder::new().prefix("muster-bench").tempdir_in(memory).expect("a folder to write in");
        let begun = Instant::now();
        for name in &names {
            let said = ground.muster(&filled.path().join("muster.db"), &["drill", &format!("playbooks/{name}")]);
            assert!(said.status.success(), "{}", String::from_utf8_lossy(&said.stderr));
        }
        for (store, runs) in [("short", SHORT), ("long", LONG)] {
            fill(&filled.path().join("muster.db"), runs);
            let place = folder.join(store);
            std::fs::create_dir_all(place.join("muster.db.d")).expect("a folder");
            std::fs::copy(filled.path().join("muster.db"), place.join("muster.db")).expect("copied");
            for name in ["key", "signing.key"] {
                let from = filled.path().join("muster.db.d").join(name);
                if from.is_file() {
                    std::fs::copy(from, place.join("muster.db.d").join(name)).expect("copied");
                }
            }
        }
        let size = std::fs::metadata(folder.join("long/muster.db")).map_or(0, |file| file.len()) >> 20;
        println!("bench serve: {LONG} finished runs stored in {:.0} s, {size} MB", begun.elapsed().as_secs_f64());
        ground
    }

    fn muster(&self, store: &Path, arguments: &[&str]) -> std::process::Output {
        self.command(store, arguments).output().expect("muster runs")
    }

    fn command(&self, store: &Path, arguments: &[&str]) -> Command {
        let mut command = Command::new(env!("CARGO_BIN_EXE_muster"));
        command.args(arguments).current_dir(&self.folder).env("MUSTER_STORE", store).env("HOME", &self.folder);
        command
    }

    fn serve(&self, name: &str) -> Serving {
        let store = self.folder.join(name).join("muster.db");
        let token = self.muster(&store, &["token", "create", "bench", "--role", "admin"]);
        assert!(token.status.success(), "{}", String::from_utf8_lossy(&token.stderr));
        let token = String::from_utf8_lossy(&token.stdout).trim().to_owned();
        let arguments = ["serve", "--listen", "127.0.0.1:0", "--playbooks", "playbooks"];
        let mut command = self.command(&store, &arguments);
        let mut child = command.stdout(Stdio::null()).stderr(Stdio::piped()).spawn().expect("muster starts");
        let mut lines = BufReader::new(child.stderr.take().expect("its standard error"));
        let mut said = String::new();
        let address = loop {
            let mut line = String::new();
            assert!(lines.read_line(&mut line).is_ok_and(|read| read > 0), "it ended: {said}");
            said.push_str(&line);
            if let Some((_, rest)) = line.split_once(" at http://") {
                let address: String = rest.chars().take_while(|c| !c.is_whitespace()).collect();
                break address.trim_end_matches(':').to_owned();
            }
        };
        std::thread::spawn(move || std::io::copy(&mut lines, &mut std::io::sink()));
        Serving { child, address, token, store }
    }
}

/// Adds copies of the drills until there are so many runs.
fn fill(path: &Path, runs: usize) {
    let store: Arc<dyn Store> = Arc::new(SqliteStore::open(path, Options::default()).expect("the store"));
    for (number, playbook) in store.playbooks().expect("readable").into_iter().enumerate() {
        let of = Selection { playbook: Some(playbook), ..Selection::default() };
        let there = store.select(&of).expect("readable");
        let oldest = there.last().expect("it was drilled").run.clone();
        let more = (runs / PLAYBOOKS).saturating_sub(there.len());
        let seed = ((number as u64 + 1) << 32) + there.len() as u64;
        archive::copies(&store, &oldest, more, Duration::from_secs(3600), seed);
    }
}

/// A server at work.
struct Serving {
    child: Child,
    address: String,
    token: String,
    store: PathBuf,
}

impl Drop for Serving {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// A connection that is kept.
struct Client {
    stream: BufReader<TcpStream>,
    address: String,
    token: String,
}

struct Answer {
    status: u16,
    body: Vec<u8>,
}

impl Client {
    fn new(server: &Serving) -> Self {
        let stream = TcpStream::connect(&server.address).expect("it listens");
        stream.set_nodelay(true).expect("a socket");
        stream.set_read_timeout(Some(Duration::from_secs(60))).expect("a socket");
        Self { stream: BufReader::new(stream), address: server.address.clone(), token: server.token.clone() }
    }

    fn send(&mut self, method: &str, path: &str, body: Option<&str>) {
        let (address, token) = (&self.address, &self.token);
        let mut text = format!("{method} {path} HTTP/1.1\r\nHost: {address}\r\nAuthorization: Bearer {token}\r\n");
        if let Some(body) = body {
            text.push_str(&format!("Content-Type: application/json\r\nContent-Length: {}\r\n", body.len()));
        }
        text.push_str("\r\n");
        text.push_str(body.unwrap_or_default());
        self.stream.get_mut().write_all(text.as_bytes()).expect("sent");
    }

    fn line(&mut self) -> String {
        let mut line = String::new();
        assert!(self.stream.read_line(&mut line).expect("an answer in time") > 0, "the connection was closed");
        line
    }

    /// The status, and how long the body is; none of one that comes in pieces.
    fn head(&mut self) -> (u16, Option<usize>) {
        let first = self.line();
        let status = first.split(' ').nth(1).and_then(|word| word.parse().ok()).expect("a status");
        let mut length = None;
        loop {
            let line = self.line().to_ascii_lowercase();
            if line.trim().is_empty() {
                return (status, length);
            }
            if let Some(text) = line.strip_prefix("content-length:") {
                length = text.trim().parse().ok();
            }
        }
    }

    fn ask(&mut self, method: &str, path: &str, body: Option<&str>) -> Answer {
        self.send(method, path, body);
        let (status, length) = self.head();
        let mut body = vec![0; length.expect("a length")];
        self.stream.read_exact(&mut body).expect("the whole body");
        Answer { status, body }
    }

    fn get(&mut self, path: &str) -> Answer {
        let answer = self.ask("GET", path, None);
        assert_eq!(answer.status, 200, "{path}: {}", String::from_utf8_lossy(&answer.body));
        answer
    }

    fn json(&mut self, method: &str, path: &str, body: Option<&str>) -> serde_json::Value {
        let answer = self.ask(method, path, body);
        let text = String::from_utf8_lossy(&answer.body).into_owned();
        assert!(answer.status < 300, "{method} {path}: {} {text}", answer.status);
        serde_json::from_str(&text).expect("JSON")
    }
}

/// The same pages of two servers, by turns, so that a machine that is busy for a while is so for both.
fn long_past(short: &Serving, long: &Serving) {
    let mut clients = [Client::new(short), Client::new(long)];
    let begun = Instant::now();
    clients[1].get("/");
    println!("bench serve: the first overview after the start took {:.1} ms", begun.elapsed().as_secs_f64() * 1e3);
    let middle = |client: &mut Client, pages: usize| {
        let mut place = String::new();
        for _ in 0..pages {
            let page = client.json("GET", &format!("/api/v1/runs?limit=50{place}"), None);
            place = page["next"].as_str().map_or(place, |next| format!("&after={next}"));
        }
        place
    };
    // A place in the middle of each list.
    let places = [middle(&mut clients[0], 1), middle(&mut clients[1], LONG / 100)];
    for (name, path) in [
        ("overview", "/"),
        ("history", "/runs?PLACE"),
        ("history-of-a-playbook", "/runs?playbook=service-03"),
        ("history-failed", "/runs?status=failed"),
        ("list", "/api/v1/runs?limit=50PLACE"),
        ("playbook", "/playbooks/service-03"),
    ] {
        let mut times = [Vec::new(), Vec::new()];
        for _ in 0..ROUNDS {
            for (which, client) in clients.iter_mut().enumerate() {
                let path =
                    path.replace("?PLACE", &places[which].replacen('&', "?", 1)).replace("PLACE", &places[which]);
                let begun = Instant::now();
                client.get(&path);
                times[which].push(begun.elapsed());
            }
        }
        let [short, long] = &mut times;
        at_most(&format!("{name}-p50-with-10000-runs"), quantile(long, 0.5), "ms", 100.0);
        at_most(&format!("{name}-p99-with-10000-runs"), quantile(long, 0.99), "ms", 100.0);
        at_most(&format!("{name}-p50-10000-runs-to-100"), quantile(long, 0.5) / quantile(short, 0.5), "ratio", 1.5);
    }
}

/// What was asked for at a rate, and how long each took from when it was due.
fn at_rate(
    server: &Serving,
    threads: u32,
    rate: u32,
    lasts: Duration,
    ask: &(dyn Fn(&mut Client, u64) -> &'static str + Sync),
) -> BTreeMap<&'static str, Vec<Duration>> {
    let (next, all) = (AtomicU64::new(0), Mutex::new(BTreeMap::<&str, Vec<Duration>>::new()));
    let begun = Instant::now();
    std::thread::scope(|scope| {
        for _ in 0..threads {
            scope.spawn(|| {
                let mut client = Client::new(server);
                loop {
                    let number = next.fetch_add(1, Ordering::Relaxed);
                    let due = Duration::from_secs_f64(number as f64 / f64::from(rate));
                    if due >= lasts {
                        return;
                    }
                    std::thread::sleep(due.saturating_sub(begun.elapsed()));
                    let what = ask(&mut client, number);
                    let took = begun.elapsed() - due;
                    all.lock().expect("not poisoned").entry(what).or_default().push(took);
                }
            });
        }
    });
    all.into_inner().expect("not poisoned")
}

/// What a viewer was told.
#[derive(Default)]
struct Seen {
    records: u64,
    missed: u64,
    twice: u64,
    ended: bool,
}

/// Watches a run to its end.
fn watch(server: &Serving, run: &str, ready: &AtomicU64) -> Seen {
    let mut client = Client::new(server);
    client.send("GET", &format!("/api/v1/runs/{run}/events"), None);
    assert_eq!(client.head().0, 200);
    ready.fetch_add(1, Ordering::SeqCst);
    let mut seen = Seen::default();
    while !seen.ended {
        let line = client.line();
        if let Some(id) = line.strip_prefix("id: ") {
            let id: u64 = id.trim().parse().expect("a number");
            seen.missed += id.saturating_sub(seen.records);
            if id < seen.records {
                seen.twice += 1;
            } else {
                seen.records = id + 1;
            }
        }
        seen.ended = line.starts_with("event: end");
    }
    seen
}

fn under_load(server: &Serving, lasts: Duration) {
    let mut client = Client::new(server);
    let run = client.json("POST", "/api/v1/runs", Some(r#"{"playbook":"watched"}"#))["id"].as_str().map(str::to_owned);
    let run = run.expect("an id");
    let ready = AtomicU64::new(0);
    let (page, notes) = (format!("/runs/{run}"), format!("/api/v1/runs/{run}/note"));
    let pages = |client: &mut Client, number: u64| {
        // What people look at while it burns: the run more than all the rest.
        let (name, path) = match number % 10 {
            0 => ("overview", "/"),
            1 => ("history", "/runs"),
            2 => ("playbook", "/playbooks/service-03"),
            3 => ("schedules", "/schedules"),
            4 => ("list", "/api/v1/runs"),
            _ => ("run", page.as_str()),
        };
        client.get(path);
        name
    };
    let writes = |client: &mut Client, number: u64| {
        if number % 10 == 9 {
            let body = format!(r#"{{"playbook":"service-{:02}"}}"#, number / 10 % PLAYBOOKS as u64);
            client.json("POST", "/api/v1/runs", Some(&body));
            "start"
        } else {
            client.json("POST", &notes, Some(&format!(r#"{{"text":"word {number}"}}"#)));
            "note"
        }
    };
    let seen: Vec<Seen> = std::thread::scope(|scope| {
        let watch = || watch(server, &run, &ready);
        let viewers: Vec<_> = (0..VIEWERS).map(|_| scope.spawn(watch)).collect();
        while ready.load(Ordering::SeqCst) < VIEWERS as u64 {
            std::thread::sleep(Duration::from_millis(10));
        }
        let reading = scope.spawn(|| at_rate(server, 16, PAGES, lasts, &pages));
        let written = at_rate(server, 16, WRITES, lasts, &writes);
        let read = reading.join().expect("no page failed");
        told("write", written);
        told("page", read);
        // The connection from before has been idle for too long.
        Client::new(server).json("POST", &format!("/api/v1/runs/{run}/cancel"), Some("{}"));
        viewers.into_iter().map(|viewer| viewer.join().expect("it saw the end")).collect()
    });
    let store = SqliteStore::open(&server.store, Options::default()).expect("the store");
    let lines = store.load(&run.parse().expect("an id")).expect("a journal whose chain holds").lines.len() as u64;
    let notes = store.count().expect("readable");
    println!("bench serve: {lines} records for each of {VIEWERS} viewers; runs in the store {notes:?}");
    let missed: u64 = seen.iter().map(|seen| seen.missed + (lines - seen.records.min(lines))).sum();
    let twice: u64 = seen.iter().map(|seen| seen.twice + seen.records.saturating_sub(lines)).sum();
    at_most("events-missed", missed as f64, "events", 0.0);
    at_most("events-told-twice", twice as f64, "events", 0.0);
}

fn told(what: &str, times: BTreeMap<&'static str, Vec<Duration>>) {
    let mut all = Vec::new();
    for (name, mut times) in times {
        let (half, most) = (quantile(&mut times, 0.5), quantile(&mut times, 0.99));
        println!("bench serve: {} times {name}: p50 {half:.1} ms, p99 {most:.1} ms", times.len());
        all.extend(times);
    }
    let goal = if what == "page" { 100.0 } else { 250.0 };
    at_most(&format!("{what}s-under-load-p50"), quantile(&mut all, 0.5), "ms", goal);
    at_most(&format!("{what}s-under-load-p99"), quantile(&mut all, 0.99), "ms", goal);
}
