//! Changing databases of the world. The mark of a call is where it is on a real server: in the comment of the database it made,
//! in the name under which it makes it, in a note beside the server.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::json;

use super::fs::{may_write, part_of};
use super::pg::{database, dump_in, server, server_mut, server_name};
use super::{Call, Effect, Model};
use crate::model::Value;
use crate::model::fault::OpError;
use crate::ops::host::Probe;
use crate::sandbox::World;
use crate::sandbox::content::Content;
use crate::sandbox::postgres::{Contents, Database, DumpImage, Server};
use crate::sandbox::tree::Node;
use crate::sandbox::veil::{UNKNOWN_BYTES, fits, mark, why_unseen};

pub(super) fn models() -> Vec<(&'static str, Model)> {
    let by_oid = |world: &World, call: &Call<'_>, _: &Value| {
        let found = server(world, call, "cannot look at a database")?.databases.get(call.text("database")?);
        Ok(
            json!({ "oid": found.map(|found| found.oid), "allows_connections": found.map(|found| found.allow_connections) }),
        )
    };
    vec![
        (
            "pg.create_database",
            Model::Write(Effect::new(before_create, create, probe_create).fingerprint(by_oid).half(half_create)),
        ),
        ("pg.drop_database", Model::Write(Effect::new(before_drop, drop_database, probe_drop))),
        (
            "pg.rename_databases",
            Model::Write(Effect::new(before_rename, rename, probe_rename).fingerprint(print_names)),
        ),
        (
            "pg.dump",
            Model::Write(
                Effect::new(before_dump, dump, probe_dump).by_child(takes_dump).fingerprint(print_dump).half(half_dump),
            ),
        ),
        (
            "pg.restore",
            Model::Write(
                Effect::new(before_restore, restore, probe_restore).by_child(takes_restore).fingerprint(print_restore),
            ),
        ),
        ("pg.empty_database", Model::Write(Effect::new(before_empty, empty, probe_empty).half(half_empty))),
        ("pg.execute", Model::Write(Effect::new(before_execute, execute, probe_execute).release(release_execute))),
        ("pg.terminate", Model::Write(Effect::new(before_terminate, terminate, probe_terminate))),
        ("pg.allow_connections", Model::Write(Effect::new(before_allow, allow, probe_allow).fingerprint(by_oid))),
    ]
}

fn act(call: &Call<'_>) -> String {
    let what = call.op.trim_start_matches("pg.").replace('_', " ");
    match call.maybe_text("database") {
        Some(database) => format!("cannot {what} {database} of server {}", server_name(call)),
        None => format!("cannot {what} of server {}", server_name(call)),
    }
}

fn check_name(act: &str, name: &str) -> Result<(), OpError> {
    let fault = match name {
        "" => "a database name cannot be empty",
        "postgres" | "template0" | "template1" => "that database belongs to the server itself",
        _ if name.len() > 63 => "a database name has at most 63 bytes; the server would cut it",
        _ => return Ok(()),
    };
    Err(OpError::refused(format!("{act}: {fault} (`{name}`)")))
}

fn oid_before(call: &Call<'_>) -> Option<u64> {
    call.before.get("oid").and_then(Value::as_u64)
}

fn by_oid(server: &Server, oid: u64) -> Option<(&String, &Database)> {
    server.databases.iter().find(|(_, found)| u64::from(found.oid) == oid)
}

fn in_use(act: &str) -> OpError {
    OpError::refused(format!("{act}: other sessions are connected to the database"))
        .with_hint("stop the programs that write to it; pg.terminate ends sessions")
}

// --- making and dropping ---------------------------------------------------------------------------------------------------

fn tag(call: &Call<'_>) -> String {
    format!("muster:{}:{}", call.run, call.key)
}

fn before_create(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = act(call);
    let name = call.text("database")?;
    check_name(&act, name)?;
    let found = server(world, call, &act)?;
    if let Some(there) = found.databases.get(name) {
        return Err(OpError::refused(format!("{act}: there is a database of that name already"))
            .with_detail(there.comment.clone())
            .with_hint("put the run's short id into the name, or drop the old one"));
    }
    Ok(json!({ "tag": tag(call) }))
}

/// Makes the database under the name that holds the key.
fn make(world: &mut World, call: &Call<'_>) -> Result<Database, OpError> {
    let act = act(call);
    let found = server_mut(world, call, &act)?;
    let owner = match call.maybe_text("owner") {
        Some(owner) if !found.has_role(owner) => {
            return Err(OpError::refused(format!("{act}: role \"{owner}\" does not exist")));
        }
        Some(owner) => owner.to_owned(),
        None if found.any_role => {
            let user = call.args.pointer("/server/user").and_then(Value::as_str);
            user.map_or_else(|| mark("the role that makes it"), str::to_owned)
        }
        None => found.roles.first().cloned().unwrap_or_default(),
    };
    if found.databases.contains_key(call.key) {
        return Err(OpError::refused(format!("{act}: the name is taken")));
    }
    let mut made = Database::new(found.take_oid(), &owner, Contents::default());
    made.comment = tag(call);
    if found.any_role {
        // How large a live server makes a new database, it alone knows.
        made.contents.bytes = UNKNOWN_BYTES;
    }
    if let Some(encoding) = call.maybe_text("encoding") {
        made.encoding = encoding.to_owned();
    }
    Ok(made)
}

fn create(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let name = call.text("database")?;
    if server(world, call, &act(call))?.databases.contains_key(name) {
        return Err(OpError::refused(format!("{}: the name is taken", act(call))));
    }
    let made = make(world, call)?;
    let oid = made.oid;
    server_mut(world, call, &act(call))?.databases.insert(name.to_owned(), made);
    Ok(json!({ "oid": oid }))
}

/// A kill leaves the database under the name that holds the key.
fn half_create(world: &mut World, call: &Call<'_>) {
    if let Ok(made) = make(world, call)
        && let Ok(found) = server_mut(world, call, "")
    {
        found.databases.insert(call.key.to_owned(), made);
    }
}

fn probe_create(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let tag = tag(call);
    let found = server(world, call, &act(call))?;
    let ours = found.databases.iter().find(|(name, found)| found.comment == tag || **name == call.key);
    Ok(match ours {
        None => Probe::NotDone,
        Some((name, _)) if name == call.key => {
            Probe::Partial { what: format!("the database was made, but is still named {name}") }
        }
        Some((_, found)) => Probe::Done { result: json!({ "oid": found.oid }) },
    })
}

/// The database that a drop means, if it is there.
fn meant<'s>(server: &'s Server, call: &Call<'_>) -> Option<(&'s String, &'s Database)> {
    let wanted = call.maybe_text("database").unwrap_or_default();
    let Some(tag) = call.maybe_text("tagged").filter(|tag| !tag.is_empty()) else {
        return server.databases.get_key_value(wanted);
    };
    let key = tag.rsplit(':').next().unwrap_or_default();
    server.databases.iter().find(|(name, found)| {
        let tagged = found.comment.starts_with(tag);
        (*name == wanted && tagged) || (*name == key && (tagged || found.comment.is_empty()))
    })
}

fn before_drop(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = act(call);
    check_name(&act, call.text("database")?)?;
    match meant(server(world, call, &act)?, call) {
        Some((_, found)) if found.template => Err(OpError::refused(format!("{act}: it is a template"))),
        Some((name, found)) => Ok(json!({ "oid": found.oid, "name": name })),
        None if call.maybe_text("tagged").is_some() => Ok(json!({ "oid": null })),
        None => Err(OpError::refused(format!("{act}: there is no such database"))
            .with_hint("pg.databases lists those that are there")),
    }
}

fn drop_database(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = act(call);
    let Some(oid) = oid_before(call) else { return Ok(json!({ "dropped": false })) };
    let found = server_mut(world, call, &act)?;
    let Some((name, there)) = by_oid(found, oid) else { return Ok(json!({ "dropped": true })) };
    if meant(found, call).map(|(_, found)| u64::from(found.oid)) != Some(oid) {
        return Err(OpError::refused(format!("{act}: it has been renamed to {name} in between")));
    }
    if there.connections() > 0 {
        return Err(in_use(&act));
    }
    let name = name.clone();
    found.databases.remove(&name);
    Ok(json!({ "dropped": true }))
}

fn probe_drop(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let Some(oid) = oid_before(call) else { return Ok(Probe::Done { result: json!({ "dropped": false }) }) };
    let there = by_oid(server(world, call, &act(call))?, oid).is_some();
    Ok(if there { Probe::NotDone } else { Probe::Done { result: json!({ "dropped": true }) } })
}

// --- renaming --------------------------------------------------------------------------------------------------------------

#[derive(Deserialize)]
struct Renaming {
    from: String,
    to: String,
}

/// Which names the databases bear that are renamed.
#[derive(Default, Serialize, Deserialize)]
struct Names {
    before: BTreeMap<String, u64>,
    after: BTreeMap<String, u64>,
}

fn names_of(call: &Call<'_>) -> Names {
    Names::deserialize(call.before).unwrap_or_default()
}

fn bearing(server: &Server, oids: &BTreeMap<String, u64>) -> BTreeMap<String, u64> {
    let wanted: Vec<u64> = oids.values().copied().collect();
    let all = server.databases.iter().map(|(name, found)| (name.clone(), u64::from(found.oid)));
    all.filter(|(_, oid)| wanted.contains(oid)).collect()
}

fn before_rename(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let renames: Vec<Renaming> = call.get("renames")?;
    let wanted: Option<BTreeMap<String, u64>> = call.maybe("oids");
    let pairs: Vec<String> = renames.iter().map(|one| format!("{} to {}", one.from, one.to)).collect();
    let act = format!("cannot rename databases {} on server {}", pairs.join(", "), server_name(call));
    let found = server(world, call, &act)?;
    if let Some(wanted) = &wanted
        && bearing(found, wanted) == *wanted
    {
        return Ok(json!({ "before": wanted, "after": wanted }));
    }
    let mut names: BTreeMap<String, u64> =
        found.databases.iter().map(|(name, found)| (name.clone(), u64::from(found.oid))).collect();
    let all = names.clone();
    let mut touched = Vec::new();
    for one in &renames {
        check_name(&act, &one.from)?;
        check_name(&act, &one.to)?;
        let oid = names.remove(&one.from).ok_or_else(|| {
            OpError::refused(format!("{act}: there is no database {}", one.from))
                .with_hint("pg.databases lists those that are there; renamings are done in order")
        })?;
        if names.insert(one.to.clone(), oid).is_some() {
            return Err(OpError::refused(format!("{act}: there is a database {} already", one.to))
                .with_hint("rename that one away first, in the same call"));
        }
        touched.push(oid);
    }
    let of_touched =
        |names: BTreeMap<String, u64>| names.into_iter().filter(|(_, oid)| touched.contains(oid)).collect();
    let names = Names { before: of_touched(all), after: of_touched(names) };
    if wanted.is_some_and(|wanted| wanted != names.after) {
        return Err(OpError::refused(format!("{act}: other databases bear these names now")));
    }
    let busy = |name: &String| found.databases.get(name).is_some_and(|found| found.connections() > 0);
    if !call.flag("terminate")
        && let Some(name) = names.before.keys().find(|name| busy(name))
    {
        return Err(OpError::refused(format!("{act}: other sessions are in {name}"))
            .with_hint("stop the programs that write to it, or pass terminate: true"));
    }
    Ok(json!(names))
}

fn rename(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let names = names_of(call);
    let act = act(call);
    let found = server_mut(world, call, &act)?;
    let terminate = call.flag("terminate");
    for name in names.before.keys() {
        if let Some(database) = found.databases.get_mut(name) {
            if terminate {
                database.sessions.clear();
            }
            if database.connections() > 0 && names.before != names.after {
                return Err(in_use(&act));
            }
        }
    }
    if bearing(found, &names.before) != names.before {
        return Err(OpError::refused(format!("{act}: somebody else has renamed or dropped some of them")));
    }
    if names.after.keys().any(|name| found.databases.contains_key(name) && !names.before.contains_key(name)) {
        return Err(OpError::refused(format!("{act}: the name is taken")));
    }
    let moved: Vec<Database> = names.before.keys().filter_map(|name| found.databases.remove(name)).collect();
    for database in moved {
        if let Some((name, _)) = names.after.iter().find(|(_, oid)| **oid == u64::from(database.oid)) {
            found.databases.insert(name.clone(), database);
        }
    }
    Ok(json!({ "oids": names.after }))
}

fn probe_rename(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let names = names_of(call);
    let now = bearing(server(world, call, &act(call))?, &names.before);
    Ok(if now == names.after {
        Probe::Done { result: json!({ "oids": now }) }
    } else if now == names.before {
        Probe::NotDone
    } else {
        Probe::CannotTell { why: format!("{}: somebody else has renamed or dropped some of them", act(call)) }
    })
}

fn print_names(world: &World, call: &Call<'_>, result: &Value) -> Result<Value, OpError> {
    let oids: BTreeMap<String, u64> = BTreeMap::deserialize(&result["oids"]).unwrap_or_default();
    Ok(json!({ "names": bearing(server(world, call, &act(call))?, &oids) }))
}

// --- dumping and restoring -------------------------------------------------------------------------------------------------

/// A hundred megabytes a second, and a second to begin with.
fn takes(bytes: u64) -> u64 {
    if bytes >= UNKNOWN_BYTES { 10_000 } else { 1000 + bytes / 100_000 }
}

fn before_dump(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    may_write(world, &call.path("to")?, false)?;
    let found = database(world, call, &act(call))?;
    Ok(json!({ "oid": found.oid, "bytes": found.bytes() }))
}

fn takes_dump(world: &World, call: &Call<'_>) -> u64 {
    takes(database(world, call, "").map_or(0, |found| found.contents.bytes))
}

fn dump(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let to = call.path("to")?;
    let act = act(call);
    let failed = |error: OpError| OpError { class: crate::model::fault::ErrorClass::Failed, ..error };
    let contents = database(world, call, &act).map_err(failed)?.contents.clone();
    let major = server(world, call, &act).map_err(failed)?.major();
    let image = DumpImage { database: call.text("database")?.to_owned(), major, contents };
    let entries = image.contents.objects();
    let content = Content::Dump(Box::new(image));
    if !fits(content.bytes(), world.free) {
        return Err(OpError::failed(format!("cannot write {to}: no space left on device")));
    }
    let (bytes, sha256) = (content.bytes(), content.sha256());
    world.files.remove(&part_of(&to, call.key));
    world.files.put(&to, Node::file(content, 0o600, Some(call.now)));
    Ok(json!({ "path": to, "bytes": bytes, "sha256": sha256, "entries": entries }))
}

/// A kill of client and supervisor leaves the unfinished file.
fn half_dump(world: &mut World, call: &Call<'_>) {
    if let Ok(to) = call.path("to") {
        let unfinished = Content::opaque(1, "an unfinished dump");
        world.files.put(&part_of(&to, call.key), Node::file(unfinished, 0o600, Some(call.now)));
    }
}

fn probe_dump(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let to = call.path("to")?;
    if !call.lost(world) || !world.files.exists(&to) {
        return Ok(Probe::NotDone);
    }
    let found = dump_in(world, &act(call), &to)?;
    if found.database != call.text("database")? {
        let why = format!("{}: {to} is a dump of another database, {}", act(call), found.database);
        return Ok(Probe::CannotTell { why });
    }
    let entries = found.contents.objects();
    let content = super::fs_read::content_of(world, "read", &to)?;
    let result = json!({ "path": to, "bytes": content.bytes(), "sha256": content.sha256(), "entries": entries });
    Ok(Probe::Done { result })
}

fn print_dump(world: &World, call: &Call<'_>, _: &Value) -> Result<Value, OpError> {
    let node = world.files.get(&call.path("to")?);
    Ok(json!({ "bytes": node.map(Node::bytes), "modified": node.and_then(|node| node.modified) }))
}

fn before_restore(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = act(call);
    let from = call.path("from")?;
    let found = database(world, call, &act)?;
    if !found.contents.is_empty() {
        return Err(OpError::refused(format!(
            "{act}: the database is not empty, {} things are in it",
            found.contents.objects()
        ))
        .with_hint("restore into a new database and swap the names"));
    }
    // As `pg_restore --list`, which only reads the head of the file.
    let head = match super::fs_read::content_of(world, "read", &from)? {
        Content::Cut { of, bytes } if *bytes > 2048 => match of.as_ref() {
            Content::Dump(dump) => dump,
            _ => dump_in(world, &act, &from)?,
        },
        _ => dump_in(world, &act, &from)?,
    };
    let own = server(world, call, &act)?.major();
    if head.major > own {
        return Err(OpError::refused(format!(
            "{act}: the dump was made of PostgreSQL {}, this server is {own}",
            head.major
        ))
        .with_hint("restore it into a server of the same or a newer major version"));
    }
    let content = super::fs_read::content_of(world, "read", &from)?;
    Ok(
        json!({ "oid": found.oid, "bytes": content.bytes(), "sha256": content.sha256(), "entries": head.contents.objects() }),
    )
}

fn takes_restore(_: &World, call: &Call<'_>) -> u64 {
    takes(call.before.get("bytes").and_then(Value::as_u64).unwrap_or(0) * 4)
}

fn restore(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = act(call);
    let from = call.path("from")?;
    let contents = match dump_in(world, &act, &from) {
        Ok(dump) => dump.contents.clone(),
        // It is restored all the same; only nobody knows yet what that brings.
        Err(error) => match why_unseen(&error) {
            Some(why) => Contents::unseen(why),
            None => return Err(error),
        },
    };
    let name = call.text("database")?;
    let found = server_mut(world, call, &act)
        .map_err(|error| OpError { class: crate::model::fault::ErrorClass::Failed, ..error })?;
    let database = found.databases.get_mut(name).ok_or_else(|| OpError::failed(format!("{act}: it does not exist")))?;
    if !database.contents.is_empty() {
        return Err(OpError::failed(format!("{act}: relations exist already")));
    }
    database.contents = contents;
    Ok(json!({ "objects": database.contents.objects() }))
}

fn probe_restore(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    if !call.lost(world) {
        return Ok(Probe::NotDone);
    }
    let Some((_, found)) = by_oid(server(world, call, &act(call))?, oid_before(call).unwrap_or(0)) else {
        return Ok(Probe::CannotTell { why: format!("{}: somebody has dropped the database", act(call)) });
    };
    Ok(if found.contents.is_empty() {
        Probe::NotDone
    } else {
        Probe::Done { result: json!({ "objects": found.contents.objects() }) }
    })
}

fn print_restore(world: &World, call: &Call<'_>, _: &Value) -> Result<Value, OpError> {
    let found = server(world, call, &act(call))?.databases.get(call.text("database")?);
    Ok(json!({ "oid": found.map(|found| found.oid), "objects": found.map(|found| found.contents.objects()) }))
}

fn to_empty<'w>(world: &'w World, call: &Call<'_>) -> Result<Option<&'w Database>, OpError> {
    let act = act(call);
    let oid: u64 = call.get("oid")?;
    match by_oid(server(world, call, &act)?, oid) {
        Some((name, _)) if name != call.text("database")? => {
            Err(OpError::refused(format!("{act}: it is named {name} now"))
                .with_hint("undo the renaming first; a database that may be in use is not emptied"))
        }
        found => Ok(found.map(|(_, found)| found)),
    }
}

fn count(found: Option<&Database>) -> u64 {
    found.filter(|found| !found.contents.is_empty()).map_or(0, |found| found.contents.objects())
}

fn before_empty(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    Ok(json!({ "count": count(to_empty(world, call)?) }))
}

fn empty(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let removed = call.before.get("count").and_then(Value::as_u64).unwrap_or(0);
    if removed == 0 || to_empty(world, call)?.is_none() {
        return Ok(json!({ "removed": 0 }));
    }
    let name = call.text("database")?;
    if let Some(found) = server_mut(world, call, &act(call))?.databases.get_mut(name) {
        found.contents = Contents::default();
    }
    Ok(json!({ "removed": removed }))
}

/// A kill leaves the tables that were not dropped yet.
fn half_empty(world: &mut World, call: &Call<'_>) {
    let name = call.maybe_text("database").unwrap_or_default();
    if let Ok(found) = server_mut(world, call, "")
        && let Some(found) = found.databases.get_mut(name)
    {
        found.contents.large_objects = 0;
    }
}

fn probe_empty(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    if count(to_empty(world, call)?) > 0 {
        return Ok(Probe::NotDone);
    }
    Ok(Probe::Done { result: json!({ "removed": call.before.get("count") }) })
}

// --- statements and sessions -----------------------------------------------------------------------------------------------

fn before_execute(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = act(call);
    if call.text("sql")?.trim().is_empty() {
        return Err(OpError::refused(format!("{act}: there is no statement in it")));
    }
    Ok(json!({ "oid": database(world, call, &act)?.oid, "incarnation": "" }))
}

fn execute(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let (name, sql) = (call.text("database")?, call.text("sql")?);
    let keyword = sql.split_whitespace().next().unwrap_or_default().to_uppercase();
    let key = call.key.to_owned();
    let found = server_mut(world, call, &act(call))?;
    found.executed.entry(name.to_owned()).or_default().push(sql.to_owned());
    found.notes.insert(key);
    Ok(json!({ "tag": keyword }))
}

fn probe_execute(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let noted = server(world, call, &act(call))?.notes.contains(call.key);
    Ok(if noted { Probe::Done { result: json!({ "tag": "" }) } } else { Probe::NotDone })
}

fn release_execute(world: &mut World, call: &Call<'_>) {
    if let Some(found) = world.postgres.get_mut(&server_name(call)) {
        found.notes.remove(call.key);
    }
}

fn before_terminate(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    Ok(json!({ "connections": database(world, call, &act(call))?.connections() }))
}

fn terminate(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let (act, name) = (act(call), call.text("database")?);
    let terminated = database(world, call, &act)?.connections();
    if let Some(found) = server_mut(world, call, &act)?.databases.get_mut(name) {
        found.sessions.clear();
    }
    Ok(json!({ "terminated": terminated }))
}

fn probe_terminate(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let there = database(world, call, &act(call))?.connections() > 0;
    Ok(if there { Probe::NotDone } else { Probe::Done { result: json!({ "terminated": 0 }) } })
}

fn before_allow(world: &World, call: &Call<'_>) -> Result<Value, OpError> {
    let act = act(call);
    check_name(&act, call.text("database")?)?;
    let found = database(world, call, &act)?;
    Ok(json!({ "was": found.allow_connections, "oid": found.oid }))
}

fn was(call: &Call<'_>) -> bool {
    call.before.get("was").and_then(Value::as_bool).unwrap_or(true)
}

fn allow(world: &mut World, call: &Call<'_>) -> Result<Value, OpError> {
    let (act, name) = (act(call), call.text("database")?);
    database(world, call, &act)?;
    if let Some(found) = server_mut(world, call, &act)?.databases.get_mut(name) {
        found.allow_connections = call.flag("allow");
    }
    Ok(json!({ "was": was(call) }))
}

fn probe_allow(world: &World, call: &Call<'_>) -> Result<Probe, OpError> {
    let now = database(world, call, &act(call))?.allow_connections;
    Ok(if now == call.flag("allow") { Probe::Done { result: json!({ "was": was(call) }) } } else { Probe::NotDone })
}
