//! The steps of a plan as a drawing: a box each, below what it needs, the way on which the run's duration hangs marked.

use std::collections::BTreeMap;

use super::super::brief::{cut, one_line};
use super::escape::html as esc;
use super::layout::lay_out;
use super::words::{self, Deed};
use crate::model::forecast::Basis;
use crate::plan::{Plan, PlannedStep, StepOutcome};

/// More steps than these are not drawn: nobody could follow the lines.
const MOST: usize = 400;

/// Sizes of a box and of the room between levels.
const HIGH: f64 = 40.0;
const BETWEEN: f64 = 26.0;
const EDGE: f64 = 4.0;

/// Letters of a name, at most, and how wide one is.
const LETTERS: usize = 24;
const LETTER: f64 = 7.3;

/// A higher drawing is not made to fit on one sheet of paper: its names would be too small to read.
const SHEET: f64 = 2_000.0;

/// A box: the instances of one `foreach` step stand in one.
struct Node<'p> {
    name: &'p str,
    steps: Vec<&'p PlannedStep>,
}

/// The drawing as SVG; a sentence when it would be too large.
#[must_use]
pub fn svg(plan: &Plan, anchor: impl Fn(&PlannedStep) -> String) -> String {
    let mut nodes: Vec<Node<'_>> = Vec::new();
    let mut place: BTreeMap<&str, usize> = BTreeMap::new();
    for step in &plan.steps {
        let name = step.step.step();
        let at = *place.entry(name).or_insert(nodes.len());
        match nodes.get_mut(at) {
            Some(node) => node.steps.push(step),
            None => nodes.push(Node { name, steps: vec![step] }),
        }
    }
    if nodes.len() > MOST {
        return format!("<p>The graph of {} steps is not drawn: the list below has them all.</p>", nodes.len());
    }
    let labels: Vec<(String, String)> =
        nodes.iter().map(|node| (cut(&one_line(node.name), LETTERS), note(node))).collect();
    let widths: Vec<f64> = labels
        .iter()
        .map(|(name, note)| (name.chars().count().max(note.chars().count()) as f64 * LETTER).max(44.0) + 22.0)
        .collect();
    let needs: Vec<Vec<usize>> = nodes
        .iter()
        .map(|node| {
            let all = node.steps.iter().flat_map(|step| &step.needs);
            let mut needs: Vec<usize> = all.filter_map(|need| place.get(need.as_str()).copied()).collect();
            needs.sort_unstable();
            needs.dedup();
            needs
        })
        .collect();
    let layout = lay_out(&widths, &needs);
    let width = layout.width + 2.0 * EDGE;
    let height = layout.levels as f64 * (HIGH + BETWEEN) - BETWEEN + 2.0 * EDGE;
    let top = |level: usize| EDGE + level as f64 * (HIGH + BETWEEN);
    let critical: Vec<bool> = nodes.iter().map(|node| node.steps.iter().any(|step| step.critical)).collect();
    let mut text = format!(
        "<svg class=\"graph{}\" width=\"{width:.0}\" height=\"{height:.0}\" viewBox=\"0 0 {width:.1} {height:.1}\" role=\"group\" \
         aria-label=\"Steps by what they need\">\n",
        if height > SHEET { " long" } else { "" }
    );
    for (from, to, passed) in &layout.lines {
        let mut points = vec![(layout.boxes[*from].0, top(layout.boxes[*from].1) + HIGH)];
        for (index, x) in passed.iter().enumerate() {
            let level = layout.boxes[*from].1 + 1 + index;
            points.push((*x, top(level)));
            points.push((*x, top(level) + HIGH));
        }
        points.push((layout.boxes[*to].0, top(layout.boxes[*to].1)));
        let class = if critical[*from] && critical[*to] { "edge critical" } else { "edge" };
        text.push_str(&format!("<path class=\"{class}\" d=\"{}\"/>\n", curve(&points)));
    }
    for (index, node) in nodes.iter().enumerate() {
        let (middle, level) = layout.boxes[index];
        let (x, y, wide) = (middle + EDGE - widths[index] / 2.0, top(level), widths[index]);
        let (name, note) = &labels[index];
        let class = format!("node {}{}", state(node), if critical[index] { " critical" } else { "" });
        let title = node.steps.first().map(|step| step.title.as_str()).unwrap_or_default();
        text.push_str(&format!(
            "<a href=\"#{}\"><g class=\"{class}\"><title>{}</title><rect x=\"{x:.1}\" y=\"{y:.1}\" width=\"{wide:.1}\" \
             height=\"{HIGH}\" rx=\"6\"/><text x=\"{:.1}\" y=\"{:.1}\">{}</text><text class=\"sub\" x=\"{:.1}\" y=\"{:.1}\">{}</text></g></a>\n",
            node.steps.first().map(|step| anchor(step)).unwrap_or_default(),
            esc(&format!("{}: {title}", node.name)),
            middle + EDGE,
            y + 17.0,
            esc(name),
            middle + EDGE,
            y + 31.0,
            esc(note),
        ));
    }
    text.push_str("</svg>\n");
    text
}

/// A line through these points, straight where it passes a level and bent in between.
fn curve(points: &[(f64, f64)]) -> String {
    let mut path = String::new();
    for (index, (x, y)) in points.iter().enumerate() {
        let x = x + EDGE;
        match index.checked_sub(1).and_then(|before| points.get(before)) {
            None => path.push_str(&format!("M{x:.1} {y:.1}")),
            Some(_) if index % 2 == 0 => path.push_str(&format!("L{x:.1} {y:.1}")),
            Some((last_x, last_y)) => {
                let bend = (y - last_y) / 2.0;
                path.push_str(&format!(
                    "C{:.1} {:.1} {x:.1} {:.1} {x:.1} {y:.1}",
                    last_x + EDGE,
                    last_y + bend,
                    y - bend
                ));
            }
        }
    }
    path
}

/// What a box says below its name: its effects by their marks, and how long it takes.
fn note(node: &Node<'_>) -> String {
    if node.steps.iter().all(|step| matches!(step.outcome, StepOutcome::Skipped { .. })) {
        return "skipped".to_owned();
    }
    if node.steps.iter().all(|step| step.outcome == StepOutcome::Done) {
        return "done already".to_owned();
    }
    let mut parts: Vec<String> = Vec::new();
    if node.steps.len() > 1 {
        parts.push(format!("{}×", node.steps.len()));
    }
    for deed in [Deed::Create, Deed::Update, Deed::Delete, Deed::Exec] {
        let calls = node.steps.iter().flat_map(|step| &step.calls);
        let count = calls.filter(|call| call.writes && Deed::of(call) == deed).count();
        if count > 0 {
            parts.push(format!("{}{count}", if deed == Deed::Delete { '−' } else { deed.mark() }));
        }
    }
    let from = node.steps.iter().map(|step| step.starts_ms).min().unwrap_or(0);
    let to = node.steps.iter().map(|step| step.ends_ms).max().unwrap_or(0);
    if to > from {
        parts.push(words::span(to - from));
    }
    if node.steps.iter().any(|step| step.approval.is_some() || step.manual) {
        parts.push("people".to_owned());
    }
    if parts.is_empty() { "reads".to_owned() } else { parts.join(" ") }
}

/// How a box is coloured: by the gravest that is to be said of it.
fn state(node: &Node<'_>) -> &'static str {
    let any = |so: &dyn Fn(&PlannedStep) -> bool| node.steps.iter().any(|step| so(step));
    let basis = |basis: Basis| any(&|step| step.calls.iter().any(|call| call.basis == basis && call.writes));
    if any(&|step| matches!(step.outcome, StepOutcome::Fails { .. })) {
        "fails"
    } else if node
        .steps
        .iter()
        .all(|step| matches!(step.outcome, StepOutcome::Skipped { .. } | StepOutcome::NotReached | StepOutcome::Done))
    {
        "off"
    } else if basis(Basis::Opaque) {
        "opaque"
    } else if any(&|step| matches!(step.outcome, StepOutcome::Unknown { .. })) || basis(Basis::Unknown) {
        "unknown"
    } else if basis(Basis::Predicted) {
        "predicted"
    } else {
        "exact"
    }
}
