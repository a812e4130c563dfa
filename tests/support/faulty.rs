//! A proxy between the program under test and an HTTP server, which spoils chosen exchanges: late, reset before or after the
//! request arrived, answered by an error or cut short. What it was asked is kept, so that a test can count.

#![allow(dead_code, reason = "each test file uses what it needs")]

#[path = "simulator.rs"]
pub mod simulator;

use std::io::{self, BufRead, BufReader, Read, Write};
use std::net::{Shutdown, SocketAddr, TcpListener, TcpStream};
use std::sync::{Arc, Mutex};
use std::time::{Duration, SystemTime};

/// What happens to an exchange.
#[derive(Clone, Debug)]
pub enum Spoil {
    /// It takes this much longer.
    Late(Duration),
    /// The connection is reset, and the server never hears of it.
    Unsent,
    /// The server does what it is asked, and the connection is reset instead of an answer.
    Unanswered,
    /// An error of this status and code, and the server never hears of it.
    Instead(u16, &'static str),
    /// The server does what it is asked, and the answer is an error of this status and code.
    Afterwards(u16, &'static str),
    /// The server's answer, of which only so many bytes of the body come.
    Cut(usize),
    /// The server's answer, with one text in the place of another: states that the server itself never comes to.
    Altered(&'static str, &'static str),
    /// The victim is killed, and the server never hears of the request.
    KilledBefore,
    /// The server does what it is asked, and the victim is killed before it hears of it.
    KilledAfter,
}

/// Which exchanges are meant.
enum Of {
    /// Those whose request holds this text.
    Text(String),
    /// Those of this name.
    Call(String),
}

struct Rule {
    of: Of,
    /// So many of them pass before.
    skip: usize,
    left: usize,
    /// From the first of them on all exchanges are meant.
    onward: bool,
    spoil: Spoil,
    /// Whether it has spoiled any.
    struck: bool,
}

#[derive(Default)]
struct Shared {
    rules: Vec<Rule>,
    seen: Vec<String>,
    /// When each of them had come.
    times: Vec<SystemTime>,
    /// Who may do what to what: a principal, and the beginnings of an action and a resource.
    allowed: Vec<[String; 3]>,
    calls: Vec<String>,
    victim: Option<i32>,
    hosts: Vec<(String, String)>,
    /// Answers that are still coming.
    streams: Vec<TcpStream>,
}

/// The proxy. It ends with the process.
pub struct Faulty {
    address: SocketAddr,
    shared: Arc<Mutex<Shared>>,
}

impl Faulty {
    /// In front of this server.
    pub fn before(server: SocketAddr) -> Self {
        Self::in_account(server, "")
    }

    /// In front of this server, which is told to see this account in all that comes.
    pub fn in_account(server: SocketAddr, account: &str) -> Self {
        let more = if account.is_empty() { String::new() } else { format!("x-moto-account-id: {account}\r\n") };
        let listener = TcpListener::bind("127.0.0.1:0").expect("a free port");
        let address = listener.local_addr().expect("an address");
        let anybody = [simulator::ANYBODY, "", ""].map(str::to_owned);
        let shared = Arc::new(Mutex::new(Shared { allowed: vec![anybody], ..Shared::default() }));
        let into = Arc::clone(&shared);
        std::thread::spawn(move || {
            for stream in listener.incoming().flatten() {
                let (shared, more) = (Arc::clone(&into), more.clone());
                std::thread::spawn(move || drop(exchange(&stream, server, &more, &shared)));
            }
        });
        Self { address, shared }
    }

    /// Where it listens.
    pub fn url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// Spoils the next exchange whose request holds this text: `PUT /bucket/key`, `Action=CreateDBInstance`,
    /// `secretsmanager.PutSecretValue`.
    pub fn spoil(&self, needle: &str, spoil: Spoil) {
        self.spoil_many(needle, 1, spoil);
    }

    /// Spoils the next so many.
    pub fn spoil_many(&self, needle: &str, left: usize, spoil: Spoil) {
        self.rule(Rule { of: Of::Text(needle.to_owned()), skip: 0, left, onward: false, spoil, struck: false });
    }

    /// Of all calls of this name spoils so many, after so many that pass.
    pub fn spoil_call(&self, name: &str, skip: usize, left: usize, spoil: Spoil) {
        self.rule(Rule { of: Of::Call(name.to_owned()), skip, left, onward: false, spoil, struck: false });
    }

    /// From the call of this name on that comes after so many that pass, spoils so many calls, whatever they are.
    pub fn spoil_from(&self, name: &str, skip: usize, left: usize, spoil: Spoil) {
        self.rule(Rule { of: Of::Call(name.to_owned()), skip, left, onward: true, spoil, struck: false });
    }

    fn rule(&self, rule: Rule) {
        self.shared.lock().expect("no test panics here").rules.push(rule);
    }

    /// Spoils nothing any more.
    pub fn lift(&self) {
        self.shared.lock().expect("no test panics here").rules.clear();
    }

    /// What has spoiled an exchange spoils no more; what is to come still does.
    pub fn relieve(&self) {
        self.shared.lock().expect("no test panics here").rules.retain(|rule| !rule.struck);
    }

    /// Ends every answer that is still coming, as a crash would.
    pub fn hang_up(&self) {
        for stream in std::mem::take(&mut self.shared.lock().expect("no test panics here").streams) {
            let _ = stream.shutdown(Shutdown::Both);
        }
    }

    /// What was asked, each by its name, in order: `rds DescribeDBInstances`.
    pub fn calls(&self) -> Vec<String> {
        self.shared.lock().expect("no test panics here").calls.clone()
    }

    /// The process that is killed where an exchange says so: a child that has not been waited for.
    pub fn victim(&self, process: u32) {
        let process = i32::try_from(process).expect("a process");
        self.shared.lock().expect("no test panics here").victim = Some(process);
    }

    /// This principal may do what begins so to what begins so, and nothing else that is not said.
    pub fn allow(&self, principal: &str, action: &str, resource: &str) {
        let allowed = &mut self.shared.lock().expect("no test panics here").allowed;
        allowed.retain(|[who, may, _]| who != principal || !may.is_empty());
        allowed.push([principal, action, resource].map(str::to_owned));
    }

    /// Spoils nothing more.
    pub fn forget(&self) {
        self.shared.lock().expect("no test panics here").rules.clear();
    }

    /// How many requests held this text.
    pub fn count(&self, needle: &str) -> usize {
        let shared = self.shared.lock().expect("no test panics here");
        shared.seen.iter().filter(|request| request.contains(needle)).count()
    }

    /// Every request so far: its head, and what follows up to 64 KiB.
    pub fn seen(&self) -> Vec<String> {
        self.shared.lock().expect("no test panics here").seen.clone()
    }

    /// When each of the requests that hold this text had come, by the clock of the machine.
    pub fn heard(&self, needle: &str) -> Vec<SystemTime> {
        let shared = self.shared.lock().expect("no test panics here");
        let meant = shared.seen.iter().zip(&shared.times).filter(|(request, _)| request.contains(needle));
        meant.map(|(_, at)| *at).collect()
    }

    /// From now on the database of this name has this address in every answer: names of AWS resolve to nothing here.
    pub fn resolve(&self, database: &str, address: &str) {
        self.resolve_each(&format!("{database}."), address);
    }

    /// The same of every database whose name begins so.
    pub fn resolve_each(&self, beginning: &str, address: &str) {
        let pair = (format!(">{beginning}"), address.to_owned());
        self.shared.lock().expect("no test panics here").hosts.push(pair);
    }

    /// Whether everything that was to be spoiled has been.
    pub fn is_done(&self) -> bool {
        self.shared.lock().expect("no test panics here").rules.is_empty()
    }
}

/// The name of a call: the service that the signature is for, and what it is asked to do, without what differs from run to run.
fn call(text: &str) -> String {
    let service = text.split("Credential=").nth(1).and_then(|scope| scope.split('/').nth(3)).unwrap_or_default();
    let asked = text.lines().find_map(|line| {
        let (name, value) = line.split_once(':')?;
        name.eq_ignore_ascii_case("x-amz-target")
            .then(|| value.rsplit('.').next().unwrap_or_default().trim().to_owned())
    });
    let action = text.rsplit("\r\n").next().and_then(|body| body.split("Action=").nth(1));
    let action = action.filter(|_| ["rds", "sts", "iam", "ec2"].contains(&service));
    let asked = asked.or_else(|| action?.split('&').next().map(str::to_owned)).unwrap_or_else(|| {
        let mut words = text.split(' ');
        let (method, target) = (words.next().unwrap_or_default(), words.next().unwrap_or_default());
        let (path, query) = target.split_once('?').unwrap_or((target, ""));
        let fixed = |part: &&str| !part.is_empty() && !part.contains(|c: char| c.is_ascii_digit() || c == '%');
        let kind: Vec<&str> = match service {
            "s3" => query
                .split('&')
                .map(|pair| {
                    pair.split_once('=').map_or(pair, |(name, value)| if name == "x-id" { value } else { name })
                })
                .filter(|name| !name.is_empty())
                .collect(),
            _ => path.split('/').filter(fixed).collect(),
        };
        format!("{method} {}", kind.join("/"))
    });
    format!("{service} {}", asked.trim())
}

/// Kills who is to be killed; nobody when it is dead already, with other requests still on their way.
fn kill(shared: &Mutex<Shared>) {
    let Some(victim) = shared.lock().expect("no test panics here").victim.take() else { return };
    assert!(victim > 1);
    // SAFETY: a signal to a child of this process, which is waited for only after it.
    unsafe { libc::kill(victim, libc::SIGKILL) };
}

fn exchange(client: &TcpStream, server: SocketAddr, more: &str, shared: &Mutex<Shared>) -> io::Result<()> {
    let (head, body) = message(client, client)?;
    let text = format!("{head}{}", String::from_utf8_lossy(&body[..body.len().min(64 << 10)]));
    let (spoil, hosts) = {
        let mut shared = shared.lock().expect("no test panics here");
        let name = call(&text);
        let mut fits = |rule: &mut Rule| {
            let is_meant = match &rule.of {
                Of::Text(needle) => text.contains(needle),
                Of::Call(wanted) => name == *wanted,
            };
            let passes = is_meant && rule.skip > 0;
            rule.skip -= usize::from(passes);
            is_meant && !passes
        };
        let at = shared.rules.iter_mut().position(&mut fits);
        shared.seen.push(text.clone());
        shared.times.push(SystemTime::now());
        shared.calls.push(name);
        let spoil = at.map(|at| {
            let rule = &mut shared.rules[at];
            rule.left -= 1;
            rule.struck = true;
            if rule.onward {
                rule.of = Of::Text(String::new());
            }
            if shared.rules[at].left == 0 { shared.rules.remove(at).spoil } else { shared.rules[at].spoil.clone() }
        });
        (spoil, shared.hosts.clone())
    };
    let head_only = head.starts_with("HEAD ");
    match spoil {
        Some(Spoil::Unsent) => return reset(client),
        Some(Spoil::Instead(status, code)) => return refuse(client, &head, status, code),
        Some(Spoil::Late(by)) => std::thread::sleep(by),
        Some(Spoil::KilledBefore) => {
            kill(shared);
            return reset(client);
        }
        _ => {}
    }
    if spoil.is_none() && head.lines().next().is_some_and(|line| line.contains("watch=")) {
        // Comes as it happens, not when all of it is there.
        let mut stream = sent(server, &head, more, &body)?;
        shared.lock().expect("no test panics here").streams.push(stream.try_clone()?);
        return io::copy(&mut stream, &mut &*client).map(drop);
    }
    let answer = if text.contains("Action=SimulatePrincipalPolicy") {
        let form = String::from_utf8_lossy(&body);
        simulator::simulated(&shared.lock().expect("no test panics here").allowed, &form)
    } else {
        forward(server, &head, more, &body)?
    };
    let answer = resolved(answer, &hosts);
    match spoil {
        Some(Spoil::KilledAfter) => {
            kill(shared);
            reset(client)
        }
        Some(Spoil::Unanswered) => reset(client),
        Some(Spoil::Afterwards(status, code)) => refuse(client, &head, status, code),
        Some(Spoil::Cut(bytes)) => {
            let end = answer.windows(4).position(|four| four == b"\r\n\r\n").map_or(answer.len(), |at| at + 4);
            (&*client).write_all(&answer[..answer.len().min(end + if head_only { 0 } else { bytes })])
        }
        Some(Spoil::Altered(from, to)) => (&*client).write_all(&altered(&answer, from, to)),
        _ => (&*client).write_all(&answer),
    }
}

/// Sends a message to the server on a connection of its own, and takes all that comes back.
fn forward(server: SocketAddr, head: &str, more: &str, body: &[u8]) -> io::Result<Vec<u8>> {
    let mut answer = Vec::new();
    sent(server, head, more, body)?.read_to_end(&mut answer)?;
    Ok(as_aws_says_it(answer))
}

/// Sends a message to the server on a connection of its own, on which the answer comes.
fn sent(server: SocketAddr, head: &str, more: &str, body: &[u8]) -> io::Result<TcpStream> {
    let mut stream = TcpStream::connect(server)?;
    let mut lines = head.trim_end().lines();
    let mut text = format!("{}\r\n", lines.next().unwrap_or_default());
    for line in lines {
        let name = line.split(':').next().unwrap_or_default().to_ascii_lowercase();
        if !["connection", "content-length", "transfer-encoding", "expect"].contains(&name.as_str()) {
            text.push_str(&format!("{line}\r\n"));
        }
    }
    text.push_str(&format!("{more}connection: close\r\ncontent-length: {}\r\n\r\n", body.len()));
    stream.write_all(text.as_bytes())?;
    stream.write_all(body)?;
    Ok(stream)
}

/// Moto gives one answer another name than AWS does, which AWS's own Rust client does not take; space within the tag makes up
/// for the length.
fn as_aws_says_it(mut answer: Vec<u8>) -> Vec<u8> {
    const MOTO: &[u8] = b"GetBucketVersioningResponse";
    const AWS: &[u8] = b"VersioningConfiguration    ";
    while let Some(at) = answer.windows(MOTO.len()).position(|part| part == MOTO) {
        answer[at..at + MOTO.len()].copy_from_slice(AWS);
    }
    answer
}

/// Reads a request: its head, and its body without the framing of a chunked one.
fn message(from: &TcpStream, back: &TcpStream) -> io::Result<(String, Vec<u8>)> {
    let mut reader = BufReader::new(from);
    let (mut head, mut length, mut chunked) = (String::new(), 0, false);
    loop {
        let mut line = String::new();
        if reader.read_line(&mut line)? == 0 {
            return Err(io::ErrorKind::UnexpectedEof.into());
        }
        let lower = line.to_ascii_lowercase();
        if let Some(value) = lower.strip_prefix("content-length:") {
            length = value.trim().parse().unwrap_or(0);
        }
        chunked |= lower.starts_with("transfer-encoding:") && lower.contains("chunked");
        if lower.starts_with("expect:") {
            (&*back).write_all(b"HTTP/1.1 100 Continue\r\n\r\n")?;
        }
        head.push_str(&line);
        if line == "\r\n" {
            break;
        }
    }
    let mut body = vec![0; length];
    reader.read_exact(&mut body)?;
    while chunked {
        let mut line = String::new();
        reader.read_line(&mut line)?;
        let size = usize::from_str_radix(line.trim().split(';').next().unwrap_or_default(), 16).unwrap_or(0);
        let mut chunk = vec![0; size + 2];
        reader.read_exact(&mut chunk)?;
        body.extend_from_slice(&chunk[..size]);
        chunked = size > 0;
    }
    Ok((head, body))
}

/// Ends a connection as a crash would, not as a farewell.
fn reset(stream: &TcpStream) -> io::Result<()> {
    use std::os::fd::AsRawFd;
    let linger = libc::linger { l_onoff: 1, l_linger: 0 };
    let size = u32::try_from(size_of::<libc::linger>()).expect("it is small");
    // SAFETY: the descriptor is open as long as the stream is borrowed, and the option is of the size that is said.
    unsafe {
        libc::setsockopt(
            stream.as_raw_fd(),
            libc::SOL_SOCKET,
            libc::SO_LINGER,
            std::ptr::from_ref(&linger).cast(),
            size,
        );
    }
    Ok(())
}

/// An error as the service that was asked would put it: which one, the signature of the request tells.
fn refuse(stream: &TcpStream, head: &str, status: u16, code: &str) -> io::Result<()> {
    let why = "as the test wants it";
    let service = head.split("Credential=").nth(1).and_then(|scope| scope.split('/').nth(3)).unwrap_or_default();
    let (kind, body) = match service {
        _ if head.starts_with("HEAD ") => ("application/xml", String::new()),
        "s3" => ("application/xml", format!("<Error><Code>{code}</Code><Message>{why}</Message></Error>")),
        "sts" | "rds" | "iam" => (
            "text/xml",
            format!("<ErrorResponse><Error><Code>{code}</Code><Message>{why}</Message></Error></ErrorResponse>"),
        ),
        _ => ("application/x-amz-json-1.1", format!(r#"{{"__type":"{code}","message":"{why}","Message":"{why}"}}"#)),
    };
    let text = format!(
        "HTTP/1.1 {status} Spoiled\r\nx-amzn-errortype: {code}\r\nx-amzn-requestid: r-1\r\ncontent-type: {kind}\r\n\
         connection: close\r\ncontent-length: {}\r\n\r\n{body}",
        body.len()
    );
    (&*stream).write_all(text.as_bytes())?;
    stream.shutdown(Shutdown::Write)
}

/// The answer with addresses in the place of the names of AWS.
fn resolved(answer: Vec<u8>, hosts: &[(String, String)]) -> Vec<u8> {
    const DOMAIN: &str = ".rds.amazonaws.com";
    if hosts.is_empty() || !answer.windows(DOMAIN.len()).any(|part| part == DOMAIN.as_bytes()) {
        return answer;
    }
    rewritten(&answer, |body| {
        let mut body = body.to_owned();
        for (name, address) in hosts {
            let mut from = 0;
            while let Some(at) = body[from..].find(name).map(|at| from + at + 1)
                && let Some(end) = body[at..].find('<').map(|end| at + end)
            {
                from = end;
                if body[at..end].ends_with(DOMAIN) {
                    body.replace_range(at..end, address);
                    from = at + address.len();
                }
            }
        }
        body
    })
}

/// The answer with one text in the place of another.
fn altered(answer: &[u8], from: &str, to: &str) -> Vec<u8> {
    rewritten(answer, |body| body.replace(from, to))
}

/// The answer with another body, its length mended.
fn rewritten(answer: &[u8], change: impl Fn(&str) -> String) -> Vec<u8> {
    let text = String::from_utf8_lossy(answer);
    let Some((head, body)) = text.split_once("\r\n\r\n") else { return answer.to_vec() };
    let body = change(body);
    let kept: Vec<&str> =
        head.lines().filter(|line| !line.to_ascii_lowercase().starts_with("content-length:")).collect();
    format!("{}\r\nContent-Length: {}\r\n\r\n{body}", kept.join("\r\n"), body.len()).into_bytes()
}
