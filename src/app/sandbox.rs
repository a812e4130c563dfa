//! Runs and plans in the sandbox: the same engine over a world in memory, in virtual time.
//!
//! A run in the sandbox is a run like any other: it stands in the store, it can be killed and resumed. Its world is kept beside the
//! store, anew after every effect, so that `muster resume` finds what the effects left, and `muster world show` any of its states.

use std::path::{Path, PathBuf};
use std::sync::Arc;

use parking_lot::Mutex;

use super::start::Begin;
use super::{App, AppError, Identity, Session, Start};
use crate::clock::{Clock, SimClock};
use crate::engine::{Engine, Host, Observer};
use crate::journal::memory::MemoryStore;
use crate::journal::run_journal::RunJournal;
use crate::journal::{Record, Store};
use crate::model::RunId;
use crate::model::span::{Span, Spanned};
use crate::model::status::Mode;
use crate::plan::file::{Base, PlanFile};
use crate::playbook::bundle::{self, Bundle};
use crate::playbook::params::Given;
use crate::sandbox::host::{Hook, SandboxHost};
use crate::sandbox::kept::KeptWorlds;
use crate::sandbox::{Overlay, World};
use crate::script::Program;

/// How a run in the sandbox is begun.
#[derive(Default)]
pub struct InSandbox<'p> {
    /// Is asked before and after every effect what is to happen.
    pub hook: Option<Hook>,
    /// Whether the sandbox answers what people would be asked.
    pub yes: bool,
    /// The plan it is bound to; checked and compared.
    pub plan: Option<&'p PlanFile>,
}

impl App {
    /// The world that a playbook is rehearsed in: its `world.yaml`, or another file.
    ///
    /// # Errors
    /// When it has none, or it cannot be read.
    pub fn world_of(&self, playbook: &str, file: Option<&Path>) -> Result<World, AppError> {
        let (name, text) = match file {
            Some(path) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|source| AppError::World { path: path.display().to_string(), what: source.to_string() })?;
                (path.display().to_string(), text)
            }
            None => bundle::world(playbook).map_err(AppError::Playbook)?.ok_or_else(|| AppError::World {
                path: format!("{playbook}/{}", bundle::WORLD),
                what: "there is no such file; the sandbox needs one".to_owned(),
            })?,
        };
        World::load(&text).map_err(|error| AppError::World { path: name, what: error.to_string() })
    }

    /// As [`App::prepare`], for a world: parameters that are not given are the world's examples, and it is as late as it is there.
    ///
    /// # Errors
    /// As [`App::prepare`].
    pub fn prepare_in(&self, playbook: &str, mut given: Given, world: &World) -> Result<Start, AppError> {
        for (name, value) in &world.params {
            given.values.entry(name.clone()).or_insert_with(|| Spanned::new(value.clone(), Span::default()));
        }
        self.prepare_at(super::prepare::load(playbook)?, &given, world.now)
    }

    /// Goes through a playbook over this world without any effect on it. The identity of the plan comes from the world's seed, so
    /// that the same playbook on the same world has the same plan.
    ///
    /// # Errors
    /// When the bundle does not compile.
    pub fn plan_in(
        &self,
        start: &Start,
        world: World,
        identity: Option<Identity>,
    ) -> Result<(Vec<Record>, Arc<Program>), AppError> {
        self.plan_in_watched(start, world, identity, Arc::new(crate::engine::NoObserver))
    }

    /// As [`App::plan_in`], seen by an observer as it comes about.
    pub(super) fn plan_in_watched(
        &self,
        start: &Start,
        mut world: World,
        identity: Option<Identity>,
        observer: Arc<dyn Observer>,
    ) -> Result<(Vec<Record>, Arc<Program>), AppError> {
        // No secret of this machine is read: what a playbook declares as one lies in the world.
        let program = self.compiled(&start.bundle)?;
        world.models = program.models.clone();
        let (now, seed) = (world.now, world.seed);
        let clock: Arc<dyn Clock> = Arc::new(SimClock::at(now));
        let host = Host::Planning(Arc::new(Overlay::over_world(world).redacting(Arc::clone(&self.redactor))));
        let store: Arc<dyn Store> = Arc::new(MemoryStore::new());
        let engine = Engine::new(host, clock, Arc::clone(&store), Arc::clone(&self.redactor));
        let identity = identity.unwrap_or_else(|| Identity { run: RunId::from_entropy(spread(seed)), seed });
        let begin = Begin::new(&engine, &store, program, &start.params, Mode::Plan, now, observer);
        self.plan_with(Begin { identity: Some(identity), ..begin })
    }

    /// Begins a run in this world.
    ///
    /// # Errors
    /// When the bundle does not compile or the store cannot be written.
    pub fn start_in(
        &self,
        start: &Start,
        mut world: World,
        manner: InSandbox<'_>,
        observer: Arc<dyn Observer>,
    ) -> Result<Session, AppError> {
        let InSandbox { hook, yes, plan } = manner;
        let program = self.compiled(&start.bundle)?;
        world.models = program.models.clone();
        self.keep_bundle(&start.bundle)?;
        let (Identity { run, seed }, bound) = match plan {
            Some(file) => {
                (Identity { run: file.run.clone(), seed: file.seed }, self.binding(file, &self.starter(start))?)
            }
            None => (start.identity.clone().map_or_else(Identity::random, Ok)?, Vec::new()),
        };
        let now = world.now;
        let kept = self.kept_worlds(&run);
        kept.keep(&world, None).map_err(|source| AppError::System { act: "keep the sandbox's world", source })?;
        let clock: Arc<dyn Clock> = Arc::new(SimClock::at(now));
        let engine = self.sandbox_engine(world, Arc::clone(&clock), hook, kept);
        let store = self.store();
        let begin = Begin::new(&engine, &store, program, &start.params, Mode::Sandbox, now, observer);
        let session = self.begin(Begin {
            identity: Some(Identity { run, seed }),
            by: start.by.clone(),
            kept: &bound,
            drill: start.drill.clone(),
            ..begin
        })?;
        Ok(if yes { self.say_yes(session) } else { session })
    }

    /// Takes up a run in the sandbox where its world was left.
    pub(super) fn resume_in_sandbox(
        &self,
        journal: RunJournal,
        records: &[Record],
        bundle: &Bundle,
        observer: Arc<dyn Observer>,
    ) -> Result<Session, AppError> {
        let kept = self.kept_worlds(journal.run());
        let mut world = kept
            .latest()
            .map_err(|error| AppError::World { path: kept.folder().display().to_string(), what: error.to_string() })?;
        let program = self.compiled(bundle)?;
        world.models = program.models.clone();
        let now = records.last().map_or(world.now, |record| record.at.max(world.now));
        let clock: Arc<dyn Clock> = Arc::new(SimClock::at(now));
        let engine = self.sandbox_engine(world, clock, None, kept);
        let run = engine.adopt(program, journal, records, None, observer)?;
        Ok(Session::in_sandbox(engine, run))
    }

    /// Where the worlds of a run in the sandbox are kept.
    #[must_use]
    pub fn kept_worlds(&self, run: &RunId) -> KeptWorlds {
        KeptWorlds::in_folder(worlds_of(&self.settings.side_folder(), run))
    }

    fn sandbox_engine(&self, world: World, clock: Arc<dyn Clock>, hook: Option<Hook>, kept: KeptWorlds) -> Engine {
        let world = Arc::new(Mutex::new(world));
        let shared = Arc::clone(&world);
        let mut host = SandboxHost::new(world, Arc::clone(&clock), Arc::clone(&self.redactor)).keeping(kept);
        if let Some(hook) = hook {
            host = host.on_send(hook);
        }
        let (redactor, time) = (Arc::clone(&self.redactor), Arc::clone(&clock));
        let engine = Engine::new(Host::Full(Arc::new(host)), clock, self.store(), Arc::clone(&self.redactor));
        engine.foreseeing(Arc::new(move |_| Arc::new(Overlay::over_run(&shared, time.now(), &redactor))))
    }

    /// Lets the sandbox answer what the run asks of people.
    #[must_use]
    pub fn say_yes(&self, session: Session) -> Session {
        let (store, run) = (self.store(), session.run().clone());
        session.say_yes(Box::new(move |state| {
            let said = crate::trial::yes(state);
            for command in &said {
                store.post(&run, command)?;
            }
            Ok(!said.is_empty())
        }))
    }
}

/// What a plan over this world is made over.
#[must_use]
pub fn base_of(world: &World) -> Base {
    let bytes = serde_json::to_vec(world).unwrap_or_default();
    Base::Sandbox { digest: crate::sandbox::content::sha256_hex(&bytes) }
}

/// The folder of a run's worlds beside the store.
#[must_use]
pub fn worlds_of(side_folder: &Path, run: &RunId) -> PathBuf {
    side_folder.join("worlds").join(run.as_str())
}

/// Neighbouring seeds as ids that look nothing like each other.
fn spread(seed: u64) -> u64 {
    seed.wrapping_mul(0x9e37_79b9_7f4a_7c15)
}
