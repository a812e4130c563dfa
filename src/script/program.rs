//! A playbook with its modules, compiled: what the engine evaluates.

use std::collections::{BTreeMap, HashMap};
use std::rc::Rc;
use std::time::Duration;

use rhai::module_resolvers::StaticModuleResolver;
use rhai::{AST, Dynamic, Engine, Module, NativeCallContext};

use super::current::{self, Calls};
use super::edits::Woven;
use super::unknown::{TextParts, Unknown};
use super::weave::weave;
use super::{ScriptError, convert, dialect};
use crate::model::Value;
use crate::model::span::{Span, Spanned};
use crate::ops::OpEntry;
use crate::playbook::types::{Body, Playbook, Step, Template, TextPart};
use crate::sandbox::Modelled;

pub use crate::playbook::bundle::ModuleSource;

/// What expressions and scripts see.
#[derive(Clone, Debug, Default)]
pub struct Scope {
    /// Parameters; secrets are handles.
    pub params: Value,
    /// Outputs of the steps a step needs.
    pub steps: Value,
    /// `id`, `short_id`, `playbook`, `mode`, `started`.
    pub run: Value,
    /// The item of a `foreach` instance.
    pub item: Value,
    /// Its key.
    pub key: Value,
}

impl Scope {
    fn to_rhai(&self) -> rhai::Scope<'static> {
        let mut scope = rhai::Scope::new();
        for (name, value) in dialect::NAMES.iter().zip([&self.params, &self.steps, &self.run, &self.item, &self.key]) {
            scope.push_constant_dynamic(*name, convert::to_dynamic(value));
        }
        scope
    }
}

/// A playbook with its modules, compiled.
pub struct Program {
    /// The playbook.
    pub playbook: Playbook,
    /// The digest of the bundle it came from.
    pub digest: String,
    /// What its own programs do to the world of a plan, if it says so.
    pub models: Modelled,
    engine: Engine,
    patience: Duration,
    /// Every script and expression of the playbook, by its place.
    asts: HashMap<Span, Compiled>,
    /// For `uses: lib.function`: one compiled call each.
    uses: BTreeMap<String, Compiled>,
    /// The texts of the modules as they were compiled.
    modules: HashMap<String, Woven>,
}

/// A script, and the text it was compiled from.
struct Compiled {
    ast: AST,
    woven: Woven,
}

impl std::fmt::Debug for Program {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Program").field("digest", &self.digest).finish_non_exhaustive()
    }
}

/// The last name of an import path: what scripts call the module.
#[must_use]
pub fn alias(path: &str) -> &str {
    path.rsplit('/').next().unwrap_or(path)
}

impl Program {
    /// Compiles a playbook. `modules` stand in such an order that each comes after those it imports.
    ///
    /// # Errors
    /// The first script that does not compile; `lint` says all of them, with their places.
    pub fn compile(playbook: Playbook, digest: String, modules: &[ModuleSource]) -> Result<Self, ScriptError> {
        let mut engine = dialect::engine();
        engine.on_progress(current::over_limit);
        engine.register_static_module("host", host_module().into());
        let imported: Vec<&str> = playbook.imports.iter().map(|import| import.value.as_str()).collect();
        let mut resolver = StaticModuleResolver::new();
        let mut texts = HashMap::new();
        for source in modules {
            engine.set_module_resolver(resolver.clone());
            let fail = |message: String| ScriptError { module: Some(source.path.clone()), ..ScriptError::new(message) };
            let woven = weave(&source.text);
            // What is wrong is told in the words and at the places of its author.
            let as_written = |e| engine.compile(&source.text).err().unwrap_or(e);
            let mut ast =
                engine.compile(&woven.text).map_err(|e| fail(format!("module {}: {}", source.path, as_written(e))))?;
            ast.set_source(source.path.as_str());
            texts.insert(source.path.clone(), woven);
            let (module, limit) = current::with(None, current::MAX_THINKING, || {
                Module::eval_ast_as_new(rhai::Scope::new(), &ast, &engine)
            });
            let module = module.map_err(|e| ScriptError::from_rhai(&e, limit))?;
            if imported.contains(&source.path.as_str()) {
                engine.register_static_module(alias(&source.path), module.clone().into());
            }
            resolver.insert(source.path.as_str(), module);
        }
        // Scripts of steps use the playbook's imports; only modules import.
        engine.set_module_resolver(rhai::module_resolvers::DummyModuleResolver::new());
        let mut program = Self {
            playbook,
            digest,
            models: Modelled::default(),
            engine,
            patience: current::MAX_THINKING,
            asts: HashMap::new(),
            uses: BTreeMap::new(),
            modules: texts,
        };
        program.compile_playbook()?;
        Ok(program)
    }

    /// Lets its scripts compute this long between two calls.
    #[must_use]
    pub fn with_patience(mut self, patience: Duration) -> Self {
        self.patience = patience;
        self
    }

    /// With the playbook's own models.
    #[must_use]
    pub fn with_models(mut self, models: Modelled) -> Self {
        self.models = models;
        self
    }

    fn compile_playbook(&mut self) -> Result<(), ScriptError> {
        let playbook = self.playbook.clone();
        let mut scripts: Vec<Spanned<String>> = Vec::new();
        for param in &playbook.params {
            collect(param.default.as_ref(), &mut scripts);
        }
        for grant in &playbook.capabilities {
            for (_, template) in &grant.scope {
                collect(Some(template), &mut scripts);
            }
        }
        for source in &playbook.secrets {
            collect(Some(&source.from), &mut scripts);
        }
        scripts.extend(playbook.checks.iter().map(|check| check.script().clone()));
        for step in &playbook.steps {
            match &step.body {
                Body::Uses { path, with } => {
                    collect(with.as_ref(), &mut scripts);
                    if let Some((module, function)) = path.value.rsplit_once('.')
                        && crate::ops::find(&path.value).is_none()
                    {
                        let call = format!("{}::{function}(item)", alias(module));
                        let ast = self.compile_text(&call)?;
                        self.uses.insert(path.value.clone(), ast);
                    }
                }
                Body::Script(script) => scripts.push(script.clone()),
                Body::Manual { instructions, .. } => collect(Some(instructions), &mut scripts),
            }
            scripts.extend(step.when.clone());
            scripts.extend(step.rollback.clone());
            scripts.extend(step.verify.as_ref().map(|verify| verify.check.clone()));
            if let Some(foreach) = &step.foreach {
                collect(Some(&foreach.items), &mut scripts);
                scripts.extend(foreach.key.clone());
            }
        }
        if let Some(drill) = &playbook.drill {
            drill.params.iter().map(|(_, template)| template).chain(&drill.shared).for_each(|template| {
                collect(Some(template), &mut scripts);
            });
            scripts.extend(drill.measure.iter().map(|(_, expr)| expr.clone()));
        }
        for script in scripts {
            let ast = self.compile_text(&script.value)?;
            self.asts.insert(script.span, ast);
        }
        Ok(())
    }

    fn compile_text(&self, text: &str) -> Result<Compiled, ScriptError> {
        let scope = dialect::compile_scope();
        let fail = |e: rhai::ParseError| ScriptError {
            line: e.position().line(),
            column: e.position().position(),
            ..ScriptError::new(e.err_type().to_string())
        };
        let woven = weave(text);
        match self.engine.compile_with_scope(&scope, &woven.text) {
            Ok(ast) => Ok(Compiled { ast, woven }),
            // As it was written, so that what is wrong is told in the words and at the places of its author.
            Err(error) => Err(fail(self.engine.compile_with_scope(&scope, text).err().unwrap_or(error))),
        }
    }

    fn evaluate(&self, script: &Compiled, scope: &Scope, calls: Option<Rc<dyn Calls>>) -> Result<Value, ScriptError> {
        let mut scope = scope.to_rhai();
        let (outcome, limit) =
            current::with(calls, self.patience, || self.engine.eval_ast_with_scope::<Dynamic>(&mut scope, &script.ast));
        match (outcome, limit) {
            (Ok(value), None) => {
                convert::to_value(&value).map_err(|e| ScriptError::new(format!("the script's result: {e}")))
            }
            // A script can catch nearly every error out of a closure: what it made of being stopped means nothing.
            (Ok(_), Some(limit)) => Err(ScriptError::of_limit(limit)),
            (Err(error), limit) => {
                let mut error = ScriptError::from_rhai(&error, limit);
                let woven = error.module.as_ref().map_or(Some(&script.woven), |module| self.modules.get(module));
                if let (Some(woven), Some(line), Some(column)) = (woven, error.line, error.column) {
                    error.column = Some(woven.column(line, column));
                }
                Err(error)
            }
        }
    }

    /// The value of a pure expression.
    ///
    /// # Errors
    /// When it fails, or calls an operation.
    pub fn expression(&self, expr: &Spanned<String>, scope: &Scope) -> Result<Value, ScriptError> {
        self.script(expr, scope, None)
    }

    /// The last value of a script, its operations answered by `calls`.
    ///
    /// # Errors
    /// When it fails. If `calls` sealed itself, neither error nor value means anything.
    pub fn script(
        &self,
        script: &Spanned<String>,
        scope: &Scope,
        calls: Option<Rc<dyn Calls>>,
    ) -> Result<Value, ScriptError> {
        match self.asts.get(&script.span) {
            Some(script) => self.evaluate(script, scope, calls),
            None => self.evaluate(&self.compile_text(&script.value)?, scope, calls),
        }
    }

    /// A template with its expressions evaluated.
    ///
    /// # Errors
    /// The first expression that fails.
    pub fn template(&self, template: &Template, scope: &Scope) -> Result<Value, ScriptError> {
        self.template_asking(template, scope, None)
    }

    /// A template whose expressions may ask about what only the run will know.
    ///
    /// # Errors
    /// The first expression that fails.
    pub fn template_asking(
        &self,
        template: &Template,
        scope: &Scope,
        calls: Option<&Rc<dyn Calls>>,
    ) -> Result<Value, ScriptError> {
        Ok(match template {
            Template::Plain(value) => value.value.clone(),
            Template::Expr(expr) => self.script(expr, scope, calls.cloned())?,
            Template::Text(parts, _) => {
                let mut text = TextParts::default();
                for part in parts {
                    match part {
                        TextPart::Plain(plain) => text.plain(plain),
                        TextPart::Expr(expr) => match self.script(expr, scope, calls.cloned())? {
                            Value::String(value) => text.plain(&value),
                            value @ (Value::Number(_) | Value::Bool(_)) => text.plain(&value.to_string()),
                            value if Unknown::of(&value).is_some() => text.add(&convert::to_dynamic(&value)),
                            value => {
                                return Err(ScriptError::new(format!(
                                    "`${{{}}}` gives {value}, which cannot stand inside a text",
                                    expr.value
                                )));
                            }
                        },
                    }
                }
                convert::to_value(&text.into_dynamic()).map_err(ScriptError::new)?
            }
            Template::List(items, _) => Value::Array(
                items.iter().map(|item| self.template_asking(item, scope, calls)).collect::<Result<_, _>>()?,
            ),
            Template::Map(fields, _) => {
                let mut object = serde_json::Map::new();
                for (key, item) in fields {
                    object.insert(key.value.clone(), self.template_asking(item, scope, calls)?);
                }
                Value::Object(object)
            }
        })
    }

    /// The step's body with its evaluated `with` as `inputs`. A manual step has none to run.
    ///
    /// # Errors
    /// As [`Program::script`].
    pub fn body(&self, step: &Step, inputs: &Value, scope: &Scope, calls: Rc<dyn Calls>) -> Result<Value, ScriptError> {
        match &step.body {
            Body::Script(script) => self.script(script, scope, Some(calls)),
            Body::Manual { .. } => Ok(Value::Null),
            Body::Uses { path, .. } => match crate::ops::find(&path.value) {
                Some(op) => {
                    let inputs = if inputs.is_null() { Value::Object(serde_json::Map::new()) } else { inputs.clone() };
                    match calls.call(op, inputs) {
                        Ok(value) => Ok(value),
                        Err(current::Stop::Failed(error)) => {
                            Err(ScriptError { op: Some(error.clone()), ..ScriptError::new(error.message) })
                        }
                        Err(current::Stop::Sealed) => Err(ScriptError::new("the evaluation was ended")),
                    }
                }
                None => match self.uses.get(&path.value) {
                    Some(script) => {
                        self.evaluate(script, &Scope { item: inputs.clone(), ..scope.clone() }, Some(calls))
                    }
                    None => Err(ScriptError::new(format!("there is no operation or function `{}`", path.value))),
                },
            },
        }
    }
}

fn collect(template: Option<&Template>, scripts: &mut Vec<Spanned<String>>) {
    match template {
        None | Some(Template::Plain(_)) => {}
        Some(Template::Expr(expr)) => scripts.push(expr.clone()),
        Some(Template::Text(parts, _)) => scripts.extend(parts.iter().filter_map(|part| match part {
            TextPart::Plain(_) => None,
            TextPart::Expr(expr) => Some(expr.clone()),
        })),
        Some(Template::List(items, _)) => items.iter().for_each(|item| collect(Some(item), scripts)),
        Some(Template::Map(fields, _)) => fields.iter().for_each(|(_, item)| collect(Some(item), scripts)),
    }
}

/// `host`, with a module a family and a function an operation.
fn host_module() -> Module {
    let mut families: BTreeMap<&str, Module> = BTreeMap::new();
    for op in crate::ops::table().values() {
        let family = families.entry(op.family()).or_default();
        let only = only_required(op);
        family.set_native_fn(op.function(), move |_: NativeCallContext, args: Dynamic| {
            match &only {
                // `host::log::info("text")` for an operation with one argument that has to be given.
                Some(name) if !args.is_map() => {
                    let mut map = rhai::Map::new();
                    map.insert(name.as_str().into(), args);
                    current::call(op, &Dynamic::from_map(map))
                }
                _ => current::call(op, &args),
            }
        });
        family.set_native_fn(op.function(), move |_: NativeCallContext| {
            current::call(op, &Dynamic::from_map(rhai::Map::new()))
        });
    }
    let mut host = Module::new();
    for (name, family) in families {
        host.set_sub_module(name, family);
    }
    host
}

fn only_required(op: &OpEntry) -> Option<String> {
    let schema = (op.args_schema)();
    match schema.get("required").and_then(Value::as_array).map(Vec::as_slice) {
        Some([Value::String(name)]) => Some(name.clone()),
        _ => None,
    }
}
