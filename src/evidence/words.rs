//! Instants, spans of time and values as people read them; texts from outside, on one line.

use crate::model::secret::{HANDLE_KEY, is_handle};
use crate::model::{Timestamp, Value};

/// How long a value may get in a form for people; JSON has all of it.
const LONGEST: usize = 400;

/// The text on one line, without what could end a line, move a cursor or turn the direction of what follows.
#[must_use]
pub fn flat(text: &str) -> String {
    let moves = |c: char| {
        c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
    };
    text.split(moves).filter(|part| !part.trim().is_empty()).collect::<Vec<_>>().join(" ")
}

/// The same, cut to a length that can be read.
#[must_use]
pub fn short(text: &str) -> String {
    let text = flat(text);
    if text.chars().count() <= LONGEST {
        return text;
    }
    text.chars().take(LONGEST).chain(std::iter::once('…')).collect()
}

/// `2026-03-01 12:00:03Z`.
#[must_use]
pub fn instant(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%SZ").to_string()
}

/// `2d 3h`, `1h 2m`, `3m 4s`, `5.6s`, `70ms`.
#[must_use]
pub fn span(millis: u64) -> String {
    let seconds = millis / 1000;
    match seconds {
        86_400.. => format!("{}d {}h", seconds / 86_400, seconds / 3600 % 24),
        3600.. => format!("{}h {}m", seconds / 3600, seconds / 60 % 60),
        60.. => format!("{}m {}s", seconds / 60, seconds % 60),
        1.. => format!("{}.{}s", seconds, millis % 1000 / 100),
        0 => format!("{millis}ms"),
    }
}

/// From one instant to another in milliseconds; 0 when it is not later.
#[must_use]
pub fn millis(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}

/// A value on one line: texts without quotes, secrets by where they come from, the rest as JSON.
#[must_use]
pub fn value(value: &Value) -> String {
    match value {
        Value::String(text) => short(text),
        handle if is_handle(handle) => secret(handle),
        other => short(&other.to_string()),
    }
}

/// Where a secret comes from: `secret env:PGPASSWORD`.
#[must_use]
pub fn secret(handle: &Value) -> String {
    let inner = &handle[HANDLE_KEY];
    let part = |key: &str| inner.get(key).and_then(Value::as_str);
    let parts = ["provider", "namespace", "secret", "name", "path", "version", "key"];
    let place: Vec<&str> = parts.into_iter().filter_map(part).collect();
    if place.is_empty() { "secret".to_owned() } else { format!("secret {}", flat(&place.join(":"))) }
}

/// The first twelve digits of a digest.
#[must_use]
pub fn digest(digest: &str) -> &str {
    digest.get(..12).unwrap_or(digest)
}

/// `1 effect`, `2 effects`.
#[must_use]
pub fn count(count: usize, noun: &str) -> String {
    if count == 1 { format!("1 {noun}") } else { format!("{count} {noun}s") }
}
