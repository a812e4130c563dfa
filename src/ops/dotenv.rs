//! The `.env` format: `KEY=value` lines with comments, quotes and an optional `export`.

use std::collections::BTreeMap;

/// The variables of a `.env` text; of a key that stands there twice, the last. Nothing is interpolated: `$` is a dollar sign.
///
/// # Errors
/// With the number of the line that is none, and never with its contents.
pub fn parse(text: &str) -> Result<BTreeMap<String, String>, String> {
    let mut values = BTreeMap::new();
    let mut rest = text.strip_prefix('\u{feff}').unwrap_or(text);
    while !rest.is_empty() {
        let line_number = text[..text.len() - rest.len()].matches('\n').count() + 1;
        let (line, after) = split_line(rest);
        let entry = line.trim_start();
        if entry.trim_end().is_empty() || entry.starts_with('#') {
            rest = after;
            continue;
        }
        let entry = match entry.strip_prefix("export") {
            Some(name) if name.starts_with([' ', '\t']) => name.trim_start(),
            _ => entry,
        };
        let Some((name, value)) = entry.split_once('=') else {
            return Err(format!("line {line_number} is not `KEY=value`"));
        };
        let name = name.trim_end();
        let in_name = |c: char| c.is_ascii_alphanumeric() || matches!(c, '_' | '.' | '-');
        if name.is_empty() || !name.chars().all(in_name) {
            return Err(format!("line {line_number} has no well-formed name before `=`"));
        }
        let value = value.trim_start_matches([' ', '\t']);
        // A quoted value may go on over line ends, so it is read from the whole rest of the text.
        let value = &rest[line.len() - value.len()..];
        let (value, after) = match value.chars().next() {
            Some(quote @ ('\'' | '"')) => {
                let (value, tail) = quoted(&value[1..], quote)
                    .ok_or_else(|| format!("the quotation that begins on line {line_number} does not end"))?;
                (value, split_line(tail).1)
            }
            _ => {
                let (line, after) = split_line(value);
                let is_comment = |&(at, c): &(usize, char)| c == '#' && (at == 0 || line[..at].ends_with([' ', '\t']));
                let end = line.char_indices().find(is_comment).map_or(line.len(), |(at, _)| at);
                (line[..end].trim_end().to_owned(), after)
            }
        };
        values.insert(name.to_owned(), value);
        rest = after;
    }
    Ok(values)
}

/// The first line without its end, and what follows it.
fn split_line(text: &str) -> (&str, &str) {
    let (line, after) = text.split_once('\n').unwrap_or((text, ""));
    (line.strip_suffix('\r').unwrap_or(line), after)
}

/// What stands before the closing quote, and what follows it.
fn quoted(text: &str, quote: char) -> Option<(String, &str)> {
    let mut value = String::new();
    let mut chars = text.char_indices();
    while let Some((at, c)) = chars.next() {
        match c {
            c if c == quote => return Some((value, &text[at + 1..])),
            '\\' if quote == '"' => match chars.next()?.1 {
                'n' => value.push('\n'),
                'r' => value.push('\r'),
                't' => value.push('\t'),
                c @ ('"' | '\\' | '$' | '`') => value.push(c),
                other => value.extend(['\\', other]),
            },
            c => value.push(c),
        }
    }
    None
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    #[test]
    fn the_usual_forms_are_read() {
        let text = "\u{feff}# comment\n\nPLAIN=one two  # note\r\nexport EXPORTED=x\n SPACED = y \nHASH=a#b\nEMPTY=\n\
                    SINGLE='a \"b\" \\n $c # d'\nDOUBLE=\"a\\n\\\"b\\\"\\$ \\x\" # note\nMANY=\"l1\nl2\"\nexported=1\nLAST=z";
        let values = parse(text).unwrap();
        let expected = [
            ("PLAIN", "one two"),
            ("EXPORTED", "x"),
            ("SPACED", "y"),
            ("HASH", "a#b"),
            ("EMPTY", ""),
            ("SINGLE", "a \"b\" \\n $c # d"),
            ("DOUBLE", "a\n\"b\"$ \\x"),
            ("MANY", "l1\nl2"),
            ("exported", "1"),
            ("LAST", "z"),
        ];
        for (name, value) in expected {
            assert_eq!(values.get(name).map(String::as_str), Some(value), "{name}");
        }
        assert_eq!(values.len(), expected.len());
    }

    #[test]
    fn an_error_names_the_line_and_not_what_it_holds() {
        for text in ["A=1\nhunter2\n", "A=1\nB=\"hunter2\n\nC=3"] {
            let error = parse(text).unwrap_err();
            assert!(error.contains("line 2") && !error.contains("hunter2"), "{error}");
        }
    }

    proptest! {
        #[test]
        fn any_text_is_read_or_refused(text in "[A-Z='\"\\\\#\n\r $ü-]{0,60}") {
            let _ = parse(&text);
        }

        #[test]
        fn a_double_quoted_value_reads_back(value in "[ -~\n]{0,40}") {
            let quoted = value.replace('\\', "\\\\").replace('"', "\\\"");
            let text = format!("A=1\nKEY=\"{quoted}\"\nB=2\n");
            let values = parse(&text).unwrap();
            prop_assert_eq!(values.get("KEY"), Some(&value));
            prop_assert_eq!(values.len(), 3);
        }
    }
}
