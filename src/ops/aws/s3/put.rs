//! Putting a file into a bucket: streamed, in parts when it is large, each with its checksum.

use std::collections::BTreeMap;
use std::fs::File;
use std::io::{Read, Seek, SeekFrom};
use std::path::Path;
use std::time::Duration;

use aws_sdk_s3::Client;
use aws_sdk_s3::config::Config;
use aws_sdk_s3::config::timeout::TimeoutConfig;
use aws_sdk_s3::primitives::{ByteStream, Length};
use aws_sdk_s3::types::{ChecksumAlgorithm, CompletedMultipartUpload, CompletedPart, ServerSideEncryption};
use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;
use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::made::{self, Before, PROBE_DOC, Place, Stored, UNDO_DOC, abort, abort_one, marks};
use super::object::resource;
use crate::model::Value;
use crate::model::fault::{ErrorClass, OpError, Target};
use crate::ops::Touch;
use crate::ops::aws::client::MOVING_TIMEOUT;
use crate::ops::aws::{Access, Complaint, Line, target};
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::files::{absolute, cannot, digest_file, hex};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write, unknown};

/// Larger files go in parts of at least this size.
const PART: u64 = 8 << 20;
/// AWS takes ten thousand parts; this leaves room for a rounding.
const MOST_PARTS: u64 = 9_000;

/// `s3.put_file`.
pub struct PutFile;

/// What to put where.
#[derive(Clone, Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PutFileArgs {
    /// The file, absolute.
    pub from: String,
    /// The bucket.
    pub bucket: String,
    /// The name of the object in it.
    pub key: String,
    /// Whether it may replace an object.
    #[serde(default)]
    pub replace: bool,
    /// How it is encrypted at rest: `AES256` or `aws:kms`; as the bucket is set when absent.
    #[serde(default)]
    pub encryption: Option<String>,
    /// The KMS key to encrypt it with.
    #[serde(default)]
    pub kms_key: Option<String>,
    /// What it says of itself, `application/json`.
    #[serde(default)]
    pub content_type: Option<String>,
    /// Further metadata.
    #[serde(default)]
    pub metadata: BTreeMap<String, String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

impl PutFileArgs {
    fn place(&self) -> Place<'_> {
        Place { bucket: &self.bucket, key: &self.key }
    }

    fn act(&self) -> String {
        format!("cannot put {} to {}", self.from, self.place().url())
    }

    fn metadata(&self, context: &ReadContext<'_>, sha256: &str) -> std::collections::HashMap<String, String> {
        self.metadata.clone().into_iter().chain(marks(context, sha256)).collect()
    }
}

/// How an object is to be encrypted; refused when that is no way to.
pub(super) fn encryption(act: &str, kind: Option<&str>) -> Result<Option<ServerSideEncryption>, OpError> {
    match kind {
        None => Ok(None),
        Some("AES256") => Ok(Some(ServerSideEncryption::Aes256)),
        Some("aws:kms") => Ok(Some(ServerSideEncryption::AwsKms)),
        Some(other) => Err(OpError::refused(format!("{act}: `{other}` is no encryption"))
            .with_hint("there are `AES256` and `aws:kms`, with `kms_key` or the account's own key")),
    }
}

/// An attempt that moves much takes longer than one that only asks.
pub(super) fn unhurried() -> aws_sdk_s3::config::Builder {
    let timeouts = TimeoutConfig::builder().operation_attempt_timeout(MOVING_TIMEOUT).build();
    Config::builder().timeout_config(timeouts)
}

impl Operation for PutFile {
    const NAME: &'static str = "s3.put_file";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str =
        "puts a file into a bucket, with its SHA-256 checked on arrival; a large one in parts, never whole in memory";
    const PERMISSION: &'static str = "s3:PutObject, s3:GetObject, s3:GetObjectVersion, s3:ListBucket, s3:GetBucketVersioning, \
                                      s3:ListBucketMultipartUploads, s3:AbortMultipartUpload; kms:GenerateDataKey and kms:Decrypt on the key";
    const TYPICAL: Duration = Duration::from_secs(2);
    type Args = PutFileArgs;
    type Output = Stored;

    fn resource(args: &PutFileArgs) -> String {
        resource(&args.bucket, &args.key, &args.aws)
    }

    fn touches(args: &PutFileArgs, before: &Value) -> Vec<Touch> {
        vec![Touch::sets(
            resource(&args.bucket, &args.key, &args.aws),
            before.get("existed").and_then(Value::as_bool) != Some(false),
        )]
    }

    fn target(context: &ReadContext<'_>, args: &PutFileArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.aws)
    }
}

/// A file on its way.
struct Upload<'u> {
    args: &'u PutFileArgs,
    act: &'u str,
    path: &'u Path,
    before: &'u Before,
    line: &'u Line<'u>,
}

impl Upload<'_> {
    fn body(&self, offset: u64, length: u64) -> Result<ByteStream, OpError> {
        let reading = ByteStream::read_from().path(self.path).offset(offset).length(Length::Exact(length)).build();
        let body = self.line.wait(self.act, reading)?;
        body.map_err(|e| OpError::refused(format!("{}: the file cannot be read: {e}", self.act)))
    }

    /// Only where nothing is, unless it may be replaced.
    fn condition(&self) -> Option<String> {
        (!self.before.existed).then(|| "*".to_owned())
    }

    fn whole(&self, context: &ReadContext<'_>) -> Result<Stored, OpError> {
        let Self { args, before, .. } = self;
        let body = self.body(0, before.bytes)?;
        let answer = self.line.call(self.act, |s3: Client| {
            s3.put_object()
                .bucket(&args.bucket)
                .key(&args.key)
                .set_if_none_match(self.condition())
                .set_metadata(Some(args.metadata(context, &before.sha256)))
                .set_server_side_encryption(encryption(self.act, args.encryption.as_deref()).unwrap_or_default())
                .set_ssekms_key_id(args.kms_key.clone())
                .set_content_type(args.content_type.clone())
                .checksum_algorithm(ChecksumAlgorithm::Sha256)
                .checksum_sha256(base64_of(&before.sha256))
                .body(body)
                .customize()
                .config_override(unhurried())
                .send()
        })?;
        Ok(self.stored(answer.version_id, answer.e_tag))
    }

    fn stored(&self, version: Option<String>, etag: Option<String>) -> Stored {
        Stored {
            bucket: self.args.bucket.clone(),
            key: self.args.key.clone(),
            version: version.filter(|version| version != "null").unwrap_or_default(),
            bytes: self.before.bytes,
            sha256: self.before.sha256.clone(),
            etag: etag.unwrap_or_default(),
        }
    }

    fn in_parts(&self, context: &ReadContext<'_>) -> Result<Stored, OpError> {
        let Self { args, before, .. } = self;
        let begun = self.line.call(self.act, |s3: Client| {
            s3.create_multipart_upload()
                .bucket(&args.bucket)
                .key(&args.key)
                .set_metadata(Some(args.metadata(context, &before.sha256)))
                .set_server_side_encryption(encryption(self.act, args.encryption.as_deref()).unwrap_or_default())
                .set_ssekms_key_id(args.kms_key.clone())
                .set_content_type(args.content_type.clone())
                .checksum_algorithm(ChecksumAlgorithm::Sha256)
                .send()
        })?;
        let id = begun.upload_id.unwrap_or_default();
        let sent = self.parts(&id).and_then(|parts| Ok(self.complete(&id, parts)?));
        // One whose end is unknown may have become an object: the probe finds out first.
        sent.inspect_err(|error| {
            if error.class != ErrorClass::Unknown {
                let _ = abort_one(self.line, args.place(), &id);
            }
        })
    }

    /// Sends the parts. What is lost of one on the way is sent again: a part has no effect of its own.
    fn parts(&self, id: &str) -> Result<Vec<CompletedPart>, OpError> {
        let Self { args, before, .. } = self;
        let unreadable = |e: &std::io::Error| cannot("read", self.path, e);
        let mut file = File::open(self.path).map_err(|e| unreadable(&e))?;
        let size = PART.max(before.bytes.div_ceil(MOST_PARTS));
        let (mut whole, mut parts, mut offset) = (Sha256::new(), Vec::new(), 0);
        while offset < before.bytes {
            let length = size.min(before.bytes - offset);
            let sum = sum_of(&mut file, offset, length, &mut whole).map_err(|e| unreadable(&e))?;
            let number = i32::try_from(parts.len() + 1).unwrap_or(i32::MAX);
            let mut tries = 0;
            let answer = loop {
                let body = self.body(offset, length)?;
                let sent = self.line.call(self.act, |s3: Client| {
                    s3.upload_part()
                        .bucket(&args.bucket)
                        .key(&args.key)
                        .upload_id(id)
                        .part_number(number)
                        .checksum_algorithm(ChecksumAlgorithm::Sha256)
                        .checksum_sha256(&sum)
                        .body(body)
                        .customize()
                        .config_override(unhurried())
                        .send()
                });
                tries += 1;
                match sent {
                    Ok(answer) => break answer,
                    Err(lost) if lost.class() == ErrorClass::Unknown && tries < 5 => {}
                    // Without all its parts nothing has been put there.
                    Err(lost) if lost.class() == ErrorClass::Unknown => {
                        return Err(OpError { class: ErrorClass::Transient, ..lost.into() });
                    }
                    Err(other) => return Err(other.into()),
                }
            };
            let part = CompletedPart::builder().part_number(number).set_e_tag(answer.e_tag).checksum_sha256(sum);
            parts.push(part.build());
            offset += length;
        }
        if hex(&whole.finalize()) != before.sha256 {
            return Err(OpError::refused(format!("{}: the file has changed since it was looked at", self.act)));
        }
        Ok(parts)
    }

    fn complete(&self, id: &str, parts: Vec<CompletedPart>) -> Result<Stored, Complaint> {
        let answer = self.line.call(self.act, |s3: Client| {
            s3.complete_multipart_upload()
                .bucket(&self.args.bucket)
                .key(&self.args.key)
                .upload_id(id)
                .set_if_none_match(self.condition())
                .multipart_upload(CompletedMultipartUpload::builder().set_parts(Some(parts)).build())
                .customize()
                .config_override(unhurried())
                .send()
        })?;
        Ok(self.stored(answer.version_id, answer.e_tag))
    }
}

/// SHA-256 of a part, in base64; the whole is summed on the way.
fn sum_of(file: &mut File, offset: u64, length: u64, whole: &mut Sha256) -> std::io::Result<String> {
    file.seek(SeekFrom::Start(offset))?;
    let mut sum = Sha256::new();
    let mut chunk = vec![0; 256 << 10];
    let mut part = file.take(length);
    loop {
        let n = part.read(&mut chunk)?;
        if n == 0 {
            return Ok(STANDARD.encode(sum.finalize()));
        }
        let read = chunk.get(..n).unwrap_or_default();
        sum.update(read);
        whole.update(read);
    }
}

/// A sum in hex as AWS writes it.
fn base64_of(sha256: &str) -> String {
    let byte = |at: usize| sha256.get(at..at + 2).and_then(|two| u8::from_str_radix(two, 16).ok());
    STANDARD.encode((0..sha256.len()).step_by(2).filter_map(byte).collect::<Vec<u8>>())
}

impl Write for PutFile {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = PROBE_DOC;
    const UNDO_DOC: &'static str = UNDO_DOC;

    fn before(context: &ReadContext<'_>, args: &PutFileArgs) -> Result<Value, OpError> {
        let (act, path) = (args.act(), absolute(&args.from)?);
        encryption(&act, args.encryption.as_deref())?;
        if !path.is_file() {
            return Err(OpError::refused(format!("{act}: there is no such file")));
        }
        let before = Before::look(&context.aws(&args.aws)?, &act, args.place(), args.replace)?;
        let file = digest_file(path).map_err(|e| cannot("read", path, &e))?;
        Before { bytes: file.bytes, sha256: file.sha256, ..before }.to_value()
    }

    fn send(context: &WriteContext<'_>, args: PutFileArgs) -> Result<Send<Stored>, OpError> {
        let (act, path, before) = (args.act(), absolute(&args.from)?, Before::of(context.read.before)?);
        let line = context.aws(&args.aws)?.patiently();
        if path.metadata().map(|meta| meta.len()).ok() != Some(before.bytes) {
            return Err(OpError::refused(format!("{act}: the file has changed since it was looked at")));
        }
        let upload = Upload { args: &args, act: &act, path, before: &before, line: &line };
        let stored = if before.bytes <= PART {
            upload.whole(&context.read)
        } else {
            // What a former try of this call left.
            abort(&context.read.aws(&args.aws)?, &line, args.place(), &before.uploads)?;
            upload.in_parts(&context.read)
        };
        stored.map(Send::Done)
    }

    fn probe(context: &ReadContext<'_>, args: &PutFileArgs) -> Result<Found<Stored>, OpError> {
        made::probe(context, &args.aws, args.place())
    }

    fn undo(args: &PutFileArgs, before: &Value, key: &str) -> Undo {
        made::undo(&args.aws, args.place(), before, key)
    }

    fn fingerprint(context: &ReadContext<'_>, args: &PutFileArgs, _: &Stored) -> Result<Value, OpError> {
        made::fingerprint(context, &args.aws, args.place())
    }

    fn predict(args: &PutFileArgs, before: &Value, _: &str) -> Predicted {
        let versioned = before.get("versioned").and_then(Value::as_bool).unwrap_or(true);
        Predicted::Result(json!({
            "bucket": args.bucket, "key": args.key, "bytes": before.get("bytes"), "sha256": before.get("sha256"),
            "version": if versioned { unknown("S3 chooses it") } else { json!("") }, "etag": unknown("S3 makes it"),
        }))
    }

    fn release(_: &WriteContext<'_>, _: &PutFileArgs) {}
}
