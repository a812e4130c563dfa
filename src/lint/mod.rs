//! lint

use crate::model::span::Source;
use crate::playbook::bundle::ModuleSource;
use crate::playbook::diagnostic::Diagnostic;
use crate::playbook::types::Playbook;

/// Checks a loaded playbook.
#[must_use]
pub fn lint(_: &Playbook, _: &[ModuleSource], _: &[Source]) -> Vec<Diagnostic> {
    Vec::new()
}
