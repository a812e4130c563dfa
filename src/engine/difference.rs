//! A difference in words: which fields of a resource are not what they were, and where a call parts from its plan.

use super::bound::fits;
use crate::model::Value;
use crate::model::unknown::{Shape, Unknown};

/// No sentence names more fields than these.
const MOST: usize = 6;
/// Longer values are told by their beginning: digests, mostly.
const LONGEST: usize = 24;

/// Which fields differ, as `bytes was 10 and is 12`; nothing when none does.
#[must_use]
pub fn between(was: &Value, is: &Value) -> String {
    let mut found = Vec::new();
    compare("", was, is, &mut found);
    let more = found.len().saturating_sub(MOST);
    found.truncate(MOST);
    let mut text = found.join(", ");
    if more > 0 {
        text.push_str(&format!(", and {more} more"));
    }
    text
}

fn compare(name: &str, was: &Value, is: &Value, found: &mut Vec<String>) {
    if was == is {
        return;
    }
    let (Value::Object(before), Value::Object(after)) = (was, is) else {
        let name = if name.is_empty() { "it" } else { name };
        found.push(match (was, is) {
            (Value::Null, is) => format!("{name} was not there and is {}", word(is)),
            (was, Value::Null) => format!("{name} was {} and is not there any more", word(was)),
            (was, is) => {
                let (was, is) = apart(was, is);
                format!("{name} was {was} and is {is}")
            }
        });
        return;
    };
    let names = before.keys().chain(after.keys().filter(|key| !before.contains_key(*key)));
    for key in names {
        let below = if name.is_empty() { key.replace('_', " ") } else { format!("{name}.{key}") };
        compare(&below, before.get(key).unwrap_or(&Value::Null), after.get(key).unwrap_or(&Value::Null), found);
    }
}

/// Where a value parts from what a plan says of it, a text each: `value.files[0].bytes is 12, planned was 10`.
#[must_use]
pub fn parts(planned: &Value, made: &Value) -> Vec<String> {
    let mut found = Vec::new();
    part("", planned, made, &mut found);
    found
}

/// The same as one sentence.
pub(super) fn from_plan(planned: &Value, made: &Value) -> String {
    let mut found = parts(planned, made);
    let more = found.len().saturating_sub(MOST);
    found.truncate(MOST);
    match more {
        0 => found.join("; "),
        more => format!("{}; and {more} more", found.join("; ")),
    }
}

fn part(at: &str, planned: &Value, made: &Value, found: &mut Vec<String>) {
    if fits(planned, made) {
        return;
    }
    let below = |name: &str| if at.is_empty() { name.to_owned() } else { format!("{at}.{name}") };
    match (planned, made) {
        (Value::Object(before), Value::Object(after)) if Unknown::of(planned).is_none() => {
            for (name, value) in before {
                match after.get(name) {
                    Some(other) => part(&below(name), value, other, found),
                    None => found.push(format!("{} is not there, planned was {}", below(name), meant(value))),
                }
            }
            let new = after.iter().filter(|(name, _)| !before.contains_key(*name));
            found.extend(new.map(|(name, value)| format!("{} is {}, and was not planned", below(name), word(value))));
        }
        (Value::Array(before), Value::Array(after)) if before.len() == after.len() => {
            for (place, (value, other)) in before.iter().zip(after).enumerate() {
                part(&format!("{at}[{place}]"), value, other, found);
            }
        }
        (Value::Array(before), Value::Array(after)) => {
            found.push(format!("{at} has {} items, planned were {}", after.len(), before.len()));
        }
        _ => {
            let (was, is) =
                if Unknown::of(planned).is_some() { (meant(planned), word(made)) } else { apart(planned, made) };
            found.push(format!("{at} is {is}, planned was {was}"));
        }
    }
}

/// What a plan says of a value, in words.
fn meant(planned: &Value) -> String {
    let Some(unknown) = Unknown::of(planned) else { return word(planned) };
    let shape = match unknown.shape {
        Shape::Any => String::new(),
        shape => format!(" of the shape {shape:?}"),
    };
    format!("unknown ({}){shape}", unknown.source)
}

/// Both as words; whole where their beginnings are the same.
fn apart(was: &Value, is: &Value) -> (String, String) {
    let short = (word(was), word(is));
    if short.0 == short.1 { (whole(was), whole(is)) } else { short }
}

fn word(value: &Value) -> String {
    let text = whole(value);
    match text.char_indices().nth(LONGEST) {
        Some((at, _)) => format!("{}…", &text[..at]),
        None => text,
    }
}

fn whole(value: &Value) -> String {
    match value {
        Value::Bool(true) => "yes".to_owned(),
        Value::Bool(false) => "no".to_owned(),
        Value::String(text) if text.is_empty() => "empty".to_owned(),
        Value::String(text) => text.clone(),
        Value::Array(items) if items.is_empty() => "empty".to_owned(),
        Value::Array(items) => items.iter().map(whole).collect::<Vec<_>>().join(" "),
        Value::Object(fields) if fields.is_empty() => "empty".to_owned(),
        Value::Object(fields) => {
            fields.iter().map(|(name, value)| format!("{name} {}", whole(value))).collect::<Vec<_>>().join("; ")
        }
        other => other.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::{between, from_plan};

    #[test]
    fn only_what_differs_is_told_and_in_words() {
        let was = json!({ "id": "4f", "running": true, "started_at": "noon" });
        assert_eq!(
            between(&was, &json!({ "id": "4f", "running": false, "started_at": "noon" })),
            "running was yes and is no"
        );
        assert_eq!(between(&json!({ "oid": 16 }), &json!({ "oid": null })), "oid was 16 and is not there any more");
        assert_eq!(
            between(&json!({ "bytes": null }), &json!({ "bytes": 3, "modified": "noon" })),
            "bytes was not there and is 3, modified was not there and is noon"
        );
        assert_eq!(
            between(&json!({ "names": { "a": 1 } }), &json!({ "names": { "b": 1 } })),
            "names.a was 1 and is not there any more, names.b was not there and is 1"
        );
        assert_eq!(between(&was, &was), "");
    }

    #[test]
    fn digests_are_told_by_their_beginning_unless_that_is_the_same() {
        let digest = |end: &str| json!({ "sha256": format!("{}{end}", "0123456789abcdef".repeat(2)) });
        let other = json!({ "sha256": "f".repeat(64) });
        assert_eq!(
            between(&digest(""), &other),
            "sha256 was 0123456789abcdef01234567… and is ffffffffffffffffffffffff…"
        );
        assert!(between(&digest("a"), &digest("b")).ends_with("abcdefb"));
    }

    #[test]
    fn the_sentence_has_an_end() {
        let many = |n: u64| (0..20).map(|i| (format!("f{i}"), json!(n))).collect::<serde_json::Map<_, _>>().into();
        assert!(between(&many(1), &many(2)).ends_with(", and 14 more"));
    }

    #[test]
    fn where_a_call_parts_from_its_plan_is_told_and_nothing_else() {
        let planned = json!({ "path": "/x", "value": { "rows": [{ "n": 1 }, { "n": 2 }], "sum": { "$unknown": "why", "shape": "int" } } });
        let made = |n: u64, sum: serde_json::Value| json!({ "path": "/x", "value": { "rows": [{ "n": 1 }, { "n": n }], "sum": sum } });
        assert_eq!(from_plan(&planned, &made(2, json!(7))), "");
        assert_eq!(from_plan(&planned, &made(3, json!(7))), "value.rows[1].n is 3, planned was 2");
        assert_eq!(
            from_plan(&planned, &made(2, json!("x"))),
            "value.sum is x, planned was unknown (why) of the shape Int"
        );
        assert_eq!(
            from_plan(&json!({ "a": 1, "c": [1] }), &json!({ "b": 2, "c": [] })),
            "a is not there, planned was 1; c has 0 items, planned were 1; b is 2, and was not planned"
        );
    }
}
