//! The paths through a step, from the ways that were followed: they part at the questions, and a loop leads back to where it began.

use super::bound::MAX_ROUNDS;
use super::way::{Event, LoopId};
use super::ways::Followed;
use crate::model::paths::{Builder, PathEffect, Paths};
use crate::script::current::LoopKind;

/// A loop that the ways are in: which, how it goes round, and where it begins.
#[derive(Clone)]
struct Loop<'w> {
    id: &'w LoopId,
    kind: LoopKind,
    place: u32,
}

/// What happened on all of some ways, made ready to be put together from its end.
enum Part {
    Effect(PathEffect),
    Entered(u32),
    Left { place: u32, kind: LoopKind, again: bool },
}

/// Which effects may follow which; `None` where they simply follow each other.
pub(super) fn of(ways: &[&Followed]) -> Option<Paths> {
    let plain = |way: &&Followed| way.events.iter().all(|event| matches!(event, Event::Effect(_)));
    if let [way] = ways
        && plain(way)
    {
        return None;
    }
    let mut builder = Builder::default();
    let start = together(&mut builder, ways, 0, 0, Vec::new());
    Some(builder.built(start))
}

/// Where ways begin that have their first events and answers in common.
fn together<'w>(b: &mut Builder, ways: &[&'w Followed], from: usize, asked: usize, mut loops: Vec<Loop<'w>>) -> u32 {
    let Some(first) = ways.first() else { return b.end() };
    let mut parts = Vec::new();
    let mut at = from;
    let mut after = None;
    while let Some(event) = first.events.get(at) {
        at += 1;
        match event {
            Event::Effect(number) => {
                if let Some(call) = first.calls.get(*number) {
                    let depth = u32::try_from(loops.len()).unwrap_or(u32::MAX);
                    let at_most = (depth > 0).then(|| (MAX_ROUNDS as u64).saturating_pow(depth));
                    parts.push(Part::Effect(PathEffect {
                        op: call.op.name.to_owned(),
                        args: call.args.clone(),
                        at_most,
                    }));
                }
            }
            Event::Entered(id, kind) => {
                let place = b.place();
                loops.push(Loop { id, kind: *kind, place });
                parts.push(Part::Entered(place));
            }
            Event::Left(id, again) => {
                if let Some(found) = loops.iter().rposition(|one| one.id == id) {
                    let Loop { kind, place, .. } = loops.remove(found);
                    parts.push(Part::Left { place, kind, again: *again });
                }
            }
            Event::Again(id) => {
                after = loops.iter().rfind(|one| one.id == id).map(|one| one.place);
            }
            Event::Asked => {
                let of = |answer: bool| -> Vec<&'w Followed> {
                    let gave = |way: &&&Followed| way.taken.get(asked).is_some_and(|(_, given)| *given == answer);
                    ways.iter().filter(gave).copied().collect()
                };
                let next = [of(false), of(true)].into_iter().filter(|ways| !ways.is_empty());
                let next = next.map(|ways| together(b, &ways, at, asked + 1, loops.clone())).collect();
                after = Some(b.any(next));
                break;
            }
        }
    }
    let mut next = after.unwrap_or_else(|| b.end());
    for part in parts.into_iter().rev() {
        next = match part {
            Part::Effect(effect) => b.effect(effect, next),
            Part::Entered(place) => {
                b.lead(place, next);
                place
            }
            Part::Left { place, kind, again } => {
                if kind == LoopKind::Items {
                    // It may have had no item.
                    b.lead(place, next);
                }
                if again { b.any(vec![place, next]) } else { next }
            }
        };
    }
    next
}
