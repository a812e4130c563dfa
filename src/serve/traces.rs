//! Tells a collector of runs as traces, once a second, as long as this server leads; and of the requests it answered.
//!
//! The journals are the queue: how far they have been told is noted in the store once the collector has said that it has it. A server that
//! dies loses no span of a run; some may be sent again, as the same span. Requests are held in memory only, and dropped when there are too many.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, Instant};

use opentelemetry_sdk::trace::SpanData;
use parking_lot::Mutex;

use super::otlp::{self, Answered, Exporter};
use super::server::{Phase, Server};
use crate::evidence::trace::Fold;
use crate::journal::{Head, Selection, Store, StoreError, Write, apart};
use crate::model::{RunId, Timestamp};

/// How often it is looked what there is to tell.
const LOOK_EVERY: Duration = Duration::from_secs(1);
/// A record may become durable so long after the instant it bears.
const SLACK: Duration = Duration::from_secs(60);
/// What happened longer ago than this is not told any more.
const LONGEST_AGO: Duration = Duration::from_hours(24);
/// So many spans are sent at a time.
const BATCH: usize = 512;
/// So many requests are held.
const MOST_REQUESTS: usize = 4096;
/// The longest that is waited for a collector that does not answer.
const LONGEST_WAIT: Duration = Duration::from_secs(60);
/// The kind and the key of the note.
const MARK: (&str, &str) = ("traces", "told");

/// Requests that were answered and are still to be told.
#[derive(Default)]
pub struct Requests {
    waiting: Mutex<Vec<SpanData>>,
    dropped: AtomicU64,
}

impl Requests {
    /// A request was answered.
    pub fn answered(&self, answered: Answered) {
        let mut waiting = self.waiting.lock();
        if waiting.len() >= MOST_REQUESTS {
            self.dropped.fetch_add(1, Ordering::Relaxed);
        } else if let Some(span) = otlp::of_request(answered) {
            waiting.push(span);
        }
    }
}

/// A run that is followed.
struct Followed {
    fold: Fold,
    updated: Timestamp,
}

/// Follows runs, and says what is to be told of them.
struct Follower {
    store: Arc<dyn Store>,
    runs: BTreeMap<RunId, Followed>,
    /// Everything that ended before this has been told.
    mark: Timestamp,
}

impl Follower {
    /// From where the last server left off.
    fn new(store: Arc<dyn Store>, now: Timestamp) -> Result<Self, StoreError> {
        let noted = store.document(MARK.0, MARK.1)?;
        let noted = noted.and_then(|document| serde_json::from_value::<Timestamp>(document.body).ok());
        let earliest = now.saturating_sub(LONGEST_AGO).unwrap_or(now);
        let mark = match noted {
            Some(noted) => noted.max(earliest),
            None => {
                note(store.as_ref(), now)?;
                now
            }
        };
        Ok(Self { store, runs: BTreeMap::new(), mark })
    }

    /// What ended in runs since this was last asked.
    fn look(&mut self) -> Result<Vec<SpanData>, StoreError> {
        let since = self.mark.saturating_sub(SLACK).unwrap_or(self.mark);
        let heads = self.store.select(&Selection { updated_since: Some(since), ..Selection::default() })?;
        let mut spans = Vec::new();
        for head in &heads {
            self.follow(head, since, &mut spans)?;
        }
        // What ended so long ago that it is looked at no more.
        self.runs.retain(|_, followed| followed.updated >= since || !followed.fold.is_over());
        Ok(spans)
    }

    fn follow(&mut self, head: &Head, since: Timestamp, spans: &mut Vec<SpanData>) -> Result<(), StoreError> {
        let first = !self.runs.contains_key(&head.run);
        let followed = self
            .runs
            .entry(head.run.clone())
            .or_insert_with(|| Followed { fold: Fold::default(), updated: head.updated });
        followed.updated = head.updated;
        let from = followed.fold.records();
        if from >= head.records {
            return Ok(());
        }
        let lines = self.store.tail(&head.run, from)?;
        for (seq, line) in (from..).zip(&lines) {
            match apart::record(self.store.as_ref(), &head.run, seq, line) {
                Ok(record) => followed.fold.apply(&record),
                // One run that cannot be read keeps nobody from hearing of the others.
                Err(StoreError::Damaged { .. } | StoreError::Unknown { .. } | StoreError::TooNew { .. }) => break,
                Err(error) => return Err(error),
            }
        }
        let ended = followed.fold.take();
        // What the last server told long ago is not told again.
        let new = ended.into_iter().filter(|span| !first || span.ended >= since);
        spans.extend(new.map(|span| otlp::of_run(&head.run, span)));
        Ok(())
    }

    /// Everything up to here has been told.
    fn told(&mut self, until: Timestamp) -> Result<(), StoreError> {
        note(self.store.as_ref(), until)?;
        self.mark = until;
        Ok(())
    }
}

fn note(store: &dyn Store, at: Timestamp) -> Result<(), StoreError> {
    let body = Some(serde_json::Value::String(at.to_string()));
    let expect = crate::journal::Expect::Any;
    store.write_documents(&[Write { kind: MARK.0.to_owned(), key: MARK.1.to_owned(), expect, body }], at)
}

/// Tells on a thread of its own: a collector that hangs holds up nobody else. When the server ends, nobody waits for it: what was not told
/// of runs by then is told by the next.
///
/// # Errors
/// When the system gives no thread.
pub fn watch(server: &Arc<Server>, exporter: Exporter) -> std::io::Result<()> {
    let server = Arc::clone(server);
    std::thread::Builder::new().name("traces".to_owned()).spawn(move || tell(&server, &exporter)).map(drop)
}

fn tell(server: &Server, exporter: &Exporter) {
    let mut follower = None;
    let mut waiting: Vec<SpanData> = Vec::new();
    // Until when the journals were read for what is waiting.
    let mut read: Option<Timestamp> = None;
    let (mut fails, mut again) = (0_u32, Instant::now());
    while matches!(server.phase(), Phase::Standby | Phase::Leading) {
        std::thread::sleep(LOOK_EVERY);
        if let Some(requests) = &server.requests {
            report_dropped(requests);
            if waiting.len() < MOST_REQUESTS {
                waiting.append(&mut requests.waiting.lock());
            }
        }
        if server.phase() == Phase::Leading && read.is_none() {
            let now = server.app.clock.now();
            match follow(&mut follower, server, now) {
                Ok(spans) => {
                    if !spans.is_empty() {
                        read = Some(now);
                    }
                    waiting.extend(spans);
                }
                Err(error) => {
                    // What was read of it is read anew.
                    follower = None;
                    tracing::warn!(%error, "journals cannot be read for traces; tried again");
                }
            }
        }
        if again > Instant::now() {
            continue;
        }
        let sent = send(exporter, &mut waiting);
        let noted = match (&sent, follower.as_mut(), read) {
            (Ok(()), Some(follower), Some(until)) => follower.told(until).map_err(|error| error.to_string()),
            _ => sent,
        };
        match noted {
            Ok(()) => (fails, read) = (0, None),
            Err(why) => {
                // Told once: a collector that is gone stays so for a while.
                if fails == 0 {
                    tracing::warn!(why, "traces were not taken; tried again");
                }
                fails = fails.saturating_add(1);
                again = Instant::now() + Duration::from_secs(1 << fails.min(6)).min(LONGEST_WAIT);
            }
        }
    }
}

fn follow(follower: &mut Option<Follower>, server: &Server, now: Timestamp) -> Result<Vec<SpanData>, StoreError> {
    if follower.is_none() {
        *follower = Some(Follower::new(server.app.store(), now)?);
    }
    follower.as_mut().map_or_else(|| Ok(Vec::new()), Follower::look)
}

fn report_dropped(requests: &Requests) {
    let dropped = requests.dropped.swap(0, Ordering::Relaxed);
    if dropped > 0 {
        tracing::warn!(dropped, "requests are left out of the traces: their collector is too slow");
    }
}

/// Sends what is waiting, as much as is taken.
fn send(exporter: &Exporter, waiting: &mut Vec<SpanData>) -> Result<(), String> {
    while !waiting.is_empty() {
        let batch: Vec<SpanData> = waiting[..waiting.len().min(BATCH)].to_vec();
        let sent = batch.len();
        exporter.send(batch)?;
        waiting.drain(..sent);
    }
    Ok(())
}
