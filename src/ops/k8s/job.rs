//! Running a Job and following it to its end.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Ask, target};
use super::create::{Create, CreateArgs, undone};
use super::fields::{mark_of, meta};
use super::look::{Live, Look};
use super::named::Named;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::docker::client::tail;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write, unknown};

/// `k8s.run_job`.
pub struct RunJob;

/// A Job that came to its end.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Ran {
    /// The Job's UID.
    pub uid: String,
    /// How many of its Pods succeeded.
    pub succeeded: u32,
    /// How many of its Pods failed before.
    pub failed: u32,
}

/// A finished Job that goes sooner than this may be gone before anybody has looked.
const KEPT: u64 = 3600;
/// How many lines of a failed Pod are told.
const LINES: usize = 20;

fn act_of(named: &Named) -> String {
    format!("cannot run {}", named.shown())
}

/// The manifest's Job, if it is one that can be followed.
///
/// # Errors
/// Refused, when it is none.
pub fn job_of(args: &CreateArgs) -> Result<Named, OpError> {
    let named = args.named()?;
    let act = act_of(&named);
    if named.kind.plain() != "job" {
        return Err(OpError::refused(format!("{act}: it is no Job")));
    }
    let kept = args.object.pointer("/spec/ttlSecondsAfterFinished").and_then(Value::as_u64);
    if kept.is_some_and(|kept| kept < KEPT) {
        return Err(OpError::refused(format!("{act}: it would be gone before anybody has looked what became of it"))
            .with_hint("leave ttlSecondsAfterFinished out, or make it an hour"));
    }
    Ok(named)
}

/// How a Job stands, by its status.
#[must_use]
pub fn standing(named: &Named, live: Option<&Value>, key: &str) -> Found<Ran> {
    // Somebody else's: that is refused when it is sent.
    let Some(live) = live.filter(|live| mark_of(live) == key) else { return Found::NotDone };
    let status = &live["status"];
    let count = |name: &str| status[name].as_u64().and_then(|count| u32::try_from(count).ok()).unwrap_or(0);
    let condition = |wanted: &str| {
        let all = status["conditions"].as_array().map_or(&[][..], Vec::as_slice);
        all.iter().find(|one| one["type"] == wanted && one["status"] == "True")
    };
    if condition("Complete").is_some() {
        let uid = meta(live, "uid").to_owned();
        return Found::Done(Ran { uid, succeeded: count("succeeded"), failed: count("failed") });
    }
    if let Some(failed) = condition("Failed") {
        let text = |name: &str| failed[name].as_str().unwrap_or_default().to_owned();
        let what = format!("{}: it failed: {} {}", act_of(named), text("reason"), text("message"));
        return Found::Failed(
            OpError::failed(what.trim().to_owned()).with_hint("`kubectl logs` of its Pods tells more"),
        );
    }
    Found::Running(Some(format!("{} at work, {} failed", count("active"), count("failed"))))
}

/// The last lines of the Job's last Pod; empty when there are none to be had.
fn last_words(look: &Live<'_, '_>, named: &Named) -> String {
    let namespace = named.namespace.as_deref().unwrap_or_default();
    let act = act_of(named);
    let path = format!("/api/v1/namespaces/{namespace}/pods?labelSelector=job-name%3D{}", named.name);
    let Ok(pods) = look.line.value(&act, &Ask::get(path)) else { return String::new() };
    let pods = pods["items"].as_array().map_or(&[][..], Vec::as_slice);
    let last = pods.iter().max_by(|a, b| meta(a, "creationTimestamp").cmp(meta(b, "creationTimestamp")));
    let Some(name) = last.map(|pod| meta(pod, "name")) else { return String::new() };
    let ask = Ask::get(format!("/api/v1/namespaces/{namespace}/pods/{name}/log?tailLines={LINES}"));
    let said = look.line.ask(&act, &ask).unwrap_or_default();
    tail(&String::from_utf8_lossy(&said))
}

impl Operation for RunJob {
    const NAME: &'static str = "k8s.run_job";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "makes a Job and follows it to its end; the last lines of a failed one are told";
    const PERMISSION: &'static str = "get and create of jobs, with dryRun=All for plans; list of pods and get of pods/log; delete of jobs \
                                      for the undo";
    const TYPICAL: Duration = Duration::from_secs(60);
    type Args = CreateArgs;
    type Output = Ran;

    fn resource(args: &CreateArgs) -> String {
        Create::resource(args)
    }

    fn touches(args: &CreateArgs, before: &Value) -> Vec<Touch> {
        Create::touches(args, before)
    }

    fn target(context: &ReadContext<'_>, args: &CreateArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.cluster)
    }
}

impl Write for RunJob {
    const REPEAT: Repeat = Repeat::Keyed;
    const PROBE_DOC: &'static str =
        "the Job with the call's key in its annotation muster.dr/call, by its conditions Complete and Failed";
    const UNDO_DOC: &'static str = "k8s.delete of the Job; what its Pods have done stays done";

    fn before(context: &ReadContext<'_>, args: &CreateArgs) -> Result<Value, OpError> {
        job_of(args)?;
        Create::before(context, args)
    }

    fn send(context: &WriteContext<'_>, args: CreateArgs) -> Result<Send<Ran>, OpError> {
        Create::send(context, args)?;
        Ok(Send::Running)
    }

    fn probe(context: &ReadContext<'_>, args: &CreateArgs) -> Result<Found<Ran>, OpError> {
        let line = context.kubernetes(&args.cluster)?;
        let look = Live::on(&line, context);
        let named = args.named()?;
        Ok(match standing(&named, look.object(&named)?.as_ref(), context.key) {
            Found::Failed(error) => {
                let words = last_words(&look, &named);
                Found::Failed(error.with_detail(words))
            }
            other => other,
        })
    }

    fn undo(args: &CreateArgs, _: &Value, key: &str) -> Undo {
        args.named().map_or(Undo::Nothing, |named| undone(&named, key))
    }

    fn fingerprint(context: &ReadContext<'_>, args: &CreateArgs, _: &Ran) -> Result<Value, OpError> {
        let line = context.kubernetes(&args.cluster)?;
        let live = Live::on(&line, context).object(&args.named()?)?;
        Ok(json!({ "uid": live.map(|live| live["metadata"]["uid"].clone()) }))
    }

    fn predict(_: &CreateArgs, _: &Value, _: &str) -> Predicted {
        Predicted::Result(json!({
            "uid": unknown("the API server gives it"), "succeeded": unknown("the run of the Job tells"),
            "failed": unknown("the run of the Job tells"),
        }))
    }

    fn release(_: &WriteContext<'_>, _: &CreateArgs) {}
}
