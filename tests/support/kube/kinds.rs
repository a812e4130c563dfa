//! Which kinds there are, and what the server tells of them: discovery and OpenAPI, as far as kubectl and helm look.

use muster::model::Value;
use serde_json::json;

use super::http::{Answer, Request};

/// A kind of one version.
#[derive(Clone, Debug, PartialEq)]
pub struct Kind {
    /// Empty for the core.
    pub group: String,
    pub version: String,
    pub kind: String,
    pub plural: String,
    pub short: Vec<String>,
    pub namespaced: bool,
    /// `status`, `scale`.
    pub subresources: Vec<String>,
}

impl Kind {
    fn of(group_version: &str, kind: &str, plural: &str, short: &str, scope: &str, subresources: &[&str]) -> Self {
        let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
        Self {
            group: group.to_owned(),
            version: version.to_owned(),
            kind: kind.to_owned(),
            plural: plural.to_owned(),
            short: short.split_whitespace().map(str::to_owned).collect(),
            namespaced: scope == "ns",
            subresources: subresources.iter().map(|name| (*name).to_owned()).collect(),
        }
    }

    pub fn group_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// Without the version: the same thing is stored once.
    pub fn resource(&self) -> String {
        if self.group.is_empty() { self.plural.clone() } else { format!("{}.{}", self.plural, self.group) }
    }

    pub fn has(&self, subresource: &str) -> bool {
        self.subresources.iter().any(|name| name == subresource)
    }
}

/// Those that are there from the start.
pub fn built_in() -> Vec<Kind> {
    let both = &["status", "scale"];
    let status = &["status"];
    vec![
        Kind::of("v1", "Namespace", "namespaces", "ns", "", status),
        Kind::of("v1", "Node", "nodes", "no", "", status),
        Kind::of("v1", "PersistentVolume", "persistentvolumes", "pv", "", status),
        Kind::of("v1", "ConfigMap", "configmaps", "cm", "ns", &[]),
        Kind::of("v1", "Secret", "secrets", "", "ns", &[]),
        Kind::of("v1", "Service", "services", "svc", "ns", status),
        Kind::of("v1", "ServiceAccount", "serviceaccounts", "sa", "ns", &[]),
        Kind::of("v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", "ns", status),
        Kind::of("v1", "Pod", "pods", "po", "ns", status),
        Kind::of("v1", "Event", "events", "ev", "ns", &[]),
        Kind::of("v1", "ResourceQuota", "resourcequotas", "quota", "ns", status),
        Kind::of("v1", "Endpoints", "endpoints", "ep", "ns", &[]),
        Kind::of("apps/v1", "Deployment", "deployments", "deploy", "ns", both),
        Kind::of("apps/v1", "StatefulSet", "statefulsets", "sts", "ns", both),
        Kind::of("apps/v1", "ReplicaSet", "replicasets", "rs", "ns", both),
        Kind::of("apps/v1", "DaemonSet", "daemonsets", "ds", "ns", status),
        Kind::of("batch/v1", "Job", "jobs", "", "ns", status),
        Kind::of("batch/v1", "CronJob", "cronjobs", "cj", "ns", status),
        Kind::of("rbac.authorization.k8s.io/v1", "Role", "roles", "", "ns", &[]),
        Kind::of("rbac.authorization.k8s.io/v1", "RoleBinding", "rolebindings", "", "ns", &[]),
        Kind::of("rbac.authorization.k8s.io/v1", "ClusterRole", "clusterroles", "", "", &[]),
        Kind::of("rbac.authorization.k8s.io/v1", "ClusterRoleBinding", "clusterrolebindings", "", "", &[]),
        Kind::of("storage.k8s.io/v1", "StorageClass", "storageclasses", "sc", "", &[]),
        Kind::of("networking.k8s.io/v1", "Ingress", "ingresses", "ing", "ns", status),
        Kind::of("apiextensions.k8s.io/v1", "CustomResourceDefinition", "customresourcedefinitions", "crd", "", status),
        Kind::of("authorization.k8s.io/v1", "SelfSubjectAccessReview", "selfsubjectaccessreviews", "", "", &[]),
    ]
}

/// What a CustomResourceDefinition defines, the preferred version first.
pub fn of_definition(definition: &Value) -> Vec<Kind> {
    let spec = &definition["spec"];
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let texts = |value: &Value| value.as_array().into_iter().flatten().map(text).collect::<Vec<_>>();
    let versions = spec["versions"].as_array().into_iter().flatten().filter(|version| version["served"] == json!(true));
    let mut kinds: Vec<Kind> = versions
        .map(|version| Kind {
            group: text(&spec["group"]),
            version: text(&version["name"]),
            kind: text(&spec["names"]["kind"]),
            plural: text(&spec["names"]["plural"]),
            short: texts(&spec["names"]["shortNames"]),
            namespaced: spec["scope"] == json!("Namespaced"),
            subresources: version["subresources"]
                .as_object()
                .into_iter()
                .flatten()
                .map(|(name, _)| name.clone())
                .collect(),
        })
        .collect();
    // `v1` before `v1beta1`.
    kinds.sort_by_key(|kind| (kind.version.contains("beta"), kind.version.contains("alpha"), kind.version.clone()));
    kinds
}

const VERBS: [&str; 8] = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];

/// The groups in the order of their first kind.
fn groups(kinds: &[Kind]) -> Vec<(String, Vec<String>)> {
    let mut groups: Vec<(String, Vec<String>)> = Vec::new();
    for kind in kinds {
        if !groups.iter().any(|(group, _)| *group == kind.group) {
            groups.push((kind.group.clone(), Vec::new()));
        }
        let versions = groups.iter_mut().find(|(group, _)| *group == kind.group).map(|(_, versions)| versions);
        if let Some(versions) = versions.filter(|versions| !versions.contains(&kind.version)) {
            versions.push(kind.version.clone());
        }
    }
    groups
}

fn resources(kinds: &[Kind], group: &str, version: &str) -> Vec<Value> {
    let mut all = Vec::new();
    for kind in kinds.iter().filter(|kind| kind.group == group && kind.version == version) {
        all.push(json!({
            "name": kind.plural, "singularName": kind.kind.to_lowercase(), "namespaced": kind.namespaced,
            "kind": kind.kind, "verbs": VERBS, "shortNames": kind.short,
        }));
        for name in &kind.subresources {
            let (kind_of, group, version) = match name.as_str() {
                "scale" => ("Scale", "autoscaling", "v1"),
                _ => (kind.kind.as_str(), kind.group.as_str(), kind.version.as_str()),
            };
            all.push(json!({
                "name": format!("{}/{name}", kind.plural), "singularName": "", "namespaced": kind.namespaced,
                "kind": kind_of, "group": group, "version": version, "verbs": ["get", "patch", "update"],
            }));
        }
    }
    all
}

fn aggregated(kinds: &[Kind], core: bool) -> Value {
    let items = groups(kinds).into_iter().filter(|(group, _)| group.is_empty() == core).map(|(group, versions)| {
        let versions = versions.iter().map(|version| {
            let of_version = kinds.iter().filter(|kind| kind.group == group && kind.version == *version);
            let resources = of_version.map(|kind| {
                let subresources = kind.subresources.iter().map(|name| {
                    let (group, version, kind) = match name.as_str() {
                        "scale" => ("autoscaling", "v1", "Scale"),
                        _ => (kind.group.as_str(), kind.version.as_str(), kind.kind.as_str()),
                    };
                    json!({
                        "subresource": name, "verbs": ["get", "patch", "update"],
                        "responseKind": { "group": group, "version": version, "kind": kind },
                    })
                });
                json!({
                    "resource": kind.plural, "singularResource": kind.kind.to_lowercase(), "verbs": VERBS,
                    "responseKind": { "group": kind.group, "version": kind.version, "kind": kind.kind },
                    "scope": if kind.namespaced { "Namespaced" } else { "Cluster" }, "shortNames": kind.short,
                    "subresources": subresources.collect::<Vec<_>>(),
                })
            });
            json!({ "version": version, "resources": resources.collect::<Vec<_>>(), "freshness": "Current" })
        });
        let metadata = if group.is_empty() { json!({}) } else { json!({ "name": group }) };
        json!({ "metadata": metadata, "versions": versions.collect::<Vec<_>>() })
    });
    json!({
        "kind": "APIGroupDiscoveryList", "apiVersion": "apidiscovery.k8s.io/v2", "metadata": {},
        "items": items.collect::<Vec<_>>(),
    })
}

const AGGREGATED: &str = "application/json;g=apidiscovery.k8s.io;v=v2;as=APIGroupDiscoveryList";
const OPENAPI: &str = "application/com.github.proto-openapi.spec.v3.v1.0+protobuf";

/// Answers what is asked about the server itself.
pub fn discover(kinds: &[Kind], request: &Request) -> Option<Answer> {
    let aggregate = request.header("accept").contains("as=APIGroupDiscoveryList");
    let answer = match request.path.as_str() {
        "/version" => json!({
            "major": "1", "minor": "34", "gitVersion": "v1.34.0", "gitCommit": "0", "gitTreeState": "clean",
            "buildDate": "2025-08-27T10:12:48Z", "goVersion": "go1.24.6", "compiler": "gc", "platform": "linux/amd64",
        }),
        "/healthz" | "/readyz" | "/livez" => return Some(Answer::Bytes(200, "text/plain", b"ok".to_vec())),
        "/api" | "/apis" if aggregate => {
            let body = aggregated(kinds, request.path == "/api").to_string().into_bytes();
            return Some(Answer::Bytes(200, AGGREGATED, body));
        }
        "/api" => json!({ "kind": "APIVersions", "versions": ["v1"], "serverAddressByClientCIDRs": [] }),
        "/apis" => {
            let named = |group: &str, version: &String| json!({ "groupVersion": format!("{group}/{version}"), "version": version });
            let listed = groups(kinds).into_iter().filter(|(group, _)| !group.is_empty()).map(|(group, versions)| {
                json!({
                    "name": group, "versions": versions.iter().map(|version| named(&group, version)).collect::<Vec<_>>(),
                    "preferredVersion": versions.first().map(|version| named(&group, version)),
                })
            });
            json!({ "kind": "APIGroupList", "apiVersion": "v1", "groups": listed.collect::<Vec<_>>() })
        }
        "/openapi/v3" => {
            let mut paths = serde_json::Map::new();
            for kind in kinds {
                let path = format!("{}/{}", if kind.group.is_empty() { "api" } else { "apis" }, kind.group_version());
                let url = format!("/openapi/v3/{path}?hash={:x}", kinds.len());
                paths.insert(path, json!({ "serverRelativeURL": url }));
            }
            json!({ "paths": paths })
        }
        path => {
            if let Some(group_version) = path.strip_prefix("/openapi/v3/") {
                let group_version = group_version.trim_start_matches("apis/").trim_start_matches("api/");
                let of: Vec<&Kind> = kinds.iter().filter(|kind| kind.group_version() == group_version).collect();
                return (!of.is_empty()).then(|| {
                    if request.header("accept").contains("protobuf") {
                        Answer::Bytes(200, OPENAPI, protobuf(&of))
                    } else {
                        Answer::Json(200, document(&of))
                    }
                });
            }
            let group_version = path.strip_prefix("/apis/").or_else(|| path.strip_prefix("/api/"))?;
            let (group, version) = group_version.split_once('/').unwrap_or(("", group_version));
            let resources = resources(kinds, group, version);
            if resources.is_empty() {
                return None;
            }
            json!({ "kind": "APIResourceList", "apiVersion": "v1", "groupVersion": group_version, "resources": resources })
        }
    };
    Some(Answer::Json(200, answer))
}

/// The parameters by which the tools find out what a PATCH of a kind can do.
const PARAMETERS: [&str; 4] = ["dryRun", "fieldManager", "fieldValidation", "force"];

fn path_of(kind: &Kind) -> String {
    let root = if kind.group.is_empty() { "api" } else { "apis" };
    let scope = if kind.namespaced { "namespaces/{namespace}/" } else { "" };
    format!("/{root}/{}/{scope}{}/{{name}}", kind.group_version(), kind.plural)
}

fn document(kinds: &[&Kind]) -> Value {
    let paths = kinds.iter().map(|kind| {
        let parameters = PARAMETERS.map(|name| json!({ "name": name, "in": "query", "schema": { "type": "string" } }));
        let named = json!({ "group": kind.group, "version": kind.version, "kind": kind.kind });
        let patch = json!({ "parameters": parameters, "responses": {}, "x-kubernetes-group-version-kind": named });
        (path_of(kind), json!({ "patch": patch }))
    });
    json!({
        "openapi": "3.0.0", "info": { "title": "Kubernetes", "version": "v1.34.0" },
        "paths": paths.collect::<serde_json::Map<_, _>>(), "components": { "schemas": {} },
    })
}

/// A field of a protobuf message: its number and its bytes.
fn field(number: u8, bytes: &[u8]) -> Vec<u8> {
    let mut out = vec![number << 3 | 2];
    let mut length = bytes.len();
    while length > 0x7f {
        out.push((length & 0x7f) as u8 | 0x80);
        length >>= 7;
    }
    out.push(length as u8);
    out.extend_from_slice(bytes);
    out
}

/// The same document as `openapi.v3.Document` of gnostic.
fn protobuf(kinds: &[&Kind]) -> Vec<u8> {
    let mut paths = Vec::new();
    for kind in kinds {
        let mut patch: Vec<u8> = PARAMETERS
            .iter()
            .flat_map(|name| {
                let parameter = [field(1, name.as_bytes()), field(2, b"query")].concat();
                field(6, &field(1, &parameter))
            })
            .collect();
        let named = format!("group: \"{}\"\nkind: {}\nversion: {}\n", kind.group, kind.kind, kind.version);
        let extension = [field(1, b"x-kubernetes-group-version-kind"), field(2, &field(2, named.as_bytes()))].concat();
        patch.extend(field(13, &extension));
        let path = [field(1, path_of(kind).as_bytes()), field(2, &field(10, &patch))].concat();
        paths.extend(field(1, &path));
    }
    let info = [field(1, b"Kubernetes"), field(6, b"v1.34.0")].concat();
    [field(1, b"3.0.0"), field(2, &info), field(4, &paths)].concat()
}
