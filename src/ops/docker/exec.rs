//! Running a program inside a container that runs.

use std::collections::BTreeMap;
use std::path::PathBuf;
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::args::check_name;
use super::client::{CALL_VARIABLE, client, explain, host_target, pass_environment};
use super::inside::{Inside, look_inside};
use super::inspect::inspect_running;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::args::{Confidential, Period};
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::exec::{RunOutput, check_streams};
use crate::ops::process::{ChildStatus, Ended, WriteCommand};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write};

/// `docker.exec`.
pub struct Exec;

/// A program inside a running container.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecArgs {
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
    /// A file of this host that it reads as standard input.
    #[serde(default)]
    pub stdin_file: Option<String>,
    /// A file of this host that its standard output goes to; it appears whole, or not at all.
    #[serde(default)]
    pub stdout_file: Option<String>,
    /// Whether `stdout_file` may replace a file.
    #[serde(default)]
    pub replace: bool,
    /// How long it may take.
    #[serde(default)]
    pub timeout: Option<Period>,
    /// Exit codes that are no failure.
    #[serde(default = "zero")]
    pub ok_codes: Vec<i32>,
}

pub(super) fn zero() -> Vec<i32> {
    vec![0]
}

impl Operation for Exec {
    const NAME: &'static str = "docker.exec";
    const EFFECT: Effect = Effect::Exec;
    const DOC: &'static str =
        "runs a program inside a running container, streaming its input and output from and to files of this host";
    const PERMISSION: &'static str = "podman or docker; exec into the container";
    const TYPICAL: Duration = Duration::from_secs(2);
    type Args = ExecArgs;
    type Output = RunOutput;

    fn resource(args: &ExecArgs) -> String {
        format!("docker/{}", args.container)
    }

    fn target(context: &ReadContext<'_>, _args: &ExecArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

fn act(args: &ExecArgs) -> String {
    format!("cannot run {} in container {}", args.argv.first().map_or("", String::as_str), args.container)
}

impl Write for Exec {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str =
        "the supervisor's status; when that is lost, the container's processes marked with the key";
    const UNDO_DOC: &'static str = "impossible: what the program did is not known";

    fn before(context: &ReadContext<'_>, args: &ExecArgs) -> Result<Value, OpError> {
        check_name("container", &args.container)?;
        let act = act(args);
        if args.argv.first().is_none_or(String::is_empty) {
            return Err(OpError::refused(format!("{act}: argv is empty")));
        }
        check_streams(args.stdin_file.as_deref(), args.stdout_file.as_deref(), args.replace)?;
        let container = inspect_running(context, &act, &args.container)?;
        Ok(json!({ "id": container.id }))
    }

    fn send(context: &WriteContext<'_>, args: ExecArgs) -> Result<Send<RunOutput>, OpError> {
        let mut command = client(["exec"]);
        if args.stdin_file.is_some() {
            command.argv.push("-i".to_owned());
        }
        command.argv.extend(["-e".to_owned(), format!("{CALL_VARIABLE}={}", context.read.key)]);
        if let Some(user) = &args.user {
            command.argv.extend(["--user".to_owned(), user.clone()]);
        }
        pass_environment(&context.read, &args.env, &mut command.argv, &mut command.env)?;
        command.argv.push(args.container.clone());
        command.argv.extend(args.argv.iter().cloned());
        context.launch(&WriteCommand {
            argv: command.argv,
            env: command.env,
            cwd: None,
            stdin: args.stdin_file.map(PathBuf::from),
            stdin_text: None,
            stdout: args.stdout_file.map(PathBuf::from),
            replace: args.replace,
            stdout_mode: None,
            timeout: args.timeout.map(|timeout| timeout.0),
            ok_codes: args.ok_codes,
        })?;
        Ok(Send::Running)
    }

    fn probe(context: &ReadContext<'_>, args: &ExecArgs) -> Result<Found<RunOutput>, OpError> {
        let act = act(args);
        let status = context.children.status(context.key)?;
        match status {
            ChildStatus::Never => Ok(Found::NotDone),
            ChildStatus::Running { stdout_bytes } => Ok(Found::Running(Some(format!("{stdout_bytes} bytes")))),
            ChildStatus::Ended(ended) if ended.timed_out => {
                left_behind(context, args, &act, "its deadline killed the client")
            }
            ChildStatus::Ended(ended) if ended.fault.is_some() => Ok(Found::Failed(faulty(&act, &ended))),
            ChildStatus::Ended(ended) if args.ok_codes.contains(&ended.code) => Ok(Found::Done(ended.into())),
            ChildStatus::Ended(ended) if ended.code >= 128 => {
                left_behind(context, args, &act, &format!("the client was killed by signal {}", ended.code - 128))
            }
            ChildStatus::Ended(ended) => Ok(Found::Failed(program_failed(&act, &args.container, &ended))),
            ChildStatus::Lost => left_behind(context, args, &act, "the client and its supervisor were killed"),
        }
    }

    fn undo(_args: &ExecArgs, _before: &Value, _key: &str) -> Undo {
        Undo::Impossible("what a program inside a container did is not known")
    }

    fn fingerprint(_context: &ReadContext<'_>, _args: &ExecArgs, _result: &RunOutput) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn predict(_args: &ExecArgs, _before: &Value, _key: &str) -> Predicted {
        Predicted::Opaque
    }

    fn release(context: &WriteContext<'_>, _args: &ExecArgs) {
        context.forget_child();
    }
}

/// The client is gone: does the program inside go on?
fn left_behind(context: &ReadContext<'_>, args: &ExecArgs, act: &str, why: &str) -> Result<Found<RunOutput>, OpError> {
    let container = &args.container;
    Ok(match look_inside(context, container, args.user.as_deref(), context.key)? {
        Inside::Works(ids) => {
            Found::Running(Some(format!("{why}, but process {ids:?} in container {container} goes on")))
        }
        Inside::Down => Found::CannotTell(format!("{act}: {why}, and the container does not run any more")),
        Inside::Nothing => {
            Found::CannotTell(format!("{act}: {why}; the program inside has ended, its exit code is lost"))
        }
        Inside::Blind(said) => {
            Found::CannotTell(format!("{act}: {why}, and container {container} cannot be looked into: {said}"))
        }
    })
}

/// Something went wrong around the program: its output could not be written.
pub(super) fn faulty(act: &str, ended: &Ended) -> OpError {
    let fault = ended.fault.as_deref().unwrap_or_default();
    OpError::failed(format!("{act}: it could not be followed to its end: {fault}"))
        .with_detail(super::client::tail(&ended.stderr_tail))
        .with_hint("see whether the disk is full")
}

/// The program ran and said that it failed, or the client could not start it.
pub(super) fn program_failed(act: &str, container: &str, ended: &Ended) -> OpError {
    // The client's own codes; a program may use them too, but then its words are the detail all the same.
    if (125..=127).contains(&ended.code) {
        return explain(act, container, ended.code, &ended.stderr_tail);
    }
    OpError::failed(format!("{act}: it ended with exit code {}", ended.code))
        .with_detail(super::client::tail(&ended.stderr_tail))
        .with_hint("if this code is no failure, list it in ok_codes")
}
