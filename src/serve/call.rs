//! A request on its way to its handler: who asks, for what, with which words.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, Uri};

use super::pages::login::COOKIE;
use super::problem::{Kind, Problem};
use super::server::Server;
use crate::access::audit::Deed;
use crate::access::{AccessError, Act, Identity, Session, Subject, secret};
use crate::journal::{Head, Store};
use crate::model::command::{Command, Order};
use crate::model::{RunId, Timestamp};

/// A request on its way to its handler.
pub struct Call {
    /// The server.
    pub server: Arc<Server>,
    /// Who asks.
    pub who: Identity,
    /// From where.
    pub from: IpAddr,
    /// What the path names.
    pub path: Vec<(String, String)>,
    /// The whole path and query.
    pub uri: Uri,
    /// The headers.
    pub headers: HeaderMap,
    /// The body.
    pub body: Bytes,
    /// The head of the run that the path names.
    pub run: Option<Head>,
    /// Their session, if that is how they are known.
    pub session: Option<Session>,
    /// Whether it was asked if they may.
    pub(super) asked: Cell<bool>,
}

impl Call {
    /// What stands in the path at `{name}`.
    #[must_use]
    pub fn named(&self, name: &str) -> &str {
        self.path.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
    }

    /// The same request with another body.
    #[must_use]
    pub fn with_body(&self, body: Bytes) -> Self {
        Self {
            server: Arc::clone(&self.server),
            who: self.who.clone(),
            from: self.from,
            path: self.path.clone(),
            uri: self.uri.clone(),
            headers: self.headers.clone(),
            body,
            run: self.run.clone(),
            session: self.session.clone(),
            asked: Cell::new(self.asked.get()),
        }
    }

    /// The handler asks by what it calls.
    pub fn asked(&self) {
        self.asked.set(true);
    }

    /// What every form of a page sends back.
    #[must_use]
    pub fn csrf(&self) -> &str {
        self.session.as_ref().map_or(self.server.csrf.as_str(), |session| &session.csrf)
    }

    /// Whether a form was made by a page of this server, for whoever sends it.
    #[must_use]
    pub fn made(&self, csrf: &str) -> bool {
        match &self.session {
            Some(session) => session.made(csrf),
            None => !csrf.is_empty() && secret::same(&self.server.csrf, csrf),
        }
    }

    /// The cookie of a session, whatever it is worth.
    #[must_use]
    pub fn cookie(&self) -> Option<String> {
        cookie(&self.headers)
    }

    /// A header, if it is there and text.
    #[must_use]
    pub fn header(&self, name: &str) -> Option<&str> {
        self.headers.get(name)?.to_str().ok()
    }

    /// The head of the run that the path names.
    ///
    /// # Errors
    /// When it names none.
    pub fn head(&self) -> Result<&Head, Problem> {
        self.run.as_ref().ok_or_else(|| Problem::no_such("run", self.named("run")))
    }

    /// The run that the path names.
    ///
    /// # Errors
    /// When it names none.
    pub fn run_id(&self) -> Result<RunId, Problem> {
        Ok(self.head()?.run.clone())
    }

    /// The store.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        self.server.app.store()
    }

    /// The time.
    #[must_use]
    pub fn now(&self) -> Timestamp {
        self.server.app.clock.now()
    }

    /// Asks whether they may do this to that. What changes something is in the audit log before this returns.
    ///
    /// # Errors
    /// When they may not.
    pub fn permit(&self, act: Act, subject: &Subject<'_>, deed: Deed) -> Result<(), Problem> {
        self.asked.set(true);
        Ok(self.server.desk.permit(&self.who, act, subject, deed, self.now())?)
    }

    /// Gives an order to the run that the path names. Returns it as it stands in the inbox.
    ///
    /// # Errors
    /// When they may not, or the run has ended.
    pub fn order(&self, what: Order) -> Result<Command, Problem> {
        let head = self.head()?;
        if head.status.is_terminal() {
            self.asked.set(true);
            return Err(Problem::new(
                Kind::Conflict,
                format!("run {} has ended ({}): its record is closed", head.run.short(), head.status.as_str()),
            ));
        }
        self.asked.set(true);
        match self.server.desk.say(&self.who, head, what, self.now()) {
            Err(AccessError::Wordless(what)) => {
                Err(Problem::new(Kind::Invalid, format!("{what} needs a reason in words")))
            }
            other => Ok(other?),
        }
    }
}

/// How many are asked for; `usual` when it is not said.
///
/// # Errors
/// When it is none, or more than there are on a page.
pub fn limit(said: Option<usize>, usual: usize, most: usize) -> Result<usize, Problem> {
    match said {
        None => Ok(usual),
        Some(said) if (1..=most).contains(&said) => Ok(said),
        Some(said) => Err(Problem::new(Kind::Invalid, format!("`limit` is from 1 to {most}, not {said}"))),
    }
}

/// The cookie of a session, whatever it is worth.
#[must_use]
pub fn cookie(headers: &HeaderMap) -> Option<String> {
    let all = headers.get_all(axum::http::header::COOKIE).iter().filter_map(|cookies| cookies.to_str().ok());
    let mut each = all.flat_map(|cookies| cookies.split(';')).filter_map(|cookie| cookie.trim().split_once('='));
    each.find(|(name, _)| *name == COOKIE).map(|(_, value)| value.to_owned()).filter(|value| value.len() <= 200)
}
