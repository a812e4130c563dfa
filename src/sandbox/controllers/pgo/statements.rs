//! Statements of SQL that change what databases a cluster has, what they are called, and who may connect to them.

use super::data::{Data, Fact, databases, rows, tables};
use crate::model::Timestamp;

const READ_ONLY: &str = "cannot execute it in a read-only transaction";

/// A statement.
enum Statement {
    Rename { from: String, to: String },
    Allow { database: String, connections: bool },
    Drop { database: String, if_exists: bool },
    CreateRole(String),
    Grant { role: String },
    DropRole { role: String, if_exists: bool },
    Reassign { role: String },
}

/// An identifier, as it is kept: folded unless it is quoted.
fn identifier(word: &str) -> String {
    match word.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) {
        Some(quoted) => quoted.replace("\"\"", "\""),
        None => word.to_ascii_lowercase(),
    }
}

/// What one is, if it is known here.
fn parse(text: &str) -> Option<Statement> {
    let words: Vec<&str> = text.split_whitespace().filter(|word| !word.eq_ignore_ascii_case("with")).collect();
    let lower: Vec<String> = words.iter().map(|word| word.to_ascii_lowercase()).collect();
    let lower: Vec<&str> = lower.iter().map(String::as_str).collect();
    let name = |place: usize| words.get(place).map(|word| identifier(word)).unwrap_or_default();
    Some(match lower.as_slice() {
        ["alter", "database", _, "rename", "to", _] => Statement::Rename { from: name(2), to: name(5) },
        ["alter", "database", _, "allow_connections", so] => {
            Statement::Allow { database: name(2), connections: *so == "true" }
        }
        ["drop", "database", "if", "exists", _] => Statement::Drop { database: name(4), if_exists: true },
        ["drop", "database", _] => Statement::Drop { database: name(2), if_exists: false },
        ["create", "role", _, ..] => Statement::CreateRole(name(2)),
        ["grant", _, "to", _] => Statement::Grant { role: name(1) },
        ["reassign", "owned", "by", _, "to", _] => Statement::Reassign { role: name(3) },
        ["drop", "role", "if", "exists", _] => Statement::DropRole { role: name(4), if_exists: true },
        ["drop", "role", _] => Statement::DropRole { role: name(2), if_exists: false },
        _ => return None,
    })
}

/// What a cluster holds after some statements, which are one transaction; nothing when one of them is not known here.
///
/// # Errors
/// What PostgreSQL says: then none of them has done anything.
pub(super) fn run(
    data: &Data,
    inside: &str,
    sql: &str,
    recovers: bool,
    now: Timestamp,
) -> Option<Result<Data, String>> {
    let all: Vec<Statement> =
        sql.split(';').map(str::trim).filter(|one| !one.is_empty()).map(parse).collect::<Option<_>>()?;
    if all.is_empty() {
        return None;
    }
    let mut after = data.clone();
    for one in all {
        let done = if recovers { Err(READ_ONLY.to_owned()) } else { apply(&mut after, inside, &one, now) };
        if let Err(why) = done {
            return Some(Err(format!("ERROR:  {why}\n")));
        }
    }
    Some(Ok(after))
}

fn apply(data: &mut Data, inside: &str, statement: &Statement, now: Timestamp) -> Result<(), String> {
    let there = |data: &Data, name: &str| databases(&data.facts, now).iter().any(|one| one == name);
    let missing = |name: &str| Err(format!("database \"{name}\" does not exist"));
    match statement {
        Statement::Rename { from, to } => {
            if from == inside {
                return Err("current database cannot be renamed".to_owned());
            }
            if !there(data, from) {
                return missing(from);
            }
            if there(data, to) || to == "postgres" {
                return Err(format!("database \"{to}\" already exists"));
            }
            data.refuse_used(from)?;
            rename(data, from, to, now);
        }
        Statement::Allow { database, connections } => {
            if !there(data, database) {
                return missing(database);
            }
            data.closed.retain(|one| one != database);
            if !connections {
                data.closed.push(database.clone());
            }
        }
        Statement::Drop { database, if_exists } => {
            if database == inside {
                return Err("cannot drop the currently open database".to_owned());
            }
            if !there(data, database) {
                return if *if_exists { Ok(()) } else { missing(database) };
            }
            data.refuse_used(database)?;
            data.drop_database(database, now);
        }
        Statement::CreateRole(role) => {
            if data.roles.contains(role) {
                return Err(format!("role \"{role}\" already exists"));
            }
            data.roles.push(role.clone());
        }
        Statement::Grant { role } | Statement::Reassign { role } => {
            if !data.roles.contains(role) {
                return Err(format!("role \"{role}\" does not exist"));
            }
        }
        Statement::DropRole { role, if_exists } => {
            if !data.roles.contains(role) && !if_exists {
                return Err(format!("role \"{role}\" does not exist"));
            }
            data.roles.retain(|one| one != role);
        }
    }
    Ok(())
}

fn rename(data: &mut Data, from: &str, to: &str, now: Timestamp) {
    let held: Vec<(String, Option<u64>)> = tables(&data.facts, from, now)
        .into_iter()
        .map(|table| (table.clone(), rows(&data.facts, from, &table, now)))
        .collect();
    let is_in = |list: &[String]| list.iter().any(|one| one == from);
    let (closed, zeroed) = (is_in(&data.closed), is_in(&data.zeroed));
    data.drop_database(from, now);
    let mut say = |table: &str, rows: Option<u64>| {
        data.facts.push(Fact { at: now, database: to.to_owned(), table: table.to_owned(), rows });
    };
    say("", Some(0));
    for (table, rows) in &held {
        say(table, *rows);
    }
    if closed {
        data.closed.push(to.to_owned());
    }
    if zeroed {
        data.zeroed.push(to.to_owned());
    }
}
