//! The pg operations that only look.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::client::{MAINTENANCE, Query, Server};
use super::lexer::statements;
use crate::model::Value;
use crate::model::fault::{ErrorClass, OpError, Target};
use crate::ops::context::ReadContext;
use crate::ops::docker::inspect::inspect_running;
use crate::ops::spec::{Effect, Operation, Poll, Read, Wait};

/// A server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct ServerArgs {
    /// The server.
    pub server: Server,
}

/// A database of a server.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DatabaseArgs {
    /// The server.
    pub server: Server,
    /// The database.
    pub database: String,
}

/// `pg.server`.
pub struct ReadServer;

/// A server as it is.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct ServerFound {
    /// `15.18`.
    pub version: String,
    /// `150018`.
    pub version_num: i64,
    /// What tells this cluster from any other; a copy of its files has the same.
    pub system_identifier: String,
    /// Whether it is a standby.
    pub in_recovery: bool,
}

fn decode<T: serde::de::DeserializeOwned>(act: &str, value: Value) -> Result<T, OpError> {
    serde_json::from_value(value).map_err(|e| OpError::failed(format!("{act}: the answer does not fit: {e}")))
}

impl Operation for ReadServer {
    const NAME: &'static str = "pg.server";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "the version and identity of a PostgreSQL server";
    const PERMISSION: &'static str = "psql; CONNECT on database postgres";
    const TYPICAL: Duration = Duration::from_millis(200);
    type Args = ServerArgs;
    type Output = ServerFound;

    fn resource(args: &ServerArgs) -> String {
        format!("pg/{}", args.server.name())
    }

    fn target(context: &ReadContext<'_>, args: &ServerArgs) -> Result<Option<Target>, OpError> {
        args.server.target(context)
    }
}

impl Read for ReadServer {
    fn read(context: &ReadContext<'_>, args: ServerArgs) -> Result<ServerFound, OpError> {
        let act = format!("cannot ask PostgreSQL server {} for its version", args.server.name());
        let sql = "select json_build_object(
            'version', split_part(current_setting('server_version'), ' ', 1),
            'version_num', current_setting('server_version_num')::int,
            'system_identifier', (select system_identifier::text from pg_control_system()),
            'in_recovery', pg_is_in_recovery());";
        let query = Query { act: &act, database: MAINTENANCE, sql, ..Query::default() };
        decode(&act, args.server.ask_json(context, &query)?)
    }
}

/// `pg.databases`.
pub struct Databases;

/// The databases of a server.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseList {
    /// By name.
    pub databases: Vec<ListedDatabase>,
}

/// One database of a list.
#[derive(Debug, Clone, Serialize, Deserialize, JsonSchema)]
pub struct ListedDatabase {
    /// Its name.
    pub name: String,
    /// Its object id, which stays when it is renamed.
    pub oid: i64,
    /// Its size; 0 when this role may not connect to it.
    pub bytes: i64,
    /// The role that owns it.
    pub owner: String,
    /// Its comment; empty when it has none.
    pub comment: String,
    /// How many sessions are in it. A vacuum that the server does by itself is none: it gives way to whoever needs the database.
    pub connections: i64,
    /// Whether it is a template.
    pub template: bool,
    /// Whether anybody may connect to it.
    pub allows_connections: bool,
}

/// Lists the databases of a server.
///
/// # Errors
/// When it cannot be asked now.
pub fn databases(context: &ReadContext<'_>, server: &Server) -> Result<Vec<ListedDatabase>, OpError> {
    let act = format!("cannot list the databases of PostgreSQL server {}", server.name());
    let sql = "select coalesce(json_agg(json_build_object(
            'name', d.datname, 'oid', d.oid::bigint, 'owner', pg_get_userbyid(d.datdba),
            'bytes', case when has_database_privilege(d.oid, 'CONNECT') then pg_database_size(d.oid) else 0 end,
            'comment', coalesce(shobj_description(d.oid, 'pg_database'), ''),
            'connections',
                (select count(*) from pg_stat_activity a
                 where a.datid = d.oid and a.pid <> pg_backend_pid() and a.usesysid is not null),
            'template', d.datistemplate, 'allows_connections', d.datallowconn) order by d.datname), '[]')
        from pg_database d;";
    let query = Query { act: &act, database: MAINTENANCE, sql, ..Query::default() };
    decode(&act, server.ask_json(context, &query)?)
}

/// Finds a database by name.
///
/// # Errors
/// Refused when there is none; otherwise as [`databases`].
pub fn database(context: &ReadContext<'_>, act: &str, server: &Server, name: &str) -> Result<ListedDatabase, OpError> {
    databases(context, server)?.into_iter().find(|found| found.name == name).ok_or_else(|| {
        OpError::refused(format!("{act}: there is no database {name} on server {}", server.name()))
            .with_hint("pg.databases lists those that are there")
    })
}

impl Operation for Databases {
    const NAME: &'static str = "pg.databases";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "the databases of a server, templates included";
    const PERMISSION: &'static str = "psql; CONNECT on database postgres";
    const TYPICAL: Duration = Duration::from_millis(200);
    type Args = ServerArgs;
    type Output = DatabaseList;

    fn resource(args: &ServerArgs) -> String {
        format!("pg/{}", args.server.name())
    }

    fn target(context: &ReadContext<'_>, args: &ServerArgs) -> Result<Option<Target>, OpError> {
        args.server.target(context)
    }
}

impl Read for Databases {
    fn read(context: &ReadContext<'_>, args: ServerArgs) -> Result<DatabaseList, OpError> {
        Ok(DatabaseList { databases: databases(context, &args.server)? })
    }
}

/// `pg.query`.
pub struct ReadRows;

/// A question in SQL.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct QueryArgs {
    /// The server.
    pub server: Server,
    /// The database.
    pub database: String,
    /// One SELECT, WITH, VALUES or TABLE. It runs in a transaction that is read-only.
    pub sql: String,
}

/// What a question was answered.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Rows {
    /// The rows, each an object by column name.
    pub rows: Vec<Value>,
}

impl Operation for ReadRows {
    const NAME: &'static str = "pg.query";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "asks one question in SQL, in a read-only transaction; functions that act outside the \
         transaction are not held back by that";
    const PERMISSION: &'static str = "psql; SELECT on what it names";
    const TYPICAL: Duration = Duration::from_millis(300);
    type Args = QueryArgs;
    type Output = Rows;

    fn resource(args: &QueryArgs) -> String {
        args.server.resource(&args.database)
    }

    fn target(context: &ReadContext<'_>, args: &QueryArgs) -> Result<Option<Target>, OpError> {
        args.server.target(context)
    }
}

impl Read for ReadRows {
    fn read(context: &ReadContext<'_>, args: QueryArgs) -> Result<Rows, OpError> {
        let act = format!("cannot query database {}", args.database);
        let found = statements(&args.sql).map_err(|e| OpError::refused(format!("{act}: in its SQL, {e}")))?;
        let [statement] = found.as_slice() else {
            return Err(OpError::refused(format!("{act}: its SQL has {} statements instead of one", found.len())));
        };
        if !matches!(statement.keyword.as_str(), "SELECT" | "WITH" | "VALUES" | "TABLE" | "") {
            return Err(OpError::refused(format!("{act}: it starts with {}, which is no question", statement.keyword))
                .with_hint(
                    "pg.query takes SELECT, WITH, VALUES and TABLE (for SHOW: select current_setting(…)); \
                     pg.execute takes what writes",
                ));
        }
        // The line break ends a comment at the statement's end.
        let sql = format!(
            "begin transaction read only;\nselect coalesce(json_agg(row_to_json(muster_row)), '[]') from (\n{}\n) \
             muster_row;\ncommit;\n",
            statement.text
        );
        let query = Query { act: &act, database: &args.database, sql: &sql, ..Query::default() };
        Ok(Rows { rows: decode(&act, args.server.ask_json(context, &query)?)? })
    }
}

/// `pg.wait_ready`.
pub struct WaitReady;

/// Which server to wait for.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct WaitReadyArgs {
    /// The server.
    pub server: Server,
    /// The database that has to answer; `postgres` when absent.
    #[serde(default)]
    pub database: Option<String>,
}

/// The server answers.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Answers {}

impl Operation for WaitReady {
    const NAME: &'static str = "pg.wait_ready";
    const EFFECT: Effect = Effect::Wait;
    const DOC: &'static str =
        "waits until a server answers, past the temporary one that a container's first start uses";
    const PERMISSION: &'static str = "psql; CONNECT on the database";
    const TYPICAL: Duration = Duration::from_secs(3);
    type Args = WaitReadyArgs;
    type Output = Answers;

    fn resource(args: &WaitReadyArgs) -> String {
        args.server.resource(args.database.as_deref().unwrap_or(MAINTENANCE))
    }
}

impl Wait for WaitReady {
    fn poll(context: &ReadContext<'_>, args: WaitReadyArgs) -> Result<Poll<Answers>, OpError> {
        let server = &args.server;
        let act = format!("cannot wait for PostgreSQL server {}", server.name());
        if let Some(container) = &server.container {
            inspect_running(context, &act, container)?;
        }
        let again = Duration::from_millis(500);
        // While the official image prepares an empty data directory, a temporary server answers on the socket alone.
        let sql = "select current_setting('listen_addresses') <> ''
            or clock_timestamp() - pg_postmaster_start_time() > interval '15 seconds';";
        let database = args.database.as_deref().unwrap_or(MAINTENANCE);
        match server.ask(context, &Query { act: &act, database, sql, ..Query::default() }) {
            Ok(answer) if answer == "t" => Ok(Poll::Ready(Answers {})),
            Ok(_) => Ok(Poll::Pending(Some("the server prepares its data directory".to_owned()), again)),
            Err(error) if error.class == ErrorClass::Transient => Ok(Poll::Pending(Some(error.message), again)),
            Err(error) => Err(error),
        }
    }
}
