//! A new run that keeps the results of another up to a step: for a mended playbook, after a failure.

use std::collections::BTreeSet;
use std::sync::Arc;

use super::start::Begin;
use super::{App, AppError, Session, Start};
use crate::engine::decide::{Settled, settled};
use crate::engine::{Observer, RunState};
use crate::journal::Fact;
use crate::model::command::Order;
use crate::model::status::Mode;
use crate::model::{RunId, StepPath};
use crate::playbook::types::Playbook;

/// The steps that a fork from `from` runs again: it, and all that need it.
#[must_use]
pub fn rerun(playbook: &Playbook, from: &str) -> BTreeSet<String> {
    let mut again = BTreeSet::from([from.to_owned()]);
    loop {
        let before = again.len();
        for step in &playbook.steps {
            if step.needs.iter().any(|need| again.contains(&need.value)) {
                again.insert(step.id.value.clone());
            }
        }
        if again.len() == before {
            return again;
        }
    }
}

impl App {
    /// Begins a run that keeps the results of `origin` for every step that `from` does not lead to. The effects of those steps
    /// belong to the origin: this run will not undo them, and says so in its record.
    ///
    /// # Errors
    /// When the origin cannot be read, has no such step, or still goes on.
    pub fn fork(
        &self,
        origin: &RunId,
        from: &str,
        start: &Start,
        observer: Arc<dyn Observer>,
    ) -> Result<Session, AppError> {
        let program = self.program(&start.bundle, &start.params)?;
        if program.playbook.step(from).is_none() {
            return Err(crate::model::fault::OpError::refused(format!(
                "there is no step `{from}` in {} {}",
                program.playbook.name.value, program.playbook.version.value
            ))
            .into());
        }
        let records = self.records(origin)?;
        let state = RunState::fold(&records)
            .map_err(|source| crate::engine::EngineError::Journal { run: origin.clone(), source })?;
        if state.drill.is_some() {
            let what =
                format!("run {origin} is a drill: what it made is gone, and a fork of it would not be fenced in");
            let error = crate::model::fault::OpError::refused(what);
            return Err(error.with_hint("`muster drill` begins another one").into());
        }
        let again = rerun(&program.playbook, from);
        let mut kept = Vec::new();
        for step in program.playbook.steps.iter().filter(|step| !again.contains(&step.id.value)) {
            if let Settled::Output(output) = settled(&state, step) {
                kept.push(Fact::StepSucceeded { step: StepPath::of(&step.id.value), output });
            }
        }
        let text = format!(
            "forked from {origin} at {from}: {} results kept; the effects behind them belong to {origin}",
            kept.len()
        );
        let by = self.starter(start);
        kept.push(Fact::Noted { by: by.clone(), text });
        self.keep_bundle(&start.bundle)?;
        let (engine, store) = (self.live_engine(), self.store());
        let begin = Begin::new(&engine, &store, program, &start.params, Mode::Live, self.clock.now(), observer);
        let identity = start.identity.clone();
        let begin = Begin { identity, by: Some(by.clone()), forked_from: Some(origin.clone()), kept: &kept, ..begin };
        let session = self.begin(begin)?;
        self.say(origin, &by, Order::Note { text: format!("forked at {from} as {}", session.run()) })?;
        Ok(session)
    }
}
