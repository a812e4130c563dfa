//! Checks that what the steps do is granted, and that what is granted makes sense.

use std::collections::BTreeMap;

use super::arguments;
use super::calls::StepCall;
use crate::model::glob;
use crate::ops::{Effect, OpEntry};
use crate::playbook::diagnostic::{Diagnostic, likely};
use crate::playbook::types::Playbook;

/// Further places named with a missing capability.
const MORE_PLACES: usize = 3;

/// `complete`: everything could be read, so that what was not found is not there.
pub fn check(playbook: &Playbook, calls: &[StepCall<'_>], complete: bool, found: &mut Vec<Diagnostic>) {
    missing(playbook, calls, found);
    for grant in &playbook.capabilities {
        let pattern = &grant.pattern;
        let granted: Vec<&OpEntry> =
            crate::ops::table().values().filter(|op| glob::matches(&pattern.value, op.name)).collect();
        if granted.is_empty() {
            found.push(no_operation(&pattern.value, pattern.span));
            continue;
        }
        for (name, _) in &grant.scope {
            let names: Vec<String> = granted.iter().flat_map(|op| arguments::names(op)).collect();
            if names.contains(&name.value) {
                continue;
            }
            let what = if let [op] = granted.as_slice() { op.name.to_owned() } else { format!("`{}`", pattern.value) };
            let diagnostic =
                Diagnostic::error("unknown-scope", name.span, format!("{what} has no argument `{}`", name.value))
                    .label("so nothing would be granted");
            let mut names: Vec<&str> = names.iter().map(String::as_str).collect();
            names.sort_unstable();
            names.dedup();
            found.push(match likely(&name.value, names.iter().copied()) {
                Some(likely) => diagnostic.hint(format!("did you mean `{likely}`?")),
                None if names.is_empty() => diagnostic.hint("it takes no arguments: grant it without a scope"),
                None => diagnostic.hint(format!("it can be scoped by {}", names.join(", "))),
            });
        }
        if complete && !calls.iter().any(|call| glob::matches(&pattern.value, call.op.name)) {
            found.push(
                Diagnostic::warning("unused-capability", pattern.span, format!("no step does `{}`", pattern.value))
                    .label("granted, never used")
                    .hint("remove it: a playbook should be allowed only what it does"),
            );
        }
    }
}

fn missing(playbook: &Playbook, calls: &[StepCall<'_>], found: &mut Vec<Diagnostic>) {
    let mut missing: BTreeMap<&str, Vec<&StepCall<'_>>> = BTreeMap::new();
    for call in calls {
        // As the gateway has it: these touch nothing.
        let free = matches!(call.op.effect, Effect::Log | Effect::Value);
        let granted = || playbook.capabilities.iter().any(|grant| glob::matches(&grant.pattern.value, call.op.name));
        if !free && !granted() {
            missing.entry(call.op.name).or_default().push(call);
        }
    }
    for (op, places) in missing {
        let Some((first, others)) = places.split_first() else { continue };
        let through = first.through.as_ref().map_or(String::new(), |(function, _)| format!(" through {function}"));
        let mut diagnostic = Diagnostic::error(
            "missing-capability",
            first.at,
            format!("{} uses {op}{through}, which no capability grants", who(first)),
        )
        .label("not granted")
        .hint(format!("add `- {op}` to `capabilities`, scoped to what it may touch"));
        if let Some((_, span)) = &first.through {
            diagnostic = diagnostic.related(*span, format!("{op} is called here"));
        }
        let mut told = vec![first.at];
        for other in others {
            if told.len() <= MORE_PLACES && !told.contains(&other.at) {
                told.push(other.at);
                diagnostic = diagnostic.related(other.at, format!("also by {}", who(other)));
            }
        }
        found.push(diagnostic);
    }
}

fn who(call: &StepCall<'_>) -> String {
    call.step.map_or_else(|| "what the drill measures".to_owned(), |step| format!("step `{}`", step.id.value))
}

fn no_operation(pattern: &str, span: crate::model::span::Span) -> Diagnostic {
    let diagnostic = Diagnostic::error("unknown-operation", span, format!("no operation is called `{pattern}`"))
        .label("grants nothing");
    let table = crate::ops::table();
    if pattern.contains(['*', '?']) {
        let mut families: Vec<&str> = table.values().map(OpEntry::family).collect();
        families.dedup();
        let family = pattern.split('.').next().unwrap_or(pattern);
        return match likely(family, families.iter().copied()).filter(|likely| *likely != family) {
            Some(likely) => diagnostic.hint(format!("did you mean `{likely}.*`?")),
            None => diagnostic.hint("`muster ops` shows all operations"),
        };
    }
    match likely(pattern, table.keys().copied()) {
        Some(likely) => diagnostic.hint(format!("did you mean `{likely}`?")),
        None => diagnostic.hint("`muster ops` shows all operations"),
    }
}
