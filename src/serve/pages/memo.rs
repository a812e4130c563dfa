//! What the pages remember of runs: each journal is folded once, and gone on with from where that ended.
//!
//! A journal is only ever added to, so what was folded of it stays true, and the number of its records says whether it is all of it. Nothing
//! here is stored: a server that starts reads again what people look at first.

use std::collections::{HashMap, VecDeque};
use std::hash::Hash;
use std::sync::Arc;

use parking_lot::Mutex;

use super::known::{self, Past};
use super::overview;
use crate::evidence::view::View;
use crate::journal::{Head, Store as _, StoreError, apart};
use crate::model::RunId;
use crate::playbook::bundle::Bundle;
use crate::serve::problem::Problem;
use crate::serve::server::{Phase, Server};

/// Of so many runs that have ended it is remembered what they came to.
const PASTS: usize = 20_000;
/// So many bundles are remembered, by digest.
const BUNDLES: usize = 64;
/// So many runs that people look at are remembered as they look at them.
const VIEWS: usize = 32;
/// So many records these have together; the newest may have more.
const RECORDS: u64 = 100_000;

/// What is remembered.
#[derive(Default)]
pub struct Memo {
    past: Mutex<Recent<RunId, (u64, Arc<Past>)>>,
    bundles: Mutex<Recent<String, Arc<Bundle>>>,
    /// The one looked at last stands last.
    views: Mutex<VecDeque<(RunId, Arc<Followed>)>>,
}

/// A run that somebody looks at: one reads what is new, the others wait for that.
struct Followed(Mutex<Arc<View>>);

/// The entries used last, up to twice `most`.
struct Recent<K, V> {
    new: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K, V> Default for Recent<K, V> {
    fn default() -> Self {
        Self { new: HashMap::new(), old: HashMap::new() }
    }
}

impl<K: Hash + Eq + Clone, V: Clone> Recent<K, V> {
    fn get(&mut self, key: &K, most: usize) -> Option<V> {
        if let Some(value) = self.new.get(key) {
            return Some(value.clone());
        }
        let value = self.old.remove(key)?;
        self.put(key.clone(), value.clone(), most);
        Some(value)
    }

    /// What was not used since half of the room was filled anew is forgotten.
    fn put(&mut self, key: K, value: V, most: usize) {
        if self.new.len() >= most / 2 && !self.new.contains_key(&key) {
            self.old = std::mem::take(&mut self.new);
        }
        self.new.insert(key, value);
    }
}

impl Memo {
    /// What a run that has ended came to.
    ///
    /// # Errors
    /// When its journal cannot be read.
    pub fn past(&self, server: &Server, head: &Head) -> Result<Arc<Past>, Problem> {
        if let Some((records, past)) = self.past.lock().get(&head.run, PASTS)
            && records == head.records
        {
            return Ok(past);
        }
        let records = known::records(server, &head.run)?;
        let past = Arc::new(Past::of(&records));
        if head.status.is_terminal() {
            self.past.lock().put(head.run.clone(), (records.len() as u64, Arc::clone(&past)), PASTS);
        }
        Ok(past)
    }

    /// The bundle that runs are pinned to, if it can be read.
    #[must_use]
    pub fn bundle(&self, server: &Server, digest: &str) -> Option<Arc<Bundle>> {
        if let Some(bundle) = self.bundles.lock().get(&digest.to_owned(), BUNDLES) {
            return Some(bundle);
        }
        let bytes = server.app.store.blob(digest).ok()?;
        let bundle = Arc::new(Bundle::from_bytes(&bytes).ok()?);
        self.bundles.lock().put(digest.to_owned(), Arc::clone(&bundle), BUNDLES);
        Some(bundle)
    }

    /// A run as it stands now, with the steps of its playbook. Only what was recorded since somebody looked last is read.
    ///
    /// # Errors
    /// When its journal cannot be read.
    pub fn view(&self, server: &Server, run: &RunId, bundle: Option<&Bundle>) -> Result<Arc<View>, Problem> {
        let followed = self.followed(run, bundle);
        let store = server.app.store();
        let mut seen = followed.0.lock();
        let from = seen.records;
        let lines = store.tail(run, from)?;
        if !lines.is_empty() {
            // A copy if somebody still shows the one before.
            let view = Arc::make_mut(&mut seen);
            for (seq, line) in (from..).zip(&lines) {
                view.apply(&apart::record(store.as_ref(), run, seq, line)?);
            }
        }
        Ok(Arc::clone(&seen))
    }

    fn followed(&self, run: &RunId, bundle: Option<&Bundle>) -> Arc<Followed> {
        let mut all = self.views.lock();
        let found = all.iter().position(|(known, _)| known == run).and_then(|place| all.remove(place));
        let (_, followed) = found.unwrap_or_else(|| {
            let steps = bundle.into_iter().flat_map(|bundle| &bundle.playbook.steps);
            let view = View::of_steps(steps.map(|step| (step.id.value.as_str(), step.title.as_str())));
            (run.clone(), Arc::new(Followed(Mutex::new(Arc::new(view)))))
        });
        // One that is being read just now counts when it is looked at again.
        let size = |followed: &Followed| followed.0.try_lock().map_or(0, |view| view.records);
        let mut records: u64 = all.iter().map(|(_, followed)| size(followed)).sum();
        records += size(&followed);
        while all.len() >= VIEWS || records > RECORDS {
            let Some((_, gone)) = all.pop_front() else { break };
            records = records.saturating_sub(size(&gone));
        }
        all.push_back((run.clone(), Arc::clone(&followed)));
        followed
    }

    /// Reads what the overview shows of runs that have ended, as long as the server leads: the first who looks does not wait for it.
    ///
    /// # Errors
    /// When the store cannot be read. What is not read here is when somebody looks.
    pub fn warm(&self, server: &Server) -> Result<(), StoreError> {
        let store = server.app.store();
        for playbook in store.playbooks()? {
            for head in store.select(&overview::looked_at(playbook))? {
                if server.phase() != Phase::Leading {
                    return Ok(());
                }
                if head.status.is_terminal() {
                    // A damaged journal is told of where it is shown.
                    let _ = self.past(server, &head);
                }
            }
        }
        Ok(())
    }
}

/// Warms the server's memo on a thread of its own.
///
/// # Errors
/// When the system gives no thread.
pub fn warm(server: &Arc<Server>) -> std::io::Result<()> {
    let server = Arc::clone(server);
    let work = move || {
        if let Err(error) = server.memo.warm(&server) {
            tracing::warn!(%error, "what the overview shows could not be read ahead");
        }
    };
    std::thread::Builder::new().name("memo".to_owned()).spawn(work).map(drop)
}
