//! A live host, a server that stands for AWS, and a proxy between them.

use std::io::{Read, Write};
use std::net::TcpStream;
use std::sync::atomic::{AtomicUsize, Ordering};

use muster::model::fault::ErrorClass;
use muster::ops::spec::{Backend, Undo};
use muster::ops::{OpError, Polled, Probe, ReadHost, Request, Sent, WriteHost};
use serde_json::{Value, json};

use crate::aws;
use crate::faulty::Faulty;
use crate::live_world::LiveWorld;

/// What a test stands on.
pub struct Ground {
    pub world: LiveWorld,
    pub proxy: Faulty,
    /// A bucket of its own that keeps versions.
    pub bucket: String,
    /// The account of the server, its usual one when empty.
    pub account: String,
    dir: tempfile::TempDir,
}

impl Ground {
    pub fn new() -> Self {
        Self::in_account("")
    }

    /// In an account of the server that nobody else uses.
    pub fn alone() -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        Self::in_account(&format!("2{:011}", COUNT.fetch_add(1, Ordering::SeqCst)))
    }

    fn in_account(account: &str) -> Self {
        static COUNT: AtomicUsize = AtomicUsize::new(0);
        let server = aws::server();
        let bucket = format!("bucket-{}", COUNT.fetch_add(1, Ordering::SeqCst));
        let versions = "<VersioningConfiguration><Status>Enabled</Status></VersioningConfiguration>";
        aws::put(server.address, &format!("/{bucket}"), "");
        aws::put(server.address, &format!("/{bucket}?versioning"), versions);
        let dir = tempfile::tempdir().unwrap();
        let proxy = Faulty::in_account(server.address, account);
        Self { world: LiveWorld::under(dir.path()), proxy, bucket, account: account.to_owned(), dir }
    }

    /// The way through the proxy.
    pub fn access(&self) -> Value {
        json!({ "region": "us-east-1", "endpoint": self.proxy.url() })
    }

    /// Asks the server's RDS itself for something, past everything that is tested here.
    pub fn rds(&self, action: &str, fields: &[(&str, &str)]) -> String {
        let fields = fields.iter().map(|(name, value)| format!("&{name}={value}")).collect::<String>();
        self.form("rds", &format!("Action={action}&Version=2014-10-31{fields}"))
    }

    /// Asks a service of the server that takes forms for something, past everything that is tested here.
    pub fn form(&self, service: &str, body: &str) -> String {
        self.ask(service, "POST /", "Content-Type: application/x-www-form-urlencoded\r\n", body)
    }

    /// Asks a service of the server for something, past everything that is tested here.
    pub fn ask(&self, service: &str, what: &str, head: &str, body: &str) -> String {
        let account = match self.account.as_str() {
            "" => String::new(),
            account => format!("X-Moto-Account-Id: {account}\r\n"),
        };
        let text = format!(
            "{what} HTTP/1.1\r\nHost: {service}.us-east-1.amazonaws.com\r\nConnection: close\r\n{head}{account}\
             Authorization: AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/{service}/aws4_request, \
             SignedHeaders=host, Signature=0\r\nContent-Length: {}\r\n\r\n{body}",
            body.len()
        );
        let mut stream = TcpStream::connect(aws::server().address).unwrap();
        stream.write_all(text.as_bytes()).unwrap();
        let mut answer = String::new();
        stream.read_to_string(&mut answer).unwrap();
        assert!(answer.starts_with("HTTP/1.1 200"), "{service} {what} {body}: {answer}");
        answer
    }

    /// Asks a service of the server that speaks JSON for something, past everything that is tested here.
    pub fn json(&self, service: &str, target: &str, body: &Value) -> Value {
        let head = format!("Content-Type: application/x-amz-json-1.1\r\nX-Amz-Target: {target}\r\n");
        let answer = self.ask(service, "POST /", &head, &body.to_string());
        serde_json::from_str(answer.split_once("\r\n\r\n").unwrap().1).unwrap()
    }

    /// Does an effect as the engine does: what is in doubt is asked about, and what was not done is sent again.
    pub fn settle(&self, op: &str, args: Value, key: &str) -> Result<Value, OpError> {
        let request = self.world.ready(op, self.through(args), key)?;
        for _ in 0..4 {
            let error = match self.world.host.send(&request) {
                Ok(Sent::Done(result)) => return Ok(result),
                Ok(Sent::Running) => None,
                Err(error) if [ErrorClass::Unknown, ErrorClass::Transient].contains(&error.class) => Some(error),
                Err(error) => return Err(error),
            };
            match self.world.host.probe(&request)? {
                Probe::Done { result } => return Ok(result),
                Probe::NotDone => {}
                other => panic!("{op}: {error:?}, {other:?}"),
            }
        }
        panic!("{op} is never done");
    }

    /// Asks a wait once.
    pub fn poll(&self, op: &str, args: Value) -> Result<Polled, OpError> {
        self.world.host.poll(&self.world.request(op, self.through(args), ""))
    }

    /// A read through the proxy.
    pub fn read(&self, op: &str, args: Value) -> Value {
        self.world.read(op, self.through(args)).unwrap()
    }

    /// The arguments with the way through the proxy.
    pub fn through(&self, mut args: Value) -> Value {
        args["aws"] = self.access();
        args
    }

    /// An object of the bucket, as arguments.
    pub fn object(&self, key: &str) -> Value {
        self.through(json!({ "bucket": self.bucket, "key": key }))
    }

    pub fn path(&self, name: &str) -> String {
        self.dir.path().join(name).to_str().unwrap().to_owned()
    }

    pub fn file(&self, name: &str, contents: &[u8]) -> String {
        let path = self.path(name);
        std::fs::write(&path, contents).unwrap();
        path
    }

    /// The versions of an object, markers included, the latest first.
    pub fn versions(&self, key: &str) -> Vec<String> {
        let list = self.world.read("s3.versions", self.object(key)).unwrap();
        let list = list["versions"].as_array().unwrap();
        list.iter().map(|one| one["version"].as_str().unwrap().to_owned()).collect()
    }

    /// Undoes a call; what cannot be filled in from its result is left out, as the engine does it.
    pub fn undo(&self, request: &Request, result: &Value) -> Option<Value> {
        let Backend::Write(entry) = &request.op.backend else { panic!("{} does not write", request.op.name) };
        let (op, args) = match (entry.undo)(&request.args, &request.before, &request.key) {
            Undo::Nothing => return None,
            Undo::Impossible(why) => panic!("{why}"),
            Undo::Call { op, args } => (op, args),
        };
        let Value::Object(args) = args else { panic!("{op} has arguments") };
        let fill = |(name, value): (String, Value)| match value.as_str().and_then(|text| text.strip_prefix("$result")) {
            Some(path) => Some((name, result.pointer(path)?.clone())),
            None => Some((name, value)),
        };
        let args: serde_json::Map<String, Value> = args.into_iter().filter_map(fill).collect();
        Some(self.world.write(op, Value::Object(args), &format!("{}-undo", request.key)).unwrap())
    }
}
