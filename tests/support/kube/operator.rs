//! The sandbox's controllers over the wire: a thread that plays the built-in ones and the operator of PostgreSQL against the API server
//! of the tests, by the same code as in the sandbox, with time running faster.

use std::collections::BTreeSet;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use muster::model::{Timestamp, Value};
use muster::ops::helm::client::Cluster as Where;
use muster::ops::k8s::Named;
use muster::sandbox::World;
use muster::sandbox::controllers::{Manner, pgo, settle};
use muster::sandbox::kubernetes::Kubernetes;
use parking_lot::Mutex;
use serde_json::json;

use super::Cluster;
use super::api::Shared;
use super::store::{Key, Store};
use super::workloads::Pace;

const GROUP: &str = "postgres-operator.crunchydata.com";

/// What the thread works with.
struct Work {
    clusters: Kubernetes,
    /// What stood on the server when it was last looked at, by its key here.
    seen: BTreeSet<String>,
    began: (Timestamp, Instant),
    speed: u32,
}

/// Controllers at work; they stop with it.
pub struct Operator {
    work: Arc<Mutex<Work>>,
    stop: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

/// What is compared of an object: not what the server keeps for itself.
fn bare(object: &Value) -> Value {
    let mut object = object.clone();
    if let Some(metadata) = object["metadata"].as_object_mut() {
        metadata.retain(|name, _| !["managedFields", "resourceVersion"].contains(&name.as_str()));
    }
    object
}

fn key_here(key: &Key, object: &Value) -> String {
    let namespace = if key.1.is_empty() { "-" } else { &key.1 };
    format!("current/{namespace}/{}/{}", object["kind"].as_str().unwrap_or_default().to_lowercase(), key.2)
}

/// Kinds that no controller here has anything to do with.
fn is_foreign(object: &Value) -> bool {
    ["Namespace", "CustomResourceDefinition", "Node"].iter().any(|kind| object["kind"] == *kind)
}

impl Work {
    fn now(&self) -> Timestamp {
        self.began.0 + self.began.1.elapsed() * self.speed
    }

    /// What others have changed since; then what controllers make of it. Whether anything was written.
    fn round(&mut self, store: &mut Store) -> bool {
        let now = self.now();
        let mut there = BTreeSet::new();
        for (key, object) in &store.objects {
            if is_foreign(object) {
                continue;
            }
            let here = key_here(key, object);
            let known = self.clusters.objects.get(&here).map(|held| bare(&held.object));
            if known.as_ref() != Some(&bare(object)) {
                let named = Named::of_manifest(object, &Where::default()).expect("an object");
                self.clusters.put(&named, object.clone(), Some(now), false);
                if let Some(held) = self.clusters.objects.get_mut(&here) {
                    held.object["metadata"]["generation"] = object["metadata"]["generation"].clone();
                }
            }
            there.insert(here);
        }
        for gone in self.seen.difference(&there) {
            self.clusters.remove(gone, false, now);
        }
        settle(&mut self.clusters, now, Manner::default());
        let before = store.version;
        let (mut left, mut missing) = (there, Vec::new());
        for (here, held) in &self.clusters.objects {
            left.remove(here);
            missing.push(held.object.clone());
        }
        for object in missing {
            let Some(kind) = store.kind_of(&object) else { panic!("nobody serves {}", object["kind"]) };
            let key = Store::key(&kind, &object);
            let old = store.objects.get(&key).cloned();
            if old.as_ref().map(bare) == Some(bare(&object)) {
                continue;
            }
            let mut new = object;
            match &old {
                Some(old) if !old["metadata"]["managedFields"].is_null() => {
                    new["metadata"]["managedFields"] = old["metadata"]["managedFields"].clone();
                }
                _ => {}
            }
            store.put(&kind, if old.is_some() { "MODIFIED" } else { "ADDED" }, new);
        }
        let going: Vec<(Key, Value)> = (store.objects.iter())
            .filter(|(key, object)| left.contains(&key_here(key, object)))
            .map(|(key, object)| (key.clone(), object.clone()))
            .collect();
        for (key, object) in going {
            if let Some(kind) = store.kind_of(&object) {
                store.delete(&kind, &key);
            }
        }
        let ours = self.clusters.objects.iter().filter(|(_, held)| !is_foreign(&held.object));
        self.seen = ours.map(|(key, _)| key.clone()).collect();
        store.version != before
    }
}

/// The definition of the operator's kind, in both of its versions.
fn definition() -> Value {
    let version = |name: &str, storage: bool| {
        json!({
            "name": name, "served": true, "storage": storage, "subresources": { "status": {} },
            "schema": { "openAPIV3Schema": { "type": "object", "x-kubernetes-preserve-unknown-fields": true } },
        })
    };
    json!({
        "apiVersion": "apiextensions.k8s.io/v1", "kind": "CustomResourceDefinition",
        "metadata": { "name": format!("postgresclusters.{GROUP}") },
        "spec": {
            "group": GROUP, "scope": "Namespaced",
            "names": { "kind": "PostgresCluster", "listKind": "PostgresClusterList", "plural": "postgresclusters", "singular": "postgrescluster" },
            "versions": [version("v1", false), version("v1beta1", true)],
        },
    })
}

impl Operator {
    /// Begins with what this `world.yaml` declares under `kubernetes`, which is put on the server. `speed`: how much faster time
    /// runs. Nothing on a real cluster.
    pub fn start(cluster: &Cluster, yaml: &str, speed: u32) -> Option<Self> {
        let shared = Arc::clone(cluster.shared.as_ref()?);
        let began = Timestamp::now();
        let clusters = World::load(&format!("now: {began}\n{yaml}")).expect("a world").kubernetes;
        let work = Work { clusters, seen: BTreeSet::new(), began: (began, Instant::now()), speed };
        let work = Arc::new(Mutex::new(work));
        {
            let mut store = shared.store.lock();
            store.pace = Pace::Elsewhere;
            let object = definition();
            let kind = store.kind_of(&object).expect("definitions are served");
            store.put(&kind, "ADDED", object);
            work.lock().round(&mut store);
        }
        let asked = Arc::clone(&work);
        cluster.inside(move |program| {
            let mut work = asked.lock();
            let key = Named::of_manifest(&program.pod, &Where::default()).ok()?.key();
            let printed = pgo::inside::answer(&work.clusters, &key, &program.argv, work.now())?;
            work.clusters = pgo::inside::done(work.clusters.clone(), &key, &program.argv, work.now());
            Some(printed)
        });
        let stop = Arc::new(AtomicBool::new(false));
        let thread = std::thread::spawn({
            let (work, stop) = (Arc::clone(&work), Arc::clone(&stop));
            move || run(&shared, &work, &stop)
        });
        Some(Self { work, stop, thread: Some(thread) })
    }

    /// What the controllers hold now.
    pub fn clusters(&self) -> Kubernetes {
        self.work.lock().clusters.clone()
    }

    /// Their time.
    pub fn now(&self) -> Timestamp {
        self.work.lock().now()
    }

    /// When they began: until then their time is that of everybody.
    pub fn began(&self) -> Timestamp {
        self.work.lock().began.0
    }

    /// Has `psql` in the Pods answer a question of which this is a part, out of what the cluster of the Pod holds.
    pub fn answers(&self, cluster: &Cluster, part: &'static str, answer: fn(&[pgo::Fact]) -> String) {
        let Some(shared) = &cluster.shared else { return };
        let (others, work) = (Arc::clone(&shared.store.lock().programs), Arc::clone(&self.work));
        cluster.inside(move |program| {
            if !program.argv.iter().any(|word| word.contains(part)) {
                return others(program);
            }
            let work = work.lock();
            let metadata = &program.pod["metadata"];
            let name = metadata["labels"][format!("{GROUP}/cluster")].as_str()?;
            let key = format!("current/{}/postgrescluster/{name}", metadata["namespace"].as_str()?);
            Some((0, format!("{}\n", answer(&work.clusters.pgo.as_ref()?.data.get(&key)?.facts)), String::new()))
        });
    }

    /// Changes what the operator is: dead, slow, silent.
    pub fn set(&self, change: impl FnOnce(&mut pgo::Operator)) {
        if let Some(pgo) = &mut self.work.lock().clusters.pgo {
            change(&mut pgo.operator);
        }
    }
}

fn run(shared: &Shared, work: &Mutex<Work>, stop: &AtomicBool) {
    while !stop.load(Ordering::SeqCst) {
        {
            // In this order everywhere: whoever asks in a Pod holds no lock of the server.
            let mut store = shared.store.lock();
            if work.lock().round(&mut store) {
                shared.changed.notify_all();
            }
        }
        std::thread::sleep(Duration::from_millis(20));
    }
}

impl Drop for Operator {
    fn drop(&mut self) {
        self.stop.store(true, Ordering::SeqCst);
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}
