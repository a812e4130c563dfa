//! Deleting an object, followed until it is gone.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Ask, target};
use super::fault::Fault;
use super::fields::{maker_of, mark_of, meta, wanted};
use super::kind::Kind;
use super::look::{Live, Look, presentable};
use super::named::Named;
use crate::model::fault::{OpError, Target};
use crate::model::forecast::Change;
use crate::model::{RunId, Value};
use crate::ops::Touch;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::helm::client::Cluster;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write};

/// `k8s.delete`.
pub struct Delete;

/// What becomes of what an object owns.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(rename_all = "snake_case")]
pub enum Propagation {
    /// It goes after the object.
    #[default]
    Background,
    /// It goes before the object.
    Foreground,
    /// It stays.
    Orphan,
}

/// What to delete.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DeleteArgs {
    /// The object's kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its namespace; absent for what is in none.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Only the object of this UID.
    #[serde(default)]
    pub uid: Option<String>,
    /// Only while it is of this version.
    #[serde(default)]
    pub resource_version: Option<String>,
    /// What becomes of what it owns.
    #[serde(default)]
    pub propagation: Propagation,
    /// Only if the call with this key made it: nothing is done when it did not, and it is refused when another run has changed it
    /// since.
    #[serde(default)]
    pub made_by: Option<String>,
    /// Which cluster.
    #[serde(default)]
    pub cluster: Cluster,
}

/// Whether it was there.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Deleted {
    /// Whether it was there.
    pub deleted: bool,
}

/// Kinds whose objects are nothing but what their manifest says: made again from that, they are as before.
const MADE_AGAIN: [&str; 12] = [
    "configmap",
    "role",
    "rolebinding",
    "clusterrole",
    "clusterrolebinding",
    "networkpolicy",
    "ingress",
    "cronjob",
    "deployment",
    "poddisruptionbudget",
    "horizontalpodautoscaler",
    "priorityclass",
];

const WHY: &str = "what it held or owned is gone with it; making it again makes another one";

impl DeleteArgs {
    /// The object.
    #[must_use]
    pub fn named(&self) -> Named {
        let (kind, namespace) = (self.kind.clone(), self.namespace.clone());
        Named { kind, namespace, name: self.name.clone(), cluster: self.cluster.clone() }
    }

    fn act(&self) -> String {
        format!("cannot delete {}", self.named().shown())
    }

    /// Refuses what another run has changed since the call that made it.
    fn untouched(&self, live: &Value, run: &RunId) -> Result<(), OpError> {
        let mark = mark_of(live);
        if mark.is_empty() || run.has_key(mark) || self.made_by.as_ref().is_none_or(|key| mark == key) {
            return Ok(());
        }
        Err(OpError::refused(format!("{}: another run has changed it since it was made", self.act()))
            .with_hint("look who uses it, and settle it by hand"))
    }

    /// The image taken before. `run`: whose call it is. `doubt`: why the server has not said that it would delete it.
    ///
    /// # Errors
    /// Refused, when it is another object than is meant.
    pub fn image(&self, live: Option<&Value>, run: &RunId, doubt: &str) -> Result<Value, OpError> {
        let named = self.named();
        let Some(live) = live else { return Ok(json!({ "uid": "", "doubt": "", "changes": [] })) };
        if self.made_by.as_ref().is_some_and(|key| maker_of(live) != key) {
            return Ok(json!({ "uid": "", "doubt": "", "changes": [] }));
        }
        self.untouched(live, run)?;
        for (wanted, name) in [(&self.uid, "uid"), (&self.resource_version, "resourceVersion")] {
            if let Some(wanted) = wanted
                && wanted != meta(live, name)
            {
                let what =
                    format!("{}: it is not the object that is meant: its {name} is {}", self.act(), meta(live, name));
                return Err(OpError::refused(what).with_hint("look what it is, and retry"));
            }
        }
        let again = MADE_AGAIN.contains(&named.kind.plain().as_str());
        let object = if again { wanted(live) } else { Value::Null };
        let change = Change { resource: named.resource(), before: presentable(live), after: Value::Null };
        Ok(json!({ "uid": meta(live, "uid"), "object": object, "doubt": doubt, "changes": [change] }))
    }

    /// What became of it.
    ///
    /// # Errors
    /// When it cannot be asked now.
    pub fn became(&self, look: &dyn Look, before: &Value) -> Result<Found<Deleted>, OpError> {
        let uid = before["uid"].as_str().unwrap_or_default();
        if uid.is_empty() {
            return Ok(Found::Done(Deleted { deleted: false }));
        }
        // Another object of that name is not the one that was deleted.
        let Some(live) = look.object(&self.named())?.filter(|live| meta(live, "uid") == uid) else {
            return Ok(Found::Done(Deleted { deleted: true }));
        };
        if meta(&live, "deletionTimestamp").is_empty() {
            return Ok(Found::NotDone);
        }
        let held: Vec<&str> =
            live["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
        Ok(Found::Running((!held.is_empty()).then(|| format!("held back by {}", held.join(", ")))))
    }

    fn request(&self, look: &Live<'_, '_>, uid: &str, dry: bool) -> Result<Ask<'static>, OpError> {
        let path = look.path(&self.act(), &self.named())?;
        let policy = match self.propagation {
            Propagation::Background => "Background",
            Propagation::Foreground => "Foreground",
            Propagation::Orphan => "Orphan",
        };
        let mut preconditions = json!({ "uid": uid });
        if let Some(version) = &self.resource_version {
            preconditions["resourceVersion"] = json!(version);
        }
        let mut options = json!({
            "kind": "DeleteOptions", "apiVersion": "v1", "propagationPolicy": policy, "preconditions": preconditions,
        });
        if dry {
            // Not in the query, which the server does not read when there are options in the body.
            options["dryRun"] = json!(["All"]);
        }
        Ok(Ask {
            method: http::Method::DELETE,
            path,
            body: Some(("application/json", options.to_string().into_bytes())),
            accept: "application/json",
        })
    }
}

impl Operation for Delete {
    const NAME: &'static str = "k8s.delete";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "deletes an object and follows it until it is gone, with all that holds it back";
    const PERMISSION: &'static str = "get and delete of the object, with dryRun=All for plans; create for the undo of what can be made \
                                      again";
    const TYPICAL: Duration = Duration::from_secs(5);
    type Args = DeleteArgs;
    type Output = Deleted;

    fn resource(args: &DeleteArgs) -> String {
        args.named().resource()
    }

    fn touches(args: &DeleteArgs, _before: &Value) -> Vec<Touch> {
        vec![args.named().touched()]
    }

    fn target(context: &ReadContext<'_>, args: &DeleteArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.cluster)
    }
}

impl Write for Delete {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether the object of that UID is there, and being deleted";
    const UNDO_DOC: &'static str = "k8s.create of objects that are nothing but their manifest (ConfigMaps, roles and bindings, Deployments, \
                                    CronJobs, …); impossible for all that hold or own something";

    fn before(context: &ReadContext<'_>, args: &DeleteArgs) -> Result<Value, OpError> {
        let line = context.kubernetes(&args.cluster)?;
        let look = Live::on(&line, context);
        let live = look.object(&args.named())?;
        let image = args.image(live.as_ref(), context.run, "")?;
        let uid = image["uid"].as_str().unwrap_or_default();
        if uid.is_empty() {
            return Ok(image);
        }
        match look.line.value(&args.act(), &args.request(&look, uid, true)?) {
            Ok(_) => Ok(image),
            Err(complaint) if complaint.fault == Fault::Denied => {
                args.image(live.as_ref(), context.run, "the credentials may not try it on the API server")
            }
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn send(context: &WriteContext<'_>, args: DeleteArgs) -> Result<Send<Deleted>, OpError> {
        let uid = context.read.before["uid"].as_str().unwrap_or_default();
        if uid.is_empty() {
            return Ok(Send::Done(Deleted { deleted: false }));
        }
        let line = context.kubernetes(&args.cluster)?;
        let look = Live { line: &line, secrets: context.read.secrets };
        if let Some(key) = &args.made_by
            && let Some(live) = look.object(&args.named())?.filter(|live| maker_of(live) == key)
        {
            args.untouched(&live, context.read.run)?;
        }
        match look.line.value(&args.act(), &args.request(&look, uid, false)?) {
            Ok(_) => Ok(Send::Running),
            // Gone, or another object under its name: the one that was meant is deleted.
            Err(complaint) if complaint.fault == Fault::NotFound => Ok(Send::Running),
            Err(complaint) if complaint.fault == Fault::Changed => match args.became(&look, context.read.before)? {
                Found::Done(deleted) => Ok(Send::Done(deleted)),
                _ => Err(complaint.into()),
            },
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn probe(context: &ReadContext<'_>, args: &DeleteArgs) -> Result<Found<Deleted>, OpError> {
        let line = context.kubernetes(&args.cluster)?;
        args.became(&Live::on(&line, context), context.before)
    }

    fn undo(args: &DeleteArgs, before: &Value, _: &str) -> Undo {
        if before["uid"].as_str().unwrap_or_default().is_empty() {
            return Undo::Nothing;
        }
        if !before["object"].is_object() {
            return Undo::Impossible(WHY);
        }
        Undo::Call { op: "k8s.create", args: json!({ "object": before["object"], "cluster": args.cluster }) }
    }

    fn fingerprint(context: &ReadContext<'_>, args: &DeleteArgs, _: &Deleted) -> Result<Value, OpError> {
        let line = context.kubernetes(&args.cluster)?;
        let live = Live::on(&line, context).object(&args.named())?;
        Ok(json!({ "uid": live.map(|live| live["metadata"]["uid"].clone()) }))
    }

    fn predict(_: &DeleteArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "deleted": !before["uid"].as_str().unwrap_or_default().is_empty() }))
    }

    fn release(_: &WriteContext<'_>, _: &DeleteArgs) {}
}
