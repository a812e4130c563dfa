//! A release by name: which cluster, which namespace.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::{Deserialize, Deserializer, Serialize, Serializer, de};

use super::client::Cluster;
use crate::model::fault::OpError;
use crate::ops::Touch;
use crate::ops::k8s::named::namespace_resource;

/// `NAMESPACE/NAME`.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Release {
    /// Where its records and most of its objects are.
    pub namespace: String,
    /// Its name.
    pub name: String,
}

fn is_label(text: &str) -> bool {
    let plain = |byte: u8| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'-' || byte == b'.';
    !text.is_empty() && text.len() <= 63 && text.bytes().all(plain) && !text.starts_with('-') && !text.ends_with('-')
}

impl<'de> Deserialize<'de> for Release {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let text = String::deserialize(deserializer)?;
        let wrong = || de::Error::custom(format!("`{text}` is no release; write NAMESPACE/NAME, in lower case"));
        let (namespace, name) = text.split_once('/').ok_or_else(wrong)?;
        if !is_label(namespace) || !is_label(name) || name.len() > 53 {
            return Err(wrong());
        }
        Ok(Self { namespace: namespace.to_owned(), name: name.to_owned() })
    }
}

impl std::fmt::Display for Release {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "{}/{}", self.namespace, self.name)
    }
}

impl Serialize for Release {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.collect_str(self)
    }
}

impl JsonSchema for Release {
    fn schema_name() -> Cow<'static, str> {
        "Release".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({ "type": "string", "description": "a release as `NAMESPACE/NAME`" })
    }

    fn inline_schema() -> bool {
        true
    }
}

impl Release {
    /// It, as something that is changed: it lies in its namespace.
    #[must_use]
    pub fn touched(&self, cluster: &Cluster) -> Touch {
        Touch::changes(self.resource(cluster)).held_by(namespace_resource(cluster, &self.namespace))
    }

    /// Its resource: `helm/prod/shop/web`.
    #[must_use]
    pub fn resource(&self, cluster: &Cluster) -> String {
        format!("helm/{}/{self}", cluster.name())
    }
}

/// Refuses a text that a client would take for an option.
///
/// # Errors
/// Refused when it is empty or begins with a dash.
pub fn check_word(kind: &str, text: &str) -> Result<(), OpError> {
    if text.is_empty() || text.starts_with('-') || text.contains(['\0', '\n']) {
        return Err(OpError::refused(format!("`{text}` cannot be a {kind}")));
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    #[test]
    fn a_release_has_a_namespace_and_a_name_that_are_no_options() {
        assert_eq!(Release::deserialize(json!("shop/web")).unwrap().to_string(), "shop/web");
        for wrong in ["web", "/web", "shop/", "shop/-f", "Shop/web", "a/b/c", "shop/we b"] {
            assert!(Release::deserialize(json!(wrong)).is_err(), "{wrong}");
        }
    }
}
