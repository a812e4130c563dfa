//! Secrets: handles that name them, and the redactor that keeps their contents out of everything durable or printed.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::{STANDARD, STANDARD_NO_PAD, URL_SAFE, URL_SAFE_NO_PAD};
use parking_lot::RwLock;
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use serde::{Deserialize, Serialize};

use super::Value;

/// What stands in place of a secret's contents.
pub const REDACTED: &str = "‹redacted›";

/// Secrets shorter than this are not searched for: they would redact half of every log. They are protected by being
/// handles, by name only.
pub const SHORTEST_SEARCHED: usize = 6;

/// Replaces the contents of known secrets, and their base64, URL and JSON-escaped forms, in any text.
///
/// # Guarantees
/// A text passed through [`Redactor::scrub`] after [`Redactor::learn`] has returned contains none of the forms.
#[derive(Default)]
pub struct Redactor {
    /// Longest first, so that a secret that contains another is replaced whole.
    forms: RwLock<Vec<String>>,
}

impl Redactor {
    /// Remembers a secret's contents in all its forms.
    pub fn learn(&self, secret: &str) {
        let mut wanted = vec![secret.to_owned()];
        wanted.extend(secret.lines().filter(|line| line.len() >= 16).map(str::to_owned));
        let mut forms = self.forms.write();
        for text in wanted {
            if text.len() < SHORTEST_SEARCHED {
                continue;
            }
            let json = serde_json::Value::from(text.as_str()).to_string();
            let mut encoded = vec![
                json[1..json.len() - 1].to_owned(),
                percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string(),
                text.replace('\'', "'\\''"),
            ];
            for engine in [&STANDARD, &STANDARD_NO_PAD, &URL_SAFE, &URL_SAFE_NO_PAD] {
                encoded.push(engine.encode(text.as_bytes()));
                // Inside a longer encoded text the secret may start at any of three places of a group.
                for lead in 1..3usize {
                    let mut padded = vec![0u8; lead];
                    padded.extend_from_slice(text.as_bytes());
                    let whole = engine.encode(&padded);
                    let whole = whole.trim_end_matches('=');
                    let from = (lead * 8).div_ceil(6);
                    let until = (padded.len() * 8) / 6;
                    if until > from + 5 {
                        encoded.push(whole[from..until.min(whole.len())].to_owned());
                    }
                }
                let until = (text.len() * 8) / 6;
                encoded.push(engine.encode(text.as_bytes()).chars().take(until).collect());
            }
            encoded.push(text);
            for form in encoded {
                if form.len() >= SHORTEST_SEARCHED && !forms.contains(&form) {
                    forms.push(form);
                }
            }
        }
        forms.sort_by_key(|form| std::cmp::Reverse(form.len()));
    }

    /// The text without any known secret.
    #[must_use]
    pub fn scrub<'t>(&self, text: &'t str) -> Cow<'t, str> {
        let forms = self.forms.read();
        let mut clean = Cow::Borrowed(text);
        for form in forms.iter() {
            if clean.contains(form.as_str()) {
                clean = Cow::Owned(clean.replace(form.as_str(), REDACTED));
            }
        }
        clean
    }

    /// Whether anything is to be redacted at all.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.forms.read().is_empty()
    }
}

/// The key under which a [`crate::model::Value`] object is a secret's handle rather than data:
/// `{"$secret": {"provider": "env", "name": "PGPASSWORD"}}`.
pub const HANDLE_KEY: &str = "$secret";

/// Whether a value is a secret's handle.
#[must_use]
pub fn is_handle(value: &super::Value) -> bool {
    value.as_object().is_some_and(|object| object.len() == 1 && object.contains_key(HANDLE_KEY))
}

/// The handles of secrets in a value.
#[must_use]
pub fn handles_in(value: &Value) -> Vec<&Value> {
    match value {
        value if is_handle(value) => vec![value],
        Value::Array(items) => items.iter().flat_map(handles_in).collect(),
        Value::Object(fields) => fields.values().flat_map(handles_in).collect(),
        _ => Vec::new(),
    }
}

/// A secret as a run met it: which one, and what tells its contents from others. Never the contents.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Sighting {
    /// Its handle: provider and name. `env`, `file` and `dotenv` count no versions; the MAC stands for one.
    pub handle: Value,
    /// Keyed MAC of its contents, in hex: the same for the same contents under this name in this run, and for nothing else.
    /// Without the store's key it says nothing, and no guess can be tried against it.
    pub mac: String,
}

impl Sighting {
    /// The secret in words: `dotenv PASSWORD in /srv/.env`. No two secrets have the same.
    #[must_use]
    pub fn name(&self) -> String {
        let inner = &self.handle[HANDLE_KEY];
        let part = |name: &str| inner.get(name).and_then(Value::as_str);
        let provider = part("provider").unwrap_or_default();
        if let (Some(secret), Some(version)) = (part("secret"), part("version")) {
            let field = part("key").map(|key| format!("{key} in ")).unwrap_or_default();
            let access = inner.get("aws").and_then(Value::as_object).filter(|access| !access.is_empty());
            let access = access.map(|access| {
                let parts: Vec<&str> = access.values().filter_map(Value::as_str).collect();
                format!(" ({})", parts.join(" "))
            });
            return format!("{provider} {field}{secret} version {version}{}", access.unwrap_or_default());
        }
        match (part("key").or_else(|| part("name")), part("path")) {
            (Some(name), Some(path)) => format!("{provider} {name} in {path}"),
            (Some(one), None) | (None, Some(one)) => format!("{provider} {one}"),
            (None, None) => inner.to_string(),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn every_form_of_a_secret_is_replaced() {
        let redactor = Redactor::default();
        let secret = "p@ss\"w\\zyx ü'1";
        redactor.learn(secret);
        let json = serde_json::Value::from(secret).to_string();
        let texts = [
            format!("password={secret};"),
            json,
            percent_encode(secret.as_bytes(), NON_ALPHANUMERIC).to_string(),
            STANDARD.encode(secret),
            URL_SAFE_NO_PAD.encode(secret),
        ];
        for text in texts {
            let clean = redactor.scrub(&text);
            assert!(clean.contains(REDACTED), "{text} -> {clean}");
            assert!(!clean.contains("zyx"), "{clean}");
        }
    }

    proptest! {
        #[test]
        fn a_secret_inside_a_longer_base64_text_is_replaced(
            secret in "[a-zA-Z0-9]{12,30}", before in "[a-z]{0,7}", after in "[a-z]{0,7}",
        ) {
            let redactor = Redactor::default();
            redactor.learn(&secret);
            let text = STANDARD.encode(format!("{before}{secret}{after}"));
            prop_assert!(redactor.scrub(&text).contains(REDACTED));
        }
    }
}
