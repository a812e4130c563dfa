//! Watches of single objects: what becomes of an object between two looks is seen as well, in order, and the API server is not asked
//! again and again for what has not changed.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::{StreamExt as _, pin_mut};
use kube::Client;
use kube::core::WatchEvent;
use parking_lot::Mutex;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use tokio::time::Instant;

use super::fields::meta;
use super::look::{Live, Look};
use super::named::Named;
use crate::model::fault::OpError;
use crate::model::{Timestamp, Value};
use crate::ops::helm::learn_object;

/// A watch that nobody has asked for so long is over.
const IDLE: Duration = Duration::from_secs(60);
/// So long the server is asked to go on with a request, which is then made anew from where it was.
const SPAN: Duration = Duration::from_secs(60);
/// A server that says nothing so long after that has been lost.
const GRACE: Duration = Duration::from_secs(10);
/// How often a silent watch looks up.
const TICK: Duration = Duration::from_secs(5);
/// Without a word from the server for so long, the object itself is looked at: a connection can be dead and not know it.
const CONFIRMED: Duration = Duration::from_secs(5);
/// A request that the server ends sooner than this is not made anew at once.
const SOON: Duration = Duration::from_secs(1);
/// More watches at once than these no cluster is asked for: further waits look.
const MOST: usize = 100;
/// Whoever has not asked for so long begins anew: what has passed meanwhile may have been before a wait of its own.
const CONTINUOUS: Duration = Duration::from_secs(10);
/// More states than these nobody catches up with.
const BACKLOG: usize = 200;

/// The watches of one connection, by who waits for what. Each wait has its own: what was before it began is no concern of it.
#[derive(Default)]
pub(super) struct Watches(Mutex<BTreeMap<String, Arc<Mutex<State>>>>);

/// Why a watch is over.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum End {
    /// The connection was lost: another one goes on from the last version.
    Lost,
    /// The server has forgotten where to go on from (410), or nobody has asked for long.
    Forgotten,
    /// It may not be watched, or nothing comes through: it is looked at instead.
    Useless,
}

/// What a watch has seen.
struct State {
    /// Until when the wait has time; another time is another attempt's.
    deadline: Option<Timestamp>,
    /// What the object has been since it was last asked for, oldest first; `None` when it was gone.
    passed: Vec<Option<Value>>,
    /// How it stands.
    now: Option<Value>,
    /// The version that `now` is of.
    version: u128,
    /// The version of the last event: from where the watch goes on, as the server writes it; empty for where it stands.
    after: String,
    asked: Instant,
    confirmed: Instant,
    /// A look has found a newer version than the watch has told of.
    behind: bool,
    end: Option<End>,
}

/// How an object stands, and how it came to.
pub(super) struct Seen {
    /// What it was between this and the former look; `None` when it was gone.
    pub passed: Vec<Option<Value>>,
    /// What it is.
    pub now: Option<Value>,
    /// Whether changes are told of as they happen.
    pub watched: bool,
    /// Whether it was looked at just now: what a watch tells may be a moment old.
    pub fresh: bool,
}

/// Versions of one kind can be compared as numbers.
fn version(object: &Value) -> u128 {
    meta(object, "resourceVersion").parse().unwrap_or(0)
}

impl State {
    fn event(&mut self, object: Value, gone: bool) {
        self.heard(meta(&object, "resourceVersion"));
        let at = version(&object);
        let object = (!gone).then_some(object);
        // What a look was ahead of has passed already.
        if at >= self.version {
            self.version = at;
            self.behind = false;
            self.now.clone_from(&object);
        }
        self.passed.push(object);
    }

    fn heard(&mut self, version: &str) {
        version.clone_into(&mut self.after);
        self.confirmed = Instant::now();
    }

    /// A look at the object itself, begun at this version.
    fn looked(&mut self, object: Option<&Value>, before: u128) {
        let at = object.map_or(self.version, version);
        if at > self.version || (object.is_none() && self.now.is_some()) {
            // Told of twice in a row by looks alone: whatever is between here and there keeps events back.
            if self.behind {
                self.end = Some(End::Useless);
            }
            self.behind = true;
        }
        // A server that was itself restored goes back to an earlier version: only an event that came meanwhile is newer than a look.
        if at >= self.version || self.version == before {
            self.now = object.cloned();
            self.version = at;
        }
        self.confirmed = Instant::now();
    }
}

/// Follows one object until there is a reason not to.
async fn follow(client: Client, path: String, state: Arc<Mutex<State>>) {
    loop {
        let after = state.lock().after.clone();
        let from = if after.is_empty() { String::new() } else { format!("&resourceVersion={after}") };
        let begun = Instant::now();
        let end = request(&client, format!("{path}{from}"), &state).await;
        match end {
            None if begun.elapsed() >= SOON => {}
            end => {
                state.lock().end = Some(end.unwrap_or(End::Lost));
                return;
            }
        }
    }
}

/// One request, from which events come; none when the server has ended it.
async fn request(client: &Client, path: String, state: &Mutex<State>) -> Option<End> {
    let Ok(request) = http::Request::get(path).body(Vec::new()) else { return Some(End::Useless) };
    let begun = Instant::now();
    let events = match tokio::time::timeout(SPAN, client.request_events::<Value>(request)).await {
        Ok(Ok(events)) => events,
        Ok(Err(kube::Error::Api(status))) => {
            return Some(match status.code {
                410 => End::Forgotten,
                429 | 500.. => End::Lost,
                _ => End::Useless,
            });
        }
        Ok(Err(_)) | Err(_) => return Some(End::Lost),
    };
    pin_mut!(events);
    loop {
        let event = tokio::time::timeout(TICK, events.next()).await;
        let mut state = state.lock();
        if state.asked.elapsed() > IDLE || state.passed.len() > BACKLOG || state.end.is_some() {
            return Some(End::Forgotten);
        }
        match event {
            Err(_) if begun.elapsed() > SPAN + GRACE => return Some(End::Lost),
            Err(_) => {}
            Ok(None) => return None,
            Ok(Some(Ok(WatchEvent::Added(object) | WatchEvent::Modified(object)))) => state.event(object, false),
            Ok(Some(Ok(WatchEvent::Deleted(object)))) => state.event(object, true),
            Ok(Some(Ok(WatchEvent::Bookmark(mark)))) => state.heard(&mark.metadata.resource_version),
            Ok(Some(Ok(WatchEvent::Error(status)))) => {
                return Some(if status.code == 410 { End::Forgotten } else { End::Lost });
            }
            Ok(Some(Err(_))) => return Some(End::Lost),
        }
    }
}

impl Watches {
    /// The watch that goes on since this one last asked, if there is one.
    fn going_on(&self, who: &str, deadline: Option<Timestamp>) -> Option<Arc<Mutex<State>>> {
        let found = self.0.lock().get(who).cloned()?;
        let mut state = found.lock();
        if state.deadline != deadline || state.asked.elapsed() > CONTINUOUS {
            drop(state);
            self.over(who);
            return None;
        }
        state.asked = Instant::now();
        drop(state);
        Some(found)
    }

    fn over(&self, who: &str) {
        if let Some(state) = self.0.lock().remove(who) {
            state.lock().end = Some(End::Forgotten);
        }
    }

    /// Whether there was room for one more.
    fn begin(&self, who: &str, state: &Arc<Mutex<State>>) -> bool {
        let mut all = self.0.lock();
        all.retain(|_, one| one.lock().asked.elapsed() < IDLE);
        let room = all.len() < MOST || all.contains_key(who);
        if room {
            all.insert(who.to_owned(), Arc::clone(state));
        }
        room
    }
}

impl Live<'_, '_> {
    /// How an object stands, and what it was since `who` asked for it last. The first call begins to watch it; a watch that was lost
    /// goes on from where it was. `fresh`: it is looked at whatever the watch tells.
    ///
    /// # Errors
    /// When the object has to be looked at and cannot be now. Nothing that was seen is lost by that.
    pub(super) fn seen(&self, named: &Named, who: &str, fresh: bool) -> Result<Seen, OpError> {
        let act = format!("cannot get {}", named.shown());
        let served = self.served(&act, named)?;
        let watches = &self.line.connection.watches;
        let deadline = self.line.deadline();
        let known = watches.going_on(who, deadline);
        if let Some(known) = &known {
            let mut state = known.lock();
            if !fresh && state.end.is_none() && state.confirmed.elapsed() < CONFIRMED {
                return Ok(self.told(&mut state, false));
            }
        }
        let before = known.as_ref().map_or(0, |known| known.lock().version);
        let now = self.object(named)?;
        let mut passed = Vec::new();
        let mut after = now.as_ref().map_or("", |now| meta(now, "resourceVersion")).to_owned();
        if let Some(known) = &known {
            let mut state = known.lock();
            state.looked(now.as_ref(), before);
            match state.end {
                None | Some(End::Useless) => return Ok(self.told(&mut state, true)),
                Some(End::Lost) => after.clone_from(&state.after),
                Some(End::Forgotten) => {}
            }
            passed = self.told(&mut state, true).passed;
        }
        let state = Arc::new(Mutex::new(State {
            deadline,
            passed: Vec::new(),
            now: now.clone(),
            version: now.as_ref().map_or(0, version),
            after,
            asked: Instant::now(),
            confirmed: Instant::now(),
            behind: false,
            end: None,
        }));
        let watched = watches.begin(who, &state);
        if watched {
            let all = served.path(named.namespace.as_deref(), None);
            let which = format!(
                "fieldSelector={}",
                utf8_percent_encode(&format!("metadata.name={}", named.name), NON_ALPHANUMERIC)
            );
            let span = SPAN.as_secs();
            let path = format!("{all}?watch=1&{which}&allowWatchBookmarks=true&timeoutSeconds={span}");
            self.line.begin(follow(self.line.connection.client(), path, state))?;
        }
        Ok(Seen { passed, now, watched, fresh: true })
    }

    /// What `who` has waited for is there, or will never be.
    pub(super) fn seen_enough(&self, who: &str) {
        self.line.connection.watches.over(who);
    }

    fn told(&self, state: &mut State, fresh: bool) -> Seen {
        let passed = std::mem::take(&mut state.passed);
        for object in passed.iter().chain([&state.now]).flatten() {
            learn_object(self.secrets, object);
        }
        Seen { passed, now: state.now.clone(), watched: state.end.is_none(), fresh }
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    fn object(version: u32) -> Value {
        json!({ "metadata": { "resourceVersion": version.to_string() } })
    }

    fn state() -> State {
        State {
            deadline: None,
            passed: Vec::new(),
            now: Some(object(5)),
            version: 5,
            after: "5".to_owned(),
            asked: Instant::now(),
            confirmed: Instant::now(),
            behind: false,
            end: None,
        }
    }

    #[test]
    fn a_watch_through_which_nothing_comes_is_given_up() {
        let mut state = state();
        state.looked(Some(&object(6)), 5);
        assert_eq!((state.end, state.now.clone()), (None, Some(object(6))));
        state.looked(Some(&object(7)), 6);
        assert_eq!((state.end, state.now), (Some(End::Useless), Some(object(7))));
    }

    #[test]
    fn a_server_that_goes_back_to_an_earlier_version_is_believed_and_a_look_that_was_overtaken_is_not() {
        let mut state = state();
        state.looked(Some(&object(3)), 5);
        assert_eq!((state.now.clone(), state.end), (Some(object(3)), None));
        state.event(object(4), false);
        state.looked(Some(&object(3)), 3);
        assert_eq!(state.now, Some(object(4)));
    }

    #[test]
    fn a_watch_that_a_look_was_ahead_of_catches_up_and_its_past_is_not_the_present() {
        let mut state = state();
        state.looked(Some(&object(9)), 5);
        state.event(object(7), false);
        assert_eq!((state.now.clone(), state.after.as_str()), (Some(object(9)), "7"));
        state.event(object(9), false);
        state.looked(Some(&object(10)), 9);
        assert_eq!((state.end, state.passed.len()), (None, 2));
        state.event(object(11), true);
        assert_eq!(state.now, None);
    }
}
