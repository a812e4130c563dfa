//! One object as a call names it.

use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::Touch;
use crate::ops::helm::client::Cluster;

use super::kind::Kind;

/// One object of a cluster.
#[derive(Clone, Debug)]
pub struct Named {
    /// Its kind.
    pub kind: Kind,
    /// Its namespace; none for what is in none.
    pub namespace: Option<String>,
    /// Its name.
    pub name: String,
    /// The cluster.
    pub cluster: Cluster,
}

/// The name of the part of a resource that stands for a cluster: what separates parts is taken out of it.
#[must_use]
pub fn cluster_part(cluster: &Cluster) -> String {
    cluster.name().replace('/', "|")
}

/// The resource of a namespace: what lies in one that a drill made is the drill's own.
#[must_use]
pub fn namespace_resource(cluster: &Cluster, namespace: &str) -> String {
    format!("k8s/{}/-/namespace/{namespace}", cluster_part(cluster))
}

fn is_name(text: &str) -> bool {
    // Some kinds, those of RBAC for one, take more than a DNS name.
    let plain = |char: char| char.is_ascii_alphanumeric() || "-._:".contains(char);
    !text.is_empty() && text.len() <= 253 && text.chars().all(plain) && text.trim_matches('.') == text
}

impl Named {
    /// `Deployment shop/web`.
    #[must_use]
    pub fn shown(&self) -> String {
        match &self.namespace {
            Some(namespace) => format!("{} {namespace}/{}", self.kind, self.name),
            None => format!("{} {}", self.kind, self.name),
        }
    }

    /// Its resource: `k8s/prod/shop/deployment/web`. What is in no namespace stands in `-`.
    #[must_use]
    pub fn resource(&self) -> String {
        format!("k8s/{}", self.key())
    }

    /// It, as something that is changed: it lies in its namespace.
    #[must_use]
    pub fn touched(&self) -> Touch {
        let touch = Touch::changes(self.resource());
        match &self.namespace {
            Some(namespace) => touch.held_by(namespace_resource(&self.cluster, namespace)),
            None => touch,
        }
    }

    /// The same within the family.
    #[must_use]
    pub fn key(&self) -> String {
        let namespace = self.namespace.as_deref().unwrap_or("-");
        format!("{}/{namespace}/{}/{}", cluster_part(&self.cluster), self.kind.plain(), self.name)
    }

    /// Refuses names that no object can have.
    ///
    /// # Errors
    /// Refused.
    pub fn check(&self) -> Result<(), OpError> {
        let wrong = [Some(&self.name), self.namespace.as_ref()].into_iter().flatten().find(|text| !is_name(text));
        match wrong {
            Some(text) => Err(OpError::refused(format!("`{text}` cannot be the name of an object"))),
            None => Ok(()),
        }
    }

    /// The object that a manifest describes.
    ///
    /// # Errors
    /// Refused, when it does not say which it is.
    pub fn of_manifest(object: &Value, cluster: &Cluster) -> Result<Self, OpError> {
        let wrong = |what: &str| OpError::refused(format!("the object cannot be used: {what}"));
        let kind = Kind::of_object(object).map_err(|what| wrong(&what))?;
        let text = |name: &str| object.pointer(name).and_then(Value::as_str).map(str::to_owned);
        let name =
            text("/metadata/name").ok_or_else(|| wrong("it has no metadata.name; generated names are not taken"))?;
        Ok(Self { kind, namespace: text("/metadata/namespace"), name, cluster: cluster.clone() })
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn an_object_is_one_thing_however_its_kind_is_written() {
        let named = |kind: &str, namespace: Option<&str>| Named {
            kind: Kind::parse(kind).unwrap(),
            namespace: namespace.map(str::to_owned),
            name: "web".to_owned(),
            cluster: Cluster { kubeconfig: None, context: Some("arn:aws:eks:eu-west-1:1:cluster/a".to_owned()) },
        };
        assert_eq!(
            named("deploy", Some("shop")).resource(),
            "k8s/arn:aws:eks:eu-west-1:1:cluster|a/shop/deployment/web"
        );
        assert_eq!(named("pv", None).key(), "arn:aws:eks:eu-west-1:1:cluster|a/-/persistentvolume/web");
        assert!(named("pv", Some("a/b")).check().is_err() && named("pv", Some("")).check().is_err());
    }

    #[test]
    fn a_manifest_says_which_object_it_is() {
        let object = json!({ "apiVersion": "apps/v1", "kind": "Deployment", "metadata": { "name": "web", "namespace": "shop" } });
        let named = Named::of_manifest(&object, &Cluster::default()).unwrap();
        assert_eq!(named.key(), "current/shop/deployment/web");
        for wrong in [json!({}), json!({ "apiVersion": "v1", "kind": "Pod", "metadata": { "generateName": "x" } })] {
            assert!(Named::of_manifest(&wrong, &Cluster::default()).is_err());
        }
    }
}
