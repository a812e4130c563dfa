//! Putting back the fields of an object that a call has changed.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::target;
use super::fault::Fault;
use super::fields::{Differences, Fields, MARK, dotted, fields_of, mark_of, merge_patch, meta};
use super::kind::Kind;
use super::look::{Live, Look, Step};
use super::named::Named;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::helm::client::Cluster;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write};

/// `k8s.restore`.
pub struct Restore;

/// What to put back.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreArgs {
    /// The object's kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its namespace; absent for what is in none.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Its UID: another object of that name is left as it is.
    pub uid: String,
    /// The fields by their JSON pointers, what they `was` and what the call made of them (`now`); sealed for what holds secrets.
    pub fields: Value,
    /// What the object was marked with before; empty for nothing.
    #[serde(default)]
    pub mark: String,
    /// The key of the call that is undone.
    pub made_by: String,
    /// Which cluster.
    #[serde(default)]
    pub cluster: Cluster,
}

/// What was put back.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    /// The fields that were put back: `spec.replicas`. None when they were as before.
    pub restored: Vec<String>,
}

impl RestoreArgs {
    /// The object.
    #[must_use]
    pub fn named(&self) -> Named {
        let (kind, namespace) = (self.kind.clone(), self.namespace.clone());
        Named { kind, namespace, name: self.name.clone(), cluster: self.cluster.clone() }
    }

    fn act(&self) -> String {
        format!("cannot restore {}", self.named().shown())
    }

    /// The fields that are to be put back, with the patch that does it; nothing when nothing is.
    ///
    /// # Errors
    /// Refused, when somebody has changed one since.
    pub fn due(&self, live: Option<&Value>, fields: &Differences) -> Result<Option<(Vec<String>, Step)>, OpError> {
        let Some(live) = live.filter(|live| meta(live, "uid") == self.uid) else { return Ok(None) };
        let now = fields_of(live, fields.now.keys());
        let mut back = Fields::new();
        for (pointer, value) in &now {
            let was = fields.was.get(pointer).unwrap_or(&Value::Null);
            if value == was {
                continue;
            }
            if fields.now.get(pointer) != Some(value) {
                let what = format!("{}: somebody has changed {} since", self.act(), dotted(pointer));
                return Err(OpError::refused(what).with_hint("look who uses it, and settle it by hand"));
            }
            back.insert(pointer.clone(), was.clone());
        }
        let marked = mark_of(live) == self.made_by;
        if back.is_empty() && !marked {
            return Ok(None);
        }
        let mut patch = merge_patch(&back);
        if marked {
            let mark = if self.mark.is_empty() { Value::Null } else { json!(self.mark) };
            super::patch::merge(&mut patch, &json!({ "metadata": { "annotations": {} } }));
            patch["metadata"]["annotations"][MARK] = mark;
        }
        patch["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
        Ok(Some((back.keys().map(|pointer| dotted(pointer)).collect(), Step::Merge(patch))))
    }

    /// The image taken before.
    ///
    /// # Errors
    /// Refused, when somebody has changed a field since.
    pub fn image(&self, look: &dyn Look) -> Result<Value, OpError> {
        let live = look.object(&self.named())?;
        let due = self.due(live.as_ref(), &look.opened(&self.fields)?)?;
        Ok(json!({ "restores": due.map(|(names, _)| names).unwrap_or_default() }))
    }

    /// What became of it.
    ///
    /// # Errors
    /// When it cannot be asked now.
    pub fn became(&self, look: &dyn Look, before: &Value) -> Result<Found<Restored>, OpError> {
        let live = look.object(&self.named())?;
        Ok(match self.due(live.as_ref(), &look.opened(&self.fields)?) {
            Ok(None) => Found::Done(Self::told(before)),
            Ok(Some(_)) => Found::NotDone,
            Err(error) => Found::CannotTell(error.message),
        })
    }

    /// What is told when it is done.
    #[must_use]
    pub fn told(before: &Value) -> Restored {
        Restored { restored: serde_json::from_value(before["restores"].clone()).unwrap_or_default() }
    }
}

impl Operation for Restore {
    const NAME: &'static str = "k8s.restore";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "puts back the fields of an object that a call has changed, as far as nobody else has changed them since; \
                               an object that is gone, or another of its name, is left as it is";
    const PERMISSION: &'static str = "get and patch of the object";
    const TYPICAL: Duration = Duration::from_millis(100);
    type Args = RestoreArgs;
    type Output = Restored;

    fn resource(args: &RestoreArgs) -> String {
        args.named().resource()
    }

    fn touches(args: &RestoreArgs, _before: &Value) -> Vec<Touch> {
        vec![args.named().touched()]
    }

    fn target(context: &ReadContext<'_>, args: &RestoreArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.cluster)
    }
}

impl Write for Restore {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether the fields are what they were before the call that is undone";
    const UNDO_DOC: &'static str = "nothing: it is itself an undo";

    fn before(context: &ReadContext<'_>, args: &RestoreArgs) -> Result<Value, OpError> {
        let line = context.kubernetes(&args.cluster)?;
        args.image(&Live::on(&line, context))
    }

    fn send(context: &WriteContext<'_>, args: RestoreArgs) -> Result<Send<Restored>, OpError> {
        let (act, named, read) = (args.act(), args.named(), &context.read);
        let line = context.kubernetes(&args.cluster)?;
        let look = Live { line: &line, secrets: read.secrets };
        let fields = look.opened(&args.fields)?;
        for _ in 0..8 {
            let live = look.object(&named)?;
            let Some((_, step)) = args.due(live.as_ref(), &fields)? else {
                return Ok(Send::Done(RestoreArgs::told(read.before)));
            };
            match look.send(&act, &named, &step, false) {
                Ok(_) => return Ok(Send::Done(RestoreArgs::told(read.before))),
                Err(complaint) if complaint.fault == Fault::Changed => {}
                Err(complaint) => return Err(complaint.into()),
            }
        }
        Err(OpError::transient(format!("{act}: others change it faster than it can be looked at")))
    }

    fn probe(context: &ReadContext<'_>, args: &RestoreArgs) -> Result<Found<Restored>, OpError> {
        let line = context.kubernetes(&args.cluster)?;
        args.became(&Live::on(&line, context), context.before)
    }

    fn undo(_: &RestoreArgs, _: &Value, _: &str) -> Undo {
        Undo::Nothing
    }

    fn fingerprint(_: &ReadContext<'_>, _: &RestoreArgs, _: &Restored) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn predict(_: &RestoreArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "restored": before["restores"] }))
    }

    fn release(_: &WriteContext<'_>, _: &RestoreArgs) {}
}
