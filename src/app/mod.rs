//! The composition root: the only place that picks store, host and clock, and puts runs into an engine's hands.

pub mod bind;
pub mod check;
pub mod drill;
pub mod error;
pub mod fork;
pub mod handover;
pub mod identity;
mod preflight;
pub mod prepare;
pub mod rest;
pub mod sandbox;
pub mod session;
pub mod settings;
pub mod start;
pub mod tick;
pub mod tools;

use std::sync::Arc;
use std::time::Duration;

pub use bind::Stale;
pub use drill::DrillOrder;
pub use error::AppError;
pub use handover::HandoverError;
pub use session::{Ending, Session};
pub use settings::Settings;
pub use start::{Identity, Start};

use parking_lot::Mutex;

use crate::clock::{Clock, SystemClock};
use crate::engine::{Engine, Host};
use crate::journal::Store;
use crate::journal::sqlite::{Options, SqliteStore};
use crate::model::amount::parse_duration;
use crate::model::fault::OpError;
use crate::model::secret::Redactor;
use crate::ops::foresight::PlanHost;
use crate::ops::live::{LiveHost, LiveReader};
use crate::ops::process::Children;
use crate::ops::secrets::Secrets;
use crate::playbook::bundle::Bundle;
use crate::sandbox::{Modelled, Overlay};
use crate::script::current::MAX_THINKING;
use crate::script::{Program, ScriptError, models};

/// How many programs are kept compiled.
const MOST_COMPILED: usize = 32;

/// What a command works with.
pub struct App {
    pub settings: Settings,
    pub store: Arc<SqliteStore>,
    pub clock: Arc<dyn Clock>,
    pub redactor: Arc<Redactor>,
    pub secrets: Arc<Secrets>,
    pub children: Arc<Children>,
    /// How long scripts may compute between two calls.
    pub patience: Duration,
    /// The bundles that were used last, the latest first: preparing, planning and running one in one command compile it once, and a
    /// server does not compile one for every run of it.
    compiled: Mutex<Vec<Arc<Program>>>,
}

impl App {
    /// Opens the store and what belongs to it.
    ///
    /// # Errors
    /// When the store cannot be opened, or a setting makes no sense.
    pub fn open(settings: Settings) -> Result<Self, AppError> {
        let patience = match &settings.script_time {
            Some(text) => parse_duration(text)
                .map_err(|error| OpError::refused(format!("MUSTER_SCRIPT_TIME is no period of time: {error}")))?,
            None => MAX_THINKING,
        };
        let options = Options { who: Some(settings.actor.name.clone()), ..Options::default() };
        let store = Arc::new(SqliteStore::open(&settings.store, options)?);
        let redactor = Arc::new(Redactor::default());
        let secrets = Arc::new(Secrets::new(store.key()?, Arc::clone(&redactor)));
        let children = Arc::new(Children::new(settings.side_folder().join("children"), settings.supervisor.clone()));
        Ok(Self {
            settings,
            store,
            clock: Arc::new(SystemClock),
            redactor,
            secrets,
            children,
            patience,
            compiled: Mutex::default(),
        })
    }

    /// The store behind its contract.
    #[must_use]
    pub fn store(&self) -> Arc<dyn Store> {
        Arc::clone(&self.store) as Arc<dyn Store>
    }

    fn reader(&self) -> LiveReader {
        LiveReader::new(Arc::clone(&self.clock), Arc::clone(&self.secrets), Arc::clone(&self.children))
    }

    /// The program of a bundle.
    ///
    /// # Errors
    /// When it does not compile.
    pub(super) fn compiled(&self, bundle: &Bundle) -> Result<Arc<Program>, ScriptError> {
        {
            let mut known = self.compiled.lock();
            if let Some(place) = known.iter().position(|program| program.digest == bundle.digest) {
                known[..=place].rotate_right(1);
                return Ok(Arc::clone(&known[0]));
            }
        }
        let program = Program::compile(bundle.playbook.clone(), bundle.digest.clone(), &bundle.modules)?;
        let models = models::compile(&bundle.models)?;
        let program = Arc::new(program.with_patience(self.patience).with_models(models));
        let mut known = self.compiled.lock();
        known.truncate(MOST_COMPILED - 1);
        known.insert(0, Arc::clone(&program));
        Ok(program)
    }

    /// Drops the before-images of runs that ended while the engine died. What cannot be found out now is left for the next time.
    pub fn tidy(&self) {
        let writer = crate::ops::context::Writer::new(Arc::clone(&self.children));
        for run in writer.runs_with_images() {
            if self.store.head(&run).is_ok_and(|head| head.status.is_terminal()) {
                writer.drop_images(&run);
            }
        }
    }

    /// An engine that can act on the world, and foresee what it would do, with each playbook's own models.
    #[must_use]
    pub fn live_engine(&self) -> Engine {
        let host = LiveHost::new(self.reader(), crate::ops::context::Writer::new(Arc::clone(&self.children)));
        let engine =
            Engine::new(Host::Full(Arc::new(host)), Arc::clone(&self.clock), self.store(), Arc::clone(&self.redactor));
        let (clock, redactor) = (Arc::clone(&self.clock), Arc::clone(&self.redactor));
        let (secrets, children) = (Arc::clone(&self.secrets), Arc::clone(&self.children));
        engine.foreseeing(Arc::new(move |program| {
            let reader = LiveReader::new(Arc::clone(&clock), Arc::clone(&secrets), Arc::clone(&children));
            let overlay = Overlay::over(Arc::new(reader)).redacting(Arc::clone(&redactor));
            Arc::new(overlay.modelled(program.models.clone()))
        }))
    }

    /// What a plan on the live system is answered by; the playbook's own models for its own programs.
    pub(super) fn plan_host(&self, models: Modelled) -> Arc<dyn PlanHost> {
        let overlay = Overlay::over(Arc::new(self.reader())).redacting(Arc::clone(&self.redactor));
        Arc::new(overlay.modelled(models))
    }

    /// An engine that can only look, over a store of its own in memory; with the playbook's own models.
    #[must_use]
    pub fn plan_engine(&self, store: Arc<dyn Store>, models: Modelled) -> Engine {
        let host = Host::Planning(self.plan_host(models));
        Engine::new(host, Arc::clone(&self.clock), store, Arc::clone(&self.redactor))
    }
}
