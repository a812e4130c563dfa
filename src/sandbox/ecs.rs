//! The services of ECS in a sandbox's AWS account: what they are, and what becomes of them as time passes.

use std::time::Duration;

use serde::{Deserialize, Serialize};

use super::aws::View;
use super::rds::later;
use super::veil;
use super::world::{Named, World};
use crate::model::Timestamp;
use crate::model::fault::OpError;
use crate::ops::aws::ecs::{Deployment, Look, Service, Task, TaskDefinition, plain_name};

/// The services of an account.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Ecs {
    /// Services by cluster and name: `prod/web`.
    pub services: Named<Running>,
    /// Task definitions by family and revision: `web:7`.
    pub task_definitions: Named<TaskDefinition>,
    /// How the account is reached, in a plan over a live one.
    #[serde(skip)]
    pub label: Option<String>,
}

/// A service.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub struct Running {
    /// Its ARN; made of its name when it is empty.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub arn: String,
    /// How many tasks it is to have.
    pub desired: i32,
    /// The task definition it runs: `web:7`.
    pub task_definition: String,
    /// The id of the deployment that counts.
    pub id: String,
    /// How a roll-out of it ends that does not end well: `FAILED`.
    #[serde(skip_serializing_if = "String::is_empty")]
    pub rollouts_end: String,
    /// What it does.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub course: Option<Course>,
}

/// What a service is at until it has as many tasks as it is to have.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Course {
    /// How many tasks run until then.
    pub running: i32,
    /// When it is done.
    pub until: Timestamp,
    /// Whether all its tasks are being replaced.
    pub rollout: bool,
}

impl Default for Running {
    fn default() -> Self {
        Self {
            arn: String::new(),
            desired: 1,
            task_definition: String::new(),
            id: "ecs-svc/0000000000000000001".to_owned(),
            rollouts_end: String::new(),
            course: None,
        }
    }
}

impl Ecs {
    /// Whether there is nothing in it.
    #[must_use]
    pub fn is_default(&self) -> bool {
        *self == Self::default()
    }
}

impl Running {
    /// How many tasks run at this time.
    #[must_use]
    pub fn running(&self, now: Timestamp) -> i32 {
        self.course.as_ref().filter(|change| now < change.until).map_or(self.desired, |change| change.running)
    }

    /// Begins something that takes this long.
    pub fn begin(&mut self, now: Timestamp, takes: Duration, rollout: bool) {
        self.course = Some(Course { running: self.running(now), until: later(now, takes), rollout });
    }

    fn shown(&self, cluster: &str, name: &str, world: &World, now: Timestamp) -> Service {
        let of = &world.aws;
        let arn = |what: &str| format!("arn:aws:ecs:{}:{}:{what}", of.region, of.account);
        let definition = match self.task_definition.as_str() {
            "" => arn(&format!("task-definition/{name}:1")),
            full if full.starts_with("arn:") || veil::marked(full).is_some() => full.to_owned(),
            short => arn(&format!("task-definition/{short}")),
        };
        let running = self.running(now);
        let at_it = self.course.as_ref().filter(|change| now < change.until);
        let ended = self.course.as_ref().is_some_and(|change| change.rollout && now >= change.until);
        let (rollout, reason) = match at_it {
            Some(change) if change.rollout => ("IN_PROGRESS", format!("ECS deployment {} in progress.", self.id)),
            None if ended && !self.rollouts_end.is_empty() => {
                (self.rollouts_end.as_str(), "ECS deployment circuit breaker: tasks failed to start.".to_owned())
            }
            _ => ("COMPLETED", format!("ECS deployment {} completed.", self.id)),
        };
        let pending = (self.desired - running).max(0);
        Service {
            exists: true,
            name: name.to_owned(),
            arn: if self.arn.is_empty() { arn(&format!("service/{cluster}/{name}")) } else { self.arn.clone() },
            status: "ACTIVE".to_owned(),
            desired: self.desired,
            running,
            pending,
            task_definition: definition.clone(),
            deployments: vec![Deployment {
                id: self.id.clone(),
                status: "PRIMARY".to_owned(),
                rollout: rollout.to_owned(),
                reason: if world.planned { veil::mark("what ECS says then") } else { reason },
                task_definition: definition,
                desired: self.desired,
                running,
                pending,
                failed: 0,
                created_at: if world.planned { veil::mark("when the run comes to it") } else { String::new() },
            }],
            events: Vec::new(),
        }
    }
}

/// The key of a service in the sandbox.
#[must_use]
pub fn service_key(cluster: &str, service: &str) -> String {
    format!("{}/{}", plain_name(cluster), plain_name(service))
}

impl Look for View<'_> {
    fn service(&self, cluster: &str, service: &str) -> Result<Option<Service>, OpError> {
        let found = self.world.aws.ecs.services.get(&service_key(cluster, service));
        Ok(found.map(|found| found.shown(plain_name(cluster), plain_name(service), self.world, self.now)))
    }

    fn task_definition(&self, id: &str) -> Result<Option<TaskDefinition>, OpError> {
        let (aws, id) = (&self.world.aws, plain_name(id));
        let all = aws.ecs.task_definitions.iter();
        let split = |key: &str| key.rsplit_once(':').and_then(|(family, n)| Some((family.to_owned(), n.parse().ok()?)));
        let found = all
            .filter_map(|(key, found)| {
                split(key).map(|(family, revision): (String, i32)| (family, revision, key, found))
            })
            .filter(|(family, _, key, _)| *key == id || family == id)
            .max_by_key(|(_, revision, ..)| *revision);
        Ok(found.map(|(family, revision, key, found)| TaskDefinition {
            exists: true,
            arn: format!("arn:aws:ecs:{}:{}:task-definition/{key}", aws.region, aws.account),
            family,
            revision,
            status: "ACTIVE".to_owned(),
            containers: found.containers.clone(),
        }))
    }

    fn tasks(&self, cluster: &str, service: &str) -> Result<Vec<Task>, OpError> {
        let Some(found) = self.service(cluster, service)? else {
            return Err(OpError::refused(format!("cannot look at the tasks of service {service}: there is none")));
        };
        let of = self.world.aws.ecs.services.get(&service_key(cluster, service));
        let since = of.and_then(|of| of.course.as_ref()).map(|change| change.until).filter(|until| *until <= self.now);
        let name = |place: i32| match self.world.planned {
            true => veil::mark("ECS gives it an id"),
            false => format!("{}/{place:032x}", found.arn.replace(":service/", ":task/")),
        };
        Ok((0..found.running)
            .map(|place| Task {
                arn: name(place),
                status: "RUNNING".to_owned(),
                health: "UNKNOWN".to_owned(),
                task_definition: found.task_definition.clone(),
                started_at: match self.world.planned {
                    true => veil::mark("when it is started"),
                    false => since.unwrap_or(self.world.now).to_string(),
                },
            })
            .collect())
    }
}
