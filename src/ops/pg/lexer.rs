//! Cuts SQL into statements, knowing quotes, dollar quotes and comments: enough to tell one statement from two, and
//! what kind it is. It does not understand SQL.

/// One statement, without its semicolon.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Statement {
    /// As it may be given to psql: a lone colon is followed by a space, so that psql takes no `:name` for its own.
    pub text: String,
    /// Its first word, in capitals; empty when it starts with something else.
    pub keyword: String,
}

/// Why a text cannot be given to the server.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum LexError {
    /// A quote or comment does not end.
    #[error("{0} that starts at byte {1} does not end")]
    Open(&'static str, usize),
    /// A command for psql, not for the server.
    #[error("a backslash at byte {0}: commands of psql are not SQL")]
    Backslash(usize),
    /// A byte that no text has.
    #[error("a zero byte at byte {0}")]
    Zero(usize),
}

/// The statements of a text. Empty ones (nothing but space and comments) are left out.
///
/// # Errors
/// When a quote or comment does not end, or when there is something that only psql would understand.
pub fn statements(sql: &str) -> Result<Vec<Statement>, LexError> {
    let bytes = sql.as_bytes();
    let mut found = Vec::new();
    let mut text = String::new();
    let mut keyword: Option<String> = None;
    let mut at = 0;
    while at < bytes.len() {
        let rest = &sql[at..];
        let next = match bytes[at] {
            0 => return Err(LexError::Zero(at)),
            b'\'' => {
                // E'…' knows backslashes; the letter must not end a longer word.
                let escapes = text.ends_with(['e', 'E']) && !word_goes_on(&text[..text.len() - 1]);
                quoted(bytes, at, b'\'', escapes).ok_or(LexError::Open("a text", at))?
            }
            b'"' => quoted(bytes, at, b'"', false).ok_or(LexError::Open("a quoted name", at))?,
            b'-' if rest.starts_with("--") => rest.find('\n').map_or(bytes.len(), |end| at + end),
            b'/' if rest.starts_with("/*") => comment(bytes, at).ok_or(LexError::Open("a comment", at))?,
            b'$' if !word_goes_on(&text) => match dollar_tag(rest) {
                Some(tag) => {
                    let body = at + tag.len();
                    sql[body..]
                        .find(tag)
                        .map(|end| body + end + tag.len())
                        .ok_or(LexError::Open("a dollar-quoted text", at))?
                }
                None => at + 1,
            },
            b'\\' => return Err(LexError::Backslash(at)),
            b';' => {
                finish(&mut found, &mut text, &mut keyword);
                at += 1;
                continue;
            }
            b':' => {
                let pair = rest.starts_with("::") || rest.starts_with(":=");
                text.push_str(if pair { &rest[..2] } else { ": " });
                keyword.get_or_insert_default();
                at += if pair { 2 } else { 1 };
                continue;
            }
            _ => at + rest.chars().next().map_or(1, char::len_utf8),
        };
        let piece = &sql[at..next];
        let is_comment = piece.starts_with("--") || piece.starts_with("/*");
        if keyword.is_none() && !is_comment && !piece.trim().is_empty() {
            let word: String = rest.chars().take_while(char::is_ascii_alphabetic).collect();
            keyword = Some(word.to_ascii_uppercase());
        }
        text.push_str(piece);
        at = next;
    }
    finish(&mut found, &mut text, &mut keyword);
    Ok(found)
}

fn finish(found: &mut Vec<Statement>, text: &mut String, keyword: &mut Option<String>) {
    let text = std::mem::take(text);
    if let Some(keyword) = keyword.take() {
        found.push(Statement { text: text.trim().to_owned(), keyword });
    }
}

/// Whether the text ends in the middle of a word.
fn word_goes_on(text: &str) -> bool {
    text.chars().next_back().is_some_and(|c| c.is_alphanumeric() || c == '_' || c == '$')
}

/// Where a quoted text ends. A doubled quote goes on.
fn quoted(bytes: &[u8], from: usize, quote: u8, escapes: bool) -> Option<usize> {
    let mut at = from + 1;
    while at < bytes.len() {
        if escapes && bytes[at] == b'\\' {
            at += 2;
        } else if bytes[at] == quote {
            if bytes.get(at + 1) != Some(&quote) {
                return Some(at + 1);
            }
            at += 2;
        } else {
            at += 1;
        }
    }
    None
}

/// Where a comment ends. Comments nest.
fn comment(bytes: &[u8], from: usize) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = from;
    while at + 1 < bytes.len() {
        match &bytes[at..at + 2] {
            b"/*" => {
                depth += 1;
                at += 2;
            }
            b"*/" => {
                depth -= 1;
                at += 2;
                if depth == 0 {
                    return Some(at);
                }
            }
            _ => at += 1,
        }
    }
    None
}

/// `$$` or `$name$` at the start of the text.
fn dollar_tag(text: &str) -> Option<&str> {
    let end = text[1..].find('$')? + 1;
    let name = &text[1..end];
    let starts_well = name.chars().next().is_none_or(|c| c.is_alphabetic() || c == '_');
    (starts_well && name.chars().all(|c| c.is_alphanumeric() || c == '_')).then(|| &text[..=end])
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn keywords(sql: &str) -> Vec<String> {
        statements(sql).unwrap().into_iter().map(|statement| statement.keyword).collect()
    }

    #[test]
    fn semicolons_in_quotes_and_comments_separate_nothing() {
        for one in [
            "select 'a;b'",
            "select E'it\\'s; so'",
            "select \"a;b\" from t",
            "select $$a;b$$",
            "select $x$ $$;$$ $x$",
            "select 1 -- ; select 2",
            "select /* ; /* ; */ ; */ 1",
            "select 1;",
            "  ; select 1 ; ; -- end",
        ] {
            assert_eq!(keywords(one), ["SELECT"], "{one}");
        }
        assert_eq!(keywords("select 1; drop table t"), ["SELECT", "DROP"]);
        assert_eq!(keywords("-- select\nwith x as (select 1) table x"), ["WITH"]);
        assert_eq!(keywords("(select 1)"), [""]);
    }

    #[test]
    fn a_backslash_does_not_hide_the_end_of_a_plain_text() {
        assert_eq!(keywords(r"select '\'; drop table t; --'"), ["SELECT", "DROP"]);
        assert_eq!(keywords(r"select type'\'; drop table t"), ["SELECT", "DROP"]);
    }

    #[test]
    fn a_dollar_inside_a_name_quotes_nothing() {
        assert_eq!(keywords("select a$b$ from t; drop table t -- $b$"), ["SELECT", "DROP"]);
        assert_eq!(keywords("select $1; drop table t"), ["SELECT", "DROP"]);
    }

    #[test]
    fn what_only_psql_understands_does_not_get_to_it() {
        assert_eq!(statements("select 1 \\! rm"), Err(LexError::Backslash(9)));
        let text = &statements("select a[1:DBNAME], b::int, f(x := 1)").unwrap()[0].text;
        assert_eq!(text, "select a[1: DBNAME], b::int, f(x := 1)");
    }

    #[test]
    fn what_does_not_end_is_refused() {
        for sql in ["select 'a", "select \"a", "select $$a", "select /* a", "select E'a\\'"] {
            assert!(matches!(statements(sql), Err(LexError::Open(..))), "{sql}");
        }
    }

    proptest! {
        #[test]
        fn no_text_makes_it_panic(sql in r#"[a-zE'"$;:/*\\ \n\-üé0]{0,40}"#) {
            let _ = statements(&sql);
        }

        #[test]
        fn quoted_texts_pass_unchanged(text in "[^\0\\\\]{0,30}") {
            let sql = format!("select '{}'", text.replace('\'', "''"));
            let found = statements(&sql).unwrap();
            prop_assert_eq!(found.len(), 1);
            prop_assert_eq!(&found[0].text, &sql);
        }
    }
}
