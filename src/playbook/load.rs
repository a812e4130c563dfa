//! A playbook out of its tree, with everything that is wrong with its form.

use std::collections::HashMap;

use super::diagnostic::{Collector, Diagnostic};
use super::fields::{Fields, Reader};
use super::gaps::Gaps;
use super::names;
use super::types::{Grant, Param, ParamType, Playbook, SecretSource, Template};
use super::yaml::{Data, Node, shown};
use crate::model::Value;
use crate::model::span::{Span, Spanned};

/// Keys at the top of a playbook.
pub const KEYS: [&str; 14] = [
    "muster",
    "name",
    "version",
    "title",
    "doc",
    "imports",
    "objectives",
    "params",
    "capabilities",
    "secrets",
    "checks",
    "parallel",
    "steps",
    "drill",
];
/// Keys of a parameter.
pub const PARAM_KEYS: [&str; 5] = ["type", "doc", "default", "matches", "values"];
/// Keys of an entry of `secrets`.
pub const SECRET_KEYS: [&str; 4] = ["dotenv", "env", "file", "keys"];
/// Where secrets can stand.
pub const SECRET_PROVIDERS: [&str; 3] = ["dotenv", "env", "file"];
/// Keys of `drill`.
pub const DRILL_KEYS: [&str; 7] = ["params", "skip", "shared", "proof", "measure", "limits", "none"];
/// Keys of `limits` of a drill.
pub const DRILL_LIMIT_KEYS: [&str; 2] = ["time", "makes"];
/// Steps of one playbook.
pub const MAX_STEPS: usize = 10_000;
/// Steps at once when the playbook does not say.
pub const DEFAULT_PARALLEL: u32 = 8;

/// Reads a playbook's tree. All that is wrong with its form goes to the collector, not the first fault only; the result is whole
/// only when no error did, and otherwise says what is missing. What needs the operation table or Rhai is `lint`'s.
pub fn read(tree: &Node, source: &str, collector: &mut Collector) -> (Playbook, Gaps) {
    read_as(tree, source, collector, false)
}

/// As [`read`], of a text that was accepted when it was stored: it has to be of the format, and the rules for authors, which
/// may have become stricter since, are not applied.
pub fn read_stored(tree: &Node, source: &str, collector: &mut Collector) -> (Playbook, Gaps) {
    read_as(tree, source, collector, true)
}

fn read_as(tree: &Node, source: &str, collector: &mut Collector, stored: bool) -> (Playbook, Gaps) {
    let mut reader = Reader { text: source, faults: collector, gaps: Gaps::default(), stored };
    let playbook = reader.playbook(tree).unwrap_or_else(|| Playbook::nothing(tree.span));
    let mut gaps = reader.gaps;
    gaps.note_text(collector.kept());
    (playbook, gaps)
}

impl Reader<'_> {
    fn playbook(&mut self, tree: &Node) -> Option<Playbook> {
        let fields = self.fields(tree, "playbook", &KEYS)?;
        if let Some(node) = self.required(&fields, "muster")
            && !matches!(&node.data, Data::Scalar { value, .. } if value.as_i64() == Some(1))
        {
            let fault = Diagnostic::error("format", node.span, "this is not format 1, the one that is understood");
            self.faults.push(fault.hint("write `muster: 1`"));
        }
        let name = self.required(&fields, "name").and_then(|node| self.some_text(node));
        let given = name.as_ref().filter(|name| !name.value.trim().is_empty());
        if let Some(name) = given.filter(|name| !names::is_playbook_name(&name.value)) {
            let message = format!("`{}` cannot name a playbook", shown(&name.value));
            let rule = "lowercase letters, digits and `-`, a letter first, at most 64";
            self.rule(Diagnostic::error("bad-name", name.span, message).label(rule));
        }
        let version = self.required(&fields, "version").and_then(|node| self.version(node));
        let title = self.required(&fields, "title").and_then(|node| self.some_text(node));
        let steps = self.required(&fields, "steps");
        self.gaps.steps |= steps.is_none();
        let steps = steps.map(|node| self.steps(node)).unwrap_or_default();
        let (rto, rpo) =
            match fields.get("objectives").and_then(|node| self.fields(node, "objectives", &["rto", "rpo"])) {
                Some(found) => (
                    found.get("rto").and_then(|node| self.duration(node)),
                    found.get("rpo").and_then(|node| self.duration(node)),
                ),
                None => (None, None),
            };
        let parallel = fields.get("parallel").and_then(|node| self.whole(node, 1, 1000)).unwrap_or(DEFAULT_PARALLEL);
        Some(Playbook {
            name: name.unwrap_or_else(|| nowhere(fields.span)),
            version: version.unwrap_or_else(|| nowhere(fields.span)),
            title: title.map(|title| title.value.trim().to_owned()).unwrap_or_default(),
            doc: self.prose(&fields, "doc"),
            imports: fields.get("imports").map(|node| self.imports(node)).unwrap_or_default(),
            rto,
            rpo,
            params: fields.get("params").map(|node| self.params(node)).unwrap_or_default(),
            capabilities: fields.get("capabilities").map(|node| self.capabilities(node)).unwrap_or_default(),
            secrets: fields.get("secrets").map(|node| self.secrets(node)).unwrap_or_default(),
            checks: fields.get("checks").map(|node| self.checks(node, rpo.is_some())).unwrap_or_default(),
            parallel,
            drill: fields.get("drill").and_then(|node| self.drill(node, &steps, fields.get("params"))),
            places: Default::default(),
            steps,
        })
    }

    fn version(&mut self, node: &Node) -> Option<Spanned<String>> {
        let Data::Scalar { text, .. } = &node.data else {
            self.wrong(node, "a version such as 1.0.0");
            return None;
        };
        if semver::Version::parse(text).is_err() {
            let message = format!("`{}` is no semantic version", shown(text));
            self.rule(Diagnostic::error("bad-version", node.span, message).hint("write it like 1.0.0"));
        }
        Some(Spanned::new(text.to_string(), node.span))
    }

    fn imports(&mut self, node: &Node) -> Vec<Spanned<String>> {
        let faults = self.faults.kept().len();
        let imports = self.texts(node, false);
        self.gaps.imports |= self.faults.kept().len() > faults;
        let mut aliases: HashMap<&str, Span> = HashMap::new();
        for import in &imports {
            let alias = import.value.rsplit('/').next().unwrap_or(&import.value);
            if let Some(fault) = names::check_identifier(&Spanned::new(alias.to_owned(), import.span), "module") {
                self.gaps.names.insert(alias.to_owned());
                self.rule(fault);
            } else if let Some(first) = aliases.get(alias) {
                let message = format!("two imports are called `{alias}`");
                self.rule(Diagnostic::error("duplicate-import", import.span, message).related(*first, "first here"));
            }
            aliases.entry(alias).or_insert(import.span);
        }
        imports
    }

    fn params(&mut self, node: &Node) -> Vec<Param> {
        let Data::Map(entries) = &node.data else {
            self.wrong(node, "a map of parameters");
            self.gaps.params = true;
            return Vec::new();
        };
        entries.iter().map(|(name, value)| self.param(name, value)).collect()
    }

    fn param(&mut self, name: &Spanned<String>, node: &Node) -> Param {
        if let Some(fault) = names::check_identifier(name, "parameter") {
            self.gaps.names.insert(name.value.clone());
            self.rule(fault);
        }
        self.typed_param(name, node).unwrap_or_else(|| {
            self.gaps.untyped.insert(name.value.clone());
            let (name, kind) = (name.clone(), ParamType::String);
            Param { name, kind, doc: String::new(), default: None, matches: None, span: node.span }
        })
    }

    fn typed_param(&mut self, name: &Spanned<String>, node: &Node) -> Option<Param> {
        let fields = self.fields(node, "parameter", &PARAM_KEYS)?;
        let kind = self.required(&fields, "type").and_then(|node| self.param_type(node, &fields));
        let default = fields.get("default").map(|node| self.template(node));
        let matches = fields.get("matches").and_then(|node| self.some_text(node));
        let kind = kind?;
        if let (Some(default), Some(plain)) = (&default, default.as_ref().and_then(Template::as_plain))
            && let Err(why) = super::params::check(&kind, &plain)
        {
            self.rule(Diagnostic::error("bad-default", default.span(), format!("this is no {kind}: {why}")));
        }
        if kind == ParamType::Secret && default.as_ref().is_some_and(|default| default.as_plain().is_some()) {
            let literal = default.as_ref().and_then(Template::as_plain);
            let named = literal.as_ref().and_then(Value::as_str).is_some_and(super::params::names_a_secret);
            if let (false, Some(default)) = (named, &default) {
                let message = format!("the secret `{}` stands in the playbook itself", name.value);
                let fault = Diagnostic::error("secret-in-playbook", default.span(), message);
                self.rule(fault.hint("name where it is: env:NAME, file:PATH or dotenv:PATH#KEY"));
            }
        }
        Some(Param { name: name.clone(), kind, doc: self.prose(&fields, "doc"), default, matches, span: node.span })
    }

    fn param_type(&mut self, node: &Node, fields: &Fields<'_>) -> Option<ParamType> {
        let text = self.some_text(node)?;
        let values = fields.get("values").map(|node| self.texts(node, false));
        let values: Option<Vec<String>> = values.map(|values| values.into_iter().map(|value| value.value).collect());
        match (ParamType::parse(&text.value, values.as_deref()), fields.get("values")) {
            (Ok(kind), Some(node)) if !matches!(kind, ParamType::Enum(_)) => {
                let message = format!("`values` has no meaning for a parameter of type {kind}");
                self.faults.push(Diagnostic::error("unknown-key", node.span, message));
                Some(kind)
            }
            (Ok(kind), _) => Some(kind),
            (Err(why), _) => {
                let fault = Diagnostic::error("bad-type", text.span, why);
                self.faults.push(fault.likely(&text.value, ParamType::NAMES));
                None
            }
        }
    }

    fn capabilities(&mut self, node: &Node) -> Vec<Grant> {
        let mut grants = Vec::new();
        if let Data::Map(entries) = &node.data {
            self.wrong(node, "a list of operations");
            self.grants(entries, &mut grants);
            return grants;
        }
        self.gaps.capabilities |= !matches!(node.data, Data::List(_));
        for item in self.items(node, "a list of operations", false) {
            match &item.data {
                Data::Map(entries) => {
                    if entries.len() != 1 {
                        let message = format!("a grant names one operation; this one has {}", entries.len());
                        let fault = Diagnostic::error("bad-grant", item.span, message);
                        self.faults.push(fault.hint("write each as a list item of its own: `- pg.dump: { … }`"));
                    }
                    self.grants(entries, &mut grants);
                }
                _ => match self.some_text(item) {
                    Some(pattern) => grants.push(Grant { pattern, scope: Vec::new() }),
                    None => self.gaps.capabilities = true,
                },
            }
        }
        grants
    }

    fn grants(&mut self, entries: &[(Spanned<String>, Node)], grants: &mut Vec<Grant>) {
        for (pattern, scope) in entries {
            let limits = match &scope.data {
                Data::Map(limits) => limits.as_slice(),
                _ => {
                    self.wrong(scope, "a map of arguments and what they must match");
                    &[]
                }
            };
            let scope = limits.iter().map(|(name, limit)| (name.clone(), self.template(limit))).collect();
            grants.push(Grant { pattern: pattern.clone(), scope });
        }
    }

    fn secrets(&mut self, node: &Node) -> Vec<SecretSource> {
        let mut sources = Vec::new();
        for item in self.items(node, "a list of sources", false) {
            let Some(fields) = self.fields(item, "source of secrets", &SECRET_KEYS) else { continue };
            let keys = fields.get("keys").map(|node| self.texts(node, false)).unwrap_or_default();
            let given: Vec<&str> = SECRET_PROVIDERS.into_iter().filter(|name| fields.get(name).is_some()).collect();
            let [name] = given.as_slice() else {
                let message = "a source of secrets is one of `dotenv: PATH`, `file: PATH` or `env: NAME`";
                self.faults.push(Diagnostic::error("secret-source", item.span, message));
                continue;
            };
            if *name != "dotenv" && fields.get("keys").is_some() {
                let message = format!("`keys` has no meaning for the source `{name}`");
                self.faults.push(Diagnostic::error("unknown-key", fields.key_span("keys"), message));
            }
            let Some(from) = fields.get(name) else { continue };
            let provider = Spanned::new((*name).to_owned(), fields.key_span(name));
            sources.push(SecretSource { provider, from: self.template(from), keys });
        }
        sources
    }
}

/// Stands for a name that is missing; a playbook with one has an error.
pub(super) fn nowhere(span: Span) -> Spanned<String> {
    Spanned::new(String::new(), Span::new(span.source, span.start as usize, span.start as usize))
}

impl Playbook {
    /// Stands for one that could not be read at all.
    fn nothing(span: Span) -> Self {
        Self {
            name: nowhere(span),
            version: nowhere(span),
            title: String::new(),
            doc: String::new(),
            imports: Vec::new(),
            rto: None,
            rpo: None,
            params: Vec::new(),
            capabilities: Vec::new(),
            secrets: Vec::new(),
            checks: Vec::new(),
            parallel: DEFAULT_PARALLEL,
            steps: Vec::new(),
            drill: None,
            places: Default::default(),
        }
    }
}
