//! What an endpoint is: method, path, the act it takes, what it is given and what it answers, and what does it.
//!
//! The router, the authorisation, the OpenAPI document and the tests are made from these. The schemas are those of the very types that the
//! handler takes and gives, so that the document cannot say anything else.

use std::future::Future;
use std::pin::Pin;
use std::sync::Arc;

use axum::body::Body;
use axum::extract::Query;
use axum::http::{HeaderValue, Method, StatusCode, Uri, header};
use axum::response::Response;
use schemars::{JsonSchema, Schema, SchemaGenerator};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};

use super::call::Call;
use super::problem::{Kind, Problem};
use crate::access::Act;

/// Who may use an endpoint.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Needs {
    /// Whoever reaches it: it tells nothing of runs and changes nothing.
    Nobody,
    /// Whoever may do this to what the path names. An act that changes something is in the audit log before the handler runs.
    To(Act),
    /// Whoever may do this, and the handler asks for whom or what: by [`Call::permit`] or by giving an order. One that does not ask is a
    /// fault of muster, and answers nothing.
    Asked(Act),
}

impl Needs {
    /// The act, if there is one.
    #[must_use]
    pub fn act(self) -> Option<Act> {
        match self {
            Self::Nobody => None,
            Self::To(act) | Self::Asked(act) => Some(act),
        }
    }
}

/// For whom an endpoint is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Face {
    /// For programs: JSON, and a token with every request. A session counts only for looking.
    Api,
    /// For people: HTML and forms, and a session.
    Page,
}

/// Makes the schema of a type.
pub type SchemaOf = fn(&mut SchemaGenerator) -> Schema;

/// What does it, on a thread that may wait for the store.
pub type Does = Arc<dyn Fn(&Call) -> Result<Response, Problem> + Send + Sync>;
/// An answer on its way.
pub type Answering = Pin<Box<dyn Future<Output = Result<Response, Problem>> + Send>>;
/// What does it and goes on answering.
pub type Streams = Arc<dyn Fn(Call) -> Answering + Send + Sync>;

/// What does it.
#[derive(Clone)]
pub enum Handler {
    /// Answers once.
    Once(Does),
    /// Answers as long as there is something to tell: no time limit.
    Stream(Streams),
}

/// An endpoint.
#[derive(Clone)]
pub struct Endpoint {
    /// Its method.
    pub method: Method,
    /// Its path, with `{run}` where one is named.
    pub path: &'static str,
    /// Its name in clients that are made from the document: `listRuns`.
    pub name: &'static str,
    /// Who may use it.
    pub needs: Needs,
    /// For whom.
    pub face: Face,
    /// What it does, in one line.
    pub summary: &'static str,
    /// What may stand in the query.
    pub query: Option<SchemaOf>,
    /// What stands in the body.
    pub body: Option<SchemaOf>,
    /// The statuses of success.
    pub statuses: &'static [u16],
    /// The type of the answer.
    pub media: &'static str,
    /// What the answer is.
    pub answer: Option<SchemaOf>,
    /// Headers that it heeds.
    pub headers: &'static [(&'static str, &'static str)],
    /// What does it.
    pub handler: Handler,
}

/// What an endpoint is given, when it is given nothing.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Nothing {}

/// What an endpoint answers.
pub trait Answer {
    /// The statuses of success.
    const STATUSES: &'static [u16];
    /// The type of the body.
    const MEDIA: &'static str;

    /// The schema of the body, if it is JSON.
    fn schema() -> Option<SchemaOf>;

    /// The answer on the wire.
    ///
    /// # Errors
    /// When it cannot be encoded.
    fn respond(self) -> Result<Response, Problem>;
}

/// A JSON answer.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Json<T>(pub T);

/// What has been made, and where it is; or what had been made by the same request before.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made<T> {
    /// Its path.
    pub location: String,
    /// Whether it was made just now.
    pub new: bool,
    /// What it is.
    pub body: T,
}

/// What is measured, in the format of OpenMetrics.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Measured(pub String);

/// An answer of JSON with this status.
///
/// # Errors
/// When the value cannot be encoded.
pub fn json<T: Serialize>(status: StatusCode, value: &T) -> Result<Response, Problem> {
    let bytes = serde_json::to_vec(value)
        .map_err(|error| Problem::new(Kind::Internal, format!("cannot encode the answer: {error}")))?;
    Ok(answer(status, "application/json", Body::from(bytes)))
}

pub(super) fn answer(status: StatusCode, media: &'static str, body: Body) -> Response {
    let mut response = Response::new(body);
    *response.status_mut() = status;
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(media));
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
    response
}

impl<T: Serialize + JsonSchema> Answer for Json<T> {
    const STATUSES: &'static [u16] = &[200];
    const MEDIA: &'static str = "application/json";

    fn schema() -> Option<SchemaOf> {
        Some(SchemaGenerator::subschema_for::<T>)
    }

    fn respond(self) -> Result<Response, Problem> {
        json(StatusCode::OK, &self.0)
    }
}

impl<T: Serialize + JsonSchema> Answer for Made<T> {
    const STATUSES: &'static [u16] = &[201, 200];
    const MEDIA: &'static str = "application/json";

    fn schema() -> Option<SchemaOf> {
        Some(SchemaGenerator::subschema_for::<T>)
    }

    fn respond(self) -> Result<Response, Problem> {
        let mut response = json(if self.new { StatusCode::CREATED } else { StatusCode::OK }, &self.body)?;
        if let Ok(place) = HeaderValue::from_str(&self.location) {
            response.headers_mut().insert(header::LOCATION, place);
        }
        Ok(response)
    }
}

impl Answer for Measured {
    const STATUSES: &'static [u16] = &[200];
    const MEDIA: &'static str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

    fn schema() -> Option<SchemaOf> {
        None
    }

    fn respond(self) -> Result<Response, Problem> {
        Ok(answer(StatusCode::OK, Self::MEDIA, Body::from(self.0)))
    }
}

impl Answer for Response {
    const STATUSES: &'static [u16] = &[303];
    const MEDIA: &'static str = "text/html; charset=utf-8";

    fn schema() -> Option<SchemaOf> {
        None
    }

    fn respond(self) -> Result<Response, Problem> {
        Ok(self)
    }
}

impl Endpoint {
    /// Looks at something.
    pub fn get<Q, A>(
        path: &'static str,
        name: &'static str,
        needs: Needs,
        summary: &'static str,
        does: fn(&Call, Q) -> Result<A, Problem>,
    ) -> Self
    where
        Q: DeserializeOwned + JsonSchema + 'static,
        A: Answer + 'static,
    {
        let handler: Does = Arc::new(move |call: &Call| does(call, read_query(&call.uri)?)?.respond());
        Self::of::<A>((Method::GET, path, name, needs, summary), Handler::Once(handler))
            .taking(Some(SchemaGenerator::subschema_for::<Q>), None)
    }

    /// Changes something.
    pub fn post<B, A>(
        path: &'static str,
        name: &'static str,
        needs: Needs,
        summary: &'static str,
        does: fn(&Call, B) -> Result<A, Problem>,
    ) -> Self
    where
        B: DeserializeOwned + JsonSchema + 'static,
        A: Answer + 'static,
    {
        let handler: Does = Arc::new(move |call: &Call| does(call, read_body(call)?)?.respond());
        Self::of::<A>((Method::POST, path, name, needs, summary), Handler::Once(handler))
            .taking(None, Some(SchemaGenerator::subschema_for::<B>))
    }

    /// Tells something as it happens.
    pub fn stream<Q, F>(
        path: &'static str,
        name: &'static str,
        needs: Needs,
        summary: &'static str,
        does: fn(Call, Q) -> F,
    ) -> Self
    where
        Q: DeserializeOwned + JsonSchema + Send + 'static,
        F: Future<Output = Result<Response, Problem>> + Send + 'static,
    {
        let handler: Streams = Arc::new(move |call: Call| -> Answering {
            let query = read_query(&call.uri);
            Box::pin(async move { does(call, query?).await })
        });
        let line = (Method::GET, path, name, needs, summary);
        Self { media: "text/event-stream", ..Self::of::<Measured>(line, Handler::Stream(handler)) }
            .taking(Some(SchemaGenerator::subschema_for::<Q>), None)
    }

    /// Shows a page.
    pub fn page<Q, A>(
        path: &'static str,
        name: &'static str,
        needs: Needs,
        summary: &'static str,
        does: fn(&Call, Q) -> Result<A, Problem>,
    ) -> Self
    where
        Q: DeserializeOwned + JsonSchema + 'static,
        A: Answer + 'static,
    {
        Self { face: Face::Page, ..Self::get(path, name, needs, summary, does) }
    }

    /// Takes a form. What reads it asks that it was made here.
    pub fn form<A: Answer + 'static>(
        path: &'static str,
        name: &'static str,
        needs: Needs,
        summary: &'static str,
        does: fn(&Call) -> Result<A, Problem>,
    ) -> Self {
        let handler: Does = Arc::new(move |call| does(call)?.respond());
        let line = (Method::POST, path, name, needs, summary);
        Self { face: Face::Page, ..Self::of::<A>(line, Handler::Once(handler)) }
            .taking(None, Some(SchemaGenerator::subschema_for::<Nothing>))
    }

    fn of<A: Answer>(
        (method, path, name, needs, summary): (Method, &'static str, &'static str, Needs, &'static str),
        handler: Handler,
    ) -> Self {
        Self {
            method,
            path,
            name,
            needs,
            face: Face::Api,
            summary,
            query: None,
            body: None,
            statuses: A::STATUSES,
            media: A::MEDIA,
            answer: A::schema(),
            headers: &[],
            handler,
        }
    }

    fn taking(self, query: Option<SchemaOf>, body: Option<SchemaOf>) -> Self {
        Self { query, body, ..self }
    }

    /// Heeds these headers too: name, and what it says.
    #[must_use]
    pub fn heeding(self, headers: &'static [(&'static str, &'static str)]) -> Self {
        Self { headers, ..self }
    }

    /// The names in its path, in order.
    pub fn path_params(&self) -> impl Iterator<Item = &'static str> {
        self.path.split('/').filter_map(|part| part.strip_prefix('{')?.strip_suffix('}'))
    }
}

fn read_query<Q: DeserializeOwned>(uri: &Uri) -> Result<Q, Problem> {
    Query::<Q>::try_from_uri(uri)
        .map(|Query(query)| query)
        .map_err(|error| Problem::new(Kind::Request, format!("the query cannot be read: {}", error.body_text())))
}

fn read_body<B: DeserializeOwned>(call: &Call) -> Result<B, Problem> {
    let bytes: &[u8] = if call.body.is_empty() { b"{}" } else { &call.body };
    serde_json::from_slice(bytes).map_err(|error| {
        let kind = if error.is_data() { Kind::Invalid } else { Kind::Request };
        Problem::new(kind, format!("the body cannot be read: {error}"))
            .hint("GET /api/v1/openapi.json says what belongs into it")
    })
}
