//! The AWS account of a sandbox, with what is in it.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::content::Content;
use super::ecs::Ecs;
use super::rds::{Course, Rds};
use super::stores::{Backup, Efs};
use super::veil;
use super::world::{Named, World};
use crate::model::{Timestamp, Value};
use crate::ops::aws::entry::Look;

/// The account of a world, at an instant.
pub struct View<'w> {
    pub(super) world: &'w World,
    pub(super) now: Timestamp,
}

impl<'w> View<'w> {
    /// As it is at this instant.
    #[must_use]
    pub fn at(world: &'w World, now: Timestamp) -> Self {
        Self { world, now }
    }

    /// The status that a course has come to; none while it has come to nothing.
    pub(super) fn status(&self, courses: &'w Named<Course>, what: &str) -> Option<&'w str> {
        let steps = &courses.get(what)?.steps;
        steps.iter().rev().find(|(at, _)| *at <= self.now).map(|(_, status)| status.as_str())
    }
}

impl Look for View<'_> {
    fn is_unknown(&self, text: &str) -> bool {
        veil::marked(text).is_some()
    }
}

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
    /// Its services of ECS.
    #[serde(skip_serializing_if = "Ecs::is_default")]
    pub ecs: Ecs,
    /// Secrets of Secrets Manager, by name.
    #[serde(skip_serializing_if = "Named::is_empty")]
    pub secrets: Named<Secret>,
    /// How the account is reached whose secrets a plan over a live one has looked at.
    #[serde(skip)]
    pub secrets_of: Option<String>,
    /// What its principals may not do.
    #[serde(skip_serializing_if = "Iam::is_default")]
    pub iam: Iam,
    /// Its databases.
    #[serde(skip_serializing_if = "Rds::is_default")]
    pub rds: Rds,
    /// Its vaults of backups.
    #[serde(skip_serializing_if = "Backup::is_default")]
    pub backup: Backup,
    /// Its file systems.
    #[serde(skip_serializing_if = "Efs::is_default")]
    pub efs: Efs,
}

impl Default for Aws {
    fn default() -> Self {
        Self {
            account: "123456789012".to_owned(),
            region: "eu-west-1".to_owned(),
            buckets: Named::new(),
            ecs: Ecs::default(),
            secrets: Named::new(),
            secrets_of: None,
            iam: Iam::default(),
            rds: Rds::default(),
            backup: Backup::default(),
            efs: Efs::default(),
        }
    }
}

/// What whoever asks may not do. Everything else is allowed.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Iam {
    /// Actions with `*` for any characters: `rds:Delete*`.
    pub denied: Vec<String>,
    /// Why simulations are not answered; empty when they are.
    pub silent: String,
}

impl Iam {
    fn is_default(&self) -> bool {
        *self == Self::default()
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

/// A secret: the version that is used, and those before it.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Secret {
    /// What stands in it: a text, or the fields of a document; nothing when a plan does not know it.
    pub value: Value,
    /// The id of the version that is used.
    pub id: String,
    /// Its ARN; made of its name when it is empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub arn: String,
    /// With which KMS key it is encrypted; empty for the account's own.
    pub kms_key: String,
    /// Whether AWS puts new values there by itself.
    pub rotated: bool,
    /// Versions that were used before, the latest last.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub earlier_versions: Vec<Kept>,
    /// What was put when its version was made, for who reviews a plan.
    #[serde(skip)]
    pub note: Value,
}

impl Default for Secret {
    fn default() -> Self {
        Self {
            value: Value::Null,
            id: "00000000-0000-0000-0000-000000000001".to_owned(),
            arn: String::new(),
            kms_key: String::new(),
            rotated: false,
            earlier_versions: Vec::new(),
            note: Value::Null,
        }
    }
}

/// A version of a secret that was used before.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kept {
    /// Its id.
    pub id: String,
    /// What stands in it.
    #[serde(default)]
    pub value: Value,
    /// What was put when it was made.
    #[serde(skip)]
    pub note: Value,
}

impl Secret {
    /// Makes this the version that is used.
    pub fn put(&mut self, id: String, value: Value, note: Value) {
        let kept = Kept {
            id: std::mem::replace(&mut self.id, id),
            value: std::mem::replace(&mut self.value, value),
            note: std::mem::replace(&mut self.note, note),
        };
        self.earlier_versions.push(kept);
    }

    /// Goes back to a version that was used before; whether there is one.
    pub fn go_to(&mut self, id: &str) -> bool {
        let Some(place) = self.earlier_versions.iter().position(|one| one.id == id) else { return false };
        let Kept { id, value, note } = self.earlier_versions.remove(place);
        self.put(id, value, note);
        true
    }
}
