//! Warns when the time of the run reaches the name of something that is made or changed: a plan cannot know such a name.
//!
//! An approximation that errs to silence: within a script it follows variables, whatever the order of its lines; from step to step
//! it follows results, by field where the script ends in a map. It does not look through functions.

use std::collections::{BTreeMap, BTreeSet};

use rhai::{AST, ASTNode, Expr, FnCallExpr, Position, Stmt};

use super::facts::field_of;
use super::sites::{Role, Site};
use crate::model::span::Span;
use crate::playbook::diagnostic::Diagnostic;
use crate::playbook::types::{Body, Playbook, Template};

/// Arguments that name what an operation makes or changes.
const NAMES: [&str; 9] = ["archive", "container", "database", "from", "name", "path", "stdout_file", "to", "volume"];
/// Operations whose answer only the run knows.
const CLOCK: [&str; 2] = ["now", "age"];

/// Where a value comes from.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Origin {
    /// The clock.
    Clock,
    /// The result of a step, or a field of it.
    Step(String, Option<String>),
}

type Origins = BTreeSet<Origin>;

/// Where the values of a script come from.
#[derive(Clone, Debug, Default)]
pub struct Flow {
    /// Its value; by field when it is a map.
    pub value: BTreeMap<Option<String>, Origins>,
    /// Operation, argument, its place, and where that comes from.
    pub arguments: Vec<(String, String, Position, Origins)>,
}

impl Flow {
    /// Of the statements of a script, without its functions.
    #[must_use]
    pub fn of(ast: &AST) -> Self {
        let mut variables: BTreeMap<String, Origins> = BTreeMap::new();
        let statements = ast.clone_statements_only();
        loop {
            let mut more = variables.clone();
            statements.walk(&mut |path| {
                let (name, value) = match path.last() {
                    Some(ASTNode::Stmt(Stmt::Var(inner, ..))) => (inner.0.name.as_str(), &inner.1),
                    Some(ASTNode::Stmt(Stmt::For(inner, _))) => (inner.0.name.as_str(), &inner.2.expr),
                    Some(ASTNode::Stmt(Stmt::Assignment(inner))) => match &inner.1.lhs {
                        Expr::Variable(variable, ..) => (variable.1.as_str(), &inner.1.rhs),
                        _ => return true,
                    },
                    _ => return true,
                };
                more.entry(name.to_owned()).or_default().extend(origins(value, &variables));
                true
            });
            if more == variables {
                break;
            }
            variables = more;
        }
        let mut flow = Self::default();
        statements.walk(&mut |path| {
            let call = match path.last() {
                Some(ASTNode::Expr(Expr::FnCall(call, _)) | ASTNode::Stmt(Stmt::FnCall(call, _))) => call,
                _ => return true,
            };
            if let (Some(op), Some(Expr::Map(map, _))) = (operation(call), call.args.first()) {
                for (name, value) in &map.0 {
                    let from = origins(value, &variables);
                    flow.arguments.push((op.clone(), name.name.to_string(), value.start_position(), from));
                }
            } else if let (Some(op), Some(only)) = (operation(call), call.args.first()) {
                // The one argument that has to be given names what it works on.
                flow.arguments.push((op, "path".to_owned(), only.start_position(), origins(only, &variables)));
            }
            true
        });
        match ast.statements().last() {
            Some(Stmt::Expr(expr)) => match &**expr {
                Expr::Map(map, _) => {
                    let fields = map.0.iter();
                    flow.value =
                        fields.map(|(name, item)| (Some(name.name.to_string()), origins(item, &variables))).collect();
                }
                other => flow.value = BTreeMap::from([(None, origins(other, &variables))]),
            },
            Some(Stmt::FnCall(call, at)) => {
                let expr = Expr::FnCall(call.clone(), *at);
                flow.value = BTreeMap::from([(None, origins(&expr, &variables))]);
            }
            _ => {}
        }
        flow
    }
}

fn operation(call: &FnCallExpr) -> Option<String> {
    let path: Vec<&str> = call.namespace.path.iter().map(|ident| ident.name.as_str()).collect();
    match path.as_slice() {
        ["host", family] => Some(format!("{family}.{}", call.name)),
        _ => None,
    }
}

fn origins(expr: &Expr, variables: &BTreeMap<String, Origins>) -> Origins {
    let mut found = Origins::new();
    expr.walk(&mut Vec::new(), &mut |path| {
        let Some((node, above)) = path.split_last() else { return true };
        match node {
            ASTNode::Expr(Expr::FnCall(call, _))
                if operation(call).is_some_and(|op| op.strip_prefix("time.").is_some_and(|op| CLOCK.contains(&op))) =>
            {
                found.insert(Origin::Clock);
            }
            ASTNode::Expr(variable @ Expr::Variable(inner, ..)) if inner.2.is_empty() => {
                if inner.1 == "steps"
                    && let Some(ASTNode::Expr(parent)) = above.last()
                    && let (Some((step, _)), field) = field_of(variable, parent)
                {
                    found.insert(Origin::Step(step, field.map(|(name, _)| name)));
                }
                found.extend(variables.get(inner.1.as_str()).into_iter().flatten().cloned());
            }
            _ => {}
        }
        true
    });
    found
}

/// Names that only the run will know.
pub fn check(playbook: &Playbook, sites: &[Site<'_>], found: &mut Vec<Diagnostic>) {
    let results = results(playbook, sites);
    let timely = |from: &Origins| from.iter().any(|origin| comes_from_clock(origin, &results));
    for site in sites {
        for (op, name, at, from) in &site.facts.flow.arguments {
            if names_what_it_changes(op, name) && timely(from) {
                found.push(warning(op, name, site.text.word(*at)));
            }
        }
    }
    for step in &playbook.steps {
        let Body::Uses { path, with: Some(Template::Map(fields, _)) } = &step.body else { continue };
        for (name, value) in fields.iter().filter(|(name, _)| names_what_it_changes(&path.value, &name.value)) {
            let within = |span: Span| value.expressions().iter().any(|expr| expr.span == span);
            let own = sites.iter().filter(|site| site.role == Role::With && within(site.text.span));
            if own.flat_map(|site| site.facts.flow.value.values()).any(&timely) {
                found.push(warning(&path.value, &name.value, value.span()));
            }
        }
    }
}

/// The fields of steps' results that come from the clock; all of a result as none.
type Results = BTreeSet<(String, Option<String>)>;

fn results(playbook: &Playbook, sites: &[Site<'_>]) -> Results {
    let mut results = Results::new();
    for step in &playbook.steps {
        if let Body::Uses { path, .. } = &step.body
            && path.value.strip_prefix("time.").is_some_and(|op| CLOCK.contains(&op))
        {
            results.insert((step.id.value.clone(), None));
        }
    }
    loop {
        let before = results.len();
        for site in sites.iter().filter(|site| site.role == Role::Body) {
            let Some(step) = site.step else { continue };
            for (field, from) in &site.facts.flow.value {
                if from.iter().any(|origin| comes_from_clock(origin, &results)) {
                    results.insert((step.id.value.clone(), field.clone()));
                }
            }
        }
        if results.len() == before {
            return results;
        }
    }
}

fn comes_from_clock(origin: &Origin, results: &Results) -> bool {
    match origin {
        Origin::Clock => true,
        // A result that is handed on whole is not followed further.
        Origin::Step(step, field) => {
            results.contains(&(step.clone(), None))
                || (field.is_some() && results.contains(&(step.clone(), field.clone())))
        }
    }
}

fn names_what_it_changes(op: &str, argument: &str) -> bool {
    NAMES.contains(&argument) && crate::ops::find(op).is_some_and(|op| op.effect.writes())
}

fn warning(op: &str, argument: &str, at: Span) -> Diagnostic {
    let message = format!("`{argument}` of {op} depends on the time of the run, which a plan cannot know");
    Diagnostic::warning("time-in-name", at, message)
        .label("the name comes from the clock")
        .hint("build names from `run.short_id`, or from `run.started`: a plan fixes both")
}
