//! Jobs that dump a database of one cluster and load it into another: `pg_dump` first, then `pg_restore`, each as whom the Secret says that
//! its environment is taken from.

use super::data::{Data, Fact, databases, rows, tables};
use super::{Cluster, Desk, label, repos};
use crate::model::Value;

/// What a Job is to do.
struct Load {
    /// The key of the cluster that is dumped.
    from: String,
    /// The database of it.
    database: String,
    /// The key of the cluster that it is loaded into.
    to: String,
    /// The user of that.
    user: String,
    /// The options of `pg_restore`.
    options: Vec<String>,
}

fn program<'j>(job: &'j Value, kind: &str, name: &str) -> Option<&'j Value> {
    let all = job["spec"]["template"]["spec"][kind].as_array()?;
    all.iter().find(|one| one["command"][0] == name)
}

/// Whether a Job is one of these.
pub(super) fn is_load(job: &Value) -> bool {
    job["kind"] == "Job"
        && program(job, "initContainers", "pg_dump").is_some()
        && program(job, "containers", "pg_restore").is_some()
}

fn variable<'c>(container: &'c Value, name: &str) -> &'c Value {
    const NONE: &Value = &Value::Null;
    container["env"].as_array().and_then(|all| all.iter().find(|one| one["name"] == name)).unwrap_or(NONE)
}

/// The Secret of a user of a cluster: the cluster's key, and the user.
fn account(desk: &Desk<'_>, key: &str, container: &Value) -> Result<(String, String), String> {
    for name in ["PGHOST", "PGUSER", "PGPASSWORD"] {
        let asked = variable(container, name)["valueFrom"]["secretKeyRef"]["name"].as_str().unwrap_or_default();
        let Some(secret) = desk.object(&desk.sibling(key, "secret", asked)) else {
            return Err(format!("CreateContainerConfigError: secret \"{asked}\" not found"));
        };
        if name == "PGPASSWORD" {
            let cluster = desk.sibling(key, "postgrescluster", label(secret, "cluster"));
            return Ok((cluster, label(secret, "pguser").to_owned()));
        }
    }
    Err("CreateContainerConfigError: nothing says as whom".to_owned())
}

fn of(desk: &Desk<'_>, key: &str, job: &Value) -> Result<Load, String> {
    let dump = program(job, "initContainers", "pg_dump").ok_or("there is no dump")?;
    let restore = program(job, "containers", "pg_restore").ok_or("there is no load")?;
    let (from, _) = account(desk, key, dump)?;
    let (to, user) = account(desk, key, restore)?;
    let words = restore["command"].as_array().into_iter().flatten().filter_map(Value::as_str);
    let database = variable(dump, "PGDATABASE")["value"].as_str().unwrap_or("postgres").to_owned();
    Ok(Load { from, database, to, user, options: words.map(str::to_owned).collect() })
}

impl Load {
    fn has(&self, option: &str) -> bool {
        self.options.iter().any(|one| one == option)
    }

    fn value(&self, option: &str) -> Option<&str> {
        self.options.iter().find_map(|one| one.strip_prefix(option)?.strip_prefix('='))
    }

    /// The database that it is loaded into.
    fn target(&self) -> &str {
        if self.has("--create") { &self.database } else { self.value("--dbname").unwrap_or(&self.user) }
    }

    fn cluster(desk: &Desk<'_>, key: &str) -> Result<(Cluster, Data), String> {
        let cluster = Cluster::at(desk, key);
        let up = cluster.filter(|one| repos::writable(desk, &one.key, &one.name).is_some());
        let up = up.ok_or("connection to server failed: Connection refused")?;
        let data = desk.clusters.pgo.as_ref().and_then(|pgo| pgo.held(key, desk.at));
        Ok((up, data.ok_or("connection to server failed: Connection refused")?))
    }

    /// What the cluster holds once the database is made that is loaded into.
    fn made(&self, desk: &Desk<'_>) -> Result<Data, String> {
        let said = |why: String| format!("pg_restore: error: {why}");
        let (_, held) = Self::cluster(desk, &self.to).map_err(said)?;
        let mut data = desk.clusters.pgo.as_ref().and_then(|pgo| pgo.data.get(&self.to)).cloned().unwrap_or(held);
        if let Some(role) = self.value("--role") {
            if !data.roles.iter().any(|one| one == role) {
                return Err(said(format!("could not execute query: ERROR:  role \"{role}\" does not exist")));
            }
        } else if self.has("--create") && self.user != "postgres" {
            return Err(said("could not execute query: ERROR:  permission denied to create database".to_owned()));
        }
        let there = databases(&data.facts, desk.at).iter().any(|name| name == self.target());
        if !self.has("--create") {
            return if there { Ok(data) } else { Err(said(format!("database \"{}\" does not exist", self.target()))) };
        }
        if there {
            if !self.has("--clean") {
                return Err(said(format!(
                    "could not execute query: ERROR:  database \"{}\" already exists",
                    self.target()
                )));
            }
            data.refuse_used(self.target()).map_err(said)?;
            data.drop_database(self.target(), desk.at);
        }
        data.facts.push(Fact { at: desk.at, database: self.target().to_owned(), table: String::new(), rows: Some(0) });
        data.quiet.push(self.target().to_owned());
        data.quiet.sort();
        data.quiet.dedup();
        Ok(data)
    }

    /// What is dumped: tables with their rows.
    fn dumped(&self, desk: &Desk<'_>) -> Result<Vec<(String, u64)>, String> {
        let said = |why: String| format!("pg_dump: error: {why}");
        let (_, data) = Self::cluster(desk, &self.from).map_err(said)?;
        let name = &self.database;
        if data.zeroed.contains(name) {
            return Err(said(
                "FATAL:  relation mapping file \"base/16412/pg_filenode.map\" contains invalid data".to_owned(),
            ));
        }
        if !databases(&data.facts, desk.at).contains(name) || data.closed.contains(name) {
            return Err(said(format!("FATAL:  database \"{name}\" does not exist")));
        }
        let all = tables(&data.facts, name, desk.at).into_iter();
        Ok(all.map(|table| (table.clone(), rows(&data.facts, name, &table, desk.at).unwrap_or_default())).collect())
    }
}

/// Why the Pod of a Job cannot start.
pub(super) fn stuck(desk: &Desk<'_>, key: &str, job: &Value) -> Option<String> {
    of(desk, key, job).err()
}

fn keep(desk: &mut Desk<'_>, to: &str, mut data: Data) {
    let at = desk.at;
    data.idle_since = data.idle_since.map(|_| at);
    if let Some(pgo) = &mut desk.clusters.pgo {
        pgo.data.insert(to.to_owned(), data);
    }
}

/// A Pod has started: the database is there, and empty, until it has ended.
pub(super) fn begin(desk: &mut Desk<'_>, key: &str, job: &Value) {
    let Ok(load) = of(desk, key, job) else { return };
    if load.dumped(desk).is_ok()
        && let Ok(data) = load.made(desk)
    {
        keep(desk, &load.to, data);
    }
}

/// A Pod has ended.
///
/// # Errors
/// What it has printed.
pub(super) fn loaded(desk: &mut Desk<'_>, key: &str, job: &Value) -> Result<(), String> {
    let load = of(desk, key, job)?;
    let dumped = load.dumped(desk)?;
    let mut data = load.made(desk)?;
    let there = tables(&data.facts, load.target(), desk.at);
    for (table, rows) in dumped {
        if there.contains(&table) {
            return Err(format!(
                "pg_restore: error: could not execute query: ERROR:  relation \"{table}\" already exists"
            ));
        }
        data.facts.push(Fact { at: desk.at, database: load.target().to_owned(), table, rows: Some(rows) });
    }
    keep(desk, &load.to, data);
    Ok(())
}
