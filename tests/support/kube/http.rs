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
    let (path, query) = (decode(path), query.split('&').filter(|pair| !pair.is_empty()).map(pair).collect());
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
    Some(Request { method, path, query, headers, body })
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

/// Nothing when the connection is over.
fn write(mut to: &TcpStream, request: &Request, answer: Answer) -> Option<()> {
    let (status, kind, body) = match answer {
        Answer::Json(status, value) => (status, "application/json", value.to_string().into_bytes()),
        Answer::Bytes(status, kind, bytes) => (status, kind, bytes),
        Answer::Stream(mut next) => {
            let head = "HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n";
            to.write_all(head.as_bytes()).ok()?;
            while let Some(value) = next() {
                let line = format!("{value}\n");
                to.write_all(format!("{:x}\r\n{line}\r\n", line.len()).as_bytes()).ok()?;
            }
            return to.write_all(b"0\r\n\r\n").ok();
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
    let head = format!(
        "HTTP/1.1 {status} {}\r\nContent-Type: {kind}\r\nContent-Length: {}\r\nEtag: {etag}\r\nAudit-Id: test\r\n\r\n",
        reason(status),
        body.len(),
    );
    to.write_all(&[head.as_bytes(), &body].concat()).ok()
}
