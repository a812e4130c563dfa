//! Reads of AWS Backup: vaults, recovery points, plans.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::plan::Plan;
use super::point::{RecoveryPoint, Vault};
use super::state::point_stand;
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Asks, Look};
use crate::ops::aws::rds::Stand;
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Operation};

/// How long a call that describes something takes.
const DESCRIBE: Duration = Duration::from_millis(200);

/// `backup.vault`.
pub struct DescribeVault;
/// `backup.vaults`.
pub struct ListVaults;
/// `backup.recovery_point`.
pub struct DescribePoint;
/// `backup.recovery_points`.
pub struct ListPoints;
/// `backup.plan`.
pub struct DescribePlan;
/// `backup.plans`.
pub struct ListPlans;

/// Which vault to describe.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VaultArgs {
    /// Its name.
    pub vault: String,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// Where to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListArgs {
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// Which recovery point to describe.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PointArgs {
    /// The vault that it is in.
    pub vault: String,
    /// Its ARN.
    pub recovery_point: String,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// Which recovery points to list.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PointsArgs {
    /// The vault that they are in.
    pub vault: String,
    /// Those of the resource with this ARN; all when absent.
    #[serde(default)]
    pub resource: Option<String>,
    /// Only those that can be restored whole.
    #[serde(default)]
    pub completed: bool,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// Which plan to describe.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct PlanArgs {
    /// Its id.
    pub plan: String,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

in_account!(VaultArgs, ListArgs, PointArgs, PointsArgs, PlanArgs);

/// The vaults found.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Vaults {
    /// By name.
    pub vaults: Vec<Vault>,
}

/// The recovery points found.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Points {
    /// The newest first.
    pub recovery_points: Vec<RecoveryPoint>,
}

/// The plans found.
#[derive(Debug, Default, Serialize, Deserialize, JsonSchema)]
pub struct Plans {
    /// By name.
    pub plans: Vec<Plan>,
}

impl Operation for DescribeVault {
    const NAME: &'static str = "backup.vault";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str =
        "what a backup vault is: how much is in it, key, lock, and what its access policy forbids to everybody";
    const PERMISSION: &'static str = "backup:ListBackupVaults; backup:GetBackupVaultAccessPolicy to see the policy";
    const TYPICAL: Duration = DESCRIBE;
    type Args = VaultArgs;
    type Output = Vault;

    fn resource(args: &VaultArgs) -> String {
        args.aws.resource("backup", &format!("vault:{}", args.vault))
    }

    fn target(context: &ReadContext<'_>, args: &VaultArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for DescribeVault {
    fn ask(look: &dyn Look, args: &VaultArgs) -> Result<Vault, OpError> {
        let Some(found) = look.vaults()?.into_iter().find(|one| one.name == args.vault) else {
            return Ok(Vault::default());
        };
        let forbidden = look.forbidden(&args.vault)?;
        Ok(Vault { policy_seen: forbidden.is_some(), denies: forbidden.unwrap_or_default(), ..found })
    }
}

impl Operation for ListVaults {
    const NAME: &'static str = "backup.vaults";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "lists the backup vaults of the account";
    const PERMISSION: &'static str = "backup:ListBackupVaults";
    const TYPICAL: Duration = DESCRIBE;
    type Args = ListArgs;
    type Output = Vaults;

    fn resource(args: &ListArgs) -> String {
        args.aws.resource("backup", "vault:*")
    }

    fn target(context: &ReadContext<'_>, args: &ListArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for ListVaults {
    fn ask(look: &dyn Look, _: &ListArgs) -> Result<Vaults, OpError> {
        Ok(Vaults { vaults: look.vaults()? })
    }
}

impl Operation for DescribePoint {
    const NAME: &'static str = "backup.recovery_point";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str =
        "what a recovery point is: status, time, size, and the metadata that a restore starts from";
    const PERMISSION: &'static str =
        "backup:DescribeRecoveryPoint, backup:GetRecoveryPointRestoreMetadata, backup:ListTags";
    const TYPICAL: Duration = DESCRIBE;
    type Args = PointArgs;
    type Output = RecoveryPoint;

    fn resource(args: &PointArgs) -> String {
        args.aws.resource("backup", &format!("point:{}", args.recovery_point))
    }

    fn target(context: &ReadContext<'_>, args: &PointArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for DescribePoint {
    fn ask(look: &dyn Look, args: &PointArgs) -> Result<RecoveryPoint, OpError> {
        Ok(look.point(&args.vault, &args.recovery_point)?.unwrap_or_default())
    }
}

impl Operation for ListPoints {
    const NAME: &'static str = "backup.recovery_points";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "lists the recovery points of a vault, the newest first";
    const PERMISSION: &'static str = "backup:ListRecoveryPointsByBackupVault";
    const TYPICAL: Duration = DESCRIBE;
    type Args = PointsArgs;
    type Output = Points;

    fn resource(args: &PointsArgs) -> String {
        args.aws.resource("backup", &format!("vault:{}", args.vault))
    }

    fn target(context: &ReadContext<'_>, args: &PointsArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for ListPoints {
    fn ask(look: &dyn Look, args: &PointsArgs) -> Result<Points, OpError> {
        let mut recovery_points = look.points(&args.vault, args.resource.as_deref())?;
        recovery_points.retain(|one| !args.completed || point_stand(&one.status) == Stand::Usable);
        Ok(Points { recovery_points })
    }
}

impl Operation for DescribePlan {
    const NAME: &'static str = "backup.plan";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "what a backup plan is: its rules, and what it selects";
    const PERMISSION: &'static str = "backup:GetBackupPlan, backup:ListBackupSelections";
    const TYPICAL: Duration = DESCRIBE;
    type Args = PlanArgs;
    type Output = Plan;

    fn resource(args: &PlanArgs) -> String {
        args.aws.resource("backup", &format!("plan:{}", args.plan))
    }

    fn target(context: &ReadContext<'_>, args: &PlanArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for DescribePlan {
    fn ask(look: &dyn Look, args: &PlanArgs) -> Result<Plan, OpError> {
        Ok(look.plan(&args.plan)?.unwrap_or_default())
    }
}

impl Operation for ListPlans {
    const NAME: &'static str = "backup.plans";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str =
        "lists the backup plans of the account, with what they select: one that selects nothing protects nothing";
    const PERMISSION: &'static str = "backup:ListBackupPlans, backup:ListBackupSelections";
    const TYPICAL: Duration = DESCRIBE;
    type Args = ListArgs;
    type Output = Plans;

    fn resource(args: &ListArgs) -> String {
        args.aws.resource("backup", "plan:*")
    }

    fn target(context: &ReadContext<'_>, args: &ListArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for ListPlans {
    fn ask(look: &dyn Look, _: &ListArgs) -> Result<Plans, OpError> {
        Ok(Plans { plans: look.plans()? })
    }
}
