//! What the API server makes of patches, as far as that can be told without asking it: for the sandbox, and for plans where the
//! server may not be asked.

use serde_json::{Map, json};

use crate::model::Value;

/// A JSON merge patch (RFC 7386): null takes a field away.
pub fn merge(target: &mut Value, patch: &Value) {
    let Value::Object(changes) = patch else {
        *target = patch.clone();
        return;
    };
    if !target.is_object() {
        *target = Value::Object(Map::new());
    }
    let Some(fields) = target.as_object_mut() else { return };
    for (name, change) in changes {
        if change.is_null() {
            fields.remove(name);
        } else {
            merge(fields.entry(name.clone()).or_insert(Value::Null), change);
        }
    }
}

/// The keys by which items of well-known lists are told apart.
fn list_keys(name: &str, items: &[Value]) -> Option<&'static [&'static str]> {
    let keys: &[&str] = match name {
        "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets" => &["name"],
        "volumeMounts" => &["mountPath"],
        "volumeDevices" => &["devicePath"],
        "ports" if items.iter().any(|item| item.get("containerPort").is_some()) => &["containerPort", "protocol"],
        "ports" if items.iter().any(|item| item.get("port").is_some()) => &["port", "protocol"],
        "conditions" => &["type"],
        "ownerReferences" => &["uid"],
        "hostAliases" => &["ip"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        _ => return None,
    };
    items.iter().all(Value::is_object).then_some(keys)
}

fn key_of(item: &Value, keys: &[&str]) -> Vec<Value> {
    let default = |name: &str| if name == "protocol" { json!("TCP") } else { Value::Null };
    keys.iter().map(|name| item.get(*name).cloned().unwrap_or_else(|| default(name))).collect()
}

/// A strategic merge patch, by the keys of the lists that Kubernetes itself has; other lists are replaced. Custom resources have none.
pub fn strategic(target: &mut Value, patch: &Value) {
    strategic_in("", target, patch);
}

fn strategic_in(name: &str, target: &mut Value, patch: &Value) {
    match patch {
        Value::Object(changes) => {
            if changes.get("$patch") == Some(&json!("replace")) {
                let mut whole = changes.clone();
                whole.remove("$patch");
                *target = Value::Object(whole);
                return;
            }
            if !target.is_object() {
                *target = Value::Object(Map::new());
            }
            let Some(fields) = target.as_object_mut() else { return };
            for (name, change) in changes.iter().filter(|(name, _)| !name.starts_with('$')) {
                if change.is_null() {
                    fields.remove(name);
                } else {
                    strategic_in(name, fields.entry(name.clone()).or_insert(Value::Null), change);
                }
            }
        }
        Value::Array(changes) => {
            let Some(keys) = list_keys(name, changes).filter(|_| target.is_array()) else {
                *target = patch.clone();
                return;
            };
            let Some(items) = target.as_array_mut() else { return };
            for change in changes {
                let key = key_of(change, keys);
                let place = items.iter().position(|item| key_of(item, keys) == key);
                match (place, change.get("$patch")) {
                    (Some(place), Some(what)) if what == "delete" => drop(items.remove(place)),
                    (None, Some(what)) if what == "delete" => {}
                    (Some(place), _) => {
                        if let Some(item) = items.get_mut(place) {
                            strategic_in("", item, change);
                        }
                    }
                    (None, _) => items.push(change.clone()),
                }
            }
        }
        plain => *target = plain.clone(),
    }
}

/// A server-side apply, as far as it adds and changes: lists whose items have keys are merged by them.
pub fn applied(target: &mut Value, manifest: &Value) {
    strategic_in("", target, manifest);
}

/// Takes away what an earlier manifest of the same owner set and this one does not set any more.
pub fn pruned(target: &mut Value, earlier: &Value, manifest: &Value) {
    let (Some(fields), Some(earlier)) = (target.as_object_mut(), earlier.as_object()) else { return };
    for (name, old) in earlier {
        match (manifest.get(name), old) {
            (None, _) => drop(fields.remove(name)),
            (Some(new), Value::Object(_)) => {
                if let Some(inner) = fields.get_mut(name) {
                    pruned(inner, old, new);
                }
            }
            _ => {}
        }
    }
}

fn steps(pointer: &str) -> Result<Vec<String>, String> {
    if pointer.is_empty() {
        return Ok(Vec::new());
    }
    let Some(rest) = pointer.strip_prefix('/') else { return Err(format!("`{pointer}` is no JSON pointer")) };
    Ok(rest.split('/').map(|step| step.replace("~1", "/").replace("~0", "~")).collect())
}

fn parent<'v>(target: &'v mut Value, steps: &[String], pointer: &str) -> Result<&'v mut Value, String> {
    let mut place = target;
    for step in steps {
        let next = match place {
            Value::Object(fields) => fields.get_mut(step),
            Value::Array(items) => step.parse::<usize>().ok().and_then(|at| items.get_mut(at)),
            _ => None,
        };
        place = next.ok_or_else(|| format!("there is nothing at {pointer}"))?;
    }
    Ok(place)
}

fn add(target: &mut Value, pointer: &str, value: Value) -> Result<(), String> {
    let steps = steps(pointer)?;
    let Some((last, before)) = steps.split_last() else {
        *target = value;
        return Ok(());
    };
    match parent(target, before, pointer)? {
        Value::Object(fields) => drop(fields.insert(last.clone(), value)),
        Value::Array(items) if last == "-" => items.push(value),
        Value::Array(items) => match last.parse::<usize>() {
            Ok(at) if at <= items.len() => items.insert(at, value),
            _ => return Err(format!("there is no place {last} in the list at {pointer}")),
        },
        _ => return Err(format!("nothing can be put at {pointer}")),
    }
    Ok(())
}

fn remove(target: &mut Value, pointer: &str) -> Result<Value, String> {
    let steps = steps(pointer)?;
    let Some((last, before)) = steps.split_last() else { return Ok(std::mem::take(target)) };
    let missing = || format!("there is nothing at {pointer}");
    match parent(target, before, pointer)? {
        Value::Object(fields) => fields.remove(last).ok_or_else(missing),
        Value::Array(items) => match last.parse::<usize>() {
            Ok(at) if at < items.len() => Ok(items.remove(at)),
            _ => Err(missing()),
        },
        _ => Err(missing()),
    }
}

/// A JSON patch (RFC 6902): all of it or nothing.
///
/// # Errors
/// Which operation does not fit, and why.
pub fn operations(target: &mut Value, patch: &Value) -> Result<(), String> {
    let list = patch.as_array().ok_or("a JSON patch is a list of operations")?;
    let mut changed = target.clone();
    for operation in list {
        let text = |name: &str| operation[name].as_str().ok_or_else(|| format!("an operation has no `{name}`"));
        let (op, path) = (text("op")?, text("path")?);
        let value = || operation.get("value").cloned().ok_or_else(|| format!("{op} of {path} has no `value`"));
        match op {
            "add" => add(&mut changed, path, value()?)?,
            "remove" => drop(remove(&mut changed, path)?),
            "replace" => {
                remove(&mut changed, path)?;
                add(&mut changed, path, value()?)?;
            }
            "move" => {
                let moved = remove(&mut changed, text("from")?)?;
                add(&mut changed, path, moved)?;
            }
            "copy" => {
                let from = text("from")?;
                let copied = changed.pointer(from).cloned().ok_or_else(|| format!("there is nothing at {from}"))?;
                add(&mut changed, path, copied)?;
            }
            "test" => {
                if changed.pointer(path).unwrap_or(&Value::Null) != &value()? {
                    return Err(format!("the test of {path} does not hold"));
                }
            }
            other => return Err(format!("`{other}` is no operation of a JSON patch")),
        }
    }
    *target = changed;
    Ok(())
}

/// Fields of a manifest that somebody else owns and that it would change, by `managedFields`: who, and which.
#[must_use]
pub fn conflicts(live: &Value, manifest: &Value, manager: &str) -> Vec<(String, String)> {
    let mut found = Vec::new();
    let listed = live["metadata"]["managedFields"].as_array().map_or(&[][..], Vec::as_slice);
    for entry in listed.iter().filter(|entry| entry["manager"] != manager) {
        let who = entry["manager"].as_str().unwrap_or_default();
        contested(&entry["fieldsV1"], live, manifest, "", &mut |field| found.push((who.to_owned(), field.to_owned())));
    }
    found
}

fn contested(owned: &Value, live: &Value, manifest: &Value, path: &str, found: &mut dyn FnMut(&str)) {
    for (part, inner) in owned.as_object().into_iter().flatten() {
        let (live, manifest, path) = if let Some(name) = part.strip_prefix("f:") {
            let Some(new) = manifest.get(name) else { continue };
            (
                live.get(name).unwrap_or(&Value::Null),
                new,
                if path.is_empty() { name.to_owned() } else { format!("{path}.{name}") },
            )
        } else if let Some(key) =
            part.strip_prefix("k:").and_then(|key| serde_json::from_str::<Map<String, Value>>(key).ok())
        {
            let of = |list: &Value| {
                let items = list.as_array().map_or(&[][..], Vec::as_slice);
                items
                    .iter()
                    .find(|item| key.iter().all(|(name, value)| item.get(name).is_none_or(|found| found == value)))
                    .cloned()
            };
            let (Some(old), Some(new)) = (of(live), of(manifest)) else { continue };
            contested(inner, &old, &new, &format!("{path}{part}"), found);
            continue;
        } else {
            continue;
        };
        let leaf = inner.as_object().is_none_or(|inner| inner.keys().all(|key| key == "."));
        if leaf {
            if live != manifest {
                found(&path);
            }
        } else {
            contested(inner, live, manifest, &path, found);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn merged(patch: fn(&mut Value, &Value), target: Value, change: Value) -> Value {
        let mut target = target;
        patch(&mut target, &change);
        target
    }

    #[test]
    fn a_merge_patch_changes_what_it_names() {
        let found = merged(
            merge,
            json!({ "a": { "b": 1, "c": 2 }, "l": [1, 2] }),
            json!({ "a": { "b": null, "d": {} }, "l": [3] }),
        );
        assert_eq!(found, json!({ "a": { "c": 2, "d": {} }, "l": [3] }));
    }

    #[test]
    fn a_strategic_patch_finds_containers_by_name() {
        let target = json!({ "containers": [{ "name": "a", "image": "1", "env": [{ "name": "X", "value": "1" }] }, { "name": "b" }], "args": [1] });
        let change = json!({ "containers": [{ "name": "a", "env": [{ "name": "Y", "value": "2" }] }, { "name": "b", "$patch": "delete" }], "args": [2] });
        let found = merged(strategic, target, change);
        let env = json!([{ "name": "X", "value": "1" }, { "name": "Y", "value": "2" }]);
        assert_eq!(found, json!({ "containers": [{ "name": "a", "image": "1", "env": env }], "args": [2] }));
    }

    #[test]
    fn a_json_patch_is_done_whole_or_not_at_all() {
        let mut target = json!({ "a": { "b/c": 1 }, "l": [1, 3] });
        let change = json!([
            { "op": "test", "path": "/a/b~1c", "value": 1 }, { "op": "replace", "path": "/a/b~1c", "value": 2 },
            { "op": "add", "path": "/l/1", "value": 2 }, { "op": "add", "path": "/l/-", "value": 4 },
            { "op": "copy", "from": "/l/0", "path": "/x" }, { "op": "move", "from": "/a", "path": "/y" },
        ]);
        operations(&mut target, &change).unwrap();
        assert_eq!(target, json!({ "y": { "b/c": 2 }, "l": [1, 2, 3, 4], "x": 1 }));
        let before = target.clone();
        for wrong in [
            json!([{ "op": "add", "path": "/z", "value": 1 }, { "op": "remove", "path": "/none" }]),
            json!([{ "op": "test", "path": "/x", "value": 9 }]),
            json!([{ "op": "what", "path": "/x" }]),
            json!({ "op": "add" }),
        ] {
            assert!(operations(&mut target, &wrong).is_err());
            assert_eq!(target, before);
        }
    }

    #[test]
    fn what_an_earlier_manifest_set_goes_with_it() {
        let mut target = json!({ "spec": { "a": 1, "b": 2, "theirs": 3 } });
        pruned(&mut target, &json!({ "spec": { "a": 1, "b": 2 } }), &json!({ "spec": { "a": 1 } }));
        assert_eq!(target, json!({ "spec": { "a": 1, "theirs": 3 } }));
    }

    #[test]
    fn another_managers_field_is_contested_only_when_it_would_change() {
        let live = json!({
            "metadata": { "managedFields": [
                { "manager": "helm", "operation": "Apply", "fieldsV1": {
                    "f:spec": { "f:replicas": {}, "f:paused": {}, "f:containers": { "k:{\"name\":\"a\"}": { ".": {}, "f:image": {} } } },
                } },
                { "manager": "muster", "operation": "Apply", "fieldsV1": { "f:spec": { "f:own": {} } } },
            ] },
            "spec": { "replicas": 1, "paused": false, "own": 1, "containers": [{ "name": "a", "image": "1" }] },
        });
        let manifest = json!({ "spec": { "replicas": 2, "paused": false, "own": 2, "containers": [{ "name": "a", "image": "2" }] } });
        let found: Vec<String> =
            conflicts(&live, &manifest, "muster").into_iter().map(|(who, field)| format!("{who} {field}")).collect();
        assert_eq!(found, ["helm spec.containersk:{\"name\":\"a\"}.image", "helm spec.replicas"]);
    }
}
