//! What is in a bucket: objects by name, and the versions of one.

use std::time::Duration;

use aws_sdk_s3::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::object::{resource, time_of, url};
use crate::model::fault::{OpError, Target};
use crate::ops::aws::{Access, Line, target};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Operation, Read};

/// `s3.list`.
pub struct List;

/// What to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListArgs {
    /// The bucket.
    pub bucket: String,
    /// Only names that begin so.
    #[serde(default)]
    pub prefix: String,
    /// At most so many.
    #[serde(default = "thousand")]
    #[schemars(range(min = 1, max = 10000))]
    pub max: usize,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

fn thousand() -> usize {
    1000
}

/// Objects of a bucket.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Listed {
    /// By name.
    pub objects: Vec<ListedObject>,
    /// Whether there are more than were asked for.
    pub more: bool,
}

/// One object of a list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListedObject {
    /// Its name.
    pub key: String,
    /// Its size.
    pub bytes: u64,
    /// When it was put there, in UTC.
    pub modified: String,
    /// What tells its contents from others of that name.
    pub etag: String,
}

fn size(bytes: Option<i64>) -> u64 {
    bytes.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default()
}

impl Operation for List {
    const NAME: &'static str = "s3.list";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "the objects of a bucket whose names begin so, by name";
    const PERMISSION: &'static str = "s3:ListBucket";
    const TYPICAL: Duration = Duration::from_millis(200);
    type Args = ListArgs;
    type Output = Listed;

    fn resource(args: &ListArgs) -> String {
        resource(&args.bucket, &args.prefix, &args.aws)
    }

    fn target(context: &ReadContext<'_>, args: &ListArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.aws)
    }
}

impl Read for List {
    fn read(context: &ReadContext<'_>, args: ListArgs) -> Result<Listed, OpError> {
        let line = context.aws(&args.aws)?;
        let act = format!("cannot list {}", url(&args.bucket, &args.prefix));
        let (mut objects, mut next) = (Vec::new(), None);
        loop {
            let page = line.call(&act, |s3: Client| {
                let token: Option<String> = next.take();
                s3.list_objects_v2().bucket(&args.bucket).prefix(&args.prefix).set_continuation_token(token).send()
            })?;
            objects.extend(page.contents.unwrap_or_default().into_iter().map(|one| ListedObject {
                bytes: size(one.size),
                modified: time_of(one.last_modified.as_ref()),
                key: one.key.unwrap_or_default(),
                etag: one.e_tag.unwrap_or_default(),
            }));
            next = page.next_continuation_token;
            if next.is_none() || objects.len() > args.max {
                let more = next.is_some() || objects.len() > args.max;
                objects.truncate(args.max);
                return Ok(Listed { objects, more });
            }
        }
    }
}

/// `s3.versions`.
pub struct Versions;

/// Whose versions.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VersionsArgs {
    /// The bucket.
    pub bucket: String,
    /// The name of the object.
    pub key: String,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// The versions of an object.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct VersionList {
    /// The latest first.
    pub versions: Vec<Version>,
}

/// One version of an object.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Version {
    /// Its id; empty for what was put there when the bucket kept none.
    pub version: String,
    /// Whether it is the latest.
    pub latest: bool,
    /// Whether it is a marker that the object was deleted.
    pub marker: bool,
    /// Its size.
    pub bytes: u64,
    /// When it was put there, in UTC.
    pub modified: String,
    /// What tells its contents from others; empty for a marker.
    pub etag: String,
}

/// The versions of exactly this object, the latest first.
pub(super) fn versions(line: &Line<'_>, bucket: &str, key: &str) -> Result<Vec<Version>, OpError> {
    let act = format!("cannot list the versions of {}", url(bucket, key));
    let id = |id: Option<String>| id.filter(|id| id != "null").unwrap_or_default();
    let (mut found, mut next) = (Vec::new(), (None, None));
    loop {
        let page = line.call(&act, |s3: Client| {
            let (key_marker, version_marker): (Option<String>, Option<String>) = std::mem::take(&mut next);
            s3.list_object_versions()
                .bucket(bucket)
                .prefix(key)
                .set_key_marker(key_marker)
                .set_version_id_marker(version_marker)
                .send()
        })?;
        // Names that only begin like this one come after it.
        let mut further = false;
        for one in page.versions.unwrap_or_default() {
            if one.key.as_deref() != Some(key) {
                further = true;
                continue;
            }
            found.push(Version {
                latest: one.is_latest.unwrap_or_default(),
                marker: false,
                bytes: size(one.size),
                modified: time_of(one.last_modified.as_ref()),
                version: id(one.version_id),
                etag: one.e_tag.unwrap_or_default(),
            });
        }
        for one in page.delete_markers.unwrap_or_default() {
            if one.key.as_deref() != Some(key) {
                further = true;
                continue;
            }
            found.push(Version {
                latest: one.is_latest.unwrap_or_default(),
                marker: true,
                bytes: 0,
                modified: time_of(one.last_modified.as_ref()),
                version: id(one.version_id),
                etag: String::new(),
            });
        }
        next = (page.next_key_marker, page.next_version_id_marker);
        if further || next.0.is_none() || !page.is_truncated.unwrap_or_default() {
            found.sort_by(|a, b| b.latest.cmp(&a.latest).then_with(|| b.modified.cmp(&a.modified)));
            return Ok(found);
        }
    }
}

impl Operation for Versions {
    const NAME: &'static str = "s3.versions";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "the versions of an object, the latest first, with the markers of its deletion";
    const PERMISSION: &'static str = "s3:ListBucketVersions";
    const TYPICAL: Duration = Duration::from_millis(200);
    type Args = VersionsArgs;
    type Output = VersionList;

    fn resource(args: &VersionsArgs) -> String {
        resource(&args.bucket, &args.key, &args.aws)
    }

    fn target(context: &ReadContext<'_>, args: &VersionsArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.aws)
    }
}

impl Read for Versions {
    fn read(context: &ReadContext<'_>, args: VersionsArgs) -> Result<VersionList, OpError> {
        let versions = versions(&context.aws(&args.aws)?, &args.bucket, &args.key)?;
        Ok(VersionList { versions })
    }
}
