//! What the pages know of playbooks, and of runs that have ended.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use crate::evidence::view::View;
use crate::journal::Record;
use crate::model::{RunId, StepPath, Timestamp};
use crate::playbook::bundle::Bundle;
use crate::serve::problem::Problem;
use crate::serve::server::Server;

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

impl Known {
    /// A playbook as it is now, in its folder or shipped; or what is wrong with it, in words.
    ///
    /// # Errors
    /// The fault.
    pub fn now(server: &Server, name: &str, folder: Option<&Path>) -> Result<Self, String> {
        server.catalog.load_from(name, folder).map(|bundle| Self::of(&bundle)).map_err(|problem| problem.detail)
    }

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
