//! All ways through a step of a plan: followed one after the other, then put together again, so that a call that is made whatever the
//! answers are stands there once.

use std::collections::{BTreeMap, BTreeSet};
use std::rc::Rc;
use std::sync::Arc;

use super::cell::RunCell;
use super::driver::{Host, Inner};
use super::error::EngineError;
use super::paths;
use super::way::{Event, Fork, LoopId, Over, Way, WayCall};
use crate::journal::record::Outcome;
use crate::model::fault::OpError;
use crate::model::forecast::{Basis, Decision, WayEnd};
use crate::model::paths::Paths;
use crate::model::unknown;
use crate::model::{StepPath, Value};
use crate::ops::foresight::Mark;
use crate::script::{Calls, ScriptError};

/// Ways through one step that are followed.
pub const MAX_WAYS: usize = 32;

/// How a way ended.
#[derive(Clone, Debug)]
pub(super) enum End {
    Returns(Value),
    Throws(OpError),
    /// It goes on in a loop that has been shown.
    GoesOn,
    Unfollowed(String),
}

impl End {
    pub fn told(&self) -> WayEnd {
        match self {
            Self::Returns(_) => WayEnd::Returns,
            Self::Throws(error) => WayEnd::Stops { message: error.message.clone() },
            Self::GoesOn => WayEnd::GoesOn,
            Self::Unfollowed(why) => WayEnd::Unfollowed { why: why.clone() },
        }
    }
}

/// A way that was followed to its end.
pub(super) struct Followed {
    pub taken: Vec<(String, bool)>,
    pub calls: Vec<WayCall>,
    pub events: Vec<Event>,
    end: End,
    mark: Option<Mark>,
}

/// What all ways come to.
#[derive(Debug, Default)]
pub(super) struct Ways {
    pub calls: Vec<(Vec<Decision>, WayCall)>,
    pub ends: Vec<(Vec<Decision>, End, Option<Mark>)>,
    /// Which effects may follow which; `None` where they simply follow each other.
    pub paths: Option<Paths>,
    /// Ways that were not followed.
    pub left: usize,
}

impl Ways {
    /// Whether there is but one.
    pub fn is_one(&self) -> bool {
        self.left == 0 && self.ends.len() == 1
    }
}

impl Inner {
    /// Follows every way through something. `known` are the calls that have been made already, in order.
    pub(super) fn follow_ways(
        self: &Arc<Self>,
        cell: &Arc<RunCell>,
        step: &StepPath,
        attempt: Option<u32>,
        each: Option<&str>,
        known: Vec<WayCall>,
        evaluate: &dyn Fn(Rc<dyn Calls>) -> Result<Value, ScriptError>,
    ) -> Result<Ways, EngineError> {
        let pure = attempt.is_none();
        let host = match &self.host {
            Host::Planning(host) if !pure => Some(host),
            _ => None,
        };
        // Ways that differ from the first in fewer answers come first: so every question is seen answered both ways before
        // combinations are.
        let mut open = BTreeMap::from([((0usize, 0usize), Fork { calls: known, ..Fork::default() })]);
        let mut doubted: Rc<BTreeSet<LoopId>> = Rc::default();
        let mut entries: BTreeMap<LoopId, Fork> = BTreeMap::new();
        let mut passed = BTreeSet::new();
        let mut followed: Vec<Followed> = Vec::new();
        let mut number = 1;
        while followed.len() < MAX_WAYS {
            let Some(((deviations, _), fork)) = open.pop_first() else {
                // A loop behind which no way has come may go round not even once: then what follows it is come to.
                let Some((id, fork)) = entries.pop_first() else { break };
                if !passed.contains(&id) {
                    followed.retain(|way: &Followed| !begins_with(way, &fork.answers));
                    entries.retain(|(answers, _), _| !answers.starts_with(&fork.answers));
                    Rc::make_mut(&mut doubted).insert(id);
                    open.insert((fork.answers.iter().filter(|answer| **answer).count(), number), fork);
                    number += 1;
                }
                continue;
            };
            if let (Some(host), Some(mark)) = (host, fork.mark) {
                host.rewind(mark);
            }
            let way = Rc::new(Way::new(self, cell, step, attempt.unwrap_or(1), pure, fork, each, &doubted));
            let outcome = evaluate(Rc::clone(&way) as Rc<dyn Calls>);
            let mut state = way.state.borrow_mut();
            let end = match (state.over.take(), outcome) {
                (Some(Over::Broken(error)), _) => return Err(error),
                (Some(Over::Unfollowed(why)), _) => End::Unfollowed(why),
                (Some(Over::Covered), _) => End::GoesOn,
                (None, Ok(value)) => End::Returns(self.scrub(value)),
                (None, Err(error)) if error.unknown => End::Unfollowed(error.message),
                (None, Err(error)) => End::Throws(error.into_op_error()),
            };
            for fork in state.forks.drain(..) {
                open.insert((deviations + 1, number), fork);
                number += 1;
            }
            entries.append(&mut state.entries);
            passed.append(&mut state.passed);
            let several = !open.is_empty() || !entries.is_empty() || !followed.is_empty();
            let mark = host.filter(|_| several).map(|host| host.mark());
            let (taken, calls) = (std::mem::take(&mut state.taken), std::mem::take(&mut state.calls));
            let events = std::mem::take(&mut state.events);
            followed.push(Followed { taken, calls, events, end, mark });
        }
        // A loop that was still to be doubted is a way that was not followed.
        let doubts = entries.keys().filter(|id| !passed.contains(*id)).count();
        let all: Vec<&Followed> = followed.iter().collect();
        let merged = merge(&all, 0);
        Ok(Ways { calls: merged.calls, ends: merged.ends, paths: paths::of(&all), left: open.len() + doubts })
    }
}

fn begins_with(way: &Followed, answers: &[bool]) -> bool {
    way.taken.len() >= answers.len() && way.taken.iter().zip(answers).all(|((_, given), answer)| given == answer)
}

#[derive(Default)]
struct Merged {
    calls: Vec<(Vec<Decision>, WayCall)>,
    ends: Vec<(Vec<Decision>, End, Option<Mark>)>,
}

impl Merged {
    /// Whether nothing follows that is shown here: the step stops, or what it does next has been shown as a round of a loop.
    fn stops(&self) -> bool {
        self.ends.iter().all(|(_, end, _)| matches!(end, End::Throws(_) | End::GoesOn))
    }

    fn under(mut self, decision: &Decision) -> Self {
        for (branch, _) in &mut self.calls {
            branch.insert(0, decision.clone());
        }
        for (branch, _, _) in &mut self.ends {
            branch.insert(0, decision.clone());
        }
        self
    }
}

/// Puts ways together that have their first `depth` answers in common.
fn merge(ways: &[&Followed], depth: usize) -> Merged {
    let Some(first) = ways.first() else { return Merged::default() };
    let own = first.calls.iter().filter(|call| call.depth == depth).map(|call| (Vec::new(), call.clone()));
    let Some((question, _)) = first.taken.get(depth) else {
        return Merged { calls: own.collect(), ends: vec![(Vec::new(), first.end.clone(), first.mark)] };
    };
    let of = |answer: bool| -> Vec<&Followed> {
        ways.iter().copied().filter(|way| way.taken.get(depth).is_some_and(|(_, given)| *given == answer)).collect()
    };
    let (yes, no) = (of(true), of(false));
    let whole = !yes.is_empty() && !no.is_empty();
    let (yes, no) = (merge(&yes, depth + 1), merge(&no, depth + 1));
    let decision = |answer: bool| Decision { question: question.clone(), answer };
    // Where one answer stops the step, the rest is what the step does.
    let (yes_stops, no_stops) = (whole && yes.stops(), whole && no.stops());
    let mut calls: Vec<_> = own.collect();
    let common = common(&yes.calls, &no.calls);
    let (mut y, mut n) = (yes.calls.into_iter().peekable(), no.calls.into_iter().peekable());
    let (mut yes_at, mut no_at) = (0, 0);
    let under = |(mut branch, call): (Vec<Decision>, WayCall), answer: bool, other_stops: bool, stops: bool| {
        if !other_stops || stops {
            branch.insert(0, decision(answer));
        }
        (branch, call)
    };
    for (yes_to, no_to) in common.into_iter().chain([(usize::MAX, usize::MAX)]) {
        // What is done before stopping comes first: what the step does otherwise stands there as if it were sure.
        for answer in [!no_stops || yes_stops, no_stops && !yes_stops] {
            if answer {
                while yes_at < yes_to
                    && let Some(call) = y.next()
                {
                    calls.push(under(call, true, no_stops, yes_stops));
                    yes_at += 1;
                }
            } else {
                while no_at < no_to
                    && let Some(call) = n.next()
                {
                    calls.push(under(call, false, yes_stops, no_stops));
                    no_at += 1;
                }
            }
        }
        if let (Some((branch, yes)), Some((_, no))) = (y.next(), n.next()) {
            calls.push((branch, either(yes, no, question)));
            (yes_at, no_at) = (yes_at + 1, no_at + 1);
        }
    }
    let ends = |part: Vec<(Vec<Decision>, End, Option<Mark>)>, answer: bool, plain: bool| {
        let part = Merged { calls: Vec::new(), ends: part };
        if plain { part.ends } else { part.under(&decision(answer)).ends }
    };
    let mut all = ends(yes.ends, true, no_stops && !yes_stops);
    all.extend(ends(no.ends, false, yes_stops && !no_stops));
    Merged { calls, ends: all }
}

/// A call that is made whatever the answer is: of what it finds and does, what can be said in both cases.
fn either(yes: WayCall, no: WayCall, question: &str) -> WayCall {
    if yes.outcome == no.outcome && yes.basis == no.basis {
        return yes;
    }
    let why = format!("it hangs on `{question}`");
    let (mut weaker, other) = if no.basis > yes.basis { (no, yes) } else { (yes, no) };
    if let (Outcome::Done { result, .. }, Outcome::Done { result: also, .. }) = (&mut weaker.outcome, &other.outcome)
        && result != also
    {
        *result = unknown::joined(&[result.clone(), also.clone()], &why, weaker.op.name);
        if weaker.basis < Basis::Unknown {
            (weaker.basis, weaker.reason) = (Basis::Unknown, why);
        }
    }
    weaker.takes_ms = weaker.takes_ms.max(other.takes_ms);
    weaker
}

/// The places of calls that both have in the same order.
fn common(a: &[(Vec<Decision>, WayCall)], b: &[(Vec<Decision>, WayCall)]) -> Vec<(usize, usize)> {
    let same = |x: &(Vec<Decision>, WayCall), y: &(Vec<Decision>, WayCall)| {
        let both_done = matches!((&x.1.outcome, &y.1.outcome), (Outcome::Done { .. }, Outcome::Done { .. }));
        x.0 == y.0
            && x.1.op == y.1.op
            && x.1.args == y.1.args
            && x.1.repeated == y.1.repeated
            && (both_done || x.1.outcome == y.1.outcome)
    };
    let head = a.iter().zip(b).take_while(|(x, y)| same(x, y)).count();
    let tail = a[head..].iter().rev().zip(b[head..].iter().rev()).take_while(|(x, y)| same(x, y)).count();
    let (x, y) = (&a[head..a.len() - tail], &b[head..b.len() - tail]);
    let mut places: Vec<(usize, usize)> = (0..head).map(|at| (at, at)).collect();
    // The longest common sequence, unless that would take long: then what differs is simply shown twice.
    if x.len().saturating_mul(y.len()) <= 1_000_000 && !x.is_empty() && !y.is_empty() {
        let width = y.len() + 1;
        let mut longest = vec![0u32; (x.len() + 1) * width];
        for i in (0..x.len()).rev() {
            for j in (0..y.len()).rev() {
                longest[i * width + j] = if same(&x[i], &y[j]) {
                    longest[(i + 1) * width + j + 1] + 1
                } else {
                    longest[(i + 1) * width + j].max(longest[i * width + j + 1])
                };
            }
        }
        let (mut i, mut j) = (0, 0);
        while i < x.len() && j < y.len() {
            if same(&x[i], &y[j]) {
                places.push((head + i, head + j));
                (i, j) = (i + 1, j + 1);
            } else if longest[(i + 1) * width + j] >= longest[i * width + j + 1] {
                i += 1;
            } else {
                j += 1;
            }
        }
    }
    places.extend((0..tail).rev().map(|back| (a.len() - 1 - back, b.len() - 1 - back)));
    places
}
