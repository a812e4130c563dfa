//! What a run does beyond its steps because it is a drill: it measures, it is torn down, and what it made is looked for.

use std::collections::BTreeMap;
use std::rc::Rc;
use std::sync::Arc;
use std::time::Duration;

use serde_json::Map;

use super::cell::RunCell;
use super::decide::{Settled, ending, settled};
use super::driver::Inner;
use super::effect::{Advance, later};
use super::error::EngineError;
use super::gateway::{Gateway, Seal};
use super::scope::run_scope;
use super::state::{RunState, StepStatus};
use super::sweep::Swept;
use super::unwind::engine_actor;
use crate::journal::record::{Fact, Pause};
use crate::model::amount::format_duration;
use crate::model::drill::{DrillPin, Leak, RPO, Teardown};
use crate::model::fault::ErrorClass;
use crate::model::status::RunStatus;
use crate::model::{Phase, StepPath, Timestamp, Value};
use crate::playbook::types::Step;
use crate::script::Calls;

/// The name under which what a drill measures asks the world; no step can have it.
pub const MEASURE: &str = "measure:";
/// How often an undo that fails is tried in a teardown, which no person may be there for.
const UNDO_TRIES: u32 = 3;
/// How often a measurement that fails is tried.
const MEASURE_TRIES: u32 = 3;

/// What a drill has measured.
#[derive(Clone, Debug, PartialEq)]
pub struct Measured {
    /// When the recovery was proved.
    pub proven: Timestamp,
    /// How much was lost, in milliseconds.
    pub rpo_ms: Option<i64>,
    /// What could not be measured, and why.
    pub faults: BTreeMap<String, String>,
}

/// How far a drill has got.
#[derive(Clone, Debug, PartialEq)]
pub struct DrillState {
    /// What makes it one.
    pub pin: DrillPin,
    /// What it measured.
    pub measured: Option<Measured>,
    /// Why it is being torn down.
    pub teardown: Option<Teardown>,
    /// What was found standing after its teardown.
    pub swept: Option<Vec<Leak>>,
    /// What could not be asked for its mark then, and why.
    pub unasked: BTreeMap<String, String>,
}

impl DrillState {
    /// One that has just begun.
    #[must_use]
    pub fn of(pin: DrillPin) -> Self {
        Self { pin, measured: None, teardown: None, swept: None, unasked: BTreeMap::new() }
    }

    /// The objectives that it missed, in words; none before it has measured.
    #[must_use]
    pub fn missed(&self) -> Vec<String> {
        let Some(measured) = &self.measured else { return Vec::new() };
        let rto = millis(self.pin.declared_at, measured.proven);
        let mut missed = missed("RTO", Some(rto), self.pin.rto_ms);
        missed.extend(self::missed("RPO", measured.rpo_ms, self.pin.rpo_ms));
        missed.extend(measured.faults.iter().map(|(name, why)| format!("`{name}` could not be measured: {why}")));
        missed
    }
}

/// An objective that is missed, in words.
#[must_use]
pub fn missed(name: &str, found: Option<i64>, objective: Option<u64>) -> Vec<String> {
    let (Some(found), Some(objective)) = (found.and_then(|found| u64::try_from(found).ok()), objective) else {
        return Vec::new();
    };
    let told = |millis: u64| format_duration(Duration::from_millis(millis));
    let late = found > objective;
    late.then(|| format!("{name} {} misses its objective of {}", told(found), told(objective))).into_iter().collect()
}

/// Milliseconds from one instant to another.
#[must_use]
pub fn millis(from: Timestamp, to: Timestamp) -> i64 {
    to.as_millisecond() - from.as_millisecond()
}

impl RunState {
    /// Takes in what only drills record.
    pub(super) fn drilled(&mut self, fact: &Fact) {
        match fact {
            Fact::ApprovalWaived { step, .. } => {
                let state = self.steps.entry(step.clone()).or_default();
                (state.approved, state.waived) = (true, true);
            }
            Fact::DrillMeasured { proven, rpo_ms, faults, .. } => {
                if let Some(drill) = &mut self.drill {
                    let measured = Measured { proven: *proven, rpo_ms: *rpo_ms, faults: faults.clone() };
                    drill.measured = Some(measured);
                }
            }
            Fact::TeardownBegun { teardown } => {
                self.rollback = Some(super::state::Rollback {
                    to: None,
                    only: None,
                    by: engine_actor(),
                    reason: teardown.reason(),
                    force: true,
                });
                self.pauses.clear();
                if let Some(drill) = &mut self.drill {
                    drill.teardown = Some(teardown.clone());
                }
            }
            Fact::DrillSwept { leaks, unasked, .. } => {
                if let Some(drill) = &mut self.drill {
                    (drill.swept, drill.unasked) = (Some(leaks.clone()), unasked.clone());
                }
            }
            _ => {}
        }
    }
}

/// When a drill that has not ended is torn down, whatever it does.
#[must_use]
pub fn deadline(state: &RunState) -> Option<Timestamp> {
    let limit = state.drill.as_ref()?.pin.time_limit_ms?;
    if state.is_quiescing() {
        return None;
    }
    Some(later(state.header.as_ref()?.started, Duration::from_millis(limit)))
}

/// Why a drill is over before its steps are: its time is, or a step has failed. Nobody may be there to choose.
#[must_use]
pub fn cut_short(state: &RunState, now: Timestamp) -> Option<Teardown> {
    state.drill.as_ref().filter(|_| !state.is_plan())?;
    if deadline(state).is_some_and(|deadline| now >= deadline) {
        return Some(Teardown::TimeLimit);
    }
    state.steps.iter().find_map(|(path, step)| match &step.status {
        StepStatus::Failed { error, handled: false } => {
            Some(Teardown::Failed { step: path.clone(), message: error.message.clone() })
        }
        _ => None,
    })
}

/// What a drill has to say of a step that it comes to: it may be left out.
#[must_use]
pub fn on_entry(state: &RunState, step: &Step, path: &StepPath) -> Option<Fact> {
    let drill = state.drill.as_ref()?;
    let reason = "left out by the drill".to_owned();
    let skips = drill.pin.skip.contains(&step.id.value);
    skips.then(|| Fact::StepSkipped { step: path.clone(), reason, by: None, result: None })
}

/// In a drill nobody is asked before a step begins.
#[must_use]
pub fn waived(path: &StepPath) -> Fact {
    let reason = "the drill's fence lets it touch nothing but what the drill made".to_owned();
    Fact::ApprovalWaived { step: path.clone(), reason }
}

/// When the recovery was proved: the end of the steps that prove it, or of the last step.
fn proven(state: &RunState, pin: &DrillPin) -> Option<Timestamp> {
    let ended = |proves: &dyn Fn(&str) -> bool| {
        let done = state.steps.iter().filter(|(path, step)| {
            proves(path.step()) && matches!(step.status, StepStatus::Succeeded { .. } | StepStatus::Done { .. })
        });
        done.filter_map(|(_, step)| step.ended).max()
    };
    let by_proof = ended(&|id| pin.proof.iter().any(|proof| proof == id));
    by_proof.or_else(|| ended(&|_| true))
}

/// What `measure` gave for the newest data.
enum Newest {
    At(Timestamp),
    Age(i64),
}

fn newest(value: &Value) -> Result<Newest, String> {
    let found = match value {
        Value::String(text) => text.trim().parse().ok().map(Newest::At),
        Value::Number(millis) => millis.as_i64().map(Newest::Age),
        Value::Object(fields) => {
            let millis = fields.get("unix_ms").and_then(Value::as_i64);
            millis.and_then(|millis| Timestamp::from_millisecond(millis).ok()).map(Newest::At)
        }
        _ => None,
    };
    found.ok_or_else(|| format!("it gives {value}, which is neither an instant in UTC nor milliseconds"))
}

impl Inner {
    /// Measures what a drill is for, and begins its teardown.
    pub(super) fn measure(self: &Arc<Self>, cell: &Arc<RunCell>) -> Result<Advance, EngineError> {
        let (pin, proven, scope) = {
            let core = cell.core.lock();
            let state = &core.state;
            let Some(drill) = state.drill.as_ref().filter(|drill| drill.measured.is_none()) else {
                return Ok(Advance::Ended);
            };
            if state.is_quiescing() || core.parking {
                return Ok(Advance::Stopped);
            }
            let mut scope = run_scope(state);
            let outputs = cell.program.playbook.steps.iter().filter_map(|step| match settled(state, step) {
                Settled::Output(output) => Some((step.id.value.clone(), output)),
                Settled::Open | Settled::Absent => None,
            });
            scope.steps = Value::Object(outputs.collect::<Map<_, _>>());
            (drill.pin.clone(), proven(state, &drill.pin), scope)
        };
        let (mut values, mut faults) = (BTreeMap::new(), BTreeMap::new());
        let section = cell.program.playbook.drill.as_ref();
        for (name, expr) in section.map_or(&[][..], |drill| &drill.measure) {
            let path = StepPath::of(MEASURE);
            let mut tries = 0;
            let found = loop {
                let gateway =
                    Rc::new(Gateway::new(Arc::clone(self), Arc::clone(cell), path.clone(), Phase::Verify, 1, None));
                let outcome = cell.program.script(expr, &scope, Some(Rc::clone(&gateway) as Rc<dyn Calls>));
                match gateway.into_seal(&outcome) {
                    Some(Seal::Broken(error)) => return Err(error),
                    Some(Seal::Paused) => return Ok(Advance::Paused),
                    Some(Seal::Later(_) | Seal::Stopped) | None => {}
                }
                let error = match outcome {
                    Ok(value) => break Ok(self.scrub(value)),
                    Err(error) => error.into_op_error(),
                };
                if error.class == ErrorClass::Credentials {
                    return self.pause(cell, Pause::Credentials { step: path, message: error.message });
                }
                tries += 1;
                if tries >= MEASURE_TRIES {
                    break Err(error.message);
                }
                self.clock.sleep(Duration::from_secs(1));
            };
            match found {
                // There is nothing of that kind to measure.
                Ok(Value::Null) => {}
                Ok(value) => drop(values.insert(name.value.clone(), value)),
                Err(why) => drop(faults.insert(name.value.clone(), why)),
            }
        }
        let mut core = cell.core.lock();
        let now = self.clock.now();
        let proven = proven.unwrap_or(now);
        let (mut at, mut rpo_ms) = (None, None);
        match values.get(RPO).map(newest) {
            Some(Ok(Newest::At(newest))) => (at, rpo_ms) = (Some(newest), Some(millis(newest, pin.declared_at))),
            Some(Ok(Newest::Age(age))) => rpo_ms = Some(age),
            Some(Err(why)) => drop(faults.insert(RPO.to_owned(), why)),
            None => {}
        }
        core.record(cell, Fact::DrillMeasured { proven, newest: at, rpo_ms, values, faults }, now)?;
        core.record(cell, Fact::TeardownBegun { teardown: Teardown::Over }, now)?;
        self.commit(cell, &mut core)?;
        Ok(Advance::Ended)
    }

    /// An undo failed: a person is asked. In a teardown, which nobody may be there for, it is tried again and then left out: what
    /// it leaves is found by the sweep.
    pub(super) fn undo_failed(&self, cell: &RunCell, index: usize, reason: String) -> Result<Advance, EngineError> {
        let mut core = cell.core.lock();
        let call = core.state.calls[index].id.clone();
        let teardown = core.state.drill.is_some()
            && core.state.rollback.as_ref().is_some_and(|rollback| rollback.to.is_none() && rollback.only.is_none());
        if !teardown {
            drop(core);
            return self.pause(cell, Pause::Undo { call, reason });
        }
        let now = self.clock.now();
        let tries = core.unanswered.entry(index).or_default();
        *tries += 1;
        if *tries < UNDO_TRIES {
            return Ok(Advance::Later(later(now, Duration::from_secs(u64::from(*tries)))));
        }
        core.unanswered.remove(&index);
        let own = cell.program.playbook.step(call.step.step()).is_some_and(|step| step.rollback.is_some());
        core.record(cell, Fact::UndoSkipped { call: call.clone(), reason, by: None }, now)?;
        if own {
            core.record(cell, Fact::StepRolledBack { step: call.step }, now)?;
        }
        self.commit(cell, &mut core)?;
        Ok(Advance::Ended)
    }

    /// Looks for everything that a drill made, and ends it.
    pub(super) fn end_drill(&self, cell: &RunCell) -> Result<Advance, EngineError> {
        let swept = cell.core.lock().state.drill.as_ref().and_then(|drill| drill.swept.clone());
        let leaks = match swept {
            Some(leaks) => leaks,
            None => {
                let Swept { looked, leaks, asked, unasked } = match self.sweep(cell)? {
                    Ok(found) => found,
                    Err(stop) => return Ok(stop),
                };
                let mut core = cell.core.lock();
                let fact = Fact::DrillSwept { looked, leaks: leaks.clone(), asked, unasked };
                core.record(cell, fact, self.clock.now())?;
                leaks
            }
        };
        let mut core = cell.core.lock();
        let state = &core.state;
        let Some(drill) = &state.drill else { return Ok(Advance::Ended) };
        let missed = drill.missed();
        let mut remarks: Vec<String> =
            leaks.iter().map(|leak| format!("{} is left: {}", leak.resource, leak.found)).collect();
        let unasked: Vec<String> = drill
            .unasked
            .iter()
            .map(|(what, why)| format!("whether {what} of it are left cannot be seen: {why}"))
            .collect();
        remarks.extend(unasked.iter().cloned());
        let status = match (&state.cancelling, &drill.teardown) {
            (Some((by, _)), _) => {
                remarks.insert(0, format!("cancelled by {}", by.name));
                if leaks.is_empty() { RunStatus::Cancelled } else { RunStatus::Failed }
            }
            (None, Some(Teardown::Over)) => {
                let (status, exceptions) = ending(state);
                remarks.extend(missed.iter().cloned());
                remarks.extend(exceptions);
                match (leaks.is_empty(), missed.is_empty() && unasked.is_empty()) {
                    (false, _) => RunStatus::Failed,
                    (true, false) => RunStatus::SucceededWithExceptions,
                    (true, true) => status,
                }
            }
            (None, cut_short) => {
                let why = cut_short.as_ref().map(Teardown::reason);
                let why = why.or_else(|| state.rollback.as_ref().map(|rollback| rollback.reason.clone()));
                remarks.insert(0, format!("torn down: {}", why.unwrap_or_default()));
                if leaks.is_empty() { RunStatus::RolledBack } else { RunStatus::Failed }
            }
        };
        self.finish(cell, &mut core, status, remarks)?;
        Ok(Advance::Ended)
    }
}
