//! A world that is a map from paths to texts: `fs.write_text` sets, `fs.restore_before` puts back, `fs.read_text` reads. Each
//! effect leaves its key beside what it set, as a real one leaves a label; a journal of sends tells what happened twice.

use std::collections::{BTreeMap, BTreeSet, VecDeque};
use std::sync::Arc;

use parking_lot::Mutex;
use serde_json::json;

use crate::journal::memory::MemoryStore;
use crate::model::fault::{ErrorClass, OpError, Target};
use crate::model::{Timestamp, Value};
use crate::ops::{Polled, Probe, ReadHost, Request, Sent, WriteHost};

/// What the next send is to come to.
#[derive(Clone, Debug, PartialEq)]
pub enum Fate {
    /// It fails and leaves nothing.
    Refuse,
    /// It fails and leaves half of it.
    Half,
    /// It is done, and the answer is lost.
    LoseAnswer,
    /// It is not done, and the answer is lost.
    LoseRequest,
    /// Half of it is done, and the answer is lost.
    LoseHalf,
    /// It goes on without us for so many probes.
    Linger(u32),
    /// The engine is stopped before it.
    StopBefore,
    /// The engine is stopped after it.
    StopAfter,
}

/// Something that was asked of the world, with the key of its effect.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Deed {
    Sent(String),
    Released(String),
}

/// What is drawn when nothing is left to be drawn.
const DRAWN: &str = r#"{"n":0,"ok":false,"l":[],"s":""}"#;

#[derive(Default)]
pub struct Things {
    /// Path → text, key of the effect that set it.
    pub files: BTreeMap<String, (String, String)>,
    /// Keys of completed effects, in order.
    pub sent: Vec<String>,
    /// By number of send, from 0.
    pub fates: BTreeMap<usize, Fate>,
    pub sends: usize,
    pub reads: usize,
    pub halves: BTreeMap<String, String>,
    /// Keys of sends of which something is kept for their probes: a marker, a status.
    pub kept: BTreeSet<String>,
    /// What was sent and let go of, in order.
    pub history: Vec<Deed>,
    /// What was there before an effect, by its key.
    before: BTreeMap<String, (String, String)>,
    lingering: BTreeMap<String, u32>,
    stopped: bool,
    pub ready_after: u32,
    /// Until when each look of a wait had time.
    pub looks: Vec<Option<Timestamp>>,
    pub cannot_tell: bool,
    /// What is there cannot be looked at.
    pub blind: bool,
    /// Nothing is read without fresh credentials.
    pub expired: bool,
    /// Nothing may be read.
    pub denied: bool,
    pub target: String,
    /// What `rand.hex` draws, in this order; an object without anything in it when there are no more.
    pub draws: VecDeque<String>,
}

#[derive(Default)]
pub struct World {
    pub things: Mutex<Things>,
    /// The store dies with the engine.
    store: Mutex<Option<Arc<MemoryStore>>>,
}

impl World {
    pub fn fate(&self, send: usize, fate: Fate) {
        self.things.lock().fates.insert(send, fate);
    }

    pub fn get(&self, path: &str) -> Option<String> {
        self.things.lock().files.get(path).map(|(text, _)| text.clone())
    }

    pub fn put(&self, path: &str, text: &str) {
        self.things.lock().files.insert(path.to_owned(), (text.to_owned(), String::new()));
    }

    pub fn texts(&self) -> BTreeMap<String, String> {
        self.things.lock().files.iter().map(|(path, (text, _))| (path.clone(), text.clone())).collect()
    }

    pub fn revive(&self) {
        self.things.lock().stopped = false;
    }

    pub fn dies_with(&self, store: &Arc<MemoryStore>) {
        *self.store.lock() = Some(Arc::clone(store));
    }

    fn kill_engine(&self) {
        if let Some(store) = self.store.lock().as_ref() {
            store.stop_after(0);
        }
    }

    /// No completed effect has happened twice.
    pub fn nothing_twice(&self) {
        let things = self.things.lock();
        let mut keys = things.sent.clone();
        keys.sort();
        keys.dedup();
        assert_eq!(keys.len(), things.sent.len(), "an effect was completed twice: {:?}", things.sent);
    }

    /// Everything that was kept for probes has been let go of.
    pub fn nothing_kept(&self, when: &str) {
        let kept = self.things.lock().kept.clone();
        assert!(kept.is_empty(), "{when}: this was never let go of: {kept:?}");
    }
}

fn stopped() -> OpError {
    OpError::unknown("the engine was stopped here")
}

fn text(value: &Value, name: &str) -> String {
    value[name].as_str().unwrap_or_default().to_owned()
}

impl Things {
    fn done(&mut self, request: &Request) -> Value {
        let path = text(&request.args, "path");
        match request.op.name {
            "fs.write_text" => {
                self.files.insert(path.clone(), (text(&request.args, "text"), request.key.clone()));
            }
            // The undo: what was there before the undone effect, as its before-image says.
            _ => {
                self.halves.remove(&path);
                let undone = text(&request.args, "key");
                match self.files.get(&path) {
                    Some((_, key)) if *key == undone => {
                        match self.before.get(&undone).cloned() {
                            Some(before) => self.files.insert(path.clone(), before),
                            None => self.files.remove(&path),
                        };
                    }
                    _ => {}
                }
                self.sent.push(request.key.clone());
                return json!({ "restored": true });
            }
        }
        self.sent.push(request.key.clone());
        json!({ "path": path, "bytes": 1, "sha256": "00" })
    }
}

impl ReadHost for World {
    fn read(&self, request: &Request) -> Result<Value, OpError> {
        let mut things = self.things.lock();
        if things.stopped {
            return Err(stopped());
        }
        things.reads += 1;
        if things.expired {
            return Err(OpError::new(ErrorClass::Credentials, "the token has expired"));
        }
        if things.denied {
            return Err(OpError::denied("nobody may read this").with_hint("ask for the permission"));
        }
        match request.op.name {
            "fs.read_text" => match things.files.get(&text(&request.args, "path")) {
                Some((text, _)) => Ok(json!({ "text": text })),
                None => Err(OpError::failed("there is no such file")),
            },
            "fs.stat" => Ok(json!({ "exists": things.files.contains_key(&text(&request.args, "path")) })),
            "rand.hex" => Ok(json!(things.draws.pop_front().unwrap_or_else(|| DRAWN.to_owned()))),
            "rand.id" => Ok(json!(format!("id{}", things.reads))),
            other => Err(OpError::refused(format!("the toy world has no {other}"))),
        }
    }

    fn poll(&self, request: &Request) -> Result<Polled, OpError> {
        let mut things = self.things.lock();
        things.looks.push(request.deadline);
        if things.ready_after == 0 {
            return Ok(Polled::Ready(json!({ "status": 200, "millis": 1 })));
        }
        things.ready_after -= 1;
        Ok(Polled::Pending { progress: Some("not yet".to_owned()), again: std::time::Duration::from_secs(1) })
    }

    fn before(&self, request: &Request) -> Result<Value, OpError> {
        let things = self.things.lock();
        if things.stopped {
            return Err(stopped());
        }
        let path = text(&request.args, "path");
        Ok(
            json!({ "existed": things.files.contains_key(&path), "text": things.files.get(&path).map(|(text, _)| text) }),
        )
    }

    fn probe(&self, request: &Request) -> Result<Probe, OpError> {
        let mut things = self.things.lock();
        if things.stopped {
            return Err(OpError::transient("the engine was stopped here"));
        }
        if things.cannot_tell {
            return Ok(Probe::CannotTell { why: "the toy world is told not to".to_owned() });
        }
        if let Some(left) = things.lingering.get_mut(&request.key) {
            if *left > 0 {
                *left -= 1;
                return Ok(Probe::Running { progress: None });
            }
            things.lingering.remove(&request.key);
            let result = things.done(request);
            return Ok(Probe::Done { result });
        }
        let path = text(&request.args, "path");
        if request.op.name == "fs.restore_before" {
            let standing = things.files.get(&path).is_some_and(|(_, key)| *key == text(&request.args, "key"));
            return Ok(if standing || things.halves.contains_key(&path) {
                Probe::NotDone
            } else {
                Probe::Done { result: json!({ "restored": true }) }
            });
        }
        if things.halves.contains_key(&path) {
            return Ok(Probe::Partial { what: format!("half of {path} is there") });
        }
        Ok(match things.files.get(&path) {
            Some((_, key)) if *key == request.key => {
                Probe::Done { result: json!({ "path": path, "bytes": 1, "sha256": "00" }) }
            }
            _ => Probe::NotDone,
        })
    }

    fn fingerprint(&self, request: &Request, _: &Value) -> Result<Value, OpError> {
        let things = self.things.lock();
        if things.stopped {
            return Err(stopped());
        }
        if things.blind {
            return Err(OpError::transient("there is no light"));
        }
        Ok(json!(things.files.get(&text(&request.args, "path")).map(|(text, _)| text)))
    }

    fn target(&self, _: &Request) -> Result<Option<Target>, OpError> {
        let things = self.things.lock();
        if things.target.is_empty() {
            return Ok(None);
        }
        Ok(Some(Target { name: "toy".to_owned(), identity: things.target.clone() }))
    }
}

impl WriteHost for World {
    fn send(&self, request: &Request) -> Result<Sent, OpError> {
        let mut things = self.things.lock();
        if things.stopped {
            return Err(stopped());
        }
        let number = things.sends;
        things.sends += 1;
        let path = text(&request.args, "path");
        let fate = things.fates.remove(&number);
        if fate != Some(Fate::StopBefore) {
            things.kept.insert(request.key.clone());
            things.history.push(Deed::Sent(request.key.clone()));
        }
        if request.op.name == "fs.write_text"
            && let Some(before) = things.files.get(&path).cloned()
        {
            things.before.insert(request.key.clone(), before);
        }
        match fate {
            None => Ok(Sent::Done(things.done(request))),
            Some(Fate::Refuse) => Err(OpError::transient("told to fail")),
            Some(Fate::Half) => {
                things.halves.insert(path, request.key.clone());
                Err(OpError::failed("told to do half of it"))
            }
            Some(Fate::LoseAnswer) => {
                things.done(request);
                Err(OpError::unknown("told to lose the answer"))
            }
            Some(Fate::LoseHalf) => {
                things.halves.insert(path, request.key.clone());
                Err(OpError::unknown("told to lose the answer of half of it"))
            }
            Some(Fate::LoseRequest) => Err(OpError::unknown("told to lose the request")),
            Some(Fate::Linger(probes)) => {
                things.lingering.insert(request.key.clone(), probes);
                Ok(Sent::Running)
            }
            Some(Fate::StopBefore) => {
                self.kill_engine();
                things.stopped = true;
                Err(stopped())
            }
            Some(Fate::StopAfter) => {
                self.kill_engine();
                things.done(request);
                things.stopped = true;
                Err(stopped())
            }
        }
    }

    /// An engine that dies right after a commit lets go of nothing.
    fn release(&self, request: &Request) {
        let dead = self.store.lock().as_ref().is_some_and(|store| store.is_at_its_stop());
        let mut things = self.things.lock();
        if !dead && !things.stopped {
            things.kept.remove(&request.key);
            things.history.push(Deed::Released(request.key.clone()));
        }
    }
}
