//! What a playbook needs of this machine before its first step, found without any word of its author: the programs that its
//! capabilities name, and its secrets.

use std::collections::BTreeSet;
use std::time::Instant;

use super::{App, tools};
use crate::engine::capability::{self, Granted};
use crate::journal::Fact;
use crate::model::check::{Check, Source, Verdict};
use crate::model::fault::OpError;
use crate::model::secret::is_handle;
use crate::model::{Timestamp, Value};
use crate::ops::process::find_program;
use crate::plan::preflight::{CONTAINERS, PROGRAM, SECRET, needs_of};
use crate::script::{Program, Scope};

/// What in a glob is not the text itself.
const WILD: [char; 4] = ['*', '?', '[', '{'];

impl App {
    /// What is found of this machine, as facts of a plan.
    pub(super) fn machine_checks(&self, program: &Program, params: &Value, now: Timestamp) -> Vec<Fact> {
        let run = serde_json::json!({
            "id": "check", "short_id": "check", "mode": "plan", "started": now.to_string(),
            "playbook": program.playbook.name.value,
        });
        let scope = Scope { params: params.clone(), run, ..Scope::default() };
        // Grants that cannot be evaluated end the plan itself, with the reason.
        let granted = capability::evaluate(program, &scope).unwrap_or_default();
        let mut all: Vec<Check> = needed(&granted).iter().map(|name| timed(|| present(name))).collect();
        let secrets = params.as_object().into_iter().flatten().filter(|(_, value)| has_handle(value));
        all.extend(secrets.map(|(name, value)| timed(|| self.resolves(name, value))));
        all.into_iter().map(|check| Fact::Checked { check }).collect()
    }

    fn resolves(&self, name: &str, value: &Value) -> Check {
        let check = |verdict| {
            let title = format!("the secret `{name}` can be read");
            Check::new(format!("{SECRET}{name}"), title, Source::Machine, verdict)
        };
        match self.secrets.resolve_in(value) {
            Ok(_) => check(Verdict::Pass),
            Err(error) => told(check(Verdict::Fail), error),
        }
    }
}

/// What was found, with how long it took.
pub(super) fn timed(find: impl FnOnce() -> Check) -> Check {
    let begun = Instant::now();
    let check = find();
    Check { took_ms: u64::try_from(begun.elapsed().as_millis()).unwrap_or(u64::MAX), ..check }
}

fn told(check: Check, error: OpError) -> Check {
    let check = check.found(error.message);
    match error.hint {
        Some(hint) => check.hint(hint),
        None => check,
    }
}

fn has_handle(value: &Value) -> bool {
    match value {
        value if is_handle(value) => true,
        Value::Array(items) => items.iter().any(has_handle),
        Value::Object(fields) => fields.values().any(has_handle),
        _ => false,
    }
}

fn present(name: &str) -> Check {
    let check = |title: &str, verdict| Check::new(format!("{PROGRAM}{name}"), title, Source::Machine, verdict);
    if name == CONTAINERS {
        let title = "the client of containers works";
        return match tools::containers() {
            Ok(found) => check(title, Verdict::Pass).found(found),
            Err(error) => told(check(title, Verdict::Fail), error),
        };
    }
    let title = format!("{name} is installed");
    match find_program(name) {
        Ok(path) => check(&title, Verdict::Pass).found(path.display().to_string()),
        Err(error) => told(check(&title, Verdict::Fail), error),
    }
}

/// The programs without which what is granted cannot be done. A grant that leaves open which program it means names none.
fn needed(granted: &[Granted]) -> BTreeSet<String> {
    let mut all = BTreeSet::new();
    for grant in granted {
        for op in crate::ops::table().keys().copied().filter(|op| grant.covers(op)) {
            match op.split('.').next() {
                Some("exec") => all.extend(grant.limit("argv").map(first_words).unwrap_or_default()),
                Some("docker") => drop(all.insert(CONTAINERS.to_owned())),
                Some("pg") => {
                    let server = grant.limit("server");
                    let inside = server.and_then(|server| server.get("container")).is_some_and(|name| !name.is_null());
                    if inside {
                        all.insert(CONTAINERS.to_owned());
                    } else {
                        all.extend(needs_of(op).iter().map(|program| (*program).to_owned()));
                    }
                }
                _ => {}
            }
        }
    }
    all
}

/// The programs of argument vectors that a limit allows.
fn first_words(limit: &Value) -> BTreeSet<String> {
    match limit {
        Value::String(line) => {
            let word = line.split_whitespace().next().filter(|word| !word.contains(WILD));
            // As plans name it, whose calls may spell out the folder.
            word.into_iter().map(str::to_owned).collect()
        }
        Value::Array(lines) => lines.iter().flat_map(first_words).collect(),
        _ => BTreeSet::new(),
    }
}
