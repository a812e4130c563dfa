//! Looking at ECS. What operations decide is written once, over this: the live backend asks AWS, the sandbox its world.

use aws_sdk_ecs::Client;
use aws_sdk_ecs::types::{ContainerDefinition, DesiredStatus};

use super::read::Task;
use super::service::{Container, Deployment, Service, TaskDefinition};
use crate::model::fault::OpError;
use crate::ops::aws::client::Line;
use crate::ops::aws::fault::Complaint;
use crate::ops::aws::secrets::time;
use crate::ops::aws::{Fault, found};

/// So many of what ECS said last are told.
const TOLD: usize = 5;
/// AWS describes so many tasks at once.
const AT_ONCE: usize = 100;

/// What can be asked of ECS.
pub trait Look {
    /// The service of this name or ARN.
    ///
    /// # Errors
    /// When it cannot be asked now, or there is no such cluster.
    fn service(&self, cluster: &str, service: &str) -> Result<Option<Service>, OpError>;

    /// The task definition: its ARN, `family:revision`, or a family for its latest.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn task_definition(&self, id: &str) -> Result<Option<TaskDefinition>, OpError>;

    /// The tasks of a service that run or start.
    ///
    /// # Errors
    /// When it cannot be asked now.
    fn tasks(&self, cluster: &str, service: &str) -> Result<Vec<Task>, OpError>;
}

fn container(of: ContainerDefinition) -> Container {
    let secrets = of.secrets.unwrap_or_default().into_iter().map(|one| (one.name, one.value_from));
    let variables = of.environment.unwrap_or_default().into_iter().filter_map(|one| one.name);
    Container {
        name: of.name.unwrap_or_default(),
        image: of.image.unwrap_or_default(),
        variables: variables.collect(),
        secrets: secrets.collect(),
    }
}

fn deployment(of: aws_sdk_ecs::types::Deployment) -> Deployment {
    Deployment {
        id: of.id.unwrap_or_default(),
        status: of.status.unwrap_or_default(),
        rollout: of.rollout_state.map(|state| state.as_str().to_owned()).unwrap_or_default(),
        reason: of.rollout_state_reason.unwrap_or_default(),
        task_definition: of.task_definition.unwrap_or_default(),
        desired: of.desired_count,
        running: of.running_count,
        pending: of.pending_count,
        failed: of.failed_tasks,
        created_at: time(of.created_at.map(|at| at.secs())),
    }
}

/// A service as AWS tells it.
pub(super) fn service(of: aws_sdk_ecs::types::Service) -> Service {
    let mut deployments: Vec<Deployment> = of.deployments.unwrap_or_default().into_iter().map(deployment).collect();
    deployments.sort_by_key(|one| one.status != "PRIMARY");
    let events = of.events.unwrap_or_default().into_iter().filter_map(|event| event.message).take(TOLD);
    Service {
        exists: true,
        name: of.service_name.unwrap_or_default(),
        arn: of.service_arn.unwrap_or_default(),
        status: of.status.unwrap_or_default(),
        desired: of.desired_count,
        running: of.running_count,
        pending: of.pending_count,
        task_definition: of.task_definition.unwrap_or_default(),
        deployments,
        events: events.collect(),
    }
}

impl Look for Line<'_> {
    fn service(&self, cluster: &str, name: &str) -> Result<Option<Service>, OpError> {
        let (into, which) = (cluster.to_owned(), name.to_owned());
        let answer = self.call(&format!("cannot look at service {name}"), |ecs: Client| {
            ecs.describe_services().cluster(into).services(which).send()
        })?;
        // One that was deleted is still told of for a while.
        let there = answer.services.unwrap_or_default().into_iter().map(service).find(|one| one.status != "INACTIVE");
        Ok(there)
    }

    fn task_definition(&self, id: &str) -> Result<Option<TaskDefinition>, OpError> {
        let which = id.to_owned();
        let answer = self.call(&format!("cannot look at task definition {id}"), |ecs: Client| {
            ecs.describe_task_definition().task_definition(which).send()
        });
        // AWS has no code of its own for one that is not there.
        let missing = |error: &Complaint| error.code.starts_with("ClientException");
        let answer = match answer {
            Err(complaint) if complaint.fault == Fault::Refused && missing(&complaint) => None,
            other => found(other)?,
        };
        Ok(answer.and_then(|answer| answer.task_definition).map(|of| TaskDefinition {
            exists: true,
            arn: of.task_definition_arn.unwrap_or_default(),
            family: of.family.unwrap_or_default(),
            revision: of.revision,
            status: of.status.map(|status| status.as_str().to_owned()).unwrap_or_default(),
            containers: of.container_definitions.unwrap_or_default().into_iter().map(container).collect(),
        }))
    }

    fn tasks(&self, cluster: &str, name: &str) -> Result<Vec<Task>, OpError> {
        let act = format!("cannot look at the tasks of service {name}");
        let (mut all, mut next) = (Vec::new(), None);
        loop {
            let (into, of, from) = (cluster.to_owned(), name.to_owned(), next.take());
            let answer = self.call(&act, |ecs: Client| {
                ecs.list_tasks()
                    .cluster(into)
                    .service_name(of)
                    .desired_status(DesiredStatus::Running)
                    .set_next_token(from)
                    .send()
            })?;
            all.extend(answer.task_arns.unwrap_or_default());
            next = answer.next_token.filter(|token| !token.is_empty());
            if next.is_none() {
                break;
            }
        }
        let mut tasks = Vec::new();
        for some in all.chunks(AT_ONCE) {
            let (into, which) = (cluster.to_owned(), some.to_vec());
            let answer =
                self.call(&act, |ecs: Client| ecs.describe_tasks().cluster(into).set_tasks(Some(which)).send())?;
            tasks.extend(answer.tasks.unwrap_or_default().into_iter().map(|of| Task {
                arn: of.task_arn.unwrap_or_default(),
                status: of.last_status.unwrap_or_default(),
                health: of.health_status.map(|health| health.as_str().to_owned()).unwrap_or_default(),
                task_definition: of.task_definition_arn.unwrap_or_default(),
                started_at: time(of.started_at.map(|at| at.secs())),
            }));
        }
        Ok(tasks)
    }
}

/// The service, which has to be there and in use.
pub(super) fn present(look: &dyn Look, act: &str, cluster: &str, name: &str) -> Result<Service, OpError> {
    let found = look.service(cluster, name)?.ok_or_else(|| {
        OpError::refused(format!("{act}: there is none in cluster {cluster}"))
            .with_hint("is it the right account and region? `sts.identity` tells which one this is")
    })?;
    if found.status == "DRAINING" {
        return Err(OpError::refused(format!("{act}: somebody deletes it"))
            .with_hint("find out who; create it anew once it is gone"));
    }
    Ok(found)
}
