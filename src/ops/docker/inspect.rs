//! What a container is right now, as the client's `inspect` tells it.

use std::collections::BTreeMap;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::{RUN_LABEL, call, client};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::context::ReadContext;
use crate::ops::process::ReadCommand;

/// A place where a container sees a volume or a folder of the host.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Mount {
    /// `volume`, `bind` or `tmpfs`.
    pub kind: String,
    /// The volume's name; empty for a bind mount.
    pub name: String,
    /// The folder on the host.
    pub source: String,
    /// The folder inside the container.
    pub destination: String,
}

/// What a container is right now. All empty but `exists` when there is none.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Container {
    /// Whether there is a container of that name.
    pub exists: bool,
    /// Its full id.
    pub id: String,
    /// `created`, `running`, `paused`, `exited`, …
    pub state: String,
    /// Whether it runs.
    pub running: bool,
    /// `starting`, `healthy`, `unhealthy`; empty without a healthcheck.
    pub health: String,
    /// The image's name.
    pub image: String,
    /// The image's id.
    pub image_id: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What it mounts.
    pub mounts: Vec<Mount>,
    /// When it was last started, as the client writes it.
    pub started_at: String,
    /// The exit code of its last end.
    pub exit_code: i64,
    /// The run that made it; empty when no run did.
    pub owned_by: String,
}

impl Container {
    /// Whether it was made, but never started.
    #[must_use]
    pub fn never_started(&self) -> bool {
        self.exists && matches!(self.state.as_str(), "created" | "configured" | "initialized")
    }
}

/// Looks at a container.
///
/// # Errors
/// When the client does not answer. No such container is an answer.
pub fn inspect(context: &ReadContext<'_>, name: &str) -> Result<Container, OpError> {
    super::args::check_name("container", name)?;
    let act = format!("cannot inspect container {name}");
    let command = client(["container", "inspect", name]);
    let seen = context.run_read(&ReadCommand { any_exit: true, ..command })?;
    if seen.code != 0 {
        let said = seen.stderr.to_ascii_lowercase();
        if said.contains("no such container")
            || said.contains("no such object")
            || said.contains("no container with name")
        {
            return Ok(Container::default());
        }
        return Err(super::client::explain(&act, name, seen.code, &seen.stderr));
    }
    let parsed: Value = serde_json::from_str(&seen.stdout)
        .map_err(|e| OpError::failed(format!("{act}: its answer is no JSON: {e}")))?;
    Ok(parse(parsed.get(0).unwrap_or(&Value::Null)))
}

/// Looks at a container that has to be there.
///
/// # Errors
/// Refused when it is not.
pub fn inspect_existing(context: &ReadContext<'_>, act: &str, name: &str) -> Result<Container, OpError> {
    let container = inspect(context, name)?;
    if container.exists {
        return Ok(container);
    }
    Err(OpError::refused(format!("{act}: there is no container {name}"))
        .with_hint("it may have been removed by a `compose down`; bring the deployment up first"))
}

/// Looks at a container that has to run.
///
/// # Errors
/// Refused when it does not.
pub fn inspect_running(context: &ReadContext<'_>, act: &str, name: &str) -> Result<Container, OpError> {
    let container = inspect_existing(context, act, name)?;
    if container.running {
        return Ok(container);
    }
    Err(OpError::refused(format!("{act}: container {name} is not running, it is {}", container.state))
        .with_hint(format!("start it with `{} start {name}`", super::client::runtime())))
}

fn text(value: &Value, pointer: &str) -> String {
    value.pointer(pointer).and_then(Value::as_str).unwrap_or_default().to_owned()
}

fn parse(seen: &Value) -> Container {
    let labels: BTreeMap<String, String> = seen
        .pointer("/Config/Labels")
        .and_then(Value::as_object)
        .map(|labels| {
            labels.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
        })
        .unwrap_or_default();
    // Docker calls it `Health`, podman before 5 `Healthcheck`; podman writes an empty status when there is no check.
    let health = [text(seen, "/State/Health/Status"), text(seen, "/State/Healthcheck/Status")]
        .into_iter()
        .find(|status| !status.is_empty() && status != "none")
        .unwrap_or_default();
    let mounts = seen
        .pointer("/Mounts")
        .and_then(Value::as_array)
        .map(|mounts| {
            mounts
                .iter()
                .map(|mount| Mount {
                    kind: text(mount, "/Type"),
                    name: text(mount, "/Name"),
                    source: text(mount, "/Source"),
                    destination: text(mount, "/Destination"),
                })
                .collect()
        })
        .unwrap_or_default();
    let state = text(seen, "/State/Status");
    let image = [text(seen, "/ImageName"), text(seen, "/Config/Image")].into_iter().find(|name| !name.is_empty());
    Container {
        exists: true,
        id: text(seen, "/Id"),
        running: state == "running",
        health,
        image: image.unwrap_or_default(),
        image_id: text(seen, "/Image"),
        owned_by: labels.get(RUN_LABEL).cloned().unwrap_or_default(),
        labels,
        mounts,
        started_at: text(seen, "/State/StartedAt"),
        exit_code: seen.pointer("/State/ExitCode").and_then(Value::as_i64).unwrap_or_default(),
        state,
    }
}

/// Whether the image is on this host, and its id.
///
/// # Errors
/// When the client does not answer.
pub fn image_id(context: &ReadContext<'_>, image: &str) -> Result<Option<String>, OpError> {
    super::args::check_name("image", image)?;
    let command = client(["image", "inspect", "--format", "{{.Id}}", image]);
    let seen = context.run_read(&ReadCommand { any_exit: true, ..command.clone() })?;
    if seen.code == 0 {
        return Ok(Some(seen.stdout.trim().to_owned()));
    }
    let said = seen.stderr.to_ascii_lowercase();
    if said.contains("no such image") || said.contains("image not known") || said.contains("no such object") {
        return Ok(None);
    }
    call(context, &format!("cannot inspect image {image}"), image, command)
        .map(|seen| Some(seen.stdout.trim().to_owned()))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn podman_and_docker_name_the_health_differently() {
        let docker = serde_json::json!({"State": {"Status": "running", "Health": {"Status": "healthy"}}});
        let podman = serde_json::json!({"State": {"Status": "running", "Healthcheck": {"Status": "starting"}}});
        let without = serde_json::json!({"State": {"Status": "exited", "Health": {"Status": ""}}});
        assert_eq!(parse(&docker).health, "healthy");
        assert_eq!(parse(&podman).health, "starting");
        assert_eq!((parse(&without).health.as_str(), parse(&without).running), ("", false));
    }
}
