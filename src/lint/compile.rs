//! Compiles scripts and modules for inspection, and words what Rhai says about those that do not compile.

use std::collections::BTreeSet;

use rhai::{AST, Engine, Module, ParseError, ParseErrorType, Position};

use super::text::{ScriptText, namespaces};
use crate::playbook::diagnostic::{Diagnostic, likely};
use crate::script::dialect;

/// Compiles in two ways: as the run will, and without asking whether variables exist, so that a script with an unknown
/// variable can still be inspected for everything else.
pub struct Compiler {
    strict: Engine,
    lenient: Engine,
}

/// What came of compiling one text.
pub struct Compiled {
    /// None when it is no Rhai at all.
    pub ast: Option<AST>,
    /// What is wrong with it.
    pub fault: Option<ParseError>,
}

impl Compiler {
    /// A compiler for texts that mention no more modules than these texts do. Whether those exist is checked afterwards, all of
    /// them and not only the first.
    #[must_use]
    pub fn new<'t>(texts: impl IntoIterator<Item = &'t str>) -> Self {
        let mut strict = dialect::engine();
        let mut lenient = dialect::engine();
        lenient.set_strict_variables(false);
        let mentioned: BTreeSet<&str> = texts.into_iter().flat_map(namespaces).collect();
        for name in mentioned {
            strict.register_static_module(name, Module::new().into());
            lenient.register_static_module(name, Module::new().into());
        }
        Self { strict, lenient }
    }

    /// A script or expression of the playbook.
    #[must_use]
    pub fn script(&self, text: &str) -> Compiled {
        let scope = dialect::compile_scope();
        self.both(|engine| engine.compile_with_scope(&scope, text))
    }

    /// A module: its functions see nothing but their arguments.
    #[must_use]
    pub fn module(&self, text: &str) -> Compiled {
        self.both(|engine| engine.compile(text))
    }

    fn both(&self, compile: impl Fn(&Engine) -> Result<AST, ParseError>) -> Compiled {
        match compile(&self.strict) {
            Ok(ast) => Compiled { ast: Some(ast), fault: None },
            Err(fault) => Compiled { ast: compile(&self.lenient).ok(), fault: Some(fault) },
        }
    }
}

/// Names that a text may have meant.
pub struct Meant<'m> {
    /// Parameters of the playbook.
    pub params: &'m [&'m str],
    /// Steps of the playbook.
    pub steps: &'m [&'m str],
    /// Variables declared in the text.
    pub declared: &'m [String],
    /// Whether it is a module, which sees neither.
    pub module: bool,
}

/// What is wrong, at the user's own line and column.
#[must_use]
pub fn diagnose(text: &ScriptText<'_>, fault: &ParseError, meant: &Meant<'_>) -> Diagnostic {
    let position = fault.position();
    let place = text.word(position);
    if let ParseErrorType::VariableUndefined(name) = fault.err_type() {
        let diagnostic = Diagnostic::error("unknown-variable", place, format!("there is no variable `{name}`"))
            .label("not declared before it is used here");
        let global = dialect::NAMES.contains(&name.as_str());
        return if meant.module && global {
            diagnostic
                .hint(format!("a module does not see `{name}`: hand what it needs to its function as an argument"))
        } else if global {
            diagnostic.hint(format!("a function does not see `{name}`: hand what it needs to it as an argument"))
        } else if !meant.module && meant.params.contains(&name.as_str()) {
            diagnostic.hint(format!("parameters are `params.{name}`"))
        } else if !meant.module && meant.steps.contains(&name.as_str()) {
            diagnostic.hint(format!("the result of a step is `steps.{name}`"))
        } else {
            let globals = dialect::NAMES.iter().copied().filter(|_| !meant.module);
            match likely(name, meant.declared.iter().map(String::as_str).chain(globals)) {
                Some(name) => diagnostic.hint(format!("did you mean `{name}`?")),
                None => diagnostic.hint("declare it with `let`, or write a text in quotes"),
            }
        };
    }
    let word = fault.err_type().to_string();
    let missing = matches!(fault.err_type(), ParseErrorType::UnexpectedEOF) || position == Position::NONE;
    let mut message = lowered(&word);
    if missing {
        message = format!("the script ends too early: {message}");
    }
    let diagnostic = Diagnostic::error("script-syntax", place, message).label("the script cannot be read here");
    match hint(&word) {
        Some(hint) => diagnostic.hint(hint),
        None => diagnostic.hint("scripts are Rhai: https://rhai.rs/book/language"),
    }
}

fn hint(word: &str) -> Option<String> {
    for (name, instead) in [
        ("switch", "write `if … { … } else if … { … }`"),
        ("eval", "write the code itself"),
        ("print", "write `host::log::info(…)`"),
        ("debug", "write `host::log::info(…)`"),
        ("go", "steps run side by side when they do not need each other; within a script everything is in turn"),
        ("thread", "steps run side by side when they do not need each other; within a script everything is in turn"),
        ("spawn", "steps run side by side when they do not need each other; within a script everything is in turn"),
    ] {
        if word.contains(&format!("'{name}'")) {
            return Some(format!("there is no `{name}` in playbooks: {instead}"));
        }
    }
    None
}

fn lowered(message: &str) -> String {
    let mut chars = message.chars();
    let second_is_lower = message.chars().nth(1).is_some_and(char::is_lowercase);
    match chars.next() {
        Some(first) if second_is_lower => first.to_lowercase().chain(chars).collect(),
        _ => message.to_owned(),
    }
}
