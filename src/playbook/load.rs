//! From a YAML tree to a typed playbook, with everything that is wrong, not the first of it.

use std::time::Duration;

use super::diagnostic::{Collector, Diagnostic};
use super::template;
use super::types::{
    Approval, Body, Foreach, Grant, OnFailure, Param, ParamType, Playbook, Retry, SecretSource, Step, Template, Verify,
};
use super::yaml::Node;
use crate::model::amount::parse_duration;
use crate::model::span::{Span, Spanned};

const TOP: [&str; 13] = [
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
    "parallel",
    "steps",
    "drill",
];
const STEP: [&str; 16] = [
    "id",
    "title",
    "needs",
    "uses",
    "with",
    "script",
    "manual",
    "when",
    "foreach",
    "retry",
    "timeout",
    "verify",
    "rollback",
    "approval",
    "on_failure",
    "point_of_no_return",
];

/// Reads a playbook's tree. What is wrong goes to the collector; the result is whole only when no error did.
pub fn read(node: &Node, source: &str, collector: &mut Collector) -> Playbook {
    let mut reader = Reader { source, collector };
    reader.playbook(node)
}

struct Reader<'r> {
    source: &'r str,
    collector: &'r mut Collector,
}

/// The fields of a map, taken one by one.
struct Fields<'n> {
    fields: Vec<(&'n Spanned<String>, &'n Node)>,
    span: Span,
}

impl<'n> Fields<'n> {
    fn get(&self, name: &str) -> Option<&'n Node> {
        self.fields.iter().find(|(key, _)| key.value == name).map(|(_, node)| *node)
    }
}

impl Reader<'_> {
    fn error(&mut self, code: &'static str, span: Span, message: impl Into<String>) {
        self.collector.push(Diagnostic::error(code, span, message));
    }

    fn wrong_type(&mut self, node: &Node, what: &str, wanted: &str) {
        let message = format!("{what} is {wanted}, not {}", node.kind());
        self.collector
            .push(Diagnostic::error("wrong-type", node.span(), message).label(format!("{wanted} is wanted here")));
    }

    fn map<'n>(&mut self, node: &'n Node, what: &str, known: &[&str]) -> Option<Fields<'n>> {
        let Node::Map(fields, span) = node else {
            self.wrong_type(node, what, "a map");
            return None;
        };
        for (key, _) in fields {
            if !known.is_empty() && !known.contains(&key.value.as_str()) {
                let message = format!("{what} has no key `{}`", key.value);
                let diagnostic =
                    Diagnostic::error("unknown-key", key.span, message).likely(&key.value, known.iter().copied());
                self.collector.push(diagnostic);
            }
        }
        Some(Fields { fields: fields.iter().map(|(key, node)| (key, node)).collect(), span: *span })
    }

    fn text(&mut self, node: &Node, what: &str) -> Option<Spanned<String>> {
        match node {
            Node::Scalar { text, span, .. } if node.kind() == "a text" => Some(Spanned::new(text.clone(), *span)),
            _ => {
                self.wrong_type(node, what, "a text");
                None
            }
        }
    }

    /// A text, or a number or bool that Rhai reads as well.
    fn expr(&mut self, node: &Node, what: &str) -> Option<Spanned<String>> {
        match node {
            Node::Scalar { text, span, .. } if node.kind() != "nothing" => {
                let (trimmed, lead) = (text.trim(), text.len() - text.trim_start().len());
                // `when: ${params.x}` is what people write first: the braces are not wrong, only not needed.
                match trimmed.strip_prefix("${").and_then(|rest| rest.strip_suffix('}')) {
                    Some(inner) if !inner.contains("${") => {
                        let from = span.start as usize + lead + 2;
                        Some(Spanned::new(inner.to_owned(), Span::new(span.source, from, from + inner.len())))
                    }
                    _ => Some(Spanned::new(text.clone(), *span)),
                }
            }
            _ => {
                self.wrong_type(node, what, "an expression");
                None
            }
        }
    }

    fn plain(&mut self, node: Option<&Node>, what: &str) -> String {
        node.and_then(|node| self.text(node, what)).map(|text| text.value.trim().to_owned()).unwrap_or_default()
    }

    fn list<'n>(&mut self, node: Option<&'n Node>, what: &str) -> &'n [Node] {
        match node {
            None => &[],
            Some(Node::List(items, _)) => items,
            Some(other) => {
                self.wrong_type(other, what, "a list");
                &[]
            }
        }
    }

    fn texts(&mut self, node: Option<&Node>, what: &str) -> Vec<Spanned<String>> {
        self.list(node, what).iter().filter_map(|item| self.text(item, &format!("each of {what}"))).collect()
    }

    fn duration(&mut self, node: &Node, what: &str) -> Option<Duration> {
        let text = match node {
            Node::Scalar { text, .. } if !matches!(node.kind(), "nothing" | "true or false") => text,
            _ => {
                self.wrong_type(node, what, "a duration like 90m");
                return None;
            }
        };
        match parse_duration(text) {
            Ok(duration) => Some(duration),
            Err(error) => {
                self.error("duration", node.span(), format!("{what}: {error}"));
                None
            }
        }
    }

    fn count(&mut self, node: &Node, what: &str, least: u64) -> Option<u32> {
        match node.value().as_u64().filter(|n| *n >= least).and_then(|n| u32::try_from(n).ok()) {
            Some(count) => Some(count),
            None => {
                self.wrong_type(node, what, &format!("a whole number of at least {least}"));
                None
            }
        }
    }

    fn number(&mut self, node: &Node, what: &str) -> Option<f64> {
        let number = node.value().as_f64();
        if number.is_none() {
            self.wrong_type(node, what, "a number");
        }
        number
    }

    fn template(&mut self, node: &Node) -> Template {
        template::read(node, self.source, self.collector)
    }

    fn name(&mut self, node: &Node, what: &str, dashes: bool) -> Option<Spanned<String>> {
        let text = self.text(node, what)?;
        let separator = if dashes { '-' } else { '_' };
        let fits = text.value.starts_with(|c: char| c.is_ascii_lowercase())
            && text.value.chars().all(|c| c.is_ascii_lowercase() || c.is_ascii_digit() || c == separator)
            && text.value.len() <= 60;
        if !fits {
            let message = format!("{what} `{}` has letters it must not have", text.value);
            let hint = format!("begin with a small letter; then small letters, digits and `{separator}`, 60 at most");
            self.collector.push(Diagnostic::error("name", text.span, message).hint(hint));
        }
        Some(text)
    }

    fn required<'n>(&mut self, fields: &Fields<'n>, name: &str, what: &str) -> Option<&'n Node> {
        let found = fields.get(name);
        if found.is_none() {
            let span = Span { end: fields.span.start.saturating_add(1), ..fields.span };
            self.collector.push(
                Diagnostic::error("missing-key", span, format!("{what} has no `{name}`"))
                    .label(format!("add `{name}:`")),
            );
        }
        found
    }

    fn playbook(&mut self, node: &Node) -> Playbook {
        let nowhere = Spanned::new(String::new(), node.span());
        let mut playbook = Playbook {
            name: nowhere.clone(),
            version: nowhere,
            title: String::new(),
            doc: String::new(),
            imports: Vec::new(),
            rto: None,
            rpo: None,
            params: Vec::new(),
            capabilities: Vec::new(),
            secrets: Vec::new(),
            parallel: 8,
            steps: Vec::new(),
        };
        let Some(fields) = self.map(node, "a playbook", &TOP) else { return playbook };
        if let Some(format) = self.required(&fields, "muster", "the playbook") {
            if format.value().as_u64() != Some(1) {
                self.error("format", format.span(), "this program reads format 1: write `muster: 1`");
            }
        }
        if let Some(name) =
            self.required(&fields, "name", "the playbook").and_then(|node| self.name(node, "the playbook's name", true))
        {
            playbook.name = name;
        }
        if let Some(version) = self.required(&fields, "version", "the playbook") {
            if let Node::Scalar { text, span, .. } = version {
                if let Err(error) = semver::Version::parse(text) {
                    let message = format!("version `{text}` is not one like 1.4.0: {error}");
                    self.collector.push(Diagnostic::error("version", *span, message));
                }
                playbook.version = Spanned::new(text.clone(), *span);
            } else {
                self.wrong_type(version, "the version", "a text");
            }
        }
        playbook.title = self.plain(fields.get("title"), "the title");
        playbook.doc = self.plain(fields.get("doc"), "the doc");
        playbook.imports = self.texts(fields.get("imports"), "the imports");
        if let Some(objectives) =
            fields.get("objectives").and_then(|node| self.map(node, "objectives", &["rto", "rpo"]))
        {
            playbook.rto = objectives.get("rto").and_then(|node| self.duration(node, "the RTO"));
            playbook.rpo = objectives.get("rpo").and_then(|node| self.duration(node, "the RPO"));
        }
        if let Some(params) = fields.get("params").and_then(|node| self.map(node, "params", &[])) {
            for (name, node) in params.fields {
                if let Some(param) = self.param(name, node) {
                    playbook.params.push(param);
                }
            }
        }
        for node in self.list(fields.get("capabilities"), "capabilities") {
            if let Some(grant) = self.grant(node) {
                playbook.capabilities.push(grant);
            }
        }
        for node in self.list(fields.get("secrets"), "secrets") {
            if let Some(source) = self.secret(node) {
                playbook.secrets.push(source);
            }
        }
        if let Some(parallel) = fields.get("parallel").and_then(|node| self.count(node, "parallel", 1)) {
            playbook.parallel = parallel;
        }
        if let Some(drill) = fields.get("drill") {
            self.drill(drill);
        }
        match self.required(&fields, "steps", "the playbook") {
            Some(Node::List(nodes, span)) => {
                if nodes.is_empty() {
                    self.error("no-steps", *span, "a playbook has at least one step");
                }
                for node in nodes {
                    if let Some(step) = self.step(node) {
                        if let Some(first) = playbook.steps.iter().find(|other| other.id.value == step.id.value) {
                            let message = format!("there is a second step `{}`", step.id.value);
                            let diagnostic = Diagnostic::error("duplicate-step", step.id.span, message);
                            self.collector.push(diagnostic.related(first.id.span, "the first"));
                        }
                        playbook.steps.push(step);
                    }
                }
            }
            Some(other) => self.wrong_type(other, "steps", "a list"),
            None => {}
        }
        playbook
    }

    fn param(&mut self, name: &Spanned<String>, node: &Node) -> Option<Param> {
        let key = Node::Scalar { text: name.value.clone(), plain: false, span: name.span };
        let name = self.name(&key, "the parameter", false)?;
        let fields = self.map(node, "a parameter", &["type", "doc", "default", "matches", "values"])?;
        let kind = match self.required(&fields, "type", &format!("parameter `{}`", name.value)) {
            Some(node) => {
                let text = self.text(node, "a parameter's type")?;
                let values = self.texts(fields.get("values"), "the values");
                let kind = param_type(&text.value, values.iter().map(|value| value.value.clone()).collect());
                if kind.is_none() {
                    let known =
                        ["string", "int", "bool", "duration", "time", "size", "enum", "list", "map", "path", "secret"];
                    let message = format!("there is no parameter type `{}`", text.value);
                    self.collector.push(Diagnostic::error("param-type", text.span, message).likely(&text.value, known));
                }
                if kind == Some(ParamType::Enum(Vec::new())) {
                    let diagnostic = Diagnostic::error("enum-values", text.span, "an enum says which values it has");
                    self.collector.push(diagnostic.hint("write `type: enum(a, b)`, or add `values: [a, b]`"));
                }
                kind.unwrap_or(ParamType::String)
            }
            None => ParamType::String,
        };
        Some(Param {
            kind,
            doc: self.plain(fields.get("doc"), "a parameter's doc"),
            default: fields.get("default").map(|node| self.template(node)),
            matches: fields.get("matches").and_then(|node| self.text(node, "`matches`")),
            span: node.span(),
            name,
        })
    }

    fn grant(&mut self, node: &Node) -> Option<Grant> {
        match node {
            Node::Map(fields, span) => {
                let [(pattern, limits)] = fields.as_slice() else {
                    self.error(
                        "capability",
                        *span,
                        "a capability is one operation, with the arguments it is limited to",
                    );
                    return None;
                };
                let limits = self.map(limits, "the limits of a capability", &[])?;
                let scope = limits.fields.iter().map(|(name, node)| ((*name).clone(), self.template(node))).collect();
                Some(Grant { pattern: pattern.clone(), scope })
            }
            _ => self.text(node, "a capability").map(|pattern| Grant { pattern, scope: Vec::new() }),
        }
    }

    fn secret(&mut self, node: &Node) -> Option<SecretSource> {
        let fields = self.map(node, "a secret's source", &["dotenv", "file", "env", "keys"])?;
        let keys = self.texts(fields.get("keys"), "the keys");
        let found = fields.fields.iter().find(|(key, _)| matches!(key.value.as_str(), "dotenv" | "file" | "env"));
        match found {
            Some((provider, from)) => {
                Some(SecretSource { provider: (*provider).clone(), from: self.template(from), keys })
            }
            None => {
                let message = "a secret's source is `dotenv: PATH`, `file: PATH` or `env: NAME`";
                self.error("secret-source", fields.span, message);
                None
            }
        }
    }

    /// Drills come with `muster drill`; the form is checked here already, so that a playbook written for it stays valid.
    fn drill(&mut self, node: &Node) {
        let known = ["params", "skip", "measure", "shared", "limits", "none"];
        if let Some(fields) = self.map(node, "drill", &known) {
            if let Some(params) = fields.get("params") {
                self.map(params, "the drill's params", &[]);
            }
            self.texts(fields.get("skip"), "the steps a drill skips");
        }
    }

    fn step(&mut self, node: &Node) -> Option<Step> {
        let fields = self.map(node, "a step", &STEP)?;
        let id =
            match self.required(&fields, "id", "this step").and_then(|node| self.name(node, "the step's id", false)) {
                Some(id) => id,
                None => Spanned::new(String::new(), fields.span),
            };
        let body = self.body(&fields, &id)?;
        let what = |name: &str| format!("`{name}` of step `{}`", id.value);
        let script = |reader: &mut Self, name: &str| fields.get(name).and_then(|node| reader.text(node, &what(name)));
        Some(Step {
            title: self.plain(fields.get("title"), &what("title")),
            needs: self.texts(fields.get("needs"), &what("needs")),
            when: fields.get("when").and_then(|node| self.expr(node, &what("when"))),
            foreach: fields.get("foreach").and_then(|node| self.foreach(node)),
            retry: fields.get("retry").and_then(|node| self.retry(node)),
            timeout: fields.get("timeout").and_then(|node| self.duration(node, &what("timeout"))),
            verify: fields.get("verify").and_then(|node| self.verify(node)),
            rollback: script(self, "rollback"),
            approval: fields.get("approval").and_then(|node| self.approval(node)),
            on_failure: fields.get("on_failure").map(|node| self.on_failure(node)).unwrap_or_default(),
            point_of_no_return: script(self, "point_of_no_return"),
            span: fields.span,
            body,
            id,
        })
    }

    fn body(&mut self, fields: &Fields<'_>, id: &Spanned<String>) -> Option<Body> {
        let bodies = ["uses", "script", "manual"];
        let given: Vec<_> = fields.fields.iter().filter(|(key, _)| bodies.contains(&key.value.as_str())).collect();
        match given.as_slice() {
            [] => {
                let span =
                    if id.value.is_empty() { Span { end: fields.span.start + 1, ..fields.span } } else { id.span };
                let message = format!("step `{}` does nothing", id.value);
                self.collector
                    .push(Diagnostic::error("no-body", span, message).hint("give it `uses:`, `script:` or `manual:`"));
                None
            }
            [(key, node)] => {
                let with = fields.get("with");
                if let (Some(with), true) = (with, key.value != "uses") {
                    self.error("with-without-uses", with.span(), "`with` goes with `uses`");
                }
                match key.value.as_str() {
                    "uses" => Some(Body::Uses {
                        path: self.text(node, "`uses`")?,
                        with: with.map(|node| self.template(node)),
                    }),
                    "script" => Some(Body::Script(self.expr(node, "`script`")?)),
                    _ => {
                        if let Node::Scalar { .. } = node {
                            return Some(Body::Manual { instructions: self.template(node), evidence: None });
                        }
                        let manual = self.map(node, "manual", &["instructions", "evidence"])?;
                        let instructions = self.required(&manual, "instructions", "a manual step")?;
                        Some(Body::Manual {
                            instructions: self.template(instructions),
                            evidence: manual.get("evidence").and_then(|node| self.text(node, "the evidence")),
                        })
                    }
                }
            }
            [first, second, ..] => {
                let message = format!("step `{}` has both `{}` and `{}`", id.value, first.0.value, second.0.value);
                self.collector
                    .push(Diagnostic::error("two-bodies", second.0.span, message).related(first.0.span, "the first"));
                None
            }
        }
    }

    fn foreach(&mut self, node: &Node) -> Option<Foreach> {
        if let Node::Map(..) = node {
            let fields = self.map(node, "foreach", &["items", "key", "parallel"])?;
            let items = self.required(&fields, "items", "foreach")?;
            return Some(Foreach {
                items: self.template(items),
                key: fields.get("key").and_then(|node| self.expr(node, "the key")),
                parallel: fields.get("parallel").and_then(|node| self.count(node, "parallel", 1)),
            });
        }
        Some(Foreach { items: self.template(node), key: None, parallel: None })
    }

    fn retry(&mut self, node: &Node) -> Option<Retry> {
        let second = Duration::from_secs(1);
        let mut retry = Retry { attempts: 3, delay: second, backoff: 2.0, max_delay: 60 * second, jitter: 0.2 };
        if let Node::Scalar { .. } = node {
            retry.attempts = self.count(node, "retry", 1)?;
            return Some(retry);
        }
        let fields = self.map(node, "retry", &["attempts", "delay", "backoff", "max_delay", "jitter"])?;
        let attempts = self.required(&fields, "attempts", "retry")?;
        retry.attempts = self.count(attempts, "attempts", 1)?;
        if let Some(delay) = fields.get("delay").and_then(|node| self.duration(node, "the delay")) {
            retry.delay = delay;
            retry.max_delay = retry.max_delay.max(delay);
        }
        if let Some(most) = fields.get("max_delay").and_then(|node| self.duration(node, "max_delay")) {
            retry.max_delay = most;
        }
        if let Some(node) = fields.get("backoff") {
            retry.backoff = self.number(node, "backoff").filter(|n| (1.0..=100.0).contains(n)).unwrap_or_else(|| {
                self.error("range", node.span(), "backoff is a number from 1 to 100");
                1.0
            });
        }
        if let Some(node) = fields.get("jitter") {
            retry.jitter = self.number(node, "jitter").filter(|n| (0.0..=1.0).contains(n)).unwrap_or_else(|| {
                self.error("range", node.span(), "jitter is a number from 0 to 1");
                0.0
            });
        }
        Some(retry)
    }

    fn verify(&mut self, node: &Node) -> Option<Verify> {
        let (within, every) = (Duration::from_secs(30), Duration::from_secs(1));
        if let Node::Scalar { .. } = node {
            return Some(Verify { check: self.expr(node, "`verify`")?, within, every });
        }
        let fields = self.map(node, "verify", &["check", "within", "every"])?;
        let check = self.required(&fields, "check", "verify")?;
        Some(Verify {
            check: self.expr(check, "the check")?,
            within: fields.get("within").and_then(|node| self.duration(node, "within")).unwrap_or(within),
            every: fields.get("every").and_then(|node| self.duration(node, "every")).unwrap_or(every),
        })
    }

    fn approval(&mut self, node: &Node) -> Option<Approval> {
        let fields = self.map(node, "approval", &["by", "count"])?;
        let by = self.texts(fields.get("by"), "the approvers").into_iter().map(|name| name.value).collect();
        let count = fields.get("count").map_or(Some(1), |node| self.count(node, "count", 1))?;
        Some(Approval { by, count })
    }

    fn on_failure(&mut self, node: &Node) -> OnFailure {
        let known = ["pause", "rollback", "continue"];
        let Some(text) = self.text(node, "on_failure") else { return OnFailure::Pause };
        match text.value.as_str() {
            "pause" => OnFailure::Pause,
            "rollback" => OnFailure::Rollback,
            "continue" => OnFailure::Continue,
            other => {
                let diagnostic = Diagnostic::error("on-failure", text.span, format!("on_failure is not `{other}`"));
                self.collector.push(diagnostic.likely(other, known));
                OnFailure::Pause
            }
        }
    }
}

/// `string`, `list(string)`, `enum(a, b)`.
fn param_type(text: &str, values: Vec<String>) -> Option<ParamType> {
    let text = text.trim();
    let inner = |name: &str| text.strip_prefix(name).and_then(|rest| rest.trim().strip_prefix('(')?.strip_suffix(')'));
    Some(match text {
        "string" => ParamType::String,
        "int" => ParamType::Int,
        "bool" => ParamType::Bool,
        "duration" => ParamType::Duration,
        "time" => ParamType::Time,
        "size" => ParamType::Size,
        "path" => ParamType::Path,
        "secret" => ParamType::Secret,
        "enum" => ParamType::Enum(values),
        "list" => ParamType::List(None),
        "map" => ParamType::Map(None),
        _ => {
            if let Some(values) = inner("enum") {
                let values =
                    values.split([',', '|']).map(|value| value.trim().to_owned()).filter(|value| !value.is_empty());
                ParamType::Enum(values.collect())
            } else if let Some(item) = inner("list") {
                ParamType::List(Some(Box::new(param_type(item, Vec::new())?)))
            } else {
                ParamType::Map(Some(Box::new(param_type(inner("map")?, Vec::new())?)))
            }
        }
    })
}
