//! A difference in words: which fields of a resource are not what they were.

use crate::model::Value;

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

    use super::between;

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
}
