//! Containers, images, volumes, endpoints, commands of the sandbox, and what commands do.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::custom::{Fields, Turn};
use super::later::Later;
use super::tree::Tree;
use crate::model::{Timestamp, Value};
use crate::ops::helm::client::Cluster;

/// Where a container sees something that is not its own.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Mount {
    /// Name of the volume.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub volume: Option<String>,
    /// Path of the host.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub bind: Option<String>,
    /// Where it is seen.
    pub at: String,
    /// Whether it can only be read.
    #[serde(default)]
    pub read_only: bool,
}

/// Whether a container runs.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum State {
    /// Made, and never started.
    Created,
    /// At work.
    #[default]
    Running,
    /// Ended.
    Exited,
}

impl State {
    /// As container runtimes write it.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Created => "created",
            Self::Running => "running",
            Self::Exited => "exited",
        }
    }
}

/// A container.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Container {
    /// Its id.
    pub id: String,
    /// Its image.
    pub image: String,
    /// Whether it runs.
    pub state: State,
    /// Whether it has a health check.
    pub healthcheck: bool,
    /// How long after its start it becomes healthy, in milliseconds.
    pub healthy_after_ms: u64,
    /// Whether its health check can ever succeed.
    pub healthy: bool,
    /// When it was last started.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub started_at: Option<Timestamp>,
    /// How it last ended.
    pub exit_code: i32,
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// Its environment.
    pub env: BTreeMap<String, String>,
    /// What it sees that is not its own.
    pub mounts: Vec<Mount>,
    /// Files of its own.
    pub files: Tree,
    /// Database sessions it holds while it runs: `server/database` and how many.
    pub sessions: BTreeMap<String, u32>,
    /// The networks it is in.
    pub network: String,
}

/// An image.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Image {
    /// Its id; made from its name when absent.
    #[serde(default)]
    pub id: String,
    /// The version of the PostgreSQL server that a container of it runs, if it does.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub postgres: Option<String>,
}

/// A volume.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
pub struct Volume {
    /// Its labels.
    pub labels: BTreeMap<String, String>,
    /// What it holds.
    pub files: Tree,
}

/// What answers at a URL.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Endpoint {
    /// The status of the answer.
    #[serde(default = "ok_status")]
    pub status: u16,
    /// Its body.
    #[serde(default)]
    pub body: String,
    /// The containers that have to run, and to be healthy if they can be, for anything to answer.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub needs: Vec<String>,
    /// What has been posted to it.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub posted: Vec<Value>,
}

fn ok_status() -> u16 {
    200
}

/// What a program does that the sandbox does not know by itself.
#[derive(Clone, Debug, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Its command line: words, in which `*` stands for any text; a last word `...` for any further words.
    pub argv: Vec<String>,
    /// The container in which it is run; the host's own programs when absent.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub container: Option<String>,
    /// The folder it must run in.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub cwd: Option<String>,
    /// What it prints. `{1}` stands for the second word of the command line, and so on.
    #[serde(default)]
    pub stdout: String,
    /// What it says on standard error.
    #[serde(default)]
    pub stderr: String,
    /// Its exit code.
    #[serde(default)]
    pub code: i32,
    /// How long it takes, in milliseconds.
    #[serde(default)]
    pub takes_ms: u64,
    /// What it does, in this order. Nothing of it is done when `code` is not 0.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub does: Vec<Deed>,
}

/// One thing a command does. Texts may hold `{1}` and so on, as [`Command::stdout`] may.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case", deny_unknown_fields)]
pub enum Deed {
    /// Writes a file, over what is there.
    Write {
        /// Where.
        path: String,
        /// What.
        text: String,
    },
    /// Writes a file of so many bytes that nobody looks into, over what is there.
    WriteBytes {
        /// Where.
        path: String,
        /// How many.
        bytes: u64,
    },
    /// Makes a folder, with those it lies in. One that is there stays as it is.
    Folder {
        /// Which.
        path: String,
    },
    /// Copies a file.
    Copy {
        /// Which.
        from: String,
        /// Where to.
        to: String,
    },
    /// Copies a file in a form only the recipient can read.
    Seal {
        /// Which.
        from: String,
        /// Where to.
        to: String,
        /// For whom.
        recipient: String,
    },
    /// Copies what was sealed in its plain form.
    Unseal {
        /// Which.
        from: String,
        /// Where to.
        to: String,
    },
    /// Moves a file or folder.
    Move {
        /// Which.
        from: String,
        /// Where to.
        to: String,
    },
    /// Removes a file or folder.
    Remove {
        /// Which.
        path: String,
    },
    /// Starts a container, making it as `world.yaml` declares it when it is gone.
    Up {
        /// Which.
        container: String,
    },
    /// Stops a container and removes it. Volumes stay; the container's own files go.
    Down {
        /// Which.
        container: String,
    },
    /// Stops a container.
    Stop {
        /// Which.
        container: String,
    },
    /// Fills a database, made when it is not there, with tables of so many rows, or with what a dump holds.
    FillDatabase {
        /// The server, by the name of its container or by `host:port`.
        server: String,
        /// The database.
        database: String,
        /// Who owns it when it is made; the server's first role when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        owner: Option<String>,
        /// A file with a dump of what it is to hold.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        from: Option<String>,
        /// Its tables and how many rows each has, when it is filled from no dump.
        #[serde(default, skip_serializing_if = "BTreeMap::is_empty")]
        tables: BTreeMap<String, u64>,
    },
    /// Removes a database.
    DropDatabase {
        /// The server.
        server: String,
        /// The database.
        database: String,
    },
    /// Makes a resource of the playbook's own kind exactly this.
    Set {
        /// Which: `cluster/main`.
        resource: String,
        /// Its fields.
        to: Fields,
        /// What becomes of it later, in the order of time.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        then: Vec<Turn>,
    },
    /// Takes such a resource away.
    Unset {
        /// Which.
        resource: String,
    },
    /// Makes an object of Kubernetes exactly this.
    Object {
        /// The object, with its status.
        manifest: Value,
        /// The cluster.
        #[serde(default)]
        cluster: Cluster,
        /// How long after it is there: `30s`; at once when absent.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        after: Option<String>,
        /// What becomes of it by itself, in the order of time.
        #[serde(default, skip_serializing_if = "Vec::is_empty")]
        then: Vec<Later>,
    },
    /// Takes an object of Kubernetes away, with what it owns.
    NoObject {
        /// Its kind.
        kind: String,
        /// Its namespace; absent for what is in none.
        #[serde(default, skip_serializing_if = "Option::is_none")]
        namespace: Option<String>,
        /// Its name.
        name: String,
        /// The cluster.
        #[serde(default)]
        cluster: Cluster,
    },
}
