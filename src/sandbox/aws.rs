//! The AWS account of a sandbox, with what is in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::content::Content;
use super::rds::Rds;
use super::world::Named;
use crate::model::Timestamp;

/// An account and region.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Aws {
    /// The number of the account.
    pub account: String,
    /// The region.
    pub region: String,
    /// Buckets of S3, by name.
    pub buckets: Named<Bucket>,
    /// Its databases.
    #[serde(skip_serializing_if = "Rds::is_default")]
    pub rds: Rds,
}

impl Default for Aws {
    fn default() -> Self {
        Self {
            account: "123456789012".to_owned(),
            region: "eu-west-1".to_owned(),
            buckets: Named::new(),
            rds: Rds::default(),
        }
    }
}

/// A bucket.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Bucket {
    /// `enabled`, `suspended` or `off`.
    pub versioning: String,
    /// How it encrypts what does not say otherwise.
    pub encryption: String,
    /// With which KMS key.
    pub kms_key: String,
    /// Whether it keeps the public out.
    pub public_blocked: bool,
    /// The versions of objects by name, the latest last.
    pub objects: BTreeMap<String, Vec<Stored>>,
}

impl Default for Bucket {
    fn default() -> Self {
        Self {
            versioning: "off".to_owned(),
            encryption: "AES256".to_owned(),
            kms_key: String::new(),
            public_blocked: true,
            objects: BTreeMap::new(),
        }
    }
}

/// A version of an object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stored {
    /// What it holds; nothing for a marker that it was deleted.
    pub content: Option<Content>,
    /// Its version; empty when the bucket keeps none.
    #[serde(default)]
    pub version: String,
    /// What tells its contents from others.
    #[serde(default)]
    pub etag: String,
    /// When it was put there.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub modified: Option<Timestamp>,
    /// How it is encrypted.
    #[serde(default)]
    pub encryption: String,
    /// With which KMS key.
    #[serde(default)]
    pub kms_key: String,
    /// What it says of itself.
    #[serde(default)]
    pub content_type: String,
    /// Its metadata.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// The key of the call that put it there.
    #[serde(default)]
    pub made_by: String,
}
