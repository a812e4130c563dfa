//! Runs as traces. The collector here is a mock: it reads OpenTelemetry's own protobuf, and answers as it is told to.

#[path = "support/cli.rs"]
mod cli;
#[path = "support/serving.rs"]
mod serving;

use std::collections::{BTreeMap, BTreeSet};
use std::io::{BufRead as _, BufReader, Read as _, Write as _};
use std::net::{TcpListener, TcpStream};
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex};
use std::time::{Duration, Instant};

use cli::Desk;
use opentelemetry_proto::tonic::collector::trace::v1::{ExportTraceServiceRequest, ExportTraceServiceResponse};
use opentelemetry_proto::tonic::common::v1::any_value::Value as Any;
use opentelemetry_proto::tonic::trace::v1::Span;
use prost::Message as _;
use serde_json::json;
use serving::{PATIENCE, Serving, browse};

const STEADY: &str = r#"muster: 1
name: steady
version: 1.0.0
title: Append lines to a file
params:
  file: { type: path, default: "lines", doc: "The file." }
capabilities: [time.sleep, exec.run]
steps:
  - id: work
    script: |
      for n in 0..4 {
          host::exec::run(#{ argv: ["sh", "-c", "echo " + n + " >> " + params.file] });
          host::time::sleep(#{ duration: "300ms" });
      }
  - id: fails
    needs: [work]
    on_failure: continue
    script: throw "it cannot be done"
"#;

/// Takes spans, unless it is told not to.
struct Collector {
    url: String,
    spans: Arc<Mutex<Vec<Span>>>,
    services: Arc<Mutex<BTreeSet<String>>>,
    open: Arc<AtomicBool>,
    refused: Arc<AtomicUsize>,
}

impl Collector {
    fn start(open: bool) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let collector = Self {
            url,
            spans: Arc::default(),
            services: Arc::default(),
            open: Arc::new(AtomicBool::new(open)),
            refused: Arc::default(),
        };
        let (spans, services) = (Arc::clone(&collector.spans), Arc::clone(&collector.services));
        let (open, refused) = (Arc::clone(&collector.open), Arc::clone(&collector.refused));
        std::thread::spawn(move || {
            for stream in listener.incoming().map_while(Result::ok) {
                let (spans, services) = (Arc::clone(&spans), Arc::clone(&services));
                let (open, refused) = (Arc::clone(&open), Arc::clone(&refused));
                std::thread::spawn(move || {
                    while let Some(asked) = request(&stream) {
                        if !open.load(Ordering::SeqCst) {
                            refused.fetch_add(1, Ordering::SeqCst);
                            answer(&stream, "503 Service Unavailable", &[]);
                            continue;
                        }
                        for of in asked.resource_spans {
                            let named = of.resource.iter().flat_map(|resource| &resource.attributes);
                            let named =
                                named.filter(|one| one.key == "service.name").map(|one| text(one.value.as_ref()));
                            services.lock().expect("not poisoned").extend(named);
                            let each = of.scope_spans.into_iter().flat_map(|scope| scope.spans);
                            spans.lock().expect("not poisoned").extend(each);
                        }
                        answer(&stream, "200 OK", &ExportTraceServiceResponse::default().encode_to_vec());
                    }
                });
            }
        });
        collector
    }

    /// Waits until it has a span like this; all it has then.
    fn until(&self, server: &Serving, wanted: impl Fn(&Span) -> bool) -> Vec<Span> {
        let begun = Instant::now();
        loop {
            let spans = self.spans.lock().expect("not poisoned").clone();
            if spans.iter().any(&wanted) {
                return spans;
            }
            assert!(begun.elapsed() < PATIENCE, "it never came: {spans:#?}\n{}", server.said());
            std::thread::sleep(Duration::from_millis(50));
        }
    }
}

fn request(stream: &TcpStream) -> Option<ExportTraceServiceRequest> {
    let mut reader = BufReader::new(stream);
    let (mut length, mut line) = (0, String::new());
    while reader.read_line(&mut line).ok()? > 0 {
        let head = line.trim().to_ascii_lowercase();
        if head.is_empty() {
            let mut body = vec![0; length];
            reader.read_exact(&mut body).ok()?;
            return Some(ExportTraceServiceRequest::decode(body.as_slice()).expect("what the specification says"));
        }
        assert!(!head.starts_with("post") || head.starts_with("post /v1/traces "), "{head}");
        if let Some(bytes) = head.strip_prefix("content-length:") {
            length = bytes.trim().parse().expect("a number");
        }
        line.clear();
    }
    None
}

fn answer(mut stream: &TcpStream, status: &str, body: &[u8]) {
    let head =
        format!("HTTP/1.1 {status}\r\ncontent-type: application/x-protobuf\r\ncontent-length: {}\r\n\r\n", body.len());
    let _ = stream.write_all(head.as_bytes()).and_then(|()| stream.write_all(body));
}

fn text(value: Option<&opentelemetry_proto::tonic::common::v1::AnyValue>) -> String {
    match value.and_then(|value| value.value.as_ref()) {
        Some(Any::StringValue(text)) => text.clone(),
        Some(Any::IntValue(number)) => number.to_string(),
        Some(Any::BoolValue(flag)) => flag.to_string(),
        other => panic!("{other:?}"),
    }
}

fn said(span: &Span, name: &str) -> Option<String> {
    span.attributes.iter().find(|one| one.key == name).map(|one| text(one.value.as_ref()))
}

fn serving(desk: &Desk, collector: &Collector) -> Serving {
    let mut command = desk.command(&["serve", "--listen", "127.0.0.1:0", "--playbooks", "playbooks"]);
    Serving::start(command.env("OTEL_EXPORTER_OTLP_ENDPOINT", &collector.url).env_remove("OTEL_SERVICE_NAME"))
}

#[test]
fn a_run_is_told_as_one_trace_though_the_server_dies_and_the_collector_is_away() {
    let desk = Desk::new();
    desk.file("playbooks/steady/playbook.yaml", STEADY);
    let collector = Collector::start(false);
    let first = serving(&desk, &collector);
    let run = first.begin("steady", &json!({}));
    first.until(&run, |_| first.records(&run).iter().any(|record| record["fact"]["fact"] == "ended"));
    while collector.refused.load(Ordering::SeqCst) == 0 {
        std::thread::sleep(Duration::from_millis(20));
    }
    first.kill();
    collector.open.store(true, Ordering::SeqCst);
    let second = serving(&desk, &collector);
    second.until_ended(&run);
    let all = collector.until(&second, |span| span.name == "run steady");
    let of_run: Vec<&Span> = all.iter().filter(|span| span.kind == 1).collect();
    let root = of_run.iter().find(|span| span.name == "run steady").expect("the run");
    assert!(root.parent_span_id.is_empty() || root.parent_span_id.iter().all(|byte| *byte == 0));
    assert_eq!(said(root, "muster.run").as_deref(), Some(run.as_str()));
    assert_eq!(said(root, "muster.status").as_deref(), Some("succeeded_with_exceptions"), "{root:?}");
    assert!(of_run.iter().all(|span| span.trace_id == root.trace_id), "it is one trace");
    // What is sent again is the same span.
    let mut by_id: BTreeMap<&[u8], &Span> = BTreeMap::new();
    for span in &of_run {
        let same = by_id.insert(&span.span_id, span).is_none_or(|before| before == *span);
        assert!(same, "{span:?}");
    }
    for span in by_id.values().filter(|span| span.span_id != root.span_id) {
        assert!(by_id.contains_key(span.parent_span_id.as_slice()), "{span:?} is a part of nothing");
    }
    // As many effects as there are in the journal, by what stands there.
    let records = second.records(&run);
    let intents = records.iter().filter(|record| record["fact"]["fact"] == "intent").count();
    let effects = by_id.values().filter(|span| said(span, "muster.effect").as_deref() == Some("true")).count();
    assert_eq!((intents, effects), (4, 4), "{records:#?}");
    let fails = by_id.values().find(|span| span.name == "fails").expect("the step that fails");
    let status = fails.status.as_ref().expect("a status");
    assert_eq!(status.code, 2);
    assert!(status.message.contains("it cannot be done"), "{status:?}");
    assert_eq!(collector.services.lock().expect("not poisoned").iter().collect::<Vec<_>>(), ["muster"]);
}

#[test]
fn a_request_is_a_part_of_the_trace_of_who_asked() {
    let desk = Desk::new();
    desk.file("playbooks/steady/playbook.yaml", STEADY);
    let collector = Collector::start(true);
    let server = serving(&desk, &collector);
    let (trace, parent) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
    let asked = browse(
        &format!("{}/api/v1/runs", server.url),
        "GET",
        "",
        &[("traceparent", &format!("00-{trace}-{parent}-01"))],
    );
    assert_eq!(asked.status, 200, "{}", asked.text);
    let all = collector.until(&server, |span| span.kind == 2);
    let span = all.iter().find(|span| span.kind == 2).expect("the request");
    let hex = |bytes: &[u8]| bytes.iter().map(|byte| format!("{byte:02x}")).collect::<String>();
    assert_eq!((hex(&span.trace_id), hex(&span.parent_span_id)), (trace.to_owned(), parent.to_owned()));
    assert_eq!(span.name, "GET /api/v1/runs");
    assert_eq!(said(span, "http.response.status_code").as_deref(), Some("200"));
}

#[test]
fn an_endpoint_that_is_none_is_told_before_anything_is_served() {
    let desk = Desk::new();
    let mut command = desk.command(&["serve", "--listen", "127.0.0.1:0"]);
    let said = desk.said(command.env("OTEL_EXPORTER_OTLP_ENDPOINT", "not a url"));
    assert!(said.code == 1 && said.stderr.contains("cannot export traces"), "{said:?}");
}
