//! Running SQL that changes something, in one transaction.
//!
//! The id of the transaction is written to a file beside psql before the first statement of the user runs. When the
//! outcome is not known, the server tells by that id whether the transaction was committed.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Query, Server};
use super::lexer::{Statement, statements};
use super::read::database;
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::docker::inspect::inspect;
use crate::ops::process::ReadCommand;
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write};

/// `pg.execute`.
pub struct Execute;

/// What to run.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ExecuteArgs {
    /// The server.
    pub server: Server,
    /// The database.
    pub database: String,
    /// One statement or more, run in one transaction.
    pub sql: String,
}

/// SQL was run.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Executed {
    /// What the server said of the last statement: `UPDATE 3`. Empty when the answer was lost, but the server says
    /// that the transaction was committed.
    pub tag: String,
}

impl ExecuteArgs {
    fn act(&self) -> String {
        format!("cannot run SQL in database {} of server {}", self.database, self.server.name())
    }

    fn statements(&self) -> Result<Vec<Statement>, OpError> {
        let act = self.act();
        let found = statements(&self.sql).map_err(|e| OpError::refused(format!("{act}: in its SQL, {e}")))?;
        if found.is_empty() {
            return Err(OpError::refused(format!("{act}: there is no statement in it")));
        }
        for statement in &found {
            let keyword = statement.keyword.as_str();
            if matches!(keyword, "BEGIN" | "START" | "COMMIT" | "END" | "ROLLBACK" | "ABORT" | "PREPARE") {
                return Err(OpError::refused(format!(
                    "{act}: {keyword} would end the one transaction in which it runs"
                ))
                .with_hint("leave transactions to pg.execute; make two calls for two of them"));
            }
            if keyword == "COPY" {
                return Err(OpError::refused(format!("{act}: COPY reads or writes a stream that is not there"))
                    .with_hint("use INSERT, or docker.exec with stdin_file"));
            }
        }
        Ok(found)
    }
}

/// The file beside psql that holds the transaction's id.
fn note_of(server: &Server, key: &str) -> String {
    let folder = if server.container.is_some() { "/tmp".into() } else { std::env::temp_dir() };
    format!("{}/muster-{key}.xid", folder.display())
}

/// What tells whether a note that is missing was never written: the container's start, or the boot of this host.
fn incarnation(context: &ReadContext<'_>, server: &Server) -> Result<String, OpError> {
    match &server.container {
        Some(container) => Ok(inspect(context, container)?.started_at),
        None => Ok(std::fs::read_to_string("/proc/sys/kernel/random/boot_id").unwrap_or_default().trim().to_owned()),
    }
}

impl Operation for Execute {
    const NAME: &'static str = "pg.execute";
    const EFFECT: Effect = Effect::Exec;
    const DOC: &'static str = "runs SQL that changes something, in one transaction";
    const PERMISSION: &'static str = "psql; what the SQL needs";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = ExecuteArgs;
    type Output = Executed;

    fn resource(args: &ExecuteArgs) -> String {
        args.server.resource(&args.database)
    }

    fn touches(args: &ExecuteArgs, _before: &Value) -> Vec<Touch> {
        vec![args.server.touched(&args.database)]
    }

    fn target(context: &ReadContext<'_>, args: &ExecuteArgs) -> Result<Option<Target>, OpError> {
        args.server.target(context)
    }
}

impl Write for Execute {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = "the server's word on the transaction, whose id was noted before the SQL ran";
    const UNDO_DOC: &'static str = "impossible: what the SQL did is not known";

    fn before(context: &ReadContext<'_>, args: &ExecuteArgs) -> Result<Value, OpError> {
        args.statements()?;
        let found = database(context, &args.act(), &args.server, &args.database)?;
        Ok(json!({ "oid": found.oid, "incarnation": incarnation(context, &args.server)? }))
    }

    fn send(context: &WriteContext<'_>, args: ExecuteArgs) -> Result<Send<Executed>, OpError> {
        let act = args.act();
        let mut sql = format!("begin;\nselect txid_current() \\g {}\n", note_of(&args.server, context.read.key));
        for statement in args.statements()? {
            sql.push_str(&statement.text);
            sql.push_str("\n;\n");
        }
        sql.push_str("commit;\n");
        let query = Query {
            act: &act,
            database: &args.database,
            sql: &sql,
            timeout: Some(Duration::from_secs(3600)),
            ..Query::default()
        };
        let answer = args.server.tell(context, &query)?;
        // The last line is that of COMMIT.
        let lines: Vec<&str> = answer.lines().filter(|line| !line.trim().is_empty()).collect();
        if lines.last().is_none_or(|line| line.trim() != "COMMIT") {
            return Err(
                OpError::unknown(format!("{act}: the server did not say that it was committed")).with_detail(answer)
            );
        }
        let tag = lines.iter().rev().nth(1).filter(|line| line.trim() != "BEGIN");
        Ok(Send::Done(Executed { tag: tag.map(|tag| tag.trim().to_owned()).unwrap_or_default() }))
    }

    fn probe(context: &ReadContext<'_>, args: &ExecuteArgs) -> Result<Found<Executed>, OpError> {
        let act = args.act();
        if args.server.sessions_of(context, context.key)? > 0 {
            return Ok(Found::Running(None));
        }
        let note = note_of(&args.server, context.key);
        let script = r#"if [ -e "$1" ]; then echo "noted $(cat "$1")."; else echo "none."; fi"#;
        let command = args.server.script(&ReadContext { key: "", ..*context }, "", script, &[&note])?;
        let seen = context.run_read(&ReadCommand { any_exit: true, ..command })?;
        // The full stop tells a whole answer from one that was cut short on its way.
        let Some(said) = seen.stdout.trim().strip_suffix('.').filter(|_| seen.code == 0) else {
            return Err(OpError::transient(format!("{act}: the note of its transaction cannot be read now"))
                .with_detail(seen.stderr));
        };
        let id = said.strip_prefix("noted").map_or("", str::trim);
        if id.is_empty() {
            let earlier = context.before.get("incarnation").and_then(Value::as_str).unwrap_or_default();
            return Ok(if incarnation(context, &args.server)? == earlier {
                Found::NotDone
            } else {
                Found::CannotTell(format!(
                    "{act}: it was restarted in between, and the note of the transaction is gone"
                ))
            });
        }
        let sql = "select coalesce(txid_status(:'id'::bigint), 'unknown');";
        let variables = [("id", id)];
        let query = Query { act: &act, database: &args.database, sql, variables: &variables, ..Query::default() };
        Ok(match args.server.ask(context, &query)?.as_str() {
            "committed" => Found::Done(Executed { tag: String::new() }),
            "aborted" => Found::NotDone,
            "in progress" => Found::Running(None),
            other => Found::CannotTell(format!("{act}: the server says of its transaction: {other}")),
        })
    }

    fn undo(_args: &ExecuteArgs, _before: &Value, _key: &str) -> Undo {
        Undo::Impossible("what the SQL did is not known; give the step a `rollback:`")
    }

    fn fingerprint(_: &ReadContext<'_>, _: &ExecuteArgs, _: &Executed) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn predict(_args: &ExecuteArgs, _before: &Value, _key: &str) -> Predicted {
        Predicted::Opaque
    }

    fn release(context: &WriteContext<'_>, args: &ExecuteArgs) {
        let note = note_of(&args.server, context.read.key);
        let read = ReadContext { key: "", ..context.read };
        if let Ok(command) = args.server.script(&read, "", "rm -f \"$1\"", &[&note]) {
            let _ = context.run_write(&ReadCommand { any_exit: true, ..command });
        }
    }
}
