//! Buckets of S3 in a plan over a live account: how they are set, and the objects that calls look at.

use serde_json::json;

use super::import::{Importer, instant};
use super::state::State;
use crate::model::Value;
use crate::sandbox::aws::{Bucket, Stored};
use crate::sandbox::content::{Content, Unseen};

impl Importer<'_> {
    /// Looks at a bucket and at the object of the key, or at all objects that a call lists.
    pub(super) fn see_object(&self, state: &mut State, key: &str) -> Result<(), String> {
        let Some(rest) = key.strip_prefix("s3/") else { return Ok(()) };
        let (bucket, object) = rest.split_once('/').unwrap_or((rest, ""));
        self.see_bucket(state, bucket)?;
        if state.world.aws.buckets.get(bucket).is_none() {
            return Ok(());
        }
        if !object.is_empty() {
            let args = &self.request.args;
            let named = |name: &str| args.get(name).and_then(Value::as_str);
            let copied = named("from_bucket") == Some(bucket) && named("from_key") == Some(object);
            self.see_version(state, (bucket, object), None)?;
            let version = named(if copied { "from_version" } else { "version" });
            return version.map_or(Ok(()), |version| self.see_version(state, (bucket, object), Some(version)));
        }
        if self.request.op.name != "s3.list" {
            return Ok(());
        }
        let listed: Value = self.ask("s3.list", self.request.args.clone())?;
        let keys = listed["objects"].as_array().into_iter().flatten();
        for object in keys.filter_map(|one| one["key"].as_str()) {
            self.see_version(state, (bucket, object), None)?;
        }
        Ok(())
    }

    /// The arguments with the way to the account of the call.
    fn reached(&self, mut args: Value) -> Value {
        if let Some(aws) = self.request.args.get("aws") {
            args["aws"] = aws.clone();
        }
        args
    }

    fn see_bucket(&self, state: &mut State, name: &str) -> Result<(), String> {
        let key = format!("s3/{name}");
        if state.seen.contains(&key) {
            return Ok(());
        }
        let found: Value = self.ask("s3.bucket", self.reached(json!({ "bucket": name })))?;
        state.seen.insert(key);
        if found["exists"] == json!(true) {
            let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
            let made = Bucket {
                versioning: text("versioning"),
                encryption: text("encryption"),
                kms_key: text("kms_key"),
                public_blocked: found["public_blocked"] == json!(true),
                ..Bucket::default()
            };
            state.world_mut().aws.buckets.insert(name.to_owned(), made);
        }
        Ok(())
    }

    /// Looks at this version of an object, else at the latest. Of the others a plan knows nothing.
    fn see_version(
        &self,
        state: &mut State,
        (bucket, object): (&str, &str),
        version: Option<&str>,
    ) -> Result<(), String> {
        let key = format!("s3/{bucket}/{object}");
        let seen = format!("{key}?{}", version.unwrap_or_default());
        if state.is_own(&key) || state.seen.contains(&seen) {
            return Ok(());
        }
        let mut asked = self.reached(json!({ "bucket": bucket, "key": object }));
        if let Some(version) = version {
            asked["version"] = json!(version);
        }
        let found: Value = self.ask("s3.head", asked)?;
        state.seen.insert(seen);
        if found["exists"] != json!(true) {
            return Ok(());
        }
        let text = |field: &str| found[field].as_str().unwrap_or_default().to_owned();
        let sum = Some(text("sha256")).filter(|sum| !sum.is_empty());
        let content = Unseen {
            bytes: found["bytes"].as_u64(),
            sha256: sum,
            from: None,
            why: format!("what is in s3://{bucket}/{object}"),
        };
        let metadata = found["metadata"].as_object().into_iter().flatten();
        let stored = Stored {
            content: Some(Content::Unseen(content)),
            version: text("version"),
            etag: text("etag"),
            modified: instant(&text("modified")),
            encryption: text("encryption"),
            kms_key: text("kms_key"),
            content_type: text("content_type"),
            metadata: metadata.filter_map(|(name, one)| Some((name.clone(), one.as_str()?.to_owned()))).collect(),
            made_by: text("made_by"),
        };
        if let Some(held) = state.world_mut().aws.buckets.get_mut(bucket) {
            let all = held.objects.entry(object.to_owned()).or_default();
            // An older version lies below the latest.
            let place = if version.is_some() { 0 } else { all.len() };
            if !all.iter().any(|one| one.version == stored.version) {
                all.insert(place, stored);
            }
        }
        Ok(())
    }
}
