//! The functions of the dialect: what a script can call without a module's name before it.
//!
//! Rhai tells its functions' names only in a build whose parser treats doc comments differently, so they stand here; the tests
//! hold the list against the engine.

/// Name, and with how many arguments it can be called; as a method, what stands before the dot is one of them.
const FUNCTIONS: &[(&str, &[usize])] = &[
    ("E", &[0]),
    ("Fn", &[1]),
    ("PI", &[0]),
    ("abs", &[1]),
    ("acos", &[1]),
    ("acosh", &[1]),
    ("all", &[2]),
    ("append", &[2]),
    ("asin", &[1]),
    ("asinh", &[1]),
    ("atan", &[1, 2]),
    ("atanh", &[1]),
    ("bits", &[1, 2, 3]),
    ("bytes", &[1]),
    ("ceiling", &[1]),
    ("chars", &[1, 2, 3]),
    ("chop", &[2]),
    ("clear", &[1]),
    ("contains", &[2]),
    ("cos", &[1]),
    ("cosh", &[1]),
    ("crop", &[2, 3]),
    ("dedup", &[1, 2]),
    ("drain", &[2, 3]),
    ("end", &[1]),
    ("ends_with", &[2]),
    ("exp", &[1]),
    ("extract", &[2, 3]),
    ("fill_with", &[2]),
    ("filter", &[2]),
    ("find", &[2, 3]),
    ("find_map", &[2, 3]),
    ("floor", &[1]),
    ("for_each", &[2]),
    ("fraction", &[1]),
    ("get", &[2]),
    ("hypot", &[2]),
    ("index_of", &[2, 3]),
    ("insert", &[3]),
    ("int", &[1]),
    ("is_anonymous", &[1]),
    ("is_def_fn", &[2]),
    ("is_def_var", &[1]),
    ("is_empty", &[1]),
    ("is_even", &[1]),
    ("is_exclusive", &[1]),
    ("is_finite", &[1]),
    ("is_inclusive", &[1]),
    ("is_infinite", &[1]),
    ("is_nan", &[1]),
    ("is_odd", &[1]),
    ("is_shared", &[1]),
    ("is_zero", &[1]),
    ("keys", &[1]),
    ("len", &[1]),
    ("ln", &[1]),
    ("log", &[1, 2]),
    ("make_lower", &[1]),
    ("make_upper", &[1]),
    ("map", &[2]),
    ("max", &[2]),
    ("min", &[2]),
    ("mixin", &[2]),
    ("name", &[1]),
    ("order", &[1, 2]),
    ("order_by", &[2]),
    ("order_desc", &[1]),
    ("pad", &[3]),
    ("parse_float", &[1]),
    ("parse_int", &[1, 2]),
    ("parse_json", &[1]),
    ("pop", &[1, 2]),
    ("push", &[2]),
    ("range", &[2, 3]),
    ("reduce", &[2, 3]),
    ("reduce_rev", &[2, 3]),
    ("remove", &[2]),
    ("replace", &[3]),
    ("retain", &[2, 3]),
    ("reverse", &[1]),
    ("round", &[1]),
    ("set", &[3]),
    ("shift", &[1]),
    ("sign", &[1]),
    ("sin", &[1]),
    ("sinh", &[1]),
    ("some", &[2]),
    ("sort", &[1, 2]),
    ("sort_by", &[2]),
    ("sort_desc", &[1]),
    ("splice", &[3, 4]),
    ("split", &[1, 2, 3]),
    ("split_rev", &[2, 3]),
    ("sqrt", &[1]),
    ("start", &[1]),
    ("starts_with", &[2]),
    ("sub_string", &[2, 3]),
    ("tan", &[1]),
    ("tanh", &[1]),
    ("to_binary", &[1]),
    ("to_blob", &[1]),
    ("to_chars", &[1]),
    ("to_debug", &[1]),
    ("to_degrees", &[1]),
    ("to_float", &[1]),
    ("to_hex", &[1]),
    ("to_int", &[1]),
    ("to_json", &[1]),
    ("to_lower", &[1]),
    ("to_octal", &[1]),
    ("to_radians", &[1]),
    ("to_string", &[1]),
    ("to_upper", &[1]),
    ("trim", &[1]),
    ("truncate", &[2]),
    ("type_of", &[1]),
    ("type_of_value", &[1]),
    ("values", &[1]),
    ("zip", &[3]),
];

/// Functions that take any number of arguments.
const VARIADIC: [&str; 2] = ["call", "curry"];

/// How many arguments a function can be called with.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Arity {
    /// One of these.
    Of(&'static [usize]),
    /// Any.
    Any,
}

impl Arity {
    /// Whether it can be called with so many.
    #[must_use]
    pub fn takes(self, arguments: usize) -> bool {
        match self {
            Self::Of(numbers) => numbers.contains(&arguments),
            Self::Any => true,
        }
    }
}

/// With how many arguments the dialect's function of this name can be called; none when there is no such function.
#[must_use]
pub fn arity(name: &str) -> Option<Arity> {
    if VARIADIC.contains(&name) {
        return Some(Arity::Any);
    }
    FUNCTIONS.iter().find(|(other, _)| *other == name).map(|(_, numbers)| Arity::Of(numbers))
}

/// The names of all functions of the dialect.
pub fn names() -> impl Iterator<Item = &'static str> {
    FUNCTIONS.iter().map(|(name, _)| *name).chain(VARIADIC)
}

#[cfg(test)]
mod tests {
    use rhai::packages::{
        ArithmeticPackage, BasicArrayPackage, BasicFnPackage, BasicIteratorPackage, BasicMapPackage, BasicMathPackage,
        BasicStringPackage, LogicPackage, MoreStringPackage, Package,
    };

    use super::*;
    use crate::script::dialect;

    /// Whether the engine has a function of this name for so many arguments of any types.
    fn is_known(engine: &rhai::Engine, name: &str, arguments: usize) -> bool {
        let values =
            ["[1]", "\"x\"", "1", "#{}", "|x| x", "0..1", "0..=1", "1.5", "'x'", "true", "()", "[1].to_blob()"];
        let all = values.len().pow(u32::try_from(arguments).expect("a few"));
        (0..all).any(|number| {
            let mut rest = number;
            let picked = (0..arguments).map(|_| {
                let value = values[rest % values.len()];
                rest /= values.len();
                value
            });
            let script = format!("{name}({})", picked.collect::<Vec<_>>().join(", "));
            match engine.eval::<rhai::Dynamic>(&script) {
                Err(error) => !matches!(*error, rhai::EvalAltResult::ErrorFunctionNotFound(..)),
                Ok(_) => true,
            }
        })
    }

    #[test]
    fn every_function_of_the_list_is_there_and_takes_what_it_says() {
        let engine = dialect::engine();
        for (name, numbers) in FUNCTIONS {
            for arguments in *numbers {
                assert!(is_known(&engine, name, *arguments), "{name} with {arguments} arguments");
            }
            for arguments in (0..3).filter(|arguments| !numbers.contains(arguments)) {
                assert!(!is_known(&engine, name, arguments), "{name} also takes {arguments} arguments");
            }
        }
    }

    #[test]
    fn the_packages_hold_as_many_functions_as_when_the_list_was_made() {
        let count = |package: &dyn Fn() -> rhai::Shared<rhai::Module>| package().count().1;
        let counts = [
            count(&|| ArithmeticPackage::new().as_shared_module()),
            count(&|| LogicPackage::new().as_shared_module()),
            count(&|| BasicStringPackage::new().as_shared_module()),
            count(&|| MoreStringPackage::new().as_shared_module()),
            count(&|| BasicIteratorPackage::new().as_shared_module()),
            count(&|| BasicFnPackage::new().as_shared_module()),
            count(&|| BasicMathPackage::new().as_shared_module()),
            count(&|| BasicArrayPackage::new().as_shared_module()),
            count(&|| BasicMapPackage::new().as_shared_module()),
        ];
        assert_eq!(
            counts,
            [208, 109, 71, 79, 66, 4, 67, 79, 20],
            "another Rhai: bring the list of functions up to date"
        );
    }
}
