//! Kinds of objects, in all the ways in which people write them.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use crate::model::Value;

/// A kind as a call names it: `deploy`, `Deployment`, `deployments.apps`, `apps/v1/Deployment`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Kind {
    text: String,
    /// The group, if it was given; empty for the core.
    pub group: Option<String>,
    /// The version, if it was given.
    pub version: Option<String>,
    /// What is left: the kind, its plural, its singular or a short form.
    pub word: String,
}

/// A kind as the API server serves it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Served {
    /// Empty for the core.
    pub group: String,
    /// `v1`.
    pub version: String,
    /// `Deployment`.
    pub kind: String,
    /// `deployments`.
    pub plural: String,
    /// Whether its objects are in namespaces.
    pub namespaced: bool,
}

/// Kinds that every cluster has: group, version, kind, plural, short forms, whether they are in namespaces.
const BUILT_IN: [(&str, &str, &str, &str, &str, bool); 31] = [
    ("", "v1", "Namespace", "namespaces", "ns", false),
    ("", "v1", "Node", "nodes", "no", false),
    ("", "v1", "PersistentVolume", "persistentvolumes", "pv", false),
    ("", "v1", "ConfigMap", "configmaps", "cm", true),
    ("", "v1", "Secret", "secrets", "", true),
    ("", "v1", "Service", "services", "svc", true),
    ("", "v1", "ServiceAccount", "serviceaccounts", "sa", true),
    ("", "v1", "PersistentVolumeClaim", "persistentvolumeclaims", "pvc", true),
    ("", "v1", "Pod", "pods", "po", true),
    ("", "v1", "Event", "events", "ev", true),
    ("", "v1", "Endpoints", "endpoints", "ep", true),
    ("", "v1", "LimitRange", "limitranges", "limits", true),
    ("", "v1", "ResourceQuota", "resourcequotas", "quota", true),
    ("apps", "v1", "Deployment", "deployments", "deploy", true),
    ("apps", "v1", "StatefulSet", "statefulsets", "sts", true),
    ("apps", "v1", "ReplicaSet", "replicasets", "rs", true),
    ("apps", "v1", "DaemonSet", "daemonsets", "ds", true),
    ("batch", "v1", "Job", "jobs", "", true),
    ("batch", "v1", "CronJob", "cronjobs", "cj", true),
    ("rbac.authorization.k8s.io", "v1", "Role", "roles", "", true),
    ("rbac.authorization.k8s.io", "v1", "RoleBinding", "rolebindings", "", true),
    ("rbac.authorization.k8s.io", "v1", "ClusterRole", "clusterroles", "", false),
    ("rbac.authorization.k8s.io", "v1", "ClusterRoleBinding", "clusterrolebindings", "", false),
    ("networking.k8s.io", "v1", "Ingress", "ingresses", "ing", true),
    ("networking.k8s.io", "v1", "NetworkPolicy", "networkpolicies", "netpol", true),
    ("policy", "v1", "PodDisruptionBudget", "poddisruptionbudgets", "pdb", true),
    ("autoscaling", "v2", "HorizontalPodAutoscaler", "horizontalpodautoscalers", "hpa", true),
    ("storage.k8s.io", "v1", "StorageClass", "storageclasses", "sc", false),
    ("coordination.k8s.io", "v1", "Lease", "leases", "", true),
    ("scheduling.k8s.io", "v1", "PriorityClass", "priorityclasses", "pc", false),
    ("apiextensions.k8s.io", "v1", "CustomResourceDefinition", "customresourcedefinitions", "crd", false),
];

fn is_version(text: &str) -> bool {
    let digits = text.strip_prefix('v').unwrap_or_default();
    let end = digits.trim_start_matches(|char: char| char.is_ascii_digit());
    digits.len() > end.len() && (end.is_empty() || end.starts_with("alpha") || end.starts_with("beta"))
}

impl Kind {
    /// The kind that a text names; the reason when it names none.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn parse(text: &str) -> Result<Self, String> {
        let plain = |char: char| char.is_ascii_alphanumeric() || "-./".contains(char);
        let wrong = || {
            format!(
                "`{text}` is no kind; write it as kubectl takes it (`deploy`, `deployments.apps`) or as GROUP/VERSION/KIND"
            )
        };
        let slashes: Vec<&str> = text.split('/').collect();
        let (group, version, word) = match slashes.as_slice() {
            [group, version, word] if is_version(version) => (Some(*group), Some(*version), *word),
            [version, word] if is_version(version) => (Some(""), Some(*version), *word),
            [group, word] => (Some(*group), None, *word),
            [words] => match words.split_once('.') {
                None => (None, None, *words),
                Some((word, rest)) => match rest.split_once('.') {
                    Some((version, group)) if is_version(version) => (Some(group), Some(version), word),
                    None if is_version(rest) => (Some(""), Some(rest), word),
                    _ => (Some(rest), None, word),
                },
            },
            _ => return Err(wrong()),
        };
        if word.is_empty() || word.contains('.') || !text.chars().all(plain) {
            return Err(wrong());
        }
        Ok(Self {
            text: text.to_owned(),
            group: group.map(str::to_owned),
            version: version.map(str::to_owned),
            word: word.to_owned(),
        })
    }

    /// The kind of an object; the reason when it has none.
    ///
    /// # Errors
    /// What is wrong with it.
    pub fn of_object(object: &Value) -> Result<Self, String> {
        let text = |name: &str| object.get(name).and_then(Value::as_str).filter(|text| !text.is_empty());
        let api = text("apiVersion").ok_or("it has no apiVersion")?;
        let kind = text("kind").ok_or("it has no kind")?;
        Self::parse(&format!("{api}/{kind}"))
    }

    /// What every cluster serves under this name.
    #[must_use]
    pub fn built_in(&self) -> Option<Served> {
        let (group, version, kind, plural, _, namespaced) =
            BUILT_IN.iter().find(|(group, version, kind, plural, short, _)| {
                let word = self.word.to_ascii_lowercase();
                let named =
                    word == kind.to_ascii_lowercase() || word == *plural || (!short.is_empty() && word == *short);
                named
                    && self.group.as_ref().is_none_or(|wanted| wanted == group)
                    && self.version.as_ref().is_none_or(|wanted| wanted == version)
            })?;
        Some(Served {
            group: (*group).to_owned(),
            version: (*version).to_owned(),
            kind: (*kind).to_owned(),
            plural: (*plural).to_owned(),
            namespaced: *namespaced,
        })
    }

    /// The one name that all ways to write a kind have in common, as far as that can be told without asking a server: `deployment`,
    /// `postgrescluster`. A kind that is called as one that every cluster has goes by its group too.
    #[must_use]
    pub fn plain(&self) -> String {
        if let Some(served) = self.built_in() {
            return served.kind.to_ascii_lowercase();
        }
        let word = self.word.to_ascii_lowercase();
        let word = match word.strip_suffix("ies") {
            Some(stem) => format!("{stem}y"),
            None if word.ends_with("sses") || word.ends_with("xes") => word.trim_end_matches("es").to_owned(),
            None if word.ends_with("ss") => word,
            None => word.strip_suffix('s').unwrap_or(&word).to_owned(),
        };
        let alone = Self { text: String::new(), group: None, version: None, word: word.clone() };
        match &self.group {
            Some(group) if alone.built_in().is_some_and(|built_in| built_in.group != *group) => {
                format!("{word}.{group}")
            }
            _ => word,
        }
    }
}

impl Served {
    /// `apps/v1`; `v1` for the core.
    #[must_use]
    pub fn api_version(&self) -> String {
        if self.group.is_empty() { self.version.clone() } else { format!("{}/{}", self.group, self.version) }
    }

    /// The path of an object, of all of a namespace, or of all.
    #[must_use]
    pub fn path(&self, namespace: Option<&str>, name: Option<&str>) -> String {
        let root = if self.group.is_empty() { "api" } else { "apis" };
        let within = namespace.map_or(String::new(), |namespace| format!("/namespaces/{namespace}"));
        let end = name.map_or(String::new(), |name| format!("/{name}"));
        format!("/{root}/{}{within}/{}{end}", self.api_version(), self.plural)
    }
}

impl std::fmt::Display for Kind {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for Kind {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        Self::parse(&text).map_err(de::Error::custom)
    }
}

impl Serialize for Kind {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl JsonSchema for Kind {
    fn schema_name() -> Cow<'static, str> {
        "Kind".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "a kind as kubectl takes it (`deploy`, `deployments.apps`), or as GROUP/VERSION/KIND" })
    }

    fn inline_schema() -> bool {
        true
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn all_ways_to_write_a_kind_name_one_thing() {
        let plain = |text: &str| Kind::parse(text).unwrap().plain();
        for text in [
            "deploy",
            "Deployment",
            "deployments",
            "deployments.apps",
            "deployments.v1.apps",
            "apps/v1/Deployment",
            "apps/Deployment",
        ] {
            assert_eq!(plain(text), "deployment", "{text}");
        }
        let group = "postgres-operator.crunchydata.com";
        for text in [
            "postgrescluster",
            "PostgresCluster",
            "postgresclusters",
            &format!("postgresclusters.{group}"),
            &format!("{group}/v1beta1/PostgresCluster"),
        ] {
            assert_eq!(plain(text), "postgrescluster", "{text}");
        }
        assert_eq!(plain("v1/Service"), "service");
        assert_eq!(plain("serving.knative.dev/v1/Service"), "service.serving.knative.dev");
        assert_eq!(
            (plain("ingresses"), plain("policies"), plain("ingressclasses")),
            ("ingress".into(), "policy".into(), "ingressclass".into())
        );
    }

    #[test]
    fn what_names_no_kind_is_refused() {
        for text in ["", "a/b/c/d", "a b", "/v1/", "deploy?", "apps/v1/x/y", "v1/a.b"] {
            assert!(Kind::parse(text).is_err(), "{text}");
        }
    }

    #[test]
    fn a_kind_that_every_cluster_has_needs_no_discovery() {
        let served = Kind::parse("sts").unwrap().built_in().unwrap();
        assert_eq!(served.path(Some("shop"), Some("db")), "/apis/apps/v1/namespaces/shop/statefulsets/db");
        assert!(Kind::parse("apps/v1beta1/Deployment").unwrap().built_in().is_none());
        let pv = Kind::parse("pv").unwrap().built_in().unwrap();
        assert_eq!((pv.path(None, None).as_str(), pv.namespaced), ("/api/v1/persistentvolumes", false));
    }
}
