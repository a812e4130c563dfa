//! Names in a playbook: which are allowed, so that scripts can say `steps.x` and keys can be file names.

use super::diagnostic::Diagnostic;
use super::yaml::shown;
use crate::model::span::Spanned;

/// Words that a script cannot use as a field name, or that it uses for something else.
pub const RESERVED: [&str; 66] = [
    "if",
    "else",
    "switch",
    "for",
    "in",
    "while",
    "loop",
    "do",
    "until",
    "return",
    "throw",
    "try",
    "catch",
    "let",
    "const",
    "fn",
    "private",
    "import",
    "export",
    "as",
    "global",
    "this",
    "is",
    "var",
    "static",
    "shared",
    "goto",
    "exit",
    "match",
    "case",
    "public",
    "protected",
    "new",
    "use",
    "with",
    "module",
    "package",
    "super",
    "thread",
    "spawn",
    "go",
    "sync",
    "async",
    "await",
    "yield",
    "null",
    "nil",
    "void",
    "default",
    "undef",
    "call",
    "curry",
    "eval",
    "type_of",
    "print",
    "debug",
    "break",
    "continue",
    "true",
    "false",
    "not",
    "and",
    "or",
    "params",
    "steps",
    "run",
];

/// Letters of a step's id or a parameter's name: it becomes part of names of files, labels and databases.
pub const MAX_NAME: usize = 32;

/// Whether a script can say `steps.name` and `params.name`.
#[must_use]
pub fn is_identifier(name: &str) -> bool {
    name.len() <= MAX_NAME
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_')
}

/// Whether it can be a playbook's name: lowercase letters, digits and `-`.
#[must_use]
pub fn is_playbook_name(name: &str) -> bool {
    name.len() <= 64
        && name.starts_with(|c: char| c.is_ascii_lowercase())
        && name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-')
}

/// What is wrong with the name of a step or parameter, if anything.
pub(super) fn check_identifier(name: &Spanned<String>, what: &str) -> Option<Diagnostic> {
    if RESERVED.contains(&name.value.as_str()) {
        let message = format!("`{}` is a word of the script language and cannot name a {what}", name.value);
        return Some(Diagnostic::error("bad-name", name.span, message).hint(format!("call it `{}_`", name.value)));
    }
    if is_identifier(&name.value) {
        return None;
    }
    let message = format!("`{}` cannot name a {what}", shown(&name.value));
    let mended: String = name
        .value
        .chars()
        .map(|c| c.to_ascii_lowercase())
        .map(|c| if c.is_ascii_alphanumeric() { c } else { '_' })
        .take(MAX_NAME)
        .collect();
    let rule =
        format!("lowercase letters, digits and `_`, a letter first, at most {MAX_NAME}: scripts say it as a field");
    let fault = Diagnostic::error("bad-name", name.span, message).label(rule);
    Some(if is_identifier(&mended) && !RESERVED.contains(&mended.as_str()) {
        fault.hint(format!("call it `{mended}`"))
    } else {
        fault
    })
}
