//! Copying an object, within S3, in a version that is named or looked at first.

use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::types::{ChecksumAlgorithm, MetadataDirective};
use percent_encoding::{NON_ALPHANUMERIC, percent_encode};
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;

use super::made::{self, Before, PROBE_DOC, Place, Stored, UNDO_DOC, marks};
use super::object::{KEY, RUN, head_existing, resource, sum_of, url};
use super::put::{encryption, unhurried};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::aws::{Access, target};
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write, unknown};

/// What one request of S3 copies.
const LARGEST: u64 = 5 << 30;

/// `s3.copy`.
pub struct Copy;

/// What to copy where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyArgs {
    /// The bucket it is in.
    pub from_bucket: String,
    /// Its name there.
    pub from_key: String,
    /// Its version; the latest when absent.
    #[serde(default)]
    pub from_version: Option<String>,
    /// The bucket to copy it to.
    pub bucket: String,
    /// The name of the copy.
    pub key: String,
    /// Whether it may replace an object.
    #[serde(default)]
    pub replace: bool,
    /// How the copy is encrypted at rest: `AES256` or `aws:kms`; as its bucket is set when absent.
    #[serde(default)]
    pub encryption: Option<String>,
    /// The KMS key to encrypt the copy with.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

impl CopyArgs {
    fn place(&self) -> Place<'_> {
        Place { bucket: &self.bucket, key: &self.key }
    }

    fn act(&self) -> String {
        format!("cannot copy {} to {}", url(&self.from_bucket, &self.from_key), self.place().url())
    }
}

impl Operation for Copy {
    const NAME: &'static str = "s3.copy";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "copies an object of up to 5 GiB, or an older version of it, with its metadata; to its own name it brings that \
                               version back";
    const PERMISSION: &'static str = "s3:GetObject, s3:GetObjectVersion, s3:PutObject, s3:ListBucket, s3:GetBucketVersioning, \
                                      s3:ListBucketMultipartUploads; kms:Decrypt and kms:GenerateDataKey on the keys";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = CopyArgs;
    type Output = Stored;

    fn resource(args: &CopyArgs) -> String {
        resource(&args.bucket, &args.key, &args.aws)
    }

    fn touches(args: &CopyArgs, before: &Value) -> Vec<Touch> {
        vec![Touch::sets(
            resource(&args.bucket, &args.key, &args.aws),
            before.get("existed").and_then(Value::as_bool) != Some(false),
        )]
    }

    fn target(context: &ReadContext<'_>, args: &CopyArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.aws)
    }
}

impl Write for Copy {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = PROBE_DOC;
    const UNDO_DOC: &'static str = UNDO_DOC;

    fn before(context: &ReadContext<'_>, args: &CopyArgs) -> Result<Value, OpError> {
        let (line, act) = (context.aws(&args.aws)?, args.act());
        encryption(&act, args.encryption.as_deref())?;
        let source = head_existing(&line, &act, &args.from_bucket, &args.from_key, args.from_version.as_deref())?;
        if source.bytes > LARGEST {
            return Err(OpError::refused(format!("{act}: it is larger than 5 GiB"))
                .with_hint("get it with `s3.get_file` and put it with `s3.put_file`, or use S3 replication"));
        }
        let before = Before::look(&line, &act, args.place(), args.replace)?;
        let mut image = Before { bytes: source.bytes, sha256: source.sha256, ..before }.to_value()?;
        image["from_version"] = json!(source.version);
        image["from_etag"] = json!(source.etag);
        Ok(image)
    }

    fn send(context: &WriteContext<'_>, args: CopyArgs) -> Result<Send<Stored>, OpError> {
        let (act, before) = (args.act(), Before::of(context.read.before)?);
        let text = |name: &str| context.read.before.get(name).and_then(Value::as_str).unwrap_or_default();
        let (version, etag) = (text("from_version"), text("from_etag"));
        let named = Some(version).filter(|version| !version.is_empty());
        let source = head_existing(&context.read.aws(&args.aws)?, &act, &args.from_bucket, &args.from_key, named)?;
        let encoded = |text: &str| percent_encode(text.as_bytes(), NON_ALPHANUMERIC).to_string();
        let path: Vec<String> = args.from_key.split('/').map(encoded).collect();
        let mut from = format!("{}/{}", args.from_bucket, path.join("/"));
        if let Some(version) = named {
            from.push_str(&format!("?versionId={}", encoded(version)));
        }
        let own = source.metadata.into_iter().filter(|(name, _)| name != KEY && name != RUN);
        let metadata = own.chain(marks(&context.read, &before.sha256)).collect();
        let answer = context.aws(&args.aws)?.patiently().call(&act, |s3: Client| {
            s3.copy_object()
                .copy_source(from)
                .copy_source_if_match(etag)
                .bucket(&args.bucket)
                .key(&args.key)
                .set_if_none_match((!before.existed).then(|| "*".to_owned()))
                .metadata_directive(MetadataDirective::Replace)
                .set_metadata(Some(metadata))
                .set_content_type(Some(source.content_type).filter(|kind| !kind.is_empty()))
                .set_server_side_encryption(encryption(&act, args.encryption.as_deref()).unwrap_or_default())
                .set_ssekms_key_id(args.kms_key.clone())
                .checksum_algorithm(ChecksumAlgorithm::Sha256)
                .customize()
                .config_override(unhurried())
                .send()
        })?;
        let copied = answer.copy_object_result;
        // S3 sums the copy, whether the source has a sum or not.
        let sum = copied.as_ref().and_then(|copied| sum_of(copied.checksum_sha256(), copied.checksum_type()));
        Ok(Send::Done(Stored {
            bucket: args.bucket,
            key: args.key,
            version: answer.version_id.filter(|version| version != "null").unwrap_or_default(),
            bytes: before.bytes,
            sha256: if before.sha256.is_empty() { sum.unwrap_or_default() } else { before.sha256 },
            etag: copied.and_then(|copied| copied.e_tag).unwrap_or_default(),
        }))
    }

    fn probe(context: &ReadContext<'_>, args: &CopyArgs) -> Result<Found<Stored>, OpError> {
        made::probe(context, &args.aws, args.place())
    }

    fn undo(args: &CopyArgs, before: &Value, key: &str) -> Undo {
        made::undo(&args.aws, args.place(), before, key)
    }

    fn fingerprint(context: &ReadContext<'_>, args: &CopyArgs, _: &Stored) -> Result<Value, OpError> {
        made::fingerprint(context, &args.aws, args.place())
    }

    fn predict(args: &CopyArgs, before: &Value, _: &str) -> Predicted {
        let versioned = before.get("versioned").and_then(Value::as_bool).unwrap_or(true);
        let sum = before.get("sha256").and_then(Value::as_str).filter(|sum| !sum.is_empty());
        Predicted::Result(json!({
            "bucket": args.bucket, "key": args.key, "bytes": before.get("bytes"),
            "sha256": sum.map_or_else(|| unknown("S3 sums the copy"), |sum| json!(sum)),
            "version": if versioned { unknown("S3 chooses it") } else { json!("") }, "etag": unknown("S3 makes it"),
        }))
    }

    fn release(_: &WriteContext<'_>, _: &CopyArgs) {}
}
