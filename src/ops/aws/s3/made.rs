//! What a call put into a bucket: how it is found again by the key in its metadata, and how it is removed.

use std::time::Duration;

use aws_sdk_s3::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::bucket::versioning;
use super::list::versions;
use super::object::{KEY, Object, RUN, SHA256, head, resource, url};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::aws::{Access, Line, found, target};
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write};

pub(super) const PROBE_DOC: &str =
    "the object or version whose metadata holds the key; an unfinished upload that was not there before";
pub(super) const UNDO_DOC: &str = "s3.remove_made: removes that version, so that the one before it is the latest again; impossible where it \
                                   replaced an object that has no versions";

/// What was put into a bucket.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Stored {
    /// The bucket.
    pub bucket: String,
    /// The name of the object in it.
    pub key: String,
    /// Its version; empty when the bucket keeps none.
    pub version: String,
    /// Its size.
    pub bytes: u64,
    /// SHA-256 of the whole, in hex; empty when it is not known.
    pub sha256: String,
    /// What tells its contents from others of that name.
    pub etag: String,
}

/// An object of a bucket, by name.
#[derive(Clone, Copy)]
pub(super) struct Place<'a> {
    pub bucket: &'a str,
    pub key: &'a str,
}

impl Place<'_> {
    pub fn url(&self) -> String {
        url(self.bucket, self.key)
    }

    pub fn stored(&self, object: &Object) -> Stored {
        Stored {
            bucket: self.bucket.to_owned(),
            key: self.key.to_owned(),
            version: object.version.clone(),
            bytes: object.bytes,
            sha256: object.sha256.clone(),
            etag: object.etag.clone(),
        }
    }
}

/// The place as it was before something was put there.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
pub(super) struct Before {
    /// Of what is about to be put there.
    pub bytes: u64,
    pub sha256: String,
    pub existed: bool,
    pub version: String,
    pub etag: String,
    pub versioned: bool,
    /// Uploads to this place that others had not finished.
    pub uploads: Vec<String>,
}

impl Before {
    /// Looks at the place, and refuses to replace what may not be.
    pub fn look(line: &Line<'_>, act: &str, place: Place<'_>, replace: bool) -> Result<Self, OpError> {
        let versioned = versioning(line, place.bucket)? == "enabled";
        let object = head(line, place.bucket, place.key, None)?;
        if object.exists && !replace {
            return Err(OpError::refused(format!("{act}: there is an object of that name already"))
                .with_hint("choose another name, or set `replace: true`; a bucket with versions keeps the old one"));
        }
        let Object { exists, version, etag, .. } = object;
        let uploads = uploads(line, place)?;
        Ok(Self { existed: exists, version, etag, versioned, uploads, ..Self::default() })
    }

    pub fn of(image: &Value) -> Result<Self, OpError> {
        Self::deserialize(image).map_err(|e| OpError::refused(format!("its before-image cannot be read: {e}")))
    }

    pub fn to_value(&self) -> Result<Value, OpError> {
        serde_json::to_value(self).map_err(|e| OpError::refused(format!("its before-image cannot be written: {e}")))
    }
}

/// What the metadata of an object says that a call puts there.
pub(super) fn marks(context: &ReadContext<'_>, sha256: &str) -> Vec<(String, String)> {
    let mut marks = vec![(KEY.to_owned(), context.key.to_owned()), (RUN.to_owned(), context.run.to_string())];
    if !sha256.is_empty() {
        marks.push((SHA256.to_owned(), sha256.to_owned()));
    }
    marks
}

/// The unfinished uploads to a place.
pub(super) fn uploads(line: &Line<'_>, place: Place<'_>) -> Result<Vec<String>, OpError> {
    let act = format!("cannot list the unfinished uploads to {}", place.url());
    let list = |s3: Client| s3.list_multipart_uploads().bucket(place.bucket).prefix(place.key).send();
    let list = line.call(&act, list)?;
    let ours = list.uploads.unwrap_or_default().into_iter().filter(|upload| upload.key.as_deref() == Some(place.key));
    Ok(ours.filter_map(|upload| upload.upload_id).collect())
}

/// Ends uploads to a place that were begun since its image was taken.
pub(super) fn abort(read: &Line<'_>, write: &Line<'_>, place: Place<'_>, others: &[String]) -> Result<u64, OpError> {
    let mut aborted = 0;
    for id in uploads(read, place)?.into_iter().filter(|id| !others.contains(id)) {
        abort_one(write, place, &id)?;
        aborted += 1;
    }
    Ok(aborted)
}

/// Ends an upload; fine if it is not there any more.
pub(super) fn abort_one(line: &Line<'_>, place: Place<'_>, id: &str) -> Result<(), OpError> {
    let act = format!("cannot end an upload to {}", place.url());
    let abort = |s3: Client| s3.abort_multipart_upload().bucket(place.bucket).key(place.key).upload_id(id).send();
    found(line.call(&act, abort)).map(|_| ())
}

/// The object or version that the call with this key put there.
pub(super) fn made_by(
    line: &Line<'_>,
    place: Place<'_>,
    key: &str,
    versioned: bool,
    before: &str,
) -> Result<Option<Object>, OpError> {
    let latest = head(line, place.bucket, place.key, None)?;
    if latest.made_by == key {
        return Ok(Some(latest));
    }
    if !versioned {
        return Ok(None);
    }
    // Others may have put theirs on top of it since.
    for one in versions(line, place.bucket, place.key)? {
        if one.version == before {
            break;
        }
        if one.marker || one.version.is_empty() {
            continue;
        }
        let object = head(line, place.bucket, place.key, Some(&one.version))?;
        if object.made_by == key {
            return Ok(Some(object));
        }
    }
    Ok(None)
}

/// What became of a call that puts something there.
pub(super) fn probe(context: &ReadContext<'_>, aws: &Access, place: Place<'_>) -> Result<Found<Stored>, OpError> {
    let (line, before) = (context.aws(aws)?, Before::of(context.before)?);
    if let Some(object) = made_by(&line, place, context.key, before.versioned, &before.version)? {
        return Ok(Found::Done(place.stored(&object)));
    }
    let begun = uploads(&line, place)?.into_iter().filter(|id| !before.uploads.contains(id)).count();
    if begun > 0 {
        return Ok(Found::Partial(format!("an upload to {} was begun and not finished", place.url())));
    }
    let now = head(&line, place.bucket, place.key, None)?;
    if before.versioned || (now.exists, &now.etag) == (before.existed, &before.etag) {
        return Ok(Found::NotDone);
    }
    Ok(Found::CannotTell(format!("somebody else has changed {} since, which keeps no versions", place.url())))
}

/// How a call is undone that put something there.
pub(super) fn undo(aws: &Access, place: Place<'_>, before: &Value, key: &str) -> Undo {
    let Ok(before) = Before::of(before) else { return Undo::Impossible("its before-image cannot be read") };
    if before.existed && !before.versioned {
        return Undo::Impossible("the bucket keeps no versions, and the object that was there was replaced");
    }
    let Before { version, versioned, uploads, .. } = before;
    let args = json!({
        "bucket": place.bucket, "key": place.key, "made_by": key, "versioned": versioned, "before": version,
        "uploads": uploads, "aws": aws,
    });
    Undo::Call { op: "s3.remove_made", args }
}

/// What tells the object there from any other.
pub(super) fn fingerprint(context: &ReadContext<'_>, aws: &Access, place: Place<'_>) -> Result<Value, OpError> {
    let now = head(&context.aws(aws)?, place.bucket, place.key, None)?;
    Ok(json!({ "version": now.version, "etag": now.etag, "made_by": now.made_by }))
}

/// `s3.remove_made`.
pub struct RemoveMade;

/// What to remove.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveMadeArgs {
    /// The bucket.
    pub bucket: String,
    /// The name of the object.
    pub key: String,
    /// The key of the call that put it there; anything else of that name is left alone.
    pub made_by: String,
    /// Whether the bucket keeps versions.
    #[serde(default)]
    pub versioned: bool,
    /// The version that was the latest before; it and older ones are not looked at.
    #[serde(default)]
    pub before: String,
    /// Unfinished uploads of others, which are left alone.
    #[serde(default)]
    pub uploads: Vec<String>,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// What was removed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RemovedMade {
    /// Whether the object or version was there, and is gone.
    pub removed: bool,
    /// How many unfinished uploads were ended.
    pub uploads: u64,
}

impl RemoveMadeArgs {
    fn place(&self) -> Place<'_> {
        Place { bucket: &self.bucket, key: &self.key }
    }

    fn find(&self, line: &Line<'_>) -> Result<Option<Object>, OpError> {
        made_by(line, self.place(), &self.made_by, self.versioned, &self.before)
    }
}

impl Operation for RemoveMade {
    const NAME: &'static str = "s3.remove_made";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "removes the object or version that a call put into a bucket, for good, and ends its unfinished uploads; others \
                               of that name stay";
    const PERMISSION: &'static str = "s3:DeleteObject, s3:DeleteObjectVersion, s3:AbortMultipartUpload, s3:ListBucketVersions, \
                                      s3:ListBucketMultipartUploads";
    const TYPICAL: Duration = Duration::from_millis(500);
    type Args = RemoveMadeArgs;
    type Output = RemovedMade;

    fn resource(args: &RemoveMadeArgs) -> String {
        resource(&args.bucket, &args.key, &args.aws)
    }

    fn target(context: &ReadContext<'_>, args: &RemoveMadeArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.aws)
    }
}

impl Write for RemoveMade {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether it, or an unfinished upload, is still there";
    const UNDO_DOC: &'static str = "impossible: it is gone for good";

    fn before(context: &ReadContext<'_>, args: &RemoveMadeArgs) -> Result<Value, OpError> {
        let there = args.find(&context.aws(&args.aws)?)?.is_some();
        Ok(json!({ "there": there }))
    }

    fn send(context: &WriteContext<'_>, args: RemoveMadeArgs) -> Result<Send<RemovedMade>, OpError> {
        let (read, write) = (context.read.aws(&args.aws)?, context.aws(&args.aws)?);
        let uploads = abort(&read, &write, args.place(), &args.uploads)?;
        let Some(object) = args.find(&read)? else {
            return Ok(Send::Done(RemovedMade { removed: false, uploads }));
        };
        let act = format!("cannot remove {}", args.place().url());
        let version = Some(object.version).filter(|version| !version.is_empty());
        write.call(&act, |s3: Client| {
            s3.delete_object().bucket(&args.bucket).key(&args.key).set_version_id(version).send()
        })?;
        Ok(Send::Done(RemovedMade { removed: true, uploads }))
    }

    fn probe(context: &ReadContext<'_>, args: &RemoveMadeArgs) -> Result<Found<RemovedMade>, OpError> {
        let line = context.aws(&args.aws)?;
        let left = uploads(&line, args.place())?.into_iter().any(|id| !args.uploads.contains(&id));
        if left || args.find(&line)?.is_some() {
            return Ok(Found::NotDone);
        }
        let removed = context.before.get("there").and_then(Value::as_bool).unwrap_or_default();
        Ok(Found::Done(RemovedMade { removed, uploads: 0 }))
    }

    fn undo(_: &RemoveMadeArgs, before: &Value, _: &str) -> Undo {
        match before.get("there").and_then(Value::as_bool) {
            Some(false) => Undo::Nothing,
            _ => Undo::Impossible("what was removed is gone for good"),
        }
    }

    fn fingerprint(_: &ReadContext<'_>, _: &RemoveMadeArgs, _: &RemovedMade) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn predict(_: &RemoveMadeArgs, before: &Value, _: &str) -> Predicted {
        let there = before.get("there").cloned().unwrap_or(Value::Bool(true));
        Predicted::Result(json!({ "removed": there, "uploads": 0 }))
    }

    fn release(_: &WriteContext<'_>, _: &RemoveMadeArgs) {}
}
