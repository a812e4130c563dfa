//! The calls of a step as a reader follows them: reads folded into one line, alternatives under their question, rounds under
//! their loop.

use crate::model::forecast::{Basis, Decision, WITHIN};
use crate::ops::Effect;
use crate::plan::PlannedCall;

/// Begins the name of a loop over the items of something.
pub const EACH: &str = "each of ";

/// A part of what a step does.
#[derive(Debug)]
pub enum Block<'p> {
    /// Reads one after the other, none of them refused.
    Reads(Vec<&'p PlannedCall>),
    /// One call.
    Call(&'p PlannedCall),
    /// What follows from either answer to a question that only the run can answer.
    Branch {
        /// The question.
        question: &'p str,
        /// If so.
        yes: Vec<Block<'p>>,
        /// If not.
        no: Vec<Block<'p>>,
    },
    /// One round of a loop over what only the run will know.
    Loop {
        /// Which: `each of steps.list.names`, `each round of the loop in line 3`.
        which: &'p str,
        /// How often at most, in words; empty when that cannot be said.
        most: String,
        /// The round.
        body: Vec<Block<'p>>,
    },
}

/// The calls of a step, whose decisions all begin with so many that stand for the step as a whole.
#[must_use]
pub fn blocks<'p>(calls: &'p [PlannedCall], supposed: usize) -> Vec<Block<'p>> {
    let all: Vec<&PlannedCall> = calls.iter().collect();
    nest(&all, supposed, None)
}

fn nest<'p>(calls: &[&'p PlannedCall], depth: usize, within: Option<&str>) -> Vec<Block<'p>> {
    let mut blocks: Vec<Block<'p>> = Vec::new();
    let mut rest = calls;
    while let Some(&first) = rest.first() {
        let entered = entered(first, within);
        let decision = first.branch.get(depth);
        let round = run(rest, |call| entered.is_some_and(|(path, _)| stands_in(call, path)));
        // A loop that stands wholly under one answer is shown under it, and any other around its questions.
        let under_one = decision.is_some() && round.iter().all(|call| call.branch.get(depth) == decision);
        if let Some((path, which)) = entered.filter(|_| !under_one) {
            // What stands deeper is made more often than this goes round.
            let own = round.iter().filter(|call| call.repeated.as_deref() == Some(path));
            let most = own.filter_map(|call| call.at_most).max().map_or_else(String::new, |most| {
                format!(", at most {most} times{}", if within.is_none() { "" } else { " in all" })
            });
            blocks.push(Block::Loop { which, most, body: nest(round, depth, Some(path)) });
            rest = &rest[round.len()..];
        } else if let Some(Decision { question, .. }) = decision {
            let asked = run(rest, |call| call.branch.get(depth).is_some_and(|of| of.question == *question));
            let side = |answer: bool| {
                let of: Vec<&PlannedCall> = asked
                    .iter()
                    .copied()
                    .filter(|call| call.branch.get(depth).is_some_and(|it| it.answer == answer))
                    .collect();
                nest(&of, depth + 1, within)
            };
            blocks.push(Block::Branch { question, yes: side(true), no: side(false) });
            rest = &rest[asked.len()..];
        } else {
            match blocks.last_mut() {
                Some(Block::Reads(reads)) if folds(first) => reads.push(first),
                _ if folds(first) => blocks.push(Block::Reads(vec![first])),
                _ => blocks.push(Block::Call(first)),
            }
            rest = &rest[1..];
        }
    }
    blocks
}

/// The loop that a call stands in next below those of `within`: with all around it, and alone.
fn entered<'p>(call: &'p PlannedCall, within: Option<&str>) -> Option<(&'p str, &'p str)> {
    let all = call.repeated.as_deref()?;
    let inner = match within {
        Some(within) => all.strip_prefix(within)?.strip_prefix(WITHIN)?,
        None => all,
    };
    let which = inner.split(WITHIN).next()?;
    let path = all.get(..all.len() - inner.len() + which.len())?;
    Some((path, which))
}

/// Whether a call stands in this loop, or in one in it.
fn stands_in(call: &PlannedCall, path: &str) -> bool {
    let rest = call.repeated.as_deref().and_then(|all| all.strip_prefix(path));
    rest.is_some_and(|rest| rest.is_empty() || rest.starts_with(WITHIN))
}

/// As many of the first calls as are so.
fn run<'a, 'p>(calls: &'a [&'p PlannedCall], so: impl Fn(&PlannedCall) -> bool) -> &'a [&'p PlannedCall] {
    let many = calls.iter().take_while(|call| so(call)).count();
    &calls[..many]
}

/// Whether a call may stand with others in one line: it only looks, and it was answered.
fn folds(call: &PlannedCall) -> bool {
    let looks = crate::ops::find(&call.op).is_some_and(|op| matches!(op.effect, Effect::Read | Effect::Value));
    looks && !call.writes && call.refused.is_none()
}

/// `12 reads, all exact`; `12 reads: 9 exact, 3 unknown`.
#[must_use]
pub fn reads(calls: &[&PlannedCall]) -> String {
    let noun = if calls.len() == 1 { "read" } else { "reads" };
    let parts: Vec<(Basis, usize)> = [Basis::Exact, Basis::Predicted, Basis::Unknown, Basis::Opaque]
        .into_iter()
        .map(|basis| (basis, calls.iter().filter(|call| call.basis == basis).count()))
        .filter(|(_, count)| *count > 0)
        .collect();
    match parts.as_slice() {
        [(basis, 1)] => format!("1 {noun}, {}", basis.as_str()),
        [(basis, count)] => format!("{count} {noun}, all {}", basis.as_str()),
        _ => {
            let parts: Vec<String> = parts.iter().map(|(basis, count)| format!("{count} {}", basis.as_str())).collect();
            format!("{} {noun}: {}", calls.len(), parts.join(", "))
        }
    }
}
