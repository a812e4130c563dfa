//! The container client: which binary it is, how it is called, and what its complaints mean.

use std::collections::BTreeMap;
use std::path::Path;

use parking_lot::Mutex;

use crate::model::fault::{ErrorClass, OpError, Target};
use crate::ops::args::Confidential;
use crate::ops::context::ReadContext;
use crate::ops::process::{Captured, ReadCommand};

/// The label under which a container or volume holds the id of the run that made it.
pub const RUN_LABEL: &str = "muster.run";
/// The label under which it holds the key of the call that made it.
pub const KEY_LABEL: &str = "muster.key";
/// The environment variable that marks a program inside a container with the key of the call that started it.
pub const CALL_VARIABLE: &str = "MUSTER_CALL";

/// Names that would change the client itself if they were set in its environment.
fn belongs_to_the_client(name: &str) -> bool {
    matches!(name, "PATH" | "HOME" | "LANG" | "TZ" | "TMPDIR" | "XDG_RUNTIME_DIR" | "LD_PRELOAD" | "LD_LIBRARY_PATH")
        || ["DOCKER_", "CONTAINER_", "CONTAINERS_", "BUILDAH_", "STORAGE_"]
            .iter()
            .any(|prefix| name.starts_with(prefix))
}

/// The client binary: `MUSTER_CONTAINER_RUNTIME`, else `podman` if it is on the path, else `docker`.
#[must_use]
pub fn runtime() -> String {
    if let Some(named) = std::env::var("MUSTER_CONTAINER_RUNTIME").ok().filter(|name| !name.is_empty()) {
        return named;
    }
    let path = std::env::var_os("PATH").unwrap_or_default();
    let has_podman = std::env::split_paths(&path).any(|folder| folder.join("podman").is_file());
    if has_podman { "podman".to_owned() } else { "docker".to_owned() }
}

/// Whether the client is podman rather than docker.
#[must_use]
pub fn is_podman() -> bool {
    Path::new(&runtime()).file_name().is_some_and(|name| name.to_string_lossy().contains("podman"))
}

/// A call of the client with these arguments.
pub fn client(arguments: impl IntoIterator<Item = impl Into<String>>) -> ReadCommand {
    let mut argv = vec![runtime()];
    argv.extend(arguments.into_iter().map(Into::into));
    ReadCommand { argv, ..ReadCommand::default() }
}

/// Runs the client, and says what its complaint means if it has one.
///
/// # Errors
/// As [`explain`].
pub fn call(context: &ReadContext<'_>, act: &str, container: &str, command: ReadCommand) -> Result<Captured, OpError> {
    let captured = context.run_read(&ReadCommand { any_exit: true, ..command })?;
    if captured.code == 0 { Ok(captured) } else { Err(explain(act, container, captured.code, &captured.stderr)) }
}

/// What a complaint of the client means. `act` reads like `cannot stop container x`.
#[must_use]
pub fn explain(act: &str, thing: &str, code: i32, stderr: &str) -> OpError {
    let said = stderr.to_ascii_lowercase();
    let has = |part: &str| said.contains(part);
    let (class, fault, hint) =
        if has("no such container") || has("no container with name or id") || has("no such object") {
            (
                ErrorClass::Refused,
                "there is no such container".to_owned(),
                format!("`{} ps -a` lists the containers; it may have been removed by a `compose down`", runtime()),
            )
        } else if has("can only create exec sessions on running containers")
            || has("is not running")
            || has("container state improper")
        {
            (
                ErrorClass::Refused,
                "the container is not running".to_owned(),
                format!(
                    "start it with `{} start {thing}`, and look at `{} logs {thing}` for why it stopped",
                    runtime(),
                    runtime()
                ),
            )
        } else if has("no such volume") {
            (ErrorClass::Refused, "there is no such volume".to_owned(), format!("`{} volume ls` lists them", runtime()))
        } else if has("volume is being used") || has("volume is in use") {
            (
                ErrorClass::Refused,
                "the volume is in use by a container".to_owned(),
                format!("`{} ps -a --filter volume={thing}` names it", runtime()),
            )
        } else if has("image not known")
            || has("no such image")
            || has("unable to find image")
            || has("initializing source")
        {
            (
                ErrorClass::Refused,
                "the image is not on this host, and Muster pulls none".to_owned(),
                format!("load or pull it first: `{} pull …`", runtime()),
            )
        } else if has("cannot connect to the docker daemon")
            || has("unable to connect to podman")
            || has("connection refused")
        {
            (
                ErrorClass::Transient,
                "the container service does not answer".to_owned(),
                "start the Docker daemon, or look at DOCKER_HOST / CONTAINER_HOST".to_owned(),
            )
        } else if has("permission denied") && (has("docker.sock") || has("podman.sock") || has("docker daemon socket"))
        {
            (
                ErrorClass::Credentials,
                "this user may not talk to the container service".to_owned(),
                "run as a user of the `docker` group, or use rootless podman".to_owned(),
            )
        } else if has("no space left on device") {
            (
                ErrorClass::Failed,
                "the disk of the container host is full".to_owned(),
                "free space, then try again".to_owned(),
            )
        } else if has("already in use") || has("already exists") {
            (
                ErrorClass::Refused,
                "the name is already taken".to_owned(),
                "choose another name, or remove the old one first".to_owned(),
            )
        } else if has("executable file") && has("not found") || code == 127 {
            (
                ErrorClass::Refused,
                "the program does not exist inside the container".to_owned(),
                "check the first word of argv against what the image holds".to_owned(),
            )
        } else if has("no such file or directory") || has("could not find the file") || has("could not be found") {
            (
                ErrorClass::Failed,
                "there is no such file in it".to_owned(),
                "check the path; paths inside a container are absolute".to_owned(),
            )
        } else {
            (
                ErrorClass::Failed,
                format!("the client ended with exit code {code}"),
                "the detail is what it said itself".to_owned(),
            )
        };
    OpError::new(class, format!("{act}: {fault}")).with_detail(tail(stderr)).with_hint(hint)
}

/// The last words of a program: at most the last 20 lines.
#[must_use]
pub fn tail(text: &str) -> String {
    let lines: Vec<&str> = text.trim_end().lines().collect();
    lines[lines.len().saturating_sub(20)..].join("\n")
}

/// Adds `-e` arguments for the environment of a program inside a container. Plain values stand in the arguments, where
/// they cannot change the client itself; secrets only in the client's environment.
///
/// # Errors
/// Refused for a name that is none, and for a secret under a name that the client itself reads.
pub fn pass_environment(
    context: &ReadContext<'_>,
    wanted: &BTreeMap<String, Confidential>,
    argv: &mut Vec<String>,
    env: &mut BTreeMap<String, String>,
) -> Result<(), OpError> {
    for (name, value) in wanted {
        if name.is_empty() || name.contains(['=', '\0']) {
            return Err(OpError::refused(format!("`{name}` cannot be the name of an environment variable")));
        }
        argv.push("-e".to_owned());
        if let Some(text) = value.plain() {
            argv.push(format!("{name}={text}"));
        } else if belongs_to_the_client(name) {
            return Err(OpError::refused(format!("cannot pass a secret under the name {name}"))
                .with_hint("the container client itself reads a variable of that name; choose another"));
        } else {
            argv.push(name.clone());
            env.insert(name.clone(), value.reveal(context.secrets)?);
        }
    }
    Ok(())
}

/// What podman says of its host, by client and by the host that it is told to reach: once a process, since it is set up by what a
/// process starts with, and since podman takes ten times as long for it as for other questions.
static PODMAN: Mutex<BTreeMap<(String, String), String>> = Mutex::new(BTreeMap::new());

/// The identity of the container host: for docker the daemon's id; for podman the machine, the user and the storage.
///
/// # Errors
/// When the client does not answer.
pub fn host_target(context: &ReadContext<'_>) -> Result<Target, OpError> {
    let act = "cannot identify the container host";
    let identity = if is_podman() {
        let remote = std::env::var("CONTAINER_HOST").unwrap_or_default();
        let of = (runtime(), remote.clone());
        // Whoever asks at the same time waits for the answer.
        let mut known = PODMAN.lock();
        let seen = match known.get(&of) {
            Some(seen) => seen.clone(),
            None => {
                let format = "{{.Host.Security.Rootless}} {{.Store.GraphRoot}}";
                let seen = call(context, act, "", client(["info", "--format", format]))?.stdout.trim().to_owned();
                known.insert(of, seen.clone());
                seen
            }
        };
        let machine = std::fs::read_to_string("/etc/machine-id").unwrap_or_default();
        let mut identity = format!("podman {} {seen}", machine.trim());
        if !remote.is_empty() {
            identity.push_str(&format!(" {remote}"));
        }
        identity
    } else {
        let seen = call(context, act, "", client(["info", "--format", "{{.ID}}"]))?;
        format!("docker {}", seen.stdout.trim())
    };
    Ok(Target { name: "container host".to_owned(), identity })
}
