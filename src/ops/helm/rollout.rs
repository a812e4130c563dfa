//! Waiting until the workloads of a release are rolled out, as their controllers say.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::run;
use super::objects::{WORKLOADS, name, rolled_out};
use super::read::{ReleaseArgs, latest};
use super::revisions::contents;
use crate::model::Value;
use crate::model::fault::{ErrorClass, OpError, Target};
use crate::ops::context::ReadContext;
use crate::ops::process::ReadCommand;
use crate::ops::spec::{Effect, Operation, Poll, Wait};

/// `helm.wait_rolled_out`.
pub struct WaitRolledOut;

/// What was rolled out.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct RolledOut {
    /// The revision of the release.
    pub revision: u32,
    /// Its workloads, as `KIND/NAMESPACE/NAME`. None: then nothing is proved.
    pub workloads: Vec<String>,
}

impl Operation for WaitRolledOut {
    const NAME: &'static str = "helm.wait_rolled_out";
    const EFFECT: Effect = Effect::Wait;
    const DOC: &'static str = "waits until all Deployments, StatefulSets, DaemonSets and Jobs of a release are rolled out; one that cannot be any more is an error";
    const PERMISSION: &'static str = "helm and kubectl; get and list of secrets and of the chart's workloads";
    const TYPICAL: Duration = Duration::from_secs(60);
    type Args = ReleaseArgs;
    type Output = RolledOut;

    fn resource(args: &ReleaseArgs) -> String {
        args.release.resource(&args.cluster)
    }

    fn target(context: &ReadContext<'_>, args: &ReleaseArgs) -> Result<Option<Target>, OpError> {
        args.cluster.target(context).map(Some)
    }
}

impl Wait for WaitRolledOut {
    fn poll(context: &ReadContext<'_>, args: ReleaseArgs) -> Result<Poll<RolledOut>, OpError> {
        let act = format!("cannot wait for the rollout of release {}", args.release);
        match look(context, &act, &args) {
            // A wait outlives an API server that is away for a while.
            Err(error) if error.class == ErrorClass::Transient => {
                Ok(Poll::Pending(Some(error.message), Duration::from_secs(5)))
            }
            other => other,
        }
    }
}

fn look(context: &ReadContext<'_>, act: &str, args: &ReleaseArgs) -> Result<Poll<RolledOut>, OpError> {
    let latest = latest(context, act, args)?;
    let again = Duration::from_secs(2);
    if latest.is_pending() {
        return Ok(Poll::Pending(Some(format!("revision {} is {}", latest.number, latest.status)), again));
    }
    let namespace = &args.release.namespace;
    let documents = contents(context, &args.cluster, &args.release, latest.number)?.documents;
    let workloads: Vec<&Value> =
        documents.iter().filter(|object| WORKLOADS.iter().any(|kind| object["kind"] == json!(kind))).collect();
    let mut open = Vec::new();
    if !workloads.is_empty() {
        let bare: Vec<String> = workloads
            .iter()
            .map(|object| json!({ "apiVersion": object["apiVersion"], "kind": object["kind"], "metadata": {
                "name": object["metadata"]["name"], "namespace": object["metadata"]["namespace"].as_str().unwrap_or(namespace),
            } }))
            .map(|object| object.to_string())
            .collect();
        let words = ["get", "--ignore-not-found", "-o", "json", "-f", "-"];
        // Without a namespace of its own: the objects have theirs.
        let command =
            ReadCommand { stdin: Some(bare.join("\n---\n").into_bytes()), ..args.cluster.kubectl("", &words)? };
        let printed = run(context, act, command)?.stdout;
        let found: Value = serde_json::from_str(if printed.trim().is_empty() { "{}" } else { &printed })
            .map_err(|e| OpError::failed(format!("{act}: what kubectl printed cannot be read: {e}")))?;
        let live: Vec<Value> = match found["items"].as_array() {
            Some(items) => items.clone(),
            None if found["kind"].is_string() => vec![found],
            None => Vec::new(),
        };
        for wanted in &workloads {
            let wanted = name(wanted, namespace);
            match live.iter().find(|object| name(object, namespace) == wanted) {
                None => open.push(format!("{wanted} is not there")),
                Some(object) => open.extend(rolled_out(object)?.err()),
            }
        }
    }
    if !open.is_empty() {
        return Ok(Poll::Pending(Some(open.join("; ")), again));
    }
    let workloads = workloads.iter().map(|object| name(object, namespace)).collect();
    Ok(Poll::Ready(RolledOut { revision: latest.number, workloads }))
}
