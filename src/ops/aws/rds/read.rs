//! Reads of RDS: databases, snapshots, automated backups.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::database::{Database, Kind};
use super::look::Which;
use super::snapshot::{Backups, Snapshot};
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Asks, Look};
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Operation};

/// How long a call that describes something takes.
const DESCRIBE: Duration = Duration::from_millis(200);

/// `rds.instance`.
pub struct DescribeInstance;
/// `rds.cluster`.
pub struct DescribeCluster;
/// `rds.databases`.
pub struct ListDatabases;
/// `rds.snapshot`.
pub struct DescribeSnapshot;
/// `rds.snapshots`.
pub struct ListSnapshots;
/// `rds.backups`.
pub struct DescribeBackups;

/// Which database to describe.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DescribeArgs {
    /// Its identifier.
    pub id: String,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// Which databases to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabasesArgs {
    /// Instances or clusters.
    #[serde(default)]
    pub kind: Kind,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// Which snapshot to describe.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotArgs {
    /// Of what it is one.
    #[serde(default)]
    pub kind: Kind,
    /// Its identifier; that of an automated one begins with `rds:`.
    pub snapshot: String,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// Which snapshots to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct SnapshotsArgs {
    /// Of what.
    #[serde(default)]
    pub kind: Kind,
    /// Those of the instance or cluster of this name, which has to be there; all when absent.
    #[serde(default)]
    pub of: Option<String>,
    /// Those of what has, or had, this resource id.
    #[serde(default)]
    pub resource_id: Option<String>,
    /// Only `manual`, `automated`, `awsbackup` or `shared` ones.
    #[serde(default)]
    pub made: Option<String>,
    /// Only those that are `available`.
    #[serde(default)]
    pub available: bool,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// Whose automated backups to describe.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct BackupsArgs {
    /// Of what.
    #[serde(default)]
    pub kind: Kind,
    /// The instance or cluster; it may be gone, if its backups were kept.
    pub id: String,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(DescribeArgs, DatabasesArgs, SnapshotArgs, SnapshotsArgs, BackupsArgs);

/// The snapshots found.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Snapshots {
    /// The newest first.
    pub snapshots: Vec<Snapshot>,
}

impl Operation for DescribeInstance {
    const NAME: &'static str = "rds.instance";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "what a database instance is: status, endpoint, settings, restorable time";
    const PERMISSION: &'static str = "rds:DescribeDBInstances";
    const TYPICAL: Duration = DESCRIBE;
    type Args = DescribeArgs;
    type Output = Database;

    fn resource(args: &DescribeArgs) -> String {
        args.aws.resource("rds", &Kind::Instance.of(&args.id))
    }

    fn target(context: &ReadContext<'_>, args: &DescribeArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for DescribeInstance {
    fn ask(look: &dyn Look, args: &DescribeArgs) -> Result<Database, OpError> {
        Ok(look.database(Kind::Instance, &args.id)?.unwrap_or_default())
    }
}

impl Operation for DescribeCluster {
    const NAME: &'static str = "rds.cluster";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "what an Aurora cluster is: status, endpoints, members, settings, restorable times";
    const PERMISSION: &'static str = "rds:DescribeDBClusters";
    const TYPICAL: Duration = DESCRIBE;
    type Args = DescribeArgs;
    type Output = Database;

    fn resource(args: &DescribeArgs) -> String {
        args.aws.resource("rds", &Kind::Cluster.of(&args.id))
    }

    fn target(context: &ReadContext<'_>, args: &DescribeArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for DescribeCluster {
    fn ask(look: &dyn Look, args: &DescribeArgs) -> Result<Database, OpError> {
        Ok(look.database(Kind::Cluster, &args.id)?.unwrap_or_default())
    }
}

/// The databases found.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Databases {
    /// By name.
    pub databases: Vec<Database>,
}

impl Operation for ListDatabases {
    const NAME: &'static str = "rds.databases";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "lists the instances or clusters of the account";
    const PERMISSION: &'static str = "rds:DescribeDBInstances, rds:DescribeDBClusters";
    const TYPICAL: Duration = DESCRIBE;
    type Args = DatabasesArgs;
    type Output = Databases;

    fn resource(args: &DatabasesArgs) -> String {
        args.aws.resource("rds", &args.kind.of("*"))
    }

    fn target(context: &ReadContext<'_>, args: &DatabasesArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for ListDatabases {
    fn ask(look: &dyn Look, args: &DatabasesArgs) -> Result<Databases, OpError> {
        let mut databases = look.databases(args.kind)?;
        databases.sort_by(|one, other| one.id.cmp(&other.id));
        Ok(Databases { databases })
    }
}

impl Operation for DescribeSnapshot {
    const NAME: &'static str = "rds.snapshot";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "what a snapshot of an instance or cluster is: status, source, the time of its data";
    const PERMISSION: &'static str = "rds:DescribeDBSnapshots, rds:DescribeDBClusterSnapshots";
    const TYPICAL: Duration = DESCRIBE;
    type Args = SnapshotArgs;
    type Output = Snapshot;

    fn resource(args: &SnapshotArgs) -> String {
        args.aws.resource("rds", &args.kind.snapshot(&args.snapshot))
    }

    fn target(context: &ReadContext<'_>, args: &SnapshotArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for DescribeSnapshot {
    fn ask(look: &dyn Look, args: &SnapshotArgs) -> Result<Snapshot, OpError> {
        Ok(look.snapshot(args.kind, &args.snapshot)?.unwrap_or_default())
    }
}

impl Operation for ListSnapshots {
    const NAME: &'static str = "rds.snapshots";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "lists snapshots of an instance or cluster, the newest first";
    const PERMISSION: &'static str = "rds:DescribeDBSnapshots, rds:DescribeDBClusterSnapshots";
    const TYPICAL: Duration = DESCRIBE;
    type Args = SnapshotsArgs;
    type Output = Snapshots;

    fn resource(args: &SnapshotsArgs) -> String {
        args.aws.resource("rds", &args.kind.snapshot("*"))
    }

    fn target(context: &ReadContext<'_>, args: &SnapshotsArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for ListSnapshots {
    fn ask(look: &dyn Look, args: &SnapshotsArgs) -> Result<Snapshots, OpError> {
        let which =
            Which { of: args.of.as_deref(), resource_id: args.resource_id.as_deref(), made: args.made.as_deref() };
        let mut snapshots = look.snapshots(args.kind, which)?;
        snapshots.retain(|one| !args.available || one.status == "available");
        Ok(Snapshots { snapshots })
    }
}

impl Operation for DescribeBackups {
    const NAME: &'static str = "rds.backups";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "what automated backups there are of an instance or cluster: retention, restorable times";
    const PERMISSION: &'static str = "rds:DescribeDBInstances, rds:DescribeDBClusters, \
                                      rds:DescribeDBInstanceAutomatedBackups, rds:DescribeDBClusterAutomatedBackups";
    const TYPICAL: Duration = DESCRIBE;
    type Args = BackupsArgs;
    type Output = Backups;

    fn resource(args: &BackupsArgs) -> String {
        args.aws.resource("rds", &args.kind.of(&args.id))
    }

    fn target(context: &ReadContext<'_>, args: &BackupsArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for DescribeBackups {
    fn ask(look: &dyn Look, args: &BackupsArgs) -> Result<Backups, OpError> {
        look.backups(args.kind, &args.id)
    }
}
