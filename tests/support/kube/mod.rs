//! A Kubernetes API server of the tests' own, in memory, for unmodified `kubectl` and `helm`. It is no Kubernetes: it keeps objects
//! with their versions and owners of fields, answers discovery, watches, patches, applies and dry runs, and plays the controllers'
//! part in statuses. With `MUSTER_TEST_KUBECONFIG` set, a real cluster takes its place; tests say only what holds on both, or ask
//! for the one in memory.
#![allow(dead_code)]

mod api;
mod fields;
mod http;
mod kinds;
mod operator;
mod patch;
mod protobuf;
mod real;
mod store;
mod workloads;

use std::net::TcpListener;
use std::path::{Path, PathBuf};
use std::process::{Command, Output};
use std::sync::Arc;
use std::sync::atomic::{AtomicU32, Ordering};

use muster::model::Value;
use parking_lot::{Condvar, Mutex};
use serde_json::json;

use api::Shared;
#[allow(unused_imports)]
pub use operator::Operator;
#[allow(unused_imports)]
pub use real::taken;
use store::Store;
#[allow(unused_imports)]
pub use store::{Blow, Heard, LOST, Started, Strike};
pub use workloads::Pace;

/// A cluster, and a namespace of it that is this test's alone.
pub struct Cluster {
    /// Nothing when it is a real one.
    shared: Option<Arc<Shared>>,
    pub kubeconfig: PathBuf,
    pub context: String,
    pub namespace: String,
    folder: tempfile::TempDir,
}

/// Where the setup has put `helm` and `kubectl`; nothing when it has not, which is said.
pub fn tools() -> Option<PathBuf> {
    let cache = std::env::var_os("MUSTER_TEST_CACHE").map(PathBuf::from).or_else(|| {
        let home = std::env::var_os("XDG_CACHE_HOME").map(PathBuf::from);
        let home = home.or_else(|| std::env::var_os("HOME").map(|home| Path::new(&home).join(".cache")));
        home.map(|home| home.join("muster-test"))
    })?;
    let folder = cache.join("kube-tools");
    if ["helm", "kubectl"].iter().all(|tool| folder.join(tool).is_file()) {
        return Some(folder);
    }
    println!("skipped: no helm and kubectl in {}; tests/deployment/setup.sh fetches them", folder.display());
    None
}

impl Cluster {
    /// The real cluster if there is one, else one in memory. Nothing when the tools are missing.
    pub fn start() -> Option<Self> {
        static COUNT: AtomicU32 = AtomicU32::new(0);
        let Some(real) = std::env::var_os("MUSTER_TEST_KUBECONFIG") else { return Self::in_memory() };
        tools()?;
        let folder = tempfile::tempdir().expect("a folder");
        let namespace = format!("muster-{}-{}", std::process::id(), COUNT.fetch_add(1, Ordering::SeqCst));
        let mut cluster = Self { shared: None, kubeconfig: real.into(), context: String::new(), namespace, folder };
        cluster.context = cluster.kubectl(&["config", "current-context"]).trim().to_owned();
        cluster.kubectl(&["create", "namespace", &cluster.namespace]);
        Some(cluster)
    }

    /// One in memory. Nothing when the tools are missing.
    pub fn in_memory() -> Option<Self> {
        tools()?;
        let folder = tempfile::tempdir().expect("a folder");
        let shared = Arc::new(Shared { store: Mutex::new(Store::new()), changed: Condvar::new() });
        let listener = TcpListener::bind("127.0.0.1:0").expect("a port");
        let url = format!("http://{}", listener.local_addr().expect("an address"));
        let kubeconfig = folder.path().join("kubeconfig");
        let config = json!({
            "apiVersion": "v1", "kind": "Config", "current-context": "test", "preferences": {},
            "clusters": [{ "name": "memory", "cluster": { "server": url } }],
            "users": [{ "name": "tester", "user": {} }],
            "contexts": [{ "name": "test", "context": { "cluster": "memory", "user": "tester", "namespace": "default" } }],
        });
        std::fs::write(&kubeconfig, config.to_string()).expect("a kubeconfig");
        let answering = Arc::clone(&shared);
        http::serve(listener, Arc::new(move |request| api::answer(&answering, request)));
        let (context, namespace) = ("test".to_owned(), "default".to_owned());
        Some(Self { shared: Some(shared), kubeconfig, context, namespace, folder })
    }

    pub fn is_real(&self) -> bool {
        self.shared.is_none()
    }

    /// How rollouts go from now on. A real cluster goes its own way: false.
    pub fn pace(&self, pace: Pace) -> bool {
        let Some(shared) = &self.shared else { return false };
        shared.store.lock().go_on(pace);
        shared.changed.notify_all();
        true
    }

    /// Refuses this verb (`*` all of them, `dryRun` those that only try) on this resource. Not on a real cluster: false.
    pub fn forbid(&self, verb: &str, resource: &str) -> bool {
        let Some(shared) = &self.shared else { return false };
        shared.store.lock().forbidden.push((verb.to_owned(), resource.to_owned()));
        true
    }

    /// Refuses nothing any more.
    pub fn allow(&self) {
        if let Some(shared) = &self.shared {
            shared.store.lock().forbidden.clear();
        }
    }

    /// Every request about an object so far, with its time by the server's own clock. Not of a real cluster: nothing.
    pub fn heard(&self) -> Vec<Heard> {
        self.shared.as_ref().map_or_else(Vec::new, |shared| shared.store.lock().heard.clone())
    }

    /// From now on changes of this resource wait, until another is named or none. Not on a real cluster: false.
    pub fn hold(&self, resource: &str) -> bool {
        let Some(shared) = &self.shared else { return false };
        resource.clone_into(&mut shared.store.lock().held);
        shared.changed.notify_all();
        true
    }

    /// Forgets what has happened so far: a watch from an older version is told `410`.
    pub fn compact(&self) -> bool {
        let Some(shared) = &self.shared else { return false };
        let mut store = shared.store.lock();
        store.events.clear();
        store.horizon = store.version;
        true
    }

    /// Puts an object into the namespace, without asking the server. Not on a real cluster.
    pub fn put(&self, plural: &str, mut object: Value) {
        let Some(shared) = &self.shared else { return };
        let mut store = shared.store.lock();
        let kind = store.kinds.iter().find(|kind| kind.plural == plural).expect("a kind").clone();
        object["metadata"]["namespace"] = json!(self.namespace);
        store.begin(&kind, &mut object);
        store.put(&kind, "ADDED", object);
    }

    /// What programs in Pods do from now on. Not on a real cluster: false.
    pub fn inside(&self, programs: impl Fn(&Started) -> Option<(i32, String, String)> + Send + Sync + 'static) -> bool {
        let Some(shared) = &self.shared else { return false };
        shared.store.lock().programs = Arc::new(programs);
        true
    }

    /// Who is struck at which change that is asked for from now on. Whether there was a strike to come that has not.
    pub fn strike(&self, strike: Option<Strike>) -> bool {
        let Some(shared) = &self.shared else { return false };
        std::mem::replace(&mut shared.store.lock().strike, strike).is_some()
    }

    /// What was ever asked of it that changes something. Not of a real cluster: nothing.
    pub fn writes(&self) -> Vec<String> {
        self.shared.as_ref().map_or_else(Vec::new, |shared| shared.store.lock().writes.clone())
    }

    /// What of that has changed something. Not of a real cluster: nothing.
    pub fn changes(&self) -> Vec<String> {
        self.shared.as_ref().map_or_else(Vec::new, |shared| shared.store.lock().changes.clone())
    }

    /// What tells how an object stands, without asking the server for it; null when it is not there. Not on a real cluster.
    pub fn looker(&self, resource: &str, name: &str) -> impl Fn() -> Value + Send + use<> {
        let shared = self.shared.clone();
        let key = (resource.to_owned(), self.namespace.clone(), name.to_owned());
        move || shared.as_ref().and_then(|shared| shared.store.lock().objects.get(&key).cloned()).unwrap_or_default()
    }

    /// All objects of the namespace but helm's own records, without what counts changes: to be compared. Not of a real cluster.
    pub fn picture(&self) -> Vec<Value> {
        let Some(shared) = &self.shared else { return Vec::new() };
        let store = shared.store.lock();
        let ours = store
            .objects
            .iter()
            .filter(|(key, object)| key.1 == self.namespace && object["type"] != "helm.sh/release.v1");
        ours.map(|(_, object)| {
            let mut object = object.clone();
            if let Some(metadata) = object["metadata"].as_object_mut() {
                metadata.retain(|name, _| !["resourceVersion", "generation", "managedFields"].contains(&name.as_str()));
            }
            if let Some(status) = object["status"].as_object_mut() {
                status.remove("observedGeneration");
            }
            object
        })
        .collect()
    }

    /// A folder of the test's own.
    pub fn folder(&self) -> &Path {
        self.folder.path()
    }

    /// The tool with the cluster and the namespace set.
    pub fn command(&self, tool: &str) -> Command {
        let mut command = Command::new(tools().unwrap_or_default().join(tool));
        command.env("KUBECONFIG", &self.kubeconfig).env("HELM_NAMESPACE", &self.namespace);
        command.env("HOME", self.folder.path()).env_remove("XDG_CACHE_HOME").env_remove("XDG_CONFIG_HOME");
        if tool == "kubectl" {
            command.args(["--namespace", &self.namespace]);
        }
        command
    }

    /// Runs the tool to its end.
    pub fn run(&self, tool: &str, args: &[&str]) -> Output {
        self.command(tool).args(args).output().unwrap_or_else(|error| panic!("{tool}: {error}"))
    }

    fn well(&self, tool: &str, args: &[&str]) -> String {
        let output = self.run(tool, args);
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{tool} {args:?}: {said}");
        String::from_utf8_lossy(&output.stdout).into_owned()
    }

    /// What kubectl prints.
    pub fn kubectl(&self, args: &[&str]) -> String {
        self.well("kubectl", args)
    }

    /// What helm prints.
    pub fn helm(&self, args: &[&str]) -> String {
        self.well("helm", args)
    }

    /// An object, or null.
    pub fn object(&self, kind: &str, name: &str) -> Value {
        let text = self.kubectl(&["get", kind, name, "--ignore-not-found", "-o", "json"]);
        if text.trim().is_empty() { Value::Null } else { serde_json::from_str(&text).expect("JSON") }
    }
}

impl Drop for Cluster {
    fn drop(&mut self) {
        if self.is_real() {
            self.run("kubectl", &["delete", "namespace", &self.namespace, "--wait=false"]);
        }
    }
}
