//! What lies ahead of an approval: the steps that it covers, foreseen from where the run stands when it is asked for.
//!
//! The tree is recorded with the question and never worked out again: whoever takes the run up later holds it to the same.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{Receiver, RecvTimeoutError, channel};
use std::sync::{Arc, OnceLock};
use std::time::{Duration, Instant};

use sha2::{Digest as _, Sha256};

use super::bound::Bound;
use super::cell::{Core, RunCell};
use super::driver::Inner;
use super::entry::hex;
use super::error::EngineError;
use super::gate::Covered;
use super::rest;
use super::state::RunState;
use crate::journal::apart;
use crate::journal::record::Record;
use crate::model::StepPath;
use crate::model::forecast::Tree;
use crate::ops::foresight::PlanHost;
use crate::script::Program;

/// Gives a host that foresees what a program would do, over the system as it is at that moment: an engine has runs of many programs,
/// and each brings models of its own.
pub type Foresight = Arc<dyn Fn(&Program) -> Arc<dyn PlanHost> + Send + Sync>;

/// How long whoever is to be asked waits for what they are asked.
const PATIENCE: Duration = Duration::from_mins(2);
/// How often it is looked whether anybody still wants to know.
const LOOK_EVERY: Duration = Duration::from_millis(50);

/// How an engine foresees, once it was told.
pub(super) type Told = OnceLock<Foresight>;

/// What is known of the effects that an approval covers.
#[derive(Clone, Debug, Default)]
pub(super) struct Gated {
    /// What it would let the run do.
    pub tree: Option<Tree>,
    /// Why that is not known.
    pub unforeseen: Option<String>,
}

/// How a run was foreseen to go on.
pub struct Ahead {
    /// How many records it had then.
    after: usize,
    /// [`RunState::reopened`] then.
    reopened: u64,
    /// These records, and those that are foreseen, with what they come to; or why nothing is.
    found: Result<(Vec<Record>, RunState), String>,
    /// The blob with what is foreseen, once it is kept.
    kept: OnceLock<String>,
}

impl Inner {
    /// Whether it is to be foreseen what an approval lets a run do. A run under a plan is held to that.
    pub(super) fn foresees(&self, state: &RunState) -> bool {
        self.foresight.get().is_some() && state.plan.is_none() && !state.is_plan()
    }

    /// What the approval of a step would let the run do, from where it stands now, or stood at any time since it had this many
    /// records. `None` when something came between, so that nothing is to be asked. Not under the run's lock: it may take long.
    pub(super) fn foresee_gated(
        &self,
        cell: &Arc<RunCell>,
        path: &StepPath,
        since: u64,
    ) -> Result<Option<Gated>, EngineError> {
        let Some(foresight) = self.foresight.get() else { return Ok(Some(Gated::default())) };
        // Held to the end: questions that come together, such as those of all instances of a list, are told the same.
        let mut known = cell.ahead.lock();
        let reopened = {
            let core = cell.core.lock();
            if !self.foresees(&core.state) {
                return Ok(Some(Gated::default()));
            }
            core.state.reopened
        };
        let stands = |ahead: &Ahead| ahead.after as u64 >= since && ahead.reopened == reopened;
        let ahead = match known.take().filter(stands) {
            Some(ahead) => ahead,
            None => match self.look_ahead(cell, path, foresight, reopened)? {
                Some(ahead) => ahead,
                None => return Ok(None),
            },
        };
        let gated = match &ahead.found {
            Err(why) => Gated { tree: None, unforeseen: Some(why.clone()) },
            Ok((records, state)) => {
                let playbook = &cell.program.playbook;
                match cell.gates.covered(playbook, path, (records, ahead.after), state) {
                    Err(why) => Gated { tree: None, unforeseen: Some(why) },
                    Ok(covered) => {
                        self.keep_tree(cell, covered, records.get(ahead.after..).unwrap_or_default(), &ahead)?
                    }
                }
            }
        };
        *known = Some(ahead);
        let core = cell.core.lock();
        Ok((core.state.reopened == reopened && wanted(&core)).then_some(gated))
    }

    fn look_ahead(
        &self,
        cell: &Arc<RunCell>,
        path: &StepPath,
        foresight: &Foresight,
        reopened: u64,
    ) -> Result<Option<Ahead>, EngineError> {
        {
            let mut core = cell.core.lock();
            self.commit(cell, &mut core)?;
        }
        let records = apart::records(self.store.as_ref(), &cell.id)?;
        cell.observer.progress(&cell.id, path, "planning what an approval would let the run do");
        let after = records.len();
        let (program, redactor, now) = (Arc::clone(&cell.program), Arc::clone(&self.redactor), self.clock.now());
        let (foresight, given_up) = (Arc::clone(foresight), Arc::new(AtomicBool::new(false)));
        let (tell, told) = channel();
        let seen = Arc::clone(&given_up);
        // On a thread of its own: a script may be at work on this one, and one that takes too long is left to itself. It ends
        // with its present step, and can do nothing but read.
        let thread = std::thread::Builder::new().name("foresight".to_owned()).stack_size(4 << 20);
        let begun = thread.spawn(move || {
            let still = || !seen.load(Ordering::Relaxed);
            let found = rest::foresee_while(&program, &records, foresight(&program), now, &redactor, &still);
            let found = found.map_err(|error| error.to_string()).and_then(|records| {
                RunState::fold(&records).map(|state| (records, state)).map_err(|error| error.to_string())
            });
            // Nobody listens any more to one that was given up.
            let _ = tell.send(found);
        });
        let found = match begun {
            Ok(_) => self.await_told(cell, &told),
            Err(error) => Some(Err(format!("the system gives no thread to plan it: {error}"))),
        };
        given_up.store(true, Ordering::Relaxed);
        Ok(found.map(|found| Ahead { after, reopened, found, kept: OnceLock::new() }))
    }

    /// `None` when nobody wants to know any more.
    fn await_told<T>(&self, cell: &RunCell, told: &Receiver<Result<T, String>>) -> Option<Result<T, String>> {
        let broken_off = || Err("planning it broke off".to_owned());
        if self.clock.is_virtual() {
            return Some(told.recv().unwrap_or_else(|_| broken_off()));
        }
        let begun = Instant::now();
        loop {
            match told.recv_timeout(LOOK_EVERY) {
                Ok(found) => return Some(found),
                Err(RecvTimeoutError::Disconnected) => return Some(broken_off()),
                Err(RecvTimeoutError::Timeout) if !wanted(&cell.core.lock()) => return None,
                Err(RecvTimeoutError::Timeout) if begun.elapsed() < PATIENCE => {}
                Err(RecvTimeoutError::Timeout) => {
                    return Some(Err(format!("planning it took longer than {} s", PATIENCE.as_secs())));
                }
            }
        }
    }

    fn keep_tree(
        &self,
        cell: &RunCell,
        covered: Covered,
        foreseen: &[Record],
        ahead: &Ahead,
    ) -> Result<Gated, EngineError> {
        let failed = |error: serde_json::Error| EngineError::Plan { run: cell.id.clone(), what: error.to_string() };
        let Covered { steps, ahead: effects } = covered;
        let records = match ahead.kept.get() {
            Some(kept) => kept.clone(),
            None => {
                let kept = self.store.put_blob(&serde_json::to_vec(foreseen).map_err(failed)?)?;
                ahead.kept.get_or_init(|| kept).clone()
            }
        };
        let digest = hex(&Sha256::digest(serde_json::to_vec(&steps).map_err(failed)?));
        let bound = Bound { digest: digest.clone(), steps };
        let tree = Tree {
            digest,
            bound: self.store.put_blob(&serde_json::to_vec(&bound).map_err(failed)?)?,
            records,
            after: ahead.after as u64,
            effects,
        };
        Ok(Gated { tree: Some(tree), unforeseen: None })
    }
}

/// Whether anything new may still be asked.
fn wanted(core: &Core) -> bool {
    core.failure.is_none() && !core.parking && !core.state.is_quiescing()
}
