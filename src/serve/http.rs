//! The wire: connections with their limits, and the way of a request to its endpoint.

use std::cell::Cell;
use std::net::SocketAddr;
use std::panic::AssertUnwindSafe;
use std::sync::Arc;
use std::time::{Duration, Instant, SystemTime};

use axum::Router;
use axum::body::{Body, Bytes};
use axum::extract::rejection::RawPathParamsRejection;
use axum::extract::{RawPathParams, Request};
use axum::http::request::Parts;
use axum::http::{HeaderValue, Method, header};
use axum::response::{IntoResponse as _, Response};
use axum::routing::{MethodFilter, on};
use futures_util::StreamExt as _;
use hyper::body::Incoming;
use hyper::service::{Service as _, service_fn};
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::graceful::GracefulShutdown;
use hyper_util::service::TowerToHyperService;
use tokio::net::TcpListener;
use tokio::sync::Semaphore;

use super::call::Call;
use super::endpoint::{Endpoint, Face, Handler, Needs};
use super::otlp::Answered;
use super::pages::form;
use super::problem::{Kind, Problem};
use super::server::{Phase, Server, over};
use crate::access::audit::Deed;
use crate::access::{Identity, Subject, decide};
use crate::journal::Store as _;
use crate::model::RunId;

/// Connections at the same time; more wait to be accepted.
const MOST_CONNECTIONS: usize = 2048;
/// How long a client may take to send the headers of a request: also what an idle connection is kept.
const HEADERS_WITHIN: Duration = Duration::from_secs(20);
/// How long a client may take to send a body.
const BODY_WITHIN: Duration = Duration::from_secs(20);
/// How long an endpoint may take to answer, unless it tells something as it happens.
const ANSWER_WITHIN: Duration = Duration::from_secs(150);
/// Bytes of a body.
const LARGEST_BODY: usize = 1 << 20;
/// Bytes of the request line and the headers.
const LARGEST_HEAD: usize = 64 << 10;
/// How long open connections may go on after the server has been told to end.
const LAST_WORDS: Duration = Duration::from_secs(5);

/// The router: one route an endpoint.
pub fn router(server: &Arc<Server>) -> Router {
    let mut router = Router::new();
    for endpoint in &server.endpoints {
        let (server, endpoint) = (Arc::clone(server), Arc::clone(endpoint));
        let (path, method) = (endpoint.path, filter(&endpoint.method));
        let serve = move |params: Result<RawPathParams, RawPathParamsRejection>, request: Request| {
            answer(Arc::clone(&server), Arc::clone(&endpoint), params, request)
        };
        router = router.route(path, on(method, serve));
    }
    let other = Arc::clone(server);
    router
        .fallback(move |request: Request| {
            let server = Arc::clone(&other);
            async move {
                let (parts, _) = request.into_parts();
                let problem = match own_host(&server, &parts) {
                    Ok(()) => Problem::new(Kind::NotFound, format!("there is nothing at {}", shown(parts.uri.path()))),
                    Err(problem) => problem,
                };
                finish(problem.into_response())
            }
        })
        .method_not_allowed_fallback(|request: Request| async move {
            let what = format!("{} is not done at {}", request.method(), shown(request.uri().path()));
            finish(Problem::new(Kind::Method, what).into_response())
        })
}

fn filter(method: &Method) -> MethodFilter {
    // The table has no others; a test holds it to that.
    MethodFilter::try_from(method.clone()).unwrap_or(MethodFilter::GET)
}

fn shown(text: &str) -> String {
    text.chars().take(120).collect()
}

/// Serves until the server drains and its last requests are answered.
pub async fn serve(server: Arc<Server>, listener: TcpListener) {
    let router = router(&server);
    let room = Arc::new(Semaphore::new(MOST_CONNECTIONS));
    let graceful = GracefulShutdown::new();
    let mut phase = server.phase.subscribe();
    loop {
        let Ok(seat) = Arc::clone(&room).acquire_owned().await else { break };
        let accepted = tokio::select! {
            accepted = listener.accept() => accepted,
            () = over(&mut phase) => break,
        };
        let (stream, peer) = match accepted {
            Ok(accepted) => accepted,
            Err(error) => {
                // No file descriptors are left, say: it passes.
                tracing::warn!(%error, "a connection could not be accepted");
                tokio::time::sleep(Duration::from_millis(100)).await;
                continue;
            }
        };
        let _ = stream.set_nodelay(true);
        let router = TowerToHyperService::new(router.clone());
        let service = service_fn(move |mut request: hyper::Request<Incoming>| {
            request.extensions_mut().insert(Peer(peer));
            router.call(request)
        });
        let connection = hyper::server::conn::http1::Builder::new()
            .timer(TokioTimer::new())
            .header_read_timeout(HEADERS_WITHIN)
            .max_buf_size(LARGEST_HEAD)
            .serve_connection(TokioIo::new(stream), service);
        let connection = graceful.watch(connection);
        tokio::spawn(async move {
            // What a client does wrong on the wire is answered there, or ends its connection.
            let _ = connection.await;
            drop(seat);
        });
    }
    drop(listener);
    let _ = tokio::time::timeout(LAST_WORDS, graceful.shutdown()).await;
}

/// From where a connection came.
#[derive(Clone, Copy, Debug)]
struct Peer(SocketAddr);

async fn answer(
    server: Arc<Server>,
    endpoint: Arc<Endpoint>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
) -> Response {
    let (begun, came) = (Instant::now(), SystemTime::now());
    let parent = request.headers().get("traceparent").and_then(|parent| parent.to_str().ok()).map(str::to_owned);
    let peer = request.extensions().get::<Peer>().copied();
    let (method, path) = (request.method().clone(), shown(request.uri().path()));
    let whole = request.uri().path_and_query().map(ToString::to_string).unwrap_or_default();
    let response = match go_through(&server, &endpoint, params, request, peer).await {
        Ok(response) => response,
        Err(problem) => {
            if problem.status().is_server_error() {
                tracing::error!(%method, path, status = problem.status().as_u16(), detail = problem.detail, "failed");
            }
            match endpoint.face {
                Face::Api => problem.into_response(),
                Face::Page => form::sorry(&whole, method == Method::GET, &problem),
            }
        }
    };
    let took = begun.elapsed();
    // Probes of supervisors would drown the others.
    if let Some(requests) = server.requests.as_ref().filter(|_| endpoint.needs != Needs::Nobody) {
        let (method, route, status) = (method.to_string(), endpoint.path, response.status().as_u16());
        requests.answered(Answered { method, route, status, begun: came, took, parent });
    }
    server.metrics.answered(endpoint.name, response.status().as_u16(), took);
    tracing::debug!(%method, path, status = response.status().as_u16(), ms = took.as_secs_f64() * 1e3, "answered");
    finish(response)
}

/// What every answer has.
fn finish(mut response: Response) -> Response {
    let headers = response.headers_mut();
    headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
    headers.insert(header::X_FRAME_OPTIONS, HeaderValue::from_static("DENY"));
    headers.insert(header::REFERRER_POLICY, HeaderValue::from_static("same-origin"));
    response
}

async fn go_through(
    server: &Arc<Server>,
    endpoint: &Arc<Endpoint>,
    params: Result<RawPathParams, RawPathParamsRejection>,
    request: Request,
    peer: Option<Peer>,
) -> Result<Response, Problem> {
    let (parts, body) = request.into_parts();
    own_host(server, &parts)?;
    let params = params.map_err(|_| Problem::new(Kind::NotFound, "the path is no text"))?;
    let path = params.iter().map(|(name, value)| (name.to_owned(), value.to_owned())).collect();
    if endpoint.face == Face::Page && endpoint.method != Method::GET {
        own_page(server, &parts)?;
    }
    let body = if endpoint.body.is_some() { read(&parts, body, endpoint.face).await? } else { Bytes::new() };
    let from = peer.map_or_else(|| std::net::Ipv4Addr::UNSPECIFIED.into(), |Peer(at)| at.ip());
    let call = Call {
        server: Arc::clone(server),
        who: Identity::system("nobody"),
        from,
        path,
        uri: parts.uri,
        headers: parts.headers,
        body,
        run: None,
        session: None,
        asked: Cell::new(false),
    };
    let seat = Arc::clone(&server.seats).acquire_owned().await;
    let seat = seat.map_err(|_| Problem::new(Kind::Unavailable, "the server ends"))?;
    let of = Arc::clone(endpoint);
    let working = tokio::task::spawn_blocking(move || {
        let _seat = seat;
        let mut call = call;
        std::panic::catch_unwind(AssertUnwindSafe(move || {
            admit(&mut call, &of)?;
            match &of.handler {
                Handler::Once(does) => {
                    let response = does(&call)?;
                    if matches!(of.needs, Needs::Asked(_)) && !call.asked.get() {
                        let what = format!("{} did not ask whether it may", of.name);
                        return Err(Problem::new(Kind::Internal, what));
                    }
                    Ok(Step::Answered(response))
                }
                Handler::Stream(_) => Ok(Step::Admitted(Box::new(call))),
            }
        }))
        .unwrap_or_else(|_| Err(Problem::new(Kind::Internal, "a request was not carried out to its end")))
    });
    let step = tokio::time::timeout(ANSWER_WITHIN, working)
        .await
        .map_err(|_| Problem::new(Kind::Overtime, format!("no answer within {} s", ANSWER_WITHIN.as_secs())))?
        .map_err(|_| Problem::new(Kind::Internal, "a request was not carried out to its end"))??;
    match (step, &endpoint.handler) {
        (Step::Answered(response), _) => Ok(response),
        (Step::Admitted(call), Handler::Stream(streams)) => streams(*call).await,
        (Step::Admitted(_), Handler::Once(_)) => Err(Problem::new(Kind::Internal, "an endpoint is two things")),
    }
}

/// How far a request has come on its thread.
enum Step {
    Answered(Response),
    Admitted(Box<Call>),
}

/// Lets a request through to its handler, or not.
fn admit(call: &mut Call, endpoint: &Endpoint) -> Result<(), Problem> {
    if endpoint.needs == Needs::Nobody {
        return Ok(());
    }
    let server = Arc::clone(&call.server);
    let by_session = endpoint.face == Face::Page || endpoint.method == Method::GET;
    (call.who, call.session) = server.identify(&call.headers, call.from, by_session)?;
    if endpoint.path_params().any(|name| name == "run") {
        let text = call.named("run");
        let run: RunId = text.parse().map_err(|_| Problem::no_such("run", text))?;
        let head = server.app.store.head(&run)?;
        // Who may not see a run is not told that it is there.
        if !call.who.sees(&head.playbook) {
            return Err(Problem::no_such("run", text));
        }
        call.run = Some(head);
    }
    if endpoint.method != Method::GET && server.phase() != Phase::Leading {
        let what = match server.phase() {
            Phase::Standby => "this server stands by: another one serves",
            _ => "this server is about to end",
        };
        return Err(Problem::new(Kind::Unavailable, what)
            .hint("ask again in a moment")
            .with_header(header::RETRY_AFTER, HeaderValue::from_static("2")));
    }
    let subject = match (&call.run, call.named("playbook")) {
        (Some(head), _) => Subject::Run { playbook: &head.playbook, started_by: "" },
        (None, "") => Subject::List,
        (None, playbook) => Subject::Playbook(playbook),
    };
    let on = format!("{} {}", endpoint.method, shown(call.uri.path()));
    match endpoint.needs {
        Needs::To(act) => server.desk.permit(&call.who, act, &subject, Deed::done(act.name(), on), call.now())?,
        Needs::Asked(act) if decide(&call.who, act, &subject).is_err() => {
            // Denied whatever it is about: that is written down too.
            server.desk.permit(&call.who, act, &subject, Deed::done(act.name(), on), call.now())?;
        }
        Needs::Asked(_) | Needs::Nobody => {}
    }
    Ok(())
}

/// Whether the request was meant for this server: a name that somebody else pointed here is not its own.
fn own_host(server: &Server, parts: &Parts) -> Result<(), Problem> {
    let said = parts.headers.get(header::HOST).and_then(|host| host.to_str().ok());
    let host = parts.uri.authority().map(axum::http::uri::Authority::as_str).or(said);
    if host.is_some_and(|host| server.sites.is_ours(host)) {
        return Ok(());
    }
    Err(Problem::new(Kind::Misdirected, format!("this server is not `{}`", shown(host.unwrap_or_default())))
        .hint("start it with --public-url if this is a name of its own"))
}

/// Whether a form was sent by a page of this server.
fn own_page(server: &Server, parts: &Parts) -> Result<(), Problem> {
    let of = |name: &str| parts.headers.get(name).and_then(|value| value.to_str().ok());
    let host = parts.uri.authority().map(axum::http::uri::Authority::as_str).or(of("host")).unwrap_or_default();
    if server.sites.is_own_page(host, of("origin"), of("sec-fetch-site")) {
        return Ok(());
    }
    Err(Problem::new(Kind::Forbidden, "this form was not sent by a page of this server"))
}

async fn read(parts: &Parts, body: Body, face: Face) -> Result<Bytes, Problem> {
    // Also where there is no body: a form of another site cannot send this type without asking first.
    let kind = parts.headers.get(header::CONTENT_TYPE).and_then(|kind| kind.to_str().ok()).unwrap_or_default();
    let wanted = match face {
        Face::Api => "application/json",
        Face::Page => "application/x-www-form-urlencoded",
    };
    let is_wanted = kind.split(';').next().is_some_and(|kind| kind.trim().eq_ignore_ascii_case(wanted));
    if !is_wanted && face == Face::Page {
        return Err(Problem::new(Kind::MediaType, "this is no form"));
    }
    if !is_wanted {
        return Err(Problem::new(Kind::MediaType, "a request that changes something is of JSON")
            .hint("send `Content-Type: application/json`"));
    }
    let too_large = || Problem::new(Kind::TooLarge, format!("a body has at most {} KiB", LARGEST_BODY >> 10));
    let announced = parts.headers.get(header::CONTENT_LENGTH).and_then(|length| length.to_str().ok()?.parse().ok());
    if announced.is_some_and(|length: usize| length > LARGEST_BODY) {
        return Err(too_large());
    }
    let reading = async {
        let (mut pieces, mut bytes) = (body.into_data_stream(), Vec::new());
        while let Some(piece) = pieces.next().await {
            let piece = piece.map_err(|_| Problem::new(Kind::Request, "the body broke off"))?;
            if bytes.len() + piece.len() > LARGEST_BODY {
                return Err(too_large());
            }
            bytes.extend_from_slice(&piece);
        }
        Ok(Bytes::from(bytes))
    };
    let late = || Problem::new(Kind::Slow, format!("the body did not come within {} s", BODY_WITHIN.as_secs()));
    tokio::time::timeout(BODY_WITHIN, reading).await.unwrap_or_else(|_| Err(late()))
}
