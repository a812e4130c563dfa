//! What is left of a run, planned from where it stands; and a run that goes on under such a plan.

use std::sync::Arc;

use super::bind::{fails, is_over};
use super::{App, AppError, Stale, sandbox};
use crate::engine::rest;
use crate::journal::{Fact, Record, Store as _};
use crate::model::command::Order;
use crate::model::status::{Mode, RunStatus};
use crate::model::{RunId, Value};
use crate::plan::Plan;
use crate::plan::file::{Base, PlanFile};
use crate::sandbox::Overlay;
use crate::script::Program;

impl App {
    /// Goes through what is left of a run without sending any effect, over the system it works on or the world it has in the
    /// sandbox. Returns the records of the plan.
    ///
    /// # Errors
    /// When it has ended, is being rolled back, or somebody is carrying it on right now; when its journal or its world cannot be read.
    pub fn plan_rest(&self, run: &RunId) -> Result<(Vec<Record>, Arc<Program>, Base), AppError> {
        let head = self.store.head(run)?;
        if head.status.is_terminal() {
            return Err(AppError::Over { run: run.clone(), status: head.status.as_str() });
        }
        if let (Some(holder), RunStatus::Running) = (head.holder, head.status) {
            return Err(AppError::Held { run: run.clone(), holder: Box::new(holder) });
        }
        let bundle = self.bundle_of(run)?;
        let records = self.records(run)?;
        let models = crate::script::models::compile(&bundle.models)?;
        let (params, mode) = match records.first().map(|record| &record.fact) {
            Some(Fact::RunStarted { params, mode, .. }) => (params.clone(), *mode),
            _ => (Value::Null, Mode::Live),
        };
        if mode == Mode::Sandbox {
            let kept = self.kept_worlds(run);
            let path = || kept.folder().display().to_string();
            let world = kept.latest().map_err(|error| AppError::World { path: path(), what: error.to_string() })?;
            let now = records.last().map_or(world.now, |record| record.at.max(world.now));
            let base = sandbox::base_of(&world);
            let program = self.compiled(&bundle)?;
            let host = Arc::new(Overlay::over_world(world).redacting(Arc::clone(&self.redactor)).modelled(models));
            return Ok((rest::foresee(&program, &records, host, now, &self.redactor)?, program, base));
        }
        let program = self.program(&bundle, &params)?;
        self.learn_secrets(&records);
        let foreseen = rest::foresee(&program, &records, self.plan_host(models), self.clock.now(), &self.redactor)?;
        Ok((foreseen, program, Base::Live))
    }

    /// What binds a run to a plan of what is left of it. Planning again has to give the same, and the run must stand where it stood.
    ///
    /// # Errors
    /// [`AppError::Stale`], with why it does not fit; as [`App::plan_rest`].
    pub fn rebind(&self, file: &PlanFile, run: &RunId) -> Result<Order, AppError> {
        if self.clock.now() > file.valid_until {
            return Err(Stale::Expired { until: file.valid_until }.into());
        }
        let Some(rest) = file.plan.rest.as_ref().filter(|rest| rest.run == *run && file.run == *run) else {
            return Err(Stale::OfAnother { run: run.clone() }.into());
        };
        let (records, program, base) = self.plan_rest(run)?;
        let stands = Plan::of(&records, &program).and_then(|plan| plan.rest).map(|rest| rest.moves);
        if stands != Some(rest.moves) {
            return Err(Stale::MovedOn { run: run.clone() }.into());
        }
        is_over(file, &base)?;
        fails(file)?;
        self.compare_plan(file, (&records, &program))?;
        let approvals = self.approvals_of(file, &self.settings.actor)?;
        Ok(Order::Bind { plan: self.pin(file)?, moves: rest.moves, approvals })
    }
}
