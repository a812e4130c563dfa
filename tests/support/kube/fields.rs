//! Who owns which field: `managedFields`, and server-side apply with its conflicts.

use std::collections::BTreeSet;

use muster::model::Value;
use serde_json::{Map, json};

use super::patch::{key_of, list_keys};

type Path = Vec<String>;
type Fields = BTreeSet<Path>;

/// What the server gives itself, which belongs to nobody.
const SERVERS: [&str; 9] = [
    "name",
    "namespace",
    "uid",
    "resourceVersion",
    "generation",
    "creationTimestamp",
    "managedFields",
    "selfLink",
    "deletionTimestamp",
];

fn collect(name: &str, value: &Value, path: &mut Path, found: &mut Fields) {
    match value {
        Value::Object(fields) if !fields.is_empty() && name != "selector" && name != "nodeSelector" => {
            for (field, value) in fields {
                let top = path.is_empty() && ["apiVersion", "kind"].contains(&field.as_str());
                let given = *path == ["f:metadata"] && SERVERS.contains(&field.as_str());
                if !top && !given {
                    path.push(format!("f:{field}"));
                    collect(field, value, path, found);
                    path.pop();
                }
            }
        }
        Value::Array(items) => match list_keys(name, items).filter(|_| !items.is_empty()) {
            None => drop(found.insert(path.clone())),
            Some(keys) => {
                for item in items {
                    path.push(format!("k:{}", Value::Object(key_of(item, keys))));
                    found.insert([path.clone(), vec![".".to_owned()]].concat());
                    collect("", item, path, found);
                    path.pop();
                }
            }
        },
        _ => drop(found.insert(path.clone())),
    }
}

fn fields_of(value: &Value) -> Fields {
    let mut found = Fields::new();
    collect("", value, &mut Path::new(), &mut found);
    found
}

fn at<'v>(value: &'v Value, path: &[String]) -> Option<&'v Value> {
    let Some((first, rest)) = path.split_first() else { return Some(value) };
    if let Some(name) = first.strip_prefix("f:") {
        return at(value.get(name)?, rest);
    }
    let Some(key) = first.strip_prefix("k:") else { return Some(value) };
    at(item(value, key)?, rest)
}

fn keys_in(key: &str) -> Map<String, Value> {
    serde_json::from_str(key).unwrap_or_default()
}

fn item<'v>(list: &'v Value, key: &str) -> Option<&'v Value> {
    let key = keys_in(key);
    let names: Vec<&str> = key.keys().map(String::as_str).collect();
    list.as_array()?.iter().find(|item| key_of(item, &names) == key)
}

fn remove(value: &mut Value, path: &[String]) {
    let Some((first, rest)) = path.split_first() else { return };
    if let Some(name) = first.strip_prefix("f:") {
        match (value, rest.is_empty()) {
            (Value::Object(fields), true) => drop(fields.remove(name)),
            (Value::Object(fields), false) => {
                if let Some(inner) = fields.get_mut(name) {
                    remove(inner, rest);
                }
            }
            _ => {}
        }
    } else if let (Some(key), Value::Array(items)) = (first.strip_prefix("k:"), value) {
        let key = keys_in(key);
        let names: Vec<&str> = key.keys().map(String::as_str).collect();
        let Some(place) = items.iter().position(|item| key_of(item, &names) == key) else { return };
        if rest == ["."] {
            items.remove(place);
        } else {
            remove(&mut items[place], rest);
        }
    }
}

/// As `fieldsV1` has it.
fn written(fields: &Fields) -> Value {
    let mut root = json!({});
    for path in fields {
        let mut place = &mut root;
        for part in path {
            if !place.is_object() {
                *place = json!({});
            }
            place = place.as_object_mut().expect("just made one").entry(part.clone()).or_insert_with(|| json!({}));
        }
    }
    root
}

fn read(written: &Value) -> Fields {
    fn walk(value: &Value, path: &mut Path, found: &mut Fields) {
        match value.as_object().filter(|fields| !fields.is_empty()) {
            None => drop(found.insert(path.clone())),
            Some(fields) => {
                for (name, inner) in fields {
                    path.push(name.clone());
                    walk(inner, path, found);
                    path.pop();
                }
            }
        }
    }
    let mut found = Fields::new();
    walk(written, &mut Path::new(), &mut found);
    found
}

struct Entry {
    manager: String,
    operation: String,
    subresource: String,
    fields: Fields,
    whole: Value,
}

fn entries(object: &Value) -> Vec<Entry> {
    let text = |value: &Value| value.as_str().unwrap_or_default().to_owned();
    let listed = object["metadata"]["managedFields"].as_array().cloned().unwrap_or_default();
    listed
        .into_iter()
        .map(|whole| Entry {
            manager: text(&whole["manager"]),
            operation: text(&whole["operation"]),
            subresource: text(&whole["subresource"]),
            fields: read(&whole["fieldsV1"]),
            whole,
        })
        .collect()
}

fn note(object: &mut Value, entries: Vec<Entry>, now: &str) {
    let api = object["apiVersion"].clone();
    let listed = entries.into_iter().filter(|entry| !entry.fields.is_empty()).map(|entry| {
        let fields = written(&entry.fields);
        if entry.whole["fieldsV1"] == fields {
            return entry.whole;
        }
        let mut whole = json!({
            "manager": entry.manager, "operation": entry.operation, "apiVersion": api, "time": now,
            "fieldsType": "FieldsV1", "fieldsV1": fields,
        });
        if !entry.subresource.is_empty() {
            whole["subresource"] = json!(entry.subresource);
        }
        whole
    });
    let listed: Vec<Value> = listed.collect();
    object["metadata"]["managedFields"] = json!(listed);
}

/// Who did it, and through what.
pub struct Who<'a> {
    pub manager: &'a str,
    pub subresource: &'a str,
    pub now: &'a str,
}

fn mine<'e>(entries: &'e mut Vec<Entry>, who: &Who<'_>, operation: &str) -> &'e mut Entry {
    let is_mine = |entry: &Entry| {
        entry.manager == who.manager && entry.operation == operation && entry.subresource == who.subresource
    };
    let place = entries.iter().position(is_mine).unwrap_or_else(|| {
        entries.push(Entry {
            manager: who.manager.to_owned(),
            operation: operation.to_owned(),
            subresource: who.subresource.to_owned(),
            fields: Fields::new(),
            whole: Value::Null,
        });
        entries.len() - 1
    });
    &mut entries[place]
}

/// After an object was made or changed other than by applying: what is new in it belongs to whoever did it.
pub fn changed(old: &Value, new: &mut Value, who: &Who<'_>) {
    let mut listed = entries(old);
    let there = fields_of(new);
    let fresh: Fields = there.iter().filter(|path| at(old, path) != at(new, path)).cloned().collect();
    for entry in &mut listed {
        entry.fields.retain(|path| at(new, path).is_some() && !fresh.contains(path));
    }
    mine(&mut listed, who, "Update").fields.extend(fresh);
    note(new, listed, who.now);
}

/// Owners that are in the way: who, and which field.
pub type Conflicts = Vec<(String, String)>;

/// The object after `config` was applied to it.
pub fn apply(live: Option<&Value>, config: &Value, who: &Who<'_>, force: bool) -> Result<Value, Conflicts> {
    let wanted = fields_of(config);
    let old = live.cloned().unwrap_or_else(|| json!({ "apiVersion": config["apiVersion"], "kind": config["kind"] }));
    let mut listed = entries(&old);
    let mut conflicts = Conflicts::new();
    for entry in listed.iter_mut().filter(|entry| entry.manager != who.manager || entry.operation != "Apply") {
        let against: Fields = (entry.fields.intersection(&wanted))
            .filter(|path| path.last().is_none_or(|last| last != ".") && at(&old, path) != at(config, path))
            .cloned()
            .collect();
        if force {
            entry.fields.retain(|path| !against.contains(path));
        } else {
            let dotted = |path: &Path| {
                path.iter()
                    .map(|part| {
                        part.strip_prefix("f:")
                            .map_or(format!("[{}]", &part[2.min(part.len())..]), |name| format!(".{name}"))
                    })
                    .collect::<String>()
            };
            conflicts.extend(against.iter().map(|path| (entry.manager.clone(), dotted(path))));
        }
    }
    if !conflicts.is_empty() {
        return Err(conflicts);
    }
    let mut merged = old.clone();
    super::patch::strategic(&mut merged, config);
    let own = mine(&mut listed, who, "Apply");
    let gone: Vec<Path> = own.fields.difference(&wanted).cloned().collect();
    own.fields = wanted.clone();
    for path in gone.iter().rev() {
        if !listed.iter().any(|entry| entry.fields.contains(path)) {
            remove(&mut merged, path);
        }
    }
    note(&mut merged, listed, who.now);
    Ok(merged)
}
