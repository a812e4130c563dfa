//! The steps of a playbook out of their trees.

use std::collections::HashMap;
use std::time::Duration;

use super::diagnostic::Diagnostic;
use super::fields::{Fields, Reader};
use super::names;
use super::types::{Approval, Body, Foreach, OnFailure, Retry, Step, Template, Verify};
use super::yaml::{Data, Node, shown};
use crate::model::Value;
use crate::model::span::{Span, Spanned};

/// Keys of a step.
pub const STEP_KEYS: [&str; 16] = [
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
/// Keys of `manual`.
pub const MANUAL_KEYS: [&str; 2] = ["instructions", "evidence"];
/// Keys of `foreach` written as a map.
pub const FOREACH_KEYS: [&str; 3] = ["items", "key", "parallel"];
/// Keys of `retry` written as a map.
pub const RETRY_KEYS: [&str; 5] = ["attempts", "delay", "backoff", "max_delay", "jitter"];
/// Keys of `verify` written as a map.
pub const VERIFY_KEYS: [&str; 3] = ["check", "within", "every"];
/// Keys of `approval`.
pub const APPROVAL_KEYS: [&str; 3] = ["by", "count", "valid_for"];
/// Words for `on_failure`.
pub const ON_FAILURE: [&str; 3] = ["pause", "rollback", "continue"];
/// Attempts that `retry` allows.
pub const MAX_ATTEMPTS: u32 = 100;

impl Reader<'_> {
    pub(super) fn steps(&mut self, node: &Node) -> Vec<Step> {
        let items = self.items(node, "a list of steps", false);
        if items.is_empty() && matches!(node.data, Data::List(_)) {
            self.rule(Diagnostic::error("empty", node.span, "there are no steps"));
        }
        self.gaps.steps |= !matches!(node.data, Data::List(_));
        if items.len() > super::load::MAX_STEPS {
            let message = format!("{} steps; {} are allowed", items.len(), super::load::MAX_STEPS);
            self.rule(Diagnostic::error("too-large", node.span, message));
        }
        let steps: Vec<Step> = items.iter().filter_map(|item| self.step(item)).collect();
        self.gaps.steps |= steps.len() < items.len();
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for step in steps.iter().filter(|step| !step.id.value.trim().is_empty()) {
            if let Some(first) = seen.get(step.id.value.as_str()) {
                let message = format!("two steps are called `{}`", shown(&step.id.value));
                let fault = Diagnostic::error("duplicate-id", step.id.span, message).label("again here");
                self.faults.push(fault.related(*first, "first here"));
            }
            seen.entry(&step.id.value).or_insert(step.id.span);
        }
        steps
    }

    fn step(&mut self, node: &Node) -> Option<Step> {
        let faults = self.faults.kept().len();
        let fields = self.fields(node, "step", &STEP_KEYS)?;
        let id = self.required(&fields, "id").and_then(|node| self.some_text(node));
        let given = id.as_ref().filter(|id| !id.value.trim().is_empty());
        if let Some((id, fault)) = given.and_then(|id| Some((id, names::check_identifier(id, "step")?))) {
            self.gaps.names.insert(id.value.clone());
            self.rule(fault);
        }
        let body = self.body(&fields);
        let title = self.prose(&fields, "title");
        let needs = fields.get("needs").map(|node| self.texts(node, true)).unwrap_or_default();
        let when = fields.get("when").and_then(|node| self.expr(node));
        let foreach = fields.get("foreach").and_then(|node| self.foreach(node));
        let retry = fields.get("retry").and_then(|node| self.retry(node));
        let timeout = fields.get("timeout").and_then(|node| self.positive(node));
        let verify = fields.get("verify").and_then(|node| self.verify(node));
        let rollback = fields.get("rollback").and_then(|node| self.script(node));
        let approval = fields.get("approval").and_then(|node| self.approval(node));
        let on_failure = fields.get("on_failure").and_then(|node| self.on_failure(node)).unwrap_or_default();
        let point_of_no_return = fields.get("point_of_no_return").and_then(|node| self.reason(node));
        let faulty = fields.faulty(self.faults.kept().get(faults..).unwrap_or_default());
        self.gaps.fields.extend(faulty.into_iter().map(|key| (node.span, key)));
        self.gaps.steps |= given.is_none();
        // What cannot be read stands there as nothing, so that the rest of the step is checked all the same.
        let id = id.unwrap_or_else(|| super::load::nowhere(node.span));
        let body = body.unwrap_or_else(|| Body::Manual {
            instructions: Template::Plain(Spanned::new(Value::Null, node.span)),
            evidence: None,
        });
        let title = if title.is_empty() { id.value.replace('_', " ") } else { title };
        Some(Step {
            id,
            title,
            needs,
            body,
            when,
            foreach,
            retry,
            timeout,
            verify,
            rollback,
            approval,
            on_failure,
            point_of_no_return,
            span: node.span,
        })
    }

    fn body(&mut self, fields: &Fields<'_>) -> Option<Body> {
        let given: Vec<&str> =
            ["uses", "script", "manual"].into_iter().filter(|key| fields.get(key).is_some()).collect();
        match given.as_slice() {
            [] => {
                let end = (fields.span.start as usize + 1).min(fields.span.end as usize);
                let span = Span::new(fields.span.source, fields.span.start as usize, end);
                let fault = Diagnostic::error("missing-key", span, "the step does nothing");
                self.faults.push(fault.hint("give it one of `uses`, `script` or `manual`"));
                return None;
            }
            [_] => {}
            [first, second, ..] => {
                let message = format!("a step has either `{first}` or `{second}`, not both");
                let fault = Diagnostic::error("two-bodies", fields.key_span(second), message);
                self.faults.push(fault.related(fields.key_span(first), "the other one"));
            }
        }
        if let (Some(_), None) = (fields.get("with"), fields.get("uses")) {
            self.gaps.text = true;
            let fault = Diagnostic::error("unknown-key", fields.key_span("with"), "`with` belongs to `uses`");
            self.faults.push(fault.hint("in a script the arguments stand in the call: `host::fs::stat(\"/x\")`"));
        }
        if let Some(node) = fields.get("uses") {
            let path = self.some_text(node)?;
            let with = match fields.get("with") {
                Some(node) if matches!(node.data, Data::Map(_)) => Some(self.template(node)),
                Some(node) => {
                    self.wrong(node, "a map of arguments");
                    None
                }
                None => None,
            };
            return Some(Body::Uses { path, with });
        }
        if let Some(node) = fields.get("script") {
            return Some(Body::Script(self.script(node)?));
        }
        let node = fields.get("manual")?;
        if let Data::Scalar { .. } = &node.data {
            self.some_text(node)?;
            return Some(Body::Manual { instructions: self.template(node), evidence: None });
        }
        let manual = self.fields(node, "manual step", &MANUAL_KEYS)?;
        let instructions = self.required(&manual, "instructions")?;
        self.some_text(instructions)?;
        let instructions = self.template(instructions);
        let evidence = manual.get("evidence").and_then(|node| self.some_text(node));
        Some(Body::Manual { instructions, evidence })
    }

    fn foreach(&mut self, node: &Node) -> Option<Foreach> {
        let written_out = matches!(&node.data, Data::Map(_));
        if !written_out {
            let items = self.listed(node)?;
            return Some(Foreach { items, key: None, parallel: None });
        }
        let fields = self.fields(node, "foreach", &FOREACH_KEYS)?;
        let items = self.required(&fields, "items").and_then(|node| self.listed(node));
        let key = fields.get("key").and_then(|node| self.expr(node));
        let parallel = fields.get("parallel").and_then(|node| self.whole(node, 1, 1000));
        Some(Foreach { items: items?, key, parallel })
    }

    /// A list, or one expression that gives one.
    fn listed(&mut self, node: &Node) -> Option<Template> {
        match self.template(node) {
            found @ (Template::Expr(_) | Template::List(..)) => Some(found),
            Template::Plain(plain) if plain.value.is_string() => {
                let fault = Diagnostic::error("wrong-type", node.span, "expected a list, found a text");
                self.faults.push(fault.hint("an expression stands in `${…}`"));
                None
            }
            _ => {
                self.wrong(node, "a list, or an expression that gives one");
                None
            }
        }
    }

    fn retry(&mut self, node: &Node) -> Option<Retry> {
        let mut retry = Retry {
            attempts: 3,
            delay: Duration::from_secs(1),
            backoff: 2.0,
            max_delay: Duration::from_secs(60),
            jitter: 0.2,
        };
        if let Data::Scalar { .. } = &node.data {
            retry.attempts = self.whole(node, 1, MAX_ATTEMPTS)?;
            return Some(retry);
        }
        let fields = self.fields(node, "retry", &RETRY_KEYS)?;
        if let Some(found) = self.required(&fields, "attempts").and_then(|node| self.whole(node, 1, MAX_ATTEMPTS)) {
            retry.attempts = found;
        }
        if let Some(found) = fields.get("delay").and_then(|node| self.duration(node)) {
            retry.delay = found;
        }
        if let Some(found) = fields.get("backoff").and_then(|node| self.number(node, 1.0, 100.0)) {
            retry.backoff = found;
        }
        match fields.get("max_delay").and_then(|node| self.duration(node).map(|found| (node, found))) {
            Some((node, found)) if found < retry.delay => {
                let message = "`max_delay` is shorter than `delay`";
                self.rule(Diagnostic::error("out-of-range", node.span, message));
                retry.max_delay = found;
            }
            Some((_, found)) => retry.max_delay = found,
            None => retry.max_delay = retry.max_delay.max(retry.delay),
        }
        if let Some(found) = fields.get("jitter").and_then(|node| self.number(node, 0.0, 1.0)) {
            retry.jitter = found;
        }
        Some(retry)
    }

    fn verify(&mut self, node: &Node) -> Option<Verify> {
        let (within, every) = (Duration::from_secs(30), Duration::from_secs(1));
        if let Data::Scalar { .. } = &node.data {
            return Some(Verify { check: self.script(node)?, within, every });
        }
        let fields = self.fields(node, "verify", &VERIFY_KEYS)?;
        let check = self.required(&fields, "check").and_then(|node| self.script(node));
        let within = fields.get("within").and_then(|node| self.duration(node)).unwrap_or(within);
        let every = fields.get("every").and_then(|node| self.positive(node)).unwrap_or(every);
        Some(Verify { check: check?, within, every })
    }

    fn approval(&mut self, node: &Node) -> Option<Approval> {
        let fields = self.fields(node, "approval", &APPROVAL_KEYS)?;
        let by: Vec<Spanned<String>> = fields.get("by").map(|node| self.texts(node, true)).unwrap_or_default();
        let count = fields.get("count").and_then(|node| self.whole(node, 1, 20)).unwrap_or(1);
        let valid_for = fields.get("valid_for").and_then(|node| self.positive(node));
        Some(Approval { by: by.into_iter().map(|name| name.value).collect(), count, valid_for })
    }

    fn on_failure(&mut self, node: &Node) -> Option<OnFailure> {
        let text = self.text(node)?;
        match text.value.as_str() {
            "pause" => Some(OnFailure::Pause),
            "rollback" => Some(OnFailure::Rollback),
            "continue" => Some(OnFailure::Continue),
            other => {
                let message = format!("`{}` is nothing to do on a failure", shown(other));
                self.faults.push(Diagnostic::error("unknown-word", node.span, message).likely(other, ON_FAILURE));
                None
            }
        }
    }

    fn reason(&mut self, node: &Node) -> Option<Spanned<String>> {
        if let Data::Scalar { value: Value::Bool(_), .. } = &node.data {
            let fault = Diagnostic::error("wrong-type", node.span, "a point of no return needs its reason, not a bool");
            self.faults
                .push(fault.hint("say in a sentence why there is no way back: people read it when they approve"));
            return None;
        }
        self.some_text(node)
    }

    fn positive(&mut self, node: &Node) -> Option<Duration> {
        let found = self.duration(node)?;
        if found.is_zero() {
            self.rule(Diagnostic::error("out-of-range", node.span, "this has to be longer than nothing"));
        }
        Some(found)
    }
}
