//! Whether a database is empty, and making it so again: what undoes a restore.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{Query, Server};
use super::read::{ListedDatabase, databases};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write};

/// Counts what a user made: relations, functions, types and operators outside the system's schemas and not of an
/// extension that the template brought, schemas besides `public`, and large objects.
const COUNT: &str = r"
with user_schemas as (
    select oid, nspname from pg_namespace
    where nspname not in ('pg_catalog', 'information_schema') and nspname !~ '^pg_(toast|temp)'
), of_extensions as (select classid, objid from pg_depend where deptype = 'e')
select (select count(*) from pg_class c join user_schemas n on n.oid = c.relnamespace
        where c.relkind in ('r', 'p', 'v', 'm', 'S', 'f')
        and not exists (select from of_extensions e where e.classid = 'pg_class'::regclass and e.objid = c.oid))
    + (select count(*) from pg_proc p join user_schemas n on n.oid = p.pronamespace
        where not exists (select from of_extensions e where e.classid = 'pg_proc'::regclass and e.objid = p.oid))
    + (select count(*) from pg_type t join user_schemas n on n.oid = t.typnamespace
        where t.typtype in ('e', 'd', 'r') and not exists
            (select from of_extensions e where e.classid = 'pg_type'::regclass and e.objid = t.oid))
    + (select count(*) from user_schemas where nspname <> 'public')
    + (select count(*) from pg_extension where extname <> 'plpgsql')
    + (select count(*) from pg_largeobject_metadata);";

/// How many things a user made in a database.
///
/// # Errors
/// When it cannot be asked now.
pub fn count(context: &ReadContext<'_>, act: &str, server: &Server, database: &str) -> Result<u64, OpError> {
    let answer = server.ask(context, &Query { act, database, sql: COUNT, ..Query::default() })?;
    answer.parse().map_err(|_| OpError::failed(format!("{act}: the server answered `{answer}` instead of a number")))
}

/// Removes all that a user made. Each piece is a transaction of its own, since a transaction can hold only so many
/// locks; done again after an interruption it goes on where it stopped.
const EMPTY: &str = r"
select format('drop schema %I cascade', nspname) from pg_namespace
where nspname not in ('pg_catalog', 'information_schema', 'public') and nspname !~ '^pg_(toast|temp)' order by oid
\gexec
select format('drop extension %I cascade', extname) from pg_extension where extname <> 'plpgsql' order by oid desc
\gexec
select format('drop event trigger %I', evtname) from pg_event_trigger order by oid
\gexec
select format('drop publication %I', pubname) from pg_publication order by oid
\gexec
select format('drop table %I.%I cascade', n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where n.nspname = 'public' and c.relkind in ('r', 'p') and not c.relispartition order by c.oid desc
\gexec
select 'select count(lo_unlink(oid)) from (select oid from pg_largeobject_metadata order by oid limit 1000) page'
from generate_series(0, (select count(*) from pg_largeobject_metadata) / 1000)
\gexec
begin;
select current_setting('server_version_num')::int >= 150000 as modern \gset
drop schema public cascade;
create schema public;
\if :modern
alter schema public owner to pg_database_owner;
grant usage on schema public to public;
\else
grant all on schema public to public;
\endif
comment on schema public is 'standard public schema';
commit;
";

/// `pg.empty_database`.
pub struct EmptyDatabase;

/// What to empty.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct EmptyDatabaseArgs {
    /// The server.
    pub server: Server,
    /// Its name.
    pub database: String,
    /// The object id that it must have: another database of that name is left alone.
    pub oid: i64,
}

/// What was removed.
#[derive(Debug, Serialize, Deserialize, JsonSchema)]
pub struct Emptied {
    /// How many things were in it.
    pub removed: u64,
}

impl EmptyDatabaseArgs {
    fn act(&self) -> String {
        format!("cannot empty database {} of server {}", self.database, self.server.name())
    }

    /// The database that is meant, if it is there.
    fn find(&self, context: &ReadContext<'_>) -> Result<Option<ListedDatabase>, OpError> {
        let found = databases(context, &self.server)?.into_iter().find(|found| found.oid == self.oid);
        match found {
            Some(found) if found.name != self.database => {
                Err(OpError::refused(format!("{}: it is named {} now", self.act(), found.name))
                    .with_hint("undo the renaming first; a database that may be in use is not emptied"))
            }
            found => Ok(found),
        }
    }
}

impl Operation for EmptyDatabase {
    const NAME: &'static str = "pg.empty_database";
    const EFFECT: Effect = Effect::Delete;
    const DOC: &'static str = "removes all that is in a database, and keeps the database: what undoes pg.restore";
    const PERMISSION: &'static str = "psql; ownership of all that is in the database";
    const TYPICAL: Duration = Duration::from_secs(2);
    type Args = EmptyDatabaseArgs;
    type Output = Emptied;

    fn resource(args: &EmptyDatabaseArgs) -> String {
        args.server.resource(&args.database)
    }

    fn touches(args: &EmptyDatabaseArgs, _before: &Value) -> Vec<Touch> {
        vec![args.server.touched(&args.database)]
    }

    fn target(context: &ReadContext<'_>, args: &EmptyDatabaseArgs) -> Result<Option<Target>, OpError> {
        args.server.target(context)
    }
}

fn count_before(before: &Value) -> u64 {
    before.get("count").and_then(Value::as_u64).unwrap_or_default()
}

impl Write for EmptyDatabase {
    const REPEAT: Repeat = Repeat::Safe;
    const PROBE_DOC: &'static str = "whether anything is left in the database";
    const UNDO_DOC: &'static str = "impossible: what was in it is gone";

    fn before(context: &ReadContext<'_>, args: &EmptyDatabaseArgs) -> Result<Value, OpError> {
        let count = match args.find(context)? {
            Some(found) => count(context, &args.act(), &args.server, &found.name)?,
            None => 0,
        };
        Ok(json!({ "count": count }))
    }

    fn send(context: &WriteContext<'_>, args: EmptyDatabaseArgs) -> Result<Send<Emptied>, OpError> {
        let removed = count_before(context.read.before);
        if removed == 0 || args.find(&context.read)?.is_none() {
            return Ok(Send::Done(Emptied { removed: 0 }));
        }
        let act = args.act();
        args.server.tell(
            context,
            &Query {
                act: &act,
                database: &args.database,
                sql: EMPTY,
                options: &["-q"],
                timeout: Some(Duration::from_secs(3600)),
                ..Query::default()
            },
        )?;
        Ok(Send::Done(Emptied { removed }))
    }

    fn probe(context: &ReadContext<'_>, args: &EmptyDatabaseArgs) -> Result<Found<Emptied>, OpError> {
        if args.server.sessions_of(context, context.key)? > 0 {
            return Ok(Found::Running(None));
        }
        let left = match args.find(context)? {
            Some(found) => count(context, &args.act(), &args.server, &found.name)?,
            None => 0,
        };
        Ok(if left == 0 { Found::Done(Emptied { removed: count_before(context.before) }) } else { Found::NotDone })
    }

    fn undo(_args: &EmptyDatabaseArgs, before: &Value, _key: &str) -> Undo {
        if count_before(before) == 0 { Undo::Nothing } else { Undo::Impossible("what was in the database is gone") }
    }

    fn fingerprint(_: &ReadContext<'_>, _: &EmptyDatabaseArgs, _: &Emptied) -> Result<Value, OpError> {
        Ok(Value::Null)
    }

    fn predict(_args: &EmptyDatabaseArgs, before: &Value, _key: &str) -> Predicted {
        Predicted::Result(json!({ "removed": count_before(before) }))
    }

    fn release(_context: &WriteContext<'_>, _args: &EmptyDatabaseArgs) {}
}
