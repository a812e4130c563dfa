//! What the pages know of playbooks and of runs that have ended: read once, for neither changes behind one's back for long.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;
use std::time::{Duration, Instant};

use parking_lot::Mutex;

use crate::evidence::view::View;
use crate::journal::{Head, Record, Store as _};
use crate::model::{RunId, StepPath, Timestamp};
use crate::playbook::bundle::Bundle;
use crate::serve::problem::Problem;
use crate::serve::server::Server;

/// How long what stands in a folder is believed.
const BELIEVED: Duration = Duration::from_secs(5);

/// So many runs are remembered.
const MOST: usize = 20_000;

/// A playbook as it is now.
pub struct Known {
    pub version: String,
    pub title: String,
    pub digest: String,
    pub rto: Option<Duration>,
    pub rpo: Option<Duration>,
}

/// A run that has ended.
#[derive(Clone, Debug, Default)]
pub struct Past {
    /// It was a drill.
    pub drill: bool,
    /// From its start to its end.
    pub took_ms: u64,
    /// From the declared start to the proof of recovery, where it was measured.
    pub rto_ms: Option<u64>,
    /// How much was lost, where it was measured.
    pub rpo_ms: Option<i64>,
    /// Objectives that it missed or could not measure, in words.
    pub missed: Vec<String>,
    /// What its teardown left.
    pub leaks: usize,
    /// A drill that proved the recovery in time and left nothing.
    pub green: bool,
    /// How long its steps took, by path.
    pub steps: BTreeMap<StepPath, u64>,
}

/// A playbook, or what is wrong with it, and when that was looked at.
type Looked = (Instant, Result<Arc<Known>, String>);

/// What is remembered.
#[derive(Default)]
pub struct Memo {
    playbooks: Mutex<HashMap<String, Looked>>,
    past: Mutex<HashMap<RunId, Arc<Past>>>,
}

impl Memo {
    /// A playbook as it is now; or what is wrong with it.
    ///
    /// # Errors
    /// The fault, in words.
    pub fn playbook(&self, server: &Server, name: &str) -> Result<Arc<Known>, String> {
        if let Some((at, known)) = self.playbooks.lock().get(name)
            && at.elapsed() < BELIEVED
        {
            return known.clone();
        }
        let known =
            server.catalog.load(name).map(|bundle| Arc::new(Known::of(&bundle))).map_err(|problem| problem.detail);
        self.playbooks.lock().insert(name.to_owned(), (Instant::now(), known.clone()));
        known
    }

    /// A run that has ended.
    ///
    /// # Errors
    /// When its journal cannot be read.
    pub fn past(&self, server: &Server, head: &Head) -> Result<Arc<Past>, Problem> {
        if let Some(past) = self.past.lock().get(&head.run) {
            return Ok(Arc::clone(past));
        }
        let past = Arc::new(Past::of(&records(server, &head.run)?));
        if head.status.is_terminal() {
            let mut all = self.past.lock();
            if all.len() >= MOST {
                all.clear();
            }
            all.insert(head.run.clone(), Arc::clone(&past));
        }
        Ok(past)
    }
}

impl Known {
    fn of(bundle: &Bundle) -> Self {
        let playbook = &bundle.playbook;
        Self {
            version: playbook.version.value.clone(),
            title: playbook.title.clone(),
            digest: bundle.digest.clone(),
            rto: playbook.rto,
            rpo: playbook.rpo,
        }
    }
}

impl Past {
    /// Of the records of a run.
    #[must_use]
    pub fn of(records: &[Record]) -> Self {
        let (mut view, mut past) = (View::default(), Self::default());
        records.iter().for_each(|record| view.apply(record));
        if let Some(drill) = view.drill() {
            past.drill = true;
            past.rto_ms = drill.rto.map(|rto| u64::try_from(rto.total_ms).unwrap_or(0));
            past.rpo_ms = drill.rpo_ms;
            past.missed.clone_from(&drill.missed);
            past.leaks = drill.leaks.len();
            past.green = drill.green;
        }
        let ended = view.end().map(|end| end.at);
        if let (Some(begun), Some(ended)) = (records.first().map(|record| record.at), ended) {
            past.took_ms = millis(begun, ended);
        }
        for step in view.steps() {
            if let (Some(begun), Some(ended)) = (step.begun, step.ended) {
                past.steps.insert(step.path.clone(), millis(begun, ended));
            }
        }
        past
    }
}

/// Milliseconds from one instant to a later one.
#[must_use]
pub fn millis(from: Timestamp, to: Timestamp) -> u64 {
    u64::try_from(to.duration_since(from).as_millis()).unwrap_or(0)
}

/// The records of a run, as far as they can be read.
///
/// # Errors
/// When one cannot.
pub fn records(server: &Server, run: &RunId) -> Result<Vec<Record>, Problem> {
    let store = server.app.store();
    let lines = store.tail(run, 0)?;
    let each = lines.iter().enumerate();
    Ok(each
        .map(|(place, line)| crate::journal::apart::record(store.as_ref(), run, place as u64, line))
        .collect::<Result<Vec<_>, _>>()?)
}

/// The bundle that a run is pinned to, if it can be read.
#[must_use]
pub fn bundle(server: &Server, digest: &str) -> Option<Bundle> {
    server.app.store.blob(digest).ok().and_then(|bytes| Bundle::from_bytes(&bytes).ok())
}
