//! The AWS account of a sandbox, with what is in it.

use serde::{Deserialize, Serialize};

/// An account and region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Aws {
    /// The number of the account.
    pub account: String,
    /// The region.
    pub region: String,
}

impl Default for Aws {
    fn default() -> Self {
        Self { account: "123456789012".to_owned(), region: "eu-west-1".to_owned() }
    }
}
