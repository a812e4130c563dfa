//! A run in the hands of this process: its journal, its state, and what is being done for it right now.

use std::collections::{HashMap, HashSet};
use std::sync::Arc;
use std::sync::atomic::AtomicUsize;

use parking_lot::{Condvar, Mutex};

use super::ahead::Ahead;
use super::bound::Bound;
use super::capability::Granted;
use super::decide::Frontier;
use super::error::EngineError;
use super::gate::Gates;
use super::state::RunState;
use crate::journal::Store;
use crate::journal::record::{Fact, Record};
use crate::journal::run_journal::RunJournal;
use crate::model::{RunId, StepPath, Timestamp};
use crate::script::Program;

/// Watches a run.
pub trait Observer: Send + Sync {
    /// A record was written. It may become durable a moment later.
    fn record(&self, _run: &RunId, _record: &Record) {}

    /// A word on how far a call has got; not recorded.
    fn progress(&self, _run: &RunId, _step: &StepPath, _text: &str) {}
}

/// Watches nothing.
pub struct NoObserver;

impl Observer for NoObserver {}

/// What is being done for a step.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Activity {
    /// A job for it is queued or running.
    Busy,
    /// It waits for an instant.
    Until(Timestamp),
}

/// Why nothing is being done for a run.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Rest {
    /// It has ended.
    Ended,
    /// It waits for people.
    Paused,
    /// The engine cannot go on with it here; see [`Core::failure`].
    Broken,
}

/// What changes while a run is driven.
pub struct Core {
    pub journal: RunJournal,
    pub state: RunState,
    pub frontier: Frontier,
    pub activity: HashMap<StepPath, Activity>,
    /// An unwind job is queued or running, or waits for an instant.
    pub unwinding: Option<Activity>,
    pub rest: Option<Rest>,
    pub failure: Option<EngineError>,
    /// Resources whose target has been compared since this process took the run.
    pub checked: HashSet<String>,
    /// Effects that have ended since the last commit that let go of such, by their place in the state: what was kept for their
    /// probes is released after the next one.
    pub to_release: Vec<usize>,
    /// How often in a row the world could not be asked about a call.
    pub unanswered: HashMap<usize, u32>,
    /// Park politely: start nothing new here, so that another process can go on.
    pub parking: bool,
    /// Instants for which a timer is set.
    pub timer: Option<Timestamp>,
    /// The inbox is to be read at the next drive.
    pub mail: bool,
}

/// A run in the hands of this process.
pub struct RunCell {
    pub id: RunId,
    pub program: Arc<Program>,
    pub granted: Vec<Granted>,
    /// Which steps its approvals cover.
    pub gates: Gates,
    pub core: Mutex<Core>,
    pub rested: Condvar,
    /// What the run is held to, by a plan or by what was approved, as read from the store: by the digest of its blob.
    pub bound: Mutex<HashMap<String, Arc<Bound>>>,
    /// How the run was last foreseen to go on, for questions that come together. Locked before [`RunCell::core`].
    pub ahead: Mutex<Option<Ahead>>,
    /// How many questions are about to be asked once it is known what they are about.
    pub asking: AtomicUsize,
    pub observer: Arc<dyn Observer>,
}

impl Core {
    /// Writes a record and applies it. Durable only after [`Core::commit`].
    ///
    /// # Errors
    /// When the state does not take it, which means that the engine is wrong.
    pub fn record(&mut self, cell: &RunCell, fact: Fact, now: Timestamp) -> Result<Record, EngineError> {
        let record = self.journal.push(fact, now);
        self.state.apply(&record).map_err(|source| EngineError::Journal { run: cell.id.clone(), source })?;
        if let Fact::Ended { call, .. } = &record.fact {
            self.to_release.extend(self.state.effect_of(call));
        }
        cell.observer.record(&cell.id, &record);
        Ok(record)
    }

    /// Makes everything recorded so far durable.
    ///
    /// # Errors
    /// When the store does not take it: the run stops here.
    pub fn commit(&mut self, consumed: &[i64]) -> Result<(), EngineError> {
        if self.journal.buffered() == 0 && consumed.is_empty() {
            return Ok(());
        }
        let (status, detail) = (self.state.status(), self.state.detail());
        self.journal.commit(consumed, status, &detail).map_err(EngineError::Store)
    }
}

impl RunCell {
    /// What a step is held to: the plan that the run is bound to, or else what was foreseen and approved.
    ///
    /// # Errors
    /// When it cannot be read: then nothing may be sent.
    pub fn bound_of(&self, store: &dyn Store, step: &StepPath) -> Result<Option<Arc<Bound>>, EngineError> {
        let blob = {
            let core = self.core.lock();
            let plan = core.state.plan.as_ref().map(|plan| plan.bound.clone());
            match plan.or_else(|| self.gates.tree(&core.state, step).map(|tree| tree.bound.clone())) {
                Some(blob) => blob,
                None => return Ok(None),
            }
        };
        let mut known = self.bound.lock();
        if let Some(bound) = known.get(&blob) {
            return Ok(Some(Arc::clone(bound)));
        }
        let bytes = store.blob(&blob)?;
        let bound: Bound = serde_json::from_slice(&bytes)
            .map_err(|error| EngineError::Plan { run: self.id.clone(), what: error.to_string() })?;
        let bound = Arc::new(bound);
        known.insert(blob, Arc::clone(&bound));
        Ok(Some(bound))
    }
}

/// How many reads may be recorded before they are made durable without an effect that needs them to be.
pub const READS_A_COMMIT: usize = 256;
