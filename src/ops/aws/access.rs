//! Which account and region an operation works in, and how it gets there.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// Which account and region. What is absent is looked up where AWS's own tools look it up: the environment, the shared
/// configuration, the machine.
#[derive(Clone, Debug, Default, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Access {
    /// The profile of the shared configuration.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub profile: Option<String>,
    /// The region: `eu-west-1`.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub region: Option<String>,
    /// The ARN of a role to take on.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub role: Option<String>,
    /// The URL of another server than AWS's own.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub endpoint: Option<String>,
}

impl Access {
    /// What tells it from others in a few words; empty when nothing is given.
    #[must_use]
    pub fn label(&self) -> String {
        let role = self.role.as_deref().map(|arn| arn.rsplit('/').next().unwrap_or(arn));
        let parts = [self.profile.as_deref(), self.region.as_deref(), role, self.endpoint.as_deref()];
        parts.into_iter().flatten().collect::<Vec<_>>().join(" ")
    }

    /// The resource `family/name` as this access reaches it: things of one name in two regions are two things.
    #[must_use]
    pub fn resource(&self, family: &str, name: &str) -> String {
        match self.label() {
            label if label.is_empty() => format!("{family}/{name}"),
            // A slash ends the part by which targets are told apart.
            label => format!("{family}/{}:{name}", label.replace('/', "|")),
        }
    }
}

/// Arguments that say in which account.
pub trait InAccount {
    /// Which account and region.
    fn access(&self) -> &Access;
}

/// Implements [`InAccount`] for arguments with a field `aws`.
macro_rules! in_account {
    ($($args:ty),+ $(,)?) => {$(
        impl $crate::ops::aws::access::InAccount for $args {
            fn access(&self) -> &$crate::ops::aws::Access {
                &self.aws
            }
        }
    )+};
}
pub(in crate::ops::aws) use in_account;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn things_of_one_name_in_two_regions_are_two_things() {
        let access = |region: Option<&str>| Access { region: region.map(str::to_owned), ..Access::default() };
        let resources = [None, Some("eu-west-1"), Some("eu-west-2")].map(|r| access(r).resource("rds", "chat"));
        assert_eq!(resources, ["rds/chat", "rds/eu-west-1:chat", "rds/eu-west-2:chat"]);
        let by_url = Access { endpoint: Some("http://127.0.0.1:1/x".to_owned()), ..Access::default() };
        assert_eq!(by_url.resource("rds", "chat").matches('/').count(), 1);
    }
}
