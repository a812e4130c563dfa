//! Whether a playbook may make a call: its grants, with their scopes evaluated once for the run.

use crate::model::fault::OpError;
use crate::model::{Value, glob};
use crate::playbook::types::Grant;
use crate::script::{Program, Scope, ScriptError};

/// A grant with its scope evaluated.
#[derive(Clone, Debug, PartialEq)]
pub struct Granted {
    pattern: String,
    scope: Vec<(String, Value)>,
}

impl Granted {
    /// Whether it covers an operation of this name, with some arguments.
    #[must_use]
    pub fn covers(&self, op: &str) -> bool {
        glob::matches(&self.pattern, op)
    }

    /// What this argument has to match; `None` when it may be anything.
    #[must_use]
    pub fn limit(&self, argument: &str) -> Option<&Value> {
        self.scope.iter().find(|(name, _)| name == argument).map(|(_, limit)| limit)
    }
}

/// The grants of a playbook for these parameters.
///
/// # Errors
/// When a scope's expression fails.
pub fn evaluate(program: &Program, scope: &Scope) -> Result<Vec<Granted>, ScriptError> {
    program
        .playbook
        .capabilities
        .iter()
        .map(|Grant { pattern, scope: limits }| {
            let limits = limits
                .iter()
                .map(|(name, template)| Ok((name.value.clone(), program.template(template, scope)?)))
                .collect::<Result<Vec<_>, ScriptError>>()?;
            Ok(Granted { pattern: pattern.value.clone(), scope: limits })
        })
        .collect()
}

/// Whether some grant names the operation, whatever its scope is.
pub fn names(granted: &[Granted], op: &str) -> bool {
    granted.iter().any(|grant| glob::matches(&grant.pattern, op))
}

/// The parts of the world that effects by these grants can touch, as [`crate::ops::foresight::PlanHost::spoil`] names them. Containers,
/// programs and requests reach everywhere.
pub fn within_reach(granted: &[Granted]) -> Vec<&'static str> {
    let mut parts = std::collections::BTreeSet::new();
    for op in crate::ops::table().values().filter(|op| op.effect.writes() && names(granted, op.name)) {
        match op.name.split('.').next() {
            Some("fs" | "secret") => drop(parts.insert("fs")),
            Some("pg") => parts.extend(["fs", "pg"]),
            _ => return vec![""],
        }
    }
    parts.into_iter().collect()
}

/// Whether some grant covers the call.
///
/// # Errors
/// Refused, with what would have to be granted.
pub fn check(granted: &[Granted], op: &str, args: &Value) -> Result<(), OpError> {
    let by_name: Vec<&Granted> = granted.iter().filter(|grant| glob::matches(&grant.pattern, op)).collect();
    if by_name.iter().any(|grant| grant.scope.iter().all(|(name, limit)| fits(limit, args.get(name)))) {
        return Ok(());
    }
    Err(match by_name.first() {
        None => OpError::denied(format!("{op} is not among the playbook's capabilities"))
            .with_hint(format!("add `- {op}` to `capabilities`, scoped to what it may touch")),
        Some(grant) => {
            let outside = grant.scope.iter().find(|(name, limit)| !fits(limit, args.get(name)));
            let (name, limit) = outside.map_or(("", &Value::Null), |(name, limit)| (name.as_str(), limit));
            OpError::denied(format!(
                "{op} with {name} = {} is outside of what the playbook's capabilities grant ({limit})",
                args.get(name).unwrap_or(&Value::Null)
            ))
            .with_hint("widen the scope of the grant, if the playbook is meant to do this")
        }
    })
}

/// Whether an argument fits a limit: a text is a glob, a list gives alternatives, a map limits the fields it names.
fn fits(limit: &Value, argument: Option<&Value>) -> bool {
    match (limit, argument) {
        (Value::Array(alternatives), argument) => alternatives.iter().any(|one| fits(one, argument)),
        (_, None) => false,
        (Value::Object(fields), Some(argument)) => fields.iter().all(|(name, limit)| fits(limit, argument.get(name))),
        (Value::String(pattern), Some(Value::String(text))) => glob::matches(pattern, text),
        // An argument vector is matched as one line.
        (Value::String(pattern), Some(Value::Array(words))) => {
            let line: Vec<&str> = words.iter().filter_map(Value::as_str).collect();
            line.len() == words.len() && glob::matches(pattern, &line.join(" "))
        }
        (limit, Some(argument)) => limit == argument,
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_scope_limits_the_arguments_it_names() {
        let granted = [
            Granted { pattern: "pg.*".into(), scope: vec![("server".into(), json!({"container": "web-*"}))] },
            Granted { pattern: "exec.run".into(), scope: vec![("argv".into(), json!(["make up", "make down"]))] },
        ];
        assert!(check(&granted, "pg.dump", &json!({"server": {"container": "web-db", "user": "x"}})).is_ok());
        assert!(check(&granted, "pg.dump", &json!({"server": {"container": "other"}})).is_err());
        assert!(check(&granted, "pg.dump", &json!({"server": {"host": "elsewhere"}})).is_err());
        assert!(check(&granted, "exec.run", &json!({"argv": ["make", "up"]})).is_ok());
        assert!(check(&granted, "exec.run", &json!({"argv": ["make", "up", "; rm"]})).is_err());
        assert!(check(&granted, "fs.delete", &json!({})).is_err());
    }
}
