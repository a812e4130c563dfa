//! Uninstalling a release.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Cluster, explain};
use super::release::Release;
use super::revisions::{Revision, revisions};
use super::upgrade::{supervised, timeout_option};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::args::Period;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::process::{ChildStatus, WriteCommand};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write};

/// `helm.uninstall`.
pub struct Uninstall;

/// Which release.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct UninstallArgs {
    /// The release, as `NAMESPACE/NAME`.
    pub release: Release,
    /// The cluster; that of the current kubeconfig and context when absent.
    #[serde(default)]
    pub cluster: Cluster,
    /// Only if the call with this key installed it: nothing is done when it did not, and it is refused when somebody has upgraded it
    /// since.
    pub made_by: Option<String>,
    /// Whether helm waits until the objects are gone.
    #[serde(default)]
    pub wait: bool,
    /// How long helm may take; 10 minutes when absent.
    pub timeout: Option<Period>,
}

/// Whether it was there.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Uninstalled {
    /// Whether it was there.
    pub removed: bool,
}

/// The latest revision of before; 0 when there is nothing to uninstall.
fn revision_of(before: &Value) -> u32 {
    before.get("revision").and_then(Value::as_u64).and_then(|number| u32::try_from(number).ok()).unwrap_or(0)
}

/// Whether the release is gone, though its history may be kept.
fn is_gone(found: &[Revision], revision: u32) -> bool {
    // A smaller number is another release of the same name.
    found.last().is_none_or(|latest| latest.status == "uninstalled" || latest.number < revision)
}

const WHY: &str = "its objects are gone, with all that was in them; installing the chart again makes other ones";

impl Operation for Uninstall {
    const NAME: &'static str = "helm.uninstall";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "uninstalls a release: deletes its objects and its history";
    const PERMISSION: &'static str = "helm and kubectl; secrets in the namespace; delete of all that the chart made";
    const TYPICAL: Duration = Duration::from_secs(10);
    type Args = UninstallArgs;
    type Output = Uninstalled;

    fn resource(args: &UninstallArgs) -> String {
        args.release.resource(&args.cluster)
    }

    fn touches(args: &UninstallArgs, _before: &Value) -> Vec<Touch> {
        vec![args.release.touched(&args.cluster)]
    }

    fn target(context: &ReadContext<'_>, args: &UninstallArgs) -> Result<Option<Target>, OpError> {
        args.cluster.target(context).map(Some)
    }
}

impl Write for Uninstall {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether the release still has records";
    const UNDO_DOC: &'static str = "impossible: its objects are gone, with all that was in them";

    fn before(context: &ReadContext<'_>, args: &UninstallArgs) -> Result<Value, OpError> {
        let found = revisions(context, &args.cluster, &args.release)?;
        let Some(latest) = found.last().filter(|latest| latest.status != "uninstalled") else {
            return Ok(json!({ "revision": 0 }));
        };
        if let Some(key) = &args.made_by {
            let ours = found.first().filter(|first| first.key == *key);
            match ours {
                None => return Ok(json!({ "revision": 0 })),
                Some(ours) if ours.number != latest.number => {
                    let number = latest.number;
                    return Err(OpError::refused(format!(
                        "cannot uninstall release {}: somebody else has made revision {number} since it was installed",
                        args.release
                    ))
                    .with_hint("see who uses it; then uninstall it by hand"));
                }
                Some(_) => {}
            }
        }
        Ok(json!({ "revision": latest.number }))
    }

    fn send(context: &WriteContext<'_>, args: UninstallArgs) -> Result<Send<Uninstalled>, OpError> {
        let revision = revision_of(context.read.before);
        let found = revisions(&context.read, &args.cluster, &args.release)?;
        if revision == 0 || is_gone(&found, revision) {
            return Ok(Send::Done(Uninstalled { removed: false }));
        }
        if let Some(latest) = found.last().filter(|latest| latest.number > revision) {
            return Err(OpError::refused(format!(
                "cannot uninstall release {}: somebody has made revision {} just now",
                args.release, latest.number
            )));
        }
        let timeout = timeout_option(args.timeout);
        let mut words = vec!["uninstall", &args.release.name, &timeout];
        words.extend(args.wait.then_some("--wait"));
        let command = args.cluster.helm(&args.release.namespace, &words)?;
        // A status that is there already is that of a former try that did not come to its end.
        context.forget_child();
        context.launch(&WriteCommand {
            argv: command.argv,
            env: command.env,
            timeout: supervised(args.timeout),
            ..WriteCommand::default()
        })?;
        Ok(Send::Running)
    }

    fn probe(context: &ReadContext<'_>, args: &UninstallArgs) -> Result<Found<Uninstalled>, OpError> {
        let revision = revision_of(context.before);
        if revision == 0 {
            return Ok(Found::Done(Uninstalled { removed: false }));
        }
        let status = context.children.status(context.key)?;
        if let ChildStatus::Running { .. } = status {
            return Ok(Found::Running(None));
        }
        if is_gone(&revisions(context, &args.cluster, &args.release)?, revision) {
            return Ok(Found::Done(Uninstalled { removed: true }));
        }
        Ok(match status {
            ChildStatus::Ended(ended) if ended.code >= 128 && !ended.timed_out => Found::NotDone,
            ChildStatus::Ended(ended) => Found::Failed(explain(
                &format!("cannot uninstall release {}", args.release),
                ended.code,
                &ended.stderr_tail,
            )),
            _ => Found::NotDone,
        })
    }

    fn undo(_args: &UninstallArgs, before: &Value, _key: &str) -> Undo {
        if revision_of(before) == 0 { Undo::Nothing } else { Undo::Impossible(WHY) }
    }

    fn fingerprint(_context: &ReadContext<'_>, _args: &UninstallArgs, _result: &Uninstalled) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn predict(_args: &UninstallArgs, before: &Value, _key: &str) -> Predicted {
        Predicted::Result(json!({ "removed": revision_of(before) != 0 }))
    }

    fn release(context: &WriteContext<'_>, _args: &UninstallArgs) {
        context.forget_child();
    }
}
