//! The modules a playbook imports: their functions, what each of them does, and what is wrong with them.

use std::collections::{BTreeMap, BTreeSet};

use rhai::FnAccess;

use super::compile::{Compiler, Meant, diagnose};
use super::facts::{Facts, OwnUse};
use super::text::ScriptText;
use crate::model::span::{Source, Span};
use crate::ops::OpEntry;
use crate::playbook::diagnostic::{Diagnostic, likely};
use crate::script::program::{ModuleSource, alias};

/// A function of a module.
#[derive(Debug)]
pub struct Function {
    /// Only the module itself can call it.
    pub private: bool,
    /// What it mentions.
    pub facts: Facts,
}

/// A module.
pub struct ModuleFacts<'a> {
    /// As imported.
    pub path: &'a str,
    /// Its text.
    pub text: ScriptText<'a>,
    /// By name and number of arguments.
    pub functions: BTreeMap<(String, usize), Function>,
    /// What it mentions outside of functions.
    pub top: Facts,
    /// Alias to path.
    pub imports: BTreeMap<String, String>,
    /// Whether it could be read: if not, nothing can be said about what it lacks.
    pub readable: bool,
}

/// An operation that a function comes to.
#[derive(Clone, Copy, Debug)]
pub struct Reached {
    /// The operation.
    pub op: &'static OpEntry,
    /// Where it is called.
    pub span: Span,
}

/// Why there is no such function.
pub enum NoFunction {
    /// The module was not loaded, or cannot be read: nothing can be said.
    CannotTell,
    /// It has none of this name; likely ones.
    Unknown(Option<String>),
    /// It has, with other numbers of arguments.
    Arity(Vec<usize>),
    /// It has, for itself only.
    Private,
}

/// All modules of a playbook, by path.
pub struct Modules<'a> {
    by_path: BTreeMap<&'a str, ModuleFacts<'a>>,
}

impl<'a> Modules<'a> {
    /// Reads the modules; `found` takes what is wrong with their texts.
    pub fn read(
        modules: &'a [ModuleSource],
        sources: &'a [Source],
        compiler: &Compiler,
        found: &mut Vec<Diagnostic>,
    ) -> Self {
        let mut by_path = BTreeMap::new();
        for module in modules {
            let text = ScriptText::module(&module.text, source_of(module, sources));
            let compiled = compiler.module(&module.text);
            let mut facts = ModuleFacts {
                path: &module.path,
                text,
                functions: BTreeMap::new(),
                top: Facts::default(),
                imports: BTreeMap::new(),
                readable: compiled.ast.is_some(),
            };
            let mut declared = Vec::new();
            if let Some(ast) = &compiled.ast {
                for function in ast.iter_functions() {
                    let private = function.access == FnAccess::Private;
                    let facts_of = Facts::of_function(ast, function.name, &function.params);
                    declared.extend(facts_of.declared.iter().cloned());
                    let key = (function.name.to_owned(), function.params.len());
                    facts.functions.insert(key, Function { private, facts: facts_of });
                }
                facts.top = Facts::of(&ast.clone_statements_only());
                let all = Facts::of(ast);
                facts.imports = all.imports.into_iter().map(|(path, alias, _)| (alias, path)).collect();
            }
            if let Some(fault) = &compiled.fault {
                let meant = Meant { params: &[], steps: &[], declared: &declared, module: true };
                found.push(diagnose(&text, fault, &meant));
            }
            by_path.insert(module.path.as_str(), facts);
        }
        Self { by_path }
    }

    /// The module of this path.
    #[must_use]
    pub fn get(&self, path: &str) -> Option<&ModuleFacts<'a>> {
        self.by_path.get(path)
    }

    /// All of them.
    pub fn iter(&self) -> impl Iterator<Item = &ModuleFacts<'a>> {
        self.by_path.values()
    }

    /// The function of a module that others can call.
    ///
    /// # Errors
    /// Why there is none.
    pub fn function(&self, path: &str, name: &str, arity: usize) -> Result<&Function, NoFunction> {
        let Some(module) = self.by_path.get(path).filter(|module| module.readable) else {
            return Err(NoFunction::CannotTell);
        };
        match module.functions.get(&(name.to_owned(), arity)) {
            Some(function) if function.private => Err(NoFunction::Private),
            Some(function) => Ok(function),
            None => {
                let public = || module.functions.iter().filter(|(_, function)| !function.private);
                let arities: Vec<usize> =
                    public().filter(|((n, _), _)| n == name).map(|((_, arity), _)| *arity).collect();
                if arities.is_empty() {
                    let likely = likely(name, public().map(|((name, _), _)| name.as_str())).map(str::to_owned);
                    Err(NoFunction::Unknown(likely))
                } else {
                    Err(NoFunction::Arity(arities))
                }
            }
        }
    }

    /// The functions that `uses:` can name: `stdlib/pg.swap`.
    #[must_use]
    pub fn usable(&self, imports: &[&str]) -> Vec<String> {
        self.iter()
            .filter(|module| imports.contains(&module.path))
            .flat_map(|module| {
                module
                    .functions
                    .iter()
                    .filter(|((_, arity), function)| *arity == 1 && !function.private)
                    .map(|((name, _), _)| format!("{}.{name}", module.path))
            })
            .collect()
    }

    /// Every operation that a function comes to, directly and through other functions.
    #[must_use]
    pub fn operations(&self, path: &str, name: &str, arity: usize) -> Vec<Reached> {
        let mut seen = BTreeSet::new();
        let mut queue = vec![(path.to_owned(), name.to_owned(), Some(arity))];
        let mut reached = Vec::new();
        while let Some(next) = queue.pop() {
            if !seen.insert(next.clone()) {
                continue;
            }
            let (path, name, arity) = next;
            let Some(module) = self.by_path.get(path.as_str()) else { continue };
            let fitting = module
                .functions
                .iter()
                .filter(|((other, n), _)| *other == name && arity.is_none_or(|arity| arity == *n));
            for (_, function) in fitting {
                for call in &function.facts.operations {
                    if let Some(op) = crate::ops::find(&call.name) {
                        reached.push(Reached { op, span: module.text.path(call.at) });
                    }
                }
                for call in &function.facts.functions {
                    if let Some(path) = module.imports.get(&call.alias) {
                        queue.push((path.clone(), call.name.clone(), Some(call.arity)));
                    }
                }
                // As a method, what stands before the dot is `this` to a function of the text.
                let own = function.facts.own.iter();
                let arity = |used: &OwnUse| if used.method { None } else { used.arity };
                queue.extend(own.map(|used| (path.clone(), used.name.clone(), arity(used))));
            }
        }
        reached
    }

    /// What is wrong inside of the modules: imports, calls of each other.
    pub fn check(&self, found: &mut Vec<Diagnostic>) {
        for module in self.iter() {
            for (path, _, at) in module.top.imports.iter() {
                if !self.by_path.contains_key(path.as_str()) {
                    found.push(
                        Diagnostic::error(
                            "unknown-import",
                            module.text.word(*at),
                            format!("there is no module `{path}`"),
                        )
                        .label("imported here")
                        .likely(path, self.by_path.keys().copied()),
                    );
                }
            }
            if let Some(call) = module.top.operations.first() {
                found.push(
                    Diagnostic::error(
                        "call-outside-function",
                        module.text.path(call.at),
                        "a module calls no operation while it is loaded",
                    )
                    .label("outside of every function")
                    .hint("put it into a function that steps call"),
                );
            }
            let all = module.functions.values().map(|function| &function.facts).chain([&module.top]);
            for call in all.flat_map(|facts| &facts.functions) {
                let at = module.text.path(call.at);
                let path = module.imports.get(&call.alias).map(String::as_str);
                let names: Vec<&str> = module.imports.keys().map(String::as_str).collect();
                found.extend(self.check_call(&call.alias, path, &names, &call.name, call.arity, at));
            }
        }
    }

    /// What is wrong with `alias::name(…)` where the alias stands for `path`.
    #[must_use]
    pub fn check_call(
        &self,
        alias: &str,
        path: Option<&str>,
        aliases: &[&str],
        name: &str,
        arity: usize,
        at: Span,
    ) -> Option<Diagnostic> {
        let op = crate::ops::find(&format!("{alias}.{name}").replace("::", "."));
        let Some(path) = path else {
            let diagnostic = Diagnostic::error("unknown-module", at, format!("there is no module `{alias}` here"))
                .label("not imported");
            return Some(match op {
                Some(_) => diagnostic.hint(format!("operations are called as `host::{alias}::{name}(…)`")),
                None => match likely(alias, aliases.iter().copied()) {
                    Some(alias) => diagnostic.hint(format!("did you mean `{alias}::{name}(…)`?")),
                    None => diagnostic.hint(format!("import it, for example `stdlib/{alias}`")),
                },
            });
        };
        let diagnostic = |code, message| Diagnostic::error(code, at, message);
        match self.function(path, name, arity) {
            Ok(_) | Err(NoFunction::CannotTell) => None,
            Err(NoFunction::Private) => Some(
                diagnostic("private-function", format!("`{path}` keeps its function `{name}` to itself"))
                    .label("private")
                    .hint("call one of the module's other functions"),
            ),
            Err(NoFunction::Arity(arities)) => {
                let takes: Vec<String> = arities.iter().map(ToString::to_string).collect();
                let takes = takes.join(" or ");
                Some(
                    diagnostic("wrong-arity", format!("`{name}` of `{path}` takes {takes} arguments, not {arity}"))
                        .label(format!("{arity} given"))
                        .hint("give it what it takes"),
                )
            }
            Err(NoFunction::Unknown(likely)) => {
                let diagnostic = diagnostic("unknown-function", format!("`{path}` has no function `{name}`"))
                    .label("no such function");
                Some(match (op, likely) {
                    (Some(_), _) => diagnostic.hint(format!("operations are called as `host::{alias}::{name}(…)`")),
                    (None, Some(likely)) => diagnostic.hint(format!("did you mean `{alias}::{likely}`?")),
                    (None, None) => diagnostic.hint(format!("look into {path}.rhai for what there is")),
                })
            }
        }
    }
}

/// Path by alias, of a playbook's imports.
#[must_use]
pub fn aliases<'p>(imports: &[&'p str]) -> BTreeMap<&'p str, &'p str> {
    imports.iter().map(|path| (alias(path), *path)).collect()
}

/// Which of the sources a module is. One that is not there has a number that no source has.
/// The number of the file among the sources.
pub fn source_of(module: &ModuleSource, sources: &[Source]) -> u16 {
    let file = format!("{}.rhai", module.path);
    let same = |source: &&Source| *source.text == *module.text;
    sources
        .iter()
        .position(|source| source.name.ends_with(&file) && same(&source))
        .or_else(|| sources.iter().position(|source| same(&source)))
        .and_then(|index| u16::try_from(index).ok())
        .unwrap_or(u16::MAX)
}
