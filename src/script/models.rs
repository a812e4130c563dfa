//! The models that a playbook brings for its own programs: `models/*.rhai`, compiled and asked in the cage, without operations.

use std::cell::RefCell;
use std::rc::Rc;
use std::sync::Arc;

use rhai::{AST, CallFnOptions, Dynamic, Engine, EvalAltResult};

use super::edits::Woven;
use super::weave::weave;
use super::{Calls, ScriptError, Stop, convert, current, dialect};
use crate::model::fault::OpError;
use crate::model::{Value, glob};
use crate::ops::OpEntry;
use crate::ops::helm::client::Cluster;
use crate::playbook::bundle::ModuleSource;
use crate::sandbox::modelled::{ModelFault, Modelled, PlaybookModels};
use crate::sandbox::sight::Sight;

pub use crate::sandbox::modelled::OPERATIONS;

/// The constant in which a model says which calls it answers.
pub const CALLS: &str = "CALLS";
/// The function that answers them, with its parameters: the arguments of the call, and the world.
pub const FUNCTION: (&str, [&str; 2]) = ("model", ["args", "world"]);
/// Evaluation steps one answer may take.
pub const MAX_OPERATIONS: u64 = 1_000_000;

/// The functions of a model's `world`, with their numbers of arguments, the world itself counted.
pub const WORLD: [(&str, usize); 13] = [
    ("file", 2),
    ("text", 2),
    ("list", 2),
    ("container", 2),
    ("volume", 2),
    ("database", 3),
    ("resource", 2),
    ("resources", 2),
    ("guess", 3),
    ("object", 4),
    ("object", 5),
    ("objects", 4),
    ("objects", 5),
];

/// Which calls a model answers.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Pattern {
    /// The operation: `exec.run`.
    pub op: String,
    /// Globs on arguments, as capabilities have them: a list of words is matched as one line.
    pub fits: Vec<(String, String)>,
}

impl Pattern {
    /// Whether a call fits.
    #[must_use]
    pub fn matches(&self, op: &str, args: &Value) -> bool {
        self.op == op
            && self.fits.iter().all(|(name, pattern)| match args.get(name) {
                Some(Value::String(text)) => glob::matches(pattern, text),
                Some(Value::Array(words)) => {
                    let line: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
                    line.len() == words.len() && glob::matches(pattern, &line.join(" "))
                }
                _ => false,
            })
    }
}

/// One file of models.
struct Model {
    /// `models/seal.rhai`.
    file: String,
    text: String,
    woven: Woven,
    ast: AST,
    calls: Vec<Pattern>,
}

struct Models {
    engine: Engine,
    models: Vec<Model>,
}

thread_local! {
    /// What the model that is being asked on this thread sees.
    static SIGHT: RefCell<Vec<Rc<Sight>>> = const { RefCell::new(Vec::new()) };
}

/// The `world` of a model.
#[derive(Clone)]
struct World;

/// The models of a bundle.
///
/// # Errors
/// The first that does not compile, or does not say which calls it answers; `lint` says all of it, with the places.
pub fn compile(sources: &[ModuleSource]) -> Result<Modelled, ScriptError> {
    if sources.is_empty() {
        return Ok(Modelled::default());
    }
    let engine = engine();
    let models = sources.iter().map(|source| compile_one(&engine, source)).collect::<Result<_, _>>()?;
    Ok(Modelled::by(Arc::new(Models { engine, models })))
}

fn compile_one(engine: &Engine, source: &ModuleSource) -> Result<Model, ScriptError> {
    let file = format!("{}.rhai", source.path);
    let fail = |message: String| ScriptError { module: Some(file.clone()), ..ScriptError::new(message) };
    // As it was written first, so that what is wrong is told in the words and at the places of its author.
    engine.compile(&source.text).map_err(|e| fail(format!("model {file}: {e}")))?;
    let woven = weave(&source.text);
    let mut ast = engine.compile(&woven.text).map_err(|e| fail(format!("model {file}: {e}")))?;
    ast.set_source(file.as_str());
    let calls = calls_of(engine, &ast).map_err(|why| fail(format!("model {file}: {why}")))?;
    let (name, args) = FUNCTION;
    if !ast.iter_functions().any(|function| function.name == name && function.params.len() == args.len()) {
        return Err(fail(format!("model {file}: {}", no_function())));
    }
    Ok(Model { file, text: source.text.clone(), woven, ast, calls })
}

/// What is said of a model without its function.
#[must_use]
pub fn no_function() -> String {
    let (name, args) = FUNCTION;
    format!("there is no function `{name}({})` in it", args.join(", "))
}

/// Which calls a compiled text says it answers.
///
/// # Errors
/// What is wrong with what it says.
pub fn calls_of(engine: &Engine, ast: &AST) -> Result<Vec<Pattern>, String> {
    let mut scope = rhai::Scope::new();
    let (ran, limit) = current::with(None, current::MAX_THINKING, || engine.run_ast_with_scope(&mut scope, ast));
    if let Err(error) = ran {
        return Err(ScriptError::from_rhai(&error, limit).message);
    }
    let missing = || {
        format!(
            "it does not say which calls it answers: `const {CALLS} = [#{{ op: \"exec.run\", argv: \"tool *\" }}];`"
        )
    };
    let value = scope.get_value::<Dynamic>(CALLS).ok_or_else(missing)?;
    let patterns = match convert::to_value(&value)? {
        Value::Array(patterns) if !patterns.is_empty() => patterns,
        one @ Value::Object(_) => vec![one],
        _ => return Err(missing()),
    };
    patterns.iter().map(pattern).collect()
}

fn pattern(value: &Value) -> Result<Pattern, String> {
    let fields =
        value.as_object().ok_or_else(|| format!("{CALLS}: {value} is no map with `op` and globs on arguments"))?;
    let mut found = Pattern { op: String::new(), fits: Vec::new() };
    for (name, value) in fields {
        let text = value.as_str().ok_or_else(|| format!("{CALLS}: `{name}` is no text"))?.to_owned();
        if name == "op" { found.op = text } else { found.fits.push((name.clone(), text)) }
    }
    if found.op.is_empty() {
        return Err(format!("{CALLS}: {value} has no `op`"));
    }
    Ok(found)
}

/// The dialect, with a world to look at and no operation.
#[must_use]
pub fn engine() -> Engine {
    let mut engine = dialect::engine();
    engine.on_progress(current::over_limit);
    engine.set_max_operations(MAX_OPERATIONS);
    engine.register_type_with_name::<World>("World");
    one(&mut engine, "file", Sight::file);
    one(&mut engine, "text", Sight::text);
    one(&mut engine, "list", Sight::list);
    one(&mut engine, "container", Sight::container);
    one(&mut engine, "volume", Sight::volume);
    one(&mut engine, "resource", Sight::resource);
    one(&mut engine, "resources", Sight::resources);
    engine.register_fn("database", |_: &mut World, server: Dynamic, name: Dynamic| {
        look(&[server, name], |sight, words| match words {
            [server, name] => sight.database(server, name),
            _ => Value::Null,
        })
    });
    engine.register_fn("object", |_: &mut World, kind: Dynamic, namespace: Dynamic, name: Dynamic| {
        of_cluster([kind, namespace, name], Dynamic::from_map(rhai::Map::new()), Sight::object)
    });
    engine.register_fn(
        "object",
        |_: &mut World, kind: Dynamic, namespace: Dynamic, name: Dynamic, cluster: Dynamic| {
            of_cluster([kind, namespace, name], cluster, Sight::object)
        },
    );
    engine.register_fn("objects", |_: &mut World, kind: Dynamic, namespace: Dynamic, labels: Dynamic| {
        of_cluster([kind, namespace, labels], Dynamic::from_map(rhai::Map::new()), Sight::objects)
    });
    engine.register_fn(
        "objects",
        |_: &mut World, kind: Dynamic, namespace: Dynamic, labels: Dynamic, cluster: Dynamic| {
            of_cluster([kind, namespace, labels], cluster, Sight::objects)
        },
    );
    engine.register_fn("guess", |_: &mut World, why: &str, example: Dynamic| -> Found {
        let example = convert::to_value(&example)?;
        look(&[], |sight, _| sight.guess(why, example.clone()))
    });
    engine
}

type Found = Result<Dynamic, Box<EvalAltResult>>;

fn one(engine: &mut Engine, name: &str, see: fn(&Sight, &str) -> Value) {
    engine.register_fn(name, move |_: &mut World, what: Dynamic| {
        look(&[what], |sight, words| words.first().map_or(Value::Null, |what| see(sight, what)))
    });
}

type OfCluster = fn(&Sight, &str, &str, &str, &Cluster) -> Result<Value, String>;

/// Looks at something of a cluster of Kubernetes.
fn of_cluster(names: [Dynamic; 3], cluster: Dynamic, see: OfCluster) -> Found {
    let cluster = convert::to_value(&cluster)?;
    let cluster: Cluster = serde_json::from_value(cluster).map_err(|error| format!("this is no cluster: {error}"))?;
    let fault = RefCell::new(None);
    let found = look(&names, |sight, words| match words {
        [kind, namespace, name] => see(sight, kind, namespace, name, &cluster).unwrap_or_else(|what| {
            fault.replace(Some(what));
            Value::Null
        }),
        _ => Value::Null,
    });
    match fault.into_inner() {
        Some(what) => Err(what.into()),
        None => found,
    }
}

/// Looks at something, named by texts. What only the run will know the name of is itself unknown.
fn look(names: &[Dynamic], see: impl Fn(&Sight, &[&str]) -> Value) -> Found {
    for name in names {
        if let Some(unknown) = super::unknown::unknown_of(name) {
            let source = format!("world({})", unknown.shown());
            return Ok(Dynamic::from(unknown.derived(&source, crate::model::unknown::Shape::Any)));
        }
    }
    let mut words = Vec::new();
    for name in names {
        words.push(
            name.clone().into_string().map_err(|kind| format!("a name is wanted here, not a value of type {kind}"))?,
        );
    }
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    let sight = SIGHT.with_borrow(|stack| stack.last().cloned()).ok_or("there is no world to look at here")?;
    Ok(convert::to_dynamic(&see(&sight, &words)))
}

/// What answers a model: nothing. That it asked about what only the run will know is taken down.
#[derive(Default)]
struct Asked {
    met: RefCell<Option<String>>,
}

impl Calls for Asked {
    fn call(&self, op: &'static OpEntry, _: Value) -> Result<Value, Stop> {
        Err(Stop::Failed(OpError::refused(format!("a model cannot call {}: it only looks at its world", op.name))))
    }

    fn met_unknown(&self, why: &str) {
        self.met.borrow_mut().get_or_insert_with(|| why.to_owned());
    }

    fn enter_loop(&self, each: &str, _: current::LoopKind) {
        self.met_unknown(&format!("how often `{each}` goes round"));
    }

    fn is_over(&self) -> bool {
        self.met.borrow().is_some()
    }
}

impl Models {
    fn of(&self, op: &str, args: &Value) -> Option<&Model> {
        self.models.iter().find(|model| model.calls.iter().any(|pattern| pattern.matches(op, args)))
    }
}

impl PlaybookModels for Models {
    fn file_of(&self, op: &str, args: &Value) -> Option<&str> {
        self.of(op, args).map(|model| model.file.as_str())
    }

    fn ask(&self, op: &str, args: &Value, sight: Rc<Sight>) -> Result<Value, ModelFault> {
        // What was matched were the arguments with marks; what is unknown in them is so to the model.
        let Some(model) = self.of(op, &crate::sandbox::veil::lower(args)) else {
            let message = format!("no model answers {op}");
            return Err(ModelFault { message, snippet: String::new(), unknown: false });
        };
        let call = convert::to_dynamic(&complete(op, args));
        SIGHT.with_borrow_mut(|stack| stack.push(sight));
        let asked = Rc::new(Asked::default());
        let calls: Rc<dyn Calls> = Rc::clone(&asked) as Rc<dyn Calls>;
        let (answer, limit) = current::with(Some(calls), current::MAX_THINKING, || {
            let options = CallFnOptions::new().eval_ast(false);
            let world = Dynamic::from(World);
            let mut scope = rhai::Scope::new();
            self.engine.call_fn_with_options::<Dynamic>(options, &mut scope, &model.ast, FUNCTION.0, (call, world))
        });
        SIGHT.with_borrow_mut(Vec::pop);
        // Whatever it made of being stopped means nothing.
        if let Some(why) = asked.met.take() {
            return Err(ModelFault { message: why, snippet: String::new(), unknown: true });
        }
        match (answer, limit) {
            (Ok(answer), None) => convert::to_value(&answer).map_err(|what| model.nonsense(&what)),
            (Ok(_), Some(limit)) => Err(model.fault(ScriptError::of_limit(limit))),
            (Err(error), limit) => {
                let mut fault = ScriptError::from_rhai(&error, limit);
                if let (Some(line), Some(column)) = (fault.line, fault.column) {
                    fault.column = Some(model.woven.column(line, column));
                }
                if has_looped(&error) {
                    fault.message = format!("it took more than {MAX_OPERATIONS} steps: it probably loops for ever");
                }
                Err(model.fault(fault))
            }
        }
    }

    fn nonsense(&self, op: &str, args: &Value, what: &str) -> ModelFault {
        match self.of(op, &crate::sandbox::veil::lower(args)) {
            Some(model) => model.nonsense(what),
            None => ModelFault { message: what.to_owned(), snippet: String::new(), unknown: false },
        }
    }
}

fn has_looped(error: &EvalAltResult) -> bool {
    match error {
        EvalAltResult::ErrorInFunctionCall(_, _, inner, _) | EvalAltResult::ErrorInModule(_, inner, _) => {
            has_looped(inner)
        }
        EvalAltResult::ErrorTooManyOperations(_) => true,
        _ => false,
    }
}

impl Model {
    /// A fault at its place; where none is told, at the function.
    fn fault(&self, error: ScriptError) -> ModelFault {
        let (file, text) = (&self.file, &self.text);
        let (line, column) = match (error.line, error.column) {
            (Some(line), Some(column)) => (line, column),
            _ => self.head(),
        };
        let shown = text.lines().nth(line.saturating_sub(1)).unwrap_or_default();
        let number = line.to_string();
        let gap = " ".repeat(number.len());
        // A tab stays a tab, so that the caret stands below its letter however wide tabs are.
        let before: String =
            shown.chars().take(column.saturating_sub(1)).map(|c| if c == '\t' { c } else { ' ' }).collect();
        ModelFault {
            message: format!("{} ({file}:{line}:{column})", error.message),
            snippet: format!("{gap} --> {file}:{line}:{column}\n{number} | {shown}\n{gap} | {before}^"),
            unknown: error.unknown,
        }
    }

    /// An answer that is none, at the function that gave it.
    fn nonsense(&self, what: &str) -> ModelFault {
        let message = format!("what `{}` gives is no answer: {what}", FUNCTION.0);
        self.fault(ScriptError::new(message))
    }

    /// Where its function begins.
    fn head(&self) -> (usize, usize) {
        let head = format!("fn {}", FUNCTION.0);
        let found = self.text.lines().enumerate().find_map(|(line, text)| Some((line + 1, text.find(&head)? + 1)));
        found.unwrap_or((1, 1))
    }
}

/// A call as a model sees it: its operation and all of its arguments, `()` for those that were not given.
fn complete(op: &str, args: &Value) -> Value {
    let mut call = serde_json::Map::new();
    if let Some(entry) = crate::ops::find(op) {
        let schema = (entry.args_schema)();
        let names = schema.get("properties").and_then(Value::as_object).into_iter().flat_map(serde_json::Map::keys);
        call.extend(names.map(|name| (name.clone(), Value::Null)));
    }
    call.extend(args.as_object().cloned().unwrap_or_default());
    call.insert("op".to_owned(), Value::from(op));
    Value::Object(call)
}
