//! The timeline of a plan in a terminal: a bar a step, all on one scale.

use super::super::brief::one_line;
use super::super::look::{Look, Tone};
use super::words;
use crate::plan::{Plan, PlannedStep};

/// More steps than these are not drawn, the shortest first.
const MOST: usize = 40;

/// The lines, with a heading; none when nothing takes time.
pub(super) fn lines(plan: &Plan, look: Look) -> Vec<String> {
    let total = plan.timeline.total_ms;
    let takes = |step: &PlannedStep| step.ends_ms.saturating_sub(step.starts_ms);
    let mut drawn: Vec<&PlannedStep> = plan.steps.iter().filter(|step| takes(step) > 0).collect();
    if drawn.is_empty() || total == 0 {
        return Vec::new();
    }
    drawn.sort_by_key(|step| std::cmp::Reverse(takes(step)));
    let left = drawn.split_off(drawn.len().min(MOST));
    drawn.sort_by_key(|step| (step.starts_ms, step.ends_ms));
    let names: Vec<String> = drawn.iter().map(|step| one_line(step.step.as_str())).collect();
    let name_width = names.iter().map(|name| name.chars().count()).max().unwrap_or(0);
    // On a narrow terminal the bars come before the names.
    let name_width = name_width.min(look.width.saturating_sub(26).clamp(8, 28));
    let width = look.width.saturating_sub(name_width + 16).clamp(10, 64);
    let scale = format!("0 to {}; the duration hangs on the solid ones", words::span(total));
    let scale = look.fit(&scale, look.width.saturating_sub(10));
    let mut lines = vec![format!("{}  {}", look.paint(Tone::Strong, "timeline"), look.paint(Tone::Faint, &scale))];
    for (step, name) in drawn.iter().zip(&names) {
        let at = |millis: u64| usize::try_from(u128::from(millis) * width as u128 / u128::from(total)).unwrap_or(width);
        // Whatever takes time is seen: a column at least, and inside the scale.
        let from = at(step.starts_ms).min(width - 1);
        let to = at(step.ends_ms).clamp(from + 1, width);
        let (block, tone) = match (step.critical, look.unicode) {
            (true, true) => ("█", Tone::Live),
            (true, false) => ("#", Tone::Live),
            (false, true) => ("░", Tone::Faint),
            (false, false) => ("-", Tone::Faint),
        };
        let bar = look.paint(tone, &block.repeat(to - from));
        let name = look.fit(name, name_width);
        let pad = " ".repeat(name_width.saturating_sub(console::measure_text_width(&name)));
        let (before, after) = (" ".repeat(from), " ".repeat(width - to));
        let edge = if look.unicode { "│" } else { "|" };
        let time = words::span(takes(step));
        lines.push(format!("  {name}{pad} {edge}{before}{bar}{after}{edge} {time:>8}"));
    }
    if !left.is_empty() {
        let longest = left.iter().map(|step| takes(step)).max().unwrap_or(0);
        let text = format!("  and {} of at most {}", words::count(left.len(), "step"), words::span(longest));
        lines.push(look.paint(Tone::Faint, &text));
    }
    lines
}
