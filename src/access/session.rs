//! Sessions of the pages: begun by a token, named by a cookie of which only the digest is stored.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::error::AccessError;
use super::secret;
use crate::journal::Document;
use crate::model::Timestamp;

/// The kind of document a session is.
pub const KIND: &str = "session";

/// Unused for so long, it is over.
pub const IDLE: Duration = Duration::from_hours(8);

/// It is over after so long in any case.
pub const LONGEST: Duration = Duration::from_hours(24);

/// The last use is noted no more often than this.
pub const NOTED_EVERY: Duration = Duration::from_mins(5);

/// So many sessions one token has at once; a login more ends the oldest.
pub const MOST: usize = 20;

/// A session as stored, under the digest of its cookie.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Session {
    /// The id of the token that began it. A session lives no longer than its token counts.
    pub token: String,
    /// What every form of its pages sends back: another site does not know it.
    pub csrf: String,
    /// When it began.
    pub begun: Timestamp,
    /// When it was used last, give or take five minutes.
    pub used: Timestamp,
}

impl Session {
    /// A new session with its cookie.
    ///
    /// # Errors
    /// When the system has no random bits.
    pub(super) fn begin(token: &str, now: Timestamp) -> Result<(Self, String), AccessError> {
        let session = Self { token: token.to_owned(), csrf: secret::random()?, begun: now, used: now };
        Ok((session, secret::random()?))
    }

    /// The session in a document.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn of(document: &Document) -> Result<Self, AccessError> {
        serde_json::from_value(document.body.clone()).map_err(|error| AccessError::Document {
            kind: KIND,
            // The key is no secret, but nobody needs it whole.
            key: document.key.chars().take(8).collect(),
            what: error.to_string(),
        })
    }

    /// Under which key a session with this cookie is stored.
    pub(super) fn key(cookie: &str) -> String {
        secret::digest(cookie)
    }

    /// Whether it goes on.
    #[must_use]
    pub fn is_alive(&self, now: Timestamp) -> bool {
        let until = |from: Timestamp, long: Duration| from.saturating_add(long).unwrap_or(Timestamp::MAX);
        now < until(self.used, IDLE) && now < until(self.begun, LONGEST)
    }

    /// Whether a form was made for this session.
    #[must_use]
    pub fn made(&self, csrf: &str) -> bool {
        secret::same(&self.csrf, csrf)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_session_ends_when_it_is_not_used_and_in_any_case_after_a_day() {
        let at = |hours: u64| Timestamp::UNIX_EPOCH + Duration::from_hours(hours);
        let (mut session, _) = Session::begin("abc", at(0)).expect("a session");
        assert!(session.is_alive(at(7)));
        assert!(!session.is_alive(at(8)));
        session.used = at(23);
        assert!(session.is_alive(at(23)));
        assert!(!session.is_alive(at(24)));
    }

    #[test]
    fn a_form_of_another_session_is_not_its_own() {
        let (one, cookie) = Session::begin("abc", Timestamp::UNIX_EPOCH).expect("a session");
        let (other, _) = Session::begin("abc", Timestamp::UNIX_EPOCH).expect("a session");
        assert!(one.made(&one.csrf.clone()));
        assert!(!one.made(&other.csrf));
        assert!(!one.made(""));
        assert!(!one.made(&cookie), "the cookie stands in forms");
    }
}
