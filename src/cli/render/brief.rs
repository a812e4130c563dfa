//! Arguments, results and last words, short enough for one line.

use crate::model::Value;
use crate::model::secret::is_handle;

/// How long the brief of a call's arguments may get.
const ARGS_LEN: usize = 72;

/// The arguments that tell one call from another: `database=chatbot_db from=/var/backups/x.dump`. Nested values are left
/// out, secrets are named, not shown.
#[must_use]
pub fn args(args: &Value) -> String {
    let Some(object) = args.as_object() else {
        return if args.is_null() { String::new() } else { value(args) };
    };
    let mut text = String::new();
    for (name, item) in object {
        let shown = match item {
            Value::Null => continue,
            Value::Object(inner) if is_handle(item) || inner.is_empty() => continue,
            // `server: {container: x}` is worth its one name.
            Value::Object(inner) => {
                match inner.get("container").or_else(|| inner.get("host")).and_then(Value::as_str) {
                    Some(place) => format!("{name}={place}"),
                    None => continue,
                }
            }
            Value::Array(items) if name == "argv" => {
                format!("{name}=`{}`", items.iter().filter_map(Value::as_str).collect::<Vec<_>>().join(" "))
            }
            Value::Array(_) => continue,
            other => format!("{name}={}", value(other)),
        };
        if !text.is_empty() {
            text.push(' ');
        }
        text.push_str(&shown);
    }
    cut(&text, ARGS_LEN)
}

/// A value on one line: texts without quotes, handles by name, the rest as JSON.
#[must_use]
pub fn value(value: &Value) -> String {
    match value {
        Value::String(text) => one_line(text),
        Value::Null => "()".to_owned(),
        handle if is_handle(handle) => {
            let inner = &handle[crate::model::secret::HANDLE_KEY];
            let part = |key: &str| inner.get(key).and_then(Value::as_str);
            let place: Vec<&str> = ["provider", "name", "path", "key"].into_iter().filter_map(part).collect();
            if place.is_empty() {
                "‹secret›".to_owned()
            } else {
                format!("‹secret {}›", one_line(&place.join(":")))
            }
        }
        other => other.to_string(),
    }
}

/// The text without line ends and other control characters, which could fake lines or move the cursor.
#[must_use]
pub fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split(|c: char| c.is_control()).filter(|part| !part.is_empty()).collect();
    words.join(" ")
}

/// The text line by line, without control characters.
pub fn lines(text: &str) -> impl Iterator<Item = String> {
    text.lines().map(one_line).filter(|line| !line.trim().is_empty())
}

/// At most so many characters, with a sign that there were more.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most {
        return text.to_owned();
    }
    let mut short: String = text.chars().take(most.saturating_sub(1)).collect();
    short.push('…');
    short
}

/// A text as one word of a shell command, quoted only when it has to be.
#[must_use]
pub fn shell_word(text: &str) -> String {
    let plain = |c: char| c.is_ascii_alphanumeric() || "_-./:@%+=,".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        text.to_owned()
    } else {
        format!("'{}'", text.replace('\'', "'\\''"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;
    use serde_json::json;

    #[test]
    fn secrets_are_named_and_nested_values_left_out() {
        let call = json!({
            "server": {"container": "open-webui-db", "password": {"$secret": {"provider": "env", "name": "PW"}}},
            "database": "chatbot_db", "env": {"A": "b"}, "argv": ["pg_dump", "-Fc"],
        });
        assert_eq!(args(&call), "argv=`pg_dump -Fc` database=chatbot_db server=open-webui-db");
        assert_eq!(value(&json!({"$secret": {"provider": "env", "name": "PW"}})), "‹secret env:PW›");
    }

    #[test]
    fn a_word_is_quoted_only_when_it_has_to_be() {
        assert_eq!(shell_word("restore"), "restore");
        assert_eq!(shell_word("dump[a b]"), "'dump[a b]'");
        assert_eq!(shell_word("it's"), r"'it'\''s'");
    }

    proptest! {
        #[test]
        fn no_text_can_move_the_cursor(text in "\\PC*[\u{1b}\u{7}\r\n]\\PC*") {
            prop_assert!(!one_line(&text).chars().any(char::is_control));
        }
    }
}
