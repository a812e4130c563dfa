//! The `drill` section of a playbook.

use std::time::Duration;

use super::diagnostic::Diagnostic;
use super::fields::Reader;
use super::load::{DRILL_KEYS, DRILL_LIMIT_KEYS};
use super::types::{Drill, Step, Template};
use super::yaml::{Data, Node, shown};
use crate::model::span::Spanned;

impl Reader<'_> {
    /// How the playbook is drilled, or why it cannot be.
    pub(super) fn drill(&mut self, node: &Node, steps: &[Step], declared: Option<&Node>) -> Option<Drill> {
        let fields = self.fields(node, "drill", &DRILL_KEYS)?;
        let none = fields.get("none").and_then(|node| self.some_text(node));
        let params = fields.get("params").map(|node| self.named_templates(node)).unwrap_or_default();
        let declared: Vec<&str> = match declared.map(|node| &node.data) {
            Some(Data::Map(entries)) => entries.iter().map(|(name, _)| name.value.as_str()).collect(),
            _ => Vec::new(),
        };
        let unknown = |name: &str| !self.gaps.params && !declared.contains(&name);
        let unknown: Vec<_> = params.iter().filter(|(name, _)| unknown(&name.value)).collect();
        for (name, _) in unknown {
            let message = format!("there is no parameter `{}` for a drill to set", shown(&name.value));
            let fault = Diagnostic::error("unknown-param", name.span, message);
            self.rule(fault.likely(&name.value, declared.iter().copied()));
        }
        let skip = fields.get("skip").map(|node| self.texts(node, false)).unwrap_or_default();
        self.known_steps(&skip, steps, "to skip");
        let proof = fields.get("proof").map(|node| self.texts(node, true)).unwrap_or_default();
        self.known_steps(&proof, steps, "that could prove anything");
        for id in proof.iter().filter(|id| skip.iter().any(|left_out| left_out.value == id.value)) {
            let message = format!("step `{}` proves the recovery, and the drill leaves it out", id.value);
            self.rule(Diagnostic::error("proof-skipped", id.span, message).hint("name a step that the drill runs"));
        }
        let shared = match fields.get("shared") {
            Some(node) => self.items(node, "a list of texts", false).iter().map(|item| self.template(item)).collect(),
            None => Vec::new(),
        };
        let mut measure = Vec::new();
        if let Some(node) = fields.get("measure") {
            match &node.data {
                Data::Map(entries) => {
                    for (name, value) in entries {
                        if let Some(expr) = self.expr(value) {
                            measure.push((name.clone(), expr));
                        }
                    }
                }
                _ => self.wrong(node, "a map of names and expressions"),
            }
        }
        let (time, makes) = fields.get("limits").map(|node| self.limits(node)).unwrap_or_default();
        if let Some(why) = &none
            && let Some(other) = DRILL_KEYS.iter().find(|key| **key != "none" && fields.get(key).is_some())
        {
            let message = format!("`none` says that there is no drill, and `{other}` how it goes");
            let fault = Diagnostic::error("two-drills", fields.key_span(other), message);
            self.rule(fault.related(why.span, "no drill"));
        }
        Some(Drill { none, params, skip, shared, proof, measure, time, makes, span: node.span })
    }

    /// Says which of these are no steps.
    fn known_steps(&mut self, named: &[Spanned<String>], steps: &[Step], what: &str) {
        if self.gaps.steps {
            return;
        }
        for id in named.iter().filter(|id| !steps.iter().any(|step| step.id.value == id.value)) {
            let message = format!("there is no step `{}` {what}", shown(&id.value));
            let fault = Diagnostic::error("unknown-step", id.span, message);
            self.rule(fault.likely(&id.value, steps.iter().map(|step| step.id.value.as_str())));
        }
    }

    fn limits(&mut self, node: &Node) -> (Option<Duration>, Vec<(Spanned<String>, u32)>) {
        let Some(fields) = self.fields(node, "limits", &DRILL_LIMIT_KEYS) else { return (None, Vec::new()) };
        let time = fields.get("time").and_then(|node| self.duration(node));
        let mut makes = Vec::new();
        match fields.get("makes").map(|node| (node, &node.data)) {
            Some((_, Data::Map(entries))) => {
                for (pattern, node) in entries {
                    let most = self.whole(node, 0, 10_000);
                    makes.extend(most.map(|most| (pattern.clone(), most)));
                }
            }
            Some((node, _)) => self.wrong(node, "a map from operations to numbers"),
            None => {}
        }
        (time, makes)
    }

    fn named_templates(&mut self, node: &Node) -> Vec<(Spanned<String>, Template)> {
        match &node.data {
            Data::Map(entries) => entries.iter().map(|(name, value)| (name.clone(), self.template(value))).collect(),
            _ => {
                self.wrong(node, "a map of parameters");
                Vec::new()
            }
        }
    }
}
