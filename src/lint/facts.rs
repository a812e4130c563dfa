//! What a compiled script mentions: operations, functions of modules, parameters, steps. Found in its syntax tree, without
//! running it.

use std::collections::BTreeMap;

use rhai::{AST, ASTFlags, ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::clock::Flow;
use super::given::{Given, GivenMap};
use crate::model::Value;
use crate::script::convert;

/// Where in a script's text something stands.
pub type At = Position;

/// `host::family::name(…)`.
#[derive(Clone, Debug)]
pub struct OperationUse {
    /// `family.name`, or what was written instead.
    pub name: String,
    /// Its beginning.
    pub at: At,
    /// How many arguments there are.
    pub arity: usize,
    /// The first argument.
    pub given: Given<At>,
}

/// `alias::function(…)`.
#[derive(Clone, Debug)]
pub struct FunctionUse {
    /// The module's name in this text.
    pub alias: String,
    /// The function.
    pub name: String,
    /// How many arguments there are.
    pub arity: usize,
    /// Its beginning.
    pub at: At,
}

/// `function(…)` or `value.function(…)`, or a function's name that is handed on.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct OwnUse {
    /// The function.
    pub name: String,
    /// How many arguments there are, with what stands before the dot as one of them; none where it is not called here.
    pub arity: Option<usize>,
    /// Whether it is called as a method.
    pub method: bool,
    /// Where it stands.
    pub at: At,
}

/// `params.x`, `steps.x.y`, `run.x`; `name` is none when the whole of it is used.
#[derive(Clone, Debug)]
pub struct NameUse {
    /// `params`, `steps`, `run`, `item` or `key`.
    pub root: &'static str,
    /// The first field, when it can be told.
    pub name: Option<(String, At)>,
    /// The field of that.
    pub field: Option<(String, At)>,
    /// Where the root stands.
    pub at: At,
    /// Whether that is inside of a function, which does not see it. (A closure does.)
    pub in_function: bool,
}

/// What a script mentions.
#[derive(Clone, Debug, Default)]
pub struct Facts {
    /// Operations called.
    pub operations: Vec<OperationUse>,
    /// Functions of modules called.
    pub functions: Vec<FunctionUse>,
    /// Functions without a module's name: of the text itself, or of the dialect.
    pub own: Vec<OwnUse>,
    /// Functions that the text has, with their numbers of arguments.
    pub defined: Vec<(String, usize)>,
    /// What it uses of what every script sees.
    pub names: Vec<NameUse>,
    /// Variables it declares.
    pub declared: Vec<String>,
    /// `import "path" as alias`.
    pub imports: Vec<(String, String, At)>,
    /// Where its values come from.
    pub flow: Flow,
    /// Why its value is surely no bool, if so: `a text`.
    pub no_bool: Option<&'static str>,
    /// The parameter whose value it has, if it is just that.
    pub is_param: Option<String>,
}

impl Facts {
    /// What a syntax tree mentions, its functions included.
    #[must_use]
    pub fn of(ast: &AST) -> Self {
        let captured = captured(ast);
        let mut facts = Self::default();
        facts.walk(&ast.clone_statements_only(), &[]);
        for function in ast.iter_functions() {
            facts.defined.push((function.name.to_owned(), function.params.len()));
            facts.add_function(ast, function.name, &function.params, &captured);
        }
        facts.value_of(ast.statements());
        facts.flow = Flow::of(ast);
        facts
    }

    /// What one function of a syntax tree mentions, without the closures in it: those are functions of their own.
    #[must_use]
    pub fn of_function(ast: &AST, name: &str, params: &[&str]) -> Self {
        let mut facts = Self::default();
        facts.add_function(ast, name, params, &captured(ast));
        facts
    }

    fn add_function(&mut self, ast: &AST, name: &str, params: &[&str], captured: &Captured) {
        let mut body = ast.clone_functions_only();
        body.retain_functions(|_, _, other, n| other == name && n == params.len());
        // What a closure captures becomes a parameter of it; only the others hide what every script sees.
        let captured = captured.get(name).map(Vec::as_slice).unwrap_or_default();
        let own: Vec<&str> =
            params.iter().copied().filter(|param| !captured.iter().any(|name| name == param)).collect();
        let before = self.names.len();
        self.walk(&body, &own);
        if !name.starts_with(CLOSURE) {
            self.names.iter_mut().skip(before).for_each(|used| used.in_function = true);
        }
    }

    fn walk(&mut self, ast: &AST, params: &[&str]) {
        let mut part = Self::default();
        ast.walk(&mut |path| {
            part.visit(path);
            true
        });
        // A variable of its own hides what every script sees.
        let hides = |used: &NameUse| params.contains(&used.root) || part.declared.iter().any(|name| name == used.root);
        self.names.extend(part.names.iter().filter(|used| !hides(used)).cloned());
        self.operations.extend(part.operations);
        self.functions.extend(part.functions);
        self.own.extend(part.own);
        self.imports.extend(part.imports);
        self.declared.extend(part.declared);
        self.declared.extend(params.iter().map(|param| (*param).to_owned()));
    }

    fn visit(&mut self, path: &[ASTNode<'_>]) {
        let Some((node, above)) = path.split_last() else { return };
        match node {
            ASTNode::Stmt(Stmt::FnCall(call, at)) => self.call(call, *at, false),
            ASTNode::Expr(Expr::FnCall(call, at)) => self.call(call, *at, false),
            ASTNode::Expr(Expr::MethodCall(call, at)) => self.call(call, *at, true),
            ASTNode::Expr(Expr::DynamicConstant(value, at)) => {
                // A closure, or a function's name: it may be called with any number of arguments.
                if let Some(function) = value.read_lock::<rhai::FnPtr>() {
                    let name = function.fn_name().to_owned();
                    self.own.push(OwnUse { name, arity: None, method: false, at: *at });
                }
            }
            ASTNode::Expr(variable @ Expr::Variable(inner, _, at)) if inner.2.is_empty() => {
                let Some(root) = crate::script::dialect::NAMES.into_iter().find(|name| *name == inner.1.as_str())
                else {
                    return;
                };
                let (name, field) = match above.last() {
                    // Capturing is no use; the closure's own uses count.
                    Some(ASTNode::Expr(Expr::FnCall(call, _))) if closure(call).is_some() => return,
                    Some(ASTNode::Expr(parent)) => field_of(variable, parent),
                    _ => (None, None),
                };
                self.names.push(NameUse { root, name, field, at: *at, in_function: false });
            }
            ASTNode::Stmt(Stmt::Var(inner, ..)) => self.declared.push(inner.0.name.to_string()),
            ASTNode::Stmt(Stmt::For(inner, _)) => {
                self.declared.push(inner.0.name.to_string());
                self.declared.extend(inner.1.iter().map(|counter| counter.name.to_string()));
            }
            ASTNode::Stmt(Stmt::Import(inner, at)) => {
                if let Expr::StringConstant(path, path_at) = &inner.0 {
                    let at = if path_at.is_none() { *at } else { *path_at };
                    self.imports.push((path.to_string(), inner.1.name.to_string(), at));
                }
            }
            _ => {}
        }
    }

    fn call(&mut self, call: &FnCallExpr, at: At, method: bool) {
        let segments: Vec<&str> = call.namespace.path.iter().map(|ident| ident.name.as_str()).collect();
        let begins = call.namespace.path.first().map_or(at, |ident| ident.pos);
        match segments.as_slice() {
            [] => {
                if call.op_token.is_none() {
                    let arity = Some(call.args.len() + usize::from(method));
                    self.own.push(OwnUse { name: call.name.to_string(), arity, method, at });
                }
                if let ("Fn", [Expr::StringConstant(name, _)], false) =
                    (call.name.as_str(), call.args.as_slice(), method)
                {
                    self.own.push(OwnUse { name: name.to_string(), arity: None, method: false, at });
                }
            }
            ["host", family @ ..] => {
                let mut name = family.join(".");
                if !name.is_empty() {
                    name.push('.');
                }
                name.push_str(&call.name);
                let given = call.args.first().map_or(Given::Map(GivenMap { fields: Vec::new(), at: begins }), given);
                self.operations.push(OperationUse { name, at: begins, arity: call.args.len(), given });
            }
            many => self.functions.push(FunctionUse {
                alias: many.join("::"),
                name: call.name.to_string(),
                arity: call.args.len(),
                at: begins,
            }),
        }
    }

    /// What can be told of the value of the whole.
    fn value_of(&mut self, statements: &[Stmt]) {
        self.no_bool = match statements.last() {
            None => Some("nothing"),
            Some(Stmt::Assignment(_)) => Some("an assignment: to compare, write `==`"),
            Some(Stmt::Var(..)) => Some("a declaration"),
            Some(Stmt::Expr(expr)) => {
                if let Expr::Dot(chain, ..) = &**expr
                    && let (Expr::Variable(variable, ..), Expr::Property(property, _)) = (&chain.lhs, &chain.rhs)
                    && variable.1 == "params"
                {
                    self.is_param = Some(property.2.to_string());
                }
                no_bool(expr)
            }
            Some(Stmt::FnCall(call, _)) => arithmetic(call),
            Some(_) => None,
        };
    }
}

/// How Rhai's names of closures begin.
const CLOSURE: &str = "anon$";

type Captured = BTreeMap<String, Vec<String>>;

/// The variables that each closure takes from around it.
fn captured(ast: &AST) -> Captured {
    let mut all = Captured::new();
    ast.walk(&mut |path| {
        if let Some(ASTNode::Expr(Expr::FnCall(call, _))) = path.last()
            && let Some(name) = closure(call)
        {
            let names = call.args.iter().filter_map(|arg| match arg {
                Expr::Variable(variable, ..) => Some(variable.1.to_string()),
                _ => None,
            });
            all.insert(name, names.collect());
        }
        true
    });
    all
}

/// The function of a closure that captures: Rhai writes it as `curry(closure, captured, …)`.
fn closure(call: &FnCallExpr) -> Option<String> {
    match call.args.first() {
        Some(Expr::DynamicConstant(value, _)) if call.name == "curry" => {
            value.read_lock::<rhai::FnPtr>().map(|function| function.fn_name().to_owned())
        }
        _ => None,
    }
}

fn no_bool(expr: &Expr) -> Option<&'static str> {
    match expr {
        Expr::StringConstant(..) | Expr::InterpolatedString(..) | Expr::CharConstant(..) => Some("a text"),
        Expr::IntegerConstant(..) | Expr::FloatConstant(..) => Some("a number"),
        Expr::Array(..) => Some("a list"),
        Expr::Map(..) => Some("a map"),
        Expr::Unit(..) => Some("nothing"),
        Expr::FnCall(call, _) => arithmetic(call),
        _ => None,
    }
}

fn arithmetic(call: &FnCallExpr) -> Option<&'static str> {
    (call.is_operator_call() && matches!(call.name.as_str(), "+" | "-" | "*" | "/" | "%" | "**"))
        .then_some("what a calculation gives")
}

pub(super) type Named = Option<(String, At)>;

/// The first two fields of a chain that begins with this variable. Rhai's chains lean to the right: `a.b.c` is `a . (b . c)`.
pub(super) fn field_of(variable: &Expr, parent: &Expr) -> (Named, Named) {
    match parent {
        Expr::Dot(chain, ..) if std::ptr::eq(&raw const chain.lhs, variable) => head(&chain.rhs),
        Expr::Index(chain, flags, _) if std::ptr::eq(&raw const chain.lhs, variable) => {
            if flags.intersects(ASTFlags::BREAK) {
                return (text(&chain.rhs), None);
            }
            match &chain.rhs {
                Expr::Dot(rest, ..) => (text(&rest.lhs), head(&rest.rhs).0),
                Expr::Index(rest, ..) => (text(&rest.lhs), None),
                other => (text(other), None),
            }
        }
        _ => (None, None),
    }
}

fn head(expr: &Expr) -> (Named, Named) {
    match expr {
        Expr::Property(property, at) => (Some((property.2.to_string(), *at)), None),
        Expr::Dot(rest, ..) => (head(&rest.lhs).0, head(&rest.rhs).0),
        Expr::Index(rest, ..) => (head(&rest.lhs).0, None),
        _ => (None, None),
    }
}

fn text(expr: &Expr) -> Named {
    match expr {
        Expr::StringConstant(text, at) => Some((text.to_string(), *at)),
        _ => None,
    }
}

/// An argument as far as it can be told without running the script.
fn given(expr: &Expr) -> Given<At> {
    match expr {
        Expr::Map(map, at) => Given::Map(GivenMap {
            fields: map.0.iter().map(|(name, item)| (name.name.to_string(), name.pos, given(item))).collect(),
            at: *at,
        }),
        Expr::Array(items, at) => Given::List(items.iter().map(given).collect(), *at),
        Expr::StringConstant(text, at) => Given::Literal(Value::from(text.as_str()), *at),
        Expr::CharConstant(c, at) => Given::Literal(Value::from(c.to_string()), *at),
        Expr::IntegerConstant(int, at) => Given::Literal(Value::from(*int), *at),
        Expr::FloatConstant(float, at) => Given::Literal(Value::from(**float), *at),
        Expr::BoolConstant(bool, at) => Given::Literal(Value::from(*bool), *at),
        Expr::Unit(at) => Given::Literal(Value::Null, *at),
        Expr::InterpolatedString(_, at) => Given::Text(*at),
        Expr::DynamicConstant(value, at) => match convert::to_value(value) {
            Ok(value) => Given::Literal(value, *at),
            Err(_) => Given::Unknown(*at),
        },
        other => Given::Unknown(other.start_position()),
    }
}

#[cfg(test)]
mod tests {
    use super::super::compile::Compiler;
    use super::*;

    fn facts(script: &str) -> Facts {
        let compiled = Compiler::new([script]).script(script);
        assert!(compiled.fault.is_none(), "{:?}", compiled.fault);
        Facts::of(&compiled.ast.expect("it compiles"))
    }

    fn names(script: &str) -> Vec<String> {
        facts(script)
            .names
            .iter()
            .map(|used| {
                let part = |part: &Named| part.as_ref().map_or("?".to_owned(), |(name, _)| name.clone());
                format!("{}.{}.{}", used.root, part(&used.name), part(&used.field))
            })
            .collect()
    }

    #[test]
    fn chains_are_read_as_they_are_written() {
        for (script, found) in [
            ("steps.a.b.c", "steps.a.b"),
            ("steps.a[0].c", "steps.a.?"),
            ("steps[\"a\"].b.c", "steps.a.b"),
            ("steps[\"a\"]", "steps.a.?"),
            ("steps.a?.b", "steps.a.b"),
            ("steps.a.len()", "steps.a.?"),
            ("params.x", "params.x.?"),
            ("params", "params.?.?"),
            ("params.keys()", "params.?.?"),
            ("`a ${params.x} b`", "params.x.?"),
            ("[1].map(|n| params.x + n)", "params.x.?"),
            ("[1].map(|n| n + 1); let m = #{ a: params.x }; m.a", "params.x.?"),
        ] {
            assert_eq!(names(script), [found], "{script}");
        }
    }

    #[test]
    fn an_own_variable_hides_a_global() {
        assert!(names("let steps = #{ a: 1 }; steps.a").is_empty());
        assert!(names("[1].map(|item| item + 1)").is_empty());
    }

    #[test]
    fn a_function_is_read_without_its_neighbours() {
        let script = "fn a(x) { host::fs::stat(x) } fn b(x) { host::docker::info() } fn a() { b(1) }";
        let ast = Compiler::new([script]).module(script).ast.expect("it compiles");
        let facts = Facts::of_function(&ast, "a", &["x"]);
        assert_eq!(facts.operations.iter().map(|op| op.name.as_str()).collect::<Vec<_>>(), ["fs.stat"]);
        assert!(facts.own.is_empty());
    }

    #[test]
    fn calls_are_found_wherever_they_stand() {
        let facts =
            facts("if host::fs::stat(\"/x\").exists { [1].map(|x| pg::f(x, 2)) } else { host::docker::info() }");
        assert_eq!(facts.operations.iter().map(|op| op.name.as_str()).collect::<Vec<_>>(), ["fs.stat", "docker.info"]);
        assert_eq!(facts.functions.len(), 1);
        assert_eq!((facts.functions[0].alias.as_str(), facts.functions[0].arity), ("pg", 2));
    }
}
