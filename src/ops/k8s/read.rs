//! Reading objects, one or many, and asking what one may do.

use std::time::Duration;

use base64::Engine as _;
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Ask, Clusters, target};
use super::fault::{Fault, found};
use super::fields::meta;
use super::kind::Kind;
use super::look::{Live, Look};
use super::named::{Named, cluster_part};
use crate::clock::SystemClock;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::context::ReadContext;
use crate::ops::helm::client::Cluster;
use crate::ops::secrets::handle_in_kubernetes;
use crate::ops::spec::{Effect, Operation, Read};

/// `k8s.get`.
pub struct Get;

/// `k8s.list`.
pub struct List;

/// `k8s.can_i`.
pub struct CanI;

/// How many objects a page of a list has.
const PAGE: usize = 500;
/// More objects than these are no list that a playbook looks through.
const MOST: usize = 20_000;

/// Which object.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GetArgs {
    /// The object's kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its namespace; absent for what is in none.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Which cluster.
    #[serde(default)]
    pub cluster: Cluster,
}

/// An object.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Got {
    /// Whether there is one.
    pub exists: bool,
    /// Its UID; empty when there is none.
    pub uid: String,
    /// Its version; empty when there is none.
    pub resource_version: String,
    /// The object as the server has it, without `managedFields`; empty when there is none. What a Secret holds is there as secrets,
    /// without its encoding.
    pub object: Value,
}

/// Which objects.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListArgs {
    /// The objects' kind.
    pub kind: Kind,
    /// Their namespace; all when absent.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Only those with these labels: `app=web,tier in (a, b)`.
    #[serde(default)]
    pub labels: Option<String>,
    /// Only those with these fields: `metadata.name=web`, `status.phase=Running`.
    #[serde(default)]
    pub fields: Option<String>,
    /// Which cluster.
    #[serde(default)]
    pub cluster: Cluster,
}

/// Objects.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Listed {
    /// The objects as `k8s.get` has them, by namespace and name.
    pub objects: Vec<Value>,
}

/// What one may or may not do.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CanIArgs {
    /// `get`, `list`, `watch`, `create`, `patch`, `delete`, …
    pub verb: String,
    /// The kind of what it would be done to.
    pub kind: Kind,
    /// The subresource, if it is that: `scale`, `exec`, `log`.
    #[serde(default)]
    pub subresource: Option<String>,
    /// The name of one object; any when absent.
    #[serde(default)]
    pub name: Option<String>,
    /// The namespace; all, or none, when absent.
    #[serde(default)]
    pub namespace: Option<String>,
    /// Which cluster.
    #[serde(default)]
    pub cluster: Cluster,
}

/// Whether one may.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Allowed {
    /// Whether one may.
    pub allowed: bool,
    /// What the server says to it; empty when it gives no reason.
    pub reason: String,
}

impl GetArgs {
    /// The object.
    #[must_use]
    pub fn named(&self) -> Named {
        let (kind, namespace) = (self.kind.clone(), self.namespace.clone());
        Named { kind, namespace, name: self.name.clone(), cluster: self.cluster.clone() }
    }
}

/// An object as scripts see it: what a Secret holds as handles.
#[must_use]
pub fn given(mut object: Value, cluster: &Cluster) -> Value {
    if let Some(metadata) = object.get_mut("metadata").and_then(Value::as_object_mut) {
        metadata.remove("managedFields");
        if let Some(annotations) = metadata.get_mut("annotations").and_then(Value::as_object_mut) {
            // Of a Secret it holds the contents.
            annotations.remove("kubectl.kubernetes.io/last-applied-configuration");
        }
    }
    if object["kind"] == "Secret" {
        let (namespace, name) = (meta(&object, "namespace").to_owned(), meta(&object, "name").to_owned());
        for (key, value) in object.get_mut("data").and_then(Value::as_object_mut).into_iter().flatten() {
            *value = handle_in_kubernetes(&namespace, &name, key, cluster);
        }
    }
    object
}

/// What is told of an object.
#[must_use]
pub fn got(object: Option<Value>, cluster: &Cluster) -> Got {
    let Some(object) = object else {
        return Got { exists: false, uid: String::new(), resource_version: String::new(), object: json!({}) };
    };
    let (uid, resource_version) = (meta(&object, "uid").to_owned(), meta(&object, "resourceVersion").to_owned());
    Got { exists: true, uid, resource_version, object: given(object, cluster) }
}

/// What stands under a key of a Secret; `None` when it is not there.
///
/// # Errors
/// When it cannot be asked now, or is no text.
pub fn secret_contents(
    clusters: &Clusters,
    cluster: &Cluster,
    namespace: &str,
    name: &str,
    key: &str,
) -> Result<Option<String>, OpError> {
    let act = format!("cannot read Secret {namespace}/{name}");
    let kind = Kind::parse("secret").map_err(OpError::refused)?;
    let named = Named { kind, namespace: Some(namespace.to_owned()), name: name.to_owned(), cluster: cluster.clone() };
    named.check()?;
    let line = clusters.reading(cluster, None, &SystemClock)?;
    let object = found(line.value(&act, &Ask::get(format!("/api/v1/namespaces/{namespace}/secrets/{name}"))))?;
    let Some(held) = object.as_ref().and_then(|object| object["data"][key].as_str()) else { return Ok(None) };
    let bytes = base64::engine::general_purpose::STANDARD.decode(held).unwrap_or_default();
    String::from_utf8(bytes).map(Some).map_err(|_| OpError::refused(format!("{act}: {key} is no text")))
}

impl Operation for Get {
    const NAME: &'static str = "k8s.get";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "reads an object of any kind; that there is none is an answer";
    const PERMISSION: &'static str = "get of the object";
    type Args = GetArgs;
    type Output = Got;

    fn resource(args: &GetArgs) -> String {
        args.named().resource()
    }

    fn target(context: &ReadContext<'_>, args: &GetArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.cluster)
    }
}

impl Read for Get {
    fn read(context: &ReadContext<'_>, args: GetArgs) -> Result<Got, OpError> {
        let line = context.kubernetes(&args.cluster)?;
        Ok(got(Live::on(&line, context).object(&args.named())?, &args.cluster))
    }
}

impl ListArgs {
    /// What it looks at: `k8s/prod/shop`.
    #[must_use]
    pub fn resource(&self) -> String {
        let cluster = cluster_part(&self.cluster);
        self.namespace
            .as_ref()
            .map_or_else(|| format!("k8s/{cluster}"), |namespace| format!("k8s/{cluster}/{namespace}"))
    }
}

impl Operation for List {
    const NAME: &'static str = "k8s.list";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str =
        "lists objects of a kind, by labels and fields; none is an answer, so ask for what has to be there too";
    const PERMISSION: &'static str = "list of the kind, in the namespace or in all";
    const TYPICAL: Duration = Duration::from_millis(100);
    type Args = ListArgs;
    type Output = Listed;

    fn resource(args: &ListArgs) -> String {
        args.resource()
    }

    fn target(context: &ReadContext<'_>, args: &ListArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.cluster)
    }
}

/// In the order in which they are told.
pub fn sort(objects: &mut [Value]) {
    objects.sort_by(|a, b| (meta(a, "namespace"), meta(a, "name")).cmp(&(meta(b, "namespace"), meta(b, "name"))));
}

impl Read for List {
    fn read(context: &ReadContext<'_>, args: ListArgs) -> Result<Listed, OpError> {
        let act = format!("cannot list {}", args.kind);
        let line = context.kubernetes(&args.cluster)?;
        let look = Live::on(&line, context);
        let served = line.served(&act, &args.kind)?;
        if !served.namespaced && args.namespace.is_some() {
            return Err(OpError::refused(format!("{act}: objects of this kind are in no namespace")));
        }
        let encoded = |text: &str| utf8_percent_encode(text, NON_ALPHANUMERIC).to_string();
        let mut query = format!("limit={PAGE}");
        for (name, selector) in [("labelSelector", &args.labels), ("fieldSelector", &args.fields)] {
            if let Some(selector) = selector {
                query.push_str(&format!("&{name}={}", encoded(selector)));
            }
        }
        let path = served.path(args.namespace.as_deref(), None);
        let (mut objects, mut from) = (Vec::new(), String::new());
        loop {
            let more = if from.is_empty() { String::new() } else { format!("&continue={}", encoded(&from)) };
            let page = match line.value(&act, &Ask::get(format!("{path}?{query}{more}"))) {
                Ok(page) => page,
                // The list has grown old while it was read: it is read anew.
                Err(complaint) if complaint.fault == Fault::Expired && !from.is_empty() => {
                    objects.clear();
                    from.clear();
                    continue;
                }
                Err(complaint) => return Err(complaint.into()),
            };
            for mut object in page["items"].as_array().cloned().unwrap_or_default() {
                // Items of a list do not say what they are.
                object["kind"] = json!(served.kind);
                object["apiVersion"] = json!(served.api_version());
                crate::ops::helm::learn_object(look.secrets, &object);
                objects.push(given(object, &args.cluster));
            }
            if objects.len() > MOST {
                return Err(OpError::refused(format!("{act}: there are more than {MOST}"))
                    .with_hint("give a namespace or labels"));
            }
            match page["metadata"]["continue"].as_str() {
                Some(next) if !next.is_empty() => from = next.to_owned(),
                _ => break,
            }
        }
        sort(&mut objects);
        Ok(Listed { objects })
    }
}

impl Operation for CanI {
    const NAME: &'static str = "k8s.can_i";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "asks the API server whether the credentials may do something, without doing it";
    const PERMISSION: &'static str = "create of selfsubjectaccessreviews, which everybody has";
    type Args = CanIArgs;
    type Output = Allowed;

    fn resource(args: &CanIArgs) -> String {
        format!("k8s/{}/-/selfsubjectaccessreview/{}", cluster_part(&args.cluster), args.kind.plain())
    }

    fn target(context: &ReadContext<'_>, args: &CanIArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.cluster)
    }
}

impl Read for CanI {
    fn read(context: &ReadContext<'_>, args: CanIArgs) -> Result<Allowed, OpError> {
        let act = format!("cannot ask whether {} of {} is allowed", args.verb, args.kind);
        let line = context.kubernetes(&args.cluster)?;
        let served = line.served(&act, &args.kind)?;
        let mut asked = json!({ "verb": args.verb, "group": served.group, "resource": served.plural });
        for (name, value) in [("subresource", &args.subresource), ("name", &args.name), ("namespace", &args.namespace)]
        {
            if let Some(value) = value {
                asked[name] = json!(value);
            }
        }
        let review = json!({
            "apiVersion": "authorization.k8s.io/v1", "kind": "SelfSubjectAccessReview", "spec": { "resourceAttributes": asked },
        });
        let answer = line.value(
            &act,
            &Ask {
                method: http::Method::POST,
                path: "/apis/authorization.k8s.io/v1/selfsubjectaccessreviews".to_owned(),
                body: Some(("application/json", review.to_string().into_bytes())),
                accept: "application/json",
            },
        )?;
        let status = &answer["status"];
        let reason = status["reason"].as_str().unwrap_or_default().to_owned();
        Ok(Allowed { allowed: status["allowed"] == json!(true), reason })
    }
}
