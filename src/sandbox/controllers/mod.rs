//! Controllers of Kubernetes in the sandbox: what they make of objects in the world's own time. They are level-triggered: whatever is
//! changed is on the agenda, and whoever looks at it sees it settled, from what is stored and the instant alone.

pub mod jobs;
pub mod pgo;
mod pods;
mod snapshots;
mod volumes;
mod workloads;

use std::time::Duration;

use serde_json::json;

use super::content::sha256_hex;
use super::kubernetes::{Held, Kubernetes};
use crate::model::{Timestamp, Value};

/// More steps than these no agenda has: two controllers that undo each other's work.
const MOST: usize = 100_000;

/// How far controllers go.
#[derive(Clone, Copy, Debug, Default)]
pub struct Manner {
    /// What only the run will know is marked.
    pub planned: bool,
    /// Only a part of the clusters is known: nothing is made that nobody has looked for.
    pub partial: bool,
}

/// An instant as Kubernetes writes it.
#[must_use]
pub fn stamp(at: Timestamp) -> String {
    Timestamp::from_second(at.as_second()).map_or_else(|_| String::new(), |at| at.to_string())
}

/// An instant later.
#[must_use]
pub fn after(at: Timestamp, millis: u64) -> Timestamp {
    at.saturating_add(Duration::from_millis(millis)).unwrap_or(Timestamp::MAX)
}

/// Some letters that stand for a name's random part: always the same of one text.
#[must_use]
pub fn letters(text: &str, count: usize) -> String {
    // Those that Kubernetes draws from: no vowels, nothing that looks like another.
    const DRAWN: &[u8] = b"bcdfghjklmnpqrstvwxz2456789";
    let sum = sha256_hex(text.as_bytes());
    sum.bytes().take(count).map(|byte| char::from(DRAWN[usize::from(byte) % DRAWN.len()])).collect()
}

/// The keys of the objects that own an object.
pub(super) fn owners(key: &str, object: &Value) -> Vec<String> {
    let place = key.splitn(3, '/').take(2).collect::<Vec<_>>().join("/");
    let references = object["metadata"]["ownerReferences"].as_array().into_iter().flatten();
    let named = references.filter_map(|owner| Some((owner["kind"].as_str()?, owner["name"].as_str()?)));
    named.map(|(kind, name)| format!("{place}/{}/{name}", kind.to_ascii_lowercase())).collect()
}

/// Lets the controllers do what they have to until then.
pub fn settle(clusters: &mut Kubernetes, now: Timestamp, manner: Manner) {
    for _ in 0..MOST {
        let next = clusters.agenda.iter().filter(|(_, at)| **at <= now).min_by_key(|(key, at)| (**at, (*key).clone()));
        let next = next.map(|(key, at)| (key.clone(), *at));
        let due = clusters.next_due().filter(|at| *at <= now);
        if let Some(due) = due
            && next.as_ref().is_none_or(|(_, at)| due <= *at)
        {
            clusters.become_due(manner.planned);
            continue;
        }
        let Some((key, at)) = next else { return };
        clusters.agenda.remove(&key);
        look(&mut Desk { clusters, at, manner }, &key);
    }
}

/// The controller of an object's kind looks at it.
fn look(desk: &mut Desk<'_>, key: &str) {
    match key.split('/').nth(2).unwrap_or_default() {
        "deployment" => workloads::deployment(desk, key),
        "replicaset" | "statefulset" => workloads::pods_of(desk, key),
        "job" => jobs::job(desk, key),
        "pod" => match desk.object(key) {
            None => pgo::gone(desk, key),
            Some(pod) if pgo::is_instance(pod) && desk.clusters.pgo.is_some() => pgo::pod(desk, key),
            Some(_) => pods::pod(desk, key),
        },
        "persistentvolumeclaim" => volumes::claim(desk, key),
        "volumesnapshot" => snapshots::snapshot(desk, key),
        "postgrescluster" if !desk.manner.partial => pgo::reconcile(desk, key),
        "namespace" => desk.set_status(key, json!({ "phase": "Active" })),
        _ => {}
    }
}

/// What a controller works at: the clusters at one instant.
pub(super) struct Desk<'k> {
    /// The clusters.
    pub clusters: &'k mut Kubernetes,
    /// The instant.
    pub at: Timestamp,
    /// How far it goes.
    pub manner: Manner,
}

impl Desk<'_> {
    /// What is held under a key.
    pub fn held(&self, key: &str) -> Option<&Held> {
        self.clusters.objects.get(key)
    }

    /// An object.
    pub fn object(&self, key: &str) -> Option<&Value> {
        self.held(key).map(|held| &held.object)
    }

    /// The objects of a kind in the namespace of a key, with their keys.
    pub fn beside<'d>(&'d self, key: &str, kind: &str) -> impl Iterator<Item = (&'d String, &'d Value)> + use<'d> {
        let from = self.sibling(key, kind, "");
        // `0` comes after `/`.
        let until = format!("{}0", from.trim_end_matches('/'));
        self.clusters.objects.range(from..until).map(|(key, held)| (key, &held.object))
    }

    /// The key of another object in the namespace of a key.
    #[expect(clippy::unused_self, reason = "read as what a desk knows of keys")]
    pub fn sibling(&self, key: &str, kind: &str, name: &str) -> String {
        let place = key.splitn(3, '/').take(2).collect::<Vec<_>>().join("/");
        format!("{place}/{kind}/{name}")
    }

    /// Puts an object there, when it differs from what is there; its controller and those of its owners look at it.
    pub fn put(&mut self, key: &str, object: Value) {
        if self.object(key).is_some_and(|old| *old == object) {
            return;
        }
        let new = self.object(key).is_none();
        let stored = self.clusters.store(key, object, Some(self.at), self.manner.planned);
        if new && let Some(held) = self.clusters.objects.get_mut(key) {
            held.derived = true;
        }
        for owner in owners(key, &stored) {
            self.clusters.wake(&owner, self.at);
        }
    }

    /// Makes an object unless it is there: derived from another, which owns it.
    pub fn make(&mut self, key: &str, mut object: Value, owner: Option<&Value>) {
        if self.object(key).is_some() {
            return;
        }
        if let Some(owner) = owner {
            object["metadata"]["ownerReferences"] = json!([{
                "apiVersion": owner["apiVersion"], "kind": owner["kind"], "name": owner["metadata"]["name"],
                "uid": owner["metadata"]["uid"], "controller": true, "blockOwnerDeletion": true,
            }]);
        }
        let mut parts = key.split('/').skip(1);
        if let (Some(namespace), Some(_), Some(name)) = (parts.next(), parts.next(), parts.next()) {
            object["metadata"]["name"] = json!(name);
            if namespace != "-" {
                object["metadata"]["namespace"] = json!(namespace);
            }
        }
        self.put(key, object);
    }

    /// Writes a status.
    pub fn set_status(&mut self, key: &str, status: Value) {
        self.edit(key, |object| object["status"] = status);
    }

    /// Changes an object.
    pub fn edit(&mut self, key: &str, change: impl FnOnce(&mut Value)) {
        let Some(mut object) = self.object(key).cloned() else { return };
        change(&mut object);
        self.put(key, object);
    }

    /// Takes an object away, with all that it owns.
    pub fn remove(&mut self, key: &str) {
        self.clusters.remove(key, false, self.at);
    }

    /// The objects that an object owns, by kind.
    pub fn owned(&self, key: &str, kind: &str) -> Vec<(String, Value)> {
        let uid = self.object(key).map(|owner| owner["metadata"]["uid"].clone()).unwrap_or_default();
        let of_it = |object: &Value| {
            object["metadata"]["ownerReferences"]
                .as_array()
                .is_some_and(|owners| owners.iter().any(|one| one["uid"] == uid))
        };
        self.beside(key, kind)
            .filter(|(_, object)| of_it(object))
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect()
    }

    /// Whether so much time has passed since what is wanted of an object was last changed; if not, it is looked at again then.
    pub fn passed(&mut self, key: &str, millis: u64) -> bool {
        let Some(since) = self.held(key).and_then(|held| held.since) else { return true };
        let then = after(since, millis);
        if then > self.at {
            self.clusters.wake(key, then);
        }
        then <= self.at
    }

    /// When an object's controller goes on with what it has begun.
    pub fn due(&self, key: &str) -> Option<Timestamp> {
        self.held(key).and_then(|held| held.due)
    }

    /// Has an object's controller go on so much later; `None` when it has nothing under way.
    pub fn defer(&mut self, key: &str, millis: Option<u64>) {
        let due = millis.map(|millis| after(self.at, millis));
        if let Some(held) = self.clusters.objects.get_mut(key) {
            held.due = due;
        }
        if let Some(due) = due {
            self.clusters.wake(key, due);
        }
    }
}

/// A text at a JSON pointer; empty when there is none.
pub(super) fn text<'v>(object: &'v Value, pointer: &str) -> &'v str {
    object.pointer(pointer).and_then(Value::as_str).unwrap_or_default()
}
