//! The world: everything the sandbox knows, held as data.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use imbl::OrdMap;
use serde::{Deserialize, Serialize};

use super::aws::Aws;
use super::controllers::Manner;
use super::custom::Custom;
use super::helm::{Chart, Release};
use super::kubernetes::Kubernetes;
use super::modelled::Modelled;
use super::postgres::Server;
use super::resources::{Command, Container, Endpoint, Image, Volume};
use super::tree::Tree;
use crate::model::fault::OpError;
use crate::model::{RunId, Timestamp, Value};

/// A map by name, of which a copy costs nothing: a plan keeps many states of one world, which differ little.
pub type Named<V> = OrdMap<String, V>;

/// Everything the sandbox knows.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct World {
    /// Example parameters of the playbook.
    pub params: BTreeMap<String, Value>,
    /// The time when the world was loaded, moved on by every look at it.
    pub now: Timestamp,
    /// Where chance begins.
    pub seed: u64,
    /// How often chance has been asked.
    pub drawn: u64,
    /// Files of the host.
    pub files: Tree,
    /// Bytes free on the host's disk.
    pub free: u64,
    /// Containers by name.
    pub containers: Named<Container>,
    /// Containers as they were declared: what `Up` makes anew.
    pub declared: Named<Container>,
    /// Images by name.
    pub images: Named<Image>,
    /// Volumes by name.
    pub volumes: Named<Volume>,
    /// PostgreSQL servers, by the name of their container or by `host:port`.
    pub postgres: Named<Server>,
    /// What answers, by URL.
    pub http: Named<Endpoint>,
    /// Charts, by what they are found by: a path, or `oci://…`.
    #[serde(default)]
    pub charts: Named<Chart>,
    /// Releases of charts, by `CLUSTER/NAMESPACE/NAME`.
    #[serde(default)]
    pub releases: Named<Release>,
    /// Clusters of Kubernetes.
    #[serde(default)]
    pub kubernetes: Kubernetes,
    /// The AWS account.
    #[serde(default)]
    pub aws: Aws,
    /// Programs that the sandbox does not know by itself.
    pub commands: Arc<Vec<Command>>,
    /// Resources of the playbook's own kinds, by `kind/name`.
    #[serde(default)]
    pub resources: Named<Custom>,
    /// Paths of the before-images that each run keeps: what its end deletes.
    #[serde(default)]
    pub kept: BTreeMap<String, BTreeSet<String>>,
    /// What the supervisor knows of its children, by key.
    #[serde(default)]
    pub children: BTreeMap<String, Child>,
    /// Effects that were completed, in their order: never forgotten, so that a test can count them.
    #[serde(default)]
    pub effects: Vec<Completed>,
    /// Whether this is the world of a plan: what only the run will know is then marked instead of made up.
    #[serde(skip)]
    pub planned: bool,
    /// Whether it holds only what of a live system has been looked at, and what a plan has made of that.
    #[serde(skip)]
    pub partial: bool,
    /// The models that the playbook brings for its own programs.
    #[serde(skip)]
    pub models: Modelled,
}

/// An effect that was completed.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Completed {
    /// The key of its call.
    pub key: String,
    /// The operation.
    pub op: String,
}

/// What the supervisor knows of a program it started.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
pub struct Child {
    /// The run it works for.
    pub run: RunId,
    /// The operation it performs.
    pub op: String,
    /// With these arguments.
    pub args: Value,
    /// The image taken before.
    pub before: Value,
    /// When it was started.
    pub started: Timestamp,
    /// When it ends.
    pub ends: Timestamp,
    /// How it ended; `None` while it runs.
    pub ended: Option<ChildEnd>,
}

/// How a supervised program ended.
#[derive(Clone, Debug, PartialEq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum ChildEnd {
    /// It did what it was to do.
    Done(Value),
    /// It failed.
    Failed(OpError),
    /// It was killed half-way, and left no status.
    Lost,
}

/// The parts of a world that make up the deployment: not the clock, the supervisor's memory or the count of effects.
const DEPLOYMENT: [&str; 7] = ["files", "containers", "volumes", "postgres", "http", "aws", "resources"];

/// Fields that differ between two deployments that are the same: when something was written or started, and which number is next.
const INCIDENTAL: [&str; 13] = [
    "modified",
    "started_at",
    "next_oid",
    "ready_at",
    "id",
    "made_by",
    "sessions",
    "created_at",
    "data_until",
    "resource_id",
    "course",
    "courses",
    "earlier_versions",
];

/// What differs between two deployments, one line a difference: `files./srv/x: there before, gone now`. Empty when one is as the
/// other. Times, ids of containers, sessions and the memory of the supervisor are no part of a deployment; neither is which try
/// of a call made a thing: its key, and the object id of a database that a run made.
#[must_use]
pub fn diff(before: &World, after: &World) -> Vec<String> {
    let releases = |world: &World| -> Value {
        world.releases.iter().map(|(name, release)| (name.clone(), release.standing())).collect()
    };
    let mut found = Vec::new();
    compare("releases", &releases(before), &releases(after), &mut found);
    compare("kubernetes", &before.kubernetes.standing(), &after.kubernetes.standing(), &mut found);
    let (Ok(before), Ok(after)) = (serde_json::to_value(before), serde_json::to_value(after)) else {
        return vec!["a world cannot be written down".to_owned()];
    };
    for part in DEPLOYMENT {
        compare(part, &before[part], &after[part], &mut found);
    }
    found
}

/// A database or a labelled thing that a run made, without what hangs on which try of the call it was.
fn of_any_try(fields: &serde_json::Map<String, Value>) -> Option<serde_json::Map<String, Value>> {
    let mut fields = fields.clone();
    let labelled = fields.remove("muster.key").is_some();
    let mark = fields.get("comment").and_then(Value::as_str).filter(|comment| comment.starts_with("muster:"));
    let Some(mark) = mark.and_then(|mark| mark.rsplit_once(':')).map(|(run, _)| run.to_owned()) else {
        return labelled.then_some(fields);
    };
    fields.insert("comment".to_owned(), Value::String(mark));
    fields.remove("oid");
    Some(fields)
}

fn compare(path: &str, before: &Value, after: &Value, found: &mut Vec<String>) {
    match (before, after) {
        (Value::Object(old), Value::Object(new)) => {
            let (plain_old, plain_new) = (of_any_try(old), of_any_try(new));
            let (old, new) = (plain_old.as_ref().unwrap_or(old), plain_new.as_ref().unwrap_or(new));
            for (key, value) in old {
                if INCIDENTAL.contains(&key.as_str()) {
                    continue;
                }
                match new.get(key) {
                    Some(now) => compare(&format!("{path}.{key}"), value, now, found),
                    None => found.push(format!("{path}.{key}: there before, gone now")),
                }
            }
            for key in new.keys().filter(|key| !old.contains_key(*key) && !INCIDENTAL.contains(&key.as_str())) {
                found.push(format!("{path}.{key}: not there before"));
            }
        }
        (old, new) if old == new => {}
        (old, new) => found.push(format!("{path}: {old} before, {new} now")),
    }
}

impl World {
    /// A world with nothing in it.
    #[must_use]
    pub fn empty(now: Timestamp) -> Self {
        Self {
            params: BTreeMap::new(),
            now,
            seed: 1,
            drawn: 0,
            files: Tree::default(),
            free: 500_000_000_000,
            containers: Named::new(),
            declared: Named::new(),
            images: Named::new(),
            volumes: Named::new(),
            postgres: Named::new(),
            http: Named::new(),
            charts: Named::new(),
            releases: Named::new(),
            kubernetes: Kubernetes::default(),
            aws: Aws::default(),
            commands: Arc::default(),
            resources: Named::new(),
            kept: BTreeMap::new(),
            children: BTreeMap::new(),
            effects: Vec::new(),
            planned: false,
            partial: false,
            models: Modelled::default(),
        }
    }

    /// How far controllers of Kubernetes go here.
    #[must_use]
    pub fn manner(&self) -> Manner {
        Manner { planned: self.planned, partial: self.partial }
    }

    /// How often the effect of this key was completed.
    #[must_use]
    pub fn completed(&self, key: &str) -> usize {
        self.effects.iter().filter(|effect| effect.key == key).count()
    }

    /// Effects that were completed more than once. "Never twice" means that there are none.
    #[must_use]
    pub fn completed_twice(&self) -> Vec<&Completed> {
        self.effects
            .iter()
            .enumerate()
            .filter(|(place, effect)| self.effects[..*place].contains(effect))
            .map(|(_, effect)| effect)
            .collect()
    }
}
