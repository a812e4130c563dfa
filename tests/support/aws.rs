//! A server that stands for AWS: moto, from PyPI, on loopback. One a test binary, gone with it.

#![allow(dead_code, reason = "each test file uses what it needs")]

use std::io::{Read, Write};
use std::net::{SocketAddr, TcpListener, TcpStream};
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::sync::OnceLock;
use std::time::{Duration, Instant};

/// The server.
pub struct Server {
    pub address: SocketAddr,
    /// Its standard input is open as long as this process lives: the server ends when it is closed.
    _alive: Child,
}

/// Runs a program until its standard input is closed, so that it never outlives the test binary, however that ends.
const LEASHED: &str = r#""$@" </dev/null & child=$!; cat >/dev/null; kill "$child""#;

/// The server of this test binary, started at its first use.
pub fn server() -> &'static Server {
    static SERVER: OnceLock<Server> = OnceLock::new();
    SERVER.get_or_init(|| {
        credentials();
        let setup = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/deployment/aws/setup.sh");
        let setup = Command::new(setup).output().expect("bash is there");
        let said = String::from_utf8_lossy(&setup.stderr);
        assert!(setup.status.success(), "the servers that stand for AWS cannot be installed:\n{said}");
        let folder = String::from_utf8(setup.stdout).expect("a path");
        let moto = Path::new(folder.trim()).join("bin/moto_server");
        let address = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr().expect("an address");
        let child = Command::new("sh")
            .args(["-c", LEASHED, "sh"])
            .arg(moto)
            .args(["-H", "127.0.0.1", "-p", &address.port().to_string()])
            .env("MOTO_S3_DEFAULT_KEY_BUFFER_SIZE", "1048576")
            .stdin(Stdio::piped())
            .stdout(Stdio::null())
            .stderr(Stdio::null())
            .spawn()
            .expect("sh is there");
        let begun = Instant::now();
        while !answers(address) {
            assert!(begun.elapsed() < Duration::from_secs(60), "the server that stands for AWS does not start");
            std::thread::sleep(Duration::from_millis(20));
        }
        Server { address, _alive: child }
    })
}

/// Credentials that a server without a lock takes, and no way to any others.
fn credentials() {
    let settings = [
        ("AWS_ACCESS_KEY_ID", "test"),
        ("AWS_SECRET_ACCESS_KEY", "test-only"),
        ("AWS_EC2_METADATA_DISABLED", "true"),
        ("AWS_CONFIG_FILE", "/dev/null"),
        ("AWS_SHARED_CREDENTIALS_FILE", "/dev/null"),
    ];
    for (name, value) in settings {
        // SAFETY: all that reads the environment in this process does so through the standard library's lock.
        unsafe { std::env::set_var(name, value) };
    }
}

/// Puts something to the server as nobody in particular, who may do everything.
pub fn put(address: SocketAddr, path: &str, body: &str) {
    put_with(address, path, "", body);
}

/// The same with more lines in its head, each with its end: `x-amz-meta-by: hand\r\n`.
pub fn put_with(address: SocketAddr, path: &str, lines: &str, body: &str) {
    let mut stream = TcpStream::connect(address).expect("the server is there");
    let head = format!(
        "PUT {path} HTTP/1.1\r\nHost: {address}\r\nConnection: close\r\nContent-Type: application/xml\r\n{lines}Content-Length: {}\r\n",
        body.len()
    );
    // The signature only says which service is meant.
    let scope = "AWS4-HMAC-SHA256 Credential=test/20260101/us-east-1/s3/aws4_request, SignedHeaders=host, Signature=0";
    let request = format!("{head}Authorization: {scope}\r\n\r\n{body}");
    stream.write_all(request.as_bytes()).expect("the server listens");
    let mut answer = String::new();
    stream.read_to_string(&mut answer).expect("the server answers");
    assert!(answer.starts_with("HTTP/1.1 200"), "{path}: {answer}");
}

fn answers(address: SocketAddr) -> bool {
    let Ok(mut stream) = TcpStream::connect(address) else { return false };
    let asked = stream.write_all(b"GET /moto-api/data.json HTTP/1.1\r\nHost: moto\r\nConnection: close\r\n\r\n");
    let mut text = String::new();
    asked.is_ok() && stream.read_to_string(&mut text).is_ok() && text.starts_with("HTTP/1.1 200")
}
