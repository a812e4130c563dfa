//! The tokens of a script's text, as far as [`super::weave`] needs them: names, operators, brackets, with their places. What is between
//! quotes is one token, but for the expressions inside of back quotes.

/// What a token is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Kind {
    /// A name or a keyword.
    Name,
    /// A number, a character, a text.
    Literal,
    /// An operator or a separator.
    Sign,
    /// An opening bracket: `(`, `[`, `?[`, `{`, `#{`.
    Open,
    /// A closing one.
    Close,
    /// The beginning of a text in back quotes that has expressions, up to its first `${`.
    TextOpen,
    /// From one `}` to the next `${`.
    TextMiddle,
    /// From the last `}` to the closing back quote.
    TextClose,
}

/// A token.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Token<'a> {
    /// What it is.
    pub kind: Kind,
    /// Where it begins, in bytes.
    pub at: usize,
    /// As written.
    pub text: &'a str,
}

impl Token<'_> {
    /// Where it ends.
    #[must_use]
    pub fn end(&self) -> usize {
        self.at + self.text.len()
    }

    /// Whether it is this name, operator or bracket.
    #[must_use]
    pub fn is(&self, text: &str) -> bool {
        self.text == text && !matches!(self.kind, Kind::Literal | Kind::TextOpen | Kind::TextMiddle | Kind::TextClose)
    }
}

const SIGNS: [&str; 42] = [
    "<<=", ">>=", "**=", "..=", "===", "!==", "?.", "::", "=>", "==", "!=", "<=", ">=", "&&", "||", "+=", "-=", "*=",
    "/=", "%=", "&=", "|=", "^=", "<<", ">>", "**", "..", "??", "->", "=", "<", ">", "+", "-", "*", "/", "%", "&", "|",
    "^", "!", ".",
];

/// The tokens of a text; `None` when it is not well formed, which the compiler then says better.
#[must_use]
pub fn tokens(text: &str) -> Option<Vec<Token<'_>>> {
    let mut lexer = Lexer { text, at: 0, out: Vec::new() };
    lexer.code(false)?;
    Some(lexer.out)
}

struct Lexer<'a> {
    text: &'a str,
    at: usize,
    out: Vec<Token<'a>>,
}

impl<'a> Lexer<'a> {
    fn rest(&self) -> &'a str {
        self.text.get(self.at..).unwrap_or("")
    }

    fn push(&mut self, kind: Kind, length: usize) -> Option<()> {
        let text = self.rest().get(..length)?;
        self.out.push(Token { kind, at: self.at, text });
        self.at += length;
        Some(())
    }

    /// Code up to the end of the text, or up to the `}` that ends an expression inside of a text.
    fn code(&mut self, inside: bool) -> Option<()> {
        let mut depth = 0usize;
        loop {
            let rest = self.rest();
            let Some(c) = rest.chars().next() else { return (!inside).then_some(()) };
            if c.is_whitespace() {
                self.at += c.len_utf8();
            } else if rest.starts_with("//") {
                self.at += rest.find('\n').unwrap_or(rest.len());
            } else if rest.starts_with("/*") {
                self.at += comment(rest)?;
            } else if c == '"' {
                self.push(Kind::Literal, quoted(rest, '"')?)?;
            } else if c == '\'' {
                self.push(Kind::Literal, quoted(rest, '\'')?)?;
            } else if c == '`' {
                self.back_quoted()?;
            } else if c == '#' && rest.trim_start_matches('#').starts_with('"') {
                let hashes = rest.len() - rest.trim_start_matches('#').len();
                let close = format!("\"{}", "#".repeat(hashes));
                let inner = rest.get(hashes + 1..)?.find(&close)?;
                self.push(Kind::Literal, hashes + 1 + inner + close.len())?;
            } else if c.is_ascii_digit() {
                self.push(Kind::Literal, number(rest))?;
            } else if c.is_alphabetic() || c == '_' {
                let length = rest.find(|c: char| !(c.is_alphanumeric() || c == '_')).unwrap_or(rest.len());
                self.push(Kind::Name, length)?;
            } else if rest.starts_with("#{") || rest.starts_with("?[") {
                depth += 1;
                self.push(Kind::Open, 2)?;
            } else if matches!(c, '(' | '[' | '{') {
                depth += 1;
                self.push(Kind::Open, 1)?;
            } else if matches!(c, ')' | ']' | '}') {
                if depth == 0 {
                    return (inside && c == '}').then_some(());
                }
                depth -= 1;
                self.push(Kind::Close, 1)?;
            } else {
                let sign = SIGNS.iter().find(|sign| rest.starts_with(**sign)).map_or(c.len_utf8(), |sign| sign.len());
                self.push(Kind::Sign, sign)?;
            }
        }
    }

    /// A text in back quotes. Its pieces are tokens only when there are expressions in it.
    fn back_quoted(&mut self) -> Option<()> {
        let mut first = true;
        let mut length = 1;
        loop {
            let rest = self.rest().get(length..)?;
            if rest.starts_with("``") {
                length += 2;
            } else if rest.starts_with('`') {
                return self.push(if first { Kind::Literal } else { Kind::TextClose }, length + 1);
            } else if rest.starts_with("${") {
                self.push(if first { Kind::TextOpen } else { Kind::TextMiddle }, length + 2)?;
                self.code(true)?;
                first = false;
                // The `}` opens the next piece.
                length = 1;
            } else {
                length += rest.chars().next()?.len_utf8();
            }
        }
    }
}

fn comment(rest: &str) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = 0;
    loop {
        let here = rest.get(at..)?;
        if here.starts_with("/*") {
            depth += 1;
            at += 2;
        } else if here.starts_with("*/") {
            depth -= 1;
            at += 2;
            if depth == 0 {
                return Some(at);
            }
        } else {
            at += here.chars().next()?.len_utf8();
        }
    }
}

fn quoted(rest: &str, quote: char) -> Option<usize> {
    let mut chars = rest.char_indices().skip(1);
    while let Some((at, c)) = chars.next() {
        match c {
            '\\' => {
                chars.next();
            }
            c if c == quote => return Some(at + 1),
            _ => {}
        }
    }
    None
}

fn number(rest: &str) -> usize {
    let mut length = 0;
    let mut chars = rest.chars().peekable();
    let mut previous = ' ';
    while let Some(c) = chars.next() {
        let next = chars.peek().copied().unwrap_or(' ');
        let goes_on = c.is_ascii_alphanumeric()
            || c == '_'
            || (c == '.' && next.is_ascii_digit() && !rest[..length].contains('.'))
            || (matches!(c, '+' | '-')
                && matches!(previous, 'e' | 'E')
                && next.is_ascii_digit()
                && !rest.starts_with("0x"));
        if !goes_on {
            break;
        }
        length += 1;
        previous = c;
    }
    length
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn expressions_inside_of_texts_are_code() {
        let text = "let a = `x ${ f(\"}\") + `in ${b}` } y`; // `${no}`\n1..2";
        let seen: Vec<_> = tokens(text).expect("it is well formed").iter().map(|token| token.text).collect();
        assert_eq!(
            seen,
            ["let", "a", "=", "`x ${", "f", "(", "\"}\"", ")", "+", "`in ${", "b", "}`", "} y`", ";", "1", "..", "2"]
        );
    }

    #[test]
    fn numbers_signs_and_raw_texts_end_where_they_do() {
        let seen: Vec<_> =
            tokens("1.5e-3-x.len()>=#\"a\"b\"#||'\"'").expect("well formed").iter().map(|token| token.text).collect();
        assert_eq!(seen, ["1.5e-3", "-", "x", ".", "len", "(", ")", ">=", "#\"a\"b\"#", "||", "'\"'"]);
    }
}
