//! What all requests share, and in which phase of its life the server is.

use std::net::{IpAddr, SocketAddr};
use std::path::PathBuf;
use std::sync::Arc;
use std::time::{Duration, Instant};

use axum::http::{HeaderMap, HeaderValue, header};
use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Semaphore, watch};

use super::call::cookie;
use super::catalog::Catalog;
use super::endpoint::Endpoint;
use super::feed::Feeds;
use super::metrics::Metrics;
use super::pages::memo::Memo;
use super::problem::{Kind, Problem};
use super::runner::Runner;
use super::traces::Requests;
use crate::access::{AccessError, Desk, Identity, Session, Sites, secret};
use crate::app::App;
use crate::evidence::notify::config::Config;
use crate::journal::{Store as _, Write};
use crate::model::Timestamp;

/// How long an answer to whether the store can be written counts.
const TRIED: Duration = Duration::from_secs(5);

/// How the server is run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Options {
    /// Where it listens; port 0 for any.
    pub listen: SocketAddr,
    /// Folders with playbooks.
    pub playbooks: Vec<PathBuf>,
    /// The file of the schedules it looks at, if any.
    pub schedules: Option<PathBuf>,
    /// Who is told what happens to runs, if anybody.
    pub notify: Option<Config>,
    /// Where people reach it: `https://dr.example.org`.
    pub public_url: Option<String>,
    /// Tell a collector of runs and requests, as the environment says (`OTEL_…`).
    pub traces: bool,
    /// Wait for another server to end, and then serve.
    pub standby: bool,
    /// Calls in flight at the same time.
    pub workers: usize,
}

/// In which phase of its life the server is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Phase {
    /// Another serves.
    Standby,
    /// It serves.
    Leading,
    /// It begins nothing more, and lets its runs go.
    Draining,
    /// It has let its runs go, and answers what it was asked before.
    Over,
}

impl Phase {
    /// In a word.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Standby => "standby",
            Self::Leading => "leading",
            Self::Draining => "draining",
            Self::Over => "over",
        }
    }
}

/// Waits until the server is over.
pub async fn over(phase: &mut watch::Receiver<Phase>) {
    let _ = phase.wait_for(|phase| *phase == Phase::Over).await.map(drop);
}

/// What all requests share.
pub struct Server {
    /// The composition root.
    pub app: Arc<App>,
    /// Who may do what.
    pub desk: Desk,
    /// The names it is reached under.
    pub sites: Sites,
    /// Carries runs on.
    pub runner: Arc<Runner>,
    /// What happens in runs.
    pub feeds: Arc<Feeds>,
    /// What is measured.
    pub metrics: Arc<Metrics>,
    /// The playbooks that may be started.
    pub catalog: Catalog,
    /// Its endpoints.
    pub endpoints: Vec<Arc<Endpoint>>,
    /// What the pages remember.
    pub memo: Memo,
    /// Requests that are to be traced, if any are.
    pub requests: Option<Requests>,
    /// What forms send back that are sent without a session; empty when the system had no random bits: then none is taken.
    pub csrf: String,
    /// How it is run.
    pub options: Options,
    /// Where its tasks run.
    pub runtime: Handle,
    /// How many requests may wait for the store at the same time.
    pub(super) seats: Arc<Semaphore>,
    /// How many may watch at the same time.
    pub(super) views: Arc<Semaphore>,
    pub(super) phase: watch::Sender<Phase>,
    tried: Mutex<Option<(Instant, Result<(), String>)>>,
}

impl Server {
    /// A server that stands by, with these endpoints.
    #[must_use]
    pub fn new(app: Arc<App>, options: Options, endpoints: Vec<Endpoint>, runtime: Handle) -> Self {
        let (feeds, metrics) = (Arc::new(Feeds::new(app.store())), Arc::new(Metrics::default()));
        let runner = Arc::new(Runner::new(Arc::clone(&app), Arc::clone(&feeds), Arc::clone(&metrics)));
        let public = options.public_url.as_deref().map(host_of);
        Self {
            desk: Desk::new(app.store(), Arc::clone(&app.redactor)),
            sites: Sites::new(public.map(str::to_owned)),
            runner,
            feeds,
            metrics,
            catalog: Catalog::new(options.playbooks.clone()),
            endpoints: endpoints.into_iter().map(Arc::new).collect(),
            memo: Memo::default(),
            requests: options.traces.then(Requests::default),
            csrf: secret::random().unwrap_or_default(),
            options,
            runtime,
            seats: Arc::new(Semaphore::new(24)),
            views: Arc::new(Semaphore::new(1000)),
            phase: watch::Sender::new(Phase::Standby),
            tried: Mutex::default(),
            app,
        }
    }

    /// Whether people reach it by https.
    #[must_use]
    pub fn is_https(&self) -> bool {
        self.options.public_url.as_deref().is_some_and(|url| url.starts_with("https://"))
    }

    /// In which phase it is.
    #[must_use]
    pub fn phase(&self) -> Phase {
        *self.phase.borrow()
    }

    /// Who asks: by the token they show. From this machine, and as long as there is no token, it is whoever started the server.
    ///
    /// # Errors
    /// When that is not known.
    pub fn identify(
        &self,
        headers: &HeaderMap,
        from: IpAddr,
        by_session: bool,
    ) -> Result<(Identity, Option<Session>), Problem> {
        let now = self.app.clock.now();
        if let Some(shown) = headers.get(header::AUTHORIZATION) {
            let shown = shown.to_str().ok().and_then(|text| text.strip_prefix("Bearer ")).unwrap_or_default();
            let known = self.desk.authenticate(shown.trim(), from, now).map(|identity| (identity, None));
            return known.map_err(|error| match error {
                AccessError::Slow { wait } => Problem::new(Kind::TooMany, AccessError::Slow { wait }.to_string())
                    .with_header(header::RETRY_AFTER, HeaderValue::from(wait.as_secs().max(1))),
                other => unauthenticated(Problem::from(other)),
            });
        }
        if let Some(cookie) = cookie(headers).filter(|_| by_session)
            && let Some((identity, session)) = self.desk.session(&cookie, now)?
        {
            return Ok((identity, Some(session)));
        }
        if from.is_loopback() && self.options.public_url.is_none() && !self.desk.had_tokens()? {
            return Ok((Identity::asserted(&self.app.settings.actor), None));
        }
        Err(unauthenticated(
            Problem::new(Kind::Unauthenticated, "no token was shown")
                .hint("`muster token create` on the server makes one; it is sent as `Authorization: Bearer mst_…`"),
        ))
    }

    /// Whether the store can be written. Tried now and then.
    ///
    /// # Errors
    /// With why not.
    pub fn writable(&self) -> Result<(), String> {
        let mut tried = self.tried.lock();
        if let Some((at, result)) = &*tried
            && at.elapsed() < TRIED
        {
            return result.clone();
        }
        let now = self.app.clock.now();
        let result = self.try_writing(now).map_err(|error| error.to_string());
        *tried = Some((Instant::now(), result.clone()));
        result
    }

    fn try_writing(&self, now: Timestamp) -> Result<(), crate::journal::StoreError> {
        let begun = Instant::now();
        let body = serde_json::json!({ "by": self.app.store.holder().id });
        let expect = crate::journal::Expect::Any;
        let write = Write { kind: "server".to_owned(), key: "writable".to_owned(), expect, body: Some(body) };
        self.app.store.write_documents(&[write], now)?;
        self.metrics.committed(begun.elapsed());
        Ok(())
    }
}

fn unauthenticated(problem: Problem) -> Problem {
    if problem.kind == Kind::Unauthenticated {
        return problem.with_header(header::WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
    }
    problem
}

/// What browsers send as `Host` for a URL.
fn host_of(url: &str) -> &str {
    let bare = url.split_once("://").map_or(url, |(_, rest)| rest);
    bare.split(['/', '?', '#']).next().unwrap_or(bare)
}

#[cfg(test)]
mod tests {
    use super::host_of;

    #[test]
    fn the_host_of_a_url_is_what_browsers_send() {
        for (url, host) in [
            ("https://dr.example.org/muster", "dr.example.org"),
            ("http://dr.example.org:8443", "dr.example.org:8443"),
            ("dr.example.org", "dr.example.org"),
        ] {
            assert_eq!(host_of(url), host);
        }
    }
}
