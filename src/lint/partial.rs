//! The checks on a playbook that is not valid: all that is wrong in one go, without what only follows from something else.

use super::find;
use crate::model::span::{Source, Span};
use crate::playbook::bundle::BundleError;
use crate::playbook::diagnostic::{Collector, Diagnostic, MAX_DIAGNOSTICS, Severity};
use crate::playbook::gaps::{Gaps, Partial};

/// What the loader found wrong (`diagnostics`), and what the checks find in the part that could be read, in the order of the
/// text. What is only the consequence of something the loader found is left out.
#[must_use]
pub fn lint_partial(diagnostics: Vec<Diagnostic>, partial: Option<&Partial>, sources: &[Source]) -> Vec<Diagnostic> {
    let Some(partial) = partial.filter(|_| diagnostics.len() <= MAX_DIAGNOSTICS) else { return diagnostics };
    let found = find(&partial.playbook, &partial.modules, &partial.models, sources);
    let mut collector = Collector::default();
    let follows = |finding: &Diagnostic| {
        let same_place = |error: &&Diagnostic| error.severity == Severity::Error && meet(error.span, finding.span);
        diagnostics.iter().any(|error| same_place(&error)) || is_consequence(finding, partial, sources)
    };
    let own: Vec<Diagnostic> = found.into_iter().filter(|finding| !follows(finding)).collect();
    for diagnostic in diagnostics.into_iter().chain(own) {
        collector.push(diagnostic);
    }
    collector.finish()
}

/// Everything wrong with a playbook that did not load; the error itself when that is no matter of its text.
///
/// # Errors
/// When the playbook was not found or not read.
pub fn explain(error: BundleError) -> Result<(Vec<Diagnostic>, Vec<Source>), BundleError> {
    match error {
        BundleError::Invalid { diagnostics, sources, partial } => {
            Ok((lint_partial(diagnostics, partial.as_deref(), &sources), sources))
        }
        other => Err(other),
    }
}

fn meet(a: Span, b: Span) -> bool {
    a.source == b.source && a.start < b.end.max(b.start + 1) && b.start < a.end.max(a.start + 1)
}

/// Whether something is missing only because it could not be read.
fn is_consequence(finding: &Diagnostic, partial: &Partial, sources: &[Source]) -> bool {
    let Partial { playbook, gaps, .. } = partial;
    let place = finding.span;
    let text = sources.get(usize::from(place.source)).map_or("", |source| &source.text);
    let word = text.get(place.start as usize..place.end as usize).unwrap_or("");
    let step = playbook
        .steps
        .iter()
        .find(|step| step.span.source == place.source && step.span.start <= place.start && place.end <= step.span.end);
    let field = |key| step.is_some_and(|step| gaps.field(step.span, key));
    match finding.code {
        "unknown-step" => gaps.steps || is_part_of_name(word, gaps),
        "unknown-param" => gaps.params || is_part_of_name(word, gaps),
        "unknown-variable" => is_part_of_name(word, gaps),
        "step-not-needed" => field("needs"),
        "missing-argument" => field("with"),
        "no-foreach" => field("foreach"),
        "stands-after-rollback" => field("rollback") || field("point_of_no_return"),
        "no-condition" => gaps.untyped.iter().any(|name| word.ends_with(name.as_str())),
        "not-imported" | "unknown-module" => gaps.imports || is_part_of_name(word, gaps),
        "missing-capability" => gaps.capabilities,
        "unknown-output" => {
            let before = text.get(..place.start as usize).unwrap_or("").trim_end_matches(['.', '?', '[', ']', '"']);
            playbook.steps.iter().any(|step| {
                before.ends_with(step.id.value.as_str())
                    && (gaps.field(step.span, "foreach") || gaps.field(step.span, "uses"))
            })
        }
        "unused-param" | "unused-capability" | "unused-import" | "unused-item" => gaps.text,
        _ => false,
    }
}

/// `my` and `step` of `steps.my-step`, where the step `my-step` is refused for its name alone.
fn is_part_of_name(word: &str, gaps: &Gaps) -> bool {
    let first = word.split("::").next().unwrap_or(word);
    !first.is_empty()
        && gaps.names.iter().any(|name| name == first || name.split(['-', ' ', '.']).any(|part| part == first))
}
