//! A cluster with a chart that can be installed on it, and a live host that is pointed there.

use std::sync::Once;

use muster::model::Value;
use muster::ops::{Request, WriteHost};
use serde_json::json;

use crate::kube::{self, Cluster};
use crate::live_world::LiveWorld;

/// Everything a test needs.
pub struct Ground {
    pub cluster: Cluster,
    pub world: LiveWorld,
    pub chart: String,
}

const TEMPLATES: &str = r#"apiVersion: v1
kind: ConfigMap
metadata:
  name: {{ .Release.Name }}-settings
data:
  host: {{ .Values.database.host | quote }}
---
apiVersion: v1
kind: Secret
metadata:
  name: {{ .Release.Name }}-database
stringData:
  password: {{ .Values.database.password | quote }}
---
apiVersion: apps/v1
kind: Deployment
metadata:
  name: {{ .Release.Name }}-web
spec:
  replicas: {{ .Values.replicas }}
  selector:
    matchLabels: { app: {{ .Release.Name }} }
  template:
    metadata:
      labels: { app: {{ .Release.Name }} }
    spec:
      containers:
        - name: web
          image: {{ .Values.image | quote }}
          env:
            - { name: DB_HOST, value: {{ .Values.database.host | quote }} }
"#;

/// The tools on the path of this process; none without them.
fn tools() -> Option<()> {
    static DONE: Once = Once::new();
    let folder = kube::tools()?;
    DONE.call_once(|| {
        let path = std::env::var("PATH").unwrap_or_default();
        // SAFETY: all that reads the environment in this process does so through the standard library's lock.
        unsafe { std::env::set_var("PATH", format!("{}:{path}", folder.display())) };
    });
    Some(())
}

impl Ground {
    /// On the real cluster if there is one.
    pub fn start() -> Option<Self> {
        tools()?;
        Cluster::start().map(Self::on)
    }

    /// On one in memory, whose rollouts and permissions can be told.
    pub fn in_memory() -> Option<Self> {
        tools()?;
        Cluster::in_memory().map(Self::on)
    }

    fn on(cluster: Cluster) -> Self {
        let chart = cluster.folder().join("chart");
        std::fs::create_dir_all(chart.join("templates")).unwrap();
        std::fs::write(chart.join("Chart.yaml"), "apiVersion: v2\nname: shop\nversion: 1.2.3\nappVersion: \"9.1\"\n")
            .unwrap();
        let values =
            "database: { host: old-db, port: 5432, password: \"\" }\nreplicas: 0\nimage: \"registry.invalid/web:1\"\n";
        std::fs::write(chart.join("values.yaml"), values).unwrap();
        std::fs::write(chart.join("templates/all.yaml"), TEMPLATES).unwrap();
        let world = LiveWorld::under(cluster.folder());
        Self { chart: chart.to_string_lossy().into_owned(), world, cluster }
    }

    /// Arguments that name the release `NAME` on this cluster, and more.
    pub fn args(&self, name: &str, more: Value) -> Value {
        let mut args = json!({
            "release": format!("{}/{name}", self.cluster.namespace),
            "cluster": { "kubeconfig": self.cluster.kubeconfig, "context": self.cluster.context },
        });
        for (name, value) in more.as_object().unwrap() {
            args[name] = value.clone();
        }
        args
    }

    /// Arguments of an upgrade that keeps what is supplied and sets these.
    pub fn setting(&self, name: &str, set: Value) -> Value {
        self.args(name, json!({ "chart": self.chart, "base": "reuse", "install": true, "set": set, "timeout": "30s" }))
    }

    /// Installs a release with this database host. Its revision.
    pub fn install(&self, name: &str, host: &str) -> u64 {
        let args = self.setting(name, json!({ "database.host": host, "database.password": "correct-horse-battery" }));
        self.world.write("helm.upgrade", args, &format!("m-{name}-install")).unwrap()["revision"].as_u64().unwrap()
    }

    pub fn host_of(&self, name: &str) -> String {
        let found = self.cluster.object("configmap", &format!("{name}-settings"));
        found["data"]["host"].as_str().unwrap_or_default().to_owned()
    }

    /// Revisions as `helm history` has them: number and status.
    pub fn history(&self, name: &str) -> Vec<(u64, String)> {
        let found = self.world.read("helm.history", self.args(name, json!({}))).unwrap();
        let listed = found["revisions"].as_array().unwrap();
        listed
            .iter()
            .map(|one| (one["revision"].as_u64().unwrap(), one["status"].as_str().unwrap().to_owned()))
            .collect()
    }

    /// Values and objects of a release, to be compared.
    pub fn everything(&self, name: &str) -> (String, String, Value) {
        let objects = ["configmap", "secret", "deployment"].map(|kind| {
            let names = if kind == "configmap" {
                "settings"
            } else if kind == "secret" {
                "database"
            } else {
                "web"
            };
            let object = self.cluster.object(kind, &format!("{name}-{names}"));
            json!([object["data"], object["spec"], object["metadata"]["labels"], object["metadata"]["uid"]])
        });
        (self.cluster.helm(&["get", "values", name]), self.cluster.helm(&["get", "manifest", name]), json!(objects))
    }

    /// The undo of a sent call, as the engine asks for it.
    pub fn undo(&self, request: &Request, result: Option<&Value>) -> (&'static str, Value) {
        use muster::ops::spec::{Backend, Undo};
        let Backend::Write(entry) = &request.op.backend else { panic!("no effect") };
        let Undo::Call { op, mut args } = (entry.undo)(&request.args, &request.before, &request.key) else {
            panic!("no undo")
        };
        for (_, value) in args.as_object_mut().unwrap().iter_mut() {
            if let Some(pointer) = value.as_str().and_then(|text| text.strip_prefix("$result")) {
                *value = result.and_then(|result| result.pointer(pointer)).cloned().unwrap_or_default();
            }
        }
        (op, args)
    }

    /// Sends an effect and follows it to its end; with the request, for its undo.
    pub fn send(&self, op: &str, args: Value, key: &str) -> (Request, Result<Value, muster::ops::OpError>) {
        let request = self.world.ready(op, args, key).unwrap();
        let result = match self.world.host.send(&request) {
            Ok(muster::ops::Sent::Done(result)) => Ok(result),
            Ok(muster::ops::Sent::Running) => self.world.wait(&request),
            Err(error) => Err(error),
        };
        (request, result)
    }
}
