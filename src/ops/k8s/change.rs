//! Changing an object so that a probe finds it, and so that it can be undone: the fields that a call changes are known before it is
//! sent, since the API server has tried it; they are changed only while they are what they were, and put back only while they are
//! what the call made of them.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fault::Fault;
use super::fields::{self, Differences, Fields, dotted, fields_of, mark_of, meta};
use super::look::{Live, Look, Step, is_confidential, presentable};
use super::named::Named;
use crate::model::Value;
use crate::model::fault::OpError;
use crate::model::forecast::Change;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::spec::{Found, Predicted, Send, Undo, unknown};

/// How often a change is tried on an object that others change at the same time.
const ROUNDS: usize = 8;

/// An object was changed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Changed {
    /// The object's UID.
    pub uid: String,
    /// Its version after the change.
    pub resource_version: String,
    /// Whether it was not there before.
    pub created: bool,
    /// The fields that were changed: `spec.replicas`. Empty when it was as wanted.
    pub changed: Vec<String>,
}

/// The image taken before.
#[derive(Clone, Debug, Default, Serialize, Deserialize)]
#[serde(default)]
pub struct Image {
    exists: bool,
    uid: String,
    mark: String,
    /// What the call changes; sealed for what holds secrets.
    fields: Value,
    changed: Vec<String>,
    /// Why what it changes is not sure.
    doubt: String,
    changes: Vec<Change>,
}

/// `cannot ACT KIND NS/NAME`.
fn act_on(verb: &str, named: &Named) -> String {
    format!("cannot {verb} {}", named.shown())
}

fn gone(act: &str) -> OpError {
    OpError::refused(format!("{act}: there is no such object")).with_hint("is it the right cluster and namespace?")
}

fn another(act: &str) -> String {
    format!("{act}: it was deleted and made anew by somebody")
}

/// A change's fields as a plan shows them.
fn sides(confidential: bool, found: &Differences) -> (Value, Value) {
    let side = |fields: &Fields| -> Value {
        let shown = fields.iter().filter(|(_, value)| !value.is_null()).map(|(pointer, value)| {
            let hidden = confidential && !pointer.starts_with("/metadata");
            let value = if hidden { json!(crate::model::secret::REDACTED) } else { value.clone() };
            (dotted(pointer), value)
        });
        Value::Object(shown.collect())
    };
    (side(&found.was), side(&found.now))
}

impl Image {
    /// The image that was recorded.
    #[must_use]
    pub fn of(before: &Value) -> Self {
        Self::deserialize(before).unwrap_or_default()
    }

    /// Takes it: looks at the object and tries the step.
    ///
    /// # Errors
    /// Refused, when the object is not there (an apply makes it), or the server would refuse the step.
    pub fn take(look: &dyn Look, verb: &str, named: &Named, step: &Step) -> Result<Self, OpError> {
        let act = act_on(verb, named);
        let live = look.object(named)?;
        if live.is_none() && !matches!(step, Step::Apply { .. }) {
            return Err(gone(&act));
        }
        if live.as_ref().is_some_and(|live| !meta(live, "deletionTimestamp").is_empty()) {
            return Err(OpError::refused(format!("{act}: it is being deleted")));
        }
        let tried = look.tried(&act, named, step, live.as_ref())?;
        let confidential = is_confidential(named);
        let resource = named.resource();
        let Some(live) = live else {
            let change = Change { resource, before: Value::Null, after: presentable(&tried.after) };
            return Ok(Self { doubt: tried.doubt, changes: vec![change], ..Self::default() });
        };
        let found = fields::differences(&fields::wanted(&live), &fields::wanted(&tried.after));
        let (before, after) = sides(confidential, &found);
        let changes = if found.now.is_empty() { Vec::new() } else { vec![Change { resource, before, after }] };
        Ok(Self {
            exists: true,
            uid: meta(&live, "uid").to_owned(),
            mark: mark_of(&live).to_owned(),
            fields: look.kept(confidential, &found)?,
            changed: found.now.keys().map(|pointer| dotted(pointer)).collect(),
            doubt: tried.doubt,
            changes,
        })
    }

    /// What is told of the change when the object is this.
    #[must_use]
    pub fn result(&self, object: &Value) -> Changed {
        Changed {
            uid: meta(object, "uid").to_owned(),
            resource_version: meta(object, "resourceVersion").to_owned(),
            created: !self.exists,
            changed: self.changed.clone(),
        }
    }

    /// Whether the step may be done to the object as it is now; what is told when it was done already.
    ///
    /// # Errors
    /// Refused, when somebody has changed since what the step is about to change.
    pub fn admits(
        &self,
        look: &dyn Look,
        act: &str,
        live: Option<&Value>,
        key: &str,
    ) -> Result<Option<Changed>, OpError> {
        let Some(live) = live else {
            return if self.exists { Err(gone(act)) } else { Ok(None) };
        };
        if !key.is_empty() && mark_of(live) == key {
            return Ok(Some(self.result(live)));
        }
        if !self.exists {
            return Err(OpError::refused(format!("{act}: somebody has made it meanwhile"))
                .with_hint("look what it is, and retry"));
        }
        if meta(live, "uid") != self.uid {
            return Err(OpError::refused(another(act)).with_hint("look what it is, and retry"));
        }
        let fields = look.opened(&self.fields)?;
        let now = fields_of(live, fields.was.keys());
        if let Some((pointer, _)) = now.iter().find(|(pointer, value)| fields.was.get(*pointer) != Some(value)) {
            let what = format!("{act}: somebody has changed {} since it was looked at", dotted(pointer));
            return Err(OpError::refused(what).with_hint("look what it is, and retry"));
        }
        Ok(None)
    }

    /// What became of the step.
    ///
    /// # Errors
    /// When it cannot be asked now.
    pub fn became(&self, look: &dyn Look, verb: &str, named: &Named, key: &str) -> Result<Found<Changed>, OpError> {
        let act = act_on(verb, named);
        let Some(live) = look.object(named)? else {
            return Ok(if self.exists { Found::CannotTell(format!("{act}: it is gone")) } else { Found::NotDone });
        };
        let mark = mark_of(&live);
        if mark == key {
            return Ok(Found::Done(self.result(&live)));
        }
        if !self.exists {
            // Somebody else's: the step is refused when it is sent.
            return Ok(Found::NotDone);
        }
        if meta(&live, "uid") != self.uid {
            return Ok(Found::CannotTell(another(&act)));
        }
        if mark == self.mark {
            return Ok(Found::NotDone);
        }
        // Another call has marked it since; the fields may tell all the same.
        let fields = look.opened(&self.fields)?;
        let now = fields_of(&live, fields.now.keys());
        Ok(if !now.is_empty() && now == fields.now {
            Found::Done(self.result(&live))
        } else if now == fields.was {
            Found::NotDone
        } else {
            Found::CannotTell(format!("{act}: another call of muster and somebody else have changed it since"))
        })
    }

    /// How it is undone.
    #[must_use]
    pub fn undo(&self, named: &Named, key: &str) -> Undo {
        let mut args = json!({ "kind": named.kind, "name": named.name, "cluster": named.cluster });
        if let Some(namespace) = &named.namespace {
            args["namespace"] = json!(namespace);
        }
        if !self.exists {
            args["made_by"] = json!(key);
            return Undo::Call { op: "k8s.delete", args };
        }
        for (name, value) in [("uid", json!(self.uid)), ("fields", self.fields.clone()), ("mark", json!(self.mark))] {
            args[name] = value;
        }
        args["made_by"] = json!(key);
        Undo::Call { op: "k8s.restore", args }
    }

    /// What a plan says its result will be.
    #[must_use]
    pub fn predicted(&self) -> Predicted {
        let uid = if self.exists { json!(self.uid) } else { unknown("the API server gives it") };
        Predicted::Result(json!({
            "uid": uid, "resource_version": unknown("the API server gives it"), "created": !self.exists, "changed": self.changed,
        }))
    }

    /// The fields it set, as they are now.
    ///
    /// # Errors
    /// When they cannot be asked now.
    pub fn print(&self, look: &dyn Look, named: &Named, step: &Step) -> Result<Value, OpError> {
        let Some(live) = look.object(named)? else { return Ok(json!({ "uid": null })) };
        if let Step::Apply { manifest, .. } = step
            && !self.exists
        {
            // A new object goes as a whole; what controllers add to it is nobody's change.
            let set = fields::set_by(manifest);
            return Ok(json!({ "uid": live["metadata"]["uid"], "fields": fields_of(&live, set.iter()) }));
        }
        let fields = look.opened(&self.fields)?;
        Ok(json!({ "uid": live["metadata"]["uid"], "fields": fields_of(&live, fields.now.keys()) }))
    }
}

/// As [`Image::print`], by something that shows no secret.
pub(super) fn sealed_print(context: &ReadContext<'_>, named: &Named, print: Value) -> Result<Value, OpError> {
    if !is_confidential(named) {
        return Ok(print);
    }
    Ok(json!({ "uid": print["uid"], "mark": context.secrets.mark(context.run, &print.to_string())? }))
}

/// Does a step to a live object.
pub(super) fn send(
    context: &WriteContext<'_>,
    verb: &str,
    named: &Named,
    step: &Step,
) -> Result<Send<Changed>, OpError> {
    let (act, read) = (act_on(verb, named), &context.read);
    let image = Image::of(read.before);
    let line = context.kubernetes(&named.cluster)?;
    let look = Live { line: &line, secrets: read.secrets };
    for _ in 0..ROUNDS {
        let live = look.object(named)?;
        if let Some(done) = image.admits(&look, &act, live.as_ref(), read.key)? {
            return Ok(Send::Done(done));
        }
        match look.send(&act, named, &step.marked(live.as_ref(), read.key), false) {
            Ok(object) => return Ok(Send::Done(image.result(&object))),
            // Its status moves on while we look: nothing was done, and it is looked at anew.
            Err(complaint) if complaint.fault == Fault::Changed => {}
            Err(complaint) => return Err(complaint.into()),
        }
    }
    Err(OpError::transient(format!("{act}: others change it faster than it can be looked at")))
}

/// Implements [`crate::ops::spec::Write`] for operations that do one step to one object: what each is called, and what finds the step in
/// its arguments.
macro_rules! changes {
    ($($op:ty => $verb:literal by $step:path),+ $(,)?) => {$(
        impl $crate::ops::spec::Write for $op {
            const REPEAT: $crate::ops::spec::Repeat = $crate::ops::spec::Repeat::Probe;
            const PROBE_DOC: &'static str = "whether the object's annotation muster.dr/call is the call's key; when another call has \
                                             come since, by the fields that it changes";
            const UNDO_DOC: &'static str = "k8s.restore: the fields that it changed are what they were, unless somebody has changed them \
                                            since; k8s.delete of an object that it made";

            fn before(
                context: &$crate::ops::context::ReadContext<'_>,
                args: &Self::Args,
            ) -> Result<$crate::model::Value, $crate::model::fault::OpError> {
                let (named, step) = $step(args)?;
                let line = context.kubernetes(&named.cluster)?;
                let look = $crate::ops::k8s::look::Live::on(&line, context);
                let image = $crate::ops::k8s::change::Image::take(&look, $verb, &named, &step)?;
                Ok(serde_json::json!(image))
            }

            fn send(
                context: &$crate::ops::context::WriteContext<'_>,
                args: Self::Args,
            ) -> Result<$crate::ops::spec::Send<Self::Output>, $crate::model::fault::OpError> {
                let (named, step) = $step(&args)?;
                $crate::ops::k8s::change::send(context, $verb, &named, &step)
            }

            fn probe(
                context: &$crate::ops::context::ReadContext<'_>,
                args: &Self::Args,
            ) -> Result<$crate::ops::spec::Found<Self::Output>, $crate::model::fault::OpError> {
                let (named, _) = $step(args)?;
                let line = context.kubernetes(&named.cluster)?;
                let look = $crate::ops::k8s::look::Live::on(&line, context);
                $crate::ops::k8s::change::Image::of(context.before).became(&look, $verb, &named, context.key)
            }

            fn undo(args: &Self::Args, before: &$crate::model::Value, key: &str) -> $crate::ops::spec::Undo {
                match $step(args) {
                    Ok((named, _)) => $crate::ops::k8s::change::Image::of(before).undo(&named, key),
                    Err(_) => $crate::ops::spec::Undo::Nothing,
                }
            }

            fn fingerprint(
                context: &$crate::ops::context::ReadContext<'_>,
                args: &Self::Args,
                _: &Self::Output,
            ) -> Result<$crate::model::Value, $crate::model::fault::OpError> {
                let (named, step) = $step(args)?;
                let line = context.kubernetes(&named.cluster)?;
                let look = $crate::ops::k8s::look::Live::on(&line, context);
                let print = $crate::ops::k8s::change::Image::of(context.before).print(&look, &named, &step)?;
                $crate::ops::k8s::change::sealed_print(context, &named, print)
            }

            fn since(
                fingerprint: &$crate::model::Value,
                run: &$crate::model::RunId,
                later: &[$crate::ops::spec::Later<'_>],
            ) -> Option<$crate::model::Value> {
                $crate::ops::k8s::fields::since(fingerprint, run, later)
            }

            fn predict(
                _: &Self::Args,
                before: &$crate::model::Value,
                _: &str,
            ) -> $crate::ops::spec::Predicted {
                $crate::ops::k8s::change::Image::of(before).predicted()
            }

            fn release(_: &$crate::ops::context::WriteContext<'_>, _: &Self::Args) {}
        }
    )+};
}
pub(super) use changes;
