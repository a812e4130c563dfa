//! What programs in the Pods of a cluster print: the questions that people ask `psql` and `pgbackrest` when they recover one.

use serde_json::json;

use super::data::{Data, bytes, databases, lsn, rows, segment, tables};
use super::{Cluster, Pgo, label, patroni, statements};
use crate::model::amount::parse_size;
use crate::model::{Timestamp, Value};
use crate::sandbox::kubernetes::Kubernetes;

/// A program's exit code, output and errors.
pub type Printed = (i32, String, String);

/// Who asks whom.
struct Asked<'k> {
    pgo: &'k Pgo,
    cluster: Cluster,
    now: Timestamp,
    /// Whether the Pod replays.
    recovers: bool,
    /// What the cluster holds, once a statement has changed it.
    changed: Option<Data>,
}

/// What a program prints in a Pod; nothing when it is none that is known here, or a question that is not. `clusters`: settled.
#[must_use]
pub fn answer(clusters: &Kubernetes, pod: &str, argv: &[String], now: Timestamp) -> Option<Printed> {
    ran(clusters, pod, argv, now).map(|(printed, _)| printed)
}

/// The clusters after a program has done what it does in a Pod: to its databases, and as a transaction of its own, which is something that
/// recovery can end after.
#[must_use]
pub fn done(mut clusters: Kubernetes, pod: &str, argv: &[String], now: Timestamp) -> Kubernetes {
    let changed = ran(&clusters, pod, argv, now).and_then(|(_, changed)| changed);
    if let Some((key, data)) = changed
        && let Some(pgo) = &mut clusters.pgo
    {
        pgo.data.insert(key, data);
    }
    clusters
}

/// What a program prints, and what the cluster of its Pod holds then, if that is something else than before.
fn ran(clusters: &Kubernetes, pod: &str, argv: &[String], now: Timestamp) -> Option<(Printed, Option<(String, Data)>)> {
    let pgo = clusters.pgo.as_ref()?;
    let object = &clusters.objects.get(pod)?.object;
    let place = pod.splitn(3, '/').take(2).collect::<Vec<_>>().join("/");
    let name = label(object, "cluster").to_owned();
    let key = format!("{place}/postgrescluster/{name}");
    let cluster = Cluster { object: clusters.objects.get(&key)?.object.clone(), key, name };
    let role = patroni::role(object);
    let recovers = role.as_deref().is_some_and(|role| !["master", "primary"].contains(&role));
    let mut asked = Asked { pgo, cluster, now, recovers, changed: None };
    let is_instance = !label(object, "instance").is_empty();
    let printed = match argv.first()?.rsplit('/').next()? {
        "psql" if is_instance => {
            let commands: Vec<usize> = (0..argv.len()).filter(|at| argv[*at] == "-c").collect();
            match commands[..] {
                // One command after the other, as far as they succeed.
                [first, _, ..] => {
                    let mut all = (0, String::new(), String::new());
                    for at in commands {
                        let one: Vec<String> =
                            argv[..first].iter().chain(argv.iter().skip(at).take(2)).cloned().collect();
                        let (code, stdout, stderr) = asked.psql(&one, role.is_some())?;
                        all.0 = code;
                        all.1.push_str(&stdout);
                        all.2.push_str(&stderr);
                        if code != 0 {
                            break;
                        }
                    }
                    all
                }
                _ => asked.psql(argv, role.is_some())?,
            }
        }
        "df" if is_instance => asked.df(argv)?,
        "pgbackrest" if argv.get(1).is_some_and(|word| word == "info") => asked.info(argv)?,
        _ => return None,
    };
    let commits =
        argv.iter().any(|word| ["txid_current()", "pg_current_xact_id()"].iter().any(|one| word.contains(one)));
    if commits && let Some(mut data) = asked.stored() {
        data.idle_since = data.idle_since.map(|_| now);
        asked.changed = Some(data);
    }
    let key = asked.cluster.key.clone();
    Some((printed, asked.changed.map(|data| (key, data))))
}

/// The value of an option, as `-d x`, `-dx`, `--dbname=x` or `--dbname x`.
fn option(argv: &[String], short: char, long: &str) -> Option<String> {
    let mut words = argv.iter().skip(1);
    while let Some(word) = words.next() {
        if let Some(rest) = word.strip_prefix("--") {
            match rest.split_once('=') {
                Some((name, value)) if name == long => return Some(value.to_owned()),
                None if rest == long => return words.next().cloned(),
                _ => {}
            }
        } else if let Some(letters) = word.strip_prefix('-') {
            match letters.split_once(short) {
                Some((_, "")) => return words.next().cloned(),
                Some(("", value)) => return Some(value.to_owned()),
                _ => {}
            }
        }
    }
    None
}

/// Whether a flag is given: `-A` or `-qAt`, or `--no-align`.
fn flag(argv: &[String], short: char, long: &str) -> bool {
    let has = |word: &String| match word.strip_prefix("--") {
        Some(rest) => rest == long,
        None => word.strip_prefix('-').is_some_and(|letters| letters.contains(short)),
    };
    argv.iter().skip(1).any(has)
}

/// One question, as little as it can be written.
fn plain(sql: &str) -> String {
    let words: Vec<&str> = sql.trim().trim_end_matches(';').split_whitespace().collect();
    words.join(" ")
}

/// At the commas that are in no parentheses or quotes.
fn columns(list: &str) -> Vec<&str> {
    let (mut found, mut depth, mut quoted, mut from) = (Vec::new(), 0, false, 0);
    for (at, char) in list.char_indices() {
        match char {
            '\'' => quoted = !quoted,
            '(' if !quoted => depth += 1,
            ')' if !quoted => depth -= 1,
            ',' if !quoted && depth == 0 => {
                found.extend(list.get(from..at));
                from = at + 1;
            }
            _ => {}
        }
    }
    found.extend(list.get(from..));
    found.into_iter().map(str::trim).collect()
}

/// Where what is selected ends.
fn top_level_from(list: &str) -> Option<usize> {
    let lower = list.to_ascii_lowercase();
    let depth = |at: usize| {
        let before = lower.get(..at).unwrap_or_default();
        before.matches('(').count() == before.matches(')').count()
    };
    lower.match_indices(" from ").map(|(at, _)| at).find(|at| depth(*at))
}

fn position(text: &str) -> Option<u64> {
    let (high, low) = text.split_once('/')?;
    Some((u64::from_str_radix(high, 16).ok()? << 32) | u64::from_str_radix(low, 16).ok()?)
}

fn quoted(text: &str) -> Option<&str> {
    text.strip_prefix('\'')?.strip_suffix('\'')
}

/// An instant as PostgreSQL prints it.
fn shown(at: Timestamp) -> String {
    at.strftime("%Y-%m-%d %H:%M:%S+00").to_string()
}

fn truth(so: bool) -> String {
    if so { "t" } else { "f" }.to_owned()
}

const RECOVERING: &str =
    "ERROR:  recovery is in progress\nHINT:  WAL control functions cannot be executed during recovery.\n";

impl Asked<'_> {
    fn data(&self) -> Option<Data> {
        let Some(mut data) = self.changed.clone() else { return self.pgo.held(&self.cluster.key, self.now) };
        data.facts.retain(|fact| fact.at <= self.now);
        Some(data)
    }

    /// What is stored of it, with what is still to come.
    fn stored(&self) -> Option<Data> {
        self.changed.clone().or_else(|| self.pgo.data.get(&self.cluster.key).cloned())
    }

    /// `df --output=avail -B1 /pgdata`: what is left of an instance's volume.
    fn df(&self, argv: &[String]) -> Option<Printed> {
        if !flag(argv, 'B', "block-size") || !argv.iter().any(|word| word == "--output=avail") {
            return None;
        }
        let claim = &self.cluster.object["spec"]["instances"][0]["dataVolumeClaimSpec"]["resources"]["requests"];
        let size = claim["storage"].as_str().and_then(|text| parse_size(&format!("{text}B")).ok())?;
        let data = self.data()?;
        let used: u64 = databases(&data.facts, self.now).iter().map(|name| bytes(&data.facts, name, self.now)).sum();
        Some((0, format!("Avail\n{}\n", size.saturating_sub(used)), String::new()))
    }

    fn psql(&mut self, argv: &[String], up: bool) -> Option<Printed> {
        let sql = option(argv, 'c', "command")?;
        if !(flag(argv, 'A', "no-align") && flag(argv, 't', "tuples-only")) {
            return None;
        }
        let Some(data) = self.data().filter(|_| up) else {
            let why = "psql: error: connection to server on socket \"/tmp/postgres/.s.PGSQL.5432\" failed: No such file or directory\n";
            return Some((2, String::new(), why.to_owned()));
        };
        let database = option(argv, 'd', "dbname").unwrap_or_else(|| "postgres".to_owned());
        let fatal = |what: String| Some((2, String::new(), format!("psql: error: FATAL:  {what}\n")));
        if data.zeroed.contains(&database) {
            return fatal("relation mapping file \"base/16412/pg_filenode.map\" contains invalid data".to_owned());
        }
        let known = ["postgres", "template1"].contains(&database.as_str())
            || databases(&data.facts, self.now).contains(&database);
        if !known {
            return fatal(format!("database \"{database}\" does not exist"));
        }
        if data.closed.contains(&database) {
            return fatal(format!("database \"{database}\" is not currently accepting connections"));
        }
        let sql = plain(&sql);
        if let Some(ran) =
            self.stored().and_then(|data| statements::run(&data, &database, &sql, self.recovers, self.now))
        {
            return Some(match ran {
                Ok(mut data) => {
                    data.idle_since = data.idle_since.map(|_| self.now);
                    self.changed = Some(data);
                    (0, String::new(), String::new())
                }
                Err(why) => (1, String::new(), why),
            });
        }
        let lower = sql.to_ascii_lowercase();
        let list = sql.get("select ".len()..).filter(|_| lower.starts_with("select "))?;
        let at = top_level_from(list);
        let (list, from) = at.map_or((list, ""), |at| list.split_at(at));
        let from = from.trim().get("from ".len()..).unwrap_or_default().trim();
        let separator = option(argv, 'F', "field-separator").unwrap_or_else(|| "|".to_owned());
        let lines = match self.rows(list, from, &database, &data)? {
            Ok(lines) => lines,
            Err(why) => return Some((1, String::new(), why)),
        };
        Some((0, lines.into_iter().map(|line| format!("{}\n", line.join(&separator))).collect(), String::new()))
    }

    fn rows(&self, list: &str, from: &str, database: &str, data: &Data) -> Option<Result<Vec<Vec<String>>, String>> {
        let table = from.split(' ').next().unwrap_or_default().to_ascii_lowercase();
        let columns = columns(list);
        if table == "pg_database" && columns.len() == 1 && columns[0].to_ascii_lowercase().ends_with("datname") {
            let mut names = databases(&data.facts, self.now);
            names.push("postgres".to_owned());
            if !from.to_ascii_lowercase().contains("where") {
                names.extend(["template0".to_owned(), "template1".to_owned()]);
            }
            names.sort();
            return Some(Ok(names.into_iter().map(|name| vec![name]).collect()));
        }
        if table == "pg_stat_activity" && columns[0].to_ascii_lowercase().starts_with("pg_terminate_backend(") {
            // Who is thrown out comes again, unless the database is closed.
            return Some(Ok(Vec::new()));
        }
        // How many rows each table has: the only thing that can be asked of all of them at once.
        if table == "pg_class" && list.contains("query_to_xml(") {
            let names = tables(&data.facts, database, self.now);
            let counted = names.into_iter().map(|name| {
                let count = rows(&data.facts, database, &name, self.now).unwrap_or_default();
                vec![format!("public.{name}"), count.to_string()]
            });
            return Some(Ok(counted.collect()));
        }
        let mut line = Vec::new();
        for column in columns {
            match self.value(column, &table, from, database, data)? {
                Ok(value) => line.push(value),
                Err(why) => return Some(Err(why)),
            }
        }
        Some(Ok(vec![line]))
    }

    /// One expression.
    fn value(
        &self,
        text: &str,
        table: &str,
        from: &str,
        database: &str,
        data: &Data,
    ) -> Option<Result<String, String>> {
        let again = |text: &str| self.value(text, table, from, database, data);
        let lower = text.to_ascii_lowercase();
        // What does not change the answer: an alias, a cast, another way to say the same.
        if let Some(at) = lower.find(" as ").filter(|_| !lower.contains('(') || lower.find(" as ") > lower.rfind(')')) {
            return again(text.get(..at)?);
        }
        if let Some((inner, kind)) = text.rsplit_once("::")
            && kind.chars().all(|char| char.is_ascii_alphanumeric() || char == '_')
            && !inner.ends_with('\'')
        {
            return again(inner);
        }
        for (operator, holds) in
            [(" >= ", u64::ge as fn(&u64, &u64) -> bool), (" > ", u64::gt), (" <= ", u64::le), (" < ", u64::lt)]
        {
            if let Some((left, right)) = text.split_once(operator) {
                let right = right.split("::").next().and_then(quoted).and_then(position)?;
                return Some(
                    again(left)?
                        .map(|left| position(&left).map_or_else(String::new, |left| truth(holds(&left, &right)))),
                );
            }
        }
        if let Some(inner) = lower.strip_prefix("extract(epoch from ").and_then(|rest| rest.strip_suffix(')')) {
            let instant = again(inner)?;
            return Some(instant.map(|text| {
                format!("{}+00", text.trim_end_matches("+00").replace(' ', "T"))
                    .replace("+00", "Z")
                    .parse::<Timestamp>()
                    .map_or_else(|_| String::new(), |at| at.as_second().to_string())
            }));
        }
        let commit = data.last_commit(self.now);
        let own = self.recovers;
        let unless_recovering = |value: String| Some(if own { Err(RECOVERING.to_owned()) } else { Ok(value) });
        let if_recovering = |value: String| Some(Ok(if own { value } else { String::new() }));
        match (lower.as_str(), table) {
            ("count(*)", "pg_prepared_xacts" | "pg_replication_slots") => Some(Ok("0".to_owned())),
            (size, _) if size.starts_with("pg_database_size(") => {
                let name = size.strip_prefix("pg_database_size(")?.strip_suffix(')').and_then(quoted)?;
                Some(if databases(&data.facts, self.now).iter().any(|one| one == name) {
                    Ok(bytes(&data.facts, name, self.now).to_string())
                } else {
                    Err(format!("ERROR:  database \"{name}\" does not exist\n"))
                })
            }
            // Nobody writes rows here but who loads a database.
            (written, "pg_stat_all_tables") if written.contains("n_tup_ins") => {
                let names = tables(&data.facts, database, self.now);
                let all = names.iter().filter_map(|name| rows(&data.facts, database, name, self.now));
                Some(Ok(all.sum::<u64>().to_string()))
            }
            ("1", "") => Some(Ok("1".to_owned())),
            ("pg_is_in_recovery()", _) => Some(Ok(truth(own))),
            ("pg_current_wal_lsn()", _) => unless_recovering(lsn(commit)),
            ("pg_switch_wal()" | "pg_current_wal_flush_lsn()" | "pg_current_wal_insert_lsn()", _) => {
                unless_recovering(lsn(commit))
            }
            ("pg_walfile_name(pg_current_wal_lsn())", _) => unless_recovering(segment(data.timeline, commit)),
            ("pg_current_xact_id()" | "txid_current()", _) => unless_recovering((commit.as_second() / 60).to_string()),
            ("pg_last_wal_replay_lsn()" | "pg_last_wal_receive_lsn()", _) => if_recovering(lsn(commit)),
            ("pg_last_xact_replay_timestamp()", _) => if_recovering(shown(commit)),
            ("now()" | "current_timestamp" | "clock_timestamp()", _) => Some(Ok(shown(self.now))),
            ("system_identifier", "pg_control_system()") => Some(Ok(data.system.clone())),
            ("timeline_id", "pg_control_checkpoint()") => Some(Ok(data.timeline.to_string())),
            ("status", "pg_stat_wal_receiver") if own => Some(Ok("streaming".to_owned())),
            (_, "pg_stat_archiver") => self.archiver(&lower, data).map(Ok),
            ("count(*)", table) if !table.is_empty() && !from.contains(' ') => {
                let name = table.strip_prefix("public.").unwrap_or(table).trim_matches('"');
                let found = rows(&data.facts, database, name, self.now);
                Some(
                    found
                        .map(|rows| rows.to_string())
                        .ok_or_else(|| format!("ERROR:  relation \"{name}\" does not exist\n")),
                )
            }
            _ => None,
        }
    }

    /// What PostgreSQL tells of its archiving.
    fn archiver(&self, column: &str, data: &Data) -> Option<String> {
        let stanzas =
            self.cluster.repos().into_iter().filter_map(|name| self.pgo.repos.get(&self.cluster.location(&name)?));
        let mut own = Vec::new();
        let mut failing = false;
        for stanza in stanzas {
            failing |= stanza.system != data.system;
            let wal = stanza.wal.iter().filter(|wal| wal.by == self.cluster.key && wal.system == data.system);
            own.extend(
                wal.max_by_key(|wal| wal.timeline).map(|wal| wal.archived(self.pgo.data.get(&wal.by), self.now).until),
            );
        }
        let last = own.into_iter().min();
        Some(match column {
            "last_archived_time" => last.map_or_else(String::new, shown),
            "last_archived_wal" => last.map_or_else(String::new, |at| segment(data.timeline, at)),
            "last_failed_time" => {
                if failing {
                    shown(self.now)
                } else {
                    String::new()
                }
            }
            "last_failed_wal" => {
                if failing {
                    segment(data.timeline, self.now)
                } else {
                    String::new()
                }
            }
            "failed_count" => u8::from(failing).to_string(),
            "archived_count" => last.map_or(0, |at| at.as_second() / 60 % 100_000).to_string(),
            _ => return None,
        })
    }

    /// `pgbackrest info --output=json`.
    fn info(&self, argv: &[String]) -> Option<Printed> {
        if option(argv, '\0', "output").as_deref() != Some("json") {
            return None;
        }
        let wanted = option(argv, '\0', "repo").map(|number| format!("repo{number}"));
        let label = option(argv, '\0', "set");
        let names = self.cluster.repos().into_iter().filter(|name| wanted.as_ref().is_none_or(|wanted| wanted == name));
        let (mut archive, mut backups, mut db, mut each) = (Vec::new(), Vec::new(), Vec::new(), Vec::new());
        for name in names {
            let key: u64 = name.trim_start_matches("repo").parse().unwrap_or(1);
            let Some(stanza) = self.cluster.location(&name).and_then(|location| self.pgo.repos.get(&location)) else {
                each.push(
                    json!({ "key": key, "cipher": "none", "status": { "code": 1, "message": "missing stanza path" } }),
                );
                continue;
            };
            let mut systems: Vec<&String> =
                stanza.backups.iter().map(|one| &one.system).chain(stanza.wal.iter().map(|one| &one.system)).collect();
            systems.push(&stanza.system);
            let mut seen = Vec::new();
            systems.retain(|one| {
                !seen.contains(one) && {
                    seen.push(*one);
                    true
                }
            });
            let id = |system: &String| systems.iter().position(|one| *one == system).map_or(1, |place| place + 1);
            for system in &systems {
                let number = system.parse::<u64>().map_or_else(|_| json!(system), |number| json!(number));
                db.push(json!({ "id": id(system), "repo-key": key, "system-id": number, "version": stanza.major.to_string() }));
                let of_it = stanza.wal.iter().filter(|wal| wal.system == **system);
                let (mut first, mut last) = (None::<String>, None::<String>);
                for wal in of_it {
                    let until = wal.archived(self.pgo.data.get(&wal.by), self.now).until;
                    first = first.or_else(|| Some(segment(wal.timeline, wal.from)));
                    last = last.max(Some(segment(wal.timeline, until)));
                }
                archive.push(json!({ "database": { "id": id(system), "repo-key": key }, "id": format!("{}-{}", stanza.major, id(system)), "min": first, "max": last }));
            }
            let of_set = stanza.backups.iter().filter(|one| label.as_ref().is_none_or(|label| *label == one.label));
            for one in of_set {
                let size = 26_214_400 + self.data().map_or(0, |data| data.facts.len() as u64 * 8_192);
                let prior = if one.kind == "full" { Value::Null } else { json!(one.label.split('_').next()) };
                let mut told = json!({
                    "archive": { "start": segment(one.timeline, one.start), "stop": segment(one.timeline, one.stop) },
                    "backrest": { "format": 5, "version": "2.47" }, "database": { "id": id(&one.system), "repo-key": key }, "error": false,
                    "info": { "delta": size, "repository": { "delta": size / 8, "size": size / 8 }, "size": size }, "label": one.label,
                    "lsn": { "start": lsn(one.start), "stop": lsn(one.stop) }, "prior": prior, "reference": null,
                    "timestamp": { "start": one.start.as_second(), "stop": one.stop.as_second() }, "type": one.kind,
                });
                if label.is_some() {
                    let wal = stanza.wal_of(&one.system, None)?;
                    let facts = wal.archived(self.pgo.data.get(&wal.by), self.now).facts;
                    let names = databases(&facts, one.stop);
                    told["database-ref"] = names
                        .iter()
                        .enumerate()
                        .map(|(place, name)| json!({ "name": name, "oid": 16_384 + place }))
                        .collect();
                }
                backups.push(told);
            }
            let (code, message) = if stanza.backups.is_empty() { (2, "no valid backups") } else { (0, "ok") };
            each.push(json!({ "key": key, "cipher": "none", "status": { "code": code, "message": message } }));
        }
        let status = each
            .first()
            .map_or_else(|| json!({ "code": 1, "message": "missing stanza path" }), |one| one["status"].clone());
        let told = json!([{
            "archive": archive, "backup": backups, "cipher": "none", "db": db, "name": "db", "repo": each,
            "status": { "code": status["code"], "lock": { "backup": { "held": false } }, "message": status["message"] },
        }]);
        Some((0, told.to_string(), String::new()))
    }
}
