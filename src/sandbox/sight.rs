//! What a playbook's own model sees of the world: things as data, and `()` for what is not there. Every look is taken down, so that
//! a plan knows what the model's answer hangs on.

use std::cell::RefCell;
use std::collections::{BTreeMap, BTreeSet};

use serde_json::json;

use super::content::Content;
use super::later;
use super::selector::Selector;
use super::tree::normal;
use super::veil;
use super::view::{Place, View};
use super::world::World;
use crate::model::{Timestamp, Value};
use crate::ops::helm::client::Cluster;
use crate::ops::k8s::{Named, cluster_part, sort};
use crate::ops::spec::unknown;

/// Something that was looked at: its key, as plans name things, and whether all that is in it was looked at too.
#[derive(Clone, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub(super) struct Seen {
    pub key: String,
    pub below: bool,
}

/// The world as one call sees it.
pub struct Sight {
    world: World,
    view: View,
    now: Timestamp,
    seen: RefCell<BTreeSet<Seen>>,
    /// The clusters that were looked at, by their part of a key.
    clusters: RefCell<BTreeMap<String, Cluster>>,
    /// What the program reads on its standard input.
    stdin: Option<Content>,
}

impl Sight {
    pub(super) fn new(world: World, view: View, now: Timestamp) -> Self {
        Self { world, view, now, seen: RefCell::default(), clusters: RefCell::default(), stdin: None }
    }

    /// The same, for a program that reads this.
    pub(super) fn reading(self, stdin: Option<Content>) -> Self {
        Self { stdin, ..self }
    }

    /// All that has been looked at.
    pub(super) fn seen(&self) -> Vec<Seen> {
        self.seen.borrow().iter().cloned().collect()
    }

    fn note(&self, key: String, below: bool) {
        self.seen.borrow_mut().insert(Seen { key, below });
    }

    fn lift(value: Value) -> Value {
        veil::lift(value, Timestamp::MAX)
    }

    fn place(&self, path: &str) -> Place {
        self.view.place(&self.world, path)
    }

    /// The key of a path of the view.
    pub(super) fn key_of(&self, path: &str, below: bool) -> Seen {
        Seen { key: self.place(path).key(), below }
    }

    /// The contents of a file of the view in this world.
    pub(super) fn content(&self, world: &World, path: &str) -> Option<Content> {
        let at = self.view.place(world, path);
        at.tree(world)?.content(&at.path).cloned()
    }

    /// Why nobody knows what is at this place: it is inside of a live container or volume, and the plan has not put it there.
    fn hidden(&self, at: &Place) -> Option<Value> {
        let hidden = self.world.partial && !at.is_host() && !at.exists(&self.world);
        hidden.then(|| unknown("what is inside of a live container, which a plan does not look into"))
    }

    /// A file or folder: `kind` (`file`, `dir`, `link`), `bytes`, `mode`, `sealed_for`.
    #[must_use]
    pub fn file(&self, path: &str) -> Value {
        let at = self.place(path);
        self.note(at.key(), false);
        if let Some(hidden) = self.hidden(&at) {
            return hidden;
        }
        let Some(node) = at.tree(&self.world).and_then(|tree| tree.get(&at.path)) else { return Value::Null };
        let sealed_for = match node.content() {
            Some(Content::Sealed { recipient, .. }) => json!(recipient),
            Some(Content::Unseen(unseen)) => unknown(&unseen.why),
            _ => Value::Null,
        };
        let mode = format!("{:04o}", node.mode);
        Self::lift(json!({ "kind": node.kind_name(), "bytes": node.bytes(), "mode": mode, "sealed_for": sealed_for }))
    }

    /// The text in a file, or on the standard input, which is called `-`. Of a live file it is unknown: only operations that the playbook is granted read those.
    #[must_use]
    pub fn text(&self, path: &str) -> Value {
        if path == "-" {
            return match &self.stdin {
                None => Value::Null,
                Some(content) => Self::shown(content),
            };
        }
        let at = self.place(path);
        self.note(at.key(), false);
        if let Some(hidden) = self.hidden(&at) {
            return hidden;
        }
        match at.tree(&self.world).and_then(|tree| tree.content(&at.path)) {
            None => Value::Null,
            Some(content) => Self::shown(content),
        }
    }

    fn shown(content: &Content) -> Value {
        match content {
            Content::Text(text) => Self::lift(json!(text)),
            other => unknown(other.why_unseen().unwrap_or("what is in it is no text")),
        }
    }

    /// The names in a folder, in order.
    #[must_use]
    pub fn list(&self, path: &str) -> Value {
        let at = self.place(path);
        self.note(at.key(), true);
        if self.world.partial && !at.is_host() {
            return unknown("what is inside of a live container, which a plan does not look into");
        }
        let Some(tree) = at.tree(&self.world).filter(|tree| tree.is_dir(&at.path)) else { return Value::Null };
        Value::Array(tree.list(&at.path).map(|(name, _)| json!(name)).collect())
    }

    /// A container: `state` (`running`, `exited`, `created`), `image`, `labels`, `healthy`.
    #[must_use]
    pub fn container(&self, name: &str) -> Value {
        self.note(format!("docker/{name}"), false);
        let Some(found) = self.world.containers.get(name) else { return Value::Null };
        let ready = super::models::docker::is_ready(found, self.now);
        Self::lift(json!({
            "state": found.state.as_str(), "image": found.image, "labels": found.labels, "healthy": ready,
        }))
    }

    /// A volume: `labels`.
    #[must_use]
    pub fn volume(&self, name: &str) -> Value {
        self.note(format!("volume/{name}"), false);
        self.world.volumes.get(name).map_or(Value::Null, |found| json!({ "labels": found.labels }))
    }

    /// A database: `owner`, `bytes`, `connections`, `tables` (rows by name).
    #[must_use]
    pub fn database(&self, server: &str, name: &str) -> Value {
        self.note(format!("pg/{server}/{name}"), false);
        let Some(found) = self.world.postgres.get(server) else {
            return if self.world.partial {
                unknown("what is on a live server that the plan has not looked at")
            } else {
                Value::Null
            };
        };
        let Some(found) = found.databases.get(name) else { return Value::Null };
        let tables = match &found.contents.unseen {
            Some(why) => unknown(why),
            None => found.contents.tables.iter().map(|(name, table)| (name.clone(), json!(table.rows))).collect(),
        };
        Self::lift(json!({
            "owner": found.owner, "bytes": found.bytes(), "connections": found.connections(), "tables": tables,
        }))
    }

    /// A resource of the playbook's own kind: its fields.
    #[must_use]
    pub fn resource(&self, name: &str) -> Value {
        self.note(format!("resource/{name}"), false);
        match self.world.resources.get(name) {
            None if self.world.partial => unknown(&format!("what {name} is, which a plan cannot look at")),
            None => Value::Null,
            Some(found) => found.at(self.now).map_or(Value::Null, |fields| Self::lift(Value::Object(fields))),
        }
    }

    /// The names of all resources of a kind, in order.
    #[must_use]
    pub fn resources(&self, kind: &str) -> Value {
        self.note(format!("resource/{kind}"), true);
        if self.world.partial {
            return unknown(&format!("which resources of the kind {kind} there are"));
        }
        let prefix = format!("{kind}/");
        let there = self.world.resources.iter().filter(|(_, found)| found.fields.is_some());
        Value::Array(there.filter_map(|(name, _)| name.strip_prefix(&prefix)).map(|name| json!(name)).collect())
    }

    /// The key of an object, whose cluster is kept.
    pub(super) fn know(&self, named: &Named) -> Seen {
        self.clusters.borrow_mut().insert(cluster_part(&named.cluster), named.cluster.clone());
        Seen { key: named.resource(), below: false }
    }

    /// The clusters that were looked at, by their part of a key.
    pub(super) fn clusters(&self) -> BTreeMap<String, Cluster> {
        self.clusters.borrow().clone()
    }

    /// An object of Kubernetes, as `k8s.get` has it.
    ///
    /// # Errors
    /// What is wrong with how it is named.
    pub fn object(&self, kind: &str, namespace: &str, name: &str, cluster: &Cluster) -> Result<Value, String> {
        let named = later::named(kind, Some(namespace), name, cluster)?;
        let seen = self.know(&named);
        self.note(seen.key, false);
        let clusters = self.world.kubernetes.settled(self.now, self.world.manner());
        Ok(clusters.objects.get(&named.key()).map_or(Value::Null, |held| Self::lift(held.object.clone())))
    }

    /// The objects of a kind in a namespace that have these labels, by name.
    ///
    /// # Errors
    /// What is wrong with how they are named.
    pub fn objects(&self, kind: &str, namespace: &str, labels: &str, cluster: &Cluster) -> Result<Value, String> {
        let place = later::place(kind, namespace, cluster)?;
        self.clusters.borrow_mut().insert(cluster_part(cluster), cluster.clone());
        self.note(format!("k8s/{place}"), true);
        if self.world.kubernetes.unnamed.contains_key(&place) {
            return Ok(unknown(&format!("which objects of the kind {kind} there are")));
        }
        let (within, selector) = (format!("{place}/"), Selector::parse(labels, ""));
        let clusters = self.world.kubernetes.settled(self.now, self.world.manner());
        let of_kind = clusters.objects.iter().filter(|(key, _)| key.starts_with(&within));
        let found = of_kind.map(|(_, held)| held.object.clone());
        let mut found: Vec<Value> = found.filter(|object| selector.takes(object)).collect();
        sort(&mut found);
        Ok(Self::lift(Value::Array(found)))
    }

    /// What only the run will know: unknown in a plan, the example in a run of the sandbox.
    #[must_use]
    pub fn guess(&self, why: &str, example: Value) -> Value {
        if self.world.planned { unknown(why) } else { example }
    }
}

/// The key of a path of the host, as plans name it.
pub(super) fn host_key(path: &str) -> String {
    format!("fs{}", normal(path)).trim_end_matches('/').to_owned()
}
