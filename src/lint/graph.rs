//! The graph of steps: which step needs which, cycles, and what a step can see.

use std::collections::{BTreeMap, BTreeSet};

use crate::playbook::diagnostic::Diagnostic;
use crate::playbook::types::{Playbook, Step};

/// The steps that each step needs, directly or through others.
pub struct Graph<'a> {
    needs: BTreeMap<&'a str, BTreeSet<&'a str>>,
}

impl<'a> Graph<'a> {
    /// Of a playbook. Works with cycles too.
    #[must_use]
    pub fn of(playbook: &'a Playbook) -> Self {
        let direct: BTreeMap<&str, &Step> = playbook.steps.iter().map(|step| (step.id.value.as_str(), step)).collect();
        let needs = direct
            .keys()
            .map(|id| {
                let mut reached = BTreeSet::new();
                let mut queue = vec![*id];
                while let Some(next) = queue.pop() {
                    for need in direct.get(next).into_iter().flat_map(|step| &step.needs) {
                        if reached.insert(need.value.as_str()) {
                            queue.push(&need.value);
                        }
                    }
                }
                (*id, reached)
            })
            .collect();
        Self { needs }
    }

    /// Whether a step's outputs stand before another begins.
    #[must_use]
    pub fn needs(&self, step: &str, other: &str) -> bool {
        self.needs.get(step).is_some_and(|needs| needs.contains(other))
    }

    /// The steps whose outputs a step can see.
    #[must_use]
    pub fn visible(&self, step: &str) -> Vec<&'a str> {
        self.needs.get(step).map(|needs| needs.iter().copied().collect()).unwrap_or_default()
    }
}

/// What is wrong with the graph.
pub fn check(playbook: &Playbook, graph: &Graph<'_>, found: &mut Vec<Diagnostic>) {
    let ids: Vec<&str> = playbook.steps.iter().map(|step| step.id.value.as_str()).collect();
    for (index, step) in playbook.steps.iter().enumerate() {
        if let Some(first) = playbook.steps.iter().take(index).find(|other| other.id.value == step.id.value) {
            found.push(
                Diagnostic::error("duplicate-step", step.id.span, format!("there are two steps `{}`", step.id.value))
                    .label("the second of this name")
                    .related(first.id.span, "the first")
                    .hint("give one of them another name"),
            );
        }
        for (position, need) in step.needs.iter().enumerate() {
            if !ids.contains(&need.value.as_str()) {
                let others = ids.iter().copied().filter(|id| *id != step.id.value);
                found.push(
                    Diagnostic::error("unknown-step", need.span, format!("there is no step `{}`", need.value))
                        .label("needed here")
                        .likely(&need.value, others),
                );
            } else if step.needs.iter().take(position).any(|other| other.value == need.value) {
                found.push(
                    Diagnostic::warning("duplicate-need", need.span, format!("`{}` is needed twice", need.value))
                        .label("again")
                        .hint("remove one of them"),
                );
            }
        }
    }
    cycles(playbook, graph, found);
}

/// Each cycle once, as a path that begins and ends with its first step in the order of the playbook.
fn cycles(playbook: &Playbook, graph: &Graph<'_>, found: &mut Vec<Diagnostic>) {
    let mut told: BTreeSet<&str> = BTreeSet::new();
    for step in &playbook.steps {
        let id = step.id.value.as_str();
        if told.contains(id) || !graph.needs(id, id) {
            continue;
        }
        let Some(path) = way_back(playbook, step) else { continue };
        told.extend(path.iter().map(|step| step.id.value.as_str()));
        let mut names: Vec<&str> = path.iter().map(|step| step.id.value.as_str()).collect();
        names.push(&step.id.value);
        let next = path.get(1).map_or(step.id.value.as_str(), |step| &step.id.value);
        let place = step.needs.iter().find(|need| need.value == next).map_or(step.id.span, |need| need.span);
        let message = match path.len() {
            1 => format!("step `{}` needs itself", step.id.value),
            _ => format!("steps need each other in a circle: {}", names.join(" -> ")),
        };
        let mut diagnostic = Diagnostic::error("cycle", place, message)
            .label("the circle begins here")
            .hint("remove one of these needs: none of the steps could ever start");
        for (at, step) in path.iter().enumerate().skip(1) {
            let next = path.get(at + 1).or(path.first()).map_or("", |next| next.id.value.as_str());
            if let Some(need) = step.needs.iter().find(|need| need.value == next) {
                diagnostic = diagnostic.related(need.span, format!("`{}` needs `{next}`", step.id.value));
            }
        }
        found.push(diagnostic);
    }
}

/// The shortest way along `needs` from a step back to itself.
fn way_back<'a>(playbook: &'a Playbook, start: &'a Step) -> Option<Vec<&'a Step>> {
    let mut from: BTreeMap<&str, &Step> = BTreeMap::new();
    let mut queue = std::collections::VecDeque::from([start]);
    while let Some(step) = queue.pop_front() {
        for need in &step.needs {
            if need.value == start.id.value {
                let mut path = vec![step];
                let mut at = step;
                while at.id.value != start.id.value {
                    at = from.get(at.id.value.as_str())?;
                    path.push(at);
                }
                path.reverse();
                return Some(path);
            }
            let Some(next) = playbook.step(&need.value) else { continue };
            if next.id.value != start.id.value && !from.contains_key(next.id.value.as_str()) {
                from.insert(&next.id.value, step);
                queue.push_back(next);
            }
        }
    }
    None
}
