//! The calls of a run as its store has them, read without the program: what is durable at this instant.

use std::collections::BTreeMap;
use std::path::Path;

use rusqlite::{Connection, OpenFlags};
use serde_json::Value;

/// A call with an effect.
#[derive(Clone, Debug)]
pub struct Call {
    /// Its key without the run's id, and without the number of times it was sent again: the same in every run.
    pub name: String,
    /// The key under which it was sent last.
    pub key: String,
    /// How often it was sent again.
    pub resent: usize,
    pub op: String,
    /// `side[chatbot_db]`.
    pub step: String,
    pub args: Value,
    /// Whether it belongs to a rollback.
    pub undoing: bool,
    /// Whether its outcome is durable.
    pub ended: bool,
    /// Whether it ended well.
    pub done: bool,
}

impl Call {
    /// The name under which the wrapper knows it.
    pub fn client(&self) -> Option<String> {
        let text = |name: &str| self.args[name].as_str().unwrap_or_default().to_owned();
        let bare = self.key.split_once('-').and_then(|(_, rest)| rest.split_once('-')).map_or("", |(_, rest)| rest);
        Some(match self.op.as_str() {
            "docker.start" => format!("start.{}", text("container")),
            "docker.stop" => format!("stop.{}", text("container")),
            "docker.copy_out" => format!("cp.{}", text("container")),
            "docker.copy_in" => format!("cpin.{}", text("container")),
            "docker.remove_container" if text("name").starts_with("muster-verify-") => "rm.muster-verify".to_owned(),
            "docker.remove_container" => format!("rm.{}", text("name")),
            "docker.run" | "docker.create_container" => format!("run.{bare}"),
            "docker.exec" => format!("exec.{bare}"),
            op if op.starts_with("pg.") => format!("exec.{bare}"),
            _ => return None,
        })
    }

    /// Whether a change of this path is a part of it: temporary names hold its key.
    pub fn is_about(&self, path: &Path) -> bool {
        let named = |name: &str| self.args[name].as_str().is_some_and(|own| path.starts_with(own));
        self.client().is_none()
            && (path.to_string_lossy().contains(&self.key) || ["path", "to"].iter().any(|name| named(name)))
    }

    /// Whether a supervised program does it.
    pub fn supervised(&self) -> bool {
        matches!(
            self.op.as_str(),
            "docker.run" | "docker.exec" | "docker.copy_out" | "docker.copy_in" | "pg.dump" | "pg.restore" | "exec.run"
        )
    }

    /// As a person would call it: `side[chatbot_db]#1-1 pg.restore`.
    pub fn title(&self) -> String {
        let number: Vec<&str> = self.name.rsplitn(3, '-').take(2).collect();
        format!("{}#{}-{} {}", self.step, number[1], number[0], self.op)
    }
}

/// A run as its store has it.
#[derive(Clone, Debug, Default)]
pub struct Book {
    pub run: String,
    pub status: String,
    pub detail: String,
    /// In order of their intents.
    pub calls: Vec<Call>,
    /// The facts, in order.
    pub facts: Vec<Value>,
}

impl Book {
    /// The newest run of a store.
    pub fn read(store: &Path) -> Option<Self> {
        let flags = OpenFlags::SQLITE_OPEN_READ_ONLY | OpenFlags::SQLITE_OPEN_NO_MUTEX;
        let connection = Connection::open_with_flags(store, flags).ok()?;
        connection.busy_timeout(std::time::Duration::from_millis(50)).ok()?;
        let mut book = Self::default();
        let mut number = 0_i64;
        connection
            .query_row("select key, id, status, detail from run order by key desc limit 1", [], |row| {
                number = row.get(0)?;
                book.run = row.get(1)?;
                book.status = row.get(2)?;
                book.detail = row.get(3)?;
                Ok(())
            })
            .ok()?;
        let mut query = connection.prepare("select body from batch where run = ?1 order by key").ok()?;
        let bodies = query.query_map([number], |row| row.get::<_, String>(0)).ok()?;
        for body in bodies.flatten() {
            book.facts.extend(
                body.lines()
                    .filter_map(|line| serde_json::from_str(line).ok())
                    .map(|record: Value| record["fact"].clone()),
            );
        }
        book.fold();
        Some(book)
    }

    fn fold(&mut self) {
        let mut places: BTreeMap<String, usize> = BTreeMap::new();
        for fact in &self.facts {
            let id = fact["call"].to_string();
            match fact["fact"].as_str() {
                Some("intent") => {
                    let key = fact["key"].as_str().unwrap_or_default().to_owned();
                    places.insert(id, self.calls.len());
                    self.calls.push(Call {
                        name: key.splitn(3, '-').nth(2).unwrap_or_default().to_owned(),
                        key,
                        resent: 0,
                        op: fact["op"].as_str().unwrap_or_default().to_owned(),
                        step: fact["call"]["step"].as_str().unwrap_or_default().to_owned(),
                        args: fact["args"].clone(),
                        undoing: fact["call"]["phase"] == "rollback" || !fact["undoes"].is_null(),
                        ended: false,
                        done: false,
                    });
                }
                Some("resent") => {
                    if let Some(place) = places.get(&id) {
                        self.calls[*place].resent += 1;
                        self.calls[*place].key = fact["key"].as_str().unwrap_or_default().to_owned();
                    }
                }
                Some("ended") => {
                    if let Some(place) = places.get(&id) {
                        self.calls[*place].ended = true;
                        self.calls[*place].done = fact["outcome"]["end"] == "done";
                    }
                }
                _ => {}
            }
        }
    }

    /// The reason of the pause that the run is in, and the step it names.
    pub fn pause(&self) -> Option<(String, String)> {
        if self.status != "paused" && self.status != "waiting" {
            return None;
        }
        let last = self.facts.iter().rev().find(|fact| {
            matches!(fact["fact"].as_str(), Some("paused" | "approval_asked" | "step_failed" | "manual_asked"))
        })?;
        let (why, step) = match last["fact"].as_str() {
            Some("paused") => (last["pause"]["why"].as_str().unwrap_or_default(), &last["pause"]["step"]),
            Some("approval_asked") => ("approval", &last["step"]),
            Some("step_failed") => ("step_failed", &last["step"]),
            _ => ("manual", &last["step"]),
        };
        Some((why.to_owned(), step.as_str().unwrap_or_default().to_owned()))
    }

    /// The facts of the end, in a few lines.
    pub fn tail(&self) -> String {
        let from = self.facts.len().saturating_sub(14);
        let short = |fact: &Value| fact.to_string().chars().take(420).collect::<String>();
        self.facts[from..].iter().map(short).collect::<Vec<_>>().join("\n    ")
    }
}
