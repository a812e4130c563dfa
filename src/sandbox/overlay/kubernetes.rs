//! Objects of Kubernetes in a plan: which a call looks at and changes, how a live one is, and what differs afterwards.

use serde_json::json;

use super::diff::{Difference, push, sides};
use super::footprint::{Depth, Reach};
use super::import::Importer;
use super::state::State;
use crate::model::Value;
use crate::ops::helm::client::Cluster;
use crate::ops::k8s::{ListArgs, Named, cluster_part, presentable};
use crate::sandbox::kubernetes::Held;
use crate::sandbox::models::k8s::named_by;
use crate::sandbox::world::World;

/// What a call looks at: its object, and the namespace and the definition of its kind, without which there can be none.
pub(super) fn reach(op: &str, args: &Value) -> Vec<Reach> {
    let one = |key: String, depth| Reach { key, depth };
    let cluster: Cluster =
        args.get("cluster").and_then(|cluster| serde_json::from_value(cluster.clone()).ok()).unwrap_or_default();
    let part = cluster_part(&cluster);
    match op {
        "k8s.can_i" => Vec::new(),
        "k8s.list" => {
            let listed = serde_json::from_value::<ListArgs>(args.clone()).map(|args| args.resource());
            vec![one(listed.unwrap_or_else(|_| format!("k8s/{part}")), Depth::Below)]
        }
        // What a program in a Pod prints hangs on whatever lies around it.
        "k8s.read" | "k8s.exec" | "k8s.read_to_file" => {
            let namespace = args.get("namespace").and_then(Value::as_str).unwrap_or_default();
            let mut found = vec![one(format!("k8s/{part}/{namespace}"), Depth::Below)];
            // Whether it can be run, its Pod tells, whatever the plan has changed beside it.
            found.extend(named_by(op, args).filter(|_| op == "k8s.exec").map(|pod| one(pod.resource(), Depth::Itself)));
            found
        }
        _ => {
            let Some(named) = named_by(op, args) else { return vec![one(format!("k8s/{part}"), Depth::Below)] };
            let mut found = vec![one(named.resource(), Depth::Itself)];
            if let Some(namespace) = &named.namespace {
                found.push(one(format!("k8s/{part}/-/namespace/{namespace}"), Depth::Itself));
            }
            found
        }
    }
}

/// What an effect sets.
pub(super) fn targets(op: &str, args: &Value) -> Vec<String> {
    named_by(op, args).map_or_else(|| vec!["k8s".to_owned()], |named| vec![named.resource()])
}

impl Importer<'_> {
    /// Looks at the object that the call names.
    pub(super) fn see_kubernetes(&self, state: &mut State, key: &str) -> Result<(), String> {
        let Some(named) = named_by(self.request.op.name, &self.request.args) else { return Ok(()) };
        if named.resource() != key || state.is_own(key) || state.seen.contains(key) {
            return Ok(());
        }
        let mut args = json!({ "kind": named.kind, "name": named.name, "cluster": named.cluster });
        if let Some(namespace) = &named.namespace {
            args["namespace"] = json!(namespace);
        }
        let found: Value = self.ask("k8s.get", args)?;
        state.seen.insert(key.to_owned());
        if found["exists"] == json!(true) {
            let held = Held::of(found["object"].clone());
            state.world_mut().kubernetes.objects.insert(named.key(), held);
        }
        Ok(())
    }
}

impl Importer<'_> {
    /// Looks at an object, or at all of a kind, for the playbook's own model.
    pub(super) fn see_for_model(&self, state: &mut State, key: &str, depth: Depth) -> Result<(), String> {
        let mark = if depth == Depth::Below { format!("{key}/*") } else { key.to_owned() };
        let mut parts = key.split('/').skip(1);
        let cluster = parts.next().and_then(|part| self.clusters.get(part));
        let (Some(cluster), Some(namespace), Some(kind)) = (cluster, parts.next(), parts.next()) else { return Ok(()) };
        if state.is_own(key) || state.seen.contains(&mark) {
            return Ok(());
        }
        let mut args = json!({ "kind": kind, "cluster": cluster });
        if namespace != "-" {
            args["namespace"] = json!(namespace);
        }
        let found = match parts.next() {
            None => {
                let listed: Value = self.ask("k8s.list", args)?;
                listed["objects"].as_array().cloned().unwrap_or_default()
            }
            Some(name) => {
                args["name"] = json!(name);
                let found: Value = self.ask("k8s.get", args)?;
                if found["exists"] == json!(true) { vec![found["object"].clone()] } else { Vec::new() }
            }
        };
        state.seen.insert(mark);
        for object in found {
            let Ok(named) = Named::of_manifest(&object, cluster) else { continue };
            let resource = named.resource();
            let is_new = state.seen.insert(resource.clone()).is_none() || resource == key;
            if is_new && !state.is_own(&resource) {
                let held = Held::of(object);
                state.world_mut().kubernetes.objects.insert(named.key(), held);
            }
        }
        Ok(())
    }
}

/// The objects that differ, but for what controllers make and do by themselves.
pub(super) fn differences(before: &World, after: &World, found: &mut Vec<Difference>) {
    for item in before.kubernetes.objects.diff(&after.kubernetes.objects) {
        let (key, old, new) = sides(item);
        if old.or(new).is_some_and(|held| held.derived) {
            continue;
        }
        let shown = |held: Option<&Held>| held.map_or(Value::Null, |held| presentable(&held.object));
        push(format!("k8s/{key}"), shown(old), shown(new), found);
    }
    // What becomes of objects by themselves, a program has begun: what they are from now on is the plan's own.
    for due in after.kubernetes.later.iter().filter(|due| !before.kubernetes.later.contains(due)) {
        let shown = |world: &World| {
            world.kubernetes.objects.get(&due.key).map_or(Value::Null, |held| presentable(&held.object))
        };
        let key = format!("k8s/{}", due.key);
        if found.iter().all(|one| one.key != key) {
            let last = if due.begins { presentable(&due.to) } else { shown(after) };
            found.push(Difference { key, before: shown(before), after: last });
        }
    }
    for (place, object) in &after.kubernetes.unnamed {
        if !before.kubernetes.unnamed.contains_key(place) {
            push(format!("k8s/{place}/?"), Value::Null, presentable(object), found);
        }
    }
}
