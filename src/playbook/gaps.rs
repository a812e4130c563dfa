//! What could not be read of a playbook that is not valid, so that nothing is concluded from its absence.

use std::collections::BTreeSet;

use super::bundle::ModuleSource;
use super::diagnostic::{Diagnostic, Severity};
use super::types::Playbook;
use crate::model::span::Span;

/// What could be read of a playbook that is not valid. It is shown and checked, never run.
#[derive(Clone, Debug)]
pub struct Partial {
    /// What was read. What was not is absent, or stands there as nothing.
    pub playbook: Playbook,
    /// The modules that were found.
    pub modules: Vec<ModuleSource>,
    /// Its models.
    pub models: Vec<ModuleSource>,
    /// What was not read.
    pub gaps: Gaps,
}

/// What could not be read.
#[derive(Clone, Debug, Default)]
pub struct Gaps {
    /// There are steps whose ids nobody knows.
    pub steps: bool,
    /// There are parameters whose names nobody knows.
    pub params: bool,
    /// There are imports whose paths nobody knows.
    pub imports: bool,
    /// There are grants whose operations nobody knows.
    pub capabilities: bool,
    /// Some text that may use whatever is declared elsewhere.
    pub text: bool,
    /// Names that are refused, though scripts mean them.
    pub names: BTreeSet<String>,
    /// Parameters whose type is not known.
    pub untyped: BTreeSet<String>,
    /// Keys of steps whose values are wrong, with the place of the step.
    pub fields: BTreeSet<(Span, &'static str)>,
}

/// Faults of a value that was read all the same, or in which nothing could have been used.
const LOSES_NOTHING: [&str; 18] = [
    "bad-default",
    "bad-duration",
    "bad-grant",
    "bad-name",
    "bad-type",
    "bad-version",
    "duplicate-id",
    "duplicate-import",
    "empty",
    "format",
    "missing-key",
    "no-max-age",
    "out-of-range",
    "secret-in-playbook",
    "unknown-key",
    "unknown-param",
    "unknown-step",
    "unknown-word",
];

impl Gaps {
    /// Takes down whether these faults hid some text.
    pub(super) fn note_text(&mut self, faults: &[Diagnostic]) {
        let hides = |fault: &Diagnostic| fault.severity == Severity::Error && !LOSES_NOTHING.contains(&fault.code);
        self.text |= faults.iter().any(hides);
    }

    /// Whether the value of a key of the step at this place is wrong.
    #[must_use]
    pub fn field(&self, step: Span, key: &'static str) -> bool {
        self.fields.contains(&(step, key))
    }
}
