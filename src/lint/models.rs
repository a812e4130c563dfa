//! The models that a playbook brings: that they can be read, say which calls they answer, answer any, and reach for nothing.

use rhai::Engine;

use super::calls::StepCall;
use super::compile::{Compiler, Meant, diagnose};
use super::facts::Facts;
use super::text::ScriptText;
use super::{arguments, functions, modules};
use crate::model::Value;
use crate::model::glob;
use crate::model::span::{Source, Span};
use crate::playbook::diagnostic::{Diagnostic, likely};
use crate::playbook::types::{Playbook, Template, TextPart};
use crate::script::models::{self, OPERATIONS, Pattern};
use crate::script::program::ModuleSource;

const PAGE: &str = "how models are written: docs/models.md";

/// What the checks look at.
pub struct Checked<'c> {
    /// The playbook.
    pub playbook: &'c Playbook,
    /// Its models.
    pub models: &'c [ModuleSource],
    /// The files.
    pub sources: &'c [Source],
    /// Its modules.
    pub modules: &'c modules::Modules<'c>,
    /// What its steps call.
    pub calls: &'c [StepCall<'c>],
    /// Everything could be read, so that what was not found is not there.
    pub complete: bool,
}

/// Everything wrong with the models.
pub fn check(checked: &Checked<'_>, compiler: &Compiler, found: &mut Vec<Diagnostic>) {
    if checked.models.is_empty() {
        return;
    }
    let engine = models::engine();
    for model in checked.models {
        let text = ScriptText::module(&model.text, modules::source_of(model, checked.sources));
        let compiled = compiler.module(&model.text);
        let facts = compiled.ast.as_ref().map(Facts::of).unwrap_or_default();
        if let Some(fault) = &compiled.fault {
            let meant = Meant { params: &[], steps: &[], declared: &facts.declared, module: true };
            found.push(diagnose(&text, fault, &meant));
            continue;
        }
        let before = found.len();
        reaches_out(&text, &facts, found);
        let (name, args) = models::FUNCTION;
        if !facts.defined.iter().any(|(other, arity)| other == name && *arity == args.len()) {
            found.push(shape(&text, models::no_function()));
        }
        if found.len() == before {
            functions::check_model(&text, &facts, checked.modules, found);
            answers(checked, &text, &engine, found);
        }
    }
}

fn shape(text: &ScriptText<'_>, message: String) -> Diagnostic {
    let place = quoted(text, models::CALLS).unwrap_or(Span::new(text.span.source, 0, 1));
    Diagnostic::error("bad-model", place, message).label("a model answers calls").hint(PAGE)
}

/// A model looks at the world that it is given. It has no operations, and imports nothing.
fn reaches_out(text: &ScriptText<'_>, facts: &Facts, found: &mut Vec<Diagnostic>) {
    let mut push = |place: Span, message: String| {
        let diagnostic = Diagnostic::error("model-reaches-out", place, message).label("out of its reach");
        found.push(
            diagnostic
                .hint("look at the world that the model is given: `world.file(path)`, `world.container(name)`, …"),
        );
    };
    for used in &facts.operations {
        push(
            text.path(used.at),
            format!("a model makes no calls, and `host::{}` is one", used.name.replace('.', "::")),
        );
    }
    for used in &facts.functions {
        push(text.path(used.at), format!("a model uses no modules, and `{}` is one", used.alias));
    }
    for (path, _, at) in &facts.imports {
        push(text.word(*at), format!("a model imports nothing, and `{path}` is a module"));
    }
}

/// Where a word, or a text in quotes, stands in the file.
fn quoted(text: &ScriptText<'_>, word: &str) -> Option<Span> {
    let at = text.text.find(&format!("\"{word}\"")).map(|at| at + 1).or_else(|| text.text.find(word))?;
    Some(Span::new(text.span.source, at, at + word.len()))
}

/// What the model says which calls it answers.
fn answers(checked: &Checked<'_>, text: &ScriptText<'_>, engine: &Engine, found: &mut Vec<Diagnostic>) {
    let patterns =
        match engine.compile(text.text).map_err(|e| e.to_string()).and_then(|ast| models::calls_of(engine, &ast)) {
            Ok(patterns) => patterns,
            Err(why) => {
                found.push(shape(text, why));
                return;
            }
        };
    for pattern in patterns {
        let place = quoted(text, &pattern.op).unwrap_or(text.span);
        let Some(op) = crate::ops::find(&pattern.op) else {
            let message = format!("no operation is called `{}`", pattern.op);
            let diagnostic = Diagnostic::error("unknown-operation", place, message).label("answers nothing");
            found.push(match likely(&pattern.op, OPERATIONS) {
                Some(likely) => diagnostic.hint(format!("did you mean `{likely}`?")),
                None => diagnostic.hint(format!("calls that can be modelled: {}", OPERATIONS.join(", "))),
            });
            continue;
        };
        if !OPERATIONS.contains(&op.name) {
            let message = format!("{} cannot be modelled by a playbook: it has a model of its own", op.name);
            let diagnostic = Diagnostic::error("bad-model", place, message).label("no program of the playbook's");
            found.push(diagnostic.hint(format!("calls that can be modelled: {}", OPERATIONS.join(", "))));
            continue;
        }
        let known = arguments::names(op);
        for (name, _) in pattern.fits.iter().filter(|(name, _)| !known.contains(name)) {
            let place = quoted(text, name).unwrap_or(place);
            let diagnostic =
                Diagnostic::error("unknown-argument", place, format!("{} has no argument `{name}`", op.name))
                    .label("so nothing would fit");
            found.push(match likely(name, known.iter().map(String::as_str)) {
                Some(likely) => diagnostic.hint(format!("did you mean `{likely}`?")),
                None => diagnostic.hint(format!("it can be told by {}", known.join(", "))),
            });
        }
        if checked.complete && !is_made(checked, &pattern) {
            let place = pattern.fits.first().and_then(|(_, glob)| quoted(text, glob)).unwrap_or(place);
            let diagnostic = Diagnostic::warning("unused-model", place, "no call of the playbook fits this".to_owned());
            found.push(
                diagnostic
                    .label("answers nothing")
                    .hint("remove it, or write it as the calls are: words joined by one space"),
            );
        }
    }
}

/// Whether the playbook may make a call that fits: some step uses the operation, and a grant of it lets such arguments pass.
fn is_made(checked: &Checked<'_>, pattern: &Pattern) -> bool {
    let used = checked.calls.iter().any(|call| call.op.name == pattern.op);
    let grants = checked.playbook.capabilities.iter().filter(|grant| glob::matches(&grant.pattern.value, &pattern.op));
    used && grants.into_iter().any(|grant| {
        pattern.fits.iter().all(|(name, wanted)| {
            let limit = grant.scope.iter().find(|(limited, _)| limited.value == *name);
            limit.is_none_or(|(_, limit)| globs(limit).iter().any(|granted| glob::overlap(granted, wanted)))
        })
    })
}

/// The globs that a scope comes to, with a star for what only a run works out.
fn globs(template: &Template) -> Vec<String> {
    match template {
        Template::Plain(value) => match &value.value {
            Value::String(text) => vec![text.clone()],
            Value::Array(items) => items.iter().map(|item| item.as_str().unwrap_or("*").to_owned()).collect(),
            _ => vec!["*".to_owned()],
        },
        Template::Text(parts, _) => {
            let text = parts.iter().map(|part| match part {
                TextPart::Plain(text) => text.as_str(),
                TextPart::Expr(_) => "*",
            });
            vec![text.collect()]
        }
        Template::List(items, _) => items.iter().flat_map(globs).collect(),
        Template::Expr(_) | Template::Map(..) => vec!["*".to_owned()],
    }
}
