//! The fence around a drill: an effect on anything that the drill did not make is refused before its intent is written,
//! whatever the script says.
//!
//! What a drill has made is its *ledger*: a fold over the calls that are recorded. An effect is inside when everything it touches
//! was made by the drill, lies under such a thing, is made by this very effect, or is listed under `drill.shared`. Undoing what
//! the drill did is inside by itself.

use super::call::{CallKind, CallState, Undone};
use super::state::RunState;
use crate::journal::record::{Outcome, UndoPlan};
use crate::model::fault::OpError;
use crate::model::{Value, glob};
use crate::ops::{OpEntry, Request, Touch};

/// How many things of the ledger a refusal names.
const NAMED: usize = 8;

/// Something that a drill made.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Made {
    /// The number of the call.
    pub call: usize,
    /// The thing.
    pub touch: Touch,
}

fn touches(call: &CallState) -> Vec<Touch> {
    let before = match &call.kind {
        CallKind::Effect { before, .. } => before,
        _ => &Value::Null,
    };
    crate::ops::find(&call.op).map(|op| (op.touches)(&call.args, before)).unwrap_or_default()
}

fn made_by(state: &RunState, counts: impl Fn(&CallState) -> bool) -> Vec<Made> {
    let mut made: Vec<Made> = Vec::new();
    for (number, call) in state.calls.iter().enumerate() {
        if !matches!(&call.kind, CallKind::Effect { undoes: None, .. }) || !counts(call) {
            continue;
        }
        let new = touches(call).into_iter().filter(|touch| touch.makes);
        made.extend(new.map(|touch| Made { call: number, touch }));
    }
    made
}

/// What the drill has made and not taken away again.
#[must_use]
pub fn ledger(state: &RunState) -> Vec<Made> {
    made_by(state, |call| call.undone != Undone::Yes && matches!(call.outcome, None | Some(Outcome::Done { .. })))
}

/// Everything that the drill may have made, whatever became of it; the last call that made it, once for each thing.
#[must_use]
pub fn all_made(state: &RunState) -> Vec<Made> {
    let mut all: Vec<Made> = Vec::new();
    for made in made_by(state, CallState::may_have_left_something) {
        match all.iter_mut().find(|one| one.touch.resource == made.touch.resource) {
            Some(earlier) => *earlier = made,
            None => all.push(made),
        }
    }
    all
}

/// What was done to things that are not the drill's own and has not been undone: the call, the thing, and why.
#[must_use]
pub fn changed_others(state: &RunState) -> Vec<(usize, String, String)> {
    let made = all_made(state);
    let mut all = Vec::new();
    for (number, call) in state.calls.iter().enumerate() {
        let CallKind::Effect { undo, undoes: None, .. } = &call.kind else { continue };
        let rolled_back = state.step(&call.id.step).is_some_and(|step| step.rolled_back);
        if *undo == UndoPlan::Nothing || rolled_back || !call.may_have_left_something() || !call.is_forward_effect() {
            continue;
        }
        let why = match &call.undone {
            Undone::Yes => continue,
            Undone::Skipped(why) => why.clone(),
            Undone::No => "the drill was ended before".to_owned(),
        };
        let others = touches(call).into_iter().filter(|touch| !touch.makes && !is_under(touch, &made));
        all.extend(others.map(|touch| (number, touch.resource, why.clone())));
    }
    all
}

fn is_under(touch: &Touch, made: &[Made]) -> bool {
    made.iter().any(|made| touch.lies_under(&made.touch.resource))
}

fn is_shared(state: &RunState, touch: &Touch) -> bool {
    let shared = state.drill.as_ref().map_or(&[][..], |drill| &drill.pin.shared);
    let fits = |pattern: &String| {
        glob::matches(pattern, &touch.resource) || touch.under.iter().any(|under| glob::matches(pattern, under))
    };
    shared.iter().any(fits)
}

/// Whether an effect touched nothing but what the drill made.
#[must_use]
pub fn is_own(state: &RunState, call: &CallState) -> bool {
    let made = all_made(state);
    touches(call).iter().all(|touch| touch.makes || is_under(touch, &made))
}

/// What an effect would touch that the drill did not make but may touch, if there is such a thing.
#[must_use]
pub fn shared(state: &RunState, op: &OpEntry, args: &Value) -> Option<String> {
    state.drill.as_ref()?;
    let made = ledger(state);
    let touches = (op.touches)(args, &Value::Null);
    let mut others = touches.into_iter().filter(|touch| !touch.makes && !is_under(touch, &made));
    others.find(|touch| is_shared(state, touch)).map(|touch| touch.resource)
}

/// Why an effect must not be sent: it leaves the fence. Nothing outside of drills.
#[must_use]
pub fn objection(state: &RunState, request: &Request) -> Option<OpError> {
    let drill = state.drill.as_ref()?;
    let made = ledger(state);
    let touches = (request.op.touches)(&request.args, &request.before);
    let outside = touches.iter().find(|touch| !touch.makes && !is_under(touch, &made) && !is_shared(state, touch));
    let name = request.op.name;
    if let Some(outside) = outside {
        let own: Vec<&str> = made.iter().rev().take(NAMED).map(|made| made.touch.resource.as_str()).collect();
        let own = match (own.is_empty(), made.len() > NAMED) {
            (true, _) => "it has made nothing yet".to_owned(),
            (false, false) => format!("it has made {}", own.join(", ")),
            (false, true) => format!("it has made {} and {} more", own.join(", "), made.len() - NAMED),
        };
        let what = format!("{name} would touch {}, which this drill did not make", outside.resource);
        let hint = format!("{own}; what a drill may touch beside that is listed under `drill.shared` of the playbook");
        return Some(OpError::denied(what).with_hint(hint));
    }
    if touches.is_empty() {
        let what = format!("{name} does not say what it touches, and this is a drill");
        return Some(OpError::denied(what).with_hint("leave its step out of the drill: `drill: { skip: […] }`"));
    }
    if touches.iter().any(|touch| touch.makes) {
        for (pattern, most) in drill.pin.makes.iter().filter(|(pattern, _)| glob::matches(pattern, name)) {
            let by_it = made.iter().filter(|made| glob::matches(pattern, &state.calls[made.call].op)).count();
            if by_it >= *most as usize {
                let what =
                    format!("{name} would make more than the {most} things that `{pattern}` may make in a drill");
                return Some(
                    OpError::denied(what).with_hint("`drill: { limits: { makes: … } }` of the playbook says so"),
                );
            }
        }
    }
    None
}
