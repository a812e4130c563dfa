//! Running a program in a container of its own, that is removed when its end is recorded.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::json;
use sha2::{Digest, Sha256};

use super::args::{MountArgs, check_name, push_labels};
use super::client::{CALL_VARIABLE, KEY_LABEL, RUN_LABEL, client, host_target, is_podman, pass_environment, tail};
use super::exec::{faulty, program_failed, zero};
use super::inspect::{image_id, inspect};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::args::{Confidential, Period};
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::exec::{RunOutput, check_streams};
use crate::ops::files::hex;
use crate::ops::process::{ChildStatus, Ended, ReadCommand, WriteCommand};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write};

/// `docker.run`.
pub struct Run;

/// A program in a container of its own.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunArgs {
    /// The image, which must be on this host.
    pub image: String,
    /// The program and its arguments. No shell.
    pub argv: Vec<String>,
    /// Replaces the image's entrypoint; an empty text removes it.
    #[serde(default)]
    pub entrypoint: Option<String>,
    /// What it sees of this host.
    #[serde(default)]
    pub mounts: Vec<MountArgs>,
    /// Its network; `none` when absent.
    #[serde(default = "no_network")]
    pub network: String,
    /// The user it runs as.
    #[serde(default)]
    pub user: Option<String>,
    /// Its additional environment; values may be secrets.
    #[serde(default)]
    pub env: BTreeMap<String, Confidential>,
    /// A file of this host that it reads as standard input.
    #[serde(default)]
    pub stdin_file: Option<String>,
    /// A file of this host that its standard output goes to; it appears whole, or not at all.
    #[serde(default)]
    pub stdout_file: Option<String>,
    /// How long it may take.
    #[serde(default)]
    pub timeout: Option<Period>,
    /// Exit codes that are no failure.
    #[serde(default = "zero")]
    pub ok_codes: Vec<i32>,
}

pub(super) fn no_network() -> String {
    "none".to_owned()
}

/// The name of the one-shot container of a call.
fn name_of(key: &str) -> String {
    format!("muster-{key}")
}

fn act(args: &RunArgs) -> String {
    format!("cannot run {} in a container of image {}", args.argv.first().map_or("", String::as_str), args.image)
}

/// The labels under which a thing made by this call is found again.
pub(super) fn ownership(context: &ReadContext<'_>) -> BTreeMap<String, String> {
    [(RUN_LABEL, context.run.as_str()), (KEY_LABEL, context.key)]
        .map(|(name, value)| (name.to_owned(), value.to_owned()))
        .into()
}

/// Checks the mounts: volumes and folders that are not there would be made by the client, empty and unasked for.
pub(super) fn check_mounts(context: &ReadContext<'_>, act: &str, mounts: &[MountArgs]) -> Result<(), OpError> {
    for mount in mounts {
        mount.option()?;
        if let Some(volume) = &mount.volume
            && !super::read::volume(context, volume)?.exists
        {
            return Err(OpError::refused(format!("{act}: there is no volume {volume}")).with_hint(
                "make it with docker.create_volume, or check its name: compose puts the project before it",
            ));
        }
        if let Some(folder) = &mount.bind
            && !std::path::Path::new(folder).exists()
        {
            return Err(OpError::refused(format!("{act}: there is no {folder} to mount")));
        }
    }
    Ok(())
}

/// Checks that an image is on this host.
pub(super) fn check_image(context: &ReadContext<'_>, act: &str, image: &str) -> Result<String, OpError> {
    image_id(context, image)?.ok_or_else(|| {
        OpError::refused(format!("{act}: the image is not on this host, and Muster pulls none"))
            .with_hint("pull or load it first")
    })
}

impl Operation for Run {
    const NAME: &'static str = "docker.run";
    const EFFECT: Effect = Effect::Exec;
    const DOC: &'static str = "runs a program in a container of its own, which is removed once its end is recorded";
    const PERMISSION: &'static str = "podman or docker";
    const TYPICAL: Duration = Duration::from_secs(5);
    type Args = RunArgs;
    type Output = RunOutput;

    fn resource(args: &RunArgs) -> String {
        let changed = args.mounts.iter().filter(|mount| !mount.read_only).find_map(|mount| mount.volume.as_ref());
        changed.map_or_else(|| format!("image/{}", args.image), |volume| format!("volume/{volume}"))
    }

    fn touches(args: &RunArgs, _before: &Value) -> Vec<Touch> {
        let mounted = super::args::touched(&args.mounts);
        // One that can write nowhere reads what is mounted: that has to be inside of a drill's fence too.
        let read = args.mounts.iter().filter_map(|mount| mount.volume.as_ref());
        let read: Vec<Touch> = read.map(|volume| Touch::changes(format!("volume/{volume}"))).collect();
        match (mounted.is_empty(), read.is_empty()) {
            (false, _) => mounted,
            (true, false) => read,
            (true, true) => vec![Touch::changes(Self::resource(args))],
        }
    }

    fn target(context: &ReadContext<'_>, _args: &RunArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

impl Write for Run {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str =
        "the supervisor's status; when that is lost, the state and exit code of the container named after the key";
    const UNDO_DOC: &'static str = "impossible: what the program did is not known";

    fn before(context: &ReadContext<'_>, args: &RunArgs) -> Result<Value, OpError> {
        let act = act(args);
        check_name("network", &args.network)?;
        if args.argv.is_empty() && args.entrypoint.is_none() {
            return Err(OpError::refused(format!("{act}: argv is empty")));
        }
        check_streams(args.stdin_file.as_deref(), args.stdout_file.as_deref(), false)?;
        check_mounts(context, &act, &args.mounts)?;
        Ok(json!({ "image_id": check_image(context, &act, &args.image)? }))
    }

    fn send(context: &WriteContext<'_>, args: RunArgs) -> Result<Send<RunOutput>, OpError> {
        let name = name_of(context.read.key);
        // A try that was killed between making and starting leaves a container in which nothing ran.
        if inspect(&context.read, &name)?.never_started() {
            context.run_write(&ReadCommand { any_exit: true, ..client(["rm", &name]) })?;
        }
        let mut command = client(["run", "--name", &name, "--network", &args.network, "--pull", "never"]);
        push_labels(&mut command.argv, &ownership(&context.read));
        command.argv.extend(["-e".to_owned(), format!("{CALL_VARIABLE}={}", context.read.key)]);
        if args.stdin_file.is_some() {
            command.argv.push("-i".to_owned());
        }
        if let Some(limit) = time_limit(&context.read, args.timeout)
            && is_podman()
        {
            // The client's deadline does not reach the container; podman can keep one there.
            command.argv.extend(["--timeout".to_owned(), limit.as_secs().max(1).to_string()]);
        }
        if let Some(user) = &args.user {
            command.argv.extend(["--user".to_owned(), user.clone()]);
        }
        if let Some(entrypoint) = &args.entrypoint {
            command.argv.extend(["--entrypoint".to_owned(), entrypoint.clone()]);
        }
        for mount in &args.mounts {
            command.argv.extend(["--mount".to_owned(), mount.option()?]);
        }
        pass_environment(&context.read, &args.env, &mut command.argv, &mut command.env)?;
        command.argv.push(args.image.clone());
        command.argv.extend(args.argv.iter().cloned());
        context.launch(&WriteCommand {
            argv: command.argv,
            env: command.env,
            cwd: None,
            stdin: args.stdin_file.map(PathBuf::from),
            stdin_text: None,
            stdout: args.stdout_file.map(PathBuf::from),
            replace: false,
            stdout_mode: None,
            timeout: args.timeout.map(|timeout| timeout.0),
            ok_codes: args.ok_codes,
        })?;
        Ok(Send::Running)
    }

    fn probe(context: &ReadContext<'_>, args: &RunArgs) -> Result<Found<RunOutput>, OpError> {
        let act = act(args);
        match context.children.status(context.key)? {
            ChildStatus::Running { stdout_bytes } => Ok(Found::Running(Some(format!("{stdout_bytes} bytes")))),
            ChildStatus::Ended(ended) if ended.timed_out => {
                in_the_world(context, args, "its deadline killed the client")
            }
            ChildStatus::Ended(ended) if ended.fault.is_some() => Ok(Found::Failed(faulty(&act, &ended))),
            ChildStatus::Ended(ended) if args.ok_codes.contains(&ended.code) => Ok(Found::Done(ended.into())),
            // The client may have been killed by itself: then the container tells.
            ChildStatus::Ended(ended) if ended.code >= 128 => in_the_world(context, args, "the client was killed"),
            ChildStatus::Ended(ended) => Ok(Found::Failed(program_failed(&act, &args.image, &ended))),
            ChildStatus::Never | ChildStatus::Lost => {
                in_the_world(context, args, "the client and its supervisor were killed")
            }
        }
    }

    fn undo(_args: &RunArgs, _before: &Value, _key: &str) -> Undo {
        Undo::Impossible("what the program did is not known")
    }

    fn fingerprint(_context: &ReadContext<'_>, _args: &RunArgs, _result: &RunOutput) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn predict(_args: &RunArgs, _before: &Value, _key: &str) -> Predicted {
        Predicted::Opaque
    }

    fn release(context: &WriteContext<'_>, _args: &RunArgs) {
        let name = name_of(context.read.key);
        let is_there = || {
            inspect(&context.read, &name)
                .is_ok_and(|found| found.labels.get(KEY_LABEL).is_some_and(|key| key == context.read.key))
        };
        // Right after the end the runtime may still be cleaning up by itself, and then refuses.
        for _ in 0..5 {
            if !is_there() {
                break;
            }
            let removed = context.run_write(&ReadCommand { any_exit: true, ..client(["rm", "-f", "-v", &name]) });
            if !removed.is_ok_and(|removed| removed.code == 0) {
                context.read.clock.sleep(Duration::from_millis(200));
            }
        }
        context.forget_child();
    }
}

/// How long the program may take at most.
fn time_limit(context: &ReadContext<'_>, timeout: Option<Period>) -> Option<Duration> {
    let left = context
        .deadline
        .map(|deadline| Duration::try_from(deadline.duration_since(context.clock.now())).unwrap_or(Duration::ZERO));
    [timeout.map(|timeout| timeout.0), left].into_iter().flatten().min()
}

/// The client is gone: the container itself says what became of it.
fn in_the_world(context: &ReadContext<'_>, args: &RunArgs, why: &str) -> Result<Found<RunOutput>, OpError> {
    let act = act(args);
    let name = name_of(context.key);
    let container = inspect(context, &name)?;
    if !container.exists || container.never_started() {
        return Ok(Found::NotDone);
    }
    if !matches!(container.state.as_str(), "exited" | "stopped" | "dead") {
        return Ok(Found::Running(Some(format!("{why}, but container {name} goes on"))));
    }
    let code = i32::try_from(container.exit_code).unwrap_or(-1);
    let (stdout, stderr) = last_words(context, &name);
    let ended = ended(code, &stdout, &stderr);
    if !args.ok_codes.contains(&code) {
        return Ok(Found::Failed(program_failed(&act, &name, &ended)));
    }
    if args.stdin_file.is_some() {
        // The program saw a clean end of its input, wherever the client was when it was killed.
        return Ok(Found::CannotTell(format!(
            "{act}: it ended with exit code {code}, but {why} and it may have read half of its input"
        )));
    }
    if args.stdout_file.is_some() {
        return Ok(Found::CannotTell(format!(
            "{act}: it ended with exit code {code}, but {why} and its output is lost"
        )));
    }
    Ok(Found::Done(ended.into()))
}

/// What the container printed, as its log kept it; nothing when that is too large.
fn last_words(context: &ReadContext<'_>, name: &str) -> (String, String) {
    let logs = context.run_read(&ReadCommand { any_exit: true, ..client(["logs", name]) });
    logs.map(|logs| (logs.stdout, logs.stderr)).unwrap_or_default()
}

/// How the program ended, as far as the container tells: not how long it took.
fn ended(code: i32, stdout: &str, stderr: &str) -> Ended {
    Ended {
        code,
        timed_out: false,
        fault: None,
        stdout_bytes: stdout.len() as u64,
        stdout_sha256: hex(&Sha256::digest(stdout.as_bytes())),
        stdout_tail: tail(stdout),
        stderr_tail: tail(stderr),
        millis: 0,
    }
}
