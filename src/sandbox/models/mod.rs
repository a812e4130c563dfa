//! What each operation reads and does in the world: the sandbox's side of the operation table.

mod aws;
pub mod docker;
mod docker_made;
mod ecs;
pub mod exec;
mod fs;
mod fs_read;
mod fs_undo;
pub mod helm;
mod http;
pub mod k8s;
pub mod pg;
mod pg_write;
mod rds;
mod rds_write;
mod s3;
mod secrets;
mod stores;
mod stores_write;
mod typed;
mod values;

use std::collections::BTreeMap;
use std::sync::OnceLock;

use serde::de::DeserializeOwned;

pub(in crate::sandbox) use fs::exclude;

use super::world::{ChildEnd, World};
use crate::model::fault::{OpError, Target};
use crate::model::secret::Redactor;
use crate::model::{RunId, Timestamp, Value};
use crate::ops::host::{Polled, Probe};

/// One use of an operation, as a model sees it.
pub struct Call<'c> {
    /// The run that asks.
    pub run: &'c RunId,
    /// The operation.
    pub op: &'static str,
    /// The key of the call.
    pub key: &'c str,
    /// Its arguments.
    pub args: &'c Value,
    /// The image taken before.
    pub before: &'c Value,
    /// The instant.
    pub now: Timestamp,
    /// Learns what must not be shown.
    pub redactor: &'c Redactor,
}

impl<'c> Call<'c> {
    /// An argument that has to be there. (The arguments have been checked against the table's schema.)
    ///
    /// # Errors
    /// Refused when it is absent or of another type.
    pub fn get<T: DeserializeOwned>(&self, name: &str) -> Result<T, OpError> {
        let value = self.args.get(name).cloned().unwrap_or(Value::Null);
        serde_json::from_value(value)
            .map_err(|e| OpError::refused(format!("arguments of {} do not fit: `{name}`: {e}", self.op)))
    }

    /// An argument that may be absent.
    #[must_use]
    pub fn maybe<T: DeserializeOwned>(&self, name: &str) -> Option<T> {
        serde_json::from_value(self.args.get(name)?.clone()).ok()
    }

    /// A text that has to be there.
    ///
    /// # Errors
    /// Refused when it is absent.
    pub fn text(&self, name: &str) -> Result<&'c str, OpError> {
        self.args
            .get(name)
            .and_then(Value::as_str)
            .ok_or_else(|| OpError::refused(format!("arguments of {} do not fit: no text `{name}`", self.op)))
    }

    /// A text that may be absent.
    #[must_use]
    pub fn maybe_text(&self, name: &str) -> Option<&'c str> {
        self.args.get(name).and_then(Value::as_str)
    }

    /// A yes that may be absent.
    #[must_use]
    pub fn flag(&self, name: &str) -> bool {
        self.args.get(name).and_then(Value::as_bool).unwrap_or(false)
    }

    /// A path, which has to be absolute.
    ///
    /// # Errors
    /// Refused when it is not.
    pub fn path(&self, name: &str) -> Result<String, OpError> {
        absolute(self.text(name)?)
    }

    /// A text of the before-image; empty when it has none.
    #[must_use]
    pub fn earlier(&self, name: &str) -> &'c str {
        self.before.get(name).and_then(Value::as_str).unwrap_or_default()
    }

    /// A slot of an undo that the engine could fill.
    #[must_use]
    pub fn slot(&self, name: &str) -> Option<&'c str> {
        self.maybe_text(name).filter(|text| !text.is_empty() && !text.starts_with("$result"))
    }

    /// Whether the supervised child of this call was killed and left no status.
    #[must_use]
    pub fn lost(&self, world: &World) -> bool {
        world.children.get(self.key).is_some_and(|child| matches!(child.ended, Some(ChildEnd::Lost)))
    }
}

/// The path, normalised.
///
/// # Errors
/// Refused when it is not absolute.
pub fn absolute(path: &str) -> Result<String, OpError> {
    if path.starts_with('/') {
        return Ok(super::tree::normal(path));
    }
    Err(OpError::refused(format!("cannot use {path}: paths are absolute here")))
}

/// What a model does with the world.
pub enum Model {
    /// Answers.
    Read(fn(&mut World, &Call<'_>) -> Result<Value, OpError>),
    /// Answers whether something is there yet.
    Wait(fn(&World, &Call<'_>) -> Result<Polled, OpError>),
    /// Changes it.
    Write(Effect),
}

/// How a model changes the world.
pub struct Effect {
    /// Checks the preconditions and takes the image.
    pub before: fn(&World, &Call<'_>) -> Result<Value, OpError>,
    /// Does it, and answers its result.
    pub act: fn(&mut World, &Call<'_>) -> Result<Value, OpError>,
    /// How long a supervised child takes to do it, in milliseconds; `None` when it is done while one waits.
    pub child: Option<fn(&World, &Call<'_>) -> u64>,
    /// Tells what became of it. For an effect of a child only asked when there was none, or it was lost.
    pub probe: fn(&World, &Call<'_>) -> Result<Probe, OpError>,
    /// The fields it set, as they are now.
    pub fingerprint: fn(&World, &Call<'_>, &Value) -> Result<Value, OpError>,
    /// Forgets what was kept for the probe.
    pub release: fn(&mut World, &Call<'_>),
    /// What a kill in the middle of it leaves. Absent when it is one step: then a kill leaves nothing.
    pub half: Option<fn(&mut World, &Call<'_>)>,
    /// Whether the server takes this call for one that it has done already, so that it is no second effect.
    pub known: fn(&World, &Call<'_>) -> bool,
}

impl Effect {
    const fn new(
        before: fn(&World, &Call<'_>) -> Result<Value, OpError>,
        act: fn(&mut World, &Call<'_>) -> Result<Value, OpError>,
        probe: fn(&World, &Call<'_>) -> Result<Probe, OpError>,
    ) -> Self {
        Self {
            before,
            act,
            child: None,
            probe,
            fingerprint: |_, _, _| Ok(Value::Null),
            release: |_, _| {},
            half: None,
            known: |_, _| false,
        }
    }

    const fn by_child(mut self, takes: fn(&World, &Call<'_>) -> u64) -> Self {
        self.child = Some(takes);
        self
    }

    const fn fingerprint(mut self, fingerprint: fn(&World, &Call<'_>, &Value) -> Result<Value, OpError>) -> Self {
        self.fingerprint = fingerprint;
        self
    }

    const fn release(mut self, release: fn(&mut World, &Call<'_>)) -> Self {
        self.release = release;
        self
    }

    const fn half(mut self, half: fn(&mut World, &Call<'_>)) -> Self {
        self.half = Some(half);
        self
    }

    const fn known(mut self, known: fn(&World, &Call<'_>) -> bool) -> Self {
        self.known = known;
        self
    }
}

/// The model of this operation.
#[must_use]
pub fn model(name: &str) -> Option<&'static Model> {
    models().get(name)
}

/// All models by the full name of their operation.
#[must_use]
pub fn models() -> &'static BTreeMap<&'static str, Model> {
    static MODELS: OnceLock<BTreeMap<&'static str, Model>> = OnceLock::new();
    MODELS.get_or_init(|| {
        let families = [
            values::models(),
            fs_read::models(),
            fs::models(),
            fs_undo::models(),
            exec::models(),
            docker::models(),
            pg::models(),
            http::models(),
            helm::models(),
            k8s::models(),
            aws::models(),
            s3::models(),
            rds::models(),
            ecs::models(),
            secrets::models(),
            stores::models(),
        ];
        families.into_iter().flatten().collect()
    })
}

/// The families that work on AWS.
pub const AWS: [&str; 8] = ["backup", "ecs", "efs", "iam", "rds", "s3", "secrets", "sts"];

/// The identity of what a call works on.
///
/// # Errors
/// When a server it names cannot be asked.
pub fn target(world: &World, call: &Call<'_>) -> Result<Option<Target>, OpError> {
    if call.op.starts_with("docker.") {
        return Ok(Some(Target { name: "container host".to_owned(), identity: docker::HOST_ID.to_owned() }));
    }
    if call.op.starts_with("pg.") {
        return pg::target(world, call).map(Some);
    }
    if AWS.contains(&call.op.split('.').next().unwrap_or_default()) {
        return Ok(Some(aws::target(world)));
    }
    if call.op.starts_with("helm.") {
        return Ok(Some(helm::target(call)));
    }
    if call.op.starts_with("k8s.") {
        return Ok(Some(k8s::target(call)));
    }
    Ok(None)
}
