//! PostgreSQL servers of the sandbox: databases, tables, large objects, dumps.

use std::collections::{BTreeMap, BTreeSet};

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::content::sha256_hex;
use super::veil::UNKNOWN_BYTES;
use crate::model::{Timestamp, Value};

/// A table. Its contents are a number of rows and their checksum; `data` holds the few rows that queries look at.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Table {
    /// How many rows it has. Absent in `world.yaml` means as many as `data` has.
    #[serde(default)]
    pub rows: u64,
    /// Checksum of the rows; made from `rows`, `data` and the table's name when absent.
    #[serde(default)]
    pub checksum: String,
    /// Rows that `pg.query` can read.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub data: Vec<BTreeMap<String, Value>>,
}

impl Table {
    /// Fills in what `world.yaml` may leave out.
    pub fn complete(&mut self, name: &str) {
        if self.rows == 0 {
            self.rows = self.data.len() as u64;
        }
        if self.checksum.is_empty() {
            let data = serde_json::to_string(&self.data).unwrap_or_default();
            self.checksum = sha256_hex(format!("{name} {} {data}", self.rows).as_bytes())[..32].to_owned();
        }
    }
}

/// The contents of a database: what a dump holds.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Contents {
    /// User tables by name.
    #[serde(default)]
    pub tables: BTreeMap<String, Table>,
    /// How many large objects there are.
    #[serde(default)]
    pub large_objects: u64,
    /// Extensions by name.
    #[serde(default)]
    pub extensions: BTreeSet<String>,
    /// How many bytes its data takes; made from the rows when absent.
    #[serde(default)]
    pub bytes: u64,
    /// Why a plan does not know what it holds, if it does not.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub unseen: Option<String>,
}

impl Contents {
    /// Fills in what `world.yaml` may leave out.
    pub fn complete(&mut self) {
        for (name, table) in &mut self.tables {
            table.complete(name);
        }
        if self.bytes == 0 {
            self.bytes =
                self.tables.values().map(|table| 8192 + table.rows * 200).sum::<u64>() + self.large_objects * 2048;
        }
    }

    /// How many objects a dump of it lists.
    #[must_use]
    pub fn objects(&self) -> u64 {
        if self.unseen.is_some() {
            return UNKNOWN_BYTES;
        }
        2 * self.tables.len() as u64 + self.large_objects + self.extensions.len() as u64
    }

    /// Whether it holds nothing of a user.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.tables.is_empty() && self.large_objects == 0 && self.unseen.is_none()
    }

    /// What nobody knows, for this reason.
    #[must_use]
    pub fn unseen(why: impl Into<String>) -> Self {
        Self { unseen: Some(why.into()), bytes: UNKNOWN_BYTES, ..Self::default() }
    }
}

/// A dump in custom format.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct DumpImage {
    /// The database it was made of.
    pub database: String,
    /// Major version of the server that made it.
    pub major: u32,
    /// What it holds.
    pub contents: Contents,
}

impl DumpImage {
    /// How long the file is.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        if self.contents.unseen.is_some() {
            return UNKNOWN_BYTES;
        }
        2048 + self.contents.objects() * 100 + self.contents.bytes / 4
    }
}

/// What a database holds before anything is put into it.
pub const CATALOGUE: u64 = 7_500_000;

/// A database.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Database {
    /// Tells it from any other that has or had its name.
    pub oid: u32,
    /// Who owns it.
    pub owner: String,
    /// Its comment: where Muster leaves its mark.
    #[serde(default)]
    pub comment: String,
    /// `UTF8`, usually.
    pub encoding: String,
    /// Whether it is a template.
    #[serde(default)]
    pub template: bool,
    /// Whether it lets anybody in.
    pub allow_connections: bool,
    /// Sessions on it, by the container that holds them (`""` for somebody from elsewhere).
    #[serde(default)]
    pub sessions: BTreeMap<String, u32>,
    /// What it holds.
    pub contents: Contents,
}

/// A PostgreSQL server.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Server {
    /// `17.4`.
    pub version: String,
    /// What tells this cluster from any other.
    pub system_identifier: String,
    /// Whether it follows another.
    #[serde(default)]
    pub in_recovery: bool,
    /// Roles that may log in.
    pub roles: BTreeSet<String>,
    /// Whether there may be roles that are not in `roles`: those of a live server are not listed.
    #[serde(default, skip_serializing_if = "std::ops::Not::not")]
    pub any_role: bool,
    /// Databases by name.
    pub databases: OrdMap<String, Database>,
    /// The number the next database gets.
    pub next_oid: u32,
    /// When it answers queries; earlier it starts up.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub ready_at: Option<Timestamp>,
    /// Whether its data goes with its container.
    #[serde(default)]
    pub ephemeral: bool,
    /// Answers to queries that no table holds, in the order of `world.yaml`.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub answers: Vec<Answer>,
    /// Keys of the transactions that `pg.execute` has committed, until their calls are released.
    #[serde(default, skip_serializing_if = "BTreeSet::is_empty")]
    pub notes: BTreeSet<String>,
    /// Statements that `pg.execute` has run, by database.
    #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
    pub executed: BTreeMap<String, Vec<String>>,
}

/// The answer to a query.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Answer {
    /// The statement, with `*` for any text; compared without regard to case and spaces.
    pub sql: String,
    /// The database, when it matters.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub database: Option<String>,
    /// The rows.
    #[serde(default)]
    pub rows: Vec<BTreeMap<String, Value>>,
}

impl Server {
    /// A server as `initdb` leaves it.
    #[must_use]
    pub fn fresh(version: &str, system_identifier: &str, superuser: &str) -> Self {
        let mut server = Self {
            version: version.to_owned(),
            system_identifier: system_identifier.to_owned(),
            in_recovery: false,
            roles: BTreeSet::from([superuser.to_owned()]),
            any_role: false,
            databases: OrdMap::new(),
            next_oid: 16384,
            ready_at: None,
            ephemeral: false,
            answers: Vec::new(),
            notes: BTreeSet::new(),
            executed: BTreeMap::new(),
        };
        for (oid, name, template) in [(1, "template1", true), (4, "template0", true), (5, "postgres", false)] {
            let contents = Contents { bytes: 7_500_000, ..Contents::default() };
            let mut database = Database::new(oid, superuser, contents);
            database.template = template;
            database.allow_connections = name != "template0";
            server.databases.insert(name.to_owned(), database);
        }
        server
    }

    /// Whether it knows a role of this name.
    #[must_use]
    pub fn has_role(&self, name: &str) -> bool {
        self.any_role || self.roles.contains(name)
    }

    /// `17` of `17.4`.
    #[must_use]
    pub fn major(&self) -> u32 {
        self.version.split('.').next().and_then(|major| major.parse().ok()).unwrap_or(0)
    }

    /// `170004` of `17.4`.
    #[must_use]
    pub fn version_num(&self) -> u32 {
        let minor = self.version.split('.').nth(1).and_then(|minor| minor.parse::<u32>().ok()).unwrap_or(0);
        self.major() * 10_000 + minor
    }

    /// The number for a new database.
    pub fn take_oid(&mut self) -> u32 {
        let oid = self.next_oid;
        self.next_oid += 1;
        oid
    }
}

impl Database {
    /// How large it is, with the catalogue that every database has.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        CATALOGUE + self.contents.bytes
    }

    /// How many sessions are in it.
    #[must_use]
    pub fn connections(&self) -> u32 {
        self.sessions.values().sum()
    }

    /// A database with nothing set.
    #[must_use]
    pub fn new(oid: u32, owner: &str, contents: Contents) -> Self {
        Self {
            oid,
            owner: owner.to_owned(),
            comment: String::new(),
            encoding: "UTF8".to_owned(),
            template: false,
            allow_connections: true,
            sessions: BTreeMap::new(),
            contents,
        }
    }
}
