//! Rolling a release back to a revision that its history still has.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Deserializer, Serialize};
use serde_json::json;

use super::client::{Cluster, explain};
use super::release::Release;
use super::revisions::{Revision, contents, made_by, marks, revisions};
use super::upgrade::{supervised, timeout_option};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::args::Period;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::process::{ChildStatus, WriteCommand};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write};

/// `helm.rollback`.
pub struct Rollback;

/// Which release, and to what.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RollbackArgs {
    /// The release, as `NAMESPACE/NAME`.
    pub release: Release,
    /// The cluster; that of the current kubeconfig and context when absent.
    #[serde(default)]
    pub cluster: Cluster,
    /// The revision whose values and objects it shall have again.
    #[schemars(range(min = 1))]
    pub to: u32,
    /// Only if the call with this key made the latest revision: nothing is done when it made none, and it is refused when somebody has
    /// made another since.
    pub made_by: Option<String>,
    /// Only if this is the latest revision; nothing is done when it is null or 0.
    #[serde(default, deserialize_with = "slot")]
    pub after: Option<u32>,
    /// What tells the values of that revision from others; compared when it is done.
    pub values: Option<String>,
    /// What tells the objects of that revision from others; compared when it is done.
    pub manifest: Option<String>,
    /// Whether helm waits for what it can wait for.
    #[serde(default)]
    pub wait: bool,
    /// How long helm may take; 10 minutes when absent.
    pub timeout: Option<Period>,
}

/// A null that stands there is an effect that never happened: 0.
fn slot<'de, D: Deserializer<'de>>(deserializer: D) -> Result<Option<u32>, D::Error> {
    Ok(Some(Option::<u32>::deserialize(deserializer)?.unwrap_or(0)))
}

/// What a rollback came to.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct RolledBack {
    /// Whether anything had to be rolled back.
    pub rolled_back: bool,
    /// The revision it made; 0 when none.
    pub revision: u32,
    /// The one whose values and objects the release has again.
    pub to: u32,
}

#[derive(Debug, Clone, Default, Serialize, Deserialize)]
struct Image {
    /// Whether there is nothing to do.
    skip: bool,
    /// The latest revision.
    revision: u32,
}

fn image_of(before: &Value) -> Image {
    Image::deserialize(before).unwrap_or_default()
}

impl RollbackArgs {
    fn act(&self) -> String {
        format!("cannot roll release {} back to revision {}", self.release, self.to)
    }

    fn nothing(&self) -> RolledBack {
        RolledBack { rolled_back: false, revision: 0, to: self.to }
    }
}

fn somebody(act: &str, number: u32) -> OpError {
    OpError::refused(format!("{act}: somebody else has made revision {number} since"))
        .with_hint("nothing of theirs is overwritten; compare the revisions, then upgrade or roll back by hand")
}

/// What a rollback of ours leaves when helm was killed at it.
fn is_leftover(revision: &Revision) -> bool {
    revision.status == "pending-rollback"
}

impl Operation for Rollback {
    const NAME: &'static str = "helm.rollback";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "rolls a release back to a revision, and compares its values and objects with that one's";
    const PERMISSION: &'static str = "helm and kubectl; secrets in the namespace; all that the chart's objects need";
    const TYPICAL: Duration = Duration::from_secs(15);
    type Args = RollbackArgs;
    type Output = RolledBack;

    fn resource(args: &RollbackArgs) -> String {
        args.release.resource(&args.cluster)
    }

    fn touches(args: &RollbackArgs, _before: &Value) -> Vec<Touch> {
        vec![args.release.touched(&args.cluster)]
    }

    fn target(context: &ReadContext<'_>, args: &RollbackArgs) -> Result<Option<Target>, OpError> {
        args.cluster.target(context).map(Some)
    }
}

impl Write for Rollback {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str =
        "a deployed revision after the latest of before, with the values and objects of the one meant";
    const UNDO_DOC: &'static str = "helm.rollback to the revision before, unless somebody has made another since";

    fn before(context: &ReadContext<'_>, args: &RollbackArgs) -> Result<Value, OpError> {
        let act = args.act();
        let found = revisions(context, &args.cluster, &args.release)?;
        let Some(latest) = found.last() else {
            if args.made_by.is_some() || args.after == Some(0) {
                return Ok(json!(Image { skip: true, revision: 0 }));
            }
            return Err(OpError::refused(format!("{act}: there is no such release")));
        };
        let skip = Ok(json!(Image { skip: true, revision: latest.number }));
        if let Some(key) = &args.made_by {
            let Some(ours) = made_by(&found, key, args.to) else { return skip };
            if ours.number != latest.number {
                return Err(somebody(&act, latest.number));
            }
        }
        match args.after {
            Some(0) => return skip,
            Some(after) if after != latest.number => return Err(somebody(&act, latest.number)),
            _ => {}
        }
        match found.iter().find(|revision| revision.number == args.to) {
            None => {
                return Err(OpError::refused(format!("{act}: history does not have that revision any more"))
                    .with_hint(
                        "helm keeps ten revisions unless told otherwise; upgrade with the values you have kept",
                    ));
            }
            Some(to) if to.is_pending() => {
                return Err(OpError::refused(format!("{act}: that revision is itself {}", to.status))
                    .with_hint("choose one that was deployed"));
            }
            Some(_) => {}
        }
        Ok(json!(Image { skip: false, revision: latest.number }))
    }

    fn send(context: &WriteContext<'_>, args: RollbackArgs) -> Result<Send<RolledBack>, OpError> {
        let image = image_of(context.read.before);
        if image.skip {
            return Ok(Send::Done(args.nothing()));
        }
        let found = revisions(&context.read, &args.cluster, &args.release)?;
        let newer = found.iter().filter(|revision| revision.number > image.revision);
        if let Some(other) = newer.into_iter().find(|revision| !is_leftover(revision)) {
            return Err(somebody(&args.act(), other.number));
        }
        let (to, timeout) = (args.to.to_string(), timeout_option(args.timeout));
        let mut words = vec!["rollback", &args.release.name, &to, &timeout];
        words.extend(args.wait.then_some("--wait"));
        let command = args.cluster.helm(&args.release.namespace, &words)?;
        // A status that is there already is that of a former try, which left nothing but a leftover.
        context.forget_child();
        context.launch(&WriteCommand {
            argv: command.argv,
            env: command.env,
            timeout: supervised(args.timeout),
            ..WriteCommand::default()
        })?;
        Ok(Send::Running)
    }

    fn probe(context: &ReadContext<'_>, args: &RollbackArgs) -> Result<Found<RolledBack>, OpError> {
        let (act, image) = (args.act(), image_of(context.before));
        if image.skip {
            return Ok(Found::Done(args.nothing()));
        }
        let status = context.children.status(context.key)?;
        if let ChildStatus::Running { .. } = status {
            return Ok(Found::Running(None));
        }
        let found = revisions(context, &args.cluster, &args.release)?;
        let mut newer = found.iter().filter(|revision| revision.number > image.revision && !is_leftover(revision));
        let failed = match &status {
            ChildStatus::Ended(ended) if ended.code != 0 || ended.timed_out => {
                Some(explain(&act, ended.code, &ended.stderr_tail))
            }
            _ => None,
        };
        let Some(new) = newer.next() else {
            // Killed in the middle: sent again, helm goes on from what it left.
            let killed = matches!(&status, ChildStatus::Ended(ended) if ended.code >= 128 && !ended.timed_out);
            return Ok(match failed {
                Some(error) if !killed => Found::Failed(error),
                _ => Found::NotDone,
            });
        };
        if new.status == "failed" {
            return Ok(Found::Failed(failed.unwrap_or_else(|| explain(&act, 1, ""))));
        }
        let (now, meant) = (
            marks(context, &contents(context, &args.cluster, &args.release, new.number)?)?,
            marks(context, &contents(context, &args.cluster, &args.release, args.to)?)?,
        );
        let same = |wanted: &Option<String>, mark: &str| wanted.as_ref().is_none_or(|wanted| wanted == mark);
        if now == meant && same(&args.values, &now.0) && same(&args.manifest, &now.1) {
            return Ok(Found::Done(RolledBack { rolled_back: true, revision: new.number, to: args.to }));
        }
        Ok(match (status, failed) {
            (_, Some(error)) => Found::Failed(error),
            (ChildStatus::Ended(_), None) => Found::Failed(
                OpError::failed(format!("{act}: revision {} has not the values and objects of that one", new.number))
                    .with_hint("compare them with `helm get values` and `helm get manifest`, each with --revision"),
            ),
            // Not ours: sending finds it too, and refuses.
            _ => Found::NotDone,
        })
    }

    fn undo(args: &RollbackArgs, before: &Value, _key: &str) -> Undo {
        let image = image_of(before);
        if image.skip {
            return Undo::Nothing;
        }
        Undo::Call {
            op: "helm.rollback",
            args: json!({
                "release": args.release, "cluster": args.cluster, "timeout": args.timeout, "to": image.revision,
                "after": "$result/revision",
            }),
        }
    }

    fn fingerprint(context: &ReadContext<'_>, args: &RollbackArgs, _result: &RolledBack) -> Result<Value, OpError> {
        let latest = revisions(context, &args.cluster, &args.release)?.pop();
        Ok(json!({ "revision": latest.map(|latest| latest.number) }))
    }

    fn predict(args: &RollbackArgs, before: &Value, _key: &str) -> Predicted {
        let image = image_of(before);
        Predicted::Result(json!(if image.skip {
            args.nothing()
        } else {
            RolledBack { rolled_back: true, revision: image.revision + 1, to: args.to }
        }))
    }

    fn release(context: &WriteContext<'_>, _args: &RollbackArgs) {
        context.forget_child();
    }
}
