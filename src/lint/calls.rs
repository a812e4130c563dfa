//! Checks the calls of scripts and modules, and what `uses` names.

use super::arguments;
use super::facts::{Facts, OperationUse};
use super::given::{Given, GivenMap};
use super::modules::{Modules, NoFunction, aliases};
use super::sites::{Role, Site};
use super::text::ScriptText;
use crate::model::span::Span;
use crate::ops::{Effect, OpEntry};
use crate::playbook::diagnostic::{Diagnostic, likely};
use crate::playbook::types::{Body, Playbook, Step};
use crate::script::program::alias;

/// A function, and the place in it.
pub type Through = (String, Span);

/// An operation that a step comes to, and where the user wrote so.
#[derive(Clone, Debug)]
pub struct StepCall<'a> {
    /// The step; none for what a drill measures.
    pub step: Option<&'a Step>,
    /// The operation.
    pub op: &'static OpEntry,
    /// The place in the playbook.
    pub at: Span,
    /// The function through which it comes to it, and the place of the call there.
    pub through: Option<Through>,
}

/// Checks all calls; returns those whose operation exists and may stand where it stands.
pub fn check<'a>(
    playbook: &'a Playbook,
    sites: &[Site<'a>],
    modules: &Modules<'_>,
    found: &mut Vec<Diagnostic>,
) -> Vec<StepCall<'a>> {
    let imports: Vec<&str> = playbook.imports.iter().map(|import| import.value.as_str()).collect();
    let by_alias = aliases(&imports);
    let names: Vec<&str> = by_alias.keys().copied().collect();
    let mut calls = Vec::new();
    for module in modules.iter() {
        for facts in module.functions.values().map(|function| &function.facts).chain([&module.top]) {
            operations(facts, &module.text, found);
        }
    }
    for site in sites {
        operations(&site.facts, &site.text, found);
        let mut reached: Vec<(&'static OpEntry, Span, Option<Through>)> = Vec::new();
        for call in &site.facts.operations {
            let op = crate::ops::find(&call.name);
            reached.extend(op.map(|op| (op, site.text.path(call.at), None)));
        }
        for call in &site.facts.functions {
            let at = site.text.path(call.at);
            let path = by_alias.get(call.alias.as_str()).copied();
            if let Some(objection) = modules.check_call(&call.alias, path, &names, &call.name, call.arity, at) {
                found.push(objection);
                continue;
            }
            for inner in path.into_iter().flat_map(|path| modules.operations(path, &call.name, call.arity)) {
                reached.push((inner.op, at, Some((format!("{}::{}", call.alias, call.name), inner.span))));
            }
        }
        for (op, at, through) in reached {
            if let Some(objection) = misplaced(site, op, at, through.as_ref()) {
                // One for each place is enough, whatever else the function calls.
                if !found.contains(&objection) {
                    found.push(objection);
                }
            } else {
                calls.push(StepCall { step: site.step, op, at, through });
            }
        }
    }
    for step in &playbook.steps {
        if let Body::Uses { path, with } = &step.body {
            let given = match with {
                Some(with) => Given::template(with),
                None => Given::Map(GivenMap { fields: Vec::new(), at: path.span }),
            };
            if let Some(op) = crate::ops::find(&path.value) {
                match given {
                    Given::Literal(_, at) | Given::Text(at) | Given::List(_, at) => found.push(
                        Diagnostic::error("argument-type", at, format!("`with` of {} is no map", op.name))
                            .label("argument names with their values belong here")
                            .hint(arguments::reference(op)),
                    ),
                    given => found.extend(arguments::check(op, &given, path.span)),
                }
                calls.push(StepCall { step: Some(step), op, at: path.span, through: None });
            } else if let Some(objection) = uses(path.value.as_str(), path.span, &imports, modules) {
                found.push(objection);
            } else if let Some((module, function)) = path.value.rsplit_once('.') {
                for inner in modules.operations(module, function, 1) {
                    let through = Some((format!("{}::{function}", alias(module)), inner.span));
                    calls.push(StepCall { step: Some(step), op: inner.op, at: path.span, through });
                }
            }
        }
    }
    calls
}

/// Whether the operations a text calls exist, and get what they take.
fn operations(facts: &Facts, text: &ScriptText<'_>, found: &mut Vec<Diagnostic>) {
    for call in &facts.operations {
        let at = text.path(call.at);
        match crate::ops::find(&call.name) {
            None => found.push(unknown_operation(&call.name, at, "host::", "::")),
            Some(op) if call.arity > 1 => found.push(too_many(op, call, at)),
            Some(op) => {
                let given = call.given.placed(&|position| text.word(*position));
                found.extend(arguments::check(op, &given, at));
            }
        }
    }
}

fn too_many(op: &OpEntry, call: &OperationUse, at: Span) -> Diagnostic {
    let names = arguments::names(op);
    let example: Vec<String> = names.iter().take(2).map(|name| format!("{name}: …")).collect();
    Diagnostic::error("wrong-arity", at, format!("{} takes one map of arguments, not {}", op.name, call.arity))
        .label(format!("{} given", call.arity))
        .hint(format!("write `host::{}(#{{ {} }})`", op.name.replace('.', "::"), example.join(", ")))
}

fn unknown_operation(name: &str, at: Span, before: &str, between: &str) -> Diagnostic {
    let written = |name: &str| format!("{before}{}", name.replace('.', between));
    let diagnostic = Diagnostic::error("unknown-operation", at, format!("there is no operation `{name}`"))
        .label("no such operation");
    let table = crate::ops::table();
    if let Some(likely) = likely(name, table.keys().copied()) {
        return diagnostic.hint(format!("did you mean `{}`?", written(likely)));
    }
    let family = name.split('.').next().unwrap_or(name);
    let siblings: Vec<&str> = table.values().filter(|op| op.family() == family).map(|op| op.name).collect();
    let function = name.rsplit('.').next().unwrap_or(name);
    let namesake = table.values().find(|op| op.function() == function);
    match (namesake, siblings.is_empty()) {
        (Some(op), _) => diagnostic.hint(format!("did you mean `{}`?", written(op.name))),
        (None, false) => diagnostic.hint(format!("family `{family}` has {}", siblings.join(", "))),
        (None, true) => diagnostic.hint("`muster ops` shows all operations"),
    }
}

/// Why an operation must not stand there.
fn misplaced(site: &Site<'_>, op: &OpEntry, at: Span, through: Option<&Through>) -> Option<Diagnostic> {
    let by = through.map_or(String::new(), |(function, _)| format!(", through {function}"));
    let related = |diagnostic: Diagnostic| match through {
        Some((_, span)) => diagnostic.related(*span, "called here"),
        None => diagnostic,
    };
    if site.role.is_pure() {
        let role = site.role.name();
        return Some(related(
            Diagnostic::error(
                "call-in-expression",
                at,
                format!("{role} calls {}{by}: it must call no operation", op.name),
            )
            .label("an expression only computes")
            .hint("call it in the script of an earlier step, and use that step's result here"),
        ));
    }
    // As the engine has it: what is verified is asked again and again, and never recorded.
    let checks = matches!(site.role, Role::Check | Role::RecoveryPoint);
    // What a check logs is told with what it found.
    let logs = checks && op.effect == Effect::Log;
    (site.role.only_reads() && !logs && !matches!(op.effect, Effect::Read | Effect::Value)).then(|| {
        let (what, hint) = match op.effect {
            Effect::Wait if site.role == Role::Verify => {
                ("waits", "`verify` itself asks again until it is true: call an operation that reads")
            }
            Effect::Wait => ("waits", "wait in a step, and only look at the outcome here"),
            Effect::Ask => ("asks a person", "give the step an `approval`, or ask in a step of its own"),
            _ if checks && op.effect.writes() => {
                ("changes the world", "a check only looks: what has to be done belongs in a step")
            }
            Effect::Log => ("writes to the log", "leave it out: what is found is recorded anyway"),
            _ => ("changes the world", "do it in the step's script, and only look at the outcome here"),
        };
        related(
            Diagnostic::error("only-reads", at, format!("{} calls {}{by}, which {what}", site.role.name(), op.name))
                .label("only operations that read may stand here")
                .hint(hint),
        )
    })
}

/// What is wrong with a path that names no operation.
fn uses(path: &str, at: Span, imports: &[&str], modules: &Modules<'_>) -> Option<Diagnostic> {
    let (module, function) = path.rsplit_once('.')?;
    let family = crate::ops::table().values().any(|op| op.family() == module);
    if !imports.contains(&module) {
        if modules.get(module).is_some() || module.contains('/') {
            let diagnostic =
                Diagnostic::error("not-imported", at, format!("module `{module}` is not imported")).label("used here");
            return Some(match likely(module, imports.iter().copied()) {
                Some(likely) => diagnostic.hint(format!("did you mean `{likely}.{function}`?")),
                None => diagnostic.hint(format!("add `{module}` to `imports`")),
            });
        }
        if let (false, Some(import)) = (family, imports.iter().find(|import| alias(import) == module)) {
            let diagnostic = Diagnostic::error("not-imported", at, format!("there is no module `{module}`"));
            return Some(
                diagnostic.label("`uses` takes the whole path").hint(format!("did you mean `{import}.{function}`?")),
            );
        }
        return Some(unknown_operation(path, at, "", "."));
    }
    match modules.function(module, function, 1) {
        Ok(_) | Err(NoFunction::CannotTell) => None,
        Err(NoFunction::Private) => Some(
            Diagnostic::error("private-function", at, format!("`{module}` keeps its function `{function}` to itself"))
                .label("private")
                .hint("use one of the module's other functions"),
        ),
        Err(NoFunction::Arity(_)) => Some(
            Diagnostic::error(
                "wrong-arity",
                at,
                format!("`{function}` of `{module}` does not take one argument, so it cannot be used as a step"),
            )
            .label("`uses` hands over one map, made of `with`")
            .hint(format!("call it in a `script`: `{}::{function}(…)`", alias(module))),
        ),
        Err(NoFunction::Unknown(_)) => {
            let usable = modules.usable(imports);
            Some(
                Diagnostic::error("unknown-function", at, format!("`{module}` has no function `{function}`"))
                    .label("no such function")
                    .likely(path, usable.iter().map(String::as_str)),
            )
        }
    }
}
