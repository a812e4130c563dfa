//! Spans on their way to a collector: OTLP over HTTP, with the client that Muster has anyway. Where to is said by the environment, as
//! OpenTelemetry has it: `OTEL_EXPORTER_OTLP_ENDPOINT`, `OTEL_EXPORTER_OTLP_HEADERS` and so on.

use std::borrow::Cow;
use std::fmt;
use std::future::Future;
use std::pin::Pin;
use std::time::{Duration, SystemTime};

use opentelemetry::trace::{Event, SpanContext, SpanId, SpanKind, Status, TraceFlags, TraceId, TraceState};
use opentelemetry::{InstrumentationScope, KeyValue};
use opentelemetry_http::{Bytes, HttpClient, HttpError, Request, Response};
use opentelemetry_otlp::{Protocol, SpanExporter, WithExportConfig as _, WithHttpConfig as _};
use opentelemetry_sdk::Resource;
use opentelemetry_sdk::trace::{SpanData, SpanEvents, SpanExporter as _, SpanLinks};
use sha2::{Digest as _, Sha256};
use tokio::runtime::Handle;

use crate::evidence::trace::{Attribute, ROOT, Span};
use crate::model::{RunId, Timestamp};

/// How long a collector may take to answer.
const WITHIN: Duration = Duration::from_secs(10);

/// Whether the environment asks for traces.
#[must_use]
pub fn is_wanted(var: &dyn Fn(&str) -> Option<String>) -> bool {
    let said = |name: &str| var(name).filter(|text| !text.trim().is_empty());
    let off = said("OTEL_SDK_DISABLED").is_some_and(|text| text.trim().eq_ignore_ascii_case("true"))
        || said("OTEL_TRACES_EXPORTER").is_some_and(|text| text.trim() == "none");
    !off && ["OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "OTEL_EXPORTER_OTLP_ENDPOINT"]
        .into_iter()
        .any(|name| said(name).is_some())
}

/// Sends spans.
pub struct Exporter {
    exporter: SpanExporter,
    runtime: Handle,
}

impl Exporter {
    /// To where the environment says.
    ///
    /// # Errors
    /// Why not, in words.
    pub fn new(runtime: Handle) -> Result<Self, String> {
        let config = ureq::Agent::config_builder().http_status_as_error(false).timeout_global(Some(WITHIN));
        let exporter = SpanExporter::builder().with_http().with_protocol(Protocol::HttpBinary);
        let built = exporter.with_http_client(Client(config.build().into())).build();
        let mut exporter = built.map_err(|error| error.to_string())?;
        let named = std::env::var_os("OTEL_SERVICE_NAME").is_some();
        let mut resource = Resource::builder();
        if !named {
            resource = resource.with_service_name("muster");
        }
        let version = KeyValue::new("service.version", env!("CARGO_PKG_VERSION"));
        exporter.set_resource(&resource.with_attribute(version).build());
        Ok(Self { exporter, runtime })
    }

    /// Sends them; once this returns `Ok`, the collector has said that it has them.
    ///
    /// # Errors
    /// Why that is not known.
    pub fn send(&self, spans: Vec<SpanData>) -> Result<(), String> {
        self.runtime.block_on(self.exporter.export(spans)).map_err(|error| error.to_string())
    }
}

/// The client: it blocks, on the thread that exports and does nothing else.
struct Client(ureq::Agent);

impl fmt::Debug for Client {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ureq")
    }
}

impl HttpClient for Client {
    fn send_bytes<'s, 'f>(
        &'s self,
        request: Request<Bytes>,
    ) -> Pin<Box<dyn Future<Output = Result<Response<Bytes>, HttpError>> + Send + 'f>>
    where
        's: 'f,
        Self: 'f,
    {
        Box::pin(async move {
            let (parts, body) = request.into_parts();
            let (parts, mut body) = self.0.run(Request::from_parts(parts, body.to_vec()))?.into_parts();
            let answer = body.with_config().limit(1 << 20).read_to_vec()?;
            Ok(Response::from_parts(parts, Bytes::from(answer)))
        })
    }
}

fn digest(text: &str) -> [u8; 32] {
    Sha256::digest(text.as_bytes()).into()
}

fn first<const N: usize>(bytes: [u8; 32]) -> [u8; N] {
    let mut begin = [0; N];
    begin.copy_from_slice(&bytes[..N]);
    begin
}

/// The trace of a run: the same, whichever server tells of it.
#[must_use]
pub fn trace_of(run: &RunId) -> TraceId {
    TraceId::from_bytes(first(digest(&format!("muster run {run}"))))
}

fn span_of(run: &RunId, key: &str) -> SpanId {
    SpanId::from_bytes(first(digest(&format!("muster run {run} {key}"))))
}

fn scope() -> InstrumentationScope {
    InstrumentationScope::builder("muster").with_version(env!("CARGO_PKG_VERSION")).build()
}

fn time(at: Timestamp) -> SystemTime {
    SystemTime::from(at)
}

/// A span of a run, as it is sent. Sent twice, it is the same one.
#[must_use]
pub fn of_run(run: &RunId, span: Span) -> SpanData {
    let context =
        SpanContext::new(trace_of(run), span_of(run, &span.key), TraceFlags::SAMPLED, false, TraceState::NONE);
    let parent = if span.key == ROOT { SpanId::INVALID } else { span_of(run, &span.parent) };
    let mut events = SpanEvents::default();
    let word = |(at, word): (Timestamp, String)| Event::new(word, time(at), Vec::new(), 0);
    events.events = span.words.into_iter().map(word).collect();
    events.dropped_count = span.more_words;
    let value = |(name, value): (&'static str, Attribute)| match value {
        Attribute::Text(text) => KeyValue::new(name, text),
        Attribute::Number(number) => KeyValue::new(name, number),
        Attribute::Flag(flag) => KeyValue::new(name, flag),
    };
    SpanData {
        span_context: context,
        parent_span_id: parent,
        parent_span_is_remote: false,
        span_kind: SpanKind::Internal,
        name: Cow::Owned(span.name),
        start_time: time(span.begun),
        end_time: time(span.ended),
        attributes: span.attributes.into_iter().map(value).collect(),
        dropped_attributes_count: 0,
        events,
        links: SpanLinks::default(),
        status: span.error.map_or(Status::Ok, Status::error),
        instrumentation_scope: scope(),
    }
}

/// A request that was answered.
pub struct Answered {
    /// `GET`.
    pub method: String,
    /// The path as the table of endpoints has it.
    pub route: &'static str,
    /// The status of the answer.
    pub status: u16,
    /// When it came.
    pub begun: SystemTime,
    /// How long it took until the answer began.
    pub took: Duration,
    /// What the client said of the trace it is part of.
    pub parent: Option<String>,
}

/// A request, as it is sent; nothing when the system has no random bits for its id.
#[must_use]
pub fn of_request(answered: Answered) -> Option<SpanData> {
    let mut drawn = [0; 24];
    getrandom::fill(&mut drawn).ok()?;
    let (mut trace, mut id) = ([0; 16], [0; 8]);
    trace.copy_from_slice(&drawn[..16]);
    id.copy_from_slice(&drawn[16..]);
    let parent = answered.parent.as_deref().and_then(traceparent);
    let (trace, parent_id) = parent.unwrap_or((TraceId::from_bytes(trace), SpanId::INVALID));
    let failed = answered.status >= 500;
    let Answered { method, route, status, begun, took, .. } = answered;
    Some(SpanData {
        span_context: SpanContext::new(trace, SpanId::from_bytes(id), TraceFlags::SAMPLED, false, TraceState::NONE),
        parent_span_id: parent_id,
        parent_span_is_remote: parent.is_some(),
        span_kind: SpanKind::Server,
        name: Cow::Owned(format!("{method} {route}")),
        start_time: begun,
        end_time: begun.checked_add(took).unwrap_or(begun),
        attributes: vec![
            KeyValue::new("http.request.method", method),
            KeyValue::new("http.route", route),
            KeyValue::new("http.response.status_code", i64::from(status)),
        ],
        dropped_attributes_count: 0,
        events: SpanEvents::default(),
        links: SpanLinks::default(),
        status: if failed { Status::error(status.to_string()) } else { Status::Unset },
        instrumentation_scope: scope(),
    })
}

/// The trace and the span that a client names: `00-<32 hex>-<16 hex>-<2 hex>`.
fn traceparent(text: &str) -> Option<(TraceId, SpanId)> {
    let parts: Vec<&str> = text.trim().split('-').collect();
    let [version, trace, span, flags, ..] = parts.as_slice() else { return None };
    let is_hex = |text: &str, length| text.len() == length && text.bytes().all(|b| b.is_ascii_hexdigit());
    if !is_hex(version, 2) || *version == "ff" || !is_hex(trace, 32) || !is_hex(span, 16) || !is_hex(flags, 2) {
        return None;
    }
    let (trace, span) = (TraceId::from_hex(trace).ok()?, SpanId::from_hex(span).ok()?);
    (trace != TraceId::INVALID && span != SpanId::INVALID).then_some((trace, span))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn traces_are_sent_only_when_it_is_said_where_to() {
        let wanted = |vars: &[(&str, &str)]| {
            is_wanted(&|name| vars.iter().find(|(known, _)| *known == name).map(|(_, value)| (*value).to_owned()))
        };
        let there = ("OTEL_EXPORTER_OTLP_ENDPOINT", "http://127.0.0.1:4318");
        assert!(wanted(&[there]));
        assert!(wanted(&[("OTEL_EXPORTER_OTLP_TRACES_ENDPOINT", "http://127.0.0.1:4318/v1/traces")]));
        assert!(!wanted(&[]));
        assert!(!wanted(&[("OTEL_EXPORTER_OTLP_ENDPOINT", " ")]));
        assert!(!wanted(&[there, ("OTEL_SDK_DISABLED", "true")]));
        assert!(!wanted(&[there, ("OTEL_TRACES_EXPORTER", "none")]));
    }

    #[test]
    fn what_a_client_says_of_its_trace_is_taken_only_if_it_is_one() {
        let (trace, span) = ("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331");
        let found = traceparent(&format!("00-{trace}-{span}-01")).expect("a trace");
        assert_eq!((found.0.to_string(), found.1.to_string()), (trace.to_owned(), span.to_owned()));
        for text in [
            "",
            "00",
            &format!("ff-{trace}-{span}-01"),
            &format!("00-{}-{span}-01", "0".repeat(32)),
            &format!("00-{trace}-{}-01", "0".repeat(16)),
            &format!("00-{trace}é-{span}-01"),
            &format!("00-+{}-{span}-01", &trace[1..]),
        ] {
            assert_eq!(traceparent(text), None, "{text}");
        }
    }
}
