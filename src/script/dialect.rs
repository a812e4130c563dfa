//! The dialect of Rhai in which playbooks are written: values and control flow, and nothing that reaches outside.

use rhai::packages::{
    ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage,
    BasicStringPackage, LogicPackage, MoreStringPackage, Package,
};
use rhai::{Engine, OptimizationLevel, Scope};

use super::{rounds, strict, unknown};

/// Evaluation steps one script may take. It is the one limit that is the same on every machine and every replay.
pub const MAX_OPERATIONS: u64 = 20_000_000;
/// Calls within calls.
pub const MAX_CALL_LEVELS: usize = 48;
/// Bytes in one text.
pub const MAX_STRING: usize = 1 << 20;
/// Items in one array.
pub const MAX_ARRAY: usize = 100_000;
/// Entries in one map.
pub const MAX_MAP: usize = 100_000;
/// Variables in scope at once.
pub const MAX_VARIABLES: usize = 1_000;
/// Depth of one expression at the top of a script, and inside a function.
pub const MAX_DEPTH: (usize, usize) = (128, 96);

/// The names every script sees.
pub const NAMES: [&str; 5] = ["params", "steps", "run", "item", "key"];

/// An engine of the dialect, without operations: enough to compile, and to evaluate what is pure.
///
/// # Guarantees
/// No file, clock, process, environment, `eval`, `sleep`, `print` or module loading. No optimiser, so that what is written is
/// what is evaluated. Every limit is set explicitly, since Rhai's defaults differ between debug and release builds.
#[must_use]
pub fn engine() -> Engine {
    let mut engine = Engine::new_raw();
    // Rhai's core package would bring `sleep`, which survives `disable_symbol`: so the packages one by one, without it.
    ArithmeticPackage::new().register_into_engine(&mut engine);
    LogicPackage::new().register_into_engine(&mut engine);
    BasicStringPackage::new().register_into_engine(&mut engine);
    MoreStringPackage::new().register_into_engine(&mut engine);
    BasicIteratorPackage::new().register_into_engine(&mut engine);
    BasicFnPackage::new().register_into_engine(&mut engine);
    BasicMathPackage::new().register_into_engine(&mut engine);
    BasicArrayPackage::new().register_into_engine(&mut engine);
    BasicMapPackage::new().register_into_engine(&mut engine);
    engine.set_optimization_level(OptimizationLevel::None);
    for symbol in ["eval", "switch", "print", "debug", "shared", "sync", "spawn", "thread", "go"] {
        engine.disable_symbol(symbol);
    }
    engine.on_print(|_| {});
    engine.on_debug(|_, _, _| {});
    engine.set_module_resolver(rhai::module_resolvers::DummyModuleResolver::new());
    engine.set_strict_variables(true);
    engine.set_fail_on_invalid_map_property(true);
    engine.set_max_operations(MAX_OPERATIONS);
    engine.set_max_call_levels(MAX_CALL_LEVELS);
    engine.set_max_string_size(MAX_STRING);
    engine.set_max_array_size(MAX_ARRAY);
    engine.set_max_map_size(MAX_MAP);
    engine.set_max_variables(MAX_VARIABLES);
    engine.set_max_functions(1_000);
    engine.set_max_modules(64);
    engine.set_max_expr_depths(MAX_DEPTH.0, MAX_DEPTH.1);
    engine.register_fn("parse_json", super::convert::parse_json);
    engine.register_fn("to_json", super::convert::to_json);
    // Exact, since Rhai's own for objects would be found first.
    engine.register_fn("to_json", |map: &mut rhai::Map| super::convert::to_json(rhai::Dynamic::from_map(map.clone())));
    engine.register_fn("type_of_value", |value: rhai::Dynamic| value.type_name().to_owned());
    strict::register(&mut engine);
    unknown::register(&mut engine);
    rounds::register(&mut engine);
    engine
}

/// A scope in which [`NAMES`] stand, so that a script that uses them compiles under strict variables.
#[must_use]
pub fn compile_scope() -> Scope<'static> {
    let mut scope = Scope::new();
    for name in NAMES {
        scope.push_constant(name, ());
    }
    scope
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn nothing_outside_can_be_reached() {
        let engine = engine();
        for script in [
            "sleep(1)",
            "sleep(0.1)",
            "eval(\"1\")",
            "print(1)",
            "debug(1)",
            "import \"x\" as x;",
            "timestamp()",
            "switch 1 { 1 => 2 }",
            "unheard_of()",
            "unheard_of",
            "open_file(\"/etc/passwd\")",
        ] {
            let outcome = engine
                .compile_with_scope(&compile_scope(), script)
                .map_err(|e| e.to_string())
                .and_then(|ast| engine.eval_ast::<rhai::Dynamic>(&ast).map_err(|e| e.to_string()));
            assert!(outcome.is_err(), "{script} gave {outcome:?}");
        }
    }

    #[test]
    fn a_missing_field_is_an_error_not_a_unit() {
        assert!(engine().eval::<rhai::Dynamic>("let m = #{a: 1}; m.b").is_err());
    }

    #[test]
    fn an_endless_loop_ends() {
        let mut engine = engine();
        engine.set_max_operations(100_000);
        let error = engine.eval::<()>("loop { }").expect_err("it must not end well");
        assert!(error.to_string().contains("operations"), "{error}");
    }
}
