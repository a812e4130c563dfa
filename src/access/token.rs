//! Tokens: what programs and people show to the server. `mst_<id>_<secret>`; only the digest of the secret is stored.

use std::collections::BTreeSet;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::error::AccessError;
use super::identity::{Identity, Means};
use super::role::Role;
use super::secret;
use crate::journal::Document;
use crate::model::{RunId, Timestamp};

/// The kind of document a token is.
pub const KIND: &str = "token";

/// How long a token counts when nobody says.
pub const LIFETIME: Duration = Duration::from_hours(24 * 90);

/// How long it counts at most.
pub const LONGEST: Duration = Duration::from_hours(24 * 366);

/// The last use is noted no more often than this: a token in use does not write at every request.
pub const NOTED_EVERY: Duration = Duration::from_mins(15);

/// What every token begins with, so that scanners for leaked secrets know it.
const BEGINNING: &str = "mst_";

/// A token as stored. It holds nothing by which somebody could use it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Token {
    /// Names it in lists and in the audit log.
    pub id: String,
    /// What its bearer is called in every record.
    pub name: String,
    /// What its bearer is trusted with.
    pub roles: BTreeSet<Role>,
    /// Globs over the names of playbooks; all when empty.
    #[serde(default)]
    pub playbooks: Vec<String>,
    /// See [`Identity::approves_as`].
    #[serde(default)]
    pub approves_as: Vec<String>,
    /// SHA-256 of the secret, in hexadecimal.
    #[serde(skip_serializing_if = "String::is_empty", default)]
    pub digest: String,
    /// Who made it.
    pub created_by: String,
    /// When.
    #[schemars(with = "String")]
    pub created: Timestamp,
    /// From then on it counts no more.
    #[schemars(with = "String")]
    pub expires: Timestamp,
    /// When it was used last, give or take a quarter of an hour.
    #[schemars(with = "Option<String>")]
    pub used: Option<Timestamp>,
    /// Who revoked it.
    pub revoked_by: Option<String>,
}

/// A token to be made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NewToken {
    /// What its bearer is called in every record. A person keeps theirs: nobody approves what they started.
    pub name: String,
    /// What its bearer is trusted with.
    pub roles: BTreeSet<Role>,
    /// Globs over the names of playbooks; all when empty.
    #[serde(default)]
    pub playbooks: Vec<String>,
    /// Approver names that its bearer may approve as.
    #[serde(default)]
    pub approves_as: Vec<String>,
    /// How long it counts, in seconds; 90 days when absent.
    #[serde(default)]
    pub seconds: Option<u64>,
}

impl NewToken {
    /// The token as it is stored, and what its bearer shows: said once, and nowhere kept.
    ///
    /// # Errors
    /// When it makes no sense, or the system has no random bits.
    pub(super) fn mint(self, by: &str, now: Timestamp) -> Result<(Token, String), AccessError> {
        let wrong = |what: &str| Err(AccessError::Token(what.to_owned()));
        let is_text = |text: &str| {
            !text.trim().is_empty() && text.trim() == text && text.len() <= 100 && !text.chars().any(char::is_control)
        };
        if !is_text(&self.name) {
            return wrong("its name is one line of at most 100 characters");
        }
        if self.name.split(['@', ' ']).next() == Some("muster") {
            return wrong("muster is the name of muster itself");
        }
        if self.roles.is_empty() {
            return wrong("it needs a role: viewer, operator, approver or admin");
        }
        if !self.playbooks.iter().chain(&self.approves_as).all(|text| is_text(text)) {
            return wrong("playbooks and approver names are lines of at most 100 characters");
        }
        let lifetime = self.seconds.map_or(LIFETIME, Duration::from_secs);
        if lifetime.is_zero() || lifetime > LONGEST {
            return wrong("it counts for at least a second and at most 366 days");
        }
        let chance = getrandom::u64().map_err(|error| AccessError::Chance(error.to_string()))?;
        let id = RunId::from_entropy(chance).as_str()[..8].to_owned();
        let secret = secret::random()?;
        let shown = format!("{BEGINNING}{id}_{secret}");
        let token = Token {
            id,
            name: self.name,
            roles: self.roles,
            playbooks: self.playbooks,
            approves_as: self.approves_as,
            digest: secret::digest(&secret),
            created_by: by.to_owned(),
            created: now,
            expires: now.saturating_add(lifetime).unwrap_or(Timestamp::MAX),
            used: None,
            revoked_by: None,
        };
        Ok((token, shown))
    }
}

impl Token {
    /// The token in a document.
    ///
    /// # Errors
    /// When it is none.
    pub(super) fn of(document: &Document) -> Result<Self, AccessError> {
        serde_json::from_value(document.body.clone()).map_err(|error| AccessError::Document {
            kind: KIND,
            key: document.key.clone(),
            what: error.to_string(),
        })
    }

    /// Whether it counts.
    #[must_use]
    pub fn counts(&self, now: Timestamp) -> bool {
        self.revoked_by.is_none() && now < self.expires
    }

    /// How it stands, in a word.
    #[must_use]
    pub fn standing(&self, now: Timestamp) -> &'static str {
        match self.revoked_by {
            Some(_) => "revoked",
            None if now >= self.expires => "expired",
            None => "valid",
        }
    }

    /// The same without the digest: what lists show.
    #[must_use]
    pub fn shown(mut self) -> Self {
        self.digest.clear();
        self
    }

    /// Who its bearer is.
    #[must_use]
    pub(super) fn identity(&self, means: Means) -> Identity {
        Identity {
            name: self.name.clone(),
            roles: self.roles.clone(),
            playbooks: self.playbooks.clone(),
            approves_as: self.approves_as.clone(),
            means,
        }
    }

    /// Whether this is its secret. Takes as long for a token that is none.
    pub(super) fn opens(token: Option<&Self>, secret: &str) -> bool {
        // No secret has this digest: it is too long.
        const NOBODY: &str = "0000000000000000000000000000000000000000000000000000000000000000";
        secret::same(token.map_or(NOBODY, |token| &token.digest), &secret::digest(secret)) && token.is_some()
    }
}

/// The id and the secret of what was shown, if it has the form of a token.
pub(super) fn parts(shown: &str) -> Option<(&str, &str)> {
    let (id, secret) = shown.strip_prefix(BEGINNING)?.split_once('_')?;
    let is_id = id.len() == 8 && id.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit());
    (is_id && secret.len() == 43).then_some((id, secret))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn new(name: &str) -> NewToken {
        NewToken {
            name: name.to_owned(),
            roles: BTreeSet::from([Role::Viewer]),
            playbooks: Vec::new(),
            approves_as: Vec::new(),
            seconds: None,
        }
    }

    #[test]
    fn a_token_opens_with_what_was_shown_and_nothing_else() {
        let (token, shown) = new("alice").mint("root", Timestamp::UNIX_EPOCH).expect("a token");
        let (id, secret) = parts(&shown).expect("the form of a token");
        assert_eq!(id, token.id);
        assert!(Token::opens(Some(&token), secret));
        assert!(!Token::opens(Some(&token), &secret.replace(|_: char| true, "A")));
        assert!(!Token::opens(None, secret));
        let stored = serde_json::to_string(&token).expect("a document");
        assert!(!stored.contains(secret), "the secret is stored");
    }

    #[test]
    fn a_token_counts_until_it_expires() {
        let (token, _) = new("alice").mint("root", Timestamp::UNIX_EPOCH).expect("a token");
        let at = |days: u64| Timestamp::UNIX_EPOCH + Duration::from_hours(24 * days);
        assert!(token.counts(at(89)));
        assert!(!token.counts(at(90)));
    }

    #[test]
    fn a_token_that_makes_no_sense_is_not_made() {
        for name in ["", " ", "two\nlines", "muster", "muster@host", &"x".repeat(101)] {
            assert!(new(name).mint("root", Timestamp::UNIX_EPOCH).is_err(), "{name:?}");
        }
        let bare = NewToken { roles: BTreeSet::new(), ..new("alice") };
        assert!(bare.mint("root", Timestamp::UNIX_EPOCH).is_err());
        let eternal = NewToken { seconds: Some(u64::MAX), ..new("alice") };
        assert!(eternal.mint("root", Timestamp::UNIX_EPOCH).is_err());
    }

    proptest! {
        #[test]
        fn whatever_is_shown_is_read_without_a_fault(shown in ".{0,80}", rest in "[A-Za-z0-9_-]{0,60}") {
            let _ = parts(&shown);
            let _ = parts(&format!("mst_{rest}"));
            prop_assert!(!Token::opens(None, &shown));
        }
    }
}
