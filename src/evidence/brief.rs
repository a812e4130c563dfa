//! Arguments, results and last words, short enough for one line.

use std::borrow::Cow;

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
                let words: Vec<String> = items.iter().filter_map(Value::as_str).map(one_line).collect();
                format!("{name}=`{}`", words.join(" "))
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
        other => one_line(&other.to_string()),
    }
}

/// The text without line ends and other characters that could fake lines or move the cursor.
#[must_use]
pub fn one_line(text: &str) -> String {
    let words: Vec<&str> = text.split(moves).filter(|part| !part.is_empty()).collect();
    words.join(" ")
}

/// Whether a character can end a line, move the cursor, or turn the direction of what follows.
fn moves(c: char) -> bool {
    c.is_control() || matches!(c, '\u{2028}' | '\u{2029}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}')
}

/// A text of several lines on its way to a terminal: colours and line ends stay, whatever else could move the cursor is
/// replaced. The last guard: texts from outside go through [`one_line`] or [`lines`] before.
#[must_use]
pub fn calm(text: &str) -> Cow<'_, str> {
    if !text.chars().any(|c| moves(c) && !matches!(c, '\n' | '\t')) {
        return Cow::Borrowed(text);
    }
    let mut calm = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(c) = rest.chars().next() {
        let (taken, kept) = match colour(rest) {
            0 => (c.len_utf8(), !moves(c) || matches!(c, '\n' | '\t')),
            code => (code, true),
        };
        calm.push_str(if kept { &rest[..taken] } else { "\u{fffd}" });
        rest = &rest[taken..];
    }
    Cow::Owned(calm)
}

/// The length of the colour code at the beginning of a text; zero when there is none.
fn colour(text: &str) -> usize {
    let Some(code) = text.strip_prefix("\x1b[") else { return 0 };
    match code.find(|c: char| !c.is_ascii_digit() && c != ';') {
        Some(end) if code[end..].starts_with('m') => end + 3,
        _ => 0,
    }
}

/// JSON in which such characters are escaped, as a string of JSON may: the same to whoever parses it.
#[must_use]
pub fn calm_json(json: &str) -> Cow<'_, str> {
    if !json.chars().any(|c| moves(c) && c != '\n') {
        return Cow::Borrowed(json);
    }
    let escape = |c: char| if moves(c) && c != '\n' { format!("\\u{:04x}", u32::from(c)) } else { c.to_string() };
    Cow::Owned(json.chars().map(escape).collect())
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

    #[test]
    fn colours_stay_and_nothing_else_reaches_the_terminal() {
        assert_eq!(calm("\x1b[31mred\x1b[0m\n"), "\x1b[31mred\x1b[0m\n");
        assert_eq!(calm("a\x1b[2Jb\rc\x1b]0;t\x07"), "a\u{fffd}[2Jb\u{fffd}c\u{fffd}]0;t\u{fffd}");
        assert_eq!(calm("\u{202e}\u{9b}2J"), "\u{fffd}\u{fffd}2J");
    }

    #[test]
    fn json_says_the_same_when_it_is_calm() {
        let text = json!({"a": "\u{9b}2J\u{202e}\u{7f}é"}).to_string();
        let calm = calm_json(&text);
        assert!(!calm.chars().any(moves), "{calm}");
        assert_eq!(serde_json::from_str::<Value>(&calm).ok(), serde_json::from_str(&text).ok());
    }

    proptest! {
        #[test]
        fn no_text_can_move_the_cursor(text in "\\PC*[\u{1b}\u{7}\r\n]\\PC*") {
            prop_assert!(!one_line(&text).chars().any(char::is_control));
        }
    }
}
