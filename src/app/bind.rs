//! Runs that are bound to a plan: only what was reviewed is run.

use std::sync::Arc;
use std::time::Duration;

use super::start::Begin;
use super::{App, AppError, Identity, Session, Start};
use crate::engine::{Engine, Observer};
use crate::journal::{Fact, Record, Store};
use crate::model::command::Actor;
use crate::model::forecast::{PlanApproval, PlanPin};
use crate::model::status::Mode;
use crate::plan::Plan;
use crate::plan::file::{Base, FORMAT, PlanFile, SealedApproval};
use crate::script::Program;

/// Why a plan is not run.
#[derive(Debug, thiserror::Error)]
pub enum Stale {
    /// Its time is over.
    #[error("the plan was valid until {until}")]
    Expired { until: crate::model::Timestamp },
    /// It was run.
    #[error("this plan was applied already, by run {run}: a plan is run once")]
    Applied { run: crate::model::RunId },
    /// It was made over something else.
    #[error("the plan was made {was}, and this would run {is}")]
    Base { was: &'static str, is: &'static str },
    /// Planning again gives something else.
    #[error("what was planned is not what would be done now")]
    Changed { differences: Vec<String> },
    /// An approval in the file does not count.
    #[error("the approval by {by} does not count: {why}")]
    Approval { by: String, why: String },
    /// It is a plan of what is left of a run.
    #[error("this is a plan of what is left of run {run}")]
    OfRest { run: crate::model::RunId },
    /// It is none of what is left of this run.
    #[error("this is no plan of what is left of run {run}")]
    OfAnother { run: crate::model::RunId },
    /// The run has moved on since it was made.
    #[error("run {run} has moved on since this plan was made")]
    MovedOn { run: crate::model::RunId },
    /// It fails already in the plan.
    #[error("the plan itself fails: {what}")]
    Fails { what: String },
}

impl App {
    /// A plan as a file, valid for so long.
    ///
    /// # Errors
    /// When the records are of no plan.
    pub fn plan_file(
        &self,
        (records, program): (&[Record], &Arc<Program>),
        playbook: &str,
        base: Base,
        valid_for: Duration,
    ) -> Result<PlanFile, AppError> {
        let unreadable =
            || AppError::System { act: "read the plan's own record", source: std::io::Error::other("it is of no run") };
        let plan = Plan::of(records, program).ok_or_else(unreadable)?;
        let Some(Fact::RunStarted { run, seed, .. }) = records.first().map(|record| &record.fact) else {
            return Err(unreadable());
        };
        let made = self.clock.now();
        let file = PlanFile {
            muster_plan: FORMAT,
            run: run.clone(),
            seed: *seed,
            made,
            by: self.settings.actor.clone(),
            valid_until: made.saturating_add(valid_for).unwrap_or(crate::model::Timestamp::MAX),
            playbook: playbook.to_owned(),
            base,
            plan,
            approvals: Vec::new(),
            seal: String::new(),
        };
        Ok(file.sealed())
    }

    /// Whether a plan can be run now by this person, as far as that can be said without planning again.
    ///
    /// # Errors
    /// [`AppError::Stale`], with why not.
    pub fn check_plan(&self, file: &PlanFile, base: &Base, by: &Actor) -> Result<(), AppError> {
        if self.clock.now() > file.valid_until {
            return Err(Stale::Expired { until: file.valid_until }.into());
        }
        if file.plan.rest.is_some() {
            return Err(Stale::OfRest { run: file.run.clone() }.into());
        }
        if self.store.head(&file.run).is_ok() {
            return Err(Stale::Applied { run: file.run.clone() }.into());
        }
        is_over(file, base)?;
        self.approvals_of(file, by)?;
        Ok(fails(file)?)
    }

    /// Whether planning again gives what the file says.
    ///
    /// # Errors
    /// [`AppError::Stale`], with what is different.
    pub fn compare_plan(&self, file: &PlanFile, now: (&[Record], &Arc<Program>)) -> Result<(), AppError> {
        let Some(now) = Plan::of(now.0, now.1) else {
            let differences = vec!["planning again gave no plan".to_owned()];
            return Err(Stale::Changed { differences }.into());
        };
        let mut differences = if now.digest == file.plan.digest { Vec::new() } else { file.plan.differences(&now) };
        differences.extend(file.plan.worse_checks(&now));
        if now.digest == file.plan.digest && differences.is_empty() {
            return Ok(());
        }
        Err(Stale::Changed { differences }.into())
    }

    /// The facts that bind a run to a plan. What it allows is kept in the store.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn pin(&self, file: &PlanFile) -> Result<PlanPin, AppError> {
        let failed = |error: serde_json::Error| AppError::System {
            act: "write down the plan",
            source: std::io::Error::other(error),
        };
        let bytes = serde_json::to_vec(&file.bound()).map_err(failed)?;
        // The whole file is kept too: a report compares what was planned with what was done.
        let whole = self.store.put_blob(&serde_json::to_vec(file).map_err(failed)?)?;
        Ok(PlanPin { digest: file.plan.digest.clone(), bound: self.store.put_blob(&bytes)?, plan: whole })
    }

    /// The facts that bind a run to a plan and its approvals.
    ///
    /// # Errors
    /// When the store cannot be written, or an approval does not count.
    pub(super) fn binding(&self, file: &PlanFile, by: &Actor) -> Result<Vec<Fact>, AppError> {
        let mut facts = vec![Fact::PlanBound { plan: self.pin(file)?, by: by.clone() }];
        let approvals = self.approvals_of(file, by)?;
        facts.extend(approvals.into_iter().map(|approval| Fact::PlanApproved { approval }));
        Ok(facts)
    }

    /// The approvals of a plan that is about to be run by this person.
    pub(super) fn approvals_of(&self, file: &PlanFile, by: &Actor) -> Result<Vec<PlanApproval>, AppError> {
        if file.approvals.is_empty() {
            return Ok(Vec::new());
        }
        let (key, now) = (self.store.key()?, self.clock.now());
        let mut all: Vec<PlanApproval> = Vec::new();
        for sealed in &file.approvals {
            let approval = &sealed.approval;
            let why = if !sealed.is_genuine(&key) {
                "it was given at another store, or changed since".to_owned()
            } else if approval.digest != file.plan.digest {
                "it is of another plan".to_owned()
            } else if approval.valid_until < now {
                format!("it was valid until {}", approval.valid_until)
            } else if approval.by == *by {
                "nobody approves what they start".to_owned()
            } else if all.iter().any(|other| other.by == approval.by) {
                "they have approved it already".to_owned()
            } else {
                all.push(approval.clone());
                continue;
            };
            return Err(Stale::Approval { by: approval.by.name.clone(), why }.into());
        }
        Ok(all)
    }

    /// Approves a plan file, by whoever is at the keyboard: adds the approval to the file.
    ///
    /// # Errors
    /// When its time is over or they have approved it already.
    pub fn approve_plan(
        &self,
        mut file: PlanFile,
        role: Option<String>,
        reason: Option<String>,
        valid_for: Duration,
    ) -> Result<PlanFile, AppError> {
        let (at, by) = (self.clock.now(), self.settings.actor.clone());
        if at > file.valid_until {
            return Err(Stale::Expired { until: file.valid_until }.into());
        }
        if file.approvals.iter().any(|sealed| sealed.approval.by == by && sealed.approval.valid_until >= at) {
            return Err(Stale::Approval { by: by.name, why: "they have approved it already".to_owned() }.into());
        }
        // One's own approval whose time is over makes room for the new one.
        file.approvals.retain(|sealed| sealed.approval.by != by);
        let valid_until = at.saturating_add(valid_for).unwrap_or(crate::model::Timestamp::MAX);
        let approval = PlanApproval { digest: file.plan.digest.clone(), by, role, reason, at, valid_until };
        file.approvals.push(SealedApproval::new(approval, &self.store.key()?));
        Ok(file)
    }

    /// Begins the run that a plan was made for, bound to it. It has been checked and compared.
    ///
    /// # Errors
    /// When the store cannot be written.
    pub fn start_bound(
        &self,
        start: &Start,
        file: &PlanFile,
        observer: Arc<dyn Observer>,
    ) -> Result<Session, AppError> {
        self.start_bound_on(&self.live_engine(), start, file, observer)
    }

    /// As [`App::start_bound`], on an engine that has other runs too.
    ///
    /// # Errors
    /// As [`App::start_bound`].
    pub fn start_bound_on(
        &self,
        engine: &Engine,
        start: &Start,
        file: &PlanFile,
        observer: Arc<dyn Observer>,
    ) -> Result<Session, AppError> {
        let program = self.program(&start.bundle, &start.params)?;
        self.keep_bundle(&start.bundle)?;
        let by = self.starter(start);
        let bound = self.binding(file, &by)?;
        let store = self.store();
        let begin = Begin::new(engine, &store, program, &start.params, Mode::Live, self.clock.now(), observer);
        let identity = Some(Identity { run: file.run.clone(), seed: file.seed });
        self.begin(Begin { identity, by: Some(by), kept: &bound, ..begin })
    }

    /// Who begins a run.
    pub(super) fn starter(&self, start: &Start) -> Actor {
        start.by.clone().unwrap_or_else(|| self.settings.actor.clone())
    }
}

/// Whether a plan was made over what it is to be run on.
pub(super) fn is_over(file: &PlanFile, base: &Base) -> Result<(), Stale> {
    match (&file.base, base) {
        (Base::Live, Base::Live) => Ok(()),
        (Base::Live, Base::Sandbox { .. }) => Err(Stale::Base { was: "on the live system", is: "in the sandbox" }),
        (Base::Sandbox { .. }, Base::Live) => Err(Stale::Base { was: "in the sandbox", is: "on the live system" }),
        (Base::Sandbox { digest: was }, Base::Sandbox { digest: is }) if was != is => {
            Err(Stale::Base { was: "in another world of the sandbox", is: "in this one" })
        }
        (Base::Sandbox { .. }, Base::Sandbox { .. }) => Ok(()),
    }
}

/// Whether a plan fails already as a plan.
pub(super) fn fails(file: &PlanFile) -> Result<(), Stale> {
    let Some(warning) = file.plan.warnings.iter().find(|warning| warning.code == "fails") else { return Ok(()) };
    let step = warning.step.as_ref().map(|step| format!("{step}: ")).unwrap_or_default();
    Err(Stale::Fails { what: format!("{step}{}", warning.message) })
}
