//! Telling a workload how many Pods to have.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Ask, MANAGER, target};
use super::fault::found;
use super::kind::Kind;
use super::look::Live;
use super::named::Named;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::model::forecast::Change;
use crate::ops::Touch;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::helm::client::Cluster;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write};

/// `k8s.scale`.
pub struct Scale;

/// What to scale.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ScaleArgs {
    /// The workload's kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its namespace.
    #[serde(default)]
    pub namespace: Option<String>,
    /// How many it is to have.
    pub replicas: u32,
    /// Only if it has so many now; otherwise nothing is done when it has those wanted, and it is refused when it has others.
    #[serde(default)]
    pub instead_of: Option<u32>,
    /// Which cluster.
    #[serde(default)]
    pub cluster: Cluster,
}

/// A workload was told how many to have; `k8s.wait` waits until it has them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Scaled {
    /// How many it is to have.
    pub replicas: u32,
    /// How many it was to have.
    pub previous: u32,
}

/// How many a workload is to have, and its UID.
pub type Standing = Option<(u32, String)>;

impl ScaleArgs {
    /// The workload.
    #[must_use]
    pub fn named(&self) -> Named {
        let (kind, namespace) = (self.kind.clone(), self.namespace.clone());
        Named { kind, namespace, name: self.name.clone(), cluster: self.cluster.clone() }
    }

    fn act(&self) -> String {
        format!("cannot scale {}", self.named().shown())
    }

    /// The image of a workload that stands like this. `doubt`: why the server has not said that it would do it.
    ///
    /// # Errors
    /// Refused, when it is not there, or somebody has scaled it.
    pub fn image(&self, standing: &Standing, doubt: &str) -> Result<Value, OpError> {
        let Some((replicas, uid)) = standing else {
            return Err(OpError::refused(format!("{}: there is no such object", self.act()))
                .with_hint("is it the right cluster and namespace?"));
        };
        if let Some(wanted) = self.instead_of
            && *replicas != wanted
            && *replicas != self.replicas
        {
            let what = format!("{}: somebody has scaled it to {replicas} since", self.act());
            return Err(OpError::refused(what).with_hint("look who uses it, and settle it by hand"));
        }
        let change = Change {
            resource: self.named().resource(),
            before: json!({ "spec.replicas": replicas }),
            after: json!({ "spec.replicas": self.replicas }),
        };
        let changes = if *replicas == self.replicas { Vec::new() } else { vec![change] };
        Ok(json!({ "replicas": replicas, "uid": uid, "doubt": doubt, "changes": changes }))
    }

    /// Whether it may be scaled as it stands now; what is told when there is nothing to do.
    ///
    /// # Errors
    /// Refused, when somebody has scaled it since it was looked at.
    pub fn admits(&self, before: &Value, standing: &Standing) -> Result<Option<Scaled>, OpError> {
        match self.became(before, standing) {
            Found::Done(scaled) => Ok(Some(scaled)),
            Found::CannotTell(why) => Err(OpError::refused(why).with_hint("look what it is, and retry")),
            _ => Ok(None),
        }
    }

    /// What became of it, when it stands like this.
    #[must_use]
    pub fn became(&self, before: &Value, standing: &Standing) -> Found<Scaled> {
        let previous = before["replicas"].as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
        let act = self.act();
        match standing {
            None => Found::CannotTell(format!("{act}: it is gone")),
            Some((_, uid)) if before["uid"].as_str() != Some(uid) => {
                Found::CannotTell(format!("{act}: it was deleted and made anew by somebody"))
            }
            Some((replicas, _)) if *replicas == self.replicas => Found::Done(Scaled { replicas: *replicas, previous }),
            Some((replicas, _)) if *replicas == previous => Found::NotDone,
            Some((replicas, _)) => Found::CannotTell(format!("{act}: somebody has scaled it to {replicas} since")),
        }
    }
}

/// How many a `Scale` says.
fn standing(scale: Option<&Value>) -> Standing {
    let scale = scale?;
    let count = scale["spec"]["replicas"].as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    Some((count, scale["metadata"]["uid"].as_str().unwrap_or_default().to_owned()))
}

struct Subresource<'l, 'c> {
    look: Live<'l, 'c>,
    act: String,
    path: String,
}

impl<'l, 'c> Subresource<'l, 'c> {
    fn of(args: &ScaleArgs, look: Live<'l, 'c>) -> Result<Self, OpError> {
        let act = args.act();
        let path = format!("{}/scale", look.path(&act, &args.named())?);
        Ok(Self { look, act, path })
    }

    fn now(&self) -> Result<Standing, OpError> {
        let scale = found(self.look.line.value(&self.act, &Ask::get(self.path.clone())))?;
        Ok(standing(scale.as_ref()))
    }

    fn patch(&self, replicas: u32, dry: bool) -> Result<Value, super::fault::Complaint> {
        let dry = if dry { "&dryRun=All" } else { "" };
        let body = json!({ "spec": { "replicas": replicas } }).to_string().into_bytes();
        self.look.line.value(
            &self.act,
            &Ask {
                method: http::Method::PATCH,
                path: format!("{}?fieldManager={MANAGER}{dry}", self.path),
                body: Some(("application/merge-patch+json", body)),
                accept: "application/json",
            },
        )
    }
}

impl Operation for Scale {
    const NAME: &'static str = "k8s.scale";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "tells a workload how many Pods to have";
    const PERMISSION: &'static str = "get and patch of the subresource scale; with dryRun=All for plans";
    const TYPICAL: Duration = Duration::from_millis(100);
    type Args = ScaleArgs;
    type Output = Scaled;

    fn resource(args: &ScaleArgs) -> String {
        args.named().resource()
    }

    fn touches(args: &ScaleArgs, _before: &Value) -> Vec<Touch> {
        vec![args.named().touched()]
    }

    fn target(context: &ReadContext<'_>, args: &ScaleArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.cluster)
    }
}

impl Write for Scale {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether it is to have as many as wanted, or still as many as before";
    const UNDO_DOC: &'static str = "k8s.scale to as many as before, unless somebody has scaled it since";

    fn before(context: &ReadContext<'_>, args: &ScaleArgs) -> Result<Value, OpError> {
        let line = context.kubernetes(&args.cluster)?;
        let workload = Subresource::of(args, Live::on(&line, context))?;
        let standing = workload.now()?;
        let image = args.image(&standing, "")?;
        match workload.patch(args.replicas, true) {
            Ok(_) => Ok(image),
            Err(complaint) if complaint.fault == super::fault::Fault::Denied => {
                args.image(&standing, "the credentials may not try it on the API server")
            }
            Err(complaint) => Err(complaint.into()),
        }
    }

    fn send(context: &WriteContext<'_>, args: ScaleArgs) -> Result<Send<Scaled>, OpError> {
        let line = context.kubernetes(&args.cluster)?;
        let workload = Subresource::of(&args, Live { line: &line, secrets: context.read.secrets })?;
        if let Some(done) = args.admits(context.read.before, &workload.now()?)? {
            return Ok(Send::Done(done));
        }
        workload.patch(args.replicas, false)?;
        let previous = context.read.before["replicas"].as_u64().and_then(|count| u32::try_from(count).ok());
        Ok(Send::Done(Scaled { replicas: args.replicas, previous: previous.unwrap_or(0) }))
    }

    fn probe(context: &ReadContext<'_>, args: &ScaleArgs) -> Result<Found<Scaled>, OpError> {
        let line = context.kubernetes(&args.cluster)?;
        let now = Subresource::of(args, Live::on(&line, context))?.now()?;
        Ok(args.became(context.before, &now))
    }

    fn undo(args: &ScaleArgs, before: &Value, _: &str) -> Undo {
        if before["replicas"] == json!(args.replicas) {
            return Undo::Nothing;
        }
        let mut back = json!({
            "kind": args.kind, "name": args.name, "replicas": before["replicas"], "instead_of": args.replicas, "cluster": args.cluster,
        });
        if let Some(namespace) = &args.namespace {
            back["namespace"] = json!(namespace);
        }
        Undo::Call { op: "k8s.scale", args: back }
    }

    fn fingerprint(context: &ReadContext<'_>, args: &ScaleArgs, _: &Scaled) -> Result<Value, OpError> {
        let line = context.kubernetes(&args.cluster)?;
        let now = Subresource::of(args, Live::on(&line, context))?.now()?;
        Ok(json!(now))
    }

    fn predict(args: &ScaleArgs, before: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({ "replicas": args.replicas, "previous": before["replicas"] }))
    }

    fn release(_: &WriteContext<'_>, _: &ScaleArgs) {}
}
