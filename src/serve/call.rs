//! A request on its way to its handler: who asks, for what, with which words.

use std::cell::Cell;
use std::net::IpAddr;
use std::sync::Arc;

use axum::body::Bytes;
use axum::http::{HeaderMap, Uri};

use super::problem::{Kind, Problem};
use super::server::Server;
use crate::access::audit::Deed;
use crate::access::{AccessError, Act, Identity, Subject};
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
    /// Whether it was asked if they may.
    pub(super) asked: Cell<bool>,
}

impl Call {
    /// What stands in the path at `{name}`.
    #[must_use]
    pub fn named(&self, name: &str) -> &str {
        self.path.iter().find(|(known, _)| known == name).map_or("", |(_, value)| value)
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
        if head.status.is_terminal() && !matches!(what, Order::Note { .. }) {
            self.asked.set(true);
            return Err(Problem::new(
                Kind::Conflict,
                format!("run {} has ended ({})", head.run.short(), head.status.as_str()),
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
