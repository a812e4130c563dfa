//! Copying files out of and into a container, as tar streams. The container need not run.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{client, explain, host_target};
use super::inspect::inspect_existing;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::exec::check_streams;
use crate::ops::files::{cannot, digest_file};
use crate::ops::process::{ChildStatus, WriteCommand};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write, unknown};

/// `docker.copy_out`.
pub struct CopyOut;

/// What to copy out of a container.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyOutArgs {
    /// Name or id of the container.
    pub container: String,
    /// The file or folder inside it, absolute.
    pub path: String,
    /// The archive to write on this host, which must not exist.
    pub to: String,
}

/// An archive was written.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Copied {
    /// Where.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
}

fn check_inside(act: &str, path: &str) -> Result<(), OpError> {
    if path.starts_with('/') {
        return Ok(());
    }
    Err(OpError::refused(format!("{act}: the path {path} inside the container is not absolute")))
}

/// The digest of a file that is there.
fn measure(path: &str) -> Result<Copied, OpError> {
    let digested = digest_file(Path::new(path)).map_err(|e| cannot("read", Path::new(path), &e))?;
    Ok(Copied { path: path.to_owned(), bytes: digested.bytes, sha256: digested.sha256 })
}

impl Operation for CopyOut {
    const NAME: &'static str = "docker.copy_out";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "copies a file or folder out of a container into a new tar archive";
    const PERMISSION: &'static str = "podman or docker; writing the archive";
    const TYPICAL: Duration = Duration::from_secs(5);
    type Args = CopyOutArgs;
    type Output = Copied;

    fn resource(args: &CopyOutArgs) -> String {
        super::args::file_resource(&args.to)
    }

    fn target(context: &ReadContext<'_>, _args: &CopyOutArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

impl CopyOutArgs {
    fn act(&self) -> String {
        format!("cannot copy {} out of container {}", self.path, self.container)
    }
}

impl Write for CopyOut {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str =
        "the supervisor's status; when that is lost, the archive, which appears only when it is whole";
    const UNDO_DOC: &'static str = "fs.delete_made, if the archive is still the one that was written";

    fn before(context: &ReadContext<'_>, args: &CopyOutArgs) -> Result<Value, OpError> {
        check_inside(&args.act(), &args.path)?;
        check_streams(None, Some(&args.to), false)?;
        let container = inspect_existing(context, &args.act(), &args.container)?;
        Ok(json!({ "id": container.id }))
    }

    fn send(context: &WriteContext<'_>, args: CopyOutArgs) -> Result<Send<Copied>, OpError> {
        let command = client(["cp", &format!("{}:{}", args.container, args.path), "-"]);
        context.launch(&WriteCommand {
            argv: command.argv,
            env: command.env,
            stdout: Some(PathBuf::from(args.to)),
            ..WriteCommand::default()
        })?;
        Ok(Send::Running)
    }

    fn probe(context: &ReadContext<'_>, args: &CopyOutArgs) -> Result<Found<Copied>, OpError> {
        let act = args.act();
        Ok(match context.children.status(context.key)? {
            ChildStatus::Running { stdout_bytes } => Found::Running(Some(format!("{stdout_bytes} bytes"))),
            ChildStatus::Ended(ended) => match ended.verdict("the container client", &[]) {
                Ok(()) => Found::Done(Copied {
                    path: args.to.clone(),
                    bytes: ended.stdout_bytes,
                    sha256: ended.stdout_sha256,
                }),
                Err(error) if ended.timed_out || ended.fault.is_some() => Found::Failed(error),
                Err(_) => Found::Failed(explain(&act, &args.container, ended.code, &ended.stderr_tail)),
            },
            ChildStatus::Never => Found::NotDone,
            // The supervisor may have been killed between putting the archive in its place and saying so.
            ChildStatus::Lost if Path::new(&args.to).exists() => Found::Done(measure(&args.to)?),
            ChildStatus::Lost => Found::NotDone,
        })
    }

    fn undo(args: &CopyOutArgs, _before: &Value, key: &str) -> Undo {
        Undo::Call { op: "fs.delete_made", args: json!({ "path": args.to, "key": key, "sha256": "$result/sha256" }) }
    }

    fn fingerprint(_context: &ReadContext<'_>, args: &CopyOutArgs, _result: &Copied) -> Result<Value, OpError> {
        file_fingerprint(&args.to)
    }

    fn predict(args: &CopyOutArgs, _before: &Value, _key: &str) -> Predicted {
        let why = "known when the archive is written";
        Predicted::Result(json!({ "path": args.to, "bytes": unknown(why), "sha256": unknown(why) }))
    }

    fn release(context: &WriteContext<'_>, _args: &CopyOutArgs) {
        context.forget_child();
    }
}

/// Size and time of change of a file: enough to see that somebody touched it, without reading gigabytes.
pub(in crate::ops) fn file_fingerprint(path: &str) -> Result<Value, OpError> {
    match std::fs::symlink_metadata(path) {
        Ok(meta) => {
            let modified = meta.modified().ok().and_then(|at| crate::model::Timestamp::try_from(at).ok());
            Ok(json!({ "bytes": meta.len(), "modified": modified.map(|at| at.to_string()) }))
        }
        Err(e) if e.kind() == std::io::ErrorKind::NotFound => Ok(json!({ "bytes": null })),
        Err(e) => Err(cannot("look at", Path::new(path), &e)),
    }
}

/// `docker.copy_in`.
pub struct CopyIn;

/// What to copy into a container.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CopyInArgs {
    /// Name or id of the container.
    pub container: String,
    /// The tar archive on this host.
    pub archive: String,
    /// The folder inside the container into which it is unpacked, absolute.
    pub path: String,
}

/// Files were copied in.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct CopiedIn {}

impl Operation for CopyIn {
    const NAME: &'static str = "docker.copy_in";
    const EFFECT: Effect = Effect::Exec;
    const DOC: &'static str = "unpacks a tar archive over a folder of a container; files of the same name are replaced";
    const PERMISSION: &'static str = "podman or docker";
    const TYPICAL: Duration = Duration::from_secs(5);
    type Args = CopyInArgs;
    type Output = CopiedIn;

    fn resource(args: &CopyInArgs) -> String {
        format!("docker/{}", args.container)
    }

    fn target(context: &ReadContext<'_>, _args: &CopyInArgs) -> Result<Option<Target>, OpError> {
        host_target(context).map(Some)
    }
}

impl CopyInArgs {
    fn act(&self) -> String {
        format!("cannot copy {} into container {}", self.archive, self.container)
    }
}

impl Write for CopyIn {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = "the supervisor's status";
    const UNDO_DOC: &'static str = "impossible: the replaced files are gone; copy them out first";

    fn before(context: &ReadContext<'_>, args: &CopyInArgs) -> Result<Value, OpError> {
        check_inside(&args.act(), &args.path)?;
        check_streams(Some(&args.archive), None, false)?;
        whole_archive(&args.act(), &args.archive)?;
        let container = inspect_existing(context, &args.act(), &args.container)?;
        Ok(json!({ "id": container.id }))
    }

    fn send(context: &WriteContext<'_>, args: CopyInArgs) -> Result<Send<CopiedIn>, OpError> {
        let command = client(["cp", "-", &format!("{}:{}", args.container, args.path)]);
        context.launch(&WriteCommand {
            argv: command.argv,
            env: command.env,
            stdin: Some(PathBuf::from(args.archive)),
            ..WriteCommand::default()
        })?;
        Ok(Send::Running)
    }

    fn probe(context: &ReadContext<'_>, args: &CopyInArgs) -> Result<Found<CopiedIn>, OpError> {
        let act = args.act();
        Ok(match context.children.status(context.key)? {
            ChildStatus::Never => Found::NotDone,
            ChildStatus::Running { .. } => Found::Running(None),
            ChildStatus::Ended(ended) => match ended.verdict("the container client", &[]) {
                Ok(()) => Found::Done(CopiedIn {}),
                Err(error) if ended.timed_out || ended.fault.is_some() => Found::Failed(error),
                Err(_) => Found::Failed(explain(&act, &args.container, ended.code, &ended.stderr_tail)),
            },
            ChildStatus::Lost => {
                Found::CannotTell(format!("{act}: the client was killed, and how much was unpacked is not known"))
            }
        })
    }

    fn undo(_args: &CopyInArgs, _before: &Value, _key: &str) -> Undo {
        Undo::Impossible("the files that were replaced are gone, unless they were copied out first")
    }

    fn fingerprint(_context: &ReadContext<'_>, _args: &CopyInArgs, _result: &CopiedIn) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn predict(_args: &CopyInArgs, _before: &Value, _key: &str) -> Predicted {
        Predicted::Result(json!({}))
    }

    fn release(context: &WriteContext<'_>, _args: &CopyInArgs) {
        context.forget_child();
    }
}

/// Reads an archive to its end: one that is cut short would be unpacked up to the cut.
fn whole_archive(act: &str, path: &str) -> Result<(), OpError> {
    let refused = |fault: String| {
        OpError::refused(format!("{act}: {fault}"))
            .with_hint("the file is no whole tar archive; take another copy of it")
    };
    let file = std::fs::File::open(path).map_err(|e| cannot("read", Path::new(path), &e))?;
    let length = file.metadata().map_err(|e| cannot("read", Path::new(path), &e))?.len();
    let mut archive = tar::Archive::new(std::io::BufReader::new(file));
    let mut found = 0usize;
    for entry in archive.entries().map_err(|e| refused(e.to_string()))? {
        let entry = entry.map_err(|e| refused(e.to_string()))?;
        found += 1;
        if entry.raw_file_position() + entry.size() > length {
            return Err(refused("it is cut short".to_owned()));
        }
    }
    if found == 0 { Err(refused("it holds nothing".to_owned())) } else { Ok(()) }
}
