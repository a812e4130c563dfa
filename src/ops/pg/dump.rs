//! Dumping a database into a file.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::archive;
use super::client::{Server, explain};
use super::read::database;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::docker::{file_fingerprint, file_resource};
use crate::ops::exec::check_streams;
use crate::ops::process::{ChildStatus, WriteCommand};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write, unknown};

/// `pg.dump`.
pub struct Dump;

/// What to dump.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DumpArgs {
    /// The server.
    pub server: Server,
    /// The database.
    pub database: String,
    /// The file to write on this host, which must not exist.
    pub to: String,
}

/// A dump was written, and read to its end.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Dumped {
    /// Where.
    pub path: String,
    /// Its size.
    pub bytes: u64,
    /// Its SHA-256, in hex.
    pub sha256: String,
    /// What it holds: lines of `pg_restore --list`.
    pub entries: u64,
}

impl DumpArgs {
    fn act(&self) -> String {
        format!("cannot dump database {} of server {}", self.database, self.server.name())
    }

    fn checked(&self, context: &ReadContext<'_>) -> Result<Found<Dumped>, OpError> {
        let (dump, listing) = match archive::check(context, &self.act(), &self.server, &self.to) {
            Ok(checked) => checked,
            Err(error) if error.class == crate::ops::ErrorClass::Failed => return Ok(Found::Failed(error)),
            Err(error) => return Err(error),
        };
        if listing.database != self.database {
            return Ok(Found::CannotTell(format!(
                "{}: {} is a dump of another database, {}",
                self.act(),
                self.to,
                listing.database
            )));
        }
        Ok(Found::Done(Dumped { path: self.to.clone(), bytes: dump.bytes, sha256: dump.sha256, entries: dump.entries }))
    }
}

impl Operation for Dump {
    const NAME: &'static str = "pg.dump";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "dumps a database in custom format into a new file, which appears only when it is \
         whole and is then read to its end";
    const PERMISSION: &'static str = "pg_dump; SELECT on all tables; writing the file";
    const TYPICAL: Duration = Duration::from_secs(10);
    type Args = DumpArgs;
    type Output = Dumped;

    fn resource(args: &DumpArgs) -> String {
        file_resource(&args.to)
    }

    fn target(context: &ReadContext<'_>, args: &DumpArgs) -> Result<Option<Target>, OpError> {
        args.server.target(context)
    }
}

impl Write for Dump {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str =
        "the supervisor's status; when that is lost, the file, which appears only when it is whole";
    const UNDO_DOC: &'static str = "fs.delete_made, if the file is still the one that was written";

    fn before(context: &ReadContext<'_>, args: &DumpArgs) -> Result<Value, OpError> {
        check_streams(None, Some(&args.to), false)?;
        let found = database(context, &args.act(), &args.server, &args.database)?;
        Ok(json!({ "oid": found.oid, "bytes": found.bytes }))
    }

    fn send(context: &WriteContext<'_>, args: DumpArgs) -> Result<Send<Dumped>, OpError> {
        let command = args.server.tool(&context.read, &args.database, &["pg_dump", "-w", "--format=custom"])?;
        context.launch(&WriteCommand {
            argv: command.argv,
            env: command.env,
            stdout: Some(PathBuf::from(args.to)),
            ..WriteCommand::default()
        })?;
        Ok(Send::Running)
    }

    fn probe(context: &ReadContext<'_>, args: &DumpArgs) -> Result<Found<Dumped>, OpError> {
        match context.children.status(context.key)? {
            ChildStatus::Never => Ok(Found::NotDone),
            ChildStatus::Running { stdout_bytes } => Ok(Found::Running(Some(format!("{stdout_bytes} bytes")))),
            ChildStatus::Ended(ended) => match ended.verdict("pg_dump", &[]) {
                Ok(()) => args.checked(context),
                Err(error) if ended.timed_out || ended.fault.is_some() => Ok(Found::Failed(error)),
                Err(_) => Ok(Found::Failed(explain(&args.act(), &args.server, ended.code, &ended.stderr_tail))),
            },
            // The supervisor may have been killed between putting the file in its place and saying so.
            ChildStatus::Lost if Path::new(&args.to).exists() => args.checked(context),
            ChildStatus::Lost => Ok(Found::NotDone),
        }
    }

    fn undo(args: &DumpArgs, _before: &Value, key: &str) -> Undo {
        Undo::Call { op: "fs.delete_made", args: json!({ "path": args.to, "key": key, "sha256": "$result/sha256" }) }
    }

    fn fingerprint(_context: &ReadContext<'_>, args: &DumpArgs, _result: &Dumped) -> Result<Value, OpError> {
        file_fingerprint(&args.to)
    }

    fn predict(args: &DumpArgs, _before: &Value, _key: &str) -> Predicted {
        let why = "known when the dump is written";
        Predicted::Result(
            json!({ "path": args.to, "bytes": unknown(why), "sha256": unknown(why), "entries": unknown(why) }),
        )
    }

    fn release(context: &WriteContext<'_>, _args: &DumpArgs) {
        context.forget_child();
    }
}
