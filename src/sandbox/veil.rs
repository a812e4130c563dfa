//! What stands in a planned world for things that only the run will know: sizes, numbers, names and contents that nobody can tell
//! before, and how they are shown once they leave it.

use crate::model::fault::OpError;
use crate::model::{Timestamp, Value};
use crate::ops::spec::unknown;

/// The size of what nobody knows the size of. A sum of sizes is unknown as soon as it is as large.
pub const UNKNOWN_BYTES: u64 = 1 << 50;

/// The first of the object ids that stand for those a server will choose.
pub const UNKNOWN_OID: u32 = 4_294_000_000;

/// Stands in the error of a model that would have to look into contents that nobody knows.
const UNSEEN: &str = "⟨unseen⟩ ";

const OPEN: &str = "⟨unknown: ";
const CLOSE: &str = "⟩";

/// A text that stands for one which only the run will know.
#[must_use]
pub fn mark(why: &str) -> String {
    format!("{OPEN}{why}{CLOSE}")
}

/// Why a text is unknown, if a part of it stands for something that only the run will know.
#[must_use]
pub fn marked(text: &str) -> Option<&str> {
    let (_, rest) = text.split_once(OPEN)?;
    rest.split(CLOSE).next()
}

/// Whether so many bytes fit where so many are free. What nobody knows the size of is taken to fit.
#[must_use]
pub fn fits(bytes: u64, free: u64) -> bool {
    bytes >= UNKNOWN_BYTES || bytes <= free
}

/// What a model answers that would have to look into contents that nobody knows.
#[must_use]
pub fn unseen(why: &str) -> OpError {
    OpError::failed(format!("{UNSEEN}{why}"))
}

/// Why a model could not look, if that is what its error says.
#[must_use]
pub fn why_unseen(error: &OpError) -> Option<&str> {
    error.message.split_once(UNSEEN).map(|(_, why)| why)
}

/// Fields that hold the time at which something was done.
const TIMES: [&str; 15] = [
    "modified",
    "started_at",
    "created_at",
    "data_until",
    "earliest_restorable",
    "latest_restorable",
    "earliest",
    "latest",
    "creationTimestamp",
    "deletionTimestamp",
    "startTime",
    "completionTime",
    "startedAt",
    "lastTransitionTime",
    "lastTimestamp",
];

/// The value with everything that only the run will know marked as such. `since`: what was done later than this was done by
/// the plan, and the run will do it at another time.
#[must_use]
pub fn lift(value: Value, since: Timestamp) -> Value {
    lift_field("", value, since)
}

fn lift_field(name: &str, value: Value, since: Timestamp) -> Value {
    match value {
        Value::String(text) => {
            if let Some(why) = marked(&text) {
                return unknown(why);
            }
            let later = || text.parse::<Timestamp>().is_ok_and(|at| at > since);
            if TIMES.contains(&name) && later() { unknown("when the run comes to it") } else { Value::String(text) }
        }
        Value::Number(number) => match number.as_u64() {
            Some(large) if large >= UNKNOWN_BYTES => unknown("known when the run comes to it"),
            Some(oid) if name == "oid" && (u64::from(UNKNOWN_OID)..1 << 32).contains(&oid) => {
                unknown("the server chooses it")
            }
            _ => Value::Number(number),
        },
        Value::Array(items) => items.into_iter().map(|item| lift_field(name, item, since)).collect(),
        Value::Object(fields) => {
            let inner = |key: &str| if name == "oids" { "oid".to_owned() } else { key.to_owned() };
            fields.into_iter().map(|(key, value)| (key.clone(), lift_field(&inner(&key), value, since))).collect()
        }
        other => other,
    }
}

/// The value with text in the place of everything that only the run will know, so that it fits the schema of arguments where
/// that wants a text.
#[must_use]
pub fn lower(value: &Value) -> Value {
    match value {
        Value::Object(fields) => match fields.get(crate::ops::spec::UNKNOWN_KEY) {
            Some(why) => Value::String(mark(why.as_str().unwrap_or("known when the run comes to it"))),
            None => fields.iter().map(|(key, value)| (key.clone(), lower(value))).collect(),
        },
        Value::Array(items) => items.iter().map(lower).collect(),
        other => other.clone(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn what_only_the_run_will_know_leaves_marked() {
        let since: Timestamp = "2026-01-01T00:00:00Z".parse().unwrap();
        let lifted = lift(
            json!({
                "bytes": 3 * UNKNOWN_BYTES, "kept": 4_294_000_001u64, "oid": UNKNOWN_OID + 1, "oids": { "chat": UNKNOWN_OID },
                "modified": "2026-01-02T00:00:00Z", "started_at": "2025-12-31T00:00:00Z", "until": "2027-01-01T00:00:00Z",
                "text": format!("a {} b", mark("the id")),
            }),
            since,
        );
        let (size, time) = ("known when the run comes to it", "when the run comes to it");
        let wanted = json!({
            "bytes": unknown(size), "kept": 4_294_000_001u64, "oid": unknown("the server chooses it"),
            "oids": { "chat": unknown("the server chooses it") }, "modified": unknown(time),
            "started_at": "2025-12-31T00:00:00Z", "until": "2027-01-01T00:00:00Z", "text": unknown("the id"),
        });
        assert_eq!(lifted, wanted);
    }

    #[test]
    fn an_unknown_argument_is_known_again_by_its_text() {
        let lowered = lower(&json!({ "path": "/x", "value": [unknown("the sum")] }));
        assert_eq!(lowered["value"][0].as_str().and_then(marked), Some("the sum"));
        assert_eq!(lowered["path"], "/x");
    }
}
