//! Checks single steps: conditions, approvals, and what a rollback would leave standing; and the imports.

use super::sites::{Role, Site};
use super::text::is_word;
use crate::ops::spec::Backend;
use crate::playbook::diagnostic::Diagnostic;
use crate::playbook::types::{Body, ParamType, Playbook, Step};
use crate::script::program::alias;

/// What is wrong with single steps.
pub fn check(playbook: &Playbook, sites: &[Site<'_>], found: &mut Vec<Diagnostic>) {
    for step in &playbook.steps {
        if step.approval.as_ref().is_some_and(|approval| approval.count == 0) {
            let message = format!("the approval of step `{}` asks for nobody", step.id.value);
            found.push(
                Diagnostic::error("approval-of-nobody", step.id.span, message)
                    .label("`count: 0`")
                    .hint("ask for at least one, or remove `approval`"),
            );
        }
        found.extend(stands(step));
    }
    for site in sites.iter().filter(|site| matches!(site.role, Role::When | Role::Verify | Role::Check)) {
        found.extend(no_bool(playbook, site));
    }
}

/// A condition that is surely neither true nor false, or always the same.
fn no_bool(playbook: &Playbook, site: &Site<'_>) -> Option<Diagnostic> {
    let role = site.role.name();
    let text = site.text.text.trim();
    if site.role == Role::When && text == "false" {
        let step = site.step.map_or("", |step| step.id.value.as_str());
        return Some(
            Diagnostic::warning("never-runs", site.text.span, format!("step `{step}` never runs"))
                .label("always false")
                .hint("remove the step, or make it depend on a parameter"),
        );
    }
    let kind = site
        .facts
        .is_param
        .as_ref()
        .and_then(|name| playbook.params.iter().find(|param| param.name.value == *name))
        .filter(|param| param.kind != ParamType::Bool);
    // A check may say what it found.
    let no_bool = site.facts.no_bool.filter(|what| site.role != Role::Check || *what != "a map");
    let (what, hint) = match (no_bool, kind) {
        (Some(what), _) => (what.to_owned(), "write a comparison, such as `params.mode == \"local\"`".to_owned()),
        (None, Some(param)) => {
            let name = &param.name.value;
            let hint = match param.kind {
                ParamType::List(_) | ParamType::Map(_) => format!("`params.{name}.len() > 0` asks whether it has any"),
                ParamType::String | ParamType::Enum(_) | ParamType::Path => {
                    format!("`params.{name} != \"\"` asks whether it was given")
                }
                _ => format!("compare it, such as `params.{name} > 0`"),
            };
            (format!("parameter `{name}`, which is no bool"), hint)
        }
        (None, None) => return None,
    };
    // A script of several statements may end in anything; only `when` is a single expression.
    site.readable.then(|| {
        Diagnostic::error("no-condition", site.text.span, format!("{role} must be true or false, and this is {what}"))
            .label("neither true nor false")
            .hint(hint)
    })
}

/// A step whose effect nobody undoes.
fn stands(step: &Step) -> Option<Diagnostic> {
    let Body::Uses { path, .. } = &step.body else { return None };
    let op = crate::ops::find(&path.value)?;
    let Backend::Write(entry) = &op.backend else { return None };
    let said = step.rollback.is_some() || step.point_of_no_return.is_some();
    if said || !["none", "impossible"].iter().any(|word| entry.undo_doc.starts_with(word)) {
        return None;
    }
    let why = entry.undo_doc.split_once(": ").map_or(entry.undo_doc, |(_, why)| why);
    Some(
        Diagnostic::warning(
            "stands-after-rollback",
            path.span,
            format!("{} has no undo: a rollback will leave this standing", op.name),
        )
        .label(why.split(';').next().unwrap_or(why).to_owned())
        .hint("give the step a `rollback:`, or a `point_of_no_return:` that says why there is no way back"),
    )
}

/// What is wrong with the imports.
pub fn imports(playbook: &Playbook, sites: &[Site<'_>], found: &mut Vec<Diagnostic>) {
    let complete = sites.iter().all(|site| site.readable);
    for (site, (path, _, at)) in
        sites.iter().flat_map(|site| site.facts.imports.iter().map(move |import| (site, import)))
    {
        found.push(
            Diagnostic::error("import-in-script", site.text.word(*at), "a step's script cannot import".to_owned())
                .label("only modules import")
                .hint(format!("add `{path}` to the playbook's `imports`")),
        );
    }
    for (index, import) in playbook.imports.iter().enumerate() {
        let (path, name) = (import.value.as_str(), alias(&import.value));
        let at = |code, message: String| Diagnostic::error(code, import.span, message);
        let earlier = playbook.imports.iter().take(index).find(|other| alias(&other.value) == name);
        let reserved = rhai::Engine::new_raw().compile(format!("{name}::f(1)")).is_err();
        if !name.chars().all(is_word) || name.starts_with(|c: char| c.is_ascii_digit()) || reserved {
            found.push(
                at("import-alias", format!("scripts cannot call a module `{name}`"))
                    .label(format!("they would write `{name}::…`"))
                    .hint("give its file a name of letters, digits and `_` that is no word of Rhai"),
            );
        } else if name == "host" {
            found.push(
                at("import-alias", "a module cannot be called `host`".to_owned())
                    .label("operations are called as `host::…`")
                    .hint("give its file another name"),
            );
        } else if let Some(earlier) = earlier {
            let message = if earlier.value == path {
                format!("`{path}` is imported twice")
            } else {
                format!("`{path}` and `{}` would both be `{name}`", earlier.value)
            };
            found.push(
                at("import-alias", message)
                    .label("the second")
                    .related(earlier.span, "the first")
                    .hint("remove one of them, or give its file another name"),
            );
        } else if !path.starts_with("stdlib/") && crate::ops::table().values().any(|op| op.family() == name) {
            // The standard library's modules are the companions of their families, and named after them.
            found.push(
                at("import-alias", format!("the module `{path}` has the name of the operations `{name}.*`"))
                    .label(format!("`{name}::…` reads like an operation"))
                    .hint("give its file another name"),
            );
        } else if complete && !used(playbook, sites, path, name) {
            found.push(
                Diagnostic::warning("unused-import", import.span, format!("`{path}` is not used"))
                    .label("nothing calls it")
                    .hint("remove it"),
            );
        }
    }
}

fn used(playbook: &Playbook, sites: &[Site<'_>], path: &str, name: &str) -> bool {
    let by_script = sites.iter().flat_map(|site| &site.facts.functions).any(|call| call.alias == name);
    let by_step = playbook.steps.iter().any(|step| match &step.body {
        Body::Uses { path: uses, .. } => uses.value.rsplit_once('.').is_some_and(|(module, _)| module == path),
        _ => false,
    });
    by_script || by_step
}
