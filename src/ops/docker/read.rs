//! The docker operations that only look.

use std::collections::BTreeMap;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::args::{ContainerArgs, check_name};
use super::client::{call, client, explain, host_target, is_podman, pass_environment, runtime};
use super::inspect::{Container, image_id, inspect, inspect_existing, inspect_running};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::args::{Confidential, Period};
use crate::ops::context::ReadContext;
use crate::ops::process::ReadCommand;
use crate::ops::spec::{Effect, Operation, Poll, Read, Wait};

/// No arguments.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct NoArgs {}

/// The container runtime of this host.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct RuntimeInfo {
    /// `podman` or `docker`, or the path of it.
    pub runtime: String,
    /// Its version.
    pub version: String,
    /// What tells this container host from any other.
    pub host_id: String,
}

/// `docker.info`.
pub struct Info;

impl Operation for Info {
    const NAME: &'static str = "docker.info";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "which container runtime there is, and what identifies its host";
    const PERMISSION: &'static str = "podman or docker";
    type Args = NoArgs;
    type Output = RuntimeInfo;

    fn resource(_args: &NoArgs) -> String {
        "docker".to_owned()
    }

    fn target(context: &ReadContext<'_>, _args: &NoArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

impl Read for Info {
    fn read(context: &ReadContext<'_>, _args: NoArgs) -> Result<RuntimeInfo, OpError> {
        let format = if is_podman() { "{{.Client.Version}}" } else { "{{.Server.Version}}" };
        let act = "cannot ask the container runtime for its version";
        let seen = call(context, act, "", client(["version", "--format", format]))?;
        let host = host_target(context)?;
        Ok(RuntimeInfo { runtime: runtime(), version: seen.stdout.trim().to_owned(), host_id: host.identity })
    }
}

/// `docker.inspect`.
pub struct Inspect;

impl Operation for Inspect {
    const NAME: &'static str = "docker.inspect";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "what a container is right now; `exists: false` when there is none";
    const PERMISSION: &'static str = "podman or docker";
    type Args = ContainerArgs;
    type Output = Container;

    fn resource(args: &ContainerArgs) -> String {
        format!("docker/{}", args.container)
    }

    fn target(context: &ReadContext<'_>, _args: &ContainerArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

impl Read for Inspect {
    fn read(context: &ReadContext<'_>, args: ContainerArgs) -> Result<Container, OpError> {
        inspect(context, &args.container)
    }
}

/// `docker.image`.
pub struct Image;

/// An image by name.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ImageArgs {
    /// Name and tag, or id.
    pub image: String,
}

/// Whether an image is on this host.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ImageFound {
    /// Whether it is there.
    pub exists: bool,
    /// Its id; empty when it is not.
    pub id: String,
}

impl Operation for Image {
    const NAME: &'static str = "docker.image";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "whether an image is on this host. Nothing is ever pulled";
    const PERMISSION: &'static str = "podman or docker";
    type Args = ImageArgs;
    type Output = ImageFound;

    fn resource(args: &ImageArgs) -> String {
        format!("image/{}", args.image)
    }

    fn target(context: &ReadContext<'_>, _args: &ImageArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

impl Read for Image {
    fn read(context: &ReadContext<'_>, args: ImageArgs) -> Result<ImageFound, OpError> {
        let id = image_id(context, &args.image)?;
        Ok(ImageFound { exists: id.is_some(), id: id.unwrap_or_default() })
    }
}

/// `docker.list`.
pub struct List;

/// Which containers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ListArgs {
    /// Only those with this label: `name` or `name=value`.
    #[serde(default)]
    pub label: Option<String>,
    /// Also those that do not run.
    #[serde(default = "yes")]
    pub all: bool,
}

fn yes() -> bool {
    true
}

/// The containers of this host.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ContainerList {
    /// By name.
    pub containers: Vec<ListedContainer>,
}

/// One container of a list.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ListedContainer {
    /// Its full id.
    pub id: String,
    /// Its name.
    pub name: String,
    /// `running`, `exited`, …
    pub state: String,
    /// The image's name.
    pub image: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

impl Operation for List {
    const NAME: &'static str = "docker.list";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "the containers of this host, by name";
    const PERMISSION: &'static str = "podman or docker";
    type Args = ListArgs;
    type Output = ContainerList;

    fn resource(_args: &ListArgs) -> String {
        "docker".to_owned()
    }

    fn target(context: &ReadContext<'_>, _args: &ListArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

impl Read for List {
    fn read(context: &ReadContext<'_>, args: ListArgs) -> Result<ContainerList, OpError> {
        let mut argv = vec!["ps".to_owned(), "--no-trunc".to_owned(), "--format".to_owned(), "{{.Names}}".to_owned()];
        if args.all {
            argv.push("-a".to_owned());
        }
        if let Some(label) = &args.label {
            argv.extend(["--filter".to_owned(), format!("label={label}")]);
        }
        let seen = call(context, "cannot list containers", "", client(argv))?;
        let mut names: Vec<&str> = seen.stdout.lines().map(str::trim).filter(|name| !name.is_empty()).collect();
        names.sort_unstable();
        let mut containers = Vec::with_capacity(names.len());
        for name in names {
            // One that has gone since the list was taken is not listed.
            let container = inspect(context, name)?;
            if container.exists {
                containers.push(ListedContainer {
                    id: container.id,
                    name: name.to_owned(),
                    state: container.state,
                    image: container.image,
                    labels: container.labels,
                });
            }
        }
        Ok(ContainerList { containers })
    }
}

/// `docker.volume`.
pub struct Volume;

/// A volume by name.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct VolumeArgs {
    /// Name of the volume.
    pub volume: String,
}

/// A volume as it is.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct VolumeFound {
    /// Whether it is there.
    pub exists: bool,
    /// Its folder on the host; empty when it is not there.
    pub mountpoint: String,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
}

/// Looks at a volume.
///
/// # Errors
/// When the client does not answer. No such volume is an answer.
pub fn volume(context: &ReadContext<'_>, name: &str) -> Result<VolumeFound, OpError> {
    check_name("volume", name)?;
    let act = format!("cannot inspect volume {name}");
    let seen = context.run_read(&ReadCommand { any_exit: true, ..client(["volume", "inspect", name]) })?;
    if seen.code != 0 {
        return if seen.stderr.to_ascii_lowercase().contains("no such volume") {
            Ok(VolumeFound::default())
        } else {
            Err(explain(&act, name, seen.code, &seen.stderr))
        };
    }
    let parsed: Value = serde_json::from_str(&seen.stdout)
        .map_err(|e| OpError::failed(format!("{act}: its answer is no JSON: {e}")))?;
    let labels = parsed.pointer("/0/Labels").and_then(Value::as_object).map(|labels| {
        labels.iter().filter_map(|(name, value)| Some((name.clone(), value.as_str()?.to_owned()))).collect()
    });
    let mountpoint = parsed.pointer("/0/Mountpoint").and_then(Value::as_str).unwrap_or_default().to_owned();
    Ok(VolumeFound { exists: true, mountpoint, labels: labels.unwrap_or_default() })
}

impl Operation for Volume {
    const NAME: &'static str = "docker.volume";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "what a volume is right now; `exists: false` when there is none";
    const PERMISSION: &'static str = "podman or docker";
    type Args = VolumeArgs;
    type Output = VolumeFound;

    fn resource(args: &VolumeArgs) -> String {
        format!("volume/{}", args.volume)
    }

    fn target(context: &ReadContext<'_>, _args: &VolumeArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

impl Read for Volume {
    fn read(context: &ReadContext<'_>, args: VolumeArgs) -> Result<VolumeFound, OpError> {
        volume(context, &args.volume)
    }
}

/// `docker.read`.
pub struct ReadInside;

/// A program that only reads, inside a running container.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadInsideArgs {
    /// Name or id of the container.
    pub container: String,
    /// The program and its arguments. No shell.
    pub argv: Vec<String>,
    /// The user it runs as.
    #[serde(default)]
    pub user: Option<String>,
    /// Its additional environment; values may be secrets.
    #[serde(default)]
    pub env: BTreeMap<String, Confidential>,
    /// What it reads.
    #[serde(default)]
    pub stdin: Option<String>,
    /// How long it may take; 30 s when absent.
    #[serde(default)]
    pub timeout: Option<Period>,
    /// Whether an exit code other than 0 is an answer rather than an error.
    #[serde(default)]
    pub any_exit: bool,
}

/// What a short program printed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Printed {
    /// Its exit code.
    pub code: i32,
    /// Its standard output.
    pub stdout: String,
    /// Its standard error.
    pub stderr: String,
}

impl Operation for ReadInside {
    const NAME: &'static str = "docker.read";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "runs a program inside a running container and captures what it prints. A trusted \
         read: nothing keeps the program from writing, so it is granted by pattern and also runs in a plan";
    const PERMISSION: &'static str = "podman or docker; exec into the container";
    const TYPICAL: Duration = Duration::from_millis(300);
    type Args = ReadInsideArgs;
    type Output = Printed;

    fn resource(args: &ReadInsideArgs) -> String {
        format!("docker/{}", args.container)
    }

    fn target(context: &ReadContext<'_>, _args: &ReadInsideArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

impl Read for ReadInside {
    fn read(context: &ReadContext<'_>, args: ReadInsideArgs) -> Result<Printed, OpError> {
        check_name("container", &args.container)?;
        let program = args.argv.first().cloned().unwrap_or_default();
        let act = format!("cannot run {program} in container {}", args.container);
        if program.is_empty() {
            return Err(OpError::refused(format!("{act}: argv is empty")));
        }
        let mut command = client(["exec"]);
        if args.stdin.is_some() {
            command.argv.push("-i".to_owned());
        }
        if let Some(user) = &args.user {
            command.argv.extend(["--user".to_owned(), user.clone()]);
        }
        pass_environment(context, &args.env, &mut command.argv, &mut command.env)?;
        command.argv.push(args.container.clone());
        command.argv.extend(args.argv.iter().cloned());
        command.stdin = args.stdin.map(String::into_bytes);
        command.timeout = args.timeout.map(|timeout| timeout.0);
        command.any_exit = true;
        let seen = context.run_read(&command)?;
        if seen.code != 0 {
            // 125 and up may be the client's own code: only then is the container asked whether it is there at all.
            if seen.code >= 125 {
                inspect_running(context, &act, &args.container)?;
            }
            if !args.any_exit || client_failed(seen.code, &seen.stderr) {
                return Err(explain(&act, &args.container, seen.code, &seen.stderr));
            }
        }
        Ok(Printed { code: seen.code, stdout: seen.stdout, stderr: seen.stderr })
    }
}

/// Whether an exit code is the client's own, rather than that of the program it ran.
fn client_failed(code: i32, stderr: &str) -> bool {
    code == 125 || (matches!(code, 126 | 127) && (stderr.starts_with("Error:") || stderr.contains("OCI runtime")))
}

/// `docker.wait_healthy`.
pub struct WaitHealthy;

impl Operation for WaitHealthy {
    const NAME: &'static str = "docker.wait_healthy";
    const EFFECT: Effect = Effect::Wait;
    const DOC: &'static str = "waits until a container is healthy by its own healthcheck, or runs if it has none. A \
         container that has exited is an error";
    const PERMISSION: &'static str = "podman or docker";
    const TYPICAL: Duration = Duration::from_secs(5);
    type Args = ContainerArgs;
    type Output = Container;

    fn resource(args: &ContainerArgs) -> String {
        format!("docker/{}", args.container)
    }

    fn target(context: &ReadContext<'_>, _args: &ContainerArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

impl Wait for WaitHealthy {
    fn poll(context: &ReadContext<'_>, args: ContainerArgs) -> Result<Poll<Container>, OpError> {
        let act = format!("cannot wait for container {} to be healthy", args.container);
        let container = inspect_existing(context, &act, &args.container)?;
        if matches!(container.state.as_str(), "exited" | "dead" | "removing" | "stopped") {
            let code = container.exit_code;
            return Err(OpError::failed(format!("{act}: it is {} with exit code {code}", container.state))
                .with_hint(format!("`{} logs {}` tells why", runtime(), args.container)));
        }
        if container.running && matches!(container.health.as_str(), "" | "healthy") {
            return Ok(Poll::Ready(container));
        }
        if container.running && is_podman() {
            // Podman leaves the checks to systemd timers; where there is no systemd nothing would ever run them. The
            // check itself only reads.
            let check = ReadCommand { any_exit: true, ..client(["healthcheck", "run", &args.container]) };
            if context.run_read(&check)?.code == 0 {
                let container = Container { health: "healthy".to_owned(), ..inspect(context, &args.container)? };
                return Ok(Poll::Ready(container));
            }
        }
        let word = if container.health.is_empty() { container.state } else { container.health };
        Ok(Poll::Pending(Some(word), Duration::from_millis(500)))
    }
}
