//! Waiting for a condition of an object.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::target;
use super::condition::Condition;
use super::fields::meta;
use super::kind::Kind;
use super::look::{Live, passes};
use super::named::Named;
use super::read::given;
use super::watch::Seen;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::context::ReadContext;
use crate::ops::helm::client::Cluster;
use crate::ops::spec::{Effect, Operation, Poll, Wait};

/// `k8s.wait`.
pub struct WaitFor;

/// How long until an object is looked at again.
const AGAIN: Duration = Duration::from_secs(2);
/// How long until it is asked what a watch has seen.
const WATCHED: Duration = Duration::from_millis(500);
/// How long until an API server that is away is asked again.
const AWAY: Duration = Duration::from_secs(5);

/// What to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitArgs {
    /// The object's kind.
    pub kind: Kind,
    /// Its name.
    pub name: String,
    /// Its namespace; absent for what is in none.
    #[serde(default)]
    pub namespace: Option<String>,
    /// What has to hold. An object that is not there yet is waited for.
    #[serde(default)]
    pub condition: Option<Condition>,
    /// What must not hold: as soon as it does, the wait fails.
    #[serde(default)]
    pub fails: Option<Condition>,
    /// Waits until the object is gone instead.
    #[serde(default)]
    pub gone: bool,
    /// The object that is meant: when it is gone, or there is another one of its name, the wait fails (or, for `gone`, is over).
    #[serde(default)]
    pub uid: Option<String>,
    /// Which cluster.
    #[serde(default)]
    pub cluster: Cluster,
}

/// What was waited for.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize, JsonSchema)]
pub struct Waited {
    /// The object's UID; empty when it is gone.
    pub uid: String,
    /// The object as `k8s.get` has it; empty when it is gone.
    pub object: Value,
}

impl WaitArgs {
    /// The object.
    #[must_use]
    pub fn named(&self) -> Named {
        let (kind, namespace) = (self.kind.clone(), self.namespace.clone());
        Named { kind, namespace, name: self.name.clone(), cluster: self.cluster.clone() }
    }

    /// This wait among others.
    fn who(&self, context: &ReadContext<'_>) -> String {
        let text = |condition: &Option<Condition>| serde_json::to_string(condition).unwrap_or_default();
        let [condition, fails] = [text(&self.condition), text(&self.fails)];
        format!("{} {} {condition} {fails} {} {:?}", context.run, self.named().key(), self.gone, self.uid)
    }

    /// What it has come to, and whether the object was looked at for it rather than what a watch has told.
    fn asked(&self, live: &Live<'_, '_>, who: &str, fresh: bool) -> Result<(bool, Poll<Waited>), OpError> {
        match live.seen(&self.named(), who, fresh) {
            Ok(seen) => Ok((seen.fresh, self.judge_all(seen)?)),
            // A wait outlives an API server that is away for a while.
            Err(error) if passes(&error) => Ok((true, Poll::Pending(Some(error.message), AWAY))),
            Err(error) => Err(error),
        }
    }

    /// What has failed meanwhile has failed, however it stands now; what holds has to hold now.
    fn judge_all(&self, seen: Seen) -> Result<Poll<Waited>, OpError> {
        for passed in seen.passed {
            self.judge(passed)?;
        }
        Ok(match self.judge(seen.now)? {
            Poll::Pending(progress, again) if seen.watched => Poll::Pending(progress, again.min(WATCHED)),
            polled => polled,
        })
    }

    /// Whether it is so, when the object is this.
    ///
    /// # Errors
    /// When it can never be.
    pub fn judge(&self, live: Option<Value>) -> Result<Poll<Waited>, OpError> {
        let act = format!("cannot wait for {}", self.named().shown());
        let gone = || Ok(Poll::Ready(Waited { uid: String::new(), object: serde_json::json!({}) }));
        let condition = match (&self.condition, self.gone) {
            (Some(_), true) | (None, false) => {
                return Err(OpError::refused(format!("{act}: give a condition, or gone: true")));
            }
            (condition, _) => condition.as_ref(),
        };
        let Some(live) = live else {
            if self.gone {
                return gone();
            }
            if self.uid.is_some() {
                return Err(OpError::failed(format!("{act}: it is gone")).with_hint("look who has deleted it"));
            }
            return Ok(Poll::Pending(Some("it is not there yet".to_owned()), AGAIN));
        };
        if self.uid.as_ref().is_some_and(|uid| uid != meta(&live, "uid")) {
            if self.gone {
                return gone();
            }
            return Err(OpError::failed(format!("{act}: it was deleted and made anew by somebody"))
                .with_hint("look who has made it; then begin again with what is there now"));
        }
        if let Some(fails) = self.fails.as_ref().filter(|fails| fails.holds(&live)) {
            let what = format!("{act}: it has failed: {}", fails.seen(&live));
            let message = live.pointer("/status/message").and_then(Value::as_str).unwrap_or_default();
            return Err(OpError::failed(what).with_detail(message));
        }
        let Some(condition) = condition else {
            let held: Vec<&str> =
                live["metadata"]["finalizers"].as_array().into_iter().flatten().filter_map(Value::as_str).collect();
            let by = if held.is_empty() { String::new() } else { format!(", held back by {}", held.join(", ")) };
            let going = if meta(&live, "deletionTimestamp").is_empty() { "it is there" } else { "it is being deleted" };
            return Ok(Poll::Pending(Some(format!("{going}{by}")), AGAIN));
        };
        if condition.holds(&live) {
            let uid = meta(&live, "uid").to_owned();
            return Ok(Poll::Ready(Waited { uid, object: given(live, &self.cluster) }));
        }
        Ok(Poll::Pending(Some(condition.seen(&live)), AGAIN))
    }
}

impl Operation for WaitFor {
    const NAME: &'static str = "k8s.wait";
    const EFFECT: Effect = Effect::Wait;
    const DOC: &'static str =
        "waits until a condition holds for an object, or until it is gone; an API server that is away is waited out";
    const PERMISSION: &'static str = "get of the object; watch of it, so that nothing between two looks is missed";
    const TYPICAL: Duration = Duration::from_secs(60);
    type Args = WaitArgs;
    type Output = Waited;

    fn resource(args: &WaitArgs) -> String {
        args.named().resource()
    }

    fn target(context: &ReadContext<'_>, args: &WaitArgs) -> Result<Option<Target>, OpError> {
        target(context, &args.cluster)
    }
}

impl Wait for WaitFor {
    fn poll(context: &ReadContext<'_>, args: WaitArgs) -> Result<Poll<Waited>, OpError> {
        let line = context.kubernetes(&args.cluster)?;
        let (live, who) = (Live::on(&line, context), args.who(context));
        let polled = match args.asked(&live, &who, false) {
            // Nobody goes on because of what held a moment ago.
            Ok((false, Poll::Ready(_))) => args.asked(&live, &who, true),
            polled => polled,
        };
        if !matches!(polled, Ok((_, Poll::Pending(..)))) {
            live.seen_enough(&who);
        }
        polled.map(|(_, polled)| polled)
    }
}
