//! What happens in a run, for everybody who watches it: each record once, in order, without a gap.
//!
//! What is told is what is stored: a record that was told is durable, and whoever comes back says the last number it has seen. One reader
//! of the store serves all who watch a run, and holds the newest records; who is further back reads the store itself.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, Weak};
use std::time::Duration;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::{Notify, broadcast, watch};

use crate::journal::{Store, StoreError};
use crate::model::{RunId, StepPath};

/// How many records of a run are held for those who watch it.
const HELD: usize = 4096;
/// How many records who is behind is given at a time.
const PAGE: usize = 512;
/// How often a run is looked at that another process carries on, and does not tell.
const LOOK_EVERY: Duration = Duration::from_millis(400);
/// After a word of the engine, how long it is waited for more: its records become durable a moment later.
const GATHER: Duration = Duration::from_millis(15);

/// A stored record: its line, as it stands in the hash chain.
pub type Line = Arc<str>;

/// All runs that somebody watches.
pub struct Feeds {
    store: Arc<dyn Store>,
    open: Mutex<HashMap<RunId, Weak<Feed>>>,
}

/// One run that somebody watches.
pub struct Feed {
    run: RunId,
    store: Arc<dyn Store>,
    ring: Mutex<Ring>,
    /// How many records are known.
    known: watch::Sender<u64>,
    wake: Arc<Notify>,
    progress: broadcast::Sender<Line>,
    ended: AtomicBool,
}

struct Ring {
    /// The number of the first record held.
    base: u64,
    lines: VecDeque<Line>,
}

/// Somebody who watches a run.
pub struct Viewer {
    feed: Arc<Feed>,
    next: u64,
    known: watch::Receiver<u64>,
    progress: broadcast::Receiver<Line>,
}

/// What a viewer is told.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum News {
    /// These records, the first of which has this number.
    Records(u64, Vec<Line>),
    /// A word on how far a call has got: not recorded, and not told again.
    Progress(Line),
    /// The run has ended, and everything has been told.
    Ended,
}

impl Feeds {
    /// Over a store.
    #[must_use]
    pub fn new(store: Arc<dyn Store>) -> Self {
        Self { store, open: Mutex::default() }
    }

    /// Something was recorded of a run.
    pub fn poke(&self, run: &RunId) {
        if let Some(feed) = self.open.lock().get(run).and_then(Weak::upgrade) {
            feed.wake.notify_one();
        }
    }

    /// A call of a run has got so far.
    pub fn progress(&self, run: &RunId, step: &StepPath, text: &str) {
        let feed = self.open.lock().get(run).and_then(Weak::upgrade);
        if let Some(feed) = feed {
            let line = serde_json::json!({ "step": step.as_str(), "text": text }).to_string();
            // Nobody may be listening just now.
            let _ = feed.progress.send(line.into());
        }
    }

    /// How many runs are watched.
    #[must_use]
    pub fn watched(&self) -> usize {
        self.open.lock().values().filter(|feed| feed.strong_count() > 0).count()
    }

    /// Watches a run from this record on. `runtime` is where its reader runs.
    ///
    /// # Errors
    /// When there is no such run.
    pub fn watch(&self, run: &RunId, from: u64, runtime: &Handle) -> Result<Viewer, StoreError> {
        let there = self.store.head(run)?.records;
        let from = from.min(there);
        let mut open = self.open.lock();
        open.retain(|_, feed| feed.strong_count() > 0);
        let feed = open.get(run).and_then(Weak::upgrade).unwrap_or_else(|| {
            let feed = Arc::new(Feed {
                run: run.clone(),
                store: Arc::clone(&self.store),
                ring: Mutex::new(Ring { base: there, lines: VecDeque::new() }),
                known: watch::Sender::new(there),
                wake: Arc::new(Notify::new()),
                progress: broadcast::Sender::new(64),
                ended: AtomicBool::new(false),
            });
            open.insert(run.clone(), Arc::downgrade(&feed));
            runtime.spawn(read_on(Arc::downgrade(&feed), Arc::clone(&feed.wake)));
            feed
        });
        let mut known = feed.known.subscribe();
        known.mark_changed();
        let progress = feed.progress.subscribe();
        Ok(Viewer { feed, next: from, known, progress })
    }
}

/// Reads what is stored of a run as long as somebody watches it.
async fn read_on(feed: Weak<Feed>, wake: Arc<Notify>) {
    loop {
        let Some(strong) = feed.upgrade() else { return };
        let reading = tokio::task::spawn_blocking(move || {
            let found = strong.read();
            (strong.ended.load(Ordering::SeqCst), found)
        });
        match reading.await {
            Ok((true, Ok(_))) | Err(_) => return,
            Ok((false, Ok(_))) => {}
            Ok((_, Err(error))) => tracing::warn!(%error, "a run that is watched cannot be read"),
        }
        tokio::select! {
            () = wake.notified() => tokio::time::sleep(GATHER).await,
            () = tokio::time::sleep(LOOK_EVERY) => {}
        }
    }
}

impl Feed {
    /// Takes in what was stored since.
    fn read(&self) -> Result<(), StoreError> {
        // Asked first: what an ended run has is then in what is read after.
        let over = self.store.head(&self.run)?.status.is_terminal();
        let from = *self.known.borrow();
        let lines = self.store.tail(&self.run, from)?;
        let found = lines.len() as u64;
        if found > 0 {
            let mut ring = self.ring.lock();
            ring.lines.extend(lines.into_iter().map(Line::from));
            while ring.lines.len() > HELD {
                ring.lines.pop_front();
                ring.base += 1;
            }
        }
        if found > 0 {
            self.known.send_modify(|known| *known += found);
        }
        if over {
            // After what is known: who sees the end has been told how many records there are.
            self.ended.store(true, Ordering::SeqCst);
            self.known.send_modify(|_| {});
        }
        Ok(())
    }

    /// The records from this one on, as many as are held; none when they are not held any more.
    fn held(&self, from: u64) -> Option<Vec<Line>> {
        let ring = self.ring.lock();
        let skip = usize::try_from(from.checked_sub(ring.base)?).ok()?;
        Some(ring.lines.iter().skip(skip).take(PAGE).cloned().collect())
    }
}

impl Viewer {
    /// What comes next; waits for it.
    ///
    /// # Errors
    /// When the store cannot be read.
    pub async fn next(&mut self) -> Result<News, StoreError> {
        loop {
            // Before what is known is looked at: an end that is seen was told of with its last records.
            let ended = self.feed.ended.load(Ordering::SeqCst);
            let known = *self.known.borrow_and_update();
            if self.next < known {
                let lines = self.read(known).await?;
                if !lines.is_empty() {
                    let first = self.next;
                    self.next += lines.len() as u64;
                    return Ok(News::Records(first, lines));
                }
            }
            if ended && self.next >= known {
                return Ok(News::Ended);
            }
            tokio::select! {
                biased;
                changed = self.known.changed() => if changed.is_err() {
                    return Ok(News::Ended);
                },
                word = self.progress.recv() => if let Ok(word) = word {
                    return Ok(News::Progress(word));
                },
            }
        }
    }

    async fn read(&self, known: u64) -> Result<Vec<Line>, StoreError> {
        if let Some(lines) = self.feed.held(self.next) {
            return Ok(lines);
        }
        let (feed, from) = (Arc::clone(&self.feed), self.next);
        let read = tokio::task::spawn_blocking(move || feed.store.tail(&feed.run, from));
        let Ok(lines) = read.await else { return Ok(Vec::new()) };
        // No more than is known to all: the rest is told when it is.
        let most = usize::try_from(known - from).unwrap_or(usize::MAX).min(PAGE);
        Ok(lines?.into_iter().take(most).map(Line::from).collect())
    }
}
