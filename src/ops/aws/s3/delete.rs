//! Deleting an object: where versions are kept by a marker, which can be taken away again; elsewhere for good.

use std::time::Duration;

use aws_sdk_s3::Client;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::bucket::versioning;
use super::list::{Version, versions};
use super::object::{ObjectArgs, head, resource, url};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::aws::{Access, Line, target};
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write, unknown};

/// `s3.delete`.
pub struct Delete;

/// What was deleted.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Deleted {
    /// Whether there was something to delete.
    pub deleted: bool,
    /// The version of the marker that hides it now; empty when it is gone for good.
    pub marker: String,
}

/// What was there before.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Before {
    /// Whether there is anything to delete.
    there: bool,
    versioned: bool,
    /// The version that was the latest.
    latest: String,
    /// Whether the version that is deleted is a marker itself.
    marker: bool,
    etag: String,
}

fn before_of(image: &Value) -> Result<Before, OpError> {
    Before::deserialize(image).map_err(|e| OpError::refused(format!("its before-image cannot be read: {e}")))
}

fn act_of(args: &ObjectArgs) -> String {
    let version = args.version.as_deref().map_or_else(String::new, |version| format!(" of version {version}"));
    format!("cannot delete {}{version}", url(&args.bucket, &args.key))
}

fn named(line: &Line<'_>, args: &ObjectArgs, version: &str) -> Result<Option<Version>, OpError> {
    Ok(versions(line, &args.bucket, &args.key)?.into_iter().find(|one| one.version == version))
}

impl Operation for Delete {
    const NAME: &'static str = "s3.delete";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "deletes an object: where the bucket keeps versions a marker hides it, elsewhere it is gone; with `version` that \
                               version is gone for good";
    const PERMISSION: &'static str = "s3:DeleteObject, s3:DeleteObjectVersion, s3:GetObject, s3:ListBucket, s3:ListBucketVersions, s3:GetBucketVersioning";
    const TYPICAL: Duration = Duration::from_millis(300);
    type Args = ObjectArgs;
    type Output = Deleted;

    fn resource(args: &ObjectArgs) -> String {
        resource(&args.bucket, &args.key, &args.aws)
    }

    fn target(context: &ReadContext<'_>, args: &ObjectArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.aws)
    }
}

impl Write for Delete {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str =
        "whether the version is still there; without one, whether a marker has come on top of what was the latest";
    const UNDO_DOC: &'static str =
        "s3.remove_marker; of a marker s3.delete; impossible for a version, and where the bucket keeps none";

    fn before(context: &ReadContext<'_>, args: &ObjectArgs) -> Result<Value, OpError> {
        let line = context.aws(&args.aws)?;
        let versioned = versioning(&line, &args.bucket)? == "enabled";
        let before = if let Some(version) = &args.version {
            let found = named(&line, args, version)?;
            Before {
                there: found.is_some(),
                versioned,
                latest: String::new(),
                marker: found.as_ref().is_some_and(|found| found.marker),
                etag: found.map(|found| found.etag).unwrap_or_default(),
            }
        } else {
            let now = head(&line, &args.bucket, &args.key, None)?;
            Before { there: now.exists, versioned, latest: now.version, marker: false, etag: now.etag }
        };
        serde_json::to_value(before).map_err(|e| OpError::refused(format!("{}: {e}", act_of(args))))
    }

    fn send(context: &WriteContext<'_>, args: ObjectArgs) -> Result<Send<Deleted>, OpError> {
        if !before_of(context.read.before)?.there {
            return Ok(Send::Done(Deleted { deleted: false, marker: String::new() }));
        }
        let answer = context.aws(&args.aws)?.call(&act_of(&args), |s3: Client| {
            s3.delete_object().bucket(&args.bucket).key(&args.key).set_version_id(args.version.clone()).send()
        })?;
        let marked = args.version.is_none() && answer.delete_marker.unwrap_or_default();
        let marker = answer.version_id.filter(|_| marked).unwrap_or_default();
        Ok(Send::Done(Deleted { deleted: true, marker }))
    }

    fn probe(context: &ReadContext<'_>, args: &ObjectArgs) -> Result<Found<Deleted>, OpError> {
        let (line, before) = (context.aws(&args.aws)?, before_of(context.before)?);
        let done = |marker: String| Found::Done(Deleted { deleted: before.there, marker });
        if !before.there {
            return Ok(done(String::new()));
        }
        if let Some(version) = &args.version {
            let there = named(&line, args, version)?.is_some();
            return Ok(if there { Found::NotDone } else { done(String::new()) });
        }
        if before.versioned {
            let latest = versions(&line, &args.bucket, &args.key)?.into_iter().find(|one| one.latest);
            return Ok(match latest {
                Some(found) if found.marker => done(found.version),
                Some(found) if found.version == before.latest => Found::NotDone,
                _ => Found::CannotTell(format!("somebody has written {} since", url(&args.bucket, &args.key))),
            });
        }
        let now = head(&line, &args.bucket, &args.key, None)?;
        Ok(match now.exists {
            false => done(String::new()),
            true if now.etag == before.etag => Found::NotDone,
            true => Found::CannotTell(format!("somebody has written {} since", url(&args.bucket, &args.key))),
        })
    }

    fn undo(args: &ObjectArgs, before: &Value, _: &str) -> Undo {
        let Ok(before) = before_of(before) else { return Undo::Impossible("its before-image cannot be read") };
        let mut call = json!({ "bucket": args.bucket, "key": args.key, "aws": args.aws });
        match (&args.version, before) {
            (_, Before { there: false, .. }) => Undo::Nothing,
            (None, before @ Before { versioned: true, .. }) => {
                call["marker"] = json!("$result/marker");
                call["above"] = json!(before.latest);
                Undo::Call { op: "s3.remove_marker", args: call }
            }
            (None, _) => Undo::Impossible("the bucket keeps no versions: the object is gone"),
            // Without its marker the object was seen again: a new marker hides it as the old one did.
            (Some(_), Before { marker: true, .. }) => Undo::Call { op: "s3.delete", args: call },
            (Some(_), _) => Undo::Impossible("a deleted version is gone for good"),
        }
    }

    fn fingerprint(context: &ReadContext<'_>, args: &ObjectArgs, _: &Deleted) -> Result<Value, OpError> {
        let latest = versions(&context.aws(&args.aws)?, &args.bucket, &args.key)?.into_iter().find(|one| one.latest);
        Ok(json!({ "latest": latest.map(|one| one.version) }))
    }

    fn predict(args: &ObjectArgs, before: &Value, _: &str) -> Predicted {
        let before = before_of(before).unwrap_or_default();
        let marked = before.there && before.versioned && args.version.is_none();
        let marker = if marked { unknown("S3 chooses it") } else { json!("") };
        Predicted::Result(json!({ "deleted": before.there, "marker": marker }))
    }

    fn release(_: &WriteContext<'_>, _: &ObjectArgs) {}
}

/// `s3.remove_marker`.
pub struct RemoveMarker;

/// Which marker to take away.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RemoveMarkerArgs {
    /// The bucket.
    pub bucket: String,
    /// The name of the object.
    pub key: String,
    /// Its version; the latest marker when absent.
    #[serde(default)]
    pub marker: Option<String>,
    /// The version that it hides: with another one below it is left alone.
    pub above: String,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// Whether a marker was taken away.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct MarkerRemoved {
    /// Whether it was there.
    pub removed: bool,
}

impl RemoveMarkerArgs {
    /// The marker on top, if it is the one that is meant.
    fn find(&self, line: &Line<'_>) -> Result<Option<String>, OpError> {
        let all = versions(line, &self.bucket, &self.key)?;
        let meant = |one: &&Version| {
            one.latest && one.marker && self.marker.as_ref().is_none_or(|marker| *marker == one.version)
        };
        let below = all.iter().find(|one| !one.marker).is_some_and(|one| one.version == self.above);
        Ok(all.iter().find(meant).filter(|_| below).map(|one| one.version.clone()))
    }
}

impl Operation for RemoveMarker {
    const NAME: &'static str = "s3.remove_marker";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "takes away the marker that hides a deleted object, so that it is there again";
    const PERMISSION: &'static str = "s3:DeleteObjectVersion, s3:ListBucketVersions";
    const TYPICAL: Duration = Duration::from_millis(300);
    type Args = RemoveMarkerArgs;
    type Output = MarkerRemoved;

    fn resource(args: &RemoveMarkerArgs) -> String {
        resource(&args.bucket, &args.key, &args.aws)
    }

    fn target(context: &ReadContext<'_>, args: &RemoveMarkerArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.aws)
    }
}

impl Write for RemoveMarker {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether the marker is still there";
    const UNDO_DOC: &'static str = "s3.delete: a new marker";

    fn before(context: &ReadContext<'_>, args: &RemoveMarkerArgs) -> Result<Value, OpError> {
        Ok(json!({ "marker": args.find(&context.aws(&args.aws)?)? }))
    }

    fn send(context: &WriteContext<'_>, args: RemoveMarkerArgs) -> Result<Send<MarkerRemoved>, OpError> {
        let Some(marker) = args.find(&context.read.aws(&args.aws)?)? else {
            return Ok(Send::Done(MarkerRemoved { removed: false }));
        };
        let act = format!("cannot take the marker off {}", url(&args.bucket, &args.key));
        context.aws(&args.aws)?.call(&act, |s3: Client| {
            s3.delete_object().bucket(&args.bucket).key(&args.key).version_id(marker).send()
        })?;
        Ok(Send::Done(MarkerRemoved { removed: true }))
    }

    fn probe(context: &ReadContext<'_>, args: &RemoveMarkerArgs) -> Result<Found<MarkerRemoved>, OpError> {
        if args.find(&context.aws(&args.aws)?)?.is_some() {
            return Ok(Found::NotDone);
        }
        let removed = context.before.get("marker").is_some_and(Value::is_string);
        Ok(Found::Done(MarkerRemoved { removed }))
    }

    fn undo(args: &RemoveMarkerArgs, before: &Value, _: &str) -> Undo {
        if before.get("marker").is_some_and(Value::is_string) {
            let args = json!({ "bucket": args.bucket, "key": args.key, "aws": args.aws });
            return Undo::Call { op: "s3.delete", args };
        }
        Undo::Nothing
    }

    fn fingerprint(context: &ReadContext<'_>, args: &RemoveMarkerArgs, _: &MarkerRemoved) -> Result<Value, OpError> {
        let latest = versions(&context.aws(&args.aws)?, &args.bucket, &args.key)?.into_iter().find(|one| one.latest);
        Ok(json!({ "latest": latest.map(|one| one.version) }))
    }

    fn predict(_: &RemoveMarkerArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "removed": before.get("marker").is_some_and(Value::is_string) }))
    }

    fn release(_: &WriteContext<'_>, _: &RemoveMarkerArgs) {}
}
