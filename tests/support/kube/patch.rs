//! JSON, merge and strategic merge patches.

use muster::model::Value;
use serde_json::{Map, json};

/// By which fields the items of a list are told apart; nothing for a list that is one value.
pub fn list_keys(list: &str, items: &[Value]) -> Option<&'static [&'static str]> {
    let keys: &[&str] = match list {
        "containers" | "initContainers" | "ephemeralContainers" | "env" | "volumes" | "imagePullSecrets" => &["name"],
        "volumeMounts" => &["mountPath"],
        "ports" if items.iter().all(|item| item.get("containerPort").is_some()) => &["containerPort", "protocol"],
        "ports" => &["port", "protocol"],
        "conditions" => &["type"],
        "ownerReferences" => &["uid"],
        "topologySpreadConstraints" => &["topologyKey", "whenUnsatisfiable"],
        _ => return None,
    };
    items.iter().all(|item| item.get(keys[0]).is_some()).then_some(keys)
}

/// What tells an item from its like. A port has a protocol though it says none.
pub fn key_of(item: &Value, keys: &[&str]) -> Map<String, Value> {
    let value = |key: &str| match item.get(key) {
        None if key == "protocol" => json!("TCP"),
        found => found.cloned().unwrap_or_default(),
    };
    keys.iter().map(|key| ((*key).to_owned(), value(key))).collect()
}

/// RFC 7386.
pub fn merge(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() {
        *into = json!({});
    }
    let Value::Object(into) = into else { return };
    for (name, value) in patch {
        if value.is_null() {
            into.remove(name);
        } else {
            merge(into.entry(name.clone()).or_insert(Value::Null), value);
        }
    }
}

/// Kubernetes' own: lists of known kinds are merged by their keys.
pub fn strategic(into: &mut Value, patch: &Value) {
    let Value::Object(patch) = patch else {
        *into = patch.clone();
        return;
    };
    if !into.is_object() || patch.get("$patch") == Some(&json!("replace")) {
        *into = json!({});
    }
    let Value::Object(into) = into else { return };
    if let Some(kept) = patch.get("$retainKeys").and_then(Value::as_array) {
        into.retain(|name, _| kept.contains(&json!(name)));
    }
    for (name, value) in patch.iter().filter(|(name, _)| !name.starts_with('$')) {
        match (value, into.get_mut(name)) {
            (Value::Null, _) => {
                into.remove(name);
            }
            (Value::Array(items), Some(Value::Array(old))) => match list_keys(name, items) {
                Some(keys) => strategic_list(old, items, keys),
                None => *old = items.clone(),
            },
            (Value::Object(_), None) => {
                let mut fresh = json!({});
                strategic(&mut fresh, value);
                into.insert(name.clone(), fresh);
            }
            (Value::Object(_), Some(old)) => strategic(old, value),
            (value, _) => {
                into.insert(name.clone(), value.clone());
            }
        }
    }
}

fn strategic_list(old: &mut Vec<Value>, items: &[Value], keys: &[&str]) {
    for item in items {
        let key = key_of(item, keys);
        let place = old.iter().position(|other| key_of(other, keys) == key);
        match (item.get("$patch") == Some(&json!("delete")), place) {
            (true, Some(place)) => drop(old.remove(place)),
            (true, None) => {}
            (false, Some(place)) => strategic(&mut old[place], item),
            (false, None) => old.push(item.clone()),
        }
    }
}

/// RFC 6902: `add`, `replace`, `remove` and `test`.
pub fn operations(into: &mut Value, patch: &Value) -> Result<(), String> {
    for step in patch.as_array().into_iter().flatten() {
        let path = step["path"].as_str().unwrap_or_default();
        let (parent, last) = path.rsplit_once('/').ok_or("a path starts with /")?;
        let last = last.replace("~1", "/").replace("~0", "~");
        let op = step["op"].as_str().unwrap_or_default();
        let fault = || format!("the server rejected our request due to an error in our request: {op} {path}");
        if op == "test" {
            if into.pointer(path) != Some(&step["value"]) {
                return Err(fault());
            }
            continue;
        }
        match into.pointer_mut(parent).ok_or_else(fault)? {
            Value::Object(fields) => match op {
                "remove" => drop(fields.remove(&last).ok_or_else(fault)?),
                _ => drop(fields.insert(last, step["value"].clone())),
            },
            Value::Array(items) => {
                let place = if last == "-" { items.len() } else { last.parse().map_err(|_| fault())? };
                match op {
                    "add" if place <= items.len() => items.insert(place, step["value"].clone()),
                    "remove" if place < items.len() => drop(items.remove(place)),
                    "replace" if place < items.len() => items[place] = step["value"].clone(),
                    _ => return Err(fault()),
                }
            }
            _ => return Err(fault()),
        }
    }
    Ok(())
}
