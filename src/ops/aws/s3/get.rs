//! Getting an object into a file: streamed, taken up again where it broke off, and put in place only when it is whole.

use std::fs::File;
use std::io::Write as _;
use std::time::Duration;

use aws_sdk_s3::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;
use sha2::{Digest as _, Sha256};

use super::object::{head_existing, url};
use crate::model::Value;
use crate::model::fault::{ErrorClass, OpError, Target};
use crate::ops::Touch;
use crate::ops::aws::{Access, Line, target};
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::files::{Digested, absolute, cannot, hex};
use crate::ops::fs::placement;
use crate::ops::fs::placement::Filled;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write, unknown};

/// How often a stream is taken up again that brings nothing.
const TRIES: u32 = 5;

/// `s3.get_file`.
pub struct GetFile;

/// What to get.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetFileArgs {
    /// The bucket.
    pub bucket: String,
    /// The name of the object in it.
    pub key: String,
    /// The version; the latest when absent.
    #[serde(default)]
    pub version: Option<String>,
    /// The file, absolute.
    pub to: String,
    /// Its mode, in octal: `"0640"`. When absent, that of the file it replaces, or else `"0600"`.
    #[serde(default)]
    pub mode: Option<String>,
    /// Whether it may replace a file.
    #[serde(default)]
    pub replace: bool,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// What was got.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Fetched {
    /// The file.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256, in hex.
    pub sha256: String,
    /// The version of the object; empty when the bucket keeps none.
    pub version: String,
}

/// The object as it was looked at: what is got is this and no other.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Source {
    version: String,
    etag: String,
    bytes: u64,
    sha256: String,
}

impl GetFileArgs {
    fn act(&self) -> String {
        format!("cannot get {} to {}", url(&self.bucket, &self.key), self.to)
    }
}

fn source_of(before: &Value) -> Result<Source, OpError> {
    Source::deserialize(before.get("source").unwrap_or(&Value::Null))
        .map_err(|e| OpError::refused(format!("its before-image cannot be read: {e}")))
}

/// Fills a file with an object.
fn fetch(line: &Line<'_>, args: &GetFileArgs, source: &Source, file: &mut File) -> Filled {
    let (act, path) = (args.act(), absolute(&args.to)?);
    let (mut sum, mut done, mut fruitless) = (Sha256::new(), 0u64, 0);
    // An object of no bytes has no range.
    while done < source.bytes {
        let start = done;
        let part = take_up(line, &act, args, source, done, |bytes| {
            sum.update(bytes);
            done += bytes.len() as u64;
            file.write_all(bytes).map_err(|e| cannot("write", path, &e))
        });
        fruitless = if done > start { 0 } else { fruitless + 1 };
        match part {
            Err(error) if error.class == ErrorClass::Transient && fruitless < TRIES => {}
            Err(error) => return Err(error),
            Ok(()) if done < source.bytes && fruitless >= TRIES => {
                return Err(OpError::transient(format!("{act}: only {done} of {} bytes come", source.bytes)));
            }
            Ok(()) => {}
        }
    }
    let sha256 = hex(&sum.finalize());
    if !source.sha256.is_empty() && source.sha256 != sha256 {
        return Err(OpError::failed(format!("{act}: what came has another SHA-256 than what was put there"))
            .with_detail(format!("put there: {}\ncame: {sha256}", source.sha256))
            .with_hint("the object is damaged: get another version, `s3.versions` lists them"));
    }
    Ok((Digested { bytes: done, sha256 }, 0))
}

/// Reads the object from a place on.
fn take_up(
    line: &Line<'_>,
    act: &str,
    args: &GetFileArgs,
    source: &Source,
    from: u64,
    mut into: impl FnMut(&[u8]) -> Result<(), OpError>,
) -> Result<(), OpError> {
    let answer = line.call(act, |s3: Client| {
        s3.get_object()
            .bucket(&args.bucket)
            .key(&args.key)
            .set_version_id(Some(source.version.clone()).filter(|version| !version.is_empty()))
            .set_range((from > 0).then(|| format!("bytes={from}-")))
            .if_match(&source.etag)
            .send()
    })?;
    let mut body = answer.body;
    while let Some(bytes) = line.wait(act, body.try_next())?.map_err(|error| line.broken(act, &error))? {
        into(&bytes)?;
    }
    Ok(())
}

impl Operation for GetFile {
    const NAME: &'static str = "s3.get_file";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "gets an object into a file, which is there only when it is whole; its SHA-256 is checked when it was put there \
                               with one";
    const PERMISSION: &'static str =
        "s3:GetObject, s3:GetObjectVersion, s3:ListBucket; kms:Decrypt on the key; write in the folder";
    const TYPICAL: Duration = Duration::from_secs(2);
    type Args = GetFileArgs;
    type Output = Fetched;

    fn resource(args: &GetFileArgs) -> String {
        format!("fs{}", args.to)
    }

    fn touches(args: &GetFileArgs, before: &Value) -> Vec<Touch> {
        placement::touches(&args.to, before)
    }

    fn target(context: &ReadContext<'_>, args: &GetFileArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.aws)
    }
}

impl Write for GetFile {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str =
        "device, inode and SHA-256 of the file, against a mark left beside it before it was put in place";
    const UNDO_DOC: &'static str = "fs.restore_before: the file that was there, with its mode and owner, or none";

    fn before(context: &ReadContext<'_>, args: &GetFileArgs) -> Result<Value, OpError> {
        crate::ops::fs::mode_of(args.mode.as_deref())?;
        let (line, act) = (context.aws(&args.aws)?, args.act());
        let object = head_existing(&line, &act, &args.bucket, &args.key, args.version.as_deref())?;
        let mut before = placement::look(absolute(&args.to)?, args.replace)?;
        before.source_bytes = Some(object.bytes);
        let source = Source { version: object.version, etag: object.etag, bytes: object.bytes, sha256: object.sha256 };
        let unwritable = |e: serde_json::Error| OpError::refused(format!("{act}: its image cannot be written: {e}"));
        let mut image = serde_json::to_value(before).map_err(unwritable)?;
        image["source"] = serde_json::to_value(source).map_err(unwritable)?;
        Ok(image)
    }

    fn send(context: &WriteContext<'_>, args: GetFileArgs) -> Result<Send<Fetched>, OpError> {
        // Nothing is written on AWS.
        let (line, source) = (context.read.aws(&args.aws)?, source_of(context.read.before)?);
        let mode = crate::ops::fs::mode_of(args.mode.as_deref())?;
        let mark = placement::put(context, absolute(&args.to)?, mode, |file| fetch(&line, &args, &source, file))?;
        let (bytes, sha256) = (mark.bytes, mark.sha256);
        Ok(Send::Done(Fetched { path: args.to.clone(), bytes, sha256, version: source.version }))
    }

    fn probe(context: &ReadContext<'_>, args: &GetFileArgs) -> Result<Found<Fetched>, OpError> {
        let version = source_of(context.before)?.version;
        Ok(match placement::found(context, absolute(&args.to)?)? {
            Found::Done(mark) => {
                Found::Done(Fetched { path: args.to.clone(), bytes: mark.bytes, sha256: mark.sha256, version })
            }
            Found::NotDone => Found::NotDone,
            Found::Running(progress) => Found::Running(progress),
            Found::Partial(what) => Found::Partial(what),
            Found::Failed(error) => Found::Failed(error),
            Found::CannotTell(why) => Found::CannotTell(why),
        })
    }

    fn undo(args: &GetFileArgs, before: &Value, key: &str) -> Undo {
        placement::undo(&args.to, before, key)
    }

    fn fingerprint(_: &ReadContext<'_>, args: &GetFileArgs, _: &Fetched) -> Result<Value, OpError> {
        placement::fingerprint(absolute(&args.to)?)
    }

    fn predict(args: &GetFileArgs, before: &Value, _: &str) -> Predicted {
        let source = source_of(before).unwrap_or_default();
        let sha256 = if source.sha256.is_empty() {
            unknown("the object is read when the step runs")
        } else {
            json!(source.sha256)
        };
        Predicted::Result(json!({
            "path": args.to, "bytes": source.bytes, "sha256": sha256, "version": source.version,
        }))
    }

    fn release(context: &WriteContext<'_>, args: &GetFileArgs) {
        placement::release(context, &args.to);
    }
}
