//! The steps of a run as a drawing: each below what it needs.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use super::estimate::Needs;

/// More steps than these are not drawn: nobody could follow the lines.
const MOST: usize = 60;
const WIDE: usize = 150;
const HIGH: usize = 38;
const APART: usize = 14;
const BETWEEN: usize = 30;

/// The drawing; none when it would be too large, or has a single box. `state` gives the class of a step's box, and its word.
#[must_use]
pub fn svg(needs: &Needs<'_>, state: impl Fn(&str) -> (&'static str, String)) -> Option<String> {
    if needs.len() < 2 || needs.len() > MOST {
        return None;
    }
    let levels = levels(needs);
    let most = levels.values().max().copied().unwrap_or(0);
    let mut rows: Vec<Vec<&str>> = vec![Vec::new(); most + 1];
    for (id, _) in needs {
        rows[levels.get(id).copied().unwrap_or(0)].push(id);
    }
    let columns = rows.iter().map(Vec::len).max().unwrap_or(1);
    let width = columns * (WIDE + APART) + APART;
    let height = rows.len() * (HIGH + BETWEEN) - BETWEEN + 8;
    let mut places: BTreeMap<&str, (usize, usize)> = BTreeMap::new();
    for (level, row) in rows.iter().enumerate() {
        let indent = (width - row.len() * (WIDE + APART) + APART) / 2;
        for (at, id) in row.iter().enumerate() {
            places.insert(id, (indent + at * (WIDE + APART), 4 + level * (HIGH + BETWEEN)));
        }
    }
    let mut text = format!(
        "<svg width=\"{width}\" height=\"{height}\" viewBox=\"0 0 {width} {height}\" role=\"img\" aria-label=\"Steps, each below what it needs\">"
    );
    for (id, needed) in needs {
        for need in needed {
            if let (Some((x, y)), Some((to_x, to_y))) = (places.get(need), places.get(id)) {
                let (x, y, to_x) = (x + WIDE / 2, y + HIGH, to_x + WIDE / 2);
                let bend = (to_y.saturating_sub(y)) / 2;
                let _ = write!(
                    text,
                    "<path class=\"edge\" d=\"M{x} {y}C{x} {} {to_x} {} {to_x} {to_y}\"/>",
                    y + bend,
                    to_y - bend.min(*to_y)
                );
            }
        }
    }
    for (id, (x, y)) in &places {
        let (class, word) = state(id);
        let _ = write!(
            text,
            "<g><title>{}: {}</title><rect class=\"box b-{class}\" x=\"{x}\" y=\"{y}\" width=\"{WIDE}\" height=\"{HIGH}\" rx=\"7\"/>\
             <text x=\"{}\" y=\"{}\">{}</text><text class=\"faint\" x=\"{}\" y=\"{}\">{}</text></g>",
            escape(id),
            escape(&word),
            x + 10,
            y + 16,
            escape(&cut(id, 19)),
            x + 10,
            y + 31,
            escape(&cut(&word, 21)),
        );
    }
    text.push_str("</svg>");
    Some(text)
}

fn levels<'p>(needs: &Needs<'p>) -> BTreeMap<&'p str, usize> {
    let mut levels: BTreeMap<&str, usize> = needs.iter().map(|(id, _)| (*id, 0)).collect();
    for _ in 0..needs.len() {
        let mut moved = false;
        for (id, needed) in needs {
            let below = needed.iter().filter_map(|need| levels.get(need)).max().map_or(0, |level| level + 1);
            if let Some(level) = levels.get_mut(id).filter(|level| **level < below && below < needs.len()) {
                *level = below;
                moved = true;
            }
        }
        if !moved {
            break;
        }
    }
    levels
}

/// Text that stands in a drawing.
#[must_use]
pub fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;").replace('\'', "&#39;")
}

/// At most so many characters.
#[must_use]
pub fn cut(text: &str, most: usize) -> String {
    if text.chars().count() <= most { text.to_owned() } else { text.chars().take(most - 1).chain(['…']).collect() }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_step_stands_below_what_it_needs_and_no_name_is_markup() {
        let needs: Needs<'_> = vec![("<b>", vec!["a"]), ("a", vec![])];
        let drawn = svg(&needs, |_| ("good", "\"done\"".to_owned())).expect("a drawing");
        assert!(drawn.contains("&lt;b&gt;") && !drawn.contains("<b>") && drawn.contains("&quot;done&quot;"));
        assert_eq!(levels(&needs), BTreeMap::from([("a", 0), ("<b>", 1)]));
    }

    #[test]
    fn a_circle_is_drawn_all_the_same() {
        let needs: Needs<'_> = vec![("a", vec!["b"]), ("b", vec!["a"])];
        assert!(svg(&needs, |_| ("still", String::new())).is_some());
    }
}
