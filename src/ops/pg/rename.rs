//! Renaming databases, all or none: the swap.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};
use serde_json::json;

use super::client::{MAINTENANCE, Query, Server};
use super::database::check_database_name;
use super::read::{ListedDatabase, databases};
use crate::model::Value;
use crate::model::fault::{OpError, Target};
use crate::ops::Touch;
use crate::ops::context::{ReadContext, WriteContext};
use crate::ops::spec::{Effect, Found, Operation, Predicted, Repeat, Send, Undo, Write};

/// `pg.rename_databases`.
pub struct RenameDatabases;

/// One renaming.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Renaming {
    /// The name it bears.
    pub from: String,
    /// The name it shall bear.
    pub to: String,
}

/// What to rename.
#[derive(Debug, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct RenameArgs {
    /// The server.
    pub server: Server,
    /// The renamings, one after the other, in one transaction.
    #[schemars(length(min = 1))]
    pub renames: Vec<Renaming>,
    /// Whether to end the sessions that are in these databases; without it they make the call fail.
    #[serde(default)]
    pub terminate: bool,
    /// The object ids that the databases must have, by the name that they shall bear; those that bear it already are
    /// left alone. An undo passes them.
    #[serde(default)]
    pub oids: Option<BTreeMap<String, i64>>,
}

/// Databases were renamed.
#[derive(Debug, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
pub struct Renamed {
    /// Their object ids, by the name that they bear now.
    pub oids: BTreeMap<String, i64>,
}

/// Which database bears which name, before and after.
#[derive(Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
struct Names {
    /// By object id, in order of the renamings.
    before: BTreeMap<String, i64>,
    after: BTreeMap<String, i64>,
}

impl RenameArgs {
    fn act(&self) -> String {
        let pairs: Vec<String> = self.renames.iter().map(|one| format!("{} to {}", one.from, one.to)).collect();
        format!("cannot rename databases {} on server {}", pairs.join(", "), self.server.name())
    }

    /// Plays the renamings through on the names as they are.
    fn play(&self, act: &str, all: &[ListedDatabase]) -> Result<Names, OpError> {
        let mut names: BTreeMap<&str, i64> = all.iter().map(|found| (found.name.as_str(), found.oid)).collect();
        let mut touched = BTreeSet::new();
        for one in &self.renames {
            check_database_name(act, &one.from)?;
            check_database_name(act, &one.to)?;
            let Some(oid) = names.remove(one.from.as_str()) else {
                return Err(OpError::refused(format!("{act}: there is no database {}", one.from))
                    .with_hint("pg.databases lists those that are there; renamings are done in order"));
            };
            if names.insert(&one.to, oid).is_some() {
                return Err(OpError::refused(format!("{act}: there is a database {} already", one.to))
                    .with_hint("rename that one away first, in the same call"));
            }
            touched.insert(oid);
        }
        Ok(Names {
            before: by_name(all, &touched),
            after: names
                .into_iter()
                .filter(|(_, oid)| touched.contains(oid))
                .map(|(name, oid)| (name.to_owned(), oid))
                .collect(),
        })
    }

    /// Whether what an undo wants is there already.
    fn is_already(&self, all: &[ListedDatabase]) -> bool {
        let Some(wanted) = &self.oids else { return false };
        wanted.iter().all(|(name, oid)| all.iter().any(|found| found.name == *name && found.oid == *oid))
    }
}

fn by_name(all: &[ListedDatabase], oids: &BTreeSet<i64>) -> BTreeMap<String, i64> {
    all.iter().filter(|found| oids.contains(&found.oid)).map(|found| (found.name.clone(), found.oid)).collect()
}

fn names_of(before: &Value) -> Names {
    Names::deserialize(before).unwrap_or_default()
}

impl Operation for RenameDatabases {
    const NAME: &'static str = "pg.rename_databases";
    const EFFECT: Effect = Effect::Update;
    const DOC: &'static str =
        "renames databases, all or none of them: the swap of a restored database for the live one";
    const PERMISSION: &'static str = "psql; ownership of the databases and CREATEDB";
    const TYPICAL: Duration = Duration::from_millis(500);
    type Args = RenameArgs;
    type Output = Renamed;

    fn resource(args: &RenameArgs) -> String {
        format!("pg/{}", args.server.name())
    }

    fn touches(args: &RenameArgs, _before: &Value) -> Vec<Touch> {
        let names = args.renames.iter();
        let pairs =
            names.map(|one| [args.server.touched(&one.from), Touch { makes: true, ..args.server.touched(&one.to) }]);
        pairs.flatten().collect()
    }

    fn target(context: &ReadContext<'_>, args: &RenameArgs) -> Result<Option<Target>, OpError> {
        args.server.target(context)
    }
}

impl Write for RenameDatabases {
    const REPEAT: Repeat = Repeat::Probe;
    const PROBE_DOC: &'static str = "which object ids bear which names";
    const UNDO_DOC: &'static str = "the same renamings backwards";

    fn before(context: &ReadContext<'_>, args: &RenameArgs) -> Result<Value, OpError> {
        let act = args.act();
        let all = databases(context, &args.server)?;
        if args.is_already(&all) {
            let oids = args.oids.clone().unwrap_or_default();
            return Ok(json!(Names { before: oids.clone(), after: oids }));
        }
        let names = args.play(&act, &all)?;
        if args.oids.as_ref().is_some_and(|wanted| *wanted != names.after) {
            return Err(OpError::refused(format!("{act}: other databases bear these names now")).with_hint(
                "somebody renamed, dropped or made databases in between; pg.databases shows what is there",
            ));
        }
        let busy: Vec<&str> = all
            .iter()
            .filter(|found| found.connections > 0 && names.before.contains_key(&found.name))
            .map(|found| found.name.as_str())
            .collect();
        if !args.terminate && !busy.is_empty() {
            return Err(OpError::refused(format!("{act}: other sessions are in {}", busy.join(", ")))
                .with_hint("stop the programs that write to it, or pass terminate: true"));
        }
        Ok(json!(names))
    }

    fn send(context: &WriteContext<'_>, args: RenameArgs) -> Result<Send<Renamed>, OpError> {
        let act = args.act();
        let names = names_of(context.read.before);
        if names.before == names.after {
            return Ok(Send::Done(Renamed { oids: names.after }));
        }
        let mut variables: Vec<(String, &str)> = Vec::new();
        let mut sql = String::new();
        if args.terminate {
            let oids: Vec<String> = names.before.values().map(i64::to_string).collect();
            sql = format!(
                "select count(pg_terminate_backend(pid)) from pg_stat_activity where datid in ({}) and pid <> \
                 pg_backend_pid();\n",
                oids.join(", ")
            );
        }
        sql.push_str("begin;\n");
        for (place, one) in args.renames.iter().enumerate() {
            sql.push_str(&format!("alter database :\"from{place}\" rename to :\"to{place}\";\n"));
            variables.push((format!("from{place}"), &one.from));
            variables.push((format!("to{place}"), &one.to));
        }
        sql.push_str("commit;\n");
        let variables: Vec<(&str, &str)> = variables.iter().map(|(name, value)| (name.as_str(), *value)).collect();
        args.server.tell(
            context,
            &Query {
                act: &act,
                database: MAINTENANCE,
                sql: &sql,
                variables: &variables,
                options: &["-q"],
                timeout: Some(Duration::from_secs(60)),
            },
        )?;
        Ok(Send::Done(Renamed { oids: names.after }))
    }

    fn probe(context: &ReadContext<'_>, args: &RenameArgs) -> Result<Found<Renamed>, OpError> {
        let names = names_of(context.before);
        if args.server.sessions_of(context, context.key)? > 0 {
            return Ok(Found::Running(None));
        }
        let all = databases(context, &args.server)?;
        let now = by_name(&all, &names.before.values().copied().collect());
        Ok(if now == names.after {
            Found::Done(Renamed { oids: now })
        } else if now == names.before {
            Found::NotDone
        } else {
            Found::CannotTell(format!("{}: somebody else has renamed or dropped some of them", args.act()))
        })
    }

    fn undo(args: &RenameArgs, before: &Value, _key: &str) -> Undo {
        let names = names_of(before);
        if names.before == names.after {
            return Undo::Nothing;
        }
        let back: Vec<Renaming> =
            args.renames.iter().rev().map(|one| Renaming { from: one.to.clone(), to: one.from.clone() }).collect();
        Undo::Call {
            op: "pg.rename_databases",
            args: json!({
                "server": args.server, "renames": back, "terminate": args.terminate, "oids": names.before,
            }),
        }
    }

    fn fingerprint(context: &ReadContext<'_>, args: &RenameArgs, result: &Renamed) -> Result<Value, OpError> {
        let all = databases(context, &args.server)?;
        Ok(json!({ "names": by_name(&all, &result.oids.values().copied().collect()) }))
    }

    fn predict(_args: &RenameArgs, before: &Value, _key: &str) -> Predicted {
        Predicted::Result(json!({ "oids": names_of(before).after }))
    }

    fn release(_context: &WriteContext<'_>, _args: &RenameArgs) {}
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(names: &[(&str, i64)]) -> Vec<ListedDatabase> {
        names
            .iter()
            .map(|(name, oid)| {
                serde_json::from_value(json!({
                    "name": name, "oid": oid, "bytes": 0, "owner": "", "comment": "", "connections": 0,
                    "template": false, "allows_connections": true,
                }))
                .unwrap()
            })
            .collect()
    }

    fn args(renames: &[(&str, &str)]) -> RenameArgs {
        let renames =
            renames.iter().map(|(from, to)| Renaming { from: (*from).to_owned(), to: (*to).to_owned() }).collect();
        RenameArgs { server: Server::default(), renames, terminate: false, oids: None }
    }

    #[test]
    fn a_swap_is_played_through_in_order() {
        let all = listed(&[("live", 1), ("restored", 2), ("other", 3)]);
        let names = args(&[("live", "old"), ("restored", "live")]).play("cannot", &all).unwrap();
        assert_eq!(names.before, BTreeMap::from([("live".to_owned(), 1), ("restored".to_owned(), 2)]));
        assert_eq!(names.after, BTreeMap::from([("old".to_owned(), 1), ("live".to_owned(), 2)]));
    }

    #[test]
    fn a_name_that_is_taken_or_missing_is_refused() {
        let all = listed(&[("live", 1), ("restored", 2)]);
        assert!(args(&[("restored", "live")]).play("cannot", &all).is_err());
        assert!(args(&[("nope", "x")]).play("cannot", &all).is_err());
    }

    #[test]
    fn an_undo_of_what_never_happened_finds_it_done() {
        let mut back = args(&[("live", "restored"), ("old", "live")]);
        back.oids = Some(BTreeMap::from([("live".to_owned(), 1), ("restored".to_owned(), 2)]));
        assert!(back.is_already(&listed(&[("live", 1), ("restored", 2)])));
        assert!(!back.is_already(&listed(&[("old", 1), ("live", 2)])));
    }
}
