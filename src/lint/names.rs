//! Checks what scripts say of `params`, `steps`, `run`, `item` and `key`.

use std::collections::BTreeSet;

use super::facts::NameUse;
use super::graph::Graph;
use super::sites::{Role, Site};
use crate::model::Value;
use crate::model::span::Span;
use crate::playbook::diagnostic::{Diagnostic, likely};
use crate::playbook::types::{Body, Playbook};

/// The fields of `run`.
pub const RUN: [&str; 5] = ["id", "short_id", "playbook", "mode", "started"];

/// Everything wrong with the names that scripts use.
pub fn check(playbook: &Playbook, graph: &Graph<'_>, sites: &[Site<'_>], found: &mut Vec<Diagnostic>) {
    for site in sites {
        for used in &site.facts.names {
            if used.in_function {
                let message = format!("a function does not see `{}`", used.root);
                found.push(
                    Diagnostic::error("unknown-variable", site.text.word(used.at), message)
                        .label("only what is declared in the function, and its arguments")
                        .hint("hand what it needs to it as an argument"),
                );
                continue;
            }
            match used.root {
                "params" => found.extend(param(playbook, site, used)),
                "steps" => found.extend(step(playbook, graph, site, used)),
                "run" => found.extend(run(site, used)),
                _ => found.extend(item(site, used)),
            }
        }
    }
    unused_params(playbook, sites, found);
    unused_items(playbook, sites, found);
}

fn param(playbook: &Playbook, site: &Site<'_>, used: &NameUse) -> Option<Diagnostic> {
    if site.role == Role::DrillParam {
        let message = "a parameter of the drill cannot use other parameters";
        return Some(
            Diagnostic::error("param-order", site.text.word(used.at), message)
                .label("none has a value yet")
                .hint("use `run`, such as `${run.short_id}`"),
        );
    }
    let Some((name, at)) = &used.name else {
        return matches!(site.role, Role::Default(_)).then(|| {
            Diagnostic::error("param-order", site.text.word(used.at), "a default cannot use all parameters at once")
                .label("not all of them have a value yet")
                .hint("use the parameters declared before it, one by one")
        });
    };
    let place = site.text.word(*at);
    let all = || playbook.params.iter().map(|param| param.name.value.as_str());
    let Some(index) = all().position(|other| other == name) else {
        let diagnostic = Diagnostic::error("unknown-param", place, format!("there is no parameter `{name}`"))
            .label("not declared under `params`");
        return Some(if all().next().is_none() {
            diagnostic.hint(format!("declare it: `params: {{ {name}: {{ type: string, doc: … }} }}`"))
        } else {
            diagnostic.likely(name, all())
        });
    };
    let Role::Default(own) = site.role else { return None };
    if index < own {
        return None;
    }
    let declared = playbook.params.get(index).map(|param| param.name.span).unwrap_or_default();
    let (message, label) = if index == own {
        (format!("the default of `{name}` uses `{name}` itself"), "it has no value yet")
    } else {
        (format!("`{name}` is declared after the parameter whose default uses it"), "it has no value yet")
    };
    let diagnostic = Diagnostic::error("param-order", place, message).label(label);
    Some(if index == own {
        diagnostic.hint("a default may use the parameters declared before it")
    } else {
        diagnostic.related(declared, "declared here").hint(format!("move `{name}` up"))
    })
}

fn step(playbook: &Playbook, graph: &Graph<'_>, site: &Site<'_>, used: &NameUse) -> Option<Diagnostic> {
    let step = match (site.step, site.role, &used.name) {
        (Some(step), ..) => Some(step),
        (None, Role::Measure, Some((name, at))) => {
            let ids = || playbook.steps.iter().map(|step| step.id.value.as_str());
            return (!ids().any(|id| id == name)).then(|| unknown_step(name, site.text.word(*at), ids()));
        }
        (None, Role::Measure, None) => return None,
        (None, ..) => None,
    };
    let Some(step) = step else {
        return Some(
            Diagnostic::error(
                "steps-here",
                site.text.word(used.at),
                format!("{} cannot use the results of steps", site.role.name()),
            )
            .label("no step has run when this is evaluated")
            .hint("use `params` and `run`"),
        );
    };
    let (name, at) = used.name.as_ref()?;
    let place = site.text.word(*at);
    let id = step.id.value.as_str();
    let Some(target) = playbook.step(name) else {
        let others = playbook.steps.iter().map(|step| step.id.value.as_str()).filter(|other| *other != id);
        return Some(unknown_step(name, place, others));
    };
    if name == id && !graph.needs(id, id) {
        return Some(
            Diagnostic::error("own-output", place, format!("step `{id}` cannot see its own result"))
                .label("the step itself")
                .hint("use another step for what comes after it"),
        );
    }
    if !graph.needs(id, name) {
        let diagnostic = Diagnostic::error(
            "step-not-needed",
            place,
            format!("step `{id}` uses the result of `{name}`, which it does not need"),
        )
        .label("may not have run yet")
        .related(step.id.span, format!("step `{id}`"));
        return Some(if graph.needs(name, id) {
            diagnostic.hint(format!("`{name}` itself needs `{id}`: turn one of them around"))
        } else {
            let needs: Vec<&str> = step.needs.iter().map(|need| need.value.as_str()).chain([name.as_str()]).collect();
            diagnostic.hint(format!("write `needs: [{}]`", needs.join(", ")))
        });
    }
    output(target, site, used)
}

fn unknown_step<'n>(name: &str, place: Span, others: impl Iterator<Item = &'n str>) -> Diagnostic {
    Diagnostic::error("unknown-step", place, format!("there is no step `{name}`"))
        .label("no such step")
        .likely(name, others)
}

/// Whether the result of the operation that a step uses has the field.
fn output(target: &crate::playbook::types::Step, site: &Site<'_>, used: &NameUse) -> Option<Diagnostic> {
    let (field, at) = used.field.as_ref()?;
    let Body::Uses { path, .. } = &target.body else { return None };
    if target.foreach.is_some() {
        return None;
    }
    let op = crate::ops::find(&path.value)?;
    let schema = (op.output_schema)();
    let properties = schema.get("properties").and_then(Value::as_object)?;
    if properties.contains_key(field) || schema.get("additionalProperties").is_some_and(|more| more != false) {
        return None;
    }
    let name = &target.id.value;
    let diagnostic = Diagnostic::error(
        "unknown-output",
        site.text.word(*at),
        format!("the result of step `{name}` ({}) has no field `{field}`", op.name),
    )
    .label("no such field");
    let fields: Vec<&str> = properties.keys().map(String::as_str).collect();
    Some(match likely(field, fields.iter().copied()) {
        Some(likely) => diagnostic.hint(format!("did you mean `{likely}`?")),
        None if fields.is_empty() => diagnostic.hint("it has none"),
        None => diagnostic.hint(format!("it has {}", fields.join(", "))),
    })
}

fn run(site: &Site<'_>, used: &NameUse) -> Option<Diagnostic> {
    let (name, at) = used.name.as_ref()?;
    (!RUN.contains(&name.as_str())).then(|| {
        Diagnostic::error("unknown-run-field", site.text.word(*at), format!("a run has no field `{name}`"))
            .label("no such field")
            .likely(name, RUN)
    })
}

fn item(site: &Site<'_>, used: &NameUse) -> Option<Diagnostic> {
    let place = site.text.word(used.at);
    let root = used.root;
    if !site.role.sees_item() || site.step.is_none_or(|step| step.foreach.is_none()) {
        return Some(
            Diagnostic::error("no-foreach", place, format!("there is no `{root}` in {} here", site.role.name()))
                .label("only where a step has `foreach`, once the items are known")
                .hint("give the step a `foreach`, or use `params` and `steps`"),
        );
    }
    (site.role == Role::When).then(|| {
        Diagnostic::error("no-foreach", place, format!("`when` is asked once for the whole step: it sees no `{root}`"))
            .label("no item yet")
            .hint("leave the items out of `foreach` instead: `${list.filter(|item| …)}`")
    })
}

fn unused_params(playbook: &Playbook, sites: &[Site<'_>], found: &mut Vec<Diagnostic>) {
    let params = || sites.iter().flat_map(|site| &site.facts.names).filter(|used| used.root == "params");
    // Where something cannot be read, or takes all of them, nothing can be said.
    if sites.iter().any(|site| !site.readable) || params().any(|used| used.name.is_none()) {
        return;
    }
    let used: BTreeSet<&str> = params().filter_map(|used| used.name.as_ref()).map(|(name, _)| name.as_str()).collect();
    for (index, param) in playbook.params.iter().enumerate() {
        let name = &param.name.value;
        if let Some(first) = playbook.params.iter().take(index).find(|other| other.name.value == *name) {
            found.push(
                Diagnostic::error("duplicate-param", param.name.span, format!("there are two parameters `{name}`"))
                    .label("the second of this name")
                    .related(first.name.span, "the first")
                    .hint("give one of them another name"),
            );
        } else if !used.contains(name.as_str()) {
            found.push(
                Diagnostic::warning("unused-param", param.name.span, format!("parameter `{name}` is not used"))
                    .label("nothing reads it")
                    .hint(format!("use it as `params.{name}`, or remove it")),
            );
        }
    }
}

fn unused_items(playbook: &Playbook, sites: &[Site<'_>], found: &mut Vec<Diagnostic>) {
    for step in playbook.steps.iter().filter(|step| step.foreach.is_some()) {
        let own = || sites.iter().filter(|site| site.step.is_some_and(|other| std::ptr::eq(other, step)));
        let uses = own()
            .filter(|site| site.role != Role::Key)
            .flat_map(|site| &site.facts.names)
            .any(|used| matches!(used.root, "item" | "key"));
        if !uses && own().all(|site| site.readable) {
            let id = &step.id;
            found.push(
                Diagnostic::warning(
                    "unused-item",
                    id.span,
                    format!("step `{}` does the same for every item", id.value),
                )
                .label("neither `item` nor `key` is used")
                .hint("use `item`, or remove `foreach`"),
            );
        }
    }
}
