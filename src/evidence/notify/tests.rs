//! The outbox: whatever dies whenever, nobody is left untold.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicI64, Ordering};
use std::time::Duration;

use parking_lot::Mutex;

use super::config::{Config, Format, Hook};
use super::event::{Event, Kind};
use super::outbox::{Outbox, PATIENCE};
use super::send::{Sender, body, is_local, signature, target};
use crate::evidence::pack::tests::put;
use crate::evidence::tests::story::{HOSTILE, Story, eventful, smooth};
use crate::journal::document::{Document, Query, Write};
use crate::journal::{Append, Head, Holder, Life, Lines, MemoryStore, Selection, Store, StoreError, Taken, Wanting};
use crate::model::command::Command;
use crate::model::status::RunStatus;
use crate::model::{RunId, Timestamp};

/// A store that dies at one of its writes of documents: right before it, or right after.
struct Dying {
    inner: MemoryStore,
    left: AtomicI64,
    after: bool,
    dead: AtomicBool,
}

impl Dying {
    fn crash() -> StoreError {
        StoreError::Database { act: "write", path: "memory".to_owned(), what: "it died".to_owned() }
    }
}

impl Store for Dying {
    fn create(&self, head: &Head) -> Result<(), StoreError> {
        self.inner.create(head)
    }
    fn append(&self, append: Append) -> Result<(), StoreError> {
        self.inner.append(append)
    }
    fn load(&self, run: &RunId) -> Result<Lines, StoreError> {
        self.inner.load(run)
    }
    fn tail(&self, run: &RunId, from_seq: u64) -> Result<Vec<String>, StoreError> {
        self.inner.tail(run, from_seq)
    }
    fn first(&self, run: &RunId) -> Result<Option<String>, StoreError> {
        self.inner.first(run)
    }

    fn heads(&self) -> Result<Vec<Head>, StoreError> {
        self.inner.heads()
    }
    fn head(&self, run: &RunId) -> Result<Head, StoreError> {
        self.inner.head(run)
    }
    fn resolve(&self, text: &str) -> Result<RunId, StoreError> {
        self.inner.resolve(text)
    }
    fn put_blob(&self, bytes: &[u8]) -> Result<String, StoreError> {
        self.inner.put_blob(bytes)
    }
    fn blob(&self, digest: &str) -> Result<Vec<u8>, StoreError> {
        self.inner.blob(digest)
    }
    fn remember_bundle(&self, playbook: &str, version: &str, digest: &str, at: Timestamp) -> Result<(), StoreError> {
        self.inner.remember_bundle(playbook, version, digest, at)
    }
    fn bundles(&self, playbook: &str) -> Result<Vec<(String, String, Timestamp)>, StoreError> {
        self.inner.bundles(playbook)
    }
    fn select(&self, of: &Selection) -> Result<Vec<Head>, StoreError> {
        self.inner.select(of)
    }

    fn playbooks(&self) -> Result<Vec<String>, StoreError> {
        self.inner.playbooks()
    }
    fn count(&self) -> Result<Vec<(RunStatus, u64)>, StoreError> {
        self.inner.count()
    }
    fn wanting(&self) -> Result<Wanting, StoreError> {
        self.inner.wanting()
    }
    fn enrol(&self) -> Result<(), StoreError> {
        self.inner.enrol()
    }
    fn life(&self, holder: &Holder) -> Life {
        self.inner.life(holder)
    }
    fn post(&self, run: &RunId, command: &Command) -> Result<i64, StoreError> {
        self.inner.post(run, command)
    }
    fn inbox(&self, run: &RunId) -> Result<Vec<(i64, Command)>, StoreError> {
        self.inner.inbox(run)
    }
    fn inbox_runs(&self) -> Result<Vec<RunId>, StoreError> {
        self.inner.inbox_runs()
    }
    fn take(&self, run: &RunId) -> Result<Taken, StoreError> {
        self.inner.take(run)
    }
    fn release(&self, run: &RunId, epoch: u64) -> Result<(), StoreError> {
        self.inner.release(run, epoch)
    }
    fn holder(&self) -> Holder {
        self.inner.holder()
    }
    fn kill_stale(&self, holder: &Holder) -> Result<(), StoreError> {
        self.inner.kill_stale(holder)
    }
    fn document(&self, kind: &str, key: &str) -> Result<Option<Document>, StoreError> {
        self.inner.document(kind, key)
    }
    fn documents(&self, kind: &str, query: &Query) -> Result<Vec<Document>, StoreError> {
        self.inner.documents(kind, query)
    }
    fn write_documents(&self, writes: &[Write], at: Timestamp) -> Result<(), StoreError> {
        if self.dead.load(Ordering::SeqCst) {
            return Err(Self::crash());
        }
        let dies = self.left.fetch_sub(1, Ordering::SeqCst) == 0;
        if dies {
            self.dead.store(true, Ordering::SeqCst);
        }
        if !dies || self.after {
            self.inner.write_documents(writes, at)?;
        }
        if dies { Err(Self::crash()) } else { Ok(()) }
    }
}

/// Those who were told what, in order; and who does not answer.
#[derive(Clone, Default)]
struct Receivers {
    told: Arc<Mutex<Vec<(String, Event)>>>,
    deaf: Arc<Mutex<Vec<String>>>,
    /// The sender is dead: nothing is sent any more.
    dead: Option<Arc<Dying>>,
}

impl Sender for Receivers {
    fn send(&self, hook: &Hook, event: &Event, _: Timestamp) -> Result<(), String> {
        assert!(self.dead.as_ref().is_none_or(|store| !store.dead.load(Ordering::SeqCst)), "the dead send nothing");
        if self.deaf.lock().contains(&hook.name) {
            return Err("it answered 500".to_owned());
        }
        self.told.lock().push((hook.name.clone(), event.clone()));
        Ok(())
    }
}

impl Receivers {
    /// What a hook was told first of each event, in order.
    fn firsts(&self, hook: &str) -> Vec<String> {
        let mut firsts = Vec::new();
        for (name, event) in self.told.lock().iter() {
            if name == hook && !firsts.contains(&event.id) {
                firsts.push(event.id.clone());
            }
        }
        firsts
    }
}

fn config(names: &[&str]) -> Config {
    let hook = |name: &&str| Hook {
        name: (*name).to_owned(),
        url: "https://example.org/hook".to_owned(),
        secret: Some("env:X".to_owned()),
        events: None,
        format: Format::Generic,
        timeout: None,
        allow_local: false,
    };
    Config { notify: 1, hooks: names.iter().map(hook).collect() }
}

fn begin() -> Timestamp {
    Story::begun(1, 0).records()[0].at - Duration::from_secs(60)
}

fn later(seconds: u64) -> Timestamp {
    begin() + Duration::from_secs(seconds)
}

const EVENTS: [&str; 5] = ["3-failed", "10-paused", "11-break_glass", "20-ended", "20-objective_missed"];

fn expected(run: &RunId) -> Vec<String> {
    EVENTS.iter().map(|event| format!("{run}-{event}")).collect()
}

#[test]
fn killed_at_whatever_write_nobody_is_left_untold() {
    let mut deaths = 0;
    for at in 0.. {
        let mut died = false;
        for after in [false, true] {
            let memory = MemoryStore::new();
            let beside = memory.beside();
            let dying =
                Arc::new(Dying { inner: memory, left: AtomicI64::new(at), after, dead: AtomicBool::new(false) });
            let receivers = Receivers { dead: Some(Arc::clone(&dying)), ..Receivers::default() };
            let store: Arc<dyn Store> = Arc::clone(&dying) as Arc<dyn Store>;
            let outbox = Outbox::new(store, config(&["a", "b"]), Box::new(receivers.clone()));
            let mut outcomes = vec![outbox.turn(begin())];
            if outcomes[0].is_err() {
                // It died before it ever was at work: who comes next begins.
                let next = Outbox::new(Arc::new(beside.beside()), config(&["a", "b"]), Box::new(Receivers::default()));
                next.turn(begin()).expect("a turn");
            }
            let first = put(&beside, &eventful(7, 0));
            outcomes.push(outbox.turn(later(2000)));
            let second = put(&beside, &eventful(8, 10));
            outcomes.push(outbox.turn(later(2001)));
            died |= dying.dead.load(Ordering::SeqCst);
            drop(outbox);
            let alive = Receivers { dead: None, ..receivers.clone() };
            let next = Outbox::new(Arc::new(beside.beside()), config(&["a", "b"]), Box::new(alive));
            for turn in 0..3 {
                outcomes.push(next.turn(later(3000 + turn)));
            }
            let waiting = outcomes.last().expect("a turn").as_ref().expect("it lives").waiting;
            assert_eq!(waiting, 0);
            for hook in ["a", "b"] {
                let told = receivers.firsts(hook);
                let of = |run: &RunId| -> Vec<String> {
                    told.iter().filter(|id| id.starts_with(run.as_str())).cloned().collect()
                };
                assert_eq!(of(&first), expected(&first), "{hook}, death at {at}");
                assert_eq!(of(&second), expected(&second), "{hook}, death at {at}");
            }
        }
        if !died {
            break;
        }
        deaths += 1;
    }
    assert!(deaths > 20, "{deaths} points of death");
}

#[test]
fn who_does_not_answer_is_told_later_in_order_and_keeps_nobody_else_waiting() {
    let store = MemoryStore::new();
    let receivers = Receivers::default();
    receivers.deaf.lock().push("deaf".to_owned());
    let outbox = Outbox::new(Arc::new(store.beside()), config(&["deaf", "good"]), Box::new(receivers.clone()));
    outbox.turn(begin()).expect("a turn");
    let run = put(&store, &eventful(7, 0));
    let turn = outbox.turn(later(2000)).expect("a turn");
    assert_eq!((turn.noted, turn.sent, turn.waiting, turn.failed.len()), (10, 5, 5, 1), "{turn:?}");
    assert_eq!(receivers.firsts("good"), expected(&run));
    let turn = outbox.turn(later(2001)).expect("a turn");
    assert_eq!((turn.sent, turn.failed.len()), (0, 0), "not before its time");
    let turn = outbox.turn(later(2002)).expect("a turn");
    assert_eq!(turn.failed.len(), 1, "two seconds later it is tried again");
    receivers.deaf.lock().clear();
    assert_eq!(outbox.turn(later(2005)).expect("a turn").sent, 0, "then four");
    assert_eq!(outbox.turn(later(2006)).expect("a turn").sent, 5);
    assert_eq!(receivers.firsts("deaf"), expected(&run));
    assert_eq!(outbox.turn(later(9000)).expect("a turn").waiting, 0);
    assert_eq!(receivers.told.lock().len(), 10, "nothing was sent twice");
}

#[test]
fn after_a_day_a_message_is_given_up_and_that_is_a_finding() {
    let store = MemoryStore::new();
    let receivers = Receivers::default();
    receivers.deaf.lock().push("deaf".to_owned());
    let outbox = Outbox::new(Arc::new(store.beside()), config(&["deaf"]), Box::new(receivers));
    outbox.turn(begin()).expect("a turn");
    put(&store, &smooth(7, 0, 60));
    assert_eq!(outbox.turn(later(2000)).expect("a turn").failed.len(), 1);
    assert!(Outbox::lost(&store).expect("read").is_empty());
    let turn = outbox.turn(later(2000 + PATIENCE.as_secs())).expect("a turn");
    assert_eq!((turn.lost.len(), turn.waiting), (1, 0), "{turn:?}");
    let found = Outbox::lost(&store).expect("read");
    assert!(found[0].text.contains("deaf was not told") && found[0].text.contains("answered 500"), "{found:?}");
    assert_eq!(outbox.turn(later(1_000_000)).expect("a turn").lost.len(), 0, "once");
}

#[test]
fn what_happened_before_is_told_to_nobody() {
    let store = MemoryStore::new();
    put(&store, &eventful(7, 0));
    let receivers = Receivers::default();
    let outbox = Outbox::new(Arc::new(store.beside()), config(&["a"]), Box::new(receivers.clone()));
    assert_eq!(outbox.turn(later(5000)).expect("a turn").noted, 0);
    let run = put(&store, &smooth(8, 6000, 60));
    assert_eq!(outbox.turn(later(7000)).expect("a turn").sent, 1);
    assert_eq!(receivers.firsts("a"), [format!("{run}-5-ended")]);
}

#[test]
fn two_outboxes_on_one_store_tell_each_event_once() {
    let store = MemoryStore::new();
    let receivers = Receivers::default();
    let outbox = || Outbox::new(Arc::new(store.beside()), config(&["a"]), Box::new(receivers.clone()));
    let (one, two) = (outbox(), outbox());
    one.turn(begin()).expect("a turn");
    two.turn(begin()).expect("a turn");
    let run = put(&store, &eventful(7, 0));
    one.turn(later(2000)).expect("a turn");
    // It had looked before the other wrote: it is told so, or finds nothing to do.
    let _ = two.turn(later(2000));
    two.turn(later(2001)).expect("a turn");
    assert_eq!(receivers.told.lock().len(), 5);
    assert_eq!(receivers.firsts("a"), expected(&run));
}

fn event(text: &str) -> Event {
    let at = begin();
    let run = RunId::from_entropy(1);
    Event {
        id: "1".to_owned(),
        kind: Kind::Ended,
        at,
        run,
        playbook: "p".to_owned(),
        text: text.to_owned(),
        status: None,
    }
}

#[test]
fn slack_is_told_text_and_nothing_that_pings_people() {
    let mut hook = config(&["a"]).hooks.remove(0);
    hook.format = Format::Slack;
    let body: serde_json::Value =
        serde_json::from_str(&body(&hook, &event("<!channel> & <http://x|y>"))).expect("JSON");
    assert_eq!(body["text"], "&lt;!channel&gt; &amp; &lt;http://x|y&gt;");
    let hostile = eventful(7, 0).report();
    assert!(hostile.failures[0].error.contains(HOSTILE));
}

#[test]
fn a_signature_is_the_one_that_the_documentation_describes() {
    // printf '1700000000.{"a":1}' | openssl dgst -sha256 -hmac key
    let at = Timestamp::from_second(1_700_000_000).expect("an instant");
    let code = signature("key", at, "{\"a\":1}");
    assert!(code.starts_with("t=1700000000,v1=") && code.len() == 16 + 64, "{code}");
    assert_ne!(code, signature("yek", at, "{\"a\":1}"));
    assert_ne!(code, signature("key", at, "{\"a\":2}"));
}

#[test]
fn only_hosts_elsewhere_are_sent_to() {
    for local in
        ["127.0.0.1", "127.9.9.9", "0.0.0.0", "169.254.169.254", "::1", "::", "fe80::1", "::ffff:127.0.0.1", "ff02::1"]
    {
        assert!(is_local(local.parse().expect("an address")), "{local}");
    }
    for other in ["10.0.0.1", "192.0.2.1", "2001:db8::1", "::ffff:192.0.2.1"] {
        assert!(!is_local(other.parse().expect("an address")), "{other}");
    }
    for bad in ["", "ftp://x/", "file:///etc/passwd", "http://", "https://u:p@host/", "/path", "http:///x"] {
        assert!(target(bad).is_err(), "{bad}");
    }
}

#[test]
fn a_file_that_says_nothing_useful_is_refused_with_why() {
    let hook = |more: &str| format!("notify: 1\nhooks:\n  - name: ops\n    url: https://example.org/\n{more}");
    let fine =
        Config::parse(&hook("    secret: env:X\n    events: [ended, break_glass]\n    timeout: 5s\n")).expect("a file");
    assert!(fine.hooks[0].wants(Kind::Ended) && !fine.hooks[0].wants(Kind::Paused));
    for (text, why) in [
        (hook("    secret: hunter2\n"), "stands in the file"),
        (hook(""), "has no secret"),
        (hook("    secret: env:X\n    evnts: [ended]\n"), "evnts"),
        (hook("    secret: env:X\n    events: [everything]\n"), "everything"),
        (hook("    secret: env:X\n    timeout: 2h\n"), "no time between"),
        (hook("    secret: env:X\n").replace("ops", "a/b"), "no name of a hook"),
        (hook("    secret: env:X\n").replace("https", "gopher"), "https://host/path"),
        ("notify: 2\nhooks: []\n".to_owned(), "notify: 2"),
    ] {
        let said = Config::parse(&text).expect_err(&text);
        assert!(said.contains(why), "{why}: {said}");
    }
}
