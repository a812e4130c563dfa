//! Family `http`: probes of health endpoints, and webhooks. No redirect leads to another host.

use std::collections::BTreeMap;
use std::time::{Duration, Instant};

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use ureq::http::{Response, StatusCode, Uri, header};
use ureq::{Agent, Body, Error, Timeout};

use super::args::{Confidential, Period, reveal_all};
use super::context::{ReadContext, WriteContext};
use super::spec::{
    self, Effect, Found, OpEntry, Operation, Poll, Predicted, Read, Repeat, Send, Undo, Wait, Write, unknown,
};
use crate::model::Value;
use crate::model::fault::{ErrorClass, OpError};

/// How large an answer may be.
const BODY_LIMIT: u64 = 64 << 10;
/// How long an exchange may take that does not say.
const USUAL_TIMEOUT: Duration = Duration::from_secs(30);
/// How long one look of a wait may take.
const LOOK_TIMEOUT: Duration = Duration::from_secs(10);
const MOST_REDIRECTS: usize = 5;

/// The entries of the family.
#[must_use]
pub fn entries() -> Vec<OpEntry> {
    vec![spec::read::<Get>(), spec::wait::<WaitOk>(), spec::write::<Post>()]
}

fn parse(url: &str) -> Result<Uri, OpError> {
    let wrong = |why: &str| OpError::refused(format!("cannot use the URL: {why}"));
    let uri: Uri = url.parse().map_err(|_| wrong("it is not well-formed"))?;
    match uri.scheme_str() {
        Some("http" | "https") if uri.host().is_some_and(|host| !host.is_empty()) => {}
        _ => return Err(wrong("it has to begin with http:// or https:// and a host")),
    }
    if uri.authority().is_some_and(|authority| authority.as_str().contains('@')) {
        return Err(wrong("it has credentials in it").with_hint("put them into a header, as a secret"));
    }
    Ok(uri)
}

/// The URL without its query, which may hold tokens.
fn shown(uri: &Uri) -> String {
    format!("{}://{}{}", uri.scheme_str().unwrap_or(""), uri.authority().map_or("", |a| a.as_str()), uri.path())
}

fn resource_of(url: &str) -> String {
    url.parse::<Uri>().ok().and_then(|uri| Some(format!("http/{}", uri.authority()?))).unwrap_or_else(|| "http".into())
}

/// The time that is left for an exchange.
fn time_left(context: &ReadContext<'_>, timeout: Duration) -> Result<Duration, OpError> {
    let left = context
        .deadline
        .map(|deadline| Duration::try_from(deadline.duration_since(context.clock.now())).unwrap_or(Duration::ZERO));
    match left {
        Some(left) if left.is_zero() => Err(OpError::transient("no request was sent: its time was over before")),
        left => Ok(timeout.min(left.unwrap_or(timeout))),
    }
}

fn agent(timeout: Duration) -> Agent {
    Agent::config_builder()
        .timeout_global(Some(timeout))
        .http_status_as_error(false)
        .max_redirects(0)
        .max_redirects_will_error(false)
        .user_agent(concat!("muster/", env!("CARGO_PKG_VERSION")))
        .build()
        .new_agent()
}

/// Whether a request that ended so never reached the server.
fn never_sent(error: &Error) -> bool {
    match error {
        Error::HostNotFound | Error::ConnectionFailed | Error::Tls(_) | Error::Rustls(_) => true,
        Error::Timeout(at) => matches!(at, Timeout::Resolve | Timeout::Connect),
        Error::Io(e) => e.kind() == std::io::ErrorKind::ConnectionRefused,
        _ => false,
    }
}

/// The error of a request; `in_doubt` is the class when the server may have got it.
fn failed(act: &str, uri: &Uri, error: &Error, in_doubt: ErrorClass) -> OpError {
    let class = if never_sent(error) { ErrorClass::Transient } else { in_doubt };
    let what = match error {
        Error::Io(e) => e.to_string(),
        Error::Timeout(_) => "it did not answer in time".to_owned(),
        // Its text would quote the URL.
        Error::BadUri(_) => "the URL is not well-formed".to_owned(),
        other => other.to_string(),
    };
    let error = OpError::new(class, format!("cannot {act} {}: {what}", shown(uri)));
    if what.to_ascii_lowercase().contains("certificate") {
        return error.with_hint("its certificate has to come from a publicly trusted authority");
    }
    error
}

/// The text of an answer, whole.
fn body_of(response: &mut Response<Body>, uri: &Uri) -> Result<String, OpError> {
    let answered = format!("{} answered with status {}", shown(uri), response.status().as_u16());
    let bytes = response.body_mut().with_config().limit(BODY_LIMIT + 1).read_to_vec();
    match bytes {
        Ok(bytes) if bytes.len() as u64 <= BODY_LIMIT => String::from_utf8(bytes)
            .map_err(|_| OpError::failed(format!("{answered} and something that is not UTF-8 text"))),
        Ok(_) | Err(Error::BodyExceedsLimit(_)) => {
            Err(OpError::failed(format!("{answered} and more than 64 KiB of text"))
                .with_hint("ask for less, or fetch it to a file with `exec.run`"))
        }
        Err(e) => Err(OpError::transient(format!("{answered}, but the answer broke off: {e}"))),
    }
}

/// Gets a URL, following redirects within its host.
fn get(uri: &Uri, headers: &BTreeMap<String, String>, timeout: Duration) -> Result<Response<Body>, OpError> {
    let agent = agent(timeout);
    let until = Instant::now() + timeout;
    let mut at = uri.clone();
    for _ in 0..=MOST_REDIRECTS {
        let left = until.saturating_duration_since(Instant::now()).max(Duration::from_millis(1));
        let mut request = agent.get(at.clone()).config().timeout_global(Some(left)).build();
        for (name, value) in headers {
            request = request.header(name, value);
        }
        let response = request.call().map_err(|e| failed("get", &at, &e, ErrorClass::Transient))?;
        let location = response.headers().get(header::LOCATION).and_then(|location| location.to_str().ok());
        match location {
            Some(location) if response.status().is_redirection() => at = redirected(&at, location)?,
            _ => return Ok(response),
        }
    }
    Err(OpError::failed(format!("cannot get {}: it redirects more than {MOST_REDIRECTS} times", shown(uri))))
}

/// Where a redirect leads: the same host and port, or the same host by HTTPS.
fn redirected(from: &Uri, location: &str) -> Result<Uri, OpError> {
    let scheme = from.scheme_str().unwrap_or("http");
    let authority = from.authority().map_or("", |authority| authority.as_str());
    let text = if location.contains("://") {
        location.to_owned()
    } else if location.starts_with("//") {
        format!("{scheme}:{location}")
    } else if location.starts_with('/') {
        format!("{scheme}://{authority}{location}")
    } else {
        let folder = from.path().rsplit_once('/').map_or("", |(folder, _)| folder);
        format!("{scheme}://{authority}{folder}/{location}")
    };
    let to = parse(text.split('#').next().unwrap_or(""))?;
    let same = to.authority() == from.authority() && to.scheme() == from.scheme();
    let upgraded = scheme == "http" && to.scheme_str() == Some("https") && to.host() == from.host();
    if same || upgraded {
        return Ok(to);
    }
    Err(OpError::failed(format!("cannot get {}: it redirects to {}", shown(from), shown(&to)))
        .with_hint("redirects to other hosts are not followed; name that URL, if it is what is meant"))
}

fn millis_since(start: Instant) -> u64 {
    u64::try_from(start.elapsed().as_millis()).unwrap_or(u64::MAX)
}

/// `http.get`.
pub struct Get;

/// What to get.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetArgs {
    /// The URL, `http://` or `https://`.
    pub url: String,
    /// Headers to send. Values may be secrets.
    #[serde(default)]
    pub headers: BTreeMap<String, Confidential>,
    /// How long it may take; 30 s when absent.
    pub timeout: Option<Period>,
    /// Whether a status of 400 or more is an answer rather than an error.
    #[serde(default)]
    pub any_status: bool,
}

/// An answer.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct GetOutput {
    /// The HTTP status.
    pub status: u16,
    /// The whole body, at most 64 KiB.
    pub body: String,
    /// Milliseconds until the answer was read.
    pub millis: u64,
}

impl Operation for Get {
    const NAME: &'static str = "http.get";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "gets a URL";
    const PERMISSION: &'static str = "reach the host";
    const TYPICAL: Duration = Duration::from_millis(200);
    type Args = GetArgs;
    type Output = GetOutput;

    fn resource(args: &GetArgs) -> String {
        resource_of(&args.url)
    }
}

impl Read for Get {
    fn read(context: &ReadContext<'_>, args: GetArgs) -> Result<GetOutput, OpError> {
        let uri = parse(&args.url)?;
        let headers = reveal_all(&args.headers, context.secrets)?;
        let started = Instant::now();
        let timeout = time_left(context, args.timeout.map_or(USUAL_TIMEOUT, |timeout| timeout.0))?;
        let mut response = get(&uri, &headers, timeout)?;
        let status = response.status();
        if !args.any_status && (status.is_client_error() || status.is_server_error()) {
            return Err(bad_status("get", &uri, &mut response));
        }
        let body = body_of(&mut response, &uri)?;
        Ok(GetOutput { status: status.as_u16(), body, millis: millis_since(started) })
    }
}

/// The error for a status of 400 or more, with the beginning of what the server says.
fn bad_status(act: &str, uri: &Uri, response: &mut Response<Body>) -> OpError {
    let status = response.status();
    let class = match status {
        StatusCode::UNAUTHORIZED | StatusCode::FORBIDDEN => ErrorClass::Credentials,
        StatusCode::TOO_MANY_REQUESTS | StatusCode::SERVICE_UNAVAILABLE => ErrorClass::Transient,
        _ => ErrorClass::Failed,
    };
    let detail: String = body_of(response, uri).unwrap_or_default().chars().take(500).collect();
    OpError::new(class, format!("cannot {act} {}: it answered with status {status}", shown(uri))).with_detail(detail)
}

/// `http.wait_ok`.
pub struct WaitOk;

/// What to wait for.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitOkArgs {
    /// The URL, `http://` or `https://`.
    pub url: String,
    /// The status to wait for.
    #[serde(default = "ok")]
    #[schemars(range(min = 100, max = 599))]
    pub status: u16,
    /// A text that the body has to hold.
    pub contains: Option<String>,
}

fn ok() -> u16 {
    200
}

/// The answer that was waited for.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct WaitOkOutput {
    /// The HTTP status.
    pub status: u16,
    /// Milliseconds that the last request took.
    pub millis: u64,
}

impl Operation for WaitOk {
    const NAME: &'static str = "http.wait_ok";
    const EFFECT: Effect = Effect::Wait;
    const DOC: &'static str = "waits until a URL answers with a status, and with a text";
    const PERMISSION: &'static str = "reach the host";
    const TYPICAL: Duration = Duration::from_secs(10);
    type Args = WaitOkArgs;
    type Output = WaitOkOutput;

    fn resource(args: &WaitOkArgs) -> String {
        resource_of(&args.url)
    }
}

impl Wait for WaitOk {
    fn poll(context: &ReadContext<'_>, args: WaitOkArgs) -> Result<Poll<WaitOkOutput>, OpError> {
        let uri = parse(&args.url)?;
        let again = Duration::from_secs(1);
        let started = Instant::now();
        let pending = |what: String| Ok(Poll::Pending(Some(what), again));
        let mut response = match get(&uri, &BTreeMap::new(), time_left(context, LOOK_TIMEOUT)?) {
            Ok(response) => response,
            Err(error) if error.class == ErrorClass::Transient => return pending(error.message),
            Err(error) => return Err(error),
        };
        let status = response.status().as_u16();
        if status != args.status {
            return pending(format!("it answers with status {status}"));
        }
        if let Some(wanted) = &args.contains {
            match body_of(&mut response, &uri) {
                Ok(body) if body.contains(wanted) => {}
                Ok(_) => return pending("it answers without the text".to_owned()),
                Err(error) if error.class == ErrorClass::Transient => return pending(error.message),
                Err(error) => return Err(error),
            }
        }
        Ok(Poll::Ready(WaitOkOutput { status, millis: millis_since(started) }))
    }
}

/// `http.post`.
pub struct Post;

/// What to post.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PostArgs {
    /// The URL, `http://` or `https://`. Redirects are not followed.
    pub url: String,
    /// What to send: a text as it is, anything else as JSON. May have secrets in it.
    #[serde(default)]
    pub body: Value,
    /// Headers to send. Values may be secrets.
    #[serde(default)]
    pub headers: BTreeMap<String, Confidential>,
    /// How long it may take; 30 s when absent.
    pub timeout: Option<Period>,
}

/// The answer.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct PostOutput {
    /// The HTTP status.
    pub status: u16,
    /// The whole body, at most 64 KiB.
    pub body: String,
}

impl Operation for Post {
    const NAME: &'static str = "http.post";
    const EFFECT: Effect = Effect::Exec;
    const DOC: &'static str = "posts to a URL, at most once";
    const PERMISSION: &'static str = "reach the host";
    const TYPICAL: Duration = Duration::from_millis(500);
    type Args = PostArgs;
    type Output = PostOutput;

    fn resource(args: &PostArgs) -> String {
        resource_of(&args.url)
    }
}

impl Write for Post {
    const REPEAT: Repeat = Repeat::Never;
    const PROBE_DOC: &'static str = "none: only the server could tell whether it got the request";
    const UNDO_DOC: &'static str = "none: nobody knows what the server did; give the step a `rollback:`";

    fn before(_: &ReadContext<'_>, args: &PostArgs) -> Result<Value, OpError> {
        parse(&args.url)?;
        Ok(json!({}))
    }

    fn send(context: &WriteContext<'_>, args: PostArgs) -> Result<Send<PostOutput>, OpError> {
        let uri = parse(&args.url)?;
        let headers = reveal_all(&args.headers, context.read.secrets)?;
        let body = context.read.secrets.resolve_in(&args.body)?;
        let timeout = time_left(&context.read, args.timeout.map_or(USUAL_TIMEOUT, |timeout| timeout.0))?;
        let (text, kind) = match body {
            Value::Null => (String::new(), None),
            Value::String(text) => (text, Some("text/plain; charset=utf-8")),
            value => (value.to_string(), Some("application/json")),
        };
        let mut request = agent(timeout).post(uri.clone());
        if let Some(kind) = kind
            && !headers.keys().any(|name| name.eq_ignore_ascii_case("content-type"))
        {
            request = request.header(header::CONTENT_TYPE, kind);
        }
        for (name, value) in &headers {
            request = request.header(name, value);
        }
        let mut response =
            request.send(text.as_bytes()).map_err(|e| failed("post to", &uri, &e, ErrorClass::Unknown))?;
        let status = response.status();
        if !status.is_success() {
            // The server has got it, so that no class may say that nothing was done.
            let error = bad_status("post to", &uri, &mut response);
            return Err(OpError { class: ErrorClass::Failed, ..error });
        }
        let body = body_of(&mut response, &uri).map_err(|error| OpError { class: ErrorClass::Failed, ..error })?;
        Ok(Send::Done(PostOutput { status: status.as_u16(), body }))
    }

    fn probe(_: &ReadContext<'_>, args: &PostArgs) -> Result<Found<PostOutput>, OpError> {
        let uri = parse(&args.url)?;
        Ok(Found::CannotTell(format!("only the server at {} could tell whether it got the request", shown(&uri))))
    }

    fn undo(_: &PostArgs, _: &Value, _: &str) -> Undo {
        Undo::Impossible("nobody knows what the server did; give the step a `rollback:`")
    }

    fn fingerprint(_: &ReadContext<'_>, _: &PostArgs, _: &PostOutput) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn predict(_: &PostArgs, _: &Value, _: &str) -> Predicted {
        let why = "only the server's answer tells";
        Predicted::Result(json!({ "status": unknown(why), "body": unknown(why) }))
    }

    fn release(_: &WriteContext<'_>, _: &PostArgs) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_redirect_stays_on_its_host() {
        let from = parse("http://a.example:8080/x/y?token=1").unwrap();
        let to = |location: &str| redirected(&from, location).map(|uri| uri.to_string());
        assert_eq!(to("/z?q=1#f").unwrap(), "http://a.example:8080/z?q=1");
        assert_eq!(to("z").unwrap(), "http://a.example:8080/x/z");
        assert_eq!(to("https://a.example/z").unwrap(), "https://a.example/z");
        for away in [
            "http://b.example/",
            "//b.example/z",
            "http://a.example:9090/",
            "ftp://a.example/",
            "http://u@a.example:8080/",
        ] {
            let error = to(away).unwrap_err();
            assert!(!error.message.contains("token"), "{error}");
        }
    }

    #[test]
    fn a_url_without_a_host_or_with_credentials_is_refused() {
        for wrong in ["", "x", "/path", "file:///etc/passwd", "http://", "http://user:pw@host/"] {
            assert_eq!(parse(wrong).unwrap_err().class, ErrorClass::Refused, "{wrong}");
        }
    }
}
