//! Objects with their versions, and what has happened to them.

use std::collections::BTreeMap;
use std::sync::Arc;

use muster::model::{Timestamp, Value};
use serde_json::json;

use super::fields::{self, Who};
use super::http::Answer;
use super::kinds::{self, Kind};
use super::real::Asked;
use super::workloads::{self, Pace};

/// Resource, namespace, name.
pub type Key = (String, String, String);

/// What happened to an object, at which version.
pub struct Event {
    pub version: u64,
    pub what: &'static str,
    pub key: Key,
    pub object: Value,
}

/// A program that is started in a Pod.
pub struct Started {
    pub pod: Value,
    pub container: String,
    pub argv: Vec<String>,
    pub stdin: Vec<u8>,
}

/// A request, by the server's own clock.
#[derive(Clone, Debug)]
pub struct Heard {
    /// When it came.
    pub at: Timestamp,
    pub method: String,
    pub path: String,
}

/// What becomes of whoever asks for a change.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Blow {
    /// It is killed before the change is made.
    Before,
    /// It is killed after the change is made.
    After,
    /// It is told that this cannot be.
    Refused,
}

/// A blow to a process when it asks for a change.
pub struct Strike {
    /// A child that has not been waited for.
    pub process: u32,
    /// After so many changes that pass.
    pub skip: usize,
    pub blow: Blow,
}

impl Strike {
    fn kill(&self) {
        let process = i32::try_from(self.process).expect("a process");
        // SAFETY: the child is not waited for yet, so that its number is its own.
        unsafe { libc::kill(process, libc::SIGKILL) };
    }
}

/// As an exit code: the connection is lost before the program ends.
pub const LOST: i32 = i32::MIN;

/// What programs in Pods do: exit code and both outputs, if there is such a program.
pub type Programs = dyn Fn(&Started) -> Option<(i32, String, String)> + Send + Sync;

/// Everything a cluster holds.
pub struct Store {
    pub version: u64,
    pub kinds: Vec<Kind>,
    pub objects: BTreeMap<Key, Value>,
    pub events: Vec<Event>,
    /// Events before this one are forgotten.
    pub horizon: u64,
    pub pace: Pace,
    /// Requests that are refused: a verb (`dryRun` for those that are to try only) and a resource.
    pub forbidden: Vec<(String, String)>,
    /// The resource of which changes wait on their way, if any.
    pub held: String,
    /// What was asked that changes something, as method and path: not what only looks, or only tries.
    pub writes: Vec<String>,
    /// Those of them that have changed something.
    pub changes: Vec<String>,
    /// What was asked, whole.
    pub asked: Vec<Asked>,
    /// Every request about an object, in the order in which they came.
    pub heard: Vec<Heard>,
    pub programs: Arc<Programs>,
    /// Who is killed at a change.
    pub strike: Option<Strike>,
    made: u64,
}

/// An error as the API server answers it.
pub fn fault(code: u16, reason: &str, message: impl Into<String>) -> Answer {
    Answer::Json(
        code,
        json!({
            "kind": "Status", "apiVersion": "v1", "metadata": {}, "status": "Failure", "message": message.into(),
            "reason": reason, "code": code,
        }),
    )
}

pub fn now() -> String {
    let text = Timestamp::now().to_string();
    format!("{}Z", text.split('.').next().unwrap_or_default().trim_end_matches('Z'))
}

impl Store {
    pub fn new() -> Self {
        let mut store = Self {
            version: 100,
            kinds: kinds::built_in(),
            objects: BTreeMap::new(),
            events: Vec::new(),
            horizon: 0,
            pace: Pace::Ready,
            forbidden: Vec::new(),
            held: String::new(),
            writes: Vec::new(),
            changes: Vec::new(),
            asked: Vec::new(),
            heard: Vec::new(),
            programs: Arc::new(|_| None),
            strike: None,
            made: 0,
        };
        for name in ["default", "kube-system", "kube-public"] {
            let kind = store.kinds[0].clone();
            let mut object = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "name": name } });
            store.begin(&kind, &mut object);
            store.put(&kind, "ADDED", object);
        }
        store
    }

    /// A change is asked for: whether somebody is killed now, or, with what this returns, as soon as it is made.
    pub fn struck(&mut self) -> Option<Strike> {
        let strike = self.strike.as_mut()?;
        if strike.skip > 0 {
            strike.skip -= 1;
            return None;
        }
        let strike = self.strike.take()?;
        if strike.blow == Blow::Before {
            strike.kill();
        }
        Some(strike)
    }

    /// It is made.
    pub fn made(strike: &Strike) {
        if strike.blow == Blow::After {
            strike.kill();
        }
    }

    /// The identity of a new object.
    pub fn begin(&mut self, kind: &Kind, object: &mut Value) {
        self.made += 1;
        // Another one each time a server is started: the identity of a cluster.
        let chance =
            std::time::SystemTime::now().duration_since(std::time::UNIX_EPOCH).map_or(0, |time| time.as_nanos());
        let uid = format!(
            "{:08x}-{:04x}-4000-8000-{:012x}",
            chance as u32,
            self.made & 0xffff,
            chance as u64 >> 16 & 0xffff_ffff_ffff
        );
        let metadata = &mut object["metadata"];
        metadata["uid"] = json!(uid);
        metadata["creationTimestamp"] = json!(now());
        if kind.has("status") {
            metadata["generation"] = json!(1);
        }
        if kind.kind == "Namespace" {
            let name = metadata["name"].clone();
            metadata["labels"]["kubernetes.io/metadata.name"] = name;
        }
    }

    pub fn key(kind: &Kind, object: &Value) -> Key {
        let text = |name: &str| object["metadata"][name].as_str().unwrap_or_default().to_owned();
        (kind.resource(), text("namespace"), text("name"))
    }

    /// Stores an object under a new version, and lets its controller have a look.
    pub fn put(&mut self, kind: &Kind, what: &'static str, mut object: Value) -> Value {
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        // As the real one: what is empty is left out.
        if let Some(metadata) = object["metadata"].as_object_mut() {
            let kept = |value: &Value| value.as_object().is_none_or(|map| !map.is_empty());
            metadata.retain(|name, value| !["labels", "annotations"].contains(&name.as_str()) || kept(value));
        }
        let key = Self::key(kind, &object);
        self.objects.insert(key.clone(), object.clone());
        self.events.push(Event { version: self.version, what, key, object: object.clone() });
        if kind.kind == "CustomResourceDefinition" {
            let defined = kinds::of_definition(&object);
            self.kinds.retain(|known| !defined.iter().any(|new| new.group == known.group && new.kind == known.kind));
            self.kinds.extend(defined);
        }
        self.control(kind, &object);
        object
    }

    fn control(&mut self, kind: &Kind, object: &Value) {
        let Some(status) = workloads::status(&kind.kind, object, self.pace) else { return };
        if object["status"] == status || kind.kind == "Job" && object["status"]["conditions"].is_array() {
            return;
        }
        let mut new = object.clone();
        new["status"] = status;
        fields::changed(
            object,
            &mut new,
            &Who { manager: "kube-controller-manager", subresource: "status", now: &now() },
        );
        self.put(kind, "MODIFIED", new);
    }

    /// From now on rollouts go like this, those under way too.
    pub fn go_on(&mut self, pace: Pace) {
        self.pace = pace;
        for object in self.objects.values().cloned().collect::<Vec<_>>() {
            if let Some(kind) = self.kind_of(&object) {
                self.control(&kind, &object);
            }
        }
    }

    pub fn kind_of(&self, object: &Value) -> Option<Kind> {
        let (api, kind) = (object["apiVersion"].as_str()?, object["kind"].as_str()?);
        self.kinds.iter().find(|known| known.kind == kind && known.group_version() == api).cloned()
    }

    /// Removes an object, or marks it if something holds it back; what it owns goes with it.
    pub fn delete(&mut self, kind: &Kind, key: &Key) -> Option<Value> {
        let mut object = self.objects.get(key)?.clone();
        if object["metadata"]["finalizers"].as_array().is_some_and(|held| !held.is_empty()) {
            if object["metadata"]["deletionTimestamp"].is_null() {
                object["metadata"]["deletionTimestamp"] = json!(now());
                object = self.put(kind, "MODIFIED", object);
            }
            return Some(object);
        }
        self.objects.remove(key);
        self.version += 1;
        object["metadata"]["resourceVersion"] = json!(self.version.to_string());
        self.events.push(Event { version: self.version, what: "DELETED", key: key.clone(), object: object.clone() });
        let uid = object["metadata"]["uid"].clone();
        let owned = |other: &Value| {
            let owners = other["metadata"]["ownerReferences"].as_array();
            owners.is_some_and(|owners| owners.iter().any(|owner| owner["uid"] == uid))
        };
        let within = |key: &Key| kind.kind == "Namespace" && key.1 == object["metadata"]["name"];
        let defined = if kind.kind == "CustomResourceDefinition" { kinds::of_definition(&object) } else { Vec::new() };
        let after: Vec<(Key, Kind)> = (self.objects.iter())
            .filter(|(key, other)| owned(other) || within(key) || defined.iter().any(|kind| kind.resource() == key.0))
            .filter_map(|(key, other)| Some((key.clone(), self.kind_of(other)?)))
            .collect();
        for (key, kind) in after {
            self.delete(&kind, &key);
        }
        self.kinds.retain(|kind| !defined.contains(kind));
        Some(object)
    }
}
