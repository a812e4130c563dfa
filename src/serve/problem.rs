//! Why a request was not answered as wanted, as RFC 9457 has it: `application/problem+json`.

use axum::body::Body;
use axum::http::{HeaderName, HeaderValue, StatusCode, header};
use axum::response::{IntoResponse, Response};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::access::AccessError;
use crate::app::AppError;
use crate::journal::StoreError;
use crate::model::fault::{ErrorClass, OpError};
use crate::playbook::bundle::BundleError;
use crate::playbook::diagnostic;

/// The body of every answer that is none of success.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct ProblemBody {
    /// Names the kind of problem: the same for the same cause, whatever the words.
    #[serde(rename = "type")]
    pub kind: String,
    /// The kind in words.
    pub title: String,
    /// The HTTP status.
    pub status: u16,
    /// What is wrong here.
    pub detail: String,
    /// What to do next.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub hint: Option<String>,
    /// What a check found, one entry a fault.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub faults: Vec<String>,
}

/// The kinds: name, status, title.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// The request itself makes no sense.
    Request,
    /// Nobody, or nobody known, asks.
    Unauthenticated,
    /// They may not.
    Forbidden,
    /// There is no such thing.
    NotFound,
    /// Not by this method.
    Method,
    /// The thing is not in the state for it.
    Conflict,
    /// A precondition in the world failed; nothing was touched.
    Precondition,
    /// Too many bytes.
    TooLarge,
    /// No JSON.
    MediaType,
    /// Sent to another name than this server's.
    Misdirected,
    /// Well-formed, and not valid.
    Invalid,
    /// Too many at once, or too many wrong tokens.
    TooMany,
    /// It took too long to send the request.
    Slow,
    /// Not now: the server stands by, drains, or its store cannot be written.
    Unavailable,
    /// What was asked for took too long.
    Overtime,
    /// Muster itself is wrong.
    Internal,
}

impl Kind {
    /// Its name, status and title.
    #[must_use]
    pub fn words(self) -> (&'static str, StatusCode, &'static str) {
        match self {
            Self::Request => ("request", StatusCode::BAD_REQUEST, "the request cannot be read"),
            Self::Unauthenticated => ("unauthenticated", StatusCode::UNAUTHORIZED, "it is not known who asks"),
            Self::Forbidden => ("forbidden", StatusCode::FORBIDDEN, "this may not be done by whoever asks"),
            Self::NotFound => ("not-found", StatusCode::NOT_FOUND, "there is no such thing"),
            Self::Method => ("method", StatusCode::METHOD_NOT_ALLOWED, "this is not done by that method"),
            Self::Conflict => ("conflict", StatusCode::CONFLICT, "it is not in the state for that"),
            Self::Precondition => ("precondition", StatusCode::CONFLICT, "a precondition failed, nothing was touched"),
            Self::TooLarge => ("too-large", StatusCode::PAYLOAD_TOO_LARGE, "the request is too large"),
            Self::MediaType => ("media-type", StatusCode::UNSUPPORTED_MEDIA_TYPE, "the body is of another type"),
            Self::Misdirected => ("misdirected", StatusCode::MISDIRECTED_REQUEST, "this server has another name"),
            Self::Invalid => ("invalid", StatusCode::UNPROCESSABLE_ENTITY, "it is not valid"),
            Self::TooMany => ("too-many", StatusCode::TOO_MANY_REQUESTS, "there are too many requests"),
            Self::Slow => ("slow", StatusCode::REQUEST_TIMEOUT, "the request did not come in time"),
            Self::Unavailable => ("unavailable", StatusCode::SERVICE_UNAVAILABLE, "not now"),
            Self::Overtime => ("overtime", StatusCode::GATEWAY_TIMEOUT, "it took too long"),
            Self::Internal => ("internal", StatusCode::INTERNAL_SERVER_ERROR, "a fault of muster"),
        }
    }
}

/// Why a request was not answered as wanted.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Problem {
    /// What kind.
    pub kind: Kind,
    /// What is wrong here, in one lowercase sentence.
    pub detail: String,
    /// What to do next.
    pub hint: Option<String>,
    /// What a check found.
    pub faults: Vec<String>,
    /// Further headers of the answer.
    pub headers: Vec<(HeaderName, HeaderValue)>,
}

impl Problem {
    /// A problem of this kind.
    pub fn new(kind: Kind, detail: impl Into<String>) -> Self {
        Self { kind, detail: detail.into(), hint: None, faults: Vec::new(), headers: Vec::new() }
    }

    /// Adds what to do next.
    #[must_use]
    pub fn hint(mut self, hint: impl Into<String>) -> Self {
        self.hint = Some(hint.into());
        self
    }

    /// Adds a header to the answer.
    #[must_use]
    pub fn with_header(mut self, name: HeaderName, value: HeaderValue) -> Self {
        self.headers.push((name, value));
        self
    }

    /// The status of the answer.
    #[must_use]
    pub fn status(&self) -> StatusCode {
        self.kind.words().1
    }

    /// Nothing of that name.
    #[must_use]
    pub fn no_such(what: &str, name: &str) -> Self {
        let shown: String = name.chars().take(80).collect();
        Self::new(Kind::NotFound, format!("there is no {what} `{shown}`"))
    }

    /// The body of the answer.
    #[must_use]
    pub fn body(&self) -> ProblemBody {
        let (name, status, title) = self.kind.words();
        ProblemBody {
            kind: format!("urn:muster:problem:{name}"),
            title: title.to_owned(),
            status: status.as_u16(),
            detail: self.detail.clone(),
            hint: self.hint.clone(),
            faults: self.faults.clone(),
        }
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let body = serde_json::to_vec(&self.body()).unwrap_or_default();
        let mut response = Response::new(Body::from(body));
        *response.status_mut() = self.status();
        let headers = response.headers_mut();
        headers.insert(header::CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        headers.insert(header::CACHE_CONTROL, HeaderValue::from_static("no-store"));
        for (name, value) in self.headers {
            headers.insert(name, value);
        }
        response
    }
}

impl From<StoreError> for Problem {
    fn from(error: StoreError) -> Self {
        let text = error.to_string();
        match error {
            StoreError::NoSuchRun(_) | StoreError::Ambiguous { .. } => Self::new(Kind::NotFound, text),
            StoreError::NoSuchBlob(_) => Self::new(Kind::NotFound, text),
            StoreError::Conflict { .. } => {
                Self::new(Kind::Conflict, text).hint("read it again, and decide from what it is now")
            }
            StoreError::Fenced { .. } | StoreError::Stopped { .. } | StoreError::HandedOver { .. } => {
                Self::new(Kind::Conflict, text)
            }
            StoreError::Full { .. } => Self::new(Kind::Unavailable, text).hint("free some room on the server's disk"),
            StoreError::ReadOnly { .. } => Self::new(Kind::Unavailable, text),
            StoreError::Damaged { .. }
            | StoreError::Unknown { .. }
            | StoreError::TooNew { .. }
            | StoreError::Corrupt { .. }
            | StoreError::Database { .. } => {
                Self::new(Kind::Internal, text).hint("`muster doctor` on the server says what can still be read")
            }
        }
    }
}

impl From<OpError> for Problem {
    fn from(error: OpError) -> Self {
        let kind = match error.class {
            ErrorClass::Failed | ErrorClass::Unknown => Kind::Conflict,
            ErrorClass::Refused | ErrorClass::Credentials | ErrorClass::Transient => Kind::Precondition,
        };
        let mut problem = Self::new(kind, error.message);
        problem.hint = error.hint;
        problem.faults = error.detail.iter().flat_map(|detail| detail.lines().map(str::to_owned)).collect();
        problem
    }
}

impl From<AppError> for Problem {
    fn from(error: AppError) -> Self {
        let text = error.to_string();
        match error {
            AppError::Store(error) => Self::from(error),
            AppError::Precondition(error) => Self::from(error),
            AppError::Invalid { diagnostics, sources } => {
                let rendered = diagnostic::render(&diagnostics, &sources, diagnostic::Style::PLAIN);
                let faults = diagnostics.iter().map(|one| one.message.clone()).collect();
                Self { faults, ..Self::new(Kind::Invalid, rendered.trim().to_owned()) }
            }
            AppError::Playbook(BundleError::NotFound { .. }) => Self::new(Kind::NotFound, text),
            AppError::Playbook(_) | AppError::Script(_) => Self::new(Kind::Invalid, text),
            AppError::Held { .. } | AppError::Over { .. } | AppError::Stale(_) | AppError::PlanFile(_) => {
                Self::new(Kind::Conflict, text)
            }
            AppError::System { .. } => Self::new(Kind::Internal, text),
            _ => Self::new(Kind::Conflict, text),
        }
    }
}

impl From<AccessError> for Problem {
    fn from(error: AccessError) -> Self {
        let text = error.to_string();
        match error {
            AccessError::Denied(denied) => Self::new(Kind::Forbidden, text).hint(denied.hint()),
            AccessError::Store(error) => Self::from(error),
            AccessError::NotValid => Self::new(Kind::Unauthenticated, text),
            AccessError::Slow { .. } => Self::new(Kind::TooMany, text),
            AccessError::NoSuchToken(_) | AccessError::NoSuchReview(_) => Self::new(Kind::NotFound, text),
            AccessError::Closed { .. } => Self::new(Kind::Conflict, text),
            AccessError::Wordless(_) | AccessError::Token(_) => Self::new(Kind::Invalid, text),
            _ => Self::new(Kind::Internal, text),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_problem_says_its_kind_what_is_wrong_and_what_to_do() {
        let body = Problem::no_such("run", "x").hint("look").body();
        assert_eq!((body.status, body.kind.as_str()), (404, "urn:muster:problem:not-found"));
        assert_eq!((body.detail.as_str(), body.hint.as_deref()), ("there is no run `x`", Some("look")));
    }
}
