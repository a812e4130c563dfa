//! An object as it is.

use std::collections::BTreeMap;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::operation::head_object::HeadObjectOutput;
use aws_sdk_s3::primitives::DateTime;
use aws_sdk_s3::types::{ChecksumMode, ChecksumType};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::model::fault::{OpError, Target};
use crate::ops::aws::{Access, Line, found, target};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Operation, Read};

/// The name under which the metadata of an object holds the key of the call that put it there.
pub(super) const KEY: &str = "muster-key";
/// The same for the run.
pub(super) const RUN: &str = "muster-run";
/// The same for the SHA-256 of the whole object, in hex.
pub(super) const SHA256: &str = "muster-sha256";

/// `s3.head`.
pub struct Head;

/// Which object.
#[derive(Clone, Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ObjectArgs {
    /// The bucket.
    pub bucket: String,
    /// The name of the object in it.
    pub key: String,
    /// The version; the latest when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub version: Option<String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// An object as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Object {
    /// Whether it is there.
    pub exists: bool,
    /// Its version; empty when the bucket keeps none.
    pub version: String,
    /// Its size.
    pub bytes: u64,
    /// When it was put there, in UTC; empty when it is not there.
    pub modified: String,
    /// What tells its contents from others of that name.
    pub etag: String,
    /// SHA-256 of the whole, in hex, if it was put there with one; otherwise empty.
    pub sha256: String,
    /// How it is encrypted at rest: `AES256`, `aws:kms`; empty when it is not.
    pub encryption: String,
    /// The KMS key it is encrypted with; empty when there is none.
    pub kms_key: String,
    /// `STANDARD`, `GLACIER`, …
    pub storage_class: String,
    /// What it says of itself.
    pub content_type: String,
    /// Its metadata.
    pub metadata: BTreeMap<String, String>,
    /// The key of the call of a run that put it there; empty when it was something else.
    pub made_by: String,
}

/// A time of AWS as texts of the table have it.
pub(super) fn time_of(at: Option<&DateTime>) -> String {
    let at = at.and_then(|at| jiff::Timestamp::new(at.secs(), i32::try_from(at.subsec_nanos()).ok()?).ok());
    at.map(|at| at.to_string()).unwrap_or_default()
}

/// `s3://bucket/key`.
pub(super) fn url(bucket: &str, key: &str) -> String {
    format!("s3://{bucket}/{key}")
}

pub(super) fn resource(bucket: &str, key: &str, aws: &Access) -> String {
    format!("{}/{key}", aws.resource("s3", bucket))
}

/// Looks at an object.
pub(super) fn head(line: &Line<'_>, bucket: &str, key: &str, version: Option<&str>) -> Result<Object, OpError> {
    let act = format!("cannot look at {}", url(bucket, key));
    let answer = line.peek(&act, |s3: Client| {
        s3.head_object()
            .bucket(bucket)
            .key(key)
            .set_version_id(version.map(str::to_owned))
            .checksum_mode(ChecksumMode::Enabled)
            .send()
    });
    Ok(found(answer)?.map(of).unwrap_or_default())
}

/// The object, which has to be there.
pub(super) fn head_existing(
    line: &Line<'_>,
    act: &str,
    bucket: &str,
    key: &str,
    version: Option<&str>,
) -> Result<Object, OpError> {
    let object = head(line, bucket, key, version)?;
    if object.exists {
        return Ok(object);
    }
    let what = version.map_or_else(String::new, |version| format!(" of version {version}"));
    Err(OpError::refused(format!("{act}: there is no object {}{what}", url(bucket, key)))
        .with_hint("`s3.versions` lists what is there and what was; `s3.list` the names"))
}

/// SHA-256 of the whole object in hex, if that is what S3 tells: a sum of sums, as objects of many parts have it, is not.
pub(super) fn sum_of(told: Option<&str>, kind: Option<&ChecksumType>) -> Option<String> {
    let whole = told.filter(|_| kind == Some(&ChecksumType::FullObject))?;
    STANDARD.decode(whole).ok().map(|sum| crate::ops::files::hex(&sum))
}

fn of(answer: HeadObjectOutput) -> Object {
    let metadata: BTreeMap<String, String> = answer.metadata.unwrap_or_default().into_iter().collect();
    let sum = sum_of(answer.checksum_sha256.as_deref(), answer.checksum_type.as_ref());
    let sha256 = sum.or_else(|| metadata.get(SHA256).cloned());
    let text = |text: Option<String>| text.unwrap_or_default();
    Object {
        exists: true,
        version: text(answer.version_id.filter(|version| version != "null")),
        bytes: answer.content_length.and_then(|bytes| u64::try_from(bytes).ok()).unwrap_or_default(),
        modified: time_of(answer.last_modified.as_ref()),
        etag: text(answer.e_tag),
        sha256: sha256.unwrap_or_default(),
        encryption: text(answer.server_side_encryption.map(|kind| kind.as_str().to_owned())),
        kms_key: text(answer.ssekms_key_id),
        storage_class: answer.storage_class.map_or_else(|| "STANDARD".to_owned(), |class| class.as_str().to_owned()),
        content_type: text(answer.content_type),
        made_by: text(metadata.get(KEY).cloned()),
        metadata,
    }
}

impl Operation for Head {
    const NAME: &'static str = "s3.head";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "what an object is right now; `exists: false` when there is none";
    const PERMISSION: &'static str = "s3:GetObject, s3:GetObjectVersion, s3:ListBucket";
    const TYPICAL: Duration = Duration::from_millis(100);
    type Args = ObjectArgs;
    type Output = Object;

    fn resource(args: &ObjectArgs) -> String {
        resource(&args.bucket, &args.key, &args.aws)
    }

    fn target(context: &ReadContext<'_>, args: &ObjectArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.aws)
    }
}

impl Read for Head {
    fn read(context: &ReadContext<'_>, args: ObjectArgs) -> Result<Object, OpError> {
        head(&context.aws(&args.aws)?, &args.bucket, &args.key, args.version.as_deref())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const SUM: &str = "ungWv48Bz+pBQUDeXa4iI7ADYaOWF3qctBD/YfIAFa0=";

    #[test]
    fn only_the_sum_of_a_whole_object_is_told_as_its_sum() {
        let whole = Some("ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad".to_owned());
        assert_eq!(sum_of(Some(SUM), Some(&ChecksumType::FullObject)), whole);
        assert_eq!(sum_of(Some(SUM), Some(&ChecksumType::Composite)), None);
        assert_eq!(sum_of(Some(SUM), None), None);
        assert_eq!(sum_of(None, Some(&ChecksumType::FullObject)), None);
    }
}
