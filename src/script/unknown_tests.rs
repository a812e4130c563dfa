//! That an unknown never answers a question unnoticed: for what scripts write, and for every function of the dialect.

use std::any::TypeId;
use std::cell::RefCell;
use std::collections::BTreeSet;
use std::rc::Rc;

use rhai::{Dynamic, Engine, FnPtr, ImmutableString, Map, Scope};

use super::current::{self, Calls, Stop};
use super::question::Question;
use super::unknown::{Unknown, within};
use crate::model::unknown::Shape;

/// Answers every question in one way, and notices.
#[derive(Default)]
struct Noticing {
    answer: bool,
    met: RefCell<Vec<String>>,
    asked: RefCell<Vec<String>>,
}

impl Calls for Noticing {
    fn call(&self, _: &'static crate::ops::OpEntry, _: crate::model::Value) -> Result<crate::model::Value, Stop> {
        Err(Stop::Sealed)
    }

    fn met_unknown(&self, why: &str) {
        self.met.borrow_mut().push(why.to_owned());
    }

    fn decide(&self, question: Question) -> Option<bool> {
        self.asked.borrow_mut().push(question.to_string());
        Some(self.answer)
    }

    fn decisions(&self) -> usize {
        self.asked.borrow().len()
    }
}

fn unknown(shape: Shape) -> Unknown {
    Unknown::new("a test", "u", shape)
}

/// What a script gives, with `u` of this shape in scope, and who noticed.
fn given(engine: &Engine, script: &str, shape: Shape, answer: bool) -> (Option<Dynamic>, Rc<Noticing>) {
    let mut scope = Scope::new();
    scope.push("u", unknown(shape));
    let noticing = Rc::new(Noticing { answer, ..Noticing::default() });
    let woven = super::weave::weave(script);
    let (outcome, _) = current::with(Some(noticing.clone()), current::MAX_THINKING, || {
        engine.eval_with_scope::<Dynamic>(&mut scope, &woven.text)
    });
    (outcome.ok(), noticing)
}

#[test]
fn an_unknown_never_answers_a_question_unnoticed() {
    let engine = super::dialect::engine();
    for script in [
        "u == 1",
        "1 == u",
        "u != ()",
        "u.len() == 3",
        "u.a.b > 3",
        "if u { 1 } else { 2 }",
        "[1, 2][u]",
        "u.contains(1)",
        "1 in u",
        "!u",
        "u && true",
        "true && u",
        "false || u",
        "u ?? 1 == 1",
        "try { u == 1 } catch { 2 }",
        "try { [1, 2][u] } catch { 2 }",
        "try { u.unheard_of() } catch (e) { 2 }",
        "try { [1].map(|x| [2][u]) } catch (e) { 2 }",
        "type_of(u) == \"i64\"",
        "u.type_of()",
        "[1, 2].filter(|x| u).len()",
        "[1, 2].some(|x| u.flag)",
        "[1, 2].find(|x| x == u)",
        "[2, 1].sort(|a, b| u)",
        "[u, 1].contains(1)",
        "[u] == [1]",
        "#{a: u} == #{a: 1}",
        "[u, 1].index_of(1)",
        "\"a\" + [u]",
        "`a ${[u]} b`.len()",
        "let n = 0; while u > n { n += 1 } n",
        "u.parse_int() == 1",
        "let x = if u.a { 1 } else { 2 }; x",
        "u.map(|x| x + 1).some(|x| x > 2)",
    ] {
        let (outcome, noticing) = given(&engine, script, Shape::Any, false);
        let noticed = !noticing.met.borrow().is_empty() || !noticing.asked.borrow().is_empty();
        assert!(outcome.is_none() || noticed, "{script} gave {outcome:?}");
    }
}

#[test]
fn what_can_be_carried_along_is() {
    let engine = super::dialect::engine();
    let list = || Shape::List(std::sync::Arc::new(Shape::Any));
    for (script, shape, source) in [
        ("`restored-${u.id}`", Shape::Any, "`restored-${u.id}`"),
        ("\"restored-\" + u.id", Shape::Any, "`restored-${u.id}`"),
        ("\"restored-\" + u", Shape::Text, "`restored-${u}`"),
        ("let s = \"a\"; s += u; s", Shape::Text, "`a${u}`"),
        ("let s = \"a\"; s += `-${u}`; s + \".x\"", Shape::Any, "`a-${u}.x`"),
        ("u + 1", Shape::Int, "(u + 1)"),
        ("let n = 1; n += u; n", Shape::Int, "(1 + u)"),
        ("u.len() * 2", list(), "(u.len() * 2)"),
        ("u[0].name", list(), "u[0].name"),
        ("max(u, 3)", Shape::Int, "u.max(3)"),
        ("min(3, u)", Shape::Int, "3.min(u)"),
        ("u.to_string()", Shape::Int, "`${u}`"),
        ("parse_int(u)", Shape::Text, "u.parse_int()"),
        ("#{a: [u]}.a[0]", Shape::Any, "u"),
        ("let n = 0; for x in u { n += 1 } n", list(), "n as it changes with each of u#2"),
        ("let l = []; for x in u { l.push(x.name) } l.len()", list(), "l as it changes with each of u#2.len()"),
        ("u.filter(|x| x.ok)", list(), "u.filter(…)"),
        ("let f = false; for i in 0..u { f = true } f", Shape::Int, "f as it changes with each of 0..u#2"),
    ] {
        let (outcome, noticing) = given(&engine, script, shape, false);
        let unknown = outcome.as_ref().and_then(super::unknown::unknown_of);
        assert_eq!(unknown.as_ref().map(|unknown| &*unknown.source), Some(source), "{script}: {:?}", noticing.met);
    }
}

#[test]
fn conditions_are_asked_in_the_words_of_the_playbook() {
    let engine = super::dialect::engine();
    for (script, asked) in [
        ("u.bytes == 0", "u.bytes == 0"),
        ("u.bytes != 0", "u.bytes == 0"),
        ("0 < u.bytes", "u.bytes > 0"),
        ("u.bytes >= 5", "u.bytes < 5"),
        ("u.there && true", "u.there"),
        ("u.name in [\"a\"]", "u.name == \"a\""),
        ("u.name.starts_with(\"a\")", "u.name.starts_with(\"a\")"),
        ("u.is_empty()", "u.is_empty()"),
        ("u.a ?? 1", "u.a == ()"),
    ] {
        let (_, noticing) = given(&engine, script, Shape::Any, true);
        assert_eq!(*noticing.asked.borrow(), [asked], "{script}");
    }
}

#[test]
fn a_field_that_no_schema_has_is_an_error_of_the_script() {
    let engine = super::dialect::engine();
    let shape = Shape::of_schema(&serde_json::json!({"type": "object", "properties": {"bytes": {"type": "integer"}}}));
    let (outcome, noticing) = given(&engine, "u.byte", shape.clone(), false);
    assert!(outcome.is_none() && noticing.met.borrow().is_empty());
    assert!(given(&engine, "u.bytes", shape.clone(), false).0.is_some());
    let (outcome, noticing) = given(&engine, "u.bytes == ()", shape, true);
    assert_eq!(outcome.and_then(|outcome| outcome.as_bool().ok()), Some(false), "it can never be null");
    assert!(noticing.asked.borrow().is_empty());
}

/// Functions that may give a known answer over values that hold an unknown, because the answer does not hang on it: how many items a
/// list has and where they stand, which keys an object has. Each was looked at.
const REVIEWED: &[&str] = &[
    // How many there are, and the names of fields.
    "len",
    "get$len",
    "is_empty",
    "get$is_empty",
    "keys",
    "contains",
    "get$keys",
    // The value is put in, or taken away; what is given back is nothing.
    "push",
    "append",
    "+=",
    "insert",
    "pad",
    "set",
    "clear",
    "truncate",
    "chop",
    "reverse",
    "mixin",
    "fill_with",
    "index$set$",
    "splice",
    // The closure sees each item; what it answers is asked about.
    "for_each",
    "filter",
    "map",
    "find",
    "find_map",
    "some",
    "all",
    "index_of",
    "reduce",
    "reduce_rev",
    "retain",
    "drain",
    "sort",
    "sort_by",
    "order",
    "order_by",
    "dedup",
    "zip",
    // Parts by their place or name, where the part is a known one.
    "get",
    "pop",
    "shift",
    "remove",
    "extract",
    "split",
    "values",
    "index$get$",
    // Woven around conditions, loops and texts; tested above.
    "__truth",
    "__there",
    "__each",
    "__round",
    "__blurs",
    "__ended",
    "__blur",
    "__done",
    "__loop",
    "__caught",
    "__text",
    "__type_of",
    // Of the container, not of what is in it.
    "type_of_value",
];

/// Values to put into the places of a function's parameters.
fn samples(kind: TypeId) -> Vec<Dynamic> {
    let text = |text: &str| Dynamic::from(ImmutableString::from(text));
    let known = [
        Dynamic::from_int(1),
        Dynamic::from_float(1.5),
        Dynamic::from_bool(true),
        Dynamic::from_char('a'),
        text("a"),
        Dynamic::from_array(vec![Dynamic::from_int(1), Dynamic::from_int(2)]),
        Dynamic::from_map(Map::from([("a".into(), Dynamic::from_int(1))])),
        Dynamic::from(FnPtr::new("is_nothing").expect("a name")),
        Dynamic::from(1_i64..2_i64),
        Dynamic::UNIT,
    ];
    let of_kind: Vec<Dynamic> = known.into_iter().filter(|value| value.type_id() == kind).collect();
    if kind == TypeId::of::<&str>() || kind == TypeId::of::<String>() { vec![text("a")] } else { of_kind }
}

#[test]
fn no_function_of_the_dialect_answers_over_an_unknown() {
    let engine = super::dialect::engine();
    let signatures: BTreeSet<(String, Vec<TypeId>)> = engine
        .collect_fn_metadata(
            None,
            |info| {
                let types: Vec<TypeId> = info.metadata.param_types.iter().copied().collect();
                Some((info.metadata.name.to_string(), types))
            },
            true,
        )
        .into_iter()
        .collect();
    assert!(signatures.len() > 400, "only {} functions were found", signatures.len());
    let holders = || {
        [
            Dynamic::from(unknown(Shape::Any)),
            Dynamic::from_array(vec![Dynamic::from(unknown(Shape::Any)), Dynamic::from_int(1)]),
            Dynamic::from_map(Map::from([("b".into(), Dynamic::from(unknown(Shape::Any)))])),
        ]
    };
    let mut lies = BTreeSet::new();
    let mut tried = 0;
    for (name, types) in &signatures {
        if REVIEWED.contains(&name.as_str()) || types.is_empty() {
            continue;
        }
        for place in 0..types.len() {
            for holder in holders() {
                let mut args: Vec<Dynamic> = Vec::new();
                for (at, kind) in types.iter().enumerate() {
                    let other = samples(*kind).into_iter().next().unwrap_or_else(|| Dynamic::from_int(1));
                    args.push(if at == place { holder.clone() } else { other });
                }
                let mut scope = Scope::new();
                let names: Vec<String> = (0..args.len()).map(|at| format!("a{at}")).collect();
                for (name, value) in names.iter().zip(args) {
                    scope.push_dynamic(name.as_str(), value);
                }
                let script = match (name.as_str(), names.as_slice()) {
                    (name, [one]) if name.starts_with("get$") => format!("{one}.{}", &name[4..]),
                    (name, [a, b]) if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') => {
                        format!("{a} {name} {b}")
                    }
                    (name, [a]) if !name.starts_with(|c: char| c.is_alphabetic() || c == '_') => format!("{name} {a}"),
                    (name, names) => format!("{name}({})", names.join(", ")),
                };
                let Ok(ast) = engine.compile_with_scope(&scope, &script) else { continue };
                tried += 1;
                let noticing = Rc::new(Noticing::default());
                let (outcome, _) = current::with(Some(noticing.clone()), current::MAX_THINKING, || {
                    engine.eval_ast_with_scope::<Dynamic>(&mut scope, &ast)
                });
                let noticed = !noticing.met.borrow().is_empty() || !noticing.asked.borrow().is_empty();
                // Nothing was said, and what holds the unknown still does.
                let stays = scope.get(&names[place]).is_some_and(|value| within(value).is_some());
                // A list is never equal to a number, whatever is in it, nor an object to one with other fields; those with the
                // same fields are compared above.
                let of_other_kind = matches!(name.as_str(), "==" | "!=" | "<" | ">" | "<=" | ">=")
                    && !holder.is::<Unknown>()
                    && (holder.is::<Map>()
                        || scope.get(&names[1 - place.min(1)]).is_none_or(|other| other.type_id() != holder.type_id()));
                if let Ok(value) = outcome
                    && !noticed
                    && within(&value).is_none()
                    && !(value.is_unit() && stays)
                    && !of_other_kind
                {
                    lies.insert(format!("{script} with {:?} at {place} gave {value:?}", holder.type_name()));
                }
            }
        }
    }
    assert!(tried > 1_000, "only {tried} calls could be written");
    assert!(lies.is_empty(), "{lies:#?}");
}
