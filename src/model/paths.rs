//! The paths that the effects of a step can take: which may come first, and which may follow which.
//!
//! A graph: each node is an effect or none, and names those that may come next. A loop leads back to its beginning. What a run does is
//! within it when its effects, in their order, are met on some walk from the start; a run may stop anywhere.

use std::collections::{BTreeSet, HashMap};

use serde::{Deserialize, Serialize};

use super::Value;

/// The paths through one step.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Paths {
    /// The effects on them, each once.
    pub effects: Vec<PathEffect>,
    nodes: Vec<Node>,
    start: u32,
}

/// An effect on a path.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PathEffect {
    /// The operation.
    pub op: String,
    /// Its arguments; what only the run knows is marked as unknown.
    pub args: Value,
    /// How often it may be made at most, where it stands in a loop.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub at_most: Option<u64>,
}

/// An effect, by its number, and what may come after it.
#[derive(Clone, Debug, Default, PartialEq, Eq, Hash, Serialize, Deserialize)]
struct Node(Option<u32>, Vec<u32>);

impl Paths {
    /// One path.
    pub fn sequence(effects: impl DoubleEndedIterator<Item = PathEffect>) -> Self {
        let mut builder = Builder::default();
        let mut start = builder.end();
        for effect in effects.rev() {
            start = builder.effect(effect, start);
        }
        builder.built(start)
    }

    /// Whether effects, in their order, are the beginning of a path; `fits` tells whether a planned one can be the one made.
    pub fn admit<T>(&self, made: &[T], fits: impl Fn(&PathEffect, &T) -> bool) -> bool {
        let mut here = BTreeSet::new();
        self.reach(self.start, &mut here);
        for (number, one) in made.iter().enumerate() {
            let (mut next, mut met) = (BTreeSet::new(), false);
            for node in here.iter().filter_map(|node| self.node(*node)) {
                let Some(effect) = node.0.and_then(|effect| self.effects.get(effect as usize)) else { continue };
                if !fits(effect, one) {
                    continue;
                }
                let before = || made[..number].iter().filter(|other| fits(effect, other)).count() as u64;
                if effect.at_most.is_none_or(|most| before() < most) {
                    met = true;
                    node.1.iter().for_each(|after| self.reach(*after, &mut next));
                }
            }
            if !met {
                return false;
            }
            here = next;
        }
        true
    }

    fn node(&self, node: u32) -> Option<&Node> {
        self.nodes.get(node as usize)
    }

    /// All nodes that are reached from one without an effect, itself included.
    fn reach(&self, from: u32, found: &mut BTreeSet<u32>) {
        let mut open = vec![from];
        while let Some(node) = open.pop() {
            if found.insert(node)
                && let Some(Node(None, next)) = self.node(node)
            {
                open.extend(next);
            }
        }
    }
}

/// Builds [`Paths`] from their ends to their beginning; equal parts are kept once.
#[derive(Debug, Default)]
pub struct Builder {
    paths: Paths,
    numbers: HashMap<String, u32>,
    known: HashMap<Node, u32>,
}

impl Builder {
    fn add(&mut self, node: Node) -> u32 {
        let number = u32::try_from(self.paths.nodes.len()).unwrap_or(u32::MAX);
        self.paths.nodes.push(node);
        number
    }

    fn once(&mut self, node: Node) -> u32 {
        if let Some(number) = self.known.get(&node) {
            return *number;
        }
        let number = self.add(node.clone());
        self.known.insert(node, number);
        number
    }

    /// Where nothing comes after.
    pub fn end(&mut self) -> u32 {
        self.once(Node::default())
    }

    /// An effect, and what comes after it.
    pub fn effect(&mut self, effect: PathEffect, next: u32) -> u32 {
        let key = format!("{} {:?} {}", effect.op, effect.at_most, effect.args);
        let number = match self.numbers.get(&key) {
            Some(number) => *number,
            None => {
                let number = u32::try_from(self.paths.effects.len()).unwrap_or(u32::MAX);
                self.paths.effects.push(effect);
                self.numbers.insert(key, number);
                number
            }
        };
        self.once(Node(Some(number), vec![next]))
    }

    /// Any of several.
    pub fn any(&mut self, mut next: Vec<u32>) -> u32 {
        next.sort_unstable();
        next.dedup();
        match next.as_slice() {
            [one] => *one,
            _ => self.once(Node(None, next)),
        }
    }

    /// A place that is led to before it is known what comes after it: the beginning of a loop.
    pub fn place(&mut self) -> u32 {
        self.add(Node::default())
    }

    /// Something that comes after a [`Builder::place`].
    pub fn lead(&mut self, place: u32, next: u32) {
        if let Some(Node(_, after)) = self.paths.nodes.get_mut(place as usize)
            && !after.contains(&next)
        {
            after.push(next);
        }
    }

    /// The whole, with where it begins.
    #[must_use]
    pub fn built(mut self, start: u32) -> Paths {
        self.paths.start = start;
        self.paths
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use proptest::prelude::*;

    fn effect(op: &str) -> PathEffect {
        PathEffect { op: op.to_owned(), args: Value::Null, at_most: None }
    }

    fn admits(paths: &Paths, made: &str) -> bool {
        let made: Vec<String> = made.chars().map(String::from).collect();
        paths.admit(&made, |effect, op| effect.op == *op)
    }

    #[test]
    fn one_path_may_be_left_off_and_not_left() {
        let paths = Paths::sequence(["a", "b", "c"].map(effect).into_iter());
        for within in ["", "a", "ab", "abc"] {
            assert!(admits(&paths, within), "{within}");
        }
        for outside in ["b", "ac", "aa", "abcc", "x"] {
            assert!(!admits(&paths, outside), "{outside}");
        }
    }

    #[test]
    fn one_of_two_is_taken_and_what_follows_hangs_on_it() {
        let mut b = Builder::default();
        let end = b.end();
        let (d, e) = (b.effect(effect("d"), end), b.effect(effect("e"), end));
        let (yes, no) = (b.effect(effect("b"), d), b.effect(effect("c"), e));
        let fork = b.any(vec![yes, no]);
        let start = b.effect(effect("a"), fork);
        let paths = b.built(start);
        assert!(admits(&paths, "abd") && admits(&paths, "ace"));
        assert!(!admits(&paths, "abe") && !admits(&paths, "abc") && !admits(&paths, "ad"));
    }

    #[test]
    fn a_loop_goes_round_whole_and_has_an_end() {
        let mut b = Builder::default();
        let end = b.end();
        let after = b.effect(effect("z"), end);
        let entry = b.place();
        let again = b.any(vec![entry, after]);
        let second = b.effect(PathEffect { at_most: Some(3), ..effect("y") }, again);
        let first = b.effect(effect("x"), second);
        b.lead(entry, first);
        b.lead(entry, after);
        let paths = b.built(entry);
        for within in ["", "z", "xyz", "xyxyz", "xyxyxyz"] {
            assert!(admits(&paths, within), "{within}");
        }
        for outside in ["y", "xz", "xx", "xyxyxyxyz", "zz"] {
            assert!(!admits(&paths, outside), "{outside}");
        }
    }

    #[test]
    fn equal_parts_are_kept_once() {
        let mut b = Builder::default();
        let end = b.end();
        let (one, two) = (b.effect(effect("a"), end), b.effect(effect("a"), end));
        assert_eq!((one, b.any(vec![one, two])), (two, one));
    }

    proptest! {
        /// A graph from anywhere is walked to an end, whatever its numbers are.
        #[test]
        fn a_graph_that_somebody_wrote_does_no_harm(
            nodes in prop::collection::vec((prop::option::of(0_u32..4), prop::collection::vec(0_u32..9, 0..4)), 0..9),
            start in 0_u32..9,
            made in "[ab]{0,9}",
        ) {
            let nodes = nodes.into_iter().map(|(effect, next)| Node(effect, next)).collect();
            let paths = Paths { effects: ["a", "b"].map(effect).into(), nodes, start };
            admits(&paths, &made);
        }
    }
}
