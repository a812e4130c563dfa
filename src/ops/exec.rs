//! Family `exec`: any program, by its name, without a shell and with a clean environment.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::args::{Confidential, Period, reveal_all};
use super::context::{ReadContext, WriteContext};
use super::process::{ChildStatus, Ended, ReadCommand, WriteCommand};
use super::spec::{self, Effect, Found, OpEntry, Operation, Predicted, Read, Repeat, Send, Undo, Write, unknown};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::Touch;

/// The entries of the family.
#[must_use]
pub fn entries() -> Vec<OpEntry> {
    vec![spec::read::<ReadProgram>(), spec::write::<Run>()]
}

/// `exec.read`.
pub struct ReadProgram;

/// A program that only reads.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ReadArgs {
    /// The program, found on `PATH`, and its arguments. No shell.
    #[schemars(length(min = 1))]
    pub argv: Vec<String>,
    /// The folder it runs in; `/` when absent.
    pub cwd: Option<String>,
    /// Its environment, beyond `PATH`, `HOME` and the like. Values may be secrets.
    #[serde(default)]
    pub env: BTreeMap<String, Confidential>,
    /// What it reads as standard input.
    pub stdin: Option<String>,
    /// How long it may take; 30 s when absent.
    pub timeout: Option<Period>,
    /// Whether an exit code other than 0 is an answer rather than an error.
    #[serde(default)]
    pub any_exit: bool,
}

/// What a program printed.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct Printed {
    /// Its exit code; 128 + signal when killed.
    pub code: i32,
    /// Standard output, whole.
    pub stdout: String,
    /// Standard error, whole.
    pub stderr: String,
}

impl Operation for ReadProgram {
    const NAME: &'static str = "exec.read";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "runs a program that only reads (which is taken on trust) and captures what it prints";
    const PERMISSION: &'static str = "the program";
    const TYPICAL: Duration = Duration::from_millis(200);
    type Args = ReadArgs;
    type Output = Printed;

    fn resource(args: &ReadArgs) -> String {
        resource_of(&args.argv)
    }
}

impl Read for ReadProgram {
    fn read(context: &ReadContext<'_>, args: ReadArgs) -> Result<Printed, OpError> {
        check_folder(args.cwd.as_deref())?;
        let captured = context.run_read(&ReadCommand {
            argv: args.argv,
            env: reveal_all(&args.env, context.secrets)?,
            cwd: args.cwd.map(PathBuf::from),
            stdin: args.stdin.map(String::into_bytes),
            stdin_file: None,
            timeout: args.timeout.map(|timeout| timeout.0),
            any_exit: args.any_exit,
        })?;
        Ok(Printed { code: captured.code, stdout: captured.stdout, stderr: captured.stderr })
    }
}

/// `exec.run`.
pub struct Run;

/// A program that changes something.
#[derive(Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RunArgs {
    /// The program, found on `PATH`, and its arguments. No shell.
    #[schemars(length(min = 1))]
    pub argv: Vec<String>,
    /// The folder it runs in; `/` when absent.
    pub cwd: Option<String>,
    /// Its environment, beyond `PATH`, `HOME` and the like. Values may be secrets.
    #[serde(default)]
    pub env: BTreeMap<String, Confidential>,
    /// A file it reads as standard input.
    pub stdin_file: Option<String>,
    /// A file its standard output goes to; it appears only when the program has ended well.
    pub stdout_file: Option<String>,
    /// Whether `stdout_file` may replace a file.
    #[serde(default)]
    pub replace: bool,
    /// How long it may take; it is killed then, with all it started.
    pub timeout: Option<Period>,
    /// The exit codes that mean success.
    #[serde(default = "zero")]
    #[schemars(length(min = 1))]
    pub ok_codes: Vec<i32>,
    /// The files and folders that it makes, absolute: refused when one is there already. A drill may do with them what it likes.
    #[serde(default)]
    pub makes: Vec<String>,
    /// What else it changes: absolute paths, and resources as a plan shows them (`docker/db`). A drill refuses what it did not
    /// make, and a program that says neither what it makes nor what it changes.
    pub changes: Option<Vec<String>>,
}

/// A path of a file or a resource of another kind, as a resource.
fn thing(named: &str) -> String {
    if named.starts_with('/') { super::docker::file_resource(named) } else { named.to_owned() }
}

fn zero() -> Vec<i32> {
    vec![0]
}

/// How a program ended.
#[derive(Serialize, Deserialize, JsonSchema)]
pub struct RunOutput {
    /// Its exit code.
    pub code: i32,
    /// Bytes of standard output.
    pub stdout_bytes: u64,
    /// SHA-256 of standard output, in hex.
    pub stdout_sha256: String,
    /// The last lines of standard output, at most 4 KiB; empty when it went to a file.
    pub stdout_tail: String,
    /// The last lines of standard error, at most 4 KiB.
    pub stderr_tail: String,
    /// Milliseconds from start to end.
    pub millis: u64,
}

impl From<Ended> for RunOutput {
    fn from(ended: Ended) -> Self {
        Self {
            code: ended.code,
            stdout_bytes: ended.stdout_bytes,
            stdout_sha256: ended.stdout_sha256,
            stdout_tail: ended.stdout_tail,
            stderr_tail: ended.stderr_tail,
            millis: ended.millis,
        }
    }
}

impl RunOutput {
    /// What a plan says of it.
    #[must_use]
    pub fn predicted() -> Value {
        let why = "only the run of the program tells";
        json!({
            "code": unknown(why), "stdout_bytes": unknown(why), "stdout_sha256": unknown(why),
            "stdout_tail": unknown(why), "stderr_tail": unknown(why), "millis": unknown(why),
        })
    }
}

/// What the status of a supervised child says of the call that launched it.
///
/// # Errors
/// When the status cannot be read.
pub(super) fn child_found(
    context: &ReadContext<'_>,
    program: &str,
    ok_codes: &[i32],
) -> Result<Found<RunOutput>, OpError> {
    Ok(match context.children.status(context.key)? {
        ChildStatus::Never => Found::NotDone,
        ChildStatus::Running { stdout_bytes: 0 } => Found::Running(None),
        ChildStatus::Running { stdout_bytes } => {
            Found::Running(Some(format!("{} written", crate::model::amount::format_size(stdout_bytes))))
        }
        ChildStatus::Ended(ended) => match ended.verdict(program, ok_codes) {
            Ok(()) => Found::Done(ended.into()),
            Err(error) => Found::Failed(error),
        },
        ChildStatus::Lost => Found::CannotTell(format!(
            "{program} was started, but was killed or went down with the machine before it left a status"
        )),
    })
}

impl Operation for Run {
    const NAME: &'static str = "exec.run";
    const EFFECT: Effect = Effect::Exec;
    const DOC: &'static str =
        "runs a program to its end under a supervisor that outlives muster; streams go to and from files";
    const PERMISSION: &'static str = "the program";
    const TYPICAL: Duration = Duration::from_secs(5);
    type Args = RunArgs;
    type Output = RunOutput;

    fn resource(args: &RunArgs) -> String {
        resource_of(&args.argv)
    }

    /// Nobody but its author knows what a program touches: without a word on it, it is the program itself.
    fn touches(args: &RunArgs, _before: &Value) -> Vec<Touch> {
        let made = args.makes.iter().chain(args.stdout_file.iter().filter(|_| !args.replace));
        let mut touches: Vec<Touch> = made.map(|path| Touch::makes(thing(path))).collect();
        touches.extend(args.stdout_file.iter().filter(|_| args.replace).map(|path| Touch::changes(thing(path))));
        match &args.changes {
            Some(changes) => touches.extend(changes.iter().map(|one| Touch::changes(thing(one)))),
            None if args.makes.is_empty() => touches.push(Touch::changes(Self::resource(args))),
            None => {}
        }
        touches
    }
}

impl Write for Run {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = "the status that its supervisor leaves";
    const UNDO_DOC: &'static str = "none: nobody knows what it did; give the step a `rollback:`";

    fn before(_: &ReadContext<'_>, args: &RunArgs) -> Result<Value, OpError> {
        check_folder(args.cwd.as_deref())?;
        check_streams(args.stdin_file.as_deref(), args.stdout_file.as_deref(), args.replace)?;
        for path in &args.makes {
            if super::files::look_at(super::files::absolute(path)?)?.is_some() {
                let program = args.argv.first().map_or("", String::as_str);
                return Err(OpError::refused(format!(
                    "cannot run {program}: {path}, which it makes, is there already"
                )));
            }
        }
        Ok(json!({}))
    }

    fn send(context: &WriteContext<'_>, args: RunArgs) -> Result<Send<RunOutput>, OpError> {
        context.launch(&WriteCommand {
            argv: args.argv,
            env: reveal_all(&args.env, context.read.secrets)?,
            cwd: args.cwd.map(PathBuf::from),
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

    fn probe(context: &ReadContext<'_>, args: &RunArgs) -> Result<Found<RunOutput>, OpError> {
        child_found(context, args.argv.first().map_or("", String::as_str), &args.ok_codes)
    }

    fn undo(_: &RunArgs, _: &Value, _: &str) -> Undo {
        Undo::Impossible("nobody knows what the program did; give the step a `rollback:`")
    }

    fn fingerprint(_: &ReadContext<'_>, _: &RunArgs, _: &RunOutput) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn predict(_: &RunArgs, _: &Value, _: &str) -> Predicted {
        Predicted::Result(RunOutput::predicted())
    }

    fn release(context: &WriteContext<'_>, _: &RunArgs) {
        context.forget_child();
    }
}

/// Refuses a working folder that would depend on where muster runs.
fn check_folder(cwd: Option<&str>) -> Result<(), OpError> {
    cwd.map_or(Ok(()), |cwd| super::files::absolute(cwd).map(|_| ()))
}

/// Refuses streams that cannot be: a missing input, an output that would replace something it may not.
pub(super) fn check_streams(stdin: Option<&str>, stdout: Option<&str>, replace: bool) -> Result<(), OpError> {
    for path in [stdin, stdout].into_iter().flatten() {
        super::files::absolute(path)?;
    }
    if let Some(path) = stdin
        && !Path::new(path).is_file()
    {
        return Err(OpError::refused(format!("cannot read {path}: there is no such file")));
    }
    match stdout {
        Some(path) => super::files::may_write(Path::new(path), replace),
        None => Ok(()),
    }
}

fn resource_of(argv: &[String]) -> String {
    let program = argv.first().map_or("", String::as_str);
    format!("exec/{}", program.trim_start_matches('/'))
}
