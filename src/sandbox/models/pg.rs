//! Looking at the world's PostgreSQL servers, and waiting for them.

use std::time::Duration;

use serde_json::{Map, json};

use super::{Call, Model, pg_write};
use crate::model::fault::{OpError, Target};
use crate::model::{Value, glob};
use crate::ops::host::Polled;
use crate::sandbox::World;
use crate::sandbox::content::{Content, Unseen, sha256_hex};
use crate::sandbox::postgres::{Contents, Database, DumpImage, Server};
use crate::sandbox::veil::unseen;

pub(super) fn models() -> Vec<(&'static str, Model)> {
    let mut all = vec![
        ("pg.server", Model::Read(read_server as fn(&mut World, &Call<'_>) -> Result<Value, OpError>)),
        ("pg.databases", Model::Read(databases)),
        ("pg.query", Model::Read(query)),
        ("pg.census", Model::Read(read_census)),
        ("pg.wait_ready", Model::Wait(wait_ready)),
        ("pg.check_dump", Model::Read(check_dump)),
    ];
    all.extend(pg_write::models());
    all
}

/// The name of the server a call talks to.
pub(super) fn server_name(call: &Call<'_>) -> String {
    named_server(call.args)
}

/// The name of the server that these arguments name: that of its container, or `host:port`.
#[must_use]
pub fn named_server(args: &Value) -> String {
    let server = args.get("server").unwrap_or(&Value::Null);
    let text = |name: &str| server.get(name).and_then(Value::as_str);
    let port = server.get("port").and_then(Value::as_u64);
    match (text("container"), text("host"), port) {
        (Some(container), None, _) => container.to_owned(),
        (_, Some(host), Some(port)) => format!("{}:{port}", host.trim_start_matches('/')),
        (_, Some(host), None) => host.trim_start_matches('/').to_owned(),
        (None, None, Some(port)) => format!("localhost:{port}"),
        (None, None, None) => "localhost".to_owned(),
    }
}

/// The server of a call, if it can be talked to.
pub(super) fn server<'w>(world: &'w World, call: &Call<'_>, act: &str) -> Result<&'w Server, OpError> {
    let name = server_name(call);
    if let Some(container) = call.args.pointer("/server/container").and_then(Value::as_str) {
        super::docker::running(world, act, container)?;
    }
    let refused = || OpError::transient(format!("{act}: server {name} does not accept connections"));
    let server = world.postgres.get(&name).ok_or_else(refused)?;
    if server.ready_at.is_some_and(|at| at > call.now) {
        return Err(OpError::transient(format!("{act}: server {name} is starting up")));
    }
    if let Some(user) = call.args.pointer("/server/user").and_then(Value::as_str)
        && !server.has_role(user)
    {
        return Err(OpError::refused(format!("{act}: role \"{user}\" does not exist"))
            .with_hint("pg.databases lists what there is; check the spelling and `server.user`"));
    }
    Ok(server)
}

/// The same server, to be changed.
pub(super) fn server_mut<'w>(world: &'w mut World, call: &Call<'_>, act: &str) -> Result<&'w mut Server, OpError> {
    server(world, call, act)?;
    world.postgres.get_mut(&server_name(call)).ok_or_else(|| OpError::transient(format!("{act}: the server is gone")))
}

/// The database of a call.
pub(super) fn database<'w>(world: &'w World, call: &Call<'_>, act: &str) -> Result<&'w Database, OpError> {
    let name = call.text("database")?;
    server(world, call, act)?.databases.get(name).ok_or_else(|| {
        OpError::refused(format!("{act}: there is no database {name} on server {}", server_name(call)))
            .with_hint("pg.databases lists those that are there")
    })
}

/// A database one can connect to.
fn open_database<'w>(world: &'w World, call: &Call<'_>, act: &str) -> Result<&'w Database, OpError> {
    let found = database(world, call, act)?;
    if found.allow_connections {
        return Ok(found);
    }
    Err(OpError::failed(format!("{act}: the database is not currently accepting connections")))
}

/// The identity of the server a call works on.
pub(super) fn target(world: &World, call: &Call<'_>) -> Result<Target, OpError> {
    let name = server_name(call);
    let found = server(world, call, &format!("cannot identify PostgreSQL server {name}"))?;
    Ok(Target { name: format!("postgres {name}"), identity: found.system_identifier.clone() })
}

fn read_server(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = format!("cannot ask PostgreSQL server {} for its version", server_name(call));
    let found = server(world, call, &act)?;
    Ok(json!({
        "version": found.version, "version_num": found.version_num(), "system_identifier": found.system_identifier,
        "in_recovery": found.in_recovery,
    }))
}

fn databases(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = format!("cannot list the databases of PostgreSQL server {}", server_name(call));
    let listed: Vec<Value> = server(world, call, &act)?
        .databases
        .iter()
        .map(|(name, found)| {
            json!({
                "name": name, "oid": found.oid, "bytes": found.bytes(), "owner": found.owner,
                "comment": found.comment, "connections": found.connections(), "template": found.template,
                "allows_connections": found.allow_connections,
            })
        })
        .collect();
    Ok(json!({ "databases": listed }))
}

fn read_census(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = format!("cannot count what is in database {}", call.text("database")?);
    let found = open_database(world, call, &act)?;
    match &found.contents.unseen {
        Some(why) => Err(unseen(why)),
        None => Ok(census(&found.contents, call.flag("checksums"))),
    }
}

/// The census of a database.
#[must_use]
pub fn census(contents: &Contents, checksums: bool) -> Value {
    let tables: Vec<Value> = contents
        .tables
        .iter()
        .map(|(name, table)| {
            let mut entry = json!({ "name": name, "rows": table.rows });
            if checksums {
                entry["checksum"] = json!(table.checksum);
            }
            entry
        })
        .collect();
    let mut census =
        json!({ "tables": tables, "large_objects": contents.large_objects, "extensions": contents.extensions });
    if checksums {
        let sum = sha256_hex(format!("{} large objects", contents.large_objects).as_bytes());
        census["large_objects_checksum"] = json!(sum);
    }
    census
}

fn wait_ready(world: &World, call: &Call<'_>) -> Result<Polled, OpError> {
    let act = format!("cannot wait for PostgreSQL server {}", server_name(call));
    let pending = |what: String| Ok(Polled::Pending { progress: Some(what), again: Duration::from_millis(500) });
    match server(world, call, &act) {
        Ok(found) => match call.maybe_text("database") {
            Some(name) if !found.databases.contains_key(name) => {
                Err(OpError::refused(format!("{act}: database \"{name}\" does not exist")))
            }
            _ => Ok(Polled::Ready(json!({}))),
        },
        Err(error) if error.class == crate::model::fault::ErrorClass::Transient => pending(error.message),
        Err(error) => Err(error),
    }
}

/// The dump in a file of the host, read to its end.
pub(super) fn dump_in<'w>(world: &'w World, act: &str, path: &str) -> Result<&'w DumpImage, OpError> {
    let content = super::fs_read::content_of(world, "read", path)?;
    let (fault, hint) = match content {
        Content::Dump(dump) => return Ok(dump),
        Content::Unseen(Unseen { why, .. }) => return Err(unseen(why)),
        _ if content.bytes() == 0 => {
            ("it is empty (0 bytes)", "the program that made it failed; a backup of nothing is no backup")
        }
        Content::Cut { of, .. } if matches!(of.as_ref(), Content::Dump(_)) => {
            ("the dump is cut short or damaged", "take another copy of it; this one is no backup")
        }
        Content::Sealed { .. } => ("it is encrypted", "decrypt it first"),
        Content::Text(text) if text.starts_with("--") => {
            ("it is a plain SQL dump, not one in custom format", "make dumps with pg.dump or `pg_dump -Fc`")
        }
        _ => ("it is no dump in custom format", "make dumps with pg.dump or `pg_dump -Fc`"),
    };
    Err(OpError::failed(format!("{act}: {fault}")).with_hint(hint))
}

fn check_dump(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let path = call.path("path")?;
    let act = format!("cannot trust dump {path}");
    if let Some(container) = call.args.pointer("/server/container").and_then(Value::as_str) {
        super::docker::running(world, &act, container)?;
    }
    let entries = dump_in(world, &act, &path)?.contents.objects();
    let content = super::fs_read::content_of(world, "read", &path)?;
    Ok(json!({ "entries": entries, "bytes": content.bytes(), "sha256": content.sha256() }))
}

// --- questions in SQL ------------------------------------------------------------------------------------------------------

fn query(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let name = call.text("database")?;
    let act = format!("cannot query database {name}");
    let found = open_database(world, call, &act)?;
    let sql = squeezed(call.text("sql")?);
    let answers = &server(world, call, &act)?.answers;
    let fits = |database: &Option<String>| database.as_deref().is_none_or(|wanted| glob::matches(wanted, name));
    if let Some(answer) =
        answers.iter().find(|answer| fits(&answer.database) && glob::matches(&squeezed(&answer.sql), &sql))
    {
        return Ok(json!({ "rows": answer.rows }));
    }
    if sql.contains("pg_encoding_to_char(encoding)") && sql.contains("current_database()") {
        return Ok(json!({ "rows": [{ "encoding": found.encoding }] }));
    }
    if let Some(why) = &found.contents.unseen {
        return Err(unseen(why));
    }
    select(&found.contents, &sql).map(|rows| json!({ "rows": rows })).map_err(|fault| {
        OpError::failed(format!("{act}: {fault}")).with_hint(
            "the sandbox reads `select COLUMNS from TABLE`; other answers stand under `answers:` in world.yaml",
        )
    })
}

/// The statement in lower case, with one space wherever there are any, without a semicolon at its end.
fn squeezed(sql: &str) -> String {
    sql.split_whitespace().collect::<Vec<_>>().join(" ").to_lowercase().trim_end_matches([';', ' ']).to_owned()
}

/// `select count(*) [as n] from t`, `select a, b from t`, `select * from t`, with `limit n`.
fn select(contents: &Contents, sql: &str) -> Result<Vec<Value>, String> {
    let rest = sql.strip_prefix("select ").ok_or("only a plain select is understood here")?;
    let (columns, rest) = rest.split_once(" from ").ok_or("only a select from one table is understood here")?;
    let (name, rest) = rest.split_once(' ').unwrap_or((rest, ""));
    let name = name.replace('"', "");
    let limit = match rest.strip_prefix("limit ") {
        Some(number) => number.trim().parse().map_err(|_| format!("no number: {number}"))?,
        None if rest.is_empty() => usize::MAX,
        None => return Err(format!("this is not understood here: {rest}")),
    };
    let qualified = if name.contains('.') { name.clone() } else { format!("public.{name}") };
    let table = contents
        .tables
        .get(&qualified)
        .or_else(|| contents.tables.get(&name))
        .ok_or_else(|| format!("relation \"{name}\" does not exist"))?;
    if let Some(alias) = columns.strip_prefix("count(*)") {
        let alias = alias.trim().trim_start_matches("as ").trim();
        return Ok(vec![json!({ (if alias.is_empty() { "count" } else { alias }): table.rows })]);
    }
    let wanted: Vec<&str> = columns.split(',').map(|column| column.trim().trim_matches('"')).collect();
    let mut rows = Vec::new();
    for row in table.data.iter().take(limit) {
        let mut picked = Map::new();
        for (column, value) in row {
            if wanted == ["*"] || wanted.contains(&column.as_str()) {
                picked.insert(column.clone(), value.clone());
            }
        }
        if let Some(missing) = wanted.iter().find(|column| **column != "*" && !row.contains_key(**column)) {
            return Err(format!("column \"{missing}\" does not exist"));
        }
        rows.push(Value::Object(picked));
    }
    Ok(rows)
}
