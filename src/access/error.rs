//! Why something was not let happen, or could not be recorded.

use std::time::Duration;

use super::decide::Denied;
use crate::journal::StoreError;

/// Why something was not let happen, or could not be recorded.
#[derive(Debug, thiserror::Error)]
pub enum AccessError {
    /// They may not.
    #[error(transparent)]
    Denied(#[from] Denied),
    /// The token is not one that counts. Whether it is unknown, wrong, expired or revoked is not said.
    #[error("the token is not valid: unknown, expired or revoked")]
    NotValid,
    /// Too many wrong tokens have come from there.
    #[error("too many tokens that are not valid: the next is looked at in {} s", .wait.as_secs().max(1))]
    Slow { wait: Duration },
    /// A token cannot be made like that.
    #[error("cannot create the token: {0}")]
    Token(String),
    /// There is no such token.
    #[error("no token `{0}`")]
    NoSuchToken(String),
    /// There is no such review.
    #[error("no review `{0}`")]
    NoSuchReview(String),
    /// It has been closed already.
    #[error("review {id} was closed by {by} already")]
    Closed { id: u64, by: String },
    /// Something has to be said in words.
    #[error("{0} needs a reason in words")]
    Wordless(&'static str),
    /// The audit log is not what was written.
    #[error("the audit log is damaged at entry {seq}: {what}")]
    Audit { seq: u64, what: String },
    /// A stored document is none that this program knows.
    #[error("{kind} `{key}` cannot be read: {what}")]
    Document { kind: &'static str, key: String, what: String },
    /// The system has no random bits.
    #[error("cannot get random bits: {0}")]
    Chance(String),
    /// The store.
    #[error(transparent)]
    Store(#[from] StoreError),
}
