//! Making and dropping databases. A new one is made under a name that holds the key of the call, tagged by its
//! comment, and only then renamed: whatever happens in between, it is found again.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{MAINTENANCE, Query, Server};
use super::read::{ListedDatabase, databases};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write, unknown};

/// How long making or dropping a database may take: copying a template, removing many files.
const LONG: Duration = Duration::from_secs(300);

/// Names longer than this are cut by the server, silently.
const LONGEST_NAME: usize = 63;

/// A name that the server takes as it is.
///
/// # Errors
/// Refused when it is empty, too long, or of the server's own.
pub fn check_database_name(act: &str, name: &str) -> Result<(), OpError> {
    let fault = if name.is_empty() {
        "a database name cannot be empty"
    } else if name.len() > LONGEST_NAME {
        "a database name has at most 63 bytes; the server would cut it"
    } else if name.contains(['\0', '\n']) {
        "a database name has no line breaks"
    } else if matches!(name, "postgres" | "template0" | "template1") {
        "that database belongs to the server itself"
    } else {
        return Ok(());
    };
    Err(OpError::refused(format!("{act}: {fault} (`{name}`)")))
}

/// `pg.create_database`.
pub struct CreateDatabase;

/// What to make.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CreateDatabaseArgs {
    /// The server.
    pub server: Server,
    /// Its name, which must be free.
    pub database: String,
    /// The role that owns it; the one that makes it when absent.
    #[serde(default)]
    pub owner: Option<String>,
    /// Its encoding; the server's own when absent.
    #[serde(default)]
    pub encoding: Option<String>,
}

/// A database was made.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct DatabaseMade {
    /// Its object id, which stays when it is renamed.
    pub oid: i64,
}

impl CreateDatabaseArgs {
    fn act(&self) -> String {
        format!("cannot make database {} on server {}", self.database, self.server.name())
    }
}

fn tag_of(context: &ReadContext<'_>) -> String {
    format!("muster:{}:{}", context.run, context.key)
}

impl Operation for CreateDatabase {
    const NAME: &'static str = "pg.create_database";
    const EFFECT: Effect = Effect::Create;
    const DOC: &'static str = "makes an empty database from template0, tagged by a comment with the run that made it";
    const PERMISSION: &'static str = "psql; CREATEDB";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = CreateDatabaseArgs;
    type Output = DatabaseMade;

    fn resource(args: &CreateDatabaseArgs) -> String {
        args.server.resource(&args.database)
    }

    fn touches(args: &CreateDatabaseArgs, _before: &Value) -> Vec<Touch> {
        vec![
            Touch { makes: true, ..args.server.touched(&args.database) },
            // It takes room and time of its server.
            Touch { resource: format!("pg/{}", args.server.name()), ..args.server.touched(&args.database) },
        ]
    }

    fn target(context: &ReadContext<'_>, args: &CreateDatabaseArgs) -> Result<Option<Target>, OpError> {
        args.server.target(context)
    }
}

impl Write for CreateDatabase {
    const REPEAT: Repeat = Repeat::Keyed;
    const PROBE_DOC: &'static str = "a database whose comment holds the key, or that still bears the key as its name";
    const UNDO_DOC: &'static str = "pg.drop_database, of the one whose comment holds the key";

    fn before(context: &ReadContext<'_>, args: &CreateDatabaseArgs) -> Result<Value, OpError> {
        let act = args.act();
        check_database_name(&act, &args.database)?;
        if let Some(found) = databases(context, &args.server)?.iter().find(|found| found.name == args.database) {
            return Err(OpError::refused(format!("{act}: there is a database of that name already"))
                .with_detail(if found.comment.is_empty() {
                    String::new()
                } else {
                    format!("its comment: {}", found.comment)
                })
                .with_hint("put the run's short id into the name, or drop the old one"));
        }
        Ok(json!({ "tag": tag_of(context) }))
    }

    fn send(context: &WriteContext<'_>, args: CreateDatabaseArgs) -> Result<Send<DatabaseMade>, OpError> {
        let tag = tag_of(&context.read);
        let mut sql = "create database :\"key\" template template0".to_owned();
        let mut variables =
            vec![("key", context.read.key), ("database", args.database.as_str()), ("tag", tag.as_str())];
        if let Some(owner) = &args.owner {
            sql.push_str(" owner :\"owner\"");
            variables.push(("owner", owner));
        }
        if let Some(encoding) = &args.encoding {
            sql.push_str(" encoding :'encoding'");
            variables.push(("encoding", encoding));
        }
        sql.push_str(
            ";\ncomment on database :\"key\" is :'tag';\nalter database :\"key\" rename to :\"database\";
            select 'oid ' || oid from pg_database where datname = :'database';\n",
        );
        let act = args.act();
        let query = Query {
            act: &act,
            database: MAINTENANCE,
            sql: &sql,
            variables: &variables,
            options: &["-q"],
            timeout: Some(LONG),
        };
        let answer = args.server.tell(context, &query)?;
        let oid = answer.lines().find_map(|line| line.strip_prefix("oid ")?.trim().parse().ok());
        oid.map(|oid| Send::Done(DatabaseMade { oid }))
            .ok_or_else(|| OpError::unknown(format!("{act}: the server did not say its object id")).with_detail(answer))
    }

    fn probe(context: &ReadContext<'_>, args: &CreateDatabaseArgs) -> Result<Found<DatabaseMade>, OpError> {
        let tag = tag_of(context);
        if args.server.sessions_of(context, context.key)? > 0 {
            return Ok(Found::Running(None));
        }
        let all = databases(context, &args.server)?;
        let ours = all.iter().find(|found| found.comment == tag || found.name == context.key);
        Ok(match ours {
            None => Found::NotDone,
            Some(found) if found.name == context.key => {
                Found::Partial(format!("the database was made, but is still named {}", found.name))
            }
            Some(found) => Found::Done(DatabaseMade { oid: found.oid }),
        })
    }

    fn undo(args: &CreateDatabaseArgs, before: &Value, _key: &str) -> Undo {
        let tag = before.get("tag").cloned().unwrap_or_default();
        Undo::Call {
            op: "pg.drop_database",
            args: json!({ "server": args.server, "database": args.database, "tagged": tag }),
        }
    }

    fn fingerprint(context: &ReadContext<'_>, args: &CreateDatabaseArgs, _: &DatabaseMade) -> Result<Value, OpError> {
        let found = databases(context, &args.server)?.into_iter().find(|found| found.name == args.database);
        Ok(json!({ "oid": found.map(|found| found.oid) }))
    }

    fn predict(_args: &CreateDatabaseArgs, _before: &Value, _key: &str) -> Predicted {
        Predicted::Result(json!({ "oid": unknown("the server chooses it") }))
    }

    fn release(_context: &WriteContext<'_>, _args: &CreateDatabaseArgs) {}
}

/// `pg.drop_database`.
pub struct DropDatabase;

/// What to drop.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct DropDatabaseArgs {
    /// The server.
    pub server: Server,
    /// Its name.
    pub database: String,
    /// Only if its comment starts with this text; then its absence is no error, and it is also found under the name
    /// that it bears while it is being made.
    #[serde(default)]
    pub tagged: Option<String>,
}

/// Whether a database was dropped.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Dropped {
    /// Whether it was there.
    pub dropped: bool,
}

impl DropDatabaseArgs {
    fn act(&self) -> String {
        format!("cannot drop database {} of server {}", self.database, self.server.name())
    }

    /// The database that is meant, if it is there.
    fn find<'d>(&self, all: &'d [ListedDatabase]) -> Option<&'d ListedDatabase> {
        let Some(tag) = self.tagged.as_deref().filter(|tag| !tag.is_empty()) else {
            return all.iter().find(|found| found.name == self.database);
        };
        let key = tag.rsplit(':').next().unwrap_or_default();
        all.iter().find(|found| {
            let tagged = found.comment.starts_with(tag);
            (found.name == self.database && tagged) || (found.name == key && (tagged || found.comment.is_empty()))
        })
    }
}

impl Operation for DropDatabase {
    const NAME: &'static str = "pg.drop_database";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "drops a database with all that is in it";
    const PERMISSION: &'static str = "psql; ownership of the database";
    const TYPICAL: Duration = Duration::from_secs(1);
    type Args = DropDatabaseArgs;
    type Output = Dropped;

    fn resource(args: &DropDatabaseArgs) -> String {
        args.server.resource(&args.database)
    }

    fn touches(args: &DropDatabaseArgs, _before: &Value) -> Vec<Touch> {
        vec![args.server.touched(&args.database)]
    }

    fn target(context: &ReadContext<'_>, args: &DropDatabaseArgs) -> Result<Option<Target>, OpError> {
        args.server.target(context)
    }
}

fn oid_of(before: &Value) -> Option<i64> {
    before.get("oid").and_then(Value::as_i64)
}

impl Write for DropDatabase {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = "whether the database with the object id of before the call is still there";
    const UNDO_DOC: &'static str = "impossible: what was in it is gone";

    fn before(context: &ReadContext<'_>, args: &DropDatabaseArgs) -> Result<Value, OpError> {
        let act = args.act();
        check_database_name(&act, &args.database)?;
        let all = databases(context, &args.server)?;
        match args.find(&all) {
            Some(found) if found.template => Err(OpError::refused(format!("{act}: it is a template"))),
            Some(found) => Ok(json!({ "oid": found.oid, "name": found.name })),
            None if args.tagged.is_some() => Ok(json!({ "oid": null })),
            None => Err(OpError::refused(format!("{act}: there is no such database"))
                .with_hint("pg.databases lists those that are there")),
        }
    }

    fn send(context: &WriteContext<'_>, args: DropDatabaseArgs) -> Result<Send<Dropped>, OpError> {
        let Some(oid) = oid_of(context.read.before) else {
            return Ok(Send::Done(Dropped { dropped: false }));
        };
        let act = args.act();
        let all = databases(&context.read, &args.server)?;
        let Some(found) = all.iter().find(|found| found.oid == oid) else {
            return Ok(Send::Done(Dropped { dropped: true }));
        };
        if args.find(&all).map(|found| found.oid) != Some(oid) {
            return Err(OpError::refused(format!("{act}: it has been renamed to {} in between", found.name)));
        }
        args.server.tell(
            context,
            &Query {
                act: &act,
                database: MAINTENANCE,
                sql: "drop database :\"database\";",
                variables: &[("database", &found.name)],
                options: &["-q"],
                timeout: Some(LONG),
            },
        )?;
        Ok(Send::Done(Dropped { dropped: true }))
    }

    fn probe(context: &ReadContext<'_>, args: &DropDatabaseArgs) -> Result<Found<Dropped>, OpError> {
        let Some(oid) = oid_of(context.before) else {
            return Ok(Found::Done(Dropped { dropped: false }));
        };
        if args.server.sessions_of(context, context.key)? > 0 {
            return Ok(Found::Running(None));
        }
        let there = databases(context, &args.server)?.iter().any(|found| found.oid == oid);
        Ok(if there { Found::NotDone } else { Found::Done(Dropped { dropped: true }) })
    }

    fn undo(_args: &DropDatabaseArgs, before: &Value, _key: &str) -> Undo {
        if oid_of(before).is_some() {
            Undo::Impossible("what was in a dropped database is gone")
        } else {
            Undo::Nothing
        }
    }

    fn fingerprint(_context: &ReadContext<'_>, _args: &DropDatabaseArgs, _result: &Dropped) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn predict(_args: &DropDatabaseArgs, before: &Value, _key: &str) -> Predicted {
        Predicted::Result(json!({ "dropped": oid_of(before).is_some() }))
    }

    fn release(_context: &WriteContext<'_>, _args: &DropDatabaseArgs) {}
}
