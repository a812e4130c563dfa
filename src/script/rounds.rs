//! Loops whose number of rounds only the run will know: one round is shown that stands for all. What it may change is unknown while it
//! is on and after it, since nobody knows how many rounds there were before.

use rhai::{Dynamic, Engine, EvalAltResult, NativeCallContext, Position};

use super::convert;
use super::current::{self, LoopKind, Rounds};
use super::question::{Question, Test};
use super::unknown::{TextParts, Unknown, in_words, spoken_of, stop, truth, unknown_of};
use crate::model::unknown::Shape;

type Fallible<T> = Result<T, Box<EvalAltResult>>;

/// The items of an unknown list: one that stands for all.
#[derive(Clone, Debug)]
struct Items {
    item: Unknown,
    label: String,
}

/// The way through [`Items`].
struct Way {
    items: Items,
    begun: bool,
    entered: bool,
}

impl Way {
    fn leave(&mut self, passed: bool) {
        if std::mem::take(&mut self.entered)
            && let Some(calls) = current::calls()
        {
            calls.leave_loop(&self.items.label, passed);
        }
    }
}

impl Iterator for Way {
    type Item = Dynamic;

    fn next(&mut self) -> Option<Dynamic> {
        if std::mem::replace(&mut self.begun, true) {
            self.leave(true);
            return None;
        }
        if let Some(calls) = current::calls() {
            calls.enter_loop(&self.items.label, LoopKind::Items);
            self.entered = true;
        }
        Some(Dynamic::from(self.items.item.clone()))
    }
}

impl Drop for Way {
    fn drop(&mut self) {
        self.leave(false);
    }
}

impl IntoIterator for Items {
    type Item = Dynamic;
    type IntoIter = Way;

    fn into_iter(self) -> Way {
        Way { items: self, begun: false, entered: false }
    }
}

/// Forgets a loop, and any that stands inside of it and was left by `break`, `return` or an error.
fn forget(id: i64) {
    let left: Option<Vec<Rounds>> = current::rounds(|rounds| match rounds.iter().rposition(|loops| loops.id == id) {
        Some(place) => rounds.drain(place..).filter(|loops| loops.entered).collect(),
        None => Vec::new(),
    });
    if let (Some(left), Some(calls)) = (left, current::calls()) {
        left.iter().rev().for_each(|loops| calls.leave_loop(&loops.label, true));
    }
}

/// Behind a loop.
fn done(id: i64) {
    let label = current::rounds(|rounds| {
        let passes = |loops: &&Rounds| loops.id == id && loops.stands_for_all && !loops.entered && !loops.left_out;
        let over = rounds.iter().rfind(passes);
        over.map(|over| over.label.clone())
    });
    forget(id);
    if let (Some(Some(label)), Some(calls)) = (label, current::calls()) {
        calls.passed_loop(&label);
    }
}

fn begin(id: i64, label: String, stands_for_all: bool, left_out: bool) {
    let decisions = current::calls().map_or(0, |calls| calls.decisions());
    current::rounds(|rounds| rounds.push(Rounds { id, decisions, stands_for_all, left_out, entered: false, label }));
}

/// `for x in __each(id, list)`.
fn each(id: i64, list: Dynamic) -> Fallible<Dynamic> {
    forget(id);
    let Some(unknown) = unknown_of(&list) else { return Ok(list) };
    let Some(shape) = unknown.shape.item() else { return stop(&unknown, "a loop goes over") };
    let Some(calls) = current::calls() else { return stop(&unknown, "a loop goes over") };
    let label = format!("each of {}", unknown.source);
    let left_out = calls.is_left_out(&label, &unknown.source);
    begin(id, label.clone(), true, left_out);
    if left_out {
        // What it changes is as unknown behind it as it is after any number of rounds.
        return Ok(Dynamic::from_array(rhai::Array::new()));
    }
    let item = unknown.derived(&current::fresh(&format!("{}[]", unknown.source)), shape);
    Ok(Dynamic::from(Items { item, label }))
}

/// `while __round(id, condition)`, or the beginning of a round of a `loop`.
fn round(context: &NativeCallContext, id: i64, condition: Dynamic) -> Fallible<Dynamic> {
    let (goes_on, value) = match unknown_of(&condition) {
        Some(unknown) => {
            let answer = truth(&unknown)?;
            (answer, Dynamic::from_bool(answer))
        }
        None => (condition.as_bool().unwrap_or(true), condition),
    };
    let Some(calls) = current::calls() else { return Ok(value) };
    let decisions = calls.decisions();
    let line = context.call_position().line().unwrap_or(0);
    enum Then {
        Nothing,
        Enter(String),
        Leave(String),
        Covered(String),
    }
    let then = current::rounds(|rounds| {
        let Some(this) = rounds.iter_mut().rfind(|loops| loops.id == id) else { return Then::Nothing };
        match (this.stands_for_all, goes_on) {
            (true, true) => Then::Covered(this.label.clone()),
            (true, false) if this.entered => {
                this.entered = false;
                Then::Leave(this.label.clone())
            }
            (false, true) if decisions > this.decisions => {
                this.stands_for_all = true;
                this.entered = true;
                this.label = format!("each round of the loop in line {line}");
                Then::Enter(this.label.clone())
            }
            _ => Then::Nothing,
        }
    });
    match then {
        Some(Then::Enter(label)) => calls.enter_loop(&label, LoopKind::Rounds),
        Some(Then::Leave(label)) => calls.leave_loop(&label, true),
        Some(Then::Covered(label)) => {
            calls.covered(&label);
            return Err(Box::new(EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE)));
        }
        Some(Then::Nothing) | None => {}
    }
    Ok(value)
}

/// Whether the present round stands for all.
fn blurs(id: i64) -> bool {
    current::rounds(|rounds| rounds.iter().rfind(|loops| loops.id == id).is_some_and(|loops| loops.stands_for_all))
        .unwrap_or(false)
}

/// A variable that other rounds may have changed.
fn blur(id: i64, name: &str, value: &Dynamic) -> Fallible<Dynamic> {
    let label = current::rounds(|rounds| {
        rounds.iter().rfind(|loops| loops.id == id).map(|loops| loops.label.clone()).unwrap_or_default()
    });
    let label = label.unwrap_or_default();
    // Nor is its type known: this round may have made a text of what was nothing, and no round may have come to that.
    if unknown_of(value).is_none() && convert::to_value(value).is_err() {
        let unknown = Unknown::new("it changes from round to round", name, Shape::Any);
        return stop(&unknown, "a closure is kept from round to round in");
    }
    let source = current::fresh(&format!("{name} as it changes with {label}"));
    Ok(Dynamic::from(Unknown::new("it changes from round to round", &source, Shape::Any)))
}

/// `catch`: what comes from an unknown is not to be caught.
fn caught(error: &Dynamic) -> Fallible<()> {
    let text = convert::to_value(error).map(|error| error.to_string()).unwrap_or_default();
    if spoken_of(&text) {
        let unknown = Unknown::new("", "", Shape::Any);
        return stop(&unknown, &format!("an error would be caught: {}", in_words(&text)));
    }
    match current::calls() {
        Some(calls) if calls.is_over() => Err(Box::new(EvalAltResult::ErrorTerminated(Dynamic::UNIT, Position::NONE))),
        _ => Ok(()),
    }
}

/// A text with expressions inside.
fn text(context: &NativeCallContext, parts: rhai::Array) -> Fallible<Dynamic> {
    let mut text = TextParts::default();
    for mut part in parts {
        if unknown_of(&part).is_some() || part.is_string() {
            text.add(&part);
        } else {
            // A list or an object that holds an unknown stops here by itself.
            text.add(&context.call_native_fn_raw(rhai::FUNC_TO_STRING, true, &mut [&mut part])?);
        }
    }
    Ok(text.into_dynamic())
}

/// A value that `??` may have to replace.
pub(super) fn there(value: Dynamic) -> Fallible<Dynamic> {
    match unknown_of(&value) {
        Some(unknown) if unknown.shape.may_be_null() => {
            let null = Question::new(&unknown.source, &unknown.shape, Test::Equals(crate::model::Value::Null));
            Ok(if super::unknown::ask(&unknown, null)? { Dynamic::UNIT } else { value })
        }
        _ => Ok(value),
    }
}

/// Teaches an engine what [`super::weave`] weaves in.
pub fn register(engine: &mut Engine) {
    engine.register_iterator::<Items>();
    engine.register_fn("__truth", |value: Dynamic| match unknown_of(&value) {
        Some(unknown) => truth(&unknown).map(Dynamic::from_bool),
        None => Ok(value),
    });
    engine.register_fn("__there", there);
    engine.register_fn("__type_of", |context: NativeCallContext, value: Dynamic| -> Fallible<String> {
        match unknown_of(&value) {
            Some(unknown) => stop(&unknown, "the type is wanted of"),
            None => Ok(context.engine().map_type_name(value.type_name()).to_owned()),
        }
    });
    engine.register_fn("__text", |context: NativeCallContext, parts: rhai::Array| text(&context, parts));
    engine.register_fn("__each", each);
    engine.register_fn("__loop", |id: i64| {
        forget(id);
        begin(id, String::new(), false, false);
    });
    engine.register_fn("__round", |context: NativeCallContext, id: i64, condition: Dynamic| {
        round(&context, id, condition)
    });
    engine.register_fn("__blurs", blurs);
    engine.register_fn("__ended", blurs);
    engine.register_fn("__blur", |id: i64, name: &str, value: Dynamic| blur(id, name, &value));
    engine.register_fn("__done", done);
    engine.register_fn("__caught", |error: Dynamic| caught(&error));
}
