//! When the steps of a run began and ended, over when they were expected to: a drawing.

use std::fmt::Write as _;
use std::time::Duration;

use super::graph::{cut, escape};
use crate::evidence::when;

/// More rows than these are not drawn.
const MOST: usize = 60;
const ROW: u64 = 24;
const LEFT: u64 = 190;
const WIDE: u64 = 560;
const TOP: u64 = 24;

/// A step's bar.
pub struct Bar {
    /// The step.
    pub name: String,
    /// The class of its colour.
    pub class: &'static str,
    /// In a word.
    pub word: String,
    /// When it began and ended, or is now; milliseconds from the run's start.
    pub actual: Option<(u64, u64)>,
    /// When it was expected to.
    pub planned: Option<(u64, u64)>,
}

/// The drawing. `limit` is the time that the recovery may take, `now` how long the run has been at work.
#[must_use]
pub fn svg(bars: &[Bar], limit: Option<u64>, now: u64) -> Option<String> {
    if bars.is_empty() {
        return None;
    }
    let ends = bars.iter().flat_map(|bar| [bar.actual, bar.planned]).flatten().map(|(_, end)| end);
    let last = ends.max().unwrap_or(0).max(now).max(1);
    // A limit far away would leave no room for anything else.
    let limit = limit.filter(|limit| *limit <= last.saturating_mul(3));
    let whole = last.max(limit.unwrap_or(0));
    let x = |at: u64| LEFT + (u128::from(at.min(whole)) * u128::from(WIDE) / u128::from(whole)) as u64;
    let shown = bars.len().min(MOST) as u64;
    let (width, height) = (LEFT + WIDE + 12, TOP + shown * ROW + 6);
    let mut text = format!(
        "<svg class=\"wide\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"Timeline of the steps\">"
    );
    for quarter in 0..=4_u64 {
        let at = whole / 4 * quarter;
        let (at_x, anchor) = (x(at), if quarter == 4 { "end" } else { "middle" });
        let _ = write!(
            text,
            "<line class=\"rule\" x1=\"{at_x}\" x2=\"{at_x}\" y1=\"{TOP}\" y2=\"{height}\"/>\
             <text class=\"faint\" x=\"{at_x}\" y=\"15\" text-anchor=\"{anchor}\">{}</text>",
            when::took(Duration::from_millis(at))
        );
    }
    for (row, bar) in bars.iter().take(MOST).enumerate() {
        let y = TOP + row as u64 * ROW;
        let _ = write!(
            text,
            "<g><title>{}: {}</title><text x=\"4\" y=\"{}\">{}</text>",
            escape(&bar.name),
            escape(&bar.word),
            y + 16,
            escape(&cut(&bar.name, 26))
        );
        if let Some((from, to)) = bar.actual {
            let (from, to) = (x(from), x(to));
            let _ = write!(
                text,
                "<rect class=\"f-{}\" x=\"{from}\" y=\"{}\" width=\"{}\" height=\"11\" rx=\"3\"/>",
                bar.class,
                y + 7,
                (to - from).max(3)
            );
        }
        if let Some((from, to)) = bar.planned {
            let (from, to) = (x(from), x(to));
            let _ = write!(
                text,
                "<rect class=\"plan\" x=\"{from}\" y=\"{}\" width=\"{}\" height=\"17\" rx=\"4\"/>",
                y + 4,
                (to - from).max(3)
            );
        }
        text.push_str("</g>");
    }
    if let Some(limit) = limit {
        let at = x(limit);
        let _ = write!(
            text,
            "<line class=\"limit\" x1=\"{at}\" x2=\"{at}\" y1=\"{}\" y2=\"{height}\"/><text class=\"f-bad\" x=\"{}\" y=\"{}\" text-anchor=\"end\">RTO</text>",
            TOP - 4,
            at - 4,
            height - 4
        );
    }
    text.push_str("</svg>");
    Some(text)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_name_is_markup_and_no_time_breaks_the_drawing() {
        let bar =
            |actual, planned| Bar { name: "<i>".to_owned(), class: "good", word: "done".to_owned(), actual, planned };
        let bars = [bar(Some((0, 0)), None), bar(Some((5, u64::MAX / 8)), Some((0, 7)))];
        let drawn = svg(&bars, Some(3), 0).expect("a drawing");
        assert!(drawn.contains("&lt;i&gt;") && !drawn.contains("<i>"));
        assert!(svg(&[], None, 0).is_none());
    }
}
