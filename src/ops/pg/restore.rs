//! Restoring a dump into an empty database.
//!
//! The file is first copied to where the server is, under a name that holds the key, and counts only when its length
//! and SHA-256 are those of the original: a client that is killed in the middle looks there like a clean end of input.
//! The restore itself is one transaction, so that afterwards the database holds all of it or nothing. That is what the
//! probe looks at, once no program and no session with the key of the call is at work any more.

use std::path::{Path, PathBuf};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::archive;
use super::client::{Server, explain};
use super::contents::count;
use super::read::{database, databases};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::docker::client::tail;
use crate::ops::docker::inside::{Inside, look_inside};
use crate::ops::docker::inspect::inspect;
use crate::ops::exec::check_streams;
use crate::ops::files::{cannot, digest_file};
use crate::ops::process::{ChildStatus, Ended, ReadCommand, WriteCommand};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write, unknown};

/// `pg.restore`.
pub struct Restore;

/// What to restore, and where.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RestoreArgs {
    /// The server.
    pub server: Server,
    /// The database, which must be there and be empty.
    pub database: String,
    /// The dump file on this host, in custom format.
    pub from: String,
}

/// A dump was restored.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Restored {
    /// How many things are in the database now: relations, functions, types, schemas, extensions, large objects.
    pub objects: u64,
}

/// What is known before.
#[derive(Debug, Default, Serialize, Deserialize)]
struct Plan {
    oid: i64,
    bytes: u64,
    sha256: String,
    entries: u64,
}

/// The exit code with which [`SCRIPT`] says that the file did not arrive whole.
const NOT_WHOLE: i32 = 74;

/// Receives the file and restores it. Arguments: key, bytes, SHA-256, seconds it may take (0 for no limit).
const SCRIPT: &str = r#"umask 077
file="${TMPDIR:-/tmp}/muster-$1.dump"
trap 'rm -f "$file"' EXIT
trap 'exit 143' HUP INT TERM
cat >"$file" || exit 74
bytes=$(wc -c <"$file")
[ "$bytes" -eq "$2" ] || { echo "only $bytes of $2 bytes arrived" >&2; exit 74; }
sum=$(sha256sum <"$file")
[ "${sum%% *}" = "$3" ] || { echo "the file that arrived is another one: its SHA-256 is ${sum%% *}" >&2; exit 74; }
limit=
[ "$4" -gt 0 ] && command -v timeout >/dev/null && limit="timeout $4"
name=$(printf %s "$PGDATABASE" | sed "s/[\\\\']/\\\\&/g")
$limit pg_restore -w --exit-on-error --single-transaction --no-owner -d "dbname='$name'" "$file"
"#;

impl RestoreArgs {
    fn act(&self) -> String {
        format!("cannot restore {} into database {} of server {}", self.from, self.database, self.server.name())
    }
}

fn plan_of(before: &Value) -> Plan {
    Plan::deserialize(before).unwrap_or_default()
}

impl Operation for Restore {
    const NAME: &'static str = "pg.restore";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str =
        "restores a dump in custom format into an empty database, in one transaction; owners are left out";
    const PERMISSION: &'static str = "pg_restore; ownership of the database; superuser if the dump needs it";
    const TYPICAL: Duration = Duration::from_secs(20);
    type Args = RestoreArgs;
    type Output = Restored;

    fn resource(args: &RestoreArgs) -> String {
        args.server.resource(&args.database)
    }

    fn touches(args: &RestoreArgs, _before: &Value) -> Vec<Touch> {
        vec![args.server.touched(&args.database)]
    }

    fn target(context: &ReadContext<'_>, args: &RestoreArgs) -> Result<Option<Target>, OpError> {
        args.server.target(context)
    }
}

impl Write for Restore {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str =
        "a program or a session with the key still at work; else whether the database has anything in it";
    const UNDO_DOC: &'static str = "pg.empty_database, of the database with the same object id";

    fn before(context: &ReadContext<'_>, args: &RestoreArgs) -> Result<Value, OpError> {
        let act = args.act();
        check_streams(Some(&args.from), None, false)?;
        let found = database(context, &act, &args.server, &args.database)?;
        let there = count(context, &act, &args.server, &args.database)?;
        if there > 0 {
            return Err(OpError::refused(format!("{act}: the database is not empty, {there} things are in it"))
                .with_hint("restore into a new database and swap the names: stdlib/pg.swap_database does so"));
        }
        let listing = archive::list(context, &act, &args.server, &args.from)?;
        check_version(context, &act, args, listing.major)?;
        let digested = digest_file(Path::new(&args.from)).map_err(|e| cannot("read", Path::new(&args.from), &e))?;
        Ok(json!(Plan { oid: found.oid, bytes: digested.bytes, sha256: digested.sha256, entries: listing.entries }))
    }

    fn send(context: &WriteContext<'_>, args: RestoreArgs) -> Result<Send<Restored>, OpError> {
        let plan = plan_of(context.read.before);
        let left = context
            .read
            .deadline
            .map_or(0, |deadline| deadline.duration_since(context.read.clock.now()).as_secs().max(1));
        let (bytes, left) = (plan.bytes.to_string(), left.to_string());
        let words = [context.read.key, &bytes, &plan.sha256, &left];
        let command = args.server.script(&context.read, &args.database, SCRIPT, &words)?;
        context.launch(&WriteCommand {
            argv: command.argv,
            env: command.env,
            stdin: Some(PathBuf::from(args.from)),
            ..WriteCommand::default()
        })?;
        Ok(Send::Running)
    }

    fn probe(context: &ReadContext<'_>, args: &RestoreArgs) -> Result<Found<Restored>, OpError> {
        let status = context.children.status(context.key)?;
        match &status {
            ChildStatus::Never => return Ok(Found::NotDone),
            ChildStatus::Running { .. } => return Ok(Found::Running(None)),
            ChildStatus::Ended(ended) if ended.code == NOT_WHOLE => return Ok(Found::Failed(not_whole(args, ended))),
            ChildStatus::Ended(_) | ChildStatus::Lost => {}
        }
        if let Some(at_work) = still_at_work(context, args)? {
            return Ok(Found::Running(Some(at_work)));
        }
        let act = args.act();
        let oid = plan_of(context.before).oid;
        let Some(found) = databases(context, &args.server)?.into_iter().find(|found| found.oid == oid) else {
            return Ok(Found::CannotTell(format!("{act}: somebody has dropped the database")));
        };
        // All or nothing: it was one transaction.
        let objects = count(context, &act, &args.server, &found.name)?;
        Ok(match status {
            ChildStatus::Ended(ended) if ended.code == 0 && !ended.timed_out => Found::Done(Restored { objects }),
            _ if objects > 0 => Found::Done(Restored { objects }),
            ChildStatus::Ended(ended) => Found::Failed(failed(args, &ended)),
            _ => Found::NotDone,
        })
    }

    fn undo(args: &RestoreArgs, before: &Value, _key: &str) -> Undo {
        Undo::Call {
            op: "pg.empty_database",
            args: json!({ "server": args.server, "database": args.database, "oid": plan_of(before).oid }),
        }
    }

    fn fingerprint(context: &ReadContext<'_>, args: &RestoreArgs, _result: &Restored) -> Result<Value, OpError> {
        let act = args.act();
        let found = databases(context, &args.server)?.into_iter().find(|found| found.name == args.database);
        let objects = match &found {
            Some(found) => Some(count(context, &act, &args.server, &found.name)?),
            None => None,
        };
        Ok(json!({ "oid": found.map(|found| found.oid), "objects": objects }))
    }

    fn predict(_args: &RestoreArgs, _before: &Value, _key: &str) -> Predicted {
        Predicted::Result(json!({ "objects": unknown("counted when the dump is restored") }))
    }

    fn release(context: &WriteContext<'_>, args: &RestoreArgs) {
        // A container that went down in the middle may have kept the file.
        if args.server.container.is_some()
            && !matches!(context.read.children.status(context.read.key), Ok(ChildStatus::Never))
        {
            let script = r#"rm -f "${TMPDIR:-/tmp}/muster-$1.dump""#;
            if let Ok(command) = args.server.script(&context.read, "", script, &[context.read.key]) {
                let _ = context.run_write(&ReadCommand { any_exit: true, ..command });
            }
        }
        context.forget_child();
    }
}

/// A dump of a newer major version may hold what this server does not know.
fn check_version(
    context: &ReadContext<'_>,
    act: &str,
    args: &RestoreArgs,
    made_of: Option<u32>,
) -> Result<(), OpError> {
    let query = super::client::Query {
        act,
        database: &args.database,
        sql: "select current_setting('server_version_num')::int / 10000;",
        ..super::client::Query::default()
    };
    let own: u32 = args.server.ask(context, &query)?.parse().unwrap_or_default();
    match made_of {
        Some(major) if own > 0 && major > own => {
            Err(OpError::refused(format!("{act}: the dump was made of PostgreSQL {major}, this server is {own}"))
                .with_hint("restore it into a server of the same or a newer major version"))
        }
        _ => Ok(()),
    }
}

/// Whether something with the key of the call is still at work: in the container, or as a session of the server.
fn still_at_work(context: &ReadContext<'_>, args: &RestoreArgs) -> Result<Option<String>, OpError> {
    if let Some(container) = &args.server.container {
        match look_inside(context, container, None, context.key)? {
            Inside::Works(ids) => {
                return Ok(Some(format!(
                    "the client was killed, but process {ids:?} in container {container} goes on"
                )));
            }
            Inside::Down => {
                let state = inspect(context, container)?.state;
                return Err(OpError::transient(format!(
                    "cannot find out what became of the restore: container {container} does not run ({state})"
                ))
                .with_hint("start the container; then it can be asked"));
            }
            Inside::Nothing | Inside::Blind(_) => {}
        }
    }
    let sessions = args.server.sessions_of(context, context.key)?;
    Ok((sessions > 0).then(|| "the client was killed, but the server is still at it".to_owned()))
}

fn not_whole(args: &RestoreArgs, ended: &Ended) -> OpError {
    OpError::failed(format!("{}: the file did not arrive whole at the server", args.act()))
        .with_detail(tail(&ended.stderr_tail))
        .with_hint("nothing was restored; see whether the disk there is full, or the client was killed")
}

fn failed(args: &RestoreArgs, ended: &Ended) -> OpError {
    let act = args.act();
    if let Err(error) = ended.verdict("pg_restore", &[])
        && (ended.timed_out || ended.fault.is_some() || ended.code == 124)
    {
        return OpError { message: format!("{act}: {}", error.message), ..error };
    }
    if ended.code >= 128 {
        return OpError::failed(format!("{act}: it was killed (exit code {}), and nothing was restored", ended.code))
            .with_detail(tail(&ended.stderr_tail))
            .with_hint("see whether the container or the server went down; then retry");
    }
    let error = explain(&act, &args.server, ended.code, &ended.stderr_tail);
    // The world has been looked at: nothing was restored.
    OpError { class: crate::ops::ErrorClass::Failed, ..error }
}
