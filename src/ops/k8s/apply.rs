//! Server-side apply of a manifest.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::change::{Changed, changes};
use super::client::target;
use super::look::Step;
use super::named::Named;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::context::ReadContext;
use crate::ops::helm::client::Cluster;
use crate::ops::spec::{Effect, Operation};

/// `k8s.apply`.
pub struct Apply;

/// What to apply.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ApplyArgs {
    /// The manifest: `apiVersion`, `kind`, `metadata` with name and, for what is in one, namespace, and all that is to be set. Texts in
    /// it may be secrets.
    pub object: Value,
    /// Whether fields that somebody else owns are taken over; otherwise that is refused.
    #[serde(default)]
    pub force: bool,
    /// Which cluster.
    #[serde(default)]
    pub cluster: Cluster,
}

impl ApplyArgs {
    /// The object, and what is done to it.
    ///
    /// # Errors
    /// Refused, when the manifest does not say which object it is.
    pub fn step(&self) -> Result<(Named, Step), OpError> {
        let named = Named::of_manifest(&self.object, &self.cluster)?;
        Ok((named, Step::Apply { manifest: self.object.clone(), force: self.force }))
    }
}

impl Operation for Apply {
    const NAME: &'static str = "k8s.apply";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "applies a manifest on the server: makes the object, or sets what the manifest sets and leaves the rest; what \
                               an earlier apply set and this one does not is taken away";
    const PERMISSION: &'static str = "get and patch of the object, create when it is not there; with dryRun=All for plans; delete for \
                                      the undo of a new one";
    const TYPICAL: Duration = Duration::from_millis(100);
    type Args = ApplyArgs;
    type Output = Changed;

    fn resource(args: &ApplyArgs) -> String {
        Named::of_manifest(&args.object, &args.cluster).map(|named| named.resource()).unwrap_or_default()
    }

    fn touches(args: &ApplyArgs, before: &Value) -> Vec<Touch> {
        let made = before.get("exists").and_then(Value::as_bool) == Some(false);
        let named = Named::of_manifest(&args.object, &args.cluster);
        named.map(|named| vec![Touch { makes: made, ..named.touched() }]).unwrap_or_default()
    }

    fn target(context: &ReadContext<'_>, args: &ApplyArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.cluster)
    }
}

changes!(Apply => "apply" by ApplyArgs::step);
