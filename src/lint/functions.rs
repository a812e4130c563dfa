//! Checks functions that are called without a module's name: those of the text itself, and those of the dialect.

use super::facts::{Facts, OwnUse};
use super::modules::Modules;
use super::sites::Site;
use super::text::{ScriptText, is_word};
use crate::playbook::diagnostic::{Diagnostic, likely};
use crate::playbook::types::Playbook;
use crate::script::functions::{self, Arity};
use crate::script::program::alias;

/// What people call the dialect's functions who come from another language.
const ELSEWHERE: [(&str, &str); 10] = [
    ("length", "len"),
    ("size", "len"),
    ("count", "len"),
    ("substring", "sub_string"),
    ("includes", "contains"),
    ("uppercase", "to_upper"),
    ("lowercase", "to_lower"),
    ("strip", "trim"),
    ("any", "some"),
    ("every", "all"),
];

/// Everything wrong with the plain functions that scripts and modules call.
pub fn check(playbook: &Playbook, sites: &[Site<'_>], modules: &Modules<'_>, found: &mut Vec<Diagnostic>) {
    let imports: Vec<&str> = playbook.imports.iter().map(|import| import.value.as_str()).collect();
    let texts: Vec<&str> =
        sites.iter().map(|site| site.text.text).chain(modules.iter().map(|module| module.text.text)).collect();
    for site in sites {
        let view = View { text: &site.text, defined: &site.facts.defined, modules, imports: &imports, texts: &texts };
        found.extend(site.facts.own.iter().filter_map(|used| view.fault(used, &site.facts)));
    }
    for module in modules.iter() {
        let defined: Vec<(String, usize)> = module.functions.keys().cloned().collect();
        let imports: Vec<&str> = module.imports.values().map(String::as_str).collect();
        let view = View { text: &module.text, defined: &defined, modules, imports: &imports, texts: &texts };
        for facts in module.functions.values().map(|function| &function.facts).chain([&module.top]) {
            found.extend(facts.own.iter().filter_map(|used| view.fault(used, facts)));
        }
    }
}

/// The same for a model, which has functions of its world as well.
pub fn check_model(text: &ScriptText<'_>, facts: &Facts, modules: &Modules<'_>, found: &mut Vec<Diagnostic>) {
    let world = crate::script::models::WORLD.iter().map(|(name, arity)| ((*name).to_owned(), *arity));
    let defined: Vec<(String, usize)> = facts.defined.iter().cloned().chain(world).collect();
    let texts = [text.text];
    let view = View { text, defined: &defined, modules, imports: &[], texts: &texts };
    found.extend(facts.own.iter().filter_map(|used| view.fault(used, facts)));
}

/// What one text can call.
struct View<'v> {
    text: &'v ScriptText<'v>,
    defined: &'v [(String, usize)],
    modules: &'v Modules<'v>,
    imports: &'v [&'v str],
    texts: &'v [&'v str],
}

impl View<'_> {
    fn fault(&self, used: &OwnUse, facts: &Facts) -> Option<Diagnostic> {
        let name = used.name.as_str();
        let own: Vec<usize> = self.defined.iter().filter(|(other, _)| other == name).map(|(_, n)| *n).collect();
        let ours = functions::arity(name);
        let Some(given) = used.arity else {
            // A closure is a function of the text; a name in quotes may be one that is not there.
            return (own.is_empty() && ours.is_none()).then(|| self.unknown(used, facts));
        };
        if own.is_empty() && ours.is_none() {
            // A closure that a map holds is called like a method.
            return (!used.method || !self.is_field(name)).then(|| self.unknown(used, facts));
        }
        // `value.function(…)` of the text's own functions has the value as `this`.
        let fits = own.iter().any(|arity| *arity == given || (used.method && *arity + 1 == given))
            || ours.is_some_and(|arity| arity.takes(given))
            || (used.method && self.is_field(name));
        (!fits).then(|| self.wrong_arity(used, &own, ours, given))
    }

    fn wrong_arity(&self, used: &OwnUse, own: &[usize], ours: Option<Arity>, given: usize) -> Diagnostic {
        let before = usize::from(used.method);
        let mut numbers: Vec<usize> = own.to_vec();
        if let Some(Arity::Of(more)) = ours {
            numbers.extend(more.iter().filter(|n| **n >= before).map(|n| n - before));
        }
        numbers.sort_unstable();
        numbers.dedup();
        let takes = match numbers.as_slice() {
            [] => "no value before the dot".to_owned(),
            [1] => "1 argument".to_owned(),
            many => format!("{} arguments", many.iter().map(ToString::to_string).collect::<Vec<_>>().join(" or ")),
        };
        let given = given - before;
        let message = format!("`{}` takes {takes}, not {given}", used.name);
        let diagnostic =
            Diagnostic::error("wrong-arity", self.text.word(used.at), message).label(format!("{given} given"));
        match numbers.as_slice() {
            [] => diagnostic.hint(format!("call it as `{}(…)`", used.name)),
            _ => diagnostic.hint("give it what it takes"),
        }
    }

    fn unknown(&self, used: &OwnUse, facts: &Facts) -> Diagnostic {
        let name = used.name.as_str();
        let message = if used.method {
            format!("no value has a function `{name}`")
        } else {
            format!("there is no function `{name}`")
        };
        let diagnostic =
            Diagnostic::error("unknown-function", self.text.word(used.at), message).label("no such function");
        if !used.method && facts.declared.iter().any(|declared| declared == name) {
            return diagnostic.hint(format!("a closure is called as `{name}.call(…)`"));
        }
        if let Some(op) = crate::ops::table().values().find(|op| op.function() == name) {
            return diagnostic.hint(format!("did you mean the operation `host::{}(…)`?", op.name.replace('.', "::")));
        }
        let arity = used.arity.unwrap_or(1);
        let module = self.imports.iter().find(|path| self.modules.function(path, name, arity).is_ok());
        if let Some(path) = module {
            return diagnostic.hint(format!("did you mean `{}::{name}(…)`?", alias(path)));
        }
        let mut all: Vec<&str> = self.defined.iter().map(|(name, _)| name.as_str()).collect();
        all.retain(|name| !name.contains('$'));
        functions::names().chain(ELSEWHERE.iter().map(|(name, _)| *name)).for_each(|name| all.push(name));
        match likely(name, all) {
            Some(found) => {
                let ours = ELSEWHERE.iter().find(|(name, _)| name.eq(&found)).map(|(_, ours)| *ours);
                diagnostic.hint(format!("did you mean `{}`?", ours.unwrap_or(found)))
            }
            None if used.method => diagnostic.hint("fields are read without parentheses"),
            None => diagnostic.hint(
                "declare it with `fn` in a module, call an operation as `host::…`, or a module's function as `module::…`",
            ),
        }
    }

    /// Whether some text gives a map a field of this name.
    fn is_field(&self, name: &str) -> bool {
        self.texts.iter().any(|text| {
            text.match_indices(name).any(|(at, _)| {
                let before = text[..at].chars().next_back();
                let rest = text[at + name.len()..].trim_start_matches('"').trim_start();
                let key = rest.starts_with(':') && !rest.starts_with("::");
                let set = before == Some('.') && rest.starts_with('=') && !rest.starts_with("==");
                before.is_none_or(|c| !is_word(c)) && (key || set)
            })
        })
    }
}
