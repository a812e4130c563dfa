//! Services of ECS in a plan: which a call looks at and changes, how a live one is, and what differs afterwards.

use serde::Deserialize;
use serde_json::json;

use super::diff::{Difference, push, sides};
use super::import::Importer;
use super::state::State;
use crate::model::Value;
use crate::ops::aws::Access;
use crate::ops::aws::ecs::{Service, plain_name};
use crate::sandbox::ecs::{Running, service_key};
use crate::sandbox::world::World;

fn access(args: &Value) -> Access {
    args.get("aws").and_then(|aws| Access::deserialize(aws).ok()).unwrap_or_default()
}

fn text<'a>(args: &'a Value, name: &str) -> &'a str {
    args.get(name).and_then(Value::as_str).unwrap_or_default()
}

/// The key of what a call names: a service, or a task definition, which nothing changes.
pub(super) fn key(op: &str, args: &Value) -> String {
    match op {
        "ecs.task_definition" => {
            access(args).resource("ecs", &format!("task-definition/{}", plain_name(text(args, "task_definition"))))
        }
        _ => access(args).resource("ecs", &service_key(text(args, "cluster"), text(args, "service"))),
    }
}

impl Importer<'_> {
    /// Looks at the service that the call names.
    pub(super) fn see_service(&self, state: &mut State, key: &str) -> Result<(), String> {
        let args = &self.request.args;
        let (access, cluster, name) = (access(args), text(args, "cluster"), text(args, "service"));
        if name.is_empty() {
            return Ok(());
        }
        let label = access.label();
        match &state.world.aws.ecs.label {
            Some(known) if *known != label => {
                return Err("a plan follows the services of one account and region, and it began with another".into());
            }
            Some(_) => {}
            None => state.world_mut().aws.ecs.label = Some(label),
        }
        if state.is_own(key) || state.seen.contains(key) {
            return Ok(());
        }
        let found: Service = self.ask("ecs.service", json!({ "cluster": cluster, "service": name, "aws": access }))?;
        if found.running != found.desired && found.exists {
            return Err(format!("service {name} is on its way from {} to {} tasks", found.running, found.desired));
        }
        if found.exists {
            let seen = Running {
                desired: found.desired,
                arn: found.arn.clone(),
                id: found.primary_id(),
                task_definition: found.task_definition,
                ..Running::default()
            };
            state.world_mut().aws.ecs.services.insert(service_key(cluster, name), seen);
        }
        state.seen.insert(key.to_owned());
        Ok(())
    }
}

fn shown(service: &Running) -> Value {
    json!({ "desired": service.desired, "deployment": service.id })
}

/// What differs between the services of two worlds.
pub(super) fn differences(before: &World, after: &World, found: &mut Vec<Difference>) {
    let label = after.aws.ecs.label.as_deref().filter(|label| !label.is_empty());
    let label = label.map_or(String::new(), |label| format!("{}:", label.replace('/', "|")));
    for item in before.aws.ecs.services.diff(&after.aws.ecs.services) {
        let (name, old, new) = sides(item);
        let key = format!("ecs/{label}{name}");
        push(key, old.map_or(Value::Null, shown), new.map_or(Value::Null, shown), found);
    }
}
