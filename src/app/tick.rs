//! From a tick of a schedule to a run that can begin.

use super::{App, AppError, DrillOrder, Identity, Start};
use crate::playbook::params::Given;
use crate::schedule::scheduler::Begin;

impl App {
    /// Loads and checks what a schedule runs, evaluates its parameters, and gives it the identity of its tick.
    ///
    /// # Errors
    /// As [`App::prepare`], or [`App::prepare_drill`] where it is drilled.
    pub fn prepare_tick(&self, begin: &Begin<'_>) -> Result<Start, AppError> {
        let (schedule, identity) = (begin.schedule, Identity { run: begin.run.clone(), seed: begin.seed });
        let given = Given { values: schedule.params.clone(), ..Given::default() };
        let start = if schedule.drill {
            let order = DrillOrder { identity: Some(identity.clone()), ..DrillOrder::default() };
            self.prepare_drill(&schedule.origin, given, &order)?
        } else {
            self.prepare(&schedule.origin, &given)?
        };
        Ok(Start { by: Some(begin.by.clone()), identity: Some(identity), ..start })
    }
}
