//! Looking at an object, and trying what would become of it. What operations decide is written once, over this: the live backend
//! asks the API server, the sandbox its world.

use serde_json::json;

use super::client::{Ask, Line, MANAGER};
use super::fault::{Complaint, Fault, found};
use super::fields::{self, Differences, MADE, MARK};
use super::kind::Served;
use super::named::Named;
use super::patch;
use crate::model::Value;
use crate::model::fault::{ErrorClass, OpError};
use crate::ops::context::ReadContext;
use crate::ops::helm::{learn_object, shown_object};
use crate::ops::secrets::Secrets;

/// What is done to an object. Secrets in it are handles.
#[derive(Clone, Debug, PartialEq)]
pub enum Step {
    /// Server-side apply of a manifest; `force` takes fields over from other owners.
    Apply { manifest: Value, force: bool },
    /// A JSON merge patch.
    Merge(Value),
    /// A strategic merge patch.
    Strategic(Value),
    /// A JSON patch.
    Json(Value),
}

/// What an object would be.
#[derive(Clone, Debug, PartialEq)]
pub struct Tried {
    /// The object afterwards.
    pub after: Value,
    /// Why that is not sure; empty when the API server has said so itself.
    pub doubt: String,
}

/// What can be asked about an object.
pub trait Look {
    /// The object.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn object(&self, named: &Named) -> Result<Option<Value>, OpError>;

    /// What a step would make of it, without doing it.
    ///
    /// # Errors
    /// Refused, when the step would be.
    fn tried(&self, act: &str, named: &Named, step: &Step, live: Option<&Value>) -> Result<Tried, OpError>;

    /// The differences as they may be written down.
    ///
    /// # Errors
    /// When they cannot be sealed.
    fn kept(&self, confidential: bool, differences: &Differences) -> Result<Value, OpError>;

    /// The differences that were written down.
    ///
    /// # Errors
    /// When they cannot be read.
    fn opened(&self, kept: &Value) -> Result<Differences, OpError>;
}

impl Step {
    /// What the step makes of an object, as far as that can be told here.
    ///
    /// # Errors
    /// What does not fit.
    pub fn done_to(&self, live: Option<&Value>) -> Result<Value, String> {
        let mut after = live.cloned().unwrap_or_else(|| json!({}));
        match self {
            Self::Apply { manifest, .. } => patch::applied(&mut after, manifest),
            Self::Merge(change) => patch::merge(&mut after, change),
            Self::Strategic(change) => patch::strategic(&mut after, change),
            Self::Json(change) => patch::operations(&mut after, change)?,
        }
        Ok(after)
    }

    /// The step with the object's mark set, and only if the object is still of this version.
    #[must_use]
    pub fn marked(&self, live: Option<&Value>, key: &str) -> Self {
        let mut extra = json!({ "metadata": { "annotations": { MARK: key } } });
        // What an apply does not set any more is taken away: it goes on saying who made the object.
        let maker = live.map_or(key, fields::maker_of);
        if matches!(self, Self::Apply { .. }) && !maker.is_empty() {
            extra["metadata"]["annotations"][MADE] = json!(maker);
        }
        if let Some(live) = live {
            extra["metadata"]["resourceVersion"] = live["metadata"]["resourceVersion"].clone();
        }
        let with = |change: &Value| {
            let mut change = change.clone();
            patch::merge(&mut change, &extra);
            change
        };
        match self {
            Self::Apply { manifest, force } => Self::Apply { manifest: with(manifest), force: *force },
            Self::Merge(change) => Self::Merge(with(change)),
            Self::Strategic(change) => Self::Strategic(with(change)),
            Self::Json(change) => {
                let mut list = change.as_array().cloned().unwrap_or_default();
                let after = self.done_to(live).unwrap_or_default();
                if !after["metadata"]["annotations"].is_object() {
                    list.push(json!({ "op": "add", "path": "/metadata/annotations", "value": {} }));
                }
                let mark = format!("/metadata/annotations/{}", MARK.replace('/', "~1"));
                list.push(json!({ "op": "add", "path": mark, "value": key }));
                list.push(json!({ "op": "add", "path": "/metadata/resourceVersion", "value": extra["metadata"]["resourceVersion"] }));
                Self::Json(Value::Array(list))
            }
        }
    }

    fn request<'a>(&self, path: &str, dry: bool, secrets: &Secrets) -> Result<Ask<'a>, OpError> {
        let (kind, body, force) = match self {
            Self::Apply { manifest, force } => ("application/apply-patch+yaml", manifest, Some(*force)),
            Self::Merge(change) => ("application/merge-patch+json", change, None),
            Self::Strategic(change) => ("application/strategic-merge-patch+json", change, None),
            Self::Json(change) => ("application/json-patch+json", change, None),
        };
        let body = secrets.resolve_in(body)?.to_string().into_bytes();
        let force = force.map_or(String::new(), |force| format!("&force={force}"));
        let dry = if dry { "&dryRun=All" } else { "" };
        Ok(Ask {
            method: http::Method::PATCH,
            path: format!("{path}?fieldManager={MANAGER}&fieldValidation=Strict{force}{dry}"),
            body: Some((kind, body)),
            accept: "application/json",
        })
    }
}

/// A look at a live cluster.
pub(super) struct Live<'l, 'c> {
    pub line: &'l Line<'c>,
    pub secrets: &'l Secrets,
}

/// Whether an object holds secrets.
#[must_use]
pub fn is_confidential(named: &Named) -> bool {
    named.kind.plain() == "secret"
}

impl<'l, 'c> Live<'l, 'c> {
    pub(super) fn on(line: &'l Line<'c>, context: &ReadContext<'l>) -> Self {
        Self { line, secrets: context.secrets }
    }

    /// What the server calls the kind of an object, which has to be in a namespace or in none as the kind wants it.
    pub(super) fn served(&self, act: &str, named: &Named) -> Result<Served, OpError> {
        named.check()?;
        let served = self.line.served(act, &named.kind)?;
        placed(act, served.namespaced, named.namespace.as_deref())?;
        Ok(served)
    }

    pub(super) fn path(&self, act: &str, named: &Named) -> Result<String, OpError> {
        Ok(self.served(act, named)?.path(named.namespace.as_deref(), Some(&named.name)))
    }

    /// Does a step, or only tries it.
    pub(super) fn send(&self, act: &str, named: &Named, step: &Step, dry: bool) -> Result<Value, Complaint> {
        let ask = step.request(&self.path(act, named)?, dry, self.secrets)?;
        let object = match (self.line.value(act, &ask), step) {
            // To the server, one who applies is another owner than one who patches, though both are this program.
            (Err(complaint), Step::Apply { manifest, force: false }) if complaint.own => {
                let forced = Step::Apply { manifest: manifest.clone(), force: true };
                return self.send(act, named, &forced, dry);
            }
            (answer, _) => answer?,
        };
        learn_object(self.secrets, &object);
        Ok(object)
    }
}

/// Refuses an object in a namespace whose kind is in none, and the other way round.
///
/// # Errors
/// Refused.
pub fn placed(act: &str, namespaced: bool, namespace: Option<&str>) -> Result<(), OpError> {
    match (namespaced, namespace) {
        (true, None) => Err(OpError::refused(format!("{act}: objects of this kind are in a namespace"))
            .with_hint("give the namespace; that of the context is not taken")),
        (false, Some(_)) => Err(OpError::refused(format!("{act}: objects of this kind are in no namespace"))),
        _ => Ok(()),
    }
}

impl Look for Live<'_, '_> {
    fn object(&self, named: &Named) -> Result<Option<Value>, OpError> {
        let act = format!("cannot get {}", named.shown());
        let object = found(self.line.value(&act, &Ask::get(self.path(&act, named)?)))?;
        if let Some(object) = &object {
            learn_object(self.secrets, object);
        }
        Ok(object)
    }

    fn tried(&self, act: &str, named: &Named, step: &Step, live: Option<&Value>) -> Result<Tried, OpError> {
        let complaint = match self.send(act, named, step, true) {
            Ok(after) => return Ok(Tried { after, doubt: String::new() }),
            Err(complaint) => complaint,
        };
        let said = complaint.error.message.clone();
        let doubt = match complaint.fault {
            Fault::Denied => "the credentials may not try it on the API server".to_owned(),
            Fault::Refused if said.contains("dry run") || said.contains("dryRun") => {
                "an admission webhook does not take part in a dry run".to_owned()
            }
            _ => return Err(complaint.into()),
        };
        let resolved = match step {
            Step::Apply { manifest, force } => {
                Step::Apply { manifest: self.secrets.resolve_in(manifest)?, force: *force }
            }
            Step::Merge(change) => Step::Merge(self.secrets.resolve_in(change)?),
            Step::Strategic(change) => Step::Strategic(self.secrets.resolve_in(change)?),
            Step::Json(change) => Step::Json(self.secrets.resolve_in(change)?),
        };
        let after = resolved.done_to(live).map_err(|what| OpError::refused(format!("{act}: {what}")))?;
        Ok(Tried { after, doubt })
    }

    fn kept(&self, confidential: bool, differences: &Differences) -> Result<Value, OpError> {
        if confidential { self.secrets.seal(&json!(differences).to_string()) } else { Ok(json!(differences)) }
    }

    fn opened(&self, kept: &Value) -> Result<Differences, OpError> {
        opened(&if crate::model::secret::is_handle(kept) {
            serde_json::from_str(&self.secrets.resolve(kept)?).unwrap_or_default()
        } else {
            kept.clone()
        })
    }
}

/// Differences that were written down plainly.
///
/// # Errors
/// Refused, when they are none.
pub fn opened(kept: &Value) -> Result<Differences, OpError> {
    use serde::Deserialize as _;
    Differences::deserialize(kept)
        .map_err(|e| OpError::refused(format!("the recorded fields of an object cannot be read: {e}")))
}

/// The object as it may be shown.
#[must_use]
pub fn presentable(object: &Value) -> Value {
    shown_object(&fields::wanted(object))
}

/// Whether an error is one of a moment, in which a wait goes on.
#[must_use]
pub fn passes(error: &OpError) -> bool {
    error.class == ErrorClass::Transient
}
