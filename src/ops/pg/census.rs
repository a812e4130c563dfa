//! Counting what is in a database, exactly: what two copies of it are compared by.

use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::Value;

use super::client::{Query, Server};
use crate::model::fault::{OpError, Target};
use crate::ops::context::ReadContext;
use crate::ops::spec::{Effect, Operation, Read};

/// `pg.census`.
pub struct Census;

/// What to count.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct CensusArgs {
    /// The server.
    pub server: Server,
    /// The database.
    pub database: String,
    /// Whether to read every value and make a checksum of each table, and of all large objects.
    #[serde(default)]
    pub checksums: bool,
}

/// What is in a database, in one snapshot.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Counted {
    /// The user's tables, by name.
    pub tables: Vec<CountedTable>,
    /// How many large objects there are.
    pub large_objects: u64,
    /// A checksum of them all.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub large_objects_checksum: Option<String>,
    /// The installed extensions, by name.
    pub extensions: Vec<String>,
}

/// What is in one table.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct CountedTable {
    /// Schema and name: `public.chat`.
    pub name: String,
    /// Its rows, counted.
    pub rows: u64,
    /// A checksum of its rows that does not depend on their order.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub checksum: Option<String>,
}

/// Texts of values depend on these settings; the sum of 60-bit pieces of MD5 depends on no order. The generated
/// statements each print one line of JSON.
const SQL: &str = r#"
set datestyle = 'ISO, YMD'; set timezone = 'UTC'; set intervalstyle = 'postgres'; set bytea_output = 'hex';
set extra_float_digits = 3; set search_path = ''; set row_security = off; set xmloption = content;
begin isolation level repeatable read read only;
select format(
    'select json_build_object(''table'', %L, ''rows'', count(*), ''checksum'', %s) from %I.%I t',
    n.nspname || '.' || c.relname,
    case when :'checksums' = 'yes'
        then 'coalesce(sum((''x'' || substr(md5(t::text), 1, 15))::bit(60)::bigint), 0)::text' else 'null' end,
    n.nspname, c.relname)
from pg_class c join pg_namespace n on n.oid = c.relnamespace
where c.relkind = 'r' and n.nspname not in ('pg_catalog', 'information_schema') and n.nspname !~ '^pg_(toast|temp)'
order by n.nspname, c.relname
\gexec
select json_build_object('extensions', coalesce(json_agg(extname order by extname), '[]')) from pg_extension;
select json_build_object('large_objects', count(*)) from pg_largeobject_metadata;
select :'checksums' = 'yes' as checksums, has_table_privilege('pg_largeobject', 'select') as pages \gset
\if :checksums
\if :pages
select json_build_object('large_objects_checksum', coalesce(sum(
    ('x' || substr(md5(loid || ':' || pageno || ':' || md5(data)), 1, 15))::bit(60)::bigint), 0)::text)
from pg_largeobject;
\endif
\endif
commit;
"#;

impl Operation for Census {
    const NAME: &'static str = "pg.census";
    const EFFECT: Effect = Effect::Read;
    const DOC: &'static str = "counts rows and large objects exactly, in one snapshot, with checksums if asked; \
         checksums of large objects need a superuser";
    const PERMISSION: &'static str = "psql; SELECT on all tables";
    const TYPICAL: Duration = Duration::from_secs(2);
    type Args = CensusArgs;
    type Output = Counted;

    fn resource(args: &CensusArgs) -> String {
        args.server.resource(&args.database)
    }

    fn target(context: &ReadContext<'_>, args: &CensusArgs) -> Result<Option<Target>, OpError> {
        args.server.target(context)
    }
}

impl Read for Census {
    fn read(context: &ReadContext<'_>, args: CensusArgs) -> Result<Counted, OpError> {
        let act = format!("cannot count what is in database {}", args.database);
        let variables = [("checksums", if args.checksums { "yes" } else { "no" })];
        let text = args.server.ask(
            context,
            &Query {
                act: &act,
                database: &args.database,
                sql: SQL,
                variables: &variables,
                timeout: Some(Duration::from_secs(3600)),
                ..Query::default()
            },
        )?;
        parse(&text).map_err(|e| OpError::failed(format!("{act}: the answer does not fit: {e}")))
    }
}

fn parse(text: &str) -> Result<Counted, serde_json::Error> {
    let mut counted =
        Counted { tables: Vec::new(), large_objects: 0, large_objects_checksum: None, extensions: Vec::new() };
    for line in text.lines().filter(|line| !line.trim().is_empty()) {
        let line: Value = serde_json::from_str(line)?;
        let text_of = |field: &str| line.get(field).and_then(Value::as_str).map(str::to_owned);
        if let Some(name) = text_of("table") {
            let rows = line.get("rows").and_then(Value::as_u64).unwrap_or_default();
            counted.tables.push(CountedTable { name, rows, checksum: text_of("checksum") });
        } else if let Some(extensions) = line.get("extensions") {
            counted.extensions = serde_json::from_value(extensions.clone())?;
        } else if let Some(count) = line.get("large_objects").and_then(Value::as_u64) {
            counted.large_objects = count;
        } else if let Some(checksum) = text_of("large_objects_checksum") {
            counted.large_objects_checksum = Some(checksum);
        }
    }
    Ok(counted)
}
