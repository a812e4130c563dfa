//! The desk: where everybody comes by who wants something. It knows tokens and sessions, asks [`decide`], and writes the audit log.

use std::net::IpAddr;
use std::sync::Arc;

use super::act::Act;
use super::audit::{self, Deed, Entry};
use super::decide::{Denied, Subject, decide};
use super::error::AccessError;
use super::guess::Guard;
use super::identity::{Identity, Means};
use super::review::{self, Closed, Review};
use super::session::{self, Session};
use super::token::{self, NewToken, Token};
use crate::journal::{Document, Fact, Head, Query, Store, Write, apart};
use crate::model::command::{Command, Order};
use crate::model::secret::Redactor;
use crate::model::{RunId, StepPath, Timestamp};

/// Where everybody comes by who wants something.
pub struct Desk {
    store: Arc<dyn Store>,
    redactor: Arc<Redactor>,
    guard: Guard,
}

/// A login.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Login {
    /// What the browser is to keep: the session's name, never used before.
    pub cookie: String,
    /// The session.
    pub session: Session,
    /// Who it is.
    pub identity: Identity,
}

impl Desk {
    /// A desk over a store. What people say is redacted before it is written down.
    pub fn new(store: Arc<dyn Store>, redactor: Arc<Redactor>) -> Self {
        Self { store, redactor, guard: Guard::default() }
    }

    /// Lets somebody do something, or not. What changes something is in the audit log before this returns, let happen or not.
    ///
    /// # Errors
    /// [`AccessError::Denied`]; or the audit log cannot be written, and then nothing may be done.
    pub fn permit(
        &self,
        by: &Identity,
        act: Act,
        subject: &Subject<'_>,
        deed: Deed,
        now: Timestamp,
    ) -> Result<(), AccessError> {
        let decision = decide(by, act, subject);
        if act.changes() {
            let deed = Deed { act: act.name(), denied: decision.as_ref().err().map(ToString::to_string), ..deed };
            self.write_down(by, deed, now)?;
        }
        Ok(decision?)
    }

    /// Writes something down that needs no decision: a tick that began a run.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn write_down(&self, by: &Identity, deed: Deed, now: Timestamp) -> Result<Entry, AccessError> {
        self.record(by, deed, now, &|_| Ok(Vec::new()))
    }

    fn record(
        &self,
        by: &Identity,
        mut deed: Deed,
        now: Timestamp,
        more: &dyn Fn(u64) -> Result<Vec<Write>, AccessError>,
    ) -> Result<Entry, AccessError> {
        for text in deed.details.values_mut().chain([&mut deed.on]) {
            *text = self.redactor.scrub(text).into_owned();
        }
        audit::record(self.store.as_ref(), by, &deed, now, more)
    }

    /// Gives an order to a run, for whoever holds it or carries it on. An approval that breaks the glass opens a review in the same
    /// transaction as its audit entry, before it is given.
    ///
    /// # Errors
    /// [`AccessError::Denied`], or the store cannot be written.
    pub fn say(&self, by: &Identity, head: &Head, what: Order, now: Timestamp) -> Result<Command, AccessError> {
        let act = Act::of(&what);
        let starter = match what {
            Order::Approve { .. } | Order::Reject { .. } => self.starter(&head.run)?,
            _ => String::new(),
        };
        let (playbook, started_by) = (head.playbook.as_str(), starter.as_str());
        let subject = match &what {
            Order::Approve { role, .. } => Subject::Approval { playbook, started_by, role: role.as_deref() },
            _ => Subject::Run { playbook, started_by },
        };
        let mut deed = Deed::done(act.name(), format!("run {}", head.run)).with("playbook", playbook);
        for (name, text) in words(&what) {
            deed = deed.with(name, text);
        }
        match (&what, decide(by, act, &subject)) {
            (_, Err(denied)) => {
                self.write_down(by, Deed { denied: Some(denied.to_string()), ..deed }, now)?;
                return Err(denied.into());
            }
            (Order::Approve { step, reason, break_glass: true, .. }, Ok(())) => {
                let reason = reason.as_deref().map(str::trim).filter(|reason| !reason.is_empty());
                let reason = reason.ok_or(AccessError::Wordless("breaking the glass"))?;
                self.record(by, deed, now, &|seq| Ok(vec![self.review(seq, by, head, step, reason, now).open()?]))?;
            }
            (_, Ok(())) => drop(self.write_down(by, deed, now)?),
        }
        let command = Command { by: by.actor(), what };
        self.store.post(&head.run, &command)?;
        Ok(command)
    }

    fn review(&self, id: u64, by: &Identity, head: &Head, step: &StepPath, reason: &str, at: Timestamp) -> Review {
        Review {
            id,
            at,
            who: by.name.clone(),
            playbook: head.playbook.clone(),
            run: head.run.clone(),
            step: step.clone(),
            reason: self.redactor.scrub(reason).into_owned(),
            closed: None,
        }
    }

    /// Who started a run.
    ///
    /// # Errors
    /// When its journal cannot be read.
    pub fn starter(&self, run: &RunId) -> Result<String, AccessError> {
        let Some(line) = self.store.first(run)? else { return Ok(String::new()) };
        Ok(match apart::record(self.store.as_ref(), run, 0, &line)?.fact {
            Fact::RunStarted { by, .. } => by.name,
            _ => String::new(),
        })
    }

    /// Makes a token. What is returned beside it is shown once, to whoever is to bear it.
    ///
    /// # Errors
    /// When they may not, or it makes no sense.
    pub fn create_token(&self, by: &Identity, new: NewToken, now: Timestamp) -> Result<(Token, String), AccessError> {
        let deed = |token: &Token| {
            let roles: Vec<&str> = token.roles.iter().map(|role| role.as_str()).collect();
            let mut deed = Deed::done(Act::ManageTokens.name(), on_token(token))
                .with("created", roles.join(", "))
                .with("expires", token.expires.to_string());
            for (name, list) in [("playbooks", &token.playbooks), ("approves as", &token.approves_as)] {
                if !list.is_empty() {
                    deed = deed.with(name, list.join(", "));
                }
            }
            deed
        };
        let name = new.name.clone();
        self.may_manage(by, &format!("token {name}"), now)?;
        let (token, shown) = new.mint(&by.name, now)?;
        let body = token_body(&token)?;
        let more = |_| Ok(vec![Write::create(token::KIND, token.id.clone(), body.clone())]);
        self.record(by, deed(&token), now, &more)?;
        Ok((token.shown(), shown))
    }

    /// All tokens, newest first, without what could be guessed at.
    ///
    /// # Errors
    /// When they may not, or the store cannot be read.
    pub fn tokens(&self, by: &Identity) -> Result<Vec<Token>, AccessError> {
        decide(by, Act::ManageTokens, &Subject::Whole)?;
        let documents = self.store.documents(token::KIND, &Query::default())?;
        let mut tokens = documents.iter().map(Token::of).collect::<Result<Vec<_>, _>>()?;
        tokens.sort_by(|a, b| (b.created, &b.id).cmp(&(a.created, &a.id)));
        Ok(tokens.into_iter().map(Token::shown).collect())
    }

    /// Whether a token was ever made. As long as none was, a server is its starter's own; afterwards it never is again, whatever became of
    /// them: a server behind a proxy would be everybody's when the last one expires.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn had_tokens(&self) -> Result<bool, AccessError> {
        Ok(!self.store.documents(token::KIND, &Query { limit: Some(1), ..Query::default() })?.is_empty())
    }

    /// Whether there is a token that counts: a server that is reached from elsewhere needs one.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn has_tokens(&self, now: Timestamp) -> Result<bool, AccessError> {
        for document in self.store.documents(token::KIND, &Query::default())? {
            if Token::of(&document)?.counts(now) {
                return Ok(true);
            }
        }
        Ok(false)
    }

    /// Revokes a token, from the next request on, with all sessions that it began.
    ///
    /// # Errors
    /// When they may not, or there is no such token.
    pub fn revoke_token(&self, by: &Identity, id: &str, now: Timestamp) -> Result<Token, AccessError> {
        self.may_manage(by, &format!("token {id}"), now)?;
        let document = self.store.document(token::KIND, id)?;
        let document = document.ok_or_else(|| AccessError::NoSuchToken(id.to_owned()))?;
        let mut token = Token::of(&document)?;
        if token.revoked_by.is_some() {
            return Ok(token.shown());
        }
        token.revoked_by = Some(by.name.clone());
        let body = token_body(&token)?;
        let deed = Deed::done(Act::ManageTokens.name(), on_token(&token)).with("revoked", "it counts no more");
        // Its last use may have been noted meanwhile: a revocation goes before that.
        let write = Write { expect: crate::journal::Expect::Any, ..Write::replace(token::KIND, &document, body) };
        self.record(by, deed, now, &|_| Ok(vec![write.clone()]))?;
        for document in self.store.documents(session::KIND, &Query::default())? {
            if Session::of(&document).is_ok_and(|session| session.token == id) {
                self.remove(session::KIND, &document, now);
            }
        }
        Ok(token.shown())
    }

    fn may_manage(&self, by: &Identity, on: &str, now: Timestamp) -> Result<(), AccessError> {
        if let Err(denied) = decide(by, Act::ManageTokens, &Subject::Whole) {
            let deed = Deed { denied: Some(denied.to_string()), ..Deed::done(Act::ManageTokens.name(), on) };
            self.write_down(by, deed, now)?;
            return Err(denied.into());
        }
        Ok(())
    }

    /// Who shows this token.
    ///
    /// # Errors
    /// [`AccessError::NotValid`] whatever is wrong with it, [`AccessError::Slow`] after too many that were.
    pub fn authenticate(&self, shown: &str, from: IpAddr, now: Timestamp) -> Result<Identity, AccessError> {
        let token = self.open(shown, from, now)?;
        Ok(token.identity(Means::Token { token: token.id.clone() }))
    }

    fn open(&self, shown: &str, from: IpAddr, now: Timestamp) -> Result<Token, AccessError> {
        let parts = token::parts(shown);
        let (id, secret) = parts.unwrap_or(("", shown));
        let known = parts.map(|(id, _)| id);
        self.guard.check(from, known, now).map_err(|wait| AccessError::Slow { wait })?;
        // What has not the form of a token takes the same way, so that it takes the same time.
        let document = self.store.document(token::KIND, id)?;
        let token = document.as_ref().map(Token::of).transpose()?;
        let opens = Token::opens(token.as_ref(), secret);
        match (token, document) {
            (Some(token), Some(document)) if opens && token.counts(now) => {
                self.guard.succeeded(from, id);
                Ok(self.note_use(token, &document, now))
            }
            _ => {
                if self.guard.failed(from, known, now) {
                    let by = Identity::system("muster");
                    let deed =
                        Deed { denied: Some("too many wrong tokens".to_owned()), ..Deed::done("login", "tokens") };
                    self.write_down(&by, deed.with("from", from.to_string()), now)?;
                }
                Err(AccessError::NotValid)
            }
        }
    }

    /// Best effort: a store that is full, or a use that another process noted, keeps nobody out.
    fn note_use(&self, mut token: Token, document: &Document, now: Timestamp) -> Token {
        let due = token.used.is_none_or(|used| now > used.saturating_add(token::NOTED_EVERY).unwrap_or(Timestamp::MAX));
        if due {
            token.used = Some(now);
            if let Ok(body) = token_body(&token) {
                let _ = self.store.write_documents(&[Write::replace(token::KIND, document, body)], now);
            }
        }
        token
    }

    /// Begins a session of the pages. Its cookie is new whatever the browser had before, and the session of `old` is over.
    ///
    /// # Errors
    /// As [`Desk::authenticate`].
    pub fn login(&self, shown: &str, old: Option<&str>, from: IpAddr, now: Timestamp) -> Result<Login, AccessError> {
        let token = self.open(shown, from, now)?;
        self.sweep(&token.id, old, now)?;
        let (session, cookie) = Session::begin(&token.id, now)?;
        let identity = token.identity(Means::Session { token: token.id.clone() });
        let body = session_body(&session)?;
        let more = |_| Ok(vec![Write::create(session::KIND, Session::key(&cookie), body.clone())]);
        let deed = Deed::done("login", on_token(&token)).with("from", from.to_string());
        self.record(&identity, deed, now, &more)?;
        Ok(Login { cookie, session, identity })
    }

    /// Removes sessions that are over, that of `old`, and the oldest of a token that has too many.
    fn sweep(&self, token: &str, old: Option<&str>, now: Timestamp) -> Result<(), AccessError> {
        let old = old.map(Session::key);
        let mut of_token = Vec::new();
        for document in self.store.documents(session::KIND, &Query::default())? {
            match Session::of(&document) {
                Ok(session) if session.is_alive(now) && old.as_ref() != Some(&document.key) => {
                    if session.token == token {
                        of_token.push((session.begun, document));
                    }
                }
                _ => self.remove(session::KIND, &document, now),
            }
        }
        of_token.sort_by_key(|(begun, _)| *begun);
        let surplus = (of_token.len() + 1).saturating_sub(session::MOST);
        of_token.iter().take(surplus).for_each(|(_, document)| self.remove(session::KIND, document, now));
        Ok(())
    }

    /// Best effort: a session that stays is over all the same.
    fn remove(&self, kind: &str, document: &Document, now: Timestamp) {
        let _ = self.store.write_documents(&[Write::remove(kind, document)], now);
    }

    /// Whose session this is, if it goes on.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub fn session(&self, cookie: &str, now: Timestamp) -> Result<Option<(Identity, Session)>, AccessError> {
        let Some(document) = self.store.document(session::KIND, &Session::key(cookie))? else { return Ok(None) };
        let mut session = Session::of(&document)?;
        if !session.is_alive(now) {
            return Ok(None);
        }
        let token = self.store.document(token::KIND, &session.token)?;
        let Some(token) = token.as_ref().map(Token::of).transpose()?.filter(|token| token.counts(now)) else {
            return Ok(None);
        };
        if now > session.used.saturating_add(session::NOTED_EVERY).unwrap_or(Timestamp::MAX) {
            session.used = now;
            let _ =
                self.store.write_documents(&[Write::replace(session::KIND, &document, session_body(&session)?)], now);
        }
        Ok(Some((token.identity(Means::Session { token: token.id.clone() }), session)))
    }

    /// Ends a session.
    ///
    /// # Errors
    /// When the store cannot be written: it may go on then.
    pub fn logout(&self, cookie: &str, now: Timestamp) -> Result<(), AccessError> {
        let key = Session::key(cookie);
        let gone = Write { kind: session::KIND.to_owned(), key, expect: crate::journal::Expect::Any, body: None };
        Ok(self.store.write_documents(&[gone], now)?)
    }

    /// All reviews that somebody may see, newest first.
    ///
    /// # Errors
    /// When they may not, or the store cannot be read.
    pub fn reviews(&self, by: &Identity) -> Result<Vec<Review>, AccessError> {
        decide(by, Act::ViewAudit, &Subject::Whole)?;
        review::all(self.store.as_ref())
    }

    /// Closes a review with a word on what was found.
    ///
    /// # Errors
    /// When they may not (or did it themselves), there is no such review, or it is closed.
    pub fn close_review(&self, by: &Identity, id: &str, word: &str, now: Timestamp) -> Result<Review, AccessError> {
        let none = || AccessError::NoSuchReview(id.to_owned());
        let number: u64 = id.parse().map_err(|_| none())?;
        let document = self.store.document(review::KIND, &Review::key(number))?.ok_or_else(none)?;
        let mut review = Review::of(&document)?;
        let deed = Deed::done(Act::CloseReview.name(), format!("review {number}"))
            .with("run", review.run.as_str())
            .with("step", review.step.as_str())
            .with("word", word);
        let subject = Subject::Review { playbook: &review.playbook, about: &review.who };
        if let Err(denied) = decide(by, Act::CloseReview, &subject) {
            self.write_down(by, Deed { denied: Some(denied.to_string()), ..deed }, now)?;
            return Err(denied.into());
        }
        if word.trim().is_empty() {
            return Err(AccessError::Wordless("closing a review"));
        }
        if let Some(closed) = review.closed {
            return Err(AccessError::Closed { id: number, by: closed.by });
        }
        let word = self.redactor.scrub(word.trim()).into_owned();
        review.closed = Some(Closed { by: by.name.clone(), at: now, word });
        let body = review.body()?;
        self.record(by, deed, now, &|_| Ok(vec![Write::replace(review::KIND, &document, body.clone())]))?;
        Ok(review)
    }

    /// The newest entries of the audit log before a number, newest first.
    ///
    /// # Errors
    /// When they may not, or the store cannot be read.
    pub fn audit(&self, by: &Identity, before: Option<u64>, limit: usize) -> Result<Vec<Entry>, AccessError> {
        decide(by, Act::ViewAudit, &Subject::Whole)?;
        audit::page(self.store.as_ref(), before, limit)
    }
}

/// What an order says in words, for the log. Values that may be anything stay in the record of the run.
fn words(order: &Order) -> Vec<(&'static str, String)> {
    let step = |step: &StepPath| ("step", step.to_string());
    match order {
        Order::Retry { step: of, from_start } => {
            let mut words = vec![step(of)];
            words.extend(from_start.then(|| ("from start", "yes".to_owned())));
            words
        }
        Order::Skip { step: of, reason, .. }
        | Order::Reject { step: of, reason }
        | Order::Accept { step: of, reason } => vec![step(of), ("reason", reason.clone())],
        Order::Settle { step: of, done, reason, .. } => {
            let word = if *done { "it was done" } else { "it was not done" };
            vec![step(of), ("settled", word.to_owned()), ("reason", reason.clone())]
        }
        Order::Done { step: of, evidence, .. } => vec![step(of), ("evidence", evidence.clone())],
        Order::Approve { step: of, role, reason, break_glass, .. } => {
            let mut words = vec![step(of)];
            words.extend(role.clone().map(|role| ("as", role)));
            words.extend(reason.clone().map(|reason| ("reason", reason)));
            words.extend(break_glass.then(|| ("glass", "broken".to_owned())));
            words
        }
        Order::Answer { step: of, .. } => vec![step(of)],
        Order::Rollback { to, force } => {
            let mut words: Vec<_> = to.iter().map(|to| ("to", to.to_string())).collect();
            words.extend(force.then(|| ("force", "yes".to_owned())));
            words
        }
        Order::SkipUndo { reason } => vec![("reason", reason.clone())],
        Order::Cancel { no_rollback } => no_rollback.then(|| ("rollback", "no".to_owned())).into_iter().collect(),
        Order::Note { .. } | Order::Kill | Order::Resume => Vec::new(),
        Order::Bind { plan, .. } => vec![("plan", plan.digest.clone())],
    }
}

fn on_token(token: &Token) -> String {
    format!("token {} ({})", token.name, token.id)
}

fn token_body(token: &Token) -> Result<serde_json::Value, AccessError> {
    serde_json::to_value(token).map_err(|error| AccessError::Document {
        kind: token::KIND,
        key: token.id.clone(),
        what: error.to_string(),
    })
}

fn session_body(session: &Session) -> Result<serde_json::Value, AccessError> {
    serde_json::to_value(session).map_err(|error| AccessError::Document {
        kind: session::KIND,
        key: String::new(),
        what: error.to_string(),
    })
}

/// The refusal, if that is what an error is.
impl AccessError {
    /// Why they may not, if that is it.
    #[must_use]
    pub fn denied(&self) -> Option<&Denied> {
        match self {
            Self::Denied(denied) => Some(denied),
            _ => None,
        }
    }
}
