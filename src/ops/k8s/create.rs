//! Making an object that is not there.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Ask, MANAGER, target};
use super::fault::{Complaint, Fault};
use super::fields::{MADE, MARK, fields_of, mark_of, meta, set_by};
use super::look::{Live, Look, presentable};
use super::named::Named;
use crate::model::fault::{OpError, Target};
use crate::model::forecast::Change;
use crate::model::{RunId, Value};
use crate::ops::Touch;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::helm::client::Cluster;
use crate::ops::helm::learn_object;
use crate::ops::spec::{Effect, Found, Later, Operation, Predicted, Repeat, Send, Undo, Write, unknown};

/// `k8s.create`.
pub struct Create;

/// What to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateArgs {
    /// The manifest, with a name. Texts in it may be secrets.
    pub object: Value,
    /// Which cluster.
    #[serde(default)]
    pub cluster: Cluster,
}

/// An object was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Created {
    /// Its UID.
    pub uid: String,
    /// Its version.
    pub resource_version: String,
}

fn act_of(named: &Named) -> String {
    format!("cannot create {}", named.shown())
}

fn told(object: &Value) -> Created {
    Created { uid: meta(object, "uid").to_owned(), resource_version: meta(object, "resourceVersion").to_owned() }
}

fn there(act: &str) -> OpError {
    OpError::refused(format!("{act}: it is there already")).with_hint("k8s.apply changes what is there")
}

/// The manifest with the marks of a call.
#[must_use]
pub fn marked(object: &Value, key: &str) -> Value {
    let mut object = object.clone();
    super::patch::merge(&mut object, &json!({ "metadata": { "annotations": { MARK: key, MADE: key } } }));
    object
}

impl CreateArgs {
    /// The object.
    ///
    /// # Errors
    /// Refused, when the manifest does not say which it is.
    pub fn named(&self) -> Result<Named, OpError> {
        Named::of_manifest(&self.object, &self.cluster)
    }

    /// The image taken before. `doubt`: why the server has not said that it would make it.
    ///
    /// # Errors
    /// Refused, when it is there.
    pub fn image(&self, look: &dyn Look, after: &Value, doubt: &str) -> Result<Value, OpError> {
        let named = self.named()?;
        if look.object(&named)?.is_some() {
            return Err(there(&act_of(&named)));
        }
        let change = Change { resource: named.resource(), before: Value::Null, after: presentable(after) };
        Ok(json!({ "doubt": doubt, "changes": [change] }))
    }

    /// What became of it.
    ///
    /// # Errors
    /// When it cannot be asked now.
    pub fn became(&self, look: &dyn Look, key: &str) -> Result<Found<Created>, OpError> {
        let live = look.object(&self.named()?)?;
        // Another's: that is refused when it is sent.
        Ok(live.filter(|live| mark_of(live) == key).map_or(Found::NotDone, |live| Found::Done(told(&live))))
    }

    /// The fields it set, as they are now.
    ///
    /// # Errors
    /// When they cannot be asked now.
    pub fn print(&self, look: &dyn Look) -> Result<Value, OpError> {
        let Some(live) = look.object(&self.named()?)? else { return Ok(json!({ "uid": null })) };
        let set = set_by(&self.object);
        Ok(json!({ "uid": live["metadata"]["uid"], "fields": fields_of(&live, set.iter()) }))
    }

    fn post(&self, look: &Live<'_, '_>, object: &Value, dry: bool) -> Result<Value, Complaint> {
        let named = self.named()?;
        let act = act_of(&named);
        let path = look.served(&act, &named)?.path(named.namespace.as_deref(), None);
        let dry = if dry { "&dryRun=All" } else { "" };
        let body = look.secrets.resolve_in(object)?.to_string().into_bytes();
        let made = look.line.value(
            &act,
            &Ask {
                method: http::Method::POST,
                path: format!("{path}?fieldManager={MANAGER}&fieldValidation=Strict{dry}"),
                body: Some(("application/json", body)),
                accept: "application/json",
            },
        )?;
        learn_object(look.secrets, &made);
        Ok(made)
    }
}

impl Operation for Create {
    const NAME: &'static str = "k8s.create";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "makes an object; one that is there already is left as it is, and refused";
    const PERMISSION: &'static str = "get and create of the object, with dryRun=All for plans; delete for the undo";
    const TYPICAL: Duration = Duration::from_millis(100);
    type Args = CreateArgs;
    type Output = Created;

    fn resource(args: &CreateArgs) -> String {
        args.named().map(|named| named.resource()).unwrap_or_default()
    }

    fn touches(args: &CreateArgs, _before: &Value) -> Vec<Touch> {
        args.named().map(|named| vec![Touch { makes: true, ..named.touched() }]).unwrap_or_default()
    }

    fn target(context: &ReadContext<'_>, args: &CreateArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.cluster)
    }
}

/// The undo of a call that made this object.
#[must_use]
pub(super) fn undone(named: &Named, key: &str) -> Undo {
    let mut args = json!({ "kind": named.kind, "name": named.name, "made_by": key, "cluster": named.cluster });
    if let Some(namespace) = &named.namespace {
        args["namespace"] = json!(namespace);
    }
    Undo::Call { op: "k8s.delete", args }
}

impl Write for Create {
    const REPEAT: Repeat = Repeat::Keyed;
    const PROBE_DOC: &'static str = "whether the object is there with the call's key in its annotation muster.dr/call";
    const UNDO_DOC: &'static str = "k8s.delete, if it is still the object that was made";

    fn before(context: &ReadContext<'_>, args: &CreateArgs) -> Result<Value, OpError> {
        let line = context.kubernetes(&args.cluster)?;
        let look = Live::on(&line, context);
        match args.post(&look, &args.object, true) {
            Ok(after) => args.image(&look, &after, ""),
            Err(complaint) if complaint.fault == Fault::Exists => Err(there(&act_of(&args.named()?))),
            Err(complaint) if complaint.fault == Fault::Denied => {
                args.image(&look, &args.object, "the credentials may not try it on the API server")
            }
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn send(context: &WriteContext<'_>, args: CreateArgs) -> Result<Send<Created>, OpError> {
        let line = context.kubernetes(&args.cluster)?;
        let look = Live { line: &line, secrets: context.read.secrets };
        match args.post(&look, &marked(&args.object, context.read.key), false) {
            Ok(made) => Ok(Send::Done(told(&made))),
            Err(complaint) if complaint.fault == Fault::Exists => match args.became(&look, context.read.key)? {
                // An earlier try of this call.
                Found::Done(created) => Ok(Send::Done(created)),
                _ => Err(there(&act_of(&args.named()?))),
            },
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn probe(context: &ReadContext<'_>, args: &CreateArgs) -> Result<Found<Created>, OpError> {
        let line = context.kubernetes(&args.cluster)?;
        args.became(&Live::on(&line, context), context.key)
    }

    fn undo(args: &CreateArgs, _: &Value, key: &str) -> Undo {
        args.named().map_or(Undo::Nothing, |named| undone(&named, key))
    }

    fn fingerprint(context: &ReadContext<'_>, args: &CreateArgs, _: &Created) -> Result<Value, OpError> {
        let line = context.kubernetes(&args.cluster)?;
        let print = args.print(&Live::on(&line, context))?;
        super::change::sealed_print(context, &args.named()?, print)
    }

    fn since(fingerprint: &Value, run: &RunId, later: &[Later<'_>]) -> Option<Value> {
        super::fields::since(fingerprint, run, later)
    }

    fn predict(_: &CreateArgs, _: &Value, _: &str) -> Predicted {
        let given = unknown("the API server gives it");
        Predicted::Result(json!({ "uid": given, "resource_version": given }))
    }

    fn release(_: &WriteContext<'_>, _: &CreateArgs) {}
}
