//! Databases of RDS in a plan: what calls look at and change, what of a live account is imported, and what differs afterwards.

use serde::Deserialize;
use serde_json::json;

use super::Overlay;
use super::diff::{Difference, push, sides};
use super::footprint::{Depth, Reach};
use super::import::Importer;
use super::state::State;
use crate::model::Value;
use crate::ops::aws::Access;
use crate::ops::aws::rds::{Database, Kind, Snapshot};
use crate::ops::host::Request;
use crate::sandbox::rds::Rds;
use crate::sandbox::veil;
use crate::sandbox::world::{Named, World};

fn text<'a>(args: &'a Value, name: &str) -> Option<&'a str> {
    args.get(name).and_then(Value::as_str).filter(|text| !text.is_empty())
}

fn kind_of(op: &str, args: &Value) -> Kind {
    match op {
        "rds.cluster" => Kind::Cluster,
        _ => args.get("kind").and_then(|kind| Kind::deserialize(kind).ok()).unwrap_or_default(),
    }
}

fn access(args: &Value) -> Access {
    args.get("aws").and_then(|aws| Access::deserialize(aws).ok()).unwrap_or_default()
}

/// What a call's answer, or its precondition, hangs on.
pub(super) fn reach(op: &str, args: &Value, world: &World) -> Vec<Reach> {
    let (kind, access) = (kind_of(op, args), access(args));
    let database = |id: Option<&str>| id.map(|id| access.resource("rds", &kind.of(id)));
    let instance = |id: Option<&str>| id.map(|id| access.resource("rds", &Kind::Instance.of(id)));
    let snapshot = || text(args, "snapshot").map(|id| access.resource("rds", &kind.snapshot(id)));
    let id = || database(text(args, "id"));
    // A name that only the run will know is none to look at.
    let known = |key: Option<String>| key.filter(|key| veil::marked(key).is_none());
    let all = match op {
        "rds.snapshots" | "rds.databases" => return vec![Reach { key: "rds".to_owned(), depth: Depth::Below }],
        "rds.snapshot" | "rds.wait_snapshot" | "rds.delete_snapshot" => vec![snapshot()],
        "rds.create_snapshot" => vec![id(), snapshot()],
        "rds.restore_from_snapshot" => {
            let from = text(args, "snapshot").and_then(|name| world.aws.rds.snapshots(kind).get(name));
            let source = from.map(|from| from.source.as_str()).filter(|_| text(args, "like").is_none());
            vec![id(), known(snapshot()), database(text(args, "like").or(source))]
        }
        "rds.restore_to_point_in_time" => vec![id(), database(text(args, "source")), database(text(args, "like"))],
        "rds.create_cluster_instance" => {
            let cluster = text(args, "cluster").map(|id| access.resource("rds", &Kind::Cluster.of(id)));
            vec![instance(text(args, "id")), cluster, instance(text(args, "like"))]
        }
        "rds.rename" => vec![id(), database(text(args, "to"))],
        _ => vec![id()],
    };
    let mut reach: Vec<Reach> = all.into_iter().flatten().map(|key| Reach { key, depth: Depth::Itself }).collect();
    if op == "rds.delete" && kind == Kind::Cluster {
        // It cannot go while there are instances in it.
        let members = text(args, "id").and_then(|id| world.aws.rds.clusters.get(id)).map(|found| &found.members);
        let keys = members.into_iter().flatten().filter_map(|member| instance(Some(&member.id)));
        reach.extend(keys.map(|key| Reach { key, depth: Depth::Itself }));
    }
    reach
}

/// What of RDS may be behind the address of a PostgreSQL server, of all that the plan has changed: the first word of an address
/// of RDS is the database's name; behind any other address but this host's own may be any of them.
pub(super) fn behind(request: &Request, state: &State) -> Vec<Reach> {
    let host = request.args.pointer("/server/host").and_then(Value::as_str).unwrap_or_default();
    let local =
        host.is_empty() || host.starts_with('/') || host == "localhost" || host == "::1" || host.starts_with("127.");
    if request.op.family() != "pg" || local {
        return Vec::new();
    }
    let label = host.split_once('.').filter(|_| host.contains(".rds.amazonaws.com")).map(|(label, _)| label);
    // Of a change to a database that only the run will name, any may be the one.
    let is_meant = |key: &str| key.rsplit_once(':').is_none_or(|(_, name)| label.is_none_or(|label| name == label));
    let keys = state.touched_within("rds").filter(|key| is_meant(key));
    keys.map(|key| Reach { key: key.to_owned(), depth: Depth::Itself }).collect()
}

/// What an effect sets.
pub(super) fn targets(op: &str, args: &Value) -> Vec<String> {
    let (kind, access) = (kind_of(op, args), access(args));
    let database = |id: Option<&str>| id.map(|id| access.resource("rds", &kind.of(id)));
    let all = match op {
        "rds.create_snapshot" | "rds.delete_snapshot" => {
            vec![text(args, "snapshot").map(|id| access.resource("rds", &kind.snapshot(id)))]
        }
        "rds.create_cluster_instance" => {
            let cluster = text(args, "cluster").map(|id| access.resource("rds", &Kind::Cluster.of(id)));
            vec![database(text(args, "id")), cluster]
        }
        "rds.rename" => vec![database(text(args, "id")), database(text(args, "to"))],
        _ => vec![database(text(args, "id"))],
    };
    all.into_iter().flatten().collect()
}

impl Overlay {
    /// Looks at what tells which other things a call looks at: the snapshot tells its source, a cluster its instances.
    pub(super) fn see_source(&self, state: &mut State, request: &Request) {
        let (name, args) = (request.op.name, &request.args);
        let (kind, access) = (kind_of(name, args), access(args));
        let what = match name {
            "rds.restore_from_snapshot" => text(args, "snapshot").map(|id| kind.snapshot(id)),
            "rds.delete" if kind == Kind::Cluster => text(args, "id").map(|id| kind.of(id)),
            _ => None,
        };
        if let Some(key) = what.map(|what| access.resource("rds", &what)).filter(|key| veil::marked(key).is_none()) {
            // What cannot be looked at now, the call itself will say.
            let _ = self.import(state, request, &[Reach { key, depth: Depth::Itself }]);
        }
    }
}

impl Importer<'_> {
    /// Looks at a database or snapshot, or at all snapshots that a call lists.
    pub(super) fn see_rds(&self, state: &mut State, key: &str) -> Result<(), String> {
        let args = &self.request.args;
        let access = access(args);
        let label = access.label();
        match &state.world.aws.rds.label {
            Some(known) if *known != label => {
                return Err("a plan follows the databases of one account and region, and it began with another".into());
            }
            Some(_) => {}
            None => {
                let rds = &mut state.world_mut().aws.rds;
                rds.label = Some(label);
                rds.suffix = veil::mark("AWS gives it a name");
            }
        }
        if key == "rds" {
            return self.see_listed(state);
        }
        if state.is_own(key) || state.seen.contains(key) {
            return Ok(());
        }
        let Some((what, id)) = key.strip_prefix(&access.resource("rds", "")).and_then(|rest| rest.split_once(':'))
        else {
            return Ok(());
        };
        let aws = json!(access);
        match what {
            "db" | "cluster" => {
                let (kind, op) =
                    if what == "db" { (Kind::Instance, "rds.instance") } else { (Kind::Cluster, "rds.cluster") };
                let found: Database = self.ask(op, json!({ "id": id, "aws": aws }))?;
                if found.exists {
                    state.world_mut().aws.rds.databases_mut(kind).insert(id.to_owned(), found);
                }
            }
            _ => {
                let kind = if what == "snapshot" { Kind::Instance } else { Kind::Cluster };
                let found: Snapshot = self.ask("rds.snapshot", json!({ "kind": kind, "snapshot": id, "aws": aws }))?;
                if found.exists {
                    state.world_mut().aws.rds.snapshots_mut(kind).insert(id.to_owned(), found);
                }
            }
        }
        state.seen.insert(key.to_owned());
        Ok(())
    }

    fn see_listed(&self, state: &mut State) -> Result<(), String> {
        let args = &self.request.args;
        let (kind, access) = (kind_of("rds.snapshots", args), access(args));
        let found: Value = self.ask("rds.snapshots", args.clone())?;
        for one in found["snapshots"].as_array().into_iter().flatten() {
            let Ok(one) = Snapshot::deserialize(one) else { continue };
            let key = access.resource("rds", &kind.snapshot(&one.id));
            if !state.is_own(&key) {
                state.seen.insert(key);
                state.world_mut().aws.rds.snapshots_mut(kind).insert(one.id.clone(), one);
            }
        }
        Ok(())
    }
}

/// What a reviewer sees of a database.
fn database(rds: &Rds, kind: Kind, found: &Database) -> Value {
    let mut shown = json!({ "engine": found.engine, "engine_version": found.engine_version });
    if let (Some(shown), Ok(Value::Object(settings))) = (shown.as_object_mut(), serde_json::to_value(&found.settings)) {
        shown.extend(settings);
    }
    if !found.cluster.is_empty() {
        shown["cluster"] = json!(found.cluster);
    }
    if let Some(course) = rds.courses.get(&kind.of(&found.id)) {
        for (name, lines) in [("carried_over", &course.carried), ("not_carried_over", &course.left)] {
            if !lines.is_empty() {
                shown[name] = json!(lines);
            }
        }
    }
    shown
}

fn snapshot(found: &Snapshot) -> Value {
    json!({ "of": found.source, "engine_version": found.engine_version })
}

/// What differs between the databases and snapshots of two worlds.
pub(super) fn differences(before: &World, after: &World, found: &mut Vec<Difference>) {
    let (old, new) = (&before.aws.rds, &after.aws.rds);
    let label = new.label.as_deref().filter(|label| !label.is_empty());
    let label = label.map_or(String::new(), |label| format!("{}:", label.replace('/', "|")));
    for kind in [Kind::Instance, Kind::Cluster] {
        for item in old.databases(kind).diff(new.databases(kind)) {
            let (id, was, is) = sides(item);
            let mut now = is.map_or(Value::Null, |is| database(new, kind, is));
            let named = |all: &Named<Database>, is: &Database| {
                all.iter().find(|(_, other)| other.resource_id == is.resource_id).map(|(id, _)| id.clone())
            };
            if let Some(was) = is.and_then(|is| named(old.databases(kind), is)).filter(|was| was != id) {
                now["was"] = json!(was);
            }
            let was = was.map_or(Value::Null, |was| database(old, kind, was));
            push(format!("rds/{label}{}", kind.of(id)), was, now, found);
        }
        for item in old.snapshots(kind).diff(new.snapshots(kind)) {
            let (id, was, is) = sides(item);
            let key = format!("rds/{label}{}", kind.snapshot(id));
            push(key, was.map_or(Value::Null, snapshot), is.map_or(Value::Null, snapshot), found);
        }
    }
}
