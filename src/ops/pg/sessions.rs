//! Who may be in a database: ending sessions, and letting none in.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{MAINTENANCE, Query, Server};
use super::read::{DatabaseArgs, database};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write, unknown};

/// `pg.terminate`.
pub struct Terminate;

/// How many sessions were ended.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Terminated {
    /// So many; 0 when they were found ended already.
    pub terminated: u64,
}

fn act_of_terminate(args: &DatabaseArgs) -> String {
    format!("cannot end the sessions in database {}", args.database)
}

impl Operation for Terminate {
    const NAME: &'static str = "pg.terminate";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str =
        "ends all sessions in a database; what they had not committed is rolled back, and they may come again";
    const PERMISSION: &'static str = "psql; pg_signal_backend";
    const TYPICAL: Duration = Duration::from_millis(300);
    type Args = DatabaseArgs;
    type Output = Terminated;

    fn resource(args: &DatabaseArgs) -> String {
        args.server.resource(&args.database)
    }

    fn touches(args: &DatabaseArgs, _before: &Value) -> Vec<Touch> {
        vec![args.server.touched(&args.database)]
    }

    fn target(context: &ReadContext<'_>, args: &DatabaseArgs) -> Result<Option<Target>, OpError> {
        args.server.target(context)
    }
}

impl Write for Terminate {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether any session is in the database";
    const UNDO_DOC: &'static str = "nothing to undo: programs connect again by themselves";

    fn before(context: &ReadContext<'_>, args: &DatabaseArgs) -> Result<Value, OpError> {
        let found = database(context, &act_of_terminate(args), &args.server, &args.database)?;
        Ok(json!({ "connections": found.connections }))
    }

    fn send(context: &WriteContext<'_>, args: DatabaseArgs) -> Result<Send<Terminated>, OpError> {
        let act = act_of_terminate(&args);
        let query = Query {
            act: &act,
            database: MAINTENANCE,
            sql: "select count(*) filter (where pg_terminate_backend(pid)) from pg_stat_activity
                where datname = :'database' and pid <> pg_backend_pid();",
            variables: &[("database", &args.database)],
            options: &["-q"],
            timeout: None,
        };
        let answer = args.server.tell(context, &query)?;
        Ok(Send::Done(Terminated { terminated: answer.parse().unwrap_or_default() }))
    }

    fn probe(context: &ReadContext<'_>, args: &DatabaseArgs) -> Result<Found<Terminated>, OpError> {
        let found = database(context, &act_of_terminate(args), &args.server, &args.database)?;
        Ok(if found.connections == 0 { Found::Done(Terminated { terminated: 0 }) } else { Found::NotDone })
    }

    fn undo(_args: &DatabaseArgs, _before: &Value, _key: &str) -> Undo {
        Undo::Nothing
    }

    fn fingerprint(_: &ReadContext<'_>, _: &DatabaseArgs, _: &Terminated) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn predict(_args: &DatabaseArgs, _before: &Value, _key: &str) -> Predicted {
        Predicted::Result(json!({ "terminated": unknown("sessions come and go") }))
    }

    fn release(_context: &WriteContext<'_>, _args: &DatabaseArgs) {}
}

/// `pg.allow_connections`.
pub struct AllowConnections;

/// Whether anybody may connect.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct AllowArgs {
    /// The server.
    pub server: Server,
    /// The database.
    pub database: String,
    /// Whether new sessions are let in. Those that are in it stay.
    pub allow: bool,
}

/// Whether it was so before.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Allowed {
    /// Whether new sessions were let in before.
    pub was: bool,
}

impl AllowArgs {
    fn act(&self) -> String {
        format!("cannot {} connections to database {}", if self.allow { "allow" } else { "forbid" }, self.database)
    }
}

fn was(before: &Value) -> bool {
    before.get("was").and_then(Value::as_bool).unwrap_or(true)
}

impl Operation for AllowConnections {
    const NAME: &'static str = "pg.allow_connections";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str = "lets new sessions into a database, or keeps them out, superusers too";
    const PERMISSION: &'static str = "psql; ownership of the database";
    const TYPICAL: Duration = Duration::from_millis(300);
    type Args = AllowArgs;
    type Output = Allowed;

    fn resource(args: &AllowArgs) -> String {
        args.server.resource(&args.database)
    }

    fn touches(args: &AllowArgs, _before: &Value) -> Vec<Touch> {
        vec![args.server.touched(&args.database)]
    }

    fn target(context: &ReadContext<'_>, args: &AllowArgs) -> Result<Option<Target>, OpError> {
        args.server.target(context)
    }
}

impl Write for AllowConnections {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "the database's datallowconn";
    const UNDO_DOC: &'static str = "pg.allow_connections, as it was before";

    fn before(context: &ReadContext<'_>, args: &AllowArgs) -> Result<Value, OpError> {
        super::database::check_database_name(&args.act(), &args.database)?;
        let found = database(context, &args.act(), &args.server, &args.database)?;
        Ok(json!({ "was": found.allows_connections, "oid": found.oid }))
    }

    fn send(context: &WriteContext<'_>, args: AllowArgs) -> Result<Send<Allowed>, OpError> {
        let act = args.act();
        let sql = format!("alter database :\"database\" allow_connections {};", args.allow);
        let query = Query {
            act: &act,
            database: MAINTENANCE,
            sql: &sql,
            variables: &[("database", &args.database)],
            options: &["-q"],
            timeout: None,
        };
        args.server.tell(context, &query)?;
        Ok(Send::Done(Allowed { was: was(context.read.before) }))
    }

    fn probe(context: &ReadContext<'_>, args: &AllowArgs) -> Result<Found<Allowed>, OpError> {
        let found = database(context, &args.act(), &args.server, &args.database)?;
        let was = was(context.before);
        Ok(if found.allows_connections == args.allow { Found::Done(Allowed { was }) } else { Found::NotDone })
    }

    fn undo(args: &AllowArgs, before: &Value, _key: &str) -> Undo {
        if was(before) == args.allow {
            return Undo::Nothing;
        }
        Undo::Call {
            op: "pg.allow_connections",
            args: json!({ "server": args.server, "database": args.database, "allow": was(before) }),
        }
    }

    fn fingerprint(context: &ReadContext<'_>, args: &AllowArgs, _result: &Allowed) -> Result<Value, OpError> {
        let found = database(context, &args.act(), &args.server, &args.database)?;
        Ok(json!({ "oid": found.oid, "allows_connections": found.allows_connections }))
    }

    fn predict(_args: &AllowArgs, before: &Value, _key: &str) -> Predicted {
        Predicted::Result(json!({ "was": was(before) }))
    }

    fn release(_context: &WriteContext<'_>, _args: &AllowArgs) {}
}
