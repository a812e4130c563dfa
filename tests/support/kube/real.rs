//! What was asked of the server in memory, tried on a real one: whether it takes every manifest and every patch, by its own
//! definitions of the kinds.

use std::collections::BTreeMap;

use ::kube::config::{Config, KubeConfigOptions, Kubeconfig};
use muster::model::Value;
use serde_json::json;

use super::Cluster;
use super::http::Request;

/// A request that changed something.
#[derive(Clone)]
pub struct Asked {
    method: String,
    path: String,
    query: BTreeMap<String, String>,
    media: String,
    body: Vec<u8>,
    /// The object as it stood then; null when there was none.
    before: Value,
}

impl Asked {
    pub fn of(request: &Request, before: Option<&Value>) -> Self {
        Self {
            method: request.method.clone(),
            path: request.path.clone(),
            query: request.query.clone(),
            media: request.header("content-type").to_owned(),
            body: request.body.clone(),
            before: before.cloned().unwrap_or_default(),
        }
    }
}

/// A real API server, and a namespace there.
struct Real {
    runtime: tokio::runtime::Runtime,
    client: ::kube::Client,
    namespace: String,
}

impl Real {
    fn ask(&self, method: &str, path: &str, media: &str, body: Vec<u8>) -> Result<Value, String> {
        let request = ::http::Request::builder().method(method).uri(path).header("content-type", media);
        let request = request.body(body).expect("a request");
        let answer = self.runtime.block_on(self.client.request::<Value>(request));
        answer.map_err(|error| format!("{method} {path}: {error}"))
    }

    fn here(&self, path: &str) -> String {
        path.replacen("/namespaces/default/", &format!("/namespaces/{}/", self.namespace), 1)
    }

    fn moved(&self, body: &[u8], version: &Value) -> Vec<u8> {
        let mut body: Value = serde_json::from_slice(body).expect("JSON");
        if !body["metadata"]["namespace"].is_null() {
            body["metadata"]["namespace"] = json!(self.namespace);
        }
        if !body["metadata"]["resourceVersion"].is_null() {
            body["metadata"]["resourceVersion"] = version.clone();
        }
        for one in body.as_array_mut().into_iter().flatten() {
            if one["path"] == "/metadata/resourceVersion" {
                one["value"] = version.clone();
            }
        }
        body.to_string().into_bytes()
    }

    /// Puts an object there as it was in memory, without what a server keeps of it. Its version.
    fn put(&self, path: &str, object: &Value) -> Result<Value, String> {
        let (all, _) = path.rsplit_once('/').expect("a path");
        let mut object = object.clone();
        let server = ["uid", "resourceVersion", "managedFields", "creationTimestamp", "ownerReferences", "finalizers"];
        object["metadata"].as_object_mut().expect("an object").retain(|name, _| !server.contains(&name.as_str()));
        object["metadata"]["namespace"] = json!(self.namespace);
        // In memory an object is the same in all versions of its kind.
        let served: Vec<&str> = path.trim_start_matches("/apis/").split('/').collect();
        if let ([group, version, ..], true) = (served.as_slice(), path.starts_with("/apis/")) {
            object["apiVersion"] = json!(format!("{group}/{version}"));
        }
        object.as_object_mut().expect("an object").remove("status");
        let _ = self.ask("DELETE", path, "application/json", Vec::new());
        let body = object.to_string().into_bytes();
        let made = self.ask("POST", &format!("{all}?fieldValidation=Strict"), "application/json", body)?;
        Ok(made["metadata"]["resourceVersion"].clone())
    }

    fn take(&self, asked: &Asked) -> Result<(), String> {
        let path = self.here(&asked.path);
        if asked.method == "POST" {
            // What an earlier request was tried on.
            let body: Value = serde_json::from_slice(&asked.body).map_err(|error| error.to_string())?;
            let name = body["metadata"]["name"].as_str().unwrap_or_default();
            let _ = self.ask("DELETE", &format!("{path}/{name}"), "application/json", Vec::new());
        }
        let version =
            if asked.before.is_null() || asked.method == "POST" { json!("") } else { self.put(&path, &asked.before)? };
        let mut query = asked.query.clone();
        query.insert("dryRun".to_owned(), "All".to_owned());
        let query: Vec<String> = query.iter().map(|(name, value)| format!("{name}={value}")).collect();
        let body = self.moved(&asked.body, &version);
        let path = format!("{path}?{}", query.join("&"));
        let said = self.ask(&asked.method, &path, &asked.media, body.clone());
        said.map(drop).map_err(|error| format!("{error}: {}", String::from_utf8_lossy(&body)))
    }
}

/// Every object made and every patch sent to the cluster in memory, tried on that of `MUSTER_TEST_KUBECONFIG`, if there is one: what
/// it has refused of how many.
pub fn taken(cluster: &Cluster) -> Option<(usize, Vec<String>)> {
    let path = std::env::var_os("MUSTER_TEST_KUBECONFIG")?;
    let shared = cluster.shared.as_ref()?;
    let asked = shared.store.lock().asked.clone();
    let asked: Vec<Asked> = asked
        .into_iter()
        .filter(|one| ["POST", "PATCH"].contains(&one.method.as_str()) && !one.path.ends_with("/exec"))
        .collect();
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().expect("a runtime");
    let client = runtime.block_on(async {
        let file = Kubeconfig::read_from(path).expect("a kubeconfig");
        let config = Config::from_custom_kubeconfig(file, &KubeConfigOptions::default()).await.expect("a context");
        ::kube::Client::try_from(config).expect("a client")
    });
    let mut real = Real { runtime, client, namespace: String::new() };
    let made = json!({ "apiVersion": "v1", "kind": "Namespace", "metadata": { "generateName": "muster-taken-" } });
    let spaces = "/api/v1/namespaces";
    let made = real.ask("POST", spaces, "application/json", made.to_string().into_bytes()).expect("a namespace");
    made["metadata"]["name"].as_str().expect("a name").clone_into(&mut real.namespace);
    let refused = asked.iter().filter_map(|one| real.take(one).err()).collect();
    let gone = real.ask("DELETE", &format!("{spaces}/{}", real.namespace), "application/json", Vec::new());
    gone.expect("the namespace goes");
    Some((asked.len(), refused))
}
