//! A value that only the run will know. In a plan it travels through scripts; whatever looks inside stops the evaluation,
//! rather than being told a lie.

use rhai::{Dynamic, Engine, EvalAltResult, ImmutableString};

/// A value that only the run will know.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Unknown {
    /// Where it would come from: `the result of pg.dump`.
    pub why: String,
}

/// How the error that [`Unknown`]s raise begins.
pub const MARK: &str = "depends on what only the run will know: ";

fn stop(unknown: &Unknown) -> Box<EvalAltResult> {
    super::current::met_unknown(&unknown.why);
    format!("{MARK}{}", unknown.why).into()
}

macro_rules! operators {
    ($engine:ident: $($op:literal),*) => {$(
        $engine.register_fn($op, |a: Unknown, _: Dynamic| -> Result<Dynamic, Box<EvalAltResult>> { Err(stop(&a)) });
        $engine.register_fn($op, |_: Dynamic, b: Unknown| -> Result<Dynamic, Box<EvalAltResult>> { Err(stop(&b)) });
        $engine.register_fn($op, |a: Unknown, _: Unknown| -> Result<Dynamic, Box<EvalAltResult>> { Err(stop(&a)) });
    )*};
}

macro_rules! inspections {
    ($engine:ident: $($name:literal),*) => {$(
        $engine.register_fn($name, |a: &mut Unknown| -> Result<Dynamic, Box<EvalAltResult>> { Err(stop(a)) });
    )*};
}

/// Teaches an engine the type.
pub fn register(engine: &mut Engine) {
    engine.register_type_with_name::<Unknown>("unknown");
    // A field or an item of something unknown is unknown; carrying it along is harmless.
    engine.register_indexer_get(|unknown: &mut Unknown, _: ImmutableString| -> Unknown { unknown.clone() });
    engine.register_indexer_get(|unknown: &mut Unknown, _: i64| -> Unknown { unknown.clone() });
    engine.register_fn("+", |_: ImmutableString, b: Unknown| -> Unknown { b });
    engine.register_fn("+", |a: Unknown, _: ImmutableString| -> Unknown { a });
    operators!(engine: "==", "!=", "<", "<=", ">", ">=", "-", "*", "/", "%");
    inspections!(engine: "to_string", "to_debug", "len", "is_empty", "keys", "values", "to_json");
    engine.register_fn("+=", |_: &mut ImmutableString, b: Unknown| -> Result<(), Box<EvalAltResult>> { Err(stop(&b)) });
    engine.register_fn("contains", |a: &mut Unknown, _: Dynamic| -> Result<bool, Box<EvalAltResult>> { Err(stop(a)) });
}

#[cfg(test)]
mod tests {
    use std::cell::Cell;
    use std::rc::Rc;

    use super::*;
    use crate::script::current::{self, Calls, Stop};
    use rhai::Scope;

    #[derive(Default)]
    struct Noticing(Cell<bool>);

    impl Calls for Noticing {
        fn call(&self, _: &'static crate::ops::OpEntry, _: crate::model::Value) -> Result<crate::model::Value, Stop> {
            Err(Stop::Sealed)
        }

        fn met_unknown(&self, _: &str) {
            self.0.set(true);
        }
    }

    #[test]
    fn an_unknown_never_answers_a_question_unnoticed() {
        let engine = super::super::dialect::engine();
        for script in [
            "u == 1",
            "1 == u",
            "u != ()",
            // Rhai swallows the error of `to_string` inside an interpolation; that it was met is noticed all the same.
            "`a ${u} b`",
            "u.len()",
            "u.a.b > 3",
            "if u { 1 } else { 2 }",
            "[1, 2][u]",
            "u.contains(1)",
            "!u",
            "u && true",
            "try { u == 1 } catch { 2 }",
        ] {
            let mut scope = Scope::new();
            scope.push("u", Unknown { why: "a test".into() });
            let noticing = Rc::new(Noticing::default());
            let (outcome, _) = current::with(Some(noticing.clone()), current::MAX_THINKING, || {
                engine.eval_with_scope::<Dynamic>(&mut scope, script)
            });
            assert!(outcome.is_err() || noticing.0.get(), "{script} gave {outcome:?}");
        }
    }
}
