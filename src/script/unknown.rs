//! A value that only the run will know, as scripts meet it in a plan: it is carried along, compared by asking, and never answers
//! anything by itself.

use std::any::TypeId;
use std::sync::Arc;

use rhai::{Array, Dynamic, Engine, EvalAltResult, FnPtr, ImmutableString, Map, NativeCallContext, Position};

use super::question::{Question, Test};
use super::{convert, current};
use crate::model::unknown::{Shape, field_path};

pub use crate::model::unknown::Unknown;

/// How the errors begin that [`Unknown`]s raise where nobody answers questions.
pub const MARK: &str = "depends on what only the run will know: ";

/// What the type is called in Rhai's own messages.
pub const TYPE_NAME: &str = "a-value-only-the-run-will-know";

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// Whether an error's text speaks of an unknown. Some of Rhai's own have the type's path instead of its name.
pub(super) fn spoken_of(text: &str) -> bool {
    text.contains(MARK) || text.contains(TYPE_NAME) || text.contains(std::any::type_name::<Unknown>())
}

/// The same text, for people.
pub(super) fn in_words(text: &str) -> String {
    let name = "a value that only the run will know";
    text.replace(TYPE_NAME, name).replace(std::any::type_name::<Unknown>(), name)
}

/// Ends the evaluation: there is no way to go on without the value.
pub(super) fn stop<T>(unknown: &Unknown, what: &str) -> Fallible<T> {
    let about = format!("{what} {} ({})", unknown.source, unknown.why);
    Err(match current::calls() {
        Some(calls) => {
            calls.met_unknown(&about);
            Box::new(EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE))
        }
        None => format!("{MARK}{about}").into(),
    })
}

/// Asks.
pub(super) fn ask(unknown: &Unknown, question: Question) -> Fallible<bool> {
    let words = question.to_string();
    match current::calls().and_then(|calls| calls.decide(question)) {
        Some(answer) => Ok(answer),
        None => stop(unknown, &format!("`{words}` is asked of")),
    }
}

/// The unknown that this is, if it is one.
pub(super) fn unknown_of(value: &Dynamic) -> Option<Unknown> {
    value.read_lock::<Unknown>().map(|unknown| unknown.clone())
}

/// The first unknown in here.
pub(super) fn within(value: &Dynamic) -> Option<Unknown> {
    if let Some(unknown) = unknown_of(value) {
        return Some(unknown);
    }
    if let Some(items) = value.read_lock::<Array>() {
        return items.iter().find_map(within);
    }
    let fields = value.read_lock::<Map>()?;
    fields.values().find_map(within)
}

/// In the words of a question.
pub(super) fn words(value: &Dynamic) -> String {
    match unknown_of(value) {
        Some(unknown) => unknown.source.to_string(),
        None => convert::to_value(value).map_or_else(|_| value.type_name().to_owned(), |value| value.to_string()),
    }
}

fn shape_of(value: &Dynamic) -> Shape {
    unknown_of(value).map_or_else(
        || convert::to_value(value).map(|value| Shape::of_value(&value)).unwrap_or_default(),
        |unknown| unknown.shape,
    )
}

/// Whether it is true.
pub(super) fn truth(unknown: &Unknown) -> Fallible<bool> {
    match unknown.shape.there() {
        Shape::Bool | Shape::Any => ask(unknown, Question::new(&unknown.source, &unknown.shape, Test::Holds)),
        _ => stop(unknown, "true or false is wanted of"),
    }
}

/// Whether it is equal to something.
pub(super) fn equal(unknown: &Unknown, other: &Dynamic) -> Fallible<bool> {
    if let Some(other) = unknown_of(other) {
        if other.source == unknown.source {
            return Ok(true);
        }
        let (a, b) = if unknown.source <= other.source { (unknown, &other) } else { (&other, unknown) };
        return ask(unknown, Question::other(format!("{} == {}", a.source, b.source)));
    }
    if other.is_unit() && !unknown.shape.may_be_null() {
        return Ok(false);
    }
    if let (Shape::Bool, Ok(wanted)) = (unknown.shape.there(), other.as_bool()) {
        return Ok(truth(unknown)? == wanted);
    }
    let Ok(value) = convert::to_value(other) else { return Ok(false) };
    if crate::model::unknown::is_in(&value) {
        return ask(unknown, Question::other(format!("{} == {}", unknown.source, words(other))));
    }
    ask(unknown, Question::new(&unknown.source, &unknown.shape, Test::Equals(value)))
}

/// Whether it is less (or more) than something.
fn beyond(unknown: &Unknown, less: bool, other: &Dynamic) -> Fallible<bool> {
    let bound = other.as_float().ok().or_else(|| other.as_int().ok().map(|int| int as f64));
    let question = match bound {
        Some(bound) if less => Question::new(&unknown.source, &unknown.shape, Test::Below(bound)),
        Some(bound) => Question::new(&unknown.source, &unknown.shape, Test::Above(bound)),
        // Two unknowns have one question for both ways round.
        None if less => Question::other(format!("{} < {}", unknown.source, words(other))),
        None => Question::other(format!("{} < {}", words(other), unknown.source)),
    };
    ask(unknown, question)
}

/// Two texts, or what becomes one, put together.
fn joined_text(a: &Dynamic, b: &Dynamic) -> Dynamic {
    let mut parts = TextParts::default();
    parts.add(a);
    parts.add(b);
    parts.into_dynamic()
}

/// A text put together from parts.
#[derive(Default)]
pub(super) struct TextParts {
    known: String,
    pattern: String,
    why: Option<Arc<str>>,
}

impl TextParts {
    /// A part as it is.
    pub fn plain(&mut self, text: &str) {
        if self.why.is_none() {
            self.known.push_str(text);
        }
        for c in text.chars() {
            if matches!(c, '`' | '\\' | '}' | '$') {
                self.pattern.push('\\');
            }
            self.pattern.push(c);
        }
    }

    /// A value; containers have to be turned into texts by the caller.
    pub fn add(&mut self, value: &Dynamic) {
        match unknown_of(value) {
            Some(unknown) => {
                self.why.get_or_insert_with(|| unknown.why.clone());
                match unknown.source.strip_prefix('`').and_then(|rest| rest.strip_suffix('`')) {
                    Some(pattern) => self.pattern.push_str(pattern),
                    None => {
                        self.pattern.push_str("${");
                        for c in unknown.source.chars() {
                            if matches!(c, '`' | '\\' | '{' | '}') {
                                self.pattern.push('\\');
                            }
                            self.pattern.push(c);
                        }
                        self.pattern.push('}');
                    }
                }
            }
            None => match value.read_lock::<ImmutableString>() {
                Some(text) => self.plain(&text),
                None => self.plain(&value.to_string()),
            },
        }
    }

    /// The text, or an unknown of its shape.
    pub fn into_dynamic(self) -> Dynamic {
        match self.why {
            None => Dynamic::from(self.known),
            Some(why) => {
                Dynamic::from(Unknown { why, source: format!("`{}`", self.pattern).into(), shape: Shape::Text })
            }
        }
    }
}

/// `a op b`, one of which is unknown, by reckoning.
fn reckoned(op: &str, a: &Dynamic, b: &Dynamic) -> Fallible<Dynamic> {
    let Some(unknown) = unknown_of(a).or_else(|| unknown_of(b)) else { return Ok(Dynamic::UNIT) };
    let shape = match (shape_of(a).there(), shape_of(b).there()) {
        (Shape::Text, _) | (_, Shape::Text) if op == "+" => return Ok(joined_text(a, b)),
        (Shape::List(a), Shape::List(b)) if op == "+" => Shape::List(Arc::new(a.as_ref().clone().or(b))),
        (Shape::Any, _) | (_, Shape::Any) => Shape::Any,
        (Shape::Fields(_) | Shape::List(_) | Shape::Bool, _) | (_, Shape::Fields(_) | Shape::List(_) | Shape::Bool)
            if !matches!(op, "&" | "|" | "^") =>
        {
            return stop(&unknown, &format!("`{op}` is no operation on"));
        }
        (Shape::Int, Shape::Int) => Shape::Int,
        (Shape::Int | Shape::Number, Shape::Int | Shape::Number) => Shape::Number,
        (Shape::Bool, Shape::Bool) => Shape::Bool,
        _ => Shape::Any,
    };
    Ok(Dynamic::from(unknown.derived(&format!("({} {op} {})", words(a), words(b)), shape)))
}

/// A field.
fn field(unknown: &Unknown, name: &str) -> Fallible<Dynamic> {
    match unknown.field(name) {
        Some(field) => Ok(Dynamic::from(field)),
        None if name == "len" && matches!(unknown.shape.there(), Shape::List(_) | Shape::Text) => {
            Ok(Dynamic::from(unknown.derived(&format!("{}.len()", unknown.source), Shape::Int)))
        }
        None => Err(Box::new(EvalAltResult::ErrorPropertyNotFound(name.to_owned(), Position::NONE))),
    }
}

fn item(unknown: &Unknown, at: &str) -> Fallible<Dynamic> {
    match unknown.shape.item() {
        Some(shape) => Ok(Dynamic::from(unknown.derived(&format!("{}[{at}]", unknown.source), shape))),
        None if *unknown.shape.there() == Shape::Text => {
            Ok(Dynamic::from(unknown.derived(&format!("{}[{at}]", unknown.source), Shape::Text)))
        }
        None => stop(unknown, "an item is wanted of"),
    }
}

/// Sets a part: it is another value from here on, unless the part was only read and put back.
fn set_part(unknown: &mut Unknown, part: &str, value: &Dynamic) {
    if unknown_of(value).is_some_and(|value| *value.source == *part) {
        return;
    }
    *unknown =
        unknown.derived(&current::fresh(&format!("{} with {part} = {}", unknown.source, words(value))), Shape::Any);
}

/// What a function makes of an unknown.
#[derive(Clone, Copy)]
enum Makes {
    Text,
    Int,
    Number,
    Texts,
    List,
    Any,
    Same,
    Item,
    Answer,
}

/// Functions whose result is as unknown as their first argument, by name: what they make. All others stop.
const CARRIED: &[(&str, Makes)] = &[
    ("abs", Makes::Same),
    ("bytes", Makes::Int),
    ("ceiling", Makes::Number),
    ("chars", Makes::Texts),
    ("contains", Makes::Answer),
    ("ends_with", Makes::Answer),
    ("extract", Makes::Same),
    ("floor", Makes::Number),
    ("get", Makes::Item),
    ("index_of", Makes::Int),
    ("int", Makes::Number),
    ("is_empty", Makes::Answer),
    ("is_even", Makes::Answer),
    ("is_odd", Makes::Answer),
    ("is_zero", Makes::Answer),
    ("keys", Makes::Texts),
    ("len", Makes::Int),
    ("max", Makes::Same),
    ("min", Makes::Same),
    ("parse_float", Makes::Number),
    ("parse_int", Makes::Int),
    ("parse_json", Makes::Any),
    ("round", Makes::Number),
    ("sign", Makes::Int),
    ("split", Makes::Texts),
    ("split_rev", Makes::Texts),
    ("starts_with", Makes::Answer),
    ("sub_string", Makes::Text),
    ("to_chars", Makes::Texts),
    ("to_float", Makes::Number),
    ("to_hex", Makes::Text),
    ("to_int", Makes::Int),
    ("to_json", Makes::Text),
    ("to_lower", Makes::Text),
    ("to_upper", Makes::Text),
    ("values", Makes::List),
];

/// Functions that change what they are called on, which stays unknown; whether they give an item back.
const CHANGES: &[(&str, bool)] = &[
    ("append", false),
    ("chop", false),
    ("clear", false),
    ("crop", false),
    ("dedup", false),
    ("fill_with", false),
    ("insert", false),
    ("make_lower", false),
    ("make_upper", false),
    ("mixin", false),
    ("pad", false),
    ("pop", true),
    ("push", false),
    ("remove", true),
    ("replace", false),
    ("reverse", false),
    ("set", false),
    ("shift", true),
    ("sort", false),
    ("sort_desc", false),
    ("trim", false),
    ("truncate", false),
];

fn carried(name: &str, makes: Makes, unknown: &Unknown, others: &[Dynamic]) -> Fallible<Dynamic> {
    let others: Vec<String> = others.iter().map(words).collect();
    let source = format!("{}.{name}({})", unknown.source, others.join(", "));
    let list = |shape| Shape::List(Arc::new(shape));
    let shape = match makes {
        Makes::Text => Shape::Text,
        Makes::Int => Shape::Int,
        Makes::Number => Shape::Number,
        Makes::Texts => list(Shape::Text),
        Makes::List => list(Shape::Any),
        Makes::Any => Shape::Any,
        Makes::Same => unknown.shape.there().clone(),
        Makes::Item => unknown.shape.item().unwrap_or_default().maybe(),
        Makes::Answer => return Ok(Dynamic::from_bool(ask(unknown, Question::other(source))?)),
    };
    Ok(Dynamic::from(unknown.derived(&source, shape)))
}

fn changed(name: &str, gives: bool, unknown: &mut Unknown, others: &[Dynamic]) -> Dynamic {
    let others: Vec<String> = others.iter().map(words).collect();
    let source = current::fresh(&format!("{}.{name}({})", unknown.source, others.join(", ")));
    let given = gives.then(|| unknown.derived(&source, unknown.shape.item().unwrap_or_default().maybe()));
    let shape = match unknown.shape.there() {
        Shape::List(_) if matches!(name, "push" | "append" | "insert" | "pad" | "set") => {
            Shape::List(Arc::new(Shape::Any))
        }
        Shape::List(_) | Shape::Text => unknown.shape.clone(),
        _ => Shape::Any,
    };
    *unknown = unknown.derived(&format!("{source} (changed)"), shape);
    given.map_or(Dynamic::UNIT, Dynamic::from)
}

macro_rules! with_known {
    ($engine:ident, $op:expr, $do:expr; $($known:ty),*) => {$(
        $engine.register_fn($op, move |a: $known, b: Unknown| $do(Dynamic::from(a), Dynamic::from(b)));
    )*};
}

macro_rules! on_both_sides {
    ($engine:ident, $op:expr, $do:expr) => {
        $engine.register_fn($op, move |a: Unknown, b: Dynamic| $do(Dynamic::from(a), b));
        $engine.register_fn($op, move |a: Dynamic, b: Unknown| $do(a, Dynamic::from(b)));
        $engine.register_fn($op, move |a: Unknown, b: Unknown| $do(Dynamic::from(a), Dynamic::from(b)));
        // Exact, so that nothing of Rhai's that takes anything is found first.
        with_known!($engine, $op, $do; i64, f64, bool, char, (), ImmutableString, Array, Map);
    };
}

/// One closure over an item of an unknown list, in a round that stands for all.
fn each(context: &NativeCallContext, name: &str, unknown: &Unknown, closure: &FnPtr) -> Fallible<Dynamic> {
    if closure.curry().iter().any(Dynamic::is_shared) {
        return stop(
            unknown,
            &format!("a closure that keeps something between items (write a `for` loop), by `{name}` over"),
        );
    }
    let Some(shape) = unknown.shape.item() else { return stop(unknown, "items are wanted of") };
    let mut item = Dynamic::from(unknown.derived(&current::fresh(&format!("{}[]", unknown.source)), shape));
    let index =
        Dynamic::from(unknown.derived(&current::fresh(&format!("the place in {}", unknown.source)), Shape::Int));
    let Some(calls) = current::calls() else { return stop(unknown, "items are wanted of") };
    let label = format!("each of {}", unknown.source);
    if calls.is_left_out(&label, &unknown.source) {
        return Ok(Dynamic::UNIT);
    }
    calls.enter_loop(&label, current::LoopKind::Items);
    let result = closure.call_raw_with_extra_args(name, context, Some(&mut item), [], [index], Some(0));
    calls.leave_loop(&label, result.is_ok());
    result
}

fn over_items(engine: &mut Engine) {
    for name in ["map", "for_each", "filter", "retain", "drain", "some", "all", "find", "find_map", "reduce", "sort_by"]
    {
        engine.register_fn(
            name,
            move |context: NativeCallContext, unknown: &mut Unknown, closure: FnPtr| -> Fallible<Dynamic> {
                if matches!(name, "reduce" | "sort_by" | "retain" | "drain") {
                    return stop(unknown, &format!("`{name}` over"));
                }
                let made = each(&context, name, unknown, &closure)?;
                let source = current::fresh(&format!("{}.{name}(…)", unknown.source));
                let shape = match name {
                    "map" => Shape::List(Arc::new(shape_of(&made))),
                    "filter" => unknown.shape.there().clone(),
                    "find" | "find_map" => unknown.shape.item().unwrap_or_default().maybe(),
                    "for_each" => return Ok(Dynamic::UNIT),
                    _ => return Ok(Dynamic::from_bool(ask(unknown, Question::other(source))?)),
                };
                Ok(Dynamic::from(unknown.derived(&source, shape)))
            },
        );
    }
}

/// Teaches an engine the type.
pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Unknown>(TYPE_NAME);
    engine.register_indexer_get(|unknown: &mut Unknown, name: ImmutableString| field(unknown, &name));
    engine.register_indexer_get(|unknown: &mut Unknown, at: i64| item(unknown, &at.to_string()));
    engine.register_indexer_get(|unknown: &mut Unknown, at: Unknown| item(unknown, &at.source));
    engine.register_indexer_set(|unknown: &mut Unknown, name: ImmutableString, value: Dynamic| {
        let part = field_path(&unknown.source, &name);
        set_part(unknown, &part, &value);
    });
    engine.register_indexer_set(|unknown: &mut Unknown, at: i64, value: Dynamic| {
        let part = format!("{}[{at}]", unknown.source);
        set_part(unknown, &part, &value);
    });
    engine.register_indexer_set(|unknown: &mut Unknown, at: Unknown, value: Dynamic| {
        let part = format!("{}[{}]", unknown.source, at.source);
        set_part(unknown, &part, &value);
    });
    for op in ["+", "-", "*", "/", "%", "**", "<<", ">>", "&", "|", "^"] {
        let reckon = move |a: Dynamic, b: Dynamic| reckoned(op, &a, &b);
        on_both_sides!(engine, op, reckon);
    }
    let same = |a: Dynamic, b: Dynamic| match unknown_of(&a) {
        Some(unknown) => equal(&unknown, &b),
        None => unknown_of(&b).map_or(Ok(false), |unknown| equal(&unknown, &a)),
    };
    on_both_sides!(engine, "==", same);
    on_both_sides!(engine, "!=", move |a: Dynamic, b: Dynamic| same(a, b).map(|same| !same));
    // `a >= b` is `!(a < b)`, so that both are one question.
    for (op, less, not) in [("<", true, false), (">", false, false), (">=", true, true), ("<=", false, true)] {
        let compare = move |a: Dynamic, b: Dynamic| match unknown_of(&a) {
            Some(unknown) => beyond(&unknown, less, &b).map(|answer| answer != not),
            None => unknown_of(&b).map_or(Ok(false), |unknown| beyond(&unknown, !less, &a).map(|answer| answer != not)),
        };
        on_both_sides!(engine, op, compare);
    }
    for op in ["..", "..="] {
        let range = move |a: Dynamic, b: Dynamic| -> Fallible<Unknown> {
            let unknown = unknown_of(&a).or_else(|| unknown_of(&b));
            let source = format!("{}{op}{}", words(&a), words(&b));
            match unknown {
                Some(unknown) => Ok(unknown.derived(&source, Shape::List(Arc::new(Shape::Int)))),
                None => Err("a range of nothing unknown".into()),
            }
        };
        on_both_sides!(engine, op, range);
    }
    engine.register_fn("range", |a: Dynamic, b: Unknown| {
        b.derived(&format!("{}..{}", words(&a), b.source), Shape::List(Arc::new(Shape::Int)))
    });
    engine.register_fn("!", |unknown: Unknown| truth(&unknown).map(|answer| !answer));
    engine.register_fn("-", |unknown: Unknown| unknown.derived(&format!("-{}", unknown.source), unknown.shape.clone()));
    engine.register_fn("+", |unknown: Unknown| unknown);
    texts(engine);
    over_items(engine);
    for &(name, makes) in CARRIED {
        engine.register_fn(name, move |a: &mut Unknown| carried(name, makes, a, &[]));
        engine.register_fn(name, move |a: &mut Unknown, b: Dynamic| carried(name, makes, a, &[b]));
        engine.register_fn(name, move |a: &mut Unknown, b: Dynamic, c: Dynamic| carried(name, makes, a, &[b, c]));
        // `"text".contains(u)`, `min(1, u)`: as unknown as what they are told.
        let told = move |a: Dynamic, b: Dynamic| -> Fallible<Dynamic> {
            let Some(unknown) = unknown_of(&b) else { return Ok(Dynamic::UNIT) };
            let shape = if matches!(makes, Makes::Same) { shape_of(&a).or(&unknown.shape) } else { Shape::Any };
            let stand_in = unknown.derived(&words(&a), shape);
            carried(name, makes, &stand_in, &[b])
        };
        with_known!(engine, name, told; i64, f64, char, ImmutableString);
    }
    for &(name, gives) in CHANGES {
        engine.register_fn(name, move |a: &mut Unknown| changed(name, gives, a, &[]));
        engine.register_fn(name, move |a: &mut Unknown, b: Dynamic| changed(name, gives, a, &[b]));
        engine.register_fn(name, move |a: &mut Unknown, b: Dynamic, c: Dynamic| changed(name, gives, a, &[b, c]));
    }
    engine.register_iterator_result::<Unknown, Dynamic>();
}

/// Texts, and what changes a known variable into an unknown one.
fn texts(engine: &mut Engine) {
    engine
        .register_fn("to_string", |unknown: &mut Unknown| joined_text(&Dynamic::from(unknown.clone()), &Dynamic::UNIT));
    for name in ["to_debug", "debug", "print"] {
        engine.register_fn(name, |unknown: &mut Unknown| -> Fallible<Dynamic> { stop(unknown, "a text is made of") });
    }
    let grown = |_: NativeCallContext, args: &mut [&mut Dynamic]| -> Fallible<()> {
        if let [target, with] = args {
            **target = reckoned("+", target, with)?;
        }
        Ok(())
    };
    for first in [TypeId::of::<ImmutableString>(), TypeId::of::<Array>(), TypeId::of::<Map>(), TypeId::of::<Unknown>()]
    {
        for name in ["+=", "append"] {
            engine.register_raw_fn(name, [first, TypeId::of::<Unknown>()], grown);
        }
    }
}

impl IntoIterator for Unknown {
    type Item = Fallible<Dynamic>;
    type IntoIter = std::option::IntoIter<Fallible<Dynamic>>;

    /// Where no loop has been woven around it, there is no going through its items.
    fn into_iter(self) -> Self::IntoIter {
        Some(stop(&self, "a loop whose value is used (give it a statement of its own) goes over")).into_iter()
    }
}
