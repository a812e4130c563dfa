//! Waiting for databases and snapshots: every status is read, also those that never get better.

use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;

use super::checks::present;
use super::database::{Database, Kind};
use super::snapshot::Snapshot;
use super::state::{Stand, snapshot_stand, stand};
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Awaits, Look};
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Operation, Poll};

/// How long until a database is asked about again: its waits are half of that late on average, which of a restore of ten minutes is
/// to be less than a hundredth.
const AGAIN: Duration = Duration::from_secs(5);

/// So many of the latest events are told when something never comes.
const TOLD: usize = 3;

/// `rds.wait_available`.
pub struct WaitAvailable;
/// `rds.wait_snapshot`.
pub struct WaitSnapshot;

/// Which database to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitAvailableArgs {
    /// What it is.
    #[serde(default)]
    pub kind: Kind,
    /// Its identifier.
    pub id: String,
    /// Also until all that was changed of it is in effect.
    #[serde(default)]
    pub applied: bool,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// Which snapshot to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitSnapshotArgs {
    /// Of what it is one.
    #[serde(default)]
    pub kind: Kind,
    /// Its identifier.
    pub snapshot: String,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(WaitAvailableArgs, WaitSnapshotArgs);

impl Operation for WaitAvailable {
    const NAME: &'static str = "rds.wait_available";
    const EFFECT: Effect = Effect::Wait;
    const DOC: &'static str = "waits until an instance or cluster is available; fails at once in a state that never gets \
                               better (incompatible-network, restore-error, storage-full, …), with what can be done";
    const PERMISSION: &'static str = "rds:DescribeDBInstances, rds:DescribeDBClusters, rds:DescribeEvents";
    const TYPICAL: Duration = Duration::from_secs(600);
    type Args = WaitAvailableArgs;
    type Output = Database;

    fn resource(args: &WaitAvailableArgs) -> String {
        args.aws.resource("rds", &args.kind.of(&args.id))
    }

    fn target(context: &ReadContext<'_>, args: &WaitAvailableArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Awaits for WaitAvailable {
    fn ask(look: &dyn Look, args: &WaitAvailableArgs) -> Result<Poll<Database>, OpError> {
        let what = format!("{} {}", args.kind.word(), args.id);
        let act = format!("cannot wait for {what}");
        let found = present(look, &act, args.kind, &args.id)?;
        let far = found.percent.map_or(String::new(), |percent| format!(", {percent} %"));
        match stand(args.kind, &found.status) {
            Stand::Usable if args.applied && !found.pending.is_empty() => {
                let waits = found.pending.join(", ");
                Ok(Poll::Pending(Some(format!("{what} is {}; not in effect yet: {waits}", found.status)), AGAIN))
            }
            Stand::Usable => Ok(Poll::Ready(found)),
            Stand::Coming => Ok(Poll::Pending(Some(format!("{what} is {}{far}", found.status)), AGAIN)),
            Stand::New => {
                let status = format!("{what} is {}{far}, which Muster does not know", found.status);
                Ok(Poll::Pending(Some(status), AGAIN))
            }
            Stand::Broken { why, choices } => {
                let mut said = found.status_notes.clone();
                // Nobody hears the reason otherwise; without it the status alone has to do.
                let events = look.events(args.kind, &args.id).unwrap_or_default();
                said.extend(events.into_iter().rev().take(TOLD));
                said.dedup();
                let error = OpError::failed(format!("{what} will not become available: it is {}: {why}", found.status))
                    .with_hint(choices);
                Err(if said.is_empty() { error } else { error.with_detail(said.join("\n")) })
            }
        }
    }
}

impl Operation for WaitSnapshot {
    const NAME: &'static str = "rds.wait_snapshot";
    const EFFECT: Effect = Effect::Wait;
    const DOC: &'static str = "waits until a snapshot is available; fails at once when it never will be";
    const PERMISSION: &'static str = "rds:DescribeDBSnapshots, rds:DescribeDBClusterSnapshots";
    const TYPICAL: Duration = Duration::from_secs(180);
    type Args = WaitSnapshotArgs;
    type Output = Snapshot;

    fn resource(args: &WaitSnapshotArgs) -> String {
        args.aws.resource("rds", &args.kind.snapshot(&args.snapshot))
    }

    fn target(context: &ReadContext<'_>, args: &WaitSnapshotArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Awaits for WaitSnapshot {
    fn ask(look: &dyn Look, args: &WaitSnapshotArgs) -> Result<Poll<Snapshot>, OpError> {
        let what = format!("snapshot {}", args.snapshot);
        let Some(found) = look.snapshot(args.kind, &args.snapshot)? else {
            return Err(OpError::refused(format!("cannot wait for {what}: there is none"))
                .with_hint("rds.snapshots lists those that are there"));
        };
        match snapshot_stand(&found.status) {
            Stand::Usable => Ok(Poll::Ready(found)),
            Stand::Coming | Stand::New => {
                Ok(Poll::Pending(Some(format!("{what} is {}, {} %", found.status, found.percent)), AGAIN))
            }
            Stand::Broken { why, choices } => {
                Err(OpError::failed(format!("{what} will not become available: it is {}: {why}", found.status))
                    .with_hint(choices))
            }
        }
    }
}
