//! Changing parts of an object that is there: by a patch, by annotations, by labels.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::change::{Changed, changes};
use super::client::target;
use super::kind::Kind;
use super::look::Step;
use super::named::Named;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::context::ReadContext;
use crate::ops::helm::client::Cluster;
use crate::ops::spec::{Effect, Operation};

/// `k8s.patch`.
pub struct Patch;

/// `k8s.annotate`.
pub struct Annotate;

/// `k8s.label`.
pub struct Label;

/// How a patch is meant.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Manner {
    /// JSON merge patch: fields are set, null takes one away, lists are replaced.
    #[default]
    Merge,
    /// Strategic merge patch: as merge, but containers and the like are found by their names. Not for custom resources.
    Strategic,
    /// JSON patch: a list of operations.
    Json,
}

/// What to patch.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PatchArgs {
    /// The object's kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its namespace; absent for what is in none.
    #[serde(default)]
    pub namespace: Option<String>,
    /// The patch. Texts in it may be secrets.
    pub patch: Value,
    /// How it is meant.
    #[serde(default)]
    pub manner: Manner,
    /// Which cluster.
    #[serde(default)]
    pub cluster: Cluster,
}

/// Annotations or labels to set.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoteArgs {
    /// The object's kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its namespace; absent for what is in none.
    #[serde(default)]
    pub namespace: Option<String>,
    /// By name, the text to set; null takes one away.
    pub set: BTreeMap<String, Option<String>>,
    /// Which cluster.
    #[serde(default)]
    pub cluster: Cluster,
}

impl PatchArgs {
    /// The object, and what is done to it.
    ///
    /// # Errors
    /// Refused, when the patch is none, or is not its own to make.
    pub fn step(&self) -> Result<(Named, Step), OpError> {
        let (kind, namespace) = (self.kind.clone(), self.namespace.clone());
        let named = Named { kind, namespace, name: self.name.clone(), cluster: self.cluster.clone() };
        let act = || format!("cannot patch {}", named.shown());
        let step = match self.manner {
            Manner::Json if self.patch.is_array() => Step::Json(self.patch.clone()),
            Manner::Json => return Err(OpError::refused(format!("{}: a JSON patch is a list of operations", act()))),
            _ if !self.patch.is_object() => {
                return Err(OpError::refused(format!("{}: a merge patch is a map of fields", act())));
            }
            Manner::Merge => Step::Merge(self.patch.clone()),
            Manner::Strategic => Step::Strategic(self.patch.clone()),
        };
        if self.patch.get("status").is_some() {
            return Err(OpError::refused(format!("{}: its status belongs to its controller", act())));
        }
        Ok((named, step))
    }
}

impl NoteArgs {
    fn step_in(&self, part: &str) -> Result<(Named, Step), OpError> {
        let (kind, namespace) = (self.kind.clone(), self.namespace.clone());
        let named = Named { kind, namespace, name: self.name.clone(), cluster: self.cluster.clone() };
        if self.set.is_empty() {
            return Err(OpError::refused(format!(
                "cannot change {part} of {}: there is nothing to set",
                named.shown()
            )));
        }
        if let Some(own) = self.set.keys().find(|name| name.starts_with("muster.dr/")) {
            return Err(OpError::refused(format!("cannot change {part} of {}: {own} is muster's own", named.shown())));
        }
        Ok((named, Step::Merge(json!({ "metadata": { part: self.set } }))))
    }
}

impl Annotate {
    /// The object, and what is done to it.
    ///
    /// # Errors
    /// Refused, when there is nothing to set.
    pub fn step(args: &NoteArgs) -> Result<(Named, Step), OpError> {
        args.step_in("annotations")
    }
}

impl Label {
    /// The object, and what is done to it.
    ///
    /// # Errors
    /// Refused, when there is nothing to set.
    pub fn step(args: &NoteArgs) -> Result<(Named, Step), OpError> {
        args.step_in("labels")
    }
}

fn named(kind: &Kind, namespace: Option<&String>, name: &str, cluster: &Cluster) -> Named {
    let (kind, namespace) = (kind.clone(), namespace.cloned());
    Named { kind, namespace, name: name.to_owned(), cluster: cluster.clone() }
}

/// Implements [`Operation`] for an operation that changes an object in place.
macro_rules! edits {
    ($($op:ty, $args:ty: $name:literal, $doc:literal;)+) => {$(
        impl Operation for $op {
            const NAME: &'static str = $name;
            const EFFECT: Effect = Effect::Update;
            const DOC: &'static str = $doc;
            const PERMISSION: &'static str = "get and patch of the object; with dryRun=All for plans";
            const TYPICAL: Duration = Duration::from_millis(100);
            type Args = $args;
            type Output = Changed;

            fn resource(args: &$args) -> String {
                named(&args.kind, args.namespace.as_ref(), &args.name, &args.cluster).resource()
            }

            fn touches(args: &$args, _before: &Value) -> Vec<Touch> {
                vec![named(&args.kind, args.namespace.as_ref(), &args.name, &args.cluster).touched()]
            }

            fn target(context: &ReadContext<'_>, args: &$args) -> Result<Option<Target>, OpError> {
                target(context, &args.cluster)
            }
        }
    )+};
}

edits! {
    Patch, PatchArgs: "k8s.patch", "changes an object by a merge patch, a strategic merge patch or a JSON patch";
    Annotate, NoteArgs: "k8s.annotate", "sets annotations of an object, or takes them away";
    Label, NoteArgs: "k8s.label", "sets labels of an object, or takes them away";
}

changes!(Patch => "patch" by PatchArgs::step, Annotate => "annotate" by Annotate::step, Label => "label" by Label::step);
