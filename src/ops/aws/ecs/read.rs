//! Reads of ECS: services, task definitions, tasks.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::service::{Service, TaskDefinition, plain_name};
use crate::model::fault::{OpError, Target};
use crate::ops::aws::access::in_account;
use crate::ops::aws::entry::{Asks, Look};
use crate::ops::aws::{Access, identity};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Operation};

/// How long a call that describes something takes.
const DESCRIBE: Duration = Duration::from_millis(200);

/// `ecs.service`.
pub struct DescribeService;
/// `ecs.task_definition`.
pub struct DescribeTaskDefinition;
/// `ecs.tasks`.
pub struct ListTasks;

/// Which service is meant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServiceArgs {
    /// The name or ARN of its cluster.
    pub cluster: String,
    /// Its name or ARN.
    pub service: String,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// Which task definition is meant.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct TaskDefinitionArgs {
    /// Its ARN, `family:revision`, or the family for its latest revision.
    pub task_definition: String,
    /// Which account and region.
    #[serde(default)]
    pub aws: Access,
}

/// A task of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Task {
    /// Its ARN.
    pub arn: String,
    /// `PENDING`, `RUNNING`, `STOPPING` and what lies between.
    pub status: String,
    /// `HEALTHY`, `UNHEALTHY` or `UNKNOWN`.
    pub health: String,
    /// The ARN of its task definition.
    pub task_definition: String,
    /// Since when it runs: secrets are as they were then. Empty until it does.
    pub started_at: String,
}

/// The tasks of a service that run or start.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counted {
    /// How many run.
    pub running: usize,
    /// All of them.
    pub tasks: Vec<Task>,
}

/// The name under which a service is known to locks and plans.
pub(super) fn resource(access: &Access, cluster: &str, service: &str) -> String {
    access.resource("ecs", &format!("{}/{}", plain_name(cluster), plain_name(service)))
}

in_account!(ServiceArgs, TaskDefinitionArgs);

impl Operation for DescribeService {
    const NAME: &'static str = "ecs.service";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "looks at a service: how many tasks it is to have and has, and how its deployments stand";
    const PERMISSION: &'static str = "ecs:DescribeServices";
    const TYPICAL: Duration = DESCRIBE;
    type Args = ServiceArgs;
    type Output = Service;

    fn resource(args: &ServiceArgs) -> String {
        resource(&args.aws, &args.cluster, &args.service)
    }

    fn target(context: &ReadContext<'_>, args: &ServiceArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for DescribeService {
    fn ask(look: &dyn Look, args: &ServiceArgs) -> Result<Service, OpError> {
        Ok(look.service(&args.cluster, &args.service)?.unwrap_or_default())
    }
}

impl Operation for DescribeTaskDefinition {
    const NAME: &'static str = "ecs.task_definition";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str =
        "looks at a task definition: its images, and which secrets its tasks read when they start";
    const PERMISSION: &'static str = "ecs:DescribeTaskDefinition";
    const TYPICAL: Duration = DESCRIBE;
    type Args = TaskDefinitionArgs;
    type Output = TaskDefinition;

    fn resource(args: &TaskDefinitionArgs) -> String {
        args.aws.resource("ecs", &format!("task-definition/{}", plain_name(&args.task_definition)))
    }

    fn target(context: &ReadContext<'_>, args: &TaskDefinitionArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for DescribeTaskDefinition {
    fn ask(look: &dyn Look, args: &TaskDefinitionArgs) -> Result<TaskDefinition, OpError> {
        Ok(look.task_definition(&args.task_definition)?.unwrap_or_default())
    }
}

impl Operation for ListTasks {
    const NAME: &'static str = "ecs.tasks";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "the tasks of a service that run or start, how many run, and since when";
    const PERMISSION: &'static str = "ecs:ListTasks, ecs:DescribeTasks";
    const TYPICAL: Duration = Duration::from_millis(400);
    type Args = ServiceArgs;
    type Output = Counted;

    fn resource(args: &ServiceArgs) -> String {
        resource(&args.aws, &args.cluster, &args.service)
    }

    fn target(context: &ReadContext<'_>, args: &ServiceArgs) -> Result<Option<Target>, OpError> {
        identity::target(context, &args.aws)
    }
}

impl Asks for ListTasks {
    fn ask(look: &dyn Look, args: &ServiceArgs) -> Result<Counted, OpError> {
        let tasks = look.tasks(&args.cluster, &args.service)?;
        Ok(Counted { running: tasks.iter().filter(|task| task.status == "RUNNING").count(), tasks })
    }
}
