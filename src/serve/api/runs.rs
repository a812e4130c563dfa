//! Runs: the list, one, its records, what happens in it, and beginning one.

use std::collections::BTreeMap;
use std::convert::Infallible;
use std::time::Duration;

use axum::body::{Body, Bytes};
use axum::http::{HeaderValue, StatusCode, header};
use axum::response::Response;
use futures_util::stream;
use schemars::{JsonSchema, SchemaGenerator};
use serde::{Deserialize, Serialize};
use sha2::{Digest as _, Sha256};

use crate::access::audit::Deed;
use crate::access::{Act, Subject};
use crate::app::{DrillOrder, Identity};
use crate::journal::document::Write;
use crate::journal::{Head, Selection, StoreError};
use crate::model::span::{Span, Spanned};
use crate::model::status::RunStatus;
use crate::model::{RunId, Timestamp, Value};
use crate::playbook::params::Given;
use crate::serve::call::{Call, limit};
use crate::serve::endpoint::{Answer, Json, Made, Nothing, SchemaOf, answer};
use crate::serve::feed::{News, Viewer};
use crate::serve::problem::{Kind, Problem};
use crate::serve::server::{Phase, over};
use crate::serve::visible::visible;

/// Runs on a page, unless fewer are asked for.
const PAGE: usize = 50;
/// Records on a page at most.
const RECORDS: usize = 1000;
/// How often a stream says that it is still there.
const STILL_THERE: Duration = Duration::from_secs(15);
/// What was asked for under a key, so that asking again does not begin another run.
const IDEMPOTENCY: &str = "idempotency";

/// A run as the list shows it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Run {
    /// Its id.
    pub id: String,
    /// Its playbook.
    pub playbook: String,
    /// The version of the playbook.
    pub version: String,
    /// The digest of the bundle that it is pinned to.
    pub bundle: String,
    /// Where it stands: `running`, `waiting`, `paused`, `rolling_back`, `succeeded`, `succeeded_with_exceptions`, `rolled_back`,
    /// `failed`, `cancelled` or `killed`.
    pub status: String,
    /// What it waits for, or why it is paused.
    pub detail: String,
    /// When it began, in RFC 3339.
    pub started: String,
    /// When its last record was written.
    pub updated: String,
    /// How many records it has; of a run at work in a list, those of a second ago.
    pub records: u64,
    /// Whether it has ended.
    pub ended: bool,
    /// Who carries it on, if anybody does. A run that has not ended and that nobody carries on is parked.
    pub holder: Option<String>,
}

/// Which runs.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// Only those of this playbook.
    pub playbook: Option<String>,
    /// Only those that stand so; several with commas between.
    pub status: Option<String>,
    /// Where the page before ended: its `next`.
    pub after: Option<String>,
    /// At most so many, up to 500.
    #[schemars(range(min = 1, max = 500))]
    pub limit: Option<usize>,
}

/// A page of runs, newest first.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, JsonSchema)]
pub struct Page {
    /// The runs.
    pub runs: Vec<Run>,
    /// What `after` of the next page is; absent when this is the last one.
    pub next: Option<String>,
}

/// A run to begin.
#[derive(Clone, Debug, Default, PartialEq, Deserialize, Serialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Begin {
    /// The name of a playbook that the server knows.
    pub playbook: String,
    /// Its parameters.
    #[serde(default)]
    pub params: BTreeMap<String, Value>,
}

/// Which records.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Part {
    /// The number of the first record wanted; they count from 0.
    pub from: Option<u64>,
    /// At most so many, up to 1000.
    #[schemars(range(min = 1, max = 1000))]
    pub limit: Option<usize>,
}

/// From which record on.
#[derive(Clone, Debug, Default, PartialEq, Eq, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Since {
    /// The number of the first record wanted; they count from 0.
    pub from: Option<u64>,
}

/// Records of a run.
#[derive(Debug, JsonSchema)]
pub struct Records {
    /// The records, each as it stands in the run's hash chain. Large results are named by their digest.
    #[schemars(with = "Vec<Value>")]
    pub records: Vec<String>,
    /// The number of the record after these.
    pub next: u64,
}

impl Answer for Records {
    const STATUSES: &'static [u16] = &[200];
    const MEDIA: &'static str = "application/json";

    fn schema() -> Option<SchemaOf> {
        Some(SchemaGenerator::subschema_for::<Self>)
    }

    /// The lines byte by byte as they are stored, so that a client can follow the chain.
    fn respond(self) -> Result<Response, Problem> {
        let text = format!("{{\"records\":[{}],\"next\":{}}}", self.records.join(","), self.next);
        Ok(answer(StatusCode::OK, Self::MEDIA, Body::from(text)))
    }
}

/// The name of a status in the API: `rolling_back`.
#[must_use]
pub fn status_name(status: RunStatus) -> String {
    status.as_str().replace(' ', "_")
}

impl From<&Head> for Run {
    fn from(head: &Head) -> Self {
        Self {
            id: head.run.to_string(),
            playbook: head.playbook.clone(),
            version: head.version.clone(),
            bundle: head.bundle.clone(),
            status: status_name(head.status),
            detail: head.detail.clone(),
            started: head.started.to_string(),
            updated: head.updated.to_string(),
            records: head.records,
            ended: head.status.is_terminal(),
            holder: head.holder.as_ref().map(|holder| holder.who.clone()),
        }
    }
}

/// `GET /api/v1/runs`
///
/// # Errors
/// When a filter makes no sense, or the store cannot be read.
pub fn list(call: &Call, which: Which) -> Result<Json<Page>, Problem> {
    let limit = limit(which.limit, PAGE, 500)?;
    let mut of = Selection { playbook: which.playbook, ..Selection::default() };
    for name in which.status.iter().flat_map(|names| names.split(',')).map(str::trim).filter(|name| !name.is_empty()) {
        let status = RunStatus::ALL.into_iter().find(|status| status_name(*status) == name);
        let all = || RunStatus::ALL.map(status_name).join(", ");
        of.statuses.push(status.ok_or_else(|| {
            Problem::new(Kind::Invalid, format!("there is no status `{}`", brief(name)))
                .hint(format!("there are {}", all()))
        })?);
    }
    of.after = which.after.as_deref().map(read_cursor).transpose()?;
    let (found, more) = visible(call.store().as_ref(), &call.who, of, limit)?;
    let next = found.last().filter(|_| more).map(|head| format!("{}_{}", head.started, head.run));
    Ok(Json(Page { runs: found.iter().map(Run::from).collect(), next }))
}

/// A place in a list, as `next` says it.
///
/// # Errors
/// When it is none.
pub fn read_cursor(text: &str) -> Result<(Timestamp, RunId), Problem> {
    let parts = text.split_once('_').and_then(|(started, run)| Some((started.parse().ok()?, run.parse().ok()?)));
    parts.ok_or_else(|| {
        Problem::new(Kind::Invalid, format!("`{}` is no place in a list", brief(text)))
            .hint("give `next` of the page before, as it is")
    })
}

/// As much of a text from outside as belongs into a message.
#[must_use]
pub fn brief(text: &str) -> String {
    text.chars().take(80).collect()
}

/// `GET /api/v1/runs/{run}`
///
/// # Errors
/// When there is no such run.
pub fn one(call: &Call, _: Nothing) -> Result<Json<Run>, Problem> {
    Ok(Json(Run::from(call.head()?)))
}

/// `POST /api/v1/runs`
///
/// # Errors
/// When they may not, the playbook or its parameters are not valid, or the run cannot be begun.
pub fn begin(call: &Call, what: Begin) -> Result<Made<Run>, Problem> {
    let deed = Deed::done(Act::Start.name(), format!("playbook {}", brief(&what.playbook)));
    call.permit(Act::Start, &Subject::Playbook(&what.playbook), deed)?;
    let identity = match identified(call, &what)? {
        Identified::Begun(head) => return Ok(made(&head, false)),
        Identified::New(identity) => identity,
    };
    let (head, new) = started(call, &what.playbook, given(what.params), identity, None)?;
    Ok(made(&head, new))
}

/// What a request to begin a run stands for.
pub enum Identified {
    /// A run that is to begin.
    New(Identity),
    /// One that the same request began before.
    Begun(Box<Head>),
}

/// Tells whether the same request came before, by its `Idempotency-Key`.
///
/// # Errors
/// When the key is none, or was used for something else.
pub fn identified(call: &Call, asked: &impl Serialize) -> Result<Identified, Problem> {
    let store = call.store();
    let key = match call.header("idempotency-key") {
        None => return Ok(Identified::New(Identity::random()?)),
        Some(key) if key.is_empty() || key.len() > 255 => {
            return Err(Problem::new(Kind::Invalid, "an Idempotency-Key has 1 to 255 characters"));
        }
        Some(key) => key,
    };
    let identity = Identity::of_text(&format!("{}\n{key}", call.who.name));
    let asked = serde_json::to_vec(asked).unwrap_or_default();
    let asked: String = Sha256::digest(asked).iter().map(|byte| format!("{byte:02x}")).collect();
    let body = serde_json::json!({ "run": identity.run, "asked": asked });
    let write = Write::create(IDEMPOTENCY, identity.run.to_string(), body);
    match store.write_documents(&[write], call.now()) {
        Ok(()) => {}
        Err(StoreError::Conflict { .. }) => {
            let there = store.document(IDEMPOTENCY, identity.run.as_str())?;
            if there.is_none_or(|document| document.body["asked"] != asked.as_str()) {
                return Err(Problem::new(Kind::Conflict, "this Idempotency-Key was used for another request")
                    .hint("a new request needs a new key"));
            }
        }
        Err(error) => return Err(error.into()),
    }
    // Whoever was cut off before the run began begins it now.
    Ok(store.head(&identity.run).map_or(Identified::New(identity), |head| Identified::Begun(Box::new(head))))
}

/// Parameters as a request gives them.
#[must_use]
pub fn given(params: BTreeMap<String, Value>) -> Given {
    let values = params.into_iter().map(|(name, value)| (name, Spanned::new(value, Span::default())));
    Given { values: values.collect(), ..Given::default() }
}

/// Begins a run for whoever asks, or a drill; or finds the one that was begun under this identity. It was asked before whether they may.
///
/// # Errors
/// When the playbook or its parameters are not valid, or the run cannot be begun.
pub fn started(
    call: &Call,
    playbook: &str,
    given: Given,
    identity: Identity,
    drill: Option<DrillOrder>,
) -> Result<(Head, bool), Problem> {
    let (server, store) = (&call.server, call.store());
    let bundle = (*server.catalog.load(playbook)?).clone();
    let mut start = match drill {
        None => server.app.prepare_bundle(bundle, &given)?,
        Some(order) => {
            let order = DrillOrder { identity: Some(identity.clone()), ..order };
            server.app.prepare_drill_bundle(bundle, given, &order)?
        }
    };
    start.by = Some(call.who.actor());
    start.identity = Some(identity.clone());
    match server.runner.begin(&start) {
        Ok(run) => Ok((store.head(&run)?, true)),
        // Somebody else was faster with the same key.
        Err(error) => match store.head(&identity.run) {
            Ok(head) => Ok((head, false)),
            Err(_) => Err(error.into()),
        },
    }
}

/// The answer to whoever began a run.
#[must_use]
pub fn made(head: &Head, new: bool) -> Made<Run> {
    Made { location: format!("/api/v1/runs/{}", head.run), new, body: Run::from(head) }
}

/// `GET /api/v1/runs/{run}/records`
///
/// # Errors
/// When there is no such run, or its journal cannot be read.
pub fn records(call: &Call, which: Part) -> Result<Records, Problem> {
    let from = which.from.unwrap_or(0);
    let limit = limit(which.limit, RECORDS, RECORDS)?;
    let lines = call.store().tail(&call.run_id()?, from)?;
    let records: Vec<String> = lines.into_iter().take(limit).collect();
    let next = from.saturating_add(records.len() as u64);
    Ok(Records { records, next })
}

/// `GET /api/v1/runs/{run}/events`
///
/// # Errors
/// When there is no such run, or too many watch already.
pub async fn events(call: Call, which: Since) -> Result<Response, Problem> {
    let run = call.run_id()?;
    let last = match call.header("last-event-id") {
        None | Some("") => None,
        Some(text) => Some(text.parse::<u64>().map_err(|_| {
            Problem::new(Kind::Request, "Last-Event-ID is no number of a record")
                .hint("give the `id` of the last event")
        })?),
    };
    let from = last.map_or(which.from.unwrap_or(0), |last| last.saturating_add(1));
    let head = call.head()?;
    if last.is_some() && head.status.is_terminal() && from >= head.records {
        // Browsers come back for ever unless they are told that there is nothing more.
        let mut done = Response::new(Body::empty());
        *done.status_mut() = StatusCode::NO_CONTENT;
        return Ok(done);
    }
    let seat = std::sync::Arc::clone(&call.server.views).try_acquire_owned();
    let seat = seat.map_err(|_| Problem::new(Kind::TooMany, "too many watch already").hint("close some views"))?;
    let (server, feeds) = (std::sync::Arc::clone(&call.server), std::sync::Arc::clone(&call.server.feeds));
    let runtime = server.runtime.clone();
    let watching = tokio::task::spawn_blocking(move || feeds.watch(&run, from, &runtime)).await;
    let viewer = watching.map_err(|_| Problem::new(Kind::Internal, "the run cannot be watched"))??;
    let state = Watching { viewer, phase: server.phase.subscribe(), stage: Stage::Greet, _seat: seat };
    let body = Body::from_stream(stream::unfold(state, |mut state| async move {
        let text = state.next().await?;
        Some((Ok::<_, Infallible>(Bytes::from(text)), state))
    }));
    let mut response = Response::new(body);
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("text/event-stream"));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    // Otherwise nginx keeps it until there is more.
    headers.insert("x-accel-buffering", HeaderValue::from_static("no"));
    Ok(response)
}

struct Watching {
    viewer: Viewer,
    phase: tokio::sync::watch::Receiver<Phase>,
    stage: Stage,
    _seat: tokio::sync::OwnedSemaphorePermit,
}

#[derive(PartialEq, Eq)]
enum Stage {
    Greet,
    Tell,
    Over,
}

impl Watching {
    /// The next piece of the stream; none when it is over.
    async fn next(&mut self) -> Option<String> {
        match self.stage {
            Stage::Greet => {
                self.stage = Stage::Tell;
                return Some("retry: 1000\n\n".to_owned());
            }
            Stage::Tell => {}
            Stage::Over => return None,
        }
        let news = tokio::select! {
            news = tokio::time::timeout(STILL_THERE, self.viewer.next()) => news,
            () = over(&mut self.phase) => return None,
        };
        match news {
            Err(_) => Some(":\n\n".to_owned()),
            Ok(Ok(News::Records(first, lines))) => {
                let size: usize = lines.iter().map(|line| line.len() + 40).sum();
                let mut text = String::with_capacity(size);
                for (seq, line) in (first..).zip(&lines) {
                    text.push_str(&format!("id: {seq}\nevent: record\ndata: {line}\n\n"));
                }
                Some(text)
            }
            Ok(Ok(News::Progress(word))) => Some(format!("event: progress\ndata: {word}\n\n")),
            Ok(Ok(News::Ended)) => {
                self.stage = Stage::Over;
                Some("event: end\ndata: {}\n\n".to_owned())
            }
            // Whoever watches comes back, and goes on where they were.
            Ok(Err(error)) => {
                tracing::warn!(%error, "a stream ends: the run cannot be read");
                None
            }
        }
    }
}
