//! Just enough HTTP/1.1 for Go's client: requests with a length or in chunks, connections kept alive, answers that stream.

use std::collections::BTreeMap;
use std::io::{BufRead, BufReader, Write};
use std::net::{TcpListener, TcpStream};
use std::sync::Arc;

use muster::model::Value;

/// A request.
pub struct Request {
    pub method: String,
    /// Without the query.
    pub path: String,
    pub query: BTreeMap<String, String>,
    /// The words of `command`, which comes once a word.
    pub command: Vec<String>,
    /// By lower-case name.
    pub headers: BTreeMap<String, String>,
    pub body: Vec<u8>,
}

impl Request {
    pub fn header(&self, name: &str) -> &str {
        self.headers.get(name).map_or("", String::as_str)
    }

    pub fn query(&self, name: &str) -> &str {
        self.query.get(name).map_or("", String::as_str)
    }
}

/// An answer.
pub enum Answer {
    Json(u16, Value),
    Bytes(u16, &'static str, Vec<u8>),
    /// Lines of JSON until there are no more; the closure waits for the next one.
    Stream(Box<dyn FnMut() -> Option<Value> + Send>),
    /// A program that is attached to: what it reads, if it reads, gives what it prints on both outputs, and its status.
    Attached(bool, Box<dyn FnOnce(Vec<u8>) -> (String, String, Value) + Send>),
}

/// Answers each connection on a thread of its own, until the process ends.
pub fn serve(listener: TcpListener, handler: Arc<dyn Fn(&Request) -> Answer + Send + Sync>) {
    std::thread::spawn(move || {
        for stream in listener.incoming().flatten() {
            let handler = Arc::clone(&handler);
            std::thread::spawn(move || {
                let _ = stream.set_nodelay(true);
                let mut reader = BufReader::new(&stream);
                while let Some(request) = read(&mut reader) {
                    if write(&stream, &request, handler(&request)).is_none() {
                        break;
                    }
                }
            });
        }
    });
}

fn read(reader: &mut impl BufRead) -> Option<Request> {
    let mut line = String::new();
    reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
    let mut words = line.split_whitespace();
    let (method, target) = (words.next()?.to_owned(), words.next()?);
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let pairs: Vec<_> = query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect();
    let command = pairs.iter().filter(|(name, _)| name == "command").map(|(_, word)| word.clone()).collect();
    let (path, query) = (decode(path), pairs.into_iter().collect());
    let mut headers = BTreeMap::new();
    loop {
        let mut line = String::new();
        reader.read_line(&mut line).ok().filter(|bytes| *bytes > 0)?;
        let Some((name, value)) = line.trim_end().split_once(':') else { break };
        headers.insert(name.to_ascii_lowercase(), value.trim().to_owned());
    }
    let mut body = Vec::new();
    if headers.get("transfer-encoding").is_some_and(|coding| coding.contains("chunked")) {
        loop {
            let mut size = String::new();
            reader.read_line(&mut size).ok()?;
            let size = usize::from_str_radix(size.trim(), 16).ok()?;
            let mut chunk = vec![0; size + 2];
            reader.read_exact(&mut chunk).ok()?;
            if size == 0 {
                break;
            }
            body.extend_from_slice(&chunk[..size]);
        }
    } else if let Some(length) = headers.get("content-length").and_then(|length| length.parse().ok()) {
        body.resize(length, 0);
        reader.read_exact(&mut body).ok()?;
    }
    Some(Request { method, path, query, command, headers, body })
}

fn pair(text: &str) -> (String, String) {
    let (name, value) = text.split_once('=').unwrap_or((text, ""));
    (decode(name), decode(&value.replace('+', " ")))
}

fn decode(text: &str) -> String {
    percent_encoding::percent_decode_str(text).decode_utf8_lossy().into_owned()
}

fn reason(status: u16) -> &'static str {
    match status {
        200 => "OK",
        201 => "Created",
        304 => "Not Modified",
        _ => "Status",
    }
}

/// Speaks `v5.channel.k8s.io`: one byte says which stream a message belongs to.
fn attach(
    mut to: &TcpStream,
    request: &Request,
    reads: bool,
    program: Box<dyn FnOnce(Vec<u8>) -> (String, String, Value) + Send>,
) -> Option<()> {
    use tungstenite::Message;
    let key = tungstenite::handshake::derive_accept_key(request.header("sec-websocket-key").as_bytes());
    let head = format!(
        "HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {key}\r\n\
         Sec-WebSocket-Protocol: v5.channel.k8s.io\r\n\r\n"
    );
    to.write_all(head.as_bytes()).ok()?;
    let mut socket = tungstenite::WebSocket::from_raw_socket(to, tungstenite::protocol::Role::Server, None);
    let mut stdin = Vec::new();
    let mut open = reads;
    while open {
        match socket.read().ok()? {
            Message::Binary(bytes) if bytes.as_ref() == [255, 0] => open = false,
            Message::Binary(bytes) if bytes.first() == Some(&0) => stdin.extend_from_slice(&bytes[1..]),
            Message::Close(_) => return None,
            _ => {}
        }
    }
    let (stdout, stderr, status) = program(stdin);
    for (stream, text) in [(1, stdout), (2, stderr), (3, status.to_string())] {
        if text == "null" {
            return None;
        }
        for part in text.as_bytes().chunks(4096) {
            socket.send(Message::binary([&[stream], part].concat())).ok()?;
        }
    }
    let code = tungstenite::protocol::frame::coding::CloseCode::Normal;
    socket.close(Some(tungstenite::protocol::CloseFrame { code, reason: "".into() })).ok()?;
    while socket.read().is_ok() {}
    Some(())
}

/// Nothing when the connection is over.
fn write(mut to: &TcpStream, request: &Request, answer: Answer) -> Option<()> {
    let (status, kind, body) = match answer {
        Answer::Json(status, value) => (status, "application/json", value.to_string().into_bytes()),
        Answer::Bytes(status, kind, bytes) => (status, kind, bytes),
        Answer::Attached(reads, program) => {
            attach(to, request, reads, program);
            return None;
        }
        Answer::Stream(mut next) => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
            to.write_all(head.as_bytes()).ok()?;
            while let Some(value) = next() {
                let line = format!("{value}\n");
                to.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).ok()?;
            }
            to.write_all(b"0\r\n\r\n").ok()?;
            return (!request.header("connection").eq_ignore_ascii_case("close")).then_some(());
        }
    };
    // Discovery is kept on disk by its ETag.
    let etag = format!(
        "\"{:x}\"",
        body.iter()
            .fold(0xcbf2_9ce4_8422_2325_u64, |sum, byte| { (sum ^ u64::from(*byte)).wrapping_mul(0x0100_0000_01b3) })
    );
    let same = status == 200 && request.method == "GET" && request.header("if-none-match") == etag;
    let (status, body) = if same { (304, Vec::new()) } else { (status, body) };
    let close = request.header("connection").eq_ignore_ascii_case("close");
    let head = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\n{}Etag: {etag}\r\nAudit-Id: test\r\n\r\n",
        reason(status),
        body.len(),
        if close { "Connection: close\r\n" } else { "" },
    );
    to.write_all(&[head.as_bytes(), &body].concat()).ok()?;
    (!close).then_some(())
}
