//! Checks for reading in a terminal.

use console::measure_text_width;

use super::brief::one_line;
use super::look::{Glyph, Look, Tone};
use crate::model::check::{Check, Verdict};

/// How a verdict looks.
#[must_use]
pub fn sign(verdict: Verdict) -> (Glyph, Tone) {
    match verdict {
        Verdict::Pass => (Glyph::Done, Tone::Good),
        Verdict::Unknown => (Glyph::Doubt, Tone::Warn),
        Verdict::Fail => (Glyph::Failed, Tone::Bad),
    }
}

/// `3 pass, 1 fails, 1 cannot be told`.
#[must_use]
pub fn sum(checks: &[Check]) -> String {
    let count = |verdict| checks.iter().filter(|check| check.verdict == verdict).count();
    let (pass, fail, unknown) = (count(Verdict::Pass), count(Verdict::Fail), count(Verdict::Unknown));
    let mut parts = vec![format!("{pass} of {} pass", checks.len())];
    if fail > 0 {
        parts.push(format!("{fail} fail{}", if fail == 1 { "s" } else { "" }));
    }
    if unknown > 0 {
        parts.push(format!("{unknown} cannot be told"));
    }
    parts.join(", ")
}

/// A line a check, and below it what to do.
#[must_use]
pub fn lines(checks: &[Check], look: Look, indent: usize) -> String {
    let wide = checks.iter().map(|check| measure_text_width(&check.id)).max().unwrap_or(0).min(24);
    let mut text = String::new();
    for check in checks {
        let (glyph, tone) = sign(check.verdict);
        let word = format!("{:<7}", check.verdict.as_str());
        let id = one_line(&check.id);
        let gap = " ".repeat(wide.saturating_sub(measure_text_width(&id)));
        let lead = format!("{}{} {}  {id}{gap}  ", " ".repeat(indent), look.glyph(glyph), look.paint(tone, &word));
        let mut said = one_line(&check.title);
        if !check.found.is_empty() {
            let found = one_line(&check.found);
            let found = if check.verdict == Verdict::Pass { found } else { look.paint(tone, &found) };
            said.push_str(&format!(": {found}"));
        }
        text.push_str(&format!("{lead}{said}\n"));
        if let Some(hint) = check.hint.as_ref().filter(|_| check.verdict != Verdict::Pass) {
            let under = " ".repeat(measure_text_width(&lead));
            text.push_str(&format!("{under}{}\n", look.paint(Tone::Faint, &one_line(hint))));
        }
    }
    text
}
