//! The checks of a playbook out of their trees.

use std::collections::HashMap;
use std::time::Duration;

use super::diagnostic::Diagnostic;
use super::fields::Reader;
use super::names;
use super::types::{Asks, Check};
use super::yaml::{Node, shown};
use crate::model::span::Span;

/// Keys of an entry of `checks`.
pub const CHECK_KEYS: [&str; 7] = ["id", "title", "check", "recovery_point", "max_age", "hint", "timeout"];
/// How long a check may take when it does not say.
pub const CHECK_TIMEOUT: Duration = Duration::from_secs(30);
/// Checks of one playbook.
pub const MAX_CHECKS: usize = 100;

impl Reader<'_> {
    /// `objective`: whether the playbook says how much may be lost.
    pub(super) fn checks(&mut self, node: &Node, objective: bool) -> Vec<Check> {
        let items = self.items(node, "a list of checks", false);
        if items.len() > MAX_CHECKS {
            let message = format!("{} checks; {MAX_CHECKS} are allowed", items.len());
            self.rule(Diagnostic::error("too-large", node.span, message));
        }
        let checks: Vec<Check> = items.iter().filter_map(|item| self.check(item, objective)).collect();
        let mut seen: HashMap<&str, Span> = HashMap::new();
        for check in checks.iter().filter(|check| !check.id.value.trim().is_empty()) {
            if let Some(first) = seen.get(check.id.value.as_str()) {
                let message = format!("two checks are called `{}`", shown(&check.id.value));
                let fault = Diagnostic::error("duplicate-id", check.id.span, message).label("again here");
                self.faults.push(fault.related(*first, "first here"));
            }
            seen.entry(&check.id.value).or_insert(check.id.span);
        }
        checks
    }

    fn check(&mut self, node: &Node, objective: bool) -> Option<Check> {
        let fields = self.fields(node, "check", &CHECK_KEYS)?;
        let id = self.required(&fields, "id").and_then(|node| self.some_text(node));
        if let Some(fault) = id.as_ref().and_then(|id| names::check_identifier(id, "check")) {
            self.rule(fault);
        }
        let (holds, point) = (fields.get("check"), fields.get("recovery_point"));
        let max_age = fields.get("max_age").and_then(|node| self.duration(node));
        let asks = match (holds, point) {
            (None, None) => {
                let fault = Diagnostic::error("missing-key", node.span, "the check has no `check`");
                let hint = "write a script that gives true or false, or `recovery_point:` with the time of the newest";
                self.faults.push(fault.label("it asks nothing").hint(hint));
                None
            }
            (Some(_), Some(_)) => {
                let message = "a check has either `check` or `recovery_point`, not both";
                let fault = Diagnostic::error("two-bodies", fields.key_span("recovery_point"), message);
                self.faults.push(fault.related(fields.key_span("check"), "the other one"));
                None
            }
            (Some(node), None) => {
                if fields.get("max_age").is_some() {
                    let message = "`max_age` belongs to `recovery_point`";
                    self.faults.push(Diagnostic::error("unknown-key", fields.key_span("max_age"), message));
                }
                self.script(node).map(Asks::Holds)
            }
            (None, Some(node)) => {
                if fields.get("max_age").is_none() && !objective {
                    let message = "nothing says how old the recovery point may be";
                    let fault = Diagnostic::error("no-max-age", fields.key_span("recovery_point"), message);
                    let hint = "give the playbook `objectives: { rpo: 24h }`, or the check a `max_age`";
                    self.rule(fault.label("to be compared with what?").hint(hint));
                }
                self.script(node).map(|at| Asks::RecoveryPoint { at, max_age })
            }
        };
        let timeout = fields.get("timeout").and_then(|node| self.duration(node)).unwrap_or(CHECK_TIMEOUT);
        let hint = self.prose(&fields, "hint");
        let id = id?;
        let title = self.prose(&fields, "title");
        Some(Check {
            title: if title.is_empty() { id.value.replace('_', " ") } else { title },
            asks: asks?,
            hint: (!hint.is_empty()).then_some(hint),
            timeout,
            span: node.span,
            id,
        })
    }
}
