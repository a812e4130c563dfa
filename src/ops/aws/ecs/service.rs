//! What a service, its deployments and its task definition are, as playbooks see them.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

/// A service as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Service {
    /// Whether there is one.
    pub exists: bool,
    /// Its name; empty when there is none, as all that follows.
    pub name: String,
    /// Its ARN.
    pub arn: String,
    /// `ACTIVE`, `DRAINING` or `INACTIVE`.
    pub status: String,
    /// How many tasks it is to have.
    pub desired: i32,
    /// How many run.
    pub running: i32,
    /// How many are starting.
    pub pending: i32,
    /// The ARN of the task definition that it runs.
    pub task_definition: String,
    /// What is being rolled out, and what was last: the one that counts (`PRIMARY`) first.
    pub deployments: Vec<Deployment>,
    /// What ECS said last of it, the latest first.
    pub events: Vec<String>,
}

/// A roll-out of a service.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Deployment {
    /// Its id.
    pub id: String,
    /// `PRIMARY` for the one that counts, `ACTIVE` for one whose tasks are being replaced.
    pub status: String,
    /// `IN_PROGRESS`, `COMPLETED` or `FAILED`; empty where something else than ECS rolls out.
    pub rollout: String,
    /// Why it is so.
    pub reason: String,
    /// The ARN of its task definition.
    pub task_definition: String,
    /// How many tasks it is to have.
    pub desired: i32,
    /// How many run.
    pub running: i32,
    /// How many are starting.
    pub pending: i32,
    /// How many have failed to start.
    pub failed: i32,
    /// When it was begun.
    pub created_at: String,
}

impl Service {
    /// The roll-out that counts.
    #[must_use]
    pub fn primary(&self) -> Option<&Deployment> {
        self.deployments.iter().find(|one| one.status == "PRIMARY")
    }

    /// Its id; empty when there is none.
    #[must_use]
    pub fn primary_id(&self) -> String {
        self.primary().map(|one| one.id.clone()).unwrap_or_default()
    }
}

/// A task definition as it is.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct TaskDefinition {
    /// Whether there is one.
    pub exists: bool,
    /// Its ARN; empty when there is none, as all that follows.
    pub arn: String,
    /// Its family.
    pub family: String,
    /// Its revision within the family.
    pub revision: i32,
    /// `ACTIVE`, or `INACTIVE` when it was deregistered.
    pub status: String,
    /// Its containers.
    pub containers: Vec<Container>,
}

/// A container of a task definition.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(default)]
pub struct Container {
    /// Its name.
    pub name: String,
    /// Its image.
    pub image: String,
    /// The names of the variables that stand in the definition; their values may be anything, and are left out.
    pub variables: Vec<String>,
    /// Variables that are read from a secret when a task starts, and the ARN (with field) of that.
    pub secrets: BTreeMap<String, String>,
}

/// The last part of a name that may be given as an ARN.
#[must_use]
pub fn plain_name(name: &str) -> &str {
    name.rsplit('/').next().unwrap_or(name)
}
