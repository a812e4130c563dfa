//! The few programs that the sandbox knows by itself: those that recovery runs in containers and volumes. Others are declared
//! under `commands:` in `world.yaml`.

use super::content::Content;
use super::programs;
use super::view::View;
use super::world::World;
use crate::model::Timestamp;

/// How a program ended.
#[derive(Clone, Debug, PartialEq)]
pub struct Outcome {
    /// Its exit code.
    pub code: i32,
    /// What it wrote to standard output.
    pub stdout: Content,
    /// What it wrote to standard error.
    pub stderr: String,
}

impl Outcome {
    /// It ended well, and printed this.
    #[must_use]
    pub fn said(text: impl Into<String>) -> Self {
        Self { code: 0, stdout: Content::Text(text.into()), stderr: String::new() }
    }

    /// Nobody knows what it does: it would have to look into contents that only the run will know.
    #[must_use]
    pub fn unseen(why: &str) -> Self {
        Self::failed(UNSEEN_CODE, why)
    }

    /// It failed, and said why.
    #[must_use]
    pub fn failed(code: i32, why: impl Into<String>) -> Self {
        Self { code, stdout: Content::Text(String::new()), stderr: why.into() }
    }
}

/// No program ends with it.
pub const UNSEEN_CODE: i32 = i32::MIN;

/// A program's surroundings.
pub struct Program<'p> {
    /// What it sees.
    pub view: View,
    /// Its words.
    pub argv: &'p [String],
    /// What it reads.
    pub stdin: Option<Content>,
    /// The instant.
    pub now: Timestamp,
}

/// Runs a program.
pub fn run(world: &mut World, program: &Program<'_>) -> Outcome {
    let words: Vec<&str> = program.argv.iter().map(String::as_str).collect();
    let [name, rest @ ..] = words.as_slice() else {
        return Outcome::failed(127, "no program");
    };
    let name = name.rsplit('/').next().unwrap_or(name);
    if name == "sh" || name == "bash" {
        return match rest {
            ["-c" | "-ec" | "-e", script, ..] => script_run(world, program, script),
            _ => Outcome::failed(2, "sh: the sandbox's shell only takes -c"),
        };
    }
    match programs::find(name) {
        Some(known) => known(world, program, rest),
        None => Outcome::failed(
            127,
            format!(
                "{name}: not found: the sandbox does not know it; model it in models/*.rhai (docs/models.md), or declare it under `commands:` in \
                 world.yaml"
            ),
        ),
    }
}

/// Runs simple commands joined by `&&` or `;`, with `cd`.
fn script_run(world: &mut World, program: &Program<'_>, script: &str) -> Outcome {
    let tokens = match words_of(script) {
        Ok(tokens) => tokens,
        Err(why) => return Outcome::failed(2, format!("sh: {why}")),
    };
    let mut view = program.view.clone();
    let mut printed = String::new();
    for command in tokens.split(|token| matches!(token, Token::Then)) {
        let argv: Vec<String> = command.iter().filter_map(Token::word).map(str::to_owned).collect();
        let outcome = match argv.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
            [] => continue,
            ["cd", folder] => {
                if !view.place(world, folder).is_dir(world) {
                    return Outcome::failed(2, format!("sh: cd: can't cd to {folder}"));
                }
                view.cwd = view.absolute(folder);
                continue;
            }
            _ => {
                run(world, &Program { view: view.clone(), argv: &argv, stdin: program.stdin.clone(), now: program.now })
            }
        };
        match &outcome.stdout {
            Content::Text(text) => printed.push_str(text),
            // A stream that is no text is the whole output.
            _ => return outcome,
        }
        if outcome.code != 0 {
            return Outcome { stdout: Content::Text(printed), ..outcome };
        }
    }
    Outcome::said(printed)
}

enum Token {
    Word(String),
    Then,
}

impl Token {
    fn word(&self) -> Option<&str> {
        match self {
            Self::Word(word) => Some(word),
            Self::Then => None,
        }
    }
}

fn words_of(script: &str) -> Result<Vec<Token>, String> {
    let mut tokens = Vec::new();
    let mut word: Option<String> = None;
    let mut letters = script.chars().peekable();
    while let Some(letter) = letters.next() {
        match letter {
            ' ' | '\t' => tokens.extend(word.take().map(Token::Word)),
            ';' | '\n' => {
                tokens.extend(word.take().map(Token::Word));
                tokens.push(Token::Then);
            }
            '&' if letters.next_if_eq(&'&').is_some() => {
                tokens.extend(word.take().map(Token::Word));
                tokens.push(Token::Then);
            }
            '\'' | '"' => {
                let word = word.get_or_insert_default();
                loop {
                    match letters.next() {
                        None => return Err("a quote is not closed".to_owned()),
                        Some(end) if end == letter => break,
                        Some('$') if letter == '"' => return Err("the sandbox's shell knows no variables".to_owned()),
                        Some(inner) => word.push(inner),
                    }
                }
            }
            '&' | '|' | '<' | '>' | '$' | '`' | '(' | ')' => {
                return Err(format!("the sandbox's shell does not understand `{letter}`"));
            }
            '\\' => word.get_or_insert_default().extend(letters.next()),
            other => word.get_or_insert_default().push(other),
        }
    }
    tokens.extend(word.map(Token::Word));
    Ok(tokens)
}
